//! The agent: repair, proof, edits, the loop (spec: Orchestrator).
//!
//! A [`task::Task`] goes in; [`task::Report`]s come out: events for the journal and the progress display, and at the
//! end a proposal that was proven in the shadow. The agent never writes to the workspace itself. Whoever started it,
//! the server or the command line, delivers the proposal and tells the run by [`task::Control`] how that went.

pub mod analyzer;
mod attributes;
mod bench;
pub mod commit;
mod continuation;
pub mod copy;
mod disk;
pub mod edit;
pub mod fix;
pub mod intent;
mod interrupted;
pub mod keeper;
pub mod orchestrator;
pub mod plan;
pub mod repair;
mod rooms;
pub mod shadow;
mod shorten;
pub mod state;
mod steps;
pub mod task;
pub mod undo;
pub mod verify;
mod work;

use tokio::sync::mpsc;

use crate::event::{Outcome, RunEvent};
use orchestrator::Orchestrator;
use task::{Control, Kind, Report, Services, Task};

/// Reports that a run may be ahead of its reader; it waits when the reader is slow.
const REPORTS_QUEUED_MAX: usize = 256;
/// Controls that may wait for a run: one cancel and one delivery.
const CONTROLS_QUEUED_MAX: usize = 4;

/// A run that works.
#[derive(Debug)]
pub struct Handle {
    /// What it tells; the last report is `Finished`, then the channel closes.
    pub reports: mpsc::Receiver<Report>,
    /// How it is told. Dropping this cancels the run.
    pub control: mpsc::Sender<Control>,
}

/// Starts a run as a task of the current runtime.
pub fn start(task: Task, services: Services) -> Handle {
    let (report_sender, reports) = mpsc::channel(REPORTS_QUEUED_MAX);
    let (control, control_receiver) = mpsc::channel(CONTROLS_QUEUED_MAX);
    tokio::spawn(run(task, services, report_sender, control_receiver));
    Handle { reports, control }
}

async fn run(
    task: Task,
    services: Services,
    reports: mpsc::Sender<Report>,
    mut control: mpsc::Receiver<Control>,
) {
    let (kind, title) = match &task.kind {
        Kind::Fix(_) => ("fix", "repair problems".to_owned()),
        Kind::Do(instruction) => (
            "do",
            services
                .redactor
                .clean(first_line(instruction))
                .into_owned(),
        ),
    };
    let started = RunEvent::Started {
        kind: kind.to_owned(),
        title,
        workspace: task.workspace.clone(),
    };
    // A reader that went away has no use for the rest; the run notices by its control channel.
    let _ = reports.send(Report::Event(started)).await;
    let outcome: Outcome = match &task.kind {
        Kind::Fix(scope) => fix::run(&task, scope, &services, &reports, &mut control).await,
        Kind::Do(instruction) => {
            let mut orchestrator = Orchestrator::new(&services, &reports);
            orchestrator.run(&task, instruction, &mut control).await
        }
    };
    let _ = reports
        .send(Report::Event(RunEvent::Finished(outcome)))
        .await;
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}
