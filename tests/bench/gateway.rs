//! What the gateway costs beside the model: how fast answers are read, how soon a request is out, and how much it has.
//!
//! `cargo bench --bench gateway` measures four things against a model server in this process that answers at once:
//! how many megabytes of server-sent events a second become answers; how long after a prompt is ready its request has
//! reached the server; how long after its start a fresh `meliora run` has sent its first request; and `meliora model
//! call` beside `curl` with the same body, in turns. `-- --quick` does few of everything, to see that it works:
//! `cargo bench --profile dev --bench gateway -- --quick` needs no release build.
#![expect(clippy::print_stdout, reason = "the figures are the result")]
#![expect(
    clippy::indexing_slicing,
    reason = "a bench that panics has failed, which says what is wrong"
)]

mod model;
mod sse;

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use meliora::config::Config;
use meliora::config::host::Host;
use meliora::llm::gateway::Gateway;
use meliora::llm::message::{Message, Request, ToolSpec};
use meliora::redact::Redactor;
use meliora::safety::{self, Policy};
use model::Model;
use serde_json::{Value, json};

/// Bytes of the prompt whose request is timed: what a run with a full context sends.
const PROMPT_BYTES: usize = 64 * 1024;

fn main() {
    let has = |wanted: &str| std::env::args().any(|argument| argument == wanted);
    // Cargo says --test when it only wants to see that benches start.
    if has("--test") {
        return;
    }
    let is_quick = has("--quick");
    let rounds = if is_quick { 3 } else { 40 };
    sse::measure(is_quick);
    let model = Model::start(|_| model::ANSWER.to_owned());
    println!("\n| what | median | slowest of {rounds} | wanted |\n|---|---|---|---|");
    let dispatch = dispatch(&model, rounds);
    row(
        "a request is out after its prompt is ready",
        dispatch,
        "2 ms",
    );
    let bodies = first_requests(&model, rounds);
    beside_curl(&model, rounds);
    sizes(&bodies);
}

/// One line of the table.
fn row(what: &str, mut times: Vec<Duration>, wanted: &str) {
    times.sort();
    let shown = |time: Duration| format!("{:.2} ms", time.as_secs_f64() * 1000.0);
    let median = shown(times[times.len() / 2]);
    let slowest = shown(times[times.len() - 1]);
    println!("| {what} | {median} | {slowest} | {wanted} |");
}

/// From a prompt that is ready to its request at the server: secrets taken out, tokens counted, money set aside.
fn dispatch(model: &Model, rounds: usize) -> Vec<Duration> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let home = folder.path().display().to_string();
    let environment = [("HOME", home), ("MY_TOKEN", "swordfish-12345".to_owned())];
    let environment = environment.map(|(name, value)| (name.to_owned(), value));
    let host = Host::from_environment(env!("CARGO_BIN_EXE_meliora").into(), environment.into());
    let host = Arc::new(host);
    let config = config(&model.url);
    let redactor = Redactor::new(host.secrets());
    let mut gateway = Gateway::open(&host, &config, &redactor).expect("it is configured");
    let policy = Policy::new(&host, &config, folder.path());
    let request = request();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let mut once = || {
        let ready = Instant::now();
        let permit = safety::permit(&policy, gateway.action()).expect("it is the endpoint");
        let asked = runtime.block_on(gateway.ask(&permit, &request, &mut |_| {}));
        asked.expect("an answer");
        model.take_all().first().expect("a request").at - ready
    };
    // The first one opens the connection.
    once();
    (0..rounds).map(|_| once()).collect()
}

fn config(url: &str) -> Config {
    let mut config = Config::default();
    "bench".clone_into(&mut config.llm.provider);
    "parrot".clone_into(&mut config.llm.model);
    config.agent.tokens_max = u64::MAX;
    let provider = config.llm.providers.entry("bench".to_owned());
    url.clone_into(&mut provider.or_default().base_url);
    config
}

/// A conversation of the usual size about this very file.
fn request() -> Request {
    let code = include_str!("gateway.rs");
    let mut text = code.repeat(PROMPT_BYTES / code.len() + 1);
    text.truncate(PROMPT_BYTES);
    Request {
        messages: vec![
            Message::System {
                text: "be brief".to_owned(),
            },
            Message::User { text },
        ],
        tools: vec![ToolSpec {
            name: "look".to_owned(),
            description: "Looks.".to_owned(),
            parameters: json!({ "type": "object" }),
        }],
    }
}

/// From the start of the program to the first request of a run: where nothing checks, and in a project of Cargo. Gives
/// the bodies.
fn first_requests(model: &Model, rounds: usize) -> Vec<(&'static str, Vec<u8>)> {
    let loose: &[(&str, &str)] = &[("a.txt", "hello\n"), (".agent/config.toml", "")];
    let cargo: &[(&str, &str)] = &[
        (
            "Cargo.toml",
            "[package]\nname = \"small\"\nversion = \"0.1.0\"\nedition = \"2021\"\n",
        ),
        ("src/lib.rs", "pub fn two() -> u32 {\n    2\n}\n"),
    ];
    let mut bodies = Vec::new();
    for (what, files) in [("a folder", loose), ("a project of Cargo", cargo)] {
        let mut times = Vec::new();
        let mut last = Vec::new();
        for _ in 0..rounds {
            let folder = tempfile::tempdir().expect("a temporary folder");
            for (path, text) in files {
                let path = folder.path().join("work").join(path);
                std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
                std::fs::write(path, text).expect("written");
            }
            let mut command = program(folder.path(), &model.url);
            command.args(["run", "say hello"]);
            let started = Instant::now();
            let status = command.status().expect("our program starts");
            let seen = model.take_all().into_iter().next();
            let seen = seen.unwrap_or_else(|| panic!("no request, and {status}"));
            times.push(seen.at - started);
            last = seen.body;
        }
        let what_long = format!("first request of `meliora run` in {what} after its start");
        row(&what_long, times, "50 ms");
        bodies.push((what, last));
    }
    bodies
}

/// The program in a home of its own and the workspace beside it.
fn program(folder: &Path, url: &str) -> Command {
    let settings = folder.join("home/.config/agent");
    let work = folder.join("work");
    std::fs::create_dir_all(&settings).expect("made");
    std::fs::create_dir_all(&work).expect("made");
    let text = format!(
        "[llm]\nprovider = 'bench'\nmodel = 'parrot'\n[llm.providers.bench]\nbase_url = '{url}'\n"
    );
    std::fs::write(settings.join("config.toml"), text).expect("written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_meliora"));
    command
        .current_dir(work)
        .env("HOME", folder.join("home"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// `meliora model call` and `curl` in turns: whole processes, the same body, the same server.
fn beside_curl(model: &Model, rounds: usize) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let body = folder.path().join("body.json");
    let Message::User { text } = &request().messages[1] else {
        panic!("it is what the user says");
    };
    let messages = json!([{ "role": "user", "content": text }]);
    let question = json!({ "model": "parrot", "stream": true, "messages": messages });
    std::fs::write(&body, question.to_string()).expect("written");
    let asked = folder.path().join("messages.json");
    std::fs::write(&asked, messages.to_string()).expect("written");
    let curl = || {
        let mut curl = Command::new("curl");
        curl.args([
            "-sS",
            "-o",
            "/dev/null",
            "-H",
            "Content-Type: application/json",
        ])
        .args(["--data-binary", &format!("@{}", body.display())])
        .arg(format!("{}/chat/completions", model.url))
        .stdin(Stdio::null());
        curl
    };
    let ours = || {
        let mut ours = program(folder.path(), &model.url);
        ours.args(["model", "call"]).arg(&asked);
        ours
    };
    if curl().status().is_err() {
        println!("| curl is not here, so nothing stands beside it | | | |");
        return;
    }
    let timed = |mut command: Command| {
        let started = Instant::now();
        let status = command.status().expect("it starts");
        assert!(status.success(), "{command:?}: {status}");
        started.elapsed()
    };
    let (mut theirs, mut own) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        theirs.push(timed(curl()));
        own.push(timed(ours()));
    }
    drop(model.take_all());
    row("`curl` with a prompt of 64 KiB, start to end", theirs, "");
    row("`meliora model call` with the same", own, "");
}

/// What every request of a run carries, in bytes.
fn sizes(bodies: &[(&str, Vec<u8>)]) {
    println!("\n| first request in | all | prompts | tools | prompts and tools, wanted 12288 |");
    println!("|---|---|---|---|---|");
    for (what, body) in bodies {
        let sent: Value = serde_json::from_slice(body).expect("it is JSON");
        let messages = sent["messages"].as_array().expect("a list");
        let texts = messages.iter().filter_map(|said| said["content"].as_str());
        let prompts: usize = texts.map(str::len).sum();
        let tools = sent["tools"].to_string().len();
        println!(
            "| {what} | {} | {prompts} | {tools} | {} |",
            body.len(),
            prompts + tools
        );
    }
}
