//! Finds the one place that a search text means, or says why there is none (spec: `edit_file`).
//!
//! Models quote text from memory: indentation shifts, quotes turn typographic, lines get lost or numbered. The layers,
//! each of which must have exactly one place: the very bytes; whole lines that are equal but for white space and
//! typography ([`lines`]); the clearly best alignment ([`align`]). [`mod@write`] then changes only what quote and
//! replacement do not have in common. Other lines that are equal but for their indentation make even the very bytes
//! ambiguous. Anything less certain is refused, with the real lines that are nearest: an edit in the wrong place is
//! worse than none.

mod align;
mod inexact;
mod lines;
mod quote;
mod reading;
mod shift;
mod write;

use std::ops::Range;

pub use lines::{begins_part, part_end};

use inexact::inexact;
use lines::{PLACES_MAX, line_of, lines_of, numbered, occurrences, windows};
use reading::{Reading, reading};

/// A place that an edit replaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// Bytes to replace.
    pub range: Range<usize>,
    /// What to put there, with indentation and line ends as the text has them.
    pub replacement: String,
    /// Whether the search text stood there byte for byte.
    pub exact: bool,
    /// Bytes of the replacement that were given another indentation than they were written with.
    pub shifted: Vec<Range<usize>>,
    /// First bytes of the lines of the text whose quotes had such another indentation.
    pub quoted: Vec<usize>,
}

/// Why an edit has no place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoPlace {
    /// The search text is empty.
    #[error("the search text is empty: quote the lines to replace")]
    EmptySearch,
    /// The search text has no letter or digit.
    #[error(
        "the search text is only signs, which stand in many places: quote a line with words too"
    )]
    OnlySigns,
    /// Nothing would change.
    #[error("search and replacement are the same text")]
    NoChange,
    /// The replacement is there already.
    #[error("the replacement is there already, at line {line}; nothing to change")]
    AlreadyApplied {
        /// One-based line.
        line: usize,
    },
    /// The search text stands in several places.
    #[error("the search text stands in {} places (lines {}): quote more lines around the one you mean", lines.len(), listed(lines))]
    Ambiguous {
        /// One-based lines of the places.
        lines: Vec<usize>,
    },
    /// The only place would cut a name in two.
    #[error(
        "the search text is only a part of a longer name at line {line}: quote whole lines. The line is:\n{text}"
    )]
    CutsName {
        /// One-based line.
        line: usize,
        /// The line.
        text: String,
    },
    /// The lines are there, with another nesting.
    #[error(
        "the lines at {line} have other indentation than the search text, so that it is not certain where new lines belong: quote whole lines with their indentation:\n{nearest}"
    )]
    Nesting {
        /// One-based line.
        line: usize,
        /// The real lines with their numbers.
        nearest: String,
    },
    /// New lines of a string would get the indentation of the lines around it.
    #[error(
        "the search text has other indentation than the file, and it is not certain whether that of the new string over several lines is meant: quote whole lines with their indentation. The line is:\n{nearest}"
    )]
    ShiftsString {
        /// One-based line.
        line: usize,
        /// The real line with its number.
        nearest: String,
    },
    /// The text is not there.
    #[error("the search text is not in the file. The nearest lines are:\n{nearest}")]
    Missing {
        /// The real lines with their numbers.
        nearest: String,
    },
}

/// Finds where `search` stands in `text` and what has to stand there instead.
pub fn locate(text: &str, search: &str, replacement: &str) -> Result<Located, NoPlace> {
    if text.contains('\r') && !text.contains('\n') {
        // Lines that end as they once did on the Macintosh have the same places when they end in line feeds.
        let fed = |text: &str| text.replace("\r\n", "\n").replace('\r', "\n");
        let located = locate(&text.replace('\r', "\n"), &fed(search), &fed(replacement))?;
        let replacement = located.replacement.replace('\n', "\r");
        return Ok(Located {
            replacement,
            ..located
        });
    }
    let (search, replacement) = with_line_ends_of(text, search, replacement);
    if search.trim().is_empty() {
        return Err(NoPlace::EmptySearch);
    }
    if search == replacement {
        return Err(NoPlace::NoChange);
    }
    if !search.chars().any(char::is_alphanumeric) {
        return Err(NoPlace::OnlySigns);
    }
    // The last line of the text may have no end, which a quote does not show.
    if !text.ends_with('\n')
        && let Some(open) = search
            .strip_suffix('\n')
            .map(|open| open.trim_end_matches('\r'))
        && text.ends_with(open)
        && !text.contains(&search)
    {
        let replacement = replacement.strip_suffix('\n').unwrap_or(&replacement);
        return locate(text, open, replacement.trim_end_matches('\r'));
    }
    let places: Vec<usize> = occurrences(text, &search);
    match places.as_slice() {
        [start] => exact(text, *start, &search, &replacement),
        [] => inexact(text, &search, &replacement),
        several => Err(NoPlace::Ambiguous {
            lines: several.iter().map(|start| line_of(text, *start)).collect(),
        }),
    }
}

fn exact(text: &str, start: usize, search: &str, replacement: &str) -> Result<Located, NoPlace> {
    let mut range = start..start + search.len();
    let number = line_of(text, start);
    if cuts_name(text, &range) {
        return Err(NoPlace::CutsName {
            line: number,
            text: numbered(text, number - 1, number - 1),
        });
    }
    if stands_already(text, start, search, replacement) {
        return Err(NoPlace::AlreadyApplied { line: number });
    }
    let line = text.get(..start).unwrap_or_default();
    let line = line.rfind('\n').map_or(0, |feed| feed + 1);
    let left = text.get(line..start).unwrap_or_default();
    let refused = || NoPlace::Nesting {
        line: number,
        nearest: numbered(
            text,
            number - 1,
            number - 1 + search.trim_end().matches('\n').count(),
        ),
    };
    if takes_remark_along(text, &range, replacement) {
        return Err(refused());
    }
    match reading(left, search, replacement) {
        Reading::Literal => {}
        Reading::Relative => return inexact::whole_lines(text, number - 1, search, replacement),
        Reading::Unclear => return Err(refused()),
    }
    // Lines that differ only by their indentation may be what was meant, however exact the quote looks.
    let lines = lines_of(text);
    let mut places: Vec<usize> = windows(&lines, &lines_of(search))
        .into_iter()
        .filter_map(|window| lines.get(window))
        .map(|line| line.number + 1)
        .collect();
    let first = start + search.len() - search.trim_start().len();
    places.push(line_of(text, first));
    places.sort_unstable();
    places.dedup();
    if places.len() > 1 {
        return Err(NoPlace::Ambiguous { lines: places });
    }
    let ends_line = search.ends_with('\n') && left.trim().is_empty();
    let mut replacement = replacement.to_owned();
    if ends_line && replacement.trim().is_empty() {
        // Nothing of these lines is to stay, so that their indentation goes too.
        range.start = line;
    } else if ends_line
        && !replacement.ends_with('\n')
        && search.trim_end() != replacement.trim_end()
    {
        // The line below was not quoted, and is not to be joined to this one.
        replacement.push_str(if search.ends_with("\r\n") {
            "\r\n"
        } else {
            "\n"
        });
    }
    Ok(Located {
        range,
        replacement,
        exact: true,
        shifted: Vec::new(),
        quoted: Vec::new(),
    })
}

/// Whether lines would come between a quote and the remark that ends its line.
fn takes_remark_along(text: &str, range: &Range<usize>, replacement: &str) -> bool {
    let after = text.get(range.end..).unwrap_or_default();
    let remark = after.lines().next().unwrap_or_default().trim_start();
    let quoted = text.get(range.clone()).unwrap_or_default();
    !quoted.ends_with('\n')
        && (remark.starts_with('#') || remark.starts_with("//"))
        && replacement.trim_end().lines().count() > quoted.lines().count()
}

/// Whether the replacement contains the search text and stands around its only place: then it was applied before.
fn stands_already(text: &str, start: usize, search: &str, replacement: &str) -> bool {
    occurrences(replacement, search).into_iter().any(|offset| {
        start
            .checked_sub(offset)
            .and_then(|begin| text.get(begin..))
            .is_some_and(|rest| rest.starts_with(replacement))
    })
}

fn cuts_name(text: &str, range: &Range<usize>) -> bool {
    let is_name = |character: char| character.is_alphanumeric() || character == '_';
    let inside = text.get(range.clone()).unwrap_or_default();
    let before = text
        .get(..range.start)
        .and_then(|before| before.chars().next_back());
    let after = text.get(range.end..).and_then(|after| after.chars().next());
    let joins = |outer: Option<char>, inner: Option<char>| {
        outer.is_some_and(is_name) && inner.is_some_and(is_name)
    };
    joins(before, inside.chars().next()) || joins(after, inside.chars().next_back())
}

/// Search and replacement with the line ends that the text has throughout.
fn with_line_ends_of(text: &str, search: &str, replacement: &str) -> (String, String) {
    let feeds = text.matches('\n').count();
    let pairs = text.matches("\r\n").count();
    let convert = |part: &str| {
        let plain = part.replace("\r\n", "\n");
        if feeds > 0 && feeds == pairs {
            plain.replace('\n', "\r\n")
        } else if pairs == 0 {
            plain
        } else {
            part.to_owned()
        }
    };
    (convert(search), convert(replacement))
}

fn listed(lines: &[usize]) -> String {
    let shown = lines.iter().take(PLACES_MAX).map(usize::to_string);
    shown.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
