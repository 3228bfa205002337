//! Places of quotes that do not stand in the text byte for byte (spec: `edit_file`).

use std::borrow::Cow;
use std::ops::Range;

use super::lines::{Line, block_end, line_of, lines_of, nearest, numbered, occurrences, windows};
use super::reading::{Reading, reading};
use super::write::{Quote, Unwritable, changes, rows};
use super::{Located, NoPlace, align, exact, locate, quote, with_line_ends_of};

/// Letters and digits without which a search text is too common to be matched loosely.
const LOOSE_CHARACTERS_MIN: usize = 3;

/// Places of whole lines, of parts of a quote between dots, and of the best alignment.
pub(super) fn inexact(text: &str, search: &str, replacement: &str) -> Result<Located, NoPlace> {
    let refusal = match loose(text, search, replacement) {
        Err(missing @ NoPlace::Missing { .. }) => missing,
        certain => return certain,
    };
    if let Some((search, replacement)) = quote::without_numbers(search, replacement) {
        let located = locate(text, &search, &replacement)?;
        return Ok(Located {
            exact: false,
            ..located
        });
    }
    if let Some(parts) = quote::parts(search, replacement) {
        return in_parts(text, &parts).ok_or(refusal);
    }
    aligned(text, search, replacement).ok_or(refusal)
}

/// The place of lines that are equal but for white space and typography.
pub(super) fn loose(text: &str, search: &str, replacement: &str) -> Result<Located, NoPlace> {
    let (lines, wanted) = (lines_of(text), lines_of(search));
    let starts = match letters(&wanted) {
        0..LOOSE_CHARACTERS_MIN => Vec::new(),
        _ => windows(&lines, &wanted),
    };
    match starts.as_slice() {
        [start] => equal(text, (&lines, &wanted), *start, search, replacement),
        [] => Err(missing(text, &lines, &wanted, search, replacement)),
        several => Err(ambiguous(&lines, several)),
    }
}

/// The place of a quote that stands in this line byte for byte and means all of it.
pub(super) fn whole_lines(
    text: &str,
    number: usize,
    search: &str,
    replacement: &str,
) -> Result<Located, NoPlace> {
    let (lines, wanted) = (lines_of(text), lines_of(search));
    let starts = windows(&lines, &wanted);
    let is_there = |start: &usize| lines.get(*start).is_some_and(|line| line.number == number);
    match starts.as_slice() {
        [start] if is_there(start) => equal(text, (&lines, &wanted), *start, search, replacement),
        // The quote is only a part of its line.
        [] => Err(NoPlace::Nesting {
            line: number + 1,
            nearest: numbered(text, number, number),
        }),
        several => Err(ambiguous(&lines, several)),
    }
}

fn ambiguous(lines: &[Line<'_>], starts: &[usize]) -> NoPlace {
    let lines = starts.iter().filter_map(|start| lines.get(*start));
    NoPlace::Ambiguous {
        lines: lines.map(|line| line.number + 1).collect(),
    }
}

/// Writes an edit whose quote is equal to the lines from `start` on.
fn equal(
    text: &str,
    (lines, wanted): (&[Line<'_>], &[Line<'_>]),
    start: usize,
    search: &str,
    replacement: &str,
) -> Result<Located, NoPlace> {
    let number = |at: usize| lines.get(at).map_or(0, |line| line.number);
    let (first, last) = (number(start), number(start + wanted.len() - 1));
    let nesting = || NoPlace::Nesting {
        line: first + 1,
        nearest: numbered(text, first, last),
    };
    let (mut search, mut replacement) = (Cow::Borrowed(search), Cow::Borrowed(replacement));
    if let ([wanted], Some(line)) = (wanted, lines.get(start))
        && wanted.indent.is_empty()
    {
        match reading(line.indent, &search, &replacement) {
            Reading::Relative => {}
            Reading::Literal => {
                search.to_mut().insert_str(0, line.indent);
                if !replacement.trim().is_empty() {
                    replacement.to_mut().insert_str(0, line.indent);
                }
            }
            Reading::Unclear => return Err(nesting()),
        }
    }
    let (search, replacement) = (&*search, &*replacement);
    let wanted = lines_of(search);
    let places: Vec<Option<usize>> = (start..start + wanted.len()).map(Some).collect();
    let quote = Quote {
        text,
        lines,
        wanted: &wanted,
        places: &places,
        solid: &vec![true; wanted.len()],
        search,
        replacement,
    };
    quote.write().map_err(|reason| match reason {
        Unwritable::Nothing => NoPlace::NoChange,
        Unwritable::Already => NoPlace::AlreadyApplied { line: first + 1 },
        Unwritable::Nesting | Unwritable::Uncertain => nesting(),
    })
}

fn letters(wanted: &[Line<'_>]) -> usize {
    let signs = wanted.iter().flat_map(|line| line.essence.chars());
    signs.filter(|sign| sign.is_alphanumeric()).count()
}

/// The place that a quote with slips, or with a line that is lost or out of date, is clearly nearest to.
fn aligned(text: &str, search: &str, replacement: &str) -> Option<Located> {
    let (lines, wanted) = (lines_of(text), lines_of(search));
    let before = rows(search);
    let changed = changes(&before, &rows(replacement));
    let filled: Vec<usize> = (0..before.len())
        .filter(|row| before.get(*row).is_some_and(|row| !row.is_empty()))
        .collect();
    let gone = |row: &usize| changed.iter().any(|change| change.gone.contains(row));
    let kept: Vec<bool> = filled.iter().map(|row| !gone(row)).collect();
    // What changes, and the lines beside it.
    let mut core: Vec<bool> = kept.iter().map(|kept| !kept).collect();
    for change in &changed {
        let first = filled.partition_point(|row| *row < change.gone.start);
        let last = filled.partition_point(|row| *row < change.gone.end);
        for index in first.saturating_sub(1)..=last {
            if let Some(core) = core.get_mut(index) {
                *core = true;
            }
        }
    }
    let aligned = align::align(&lines, &wanted, &kept, &core)?;
    let quote = Quote {
        text,
        lines: &lines,
        wanted: &wanted,
        places: &aligned.places,
        solid: &aligned.solid,
        search,
        replacement,
    };
    quote.write().ok()
}

/// Places of parts that follow one another in the block that the first of them begins.
fn in_parts(text: &str, parts: &[(String, String)]) -> Option<Located> {
    let mut whole: Option<Located> = None;
    let (mut from, mut end) = (0, text.len());
    for (search, replacement) in parts {
        let space = text.get(from..end)?;
        let stays = search.trim_end() == replacement.trim_end();
        let says_nothing = !search.chars().any(char::is_alphanumeric);
        if stays && says_nothing {
            continue;
        }
        let found = if stays {
            (standing(space, search)?, None)
        } else {
            let mut found = placed(space, search, replacement)?;
            found.quoted.iter_mut().for_each(|start| *start += from);
            (found.range.clone(), Some(found))
        };
        let range = found.0.start + from..found.0.end + from;
        if from == 0 {
            // What else is quoted belongs to the block that the first part begins.
            end = block_end(text, range.start);
        }
        from = range.end;
        if let Some(found) = found.1 {
            let found = Located { range, ..found };
            whole = Some(match whole {
                None => found,
                Some(before) => joined(text, before, found)?,
            });
        }
    }
    whole.map(|whole| Located {
        exact: false,
        ..whole
    })
}

/// Two places, one after the other, as one.
fn joined(text: &str, before: Located, after: Located) -> Option<Located> {
    let mut replacement = before.replacement;
    replacement.push_str(text.get(before.range.end..after.range.start)?);
    let moved = replacement.len();
    replacement.push_str(&after.replacement);
    let later = after.shifted.into_iter();
    let later = later.map(|range| range.start + moved..range.end + moved);
    Some(Located {
        range: before.range.start..after.range.end,
        replacement,
        exact: false,
        shifted: before.shifted.into_iter().chain(later).collect(),
        quoted: before.quoted.into_iter().chain(after.quoted).collect(),
    })
}

/// The only place of a part that stays.
fn standing(text: &str, search: &str) -> Option<Range<usize>> {
    let (search, _) = with_line_ends_of(text, search, "");
    if letters(&lines_of(&search)) < LOOSE_CHARACTERS_MIN {
        return None;
    }
    if let [start] = occurrences(text, &search).as_slice() {
        return Some(*start..start + search.len());
    }
    let (lines, wanted) = (lines_of(text), lines_of(&search));
    let found = windows(&lines, &wanted);
    let [start] = found.as_slice() else {
        return None;
    };
    let start = *start;
    let (first, last) = (lines.get(start)?, lines.get(start + wanted.len() - 1)?);
    Some(first.start..last.end)
}

/// The only place of a part that changes.
fn placed(text: &str, search: &str, replacement: &str) -> Option<Located> {
    let (search, replacement) = with_line_ends_of(text, search, replacement);
    match occurrences(text, &search).as_slice() {
        [start] => exact(text, *start, &search, &replacement).ok(),
        [] => loose(text, &search, &replacement).ok(),
        _ => None,
    }
}

fn missing(
    text: &str,
    lines: &[Line<'_>],
    wanted: &[Line<'_>],
    search: &str,
    replacement: &str,
) -> NoPlace {
    let told = lines_of(replacement);
    let is_new = |line: &Line<'_>| wanted.iter().all(|wanted| wanted.essence != line.essence);
    // Without a line that stays around it, the same line may stand there for another reason.
    let stays = |line: &Line<'_>| !is_new(line) && line.essence.contains(char::is_alphanumeric);
    let is_telling = letters(&told) >= LOOSE_CHARACTERS_MIN * 2
        && told.iter().any(is_new)
        && told.iter().any(stays);
    if is_telling && !search.contains(replacement.trim()) {
        if let [start] = occurrences(text, replacement.trim_matches('\n')).as_slice() {
            return NoPlace::AlreadyApplied {
                line: line_of(text, *start),
            };
        }
        if let [start] = windows(lines, &told).as_slice() {
            let line = lines.get(*start).map_or(0, |line| line.number);
            return NoPlace::AlreadyApplied { line: line + 1 };
        }
    }
    NoPlace::Missing {
        nearest: nearest(text, lines, wanted),
    }
}
