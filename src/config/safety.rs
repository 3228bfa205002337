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
    /// Rules of your own, beside the built-in ones: the strictest that fits an action counts.
    pub rules: Vec<Rule>,
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
            rules: Vec::new(),
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

/// `[[safety.rules]]`: a rule of your own. It names exactly one of `command`, `read`, `write` and `host`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Rule {
    /// Its name, as verdicts show it.
    pub name: String,
    /// What it does. A repository's rules can ask and deny, never allow.
    pub effect: Effect,
    /// The first words of a command, such as `kubectl delete`; `*` stands for any letters of a word.
    pub command: String,
    /// A glob of paths in the workspace that are read.
    pub read: String,
    /// A glob of paths in the workspace that are created, changed or removed.
    pub write: String,
    /// A host that is reached, such as `*.example.org`.
    pub host: String,
    /// Why, as a sentence fragment for people.
    pub reason: String,
    /// Examples that the rule must fit; checked when it is read.
    pub r#match: Vec<String>,
    /// Examples that the rule must not fit; checked when it is read.
    pub not_match: Vec<String>,
}

/// What a rule does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// The action may happen where nothing else speaks against it. Not for interpreters, `git` and programs that start
    /// others.
    Allow,
    /// A person has to say yes first.
    #[default]
    Ask,
    /// The action never happens.
    Deny,
}
