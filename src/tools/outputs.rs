//! Long results of tools, kept so that a model can read on (spec: Execution Engine, output).
//!
//! What a run keeps is bounded: when there is too much, the oldest is forgotten and says so.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use serde_json::{Value, json};

use super::arguments::{flag, number, text};
use super::background::Background;
use super::fs::parameter;
use super::page::PAGE_BYTES_MAX;
use super::{Context, Error, Kind, Output, Parameter, ReturnType, Tool};
use crate::permit::Action;
use crate::store::history::Past;

/// Bytes that one run keeps.
const BYTES_MAX: usize = 16 * 1024 * 1024;

/// Lines that one look gives.
const LINES_MAX: usize = 400;

/// Bytes of one row: a longer line becomes several, so that whoever reads on gets through it.
const ROW_BYTES_MAX: usize = 2000;

/// The long results of one run.
///
/// Behind a lock, because calls of one turn run side by side and each may have a long result. It is never held across
/// anything that waits.
#[derive(Debug, Clone, Default)]
pub struct Outputs {
    kept: Arc<Mutex<Kept>>,
    /// Programs that run on.
    pub background: Background,
    /// What earlier runs did.
    pub past: Past,
}

#[derive(Debug, Default)]
struct Kept {
    texts: VecDeque<Arc<str>>,
    bytes: usize,
    forgotten: usize,
}

impl Outputs {
    /// For a run that can look at earlier ones.
    pub fn after(past: Past) -> Self {
        Self {
            past,
            ..Self::default()
        }
    }

    /// Keeps a text, and gives the name under which it is found, and the rows as they are read. What is kept has no
    /// secrets in it.
    pub fn keep(&self, text: &str) -> (String, Arc<str>) {
        let rows: Arc<str> = Arc::from(folded(text));
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.bytes += rows.len();
        kept.texts.push_back(Arc::clone(&rows));
        while kept.bytes > BYTES_MAX && kept.texts.len() > 1 {
            let oldest = kept.texts.pop_front();
            kept.bytes -= oldest.map_or(0, |oldest| oldest.len());
            kept.forgotten += 1;
        }
        (format!("o{}", kept.forgotten + kept.texts.len()), rows)
    }

    /// The text of that name.
    fn find(&self, name: &str) -> Result<Arc<str>, Error> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let unknown = || Error::Arguments(format!("there is no output `{name}`"));
        let number = name
            .strip_prefix('o')
            .and_then(|number| number.parse().ok());
        let number: usize = number.ok_or_else(unknown)?;
        let Some(index) = number.checked_sub(kept.forgotten + 1) else {
            let gone = format!("the output `{name}` is no longer kept; call its tool again");
            return Err(Error::Unavailable(gone));
        };
        kept.texts.get(index).cloned().ok_or_else(unknown)
    }
}

/// A text in which no line is longer than a row.
fn folded(text: &str) -> Cow<'_, str> {
    if has_rows_only(text.as_bytes()) {
        return Cow::Borrowed(text);
    }
    let is_short = |line: &str| line.len() <= ROW_BYTES_MAX;
    let mut rows = String::with_capacity(text.len() + text.len() / ROW_BYTES_MAX + 1);
    for line in text.split_inclusive('\n') {
        let mut rest = line;
        while !is_short(rest.trim_end_matches('\n')) {
            let mut end = ROW_BYTES_MAX;
            while !rest.is_char_boundary(end) {
                end -= 1;
            }
            let (row, after) = rest.split_at(end);
            rows.push_str(row);
            rows.push('\n');
            rest = after;
        }
        rows.push_str(rest);
    }
    Cow::Owned(rows)
}

/// Whether no line is longer than a row. It goes from row to row, not from line to line.
fn has_rows_only(mut rest: &[u8]) -> bool {
    while let Some(row) = rest.get(..=ROW_BYTES_MAX) {
        let Some(feed) = memchr::memrchr(b'\n', row) else {
            return false;
        };
        rest = rest.get(feed + 1..).unwrap_or_default();
    }
    true
}

/// Reads on in a result that was cut.
#[derive(Debug, Clone, Copy)]
pub struct ReadOutput;

#[async_trait]
impl Tool for ReadOutput {
    fn name(&self) -> &'static str {
        "read_output"
    }

    fn description(&self) -> &'static str {
        "Reads on in a result that was cut, or in a background command."
    }

    fn parameters(&self) -> Vec<Parameter> {
        vec![
            parameter("output", Kind::Text, true, "Its name, such as o1 or j1."),
            parameter("start_line", Kind::Integer, false, "From 1."),
            parameter("search", Kind::Text, false, "Only lines with this text."),
            parameter("stop", Kind::Flag, false, ""),
        ]
    }

    fn returns(&self) -> ReturnType {
        ReturnType {
            description: "lines (how many there are) and those that are shown, from the first; of a command in the \
                          background the last ones unless others are asked for, its state, exit_code and changed (files)"
                .to_owned(),
        }
    }

    fn actions(&self, _arguments: &Value, _context: &Context<'_>) -> Vec<Action> {
        // What is kept was judged when it came to be.
        Vec::new()
    }

    async fn execute(&self, context: &Context<'_>, arguments: &Value) -> Result<Output, Error> {
        let name = text(arguments, "output");
        let wanted = Wanted {
            start_line: number(arguments, "start_line"),
            search: text(arguments, "search"),
        };
        if name.starts_with('j') {
            let stop = flag(arguments, "stop");
            let background = &context.outputs.background;
            return background.look(context, name, stop, wanted).await;
        }
        let whole = context.outputs.find(name)?;
        Ok(read(&whole, wanted))
    }
}

/// What of a text is to be read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'given> {
    start_line: Option<usize>,
    search: &'given str,
}

/// A page of a text.
fn read(whole: &str, wanted: Wanted<'_>) -> Output {
    let first = wanted.start_line.unwrap_or(1).max(1);
    let lines = whole.lines().enumerate().skip(first - 1);
    let mut found = lines.filter(|(_, line)| line.contains(wanted.search));
    let (mut shown, mut count) = (String::new(), 0);
    let next = loop {
        let Some((index, line)) = found.next() else {
            break None;
        };
        if count == LINES_MAX || (count > 0 && shown.len() + line.len() > PAGE_BYTES_MAX) {
            break Some(index + 1);
        }
        count += 1;
        // Writing to a string cannot fail.
        let _ = if wanted.search.is_empty() {
            writeln!(shown, "{line}")
        } else {
            writeln!(shown, "{}: {line}", index + 1)
        };
    };
    Output {
        data: json!({ "lines": whole.lines().count() }),
        text: Some((format!("output from line {first}"), shown)),
        more: next.map(|next| format!("read on with start_line = {next}")),
        ..Output::default()
    }
}

/// The same of what goes on, of which the end is read when nothing else is asked for.
pub(super) fn read_end(whole: &str, wanted: Wanted<'_>) -> Output {
    let rows = folded(whole);
    if wanted.start_line.is_some() || !wanted.search.is_empty() {
        return read(&rows, wanted);
    }
    let mut bytes = 0;
    let last = rows.lines().rev().take(LINES_MAX).take_while(|line| {
        bytes += line.len() + 1;
        bytes <= PAGE_BYTES_MAX
    });
    let before = rows.lines().count() - last.count();
    let end = Wanted {
        start_line: Some(before + 1),
        ..wanted
    };
    let more = format!("{before} lines are before these: read them with start_line = 1");
    Output {
        more: (before > 0).then_some(more),
        ..read(&rows, end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_of_long_outputs_are_kept_in_bounded_memory() {
        let outputs = Outputs::default();
        let long = "line\n".repeat(200_000);
        for number in 1..=5_000 {
            assert_eq!(outputs.keep(&long).0, format!("o{number}"));
            let kept = outputs.kept.lock().expect("not poisoned");
            assert!(kept.bytes <= BYTES_MAX && kept.texts.len() <= 17);
        }
        assert!(outputs.find("o5000").is_ok_and(|text| *text == *long));
        assert!(matches!(outputs.find("o1"), Err(Error::Unavailable(_))));
        for unknown in ["o5001", "o0x", "", "o-1"] {
            assert!(matches!(outputs.find(unknown), Err(Error::Arguments(_))));
        }
        outputs.keep(&"x".repeat(2 * BYTES_MAX));
        assert!(outputs.find("o5001").is_ok() && outputs.find("o5000").is_err());
    }

    #[test]
    fn lines_are_folded_between_characters_and_nothing_of_them_is_lost() {
        let row = "x".repeat(ROW_BYTES_MAX);
        for short in ["", "a\n\nb\n", &row, &format!("{row}\n{row}\na")] {
            assert!(matches!(folded(short), Cow::Borrowed(_)));
        }
        for text in [
            "ä".repeat(5_000),
            format!("a\n{}\r\nb", "x".repeat(ROW_BYTES_MAX + 1)),
            format!("{}\n\n", "x".repeat(2 * ROW_BYTES_MAX)),
        ] {
            let rows = folded(&text);
            assert!(rows.lines().all(|row| row.len() <= ROW_BYTES_MAX));
            assert_eq!(rows.replace('\n', ""), text.replace('\n', ""));
        }
    }
}
