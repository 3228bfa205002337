//! Finds the one place that a search text means, or says why there is none (spec: `edit_file`).
//!
//! Models quote text from memory: indentation shifts, quotes turn typographic, blank lines vanish. Two layers, and
//! each must have exactly one place: the very bytes; then whole lines that are equal but for white space and
//! typography, with one and the same shift of indentation. Other lines that are equal but for their indentation make
//! even the very bytes ambiguous. Anything less certain is refused, with the real lines that
//! are nearest: an edit in the wrong place is worse than none.

use std::ops::Range;

/// A place that an edit replaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// Bytes to replace.
    pub range: Range<usize>,
    /// What to put there, with indentation and line ends as the text has them.
    pub replacement: String,
    /// Whether the search text stood there byte for byte.
    pub exact: bool,
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
        "the lines at {line} have other indentation than the search text, not just shifted: quote them exactly:\n{nearest}"
    )]
    Nesting {
        /// One-based line.
        line: usize,
        /// The real lines with their numbers.
        nearest: String,
    },
    /// The text is not there.
    #[error("the search text is not in the file. The nearest lines are:\n{nearest}")]
    Missing {
        /// The real lines with their numbers.
        nearest: String,
    },
}

/// Places listed in a refusal.
const PLACES_SHOWN_MAX: usize = 8;

/// Lines shown as the nearest ones.
const NEAREST_LINES_MAX: usize = 24;

/// Letters and digits without which a search text is too common to be matched loosely.
const LOOSE_CHARACTERS_MIN: usize = 3;

/// Finds where `search` stands in `text` and what has to stand there instead.
pub fn locate(text: &str, search: &str, replacement: &str) -> Result<Located, NoPlace> {
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
    let places: Vec<usize> = occurrences(text, &search);
    match places.as_slice() {
        [start] => exact(text, *start, &search, &replacement),
        [] => loose(text, &search, &replacement),
        several => Err(NoPlace::Ambiguous {
            lines: several.iter().map(|start| line_of(text, *start)).collect(),
        }),
    }
}

fn exact(text: &str, start: usize, search: &str, replacement: &str) -> Result<Located, NoPlace> {
    let range = start..start + search.len();
    if stands_already(text, start, search, replacement) {
        return Err(NoPlace::AlreadyApplied {
            line: line_of(text, start),
        });
    }
    if cuts_name(text, &range) {
        let line = line_of(text, start);
        return Err(NoPlace::CutsName {
            line,
            text: text.lines().nth(line - 1).unwrap_or_default().to_owned(),
        });
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
    Ok(Located {
        range,
        replacement: replacement.to_owned(),
        exact: true,
    })
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

/// One line of a text that is not blank.
#[derive(Debug)]
struct Line<'text> {
    /// Zero-based number.
    number: usize,
    /// First byte.
    start: usize,
    /// One past the last byte before the line end.
    end: usize,
    indent: &'text str,
    /// The rest, without what models change by accident.
    essence: String,
}

fn loose(text: &str, search: &str, replacement: &str) -> Result<Located, NoPlace> {
    let (lines, wanted) = (lines_of(text), lines_of(search));
    let characters: usize = wanted
        .iter()
        .map(|line| {
            line.essence
                .chars()
                .filter(|character| character.is_alphanumeric())
                .count()
        })
        .sum();
    let starts: Vec<usize> = if characters < LOOSE_CHARACTERS_MIN {
        Vec::new()
    } else {
        windows(&lines, &wanted)
    };
    let start = match starts.as_slice() {
        [start] => *start,
        [] => return Err(missing(text, &lines, &wanted, search, replacement)),
        several => {
            let lines = several.iter().filter_map(|start| lines.get(*start));
            return Err(NoPlace::Ambiguous {
                lines: lines.map(|line| line.number + 1).collect(),
            });
        }
    };
    let place = lines.get(start..start + wanted.len()).unwrap_or_default();
    let (Some(first), Some(last)) = (place.first(), place.last()) else {
        return Err(NoPlace::EmptySearch);
    };
    let Some(shift) = Shift::between(place, &wanted) else {
        return Err(NoPlace::Nesting {
            line: first.number + 1,
            nearest: numbered(text, first.number, last.number),
        });
    };
    // Whole lines are replaced, from the first character of the first to the end of the last.
    let replacement = shift.apply(replacement.trim_end_matches(['\n', '\r']));
    let line_start = first.start - first.indent.len();
    let replaced = text.get(line_start..last.end).unwrap_or_default();
    if replaced == replacement {
        return Err(NoPlace::AlreadyApplied {
            line: first.number + 1,
        });
    }
    // A line that goes takes its end with it.
    let rest = text.get(last.end..).unwrap_or_default();
    let line_end = if replacement.is_empty() {
        rest.find('\n').map_or(rest.len(), |feed| feed + 1)
    } else {
        0
    };
    Ok(Located {
        range: line_start..last.end + line_end,
        replacement,
        exact: false,
    })
}

fn windows(lines: &[Line<'_>], wanted: &[Line<'_>]) -> Vec<usize> {
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

/// How the indentation of the text differs from that of the search text, the same for every line.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Shift {
    /// The text has this in front of what the search text has.
    Deeper(String),
    /// The search text has this in front of what the text has.
    Shallower(String),
    /// The search text has so many spaces where the text has a tab.
    SpacesToTabs(usize),
    /// The search text has a tab where the text has so many spaces.
    TabsToSpaces(usize),
}

impl Shift {
    fn between(place: &[Line<'_>], wanted: &[Line<'_>]) -> Option<Self> {
        let pairs: Vec<(&str, &str)> = place
            .iter()
            .zip(wanted)
            .map(|(line, wanted)| (line.indent, wanted.indent))
            .collect();
        let (text, search) = *pairs.first()?;
        let candidates = [
            text.strip_suffix(search)
                .map(|shift| Self::Deeper(shift.to_owned())),
            search
                .strip_suffix(text)
                .map(|shift| Self::Shallower(shift.to_owned())),
        ];
        let widths = [4, 2, 8, 3];
        candidates
            .into_iter()
            .flatten()
            .chain(widths.map(Self::SpacesToTabs))
            .chain(widths.map(Self::TabsToSpaces))
            .find(|shift| {
                pairs
                    .iter()
                    .all(|(text, search)| shift.indent(search).as_deref() == Some(*text))
            })
    }

    /// The indentation in the text for one in the search text.
    fn indent(&self, indent: &str) -> Option<String> {
        match self {
            Self::Deeper(shift) => Some(format!("{shift}{indent}")),
            Self::Shallower(shift) => indent.strip_prefix(shift.as_str()).map(str::to_owned),
            Self::SpacesToTabs(width) => {
                let whole =
                    indent.bytes().all(|byte| byte == b' ') && indent.len().is_multiple_of(*width);
                whole.then(|| "\t".repeat(indent.len() / width))
            }
            Self::TabsToSpaces(width) => {
                let whole = indent.bytes().all(|byte| byte == b'\t');
                whole.then(|| " ".repeat(indent.len() * width))
            }
        }
    }

    fn apply(&self, replacement: &str) -> String {
        let shifted = replacement.split('\n').map(|line| {
            let body = line.trim_start_matches([' ', '\t']);
            if body.trim().is_empty() {
                return line.to_owned();
            }
            let indent = line.get(..line.len() - body.len()).unwrap_or_default();
            let indent = self.indent(indent).unwrap_or_default();
            format!("{indent}{body}")
        });
        shifted.collect::<Vec<_>>().join("\n")
    }
}

fn lines_of(text: &str) -> Vec<Line<'_>> {
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
                essence: essence(body),
            });
        }
        offset += line.len() + 1;
    }
    lines
}

/// A line without what models change by accident: runs of white space, typographic quotes and dashes.
fn essence(body: &str) -> String {
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

fn missing(
    text: &str,
    lines: &[Line<'_>],
    wanted: &[Line<'_>],
    search: &str,
    replacement: &str,
) -> NoPlace {
    let is_telling = replacement
        .chars()
        .filter(|character| character.is_alphanumeric())
        .count()
        >= LOOSE_CHARACTERS_MIN * 2;
    if is_telling && !search.contains(replacement.trim()) {
        if let [start] = occurrences(text, replacement.trim_matches('\n')).as_slice() {
            return NoPlace::AlreadyApplied {
                line: line_of(text, *start),
            };
        }
        if let [start] = windows(lines, &lines_of(replacement)).as_slice() {
            let line = lines.get(*start).map_or(0, |line| line.number);
            return NoPlace::AlreadyApplied { line: line + 1 };
        }
    }
    NoPlace::Missing {
        nearest: nearest(text, lines, wanted),
    }
}

/// The lines of the text that share the most words with the search text, with their numbers.
fn nearest(text: &str, lines: &[Line<'_>], wanted: &[Line<'_>]) -> String {
    let words: Vec<Vec<&str>> = wanted.iter().map(|line| words(&line.essence)).collect();
    let scores: Vec<usize> = lines
        .iter()
        .map(|line| {
            let own = self::words(&line.essence);
            words
                .iter()
                .map(|wanted| shared(&own, wanted))
                .max()
                .unwrap_or(0)
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

fn words(line: &str) -> Vec<&str> {
    line.split(|character: char| !character.is_alphanumeric() && character != '_')
        .filter(|word| word.len() > 1)
        .collect()
}

fn shared(own: &[&str], wanted: &[&str]) -> usize {
    let common = own.iter().filter(|word| wanted.contains(word)).count();
    // Share in percent, so that a long line is not near to everything.
    common * 200 / (own.len() + wanted.len()).max(1)
}

/// Lines of the text with their numbers, zero-based and inclusive bounds.
fn numbered(text: &str, first: usize, last: usize) -> String {
    let lines = text.lines().enumerate().skip(first);
    let shown = lines.take((last + 1 - first).min(NEAREST_LINES_MAX));
    shown
        .map(|(number, line)| format!("{}: {line}", number + 1))
        .collect::<Vec<_>>()
        .join("\n")
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

/// Starts of all places, overlapping ones too.
fn occurrences(text: &str, search: &str) -> Vec<usize> {
    let mut places = Vec::new();
    let mut from = 0;
    while places.len() < PLACES_SHOWN_MAX
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

fn line_of(text: &str, offset: usize) -> usize {
    text.get(..offset).unwrap_or_default().matches('\n').count() + 1
}

fn listed(lines: &[usize]) -> String {
    let shown = lines.iter().take(PLACES_SHOWN_MAX).map(usize::to_string);
    shown.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: &str = "fn a() {\n    let x = 1;\n    if x > 0 {\n        go(x);\n    }\n}\n\nfn b() {\n    let y = 1;\n}\n";

    fn apply(text: &str, search: &str, replacement: &str) -> Result<String, NoPlace> {
        let located = locate(text, search, replacement)?;
        let mut result = text.to_owned();
        result.replace_range(located.range, &located.replacement);
        Ok(result)
    }

    #[test]
    fn text_that_stands_once_is_replaced() {
        for (search, replacement, expected) in [
            ("let y = 1;", "let y = 2;", CODE.replace("y = 1", "y = 2")),
            // Shifted by one level.
            (
                "if x > 0 {\n    go(x);\n}\n",
                "if x > 1 {\n    go(x);\n    stop();\n}\n",
                CODE.replace("x > 0", "x > 1")
                    .replace("go(x);\n", "go(x);\n        stop();\n"),
            ),
            // Deeper than the text.
            (
                "            let y = 1;\n        }",
                "            let z = 1;\n        }",
                CODE.replace("let y", "let z"),
            ),
            // A lost blank line, trailing spaces and typographic signs.
            (
                "}\nfn b() {  ",
                "}\n\nfn c() {",
                CODE.replace("fn b", "fn c"),
            ),
            (
                "let\u{a0}y = 1;",
                "let y = 3;",
                CODE.replace("y = 1", "y = 3"),
            ),
        ] {
            assert_eq!(
                apply(CODE, search, replacement).as_deref(),
                Ok(expected.as_str()),
                "{search}"
            );
        }
    }

    #[test]
    fn tabs_and_spaces_are_told_apart_and_kept() {
        let tabs = CODE.replace("    ", "\t");
        assert_eq!(
            apply(
                &tabs,
                "    if x > 0 {\n        go(x);\n    }",
                "    if x > 9 {\n        go(x);\n        go(y);\n    }"
            ),
            Ok(tabs
                .replace("x > 0", "x > 9")
                .replace("go(x);\n", "go(x);\n\t\tgo(y);\n"))
        );
        assert_eq!(
            apply(CODE, "\tif x > 0 {\n\t\tgo(x);", "\tif x > 9 {\n\t\tgo(x);"),
            Ok(CODE.replace("x > 0", "x > 9"))
        );
    }

    #[test]
    fn line_ends_of_the_text_are_kept() {
        let text = CODE.replace('\n', "\r\n");
        assert_eq!(
            apply(
                &text,
                "fn b() {\n    let y = 1;\n}",
                "fn b() {\n    let y = 1;\n    more();\n}"
            ),
            Ok(text.replace("y = 1;\r\n", "y = 1;\r\n    more();\r\n"))
        );
        assert_eq!(
            apply(
                &text,
                "if x > 0 {\n    go(x);\n}",
                "if x > 1 {\n    go(x);\n}"
            ),
            Ok(text.replace("x > 0", "x > 1"))
        );
        assert_eq!(apply("a\r\nb\n", "b", "c"), Ok("a\r\nc\n".to_owned()));
    }

    #[test]
    fn what_is_not_certain_is_refused_with_the_real_lines() {
        let missing = |search: &str| match locate(CODE, search, "x") {
            Err(NoPlace::Missing { nearest }) => nearest,
            other => panic!("{search}: {other:?}"),
        };
        assert!(missing("    if x >= 0 {\n        go(x)").contains("3:     if x > 0 {"));
        assert!(missing("completely different").starts_with("1: fn a() {"));
        assert!(matches!(
            locate(CODE, "= 1;", "= 2;"),
            Err(NoPlace::Ambiguous { lines }) if lines == [2, 9]
        ));
        assert!(matches!(
            locate(CODE, "et y", "et z"),
            Err(NoPlace::CutsName { line: 9, .. })
        ));
        assert!(matches!(
            locate("if a:\n    b()\nc()\n", "if  a:\n    b()\n    c()\n", "x"),
            Err(NoPlace::Nesting { line: 1, .. })
        ));
        assert_eq!(locate(CODE, "    }\n}", "x"), Err(NoPlace::OnlySigns));
        assert!(matches!(
            locate(CODE, "  \n", "x"),
            Err(NoPlace::EmptySearch)
        ));
        assert!(matches!(
            locate(CODE, "fn a", "fn a"),
            Err(NoPlace::NoChange)
        ));
        assert!(matches!(locate("", "a", "b"), Err(NoPlace::Missing { .. })));
    }

    #[test]
    fn an_edit_that_was_applied_before_says_so() {
        let search = "    let y = 1;\n";
        let replacement = "    let y = 1;\n    let z = 2;\n";
        let once = apply(CODE, search, replacement).expect("applied");
        assert_eq!(
            locate(&once, search, replacement),
            Err(NoPlace::AlreadyApplied { line: 9 })
        );
        let once = apply(CODE, "go(x);", "go_on(x, 2);").expect("applied");
        assert_eq!(
            locate(&once, "go(x);", "go_on(x, 2);"),
            Err(NoPlace::AlreadyApplied { line: 4 })
        );
    }
}
