//! What several servers find in a document reaches the editor as one.

use std::cell::Cell;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::canned::{Canned, heard, here, open, prepared};
use crate::wire_peer::{Peer, eventually};

const PUBLISH: &str = "textDocument/publishDiagnostics";
const ASK: &str = "textDocument/diagnostic";

fn finding(message: &str, line: u32) -> Value {
    json!({ "range": { "start": { "line": line, "character": 0 }, "end": { "line": line, "character": 1 } },
        "message": message, "data": { "of": message } })
}

fn publication(diagnostics: &[Value]) -> Value {
    let params = json!({ "uri": "file:///a", "diagnostics": diagnostics });
    json!({ "send": [{ "method": PUBLISH, "params": params }] })
}

fn server(name: &'static str, capabilities: Value, methods: Value) -> Canned {
    let settings = if name == "first" { "priority = 10" } else { "" };
    Canned {
        name,
        settings,
        capabilities,
        methods,
    }
}

/// An editor that keeps the data of diagnostics.
fn editor(more: &Value) -> Value {
    let mut document = json!({ "publishDiagnostics": { "dataSupport": true } });
    if more == true {
        document["diagnostic"] = json!({ "relatedDocumentSupport": true });
    }
    json!({ "textDocument": document, "workspace": { "diagnostics": { "refreshSupport": true } } })
}

/// The next publication with so many diagnostics.
fn published(peer: &mut Peer, count: usize) -> Vec<Value> {
    let message = peer.find(|message| {
        let list = message["params"]["diagnostics"].as_array();
        message["method"] == PUBLISH && list.is_some_and(|list| list.len() == count)
    });
    message["params"]["diagnostics"]
        .as_array()
        .expect("a list")
        .clone()
}

fn words(diagnostics: &[Value], key: &str) -> Vec<String> {
    let words = diagnostics
        .iter()
        .map(|diagnostic| diagnostic[key].as_str());
    words.map(|word| word.unwrap_or("?").to_owned()).collect()
}

fn of_a() -> Value {
    json!({ "textDocument": { "uri": "file:///a" } })
}

#[test]
fn what_several_servers_push_is_published_as_one_and_given_back_to_each() {
    let text = json!({ "textDocumentSync": 1, "codeActionProvider": true, "hoverProvider": true });
    let mut peer = prepared(&[
        server(
            "first",
            text.clone(),
            json!({ "textDocument/didOpen": publication(&[finding("one", 0)]),
            "textDocument/codeAction": { "result": [] }, "textDocument/hover": { "die": true } }),
        ),
        server(
            "second",
            text,
            json!({ "textDocument/didOpen": publication(&[finding("two", 0)]),
            "textDocument/codeAction": { "result": [] }, "textDocument/hover": { "result": null } }),
        ),
    ]);
    peer.greet(&editor(&json!(false)));
    open(&mut peer);
    let both = published(&mut peer, 2);
    assert_eq!(words(&both, "message"), ["one", "two"]);
    assert_eq!(words(&both, "source"), ["first", "second"]);
    let mut params = of_a();
    params["range"] = both[0]["range"].clone();
    params["context"] = json!({ "diagnostics": both });
    peer.request("textDocument/codeAction", &params);
    for (name, message) in [("first", "one"), ("second", "two")] {
        let asked = &heard(&peer, name, "textDocument/codeAction")[0]["params"]["context"];
        assert_eq!(asked["diagnostics"], json!([finding(message, 0)]));
    }
    let mut params = of_a();
    params["position"] = json!({ "line": 0, "character": 0 });
    peer.ask("textDocument/hover", &params);
    assert_eq!(words(&published(&mut peer, 1), "message"), ["two"]);
}

#[test]
fn an_editor_that_asks_gets_the_reports_of_all_servers_under_one_id() {
    let pulls = json!({ "textDocumentSync": 1, "diagnosticProvider": { "interFileDependencies": false, "workspaceDiagnostics": false } });
    let report = |message: &str| {
        let id = format!("id of {message}");
        json!({ "textDocument/diagnostic": { "result": { "kind": "full", "resultId": id, "items": [finding(message, 0)] } } })
    };
    let mut first = report("one");
    first["textDocument/didOpen"] = publication(&[finding("pushed", 3)]);
    let mut peer = prepared(&[
        server("first", pulls.clone(), first),
        server("second", pulls, report("two")),
    ]);
    let greeted = peer.greet(&editor(&json!(true)));
    assert!(greeted["result"]["capabilities"]["diagnosticProvider"].is_object());
    open(&mut peer);
    peer.find(|message| message["method"] == "workspace/diagnostic/refresh");
    let answer = peer.request(ASK, &of_a());
    let items = answer["result"]["items"].as_array().expect("a list");
    assert_eq!(words(items, "message"), ["pushed", "one", "two"]);
    let mut again = of_a();
    again["previousResultId"] = answer["result"]["resultId"].clone();
    peer.request(ASK, &again);
    for (name, message) in [("first", "one"), ("second", "two")] {
        let asked = &heard(&peer, name, ASK);
        assert_eq!(asked[0]["params"].get("previousResultId"), None);
        let id = format!("id of {message}");
        assert_eq!(asked[1]["params"]["previousResultId"], id);
    }
}

/// Two servers that are asked, the second of which answers only once a file is gone.
fn one_and_a_slow_one(method: &str, reports: [Value; 2]) -> (Peer, tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let hold = folder.path().join("hold");
    std::fs::write(&hold, "").expect("written");
    let pulls = json!({ "textDocumentSync": 1, "diagnosticProvider": { "interFileDependencies": false, "workspaceDiagnostics": true } });
    let [first, second] = reports;
    let mut more = pulls.clone();
    more["hoverProvider"] = json!(true);
    let slow = json!({ method: { "result": second, "unless": hold }, "textDocument/hover": { "result": null } });
    let mut peer = prepared(&[
        server("first", pulls, json!({ method: { "result": first } })),
        server("second", more, slow),
    ]);
    peer.greet(&editor(&json!(true)));
    open(&mut peer);
    (peer, folder, hold)
}

fn is_refresh(message: &Value) -> bool {
    message["method"] == "workspace/diagnostic/refresh"
}

#[test]
fn a_slow_server_is_not_told_to_stop_and_the_editor_asks_again_once_it_has_reported() {
    let report = |message: &str| {
        let id = format!("id of {message}");
        json!({ "kind": "full", "resultId": id, "items": [finding(message, 0)] })
    };
    let (mut peer, _folder, hold) = one_and_a_slow_one(ASK, [report("one"), report("two")]);
    let of = |answer: &Value| {
        words(
            answer["result"]["items"].as_array().expect("a list"),
            "message",
        )
    };
    let answer = peer.request(ASK, &of_a());
    assert_eq!(of(&answer), ["one"]);
    // Who is still at it is not asked the same again.
    let answer = peer.request(ASK, &of_a());
    assert_eq!(of(&answer), ["one"]);
    assert_eq!(heard(&peer, "second", ASK).len(), 1);
    std::fs::remove_file(&hold).expect("removed");
    peer.find(is_refresh);
    let answer = peer.request(ASK, &of_a());
    assert_eq!(of(&answer), ["one", "two"]);

    // It is slow again and says the same: that is no news, also not while the next question waits for it.
    let refreshes = Cell::new(0);
    let mut again = of_a();
    again["previousResultId"] = answer["result"]["resultId"].clone();
    for _ in 0..2 {
        std::fs::write(&hold, "").expect("written");
        let id = peer.ask(ASK, &again);
        let same = peer.find(|message| {
            refreshes.set(refreshes.get() + usize::from(is_refresh(message)));
            message["id"] == id && message.get("method").is_none()
        });
        assert_eq!(same["result"]["kind"], "unchanged");
        std::fs::remove_file(&hold).expect("removed");
        // When it has answered this, it has answered that.
        peer.request("textDocument/hover", &here());
    }
    assert_eq!(refreshes.get(), 0);
    assert!(heard(&peer, "second", "$/cancelRequest").is_empty());
}

#[test]
fn a_question_about_an_older_text_is_given_up() {
    let report = json!({ "kind": "full", "items": [] });
    let (mut peer, _folder, hold) = one_and_a_slow_one(ASK, [report.clone(), report]);
    peer.request(ASK, &of_a());
    let text = json!([{ "text": "another text" }]);
    let document = json!({ "uri": "file:///a", "version": 2 });
    let changed = json!({ "textDocument": document, "contentChanges": text });
    peer.notify("textDocument/didChange", &changed);
    peer.request(ASK, &of_a());
    std::fs::remove_file(&hold).expect("removed");
    eventually("the second question", || {
        heard(&peer, "second", ASK).len() == 2
    });
    let asked = heard(&peer, "second", ASK);
    let given_up = heard(&peer, "second", "$/cancelRequest");
    assert_eq!(given_up.len(), 1, "{given_up:?}");
    assert_eq!(given_up[0]["params"]["id"], asked[0]["id"]);
}

#[test]
fn a_server_that_holds_a_question_about_the_workspace_open_is_heard_when_it_speaks() {
    let report = |message: &str| {
        let uri = format!("file:///{message}");
        json!({ "items": [{ "uri": uri, "version": null, "kind": "full", "items": [finding(message, 0)] }] })
    };
    let all = "workspace/diagnostic";
    let (mut peer, _folder, hold) = one_and_a_slow_one(all, [report("one"), report("two")]);
    let params = json!({ "previousResultIds": [] });
    let of = |answer: &Value| {
        let reports = answer["result"]["items"].as_array().expect("a list");
        reports
            .iter()
            .map(|report| report["uri"].to_string())
            .collect::<String>()
    };
    for _ in 0..2 {
        assert_eq!(of(&peer.request(all, &params)), r#""file:///one""#);
    }
    assert_eq!(heard(&peer, "second", all).len(), 1);
    std::fs::remove_file(&hold).expect("removed");
    peer.find(is_refresh);
    let answer = peer.request(all, &params);
    assert_eq!(of(&answer), r#""file:///one""file:///two""#);
    assert!(heard(&peer, "second", "$/cancelRequest").is_empty());
}

#[test]
fn a_report_that_is_large_reaches_an_editor_that_is_told() {
    let pulls = json!({ "textDocumentSync": 1, "diagnosticProvider": { "interFileDependencies": false, "workspaceDiagnostics": false } });
    let large = "x".repeat(1_500_000);
    let report = json!({ "kind": "full", "items": [finding(&large, 0)] });
    let mut peer = prepared(&[
        server(
            "first",
            json!({ "textDocumentSync": 1 }),
            json!({ "textDocument/didOpen": publication(&[finding("small", 0)]) }),
        ),
        server(
            "second",
            pulls,
            json!({ "textDocument/diagnostic": { "result": report } }),
        ),
    ]);
    peer.greet(&editor(&json!(true)));
    open(&mut peer);
    let lengths: Vec<usize> = words(&published(&mut peer, 2), "message")
        .iter()
        .map(String::len)
        .collect();
    assert_eq!(lengths, ["small".len(), large.len()]);
}

#[test]
fn a_server_that_wants_to_be_asked_is_asked_for_an_editor_that_is_told() {
    let pulls = json!({ "textDocumentSync": 1, "diagnosticProvider": { "identifier": "own", "interFileDependencies": false, "workspaceDiagnostics": false } });
    let report = json!({ "kind": "full", "resultId": "7", "items": [finding("asked", 0)] });
    let mut peer = prepared(&[
        server(
            "first",
            json!({ "textDocumentSync": 1 }),
            json!({ "textDocument/didOpen": publication(&[finding("told", 0)]) }),
        ),
        server(
            "second",
            pulls,
            json!({ "textDocument/diagnostic": { "result": report } }),
        ),
    ]);
    let greeted = peer.greet(&editor(&json!(true)));
    let announced = &greeted["result"]["capabilities"];
    assert_eq!(announced.get("diagnosticProvider"), None, "{announced}");
    open(&mut peer);
    let both = published(&mut peer, 2);
    assert_eq!(words(&both, "message"), ["told", "asked"]);
    let asked = heard(&peer, "second", ASK);
    assert_eq!(asked[0]["params"]["identifier"], "own");
    peer.notify(
        "textDocument/didChange",
        &json!({ "textDocument": { "uri": "file:///a", "version": 2 }, "contentChanges": [{ "text": "x" }] }),
    );
    published(&mut peer, 2);
    let asked = heard(&peer, "second", ASK);
    assert_eq!(asked[1]["params"]["previousResultId"], "7");
    peer.notify("textDocument/didClose", &of_a());
    assert_eq!(words(&published(&mut peer, 1), "message"), ["told"]);
}

#[test]
fn what_a_server_tells_that_the_user_keeps_from_diagnostics_is_not_shown() {
    let text = json!({ "textDocumentSync": 1 });
    let tells =
        |message: &str| json!({ "textDocument/didOpen": publication(&[finding(message, 0)]) });
    let kept = Canned {
        settings: "except_features = [\"diagnostics\"]",
        ..server("kept", text.clone(), tells("one"))
    };
    let mut peer = prepared(&[kept, server("other", text, tells("two"))]);
    peer.greet(&editor(&json!(false)));
    open(&mut peer);
    assert_eq!(words(&published(&mut peer, 1), "message"), ["two"]);
    // Nothing of the first one comes later either.
    peer.request("textDocument/hover", &here());
    let more = peer.until_now();
    assert!(
        !more.iter().any(|message| message["method"] == PUBLISH),
        "{more:?}"
    );
}

#[test]
fn what_is_wrong_with_a_settings_file_stands_beside_what_servers_say_of_it() {
    for names in [&["first"][..], &["first", "second"]] {
        let can = json!({ "textDocumentSync": 1 });
        let servers = names
            .iter()
            .map(|name| server(name, can.clone(), json!({})));
        let mut peer = prepared(&servers.collect::<Vec<_>>());
        let uri = format!("file://{}/.agent/config.toml", peer.root.display());
        let mut said = publication(&[finding("one", 0)]);
        said["send"][0]["params"]["uri"] = json!(uri);
        let canned = json!({ "capabilities": can, "methods": { "textDocument/didOpen": said } });
        std::fs::write(peer.root.with_file_name("first.json"), canned.to_string())
            .expect("written");
        peer.greet(&editor(&json!(false)));
        let text = "[llm]\nmodle = 'x'\n";
        let document = json!({ "uri": uri, "languageId": "canned", "version": 1, "text": text });
        peer.notify("textDocument/didOpen", &json!({ "textDocument": document }));
        let both = words(&published(&mut peer, 2), "message");
        assert_eq!(both[0], "one");
        assert!(both[1].contains("did you mean `model`?"), "{both:?}");
        let change = json!({ "textDocument": { "uri": uri, "version": 2 }, "contentChanges": [{ "text": "" }] });
        peer.notify("textDocument/didChange", &change);
        assert_eq!(words(&published(&mut peer, 1), "message"), ["one"]);
    }
}
