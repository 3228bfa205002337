//! What passes through us passes as it is, and nothing that comes in takes us down.

use serde_json::{Value, json};

use crate::wire_peer::{Peer, Script, eventually, is_alive};

/// Bodies that a reader and writer of JSON would change.
const STRANGE: [&str; 5] = [
    r#"{"params":{"b":1,"a":[1e3,12345678901234567890123,-0.0,1.50],"a":2},"method":"test/strange","jsonrpc":"2.0"}"#,
    r#"{ "jsonrpc" : "2.0" , "method":"$/unknown/ünï", "params" : {"uri":"file:///a%20b/ü","unknown":null} }"#,
    r#"{"jsonrpc":"2.0","extra":{"method":"x","id":3},"method":"test/strange"}"#,
    r#"{"jsonrpc":"2.0","method":"test/strange","params":"\u0041\ud83d\ude00"}"#,
    r#"{"jsonrpc":"2.0","method":"test/strange","params":[]}"#,
];

#[test]
fn forwarded_bodies_are_the_bytes_that_came_in_order() {
    let mut peer = Peer::ready(&Script::default());
    for body in STRANGE {
        peer.body(body);
    }
    let request = r#"{"method":"test/echo","id":"s-\"1\"","params":{"n":1e3},"jsonrpc":"2.0"}"#;
    peer.body(request);
    peer.answer_to(&json!("s-\"1\""));
    let received = peer.received();
    let tail: Vec<String> = received[received.len() - STRANGE.len() - 1..]
        .iter()
        .map(|body| String::from_utf8(body.clone()).expect("test text"))
        .collect();
    let expected: Vec<&str> = STRANGE.iter().copied().chain([request]).collect();
    assert_eq!(tail, expected);

    // And the other way: a server's notifications and answers.
    peer.notify("test/say", &json!({ "bodies": STRANGE }));
    for body in STRANGE {
        assert_eq!(String::from_utf8(peer.next()).expect("test text"), body);
    }
    let answer = r#"{"result":{"x":1e3,"n":12345678901234567890123,"x":2} , "id":ID,"more":[ ]}"#;
    let id = peer.ask("test/raw", &json!({ "body": answer }));
    assert_eq!(
        String::from_utf8(peer.next()).expect("test text"),
        answer.replace("ID", &id.to_string())
    );
}

#[test]
fn headers_of_any_kind_and_cut_anywhere_are_understood() {
    let mut peer = Peer::ready(&Script::default());
    let body = br#"{"id":77,"method":"textDocument/hover","params":{}}"#;
    for head in [
        format!("content-length:{}\n\n", body.len()),
        format!(
            "X-Other: 1\r\nContent-Type: x\r\nCONTENT-LENGTH: {}\r\n\r\n",
            body.len()
        ),
        format!(
            "a line that is no header\r\nContent-Length: {}\r\n\r\n",
            body.len()
        ),
    ] {
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(body);
        let middle = bytes.len() / 2;
        peer.raw(&bytes[..middle]);
        peer.raw(&bytes[middle..]);
        assert_eq!(peer.answer_to(&json!(77))["result"]["contents"], "hover");
    }
    // Many in one write.
    let mut many = Vec::new();
    for id in 100..200 {
        let body = json!({ "id": id, "method": "textDocument/hover" }).to_string();
        many.extend_from_slice(format!("Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes());
    }
    peer.raw(&many);
    for id in 100..200 {
        peer.answer_to(&json!(id));
    }
}

#[test]
fn bad_messages_are_answered_and_the_session_lives() {
    let mut peer = Peer::ready(&Script::default());
    for bad in ["{", "null", "[1", "\"text\"", "\u{1}"] {
        peer.body(bad);
        let answer = peer.find(|message| message["error"]["code"] == -32700);
        assert_eq!(answer["id"], Value::Null, "{bad}");
    }
    // A batch is taken apart.
    peer.body(r#"[{"id":8,"method":"textDocument/hover"},{"id":9,"method":"textDocument/hover"}]"#);
    peer.answer_to(&json!(8));
    peer.answer_to(&json!(9));
    // Requests out of their time.
    let again = peer.request("initialize", &json!({}));
    assert_eq!(again["error"]["code"], -32600);
}

#[test]
fn requests_before_initialize_and_after_shutdown_are_refused() {
    let mut peer = Peer::start(&Script::default());
    assert_eq!(
        peer.request("textDocument/hover", &json!({}))["error"]["code"],
        -32002
    );
    peer.greet(&json!({}));
    let down = peer.request("shutdown", &Value::Null);
    assert_eq!(down.get("result"), Some(&Value::Null));
    assert_eq!(
        peer.request("textDocument/hover", &json!({}))["error"]["code"],
        -32600
    );
    peer.notify("exit", &Value::Null);
    assert_eq!(peer.exit_code(), Some(0));
}

#[test]
fn nothing_is_left_behind_however_the_session_ends() {
    // The editor closes our input.
    let mut peer = Peer::ready(&Script::default());
    let pids = peer.pids();
    assert_eq!(pids.len(), 1);
    peer.close_input();
    assert_eq!(peer.exit_code(), Some(1));
    eventually("the end of the server", || !is_alive(pids[0]));

    // `exit` without `shutdown`, with our input still open.
    let mut peer = Peer::ready(&Script::default());
    let pids = peer.pids();
    peer.notify("exit", &Value::Null);
    assert_eq!(peer.exit_code(), Some(1));
    eventually("the end of the server", || !is_alive(pids[0]));

    // We are killed.
    let mut peer = Peer::ready(&Script::default());
    let pids = peer.pids();
    peer.child.kill().expect("it runs");
    eventually("the end of the server", || !is_alive(pids[0]));
}

#[test]
fn we_end_when_the_editors_process_is_gone() {
    let mut editor = std::process::Command::new("sleep")
        .arg("30")
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("sleep starts");
    let mut peer = Peer::start(&Script::default());
    let params = json!({
        "processId": editor.id(),
        "rootUri": format!("file://{}", peer.root.display()),
        "capabilities": {},
    });
    peer.request("initialize", &params);
    let told: Value = serde_json::from_slice(&peer.received()[0]).expect("it is JSON");
    let watched = &told["params"]["processId"];
    assert_eq!(watched, peer.child.id(), "servers watch who started them");
    let pids = peer.pids();
    editor.kill().expect("it runs");
    editor.wait().expect("it is our child");
    assert_eq!(peer.exit_code(), Some(1));
    eventually("the end of the server", || !is_alive(pids[0]));
}

#[test]
fn an_editor_that_does_not_read_blocks_nobody_for_ever() {
    let mut peer = Peer::ready(&Script::default());
    // A megabyte each way, many times, without reading in between.
    let large = "x".repeat(1 << 20);
    let mut ids = Vec::new();
    for _ in 0..20 {
        let body = format!(r#"{{"id":ID,"result":"{large}"}}"#);
        ids.push(peer.ask("test/raw", &json!({ "body": body })));
    }
    for id in ids {
        let answer = peer.answer_to(&json!(id));
        assert_eq!(answer["result"].as_str().map(str::len), Some(large.len()));
    }
}

#[test]
fn an_editor_that_does_not_read_misses_logs_and_no_answers() {
    const LINES: usize = 30_000;
    let mut peer = Peer::ready(&Script::default());
    peer.is_deaf
        .store(true, std::sync::atomic::Ordering::Relaxed);
    let line = "x".repeat(1024);
    let log = json!({ "method": "window/logMessage", "params": { "type": 4, "message": line } });
    let flood = json!({ "count": LINES, "body": log.to_string() });
    peer.notify("test/flood", &flood);
    let answer = peer.ask("textDocument/hover", &json!({}));
    // The server has said everything when it hears of this.
    peer.notify("test/said", &json!({}));
    eventually("the end of the flood", || {
        let last = peer.received().pop().unwrap_or_default();
        String::from_utf8_lossy(&last).contains("test/said")
    });
    peer.is_deaf
        .store(false, std::sync::atomic::Ordering::Relaxed);
    let lines = std::cell::Cell::new(0);
    let told = std::cell::Cell::new(false);
    let note = |message: &Value| {
        let text = message["params"]["message"].as_str().unwrap_or_default();
        lines.set(lines.get() + usize::from(text == line));
        told.set(told.get() || text.contains("were left out"));
    };
    let answered = peer.find(|message| {
        note(message);
        message["id"] == json!(answer)
    });
    assert_eq!(answered["result"]["contents"], "hover");
    assert!(lines.get() < LINES, "all lines came");
    // What was left out is told when there is room again.
    peer.notify(
        "test/flood",
        &json!({ "count": 1, "body": log.to_string() }),
    );
    let last = lines.get() + 1;
    peer.find(|message| {
        note(message);
        lines.get() == last
    });
    assert!(told.get());
}

#[test]
fn shutdown_is_answered_also_when_a_server_does_not_answer_it() {
    let mut peer = Peer::ready(&Script {
        options: &["--no-shutdown"],
        ..Script::default()
    });
    let pids = peer.pids();
    let down = peer.request("shutdown", &Value::Null);
    assert_eq!(down.get("result"), Some(&Value::Null));
    peer.notify("exit", &Value::Null);
    assert_eq!(peer.exit_code(), Some(0));
    eventually("the end of the server", || !is_alive(pids[0]));
}

#[test]
fn a_server_that_does_not_listen_is_ended_by_signal() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mark = folder.path().join("mark").display().to_string();
    let mut peer = Peer::ready(&Script {
        options: &["--stubborn", &mark],
        ..Script::default()
    });
    let pids = peer.pids();
    peer.request("shutdown", &Value::Null);
    peer.notify("exit", &Value::Null);
    assert_eq!(peer.exit_code(), Some(0));
    assert!(std::path::Path::new(&mark).exists(), "it could clean up");
    eventually("the end of the server", || !is_alive(pids[0]));
}

#[test]
fn what_a_server_started_ends_with_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("helper");
    let name = file.display().to_string();
    let script = Script {
        options: &["--helper", &name],
        ..Script::default()
    };
    let helper = || {
        let number = std::fs::read_to_string(&file).unwrap_or_default();
        number.trim().parse::<i32>().ok()
    };
    for is_orderly in [true, false] {
        let mut peer = Peer::ready(&script);
        let pid = helper().expect("it was started before the greeting");
        assert!(is_alive(pid));
        if is_orderly {
            peer.request("shutdown", &Value::Null);
            peer.notify("exit", &Value::Null);
        }
        peer.close_input();
        assert!(peer.exit_code().is_some());
        eventually("the end of the helper", || !is_alive(pid));
    }
    // And when the server itself dies.
    let mut peer = Peer::ready(&script);
    let pid = helper().expect("it was started before the greeting");
    peer.request("test/crash", &json!({}));
    eventually("the end of the helper", || !is_alive(pid));
}

#[test]
fn bytes_that_are_no_text_and_half_characters_pass_as_they_are() {
    let server = crate::chaos::Server {
        name: "one",
        language: "one",
        encoding: "utf-16",
        sync: 2,
    };
    let mut peer = crate::chaos::start(&[server]);
    peer.greet(&json!({}));
    for (style, id) in [("badutf8", 70), ("surrogate", 71)] {
        let steps = json!([["answer", style]]);
        let mut body = format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"chaos/do","params":{{"do":{steps},"odd":""#
        )
        .into_bytes();
        body.extend_from_slice(b"\xff\xc3(\\ud800\"}}");
        peer.body(body);
        let answer = peer.next();
        let padding: &[u8] = match style {
            "badutf8" => b"\"padding\":\"\xff\xfe\xc3(\"}",
            _ => br#""padding":"\ud800 \udc00\ud800"}"#,
        };
        let found = answer.windows(padding.len()).any(|part| part == padding);
        assert!(found, "{}", String::from_utf8_lossy(&answer));
    }
    assert!(peer.request("chaos/do", &json!({}))["result"].is_object());
}
