//! `git_status`, `git_diff`, `git_log` and `git_branch` (spec: Git Tool).
//!
//! Repositories are read in process: no hook, filter, alias or setting of theirs is ever run.

use std::fmt::Write as _;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::arguments::{self, number, text};
use super::fs::parameter;
use super::git_change::Wish;
use super::{Context, Error, Kind, Output, Parameter, ReturnType, Tool};
use crate::permit::Action;
use crate::text::edit::EditSet;
use crate::text::walk::{DirEntry, Dotted, walk};
use crate::vcs::submodule::{Found as Within, Submodule};
use crate::vcs::{self, Change, Tracked};

/// Commits that a log shows when nothing else is asked for, and at most.
const COMMITS: usize = 20;
const COMMITS_MAX: usize = 500;

/// Reads of version control.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GitRead {
    /// What differs from the last commit.
    Status,
    /// How it differs.
    Diff,
    /// The last commits.
    Log,
    /// The branches.
    Branch,
}

#[async_trait]
impl Tool for GitRead {
    fn name(&self) -> &'static str {
        match self {
            Self::Status => "git_status",
            Self::Diff => "git_diff",
            Self::Log => "git_log",
            Self::Branch => "git_branch",
        }
    }

    fn description(&self) -> &'static str {
        match self {
            Self::Status => "Lists files that differ from the last commit.",
            Self::Diff => "Shows what differs from the last commit, with your edits.",
            Self::Log => "Lists the last commits.",
            Self::Branch => "Lists branches, or goes to a new one.",
        }
    }

    fn parameters(&self) -> Vec<Parameter> {
        match self {
            Self::Diff => vec![parameter("path", Kind::Text, false, "Only this file.")],
            Self::Log => vec![parameter("count", Kind::Integer, false, "Default: 20.")],
            Self::Branch => vec![parameter("create", Kind::Text, false, "Its name.")],
            Self::Status => Vec::new(),
        }
    }

    fn returns(&self) -> ReturnType {
        let description = match self {
            Self::Status => "branch, and a line for each file",
            Self::Diff => "files, and the unified diff",
            Self::Log => "commits, and a line for each",
            Self::Branch => "current, and the names",
        };
        ReturnType {
            description: description.to_owned(),
        }
    }

    fn hindrance(&self, context: &Context<'_>) -> Option<&'static str> {
        hindrance(context)
    }

    fn only_looks(&self) -> bool {
        *self != Self::Branch
    }

    fn validate(&self, given: &Value) -> Result<(), Error> {
        arguments::check(&self.parameters(), given)?;
        arguments::at_least_one(given, "count")?;
        let name = text(given, "create");
        match vcs::undoing::name_fault(name).filter(|_| !name.is_empty()) {
            Some(fault) => Err(Error::Arguments(format!("`{name}`: {fault}"))),
            None => Ok(()),
        }
    }

    fn actions(&self, arguments: &Value, context: &Context<'_>) -> Vec<Action> {
        let root = context.staging.root();
        if let Some(wish) = self.wish(arguments) {
            return vec![wish.action(root)];
        }
        let path = text(arguments, "path");
        let path = if path.is_empty() {
            root.join(".git/HEAD")
        } else {
            root.join(path)
        };
        vec![Action::ReadFile { path }]
    }

    async fn execute(&self, context: &Context<'_>, arguments: &Value) -> Result<Output, Error> {
        if let Some(wish) = self.wish(arguments) {
            return Ok(Output {
                data: json!({ "after": "it is made when your edits are in the files" }),
                wishes: vec![wish],
                ..Output::default()
            });
        }
        let found = match self {
            Self::Status => status(context),
            Self::Diff => diff(context, text(arguments, "path")),
            Self::Log => log(context, number(arguments, "count")),
            Self::Branch => branches(context),
        };
        let (data, label, listing) = found?;
        Ok(Output {
            data,
            text: (!listing.is_empty()).then(|| (label.to_owned(), listing)),
            ..Output::default()
        })
    }
}

/// Why nothing can be done with version control here.
pub(super) fn hindrance(context: &Context<'_>) -> Option<&'static str> {
    if !context.settings.git.enabled {
        return Some("is switched off (tools.git.enabled)");
    }
    let root = vcs::root_of(context.staging.root());
    root.is_none()
        .then_some("has nothing to work on: the workspace is in no repository of git")
}

impl GitRead {
    /// What is to be done, when that is more than looking.
    fn wish(self, arguments: &Value) -> Option<Wish> {
        let name = text(arguments, "create");
        (self == Self::Branch && !name.is_empty()).then(|| Wish::Branch {
            name: name.to_owned(),
        })
    }
}

type Found = Result<(Value, &'static str, String), Error>;

impl From<vcs::Error> for Error {
    fn from(error: vcs::Error) -> Self {
        Self::Unavailable(error.to_string())
    }
}

fn status(context: &Context<'_>) -> Found {
    let root = context.staging.root();
    let status = vcs::status(root)?;
    let mut listing = String::new();
    let mut tell = |what: &str, path: &Path, more: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(listing, "{what} {}{more}", path.display());
    };
    for path in &status.conflicts {
        tell("conflict", path, "");
    }
    for (path, change) in &status.staged {
        tell(&format!("staged: {}", word(*change)), path, "");
    }
    for (path, change) in &status.unstaged {
        let submodule = status.submodules.get(path);
        tell(
            word(*change),
            path,
            submodule.map_or("", |it| within(it.found)),
        );
    }
    let submodules = status.submodules.iter();
    for (path, _) in submodules.filter(|(_, it)| is_unknown(it)) {
        tell("not looked into:", path, within(Within::NotLookedInto));
    }
    let untracked = untracked(context)?;
    for path in &untracked {
        tell("not tracked:", path, "");
    }
    for path in context.staging.proposed().files.keys() {
        tell("edited by you:", path, "");
    }
    let mut data = json!({
        "branch": current(root)?,
        "staged": status.staged.len(),
        "changed": status.unstaged.len(),
        "not_tracked": untracked.len(),
    });
    if let Some(facts) = data.as_object_mut() {
        if let Some(command) = vcs::under_way(root)? {
            facts.insert("in_progress".to_owned(), command.into());
        }
        if !status.conflicts.is_empty() {
            facts.insert("conflicts".to_owned(), status.conflicts.len().into());
        }
    }
    Ok((data, "files", listing))
}

/// What is worked on: a branch, or the commit that HEAD names.
fn current(root: &Path) -> Result<Option<String>, Error> {
    let branch = vcs::branches(root)?.current;
    if branch.is_some() {
        return Ok(branch);
    }
    let id = vcs::head(root)?;
    Ok(id.map(|id| format!("detached at {}", id.get(..12).unwrap_or(&id))))
}

/// What is said of a submodule behind its path.
fn within(found: Within) -> &'static str {
    match found {
        Within::OtherCommit => " (submodule: another commit is checked out)",
        Within::ChangedFiles => " (submodule: files in it)",
        Within::AsStaged | Within::Missing | Within::NotLookedInto => " (submodule)",
    }
}

fn is_unknown(submodule: &Submodule) -> bool {
    submodule.found == Within::NotLookedInto
}

fn word(change: Change) -> &'static str {
    match change {
        Change::Added => "added",
        Change::Changed => "changed",
        Change::Removed => "removed",
    }
}

/// Files that git neither tracks nor ignores.
fn untracked(context: &Context<'_>) -> Result<Vec<PathBuf>, Error> {
    let root = context.staging.root();
    let tracked = Tracked::read(root)?;
    let is_own = |entry: &DirEntry| entry.file_name() != ".git";
    let walk = walk(root, root, Dotted::Met, is_own).build();
    let files = walk.flatten().filter(|entry| entry.path().is_file());
    let files = files.filter_map(|entry| entry.path().strip_prefix(root).ok().map(Path::to_owned));
    Ok(files.filter(|path| !tracked.contains(path)).collect())
}

/// What differs from the last commit, as the agent sees the files.
fn diff(context: &Context<'_>, only: &str) -> Found {
    let root = context.staging.root();
    let status = vcs::status(root)?;
    let changed = status.staged.keys().chain(status.unstaged.keys());
    let changed = changed.chain(&status.conflicts);
    let changed = changed.chain(context.staging.proposed().files.keys());
    let mut paths: Vec<PathBuf> = changed.cloned().collect();
    paths.sort();
    paths.dedup();
    let only = named(context, only)?;
    let mut new = Vec::new();
    if let Some(only) = &only {
        paths.retain(|path| path.starts_with(only));
        new = new_in(context, only)?;
        if paths.is_empty() && new.is_empty() {
            has_something(context, only)?;
        }
        // A file that was asked for is shown, also where git does not know it yet.
        paths.extend(new.iter().filter(|path| *path == only).cloned());
        paths.dedup();
    }
    let mut edits = EditSet::default();
    let mut left_out = status
        .submodules
        .values()
        .filter(|it| is_unknown(it))
        .count();
    for path in paths {
        if !context.policy.is_readable(&root.join(&path)) {
            left_out += 1;
            continue;
        }
        if let Some(submodule) = status.submodules.get(&path) {
            let (before, after) = commits(submodule);
            edits.record(path, before, after);
            continue;
        }
        let before = vcs::at_head(root, &path)?.map(String::from_utf8);
        match before.transpose() {
            Ok(before) => {
                let after = context.staging.read(&path).ok();
                edits.record(path, before.map(Into::into), after);
            }
            Err(_) => left_out += 1,
        }
    }
    let mut data = json!({ "files": edits.files.len() });
    if let Some(facts) = data.as_object_mut() {
        for (name, count) in [("left_out", left_out), ("not_tracked", new.len())] {
            if count > 0 {
                facts.insert(name.to_owned(), count.into());
            }
        }
    }
    Ok((data, "diff", edits.unified_diff()))
}

/// The file or folder that was named, relative to the workspace; `None` for all of it.
fn named(context: &Context<'_>, only: &str) -> Result<Option<PathBuf>, Error> {
    let is_dot = |part| part == Component::CurDir;
    let path = Path::new(only);
    if path.components().all(is_dot) || path == context.staging.root() {
        return Ok(None);
    }
    let relative = context.staging.relative(path);
    let outside = || Error::Arguments(format!("`{only}` is not in the workspace"));
    relative.map(Some).ok_or_else(outside)
}

/// The files at a place that git does not track: also one that it ignores, where that is the place.
fn new_in(context: &Context<'_>, only: &Path) -> Result<Vec<PathBuf>, Error> {
    let root = context.staging.root();
    if root.join(only).is_file() {
        let is_tracked = Tracked::read(root)?.contains(only);
        return Ok((!is_tracked).then(|| only.to_owned()).into_iter().collect());
    }
    let untracked = untracked(context)?.into_iter();
    Ok(untracked.filter(|path| path.starts_with(only)).collect())
}

/// Refuses a place where nothing is, neither on the disk nor for git.
fn has_something(context: &Context<'_>, only: &Path) -> Result<(), Error> {
    let root = context.staging.root();
    let tracked = Tracked::read(root)?;
    let is_there = root.join(only).symlink_metadata().is_ok();
    if is_there || tracked.contains(only) || tracked.any_in(only) {
        return Ok(());
    }
    let said = format!(
        "{} is neither on the disk nor in the repository; git_status lists what differs",
        only.display()
    );
    Err(Error::Arguments(said))
}

/// A submodule in the last commit and on the disk, as git writes it in a diff.
fn commits(submodule: &Submodule) -> (Option<Arc<str>>, Option<Arc<str>>) {
    let line = |id: &String, more: &str| Arc::from(format!("Subproject commit {id}{more}\n"));
    let is_changed = submodule.found == Within::ChangedFiles;
    let more = if is_changed { "-dirty" } else { "" };
    (
        submodule.committed.as_ref().map(|id| line(id, "")),
        submodule.checked_out.as_ref().map(|id| line(id, more)),
    )
}

fn log(context: &Context<'_>, count: Option<usize>) -> Found {
    let count = count.unwrap_or(COMMITS).clamp(1, COMMITS_MAX);
    let commits = vcs::log(context.staging.root(), count)?;
    let mut listing = String::new();
    for commit in &commits {
        let id = commit.id.get(..12).unwrap_or(&commit.id);
        let time = jiff::Timestamp::from_second(commit.seconds).unwrap_or_default();
        let day = time.strftime("%Y-%m-%d");
        // Writing to a string cannot fail.
        let _ = writeln!(listing, "{id} {day} {}: {}", commit.author, commit.title);
    }
    Ok((json!({ "commits": commits.len() }), "commits", listing))
}

fn branches(context: &Context<'_>) -> Found {
    let root = context.staging.root();
    let listing = vcs::branches(root)?.local.join("\n");
    Ok((json!({ "current": current(root)? }), "branches", listing))
}
