//! `shell`: a command line in a copy of the workspace (spec: Shell Tool, Execution Protection).
//!
//! The line runs where it can harm nothing: in the shadow, confined, without a network, with limits. What it changes of
//! text files comes back as proposed edits, judged, proven and undone like any other.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::arguments::{flag, number, text};
use super::fs::parameter;
use super::job::{Job, NotRun, Ran, Traces};
use super::reach;
use super::{Context, Error, Kind, Output, Parameter, ReturnType, Tool};
use crate::permit::{Action, Purpose};
use crate::process::launch::Caps;

/// Bytes of output that are kept of one command.
pub(super) const OUTPUT_BYTES_MAX: usize = 1_000_000;

/// Seconds that a command may take when nothing else is asked for, and at most.
const SECONDS: usize = 120;
const SECONDS_MAX: usize = 1800;

/// What everything that a tool runs may use up.
pub(super) const CAPS: Caps = Caps {
    cpu_seconds: Some(3600),
    memory_bytes: Some(8 << 30),
    processes: Some(4096),
    file_bytes: Some(4 << 30),
};

/// Runs a command line.
#[derive(Debug, Clone, Copy)]
pub struct Shell;

#[async_trait]
impl Tool for Shell {
    fn name(&self) -> &'static str {
        "shell"
    }

    fn description(&self) -> &'static str {
        "Runs a bash command line in a copy of the workspace with your edits, without a network. Changed text files \
         become edits of yours. Prefer the other tools for what they do."
    }

    fn parameters(&self) -> Vec<Parameter> {
        vec![
            parameter("command", Kind::Text, true, "The command line."),
            parameter("folder", Kind::Text, false, "Where, in the workspace."),
            parameter("timeout_seconds", Kind::Integer, false, "Default: 120."),
            parameter("background", Kind::Flag, false, ""),
        ]
    }

    fn returns(&self) -> ReturnType {
        ReturnType {
            description: "exit_code, changed (files), and the output; in the background the name of the output".to_owned(),
        }
    }

    fn actions(&self, arguments: &Value, context: &Context<'_>) -> Vec<Action> {
        let folder = folder(context, text(arguments, "folder")).unwrap_or_default();
        vec![Action::Shell {
            command: text(arguments, "command").to_owned(),
            directory: context.staging.root().join(folder),
        }]
    }

    async fn execute(&self, context: &Context<'_>, arguments: &Value) -> Result<Output, Error> {
        let is_background = flag(arguments, "background");
        let usual = if is_background { SECONDS_MAX } else { SECONDS };
        let seconds = number(arguments, "timeout_seconds").unwrap_or(usual);
        let seconds = seconds.clamp(1, SECONDS_MAX);
        // One stream, so that errors stand where they happened.
        let line = format!("exec 2>&1\n{}", text(arguments, "command"));
        let job = Job {
            purpose: Purpose::Shell,
            program: PathBuf::from("bash"),
            arguments: ["--noprofile", "--norc", "-c"]
                .map(str::to_owned)
                .into_iter()
                .chain([line])
                .collect(),
            folder: folder(context, text(arguments, "folder"))?,
            variables: BTreeMap::new(),
            timeout: Duration::from_secs(seconds as u64),
            output_bytes_max: OUTPUT_BYTES_MAX,
            caps: CAPS,
            traces: Traces::Kept,
            watch: context.watch.cloned(),
        };
        if is_background {
            let command = text(arguments, "command");
            let background = &context.outputs.background;
            let name = background.begin(context, command, job).await?;
            let data = json!({ "output": name, "state": "running" });
            return Ok(Output {
                more: Some(format!(
                    "read_output with output = {name} waits for it; it ends with the run at the latest"
                )),
                data,
                ..Output::default()
            });
        }
        let ran = run(context, job).await?;
        Ok(told(ran, seconds))
    }
}

/// Runs a job on the text as it is proposed.
pub(super) async fn run(context: &Context<'_>, job: Job) -> Result<Ran, Error> {
    let ran = attempt(context, job).await;
    ran.map_err(|reason| Error::Unavailable(reason.to_string()))
}

/// The same for who has another program where one is missing.
pub(super) async fn attempt(context: &Context<'_>, job: Job) -> Result<Ran, NotRun> {
    let missing = || NotRun::Failed("nothing here can run programs".to_owned());
    let checker = context.checker.ok_or_else(missing)?;
    let edits = context.staging.proposed().clone();
    checker.run(edits, job).await
}

/// A folder of the workspace, relative to it; empty for the workspace itself.
pub(super) fn folder(context: &Context<'_>, given: &str) -> Result<PathBuf, Error> {
    let given = Path::new(given);
    if given.as_os_str().is_empty() || given == Path::new(".") || given == context.staging.root() {
        return Ok(PathBuf::new());
    }
    let folder = context
        .staging
        .relative(given)
        .ok_or_else(|| Error::Arguments(format!("{} is not in the workspace", given.display())))?;
    let mut proposed = context.staging.proposed().files.keys();
    let is_there = context.staging.root().join(&folder).is_dir()
        || proposed.any(|path| path.starts_with(&folder));
    if is_there {
        Ok(folder)
    } else {
        let reason = format!("there is no folder {} in the workspace", folder.display());
        Err(Error::Arguments(reason))
    }
}

fn told(ran: Ran, seconds: usize) -> Output {
    let finished = &ran.finished;
    let mut data = json!({ "exit_code": finished.code });
    if let Some(facts) = data.as_object_mut() {
        if finished.timed_out {
            let said = format!("it was ended after {seconds} s");
            facts.insert("timed_out".to_owned(), said.into());
        }
        if let Some(hint) = reach::hint(finished) {
            facts.insert("hint".to_owned(), hint.into());
        }
        if !ran.changes.is_empty() {
            let paths = ran.changes.iter().map(|change| &change.path);
            let paths: Vec<String> = paths.map(|path| path.display().to_string()).collect();
            facts.insert("changed".to_owned(), paths.join(", ").into());
        }
        if ran.left_out > 0 {
            let said = "other files that changed are not kept: ignored ones, secrets, no text";
            facts.insert("left_out".to_owned(), ran.left_out.into());
            facts.insert("left_out_because".to_owned(), said.into());
        }
    }
    let output = String::from_utf8_lossy(&finished.stdout).into_owned();
    let label = "output of the command".to_owned();
    Output {
        data,
        holds: Some(finished.success()),
        text: (!output.is_empty()).then_some((label, output)),
        changes: ran.changes,
        stand_alone: true,
        ..Output::default()
    }
}
