//! `[tools.mcp.NAME]`: servers of tools that speak the Model Context Protocol (spec: Plugin System; Configuration
//! Schema).

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::redact::Secret;

/// Bytes of the name of a server: it stands before the names of its tools, which have 64 bytes in all.
const NAME_BYTES_MAX: usize = 24;

/// A server of tools. It is code of others: it runs confined, and what it says is never trusted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct McpServer {
    /// Program: a name looked up on `PATH`, or an absolute path.
    pub command: String,
    /// Its arguments. What they name by absolute paths can be read by it.
    pub args: Vec<String>,
    /// Variables of its environment, normally `${VARIABLE}` or `${secret:NAME}`, beside the few that every program needs.
    pub env: BTreeMap<String, Variable>,
    /// Its tools that may be called without asking, by their own names.
    pub allow: Vec<String>,
    /// Folders and files that it may read, beside the system, the workspace and itself.
    pub read: Vec<PathBuf>,
    /// Whether it may use the network.
    pub network: bool,
    /// Seconds that it has to begin, and to answer each call.
    pub timeout_seconds: u64,
    /// Whether it is used at all.
    pub enabled: bool,
}

impl Default for McpServer {
    fn default() -> Self {
        Self {
            command: String::new(),
            args: Vec::new(),
            env: BTreeMap::new(),
            allow: Vec::new(),
            read: Vec::new(),
            network: false,
            timeout_seconds: 30,
            enabled: true,
        }
    }
}

/// The value of a variable, which may be a secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Variable(
    #[serde(with = "super::key")]
    #[schemars(with = "String")]
    pub Secret,
);

/// Whether a server can have this name: its tools are told from others by it.
pub fn is_name(name: &str) -> bool {
    let is_fine = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.bytes().all(is_fine)
}
