//! Edits that might repair a problem, and how much speaks for each (spec: Semantic Analyzer).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::wording::reworded;
use crate::text::edit::{EditSet, FileEdit, Replacement, replace, with_line_endings_of};
use crate::tools::build::{Confidence, Suggestion};

/// An edit that might repair a problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its title for people.
    pub title: String,
    /// Who proposed it: `rustc`, `rust-analyzer`, …
    pub source: String,
    /// What kind of edit it is.
    pub kind: Kind,
    /// How much speaks for it.
    pub rank: Rank,
    /// The edit itself.
    pub edits: EditSet,
}

/// Kinds of edits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A compiler's suggestion.
    Suggestion,
    /// A language server's quick fix.
    Quickfix,
    /// A name brought into scope.
    Import,
    /// An item made visible.
    Visibility,
    /// A name spelled like one that exists.
    Spelling,
    /// A failure passed on to the caller.
    Propagation,
}

impl Kind {
    /// The word for reports.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Suggestion => "suggestion",
            Kind::Quickfix => "quickfix",
            Kind::Import => "import",
            Kind::Visibility => "visibility",
            Kind::Spelling => "spelling",
            Kind::Propagation => "propagation",
        }
    }
}

/// How much speaks for an edit; the order is from strongest to weakest. Two different edits of one rank that both pass
/// the checks leave open which was meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// The compiler says that this is what was meant.
    Certain,
    /// The very name that is missing exists elsewhere.
    ExactName,
    /// The compiler thinks that it fits.
    Fitting,
    /// A similar name exists.
    SimilarName,
    /// The language server offers it.
    Offered,
    /// The missing name would be declared rather than found.
    Declared,
}

/// The candidate of a compiler's suggestion, or `None` when it does not fit the text.
pub fn from_suggestion(
    suggestion: &Suggestion,
    source: &str,
    text: impl Fn(&Path) -> Option<Arc<str>>,
) -> Option<Candidate> {
    let mut by_file: BTreeMap<&PathBuf, Vec<Replacement>> = BTreeMap::new();
    for (file, replacement) in &suggestion.replacements {
        by_file.entry(file).or_default().push(replacement.clone());
    }
    let mut edits = EditSet::default();
    for (file, replacements) in by_file {
        let before = text(file)?;
        let replacements: Vec<Replacement> = replacements
            .into_iter()
            .map(|replacement| reworded(&before, replacement))
            .collect();
        let after = replace(&before, &replacements).ok()?;
        let after = with_line_endings_of(&before, &after).into();
        edits.record(file.clone(), Some(before), Some(after));
    }
    let kind = if imports(&edits) {
        Kind::Import
    } else {
        Kind::Suggestion
    };
    let rank = match suggestion.confidence {
        Confidence::MachineApplicable => Rank::Certain,
        _ if kind == Kind::Import => Rank::ExactName,
        _ if suggestion.title.contains("similar name") => Rank::SimilarName,
        _ if suggestion.title.contains("missing a type parameter") => Rank::Declared,
        Confidence::MaybeIncorrect | Confidence::Unspecified => Rank::Fitting,
    };
    let title = suggestion.title.clone();
    Some(Candidate {
        title,
        source: source.to_owned(),
        kind,
        rank,
        edits,
    })
}

/// The candidate of a language server's quick fix.
pub fn from_quickfix(title: String, source: &str, edits: EditSet) -> Candidate {
    let edits = with_line_endings(edits);
    let import = imports(&edits);
    Candidate {
        kind: if import { Kind::Import } else { Kind::Quickfix },
        rank: if import {
            Rank::ExactName
        } else {
            Rank::Offered
        },
        title,
        source: source.to_owned(),
        edits,
    }
}

fn with_line_endings(edits: EditSet) -> EditSet {
    let keep = |edit: FileEdit| match (&edit.before, &edit.after) {
        (Some(before), Some(after)) => {
            let after = with_line_endings_of(before, after).into();
            FileEdit {
                before: edit.before,
                after: Some(after),
            }
        }
        _ => edit,
    };
    EditSet {
        files: edits
            .files
            .into_iter()
            .map(|(path, edit)| (path, keep(edit)))
            .collect(),
        modes: edits.modes,
    }
}

/// Whether an edit only adds lines that bring names into scope.
fn imports(edits: &EditSet) -> bool {
    let mut added = edits
        .files
        .values()
        .flat_map(crate::text::edit::FileEdit::replacements)
        .peekable();
    added.peek().is_some()
        && added.all(|replacement| {
            let old_is_import =
                replacement.start == replacement.end || is_import_lines(&replacement.text);
            old_is_import && is_import_lines(&replacement.text)
        })
}

fn is_import_lines(text: &str) -> bool {
    let mut lines = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .peekable();
    lines.peek().is_some()
        && lines.all(|line| {
            ["use ", "pub use ", "import ", "from "]
                .iter()
                .any(|word| line.starts_with(word))
        })
}
