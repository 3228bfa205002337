//! `meliora mcp`: the servers of tools that the settings name (spec: Plugin System).

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::guests::Look;
use super::paint::{self, paint};
use super::{EXIT_DONE, EXIT_PROBLEMS, guests, session};
use crate::event::{Outcome, RunEvent};
use crate::mcp;

/// Shown below the options.
const EXAMPLES: &str = "\
Examples:
  meliora mcp list             start the configured servers, and show their tools
  meliora mcp accept files     use the tools of a server as they are now";

/// See the servers of tools (Model Context Protocol) that your settings name.
///
/// A server is configured by `[tools.mcp.NAME]`. It runs confined, without a network unless that is said. What its tools
/// are is kept when they are first seen: a tool that is another later is not used before it is accepted.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the configured servers, and show what they have
    List(Look),
    /// Accept the tools of a server as they are now
    Accept {
        /// Its name
        name: String,
        /// A folder of the project
        #[arg(long, default_value = ".", value_name = "PATH")]
        project: PathBuf,
    },
}

/// A tool, for machines.
#[derive(Debug, Serialize)]
struct Told {
    name: String,
    description: String,
}

/// What the servers have, for machines.
#[derive(Debug, Default, Serialize)]
struct Document {
    tools: Vec<Told>,
    notices: Vec<String>,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> ExitCode {
    paint::ended(match &arguments.command {
        Command::List(Look { project, json }) => list(project, *json),
        Command::Accept { name, project } => accept(name, project),
    })
}

fn list(project: &std::path::Path, json: bool) -> anyhow::Result<u8> {
    let document = guests::with(project, |brought| Document {
        tools: brought
            .tools
            .iter()
            .map(|tool| Told {
                name: tool.name().to_owned(),
                description: tool.description().to_owned(),
            })
            .collect(),
        notices: brought.notices.clone(),
    })?;
    if json {
        paint::say_json(&document)?;
    } else if document.tools.is_empty() && document.notices.is_empty() {
        paint::say("no server of tools is configured: name one in [tools.mcp.NAME]");
    }
    for tool in document.tools.iter().filter(|_| !json) {
        let name = paint(paint::THING, &tool.name);
        paint::say(format!("{name}  {}", paint::plain(&tool.description)));
    }
    let is_whole = document.notices.is_empty();
    Ok(if is_whole { EXIT_DONE } else { EXIT_PROBLEMS })
}

fn accept(name: &str, project: &std::path::Path) -> anyhow::Result<u8> {
    let session = session::open(project)?;
    let servers = &session.services.config.tools.mcp;
    anyhow::ensure!(
        servers.contains_key(name),
        "no server of tools is called `{name}` in the settings"
    );
    let was_kept = mcp::forget(&session.services.host, &session.project.root, name)?;
    let title = format!("accept the tools of {name} as they are now");
    session.record(vec![
        RunEvent::Started {
            kind: "tool".to_owned(),
            title: title.clone(),
            workspace: session.project.root.clone(),
        },
        RunEvent::Finished(Outcome::Nothing { reason: title }),
    ]);
    session.store.flush()?;
    paint::say(if was_kept {
        format!("what the tools of {name} are next is kept anew")
    } else {
        format!("nothing was kept of {name}: its tools are taken as they are next")
    });
    Ok(EXIT_DONE)
}
