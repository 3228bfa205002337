//! What is measured, one function for each part.

use std::time::Duration;

use serde_json::{Value, json};

use crate::contender::{Contender, Place, Way, rust_analyzer};
use crate::echo::reply;
use crate::options::Options;
use crate::peer::Peer;
use crate::process::{Family, Memory};
use crate::table::{Cell, Table};

/// Sizes of bodies, and how often each is sent in one round.
const SIZES: [(&str, usize, usize); 5] = [
    ("100 B", 100, 1_000),
    ("1 KB", 1_000, 1_000),
    ("10 KB", 10_000, 400),
    ("100 KB", 100_000, 100),
    ("1 MB", 1_000_000, 12),
];

/// Unanswered requests at a time.
const FLIGHT: usize = 64;

/// Round trips of bodies of all sizes, in both directions.
pub(crate) fn latency(all: &mut [Contender], options: &Options) -> Vec<Table> {
    let mut tables = Vec::new();
    for (direction, about) in [
        (
            true,
            "A short request and an answer of this size, from the first byte sent to the last byte received:",
        ),
        (false, "A request of this size and a short answer:"),
    ] {
        let mut rows = Vec::new();
        for (name, bytes, count) in SIZES {
            let text = reply(bytes);
            let (method, params, result) = if direction {
                ("bench/reply", json!({ "bytes": bytes }).to_string(), text)
            } else {
                (
                    "bench/sink",
                    format!("{{\"text\":{text}}}"),
                    "true".to_owned(),
                )
            };
            let once = |contender: &mut Contender| {
                let result = contender.way.keeps_bytes().then_some(result.as_str());
                contender.peer.time_request(method, &params, result)
            };
            rows.extend(turns(all, options, name, options.count(count), once));
        }
        tables.push(Table {
            part: "latency",
            about: format!(
                "{about} median of {} rounds in which the paths take turns.",
                options.rounds()
            ),
            columns: vec![
                "body",
                "path",
                "p50",
                "p99",
                "added p50",
                "added p99",
                "CPU of the proxy",
            ],
            rows,
        });
    }
    tables
}

/// Measures every path in turns, forwards and backwards, and gives a row for each.
fn turns(
    all: &mut [Contender],
    options: &Options,
    name: &str,
    count: usize,
    mut once: impl FnMut(&mut Contender) -> Duration,
) -> Vec<Vec<Cell>> {
    let mut medians = vec![(Vec::new(), Vec::new()); all.len()];
    let mut cpu = vec![Duration::ZERO; all.len()];
    for contender in &mut *all {
        // Buffers grow and connections warm up outside of the figures.
        for _ in 0..count.min(50) {
            once(contender);
        }
    }
    for round in 0..options.rounds() {
        for turn in 0..all.len() {
            let index = if round % 2 == 0 {
                turn
            } else {
                all.len() - 1 - turn
            };
            let contender = &mut all[index];
            let before = contender.family.cpu();
            let mut times: Vec<Duration> = (0..count).map(|_| once(contender)).collect();
            cpu[index] += contender.family.cpu().saturating_sub(before);
            medians[index].0.push(percentile(&mut times, 50));
            medians[index].1.push(percentile(&mut times, 99));
        }
    }
    let figures: Vec<(Duration, Duration)> = medians
        .iter_mut()
        .map(|(half, most)| (percentile(half, 50), percentile(most, 50)))
        .collect();
    let messages = u32::try_from(count * options.rounds()).expect("it fits");
    let direct = figures[0];
    let rows = all.iter().zip(&figures).zip(&cpu);
    rows.map(|((contender, (half, most)), cpu)| {
        let is_direct = contender.way == Way::Direct;
        let or_nothing = |cell| if is_direct { Cell::Nothing } else { cell };
        // The copier's processor time is not told apart from the client's.
        let has_cpu = !matches!(contender.way, Way::Direct | Way::Copier);
        vec![
            Cell::Text(name.to_owned()),
            Cell::Text(contender.way.name().to_owned()),
            Cell::Time(*half),
            Cell::Time(*most),
            or_nothing(Cell::More(*half, direct.0)),
            or_nothing(Cell::More(*most, direct.1)),
            if has_cpu {
                Cell::Time(*cpu / messages)
            } else {
                Cell::Nothing
            },
        ]
    })
    .collect()
}

/// Requests per second with many in flight, published diagnostics per second, and megabytes of notifications.
pub(crate) fn throughput(all: &mut [Contender], options: &Options) -> Vec<Table> {
    let (requests, published, notes) = (
        options.count(20_000),
        options.count(10_000),
        options.count(100),
    );
    let text = format!("{{\"text\":{}}}", reply(1_000_000));
    let mut rates = vec![(Vec::new(), Vec::new(), Vec::new(), 0); all.len()];
    for contender in &mut *all {
        // The server makes what it sends before it is measured.
        let share = if contender.way.keeps_bytes() { 1 } else { 10 };
        contender.peer.time_burst((published / share).max(1));
    }
    for round in 0..options.rounds() {
        for turn in 0..all.len() {
            let index = if round % 2 == 0 {
                turn
            } else {
                all.len() - 1 - turn
            };
            let (contender, rates) = (&mut all[index], &mut rates[index]);
            // The slowest of the peers would take minutes.
            let share = if contender.way.keeps_bytes() { 1 } else { 10 };
            let few = |count: usize| (count / share).max(1);
            rates.0.push(per_second(
                few(requests),
                contender.peer.time_pipelined(few(requests), FLIGHT),
            ));
            let (time, came) = contender.peer.time_burst(few(published));
            rates.1.push(per_second(came, time));
            rates.3 = rates.3.max(few(published) - came.min(few(published)));
            let time = contender.peer.time_stream(&text, few(notes));
            rates.2.push(per_second(few(notes), time));
        }
    }
    let rows = all.iter().zip(&mut rates).map(|(contender, rates)| {
        vec![
            Cell::Text(contender.way.name().to_owned()),
            Cell::PerSecond(middle(&mut rates.0)),
            Cell::PerSecond(middle(&mut rates.1)),
            Cell::Count(rates.3),
            Cell::Megabytes(middle(&mut rates.2)),
        ]
    });
    let about = format!(
        "Requests per second, {FLIGHT} in flight; `publishDiagnostics` of 300 B per second that a server sends at once, and \
         how many of a burst did not arrive; notifications of 1 MB to the server. Median of {} rounds:",
        options.rounds()
    );
    vec![Table {
        part: "throughput",
        about,
        columns: vec![
            "path",
            "requests/s",
            "published/s",
            "not arrived",
            "notifications",
        ],
        rows: rows.collect(),
    }]
}

/// Three servers whose answers become one.
pub(crate) fn merged(place: &mut Place, ways: &[Way], options: &Options) -> Vec<Table> {
    let several = ways
        .iter()
        .filter(|way| !matches!(way, Way::Copier | Way::Lspmux));
    let mut all: Vec<Contender> = several.map(|way| place.start(*way, 3)).collect();
    let uri = format!("file://{}/a.txt", place.echo.display());
    let document = json!({ "uri": uri, "languageId": "plaintext", "version": 1, "text": "text\n" });
    let place_in = json!({ "line": 0, "character": 0 });
    let params = json!({
        "textDocument": { "uri": uri },
        "range": { "start": place_in, "end": place_in },
        "context": { "diagnostics": [] },
    });
    let mut answers = Vec::new();
    for contender in &mut all {
        for peer in contender.others.iter_mut().chain([&mut contender.peer]) {
            peer.notify("textDocument/didOpen", &json!({ "textDocument": document }));
        }
        let answer = contender.peer.call("textDocument/codeAction", &params);
        let actions = answer["result"].as_array().cloned().unwrap_or_default();
        let theirs = |action: &&Value| {
            action["title"]
                .as_str()
                .is_some_and(|title| title.starts_with("echo"))
        };
        answers.push(actions.iter().filter(theirs).count());
    }
    // Each asks about another place: what was asked before would be answered from memory.
    let mut line = 0;
    let once = |contender: &mut Contender| {
        line += 1;
        let mut params = params.clone();
        params["range"]["end"]["line"] = json!(line);
        let params = params.to_string();
        contender.time_all("textDocument/codeAction", &params)
    };
    let mut rows = turns(
        &mut all,
        options,
        "code actions",
        options.count(1_000),
        once,
    );
    for (row, actions) in rows.iter_mut().zip(answers) {
        row[0] = Cell::Count(actions);
    }
    for contender in all {
        contender.stop();
    }
    vec![Table {
        part: "merged",
        about: "Code actions of three servers, asked at once until the slowest has answered, and of three as one:".to_owned(),
        columns: vec![
            "actions",
            "path",
            "p50",
            "p99",
            "added p50",
            "added p99",
            "CPU of the proxy",
        ],
        rows,
    }]
}

/// Memory of the paths, and the processor time that they took for all of the above.
pub(crate) fn memory(all: &[Contender], fresh: &[Memory]) -> Table {
    let proxies = all
        .iter()
        .zip(fresh)
        .filter(|(contender, _)| !matches!(contender.way, Way::Direct | Way::Copier));
    let rows = proxies.map(|(contender, fresh)| {
        let now = contender.family.memory();
        vec![
            Cell::Text(contender.way.name().to_owned()),
            Cell::Kib(fresh.resident_kib),
            Cell::Kib(fresh.proportional_kib),
            Cell::Kib(now.resident_kib),
            Cell::Kib(now.proportional_kib),
            Cell::Time(contender.family.cpu()),
        ]
    });
    Table {
        part: "memory",
        about: "Memory of every process of the path except the server, after `initialize` and after all of the above, and the \
                processor time for all of it:"
            .to_owned(),
        columns: vec!["path", "resident, fresh", "by share", "resident, after", "by share", "CPU"],
        rows: rows.collect(),
    }
}

/// From spawn to the answer to `initialize`.
pub(crate) fn starts(place: &mut Place, ways: &[Way], options: &Options) -> Vec<Table> {
    let count = options.count(600).min(30);
    let mut rows = Vec::new();
    let mut times: Vec<Vec<Duration>> = vec![Vec::new(); ways.len()];
    for round in 0..=count {
        for turn in 0..ways.len() {
            let index = if round % 2 == 0 {
                turn
            } else {
                ways.len() - 1 - turn
            };
            let contender = place.start(ways[index], 1);
            // The first start fills the caches of the file system.
            if round > 0 {
                times[index].push(contender.peer.started_in);
            }
            contender.stop();
        }
    }
    let direct = percentile(&mut times[0], 50);
    for (way, times) in ways.iter().zip(&mut times) {
        rows.push(start_row("echo server", way.name(), times, direct));
    }
    let options = json!({"cargo": {"noDeps": true}, "checkOnSave": false});
    let mut pair: [Vec<Duration>; 2] = Default::default();
    for round in 0..=count {
        for turn in 0..2 {
            let index = (round + turn) % 2;
            let command = if index == 0 {
                rust_analyzer()
            } else {
                place.meliora()
            };
            let peer = Peer::start(command, &place.rust, &options);
            if round > 0 {
                pair[index].push(peer.started_in);
            }
            peer.stop();
        }
    }
    let direct = percentile(&mut pair[0], 50);
    for (way, times) in [Way::Direct, Way::Ours].iter().zip(&mut pair) {
        rows.push(start_row("rust-analyzer", way.name(), times, direct));
    }
    vec![Table {
        part: "starts",
        about: format!(
            "From spawn to the answer to `initialize`, {count} starts each (the daemon of lspmux runs before):"
        ),
        columns: vec!["server", "path", "p50", "p90", "max", "added p50"],
        rows,
    }]
}

fn start_row(server: &str, way: &str, times: &mut [Duration], direct: Duration) -> Vec<Cell> {
    vec![
        Cell::Text(server.to_owned()),
        Cell::Text(way.to_owned()),
        Cell::Time(percentile(times, 50)),
        Cell::Time(percentile(times, 90)),
        Cell::Time(percentile(times, 100)),
        Cell::More(percentile(times, 50), direct),
    ]
}

fn per_second(count: usize, time: Duration) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "counts are small")]
    let count = count as f64;
    count / time.as_secs_f64()
}

fn middle(rates: &mut [f64]) -> f64 {
    rates.sort_unstable_by(f64::total_cmp);
    rates[rates.len() / 2]
}

fn percentile(times: &mut [Duration], share: usize) -> Duration {
    times.sort_unstable();
    let index = (times.len() * share / 100).min(times.len().saturating_sub(1));
    times.get(index).copied().unwrap_or_default()
}

/// Which processes are looked at, for whoever wonders.
pub(crate) fn memory_of(all: &[Contender]) -> Vec<Memory> {
    all.iter()
        .map(|contender| Family::memory(&contender.family))
        .collect()
}
