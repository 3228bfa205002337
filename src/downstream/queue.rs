//! What waits to be written to one peer, bounded by bytes (spec: Communication, bounded queues).
//!
//! Whoever routes messages must never wait for a peer that does not read, so adding never waits: it fails when the
//! limit is reached, and the caller decides whether that peer is given up or its source is slowed down
//! ([`Queue::room`]).

use std::io::IoSlice;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::{Notify, mpsc};

use super::large::Flow;
use super::wire;

/// Bodies up to this size are copied behind their header, so that a message is one contiguous write.
const COPY_BYTES_MAX: usize = 16 * 1024;

/// Bytes that are gathered into one write.
const GATHER_BYTES: usize = 64 * 1024;

/// Bytes that may wait for all peers of a [`Load`] together before their source is slowed down.
const LOAD_BYTES_PACE: usize = 4 * 1024 * 1024;

/// Time without a write after which nobody waits for those peers of a [`Load`] for which something waits.
const STUCK: Duration = Duration::from_secs(1);

/// What waits for several peers together, for the source that feeds them.
#[derive(Debug, Clone, Default)]
pub struct Load(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    waiting: AtomicUsize,
    peers: Mutex<Vec<Weak<Gauge>>>,
    freed: Notify,
}

impl Load {
    /// Waits while much waits and is being written. A peer that has written nothing for a while counts only after its
    /// next write.
    pub async fn room(&self) {
        let shared = &self.0;
        loop {
            let freed = shared.freed.notified();
            if shared.waiting.load(Ordering::Relaxed) <= LOAD_BYTES_PACE
                || self.waits_for_readers() <= LOAD_BYTES_PACE
            {
                return;
            }
            if tokio::time::timeout(STUCK, freed).await.is_err() {
                for peer in self.peers() {
                    peer.is_stuck.store(true, Ordering::Relaxed);
                }
            }
        }
    }

    /// What waits for peers that are not stuck.
    fn waits_for_readers(&self) -> usize {
        let peers = self.peers().into_iter();
        let readers = peers.filter(|peer| !peer.is_stuck.load(Ordering::Relaxed));
        readers
            .map(|peer| peer.waiting.load(Ordering::Relaxed))
            .sum()
    }

    fn peers(&self) -> Vec<Arc<Gauge>> {
        let mut peers = self.0.peers.lock().unwrap_or_else(PoisonError::into_inner);
        peers.retain(|peer| peer.strong_count() > 0);
        peers.iter().filter_map(Weak::upgrade).collect()
    }

    fn join(&self, peer: &Arc<Gauge>) {
        let mut peers = self.0.peers.lock().unwrap_or_else(PoisonError::into_inner);
        peers.push(Arc::downgrade(peer));
    }

    fn add(&self, bytes: usize) {
        self.0.waiting.fetch_add(bytes, Ordering::Relaxed);
    }

    fn take(&self, bytes: usize) {
        self.0.waiting.fetch_sub(bytes, Ordering::Relaxed);
        self.0.freed.notify_waiters();
    }
}

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
    /// Bytes that left the queue and are not written yet.
    in_hand: usize,
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
    /// Where it counts as well.
    load: Option<Load>,
    /// Nothing was written for a while although something waits.
    is_stuck: AtomicBool,
}

impl Gauge {
    fn add(&self, bytes: usize) -> usize {
        if let Some(load) = &self.load {
            load.add(bytes);
        }
        self.waiting.fetch_add(bytes, Ordering::Relaxed)
    }

    fn take(&self, bytes: usize) {
        self.waiting.fetch_sub(bytes, Ordering::Relaxed);
        if let Some(load) = &self.load {
            load.take(bytes);
        }
    }
}

impl Drop for Drain {
    fn drop(&mut self) {
        // What nobody will write any more holds nobody up.
        self.receiver.close();
        let mut bytes = self.in_hand;
        while let Ok(item) = self.receiver.try_recv() {
            bytes += item.bytes();
        }
        self.gauge.take(bytes);
    }
}

impl Item {
    fn bytes(&self) -> usize {
        match self {
            Self::Body(body) => body.len(),
            Self::Flow(flow) => flow.bytes(),
        }
    }
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
    new(limit, limit / 2, None)
}

/// The same, and what waits in it counts as a part of a load.
pub fn loading(limit: usize, load: Option<Load>) -> (Queue, Drain) {
    new(limit, limit / 2, load)
}

/// A queue that refuses nothing: whatever feeds it waits for [`Queue::room`] while more than `pace` bytes wait.
pub fn paced(pace: usize) -> (Queue, Drain) {
    new(usize::MAX, pace, None)
}

fn new(limit: usize, pace: usize, load: Option<Load>) -> (Queue, Drain) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let gauge = Arc::new(Gauge {
        waiting: AtomicUsize::new(0),
        limit,
        pace,
        freed: Notify::new(),
        load,
        is_stuck: AtomicBool::new(false),
    });
    if let Some(load) = &gauge.load {
        load.join(&gauge);
    }
    let queue = Queue {
        sender,
        gauge: Arc::clone(&gauge),
    };
    let drain = Drain {
        receiver,
        gauge,
        in_hand: 0,
    };
    (queue, drain)
}

impl Queue {
    /// Adds a body.
    pub fn push(&self, body: Bytes) -> Result<(), QueueError> {
        self.add(Item::Body(body))
    }

    /// Adds a body that is still coming.
    pub fn push_flow(&self, flow: Flow) -> Result<(), QueueError> {
        self.add(Item::Flow(flow))
    }

    fn add(&self, item: Item) -> Result<(), QueueError> {
        let length = item.bytes();
        let before = self.gauge.add(length);
        if before > 0 && before.saturating_add(length) > self.gauge.limit {
            self.gauge.take(length);
            return Err(QueueError::Full);
        }
        self.sender.send(item).map_err(|_| {
            self.gauge.take(length);
            QueueError::Closed
        })
    }

    /// Waits until there is room again, or the peer is gone: for sources that can be slowed down.
    pub async fn room(&self) {
        loop {
            let freed = self.gauge.freed.notified();
            if self.has_room() || self.sender.is_closed() {
                return;
            }
            tokio::select! {
                () = freed => {}
                () = self.sender.closed() => return,
            }
        }
    }

    /// Whether so little waits that nothing has to be slowed down.
    pub fn has_room(&self) -> bool {
        self.waiting() <= self.gauge.pace
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
            gathered.clear();
            while let Some(item) = next.take() {
                self.in_hand += item.bytes();
                let body = match item {
                    Item::Body(body) => body,
                    Item::Flow(flow) => {
                        writer.write_all(&gathered).await?;
                        gathered.clear();
                        flow.write_to(&mut writer).await?;
                        break;
                    }
                };
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
            self.gauge.is_stuck.store(false, Ordering::Relaxed);
            self.gauge.take(std::mem::take(&mut self.in_hand));
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
    use futures::FutureExt as _;

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
    async fn a_load_waits_for_peers_that_read_and_only_once_for_one_that_does_not() {
        let load = Load::default();
        let large = || Bytes::from(vec![b'l'; LOAD_BYTES_PACE + 1]);
        let is_free = || load.room().now_or_never().is_some();
        let (stuck, _nobody_reads) = loading(usize::MAX, Some(load.clone()));
        let (healthy, drain) = loading(usize::MAX, Some(load.clone()));
        stuck.push(large()).expect("unbounded");
        assert!(!is_free());
        load.room().await;
        assert!(is_free());
        let writing = tokio::spawn(drain.write_to(tokio::io::sink()));
        for _ in 0..3 {
            healthy.push(Bytes::from_static(b"h")).expect("unbounded");
            tokio::task::yield_now().await;
            assert_eq!(healthy.waiting(), 0, "it is written");
            assert!(is_free(), "others' writes change nothing");
        }
        healthy.push(large()).expect("unbounded");
        assert!(!is_free(), "it is being written");
        load.room().await;
        assert_eq!(healthy.waiting(), 0);
        drop(healthy);
        writing.await.expect("no panic").expect("written");
    }

    #[tokio::test]
    async fn what_waits_for_a_peer_that_is_gone_counts_no_more() {
        let load = Load::default();
        let (queue, drain) = loading(usize::MAX, Some(load.clone()));
        for _ in 0..3 {
            queue
                .push(Bytes::from(vec![b'l'; LOAD_BYTES_PACE]))
                .expect("unbounded");
        }
        let (ours, theirs) = tokio::io::duplex(16);
        drop(ours);
        drain.write_to(theirs).await.expect_err("nobody reads");
        assert_eq!(queue.waiting(), 0);
        assert_eq!(
            queue.push(Bytes::from_static(b"x")),
            Err(QueueError::Closed)
        );
        assert_eq!(
            (queue.waiting(), load.0.waiting.load(Ordering::Relaxed)),
            (0, 0)
        );
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
