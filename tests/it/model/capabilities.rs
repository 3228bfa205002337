//! What is sent to the models that we know: under the names that each takes, within its limits, nothing it refuses.

use meliora::config::{Config, Wire};
use meliora::llm::message::{Message, Request};
use serde_json::{Value, json};

use super::scripted::{Reply, Server, says};
use super::{anthropic, responses, speaks, way};

/// What the body for a model has: names with their values, and names that may not be in it.
struct Expected {
    model: &'static str,
    wire: Wire,
    has: Value,
    lacks: &'static [&'static str],
}

fn expectations() -> Vec<Expected> {
    let sampled = json!({ "max_tokens": 5000, "temperature": 0.2 });
    vec![
        Expected {
            model: "gpt-4",
            wire: Wire::Openai,
            has: json!({ "max_tokens": 4096, "temperature": 0.2, "role": "system" }),
            lacks: &["max_completion_tokens", "max_output_tokens"],
        },
        Expected {
            model: "gpt-4o",
            wire: Wire::Openai,
            has: json!({ "max_tokens": 5000, "temperature": 0.2, "role": "system" }),
            lacks: &["max_completion_tokens", "max_output_tokens"],
        },
        Expected {
            model: "o1",
            wire: Wire::Openai,
            has: json!({ "max_completion_tokens": 5000, "role": "developer" }),
            lacks: &["max_tokens", "temperature", "top_p"],
        },
        Expected {
            model: "o1-mini",
            wire: Wire::Openai,
            has: json!({ "max_completion_tokens": 5000, "role": "user" }),
            lacks: &["max_tokens", "temperature", "tools", "response_format"],
        },
        Expected {
            model: "gpt-5.5",
            wire: Wire::Openai,
            has: json!({ "max_completion_tokens": 5000, "role": "developer" }),
            lacks: &["max_tokens", "temperature"],
        },
        Expected {
            model: "o1",
            wire: Wire::Responses,
            has: json!({ "max_output_tokens": 5000, "role": "developer", "store": false }),
            lacks: &["max_tokens", "max_completion_tokens", "temperature"],
        },
        Expected {
            model: "gpt-4o",
            wire: Wire::Responses,
            has: json!({ "max_output_tokens": 5000, "role": "system", "temperature": 0.2 }),
            lacks: &["max_tokens", "max_completion_tokens", "include"],
        },
        Expected {
            model: "claude-3-5-sonnet-20241022",
            wire: Wire::Anthropic,
            has: sampled.clone(),
            lacks: &["max_completion_tokens"],
        },
        Expected {
            model: "claude-3-opus-20240229",
            wire: Wire::Anthropic,
            has: json!({ "max_tokens": 4096, "temperature": 0.2 }),
            lacks: &["max_completion_tokens"],
        },
        Expected {
            model: "claude-opus-4-6",
            wire: Wire::Anthropic,
            has: sampled,
            lacks: &[],
        },
        Expected {
            model: "claude-sonnet-5",
            wire: Wire::Anthropic,
            has: json!({ "max_tokens": 5000 }),
            lacks: &["temperature", "top_p", "top_k"],
        },
        Expected {
            model: "a-model-of-tomorrow",
            wire: Wire::Openai,
            has: json!({ "max_tokens": 5000, "temperature": 0.2, "role": "system" }),
            lacks: &["max_completion_tokens"],
        },
    ]
}

fn config(url: &str, model: &str, wire: Wire) -> Config {
    let mut config = speaks(wire, url, model);
    config.llm.temperature = Some(0.2);
    config.llm.max_tokens = 5000;
    config
}

fn answer(wire: Wire) -> Reply {
    match wire {
        Wire::Anthropic => anthropic::says("hello"),
        Wire::Responses => responses::says("hello"),
        Wire::Openai | Wire::Ollama | Wire::Template => says("hello"),
    }
}

fn question() -> Request {
    let mut question = super::question();
    question.tools.truncate(1);
    question
}

#[tokio::test]
async fn every_model_is_asked_under_the_names_that_it_takes() {
    for expected in expectations() {
        let Expected {
            model,
            wire,
            has,
            lacks,
        } = expected;
        let server = Server::start(vec![answer(wire)]).await;
        let mut way = way(&config(&server.url, model, wire), &[]);
        way.ask(&question())
            .await
            .unwrap_or_else(|error| panic!("{model}: {error}"));
        let requests = server.requests();
        assert_eq!(requests.len(), 1, "{model} takes the first request");
        let body = &requests[0].body;
        assert_eq!(body["model"], model);
        let told = if wire == Wire::Responses {
            "input"
        } else {
            "messages"
        };
        let role = &body[told][0]["role"];
        for (name, value) in has.as_object().expect("an object") {
            let found = if name == "role" { role } else { &body[name] };
            assert_eq!(found, value, "{model}: {name}");
        }
        for name in lacks {
            assert_eq!(body[name], Value::Null, "{model}: {name}");
        }
    }
}

#[tokio::test]
async fn a_conversation_keeps_within_the_window_of_the_model() {
    let server = Server::start(vec![says("hello")]).await;
    let long = Request {
        messages: vec![Message::User {
            text: "word ".repeat(6000),
        }],
        tools: Vec::new(),
    };
    let error = way(&config(&server.url, "gpt-4", Wire::Openai), &[])
        .ask(&long)
        .await;
    let error = error.expect_err("gpt-4 has 8,192 tokens").to_string();
    assert!(error.contains("more than the 4096"), "{error}");
    assert!(server.requests().is_empty());
    let known = way(&config(&server.url, "gpt-4o", Wire::Openai), &[])
        .ask(&long)
        .await;
    known.expect("gpt-4o has room");
}

#[tokio::test]
async fn a_stranger_that_refuses_a_role_is_asked_with_another() {
    let script = vec![
        super::scripted::refuses("400 Bad Request", "role 'developer' is not supported", &[]),
        super::scripted::refuses("400 Bad Request", "System role not supported", &[]),
        says("hello"),
    ];
    let server = Server::start(script).await;
    let mut way = way(&config(&server.url, "o1", Wire::Openai), &[]);
    way.ask(&question()).await.expect("it answers at last");
    let requests = server.requests();
    let roles: Vec<&Value> = requests
        .iter()
        .map(|seen| &seen.body["messages"][0]["role"])
        .collect();
    assert_eq!(roles, ["developer", "system", "user"]);
}
