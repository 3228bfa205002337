//! `[tools]`: the agent's tools (spec: Configuration Schema).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of the tools, by kind.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Tools {
    /// Version control.
    pub git: Git,
    /// Tests.
    pub test: Test,
}

/// `[tools.git]`: version control.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Git {
    /// Whether the agent has these tools.
    pub enabled: bool,
    /// Whether an applied run is committed.
    pub auto_commit: bool,
    /// What the messages of its commits begin with.
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
    /// Whether the agent has these tools.
    pub enabled: bool,
    /// The test runner, such as `cargo`, `nextest`, `pytest` or `vitest`; empty: that of the project.
    pub framework: String,
    /// Whether the tests that a change may concern run by themselves.
    pub auto_run: bool,
    /// Whether a failing test fails the run.
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
