//! What the agent asks about code (spec: Semantic Analyzer).
//!
//! A [`Client`] owns one language server of its own, started on a folder that the editor does not see (the shadow), and
//! asks it about exact texts: problems, quick fixes, symbols, definitions, calls, completions. [`setup`] says how it is
//! started, [`engine`] is the task that talks to it, [`edits`] turns what it answers into [`EditSet`]s. [`Code`] asks
//! a client, and syntax where there is none, and says which of them answered; a [`Question`] is what it can be asked.

mod actions;
mod by_syntax;
mod calls;
mod capabilities;
mod client;
mod code;
pub mod edits;
mod engine;
mod findings;
mod places;
mod question;
pub mod setup;
mod symbols;
mod typing;

use std::ops::Range;
use std::path::PathBuf;

use serde_json::Value;

pub use client::Client;
pub use code::{Answer, Basis, Code};
pub use question::{Found, Question, What};
pub use setup::Setup;

use crate::text::edit::{EditSet, ReplaceError, Replacement};
use crate::text::problem::Problem;

/// Why a language server could not say what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// It could not be started.
    #[error("cannot start {name}: {reason}")]
    Start {
        /// Name of the server.
        name: String,
        /// What the system or the server said.
        reason: String,
    },
    /// It ended; what it said last is in the reason.
    #[error("{name} ended: {reason}")]
    Ended {
        /// Name of the server.
        name: String,
        /// Why, and the end of its standard error.
        reason: String,
    },
    /// It took too long.
    #[error("{name} did not answer {what} within {seconds} s")]
    Timeout {
        /// Name of the server.
        name: String,
        /// The method or state that was waited for.
        what: String,
        /// How long.
        seconds: u64,
    },
    /// It answered with an error.
    #[error("{method} failed: {message} ({code})")]
    Answer {
        /// The method.
        method: String,
        /// The protocol's error code.
        code: i64,
        /// The server's message.
        message: String,
    },
    /// A file it named, or that was named to it, cannot be used.
    #[error("cannot use {path}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// An edit it proposed does not fit its text.
    #[error(transparent)]
    Edit(#[from] ReplaceError),
}

/// A problem, with the server's own words for it, which it wants back when it is asked for quick fixes.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// The problem in our form.
    pub problem: Problem,
    /// The diagnostic as it came.
    pub raw: Value,
}

/// A code action, resolved.
#[derive(Debug, Clone, PartialEq)]
pub struct CodeAction {
    /// Its title.
    pub title: String,
    /// Its kind, for example `quickfix`; empty when it has none.
    pub kind: String,
    /// Whether the server prefers it.
    pub preferred: bool,
    /// Whether it also, or only, runs a command: its edits then are not all of it.
    pub has_command: bool,
    /// Why it cannot be used, if it is disabled.
    pub disabled: Option<String>,
    /// What it changes; empty when it only runs a command.
    pub edits: EditSet,
}

/// A symbol of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Symbol {
    /// Its name.
    pub name: String,
    /// The protocol's number for its kind: 12 is a function, 23 a struct.
    pub kind: u64,
    /// Bytes of the whole definition.
    pub range: Range<usize>,
    /// Bytes of its name.
    pub selection: Range<usize>,
    /// Symbols inside.
    pub children: Vec<Symbol>,
}

/// A stretch of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// Path relative to the root when it lies below it.
    pub file: PathBuf,
    /// Bytes.
    pub range: Range<usize>,
}

/// A place and what is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedPlace {
    /// Its name.
    pub name: String,
    /// What it is in, as far as that is told; else empty.
    pub container: String,
    /// Where its name is.
    pub place: Location,
}

/// One function's calls of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The function at the other end.
    pub function: NamedPlace,
    /// Where the calls are.
    pub sites: Vec<Location>,
}

/// What could be written at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completions {
    /// The proposals, best first.
    pub items: Vec<Completion>,
    /// Whether there are no others.
    pub complete: bool,
}

/// Something that could be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// What is shown.
    pub label: String,
    /// The protocol's number for its kind: 3 is a function, 5 a field.
    pub kind: u64,
    /// Its type or signature; empty when the server does not say.
    pub detail: String,
    /// Whether it should not be used any more.
    pub deprecated: bool,
    /// What writing it changes.
    pub edit: Replacement,
}

/// The signatures of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signatures {
    /// The signatures.
    pub items: Vec<Signature>,
    /// The one that is meant, as far as the server can tell.
    pub active: usize,
    /// The parameter that the place is in.
    pub parameter: Option<usize>,
}

/// A way to call a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// All of it.
    pub label: String,
    /// What is written about it; empty when nothing is.
    pub documentation: String,
    /// Its parameters.
    pub parameters: Vec<String>,
}

/// How a server says it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// Whether it works with everything it needs.
    pub good: bool,
    /// What it complains about; empty when nothing.
    pub message: String,
}
