//! Real servers, directly and through us: the same session gives the same bytes.

mod client;
mod members;
pub(crate) mod projects;
mod questions;
mod teams;
mod union;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::wire_peer::environment;
use client::Client;
use projects::{Project, write};

/// What an editor says that it can do, as it was captured from it.
fn editor(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("fixtures/editors/{name}.json"));
    let text = std::fs::read_to_string(path).expect("readable");
    serde_json::from_str(&text).expect("JSON")
}

/// The two ways to a server.
#[derive(Debug, Clone, Copy)]
enum Way {
    Direct,
    Ours,
}

fn command(way: Way, project: &Project, base: &Path) -> Command {
    let mut command = match way {
        Way::Direct => Command::new(&project.command[0]),
        Way::Ours => {
            let mut command = Command::new(env!("CARGO_BIN_EXE_meliora"));
            command.args(["proxy", "--"]).arg(&project.command[0]);
            command
        }
    };
    command
        .args(&project.command[1..])
        .envs(environment(base))
        .env("RUSTUP_DIST_SERVER", "http://127.0.0.1:9");
    command
}

/// A session as an engineer has it in an hour: everything that an editor asks, around one edit.
fn session(way: Way, project: &Project, editor: &Value, base: &Path) -> Client {
    let root = base.join("work");
    let mut client = Client::start(command(way, project, base), &root);
    let greeting = client.greet(editor, &project.options);
    let uri = client.uri(project.file);
    let text = project.text();
    let item = json!({ "uri": uri, "languageId": project.language, "version": 1, "text": text });
    client.notify("textDocument/didOpen", &json!({ "textDocument": item }));
    let place = json!({ "textDocument": { "uri": uri }, "position": project.place });
    client.ask_until("textDocument/hover", &place, "contents");
    // Who can be asked, and is, says nothing by itself.
    let is_asked = client.asks_for_diagnostics()
        && greeting["capabilities"].get("diagnosticProvider").is_some();
    if !is_asked {
        client.hear_published(&uri, project.published);
    }
    questions(&mut client, project, &uri);
    let begin = json!({ "line": 0, "character": 0 });
    client.notify("textDocument/didChange", &json!({
        "textDocument": { "uri": uri, "version": 2 },
        "contentChanges": [{ "range": { "start": begin, "end": begin }, "text": project.typed }],
    }));
    if !is_asked {
        client.hear_published(&uri, project.published);
    }
    client.ask(
        "textDocument/documentSymbol",
        &json!({ "textDocument": { "uri": uri } }),
    );
    client.ask("textDocument/hover", &place);
    client.ask_and_cancel(
        "textDocument/documentSymbol",
        &json!({ "textDocument": { "uri": uri } }),
    );
    client.ask(
        project.experimental,
        &json!({ "textDocument": { "uri": uri } }),
    );
    client.ask("experimental/unheardOf", &json!({ "n": 1e3 }));
    client.notify(
        "textDocument/didClose",
        &json!({ "textDocument": { "uri": uri } }),
    );
    client.end()
}

/// Every question that is about a place, a range or a document.
fn questions(client: &mut Client, project: &Project, uri: &str) {
    let document = json!({ "uri": uri });
    let place = |more: Value| {
        let mut params = json!({ "textDocument": document, "position": project.place });
        for (key, value) in more.as_object().into_iter().flatten() {
            params[key] = value.clone();
        }
        params
    };
    let whole = json!({ "start": { "line": 0, "character": 0 }, "end": { "line": project.lines(), "character": 0 } });
    let only = json!({ "textDocument": document });
    for (method, params) in [
        ("textDocument/hover", place(json!({}))),
        ("textDocument/definition", place(json!({}))),
        ("textDocument/typeDefinition", place(json!({}))),
        ("textDocument/implementation", place(json!({}))),
        (
            "textDocument/references",
            place(json!({ "context": { "includeDeclaration": true } })),
        ),
        ("textDocument/documentHighlight", place(json!({}))),
        ("textDocument/signatureHelp", place(json!({}))),
        ("textDocument/prepareRename", place(json!({}))),
        (
            "textDocument/rename",
            place(json!({ "newName": "renamed" })),
        ),
        (
            "textDocument/selectionRange",
            json!({ "textDocument": document, "positions": [project.place] }),
        ),
        ("textDocument/documentSymbol", only.clone()),
        ("textDocument/foldingRange", only.clone()),
        ("textDocument/documentLink", only.clone()),
        ("textDocument/codeLens", only.clone()),
        ("textDocument/semanticTokens/full", only.clone()),
        (
            "textDocument/inlayHint",
            json!({ "textDocument": document, "range": whole }),
        ),
        (
            "textDocument/formatting",
            json!({ "textDocument": document, "options": { "tabSize": 4, "insertSpaces": true } }),
        ),
        ("textDocument/diagnostic", only),
        ("workspace/symbol", json!({ "query": "total" })),
        (
            "workspace/executeCommand",
            json!({ "command": "nobody.knows.this", "arguments": [] }),
        ),
    ] {
        client.ask(method, &params);
    }
    let actions = client.ask(
        "textDocument/codeAction",
        &json!({ "textDocument": document, "range": whole, "context": { "diagnostics": [] } }),
    );
    if let Some(action) = actions
        .as_array()
        .and_then(|actions| actions.iter().find(|action| action.get("data").is_some()))
    {
        client.ask("codeAction/resolve", action);
    }
    let completions = client.ask(
        "textDocument/completion",
        &place(json!({ "context": { "triggerKind": 1 } })),
    );
    let items = completions.get("items").unwrap_or(&completions);
    if let Some(item) = items.as_array().and_then(|items| items.first()) {
        client.ask("completionItem/resolve", item);
    }
}

/// How often the sessions are compared: servers answer from what they know by then, which is not always the same, directly
/// either. What is our fault differs each time.
const ATTEMPTS: usize = 3;

/// The same session both ways; every answer is compared byte for byte.
fn compare(project: &Project) {
    for name in ["neovim-0.11", "vscode-1.65"] {
        let editor = editor(name);
        let folder = tempfile::tempdir().expect("a temporary folder");
        let base = folder.path().canonicalize().expect("it exists");
        for (file, text) in project.files {
            write(&base.join("work").join(file), text);
        }
        std::fs::create_dir_all(base.join("home")).expect("made");
        let mut differences = Vec::new();
        for _ in 0..ATTEMPTS {
            let direct = session(Way::Direct, project, &editor, &base);
            let ours = session(Way::Ours, project, &editor, &base);
            differences = difference(&direct, &ours);
            if differences.is_empty() {
                break;
            }
        }
        let program = &project.command[0];
        assert!(
            differences.is_empty(),
            "{program} with {name}: {differences:#?}"
        );
    }
}

/// What is not the same in two sessions.
fn difference(direct: &Client, ours: &Client) -> Vec<String> {
    let worked = direct
        .answers
        .iter()
        .filter(|(_, answer)| !answer.contains("\"error\""));
    assert!(
        worked.count() > 8,
        "hardly anything worked: {:#?}",
        direct.answers
    );
    let mut found = Vec::new();
    for ((method, expected), (same, came)) in direct.answers.iter().zip(&ours.answers) {
        if method != same || normalised(method, expected) != normalised(method, came) {
            found.push(format!(
                "{method} gave {expected}, and through us {same} gave {came}"
            ));
        }
    }
    // What else is published, as when the document is closed, comes before the end or not at all.
    if direct.awaited != ours.awaited {
        let (direct, ours) = (&direct.awaited, &ours.awaited);
        found.push(format!("published {direct:?}, and through us {ours:?}"));
    }
    // Refreshes come late, and one for several.
    let mut said = direct
        .heard
        .keys()
        .filter(|method| !method.ends_with("/refresh"));
    found.extend(
        said.find(|method| !ours.heard.contains_key(*method))
            .cloned(),
    );
    found
}

/// The answer as it came, except for two: we answer `shutdown` in the server's place, with spaces and an order of keys of
/// our own; and gopls gives highlights in another order each time.
fn normalised(method: &str, answer: &str) -> String {
    if method == "shutdown" {
        let answer: Value = serde_json::from_str(answer).expect("JSON");
        return answer.to_string();
    }
    if method == "textDocument/documentHighlight" {
        let mut answer: Value = serde_json::from_str(answer).expect("JSON");
        if let Some(list) = answer["result"].as_array_mut() {
            list.sort_by_key(Value::to_string);
        }
        return answer.to_string();
    }
    answer.to_owned()
}

pub(crate) fn tool(name: &str) -> String {
    crate::servers::tool(name).display().to_string()
}

/// A program of the system.
pub(crate) fn system(name: &str) -> String {
    let path = PathBuf::from("/usr/bin").join(name);
    assert!(
        path.is_file(),
        "{} is not installed: run `tests/run tools`",
        path.display()
    );
    path.display().to_string()
}

#[test]
fn rust_analyzer_says_the_same_through_us() {
    compare(&projects::rust(&system("rust-analyzer")));
}

#[test]
fn typescript_language_server_says_the_same_through_us() {
    compare(&projects::typescript(&tool(
        "npm/typescript-language-server",
    )));
}

#[test]
fn ty_says_the_same_through_us() {
    compare(&projects::python(&tool("python/ty"), &["server"], "ty"));
}

#[test]
fn pylsp_says_the_same_through_us() {
    compare(&projects::pylsp(&tool("python/pylsp")));
}

#[test]
fn clangd_says_the_same_through_us() {
    compare(&projects::c(&system("clangd-19")));
}

#[test]
fn gopls_says_the_same_through_us() {
    compare(&projects::go(&system("gopls")));
}
