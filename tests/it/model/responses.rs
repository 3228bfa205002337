//! The responses wire of `OpenAI`: what is sent, what is understood, and what happens when it breaks.

use meliora::config::{ActionStyle, Config, Wire};
use meliora::llm::Error;
use meliora::llm::message::{Answer, Finish, Message, Thoughts};
use meliora::tools::registry::Toolbox;
use serde_json::{Value, json};

use super::anthropic::streams;
use super::scripted::{Reply, Server, refuses, stream};
use super::tasks::x_is_set;
use super::{answer, endpoint, question, speaks, way};

/// An answer with a thought, text and two calls, written by hand as the provider documents it.
const SAMPLE: &str = include_str!("../../../fixtures/wires/responses-tools.sse");

fn config(url: &str) -> Config {
    speaks(Wire::Responses, url, "gpt-5.5")
}

async fn asked(reply: Reply) -> Result<Answer, Error> {
    answer(config, reply).await
}

fn text(text: &str) -> Value {
    json!({ "type": "response.output_text.delta", "output_index": 0, "delta": text })
}

fn item(item: Value) -> Value {
    json!({ "type": "response.output_item.done", "output_index": 0, "item": item })
}

fn completed() -> Value {
    json!({ "type": "response.completed", "response": { "status": "completed", "error": null, "output": [],
        "usage": { "input_tokens": 9, "input_tokens_details": null, "output_tokens": 7 } } })
}

pub(super) fn says(said: &str) -> Reply {
    streams(&[text(said), completed()])
}

fn calls(name: &str, arguments: &Value) -> Reply {
    let call = json!({ "type": "function_call", "call_id": "c", "name": name, "arguments": arguments.to_string() });
    streams(&[item(call), completed()])
}

#[tokio::test]
async fn a_thought_goes_back_encrypted_with_what_it_led_to() {
    let sample = Reply {
        pieces: vec![SAMPLE.as_bytes().to_vec()],
        ..stream(&[])
    };
    let server = Server::start(vec![sample, says("done")]).await;
    let mut way = way(&config(&server.url), &[]);
    let (answer, _) = way.ask(&question()).await.expect("an answer");
    let usage = answer.usage;
    assert_eq!((usage.tokens_cached, usage.tokens_kept), (400, 60));
    assert_eq!(
        answer.calls[0].id, "call_uEnV3kP1",
        "not the id of the item"
    );

    // Only the first call was taken.
    let turn = |thoughts: Thoughts| {
        let mut request = question();
        request.messages.push(Message::Assistant {
            text: answer.text.clone(),
            calls: answer.calls[..1].to_vec(),
            thoughts,
        });
        request.messages.push(Message::Tool {
            call: answer.calls[0].id.clone(),
            name: "read_file".to_owned(),
            text: "one".to_owned(),
        });
        request
    };
    way.ask(&turn(answer.thoughts.clone()))
        .await
        .expect("an answer");
    let of_another = Thoughts {
        model: "another".to_owned(),
        ..answer.thoughts.clone()
    };
    way.ask(&turn(of_another)).await.expect("an answer");

    let requests = server.requests();
    assert!(requests[0].head.starts_with("POST /v1/responses "));
    let first = &requests[0].body;
    assert_eq!(
        (&first["store"], &first["stream"]),
        (&json!(false), &json!(true))
    );
    assert_eq!(first["include"], json!(["reasoning.encrypted_content"]));
    assert_eq!(
        first["tools"][0]["name"],
        Toolbox::default().specs()[0].name
    );

    // After the words of the system.
    let said = |number: usize| {
        let input = requests[number].body["input"].as_array().expect("items");
        input[1..].to_vec()
    };
    let input = said(1);
    let kinds: Vec<&str> = input
        .iter()
        .map(|item| item["type"].as_str().unwrap_or(""))
        .collect();
    assert_eq!(
        kinds,
        [
            "",
            "reasoning",
            "message",
            "function_call",
            "function_call_output"
        ]
    );
    assert_eq!(input[1]["encrypted_content"], "gAAAAABpIbQ0x7vJm3Zq");
    assert_eq!(input[1]["status"], Value::Null);
    assert_eq!(input[2]["phase"], "commentary");
    assert_eq!(input[3]["call_id"], input[4]["call_id"]);

    let input = said(2);
    assert_eq!(input.len(), 4, "no thought of somebody else: {input:?}");
    assert_eq!(
        input[1],
        json!({ "role": "assistant", "content": "Ich lese 😀 nach." })
    );
}

#[tokio::test]
async fn ends_and_refusals_are_understood() {
    let incomplete = |reason: &str| {
        json!({ "type": "response.incomplete", "response": { "status": "incomplete", "error": null,
            "incomplete_details": { "reason": reason }, "output": [] } })
    };
    let call = item(
        json!({ "type": "function_call", "call_id": "c", "name": "problems", "arguments": "{}" }),
    );
    for (reason, finish) in [
        ("max_output_tokens", Finish::Length),
        ("content_filter", Finish::Filtered),
    ] {
        let answer = asked(streams(&[text("so"), call.clone(), incomplete(reason)])).await;
        let answer = answer.expect("an answer");
        assert_eq!((answer.finish, answer.calls.len()), (finish, 0), "{reason}");
        assert!(!answer.usage.reported && answer.usage.tokens_out > 0);
    }
    let refusal =
        json!({ "type": "response.refusal.delta", "output_index": 0, "delta": "I will not." });
    let answer = asked(streams(&[refusal, completed()]))
        .await
        .expect("an answer");
    assert_eq!(
        (answer.finish, answer.text.as_str()),
        (Finish::Filtered, "I will not.")
    );

    // A server that streams no pieces, and one that does not stream at all.
    let message =
        json!({ "type": "message", "content": [{ "type": "output_text", "text": "whole" }] });
    let answer = asked(streams(&[item(message.clone()), completed()]))
        .await
        .expect("an answer");
    assert_eq!(answer.text, "whole");
    let whole = json!({ "object": "response", "status": "completed", "output": [message],
        "usage": { "input_tokens": 3, "output_tokens": 4 } });
    let one_piece = Reply {
        content_type: "application/json",
        pieces: vec![whole.to_string().into_bytes()],
        ..stream(&[])
    };
    let answer = asked(one_piece).await.expect("an answer");
    assert_eq!((answer.text.as_str(), answer.usage.total()), ("whole", 7));
}

#[tokio::test]
async fn a_stream_that_fails_says_why_and_busy_ones_are_asked_again() {
    let failed = |code: &str, message: &str| {
        json!({ "type": "response.failed", "response": { "status": "failed",
            "error": { "code": code, "message": message } } })
    };
    let busy = failed(
        "rate_limit_exceeded",
        "Rate limit reached. Please try again in 28ms.",
    );
    let overloaded = json!({ "type": "error", "code": "server_is_overloaded", "message": "later" });
    let server = Server::start(vec![
        streams(std::slice::from_ref(&busy)),
        streams(&[overloaded]),
        says("hello"),
    ])
    .await;
    let (answer, _) = way(&config(&server.url), &[])
        .ask(&question())
        .await
        .expect("an answer");
    assert_eq!(
        (answer.text.as_str(), server.requests().len()),
        ("hello", 3)
    );

    let error = asked(streams(&[text("so far"), busy]))
        .await
        .expect_err("it broke off");
    assert!(error.is_cut(), "{error}");
    assert_eq!(error.partial_text(), "so far");
    let long = failed("context_length_exceeded", "too long for this model");
    let error = asked(streams(&[long]))
        .await
        .expect_err("it failed")
        .to_string();
    assert!(error.contains("too long for this model"), "{error}");
    // An end that is none.
    let done = Reply {
        pieces: vec![format!("data: {}\n\ndata: [DONE]\n\n", text("so far")).into_bytes()],
        ..stream(&[])
    };
    let error = asked(done)
        .await
        .expect_err("nothing says that it is complete");
    assert!(error.is_cut(), "{error}");
    let error = asked(streams(&[json!({ "type": "" })]))
        .await
        .expect_err("it is no event");
    assert!(
        error.to_string().contains("not the answer of a model"),
        "{error}"
    );
}

#[tokio::test]
async fn actions_by_schema_and_refused_parts_work_on_this_wire() {
    let script = vec![
        refuses(
            "400 Bad Request",
            "Encrypted content is not supported with this model.",
            &[],
        ),
        says(r#"{"tool": "read_file", "arguments": {"path": "a.rs"}}"#),
        refuses("400 Bad Request", "Unknown parameter: 'text.format'", &[]),
        says(r#"{"tool": "finish", "arguments": {"summary": "all done"}}"#),
    ];
    let server = Server::start(script).await;
    let mut config = config(&server.url);
    config.llm.actions = ActionStyle::Schema;
    let mut way = way(&config, &[]);
    let (answer, _) = way.ask(&question()).await.expect("an answer");
    assert_eq!(
        (answer.finish, answer.calls[0].name.as_str()),
        (Finish::Tools, "read_file")
    );
    let (answer, _) = way.ask(&question()).await.expect("an answer");
    assert_eq!(answer.text, "all done");
    let bodies: Vec<Value> = server
        .requests()
        .into_iter()
        .map(|seen| seen.body)
        .collect();
    assert_eq!(bodies[0]["text"]["format"]["type"], "json_schema");
    assert!(bodies[0]["include"].is_array() && bodies[1]["include"].is_null());
    assert!(bodies[1]["tools"].is_null() && bodies[3]["text"].is_null());
}

#[tokio::test]
async fn anthropic_models_are_held_to_a_schema_too() {
    let action = super::anthropic::says(r#"{"tool": "read_file", "arguments": {"path": "a.rs"}}"#);
    let server = Server::start(vec![action]).await;
    let mut config = speaks(Wire::Anthropic, &server.url, "claude-sonnet-4-5");
    config.llm.actions = ActionStyle::Schema;
    let mut way = way(&config, &[]);
    let (answer, _) = way.ask(&question()).await.expect("an answer");
    assert_eq!(answer.calls[0].name, "read_file");
    let body = &server.requests()[0].body;
    assert_eq!(body["output_config"]["format"]["type"], "json_schema");
    assert_eq!(
        (&body["tools"], &body["tool_choice"]),
        (&Value::Null, &Value::Null)
    );
}

#[tokio::test]
async fn models_that_reason_are_asked_by_this_wire_where_they_live() {
    let url = |model: &str, wire: Option<Wire>, base: &str| {
        let mut config = Config::default();
        "openai".clone_into(&mut config.llm.provider);
        model.clone_into(&mut config.llm.model);
        let provider = config.llm.providers.entry("openai".to_owned()).or_default();
        provider.wire = wire;
        base.clone_into(&mut provider.base_url);
        endpoint(&config)
    };
    for model in ["gpt-5.5", "o1", "gpt-6.2-sol"] {
        assert_eq!(
            url(model, None, ""),
            "https://api.openai.com/v1/responses",
            "{model}"
        );
    }
    let chat = "https://api.openai.com/v1/chat/completions";
    assert_eq!(url("gpt-4o", None, ""), chat);
    assert_eq!(url("gpt-5.5", Some(Wire::Openai), ""), chat);
    let local = "http://127.0.0.1:1/v1";
    assert_eq!(
        url("gpt-5.5", None, local),
        "http://127.0.0.1:1/v1/chat/completions"
    );
}

#[tokio::test]
async fn a_task_is_carried_out_over_the_responses_wire() {
    x_is_set(config, calls, says("x is 2 now")).await;
}
