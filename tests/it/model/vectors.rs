//! Texts that become vectors, by both wires that have them, against a scripted server.

use std::process::Output;

use meliora::config::spending::{Job, Price};
use meliora::config::{Config, Wire};
use meliora::llm::Error;
use meliora::llm::embed::Embedded;
use meliora::llm::gateway::{Caller, Gateway};
use meliora::redact::Redactor;
use meliora::safety::{self, Policy};
use serde_json::{Value, json};

use super::calling::{finish, program};
use super::host;
use super::scripted::{Reply, Server, refuses, stream};

fn config(url: &str, wire: Wire) -> Config {
    let mut config = super::config(url);
    "scripted/nomic".clone_into(&mut config.llm.embedding.model);
    let provider = config.llm.providers.get_mut("scripted");
    provider.expect("it is configured").wire = Some(wire);
    config
}

fn answers(answer: &Value) -> Reply {
    Reply {
        content_type: "application/json",
        pieces: vec![answer.to_string().into_bytes()],
        ..stream(&[])
    }
}

/// An answer as `/v1/embeddings` has it, the last one first.
fn data(vectors: &[&[f64]]) -> Reply {
    let data = vectors.iter().enumerate().rev();
    let data = data.map(|(index, vector)| json!({ "index": index, "embedding": vector }));
    answers(&json!({ "data": data.collect::<Vec<_>>(), "usage": { "prompt_tokens": 9 } }))
}

/// The vectors of texts by a configuration.
pub(crate) async fn embed<T: AsRef<str>>(config: &Config, texts: &[T]) -> Result<Embedded, Error> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let host = host(folder.path(), &[("MY_TOKEN", "swordfish-12345")]);
    let redactor = Redactor::new(host.secrets());
    let caller = Caller {
        job: Job::Embedding,
        ..Caller::default()
    };
    let mut gateway = Gateway::open_for(caller, &host, config, &redactor)?;
    let policy = Policy::new(&host, config, folder.path());
    let permit = safety::permit(&policy, gateway.action()).expect("it is the endpoint");
    let texts: Vec<String> = texts.iter().map(|text| text.as_ref().to_owned()).collect();
    gateway.embed(&permit, &texts).await
}

#[tokio::test]
async fn texts_become_vectors_in_their_order_and_are_paid_for() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(vec![data(&[&[1.0, 0.5], &[0.0, -2.0]])]).await;
    let settings = home.path().join(".config/agent");
    std::fs::create_dir_all(&settings).expect("created");
    let text = format!(
        "[llm.embedding]\nmodel = 'scripted/nomic'\n[llm.prices.nomic]\ninput = 1000000\n\
         [llm.providers.scripted]\nbase_url = '{}'\n",
        server.url
    );
    std::fs::write(settings.join("config.toml"), text).expect("written");
    let run = async |arguments: &[&str], input: &str| -> Output {
        let mut command = program(home.path(), "");
        command.args(arguments).env("MY_TOKEN", "swordfish-12345");
        finish(command, input).await
    };
    let output = run(&["model", "embed"], "[\"a sea\", \"swordfish-12345\"]").await;
    let shown: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(shown["vectors"], json!([[1.0, 0.5], [0.0, -2.0]]));
    assert_eq!(
        (&shown["dimensions"], &shown["usd"]),
        (&json!(2), &json!(9.0))
    );
    let seen = &server.requests()[0];
    assert!(
        seen.head.starts_with("POST /v1/embeddings "),
        "{}",
        seen.head
    );
    let expected = json!({ "model": "nomic", "input": ["a sea", "[redacted]"] });
    assert_eq!(seen.body, expected);

    let cost = run(&["cost", "--json"], "").await;
    let cost = String::from_utf8_lossy(&cost.stdout).into_owned();
    assert!(cost.contains("\"usd\": 9.0"), "{cost}");

    let lines = run(&["model", "embed", "--model", "other"], "one\ntwo\n").await;
    assert!(lines.status.success(), "{lines:?}");
    let body = &server.requests()[1].body;
    assert_eq!(body["input"], json!(["one", "two"]));
    assert_eq!(body["model"], "other");
}

#[tokio::test]
async fn ollama_is_asked_in_its_own_way_and_cuts_nothing() {
    let answer = json!({ "embeddings": [[1.0], [2.0]], "prompt_eval_count": 4 });
    let server = Server::start(vec![answers(&answer)]).await;
    let embedded = embed(&config(&server.url, Wire::Ollama), &["a", "b"]).await;
    let embedded = embedded.expect("vectors");
    assert_eq!(embedded.vectors, [[1.0], [2.0]]);
    assert!(embedded.usage.reported && embedded.usage.tokens_in == 4);
    let seen = &server.requests()[0];
    assert!(seen.head.starts_with("POST /api/embed "), "{}", seen.head);
    assert_eq!(seen.body["truncate"], false);
}

#[tokio::test]
async fn many_texts_go_in_few_requests_and_a_busy_server_is_asked_again() {
    let many: Vec<&[f64]> = vec![&[1.0]; 64];
    let busy = refuses("429 Too Many Requests", "slow down", &["Retry-After: 0"]);
    let script = vec![busy, data(&many), data(&[&[2.0]])];
    let server = Server::start(script).await;
    let embedded = embed(&config(&server.url, Wire::Openai), &["x"; 65]).await;
    let embedded = embedded.expect("vectors");
    assert_eq!(embedded.vectors.len(), 65);
    assert_eq!(embedded.vectors[64], [2.0]);
    assert_eq!(embedded.usage.tokens_in, 18);
    assert_eq!(server.requests().len(), 3);
}

#[tokio::test]
async fn vectors_of_another_size_than_asked_for_are_refused() {
    let server = Server::start(vec![data(&[&[1.0, 2.0]]), data(&[&[1.0, 2.0, 3.0]])]).await;
    let mut config = config(&server.url, Wire::Openai);
    config.llm.embedding.dimensions = Some(2);
    embed(&config, &["a"]).await.expect("two numbers");
    assert_eq!(server.requests()[0].body["dimensions"], 2);
    let error = embed(&config, &["a"]).await.expect_err("three numbers");
    assert!(
        error.to_string().contains("3 numbers instead of 2"),
        "{error}"
    );
}

#[tokio::test]
async fn what_cannot_be_a_vector_or_must_not_cost_more_is_not_sent() {
    let server = Server::start(vec![data(&[&[1.0]])]).await;
    let fine = config(&server.url, Wire::Openai);
    let mut poor = fine.clone();
    poor.llm.budget.run_usd_max = Some(0.01);
    let price = Price {
        input: 1000.0,
        ..Price::default()
    };
    poor.llm.prices.insert("nomic".to_owned(), price);
    let mut short = fine.clone();
    short.llm.context_tokens_max = 100;
    let mut none = fine.clone();
    none.llm.embedding.model.clear();
    let anthropic = config(&server.url, Wire::Anthropic);
    let long = "word ".repeat(1000);
    for (config, texts, expected) in [
        (&fine, ["a", " "], "text 2 is empty"),
        (&poor, ["a", &long], "llm.budget.run_usd_max"),
        (&short, ["a", &long], "llm.context_tokens_max"),
        (&none, ["a", "b"], "[llm.embedding]"),
        (&anthropic, ["a", "b"], "makes no embeddings"),
    ] {
        let error = embed(config, &texts).await.expect_err(expected).to_string();
        assert!(error.contains(expected), "{error}");
    }
    assert!(server.requests().is_empty());
}
