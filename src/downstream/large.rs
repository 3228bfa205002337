//! A message so large that it is handed on while it comes (spec: Communication, back-pressure).
//!
//! Whoever reads a stream that may hold such messages gets the beginning as a [`Large`] and says what is to be done with
//! the rest; until then nothing more is read. What is handed on never lies in memory as a whole. A source that ends or
//! falls silent in the middle must not break the stream of whoever reads: the announced length is filled with blanks,
//! which no reader of JSON takes for a whole message.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};

use super::wire::{self, Decoder};

/// Pieces that may wait between the two ends.
const PIECES_MAX: usize = 2;

/// How long the rest of a message may stay away. What waits behind it for the same reader waits as long.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// Blanks that are written at once.
const BLANKS: &[u8] = &[b' '; 4096];

/// The beginning of a large message.
#[derive(Debug)]
pub struct Large {
    /// The first bytes of the body.
    pub head: Bytes,
    /// Bytes of the whole body.
    pub length: usize,
    verdict: oneshot::Sender<Verdict>,
}

#[derive(Debug)]
enum Verdict {
    Whole,
    Flow(mpsc::Sender<Bytes>),
}

/// A body that is written while it comes.
#[derive(Debug)]
pub struct Flow {
    head: Bytes,
    length: usize,
    pieces: mpsc::Receiver<Bytes>,
}

/// What became of a large message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It is wanted as a whole, and here it is.
    Whole(Bytes),
    /// It was handed on.
    Flowed,
    /// It was left out, or broke off: so many bytes of it are still to come.
    Missing(usize),
}

impl Large {
    /// Whether it is larger than anything that is accepted: it can only be left out, which happens when nothing is said
    /// of it.
    pub fn is_too_large(&self) -> bool {
        self.length > wire::BODY_BYTES_MAX
    }

    /// It is wanted as a whole, like any other message.
    pub fn whole(self) {
        // A reader that is gone has nothing to give.
        let _ = self.verdict.send(Verdict::Whole);
    }

    /// It is handed on while it comes, with another beginning in place of its own.
    pub fn flow(self, head: Bytes) -> Flow {
        let length = self.length - self.head.len() + head.len();
        let (sender, pieces) = mpsc::channel(PIECES_MAX);
        // A reader that is gone leaves a flow that is filled up.
        let _ = self.verdict.send(Verdict::Flow(sender));
        Flow {
            head,
            length,
            pieces,
        }
    }
}

impl Flow {
    /// Bytes that are in memory now.
    pub(super) fn bytes(&self) -> usize {
        self.head.len()
    }

    /// Writes it, and blanks for what does not come.
    pub(super) async fn write_to(
        mut self,
        writer: &mut (impl AsyncWrite + Unpin),
    ) -> std::io::Result<()> {
        writer
            .write_all(wire::header(self.length).as_bytes())
            .await?;
        writer.write_all(&self.head).await?;
        let mut missing = self.length - self.head.len();
        while let Some(piece) = self.pieces.recv().await {
            writer.write_all(&piece).await?;
            missing = missing.saturating_sub(piece.len());
        }
        while missing > 0 {
            let blanks = BLANKS.get(..missing.min(BLANKS.len())).unwrap_or(BLANKS);
            writer.write_all(blanks).await?;
            missing -= blanks.len();
        }
        Ok(())
    }
}

/// Offers a large message whose beginning was read, and does with the rest what is decided.
pub(super) async fn pass(
    stream: &mut (impl AsyncRead + Unpin),
    decoder: &mut Decoder,
    (head, length): (Bytes, usize),
    offer: impl AsyncFnOnce(Large),
) -> std::io::Result<End> {
    let missing = length - head.len();
    let (verdict, decided) = oneshot::channel();
    let large = Large {
        head: head.clone(),
        length,
        verdict,
    };
    offer(large).await;
    match decided.await {
        Ok(Verdict::Flow(sender)) => hand_on(stream, decoder, missing, sender).await,
        Ok(Verdict::Whole) => {
            let mut body = BytesMut::with_capacity(length);
            body.extend_from_slice(&head);
            while body.len() < length {
                let piece = next_piece(stream, decoder, length - body.len()).await?;
                body.extend_from_slice(&piece);
            }
            Ok(End::Whole(body.freeze()))
        }
        Err(_) => Ok(End::Missing(missing)),
    }
}

/// Reads and forgets.
pub(super) async fn skip(
    stream: &mut (impl AsyncRead + Unpin),
    decoder: &mut Decoder,
    mut missing: usize,
) -> std::io::Result<()> {
    while missing > 0 {
        missing -= next_piece(stream, decoder, missing).await?.len();
    }
    Ok(())
}

async fn hand_on(
    stream: &mut (impl AsyncRead + Unpin),
    decoder: &mut Decoder,
    mut missing: usize,
    sender: mpsc::Sender<Bytes>,
) -> std::io::Result<End> {
    while missing > 0 {
        let reading = next_piece(stream, decoder, missing);
        let Ok(piece) = tokio::time::timeout(SILENCE_MAX, reading).await else {
            return Ok(End::Missing(missing));
        };
        let piece = piece?;
        missing -= piece.len();
        if sender.send(piece).await.is_err() {
            return Ok(End::Missing(missing));
        }
    }
    Ok(End::Flowed)
}

/// What comes next of a body, at most so many bytes.
async fn next_piece(
    stream: &mut (impl AsyncRead + Unpin),
    decoder: &mut Decoder,
    missing: usize,
) -> std::io::Result<Bytes> {
    loop {
        let piece = decoder.take(missing);
        if !piece.is_empty() {
            return Ok(piece);
        }
        if stream.read_buf(decoder.space()).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
}
