//! `search_files`, `grep` and `find` (spec: Search tool, File System Tool).

use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::arguments::{flag, number, text};
use super::fs::parameter;
use super::page::page;
use super::{Context, Error, Kind, Output, Parameter, ReturnType, Tool};
use crate::permit::Action;
use crate::text::listing::{self, Listing};
use crate::text::search::{Found, Hit, Query, files_glob, is_meant, search};

/// Time that one search may take.
const TIME_MAX: Duration = Duration::from_secs(20);

/// Lines around a match that can be asked for.
const CONTEXT_LINES_MAX: usize = 20;

/// Finds lines by a regular expression: `search_files` and `grep` differ in what can be asked of them.
#[derive(Debug, Clone, Copy)]
pub enum Search {
    /// `search_files`: the lines that match.
    Files,
    /// `grep`: also their context, or only the files or counts.
    Grep,
}

/// Finds files by a glob.
#[derive(Debug, Clone, Copy)]
pub struct Find;

#[async_trait]
impl Tool for Search {
    fn name(&self) -> &'static str {
        match self {
            Self::Files => "search_files",
            Self::Grep => "grep",
        }
    }

    fn description(&self) -> &'static str {
        match self {
            Self::Files => {
                "Finds lines by a regular expression in the workspace with your edits so far. Ignored, hidden and \
                 secret files are left out."
            }
            Self::Grep => "search_files with context, or only the files or counts.",
        }
    }

    fn parameters(&self) -> Vec<Parameter> {
        let pattern = "Regular expression in Rust's syntax.";
        let mut parameters = vec![
            parameter("pattern", Kind::Text, true, pattern),
            parameter("files", Kind::Text, false, "Glob such as `src/**/*.rs`."),
            parameter("from", Kind::Integer, false, ""),
        ];
        if matches!(self, Self::Grep) {
            parameters.extend([
                parameter("ignore_case", Kind::Flag, false, ""),
                parameter("context", Kind::Integer, false, "Lines around."),
                parameter("show", Kind::Text, false, "lines, files or count."),
            ]);
        }
        parameters
    }

    fn returns(&self) -> ReturnType {
        ReturnType {
            description: "matches and files (counts) and the lines as path:line: text".to_owned(),
        }
    }

    fn only_looks(&self) -> bool {
        true
    }

    fn actions(&self, _arguments: &Value, context: &Context<'_>) -> Vec<Action> {
        vec![Action::ReadFile {
            path: context.staging.root().to_owned(),
        }]
    }

    async fn execute(&self, context: &Context<'_>, arguments: &Value) -> Result<Output, Error> {
        let show = Show::of(text(arguments, "show"))?;
        let around = number(arguments, "context").unwrap_or_default();
        let query = Query {
            pattern: text(arguments, "pattern").to_owned(),
            files: text(arguments, "files").to_owned(),
            ignore_case: flag(arguments, "ignore_case"),
            context: around.min(CONTEXT_LINES_MAX),
            time_max: TIME_MAX,
        };
        let (staging, policy) = (context.staging.clone(), context.policy.clone());
        let searching = tokio::task::spawn_blocking(move || {
            search(&staging, &query, |met| policy.is_searched(met))
        });
        let found = searching
            .await
            .map_err(|error| Error::Unavailable(format!("the search broke off: {error}")))?
            .map_err(|error| Error::Arguments(error.to_string()))?;
        let mut output = told(&found, show, number(arguments, "from").unwrap_or(0));
        if let Some(facts) = output.data.as_object_mut()
            && found.too_large > 0
        {
            let megabytes = context.staging.file_bytes_max() / 1_000_000;
            let said = format!(
                "{} larger than {megabytes} MB (safety.max_file_size_mb)",
                found.too_large
            );
            facts.insert("left_out".to_owned(), said.into());
        }
        Ok(output)
    }
}

#[async_trait]
impl Tool for Find {
    fn name(&self) -> &'static str {
        "find"
    }

    fn description(&self) -> &'static str {
        "Finds files by a glob on path or name."
    }

    fn parameters(&self) -> Vec<Parameter> {
        vec![
            parameter("glob", Kind::Text, true, ""),
            parameter("from", Kind::Integer, false, ""),
        ]
    }

    fn returns(&self) -> ReturnType {
        ReturnType {
            description: "found (a count) and the paths".to_owned(),
        }
    }

    fn actions(&self, _arguments: &Value, context: &Context<'_>) -> Vec<Action> {
        vec![Action::ReadFile {
            path: context.staging.root().to_owned(),
        }]
    }

    async fn execute(&self, context: &Context<'_>, arguments: &Value) -> Result<Output, Error> {
        let wanted = files_glob(text(arguments, "glob"));
        let wanted = wanted.map_err(|error| Error::Arguments(error.to_string()))?;
        let Some(wanted) = wanted else {
            let missing = "`glob` is empty: name files such as `src/**/*.rs`";
            return Err(Error::Arguments(missing.to_owned()));
        };
        let (staging, policy) = (context.staging.clone(), context.policy.clone());
        let listing = tokio::task::spawn_blocking(move || {
            let all = Listing {
                hidden: true,
                ..Listing::default()
            };
            listing::list(&staging, &all, |path| policy.is_readable(path))
        });
        let entries = listing
            .await
            .map_err(|error| Error::Unavailable(format!("the search broke off: {error}")))?;
        let files = entries.iter().filter(|entry| !entry.is_folder);
        let lines: Vec<String> = files
            .filter(|entry| is_meant(&wanted, &entry.path))
            .map(|entry| entry.path.display().to_string())
            .collect();
        let (shown, more) = page(&lines, number(arguments, "from").unwrap_or(0));
        Ok(Output {
            data: json!({ "found": lines.len() }),
            text: Some(("files found".to_owned(), shown)),
            more,
            ..Output::default()
        })
    }
}

/// What of a match is shown.
#[derive(Debug, Clone, Copy)]
enum Show {
    Lines,
    Files,
    Count,
}

impl Show {
    fn of(name: &str) -> Result<Self, Error> {
        match name {
            "" | "lines" => Ok(Self::Lines),
            "files" => Ok(Self::Files),
            "count" => Ok(Self::Count),
            _ => Err(Error::Arguments(
                "`show` has to be lines, files or count".to_owned(),
            )),
        }
    }
}

fn told(found: &Found, show: Show, from: usize) -> Output {
    let lines: Vec<String> = match show {
        Show::Lines => found.hits.iter().flat_map(lines_of).collect(),
        Show::Files => found.hits.iter().map(file_of).collect(),
        Show::Count => {
            let count = |hit: &Hit| format!("{}: {}", hit.file.display(), hit.count);
            found.hits.iter().map(count).collect()
        }
    };
    let (shown, more) = page(&lines, from);
    let unseen = "the search ended before it saw every file: search for less, or in fewer files";
    let matches: usize = found.hits.iter().map(|hit| hit.count).sum();
    Output {
        data: json!({ "matches": matches, "files": found.hits.len() }),
        text: Some(("lines found".to_owned(), shown)),
        more: more.or_else(|| found.cut.then(|| unseen.to_owned())),
        ..Output::default()
    }
}

fn file_of(hit: &Hit) -> String {
    hit.file.display().to_string()
}

fn lines_of(hit: &Hit) -> Vec<String> {
    let file = hit.file.display();
    let mut lines: Vec<String> = Vec::with_capacity(hit.lines.len());
    for line in &hit.lines {
        let sign = if line.matches { ':' } else { '-' };
        lines.push(format!("{file}{sign}{}{sign} {}", line.number, line.text));
    }
    let shown = hit.lines.iter().filter(|line| line.matches).count();
    if shown < hit.count {
        lines.push(format!("{file}: {} more lines match", hit.count - shown));
    }
    lines
}
