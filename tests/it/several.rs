//! Several servers on one document behave as one.

use serde_json::{Value, json};

use crate::canned::{Canned, ask, heard, here, start};
use crate::wire_peer::{Peer, eventually};

fn both(capabilities: &Value, first: Value, second: Value) -> Peer {
    start(&[
        Canned {
            name: "first",
            settings: "priority = 10",
            capabilities: capabilities.clone(),
            methods: first,
        },
        Canned {
            name: "second",
            settings: "",
            capabilities: capabilities.clone(),
            methods: second,
        },
    ])
}

fn titles(list: &Value, key: &str) -> Vec<String> {
    let elements = list.as_array().expect("a list");
    let names = elements.iter().map(|element| element[key].as_str());
    names.map(|name| name.unwrap_or("?").to_owned()).collect()
}

#[test]
fn every_server_of_a_document_adds_what_it_knows() {
    let location = |line: u32| {
        json!({ "uri": "file:///b", "range": {
            "start": { "line": line, "character": 0 }, "end": { "line": line, "character": 1 } } })
    };
    let mut peer = both(
        &json!({ "textDocumentSync": 2, "hoverProvider": true, "definitionProvider": true,
            "inlayHintProvider": true, "workspaceSymbolProvider": true }),
        json!({
            "textDocument/hover": { "result": { "contents": "one" } },
            "textDocument/definition": { "result": [location(1), location(2)] },
            "textDocument/inlayHint": { "result": [{ "position": { "line": 0, "character": 0 }, "label": "a" }] },
            "workspace/symbol": { "result": [{ "name": "x", "kind": 1, "location": location(1) }] },
        }),
        json!({
            "textDocument/hover": { "result": { "contents": "two" } },
            "textDocument/definition": { "result": [location(2), location(3)] },
            "textDocument/inlayHint": { "result": [{ "position": { "line": 0, "character": 1 }, "label": "b" }] },
            "workspace/symbol": { "result": [{ "name": "y", "kind": 1, "location": location(3) }] },
        }),
    );
    let hover = ask(&mut peer, "textDocument/hover").to_string();
    assert!(hover.contains("one") && hover.contains("two"), "{hover}");
    let definitions = ask(&mut peer, "textDocument/definition");
    assert_eq!(
        definitions.as_array().expect("a list").len(),
        3,
        "{definitions}"
    );
    let hints = ask(&mut peer, "textDocument/inlayHint");
    assert_eq!(titles(&hints, "label"), ["a", "b"]);
    let symbols = ask(&mut peer, "workspace/symbol");
    assert_eq!(titles(&symbols, "name"), ["x", "y"]);
}

#[test]
fn an_item_is_resolved_by_the_server_that_made_it_with_the_data_it_gave() {
    let capabilities =
        json!({ "textDocumentSync": 2, "completionProvider": { "resolveProvider": true } });
    let item = |name: &str| json!({ "label": name, "data": { "of": name } });
    let resolved = |name: &str| json!({ "result": { "label": name, "detail": name } });
    let mut peer = both(
        &capabilities,
        json!({ "textDocument/completion": { "result": [item("p")] }, "completionItem/resolve": resolved("p") }),
        json!({ "textDocument/completion": { "result": { "isIncomplete": true, "items": [item("q")] } },
            "completionItem/resolve": resolved("q") }),
    );
    let list = ask(&mut peer, "textDocument/completion");
    assert_eq!(list["isIncomplete"], true);
    assert_eq!(titles(&list["items"], "label"), ["p", "q"]);
    for (place, name, server) in [(1, "q", "second"), (0, "p", "first")] {
        let answer = peer.request("completionItem/resolve", &list["items"][place]);
        assert_eq!(answer["result"]["detail"], name);
        let asked = heard(&peer, server, "completionItem/resolve");
        assert_eq!(asked[0]["params"], item(name));
    }
}

#[test]
fn the_next_server_is_asked_only_when_the_best_has_nothing() {
    let capabilities = json!({ "textDocumentSync": 2, "documentFormattingProvider": true, "renameProvider": true,
        "signatureHelpProvider": {} });
    let edit = json!([{ "range": { "start": { "line": 0, "character": 0 }, "end": { "line": 0, "character": 0 } },
        "newText": "x" }]);
    let mut peer = both(
        &capabilities,
        json!({ "textDocument/formatting": { "result": edit }, "textDocument/rename": { "error": { "code": -32602, "message": "not here" } },
            "textDocument/signatureHelp": { "result": null } }),
        json!({ "textDocument/formatting": { "result": [] }, "textDocument/rename": { "result": { "changes": { "file:///a": edit } } },
            "textDocument/signatureHelp": { "result": null } }),
    );
    assert_eq!(ask(&mut peer, "textDocument/formatting"), edit);
    assert_eq!(
        heard(&peer, "second", "textDocument/formatting"),
        Vec::<Value>::new()
    );
    let renamed = ask(&mut peer, "textDocument/rename");
    assert_eq!(renamed["changes"]["file:///a"], edit);
    assert_eq!(ask(&mut peer, "textDocument/signatureHelp"), Value::Null);
    assert_eq!(
        heard(&peer, "second", "textDocument/signatureHelp").len(),
        1
    );
}

#[test]
fn only_servers_that_announce_a_method_and_may_answer_are_asked() {
    let one = Canned {
        name: "first",
        settings: "priority = 1\nexcept_features = [\"hover\"]",
        capabilities: json!({ "textDocumentSync": 2, "hoverProvider": true, "declarationProvider": true }),
        methods: json!({ "textDocument/hover": { "result": { "contents": "one" } }, "textDocument/declaration": { "result": null },
            "first/own": { "result": "mine" }, "experimental/both": { "result": 1 } }),
    };
    let two = Canned {
        name: "second",
        settings: "",
        capabilities: json!({ "textDocumentSync": 1, "hoverProvider": true, "experimental": { "special": true } }),
        methods: json!({ "textDocument/hover": { "result": { "contents": "two" } },
            "experimental/special": { "result": "special" }, "second/own": { "result": "hers" } }),
    };
    let mut peer = start(&[one, two]);
    assert_eq!(ask(&mut peer, "textDocument/hover")["contents"], "two");
    assert_eq!(
        heard(&peer, "first", "textDocument/hover"),
        Vec::<Value>::new()
    );
    assert_eq!(ask(&mut peer, "textDocument/declaration"), Value::Null);
    assert_eq!(
        heard(&peer, "second", "textDocument/declaration"),
        Vec::<Value>::new()
    );
    for (method, expected) in [
        ("first/own", "mine"),
        ("second/own", "hers"),
        ("experimental/special", "special"),
    ] {
        assert_eq!(ask(&mut peer, method), expected, "{method}");
        assert_eq!(
            peer.request(method, &json!({}))["result"],
            expected,
            "{method}"
        );
    }
    // One hears of changes in pieces, the other as whole texts.
    peer.notify(
        "textDocument/didChange",
        &json!({ "textDocument": { "uri": "file:///a", "version": 2 }, "contentChanges": [{ "text": "new ",
            "range": { "start": { "line": 0, "character": 0 }, "end": { "line": 0, "character": 0 } } }] }),
    );
    ask(&mut peer, "textDocument/hover");
    let changed = |server: &str| {
        heard(&peer, server, "textDocument/didChange")[0]["params"]["contentChanges"].clone()
    };
    eventually("both hear of it", || {
        ["first", "second"]
            .iter()
            .all(|name| heard(&peer, name, "textDocument/didChange").len() == 1)
    });
    assert_eq!(changed("first")[0]["text"], "new ");
    assert_eq!(changed("second"), json!([{ "text": "new text\n" }]));
}

#[test]
fn a_server_that_hangs_holds_nobody_up_and_is_told_to_stop() {
    let capabilities = json!({ "textDocumentSync": 2, "completionProvider": {} });
    let mut peer = both(
        &capabilities,
        json!({ "textDocument/completion": { "never": true } }),
        json!({ "textDocument/completion": { "result": [{ "label": "q" }] } }),
    );
    let list = ask(&mut peer, "textDocument/completion");
    assert_eq!(list["isIncomplete"], true, "{list}");
    assert_eq!(titles(&list["items"], "label"), ["q"]);
    eventually("it is told to stop", || {
        !heard(&peer, "first", "$/cancelRequest").is_empty()
    });
    assert_eq!(
        heard(&peer, "second", "$/cancelRequest"),
        Vec::<Value>::new()
    );
}

#[test]
fn a_cancelled_request_of_several_servers_has_exactly_one_answer() {
    let capabilities = json!({ "textDocumentSync": 2, "hoverProvider": true });
    let never = json!({ "textDocument/hover": { "never": true } });
    let mut peer = both(&capabilities, never.clone(), never);
    let id = peer.ask("textDocument/hover", &here());
    peer.notify("$/cancelRequest", &json!({ "id": id }));
    assert_eq!(peer.answer_to(&json!(id))["error"]["code"], -32800);
    for server in ["first", "second"] {
        eventually("it hears of it", || {
            heard(&peer, server, "$/cancelRequest").len() == 1
        });
    }
    assert_eq!(peer.until_now(), Vec::<Value>::new());
}

#[test]
fn a_server_that_dies_while_several_are_asked_takes_only_its_part_with_it() {
    let capabilities =
        json!({ "textDocumentSync": 2, "hoverProvider": true, "documentFormattingProvider": true });
    let mut peer = both(
        &capabilities,
        json!({ "textDocument/hover": { "die": true }, "textDocument/formatting": { "die": true } }),
        json!({ "textDocument/hover": { "result": { "contents": "two" } }, "textDocument/formatting": { "result": [] } }),
    );
    let hover = ask(&mut peer, "textDocument/hover");
    assert!(hover.to_string().contains("two"), "{hover}");
}

#[test]
fn one_server_reports_progress_and_nobody_partial_results() {
    let capabilities = json!({ "textDocumentSync": 2, "referencesProvider": true });
    let nothing = json!({ "textDocument/references": { "result": [] } });
    let mut peer = both(&capabilities, nothing.clone(), nothing);
    let mut params = here();
    params["workDoneToken"] = json!("work");
    params["partialResultToken"] = json!("partial");
    peer.request("textDocument/references", &params);
    let tokens = |server| {
        let asked = &heard(&peer, server, "textDocument/references")[0]["params"];
        (
            asked["workDoneToken"].clone(),
            asked["partialResultToken"].clone(),
        )
    };
    assert_eq!(tokens("first"), (json!("work"), Value::Null));
    assert_eq!(tokens("second"), (Value::Null, Value::Null));
}

#[test]
fn a_command_goes_to_the_server_that_offered_it() {
    let capabilities = json!({ "textDocumentSync": 2, "codeActionProvider": true, "executeCommandProvider": { "commands": [] } });
    let action = |title: &str| {
        json!([{ "title": title, "kind": "quickfix", "isPreferred": true,
            "command": { "title": title, "command": format!("run.{title}") } }])
    };
    let mut peer = both(
        &capabilities,
        json!({ "textDocument/codeAction": { "result": action("a") }, "workspace/executeCommand": { "result": "first" } }),
        json!({ "textDocument/codeAction": { "result": action("b") }, "workspace/executeCommand": { "result": "second" } }),
    );
    let mut params = here();
    params["range"] =
        json!({ "start": { "line": 0, "character": 0 }, "end": { "line": 0, "character": 0 } });
    params["context"] = json!({ "diagnostics": [] });
    let actions = peer.request("textDocument/codeAction", &params)["result"].take();
    assert_eq!(titles(&actions, "title")[..2], ["a", "b"]);
    let preferred = actions.as_array().expect("a list").iter();
    assert_eq!(
        preferred
            .filter(|action| action["isPreferred"] == true)
            .count(),
        1
    );
    for (command, server) in [("run.b", "second"), ("run.a", "first")] {
        let answer = peer.request("workspace/executeCommand", &json!({ "command": command }));
        assert_eq!(answer["result"], server);
    }
}
