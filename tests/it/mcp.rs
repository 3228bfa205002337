//! Servers of tools (Model Context Protocol): real ones work, and those that misbehave harm only themselves.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use meliora::config::Config;
use meliora::config::mcp::McpServer;
use meliora::event::RunEvent;
use meliora::mcp::{self, Brought, Ground};
use meliora::permit::{Action, Decision};
use meliora::redact::Redactor;
use meliora::safety::Policy;
use meliora::safety::approvals::{Answer, Approver};
use meliora::safety::taint::{Origin, Source};
use meliora::tools::Tool;
use meliora::tools::registry::Toolbox;
use serde_json::{Value, json};

use crate::hands::Scene;
use crate::servers::tool;

/// Time in which everything that is to happen has happened, also on a machine that is busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

fn script() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join("tests/tools/tool-server.py")
        .display()
        .to_string()
}

fn python() -> String {
    tool("python/python3").display().to_string()
}

/// A server that behaves as it is told.
pub(crate) fn behaving(behaviour: &str) -> McpServer {
    McpServer {
        command: python(),
        args: vec![script(), behaviour.to_owned()],
        allow: vec!["echo".to_owned(), "look".to_owned()],
        // A busy machine may need long.
        timeout_seconds: 120,
        ..McpServer::default()
    }
}

/// A project whose settings name these servers, not started yet.
pub(crate) fn scene(servers: &[(&str, McpServer)]) -> Scene {
    let mut config = Config::default();
    for (name, server) in servers {
        config.tools.mcp.insert((*name).to_owned(), server.clone());
    }
    let files = [("notes.txt", "one\n"), (".env", "TOKEN=hunter2-hunter2\n")];
    let mut scene = Scene::with(&files, config);
    scene.services.redactor = Redactor::new(["hunter2-hunter2".to_owned()]).into();
    scene
}

/// Starts the servers, as a run does.
pub(crate) async fn start(scene: &mut Scene) -> Brought {
    let services = &scene.services;
    let policy = Policy::new(&services.host, &services.config, &scene.root);
    let ground = Ground {
        host: &services.host,
        policy: &policy,
        redactor: &services.redactor,
        workspace: &scene.root,
        confined: true,
        witness: None,
    };
    let mut brought = mcp::open(ground, &services.config.tools.mcp).await;
    let changed = brought.changed.clone();
    let toolbox = Toolbox::with(std::mem::take(&mut brought.tools));
    scene.toolbox = toolbox.knowing(move |name| changed.get(name).cloned());
    brought
}

/// A project with one server that is started.
async fn with(behaviour: &str) -> Scene {
    with_server(behaving(behaviour)).await
}

async fn with_server(server: McpServer) -> Scene {
    let mut scene = scene(&[("mine", server)]);
    let brought = start(&mut scene).await;
    assert_eq!(brought.notices, Vec::<String>::new());
    scene
}

pub(crate) async fn look(scene: &mut Scene, what: &str, at: &str) -> String {
    let arguments = json!({ "what": what, "at": at });
    let executed = scene.call("mine__look", arguments).await;
    assert!(executed.result.success, "{}", executed.text);
    executed.text
}

pub(crate) fn names(scene: &Scene) -> Vec<String> {
    let guests = scene.toolbox.tools().map(Tool::name);
    let guests = guests.filter(|name| name.contains("__"));
    guests.map(str::to_owned).collect()
}

/// Processes of this machine with a word in their command line.
pub(crate) fn processes_with(word: &str) -> usize {
    let processes = fs::read_dir("/proc").expect("readable").flatten();
    let lines = processes.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
    lines
        .filter(|line| String::from_utf8_lossy(line).contains(word))
        .count()
}

#[tokio::test]
async fn tools_of_real_servers_are_listed_and_called() {
    let everything = McpServer {
        command: tool("mcp/mcp-server-everything").display().to_string(),
        allow: vec!["echo".to_owned()],
        timeout_seconds: 120,
        ..McpServer::default()
    };
    let mut scene = scene(&[("every", everything)]);
    let files = McpServer {
        command: tool("mcp/mcp-server-filesystem").display().to_string(),
        args: vec![scene.root.display().to_string()],
        allow: vec!["list_directory".to_owned(), "write_file".to_owned()],
        timeout_seconds: 120,
        ..McpServer::default()
    };
    let mut config = Config::clone(&scene.services.config);
    config.tools.mcp.insert("files".to_owned(), files);
    scene.services.config = config.into();
    let brought = start(&mut scene).await;
    let names = names(&scene);
    for name in [
        "every__echo",
        "files__list_directory",
        "files__read_text_file",
    ] {
        assert!(
            names.iter().any(|known| known == name),
            "{names:?} {brought:?}"
        );
    }
    let began = brought.events.iter().filter(|event| {
        matches!(
            event,
            RunEvent::Decided {
                action: Action::Spawn { .. },
                ..
            }
        )
    });
    assert_eq!(began.count(), 2, "{:?}", brought.events);

    let echoed = scene
        .call("every__echo", json!({ "message": "grüße" }))
        .await;
    assert!(
        echoed.text.contains("grüße") && echoed.text.contains("````data"),
        "{}",
        echoed.text
    );
    let source = Source {
        origin: Origin::Plugin,
        what: "echo of every".to_owned(),
    };
    assert_eq!(echoed.sources, [source]);
    let path = scene.root.display().to_string();
    let listed = scene
        .call("files__list_directory", json!({ "path": path }))
        .await;
    assert!(listed.text.contains("notes.txt"), "{}", listed.text);
    // The workspace is there to be read; what changes files proposes it.
    let written = json!({ "path": scene.root.join("made.txt"), "content": "x" });
    let written = scene.call("files__write_file", written).await;
    assert!(!written.result.success, "{}", written.text);
    assert!(!scene.root.join("made.txt").exists());
    // Arguments are checked as the server defines them, before anybody is asked.
    let wrong = scene.call("every__echo", json!({ "message": 1 })).await;
    assert!(
        wrong.text.contains("/message") || wrong.text.contains("message"),
        "{}",
        wrong.text
    );
    assert_eq!(wrong.events.len(), 1, "{:?}", wrong.events);
}

#[tokio::test]
async fn a_guest_asks_unless_it_is_allowed_and_the_yes_is_for_one_call() {
    let server = McpServer {
        allow: vec!["look".to_owned()],
        ..behaving("well")
    };
    let mut scene = with_server(server).await;
    let say = |text: &str| json!({ "text": text });
    let refused = scene.call("mine__echo", say("a")).await;
    assert!(
        refused.text.contains("not allowed (guest)"),
        "{}",
        refused.text
    );
    assert!(
        scene
            .call("mine__look", json!({ "what": "home" }))
            .await
            .result
            .success
    );

    let (approver, mut questions) = Approver::new();
    scene.consent.approver = Some(approver);
    let person = tokio::spawn(async move {
        let mut asked = Vec::new();
        while let Some(question) = questions.recv().await {
            asked.push(question.question.clone());
            let answer = if asked.len() == 1 {
                Answer::Yes
            } else {
                Answer::No
            };
            let _ = question.answer.send(answer);
        }
        asked
    });
    let allowed = scene.call("mine__echo", say("first words")).await;
    assert!(allowed.text.contains("first words"), "{}", allowed.text);
    let again = scene.call("mine__echo", say("second words")).await;
    assert!(again.text.contains("the user said no"), "{}", again.text);
    scene.consent.approver = None;
    let asked = person.await.expect("the person is there");
    assert_eq!(asked.len(), 2);
    assert_ne!(asked[0].digest, asked[1].digest);
    assert!(
        asked[0].diff.concat().contains("first words"),
        "{:?}",
        asked[0]
    );
}

#[tokio::test]
async fn after_anything_untrusted_a_server_with_a_network_asks_also_where_it_is_allowed() {
    let server = McpServer {
        network: true,
        ..behaving("well")
    };
    let mut scene = with_server(server).await;
    let words = json!({ "text": "a" });
    assert!(scene.call("mine__echo", words.clone()).await.result.success);
    scene.consent.taint.enter(Source {
        origin: Origin::Request,
        what: "https://example.org".to_owned(),
    });
    let asked = scene.call("mine__echo", words).await;
    assert!(asked.text.contains("not allowed (taint)"), "{}", asked.text);
}

#[tokio::test]
async fn a_server_reads_the_workspace_and_writes_only_its_own_folder() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    let mut scene = with("well").await;
    let root = scene.root.clone();
    let at = |path: PathBuf| path.display().to_string();
    let base = root.parent().expect("it has one").to_owned();
    let outside = base.join("outside.txt");
    fs::write(&outside, "hidden").expect("written");
    let read = look(&mut scene, "read", &at(root.join("notes.txt"))).await;
    assert!(read.contains("read one"), "{read}");
    let home = look(&mut scene, "home", "").await;
    let home = home
        .lines()
        .find(|line| line.starts_with('/'))
        .expect("a folder")
        .to_owned();
    assert!(home.contains("/mcp/mine"), "{home}");
    let own = look(&mut scene, "write", &format!("{home}/kept")).await;
    assert!(own.contains("\nwritten"), "{own}");
    let state = base.join("state/meliora");
    let journal = fs::read_dir(&state).expect("it is there").flatten().next();
    let pins = journal.expect("a workspace").path().join("mcp/mine.json");
    assert!(pins.is_file());
    for (what, at) in [
        ("read", at(outside)),
        ("read", at(root.join(".env"))),
        ("read", at(pins.clone())),
        ("read", "/etc/shadow".to_owned()),
        // What stands on the console: a device of somebody.
        ("read", "/dev/vcs".to_owned()),
        ("write", at(pins)),
        ("write", at(root.join("notes.txt"))),
        ("write", at(root.join("new.txt"))),
        ("write", "/tmp/meliora-mcp-test".to_owned()),
        ("connect", address),
    ] {
        let said = look(&mut scene, what, &at).await;
        assert!(said.contains("refused: "), "{what} {at}: {said}");
    }
    let environment = look(&mut scene, "environment", "").await;
    for foreign in ["XDG_STATE_HOME", "CARGO", "SSH_AUTH_SOCK"] {
        assert!(!environment.contains(foreign), "{environment}");
    }
}

#[tokio::test]
async fn a_server_reads_and_reaches_also_what_its_settings_name() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    let beside = tempfile::tempdir().expect("a temporary folder");
    let file = beside.path().join("named.txt");
    fs::write(&file, "to be read").expect("written");
    let server = McpServer {
        network: true,
        read: vec![beside.path().to_owned()],
        ..behaving("well")
    };
    let mut scene = with_server(server).await;
    let at = file.display().to_string();
    let read = look(&mut scene, "read", &at).await;
    assert!(read.contains("read to be read"), "{read}");
    let written = look(&mut scene, "write", &at).await;
    assert!(written.contains("refused: "), "{written}");
    let connected = look(&mut scene, "connect", &address).await;
    assert!(connected.contains("connected"), "{connected}");
}

#[tokio::test]
async fn a_server_gets_the_variables_that_it_is_given_and_their_values_are_masked() {
    let text = "command = 'python3'\nenv = { TOKEN = '${MELIORA_TEST_TOKEN}', LEVEL = 'debug' }";
    let server: McpServer = toml::from_str(text).expect("settings");
    let shown = serde_json::to_string(&server).expect("JSON");
    assert!(
        shown.contains("${MELIORA_TEST_TOKEN}") && !shown.contains("debug"),
        "{shown}"
    );
    let server = McpServer {
        command: python(),
        args: behaving("well").args,
        allow: vec!["look".to_owned()],
        ..server
    };
    let mut scene = scene(&[("mine", server)]);
    let brought = start(&mut scene).await;
    assert!(
        brought.notices[0].contains("MELIORA_TEST_TOKEN is not set"),
        "{brought:?}"
    );
    let mut environment = scene.services.host.environment.clone();
    environment.insert(
        "MELIORA_TEST_TOKEN".to_owned(),
        "value-of-the-token".to_owned(),
    );
    let executable = scene.services.host.executable.clone();
    let host = meliora::config::host::Host::from_environment(executable, environment);
    scene.services.host = host.into();
    assert_eq!(start(&mut scene).await.notices, Vec::<String>::new());
    let seen = look(&mut scene, "environment", "").await;
    assert!(seen.contains("LEVEL") && seen.contains("TOKEN"), "{seen}");
    let masked = scene.services.redactor.clean("a value-of-the-token b");
    assert!(!masked.contains("value-of-the-token"));
}

#[tokio::test]
async fn a_server_that_misbehaves_in_a_call_harms_only_itself() {
    for (behaviour, said) in [
        ("hangs", "did not answer within 2 s"),
        ("dies", "it has ended"),
        ("huge", "too long"),
        ("deep", "did not answer within 2 s"),
        ("invalid", "sends too much unasked"),
        ("answers", "answers what was not asked"),
        ("questions", "asks too many questions"),
        ("notes", "sends too much unasked"),
        ("other", "not what was asked for"),
        ("fails", "the call failed"),
    ] {
        let is_silent = said.contains("2 s");
        let bad = McpServer {
            timeout_seconds: if is_silent { 2 } else { 120 },
            ..behaving(behaviour)
        };
        let mut scene = scene(&[("mine", bad), ("good", behaving("well"))]);
        // Also a server that means to may not begin in so short a time.
        let mut tries = 0;
        while !names(&scene).contains(&"mine__echo".to_owned()) {
            let brought = start(&mut scene).await;
            tries += 1;
            assert!(tries < 20, "{behaviour}: {:?}", brought.notices);
        }
        let started = Instant::now();
        let executed = scene.call("mine__echo", json!({ "text": "a" })).await;
        assert!(!executed.result.success, "{behaviour}: {}", executed.text);
        assert!(
            executed.text.contains(said),
            "{behaviour}: {}",
            executed.text
        );
        assert!(
            !executed.text.contains("hunter2"),
            "{behaviour}: {}",
            executed.text
        );
        assert!(started.elapsed() < PATIENCE, "{behaviour}");
        assert_eq!(
            executed.sources.len(),
            1,
            "{behaviour}: what it said was read"
        );
        let good = scene
            .call("good__echo", json!({ "text": "still here" }))
            .await;
        assert!(
            good.text.contains("still here"),
            "{behaviour}: {}",
            good.text
        );
    }
}

#[tokio::test]
async fn wrong_ids_and_double_answers_are_nobodys() {
    let mut scene = with("ids").await;
    for _ in 0..3 {
        let executed = scene.call("mine__echo", json!({ "text": "a" })).await;
        assert!(executed.text.contains("right"), "{}", executed.text);
    }
}

#[tokio::test]
async fn what_a_server_asks_of_us_is_refused() {
    let mut scene = with("asks").await;
    let executed = scene.call("mine__echo", json!({ "text": "a" })).await;
    let expected = "sampling/createMessage: error, roots/list: error, elicitation/create: error, ping: result, \
                    no/such: error";
    assert!(executed.text.contains(expected), "{}", executed.text);
}

#[tokio::test]
async fn a_server_that_does_not_begin_is_left_out_and_named() {
    let missing = McpServer {
        command: "no-such-program-anywhere".to_owned(),
        ..McpServer::default()
    };
    let silent = McpServer {
        timeout_seconds: 1,
        ..behaving("silent")
    };
    let ends = McpServer {
        command: "false".to_owned(),
        ..McpServer::default()
    };
    let off = McpServer {
        enabled: false,
        ..missing.clone()
    };
    let mut scene = scene(&[
        ("missing", missing),
        ("silent", silent),
        ("ends", ends),
        ("off", off),
        ("Bad_Name", behaving("well")),
        ("pages", behaving("pages")),
        ("wordy", behaving("wordy")),
        ("noisy", behaving("noisy")),
    ]);
    let brought = start(&mut scene).await;
    assert_eq!(names(&scene), ["noisy__echo", "noisy__look"]);
    let notices: BTreeMap<&str, &str> = brought
        .notices
        .iter()
        .filter_map(|notice| notice.split('`').nth(1).zip(notice.split_once("used: ")))
        .map(|(name, (_, why))| (name, why))
        .collect();
    for (name, why) in [
        ("missing", "there is no program"),
        ("silent", "did not begin within 1 s"),
        ("ends", "it has ended"),
        ("Bad_Name", "a-z, 0-9 and -"),
        ("pages", "more than 20 pages"),
        ("wordy", "more than 1048576 bytes of its tools"),
    ] {
        assert!(
            notices.get(name).is_some_and(|said| said.contains(why)),
            "{name}: {notices:?}"
        );
    }
    assert_eq!(notices.len(), 6, "{notices:?}");
}

#[tokio::test]
async fn a_tool_that_changes_is_not_called_before_it_is_accepted() {
    let mut scene = with("changes").await;
    let words = json!({ "text": "a" });
    assert!(scene.call("mine__echo", words.clone()).await.result.success);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let changed = scene.call("mine__echo", words.clone()).await;
        if !changed.result.success {
            assert!(
                changed.text.contains("has changed this tool"),
                "{}",
                changed.text
            );
            break;
        }
        assert!(Instant::now() < deadline, "{}", changed.text);
    }
    // What did not change can be called, and what did stays away.
    assert!(
        scene
            .call("mine__look", json!({ "what": "home" }))
            .await
            .result
            .success
    );
    assert!(!scene.call("mine__echo", words.clone()).await.result.success);

    // The same program, changed between two runs: the command line is what it was.
    let folder = tempfile::tempdir().expect("a folder");
    let program = folder.path().join("server.py");
    let original = fs::read_to_string(script()).expect("readable");
    fs::write(&program, &original).expect("written");
    let server = McpServer {
        args: vec![program.display().to_string(), "well".to_owned()],
        ..behaving("")
    };
    let mut scene = scene_of(server);
    assert_eq!(start(&mut scene).await.notices, Vec::<String>::new());
    let changed = original.replace("sys.argv[1]", "'changed'");
    fs::write(&program, changed).expect("written");
    let brought = start(&mut scene).await;
    assert_eq!(names(&scene), ["mine__look"]);
    assert!(
        brought.notices[0].contains("`meliora mcp accept mine`"),
        "{brought:?}"
    );
    let executed = scene.call("mine__echo", words.clone()).await;
    assert!(
        executed.text.contains("`meliora mcp accept mine`"),
        "{}",
        executed.text
    );
    let denied = executed.events.iter().any(|event| {
        matches!(event, RunEvent::Decided { decision: Decision::Deny { rule, .. }, .. } if rule == "unapproved")
    });
    assert!(denied, "{:?}", executed.events);
    let host = &scene.services.host;
    assert!(mcp::forget(host, &scene.root, "mine").expect("forgotten"));
    assert!(!mcp::forget(host, &scene.root, "mine").expect("nothing is there"));
    assert_eq!(start(&mut scene).await.notices, Vec::<String>::new());
    assert!(scene.call("mine__echo", words).await.result.success);
}

pub(crate) fn scene_of(server: McpServer) -> Scene {
    scene(&[("mine", server)])
}

#[tokio::test]
async fn what_models_are_told_of_guests_is_cut_fenced_and_has_a_budget() {
    let mut scene = scene(&[("many", behaving("many")), ("strange", behaving("strange"))]);
    let brought = start(&mut scene).await;
    let said = brought.notices.join("\n");
    for part in [
        "tools of `many` are left out, because the tools of all servers",
        "tools of `strange` are left out, because their names or schemas",
    ] {
        assert!(said.contains(part), "{said}");
    }
    let specs = scene.toolbox.specs().into_iter();
    let specs: Vec<_> = specs.filter(|spec| spec.name.contains("__")).collect();
    let bytes: usize = specs
        .iter()
        .map(|spec| spec.name.len() + spec.description.len() + spec.parameters.to_string().len())
        .sum();
    assert!(bytes <= mcp::GUESTS_BYTES_MAX, "{bytes}");
    // Those that are allowed are the last to go.
    for name in ["many__echo", "many__look"] {
        assert!(specs.iter().any(|spec| spec.name == name), "{name}");
    }
    for spec in &specs {
        let told = format!("{} {}", spec.description, spec.parameters);
        assert!(told.starts_with("(In the words of the server"), "{told}");
        for hidden in ["```", "\u{202e}", "hunter2", "\n"] {
            assert!(!told.contains(hidden), "{told}");
        }
    }
}

#[tokio::test]
async fn what_a_server_started_ends_with_the_tools() {
    let marker = format!("marker-{}", std::process::id());
    let mut server = behaving("forks");
    server.args.push(marker.clone());
    let mut scene = with_server(server).await;
    let echoed = scene.call("mine__echo", json!({ "text": "a" })).await;
    assert!(echoed.result.success, "{}", echoed.text);
    assert!(processes_with(&marker) >= 4);
    scene.toolbox = Toolbox::default();
    let deadline = Instant::now() + PATIENCE;
    while processes_with(&marker) > 0 {
        assert!(
            Instant::now() < deadline,
            "{} are left",
            processes_with(&marker)
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn a_repository_can_name_no_server_before_it_is_trusted() {
    let folder = tempfile::tempdir().expect("a folder");
    let work = folder.path().join("work");
    fs::create_dir_all(work.join(".agent")).expect("made");
    let settings = "[tools.mcp.mine]\ncommand = 'python3'\nallow = ['echo']\nnetwork = true\n";
    fs::write(work.join(".agent/config.toml"), settings).expect("written");
    let environment = [("HOME".to_owned(), folder.path().display().to_string())];
    let host = meliora::config::host::Host::from_environment("/nowhere".into(), environment.into());
    let load = || meliora::config::layers::load(&host, Some(&work), &Value::Null);
    assert!(load().config.tools.mcp.is_empty());
    let review = meliora::config::trust::review(&work);
    meliora::config::trust::grant(&host, &work, &review).expect("granted");
    let config = load().config;
    assert_eq!(config.tools.mcp["mine"].allow, ["echo"]);
    let policy = Policy::new(&host, &config, &work);
    let call = |tool: &str| Action::Guest {
        from: "mine".to_owned(),
        tool: tool.to_owned(),
        digest: String::new(),
        reaches_out: true,
    };
    let decide = |tool| meliora::safety::decide(&policy, &call(tool));
    assert!(matches!(decide("echo"), Decision::Allow { .. }));
    assert!(matches!(decide("other"), Decision::Ask { .. }));
}

#[test]
fn the_commands_list_call_and_accept_tools_of_servers() {
    let folder = tempfile::tempdir().expect("a folder");
    let base = folder.path().canonicalize().expect("it exists");
    let (home, work) = (base.join("home"), base.join("work"));
    for folder in [home.join(".config/agent"), work.join(".agent")] {
        fs::create_dir_all(folder).expect("made");
    }
    let settings = format!(
        "[tools.mcp.mine]\ncommand = '{}'\nargs = ['{}', 'well']\nallow = ['echo']\n[tools.mcp.gone]\ncommand = 'no-such-program'\n",
        python(),
        script()
    );
    fs::write(home.join(".config/agent/config.toml"), settings).expect("written");
    let run = |arguments: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_meliora"))
            .args(arguments)
            .env_clear()
            .env("HOME", &home)
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .current_dir(&work)
            .stdin(std::process::Stdio::null())
            .output()
            .expect("it runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        (
            output.status.code(),
            said,
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let (code, said, _) = run(&["tool", "call", "mine__echo", "{\"text\": \"words\"}"]);
    assert!(code == Some(0) && said.contains("words"), "{code:?} {said}");
    let (code, said, _) = run(&["tool", "call", "mine__look", "{}", "--json"]);
    let document: Value = serde_json::from_str(&said).expect("JSON");
    let error = document["data"]["error"].as_str().unwrap_or_default();
    assert!(
        code == Some(1) && error.contains("nobody could be asked"),
        "{document}"
    );
    let (code, _, errors) = run(&["tool", "call", "other__echo", "{}"]);
    assert!(
        code == Some(1) && errors.contains("there is no tool"),
        "{errors}"
    );
    let (_, said, _) = run(&["tool", "list", "--json"]);
    let tools: Value = serde_json::from_str(&said).expect("JSON");
    let tools = tools.as_array().expect("a list");
    let echo = tools.iter().find(|tool| tool["name"] == "mine__echo");
    assert_eq!(
        echo.expect("it is there")["schema"]["required"],
        json!(["text"])
    );
    let (_, said, _) = run(&["tool", "show", "mine__echo"]);
    assert!(said.contains("Gives a text back."), "{said}");
    let (code, said, errors) = run(&["mcp", "list", "--json"]);
    let document: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(
        document["tools"].as_array().map(Vec::len),
        Some(2),
        "{document}"
    );
    assert!(
        code == Some(1) && errors.contains("no-such-program"),
        "{errors}"
    );
    let (code, said, _) = run(&["mcp", "accept", "mine"]);
    assert!(code == Some(0) && said.contains("kept anew"), "{said}");
    let (code, ..) = run(&["mcp", "accept", "nobody"]);
    assert_ne!(code, Some(0));
    let (_, said, _) = run(&["doctor", "--json"]);
    let report: Value = serde_json::from_str(&said).expect("JSON");
    let sections = report["sections"].as_array().expect("sections").iter();
    let mut sections = sections.filter(|section| section["title"] == "Servers of tools");
    let findings = &sections.next().expect("it is there")["findings"];
    assert!(
        findings[0]["detail"]
            .to_string()
            .contains("no-such-program"),
        "{findings}"
    );
    assert_eq!(findings[1]["name"], "mine");
    let (_, said, _) = run(&["audit", "show", "--json"]);
    assert!(said.contains("\"guest\""), "{said:.2000}");
}
