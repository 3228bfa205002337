//! Hours of an engineer's day as fast as they go: does memory stay where it is?

use std::time::Instant;

use serde_json::{Value, json};

use crate::contender::{Place, Way};
use crate::options::Options;
use crate::peer::Peer;
use crate::table::{Cell, Table};

/// How often it is looked on the way.
const LOOKS: usize = 10;

/// What somebody who types half of the time does in a minute.
const KEYS: usize = 150;
/// Keys after which completions, a hover and code actions are asked for, and diagnostics come.
const COMPLETION_EVERY: usize = 3;
const HOVER_EVERY: usize = 15;
const ACTIONS_EVERY: usize = 15;
const DIAGNOSTICS_EVERY: usize = 10;
/// Minutes after which another file is opened and the oldest of those that are open is closed.
const FILE_EVERY: usize = 5;
const FILES_OPEN: usize = 8;

/// Memory that may be more in the end than after the first of the looks, when everything has come once.
const GROWTH_KIB: u64 = 2_048;

/// The table for so many servers of each file. Panics when memory grows with the hours.
pub(crate) fn day(place: &mut Place, servers: usize, options: &Options) -> Table {
    let contender = place.start(Way::Ours, servers);
    let (mut peer, family) = (contender.peer, contender.family);
    let begin = Instant::now();
    let minutes = options.soak * 60;
    let mut day = Day {
        folder: place.echo.display().to_string(),
        files: Vec::new(),
        opened: 0,
        messages: 0,
    };
    let mut rows = Vec::new();
    let mut resident = Vec::new();
    for minute in 1..=minutes {
        day.minute(&mut peer, minute);
        if minute * LOOKS / minutes > rows.len() {
            let memory = family.memory();
            resident.push(memory.resident_kib);
            rows.push(vec![
                Cell::Text(format!("{}:{:02}", minute / 60, minute % 60)),
                Cell::Count(day.messages),
                Cell::Time(begin.elapsed()),
                Cell::Kib(memory.resident_kib),
                Cell::Kib(memory.proportional_kib),
                Cell::Time(family.cpu()),
            ]);
        }
    }
    peer.stop();
    let table = Table {
        part: "soak",
        about: format!(
            "{} hours of typing in one go, {servers} servers of each file; what our process holds and has used:",
            options.soak
        ),
        columns: vec!["hour", "messages", "after", "resident", "by share", "CPU"],
        rows,
    };
    let first = resident.first().copied().unwrap_or_default();
    let most = resident.iter().copied().max().unwrap_or_default();
    if most > first + GROWTH_KIB {
        table.print(options.json);
        panic!("memory is not flat: {first} KiB after the first look, {most} KiB later");
    }
    table
}

struct Day {
    folder: String,
    /// Those that are open, with the version of each.
    files: Vec<(String, usize)>,
    opened: usize,
    messages: usize,
}

impl Day {
    fn minute(&mut self, peer: &mut Peer, minute: usize) {
        if minute % FILE_EVERY == 1 {
            self.open(peer);
        }
        for key in 1..=KEYS {
            let index = minute % self.files.len();
            let (uri, version) = &mut self.files[index];
            *version += 1;
            let place = json!({ "line": key % 200, "character": 3 });
            let document = json!({ "uri": uri });
            let change = json!({ "range": { "start": place, "end": place }, "text": "x" });
            peer.notify(
                "textDocument/didChange",
                &json!({ "textDocument": { "uri": uri, "version": version }, "contentChanges": [change] }),
            );
            self.messages += 1;
            let here = json!({ "textDocument": document, "position": place });
            if key % COMPLETION_EVERY == 0 {
                self.ask(peer, "textDocument/completion", &here);
            }
            if key % HOVER_EVERY == 0 {
                self.ask(peer, "textDocument/hover", &here);
            }
            if key % ACTIONS_EVERY == 0 {
                let span = json!({ "start": place, "end": place });
                let params = json!({ "textDocument": document, "range": span, "context": { "diagnostics": [] } });
                self.ask(peer, "textDocument/codeAction", &params);
            }
            if key % DIAGNOSTICS_EVERY == 0 {
                let (_, published) = peer.time_burst(10);
                self.messages += published + 2;
            }
        }
        let document = json!({ "uri": self.files[minute % self.files.len()].0 });
        peer.notify("textDocument/didSave", &json!({ "textDocument": document }));
        self.messages += 1;
    }

    fn open(&mut self, peer: &mut Peer) {
        self.opened += 1;
        let uri = format!("file://{}/{}.txt", self.folder, self.opened);
        let text =
            "let value = compute(42); // a line of code\n".repeat(200 + self.opened % 8 * 100);
        let item = json!({ "uri": uri, "languageId": "plaintext", "version": 1, "text": text });
        peer.notify("textDocument/didOpen", &json!({ "textDocument": item }));
        self.files.push((uri, 1));
        if self.files.len() > FILES_OPEN {
            let (uri, _) = self.files.remove(0);
            let document = json!({ "uri": uri });
            peer.notify(
                "textDocument/didClose",
                &json!({ "textDocument": document }),
            );
            self.messages += 1;
        }
        self.messages += 1;
    }

    fn ask(&mut self, peer: &mut Peer, method: &str, params: &Value) {
        let answer = peer.call(method, params);
        assert!(answer.get("result").is_some(), "{method}: {answer}");
        self.messages += 2;
    }
}
