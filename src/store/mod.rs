//! What outlives the process: the only user of redb (spec: History Store, Audit Storage).
//!
//! One [`Store`] for each workspace, in the state folder and thus out of reach of everything the agent starts. Events
//! go through a bounded queue to one thread that writes them to the `journal`; [`history`] and [`audit`] read them back;
//! [`images`] keeps, in plain files, what files looked like before and after each run, [`prompts`] what the model was told. A store that cannot be opened
//! takes nothing else away: the program works without it and says so once.

pub mod audit;
mod chain;
pub mod durable;
pub mod history;
pub mod images;
mod journal;
pub mod prompts;
pub mod retention;
mod tables;
pub mod tally;
pub mod verify;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use redb::Database;

use crate::config::host::Host;
use crate::event::{RunEvent, RunId};
use crate::redact::Redactor;
use chain::Seal;
use journal::Writer;
use retention::{Removed, Retention};

/// Name of the store's file in the state folder of a workspace.
pub const FILE: &str = "store.redb";

/// Why the store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no store in this process.
    #[error("{0}")]
    Unavailable(String),
    /// The file's content is not what redb or this program wrote.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// A newer program wrote the file.
    #[error("the store has format {found}, newer than this program knows; update meliora")]
    Newer {
        /// Its format.
        found: u64,
    },
    /// The system refused.
    #[error("cannot use {path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl<E: Into<redb::Error>> From<E> for Error {
    fn from(error: E) -> Self {
        Self::Damaged(error.into().to_string())
    }
}

/// What is kept for one workspace.
#[derive(Debug)]
pub struct Store {
    state: State,
    notices: Vec<String>,
}

#[derive(Debug)]
enum State {
    Open(Box<Open>),
    Absent(String),
}

/// An open store.
#[derive(Debug)]
struct Open {
    files: Arc<Files>,
    writer: Writer,
    redactor: Arc<Redactor>,
}

/// The files of an open store.
#[derive(Debug)]
struct Files {
    database: Database,
    seal: Seal,
    folder: PathBuf,
}

impl Store {
    /// Opens the store of a workspace. Blocks on the disk: a server calls it off its loop.
    ///
    /// Never fails: without a store the events go nowhere, and [`Store::notices`] says why.
    pub fn open(host: &Host, workspace: &Path, redactor: Arc<Redactor>) -> Self {
        let folder = host.state_of(workspace);
        match journal::open(folder, &redactor) {
            Ok((files, writer, notices)) => Self {
                state: State::Open(Box::new(Open {
                    files,
                    writer,
                    redactor,
                })),
                notices,
            },
            Err(error) => {
                let reason = error.to_string();
                Self {
                    notices: vec![format!("history is not kept this time: {reason}")],
                    state: State::Absent(reason),
                }
            }
        }
    }

    /// Whether a journal can be kept for a workspace. Where it cannot, nothing is run for a model: nobody would know.
    pub fn probe(host: &Host, workspace: &Path) -> Result<(), Error> {
        journal::probe(&host.state_of(workspace)).map_err(unkept)
    }

    /// The same of this store.
    pub fn kept(&self) -> Result<(), Error> {
        match &self.state {
            State::Open(_) => Ok(()),
            State::Absent(reason) => Err(unkept(reason)),
        }
    }

    /// What should be said once: that there is no store, that a damaged one was put aside.
    pub fn notices(&self) -> &[String] {
        &self.notices
    }

    /// Adds an event to the journal, redacted. Never waits: when the writer cannot keep up, the event is counted and
    /// the journal says how many are missing.
    pub fn append(&self, run: &RunId, event: &RunEvent) {
        if let State::Open(open) = &self.state {
            open.writer.append(run, event, &open.redactor);
        }
    }

    /// Adds events to the journal, redacted, and waits until they are on the disk. An error says that they may not be
    /// there, also where there is no journal: whoever is about to act then does not.
    pub fn record(&self, run: &RunId, events: &[RunEvent]) -> Result<(), Error> {
        match &self.state {
            State::Open(open) => open.writer.record(run, events, &open.redactor),
            State::Absent(reason) => Err(unkept(reason)),
        }
    }

    /// Waits until everything appended before is on the disk.
    pub fn flush(&self) -> Result<(), Error> {
        match &self.state {
            State::Open(open) => open.writer.flush(),
            State::Absent(_) => Ok(()),
        }
    }

    /// Removes the oldest entries of the journal that are not to be kept; `None` when there are none.
    pub fn prune(&self, retention: Retention) -> Result<Option<Removed>, Error> {
        match &self.state {
            State::Open(open) => open.writer.prune(retention),
            State::Absent(_) => Ok(None),
        }
    }

    /// [`Store::prune`], at most once a day: called whenever a workspace is opened.
    pub fn keep_up_to(&self, retention: Retention) -> Result<Option<Removed>, Error> {
        let State::Open(open) = &self.state else {
            return Ok(None);
        };
        if retention::was_looked_for(&open.files, now())? {
            return Ok(None);
        }
        self.prune(retention)
    }

    fn files(&self) -> Result<&Files, Error> {
        match &self.state {
            State::Open(open) => {
                open.writer.flush()?;
                Ok(&open.files)
            }
            State::Absent(reason) => Err(Error::Unavailable(format!("no store: {reason}"))),
        }
    }
}

fn unkept(reason: impl std::fmt::Display) -> Error {
    Error::Unavailable(format!(
        "what is done cannot be written down, so nothing is: {reason}; see that this folder is yours and can be written"
    ))
}

/// Milliseconds since the Unix epoch.
pub(crate) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        })
}

/// A number that tells two names of one moment apart.
pub(crate) fn salt() -> u32 {
    getrandom::u32().unwrap_or_else(|_| std::process::id())
}

fn random<const LENGTH: usize>() -> Result<[u8; LENGTH], Error> {
    let mut bytes = [0; LENGTH];
    getrandom::fill(&mut bytes).map_err(|error| {
        Error::Unavailable(format!("the system gives no random bytes: {error}"))
    })?;
    Ok(bytes)
}
