//! `meliora proxy`: what an editor and its servers say to each other, and nothing of ours.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

use meliora::downstream::wire::{Decoder, Frame};
use serde_json::{Value, json};

use crate::servers::Machine;
use crate::wire_peer::{Peer, scripted};

fn framed(body: &Value) -> String {
    let body = body.to_string();
    format!("Content-Length: {}\r\n\r\n{body}", body.len())
}

/// What a program answers to each of these requests, as bytes, and what it writes to standard error.
fn talk(program: &str, arguments: &[&str], messages: &[Value]) -> (Vec<String>, String) {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut stdin = child.stdin.take().expect("piped");
    let mut output = child.stdout.take().expect("piped");
    let mut decoder = Decoder::default();
    let mut bodies = Vec::new();
    let mut buffer = [0; 4096];
    for message in messages {
        stdin
            .write_all(framed(message).as_bytes())
            .expect("it reads");
        stdin.flush().expect("it reads");
        let before = bodies.len();
        while bodies.len() == before {
            let read = output.read(&mut buffer).expect("readable");
            assert!(read > 0, "it ended early: {bodies:?}");
            decoder.space().extend_from_slice(&buffer[..read]);
            while let Some(frame) = decoder.next_frame().expect("small enough") {
                if let Frame::Message(body) = frame {
                    bodies.push(String::from_utf8(body.to_vec()).expect("text"));
                }
            }
        }
    }
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    (bodies, String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn one_server_is_heard_as_it_is_to_the_byte() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let uri = format!("file://{}", folder.path().display());
    let ask = |id: i64, method: &str, params: Value| json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
    let capabilities = json!({ "general": { "positionEncodings": ["utf-8", "utf-16"] } });
    let messages = [
        ask(
            1,
            "initialize",
            json!({ "processId": null, "rootUri": uri, "capabilities": capabilities }),
        ),
        ask(2, "textDocument/hover", json!({})),
        ask(
            3,
            "workspace/executeCommand",
            json!({ "command": "meliora.status" }),
        ),
        ask(4, "meliora/status", json!({})),
    ];
    let script = scripted();
    let (directly, _) = talk("python3", &[&script], &messages);
    let ours = env!("CARGO_BIN_EXE_meliora");
    let (through, _) = talk(ours, &["proxy", "--", "python3", &script], &messages);
    assert_eq!(through, directly);
    assert!(directly[0].contains("unheardOf"), "{directly:?}");
}

#[test]
fn a_server_that_is_not_there_is_told_of_on_standard_error_and_in_the_answer() {
    let greeting = json!({
        "jsonrpc": "2.0", "id": 1, "method": "initialize",
        "params": { "processId": null, "rootUri": null, "capabilities": {} }
    });
    let ours = env!("CARGO_BIN_EXE_meliora");
    for arguments in [
        &["proxy", "--", "nowhere-to-be-found"][..],
        &["proxy", "--", "./nowhere-to-be-found", "--stdio"],
    ] {
        let (answers, said) = talk(ours, arguments, std::slice::from_ref(&greeting));
        let answer: Value = serde_json::from_str(&answers[0]).expect("JSON");
        let message = answer["error"]["message"].as_str().expect("an error");
        assert!(
            message.contains("nowhere-to-be-found was not found"),
            "{message}"
        );
        assert!(
            said.contains("error: nowhere-to-be-found was not found"),
            "{said}"
        );
    }
    let script = format!("{} --refuse", scripted());
    let arguments = ["proxy", "--", "sh", "-c", &format!("exec python3 {script}")];
    let (answers, said) = talk(ours, &arguments, &[greeting]);
    assert!(answers[0].contains("not today"), "{answers:?}");
    assert!(said.contains("not today"), "{said}");
}

#[test]
fn two_servers_are_one_with_what_each_can_do() {
    let machine = Machine::with(&["python/ruff", "python/ty"]);
    let arguments = ["proxy", "--", "ty", "server", "--", "ruff", "server"];
    let mut peer: Peer = machine.serve(&arguments, "", &[("pyproject.toml", "")]);
    let answer = peer.greet(&json!({}));
    let capabilities = &answer["result"]["capabilities"];
    for (provider, why) in [
        ("definitionProvider", "ty's"),
        ("documentFormattingProvider", "ruff's"),
    ] {
        assert_ne!(capabilities[provider], Value::Null, "{why}: {answer}");
    }
    assert_eq!(answer["result"]["serverInfo"]["name"], "ty + ruff");
    assert!(!answer.to_string().contains("meliora"), "{answer}");
}
