//! A message so large that it is handed on while it comes (spec: Communication, back-pressure).
//!
//! Whoever reads a stream that may hold such messages gets the beginning as a [`Large`] and says what is to be done with
//! the rest; until then nothing more is read. What is handed on never lies in memory as a whole. A source that ends or
//! falls silent in the middle must not break the stream of whoever reads: the announced length is filled with blanks,
//! which no reader of JSON takes for a whole message.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Notify, mpsc, oneshot};

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
    Flow(mpsc::Sender<Bytes>, Passage),
}

/// A large message on its way: it becomes whole or is broken off, whichever is first, and never both.
#[derive(Debug, Clone, Default)]
pub struct Passage(Arc<Way>);

#[derive(Debug, Default)]
struct Way {
    is_whole: OnceLock<bool>,
    broken: Notify,
}

impl Passage {
    /// Breaks the message off, and says whether it was whole already: then whoever reads gets all of it.
    pub fn break_off(&self) -> bool {
        let is_whole = *self.0.is_whole.get_or_init(|| false);
        self.0.broken.notify_one();
        is_whole
    }

    /// Notes that the last piece is there. `false`: it was broken off before.
    fn complete(&self) -> bool {
        *self.0.is_whole.get_or_init(|| true)
    }
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
    pub fn flow(self, head: Bytes) -> (Flow, Passage) {
        let length = self.length - self.head.len() + head.len();
        let (sender, pieces) = mpsc::channel(PIECES_MAX);
        let passage = Passage::default();
        // A reader that is gone leaves a flow that is filled up.
        let _ = self.verdict.send(Verdict::Flow(sender, passage.clone()));
        let flow = Flow {
            head,
            length,
            pieces,
        };
        (flow, passage)
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
        Ok(Verdict::Flow(sender, passage)) => {
            hand_on(stream, decoder, missing, (sender, passage)).await
        }
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
    (sender, passage): (mpsc::Sender<Bytes>, Passage),
) -> std::io::Result<End> {
    while missing > 0 {
        let reading = next_piece(stream, decoder, missing);
        let piece = tokio::select! {
            biased;
            () = passage.0.broken.notified() => return Ok(End::Missing(missing)),
            piece = tokio::time::timeout(SILENCE_MAX, reading) => piece,
        };
        let Ok(piece) = piece else {
            return Ok(End::Missing(missing));
        };
        let piece = piece?;
        missing -= piece.len();
        let Ok(place) = sender.reserve().await else {
            return Ok(End::Missing(missing));
        };
        // Nothing can come between the word that it is whole and its last piece.
        if missing == 0 && !passage.complete() {
            return Ok(End::Missing(0));
        }
        place.send(piece);
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What whoever reads gets of a body of 10 bytes, whose first 4 were read, when it is broken off after so many more.
    async fn passed(come: &[u8], breaks: bool) -> (String, bool) {
        let mut stream = come;
        let mut decoder = Decoder::default();
        let (sender, offered) = oneshot::channel();
        let offer = async |large: Large| drop(sender.send(large));
        let head = (Bytes::from_static(b"head"), 10);
        let reading = pass(&mut stream, &mut decoder, head, offer);
        let mut written = Vec::new();
        let writing = async {
            let large = offered.await.expect("it is offered");
            let (flow, passage) = large.flow(Bytes::from_static(b"HEAD"));
            if breaks {
                assert!(!passage.break_off());
            }
            flow.write_to(&mut written).await.expect("written");
            passage.break_off()
        };
        // A stream that ends is an error, and what comes of it is what was written.
        let (_, is_whole) = tokio::join!(reading, writing);
        (String::from_utf8(written).expect("text"), is_whole)
    }

    #[tokio::test]
    async fn a_message_becomes_whole_or_is_broken_off_and_never_both() {
        let header = "Content-Length: 10\r\n\r\n";
        for (come, breaks, expected, whole) in [
            ("123456", false, "HEAD123456", true),
            ("123456next", false, "HEAD123456", true),
            ("123", false, "HEAD123   ", false),
            ("123456", true, "HEAD      ", false),
        ] {
            let (written, is_whole) = passed(come.as_bytes(), breaks).await;
            assert_eq!(written, format!("{header}{expected}"), "{come}");
            assert_eq!(is_whole, whole, "{come}");
        }
    }
}
