//! A program that a tool runs on proposed text, and what came of it (spec: Execution Engine, Execution Protection).

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::oneshot;

use super::Change;
use super::sandbox::Room;
use crate::permit::Purpose;
use crate::process::launch::Caps;
use crate::process::{Finished, Limits, Watch};

/// A program to be run in a copy of the workspace with the edits so far. Whoever makes one had it judged before, as the
/// tool's actions.
#[derive(Debug, Clone)]
pub struct Job {
    /// What it is run for.
    pub purpose: Purpose,
    /// A name that is looked up on `PATH`, or an absolute path. Tools and tests of a project are looked for where the
    /// project keeps its own first.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// The folder it runs in, relative to the workspace; empty: the workspace.
    pub folder: PathBuf,
    /// Variables beside those that everything in a copy has.
    pub variables: BTreeMap<String, String>,
    /// Time after which it is killed with all that it started.
    pub timeout: Duration,
    /// Bytes kept of each of its outputs.
    pub output_bytes_max: usize,
    /// What it may use up.
    pub caps: Caps,
    /// What becomes of the files that it changes.
    pub traces: Traces,
    /// Sees the output as it comes.
    pub watch: Option<Watch>,
}

impl Job {
    pub(super) fn limits(&self) -> Limits {
        Limits {
            timeout: self.timeout,
            output_bytes_max: self.output_bytes_max,
        }
    }
}

/// What becomes of the files that a job changes. The copy itself is always put back as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Traces {
    /// They are proposed as edits.
    Kept,
    /// They are forgotten.
    Dropped,
}

/// A job that ran to its end.
#[derive(Debug, Clone)]
pub struct Ran {
    /// How it ended, and what it printed.
    pub finished: Finished,
    /// The text files that it changed, where that was asked for.
    pub changes: Vec<Change>,
    /// Files that it changed and that are not among the changes: ignored ones, those that are no text or may hold
    /// secrets, links.
    pub left_out: usize,
}

/// Why a job did not run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotRun {
    /// Its program is neither in the project nor on `PATH`.
    #[error("{0} is neither in the project nor on PATH; install it")]
    Missing(String),
    /// Anything else, in words.
    #[error("{0}")]
    Failed(String),
}

impl From<String> for NotRun {
    fn from(reason: String) -> Self {
        Self::Failed(reason)
    }
}

impl From<io::Error> for NotRun {
    fn from(error: io::Error) -> Self {
        let inner = error.get_ref();
        let known = inner.and_then(|inner| inner.downcast_ref::<Self>());
        known
            .cloned()
            .unwrap_or_else(|| Self::Failed(error.to_string()))
    }
}

/// The copy of the workspace, lent to whoever runs programs in it on its own. Dropping it gives it back, and forgets
/// what was changed.
#[derive(Debug)]
pub struct Loan {
    /// The folders, and what runs in them.
    pub room: Room,
    back: oneshot::Sender<Traces>,
    taken: oneshot::Receiver<Result<Taken, String>>,
}

/// The other end of a loan.
#[derive(Debug)]
pub struct Lender {
    /// Comes when the copy is given back.
    pub back: oneshot::Receiver<Traces>,
    /// Takes what became of its files.
    pub taken: oneshot::Sender<Result<Taken, String>>,
}

/// The files that a program changed in the copy, which is as it was again.
#[derive(Debug, Default)]
pub struct Taken {
    /// Text files.
    pub changes: Vec<Change>,
    /// Files that are not among them.
    pub left_out: usize,
}

impl Loan {
    /// A loan of a room, and its other end.
    pub fn new(room: Room) -> (Self, Lender) {
        let (back, has_back) = oneshot::channel();
        let (taken, has_taken) = oneshot::channel();
        let loan = Self {
            room,
            back,
            taken: has_taken,
        };
        let lender = Lender {
            back: has_back,
            taken,
        };
        (loan, lender)
    }

    /// Gives the copy back, in which nothing of ours runs any longer.
    pub async fn give_back(self, traces: Traces) -> Result<Taken, String> {
        let gone = "what has the copy of the workspace has ended";
        self.back.send(traces).map_err(|_| gone.to_owned())?;
        self.taken.await.unwrap_or_else(|_| Err(gone.to_owned()))
    }
}
