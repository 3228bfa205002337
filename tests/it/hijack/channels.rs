//! Code of a project tries every way out by itself, where no policy reads along: in a test of each language, in a build
//! script, in a makefile with version control, as who runs these tests and as a user without rights.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use super::scenario::{Project, Scenario};
use super::world::{SECRETS, World};
use super::{TOKEN, program, report, tells, unguarded};

/// A user without rights.
const NOBODY: &str = "65534";

/// What is to be changed or read: what there is, and what there is not yet.
const TARGETS: [&str; 8] = [
    "home/.bashrc",
    "home/.ssh/id_ed25519",
    "home/.ssh/new",
    "home/.local/state/meliora/other-1/journal",
    "other/tool.sh",
    "other/new.txt",
    "work/notes.txt",
    "work/.git/config",
];

/// Where the code runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Channel {
    Python,
    Node,
    Make,
    CargoTest,
    BuildScript,
}

impl Channel {
    fn project(self) -> Project {
        match self {
            Self::Python => Project::Python,
            Self::Node => Project::Node,
            Self::Make => Project::Make,
            Self::CargoTest | Self::BuildScript => Project::Cargo,
        }
    }

    fn tool(self) -> &'static str {
        match self {
            Self::Python | Self::Node | Self::CargoTest => "run_tests",
            Self::Make | Self::BuildScript => "build",
        }
    }

    /// The files that bring the code into the project.
    fn files(self, targets: &str) -> Vec<(&'static str, String)> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/hijack/escape");
        let code = |name: &str| {
            let text = fs::read_to_string(folder.join(name)).expect("readable");
            text.replace("{targets}", targets)
        };
        match self {
            Self::Python => vec![("tests/test_escape.py", code("escape.py"))],
            Self::Node => vec![("escape.test.js", code("escape.js"))],
            Self::Make => vec![
                ("Makefile", "all:\n\t@bash ./escape.sh\n".to_owned()),
                ("escape.sh", code("escape.sh")),
            ],
            Self::CargoTest => vec![
                ("src/escape.rs", code("escape.rs")),
                (
                    "src/lib.rs",
                    "mod escape;\n#[test]\nfn escapes() {\n    panic!(\"{}\", escape::escape());\n}\n"
                        .to_owned(),
                ),
            ],
            Self::BuildScript => {
                let main = "fn main() {\n    println!(\"cargo::warning={}\", escape());\n}\n";
                vec![("build.rs", code("escape.rs") + main)]
            }
        }
    }
}

/// A world with the code in its project.
fn world(place: &Path, channel: Channel) -> World {
    let world = World::new_in(place);
    let targets = TARGETS.map(|target| world.base.join(target).display().to_string());
    let files = channel.files(&targets.join(" ")).into_iter();
    let files = files.map(|(path, text)| (format!("work/{path}"), text));
    world.lay_out(&Scenario {
        project: channel.project(),
        files: files.collect(),
        ..Scenario::default()
    });
    world
}

/// `did D of T cases` in what was told.
fn counted(told: &str) -> Option<(usize, usize)> {
    let (_, rest) = told.rsplit_once("did ")?;
    let mut words = rest.split_whitespace();
    let did = words.next()?.parse().ok()?;
    let tried = words.nth(1)?.parse().ok()?;
    Some((did, tried))
}

/// Lets the code run in the tool that runs it; gives how many cases it tried.
fn try_guarded(place: &Path, channel: Channel, as_nobody: bool) -> usize {
    let world = world(place, channel);
    let ours = program(&world, "http://127.0.0.1:9/v1");
    let mut command = Command::new(env!("CARGO_BIN_EXE_meliora"));
    if as_nobody {
        let user = format!("{NOBODY}:{NOBODY}");
        let owned = Command::new("chown")
            .args(["-R", &user])
            .arg(&world.base)
            .status();
        assert!(owned.expect("chown runs").success());
        command = Command::new("setpriv");
        command.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"]);
        command.arg(env!("CARGO_BIN_EXE_meliora"));
    }
    command
        .env_clear()
        .current_dir(world.work())
        .stdin(Stdio::null());
    for (name, value) in ours.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    if as_nobody {
        command.env("PATH", "/usr/bin:/bin");
    }
    let before = world.tree();
    let output = command
        .args(["tool", "call", channel.tool(), "{}"])
        .output();
    let output = output.expect("our program runs");
    let told = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    let name = format!("{channel:?}, as nobody: {as_nobody}");
    let after = world.tree();
    let paths = before.keys().chain(after.keys());
    let changed: Vec<_> = paths
        .filter(|path| before.get(*path) != after.get(*path))
        .collect();
    assert!(changed.is_empty(), "{name}: {changed:?}\n{told}");
    assert!(world.heard().is_empty(), "{name}");
    for (path, words, is_kept) in SECRETS {
        assert!(!is_kept || !tells(&told, words), "{name}: {path}\n{told}");
    }
    assert!(!tells(&told, TOKEN), "{name}: {told}");
    let (_, tried) = counted(&told).unwrap_or_else(|| panic!("{name}: it did not run: {told}"));
    tried
}

fn try_all(place: &Path, channels: &[Channel], as_nobody: bool) {
    let started = Instant::now();
    let tried: usize = std::thread::scope(|scope| {
        let tries = channels
            .iter()
            .map(|&channel| scope.spawn(move || try_guarded(place, channel, as_nobody)));
        let tries: Vec<_> = tries.collect();
        let tries = tries.into_iter();
        tries.map(|one| one.join().expect("nothing got out")).sum()
    });
    let seconds = started.elapsed().as_secs_f64();
    report(&format!(
        "{tried} cases by code of projects, as nobody: {as_nobody}: {seconds:.1} s"
    ));
    assert!(tried >= 400 * channels.len(), "{tried}");
}

const CHANNELS: [Channel; 5] = [
    Channel::Python,
    Channel::Node,
    Channel::Make,
    Channel::CargoTest,
    Channel::BuildScript,
];

#[test]
fn code_of_a_project_gets_out_by_no_way() {
    let home = std::env::var("HOME").expect("a home");
    try_all(Path::new(&home), &CHANNELS, false);
}

/// Only who may become somebody else can try it; who may not has no rights to begin with, and tried it above.
#[test]
fn code_of_a_project_gets_out_by_no_way_without_rights_either() {
    let can = ["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"];
    let ours = env!("CARGO_BIN_EXE_meliora");
    let can = Command::new("setpriv")
        .args(can)
        .args([ours, "--version"])
        .output();
    if !can.is_ok_and(|can| can.status.success()) {
        report(
            "not tried without rights: this user is nobody else, or nobody else may run the program",
        );
        return;
    }
    // Where somebody without rights can get to.
    try_all(Path::new("/var/tmp"), &CHANNELS[..3], true);
}

#[test]
fn with_nobody_to_stop_it_code_of_a_project_harms_most_targets() {
    let home = std::env::var("HOME").expect("a home");
    if !unguarded::is_possible() {
        report("not tried: this machine has no namespaces for what could harm it");
        return;
    }
    for channel in CHANNELS {
        let world = world(Path::new(&home), channel);
        let before = world.tree();
        let line = match channel {
            Channel::BuildScript => "cargo build 2>&1",
            Channel::Make => "make 2>&1",
            Channel::Python | Channel::Node | Channel::CargoTest => {
                unguarded::tests(channel.project())
            }
        };
        let told = unguarded::shell(&world, line);
        let after = world.tree();
        let harmed = |target: &&&str| {
            let path = Path::new(**target);
            before.get(path) != after.get(path)
        };
        let harmed = TARGETS.iter().filter(harmed).count();
        let share = harmed * 100 / TARGETS.len();
        let has_read = told.contains("cassowary");
        assert!(share >= 60 && has_read, "{channel:?}: {share} %: {told}");
    }
}
