//! `edit_file` and `write_file`: one place of a file, or all of it (spec: File System Tool).
//!
//! Both name the version that they were made for. Where the file moved on since, the edit is placed in the text that
//! was read, and merged with what happened to the file in the meantime.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::arguments::text;
use super::fs::{absolute, parameter, relative};
use super::quote::locate_as_shown;
use super::{Change, Context, Error, Kind, Output, Parameter, ReturnType, Tool};
use crate::permit::Action;
use crate::prompt::unescape;
use crate::syntax;
use crate::text::bases::{Base, Seen};
use crate::text::edit::{Merge, merge, with_line_endings_of};
use crate::text::locate::{Located, NoPlace};
use crate::text::staging::{ReadError, stamp};

/// The mark that some editors put before a text.
pub(super) const BYTE_ORDER_MARK: char = '\u{feff}';

/// What stands where a secret was.
const REDACTED: &str = "[redacted";

/// Words that stand for code which a model left out.
const LEFT_OUT: [&str; 6] = [
    "rest of",
    "existing",
    "remains",
    "unchanged",
    "omitted",
    "same as",
];

/// How lines begin that are not code.
const COMMENT_STARTS: [char; 9] = ['/', '#', '-', '<', '*', '.', '…', '[', '('];

/// Replaces one piece of text in a file, or creates a file.
#[derive(Debug, Clone, Copy)]
pub struct EditFile;

/// Creates a file, or replaces all of it.
#[derive(Debug, Clone, Copy)]
pub struct WriteFile;

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
            parameter("path", Kind::Text, true, ""),
            parameter("search", Kind::Text, true, "Quoted exactly."),
            parameter("replace", Kind::Text, true, ""),
            parameter("version", Kind::Text, false, "As read."),
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
            return Ok(edited(path, replace.to_owned(), &before));
        }
        let edit = Edit {
            path: &path,
            search,
            replace,
        };
        let version = text(arguments, "version");
        let base = context.staging.bases().find(&path, version);
        let placed = if version.is_empty() || version == stamp(&before) {
            edit.placed(&before)
        } else if let Some(base) = base {
            edit.rebased(base, &before)
        } else {
            edit.placed_exactly(&before)
        };
        match placed? {
            Placed::Changed(after) => Ok(edited(path, after, &before)),
            Placed::Already(line) => Ok(Output {
                data: json!({ "path": path, "unchanged": format!("already applied at line {line}") }),
                ..Output::default()
            }),
        }
    }
}

#[async_trait]
impl Tool for WriteFile {
    fn name(&self) -> &'static str {
        "write_file"
    }

    fn description(&self) -> &'static str {
        "Creates a file. Replaces one only with the `version` of its whole text as read; prefer edit_file."
    }

    fn parameters(&self) -> Vec<Parameter> {
        vec![
            parameter("path", Kind::Text, true, ""),
            parameter("text", Kind::Text, true, "All of it."),
            parameter("version", Kind::Text, false, ""),
        ]
    }

    fn returns(&self) -> ReturnType {
        ReturnType {
            description: "path, version of the new text, and whether it was created".to_owned(),
        }
    }

    fn actions(&self, arguments: &Value, context: &Context<'_>) -> Vec<Action> {
        let path = absolute(arguments, context);
        vec![
            Action::ReadFile { path: path.clone() },
            Action::WriteFile {
                path,
                bytes: text(arguments, "text").len() as u64,
            },
        ]
    }

    async fn execute(&self, context: &Context<'_>, arguments: &Value) -> Result<Output, Error> {
        let path = relative(arguments, context)?;
        let version = text(arguments, "version");
        let before = match context.staging.read(&path) {
            Ok(before) => before,
            Err(ReadError::Missing(_)) if version.is_empty() => Arc::from(""),
            Err(error) => return Err(error.into()),
        };
        let new = unescape(text(arguments, "text"), |escaped, plain| {
            before.contains(plain) && !before.contains(escaped)
        })
        .into_owned();
        let after = if before.is_empty() {
            new
        } else {
            let base = context.staging.bases().find(&path, version);
            replaced(&path, base, &before, &new)?
        };
        let lines = after.split_inclusive('\n').count();
        let mut output = edited(path.clone(), after, &before);
        let written = output.changes.first();
        output.read = written
            .and_then(|change| change.after.clone())
            .map(|text| Seen {
                path,
                text,
                lines: 0..lines,
            });
        Ok(output)
    }
}

/// The text of a file after all of it was written anew by somebody who has seen it whole.
fn replaced(path: &Path, base: Option<&Base>, before: &str, new: &str) -> Result<String, Error> {
    let shown = path.display();
    let Some(base) = base else {
        return Err(Error::Edit(format!(
            "{shown} exists and `version` is not one that you have read: read it, or use edit_file"
        )));
    };
    if !base.is_seen_whole() {
        return Err(Error::Edit(format!(
            "you have not read all of {shown}, which this would replace: read the rest, or use edit_file"
        )));
    }
    if let Some(line) = left_out(&base.text, new) {
        return Err(Error::Edit(format!(
            "the new text leaves code out, which would be lost: write all of it, or use edit_file. The line is:\n{line}"
        )));
    }
    let after = like(&base.text, new);
    let after = match merge(&base.text, &after, before) {
        Merge::Clean(after) => after,
        Merge::Conflict => return Err(Error::Edit(moved(path, before))),
    };
    if parses_worse(path, before, &after) {
        return Err(Error::Edit(format!(
            "{shown} would not parse any more, so nothing was changed: use edit_file, or write all of it correctly"
        )));
    }
    Ok(after)
}

/// A line that stands for other lines, or for a secret, and that the text before does not have.
fn left_out<'text>(before: &str, new: &'text str) -> Option<&'text str> {
    let stands_for_more = |line: &&str| {
        let dots = line.contains("...") || line.contains('…');
        let small = line.to_lowercase();
        let words = LEFT_OUT.iter().any(|words| small.contains(words));
        let is_comment = small.trim_start().starts_with(COMMENT_STARTS);
        line.contains(REDACTED) || is_comment && dots && words
    };
    new.lines()
        .filter(stands_for_more)
        .find(|line| !before.contains(line.trim()))
}

/// One replacement that a model asks for.
struct Edit<'call> {
    path: &'call Path,
    search: &'call str,
    replace: &'call str,
}

/// What an edit comes to.
enum Placed {
    /// The text after it.
    Changed(String),
    /// It was applied before, at this line.
    Already(usize),
}

impl Edit<'_> {
    fn placed(&self, before: &str) -> Result<Placed, Error> {
        let body = before.strip_prefix(BYTE_ORDER_MARK).unwrap_or(before);
        match locate_as_shown(self.path, body, self.search, self.replace) {
            Ok(located) => self.checked(before, body, &located),
            Err(NoPlace::AlreadyApplied { line }) => Ok(Placed::Already(line)),
            Err(refusal) => Err(Error::Edit(refusal.to_string())),
        }
    }

    fn checked(&self, before: &str, body: &str, located: &Located) -> Result<Placed, Error> {
        let after = spliced(before, body, located);
        if !located.exact && parses_worse(self.path, before, &after) {
            return Err(Error::Edit(
                "with this edit the file would not parse, and the search text is not exact: quote it exactly"
                    .to_owned(),
            ));
        }
        Ok(Placed::Changed(after))
    }

    /// Of a version that nobody knows: only a quote that is exact is certain.
    fn placed_exactly(&self, before: &str) -> Result<Placed, Error> {
        let body = before.strip_prefix(BYTE_ORDER_MARK).unwrap_or(before);
        match locate_as_shown(self.path, body, self.search, self.replace) {
            Ok(located) if !located.exact => Err(Error::Edit(format!(
                "the file is not what you read (version {}) and the search text is not exact: read it again",
                stamp(before)
            ))),
            _ => self.placed(before),
        }
    }

    /// Places the edit in the text that was read, and brings in what happened to the file since.
    fn rebased(&self, base: &Base, before: &str) -> Result<Placed, Error> {
        let edited = match self.placed(&base.text) {
            Ok(Placed::Changed(edited)) => edited,
            // Who names an old version may still quote the newest text.
            Ok(Placed::Already(_)) | Err(_) => return self.placed_exactly(before),
        };
        let Merge::Clean(merged) = merge(&base.text, &edited, before) else {
            return Err(Error::Edit(moved(self.path, before)));
        };
        if merged == before {
            return self.placed_exactly(before);
        }
        let body = before.strip_prefix(BYTE_ORDER_MARK).unwrap_or(before);
        let is_certain = match locate_as_shown(self.path, body, self.search, self.replace) {
            // The quote must not point elsewhere in the text as it is.
            Ok(located) => spliced(before, body, &located) == merged,
            Err(NoPlace::AlreadyApplied { line }) => return Ok(Placed::Already(line)),
            // What was quoted around the place is out of date, the place itself is as it was read.
            Err(NoPlace::Missing { .. }) => !parses_worse(self.path, before, &merged),
            Err(_) => false,
        };
        if is_certain {
            Ok(Placed::Changed(merged))
        } else {
            Err(Error::Edit(moved(self.path, before)))
        }
    }
}

fn moved(path: &Path, before: &str) -> String {
    format!(
        "{} was changed at the same place since you read it (its version is {} now): read it again",
        path.display(),
        stamp(before)
    )
}

/// The text after the edit, with its byte order mark and with or without a final newline as before.
fn spliced(before: &str, body: &str, located: &Located) -> String {
    let mut after = body.to_owned();
    after.replace_range(located.range.clone(), &located.replacement);
    like(before, &after)
}

/// A text with the byte order mark, the line ends and the final newline of the text that it takes the place of.
pub(super) fn like(before: &str, after: &str) -> String {
    let body = before.strip_prefix(BYTE_ORDER_MARK).unwrap_or(before);
    let after = after.strip_prefix(BYTE_ORDER_MARK).unwrap_or(after);
    let mut after = with_line_endings_of(body, after).into_owned();
    let had_end = body.ends_with('\n');
    if had_end && !after.is_empty() && !after.ends_with('\n') {
        after.push_str(if body.ends_with("\r\n") { "\r\n" } else { "\n" });
    } else if !had_end && !body.is_empty() && after.ends_with('\n') {
        let kept = after.trim_end_matches(['\r', '\n']).len();
        after.truncate(kept);
    }
    if before.len() > body.len() {
        after.insert(0, BYTE_ORDER_MARK);
    }
    after
}

pub(super) fn parses_worse(path: &Path, before: &str, after: &str) -> bool {
    let count = |text: &str| syntax::error_count(path, text).unwrap_or(0);
    count(after) > count(before)
}

pub(super) fn edited(path: PathBuf, after: String, before: &str) -> Output {
    let changed = if before.is_empty() {
        "created".to_owned()
    } else {
        let same = before.lines().zip(after.lines());
        let first = same.take_while(|(before, after)| before == after).count() + 1;
        let (now, then) = (after.lines().count(), before.lines().count());
        let (length, how) = match now.checked_sub(then) {
            Some(added) => (added, "longer"),
            None => (then - now, "shorter"),
        };
        format!("from line {first}, {length} lines {how}")
    };
    let mut data = json!({ "path": path, "version": stamp(&after), "changed": changed });
    if parses_worse(&path, before, &after)
        && let Value::Object(facts) = &mut data
    {
        let warning = "the file does not parse as it is now";
        facts.insert("warning".to_owned(), warning.into());
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
