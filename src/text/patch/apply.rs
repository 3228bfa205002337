//! Places the hunks of a patch in a text (spec: `apply_patch`).

use std::ops::Range;

use super::{Hunk, PatchError};
use crate::text::edit::{Replacement, replace};
use crate::text::locate::{Located, NoPlace, begins_part, part_end};

/// What became of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The text after every hunk.
    pub text: String,
    /// Whether every hunk stood there byte for byte.
    pub exact: bool,
    /// Hunks that were applied before.
    pub already: usize,
}

/// Applies every hunk, or none. Each is placed in the text as it was before the others. `place` finds the place of a
/// quote, as [`locate`] does.
pub fn apply(
    text: &str,
    hunks: &[Hunk],
    place: impl Fn(&str, &str, &str) -> Result<Located, NoPlace>,
) -> Result<Applied, PatchError> {
    let mut replacements = Vec::new();
    let (mut exact, mut already) = (true, 0);
    for (index, hunk) in hunks.iter().enumerate() {
        let refused = |reason: String| PatchError::Hunk {
            number: index + 1,
            reason,
        };
        match placed(text, hunk, &place).map_err(refused)? {
            Some(located) => {
                exact &= located.exact;
                replacements.push(smallest(text, located));
            }
            None => already += 1,
        }
    }
    let text = replace(text, &replacements).map_err(|error| PatchError::Hunk {
        number: hunks.len(),
        reason: format!("{error}: two hunks change the same lines"),
    })?;
    Ok(Applied {
        text,
        exact,
        already,
    })
}

/// The place of a hunk; `None` when it was applied before.
fn placed(
    text: &str,
    hunk: &Hunk,
    place: impl Fn(&str, &str, &str) -> Result<Located, NoPlace>,
) -> Result<Option<Located>, String> {
    let block = block_of(text, hunk)?;
    if hunk.before.is_empty() {
        return addition(text, hunk, block).map(Some);
    }
    let found = match place(text, &hunk.before, &hunk.after) {
        Err(ambiguous @ NoPlace::Ambiguous { .. }) => {
            let region = match &block {
                Some(block) => block.clone(),
                None if hunk.at_end => tail(text, hunk),
                None => return Err(ambiguous.to_string()),
            };
            let part = text.get(region.clone()).unwrap_or_default();
            let inside = place(part, &hunk.before, &hunk.after);
            inside
                .map(|located| Located {
                    range: located.range.start + region.start..located.range.end + region.start,
                    ..located
                })
                .map_err(|_| ambiguous)
        }
        found => found,
    };
    match found {
        Ok(located) => {
            if let Some(block) = block.filter(|_| hunk.anchors_bind) {
                let anchor = hunk.anchors.last().map_or("", String::as_str);
                if located.range.end <= block.start {
                    return Err(format!("its lines stand before its anchor `{anchor}`"));
                }
                // What follows a line that begins no block belongs to no other line.
                if located.range.start >= block.end && begins_part(text, block.start) {
                    return Err(format!(
                        "its lines stand after the block of its anchor `{anchor}`"
                    ));
                }
            }
            let rest = text.get(located.range.end..).unwrap_or_default();
            if hunk.at_end && !rest.trim().is_empty() {
                return Err("its lines do not stand at the end of the file".to_owned());
            }
            Ok(Some(located))
        }
        Err(NoPlace::AlreadyApplied { .. }) => Ok(None),
        Err(refusal) => Err(refusal.to_string()),
    }
}

/// The block that the anchors of a hunk lead to, from the last of them on.
fn block_of(text: &str, hunk: &Hunk) -> Result<Option<Range<usize>>, String> {
    let mut block = 0..text.len();
    if hunk.anchors.is_empty() {
        return Ok(None);
    }
    for anchor in &hunk.anchors {
        let plain = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let wanted = plain(anchor);
        let mut offset = block.start;
        let mut starts = Vec::new();
        for line in text
            .get(block.clone())
            .unwrap_or_default()
            .split_inclusive('\n')
        {
            let is_name = |sign: char| sign.is_alphanumeric() || sign == '_';
            // The beginning of a longer name is another name.
            let is_anchor = |rest: &str| !(wanted.ends_with(is_name) && rest.starts_with(is_name));
            if plain(line).strip_prefix(&wanted).is_some_and(is_anchor) {
                starts.push(offset);
            }
            offset += line.len();
        }
        match starts.as_slice() {
            [start] => block = *start..part_end(text, *start).min(block.end),
            _ if !hunk.anchors_bind => return Ok(None),
            [] => return Err(format!("its anchor `{anchor}` is not in the file")),
            several => {
                let count = several.len();
                return Err(format!(
                    "its anchor `{anchor}` stands in {count} places: name what is around it too"
                ));
            }
        }
    }
    Ok(Some(block))
}

/// Lines that are only added go where the anchor is, or to the end.
fn addition(text: &str, hunk: &Hunk, block: Option<Range<usize>>) -> Result<Located, String> {
    let at = match block {
        Some(block) if hunk.anchors_bind => {
            let rest = text.get(block.start..).unwrap_or_default();
            block.start + rest.find('\n').map_or(rest.len(), |feed| feed + 1)
        }
        _ if hunk.at_end || text.trim().is_empty() => text.len(),
        _ => {
            return Err(
                "it only adds lines and does not say where: quote the lines around them".to_owned(),
            );
        }
    };
    let open = text
        .get(..at)
        .is_some_and(|before| !before.is_empty() && !before.ends_with('\n'));
    let lead = if open { "\n" } else { "" };
    Ok(Located {
        range: at..at,
        replacement: format!("{lead}{}", hunk.after),
        exact: true,
        shifted: Vec::new(),
        quoted: Vec::new(),
    })
}

/// The last lines of a text, as many as a hunk has.
fn tail(text: &str, hunk: &Hunk) -> Range<usize> {
    let count = hunk.before.lines().count();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let kept = lines
        .iter()
        .rev()
        .take(count)
        .map(|line| line.len())
        .sum::<usize>();
    text.len() - kept..text.len()
}

/// A replacement without the lines at its ends that stay.
fn smallest(text: &str, located: Located) -> Replacement {
    let Located {
        range, replacement, ..
    } = located;
    let old = text.get(range.clone()).unwrap_or_default();
    let same = |one: &str, other: &str| -> usize {
        let pairs = one.split_inclusive('\n').zip(other.split_inclusive('\n'));
        let lines = pairs.take_while(|(one, other)| one == other && one.ends_with('\n'));
        lines.map(|(line, _)| line.len()).sum()
    };
    let first = same(old, &replacement);
    let (old, new) = (
        old.get(first..).unwrap_or_default(),
        replacement.get(first..).unwrap_or_default(),
    );
    let pairs = old
        .split_inclusive('\n')
        .rev()
        .zip(new.split_inclusive('\n').rev());
    let last: usize = pairs
        .take_while(|(old, new)| old == new)
        .map(|(line, _)| line.len())
        .sum();
    Replacement {
        start: range.start + first,
        end: range.end - last,
        text: new.get(..new.len() - last).unwrap_or_default().to_owned(),
    }
}
