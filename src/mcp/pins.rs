//! What the tools of a server were when they were first seen (spec: Plugin System, approval).
//!
//! A server can show harmless tools until it is trusted, and others later. So what was seen first is kept where no server
//! can write, and a tool that is another afterwards is not used until the user accepts it. Another command line is another
//! server.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use super::definition::Definition;
use crate::config::host::Host;
use crate::store::durable;

/// The tools of one server as they were first seen.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Pins {
    command: String,
    tools: BTreeMap<String, String>,
}

impl Pins {
    /// Those of a server that is started by this command; none were kept of another one.
    pub(super) fn read(host: &Host, workspace: &Path, server: &str, command: [u8; 32]) -> Self {
        let command = HEXLOWER.encode(&command);
        let kept = std::fs::read(path(host, workspace, server)).ok();
        let kept = kept.and_then(|text| serde_json::from_slice::<Self>(&text).ok());
        let kept = kept.filter(|kept| kept.command == command);
        kept.unwrap_or_else(|| Self {
            command,
            tools: BTreeMap::new(),
        })
    }

    /// Whether a tool is what it was, or is seen for the first time.
    pub(super) fn admits(&self, definition: &Definition) -> bool {
        let kept = self.tools.get(&definition.tool);
        kept.is_none_or(|kept| *kept == HEXLOWER.encode(&definition.digest))
    }

    /// Takes tools in that are seen for the first time; whether there were any.
    pub(super) fn add(&mut self, definitions: &[Definition]) -> bool {
        let before = self.tools.len();
        for definition in definitions {
            let digest = HEXLOWER.encode(&definition.digest);
            self.tools.entry(definition.tool.clone()).or_insert(digest);
        }
        self.tools.len() > before
    }

    /// Keeps them.
    pub(super) fn write(&self, host: &Host, workspace: &Path, server: &str) -> io::Result<()> {
        let path = path(host, workspace, server);
        if let Some(folder) = path.parent() {
            durable::make_folder(folder)?;
        }
        durable::write(&path, &serde_json::to_vec(self)?)
    }
}

/// Forgets what the tools of a server were, so that they are seen for the first time once more; whether anything was
/// kept.
pub fn forget(host: &Host, workspace: &Path, server: &str) -> io::Result<bool> {
    match std::fs::remove_file(path(host, workspace, server)) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn path(host: &Host, workspace: &Path, server: &str) -> PathBuf {
    let folder = host.state_of(workspace).join("mcp");
    folder.join(format!("{server}.json"))
}
