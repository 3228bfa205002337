//! How commands speak to people: colours, marks, counts, ages (spec: CLI).
//!
//! Text is painted always; `anstream` takes the colours out where nobody sees them (a pipe, `NO_COLOR`, a dumb
//! terminal). So no command asks whether it has a terminal, and piped output is plain.

use std::borrow::Cow;
use std::fmt;
use std::io::IsTerminal as _;
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

/// Writes text and a line feed to standard output. A reader that went away (`| head`) is no error. A terminal is told
/// colours and nothing else, whoever wrote the text; a program gets it as it is.
pub fn say(text: impl fmt::Display) {
    if std::io::stdout().is_terminal() {
        anstream::println!("{}", tamed(&text.to_string()));
    } else {
        anstream::println!("{text}");
    }
}

/// Writes one remark for people to standard error, where it does not disturb what is piped on. It may quote others.
pub fn remark(text: impl fmt::Display) {
    let text = plain_lines(&text.to_string()).replace('\n', "\n  ");
    anstream::eprintln!("{} {text}", paint(CAUTION, "note:"));
}

/// Writes why a command could not do what was asked to standard error. It may quote others.
pub fn complain(error: impl fmt::Display) {
    let error = plain_lines(&error.to_string()).replace('\n', "\n  ");
    anstream::eprintln!("{} {error}", paint(BAD, "error:"));
}

/// [`complain`] by a command that was asked for a document: whoever reads documents finds there why it failed.
pub fn complain_for(wants_document: bool, error: impl fmt::Display) {
    let error = error.to_string();
    if wants_document {
        // Standard output that is closed has no reader.
        let _ = say_json(&serde_json::json!({ "error": error }));
    }
    complain(error);
}

/// [`ended`] for a command that may have been asked for a document.
pub fn ended_for(wants_document: bool, answer: anyhow::Result<impl Into<ExitCode>>) -> ExitCode {
    match answer {
        Ok(code) => code.into(),
        Err(error) => {
            complain_for(wants_document, format!("{error:#}"));
            ExitCode::from(EXIT_MISSING)
        }
    }
}

/// The exit code of a command, which says why it could not do what was asked.
pub fn ended(answer: anyhow::Result<impl Into<ExitCode>>) -> ExitCode {
    ended_for(false, answer)
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

/// The first line of a text, cut to that many characters.
pub fn one_line(text: &str, characters_max: usize) -> String {
    let mut lines = text.lines();
    let line = lines.next().unwrap_or_default();
    let is_more = lines.next().is_some() || line.chars().nth(characters_max).is_some();
    let shown: String = line.chars().take(characters_max).collect();
    let end = if is_more { "…" } else { "" };
    format!("{shown}{end}")
}

/// Text that somebody else wrote, for a terminal: what a terminal would obey, or show in another order than it stands, is
/// written as an escape.
pub fn plain(text: &str) -> Cow<'_, str> {
    escaped(text, &[])
}

/// The same for text of several lines, which stay lines.
pub fn plain_lines(text: &str) -> Cow<'_, str> {
    escaped(text, &['\n', '\t'])
}

/// Whether somebody sees what goes to standard output and to standard error side by side.
pub fn is_terminal() -> bool {
    std::io::stdout().is_terminal() && std::io::stderr().is_terminal()
}

/// Text for standard output: for people as [`plain_lines`] has it, for programs as it is.
pub fn quoted(text: &str) -> Cow<'_, str> {
    if std::io::stdout().is_terminal() {
        plain_lines(text)
    } else {
        Cow::Borrowed(text)
    }
}

/// [`plain_lines`] of text that has colours in it, which stay.
fn tamed(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut parts = text.split('\u{1b}');
    shown.push_str(&plain_lines(parts.next().unwrap_or_default()));
    for part in parts {
        let colour = part.strip_prefix('[').and_then(|rest| {
            let is_figure = |letter: char| letter.is_ascii_digit() || letter == ';';
            rest.trim_start_matches(is_figure).strip_prefix('m')
        });
        let rest = colour.unwrap_or(part);
        let own = part.strip_suffix(rest).unwrap_or_default();
        shown.push_str(if colour.is_some() {
            "\u{1b}"
        } else {
            "\\u{1b}"
        });
        shown.push_str(own);
        shown.push_str(&plain_lines(rest));
    }
    shown
}

fn escaped<'text>(text: &'text str, kept: &[char]) -> Cow<'text, str> {
    let is_harmless = |character: char| {
        let is_obeyed = character.is_control()
            || matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        !is_obeyed || kept.contains(&character)
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
    fn a_line_is_one_line_and_says_that_there_is_more() {
        assert_eq!(one_line("as it is", 8), "as it is");
        assert_eq!(one_line("too long", 3), "too…");
        assert_eq!(one_line("first\nsecond", 8), "first…");
    }

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
        assert_eq!(plain_lines("a\n\tb\u{1b}[m"), "a\n\tb\\u{1b}[m");
        let painted = format!("{}\u{1b}[2J\u{1b}]0;x\u{7}", paint(GOOD, "ok\n"));
        let tamed = tamed(&painted);
        let rest = tamed.strip_prefix(&paint(GOOD, "ok\n").to_string());
        assert_eq!(rest, Some("\\u{1b}[2J\\u{1b}]0;x\\u{7}"), "{tamed}");
    }

    #[test]
    fn a_painted_diff_is_the_same_text_once_the_colours_are_taken_out() {
        let text = "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-old\n+new\n\\ No newline at end of file";
        let plain = anstream::adapter::strip_str(&diff(text)).to_string();
        assert_eq!(plain, text);
    }
}
