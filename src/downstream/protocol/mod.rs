//! What the protocol says of each method, generated from its meta model (spec: LSP Manager, routing).
//!
//! `tests/it/protocol.rs` makes [`table`] and compares it with the model. Rules look at types, so that a method of a
//! later version is treated right before anybody has heard of it.

mod shape;
#[rustfmt::skip]
mod table;

use serde_json::Value;

pub use shape::{Leaf, Leaves, Shape};

/// Who sends a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The editor.
    ToServer,
    /// A server.
    ToEditor,
    /// Either.
    Both,
}

/// Whom a message of the editor is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The servers of the document that it names.
    Document,
    /// The server that made the item that it is about.
    Item,
    /// The server whose command it is.
    Command,
    /// Every server that can answer.
    Workspace,
    /// Every server: a notification that names no document.
    Everyone,
}

/// How the answers of several servers to one request become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Combine {
    /// The best server answers; the next one is asked when it has nothing (null, an error, an empty list).
    First,
    /// Lists end to end without duplicates (inlay hints, code lenses, links, colours, workspace symbols).
    Concatenate,
    /// `Location`, `Location[]` or `LocationLink[]`: without duplicates of (uri, range).
    Locations,
    /// `CompletionItem[]` or `CompletionList`.
    Completion,
    /// `(Command | CodeAction)[]`.
    Actions,
    /// Hovers, one below the other.
    Hover,
    /// A document's diagnostic report.
    Diagnostics,
    /// The workspace's diagnostic report.
    WorkspaceDiagnostics,
    /// Text edits before a save: those that do not touch one another.
    Edits,
}

/// What the protocol says of one method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Method {
    /// Its name.
    pub name: &'static str,
    /// Who sends it.
    pub direction: Direction,
    /// Whether it is answered.
    pub is_request: bool,
    /// Whom it is for, when the editor sends it.
    pub scope: Scope,
    /// The way through its parameters to the URI of its document; empty when it is about none.
    pub document: &'static [&'static str],
    /// The way through `ServerCapabilities` to what announces it; empty when it needs no announcement.
    pub capability: &'static [&'static str],
    /// The way through `ClientCapabilities` to what asks for it; empty when nothing does.
    pub client_capability: &'static [&'static str],
    /// The method under which a server registers it at run time; empty when it cannot.
    pub registration: &'static str,
    /// How several answers become one.
    pub combine: Combine,
    /// Its parameters.
    pub params: Shape,
    /// Its result.
    pub result: Shape,
    /// What is sent under its partial result token.
    pub partial: Shape,
    /// The options with which a server registers it.
    pub options: Shape,
}

/// What the protocol says of the method with this name; `None` for methods that are somebody's own.
pub fn method(name: &str) -> Option<&'static Method> {
    let found = table::METHODS.binary_search_by(|method| method.name.cmp(name));
    found.ok().and_then(|index| table::METHODS.get(index))
}

/// Every method of the protocol, by name.
pub fn methods() -> &'static [Method] {
    &table::METHODS
}

impl Method {
    /// Whether what is registered with these options is this method as well: a part of something, such as the preparation
    /// of a rename, has to be named in them.
    pub fn is_part_of(&self, options: &Value) -> bool {
        let way = if self.name == self.registration {
            &[]
        } else {
            self.capability.get(1..).unwrap_or_default()
        };
        let named = way
            .iter()
            .try_fold(options, |options, key| options.get(key));
        way.is_empty()
            || named.is_some_and(|part| !matches!(part, Value::Null | Value::Bool(false)))
    }

    /// Whether a server that answered `initialize` with these capabilities takes this method.
    pub fn is_announced(&self, capabilities: &Value) -> bool {
        let mut value = capabilities;
        for (depth, key) in self.capability.iter().enumerate() {
            // Up to version 2 of the protocol a number said how texts are sent; willSave came with the object.
            if let (Some(kind), 1) = (value.as_u64(), depth) {
                return kind > 0 && !key.starts_with("willSave");
            }
            match value.get(key) {
                Some(inner) => value = inner,
                None => return false,
            }
        }
        !matches!(value, Value::Null | Value::Bool(false)) && value.as_u64() != Some(0)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn known(name: &str) -> &'static Method {
        method(name).expect("the protocol has it")
    }

    #[test]
    fn every_method_is_found_by_its_name_and_no_other() {
        for expected in methods() {
            assert_eq!(method(expected.name), Some(expected));
        }
        for name in [
            "",
            "rust-analyzer/expandMacro",
            "textDocument/hover2",
            "zzz",
        ] {
            assert_eq!(method(name), None, "{name}");
        }
    }

    #[test]
    fn results_are_combined_as_their_types_ask() {
        for (name, combine) in [
            ("textDocument/completion", Combine::Completion),
            ("textDocument/codeAction", Combine::Actions),
            ("textDocument/hover", Combine::Hover),
            ("textDocument/definition", Combine::Locations),
            ("textDocument/implementation", Combine::Locations),
            ("textDocument/references", Combine::Locations),
            ("textDocument/inlayHint", Combine::Concatenate),
            ("textDocument/codeLens", Combine::Concatenate),
            ("textDocument/documentLink", Combine::Concatenate),
            ("textDocument/documentColor", Combine::Concatenate),
            ("workspace/symbol", Combine::Concatenate),
            ("textDocument/diagnostic", Combine::Diagnostics),
            ("workspace/diagnostic", Combine::WorkspaceDiagnostics),
            ("textDocument/willSaveWaitUntil", Combine::Edits),
            ("textDocument/formatting", Combine::First),
            ("textDocument/onTypeFormatting", Combine::First),
            ("textDocument/documentSymbol", Combine::First),
            ("textDocument/semanticTokens/full", Combine::First),
            ("textDocument/rename", Combine::First),
            ("completionItem/resolve", Combine::First),
            ("callHierarchy/incomingCalls", Combine::First),
        ] {
            assert_eq!(known(name).combine, combine, "{name}");
        }
    }

    #[test]
    fn a_method_knows_whom_it_is_for_and_how_it_is_registered() {
        for (name, scope, registration) in [
            ("textDocument/hover", Scope::Document, "textDocument/hover"),
            (
                "workspace/diagnostic",
                Scope::Workspace,
                "textDocument/diagnostic",
            ),
            ("workspace/symbol", Scope::Workspace, "workspace/symbol"),
            (
                "completionItem/resolve",
                Scope::Item,
                "textDocument/completion",
            ),
            (
                "callHierarchy/outgoingCalls",
                Scope::Item,
                "textDocument/prepareCallHierarchy",
            ),
            (
                "typeHierarchy/subtypes",
                Scope::Item,
                "textDocument/prepareTypeHierarchy",
            ),
            (
                "textDocument/prepareRename",
                Scope::Document,
                "textDocument/rename",
            ),
            (
                "textDocument/rangesFormatting",
                Scope::Document,
                "textDocument/rangeFormatting",
            ),
            (
                "textDocument/semanticTokens/range",
                Scope::Document,
                "textDocument/semanticTokens",
            ),
            (
                "workspace/executeCommand",
                Scope::Command,
                "workspace/executeCommand",
            ),
            ("$/setTrace", Scope::Everyone, ""),
            (
                "workspace/didChangeWatchedFiles",
                Scope::Everyone,
                "workspace/didChangeWatchedFiles",
            ),
            (
                "textDocument/didChange",
                Scope::Document,
                "textDocument/didChange",
            ),
        ] {
            let method = known(name);
            assert_eq!(
                (method.scope, method.registration),
                (scope, registration),
                "{name}"
            );
        }
        let calls = known("callHierarchy/outgoingCalls");
        assert_eq!(calls.document, ["item", "uri"]);
        assert_eq!(
            known("textDocument/hover").document,
            ["textDocument", "uri"]
        );
    }

    #[test]
    fn announcements_are_read_in_every_form() {
        for (name, capabilities, expected) in [
            ("textDocument/hover", json!({ "hoverProvider": true }), true),
            ("textDocument/hover", json!({ "hoverProvider": {} }), true),
            (
                "textDocument/hover",
                json!({ "hoverProvider": false }),
                false,
            ),
            ("textDocument/hover", json!({}), false),
            (
                "textDocument/prepareRename",
                json!({ "renameProvider": true }),
                false,
            ),
            (
                "textDocument/prepareRename",
                json!({ "renameProvider": { "prepareProvider": true } }),
                true,
            ),
            (
                "textDocument/didOpen",
                json!({ "textDocumentSync": 1 }),
                true,
            ),
            (
                "textDocument/didOpen",
                json!({ "textDocumentSync": 0 }),
                false,
            ),
            (
                "textDocument/didSave",
                json!({ "textDocumentSync": 2 }),
                true,
            ),
            (
                "textDocument/willSave",
                json!({ "textDocumentSync": 2 }),
                false,
            ),
            (
                "textDocument/didChange",
                json!({ "textDocumentSync": 2 }),
                true,
            ),
            (
                "textDocument/didChange",
                json!({ "textDocumentSync": { "change": 1 } }),
                true,
            ),
            ("shutdown", json!({}), true),
        ] {
            let announced = known(name).is_announced(&capabilities);
            assert_eq!(announced, expected, "{name} {capabilities}");
        }
    }

    #[test]
    fn shapes_lead_to_what_they_promise_also_in_circles() {
        let symbols = known("textDocument/documentSymbol").result;
        let symbol = symbols.element().expect("a list");
        let child = symbol.key("children").and_then(Shape::element);
        let nested = child.and_then(|child| child.key("children")?.element());
        assert_eq!(child, nested);
        let start = child.and_then(|child| child.key("selectionRange")?.key("start"));
        assert_eq!(start.and_then(Shape::leaf), Some(Leaf::Position));

        let edit = known("workspace/applyEdit")
            .params
            .key("edit")
            .expect("an edit");
        let by_uri = edit.key("changes").and_then(Shape::values);
        let range = by_uri.and_then(|edits| edits.element()?.key("range"));
        assert_eq!(range.and_then(Shape::leaf), Some(Leaf::Range));

        let links = known("textDocument/definition")
            .result
            .element()
            .expect("a list");
        assert!(links.is_outer("originSelectionRange") && !links.is_outer("targetRange"));
        assert_eq!(links.documents(), [&["uri"][..], &["targetUri"]]);
        assert!(
            !known("window/logMessage")
                .params
                .holds()
                .contains(Leaf::Position)
        );
        let item = known("completionItem/resolve").params;
        assert_eq!(item.key("data").and_then(Shape::leaf), Some(Leaf::Data));
    }
}
