//! What the proxy costs: start, forwarded messages, memory and processor time, beside the same without us.
//!
//! `cargo bench --bench proxy` prints the tables of `docs/BENCHMARKS.md`. Direct and proxied measurements alternate
//! (direct, proxied, proxied, direct), so that a machine that changes its mood does so to both.
#![expect(clippy::print_stdout, reason = "the tables are the result")]

mod echo;
mod frame;
mod peer;
mod process;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use peer::Peer;

const MELIORA: &str = env!("CARGO_BIN_EXE_meliora");

/// Starts of each kind.
const STARTS: usize = 20;
/// Blocks of four measurements (direct, proxied, proxied, direct).
const ROUNDS: usize = 10;
const KILOBYTE: usize = 1_000;
const MEGABYTE: usize = 1_000_000;

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("--echo") => return echo::serve(),
        Some("--version") => return println!("echo 1.0.0"),
        // Cargo says --bench, or --test when it only wants to see that benches start.
        Some("--test") => return,
        _ => {}
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let place = Place::new(&folder.path().canonicalize().expect("the folder exists"));
    println!("{}\n", machine());
    starts(&place);
    messages(&place);
}

/// The folders of the measurement.
struct Place {
    /// A small Rust project for rust-analyzer.
    rust: PathBuf,
    /// A folder that only the echo server is for.
    echo: PathBuf,
    /// Settings, state and cache of the measured program.
    home: PathBuf,
}

impl Place {
    fn new(folder: &Path) -> Self {
        let place = Self {
            rust: folder.join("rust"),
            echo: folder.join("echo"),
            home: folder.join("home"),
        };
        let own = std::env::current_exe().expect("this program is a file");
        let settings = format!(
            "[[lsp.servers]]\nname = \"echo\"\ncommand = {:?}\nargs = [\"--echo\"]\nfiletypes = [\"plaintext\"]\n\
             root_patterns = [\"echo.root\"]\n",
            own.display().to_string()
        );
        for (path, text) in [
            (
                place.home.join(".config/agent/config.toml"),
                settings.as_str(),
            ),
            (place.echo.join("echo.root"), ""),
            (
                place.rust.join("Cargo.toml"),
                "[package]\nname = \"bench\"\nversion = \"0.1.0\"\nedition = \"2024\"\n",
            ),
            (
                place.rust.join("src/main.rs"),
                "//! A program.\n\nfn main() {\n    println!(\"hello\");\n}\n",
            ),
        ] {
            std::fs::create_dir_all(path.parent().expect("it has a parent")).expect("created");
            std::fs::write(path, text).expect("written");
        }
        place
    }

    /// Our program, with a home of its own.
    fn meliora(&self) -> Command {
        let mut command = Command::new(MELIORA);
        for (variable, folder) in [
            ("XDG_CONFIG_HOME", ".config"),
            ("XDG_STATE_HOME", ".local/state"),
            ("XDG_CACHE_HOME", ".cache"),
        ] {
            command.env(variable, self.home.join(folder));
        }
        offline(command)
    }
}

/// No server downloads parts of a toolchain while it is measured.
fn offline(mut command: Command) -> Command {
    command.env("RUSTUP_DIST_SERVER", "http://127.0.0.1:9");
    command
}

fn rust_analyzer() -> Command {
    let works = |path: &PathBuf| {
        let answer = offline(Command::new(path)).arg("--version").output();
        answer.is_ok_and(|output| output.status.success())
    };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|folder| folder.join("rust-analyzer"))
        .find(works);
    offline(Command::new(
        found.expect("there is a rust-analyzer: run `tests/run tools`"),
    ))
}

fn starts(place: &Place) {
    let options = json!({"cargo": {"noDeps": true}, "checkOnSave": false});
    let start = |command: Command| {
        let peer = Peer::start(command, &place.rust, &options);
        let (time, kib) = (peer.started_in, process::memory(peer.id()).resident_kib);
        peer.stop();
        (time, kib)
    };
    let (mut direct, mut ours) = (Vec::new(), Vec::new());
    // The first starts fill the caches of the file system.
    start(rust_analyzer());
    start(place.meliora());
    for round in 0..STARTS {
        let own_first = round % 2 == 1;
        if own_first {
            ours.push(start(place.meliora()).0);
        }
        direct.push(start(rust_analyzer()).0);
        if !own_first {
            ours.push(start(place.meliora()).0);
        }
    }
    println!("From spawn to the answer to `initialize`, {STARTS} starts each:\n");
    println!("| | p50 | p90 | max |\n|---|---|---|---|");
    for (name, times) in [
        ("rust-analyzer, direct", &mut direct),
        ("rust-analyzer behind meliora", &mut ours),
    ] {
        let mut at = |share| milliseconds(percentile(times, share));
        let (half, most, all) = (at(50), at(90), at(100));
        println!("| {name} | {half} | {most} | {all} |");
    }
    let (ours, direct) = (percentile(&mut ours, 50), percentile(&mut direct, 50));
    println!(
        "| difference of the medians | {} | | |\n",
        difference(ours, direct, milliseconds)
    );
}

fn messages(place: &Place) {
    let own = std::env::current_exe().expect("this program is a file");
    let mut command = Command::new(own);
    command.arg("--echo");
    let mut direct = Peer::start(command, &place.echo, &Value::Null);
    let mut ours = Peer::start(place.meliora(), &place.echo, &Value::Null);
    let answer = ours.call("bench/echo", &json!({"is": "there"}));
    assert_eq!(
        answer.get("result"),
        Some(&json!({"is": "there"})),
        "the request goes to the echo server and back: {answer}"
    );
    let fresh = process::memory(ours.id());

    println!("Round trips against an echo server, direct and through meliora:\n");
    println!("| message | messages | direct p50 | p99 | through us p50 | p99 | added p50 | p99 |");
    println!("|---|---|---|---|---|---|---|---|");
    for (name, bytes, count, measure) in [
        ("request, 1 KB", KILOBYTE, 500, request as Measure),
        ("notification, 1 KB", KILOBYTE, 500, Peer::time_notification),
        ("request, 1 MB", MEGABYTE, 10, request),
        ("notification, 1 MB", MEGABYTE, 10, Peer::time_notification),
    ] {
        round_trips(name, bytes, count, measure, &mut direct, &mut ours);
    }
    println!();
    streams(&mut direct, &mut ours);

    let before = process::cpu(ours.id());
    let params = payload(KILOBYTE);
    for _ in 0..10_000 {
        ours.time_request("bench/echo", &params);
    }
    let used = process::cpu(ours.id()).saturating_sub(before);
    let loaded = process::memory(ours.id());
    println!("Our process, language servers not counted:\n");
    println!("| | |\n|---|---|");
    println!("| resident after `initialize` | {} |", fresh.text());
    println!("| resident after all messages above | {} |", loaded.text());
    println!(
        "| processor time for one forwarded request of 1 KB and its answer | {} |",
        microseconds(used / 10_000)
    );
    direct.stop();
    ours.stop();
}

type Measure = fn(&mut Peer, &str) -> Duration;

fn request(peer: &mut Peer, params: &str) -> Duration {
    peer.time_request("bench/echo", params)
}

fn round_trips(
    name: &str,
    bytes: usize,
    count: usize,
    measure: Measure,
    direct: &mut Peer,
    ours: &mut Peer,
) {
    let params = payload(bytes);
    let (mut direct_times, mut our_times) = (Vec::new(), Vec::new());
    let block = |peer: &mut Peer, times: &mut Vec<Duration>| {
        times.extend((0..count).map(|_| measure(peer, &params)));
    };
    // Buffers grow and connections warm up outside of the figures.
    block(direct, &mut Vec::new());
    block(ours, &mut Vec::new());
    for _ in 0..ROUNDS {
        block(direct, &mut direct_times);
        block(ours, &mut our_times);
        block(ours, &mut our_times);
        block(direct, &mut direct_times);
    }
    let total = our_times.len();
    let [half, most] = [50, 99].map(|share| {
        (
            percentile(&mut direct_times, share),
            percentile(&mut our_times, share),
        )
    });
    println!(
        "| {name} | {total} | {} | {} | {} | {} | {} | {} |",
        microseconds(half.0),
        microseconds(most.0),
        microseconds(half.1),
        microseconds(most.1),
        difference(half.1, half.0, microseconds),
        difference(most.1, most.0, microseconds),
    );
}

/// Notifications of 1 MB without waiting for anything but the end.
fn streams(direct: &mut Peer, ours: &mut Peer) {
    const COUNT: usize = 200;
    let params = payload(MEGABYTE);
    let (mut direct_times, mut our_times) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        direct_times.push(direct.time_stream(&params, COUNT));
        our_times.push(ours.time_stream(&params, COUNT));
        our_times.push(ours.time_stream(&params, COUNT));
        direct_times.push(direct.time_stream(&params, COUNT));
    }
    let rate = |times: &mut [Duration]| {
        let seconds = percentile(times, 50).as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "a few hundred megabytes")]
        let megabytes = (COUNT * MEGABYTE) as f64 / 1e6;
        format!("{:.0} MB/s", megabytes / seconds)
    };
    println!(
        "A stream of {COUNT} notifications of 1 MB, median of {} streams:\n",
        ROUNDS * 2
    );
    println!("| direct | through us |\n|---|---|");
    println!(
        "| {} | {} |\n",
        rate(&mut direct_times),
        rate(&mut our_times)
    );
}

/// Parameters of about this many bytes, shaped like a change of a document.
fn payload(bytes: usize) -> String {
    let line = "    let value = compute(\\\"text\\\", 42); // a line of code\\n";
    let text = line.repeat(bytes / line.len() + 1);
    let text = text.get(..bytes - bytes % line.len()).unwrap_or(&text);
    format!("{{\"text\":\"{text}\"}}")
}

fn percentile(times: &mut [Duration], share: usize) -> Duration {
    times.sort_unstable();
    let index = (times.len() * share / 100).min(times.len().saturating_sub(1));
    times.get(index).copied().unwrap_or_default()
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

fn microseconds(time: Duration) -> String {
    format!("{:.0} µs", time.as_secs_f64() * 1e6)
}

fn difference(more: Duration, less: Duration, format: fn(Duration) -> String) -> String {
    match more.checked_sub(less) {
        Some(added) => format(added),
        None => format!("-{}", format(less.saturating_sub(more))),
    }
}

fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let model = read("/proc/cpuinfo")
        .lines()
        .find_map(|line| {
            line.strip_prefix("model name")?
                .split(": ")
                .nth(1)
                .map(str::to_owned)
        })
        .unwrap_or_else(|| "an unknown processor".to_owned());
    let load = read("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or("unknown");
    let kernel = read("/proc/sys/kernel/osrelease");
    format!(
        "{cores} cores of {model}, Linux {}, load at the start {load}; meliora {}, {} build.",
        kernel.trim(),
        env!("CARGO_PKG_VERSION"),
        if cfg!(debug_assertions) {
            "debug"
        } else {
            "release"
        }
    )
}
