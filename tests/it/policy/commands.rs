//! Hundreds of command lines with the verdicts that they must have.

use std::fmt::Write as _;
use std::path::Path;

use meliora::config::{Approval, Config};
use meliora::permit::{Action, Decision};
use meliora::safety;
use meliora::safety::commands::{self, Access};

use super::workspace::Workspace;

/// The verdict and the command line of each line of a fixture; `\n` stands for the end of a line.
fn cases(name: &str) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/policy");
    let text = std::fs::read_to_string(folder.join(name)).expect("the fixture is there");
    let lines = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let cases = lines.map(|line| {
        let (verdict, command) = line.split_once(' ').expect("a verdict and a command");
        let command = command.replace("\\\\n", "\\\n").replace("\\n", "\n");
        (verdict.to_owned(), command)
    });
    cases.collect()
}

fn verdict(decision: &Decision) -> &'static str {
    match decision {
        Decision::Allow { .. } => "allow",
        Decision::Ask { .. } => "ask",
        Decision::Deny { .. } => "deny",
    }
}

fn check(cases: &[(String, String)], config: &Config) {
    let workspace = Workspace::new();
    let policy = workspace.policy(config);
    let mut wrong = String::new();
    for (expected, command) in cases {
        let ruling = commands::rule(&policy, command, &workspace.root);
        if verdict(&ruling.decision) != expected {
            let _ = writeln!(wrong, "{expected} {command:?}: {:?}", ruling.decision);
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn what_developers_run_all_day_is_not_held_up() {
    let cases = cases("ordinary.txt");
    assert!(cases.len() >= 200, "{}", cases.len());
    check(&cases, &Config::default());
}

#[test]
fn what_would_do_harm_is_stopped_however_it_is_written() {
    let cases = cases("hostile.txt");
    assert!(cases.len() >= 500, "{}", cases.len());
    assert!(cases.iter().all(|(verdict, _)| verdict != "allow"));
    // Without the configured texts, so that the built-in rules are what stops it.
    let mut config = Config::default();
    config.safety.forbidden_commands.clear();
    check(&cases, &config);
}

#[test]
fn what_cannot_be_seen_is_asked_about() {
    let case = |command: &str| ("ask".to_owned(), command.to_owned());
    let cases = [
        "ls\u{202e} -la",
        "cat README.md \u{200b}",
        "ls \u{2066}x\u{2069}",
        "ls\u{a0}-la",
        "ls \u{feff}",
        "ls \r",
        "ls \u{1b}[2K",
        "ls \u{0}",
        "ls \u{e0041}",
        "ls \u{3000}src",
        "l\u{455}",
        "ls                     src",
        "ls\t\t\t\t\tsrc",
    ];
    check(&cases.map(case), &Config::default());
    let deep = format!("{}ls{}", "$(".repeat(100), ")".repeat(100));
    let long = format!("echo {}", "a".repeat(100_000));
    let many = "ls;".repeat(2_000);
    check(
        &[deep, long, many].map(|line| case(&line)),
        &Config::default(),
    );
}

#[test]
fn a_ruling_shows_the_words_that_count_and_where_targets_really_are() {
    let workspace = Workspace::new();
    let policy = workspace.policy(&Config::default());
    let line = r#"cd src && sudo env A=1 sh -c 'r\m "../outlink/secret.txt"'"#;
    let ruling = commands::rule(&policy, line, &workspace.root);
    let last = ruling.segments.last().expect("there are two");
    assert_eq!(last.words, ["rm", "../outlink/secret.txt"]);
    let target = last.targets.last().expect("it deletes");
    assert_eq!(target.access, Access::Delete);
    assert_eq!(target.path, workspace.base.join("other/secret.txt"));
    assert_eq!(verdict(&ruling.decision), "deny");
}

#[test]
fn configured_texts_are_found_in_the_words_that_count() {
    let mut config = Config::default();
    config.safety.forbidden_commands = vec!["git status".to_owned()];
    let case = |verdict: &str, command: &str| (verdict.to_owned(), command.to_owned());
    check(
        &[
            case("deny", "git status"),
            case("deny", "g\\it  'status'"),
            case("deny", "ls && env git status -s"),
            case("allow", "git diff"),
        ],
        &config,
    );
}

#[test]
fn a_forbidden_text_is_neither_a_longer_path_nor_a_text_that_is_looked_for() {
    let workspace = Workspace::new();
    let policy = workspace.policy(&Config::default());
    let root = workspace.root.display();
    for (expected, command) in [
        ("ask", format!("rm -rf {root}/target")),
        ("ask", format!("bash -c 'rm -rf {root}/target'")),
        ("allow", "grep -rn \"rm -rf /\" src".to_owned()),
        ("allow", "echo 'rm -rf /'".to_owned()),
        ("allow", "git commit -m 'never rm -rf /'".to_owned()),
        ("deny", "rm -rf /".to_owned()),
        ("deny", "rm -rf /*".to_owned()),
        ("deny", "r\\m -rf '/'".to_owned()),
        ("deny", "bash -c 'rm -rf /'".to_owned()),
        ("deny", "echo 'rm -rf /' | sh".to_owned()),
        ("deny", "echo 'rm -rf /'; rm -rf /".to_owned()),
        ("deny", "ssh host 'rm -rf /var'".to_owned()),
        (
            "deny",
            format!("rm -rf {root}/target; ssh host 'rm -rf /var'"),
        ),
        (
            "deny",
            format!("rm -rf {root}/target; ssh host 'rm -rf {root}'"),
        ),
        ("deny", "grep -rn rm -rf / src".to_owned()),
    ] {
        let ruling = commands::rule(&policy, &command, &workspace.root);
        assert_eq!(verdict(&ruling.decision), expected, "{command}: {ruling:?}");
    }
}

#[test]
fn what_is_shown_of_a_command_is_the_verdict_on_it() {
    let workspace = Workspace::new();
    let mut config = Config::default();
    config.safety.require_approval_for = vec![Approval::Shell];
    let policy = workspace.policy(&config);
    for command in ["ls", "rm -rf /", "curl x", "just x"] {
        let action = Action::Shell {
            command: command.to_owned(),
            directory: workspace.root.clone(),
        };
        let shown = safety::shell(&policy, command, &workspace.root);
        assert_eq!(
            shown.decision,
            safety::decide(&policy, &action),
            "{command}"
        );
        assert_ne!(verdict(&shown.decision), "allow", "{command}");
    }
}

#[test]
fn what_needs_approval_is_configured() {
    let workspace = Workspace::new();
    let rule = |approvals: Vec<Approval>, command: &str| {
        let mut config = Config::default();
        config.safety.require_approval_for = approvals;
        config.safety.protected_paths.push("gen/**".to_owned());
        let ruling = commands::rule(&workspace.policy(&config), command, &workspace.root);
        verdict(&ruling.decision)
    };
    for (command, approval) in [
        ("rm src/main.rs", Approval::Delete),
        ("git push", Approval::GitPush),
        ("git commit -m x", Approval::GitCommit),
        ("touch src/new.rs", Approval::Write),
        ("touch gen/a.rs", Approval::ModifyProtected),
    ] {
        assert_eq!(rule(vec![approval], command), "ask", "{command}");
        assert_eq!(rule(Vec::new(), command), "allow", "{command}");
    }
    for command in [
        "rm Cargo.toml",
        "rm -r .git",
        "git push --force",
        "touch .git/config",
    ] {
        assert_eq!(rule(Vec::new(), command), "ask", "{command}");
    }
}

#[test]
fn a_command_does_not_write_through_another_name_of_a_file() {
    let workspace = Workspace::new();
    let (secret, alias) = (
        workspace.base.join("other/secret.txt"),
        workspace.root.join("src/alias"),
    );
    std::fs::hard_link(secret, alias).expect("linked");
    let policy = workspace.policy(&Config::default());
    for (command, expected) in [
        ("echo x > src/alias", "ask"),
        ("sed -i s/a/b/ src/alias", "ask"),
        ("tee src/alias", "ask"),
        ("echo x > src/main.rs", "allow"),
        ("cat src/alias", "allow"),
    ] {
        let ruling = commands::rule(&policy, command, &workspace.root);
        assert_eq!(verdict(&ruling.decision), expected, "{command}");
    }
}

/// A repository in which these files are committed.
fn repository(workspace: &Workspace, files: &[&str]) {
    std::fs::remove_dir_all(workspace.root.join(".git")).expect("removed");
    git(workspace, &["init", "-q"]);
    git(workspace, &[&["add", "-f"], files].concat());
    git(workspace, &["commit", "-qm", "a"]);
}

fn git(workspace: &Workspace, arguments: &[&str]) {
    let done = std::process::Command::new("git")
        .args(["-c", "user.name=a", "-c", "user.email=a@b.c"])
        .args(arguments)
        .current_dir(&workspace.root)
        .output()
        .expect("git runs");
    assert!(done.status.success(), "git {arguments:?}: {done:?}");
}

#[test]
fn a_repository_that_holds_a_secret_shows_no_texts_unasked() {
    let workspace = Workspace::new();
    let policy = workspace.policy(&Config::default());
    let check = |expected: &str, commands: &[&str]| {
        for command in commands {
            let ruling = commands::rule(&policy, command, &workspace.root);
            let found = verdict(&ruling.decision);
            assert_eq!(found, expected, "{command}: {:?}", ruling.decision);
        }
    };
    let of_history = [
        "git log -p",
        "git -P log --patch -1",
        "git log --pat",
        "git log --check",
        "git stash list -p",
        "git stash show -p",
        "git stash show",
        "git log -L1,1:src/main.rs",
        "git show",
        "git show HEAD",
        "git show :/a",
        "git show 'HEAD^{/a:b}'",
        "git diff HEAD~1",
        "git diff-tree -p HEAD",
        "git cat-file --batch-all-objects --batch",
        "git cat-file blob 0123456789",
        "git -C src log -p",
        "cd src && git log -p",
        "git log -p --full-diff -- src",
        "git log -p -S -- HEAD",
        "git log -p -- '*env'",
        "git log -p -- .",
    ];
    let of_now = [
        "git diff",
        "git diff --cached",
        "git diff HEAD",
        "git grep x",
    ];
    let harmless = [
        "git log --oneline -20",
        "git log --stat",
        "git show --stat HEAD",
        "git stash list",
        "git stash show --stat",
        "git show --name-only HEAD",
        "git diff --stat",
        "git diff -- src",
        "git log -p -- src/main.rs README.md",
        "git -C src log -p -- main.rs",
        "git show HEAD:src/main.rs",
        "git cat-file -p HEAD:src/main.rs",
        "git grep -l x",
        "git grep x -- src",
        "git blame src/main.rs",
        "git status",
    ];
    repository(&workspace, &["README.md", "src"]);
    check(
        "allow",
        &[of_history.as_slice(), &of_now, &harmless].concat(),
    );
    git(&workspace, &["add", "-f", ".env"]);
    check("ask", &of_now);
    git(&workspace, &["commit", "-qm", "b"]);
    check("ask", &of_history);
    check("ask", &of_now);
    check("allow", &harmless);
    // What was removed again stands in the history, also in that of another branch.
    git(&workspace, &["checkout", "-qb", "other"]);
    git(&workspace, &["branch", "-q", "kept"]);
    git(&workspace, &["rm", "-q", "--cached", ".env"]);
    git(&workspace, &["commit", "-qm", "c"]);
    check("ask", &of_history);
    check("allow", &of_now);
    git(&workspace, &["tag", "-a", "-m", "t", "v1"]);
    check("allow", &harmless);
}

#[test]
fn a_file_whose_name_is_an_option_is_not_given_to_a_program_by_a_pattern() {
    let workspace = Workspace::new();
    let policy = workspace.policy(&Config::default());
    let check = |expected: &str, command: &str| {
        let ruling = commands::rule(&policy, command, &workspace.root);
        let found = verdict(&ruling.decision);
        assert_eq!(found, expected, "{command}: {:?}", ruling.decision);
    };
    let given = [
        "rg foo src/*",
        "cd src && rg foo *",
        "cd src && wc -l *",
        "cd src && sort [a-z-]*",
    ];
    for command in given {
        check("allow", command);
    }
    std::fs::write(workspace.root.join("src/--pre=x.sh"), "").expect("written");
    for command in given.iter().skip(1) {
        check("ask", command);
    }
    check("ask", "cd src && sort -*");
    for command in [
        "rg foo src/*",
        "cd src && rg foo -- *",
        "cd src && rg foo ./*",
        "cd src && wc -l *.rs",
        "cd src && echo *",
    ] {
        check("allow", command);
    }
}
