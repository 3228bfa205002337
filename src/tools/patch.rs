//! `apply_patch`: changes of several files, all of them or none (spec: File System Tool).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::arguments::text;
use super::edit::{BYTE_ORDER_MARK, like, parses_worse};
use super::fs::parameter;
use super::quote::locate_as_shown;
use super::{Change, Context, Error, Kind, Output, Parameter, ReturnType, Tool};
use crate::permit::Action;
use crate::prompt::unescape;
use crate::text::edit::Mode;
use crate::text::patch::{Applied, FileChange, FilePatch, Hunk, apply, parse};
use crate::text::staging::{ReadError, stamp};

/// Applies a patch.
#[derive(Debug, Clone, Copy)]
pub struct ApplyPatch;

#[async_trait]
impl Tool for ApplyPatch {
    fn name(&self) -> &'static str {
        "apply_patch"
    }

    fn description(&self) -> &'static str {
        "Changes several files, all or none: `*** Begin Patch`, a unified diff, or SEARCH/REPLACE blocks. Each hunk \
         needs enough context to be unique."
    }

    fn parameters(&self) -> Vec<Parameter> {
        vec![parameter("patch", Kind::Text, true, "")]
    }

    fn returns(&self) -> ReturnType {
        ReturnType {
            description: "what happened to each file, with its new version".to_owned(),
        }
    }

    fn actions(&self, arguments: &Value, context: &Context<'_>) -> Vec<Action> {
        let whole = text(arguments, "patch");
        let mut actions = Vec::new();
        for file in parse(whole).unwrap_or_default() {
            let root = context.staging.root();
            let place = |path: &str| {
                let used = context.staging.relative(Path::new(path));
                root.join(used.as_deref().unwrap_or(Path::new(path)))
            };
            let path = place(&file.path);
            actions.push(Action::ReadFile { path: path.clone() });
            let known = std::fs::metadata(&path).map_or(0, |known| known.len());
            let bytes = known + whole.len() as u64;
            match file.change {
                FileChange::Create(_)
                | FileChange::CreateProgram(_)
                | FileChange::Update { to: None, .. } => {
                    actions.push(Action::WriteFile { path, bytes });
                }
                FileChange::Delete { .. } => actions.push(Action::DeleteFile { path }),
                FileChange::Update { to: Some(to), .. } => {
                    let to = place(&to);
                    actions.push(Action::ReadFile { path: to.clone() });
                    actions.push(Action::WriteFile { path: to, bytes });
                    actions.push(Action::DeleteFile { path });
                }
            }
        }
        actions
    }

    async fn execute(&self, context: &Context<'_>, arguments: &Value) -> Result<Output, Error> {
        let files =
            parse(text(arguments, "patch")).map_err(|error| Error::Edit(error.to_string()))?;
        let mut desk = Sheet {
            context,
            after: BTreeMap::new(),
            modes: BTreeMap::new(),
            told: Vec::new(),
        };
        for file in &files {
            desk.change(file)?;
        }
        let Sheet {
            after, modes, told, ..
        } = desk;
        let changes = after
            .into_iter()
            .map(|(path, after)| Change { path, after });
        Ok(Output {
            data: json!({ "files": told.join("; ") }),
            changes: changes.collect(),
            modes: modes.into_iter().collect(),
            ..Output::default()
        })
    }
}

/// The files that a patch has changed so far.
struct Sheet<'call> {
    context: &'call Context<'call>,
    after: BTreeMap<PathBuf, Option<Arc<str>>>,
    modes: BTreeMap<PathBuf, Mode>,
    told: Vec<String>,
}

impl Sheet<'_> {
    fn change(&mut self, file: &FilePatch) -> Result<(), Error> {
        let path = self.relative(&file.path)?;
        let shown = path.display().to_string();
        match &file.change {
            FileChange::Create(new) | FileChange::CreateProgram(new) => match self.read(&path) {
                Err(Error::Read(ReadError::Missing(_))) => {
                    if matches!(file.change, FileChange::CreateProgram(_)) {
                        self.modes.insert(path.clone(), Mode::Program);
                    }
                    self.put(path, Some(new.as_str().into()), "created");
                }
                Ok(before) if &*before == new => self.told.push(format!("{shown} is so already")),
                Ok(before) if before.is_empty() => {
                    self.put(path, Some(new.as_str().into()), "written");
                }
                Ok(_) => {
                    return Err(Error::Edit(format!(
                        "{shown} exists already, so nothing was changed: quote what to replace in it"
                    )));
                }
                Err(error) => return Err(error),
            },
            FileChange::Delete { text } => {
                let before = self.read(&path)?;
                if text
                    .as_deref()
                    .is_some_and(|text| !is_all_of(text, &before))
                {
                    return Err(Error::Edit(format!(
                        "{shown} has another text than the patch removes, so nothing was changed: read it again"
                    )));
                }
                self.put(path, None, "deleted");
            }
            FileChange::Update { to, hunks } => {
                let before = self.read(&path)?;
                let applied = updated(&path, &before, hunks)?;
                let after: Arc<str> = like(&before, &applied.text).into();
                if let Some(to) = to {
                    let to = self.relative(to)?;
                    if !matches!(self.read(&to), Err(Error::Read(ReadError::Missing(_)))) {
                        let taken = to.display();
                        return Err(Error::Edit(format!(
                            "{shown} cannot move to {taken}, which exists: nothing was changed"
                        )));
                    }
                    let mode = self.modes.remove(&path);
                    let mode = mode.unwrap_or_else(|| Mode::Of(path.clone()));
                    self.modes.insert(to.clone(), mode);
                    self.put(path, None, "moved");
                    self.put(to, Some(after), "made of it");
                } else if after == before {
                    self.told.push(format!("{shown} is so already"));
                } else {
                    let how = match applied.already {
                        0 => "changed".to_owned(),
                        count => format!("changed ({count} hunks were applied already)"),
                    };
                    self.put(path, Some(after), &how);
                }
            }
        }
        Ok(())
    }

    fn put(&mut self, path: PathBuf, after: Option<Arc<str>>, how: &str) {
        let shown = path.display();
        let version = after
            .as_ref()
            .map(|after| format!(", version {}", stamp(after)));
        self.told
            .push(format!("{shown} {how}{}", version.unwrap_or_default()));
        self.after.insert(path, after);
    }

    fn read(&self, path: &Path) -> Result<Arc<str>, Error> {
        match self.after.get(path) {
            Some(Some(text)) => Ok(Arc::clone(text)),
            Some(None) => Err(ReadError::Missing(path.to_owned()).into()),
            None => Ok(self.context.staging.read(path)?),
        }
    }

    fn relative(&self, path: &str) -> Result<PathBuf, Error> {
        let used = self.context.staging.relative(Path::new(path));
        used.ok_or_else(|| {
            Error::Arguments(format!(
                "`{path}` is not the path of a file in the workspace"
            ))
        })
    }
}

/// Whether lines that go are all that a file has.
fn is_all_of(lines: &str, text: &str) -> bool {
    let body = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    let rows = |text: &'_ str| text.replace("\r\n", "\n").trim_end_matches('\n').to_owned();
    rows(lines) == rows(body)
}

/// The text of a file after every hunk, if it parses no worse or nothing was guessed.
fn updated(path: &Path, before: &str, hunks: &[Hunk]) -> Result<Applied, Error> {
    let body = before.strip_prefix(BYTE_ORDER_MARK).unwrap_or(before);
    let is_shown = |escaped: &str, plain: &str| body.contains(plain) && !body.contains(escaped);
    let hunks: Vec<Hunk> = hunks
        .iter()
        .cloned()
        .map(|mut hunk| {
            if hunk.before.is_empty() {
                hunk.after = unescape(&hunk.after, is_shown).into_owned();
            }
            hunk
        })
        .collect();
    let shown = path.display();
    let applied = apply(body, &hunks, |text, before, after| {
        locate_as_shown(path, text, before, after)
    });
    let applied =
        applied.map_err(|error| Error::Edit(format!("{shown}: {error}\nNothing was changed.")))?;
    if !applied.exact && parses_worse(path, before, &applied.text) {
        return Err(Error::Edit(format!(
            "{shown} would not parse any more, and not every hunk is exact, so nothing was changed: quote exactly"
        )));
    }
    Ok(applied)
}
