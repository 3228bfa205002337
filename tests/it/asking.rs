//! What servers ask of the editor, and how the answers find their way home.

use std::path::Path;

use serde_json::{Value, json};

use crate::wire_peer::{Peer, Script, eventually};

/// Changes the configuration before it is read.
fn configure(peer: &Peer, change: impl FnOnce(&str) -> String) {
    let home = peer.root.with_file_name("home/.config/agent/config.toml");
    let config = std::fs::read_to_string(&home).expect("readable");
    std::fs::write(&home, change(&config)).expect("written");
}

/// A workspace with two scripted servers: `scripted` and `second`, which serves the language `other` and writes to `log2`.
fn two_servers(options: &[&str]) -> Peer {
    let peer = Peer::start(&Script {
        options,
        ..Script::default()
    });
    configure(&peer, |config| {
        let entry = config[config.find("[[lsp.servers]]").expect("there")..]
            .replace("name = \"scripted\"", "name = \"second\"")
            .replace("[\"scripted\"]", "[\"other\"]")
            .replace("/log\"", "/log2\"");
        format!("{config}\n{entry}")
    });
    peer
}

/// Has a document of each server open, so that it can be spoken to: `scripted`, `other`.
fn open_both(peer: &mut Peer) -> [String; 2] {
    ["scripted", "other"].map(|language| {
        let uri = format!("file://{}/a.{language}", peer.root.display());
        let item = json!({ "uri": uri, "languageId": language, "version": 1, "text": "fine\n" });
        peer.notify("textDocument/didOpen", &json!({ "textDocument": item }));
        uri
    })
}

/// Has a server say something.
fn say(peer: &mut Peer, uri: &str, message: &Value) {
    let bodies = [message.to_string()];
    let params = json!({ "textDocument": { "uri": uri }, "bodies": bodies });
    peer.notify("test/say", &params);
}

/// The answers that a server received to a request that it made.
fn answers(log: &Path, id: &Value) -> Vec<Value> {
    let log = std::fs::read(log).unwrap_or_default();
    let mut rest = log.as_slice();
    let mut found = Vec::new();
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let length = std::str::from_utf8(&rest[..end]).expect("digits");
        let after = end + 1 + length.parse::<usize>().expect("digits");
        let message: Value = serde_json::from_slice(&rest[end + 1..after]).expect("JSON");
        if message["id"] == *id && message.get("method").is_none() {
            found.push(message);
        }
        rest = &rest[after..];
    }
    found
}

fn answer_of(log: &Path, id: &Value) -> Value {
    let mut all = Vec::new();
    eventually("the answer to the server", || {
        all = answers(log, id);
        !all.is_empty()
    });
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

/// Answers a request that came from the server.
fn reply(peer: &mut Peer, request: &Value, result: &Value) {
    let body = json!({ "jsonrpc": "2.0", "id": request["id"], "result": result });
    peer.body(body.to_string());
}

fn is_refresh(message: &Value) -> bool {
    message["method"]
        .as_str()
        .is_some_and(|method| method.ends_with("/refresh"))
}

#[test]
fn requests_to_ask_again_are_answered_at_once_and_reach_the_editor_as_one() {
    let mut peer = two_servers(&[]);
    peer.greet(&json!({ "workspace": { "inlayHint": { "refreshSupport": true }, "diagnostics": { "refreshSupport": true } } }));
    let uris = open_both(&mut peer);
    for (uri, id) in uris.iter().zip([7, 8]) {
        for method in ["inlayHint", "diagnostic", "codeLens"] {
            let method = format!("workspace/{method}/refresh");
            say(
                &mut peer,
                uri,
                &json!({ "id": format!("{id}{method}"), "method": method }),
            );
        }
    }
    let log = peer.root.with_file_name("log");
    let answer = answer_of(&log, &json!("7workspace/codeLens/refresh"));
    assert_eq!(answer.get("result"), Some(&Value::Null));
    let log = peer.root.with_file_name("log2");
    answer_of(&log, &json!("8workspace/inlayHint/refresh"));
    let mut asked = Vec::new();
    for _ in 0..2 {
        let request = peer.find(is_refresh);
        assert!(request.get("params").is_none(), "{request}");
        reply(&mut peer, &request, &Value::Null);
        asked.push(request["method"].as_str().expect("text").to_owned());
    }
    asked.sort();
    assert_eq!(
        asked,
        [
            "workspace/diagnostic/refresh",
            "workspace/inlayHint/refresh"
        ]
    );
    // A second time: again as one, and what the editor does not know does not come.
    for (uri, id) in uris.iter().zip([9, 10]) {
        let method = "workspace/inlayHint/refresh";
        say(&mut peer, uri, &json!({ "id": id, "method": method }));
    }
    let request = peer.find(is_refresh);
    assert_eq!(request["method"], "workspace/inlayHint/refresh");
    assert!(!peer.until_now().iter().any(is_refresh));
}

#[test]
fn the_editor_is_to_ask_again_when_a_server_came_back() {
    let mut peer = Peer::start(&Script {
        options: &[
            "--capabilities",
            r#"{"semanticTokensProvider":{"full":true}}"#,
        ],
        ..Script::default()
    });
    peer.greet(&json!({ "workspace": { "semanticTokens": { "refreshSupport": true }, "inlayHint": { "refreshSupport": true } } }));
    peer.request("test/crash", &json!({}));
    let request = peer.find(is_refresh);
    assert_eq!(request["method"], "workspace/semanticTokens/refresh");
}

#[test]
fn tokens_of_two_servers_and_of_two_lives_are_never_the_same() {
    let mut peer = two_servers(&[]);
    peer.greet(&json!({ "window": { "workDoneProgress": true } }));
    let uris = open_both(&mut peer);
    let mut tokens = Vec::new();
    let mut begin = |peer: &mut Peer, uri: &str| {
        let create = json!({ "id": 1, "method": "window/workDoneProgress/create", "params": { "token": 1 } });
        say(peer, uri, &create);
        let asked = peer.find(|message| message["method"] == create["method"]);
        reply(peer, &asked, &Value::Null);
        let value = json!({ "kind": "begin", "title": "working" });
        let params = json!({ "token": 1, "value": value });
        say(
            peer,
            uri,
            &json!({ "method": "$/progress", "params": params }),
        );
        let begun = peer.find(|message| message["method"] == "$/progress");
        assert_eq!(begun["params"]["token"], asked["params"]["token"]);
        assert_eq!(begun["params"]["value"], value);
        assert!(!tokens.contains(&asked["params"]["token"]));
        tokens.push(asked["params"]["token"].clone());
        asked["params"]["token"].clone()
    };
    // The first server's own name stays what it is.
    assert_eq!(begin(&mut peer, &uris[0]), 1);
    let second = begin(&mut peer, &uris[1]);
    // Each is stopped by its own name, and only there.
    peer.notify(
        "window/workDoneProgress/cancel",
        &json!({ "token": second }),
    );
    peer.notify("window/workDoneProgress/cancel", &json!({ "token": 1 }));
    let stopped = |name: &str| {
        let log = std::fs::read_to_string(peer.root.with_file_name(name)).unwrap_or_default();
        log.matches("workDoneProgress/cancel").count()
    };
    eventually("both are told", || {
        stopped("log") > 0 && stopped("log2") > 0
    });
    assert_eq!((stopped("log"), stopped("log2")), (1, 1));
    let log = std::fs::read_to_string(peer.root.with_file_name("log2")).expect("readable");
    assert!(log.contains(r#"{"token":1}"#), "{log}");
    // A server that dies leaves no display behind, and its next life makes other names.
    peer.ask("test/crash", &json!({ "textDocument": { "uri": uris[0] } }));
    let ended = peer.find(|message| message["method"] == "$/progress");
    assert_eq!(
        ended["params"],
        json!({ "token": 1, "value": { "kind": "end" } })
    );
    peer.request(
        "textDocument/hover",
        &json!({ "textDocument": { "uri": uris[0] } }),
    );
    assert_ne!(begin(&mut peer, &uris[0]), 1);
    // What the first life's name stops is nothing any more.
    let end =
        json!({ "method": "$/progress", "params": { "token": 1, "value": { "kind": "end" } } });
    say(&mut peer, &uris[1], &end);
    let ended = peer.find(|message| message["method"] == "$/progress");
    assert_eq!(ended["params"]["token"], second);
}

#[test]
fn settings_of_ours_lie_over_those_of_the_editor() {
    for knows in [true, false] {
        let mut peer = Peer::start(&Script::default());
        configure(&peer, |config| {
            format!("{config}settings = {{ one = {{ a = 1, b = 2 }} }}\n")
        });
        peer.greet(&json!({ "workspace": { "configuration": knows } }));
        let uri = "file:///x";
        let items = json!([{ "section": "one" }, { "section": "two", "scopeUri": uri }, { "section": "one.b" }]);
        let ask =
            json!({ "id": "c", "method": "workspace/configuration", "params": { "items": items } });
        say(&mut peer, uri, &ask);
        let (theirs, expected) = if knows {
            let asked = peer.find(|message| message["method"] == ask["method"]);
            assert_eq!(asked["params"], ask["params"]);
            reply(&mut peer, &asked, &json!([{ "a": 0, "c": 3 }, { "d": 4 }]));
            (
                json!({ "a": 0, "c": 3 }),
                json!([{ "a": 1, "b": 2, "c": 3 }, { "d": 4 }, 2]),
            )
        } else {
            (Value::Null, json!([{ "a": 1, "b": 2 }, null, 2]))
        };
        let log = peer.root.with_file_name("log");
        assert_eq!(answer_of(&log, &json!("c"))["result"], expected);
        // It is told of them at once, and when the editor's change.
        let changed = json!({ "settings": { "one": theirs, "x": 1 } });
        peer.notify("workspace/didChangeConfiguration", &changed);
        peer.request("textDocument/hover", &json!({}));
        let told: Vec<Value> = peer
            .received()
            .iter()
            .map(|body| serde_json::from_slice(body).expect("JSON"))
            .filter(|message: &Value| message["method"] == "workspace/didChangeConfiguration")
            .map(|message| message["params"]["settings"].clone())
            .collect();
        assert_eq!(told[0], json!({ "one": { "a": 1, "b": 2 } }));
        assert_eq!(told[1]["one"]["a"], 1);
        assert_eq!(told[1]["x"], 1);
        assert_eq!(told.len(), 2);
    }
}

fn edit(id: u64, uri: &str, version: u64) -> Value {
    let document = json!({ "uri": uri, "version": version });
    let changes = json!([{ "textDocument": document, "edits": [] }]);
    json!({ "id": id, "method": "workspace/applyEdit", "params": { "label": "tidy", "edit": { "documentChanges": changes } } })
}

#[test]
fn edits_of_servers_reach_the_editor_one_at_a_time() {
    let mut peer = two_servers(&[]);
    peer.greet(&json!({ "workspace": { "applyEdit": true } }));
    let uris = open_both(&mut peer);
    say(&mut peer, &uris[0], &edit(1, &uris[0], 1));
    say(&mut peer, &uris[1], &edit(1, &uris[1], 1));
    let is_edit = |message: &Value| message["method"] == "workspace/applyEdit";
    let first = peer.find(is_edit);
    assert!(
        !peer.until_now().iter().any(is_edit),
        "the second one waits"
    );
    let refused = json!({ "applied": false, "failureReason": "busy", "failedChange": 0 });
    reply(&mut peer, &first, &refused);
    let second = peer.find(is_edit);
    reply(&mut peer, &second, &json!({ "applied": true }));
    let mut labels = [&first, &second].map(|edit| edit["params"]["label"].clone());
    labels.sort_by_key(Value::to_string);
    assert_eq!(labels, ["scripted: tidy", "second: tidy"]);
    let results = ["log", "log2"].map(|log| {
        let log = peer.root.with_file_name(log);
        answer_of(&log, &json!(1))["result"].clone()
    });
    let of_first = usize::from(first["params"]["label"] == "second: tidy");
    assert_eq!(results[of_first], refused);
    assert_eq!(results[1 - of_first], json!({ "applied": true }));
}

#[test]
fn an_edit_that_nobody_can_make_is_refused_with_the_reason() {
    for (applies, reason) in [(true, "has changed"), (false, "applies no edits")] {
        let mut peer = Peer::start(&Script::default());
        peer.greet(&json!({ "workspace": { "applyEdit": applies } }));
        let uri = format!("file://{}/a.txt", peer.root.display());
        let item = json!({ "uri": uri, "languageId": "scripted", "version": 4, "text": "" });
        peer.notify("textDocument/didOpen", &json!({ "textDocument": item }));
        say(&mut peer, &uri, &edit(1, &uri, 3));
        let answer = answer_of(&peer.root.with_file_name("log"), &json!(1));
        assert_eq!(answer["result"]["applied"], false);
        let said = answer["result"]["failureReason"].as_str().expect("text");
        assert!(said.contains(reason), "{said}");
    }
}

#[test]
fn an_edit_that_waits_can_be_taken_back_and_a_dead_server_holds_up_nobody() {
    let mut peer = two_servers(&[]);
    peer.greet(&json!({ "workspace": { "applyEdit": true } }));
    let uris = open_both(&mut peer);
    let is_edit = |message: &Value| message["method"] == "workspace/applyEdit";
    say(&mut peer, &uris[0], &edit(1, &uris[0], 1));
    peer.find(is_edit);
    say(&mut peer, &uris[1], &edit(1, &uris[1], 1));
    say(&mut peer, &uris[1], &edit(2, &uris[1], 1));
    let cancel = json!({ "method": "$/cancelRequest", "params": { "id": 1 } });
    say(&mut peer, &uris[1], &cancel);
    let answer = answer_of(&peer.root.with_file_name("log2"), &json!(1));
    assert_eq!(answer["error"]["code"], -32800);
    peer.ask("test/crash", &json!({ "textDocument": { "uri": uris[0] } }));
    let next = peer.find(is_edit);
    assert_eq!(next["params"]["label"], "second: tidy");
}

#[test]
fn messages_of_several_servers_say_whose_they_are() {
    let mut peer = two_servers(&[]);
    peer.greet(&json!({}));
    let uris = open_both(&mut peer);
    for (uri, name) in uris.iter().zip(["scripted", "second"]) {
        for method in [
            "window/showMessageRequest",
            "window/logMessage",
            "$/logTrace",
        ] {
            let mut message =
                json!({ "method": method, "params": { "type": 3, "message": "\"so\" it is" } });
            if method.ends_with("Request") {
                message["id"] = json!(3);
            }
            say(&mut peer, uri, &message);
            let heard = peer.find(|heard| heard["method"] == method);
            assert_eq!(heard["params"]["message"], format!("{name}: \"so\" it is"));
            if method.ends_with("Request") {
                reply(&mut peer, &heard, &json!({ "title": name }));
            }
        }
    }
    for (log, name) in ["log", "log2"].iter().zip(["scripted", "second"]) {
        let answer = answer_of(&peer.root.with_file_name(log), &json!(3));
        assert_eq!(answer["result"]["title"], name);
    }
}

#[test]
fn telemetry_reaches_the_editor_as_each_server_says_it() {
    let mut peer = two_servers(&[]);
    peer.greet(&json!({}));
    for uri in open_both(&mut peer) {
        let told =
            json!({ "method": "telemetry/event", "params": { "of": uri, "odd": [1, null] } });
        say(&mut peer, &uri, &told);
        let heard = peer.find(|heard| heard["method"] == "telemetry/event");
        assert_eq!(heard["params"], told["params"]);
    }

    let mut peer = two_servers(&[]);
    configure(&peer, |config| {
        format!("[lsp]\ntelemetry = false\n{config}")
    });
    peer.greet(&json!({}));
    let [uri, _] = open_both(&mut peer);
    say(
        &mut peer,
        &uri,
        &json!({ "method": "telemetry/event", "params": {} }),
    );
    say(
        &mut peer,
        &uri,
        &json!({ "method": "test/after", "params": {} }),
    );
    let heard =
        peer.find(|heard| heard["method"] == "telemetry/event" || heard["method"] == "test/after");
    assert_eq!(heard["method"], "test/after");
}

fn registration(id: u64, registrations: &Value) -> Value {
    let params = json!({ "registrations": registrations });
    json!({ "id": id, "method": "client/registerCapability", "params": params })
}

#[test]
fn registrations_of_two_servers_with_one_id_are_two_and_end_by_themselves() {
    let mut peer = two_servers(&[]);
    peer.greet(&json!({ "textDocument": { "formatting": { "dynamicRegistration": true } } }));
    let uris = open_both(&mut peer);
    let mut ids = Vec::new();
    for (uri, language) in uris.iter().zip(["one", "two"]) {
        let options = json!({ "documentSelector": [{ "language": language }] });
        let register = registration(
            1,
            &json!([
                { "id": "r", "method": "textDocument/formatting", "registerOptions": options },
                { "id": "s", "method": "textDocument/rangeFormatting" },
            ]),
        );
        say(&mut peer, uri, &register);
        let told = peer.find(|message| message["method"] == "client/registerCapability");
        let items = told["params"]["registrations"].as_array().expect("a list");
        assert_eq!(
            items.len(),
            1,
            "the editor does not take the other: {items:?}"
        );
        assert_eq!(items[0]["registerOptions"], options);
        ids.push(items[0]["id"].clone());
        reply(&mut peer, &told, &Value::Null);
    }
    assert_eq!(ids[0], "r");
    assert_ne!(ids[0], ids[1]);
    for (uri, id) in uris.iter().zip(&ids) {
        for key in ["unregistrations", "unregisterations"] {
            let items = json!([{ "id": "r", "method": "textDocument/formatting" }]);
            say(
                &mut peer,
                uri,
                &json!({ "id": key, "method": "client/unregisterCapability", "params": { key: items } }),
            );
        }
        let told = peer.find(|message| message["method"] == "client/unregisterCapability");
        assert_eq!(
            told["params"]["unregisterations"],
            json!([{ "id": id, "method": "textDocument/formatting" }])
        );
    }
    for log in ["log", "log2"] {
        let log = peer.root.with_file_name(log);
        for id in [
            json!(1),
            json!("unregistrations"),
            json!("unregisterations"),
        ] {
            assert_eq!(answer_of(&log, &id).get("result"), Some(&Value::Null));
        }
    }
    assert!(
        !peer
            .until_now()
            .iter()
            .any(|message| message["method"] == "client/unregisterCapability")
    );
}

#[test]
fn a_server_that_came_back_registers_what_is_new_and_loses_what_is_old() {
    let mut peer = Peer::start(&Script::default());
    peer.greet(
        &json!({ "workspace": { "didChangeWatchedFiles": { "dynamicRegistration": true } } }),
    );
    let watch = |id: &str, glob: &str| {
        let options = json!({ "watchers": [{ "globPattern": glob }] });
        json!({ "id": id, "method": "workspace/didChangeWatchedFiles", "registerOptions": options })
    };
    let uri = "file:///x";
    let told = |message: &Value| message["method"] == "client/registerCapability";
    let body = registration(1, &json!([watch("a", "**/*.a"), watch("b", "**/*.b")]));
    say(&mut peer, uri, &body);
    let items = peer.find(told)["params"]["registrations"].clone();
    assert_eq!(items, body["params"]["registrations"], "as it came");
    peer.request("test/crash", &json!({}));
    let body = registration(2, &json!([watch("a", "**/*.a"), watch("b", "**/*.c")]));
    say(&mut peer, uri, &body);
    let items = peer.find(told)["params"]["registrations"].clone();
    assert_eq!(items.as_array().map(Vec::len), Some(1), "{items}");
    assert_eq!(
        items[0]["registerOptions"],
        watch("b", "**/*.c")["registerOptions"]
    );
    let over = peer.find(|message| message["method"] == "client/unregisterCapability");
    let expected = json!([{ "id": "b", "method": "workspace/didChangeWatchedFiles" }]);
    assert_eq!(over["params"]["unregisterations"], expected);
}

#[test]
fn changed_files_reach_the_servers_that_watch_them() {
    let mut peer = two_servers(&[]);
    peer.greet(
        &json!({ "workspace": { "didChangeWatchedFiles": { "dynamicRegistration": true } } }),
    );
    let uris = open_both(&mut peer);
    for (uri, glob) in uris.iter().zip([
        json!("**/*.rs"),
        json!({ "baseUri": "file:///w", "pattern": "*.py" }),
    ]) {
        let options = json!({ "watchers": [{ "globPattern": glob, "kind": 3 }] });
        let item = json!({ "id": "w", "method": "workspace/didChangeWatchedFiles", "registerOptions": options });
        say(&mut peer, uri, &registration(1, &json!([item])));
        peer.find(|message| message["method"] == "client/registerCapability");
    }
    let change = |uri: &str, kind: u64| json!({ "uri": uri, "type": kind });
    let changes = [
        change("file:///w/a.rs", 1),
        change("file:///w/a.rs", 1),
        change("file:///w/b.rs", 3),
        change("file:///w/c.py", 2),
        change("file:///w/deep/d.py", 2),
    ];
    peer.notify(
        "workspace/didChangeWatchedFiles",
        &json!({ "changes": changes }),
    );
    peer.notify(
        "workspace/didChangeWatchedFiles",
        &json!({ "changes": [change("file:///w/e.c", 2)] }),
    );
    let told = |log: &str| {
        let log = std::fs::read(peer.root.with_file_name(log)).unwrap_or_default();
        let log = String::from_utf8_lossy(&log).into_owned();
        let lines = log.lines().filter(|line| line.contains("\"changes\""));
        let found: Vec<Value> = lines
            .filter_map(|line| {
                let body = line.trim_end_matches(|end: char| end.is_ascii_digit());
                let body: Value = serde_json::from_str(body).ok()?;
                Some(body["params"]["changes"].clone())
            })
            .collect();
        found
    };
    let expected = [
        json!([change("file:///w/a.rs", 1)]),
        json!([change("file:///w/c.py", 2)]),
    ];
    for (log, expected) in ["log", "log2"].iter().zip(expected) {
        eventually("the change", || !told(log).is_empty());
        assert_eq!(told(log), [expected]);
    }
}

#[test]
fn a_server_that_gives_up_a_question_gives_up_its_own() {
    let mut peer = two_servers(&[]);
    peer.greet(&json!({}));
    let uris = open_both(&mut peer);
    let ask = json!({ "id": 3, "method": "window/showDocument", "params": { "uri": "file:///x" } });
    let asked = uris.clone().map(|uri| {
        say(&mut peer, &uri, &ask);
        peer.find(|message| message["method"] == ask["method"])
    });
    assert_ne!(asked[0]["id"], asked[1]["id"]);
    let cancel = json!({ "method": "$/cancelRequest", "params": { "id": 3 } });
    say(&mut peer, &uris[1], &cancel);
    let given_up = peer.find(|message| message["method"] == cancel["method"]);
    assert_eq!(given_up["params"]["id"], asked[1]["id"]);
    // The editor answers both all the same, and each goes home.
    for (request, number) in asked.iter().zip([1, 2]) {
        reply(&mut peer, request, &json!({ "success": number }));
    }
    for (log, number) in ["log", "log2"].iter().zip([1, 2]) {
        let answer = answer_of(&peer.root.with_file_name(log), &json!(3));
        assert_eq!(answer["result"]["success"], number);
    }
}

#[test]
fn a_server_gets_as_many_settings_as_it_asked_for_also_when_the_editor_refuses() {
    let mut peer = Peer::start(&Script::default());
    configure(&peer, |config| {
        format!("{config}settings = {{ one = 1 }}\n")
    });
    peer.greet(&json!({ "workspace": { "configuration": true } }));
    let log = peer.root.with_file_name("log");
    let items = json!([{ "section": "one" }, { "section": "two" }]);
    let answers = [
        json!({ "error": { "code": -32601, "message": "what?" } }),
        json!({ "result": [] }),
        json!({ "result": {} }),
        json!({}),
    ];
    for (id, answer) in answers.iter().enumerate() {
        let ask =
            json!({ "id": id, "method": "workspace/configuration", "params": { "items": items } });
        say(&mut peer, "file:///x", &ask);
        let asked = peer.find(|message| message["method"] == ask["method"]);
        let mut answer = answer.clone();
        answer["id"] = asked["id"].clone();
        peer.body(answer.to_string());
        let came = answer_of(&log, &json!(id));
        assert_eq!(came["result"], json!([1, null]), "{answer}");
    }
}
