//! Large messages pass without being held, and break nothing when they break off. Linux only, like the kernel's figures
//! of memory.

use serde_json::{Value, json};

use crate::chaos::{Server, start};
use crate::wire_peer::{Peer, eventually};

const BYTES: usize = 50_000_000;

/// Memory of our process, in bytes: now, and at its most.
fn memory(peer: &Peer) -> (usize, usize) {
    let status = std::fs::read_to_string(format!("/proc/{}/status", peer.child.id()));
    let status = status.expect("it runs");
    let bytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
        number.expect("the kernel tells it") * 1024
    };
    (bytes("VmRSS:"), bytes("VmHWM:"))
}

fn server(name: &'static str) -> Server {
    Server {
        name,
        language: name,
        encoding: "utf-16",
        sync: 2,
    }
}

/// Asks the server for these steps.
fn steps(peer: &mut Peer, steps: &Value) -> i64 {
    peer.ask("chaos/do", &json!({ "do": steps }))
}

/// An answer that nobody has to look at is handed on while it comes.
#[test]
fn a_large_answer_passes_without_being_held() {
    let mut peer = start(&[server("one")]);
    peer.greet(&json!({}));
    peer.request("chaos/do", &json!({}));
    let (before, _) = memory(&peer);
    for _ in 0..4 {
        let id = steps(&mut peer, &json!([["answer", format!("large{BYTES}")]]));
        let answer = peer.answer_to(&json!(id));
        assert_eq!(
            answer["result"]["padding"].as_str().map(str::len),
            Some(BYTES)
        );
    }
    let (_, most) = memory(&peer);
    let grown = most.saturating_sub(before);
    assert!(
        grown < BYTES / 10,
        "{grown} bytes more than before for messages of {BYTES}"
    );
    crate::tidy::announce(&format!(
        "messages of {} MB took {} KB",
        BYTES / 1_000_000,
        grown / 1_000
    ));
}

/// The frame that has begun is filled with blanks, so that the editor can read on, and the request gets an error.
#[test]
fn a_server_that_dies_in_a_large_answer_leaves_a_stream_that_can_be_read() {
    let mut peer = start(&[server("one")]);
    peer.greet(&json!({}));
    peer.request("chaos/do", &json!({}));
    let id = steps(
        &mut peer,
        &json!([["part", 5_000_000, 3_000_000], ["crash"]]),
    );
    let broken = loop {
        let body = peer.next();
        if body.len() > 5_000_000 {
            break body;
        }
    };
    assert!(broken.ends_with(b"    "));
    assert!(serde_json::from_slice::<Value>(&broken).is_err());
    let answer = peer.answer_to(&json!(id));
    assert_eq!(answer["error"]["code"], -32803, "{answer}");
    let answer = peer.request("chaos/do", &json!({}));
    assert_eq!(answer["result"]["who"], "one", "{answer}");
}

/// The old process gives the rest of its answer while it ends: by then the request has its answer.
#[test]
fn an_answer_that_a_restart_breaks_off_is_given_once() {
    let mut peer = start(&[server("one")]);
    peer.greet(&json!({}));
    peer.request("chaos/do", &json!({}));
    let id = steps(&mut peer, &json!([["part", 5_000_000, 3_000_000]]));
    let log = peer.root.with_file_name("log-one");
    // So much was read that the editor is being given it.
    eventually("the answer has begun", || {
        let log = std::fs::read_to_string(&log).unwrap_or_default();
        log.contains(r#""how": "part""#)
    });
    let restart = json!({ "command": "meliora.restart" });
    peer.ask("workspace/executeCommand", &restart);
    let last = peer.ask("chaos/do", &json!({}));
    let mut answers = Vec::new();
    let mut broken = 0;
    while answers
        .last()
        .is_none_or(|answer: &Value| answer["id"] != json!(last))
    {
        match serde_json::from_slice::<Value>(&peer.next()) {
            Ok(message) if message.get("method").is_none() => answers.push(message),
            Ok(_) => {}
            Err(_) => broken += 1,
        }
    }
    answers.retain(|answer| answer["id"] == json!(id));
    assert_eq!((broken, answers.len()), (1, 1), "one is filled with blanks");
    assert_eq!(answers[0]["error"]["code"], -32803);
}

#[test]
fn a_server_that_falls_silent_in_a_large_answer_holds_the_others_only_for_a_while() {
    let mut peer = start(&[server("one"), server("two")]);
    peer.greet(&json!({}));
    let open = |peer: &mut Peer, name: &str| {
        let document = json!({ "uri": format!("file:///{name}.{name}"), "languageId": name, "version": 1, "text": "" });
        peer.notify("textDocument/didOpen", &json!({ "textDocument": document }));
        json!({ "uri": document["uri"] })
    };
    let (one, two) = (open(&mut peer, "one"), open(&mut peer, "two"));
    let ask = |peer: &mut Peer, document: &Value, steps: Value| {
        let params = json!({ "textDocument": document, "position": { "line": 0, "character": 0 }, "do": steps });
        peer.ask("chaos/do", &params)
    };
    let silent = ask(&mut peer, &one, json!([["part", 5_000_000, 3_000_000]]));
    while peer.next().len() < 5_000_000 {}
    let other = ask(&mut peer, &two, json!([["answer", "plain"]]));
    let answers = [silent, other].map(|id| peer.answer_to(&json!(id)));
    assert_eq!(answers[0]["error"]["code"], -32803, "{}", answers[0]);
    assert_eq!(answers[1]["result"]["who"], "two", "{}", answers[1]);
}

#[test]
fn an_answer_larger_than_anything_that_is_accepted_becomes_an_error() {
    let mut peer = start(&[server("one")]);
    peer.greet(&json!({}));
    peer.request("chaos/do", &json!({}));
    let id = steps(&mut peer, &json!([["part", 600_000_000, 100_000]]));
    let answer = peer.answer_to(&json!(id));
    let message = answer["error"]["message"].as_str().unwrap_or_default();
    assert!(
        message.contains("600000040 bytes") || message.contains("accepted"),
        "{answer}"
    );
}
