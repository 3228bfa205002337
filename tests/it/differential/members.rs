//! Servers that work on one document together, and what the tests have to know of them.

use serde_json::{Value, json};

use super::projects::{self, Project};
use super::tool;

/// One of the servers, best first.
pub(super) struct Member {
    pub(super) name: &'static str,
    pub(super) command: Vec<String>,
    /// What its hover holds once it is ready, if it has one.
    pub(super) hover: Option<&'static str>,
    /// What each of its sets of diagnostics holds.
    pub(super) finds: &'static [&'static str],
    /// Whether it tells of them an editor that does not ask.
    pub(super) tells: bool,
    /// A command that it announces.
    pub(super) does: Option<&'static str>,
    /// What the user sets for it in one of the sessions, and the methods that it is kept from by that.
    pub(super) kept: (&'static str, &'static [&'static str]),
}

pub(super) struct Team {
    pub(super) project: Project,
    pub(super) members: Vec<Member>,
    /// Where something is completed: servers that count differently are asked about the same place.
    pub(super) completing: Value,
}

pub(super) fn python() -> Team {
    Team {
        project: Project {
            // It would start black for every hover.
            options: json!({ "pylsp": { "signature": { "formatter": "" } } }),
            ..projects::python("", &[], "")
        },
        members: vec![
            Member {
                name: "types",
                command: vec![tool("python/ty"), "server".to_owned()],
                hover: Some("def total("),
                finds: &["Unsupported"],
                tells: true,
                does: Some("ty.printDebugInformation"),
                kept: (
                    "except_features = [\"hover\", \"completion\", \"rename-symbol\"]",
                    &[
                        "textDocument/hover",
                        "textDocument/completion",
                        "completionItem/resolve",
                        "textDocument/rename",
                        "textDocument/prepareRename",
                    ],
                ),
            },
            Member {
                name: "lint",
                command: vec![tool("python/ruff"), "server".to_owned()],
                hover: None,
                finds: &["imported but unused"],
                tells: true,
                does: Some("ruff.printDebugInformation"),
                kept: (
                    "only_features = [\"format\", \"diagnostics\", \"workspace-command\"]",
                    &[
                        "textDocument/hover",
                        "textDocument/codeAction",
                        "codeAction/resolve",
                    ],
                ),
            },
            Member {
                name: "jedi",
                command: vec![tool("python/pylsp")],
                hover: Some("python\\ntotal("),
                finds: &["imported but unused"],
                tells: true,
                does: None,
                kept: (
                    "except_features = [\"diagnostics\", \"goto-definition\"]",
                    &["textDocument/diagnostic", "textDocument/definition"],
                ),
            },
        ],
        completing: json!({ "line": 6, "character": 18 }),
    }
}

pub(super) fn typescript() -> Team {
    Team {
        project: projects::typescript(""),
        members: vec![
            Member {
                name: "tsserver",
                command: vec![tool("npm/typescript-language-server"), "--stdio".to_owned()],
                hover: Some("total"),
                finds: &["not assignable"],
                tells: true,
                does: Some("_typescript.configurePlugin"),
                kept: (
                    "except_features = [\"diagnostics\", \"hover\"]",
                    &["textDocument/diagnostic", "textDocument/hover"],
                ),
            },
            Member {
                name: "native",
                command: vec![
                    tool("typescript-7/tsc"),
                    "--lsp".to_owned(),
                    "--stdio".to_owned(),
                ],
                hover: Some("total"),
                finds: &["not assignable"],
                tells: false,
                does: None,
                kept: (
                    "only_features = [\"diagnostics\", \"hover\"]",
                    &[
                        "textDocument/definition",
                        "textDocument/typeDefinition",
                        "textDocument/implementation",
                        "textDocument/references",
                        "textDocument/documentHighlight",
                        "textDocument/signatureHelp",
                        "textDocument/prepareRename",
                        "textDocument/rename",
                        "textDocument/selectionRange",
                        "textDocument/documentSymbol",
                        "textDocument/foldingRange",
                        "textDocument/codeLens",
                        "textDocument/semanticTokens/full",
                        "textDocument/inlayHint",
                        "textDocument/prepareCallHierarchy",
                        "textDocument/formatting",
                        "workspace/symbol",
                        "textDocument/codeAction",
                        "textDocument/completion",
                        "completionItem/resolve",
                    ],
                ),
            },
        ],
        completing: json!({ "line": 4, "character": 10 }),
    }
}
