//! `[[lsp.servers]]`: what the user says about one language server (spec: Configuration Architecture).
//!
//! An entry with a `command` is a server that the user wants. One without adjusts the built-in entry of its name: what it
//! leaves out stays as it is built in.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::features::Feature;

/// Which folders one process of a language server serves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RootStrategy {
    /// All folders of the workspace, when it says that it can; else each folder has a process of its own.
    #[default]
    Workspace,
    /// Each folder has a process of its own.
    Folder,
    /// Each nearest parent folder of a document that has one of the `root_patterns` has a process of its own.
    Nearest,
    /// One process serves everything, whatever it says.
    Single,
}

/// One language server.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Server {
    /// Name for people, logs and status; that of the command when it is left out.
    pub name: String,
    /// Program: a name looked up on `PATH`, or an absolute path.
    pub command: String,
    /// Its arguments.
    pub args: Option<Vec<String>>,
    /// Language ids (as in `textDocument/didOpen`) it serves.
    pub filetypes: Vec<String>,
    /// Files or folders whose presence in a parent folder makes that folder a root for this server.
    pub root_patterns: Vec<String>,
    /// Which folders one process of it serves: `workspace`, `folder`, `nearest` or `single`.
    pub root_strategy: Option<RootStrategy>,
    /// Variables added to its environment.
    pub env: BTreeMap<String, String>,
    /// Laid over the editor's `initializationOptions`.
    pub initialization_options: Value,
    /// Its settings, by section: laid over what the editor answers to `workspace/configuration`.
    pub settings: Value,
    /// It is used for these features only; none: for all.
    pub only_features: Vec<Feature>,
    /// It is not used for these features.
    pub except_features: Vec<Feature>,
    /// Where several servers can answer, the one with the highest number is first. Built-in servers have 0, those that
    /// only complement others -10.
    pub priority: Option<i32>,
    /// Whether it is used at all.
    pub enabled: bool,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            name: String::new(),
            command: String::new(),
            args: None,
            filetypes: Vec::new(),
            root_patterns: Vec::new(),
            root_strategy: None,
            env: BTreeMap::new(),
            initialization_options: Value::Null,
            settings: Value::Null,
            only_features: Vec::new(),
            except_features: Vec::new(),
            priority: None,
            enabled: true,
        }
    }
}

impl Server {
    /// The name, or the command's when none was given.
    pub fn shown_name(&self) -> &str {
        if self.name.is_empty() {
            &self.command
        } else {
            &self.name
        }
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Values of variables may be secrets.
        let variables: Vec<&String> = self.env.keys().collect();
        formatter
            .debug_struct("Server")
            .field("name", &self.name)
            .field("command", &self.command)
            .field("args", &self.args)
            .field("env", &variables)
            .finish_non_exhaustive()
    }
}
