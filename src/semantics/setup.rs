//! How a language server of our own is started: quietly, and without fetching anything (spec: LSP Manager).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::config::host::Host;
use crate::permit::{Action, Purpose};
use crate::process::launch::Confinement;
use crate::process::{Command, Environment};
use crate::text::json;

/// Time for the answer to `initialize`.
const INITIALIZE_TIMEOUT: Duration = Duration::from_secs(60);

/// An address where nobody answers: rustup, asked for a missing part, gives up at once.
const NO_DOWNLOADS: &str = "http://127.0.0.1:9";

/// What is needed to start a server.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Name for people.
    pub name: String,
    /// The command; its directory is the root.
    pub command: Command,
    /// What the child is for.
    pub purpose: Purpose,
    /// `initializationOptions`, also the answer when it asks for its configuration.
    pub options: Value,
    /// Time for the answer to `initialize`.
    pub timeout: Duration,
}

impl Setup {
    /// A server on a shadow copy, told to check nothing by itself and to download nothing.
    pub fn shadow(
        name: &str,
        program: &Path,
        arguments: &[String],
        root: &Path,
        host: &Host,
        confinement: Option<Confinement>,
    ) -> Self {
        let mut environment = BTreeMap::new();
        environment.insert("RUSTUP_DIST_SERVER".to_owned(), NO_DOWNLOADS.to_owned());
        Self {
            name: name.to_owned(),
            command: Command {
                program: program.to_owned(),
                arguments: arguments.to_vec(),
                directory: root.to_owned(),
                environment: Environment::Inherited(environment),
                confinement,
                launcher: host.executable.clone(),
            },
            purpose: Purpose::ShadowServer,
            options: quiet_options(name),
            timeout: INITIALIZE_TIMEOUT,
        }
    }

    /// The action to ask a permit for.
    pub fn action(&self) -> Action {
        Action::Spawn {
            purpose: self.purpose,
            program: self.command.program.clone(),
            arguments: self.command.arguments.clone(),
            directory: self.command.directory.clone(),
        }
    }
}

/// Options that keep a known server from doing more than it is asked.
fn quiet_options(name: &str) -> Value {
    if name != "rust-analyzer" {
        return Value::Null;
    }
    let mut options = json!({
        "checkOnSave": false,
        "cachePriming": { "enable": false },
        // Without these it neither reports nor fixes type mismatches and unknown methods.
        "diagnostics": { "experimental": { "enable": true } },
        "files": { "watcher": "client" },
    });
    if let Some(sources) = system_library_sources() {
        json::set(&mut options, "cargo", json!({ "sysrootSrc": sources }));
    }
    options
}

/// The sources of Rust's standard library as a system package installs them.
pub fn system_library_sources() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/src").ok()?;
    let mut found: Vec<PathBuf> = folders
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("rustc-"))
        .map(|entry| entry.path().join("library"))
        .filter(|path| path.is_dir())
        .collect();
    found.sort();
    found.pop()
}
