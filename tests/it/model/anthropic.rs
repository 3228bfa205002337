//! The messages wire of Anthropic: what is sent, what is understood, and what happens when it breaks.

use meliora::config::{Config, Wire};
use meliora::llm::Error;
use meliora::llm::gateway::Gateway;
use meliora::llm::message::{Answer, Finish, Message, Thoughts, ToolCall};
use meliora::permit::Action;
use meliora::redact::Redactor;
use serde_json::{Value, json};

use super::scripted::{Reply, Server, refuses, stream};
use super::tasks::x_is_set;
use super::{answer, host, provider, question, speaks, way};

const KEY: &str = "key-with-9-lives-and-more";

fn config(url: &str) -> Config {
    let mut config = speaks(Wire::Anthropic, url, "parrot");
    provider(&mut config).api_key = KEY.into();
    config
}

async fn asked(reply: Reply) -> Result<Answer, Error> {
    answer(config, reply).await
}

/// A streamed answer with these events, each with its name.
pub(super) fn streams(events: &[Value]) -> Reply {
    let events = events.iter().map(|event| {
        let name = event["type"].as_str().expect("an event has a type");
        format!("event: {name}\ndata: {event}\n\n")
    });
    Reply {
        pieces: vec![events.collect::<String>().into_bytes()],
        ..stream(&[])
    }
}

pub(super) fn started() -> Value {
    json!({ "type": "message_start", "message": { "usage": { "input_tokens": 9, "output_tokens": 1 } } })
}

pub(super) fn text(text: &str) -> Value {
    json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": text } })
}

fn stopped(reason: &str) -> [Value; 2] {
    [
        json!({ "type": "message_delta", "delta": { "stop_reason": reason }, "usage": { "output_tokens": 7 } }),
        json!({ "type": "message_stop" }),
    ]
}

pub(super) fn says(said: &str) -> Reply {
    let [delta, stop] = stopped("end_turn");
    streams(&[started(), text(said), delta, stop])
}

pub(super) fn calls(name: &str, arguments: &Value) -> Reply {
    let [delta, stop] = stopped("tool_use");
    let block = json!({ "type": "tool_use", "id": "toolu_1", "name": name, "input": {} });
    streams(&[
        started(),
        json!({ "type": "content_block_start", "index": 0, "content_block": block }),
        json!({ "type": "content_block_delta", "index": 0,
            "delta": { "type": "input_json_delta", "partial_json": arguments.to_string() } }),
        delta,
        stop,
    ])
}

#[tokio::test]
async fn an_anthropic_request_names_its_version_key_limit_and_marks_its_prefix() {
    let server = Server::start(vec![says("hello")]).await;
    let mut config = config(&server.url);
    config.llm.temperature = Some(1.5);
    let mut way = way(&config, &[]);
    let mut request = question();
    way.ask(&request).await.expect("an answer");
    let call = |id: &str| ToolCall {
        id: id.to_owned(),
        name: "read_file".to_owned(),
        arguments: "{\"path\":\"a\"}".to_owned(),
    };
    let result = |id: &str, text: &str| Message::Tool {
        call: id.to_owned(),
        name: "read_file".to_owned(),
        text: text.to_owned(),
    };
    request.messages.extend([
        Message::Assistant {
            text: " ".to_owned(),
            calls: vec![call("functions.read:0"), call("b")],
            thoughts: Thoughts::default(),
        },
        result("functions.read:0", "one"),
        result("b", "two"),
        Message::User {
            text: "go on".to_owned(),
        },
    ]);
    way.ask(&request).await.expect("an answer");
    let requests = server.requests();
    let head = requests[0].head.to_ascii_lowercase();
    assert!(head.starts_with("post /v1/messages "), "{head}");
    assert!(head.contains(&format!("x-api-key: {KEY}")), "{head}");
    assert!(head.contains("anthropic-version: 2023-06-01"), "{head}");
    assert!(!head.contains("authorization"), "{head}");

    let [first, second] = [&requests[0].body, &requests[1].body];
    assert_eq!(
        (&first["max_tokens"], &first["stream"]),
        (&json!(4096), &json!(true))
    );
    assert_eq!(first["temperature"], 1.0, "the wire has no more");
    assert_eq!(first["tools"][0]["input_schema"]["type"], "object");
    let marker = json!({ "type": "ephemeral" });
    assert_eq!(first["system"][0]["cache_control"], marker);
    assert_eq!(first["messages"][0]["content"][0]["cache_control"], marker);
    assert!(second.to_string().matches("cache_control").count() <= 4);

    let turns = second["messages"].as_array().expect("turns");
    let roles: Vec<&Value> = turns.iter().map(|turn| &turn["role"]).collect();
    assert_eq!(roles, ["user", "assistant", "user"]);
    let acted = turns[1]["content"].as_array().expect("blocks");
    assert_eq!(acted.len(), 2, "blank text is left out: {acted:?}");
    assert_eq!(acted[0]["input"], json!({ "path": "a" }));
    let answered = turns[2]["content"].as_array().expect("blocks");
    assert_eq!(answered[0]["tool_use_id"], acted[0]["id"]);
    assert_eq!(acted[0]["id"], "functions_read_0");
    assert_eq!((answered.len(), &answered[2]["text"]), (3, &json!("go on")));
    assert_eq!(answered[2]["cache_control"], marker);

    // But for the markers, a later request begins with the earlier one, so that the provider finds what it kept.
    let plain = |body: &Value| {
        let text = format!(
            "{}{}{}",
            body["tools"], body["system"], body["messages"][0]["content"][0]["text"]
        );
        text.replace(",\"cache_control\":{\"type\":\"ephemeral\"}", "")
    };
    assert_eq!(plain(first), plain(second));
}

#[tokio::test]
async fn reasons_to_stop_are_understood() {
    let block = json!({ "type": "tool_use", "id": "a", "name": "problems", "input": {} });
    let call = json!({ "type": "content_block_start", "index": 1, "content_block": block });
    for (reason, acts, expected) in [
        ("end_turn", false, Finish::Stop),
        ("stop_sequence", false, Finish::Stop),
        ("pause_turn", false, Finish::Stop),
        ("tool_use", true, Finish::Tools),
        ("max_tokens", true, Finish::Length),
        ("model_context_window_exceeded", true, Finish::Length),
        ("refusal", true, Finish::Filtered),
    ] {
        let [delta, stop] = stopped(reason);
        let mut events = vec![started(), text("so")];
        events.extend(acts.then(|| call.clone()));
        events.extend([delta, stop]);
        let answer = asked(streams(&events)).await.expect("an answer");
        assert_eq!(answer.finish, expected, "{reason}");
        let calls = usize::from(expected == Finish::Tools);
        assert_eq!(answer.calls.len(), calls, "{reason}");
    }
}

#[tokio::test]
async fn an_overloaded_provider_is_asked_again_while_nothing_came() {
    let error = json!({ "type": "error", "error": { "type": "overloaded_error", "message": "Overloaded" } });
    let script = vec![
        refuses("529 Overloaded", "Overloaded", &["retry-after-ms: 5"]),
        streams(&[started(), error.clone()]),
        says("hello"),
    ];
    let server = Server::start(script).await;
    let mut way = way(&config(&server.url), &[]);
    let (answer, seen) = way.ask(&question()).await.expect("it answers at last");
    assert_eq!((answer.text.as_str(), seen.as_str()), ("hello", "hello"));
    assert_eq!(server.requests().len(), 3);

    // What had come is kept, and the gateway does not ask behind the back of whoever saw it.
    let error = asked(streams(&[started(), text("so far"), error])).await;
    let error = error.expect_err("it broke off");
    assert!(error.is_cut(), "{error}");
    let Error::Cut { text, reason } = error else {
        panic!("{error}");
    };
    assert_eq!((text.as_str(), reason.as_str()), ("so far", "Overloaded"));
}

#[tokio::test]
async fn errors_that_stay_are_said_at_once() {
    let refused = json!({ "type": "error", "error": { "type": "invalid_request_error", "message": "no such thing" } });
    let error = asked(streams(&[started(), refused])).await;
    let error = error.expect_err("it is refused").to_string();
    assert!(error.contains("no such thing"), "{error}");

    let spent = Reply {
        pieces: vec![
            br#"{"type":"error","error":{"type":"rate_limit_error","error_code":"enforced_spend_limit_reached","message":"pay"}}"#
                .to_vec(),
        ],
        ..refuses("429 Too Many Requests", "", &[])
    };
    let server = Server::start(vec![spent]).await;
    let error = way(&config(&server.url), &[]).ask(&question()).await;
    let error = error.expect_err("the money is gone").to_string();
    assert!(error.contains("pay"), "{error}");
    assert_eq!(server.requests().len(), 1);

    let page = Reply {
        content_type: "text/html",
        ..stream(&[])
    };
    let error = asked(page).await.expect_err("a page is no answer");
    assert!(
        error.to_string().contains("https://api.anthropic.com"),
        "{error}"
    );
}

#[tokio::test]
async fn thoughts_go_back_untouched_and_only_to_the_model_that_had_them() {
    let [delta, stop] = stopped("tool_use");
    let call = json!({ "type": "tool_use", "id": "a", "name": "problems", "input": {} });
    let begin = |index: u64, block: Value| json!({ "type": "content_block_start", "index": index, "content_block": block });
    let goes_on =
        |delta: Value| json!({ "type": "content_block_delta", "index": 0, "delta": delta });
    let thoughtful = streams(&[
        started(),
        begin(
            0,
            json!({ "type": "thinking", "thinking": "", "signature": "" }),
        ),
        goes_on(json!({ "type": "thinking_delta", "thinking": "Let me " })),
        goes_on(json!({ "type": "thinking_delta", "thinking": "see." })),
        goes_on(json!({ "type": "signature_delta", "signature": "EqQB" })),
        begin(1, json!({ "type": "redacted_thinking", "data": "Emw" })),
        begin(2, call),
        delta,
        stop,
    ]);
    let server = Server::start(vec![thoughtful, says("fine")]).await;
    let mut config = config(&server.url);
    let (answer, seen) = way(&config, &[]).ask(&question()).await.expect("an answer");
    assert_eq!(seen, "", "thoughts are not text");
    let mut request = question();
    request.messages.push(Message::Assistant {
        text: answer.text,
        calls: answer.calls,
        thoughts: answer.thoughts,
    });
    request.messages.push(Message::Tool {
        call: "a".to_owned(),
        name: "problems".to_owned(),
        text: "none".to_owned(),
    });
    way(&config, &[]).ask(&request).await.expect("an answer");
    "another".clone_into(&mut config.llm.model);
    way(&config, &[]).ask(&request).await.expect("an answer");
    let requests = server.requests();
    let blocks = |number: usize| requests[number].body["messages"][1]["content"].clone();
    assert_eq!(
        blocks(1)[0],
        json!({ "type": "thinking", "thinking": "Let me see.", "signature": "EqQB" })
    );
    assert_eq!(
        blocks(1)[1],
        json!({ "type": "redacted_thinking", "data": "Emw" })
    );
    assert_eq!(blocks(2)[0]["type"], "tool_use");
}

#[tokio::test]
async fn a_message_in_one_piece_is_understood() {
    let whole = json!({
        "type": "message", "role": "assistant", "stop_reason": "tool_use",
        "content": [
            { "type": "text", "text": "Let me see." },
            { "type": "tool_use", "id": "a", "name": "read_file", "input": { "path": "a" } },
        ],
        "usage": { "input_tokens": 3, "output_tokens": 4 },
    });
    let answer = asked(Reply {
        content_type: "application/json",
        pieces: vec![whole.to_string().into_bytes()],
        ..stream(&[])
    });
    let answer = answer.await.expect("an answer");
    assert_eq!(answer.text, "Let me see.");
    let arguments = answer.calls[0].parsed().expect("JSON");
    assert_eq!(arguments, json!({ "path": "a" }));
    assert_eq!((answer.usage.tokens_in, answer.usage.tokens_out), (3, 4));
}

#[tokio::test]
async fn the_provider_of_the_specification_needs_only_its_key() {
    let text = include_str!("../../../fixtures/config/specification.toml");
    let config: Config = toml::from_str(text).expect("it loads");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let host = host(folder.path(), &[]);
    let mut gateway =
        Gateway::open(&host, &config, &Redactor::default()).expect("a key is needed later");
    let url = "https://api.anthropic.com/v1/messages".to_owned();
    assert_eq!(gateway.action(), Action::Connect { url });
    let policy = meliora::safety::Policy::new(&host, &config, folder.path());
    let permit = meliora::safety::permit(&policy, gateway.action()).expect("it is the endpoint");
    let error = gateway.ask(&permit, &question(), &mut |_| {}).await;
    let error = error.expect_err("the key is missing").to_string();
    assert!(error.contains("export ANTHROPIC_API_KEY"), "{error}");
}

#[tokio::test]
async fn a_task_is_carried_out_over_the_anthropic_wire() {
    x_is_set(config, calls, says("x is 2 now")).await;
}
