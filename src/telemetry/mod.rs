//! Logs of this process, redacted (spec: Monitoring & Observability).
//!
//! Lines go to standard error or to a file, never to standard output, which belongs to the editor. `MELIORA_LOG` or
//! `agent.log_level` say what is logged: a level for our own code, or a filter such as `meliora::store=trace,hyper=warn`.
//! With `off` nothing is installed, and a log line costs one comparison.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::config::host::Host;
use crate::config::{Config, file};
use crate::redact::Redactor;

/// Environment variable that says what is logged.
pub const LEVEL_VARIABLE: &str = "MELIORA_LOG";
/// Environment variable that names the file to log to.
pub const FILE_VARIABLE: &str = "MELIORA_LOG_FILE";

/// Starts logging as the user set it. Gives sentences for people about settings that could not be used. The first call
/// in a process counts.
pub fn start(host: &Host, config: &Config, redactor: Arc<Redactor>) -> Vec<String> {
    let mut notices = Vec::new();
    let level = host
        .variable(LEVEL_VARIABLE)
        .unwrap_or(&config.agent.log_level);
    if level.is_empty() || level.eq_ignore_ascii_case("off") {
        return notices;
    }
    let filter = filter(level).unwrap_or_else(|error| {
        notices.push(format!(
            "log level {level:?} is not used: {error}; try error, warn, info, debug, trace or off"
        ));
        EnvFilter::new("meliora=warn")
    });
    let destination = match host.variable(FILE_VARIABLE).map(PathBuf::from) {
        None => Destination::Stderr,
        Some(path) => append_to(&path).map_or_else(
            |error| {
                notices.push(format!("cannot log to {}: {error}", path.display()));
                Destination::Stderr
            },
            |file| Destination::File(Arc::new(file)),
        ),
    };
    let colours = matches!(destination, Destination::Stderr)
        && io::stderr().is_terminal()
        && host.variable("NO_COLOR").is_none();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(colours)
        .with_writer(Redacting {
            redactor,
            destination,
        })
        .finish();
    // A second subscriber in one process is not an error of the user's: the first one stays.
    let _ = tracing::subscriber::set_global_default(subscriber);
    notices
}

fn filter(level: &str) -> Result<EnvFilter, tracing_subscriber::filter::ParseError> {
    let is_level = level
        .chars()
        .all(|character| character.is_ascii_alphabetic());
    if is_level {
        // A plain level is meant for our own code; the libraries below would drown it.
        let level: tracing_subscriber::filter::LevelFilter = level
            .parse()
            .map_err(tracing_subscriber::filter::ParseError::from)?;
        return EnvFilter::try_new(format!("meliora={level}"));
    }
    EnvFilter::try_new(level)
}

fn append_to(path: &Path) -> io::Result<File> {
    file::private().create(true).append(true).open(path)
}

#[derive(Debug, Clone)]
enum Destination {
    Stderr,
    File(Arc<File>),
}

/// Takes secrets out of each line on its way.
#[derive(Debug, Clone)]
struct Redacting {
    redactor: Arc<Redactor>,
    destination: Destination,
}

impl MakeWriter<'_> for Redacting {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

impl Write for Redacting {
    /// Takes one whole line: the subscriber formats each into a buffer and writes it at once.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        let clean = self.redactor.clean(&text);
        match &self.destination {
            Destination::Stderr => io::stderr().lock().write_all(clean.as_bytes())?,
            Destination::File(file) => (&**file).write_all(clean.as_bytes())?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_taken_out_of_every_line() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("log");
        let writer = Redacting {
            redactor: Arc::new(Redactor::new(["correct-horse".to_owned()])),
            destination: Destination::File(Arc::new(append_to(&path).expect("opened"))),
        };
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(filter("debug").expect("a level"))
            .with_writer(writer)
            .with_ansi(false)
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(target: "meliora::test", key = "correct-horse", "said correct-horse");
            tracing::trace!(target: "meliora::test", "too fine");
            tracing::info!(target: "hyper", "not ours");
        });
        let log = std::fs::read_to_string(&path).expect("readable");
        assert!(log.contains("said [redacted]"), "{log}");
        assert_eq!(log.lines().count(), 1, "{log}");
        assert!(!log.contains("correct-horse"), "{log}");
    }

    #[test]
    fn levels_and_filters_are_told_from_rubbish() {
        for level in [
            "warn",
            "TRACE",
            "meliora=debug",
            "meliora::store=trace,hyper=warn",
        ] {
            assert!(filter(level).is_ok(), "{level}");
        }
        for level in ["loud", "meliora=loud", "=,="] {
            assert!(filter(level).is_err(), "{level}");
        }
    }
}
