//! What the agent can do (spec: Tool Integration Framework).
//!
//! [`Tool`] is the one open trait of the program. A tool looks at a [`Context`], a staged copy of the workspace, and
//! gives data and proposed changes back; it never writes to the disk. [`execute`] is the only caller: it validates,
//! asks `safety`, runs, redacts and cuts. [`registry`] lists the tools that ship. [`build`], [`test`] and [`sandbox`]
//! run the project's own programs for proofs.

pub mod arguments;
pub mod background;
pub mod build;
pub mod code;
pub mod consent;
pub mod edit;
pub mod execute;
pub mod fs;
pub mod git;
pub mod git_change;
pub mod http;
pub mod job;
pub mod language;
pub mod outputs;
mod page;
pub mod patch;
pub mod project;
mod quote;
pub mod reach;
pub mod recall;
pub mod registry;
pub mod rename;
pub mod sandbox;
pub mod search;
pub mod shell;
pub mod symbol;
pub mod test;
pub mod witness;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use self::consent::Inquiry;
use self::git_change::Wish;
use self::job::{Job, Loan, NotRun, Ran};
use self::outputs::Outputs;
use crate::config::host::Host;
use crate::config::tools::Tools as Settings;
use crate::event::RunEvent;
use crate::permit::{Action, Decision, Permit};
use crate::process::Watch;
use crate::redact::Redactor;
use crate::safety::{self, Policy};
use crate::semantics::{Answer, Found, Question};
use crate::text::bases::Seen;
use crate::text::edit::{EditSet, Mode};
use crate::text::problem::Problem;
use crate::text::staging::{ReadError, Staging};

/// Something the agent can do.
#[async_trait]
pub trait Tool: Send + Sync {
    /// Its name, as models call it.
    fn name(&self) -> &str;

    /// What it does, for the model.
    fn description(&self) -> &str;

    /// Its arguments.
    fn parameters(&self) -> Vec<Parameter>;

    /// Its arguments as JSON Schema, as models are told.
    fn schema(&self) -> Value {
        arguments::schema(&self.parameters())
    }

    /// What its data holds.
    fn returns(&self) -> ReturnType;

    /// Runs it. The arguments were validated and the actions allowed before.
    async fn execute(&self, context: &Context<'_>, arguments: &Value) -> Result<Output, Error>;

    /// Everything that a call with these arguments would do to the world, for `safety` to judge.
    fn actions(&self, arguments: &Value, context: &Context<'_>) -> Vec<Action>;

    /// What a person who is asked sees beside the actions, such as the body of a request.
    fn preview(&self, _arguments: &Value) -> Option<String> {
        None
    }

    /// Checks arguments before anything is decided.
    fn validate(&self, arguments: &Value) -> Result<(), Error> {
        arguments::check(&self.parameters(), arguments)
    }

    /// Whether a model is told of it, and may call it: it is switched on and has something to work on.
    fn is_offered(&self, context: &Context<'_>) -> bool {
        self.hindrance(context).is_none()
    }

    /// Why it is not offered, and what would change that, as the end of a sentence about it.
    fn hindrance(&self, _context: &Context<'_>) -> Option<&'static str> {
        None
    }

    /// Whether it only looks: calls of such tools in one turn run side by side.
    fn only_looks(&self) -> bool {
        false
    }

    /// Whether a call with these arguments may happen without asking anybody.
    fn is_safe(&self, arguments: &Value, context: &Context<'_>) -> bool {
        let actions = self.actions(arguments, context);
        let decisions = actions
            .iter()
            .map(|action| safety::decide(context.policy, action));
        decisions
            .into_iter()
            .all(|decision| matches!(decision, Decision::Allow { .. }))
    }
}

/// One argument of a tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// The kind of value.
    pub kind: Kind,
    /// What it means, for the model.
    pub description: String,
    /// Whether a call without it is refused.
    pub required: bool,
}

/// Kinds of argument values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Text.
    Text,
    /// A whole number that is not negative.
    Integer,
    /// Yes or no.
    Flag,
}

impl Kind {
    /// Its name, for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Integer => "number",
            Self::Flag => "flag",
        }
    }
}

/// What a tool's data holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReturnType {
    /// The fields, in words.
    pub description: String,
}

/// What a tool works on.
#[derive(Debug)]
pub struct Context<'run> {
    /// The workspace with what is proposed so far.
    pub staging: &'run Staging,
    /// What is allowed.
    pub policy: &'run Policy,
    /// Looks at proposed text, if anything can.
    pub checker: Option<&'run Checker>,
    /// What was too long to be shown.
    pub outputs: &'run Outputs,
    /// The user's settings of the tools.
    pub settings: &'run Settings,
    /// Sees what programs print while they run, if anybody does.
    pub watch: Option<&'run Watch>,
    /// Whether it is the user who calls, not a model.
    pub is_by_hand: bool,
    /// The machine, where anything may act outside the copy of the workspace.
    pub host: Option<&'run Host>,
    /// Knows what may not leave this machine.
    pub redactor: &'run Redactor,
    /// The permits for the actions of this very call that are not changes of files.
    pub permits: &'run [Permit],
    /// Judges what comes up during this call.
    pub inquiry: Option<&'run Inquiry<'run>>,
}

impl Context<'_> {
    /// The permit for an action that [`Tool::actions`] named.
    pub fn permit(&self, action: &Action) -> Result<&Permit, Error> {
        let mut permits = self.permits.iter();
        let permit = permits.find(|permit| permit.action() == action);
        permit.ok_or_else(|| Error::Refused {
            rule: "permit".to_owned(),
            reason: "nobody allowed exactly this".to_owned(),
        })
    }
}

/// Looks at exactly the proposed text: its problems, and what its names mean. What does that lives above the tools: it
/// takes [`Request`]s from the other end of a channel.
#[derive(Debug, Clone)]
pub struct Checker {
    requests: mpsc::Sender<Request>,
}

/// What is to be found out about proposed text.
#[derive(Debug)]
pub struct Request {
    /// What is proposed.
    pub edits: EditSet,
    /// What is to be found out, and where the answer goes, or why there is none.
    pub about: About,
}

/// What is to be found out.
#[derive(Debug)]
pub enum About {
    /// The problems of the workspace.
    Problems(oneshot::Sender<Result<Vec<Problem>, String>>),
    /// What its code means.
    Code(Question, oneshot::Sender<Result<Answer<Found>, String>>),
    /// What a program makes of it.
    Run(Box<Job>, oneshot::Sender<Result<Ran, NotRun>>),
    /// Nothing: somebody wants the copy of the workspace for a while.
    Lend(oneshot::Sender<Result<Loan, String>>),
    /// The same, in a copy of its own, so that nothing waits for it.
    Begin(Box<Job>, Beginning),
}

/// Where is told how a program that runs on fares.
#[derive(Debug)]
pub struct Beginning {
    /// That it is seen to from here on.
    pub taken: oneshot::Sender<()>,
    /// How it ended, or why it did not begin.
    pub answer: oneshot::Sender<Result<Ran, NotRun>>,
}

impl Checker {
    /// A checker, and where its questions come out.
    pub fn new() -> (Self, mpsc::Receiver<Request>) {
        let (requests, questions) = mpsc::channel(1);
        (Self { requests }, questions)
    }

    /// The problems of the workspace with these edits.
    pub async fn problems(&self, edits: EditSet) -> Result<Vec<Problem>, String> {
        let found = self.find_out(edits, About::Problems).await;
        found.unwrap_or_else(|| Err("what checks the workspace has ended".to_owned()))
    }

    /// What the code of the workspace with these edits means; `None` when there is nothing but its syntax.
    pub async fn ask(
        &self,
        edits: EditSet,
        question: Question,
    ) -> Option<Result<Answer<Found>, String>> {
        self.find_out(edits, |answer| About::Code(question, answer))
            .await
    }

    /// Runs a program in the workspace with these edits. Dropping the future ends the program.
    pub async fn run(&self, edits: EditSet, job: Job) -> Result<Ran, NotRun> {
        let about = |answer| About::Run(Box::new(job), answer);
        let ran = self.find_out(edits, about).await;
        ran.unwrap_or_else(|| Err(NotRun::Failed("what runs programs has ended".to_owned())))
    }

    /// Has the copy of the workspace with these edits for a while. Nothing else is found out meanwhile.
    pub async fn lend(&self, edits: EditSet) -> Result<Loan, String> {
        let lent = self.find_out(edits, About::Lend).await;
        lent.unwrap_or_else(|| Err("what has the copy of the workspace has ended".to_owned()))
    }

    /// Begins a program in a copy of the workspace with these edits; `None` when nothing runs programs any longer.
    /// Dropping what is given back ends the program.
    pub async fn begin(
        &self,
        edits: EditSet,
        job: Job,
    ) -> Option<oneshot::Receiver<Result<Ran, NotRun>>> {
        let (answer, ended) = oneshot::channel();
        let (taken, is_taken) = oneshot::channel();
        let about = About::Begin(Box::new(job), Beginning { taken, answer });
        self.requests.send(Request { edits, about }).await.ok()?;
        // What begins has to have begun before the work may end, which nobody attends to any longer then. A refusal is
        // in the answer.
        let _ = is_taken.await;
        Some(ended)
    }

    async fn find_out<T>(
        &self,
        edits: EditSet,
        about: impl FnOnce(oneshot::Sender<T>) -> About,
    ) -> Option<T> {
        let (answer, found) = oneshot::channel();
        let about = about(answer);
        let request = Request { edits, about };
        self.requests.send(request).await.ok()?;
        found.await.ok()
    }
}

/// What a tool gives back to [`execute`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Output {
    /// Facts about the result, for the model.
    pub data: Value,
    /// Whether what was run or looked at is as it should be; `None` where that is no question.
    pub holds: Option<bool>,
    /// Text that the tool read somewhere, with a label saying where: it is fenced before a model sees it.
    pub text: Option<(String, String)>,
    /// How to see what was left out, if anything was.
    pub more: Option<String>,
    /// Changes that the tool proposes.
    pub changes: Vec<Change>,
    /// Whether each of them stands alone: what a program left behind is no whole as an edit is, so that one which is
    /// refused is left out, and the others are kept.
    pub stand_alone: bool,
    /// Which permissions files get that it makes, where they are not the usual ones.
    pub modes: Vec<(PathBuf, Mode)>,
    /// The text that was shown, so that an edit can name the version it was made for.
    pub read: Option<Seen>,
    /// The program in the background that this is the end of: it counts as collected once this was judged and taken in.
    pub collects: Option<String>,
    /// What was decided and done on the way, for the journal.
    pub events: Vec<RunEvent>,
    /// What is to be done to the repository once the proposed changes are in the files.
    pub wishes: Vec<Wish>,
}

/// A change that a tool proposes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Path relative to the workspace.
    pub path: PathBuf,
    /// The new text; `None` removes the file.
    pub after: Option<Arc<str>>,
}

/// The result of a tool call (spec: `ToolResult`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolResult {
    /// Whether the tool did what it was asked.
    pub success: bool,
    /// Whether what it ran or looked at is as it should be: tests passed, a program ended with 0, there are no errors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holds: Option<bool>,
    /// Facts about the result, or the error.
    pub data: Value,
    /// What happened on the way.
    pub logs: Vec<LogEntry>,
    /// What it cost.
    pub metrics: ExecutionMetrics,
}

/// One remark on a tool call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEntry {
    /// The remark.
    pub message: String,
}

/// What a tool call cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecutionMetrics {
    /// Wall time in milliseconds.
    pub milliseconds: u64,
    /// Bytes of the result before it was cut.
    pub output_bytes: u64,
}

/// Why a tool did not do what it was asked. The text is for the model and says how to do better.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The arguments do not fit the parameters.
    #[error("{0}")]
    Arguments(String),
    /// The policy does not allow it.
    #[error("not allowed ({rule}): {reason}")]
    Refused {
        /// The rule that decided.
        rule: String,
        /// Why.
        reason: String,
    },
    /// A file cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The edit has no certain place, or would do harm.
    #[error("{0}")]
    Edit(String),
    /// Something the tool needs is missing.
    #[error("{0}")]
    Unavailable(String),
    /// It was begun, and no answer says whether it was done.
    #[error("it may have been done, or not: {0}")]
    Unsure(String),
}
