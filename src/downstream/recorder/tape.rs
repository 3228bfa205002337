//! Writes everything that is said to a file, from the first frame on (spec: Monitoring, flight recorder).
//!
//! A thread masks and writes; who speaks and hears never waits for it. When the disk is so slow that too much waits, only
//! the beginnings of messages are written until it is not.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::JoinHandle;

use bytes::Bytes;

use super::CUT_BYTES;
use super::mask::Mask;
use super::recording::{Frame, Head, Origin, Way, line_of_frame, line_of_head};
use crate::config::file;

/// Bytes that may wait to be written.
const WAITING_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Where one server's frames go: cheap to clone, for another one.
#[derive(Debug, Clone)]
pub struct Tape {
    sender: Sender<Entry>,
    waiting: Arc<AtomicUsize>,
    of: Arc<str>,
}

/// The thread that writes.
#[derive(Debug)]
pub struct Writing {
    thread: JoinHandle<io::Result<()>>,
}

#[derive(Debug)]
enum Entry {
    Head(Box<Head>),
    Frame(Arc<str>, Frame),
}

/// Makes a file and writes to it what is recorded.
pub fn start(path: &Path, mask: Mask) -> io::Result<(Tape, Writing)> {
    let file = create(path)?;
    let (sender, receiver) = channel();
    let waiting = Arc::new(AtomicUsize::new(0));
    let gauge = Arc::clone(&waiting);
    let thread = std::thread::Builder::new()
        .name("tape".to_owned())
        .spawn(move || write(BufWriter::new(file), &receiver, &gauge, mask))?;
    let tape = Tape {
        sender,
        waiting,
        of: Arc::from(""),
    };
    Ok((tape, Writing { thread }))
}

/// Makes or empties a file that only the user can read.
pub fn create(path: &Path) -> io::Result<File> {
    let mut options = file::private();
    options.write(true).create(true).truncate(true).open(path)
}

impl Tape {
    /// The frames that come belong to this start of a server.
    pub(super) fn begin(&mut self, head: &Head) {
        self.of = Arc::from(head.of.as_str());
        // A thread that is gone has said why, or will.
        let _ = self.sender.send(Entry::Head(Box::new(head.clone())));
    }

    /// Writes a frame of this length, of which this much is known.
    pub(super) fn put(&self, at: u64, way: Way, start: &Bytes, length: usize) {
        let waits = self.waiting.load(Ordering::Relaxed);
        let is_too_much = waits > 0 && waits + length > WAITING_BYTES_MAX;
        let is_cut = start.len() < length || is_too_much;
        let body = if is_cut {
            Bytes::copy_from_slice(start.get(..CUT_BYTES).unwrap_or(start))
        } else {
            start.clone()
        };
        self.waiting.fetch_add(body.len(), Ordering::Relaxed);
        let frame = Frame {
            at,
            way,
            origin: Origin::Heard,
            bytes: length,
            is_cut,
            body,
        };
        let entry = Entry::Frame(Arc::clone(&self.of), frame);
        let _ = self.sender.send(entry);
    }
}

impl Writing {
    /// Waits until everything is written, once every [`Tape`] is dropped.
    pub fn finish(self) -> io::Result<()> {
        let ended = self.thread.join();
        ended.unwrap_or_else(|_| Err(io::Error::other("the thread that writes ended early")))
    }
}

fn write(
    mut file: impl Write,
    entries: &Receiver<Entry>,
    waiting: &AtomicUsize,
    mut mask: Mask,
) -> io::Result<()> {
    loop {
        let entry = match entries.try_recv() {
            Ok(entry) => entry,
            Err(TryRecvError::Disconnected) => return file.flush(),
            Err(TryRecvError::Empty) => {
                // What is there is there, should we be killed.
                file.flush()?;
                match entries.recv() {
                    Ok(entry) => entry,
                    Err(_) => return Ok(()),
                }
            }
        };
        let line = match &entry {
            Entry::Head(head) => line_of_head(head, &mask),
            Entry::Frame(of, frame) => {
                waiting.fetch_sub(frame.body.len(), Ordering::Relaxed);
                line_of_frame(of, frame, &mut mask)
            }
        };
        file.write_all(line.as_bytes())?;
    }
}
