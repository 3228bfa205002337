//! Edits as models write them, on real source: never in the wrong place, and nearly always in the right one.
//!
//! Windows of lines of this project's own source are quoted the way models misquote (shifted, retabbed, with
//! typographic signs, without blank lines, out of date) and edited. What counts is where the edit lands.

use std::path::Path;

use meliora::text::locate::locate;

/// Windows that are tried; the long run takes more.
const WINDOWS: usize = 4_000;
const WINDOWS_LONG: usize = 60_000;

/// How a quote differs from the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Misquote {
    Exact,
    Dedented,
    Indented,
    Retabbed,
    TrailingSpaces,
    Typographic,
    WithoutBlankLines,
    CarriageReturns,
    /// One word is another: no edit may land anywhere.
    OutOfDate,
    /// The first line stands twice.
    Doubled,
}

const MISQUOTES: [Misquote; 10] = [
    Misquote::Exact,
    Misquote::Dedented,
    Misquote::Indented,
    Misquote::Retabbed,
    Misquote::TrailingSpaces,
    Misquote::Typographic,
    Misquote::WithoutBlankLines,
    Misquote::CarriageReturns,
    Misquote::OutOfDate,
    Misquote::Doubled,
];

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits fit") % bound.max(1)
    }
}

fn misquote(lines: &[&str], how: Misquote) -> Vec<String> {
    let indent = |line: &str| line.len() - line.trim_start_matches(' ').len();
    let common = lines
        .iter()
        .filter(|line| !line.trim().is_empty())
        .map(|line| indent(line))
        .min()
        .unwrap_or(0);
    let mut quoted: Vec<String> = lines
        .iter()
        .filter(|line| how != Misquote::WithoutBlankLines || !line.trim().is_empty())
        .map(|line| match how {
            Misquote::Dedented => line.get(common..).unwrap_or_default().to_owned(),
            Misquote::Indented if !line.trim().is_empty() => format!("    {line}"),
            Misquote::Retabbed => {
                let spaces = indent(line);
                format!(
                    "{}{}{}",
                    "\t".repeat(spaces / 4),
                    " ".repeat(spaces % 4),
                    line.trim_start_matches(' ')
                )
            }
            Misquote::TrailingSpaces => format!("{line}  "),
            Misquote::Typographic => line.replace('"', "\u{201d}").replace(" - ", " \u{2013} "),
            Misquote::CarriageReturns => format!("{line}\r"),
            _ => (*line).to_owned(),
        })
        .collect();
    match how {
        Misquote::OutOfDate => {
            if let Some(line) = quoted
                .iter_mut()
                .rev()
                .find(|line| line.chars().any(char::is_alphabetic))
            {
                let at = line.find(char::is_alphabetic).expect("it has a letter");
                line.insert_str(at, "formerly_");
            }
        }
        Misquote::Doubled => quoted.insert(0, lines[0].to_owned()),
        _ => {}
    }
    quoted
}

#[derive(Debug, Default)]
struct Score {
    right: usize,
    refused: usize,
}

#[test]
fn an_edit_never_lands_in_the_wrong_place() {
    let long = std::env::var_os("MELIORA_TEST_LONG").is_some();
    let windows = if long { WINDOWS_LONG } else { WINDOWS };
    let files = sources();
    assert!(files.len() > 50, "the project has sources");
    let (mut dice, mut score) = (Dice(7), Score::default());
    let mut tried = 0;
    while tried < windows {
        let text = &files[dice.below(files.len())];
        let lines: Vec<&str> = text.lines().collect();
        let length = 1 + dice.below(7);
        let first = dice.below(lines.len().saturating_sub(length));
        let Some(window) = lines.get(first..first + length) else {
            continue;
        };
        let (start, end) = (window[0], window[length - 1]);
        if start.trim().is_empty() || end.trim().is_empty() {
            continue;
        }
        let how = MISQUOTES[dice.below(MISQUOTES.len())];
        tried += 1;
        let search = misquote(window, how);
        if how == Misquote::OutOfDate && search == window {
            // There is no word to change.
            continue;
        }
        if how == Misquote::Doubled && text.contains(&search.join("\n")) {
            // The doubled line stands twice in the text as well.
            continue;
        }
        let mut replacement = search.clone();
        replacement
            .last_mut()
            .expect("a line")
            .push_str(" // edited");
        let from: usize = lines[..first].iter().map(|line| line.len() + 1).sum();
        let to = from + window.iter().map(|line| line.len() + 1).sum::<usize>();
        let is_unique = occurrences(&lines, window) == 1;
        match locate(text, &search.join("\n"), &replacement.join("\n")) {
            Ok(located) => {
                let inside = from <= located.range.start && located.range.end <= to;
                let nothing_fits = how == Misquote::OutOfDate;
                assert!(
                    inside && !nothing_fits && is_unique,
                    "{how:?} of\n{}\nlanded in\n{}",
                    window.join("\n"),
                    &text[located.range]
                );
                let mut after = text.clone();
                after.replace_range(located.range, &located.replacement);
                let changed: Vec<&str> = after
                    .lines()
                    .filter(|line| line.ends_with("// edited"))
                    .collect();
                assert_eq!(changed.len(), 1, "{how:?}");
                let indent = end.len() - end.trim_start().len();
                assert_eq!(
                    changed[0].len() - changed[0].trim_start().len(),
                    indent,
                    "{how:?}: the edited line stands where the old one stood"
                );
                score.right += 1;
            }
            Err(_) if is_unique && !matches!(how, Misquote::OutOfDate | Misquote::Doubled) => {
                score.refused += 1;
            }
            Err(_) => {}
        }
    }
    let share = score.right * 100 / (score.right + score.refused);
    assert!(
        share >= 90,
        "{share} % of the edits that have a place found it: {score:?}"
    );
}

fn occurrences(lines: &[&str], window: &[&str]) -> usize {
    let same = |other: &&[&str]| {
        other
            .iter()
            .zip(window)
            .all(|(line, wanted)| line.trim() == wanted.trim())
    };
    lines.windows(window.len()).filter(same).count()
}

fn sources() -> Vec<String> {
    let mut files = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        let mut paths: Vec<_> = std::fs::read_dir(folder)
            .expect("a folder of the project")
            .map(|entry| entry.expect("an entry").path())
            .collect();
        paths.sort();
        for path in paths {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(std::fs::read_to_string(path).expect("source is text"));
            }
        }
    }
    files
}
