//! `meliora fix`: repairs a project, proven, in dry run unless `--apply` (spec: Code Modification).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::headless::{self, Progress, Wanted};
use super::paint;
use super::place::Project;
use super::session;
use crate::agent::task::{Kind, Proposal, Scope, Task};
use crate::safety::approvals::Approver;

/// Repair what keeps a project from compiling, and prove the repair.
///
/// The project is copied into a shadow. There, edits that the compiler and the language server suggest are tried one
/// after the other; one is kept when problems vanish and none appears. The result is checked, its tests run, and it is
/// printed as a diff. Nothing of yours changes without --apply; `meliora undo` takes an applied run back.
#[derive(Debug, Args)]
pub struct Arguments {
    /// A project, or a file in one (then only that file's problems are repaired)
    #[arg(default_value = ".")]
    path: PathBuf,
    #[command(flatten)]
    wanted: Wanted,
    /// Print one JSON document instead of text
    #[arg(long)]
    json: bool,
    /// Show every edit that was tried, and why it was turned down
    #[arg(long, short)]
    verbose: bool,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> ExitCode {
    paint::ended_for(arguments.json, repair(arguments))
}

fn repair(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let session = session::open(&arguments.path)?;
    let task = Task {
        run: session.run.clone(),
        kind: Kind::Fix(scope(&session.project)),
        workspace: session.project.root.clone(),
        overlay: BTreeMap::new(),
        focus: None,
        problems: Vec::new(),
    };
    let progress = match (arguments.json, arguments.verbose) {
        (true, _) => Progress::Silent,
        (false, true) => Progress::Everything,
        (false, false) => Progress::Repairs,
    };
    let deliver = async |proposal: &Proposal, approver: Option<&Approver>| {
        arguments.wanted.deliver(&session, proposal, approver).await
    };
    let driven = headless::drive(
        task,
        session.services.clone(),
        &session.store,
        progress,
        deliver,
    );
    let ended = session::block_on(driven)?;
    headless::print(&session.run, &ended, arguments.json)?;
    Ok(headless::exit_code(&ended))
}

fn scope(project: &Project) -> Scope {
    if project.root.join(&project.within).is_file() {
        Scope::File(project.within.clone())
    } else {
        Scope::Workspace
    }
}
