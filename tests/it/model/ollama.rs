//! Ollama's own wire: what is sent, what is understood, and what happens when it breaks.

use meliora::config::{Config, Wire};
use meliora::llm::Error;
use meliora::llm::message::{Answer, Finish, Message, Thoughts, ToolCall};
use serde_json::{Value, json};

use super::scripted::{Reply, Server, refuses, stream};
use super::tasks::x_is_set;
use super::{answer, endpoint, question, speaks, way};

fn config(url: &str) -> Config {
    speaks(Wire::Ollama, url, "parrot")
}

async fn asked(reply: Reply) -> Result<Answer, Error> {
    answer(config, reply).await
}

fn lines(lines: &[Value]) -> Reply {
    let lines = lines.iter().map(|line| format!("{line}\n"));
    Reply {
        content_type: "application/x-ndjson",
        pieces: vec![lines.collect::<String>().into_bytes()],
        ..stream(&[])
    }
}

fn text(text: &str) -> Value {
    json!({ "message": { "role": "assistant", "content": text }, "done": false })
}

fn done(reason: &str) -> Value {
    json!({ "message": { "role": "assistant", "content": "" }, "done": true, "done_reason": reason,
        "prompt_eval_count": 9, "eval_count": 7 })
}

pub(super) fn says(said: &str) -> Reply {
    lines(&[text(said), done("stop")])
}

fn calls(name: &str, arguments: &Value) -> Reply {
    let call = json!({ "function": { "name": name, "arguments": arguments } });
    let message = json!({ "role": "assistant", "content": "", "tool_calls": [call] });
    lines(&[json!({ "message": message, "done": false }), done("stop")])
}

#[tokio::test]
async fn an_ollama_request_has_room_for_the_whole_conversation() {
    let server = Server::start(vec![says("hello")]).await;
    let mut config = config(&server.url);
    config.llm.temperature = Some(0.2);
    config.llm.context_tokens_max = 20_000;
    config.llm.max_tokens = 1000;
    let mut way = way(&config, &[]);
    let mut request = question();
    way.ask(&request).await.expect("an answer");
    request.messages.extend([
        Message::Assistant {
            text: String::new(),
            calls: vec![ToolCall {
                id: "a".to_owned(),
                name: "read_file".to_owned(),
                arguments: "{\"path\":\"a\"}".to_owned(),
            }],
            thoughts: Thoughts::default(),
        },
        Message::Tool {
            call: "a".to_owned(),
            name: "read_file".to_owned(),
            text: "one".to_owned(),
        },
    ]);
    way.ask(&request).await.expect("an answer");
    let requests = server.requests();
    assert!(requests[0].head.starts_with("POST /api/chat "));
    let [first, second] = [&requests[0].body, &requests[1].body];
    assert_eq!(first["options"]["num_ctx"], 21_000);
    assert_eq!(
        first["options"], second["options"],
        "another window loads the model anew"
    );
    assert_eq!(first["options"]["num_predict"], 1000);
    assert_eq!(first["options"]["temperature"], 0.2);
    assert_eq!(
        (&first["truncate"], &first["shift"]),
        (&json!(false), &json!(false))
    );
    assert_eq!(first["tools"][0]["type"], "function");
    let call = &second["messages"][2]["tool_calls"][0]["function"];
    assert_eq!(
        call["arguments"],
        json!({ "path": "a" }),
        "an object, not a text"
    );
    let result = &second["messages"][3];
    assert_eq!(
        (&result["role"], &result["tool_name"]),
        (&json!("tool"), &json!("read_file"))
    );
}

#[tokio::test]
async fn an_ollama_model_without_tools_is_held_to_a_schema() {
    let action = r#"{"tool": "read_file", "arguments": {"path": "a.rs"}}"#;
    let script = vec![
        refuses(
            "400 Bad Request",
            "registry.ollama.ai/library/gemma:2b does not support tools",
            &[],
        ),
        says(action),
    ];
    let server = Server::start(script).await;
    let mut way = way(&config(&server.url), &[]);
    let (answer, _) = way.ask(&question()).await.expect("an answer");
    assert_eq!(
        (answer.finish, answer.calls[0].name.as_str()),
        (Finish::Tools, "read_file")
    );
    let body = server.requests().pop().expect("two requests").body;
    assert_eq!(body["tools"], Value::Null);
    assert!(body["format"]["anyOf"].is_array());
    let told = body["messages"][0]["content"].as_str();
    assert!(told.expect("a text").contains("exactly one JSON object"));
}

#[tokio::test]
async fn ends_errors_and_usage_of_ollama_are_understood() {
    for (reason, expected) in [("stop", Finish::Stop), ("length", Finish::Length)] {
        let answer = asked(lines(&[text("so"), done(reason)])).await;
        assert_eq!(answer.expect("an answer").finish, expected, "{reason}");
    }
    // A prompt that was in the cache is not counted by the server, so it is estimated.
    let cached = json!({ "done": true, "done_reason": "stop", "eval_count": 7 });
    let answer = asked(lines(&[text("so"), cached]))
        .await
        .expect("an answer");
    assert!(!answer.usage.reported && answer.usage.tokens_in > 100);
    assert_eq!(answer.usage.tokens_out, 7);

    let report = json!({ "error": "model runner has unexpectedly stopped" });
    for reply in [lines(&[text("so"), report.clone()]), lines(&[report])] {
        let error = asked(reply).await.expect_err("it says so").to_string();
        assert!(error.contains("unexpectedly stopped"), "{error}");
    }
    let page = lines(&[json!({ "status": "Ollama is running" })]);
    let error = asked(page).await.expect_err("it is no answer");
    assert!(
        error.to_string().contains("not the answer of a model"),
        "{error}"
    );
    let missing = refuses("404 Not Found", "model 'parrot' not found", &[]);
    let error = asked(missing).await.expect_err("it is not there");
    assert!(error.to_string().contains("ollama list"), "{error}");
}

#[tokio::test]
async fn ollama_needs_no_address_and_takes_the_one_of_its_other_wire() {
    let mut config = Config::default();
    "ollama".clone_into(&mut config.llm.provider);
    "qwen3".clone_into(&mut config.llm.model);
    assert_eq!(endpoint(&config), "http://127.0.0.1:11434/api/chat");
    let provider = config.llm.providers.entry("ollama".to_owned()).or_default();
    "http://[::1]:1/v1/".clone_into(&mut provider.base_url);
    assert_eq!(endpoint(&config), "http://[::1]:1/api/chat");
    let provider = config.llm.providers.entry("ollama".to_owned()).or_default();
    provider.wire = Some(Wire::Openai);
    assert_eq!(endpoint(&config), "http://[::1]:1/v1/chat/completions");
}

#[tokio::test]
async fn a_task_is_carried_out_over_the_ollama_wire() {
    x_is_set(config, calls, says("x is 2 now")).await;
}
