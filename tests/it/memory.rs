//! What a message costs us in memory while it passes. Linux only, like the figures of the kernel.

use std::time::Duration;

use serde_json::json;

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

/// A message is held once, as it came, while it waits to be written, and nothing of it stays. It is not written before it
/// is here as a whole: a server that dies in the middle of it must not leave half a message with the editor.
#[test]
fn a_large_message_is_held_once_and_nothing_of_it_stays() {
    let server = Server {
        name: "one",
        language: "one",
        encoding: "utf-16",
        sync: 2,
    };
    let mut peer = start(&[server]);
    peer.patience = Duration::from_secs(60);
    peer.greet(&json!({}));
    peer.request("chaos/do", &json!({}));
    let (before, _) = memory(&peer);
    for _ in 0..4 {
        let params = json!({ "do": [["answer", format!("large{BYTES}")]] });
        let answer = peer.request("chaos/do", &params);
        assert_eq!(
            answer["result"]["padding"].as_str().map(str::len),
            Some(BYTES)
        );
    }
    let (_, most) = memory(&peer);
    let grown = most.saturating_sub(before);
    assert!(
        grown < BYTES * 2,
        "{grown} bytes more than before for messages of {BYTES}"
    );
    eventually("the end of what the message took", || {
        memory(&peer).0 < before + BYTES / 5
    });
    crate::tidy::announce(&format!(
        "a message of {} MB took {} MB",
        BYTES / 1_000_000,
        grown / 1_000_000
    ));
}
