//! What the program does to repositories: commits of exactly what was changed, branches, pushes; and that nothing which
//! lies in a repository has a say in it.

use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use meliora::agent::commit::{Delivered, carry_out};
use meliora::config::Config;
use meliora::config::host::Host;
use meliora::event::{RunEvent, RunId};
use meliora::llm::message::ToolCall;
use meliora::redact::Redactor;
use meliora::safety::Policy;
use meliora::safety::approvals::{Answer, Approver, Question};
use meliora::text::staging::Staging;
use meliora::tools::consent::Consent;
use meliora::tools::execute::{Desk, Executed, execute};
use meliora::tools::outputs::Outputs;
use meliora::tools::registry::Toolbox;
use serde_json::{Value, json};

pub(crate) const EIGHT: &str = "1\n2\n3\n4\n5\n6\n7\n8\n";

/// A repository with one commit, a home with settings, and a file that whatever runs by mistake would make.
pub(crate) struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let place = Self::bare();
        place.write("a.txt", EIGHT);
        place.write("b.txt", "b\n");
        place.git(&["add", "."]);
        place.git(&["commit", "-qm", "first"]);
        place
    }

    /// The same without a commit.
    pub(crate) fn bare() -> Self {
        let place = Self {
            folder: tempfile::tempdir().expect("a temporary folder"),
        };
        for folder in [
            place.root(),
            place.home().join(".config/agent"),
            place.bin(),
        ] {
            std::fs::create_dir_all(folder).expect("made");
        }
        let settings =
            "[user]\nname = Anna\nemail = anna@example.org\n[init]\ndefaultBranch = main\n";
        std::fs::write(place.home().join(".gitconfig"), settings).expect("written");
        place.git(&["init", "-q"]);
        place
    }

    pub(crate) fn base(&self) -> PathBuf {
        self.folder.path().canonicalize().expect("it exists")
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.folder
            .path()
            .canonicalize()
            .expect("it exists")
            .join("work")
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.base().join("home")
    }

    pub(crate) fn bin(&self) -> PathBuf {
        self.base().join("bin")
    }

    fn marker(&self) -> PathBuf {
        self.base().join("ran")
    }

    pub(crate) fn environment(&self) -> BTreeMap<String, String> {
        let path = std::env::var("PATH").expect("there is one");
        let home = self.home().display().to_string();
        BTreeMap::from([
            ("HOME".to_owned(), home),
            (
                "PATH".to_owned(),
                format!("{}:{path}", self.bin().display()),
            ),
        ])
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.root().join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        std::fs::write(path, text).expect("written");
    }

    pub(crate) fn settings(&self, text: &str) {
        std::fs::write(self.home().join(".config/agent/config.toml"), text).expect("written");
    }

    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        git(&self.root(), &self.home(), arguments)
    }

    pub(crate) fn meliora(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_meliora"))
            .args(arguments)
            .current_dir(self.root())
            .env_clear()
            .envs(self.environment())
            .output()
            .expect("it runs")
    }

    /// Calls a tool by hand, and gives its name of the run and what was said; it has to succeed.
    pub(crate) fn call(&self, name: &str, arguments: Value) -> (String, String) {
        let output = self.meliora(&["tool", "call", name, &arguments.to_string(), "--json"]);
        let said = said(&output);
        assert!(output.status.success(), "{said}");
        let answer: Value = serde_json::from_slice(&output.stdout).expect("a document");
        (answer["run"].as_str().expect("a name").to_owned(), said)
    }

    pub(crate) fn refused(&self, name: &str, arguments: Value) -> String {
        let output = self.meliora(&["tool", "call", name, &arguments.to_string(), "--json"]);
        assert!(!output.status.success(), "{}", said(&output));
        said(&output)
    }

    /// Makes a program that leaves the mark.
    fn trap(&self, path: &Path) -> String {
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        let script = format!("#!/bin/sh\necho \"$0 $*\" >> {}\n", self.marker().display());
        std::fs::write(path, script).expect("written");
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).expect("changed");
        path.display().to_string()
    }

    fn assert_nothing_ran(&self) {
        let ran = std::fs::read_to_string(self.marker()).unwrap_or_default();
        assert_eq!(ran, "", "it ran");
    }
}

pub(crate) fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

/// Runs git with nothing of the repository that would start anything.
pub(crate) fn git(folder: &Path, home: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args([
            "-c",
            "core.hooksPath=/dev/null",
            "-c",
            "core.fsmonitor=false",
        ])
        .args(["-c", "commit.gpgsign=false"])
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("HOME", home)
        .env("PATH", std::env::var_os("PATH").expect("there is one"))
        .output()
        .expect("git runs");
    assert!(output.status.success(), "{arguments:?} {}", said(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_commit_by_hand_has_the_named_files_and_leaves_everything_else_as_it_was() {
    let place = Place::new();
    place.write("a.txt", "changed\n");
    place.write("b.txt", "not this\n");
    place.write("staged.txt", "staged\n");
    place.write("new/c.txt", "new\n");
    place.git(&["add", "staged.txt"]);
    let message = json!({ "message": "two files\n\nwhy", "files": "a.txt\nnew/c.txt" });
    let (run, _) = place.call("git_commit", message);
    assert_eq!(
        place.git(&["log", "-1", "--format=%an <%ae> %s/%b"]).trim(),
        "Anna <anna@example.org> two files/why"
    );
    assert_eq!(
        place.git(&["show", "--name-only", "--format="]),
        "a.txt\nnew/c.txt\n"
    );
    assert_eq!(
        place.git(&["status", "--porcelain"]),
        " M b.txt\nA  staged.txt\n"
    );
    place.git(&["fsck", "--strict"]);
    let history = said(&place.meliora(&["audit", "show"]));
    assert!(
        history.contains("committed ") && history.contains("a.txt, new/c.txt"),
        "{history}"
    );

    // Taking it back moves the branch; the files stay as the user had them.
    let undone = place.meliora(&["undo", &run]);
    assert!(undone.status.success(), "{}", said(&undone));
    assert_eq!(place.git(&["log", "--format=%s"]), "first\n");
    assert_eq!(
        place.git(&["status", "--porcelain"]),
        " M a.txt\n M b.txt\nA  staged.txt\n?? new/\n"
    );

    for (arguments, expected) in [
        (json!({ "message": "m", "files": "../x" }), "workspace"),
        (
            json!({ "message": "m", "files": ".git/config" }),
            "belongs to git",
        ),
        (json!({ "message": "m", "files": "b.txt\n.env" }), "secret"),
        (json!({ "message": " ", "files": "b.txt" }), "message"),
        (
            json!({ "message": "ghp_0123456789abcdefghijABCDEFGHIJ012345", "files": "b.txt" }),
            "secret",
        ),
        (json!({ "message": "m" }), "nothing to commit"),
    ] {
        let refused = place.refused("git_commit", arguments.clone());
        assert!(refused.contains(expected), "{arguments}: {refused}");
    }
    assert_eq!(place.git(&["log", "--format=%s"]), "first\n");
}

#[test]
fn an_applied_run_is_one_commit_of_exactly_its_changes() {
    let place = Place::new();
    place.settings("[tools.git]\nauto_commit = true\ncommit_prefix = \"[bot]\"\n");
    // What the user changed, and staged, in the same file and in others.
    place.write("a.txt", "1 staged\n2\n3\n4\n5\n6\n7\n8\n");
    place.write("staged.txt", "staged\n");
    place.git(&["add", "."]);
    place.write("a.txt", "1 staged\n2\n3\n4 user\n5\n6\n7\n8\n");
    let edit = json!({ "path": "a.txt", "search": "8\n", "replace": "8 run\n" });
    let (run, _) = place.call("edit_file", edit.clone());
    assert_eq!(
        place.git(&["show", "HEAD:a.txt"]),
        "1\n2\n3\n4\n5\n6\n7\n8 run\n"
    );
    assert_eq!(
        place.git(&["show", ":a.txt"]),
        "1 staged\n2\n3\n4\n5\n6\n7\n8 run\n"
    );
    assert_eq!(place.git(&["show", "--name-only", "--format="]), "a.txt\n");
    assert_eq!(
        place.git(&["status", "--porcelain"]),
        "MM a.txt\nA  staged.txt\n"
    );
    let log = place.git(&["log", "-1", "--format=%B"]);
    assert!(
        log.starts_with("[bot] call edit_file") && log.contains(&run),
        "{log}"
    );

    // Undo takes the commit back, as long as nobody else has it.
    assert!(place.meliora(&["undo"]).status.success());
    assert_eq!(place.git(&["log", "--format=%s"]), "first\n");
    assert_eq!(
        place.git(&["show", ":a.txt"]),
        "1 staged\n2\n3\n4\n5\n6\n7\n8\n"
    );
    // Redo makes it again.
    assert!(place.meliora(&["redo"]).status.success());
    assert_eq!(
        place.git(&["show", "HEAD:a.txt"]),
        "1\n2\n3\n4\n5\n6\n7\n8 run\n"
    );
    assert_eq!(place.git(&["log", "--format=%s"]).lines().count(), 2);
    // What was pushed stays, and is answered by another commit.
    place.git(&["update-ref", "refs/remotes/origin/main", "HEAD"]);
    let undone = place.meliora(&["undo", &run]);
    assert!(
        undone.status.success() && said(&undone).contains("it was pushed"),
        "{}",
        said(&undone)
    );
    assert_eq!(place.git(&["show", "HEAD:a.txt"]), EIGHT);
    assert_eq!(place.git(&["log", "--format=%s"]).lines().count(), 3);
    // Without `auto_commit` it is said what to do.
    place.settings("");
    let (run, _) = place.call("edit_file", edit);
    assert_eq!(place.git(&["log", "--format=%s"]).lines().count(), 3);
    place.call(
        "git_commit",
        json!({ "message": "by hand", "files": "a.txt" }),
    );
    assert!(place.meliora(&["undo", &run]).status.success());
    place.git(&["fsck", "--strict"]);
}

#[test]
fn changes_that_cannot_be_told_from_the_users_are_not_committed() {
    let place = Place::new();
    place.settings("[tools.git]\nauto_commit = true\n");
    place.write("a.txt", "1\n2\n3\n4\n5\n6\n7\nuser\n");
    place.write("own.txt", "never committed\n");
    place.write(".gitignore", "*.log\n");
    let edit = json!({ "path": "a.txt", "search": "user", "replace": "user and run" });
    let (_, said) = place.call("edit_file", edit);
    assert!(said.contains("other changes in the same lines"), "{said}");
    let (_, said) = place.call(
        "edit_file",
        json!({ "path": "own.txt", "search": "never", "replace": "not" }),
    );
    assert!(said.contains("was not committed before"), "{said}");
    let (_, said) = place.call("write_file", json!({ "path": "x.log", "text": "x\n" }));
    assert!(said.contains("git ignores it"), "{said}");
    assert_eq!(place.git(&["log", "--format=%s"]), "first\n");
}

#[test]
fn nothing_that_lies_in_a_repository_runs() {
    let place = Place::new();
    let trap = place.trap(&place.base().join("trap"));
    let hooks = [
        "pre-commit",
        "commit-msg",
        "prepare-commit-msg",
        "post-commit",
        "post-index-change",
        "reference-transaction",
        "pre-push",
        "post-checkout",
    ];
    for hook in hooks {
        place.trap(&place.root().join(".git/hooks").join(hook));
    }
    let settings = format!(
        "[core]\n\thooksPath = .git/hooks\n\tfsmonitor = {trap}\n\teditor = {trap}\n\tsshCommand = {trap}\n\tpager = {trap}\n\
         \tgitProxy = {trap}\n\taskPass = {trap}\n\talternateRefsCommand = {trap}\n[alias]\n\tcommit = !{trap}\n\tpush = !{trap}\n\
         [commit]\n\tgpgsign = true\n[gpg]\n\tprogram = {trap}\n[filter \"x\"]\n\tclean = {trap}\n\tsmudge = {trap}\n\tprocess = {trap}\n\
         [diff]\n\texternal = {trap}\n[diff \"x\"]\n\ttextconv = {trap}\n[credential]\n\thelper = !{trap}\n[include]\n\tpath = more\n\
         [protocol]\n\tallow = always\n[protocol \"ext\"]\n\tallow = always\n[remote \"origin\"]\n\turl = ext::{trap} %S x\n\tvcs = x\n\treceivepack = {trap}\n"
    );
    let mut config =
        std::fs::read_to_string(place.root().join(".git/config")).expect("it is there");
    config.push_str(&settings);
    std::fs::write(place.root().join(".git/config"), config).expect("written");
    std::fs::write(
        place.root().join(".git/more"),
        format!("[core]\n\tfsmonitor = {trap}\n"),
    )
    .expect("written");
    place.trap(&place.root().join("git"));
    place.trap(&place.root().join("ssh"));
    place.write(
        ".gitattributes",
        "*.bin filter=x diff=x\n[attr]big filter=x\n*.big big\n",
    );
    place.write("x.bin", "1");
    place.write("x.big", "1");
    place.write("c.txt", "1\n");
    let (_, said) = place.call(
        "git_commit",
        json!({ "message": "m", "files": "c.txt\nx.bin\nx.big" }),
    );
    assert!(said.contains("`filter=x` of .gitattributes"), "{said}");
    assert_eq!(place.git(&["show", "--name-only", "--format="]), "c.txt\n");
    place.call("git_branch", json!({ "create": "agent/one" }));
    assert_eq!(
        place.git(&["symbolic-ref", "HEAD"]),
        "refs/heads/agent/one\n"
    );
    assert!(place.meliora(&["undo"]).status.success());
    assert_eq!(place.git(&["symbolic-ref", "HEAD"]), "refs/heads/main\n");
    assert!(!place.git(&["branch"]).contains("agent"));
    for url in [
        format!("ext::{trap}"),
        trap.clone(),
        format!("file://{}", place.base().display()),
        "../other".to_owned(),
        "git://example.org/x".to_owned(),
        "http://example.org/x".to_owned(),
        "https://me:pw@example.org/x".to_owned(),
        "ssh://-oProxyCommand=x/y".to_owned(),
        "ssh://git@-x/y".to_owned(),
        "git@example.org:-x".to_owned(),
        "git@$(touch x):y".to_owned(),
        "https://localhost/x".to_owned(),
        "https://169.254.169.254/x".to_owned(),
        "git@127.0.0.1:x".to_owned(),
        "foo::https://example.org/x".to_owned(),
    ] {
        place.git(&["config", "remote.origin.url", &url]);
        let refused = place.refused("git_push", json!({}));
        assert!(
            refused.contains("git-transport") || refused.contains("private-address"),
            "{url}: {refused}"
        );
    }
    place.git(&["config", "remote.origin.url", "https://example.org/x"]);
    for branch in ["--force", "+main", "a b", "main:other", "nowhere"] {
        place.refused("git_push", json!({ "branch": branch }));
    }
    for remote in ["--upload-pack=x", "https://example.org/x", "elsewhere"] {
        place.refused("git_push", json!({ "remote": remote }));
    }
    // Nobody can be asked here, and a push always asks.
    assert!(place.refused("git_push", json!({})).contains("git_push"));
    place.assert_nothing_ran();
}

#[test]
fn only_the_repository_of_this_very_folder_is_changed() {
    let other = Place::new();
    let files = json!({ "message": "m", "files": "c.txt" });
    // A file, or a link, that leads to somebody else's repository.
    for by_link in [false, true] {
        let place = Place::bare();
        std::fs::remove_dir_all(place.root().join(".git")).expect("removed");
        let (at, to) = (place.root().join(".git"), other.root().join(".git"));
        if by_link {
            symlink(&to, &at).expect("linked");
        } else {
            std::fs::write(&at, format!("gitdir: {}\n", to.display())).expect("written");
        }
        place.write("c.txt", "c\n");
        let refused = place.refused("git_commit", files.clone());
        assert!(
            refused.contains("not the repository of this folder"),
            "{refused}"
        );
        place.refused("git_branch", json!({ "create": "x" }));
    }
    assert_eq!(other.git(&["log", "--format=%s"]), "first\n");
    assert_eq!(
        other.git(&["branch", "--format=%(refname)"]),
        "refs/heads/main\n"
    );

    // A worktree and a submodule are folders of their own.
    let worktree = Place::bare();
    std::fs::remove_dir_all(worktree.root()).expect("removed");
    other.git(&[
        "worktree",
        "add",
        "-q",
        "-b",
        "side",
        &worktree.root().display().to_string(),
    ]);
    worktree.write("c.txt", "c\n");
    worktree.call("git_commit", files.clone());
    assert_eq!(other.git(&["show", "side:c.txt"]), "c\n");
    assert_eq!(worktree.git(&["status", "--porcelain"]), "");
    let outer = Place::new();
    let source = other.root().display().to_string();
    outer.git(&[
        "-c",
        "protocol.file.allow=always",
        "submodule",
        "add",
        "-q",
        &source,
        "sub",
    ]);
    outer.git(&["commit", "-qm", "sub"]);
    outer.write("sub/c.txt", "c\n");
    let (_, said) = {
        outer.write("d.txt", "d\n");
        outer.call(
            "git_commit",
            json!({ "message": "m", "files": "sub/c.txt\nd.txt" }),
        )
    };
    assert!(said.contains("lies in the repository at"), "{said}");
    assert_eq!(outer.git(&["show", "--name-only", "--format="]), "d.txt\n");
}

#[test]
fn a_repository_in_any_state_is_committed_to_or_left_alone() {
    let files = json!({ "message": "m", "files": "c.txt" });
    let unborn = Place::bare();
    unborn.write("c.txt", "c\n");
    let (run, _) = unborn.call("git_commit", files.clone());
    assert_eq!(unborn.git(&["log", "--format=%s"]), "m\n");
    assert!(unborn.meliora(&["undo", &run]).status.success());
    assert_eq!(unborn.git(&["status", "--porcelain"]), "?? c.txt\n");

    let place = Place::new();
    place.write("c.txt", "c\n");
    for (name, what) in [
        ("MERGE_HEAD", "a merge"),
        ("CHERRY_PICK_HEAD", "a cherry-pick"),
        ("BISECT_LOG", "a bisect"),
    ] {
        let path = place.root().join(".git").join(name);
        std::fs::write(&path, place.git(&["rev-parse", "HEAD"])).expect("written");
        let refused = place.refused("git_commit", files.clone());
        assert!(refused.contains(what), "{refused}");
        std::fs::remove_file(path).expect("removed");
    }
    // Somebody else has the index, or it cannot be read: the commit is whole, or there is none.
    std::fs::write(place.root().join(".git/index.lock"), "").expect("written");
    let output = place.meliora(&["tool", "call", "git_commit", &files.to_string()]);
    assert!(said(&output).contains("index"), "{}", said(&output));
    std::fs::remove_file(place.root().join(".git/index.lock")).expect("removed");
    place.git(&["fsck", "--strict"]);

    let detached = Place::new();
    detached.git(&["checkout", "-q", "--detach"]);
    detached.write("c.txt", "c\n");
    detached.call("git_commit", files.clone());
    assert_eq!(detached.git(&["show", "HEAD:c.txt"]), "c\n");
    assert_eq!(detached.git(&["log", "--format=%s", "main"]), "first\n");

    let nameless = Place::new();
    std::fs::remove_file(nameless.home().join(".gitconfig")).expect("removed");
    nameless.git(&["config", "user.name", "Mallory"]);
    nameless.git(&["config", "user.email", "m@example.org"]);
    nameless.write("c.txt", "c\n");
    assert!(
        nameless
            .refused("git_commit", files.clone())
            .contains("who you are")
    );

    let asking = Place::new();
    asking.settings("[safety]\nrequire_approval_for = [\"git_commit\"]\n");
    asking.write("c.txt", "c\n");
    assert!(
        asking
            .refused("git_commit", files)
            .contains("commits need approval here")
    );
    assert_eq!(asking.git(&["log", "--format=%s"]), "first\n");
}

/// Calls of a model, and the person who is asked.
pub(crate) struct Scene<'place> {
    place: &'place Place,
    host: Host,
    config: Config,
    staging: Staging,
    questions: std::sync::Arc<std::sync::Mutex<Vec<Question>>>,
}

impl<'place> Scene<'place> {
    pub(crate) fn new(place: &'place Place, config: Config) -> Self {
        let executable = PathBuf::from(env!("CARGO_BIN_EXE_meliora"));
        Self {
            place,
            host: Host::from_environment(executable, place.environment()),
            config,
            staging: Staging::new(place.root(), BTreeMap::new(), 1_000_000),
            questions: std::sync::Arc::default(),
        }
    }

    fn policy(&self) -> Policy {
        Policy::new(&self.host, &self.config, &self.place.root())
    }

    pub(crate) async fn call(
        &mut self,
        name: &str,
        arguments: Value,
        answer: Option<Answer>,
    ) -> Executed {
        let approver = answer.map(|answer| {
            let (approver, mut asked) = Approver::new();
            let questions = std::sync::Arc::clone(&self.questions);
            tokio::spawn(async move {
                while let Some(asked) = asked.recv().await {
                    questions
                        .lock()
                        .expect("nobody panicked")
                        .push(asked.question);
                    // Somebody waits for it.
                    let _ = asked.answer.send(answer);
                }
            });
            approver
        });
        let policy = self.policy();
        let desk = Desk {
            toolbox: &Toolbox::default(),
            policy: &policy,
            redactor: &Redactor::default(),
            checker: None,
            outputs: &Outputs::default(),
            settings: &self.config.tools,
            watch: None,
            consent: &Consent::of(&self.host, &self.place.root(), approver),
        };
        let call = ToolCall {
            id: "1".to_owned(),
            name: name.to_owned(),
            arguments: arguments.to_string(),
        };
        execute(&call, &mut self.staging, &desk).await
    }
}

#[tokio::test]
async fn what_a_model_commits_is_committed_when_it_is_in_the_files() {
    let place = Place::new();
    let mut scene = Scene::new(&place, Config::default());
    place.write("b.txt", "the user's\n");
    let early = scene
        .call(
            "git_commit",
            json!({ "message": "m", "files": "b.txt" }),
            None,
        )
        .await;
    assert!(
        early.text.contains("not among your edits"),
        "{}",
        early.text
    );
    scene
        .call(
            "edit_file",
            json!({ "path": "a.txt", "search": "8\n", "replace": "8 run\n" }),
            None,
        )
        .await;
    scene
        .call(
            "write_file",
            json!({ "path": "d.txt", "text": "d\n" }),
            None,
        )
        .await;
    let other = scene
        .call(
            "git_commit",
            json!({ "message": "m", "files": "a.txt\nb.txt" }),
            None,
        )
        .await;
    assert!(!other.result.success, "{}", other.text);
    let branch = scene
        .call("git_branch", json!({ "create": "agent/x" }), None)
        .await;
    let commit = scene
        .call(
            "git_commit",
            json!({ "message": "one", "files": "a.txt" }),
            None,
        )
        .await;
    assert!(
        commit.result.success && branch.result.success,
        "{}",
        commit.text
    );
    assert_eq!(
        place.git(&["log", "--format=%s"]),
        "first\n",
        "not before it is delivered"
    );
    let wishes: Vec<_> = branch.wishes.into_iter().chain(commit.wishes).collect();
    let edits = scene.staging.proposed().clone();
    let run = RunId::new(1, 1);
    let delivered = Delivered {
        run: &run,
        title: "a title",
        edits: &edits,
        wishes: &wishes,
        is_by_hand: false,
    };
    place.write("a.txt", "1\n2\n3\n4\n5\n6\n7\n8 run\n");
    let (host, config, policy) = (&scene.host, &scene.config, scene.policy());
    let done = carry_out(host, config, &policy, delivered, &mut |_| Ok(()));
    assert!(
        done.events
            .iter()
            .any(|event| matches!(event, RunEvent::Committed { .. })),
        "{done:?}"
    );
    assert_eq!(
        place.git(&["log", "--format=%D %s", "-1"]).trim(),
        "HEAD -> agent/x one"
    );
    assert_eq!(place.git(&["show", "--name-only", "--format="]), "a.txt\n");
    assert_eq!(place.git(&["status", "--porcelain"]), " M b.txt\n");
}

#[tokio::test]
async fn a_push_asks_each_time_and_goes_exactly_where_it_was_said() {
    let place = Place::new();
    let bare = place.base().join("bare.git");
    git(
        &place.base(),
        &place.home(),
        &["init", "-q", "--bare", "bare.git"],
    );
    // What stands for the other machine notes with what it was called.
    let log = place.base().join("ssh.log");
    let script = format!(
        "#!/bin/sh\necho \"$*\" >> {}\nenv | grep -i '^git\\|token' >> {}.env\nexec git-receive-pack {}\n",
        log.display(),
        log.display(),
        bare.display()
    );
    std::fs::write(place.bin().join("ssh"), script).expect("written");
    std::fs::set_permissions(place.bin().join("ssh"), PermissionsExt::from_mode(0o755))
        .expect("changed");
    let trap = place.trap(&place.root().join(".git/hooks/pre-push"));
    let url = "ssh://git@127.0.0.1:2222/x.git";
    for (key, value) in [
        ("remote.origin.url", url),
        (
            "url.ssh://git@evil.example/.insteadOf",
            "ssh://git@127.0.0.1:2222/",
        ),
        (
            "url.ssh://git@evil.example/.pushInsteadOf",
            "ssh://git@127.0.0.1:2222/",
        ),
        ("core.sshCommand", trap.as_str()),
        ("remote.origin.push", "+refs/heads/*:refs/heads/*"),
        ("remote.origin.mirror", "true"),
        ("push.followTags", "true"),
    ] {
        place.git(&["config", key, value]);
    }
    place.git(&["tag", "-am", "t", "v1"]);
    let mut config = Config::default();
    config.tools.http.allowed_domains = vec!["127.0.0.1:2222".to_owned()];
    let mut scene = Scene::new(&place, config);
    for answer in [None, Some(Answer::No)] {
        let refused = scene.call("git_push", json!({}), answer).await;
        assert!(!refused.result.success, "{}", refused.text);
    }
    assert!(!log.exists());
    let sent = scene.call("git_push", json!({}), Some(Answer::Yes)).await;
    assert!(sent.result.success, "{}", sent.text);
    let question = scene
        .questions
        .lock()
        .expect("nobody panicked")
        .last()
        .cloned();
    let question = question.expect("a question");
    assert!(
        question.reason.contains(url) && question.what[0].contains(url),
        "{question:?}"
    );
    assert!(!question.irreversible.is_empty() && question.always.is_none());
    let called = std::fs::read_to_string(&log).expect("it was called");
    assert!(
        called.contains("git@127.0.0.1") && called.contains("git-receive-pack '/x.git'"),
        "{called}"
    );
    assert!(!called.contains("evil"));
    let head = place.git(&["rev-parse", "HEAD"]);
    assert_eq!(
        git(
            &bare,
            &place.home(),
            &["for-each-ref", "--format=%(objectname) %(refname)"]
        )
        .trim(),
        format!("{} refs/heads/main", head.trim())
    );
    assert_eq!(place.git(&["rev-parse", "refs/remotes/origin/main"]), head);
    assert!(
        sent.events
            .iter()
            .any(|event| matches!(event, RunEvent::Pushed { .. }))
    );
    // What the other machine has is not replaced.
    place.git(&["commit", "-q", "--amend", "-m", "another"]);
    let refused = scene.call("git_push", json!({}), Some(Answer::Yes)).await;
    assert!(
        !refused.result.success && refused.text.contains("did not push"),
        "{}",
        refused.text
    );
    assert_eq!(git(&bare, &place.home(), &["rev-parse", "main"]), head);
    place.assert_nothing_ran();
}
