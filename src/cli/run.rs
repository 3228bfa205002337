//! `meliora run "…"`: a task in the user's words, proven, in dry run unless `--apply` (spec: Direct execution).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;

use super::headless::{self, Ended, Progress, Wanted};
use super::session;
use super::{EXIT_DONE, EXIT_PROBLEMS, model, paint};
use crate::agent::task::{Kind, Proposal, Task};
use crate::agent::{intent, plan};
use crate::event::Outcome;
use crate::llm::gateway::Gateway;
use crate::safety::approvals::Approver;

/// Carry out a task in your own words, with your model, and prove the result.
///
/// The model reads, searches and edits a staged copy; the project's compiler and tests judge its edits in the shadow,
/// and what they find goes back to it. The result is printed as a diff with its proof. Nothing of yours changes without
/// --apply; `meliora undo` takes an applied run back.
#[derive(Debug, Args)]
pub struct Arguments {
    /// What to do, for example "rename total to sum"
    task: String,
    /// A project, or a file in one
    #[arg(default_value = ".")]
    path: PathBuf,
    #[command(flatten)]
    wanted: Wanted,
    /// Add what is said to and by the model to a recording, without secrets
    #[arg(long, value_name = "FILE")]
    record: Option<String>,
    /// Print one JSON document instead of text
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> ExitCode {
    paint::ended_for(arguments.json, carry_out(arguments))
}

fn carry_out(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(
        !arguments.task.trim().is_empty(),
        "the task is empty: say what to do"
    );
    let mut session = session::open(&arguments.path)?;
    session.store.kept()?;
    if let Some(file) = &arguments.record {
        let config = Arc::make_mut(&mut session.services.config);
        config.llm.record.clone_from(file);
    }
    let services = &session.services;
    // Without a model nothing can begin; the run would only say the same later.
    if let Err(error) = Gateway::open(&services.host, &services.config, &services.redactor) {
        return Err(session::block_on(model::explained(&services.host, error))?);
    }
    let file = session.project.root.join(&session.project.within);
    let instruction = if file.is_file() {
        format!(
            "In `{}`: {}",
            session.project.within.display(),
            arguments.task
        )
    } else {
        arguments.task.clone()
    };
    let task = Task {
        run: session.run.clone(),
        kind: Kind::Do(instruction),
        workspace: session.project.root.clone(),
        overlay: BTreeMap::new(),
        focus: None,
        problems: Vec::new(),
    };
    let progress = if arguments.json {
        Progress::Silent
    } else {
        Progress::Repairs
    };
    let deliver = async |proposal: &Proposal, approver: Option<&Approver>| {
        arguments.wanted.deliver(&session, proposal, approver).await
    };
    let driven = headless::drive(task, services.clone(), &session.store, progress, deliver);
    let ended = session::block_on(driven)?;
    headless::print(&session.run, &ended, arguments.json)?;
    Ok(ExitCode::from(exit_code(&ended, &arguments.task)))
}

/// 0 when the task is done: an edit whose proof holds, or an answer to a question.
fn exit_code(ended: &Ended, task: &str) -> u8 {
    let proven = ended
        .proposal
        .as_ref()
        .is_some_and(|proposal| proposal.proof.holds);
    let asked = plan::plan(&intent::read(task)).may_only_answer;
    match &ended.outcome {
        Outcome::Applied { .. } => EXIT_DONE,
        Outcome::Proposed { .. } if proven => EXIT_DONE,
        Outcome::Nothing { .. } if asked => EXIT_DONE,
        Outcome::Proposed { .. }
        | Outcome::Nothing { .. }
        | Outcome::Cancelled
        | Outcome::Failed { .. } => EXIT_PROBLEMS,
    }
}
