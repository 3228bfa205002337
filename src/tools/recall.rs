//! `recall`: what earlier runs of this workspace did (spec: History Store; Memory).
//!
//! It searches the journal, which is redacted already. What was asked for and how it ended may hold words of strangers, so
//! it is data like any other text.

use std::fmt::Write as _;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::arguments::text;
use super::fs::parameter;
use super::{Context, Error, Kind, Output, Parameter, ReturnType, Tool};
use crate::event::Outcome;
use crate::permit::Action;
use crate::store::history::RunSummary;
use crate::store::now;

/// Runs that are searched, the newest first.
const SEARCHED_MAX: usize = 500;

/// Runs that one look gives.
const FOUND_MAX: usize = 12;

/// Files of a run that are named.
const FILES_MAX: usize = 8;

/// Characters of what a run was asked for, and of what became of it.
const WORDS_MAX: usize = 300;

/// Looks for earlier runs.
#[derive(Debug, Clone, Copy)]
pub struct Recall;

#[async_trait]
impl Tool for Recall {
    fn name(&self) -> &'static str {
        "recall"
    }

    fn description(&self) -> &'static str {
        "Finds earlier runs by words or paths."
    }

    fn parameters(&self) -> Vec<Parameter> {
        vec![parameter("words", Kind::Text, false, "")]
    }

    fn returns(&self) -> ReturnType {
        ReturnType {
            description: "found (how many runs fit) and the newest of them".to_owned(),
        }
    }

    fn hindrance(&self, context: &Context<'_>) -> Option<&'static str> {
        let is_there = context.outputs.past.is_there();
        (!is_there).then_some("has nothing to work on: no earlier run is known here")
    }

    fn only_looks(&self) -> bool {
        true
    }

    fn actions(&self, _arguments: &Value, _context: &Context<'_>) -> Vec<Action> {
        // The journal is ours, and holds no secrets.
        Vec::new()
    }

    async fn execute(&self, context: &Context<'_>, arguments: &Value) -> Result<Output, Error> {
        let past = context.outputs.past.clone();
        let reading = tokio::task::spawn_blocking(move || past.runs(SEARCHED_MAX));
        let runs = reading.await.map_err(|error| error.to_string());
        let runs = runs.and_then(|runs| runs.map_err(|error| error.to_string()));
        let runs = runs.map_err(Error::Unavailable)?;
        let wanted = Wanted::new(text(arguments, "words"));
        // A run that goes on is this one, or one of which nothing is known yet.
        let ended = runs.iter().filter(|run| run.outcome.is_some());
        let found: Vec<&RunSummary> = ended.filter(|run| wanted.fits(run)).collect();
        let told: Vec<String> = found.iter().take(FOUND_MAX).map(|run| line(run)).collect();
        let label = "earlier runs, newest first".to_owned();
        Ok(Output {
            data: json!({ "found": found.len() }),
            text: (!told.is_empty()).then(|| (label, told.join("\n"))),
            ..Output::default()
        })
    }
}

/// What is looked for.
struct Wanted(Vec<String>);

impl Wanted {
    fn new(words: &str) -> Self {
        let words = words.split_whitespace();
        Self(words.map(str::to_lowercase).collect())
    }

    /// Whether every word is somewhere in what a run was asked for, what it came to, or the paths of its files.
    fn fits(&self, run: &RunSummary) -> bool {
        let paths = run.files.iter().map(|path| path.display().to_string());
        let paths = paths.collect::<Vec<_>>().join(" ");
        let all = format!("{} {} {} {paths}", run.run, run.title, outcome(run));
        let all = all.to_lowercase();
        self.0.iter().all(|word| all.contains(word.as_str()))
    }
}

fn line(run: &RunSummary) -> String {
    let hours = now().saturating_sub(run.started) / 3_600_000;
    let ago = match hours {
        0 => "less than an hour ago".to_owned(),
        1..48 => format!("{hours} h ago"),
        _ => format!("{} days ago", hours / 24),
    };
    let mut line = format!("{} {ago}, {}: {}", run.run, run.kind, cut(&run.title));
    let undone = if run.undone { ", later undone" } else { "" };
    // Writing to a string cannot fail.
    let _ = write!(line, "\n  {}{undone}", cut(&outcome(run)));
    for file in run.files.iter().take(FILES_MAX) {
        let _ = write!(line, "\n  {}", file.display());
    }
    if run.files.len() > FILES_MAX {
        let _ = write!(line, "\n  and {} more files", run.files.len() - FILES_MAX);
    }
    line
}

fn outcome(run: &RunSummary) -> String {
    match &run.outcome {
        None => "did not end".to_owned(),
        Some(Outcome::Applied { files }) => format!("changed {files} files"),
        Some(Outcome::Proposed { files }) => format!("proposed changes of {files} files"),
        Some(Outcome::Nothing { reason }) => format!("changed nothing: {reason}"),
        Some(Outcome::Cancelled) => "was cancelled".to_owned(),
        Some(Outcome::Failed { message }) => format!("failed: {message}"),
    }
}

/// The beginning of a text, in one line.
fn cut(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(WORDS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;
    use crate::config::host::Host;
    use crate::event::{RunEvent, RunId};
    use crate::redact::Redactor;
    use crate::store::Store;
    use crate::store::history::Past;

    #[test]
    fn runs_are_found_by_every_word_and_told_in_short() {
        let folder = tempfile::tempdir().expect("a folder");
        let home = folder.path().display().to_string();
        let environment = BTreeMap::from([("HOME".to_owned(), home)]);
        let host = Host::from_environment("/nowhere/meliora".into(), environment);
        let redactor = Redactor::new(["hunter2-hunter2".to_owned()]);
        let store = Arc::new(Store::open(&host, folder.path(), Arc::new(redactor)));
        let long = format!("Parse dates\nhunter2-hunter2 {}", "x".repeat(5_000));
        for (number, title, file) in [(1, long.as_str(), "src/date.rs"), (2, "Tidy up", "b.rs")] {
            let run = RunId::new(number, 0);
            let started = RunEvent::Started {
                kind: "do".to_owned(),
                title: title.to_owned(),
                workspace: folder.path().to_owned(),
            };
            let files = vec![file.into()];
            let finished = RunEvent::Finished(Outcome::Applied { files: 1 });
            for event in [started, RunEvent::Applied { files }, finished] {
                store.append(&run, &event);
            }
        }
        let past = Past::opening();
        assert!(past.is_there() && past.runs(1).is_err());
        past.set(&store);
        let runs = past.runs(SEARCHED_MAX).expect("readable");
        let found = |words: &str| {
            let wanted = Wanted::new(words);
            let found = runs.iter().filter(|run| wanted.fits(run));
            found.map(line).collect::<Vec<_>>()
        };
        assert_eq!(found("").len(), 2);
        assert_eq!(found("no such thing"), Vec::<String>::new());
        let [dates] = &found("DATES src/date")[..] else {
            panic!("{:?}", found("DATES src/date"));
        };
        assert!(dates.contains("changed 1 files\n  src/date.rs"), "{dates}");
        assert!(dates.len() < 500 && !dates.contains("hunter2"), "{dates}");
        drop(store);
        assert!(past.runs(1).is_err());
    }
}
