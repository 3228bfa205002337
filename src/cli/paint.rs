//! How commands speak to people: colours, marks, counts, ages (spec: CLI).
//!
//! Text is painted always; `anstream` takes the colours out where nobody sees them (a pipe, `NO_COLOR`, a dumb
//! terminal). So no command asks whether it has a terminal, and piped output is plain.

use std::borrow::Cow;
use std::fmt;
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use super::EXIT_MISSING;

/// Headings and names.
pub const STRONG: Style = Style::new().bold();
/// What went well.
pub const GOOD: Style = AnsiColor::Green.on_default().bold();
/// What went wrong.
pub const BAD: Style = AnsiColor::Red.on_default().bold();
/// What needs attention.
pub const CAUTION: Style = AnsiColor::Yellow.on_default().bold();
/// Paths, commands and other things to copy.
pub const THING: Style = AnsiColor::Cyan.on_default();
/// What may be skipped while reading.
pub const FAINT: Style = Style::new().dimmed();

/// Text in a style.
#[derive(Debug, Clone, Copy)]
pub struct Painted<T> {
    style: Style,
    text: T,
}

impl<T: fmt::Display> fmt::Display for Painted<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { style, text } = self;
        write!(formatter, "{style}{text}{style:#}")
    }
}

/// Puts text into a style.
pub fn paint<T: fmt::Display>(style: Style, text: T) -> Painted<T> {
    Painted { style, text }
}

/// Writes text and a line feed to standard output. A reader that went away (`| head`) is no error.
pub fn say(text: impl fmt::Display) {
    anstream::println!("{text}");
}

/// Writes one remark for people to standard error, where it does not disturb what is piped on.
pub fn remark(text: impl fmt::Display) {
    anstream::eprintln!("{} {text}", paint(CAUTION, "note:"));
}

/// Writes why a command could not do what was asked to standard error.
pub fn complain(error: impl fmt::Display) {
    anstream::eprintln!("{} {error}", paint(BAD, "error:"));
}

/// The exit code of a command, which says why it could not do what was asked.
pub fn ended(answer: anyhow::Result<u8>) -> ExitCode {
    match answer {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            complain(plain(&format!("{error:#}")));
            ExitCode::from(EXIT_MISSING)
        }
    }
}

/// Writes one JSON document for machines to standard output.
pub fn say_json(document: &impl Serialize) -> serde_json::Result<()> {
    let text = serde_json::to_string_pretty(document)?;
    anstream::println!("{text}");
    Ok(())
}

/// A number with its noun: `1 file`, `3 files`.
pub fn count(number: usize, noun: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{ending}")
}

/// Text that somebody else wrote, for a terminal: what a terminal would obey, or show in another order than it stands, is
/// written as an escape.
pub fn plain(text: &str) -> Cow<'_, str> {
    let is_harmless = |character: char| {
        !character.is_control()
            && !matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if text.chars().all(is_harmless) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_harmless(character) {
            shown.push(character);
        } else {
            shown.extend(character.escape_default());
        }
    }
    Cow::Owned(shown)
}

/// A unified diff with its lines coloured.
pub fn diff(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let (body, end) = match line.strip_suffix('\n') {
            Some(body) => (body, "\n"),
            None => (line, ""),
        };
        let style = match body.as_bytes() {
            [b'+', b'+', b'+', ..] | [b'-', b'-', b'-', ..] => STRONG,
            [b'+', ..] => AnsiColor::Green.on_default(),
            [b'-', ..] => AnsiColor::Red.on_default(),
            [b'@', ..] => AnsiColor::Cyan.on_default(),
            _ => Style::new(),
        };
        result.push_str(&paint(style, body).to_string());
        result.push_str(end);
    }
    result
}

/// How long ago something was, in the largest unit that fits: `now`, `5 minutes ago`, `3 days ago`.
pub fn age(milliseconds: u64) -> String {
    const UNITS: [(u64, &str); 4] = [
        (86_400, "day"),
        (3_600, "hour"),
        (60, "minute"),
        (1, "second"),
    ];
    let seconds = milliseconds / 1_000;
    UNITS.iter().find(|(size, _)| seconds >= *size).map_or_else(
        || "now".to_owned(),
        |(size, noun)| {
            let number = usize::try_from(seconds / size).unwrap_or(usize::MAX);
            format!("{} ago", count(number, noun))
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_and_counts_read_like_words() {
        for (milliseconds, expected) in [
            (0, "now"),
            (999, "now"),
            (1_000, "1 second ago"),
            (59_999, "59 seconds ago"),
            (60_000, "1 minute ago"),
            (7_200_000, "2 hours ago"),
            (259_200_000, "3 days ago"),
        ] {
            assert_eq!(age(milliseconds), expected);
        }
        assert_eq!(count(0, "file"), "0 files");
        assert_eq!(count(1, "file"), "1 file");
    }

    #[test]
    fn what_a_terminal_would_obey_is_written_as_an_escape() {
        for (text, expected) in [
            ("textDocument/hover é", "textDocument/hover é"),
            ("\u{1b}[2Jx\r\n\u{9b}", "\\u{1b}[2Jx\\r\\n\\u{9b}"),
            ("a\u{202e}b", "a\\u{202e}b"),
        ] {
            assert_eq!(plain(text), expected);
        }
    }

    #[test]
    fn a_painted_diff_is_the_same_text_once_the_colours_are_taken_out() {
        let text = "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-old\n+new\n\\ No newline at end of file";
        let plain = anstream::adapter::strip_str(&diff(text)).to_string();
        assert_eq!(plain, text);
    }
}
