//! What the program may do to the world, as plain data (spec: Safety & Security, validation points).
//!
//! An [`Action`] says what somebody wants to do, a [`Decision`] what the policy thinks of it, and a [`Permit`]
//! is the proof that `safety` allowed exactly that action. Child processes, network calls and file writes take a
//! permit, so that nothing acts outside the one chokepoint. Only `safety` mints permits; `tests/it/tidy.rs` holds
//! the rest of the code to it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Something the program is about to do to the world.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Action {
    /// Read a file for the agent (not for the proxy, which hands the editor's own bytes on).
    ReadFile {
        /// Absolute path.
        path: PathBuf,
    },
    /// Create or replace a file.
    WriteFile {
        /// Absolute path.
        path: PathBuf,
        /// Size of the new content in bytes.
        bytes: u64,
    },
    /// Remove a file.
    DeleteFile {
        /// Absolute path.
        path: PathBuf,
    },
    /// Start a child process.
    Spawn {
        /// What the child is for.
        purpose: Purpose,
        /// Program name or absolute path.
        program: PathBuf,
        /// Arguments without the program itself.
        arguments: Vec<String>,
        /// Working directory.
        directory: PathBuf,
    },
    /// Run a command line of a shell that a model wrote, in the shadow.
    Shell {
        /// The whole line, as it was given.
        command: String,
        /// The folder of the workspace in which it is to run; what it really runs in is the shadow of that folder.
        directory: PathBuf,
    },
    /// Commit files of the workspace.
    Commit {
        /// The workspace.
        directory: PathBuf,
        /// The message.
        message: String,
        /// The files, relative to the workspace.
        files: Vec<PathBuf>,
    },
    /// Make a branch at the last commit, and go to it.
    Branch {
        /// The workspace.
        directory: PathBuf,
        /// Its name.
        name: String,
    },
    /// Talk to the endpoint of a model.
    Connect {
        /// The URL without its query and without credentials.
        url: String,
    },
    /// Send a request to any other host.
    Request {
        /// The HTTP method, upper case.
        method: String,
        /// The whole URL.
        url: String,
        /// Bytes of the body.
        bytes: u64,
        /// SHA-256 of the headers and the body; empty where neither is sent.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        digest: String,
    },
    /// Call a tool that somebody else brought.
    Guest {
        /// The plugin, or the server of tools.
        from: String,
        /// The tool, as its owner names it.
        tool: String,
        /// SHA-256 of what was brought (the library and its manifest, the command line of the server) and of the
        /// arguments.
        digest: String,
        /// Whether it can reach other machines by itself.
        reaches_out: bool,
    },
}

impl Action {
    /// Whether it does something when it is permitted: its decision has to be on the disk before. A change of a file is a
    /// proposal, which has a witness of its own when it is delivered.
    pub fn acts(&self) -> bool {
        match self {
            Self::ReadFile { .. } | Self::WriteFile { .. } | Self::DeleteFile { .. } => false,
            Self::Spawn { .. }
            | Self::Shell { .. }
            | Self::Commit { .. }
            | Self::Branch { .. }
            | Self::Connect { .. }
            | Self::Request { .. }
            | Self::Guest { .. } => true,
        }
    }
}

/// What a child process is started for. The policy treats code that a project or a model wrote differently from
/// tools that the user installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// A language server for the editor: it runs as the editor itself would have started it.
    LanguageServer,
    /// A language server that looks at proposed text in the shadow.
    ShadowServer,
    /// A compiler or checker in the shadow.
    Check,
    /// The project's tests in the shadow: code of the project runs.
    Test,
    /// What a tool runs on proposed text in the shadow: a build, a formatter, a linter.
    Tool,
    /// A command line that a model wrote, judged as [`Action::Shell`] before.
    Shell,
    /// The process in which a plugin is called, which was judged as [`Action::Guest`] before.
    Plugin,
    /// A server of tools that the user configured: code of others, confined.
    Guest,
    /// `git` on the workspace's own repository.
    Git,
    /// A look at what is installed (`--version` and the like).
    Probe,
    /// A command of the user that prints a key.
    KeyCommand,
}

/// What the policy says of an action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "decision", rename_all = "snake_case")]
pub enum Decision {
    /// The action may happen.
    Allow {
        /// Name of the rule that decided.
        rule: String,
    },
    /// A person has to say yes first.
    Ask {
        /// Name of the rule that decided.
        rule: String,
        /// Why, as a sentence fragment for people.
        reason: String,
    },
    /// The action never happens.
    Deny {
        /// Name of the rule that decided.
        rule: String,
        /// Why, as a sentence fragment for people.
        reason: String,
    },
}

/// The proof that `safety` allowed one action. It cannot be cloned, and whoever acts checks that it names the action
/// they are about to do.
#[derive(Debug)]
pub struct Permit {
    action: Action,
}

impl Permit {
    /// Makes the permit for an allowed action. Only `safety` calls this (held by `tests/it/tidy.rs`).
    pub(crate) fn mint(action: Action) -> Self {
        Self { action }
    }

    /// The action that was allowed.
    pub fn action(&self) -> &Action {
        &self.action
    }
}
