//! What several servers find in a document reaches the editor as one.

use serde_json::{Value, json};

use crate::canned::{Canned, heard, open, prepared};
use crate::wire_peer::Peer;

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
