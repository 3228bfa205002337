//! A server that is ready after the editor was answered.

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
