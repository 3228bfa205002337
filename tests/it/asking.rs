//! What servers ask of the editor, and how the answers find their way home.

use std::path::Path;

use serde_json::{Value, json};

use crate::wire_peer::{Peer, Script, eventually};

/// A workspace with two scripted servers: `scripted` and `second`, which serves the language `other` and writes to `log2`.
fn two_servers(options: &[&str]) -> Peer {
    let peer = Peer::start(&Script {
        options,
        ..Script::default()
    });
    let home = peer.root.with_file_name("home/.config/agent/config.toml");
    let config = std::fs::read_to_string(&home).expect("readable");
    let entry = config[config.find("[[lsp.servers]]").expect("there")..]
        .replace("name = \"scripted\"", "name = \"second\"")
        .replace("[\"scripted\"]", "[\"other\"]")
        .replace("/log\"", "/log2\"");
    std::fs::write(&home, format!("{config}\n{entry}")).expect("written");
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
