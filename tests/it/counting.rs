//! Servers that count columns otherwise than the editor.

use serde_json::{Value, json};

use crate::canned::{Canned, ask, heard, start};
use crate::wire_peer::{Peer, eventually};

fn range(start: u32, end: u32) -> Value {
    json!({ "start": { "line": 0, "character": start }, "end": { "line": 0, "character": end } })
}

/// A server that counts as the editor does, and one that counts bytes, on a text that begins with `é😀`: column 3 of the
/// one is column 6 of the other.
fn both(capabilities: &Value, settings: &'static str, first: Value, second: Value) -> Peer {
    let mut bytes = capabilities.clone();
    bytes["positionEncoding"] = json!("utf-8");
    let mut peer = start(&[
        Canned {
            name: "first",
            settings: "priority = 10",
            capabilities: capabilities.clone(),
            methods: first,
        },
        Canned {
            name: "second",
            settings,
            capabilities: bytes,
            methods: second,
        },
    ]);
    peer.notify(
        "textDocument/didChange",
        &json!({ "textDocument": { "uri": "file:///a", "version": 2 },
            "contentChanges": [{ "range": range(0, 0), "text": "é😀" }, { "range": range(3, 4), "text": "n" }] }),
    );
    peer
}

#[test]
fn each_server_hears_and_says_positions_as_it_counts() {
    let place = |start: u32| json!([{ "uri": "file:///a", "range": range(start, start + 1) }]);
    let mut peer = both(
        &json!({ "textDocumentSync": 2, "definitionProvider": true, "inlayHintProvider": true }),
        "",
        json!({ "textDocument/definition": { "result": place(3) },
            "textDocument/inlayHint": { "result": [{ "position": { "line": 0, "character": 3 }, "label": "a" }] } }),
        json!({ "textDocument/definition": { "result": place(6) },
            "textDocument/inlayHint": { "result": [{ "position": { "line": 0, "character": 7 }, "label": "b" }] } }),
    );
    let here = json!({ "textDocument": { "uri": "file:///a" }, "position": { "line": 0, "character": 3 } });
    let found = peer.request("textDocument/definition", &here)["result"].take();
    // The same place, counted alike, is one place.
    assert_eq!(found.as_array().expect("a list").len(), 1, "{found}");
    let hints = ask(&mut peer, "textDocument/inlayHint");
    assert_eq!(hints[0]["position"]["character"], 3, "{hints}");
    assert_eq!(hints[1]["position"]["character"], 4, "{hints}");
    for (server, columns) in [("first", [0, 0, 3, 4]), ("second", [0, 0, 6, 7])] {
        let changes =
            &heard(&peer, server, "textDocument/didChange")[0]["params"]["contentChanges"];
        let told = [
            &changes[0]["range"]["start"],
            &changes[0]["range"]["end"],
            &changes[1]["range"]["start"],
            &changes[1]["range"]["end"],
        ];
        let told = told.map(|position| position["character"].as_u64().expect("a column"));
        assert_eq!(told, columns, "{server}");
        let asked = &heard(&peer, server, "textDocument/definition")[0]["params"]["position"];
        assert_eq!(asked["character"], columns[2], "{server}");
    }
}

#[test]
fn an_item_goes_back_in_the_columns_of_the_server_that_made_it() {
    let item = |label: &str, start: u32, end: u32| json!({ "label": label, "data": label, "textEdit": { "newText": label, "range": range(start, end) } });
    let mut peer = both(
        &json!({ "textDocumentSync": 2, "completionProvider": { "resolveProvider": true } }),
        "",
        json!({ "textDocument/completion": { "result": [item("p", 1, 3)] } }),
        json!({ "textDocument/completion": { "result": [item("q", 2, 6)] },
            "completionItem/resolve": { "result": item("q", 2, 7) } }),
    );
    let list = ask(&mut peer, "textDocument/completion");
    let items = list["items"].as_array().or_else(|| list.as_array());
    let items = items.expect("a list").clone();
    assert_eq!(items[0]["textEdit"]["range"], range(1, 3));
    assert_eq!(items[1]["textEdit"]["range"], range(1, 3));
    let answer = peer.request("completionItem/resolve", &items[1]);
    assert_eq!(answer["result"]["textEdit"]["range"], range(1, 4));
    let asked = &heard(&peer, "second", "completionItem/resolve")[0]["params"];
    assert_eq!(*asked, item("q", 2, 6));
}

#[test]
fn an_item_is_counted_in_the_document_in_which_it_was_asked_for() {
    let item = |start: u32, end: u32| json!({ "label": "q", "data": 1, "textEdit": { "newText": "q", "range": range(start, end) } });
    let mut peer = both(
        &json!({ "textDocumentSync": 2, "completionProvider": { "resolveProvider": true } }),
        "",
        json!({ "textDocument/completion": { "result": [] } }),
        json!({ "textDocument/completion": { "result": [item(2, 6)] },
            "completionItem/resolve": { "result": item(2, 7) } }),
    );
    let plain =
        json!({ "uri": "file:///b", "languageId": "canned", "version": 1, "text": "plain text\n" });
    peer.notify("textDocument/didOpen", &json!({ "textDocument": plain }));
    let mut items = Vec::new();
    for (uri, expected) in [("file:///a", range(1, 3)), ("file:///b", range(2, 6))] {
        let params =
            json!({ "textDocument": { "uri": uri }, "position": { "line": 0, "character": 0 } });
        let list = peer.request("textDocument/completion", &params)["result"].take();
        let item = list.get("items").unwrap_or(&list)[0].clone();
        assert_eq!(item["textEdit"]["range"], expected);
        items.push(item);
    }
    // The other document was asked about since.
    for (place, expected) in [(0, range(1, 4)), (1, range(2, 7))] {
        let answer = peer.request("completionItem/resolve", &items[place]);
        assert_eq!(answer["result"]["textEdit"]["range"], expected);
        let asked = &heard(&peer, "second", "completionItem/resolve")[place]["params"];
        assert_eq!(*asked, item(2, 6));
    }
}

#[test]
fn a_server_that_starts_late_and_counts_otherwise_gets_the_text_as_it_is() {
    let shown = |start: u32| json!({ "textDocument/hover": { "result": { "contents": "x", "range": range(start, start + 1) } } });
    let mut peer = both(
        &json!({ "textDocumentSync": 2, "hoverProvider": true }),
        "root_patterns = [\"what-is-not-there\"]",
        json!({ "textDocument/hover": { "result": null } }),
        shown(6),
    );
    let mut hover = Value::Null;
    eventually("the late server's answer", || {
        hover = ask(&mut peer, "textDocument/hover");
        !hover.is_null()
    });
    assert_eq!(hover["range"], range(3, 4), "{hover}");
    let greeted = heard(&peer, "second", "initialize");
    let offered = &greeted[0]["params"]["capabilities"]["general"]["positionEncodings"];
    assert_eq!(*offered, json!(["utf-16"]));
    let opened = &heard(&peer, "second", "textDocument/didOpen");
    assert_eq!(opened.len(), 1);
    let text = &opened[0]["params"]["textDocument"]["text"];
    match heard(&peer, "second", "textDocument/didChange").as_slice() {
        // It was there before the change.
        [change] => {
            assert_eq!(*text, "text\n");
            let second = &change["params"]["contentChanges"][1];
            assert_eq!(second["range"], range(6, 7));
        }
        changes => assert_eq!((text, changes.len()), (&json!("é😀next\n"), 0)),
    }
}
