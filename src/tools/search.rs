//! `search_files` (spec: Search tool).

use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::arguments::text;
use super::fs::parameter;
use super::{Context, Error, Kind, Output, Parameter, ReturnType, Tool};
use crate::permit::Action;
use crate::text::search::{Query, search};

/// Matches that one search gives.
const MATCHES_MAX: usize = 100;

/// Time that one search may take.
const TIME_MAX: Duration = Duration::from_secs(20);

/// Finds lines by a regular expression.
#[derive(Debug, Clone, Copy)]
pub struct SearchFiles;

#[async_trait]
impl Tool for SearchFiles {
    fn name(&self) -> &'static str {
        "search_files"
    }

    fn description(&self) -> &'static str {
        "Finds lines in the files of the workspace by a regular expression, with your edits so far. Ignored, hidden \
         and secret files are left out."
    }

    fn parameters(&self) -> Vec<Parameter> {
        vec![
            parameter(
                "pattern",
                Kind::Text,
                true,
                "Regular expression in Rust's syntax.",
            ),
            parameter(
                "files",
                Kind::Text,
                false,
                "Glob of the files to look at, such as `src/**/*.rs`.",
            ),
        ]
    }

    fn returns(&self) -> ReturnType {
        ReturnType {
            description: "matches (a count) and the lines as path:line: text".to_owned(),
        }
    }

    fn actions(&self, _arguments: &Value, context: &Context<'_>) -> Vec<Action> {
        vec![Action::ReadFile {
            path: context.staging.root().to_owned(),
        }]
    }

    async fn execute(&self, context: &Context<'_>, arguments: &Value) -> Result<Output, Error> {
        let query = Query {
            pattern: text(arguments, "pattern").to_owned(),
            files: text(arguments, "files").to_owned(),
            matches_max: MATCHES_MAX,
            time_max: TIME_MAX,
        };
        let (staging, policy) = (context.staging.clone(), context.policy.clone());
        let searching = tokio::task::spawn_blocking(move || {
            search(&staging, &query, |path| policy.is_readable(path))
        });
        let found = searching
            .await
            .map_err(|error| Error::Unavailable(format!("the search broke off: {error}")))?
            .map_err(|error| Error::Arguments(error.to_string()))?;
        let lines = found
            .matches
            .iter()
            .map(|found| format!("{}:{}: {}\n", found.file.display(), found.line, found.text));
        let more = "search for less, or in fewer files, to see the others".to_owned();
        Ok(Output {
            data: json!({ "matches": found.matches.len() }),
            text: Some(("lines found".to_owned(), lines.collect())),
            more: found.cut.then_some(more),
            changes: Vec::new(),
        })
    }
}
