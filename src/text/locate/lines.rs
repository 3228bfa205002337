//! The lines of a text by what they say, whatever white space and typography models give them (spec: `edit_file`).

use std::collections::HashSet;

/// Lines shown as the nearest ones.
const NEAREST_LINES_MAX: usize = 24;

/// Characters shown of a line.
const LINE_CHARACTERS_MAX: usize = 300;

/// Places that are looked for.
pub(super) const PLACES_MAX: usize = 8;

/// One line of a text that is not blank.
#[derive(Debug)]
pub(super) struct Line<'text> {
    /// Zero-based number.
    pub(super) number: usize,
    /// First byte.
    pub(super) start: usize,
    /// One past the last byte before the line end.
    pub(super) end: usize,
    pub(super) indent: &'text str,
    /// The rest, without white space at its end.
    pub(super) body: &'text str,
    /// Both.
    visible: &'text str,
    /// The rest, without what models change by accident.
    pub(super) essence: String,
}

impl Line<'_> {
    /// The line as it stands in the text, without white space at its end.
    pub(super) fn full(&self) -> &str {
        self.visible
    }
}

pub(super) fn windows(lines: &[Line<'_>], wanted: &[Line<'_>]) -> Vec<usize> {
    if wanted.is_empty() {
        return Vec::new();
    }
    let same = |window: &[Line<'_>]| {
        window
            .iter()
            .zip(wanted)
            .all(|(line, wanted)| line.essence == wanted.essence)
    };
    let windows = lines.windows(wanted.len()).enumerate();
    windows
        .filter(|(_, window)| same(window))
        .map(|(start, _)| start)
        .collect()
}

pub(super) fn lines_of(text: &str) -> Vec<Line<'_>> {
    let mut lines = Vec::new();
    let mut offset = 0;
    for (number, line) in text.split('\n').enumerate() {
        let visible = line.trim_end();
        let body = visible.trim_start_matches([' ', '\t']);
        if !body.is_empty() {
            let indent_bytes = visible.len() - body.len();
            lines.push(Line {
                number,
                start: offset + indent_bytes,
                end: offset + line.trim_end_matches('\r').len(),
                indent: visible.get(..indent_bytes).unwrap_or_default(),
                body,
                visible,
                essence: essence(body),
            });
        }
        offset += line.len() + 1;
    }
    lines
}

/// A line without what models change by accident: runs of white space, typographic quotes and dashes.
pub(super) fn essence(body: &str) -> String {
    let mut result = String::with_capacity(body.len());
    for character in body.chars() {
        let plain = match character {
            '\u{2018}' | '\u{2019}' | '\u{201b}' => '\'',
            '\u{201c}' | '\u{201d}' | '\u{201f}' => '"',
            '\u{2010}'..='\u{2015}' | '\u{2212}' => '-',
            character if character.is_whitespace() => ' ',
            character => character,
        };
        if plain != ' ' || !result.ends_with(' ') {
            result.push(plain);
        }
    }
    result
}

/// Starts of all places, overlapping ones too.
pub(super) fn occurrences(text: &str, search: &str) -> Vec<usize> {
    let mut places = Vec::new();
    let mut from = 0;
    while places.len() < PLACES_MAX
        && !search.is_empty()
        && let Some(found) = text.get(from..).and_then(|rest| rest.find(search))
    {
        places.push(from + found);
        let step = text
            .get(from + found..)
            .and_then(|rest| rest.chars().next())
            .map_or(1, char::len_utf8);
        from += found + step;
    }
    places
}

pub(super) fn line_of(text: &str, offset: usize) -> usize {
    text.get(..offset).unwrap_or_default().matches('\n').count() + 1
}

/// One past the last byte of the block that the line at an offset begins: of the lines below it that are indented
/// deeper, blank, or only open or close it.
pub(super) fn block_end(text: &str, offset: usize) -> usize {
    let width = |line: &str| line.len() - line.trim_start_matches([' ', '\t']).len();
    let mut head = None;
    end_of(text, offset, |line| {
        let body = line.trim();
        let goes_on = body.starts_with(['}', ')', ']', '{'])
            || body == "end"
            || body.split(' ').next() == Some("where");
        let deep = width(line);
        let head = *head.get_or_insert(deep);
        deep > head || deep == head && goes_on
    })
}

/// One past the last byte of the part of a text that the line at an offset begins: its block, or everything up to the
/// next heading.
pub fn part_end(text: &str, offset: usize) -> usize {
    let rest = text.get(offset..).unwrap_or_default();
    match heading(rest.lines().next().unwrap_or_default()) {
        0 => block_end(text, offset),
        level => end_of(text, offset, |line| !(1..=level).contains(&heading(line))),
    }
}

/// The end of the line at an offset and of those below it that belong to it or are blank.
fn end_of(text: &str, offset: usize, mut belongs: impl FnMut(&str) -> bool) -> usize {
    let before = text.get(..offset).unwrap_or_default();
    let start = before.rfind('\n').map_or(0, |feed| feed + 1);
    let rows = text.get(start..).unwrap_or_default().split_inclusive('\n');
    let mut is_first = true;
    let own = rows
        .take_while(|row| row.trim().is_empty() || belongs(row) | std::mem::take(&mut is_first));
    start + own.map(str::len).sum::<usize>()
}

/// The level of a heading of a section, from one; zero for any other line.
fn heading(line: &str) -> usize {
    let line = line.trim_end();
    if line.starts_with('[') && line.ends_with(']') {
        return 1;
    }
    let signs = line.bytes().take_while(|sign| *sign == b'#').count();
    let is_heading = line.get(signs..).is_some_and(|rest| rest.starts_with(' '));
    if is_heading { signs } else { 0 }
}

/// Whether the part that the line at an offset begins has more lines than that.
pub fn begins_part(text: &str, offset: usize) -> bool {
    let part = text.get(offset..part_end(text, offset));
    let rows = part.unwrap_or_default().lines().skip(1);
    rows.into_iter().any(|row| !row.trim().is_empty())
}

/// The lines of the text that share the most words with the search text, with their numbers.
pub(super) fn nearest(text: &str, lines: &[Line<'_>], wanted: &[Line<'_>]) -> String {
    let wanted_words: Vec<HashSet<&str>> = wanted
        .iter()
        .take(NEAREST_LINES_MAX)
        .map(|line| words(&line.essence).into_iter().collect())
        .collect();
    let scores: Vec<usize> = lines
        .iter()
        .map(|line| {
            let own = words(&line.essence);
            let each = wanted_words.iter().map(|wanted| shared(&own, wanted));
            each.max().unwrap_or(0)
        })
        .collect();
    let width = wanted
        .len()
        .clamp(1, NEAREST_LINES_MAX - 4)
        .min(lines.len().max(1));
    let best = scores
        .windows(width)
        .map(|window| window.iter().sum::<usize>())
        .enumerate()
        .max_by_key(|(start, score)| (*score, std::cmp::Reverse(*start)));
    let start = match best {
        Some((start, score)) if score > 0 => start,
        _ => 0,
    };
    let first = lines
        .get(start)
        .map_or(0, |line| line.number)
        .saturating_sub(2);
    let last = lines
        .get(start + width - 1)
        .map_or(first, |line| line.number)
        + 2;
    numbered(text, first, last)
}

pub(super) fn words(line: &str) -> Vec<&str> {
    line.split(|character: char| !character.is_alphanumeric() && character != '_')
        .filter(|word| word.len() > 1)
        .collect()
}

fn shared(own: &[&str], wanted: &HashSet<&str>) -> usize {
    let common = own.iter().filter(|word| wanted.contains(*word)).count();
    // Share in percent, so that a long line is not near to everything.
    common * 200 / (own.len() + wanted.len()).max(1)
}

/// Lines of the text with their numbers, zero-based and inclusive bounds.
pub(super) fn numbered(text: &str, first: usize, last: usize) -> String {
    let lines = text.lines().enumerate().skip(first);
    let shown = lines.take((last + 1 - first).min(NEAREST_LINES_MAX));
    shown
        .map(
            |(number, line)| match line.char_indices().nth(LINE_CHARACTERS_MAX) {
                Some((end, _)) => {
                    let part = line.get(..end).unwrap_or_default();
                    format!("{}: {part} (line cut here)", number + 1)
                }
                None => format!("{}: {line}", number + 1),
            },
        )
        .collect::<Vec<_>>()
        .join("\n")
}
