//! `meliora doctor` on machines that we make up: a `PATH` of scripts, a home of our own.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn script(path: &Path, body: &str) {
    std::fs::create_dir_all(path.parent().expect("the path has a parent")).expect("created");
    std::fs::write(path, format!("#!/bin/sh\n{body}\n")).expect("written");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("set");
}

/// Runs `doctor` in `machine`, where `first` and `second` are the folders of `PATH`.
fn doctor(machine: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let path = std::env::join_paths([machine.join("first"), machine.join("second")]);
    Command::new(env!("CARGO_BIN_EXE_meliora"))
        .arg("doctor")
        .args(arguments)
        .current_dir(machine)
        .env_clear()
        .env("HOME", machine)
        .env("PATH", path.expect("the folders have no colon"))
        .envs(variables.iter().copied())
        .output()
        .expect("our program starts")
}

fn findings(output: &Output, name: &str) -> Vec<(String, String)> {
    let report: Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
    let sections = report["sections"].as_array().expect("sections").iter();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    sections
        .flat_map(|section| section["findings"].as_array().expect("findings").clone())
        .filter(|finding| finding["name"] == name)
        .map(|finding| (text(&finding["standing"]), text(&finding["path"])))
        .collect()
}

#[test]
fn doctor_passes_over_a_pointer_of_rustup_and_finds_the_server_behind_it() {
    let machine = tempfile::tempdir().expect("a temporary folder");
    let (pointer, server) = (
        machine.path().join("first/rust-analyzer"),
        machine.path().join("second/rust-analyzer"),
    );
    script(
        &pointer,
        "echo \"error: Unknown binary 'rust-analyzer' in official toolchain 'stable'\" >&2; exit 1",
    );
    script(&server, "echo rust-analyzer 9.9.9");
    let output = doctor(machine.path(), &["--json"], &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let path = |path: &Path| path.display().to_string();
    assert_eq!(
        findings(&output, "rust-analyzer"),
        [
            ("good".to_owned(), path(&server)),
            ("caution".to_owned(), path(&pointer))
        ]
    );
    let text = doctor(machine.path(), &[], &[]);
    let text = String::from_utf8(text.stdout).expect("text");
    assert!(
        text.contains("run `rustup component add rust-analyzer`"),
        "{text}"
    );
    assert!(!text.contains('\u{1b}'), "piped output is plain: {text:?}");
}

#[test]
fn doctor_fails_only_when_something_essential_is_broken() {
    let machine = tempfile::tempdir().expect("a temporary folder");
    script(&machine.path().join("first/cargo"), "echo cargo 1.0.0");
    let output = doctor(machine.path(), &["--json"], &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(
        findings(&output, "go"),
        [("missing".to_owned(), String::new())]
    );
    let closed = [("XDG_STATE_HOME", "/dev/null")];
    let output = doctor(machine.path(), &["--json"], &closed);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let expected = ("broken".to_owned(), "/dev/null/meliora".to_owned());
    assert_eq!(findings(&output, "state"), [expected]);
}

#[test]
fn doctor_says_which_key_is_missing_and_never_shows_one() {
    let machine = tempfile::tempdir().expect("a temporary folder");
    let settings = [
        ("MELIORA_LLM__PROVIDER", "openai"),
        ("MELIORA_LLM__MODEL", "some-model"),
    ];
    let text = |variables: &[(&str, &str)]| {
        String::from_utf8(doctor(machine.path(), &[], variables).stdout).expect("text")
    };
    let without = text(&settings);
    assert!(without.contains("export OPENAI_API_KEY"), "{without}");
    let key = ("OPENAI_API_KEY", "sk-planted-0123456789abcdefghij");
    let with = text(&[settings[0], settings[1], key]);
    assert!(with.contains("some-model at https://"), "{with}");
    assert!(!with.contains("export OPENAI_API_KEY"), "{with}");
    assert!(!with.contains("planted"), "{with}");
}
