//! Editors and servers that do what the protocol does not foresee: the session lives, and whose fault it is is told once.

use std::process::Command;

use serde_json::{Value, json};

use crate::canned::{self, Canned, here};
use crate::wire_peer::{Peer, Script, eventually};

fn uri(peer: &Peer, name: &str) -> String {
    format!("file://{}/{name}", peer.root.display())
}

fn open(peer: &mut Peer, name: &str, text: &str) -> String {
    let uri = uri(peer, name);
    let item = json!({ "uri": uri, "languageId": "scripted", "version": 1, "text": text });
    peer.notify("textDocument/didOpen", &json!({ "textDocument": item }));
    uri
}

fn hover(peer: &mut Peer) -> Value {
    peer.request("textDocument/hover", &json!({}))
}

/// What the server received of a method.
fn heard(peer: &Peer, method: &str) -> Vec<Value> {
    let all = peer.received().into_iter();
    let messages = all.map(|body| serde_json::from_slice(&body).expect("JSON"));
    messages
        .filter(|message: &Value| message["method"] == method)
        .collect()
}

fn said(message: &Value) -> &str {
    message["params"]["message"].as_str().unwrap_or_default()
}

#[test]
fn a_server_that_sends_no_json_is_named_once_and_the_session_lives() {
    let mut peer = Peer::ready(&Script::default());
    let bodies = ["{", "nul", "[1", "\u{1}", "{\"jsonrpc\":\"2.0\"}"];
    peer.notify("test/say", &json!({ "bodies": bodies }));
    let answer = peer.ask("textDocument/hover", &json!({}));
    let mut blamed = Vec::new();
    loop {
        let message: Value = serde_json::from_slice(&peer.next()).expect("JSON");
        if message["id"] == json!(answer) {
            assert_eq!(message["result"]["contents"], "hover");
            break;
        }
        blamed.push(message);
    }
    assert_eq!(blamed.len(), 1, "{blamed:?}");
    assert_eq!(blamed[0]["method"], "window/logMessage");
    assert!(said(&blamed[0]).contains("scripted"), "{blamed:?}");
}

#[test]
fn a_batch_in_a_batch_is_no_message() {
    let mut peer = Peer::ready(&Script::default());
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for bad in [&deep, "[]", "[[]]"] {
        peer.body(bad);
        let answer = peer.find(|message| message.get("error").is_some());
        assert_eq!(answer["error"]["code"], -32700);
        peer.notify("test/say", &json!({ "bodies": [bad] }));
    }
    let inner =
        r#"[[{"id":8,"method":"textDocument/hover"}],{"id":9,"method":"textDocument/hover"}]"#;
    peer.body(inner);
    peer.answer_to(&json!(9));
    assert_eq!(hover(&mut peer)["result"]["contents"], "hover");
}

#[test]
fn batches_of_servers_are_taken_apart() {
    let mut peer = Peer::ready(&Script::default());
    let parts = [
        r#"{"jsonrpc":"2.0","method":"test/one"}"#,
        r#"{ "method":"test/two","params":[1e3] }"#,
    ];
    let batch = format!("[{} , {}]", parts[0], parts[1]);
    peer.notify("test/say", &json!({ "bodies": [batch] }));
    for part in parts {
        assert_eq!(String::from_utf8(peer.next()).expect("text"), part);
    }
}

/// The ids of editors, as they write them.
const IDS: [&str; 9] = [
    "0",
    "-5",
    "7",
    "\"7\"",
    "12345678901234567890123",
    "1.5",
    "\"\"",
    "\"\\u00e9 {\\\"id\\\":1}\"",
    "\"meliora-1\"",
];

/// Asks under each id, before anything is answered, and gives the answers' bytes.
fn answers_to_all(peer: &mut Peer) -> Vec<String> {
    let params = canned::here();
    for (column, id) in IDS.iter().enumerate() {
        let mut params = params.clone();
        params["position"]["character"] = json!(column);
        peer.body(format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"textDocument/hover","params":{params}}}"#
        ));
    }
    let answers = IDS.iter().map(|_| peer.next());
    answers
        .map(|body| String::from_utf8(body).expect("text"))
        .collect()
}

#[test]
fn ids_of_every_kind_come_back_as_they_were() {
    let server = |name: &'static str| Canned {
        name,
        settings: "",
        capabilities: json!({ "textDocumentSync": 2, "hoverProvider": true }),
        methods: json!({ "textDocument/hover": { "result": { "contents": name } } }),
    };
    for servers in [vec![server("one")], vec![server("one"), server("two")]] {
        let mut peer = canned::start(&servers);
        let answers = answers_to_all(&mut peer);
        for id in IDS {
            let times = answers.iter().filter(|answer| {
                let answer = answer.replace("\": ", "\":").replace(", \"", ",\"");
                answer.contains(&format!("\"id\":{id},"))
            });
            assert_eq!(times.count(), 1, "{id} in {answers:#?}");
        }
    }
}

#[test]
fn an_answer_that_nobody_asked_for_goes_nowhere() {
    let mut peer = Peer::ready(&Script::default());
    let strange = [
        r#"{"jsonrpc":"2.0","id":4711,"result":1}"#,
        r#"{"jsonrpc":"2.0","id":"x","error":{"code":1,"message":"x"}}"#,
        r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"x"}}"#,
        r#"{"jsonrpc":"2.0","id":{"odd":[]},"result":{}}"#,
    ];
    peer.notify("test/say", &json!({ "bodies": strange }));
    // And one of the editor's that no server asked for.
    peer.body(r#"{"jsonrpc":"2.0","id":"meliora-9","result":null}"#);
    assert_eq!(hover(&mut peer)["result"]["contents"], "hover");
    assert_eq!(peer.until_now(), Vec::<Value>::new());
}

#[test]
fn a_text_opened_twice_is_the_one_that_was_opened_last() {
    let mut peer = Peer::ready(&Script::default());
    open(&mut peer, "a.txt", "one\n");
    let uri = open(&mut peer, "a.txt", "two\n");
    let begin = json!({ "line": 0, "character": 0 });
    peer.notify(
        "textDocument/didChange",
        &json!({ "textDocument": { "uri": uri, "version": 2 },
            "contentChanges": [{ "range": { "start": begin, "end": begin }, "text": "x" }] }),
    );
    let named = json!({ "textDocument": { "uri": uri } });
    assert_eq!(peer.request("test/text", &named)["result"], "xtwo\n");
    peer.request("test/crash", &json!({}));
    assert_eq!(peer.request("test/text", &named)["result"], "xtwo\n");
    let opened = heard(&peer, "textDocument/didOpen");
    assert_eq!(opened.len(), 3, "{opened:?}");
    assert_eq!(opened[2]["params"]["textDocument"]["version"], 2);
    peer.notify("textDocument/didClose", &named);
    peer.notify("textDocument/didClose", &named);
    assert_eq!(peer.request("test/text", &named)["result"], Value::Null);
}

#[test]
fn a_change_of_a_text_that_is_not_open_harms_nobody() {
    let mut peer = Peer::ready(&Script::default());
    let other = open(&mut peer, "a.txt", "one\n");
    let uri = uri(&peer, "never-opened.txt");
    let change = |uri: &str| json!({ "textDocument": { "uri": uri, "version": 2 }, "contentChanges": [{ "text": "x\n" }] });
    peer.notify("textDocument/didChange", &change(&uri));
    peer.notify("textDocument/didChange", &change(&other));
    peer.request("test/crash", &json!({}));
    let named = |uri: &str| json!({ "textDocument": { "uri": uri } });
    assert_eq!(peer.request("test/text", &named(&other))["result"], "x\n");
    assert_eq!(
        peer.request("test/text", &named(&uri))["result"],
        Value::Null
    );
}

#[test]
fn a_text_that_we_cannot_read_reaches_its_server_all_the_same() {
    let mut peer = Peer::ready(&Script::default());
    for (name, version) in [("a.txt", json!(1.5)), ("b.txt", json!("one"))] {
        let uri = uri(&peer, name);
        let item =
            json!({ "uri": uri, "languageId": "scripted", "version": version, "text": "wrong\n" });
        peer.notify("textDocument/didOpen", &json!({ "textDocument": item }));
        let named = json!({ "textDocument": { "uri": uri } });
        assert_eq!(peer.request("test/text", &named)["result"], "wrong\n");
        peer.notify("textDocument/didClose", &named);
        assert_eq!(peer.request("test/text", &named)["result"], Value::Null);
    }
    // A version is what old editors leave out.
    let uri = uri(&peer, "c.txt");
    let item = json!({ "uri": uri, "languageId": "scripted", "text": "one\n" });
    peer.notify("textDocument/didOpen", &json!({ "textDocument": item }));
    peer.request("test/crash", &json!({}));
    let named = json!({ "textDocument": { "uri": uri } });
    assert_eq!(peer.request("test/text", &named)["result"], "one\n");
}

#[test]
fn a_question_that_is_open_when_its_text_closes_is_answered_once() {
    let mut peer = Peer::ready(&Script::default());
    let uri = open(&mut peer, "a.txt", "fine\n");
    let named = json!({ "textDocument": { "uri": uri } });
    let mut params = named.clone();
    params["ms"] = json!(50);
    let id = peer.ask("test/slow", &params);
    peer.notify("textDocument/didClose", &named);
    assert_eq!(peer.answer_to(&json!(id))["result"], "slow");
    let is_it = |message: &Value| message["id"] == json!(id);
    assert!(!peer.until_now().iter().any(is_it));
}

#[test]
fn a_server_that_writes_much_to_its_error_output_is_not_held_up() {
    let mut peer = Peer::ready(&Script::default());
    peer.notify("test/complain", &json!({ "count": 20_000 }));
    assert_eq!(hover(&mut peer)["result"]["contents"], "hover");
    let answer = peer.request("test/crash", &json!({}));
    let text = answer["error"]["message"].as_str().expect("text");
    assert!(text.contains("boom"), "{text}");
}

#[test]
fn a_server_that_does_not_read_is_started_again_and_the_editor_goes_on() {
    let mut peer = Peer::ready(&Script::default());
    let file = peer.root.with_file_name("stall");
    std::fs::write(&file, "").expect("written");
    peer.notify("test/stall", &json!({ "file": file }));
    let waiting = peer.ask("test/never", &json!({}));
    let large = "x".repeat(1 << 20);
    for _ in 0..70 {
        peer.notify("test/large", &json!({ "text": large }));
    }
    assert_eq!(peer.answer_to(&json!(waiting))["error"]["code"], -32803);
    let told = peer.find(|message| message["method"] == "window/showMessage");
    assert!(said(&told).contains("does not read"), "{told}");
    std::fs::remove_file(&file).expect("removed");
    assert_eq!(hover(&mut peer)["result"]["contents"], "hover");
}

#[test]
fn a_server_that_reads_slowly_is_waited_for() {
    let mut peer = Peer::ready(&Script::default());
    let large = "x".repeat(1 << 20);
    for _ in 0..120 {
        peer.notify("test/large", &json!({ "text": large }));
    }
    let id = peer.ask("textDocument/hover", &json!({}));
    let answer = peer.find(|message| {
        assert_ne!(message["method"], "window/showMessage", "{message}");
        message["id"] == json!(id)
    });
    assert_eq!(answer["result"]["contents"], "hover");
}

#[test]
fn one_plain_header_stands_before_everything_that_we_write() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("heard");
    let ours = env!("CARGO_BIN_EXE_meliora");
    let keep = format!("exec cat > '{}'", file.display());
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"capabilities":{}}}"#;
    let mut command = Command::new(ours);
    command.args(["proxy", "--", "sh", "-c", &keep]);
    let mut peer = Peer::run(command, folder.path());
    peer.raw(format!("x-odd: 1\ncontent-length :  {}\n\n{body}", body.len()).as_bytes());
    let expected = format!("Content-Length: {}\r\n\r\n{body}", body.len());
    eventually("the greeting", || {
        std::fs::read_to_string(&file).is_ok_and(|heard| heard == expected)
    });
    peer.close_input();
    assert!(peer.exit_code().is_some());

    // And to the editor.
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let script = script.join("fixtures/servers/scripted.py");
    let mut child = Command::new(ours)
        .args(["proxy", "--", "python3"])
        .arg(script)
        .arg("--rubbish")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut output = child.stdout.take().expect("piped");
    let mut input = child.stdin.take().expect("piped");
    std::io::Write::write_all(&mut input, expected.as_bytes()).expect("it reads");
    let mut first = [0; 24];
    std::io::Read::read_exact(&mut output, &mut first).expect("it answers");
    let first = String::from_utf8_lossy(&first).into_owned();
    drop(input);
    child.wait().expect("it ends");
    let (name, rest) = first.split_once(": ").expect("a header");
    let (length, body) = rest.split_once("\r\n\r\n").expect("one header");
    assert_eq!(name, "Content-Length");
    assert!(length.bytes().all(|byte| byte.is_ascii_digit()), "{first}");
    assert!(body.starts_with('{'), "{first}");
}

#[test]
fn an_id_that_is_used_again_gets_an_answer_of_its_own_and_not_a_late_one() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let gate = folder.path().join("gate");
    let begin = json!({ "line": 0, "character": 0 });
    let place = json!([{ "uri": "file:///d", "range": { "start": begin, "end": begin } }]);
    let server = |name: &'static str, hover: Value| Canned {
        name,
        settings: "",
        capabilities: json!({ "textDocumentSync": 2, "hoverProvider": true, "definitionProvider": true }),
        methods: json!({
            "textDocument/hover": hover,
            "textDocument/definition": { "result": place },
        }),
    };
    let late = json!({ "result": { "contents": "late" }, "unless": gate });
    for beside in [None, Some(json!({ "result": { "contents": "in time" } }))] {
        std::fs::write(&gate, "").expect("written");
        let mut servers = vec![server("slow", late.clone())];
        servers.extend(beside.map(|hover| server("quick", hover)));
        let mut peer = canned::start(&servers);
        let id = json!("again");
        let ask = |peer: &mut Peer, method: &str| {
            let body = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": here() });
            peer.body(body.to_string());
        };
        let is_place = |answer: &Value| answer["result"].to_string().contains("file:///d");

        // The editor has its answer, the server is still at it.
        ask(&mut peer, "textDocument/hover");
        peer.notify("$/cancelRequest", &json!({ "id": id }));
        let first = peer.answer_to(&id);
        assert!(!first.to_string().contains("late"), "{first}");
        ask(&mut peer, "textDocument/definition");
        std::fs::remove_file(&gate).expect("removed");
        let second = peer.answer_to(&id);
        assert!(is_place(&second), "{second}");

        // Nobody has an answer yet.
        std::fs::write(&gate, "").expect("written");
        ask(&mut peer, "textDocument/hover");
        ask(&mut peer, "textDocument/definition");
        std::fs::remove_file(&gate).expect("removed");
        let both = [peer.answer_to(&id), peer.answer_to(&id)];
        assert_eq!(both.iter().filter(|answer| is_place(answer)).count(), 1);
        assert!(
            both.iter().any(|it| it.to_string().contains("contents")),
            "{both:?}"
        );
        let more = peer.until_now();
        assert!(!more.iter().any(|message| message["id"] == id), "{more:?}");
    }
}

#[test]
fn an_answer_with_a_result_and_an_error_is_an_error_and_only_that() {
    let server = |name: &'static str, hover: Value| Canned {
        name,
        settings: "",
        capabilities: json!({ "textDocumentSync": 2, "hoverProvider": true }),
        methods: json!({ "textDocument/hover": hover }),
    };
    let both = json!({ "result": null, "error": { "code": -32803, "message": "no" } });
    let mut peer = canned::start(&[
        server("first", both.clone()),
        server("second", json!({ "result": { "contents": "second" } })),
    ]);
    let answer = peer.request("textDocument/hover", &here());
    assert_eq!(answer["result"]["contents"], "second");
    assert!(answer.get("error").is_none(), "{answer}");

    let mut peer = canned::start(&[server("first", both.clone()), server("second", both)]);
    let answer = peer.request("textDocument/hover", &here());
    assert_eq!(answer["error"]["code"], -32803);
    assert!(answer.get("result").is_none(), "{answer}");
}
