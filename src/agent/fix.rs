//! A run that repairs problems: without a model as far as semantics reach (spec: Orchestrator, task lifecycle).

use std::time::Duration;

use tokio::sync::mpsc;

use super::continuation::continue_fix;
use super::repair::{self, Repaired};
use super::state::{IllegalMove, Machine};
use super::task::{Control, Delivery, Proposal, Report, Scope, Services, Task};
use super::verify::{self, Verifier, errors};
use crate::event::{Outcome, RunEvent, State};
use crate::safety::approvals;
use crate::tools::build;

/// How long a proposal waits to be delivered before the run ends without it: a person may be asked about it first, and the
/// editor takes it after the answer.
const DELIVERY_PATIENCE: Duration = approvals::OPEN.saturating_add(Duration::from_secs(600));

/// Problems that are named one by one.
const LABELS_MAX: usize = 50;

/// Runs a repair to its outcome. Cancel drops whatever works at that moment, children included.
pub async fn run(
    task: &Task,
    scope: &Scope,
    services: &Services,
    reports: &mpsc::Sender<Report>,
    control: &mut mpsc::Receiver<Control>,
) -> Outcome {
    let work = prepare(task, scope, services, reports);
    let prepared = tokio::select! {
        prepared = work => prepared,
        () = cancelled(control) => return Outcome::Cancelled,
    };
    match prepared {
        Ok(Prepared::Proposal(proposal)) => deliver(*proposal, reports, control).await,
        Ok(Prepared::Nothing(reason)) => Outcome::Nothing { reason },
        Err(error) => Outcome::Failed {
            message: error.to_string(),
        },
    }
}

/// Why a repair could not be carried out.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Verify(#[from] verify::Error),
    #[error(transparent)]
    State(#[from] IllegalMove),
}

enum Prepared {
    Proposal(Box<Proposal>),
    Nothing(String),
}

async fn prepare(
    task: &Task,
    scope: &Scope,
    services: &Services,
    reports: &mpsc::Sender<Report>,
) -> Result<Prepared, Error> {
    let mut verifier = open(task, services).await?;
    let prepared = work(task, &mut verifier, scope, services, reports).await;
    services.keeper.put(
        verifier,
        Duration::from_secs(services.config.proof.idle_timeout),
    );
    prepared
}

async fn work(
    task: &Task,
    verifier: &mut Verifier,
    scope: &Scope,
    services: &Services,
    reports: &mpsc::Sender<Report>,
) -> Result<Prepared, Error> {
    let mut machine = Machine::default();
    tell(reports, machine.go(State::Analyzing)?).await;
    tell(
        reports,
        step(
            "checking the workspace in its shadow copy",
            "repairs start from what the compiler says",
        ),
    )
    .await;
    let before = verifier.check().await;
    if let Some(failure) = &before.failure {
        return Ok(Prepared::Nothing(failure.clone()));
    }
    tell(reports, checked(&before)).await;
    if errors(&before) == 0 {
        return Ok(Prepared::Nothing("the compiler finds no errors".to_owned()));
    }
    tell(reports, machine.go(State::Planning)?).await;
    tell(reports, machine.go(State::Executing)?).await;
    let mut repaired = search(verifier, &before, scope, reports).await?;
    let remaining = repair::remaining(&repaired, scope);
    if !remaining.is_empty() && services.config.llm.endpoint().is_some() {
        let work = continue_fix(task, services, reports, verifier, &remaining, &mut repaired);
        if let Err(error) = work.await {
            // What was repaired without the model stands.
            let what = format!("the model repaired nothing: {error}");
            tell(reports, step(&what, "repairs without a model go on alone")).await;
        }
    }
    if repaired.edits.is_empty() {
        return Ok(Prepared::Nothing(unrepaired(&before)));
    }
    tell(reports, machine.go(State::Validating)?).await;
    tell(
        reports,
        step(
            "proving the repaired text",
            "nothing is shown before it was proven",
        ),
    )
    .await;
    let proof = verifier
        .prove(&repaired.edits, &before, &repaired.revealed)
        .await?;
    tell(reports, RunEvent::Proved(proof.clone())).await;
    tell(reports, machine.go(State::Idle)?).await;
    let title = title(&repaired);
    let Repaired {
        edits,
        repairs,
        steps,
        ..
    } = repaired;
    Ok(Prepared::Proposal(Box::new(Proposal {
        edits,
        title,
        proof,
        repairs,
        steps,
        wishes: Vec::new(),
    })))
}

/// The verifier that an earlier run left, brought in step, or a fresh one.
pub(super) async fn open(task: &Task, services: &Services) -> Result<Verifier, verify::Error> {
    if let Some(kept) = services.keeper.take(&task.workspace) {
        return kept.resume(task.overlay.clone()).await;
    }
    let (services, workspace, overlay) = (
        services.clone(),
        task.workspace.clone(),
        task.overlay.clone(),
    );
    let opening =
        tokio::task::spawn_blocking(move || Verifier::open(&services, &workspace, &overlay));
    opening
        .await
        .expect("opening the shadow neither panics nor is cancelled")
}

/// A copy of the workspace to run programs in, also where nothing can check it.
pub(super) async fn open_any(task: &Task, services: &Services) -> Result<Verifier, verify::Error> {
    let (services, workspace, overlay) = (
        services.clone(),
        task.workspace.clone(),
        task.overlay.clone(),
    );
    let opening =
        tokio::task::spawn_blocking(move || Verifier::open_any(&services, &workspace, &overlay));
    opening
        .await
        .expect("opening the shadow neither panics nor is cancelled")
}

/// Runs the search and passes its steps on while it works.
async fn search(
    verifier: &mut Verifier,
    before: &build::Report,
    scope: &Scope,
    reports: &mpsc::Sender<Report>,
) -> Result<Repaired, verify::Error> {
    let (sender, mut steps) = mpsc::unbounded_channel();
    let mut forward = |event| {
        // The receiver lives as long as this function.
        let _ = sender.send(event);
    };
    let work = async {
        let mut repaired = repair::repair(verifier, before, scope, &mut forward).await?;
        repair::format::format(verifier, &mut repaired.edits, &mut forward).await;
        Ok(repaired)
    };
    tokio::pin!(work);
    loop {
        tokio::select! {
            biased;
            Some(event) = steps.recv() => tell(reports, event).await,
            repaired = &mut work => {
                while let Ok(event) = steps.try_recv() {
                    tell(reports, event).await;
                }
                return repaired;
            }
        }
    }
}

/// Hands a proposal over and waits for what became of it.
pub(super) async fn deliver(
    proposal: Proposal,
    reports: &mpsc::Sender<Report>,
    control: &mut mpsc::Receiver<Control>,
) -> Outcome {
    let files = proposal.edits.files.len();
    let paths = proposal.edits.files.keys().cloned().collect();
    if reports.send(Report::Proposal(proposal)).await.is_err() {
        return Outcome::Cancelled;
    }
    match tokio::time::timeout(DELIVERY_PATIENCE, control.recv()).await {
        Ok(Some(Control::Delivered(Delivery::Applied))) => {
            tell(reports, RunEvent::Applied { files: paths }).await;
            Outcome::Applied { files }
        }
        Ok(Some(Control::Delivered(Delivery::Shown))) => Outcome::Proposed { files },
        Ok(Some(Control::Delivered(Delivery::Refused(message)))) => Outcome::Failed { message },
        Ok(Some(Control::Cancel) | None) => Outcome::Cancelled,
        Err(_) => Outcome::Failed {
            message: "the editor did not take the edit in time; run it again".to_owned(),
        },
    }
}

/// Ends when the run is cancelled or its owner is gone.
pub(super) async fn cancelled(control: &mut mpsc::Receiver<Control>) {
    while let Some(message) = control.recv().await {
        if matches!(message, Control::Cancel) {
            return;
        }
    }
}

pub(super) async fn tell(reports: &mpsc::Sender<Report>, event: RunEvent) {
    // A reader that went away has no use for the rest; the run notices by its control channel.
    let _ = reports.send(Report::Event(event)).await;
}

fn step(what: &str, reason: &str) -> RunEvent {
    RunEvent::Step {
        what: what.to_owned(),
        reason: reason.to_owned(),
    }
}

fn checked(before: &build::Report) -> RunEvent {
    let problems = before
        .findings
        .iter()
        .filter(|finding| verify::is_error(finding))
        .take(LABELS_MAX)
        .map(|finding| finding.problem.label())
        .collect();
    RunEvent::Checked {
        errors: errors(before),
        problems,
    }
}

fn title(repaired: &Repaired) -> String {
    match repaired.repairs.as_slice() {
        [only] => format!("fix {} in {}", only.code, only.place),
        many => format!("fix {} problems", many.len()),
    }
}

fn unrepaired(before: &build::Report) -> String {
    let number = errors(before);
    let errors = if number == 1 {
        "1 error".to_owned()
    } else {
        format!("{number} errors")
    };
    format!(
        "{errors} found, none can be repaired without a model; `meliora history` shows what was tried"
    )
}
