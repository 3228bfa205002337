//! What happens when the first model does not answer and a second one is configured.

use std::time::{Duration, Instant};

use meliora::config::{Config, Wire};
use meliora::event::RunEvent;
use meliora::llm::gateway::Gateway;
use meliora::redact::Redactor;
use serde_json::json;

use super::scripted::{Reply, Server, refuses, says};
use super::tasks::{Ground, parser_only};
use super::{anthropic, host, provider};

const KEY: &str = "key-of-the-first-provider";

/// The configuration of a first model that speaks like Anthropic, and of a second one that speaks like `OpenAI`.
fn config(first: &Server, second: &Server) -> Config {
    let mut config = parser_only(&first.url);
    config.llm.idle_timeout = 5;
    let provider = provider(&mut config);
    provider.wire = Some(Wire::Anthropic);
    provider.api_key = KEY.into();
    let other = config.llm.providers.entry("other".to_owned()).or_default();
    other.base_url.clone_from(&second.url);
    config.llm.fallback.enabled = true;
    "other".clone_into(&mut config.llm.fallback.provider);
    "raven".clone_into(&mut config.llm.fallback.model);
    config
}

fn busy() -> Reply {
    refuses("529 Overloaded", "Overloaded", &["retry-after-ms: 1"])
}

fn turned(events: &[RunEvent]) -> Option<(&str, &str, &str)> {
    events.iter().find_map(|event| match event {
        RunEvent::FellBack {
            to, reason, kept, ..
        } => Some((to.as_str(), reason.as_str(), kept.as_str())),
        _ => None,
    })
}

#[tokio::test]
async fn the_fallback_goes_on_with_what_was_carried_out_and_repeats_nothing() {
    let ground = Ground::new(&[("a.py", "x = 1\n")]);
    let edit = json!({ "path": "a.py", "search": "x = 1", "replace": "x = 1\nx = 1" });
    let first = Server::start(vec![anthropic::calls("edit_file", &edit), busy()]).await;
    let second = Server::start(vec![says("there are two now")]).await;
    let ended = ground.run(config(&first, &second), "double it").await;
    assert_eq!(
        ended.after("a.py"),
        "x = 1\nx = 1\n",
        "the edit was made once"
    );
    let (to, reason, kept) = turned(&ended.events).expect("it is told");
    assert_eq!((to, kept), ("raven of other", ""));
    assert!(reason.contains("Overloaded"), "{reason}");
    let called = ended
        .events
        .iter()
        .filter(|event| matches!(event, RunEvent::ToolCalled { .. }));
    assert_eq!(called.count(), 1);
    let connected: Vec<String> = ended
        .events
        .iter()
        .filter_map(|event| match event {
            RunEvent::ModelCalled { model, error, .. } => {
                Some(format!("{model} {}", error.is_empty()))
            }
            _ => None,
        })
        .collect();
    assert_eq!(connected, ["parrot true", "parrot false", "raven true"]);

    // The other model gets the same conversation in its own wire, and nothing of the first one's key.
    let requests = second.requests();
    assert_eq!(requests.len(), 1);
    assert!(!second.transcript().contains(KEY));
    let messages = requests[0].body["messages"].as_array().expect("messages");
    let roles: Vec<&str> = messages
        .iter()
        .filter_map(|message| message["role"].as_str())
        .collect();
    assert_eq!(roles, ["system", "user", "assistant", "tool"]);
    assert_eq!(
        messages[2]["tool_calls"][0]["id"],
        messages[3]["tool_call_id"]
    );
    assert_eq!(requests[0].body["model"], "raven");
}

#[tokio::test]
async fn what_a_cut_answer_had_said_is_kept_and_marked() {
    let ground = Ground::new(&[("a.py", "x = 1\n")]);
    let cut = anthropic::streams(&[
        anthropic::started(),
        anthropic::text("I would begin with x"),
    ]);
    let first = Server::start(vec![cut]).await;
    let second = Server::start(vec![says("x is one")]).await;
    let ended = ground.run(config(&first, &second), "what is x?").await;
    let (_, reason, kept) = turned(&ended.events).expect("it is told");
    assert_eq!(kept, "I would begin with x");
    assert!(reason.contains("cut off"), "{reason}");
    assert_eq!(first.requests().len(), 3, "a cut answer is asked for again");
    let body = second.requests().remove(0).body;
    let messages = body["messages"].as_array().expect("messages");
    assert_eq!(
        messages[2]["content"],
        "I would begin with x\n[cut off here]"
    );
    assert_eq!(messages[3]["role"], "user");
}

#[tokio::test]
async fn whoever_cannot_answer_now_is_not_waited_for_when_another_can() {
    let ground = Ground::new(&[("a.py", "x = 1\n")]);
    let later = refuses("429 Too Many Requests", "slow down", &["Retry-After: 30"]);
    let first = Server::start(vec![later]).await;
    let second = Server::start(vec![says("x is one")]).await;
    let mut config = config(&first, &second);
    let started = Instant::now();
    let ended = ground.run(config.clone(), "what is x?").await;
    assert!(turned(&ended.events).is_some());
    assert!(started.elapsed() < Duration::from_secs(30));

    // A key that is not there is a reason as well; nothing is sent to the first one then.
    let asked = first.requests().len();
    provider(&mut config).api_key = "${NOT_SET}".into();
    let ended = ground.run(config, "what is x?").await;
    let (_, reason, _) = turned(&ended.events).expect("it is told");
    assert!(reason.contains("export NOT_SET"), "{reason}");
    assert_eq!(first.requests().len(), asked);
}

#[tokio::test]
async fn nobody_else_is_asked_unless_it_was_enabled_and_may_help() {
    let ground = Ground::new(&[("a.py", "x = 1\n")]);
    let refused = || refuses("401 Unauthorized", "who are you", &[]);
    let first = Server::start(vec![refused()]).await;
    let second = Server::start(vec![refuses("403 Forbidden", "nor here", &[])]).await;
    let mut config = config(&first, &second);
    config.llm.fallback.enabled = false;
    let ended = ground.run(config.clone(), "what is x?").await;
    assert!(ended.failure().contains("who are you"));
    assert!(second.requests().is_empty());

    // What the run may spend is spent, whoever is asked.
    config.llm.fallback.enabled = true;
    config.agent.tokens_max = 100;
    let ended = ground.run(config.clone(), "what is x?").await;
    assert!(ended.failure().contains("agent.tokens_max"));
    assert!(second.requests().is_empty());

    config.agent.tokens_max = 100_000;
    let ended = ground.run(config.clone(), "what is x?").await;
    assert!(ended.failure().contains("nor here"), "{}", ended.failure());

    config.llm.fallback.model.clear();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let host = host(folder.path(), &[]);
    let error = Gateway::open(&host, &config, &Redactor::default());
    let error = error.expect_err("the fallback is not complete").to_string();
    assert!(error.contains("[llm.fallback]"), "{error}");
}
