//! What was asked before is not asked again while it holds.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::canned::{Canned, ask, heard, here, start};
use crate::wire_peer::{Peer, eventually};

/// A server that answers hovers, but not while the file is there.
fn hovering(gate: Option<&PathBuf>) -> Peer {
    let mut reply = json!({ "result": { "contents": "text", "n": 1.50 } });
    if let Some(gate) = gate {
        std::fs::write(gate, "").expect("written");
        reply["unless"] = json!(gate);
    }
    start(&[Canned {
        name: "one",
        settings: "",
        capabilities: json!({ "textDocumentSync": 2, "hoverProvider": true }),
        methods: json!({ "textDocument/hover": reply, "own/method": { "result": null } }),
    }])
}

fn gate() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let gate = folder.path().join("gate");
    (folder, gate)
}

fn asked(peer: &Peer) -> usize {
    heard(peer, "one", "textDocument/hover").len()
}

fn change(peer: &mut Peer, version: u32) {
    peer.notify(
        "textDocument/didChange",
        &json!({ "textDocument": { "uri": "file:///a", "version": version },
            "contentChanges": [{ "text": format!("text {version}\n") }] }),
    );
}

#[test]
fn a_question_is_answered_again_from_memory_until_anything_happens() {
    let mut peer = hovering(None);
    let first = ask(&mut peer, "textDocument/hover");
    // Nothing else may come in between for the answer to hold.
    let again = ask(&mut peer, "textDocument/hover");
    assert_eq!((first["contents"].as_str(), &again), (Some("text"), &first));
    assert_eq!(asked(&peer), 1);
    change(&mut peer, 2);
    ask(&mut peer, "textDocument/hover");
    assert_eq!(asked(&peer), 2);
    // What may do something ends it as well.
    peer.request("own/method", &json!({}));
    ask(&mut peer, "textDocument/hover");
    assert_eq!(asked(&peer), 3);
    let mut other = here();
    other["position"]["character"] = json!(2);
    peer.request("textDocument/hover", &other);
    assert_eq!(asked(&peer), 4);
}

#[test]
fn who_asks_what_is_being_asked_gets_the_same_answer() {
    let (_folder, gate) = gate();
    let mut peer = hovering(Some(&gate));
    let ids: Vec<Value> = (0..3)
        .map(|_| json!(peer.ask("textDocument/hover", &here())))
        .collect();
    eventually("it is asked", || asked(&peer) == 1);
    std::fs::remove_file(&gate).expect("removed");
    let mut waiting = ids;
    while !waiting.is_empty() {
        let answer = peer.find(|message| waiting.contains(&message["id"]));
        assert_eq!(answer["result"]["contents"], "text");
        waiting.retain(|id| *id != answer["id"]);
    }
    assert_eq!(peer.until_now(), Vec::<Value>::new());
    assert_eq!(asked(&peer), 1);
}

#[test]
fn giving_up_a_shared_question_gives_up_only_ones_own_part() {
    let (_folder, gate) = gate();
    let mut peer = hovering(Some(&gate));
    let ids: Vec<i64> = (0..3)
        .map(|_| peer.ask("textDocument/hover", &here()))
        .collect();
    eventually("it is asked", || asked(&peer) == 1);
    for id in [ids[0], ids[1]] {
        peer.notify("$/cancelRequest", &json!({ "id": id }));
        assert_eq!(peer.answer_to(&json!(id))["error"]["code"], -32800);
    }
    std::fs::remove_file(&gate).expect("removed");
    let answer = peer.answer_to(&json!(ids[2]));
    assert_eq!(answer["result"]["contents"], "text");
    assert_eq!(heard(&peer, "one", "$/cancelRequest"), Vec::<Value>::new());
    assert_eq!(peer.until_now(), Vec::<Value>::new());
}

#[test]
fn the_last_to_give_up_a_shared_question_ends_it() {
    let (_folder, gate) = gate();
    let mut peer = hovering(Some(&gate));
    let ids: Vec<i64> = (0..2)
        .map(|_| peer.ask("textDocument/hover", &here()))
        .collect();
    eventually("it is asked", || asked(&peer) == 1);
    for id in &ids {
        peer.notify("$/cancelRequest", &json!({ "id": id }));
        assert_eq!(peer.answer_to(&json!(id))["error"]["code"], -32800);
    }
    std::fs::remove_file(&gate).expect("removed");
    // The server knows the question under the first id.
    eventually("it hears of it", || {
        let cancelled = heard(&peer, "one", "$/cancelRequest");
        cancelled
            .first()
            .is_some_and(|message| message["params"]["id"] == ids[0])
    });
}

#[test]
fn a_question_about_an_older_text_is_called_off_when_it_is_asked_of_the_present_one() {
    let (_folder, gate) = gate();
    let mut peer = hovering(Some(&gate));
    let old = peer.ask("textDocument/hover", &here());
    eventually("it is asked", || asked(&peer) == 1);
    change(&mut peer, 2);
    let new = peer.ask("textDocument/hover", &here());
    assert_eq!(peer.until_now(), Vec::<Value>::new());
    std::fs::remove_file(&gate).expect("removed");
    for id in [old, new] {
        assert_eq!(peer.answer_to(&json!(id))["result"]["contents"], "text");
    }
    let cancelled = heard(&peer, "one", "$/cancelRequest");
    assert_eq!(cancelled.len(), 1);
    assert_eq!(cancelled[0]["params"]["id"], json!(old));
}

#[test]
fn a_server_that_dies_leaves_nobody_without_an_answer_who_shared_a_question() {
    let (_folder, gate) = gate();
    let mut peer = hovering(Some(&gate));
    let mut waiting: Vec<Value> = (0..3)
        .map(|_| json!(peer.ask("textDocument/hover", &here())))
        .collect();
    eventually("it is asked", || asked(&peer) == 1);
    let pid = peer.pids()[0];
    std::fs::remove_file(&gate).expect("removed");
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(pid).expect("a process"),
        rustix::process::Signal::KILL,
    )
    .expect("killed");
    // Asked again after its return, or answered by its last breath.
    while !waiting.is_empty() {
        let answer = peer.find(|message| waiting.contains(&message["id"]));
        waiting.retain(|id| *id != answer["id"]);
    }
}
