//! What is asked of servers that work on one document together.

use serde_json::{Value, json};

use super::members::Team;

/// A question: the method and the parameters.
pub(super) type Question = (&'static str, Value);

/// Everything that is asked of a document with these diagnostics.
pub(super) fn questions(team: &Team, uri: &str, findings: &[Value]) -> Vec<Question> {
    let document = json!({ "uri": uri });
    let only = json!({ "textDocument": document });
    let at = |position: &Value| json!({ "textDocument": document, "position": position });
    let place = at(&team.project.place);
    let with = |params: &Value, key: &str, value: Value| {
        let mut params = params.clone();
        params[key] = value;
        params
    };
    let lines = team.project.lines();
    let whole =
        json!({ "start": { "line": 0, "character": 0 }, "end": { "line": lines, "character": 0 } });
    let ranged = with(&only, "range", whole);
    let actions = |context: Value| with(&ranged, "context", context);
    let mut all = vec![
        ("textDocument/hover", place.clone()),
        ("textDocument/definition", place.clone()),
        ("textDocument/declaration", place.clone()),
        ("textDocument/typeDefinition", place.clone()),
        ("textDocument/implementation", place.clone()),
        (
            "textDocument/references",
            with(&place, "context", json!({ "includeDeclaration": true })),
        ),
        ("textDocument/documentHighlight", place.clone()),
        ("textDocument/signatureHelp", at(&team.completing)),
        ("textDocument/prepareRename", place.clone()),
        (
            "textDocument/rename",
            with(&place, "newName", json!("renamed")),
        ),
        (
            "textDocument/selectionRange",
            with(&only, "positions", json!([team.project.place])),
        ),
        ("textDocument/documentSymbol", only.clone()),
        ("textDocument/foldingRange", only.clone()),
        ("textDocument/documentLink", only.clone()),
        ("textDocument/codeLens", only.clone()),
        ("textDocument/semanticTokens/full", only.clone()),
        ("textDocument/inlayHint", ranged.clone()),
        ("textDocument/prepareCallHierarchy", place),
        (
            "textDocument/formatting",
            with(
                &only,
                "options",
                json!({ "tabSize": 4, "insertSpaces": true }),
            ),
        ),
        ("workspace/symbol", json!({ "query": "total" })),
        (
            "textDocument/codeAction",
            actions(json!({ "diagnostics": findings })),
        ),
        (
            "textDocument/codeAction",
            actions(json!({ "diagnostics": findings, "only": ["quickfix"] })),
        ),
        (
            "textDocument/codeAction",
            actions(
                json!({ "diagnostics": [], "only": ["source.fixAll", "source.organizeImports"] }),
            ),
        ),
        (
            "textDocument/completion",
            with(
                &at(&team.completing),
                "context",
                json!({ "triggerKind": 1 }),
            ),
        ),
        ("experimental/unheardOf", only),
    ];
    let commands = team.members.iter().filter_map(|member| member.does);
    for command in commands.chain(["nobody.knows.this"]) {
        let params = json!({ "command": command, "arguments": [] });
        all.push(("workspace/executeCommand", params));
    }
    all
}

/// The kinds of actions that are asked for.
pub(super) fn only_of(params: &Value) -> Vec<&str> {
    let only = params["context"]["only"].as_array();
    only.into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}
