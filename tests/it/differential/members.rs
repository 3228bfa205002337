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
    /// Where something is completed.
    pub(super) completing: Value,
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
        completing: json!({ "line": 6, "character": 45 }),
    }
}
