//! What it costs that the agent's hands are watched: decisions, the sandbox, searches, steps, the journal, undo.
//!
//! `cargo bench --bench hands` measures, beside their peers where there are any and in one run: a decision of the policy;
//! `true` with each layer of the sandbox and under bubblewrap; a search beside ripgrep; what a step of a run takes
//! beside the model; the memory of a run whose every step prints 1 MB; entries of the journal a second; the undo of a
//! run that changed a thousand files. `-- --quick` does few of everything, `-- --long` takes 5,000 steps for the memory.
#![expect(clippy::print_stdout, reason = "the figures are the result")]
#![expect(
    clippy::cast_precision_loss,
    reason = "what is measured is far below 2^52"
)]
#![expect(
    clippy::indexing_slicing,
    reason = "a bench that panics has failed, which says what is wrong"
)]

mod model;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use meliora::agent::edit::{Conflicts, apply_to_disk};
use meliora::agent::undo::{Direction, Wanted, Which, revert};
use meliora::config::Config;
use meliora::config::host::Host;
use meliora::event::{Outcome, RunEvent, RunId};
use meliora::permit::{Action, Decision, Purpose};
use meliora::process::launch::{Caps, Confinement};
use meliora::process::{self, Command, Environment, Limits};
use meliora::redact::Redactor;
use meliora::safety::{self, Policy};
use meliora::store::Store;
use meliora::text::edit::EditSet;
use meliora::text::search::{Query, search};
use meliora::text::staging::Staging;
use model::Model;
use serde_json::{Value, json};

/// How much of everything is done.
#[derive(Debug, Clone, Copy)]
struct Amount {
    rounds: usize,
    steps: usize,
    files: usize,
}

fn main() {
    let has = |wanted: &str| std::env::args().any(|argument| argument == wanted);
    // Cargo says --test when it only wants to see that benches start.
    if has("--test") {
        return;
    }
    let amount = match (has("--quick"), has("--long")) {
        (true, _) => Amount {
            rounds: 3,
            steps: 20,
            files: 50,
        },
        (false, false) => Amount {
            rounds: 40,
            steps: 400,
            files: 1_000,
        },
        (false, true) => Amount {
            rounds: 40,
            steps: 5_000,
            files: 1_000,
        },
    };
    println!("| what | measured | wanted |\n|---|---|---|");
    let ground = Ground::new();
    policy(&ground);
    sandbox(amount.rounds);
    grep(&ground, amount.rounds);
    steps(amount.rounds * 5);
    memory(amount.steps);
    journal(&ground, amount.files);
    undo(&ground, amount.files);
}

fn row(what: &str, measured: impl std::fmt::Display, wanted: &str) {
    println!("| {what} | {measured} | {wanted} |");
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64() * 1000.0
}

/// A workspace and a home of its own.
struct Ground {
    _folder: tempfile::TempDir,
    host: Host,
    work: PathBuf,
    policy: Policy,
}

impl Ground {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let base = folder.path().canonicalize().expect("it exists");
        let work = base.join("work");
        std::fs::create_dir_all(&work).expect("made");
        let home = base.join("home").display().to_string();
        let environment = BTreeMap::from([("HOME".to_owned(), home)]);
        let host = Host::from_environment(env!("CARGO_BIN_EXE_meliora").into(), environment);
        let mut config = Config::default();
        config.safety.require_approval_for.clear();
        let policy = Policy::new(&host, &config, &work);
        Self {
            _folder: folder,
            host,
            work,
            policy,
        }
    }
}

/// Files, requests and command lines, as runs have them.
fn policy(ground: &Ground) {
    let shell = |command: &str| Action::Shell {
        command: command.to_owned(),
        directory: ground.work.clone(),
    };
    let actions = [
        (
            "a file to read",
            Action::ReadFile {
                path: ground.work.join("src/main.rs"),
            },
        ),
        (
            "a file to write",
            Action::WriteFile {
                path: ground.work.join("src/main.rs"),
                bytes: 900,
            },
        ),
        ("`cargo test`", shell("cargo test --offline -- --nocapture")),
        (
            "a pipeline with a loop",
            shell(
                "for f in $(git ls-files '*.rs'); do grep -n TODO \"$f\" | head -3; done && env A=1 timeout 5 make",
            ),
        ),
    ];
    for (what, action) in actions {
        let mut times = Vec::new();
        for _ in 0..2_000 {
            let begun = Instant::now();
            std::hint::black_box(safety::decide(&ground.policy, &action));
            times.push(begun.elapsed());
        }
        let measured = format!("{:.1} µs", median(times) * 1000.0);
        row(&format!("a decision: {what}"), measured, "50 µs");
    }
}

/// `true` with nothing, with each layer, and under bubblewrap, in turns.
fn sandbox(rounds: usize) {
    let confinement = |network, world| Confinement {
        writable: vec!["/tmp".into()],
        readable: None,
        hidden: Vec::new(),
        network,
        required: true,
        caps: Caps {
            cpu_seconds: Some(60),
            memory_bytes: Some(1 << 30),
            processes: None,
            file_bytes: Some(1 << 30),
        },
        world,
        local_sockets: false,
        temporary: None,
    };
    let bubble = "--ro-bind / / --unshare-all --die-with-parent /usr/bin/true";
    let ways = [
        ("nothing", "/usr/bin/true", "", None, ""),
        (
            "Landlock, filter, limits, read-only mounts",
            "/usr/bin/true",
            "",
            Some(confinement(true, false)),
            "2 ms over nothing",
        ),
        (
            "and a network of its own",
            "/usr/bin/true",
            "",
            Some(confinement(false, false)),
            "",
        ),
        (
            "and processes and mounts of its own",
            "/usr/bin/true",
            "",
            Some(confinement(false, true)),
            "",
        ),
        ("bubblewrap", "/usr/bin/bwrap", bubble, None, ""),
    ];
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let ways = ways.into_iter().filter(|way| Path::new(way.1).is_file());
    let mut times: Vec<_> = ways.map(|way| (way, Vec::new())).collect();
    for _ in 0..rounds {
        for ((_, program, arguments, confinement, _), times) in &mut times {
            let arguments: Vec<String> = arguments.split_whitespace().map(str::to_owned).collect();
            let command = Command {
                program: (*program).into(),
                arguments: arguments.clone(),
                directory: "/".into(),
                environment: Environment::Only(BTreeMap::new()),
                confinement: confinement.clone(),
                launcher: env!("CARGO_BIN_EXE_meliora").into(),
            };
            let permit = safety::permit_user_program(
                Purpose::Probe,
                (*program).into(),
                arguments,
                "/".into(),
            );
            let limits = Limits {
                timeout: Duration::from_secs(60),
                output_bytes_max: 1000,
            };
            let begun = Instant::now();
            let ran = runtime.block_on(process::run(&command, &permit, &[], limits));
            assert!(ran.expect("it runs").success(), "{command:?}");
            times.push(begun.elapsed());
        }
    }
    for ((what, _, _, _, wanted), times) in times {
        row(
            &format!("`true`: {what}"),
            format!("{:.2} ms", median(times)),
            wanted,
        );
    }
}

/// A search of ours beside ripgrep, in turns, over sources of others: the registry of Cargo where there is one.
fn grep(ground: &Ground, rounds: usize) {
    let home = std::env::var("CARGO_HOME").map(PathBuf::from);
    let home = home
        .unwrap_or_else(|_| Path::new(&std::env::var("HOME").unwrap_or_default()).join(".cargo"));
    let tree = home.join("registry/src");
    if !tree.is_dir() {
        return;
    }
    let policy = Policy::new(&ground.host, &Config::default(), &tree);
    let staging = Staging::new(tree.clone(), BTreeMap::new(), 10_000_000);
    for pattern in ["unsafe_op_in_unsafe_fn", r"fn \w+_mut\("] {
        let query = Query {
            pattern: pattern.to_owned(),
            time_max: Duration::from_secs(120),
            ..Query::default()
        };
        let (mut own, mut theirs) = (Vec::new(), Vec::new());
        let mut found = 0;
        for _ in 0..rounds.min(10) {
            let begun = Instant::now();
            let all = search(&staging, &query, |met| policy.is_searched(met)).expect("a pattern");
            own.push(begun.elapsed());
            found = all.hits.len();
            let begun = Instant::now();
            let ended = std::process::Command::new("rg")
                .args(["--line-number", "--no-heading", pattern])
                .arg(&tree)
                .stdout(Stdio::null())
                .status();
            if ended.is_err() {
                println!("| ripgrep is not here, so nothing stands beside searches | | |");
                return;
            }
            theirs.push(begun.elapsed());
        }
        let (own, theirs) = (median(own), median(theirs));
        let measured = format!(
            "{own:.0} ms, `rg` {theirs:.0} ms: {:.2} times",
            own / theirs
        );
        row(
            &format!("a search for `{pattern}` ({found} files)"),
            measured,
            "1.1 times",
        );
    }
}

/// Our program with this model, in a home of its own.
fn start(folder: &Path, model: &Model, steps: usize) -> Child {
    let (settings, work) = (folder.join("home/.config/agent"), folder.join("work"));
    std::fs::create_dir_all(&settings).expect("made");
    std::fs::create_dir_all(work.join(".agent")).expect("made");
    std::fs::write(work.join(".agent/config.toml"), "").expect("written");
    let text = format!(
        "[llm]\nprovider = 'bench'\nmodel = 'parrot'\n[llm.providers.bench]\nbase_url = '{}'\n\
         [agent]\nsteps_max = {}\ntokens_max = 1000000000000\n",
        model.url,
        steps + 2
    );
    std::fs::write(settings.join("config.toml"), text).expect("written");
    let lines: Vec<String> = (0..2_000).map(|number| format!("line {number}")).collect();
    std::fs::write(work.join("a.txt"), lines.join("\n")).expect("written");
    std::process::Command::new(env!("CARGO_BIN_EXE_meliora"))
        .args(["run", "look at everything"])
        .current_dir(work)
        .env("HOME", folder.join("home"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("our program starts")
}

/// A model that asks for these calls, one in each answer, and is done then: a tool and its arguments.
fn calling(call: impl Fn(usize) -> Option<(&'static str, Value)> + Send + Sync + 'static) -> Model {
    Model::start(move |number| {
        let Some((name, arguments)) = call(number) else {
            return model::ANSWER.to_owned();
        };
        let function = json!({ "name": name, "arguments": arguments.to_string() });
        let calls = json!([{ "index": 0, "id": format!("c{number}"), "type": "function", "function": function }]);
        let delta = json!({ "role": "assistant", "tool_calls": calls });
        let said = json!({ "choices": [{ "index": 0, "delta": delta }] });
        let end =
            json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": "tool_calls" }] });
        format!("data: {said}\n\ndata: {end}\n\ndata: [DONE]\n\n")
    })
}

/// From an answer of the model to its next question, with one file read in between.
fn steps(steps: usize) {
    let model = calling(move |number| {
        let line = number + 1;
        let arguments = json!({ "path": "a.txt", "start_line": line, "end_line": line });
        (number < steps).then_some(("read_file", arguments))
    });
    let folder = tempfile::tempdir().expect("a temporary folder");
    let status = start(folder.path(), &model, steps).wait().expect("it ends");
    let seen = model.take_all();
    assert_eq!(seen.len(), steps + 1, "{status}");
    let times = seen
        .windows(2)
        .map(|pair| pair[1].at - pair[0].at)
        .collect();
    row(
        "a step of a run beside the model",
        format!("{:.2} ms", median(times)),
        "5 ms",
    );
}

/// The memory of a run that prints a megabyte in every step.
fn memory(steps: usize) {
    let (told, asked) = std::sync::mpsc::channel();
    let model = calling(move |number| {
        // Nobody listens any more when the run has ended.
        let _ = told.send(number);
        let line = format!("seq 1 160000 | head -c 1000000; echo {number}");
        (number < steps).then(|| ("shell", json!({ "command": line })))
    });
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut child = start(folder.path(), &model, steps);
    let (mut resident, mut sent) = (Vec::new(), 0);
    let begun = Instant::now();
    for number in 0..=steps {
        let next = asked.recv_timeout(Duration::from_secs(120));
        assert_eq!(next.ok(), Some(number), "the run ended early");
        // What was sent is not kept here either.
        sent = model.take_all().last().map_or(sent, |seen| seen.body.len());
        resident.push(resident_kib(child.id()));
    }
    let status = child.wait().expect("it ends");
    let per_step = begun.elapsed().as_secs_f64() * 1000.0 / steps as f64;
    let tenth = |part: usize| {
        let part = &resident[part * steps / 10..(part + 1) * steps / 10];
        part.iter().sum::<u64>() as f64 / part.len() as f64 / 1024.0
    };
    let most = resident.iter().max().copied().unwrap_or_default() as f64 / 1024.0;
    let measured = format!(
        "{:.1} MiB in the second tenth, {:.1} MiB in the last, {most:.1} MiB at most; {per_step:.0} ms a step; the last request had {} KB ({status})",
        tenth(1),
        tenth(9),
        sent / 1_000
    );
    row(
        &format!("memory of a run of {steps} steps of 1 MB"),
        measured,
        "flat",
    );
}

fn resident_kib(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.unwrap_or_default()
}

/// Entries of the journal a second, each hundredth run's end on the disk before it goes on.
fn journal(ground: &Ground, files: usize) {
    let store = Store::open(&ground.host, &ground.work, Arc::new(Redactor::default()));
    let event = RunEvent::Decided {
        action: Action::ReadFile {
            path: ground.work.join("src/main.rs"),
        },
        decision: Decision::Allow {
            rule: "workspace".to_owned(),
        },
    };
    let begun = Instant::now();
    let runs = 20;
    for number in 0..runs {
        let run = RunId::new(1_700_000_000, number);
        for _ in 0..files * 5 {
            store.append(&run, &event);
        }
        store.append(&run, &RunEvent::Finished(Outcome::Cancelled));
        store.flush().expect("written");
    }
    let total = usize::from(runs) * (files * 5 + 1);
    let rate = total as f64 / begun.elapsed().as_secs_f64();
    let verdict = store.verify().expect("readable");
    assert_eq!(verdict.entries, total as u64);
    row(
        &format!("entries of the journal a second ({total}, {runs} ends of runs on the disk)"),
        format!("{rate:.0}"),
        "50000",
    );
}

/// A run that changed many files, taken back.
fn undo(ground: &Ground, files: usize) {
    let mut edits = EditSet::default();
    for number in 0..files {
        let path = PathBuf::from(format!("src/part_{}/file_{number}.rs", number % 20));
        let text = format!(
            "// {number}\n{}",
            "pub fn something() -> u32 { 1 }\n".repeat(60)
        );
        let full = ground.work.join(&path);
        std::fs::create_dir_all(full.parent().expect("a parent")).expect("made");
        std::fs::write(&full, &text).expect("written");
        let after = text.replace("something", "another");
        edits.record(path, Some(text.into()), Some(after.into()));
    }
    let run = RunId::new(1_700_000_001, 1);
    let begun = Instant::now();
    apply_to_disk(
        &ground.host,
        &ground.work,
        &ground.policy,
        &run,
        (&edits, &[]),
        &mut |_, _| {},
    )
    .expect("applied");
    row(
        &format!("an edit of {files} files on the disk"),
        format!("{:.2} s", begun.elapsed().as_secs_f64()),
        "",
    );
    let wanted = Wanted {
        direction: Direction::Undo,
        which: Which::Last,
        step: None,
        conflicts: Conflicts::Refuse,
    };
    let undoing = RunId::new(1_700_000_002, 1);
    let begun = Instant::now();
    revert(
        &ground.host,
        &ground.policy,
        &undoing,
        &wanted,
        &mut |_, _| {},
    )
    .expect("undone");
    row(
        "its undo",
        format!("{:.2} s", begun.elapsed().as_secs_f64()),
        "2 s",
    );
    let changed: usize = edits
        .files
        .values()
        .map(|edit| {
            let size = |text: &Option<Arc<str>>| text.as_ref().map_or(0, |text| text.len());
            size(&edit.before) + size(&edit.after)
        })
        .sum();
    let kept = size_of(&ground.host.state_of(&ground.work).join("images"));
    row(
        "what is kept for undo, beside the bytes that changed",
        format!("{:.2} times", kept as f64 / changed as f64),
        "2 times",
    );
}

fn size_of(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(found) if found.is_dir() => size_of(&entry.path()),
        Ok(found) => found.len(),
        Err(_) => 0,
    });
    sizes.sum()
}
