//! What we tell a server of our own that we can do, and what it told us (spec: LSP Client, capabilities).

use std::path::Path;

use serde_json::{Value, json};

use crate::text::json::{self, at};
use crate::text::location;
use crate::text::position::Encoding;

/// Parameters of `initialize` for a server on `root`.
pub(super) fn initialize(root: &Path, options: &Value) -> Value {
    let uri = location::to_uri(root);
    let name = root
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    json!({
        // No process to watch: a confined server cannot see ours and would take it for dead. We end it ourselves.
        "processId": null,
        "clientInfo": { "name": "meliora", "version": env!("CARGO_PKG_VERSION") },
        "rootPath": root,
        "rootUri": uri,
        "workspaceFolders": [{ "uri": uri, "name": name.unwrap_or_default() }],
        "initializationOptions": options,
        "capabilities": ours(),
    })
}

fn ours() -> Value {
    json!({
        "general": { "positionEncodings": ["utf-8", "utf-32", "utf-16"] },
        "window": { "workDoneProgress": true },
        "workspace": {
            "applyEdit": true,
            "configuration": true,
            "workspaceFolders": true,
            "workspaceEdit": {
                "documentChanges": true,
                "resourceOperations": ["create", "rename", "delete"],
                "failureHandling": "abort"
            },
            "symbol": {},
            "diagnostics": { "refreshSupport": false },
            "didChangeWatchedFiles": { "dynamicRegistration": true }
        },
        "textDocument": {
            "synchronization": { "didSave": true },
            "publishDiagnostics": {
                "relatedInformation": true,
                "versionSupport": true,
                "codeDescriptionSupport": true,
                "dataSupport": true
            },
            "diagnostic": { "dynamicRegistration": true, "relatedDocumentSupport": false },
            "codeAction": {
                "isPreferredSupport": true,
                "disabledSupport": true,
                "dataSupport": true,
                "resolveSupport": { "properties": ["edit", "command"] },
                "codeActionLiteralSupport": { "codeActionKind": { "valueSet": [
                    "", "quickfix", "refactor", "refactor.extract", "refactor.inline",
                    "refactor.rewrite", "source", "source.organizeImports", "source.fixAll"
                ] } }
            },
            "documentSymbol": { "hierarchicalDocumentSymbolSupport": true },
            "hover": { "contentFormat": ["markdown", "plaintext"] },
            "definition": { "linkSupport": false },
            "typeDefinition": { "linkSupport": false },
            "implementation": { "linkSupport": false },
            "references": {},
            "callHierarchy": {},
            "completion": {
                "completionItem": {
                    "snippetSupport": false,
                    "insertReplaceSupport": false,
                    "deprecatedSupport": true,
                    "documentationFormat": ["plaintext", "markdown"]
                },
                "completionList": { "itemDefaults": ["editRange"] }
            },
            "signatureHelp": { "signatureInformation": {
                "documentationFormat": ["plaintext", "markdown"],
                "parameterInformation": { "labelOffsetSupport": false },
                "activeParameterSupport": true
            } },
            "rename": { "prepareSupport": true },
            "formatting": {}
        },
        "experimental": { "serverStatusNotification": true }
    })
}

/// What a server can do, as far as we use it.
#[derive(Debug, Clone, Default)]
pub(super) struct Abilities {
    /// What its columns count.
    pub(super) encoding: Encoding,
    /// All that it announced.
    pub(super) announced: Value,
    /// It answers `codeAction/resolve`.
    pub(super) resolve: bool,
    /// It wants `textDocument/didSave`.
    pub(super) save: bool,
}

impl Abilities {
    /// Reads the answer to `initialize`.
    pub(super) fn from_answer(answer: &Value) -> Self {
        let capabilities = at(answer, "/capabilities");
        let encoding = at(capabilities, "/positionEncoding")
            .as_str()
            // clangd's spelling from before the protocol had one.
            .or_else(|| at(answer, "/offsetEncoding").as_str())
            .and_then(Encoding::from_name)
            .unwrap_or_default();
        let save = at(capabilities, "/textDocumentSync/save");
        Self {
            encoding,
            announced: capabilities.clone(),
            resolve: json::is_true(capabilities, "/codeActionProvider/resolveProvider"),
            save: save.is_object() || *save == json!(true),
        }
    }
}
