//! The forms in which models write a hunk.

use super::misquote::Dice;
use super::packages::Hunk;

/// How a hunk is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Form {
    /// As a search text and its replacement.
    Replacement,
    /// As a unified diff.
    Unified,
    /// As `*** Begin Patch`.
    Envelope,
}

/// The forms, each as often as it is drawn.
pub(crate) const FORMS: [Form; 5] = [
    Form::Replacement,
    Form::Replacement,
    Form::Replacement,
    Form::Unified,
    Form::Envelope,
];

impl Form {
    /// The hunk as a patch; `None` where it is none. `old` is the text that it was made of.
    pub(crate) fn patch(self, old: &str, hunk: &Hunk, dice: &mut Dice) -> Option<String> {
        // Editors and models take the space of a blank line away.
        let strips = dice.below(2) == 0;
        let rows = hunk.rows.iter().map(|(sign, row)| match row.trim() {
            "" if strips && *sign == ' ' => "\n".to_owned(),
            _ => format!("{sign}{row}\n"),
        });
        let rows: String = rows.collect();
        let heading = heading(old, hunk.line).filter(|_| dice.below(2) == 0);
        match self {
            Self::Replacement => None,
            Self::Unified => {
                // Models count badly.
                let (line, count) = (dice.below(500), hunk.before().len());
                let title = heading.map(|row| format!(" {row}")).unwrap_or_default();
                Some(format!(
                    "--- a/file\n+++ b/file\n@@ -{line},{count} +{line},{} @@{title}\n{rows}",
                    hunk.after().len()
                ))
            }
            Self::Envelope => {
                let anchor = heading.map(|row| format!("@@ {row}\n"));
                let anchor = anchor.unwrap_or_else(|| "@@\n".to_owned());
                Some(format!(
                    "*** Begin Patch\n*** Update File: file\n{anchor}{rows}*** End Patch\n"
                ))
            }
        }
    }
}

/// The line in whose block a hunk lies: the nearest one above that is indented less and stands once.
fn heading(old: &str, line: usize) -> Option<&str> {
    let rows: Vec<&str> = old.lines().collect();
    let width = |row: &str| row.len() - row.trim_start().len();
    let own = width(rows.get(line).filter(|row| !row.trim().is_empty())?);
    let mut above = rows[..line].iter().rev();
    let row = above.find(|row| {
        let row = row.trim_start();
        row.starts_with(|sign: char| sign.is_alphabetic()) && width(row) < own
    })?;
    let is_one = rows
        .iter()
        .filter(|other| other.trim().starts_with(row.trim()))
        .count()
        == 1;
    (is_one && width(row) < own).then_some(row.trim())
}
