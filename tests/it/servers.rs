//! Which of the real language servers a workspace gets, from machines that we make up: a `PATH` of links and scripts.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::wire_peer::Peer;

/// A folder of programs, which is the only one on `PATH` beside those of the system.
pub(crate) struct Machine {
    folder: tempfile::TempDir,
}

impl Machine {
    /// A machine with these of the programs that `tests/run` installs, each as `folder/name`.
    pub(crate) fn with(programs: &[&str]) -> Self {
        let machine = Self {
            folder: tempfile::tempdir().expect("a temporary folder"),
        };
        let node = on_path("node");
        for program in programs.iter().map(|name| tool(name)).chain(node) {
            let name = program.file_name().expect("a program has a name");
            symlink(&program, machine.folder.path().join(name)).expect("linked");
        }
        machine
    }

    /// A script that stands first on `PATH` under this name.
    pub(crate) fn script(&self, name: &str, body: &str) {
        let path = self.folder.path().join(format!("first/{name}"));
        std::fs::create_dir_all(path.parent().expect("it has one")).expect("made");
        std::fs::write(&path, format!("#!/bin/sh\n{body}\n")).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("set");
    }

    pub(crate) fn path(&self) -> String {
        let folder = self.folder.path().display();
        format!("{folder}/first:{folder}:/usr/bin:/bin")
    }

    /// Our server in a workspace of these files, with these settings of the user.
    pub(crate) fn serve(&self, arguments: &[&str], settings: &str, files: &[(&str, &str)]) -> Peer {
        let variables = [("PATH", self.path())];
        Peer::with(arguments, &variables, |folder| {
            let root = folder.join("work");
            let config = folder.join("home/.config/agent/config.toml");
            write(&config, settings);
            std::fs::create_dir_all(&root).expect("made");
            for (name, text) in files {
                write(&root.join(name), text);
            }
            root
        })
    }
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
}

fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().expect("it has one")).expect("made");
    std::fs::write(path, text).expect("written");
}

/// A program that `tests/run` installs.
pub(crate) fn tool(name: &str) -> PathBuf {
    let (folder, name) = name.split_once('/').expect("folder/name");
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools");
    let program = match folder {
        "python" => tools.join("python/bin").join(name),
        folder => tools.join(folder).join("node_modules/.bin").join(name),
    };
    assert!(
        program.is_file(),
        "{} is not installed: run `tests/run tools`",
        program.display()
    );
    program
}

/// Names of the servers that run, in order.
fn running(peer: &mut Peer) -> Vec<String> {
    let status = peer.request("meliora/status", &json!({}));
    let servers = status["result"]["servers"].as_array().expect("a list");
    servers
        .iter()
        .filter(|server| server["running"] == true)
        .map(|server| server["name"].as_str().expect("text").to_owned())
        .collect()
}

fn warnings(peer: &mut Peer) -> Vec<String> {
    let messages = peer.until_now().into_iter();
    messages
        .filter(|message| message["method"] == "window/showMessage")
        .map(|message| {
            message["params"]["message"]
                .as_str()
                .expect("text")
                .to_owned()
        })
        .collect()
}

fn open(peer: &mut Peer, name: &str, language: &str, text: &str) -> String {
    let uri = format!("file://{}/{name}", peer.root.display());
    let item = json!({ "uri": uri, "languageId": language, "version": 1, "text": text });
    peer.notify("textDocument/didOpen", &json!({ "textDocument": item }));
    uri
}

#[test]
fn the_first_alternative_that_really_answers_is_used() {
    let machine = Machine::with(&["npm/vtsls", "npm/tsc"]);
    machine.script(
        "typescript-language-server",
        "echo 'cannot find module' >&2; exit 1",
    );
    let mut peer = machine.serve(&[], "", &[("tsconfig.json", "{}")]);
    peer.greet(&json!({}));
    assert_eq!(running(&mut peer), ["vtsls"]);
    let uri = open(
        &mut peer,
        "a.tsx",
        "typescriptreact",
        "export const a: string = 1;\n",
    );
    let hover = peer.request(
        "textDocument/hover",
        &json!({ "textDocument": { "uri": uri }, "position": { "line": 0, "character": 13 } }),
    );
    let shown = hover["result"]["contents"].to_string();
    assert!(shown.contains("const a: string"), "{hover}");
}

#[test]
fn typescripts_compiler_is_a_server_from_version_seven_on() {
    let files = [("tsconfig.json", "{}")];
    let machine = Machine::with(&["typescript-7/tsc"]);
    let mut peer = machine.serve(&[], "", &files);
    peer.greet(&json!({}));
    assert_eq!(running(&mut peer), ["tsc"]);
    drop(peer);
    let machine = Machine::with(&["npm/tsc"]);
    let mut peer = machine.serve(&[], "", &files);
    peer.greet(&json!({}));
    let said = warnings(&mut peer);
    assert_eq!(running(&mut peer), [""; 0]);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(
        said[0].contains("none of typescript-language-server, vtsls and tsc was found"),
        "{said:?}"
    );
}

#[test]
fn a_linter_joins_the_type_checker_of_its_language() {
    let machine = Machine::with(&["python/ruff", "python/ty"]);
    let mut peer = machine.serve(&[], "", &[("pyproject.toml", "[project]\nname = 'a'\n")]);
    peer.greet(&json!({}));
    assert_eq!(warnings(&mut peer), Vec::<String>::new());
    assert_eq!(running(&mut peer), ["ty", "ruff"]);
}

#[test]
fn clangd_is_found_under_its_numbered_name_and_its_absence_is_not_missed_elsewhere() {
    let machine = Machine::with(&[]);
    let mut peer = machine.serve(&[], "", &[("compile_flags.txt", "-Wall\n")]);
    peer.greet(&json!({}));
    assert_eq!(running(&mut peer), ["clangd"]);
    let uri = open(&mut peer, "a.c", "c", "int main(void) { return x; }\n");
    let wrong = peer.find(|message| {
        message["method"] == "textDocument/publishDiagnostics"
            && message["params"]["uri"] == json!(uri)
    });
    let message = &wrong["params"]["diagnostics"][0]["message"];
    assert!(
        message
            .as_str()
            .is_some_and(|text| text.contains("undeclared")),
        "{wrong}"
    );
}

#[test]
fn what_the_user_sets_for_a_server_reaches_it() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/servers/scripted.py");
    let settings = format!(
        "[[lsp.servers]]\nname = 'scripted'\ncommand = 'sh'\n\
         args = ['-c', 'exec python3 {} --log \"$WHERE\"']\nfiletypes = ['scripted']\n\
         root_patterns = ['scripted.json']\nenv = {{ WHERE = '/dev/stderr' }}\n\
         initialization_options = {{ deep = {{ mine = 1 }} }}\n",
        script.display()
    );
    let machine = Machine::with(&[]);
    let mut peer = machine.serve(&[], &settings, &[("scripted.json", "{}")]);
    let settings = peer.root.with_file_name("home/.config/agent/config.toml");
    let log = peer.root.with_file_name("log");
    let text = std::fs::read_to_string(&settings).expect("readable");
    let text = text.replace("/dev/stderr", &log.display().to_string());
    std::fs::write(&settings, text).expect("written");
    peer.request(
        "initialize",
        &json!({
            "processId": null,
            "rootUri": format!("file://{}", peer.root.display()),
            "capabilities": {},
            "initializationOptions": { "deep": { "theirs": 2 } },
        }),
    );
    let greeting: Value = serde_json::from_slice(&peer.received()[0]).expect("JSON");
    assert_eq!(
        greeting["params"]["initializationOptions"],
        json!({ "deep": { "mine": 1, "theirs": 2 } })
    );
}

#[test]
fn whence_says_which_server_gave_what() {
    let machine = Machine::with(&["python/ruff", "python/ty"]);
    let files = [("pyproject.toml", "[project]\nname = 'a'\n"), ("a.py", "")];
    let mut peer = machine.serve(&[], "", &files);
    peer.greet(&json!({}));
    open(&mut peer, "a.py", "python", "import os\nx: int = 'text'\n");
    let base = peer.root.parent().expect("it has one").to_owned();
    let whence = |line: u32| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_meliora"))
            .args(["whence", &format!("a.py:{line}"), "--json"])
            .envs(crate::wire_peer::environment(&base))
            .current_dir(&peer.root)
            .output()
            .expect("our own binary starts");
        let found: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("no JSON: {output:?}"));
        found[0]["answers"].as_array().expect("a list").clone()
    };
    let says = |answers: &[Value], server: &str, method: &str, word: &str| {
        answers.iter().any(|answer| {
            let entries = answer["entries"].to_string();
            answer["server"] == server && answer["method"] == method && entries.contains(word)
        })
    };
    let first = whence(1);
    assert!(
        says(&first, "ruff", "textDocument/diagnostic", "F401"),
        "{first:#?}"
    );
    assert!(
        says(&first, "ruff", "textDocument/codeAction", "unused import"),
        "{first:#?}"
    );
    assert!(
        !says(&first, "ty", "textDocument/diagnostic", "F401"),
        "{first:#?}"
    );
    let second = whence(2);
    assert!(
        says(&second, "ty", "textDocument/diagnostic", "int"),
        "{second:#?}"
    );
    assert!(
        second.iter().all(|answer| answer["error"].is_null()),
        "{second:#?}"
    );
}
