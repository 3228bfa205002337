//! Answers that have a form: held to it by the server or only told, checked in either case.

use meliora::config::{Config, Wire};
use meliora::llm::Error;
use meliora::llm::message::{Answer, Finish, Message, Request};
use serde_json::{Value, json};

use super::calling::{finish, program};
use super::scripted::{Reply, Server, calls, refuses, says};
use super::tasks::{Ground, parser_only};
use super::{anthropic, look, ollama, responses, way};

fn schema() -> Value {
    json!({
        "type": "object",
        "properties": { "name": { "type": "string" }, "legs": { "type": "integer", "minimum": 0 } },
        "required": ["name", "legs"],
        "additionalProperties": false,
    })
}

const SPIDER: &str = r#"{"name":"spider","legs":8}"#;

fn question() -> Request {
    Request {
        messages: vec![Message::User {
            text: "which animal?".to_owned(),
        }],
        ..Request::default()
    }
}

fn config(url: &str, wire: Wire, model: &str) -> Config {
    let mut config = super::config(url);
    model.clone_into(&mut config.llm.model);
    let provider = config.llm.providers.get_mut("scripted");
    provider.expect("it is configured").wire = Some(wire);
    config
}

async fn ask(config: &Config, request: &Request) -> Result<(Answer, Option<Value>), Error> {
    let mut way = way(config, &[]);
    way.gateway.output = Some(schema());
    let (answer, _) = way.ask(request).await?;
    let value = way.gateway.value(&answer);
    Ok((answer, value))
}

fn told(body: &Value) -> String {
    let told = format!("{}{}", body["messages"], body["system"]);
    told.replace("\\\"", "\"")
}

#[tokio::test]
async fn each_wire_is_asked_for_a_form_in_its_own_words_and_who_has_none_is_told() {
    let held = |at: &'static str| Some(at);
    for (wire, model, reply, place) in [
        (
            Wire::Openai,
            "gpt-4o",
            says(SPIDER),
            held("/response_format/json_schema/schema"),
        ),
        (
            Wire::Responses,
            "gpt-5",
            responses::says(SPIDER),
            held("/text/format/schema"),
        ),
        (
            Wire::Anthropic,
            "claude-sonnet-4-5",
            anthropic::says(SPIDER),
            held("/output_config/format/schema"),
        ),
        (Wire::Ollama, "qwen3", ollama::says(SPIDER), held("/format")),
        (Wire::Openai, "gpt-4", says(SPIDER), None),
        (
            Wire::Anthropic,
            "claude-3-opus-20240229",
            anthropic::says(SPIDER),
            None,
        ),
    ] {
        let server = Server::start(vec![reply]).await;
        let asked = ask(&config(&server.url, wire, model), &question()).await;
        let (_, value) = asked.expect(model);
        assert_eq!(
            value,
            Some(json!({ "name": "spider", "legs": 8 })),
            "{model}"
        );
        let body = &server.requests()[0].body;
        let words = told(body);
        match place {
            Some(place) => {
                assert_eq!(body.pointer(place), Some(&schema()), "{model}: {body}");
                assert!(!words.contains("schema"), "{model}: {body}");
            }
            None => {
                assert!(words.contains("one JSON value by this schema"), "{body}");
                let text = body.to_string();
                assert!(!text.contains("json_schema"), "{model}: {body}");
            }
        }
    }
}

#[tokio::test]
async fn a_wrong_answer_is_asked_for_once_more_and_then_refused() {
    let fenced = format!("Here:\n```json\n{SPIDER}\n```");
    let wrong = || says(r#"{"name":"spider"}"#);
    let server = Server::start(vec![wrong(), says(&fenced)]).await;
    let config_of = |server: &Server| config(&server.url, Wire::Openai, "parrot");
    let asked = ask(&config_of(&server), &question()).await;
    let (answer, value) = asked.expect("the second time");
    assert_eq!(value.expect("a value")["legs"], 8);
    // What stands around it is not part of it, and both calls are paid for.
    assert!(answer.text.starts_with('{'), "{}", answer.text);
    assert_eq!(answer.usage.total(), 50);
    let again = &server.requests()[1].body["messages"];
    assert_eq!(again[1]["content"], r#"{"name":"spider"}"#);
    let said = again[2]["content"].as_str().expect("a text");
    assert!(said.contains("/legs is missing"), "{said}");

    let server = Server::start(vec![wrong(), says("I would rather not")]).await;
    let error = ask(&config_of(&server), &question()).await;
    let error = error.expect_err("there is no third time").to_string();
    assert!(
        error.contains("not JSON") && error.contains("rather not"),
        "{error}"
    );
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn a_server_that_refuses_a_schema_is_told_in_words() {
    let refusal = refuses(
        "400 Bad Request",
        "response_format json_schema is not supported",
        &[],
    );
    let server = Server::start(vec![refusal, says(SPIDER)]).await;
    let asked = ask(&config(&server.url, Wire::Openai, "parrot"), &question()).await;
    assert!(asked.expect("an answer").1.is_some());
    let requests = server.requests();
    assert!(requests[0].body.get("response_format").is_some());
    assert!(requests[1].body.get("response_format").is_none());
    assert!(told(&requests[1].body).contains("by this schema"));
}

#[tokio::test]
async fn calls_are_no_last_words_and_tools_are_not_taken_away() {
    let server = Server::start(vec![calls("look", &json!({})), says(SPIDER)]).await;
    let request = Request {
        tools: vec![look()],
        ..question()
    };
    let config = config(&server.url, Wire::Openai, "gpt-4o");
    let (answer, value) = ask(&config, &request).await.expect("a call");
    assert_eq!((answer.finish, value), (Finish::Tools, None));
    let body = &server.requests()[0].body;
    assert!(body.get("tools").is_some() && body.get("response_format").is_none());
    assert!(told(body).contains("by this schema"));
    let (answer, value) = ask(&config, &request).await.expect("last words");
    assert!(answer.finish == Finish::Stop && value.is_some());
}

#[tokio::test]
async fn a_raw_call_gives_the_value_beside_the_text() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let run = async |reply: Vec<Reply>| {
        let server = Server::start(reply).await;
        let _ = std::fs::remove_file(home.path().join(".config/agent/config.toml"));
        let mut command = program(home.path(), &server.url);
        command.args(["model", "call"]);
        let messages = json!([{ "role": "user", "content": "which animal?" }]);
        let question = json!({ "messages": messages, "schema": schema() });
        let output = finish(command, &question.to_string()).await;
        let shown: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        (output.status.success(), shown)
    };
    let (is_done, shown) = run(vec![says(SPIDER)]).await;
    assert!(is_done, "{shown}");
    assert_eq!(shown["value"], json!({ "name": "spider", "legs": 8 }));
    let (is_done, shown) = run(vec![says("no"), says("no")]).await;
    let error = shown["error"].as_str().expect("an error");
    assert!(!is_done && error.contains("not JSON"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_prompt_wants_at_the_end_is_told_with_every_request() {
    let server = Server::start(vec![says("done")]).await;
    let ground = Ground::new(&[("a.py", "x = 1\n")]);
    ground.run(parser_only(&server.url), "say what x is").await;
    let system = server.requests()[0].body["messages"][0]["content"].clone();
    let system = system.as_str().expect("a text").to_owned();
    assert!(
        system.contains("Your last words: After the tool calls: one short sentence"),
        "{system}"
    );
}
