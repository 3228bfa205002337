//! `meliora history`: what was done in a project, and whether the journal of it is whole (spec: Audit System).

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;

use anstyle::Style;
use clap::Args;

use super::paint::{self, paint};
use super::session;
use super::{EXIT_DONE, EXIT_PROBLEMS};
use crate::event::{Outcome, RunEvent, RunId};
use crate::permit::{Action, Decision};
use crate::store::history::{Logged, RunSummary, What};
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

/// Runs the command.
pub fn run(arguments: &Arguments) -> ExitCode {
    paint::ended(answer(arguments))
}

fn answer(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let session = session::open(&arguments.project)?;
    if arguments.verify {
        return verify(&session.store, arguments.json);
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
    }
    Ok(ExitCode::from(EXIT_DONE))
}

fn verify(store: &Store, json: bool) -> anyhow::Result<ExitCode> {
    let verdict = store.verify()?;
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
    match verdict.fault {
        None => paint::say(format!(
            "{} {entries}, none altered",
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
        None => (paint::CAUTION, "did not finish".to_owned()),
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
}

fn describe(event: &RunEvent) -> String {
    match event {
        RunEvent::Started { kind, title, .. } => format!("began {kind}: {title}"),
        RunEvent::StateChanged { from, to } => {
            format!("{} → {}", word(from), word(to))
        }
        RunEvent::Step { what, reason } if reason.is_empty() => what.clone(),
        RunEvent::Step { what, reason } => format!("{what} ({reason})"),
        RunEvent::Decided { action, decision } => {
            let (verdict, rule) = match decision {
                Decision::Allow { rule } => ("may", rule),
                Decision::Ask { rule, .. } => ("has to ask before it may", rule),
                Decision::Deny { rule, .. } => ("must not", rule),
            };
            format!("{verdict} {} ({rule})", describe_action(action))
        }
        RunEvent::Checked { errors, .. } => format!("found {}", paint::count(*errors, "error")),
        RunEvent::Candidate {
            problem,
            source,
            title,
            verdict,
            reason,
        } => format!("{}: {problem}: {title} ({source}; {reason})", word(verdict)),
        RunEvent::ModelCalled {
            model,
            tokens_in,
            tokens_out,
            error,
            ..
        } => {
            let error = if error.is_empty() { "" } else { ", failed: " }.to_owned() + error;
            format!("asked {model}: {tokens_in} tokens in, {tokens_out} out{error}")
        }
        RunEvent::FellBack {
            from,
            to,
            reason,
            kept,
        } => {
            let kept = if kept.is_empty() {
                String::new()
            } else {
                format!("; kept of what it said: {kept}")
            };
            format!("went on with {to} in place of {from}: {reason}{kept}")
        }
        RunEvent::ToolCalled {
            name,
            success,
            summary,
            ..
        } => {
            let sign = if *success { "✓" } else { "✗" };
            format!("{sign} {name}: {summary}")
        }
        RunEvent::Proved(proof) => format!(
            "{}: errors {} → {}, {}",
            if proof.holds {
                "proof holds"
            } else {
                "proof fails"
            },
            proof.problems_before,
            proof.problems_after,
            paint::count(proof.checks.len(), "check")
        ),
        RunEvent::Applied { files } => format!("changed {}", names(files)),
        RunEvent::Undone { run, files } => format!("took back {run}: {}", names(files)),
        RunEvent::Finished(outcome) => match outcome {
            Outcome::Applied { files } => format!("done: {}", paint::count(*files, "file")),
            Outcome::Proposed { files } => {
                format!("done: proposed for {}", paint::count(*files, "file"))
            }
            Outcome::Nothing { reason } => format!("done: {reason}"),
            Outcome::Cancelled => "cancelled".to_owned(),
            Outcome::Failed { message } => format!("failed: {message}"),
        },
    }
}

fn describe_action(action: &Action) -> String {
    match action {
        Action::ReadFile { path } => format!("read {}", path.display()),
        Action::WriteFile { path, bytes } => format!("write {} ({bytes} bytes)", path.display()),
        Action::DeleteFile { path } => format!("delete {}", path.display()),
        Action::Spawn {
            program, arguments, ..
        } => format!("run {} {}", program.display(), arguments.join(" ")),
        Action::Shell { command, .. } => format!("run `{command}`"),
        Action::Connect { url } => format!("connect to {url}"),
        Action::Request { method, url, .. } => format!("send {method} {url}"),
    }
}

/// The name of an enum's variant, as it stands in the journal.
fn word(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        Ok(other) => other.to_string(),
        Err(error) => error.to_string(),
    }
}

fn names(files: &[PathBuf]) -> String {
    let names: Vec<String> = files
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    names.join(", ")
}

/// The run whose name begins so.
fn named(store: &Store, name: &str) -> anyhow::Result<RunId> {
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

fn ago(milliseconds: u64) -> String {
    paint::age(now().saturating_sub(milliseconds))
}

fn time(milliseconds: u64) -> String {
    i64::try_from(milliseconds)
        .ok()
        .and_then(|milliseconds| jiff::Timestamp::from_millisecond(milliseconds).ok())
        .map(|time| format!("{time:.0}"))
        .unwrap_or_default()
}
