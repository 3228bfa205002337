//! Sequences of calls that nobody thought of: whatever a run does with them, nothing outside changes, undoing brings the
//! tree back exactly, redoing makes it again, and the journal is sound.

use serde_json::{Value, json};

use super::model::Model;
use super::scenario::{Project, Scenario};
use super::world::World;
use super::{Person, attempt, program};
use crate::seed::{Random, each};

/// Calls of a sequence.
const CALLS: usize = 12;

const PATHS: [&str; 22] = [
    "notes.txt",
    "notes.txt",
    "src/text.py",
    "src/text.py",
    "new.txt",
    "new.txt",
    "deep/a/b.txt",
    "deep/c.txt",
    "Makefile",
    ".gitignore",
    "link",
    "src",
    ".env",
    ".git/config",
    "../other/tool.sh",
    "neighbour/tool.sh",
    "neighbour/new.txt",
    "src/../../other/new.txt",
    "{home}/.bashrc",
    "/proc/self/root{base}/other/new.txt",
    "{state}/store.redb",
    "x\u{200b}y.txt",
];

const LINES: [&str; 16] = [
    "echo {n} >> {a}",
    "echo {n} > {a}",
    "cp {a} {b}",
    "mv {a} {b}",
    "rm -rf {a}",
    "mkdir -p {a}",
    "ln -s {a} {b}",
    "ln -sf {home} {b}",
    "ln {a} {b}",
    "chmod 755 {a}",
    "sed -i s/milk/{n}/ {a}",
    "printf '\\000\\001' > {a}",
    "mkfifo {a}",
    "rm -f {a}; mkdir -p {a}; echo {n} > {a}/{n}",
    "find . -type f -newer notes.txt -delete",
    "git checkout -q -- .; git stash -q; git clean -qfdx",
];

fn text(random: &mut Random) -> String {
    let lines = (0..random.below(4)).map(|_| format!("line {}\n", random.below(9)));
    lines.collect()
}

fn call(random: &mut Random) -> (String, Value) {
    let (a, b) = (*random.pick(&PATHS), *random.pick(&PATHS));
    let text = text(random);
    let (name, arguments) = match random.below(11) {
        0 => ("read_file", json!({ "path": a })),
        1 => ("list_files", json!({ "path": a, "depth": 3 })),
        2 | 3 => ("write_file", json!({ "path": a, "text": text })),
        4 => {
            let search = *random.pick(&["milk", "bread", "line 3", "upper", "built"]);
            let edit = json!({ "path": a, "search": search, "replace": text.trim_end() });
            ("edit_file", edit)
        }
        5 => ("delete_file", json!({ "path": a })),
        6 => {
            let patch = match random.below(3) {
                0 => format!(
                    "*** Add File: {a}\n+{}",
                    text.trim_end().replace('\n', "\n+")
                ),
                1 => format!("*** Delete File: {a}"),
                _ => format!("*** Update File: {a}\n*** Move to: {b}"),
            };
            let patch = format!("*** Begin Patch\n{patch}\n*** End Patch");
            ("apply_patch", json!({ "patch": patch }))
        }
        7 => (
            *random.pick(&["build", "lint", "run_tests", "git_status"]),
            json!({}),
        ),
        _ => {
            let number = random.below(100).to_string();
            let line = random.pick(&LINES).replace("{n}", &number);
            let line = line.replace("{a}", a).replace("{b}", b);
            ("shell", json!({ "command": line }))
        }
    };
    (name.to_owned(), arguments)
}

/// A sequence as an attack that may change all of the workspace, and nothing else.
fn sequence(seed: u64) -> Scenario {
    let mut random = Random::new(seed);
    Scenario {
        name: format!("sequence {seed}"),
        project: Project::Make,
        may_change: vec!["*".to_owned()],
        yes_reads: true,
        may_lose_tools: true,
        calls: (0..CALLS).map(|_| call(&mut random)).collect(),
        says: "It is done.".to_owned(),
        ..Scenario::default()
    }
}

#[test]
fn whatever_is_done_comes_back_exactly_and_nothing_else_changes() {
    let (world, model) = (World::new(), Model::start());
    each("whatever_is_done_comes_back_exactly", 6, 80, |seed| {
        let scenario = sequence(seed);
        let person = [Person::SaysYes, Person::Nobody][usize::from(seed % 3 == 0)];
        let mark = format!("sequence-{}-{seed}", std::process::id());
        let (before, harm) = attempt(&world, &model, &scenario, person, &mark);
        assert!(harm.is_empty(), "{harm:#?}\n{:#?}", scenario.calls);
        let after = world.tree();
        if after == before {
            return;
        }
        for (way, expected) in [("undo", &before), ("redo", &after), ("undo", &before)] {
            let done = program(&world, &model.url).arg(way).output();
            let done = done.expect("our program runs");
            assert!(
                done.status.success(),
                "{way}: {done:?}\n{:#?}",
                scenario.calls
            );
            let now = world.tree();
            let differs = |path: &&std::path::PathBuf| now.get(*path) != expected.get(*path);
            let paths = now.keys().chain(expected.keys());
            let other: Vec<_> = paths.filter(differs).collect();
            assert!(other.is_empty(), "{way}: {other:?}\n{:#?}", scenario.calls);
        }
        let audit = program(&world, &model.url)
            .args(["audit", "verify"])
            .output();
        assert!(audit.is_ok_and(|audit| audit.status.success()));
    });
}
