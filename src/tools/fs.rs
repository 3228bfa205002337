//! `read_file`, `list_files` and `delete_file` (spec: File System Tool).

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::arguments::{self, number, text};
use super::page::{PAGE_BYTES_MAX, page};
use super::{Change, Context, Error, Kind, Output, Parameter, ReturnType, Tool};
use crate::permit::Action;
use crate::prompt::escape;
use crate::text::bases::Seen;
use crate::text::listing::{self, Entry, Listing};
use crate::text::staging::stamp;

/// Lines that one `read_file` gives.
const READ_LINES_MAX: usize = 400;

/// Levels of folders that one listing shows.
const LEVELS_MAX: usize = 8;

/// Reads lines of a file.
#[derive(Debug, Clone, Copy)]
pub struct ReadFile;

/// Lists what is in a folder.
#[derive(Debug, Clone, Copy)]
pub struct ListFiles;

/// Removes a file.
#[derive(Debug, Clone, Copy)]
pub struct DeleteFile;

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
            parameter("path", Kind::Text, true, "Relative to the workspace."),
            parameter("start_line", Kind::Integer, false, "From 1."),
            parameter("end_line", Kind::Integer, false, ""),
        ]
    }

    fn returns(&self) -> ReturnType {
        ReturnType {
            description: "path, version (a name of exactly this content), lines, and the text"
                .to_owned(),
        }
    }

    fn only_looks(&self) -> bool {
        true
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
        if last_asked < first {
            let said = "`end_line` is before `start_line`, and lines are counted from 1";
            return Err(Error::Arguments(said.to_owned()));
        }
        if first > lines.len() && !lines.is_empty() {
            let count = lines.len();
            return Err(Error::Arguments(format!("the file has {count} lines")));
        }
        let last = last_shown(&lines, first, last_asked);
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
            read: Some(Seen {
                path,
                text: Arc::clone(&whole),
                lines: first - 1..last,
            }),
            ..Output::default()
        })
    }
}

/// The last line that is shown: what was asked for, as far as one page goes.
fn last_shown(lines: &[&str], first: usize, last_asked: usize) -> usize {
    let mut bytes = 0;
    let fits = |line: &&&str| {
        bytes += escape(line).len();
        bytes <= PAGE_BYTES_MAX
    };
    let shown = lines.iter().skip(first - 1).take(READ_LINES_MAX);
    let count = shown.take_while(fits).count().max(1);
    last_asked.min(first + count - 1).min(lines.len())
}

#[async_trait]
impl Tool for ListFiles {
    fn name(&self) -> &'static str {
        "list_files"
    }

    fn description(&self) -> &'static str {
        "Lists a folder."
    }

    fn parameters(&self) -> Vec<Parameter> {
        vec![
            parameter("path", Kind::Text, false, "Default: the workspace."),
            parameter("depth", Kind::Integer, false, "Levels. Default: 1."),
            parameter("from", Kind::Integer, false, ""),
        ]
    }

    fn returns(&self) -> ReturnType {
        ReturnType {
            description: "entries (a count) and their paths, those of folders with a slash"
                .to_owned(),
        }
    }

    fn actions(&self, arguments: &Value, context: &Context<'_>) -> Vec<Action> {
        vec![Action::ReadFile {
            path: absolute(arguments, context),
        }]
    }

    fn validate(&self, given: &Value) -> Result<(), Error> {
        arguments::check(&self.parameters(), given)?;
        arguments::at_least_one(given, "depth")
    }

    async fn execute(&self, context: &Context<'_>, arguments: &Value) -> Result<Output, Error> {
        let root = context.staging.root();
        let given = Path::new(text(arguments, "path"));
        let is_root = given == root || given.components().all(|part| part == Component::CurDir);
        let folder = if is_root {
            PathBuf::new()
        } else {
            relative(arguments, context)?
        };
        let depth = number(arguments, "depth").unwrap_or(1);
        let listing = Listing {
            folder: folder.clone(),
            depth: Some(depth.clamp(1, LEVELS_MAX)),
            hidden: true,
        };
        let (staging, policy) = (context.staging.clone(), context.policy.clone());
        let listing = tokio::task::spawn_blocking(move || {
            listing::list(&staging, &listing, |path| policy.is_readable(path))
        });
        let entries = listing
            .await
            .map_err(|error| Error::Unavailable(format!("the listing broke off: {error}")))?;
        if entries.is_empty() && !root.join(&folder).is_dir() {
            let missing = format!("{} is not a folder", folder.display());
            return Err(Error::Arguments(missing));
        }
        let line = |entry: &Entry| {
            let end = if entry.is_folder { "/" } else { "" };
            format!("{}{end}", entry.path.display())
        };
        let lines: Vec<String> = entries.iter().map(line).collect();
        let (shown, more) = page(&lines, number(arguments, "from").unwrap_or(0));
        Ok(Output {
            data: json!({ "entries": lines.len() }),
            text: Some(("files".to_owned(), shown)),
            more,
            ..Output::default()
        })
    }
}

#[async_trait]
impl Tool for DeleteFile {
    fn name(&self) -> &'static str {
        "delete_file"
    }

    fn description(&self) -> &'static str {
        "Deletes a text file."
    }

    fn parameters(&self) -> Vec<Parameter> {
        vec![parameter("path", Kind::Text, true, "")]
    }

    fn returns(&self) -> ReturnType {
        ReturnType {
            description: "the path that was deleted".to_owned(),
        }
    }

    fn actions(&self, arguments: &Value, context: &Context<'_>) -> Vec<Action> {
        vec![Action::DeleteFile {
            path: absolute(arguments, context),
        }]
    }

    async fn execute(&self, context: &Context<'_>, arguments: &Value) -> Result<Output, Error> {
        let path = relative(arguments, context)?;
        context.staging.read(&path)?;
        Ok(Output {
            data: json!({ "deleted": path }),
            changes: vec![Change { path, after: None }],
            ..Output::default()
        })
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
