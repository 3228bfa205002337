//! `meliora frames`: what editor and language servers said to each other (spec: CLI; Monitoring, flight recorder).

mod again;
mod answering;
mod compare;
mod replay;
mod show;

use std::io::{BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::json;

use super::paint::{self, paint};
use super::{EXIT_DONE, remote};
use crate::downstream::recorder::recording::{self, Recording};
use crate::downstream::recorder::tape;
use crate::text::json::text;

/// Shown below the options.
const EXAMPLES: &str = "\
Examples:
  meliora frames dump --output bug.jsonl     what was said last, of every server of this folder
  meliora frames show bug.jsonl              who said what when, and how long the answers took
  meliora frames replay bug.jsonl -- ruff server
                                             whether a server still answers as it did

A server that dies leaves its last messages in a file by itself; the editor's log names it. `meliora proxy --record FILE`
writes everything from the beginning.";

/// See what was said last to the language servers behind your editor, and by them.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Dump(Dump),
    Show(show::Arguments),
    Replay(again::Arguments),
}

/// Write the last messages of the running language servers, without secrets, as JSON lines.
///
/// Asks every meliora that serves this folder for an editor, or a folder that it is in.
#[derive(Debug, Args)]
struct Dump {
    /// A folder or file of the workspace
    #[arg(default_value = ".")]
    path: PathBuf,
    /// Only those of the language server of this name
    #[arg(long, value_name = "NAME")]
    server: Option<String>,
    /// Write to this file instead of standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Put their lengths in place of all strings that may be text of yours; what is left cannot be replayed
    #[arg(long)]
    no_text: bool,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> ExitCode {
    paint::ended(match &arguments.command {
        Command::Dump(arguments) => dump(arguments),
        Command::Show(arguments) => show::run(arguments),
        Command::Replay(arguments) => again::run(arguments),
    })
}

fn dump(arguments: &Dump) -> anyhow::Result<u8> {
    let host = crate::cli::place::host()?;
    let path = arguments.path.canonicalize();
    let path = path.with_context(|| format!("cannot use {}", arguments.path.display()))?;
    let server = arguments.server.as_deref().unwrap_or_default();
    let params = json!({ "server": server, "texts": !arguments.no_text });
    let answers = remote::gather(&host, &path, "meliora/frames", &params)?;
    let lines: String = answers
        .iter()
        .map(|answer| text(answer, "/recording"))
        .collect();
    match &arguments.output {
        None => std::io::stdout().write_all(lines.as_bytes())?,
        Some(file) => {
            let written = tape::create(file).and_then(|mut file| file.write_all(lines.as_bytes()));
            written.with_context(|| format!("cannot write {}", file.display()))?;
            let frames = paint::count(lines.lines().count(), "line");
            paint::say(format_args!(
                "{frames} in {}",
                paint(paint::THING, file.display())
            ));
        }
    }
    if !arguments.no_text {
        let text = "secrets are masked; paths and the text of your files are in it. Look through it before you give it \
                    away, or use --no-text";
        paint::remark(text);
    }
    Ok(EXIT_DONE)
}

/// Reads a file of recordings, all or those of one server.
fn read(file: &Path, server: Option<&str>) -> anyhow::Result<Vec<Recording>> {
    let opened = std::fs::File::open(file);
    let opened = opened.with_context(|| format!("cannot read {}", file.display()))?;
    let mut all =
        recording::read(BufReader::new(opened)).with_context(|| file.display().to_string())?;
    if let Some(wanted) = server {
        let known: Vec<String> = all.iter().map(|it| it.head.server.clone()).collect();
        all.retain(|recording| recording.head.server == wanted || recording.head.of == wanted);
        anyhow::ensure!(
            !all.is_empty(),
            "there is no server {wanted} in {}; there is: {}",
            file.display(),
            known.join(", ")
        );
    }
    Ok(all)
}
