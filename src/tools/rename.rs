//! `rename_symbol`: a thing gets another name wherever it is used (spec: Semantic Analyzer).
//!
//! A language server knows where that is. What it cannot be trusted with is looked at here: names that are taken, words
//! of the language, and places that keep the old name.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use super::arguments::text;
use super::code::{ask, line_number, place, place_parameters, reading, told};
use super::edit::parses_worse;
use super::fs::parameter;
use super::{Change, Context, Error, Kind, Output, Parameter, ReturnType, Tool};
use crate::permit::Action;
use crate::semantics::{Code, Question};
use crate::syntax;

/// Gives a thing another name wherever it is used.
#[derive(Debug, Clone, Copy)]
pub struct RenameSymbol;

#[async_trait]
impl Tool for RenameSymbol {
    fn name(&self) -> &'static str {
        "rename_symbol"
    }

    fn description(&self) -> &'static str {
        "Gives a thing another name, everywhere it is used and nowhere else, by the language server."
    }

    fn parameters(&self) -> Vec<Parameter> {
        let [path, line, name] = place_parameters();
        let new = parameter("new_name", Kind::Text, true, "Its new name.");
        vec![path, line, name, new]
    }

    fn returns(&self) -> ReturnType {
        ReturnType {
            description: "the files that changed".to_owned(),
        }
    }

    fn actions(&self, arguments: &Value, context: &Context<'_>) -> Vec<Action> {
        vec![reading(arguments, context)]
    }

    async fn execute(&self, context: &Context<'_>, arguments: &Value) -> Result<Output, Error> {
        let (file, offset) = place(context, arguments)?;
        let name = text(arguments, "new_name").to_owned();
        if syntax::name_at(&name, 0) != Some(0..name.len()) {
            let reason = format!("`{name}` is no name: letters, digits and _, not a digit first");
            return Err(Error::Arguments(reason));
        }
        let question = Question::Rename {
            file: file.clone(),
            offset,
            name,
        };
        let answer = ask(context, &question).await?;
        let caveat = answer.caveat.clone();
        let renamed = told(context, &file, answer);
        let (old, new) = (text(arguments, "name"), text(arguments, "new_name"));
        if let Some(fault) = fault(context, &renamed.changes, new) {
            return Err(Error::Edit(format!("nothing was renamed: {fault}")));
        }
        let (renamed, rest) = with_rest(context, (&file, offset), (old, new), renamed).await;
        if caveat.is_empty() || rest == 0 {
            return Ok(renamed);
        }
        Err(Error::Unavailable(format!(
            "nothing was renamed: {rest} more lines have this name, and the language server has not loaded everything, \
             so that it cannot tell whether they mean the same ({caveat}); find_code lists them"
        )))
    }
}

/// Why a thing cannot have a name, as far as the files themselves show it.
fn fault(context: &Context<'_>, changes: &[Change], name: &str) -> Option<String> {
    changes.iter().find_map(|change| {
        let path = change.path.as_path();
        let after = change.after.as_ref()?;
        let before = context.staging.read(path).ok()?;
        let shown = path.display();
        if syntax::is_keyword(path, name) {
            return Some(format!("`{name}` is a word of the language of {shown}"));
        }
        if parses_worse(path, &before, after) {
            return Some(format!("{shown} would not parse with the name `{name}`"));
        }
        let (before, after) = (
            definitions(path, &before, name),
            definitions(path, after, name),
        );
        let taken = before
            .iter()
            .find(|(around, count)| after.get(*around) > Some(count));
        taken.map(|_| format!("{shown} defines another `{name}` at the same place already"))
    })
}

/// How often a file defines a name, by what is around it.
fn definitions(path: &Path, text: &str, name: &str) -> BTreeMap<Vec<String>, usize> {
    let mut found: BTreeMap<Vec<String>, usize> = BTreeMap::new();
    for symbol in syntax::symbols(path, text) {
        if symbol.name == name {
            *found.entry(symbol.parents).or_default() += 1;
        }
    }
    found
}

/// The renaming with the lines that somebody has to look at, and how many of them have the old name still: other things
/// that are called so, or uses that the server did not see (in a macro that it could not expand, in code for another
/// system).
async fn with_rest(
    context: &Context<'_>,
    (file, offset): (&Path, usize),
    (old, new): (&str, &str),
    mut renamed: Output,
) -> (Output, usize) {
    let after: BTreeMap<&Path, Option<Arc<str>>> = renamed
        .changes
        .iter()
        .map(|change| (change.path.as_path(), change.after.clone()))
        .collect();
    let mut files: BTreeSet<PathBuf> = by_name(context, file, offset).await;
    files.extend(after.keys().map(|path| path.to_path_buf()));
    let (mut rest, mut mentions, mut taken) = (Vec::new(), Vec::new(), Vec::new());
    for path in files {
        let before = context.staging.read(&path).ok();
        let is_changed = after.contains_key(path.as_path());
        if let Some(before) = before.as_ref().filter(|_| is_changed) {
            taken.extend(lines(
                &path,
                before,
                syntax::occurrences(&path, before, new),
            ));
        }
        let text = match after.get(path.as_path()) {
            Some(after) => after.clone(),
            None => before,
        };
        let Some(text) = text else { continue };
        rest.extend(lines(&path, &text, syntax::occurrences(&path, &text, old)));
        mentions.extend(lines(&path, &text, syntax::mentions(&path, &text, old)));
    }
    let changed = after
        .keys()
        .map(|path| format!("changed {}\n", path.display()));
    let mut listing: String = changed.collect();
    for (count, what, lines) in [
        (
            "lines_with_the_old_name",
            "not changed, for the language server takes it for something else or does not see it (see whether it is \
             the same)",
            &rest,
        ),
        (
            "comments_and_texts_with_the_old_name",
            "not changed, in comments, documentation and strings",
            &mentions,
        ),
        (
            "lines_that_had_the_new_name",
            "had the new name before (see that it means the same as it did)",
            &taken,
        ),
    ] {
        if lines.is_empty() {
            continue;
        }
        // Writing to a string cannot fail.
        let _ = writeln!(listing, "{what}:\n{}", lines.join("\n"));
        if let Some(facts) = renamed.data.as_object_mut() {
            facts.insert(count.to_owned(), lines.len().into());
        }
    }
    renamed.text = Some(("renamed".to_owned(), listing));
    (renamed, rest.len())
}

/// The lines of these places, each once.
fn lines(path: &Path, text: &str, places: Vec<Range<usize>>) -> Vec<String> {
    let places = places.into_iter();
    let numbers: BTreeSet<usize> = places.map(|at| line_number(text, at.start)).collect();
    let told = numbers.into_iter().map(|number| {
        let line = text.lines().nth(number - 1).unwrap_or_default();
        format!("{}:{number}: {}", path.display(), line.trim())
    });
    told.collect()
}

/// The files in which the name at a place is used, by syntax alone.
async fn by_name(context: &Context<'_>, file: &Path, offset: usize) -> BTreeSet<PathBuf> {
    let readable = |path: &Path| context.policy.is_readable(path);
    let code = Code::new(None, context.staging, &readable, Duration::ZERO);
    let places = code.references(file, offset).await.found;
    places.into_iter().map(|place| place.file).collect()
}
