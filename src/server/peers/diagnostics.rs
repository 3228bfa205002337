//! What the servers say is wrong, as the editor was told (spec: LSP Client, diagnostics).
//!
//! One picture for the editor and the agent: see [`Board`]. It is kept as the bytes that passed by, and read only when
//! several servers speak, or when a run or a code action needs it.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use serde_json::Value;
use serde_json::value::RawValue;

use super::late::LateReports;
use crate::downstream::diagnostics::{Board, Origin, Tell};
use crate::server::messages;
use crate::server::questions::requests::Id;

/// Time after a change before a server is asked for diagnostics on behalf of an editor that does not ask.
const PAUSE: Duration = Duration::from_millis(100);

/// Time before documents are asked about that depend on a changed one, and before a busy server is asked again.
const LONG_PAUSE: Duration = Duration::from_millis(700);

/// The last word about each document, and what we ask for ourselves.
#[derive(Debug, Default)]
pub struct Diagnostics {
    /// What was said.
    pub board: Board,
    /// Whether servers are asked on behalf of the editor.
    pub(in crate::server) asks: bool,
    due: BTreeMap<(usize, String), Instant>,
    asked: HashMap<String, (usize, String)>,
    /// What servers are still asked that the editor has an answer to.
    pub(in crate::server) late: LateReports,
}

/// How soon a server is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum Soon {
    /// When the text rests.
    Rested,
    /// When there is nothing more urgent.
    Later,
}

impl Diagnostics {
    /// Nothing was said yet. `asks`: servers are asked on behalf of the editor.
    pub(in crate::server) fn new(board: Board, asks: bool) -> Self {
        Self {
            board,
            asks,
            ..Self::default()
        }
    }

    /// The editor asks from now on.
    pub(in crate::server) fn editor_asks(&mut self) {
        self.asks = false;
        self.board.editor_asks();
    }

    /// Keeps the body of a `textDocument/publishDiagnostics` of a server. `current` is the version of the document when
    /// it is open.
    pub fn publish(
        &mut self,
        origin: Origin<'_>,
        body: &[u8],
        current: Option<i64>,
    ) -> Option<Tell> {
        let params: &RawValue = messages::params(body)?;
        self.board.publish(origin, params.get(), current)
    }

    /// Keeps the body of a server's answer to `textDocument/diagnostic`.
    pub fn pull(&mut self, origin: Origin<'_>, uri: &str, body: &[u8]) -> Vec<Tell> {
        let result = messages::response(body).and_then(|response| response.result);
        let report = result.filter(|result| result.get() != "null");
        report.map_or_else(Vec::new, |report| self.board.report(origin, uri, report))
    }

    /// Forgets what a server said and was asked.
    pub fn forget_server(&mut self, server: usize) -> Vec<Tell> {
        self.due.retain(|(asked, _), _| *asked != server);
        self.asked.retain(|_, (asked, _)| *asked != server);
        self.late.forget_server(server);
        self.board.forget_server(server)
    }

    /// Forgets what a server said of a document and was asked about it.
    pub fn forget(&mut self, server: usize, uri: &str) -> Option<Tell> {
        self.due
            .retain(|(asked, of), _| *asked != server || of != uri);
        self.asked
            .retain(|_, (asked, of)| *asked != server || of != uri);
        self.late.forget(Some(server), uri);
        self.board.forget(server, uri)
    }

    /// The diagnostics of a document; one that was both published and asked for counts once.
    pub fn of(&self, uri: &str) -> Vec<Value> {
        let texts = self.board.of(uri).into_iter();
        texts
            .filter_map(|text| serde_json::from_str(&text).ok())
            .collect()
    }

    /// What one server published of a document; `None`: nothing yet.
    pub fn published(&self, server: usize, uri: &str) -> Option<Value> {
        serde_json::from_str(self.board.published_by(server, uri)?).ok()
    }

    /// Documents that something was said about.
    pub fn uris(&self) -> impl Iterator<Item = &str> {
        self.board.uris()
    }

    /// Asks a server soon about a document.
    pub(in crate::server) fn ask(&mut self, server: usize, uri: &str, soon: Soon, now: Instant) {
        let due = match soon {
            Soon::Rested => now + PAUSE,
            Soon::Later => now + LONG_PAUSE,
        };
        let entry = self.due.entry((server, uri.to_owned())).or_insert(due);
        // What was to be asked later is asked when the text rests; typing puts off what is about to be asked.
        *entry = match soon {
            Soon::Rested => due,
            Soon::Later => (*entry).min(due),
        };
    }

    /// When a server has to be asked.
    pub(in crate::server) fn deadline(&self) -> Option<Instant> {
        self.due.values().min().copied()
    }

    /// Takes out what has to be asked now.
    pub(in crate::server) fn take_due(&mut self, now: Instant) -> Vec<(usize, String)> {
        let mut asked = Vec::new();
        self.due.retain(|key, due| {
            let is_due = *due <= now;
            if is_due {
                asked.push(key.clone());
            }
            !is_due
        });
        asked
    }

    /// Notes that a server was asked, and gives the request that this one replaces.
    pub(in crate::server) fn asked(
        &mut self,
        id: String,
        server: usize,
        uri: String,
    ) -> Option<String> {
        let asked = (server, uri);
        let before = self.asked.iter().find(|(_, known)| **known == asked);
        let before = before.map(|(id, _)| id.clone());
        if let Some(before) = &before {
            self.asked.remove(before);
        }
        self.asked.insert(id, asked);
        before
    }

    /// Whether an answer of a server is one to a question of ours, or one that the editor does not wait for any more.
    pub(in crate::server) fn awaits(&self, server: usize, id: &Id) -> bool {
        let asked = match id {
            Id::Text(id) => self.asked.get(id),
            Id::Number(_) | Id::Other(_) => None,
        };
        asked.is_some_and(|(asked, _)| *asked == server) || self.late.has(server, id)
    }

    /// Takes out the question that a server answers.
    pub(in crate::server) fn answered(&mut self, server: usize, id: &str) -> Option<String> {
        let known = self
            .asked
            .get(id)
            .is_some_and(|(asked, _)| *asked == server);
        let (_, uri) = known.then(|| self.asked.remove(id)).flatten()?;
        Some(uri)
    }

    /// A document was closed: nobody is asked about it any more.
    pub(in crate::server) fn closed(&mut self, uri: &str) -> Option<Tell> {
        self.due.retain(|(_, asked), _| asked != uri);
        self.asked.retain(|_, (_, asked)| asked != uri);
        self.late.forget(None, uri);
        self.board.closed(uri)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: Origin<'_> = Origin {
        server: 0,
        generation: 0,
        name: "one",
    };

    #[test]
    fn published_and_pulled_diagnostics_are_joined() {
        let mut diagnostics = Diagnostics::default();
        let published =
            br#"{"method":"m","params":{"uri":"u","diagnostics":[{"range":1,"message":"a"}]}}"#;
        let _ = diagnostics.publish(ORIGIN, published, None);
        let pulled = br#"{"id":1,"result":{"kind":"full","items":[{"range":1,"message":"a"},{"range":2,"message":"b"}]}}"#;
        let _ = diagnostics.pull(ORIGIN, "u", pulled);
        let unchanged = br#"{"id":1,"result":{"kind":"unchanged","resultId":"1"}}"#;
        let _ = diagnostics.pull(ORIGIN, "u", unchanged);
        assert_eq!(diagnostics.of("u").len(), 2);
        let _ = diagnostics.forget_server(0);
        assert!(diagnostics.of("u").is_empty());
    }

    #[test]
    fn a_server_is_asked_when_the_text_rests_and_a_newer_question_replaces_an_older_one() {
        let mut diagnostics = Diagnostics::default();
        let now = Instant::now();
        diagnostics.ask(0, "u", Soon::Later, now);
        diagnostics.ask(0, "u", Soon::Rested, now);
        diagnostics.ask(0, "u", Soon::Rested, now + PAUSE / 2);
        diagnostics.ask(0, "u", Soon::Later, now + PAUSE / 2);
        assert!(diagnostics.take_due(now + PAUSE).is_empty());
        let rested = now + PAUSE + PAUSE / 2;
        assert_eq!(diagnostics.deadline(), Some(rested));
        assert_eq!(diagnostics.take_due(rested), [(0, "u".to_owned())]);
        assert_eq!(diagnostics.asked("a".to_owned(), 0, "u".to_owned()), None);
        let replaced = diagnostics.asked("b".to_owned(), 0, "u".to_owned());
        assert_eq!(replaced.as_deref(), Some("a"));
        assert_eq!(diagnostics.answered(0, "a"), None);
        assert_eq!(diagnostics.answered(1, "b"), None);
        assert_eq!(diagnostics.answered(0, "b").as_deref(), Some("u"));
        assert_eq!(diagnostics.answered(0, "b"), None);
    }
}
