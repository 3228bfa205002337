//! Servers die and come back, and the editor hardly notices.

use std::path::Path;

use meliora::cli::editor::{HeadlessEditor, profile};
use meliora::process::{Command, Environment};
use serde_json::{Value, json};

use crate::wire_peer::{PATIENCE, Peer, Script, eventually};

fn open(peer: &mut Peer, name: &str, text: &str) -> String {
    peer.open(name, "scripted", text)
}

fn replace(peer: &mut Peer, uri: &str, version: i64, text: &str) {
    peer.notify(
        "textDocument/didChange",
        &json!({ "textDocument": { "uri": uri, "version": version }, "contentChanges": [{ "text": text }] }),
    );
}

fn crash(peer: &mut Peer) {
    let answer = peer.request("test/crash", &json!({}));
    assert_eq!(answer["error"]["code"], -32803, "{answer}");
}

/// What the server received, by method, since it was last greeted.
fn heard(peer: &Peer) -> Vec<Value> {
    let all: Vec<Value> = peer
        .received()
        .iter()
        .map(|body| serde_json::from_slice(body).expect("JSON"))
        .collect();
    let last = all
        .iter()
        .rposition(|message| message["method"] == "initialize");
    all[last.expect("it was greeted")..].to_vec()
}

fn methods(messages: &[Value]) -> Vec<&str> {
    messages
        .iter()
        .filter_map(|message| message["method"].as_str())
        .collect()
}

fn shown(message: &Value) -> bool {
    message["method"] == "window/showMessage"
}

fn published(message: &Value) -> bool {
    message["method"] == "textDocument/publishDiagnostics"
}

/// A script with an option that names a file beside the workspace: the peer and that file. The file is there already.
fn with_file(option: &str) -> (Peer, std::path::PathBuf, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("file");
    let name = file.display().to_string();
    let peer = Peer::start(&Script {
        options: &[option, &name],
        ..Script::default()
    });
    std::fs::write(&file, "").expect("written");
    (peer, file, folder)
}

#[test]
fn a_server_that_dies_comes_back_with_the_texts_as_they_are_now() {
    let mut peer = Peer::ready(&Script::default());
    let first = open(&mut peer, "a.txt", "fine\n");
    let closed = open(&mut peer, "b.txt", "fine\n");
    replace(&mut peer, &first, 7, "now wrong\n");
    peer.notify(
        "textDocument/didClose",
        &json!({ "textDocument": { "uri": closed } }),
    );
    let before = heard(&peer)[0].clone();
    peer.find(|message| published(message) && message["params"]["version"] == 7);
    crash(&mut peer);
    let cleared = peer.find(published);
    assert_eq!(cleared["params"]["diagnostics"], json!([]));
    let said = peer.find(shown);
    assert!(
        said["params"]["message"]
            .as_str()
            .expect("text")
            .contains("started again")
    );
    let again = peer.find(published);
    assert_eq!(again["params"]["uri"], json!(first));
    assert_eq!(again["params"]["version"], 7);
    assert_eq!(
        again["params"]["diagnostics"][0]["message"],
        "this is wrong"
    );
    let second = heard(&peer);
    assert_eq!(second[0], before, "the greeting is the same");
    assert_eq!(
        methods(&second),
        ["initialize", "initialized", "textDocument/didOpen"]
    );
    // And edits go on from there.
    replace(&mut peer, &first, 8, "all fine\n");
    let uri = json!({ "textDocument": { "uri": first } });
    assert_eq!(peer.request("test/text", &uri)["result"], "all fine\n");
    assert!(!peer.until_now().iter().any(shown), "one line is enough");
}

#[test]
fn edits_and_questions_made_while_a_server_is_away_arrive_once_and_in_order() {
    let (mut peer, gate, _folder) = with_file("--gate");
    std::fs::remove_file(&gate).expect("removed");
    peer.greet(&json!({}));
    let uri = open(&mut peer, "a.txt", "one\n");
    peer.find(published);
    std::fs::write(&gate, "").expect("written");
    crash(&mut peer);
    eventually("the second start", || {
        methods(&heard(&peer)) == ["initialize"]
    });
    replace(&mut peer, &uri, 2, "two\n");
    peer.notify("test/first", &json!({}));
    let named = json!({ "textDocument": { "uri": uri } });
    let asked = peer.ask("test/text", &named);
    replace(&mut peer, &uri, 3, "three\n");
    peer.notify("test/second", &json!({}));
    let given_up = peer.ask("textDocument/hover", &named);
    peer.notify("$/cancelRequest", &json!({ "id": given_up }));
    assert_eq!(peer.answer_to(&json!(given_up))["error"]["code"], -32800);
    std::fs::remove_file(&gate).expect("removed");
    assert_eq!(peer.answer_to(&json!(asked))["result"], "three\n");
    eventually("the last notification", || {
        methods(&heard(&peer))
            == [
                "initialize",
                "initialized",
                "textDocument/didOpen",
                "test/first",
                "test/text",
                "test/second",
            ]
    });
    assert_eq!(heard(&peer)[2]["params"]["textDocument"]["version"], 3);
}

#[test]
fn a_notebook_is_opened_again_for_a_server_that_comes_back() {
    let sync = json!({ "notebookDocumentSync": { "notebookSelector": [{ "notebook": "*" }] } });
    let capabilities = sync.to_string();
    let options = ["--capabilities", capabilities.as_str()];
    let script = Script {
        options: &options,
        ..Script::default()
    };
    let mut peer = Peer::ready(&script);
    let uri = format!("file://{}/n.ipynb", peer.root.display());
    let cell = |name: &str| json!({ "kind": 2, "document": format!("cell:{name}") });
    let item = |name: &str, version: u32, text: &str| json!({ "uri": format!("cell:{name}"), "languageId": "text", "version": version, "text": text });
    let notebook = |version: u32, cells: &[Value]| json!({ "uri": uri, "notebookType": "jupyter", "version": version, "cells": cells });
    for name in ["closed", "n"] {
        let mut params = json!({ "notebookDocument": notebook(1, &[cell("a"), cell("b")]),
            "cellTextDocuments": [item("a", 1, "one\n"), item("b", 1, "two\n")] });
        params["notebookDocument"]["uri"] = json!(uri.replace("n.ipynb", &format!("{name}.ipynb")));
        peer.notify("notebookDocument/didOpen", &params);
    }
    let closed = uri.replace("n.ipynb", "closed.ipynb");
    peer.notify(
        "notebookDocument/didClose",
        &json!({ "notebookDocument": { "uri": closed }, "cellTextDocuments": [] }),
    );
    let change = |version: u32, cells: &Value| json!({ "notebookDocument": { "uri": uri, "version": version }, "change": { "cells": cells } });
    let start =
        json!({ "start": { "line": 0, "character": 0 }, "end": { "line": 0, "character": 3 } });
    let typed = json!({ "textContent": [{ "document": { "uri": "cell:b", "version": 2 },
        "changes": [{ "range": start, "text": "three" }] }] });
    peer.notify("notebookDocument/didChange", &change(2, &typed));
    peer.request("textDocument/hover", &json!({}));
    crash(&mut peer);
    // What changes while it is away is part of what it hears, and does not come again.
    let structure = json!({ "structure": {
        "array": { "start": 0, "deleteCount": 1, "cells": [cell("c")] },
        "didOpen": [item("c", 1, "four\n")], "didClose": [{ "uri": "cell:a" }] } });
    peer.notify("notebookDocument/didChange", &change(3, &structure));
    peer.request("textDocument/hover", &json!({}));
    let heard = heard(&peer);
    let about: Vec<&Value> = heard
        .iter()
        .filter(|message| {
            let method = message["method"].as_str();
            method.is_some_and(|method| method.starts_with("notebookDocument/"))
        })
        .collect();
    assert_eq!(about.len(), 1, "{about:?}");
    assert_eq!(about[0]["method"], "notebookDocument/didOpen");
    let expected = json!({ "notebookDocument": notebook(3, &[cell("c"), cell("b")]),
        "cellTextDocuments": [item("c", 1, "four\n"), item("b", 2, "three\n")] });
    assert_eq!(about[0]["params"], expected);
}

#[test]
fn questions_are_asked_again_when_their_server_dies_and_orders_are_not() {
    let mut peer = Peer::ready(&Script::default());
    let mark = peer.root.with_file_name("mark");
    let order = peer.ask("test/never", &json!({}));
    let question = peer.ask("textDocument/hover", &json!({ "fatal": mark }));
    assert_eq!(peer.answer_to(&json!(order))["error"]["code"], -32803);
    assert_eq!(
        peer.answer_to(&json!(question))["result"]["contents"],
        "hover"
    );
    assert!(!methods(&heard(&peer)).contains(&"test/never"));
}

#[test]
fn a_server_that_dies_again_and_again_stays_off_until_it_is_wanted_back() {
    let mut peer = Peer::ready(&Script::default());
    let uri = open(&mut peer, "a.txt", "poison\n");
    let first = peer.find(shown);
    assert!(
        first["params"]["message"]
            .as_str()
            .expect("text")
            .contains("started again")
    );
    let last = peer.find(shown);
    let text = last["params"]["message"].as_str().expect("text");
    assert!(
        text.contains("meliora.restart") && text.contains("boom"),
        "{text}"
    );
    // What is asked is answered, with nothing.
    let hover = peer.request(
        "textDocument/hover",
        &json!({ "textDocument": { "uri": uri } }),
    );
    assert_eq!(hover.get("result"), Some(&Value::Null));
    replace(&mut peer, &uri, 2, "wrong\n");
    let restart = |peer: &mut Peer, name: &str| {
        peer.request(
            "workspace/executeCommand",
            &json!({ "command": "meliora.restart", "arguments": [name] }),
        )
    };
    let unknown = restart(&mut peer, "nobody");
    assert!(
        unknown["error"]["message"]
            .as_str()
            .expect("text")
            .contains("scripted"),
        "{unknown}"
    );
    let answer = restart(&mut peer, "scripted");
    assert_eq!(answer["result"]["restarted"], json!(["scripted"]));
    let again = peer.find(published);
    assert_eq!(again["params"]["version"], 2);
}

#[test]
fn a_server_that_works_is_restarted_by_command_and_the_old_one_ends() {
    let mut peer = Peer::ready(&Script::default());
    open(&mut peer, "a.txt", "wrong\n");
    peer.find(published);
    let old = peer.pids();
    let order = peer.ask("test/never", &json!({}));
    let command = peer.ask(
        "workspace/executeCommand",
        &json!({ "command": "meliora.restart" }),
    );
    assert_eq!(peer.answer_to(&json!(order))["error"]["code"], -32803);
    let answer = peer.answer_to(&json!(command));
    assert_eq!(answer["result"]["restarted"], json!(["scripted"]));
    let again =
        peer.find(|message| published(message) && message["params"]["diagnostics"] != json!([]));
    assert_eq!(again["params"]["version"], 1);
    assert_ne!(peer.pids(), old);
    eventually("the end of the old server", || {
        !crate::wire_peer::is_alive(old[0])
    });
}

#[test]
fn settings_and_folders_of_now_are_told_to_a_server_that_comes_back() {
    let can = r#"{"workspace":{"workspaceFolders":{"supported":true,"changeNotifications":true}}}"#;
    let mut peer = Peer::ready(&Script {
        options: &["--capabilities", can],
        ..Script::default()
    });
    let folder = json!({ "uri": "file:///elsewhere", "name": "elsewhere" });
    peer.notify(
        "workspace/didChangeWorkspaceFolders",
        &json!({ "event": { "added": [folder], "removed": [] } }),
    );
    for number in [1, 2] {
        peer.notify(
            "workspace/didChangeConfiguration",
            &json!({ "settings": { "number": number } }),
        );
    }
    peer.notify("$/setTrace", &json!({ "value": "verbose" }));
    crash(&mut peer);
    peer.request("textDocument/hover", &json!({}));
    let heard = heard(&peer);
    assert_eq!(
        methods(&heard),
        [
            "initialize",
            "initialized",
            "$/setTrace",
            "workspace/didChangeConfiguration",
            "textDocument/hover"
        ]
    );
    assert_eq!(heard[0]["params"]["workspaceFolders"], json!([folder]));
    assert_eq!(heard[3]["params"]["settings"]["number"], 2);
}

#[test]
fn a_server_that_does_not_start_is_tried_again_when_something_changed() {
    for by_configuration in [true, false] {
        let (mut peer, obstacle, _folder) = with_file("--crash-if");
        peer.greet(&json!({}));
        let said = peer.find(shown);
        assert!(
            said["params"]["message"]
                .as_str()
                .expect("text")
                .contains("no licence")
        );
        let uri = open(&mut peer, "a.txt", "wrong\n");
        peer.request("textDocument/hover", &json!({}));
        std::fs::remove_file(&obstacle).expect("removed");
        if by_configuration {
            peer.notify(
                "workspace/didChangeConfiguration",
                &json!({ "settings": null }),
            );
        } else {
            open(&mut peer, "b.txt", "fine\n");
        }
        let again = peer.find(published);
        assert_eq!(again["params"]["uri"], json!(uri));
        assert!(!peer.until_now().iter().any(shown), "it was told once");
    }
}

#[test]
fn a_silent_server_is_named_once_and_started_again_if_the_user_wants() {
    let mut peer = Peer::ready(&Script {
        config: "[lsp]\nsilence_seconds = 1\n",
        ..Script::default()
    });
    let asked = |message: &Value| message["method"] == "window/showMessageRequest";
    let first = [(); 2].map(|()| peer.ask("test/never", &json!({})));
    let question = peer.find(asked);
    let text = question["params"]["message"].as_str().expect("text");
    assert!(
        text.contains("scripted has said nothing for 1 s, and 2 requests wait"),
        "{text}"
    );
    let choose = |peer: &mut Peer, question: &Value, title: &str| {
        let answer =
            json!({ "jsonrpc": "2.0", "id": question["id"], "result": { "title": title } });
        peer.body(answer.to_string());
    };
    let pids = peer.pids();
    choose(&mut peer, &question, "Restart");
    for id in first {
        let answer = peer.answer_to(&json!(id));
        assert_eq!(answer["error"]["code"], -32803, "{answer}");
    }
    eventually("another process", || {
        let now = peer.pids();
        !now.is_empty() && now != pids
    });
    assert_eq!(
        peer.request("textDocument/hover", &json!({}))["result"]["contents"],
        "hover"
    );
    // It is another one now, of which the user is told once as well; who waits is not asked again.
    for _ in 0..2 {
        peer.ask("test/never", &json!({}));
    }
    let question = peer.find(asked);
    choose(&mut peer, &question, "Wait");
    let pids = peer.pids();
    let slow = peer.ask("test/slow", &json!({ "ms": 3_000 }));
    peer.find(|message| {
        assert!(!asked(message), "asked again: {message}");
        message["id"] == json!(slow)
    });
    assert_eq!(peer.pids(), pids);
}

/// A real rust-analyzer is killed while an editor works with it: what it showed goes and comes back, for the text as it
/// is by then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_rust_analyzer_comes_back_with_its_diagnostics_and_answers() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let root = folder
        .path()
        .canonicalize()
        .expect("it exists")
        .join("work");
    std::fs::create_dir_all(root.join("src")).expect("made");
    let manifest = "[package]\nname = \"small\"\nversion = \"0.1.0\"\nedition = \"2021\"\n";
    std::fs::write(root.join("Cargo.toml"), manifest).expect("written");
    std::fs::write(
        root.join("src/lib.rs"),
        "pub fn one() -> u32 {\n    missing\n}\n",
    )
    .expect("written");
    let mut environment: std::collections::BTreeMap<String, String> =
        crate::wire_peer::environment(folder.path())
            .into_iter()
            .collect();
    environment.insert(
        "RUSTUP_DIST_SERVER".to_owned(),
        "http://127.0.0.1:9".to_owned(),
    );
    let executable = std::path::PathBuf::from(env!("CARGO_BIN_EXE_meliora"));
    let command = Command {
        program: executable.clone(),
        arguments: vec!["serve".to_owned()],
        directory: root.clone(),
        environment: Environment::Inherited(environment),
        confinement: None,
        launcher: executable,
    };
    let mut editor = HeadlessEditor::start(command, &root, profile("headless"), Value::Null)
        .await
        .expect("our server starts");
    let file = Path::new("src/lib.rs");
    editor.open(file).expect("opened");
    wait(&mut editor, "the first error", |editor| {
        has_error_in(editor, 1)
    })
    .await;
    let old = pid(&mut editor).await;
    let killed = i32::try_from(old)
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    rustix::process::kill_process(killed.expect("a process"), rustix::process::Signal::KILL)
        .expect("it was there");
    let text = "pub fn one() -> u32 {\n    missing;\n    \"text\"\n}\n";
    editor.change(file, text).expect("changed");
    // Asked while it is away: answered when it is back.
    let uri = editor.uri(file).expect("an address");
    let place =
        json!({ "textDocument": { "uri": uri }, "position": { "line": 0, "character": 8 } });
    let hover = editor
        .request("textDocument/hover", place.clone(), PATIENCE)
        .await;
    hover.expect("a question that waits is answered");
    wait(&mut editor, "the error in what was typed", |editor| {
        has_error_in(editor, 2)
    })
    .await;
    assert_ne!(pid(&mut editor).await, old);
    let hover = editor
        .request("textDocument/hover", place, PATIENCE)
        .await
        .expect("answered");
    assert!(hover.to_string().contains("fn one()"), "{hover}");
    let lines = editor
        .heard
        .iter()
        .filter(|(method, _)| method == "window/showMessage");
    assert_eq!(lines.count(), 1, "one line tells of it");
    editor.shutdown().await.expect("an orderly end");
}

fn has_error_in(editor: &HeadlessEditor, line: u64) -> bool {
    let mut all = editor.diagnostics.values().flatten();
    all.any(|found| found["severity"] == 1 && found["range"]["start"]["line"] == line)
}

async fn wait(
    editor: &mut HeadlessEditor,
    what: &str,
    mut holds: impl FnMut(&HeadlessEditor) -> bool,
) {
    let came = editor
        .wait(std::time::Duration::from_secs(180), |editor| holds(editor))
        .await
        .expect("the server lives");
    assert!(came, "{what} did not come: {:#?}", editor.diagnostics);
}

async fn pid(editor: &mut HeadlessEditor) -> u64 {
    let status = editor.request("meliora/status", json!({}), PATIENCE).await;
    status.expect("answered")["servers"][0]["pid"]
        .as_u64()
        .expect("it runs")
}
