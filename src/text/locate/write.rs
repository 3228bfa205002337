//! Writes the changes of a misquoted text into the real one (spec: `edit_file`).
//!
//! Only what a quote and its replacement do not have in common is written. Lines that they share stay as they are in
//! the text, however they were quoted; lines that are written get the indentation, the signs and the line ends of the
//! lines around them.

use std::ops::Range;

use similar::{Algorithm, capture_diff_slices};

use super::Located;
use super::lines::Line;
use super::shift::Shift;
use crate::text::edit::{Merge, merge};

/// A quote whose lines were found in a text.
pub(super) struct Quote<'quote> {
    /// The text.
    pub text: &'quote str,
    /// Its lines that are not blank.
    pub lines: &'quote [Line<'quote>],
    /// The lines of the quote that are not blank.
    pub wanted: &'quote [Line<'quote>],
    /// For each of them the line of the text.
    pub places: &'quote [Option<usize>],
    /// Whether the two are the same but for white space, typography and slips of the pen.
    pub solid: &'quote [bool],
    /// The quote.
    pub search: &'quote str,
    /// What is to stand there instead.
    pub replacement: &'quote str,
}

/// Why changes cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unwritable {
    /// The indentation differs in more than a shift.
    Nesting,
    /// It is not certain what has to change.
    Uncertain,
    /// Nothing would change.
    Nothing,
    /// The text has it already.
    Already,
}

/// Lines that a quote and its replacement do not have in common.
#[derive(Debug, Clone)]
pub(super) struct Change {
    /// Lines of the quote that go.
    pub gone: Range<usize>,
    /// Lines of the replacement that come.
    pub new: Range<usize>,
}

/// Lines of the text that are replaced, from zero.
struct Written {
    lines: Range<usize>,
    new: Vec<String>,
}

/// The lines of a quote, without their ends.
pub(super) fn rows(text: &str) -> Vec<&str> {
    let body = text.strip_suffix('\n').unwrap_or(text);
    if body.is_empty() && text.is_empty() {
        return Vec::new();
    }
    body.split('\n').map(str::trim_end).collect()
}

fn raw_rows(text: &str) -> Vec<&str> {
    let body = text.strip_suffix('\n').unwrap_or(text);
    let rows = body.split('\n').map(|row| row.trim_end_matches('\r'));
    rows.filter(|_| !text.is_empty()).collect()
}

/// What differs between two lists of lines.
pub(super) fn changes(before: &[&str], after: &[&str]) -> Vec<Change> {
    let operations = capture_diff_slices(Algorithm::Myers, before, after);
    let changed = operations
        .into_iter()
        .filter(|one| one.tag() != similar::DiffTag::Equal);
    changed
        .map(|one| Change {
            gone: one.old_range(),
            new: one.new_range(),
        })
        .collect()
}

impl Quote<'_> {
    /// The place of the changes and what has to stand there.
    pub(super) fn write(&self) -> Result<Located, Unwritable> {
        let (before, after) = (rows(self.search), rows(self.replacement));
        let changes = changes(&before, &after);
        // White space at the ends of lines is kept, unless the quote has some of its own.
        let is_bare = |row: &str| row.trim_end() == row.trim_end_matches('\r');
        let after = if self.search.split('\n').all(is_bare) {
            raw_rows(self.replacement)
        } else {
            after
        };
        if changes.is_empty() {
            return Err(Unwritable::Nothing);
        }
        let numbers: Vec<usize> = (0..before.len())
            .filter(|row| before.get(*row).is_some_and(|row| !row.is_empty()))
            .collect();
        let Some(shift) = self.shift() else {
            return Err(Unwritable::Nesting);
        };
        let signs = self.signs();
        // Where the text has both signs, nobody knows which of those that come were meant.
        let is_mixed = |sign: char| self.text.contains(sign) && self.replacement.contains(sign);
        if signs.0.iter().any(|(quoted, _)| is_mixed(*quoted)) {
            return Err(Unwritable::Uncertain);
        }
        let mend = |row: &str| {
            let row = shift.line(row)?;
            Some(row.chars().map(|sign| signs.plain(sign)).collect())
        };
        let mut written: Vec<Written> = Vec::new();
        for change in &changes {
            let new = after.get(change.new.clone()).unwrap_or_default();
            let new: Option<Vec<String>> = new.iter().map(|row| mend(row)).collect();
            let new = new.ok_or(Unwritable::Nesting)?;
            let gone = before.get(change.gone.clone()).unwrap_or_default();
            let gone: Option<Vec<String>> = gone.iter().map(|row| mend(row)).collect();
            let gone = gone.ok_or(Unwritable::Nesting)?;
            let place = Place::of(self, &before, &numbers, change, &new)?;
            let one = place.written(self, gone, new)?;
            if written
                .last()
                .is_some_and(|last| one.lines.start < last.lines.end)
            {
                return Err(Unwritable::Uncertain);
            }
            written.push(one);
        }
        self.spliced(&written, !shift.is_none())
    }

    /// Blank lines of the text just before a line that is not blank, or at its end.
    fn blank_above(&self, at: usize) -> usize {
        let end = match self.lines.get(at) {
            Some(line) => line.number,
            None => self.text.split_inclusive('\n').count(),
        };
        let above = at.checked_sub(1).and_then(|above| self.lines.get(above));
        end.saturating_sub(above.map_or(0, |line| line.number + 1))
    }

    /// How the indentation of the quote differs: the same for each line, or nobody knows what belongs to what.
    fn shift(&self) -> Option<Shift> {
        let lines = self.wanted.iter().zip(self.places).zip(self.solid);
        let pairs: Vec<(&str, &str)> = lines
            .filter(|(_, solid)| **solid)
            .filter_map(|((wanted, place), _)| {
                let line = self.lines.get((*place)?)?;
                Some((line.indent, wanted.indent))
            })
            .collect();
        Shift::between(&pairs)
    }

    /// Typographic signs of the quote that are plain ones in the text.
    fn signs(&self) -> Signs {
        let mut signs = Signs::default();
        for (wanted, place) in self.wanted.iter().zip(self.places) {
            let line = place.and_then(|place| self.lines.get(place));
            let Some(line) = line.filter(|line| line.essence == wanted.essence) else {
                continue;
            };
            let plain = |line: &Line<'_>| {
                let squeezed = line.body.split_whitespace();
                squeezed.collect::<Vec<_>>().join(" ")
            };
            let (real, quoted) = (plain(line), plain(wanted));
            for (real, quoted) in real.chars().zip(quoted.chars()) {
                if real.is_ascii() && !quoted.is_ascii() && !signs.0.contains(&(quoted, real)) {
                    signs.0.push((quoted, real));
                }
            }
        }
        signs
    }

    fn spliced(&self, written: &[Written], is_shifted: bool) -> Result<Located, Unwritable> {
        let rows: Vec<&str> = self.text.split_inclusive('\n').collect();
        let starts: Vec<usize> = std::iter::once(0)
            .chain(rows.iter().scan(0, |end, row| {
                *end += row.len();
                Some(*end)
            }))
            .collect();
        let start_of = |line: usize| starts.get(line).copied().unwrap_or(self.text.len());
        let (Some(first), Some(last)) = (written.first(), written.last()) else {
            return Err(Unwritable::Nothing);
        };
        let range = start_of(first.lines.start)..start_of(last.lines.end);
        let mut result = String::new();
        let mut shifted = Vec::new();
        let mut at = range.start;
        for one in written {
            let kept = self.text.get(at..start_of(one.lines.start));
            result.push_str(kept.unwrap_or_default());
            at = start_of(one.lines.end);
            let near = rows.get(one.lines.start).or_else(|| rows.last());
            let end = if near.is_some_and(|row| row.ends_with("\r\n")) {
                "\r\n"
            } else {
                "\n"
            };
            // The last line of the text may have no end.
            let open = one.lines.end >= rows.len() && !self.text.ends_with('\n');
            let after_open = open && one.lines.is_empty() && !self.text.is_empty();
            let new_from = result.len();
            for (number, row) in one.new.iter().enumerate() {
                if number > 0 || after_open {
                    result.push_str(end);
                }
                result.push_str(row);
            }
            shifted.extend(is_shifted.then_some(new_from..result.len()));
            if !open && !one.new.is_empty() {
                result.push_str(end);
            }
        }
        if self.text.get(range.clone()) == Some(result.as_str()) {
            return Err(Unwritable::Already);
        }
        let solid = self.places.iter().zip(self.solid);
        let quoted = solid
            .filter(|(_, solid)| **solid && is_shifted)
            .filter_map(|(place, _)| self.lines.get((*place)?))
            .map(|line| start_of(line.number))
            .collect();
        Ok(Located {
            range,
            replacement: result,
            exact: false,
            shifted,
            quoted,
        })
    }
}

/// Signs that models set where the text has plain ones.
#[derive(Default)]
struct Signs(Vec<(char, char)>);

impl Signs {
    fn plain(&self, sign: char) -> char {
        let known = self.0.iter().find(|(quoted, _)| *quoted == sign);
        known.map_or(sign, |(_, real)| *real)
    }
}

/// Where a change is to be written.
struct Place {
    /// Lines of the text that go.
    lines: Range<usize>,
    /// Lines of the text that are not blank and go.
    gone: Vec<usize>,
    /// Blank lines of the text just before and after, that were not quoted.
    unquoted: (usize, usize),
}

impl Place {
    fn of(
        quote: &Quote<'_>,
        before: &[&str],
        numbers: &[usize],
        change: &Change,
        new: &[String],
    ) -> Result<Self, Unwritable> {
        let first = numbers.partition_point(|row| *row < change.gone.start);
        let last = numbers.partition_point(|row| *row < change.gone.end);
        let place = |index: usize| quote.places.get(index).copied().flatten();
        let mut gone = Vec::new();
        for index in first..last {
            let at = place(index).ok_or(Unwritable::Uncertain)?;
            if quote.solid.get(index) != Some(&true) {
                return Err(Unwritable::Uncertain);
            }
            match gone.last() {
                Some(last) if *last == at => {}
                Some(last) if *last + 1 != at => return Err(Unwritable::Uncertain),
                _ => gone.push(at),
            }
        }
        let is_blank = |row: &usize| before.get(*row).is_some_and(|row| row.is_empty());
        // Blank rows of the quote around the lines that go, and those of them that go too.
        let edge = |rows: &mut dyn Iterator<Item = usize>| {
            let blank = rows.take_while(is_blank);
            let (all, own): (Vec<usize>, Vec<usize>) =
                blank.partition(|row| !change.gone.contains(row));
            (all.len() + own.len(), own.len())
        };
        if let (Some(top), Some(bottom)) = (gone.first(), gone.last()) {
            let row_of = |index: usize| numbers.get(index).copied().unwrap_or_default();
            let (quoted_above, gone_above) = edge(&mut (0..row_of(first)).rev());
            let (quoted_below, gone_below) = edge(&mut (row_of(last - 1) + 1..before.len()));
            let (above, below) = (quote.blank_above(*top), quote.blank_above(*bottom + 1));
            let line = |at: &usize| quote.lines.get(*at).map_or(0, |line| line.number);
            return Ok(Self {
                lines: line(top) - gone_above.min(above)..line(bottom) + 1 + gone_below.min(below),
                // What lies outside of the quote was not misquoted.
                unquoted: (
                    if first > 0 {
                        above.saturating_sub(quoted_above)
                    } else {
                        0
                    },
                    if last < numbers.len() {
                        below.saturating_sub(quoted_below)
                    } else {
                        0
                    },
                ),
                gone,
            });
        }
        Self::between(quote, numbers, change, before.len(), new)
    }

    /// Between two lines that stay.
    fn between(
        quote: &Quote<'_>,
        numbers: &[usize],
        change: &Change,
        rows: usize,
        new: &[String],
    ) -> Result<Self, Unwritable> {
        let next = numbers.partition_point(|row| *row < change.gone.start);
        let place = |index: usize| quote.places.get(index).copied().flatten();
        let is_solid = |index: usize| quote.solid.get(index) == Some(&true);
        let above = next.checked_sub(1);
        let below = (next < numbers.len()).then_some(next);
        let is_certain = above.is_some_and(is_solid) || below.is_some_and(is_solid);
        let (top, bottom) = (above.and_then(place), below.and_then(place));
        let is_apart = top
            .zip(bottom)
            .is_some_and(|(top, bottom)| bottom != top + 1);
        if !is_certain || is_apart {
            return Err(Unwritable::Uncertain);
        }
        let count = change.gone.len();
        let row_of = |index: usize| numbers.get(index).copied().unwrap_or_default();
        let number = |at: usize| quote.lines.get(at).map_or(0, |line| line.number);
        // What comes directly after a line belongs to it, the rest to the line below: blank lines that were not quoted
        // stay on the other side.
        let follows = above.is_some_and(|above| row_of(above) + 1 == change.gone.start)
            && new.first().is_some_and(|row| !row.trim().is_empty());
        let has_below = bottom.is_some() && below.is_some_and(is_solid);
        let anchor_above = top.filter(|_| above.is_some_and(is_solid) && (follows || !has_below));
        if let (Some(top), Some(above)) = (anchor_above, above) {
            let blank = quote.blank_above(top + 1);
            let quoted = below.map_or(rows, row_of) - row_of(above) - 1;
            let skipped = (change.gone.start - row_of(above) - 1).min(blank);
            let start = number(top) + 1 + skipped;
            return Ok(Self {
                lines: start..start + count.min(blank - skipped),
                gone: Vec::new(),
                unquoted: (0, below.map_or(0, |_| blank.saturating_sub(quoted))),
            });
        }
        let (Some(bottom), Some(below)) = (bottom, below) else {
            return Err(Unwritable::Uncertain);
        };
        let blank = quote.blank_above(bottom);
        let quoted = row_of(below) - above.map_or(0, |above| row_of(above) + 1);
        let skipped = (row_of(below) - change.gone.end).min(blank);
        let end = number(bottom) - skipped;
        Ok(Self {
            lines: end - count.min(blank - skipped)..end,
            gone: Vec::new(),
            unquoted: (above.map_or(0, |_| blank.saturating_sub(quoted)), 0),
        })
    }

    fn written(
        self,
        quote: &Quote<'_>,
        gone: Vec<String>,
        mut new: Vec<String>,
    ) -> Result<Written, Unwritable> {
        if !self.gone.is_empty() {
            let real = self.gone.iter().filter_map(|at| quote.lines.get(*at));
            let real: Vec<&Line<'_>> = real.collect();
            let told = gone.iter().filter(|row| !row.trim().is_empty());
            let same = real.len() == told.clone().count()
                && real.iter().zip(told).all(|(line, row)| line.full() == *row);
            if !same {
                new = corrected(quote, &self.gone, &gone, new)?;
            }
        }
        // A blank line that was not quoted stays, and need not come a second time.
        let lead = new.iter().take_while(|row| row.trim().is_empty()).count();
        new.drain(..lead.min(self.unquoted.0));
        let trail = new.iter().rev();
        let trail = trail.take_while(|row| row.trim().is_empty()).count();
        new.truncate(new.len() - trail.min(self.unquoted.1));
        Ok(Written {
            lines: self.lines,
            new,
        })
    }
}

/// New lines for old ones that were misquoted: both differences, word by word.
fn corrected(
    quote: &Quote<'_>,
    places: &[usize],
    gone: &[String],
    new: Vec<String>,
) -> Result<Vec<String>, Unwritable> {
    if new.is_empty() {
        return Ok(new);
    }
    let real: Vec<&Line<'_>> = places
        .iter()
        .filter_map(|at| quote.lines.get(*at))
        .collect();
    let told: Vec<&str> = gone
        .iter()
        .map(String::as_str)
        .filter(|row| !row.trim().is_empty())
        .collect();
    let full: Vec<&str> = real.iter().map(|line| line.full()).collect();
    let said: Vec<&str> = new.iter().map(String::as_str).collect();
    match merge(&tokens(&told), &tokens(&said), &tokens(&full)) {
        Merge::Clean(merged) => Ok(untokened(&merged)),
        Merge::Conflict => {
            let same = real.len() == told.len()
                && real
                    .iter()
                    .zip(&told)
                    .all(|(line, row)| line.essence == super::lines::essence(row.trim()));
            if same {
                Ok(new)
            } else {
                Err(Unwritable::Uncertain)
            }
        }
    }
}

/// Each word, sign and run of white space on a line of its own, so that lines can be merged by their words.
fn tokens(rows: &[&str]) -> String {
    let mut result = String::new();
    for row in rows {
        let mut last = None;
        for sign in row.chars() {
            let kind = if sign.is_alphanumeric() || sign == '_' {
                Some('w')
            } else if sign.is_whitespace() {
                Some(' ')
            } else {
                None
            };
            if last.is_some_and(|last| kind.is_none() || last != kind) {
                result.push('\n');
            }
            result.push(sign);
            last = Some(kind);
        }
        if last.is_some() {
            result.push('\n');
        }
        // No row has this sign in it: it ends rows.
        result.push_str("\r\n");
    }
    result
}

fn untokened(merged: &str) -> Vec<String> {
    let mut rows = vec![String::new()];
    for token in merged.split_inclusive('\n') {
        if token == "\r\n" {
            rows.push(String::new());
        } else if let Some(row) = rows.last_mut() {
            row.push_str(token.strip_suffix('\n').unwrap_or(token));
        }
    }
    rows.pop();
    rows
}
