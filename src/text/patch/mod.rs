//! Patches of several files, in the forms in which models write them (spec: `apply_patch`).
//!
//! [`parse`] reads unified diffs, the `*** Begin Patch` form, blocks of search and replacement, and whole new files.
//! [`apply()`] places every hunk in the text as it is by [`locate`](super::locate), whatever line numbers a patch has:
//! models count badly. An anchor (`@@ fn name`) has to stand before the hunk, and tells several places apart.

mod apply;
mod blocks;
mod envelope;
mod unified;

pub use apply::{Applied, apply};

/// What a patch does to one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePatch {
    /// The file, as the patch names it.
    pub path: String,
    /// What happens to it.
    pub change: FileChange,
}

/// What happens to a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileChange {
    /// It is made, with this text.
    Create(String),
    /// It is made as a program, with this text.
    CreateProgram(String),
    /// It is removed.
    Delete {
        /// Its text, where the patch says it: another one is not removed.
        text: Option<String>,
    },
    /// Parts of it change.
    Update {
        /// Where it moves, if it does.
        to: Option<String>,
        /// The parts.
        hunks: Vec<Hunk>,
    },
}

/// One part that changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hunk {
    /// Lines that stand before it, outermost first.
    pub anchors: Vec<String>,
    /// Whether a hunk whose anchors are not found is refused; the headings of unified diffs are only hints.
    pub anchors_bind: bool,
    /// Its lines as they were.
    pub before: String,
    /// Its lines as they are to be.
    pub after: String,
    /// Whether it ends where the file ends.
    pub at_end: bool,
}

/// Why a patch is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// It has none of the forms.
    #[error(
        "the patch has no form that is known: write `*** Begin Patch`, a unified diff, or <<<<<<< SEARCH blocks"
    )]
    Form,
    /// A line of it cannot be read.
    #[error("line {line} of the patch {reason}")]
    Line {
        /// One-based line of the patch.
        line: usize,
        /// What is wrong.
        reason: &'static str,
    },
    /// A hunk has no place.
    #[error("hunk {number}: {reason}")]
    Hunk {
        /// One-based number in its file.
        number: usize,
        /// Why.
        reason: String,
    },
}

/// Reads a patch.
pub fn parse(patch: &str) -> Result<Vec<FilePatch>, PatchError> {
    let patch = patch.replace("\r\n", "\n");
    let rows: Vec<&str> = patch.lines().collect();
    let starts = |with: &str| rows.iter().any(|row| row.starts_with(with));
    let files =
        if starts("*** Begin Patch") || starts("*** Update File:") || starts("*** Add File:") {
            envelope::parse(&rows)?
        } else if rows.iter().any(|row| blocks::is_start(row)) {
            blocks::parse(&rows)?
        } else if starts("--- ") || starts("diff --git ") {
            unified::parse(&rows)?
        } else {
            blocks::whole_file(&rows)?
        };
    let is_empty = |file: &FilePatch| match &file.change {
        FileChange::Update { to, hunks } => to.is_none() && hunks.is_empty(),
        FileChange::Create(_) | FileChange::CreateProgram(_) | FileChange::Delete { .. } => false,
    };
    if files.is_empty() || files.iter().any(is_empty) {
        return Err(PatchError::Form);
    }
    Ok(files)
}

impl Hunk {
    /// Adds a line of a diff: it begins with a space, a minus or a plus. A line without anything is a blank one.
    fn add(&mut self, row: &str) -> bool {
        let (sign, rest) = match row.chars().next() {
            None => (' ', ""),
            Some(sign) => (sign, row.get(sign.len_utf8()..).unwrap_or_default()),
        };
        if !matches!(sign, ' ' | '-' | '+') {
            return false;
        }
        for (text, without) in [(&mut self.before, '+'), (&mut self.after, '-')] {
            if sign != without {
                text.push_str(rest);
                text.push('\n');
            }
        }
        true
    }

    fn is_empty(&self) -> bool {
        self.before.is_empty() && self.after.is_empty()
    }
}

#[cfg(test)]
mod tests;
