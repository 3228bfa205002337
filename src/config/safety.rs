//! `[safety]`: what the agent may do (spec: Configuration Schema; Safety Rules).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[safety]`: what the agent may do. A repository can tighten these, never loosen them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Safety {
    /// Globs of paths that the agent may change only after asking, added to the built-in ones.
    pub protected_paths: Vec<String>,
    /// Largest file in MB that the agent reads or writes.
    pub max_file_size_mb: u64,
    /// Texts of which none may occur in a command that the agent runs.
    pub forbidden_commands: Vec<String>,
    /// Actions that always ask.
    pub require_approval_for: Vec<Approval>,
}

impl Safety {
    /// The size of the largest file that the agent reads or writes.
    pub fn file_bytes_max(&self) -> u64 {
        self.max_file_size_mb.saturating_mul(1_000_000)
    }
}

impl Default for Safety {
    fn default() -> Self {
        Self {
            protected_paths: [".agent/core/**", ".agent/safety/**", ".agent/auth/**"]
                .map(str::to_owned)
                .to_vec(),
            max_file_size_mb: 10,
            forbidden_commands: ["rm -rf /", "dd if=/dev/zero"].map(str::to_owned).to_vec(),
            require_approval_for: vec![
                Approval::Delete,
                Approval::ModifyProtected,
                Approval::GitPush,
            ],
        }
    }
}

/// An action that always asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Approval {
    /// Any file is removed. What the project cannot do without asks even when this is not listed.
    Delete,
    /// A file that `protected_paths` names is changed. Version control and `.agent` ask even when this is not listed.
    ModifyProtected,
    /// Commits are pushed. Replacing what others have asks even when this is not listed.
    GitPush,
    /// A commit is made.
    GitCommit,
    /// Any file is created or changed.
    Write,
    /// Any command is run, also one that is understood and harmless.
    Shell,
    /// Any request is sent, also to `tools.http.allowed_domains`.
    Network,
}
