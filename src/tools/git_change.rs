//! `git_commit`, `git_push` and what else changes the repository (spec: Git Tool).
//!
//! What a run proposes is in no file before it is delivered, so a commit or a branch is a [`Wish`]: it is carried out
//! when the files have changed, with exactly the run's changes. A push sends commits that exist, and asks each time.

use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::arguments::{self, text};
use super::fs::parameter;
use super::{Context, Error, Kind, Output, Parameter, ReturnType, Tool};
use crate::config::host::Host;
use crate::egress::address;
use crate::event::RunEvent;
use crate::permit::{Action, Purpose};
use crate::process::{self, Limits};
use crate::safety;
use crate::vcs::push::{self, Place, Push, Way};
use crate::vcs::repository;
use crate::vcs::ssh::{self, Route};

/// Bytes of the message of a commit.
const MESSAGE_BYTES_MAX: usize = 8 * 1024;

/// Files that a commit names one by one.
const FILES_MAX: usize = 1_000;

/// Time that `ssh` has to say where it would go, and bytes of that.
const SSH_TIMEOUT: Duration = Duration::from_secs(10);
const SSH_BYTES_MAX: usize = 64 * 1024;

/// What is to be done to the repository once the files are changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// Commit files.
    Commit {
        /// The message.
        message: String,
        /// The files, relative to the workspace.
        files: Vec<PathBuf>,
    },
    /// Make a branch, and go to it.
    Branch {
        /// Its name.
        name: String,
    },
}

impl Wish {
    /// The action that it is, in the workspace at `root`.
    pub fn action(&self, root: &Path) -> Action {
        let directory = root.to_owned();
        match self {
            Self::Commit { message, files } => Action::Commit {
                directory,
                message: message.clone(),
                files: files.clone(),
            },
            Self::Branch { name } => Action::Branch {
                directory,
                name: name.clone(),
            },
        }
    }
}

/// Changes of the repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GitChange {
    /// Commits files.
    Commit,
    /// Sends commits to another machine.
    Push,
}

#[async_trait]
impl Tool for GitChange {
    fn name(&self) -> &'static str {
        match self {
            Self::Commit => "git_commit",
            Self::Push => "git_push",
        }
    }

    fn description(&self) -> &'static str {
        match self {
            Self::Commit => "Commits your edits once they are in the files.",
            Self::Push => "Pushes the commits of a branch. Asks the user.",
        }
    }

    fn parameters(&self) -> Vec<Parameter> {
        match self {
            Self::Commit => vec![
                parameter("message", Kind::Text, true, ""),
                parameter("files", Kind::Text, false, "One a line. Default: all."),
            ],
            Self::Push => vec![
                parameter("branch", Kind::Text, false, "Default: this one."),
                parameter("remote", Kind::Text, false, ""),
            ],
        }
    }

    fn returns(&self) -> ReturnType {
        let description = match self {
            Self::Commit => "files (that will be in the commit)",
            Self::Push => "branch, commit, url, and what git said",
        };
        ReturnType {
            description: description.to_owned(),
        }
    }

    fn hindrance(&self, context: &Context<'_>) -> Option<&'static str> {
        super::git::hindrance(context)
    }

    fn validate(&self, given: &Value) -> Result<(), Error> {
        arguments::check(&self.parameters(), given)?;
        let message = text(given, "message");
        if *self == Self::Commit && (message.trim().is_empty() || message.len() > MESSAGE_BYTES_MAX)
        {
            let said =
                format!("`message` has to say something, in up to {MESSAGE_BYTES_MAX} bytes");
            return Err(Error::Arguments(said));
        }
        Ok(())
    }

    fn actions(&self, arguments: &Value, context: &Context<'_>) -> Vec<Action> {
        let root = context.staging.root();
        match self {
            Self::Commit => {
                let files = files(arguments, context);
                let read = files.iter().map(|file| Action::ReadFile {
                    path: root.join(file),
                });
                let read: Vec<Action> = read.collect();
                let wish = wish(arguments, files);
                read.into_iter().chain([wish.action(root)]).collect()
            }
            // What cannot be pushed is said by `execute`.
            Self::Push => planned(arguments, context)
                .map(|push| vec![action(&push, root)])
                .unwrap_or_default(),
        }
    }

    async fn execute(&self, context: &Context<'_>, arguments: &Value) -> Result<Output, Error> {
        match self {
            Self::Commit => commit(context, arguments),
            Self::Push => push(context, arguments).await,
        }
    }
}

fn wish(arguments: &Value, files: Vec<PathBuf>) -> Wish {
    Wish::Commit {
        message: text(arguments, "message").trim().to_owned(),
        files,
    }
}

/// The files that are meant: those that are named, or all that were changed.
fn files(arguments: &Value, context: &Context<'_>) -> Vec<PathBuf> {
    let named = text(arguments, "files");
    if named.trim().is_empty() {
        let proposed = context.staging.proposed();
        return proposed.files.keys().cloned().collect();
    }
    let lines = named.lines().map(str::trim).filter(|line| !line.is_empty());
    let mut files: Vec<PathBuf> = lines
        .map(|line| {
            let relative = context.staging.relative(Path::new(line));
            relative.unwrap_or_else(|| PathBuf::from(line))
        })
        .collect();
    files.sort();
    files.dedup();
    files
}

fn commit(context: &Context<'_>, arguments: &Value) -> Result<Output, Error> {
    let files = files(arguments, context);
    let is_plain = |file: &PathBuf| {
        let mut parts = file.components();
        parts.all(|part| matches!(part, Component::Normal(_)))
    };
    if let Some(outside) = files.iter().find(|file| !is_plain(file)) {
        let said = format!("{} is not in the workspace", outside.display());
        return Err(Error::Arguments(said));
    }
    if files.len() > FILES_MAX {
        let said = format!("more than {FILES_MAX} files: commit some of them");
        return Err(Error::Arguments(said));
    }
    if files.is_empty() {
        let said = if context.is_by_hand {
            "there is nothing to commit: name the files, one a line, in `files`"
        } else {
            "there is nothing to commit: change files first"
        };
        return Err(Error::Unavailable(said.to_owned()));
    }
    let proposed = context.staging.proposed();
    let is_other = |file: &&PathBuf| !context.is_by_hand && !proposed.files.contains_key(*file);
    if let Some(other) = files.iter().find(is_other) {
        let said = format!(
            "{} is not among your edits, and only those are committed",
            other.display()
        );
        return Err(Error::Unavailable(said));
    }
    let message = text(arguments, "message");
    if context.redactor.clean(message) != message {
        let said = "the message holds what looks like a secret: write it without";
        return Err(Error::Arguments(said.to_owned()));
    }
    Ok(Output {
        data: json!({
            "files": files.len(),
            "after": "they are committed when your edits are in the files",
        }),
        wishes: vec![wish(arguments, files)],
        ..Output::default()
    })
}

fn planned(arguments: &Value, context: &Context<'_>) -> Result<Push, Error> {
    let (remote, branch) = (text(arguments, "remote"), text(arguments, "branch"));
    let plan = push::plan(context.staging.root(), remote.trim(), branch.trim());
    plan.map_err(unavailable)
}

fn unavailable(error: repository::Error) -> Error {
    match error {
        repository::Error::Unsure(reason) => Error::Unsure(reason),
        other => Error::Unavailable(other.to_string()),
    }
}

fn action(push: &Push, root: &Path) -> Action {
    Action::Spawn {
        purpose: Purpose::Git,
        program: "git".into(),
        arguments: push.arguments(),
        directory: root.to_owned(),
    }
}

async fn push(context: &Context<'_>, arguments: &Value) -> Result<Output, Error> {
    let push = planned(arguments, context)?;
    let root = context.staging.root();
    // The branch may have moved while somebody was asked: then this is another push.
    let permit = context.permit(&action(&push, root))?;
    let host = context.host.ok_or_else(|| {
        let said = "commits cannot be pushed from here";
        Error::Unavailable(said.to_owned())
    })?;
    let way = way(context, host, &push).await?;
    let done = push::push(host, root, permit, &push, &way).await;
    let said = done.map_err(unavailable)?;
    Ok(Output {
        data: json!({ "branch": push.branch, "commit": push.commit, "url": push.url }),
        text: (!said.is_empty()).then(|| ("what git said".to_owned(), said)),
        events: vec![RunEvent::Pushed {
            commit: push.commit,
            branch: push.branch,
            url: push.url,
        }],
        ..Output::default()
    })
}

/// Where a push goes, with every address judged.
async fn way(context: &Context<'_>, host: &Host, push: &Push) -> Result<Way, Error> {
    let place = Place::parse(&push.url).map_err(Error::Unavailable)?;
    let route = route(host, context.staging.root(), push).await;
    let url = match &route {
        Some(Route { host, port, .. }) => format!("ssh://{host}:{port}/"),
        None => place.url(),
    };
    let parsed = lsp_types::Url::parse(&url);
    let parsed = parsed.map_err(|error| Error::Unavailable(format!("`{url}`: {error}")))?;
    let addresses = address::judged(context.policy, &parsed).await;
    let addresses = addresses.map_err(|error| Error::Unavailable(error.to_string()))?;
    let ssh = route.zip(addresses.first());
    let ssh = ssh.map(|(route, address)| route.options(address.ip()));
    Ok(Way {
        addresses,
        ssh: ssh.unwrap_or_default(),
    })
}

/// Where `ssh` would go, when it says so.
async fn route(host: &Host, folder: &Path, push: &Push) -> Option<Route> {
    let command = ssh::question(host, folder, push)?;
    // The user's own program, which the push starts as well.
    let permit = safety::permit_user_program(
        Purpose::Probe,
        command.program.clone(),
        command.arguments.clone(),
        command.directory.clone(),
    );
    let limits = Limits {
        timeout: SSH_TIMEOUT,
        output_bytes_max: SSH_BYTES_MAX,
    };
    let finished = process::run(&command, &permit, b"", limits).await.ok()?;
    let said = String::from_utf8_lossy(&finished.stdout);
    Route::read(&said).filter(|_| finished.success())
}
