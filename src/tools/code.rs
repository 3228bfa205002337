//! `find_code` and `symbol_search`: what names mean, from a language server on exactly the proposed
//! text, else from syntax (spec: Search tool, symbols; Semantic Analyzer).

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use lsp_types::SymbolKind;
use serde_json::{Value, json};

use super::arguments::{number, text};
use super::fs::{absolute, parameter, relative};
use super::{Change, Context, Error, Kind, Output, Parameter, ReturnType, Tool};
use crate::permit::Action;
use crate::semantics::{Answer, Basis, Code, Found, Location, Question, Symbol, What};
use crate::syntax;
use crate::text::edit::EditSet;

/// Finds what a name means.
#[derive(Debug, Clone, Copy)]
pub struct FindCode;

/// Finds definitions by name.
#[derive(Debug, Clone, Copy)]
pub struct SymbolSearch;

#[async_trait]
impl Tool for FindCode {
    fn name(&self) -> &'static str {
        "find_code"
    }

    fn description(&self) -> &'static str {
        "Tells what a name in the code means: where it is defined or used, what implements it, who calls it, what it \
         calls, its type."
    }

    fn parameters(&self) -> Vec<Parameter> {
        let kinds = What::ALL.map(|(name, _)| name).join(", ");
        let [path, line, name] = place_parameters();
        let what = parameter("what", Kind::Text, true, &format!("One of {kinds}."));
        vec![what, path, line, name]
    }

    fn returns(&self) -> ReturnType {
        ReturnType {
            description: "how many were found, whether a language server or syntax found them, and the places"
                .to_owned(),
        }
    }

    fn only_looks(&self) -> bool {
        true
    }

    fn actions(&self, arguments: &Value, context: &Context<'_>) -> Vec<Action> {
        vec![reading(arguments, context)]
    }

    async fn execute(&self, context: &Context<'_>, arguments: &Value) -> Result<Output, Error> {
        let wanted = text(arguments, "what");
        let known = What::ALL.into_iter().find(|(name, _)| *name == wanted);
        let Some((_, what)) = known else {
            let kinds = What::ALL.map(|(name, _)| name).join(", ");
            return Err(Error::Arguments(format!("`what` has to be one of {kinds}")));
        };
        let (file, offset) = place(context, arguments)?;
        let question = Question::About {
            what,
            file: file.clone(),
            offset,
        };
        let answer = ask(context, &question).await?;
        let is_sure = answer.basis == Basis::Server && what == What::References;
        let rest = match &answer.found {
            Found::Places(known) if is_sure => unseen(context, (&file, offset), known).await,
            _ => Vec::new(),
        };
        Ok(also(told(context, &file, answer), &rest))
    }
}

/// Lines where the name at a place is used by syntax, and is not by the server.
async fn unseen(
    context: &Context<'_>,
    (file, offset): (&Path, usize),
    known: &[Location],
) -> Vec<String> {
    let readable = |path: &Path| context.policy.is_readable(path);
    let code = Code::new(None, context.staging, &readable, Duration::ZERO);
    let places = code.references(file, offset).await.found.into_iter();
    let rest = places.filter(|place| !known.contains(place));
    let rest: BTreeSet<String> = rest.map(|place| line_at(context, &place)).collect();
    rest.into_iter().collect()
}

/// An answer of a server with lines that only syntax found.
fn also(mut output: Output, rest: &[String]) -> Output {
    if rest.is_empty() {
        return output;
    }
    let (label, mut listing) = output
        .text
        .take()
        .unwrap_or(("code found".to_owned(), String::new()));
    // Writing to a string cannot fail.
    let _ = writeln!(
        listing,
        "by name alone (something else, or not seen by the language server):\n{}",
        rest.join("\n")
    );
    output.text = Some((label, listing));
    if let Some(facts) = output.data.as_object_mut() {
        facts.insert("by_name_alone".to_owned(), rest.len().into());
    }
    output
}

#[async_trait]
impl Tool for SymbolSearch {
    fn name(&self) -> &'static str {
        "symbol_search"
    }

    fn description(&self) -> &'static str {
        "Finds functions, types and other definitions: those of one file with their lines, or those of the workspace \
         whose names contain the query."
    }

    fn parameters(&self) -> Vec<Parameter> {
        vec![
            parameter("query", Kind::Text, false, "Part of a name."),
            parameter("path", Kind::Text, false, "The file to list instead."),
        ]
    }

    fn returns(&self) -> ReturnType {
        ReturnType {
            description: "how many were found, and one line for each".to_owned(),
        }
    }

    fn only_looks(&self) -> bool {
        true
    }

    fn actions(&self, arguments: &Value, context: &Context<'_>) -> Vec<Action> {
        vec![reading(arguments, context)]
    }

    async fn execute(&self, context: &Context<'_>, arguments: &Value) -> Result<Output, Error> {
        let query = text(arguments, "query");
        let question = match (text(arguments, "path"), query) {
            ("", "") => {
                let missing = "`query` or `path` is needed: part of a name, or the file to list";
                return Err(Error::Arguments(missing.to_owned()));
            }
            ("", query) => Question::Named(query.to_owned()),
            _ => {
                let file = relative(arguments, context)?;
                context.staging.read(&file)?;
                Question::Outline(file)
            }
        };
        answered(context, question).await
    }
}

pub(super) fn place_parameters() -> [Parameter; 3] {
    [
        parameter(
            "path",
            Kind::Text,
            true,
            "The file in which the name stands.",
        ),
        parameter(
            "line",
            Kind::Integer,
            true,
            "The line in which it stands, from 1.",
        ),
        parameter("name", Kind::Text, true, "The name, as it stands there."),
    ]
}

pub(super) fn reading(arguments: &Value, context: &Context<'_>) -> Action {
    Action::ReadFile {
        path: absolute(arguments, context),
    }
}

/// The file and the byte at which the name stands.
pub(super) fn place(context: &Context<'_>, arguments: &Value) -> Result<(PathBuf, usize), Error> {
    let file = relative(arguments, context)?;
    let whole = context.staging.read(&file)?;
    let line = number(arguments, "line").unwrap_or_default();
    let name = text(arguments, "name");
    let mut start = 0;
    let mut lines = whole.split_inclusive('\n').map(|one| {
        start += one.len();
        (start - one.len(), one)
    });
    let here = line.checked_sub(1).and_then(|before| lines.nth(before));
    let Some((start, here)) = here else {
        let count = whole.lines().count();
        return Err(Error::Arguments(format!("the file has {count} lines")));
    };
    let mut places = here.match_indices(name).map(|(at, _)| start + at);
    let is_whole = |at: &usize| {
        let found = syntax::name_at(&whole, *at);
        found.is_some_and(|found| found.start == *at && found.len() == name.len())
    };
    match places.find(is_whole).filter(|_| !name.is_empty()) {
        Some(offset) => Ok((file, offset)),
        None => Err(Error::Arguments(format!(
            "line {line} of {} has no name `{name}`; it is: {}",
            file.display(),
            here.trim()
        ))),
    }
}

async fn answered(context: &Context<'_>, question: Question) -> Result<Output, Error> {
    let file = question.file().map(Path::to_owned).unwrap_or_default();
    let answer = ask(context, &question).await?;
    Ok(told(context, &file, answer))
}

/// Asks what can look at the workspace, else its syntax.
pub(super) async fn ask(
    context: &Context<'_>,
    question: &Question,
) -> Result<Answer<Found>, Error> {
    let edits = || context.staging.proposed().clone();
    let asked = match context.checker {
        Some(checker) => checker.ask(edits(), question.clone()).await,
        None => None,
    };
    let answer = if let Some(answer) = asked {
        answer
    } else {
        let readable = |path: &Path| context.policy.is_readable(path);
        let code = Code::new(None, context.staging, &readable, Duration::ZERO);
        let answer = code.ask(question).await;
        answer.map_err(|error| error.to_string())
    };
    answer.map_err(Error::Unavailable)
}

/// The answer for a model.
pub(super) fn told(context: &Context<'_>, file: &Path, answer: Answer<Found>) -> Output {
    let basis = match answer.basis {
        Basis::Server => "a language server",
        Basis::Syntax => "syntax, by name alone: other things of that name may be among them",
    };
    let lines: Vec<String> = match answer.found {
        Found::Places(places) => places.iter().map(|one| line_at(context, one)).collect(),
        Found::Named(all) => all
            .iter()
            .map(|one| named(context, &one.name, &one.place))
            .collect(),
        Found::Calls(calls) => calls
            .iter()
            .flat_map(|call| {
                let sites = call.sites.iter().map(|site| line_at(context, site));
                let head = named(context, &call.function.name, &call.function.place);
                std::iter::once(head).chain(sites.map(|site| format!("    {site}")))
            })
            .collect(),
        Found::Type(found) => found.into_iter().collect(),
        Found::Outline(symbols) => {
            let whole = context.staging.read(file).unwrap_or_default();
            let mut lines = Vec::new();
            outline(&symbols, &whole, 0, &mut lines);
            lines
        }
        Found::Edits(edits) => return changed(edits),
    };
    let mut data = json!({ "found": lines.len(), "by": basis });
    if let Some(facts) = data.as_object_mut()
        && !answer.caveat.is_empty()
    {
        facts.insert("may_be_missing_some".to_owned(), answer.caveat.into());
    }
    Output {
        data,
        text: (!lines.is_empty()).then(|| ("code found".to_owned(), lines.join("\n") + "\n")),
        ..Output::default()
    }
}

/// A place with the line on which it is, where that may be read.
fn line_at(context: &Context<'_>, place: &Location) -> String {
    let file = place.file.display();
    let may = context
        .policy
        .is_readable(&context.staging.root().join(&place.file));
    let whole = may
        .then(|| context.staging.read(&place.file).ok())
        .flatten();
    let Some(whole) = whole else {
        return format!("{file} (outside of what you can read)");
    };
    let number = line_number(&whole, place.range.start);
    let line = whole.lines().nth(number - 1).unwrap_or_default();
    format!("{file}:{number}: {}", line.trim())
}

fn named(context: &Context<'_>, name: &str, place: &Location) -> String {
    format!("{name} at {}", line_at(context, place))
}

fn outline(symbols: &[Symbol], whole: &str, depth: usize, lines: &mut Vec<String>) {
    for symbol in symbols {
        let kind = serde_json::from_value::<SymbolKind>(symbol.kind.into());
        let kind = kind.map_or_else(|_| "symbol".to_owned(), |kind| format!("{kind:?}"));
        lines.push(format!(
            "{}{} {} lines {}-{}",
            "  ".repeat(depth),
            kind.to_lowercase(),
            symbol.name,
            line_number(whole, symbol.range.start),
            line_number(whole, symbol.range.end.saturating_sub(1)),
        ));
        outline(&symbol.children, whole, depth + 1, lines);
    }
}

pub(super) fn line_number(whole: &str, offset: usize) -> usize {
    let before = whole.as_bytes().get(..offset).unwrap_or(whole.as_bytes());
    memchr::memchr_iter(b'\n', before).count() + 1
}

fn changed(edits: EditSet) -> Output {
    let files: Vec<&PathBuf> = edits.files.keys().collect();
    Output {
        data: json!({ "changed": files }),
        changes: edits
            .files
            .iter()
            .map(|(path, edit)| Change {
                path: path.clone(),
                after: edit.after.clone(),
            })
            .collect(),
        ..Output::default()
    }
}
