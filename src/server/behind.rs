//! One language server behind us, through its life (spec: LSP Manager, server lifecycle).
//!
//! It starts with the best program of its name. A program that ends before it answers `initialize` (rustup's shim without
//! the component does) is left for the next one, and nothing that was queued meanwhile is lost.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::time::Instant;

use bytes::Bytes;
use serde_json::Value;

use super::capabilities::Sync;
use super::session::Event;
use crate::config::host::Host;
use crate::downstream::connection::{Connection, Feed};
use crate::downstream::queue::QueueError;
use crate::downstream::registry;
use crate::permit::Purpose;
use crate::process::{Command, Environment};
use crate::safety;

/// A language server behind us.
#[derive(Debug)]
pub struct Behind {
    /// What it is.
    pub spec: registry::Server,
    /// How often it was started: words of an earlier start are not listened to.
    pub attempt: u32,
    /// Where it is in its life.
    pub phase: Phase,
    /// Its answer to `initialize`.
    pub answer: Value,
    /// How it wants to hear of texts.
    pub sync: Sync,
    /// Documents for which it published diagnostics that are not empty.
    pub published: BTreeSet<String>,
    /// Tokens of work that it began and did not end, as JSON.
    pub working: BTreeSet<String>,
    connection: Option<Connection>,
    candidates: VecDeque<PathBuf>,
    tried: Vec<(PathBuf, String)>,
    initialize: Bytes,
    directory: PathBuf,
}

/// Where a server is in its life.
#[derive(Debug)]
pub enum Phase {
    /// It has not answered `initialize` yet; these messages wait.
    Starting {
        /// Messages for it, in order.
        queued: Vec<Bytes>,
        /// Since when.
        since: Instant,
    },
    /// It works.
    Running,
    /// It is gone, for this reason.
    Ended(String),
}

impl Behind {
    /// Prepares a server; [`Behind::start`] starts it. `initialize` is the body it is greeted with.
    pub fn new(
        spec: registry::Server,
        host: &Host,
        trusted: Option<&Path>,
        directory: &Path,
        initialize: Bytes,
    ) -> Self {
        Self {
            candidates: registry::candidates(&spec, host, trusted).into(),
            spec,
            attempt: 0,
            phase: Phase::Starting {
                queued: Vec::new(),
                since: Instant::now(),
            },
            answer: Value::Null,
            sync: Sync::of(&Value::Null),
            published: BTreeSet::new(),
            working: BTreeSet::new(),
            connection: None,
            tried: Vec::new(),
            initialize,
            directory: directory.to_owned(),
        }
    }

    /// Starts the next program that may be this server. Fails when there is none left.
    pub fn start(
        &mut self,
        host: &Host,
        mut feed: impl FnMut(u32) -> Feed<Event>,
    ) -> Result<(), String> {
        self.connection = None;
        while let Some(program) = self.candidates.pop_front() {
            self.attempt += 1;
            let command = Command {
                program: program.clone(),
                arguments: self.spec.arguments.clone(),
                directory: self.directory.clone(),
                environment: Environment::Inherited(BTreeMap::new()),
                confinement: None,
                launcher: host.executable.clone(),
            };
            let permit = safety::permit_user_program(
                Purpose::LanguageServer,
                command.program.clone(),
                command.arguments.clone(),
                command.directory.clone(),
            );
            let started =
                Connection::start_into(&self.spec.name, &command, &permit, feed(self.attempt));
            match started {
                Ok(connection) => {
                    // A server that is gone at once says so by its closed output.
                    let _ = connection.send(self.initialize.clone());
                    self.connection = Some(connection);
                    return Ok(());
                }
                Err(error) => self.tried.push((program, error.to_string())),
            }
        }
        let missing = registry::Missing {
            name: self.spec.name.clone(),
            tried: std::mem::take(&mut self.tried),
            hint: self.spec.hint.clone(),
        };
        let reason = missing.to_string();
        self.phase = Phase::Ended(reason.clone());
        Err(reason)
    }

    /// Notes that the program that was started did not become a server.
    pub fn give_up_program(&mut self, reason: &str) {
        if let Some(connection) = self.connection.take() {
            let said = last_line(&connection.last_words().text());
            let reason = if said.is_empty() {
                reason.to_owned()
            } else {
                said
            };
            self.tried.push((connection.program().to_owned(), reason));
        }
    }

    /// Whether it works.
    pub fn is_running(&self) -> bool {
        matches!(self.phase, Phase::Running)
    }

    /// Whether it has not answered `initialize` yet.
    pub fn is_starting(&self) -> bool {
        matches!(self.phase, Phase::Starting { .. })
    }

    /// Whether this is the answer to its `initialize`, and takes it.
    pub fn initialized(&mut self, answer: Value) {
        self.sync = Sync::of(crate::text::json::at(&answer, "/capabilities"));
        self.answer = answer;
        let before = std::mem::replace(&mut self.phase, Phase::Running);
        if let Phase::Starting { queued, .. } = before {
            for body in queued {
                // Its closed output tells when it is gone.
                let _ = self.send(body);
            }
        }
    }

    /// Sends it a message, or queues it until it has answered `initialize`.
    pub fn send(&mut self, body: Bytes) -> Result<(), QueueError> {
        match (&mut self.phase, &self.connection) {
            (Phase::Starting { queued, .. }, _) => {
                queued.push(body);
                Ok(())
            }
            (Phase::Running, Some(connection)) => connection.send(body),
            (Phase::Running | Phase::Ended(_), _) => Err(QueueError::Closed),
        }
    }

    /// Puts a message before all that wait for its answer to `initialize`.
    pub fn send_first(&mut self, body: Bytes) {
        if let Phase::Starting { queued, .. } = &mut self.phase {
            queued.insert(0, body);
        }
    }

    /// Takes a waiting request back. `false`: it was sent already.
    pub fn unqueue(&mut self, is_it: impl Fn(&Bytes) -> bool) -> bool {
        match &mut self.phase {
            Phase::Starting { queued, .. } => {
                let before = queued.len();
                queued.retain(|body| !is_it(body));
                queued.len() < before
            }
            Phase::Running | Phase::Ended(_) => false,
        }
    }

    /// Notes that it is gone and gives its connection, to be ended, and a sentence for people.
    pub fn end(&mut self, reason: &str) -> (Option<Connection>, String) {
        let connection = self.connection.take();
        let said = connection
            .as_ref()
            .map(|connection| last_line(&connection.last_words().text()))
            .unwrap_or_default();
        let sentence = if said.is_empty() {
            format!("{} ended: {reason}", self.spec.name)
        } else {
            format!("{} ended: {reason}; it said: {said}", self.spec.name)
        };
        self.phase = Phase::Ended(sentence.clone());
        (connection, sentence)
    }

    /// Takes the connection out, to end it.
    pub fn take_connection(&mut self) -> Option<Connection> {
        self.connection.take()
    }

    /// Process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.connection.as_ref().and_then(Connection::id)
    }

    /// The program that runs.
    pub fn program(&self) -> Option<&Path> {
        self.connection.as_ref().map(Connection::program)
    }
}

fn last_line(text: &str) -> String {
    text.lines()
        .rev()
        .find(|line| !line.trim().is_empty())
        .unwrap_or_default()
        .trim()
        .to_owned()
}
