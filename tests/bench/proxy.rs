//! What the proxy costs: latency, throughput, start, memory and processor time, beside the same without us and behind
//! other proxies.
//!
//! `cargo bench --bench proxy` prints the tables of `docs/BENCHMARKS.md`. Every path has the same client and the same
//! server; the paths take turns, forwards and backwards, so that a machine that changes its mood does so to all of them;
//! and what arrives is compared with what was sent in the same run. `options.rs` tells what can be asked for;
//! `tests/bench/peers` installs the other proxies.
#![expect(clippy::print_stdout, reason = "the tables are the result")]
#![expect(clippy::indexing_slicing, reason = "a bench that panics has failed")]

mod contender;
mod copy;
mod echo;
mod frame;
mod options;
mod parts;
mod peer;
mod process;
mod soak;
mod table;

use std::process::{Child, Command};

use contender::{Contender, Place};
use options::Options;
use table::remark;

fn main() {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("--echo") => return echo::serve(&arguments.next().unwrap_or_default()),
        Some("--copy") => return copy::between(arguments),
        Some("--spin") => loop {
            std::hint::spin_loop();
        },
        Some("--version") => return println!("echo 1.0.0"),
        // Cargo says --bench, or --test when it only wants to see that benches start.
        Some("--test") => return,
        _ => {}
    }
    let options = Options::read();
    let _awake = options.awake.then(Awake::begin);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut place = Place::new(
        &folder.path().canonicalize().expect("the folder exists"),
        &options,
    );
    let (ways, missing) = place.ways();
    remark(&machine(&options), options.json);
    for name in missing {
        let text = format!(
            "Not measured: {name} (not in {}; run tests/bench/peers).",
            options.peers.display()
        );
        remark(&text, options.json);
    }
    if ["latency", "throughput", "memory"]
        .iter()
        .any(|part| options.wants(part))
    {
        let mut all: Vec<Contender> = ways.iter().map(|way| place.start(*way, 1)).collect();
        let fresh = parts::memory_of(&all);
        let mut tables = Vec::new();
        if options.wants("latency") {
            tables.extend(parts::latency(&mut all, &options));
        }
        if options.wants("throughput") {
            tables.extend(parts::throughput(&mut all, &options));
        }
        tables.push(parts::memory(&all, &fresh));
        for table in tables {
            table.print(options.json);
        }
        for contender in all {
            contender.stop();
        }
    }
    if options.wants("merged") {
        for table in parts::merged(&mut place, &ways, &options) {
            table.print(options.json);
        }
    }
    if options.wants("starts") {
        for table in parts::starts(&mut place, &ways, &options) {
            table.print(options.json);
        }
    }
    if options.soak > 0 {
        for servers in [1, 3] {
            soak::day(&mut place, servers, &options).print(options.json);
        }
    }
}

/// Children that do nothing, one for each processor, whenever it has nothing else to do.
struct Awake(Vec<Child>);

impl Awake {
    fn begin() -> Self {
        let own = std::env::current_exe().expect("this program is a file");
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let spin = |_| {
            let mut command = Command::new("chrt");
            command.args(["--idle", "0"]).arg(&own).arg("--spin");
            command
                .spawn()
                .expect("chrt (util-linux) is needed for --awake")
        };
        Self((0..cores).map(spin).collect())
    }
}

impl Drop for Awake {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The machine and the programs.
fn machine(options: &Options) -> String {
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
    let awake = if options.awake { ", kept awake" } else { "" };
    let version = Command::new(&options.binary).arg("--version").output();
    let version = version.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    format!(
        "{cores} cores of {model}{awake}, Linux {}, load at the start {load}; {} ({}).",
        kernel.trim(),
        version.unwrap_or_default(),
        options.binary.display(),
    )
}
