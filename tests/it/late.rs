//! What servers say late of what they can do: when they are ready after the editor was answered, and by registrations.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::canned::{Canned, ask, heard, open, prepared};
use crate::wire_peer::{Peer, environment, eventually};

/// A server that is ready at once, and one that waits until the file is gone.
fn early_and_late() -> (Peer, TempDir) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let gate = folder.path().join("gate");
    std::fs::write(&gate, "").expect("written");
    let item = json!([{ "label": "late" }]);
    let peer = prepared(&[
        Canned {
            name: "early",
            settings: "priority = 10",
            capabilities: json!({ "textDocumentSync": 2, "hoverProvider": true }),
            methods: json!({ "textDocument/hover": { "result": { "contents": "early" } } }),
        },
        Canned {
            name: "late",
            settings: "",
            capabilities: json!({
                "textDocumentSync": 2,
                "hoverProvider": true,
                "completionProvider": { "triggerCharacters": ["."] },
                "definitionProvider": true,
                "executeCommandProvider": { "commands": ["late.do"] },
            }),
            methods: json!({
                "initialize": { "unless": gate },
                "textDocument/completion": { "result": item },
            }),
        },
    ]);
    (peer, folder)
}

fn is_registration(message: &Value) -> bool {
    message["method"] == "client/registerCapability"
}

#[test]
fn what_a_late_server_can_do_is_registered_once_and_the_rest_is_in_the_status() {
    let (mut peer, folder) = early_and_late();
    let dynamic = json!({ "dynamicRegistration": true });
    let answer = peer.greet(&json!({
        "textDocument": { "hover": dynamic, "completion": dynamic, "definition": {} },
        "workspace": { "executeCommand": dynamic },
    }));
    let capabilities = &answer["result"]["capabilities"];
    assert!(
        capabilities["completionProvider"].is_null(),
        "{capabilities}"
    );
    open(&mut peer);
    std::fs::remove_file(folder.path().join("gate")).expect("removed");

    let mut registered = peer.find(is_registration);
    let registrations = registered["params"]["registrations"].take();
    let methods: Vec<&Value> = (0..2).map(|at| &registrations[at]["method"]).collect();
    assert_eq!(
        methods,
        ["textDocument/completion", "workspace/executeCommand"]
    );
    assert_eq!(
        registrations.as_array().map(Vec::len),
        Some(2),
        "{registrations}"
    );
    let options = &registrations[0]["registerOptions"];
    let expected =
        json!({ "triggerCharacters": ["."], "documentSelector": [{ "language": "canned" }] });
    assert_eq!(*options, expected);
    assert_eq!(
        registrations[1]["registerOptions"],
        json!({ "commands": ["late.do"] })
    );
    let items = ask(&mut peer, "textDocument/completion").to_string();
    assert!(items.contains("late"), "{items}");

    let mut status = peer.request("meliora/status", &json!({}));
    let servers = status["result"]["servers"].take();
    assert_eq!(servers[0]["unknownToEditor"], json!([]));
    assert_eq!(
        servers[1]["unknownToEditor"],
        json!(["textDocument/definition"])
    );
    let base = peer.root.parent().expect("it has one").to_owned();
    let shown = std::process::Command::new(env!("CARGO_BIN_EXE_meliora"))
        .arg("status")
        .envs(environment(&base))
        .current_dir(&peer.root)
        .output()
        .expect("our own binary starts");
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(
        shown.contains("does not ask it for textDocument/definition"),
        "{shown}"
    );

    // In its next life it can do the same, of which the editor knows.
    let restart = json!({ "command": "meliora.restart", "arguments": ["late"] });
    peer.request("workspace/executeCommand", &restart);
    eventually("its return", || {
        heard(&peer, "late", "initialized").len() == 2
    });
    let items = ask(&mut peer, "textDocument/completion").to_string();
    assert!(items.contains("late"), "{items}");
    assert!(!peer.until_now().iter().any(is_registration));
}

#[test]
fn an_editor_that_takes_no_registrations_gets_none() {
    let (mut peer, folder) = early_and_late();
    peer.greet(&json!({}));
    open(&mut peer);
    std::fs::remove_file(folder.path().join("gate")).expect("removed");
    eventually("its beginning", || {
        heard(&peer, "late", "initialized").len() == 1
    });
    assert!(!peer.until_now().iter().any(is_registration));
    let unknown =
        peer.request("meliora/status", &json!({}))["result"]["servers"][1]["unknownToEditor"]
            .take();
    let expected = [
        "textDocument/completion",
        "textDocument/definition",
        "workspace/executeCommand",
    ];
    assert_eq!(unknown, json!(expected));
}

#[test]
fn a_late_server_that_knows_notebooks_hears_of_them() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let gate = folder.path().join("gate");
    std::fs::write(&gate, "").expect("written");
    let selector = json!([{ "notebook": "odd", "cells": [{ "language": "canned" }] }]);
    let server = |name: &'static str, notebooks: Value, methods: Value| Canned {
        name,
        settings: "",
        capabilities: json!({ "textDocumentSync": 2, "hoverProvider": true, "notebookDocumentSync": notebooks }),
        methods,
    };
    let mut peer = prepared(&[
        server("early", Value::Null, json!({})),
        server(
            "late",
            json!({ "notebookSelector": selector, "save": true }),
            json!({ "initialize": { "unless": gate } }),
        ),
    ]);
    let answer = peer.greet(&json!({
        "notebookDocument": { "synchronization": { "dynamicRegistration": true } },
    }));
    let told = &answer["result"]["capabilities"]["notebookDocumentSync"];
    assert!(told.is_null(), "{told}");
    open(&mut peer);
    std::fs::remove_file(gate).expect("removed");
    let registered = peer.find(is_registration);
    let registered = &registered["params"]["registrations"];
    assert_eq!(registered[0]["method"], "notebookDocument/sync");
    let options = &registered[0]["registerOptions"];
    assert_eq!(options["notebookSelector"], selector);
    let params = json!({
        "notebookDocument": { "uri": "file:///n", "notebookType": "odd", "version": 1, "cells": [] },
        "cellTextDocuments": [],
    });
    peer.notify("notebookDocument/didOpen", &params);
    eventually("it hears of it", || {
        heard(&peer, "late", "notebookDocument/didOpen").len() == 1
    });
    assert!(heard(&peer, "early", "notebookDocument/didOpen").is_empty());
}

#[test]
fn a_server_that_registers_for_texts_hears_of_those_that_are_open() {
    let registrations = json!([
        { "id": "o", "method": "textDocument/didOpen", "registerOptions": { "documentSelector": null } },
        { "id": "c", "method": "textDocument/didChange",
          "registerOptions": { "documentSelector": null, "syncKind": 1 } },
        { "id": "e", "method": "textDocument/didClose", "registerOptions": { "documentSelector": null } },
    ]);
    let register = json!({ "id": 1, "method": "client/registerCapability", "params": { "registrations": registrations } });
    for count in [1, 2] {
        let server = |name: &'static str, sync: Value, methods: Value| Canned {
            name,
            settings: "",
            capabilities: json!({ "textDocumentSync": sync, "hoverProvider": true }),
            methods,
        };
        // It registers when it is asked something: by then the text is open.
        let hover = json!({ "textDocument/hover": { "send": [register], "result": null } });
        let mut servers = vec![
            server("dynamic", Value::Null, hover),
            server(
                "static",
                json!(2),
                json!({ "textDocument/hover": { "result": null } }),
            ),
        ];
        servers.truncate(count);
        let mut peer = prepared(&servers);
        peer.greet(&json!({}));
        open(&mut peer);
        ask(&mut peer, "textDocument/hover");
        eventually("it hears of the text", || {
            heard(&peer, "dynamic", "textDocument/didOpen").len() == 1
        });
        let begin = json!({ "line": 0, "character": 0 });
        peer.notify(
            "textDocument/didChange",
            &json!({ "textDocument": { "uri": "file:///a", "version": 2 },
                "contentChanges": [{ "range": { "start": begin, "end": begin }, "text": "new " }] }),
        );
        peer.notify(
            "textDocument/didClose",
            &json!({ "textDocument": { "uri": "file:///a" } }),
        );
        eventually("it hears of its end", || {
            heard(&peer, "dynamic", "textDocument/didClose").len() == 1
        });
        let changes = heard(&peer, "dynamic", "textDocument/didChange");
        let whole = json!([{ "text": "new text\n" }]);
        assert_eq!(changes[0]["params"]["contentChanges"], whole);
        assert_eq!(heard(&peer, "dynamic", "textDocument/didOpen").len(), 1);
    }
}

#[test]
fn a_registration_is_for_the_parts_that_it_names() {
    for names_part in [false, true] {
        let registrations = json!([
            { "id": "r", "method": "textDocument/rename", "registerOptions": { "prepareProvider": names_part } },
            { "id": "d", "method": "textDocument/definition", "registerOptions": {} },
        ]);
        let register = json!({ "id": 1, "method": "client/registerCapability", "params": { "registrations": registrations } });
        let server = |name: &'static str, methods: Value| Canned {
            name,
            settings: "",
            capabilities: json!({ "textDocumentSync": 2, "hoverProvider": true }),
            methods,
        };
        let begin = json!({ "line": 0, "character": 0 });
        let place = json!({ "uri": "file:///d", "range": { "start": begin, "end": begin } });
        let mut peer = prepared(&[
            server("static", json!({})),
            server(
                "dynamic",
                json!({
                    "initialized": { "send": [register] },
                    "textDocument/definition": { "result": [place] },
                    "textDocument/prepareRename": { "result": { "defaultBehavior": true } },
                }),
            ),
        ]);
        peer.greet(&json!({}));
        open(&mut peer);
        eventually("it has registered", || {
            !ask(&mut peer, "textDocument/definition").is_null()
        });
        let prepared = ask(&mut peer, "textDocument/prepareRename");
        assert_eq!(!prepared.is_null(), names_part, "{prepared}");
    }
}
