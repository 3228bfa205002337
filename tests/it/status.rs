//! What other processes of the user learn from a running one.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::wire_peer::{Peer, Script, environment, eventually};

/// Runs our program as another process of the user would.
pub(crate) fn meliora(peer: &Peer, arguments: &[&str]) -> Output {
    meliora_on(&std::env::var("PATH").expect("it is set"), peer, arguments)
}

/// The same with another `PATH`.
pub(crate) fn meliora_on(path: &str, peer: &Peer, arguments: &[&str]) -> Output {
    let base = peer.root.parent().expect("it has one");
    Command::new(env!("CARGO_BIN_EXE_meliora"))
        .args(arguments)
        .envs(environment(base))
        .env("PATH", path)
        .env_remove("XDG_RUNTIME_DIR")
        .current_dir(&peer.root)
        .output()
        .expect("our own binary starts")
}

pub(crate) fn json_of(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no JSON: {output:?}"))
}

fn started() -> Peer {
    let variables = [("XDG_RUNTIME_DIR", String::new())];
    let mut peer = Peer::with(&[], &variables, |folder| {
        crate::wire_peer::workspace(folder, &Script::default())
    });
    peer.greet(&json!({}));
    peer
}

/// The folder of the sockets.
fn run_folder(peer: &Peer) -> PathBuf {
    let state = peer.root.with_file_name("home/.local/state/meliora");
    let mut folders = std::fs::read_dir(state).expect("made");
    let found = folders.find_map(|entry| {
        let folder = entry.expect("readable").path().join("run");
        folder.is_dir().then_some(folder)
    });
    found.expect("there is a control folder")
}

#[test]
fn a_running_process_tells_how_its_servers_are() {
    let mut peer = started();
    // The last one is known by then.
    for line in [0, 1, 2, 2] {
        peer.request(
            "textDocument/hover",
            &json!({ "position": { "line": line } }),
        );
    }
    let place = json!({ "textDocument": { "uri": "file:///a" } });
    peer.request("test/text", &place);
    peer.ask("test/never", &place);
    let output = meliora(&peer, &["status", "--json"]);
    let processes = json_of(&output);
    let status = &processes[0];
    assert_eq!(status["pid"], json!(peer.child.id()));
    let server = &status["servers"][0];
    assert_eq!(
        (&server["name"], &server["state"]),
        (&json!("scripted"), &json!("running"))
    );
    assert_eq!(server["latency"]["textDocument/hover"]["count"], 3);
    assert!(server["latency"]["textDocument/hover"]["p50Micros"].as_u64() > Some(0));
    assert_eq!(server["answers"]["count"], 4);
    assert_eq!(
        (&server["openRequests"], &server["queueBytes"]),
        (&json!(1), &json!(0))
    );
    for process in [status, server] {
        let bytes = |kind: &str| process[kind].as_u64();
        assert!(bytes("residentBytes") > Some(1_000_000), "{process}");
        assert!(bytes("proportionalBytes") > Some(100_000), "{process}");
        assert!(bytes("proportionalBytes") <= bytes("residentBytes"));
    }
    assert_eq!(status["cache"]["hits"], 1);
    assert!(status["cache"]["savedMicros"].as_u64() > Some(0));
    // From a folder below, and for people.
    std::fs::create_dir(peer.root.join("deep")).expect("made");
    let output = meliora(&peer, &["status", "deep"]);
    let text = String::from_utf8(output.stdout).expect("text");
    for expected in [
        "scripted  running",
        "textDocument/hover",
        "all answers",
        "MB resident",
        "MB proportional",
        "1 open request",
        "1 of 4 questions answered from memory",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
}

#[test]
fn the_socket_is_the_users_alone_and_goes_with_its_process() {
    let mut peer = started();
    let folder = run_folder(&peer);
    let mode =
        |path: &PathBuf| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
    let socket = folder.join(format!("{}.sock", peer.child.id()));
    assert_eq!((mode(&folder), mode(&socket)), (0o700, 0o600));
    peer.request("shutdown", &Value::Null);
    peer.notify("exit", &Value::Null);
    eventually("the end", || !socket.exists());
    let output = meliora(&peer, &["status"]);
    assert_eq!(output.status.code(), Some(3));
    let said = String::from_utf8(output.stderr).expect("text");
    assert!(said.contains("no meliora serves"), "{said}");
}

#[test]
fn sockets_that_nobody_serves_are_removed() {
    let first = started();
    let folder = run_folder(&first);
    let stale = folder.join("4711.sock");
    drop(UnixListener::bind(&stale).expect("bound"));
    let root = first.root.clone();
    assert!(stale.exists());
    let base = root.parent().expect("it has one").to_owned();
    let variables: Vec<(&str, String)> = [
        ("HOME", base.join("home")),
        ("XDG_CONFIG_HOME", base.join("home/.config")),
        ("XDG_STATE_HOME", base.join("home/.local/state")),
        ("XDG_RUNTIME_DIR", PathBuf::new()),
    ]
    .map(|(name, path)| (name, path.display().to_string()))
    .into();
    let mut second = Peer::with(&[], &variables, |_| root.clone());
    second.greet(&json!({}));
    eventually("the removal", || !stale.exists());
    let processes = json_of(&meliora(&first, &["status", "--json"]));
    assert_eq!(processes.as_array().map(Vec::len), Some(2));
}

#[test]
fn requests_of_ours_that_come_together_are_all_answered() {
    let mut peer = Peer::ready(&Script::default());
    let body = |id: i64| {
        let body = json!({ "jsonrpc": "2.0", "id": id, "method": "meliora/status", "params": {} });
        let body = body.to_string();
        format!("Content-Length: {}\r\n\r\n{body}", body.len())
    };
    let ids: BTreeSet<i64> = (1000..1010).collect();
    let all: String = ids.iter().copied().map(body).collect();
    peer.raw(all.as_bytes());
    let mut answered = BTreeSet::new();
    while answered.len() < ids.len() {
        let message: Value = serde_json::from_slice(&peer.next()).expect("we write JSON");
        if let Some(id) = message["id"].as_i64().filter(|id| ids.contains(id)) {
            assert!(message["result"].is_object(), "{message}");
            answered.insert(id);
        }
    }
}
