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
mod shift;
mod write;

use std::ops::Range;

pub use lines::block_end;

use inexact::inexact;
use lines::{PLACES_MAX, line_of, lines_of, occurrences, windows};

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
    if is_relative(text, &range, replacement)
        && let Ok(located) = inexact::loose(text, search, replacement)
    {
        return Ok(located);
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

/// Whether a quote that begins after the indentation of its line is to be read as a whole line: when nothing is to
/// stay of the line, or when the replacement's other lines are indented as if that line were not.
fn is_relative(text: &str, range: &Range<usize>, replacement: &str) -> bool {
    let before = text.get(..range.start).unwrap_or_default();
    let line = before.rfind('\n').map_or(0, |feed| feed + 1);
    let left = before.get(line..).unwrap_or_default();
    let quoted = text.get(range.clone()).unwrap_or_default();
    if left.is_empty() || !left.trim().is_empty() {
        return false;
    }
    if replacement.trim().is_empty() {
        return quoted.ends_with('\n');
    }
    let width = |line: &str| line.len() - line.trim_start_matches([' ', '\t']).len();
    let own = width(quoted);
    let mut lines = replacement.lines();
    let opens = lines
        .next()
        .is_some_and(|first| first.trim_end().ends_with(['{', '(', '[', ':', ',']));
    let Some(next) = lines.find(|line| !line.trim().is_empty()) else {
        return false;
    };
    let indent = left.len() + own;
    let is_one_line = !quoted.trim_end().contains('\n');
    is_one_line && (own > 0 || width(next) < indent || width(next) == indent && opens)
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
