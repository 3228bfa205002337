//! `meliora serve`: the language server, on standard input and output (spec: Deployment Modes, LSP server).
//!
//! Exit codes are the protocol's: 0 after `shutdown` and `exit`, 1 when the editor left without a word.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;

use super::{EXIT_MISSING, paint};
use crate::server::role::Role;
use crate::server::{self, Ending};

/// Serve an editor on standard input and output (what happens without a command).
#[derive(Debug, Default, clap::Args)]
pub struct Arguments {
    /// Accepted because editors add it; there is no other way.
    #[arg(long)]
    stdio: bool,
    /// Whether to share language servers with other windows on this workspace; otherwise `lsp.attach` of the settings
    ///
    /// `auto`: where another meliora of yours runs the same server for the same workspace, that one is used, and others
    /// may use ours. `never`: every process has its own. `only`: use the servers of others, start none.
    #[arg(long, value_enum)]
    attach: Option<Sharing>,
}

/// What can be said of sharing.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Sharing {
    Auto,
    Never,
    Only,
}

impl Sharing {
    fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Never => "never",
            Self::Only => "only",
        }
    }
}

/// Serves the editor that started us. One thread, so that a message passes through without waking another one.
pub fn run(arguments: &Arguments) -> ExitCode {
    // What is said here counts as `--set` does.
    let setting = arguments
        .attach
        .map(|sharing| format!("lsp.attach={}", sharing.name()));
    serve(Role::Agent, setting)
}

/// Serves in one role or another, with a setting above all others; the exit code is the protocol's.
pub(super) fn serve(role: Role, setting: Option<String>) -> ExitCode {
    match serve_on_streams(role, setting) {
        Ok(Ending::Orderly) => ExitCode::SUCCESS,
        Ok(Ending::Abrupt) => ExitCode::FAILURE,
        Err(error) => {
            paint::complain(format!("{error:#}"));
            ExitCode::from(EXIT_MISSING)
        }
    }
}

fn serve_on_streams(role: Role, setting: Option<String>) -> anyhow::Result<Ending> {
    let mut host = super::place::host().context("cannot find our own executable")?;
    host.settings.extend(setting);
    let host = Arc::new(host);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    // As a task among the others: the runtime looks at the operating system once more before it goes on with the future
    // that it blocks on, which every message would pay for.
    let ending = runtime.block_on(async { tokio::spawn(server::serve(host, role)).await });
    // A blocked read of a terminal must not keep the process alive.
    runtime.shutdown_background();
    ending
        .context("the session ended early")?
        .context("cannot use standard input and output")
}
