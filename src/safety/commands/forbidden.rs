//! Texts that the user forbids in command lines (spec: Execution Protection, `forbidden_commands`).
//!
//! A text is looked for in the line as it is written and in the words that count. Two things only look like one: a
//! text that a program looks for or prints, and a folder (`rm -rf /`) that is the beginning of a longer path, which is
//! judged by itself.

use super::{Ruling, Segment};
use crate::permit::Decision;
use crate::safety::Policy;

/// Programs to which a word is a text, whatever it says.
const TEXTUAL: [&str; 8] = [
    "grep", "egrep", "fgrep", "rg", "ag", "echo", "printf", "git",
];

/// Stands for the spaces within a word.
const WITHIN_A_WORD: &str = "\u{1f}";

/// The denial of a line in which a configured text occurs.
pub(super) fn judge(policy: &Policy, line: &str, ruling: &Ruling) -> Option<Decision> {
    let is_allowed = matches!(ruling.decision, Decision::Allow { .. });
    let occurs = |text: &&String| {
        let each = ruling.segments.iter();
        let counts = each.map(|segment| Count::of(segment, text, is_allowed));
        let counts: Vec<Count> = counts.collect();
        let excused: usize = counts.iter().map(|count| count.excused).sum();
        counts.iter().any(|count| count.occurs) || line.matches(text.as_str()).count() > excused
    };
    let texts = policy.forbidden_commands.iter();
    let found = texts.filter(|text| !text.is_empty()).find(occurs)?;
    Some(crate::safety::never_runs(found))
}

/// How often a text is in the words of a command.
struct Count {
    /// Whether it is there as what it says.
    occurs: bool,
    /// How often it only looks so.
    excused: usize,
}

impl Count {
    fn of(segment: &Segment, text: &str, is_allowed: bool) -> Self {
        let program = segment.words.first().map_or("", String::as_str);
        let is_textual = is_allowed && TEXTUAL.contains(&program);
        let words = segment.words.iter();
        let words: Vec<String> = words
            .map(|word| {
                let gap = if is_textual { WITHIN_A_WORD } else { " " };
                word.replace(char::is_whitespace, gap)
            })
            .collect();
        let joined = words.join(" ");
        let mut excused = 0;
        if is_textual {
            let words = segment.words.iter();
            excused = words.map(|word| word.matches(text).count()).sum();
        }
        let rest = joined.strip_prefix(text).filter(|_| text.ends_with('/'));
        let is_longer = rest.is_some_and(|rest| rest.starts_with(char::is_alphanumeric));
        excused += usize::from(is_longer);
        Self {
            occurs: joined.matches(text).count() > usize::from(is_longer),
            excused,
        }
    }
}
