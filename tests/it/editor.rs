//! The agent as an editor sees it: code actions, commands, proven edits in the buffers, undo.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use meliora::cli::editor::{HeadlessEditor, Honesty, Profile, profile};
use meliora::process::{Command, Environment};
use serde_json::{Value, json};

use crate::model::scripted::{Reply, Server, calls, says};

/// Longest time that one step of these tests may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);

const MANIFEST: &str = "[package]\nname = \"small\"\nversion = \"0.1.0\"\nedition = \"2021\"\n";
const BROKEN: &str = "//! Counts — with an é.\n\npub fn count(words: &[&str]) -> HashMap<String, usize> {\n    let counts = HashMap::new();\n    for word in words {\n        *counts.entry((*word).to_string()).or_insert(0) += 1;\n    }\n    counts\n}\n\n#[cfg(test)]\nmod tests {\n    #[test]\n    fn words_are_counted() {\n        assert_eq!(super::count(&[\"a\", \"a\"])[\"a\"], 2);\n    }\n}\n";
const GREETING: &str = "pub fn greet(name: &str) -> String {\n    format!(\"hi {name}\")\n}\n\n#[cfg(test)]\nmod tests {\n    #[test]\n    fn greets() {\n        assert!(super::greet(\"you\").ends_with(\"you\"));\n    }\n}\n";

/// A package of one file, with a home of its own beside it.
struct Ground {
    folder: tempfile::TempDir,
    root: PathBuf,
}

impl Ground {
    fn new(library: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = folder
            .path()
            .canonicalize()
            .expect("it exists")
            .join("work");
        fs::create_dir_all(root.join("src")).expect("made");
        fs::write(root.join("Cargo.toml"), MANIFEST).expect("written");
        fs::write(root.join("src/lib.rs"), library).expect("written");
        Self { folder, root }
    }

    fn environment(&self, more: &[(&str, &str)]) -> BTreeMap<String, String> {
        let below = |name: &str| self.folder.path().join(name).display().to_string();
        let own = [
            ("XDG_STATE_HOME", below("state")),
            ("XDG_CACHE_HOME", below("cache")),
            ("XDG_CONFIG_HOME", below("config")),
            ("RUSTUP_DIST_SERVER", "http://127.0.0.1:9".to_owned()),
        ];
        own.into_iter()
            .chain(
                more.iter()
                    .map(|(name, value)| (*name, (*value).to_owned())),
            )
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }

    async fn editor(&self, profile: Profile, more: &[(&str, &str)]) -> HeadlessEditor {
        let executable = PathBuf::from(env!("CARGO_BIN_EXE_meliora"));
        let command = Command {
            program: executable.clone(),
            arguments: vec!["serve".to_owned()],
            directory: self.root.clone(),
            environment: Environment::Inherited(self.environment(more)),
            confinement: None,
            launcher: executable,
        };
        let mut editor = HeadlessEditor::start(command, &self.root, profile, Value::Null)
            .await
            .expect("our server starts");
        editor.open(Path::new("src/lib.rs")).expect("opened");
        editor
    }

    fn on_disk(&self) -> String {
        fs::read_to_string(self.root.join("src/lib.rs")).expect("readable")
    }

    /// Runs our program on the package.
    fn meliora(&self, arguments: &[&str], more: &[(&str, &str)]) -> std::process::Output {
        std::process::Command::new(env!("CARGO_BIN_EXE_meliora"))
            .args(arguments)
            .current_dir(&self.root)
            .envs(self.environment(more))
            .output()
            .expect("our program starts")
    }
}

fn text(editor: &HeadlessEditor) -> String {
    editor.buffers[Path::new("src/lib.rs")].text.to_string()
}

/// Gives a command that starts a run.
async fn start(editor: &mut HeadlessEditor, command: &str, arguments: Value) -> Value {
    let started = editor.execute(command, arguments).await;
    started.expect("answered at once")
}

/// Gives a command and waits for the end of its run.
async fn carried_out(editor: &mut HeadlessEditor, command: &str, arguments: Value) -> Value {
    let started = start(editor, command, arguments).await;
    outcome(editor, &started).await
}

/// Waits for the end of a run that a command started, and gives its outcome.
async fn outcome(editor: &mut HeadlessEditor, started: &Value) -> Value {
    let run = started["runId"]
        .as_str()
        .expect("the answer names the run")
        .to_owned();
    let mut outcome = Value::Null;
    editor
        .wait(PATIENCE, |editor| {
            let finished = editor.heard.iter().find(|(method, parameters)| {
                method == "meliora/event"
                    && parameters["runId"] == run.as_str()
                    && parameters["event"]["event"] == "finished"
            });
            if let Some((_, parameters)) = finished {
                outcome = parameters["event"].clone();
            }
            !outcome.is_null()
        })
        .await
        .expect("the server lives");
    assert!(
        !outcome.is_null(),
        "the run did not end; heard {:#?}",
        editor.heard
    );
    outcome
}

async fn errors_are_shown(editor: &mut HeadlessEditor) {
    let shown = editor
        .wait(PATIENCE, |editor| {
            editor
                .diagnostics
                .values()
                .flatten()
                .any(|diagnostic| diagnostic["severity"] == 1)
        })
        .await
        .expect("the server lives");
    assert!(shown, "no error was published");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_code_action_repairs_a_problem_and_undo_takes_it_back() {
    let ground = Ground::new(BROKEN);
    let mut editor = ground.editor(profile("headless"), &[]).await;
    errors_are_shown(&mut editor).await;
    let at = BROKEN.find("HashMap<").expect("there");
    let actions = editor
        .code_actions(Path::new("src/lib.rs"), at..at + 7)
        .await
        .expect("answered");
    let ours: Vec<&Value> = actions
        .iter()
        .filter(|action| {
            action["title"]
                .as_str()
                .is_some_and(|title| title.starts_with("Meliora: fix"))
        })
        .collect();
    assert!(!ours.is_empty(), "{actions:#?}");
    assert!(
        ours.iter()
            .all(|action| action.get("isPreferred").is_none())
    );
    let command = &ours[0]["command"];
    assert_eq!(command["command"], "meliora.fix");
    let ended = carried_out(&mut editor, "meliora.fix", command["arguments"].clone()).await;
    assert_eq!(ended["outcome"], "applied");
    assert!(
        text(&editor).contains("use std::collections::HashMap;"),
        "{}",
        text(&editor)
    );
    assert_eq!(
        ground.on_disk(),
        BROKEN,
        "an edit goes to the buffer, not to the disk"
    );

    assert!(
        text(&editor).contains("let mut counts"),
        "what the problem hid is repaired with it: {}",
        text(&editor)
    );

    carried_out(&mut editor, "meliora.undo", json!([])).await;
    assert_eq!(text(&editor), BROKEN);
    editor.shutdown().await.expect("an orderly end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_editor_that_only_says_that_it_applied_is_not_believed() {
    let ground = Ground::new(BROKEN);
    for honesty in [Honesty::Lying, Honesty::Refusing] {
        let liar = Profile {
            honesty,
            ..profile("headless")
        };
        let mut editor = ground
            .editor(liar, &[("MELIORA_LSP__ENABLED", "false")])
            .await;
        let outcome = carried_out(&mut editor, "meliora.fixAll", json!([])).await;
        assert_eq!(outcome["outcome"], "failed", "{honesty:?}: {outcome}");
        assert_eq!(ground.on_disk(), BROKEN);
        editor.shutdown().await.expect("an orderly end");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_echo_is_waited_for() {
    let ground = Ground::new(BROKEN);
    let neovim = Profile {
        events: true,
        ..profile("Neovim")
    };
    let mut editor = ground
        .editor(neovim, &[("MELIORA_LSP__ENABLED", "false")])
        .await;
    let ended = carried_out(&mut editor, "meliora.fixAll", json!([])).await;
    assert_eq!(ended["outcome"], "applied");
    assert!(text(&editor).contains("let mut counts"));
    editor.shutdown().await.expect("an orderly end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_user_typed_meanwhile_is_kept() {
    let ground = Ground::new(BROKEN);
    let mut editor = ground
        .editor(profile("headless"), &[("MELIORA_LSP__ENABLED", "false")])
        .await;
    let started = start(&mut editor, "meliora.fixAll", json!([])).await;
    let typed = format!("{BROKEN}\n// typed while the repair was on its way\n");
    editor
        .change(Path::new("src/lib.rs"), &typed)
        .expect("typed");
    assert_eq!(outcome(&mut editor, &started).await["outcome"], "applied");
    let text = text(&editor);
    assert!(text.contains("let mut counts"), "{text}");
    assert!(
        text.ends_with("// typed while the repair was on its way\n"),
        "{text}"
    );
    editor.shutdown().await.expect("an orderly end");
}

fn script() -> Vec<Reply> {
    let edit = |search: &str, replace: &str| {
        calls(
            "edit_file",
            &json!({ "path": "src/lib.rs", "search": search, "replace": replace }),
        )
    };
    vec![edit("hi {name}", "hello {name}"), says("greet says hello")]
}

fn model(url: &str) -> [(&str, &str); 4] {
    [
        ("MELIORA_LSP__ENABLED", "false"),
        ("MELIORA_LLM__PROVIDER", "scripted"),
        ("MELIORA_LLM__MODEL", "parrot"),
        ("MELIORA_LLM__PROVIDERS__SCRIPTED__BASE_URL", url),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_gives_the_same_text_in_the_editor_and_headless_and_can_be_undone() {
    let instruction = "make greet() say hello";
    let in_editor = Ground::new(GREETING);
    let server = Server::start(script()).await;
    let mut editor = in_editor
        .editor(profile("headless"), &model(&server.url))
        .await;
    let ended = carried_out(&mut editor, "meliora.do", json!([instruction])).await;
    assert_eq!(ended["outcome"], "applied");
    let edited = text(&editor);
    assert_eq!(edited, GREETING.replace("hi {name}", "hello {name}"));
    carried_out(&mut editor, "meliora.undo", json!([])).await;
    assert_eq!(text(&editor), GREETING);
    editor.shutdown().await.expect("an orderly end");

    let headless = Ground::new(GREETING);
    let server = Server::start(script()).await;
    let url = server.url.clone();
    let (headless, run, undo) = tokio::task::spawn_blocking(move || {
        let run = headless.meliora(&["run", instruction, "--apply"], &model(&url));
        let after = headless.on_disk();
        let undo = headless.meliora(&["undo"], &[]);
        (headless, (run, after), undo)
    })
    .await
    .expect("it does not panic");
    assert!(
        run.0.status.success(),
        "{}",
        String::from_utf8_lossy(&run.0.stderr)
    );
    assert_eq!(run.1, edited, "the same tree both ways");
    assert!(
        undo.status.success(),
        "{}",
        String::from_utf8_lossy(&undo.stderr)
    );
    assert_eq!(headless.on_disk(), GREETING);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_of_a_protected_file_never_reaches_the_editor() {
    let ground = Ground::new(BROKEN);
    let protected = [
        ("MELIORA_LSP__ENABLED", "false"),
        ("MELIORA_SAFETY__PROTECTED_PATHS", "[\"src/**\"]"),
    ];
    let mut editor = ground.editor(profile("headless"), &protected).await;
    editor.clicks = Some("Refuse");
    let outcome = carried_out(&mut editor, "meliora.fixAll", json!([])).await;
    assert_eq!(outcome["outcome"], "failed", "{outcome}");
    let message = outcome["message"].as_str().expect("it says why");
    assert!(
        message.contains("src/lib.rs is protected; you refused it"),
        "{message}"
    );
    let buffer = &editor.buffers[Path::new("src/lib.rs")];
    assert_eq!((&*buffer.text, buffer.version), (BROKEN, 1));
    assert_eq!(ground.on_disk(), BROKEN);
    let asked = editor.heard.iter().any(|(method, parameters)| {
        method == "meliora/event"
            && parameters["event"]["event"] == "decided"
            && parameters["event"]["decision"]["rule"] == "modify_protected"
    });
    assert!(asked, "{:#?}", editor.heard);
    editor.shutdown().await.expect("an orderly end");
}

/// What the editor was asked, and what the journal was told of the answers.
fn questions(editor: &HeadlessEditor) -> (usize, Vec<Value>) {
    let asked = |(method, _): &&(String, Value)| method == "window/showMessageRequest";
    let answered = editor.heard.iter().filter_map(|(method, parameters)| {
        let event = &parameters["event"];
        let is_one = method == "meliora/event" && event["event"] == "answered";
        is_one.then(|| event["reply"].clone())
    });
    let answered = answered.collect();
    (editor.heard.iter().filter(asked).count(), answered)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_person_approves_in_the_editor_is_applied_and_asked_once() {
    for clicks in [Some("Approve once"), None] {
        let ground = Ground::new(GREETING);
        let server = Server::start(script()).await;
        let mut with = model(&server.url).to_vec();
        with.push(("MELIORA_SAFETY__PROTECTED_PATHS", "[\"src/**\"]"));
        let mut editor = ground.editor(profile("headless"), &with).await;
        editor.clicks = clicks;
        let run = start(&mut editor, "meliora.do", json!(["make greet() say hello"])).await;
        if clicks.is_none() {
            let told = |(_, parameters): &(String, Value)| {
                let message = parameters["message"].as_str().unwrap_or_default();
                message.contains("waits for you: change ")
            };
            let waited = editor.wait(PATIENCE, |editor| editor.heard.iter().any(told));
            assert!(
                waited.await.expect("the server lives"),
                "{:#?}",
                editor.heard
            );
            assert_eq!(text(&editor), GREETING, "nothing happens before the answer");
            let approved = editor.execute("meliora.approve", json!([])).await;
            assert_eq!(approved.expect("answered")["approved"], true);
            let more = editor.execute("meliora.approve", json!([])).await;
            assert!(more.is_err(), "nothing else waits: {more:?}");
        }
        let ended = outcome(&mut editor, &run).await;
        assert_eq!(ended["outcome"], "applied", "{ended}");
        assert_eq!(text(&editor), GREETING.replace("hi {name}", "hello {name}"));
        let (asked, answers) = questions(&editor);
        assert_eq!(asked, 1, "the approval of the call counts for its delivery");
        assert_eq!(answers, ["approved", "approved"], "given, and used up");
        editor.shutdown().await.expect("an orderly end");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nobody_can_be_asked_what_needs_approval_is_refused() {
    let ground = Ground::new(GREETING);
    let server = Server::start(script()).await;
    let url = server.url.clone();
    let (ground, ran, shown) = tokio::task::spawn_blocking(move || {
        let mut with = model(&url).to_vec();
        with.push(("MELIORA_SAFETY__PROTECTED_PATHS", "[\"src/**\"]"));
        let ran = ground.meliora(&["run", "make greet() say hello", "--apply"], &with);
        let shown = ground.meliora(&["audit", "show", "--kind", "approval"], &with);
        (ground, ran, shown)
    })
    .await
    .expect("it does not panic");
    assert_eq!(ground.on_disk(), GREETING, "{ran:?}");
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    for part in ["asked whether it may: change ", "nobody could be asked"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
}

impl Ground {
    /// Writes the user's settings and waits until they count.
    async fn set(&self, editor: &mut HeadlessEditor, settings: &str) {
        let file = self.folder.path().join("config/agent/config.toml");
        fs::create_dir_all(file.parent().expect("it has one")).expect("made");
        let reads = |editor: &HeadlessEditor| {
            let said = |(_, parameters): &&(String, Value)| {
                let message = parameters["message"].as_str();
                message.is_some_and(|message| message.contains("the settings were read again"))
            };
            editor.heard.iter().filter(said).count()
        };
        let before = reads(editor);
        fs::write(file, settings).expect("written");
        let read = editor.wait(PATIENCE, |editor| reads(editor) > before);
        assert!(read.await.expect("the server lives"), "{settings}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changed_settings_decide_who_is_asked_by_the_next_run() {
    let ground = Ground::new(GREETING);
    let without = [("MELIORA_LSP__ENABLED", "false")];
    let mut editor = ground.editor(profile("headless"), &without).await;
    let settings = |url: &str, key: &str| {
        format!(
            "[llm]\nprovider = 'scripted'\nmodel = 'parrot'\n\
             [llm.providers.scripted]\nbase_url = '{url}'\napi_key = '{key}'\n"
        )
    };
    let (first, second) = (Server::start(script()).await, Server::start(script()).await);
    let (first_key, second_key) = ("the-first-planted-key", "the-second-planted-key");
    for (server, key) in [(&first, first_key), (&second, second_key)] {
        ground.set(&mut editor, &settings(&server.url, key)).await;
        let heard_by_first = first.requests().len();
        let ended = carried_out(&mut editor, "meliora.do", json!(["make greet() say hello"])).await;
        assert_eq!(ended["outcome"], "applied");
        assert!(server.transcript().contains(key), "{}", server.transcript());
        if key == second_key {
            assert_eq!(first.requests().len(), heard_by_first);
        }
        carried_out(&mut editor, "meliora.undo", json!([])).await;
        assert_eq!(text(&editor), GREETING);
    }
    assert!(!second.transcript().contains(first_key));
    editor.shutdown().await.expect("an orderly end");
}

/// Runs the demo and gives its document.
fn demo(more: &[(&str, &str)]) -> Value {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_meliora"))
        .args(["demo", "--json"])
        .envs(more.iter().copied())
        .env("TMPDIR", folder.path())
        .output()
        .expect("our program starts");
    let left: Vec<_> = fs::read_dir(folder.path()).expect("readable").collect();
    assert!(left.is_empty(), "the demo leaves nothing behind: {left:?}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_str(&text).expect("one JSON document")
}

fn demo_repairs_everything(document: &Value) {
    let codes: std::collections::BTreeSet<&str> = document["repairs"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|repair| repair["code"].as_str())
        .collect();
    assert!(codes.len() >= 6, "{codes:?}");
    assert!(document["problems_before"].as_u64() >= Some(6));
    assert_eq!(document["problems_after"], 0);
    assert_eq!(document["proof"]["holds"], true);
    let checks = document["proof"]["checks"].as_array().expect("a list");
    let tests = checks
        .iter()
        .find(|check| check["name"] == "cargo test")
        .expect("the tests ran");
    assert_eq!(tests["passed"], true);
}

#[test]
fn the_demo_repairs_six_kinds_of_errors_with_rust_analyzer() {
    let document = demo(&[]);
    assert_eq!(document["language_server"], "rust-analyzer");
    demo_repairs_everything(&document);
    let checks = document["proof"]["checks"].to_string();
    assert!(checks.contains("rust-analyzer"), "{checks}");
}

#[test]
fn the_demo_holds_where_rust_analyzer_does_not_see_everything() {
    // Parts of the standard library are crates that this folder does not have.
    let folder = tempfile::tempdir().expect("a temporary folder");
    let cargo = folder.path().display().to_string();
    demo_repairs_everything(&demo(&[("CARGO_HOME", &cargo)]));
}

#[test]
fn the_demo_repairs_six_kinds_of_errors_with_the_compiler_alone() {
    let document = demo(&[("MELIORA_LSP__ENABLED", "false")]);
    assert_eq!(document["language_server"], Value::Null);
    demo_repairs_everything(&document);
}
