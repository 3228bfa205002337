//! What becomes of an edit of which an editor took only a part, or that it had taken back already.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use meliora::config::host::Host;
use meliora::redact::Redactor;
use meliora::store::Store;
use serde_json::{Value, json};

use crate::editing::changed_before;
use crate::wire_peer::{Peer, Script, environment, eventually, workspace};

/// An editor with files that are not open, which it writes itself.
struct Desk {
    peer: Peer,
    home: PathBuf,
}

impl Desk {
    /// Not greeted yet; what runs do is committed.
    fn new() -> Self {
        let variable = ("MELIORA_TOOLS__GIT__AUTO_COMMIT", "true".to_owned());
        let peer = Peer::with(&[], &[variable], |folder| {
            workspace(folder, &Script::default())
        });
        let home = peer.root.parent().expect("it has one").join("home");
        let settings =
            "[user]\nname = Anna\nemail = anna@example.org\n[init]\ndefaultBranch = main\n";
        std::fs::create_dir_all(&home).expect("made");
        std::fs::write(home.join(".gitconfig"), settings).expect("written");
        Self { peer, home }
    }

    fn greet(&mut self) {
        self.peer.greet(&json!({
            "workspace": { "applyEdit": true, "workspaceEdit": { "documentChanges": true } },
            "experimental": { "meliora": { "events": true } }
        }));
    }

    fn git(&self, arguments: &[&str]) -> String {
        crate::git_writes::git(&self.peer.root, &self.home, arguments)
    }

    fn commit_everything(&self) {
        self.git(&["init", "-q"]);
        self.git(&["add", "."]);
        self.git(&["commit", "-qm", "first"]);
    }

    /// Runs our program at a terminal beside the editor.
    fn meliora(&self, arguments: &[&str]) {
        let base = self.peer.root.parent().expect("it has one");
        let status = std::process::Command::new(env!("CARGO_BIN_EXE_meliora"))
            .args(arguments)
            .current_dir(&self.peer.root)
            .envs(environment(base))
            .status();
        assert!(status.expect("it runs").success());
    }

    fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.peer.root.join(file)).expect("readable")
    }

    /// Gives a command. What follows from it may come before its answer.
    fn command(&mut self, name: &str) {
        let params = json!({ "command": format!("meliora.{name}"), "arguments": [] });
        self.peer.ask("workspace/executeCommand", &params);
    }

    /// The request to change this file.
    fn asked(&mut self, file: &str) -> Value {
        let edit = self
            .peer
            .find(|message| message["method"] == "workspace/applyEdit");
        let change = &edit["params"]["edit"]["documentChanges"][0];
        let uri = change["textDocument"]["uri"].as_str().expect("a URI");
        assert_eq!(uri.rsplit('/').next(), Some(file));
        edit["id"].clone()
    }

    /// Does what it was asked for.
    fn writes(&mut self, file: &str, text: &str) {
        let id = self.asked(file);
        std::fs::write(self.peer.root.join(file), text).expect("written");
        self.answers(&id, true);
    }

    fn answers(&mut self, id: &Value, applied: bool) {
        let body = json!({ "jsonrpc": "2.0", "id": id, "result": { "applied": applied } });
        self.peer.body(body.to_string());
    }

    fn event(&mut self, kind: &str) -> Value {
        let found = self
            .peer
            .find(|message| message["params"]["event"]["event"] == kind);
        found["params"]["event"].clone()
    }
}

#[test]
fn half_of_an_edit_can_be_taken_back_and_is_not_committed() {
    let mut desk = Desk::new();
    changed_before(&desk.peer, 1, &["a", "b"]);
    desk.commit_everything();
    let first = desk.git(&["rev-parse", "HEAD"]);
    desk.greet();
    for is_stopped in [false, true] {
        desk.command("undo");
        desk.writes("a", "old\n");
        let id = desk.asked("b");
        if is_stopped {
            desk.command("cancel");
        } else {
            desk.answers(&id, false);
        }
        assert_eq!(desk.event("applied")["files"], json!(["a"]));
        desk.event("finished");
        desk.command("undo");
        // The journal has done what it does about the first by then.
        let id = desk.asked("a");
        assert_eq!(desk.git(&["rev-parse", "HEAD"]), first);
        std::fs::write(desk.peer.root.join("a"), "new\n").expect("written");
        desk.answers(&id, true);
        assert_eq!(desk.event("undone")["files"], json!(["a"]));
        desk.event("finished");
    }
}

#[test]
fn what_had_arrived_when_the_editor_left_is_known_and_can_be_taken_back() {
    let mut desk = Desk::new();
    changed_before(&desk.peer, 1, &["a", "b"]);
    desk.commit_everything();
    desk.greet();
    desk.command("undo");
    desk.writes("a", "old\n");
    desk.asked("b");
    desk.peer.close_input();
    assert!(desk.peer.exit_code().is_some());
    let base = desk.peer.root.parent().expect("it has one");
    let environment = environment(base).into_iter().collect();
    let host = Host::from_environment("/nowhere/meliora".into(), environment);
    let store = Store::open(&host, &desk.peer.root, Arc::new(Redactor::default()));
    let runs = store.runs(10).expect("readable");
    assert!(
        runs.iter()
            .any(|run| run.kind == "undo" && run.files.contains(Path::new("a"))),
        "{runs:?}"
    );
    drop(store);
    desk.meliora(&["undo"]);
    assert_eq!((&*desk.read("a"), &*desk.read("b")), ("new\n", "new\n"));
}

#[test]
fn a_run_whose_files_had_returned_already_is_taken_back_with_its_commit() {
    let mut desk = Desk::new();
    changed_before(&desk.peer, 1, &["a"]);
    // The user pressed the editor's own undo.
    std::fs::write(desk.peer.root.join("a"), "old\n").expect("written");
    desk.commit_everything();
    std::fs::write(desk.peer.root.join("c"), "c\n").expect("written");
    let arguments = json!({ "message": "by hand", "files": "c" }).to_string();
    desk.meliora(&["tool", "call", "git_commit", &arguments]);
    assert_eq!(desk.git(&["log", "-1", "--format=%s"]), "by hand\n");
    desk.greet();
    desk.command("undo");
    desk.event("undone");
    desk.event("finished");
    eventually("the commit is taken back", || {
        desk.git(&["log", "-1", "--format=%s"]) == "first\n"
    });
    desk.command("undo");
    assert_eq!(desk.event("undone")["files"], json!([]));
    desk.event("finished");
    desk.command("undo");
    let end = desk.event("finished");
    let message = end["message"].as_str().unwrap_or_default();
    assert!(message.contains("there is no run to undo"), "{end}");
}
