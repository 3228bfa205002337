//! `meliora undo` and `meliora redo`: take runs back and make them again (spec: Automatic rollback capability).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::paint::{self, paint};
use super::session::{self, Session};
use super::{EXIT_DONE, EXIT_MISSING, EXIT_PROBLEMS};
use crate::agent::commit::{self, Outlook, Reversed};
use crate::agent::edit::{ApplyError, Conflicts};
use crate::agent::task::Services;
use crate::agent::undo::{self, Direction, Reverted, UndoError, Wanted, Which};
use crate::event::{Outcome, RunEvent, RunId};
use crate::safety::Policy;

/// Shown below the options.
const EXAMPLES: &str = "\
Examples:
  meliora undo             take back the last run that is in effect
  meliora undo r6740a1c2   a run by the beginning of its name; `meliora history` lists them
  meliora undo r6740a1c2 --step 2   one step of it; what came later stays";

/// Take a run back: every file it changed gets its old text and mode again.
///
/// What you changed since is kept: both changes are merged. Where they touch the same lines nothing at all is changed,
/// and the files are named; --leave-changed then restores the others. An undo can be taken back itself, with `meliora
/// redo`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Undo {
    #[command(flatten)]
    common: Common,
}

/// Make a run again that was taken back.
///
/// Works as `meliora undo` does, the other way round.
#[derive(Debug, Args)]
pub struct Redo {
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
struct Common {
    /// The run, by its name or the beginning of it [default: the last one]
    run: Option<String>,
    /// Only this step of the run; `meliora history RUN` lists them
    #[arg(long, value_name = "N")]
    step: Option<usize>,
    /// A folder of the project
    #[arg(long, value_name = "PATH", default_value = ".")]
    project: PathBuf,
    /// Leave files alone whose later changes contradict, and restore the others
    #[arg(long)]
    leave_changed: bool,
    /// Print one JSON document instead of text
    #[arg(long)]
    json: bool,
}

/// What was done, for machines.
#[derive(Debug, Serialize)]
struct Document<'done> {
    run: &'done RunId,
    by: &'done RunId,
    files: &'done [PathBuf],
    merged: &'done [PathBuf],
    left: &'done [String],
}

/// Runs `meliora undo`.
pub fn run_undo(arguments: &Undo) -> ExitCode {
    run(Direction::Undo, &arguments.common)
}

/// Runs `meliora redo`.
pub fn run_redo(arguments: &Redo) -> ExitCode {
    run(Direction::Redo, &arguments.common)
}

fn run(direction: Direction, arguments: &Common) -> ExitCode {
    let session = match session::open(&arguments.project) {
        Ok(session) => session,
        Err(error) => {
            paint::complain_for(arguments.json, format!("{error:#}"));
            return ExitCode::from(EXIT_MISSING);
        }
    };
    let wanted = Wanted {
        direction,
        which: arguments.run.clone().map_or(Which::Last, Which::Named),
        step: arguments.step,
        conflicts: if arguments.leave_changed {
            Conflicts::Leave
        } else {
            Conflicts::Refuse
        },
    };
    let policy = Policy::new(
        &session.services.host,
        &session.services.config,
        &session.project.root,
    );
    say_outlook(&session, &policy, &wanted);
    let mut begun = false;
    let mut is_repository_changed = false;
    let result = undo::revert(
        &session.services.host,
        &policy,
        &session.run,
        &wanted,
        &mut |run, events| {
            if *run == session.run {
                begun = true;
                session.record(vec![started(&session, &wanted)]);
            }
            session.witness(run, events);
        },
    );
    if let Ok(reverted) = &result {
        if !std::mem::replace(&mut begun, true) {
            session.record(vec![started(&session, &wanted)]);
        }
        is_repository_changed = restore_repository(&session, &wanted, reverted);
    }
    record(&session, &wanted, &result, begun);
    match result {
        Ok(reverted) => {
            let reverted = (&reverted, is_repository_changed);
            let shown = show(&session, &wanted, reverted, arguments.json);
            let (reverted, _) = reverted;
            match shown {
                Ok(()) if reverted.applied.left.is_empty() => ExitCode::from(EXIT_DONE),
                Ok(()) => ExitCode::from(EXIT_PROBLEMS),
                Err(error) => {
                    paint::complain(error);
                    ExitCode::from(EXIT_PROBLEMS)
                }
            }
        }
        Err(error) => {
            paint::complain_for(arguments.json, &error);
            if wanted.conflicts == Conflicts::Refuse {
                advise(&error);
            }
            ExitCode::from(match error {
                UndoError::Apply(_) => EXIT_PROBLEMS,
                UndoError::NoRun(_)
                | UndoError::Unknown(_)
                | UndoError::Ambiguous(_)
                | UndoError::AlreadyUndone(_)
                | UndoError::NotUndone(_)
                | UndoError::NoStep { .. }
                | UndoError::StepUndone(..)
                | UndoError::StepNotUndone(..) => EXIT_MISSING,
            })
        }
    }
}

/// Says what making a run again will do to the repository, or that it will not, before anything is done.
fn say_outlook(session: &Session, policy: &Policy, wanted: &Wanted) {
    if wanted.direction == Direction::Undo || wanted.step.is_some() {
        return;
    }
    let Services { host, config, .. } = &session.services;
    // What cannot be planned is said by whoever tries it.
    let plan = undo::plan_undo(host, policy.workspace(), wanted, &BTreeMap::new());
    let outlook = plan.ok().and_then(|plan| {
        let outlook = commit::outlook(host, config, policy, &plan.run)?;
        Some((plan.run, outlook))
    });
    if let Some((run, Outlook { what, obstacle })) = outlook {
        paint::remark(match obstacle {
            Some(obstacle) => format!("{what} of {run} will not be made again: {obstacle}"),
            None => format!("{what} of {run} will be made again"),
        });
    }
}

/// Takes back what the run did to the repository. A step that is taken back leaves the commits of its run as they are.
fn restore_repository(session: &Session, wanted: &Wanted, reverted: &Reverted) -> bool {
    let title = format!(
        "{} {}",
        name(wanted.direction),
        meant(wanted, &reverted.run)
    );
    let (undone, in_effect) = match (wanted.direction, wanted.step) {
        (_, Some(_)) => (&session.run, &session.run),
        (Direction::Undo, None) => (&reverted.reverts, &session.run),
        (Direction::Redo, None) => (&reverted.reverts, &reverted.run),
    };
    session.restore_repository(Reversed {
        by: &session.run,
        undone,
        in_effect,
        title: &title,
    })
}

/// Writes how the run ended into the journal, and that it began if that was not written before. A run that was not even
/// begun is none.
fn record(
    session: &Session,
    wanted: &Wanted,
    result: &Result<Reverted, UndoError>,
    is_begun: bool,
) {
    let (outcome, events) = match result {
        Ok(reverted) => {
            let files = reverted.applied.files.clone();
            let outcome = Outcome::Applied { files: files.len() };
            // A step that is taken back leaves the run in effect.
            let changed = match wanted.step {
                Some(_) => RunEvent::Applied { files },
                None => RunEvent::Undone {
                    run: reverted.reverts.clone(),
                    files,
                },
            };
            (outcome, vec![changed])
        }
        Err(UndoError::Apply(error)) => {
            let events = match error {
                ApplyError::Refused { decisions, .. } => decisions.clone(),
                ApplyError::Io { .. } | ApplyError::Half { .. } | ApplyError::Images(_) => {
                    Vec::new()
                }
            };
            let message = error.to_string();
            (Outcome::Failed { message }, events)
        }
        Err(_) => return,
    };
    if !is_begun {
        session.record(vec![started(session, wanted)]);
    }
    session.record(events);
    session.record(vec![RunEvent::Finished(outcome)]);
    if let Err(error) = session.store.flush() {
        paint::remark(format!("the journal could not be written: {error}"));
    }
}

/// That the run begins, as it was asked for.
fn started(session: &Session, wanted: &Wanted) -> RunEvent {
    let kind = name(wanted.direction);
    let step = wanted.step.map(|step| format!("step {step} of"));
    let run = match &wanted.which {
        Which::Named(name) => name.as_str(),
        Which::Last => "the last run",
    };
    let words = [kind].into_iter().chain(step.as_deref()).chain([run]);
    RunEvent::Started {
        kind: kind.to_owned(),
        title: words.collect::<Vec<_>>().join(" "),
        workspace: session.project.root.clone(),
    }
}

fn show(
    session: &Session,
    wanted: &Wanted,
    (reverted, is_repository_changed): (&Reverted, bool),
    json: bool,
) -> anyhow::Result<()> {
    let direction = wanted.direction;
    let applied = &reverted.applied;
    for notice in &applied.notices {
        paint::remark(notice);
    }
    if json {
        paint::say_json(&Document {
            run: &reverted.run,
            by: &session.run,
            files: &applied.files,
            merged: &applied.merged,
            left: &applied.left,
        })?;
        return Ok(());
    }
    let (done, back) = match direction {
        Direction::Undo => ("undone", "redo"),
        Direction::Redo => ("made again", "undo"),
    };
    let run = meant(wanted, &reverted.run);
    let files = match applied.files.len() {
        0 if is_repository_changed => "in the repository, no file".to_owned(),
        number => paint::count(number, "file"),
    };
    let done = paint(paint::GOOD, format!("{run} {done}"));
    let of = match wanted.step {
        Some(step) => format!("{} --step {step}", reverted.run),
        None => reverted.run.to_string(),
    };
    let back = paint(paint::THING, format!("meliora {back} {of}"));
    paint::say(format!("{done}  {files}; the other way: {back}"));
    for file in &applied.files {
        let kept = if applied.merged.contains(file) {
            paint(paint::CAUTION, "  merged with your later changes")
        } else {
            paint(paint::FAINT, "")
        };
        paint::say(format!("  {}{kept}", paint(paint::THING, file.display())));
    }
    for reason in &applied.left {
        paint::say(format!(
            "  {} left as it is: {reason}",
            paint(paint::BAD, "✗")
        ));
    }
    Ok(())
}

/// The run, and the step if only one is meant.
fn meant(wanted: &Wanted, run: &RunId) -> String {
    match wanted.step {
        Some(step) => format!("step {step} of {run}"),
        None => run.to_string(),
    }
}

/// Says what can be done about a contradiction.
fn advise(error: &UndoError) {
    if matches!(error, UndoError::Apply(ApplyError::Refused { .. })) {
        paint::remark("--leave-changed restores the other files and leaves these as they are");
    }
}

fn name(direction: Direction) -> &'static str {
    match direction {
        Direction::Undo => "undo",
        Direction::Redo => "redo",
    }
}
