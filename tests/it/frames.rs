//! The flight recorder: what was said last to the servers and by them, without secrets.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::model::scripted::{Server, says};
use crate::servers::{Machine, tool};
use crate::status::{json_of, meliora, meliora_on};
use crate::wire_peer::{Peer, Script, eventually, scripted, workspace};

/// A peer whose environment holds a secret.
fn with_secret(script: &Script<'_>) -> Peer {
    let variables = [
        ("SOME_API_KEY", "quite \"long and secret".to_owned()),
        ("XDG_RUNTIME_DIR", String::new()),
    ];
    let mut peer = Peer::with(&[], &variables, |folder| workspace(folder, script));
    peer.greet(&json!({}));
    peer
}

fn open(peer: &mut Peer, name: &str, text: &str) {
    peer.open(name, "scripted", text);
    peer.find(|message| message["method"] == "textDocument/publishDiagnostics");
}

/// The lines of a recording.
fn lines(text: &str) -> Vec<Value> {
    let parsed = text.lines().map(serde_json::from_str);
    parsed.map(|line| line.expect("JSON")).collect()
}

fn methods(lines: &[Value]) -> Vec<&str> {
    let methods = lines
        .iter()
        .filter_map(|line| line["body"]["method"].as_str());
    methods.collect()
}

#[test]
fn what_was_said_is_dumped_without_secrets_and_shown() {
    let mut peer = with_secret(&Script::default());
    let key = "sk-abcdefghijklmnopqrstuvwxyz";
    open(
        &mut peer,
        "a.txt",
        &format!("one wrong word, {key}, and quite \"long and secret\n"),
    );
    let settings = json!({ "settings": { "deep": { "accessToken": "tiny" }, "lineLength": 100 } });
    peer.notify("workspace/didChangeConfiguration", &settings);
    let hover = json!({ "textDocument": { "uri": "file:///a" }, "position": {} });
    peer.request("textDocument/hover", &hover);
    let output = meliora(&peer, &["frames", "dump", "--output", "dump.jsonl"]);
    assert!(output.status.success(), "{output:?}");
    let file = peer.root.join("dump.jsonl");
    let text = std::fs::read_to_string(&file).expect("written");
    for secret in [key, "long and secret", "tiny"] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
    assert!(
        text.contains("one wrong word, [redacted], and [redacted]"),
        "{text}"
    );
    assert!(text.contains("\"lineLength\":100"), "{text}");
    let all = lines(&text);
    assert_eq!(
        (&all[0]["server"], &all[0]["dropped"]),
        (&json!("scripted"), &json!(0))
    );
    assert_eq!(
        methods(&all),
        [
            "initialize",
            "initialized",
            "textDocument/didOpen",
            "textDocument/publishDiagnostics",
            "workspace/didChangeConfiguration",
            "textDocument/hover",
        ]
    );
    let shown = json_of(&meliora(&peer, &["frames", "show", "dump.jsonl", "--json"]));
    let frames = shown[0]["frames"].as_array().expect("a list");
    let last = frames.last().expect("one");
    assert_eq!(
        (&last["kind"], &last["method"]),
        (&json!("answer"), &json!("textDocument/hover"))
    );
    assert!(last["latencyMicros"].as_u64() > Some(0), "{last}");
    let shown = meliora(&peer, &["frames", "show", "dump.jsonl"]);
    let shown = String::from_utf8(shown.stdout).expect("text");
    assert!(
        shown.contains("→ request      textDocument/hover"),
        "{shown}"
    );
    // The editor asks the same over its own stream.
    let answer = peer.request("meliora/frames", &json!({ "server": "scripted" }));
    let recording = answer["result"]["recording"].as_str().expect("text");
    assert_eq!(lines(recording).len(), all.len());
    let answer = peer.request("meliora/frames", &json!({ "server": "other" }));
    assert!(
        answer["error"]["message"]
            .to_string()
            .contains("there is: scripted"),
        "{answer}"
    );
}

#[test]
fn without_text_nothing_of_a_document_is_left() {
    let mut peer = with_secret(&Script::default());
    open(&mut peer, "a.txt", "one wrong word\n");
    let output = meliora(
        &peer,
        &["frames", "dump", "--no-text", "--server", "scripted"],
    );
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(!text.contains("wrong"), "{text}");
    assert!(
        text.contains("\"text\":\"[15 bytes]\"") && text.contains("a.txt"),
        "{text}"
    );
    assert!(
        text.contains("unheardOf"),
        "capabilities are no secret: {text}"
    );
}

#[test]
fn a_server_that_dies_leaves_its_last_messages_in_one_of_a_few_files() {
    let mut peer = with_secret(&Script::default());
    open(&mut peer, "a.txt", "quite \"long and secret\n");
    let state = peer.root.with_file_name("home/.local/state/meliora");
    let folder = folder_of_files(&state);
    let old: Vec<PathBuf> = (0..20)
        .map(|number| folder.join(format!("2000010{number}T-x.jsonl")))
        .collect();
    std::fs::create_dir_all(&folder).expect("made");
    for file in &old {
        std::fs::write(file, "").expect("written");
    }
    peer.request("test/crash", &json!({}));
    let said = peer.find(|message| {
        let text = message["params"]["message"].as_str();
        message["method"] == "window/logMessage" && text.is_some_and(|text| text.contains("frames"))
    });
    let said = said["params"]["message"].as_str().expect("text");
    let files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .expect("there")
        .map(|entry| entry.expect("readable").path())
        .collect();
    assert_eq!(files.len(), 8, "{files:?}");
    let file = files
        .iter()
        .find(|file| said.contains(&*file.to_string_lossy()));
    let text = std::fs::read_to_string(file.expect("the line names it")).expect("readable");
    assert!(!text.contains("long and secret"), "{text}");
    let all = lines(&text);
    assert_eq!(methods(&all).last(), Some(&"test/crash"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_a_run_was_given_is_in_no_recording() {
    let key = "printed-and-planted-17";
    let server = Server::start(vec![says("hello")]).await;
    let config = format!(
        "[llm]\nprovider = 'scripted'\nmodel = 'parrot'\n[llm.providers.scripted]\nbase_url = '{}'\n\
         key_command = ['cat', 'keys/mine']\n",
        server.url
    );
    let script = Script {
        config: &config,
        ..Script::default()
    };
    let mut peer = Peer::with(&[], &[], |folder| {
        let keys = folder.join("home/keys");
        std::fs::create_dir_all(&keys).expect("made");
        std::fs::write(keys.join("mine"), key).expect("written");
        workspace(folder, &script)
    });
    peer.greet(&json!({}));
    open(&mut peer, "mine.txt", &format!("{key}\n"));
    let dump = |peer: &mut Peer| {
        let answer = peer.request("meliora/frames", &json!({}));
        let text = answer["result"]["recording"].as_str().expect("text");
        text.to_owned()
    };
    assert!(dump(&mut peer).contains(key), "nobody knows it yet");
    let run = json!({ "command": "meliora.do", "arguments": ["say hello"] });
    peer.request("workspace/executeCommand", &run);
    server.wait_for_requests(1).await;
    assert!(server.requests()[0].head.contains(key));
    let text = dump(&mut peer);
    assert!(text.contains("mine.txt") && !text.contains(key), "{text}");
}

/// Where the files of servers that died are.
fn folder_of_files(state: &Path) -> PathBuf {
    let mut folders = std::fs::read_dir(state).expect("made");
    let found = folders.find_map(|entry| {
        let folder = entry.expect("readable").path();
        folder.join("run").is_dir().then(|| folder.join("frames"))
    });
    found.expect("there is a folder for the workspace")
}

#[test]
fn nothing_is_remembered_when_that_is_what_the_user_wants() {
    let config = "[lsp]\nrecorder_mb = 0\n";
    let mut peer = with_secret(&Script {
        config,
        ..Script::default()
    });
    let answer = peer.request("meliora/frames", &json!({}));
    let said = answer["error"]["message"].as_str().expect("an error");
    assert!(said.contains("lsp.recorder_mb"), "{said}");
    peer.request("test/crash", &json!({}));
    peer.request("textDocument/hover", &json!({}));
    let state = peer.root.with_file_name("home/.local/state/meliora");
    assert!(!folder_of_files(&state).exists());
}

#[test]
fn a_proxy_records_everything_from_the_beginning_to_a_file() {
    let script = scripted();
    let arguments = [
        "proxy",
        "--record",
        "all.jsonl",
        "--",
        "python3",
        &script,
        "--",
        "python3",
        &script,
        "--no-sync",
    ];
    let mut peer = Peer::with(&arguments, &[], |folder| {
        let root = folder.join("work");
        std::fs::create_dir(&root).expect("made");
        root
    });
    peer.greet(&json!({}));
    open(&mut peer, "a.txt", "wrong\n");
    peer.request("test/crash", &json!({}));
    peer.request("textDocument/hover", &json!({}));
    peer.request("shutdown", &Value::Null);
    peer.notify("exit", &Value::Null);
    assert_eq!(peer.exit_code(), Some(0));
    let file = peer.root.join("all.jsonl");
    let text = std::fs::read_to_string(&file).expect("written");
    let all = lines(&text);
    let heads: Vec<&str> = all
        .iter()
        .filter_map(|line| line["server"].as_str())
        .collect();
    assert_eq!(heads, ["python3", "python3-2", "python3-2"], "{text}");
    let last = all
        .iter()
        .rev()
        .find(|line| line["body"]["method"] == "exit");
    assert!(last.is_some(), "{text}");
    eventually("the process is gone", || {
        peer.child.try_wait().is_ok_and(|ended| ended.is_some())
    });
}

/// Ends a session in an orderly way.
fn end(peer: &mut Peer) {
    peer.request("shutdown", &Value::Null);
    peer.notify("exit", &Value::Null);
    assert_eq!(peer.exit_code(), Some(0));
}

/// Replays a file; the exit code and what is said as JSON.
fn replay(peer: &Peer, arguments: &[&str], server: &[&str]) -> (Option<i32>, Value) {
    let path = std::env::var("PATH").expect("it is set");
    replay_on(&path, peer, arguments, server)
}

/// The same with another `PATH`: what a server finds there shows in its answers.
fn replay_on(path: &str, peer: &Peer, arguments: &[&str], server: &[&str]) -> (Option<i32>, Value) {
    let all = [&["frames", "replay", "--json"], arguments, &["--"], server].concat();
    let output = meliora_on(path, peer, &all);
    (output.status.code(), json_of(&output))
}

/// What an editor says about a text of Python, to the end.
fn converse(peer: &mut Peer) {
    peer.greet(&json!({}));
    let uri = peer.open("a.py", "python", "import os\nx: int = 'é'\n");
    let document = json!({ "uri": uri });
    let whole = json!({ "textDocument": document });
    peer.request("textDocument/diagnostic", &whole);
    let start = json!({ "line": 1, "character": 0 });
    let span = json!({ "start": start, "end": start });
    let change = json!({ "range": span, "text": "name =  1\n" });
    let version = json!({ "uri": uri, "version": 2 });
    peer.notify(
        "textDocument/didChange",
        &json!({ "textDocument": version, "contentChanges": [change] }),
    );
    for (method, more) in [
        ("hover", json!({ "position": start })),
        ("diagnostic", json!({})),
        ("documentSymbol", json!({})),
        (
            "formatting",
            json!({ "options": { "tabSize": 4, "insertSpaces": true } }),
        ),
        (
            "codeAction",
            json!({ "range": span, "context": { "diagnostics": [] } }),
        ),
        (
            "completion",
            json!({ "position": { "line": 1, "character": 4 } }),
        ),
    ] {
        let mut params = more;
        params["textDocument"] = document.clone();
        peer.request(&format!("textDocument/{method}"), &params);
    }
    end(peer);
}

#[test]
fn a_recorded_session_of_real_servers_gets_the_same_answers_again() {
    let machine = Machine::with(&["python/ruff", "python/ty", "python/pylsp"]);
    let files = [("pyproject.toml", "")];
    let serve = |servers: &[&str]| {
        let arguments = [&["proxy", "--record", "all.jsonl", "--"], servers].concat();
        let mut peer = machine.serve(&arguments, "", &files);
        converse(&mut peer);
        peer
    };
    let both = serve(&["ty", "server", "--", "ruff", "server"]);
    let alone = serve(&["pylsp"]);
    for (peer, name, arguments) in [
        (&both, "ty", &["server"][..]),
        (&both, "ruff", &["server"]),
        (&alone, "pylsp", &[]),
    ] {
        let program = tool(&format!("python/{name}")).display().to_string();
        let server = [&[program.as_str()], arguments].concat();
        let chosen = ["all.jsonl", "--server", name];
        let (code, story) = replay_on(&machine.path(), peer, &chosen, &server);
        assert_eq!(code, Some(0), "{name}: {story:#}");
        assert!(story["same"].as_u64() >= Some(4), "{name}: {story:#}");
    }
    let ambiguous = ["frames", "replay", "all.jsonl", "--", "ruff", "server"];
    let output = meliora(&both, &ambiguous);
    assert_eq!(output.status.code(), Some(3));
    let said = String::from_utf8(output.stderr).expect("text");
    assert!(said.contains("choose one of ty.1.1@"), "{said}");
}

#[test]
fn a_ring_that_dropped_its_beginning_is_replayed_with_the_texts_as_they_were() {
    let config = "[lsp]\nrecorder_mb = 1\n";
    let mut peer = with_secret(&Script {
        config,
        ..Script::default()
    });
    open(&mut peer, "a.txt", "é\n");
    let uri = format!("file://{}/a.txt", peer.root.display());
    for version in 2..4_000 {
        let place = json!({ "line": 0, "character": 1 });
        let change =
            json!({ "range": { "start": place, "end": place }, "text": version.to_string() });
        let document = json!({ "uri": uri, "version": version });
        peer.notify(
            "textDocument/didChange",
            &json!({ "textDocument": document, "contentChanges": [change] }),
        );
        if version % 500 == 0 {
            peer.request("test/text", &json!({ "textDocument": document }));
        }
    }
    let text = peer.request("test/text", &json!({ "textDocument": { "uri": uri } }));
    assert!(
        text["result"]
            .as_str()
            .is_some_and(|text| text.len() > 10_000)
    );
    meliora(&peer, &["frames", "dump", "-o", "dump.jsonl"]);
    let (code, story) = replay(&peer, &["dump.jsonl"], &["python3", &scripted()]);
    assert_eq!(code, Some(0), "{story:#}");
    assert!(story["same"].as_u64() >= Some(3), "{story:#}");
    let remark = story["remarks"][0].as_str().expect("a remark");
    assert!(
        remark.contains("1 text opened with what was in it"),
        "{remark}"
    );
}

/// A recording may be a stranger's.
#[test]
fn a_recording_changes_nothing_and_commands_nothing_unless_it_is_trusted() {
    let mut peer = with_secret(&Script::default());
    let mark = peer.root.with_file_name("mark");
    std::fs::write(&mark, "").expect("written");
    // A question that makes the server write a file where there is none.
    peer.request("textDocument/hover", &json!({ "fatal": mark }));
    let command = json!({ "command": "scripted.run" });
    peer.request("workspace/executeCommand", &command);
    meliora(&peer, &["frames", "dump", "-o", "dump.jsonl"]);
    let script = scripted();
    let again = |more: &[&str]| {
        let arguments = [&["dump.jsonl"], more].concat();
        let (code, story) = replay(&peer, &arguments, &["python3", &script]);
        (code, story["same"].clone(), story["remarks"].clone())
    };
    let remark = json!(["1 command left out: --trust says them too"]);
    assert_eq!(again(&[]), (Some(0), json!(2), remark));
    assert_eq!(again(&["--trust"]), (Some(0), json!(3), json!([])));
    std::fs::remove_file(&mark).expect("removed");
    assert_eq!(again(&[]).0, Some(1), "it cannot write");
    assert!(!mark.exists());
    assert_eq!(
        again(&["--trust"]).0,
        Some(1),
        "it ends when it has written"
    );
    assert!(mark.exists());
}

#[test]
fn what_a_terminal_would_obey_is_shown_as_it_was_written() {
    let peer = with_secret(&Script::default());
    let head = r#"{"recording":1,"of":"a\u001b[2J","server":"a","program":"p","arguments":["\u0007"],"directory":"/","started":0,"by":"m","dropped":0,"texts":true}"#;
    let frame = r#"{"of":"a\u001b[2J","at":1,"way":"to","bytes":2,"body":{"method":"\u001b]0;title\u0007"}}"#;
    std::fs::write(
        peer.root.join("hostile.jsonl"),
        format!("{head}\n{frame}\n"),
    )
    .expect("written");
    let output = meliora(&peer, &["frames", "show", "hostile.jsonl"]);
    let said = String::from_utf8(output.stdout).expect("text");
    for shown in [r"a\u{1b}[2J", r"p \u{7}", r"\u001b]0;title\u0007"] {
        assert!(said.contains(shown), "{shown}: {said}");
    }
}

#[test]
fn what_is_different_missing_or_broken_is_named() {
    let mut peer = with_secret(&Script::default());
    open(&mut peer, "a.txt", "wrong\n");
    peer.request("textDocument/hover", &json!({}));
    meliora(&peer, &["frames", "dump", "-o", "dump.jsonl"]);
    let script = scripted();
    let (code, story) = replay(&peer, &["dump.jsonl"], &["python3", &script]);
    assert_eq!((code, &story["same"]), (Some(0), &json!(2)), "{story:#}");
    let more = r#"{"hoverProvider":false}"#;
    let (code, story) = replay(
        &peer,
        &["dump.jsonl"],
        &["python3", &script, "--capabilities", more],
    );
    assert_eq!(
        (code, &story["same"], &story["different"]),
        (Some(1), &json!(1), &json!(1)),
        "{story:#}"
    );
    assert_eq!(
        story["differences"][0]["at"],
        "/result/capabilities/hoverProvider"
    );
    let (code, story) = replay(
        &peer,
        &["dump.jsonl", "--patience", "1"],
        &["python3", &script, "--hang"],
    );
    assert_eq!((code, &story["missing"]), (Some(1), &json!(1)), "{story:#}");
    let (code, story) = replay(&peer, &["dump.jsonl"], &["python3", &script, "--crash"]);
    assert_eq!((code, &story["missing"]), (Some(1), &json!(1)), "{story:#}");
    assert!(
        story["ended"].to_string().contains("no licence"),
        "{story:#}"
    );
    let text = std::fs::read_to_string(peer.root.join("dump.jsonl")).expect("readable");
    let broken = text.replacen("\"way\":\"from\"", "\"way\":\"sideways\"", 1);
    std::fs::write(peer.root.join("broken.jsonl"), broken).expect("written");
    meliora(&peer, &["frames", "dump", "--no-text", "-o", "bare.jsonl"]);
    for (file, expected) in [
        (
            "broken.jsonl",
            "broken.jsonl: line 3: it is no line of a recording",
        ),
        ("bare.jsonl", "it was written with --no-text"),
        ("nowhere.jsonl", "cannot read nowhere.jsonl"),
    ] {
        let output = meliora(&peer, &["frames", "replay", file, "--", "python3", &script]);
        let said = String::from_utf8(output.stderr).expect("text");
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(
            said.contains(expected) && said.lines().count() == 1,
            "{said}"
        );
    }
}
