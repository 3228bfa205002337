//! One running language server: its pipes, its last words, its end (spec: LSP Client, connection).
//!
//! Three tasks serve a child: one reads its messages, one writes ours in order, one drains its standard error into a
//! short memory that is shown when it crashes. Dropping the [`Connection`] kills the child's whole group.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::large::{self, End, Large};
use super::queue::{self, Load, Queue, QueueError};
use super::wire::{Decoder, Frame};
use crate::permit::Permit;
use crate::process::{self, Running};

/// Bytes that may wait for a server that does not read.
pub const QUEUE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Messages of one server that may wait to be handled.
const INCOMING_MAX: usize = 256;

/// Time for the rest of standard error to arrive after the output ended.
const LAST_WORDS_PATIENCE: Duration = Duration::from_millis(200);

/// Time for a server to end after it was asked to by signal.
const SIGNAL_PATIENCE: Duration = Duration::from_millis(400);

/// Time for the helpers that a server started to end after it.
const HELPERS_PATIENCE: Duration = Duration::from_millis(300);

/// How often it is looked whether they have.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Lines of standard error that are remembered.
const STDERR_LINES_MAX: usize = 20;

/// Longest remembered line of standard error.
const STDERR_LINE_BYTES_MAX: usize = 400;

/// Something that came from a server.
#[derive(Debug)]
pub enum Incoming {
    /// The body of one message.
    Message(Bytes),
    /// The beginning of a large message, for a feed that takes them so ([`Feed::in_pieces`]). Nothing more comes until it
    /// is said what becomes of it.
    Large(Large),
    /// A large message that was handed on has ended; whether it was all there.
    Flowed(bool),
    /// It wrote something to its standard output that is no message.
    Garbage(String),
    /// Its output ended; the reason as a sentence fragment for people.
    Closed(String),
}

/// A running language server.
#[derive(Debug)]
pub struct Connection {
    name: String,
    program: PathBuf,
    /// The child; none where the server is another process's.
    running: Option<Running>,
    queue: Option<Queue>,
    tasks: Vec<JoinHandle<()>>,
    last_words: LastWords,
}

/// The end of what a server wrote to its standard error.
#[derive(Debug, Clone, Default)]
pub struct LastWords {
    // A lock, because the reader of a crash looks at it once while the drain may still be writing; never held across
    // an await.
    lines: Arc<Mutex<VecDeque<String>>>,
}

impl LastWords {
    /// The remembered lines, oldest first.
    pub fn text(&self) -> String {
        let lines = self
            .lines
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        lines
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join("\n")
    }

    fn add(&self, line: &str) {
        let mut lines = self
            .lines
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if lines.len() == STDERR_LINES_MAX {
            lines.pop_front();
        }
        let mut end = line.len().min(STDERR_LINE_BYTES_MAX);
        while !line.is_char_boundary(end) {
            end -= 1;
        }
        lines.push_back(line.get(..end).unwrap_or_default().to_owned());
    }
}

impl Connection {
    /// Starts a server. Everything it says arrives in the receiver; the permit must be for this command.
    pub fn start(
        name: &str,
        command: &process::Command,
        permit: &Permit,
    ) -> std::io::Result<(Self, mpsc::Receiver<Incoming>)> {
        let (sender, receiver) = mpsc::channel(INCOMING_MAX);
        let feed = Feed::new(sender, |incoming| incoming);
        Ok((Self::start_into(name, command, permit, feed)?, receiver))
    }

    /// Starts a server whose words go into a feed that others share.
    pub fn start_into<T: Send + 'static>(
        name: &str,
        command: &process::Command,
        permit: &Permit,
        feed: Feed<T>,
    ) -> std::io::Result<Self> {
        let mut running = process::spawn(command, permit)?;
        let streams = (
            running.stdin.take(),
            running.stdout.take(),
            running.stderr.take(),
        );
        let (Some(stdin), Some(stdout), Some(stderr)) = streams else {
            return Err(std::io::Error::other("the child has no pipes"));
        };
        process::pipe::widen(&stdin);
        process::pipe::widen(&stdout);
        let (queue, drain) = queue::loading(QUEUE_BYTES_MAX, feed.adds_to.clone());
        let last_words = LastWords::default();
        let (said, all_said) = oneshot::channel();
        let words = last_words.clone();
        let tasks = vec![
            tokio::spawn(async move {
                remember(stderr, words).await;
                let _ = said.send(());
            }),
            tokio::spawn(async move {
                let reason = read(stdout, &feed).await;
                // A crash is told with its last words, which come through the other pipe.
                let _ = tokio::time::timeout(LAST_WORDS_PATIENCE, all_said).await;
                feed.put(Incoming::Closed(reason)).await;
            }),
            tokio::spawn(async move {
                // An error means that the child closed its input: its output tells the rest.
                let _ = drain.write_to(stdin).await;
            }),
        ];
        let connection = Self {
            name: name.to_owned(),
            program: command.program.clone(),
            running: Some(running),
            queue: Some(queue),
            tasks,
            last_words,
        };
        Ok(connection)
    }

    /// Speaks to a server that another process has started, over a stream. `program` is what runs there.
    pub fn over<T: Send + 'static>(
        name: &str,
        program: PathBuf,
        (input, output): (
            impl AsyncRead + Send + Unpin + 'static,
            impl AsyncWrite + Send + Unpin + 'static,
        ),
        feed: Feed<T>,
    ) -> Self {
        let (queue, drain) = queue::bounded(QUEUE_BYTES_MAX);
        let tasks = vec![
            tokio::spawn(async move {
                let reason = read(input, &feed).await;
                feed.put(Incoming::Closed(reason)).await;
            }),
            tokio::spawn(async move {
                // An error means that nobody is there any more, which the other task notices.
                let _ = drain.write_to(output).await;
            }),
        ];
        Self {
            name: name.to_owned(),
            program,
            running: None,
            queue: Some(queue),
            tasks,
            last_words: LastWords::default(),
        }
    }

    /// Name for people.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The executable that runs.
    pub fn program(&self) -> &std::path::Path {
        &self.program
    }

    /// Process id, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.running.as_ref().and_then(Running::id)
    }

    /// Queues a body to be written after everything queued before.
    pub fn send(&self, body: Bytes) -> Result<(), QueueError> {
        match &self.queue {
            Some(queue) => queue.push(body),
            None => Err(QueueError::Closed),
        }
    }

    /// Bytes that wait to be written to it.
    pub fn queue_bytes(&self) -> usize {
        self.queue.as_ref().map_or(0, Queue::waiting)
    }

    /// What waits to be written to it: for a source that is to be read no faster.
    pub fn pace(&self) -> Option<Queue> {
        self.queue.clone()
    }

    /// The end of what it wrote to its standard error.
    pub fn last_words(&self) -> &LastWords {
        &self.last_words
    }

    /// Closes the server's input once everything queued is written and waits for its end. When the time is up its group
    /// is asked to end by signal, and killed when it does not; without patience it is killed at once.
    pub async fn finish(mut self, patience: Duration) {
        self.queue = None;
        let Some(mut running) = self.running.take() else {
            if let Some(writing) = self.tasks.last_mut() {
                // Whoever does not read misses the last words.
                let _ = tokio::time::timeout(patience, writing).await;
            }
            return;
        };
        let mut ended = tokio::time::timeout(patience, running.wait()).await;
        if ended.is_err() && !patience.is_zero() {
            running.terminate();
            ended = tokio::time::timeout(SIGNAL_PATIENCE, running.wait()).await;
        }
        if ended.is_ok() {
            // Its own children notice its end, and clean up behind themselves.
            let deadline = tokio::time::Instant::now() + HELPERS_PATIENCE;
            while running.is_group_alive() && tokio::time::Instant::now() < deadline {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
        running.kill();
        // The exit status is collected so that no dead process stays.
        let _ = tokio::time::timeout(patience, running.wait()).await;
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Where a reader puts what it read.
pub struct Feed<T> {
    sender: mpsc::Sender<T>,
    wrap: Box<dyn Fn(Incoming) -> T + Send + Sync>,
    outlet: Option<Queue>,
    in_pieces: bool,
    adds_to: Option<Load>,
    slowed_by: Option<Load>,
}

impl<T> std::fmt::Debug for Feed<T> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Feed").finish_non_exhaustive()
    }
}

impl<T> Feed<T> {
    /// Sends everything to `sender`, in the form that `wrap` gives it.
    pub fn new(
        sender: mpsc::Sender<T>,
        wrap: impl Fn(Incoming) -> T + Send + Sync + 'static,
    ) -> Self {
        Self {
            sender,
            wrap: Box::new(wrap),
            outlet: None,
            in_pieces: false,
            adds_to: None,
            slowed_by: None,
        }
    }

    /// What waits for the server that speaks here counts as a part of this load.
    pub fn adding_to(mut self, load: Load) -> Self {
        self.adds_to = Some(load);
        self
    }

    /// Reads no faster than this load is written, while it is.
    pub fn slowed_by(mut self, load: Load) -> Self {
        self.slowed_by = Some(load);
        self
    }

    /// Takes large messages while they come.
    pub fn in_pieces(mut self) -> Self {
        self.in_pieces = true;
        self
    }

    /// Reads no faster than this queue is written: where most of what is read goes.
    pub fn paced_by(mut self, outlet: Queue) -> Self {
        self.outlet = Some(outlet);
        self
    }

    /// Puts one thing; whether anybody still listens.
    pub async fn put(&self, incoming: Incoming) -> bool {
        self.sender.send((self.wrap)(incoming)).await.is_ok()
    }
}

/// Reads messages until the stream ends, and gives the reason of the end.
pub async fn read<T>(mut stream: impl AsyncRead + Unpin, feed: &Feed<T>) -> String {
    const ENDED: &str = "it closed its output";
    let mut decoder = if feed.in_pieces {
        Decoder::in_pieces()
    } else {
        Decoder::default()
    };
    loop {
        if let Some(outlet) = &feed.outlet {
            outlet.room().await;
        }
        if let Some(load) = &feed.slowed_by {
            load.room().await;
        }
        match stream.read_buf(decoder.space()).await {
            Ok(0) => {
                if let Some(text) = decoder.take_garbage() {
                    feed.put(Incoming::Garbage(text)).await;
                }
                return ENDED.to_owned();
            }
            Ok(_) => {}
            Err(error) => return error.to_string(),
        }
        loop {
            let incoming = match decoder.next_frame() {
                Ok(None) => break,
                Ok(Some(Frame::Message(body))) => Incoming::Message(body),
                Ok(Some(Frame::Large(head, length))) => {
                    let beginning = (head, length);
                    match pass_large(&mut stream, &mut decoder, beginning, feed).await {
                        Ok(Some(body)) => Incoming::Message(body),
                        Ok(None) => continue,
                        Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                            return ENDED.to_owned();
                        }
                        Err(error) => return error.to_string(),
                    }
                }
                Ok(Some(Frame::Garbage(text))) => Incoming::Garbage(text),
                Err(error) => return error.to_string(),
            };
            if !feed.put(incoming).await {
                return ENDED.to_owned();
            }
        }
    }
}

/// Offers a large message; gives it when it is wanted as a whole.
async fn pass_large<T>(
    stream: &mut (impl AsyncRead + Unpin),
    decoder: &mut Decoder,
    beginning: (Bytes, usize),
    feed: &Feed<T>,
) -> std::io::Result<Option<Bytes>> {
    let offer = async |large| {
        feed.put(Incoming::Large(large)).await;
    };
    match large::pass(stream, decoder, beginning, offer).await? {
        End::Whole(body) => return Ok(Some(body)),
        End::Flowed => {
            feed.put(Incoming::Flowed(true)).await;
        }
        End::Missing(missing) => {
            feed.put(Incoming::Flowed(false)).await;
            large::skip(stream, decoder, missing).await?;
        }
    }
    Ok(None)
}

async fn remember(mut stderr: impl AsyncRead + Unpin, last_words: LastWords) {
    let mut buffer = vec![0; 4096];
    let mut line = Vec::new();
    while let Ok(read) = stderr.read(&mut buffer).await {
        if read == 0 {
            break;
        }
        for byte in buffer.get(..read).unwrap_or_default() {
            if *byte != b'\n' {
                if line.len() < STDERR_LINE_BYTES_MAX {
                    line.push(*byte);
                }
                continue;
            }
            last_words.add(String::from_utf8_lossy(&line).trim_end());
            line.clear();
        }
    }
    if !line.is_empty() {
        last_words.add(String::from_utf8_lossy(&line).trim_end());
    }
}
