//! What a user may choose about several servers of one document, and a workspace for all who work in it.

use serde_json::{Value, json};

use crate::canned::{Canned, ask, heard, here, open, prepared};
use crate::wire_peer::Peer;

/// Two servers in a workspace with these settings.
fn both(settings: &str, first: (Value, Value), second: (Value, Value)) -> Peer {
    let server = |name, settings, (capabilities, methods)| Canned {
        name,
        settings,
        capabilities,
        methods,
    };
    let peer = prepared(&[
        server("first", "priority = 10", first),
        server("second", "", second),
    ]);
    std::fs::create_dir_all(peer.root.join(".agent")).expect("created");
    let settings = format!("[lsp]\n{settings}\n");
    std::fs::write(peer.root.join(".agent/config.toml"), settings).expect("written");
    peer
}

fn greeted(mut peer: Peer) -> (Peer, Value) {
    let mut answer = peer.greet(&json!({}));
    open(&mut peer);
    let capabilities = answer["result"]["capabilities"].take();
    (peer, capabilities)
}

fn range(from: (u32, u32), to: (u32, u32)) -> Value {
    json!({ "start": { "line": from.0, "character": from.1 }, "end": { "line": to.0, "character": to.1 } })
}

#[test]
fn completions_of_the_better_server_come_first_when_that_is_wanted() {
    let capabilities = json!({ "textDocumentSync": 2, "completionProvider": {} });
    let item = |label: &str, order: &str| json!({ "textDocument/completion": { "result": [{ "label": label, "sortText": order }] } });
    for (settings, expected) in [
        ("", ["z", "a"]),
        ("completion_order = \"server\"", ["00z", "01a"]),
    ] {
        let (mut peer, _) = greeted(both(
            settings,
            (capabilities.clone(), item("p", "z")),
            (capabilities.clone(), item("q", "a")),
        ));
        let list = ask(&mut peer, "textDocument/completion");
        let items = list["items"]
            .as_array()
            .or(list.as_array())
            .expect("a list");
        let order: Vec<&Value> = items.iter().map(|item| &item["sortText"]).collect();
        assert_eq!(order, expected, "{settings}");
    }
}

#[test]
fn a_problem_that_two_servers_find_is_shown_once_when_that_is_wanted() {
    let capabilities = json!({ "textDocumentSync": 2, "hoverProvider": true });
    let finding = json!({ "range": range((0, 0), (0, 4)), "message": "same" });
    let published = json!({ "method": "textDocument/publishDiagnostics",
        "params": { "uri": "file:///a", "diagnostics": [finding] } });
    let methods = json!({ "textDocument/didOpen": { "send": [published] } });
    for (settings, expected) in [
        ("", vec!["first", "second"]),
        ("same_problems = \"once\"", vec!["first, second"]),
    ] {
        let (mut peer, _) = greeted(both(
            settings,
            (capabilities.clone(), methods.clone()),
            (capabilities.clone(), methods.clone()),
        ));
        let sources = |message: &Value| -> Vec<String> {
            let all = message["params"]["diagnostics"]
                .as_array()
                .into_iter()
                .flatten();
            all.map(|one| one["source"].as_str().unwrap_or_default().to_owned())
                .collect()
        };
        peer.find(|message| sources(message) == expected);
    }
}

#[test]
fn semantic_tokens_of_two_servers_are_one_list_when_that_is_wanted() {
    let capabilities = |kind: &str| {
        json!({ "textDocumentSync": 2, "semanticTokensProvider": { "range": true, "full": true,
            "legend": { "tokenTypes": ["both", kind], "tokenModifiers": [] } } })
    };
    let tokens = |data: Value| {
        let answer = json!({ "result": { "resultId": "theirs", "data": data } });
        json!({ "textDocument/semanticTokens/full": answer, "textDocument/semanticTokens/range": answer })
    };
    let (mut peer, told) = greeted(both(
        "semantic_tokens = \"merged\"",
        (capabilities("own"), tokens(json!([0, 0, 1, 1, 0]))),
        (
            capabilities("other"),
            tokens(json!([0, 0, 2, 1, 0, 0, 3, 1, 0, 0])),
        ),
    ));
    let provider = &told["semanticTokensProvider"];
    assert_eq!(
        provider["legend"]["tokenTypes"],
        json!(["both", "own", "other"])
    );
    assert_eq!(provider["full"]["delta"], true);
    // The better server's token stays whole, of the other one there is what sticks out.
    let merged = json!([0, 0, 1, 1, 0, 0, 1, 1, 2, 0, 0, 2, 1, 0, 0]);
    let all = ask(&mut peer, "textDocument/semanticTokens/full");
    assert_eq!(all["data"], merged);
    let mut params = here();
    params["range"] = range((0, 0), (1, 0));
    let part = peer.request("textDocument/semanticTokens/range", &params);
    assert_eq!(part["result"], json!({ "data": merged }));
    params["previousResultId"] = all["resultId"].clone();
    let delta = peer.request("textDocument/semanticTokens/full/delta", &params);
    assert_eq!(delta["result"]["edits"], json!([]));
    for server in ["first", "second"] {
        let asked = heard(&peer, server, "textDocument/semanticTokens/full");
        assert_eq!(asked.len(), 2, "servers know nothing of our ids");
        assert_eq!(asked[1]["params"].get("previousResultId"), None);
    }
}

#[test]
fn edits_before_a_save_come_from_every_server_unless_they_touch() {
    let capabilities = json!({ "textDocumentSync": { "openClose": true, "change": 2, "willSaveWaitUntil": true } });
    let edit =
        |at: u32, text: &str| json!({ "range": range((0, at), (0, at + 1)), "newText": text });
    let answer = |edits: Value| json!({ "textDocument/willSaveWaitUntil": { "result": edits } });
    for (theirs, expected) in [
        (json!([edit(2, "y")]), json!([edit(0, "x"), edit(2, "y")])),
        (json!([edit(0, "y"), edit(2, "y")]), json!([edit(0, "x")])),
    ] {
        let (mut peer, told) = greeted(both(
            "",
            (capabilities.clone(), answer(json!([edit(0, "x")]))),
            (capabilities.clone(), answer(theirs)),
        ));
        assert_eq!(told["textDocumentSync"]["willSaveWaitUntil"], true);
        let mut params = here();
        params["reason"] = json!(1);
        let edits = peer.request("textDocument/willSaveWaitUntil", &params);
        assert_eq!(edits["result"], expected);
        let changes = heard(&peer, "second", "textDocument/didChange");
        assert_eq!(
            changes,
            Vec::<Value>::new(),
            "nobody is shown a text that nobody has"
        );
    }
}
