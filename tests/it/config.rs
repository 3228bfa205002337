//! The settings: where they come from, what is said about them, and how they are changed.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::wire_peer::environment;

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
fn a_secret_in_a_file_is_not_shown() {
    let place = Place::new();
    write(
        &place.user_file(),
        "[llm.providers.openai]\napi_key = 'sk-planted-0123456789'\n",
    );
    for arguments in [
        &["config", "show"][..],
        &["config", "show", "--json"],
        &["config", "check"],
    ] {
        let said = place.said(arguments);
        assert!(!said.contains("planted"), "{said}");
        assert!(said.contains("plain text"), "{said}");
    }
}
