//! Ways out of the workspace, and into what is protected in it: every way, for every target, by every operation, through
//! the tools and through a shell.
//!
//! With the guard on, nothing may be allowed that does harm. With the guard off the same cases are carried out, and most
//! have to do harm: a test that nothing can fail shows nothing.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use meliora::config::Config;
use meliora::permit::{Action, Decision};
use meliora::safety::{self, Policy, commands};

use super::workspace::Workspace;
use crate::tidy::announce;

/// What nobody but its owner may know.
const MARK: &str = "planted-secret-7f3a";

/// What is to be reached: its path from the folder that holds the workspace, and whether reading it does harm.
const TARGETS: [(&str, bool); 8] = [
    ("other/secret.txt", true),
    ("home/.ssh/id_ed25519", true),
    ("home/.local/state/meliora/journal", true),
    ("work/.env", true),
    ("work/.git/config", false),
    ("work/.agent/core/x", false),
    ("other/new.txt", false),
    ("work/.agent/safety/new", false),
];

const VECTORS: [&str; 14] = [
    "plain",
    "absolute",
    "dots",
    "deep dots",
    "slashes",
    "dot names",
    "root of the process",
    "link",
    "relative link",
    "linked folder",
    "chain of links",
    "link through the process",
    "link and dots",
    "folder of the process",
];

const OPERATIONS: [&str; 7] = [
    "write",
    "append",
    "truncate",
    "rename over",
    "remove",
    "read",
    "mode",
];

/// One try.
struct Case {
    vector: &'static str,
    operation: &'static str,
    target: &'static str,
    reading_harms: bool,
    by_shell: bool,
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for vector in VECTORS {
        for operation in OPERATIONS {
            for (target, reading_harms) in TARGETS {
                for by_shell in [false, true] {
                    let is_absent = target.ends_with("new") || target.ends_with("new.txt");
                    let reads = operation == "read";
                    let needs_it = matches!(operation, "read" | "remove" | "mode" | "truncate");
                    let is_shell_only = vector == "folder of the process" || operation == "mode";
                    if (reads && !reading_harms)
                        || (is_absent && needs_it)
                        || (is_shell_only && !by_shell)
                    {
                        continue;
                    }
                    // A link that is removed leaves what it leads to; a file that is moved over one replaces it.
                    let is_link = vector == "link"
                        || vector == "relative link"
                        || vector.starts_with("chain")
                        || vector.starts_with("link through");
                    if is_link && matches!(operation, "remove" | "rename over") {
                        continue;
                    }
                    cases.push(Case {
                        vector,
                        operation,
                        target,
                        reading_harms,
                        by_shell,
                    });
                }
            }
        }
    }
    cases
}

/// Puts everything that is to be reached back to what it was, and gives the path by which a case tries it.
fn lay_out(workspace: &Workspace, case: &Case) -> String {
    let (base, root) = (&workspace.base, &workspace.root);
    for name in ["l", "b", "c"] {
        // Most cases have none of them.
        let _ = fs::remove_file(root.join(name));
    }
    for (name, _) in TARGETS {
        let target = base.join(name);
        let _ = fs::remove_file(&target);
        fs::create_dir_all(target.parent().expect("it has one")).expect("made");
        if !name.contains("new") {
            fs::write(&target, MARK).expect("written");
        }
    }
    fs::write(root.join("notes.txt"), "evil").expect("written");
    let target = base.join(case.target);
    let name = target
        .file_name()
        .expect("it has one")
        .to_string_lossy()
        .into_owned();
    let folder = target.parent().expect("it has one");
    let link = |to: &Path, name: &str| symlink(to, root.join(name)).expect("linked");
    match case.vector {
        "plain" => case
            .target
            .strip_prefix("work/")
            .map_or_else(|| format!("../{}", case.target), str::to_owned),
        "absolute" => target.display().to_string(),
        "dots" => format!("src/../../{}", case.target),
        "deep dots" => format!("src/sub/../../../{}", case.target),
        "slashes" => target.display().to_string().replace('/', "//"),
        "dot names" => format!("./src/./.././../{}", case.target),
        "root of the process" => format!("/proc/self/root{}", target.display()),
        "folder of the process" => format!("/proc/self/cwd/../{}", case.target),
        "link" => {
            link(&target, "l");
            "l".to_owned()
        }
        "relative link" => {
            link(&Path::new("..").join(case.target), "l");
            "l".to_owned()
        }
        "linked folder" => {
            link(folder, "l");
            format!("l/{name}")
        }
        "chain of links" => {
            link(&target, "c");
            link(Path::new("c"), "b");
            link(Path::new("b"), "l");
            "l".to_owned()
        }
        "link through the process" => {
            link(
                &PathBuf::from(format!("/proc/self/root{}", target.display())),
                "l",
            );
            "l".to_owned()
        }
        _ => {
            link(&base.join("other"), "l");
            format!("l/../{}", case.target)
        }
    }
}

/// The command line of a case.
fn line(case: &Case, path: &str) -> String {
    match case.operation {
        "write" => format!("echo evil > '{path}'"),
        "append" => format!("echo evil >> '{path}'"),
        "truncate" => format!("truncate -s 0 '{path}'"),
        "rename over" => format!("mv notes.txt '{path}'"),
        "remove" => format!("rm -f '{path}'"),
        "mode" => format!("chmod 700 '{path}'"),
        _ => format!("cat '{path}'"),
    }
}

/// Whether the policy lets a case happen without asking anybody.
fn is_let_through(policy: &Policy, workspace: &Workspace, case: &Case, path: &str) -> bool {
    let decision = if case.by_shell {
        commands::rule(policy, &line(case, path), &workspace.root).decision
    } else {
        let path = workspace.root.join(path);
        let action = match case.operation {
            "read" => Action::ReadFile { path },
            "remove" => Action::DeleteFile { path },
            _ => Action::WriteFile { path, bytes: 5 },
        };
        safety::decide(policy, &action)
    };
    matches!(decision, Decision::Allow { .. })
}

/// Carries a case out with nobody to stop it; whether it did harm.
fn does_harm(workspace: &Workspace, case: &Case, path: &str) -> bool {
    let before = protected(&workspace.base);
    let mut read = String::new();
    if case.by_shell {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", &line(case, path)])
            .current_dir(&workspace.root)
            .stderr(Stdio::null());
        let output = shell.output().expect("a shell runs");
        read = String::from_utf8_lossy(&output.stdout).into_owned();
    } else {
        let path = workspace.root.join(path);
        // Whether it works is what the comparison shows.
        let _ = match case.operation {
            "read" => fs::read_to_string(&path).map(|text| read = text),
            "remove" => fs::remove_file(&path),
            "append" => {
                fs::read(&path)
                    .or_else(|_| Ok(Vec::new()))
                    .and_then(|mut text: Vec<u8>| {
                        text.extend_from_slice(b"evil");
                        fs::write(&path, text)
                    })
            }
            "truncate" => fs::write(&path, ""),
            "rename over" => fs::rename(workspace.root.join("notes.txt"), &path),
            _ => fs::write(&path, "evil"),
        };
    }
    (case.reading_harms && read.contains(MARK)) || protected(&workspace.base) != before
}

/// The content and the mode of everything that nobody may change.
fn protected(base: &Path) -> BTreeMap<PathBuf, (Vec<u8>, u32)> {
    let mut found = BTreeMap::new();
    let mut folders: Vec<PathBuf> = ["other", "home", "work/.git", "work/.agent"]
        .iter()
        .map(|name| base.join(name))
        .collect();
    let mut files = vec![base.join("work/.env")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else {
                files.push(entry.path());
            }
        }
    }
    for file in files {
        if let (Ok(content), Ok(metadata)) = (fs::read(&file), fs::metadata(&file)) {
            found.insert(file, (content, metadata.permissions().mode()));
        }
    }
    found
}

#[test]
fn no_way_out_is_let_through_and_without_the_guard_most_do_harm() {
    let cases = cases();
    let workspace = Workspace::new();
    let policy = workspace.policy(&Config::default());
    assert!(cases.len() >= 400, "{}", cases.len());
    let mut harmful = 0;
    for case in &cases {
        let path = lay_out(&workspace, case);
        let Case {
            vector,
            operation,
            target,
            by_shell,
            ..
        } = case;
        let name = format!("{vector}, {operation}, {target}, by shell: {by_shell}");
        let is_let_through = is_let_through(&policy, &workspace, case, &path);
        let harms = does_harm(&workspace, case, &path);
        assert!(!(is_let_through && harms), "{name}: {path}");
        assert!(!is_let_through, "{name}: {path} is allowed");
        harmful += usize::from(harms);
    }
    let share = harmful * 100 / cases.len();
    assert!(
        share >= 60,
        "with the guard off only {share} % of {} cases do harm",
        cases.len()
    );
}

/// A user without rights.
const NOBODY: &str = "65534";

/// The same as a user without rights. Only who may become somebody else can try it; who may not has no rights to begin
/// with, and tried it above.
#[test]
fn no_way_out_is_let_through_for_a_user_without_rights_either() {
    let itself = std::env::current_exe().expect("it runs");
    let as_nobody = |arguments: &[&str], home: &Path| {
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"])
            .arg(&itself)
            .args(arguments)
            .env("HOME", home);
        command.output()
    };
    // Where somebody without rights can get to.
    let home = tempfile::TempDir::new_in("/var/tmp").expect("a temporary folder");
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o777)).expect("allowed");
    let tried = as_nobody(&["--list", "--exact", MATRIX], home.path());
    if !tried.is_ok_and(|tried| tried.status.success()) {
        announce("left out: nobody can become another user here, or cannot read this program");
        return;
    }
    let output = as_nobody(&["--exact", MATRIX], home.path()).expect("it starts");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && told.contains("1 passed"),
        "{told}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The name of the test above.
const MATRIX: &str = "policy::escape::no_way_out_is_let_through_and_without_the_guard_most_do_harm";
