//! Several servers on one document behave as one.

use serde_json::{Value, json};

use crate::canned::{Canned, ask, heard, here, open, prepared, start};
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
fn an_answer_that_lacks_the_part_of_a_server_is_not_kept() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let gate = folder.path().join("gate");
    std::fs::write(&gate, "").expect("written");
    let capabilities = json!({ "textDocumentSync": 2, "hoverProvider": true });
    let mut peer = both(
        &capabilities,
        json!({ "textDocument/hover": { "unless": gate, "result": { "contents": "one" } } }),
        json!({ "textDocument/hover": { "result": { "contents": "two" } } }),
    );
    let first = ask(&mut peer, "textDocument/hover").to_string();
    assert!(first.contains("two") && !first.contains("one"), "{first}");
    std::fs::remove_file(&gate).expect("removed");
    let again = ask(&mut peer, "textDocument/hover").to_string();
    assert!(again.contains("one") && again.contains("two"), "{again}");
}

#[test]
fn an_answer_beside_an_error_is_not_kept() {
    let capabilities = json!({ "textDocumentSync": 2, "hoverProvider": true });
    let error = json!({ "code": -32801, "message": "not now" });
    let mut peer = both(
        &capabilities,
        json!({ "textDocument/hover": { "error": error } }),
        json!({ "textDocument/hover": { "result": { "contents": "two" } } }),
    );
    for times in 1..=2 {
        let answer = ask(&mut peer, "textDocument/hover").to_string();
        assert!(answer.contains("two"), "{answer}");
        assert_eq!(
            heard(&peer, "second", "textDocument/hover").len(),
            times,
            "the first may have an answer by now"
        );
    }
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
fn servers_report_progress_in_one_display_and_nobody_partial_results() {
    let capabilities = json!({ "textDocumentSync": 2, "referencesProvider": true });
    let progress = |value: Value| json!({ "method": "$/progress", "params": { "token": "TOKEN", "value": value } });
    let answer = |title: &str| {
        let messages = [
            progress(json!({ "kind": "begin", "title": title })),
            progress(json!({ "kind": "report", "message": title })),
            progress(json!({ "kind": "end" })),
        ];
        json!({ "textDocument/references": { "result": [], "send": messages } })
    };
    let mut peer = both(&capabilities, answer("one"), answer("two"));
    let mut params = here();
    params["workDoneToken"] = json!("work");
    params["partialResultToken"] = json!("partial");
    let id = peer.ask("textDocument/references", &params);
    let mut kinds = Vec::new();
    loop {
        let message: Value = serde_json::from_slice(&peer.next()).expect("we write JSON");
        if message["id"] == json!(id) {
            break;
        }
        if message["method"] == "$/progress" {
            assert_eq!(message["params"]["token"], "work");
            kinds.push(
                message["params"]["value"]["kind"]
                    .as_str()
                    .expect("text")
                    .to_owned(),
            );
        }
    }
    assert_eq!(kinds.first().map(String::as_str), Some("begin"));
    assert_eq!(kinds.last().map(String::as_str), Some("end"));
    assert_eq!(kinds.iter().filter(|kind| *kind == "report").count(), 2);
    assert_eq!(kinds.len(), 4, "{kinds:?}");
    let tokens = ["first", "second"].map(|server| {
        let asked = &heard(&peer, server, "textDocument/references")[0]["params"];
        assert_eq!(asked.get("partialResultToken"), None);
        asked["workDoneToken"].clone()
    });
    assert_ne!(tokens[0], tokens[1]);
}

#[test]
fn a_display_that_no_server_ends_is_ended_and_stopping_it_stops_all() {
    let capabilities = json!({ "textDocumentSync": 2, "referencesProvider": true });
    let begin = json!({ "method": "$/progress", "params": { "token": "TOKEN", "value": { "kind": "begin", "title": "t" } } });
    let never = json!({ "textDocument/references": { "never": true, "send": [begin] } });
    let mut peer = both(&capabilities, never.clone(), never);
    let mut params = here();
    params["workDoneToken"] = json!(7);
    let id = peer.ask("textDocument/references", &params);
    peer.find(|message| message["params"]["value"]["kind"] == "begin");
    peer.notify("window/workDoneProgress/cancel", &json!({ "token": 7 }));
    for server in ["first", "second"] {
        eventually("it is told to stop", || {
            let told = heard(&peer, server, "window/workDoneProgress/cancel");
            let asked = heard(&peer, server, "textDocument/references");
            told.len() == 1 && told[0]["params"]["token"] == asked[0]["params"]["workDoneToken"]
        });
    }
    peer.notify("$/cancelRequest", &json!({ "id": id }));
    let end = peer.find(|message| message["params"]["value"]["kind"] == "end");
    assert_eq!(end["params"]["token"], 7);
    assert_eq!(peer.answer_to(&json!(id))["error"]["code"], -32800);
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

#[test]
fn an_item_of_an_earlier_life_is_answered_as_it_is() {
    let capabilities = json!({ "textDocumentSync": 2, "hoverProvider": true, "codeLensProvider": { "resolveProvider": true } });
    let range =
        json!({ "start": { "line": 0, "character": 0 }, "end": { "line": 0, "character": 1 } });
    let lens = |name: &str| json!({ "range": range, "data": name });
    let answers = |name: &str| {
        json!({ "textDocument/codeLens": { "result": [lens(name)] },
            "codeLens/resolve": { "result": lens("resolved") }, "textDocument/hover": { "result": null } })
    };
    let mut peer = both(&capabilities, answers("a"), answers("b"));
    let lenses = ask(&mut peer, "textDocument/codeLens");
    let pid = peer.pids()[0];
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(pid).expect("a process"),
        rustix::process::Signal::KILL,
    )
    .expect("it runs");
    peer.find(|message| message["method"] == "window/showMessage");
    eventually("its return", || peer.pids().len() == 2);
    ask(&mut peer, "textDocument/hover");
    let unchanged = peer.request("codeLens/resolve", &lenses[0]);
    assert_eq!(unchanged["result"], lenses[0]);
    let resolved = peer.request("codeLens/resolve", &lenses[1]);
    assert_eq!(resolved["result"]["range"], range);
    assert_eq!(heard(&peer, "second", "codeLens/resolve").len(), 1);
    assert_eq!(
        heard(&peer, "first", "codeLens/resolve"),
        Vec::<Value>::new()
    );
}

#[test]
fn an_item_of_a_server_that_resolves_nothing_is_answered_as_it_is() {
    let server = |name: &'static str, resolves: bool| Canned {
        name,
        settings: "",
        capabilities: json!({ "textDocumentSync": 2, "completionProvider": { "resolveProvider": resolves } }),
        methods: json!({ "textDocument/completion": { "result": [{ "label": name }] },
            "completionItem/resolve": { "result": { "label": "resolved" } } }),
    };
    let mut peer = start(&[server("first", true), server("second", false)]);
    let list = ask(&mut peer, "textDocument/completion");
    let items = list["items"].as_array().or_else(|| list.as_array());
    let items = items.expect("a list").clone();
    assert_eq!(items[1]["label"], "second");
    let answer = peer.request("completionItem/resolve", &items[1]);
    assert_eq!(answer["result"], items[1]);
    assert_eq!(
        heard(&peer, "second", "completionItem/resolve"),
        Vec::<Value>::new()
    );
}

#[test]
fn a_notebook_goes_to_the_servers_that_announce_notebooks() {
    let server = |name: &'static str, notebooks: Value| Canned {
        name,
        settings: "",
        capabilities: json!({ "textDocumentSync": 2, "hoverProvider": true, "notebookDocumentSync": notebooks }),
        methods: json!({ "textDocument/hover": { "result": { "contents": name } } }),
    };
    let selector = json!({ "notebookSelector": [{ "cells": [{ "language": "canned" }] }] });
    let mut peer = start(&[
        server("first", Value::Null),
        server("second", selector.clone()),
        server("third", selector),
    ]);
    let params =
        json!({ "notebookDocument": { "uri": "file:///n.ipynb", "version": 1 }, "odd": 1e3 });
    let methods = ["didOpen", "didChange", "didSave", "didClose"]
        .map(|what| format!("notebookDocument/{what}"));
    for method in &methods {
        peer.notify(method, &params);
    }
    ask(&mut peer, "textDocument/hover");
    for method in &methods {
        for server in ["second", "third"] {
            assert_eq!(heard(&peer, server, method).len(), 1, "{server} {method}");
            assert_eq!(heard(&peer, server, method)[0]["params"], params);
        }
        assert_eq!(heard(&peer, "first", method), Vec::<Value>::new());
    }
}

#[test]
fn an_address_that_a_server_made_up_leads_back_to_it() {
    let capabilities =
        json!({ "textDocumentSync": 2, "hoverProvider": true, "definitionProvider": true });
    let place = json!({ "uri": "canned-library://x/Y.class", "range": {
        "start": { "line": 0, "character": 0 }, "end": { "line": 0, "character": 0 } } });
    let mut peer = both(
        &capabilities,
        json!({ "textDocument/definition": { "result": null }, "textDocument/hover": { "result": { "contents": "first" } } }),
        json!({ "textDocument/definition": { "result": [place] }, "textDocument/hover": { "result": { "contents": "second" } },
            "workspace/textDocumentContent": { "result": { "text": "class" } } }),
    );
    ask(&mut peer, "textDocument/definition");
    let mut there = here();
    there["textDocument"]["uri"] = place["uri"].clone();
    let hover = peer.request("textDocument/hover", &there);
    assert_eq!(hover["result"]["contents"], "second");
}

#[test]
fn every_server_hears_of_texts_what_it_announced() {
    let server = |name: &'static str, sync: Value| Canned {
        name,
        settings: "",
        capabilities: json!({ "textDocumentSync": sync, "hoverProvider": true }),
        methods: json!({ "textDocument/hover": { "result": { "contents": name } },
            "textDocument/willSaveWaitUntil": { "result": [] } }),
    };
    let mut peer = crate::canned::prepared(&[
        server(
            "first",
            json!({ "openClose": true, "change": 1, "willSave": true, "save": { "includeText": true } }),
        ),
        server(
            "second",
            json!({ "openClose": true, "change": 0, "willSaveWaitUntil": true, "save": true }),
        ),
        server("third", json!(0)),
    ]);
    let answer = peer.greet(&json!({}));
    let sync = &answer["result"]["capabilities"]["textDocumentSync"];
    assert_eq!(sync["save"]["includeText"], true, "{sync}");
    crate::canned::open(&mut peer);
    let document = json!({ "uri": "file:///a" });
    peer.notify(
        "textDocument/didChange",
        &json!({ "textDocument": { "uri": "file:///a", "version": 2 }, "contentChanges": [{ "text": "new\n" }] }),
    );
    let saved = json!({ "textDocument": document, "reason": 1 });
    peer.notify("textDocument/willSave", &saved);
    peer.request("textDocument/willSaveWaitUntil", &saved);
    peer.notify(
        "textDocument/didSave",
        &json!({ "textDocument": document, "text": "new\n" }),
    );
    peer.notify(
        "textDocument/didClose",
        &json!({ "textDocument": document }),
    );
    peer.notify("$/setTrace", &json!({ "value": "off" }));
    let names = ["first", "second", "third"];
    for name in names {
        eventually("everybody hears what is for everybody", || {
            heard(&peer, name, "$/setTrace").len() == 1
        });
    }
    for (method, times) in [
        ("didOpen", [1, 1, 0]),
        ("didChange", [1, 0, 0]),
        ("willSave", [1, 0, 0]),
        ("willSaveWaitUntil", [0, 1, 0]),
        ("didSave", [1, 1, 0]),
        ("didClose", [1, 1, 0]),
    ] {
        let method = format!("textDocument/{method}");
        let came = names.map(|name| heard(&peer, name, &method).len());
        assert_eq!(came, times, "{method}");
    }
}

/// What was opened and changed while a server started reaches it as it wants to hear of texts.
#[test]
fn a_server_that_starts_late_hears_of_texts_what_it_announced() {
    let gate = tempfile::NamedTempFile::new().expect("a temporary file");
    let late = json!({ "initialize": { "unless": gate.path() } });
    let server = |name: &'static str, sync: u8, methods: Value| Canned {
        name,
        settings: "",
        capabilities: json!({ "textDocumentSync": sync, "hoverProvider": true }),
        methods,
    };
    let names = ["pieces", "whole", "nothing"];
    let hover = json!({ "textDocument/hover": { "result": { "contents": "prompt" } } });
    let mut peer = crate::canned::prepared(&[
        server("prompt", 2, hover),
        server("pieces", 2, late.clone()),
        server("whole", 1, late.clone()),
        server("nothing", 0, late),
    ]);
    peer.greet(&json!({}));
    crate::canned::open(&mut peer);
    let change = |peer: &mut Peer, version: u8, text: &str| {
        let start = json!({ "line": 0, "character": 0 });
        let change = json!({ "range": { "start": start, "end": start }, "text": text });
        let document = json!({ "uri": "file:///a", "version": version });
        let params = json!({ "textDocument": document, "contentChanges": [change] });
        peer.notify("textDocument/didChange", &params);
    };
    change(&mut peer, 2, "new ");
    let notebook = json!({ "uri": "file:///n", "notebookType": "n", "version": 1, "cells": [] });
    peer.notify(
        "notebookDocument/didOpen",
        &json!({ "notebookDocument": notebook, "cellTextDocuments": [] }),
    );
    assert_eq!(ask(&mut peer, "textDocument/hover")["contents"], "prompt");
    for name in names {
        assert_eq!(heard(&peer, name, "initialized"), Vec::<Value>::new());
    }
    gate.close().expect("removed");
    for name in names {
        eventually("it works", || !heard(&peer, name, "initialized").is_empty());
    }
    change(&mut peer, 3, "more ");
    peer.notify("$/setTrace", &json!({ "value": "off" }));
    for name in names {
        eventually("everything before is there", || {
            heard(&peer, name, "$/setTrace").len() == 1
        });
        let notebooks = heard(&peer, name, "notebookDocument/didOpen");
        assert_eq!(notebooks, Vec::<Value>::new(), "nobody announced them");
    }
    let texts = |name: &str| -> Vec<Value> {
        let of = |method: &str, place: &str| -> Vec<Value> {
            let all = heard(&peer, name, method).into_iter();
            all.map(|message| message.pointer(place).cloned().unwrap_or_default())
                .collect()
        };
        let opened = of("textDocument/didOpen", "/params/textDocument/text");
        let changes = of("textDocument/didChange", "/params/contentChanges/0");
        [opened, changes].concat()
    };
    assert_eq!(
        texts("whole"),
        [json!("new text\n"), json!({ "text": "more new text\n" })]
    );
    assert_eq!(texts("nothing"), Vec::<Value>::new());
    let pieces = texts("pieces");
    assert_eq!((pieces.len(), &pieces[0]), (3, &json!("text\n")));
}

#[test]
fn a_request_that_one_server_has_may_take_its_time() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let gate = folder.path().join("gate");
    std::fs::write(&gate, "").expect("written");
    let server = |name: &'static str, capabilities: Value, methods: Value| Canned {
        name,
        settings: "",
        capabilities,
        methods,
    };
    let mut peer = start(&[
        server(
            "first",
            json!({ "textDocumentSync": 2, "hoverProvider": true }),
            json!({ "textDocument/hover": { "result": null } }),
        ),
        server(
            "second",
            json!({ "textDocumentSync": 2, "completionProvider": {} }),
            json!({ "textDocument/completion": { "unless": gate, "result": [{ "label": "slow" }] } }),
        ),
    ]);
    let id = peer.ask("textDocument/completion", &here());
    // Longer than a server has that is asked beside others.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(2);
    assert_eq!(peer.next_before(deadline), None);
    std::fs::remove_file(&gate).expect("removed");
    let answer = peer.answer_to(&json!(id));
    assert!(answer.to_string().contains("slow"), "{answer}");
    assert_eq!(
        heard(&peer, "second", "$/cancelRequest"),
        Vec::<Value>::new()
    );
}

#[test]
fn semantic_tokens_come_from_the_server_whose_legend_was_announced() {
    let server = |name: &'static str, settings: &'static str, tokens: Value| Canned {
        name,
        settings,
        capabilities: json!({ "textDocumentSync": 2, "semanticTokensProvider": {
            "legend": { "tokenTypes": [name], "tokenModifiers": [] }, "full": { "delta": true } } }),
        methods: json!({ "textDocument/semanticTokens/full": { "result": tokens },
            "textDocument/semanticTokens/full/delta": { "result": null } }),
    };
    let data = json!({ "resultId": "1", "data": [0, 0, 1, 0, 0] });
    let mut peer = crate::canned::prepared(&[
        server("first", "priority = 10", Value::Null),
        server("second", "", data),
    ]);
    let answer = peer.greet(&json!({}));
    let legend = &answer["result"]["capabilities"]["semanticTokensProvider"]["legend"];
    crate::canned::open(&mut peer);
    let tokens = ask(&mut peer, "textDocument/semanticTokens/full");
    assert_eq!(legend["tokenTypes"], json!(["first"]));
    assert_eq!(tokens, Value::Null);
    let asked = heard(&peer, "second", "textDocument/semanticTokens/full");
    assert_eq!(asked, Vec::<Value>::new());
}

#[test]
fn who_is_best_is_what_the_user_says_and_not_the_order_of_the_entries() {
    let capabilities = |unit: &str, kind: &str| {
        json!({ "textDocumentSync": 2, "positionEncoding": unit, "workspaceSymbolProvider": true,
            "semanticTokensProvider": { "full": true, "legend": { "tokenTypes": [kind], "tokenModifiers": [] } } })
    };
    let range =
        json!({ "start": { "line": 0, "character": 0 }, "end": { "line": 0, "character": 1 } });
    let symbol = |name: &str| {
        let location = json!({ "uri": "file:///b", "range": range });
        json!({ "workspace/symbol": { "result": [{ "name": name, "kind": 1, "location": location }] } })
    };
    let servers = [
        Canned {
            name: "first",
            settings: "",
            capabilities: capabilities("utf-16", "worse"),
            methods: symbol("worse"),
        },
        Canned {
            name: "second",
            settings: "priority = 1",
            capabilities: capabilities("utf-8", "better"),
            methods: symbol("better"),
        },
    ];
    let mut peer = prepared(&servers);
    let encodings = json!({ "general": { "positionEncodings": ["utf-8", "utf-16"] } });
    let greeting = peer.greet(&encodings);
    let ours = &greeting["result"]["capabilities"];
    assert_eq!(ours["positionEncoding"], "utf-8");
    let legend = &ours["semanticTokensProvider"]["legend"];
    assert_eq!(legend["tokenTypes"], json!(["better"]));
    open(&mut peer);
    let symbols = ask(&mut peer, "workspace/symbol");
    assert_eq!(titles(&symbols, "name"), ["better", "worse"]);
}

#[test]
fn cells_of_a_notebook_are_counted_as_each_server_counts() {
    let server = |name: &'static str, settings: &'static str, unit: &str| Canned {
        name,
        settings,
        capabilities: json!({ "textDocumentSync": 2, "positionEncoding": unit, "hoverProvider": true,
            "notebookDocumentSync": { "notebookSelector": [{ "cells": [{ "language": "canned" }] }] } }),
        methods: json!({ "textDocument/hover": { "result": { "contents": name } } }),
    };
    let mut peer = prepared(&[
        server("first", "priority = 1", "utf-16"),
        server("second", "", "utf-8"),
    ]);
    peer.greet(&json!({ "general": { "positionEncodings": ["utf-16", "utf-8"] } }));
    open(&mut peer);
    let uri = "vscode-notebook-cell:/n.ipynb#a";
    let notebook =
        |version: u32| json!({ "uri": "file:///n.ipynb", "notebookType": "j", "version": version });
    let mut opened = notebook(1);
    opened["cells"] = json!([{ "kind": 2, "document": uri }]);
    let text =
        json!({ "uri": uri, "languageId": "canned", "version": 1, "text": "one\né😀x = 1\n" });
    let params = json!({ "notebookDocument": opened, "cellTextDocuments": [text] });
    peer.notify("notebookDocument/didOpen", &params);
    let at = |column: u32| json!({ "line": 1, "character": column });
    let change = |from: u32, to: u32, text: &str| json!({ "range": { "start": at(from), "end": at(to) }, "text": text });
    // The second change is counted in what the first one left.
    let told = |changes: Value| {
        let contents = json!([{ "document": { "uri": uri, "version": 2 }, "changes": changes }]);
        json!({ "notebookDocument": notebook(2), "change": { "cells": { "textContent": contents } } })
    };
    let params = told(json!([change(3, 4, "漢"), change(4, 4, "!")]));
    peer.notify("notebookDocument/didChange", &params);
    let asked = json!({ "textDocument": { "uri": uri }, "position": at(5) });
    let hover = peer.request("textDocument/hover", &asked).to_string();
    assert!(
        hover.contains("first") && hover.contains("second"),
        "{hover}"
    );
    let expected = told(json!([change(6, 7, "漢"), change(9, 9, "!")]));
    for (name, changed, column) in [("first", params, 5), ("second", expected, 10)] {
        let changes = heard(&peer, name, "notebookDocument/didChange");
        assert_eq!(changes[0]["params"], changed, "{name}");
        let asked = heard(&peer, name, "textDocument/hover");
        assert_eq!(asked[0]["params"]["position"], at(column), "{name}");
    }
}

#[test]
fn items_that_come_back_are_never_parts_of_a_result() {
    let quiet = Canned {
        name: "first",
        settings: "",
        capabilities: json!({ "textDocumentSync": 2 }),
        methods: json!({}),
    };
    let asked = Canned {
        name: "second",
        settings: "",
        capabilities: json!({ "textDocumentSync": 2, "referencesProvider": true,
            "completionProvider": { "resolveProvider": true } }),
        methods: json!({ "textDocument/completion": { "result": [] }, "textDocument/references": { "result": [] } }),
    };
    let mut peer = start(&[quiet, asked]);
    let mut params = here();
    params["partialResultToken"] = json!("parts");
    for (method, token) in [
        ("textDocument/completion", Value::Null),
        ("textDocument/references", json!("parts")),
    ] {
        peer.request(method, &params);
        let heard = heard(&peer, "second", method);
        assert_eq!(heard[0]["params"]["partialResultToken"], token, "{method}");
    }
}
