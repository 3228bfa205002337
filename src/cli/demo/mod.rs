//! `meliora demo`: repairs a broken workspace before your eyes, through the language server, as an editor would
//! (spec: headless LSP test harness).

mod workspace;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;
use indicatif::ProgressBar;
use serde::Serialize;
use serde_json::{Value, json};

use super::editor::{HeadlessEditor, profile};
use super::headless::{self, Progress};
use super::paint::{self, paint};
use super::{EXIT_DONE, EXIT_PROBLEMS, session};
use crate::agent::task::Repair;
use crate::config::host::Host;
use crate::event::{Outcome, Proof, RunEvent};
use crate::process::{Command, Environment};
use crate::semantics::setup::system_library_sources;
use crate::text::edit::EditSet;
use crate::text::json::at;

/// Time for the language server to look at the workspace.
const LOOK_PATIENCE: Duration = Duration::from_secs(90);
/// Quiet time after which the language server counts as done.
const LOOK_QUIET: Duration = Duration::from_secs(2);
/// Time for the whole repair.
const REPAIR_PATIENCE: Duration = Duration::from_secs(600);

/// See a broken Rust workspace repaired and proven, without a model.
///
/// A small workspace that does not compile is written to a temporary folder. The language server is started on it as an
/// editor would start it, rust-analyzer behind it. Its problems are shown, repaired in a shadow copy, proven there by
/// the compiler, rust-analyzer and the tests, and only then applied to the editor's buffers. Nothing is left behind.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Print one JSON document instead of text
    #[arg(long)]
    json: bool,
    /// Show every edit that was tried, and why it was turned down
    #[arg(long, short)]
    verbose: bool,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> ExitCode {
    paint::ended(show(arguments))
}

/// What the demo found and did.
#[derive(Debug, Default, Serialize)]
struct Story {
    /// The language server behind us; `None` when there is none.
    language_server: Option<String>,
    problems_before: usize,
    problems_after: usize,
    repairs: Vec<Repair>,
    proof: Option<Proof>,
    /// What arrived in the editor's buffers, as a unified diff.
    diff: String,
    /// How the run ended.
    outcome: Option<Outcome>,
    seconds: f64,
}

fn show(arguments: &Arguments) -> anyhow::Result<u8> {
    let host = crate::cli::place::host()?;
    let folder = Folder::make("demo")?;
    let root = folder.path.join("journal");
    workspace::write(&root)?;
    std::fs::create_dir(folder.path.join("tmp"))?;
    let progress = match (arguments.json, arguments.verbose) {
        (true, _) => Progress::Silent,
        (false, true) => Progress::Everything,
        (false, false) => Progress::Repairs,
    };
    if progress != Progress::Silent {
        paint::say(format!(
            "A broken workspace in {}",
            paint(paint::THING, root.display())
        ));
    }
    let started = Instant::now();
    let mut story = session::block_on(play(&host, &folder.path, &root, progress))??;
    story.seconds = started.elapsed().as_secs_f64();
    if arguments.json {
        paint::say_json(&story)?;
    } else {
        print(&story);
    }
    let repaired = story.problems_before > 0 && story.problems_after == 0;
    let proven = story.proof.as_ref().is_some_and(|proof| proof.holds);
    Ok(if repaired && proven {
        EXIT_DONE
    } else {
        EXIT_PROBLEMS
    })
}

async fn play(host: &Host, home: &Path, root: &Path, progress: Progress) -> anyhow::Result<Story> {
    let mark = headless::mark(progress);
    mark.set_message("starting the language server");
    let options = match system_library_sources() {
        Some(sources) => json!({ "cargo": { "sysrootSrc": sources } }),
        None => Value::Null,
    };
    let command = server(host, home, root);
    let mut editor = HeadlessEditor::start(command, root, profile("headless"), options).await?;
    let files = workspace::FILES.iter().map(|(path, _)| Path::new(path));
    for file in files.filter(|path| path.extension().is_some_and(|ending| ending == "rs")) {
        editor.open(file)?;
    }
    let mut story = Story {
        language_server: language_server(&mut editor).await?,
        ..Story::default()
    };
    match &story.language_server {
        Some(name) => {
            mark.set_message(format!("{name} looks at the workspace"));
            look(&mut editor).await?;
            mark.suspend(|| print_diagnostics(&editor, name, progress));
        }
        None => mark.suspend(|| say_unless_silent(progress, "no rust-analyzer that works was found (`meliora doctor` tells more): the compiler's own suggestions have to do")),
    }
    repair(&mut editor, &mut story, progress, &mark).await?;
    story.diff = arrived(&editor).unified_diff();
    mark.finish_and_clear();
    editor.shutdown().await?;
    Ok(story)
}

/// Our server, with its state and cache in the demo's own folder, and with downloads of toolchain parts turned off.
fn server(host: &Host, home: &Path, root: &Path) -> Command {
    let below = |name: &str| home.join(name).display().to_string();
    let environment = BTreeMap::from([
        ("XDG_STATE_HOME".to_owned(), below("state")),
        ("XDG_CACHE_HOME".to_owned(), below("cache")),
        ("XDG_CONFIG_HOME".to_owned(), below("config")),
        ("TMPDIR".to_owned(), below("tmp")),
        (
            "RUSTUP_DIST_SERVER".to_owned(),
            "http://127.0.0.1:9".to_owned(),
        ),
    ]);
    Command {
        program: host.executable.clone(),
        arguments: vec!["serve".to_owned()],
        directory: root.to_owned(),
        environment: Environment::Inherited(environment),
        confinement: None,
        launcher: host.executable.clone(),
    }
}

async fn language_server(editor: &mut HeadlessEditor) -> anyhow::Result<Option<String>> {
    let status = editor
        .request("meliora/status", json!({}), Duration::from_secs(30))
        .await?;
    let servers = at(&status, "/servers")
        .as_array()
        .cloned()
        .unwrap_or_default();
    let running = servers
        .iter()
        .find(|server| at(server, "/running").as_bool() == Some(true));
    Ok(running.and_then(|server| at(server, "/name").as_str().map(str::to_owned)))
}

/// Waits until the language server has published what it found.
async fn look(editor: &mut HeadlessEditor) -> anyhow::Result<()> {
    let mut heard = 0;
    let mut quiet_since = Instant::now();
    let deadline = Instant::now() + LOOK_PATIENCE;
    while Instant::now() < deadline {
        editor.wait(Duration::from_millis(200), |_| false).await?;
        if editor.heard.len() != heard {
            heard = editor.heard.len();
            quiet_since = Instant::now();
        }
        let found = editor.diagnostics.values().flatten().any(is_error);
        if found && quiet_since.elapsed() >= LOOK_QUIET {
            break;
        }
    }
    Ok(())
}

/// Runs `meliora.fixAll` and follows it to its end.
async fn repair(
    editor: &mut HeadlessEditor,
    story: &mut Story,
    progress: Progress,
    mark: &ProgressBar,
) -> anyhow::Result<()> {
    editor.heard.clear();
    let answer = editor.execute("meliora.fixAll", json!([])).await?;
    let run = at(&answer, "/runId")
        .as_str()
        .context("the server named no run")?
        .to_owned();
    let deadline = Instant::now() + REPAIR_PATIENCE;
    while story.outcome.is_none() {
        if Instant::now() > deadline {
            bail!("the repair took too long");
        }
        editor
            .wait(Duration::from_millis(200), |editor| {
                !editor.heard.is_empty()
            })
            .await?;
        for (method, parameters) in std::mem::take(&mut editor.heard) {
            if at(&parameters, "/runId").as_str() != Some(run.as_str()) {
                continue;
            }
            match method.as_str() {
                "meliora/event" => {
                    let event: RunEvent =
                        serde_json::from_value(at(&parameters, "/event").clone())?;
                    headless::show(&event, progress, mark);
                    note(event, story);
                }
                "meliora/proposal" => {
                    story.repairs = serde_json::from_value(at(&parameters, "/repairs").clone())?;
                }
                _ => {}
            }
        }
    }
    Ok(())
}

fn note(event: RunEvent, story: &mut Story) {
    match event {
        RunEvent::Checked { errors, .. } => {
            story.problems_before = errors;
            story.problems_after = errors;
        }
        RunEvent::Proved(proof) => {
            story.problems_after = proof.problems_after;
            story.proof = Some(proof);
        }
        RunEvent::Finished(outcome) => story.outcome = Some(outcome),
        _ => {}
    }
}

/// What is different in the editor's buffers.
fn arrived(editor: &HeadlessEditor) -> EditSet {
    let mut edits = EditSet::default();
    for (path, before) in workspace::FILES {
        if let Some(buffer) = editor.buffers.get(Path::new(path)) {
            edits.record(
                PathBuf::from(path),
                Some(before.into()),
                Some(Arc::clone(&buffer.text)),
            );
        }
    }
    edits
}

fn print_diagnostics(editor: &HeadlessEditor, name: &str, progress: Progress) {
    let errors = editor
        .diagnostics
        .values()
        .flatten()
        .filter(|diagnostic| is_error(diagnostic))
        .count();
    say_unless_silent(
        progress,
        &format!(
            "{name} shows {} in the editor",
            paint::count(errors, "error")
        ),
    );
}

fn is_error(diagnostic: &Value) -> bool {
    at(diagnostic, "/severity").as_u64() == Some(1)
}

fn say_unless_silent(progress: Progress, text: &str) {
    if progress != Progress::Silent {
        paint::say(text);
    }
}

fn print(story: &Story) {
    paint::say(paint::diff(&story.diff));
    if let Some(proof) = &story.proof {
        headless::print_proof(proof);
    }
    match &story.outcome {
        Some(Outcome::Applied { files }) => {
            let codes: std::collections::BTreeSet<&str> = story
                .repairs
                .iter()
                .map(|repair| repair.code.as_str())
                .filter(|code| !code.is_empty())
                .collect();
            let kinds = if codes.len() == 1 { "kind" } else { "kinds" };
            let what = format!(
                "{} {kinds} of errors repaired in {}",
                codes.len(),
                paint::count(*files, "file")
            );
            let seconds = paint(paint::FAINT, format!("{:.1} s, no model", story.seconds));
            paint::say(format!("{}  {seconds}", paint(paint::GOOD, what)));
        }
        Some(Outcome::Failed { message }) => paint::complain(message),
        Some(Outcome::Nothing { reason }) => paint::say(reason),
        Some(Outcome::Proposed { .. } | Outcome::Cancelled) | None => {
            paint::complain("the repair did not arrive");
        }
    }
}

/// A temporary folder that is removed at the end.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) path: PathBuf,
}

impl Folder {
    /// Makes one whose name says what it is for.
    pub(super) fn make(purpose: &str) -> anyhow::Result<Self> {
        let path = format!("meliora-{purpose}-{}", session::new_run()?);
        let path = std::env::temp_dir().join(path);
        std::fs::create_dir(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Self {
            path: path.canonicalize()?,
        })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed is in the folder for temporary files.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}
