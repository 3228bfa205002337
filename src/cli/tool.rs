//! `meliora tool`: the agent's tools, listed, explained and called by hand (spec: Tool Integration Framework).
//!
//! A call goes the way of a model's: validated, judged, run in the copy of the workspace, redacted, recorded. What it
//! proposes is written to the files as an applied run, which `meliora undo` takes back, or shown by `--dry-run`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use indicatif::ProgressBar;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::mpsc;

use super::guests::{self, Look};
use super::paint::{self, paint};
use super::session::{self, Session};
use super::{EXIT_DONE, EXIT_PROBLEMS};
use super::{asking, interrupt};
use crate::agent::commit::Delivered;
use crate::agent::copy::Copy;
use crate::agent::task::{Delivery, Kind, Proposal, Task};
use crate::event::{Outcome, Proof, RunEvent};
use crate::llm::message::ToolCall;
use crate::mcp::Brought;
use crate::plugins;
use crate::redact::stream::Filter;
use crate::safety::Policy;
use crate::safety::approvals::Approver;
use crate::text::edit::EditSet;
use crate::text::staging::Staging;
use crate::tools::consent::Consent;
use crate::tools::execute::{Desk, Executed, execute};
use crate::tools::outputs::Outputs;
use crate::tools::registry::Toolbox;
use crate::tools::{Checker, Parameter, Tool, ToolResult, registry};

/// Pieces of output that may wait for the terminal.
const PIECES_QUEUED_MAX: usize = 256;

/// Shown below the options.
const EXAMPLES: &str = "\
Examples:
  meliora tool list
  meliora tool show run_tests
  meliora tool call read_file '{\"path\": \"src/main.rs\"}'
  meliora tool call format --dry-run";

/// List, explain and call the tools that a model has.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Every tool, with what it does
    List {
        /// A folder of the project: the servers of tools that its settings name are started
        #[arg(long, default_value = ".", value_name = "PATH")]
        project: PathBuf,
        /// Print one JSON document instead of text
        #[arg(long, conflicts_with = "markdown")]
        json: bool,
        /// Print the page docs/TOOLS.md
        #[arg(long)]
        markdown: bool,
    },
    /// One tool: its arguments and what it gives
    Show {
        /// Its name
        name: String,
        #[command(flatten)]
        look: Look,
    },
    /// Call a tool as a model would, under the same rules, and write what it proposes to the files
    Call(Call),
}

/// Call a tool.
#[derive(Debug, Args)]
struct Call {
    /// Its name
    name: String,
    /// Its arguments as a JSON object
    #[arg(default_value = "{}")]
    arguments: String,
    /// A folder of the project
    #[arg(long, default_value = ".", value_name = "PATH")]
    project: PathBuf,
    /// Show what would change as a diff, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON document instead of text
    #[arg(long)]
    json: bool,
}

/// A tool, for machines.
#[derive(Debug, Serialize)]
struct Told {
    name: String,
    description: String,
    parameters: Vec<Parameter>,
    returns: String,
    schema: Value,
}

/// What came of a call, for machines.
#[derive(Debug, Serialize)]
struct Document<'call> {
    run: String,
    #[serde(flatten)]
    result: &'call ToolResult,
    diff: String,
    #[serde(flatten)]
    outcome: Outcome,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> ExitCode {
    paint::ended(match &arguments.command {
        Command::List { markdown: true, .. } => {
            paint::say(page().trim_end());
            Ok(EXIT_DONE)
        }
        Command::List { project, json, .. } => list(project, *json),
        Command::Show { name, look } => show(name, &look.project, look.json),
        Command::Call(call) => return paint::ended_for(call.json, carry_out(call)),
    })
}

fn list(project: &Path, json: bool) -> anyhow::Result<u8> {
    let tools = all(project)?;
    if json {
        paint::say_json(&tools)?;
        return Ok(EXIT_DONE);
    }
    for tool in tools {
        let name = paint(paint::THING, &tool.name);
        paint::say(format!("{name}  {}", paint::plain(&tool.description)));
    }
    Ok(EXIT_DONE)
}

fn show(name: &str, project: &Path, json: bool) -> anyhow::Result<u8> {
    let shipped = registry::shipped().iter().find(|tool| tool.name() == name);
    let tool = match shipped {
        Some(tool) => told(*tool),
        None => {
            let mut tools = all(project)?.into_iter();
            let found = tools.find(|tool| tool.name == name);
            found.with_context(|| {
                let toolbox = toolbox(project).unwrap_or_default();
                toolbox.why_absent(name).unwrap_or_else(|| unknown(name))
            })?
        }
    };
    if json {
        paint::say_json(&tool)?;
        return Ok(EXIT_DONE);
    }
    let name = paint(paint::STRONG, &tool.name);
    paint::say(format!("{name}\n{}", paint::plain(&tool.description)));
    for parameter in &tool.parameters {
        let needed = if parameter.required { "" } else { ", optional" };
        let name = paint(paint::THING, &parameter.name);
        let kind = parameter.kind.name();
        paint::say(format!(
            "  {name} ({kind}{needed})  {}",
            parameter.description
        ));
    }
    if shipped.is_none() {
        let schema = serde_json::to_string_pretty(&tool.schema)?;
        paint::say(paint::plain_lines(&schema));
    }
    paint::say(format!("gives {}", tool.returns));
    Ok(EXIT_DONE)
}

/// The tools that ship, and those that others brought for the project that `path` is in, if it is in one.
fn toolbox(path: &Path) -> anyhow::Result<Toolbox> {
    let host = Arc::new(super::place::host()?);
    let root = super::place::find(path, &host.home).map(|project| project.root);
    let root = root.unwrap_or_else(|_| host.home.clone());
    let toolbox = Toolbox::with(plugins::guest::tools(&host, &root));
    Ok(toolbox.knowing(move |name| plugins::guest::absence(&host, &root, name)))
}

/// The same, with the tools of the servers that the settings of the project name.
fn all(project: &Path) -> anyhow::Result<Vec<Told>> {
    let mut tools: Vec<Told> = toolbox(project)?.tools().map(told).collect();
    let guests = guests::with(project, |brought| {
        let guests = brought.tools.iter();
        guests.map(|tool| told(tool.as_ref())).collect::<Vec<_>>()
    })?;
    tools.extend(guests);
    Ok(tools)
}

fn unknown(name: &str) -> String {
    format!("there is no tool `{name}`; `meliora tool list` shows them")
}

fn told(tool: &dyn Tool) -> Told {
    Told {
        name: tool.name().to_owned(),
        description: tool.description().to_owned(),
        parameters: tool.parameters(),
        returns: tool.returns().description,
        schema: tool.schema(),
    }
}

/// The page docs/TOOLS.md.
pub fn page() -> String {
    let mut page = "# Tools\n\nWhat a model can do, and what `meliora tool call NAME ARGUMENTS` does by hand. This page \
                    is what `meliora tool list --markdown` prints. A model is told only of the tools that have something \
                    to work on in the workspace and are not switched off.\n"
        .to_owned();
    for tool in registry::shipped() {
        let description = tool.description();
        // Writing to a string cannot fail.
        let _ = write!(page, "\n## `{}`\n\n{description}\n\n", tool.name());
        for parameter in tool.parameters() {
            let needed = if parameter.required { "" } else { ", optional" };
            let (name, kind) = (&parameter.name, parameter.kind.name());
            let colon = if parameter.description.is_empty() {
                ""
            } else {
                ": "
            };
            let description = &parameter.description;
            let _ = writeln!(page, "- `{name}` ({kind}{needed}){colon}{description}");
        }
        let _ = writeln!(page, "\nGives {}.", tool.returns().description);
    }
    page
}

fn carry_out(call: &Call) -> anyhow::Result<u8> {
    let toolbox = toolbox(&call.project)?;
    // That of a server is known when its server was started.
    let is_known = toolbox.find(&call.name).is_some() || call.name.contains("__");
    anyhow::ensure!(is_known, unknown(&call.name));
    anyhow::ensure!(
        !is_in_background(call),
        "by hand nothing runs on in the background, because it would end with this command: leave `background` out, or \
         start the program yourself"
    );
    let session = session::open(&call.project)?;
    session.store.kept()?;
    let title = format!("call {} {}", call.name, call.arguments);
    let title = session.services.redactor.clean(&title).into_owned();
    session.record(vec![RunEvent::Started {
        kind: "tool".to_owned(),
        title: title.clone(),
        workspace: session.project.root.clone(),
    }]);
    let working = async {
        // A program that reads JSON is no person, but for what it changes somebody at the terminal is asked.
        let approver = asking::approver(ProgressBar::hidden());
        let of_tool = approver.clone().filter(|_| !call.json);
        let (executed, edits, was_shown) = execute_alone(call, &session, &toolbox, of_tool).await;
        session.record(executed.events.clone());
        let approver = approver.as_ref();
        let outcome = deliver(call, &session, title, &executed, edits.clone(), approver).await;
        (executed, edits, was_shown, outcome)
    };
    let working = async {
        let interrupted = interrupt::pressed();
        tokio::select! {
            done = working => Some(done),
            // What it runs ends with it.
            () = interrupted => None,
        }
    };
    let Some((executed, edits, was_shown, outcome)) = session::block_on(working)? else {
        asking::leave(&ProgressBar::hidden());
        session.record(vec![RunEvent::Finished(Outcome::Cancelled)]);
        session.store.flush()?;
        paint::complain("cancelled; nothing was changed");
        return Ok(EXIT_PROBLEMS);
    };
    session.record(vec![RunEvent::Finished(outcome.clone())]);
    if let Err(error) = session.store.flush() {
        paint::remark(format!("the journal could not be written: {error}"));
    }
    let is_done = executed.result.success
        && executed.result.holds != Some(false)
        && !matches!(outcome, Outcome::Failed { .. });
    if call.json {
        paint::say_json(&Document {
            run: session.run.to_string(),
            result: &executed.result,
            diff: edits.unified_diff(),
            outcome,
        })?;
    } else {
        let text = &executed.text;
        let text = if was_shown { facts(text) } else { text };
        print(call, &session, (&executed, text), &edits, &outcome);
    }
    Ok(if is_done { EXIT_DONE } else { EXIT_PROBLEMS })
}

/// Whether a command line is to run on, which is for a run that goes on too.
fn is_in_background(call: &Call) -> bool {
    let arguments: Value = serde_json::from_str(&call.arguments).unwrap_or_default();
    call.name == "shell" && arguments.get("background") == Some(&Value::Bool(true))
}

/// Says of a result that was cut what is so by hand: whatever the run kept is gone with it.
fn without_reading_on(mut executed: Executed) -> Executed {
    const SAID: &str = "the rest is not kept by hand: call the tool for less of it";
    for log in &mut executed.result.logs {
        let Some((cut, _)) = log.message.split_once("; read_output with output = ") else {
            continue;
        };
        let said = format!("{cut}; {SAID}");
        if let Some(text) = executed.text.strip_suffix(&log.message) {
            executed.text = format!("{text}{said}");
        }
        log.message = said;
    }
    executed
}

/// Executes the call in a copy of the workspace, which is made if it needs one.
async fn execute_alone(
    call: &Call,
    session: &Session,
    toolbox: &Toolbox,
    approver: Option<Approver>,
) -> (Executed, EditSet, bool) {
    let services = &session.services;
    let root = session.project.root.clone();
    let task = Task {
        run: session.run.clone(),
        kind: Kind::Do(call.name.clone()),
        workspace: root.clone(),
        overlay: BTreeMap::new(),
        focus: None,
        problems: Vec::new(),
    };
    let config = &services.config;
    let bytes_max = config.safety.file_bytes_max();
    let mut staging = Staging::new(root.clone(), BTreeMap::new(), bytes_max);
    let policy = Policy::new(&services.host, config, &root);
    let (checker, questions) = Checker::new();
    let (watch, pieces) = mpsc::channel(PIECES_QUEUED_MAX);
    let shown = (!call.json)
        .then(|| tokio::spawn(stream(pieces, Filter::new((*services.redactor).clone()))));
    let consent = Consent {
        is_by_hand: true,
        witness: Some(session.witness_of_tools()),
        ..Consent::of(&services.host, &root, approver)
    };
    let is_known = toolbox.find(&call.name).is_some() || toolbox.why_absent(&call.name).is_some();
    let brought = if is_known {
        Brought::default()
    } else {
        guests::bring(session, &policy).await
    };
    session.record(brought.events);
    let changed = brought.changed;
    let toolbox = toolbox.and(brought.tools);
    let toolbox = toolbox.knowing(move |name| changed.get(name).cloned());
    let executed = {
        let desk = Desk {
            toolbox: &toolbox,
            policy: &policy,
            redactor: &services.redactor,
            checker: Some(&checker),
            outputs: &Outputs::after(services.past.clone()),
            settings: &config.tools,
            watch: shown.is_some().then_some(&watch),
            consent: &consent,
        };
        let asked = ToolCall {
            id: "1".to_owned(),
            name: call.name.clone(),
            arguments: call.arguments.clone(),
        };
        let mut copy = Copy::new(&task, services);
        let working = Box::pin(execute(&asked, &mut staging, &desk));
        copy.attend(working, questions).await
    };
    drop(watch);
    let was_shown = match shown {
        // It ends with the last piece.
        Some(shown) => shown.await.unwrap_or_default(),
        None => false,
    };
    // Tests are told one by one beside what their runner printed.
    let is_twice = was_shown && call.name != "run_tests" && paint::is_terminal();
    let edits = staging.proposed().clone();
    (without_reading_on(executed), edits, is_twice)
}

/// Shows output as it comes, without secrets, on standard error: the result itself goes to standard output.
/// Gives whether there was any.
async fn stream(mut pieces: mpsc::Receiver<Vec<u8>>, mut filter: Filter) -> bool {
    let show = |clean: &mut Vec<u8>| {
        let text = String::from_utf8_lossy(clean).into_owned();
        anstream::eprint!("{}", paint(paint::FAINT, paint::plain_lines(&text)));
        clean.clear();
    };
    let mut clean = Vec::new();
    let mut was_any = false;
    while let Some(piece) = pieces.recv().await {
        was_any = true;
        filter.push(&piece, &mut clean);
        show(&mut clean);
    }
    filter.finish(&mut clean);
    show(&mut clean);
    was_any
}

/// A result without the text that it quotes.
fn facts(text: &str) -> &str {
    text.split_once("````").map_or(text, |(facts, _)| facts)
}

/// Writes what was proposed to the files, unless it is only to be shown.
async fn deliver(
    call: &Call,
    session: &Session,
    title: String,
    executed: &Executed,
    edits: EditSet,
    approver: Option<&Approver>,
) -> Outcome {
    let files = edits.files.len();
    if !executed.result.success {
        let message = executed.result.data.get("error").and_then(Value::as_str);
        let message = message.unwrap_or_default().to_owned();
        return Outcome::Failed { message };
    }
    if edits.is_empty() && executed.wishes.is_empty() {
        let reason = match executed.result.holds {
            Some(false) => "what it ran failed, or found errors",
            Some(true) | None => "the tool changed nothing",
        };
        let reason = reason.to_owned();
        return Outcome::Nothing { reason };
    }
    if call.dry_run {
        return Outcome::Proposed { files };
    }
    if edits.is_empty() {
        let is_done = session.change_repository(Delivered {
            run: &session.run,
            title: &title,
            edits: &edits,
            wishes: &executed.wishes,
            is_by_hand: true,
        });
        return if is_done {
            let reason = "the repository was changed, and no file".to_owned();
            Outcome::Nothing { reason }
        } else {
            let message = "the repository was not changed".to_owned();
            Outcome::Failed { message }
        };
    }
    let paths = edits.files.keys().cloned().collect();
    let proposal = Proposal {
        edits,
        title,
        proof: Proof::default(),
        repairs: Vec::new(),
        steps: Vec::new(),
        wishes: executed.wishes.clone(),
    };
    match session.apply(&proposal, approver).await {
        Delivery::Applied | Delivery::Shown => {
            session.record(vec![RunEvent::Applied { files: paths }]);
            Outcome::Applied { files }
        }
        Delivery::Refused(message) => Outcome::Failed { message },
    }
}

fn print(
    call: &Call,
    session: &Session,
    (executed, text): (&Executed, &str),
    edits: &EditSet,
    outcome: &Outcome,
) {
    if executed.result.success {
        paint::say(paint::quoted(text.trim_end()));
    } else {
        paint::complain(text.trim_start_matches("error: "));
    }
    if call.dry_run && !edits.is_empty() {
        paint::say(paint::diff(&edits.unified_diff()));
    }
    match outcome {
        Outcome::Applied { files } => {
            let said = format!("{} changed", paint::count(*files, "file"));
            let said = paint(paint::GOOD, said);
            paint::say(format!(
                "{said}  `meliora undo` takes run {} back",
                session.run
            ));
        }
        Outcome::Proposed { files } => {
            let said = format!("{} would change", paint::count(*files, "file"));
            paint::say(paint(paint::STRONG, said));
        }
        Outcome::Failed { message } if executed.result.success => paint::complain(message),
        Outcome::Failed { .. } | Outcome::Nothing { .. } | Outcome::Cancelled => {}
    }
}
