//! One finding of a compiler or language server, in a form that can be compared across edits (spec: Diagnostics).

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// How bad a problem is. The order is from worst to mildest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The text does not compile, or would fail.
    Error,
    /// The text works but something is suspicious.
    Warning,
    /// A remark.
    Note,
}

/// A place in a file: byte offsets, and the line and column that people know.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Place {
    /// Path relative to the workspace root.
    pub file: PathBuf,
    /// First byte, from the start of the file as it was checked.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
    /// One-based line of `start`.
    pub line: usize,
    /// One-based column of `start`, in Unicode scalar values.
    pub column: usize,
}

/// One finding of a compiler or language server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// The finder's code, for example `E0425` or `reportUndefinedVariable`; empty when it gave none.
    pub code: String,
    /// The finder's message, first line first.
    pub message: String,
    /// Where it is.
    pub place: Place,
    /// Who found it: `rustc`, `rust-analyzer`, `pyright`, …
    pub source: String,
    /// The text at `place`, cut to 120 characters: what tells two equal messages apart when lines moved.
    pub symbol: String,
}

/// What stays the same of a problem when lines move: two problems with equal identities in one file are the same one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    /// Path relative to the workspace root.
    pub file: PathBuf,
    /// The finder's code.
    pub code: String,
    /// The finder's message.
    pub message: String,
    /// The text at the place.
    pub symbol: String,
}

impl Problem {
    /// The part of the problem that survives moved lines.
    pub fn identity(&self) -> Identity {
        Identity {
            file: self.place.file.clone(),
            code: self.code.clone(),
            message: self.message.clone(),
            symbol: self.symbol.clone(),
        }
    }

    /// A short name for logs and people: `E0425 src/main.rs:3`.
    pub fn label(&self) -> String {
        let code = if self.code.is_empty() {
            "error"
        } else {
            &self.code
        };
        format!("{code} {}:{}", self.place.file.display(), self.place.line)
    }
}
