//! Positions as editors count them, and byte offsets as we do (spec: LSP Client, position encodings).
//!
//! The protocol counts columns in UTF-16 units unless both sides agree on UTF-8 or UTF-32. A column beyond the end of
//! its line means the end of the line, a line beyond the end of the text means the end of the text, and a column inside
//! a character means its start: editors differ here, and a wrong guess must never cut a character in two.

use std::ops::Range;

use memchr::memchr2_iter;
use serde::{Deserialize, Serialize};

/// What a column counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Encoding {
    /// Bytes of UTF-8.
    #[serde(rename = "utf-8")]
    Utf8,
    /// Units of UTF-16: what the protocol means when nobody says otherwise.
    #[default]
    #[serde(rename = "utf-16")]
    Utf16,
    /// Unicode scalar values.
    #[serde(rename = "utf-32")]
    Utf32,
}

impl Encoding {
    /// Reads the protocol's name of an encoding.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "utf-8" => Some(Self::Utf8),
            "utf-16" => Some(Self::Utf16),
            "utf-32" => Some(Self::Utf32),
            _ => None,
        }
    }

    /// The protocol's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Utf8 => "utf-8",
            Self::Utf16 => "utf-16",
            Self::Utf32 => "utf-32",
        }
    }

    /// How many columns a character takes.
    pub fn width(self, character: char) -> usize {
        match self {
            Self::Utf8 => character.len_utf8(),
            Self::Utf16 => character.len_utf16(),
            Self::Utf32 => 1,
        }
    }
}

/// A place in a text as the protocol writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    /// Zero-based line.
    pub line: u32,
    /// Zero-based column, in the units of the encoding.
    pub character: u32,
}

/// A stretch of text as the protocol writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Span {
    /// First position.
    pub start: Position,
    /// One past the last position.
    pub end: Position,
}

/// Where the lines of one text begin. Lines end with `\n`, `\r\n` or `\r`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lines {
    starts: Vec<usize>,
}

impl Lines {
    /// Finds the lines of `text`.
    pub fn new(text: &str) -> Self {
        let bytes = text.as_bytes();
        let mut starts = vec![0];
        for at in memchr2_iter(b'\n', b'\r', bytes) {
            if !is_first_of_two(bytes, at) {
                starts.push(at + 1);
            }
        }
        Self { starts }
    }

    /// Replaces some bytes of the text that these lines are of. Only what is around the change is looked at.
    pub fn replace(&mut self, text: &mut String, range: Range<usize>, with: &str) {
        text.replace_range(range.clone(), with);
        // Whether a line begins at a byte depends on that byte and on the one before it.
        let (first, last) = (range.start.max(1), range.start + with.len());
        let kept = self.starts.partition_point(|start| *start < first);
        let gone = self.starts.partition_point(|start| *start <= range.end);
        let around = text.as_bytes().get(first - 1..last).unwrap_or_default();
        let ends = memchr2_iter(b'\n', b'\r', around).map(|at| first - 1 + at);
        let begun: Vec<usize> = ends
            .filter(|end| !is_first_of_two(text.as_bytes(), *end))
            .map(|end| end + 1)
            .collect();
        let moved = kept + begun.len();
        self.starts.splice(kept..gone.max(kept), begun);
        for start in self.starts.iter_mut().skip(moved) {
            *start = *start - range.len() + with.len();
        }
    }

    /// Number of lines; an empty text has one.
    pub fn count(&self) -> usize {
        self.starts.len()
    }

    /// A line of `text` without its end; `None` beyond the last one.
    pub fn line<'text>(&self, text: &'text str, line: u32) -> Option<&'text str> {
        let line = usize::try_from(line).ok()?;
        let start = self.starts.get(line).copied()?;
        let end = self.starts.get(line + 1).copied().unwrap_or(text.len());
        let line = text.get(start..end)?;
        Some(line.trim_end_matches(['\n', '\r']))
    }

    /// The byte offset of a position in `text`, which must be the text that these lines are of.
    pub fn offset(&self, text: &str, position: Position, encoding: Encoding) -> usize {
        let Some(start) = self.starts.get(position.line as usize).copied() else {
            return text.len();
        };
        let line = self.line(text, position.line).unwrap_or_default();
        start + column_offset(line, position.character as usize, encoding)
    }

    /// The position of a byte offset in `text`, which must be the text that these lines are of.
    pub fn position(&self, text: &str, offset: usize, encoding: Encoding) -> Position {
        let offset = floor(text, offset);
        let line = self.starts.partition_point(|start| *start <= offset) - 1;
        let start = self.starts.get(line).copied().unwrap_or_default();
        let before = text.get(start..offset).unwrap_or_default();
        let character = if encoding == Encoding::Utf8 || before.is_ascii() {
            before.len()
        } else {
            before
                .chars()
                .map(|character| encoding.width(character))
                .sum()
        };
        Position {
            line: saturate(line),
            character: saturate(character),
        }
    }

    /// The bytes of a span.
    pub fn range(&self, text: &str, span: Span, encoding: Encoding) -> Range<usize> {
        let start = self.offset(text, span.start, encoding);
        start..self.offset(text, span.end, encoding).max(start)
    }

    /// The span of some bytes.
    pub fn span(&self, text: &str, range: Range<usize>, encoding: Encoding) -> Span {
        Span {
            start: self.position(text, range.start, encoding),
            end: self.position(text, range.end, encoding),
        }
    }
}

/// Whether the end of a line at a byte is the first half of `\r\n`.
fn is_first_of_two(bytes: &[u8], at: usize) -> bool {
    bytes.get(at) == Some(&b'\r') && bytes.get(at + 1) == Some(&b'\n')
}

/// The byte offset of a column in a line without its end.
fn column_offset(line: &str, column: usize, encoding: Encoding) -> usize {
    if let Some(head) = line.as_bytes().get(..column)
        && (encoding == Encoding::Utf8 || head.is_ascii())
    {
        return floor(line, column);
    }
    if encoding == Encoding::Utf8 {
        return line.len();
    }
    let mut counted = 0;
    for (at, character) in line.char_indices() {
        counted += encoding.width(character);
        if counted > column {
            return at;
        }
    }
    line.len()
}

/// The nearest start of a character at or before `offset`.
fn floor(text: &str, offset: usize) -> usize {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

fn saturate(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENCODINGS: [Encoding; 3] = [Encoding::Utf8, Encoding::Utf16, Encoding::Utf32];

    const TEXTS: [&str; 9] = [
        "",
        "a",
        "\n",
        "fn main() {}\nlet x = 1;\n",
        "a\r\nb\rc\n\nd",
        "é😀x\n😀😀\r\nß",
        "\u{feff}start\n\ttab\n",
        "👨‍👩‍👧‍👦 family\nn\u{303}\n",
        "end without line feed 😀",
    ];

    /// The slow reference: walks every character and counts.
    fn reference(text: &str, offset: usize, encoding: Encoding) -> Position {
        let (mut line, mut character) = (0, 0);
        let mut characters = text.char_indices().peekable();
        while let Some((at, current)) = characters.next() {
            if at >= offset {
                break;
            }
            let next = characters.peek().map(|(_, next)| *next);
            if current == '\n' || (current == '\r' && next != Some('\n')) {
                line += 1;
                character = 0;
            } else {
                character += u32::try_from(encoding.width(current)).expect("small");
            }
        }
        Position { line, character }
    }

    #[test]
    fn positions_agree_with_a_slow_count_in_every_encoding() {
        for text in TEXTS {
            let lines = Lines::new(text);
            for encoding in ENCODINGS {
                for (offset, _) in text.char_indices().chain([(text.len(), ' ')]) {
                    let position = lines.position(text, offset, encoding);
                    assert_eq!(
                        position,
                        reference(text, offset, encoding),
                        "{text:?} {offset}"
                    );
                    let inside_line_end =
                        text.get(..offset).is_some_and(|head| head.ends_with('\r'))
                            && text
                                .get(offset..)
                                .is_some_and(|tail| tail.starts_with('\n'));
                    if !inside_line_end {
                        assert_eq!(lines.offset(text, position, encoding), offset, "{text:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn lines_after_a_change_are_those_of_the_changed_text() {
        let with = ["", "x", "\n", "\r", "\r\n", "é\n\r", "\n\nab", "\rb\n"];
        for text in TEXTS {
            let bounds: Vec<usize> = (0..=text.len())
                .filter(|at| text.is_char_boundary(*at))
                .collect();
            for (index, start) in bounds.iter().enumerate() {
                for end in bounds.iter().skip(index) {
                    for with in with {
                        let (mut changed, mut lines) = (text.to_owned(), Lines::new(text));
                        lines.replace(&mut changed, *start..*end, with);
                        assert_eq!(
                            lines,
                            Lines::new(&changed),
                            "{text:?} {start}..{end} {with:?}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn positions_beyond_the_text_are_clamped_to_characters() {
        let text = "a😀b\nc";
        let lines = Lines::new(text);
        let at = |line, character| Position { line, character };
        for (position, encoding, offset) in [
            (at(0, 99), Encoding::Utf16, 6),
            (at(0, 99), Encoding::Utf8, 6),
            (at(0, 2), Encoding::Utf16, 1),
            (at(0, 3), Encoding::Utf8, 1),
            (at(0, 2), Encoding::Utf32, 5),
            (at(7, 0), Encoding::Utf32, 8),
            (at(u32::MAX, u32::MAX), Encoding::Utf16, 8),
        ] {
            assert_eq!(
                lines.offset(text, position, encoding),
                offset,
                "{position:?}"
            );
        }
    }
}
