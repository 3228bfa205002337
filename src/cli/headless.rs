//! Runs one task without an editor: progress for people, events for the journal, a report at the end (spec: Local
//! Development, direct execution).

use std::pin::pin;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::paint::{self, paint};
use super::session::Session;
use super::{EXIT_DONE, EXIT_PROBLEMS, asking, interrupt};
use crate::agent;
use crate::agent::task::{Control, Delivery, Proposal, Repair, Report, Services, Task};
use crate::event::{Outcome, Proof, RunEvent, RunId, Verdict};
use crate::safety::approvals::Approver;
use crate::store::Store;

/// How often the progress mark moves.
const TICK: Duration = Duration::from_millis(100);

/// What is shown while a task runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Nothing: for machines.
    Silent,
    /// A moving mark on terminals, and one line for each repair.
    Repairs,
    /// Also every candidate that was turned down, and why.
    Everything,
}

/// A task that came to its end.
#[derive(Debug)]
pub struct Ended {
    /// How it ended.
    pub outcome: Outcome,
    /// The edit it proposed, if any.
    pub proposal: Option<Proposal>,
    /// Errors that were found at the start.
    pub found: usize,
    /// Whether there was nothing to repair.
    pub clean: bool,
    /// Wall time.
    pub elapsed: Duration,
}

/// The report of a task as one JSON document.
#[derive(Debug, Serialize)]
pub struct Document {
    /// Name of the run.
    pub run: RunId,
    /// Errors before.
    pub problems_before: usize,
    /// Errors after.
    pub problems_after: usize,
    /// What was repaired.
    pub repairs: Vec<Repair>,
    /// The checks that ran.
    pub proof: Option<Proof>,
    /// The edit as a unified diff.
    pub diff: String,
    /// How the run ended.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// Wall time in seconds.
    pub seconds: f64,
}

/// Runs a task to its end. `deliver` is given the proposal and says what became of it.
pub async fn drive(
    task: Task,
    mut services: Services,
    store: &Store,
    progress: Progress,
    deliver: impl AsyncFnOnce(&Proposal, Option<&Approver>) -> Delivery,
) -> Ended {
    let started = Instant::now();
    let run = task.run.clone();
    let mark = mark(progress);
    // One for the whole run: what is pressed while a report is looked at counts too.
    let mut interrupted = pin!(interrupt::pressed());
    let approver = asking::approver(mark.clone());
    if progress != Progress::Silent {
        services.approver.clone_from(&approver);
    }
    let mut handle = agent::start(task, services);
    let mut deliver = Some(deliver);
    let (mut outcome, mut kept, mut found) = (Outcome::Cancelled, None, None);
    let mut is_cancelled = false;
    loop {
        let report = tokio::select! {
            () = &mut interrupted, if !is_cancelled => {
                is_cancelled = true;
                asking::leave(&mark);
                // A run that has ended already needs no cancel.
                let _ = handle.control.send(Control::Cancel).await;
                continue;
            }
            report = handle.reports.recv() => report,
        };
        match report {
            None => break,
            Some(Report::Event(event)) => {
                store.append(&run, &event);
                show(&event, progress, &mark);
                if let RunEvent::Checked { errors, .. } = &event {
                    found = Some(*errors);
                }
                if let RunEvent::Finished(how) = event {
                    outcome = how;
                }
            }
            Some(Report::Keep(events, kept)) => {
                let written = store.record(&run, &events);
                // What waited for it may have been stopped meanwhile.
                let _ = kept.send(written.map_err(|error| error.to_string()));
                for event in &events {
                    show(event, progress, &mark);
                }
            }
            Some(Report::Proposal(proposal)) => {
                mark.finish_and_clear();
                let delivery = match deliver.take() {
                    // It was on its way when the run was stopped.
                    _ if is_cancelled => stopped(),
                    Some(deliver) => tokio::select! {
                        biased;
                        () = &mut interrupted => {
                            is_cancelled = true;
                            asking::leave(&mark);
                            let _ = handle.control.send(Control::Cancel).await;
                            stopped()
                        }
                        delivery = deliver(&proposal, approver.as_ref()) => delivery,
                    },
                    None => Delivery::Refused("a run proposes once".to_owned()),
                };
                kept = Some(proposal);
                // A run that does not wait any longer was cancelled, and says so itself.
                let _ = handle.control.send(Control::Delivered(delivery)).await;
            }
        }
    }
    mark.finish_and_clear();
    if let Err(error) = store.flush() {
        paint::remark(format!("the journal could not be written: {error}"));
    }
    Ended {
        outcome,
        proposal: kept,
        found: found.unwrap_or(0),
        clean: found == Some(0),
        elapsed: started.elapsed(),
    }
}

fn stopped() -> Delivery {
    Delivery::Refused("nothing was changed: the run was stopped".to_owned())
}

/// The report as one document for machines.
pub fn document(run: &RunId, ended: &Ended) -> Document {
    let proposal = ended.proposal.clone();
    let proof = proposal.as_ref().map(|proposal| proposal.proof.clone());
    Document {
        run: run.clone(),
        problems_before: proof
            .as_ref()
            .map_or(ended.found, |proof| proof.problems_before),
        problems_after: proof
            .as_ref()
            .map_or(ended.found, |proof| proof.problems_after),
        diff: proposal
            .as_ref()
            .map(|proposal| proposal.edits.unified_diff())
            .unwrap_or_default(),
        repairs: proposal
            .map(|proposal| proposal.repairs)
            .unwrap_or_default(),
        proof,
        outcome: ended.outcome.clone(),
        seconds: ended.elapsed.as_secs_f64(),
    }
}

/// What is to become of a proposal.
#[derive(Debug, Args)]
pub struct Wanted {
    /// Write the changed files when the proof holds
    #[arg(long)]
    apply: bool,
    /// Apply also when tests fail afterwards (they may have failed before)
    #[arg(long, requires = "apply")]
    despite_tests: bool,
}

impl Wanted {
    /// Writes a proposal where that was wanted.
    pub async fn deliver(
        &self,
        session: &Session,
        proposal: &Proposal,
        approver: Option<&Approver>,
    ) -> Delivery {
        if !self.apply {
            return Delivery::Shown;
        }
        if let Some(refusal) = self.refusal(&proposal.proof) {
            return Delivery::Refused(refusal.to_owned());
        }
        session.apply(proposal, approver).await
    }

    /// Why a proposal with this proof is not applied.
    fn refusal(&self, proof: &Proof) -> Option<&'static str> {
        match (proof.holds, proof.only_tests_fail()) {
            (true, _) => None,
            (false, true) if self.despite_tests => None,
            (false, true) => {
                Some("tests fail, nothing was changed; --despite-tests applies it all the same")
            }
            (false, false) => Some("the proof fails, nothing was changed"),
        }
    }
}

/// Exit code of a command that ran a task: 0 when nothing is left to do.
pub fn exit_code(ended: &Ended) -> ExitCode {
    let proven = ended
        .proposal
        .as_ref()
        .is_some_and(|proposal| proposal.proof.holds && proposal.proof.problems_after == 0);
    ExitCode::from(match &ended.outcome {
        Outcome::Applied { .. } | Outcome::Proposed { .. } if proven => EXIT_DONE,
        Outcome::Nothing { .. } if ended.clean => EXIT_DONE,
        Outcome::Applied { .. }
        | Outcome::Proposed { .. }
        | Outcome::Nothing { .. }
        | Outcome::Cancelled
        | Outcome::Failed { .. } => EXIT_PROBLEMS,
    })
}

/// Prints what a run came to: as one document for machines, or its proposal and how it ended for people.
pub fn print(run: &RunId, ended: &Ended, json: bool) -> serde_json::Result<()> {
    if json {
        return paint::say_json(&document(run, ended));
    }
    if let Some(proposal) = &ended.proposal {
        print_proposal(proposal);
    }
    print_outcome(run, ended);
    Ok(())
}

/// Prints how a run ended, and what can be done next.
fn print_outcome(run: &RunId, ended: &Ended) {
    let seconds = paint(
        paint::FAINT,
        format!("{:.1} s", ended.elapsed.as_secs_f64()),
    );
    match &ended.outcome {
        Outcome::Applied { files } => {
            let what = format!("{} changed", paint::count(*files, "file"));
            let undo = paint(paint::THING, format!("meliora undo {run}"));
            paint::say(format!(
                "{}  {seconds}  take it back with {undo}",
                paint(paint::GOOD, what)
            ));
        }
        Outcome::Proposed { files } => {
            let what = format!(
                "{} would change, nothing was written",
                paint::count(*files, "file")
            );
            let next = match &ended.proposal {
                Some(proposal) if !proposal.proof.holds => "what it breaks stands above",
                Some(_) | None => "write it with --apply",
            };
            paint::say(format!("{}  {seconds}  {next}", paint(paint::STRONG, what)));
        }
        Outcome::Nothing { reason } => paint::say(format!("{reason}  {seconds}")),
        Outcome::Cancelled => paint::complain("cancelled; nothing was changed"),
        Outcome::Failed { message } => paint::complain(message),
    }
}

/// Prints a proposal and its proof for people.
fn print_proposal(proposal: &Proposal) {
    paint::say(paint::diff(&proposal.edits.unified_diff()));
    print_proof(&proposal.proof);
}

/// Prints the checks of a proof for people.
pub fn print_proof(proof: &Proof) {
    let verdict = if proof.holds {
        paint(paint::GOOD, "proof holds")
    } else {
        paint(paint::BAD, "proof fails")
    };
    let (before, after) = (proof.problems_before, proof.problems_after);
    paint::say(format!("{verdict}  errors {before} → {after}"));
    for check in &proof.checks {
        let sign = if check.passed {
            paint(paint::GOOD, "✓")
        } else {
            paint(paint::BAD, "✗")
        };
        let time = paint(
            paint::FAINT,
            format!("{:.1} s", seconds(check.milliseconds)),
        );
        paint::say(format!(
            "  {sign} {}: {}  {time}",
            check.name, check.summary
        ));
    }
    for caveat in &proof.caveats {
        paint::say(format!("  {} {caveat}", paint(paint::CAUTION, "!")));
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "milliseconds of a check are far below 2^52"
)]
fn seconds(milliseconds: u64) -> f64 {
    milliseconds as f64 / 1000.0
}

/// The moving mark on standard error.
pub fn mark(progress: Progress) -> ProgressBar {
    if progress == Progress::Silent {
        return ProgressBar::hidden();
    }
    // The mark draws on standard error, and only on a terminal.
    let mark = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner:.cyan} {msg} {elapsed:.dim}") {
        mark.set_style(style);
    }
    mark.enable_steady_tick(TICK);
    mark
}

/// Shows one event of a run.
pub fn show(event: &RunEvent, progress: Progress, mark: &ProgressBar) {
    if progress == Progress::Silent {
        return;
    }
    match event {
        RunEvent::Step { what, .. } => mark.set_message(what.clone()),
        RunEvent::FellBack { to, reason, .. } => {
            mark.suspend(|| paint::remark(format!("going on with {to}: {reason}")));
        }
        RunEvent::Checked { errors, problems } => {
            let heading = paint(
                paint::STRONG,
                format!("{} found", paint::count(*errors, "error")),
            );
            mark.suspend(|| {
                paint::say(heading);
                for problem in problems {
                    paint::say(format!("  {problem}"));
                }
            });
        }
        RunEvent::Candidate {
            problem,
            source,
            title,
            verdict,
            reason,
        } => {
            let sign = match verdict {
                Verdict::Kept => paint(paint::GOOD, "✓"),
                Verdict::Rejected => paint(paint::FAINT, "·"),
                Verdict::Ambiguous => paint(paint::CAUTION, "?"),
                Verdict::Forbidden => paint(paint::BAD, "✗"),
            };
            mark.set_message(format!("{problem}: {title}"));
            let line = format!(
                "{sign} {problem}  {title} {}",
                paint(paint::FAINT, format!("({source}; {reason})"))
            );
            let wanted = matches!(verdict, Verdict::Kept | Verdict::Ambiguous);
            if wanted || progress == Progress::Everything {
                mark.suspend(|| paint::say(line));
            }
        }
        RunEvent::ToolCalled { name, summary, .. } => {
            mark.set_message(format!("{name}: {summary}"));
        }
        RunEvent::ModelCalled { model, .. } => mark.set_message(format!("{model} answered")),
        RunEvent::StateChanged { .. }
        | RunEvent::Started { .. }
        | RunEvent::Decided { .. }
        | RunEvent::Uncertain { .. }
        | RunEvent::Proved(_)
        | RunEvent::Applied { .. }
        | RunEvent::Undone { .. }
        | RunEvent::Asked { .. }
        | RunEvent::Answered { .. }
        | RunEvent::Tainted { .. }
        | RunEvent::Configured { .. }
        | RunEvent::Committed { .. }
        | RunEvent::Uncommitted { .. }
        | RunEvent::Branched { .. }
        | RunEvent::Pushed { .. }
        | RunEvent::Pruned { .. }
        | RunEvent::Finished(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::CheckRecord;

    #[test]
    fn what_fails_besides_tests_is_not_applied_despite_them() {
        let check = |name: &str, passed, is_tests| CheckRecord {
            name: name.to_owned(),
            passed,
            summary: String::new(),
            milliseconds: 0,
            is_tests,
        };
        let tests = || check("cargo test", false, true);
        let compiler = |passed| check("cargo check", passed, false);
        // What is called after tests need not run them.
        let server = check("test-server", false, false);
        for (checks, holds, is_applied, is_applied_despite) in [
            (vec![compiler(true)], true, true, true),
            (vec![compiler(true), tests()], false, false, true),
            (vec![compiler(false), tests()], false, false, false),
            (vec![compiler(false)], false, false, false),
            (vec![compiler(true), server], false, false, false),
            (vec![], false, false, false),
        ] {
            let proof = Proof {
                checks,
                holds,
                ..Proof::default()
            };
            for (despite_tests, expected) in [(false, is_applied), (true, is_applied_despite)] {
                let wanted = Wanted {
                    apply: true,
                    despite_tests,
                };
                let refusal = wanted.refusal(&proof);
                assert_eq!(refusal.is_none(), expected, "{despite_tests} {proof:?}");
            }
        }
    }
}
