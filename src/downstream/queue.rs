//! What waits to be written to one peer, bounded by bytes (spec: Communication, bounded queues).
//!
//! Whoever routes messages must never wait for a peer that does not read, so adding never waits: it fails when the
//! limit is reached, and the caller decides whether that peer is given up or its source is slowed down
//! ([`Queue::room`]).

use std::io::IoSlice;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::{Notify, mpsc};

use super::large::Flow;
use super::wire;

/// Bodies up to this size are copied behind their header, so that a message is one contiguous write.
const COPY_BYTES_MAX: usize = 16 * 1024;

/// Bytes that are gathered into one write.
const GATHER_BYTES: usize = 64 * 1024;

/// The sending end: cheap to clone.
#[derive(Debug, Clone)]
pub struct Queue {
    sender: mpsc::UnboundedSender<Item>,
    gauge: Arc<Gauge>,
}

/// The end that writes.
#[derive(Debug)]
pub struct Drain {
    receiver: mpsc::UnboundedReceiver<Item>,
    gauge: Arc<Gauge>,
}

#[derive(Debug)]
enum Item {
    Body(Bytes),
    Flow(Flow),
}

#[derive(Debug)]
struct Gauge {
    waiting: AtomicUsize,
    /// Bytes beyond which nothing is accepted.
    limit: usize,
    /// Bytes beyond which sources that can be slowed down should be.
    pace: usize,
    freed: Notify,
}

/// Why a message was not queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QueueError {
    /// The peer has not read for so long that the limit is reached.
    #[error("the peer does not read what it is sent")]
    Full,
    /// The peer is gone.
    #[error("the peer is gone")]
    Closed,
}

/// A queue that holds at most `limit` bytes, except that one message of any size always fits into an empty one.
pub fn bounded(limit: usize) -> (Queue, Drain) {
    new(limit, limit / 2)
}

/// A queue that refuses nothing: whatever feeds it waits for [`Queue::room`] while more than `pace` bytes wait.
pub fn paced(pace: usize) -> (Queue, Drain) {
    new(usize::MAX, pace)
}

fn new(limit: usize, pace: usize) -> (Queue, Drain) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let gauge = Arc::new(Gauge {
        waiting: AtomicUsize::new(0),
        limit,
        pace,
        freed: Notify::new(),
    });
    let queue = Queue {
        sender,
        gauge: Arc::clone(&gauge),
    };
    (queue, Drain { receiver, gauge })
}

impl Queue {
    /// Adds a body.
    pub fn push(&self, body: Bytes) -> Result<(), QueueError> {
        self.add(body.len(), Item::Body(body))
    }

    /// Adds a body that is still coming.
    pub fn push_flow(&self, flow: Flow) -> Result<(), QueueError> {
        self.add(flow.bytes(), Item::Flow(flow))
    }

    fn add(&self, length: usize, item: Item) -> Result<(), QueueError> {
        let before = self.gauge.waiting.fetch_add(length, Ordering::Relaxed);
        if before > 0 && before.saturating_add(length) > self.gauge.limit {
            self.gauge.waiting.fetch_sub(length, Ordering::Relaxed);
            return Err(QueueError::Full);
        }
        self.sender.send(item).map_err(|_| QueueError::Closed)
    }

    /// Waits until there is room again, or the peer is gone: for sources that can be slowed down.
    pub async fn room(&self) {
        loop {
            let freed = self.gauge.freed.notified();
            let waiting = self.gauge.waiting.load(Ordering::Relaxed);
            if waiting <= self.gauge.pace || self.sender.is_closed() {
                return;
            }
            tokio::select! {
                () = freed => {}
                () = self.sender.closed() => return,
            }
        }
    }

    /// Bytes that wait to be written.
    pub fn waiting(&self) -> usize {
        self.gauge.waiting.load(Ordering::Relaxed)
    }

    /// Whether the writing end is gone.
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }
}

impl Drain {
    /// Writes everything that comes, in order, until the queue's last sender is dropped or the peer stops reading.
    pub async fn write_to(mut self, mut writer: impl AsyncWrite + Unpin) -> std::io::Result<()> {
        let mut gathered = Vec::new();
        while let Some(first) = self.receiver.recv().await {
            let mut next = Some(first);
            let mut bytes = 0;
            gathered.clear();
            while let Some(item) = next.take() {
                let body = match item {
                    Item::Body(body) => body,
                    Item::Flow(flow) => {
                        bytes += flow.bytes();
                        writer.write_all(&gathered).await?;
                        gathered.clear();
                        flow.write_to(&mut writer).await?;
                        break;
                    }
                };
                bytes += body.len();
                gathered.extend_from_slice(wire::header(body.len()).as_bytes());
                if body.len() > COPY_BYTES_MAX {
                    write_both(&mut writer, &gathered, &body).await?;
                    gathered.clear();
                    break;
                }
                gathered.extend_from_slice(&body);
                if gathered.len() >= GATHER_BYTES {
                    break;
                }
                next = self.receiver.try_recv().ok();
            }
            writer.write_all(&gathered).await?;
            writer.flush().await?;
            self.gauge.waiting.fetch_sub(bytes, Ordering::Relaxed);
            self.gauge.freed.notify_waiters();
        }
        writer.shutdown().await
    }
}

/// Writes two buffers with as few calls as the kernel needs.
async fn write_both(
    writer: &mut (impl AsyncWrite + Unpin),
    mut head: &[u8],
    mut body: &[u8],
) -> std::io::Result<()> {
    while !head.is_empty() {
        let written = writer
            .write_vectored(&[IoSlice::new(head), IoSlice::new(body)])
            .await?;
        if written == 0 {
            return Err(std::io::ErrorKind::WriteZero.into());
        }
        let of_head = written.min(head.len());
        head = head.get(of_head..).unwrap_or_default();
        body = body.get(written - of_head..).unwrap_or_default();
    }
    writer.write_all(body).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_queue_refuses_and_a_drained_one_accepts_again() {
        let (queue, drain) = bounded(10);
        assert_eq!(queue.push(Bytes::from_static(&[b'x'; 50])), Ok(()));
        assert_eq!(queue.push(Bytes::from_static(b"y")), Err(QueueError::Full));
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let writing = tokio::spawn(drain.write_to(theirs));
        queue.room().await;
        assert_eq!(queue.push(Bytes::from_static(b"z")), Ok(()));
        drop(queue);
        writing.await.expect("no panic").expect("written");
        let mut ours = ours;
        let mut text = String::new();
        tokio::io::AsyncReadExt::read_to_string(&mut ours, &mut text)
            .await
            .expect("read");
        assert!(text.ends_with("xContent-Length: 1\r\n\r\nz"), "{text}");
    }

    #[tokio::test]
    async fn large_bodies_arrive_whole_between_small_ones() {
        let (queue, drain) = bounded(usize::MAX);
        let large = Bytes::from(vec![b'l'; 300_000]);
        for body in [Bytes::from_static(b"a"), large, Bytes::from_static(b"b")] {
            queue.push(body).expect("unbounded");
        }
        drop(queue);
        let (mut ours, theirs) = tokio::io::duplex(4096);
        let writing = tokio::spawn(drain.write_to(theirs));
        let mut all = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut ours, &mut all)
            .await
            .expect("read");
        writing.await.expect("no panic").expect("written");
        let mut decoder = wire::Decoder::default();
        decoder.space().extend_from_slice(&all);
        let mut lengths = Vec::new();
        while let Ok(Some(wire::Frame::Message(body))) = decoder.next_frame() {
            lengths.push(body.len());
        }
        assert_eq!(lengths, [1, 300_000, 1]);
    }
}
