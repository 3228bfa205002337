//! Gaps that a model fills: each endpoint in the way that it understands, which is found out once.

use meliora::config::Wire;
use meliora::llm::Error;
use meliora::llm::middle::{Filling, Gap};
use meliora::safety;
use serde_json::{Value, json};

use super::calling::{finish, program};
use super::scripted::{Reply, Server, refuses, stream};
use super::{Way, speaks, way};

const GAP: Gap<'static> = Gap {
    before: "fn add(a: i32, b: i32) -> i32 {\n    a",
    after: "\n}\n",
};

fn answers(answer: &Value) -> Reply {
    Reply {
        content_type: "application/json",
        pieces: vec![answer.to_string().into_bytes()],
        ..stream(&[])
    }
}

async fn fill(way: &mut Way) -> Result<Filling, Error> {
    let permit = safety::permit(&way.policy, way.gateway.action()).expect("it is the endpoint");
    way.gateway.complete_middle(&permit, GAP).await
}

fn asked(server: &Server) -> Vec<String> {
    let requests = server.requests().into_iter();
    let lines = requests.map(|seen| seen.head.split(' ').nth(1).unwrap_or_default().to_owned());
    lines.collect()
}

#[tokio::test]
async fn a_server_that_fills_gaps_itself_is_asked_so_and_remembered() {
    let content = json!({ "content": " + b", "tokens_evaluated": 20, "tokens_predicted": 3 });
    let server = Server::start(vec![answers(&content)]).await;
    let mut local = way(&speaks(Wire::Openai, &server.url, "any-coder.gguf"), &[]);
    let filling = fill(&mut local).await.expect("it is filled");
    assert_eq!((filling.text.as_str(), filling.usage.total()), (" + b", 23));
    let body = &server.requests()[0].body;
    assert_eq!(
        (&body["input_prefix"], &body["input_suffix"]),
        (&json!(GAP.before), &json!(GAP.after))
    );
    assert_eq!(asked(&server), ["/infill"]);

    let response = json!({ "response": " + b<|endoftext|>", "done": true });
    let server = Server::start(vec![answers(&response)]).await;
    let mut ollama = way(
        &speaks(Wire::Ollama, &server.url, "qwen2.5-coder:1.5b"),
        &[],
    );
    let filling = fill(&mut ollama).await.expect("it is filled");
    assert_eq!(filling.text, " + b", "marks that leak are cut off");
    assert!(!filling.usage.reported && filling.usage.tokens_in > 5);
    let body = &server.requests()[0].body;
    assert_eq!(
        (&body["prompt"], &body["suffix"]),
        (&json!(GAP.before), &json!(GAP.after))
    );
    assert_eq!(asked(&server), ["/api/generate"]);
}

#[tokio::test]
async fn a_server_that_does_not_is_given_the_marks_of_the_family() {
    let text = json!({ "choices": [{ "text": " + b" }], "usage": { "prompt_tokens": 9, "completion_tokens": 3 } });
    let script = vec![
        refuses(
            "501 Not Implemented",
            "Infill is not supported by this model",
            &[],
        ),
        answers(&text),
    ];
    let server = Server::start(script).await;
    let mut way_there = way(&speaks(Wire::Openai, &server.url, "codellama-7b"), &[]);
    for _ in 0..2 {
        assert_eq!(
            fill(&mut way_there).await.expect("it is filled").text,
            " + b"
        );
    }
    assert_eq!(
        asked(&server),
        ["/infill", "/v1/completions", "/v1/completions"],
        "probed once"
    );
    let body = &server.requests()[1].body;
    assert_eq!(
        body["prompt"],
        format!("<PRE> {} <SUF>{} <MID>", GAP.before, GAP.after)
    );
    assert_eq!(body["stop"], json!(["<EOT>"]));

    let raw = json!({ "response": " + b", "prompt_eval_count": 9, "eval_count": 2 });
    let script = vec![
        refuses("400 Bad Request", "starcoder2 does not support insert", &[]),
        answers(&raw),
    ];
    let server = Server::start(script).await;
    let mut ollama = way(&speaks(Wire::Ollama, &server.url, "starcoder2:3b"), &[]);
    assert_eq!(fill(&mut ollama).await.expect("it is filled").text, " + b");
    let body = &server.requests()[1].body;
    assert_eq!(
        (&body["raw"], &body["suffix"]),
        (&json!(true), &Value::Null)
    );
    assert!(
        body["prompt"]
            .as_str()
            .is_some_and(|prompt| prompt.starts_with("<fim_prefix>"))
    );
}

#[tokio::test]
async fn a_model_that_only_talks_is_never_taken_for_one_that_fills() {
    let server = Server::start(vec![refuses("404 Not Found", "no such path", &[])]).await;
    let error = fill(&mut way(
        &speaks(Wire::Openai, &server.url, "llama3.1"),
        &[],
    ))
    .await;
    assert!(matches!(error, Err(Error::NoMiddle(_))), "{error:?}");
    assert_eq!(
        asked(&server),
        ["/infill"],
        "no chat, and no marks that it never saw"
    );

    let error = fill(&mut way(
        &speaks(Wire::Anthropic, &server.url, "claude-3-opus"),
        &[],
    ))
    .await;
    let error = error.expect_err("it fills no gaps").to_string();
    assert!(error.contains("qwen2.5-coder"), "{error}");
    assert_eq!(server.requests().len(), 1);

    let prose =
        json!({ "response": "```rust\na + b\n```", "prompt_eval_count": 9, "eval_count": 7 });
    let server = Server::start(vec![answers(&prose)]).await;
    let error = fill(&mut way(
        &speaks(Wire::Ollama, &server.url, "qwen2.5-coder"),
        &[],
    ))
    .await;
    assert!(matches!(error, Err(Error::NoMiddle(_))), "{error:?}");
}

#[tokio::test]
async fn code_that_looks_like_a_mark_or_a_fence_is_filled_in_whole() {
    let code = "/// ```\n/// <PRE>[PREFIX]</s>\n/// ```";
    let reply = answers(&json!({ "content": code }));
    let server = Server::start(vec![reply]).await;
    let mut way = way(&speaks(Wire::Openai, &server.url, "qwen2.5-coder"), &[]);
    assert_eq!(fill(&mut way).await.expect("it is filled").text, code);
}

#[tokio::test]
async fn secrets_stay_and_refusals_are_said() {
    let server = Server::start(vec![refuses("401 Unauthorized", "who are you?", &[])]).await;
    let mut way = way(
        &speaks(Wire::Openai, &server.url, "m"),
        &[("SOME_TOKEN", "swordfish-12345")],
    );
    let permit = safety::permit(&way.policy, way.gateway.action()).expect("it is the endpoint");
    let gap = Gap {
        before: "let token = \"swordfish-12345\";\nlet x =",
        after: "",
    };
    let error = way.gateway.complete_middle(&permit, gap).await;
    let error = error.expect_err("it is refused").to_string();
    assert!(error.contains("401"), "{error}");
    let sent = server.transcript();
    assert!(
        sent.contains("let token") && !sent.contains("swordfish"),
        "{sent}"
    );
}

#[tokio::test]
async fn a_secret_is_masked_also_where_the_text_is_cut() {
    let content = json!({ "content": "" });
    let server = Server::start(vec![answers(&content)]).await;
    let environment = [("SOME_TOKEN", "swordfish-12345")];
    let mut way = way(&speaks(Wire::Openai, &server.url, "m"), &environment);
    let permit = safety::permit(&way.policy, way.gateway.action()).expect("it is the endpoint");
    let body = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7\n".repeat(130);
    let key = format!("-----BEGIN PRIVATE KEY-----\n{body}-----END PRIVATE KEY-----\n");
    let line = "x = 1\n";
    for (before, after) in [
        // The head of the key is too far away to be sent, and so is the end of the other one.
        (format!("{key}{line}"), format!("{line}{key}")),
        // The limits lie in a secret.
        (
            format!("swordfish-12345{}", "y".repeat(6 * 1024 - 5)),
            format!("{}swordfish-12345", "z".repeat(2 * 1024 - 9)),
        ),
        // The cursor stands in one, or between one and more.
        (format!("{line}swordfish"), format!("-12345\n{line}")),
        (
            format!("{line}sk-abcdefghijklmnopqrstuvwx"),
            format!("-ish\n{line}"),
        ),
    ] {
        let gap = Gap {
            before: &before,
            after: &after,
        };
        let filled = way.gateway.complete_middle(&permit, gap).await;
        filled.expect("it answers");
    }
    let sent = server.transcript();
    for part in ["MIIE", "sword", "fish", "2345", "abcdefgh"] {
        assert!(!sent.contains(part), "{part}: {sent}");
    }
    assert_eq!(sent.matches("x = 1").count(), 6, "the rest is sent: {sent}");
}

#[tokio::test]
async fn the_command_line_prints_what_belongs_into_a_file() {
    let home = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(home.path().join("a.rs"), "fn main() {\n    let x = ;\n}\n").expect("written");
    let content = json!({ "content": "1 + 1", "tokens_evaluated": 20, "tokens_predicted": 3 });
    let server = Server::start(vec![answers(&content)]).await;
    let mut command = program(home.path(), &server.url);
    command.args(["model", "fill", "a.rs:2:13"]);
    let output = finish(command, "").await;
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "1 + 1\n",
        "{output:?}"
    );
    let body = &server.requests()[0].body;
    assert_eq!(body["input_prefix"], "fn main() {\n    let x = ");
    assert_eq!(body["input_suffix"], ";\n}\n");

    // A model that fills no gaps is followed by the next one of the route.
    let script = vec![
        refuses("404 Not Found", "no such path", &[]),
        answers(&content),
    ];
    let several = Server::start(script).await;
    let place = tempfile::tempdir().expect("a temporary folder");
    let mut command = program(place.path(), &several.url);
    let settings = place.path().join(".config/agent/config.toml");
    let text = std::fs::read_to_string(&settings).expect("it is there");
    let routes = "[llm.routes]\ncompletion = ['scripted/llama3.1', 'scripted/any-coder']\n";
    std::fs::write(&settings, text + routes).expect("written");
    command
        .args(["model", "fill"])
        .arg(home.path().join("a.rs:2:13"));
    let output = finish(command, "").await;
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "1 + 1\n",
        "{output:?}"
    );
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("asking any-coder of scripted"), "{told}");

    let mut command = program(home.path(), &server.url);
    command.args(["model", "fill", "a.rs:9"]);
    let output = finish(command, "").await;
    assert!(!output.status.success());
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("has no line 9"),
        "{output:?}"
    );
}
