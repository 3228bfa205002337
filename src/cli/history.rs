//! `meliora history`: what was done in a project, and whether the journal of it is whole (spec: Audit System).

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;

use anstyle::Style;
use clap::Args;

use super::paint::{self, paint};
use super::session;
use super::wording::{describe, describe_action, time};
use super::{EXIT_DONE, EXIT_PROBLEMS};
use crate::agent::undo;
use crate::event::{Outcome, RunEvent, RunId};
use crate::store::history::{Logged, RunSummary, What, uncertain};
use crate::store::images::StepRecord;
use crate::store::verify::Checkpoint;
use crate::store::{Store, now};

/// Shown below the options.
const EXAMPLES: &str = "\
Examples:
  meliora history             the last runs
  meliora history r6740a1c2   what happened in one, by the beginning of its name
  meliora history --verify    whether anybody changed the journal";

/// Show what was done in this project: the runs, or everything that happened in one of them.
///
/// Every step of every run is in a journal outside the project. Its entries are tied to each other with a key, so that
/// an entry that was altered, removed or moved shows: --verify looks for the first one.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Arguments {
    /// The run, by its name or the beginning of it
    run: Option<String>,
    /// A folder of the project
    #[arg(long, value_name = "PATH", default_value = ".")]
    project: PathBuf,
    /// Runs to show
    #[arg(long, value_name = "N", default_value = "20")]
    limit: NonZeroUsize,
    /// Check the journal and name its first bad entry
    #[arg(long, conflicts_with = "run")]
    verify: bool,
    /// Print one JSON document instead of text
    #[arg(long)]
    json: bool,
}

/// Characters of how a run ended in the list of runs; the run itself tells all of it.
const OUTCOME_CHARACTERS_MAX: usize = 60;

/// Runs the command.
pub fn run(arguments: &Arguments) -> ExitCode {
    paint::ended(answer(arguments))
}

fn answer(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let session = session::open(&arguments.project)?;
    if arguments.verify {
        return verify(&session.store, None, arguments.json);
    }
    let Some(name) = &arguments.run else {
        return list(&session.store, arguments);
    };
    let run = named(&session.store, name)?;
    let events = session.store.events(&run)?;
    if arguments.json {
        paint::say_json(&events)?;
    } else {
        tell(&run, &events);
        let services = &session.services;
        let steps = undo::steps_of(&services.host, &session.project.root, &run.0);
        // Where the old texts cannot be read, the run can still be told of.
        tell_steps(&run, &steps.unwrap_or_default());
    }
    Ok(ExitCode::from(EXIT_DONE))
}

/// Checks the journal, and that it goes on from a checkpoint where there is one.
pub(super) fn verify(
    store: &Store,
    checkpoint: Option<&Checkpoint>,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let verdict = store.verify_since(checkpoint)?;
    let code = match verdict.fault {
        None => EXIT_DONE,
        Some(_) => EXIT_PROBLEMS,
    };
    if json {
        paint::say_json(&verdict)?;
        return Ok(ExitCode::from(code));
    }
    let entries = match verdict.entries {
        1 => "1 entry".to_owned(),
        number => format!("{number} entries"),
    };
    let removed = match verdict.removed {
        0 => String::new(),
        last => format!("; those up to {last} were removed on purpose, which is sealed"),
    };
    match verdict.fault {
        None => paint::say(format!(
            "{} {entries}, none altered{removed}",
            paint(paint::GOOD, "✓")
        )),
        Some(fault) => paint::say(format!(
            "{} entry {} {} ({entries} in all); nothing after it can be relied on",
            paint(paint::BAD, "✗"),
            fault.entry,
            fault.what
        )),
    }
    Ok(ExitCode::from(code))
}

fn list(store: &Store, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let runs = store.runs(arguments.limit.get())?;
    if arguments.json {
        paint::say_json(&runs)?;
        return Ok(ExitCode::from(EXIT_DONE));
    }
    if runs.is_empty() {
        paint::say("nothing was done here yet; `meliora fix` is a start");
    }
    for run in &runs {
        paint::say(line(run));
    }
    Ok(ExitCode::from(EXIT_DONE))
}

fn line(run: &RunSummary) -> String {
    let (style, outcome) = outcome(run);
    let outcome = paint::one_line(&outcome, OUTCOME_CHARACTERS_MAX);
    let title = if run.title == run.kind {
        ""
    } else {
        &run.title
    };
    format!(
        "{}  {}  {}  {}  {title}",
        paint(paint::THING, &run.run),
        paint(paint::FAINT, format!("{:>14}", ago(run.started))),
        paint(paint::STRONG, format!("{:<5}", run.kind)),
        paint(style, format!("{outcome:<28}")),
    )
}

fn outcome(run: &RunSummary) -> (Style, String) {
    if run.undone {
        return (paint::CAUTION, "undone".to_owned());
    }
    match &run.outcome {
        None if run.uncertain.is_empty() => (paint::CAUTION, "did not finish".to_owned()),
        None => (
            paint::CAUTION,
            format!(
                "did not finish: {} may have been done",
                paint::count(run.uncertain.len(), "action")
            ),
        ),
        Some(Outcome::Applied { files }) => (
            paint::GOOD,
            format!("{} changed", paint::count(*files, "file")),
        ),
        Some(Outcome::Proposed { files }) => (
            paint::STRONG,
            format!("proposed for {}", paint::count(*files, "file")),
        ),
        Some(Outcome::Nothing { reason }) => (paint::FAINT, reason.clone()),
        Some(Outcome::Cancelled) => (paint::CAUTION, "cancelled".to_owned()),
        Some(Outcome::Failed { message }) => (paint::BAD, format!("failed: {message}")),
    }
}

fn tell(run: &RunId, events: &[Logged]) {
    let Some(first) = events.first() else {
        return;
    };
    paint::say(format!(
        "{}  {}",
        paint(paint::STRONG, run),
        paint(paint::FAINT, time(first.milliseconds))
    ));
    for logged in events {
        let elapsed = logged.milliseconds.saturating_sub(first.milliseconds);
        let elapsed = format!("{:>4}.{:01} s", elapsed / 1_000, elapsed % 1_000 / 100);
        let text = match &logged.what {
            What::Known(event) => describe(event),
            What::Unknown(value) => format!("(a newer meliora wrote) {value}"),
        };
        paint::say(format!("{}  {text}", paint(paint::FAINT, elapsed)));
    }
    let is_finished = events
        .iter()
        .any(|logged| matches!(logged.what, What::Known(RunEvent::Finished(_))));
    if !is_finished {
        paint::say(paint(paint::CAUTION, "did not finish"));
        for action in uncertain(events) {
            let action = describe_action(&action);
            let said = format!("may have been done, or not: {action}");
            paint::say(paint(paint::CAUTION, paint::quoted(&said)));
        }
    }
}

/// The run whose name begins so.
pub(super) fn named(store: &Store, name: &str) -> anyhow::Result<RunId> {
    let runs = store.runs(usize::MAX)?;
    let mut found = runs.into_iter().filter(|run| run.run.0.starts_with(name));
    match (found.next(), found.next()) {
        (Some(run), None) => Ok(run.run),
        (Some(_), Some(_)) => {
            anyhow::bail!("several runs have names that begin with {name}; give more of the name")
        }
        (None, _) => {
            anyhow::bail!("no run here is named {name}; `meliora history` lists the last ones")
        }
    }
}

/// The steps that can be taken back alone.
fn tell_steps(run: &RunId, steps: &[StepRecord]) {
    for step in steps {
        let files: Vec<String> = step
            .files
            .iter()
            .map(|file| file.path.display().to_string())
            .collect();
        paint::say(format!(
            "{} {}: {}",
            paint(paint::STRONG, format!("step {}", step.number)),
            paint::quoted(&step.title),
            paint::quoted(&files.join(", "))
        ));
    }
    if !steps.is_empty() {
        let undo = paint(paint::THING, format!("meliora undo {run} --step N"));
        paint::say(format!("take one back with {undo}"));
    }
}

fn ago(milliseconds: u64) -> String {
    paint::age(now().saturating_sub(milliseconds))
}
