//! What the gateway does when the other side is slow, broken, refusing or hostile.

use std::time::{Duration, Instant};

use meliora::config::{ActionStyle, Config, Wire};
use meliora::llm::Error;
use meliora::llm::gateway::Gateway;
use meliora::llm::message::{Finish, Message, Request, Thoughts, ToolCall, ToolSpec};
use meliora::permit::Action;
use meliora::redact::Redactor;
use meliora::safety::{self, Policy};
use serde_json::{Value, json};

use super::scripted::{End, Reply, Server, calls, events, refuses, says, stream, usage};
use super::{asked, config, host, provider, question, saying, way};

const KEY: &str = "key-with-9-lives-and-more";

async fn error_of(script: Vec<Reply>) -> (Error, Server) {
    let (asked, server) = asked(config, script).await;
    (asked.expect_err("the server does not answer"), server)
}

#[tokio::test]
async fn passing_failures_are_asked_again_and_only_so_often() {
    let soon = ["retry-after-ms: 5"];
    for status in [
        "408 Request Timeout",
        "409 Conflict",
        "429 Too Many Requests",
        "500 Internal Server Error",
        "502 Bad Gateway",
        "503 Service Unavailable",
        "529 Overloaded",
    ] {
        let server = Server::start(vec![refuses(status, "later", &soon), says("hello")]).await;
        let (answer, _) = way(&config(&server.url), &[])
            .ask(&question())
            .await
            .expect("it answers at last");
        assert_eq!(
            (answer.text.as_str(), server.requests().len()),
            ("hello", 2),
            "{status}"
        );
    }
    let (error, server) = error_of(vec![refuses("503 Service Unavailable", "later", &soon)]).await;
    assert_eq!(server.requests().len(), 5);
    assert!(error.to_string().contains("503"), "{error}");
}

#[tokio::test]
async fn the_wait_that_a_server_asks_for_is_kept() {
    let script = vec![
        refuses("429 Too Many Requests", "slow down", &["Retry-After: 1"]),
        says("hello"),
    ];
    let server = Server::start(script).await;
    way(&config(&server.url), &[])
        .ask(&question())
        .await
        .expect("it answers");
    let requests = server.requests();
    assert!(requests[1].at - requests[0].at >= Duration::from_secs(1));

    // A wait that nobody sits through, and a quota that is gone, are said at once.
    let (error, server) = error_of(vec![refuses(
        "429 Too Many Requests",
        "tomorrow",
        &["Retry-After: 86400"],
    )])
    .await;
    assert!(error.to_string().contains("tomorrow"), "{error}");
    assert_eq!(server.requests().len(), 1);
    let spent = Reply {
        pieces: vec![br#"{"error":{"message":"pay","code":"insufficient_quota"}}"#.to_vec()],
        ..refuses("429 Too Many Requests", "", &[])
    };
    let (error, server) = error_of(vec![spent]).await;
    assert!(error.to_string().contains("pay"), "{error}");
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_the_key_stays() {
    let other = Server::start(vec![says("give me the key")]).await;
    let location = format!("Location: {}/chat/completions", other.url);
    let redirect = Reply {
        headers: vec![location],
        ..refuses("307 Temporary Redirect", "", &[])
    };
    let server = Server::start(vec![redirect]).await;
    let mut config = config(&server.url);
    provider(&mut config).api_key = "${THE_KEY}".into();
    let error = way(&config, &[("THE_KEY", KEY)]).ask(&question()).await;
    let error = error.expect_err("redirects are refused").to_string();
    assert!(
        error.contains("redirects to") && error.contains("base_url"),
        "{error}"
    );
    assert!(
        server.requests()[0]
            .head
            .contains(&format!("authorization: Bearer {KEY}"))
    );
    assert!(other.requests().is_empty());
}

#[tokio::test]
async fn refusals_say_what_to_do_and_never_show_the_key() {
    for (status, expected) in [
        ("401 Unauthorized", "check api_key"),
        ("403 Forbidden", "check api_key"),
        ("404 Not Found", "llm.model"),
        ("400 Bad Request", "400"),
    ] {
        let server =
            Server::start(vec![refuses(status, &format!("no such key: {KEY}"), &[])]).await;
        let mut config = config(&server.url);
        provider(&mut config).api_key = KEY.into();
        let error = way(&config, &[]).ask(&question()).await;
        let error = error.expect_err("it is refused").to_string();
        assert!(error.contains(expected) && !error.contains(KEY), "{error}");
        assert_eq!(server.requests().len(), 1, "{status}");
    }
    // A key from a file often ends in a line feed, which is not sent; what comes back has none.
    let echoed = "plain-hunter-value";
    let refusal = refuses("401 Unauthorized", &format!("no such key: {echoed}"), &[]);
    let server = Server::start(vec![refusal]).await;
    let mut config = config(&server.url);
    provider(&mut config).api_key = "${SOME_VARIABLE}".into();
    let environment = [("SOME_VARIABLE", "plain-hunter-value\n")];
    let error = way(&config, &environment).ask(&question()).await;
    let error = error.expect_err("it is refused").to_string();
    assert!(
        error.contains("[redacted]") && !error.contains(echoed),
        "{error}"
    );
    let page = Reply {
        content_type: "text/html; charset=utf-8",
        pieces: vec![b"<html>It works!</html>".to_vec()],
        ..stream(&[])
    };
    let (error, _) = error_of(vec![page]).await;
    assert!(
        error.to_string().contains("text/html") && error.to_string().contains("/v1"),
        "{error}"
    );
    let page = Reply {
        pieces: vec![b"data: <html>\n\n".to_vec()],
        ..stream(&[])
    };
    let (error, _) = error_of(vec![page]).await;
    assert!(
        error.to_string().contains("not the answer of a model"),
        "{error}"
    );
    let report = json!({ "error": { "message": "overloaded" } });
    let (error, _) = error_of(vec![stream(&[report])]).await;
    assert!(error.to_string().contains("overloaded"), "{error}");
}

#[tokio::test]
async fn a_model_that_falls_silent_is_given_up() {
    for pieces in [Vec::new(), vec![b"data: {\"choices\":[]}\n\n".to_vec()]] {
        let silent = Reply {
            pieces,
            end: End::Hang,
            ..stream(&[])
        };
        let server = Server::start(vec![silent]).await;
        let mut config = config(&server.url);
        config.llm.idle_timeout = 1;
        let error = way(&config, &[]).ask(&question()).await;
        let error = error.expect_err("it never answers");
        assert!(matches!(error, Error::Idle(1)), "{error}");
        server.wait_for_close().await;
    }
}

#[tokio::test]
async fn a_slow_model_is_waited_for_as_long_as_something_comes() {
    let body = events(&[
        json!({ "choices": [{ "index": 0, "delta": { "content": "slowly" } }] }),
        json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": "stop" }] }),
    ]);
    let drip = Reply {
        pieces: body.as_bytes().chunks(12).map(<[u8]>::to_vec).collect(),
        pause: Duration::from_millis(120),
        ..stream(&[])
    };
    let server = Server::start(vec![drip]).await;
    let mut config = config(&server.url);
    config.llm.idle_timeout = 1;
    let started = Instant::now();
    let (answer, _) = way(&config, &[])
        .ask(&question())
        .await
        .expect("it answers");
    assert_eq!(answer.text, "slowly");
    assert!(
        started.elapsed() > Duration::from_secs(1),
        "the answer took longer than the idle time"
    );
}

#[tokio::test]
async fn dropping_a_call_closes_its_socket() {
    let silent = Reply {
        end: End::Hang,
        ..stream(&[])
    };
    let server = Server::start(vec![silent]).await;
    let mut way = way(&config(&server.url), &[]);
    let call = tokio::spawn(async move { way.ask(&question()).await.is_ok() });
    server.wait_for_requests(1).await;
    call.abort();
    server.wait_for_close().await;
}

#[tokio::test]
async fn a_budget_fails_closed() {
    let server = Server::start(vec![says("one"), says("two")]).await;
    let mut config = config(&server.url);
    config.agent.tokens_max = 100;
    let error = way(&config, &[])
        .ask(&question())
        .await
        .expect_err("tools alone cost more");
    assert!(matches!(error, Error::Budget { .. }), "{error}");
    assert!(server.requests().is_empty());

    let small = Request {
        tools: Vec::new(),
        ..question()
    };
    config.agent.tokens_max = 300;
    config.llm.max_tokens = 200;
    let costly = stream(&[
        json!({ "choices": [{ "index": 0, "delta": { "content": "x" }, "finish_reason": "stop" }] }),
        usage(10, 190),
    ]);
    let server = Server::start(vec![costly]).await;
    provider(&mut config).base_url.clone_from(&server.url);
    let mut way = way(&config, &[]);
    way.ask(&small).await.expect("the first call fits");
    let error = way.ask(&small).await.expect_err("the second does not");
    assert!(
        matches!(
            error,
            Error::Budget {
                tokens_max: 300,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(server.requests().len(), 1);
    let long = saying(&"word ".repeat(100_000));
    let mut roomy = config.clone();
    roomy.agent.tokens_max = 10_000_000;
    let error = super::way(&roomy, &[])
        .ask(&long)
        .await
        .expect_err("too long");
    assert!(matches!(error, Error::TooLong { .. }), "{error}");
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn nothing_leaves_before_a_model_was_chosen_and_its_key_is_there() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let host = host(folder.path(), &[]);
    let redactor = Redactor::default();
    let error = Gateway::open(&host, &Config::default(), &redactor).expect_err("none is chosen");
    assert!(
        error.to_string().contains("MELIORA_LLM__PROVIDER"),
        "{error}"
    );

    let server = Server::start(vec![says("hello")]).await;
    let mut config = config(&server.url);
    provider(&mut config).api_key = "${NOT_SET}".into();
    let error = way(&config, &[])
        .ask(&question())
        .await
        .expect_err("the key is missing");
    assert!(
        error.to_string().contains("${NOT_SET}, which is not set"),
        "{error}"
    );
    assert!(server.requests().is_empty());

    let elsewhere = Action::Connect {
        url: "http://127.0.0.1:1/v1/chat/completions".to_owned(),
    };
    let policy = Policy::new(&host, &config, folder.path());
    assert!(safety::permit(&policy, elsewhere).is_err());
}

#[tokio::test]
async fn secrets_of_the_environment_are_taken_out_of_every_request() {
    let server = Server::start(vec![says("hello")]).await;
    let mut way = way(&config(&server.url), &[("SOME_TOKEN", "swordfish-12345")]);
    let mut request = saying("the token is swordfish-12345");
    let secret = || "swordfish-12345".to_owned();
    request.messages.push(Message::Assistant {
        text: secret(),
        calls: vec![ToolCall {
            id: secret(),
            name: secret(),
            arguments: secret(),
        }],
        thoughts: Thoughts {
            model: "parrot".to_owned(),
            blocks: vec![json!({ "type": "reasoning", "thinking": secret() })],
        },
    });
    request.messages.push(Message::Tool {
        call: secret(),
        name: secret(),
        text: "TOKEN=swordfish-12345 and ghp_abcdefghijklmnopqrstuvwxyz0123456789".to_owned(),
    });
    request.tools.push(ToolSpec {
        name: secret(),
        description: format!("use {}", secret()),
        parameters: json!({ "type": "object", "title": "kept", "properties": {
            "at": { "type": "string", "default": secret(), "examples": [{ "api_key": "q7Vd93kfPz02Lm8XbT41" }] } } }),
    });
    let mut anthropic = config(&server.url);
    let provider = anthropic.llm.providers.get_mut("scripted");
    provider.expect("it is configured").wire = Some(Wire::Anthropic);
    let environment = [("SOME_TOKEN", "swordfish-12345")];
    way.ask(&request).await.expect("an answer");
    // Only what is sent matters of the other wire, which sends thoughts as well.
    let _ = super::way(&anthropic, &environment).ask(&request).await;
    assert_eq!(server.requests().len(), 2);
    let sent = server.transcript();
    for part in ["swordfish", "ghp_abc", "q7Vd93"] {
        assert!(!sent.contains(part), "{part}: {sent}");
    }
    assert!(sent.contains("[redacted]") && sent.contains("\"title\":\"kept\""));
}

#[tokio::test]
async fn a_model_without_tool_calls_is_asked_for_actions_by_schema() {
    let action = r#"{"tool": "read_file", "arguments": {"path": "a.rs"}}"#;
    let script = vec![
        refuses("400 Bad Request", "this model does not support tools", &[]),
        says(action),
        says(r#"{"tool": "finish", "arguments": {"summary": "all done"}}"#),
    ];
    let server = Server::start(script).await;
    let mut way = way(&config(&server.url), &[]);
    let (answer, _) = way.ask(&question()).await.expect("an answer");
    assert_eq!(
        (answer.finish, answer.calls[0].name.as_str()),
        (Finish::Tools, "read_file")
    );
    let (answer, _) = way.ask(&question()).await.expect("an answer");
    assert_eq!(
        (answer.finish, answer.text.as_str()),
        (Finish::Stop, "all done")
    );
    let requests = server.requests();
    assert!(requests[0].body["tools"].is_array());
    for request in &requests[1..] {
        assert_eq!(request.body["tools"], Value::Null);
        assert_eq!(request.body["response_format"]["type"], "json_schema");
    }
}

#[tokio::test]
async fn a_server_that_refuses_parts_of_a_request_is_asked_without_them() {
    let script = vec![
        refuses("400 Bad Request", "unknown field stream_options", &[]),
        refuses(
            "400 Bad Request",
            "use 'max_completion_tokens' instead",
            &[],
        ),
        refuses("400 Bad Request", "temperature is not supported", &[]),
        refuses(
            "422 Unprocessable Entity",
            "response_format is not supported",
            &[],
        ),
        says("fine"),
    ];
    let server = Server::start(script).await;
    let mut config = config(&server.url);
    config.llm.temperature = Some(0.2);
    config.llm.actions = ActionStyle::Schema;
    way(&config, &[])
        .ask(&question())
        .await
        .expect("it answers at last");
    let last = server.requests().pop().expect("five requests").body;
    for gone in [
        "stream_options",
        "max_tokens",
        "temperature",
        "response_format",
    ] {
        assert_eq!(last[gone], Value::Null, "{gone}");
    }
    assert_eq!(last["max_completion_tokens"], 4096);
}

#[tokio::test]
async fn an_answer_in_one_piece_and_one_in_json_text_are_understood() {
    let whole = json!({
        "choices": [{ "index": 0, "message": { "role": "assistant", "content": null, "tool_calls": [
            { "id": "x", "type": "function", "function": { "name": "read_file", "arguments": { "path": "a" } } },
        ] }, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 3, "completion_tokens": 4 },
    });
    let one_piece = Reply {
        content_type: "application/json",
        pieces: vec![whole.to_string().into_bytes()],
        ..stream(&[])
    };
    let script = vec![
        one_piece,
        says("```json\n{\"name\": \"read_file\", \"arguments\": {\"path\": \"a\"}}\n```"),
        calls("read_file", &json!({ "path": "a" })),
    ];
    let server = Server::start(script).await;
    let mut way = way(&config(&server.url), &[]);
    for _ in 0..3 {
        let (answer, _) = way.ask(&question()).await.expect("an answer");
        assert_eq!(answer.finish, Finish::Tools);
        assert_eq!(answer.calls[0].name, "read_file");
        assert_eq!(
            answer.calls[0].parsed().expect("JSON"),
            json!({ "path": "a" })
        );
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named() {
    let server = Server::start(Vec::new()).await;
    let url = server.url.clone();
    drop(server);
    let mut config = config(&url);
    config.llm.idle_timeout = 60;
    let error = way(&config, &[])
        .ask(&question())
        .await
        .expect_err("nobody listens");
    let error = error.to_string();
    assert!(
        error.contains("cannot reach") && error.contains("is the server running"),
        "{error}"
    );
}

#[tokio::test]
async fn a_whole_answer_counts_whatever_the_connection_does_after_it() {
    for end in [End::Hang, End::Reset] {
        let reply = Reply {
            end,
            pause: Duration::from_millis(1),
            ..says("hello")
        };
        let server = Server::start(vec![reply]).await;
        let (answer, _) = way(&config(&server.url), &[])
            .ask(&question())
            .await
            .expect("it is whole");
        assert_eq!(
            (answer.text.as_str(), answer.usage.tokens_in),
            ("hello", 20)
        );
        assert_eq!(server.requests().len(), 1);
    }
}

#[tokio::test]
async fn an_address_with_a_password_is_refused_and_shown_nowhere() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let host = host(folder.path(), &[]);
    let config = config("https://me:hunter2-long@models.example/v1");
    let error = Gateway::open(&host, &config, &Redactor::default()).expect_err("it is refused");
    let error = error.to_string();
    assert!(
        error.contains("api_key") && !error.contains("hunter2"),
        "{error}"
    );
    let ground = super::tasks::Ground::new(&[("a.py", "x = 1\n")]);
    let ended = ground.run(config, "what is x?").await;
    let told = format!("{:?} {}", ended.events, ended.failure());
    assert!(
        told.contains("api_key") && !told.contains("hunter2"),
        "{told}"
    );
}
