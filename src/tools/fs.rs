//! `read_file` and `edit_file` (spec: File System Tool).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::arguments::{number, text};
use super::{Change, Context, Error, Kind, Output, Parameter, ReturnType, Tool};
use crate::permit::Action;
use crate::prompt::unescape;
use crate::syntax;
use crate::text::locate::{Located, NoPlace, locate};
use crate::text::staging::{ReadError, stamp};

/// Lines that one `read_file` gives.
const READ_LINES_MAX: usize = 400;

/// The mark that some editors put before a text.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// Reads lines of a file.
#[derive(Debug, Clone, Copy)]
pub struct ReadFile;

#[async_trait]
impl Tool for ReadFile {
    fn name(&self) -> &'static str {
        "read_file"
    }

    fn description(&self) -> &'static str {
        "Reads lines of a text file of the workspace, as they are with your edits so far."
    }

    fn parameters(&self) -> Vec<Parameter> {
        vec![
            parameter(
                "path",
                Kind::Text,
                true,
                "Path of the file, relative to the workspace.",
            ),
            parameter(
                "start_line",
                Kind::Integer,
                false,
                "First line, from 1. Default: 1.",
            ),
            parameter(
                "end_line",
                Kind::Integer,
                false,
                "Last line. Default: 400 lines from the first.",
            ),
        ]
    }

    fn returns(&self) -> ReturnType {
        ReturnType {
            description: "path, version (a name of exactly this content), lines, and the text"
                .to_owned(),
        }
    }

    fn actions(&self, arguments: &Value, context: &Context<'_>) -> Vec<Action> {
        vec![Action::ReadFile {
            path: absolute(arguments, context),
        }]
    }

    async fn execute(&self, context: &Context<'_>, arguments: &Value) -> Result<Output, Error> {
        let path = relative(arguments, context)?;
        let whole = context.staging.read(&path)?;
        let lines: Vec<&str> = whole.split_inclusive('\n').collect();
        let first = number(arguments, "start_line").unwrap_or(1).max(1);
        let last_asked = number(arguments, "end_line").unwrap_or(usize::MAX);
        let last = last_asked
            .min(first.saturating_add(READ_LINES_MAX - 1))
            .min(lines.len());
        if first > lines.len() && !lines.is_empty() {
            return Err(Error::Arguments(format!(
                "the file has {} lines",
                lines.len()
            )));
        }
        let shown: String = lines
            .get(first - 1..last.max(first - 1))
            .unwrap_or_default()
            .concat();
        let more = (last < lines.len() && last_asked > last)
            .then(|| format!("read on with start_line = {}", last + 1));
        Ok(Output {
            data: json!({
                "path": path,
                "version": stamp(&whole),
                "lines": format!("{first}-{last} of {}", lines.len()),
            }),
            text: Some((format!("{} lines {first}-{last}", path.display()), shown)),
            more,
            changes: Vec::new(),
        })
    }
}

/// Replaces one piece of text in a file, or creates a file.
#[derive(Debug, Clone, Copy)]
pub struct EditFile;

#[async_trait]
impl Tool for EditFile {
    fn name(&self) -> &'static str {
        "edit_file"
    }

    fn description(&self) -> &'static str {
        "Replaces a piece of text that stands exactly once in a file. Quote whole lines, with enough of their \
         neighbours to be unique. To create a file, leave `search` empty."
    }

    fn parameters(&self) -> Vec<Parameter> {
        vec![
            parameter(
                "path",
                Kind::Text,
                true,
                "Path of the file, relative to the workspace.",
            ),
            parameter(
                "search",
                Kind::Text,
                true,
                "The text to replace, quoted exactly.",
            ),
            parameter("replace", Kind::Text, true, "The text to put there."),
            parameter(
                "version",
                Kind::Text,
                false,
                "The version that `read_file` gave.",
            ),
        ]
    }

    fn returns(&self) -> ReturnType {
        ReturnType {
            description: "path, version after the edit, changed lines, and what did not parse"
                .to_owned(),
        }
    }

    fn actions(&self, arguments: &Value, context: &Context<'_>) -> Vec<Action> {
        let path = absolute(arguments, context);
        let bytes_before = relative(arguments, context)
            .ok()
            .filter(|_| context.policy.is_readable(&path))
            .and_then(|relative| context.staging.read(&relative).ok())
            .map_or(0, |before| before.len());
        let bytes = bytes_before + text(arguments, "replace").len();
        vec![
            Action::ReadFile { path: path.clone() },
            Action::WriteFile {
                path,
                bytes: bytes as u64,
            },
        ]
    }

    async fn execute(&self, context: &Context<'_>, arguments: &Value) -> Result<Output, Error> {
        let path = relative(arguments, context)?;
        let (search, replace) = (text(arguments, "search"), text(arguments, "replace"));
        let before = match context.staging.read(&path) {
            Ok(before) if search.is_empty() && !before.is_empty() => {
                return Err(Error::Edit(format!(
                    "{} exists already: quote the text to replace in `search`",
                    path.display()
                )));
            }
            Ok(before) => before,
            Err(ReadError::Missing(_)) if search.is_empty() => Arc::from(""),
            Err(error) => return Err(error.into()),
        };
        if search.is_empty() {
            return Ok(output(path, replace.to_owned(), 1, &before));
        }
        let body = before.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&before);
        let located = match locate_as_shown(body, search, replace) {
            Ok(located) => located,
            Err(NoPlace::AlreadyApplied { line }) => {
                return Ok(Output {
                    data: json!({ "path": path, "unchanged": format!("already applied at line {line}") }),
                    ..Output::default()
                });
            }
            Err(refusal) => return Err(Error::Edit(refusal.to_string())),
        };
        let version = text(arguments, "version");
        if !located.exact && !version.is_empty() && version != stamp(&before) {
            return Err(Error::Edit(format!(
                "the file is not what you read (version {}) and the search text is not exact: read it again",
                stamp(&before)
            )));
        }
        let after = spliced(&before, body, &located);
        if !located.exact && parses_worse(&path, &before, &after) {
            return Err(Error::Edit(
                "with this edit the file would not parse, and the search text is not exact: quote it exactly"
                    .to_owned(),
            ));
        }
        let line = body
            .get(..located.range.start)
            .unwrap_or_default()
            .matches('\n')
            .count()
            + 1;
        Ok(output(path, after, line, &before))
    }
}

/// The place that a quote means whose marks and unseen characters may stand in it as [`fence`](crate::prompt::fence)
/// shows them. What the file says itself is no escape, unless nothing else can be meant.
fn locate_as_shown(body: &str, search: &str, replace: &str) -> Result<Located, NoPlace> {
    let is_shown = |escaped: &str, plain: &str| body.contains(plain) && !body.contains(escaped);
    match locate(
        body,
        &unescape(search, is_shown),
        &unescape(replace, is_shown),
    ) {
        Err(missing @ NoPlace::Missing { .. }) => {
            let every = |_: &str, _: &str| true;
            let search = unescape(search, every);
            locate(body, &search, &unescape(replace, every)).map_err(|_| missing)
        }
        located => located,
    }
}

/// The text after the edit, with its byte order mark and with or without a final newline as before.
fn spliced(before: &str, body: &str, located: &Located) -> String {
    let mut after = body.to_owned();
    after.replace_range(located.range.clone(), &located.replacement);
    let had_end = body.ends_with('\n');
    if had_end && !after.is_empty() && !after.ends_with('\n') {
        after.push_str(if body.ends_with("\r\n") { "\r\n" } else { "\n" });
    } else if !had_end && after.ends_with('\n') {
        let kept = after.trim_end_matches(['\r', '\n']).len();
        after.truncate(kept);
    }
    if before.len() > body.len() {
        after.insert(0, BYTE_ORDER_MARK);
    }
    after
}

fn parses_worse(path: &Path, before: &str, after: &str) -> bool {
    let count = |text: &str| syntax::error_count(path, text).unwrap_or(0);
    count(after) > count(before)
}

fn output(path: PathBuf, after: String, first: usize, before: &str) -> Output {
    let added = after.lines().count().saturating_sub(before.lines().count());
    let mut data = json!({
        "path": path,
        "version": stamp(&after),
        "changed": if before.is_empty() { "created".to_owned() } else { format!("from line {first}, {added} lines longer") },
    });
    if parses_worse(&path, before, &after)
        && let Value::Object(facts) = &mut data
    {
        facts.insert(
            "warning".to_owned(),
            "the file does not parse as it is now".into(),
        );
    }
    Output {
        data,
        changes: vec![Change {
            path,
            after: Some(after.into()),
        }],
        ..Output::default()
    }
}

pub(super) fn parameter(name: &str, kind: Kind, required: bool, description: &str) -> Parameter {
    Parameter {
        name: name.to_owned(),
        kind,
        description: description.to_owned(),
        required,
    }
}

/// The path that is judged: the very one that [`relative`] leads to. Of a path that leads out by its name, which is
/// never used, the name as it was given.
pub(super) fn absolute(arguments: &Value, context: &Context<'_>) -> PathBuf {
    let path = Path::new(text(arguments, "path"));
    let used = context.staging.relative(path);
    let root = context.staging.root();
    root.join(used.as_deref().unwrap_or(path))
}

pub(super) fn relative(arguments: &Value, context: &Context<'_>) -> Result<PathBuf, Error> {
    let path = text(arguments, "path");
    context.staging.relative(Path::new(path)).ok_or_else(|| {
        Error::Arguments(format!(
            "`{path}` is not the path of a file in the workspace"
        ))
    })
}
