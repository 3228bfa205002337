//! What acts stands in the journal before it does, in the order of happening, also when we are killed in the middle of
//! it; what was under way when a run was stopped is said to be uncertain.

use std::fs;
use std::io::Read as _;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use meliora::config::Config;
use meliora::event::RunEvent;
use meliora::permit::{Action, Decision};
use meliora::tools::witness::{Until, Witness};
use serde_json::{Value, json};

use crate::git_writes::git;
use crate::hands::Scene;
use crate::mcp::processes_with;
use crate::model::scripted::{Server, calls};
use crate::servers::tool;

/// Time in which everything that is to happen has happened, also on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(120);

/// A server that takes every call and answers none.
struct Silent {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Silent {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let heard = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&heard);
        std::thread::spawn(move || {
            let mut open = Vec::new();
            for mut stream in listener.incoming().flatten() {
                let mut piece = [0; 4096];
                let read = stream.read(&mut piece).unwrap_or_default();
                let text = String::from_utf8_lossy(&piece[..read]).into_owned();
                kept.lock().expect("nobody panicked").push(text);
                open.push(stream);
            }
        });
        Self { address, heard }
    }

    fn url(&self) -> String {
        format!("http://{}/never", self.address)
    }

    fn was_asked(&self) -> bool {
        !self.heard.lock().expect("nobody panicked").is_empty()
    }
}

/// A project whose user has these settings.
struct Ground {
    _folder: tempfile::TempDir,
    base: PathBuf,
}

impl Ground {
    fn new(settings: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let base = folder.path().canonicalize().expect("it exists");
        fs::create_dir_all(base.join("work")).expect("made");
        fs::create_dir_all(base.join("home/.config/agent")).expect("made");
        git(&base.join("work"), &base.join("home"), &["init", "-q"]);
        fs::write(base.join("work/notes.txt"), "one\n").expect("written");
        fs::write(base.join("home/.config/agent/config.toml"), settings).expect("written");
        Self {
            _folder: folder,
            base,
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_meliora"));
        command
            .args(arguments)
            .current_dir(self.base.join("work"))
            .env_remove("XDG_STATE_HOME")
            .env_remove("XDG_CACHE_HOME")
            .env_remove("XDG_CONFIG_HOME")
            .env("HOME", self.base.join("home"))
            .env("MELIORA_LSP__ENABLED", "false")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    /// Calls a tool, and comes back when it is under way.
    fn begin(&self, name: &str, arguments: &Value, is_underway: impl Fn() -> bool) -> Child {
        let arguments = arguments.to_string();
        let mut command = self.command(&["tool", "call", name, &arguments]);
        let child = command.spawn().expect("it started");
        wait_until(is_underway);
        child
    }

    /// The journal: what happened, and what it was about.
    fn entries(&self) -> Vec<Value> {
        let mut command = self.command(&["audit", "show", "--json", "--limit", "1000"]);
        let output = command.stdout(Stdio::piped()).output().expect("it started");
        let text = String::from_utf8(output.stdout).expect("text");
        let entries = text.lines().map(|line| {
            let entry: Value = serde_json::from_str(line).expect("JSON");
            entry["event"].clone()
        });
        entries.collect()
    }

    /// What is said of the last run.
    fn said_of_the_last(&self) -> (String, String) {
        let said = |arguments: &[&str]| {
            let output = self.command(arguments).stdout(Stdio::piped()).output();
            String::from_utf8(output.expect("it started").stdout).expect("text")
        };
        let list = said(&["history", "--limit", "1"]);
        let run = list.split(' ').next().expect("its name");
        let told = said(&["history", run]);
        (list, told)
    }

    /// Whether the journal has an event about an action.
    fn has(&self, event: &str, action: &str) -> bool {
        let entries = self.entries();
        entries
            .iter()
            .any(|entry| entry["event"] == event && entry["action"]["action"] == action)
    }
}

fn wait_until(happened: impl Fn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !happened() {
        assert!(Instant::now() < until, "it did not begin");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn stop(mut child: Child, signal: &str) {
    let pid = child.id().to_string();
    let sent = Command::new("kill").args([signal, &pid]).status();
    assert!(sent.expect("it ran").success());
    child.wait().expect("it ended");
}

/// A command line that never ends, and a word that only it has.
fn endless(name: &str) -> (Value, String) {
    let word = format!("notes.txt-{name}-{}", std::process::id());
    let command = format!("tail -n 1 -F notes.txt {word}");
    (json!({ "command": command }), word)
}

fn settings(silent: &Silent) -> String {
    let address = silent.address;
    format!("[tools.http]\nallowed_domains = [\"{address}\"]\n")
}

#[test]
fn what_acts_is_in_the_journal_before_it_does_also_when_we_are_killed() {
    let silent = Silent::start();
    let ground = Ground::new(&settings(&silent));
    let arguments = json!({ "url": silent.url() });
    let asking = ground.begin("http_get", &arguments, || silent.was_asked());
    stop(asking, "-KILL");
    assert!(ground.has("decided", "request"), "{:?}", ground.entries());
    // Whoever looks later is told that it may have been done.
    let (list, told) = ground.said_of_the_last();
    assert!(
        list.contains("did not finish: 1 action may have been done"),
        "{list}"
    );
    let of_run = format!("may have been done, or not: send GET {}", silent.url());
    assert!(told.contains(&of_run), "{told}");

    let (arguments, word) = endless("killed");
    let running = ground.begin("shell", &arguments, || processes_with(&word) > 1);
    stop(running, "-KILL");
    assert!(ground.has("decided", "shell"), "{:?}", ground.entries());
}

#[test]
fn a_server_of_tools_that_never_begins_is_in_the_journal_when_we_are_killed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let script = root.join("tests/tools/tool-server.py");
    let word = format!("witnessed-{}", std::process::id());
    let ground = Ground::new(&format!(
        "[tools.mcp.mine]\ncommand = {:?}\nargs = [{script:?}, \"silent\", {word:?}]\n",
        tool("python/python3")
    ));
    let starting = ground.begin("mine__echo", &json!({ "text": "a" }), || {
        processes_with(&word) > 0
    });
    stop(starting, "-KILL");
    assert!(ground.has("decided", "spawn"), "{:?}", ground.entries());
}

#[test]
fn what_was_under_way_when_it_is_stopped_may_have_been_done_and_the_journal_says_so() {
    let silent = Silent::start();
    let ground = Ground::new(&settings(&silent));
    let arguments = json!({ "url": silent.url() });
    let asking = ground.begin("http_get", &arguments, || silent.was_asked());
    stop(asking, "-INT");
    assert!(ground.has("uncertain", "request"), "{:?}", ground.entries());
    let last = ground.entries().pop().expect("it has entries");
    assert_eq!(last["event"], "finished", "the end of the run comes last");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_killed_or_cancelled_in_a_command_has_it_in_the_journal() {
    for (signal, name) in [("-KILL", "run-killed"), ("-INT", "run-cancelled")] {
        let (arguments, word) = endless(name);
        let model = Server::start(vec![calls("shell", &arguments)]).await;
        let ground = Ground::new("");
        let mut command = ground.command(&["run", "look at the notes"]);
        command
            .env("MELIORA_LLM__PROVIDER", "scripted")
            .env("MELIORA_LLM__MODEL", "parrot")
            .env("MELIORA_LLM__PROVIDERS__SCRIPTED__BASE_URL", &model.url);
        let stopped = tokio::task::spawn_blocking(move || {
            let child = command.spawn().expect("it started");
            wait_until(|| processes_with(&word) > 1);
            stop(child, signal);
            ground
        });
        let ground = stopped.await.expect("it does not panic");
        let entries = ground.entries();
        assert!(ground.has("decided", "connect"), "{entries:?}");
        assert!(ground.has("decided", "shell"), "{entries:?}");
        let is_cancelled = signal == "-INT";
        assert_eq!(
            ground.has("uncertain", "shell"),
            is_cancelled,
            "{entries:?}"
        );
    }
}

/// What a witness was told, and whether it had to be on the disk.
type Told = Arc<Mutex<Vec<(RunEvent, Until)>>>;

/// A witness that remembers what it is told; what is to be kept is answered by `kept`.
fn witness(kept: impl Fn() -> Result<(), String> + Send + Sync + 'static) -> (Witness, Told) {
    let told = Told::default();
    let (writing, leaving) = (Arc::clone(&told), Arc::clone(&told));
    let witness = Witness::new(
        move |events, until| {
            let events = events.into_iter().map(|event| (event, until));
            writing.lock().expect("nobody panicked").extend(events);
            let answer = if until == Until::Kept { kept() } else { Ok(()) };
            Box::pin(async move { answer })
        },
        move |event| {
            let mut told = leaving.lock().expect("nobody panicked");
            told.push((event, Until::Told));
        },
    );
    (witness, told)
}

/// A project whose tools may ask a server that does not answer for longer than a second.
fn scene(silent: &Silent) -> Scene {
    let mut config = Config::default();
    config.tools.http.allowed_domains = vec![silent.address.to_string()];
    config.tools.http.timeout_seconds = 1;
    Scene::with(&[("a.txt", "a\n"), ("b.txt", "b\n")], config)
}

#[tokio::test]
async fn the_journal_has_the_order_of_happening_and_what_acts_waits_for_it() {
    let silent = Arc::new(Silent::start());
    let mut scene = scene(&silent);
    let asked = Arc::clone(&silent);
    let (witness, told) = witness(move || {
        assert!(!asked.was_asked(), "it acted before it was written down");
        Ok(())
    });
    scene.consent.witness = Some(witness);
    let all = scene
        .call_all(&[
            ("read_file", json!({ "path": "a.txt" })),
            ("http_get", json!({ "url": silent.url() })),
            ("read_file", json!({ "path": "b.txt" })),
        ])
        .await;
    assert!(silent.was_asked());
    assert!(all.iter().all(|one| one.events.is_empty()), "told once");
    let told = told.lock().expect("nobody panicked");
    let told: Vec<(&str, Until)> = told
        .iter()
        .map(|(event, until)| (of(event), *until))
        .collect();
    let expected = [
        ("may read", Until::Told),
        ("read_file", Until::Told),
        ("may ask", Until::Kept),
        // No answer came in time.
        ("perhaps asked", Until::Told),
        ("http_get", Until::Told),
        ("may read", Until::Told),
        ("read_file", Until::Told),
    ];
    assert_eq!(told, expected);
}

fn of(event: &RunEvent) -> &str {
    match event {
        RunEvent::Decided {
            action,
            decision: Decision::Allow { .. },
        } => match action {
            Action::ReadFile { .. } => "may read",
            Action::Request { .. } => "may ask",
            other => panic!("{other:?}"),
        },
        RunEvent::Uncertain {
            action: Action::Request { .. },
            ..
        } => "perhaps asked",
        RunEvent::ToolCalled { name, .. } => name,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_cannot_be_written_down_is_not_done() {
    let silent = Silent::start();
    let mut scene = scene(&silent);
    let (witness, _told) = witness(|| Err("the disk is full".to_owned()));
    scene.consent.witness = Some(witness);
    let refused = scene.call("http_get", json!({ "url": silent.url() })).await;
    assert!(!refused.result.success);
    let said = &refused.text;
    assert!(
        said.contains("cannot be written down") && said.contains("the disk is full"),
        "{said}"
    );
    assert!(!silent.was_asked());
    let read = scene.call("read_file", json!({ "path": "a.txt" })).await;
    assert!(read.result.success, "{}", read.text);
}
