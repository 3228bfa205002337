//! The flight recorder of one server: what was said to it and what it said, last (spec: Monitoring, flight recorder).
//!
//! Frames are copied, whole, into blocks of one size; when all of them together are too large, the oldest goes. The copy
//! is what keeps the ring as large as it says: a body is a slice of the reader's block of 64 KiB, and while one slice of
//! it lives the reader takes another block for each read, so that a ring of slices would hold many times what it counts.
//! No frame is looked into before its block goes. Then what a replay needs is kept: [`beginning`].
//!
//! [`recording`] is the form in a file, [`mask`] takes out of it what is nobody's business, [`tape`] writes all of it
//! from the first frame on.

pub mod beginning;
pub mod mask;
pub mod recording;
pub mod tape;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use beginning::Beginning;
use recording::{Frame, Head, Origin, Recording, VERSION, Way};
use tape::Tape;

/// Size of a block, where the ring is large enough for several.
const BLOCK_BYTES: usize = 64 * 1024;

/// Bytes before each frame in a block: its time with its way, its length, and how much of it was kept.
const MARK_BYTES: usize = 16;

/// What is kept of a frame that is too large.
pub const CUT_BYTES: usize = 256;

/// Where the way stands beside the time.
const FROM_SERVER: u64 = 1 << 63;

/// Which server is recorded, as it was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// Its name.
    pub server: String,
    /// Which start of it.
    pub attempt: u32,
    /// The executable.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Where it was started.
    pub directory: PathBuf,
}

/// The flight recorder of one server.
#[derive(Debug)]
pub struct Recorder {
    number: usize,
    bytes_max: usize,
    tape: Option<Tape>,
    subject: Option<Head>,
    birth: Instant,
    blocks: VecDeque<Vec<u8>>,
    beginning: Beginning,
    dropped: u64,
}

impl Recorder {
    /// A recorder for the server of this number, that remembers about so many bytes and writes everything to a tape if
    /// there is one.
    pub fn new(number: usize, bytes_max: usize, tape: Option<Tape>) -> Self {
        Self {
            number,
            bytes_max,
            tape,
            subject: None,
            birth: Instant::now(),
            blocks: VecDeque::new(),
            beginning: Beginning::default(),
            dropped: 0,
        }
    }

    /// Forgets what was, and records what is said from now on: the server was started.
    pub fn begin(&mut self, subject: Subject) {
        let started = SystemTime::now().duration_since(UNIX_EPOCH);
        let started = started.unwrap_or_default().as_millis();
        let (number, attempt) = (self.number + 1, subject.attempt);
        let pid = std::process::id();
        let head = Head {
            recording: VERSION,
            of: format!("{}.{number}.{attempt}@{pid}", subject.server),
            server: subject.server,
            program: subject.program,
            arguments: subject.arguments,
            directory: subject.directory,
            started: u64::try_from(started).unwrap_or_default(),
            by: concat!("meliora ", env!("CARGO_PKG_VERSION")).to_owned(),
            dropped: 0,
            texts: true,
        };
        self.birth = Instant::now();
        self.blocks.clear();
        self.beginning = Beginning::default();
        self.dropped = 0;
        if let Some(tape) = &mut self.tape {
            tape.begin(&head);
        }
        self.subject = Some(head);
    }

    /// Records a frame.
    pub fn note(&mut self, way: Way, body: &Bytes) {
        self.note_start(way, body, body.len());
    }

    /// Records a frame of this length, of which this much is known.
    pub fn note_start(&mut self, way: Way, start: &Bytes, length: usize) {
        if self.bytes_max == 0 && self.tape.is_none() {
            return;
        }
        let at = u64::try_from(self.birth.elapsed().as_micros()).unwrap_or(u64::MAX) >> 1;
        if let Some(tape) = &self.tape {
            tape.put(at, way, start, length);
        }
        if self.bytes_max > 0 {
            self.remember(at, way, start, length);
        }
    }

    fn remember(&mut self, at: u64, way: Way, start: &[u8], length: usize) {
        let is_cut = start.len() < length || length > self.bytes_max / 4;
        let kept = if is_cut { CUT_BYTES } else { length };
        let kept = start.get(..kept).unwrap_or(start);
        let marked_at = match way {
            Way::ToServer => at,
            Way::FromServer => at | FROM_SERVER,
        };
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        let kept_length = u32::try_from(kept.len()).unwrap_or_default();
        let block = self.block_with_room(MARK_BYTES + kept.len());
        block.extend_from_slice(&marked_at.to_le_bytes());
        block.extend_from_slice(&length.to_le_bytes());
        block.extend_from_slice(&kept_length.to_le_bytes());
        block.extend_from_slice(kept);
    }

    /// The block to write to. When there is none with so much room the oldest ones make some.
    fn block_with_room(&mut self, bytes: usize) -> &mut Vec<u8> {
        let usual = BLOCK_BYTES.min(self.bytes_max / 8);
        let has_room = |block: &Vec<u8>| block.capacity() - block.len() >= bytes;
        if !self.blocks.back().is_some_and(has_room) {
            let size = bytes.max(usual);
            let mut used = None;
            while self.bytes() + size > self.bytes_max
                && let Some(mut oldest) = self.blocks.pop_front()
            {
                self.dropped += self.beginning.keep(frames(&oldest), self.bytes_max / 4);
                oldest.clear();
                used = Some(oldest);
            }
            let used = used.filter(|block| block.capacity() == size);
            let block = used.unwrap_or_else(|| Vec::with_capacity(size));
            self.blocks.push_back(block);
        }
        self.blocks.back_mut().expect("one was just added")
    }

    /// Bytes that it holds.
    pub fn bytes(&self) -> usize {
        self.blocks.iter().map(Vec::capacity).sum::<usize>() + self.beginning.bytes()
    }

    /// What it remembers; `None` when it is off or the server was never started.
    pub fn recording(&self) -> Option<Recording> {
        if self.bytes_max == 0 {
            return None;
        }
        let mut head = self.subject.clone()?;
        head.dropped = self.dropped;
        let mut all = self.beginning.frames();
        for block in &self.blocks {
            all.extend(frames(block));
        }
        Some(Recording { head, frames: all })
    }
}

/// The frames of a block.
fn frames(block: &[u8]) -> Vec<Frame> {
    let shared = Bytes::copy_from_slice(block);
    let mut rest: &[u8] = &shared;
    let mut all = Vec::new();
    while let Some((at, after)) = rest.split_first_chunk::<8>()
        && let Some((length, after)) = after.split_first_chunk::<4>()
        && let Some((kept, after)) = after.split_first_chunk::<4>()
        && let Some((body, after)) = after.split_at_checked(number(*kept))
    {
        let at = u64::from_le_bytes(*at);
        all.push(Frame {
            at: at & !FROM_SERVER,
            way: if at & FROM_SERVER == 0 {
                Way::ToServer
            } else {
                Way::FromServer
            },
            origin: Origin::Heard,
            bytes: number(*length),
            is_cut: length != kept,
            body: shared.slice_ref(body),
        });
        rest = after;
    }
    all
}

fn number(bytes: [u8; 4]) -> usize {
    usize::try_from(u32::from_le_bytes(bytes)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const LIMIT: usize = 256 * 1024;

    fn started() -> Recorder {
        let mut recorder = Recorder::new(0, LIMIT, None);
        recorder.begin(Subject {
            server: "s".to_owned(),
            attempt: 1,
            program: PathBuf::new(),
            arguments: Vec::new(),
            directory: PathBuf::new(),
        });
        recorder
    }

    fn say(recorder: &mut Recorder, way: Way, message: &Value) {
        recorder.note(way, &Bytes::from(message.to_string()));
        assert!(recorder.bytes() <= LIMIT, "{}", recorder.bytes());
    }

    fn methods(frames: &[Frame], origin: Origin) -> Vec<String> {
        let frames = frames.iter().filter(|frame| frame.origin == origin);
        let message = |frame: &Frame| serde_json::from_slice::<Value>(&frame.body).expect("JSON");
        frames
            .map(message)
            .map(|message| message["method"].as_str().unwrap_or("answer").to_owned())
            .collect()
    }

    #[test]
    fn what_is_small_is_remembered_as_it_was_in_order() {
        let mut recorder = started();
        recorder.note(Way::ToServer, &Bytes::from_static(b"{ \"id\": 1 }"));
        recorder.note(Way::FromServer, &Bytes::from_static(b"rubbish"));
        let recording = recorder.recording().expect("it is on");
        let said = recording.frames.iter();
        let said: Vec<_> = said.map(|frame| (frame.way, &*frame.body)).collect();
        let expected: [(Way, &[u8]); 2] = [
            (Way::ToServer, b"{ \"id\": 1 }"),
            (Way::FromServer, b"rubbish"),
        ];
        assert_eq!(said, expected);
        assert!(Recorder::new(0, 0, None).recording().is_none());
    }

    #[test]
    fn a_ring_stays_as_small_as_it_is_told_and_can_always_be_replayed() {
        let mut recorder = started();
        let to = Way::ToServer;
        say(
            &mut recorder,
            to,
            &json!({ "id": 1, "method": "initialize" }),
        );
        let capabilities = json!({ "capabilities": { "positionEncoding": "utf-8" } });
        say(
            &mut recorder,
            Way::FromServer,
            &json!({ "id": 1, "result": capabilities }),
        );
        say(&mut recorder, to, &json!({ "method": "initialized" }));
        say(
            &mut recorder,
            Way::FromServer,
            &json!({ "id": "r", "method": "client/registerCapability" }),
        );
        say(&mut recorder, to, &json!({ "id": "r", "result": null }));
        let item = json!({ "uri": "file:///a", "languageId": "l", "version": 0, "text": "é" });
        say(
            &mut recorder,
            to,
            &json!({ "method": "textDocument/didOpen", "params": { "textDocument": item } }),
        );
        for version in 1..=5_000 {
            // Behind the first character, which has two of the server's columns.
            let place = json!({ "line": 0, "character": 2 });
            let change = json!({ "range": { "start": place, "end": place }, "text": "x" });
            let params = json!({
                "textDocument": { "uri": "file:///a", "version": version },
                "contentChanges": [change],
            });
            say(
                &mut recorder,
                to,
                &json!({ "method": "textDocument/didChange", "params": params }),
            );
            say(
                &mut recorder,
                Way::FromServer,
                &json!({ "method": "textDocument/publishDiagnostics" }),
            );
        }
        let recording = recorder.recording().expect("it is on");
        assert!(recording.head.dropped > 0);
        let kept = methods(&recording.frames, Origin::Kept);
        let expected = [
            "initialize",
            "answer",
            "initialized",
            "client/registerCapability",
            "answer",
        ];
        assert_eq!(kept, expected);
        // The opened text and the changes that are still there make what the text is now.
        let heard = recording
            .frames
            .iter()
            .filter(|frame| frame.origin == Origin::Heard);
        let changes = heard.filter(|frame| frame.way == to).count();
        let made = recording
            .frames
            .iter()
            .find(|frame| frame.origin == Origin::Made);
        let made: Value = serde_json::from_slice(&made.expect("a text").body).expect("JSON");
        let item = &made["params"]["textDocument"];
        let text = item["text"].as_str().expect("a text");
        assert_eq!(text.chars().count() - 1 + changes, 5_000);
        assert_eq!(item["version"], 5_000 - changes);
        assert!(text.starts_with("éx"));
    }

    #[test]
    fn a_message_of_50_mb_leaves_its_beginning_and_nothing_else_is_lost() {
        let mut recorder = started();
        say(
            &mut recorder,
            Way::ToServer,
            &json!({ "id": 1, "method": "small" }),
        );
        let huge = format!(r#"{{"id":1,"result":"{}"}}"#, "x".repeat(50_000_000));
        recorder.note(Way::FromServer, &Bytes::from(huge));
        assert!(recorder.bytes() <= LIMIT);
        for size in [LIMIT / 4 - 50, LIMIT / 4 - 50, LIMIT / 4 - 50, 10] {
            let text = "x".repeat(size);
            say(
                &mut recorder,
                Way::FromServer,
                &json!({ "method": "m", "params": [text] }),
            );
        }
        let frames = recorder.recording().expect("it is on").frames;
        let huge = frames.iter().find(|frame| frame.is_cut);
        let huge = huge.expect("its beginning");
        assert_eq!((huge.bytes, huge.body.len()), (50_000_020, CUT_BYTES));
        assert!(
            frames
                .iter()
                .all(|frame| frame.is_cut == (frame.bytes > LIMIT / 4))
        );
    }

    #[test]
    fn texts_that_are_too_large_for_the_ring_are_let_go() {
        let mut recorder = started();
        for number in 0..40 {
            let uri = format!("file:///{number}");
            let item =
                json!({ "uri": uri, "languageId": "l", "version": 0, "text": "x".repeat(20_000) });
            say(
                &mut recorder,
                Way::ToServer,
                &json!({ "method": "textDocument/didOpen", "params": { "textDocument": item } }),
            );
        }
        let frames = recorder.recording().expect("it is on").frames;
        let made = frames.iter().filter(|frame| frame.origin == Origin::Made);
        assert_eq!(made.count(), 3);
    }
}
