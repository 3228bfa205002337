//! `meliora model`: raw calls, tests and lists on the command line, against the scripted server.

use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::scripted::{End, Reply, Server, calls, events, refuses, says, stream};

/// The program in a home of its own, with the provider `scripted` at `url`.
pub(super) fn program(home: &std::path::Path, url: &str) -> Command {
    let folder = home.join(".config/agent");
    std::fs::create_dir_all(&folder).expect("created");
    let settings = folder.join("config.toml");
    if !settings.exists() {
        let text = format!(
            "[llm]\nprovider = \"scripted\"\nmodel = \"parrot\"\nidle_timeout = 10\n[llm.providers.scripted]\nbase_url = \"{url}\"\n"
        );
        std::fs::write(&settings, text).expect("written");
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_meliora"));
    command
        .current_dir(home)
        .env_clear()
        .env("HOME", home)
        // A machine that runs these tests may run an Ollama as well.
        .env("OLLAMA_HOST", "127.0.0.1:9")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// Runs the program to its end with this input.
pub(super) async fn finish(mut command: Command, input: &str) -> Output {
    let mut child = command.spawn().expect("our program starts");
    let mut stdin = child.stdin.take().expect("it is a pipe");
    // A program that refuses its arguments does not read.
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    child.wait_with_output().await.expect("it ends")
}

const HELLO: &str = r#"[{"role": "user", "content": "hello"}]"#;

async fn called(reply: Reply, arguments: &[&str], input: &str) -> (Output, Server) {
    let home = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(vec![reply]).await;
    let mut command = program(home.path(), &server.url);
    command.args(["model", "call"]).args(arguments);
    (finish(command, input).await, server)
}

fn document(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("one JSON document: {output:?}"))
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn a_raw_call_gives_the_answer_with_calls_finish_and_usage() {
    let input = json!({
        "messages": [{ "role": "user", "content": "look" }],
        "tools": [{ "type": "function", "function": { "name": "look", "parameters": { "type": "object" } } }],
        "max_tokens": 77,
    });
    let reply = calls("look", &json!({ "path": "größe" }));
    let (output, server) = called(reply, &[], &input.to_string()).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let answer = document(&output);
    assert_eq!(answer["calls"][0]["name"], "look");
    assert_eq!(answer["calls"][0]["arguments"]["path"], "größe");
    assert_eq!(
        (&answer["finish"], &answer["model"], &answer["provider"]),
        (&json!("tools"), &json!("parrot"), &json!("scripted"))
    );
    assert_eq!(answer["usage"]["tokens_in"], 30);
    assert_eq!(answer["usage"]["reported"], true);
    let body = &server.requests()[0].body;
    assert_eq!(body["max_tokens"], 77);
    assert_eq!(
        body["messages"].as_array().map(Vec::len),
        Some(1),
        "nothing is added"
    );
    assert_eq!(body["tools"][0]["function"]["name"], "look");
}

#[tokio::test]
async fn a_streamed_call_prints_only_text() {
    let (output, _server) = called(says("hello there"), &["--stream"], HELLO).await;
    assert_eq!(String::from_utf8_lossy(&output.stdout), "hello there\n");
}

#[tokio::test]
async fn a_cut_answer_is_an_error_that_keeps_its_text() {
    let whole = events(&[json!({ "choices": [{ "index": 0, "delta": { "content": "so far" } }] })]);
    let half = whole.split("data: [DONE]").next().expect("there is one");
    let reply = Reply {
        pieces: vec![half.as_bytes().to_vec()],
        end: End::Reset,
        pause: Duration::from_millis(20),
        ..stream(&[])
    };
    let (output, server) = called(reply, &[], HELLO).await;
    assert_eq!(output.status.code(), Some(1));
    let answer = document(&output);
    assert_eq!(
        (&answer["cut"], &answer["text"]),
        (&json!(true), &json!("so far"))
    );
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn what_cannot_be_called_is_said_with_what_to_do() {
    let (output, server) = called(says("x"), &[], r#"[{"role": "bot"}]"#).await;
    assert_eq!(output.status.code(), Some(3));
    assert!(
        said(&output).contains("it is system, user, assistant or tool"),
        "{output:?}"
    );
    let (output, _) = called(says("x"), &["nowhere.json"], "").await;
    assert!(
        said(&output).contains("cannot read nowhere.json"),
        "{output:?}"
    );
    assert!(server.requests().is_empty());

    let home = tempfile::tempdir().expect("a temporary folder");
    let mut command = program(home.path(), "http://127.0.0.1:9/v1");
    std::fs::remove_file(home.path().join(".config/agent/config.toml")).expect("removed");
    command.args(["model", "call"]);
    let output = finish(command, HELLO).await;
    assert_eq!(output.status.code(), Some(3));
    assert!(said(&output).contains("no model is set up"), "{output:?}");
}

#[cfg(unix)]
#[tokio::test]
async fn an_interrupt_closes_the_socket() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let first = events(&[json!({ "choices": [{ "index": 0, "delta": { "content": "so far" } }] })]);
    let first = first.split("data: [DONE]").next().expect("there is one");
    let reply = Reply {
        pieces: vec![first.as_bytes().to_vec()],
        end: End::Hang,
        ..stream(&[])
    };
    let server = Server::start(vec![reply]).await;
    let mut command = program(home.path(), &server.url);
    let mut child = command
        .args(["model", "call"])
        .spawn()
        .expect("our program starts");
    let mut stdin = child.stdin.take().expect("it is a pipe");
    stdin.write_all(HELLO.as_bytes()).await.expect("it reads");
    drop(stdin);
    server.wait_for_requests(1).await;
    let id = rustix::process::Pid::from_raw(
        i32::try_from(child.id().expect("it runs")).expect("it is small"),
    );
    rustix::process::kill_process(id.expect("it is not 0"), rustix::process::Signal::INT)
        .expect("it runs");
    server.wait_for_close().await;
    let output = child.wait_with_output().await.expect("it ends");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(document(&output)["error"], "cancelled");
}

#[tokio::test]
async fn a_test_says_that_the_model_works_or_what_is_wrong() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let models = Reply {
        content_type: "application/json",
        pieces: vec![br#"{"data":[{"id":"raven"},{"id":"parrot"}]}"#.to_vec()],
        ..stream(&[])
    };
    let unknown = refuses("404 Not Found", "no such model", &[]);
    let server = Server::start(vec![says("hello"), unknown.clone(), models.clone(), models]).await;
    let run = async |arguments: &[&str]| {
        let mut command = program(home.path(), &server.url);
        command.args(arguments).arg("--json");
        finish(command, "").await
    };
    let output = run(&["model", "test"]).await;
    let finding = document(&output);
    assert_eq!(
        (output.status.code(), &finding["works"]),
        (Some(0), &json!(true))
    );
    assert_eq!(finding["text"], "hello");
    assert_eq!(finding["usage"]["tokens_in"], 20);

    let output = run(&["model", "test", "--model", "crow"]).await;
    let finding = document(&output);
    assert_eq!(
        (output.status.code(), &finding["works"]),
        (Some(1), &json!(false))
    );
    let error = finding["error"].as_str().expect("it says why");
    assert!(error.contains("check llm.model"), "{error}");
    assert_eq!(finding["offered"], json!(["raven", "parrot"]));

    // The model of a route is the one that is asked.
    let settings = home.path().join(".config/agent/config.toml");
    let text = std::fs::read_to_string(&settings).expect("it is there");
    let text =
        text.replace("model = \"parrot\"", "") + "[llm.routes]\nedit = ['scripted/parrot']\n";
    std::fs::write(&settings, text.replacen("provider = \"scripted\"", "", 1)).expect("written");
    let output = run(&["model", "list"]).await;
    let listed = document(&output);
    assert_eq!(listed["configured"]["name"], "scripted");
    assert_eq!(listed["configured"]["models"], json!(["raven", "parrot"]));
    assert_eq!(listed["configured"]["model"], "parrot");
    let paths: Vec<String> = server
        .requests()
        .iter()
        .map(|seen| first_line(&seen.head))
        .collect();
    assert_eq!(
        paths[2..],
        ["GET /v1/models HTTP/1.1", "GET /v1/models HTTP/1.1"]
    );
}

fn first_line(head: &str) -> String {
    head.lines().next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_model_on_this_machine_is_offered_and_not_used() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let tags = Reply {
        content_type: "application/json",
        pieces: vec![br#"{"models":[{"name":"qwen2.5-coder:7b"}]}"#.to_vec()],
        ..stream(&[])
    };
    let server = Server::start(vec![tags]).await;
    let address = server
        .url
        .trim_start_matches("http://")
        .trim_end_matches("/v1");
    let file = home.path().join("messages.json");
    std::fs::write(&file, HELLO).expect("written");
    for (arguments, code) in [
        (vec!["model", "list"], 0),
        (vec!["model", "call", "messages.json"], 3),
        (vec!["doctor", "--json"], 0),
    ] {
        let mut command = program(home.path(), "");
        std::fs::remove_file(home.path().join(".config/agent/config.toml")).expect("removed");
        command.args(&arguments).env("OLLAMA_HOST", address);
        let output = finish(command, "").await;
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        let everything = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            said(&output)
        );
        let advice = "meliora config set llm.model qwen2.5-coder:7b";
        assert!(everything.contains(advice), "{arguments:?}: {everything}");
    }
    let asked = server.requests();
    assert!(
        asked
            .iter()
            .all(|seen| seen.head.starts_with("GET /api/tags "))
    );
}
