//! `[tools]`: the agent's tools (spec: Configuration Schema).
//!
//! These keys are accepted, checked and shown; what reads them stands in `docs/CONFIG.md`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::mcp::McpServer;

/// Settings of the tools, by kind.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Tools {
    /// Version control.
    pub git: Git,
    /// Tests.
    pub test: Test,
    /// Requests to other machines.
    pub http: Http,
    /// Servers of tools that speak the Model Context Protocol, by name.
    pub mcp: BTreeMap<String, McpServer>,
}

impl Tools {
    /// The tools of servers that may be called without asking, by the names of their servers.
    pub fn allowed_guests(&self) -> BTreeMap<String, Vec<String>> {
        let servers = self.mcp.iter().filter(|(_, server)| server.enabled);
        servers
            .map(|(name, server)| (name.clone(), server.allow.clone()))
            .collect()
    }
}

/// `[tools.git]`: version control.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Git {
    /// Whether the agent has these tools.
    pub enabled: bool,
    /// Whether an applied run is committed: exactly its changes, in one commit.
    pub auto_commit: bool,
    /// What the messages of those commits begin with.
    pub commit_prefix: String,
}

impl Default for Git {
    fn default() -> Self {
        Self {
            enabled: true,
            auto_commit: false,
            commit_prefix: "[agent]".to_owned(),
        }
    }
}

/// `[tools.test]`: tests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Test {
    /// Whether tests run at all; `proof.tests` says it for proofs alone, and both have to be on.
    pub enabled: bool,
    /// The test runner, such as `cargo`, `nextest`, `pytest`, `vitest` or `npm` (the script `test`); empty: that of the project.
    pub framework: String,
    /// Whether the tests that a change may concern run by themselves, to prove it.
    pub auto_run: bool,
    /// Whether a proof fails when a test fails; if not, it holds all the same and says so.
    pub fail_on_error: bool,
}

impl Default for Test {
    fn default() -> Self {
        Self {
            enabled: true,
            framework: String::new(),
            auto_run: true,
            fail_on_error: true,
        }
    }
}

/// `[tools.http]`: requests to other machines.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Http {
    /// Hosts that may be asked without approval: `docs.rs`, `*.crates.io` for all below, `localhost:3000` with its port.
    /// Addresses of this machine and of its network are denied unless they stand here.
    pub allowed_domains: Vec<String>,
    /// KB that one request may send.
    pub max_request_kb: u64,
    /// KB that are kept of one answer.
    pub max_response_kb: u64,
    /// Seconds from the start of a request to the end of its answer.
    pub timeout_seconds: u64,
    /// Requests that one host gets in a minute.
    pub requests_per_minute: u32,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            allowed_domains: Vec::new(),
            max_request_kb: 1_000,
            max_response_kb: 2_000,
            timeout_seconds: 30,
            requests_per_minute: 30,
        }
    }
}
