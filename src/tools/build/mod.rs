//! Checks of a project by its own compiler, as problems with the compiler's suggestions (spec: Build Tool).

pub mod cargo;
pub mod commands;
mod rustc;

use std::path::PathBuf;

use crate::text::edit::Replacement;
use crate::text::problem::Problem;

/// What a check found.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// The findings, errors and warnings, each once, in the order of files and places.
    pub findings: Vec<Finding>,
    /// Build units (package and target) that the checker got to; what is not here was not looked at, because
    /// something it needs does not compile.
    pub reached: Vec<String>,
    /// Why the project could not be checked at all, as a sentence for people that says what to do.
    pub failure: Option<String>,
    /// Wall time in milliseconds.
    pub milliseconds: u64,
}

/// A problem and what its finder suggests to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The problem.
    pub problem: Problem,
    /// Build unit in which it was found.
    pub unit: String,
    /// The finder's suggestions, in its order.
    pub suggestions: Vec<Suggestion>,
    /// What the finder says of other places, for example where something is defined.
    pub notes: Vec<Note>,
}

/// A remark of a compiler about a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Its text.
    pub text: String,
    /// The file, relative to the workspace root.
    pub file: PathBuf,
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

/// An edit that a compiler suggests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suggestion {
    /// Its text for people.
    pub title: String,
    /// How sure the compiler is.
    pub confidence: Confidence,
    /// Replacements, by file relative to the workspace root.
    pub replacements: Vec<(PathBuf, Replacement)>,
}

/// How sure a compiler is of its suggestion; the order is from sure to unsure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Confidence {
    /// It says the edit is what was meant.
    MachineApplicable,
    /// It says the edit may not be what was meant.
    MaybeIncorrect,
    /// It does not say.
    Unspecified,
}
