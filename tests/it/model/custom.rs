//! Endpoints that are like a known one, but not where it is or not identified to as it is; and some like no other.

use meliora::config::Config;
use meliora::llm::gateway::Gateway;
use meliora::llm::message::{Finish, Message, Request};
use meliora::redact::Redactor;
use serde_json::{Value, json};

use super::calling::{finish, program};
use super::scripted::{Reply, Server, refuses, says, stream};
use super::{config, look, way};

/// As a cloud has it: a deployment in the path, and a key in a header of its own.
fn deployment(url: &str) -> Config {
    let mut config = config(url);
    let provider = config.llm.providers.get_mut("scripted");
    let provider = provider.expect("it is configured");
    "/deployments/d/chat/completions?api-version=7".clone_into(&mut provider.path);
    provider.headers = [("Api-Ident", "Bearer ${WHO}"), ("X-Team", "blue ${TEAM}")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    config
}

/// An endpoint that speaks like no other.
fn foreign(url: &str, body: &str) -> Config {
    let mut config = config(url.trim_end_matches("/v1"));
    let provider = config.llm.providers.get_mut("scripted");
    let provider = provider.expect("it is configured");
    "generate".clone_into(&mut provider.path);
    body.clone_into(&mut provider.body);
    "/result/text".clone_into(&mut provider.answer);
    config
}

const BODY: &str =
    r#"{ "question": {{ prompt }}, "rules": {{ system }}, "length": {{ max_tokens }} }"#;

fn question() -> Request {
    Request {
        messages: vec![Message::User {
            text: "I am \"swordfish-12345\"".to_owned(),
        }],
        tools: Vec::new(),
    }
}

const ENVIRONMENT: [(&str, &str); 2] = [("WHO", "swordfish-12345"), ("TEAM", "whale")];

fn replies(content_type: &'static str, pieces: &[&str]) -> Reply {
    let pieces = pieces.iter().map(|piece| piece.as_bytes().to_vec());
    Reply {
        content_type,
        pieces: pieces.collect(),
        ..stream(&[])
    }
}

#[tokio::test]
async fn path_and_headers_are_those_of_the_configuration() {
    let server = Server::start(vec![says("hello")]).await;
    let mut way = way(&deployment(&server.url), &ENVIRONMENT);
    let (answer, _) = way.ask(&question()).await.expect("an answer");
    assert_eq!(answer.text, "hello");
    let seen = &server.requests()[0];
    let head = seen.head.to_ascii_lowercase();
    let begin = "post /v1/deployments/d/chat/completions?api-version=7 ";
    assert!(head.starts_with(begin), "{head}");
    assert!(head.contains("api-ident: bearer swordfish-12345"), "{head}");
    assert!(head.contains("x-team: blue whale"), "{head}");
    assert!(!head.contains("authorization"), "{head}");
    // What a header named is known at every exit, also where no name says that it is secret.
    assert!(!seen.body.to_string().contains("swordfish"), "{seen:?}");

    let other = Server::start(vec![says("give me the key")]).await;
    let location = format!("Location: {}/chat/completions", other.url);
    let redirect = refuses("307 Temporary Redirect", "", &[&location]);
    let server = Server::start(vec![redirect]).await;
    let error = super::way(&deployment(&server.url), &ENVIRONMENT)
        .ask(&question())
        .await;
    let error = error.expect_err("it is not followed").to_string();
    assert!(error.contains("redirects to"), "{error}");
    assert!(other.requests().is_empty());
}

#[tokio::test]
async fn a_header_that_lacks_its_variable_or_cannot_be_one_is_named() {
    let server = Server::start(vec![says("hello")]).await;
    let error = way(&deployment(&server.url), &ENVIRONMENT[..1])
        .ask(&question())
        .await;
    let error = error.expect_err("TEAM is not set").to_string();
    assert!(error.contains("${TEAM}, which is not set"), "{error}");

    let mut config = deployment(&server.url);
    let provider = config.llm.providers.get_mut("scripted");
    let headers = &mut provider.expect("it is configured").headers;
    headers.insert("not a name".to_owned(), "x".to_owned());
    let error = way(&config, &ENVIRONMENT).ask(&question()).await;
    let error = error.expect_err("it is no header").to_string();
    assert!(error.contains("`not a name`"), "{error}");
    assert!(server.requests().is_empty());

    let refusal = refuses("401 Unauthorized", "no swordfish-12345", &[]);
    let refusing = Server::start(vec![refusal]).await;
    let error = way(&deployment(&refusing.url), &ENVIRONMENT)
        .ask(&question())
        .await;
    let error = error.expect_err("it is refused").to_string();
    assert!(
        error.contains("401") && !error.contains("swordfish"),
        "{error}"
    );
}

#[tokio::test]
async fn a_key_in_a_header_is_never_shown() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let folder = home.path().join(".config/agent");
    std::fs::create_dir_all(&folder).expect("created");
    let text = "[llm.providers.mine]\nheaders = { Api-Key = 'swordfish-12345', X-Team = 'blue' }\n";
    std::fs::write(folder.join("config.toml"), text).expect("written");
    let mut command = program(home.path(), "");
    command.args(["config", "show"]);
    let output = finish(command, "").await;
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        shown.contains("Api-Key") && shown.contains("blue"),
        "{shown}"
    );
    assert!(!shown.contains("swordfish"), "{shown}");
}

#[tokio::test]
async fn an_endpoint_like_no_other_is_asked_in_its_own_words() {
    let whole = json!({ "result": { "text": "hello \"you\"" }, "error": null }).to_string();
    for (content_type, pieces) in [
        ("application/vnd.acme+json", vec![whole.as_str()]),
        (
            "text/event-stream",
            vec![
                "data: {\"ping\":1}\n\ndata: {\"result\":{\"text\":\"hello\"}}\n\n",
                "data: {\"result\":{\"text\":\" \\\"you\\\"\"}}\n\ndata: {\"result\":{\"text\":null}}\n\n",
            ],
        ),
        (
            "application/jsonl",
            vec![
                "{\"result\":{\"text\":\"hello\"}}\n{\"result\"",
                ":{\"text\":\" \\\"you\\\"\"}}\n",
            ],
        ),
    ] {
        let server = Server::start(vec![replies(content_type, &pieces)]).await;
        let mut way = way(
            &foreign(&server.url, BODY),
            &[("MY_TOKEN", "swordfish-12345")],
        );
        let (answer, streamed) = way.ask(&question()).await.expect(content_type);
        assert_eq!(answer.text, "hello \"you\"", "{content_type}");
        assert_eq!(streamed, answer.text, "{content_type}");
        assert_eq!(answer.finish, Finish::Stop);
        assert!(answer.usage.tokens_in > 0 && answer.usage.tokens_out > 0);
        let seen = &server.requests()[0];
        assert!(seen.head.starts_with("POST /generate "), "{}", seen.head);
        let expected = json!({ "question": "I am \"[redacted]\"", "rules": "", "length": 4096 });
        assert_eq!(seen.body, expected);
    }
}

#[tokio::test]
async fn an_endpoint_like_no_other_acts_by_words() {
    let action = json!({ "tool": "look", "arguments": { "at": 1 } }).to_string();
    let answer = json!({ "result": { "text": action } }).to_string();
    let server = Server::start(vec![replies("application/json", &[&answer])]).await;
    let request = Request {
        tools: vec![look()],
        ..question()
    };
    let mut way = way(&foreign(&server.url, BODY), &[]);
    let (answer, _) = way.ask(&request).await.expect("an answer");
    assert_eq!(answer.finish, Finish::Tools);
    assert_eq!(answer.calls[0].name, "look");
    let told = server.requests()[0].body["rules"].clone();
    assert!(told.as_str().is_some_and(|told| told.contains("- look:")));
}

#[tokio::test]
async fn what_an_endpoint_like_no_other_does_not_understand_is_said() {
    let refused = |body: &Value| replies("application/json", &[&body.to_string()]);
    for (reply, expected) in [
        (
            refused(&json!({ "error": "swordfish-12345 is not known" })),
            "the provider reports: [redacted] is not known",
        ),
        (
            refused(&json!({ "output": "hello" })),
            "something that is not the answer of a model: {\"output\":\"hello\"}",
        ),
        (replies("text/event-stream", &["data: {}\n\n"]), "cut off"),
        (replies("text/html", &["<html>"]), "base_url and path"),
        (
            refuses("404 Not Found", "nothing here", &[]),
            "check base_url and path",
        ),
    ] {
        let server = Server::start(vec![reply]).await;
        let config = foreign(&server.url, BODY);
        let error = way(&config, &[("MY_TOKEN", "swordfish-12345")])
            .ask(&question())
            .await;
        let error = error.expect_err(expected).to_string();
        assert!(error.contains(expected), "{error}");
        assert!(!error.contains("swordfish"), "{error}");
    }

    let server = Server::start(vec![says("never asked")]).await;
    let error = way(&foreign(&server.url, "{ \"a\": {{ promt }} }"), &[])
        .ask(&question())
        .await;
    let error = error.expect_err("a name is wrong").to_string();
    assert!(error.contains("[llm.providers.scripted]"), "{error}");
    assert!(server.requests().is_empty());
    let open = |config: &Config| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let host = super::host(folder.path(), &[]);
        let opened = Gateway::open(&host, config, &Redactor::default());
        opened.expect_err("it cannot be used").to_string()
    };
    let error = open(&foreign(&server.url, "{ {% if %} }"));
    assert!(error.contains("line 1"), "{error}");
    let mut config = foreign(&server.url, BODY);
    let provider = config.llm.providers.get_mut("scripted");
    "text".clone_into(&mut provider.expect("it is configured").answer);
    assert!(open(&config).contains("JSON pointer"), "{}", open(&config));
}
