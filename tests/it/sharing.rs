//! Several processes on one workspace use one server.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::wire_peer::{Peer, Script, environment, eventually, is_alive, workspace};

/// A workspace that several processes serve.
struct House {
    folder: tempfile::TempDir,
    root: PathBuf,
}

impl House {
    fn new(options: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let base = folder.path().canonicalize().expect("it exists");
        let script = Script {
            options,
            ..Script::default()
        };
        let root = workspace(&base, &script);
        Self { folder, root }
    }

    fn base(&self) -> PathBuf {
        self.folder.path().canonicalize().expect("it exists")
    }

    /// A window of an editor, greeted.
    fn window(&self) -> Peer {
        let mut peer = self.start("auto", &[]);
        peer.greet(&json!({ "workspace": { "applyEdit": true } }));
        peer
    }

    fn start(&self, attach: &str, variables: &[(&str, &str)]) -> Peer {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_meliora"));
        command
            .args(["serve", "--attach", attach])
            .envs(environment(&self.base()))
            .env("XDG_RUNTIME_DIR", "")
            .envs(variables.iter().copied());
        Peer::run(command, &self.root)
    }

    /// Two windows, of which the second uses the server of the first.
    fn two(options: &[&str]) -> (Self, Peer, Peer) {
        let house = Self::new(options);
        let first = house.window();
        let mut second = house.window();
        assert_eq!(holder(&mut second), Some(first.child.id()));
        (house, first, second)
    }

    fn starts(&self) -> usize {
        heard(&self.root, "initialize").len()
    }
}

/// The process whose server is used, when it is not the own one.
fn holder(peer: &mut Peer) -> Option<u32> {
    let status = peer.request("meliora/status", &json!({}));
    let pid = status["result"]["servers"][0]["attachedTo"].as_u64()?;
    u32::try_from(pid).ok()
}

fn wait_for_own_server(peer: &mut Peer) {
    eventually("an own server", || {
        let status = peer.request("meliora/status", &json!({}));
        let server = &status["result"]["servers"][0];
        server["state"] == "running" && server["attachedTo"].is_null()
    });
}

/// What the server heard of a method, over all its lives.
fn heard(root: &Path, method: &str) -> Vec<Value> {
    let log = std::fs::read(root.with_file_name("log")).unwrap_or_default();
    let mut rest = log.as_slice();
    let mut all = Vec::new();
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let length: usize = std::str::from_utf8(&rest[..end])
            .expect("digits")
            .parse()
            .expect("digits");
        let message: Value =
            serde_json::from_slice(&rest[end + 1..end + 1 + length]).expect("JSON");
        if message["method"] == method {
            all.push(message);
        }
        rest = &rest[end + 1 + length..];
    }
    all
}

fn uri(peer: &Peer, name: &str) -> String {
    format!("file://{}/{name}", peer.root.display())
}

fn open(peer: &mut Peer, name: &str, version: i64, text: &str) -> String {
    let uri = uri(peer, name);
    peer.notify(
        "textDocument/didOpen",
        &json!({ "textDocument": { "uri": uri, "languageId": "scripted", "version": version, "text": text } }),
    );
    uri
}

fn insert(peer: &mut Peer, uri: &str, version: i64, text: &str) {
    let start = json!({ "line": 0, "character": 0 });
    peer.notify(
        "textDocument/didChange",
        &json!({
            "textDocument": { "uri": uri, "version": version },
            "contentChanges": [{ "range": { "start": start, "end": start }, "text": text }],
        }),
    );
}

fn close(peer: &mut Peer, uri: &str) {
    peer.notify(
        "textDocument/didClose",
        &json!({ "textDocument": { "uri": uri } }),
    );
}

/// The text that the server has when this window asks.
fn text(peer: &mut Peer, uri: &str) -> Value {
    peer.request("test/text", &json!({ "textDocument": { "uri": uri } }))["result"].clone()
}

/// The next diagnostics of a document: its version, and how many there are.
fn published(peer: &mut Peer, uri: &str) -> (Value, usize) {
    let found = peer.find(|message| {
        message["method"] == "textDocument/publishDiagnostics" && message["params"]["uri"] == uri
    });
    let params = &found["params"];
    let count = params["diagnostics"].as_array().expect("a list").len();
    (params["version"].clone(), count)
}

fn shown(messages: &[Value]) -> Vec<&Value> {
    let shown = |message: &&Value| message["method"] == "window/showMessage";
    messages.iter().filter(shown).collect()
}

#[test]
fn two_windows_use_one_server_and_each_gets_its_own_answers() {
    let (house, mut first, mut second) = House::two(&[]);
    assert_eq!(house.starts(), 1);
    assert_eq!(second.pids(), Vec::<i32>::new());
    let one = open(&mut first, "a.txt", 1, "one\n");
    let two = open(&mut second, "b.txt", 1, "two wrong\n");
    // Both editors count their requests alike.
    while first.request("meliora/status", &json!({}))["id"] != 3 {}
    let ids = (
        first.ask("test/text", &json!({ "textDocument": { "uri": one } })),
        second.ask("test/text", &json!({ "textDocument": { "uri": two } })),
    );
    assert_eq!(ids.0, ids.1);
    assert_eq!(first.answer_to(&json!(ids.0))["result"], "one\n");
    assert_eq!(second.answer_to(&json!(ids.1))["result"], "two wrong\n");
    insert(&mut second, &two, 2, "a ");
    assert_eq!(text(&mut second, &two), "a two wrong\n");
    let action = json!({
        "textDocument": { "uri": two },
        "range": { "start": { "line": 0, "character": 7 }, "end": { "line": 0, "character": 7 } },
        "context": { "diagnostics": [] },
    });
    let actions = second.request("textDocument/codeAction", &action);
    assert_eq!(actions["result"][0]["title"], "Make it right", "{actions}");
    // What is in a document that only the other one has open is known to everybody.
    assert_eq!(published(&mut first, &two).1, 1);
}

#[test]
fn a_cancelled_request_of_a_guest_has_one_answer_and_its_leaving_cancels_the_rest() {
    let (house, mut first, mut second) = House::two(&[]);
    let slow = first.ask("test/slow", &json!({ "ms": 300 }));
    let given_up = second.ask("test/slow", &json!({ "ms": 100 }));
    second.notify("$/cancelRequest", &json!({ "id": given_up }));
    let answer = second.answer_to(&json!(given_up));
    assert_eq!(answer["error"]["message"], "cancelled by the server");
    assert_eq!(first.answer_to(&json!(slow))["result"], "slow");
    let uri = open(&mut second, "b.txt", 1, "two\n");
    second.ask("test/never", &json!({}));
    assert_eq!(text(&mut second, &uri), "two\n");
    second.child.kill().expect("it runs");
    eventually("the end of what it asked", || {
        heard(&house.root, "$/cancelRequest").len() == 2
    });
    eventually("the end of what it had open", || {
        heard(&house.root, "textDocument/didClose").len() == 1
    });
    assert_eq!(
        first.request("textDocument/hover", &json!({}))["result"]["contents"],
        "hover"
    );
}

#[test]
fn a_text_that_two_have_open_is_the_text_of_who_speaks_of_it() {
    let (house, mut first, mut second) = House::two(&[]);
    let uri = open(&mut first, "a.txt", 7, "wrong\n");
    assert_eq!(published(&mut first, &uri), (json!(7), 1));
    // The same text under another version: the server hears nothing, the guest learns what is known.
    open(&mut second, "a.txt", 1, "wrong\n");
    second.find(|message| message["params"]["version"] == 1);
    insert(&mut second, &uri, 2, "wrong ");
    assert_eq!(published(&mut second, &uri), (json!(2), 2));
    assert_eq!(text(&mut second, &uri), "wrong wrong\n");
    // The server has to hear the text of the first again before it can answer it.
    let asked = first.ask("test/text", &json!({ "textDocument": { "uri": uri } }));
    assert_eq!(published(&mut first, &uri), (json!(7), 1));
    assert_eq!(first.answer_to(&json!(asked))["result"], "wrong\n");
    insert(&mut first, &uri, 8, "all fine, nothing ");
    assert_eq!(text(&mut second, &uri), "wrong wrong\n");
    assert_eq!(text(&mut first, &uri), "all fine, nothing wrong\n");
    assert_eq!(heard(&house.root, "textDocument/didOpen").len(), 1);
    // What the server hears has versions that rise.
    let versions: Vec<i64> = heard(&house.root, "textDocument/didChange")
        .iter()
        .map(|change| {
            change["params"]["textDocument"]["version"]
                .as_i64()
                .expect("a number")
        })
        .collect();
    assert!(
        versions.is_sorted_by(|one, other| one < other),
        "{versions:?}"
    );
    // One closes it, the other goes on; the server hears of the last.
    close(&mut first, &uri);
    assert_eq!(text(&mut second, &uri), "wrong wrong\n");
    insert(&mut second, &uri, 3, "so ");
    assert_eq!(text(&mut second, &uri), "so wrong wrong\n");
    assert_eq!(heard(&house.root, "textDocument/didClose").len(), 0);
    close(&mut second, &uri);
    eventually("the end", || {
        heard(&house.root, "textDocument/didClose").len() == 1
    });
    open(&mut first, "a.txt", 1, "again\n");
    assert_eq!(text(&mut first, &uri), "again\n");
}

#[test]
fn a_guest_that_closes_a_text_leaves_the_other_window_its_own() {
    let (house, mut first, mut second) = House::two(&[]);
    let uri = open(&mut second, "a.txt", 1, "theirs\n");
    assert_eq!(text(&mut second, &uri), "theirs\n");
    open(&mut first, "a.txt", 1, "ours\n");
    assert_eq!(text(&mut first, &uri), "ours\n");
    assert_eq!(text(&mut second, &uri), "theirs\n");
    close(&mut second, &uri);
    // The version of the editor is far below that of the server by then.
    insert(&mut first, &uri, 2, "still ");
    assert_eq!(text(&mut first, &uri), "still ours\n");
    assert_eq!(heard(&house.root, "textDocument/didOpen").len(), 1);
    second.child.kill().expect("it runs");
    eventually("the guest is gone", || {
        let status = first.request("meliora/status", &json!({}));
        status["result"]["servers"][0]["guests"] == json!([])
    });
    insert(&mut first, &uri, 3, "and ");
    assert_eq!(text(&mut first, &uri), "and still ours\n");
}

#[test]
fn a_guest_cannot_change_or_close_what_it_has_not_opened() {
    let (house, mut first, mut second) = House::two(&[]);
    let uri = open(&mut first, "a.txt", 1, "ours\n");
    assert_eq!(text(&mut first, &uri), "ours\n");
    insert(&mut second, &uri, 2, "theirs ");
    close(&mut second, &uri);
    // By the answer everything before it has arrived.
    assert_eq!(text(&mut second, &uri), "ours\n");
    insert(&mut first, &uri, 2, "still ");
    assert_eq!(text(&mut first, &uri), "still ours\n");
    assert_eq!(heard(&house.root, "textDocument/didChange").len(), 1);
    assert_eq!(heard(&house.root, "textDocument/didClose").len(), 0);
}

#[test]
fn the_window_whose_command_is_the_last_gets_what_the_server_asks_for() {
    let (house, mut first, mut second) = House::two(&[]);
    let never = json!({ "command": "scripted.never" });
    let edit = json!({ "command": "scripted.edit", "arguments": [{}] });
    let command = "workspace/executeCommand";
    second.ask(command, &never);
    let arrived = |count: usize| {
        eventually("the command", || heard(&house.root, command).len() == count);
    };
    arrived(1);
    first.request(command, &edit);
    let wanted = |message: &Value| message["method"] == "workspace/applyEdit";
    assert!(!second.until_now().iter().any(wanted));
    first.ask(command, &never);
    arrived(3);
    second.ask(command, &edit);
    second.find(wanted);
}

#[test]
fn what_a_server_asks_for_goes_to_the_window_that_made_it_ask() {
    let (house, mut first, mut second) = House::two(&[]);
    let uri = open(&mut first, "a.txt", 7, "ours\n");
    open(&mut second, "a.txt", 1, "theirs\n");
    assert_eq!(text(&mut second, &uri), "theirs\n");
    // The text of the second is another version for the server than for its editor.
    let change = json!({ "textDocument": { "uri": uri, "version": 8 }, "edits": [] });
    let edit = json!({ "documentChanges": [change] });
    let command = json!({ "command": "scripted.edit", "arguments": [edit] });
    second.ask("workspace/executeCommand", &command);
    let asked = second.find(|message| message["method"] == "workspace/applyEdit");
    let version = &asked["params"]["edit"]["documentChanges"][0]["textDocument"]["version"];
    assert_eq!(*version, 1);
    second.body(
        json!({ "jsonrpc": "2.0", "id": asked["id"], "result": { "applied": true } }).to_string(),
    );
    eventually("the answer", || {
        let log = std::fs::read(house.root.with_file_name("log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        log.contains(r#""id":"edit""#) && log.contains(r#""result":{"applied":true}"#)
    });
    // Each editor counts its displays as it likes.
    for peer in [&mut first, &mut second] {
        peer.ask("test/progress", &json!({ "workDoneToken": 1 }));
        for kind in ["begin", "end"] {
            let progress = peer.find(|message| message["method"] == "$/progress");
            assert_eq!(progress["params"]["token"], 1);
            assert_eq!(progress["params"]["value"]["kind"], kind);
        }
    }
    let others = |message: &Value| {
        message["method"] == "workspace/applyEdit" || message["method"] == "$/progress"
    };
    assert!(!first.until_now().iter().any(others));
}

#[test]
fn a_guest_that_breaks_the_protocol_is_shown_out_and_nobody_else_notices() {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    let (house, mut first, mut second) = House::two(&[]);
    let socket = walk(&house.base().join("home/.local/state/meliora"))
        .into_iter()
        .find(|path| path.ends_with(format!("{}.sock", first.child.id())))
        .expect("a socket");
    // The way in is the same for everybody; a real guest's terms are taken from its own words.
    for nonsense in ["Content-Length: 99999999999\r\n\r\n", "nonsense\n\n", ""] {
        let mut stream = UnixStream::connect(&socket).expect("it listens");
        let knock = json!({ "jsonrpc": "2.0", "id": 1, "method": "meliora/attach", "params": { "post": "?" } });
        let knock = knock.to_string();
        let framed = format!("Content-Length: {}\r\n\r\n{knock}{nonsense}", knock.len());
        stream.write_all(framed.as_bytes()).expect("it reads");
        let mut said = String::new();
        stream
            .read_to_string(&mut said)
            .expect("it answers and ends");
        assert!(said.contains("-32803"), "{said}");
    }
    // A window sends as much as it likes: what is too large for sharing takes only itself along.
    let uri = open(&mut second, "b.txt", 1, &"x".repeat(33 * 1024 * 1024));
    wait_for_own_server(&mut second);
    insert(&mut second, &uri, 2, "short ");
    let answer = first.request("textDocument/hover", &json!({}));
    assert_eq!(answer["result"]["contents"], "hover");
    let status = first.request("meliora/status", &json!({}));
    assert_eq!(status["result"]["servers"][0]["restarts"], 0, "{status}");
}

/// Every file below a folder.
fn walk(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .flat_map(|entry| match entry.path() {
            path if path.is_dir() => walk(&path),
            path => vec![path],
        })
        .collect()
}

#[test]
fn a_window_whose_process_is_stopped_holds_nobody_up_for_long() {
    let (_house, mut first, mut second) = House::two(&[]);
    let uri = open(&mut second, "b.txt", 1, "two\n");
    assert_eq!(text(&mut second, &uri), "two\n");
    let signal = |signal| {
        let pid = i32::try_from(first.child.id()).ok();
        let pid = pid
            .and_then(rustix::process::Pid::from_raw)
            .expect("a process");
        rustix::process::kill_process(pid, signal).expect("it runs");
    };
    signal(rustix::process::Signal::STOP);
    let answer = second.request(
        "textDocument/hover",
        &json!({ "textDocument": { "uri": uri } }),
    );
    assert_eq!(answer["result"]["contents"], "hover");
    assert_eq!(holder(&mut second), None);
    assert_eq!(text(&mut second, &uri), "two\n");
    let rest = second.until_now();
    assert!(shown(&rest).is_empty(), "{rest:?}");
    signal(rustix::process::Signal::CONT);
    assert_eq!(
        first.request("textDocument/hover", &json!({}))["result"]["contents"],
        "hover"
    );
}

/// What is not read is no silence of the process whose server is used.
#[test]
fn a_window_whose_editor_reads_slowly_keeps_the_server_that_it_uses() {
    use std::sync::atomic::Ordering;
    let (_house, first, mut second) = House::two(&[]);
    let padding = "x".repeat(8_000_000);
    let body = format!(r#"{{"jsonrpc":"2.0","id":ID,"result":"{padding}"}}"#);
    second.is_deaf.store(true, Ordering::Relaxed);
    let id = second.ask("test/raw", &json!({ "body": body }));
    // Longer than a process may be silent that is asked for a sign of life.
    std::thread::sleep(Duration::from_secs(10));
    second.is_deaf.store(false, Ordering::Relaxed);
    let answer = second.answer_to(&json!(id));
    assert_eq!(answer["result"].as_str().map(str::len), Some(padding.len()));
    assert_eq!(holder(&mut second), Some(first.child.id()));
}

#[test]
fn when_the_first_window_is_killed_the_other_takes_over_and_no_question_is_lost() {
    let (house, mut first, mut second) = House::two(&[]);
    let uri = open(&mut second, "b.txt", 1, "two\n");
    insert(&mut second, &uri, 2, "wrong ");
    assert_eq!(published(&mut second, &uri), (json!(1), 0));
    assert_eq!(published(&mut second, &uri), (json!(2), 1));
    let old = first.pids();
    // The server does not answer this one in its first life.
    std::fs::write(house.base().join("mute"), "").expect("written");
    let question = second.ask(
        "textDocument/hover",
        &json!({ "mute": house.base().join("mute") }),
    );
    let order = second.ask("test/never", &json!({}));
    eventually("the question", || {
        heard(&house.root, "test/never").len() == 1
    });
    std::fs::remove_file(house.base().join("mute")).expect("removed");
    first.child.kill().expect("it runs");
    // Nobody knows what an order did; a question is asked again.
    assert_eq!(second.answer_to(&json!(order))["error"]["code"], -32803);
    assert_eq!(
        second.answer_to(&json!(question))["result"]["contents"],
        "hover"
    );
    assert_eq!(text(&mut second, &uri), "wrong two\n");
    assert_eq!(house.starts(), 2);
    assert_ne!(second.pids(), old);
    let rest = second.until_now();
    assert!(shown(&rest).is_empty(), "{rest:?}");
    let answers = |id: i64| rest.iter().filter(|message| message["id"] == id).count();
    assert_eq!(answers(question) + answers(order), 0, "{rest:?}");
    eventually("the end of the old server", || !is_alive(old[0]));
    // And it lets others in.
    let mut third = house.window();
    assert_eq!(holder(&mut third), Some(second.child.id()));
}

#[test]
fn when_the_first_window_closes_one_of_the_others_takes_over_and_the_rest_uses_its_server() {
    let (house, mut first, mut second) = House::two(&[]);
    let mut third = house.window();
    let two = open(&mut second, "b.txt", 1, "two\n");
    let three = open(&mut third, "c.txt", 1, "three\n");
    assert_eq!(text(&mut third, &three), "three\n");
    assert_eq!(text(&mut second, &two), "two\n");
    first.request("shutdown", &Value::Null);
    first.notify("exit", &Value::Null);
    assert_eq!(first.exit_code(), Some(0));
    assert_eq!(text(&mut second, &two), "two\n");
    assert_eq!(text(&mut third, &three), "three\n");
    assert_eq!(house.starts(), 2);
    let holders = [holder(&mut second), holder(&mut third)];
    let expected = [
        [None, Some(second.child.id())],
        [Some(third.child.id()), None],
    ];
    assert!(expected.contains(&holders), "{holders:?}");
    for peer in [&mut second, &mut third] {
        let rest = peer.until_now();
        assert!(shown(&rest).is_empty(), "{rest:?}");
    }
}

#[test]
fn a_server_that_dies_comes_back_for_everybody() {
    let (house, mut first, mut second) = House::two(&[]);
    let uri = open(&mut second, "b.txt", 1, "two\n");
    let answer = second.request("test/crash", &json!({}));
    assert_eq!(answer["error"]["code"], -32803, "{answer}");
    let said = second.find(|message| message["method"] == "window/showMessage");
    let said = said["params"]["message"].as_str().expect("text");
    assert!(
        said.contains("boom") && said.contains("started again"),
        "{said}"
    );
    assert_eq!(text(&mut second, &uri), "two\n");
    assert_eq!(
        first.request("textDocument/hover", &json!({}))["result"]["contents"],
        "hover"
    );
    assert_eq!(house.starts(), 2);
    assert_eq!(holder(&mut second), Some(first.child.id()));
    // Who uses it can have it started again for everybody.
    let restart = json!({ "command": "meliora.restart" });
    second.request("workspace/executeCommand", &restart);
    eventually("the third start", || house.starts() == 3);
    assert_eq!(text(&mut second, &uri), "two\n");
}

#[test]
fn whoever_would_have_started_another_server_starts_its_own() {
    let house = House::new(&[]);
    let _first = house.window();
    let mut other = house.start("auto", &[("VIRTUAL_ENV", "/elsewhere")]);
    other.greet(&json!({}));
    assert_eq!(holder(&mut other), None);
    assert_eq!(house.starts(), 2);
    // The next one of its kind finds it.
    let mut third = house.start("auto", &[("VIRTUAL_ENV", "/elsewhere")]);
    third.greet(&json!({}));
    assert_eq!(holder(&mut third), Some(other.child.id()));
    let mut alone = house.start("never", &[]);
    alone.greet(&json!({}));
    assert_eq!((holder(&mut alone), house.starts()), (None, 3));
}

#[test]
fn settings_that_differ_for_long_end_the_sharing_and_the_same_ones_are_told_once() {
    let (house, mut first, mut second) = House::two(&[]);
    let settings = json!({ "settings": { "a": 1 } });
    for peer in [&mut second, &mut first] {
        peer.notify("workspace/didChangeConfiguration", &settings);
    }
    let uri = open(&mut second, "b.txt", 1, "two\n");
    assert_eq!(text(&mut second, &uri), "two\n");
    assert_eq!(text(&mut first, &uri), "two\n");
    assert_eq!(
        heard(&house.root, "workspace/didChangeConfiguration").len(),
        1
    );
    second.notify(
        "workspace/didChangeConfiguration",
        &json!({ "settings": { "a": 2 } }),
    );
    wait_for_own_server(&mut second);
    assert_eq!(text(&mut second, &uri), "two\n");
    let rest = second.until_now();
    assert!(shown(&rest).is_empty(), "{rest:?}");
}

#[test]
fn a_window_that_opens_a_notebook_gets_a_server_of_its_own_that_knows_it() {
    let sync = json!({ "notebookDocumentSync": { "notebookSelector": [{ "notebook": "*" }] } });
    let capabilities = sync.to_string();
    let (house, _first, mut second) = House::two(&["--capabilities", &capabilities]);
    let params = json!({
        "notebookDocument": { "uri": uri(&second, "n.ipynb"), "notebookType": "jupyter", "version": 1,
            "cells": [{ "kind": 2, "document": "cell:a" }] },
        "cellTextDocuments": [{ "uri": "cell:a", "languageId": "text", "version": 1, "text": "one\n" }],
    });
    second.notify("notebookDocument/didOpen", &params);
    wait_for_own_server(&mut second);
    eventually("the notebook", || {
        let heard = heard(&house.root, "notebookDocument/didOpen");
        heard.iter().any(|opened| opened["params"] == params)
    });
    assert_eq!(house.starts(), 2);
}

#[test]
fn whoever_may_only_use_the_servers_of_others_says_why_there_is_none() {
    let house = House::new(&[]);
    let mut peer = house.start("only", &[]);
    let answer = peer.greet(&json!({}));
    let reason = answer["error"]["message"].as_str().expect("an error");
    assert!(
        reason.contains("no other process shares scripted"),
        "{reason}"
    );
    assert_eq!(house.starts(), 0);
    let first = house.window();
    let mut peer = house.start("only", &[("VIRTUAL_ENV", "/elsewhere")]);
    let answer = peer.greet(&json!({}));
    let reason = answer["error"]["message"].as_str().expect("an error");
    assert!(
        reason.contains("`environment.VIRTUAL_ENV` differs"),
        "{reason}"
    );
    let mut peer = house.start("only", &[]);
    peer.greet(&json!({ "workspace": { "applyEdit": true } }));
    assert_eq!(holder(&mut peer), Some(first.child.id()));
    assert_eq!(house.starts(), 1);
}

/// Diagnostics of a document as its window gets them when it asks.
fn pulled(peer: &mut Peer, uri: &str) -> Vec<String> {
    let params = json!({ "textDocument": { "uri": uri } });
    let answer = peer.request("textDocument/diagnostic", &params);
    let items = answer["result"]["items"]
        .as_array()
        .unwrap_or_else(|| panic!("no report: {answer}"));
    let messages = items
        .iter()
        .map(|item| item["message"].as_str().expect("text"));
    messages.map(str::to_owned).collect()
}

#[test]
fn one_ruff_serves_two_windows_and_its_successor_knows_what_was_typed() {
    let house = House::new(&[]);
    let settings = house.base().join("home/.config/agent/config.toml");
    let ruff = json!(crate::servers::tool("python/ruff"));
    let entry = format!(
        "[[lsp.servers]]\nname = 'linter'\ncommand = {ruff}\nargs = ['server']\n\
         filetypes = ['python']\nroot_patterns = ['ruff.toml']\n"
    );
    std::fs::write(settings, entry).expect("written");
    std::fs::remove_file(house.root.join("scripted.json")).expect("removed");
    std::fs::write(house.root.join("ruff.toml"), "").expect("written");
    let window = || {
        let mut peer = house.start("auto", &[]);
        peer.greet(&json!({ "textDocument": { "diagnostic": {} } }));
        peer
    };
    let (mut first, mut second) = (window(), window());
    assert_eq!(holder(&mut second), Some(first.child.id()));
    let python = |peer: &mut Peer, text: &str| {
        let uri = uri(peer, "a.py");
        let item = json!({ "uri": uri, "languageId": "python", "version": 1, "text": text });
        peer.notify("textDocument/didOpen", &json!({ "textDocument": item }));
        uri
    };
    let uri = python(&mut first, "import os\n");
    python(&mut second, "import sys\n");
    let says = |found: &[String], word: &str| found.len() == 1 && found[0].contains(word);
    for _ in 0..3 {
        let found = pulled(&mut first, &uri);
        assert!(says(&found, "`os` imported but unused"), "{found:?}");
        let found = pulled(&mut second, &uri);
        assert!(says(&found, "`sys` imported but unused"), "{found:?}");
    }
    insert(&mut second, &uri, 2, "import json\n");
    assert_eq!(pulled(&mut second, &uri).len(), 2);
    first.child.kill().expect("it runs");
    assert_eq!(pulled(&mut second, &uri).len(), 2);
    wait_for_own_server(&mut second);
    let found = pulled(&mut second, &uri);
    assert!(
        found[0].contains("json") && found[1].contains("sys"),
        "{found:?}"
    );
    let rest = second.until_now();
    assert!(shown(&rest).is_empty(), "{rest:?}");
}
