//! Every request has exactly one answer, whatever the servers do.

use serde_json::{Value, json};

use crate::wire_peer::{Peer, Script, eventually};

fn open(peer: &mut Peer, name: &str, text: &str) -> String {
    peer.open(name, "scripted", text)
}

fn hover(peer: &mut Peer) -> Value {
    peer.request("textDocument/hover", &json!({}))
}

#[test]
fn capabilities_of_the_server_survive_and_ours_are_added() {
    let mut peer = Peer::start(&Script {
        options: &["--encoding", "utf-8"],
        ..Script::default()
    });
    let answer = peer.greet(&json!({ "general": { "positionEncodings": ["utf-8", "utf-16"] } }));
    let capabilities = &answer["result"]["capabilities"];
    assert_eq!(capabilities["positionEncoding"], "utf-8");
    assert_eq!(capabilities["unheardOf"]["deep"], json!([null, true]));
    let commands = capabilities["executeCommandProvider"]["commands"]
        .as_array()
        .expect("a list");
    assert_eq!(commands[0], "scripted.run");
    assert!(commands.contains(&json!("meliora.status")));
    // The editor's own greeting passed untouched.
    let greeting: Value = serde_json::from_slice(&peer.received()[0]).expect("JSON");
    assert_eq!(
        greeting["params"]["capabilities"]["general"]["positionEncodings"][0],
        "utf-8"
    );
    assert_eq!(
        peer.request(
            "workspace/executeCommand",
            &json!({ "command": "scripted.run" })
        )["result"]["command"],
        "scripted.run"
    );
}

#[test]
fn a_cancelled_request_has_exactly_one_answer() {
    let mut peer = Peer::ready(&Script::default());
    // The server answers the cancel itself.
    let id = peer.ask("test/slow", &json!({ "ms": 100 }));
    peer.notify("$/cancelRequest", &json!({ "id": id }));
    assert_eq!(
        peer.answer_to(&json!(id))["error"]["message"],
        "cancelled by the server"
    );
    // The server never answers: we do, after a while.
    let id = peer.ask("test/never", &json!({}));
    peer.notify("$/cancelRequest", &json!({ "id": id }));
    assert_eq!(peer.answer_to(&json!(id))["error"]["code"], -32800);
    // Cancelling what nobody asked changes nothing.
    peer.notify("$/cancelRequest", &json!({ "id": 4711 }));
    peer.notify("$/cancelRequest", &json!({ "id": "x" }));
    // A server that answers twice is heard once.
    let id = peer.ask("test/twice", &json!({}));
    assert_eq!(peer.answer_to(&json!(id))["result"], 1);
    hover(&mut peer);
    assert_eq!(peer.until_now(), Vec::<Value>::new());
}

#[test]
fn a_server_that_crashes_leaves_no_request_unanswered_and_is_told_of_once() {
    let mut peer = Peer::ready(&Script::default());
    let uri = open(&mut peer, "a.txt", "wrong\n");
    peer.find(|message| message["params"]["uri"] == json!(uri));
    let slow = peer.ask("test/never", &json!({}));
    let crash = peer.ask("test/crash", &json!({}));
    let mut waiting = vec![json!(slow), json!(crash)];
    while !waiting.is_empty() {
        let error = peer.find(|message| waiting.contains(&message["id"]));
        assert_eq!(error["error"]["code"], -32803, "{error}");
        let message = error["error"]["message"].as_str().expect("text");
        assert!(message.contains("boom"), "{message}");
        waiting.retain(|id| *id != error["id"]);
    }
    let cleared = peer.find(|message| message["method"] == "textDocument/publishDiagnostics");
    assert_eq!(cleared["params"]["diagnostics"], json!([]));
    let said = peer.find(|message| message["method"] == "window/showMessage");
    assert!(
        said["params"]["message"]
            .as_str()
            .expect("text")
            .contains("boom")
    );
    // What is asked meanwhile waits for its return.
    assert_eq!(hover(&mut peer)["result"]["contents"], "hover");
    let shown = |message: &Value| message["method"] == "window/showMessage";
    assert!(!peer.until_now().iter().any(shown));
}

#[test]
fn a_server_that_does_not_start_is_told_of_once_and_the_rest_goes_on() {
    for (options, config, said) in [
        (&["--crash"][..], "", "no licence found"),
        (&["--refuse"][..], "", "not today"),
        (
            &["--hang"][..],
            "[lsp]\ntimeout = 1\n",
            "did not answer `initialize` within 1 s",
        ),
    ] {
        let mut peer = Peer::start(&Script { options, config });
        let answer = peer.greet(&json!({}));
        assert!(
            answer["result"]["capabilities"]["executeCommandProvider"].is_object(),
            "{options:?}"
        );
        let message = peer.find(|message| message["method"] == "window/showMessage");
        let text = message["params"]["message"].as_str().expect("text");
        assert!(text.contains(said) && text.contains("scripted"), "{text}");
        open(&mut peer, "a.txt", "wrong\n");
        assert_eq!(hover(&mut peer).get("result"), Some(&Value::Null));
        assert_eq!(peer.until_now(), Vec::<Value>::new());
    }
}

#[test]
fn a_workspace_without_a_server_is_told_what_to_do() {
    let mut peer = Peer::start(&Script::default());
    std::fs::remove_file(peer.root.join("scripted.json")).expect("removed");
    let answer = peer.greet(&json!({}));
    assert_eq!(
        answer["result"]["capabilities"]["positionEncoding"],
        "utf-16"
    );
    let message = peer.find(|message| message["method"] == "window/showMessage");
    assert!(
        message["params"]["message"]
            .as_str()
            .expect("text")
            .contains("lsp.servers")
    );
    assert_eq!(hover(&mut peer).get("result"), Some(&Value::Null));
    // A language that a server is known for starts it when such a text is opened.
    let uri = open(&mut peer, "a.txt", "wrong\n");
    let published = peer.find(|message| message["method"] == "textDocument/publishDiagnostics");
    assert_eq!(published["params"]["uri"], json!(uri));
}

#[test]
fn rubbish_between_the_messages_is_skipped_and_logged_once() {
    let mut peer = Peer::start(&Script {
        options: &["--rubbish"],
        ..Script::default()
    });
    peer.greet(&json!({}));
    hover(&mut peer);
    hover(&mut peer);
    let logged: Vec<Value> = peer
        .until_now()
        .into_iter()
        .filter(|message| message["method"] == "window/logMessage")
        .collect();
    assert!(logged.len() <= 1, "{logged:?}");
}

#[test]
fn a_servers_requests_reach_the_editor_under_our_ids_and_its_answers_go_back() {
    let mut peer = Peer::ready(&Script::default());
    for id in ["1", "\"x\"", "-5", "12345678901234567890123", "\"\\u00e9\""] {
        let ask =
            format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"test/ask","params":{{"n":1e3}}}}"#);
        peer.notify("test/say", &json!({ "bodies": [ask] }));
        let body = String::from_utf8(peer.next()).expect("text");
        let request: Value = serde_json::from_str(&body).expect("JSON");
        assert!(body.contains(r#""params":{"n":1e3}"#), "{body}");
        let ours = request["id"].as_str().expect("our ids are text").to_owned();
        peer.body(format!(
            r#"{{"jsonrpc":"2.0","id":"{ours}","result":[1e3]}}"#
        ));
        // An answer that was already given goes nowhere.
        peer.body(format!(r#"{{"jsonrpc":"2.0","id":"{ours}","result":[2]}}"#));
        hover(&mut peer);
        let answers: Vec<String> = peer
            .received()
            .iter()
            .map(|body| String::from_utf8_lossy(body).into_owned())
            .filter(|body| body.contains("\"result\""))
            .collect();
        assert_eq!(
            answers.last(),
            Some(&format!(r#"{{"jsonrpc":"2.0","id":{id},"result":[1e3]}}"#))
        );
    }
}

#[test]
fn texts_are_mirrored_in_every_encoding_as_the_server_has_them() {
    for (encoding, column) in [("utf-8", 5), ("utf-16", 3), ("utf-32", 2)] {
        let mut peer = Peer::start(&Script {
            options: &["--encoding", encoding],
            ..Script::default()
        });
        peer.greet(&json!({ "general": { "positionEncodings": [encoding] } }));
        let uri = open(&mut peer, "a.txt", "a😀b\n");
        peer.notify("textDocument/didChange", &json!({
            "textDocument": { "uri": uri, "version": 2 },
            "contentChanges": [{
                "range": { "start": { "line": 0, "character": column }, "end": { "line": 0, "character": column + 1 } },
                "text": "wrong"
            }]
        }));
        let theirs = peer.request("test/text", &json!({ "textDocument": { "uri": uri } }));
        assert_eq!(theirs["result"], "a😀wrong\n", "{encoding}");
    }
}

#[test]
fn two_servers_each_get_their_own_documents() {
    let mut peer = Peer::start(&Script {
        config: "",
        options: &[],
    });
    // A second scripted server for another language.
    let home = peer.root.with_file_name("home/.config/agent/config.toml");
    let config = std::fs::read_to_string(&home).expect("readable");
    let entry = config[config.find("[[lsp.servers]]").expect("there")..]
        .replace("name = \"scripted\"", "name = \"second\"")
        .replace("[\"scripted\"]", "[\"other\"]")
        .replace("/log\"", "/log2\"");
    std::fs::write(&home, format!("{config}\n{entry}")).expect("written");
    peer.greet(&json!({}));
    let first = open(&mut peer, "a.txt", "first\n");
    let second = format!("file://{}/b.txt", peer.root.display());
    peer.notify("textDocument/didOpen", &json!({
        "textDocument": { "uri": second, "languageId": "other", "version": 1, "text": "second\n" }
    }));
    let text = |peer: &mut Peer, uri: &str| {
        peer.request("test/text", &json!({ "textDocument": { "uri": uri } }))["result"].clone()
    };
    assert_eq!(text(&mut peer, &first), "first\n");
    assert_eq!(text(&mut peer, &second), "second\n");
    assert_eq!(peer.pids().len(), 2);
    let received = || std::fs::read_to_string(peer.root.with_file_name("log2")).unwrap_or_default();
    eventually("the second server's document", || {
        received().contains("b.txt")
    });
    assert!(!received().contains("a.txt"));
}
