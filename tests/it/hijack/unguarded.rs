//! The same attacks with nobody to stop them: tools that do what they are told, to show that the attacks bite.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Seek as _};
use std::path::Path;
use std::process::{Command, Stdio};

use data_encoding::HEXLOWER;
use serde_json::Value;

use super::scenario::{Project, Scenario, fill, filled};
use super::world::World;

/// Carries an attack out; gives everything that a model would have been told.
pub(super) fn carry_out(
    world: &World,
    scenario: &Scenario,
    names: &BTreeMap<String, String>,
) -> String {
    let mut told = String::new();
    let mut names = names.clone();
    for (tool, arguments) in &scenario.calls {
        let arguments = filled(arguments, &names);
        let result = call(world, scenario.project, tool, &arguments).unwrap_or_default();
        told.push_str(&result);
        names.insert("last:hex".to_owned(), HEXLOWER.encode(result.as_bytes()));
        names.insert("last".to_owned(), result);
    }
    // What a proof would run.
    told.push_str(&shell(world, tests(scenario.project)));
    told.push_str(&fill(&scenario.says, &names));
    told
}

fn call(world: &World, project: Project, tool: &str, arguments: &Value) -> Option<String> {
    let text = |name: &str| arguments[name].as_str().unwrap_or_default();
    let path = world.work().join(text("path"));
    match tool {
        "read_file" => fs::read_to_string(path).ok(),
        "write_file" => write(&path, text("text")),
        "edit_file" => {
            let before = fs::read_to_string(&path).unwrap_or_default();
            write(&path, &before.replacen(text("search"), text("replace"), 1))
        }
        "delete_file" => fs::remove_file(path).ok().map(|()| String::new()),
        "apply_patch" => patch(&world.work(), text("patch")),
        "list_files" => Some(shell(world, &format!("ls -a '{}'", path.display()))),
        "find" => Some(shell(world, &format!("find . -name '{}'", text("glob")))),
        "search_files" | "grep" => Some(shell(
            world,
            &format!("grep -rn '{}' . 2>&1", text("pattern")),
        )),
        "shell" => {
            let folder = text("folder");
            let folder = if folder.is_empty() { "." } else { folder };
            Some(shell(
                world,
                &format!("cd '{folder}' && {}", text("command")),
            ))
        }
        "run_tests" | "test_coverage" | "discover_tests" => Some(shell(world, tests(project))),
        "build" | "check" => Some(shell(world, builds(project))),
        "lint" | "format" => Some(shell(world, "make lint")),
        "git_status" => Some(shell(world, "git status")),
        "git_diff" => Some(shell(world, "git diff")),
        "git_commit" => Some(shell(
            world,
            &format!("git add -A && git commit -qm '{}'", text("message")),
        )),
        "git_push" => Some(shell(world, "git push")),
        "http_get" | "http_post" | "http_request" => {
            let (url, body) = (text("url"), text("body"));
            Some(shell(world, &format!("curl -s -m 5 -d '{body}' '{url}'")))
        }
        _ => None,
    }
}

fn write(path: &Path, text: &str) -> Option<String> {
    fs::create_dir_all(path.parent()?).ok()?;
    fs::write(path, text).ok().map(|()| String::new())
}

/// The files of a patch in the `*** Begin Patch` form, as it says, wherever they are.
fn patch(work: &Path, patch: &str) -> Option<String> {
    let mut at = work.to_owned();
    let (mut text, mut is_added) = (String::new(), false);
    for line in patch.lines() {
        if let Some(path) = line.strip_prefix("*** Add File: ") {
            (at, text, is_added) = (work.join(path), String::new(), true);
        } else if let Some(path) = line.strip_prefix("*** Delete File: ") {
            fs::remove_file(work.join(path)).ok()?;
        } else if let Some(path) = line.strip_prefix("*** Update File: ") {
            (at, is_added) = (work.join(path), false);
        } else if let Some(path) = line.strip_prefix("*** Move to: ") {
            let to = work.join(path);
            fs::create_dir_all(to.parent()?).ok()?;
            fs::rename(&at, to).ok()?;
        } else if let (Some(added), true) = (line.strip_prefix('+'), is_added) {
            text.push_str(added);
            text.push('\n');
            write(&at, &text)?;
        }
    }
    Some(String::new())
}

pub(super) fn tests(project: Project) -> &'static str {
    match project {
        Project::Plain => "true",
        Project::Cargo => "cargo test -q 2>&1",
        Project::Python => "python3 -m unittest discover 2>&1",
        Project::Node => "npm test 2>&1",
        Project::Make => "make test 2>&1",
    }
}

fn builds(project: Project) -> &'static str {
    match project {
        Project::Cargo => "cargo build -q 2>&1",
        Project::Node => "npm run build 2>&1",
        Project::Plain | Project::Python | Project::Make => "make 2>&1",
    }
}

/// What keeps the rest of the machine out of it: processes of its own, which end with it, and rights over nothing but
/// files and the network.
const APART: [&str; 6] = [
    "--user",
    "--map-root-user",
    "--pid",
    "--fork",
    "--mount-proc",
    "--kill-child",
];

/// Whether anything can be carried out here without the risk that it ends what others do on this machine.
pub(super) fn is_possible() -> bool {
    let tried = Command::new("unshare").args(APART).arg("true").output();
    tried.is_ok_and(|tried| tried.status.success())
}

/// Runs a line where everything around the project can be reached, for a while.
pub(super) fn shell(world: &World, line: &str) -> String {
    // A file, not a pipe: what is left behind would hold that open.
    let mut output = tempfile::tempfile().expect("a temporary file");
    let mut command = Command::new("unshare");
    command
        .args(APART)
        .args(["timeout", "--kill-after=1", "20", "bash", "-c"])
        .arg(line.replace('\0', ""))
        .current_dir(world.work())
        .stdin(Stdio::null())
        .stdout(output.try_clone().expect("a second handle"))
        .stderr(Stdio::null());
    super::surround(&mut command, world);
    command.status().expect("bash runs");
    let mut bytes = Vec::new();
    output.rewind().expect("a file");
    output.read_to_end(&mut bytes).expect("readable");
    String::from_utf8_lossy(&bytes).into_owned()
}
