//! An editor takes a repair, and takes it back, through the real server and a real rust-analyzer.

use meliora::agent::undo::record_applied;
use meliora::config::host::Host;
use meliora::event::RunId;
use meliora::text::edit::EditSet;
use serde_json::{Value, json};

use crate::wire_peer::{Peer, Script, eventually, workspace};

const BROKEN: &str = "//! 😀\n\npub fn count() -> usize {\n    let map: HashMap<u8, u8> = HashMap::new();\n    map.len()\n}\n";

/// A buffer as a simple editor keeps it, in UTF-8 columns.
struct Buffer {
    uri: String,
    text: String,
    version: i64,
}

impl Buffer {
    fn open(peer: &mut Peer, name: &str, text: &str) -> Self {
        Self {
            uri: peer.open(name, "rust", text),
            text: text.to_owned(),
            version: 1,
        }
    }

    /// Replaces the text and tells the server.
    fn set(&mut self, peer: &mut Peer, text: String) {
        self.version += 1;
        self.text = text;
        peer.notify(
            "textDocument/didChange",
            &json!({
                "textDocument": { "uri": self.uri, "version": self.version },
                "contentChanges": [{ "text": self.text }]
            }),
        );
    }

    /// Applies an edit for this document, if it is for the text that it has.
    fn apply(&mut self, peer: &mut Peer, request: &Value) {
        let change = &request["params"]["edit"]["documentChanges"][0];
        assert_eq!(change["textDocument"]["uri"], json!(self.uri));
        assert_eq!(change["textDocument"]["version"], json!(self.version));
        assert_eq!(
            request["params"]["edit"]["documentChanges"]
                .as_array()
                .map(Vec::len),
            Some(1)
        );
        let mut edits: Vec<(usize, usize, &str)> = change["edits"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|edit| {
                let offset = |place: &Value| {
                    let line =
                        usize::try_from(place["line"].as_u64().expect("a line")).expect("small");
                    let before: usize = self
                        .text
                        .split_inclusive('\n')
                        .take(line)
                        .map(str::len)
                        .sum();
                    before
                        + usize::try_from(place["character"].as_u64().expect("a column"))
                            .expect("small")
                };
                let range = &edit["range"];
                (
                    offset(&range["start"]),
                    offset(&range["end"]),
                    edit["newText"].as_str().expect("text"),
                )
            })
            .collect();
        edits.sort_unstable();
        let mut text = self.text.clone();
        for (start, end, new) in edits.into_iter().rev() {
            text.replace_range(start..end, new);
        }
        self.set(peer, text);
        peer.body(
            json!({ "jsonrpc": "2.0", "id": request["id"], "result": { "applied": true } })
                .to_string(),
        );
    }
}

/// A peer on a broken crate, with the real rust-analyzer, as a capable editor.
fn start() -> (Peer, Buffer) {
    let peer = Peer::start(&Script::default());
    crate::semantics::write_crate(&peer.root, BROKEN);
    std::fs::remove_file(peer.root.join("scripted.json")).expect("removed");
    begin(peer)
}

/// Greets the server of a peer whose crate is written.
fn begin(mut peer: Peer) -> (Peer, Buffer) {
    let sources = std::fs::read_dir("/usr/src")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("library"))
        .find(|path| path.is_dir());
    let params = json!({
        "processId": null,
        "rootUri": format!("file://{}", peer.root.display()),
        "initializationOptions": { "cargo": { "sysrootSrc": sources }, "checkOnSave": false },
        "capabilities": {
            "general": { "positionEncodings": ["utf-8"] },
            "window": { "workDoneProgress": true },
            "workspace": {
                "applyEdit": true,
                "workspaceEdit": { "documentChanges": true, "resourceOperations": ["create", "delete"] }
            },
            "textDocument": { "codeAction": { "codeActionLiteralSupport": { "codeActionKind": { "valueSet": ["quickfix"] } } } },
            "experimental": { "meliora": { "events": true } }
        }
    });
    let answer = peer.request("initialize", &params);
    assert_eq!(
        answer["result"]["capabilities"]["positionEncoding"],
        "utf-8"
    );
    peer.notify("initialized", &json!({}));
    let buffer = Buffer::open(&mut peer, "src/lib.rs", BROKEN);
    (peer, buffer)
}

/// Agrees to everything until the wanted message comes, as editors do.
fn agreeing(peer: &mut Peer, wanted: impl Fn(&Value) -> bool) -> Value {
    loop {
        let message = peer.find(|message| {
            wanted(message) || message["method"] == "window/workDoneProgress/create"
        });
        if wanted(&message) {
            return message;
        }
        peer.body(json!({ "jsonrpc": "2.0", "id": message["id"], "result": null }).to_string());
    }
}

#[test]
fn a_quick_fix_is_proven_applied_and_taken_back() {
    let (mut peer, mut buffer) = start();
    fix(&mut peer, &mut buffer);
    undo(&mut peer, &mut buffer);
}

/// Lets the server repair the buffer.
fn fix(peer: &mut Peer, buffer: &mut Buffer) {
    let range =
        json!({ "start": { "line": 3, "character": 13 }, "end": { "line": 3, "character": 20 } });
    let diagnostic = json!({ "range": range, "severity": 1, "code": "E0433", "message": "cannot find `HashMap`" });
    let answer = peer.request(
        "textDocument/codeAction",
        &json!({
            "textDocument": { "uri": buffer.uri },
            "range": range,
            "context": { "diagnostics": [diagnostic] }
        }),
    );
    let actions = answer["result"].as_array().expect("a list").clone();
    let ours = actions.last().expect("ours is the last one");
    assert_eq!(ours["kind"], "quickfix.meliora.fix");
    assert_eq!(ours["isPreferred"], Value::Null);

    let started = peer.request("workspace/executeCommand", &ours["command"]);
    assert!(started["result"]["runId"].is_string(), "{started}");
    let edit = agreeing(peer, |message| message["method"] == "workspace/applyEdit");
    buffer.apply(peer, &edit);
    assert!(
        buffer.text.contains("use std::collections::HashMap;"),
        "{}",
        buffer.text
    );
    let end = agreeing(peer, |message| {
        message["params"]["event"]["event"] == "finished"
    });
    assert_eq!(end["params"]["event"]["outcome"], "applied", "{end}");
}

/// Lets the server take its repair back.
fn undo(peer: &mut Peer, buffer: &mut Buffer) {
    let undo = peer.request(
        "workspace/executeCommand",
        &json!({ "command": "meliora.undo" }),
    );
    assert!(undo["result"]["runId"].is_string(), "{undo}");
    let edit = agreeing(peer, |message| message["method"] == "workspace/applyEdit");
    buffer.apply(peer, &edit);
    assert_eq!(buffer.text, BROKEN);
    agreeing(peer, |message| {
        message["params"]["event"]["event"] == "finished"
            && message["params"]["runId"] == undo["result"]["runId"]
    });
}

#[test]
fn what_waits_for_an_answer_is_not_delivered_once_its_run_was_stopped() {
    let variable = ("MELIORA_SAFETY__PROTECTED_PATHS", "[\"src/**\"]".to_owned());
    let peer = Peer::with(&[], &[variable], |folder| {
        workspace(folder, &Script::default())
    });
    crate::semantics::write_crate(&peer.root, BROKEN);
    std::fs::remove_file(peer.root.join("scripted.json")).expect("removed");
    let (mut peer, _buffer) = begin(peer);
    let params = json!({ "command": "meliora.fix", "arguments": [] });
    peer.ask("workspace/executeCommand", &params);
    agreeing(&mut peer, |message| {
        message["method"] == "window/showMessageRequest"
    });
    // Both at once: no end of the run comes between them.
    let body = |id: i64, name: &str| {
        let params = json!({ "command": format!("meliora.{name}"), "arguments": [] });
        let method = "workspace/executeCommand";
        let body = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        let body = body.to_string();
        format!("Content-Length: {}\r\n\r\n{body}", body.len())
    };
    let approved = 1001;
    peer.raw((body(1000, "cancel") + &body(approved, "approve")).as_bytes());
    let mut heard = Vec::new();
    while !["finished", "answer"]
        .iter()
        .all(|kind| heard.contains(kind))
    {
        let message: Value = serde_json::from_slice(&peer.next()).expect("we write JSON");
        assert_ne!(message["method"], "workspace/applyEdit", "{message}");
        if message["id"] == json!(approved) && message.get("method").is_none() {
            let why = message["error"]["message"].as_str().unwrap_or_default();
            assert_eq!(why, "nothing waits for approval", "{message}");
            heard.push("answer");
        }
        let event = &message["params"]["event"];
        if event["event"] == "finished" {
            assert_eq!(event["outcome"], "cancelled", "{message}");
            heard.push("finished");
        }
    }
}

#[cfg(unix)]
#[test]
fn what_an_editor_applied_is_committed_and_the_commit_taken_back_with_it() {
    let variable = ("MELIORA_TOOLS__GIT__AUTO_COMMIT", "true".to_owned());
    let peer = Peer::with(&[], &[variable], |folder| {
        workspace(folder, &Script::default())
    });
    crate::semantics::write_crate(&peer.root, BROKEN);
    std::fs::remove_file(peer.root.join("scripted.json")).expect("removed");
    let home = peer.root.parent().expect("it has one").join("home");
    let settings = "[user]\nname = Anna\nemail = anna@example.org\n[init]\ndefaultBranch = main\n";
    std::fs::create_dir_all(&home).expect("made");
    std::fs::write(home.join(".gitconfig"), settings).expect("written");
    let git =
        |root: &std::path::Path, arguments: &[&str]| crate::git_writes::git(root, &home, arguments);
    git(&peer.root, &["init", "-q"]);
    git(&peer.root, &["add", "."]);
    git(&peer.root, &["commit", "-qm", "first"]);
    let (mut peer, mut buffer) = begin(peer);
    let root = peer.root.clone();
    let commits = |count| git(&root, &["log", "--format=%s"]).lines().count() == count;
    fix(&mut peer, &mut buffer);
    eventually("a commit", || commits(2));
    let subject = git(&root, &["log", "-1", "--format=%s"]);
    assert!(subject.starts_with("[agent] fix "), "{subject}");
    // The editor has not saved it yet.
    assert_eq!(git(&root, &["show", "HEAD:src/lib.rs"]), buffer.text);
    undo(&mut peer, &mut buffer);
    eventually("the commit is taken back", || commits(1));
    // It follows the branch, under a lock that is not taken from it here.
    eventually("the index follows", || {
        let status = ["--no-optional-locks", "status", "--porcelain", "src"];
        git(&root, &status).is_empty()
    });
}

/// Notes that a run changed these files from `old` to `new`, and makes them so.
pub(crate) fn changed_before(peer: &Peer, run: u16, files: &[&str]) {
    let base = peer.root.parent().expect("it has one");
    let environment = crate::wire_peer::environment(base).into_iter().collect();
    let host = Host::from_environment("/nowhere/meliora".into(), environment);
    let mut edits = EditSet::default();
    for file in files {
        std::fs::write(peer.root.join(file), "new\n").expect("written");
        edits.record(file.into(), Some("old\n".into()), Some("new\n".into()));
    }
    record_applied(&host, &peer.root, &RunId::new(1, run), (&edits, &[]), None).expect("recorded");
}

#[test]
fn a_part_of_an_undo_is_what_the_next_undo_takes_back() {
    let mut peer = Peer::start(&Script::default());
    changed_before(&peer, 1, &["unrelated"]);
    changed_before(&peer, 2, &["a", "b"]);
    peer.greet(&json!({
        "workspace": { "applyEdit": true, "workspaceEdit": { "documentChanges": true } },
        "experimental": { "meliora": { "events": true } }
    }));
    // What follows from a command may come before its answer.
    let command = |peer: &mut Peer, name: &str, arguments: &[&str]| {
        let params = json!({ "command": format!("meliora.{name}"), "arguments": arguments });
        peer.ask("workspace/executeCommand", &params);
    };
    let asked = |peer: &mut Peer| {
        let edit = peer.find(|message| message["method"] == "workspace/applyEdit");
        let change = &edit["params"]["edit"]["documentChanges"][0];
        let uri = change["textDocument"]["uri"].as_str().expect("a URI");
        let name = uri.rsplit('/').next().unwrap_or_default().to_owned();
        (edit["id"].clone(), name)
    };
    // The editor writes files that are not open.
    let answer = |peer: &mut Peer, id: Value, written: Option<(&str, &str)>| {
        if let Some((name, text)) = written {
            std::fs::write(peer.root.join(name), text).expect("written");
        }
        let result = json!({ "applied": written.is_some() });
        peer.body(json!({ "jsonrpc": "2.0", "id": id, "result": result }).to_string());
    };
    let event = |peer: &mut Peer, kind: &str| {
        let found = peer.find(|message| message["params"]["event"]["event"] == kind);
        found["params"]["event"].clone()
    };

    command(&mut peer, "undo", &[]);
    for (name, written) in [("a", Some(("a", "old\n"))), ("b", None)] {
        let (id, file) = asked(&mut peer);
        assert_eq!(file, name);
        answer(&mut peer, id, written);
    }
    assert_eq!(event(&mut peer, "finished")["outcome"], "failed");

    command(&mut peer, "undo", &[]);
    let (id, file) = asked(&mut peer);
    assert_eq!(file, "a");
    answer(&mut peer, id, Some(("a", "new\n")));
    assert_eq!(event(&mut peer, "undone")["files"], json!(["a"]));
    let end = event(&mut peer, "finished");
    assert_eq!(
        (&end["outcome"], &end["files"]),
        (&json!("applied"), &json!(1))
    );

    command(&mut peer, "undo", &[]);
    let (id, _) = asked(&mut peer);
    answer(&mut peer, id, Some(("a", "old\n")));
    asked(&mut peer);
    command(&mut peer, "cancel", &[]);
    assert_eq!(event(&mut peer, "finished")["outcome"], "cancelled");

    let run = RunId::new(1, 2).0;
    command(&mut peer, "undo", &[run.as_str()]);
    let (id, file) = asked(&mut peer);
    assert_eq!(file, "b");
    answer(&mut peer, id, Some(("b", "old\n")));
    assert_eq!(event(&mut peer, "undone")["run"], json!(run));
}
