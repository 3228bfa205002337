//! A client that somebody else wrote and that takes nothing amiss: with five real servers, what works directly works
//! through us.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::differential::projects::{self, Project, write};
use crate::differential::{system, tool};
use crate::wire_peer::environment;

/// How a session is told to the client, by the name under which it is reported.
fn session(name: &str, command: &[String], project: &Project, root: &Path) -> Value {
    json!({
        "name": name,
        "command": command,
        "root": root,
        "file": project.file,
        "language": project.language,
        "place": project.place,
        "typed": project.typed,
        "options": project.options,
    })
}

/// What was done in each session, by its name.
fn done(output: &str, name: &str) -> Vec<String> {
    let mut lines = output.lines().map(|line| line.trim_start_matches('.'));
    let line = lines.find_map(|line| line.strip_prefix("DONE ")?.strip_prefix(name));
    let words = line.unwrap_or_default().split_whitespace();
    words.map(str::to_owned).collect()
}

#[test]
fn a_strict_client_works_with_five_servers_through_us_as_directly() {
    let all = [
        ("rust", projects::rust(&system("rust-analyzer"))),
        (
            "typescript",
            projects::typescript(&tool("npm/typescript-language-server")),
        ),
        ("python", projects::pylsp(&tool("python/pylsp"))),
        ("c", projects::c(&system("clangd-19"))),
        ("go", projects::go(&system("gopls"))),
    ];
    let folder = tempfile::tempdir().expect("a temporary folder");
    let base = folder.path().canonicalize().expect("it exists");
    std::fs::create_dir_all(base.join("home")).expect("made");
    let mut sessions = Vec::new();
    for (name, project) in &all {
        let root = base.join(name);
        for (file, text) in project.files {
            write(&root.join(file), text);
        }
        let ours = [env!("CARGO_BIN_EXE_meliora"), "proxy", "--"].map(str::to_owned);
        let through: Vec<String> = ours.iter().chain(&project.command).cloned().collect();
        let direct = format!("{name}-direct");
        sessions.push(session(&direct, &project.command, project, &root));
        sessions.push(session(&format!("{name}-ours"), &through, project, &root));
    }
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(here.join("target/tools/python/bin/python"))
        .args(["-m", "pytest", "-q", "-s", "-p", "no:cacheprovider"])
        .arg(here.join("fixtures/pytest/test_sessions.py"))
        .current_dir(&base)
        .envs(environment(&base))
        .env("SESSIONS", Value::from(sessions).to_string())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("RUSTUP_DIST_SERVER", "http://127.0.0.1:9")
        .output()
        .expect("python starts; `tests/run tools` installs it");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    for (name, _) in &all {
        let direct = done(&said, &format!("{name}-direct"));
        assert!(
            direct.len() >= 11,
            "{name}: hardly anything works directly: {direct:?}\n{said}"
        );
        let ours = done(&said, &format!("{name}-ours"));
        assert_eq!(ours, direct, "{name}\n{said}");
    }
    assert!(output.status.success(), "{said}");
}
