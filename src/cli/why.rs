//! `meliora why`: what the policy says of an action, and why (spec: Safety Rules; CLI).

use std::io::{self, BufRead as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use serde::{Deserialize, Serialize};

use super::paint::{self, paint};
use super::{EXIT_DONE, EXIT_PROBLEMS, place};
use crate::config::layers;
use crate::permit::{Action, Decision};
use crate::safety::commands::{self, Access, Ruling};
use crate::safety::{self, Policy};

/// Bytes of one command that are read from standard input.
const COMMAND_BYTES_MAX: usize = 1024 * 1024;

/// Bytes that are read ahead: more than standard input holds back by itself, so that it holds none.
const INPUT_BYTES: usize = 64 * 1024;

/// Shown below the options.
const EXAMPLES: &str = "\
Examples:
  meliora why 'rm -rf target && cargo build'
  meliora why --write src/main.rs
  meliora why --url https://docs.rs/serde
  meliora why --json --stdin < commands.txt";

/// Explain what the agent may do: whether a command, a path or an address is allowed, asks, or is denied, by which rule
/// and why.
///
/// A command is taken apart as the agent's own commands are: every part is shown with the words that count and the
/// files that it would use. Nothing is run. The exit code is 0 for what is allowed, and 1 for what asks or is denied.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
#[command(group = clap::ArgGroup::new("action").required(true))]
pub struct Arguments {
    /// A command line, in quotes
    #[arg(group = "action")]
    command: Option<String>,
    /// A path that would be read
    #[arg(long, value_name = "PATH", group = "action")]
    read: Option<PathBuf>,
    /// A path that would be created or changed
    #[arg(long, value_name = "PATH", group = "action")]
    write: Option<PathBuf>,
    /// A path that would be removed
    #[arg(long, value_name = "PATH", group = "action")]
    delete: Option<PathBuf>,
    /// An address that would be asked
    #[arg(long, value_name = "URL", group = "action")]
    url: Option<String>,
    /// Judge one command a line of standard input; a line `{"command": "…", "directory": "…"}` may hold several lines
    #[arg(long, group = "action")]
    stdin: bool,
    /// A folder of the project
    #[arg(long, alias = "workspace", value_name = "PATH", default_value = ".")]
    project: PathBuf,
    /// The folder in which the command would run; the root of the project when it is not given
    #[arg(long, value_name = "PATH")]
    directory: Option<PathBuf>,
    /// Print JSON instead of text, one document for each verdict
    #[arg(long)]
    json: bool,
}

/// A command of standard input with a folder of its own.
#[derive(Debug, Deserialize)]
struct Asked {
    command: String,
    directory: Option<PathBuf>,
}

/// The verdict on a command, for programs.
#[derive(Debug, Serialize)]
struct Verdict<'a> {
    command: &'a str,
    #[serde(flatten)]
    decision: &'a Decision,
    segments: &'a [commands::Segment],
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> ExitCode {
    paint::ended(answer(arguments))
}

fn answer(arguments: &Arguments) -> anyhow::Result<u8> {
    let host = place::host()?;
    let root = place::find(&arguments.project, &host.home)?.root;
    let config = layers::load(&host, Some(&root), &serde_json::Value::Null).config;
    let policy = Policy::new(&host, &config, &root);
    for complaint in safety::rules::complaints(&policy, &config) {
        paint::remark(complaint);
    }
    let directory = match &arguments.directory {
        Some(directory) => std::path::absolute(directory)?,
        None => root,
    };
    let absolute = |path: &Path| directory.join(path);
    let decision = if arguments.stdin {
        return judge_lines(arguments, &policy, &directory);
    } else if let Some(command) = &arguments.command {
        anyhow::ensure!(
            !command.trim().is_empty(),
            "the command is empty: give one in quotes, such as 'cargo build'"
        );
        let ruling = safety::shell(&policy, command, &directory);
        show_ruling(arguments, command, &ruling)?;
        ruling.decision
    } else {
        let action = if let Some(path) = &arguments.read {
            Action::ReadFile {
                path: absolute(path),
            }
        } else if let Some(path) = &arguments.write {
            Action::WriteFile {
                path: absolute(path),
                bytes: 0,
            }
        } else if let Some(path) = &arguments.delete {
            Action::DeleteFile {
                path: absolute(path),
            }
        } else {
            let url = arguments.url.clone().unwrap_or_default();
            Action::Request {
                method: "GET".to_owned(),
                url,
                bytes: 0,
                digest: String::new(),
            }
        };
        let decision = safety::decide(&policy, &action);
        if arguments.json {
            paint::say(serde_json::to_string(&decision)?);
        } else {
            show(&decision, "");
        }
        decision
    };
    Ok(match decision {
        Decision::Allow { .. } => EXIT_DONE,
        Decision::Ask { .. } | Decision::Deny { .. } => EXIT_PROBLEMS,
    })
}

/// Judges one command a line, until there are no more.
fn judge_lines(arguments: &Arguments, policy: &Policy, directory: &Path) -> anyhow::Result<u8> {
    let mut input = io::BufReader::with_capacity(INPUT_BYTES, io::stdin().lock());
    let mut output = io::BufWriter::new(io::stdout().lock());
    let mut line = Vec::new();
    loop {
        line.clear();
        let limit = COMMAND_BYTES_MAX as u64;
        if io::Read::take(&mut input, limit).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end_matches(['\n', '\r']);
        let asked: Option<Asked> = text
            .starts_with("{\"")
            .then(|| serde_json::from_str(text).ok())
            .flatten();
        let (command, folder) = match &asked {
            Some(asked) => (asked.command.as_str(), asked.directory.as_deref()),
            None => (text, None),
        };
        let folder = directory.join(folder.unwrap_or(Path::new("")));
        let ruling = safety::shell(policy, command, &folder);
        let written = if arguments.json {
            write_json(&mut output, command, &ruling)
        } else {
            let (name, rule, reason) = told(&ruling.decision);
            writeln!(output, "{name}\t{rule}\t{command}\t{reason}")
        };
        // A program that asks and waits for each verdict gets it at once.
        let is_idle = !input.buffer().contains(&b'\n');
        let told = written.and_then(|()| if is_idle { output.flush() } else { Ok(()) });
        match told {
            // Whoever reads has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => break,
            other => other.context("cannot write the verdict")?,
        }
    }
    Ok(EXIT_DONE)
}

fn write_json(output: &mut impl io::Write, command: &str, ruling: &Ruling) -> io::Result<()> {
    let verdict = Verdict {
        command,
        decision: &ruling.decision,
        segments: &ruling.segments,
    };
    serde_json::to_writer(&mut *output, &verdict)?;
    output.write_all(b"\n")
}

fn show_ruling(arguments: &Arguments, command: &str, ruling: &Ruling) -> anyhow::Result<()> {
    if arguments.json {
        let mut line = Vec::new();
        write_json(&mut line, command, ruling)?;
        paint::say(String::from_utf8_lossy(&line).trim_end());
        return Ok(());
    }
    show(&ruling.decision, "");
    for segment in &ruling.segments {
        paint::say("");
        paint::say(format_args!("  {}", paint(paint::STRONG, &segment.command)));
        show(&segment.decision, "    ");
        let words = segment.words.join(" ");
        if !words.is_empty() && words != segment.command {
            paint::say(format_args!("    counts as {}", paint(paint::THING, words)));
        }
        for target in &segment.targets {
            let what = match target.access {
                Access::Read => "reads",
                Access::Write => "writes",
                Access::Delete => "deletes",
            };
            let place = format!("{:?}", target.place).to_lowercase();
            let path = target.path.display();
            let place = paint(paint::FAINT, format!("({place})"));
            paint::say(format_args!(
                "    {what} {} {place}",
                paint(paint::THING, path)
            ));
        }
    }
    Ok(())
}

fn show(decision: &Decision, indent: &str) {
    let (name, rule, reason) = told(decision);
    let style = match decision {
        Decision::Allow { .. } => paint::GOOD,
        Decision::Ask { .. } => paint::CAUTION,
        Decision::Deny { .. } => paint::BAD,
    };
    let rule = paint(paint::FAINT, format!("[{rule}]"));
    paint::say(format_args!(
        "{indent}{} {rule} {reason}",
        paint(style, name)
    ));
}

/// The verdict, its rule and its reason.
fn told(decision: &Decision) -> (&'static str, &str, &str) {
    match decision {
        Decision::Allow { rule } => ("allow", rule, ""),
        Decision::Ask { rule, reason } => ("ask", rule, reason),
        Decision::Deny { rule, reason } => ("deny", rule, reason),
    }
}
