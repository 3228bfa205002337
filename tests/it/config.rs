//! The settings: where they come from, what is said about them, and how they are changed.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::wire_peer::{Peer, Script, environment};

/// A home and a project.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self {
            folder: tempfile::tempdir().expect("a temporary folder"),
        };
        std::fs::create_dir_all(place.project().join(".agent")).expect("made");
        std::fs::create_dir_all(place.user_file().parent().expect("it has one")).expect("made");
        place
    }

    fn project(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    fn user_file(&self) -> PathBuf {
        self.folder.path().join("home/.config/agent/config.toml")
    }

    fn run(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_meliora"))
            .args(arguments)
            .envs(environment(self.folder.path()))
            .envs(variables.iter().copied())
            .current_dir(self.project())
            .output()
            .expect("it runs")
    }

    fn said(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments, &[]);
        let both = [output.stdout, output.stderr].concat();
        String::from_utf8(both).expect("text")
    }

    fn shown(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Value {
        let mut all = vec!["config", "show", "--all", "--json"];
        all.extend(arguments);
        let output = self.run(&all, variables);
        serde_json::from_slice(&output.stdout).expect("JSON")
    }
}

fn write(file: &Path, text: &str) {
    std::fs::write(file, text).expect("written");
}

fn setting<'shown>(shown: &'shown Value, key: &str) -> &'shown Value {
    let all = shown["settings"].as_array().expect("a list");
    all.iter()
        .find(|setting| setting["key"] == key)
        .unwrap_or_else(|| panic!("{key} is not shown"))
}

#[test]
fn the_configuration_of_the_specification_loads_as_it_is() {
    let place = Place::new();
    let text = include_str!("../../fixtures/config/specification.toml");
    write(&place.user_file(), text);
    assert!(
        place.run(&["config", "check"], &[]).status.success(),
        "{}",
        place.said(&["config", "check"])
    );
    let shown = place.shown(&[], &[]);
    for (key, value) in [
        ("agent.name", Value::from("coding-agent")),
        (
            "agent.self_improvement.max_modifications_per_session",
            10.into(),
        ),
        ("llm.temperature", 0.7.into()),
        ("llm.fallback.model", "gpt-4o".into()),
        (
            "llm.providers.anthropic.api_key",
            "${ANTHROPIC_API_KEY}".into(),
        ),
        ("lsp.servers.rust-analyzer.command", "rust-analyzer".into()),
        ("tools.git.commit_prefix", "[agent]".into()),
        ("tools.test.framework", "cargo".into()),
    ] {
        let setting = setting(&shown, key);
        assert_eq!(setting["value"], value, "{key}");
        assert!(setting["origin"]["file"]["line"].is_u64(), "{setting}");
    }
}

#[test]
fn later_layers_win_and_each_value_knows_where_it_came_from() {
    let place = Place::new();
    write(
        &place.user_file(),
        "[llm]\nmodel = 'user'\nmax_tokens = 1\n",
    );
    let project = place.project().join(".agent/config.toml");
    write(&project, "[llm]\nmodel = 'project'\n");
    let model = |arguments: &[&str], variables: &[(&str, &str)]| {
        let shown = place.shown(arguments, variables);
        let setting = setting(&shown, "llm.model").clone();
        (setting["value"].clone(), setting["origin"].clone())
    };
    // What comes with a project does not count before it is trusted, and that is shown.
    let (value, origin) = model(&[], &[]);
    assert_eq!(value, "user");
    assert_eq!(origin["file"]["line"], 2);
    let held = place.shown(&[], &[])["untrusted"]["llm.model"].clone();
    assert_eq!(held["file"]["line"], 2, "{held}");
    place.said(&["trust", "--yes"]);
    assert_eq!(model(&[], &[]).0, "project");
    write(
        &place.project().join(".agent/local.toml"),
        "[llm]\nmodel = 'local'\n",
    );
    place.said(&["trust", "--yes"]);
    assert_eq!(model(&[], &[]).0, "local");
    let variable = [("MELIORA_LLM__MODEL", "variable")];
    let (value, origin) = model(&[], &variable);
    assert_eq!(
        (value, origin["environment"].clone()),
        ("variable".into(), "MELIORA_LLM__MODEL".into())
    );
    let (value, origin) = model(&["--set", "llm.model=line"], &variable);
    assert_eq!((value, origin), ("line".into(), "command_line".into()));
    assert_eq!(model(&["--set", "llm.model=4"], &[]).0, "4");
    assert_eq!(model(&[], &[("MELIORA_LLM__MODEL", "true")]).0, "true");
}

#[test]
fn a_wrong_layer_is_left_out_and_named_with_its_place() {
    let place = Place::new();
    write(
        &place.user_file(),
        "[llm]\nmax_tokens = 'many'\nmodel = 'x'\n",
    );
    let shown = place.shown(
        &[],
        &[
            ("MELIORA_LSP__TIMEOUT", "soon"),
            ("MELIORA_LLM__MODEL", "y"),
        ],
    );
    let notices = shown["notices"].to_string();
    assert!(
        notices.contains("config.toml:2: expected whole number"),
        "{notices}"
    );
    assert!(notices.contains("MELIORA_LSP__TIMEOUT"), "{notices}");
    assert_eq!(setting(&shown, "llm.model")["value"], "y");
    assert_eq!(setting(&shown, "lsp.timeout")["value"], 30);
    assert_eq!(place.run(&["config", "check"], &[]).status.code(), Some(1));
}

#[cfg(target_os = "linux")]
#[test]
fn a_settings_file_of_a_repository_that_never_ends_is_refused_at_once() {
    use rustix::fs::{CWD, Mode, mkfifoat};
    let pipe = |file: &Path| mkfifoat(CWD, file, Mode::RWXU).expect("made");
    let device = |file: &Path| std::os::unix::fs::symlink("/dev/zero", file).expect("linked");
    for endless in [&pipe as &dyn Fn(&Path), &device] {
        let place = Place::new();
        endless(&place.project().join(".agent/config.toml"));
        for (arguments, code) in [
            (&["config", "check"][..], 1),
            (&["config", "set", "--project", "llm.model", "x"], 3),
            (&["trust", "--json"], 0),
        ] {
            let output = place.run(arguments, &[]);
            let said = String::from_utf8([output.stdout, output.stderr].concat()).expect("text");
            assert!(said.contains("no regular file"), "{arguments:?}: {said}");
            assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        }
        let mut peer = Peer::prepared(|folder| {
            let root = crate::wire_peer::workspace(folder, &Script::default());
            std::fs::create_dir(root.join(".agent")).expect("made");
            endless(&root.join(".agent/config.toml"));
            root
        });
        peer.greet(&json!({}));
        peer.find(|message| {
            message["params"]["message"]
                .to_string()
                .contains("no regular file")
        });
    }
}

#[test]
fn a_key_is_set_with_its_comments_kept_and_a_wrong_one_is_refused() {
    let place = Place::new();
    write(&place.user_file(), "# mine\n[llm]\nmodel = 'a' # why\n");
    place.said(&["config", "set", "llm.model", "b"]);
    let text = std::fs::read_to_string(place.user_file()).expect("read");
    assert_eq!(text, "# mine\n[llm]\nmodel = \"b\" # why\n");
    let said = place.said(&["config", "set", "llm.modle", "c"]);
    assert!(said.contains("did you mean `model`?"), "{said}");
    assert_eq!(
        std::fs::read_to_string(place.user_file()).expect("read"),
        text
    );
}

#[test]
fn keys_are_explained_and_the_schema_is_published() {
    let place = Place::new();
    let said = place.said(&["config", "explain", "llm.max_tokens"]);
    assert!(said.contains("default: 4096"), "{said}");
    let said = place.said(&["config", "explain", "llm.max_tokns"]);
    assert!(said.contains("did you mean `llm.max_tokens`?"), "{said}");
    let schema: Value = serde_json::from_str(&place.said(&["schema"])).expect("JSON");
    let key = &schema["properties"]["llm"]["properties"]["max_tokens"];
    assert_eq!(key["default"], 4096, "{key}");
}

#[test]
fn a_configuration_written_for_a_newer_version_is_told() {
    let place = Place::new();
    for (version, is_told) in [
        ("0.0.9", false),
        (env!("CARGO_PKG_VERSION"), false),
        ("99.1.0", true),
    ] {
        write(
            &place.user_file(),
            &format!("[agent]\nversion = '{version}'\n"),
        );
        let said = place.said(&["config", "check"]);
        assert_eq!(said.contains("written for version"), is_told, "{said}");
    }
}

#[test]
fn what_reads_well_and_cannot_work_is_found_by_the_check() {
    let place = Place::new();
    let model = "[llm]\nprovider = 'mine'\nmodel = 'm'\n[llm.providers.mine]\n";
    let rule = "[[safety.rules]]\nname = 'x'\neffect = 'deny'\ncommand = 'kubectl'\n";
    for (text, expected, status) in [
        (model.to_owned(), "provider `mine` has no address", 1),
        (
            format!("{rule}match = ['ls']\n"),
            "does not fit its example `ls`",
            1,
        ),
        (
            format!("{rule}match = ['kubectl get']\n"),
            "nothing is wrong",
            0,
        ),
    ] {
        write(&place.user_file(), &text);
        let said = place.said(&["config", "check"]);
        assert!(said.contains(expected), "{said}");
        let output = place.run(&["config", "check"], &[]);
        assert_eq!(output.status.code(), Some(status), "{said}");
    }
}

#[test]
fn a_secret_in_a_file_is_not_shown() {
    let place = Place::new();
    write(
        &place.user_file(),
        "[llm.providers.openai]\napi_key = 'sk-planted-0123456789'\n\
         [[llm.providers.mine.endpoints]]\nbase_url = 'http://a.example'\napi_key = 'sk-planted-9876543210'\n",
    );
    for arguments in [
        &["config", "show"][..],
        &["config", "show", "--json"],
        &["config", "check"],
    ] {
        let said = place.said(arguments);
        assert!(!said.contains("planted"), "{said}");
        assert!(said.contains("plain text"), "{said}");
        let is_shown = said.contains("llm.providers.mine.endpoints.api_key");
        assert!(is_shown || arguments.contains(&"check"), "{said}");
    }
}

#[test]
fn a_settings_file_in_the_editor_is_checked_explained_and_completed() {
    let mut peer = Peer::start(&Script::default());
    let dynamic = json!({ "dynamicRegistration": true });
    peer.greet(&json!({ "textDocument": { "hover": dynamic, "completion": dynamic } }));
    let uri = format!("file://{}/.agent/config.toml", peer.root.display());
    let text = "[llm]\nmodle = 'x'\nmax_tokens = 3\n";
    let document = json!({ "uri": uri, "languageId": "toml", "version": 1, "text": text });
    peer.notify("textDocument/didOpen", &json!({ "textDocument": document }));
    let registered = peer.find(|message| {
        message["method"] == "client/registerCapability"
            && message["params"]
                .to_string()
                .contains("meliora-settings-completion")
    });
    let registered = registered["params"].to_string();
    // The server makes the editor ask for that already.
    assert!(
        !registered.contains("meliora-settings-hover"),
        "{registered}"
    );
    let file = peer.root.join(".agent/config.toml").display().to_string();
    assert!(
        registered.contains(&file) && !registered.contains("**"),
        "{registered}"
    );
    let published = |peer: &mut Peer| {
        let message = peer.find(|message| {
            message["method"] == "textDocument/publishDiagnostics"
                && message["params"]["uri"] == json!(uri)
        });
        message["params"]["diagnostics"].clone()
    };
    let found = published(&mut peer);
    assert_eq!(
        found[0]["range"]["start"],
        json!({ "line": 1, "character": 0 })
    );
    assert!(
        found[0]["message"]
            .to_string()
            .contains("did you mean `model`?"),
        "{found}"
    );
    let ask = |peer: &mut Peer, method: &str, line: u32, character: u32| {
        let position = json!({ "line": line, "character": character });
        let params = json!({ "textDocument": { "uri": uri }, "position": position });
        peer.request(method, &params)["result"].clone()
    };
    let hover = ask(&mut peer, "textDocument/hover", 2, 4);
    assert!(
        hover["contents"]["value"]
            .to_string()
            .contains("Default: `4096`"),
        "{hover}"
    );
    let items = ask(&mut peer, "textDocument/completion", 3, 0);
    let labels: Vec<&Value> = items
        .as_array()
        .expect("items")
        .iter()
        .map(|item| &item["label"])
        .collect();
    assert!(labels.contains(&&json!("temperature")), "{labels:?}");
    let change = json!({ "textDocument": { "uri": uri, "version": 2 }, "contentChanges": [{ "text": "[llm]\n" }] });
    peer.notify("textDocument/didChange", &change);
    assert_eq!(published(&mut peer), json!([]));
}

#[test]
fn a_changed_settings_file_counts_at_once_and_a_wrong_one_changes_nothing() {
    let mut peer = Peer::start(&Script::default());
    peer.greet(&json!({}));
    let file = peer.root.with_file_name("home/.config/agent/config.toml");
    let before = std::fs::read_to_string(&file).expect("read");
    let said = |peer: &mut Peer, what: &str| {
        peer.find(|message| message["params"]["message"].to_string().contains(what));
    };
    write(&file, &format!("{before}\n[agent]\nname = 3\n"));
    said(&mut peer, "expected text, found the number 3");
    said(&mut peer, "stay as they were");
    write(&file, &format!("{before}\n[agent]\nname = 'Robin'\n"));
    said(&mut peer, "the settings were read again");
    let uri = format!("file://{}/a.scripted", peer.root.display());
    let document = json!({ "uri": uri, "languageId": "scripted", "version": 1, "text": "wrong\n" });
    peer.notify("textDocument/didOpen", &json!({ "textDocument": document }));
    peer.find(|message| message["method"] == "textDocument/publishDiagnostics");
    let range =
        json!({ "start": { "line": 0, "character": 0 }, "end": { "line": 0, "character": 5 } });
    let params =
        json!({ "textDocument": { "uri": uri }, "range": range, "context": { "diagnostics": [] } });
    let actions = peer.request("textDocument/codeAction", &params)["result"].clone();
    assert!(actions.to_string().contains("Robin: fix"), "{actions}");
}

#[test]
fn a_settings_file_of_a_repository_with_very_many_mistakes_is_one_message() {
    let mut peer = Peer::prepared(|folder| {
        let root = crate::wire_peer::workspace(folder, &Script::default());
        std::fs::create_dir(root.join(".agent")).expect("made");
        let keys: Vec<String> = (0..10_000).map(|key| format!("no{key} = 1\n")).collect();
        write(&root.join(".agent/config.toml"), &keys.concat());
        root
    });
    peer.greet(&json!({}));
    let said: Vec<String> = peer
        .until_now()
        .iter()
        .filter(|message| message["method"] == "window/showMessage")
        .map(|message| message["params"]["message"].to_string())
        .collect();
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].contains("more is wrong"), "{said:?}");
    assert!(
        said[1].len() < 1000 && said[1].contains("meliora trust"),
        "{said:?}"
    );
}
