//! The stream between us and a server of tools: one JSON message a line, bounded in every direction (spec: Plugin System,
//! isolation).
//!
//! What a server says without being asked is counted and dropped, but for requests, which are answered: with a refusal,
//! because no server is offered anything of ours. One that sends too much is not read any longer.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use rmcp::model::{JsonRpcMessage, ServerNotification};
use rmcp::service::{RoleClient, RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Bytes of one message. A longer one ends the connection.
const MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Messages that nobody asked for, and lines that are none, in the life of a server.
const UNASKED_MAX: usize = 10_000;

/// Requests of a server: each needs an answer.
const REQUESTS_MAX: usize = 100;

/// Answers to what was not asked.
const STRAY_ANSWERS_MAX: usize = 100;

/// Time that a server may take to read what it is told.
const WRITE_MAX: Duration = Duration::from_secs(10);

/// Bytes of what a server says on its standard error that are kept: the last ones.
const LAST_WORDS_BYTES_MAX: usize = 2_000;

const CHUNK_BYTES: usize = 64 * 1024;

/// What is known of how a server behaves.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// Whether it said that its tools are others now.
    has_changed: AtomicBool,
    /// Why it is not read any longer.
    fault: OnceLock<String>,
    last_words: Mutex<Vec<u8>>,
}

impl Health {
    /// Whether the tools were said to be others since the last time that this was asked.
    pub(super) fn take_change(&self) -> bool {
        self.has_changed.swap(false, Ordering::Relaxed)
    }

    /// Why the server cannot be used any longer, as far as is known.
    pub(super) fn fault(&self) -> Option<&str> {
        self.fault.get().map(String::as_str)
    }

    fn blame(&self, fault: &str) {
        // The first fault is why it ended.
        let _ = self.fault.set(fault.to_owned());
    }

    /// What it said last on its standard error.
    pub(super) fn last_words(&self) -> String {
        let words = self.last_words.lock();
        let words = words.unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&words).trim().to_owned()
    }

    /// Reads a standard error to its end, and keeps the last of it.
    pub(super) async fn hear(&self, mut stream: impl AsyncRead + Unpin) {
        let mut buffer = vec![0; CHUNK_BYTES];
        while let Ok(read) = stream.read(&mut buffer).await {
            let piece = buffer.get(..read).unwrap_or_default();
            if piece.is_empty() {
                break;
            }
            let words = self.last_words.lock();
            let mut words = words.unwrap_or_else(PoisonError::into_inner);
            words.extend_from_slice(piece);
            let old = words.len().saturating_sub(LAST_WORDS_BYTES_MAX);
            words.drain(..old);
        }
    }
}

/// The fault of a server that is gone, whether that is seen when it is read or when it is written to.
const ENDED: &str = "it has ended";

/// The two pipes of a server.
#[derive(Debug)]
pub(super) struct Wire<I, O> {
    input: Arc<tokio::sync::Mutex<I>>,
    output: O,
    /// What was read and is no whole line yet.
    buffer: Vec<u8>,
    /// Bytes of it in which there is no end of a line.
    searched: usize,
    health: Arc<Health>,
    asked: usize,
    answers: usize,
    requests: usize,
    unasked: usize,
}

impl<I, O: AsyncRead + Unpin> Wire<I, O> {
    pub(super) fn new(input: I, output: O, health: Arc<Health>) -> Self {
        Self {
            input: Arc::new(tokio::sync::Mutex::new(input)),
            output,
            buffer: Vec::new(),
            searched: 0,
            health,
            asked: 0,
            answers: 0,
            requests: 0,
            unasked: 0,
        }
    }

    /// The next line, without its end; `None` when there is no more, or when it is too long.
    async fn line(&mut self) -> Option<Vec<u8>> {
        loop {
            let fresh = self.buffer.get(self.searched..).unwrap_or_default();
            if let Some(at) = memchr::memchr(b'\n', fresh) {
                let rest = self.buffer.split_off(self.searched + at + 1);
                let line = std::mem::replace(&mut self.buffer, rest);
                self.searched = 0;
                return Some(line);
            }
            self.searched = self.buffer.len();
            if self.searched > MESSAGE_BYTES_MAX {
                self.health.blame("it sent a message that is too long");
                return None;
            }
            // Whoever drops this future in between loses nothing: what was read is in the buffer.
            let read = self.output.read_buf(&mut self.buffer).await;
            if !read.is_ok_and(|read| read > 0) {
                self.health.blame(ENDED);
                return None;
            }
        }
    }

    /// Whether a message is to be looked at; `Err` when the server sends too many that are not.
    fn admits(&mut self, message: &RxJsonRpcMessage<RoleClient>) -> Result<bool, &'static str> {
        match message {
            JsonRpcMessage::Request(_) => {
                self.requests += 1;
                let is_fine = self.requests <= REQUESTS_MAX;
                is_fine.then_some(true).ok_or("it asks too many questions")
            }
            JsonRpcMessage::Response(_) | JsonRpcMessage::Error(_) => {
                self.answers += 1;
                let is_fine = self.answers <= self.asked + STRAY_ANSWERS_MAX;
                let fault = "it answers what was not asked";
                is_fine.then_some(true).ok_or(fault)
            }
            JsonRpcMessage::Notification(notification) => {
                if let ServerNotification::ToolListChangedNotification(_) =
                    &notification.notification
                {
                    self.health.has_changed.store(true, Ordering::Relaxed);
                }
                self.ignore().map(|()| false)
            }
        }
    }

    fn ignore(&mut self) -> Result<(), &'static str> {
        self.unasked += 1;
        let is_fine = self.unasked <= UNASKED_MAX;
        is_fine.then_some(()).ok_or("it sends too much unasked")
    }
}

impl<I, O> Transport<RoleClient> for Wire<I, O>
where
    I: AsyncWrite + Unpin + Send + 'static,
    O: AsyncRead + Unpin + Send + 'static,
{
    type Error = io::Error;

    fn send(
        &mut self,
        item: TxJsonRpcMessage<RoleClient>,
    ) -> impl Future<Output = io::Result<()>> + Send + 'static {
        if matches!(item, JsonRpcMessage::Request(_)) {
            self.asked += 1;
        }
        let (input, health) = (Arc::clone(&self.input), Arc::clone(&self.health));
        async move {
            let mut line = serde_json::to_vec(&item).map_err(io::Error::other)?;
            line.push(b'\n');
            let mut input = input.lock().await;
            let written = tokio::time::timeout(WRITE_MAX, input.write_all(&line)).await;
            let written = written.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?;
            if let Err(error) = &written
                && error.kind() == io::ErrorKind::BrokenPipe
            {
                health.blame(ENDED);
            }
            written
        }
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleClient>> {
        loop {
            let line = self.line().await?;
            let checked = match serde_json::from_slice::<RxJsonRpcMessage<RoleClient>>(&line) {
                Ok(message) => match self.admits(&message) {
                    Ok(true) => return Some(message),
                    Ok(false) => Ok(()),
                    Err(fault) => Err(fault),
                },
                Err(_) => self.ignore(),
            };
            if let Err(fault) = checked {
                self.health.blame(fault);
                return None;
            }
        }
    }

    async fn close(&mut self) -> io::Result<()> {
        Ok(())
    }
}
