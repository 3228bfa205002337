//! `meliora redact`: takes secrets out of a text on its way (spec: No secrets in logs or traces).

use std::io::{self, Read, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::Args;

use super::{EXIT_DONE, EXIT_MISSING, paint, place, session};
use crate::config::layers;
use crate::redact::Redactor;
use crate::redact::stream::Filter;

/// Bytes that are read at once.
const PIECE_BYTES: usize = 64 * 1024;

/// Shown below the options.
const EXAMPLES: &str = "\
Examples:
  meliora redact < build.log > shareable.log
  make 2>&1 | meliora redact | tee build.log";

/// Take secrets out of a text: from standard input to standard output, line by line.
///
/// What is masked: the values of secret variables and settings in every form in which they may appear, and whatever
/// looks like a token, a private key or a password. The same is done to everything that meliora logs, records, shows
/// to a model or writes into a dump.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Arguments {}

/// Runs the command.
pub fn run(_: &Arguments) -> ExitCode {
    match pass() {
        Ok(()) => ExitCode::from(EXIT_DONE),
        // Whoever reads has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::from(EXIT_DONE),
        Err(error) => {
            paint::complain(error);
            ExitCode::from(EXIT_MISSING)
        }
    }
}

fn pass() -> io::Result<()> {
    let host = place::host()?;
    let root = place::find(Path::new("."), &host.home).ok();
    let root = root.map(|project| project.root);
    let loaded = layers::load(&host, root.as_deref(), &serde_json::Value::Null);
    let mut filter = Filter::new(Redactor::new(session::secrets(&host, &loaded.config)));
    let (mut input, mut output) = (io::stdin().lock(), io::stdout().lock());
    let mut piece = vec![0; PIECE_BYTES];
    let mut clean = Vec::new();
    loop {
        let read = match input.read(&mut piece) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if read == 0 {
            break;
        }
        filter.push(piece.get(..read).unwrap_or_default(), &mut clean);
        output.write_all(&clean)?;
        output.flush()?;
        clean.clear();
    }
    filter.finish(&mut clean);
    output.write_all(&clean)?;
    output.flush()
}
