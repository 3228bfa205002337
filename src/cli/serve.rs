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
}

/// Serves the editor that started us. One thread, so that a message passes through without waking another one.
pub fn run(_: &Arguments) -> ExitCode {
    serve(Role::Agent)
}

/// Serves in one role or another; the exit code is the protocol's.
pub(super) fn serve(role: Role) -> ExitCode {
    match serve_on_streams(role) {
        Ok(Ending::Orderly) => ExitCode::SUCCESS,
        Ok(Ending::Abrupt) => ExitCode::FAILURE,
        Err(error) => {
            paint::complain(format!("{error:#}"));
            ExitCode::from(EXIT_MISSING)
        }
    }
}

fn serve_on_streams(role: Role) -> anyhow::Result<Ending> {
    let host = Arc::new(super::place::host().context("cannot find our own executable")?);
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
