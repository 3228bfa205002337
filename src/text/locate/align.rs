//! Aligns a quote with the lines of a text that it is nearest to, where one place is clearly the nearest
//! (spec: `edit_file`).
//!
//! A score alone cannot tell a slip of the pen from the name of another thing: `parse_u32` is as near to `parse_u64` as
//! `lenght` to `length`. Lines that differ therefore have to look like slips; a quote that is out of date is placed by
//! the version that was read, never by its likeness.

use std::collections::HashSet;

use super::lines::{Line, words};

/// Share of a quote that has to be found.
const SCORE_MIN: f32 = 0.9;

/// How much better the best place has to be than any other.
const LEAD_MIN: f32 = 0.1;

/// What a line of the text costs that the quote leaves out.
const SKIPPED_COST: f32 = 0.5;

/// Likeness below which two lines have nothing to do with each other.
const LIKENESS_MIN: f32 = 0.5;

/// Likeness of lines that differ by a slip.
const SLIP_LIKENESS: f32 = 0.97;

/// Letters and digits of a line that a quote may have twice.
const DOUBLED_CHARACTERS_MIN: usize = 6;

/// Lines of a quote that may have slips.
const SLIPS_MAX: usize = 2;

/// Letters and digits in the lines that are equal.
const EQUAL_CHARACTERS_MIN: usize = 12;

/// Letters of a part of a name, below which another letter makes another name.
const SLIP_LETTERS_MIN: usize = 5;

/// Lines that an alignment may leave out in a row, of the quote or of the text.
const GAP_MAX: usize = 2;

/// Pairs of lines that are compared.
const PAIRS_MAX: usize = 4_000_000;

/// Pairs of characters that are compared, of all pairs of lines together.
const CELLS_MAX: usize = 100_000_000;

/// Characters of a word that may have a slip.
const SLIP_WORD_BYTES_MAX: usize = 64;

/// The best place of a quote.
pub(super) struct Aligned {
    /// For each line of the quote the line of the text.
    pub places: Vec<Option<usize>>,
    /// Whether the two are the same but for slips.
    pub solid: Vec<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Relation {
    Equal,
    Slip,
    Other,
}

/// Finds the clearly best place of a quote. `kept` says for each of its lines whether it stays as it is, `core` whether
/// it changes or stands beside a change.
pub(super) fn align(
    lines: &[Line<'_>],
    wanted: &[Line<'_>],
    kept: &[bool],
    core: &[bool],
) -> Option<Aligned> {
    if wanted.is_empty() || lines.len().saturating_mul(wanted.len()) > PAIRS_MAX {
        return None;
    }
    let table = Table::of(lines, wanted)?;
    let best = table.best()?;
    let doubled: Vec<bool> = (0..wanted.len())
        .map(|index| is_doubled(wanted, &best, index) && kept.get(index) == Some(&true))
        .collect();
    let counted = doubled.iter().filter(|doubled| !**doubled).count();
    let (score, lead) = table.score_and_lead(&best, core, counted);
    if score < SCORE_MIN || lead < LEAD_MIN {
        return None;
    }
    let known: HashSet<&str> = lines.iter().flat_map(|line| words(&line.essence)).collect();
    let relations: Vec<Option<Relation>> = best
        .iter()
        .zip(wanted)
        .map(|(place, wanted)| {
            let line = lines.get((*place)?)?;
            Some(relation(&line.essence, &wanted.essence, &known))
        })
        .collect();
    if !is_certain(&relations, &doubled, wanted)
        || skips_near_change(&best, kept)
        || !skips_clearly(&best, lines, wanted)
    {
        return None;
    }
    let mut places = best;
    for index in 0..places.len() {
        if doubled.get(index) == Some(&true) {
            let near = [index.checked_sub(1), Some(index + 1)];
            let twin = near.into_iter().flatten().find(|near| {
                let same = |at: usize| wanted.get(at).map(|line| &line.essence);
                same(*near) == same(index) && places.get(*near).is_some_and(Option::is_some)
            });
            let place = twin.and_then(|twin| places.get(twin).copied().flatten());
            if let Some(slot) = places.get_mut(index) {
                *slot = place;
            }
        }
    }
    let solid = relations
        .iter()
        .zip(&doubled)
        .map(|(relation, doubled)| {
            *doubled || matches!(relation, Some(Relation::Equal | Relation::Slip))
        })
        .collect();
    Some(Aligned { places, solid })
}

/// Whether a line of the quote has no place because the same line stands beside it in the quote, with a place.
fn is_doubled(wanted: &[Line<'_>], places: &[Option<usize>], index: usize) -> bool {
    if places.get(index).is_none_or(Option::is_some) {
        return false;
    }
    let full = |at: usize| wanted.get(at).map(Line::full);
    let is_twin =
        |at: usize| full(at) == full(index) && places.get(at).is_some_and(Option::is_some);
    let characters = full(index).unwrap_or_default().chars();
    let characters = characters.filter(|sign| sign.is_alphanumeric()).count();
    characters >= DOUBLED_CHARACTERS_MIN
        && (index.checked_sub(1).is_some_and(is_twin) || is_twin(index + 1))
}

fn is_certain(relations: &[Option<Relation>], doubled: &[bool], wanted: &[Line<'_>]) -> bool {
    let count = |relation| {
        let same = relations.iter().filter(|one| **one == Some(relation));
        same.count()
    };
    let lost = relations
        .iter()
        .zip(doubled)
        .any(|(relation, doubled)| relation.is_none() && !doubled);
    let equal = relations
        .iter()
        .zip(wanted)
        .filter(|(relation, _)| **relation == Some(Relation::Equal));
    let characters: usize = equal
        .map(|(_, line)| {
            line.essence
                .chars()
                .filter(|sign| sign.is_alphanumeric())
                .count()
        })
        .sum();
    let slips = count(Relation::Slip);
    // A quote of one line has nothing but that line.
    let is_known = characters >= EQUAL_CHARACTERS_MIN
        || slips == 1 && wanted.len() == 1 && wanted.iter().all(|line| line.essence.len() > 24);
    !lost && is_known && slips <= SLIPS_MAX && count(Relation::Other) == 0
}

/// Whether lines of the text that the quote leaves out stand beside a line that changes, or are many.
fn skips_near_change(places: &[Option<usize>], kept: &[bool]) -> bool {
    let mut skipped = 0;
    let known: Vec<(usize, usize)> = places
        .iter()
        .enumerate()
        .filter_map(|(index, place)| Some((index, (*place)?)))
        .collect();
    for (one, next) in known.iter().zip(known.iter().skip(1)) {
        let gap = next.1.saturating_sub(one.1 + 1);
        skipped += gap;
        let stays = |index: usize| kept.get(index) == Some(&true);
        if gap > 0 && !(stays(one.0) && stays(next.0)) {
            return true;
        }
    }
    skipped > 1
}

/// Whether the lines on both sides of one that the quote leaves out say by themselves where they are: the quote may be
/// complete, and mean lines that are gone and were nearly the same.
fn skips_clearly(places: &[Option<usize>], lines: &[Line<'_>], wanted: &[Line<'_>]) -> bool {
    let known: Vec<(usize, usize)> = places
        .iter()
        .enumerate()
        .filter_map(|(index, place)| Some((index, (*place)?)))
        .collect();
    let is_clear = |index: usize| {
        wanted.get(index).is_some_and(|wanted| {
            let signs = wanted.essence.chars();
            let letters = signs.filter(|sign| sign.is_alphanumeric()).count();
            let same = lines.iter().filter(|line| line.essence == wanted.essence);
            letters >= DOUBLED_CHARACTERS_MIN && same.take(2).count() == 1
        })
    };
    let mut pairs = known.iter().zip(known.iter().skip(1));
    pairs.all(|(one, next)| next.1 <= one.1 + 1 || is_clear(one.0) && is_clear(next.0))
}

fn relation(real: &str, quoted: &str, known: &HashSet<&str>) -> Relation {
    if real == quoted {
        Relation::Equal
    } else if is_slip(real, quoted, known) {
        Relation::Slip
    } else {
        Relation::Other
    }
}

/// Whether a quoted line differs from the real one as a slip of the pen does: by one letter of one long word that the
/// text does not know, or by a comma or semicolon at its end.
fn is_slip(real: &str, quoted: &str, known: &HashSet<&str>) -> bool {
    let bare = |line: &'_ str| line.trim_end_matches([',', ';']).len();
    if real.get(..bare(real)) == quoted.get(..bare(quoted)) {
        return true;
    }
    let (real_parts, quoted_parts) = (parts(real), parts(quoted));
    if real_parts.len() != quoted_parts.len() {
        return false;
    }
    let mut differing = real_parts
        .iter()
        .zip(&quoted_parts)
        .filter(|(real, quoted)| real != quoted);
    let (Some((real, wrong)), None) = (differing.next(), differing.next()) else {
        return false;
    };
    let long =
        |word: &str| word.len() >= SLIP_LETTERS_MIN - 1 && word.chars().all(char::is_alphabetic);
    let plural = |one: &str, other: &str| one.strip_suffix('s') == Some(other);
    let unknown = words(quoted)
        .iter()
        .any(|word| word.contains(wrong) && !known.contains(word));
    long(real)
        && long(wrong)
        && (SLIP_LETTERS_MIN..=SLIP_WORD_BYTES_MAX).contains(&real.len().max(wrong.len()))
        && !plural(real, wrong)
        && !plural(wrong, real)
        && unknown
        && strsim::osa_distance(real, wrong) == 1
}

/// Words, split where names have their parts, and all signs between them.
fn parts(line: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut start = 0;
    let mut last: Option<char> = None;
    for (at, sign) in line.char_indices() {
        let joins = last.is_some_and(|last| {
            last.is_alphabetic()
                && sign.is_alphabetic()
                && !(last.is_lowercase() && sign.is_uppercase())
                || last.is_numeric() && sign.is_numeric()
        });
        if !joins && at > start {
            parts.extend(line.get(start..at));
            start = at;
        }
        last = Some(sign);
    }
    parts.extend(line.get(start..).filter(|rest| !rest.is_empty()));
    parts
}

/// How well each line of a quote fits each line of a text, with the rest of the quote around it.
struct Table {
    width: usize,
    height: usize,
    /// Likeness of each pair.
    alike: Vec<f32>,
    /// Best score of the quote up to a pair.
    forward: Vec<f32>,
    /// Best score of the quote from a pair on.
    backward: Vec<f32>,
}

const NEVER: f32 = f32::NEG_INFINITY;

impl Table {
    /// `None` when the lines are too long to be compared: who leaves one out does not know what is unique.
    fn of(lines: &[Line<'_>], wanted: &[Line<'_>]) -> Option<Self> {
        let (width, height) = (lines.len(), wanted.len());
        let mut table = Self {
            width,
            height,
            alike: vec![0.0; width * height],
            forward: vec![NEVER; width * height],
            backward: vec![NEVER; width * height],
        };
        table.compare(lines, wanted)?;
        for row in 0..height {
            for column in 0..width {
                table.step(row, column, Way::Forward);
                table.step(height - 1 - row, width - 1 - column, Way::Backward);
            }
        }
        Some(table)
    }

    /// Likeness of pairs; pairs that are far from any place where much is equal are only compared for equality.
    fn compare(&mut self, lines: &[Line<'_>], wanted: &[Line<'_>]) -> Option<()> {
        let mut cells_left = CELLS_MAX;
        let mut equal_at = vec![0_usize; self.width + self.height];
        for (row, wanted) in wanted.iter().enumerate() {
            for (column, line) in lines.iter().enumerate() {
                if line.essence == wanted.essence {
                    self.set(row, column, 1.0);
                    if let Some(count) = equal_at.get_mut(column + self.height - row) {
                        *count += 1;
                    }
                }
            }
        }
        let enough = self.height / 2;
        let near: Vec<bool> = (0..equal_at.len())
            .map(|diagonal| {
                let around = diagonal.saturating_sub(GAP_MAX)..=diagonal + GAP_MAX;
                let counts = around.filter_map(|one| equal_at.get(one));
                counts.sum::<usize>() >= enough
            })
            .collect();
        for (row, wanted) in wanted.iter().enumerate() {
            for (column, line) in lines.iter().enumerate() {
                let is_near = near.get(column + self.height - row) == Some(&true);
                if is_near && self.alike(row, column) < 1.0 {
                    let likeness = likeness(&line.essence, &wanted.essence, &mut cells_left)?;
                    self.set(row, column, likeness);
                }
            }
        }
        Some(())
    }

    fn set(&mut self, row: usize, column: usize, likeness: f32) {
        if let Some(slot) = self.alike.get_mut(row * self.width + column) {
            *slot = likeness;
        }
    }

    fn alike(&self, row: usize, column: usize) -> f32 {
        let at = row * self.width + column;
        self.alike.get(at).copied().unwrap_or_default()
    }

    fn step(&mut self, row: usize, column: usize, way: Way) {
        let likeness = self.alike(row, column);
        if likeness < LIKENESS_MIN {
            return;
        }
        let mut before = 0.0_f32;
        for rows in 1..=GAP_MAX + 1 {
            for columns in 1..=GAP_MAX + 1 {
                let known = match way {
                    Way::Forward => row.checked_sub(rows).zip(column.checked_sub(columns)),
                    Way::Backward => Some((row + rows, column + columns))
                        .filter(|(row, column)| *row < self.height && *column < self.width),
                };
                let Some((row, column)) = known else { continue };
                let scores = match way {
                    Way::Forward => &self.forward,
                    Way::Backward => &self.backward,
                };
                let score = scores.get(row * self.width + column).copied();
                let skipped = u8::try_from(columns - 1).unwrap_or(u8::MAX);
                let cost = f32::from(skipped) * SKIPPED_COST;
                before = before.max(score.unwrap_or(NEVER) - cost);
            }
        }
        let scores = match way {
            Way::Forward => &mut self.forward,
            Way::Backward => &mut self.backward,
        };
        if let Some(slot) = scores.get_mut(row * self.width + column) {
            *slot = before + likeness;
        }
    }

    /// The score of the whole quote when this pair belongs together.
    fn through(&self, row: usize, column: usize) -> f32 {
        let at = row * self.width + column;
        let one = |scores: &[f32]| scores.get(at).copied().unwrap_or(NEVER);
        one(&self.forward) + one(&self.backward) - self.alike(row, column)
    }

    /// The best place of each line of the quote.
    fn best(&self) -> Option<Vec<Option<usize>>> {
        let pairs =
            (0..self.height).flat_map(|row| (0..self.width).map(move |column| (row, column)));
        let best = pairs
            .map(|(row, column)| self.through(row, column))
            .fold(NEVER, f32::max);
        if best <= 0.0 {
            return None;
        }
        let mut places: Vec<Option<usize>> = Vec::with_capacity(self.height);
        let mut after: Option<usize> = None;
        for row in 0..self.height {
            let mut columns = (0..self.width)
                .filter(|column| after.is_none_or(|after| *column > after))
                .filter(|column| best - self.through(row, *column) < 0.001);
            let place = columns.next();
            after = place.or(after);
            places.push(place);
        }
        Some(places)
    }

    /// The score of a place, and how much better it is than any other place of a line at its core.
    fn score_and_lead(
        &self,
        places: &[Option<usize>],
        core: &[bool],
        counted: usize,
    ) -> (f32, f32) {
        let count = f32::from(u16::try_from(counted.max(1)).unwrap_or(u16::MAX));
        let (mut score, mut other) = (NEVER, 0.0_f32);
        for (row, place) in places.iter().enumerate() {
            let Some(place) = place else { continue };
            score = score.max(self.through(row, *place));
            if core.get(row) != Some(&true) {
                continue;
            }
            for column in (0..self.width).filter(|column| column != place) {
                other = other.max(self.through(row, column));
            }
        }
        (score / count, (score - other) / count)
    }
}

#[derive(Debug, Clone, Copy)]
enum Way {
    Forward,
    Backward,
}

/// How alike two lines are; `None` when there are no more cells left to find out.
fn likeness(real: &str, quoted: &str, cells_left: &mut usize) -> Option<f32> {
    let (short, long) = (real.len().min(quoted.len()), real.len().max(quoted.len()));
    if short * 2 < long {
        return Some(0.0);
    }
    // What both begin and end with makes no difference but to the time.
    let (real, quoted) = without_common_ends(real, quoted);
    *cells_left = cells_left.checked_sub(real.len().saturating_mul(quoted.len()))?;
    let distance = strsim::osa_distance(real, quoted);
    if distance <= 2 {
        return Some(SLIP_LIKENESS);
    }
    #[expect(clippy::cast_precision_loss, reason = "lines are short")]
    let likeness = 1.0 - distance as f32 / long as f32;
    Some(if likeness < LIKENESS_MIN {
        0.0
    } else {
        likeness
    })
}

fn without_common_ends<'line>(one: &'line str, other: &'line str) -> (&'line str, &'line str) {
    let same = one.chars().zip(other.chars());
    let same = same.take_while(|(one, other)| one == other);
    let start: usize = same.map(|(sign, _)| sign.len_utf8()).sum();
    let (one, other) = (
        one.get(start..).unwrap_or_default(),
        other.get(start..).unwrap_or_default(),
    );
    let same = one.chars().rev().zip(other.chars().rev());
    let same = same.take_while(|(one, other)| one == other);
    let end: usize = same.map(|(sign, _)| sign.len_utf8()).sum();
    (
        one.get(..one.len() - end).unwrap_or_default(),
        other.get(..other.len() - end).unwrap_or_default(),
    )
}
