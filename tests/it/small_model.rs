//! The gateway against a small real model behind a real server: how the wire behaves, not what the model knows.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use meliora::config::{ActionStyle, Config};
use meliora::llm::message::{Finish, Message, Request, ToolSpec};
use serde_json::json;

use crate::model::vectors::embed;
use crate::model::{config, provider, way};

/// A running model server; it ends when its standard input is closed, at the latest with this process.
pub(crate) struct SmallModel {
    child: Child,
    url: String,
}

impl Drop for SmallModel {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl SmallModel {
    /// Starts the server; the arguments are those of `tests/tools/model-server.py`.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let python = root.join("target/tools/python/bin/python");
        assert!(
            python.exists(),
            "the small model is not installed: run `tests/run tools`, which puts it into target/tools"
        );
        let mut child = Command::new(&python)
            .arg(root.join("tests/tools/model-server.py"))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("python starts");
        let mut url = String::new();
        let stdout = child.stdout.take().expect("it is a pipe");
        BufReader::new(stdout)
            .read_line(&mut url)
            .expect("the server says where it is");
        let url = url.trim().to_owned();
        assert!(
            url.starts_with("http://127.0.0.1:"),
            "the small model does not start: run `tests/run tools`, then tests/tools/model-server.py by hand"
        );
        Self { child, url }
    }

    pub(crate) fn config(&self) -> Config {
        let mut config = config(&self.url);
        config.llm.temperature = Some(0.0);
        config.llm.max_tokens = 24;
        // A busy machine reads a prompt slowly.
        config.llm.idle_timeout = 240;
        config
    }
}

fn question(text: &str) -> Request {
    Request {
        messages: vec![Message::User {
            text: text.to_owned(),
        }],
        tools: Vec::new(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_model_streams_reports_usage_and_keeps_to_a_schema() {
    let model = SmallModel::start(&[]);
    let mut way = way(&model.config(), &[]);
    let (answer, streamed) = way
        .ask(&question("Write a very long story about the sea."))
        .await
        .expect("an answer");
    assert_eq!(answer.text, streamed);
    assert!(!answer.text.is_empty());
    assert_eq!(
        answer.finish,
        Finish::Length,
        "24 tokens do not make a long story"
    );
    assert!(answer.usage.reported && answer.usage.tokens_in > 5);
    assert_eq!(answer.usage.tokens_out, 24);

    let mut config = model.config();
    config.llm.actions = ActionStyle::Schema;
    config.llm.max_tokens = 80;
    let mut way = crate::model::way(&config, &[]);
    let request = Request {
        tools: vec![ToolSpec {
            name: "greet".to_owned(),
            description: "Says hello to somebody.".to_owned(),
            parameters: json!({
                "type": "object",
                "properties": { "name": { "type": "string", "enum": ["Ann", "Bob"] } },
                "required": ["name"],
                "additionalProperties": false,
            }),
        }],
        ..question("Say hello to Bob.")
    };
    let (answer, streamed) = way.ask(&request).await.expect("an answer");
    // The server holds even this model to the schema, so what it wrote is an action, whichever it chose.
    let written: serde_json::Value = serde_json::from_str(&streamed).expect("JSON by the schema");
    match answer.calls.first() {
        Some(call) => {
            assert_eq!(
                (call.name.as_str(), written["tool"].as_str()),
                ("greet", Some("greet"))
            );
            let name = call.parsed().expect("JSON")["name"].clone();
            assert!(name == "Ann" || name == "Bob", "{name}");
        }
        None => assert_eq!(written["tool"], "finish", "{streamed}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_model_answers_by_a_schema() {
    let model = SmallModel::start(&[]);
    let mut config = model.config();
    config.llm.max_tokens = 80;
    let mut way = crate::model::way(&config, &[]);
    way.gateway.output = Some(json!({
        "type": "object",
        "properties": { "colour": { "enum": ["red", "blue"] }, "sure": { "type": "boolean" } },
        "required": ["colour", "sure"],
        "additionalProperties": false,
    }));
    let asked = way.ask(&question("What colour is the sea?")).await;
    let (answer, _) = asked.expect("an answer");
    let value = way.gateway.value(&answer).expect("a value");
    assert!(
        value["colour"] == "red" || value["colour"] == "blue",
        "{value}"
    );
    assert!(value["sure"].is_boolean(), "{value}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_call_frees_the_real_server() {
    let model = SmallModel::start(&[]);
    let mut config = model.config();
    config.llm.max_tokens = 1500;
    let mut long = way(&config, &[]);
    let (begun, mut first) = tokio::sync::mpsc::channel(1);
    let url = long.gateway.action();
    let call = tokio::spawn(async move {
        let permit = meliora::safety::permit(&long.policy, url).expect("it is the endpoint");
        let request = question("Write a very long story about the sea.");
        let mut tell = |_: &str| {
            // Only the first piece matters.
            let _ = begun.try_send(());
        };
        long.gateway.ask(&permit, &request, &mut tell).await.is_ok()
    });
    first.recv().await.expect("the answer begins");
    call.abort();
    let dropped = Instant::now();
    // The server works on one answer at a time: a story that went on would keep it busy for minutes.
    let (answer, _) = way(&model.config(), &[])
        .ask(&question("Say yes."))
        .await
        .expect("an answer");
    assert!(!answer.text.is_empty());
    assert!(
        dropped.elapsed() < Duration::from_secs(60),
        "{:?}",
        dropped.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_server_makes_vectors_and_the_same_text_gets_the_same_one() {
    let model = SmallModel::start(&[]);
    let mut config = model.config();
    "scripted/small".clone_into(&mut config.llm.embedding.model);
    let texts = ["the sea", "a compiler", "the sea"].map(str::to_owned);
    let embedded = embed(&config, &texts).await.expect("vectors");
    let [sea, compiler, again] = embedded.vectors.as_slice() else {
        panic!("{} vectors", embedded.vectors.len());
    };
    assert_eq!(sea.len(), 576);
    let alike = |other: &[f32]| -> f32 { sea.iter().zip(other).map(|(a, b)| a * b).sum() };
    assert!(alike(again) > 0.999 && alike(compiler) < 0.999);
    assert!(embedded.usage.reported && embedded.usage.tokens_in > 3);

    let long = ["word ".repeat(1500)];
    let error = embed(&config, &long).await.expect_err("it is too long");
    assert!(error.to_string().contains("too large"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_model_is_not_asked_beyond_the_budget() {
    let model = SmallModel::start(&[]);
    let mut config = model.config();
    config.agent.tokens_max = 300;
    let mut way = way(&config, &[]);
    let mut used = 0;
    let error = loop {
        match way.ask(&question("Say something about the sea.")).await {
            Ok((answer, _)) => used += answer.usage.total(),
            Err(error) => break error,
        }
    };
    assert!(error.to_string().contains("agent.tokens_max"), "{error}");
    assert!(used > 100 && used <= 300, "{used}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_server_refuses_a_wrong_key_and_takes_the_right_one() {
    let model = SmallModel::start(&["the-right-key-1"]);
    let mut config = model.config();
    config.llm.max_tokens = 4;
    for (key, works) in [
        ("", false),
        ("the-wrong-key-2", false),
        ("${THE_KEY}", true),
    ] {
        provider(&mut config).api_key = key.into();
        let asked = way(&config, &[("THE_KEY", "the-right-key-1")])
            .ask(&question("Hello"))
            .await;
        match asked {
            Ok(_) => assert!(works, "`{key}` is no key"),
            Err(error) => {
                let error = error.to_string();
                assert!(!works, "{error}");
                assert!(
                    error.contains("401") && error.contains("check api_key"),
                    "{error}"
                );
            }
        }
    }
}
