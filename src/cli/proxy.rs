//! `meliora proxy`: language servers as one, without the agent (spec: Deployment Modes, LSP server).

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;

use super::{EXIT_MISSING, paint, serve};
use crate::config::layers;
use crate::downstream::discovery;
use crate::downstream::recorder::mask::Mask;
use crate::downstream::recorder::tape::{self, Writing};
use crate::downstream::registry::{self, Post, Server};
use crate::redact::Redactor;
use crate::server::role::{Proxy, Role};
use crate::telemetry;

/// Shown below the options.
const EXAMPLES: &str = "\
Examples:
  meliora proxy -- rust-analyzer                                  one server, byte for byte
  meliora proxy -- basedpyright-langserver --stdio -- ruff server  two that answer as one";

/// Stand between an editor and the language servers that you name, and add nothing.
///
/// With one server every message is the server's own. With several, their answers become one. A server that dies is
/// started again. There are no commands and no code actions of ours.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Arguments {
    /// What this proxy is called in `meliora status`
    #[arg(long)]
    name: Option<String>,
    /// Write everything that is said to this file, without secrets, for `meliora frames`
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// A server with its arguments; another one after each further `--`
    #[arg(last = true, required = true, value_name = "SERVER ARGS")]
    servers: Vec<String>,
}

/// Serves the editor that started us.
pub fn run(arguments: &Arguments) -> ExitCode {
    match role(arguments) {
        Ok((role, writing)) => {
            let code = serve::serve(role, None);
            if let Some(Err(error)) = writing.map(Writing::finish) {
                paint::complain(format!("the recording is not whole: {error}"));
            }
            code
        }
        Err(error) => {
            paint::complain(format!("{error:#}"));
            ExitCode::from(EXIT_MISSING)
        }
    }
}

/// What to be, and what writes the recording if there is one.
fn role(arguments: &Arguments) -> anyhow::Result<(Role, Option<Writing>)> {
    let host = super::place::host().context("cannot find our own executable")?;
    let config = layers::load(&host, None, &serde_json::Value::Null).config;
    let redactor = Arc::new(Redactor::new(host.secrets()));
    for notice in telemetry::start(&host, &config, Arc::clone(&redactor)) {
        paint::remark(notice);
    }
    let directory = std::env::current_dir().context("cannot find the current folder")?;
    let mut servers: Vec<Server> = Vec::new();
    for words in arguments.servers.split(|word| word == "--") {
        let (command, rest) = words
            .split_first()
            .context("there is no server between two `--`")?;
        servers.push(named(command, rest, &directory, &servers));
    }
    for server in &servers {
        if discovery::candidates(server, &host, None).is_empty() {
            let post = Post {
                alternatives: vec![server.clone()],
                is_needed: true,
            };
            paint::complain(post.missing(Vec::new()));
        }
    }
    let names: Vec<&str> = servers.iter().map(|server| server.name.as_str()).collect();
    let name = arguments.name.clone().unwrap_or_else(|| names.join(" + "));
    let (tape, writing) = match &arguments.record {
        None => (None, None),
        Some(file) => {
            let started = tape::start(file, Mask::new(redactor.as_ref().clone(), true));
            let (tape, writing) =
                started.with_context(|| format!("cannot write {}", file.display()))?;
            (Some(tape), Some(writing))
        }
    };
    let proxy = Proxy {
        name,
        servers,
        directory,
        tape,
    };
    Ok((Role::Proxy(proxy), writing))
}

/// The server of a command line. Its name is that of the program, with a number when another one has that already.
pub(super) fn named(
    command: &str,
    arguments: &[String],
    directory: &Path,
    others: &[Server],
) -> Server {
    let name = Path::new(command).file_name().map_or_else(
        || command.to_owned(),
        |name| name.to_string_lossy().into_owned(),
    );
    let is_free = |name: &String| others.iter().all(|other| other.name != *name);
    let numbered = (2..).map(|number| format!("{name}-{number}"));
    let free = std::iter::once(name.clone())
        .chain(numbered)
        .find(is_free)
        .unwrap_or(name);
    // A path is meant from here, as a shell would take it.
    let command = if command.contains(std::path::MAIN_SEPARATOR) {
        directory.join(command).display().to_string()
    } else {
        command.to_owned()
    };
    registry::named(&free, &command, arguments)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_named_after_their_programs() {
        let directory = Path::new("/here");
        let first = named("./bin/ls", &[], directory, &[]);
        assert_eq!(
            (first.name.as_str(), first.command.as_str()),
            ("ls", "/here/./bin/ls")
        );
        let second = named("ls", &["-x".to_owned()], directory, &[first]);
        assert_eq!(
            (second.name.as_str(), second.command.as_str()),
            ("ls-2", "ls")
        );
    }
}
