//! `diagnostics`: what compilers and language servers say of exactly the proposed text (spec: Diagnostics).

use std::fmt::Write as _;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::arguments::text;
use super::fs::parameter;
use super::{Context, Error, Kind, Output, Parameter, ReturnType, Tool};
use crate::permit::Action;
use crate::text::problem::{Problem, Severity};

/// Problems that are listed.
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
        let more = format!(
            "{} more are not shown",
            problems.len().saturating_sub(PROBLEMS_MAX)
        );
        Ok(Output {
            data: json!({ "errors": count(Severity::Error), "warnings": count(Severity::Warning) }),
            holds: Some(count(Severity::Error) == 0),
            text: (!problems.is_empty()).then(|| ("problems".to_owned(), listed(&problems))),
            more: (problems.len() > PROBLEMS_MAX).then_some(more),
            ..Output::default()
        })
    }
}

/// Problems for a model: one line each, with the rest of long messages indented below.
pub fn listed(problems: &[Problem]) -> String {
    let mut text = String::new();
    for problem in problems.iter().take(PROBLEMS_MAX) {
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
