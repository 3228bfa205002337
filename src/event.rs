//! Everything that happens in a run, as plain data (spec: Audit System, State Manager).
//!
//! One stream of [`RunEvent`]s is the history, the audit log, the progress display and the learning signal. An event
//! never holds file contents, prompts or secrets: it holds names, counts, digests and short sentences, and passes
//! `redact` before it is stored.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::permit::{Action, Decision};

/// Names one run of the agent, unique in a workspace: `r` and 12 hexadecimal digits, the first 8 of them the time in
/// seconds, so that names sort by start.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(pub String);

impl RunId {
    /// Makes a name for a run that starts at `seconds` since the Unix epoch; `salt` tells runs of one second apart.
    pub fn new(seconds: u64, salt: u16) -> Self {
        Self(format!("r{:08x}{salt:04x}", seconds & 0xffff_ffff))
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The seven states of a run (spec: State Types).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Waiting for input.
    Idle,
    /// Processing context.
    Analyzing,
    /// Generating the action plan.
    Planning,
    /// Running tools.
    Executing,
    /// Checking results in the shadow.
    Validating,
    /// Learning from the run.
    Improving,
    /// Recovery after a failure.
    Error,
}

/// How a candidate edit of the model-free repair fared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The set of problems strictly improved and nothing new appeared.
    Kept,
    /// The problem stayed, or something else broke.
    Rejected,
    /// Several different edits would pass and nothing says which one was meant.
    Ambiguous,
    /// The edit silences or deletes instead of repairing.
    Forbidden,
}

/// The result of the checks that ran on proposed text in the shadow.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// Errors before the proposed edit, as the checker counted them.
    pub problems_before: usize,
    /// Errors after it.
    pub problems_after: usize,
    /// Checks that ran after the last edit, in order.
    pub checks: Vec<CheckRecord>,
    /// Whether every check that ran allows the edit to be offered.
    pub holds: bool,
    /// What could not be checked, and what to do about it, as sentences for people.
    pub caveats: Vec<String>,
}

/// One check of a proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckRecord {
    /// What ran, for example `cargo check` or `rust-analyzer`.
    pub name: String,
    /// Whether it was content with the text.
    pub passed: bool,
    /// One line for people, for example `14 tests passed`.
    pub summary: String,
    /// Wall time in milliseconds.
    pub milliseconds: u64,
    /// Whether it ran the project's tests, which may have failed before.
    #[serde(default)]
    pub is_tests: bool,
}

impl Proof {
    /// Whether tests fail and nothing else does.
    pub fn only_tests_fail(&self) -> bool {
        let mut failed = self.checks.iter().filter(|check| !check.passed).peekable();
        failed.peek().is_some() && failed.all(|check| check.is_tests)
    }
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// The proposed edit arrived in the editor or on disk.
    Applied {
        /// Number of files changed.
        files: usize,
    },
    /// An edit was proven but not asked to be applied (dry run), or the user did not take it.
    Proposed {
        /// Number of files the proposal changes.
        files: usize,
    },
    /// There was nothing to do, or nothing that could be done.
    Nothing {
        /// Why, as a sentence for people.
        reason: String,
    },
    /// The user stopped it.
    Cancelled,
    /// It failed.
    Failed {
        /// What went wrong, as a sentence for people that says what to do.
        message: String,
    },
}

/// How a question to a person ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// Yes, this once.
    Approved,
    /// Yes, and for every command that begins so.
    Always,
    /// No.
    Refused,
    /// Nobody answered in time.
    Expired,
    /// There was nobody to ask.
    Nobody,
    /// What the question was about is not what it was when it was asked.
    Changed,
}

/// What was done to the configuration, or to what counts of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Configuring {
    /// A key got a value.
    Set,
    /// A key was taken out.
    Unset,
    /// What a project brings counts from now on.
    Trusted,
    /// It counts no longer.
    Distrusted,
    /// Changed files were read again.
    Reloaded,
    /// A secret was kept.
    SecretKept,
    /// A secret was forgotten.
    SecretForgotten,
    /// Secrets were encrypted anew.
    SecretsRotated,
}

/// Something that happened in a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum RunEvent {
    /// The run began.
    Started {
        /// The kind of run: `fix`, `do`, `undo`, …
        kind: String,
        /// What the user asked for, redacted and cut to one line.
        title: String,
        /// Workspace root.
        workspace: PathBuf,
    },
    /// The state machine moved.
    StateChanged {
        /// State before.
        from: State,
        /// State after.
        to: State,
    },
    /// The run did something worth telling.
    Step {
        /// What, as a sentence fragment for people.
        what: String,
        /// Why.
        reason: String,
    },
    /// The untouched workspace was checked.
    Checked {
        /// Errors found.
        errors: usize,
        /// Labels of the first errors, for example `E0425 src/main.rs:3`.
        problems: Vec<String>,
    },
    /// The policy judged an action.
    Decided {
        /// The action.
        action: Action,
        /// The decision.
        decision: Decision,
    },
    /// The repair tried a candidate edit.
    Candidate {
        /// The problem it is for, for example `E0425 src/main.rs:3`.
        problem: String,
        /// Who proposed it: `rust-analyzer`, `rustc`, …
        source: String,
        /// Its title.
        title: String,
        /// How it fared.
        verdict: Verdict,
        /// Why.
        reason: String,
    },
    /// A model was called.
    ModelCalled {
        /// Model name.
        model: String,
        /// Tokens sent, reported or estimated.
        tokens_in: u64,
        /// Tokens received.
        tokens_out: u64,
        /// Wall time in milliseconds.
        milliseconds: u64,
        /// Empty when it answered; else what went wrong.
        error: String,
        /// The versions of prompts that the conversation was made from: `do@0123456789ab`.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        prompts: Vec<String>,
    },
    /// The model did not answer, and another one is asked from here on.
    FellBack {
        /// The model that did not answer, with its provider.
        from: String,
        /// The model that is asked now, with its provider.
        to: String,
        /// Why the first one did not answer, as a sentence fragment for people.
        reason: String,
        /// What it had said when it was cut off: kept in the conversation, and marked there.
        kept: String,
    },
    /// A tool was executed.
    ToolCalled {
        /// Tool name.
        name: String,
        /// Whether it did what it was asked.
        success: bool,
        /// One line for people.
        summary: String,
        /// Wall time in milliseconds.
        milliseconds: u64,
    },
    /// An action was allowed and begun, and nobody knows whether it was done: its run was stopped meanwhile, or no answer
    /// came.
    Uncertain {
        /// The action.
        action: Action,
        /// Why that is not known, as a sentence fragment for people.
        reason: String,
    },
    /// The proof of the proposed text is complete.
    Proved(Proof),
    /// Files reached the editor or the disk.
    Applied {
        /// Paths relative to the workspace.
        files: Vec<PathBuf>,
    },
    /// Files were restored.
    Undone {
        /// The run that was undone.
        run: RunId,
        /// Paths relative to the workspace.
        files: Vec<PathBuf>,
    },
    /// Files were committed.
    Committed {
        /// The commit, in hexadecimal.
        commit: String,
        /// The branch; empty when HEAD names a commit.
        branch: String,
        /// Paths relative to the workspace.
        files: Vec<PathBuf>,
    },
    /// A commit of an earlier run was taken off its branch.
    Uncommitted {
        /// The commit, in hexadecimal.
        commit: String,
        /// The branch; empty when HEAD names a commit.
        branch: String,
    },
    /// A branch was made and is worked on.
    Branched {
        /// Its name.
        branch: String,
        /// The branch before; empty when HEAD named a commit.
        from: String,
    },
    /// Commits were sent to another machine.
    Pushed {
        /// The last of them, in hexadecimal.
        commit: String,
        /// The branch.
        branch: String,
        /// Where they were sent.
        url: String,
    },
    /// A person was asked to approve something.
    Asked {
        /// Digest of exactly what it is about.
        digest: String,
        /// The rule that wants it.
        rule: String,
        /// What would be done, as sentence fragments for people.
        what: Vec<String>,
        /// What of it cannot be taken back.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        irreversible: Vec<String>,
        /// When the question lapses, in milliseconds since the Unix epoch.
        expires: u64,
    },
    /// The question was answered, or lapsed.
    Answered {
        /// Digest of exactly what it is about.
        digest: String,
        /// How it ended.
        reply: Reply,
    },
    /// Text that nobody vouches for entered the run: from here on what leaves the machine or cannot be taken back asks.
    Tainted {
        /// What kind of text: `dependency`, `request`, `plugin`, …
        origin: String,
        /// Where it came from.
        what: String,
    },
    /// The configuration changed, or what counts of it.
    Configured {
        /// What was done.
        change: Configuring,
        /// The key, or the name of a secret; empty where it is about more than one.
        key: String,
        /// The new value; empty where there is none, or where it is not for the journal.
        value: String,
        /// The file, or wherever it is kept.
        place: String,
    },
    /// Old entries of the journal were removed, as the settings or the user want it.
    Pruned {
        /// Number of the last entry that is gone.
        last: u64,
        /// Why, as a sentence fragment for people.
        reason: String,
    },
    /// The run ended.
    Finished(Outcome),
}
