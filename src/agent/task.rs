//! What a run is asked to do, and how it talks to whoever started it (spec: `Task`, `TaskResult`).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::keeper::Keeper;
use crate::config::Config;
use crate::config::host::Host;
use crate::event::{Proof, RunEvent, RunId};
use crate::redact::Redactor;
use crate::safety::approvals::Approver;
use crate::store::history::Past;
use crate::text::edit::EditSet;
use crate::text::problem::Problem;
use crate::tools::git_change::Wish;
use crate::tools::registry::Toolbox;

/// One thing to do.
#[derive(Debug, Clone)]
pub struct Task {
    /// Name of the run.
    pub run: RunId,
    /// What to do.
    pub kind: Kind,
    /// Workspace root, absolute and resolved.
    pub workspace: PathBuf,
    /// Text of open buffers, by path relative to the workspace: it counts instead of what is on disk.
    pub overlay: BTreeMap<PathBuf, Arc<str>>,
    /// Where the user is, if anybody knows.
    pub focus: Option<Focus>,
    /// Problems that the editor shows; empty when nobody looked yet.
    pub problems: Vec<Problem>,
}

/// The kinds of tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Repair problems: without a model where semantics suffice, then with one if there is one.
    Fix(Scope),
    /// Carry out an instruction in the user's words; needs a model.
    Do(String),
}

/// Which problems to repair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// All of them.
    Workspace,
    /// Those in one file, relative to the workspace.
    File(PathBuf),
    /// Those that touch a place.
    Place(Focus),
}

/// A place in a file: byte offsets into its current text (overlay over disk).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Focus {
    /// Path relative to the workspace.
    pub file: PathBuf,
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

/// What a run tells.
#[derive(Debug)]
pub enum Report {
    /// Something happened: for the journal and the progress display.
    Event(RunEvent),
    /// Something is about to happen, which waits until this is on the disk, or until it is said why it is not.
    Keep(Vec<RunEvent>, oneshot::Sender<Result<(), String>>),
    /// An edit is ready to be delivered; the run waits for [`Control::Delivered`].
    Proposal(Proposal),
}

/// A proven edit.
#[derive(Debug, Clone)]
pub struct Proposal {
    /// The files that change, with their text before and after.
    pub edits: EditSet,
    /// One line for people, for example `fix E0425 in src/main.rs`.
    pub title: String,
    /// What was checked.
    pub proof: Proof,
    /// What each repair did, in order; empty for free-form tasks.
    pub repairs: Vec<Repair>,
    /// What was changed, one after the other: each can be taken back alone.
    pub steps: Vec<Step>,
    /// What is to be done to the repository once the files are changed.
    pub wishes: Vec<Wish>,
}

/// What one call of a tool, or one repair, changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// One line for people.
    pub title: String,
    /// The files that it changed, with their text before and after it.
    pub edits: EditSet,
}

/// One repaired problem of a proposal.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Repair {
    /// The problem's code, for example `E0425`.
    pub code: String,
    /// Where it was, for example `src/main.rs:3`.
    pub place: String,
    /// What kind of edit repaired it: `quickfix`, `suggestion`, `import`, `format`, `model`.
    pub kind: String,
    /// Who proposed the edit: `rust-analyzer`, `rustc`, a model's name.
    pub source: String,
    /// The edit's title.
    pub title: String,
}

/// What whoever started a run tells it.
#[derive(Debug, Clone)]
pub enum Control {
    /// Stop as soon as possible and change nothing more.
    Cancel,
    /// How the proposal fared.
    Delivered(Delivery),
}

/// How a proposal fared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// The edit is in the editor (its own `didChange` showed it) or on disk.
    Applied,
    /// It was shown but not asked to be applied (dry run).
    Shown,
    /// It could not be applied, for this reason.
    Refused(String),
}

/// What every run is given.
#[derive(Debug, Clone)]
pub struct Services {
    /// Folders and environment.
    pub host: Arc<Host>,
    /// The user's settings.
    pub config: Arc<Config>,
    /// Takes secrets out of text.
    pub redactor: Arc<Redactor>,
    /// Keeps the means of proof warm between runs.
    pub keeper: Keeper,
    /// The way to a person, where there is one: without it, what needs approval is refused.
    pub approver: Option<Approver>,
    /// The tools that a run can call.
    pub toolbox: Arc<Toolbox>,
    /// What earlier runs did.
    pub past: Past,
}

impl Services {
    /// Services that share nothing with others yet.
    pub fn new(host: Host, config: Config, redactor: Redactor) -> Self {
        Self {
            host: Arc::new(host),
            config: Arc::new(config),
            redactor: Arc::new(redactor),
            keeper: Keeper::default(),
            approver: None,
            toolbox: Arc::default(),
            past: Past::default(),
        }
    }
}
