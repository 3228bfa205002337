//! `diagnostics`: what compilers and language servers say of exactly the proposed text (spec: Diagnostics).

use std::fmt::Write as _;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::arguments::text;
use super::fs::parameter;
use super::{Context, Error, Kind, Output, Parameter, ReturnType, Tool};
use crate::permit::Action;
use crate::text::problem::{Problem, Severity};

/// Problems that are listed where nobody can ask for the rest.
const PROBLEMS_MAX: usize = 50;

/// Checks the proposed text.
#[derive(Debug, Clone, Copy)]
pub struct Diagnostics;

#[async_trait]
impl Tool for Diagnostics {
    fn name(&self) -> &'static str {
        "diagnostics"
    }

    fn description(&self) -> &'static str {
        "Checks the workspace with your edits so far by its compiler or language server and lists the errors and \
         warnings. It takes a while: call it after your last edit, not after each."
    }

    fn parameters(&self) -> Vec<Parameter> {
        vec![parameter(
            "path",
            Kind::Text,
            false,
            "Only the problems of this file.",
        )]
    }

    fn returns(&self) -> ReturnType {
        ReturnType {
            description: "errors and warnings (counts) and one line for each".to_owned(),
        }
    }

    fn only_looks(&self) -> bool {
        true
    }

    fn actions(&self, _arguments: &Value, _context: &Context<'_>) -> Vec<Action> {
        // The checker asks for the permits of what it starts.
        Vec::new()
    }

    async fn execute(&self, context: &Context<'_>, arguments: &Value) -> Result<Output, Error> {
        let checker = context.checker.ok_or_else(|| {
            Error::Unavailable("nothing here can check this workspace".to_owned())
        })?;
        let only = match text(arguments, "path") {
            "" => None,
            path => {
                let missing = || Error::Arguments(format!("{path} is not in the workspace"));
                let file = context.staging.relative(std::path::Path::new(path));
                let file = file.ok_or_else(missing)?;
                context.staging.read(&file)?;
                Some(file)
            }
        };
        let edits = context.staging.proposed().clone();
        let mut problems = checker.problems(edits).await.map_err(Error::Unavailable)?;
        if let Some(only) = only {
            problems.retain(|problem| problem.place.file == only);
        }
        problems.retain(|problem| problem.severity != Severity::Note);
        problems.sort_by_key(|problem| problem.severity);
        let count = |severity| {
            problems
                .iter()
                .filter(|problem| problem.severity == severity)
                .count()
        };
        Ok(Output {
            data: json!({ "errors": count(Severity::Error), "warnings": count(Severity::Warning) }),
            holds: Some(count(Severity::Error) == 0),
            text: (!problems.is_empty()).then(|| ("problems".to_owned(), lines(&problems))),
            ..Output::default()
        })
    }
}

/// Problems for a model, as many as a prompt has room for.
pub fn listed(problems: &[Problem]) -> String {
    let (shown, rest) = problems.split_at(problems.len().min(PROBLEMS_MAX));
    let mut text = lines(shown);
    if !rest.is_empty() {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "and {} more", rest.len());
    }
    text
}

/// One line for each, with the rest of long messages indented below.
fn lines(problems: &[Problem]) -> String {
    let mut text = String::new();
    for problem in problems {
        let severity = match problem.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        };
        let place = &problem.place;
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{severity} {} {}:{}:{}: {}",
            problem.code,
            place.file.display(),
            place.line,
            place.column,
            problem.message.trim().replace('\n', "\n    ")
        );
    }
    text
}
