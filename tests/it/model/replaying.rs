//! Recordings of exchanges, and the provider that answers from them.

use std::path::Path;

use meliora::config::Config;
use meliora::llm::gateway::Gateway;
use meliora::redact::Redactor;
use serde_json::{Value, json};

use super::calling::{finish, program};
use super::scripted::{Server, calls, refuses, says};
use super::tasks::{Ground, parser_only};
use super::{config, host};

/// The configuration that answers from a recording.
fn replays(file: &Path) -> Config {
    let mut config = parser_only("http://127.0.0.1:9/v1");
    "replay".clone_into(&mut config.llm.provider);
    file.display()
        .to_string()
        .clone_into(&mut config.llm.replay);
    // What is configured beside it is not asked.
    config.llm.fallback.enabled = true;
    config.llm.routes.edit = vec!["scripted/parrot".to_owned()];
    config
}

#[tokio::test]
async fn a_recorded_run_is_made_again_without_a_model() {
    let ground = Ground::new(&[("a.py", "x = 1\n")]);
    let edit = json!({ "path": "a.py", "search": "x = 1", "replace": "x = 2" });
    let script = vec![
        calls("edit_file", &edit),
        says("it is two, and the key is ghp_abcdefghijklmnopqrstuvwxyz0123456789"),
    ];
    let server = Server::start(script).await;
    let file = tempfile::tempdir().expect("a temporary folder");
    let file = file.path().join("exchanges.jsonl");
    let mut config = parser_only(&server.url);
    file.display()
        .to_string()
        .clone_into(&mut config.llm.record);
    let first = ground.run(config, "make x two").await;
    assert_eq!(first.after("a.py"), "x = 2\n");

    let text = std::fs::read_to_string(&file).expect("it was written");
    assert_eq!(text.lines().count(), 3, "{text}");
    assert!(!text.contains("ghp_"), "secrets are masked: {text}");
    let exchange: Value = serde_json::from_str(text.lines().nth(1).expect("one")).expect("JSON");
    assert_eq!(exchange["answer"]["calls"][0]["name"], "edit_file");

    let again = ground.run(replays(&file), "make x two").await;
    assert_eq!(again.after("a.py"), "x = 2\n");
    assert_eq!(server.requests().len(), 2, "nobody was asked");
    // Another conversation gets the answers in order, and is told when there are no more.
    let other = ground.run(replays(&file), "something else").await;
    assert_eq!(other.after("a.py"), "x = 2\n");
}

#[tokio::test]
async fn a_call_is_recorded_and_answered_from_the_recording() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(vec![says("hello"), refuses("400 Bad Request", "no", &[])]).await;
    let question = |text: &str| json!([{ "role": "user", "content": text }]).to_string();
    let run = async |arguments: &[&str], text: &str| {
        let mut command = program(home.path(), &server.url);
        command.args(["model", "call"]).args(arguments);
        finish(command, &question(text)).await
    };
    run(&["--record", "a.jsonl"], "one").await;
    run(&["--record", "a.jsonl"], "two").await;
    let replay = ["--provider", "replay", "--set", "llm.replay=a.jsonl"];
    // The same question gets its own answer, whatever the order.
    let output = run(&replay, "two").await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("400"),
        "{output:?}"
    );
    let output = run(&replay, "one").await;
    let answer: Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
    assert_eq!(
        (&answer["text"], &answer["provider"]),
        (&json!("hello"), &json!("replay"))
    );
    std::fs::write(home.path().join("a.rs"), "x\n").expect("written");
    for arguments in [&["model", "fill", "a.rs:1"][..], &["model", "list"]] {
        let mut command = program(home.path(), &server.url);
        command.args(arguments).args(replay);
        let output = finish(command, "").await;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(said.contains("a recording has conversations"), "{said}");
    }
    assert_eq!(server.requests().len(), 2);
    // What was not paid for is not in the books.
    let mut command = program(home.path(), &server.url);
    command.args(["cost", "--json"]);
    let spent: Value = serde_json::from_slice(&finish(command, "").await.stdout).expect("JSON");
    assert_eq!(spent["total"]["calls"], 2);
}

#[tokio::test]
async fn a_file_that_is_no_recording_is_refused_and_never_written_to() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name);
    let header = "{\"meliora_exchanges\":1}\n";
    let deep = format!("{header}{{\"messages\":{}", "[".repeat(200_000));
    let long = format!("{header}\"{}\"\n", "x".repeat(17 * 1024 * 1024));
    for (name, content, expected) in [
        ("empty", "", "does not begin with"),
        ("notes", "my notes\n", "does not begin with"),
        ("binary", "\0\0\0\0", "does not begin with"),
        (
            "half",
            &format!("{header}{{\"provider\":\"x\""),
            "line 2: EOF",
        ),
        ("deep", &deep, "line 2: "),
        ("long", &long, "line 2 is too long"),
        ("other", &format!("{header}{{}}\n"), "line 2: missing field"),
    ] {
        std::fs::write(at(name), content).expect("written");
        let error = open(&replays(&at(name)));
        assert!(error.contains(expected) && error.contains(name), "{error}");
    }
    #[cfg(unix)]
    {
        let made = std::process::Command::new("mkfifo")
            .arg(at("pipe"))
            .status();
        assert!(made.expect("it is everywhere").success());
        assert!(open(&replays(&at("pipe"))).contains("not a regular file"));
        let mut config = config("http://127.0.0.1:9/v1");
        config.llm.record = at("pipe").display().to_string();
        assert!(open(&config).contains("not a regular file"));
    }
    assert!(open(&replays(Path::new(""))).contains("set llm.replay"));
    assert!(open(&replays(&at("nowhere"))).contains("No such file"));
    let mut config = config("http://127.0.0.1:9/v1");
    config.llm.record = at("notes").display().to_string();
    assert!(open(&config).contains("is no recording"));
    let notes = std::fs::read_to_string(at("notes")).expect("text");
    assert_eq!(notes, "my notes\n");
}

/// Why there is no way to the model.
fn open(config: &Config) -> String {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let opened = Gateway::open(&host(folder.path(), &[]), config, &Redactor::default());
    opened.expect_err("it is refused").to_string()
}
