//! `meliora frames replay`: says a recording to a server again, and compares its answers (spec: CLI; Monitoring, flight
//! recorder).

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};

use super::super::demo::Folder;
use super::super::{EXIT_DONE, EXIT_PROBLEMS, paint, proxy, session};
use super::compare::Likeness;
use super::read;
use super::replay::{COMMANDS, Outcome, Story, replay};
use crate::config::host::Host;
use crate::downstream::connection::Connection;
use crate::downstream::discovery;
use crate::downstream::recorder::recording::{Recording, Way};
use crate::downstream::wire::Envelope;
use crate::permit::Purpose;
use crate::process::launch::{Caps, Confinement};
use crate::process::{Command, Environment};
use crate::safety;

use paint::paint as painted;

/// Start a server, say to it what was said in a recording, and compare its answers.
///
/// A recording can make a server do what whoever wrote it likes: its settings may name programs to run, its commands may
/// change files. So the server gets no network and can write only to a temporary folder, and commands
/// (`workspace/executeCommand`) are left out, unless you say --trust.
///
/// Exits with 0 when all answers are the same, with 1 when one is different or missing.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The recording
    file: PathBuf,
    /// Which of several recordings in the file: the name of a server, or of one start of it
    #[arg(long, value_name = "NAME")]
    server: Option<String>,
    /// Seconds that an answer may take
    #[arg(long, default_value_t = 30, value_name = "SECONDS")]
    patience: u64,
    /// Do not confine the server, and say the commands of the recording too: only for recordings that you would run as a
    /// program
    #[arg(long)]
    trust: bool,
    /// Print one JSON document instead of text
    #[arg(long)]
    json: bool,
    /// The server with its arguments
    #[arg(last = true, required = true, value_name = "SERVER ARGS")]
    command: Vec<String>,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    let mut recordings = read(&arguments.file, arguments.server.as_deref())?;
    if recordings.len() > 1 {
        let names: Vec<&str> = recordings.iter().map(|it| it.head.of.as_str()).collect();
        let names = names.join(", ");
        anyhow::bail!("there are several recordings: choose one of {names} with --server");
    }
    let recording = recordings.pop().context("there is no recording")?;
    anyhow::ensure!(
        recording.head.texts,
        "it was written with --no-text: it can be shown, not replayed"
    );
    let is_greeting = |body: &[u8]| {
        Envelope::peek(body).is_some_and(|envelope| envelope.method(body) == "initialize")
    };
    let mut said = recording
        .frames
        .iter()
        .filter(|frame| frame.way == Way::ToServer);
    anyhow::ensure!(
        said.any(|frame| !frame.is_cut && is_greeting(&frame.body)),
        "it has no `initialize`: it cannot be replayed"
    );
    let scratch = (!arguments.trust).then(|| Folder::make("replay"));
    let scratch = scratch.transpose()?;
    let left_out = if arguments.trust { &[][..] } else { &COMMANDS };
    let mut command = command(&recording, &arguments.command)?;
    if let Some(scratch) = &scratch {
        confine(&mut command, &scratch.path, Host::capture()?.hidden());
    }
    let patience = Duration::from_secs(arguments.patience);
    let story = session::block_on(async {
        let permit = safety::permit_user_program(
            Purpose::LanguageServer,
            command.program.clone(),
            command.arguments.clone(),
            command.directory.clone(),
        );
        let (connection, incoming) = Connection::start("server", &command, &permit)?;
        anyhow::Ok(replay(&recording, (connection, incoming), patience, left_out).await)
    })?;
    let hint = match scratch {
        Some(_) => " confined (--trust starts it as it is)",
        None => "",
    };
    let story =
        story.with_context(|| format!("cannot start {}{hint}", command.program.display()))?;
    if arguments.json {
        paint::say_json(&as_json(&story))?;
    } else {
        show(&story);
    }
    let is_same = story.outcomes.iter().all(|outcome| match outcome.likeness {
        Some(Likeness::Same | Likeness::OfTheMoment) => true,
        Some(Likeness::Different { .. }) | None => false,
    });
    let is_same = is_same && story.ended.is_none();
    Ok(if is_same { EXIT_DONE } else { EXIT_PROBLEMS })
}

/// The command of the server, started where it was started then.
fn command(recording: &Recording, words: &[String]) -> anyhow::Result<Command> {
    let host = Host::capture()?;
    let here = std::env::current_dir().context("cannot find the current folder")?;
    let (name, arguments) = words.split_first().context("there is no server")?;
    let server = proxy::named(name, arguments, &here, &[]);
    let program = discovery::candidates(&server, &host, None)
        .into_iter()
        .next();
    let directory = &recording.head.directory;
    let is_there = directory.is_dir();
    if !is_there {
        let directory = paint::plain(&directory.to_string_lossy()).into_owned();
        paint::remark(format_args!(
            "{directory} is not there: the server is started here"
        ));
    }
    Ok(Command {
        program: program.with_context(|| format!("{name} was not found"))?,
        arguments: server.arguments,
        directory: if is_there { directory.clone() } else { here },
        environment: Environment::Inherited(server.environment),
        confinement: None,
        launcher: host.executable,
    })
}

/// Takes the network from a command, and everything to write but a folder.
fn confine(command: &mut Command, folder: &Path, hidden: Vec<PathBuf>) {
    command.confinement = Some(Confinement {
        writable: vec![folder.to_owned()],
        readable: None,
        hidden,
        network: false,
        required: true,
        caps: Caps::default(),
        world: false,
        local_sockets: false,
        temporary: None,
    });
    if let Environment::Inherited(more) = &mut command.environment {
        for name in ["TMPDIR", "XDG_CACHE_HOME"] {
            more.insert(name.to_owned(), folder.display().to_string());
        }
    }
}

fn show(story: &Story) {
    for remark in &story.remarks {
        paint::remark(paint::plain(remark));
    }
    for Outcome {
        method,
        id,
        likeness,
    } in &story.outcomes
    {
        let what = match likeness {
            Some(Likeness::Same | Likeness::OfTheMoment) => continue,
            Some(Likeness::Different { at, then, now }) => {
                let what = format!("{at} was {then} and is {now}");
                paint::plain(&what).into_owned()
            }
            None => "there is no answer".to_owned(),
        };
        let (id, method) = (paint::plain(id), paint::plain(method));
        let (mark, id) = (painted(paint::BAD, '✗'), painted(paint::FAINT, &id));
        paint::say(format_args!(
            "{mark} {} {id}  {what}",
            painted(paint::STRONG, &method)
        ));
    }
    for (method, is_answered) in &story.unanswered {
        let now = if *is_answered {
            "is answered now"
        } else {
            "is not answered now either"
        };
        let mark = painted(paint::CAUTION, '…');
        paint::say(format_args!(
            "{mark} {} was not answered then and {now}",
            painted(paint::STRONG, &paint::plain(method))
        ));
    }
    if let Some(reason) = &story.ended {
        let (mark, reason) = (painted(paint::BAD, '✗'), paint::plain(reason));
        paint::say(format_args!("{mark} the server ended: {reason}"));
    }
    let [same, different, missing, moment] = counts(story);
    let (style, mark) = if different + missing == 0 {
        (paint::GOOD, '✓')
    } else {
        (paint::BAD, '✗')
    };
    let not_compared = match moment {
        0 => String::new(),
        moment => format!(", {moment} not compared"),
    };
    paint::say(format_args!(
        "{} {}: {same} the same, {different} different, {missing} missing{not_compared}",
        painted(style, mark),
        paint::count(story.outcomes.len(), "answer"),
    ));
}

/// How many answers are the same, different, missing, and not compared.
fn counts(story: &Story) -> [usize; 4] {
    let count = |wanted: fn(&Option<Likeness>) -> bool| {
        let outcomes = story.outcomes.iter();
        outcomes.filter(|outcome| wanted(&outcome.likeness)).count()
    };
    [
        count(|likeness| matches!(likeness, Some(Likeness::Same))),
        count(|likeness| matches!(likeness, Some(Likeness::Different { .. }))),
        count(Option::is_none),
        count(|likeness| matches!(likeness, Some(Likeness::OfTheMoment))),
    ]
}

fn as_json(story: &Story) -> Value {
    let [same, different, missing, not_compared] = counts(story);
    let outcomes = story.outcomes.iter();
    let differences = outcomes.filter_map(|outcome| match &outcome.likeness {
        Some(Likeness::Same | Likeness::OfTheMoment) => None,
        Some(Likeness::Different { at, then, now }) => Some(json!({
            "method": outcome.method, "id": outcome.id, "at": at, "then": then, "now": now,
        })),
        None => Some(json!({ "method": outcome.method, "id": outcome.id, "at": null })),
    });
    let unanswered = story.unanswered.iter();
    let unanswered =
        unanswered.map(|(method, now)| json!({ "method": method, "answeredNow": now }));
    json!({
        "same": same,
        "different": different,
        "missing": missing,
        "notCompared": not_compared,
        "differences": differences.collect::<Vec<_>>(),
        "unanswered": unanswered.collect::<Vec<_>>(),
        "remarks": story.remarks,
        "ended": story.ended,
    })
}
