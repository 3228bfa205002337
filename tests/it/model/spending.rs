//! Budgets, prices, limits per minute, resting endpoints and shared work, against the scripted server.

use std::path::Path;
use std::time::{Duration, Instant};

use meliora::config::Config;
use meliora::config::doors::Endpoint;
use meliora::config::spending::{Job, Order, Price};
use meliora::llm::Error;
use meliora::llm::gateway::{Caller, Gateway, OnWait};
use meliora::llm::message::{Answer, Request};
use meliora::redact::Redactor;
use meliora::safety::{self, Policy};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::calling::{finish, program};
use super::scripted::{End, Reply, Server, refuses, says, stream, usage};
use super::{config, host, provider};

const HELLO: &str = r#"[{"role": "user", "content": "hello"}]"#;

fn question() -> Request {
    Request {
        tools: Vec::new(),
        ..super::question()
    }
}

fn gateway(home: &Path, config: &Config, job: Job) -> Result<Gateway, Error> {
    let caller = Caller {
        job,
        run: "r-1".to_owned(),
        prompt: "do@1".to_owned(),
    };
    let variables = [("FIRST", "first-key-1234"), ("SECOND", "second-key-1234")];
    Gateway::open_for(
        caller,
        &host(home, &variables),
        config,
        &Redactor::default(),
    )
}

/// One call by a way of its own, as another process would make it.
async fn ask(home: &Path, config: &Config) -> Result<Answer, Error> {
    let mut gateway = gateway(home, config, Job::Edit)?;
    ask_by(home, config, &mut gateway).await
}

async fn ask_by(home: &Path, config: &Config, gateway: &mut Gateway) -> Result<Answer, Error> {
    let policy = Policy::new(&host(home, &[]), config, home);
    let permit = safety::permit(&policy, gateway.action()).expect("it is the endpoint");
    gateway.ask(&permit, &question(), &mut |_| {}).await
}

fn hangs() -> Reply {
    Reply {
        end: End::Hang,
        pieces: Vec::new(),
        ..stream(&[])
    }
}

/// What `meliora cost` tells of a home.
async fn cost(home: &Path, by: &str) -> Value {
    let mut command = program(home, "http://127.0.0.1:9/v1");
    command.args(["cost", "--json", "--by", by]);
    command.env("XDG_STATE_HOME", home.join("home/.local/state"));
    let output = finish(command, "").await;
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

#[tokio::test]
async fn processes_at_once_and_killed_ones_never_spend_more_than_a_day_allows() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(vec![hangs()]).await;
    let command = || {
        let mut command = program(home.path(), &server.url);
        // Three calls with a thousand tokens for their answer, and not a fourth one.
        let settings = ["llm.max_tokens=1000", "llm.budget.day_tokens_max=3200"];
        command.args(["model", "call"]);
        for setting in settings {
            command.args(["--set", setting]);
        }
        command
    };
    let mut going = Vec::new();
    for _ in 0..5 {
        let mut child = command().spawn().expect("our program starts");
        let mut stdin = child.stdin.take().expect("it is a pipe");
        tokio::io::AsyncWriteExt::write_all(&mut stdin, HELLO.as_bytes())
            .await
            .expect("it reads");
        going.push(child);
    }
    server.wait_for_requests(3).await;
    let mut refused = 0;
    let deadline = Instant::now() + Duration::from_secs(60);
    while refused < 2 {
        assert!(Instant::now() < deadline, "{refused} of 2 were refused");
        for child in &mut going {
            let ended = child.try_wait().expect("it is ours");
            refused += usize::from(ended.is_some());
        }
        going.retain(|child| child.id().is_some());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!((going.len(), server.requests().len()), (3, 3));
    for mut child in going {
        child.kill().await.expect("it is killed");
    }

    // Nobody knows what the killed ones used, so they stay paid for.
    let output = finish(command(), HELLO).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("llm.budget.day_tokens_max"), "{said}");
    assert_eq!(server.requests().len(), 3);
}

#[tokio::test]
async fn money_is_counted_by_what_was_reported_and_an_unknown_price_is_refused() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(vec![says("hello")]).await;
    let mut config = config(&server.url);
    config.llm.max_tokens = 200;
    config.llm.budget.day_usd_max = Some(0.01);
    let error = ask(home.path(), &config)
        .await
        .expect_err("nobody knows the price");
    assert!(
        error.to_string().contains("[llm.prices.\"parrot\"]"),
        "{error}"
    );
    assert!(server.requests().is_empty());

    let price = Price {
        input: 10.0,
        output: 20.0,
        cached: None,
    };
    config.llm.prices.insert("parrot".to_owned(), price);
    let mut calls = 0;
    let error = loop {
        match ask(home.path(), &config).await {
            Ok(_) => calls += 1,
            Err(error) => break error,
        }
    };
    // Each costs 20 tokens in and 5 out; one that may cost more than what is left is not made.
    assert!(
        error.to_string().contains("llm.budget.day_usd_max"),
        "{error}"
    );
    assert_eq!(server.requests().len(), calls);
    assert!((20..=33).contains(&calls), "{calls}");

    let spent = cost(home.path(), "run").await;
    let run = &spent["groups"]["r-1"];
    assert_eq!(run["calls"], json!(calls));
    assert_eq!(run["tokens_in"], json!(20 * calls));
    assert_eq!(
        (&run["unpriced"], &run["counted"], &run["unended"]),
        (&json!(0), &json!(0), &json!(0))
    );
    let usd = run["usd"].as_f64().expect("a number");
    assert!(
        (usd - 0.0003 * f64::from(u32::try_from(calls).expect("few"))).abs() < 1e-9,
        "{usd}"
    );
    assert!(usd <= 0.01);
    for (by, name) in [("model", "scripted/parrot"), ("prompt", "do@1")] {
        assert_eq!(
            cost(home.path(), by).await["groups"][name]["calls"],
            json!(calls)
        );
    }

    // The money of a run is its own.
    config.llm.budget.day_usd_max = None;
    config.llm.budget.run_usd_max = Some(0.002);
    let error = ask(home.path(), &config)
        .await
        .expect_err("an answer may cost twice as much");
    assert!(
        error.to_string().contains("llm.budget.run_usd_max"),
        "{error}"
    );
}

#[tokio::test]
async fn a_limit_that_cannot_be_judged_refuses_and_without_one_the_call_is_made() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(vec![says("hello")]).await;
    let mut config = config(&server.url);
    let unlimited = config.clone();
    config.llm.budget.day_tokens_max = Some(1_000_000);
    ask(home.path(), &config).await.expect("an answer");
    let folder = home.path().join("home/.local/state/meliora/spending");
    let file = std::fs::read_dir(&folder).expect("there is one").next();
    let file = file.expect("a day").expect("readable").path();
    let sound = std::fs::read_to_string(&file).expect("text");
    assert!(
        !sound.contains("hello"),
        "what was said is nobody's business: {sound}"
    );
    std::fs::write(&file, format!("{sound}{{\"begin\":{{\"id\"")).expect("written");
    // The line that was cut off by a power cut is ended by whoever comes next, and cannot be read.
    ask(home.path(), &unlimited).await.expect("an answer");
    let error = ask(home.path(), &config)
        .await
        .expect_err("what is spent is not known");
    assert!(error.to_string().contains("line 3 is damaged"), "{error}");
    assert_eq!(cost(home.path(), "day").await["unread"], 1);

    std::fs::remove_dir_all(&folder).expect("removed");
    std::fs::write(&folder, "in the way").expect("written");
    ask(home.path(), &unlimited).await.expect("an answer");
    let error = ask(home.path(), &config)
        .await
        .expect_err("what is spent is not known");
    assert!(
        error.to_string().contains("[llm.budget] limits a day"),
        "{error}"
    );
    assert_eq!(server.requests().len(), 3);
}

#[tokio::test]
async fn a_dropped_call_costs_what_had_come() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let begun = json!({ "choices": [{ "index": 0, "delta": { "content": "one two three" } }] });
    let reply = Reply {
        pieces: vec![format!("data: {begun}\n\n").into_bytes()],
        ..hangs()
    };
    let server = Server::start(vec![reply]).await;
    let config = config(&server.url);
    let mut gateway = gateway(home.path(), &config, Job::Edit).expect("a way");
    let policy = Policy::new(&host(home.path(), &[]), &config, home.path());
    let permit = safety::permit(&policy, gateway.action()).expect("it is the endpoint");
    let (told, mut first) = mpsc::channel(1);
    let mut tell = |_: &str| {
        // Only the first piece matters.
        let _ = told.try_send(());
    };
    let question = question();
    {
        let asking = gateway.ask(&permit, &question, &mut tell);
        tokio::select! {
            _ = asking => panic!("the server says nothing more"),
            _ = first.recv() => {}
        }
    }
    server.wait_for_close().await;
    let spent = cost(home.path(), "day").await;
    let total = &spent["total"];
    assert_eq!((&total["calls"], &total["unended"]), (&json!(1), &json!(0)));
    let out = total["tokens_out"].as_u64().expect("a number");
    assert!((3..10).contains(&out), "{spent}");
}

#[tokio::test]
async fn what_an_attempt_without_an_answer_may_have_cost_is_paid_for() {
    let silent = |end| Reply {
        status: "",
        end,
        ..hangs()
    };
    let thought = json!({ "choices": [{ "index": 0, "delta": { "reasoning_content": "hm" } }] });
    let trouble = json!({ "error": { "type": "overloaded_error", "message": "try again in 1ms" } });
    let broke = stream(&[thought, usage(20, 2_000), trouble]);
    let busy = refuses("503 Service Unavailable", "later", &["retry-after-ms: 1"]);
    let mut config = config("");
    config.llm.max_tokens = 200;
    config.llm.idle_timeout = 1;
    let with = |url: &str| {
        let provider = config.llm.providers.get("scripted").cloned();
        let mut provider = provider.expect("it is configured");
        url.clone_into(&mut provider.base_url);
        let mut config = config.clone();
        config.llm.providers.insert("scripted".to_owned(), provider);
        config
    };
    for (script, calls, tokens_in, tokens_out) in [
        (vec![busy, says("hello")], 1, 20..=20, 5),
        (
            vec![broke.clone(), broke.clone(), says("hello")],
            3,
            60..=60,
            4_005,
        ),
        (vec![silent(End::Reset), says("hello")], 2, 21..=60, 5),
        (vec![silent(End::Hang)], 1, 1..=40, 0),
    ] {
        let home = tempfile::tempdir().expect("a temporary folder");
        let server = Server::start(script.clone()).await;
        let answer = ask(home.path(), &with(&server.url)).await;
        assert_eq!(answer.is_ok(), script.len() > 1, "{answer:?}");
        let total = cost(home.path(), "day").await["total"].take();
        assert_eq!(
            (&total["calls"], &total["tokens_out"]),
            (&json!(calls), &json!(tokens_out)),
            "{script:?}"
        );
        let sent = total["tokens_in"].as_u64().expect("a number");
        assert!(tokens_in.contains(&sent), "{total} {script:?}");
    }

    // What is left after two of them is not enough for a third.
    let home = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(vec![broke]).await;
    let mut limited = with(&server.url);
    limited.llm.budget.day_tokens_max = Some(3_000);
    let error = ask(home.path(), &limited).await.expect_err("it is refused");
    assert!(
        error.to_string().contains("llm.budget.day_tokens_max"),
        "{error}"
    );
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn an_endpoint_that_fails_again_and_again_rests_and_another_one_is_asked() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let busy = || refuses("503 Service Unavailable", "later", &["retry-after-ms: 1"]);
    let first = Server::start(vec![busy()]).await;
    let mut config = config(&first.url);
    for _ in 0..3 {
        let error = ask(home.path(), &config).await.expect_err("it is busy");
        assert!(error.to_string().contains("503"), "{error}");
    }
    let asked = first.requests().len();
    let error = ask(home.path(), &config).await.expect_err("it rests");
    assert!(error.to_string().contains("is asked again in"), "{error}");
    assert_eq!(first.requests().len(), asked, "nothing is sent to it");

    // The same provider at another address is asked at once, and a run that meets a failing one goes on there.
    let second = Server::start(vec![says("hello")]).await;
    let endpoint = |url: &str| Endpoint {
        base_url: url.to_owned(),
        api_key: "".into(),
    };
    let provider = provider(&mut config);
    provider.endpoints = vec![endpoint(&first.url), endpoint(&second.url)];
    ask(home.path(), &config)
        .await
        .expect("the other one answers");
    assert_eq!(first.requests().len(), asked);

    let elsewhere = tempfile::tempdir().expect("a temporary folder");
    let mut turned = false;
    for _ in 0..8 {
        let mut gateway = gateway(elsewhere.path(), &config, Job::Edit).expect("a way");
        if let Err(error) = ask_by(elsewhere.path(), &config, &mut gateway).await {
            assert!(gateway.fall_back(&error), "{error}");
            let answer = ask_by(elsewhere.path(), &config, &mut gateway).await;
            assert_eq!(answer.expect("the other one answers").text, "hello");
            turned = true;
        }
    }
    assert!(turned || first.requests().len() == asked);
}

#[tokio::test]
async fn several_keys_and_addresses_share_the_work() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(vec![says("hello")]).await;
    let mut config = config(&server.url);
    let provider = provider(&mut config);
    provider.endpoints = ["${FIRST}", "${SECOND}"]
        .map(|key| Endpoint {
            base_url: String::new(),
            api_key: key.into(),
        })
        .to_vec();
    for _ in 0..6 {
        ask(home.path(), &config).await.expect("an answer");
    }
    let requests = server.requests();
    let with = |key: &str| {
        requests
            .iter()
            .filter(|seen| seen.head.contains(key))
            .count()
    };
    assert_eq!((with("first-key-1234"), with("second-key-1234")), (3, 3));
}

#[tokio::test]
async fn a_call_waits_for_room_within_a_minute_and_can_be_cancelled() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(vec![says("hello")]).await;
    for (requests, tokens) in [(2, 0), (0, 4_200)] {
        let home = home.path().join(format!("{requests}"));
        let mut config = config(&server.url);
        let provider = provider(&mut config);
        provider.requests_per_minute = requests;
        provider.tokens_per_minute = tokens;
        let before = server.requests().len();
        ask(&home, &config).await.expect("an answer");
        ask(&home, &config).await.expect("an answer");
        if tokens > 0 {
            // Fifty tokens are used; an answer of four thousand more than that may come.
            config.llm.max_tokens = 4_180;
        }
        let (told, mut waits) = mpsc::channel(1);
        let mut gateway = gateway(&home, &config, Job::Edit).expect("a way");
        gateway.on_wait = Some(OnWait(Box::new(move |what, wait| {
            told.try_send((what.to_owned(), wait))
                .expect("it waits once");
        })));
        let (what, wait) = tokio::select! {
            _ = ask_by(&home, &config, &mut gateway) => panic!("there is no room"),
            told = waits.recv() => told.expect("it says why"),
        };
        assert!(what.contains("limits"), "{what}");
        assert!(
            wait > Duration::from_secs(30) && wait <= Duration::from_secs(60),
            "{wait:?}"
        );
        assert_eq!(server.requests().len(), before + 2);
    }
}

#[tokio::test]
async fn each_job_is_asked_of_its_own_models_the_cheapest_first_if_wanted() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(vec![says("hello")]).await;
    let mut config = config(&server.url);
    let routes = &mut config.llm.routes;
    routes.explain = ["dear", "unknown", "cheap"]
        .map(|model| format!("scripted/{model}"))
        .to_vec();
    for (model, input) in [("dear", 5.0), ("cheap", 0.5)] {
        let price = Price {
            input,
            output: 1.0,
            cached: None,
        };
        config.llm.prices.insert(model.to_owned(), price);
    }
    let order = |config: &Config, job| {
        let mut gateway = gateway(home.path(), config, job).expect("a way");
        let error = Error::Idle(1);
        let mut models = vec![gateway.model().to_owned()];
        while gateway.fall_back(&error) {
            models.push(gateway.model().to_owned());
        }
        models
    };
    assert_eq!(order(&config, Job::Edit), ["parrot"]);
    assert_eq!(order(&config, Job::Explain), ["dear", "unknown", "cheap"]);
    config.llm.routes.order = Order::Cheapest;
    assert_eq!(order(&config, Job::Explain), ["cheap", "dear", "unknown"]);
    config.llm.fallback.enabled = true;
    "scripted".clone_into(&mut config.llm.fallback.provider);
    "raven".clone_into(&mut config.llm.fallback.model);
    assert_eq!(
        order(&config, Job::Explain),
        ["cheap", "dear", "unknown", "raven"]
    );

    config.llm.routes.edit = vec!["parrot".to_owned()];
    let error = gateway(home.path(), &config, Job::Edit).expect_err("it names no provider");
    assert!(error.to_string().contains("provider/model"), "{error}");
}

#[tokio::test]
async fn a_request_leaves_without_waiting_for_anything() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(vec![says("hello")]).await;
    let mut config = config(&server.url);
    config.llm.budget.day_tokens_max = Some(100_000_000);
    let mut gateway = gateway(home.path(), &config, Job::Edit).expect("a way");
    let mut fastest = Duration::MAX;
    for number in 0..40 {
        let started = Instant::now();
        ask_by(home.path(), &config, &mut gateway)
            .await
            .expect("an answer");
        fastest = fastest.min(server.requests()[number].at - started);
    }
    // What has to be waited for, a look at the disk or a try that fails first, takes longer in each of them.
    assert!(fastest < Duration::from_millis(100), "{fastest:?}");
}
