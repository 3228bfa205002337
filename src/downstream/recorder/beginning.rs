//! What is left of the frames that were dropped: enough to begin a replay (spec: Monitoring, flight recorder).
//!
//! The greeting and its answer, settings, registrations, what the server asked about settings, and notebooks stay as they
//! were said. Of open texts the present state is kept, by applying the dropped changes; a replay opens them with it. What
//! is too large for this is let go, the oldest messages and the largest texts first.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::recording::{Frame, Origin, Way};
use crate::downstream::wire::{Envelope, Kind};
use crate::text::documents::Documents;
use crate::text::json::{readable, text};
use crate::text::position::Encoding;

/// Requests of the server whose answers are awaited, at most.
const AWAITED_MAX: usize = 256;

/// What a replay needs of the frames that were dropped.
#[derive(Debug, Default)]
pub struct Beginning {
    /// `initialize`, its answer, `initialized`.
    greeting: Vec<Frame>,
    /// The id of `initialize`.
    greeting_id: Bytes,
    /// The last settings.
    settings: Option<Frame>,
    /// What else was said and counts on.
    said: VecDeque<Frame>,
    /// Ids of the server's requests whose answers count on.
    awaited: BTreeSet<Bytes>,
    texts: Documents,
    /// Bytes of the messages.
    bytes: usize,
    /// When the last of the dropped frames was said.
    until: u64,
}

impl Beginning {
    /// Keeps what counts of frames that are dropped, in at most twice so many bytes, and says how many went for good.
    pub(super) fn keep(&mut self, frames: Vec<Frame>, bytes_max: usize) -> u64 {
        let mut gone = 0;
        for frame in frames {
            self.until = frame.at;
            gone += u64::from(!self.keep_one(frame));
        }
        while self.bytes > bytes_max
            && let Some(oldest) = self.said.pop_front()
        {
            self.bytes -= oldest.body.len();
            gone += 1;
        }
        while self.text_bytes() > bytes_max
            && let Some(uri) = self.largest()
        {
            let params = json!({ "textDocument": { "uri": uri } });
            if let Ok(named) = serde_json::from_value(params) {
                self.texts.close(named);
            }
        }
        gone
    }

    /// Whether a frame was kept.
    fn keep_one(&mut self, frame: Frame) -> bool {
        let Some(envelope) = Envelope::peek(&frame.body) else {
            return false;
        };
        let id = envelope.id(&frame.body);
        match (frame.way, envelope.kind) {
            (Way::ToServer, Kind::Response) => {
                let is_awaited = self.awaited.remove(id);
                if is_awaited {
                    self.add(frame);
                }
                is_awaited
            }
            (Way::FromServer, Kind::Response) => {
                let is_greeting = !id.is_empty() && id == self.greeting_id;
                if is_greeting {
                    self.texts.encoding = encoding_of(&frame.body);
                    self.greeting_id.clear();
                    self.greet(frame);
                }
                is_greeting
            }
            (Way::FromServer, Kind::Request) => {
                let method = envelope.method(&frame.body);
                let counts =
                    method.ends_with("registerCapability") || method == "workspace/configuration";
                if counts && self.awaited.len() < AWAITED_MAX {
                    self.awaited.insert(Bytes::copy_from_slice(id));
                    self.add(frame);
                }
                counts
            }
            (Way::FromServer, Kind::Notification) => false,
            (Way::ToServer, Kind::Request) => {
                let is_greeting = envelope.method(&frame.body) == "initialize";
                if is_greeting {
                    self.greeting_id = Bytes::copy_from_slice(id);
                    self.greet(frame);
                }
                is_greeting
            }
            (Way::ToServer, Kind::Notification) => {
                let method = envelope.method(&frame.body).to_owned();
                self.keep_notification(&method, frame)
            }
        }
    }

    fn keep_notification(&mut self, method: &str, frame: Frame) -> bool {
        match method {
            "initialized" => self.greet(frame),
            "workspace/didChangeConfiguration" => {
                self.bytes += frame.body.len();
                let before = self.settings.replace(frame.kept());
                self.bytes -= before.map_or(0, |before| before.body.len());
            }
            "workspace/didChangeWorkspaceFolders" => self.add(frame),
            "textDocument/didOpen" => return self.change_texts(&frame, Documents::open),
            "textDocument/didChange" => return self.change_texts(&frame, Documents::change),
            "textDocument/didClose" => return self.change_texts(&frame, Documents::close),
            "notebookDocument/didSave" => return false,
            _ if method.starts_with("notebookDocument/") => self.add(frame),
            _ => return false,
        }
        true
    }

    /// Applies a message about a text. A frame that was cut cannot be read; then the text stays unknown.
    fn change_texts<T: DeserializeOwned>(
        &mut self,
        frame: &Frame,
        change: impl FnOnce(&mut Documents, T) -> String,
    ) -> bool {
        #[derive(serde::Deserialize)]
        struct Message<T> {
            params: T,
        }
        let message = serde_json::from_slice::<Message<T>>(&frame.body)
            .or_else(|_| serde_json::from_str(&readable(&frame.body)));
        if let Ok(message) = message {
            change(&mut self.texts, message.params);
        }
        // Its meaning stays, its bytes do not.
        false
    }

    fn greet(&mut self, frame: Frame) {
        self.greeting.push(frame.kept());
    }

    fn add(&mut self, frame: Frame) {
        self.bytes += frame.body.len();
        self.said.push_back(frame.kept());
    }

    fn text_bytes(&self) -> usize {
        self.texts.iter().map(|text| text.text().len()).sum()
    }

    fn largest(&self) -> Option<String> {
        let largest = self.texts.iter().max_by_key(|text| text.text().len());
        largest.map(|text| text.uri.clone())
    }

    /// Bytes that are kept.
    pub(super) fn bytes(&self) -> usize {
        let greeting = self.greeting.iter().map(|frame| frame.body.len());
        greeting.sum::<usize>() + self.bytes + self.text_bytes()
    }

    /// The frames with which a replay begins.
    pub(super) fn frames(&self) -> Vec<Frame> {
        let said = self.greeting.iter().chain(&self.settings).chain(&self.said);
        let mut all: Vec<Frame> = said.cloned().collect();
        all.sort_by_key(|frame| frame.at);
        all.extend(self.texts.iter().map(|text| {
            let item = json!({
                "uri": text.uri,
                "languageId": text.language,
                "version": text.version,
                "text": text.text(),
            });
            let method = "textDocument/didOpen";
            let params = json!({ "textDocument": item });
            let body = json!({ "jsonrpc": "2.0", "method": method, "params": params });
            let body = Bytes::from(body.to_string());
            Frame {
                at: self.until,
                way: Way::ToServer,
                origin: Origin::Made,
                bytes: body.len(),
                is_cut: false,
                body,
            }
        }));
        all
    }
}

impl Frame {
    /// The same, with bytes of its own, as one that is left of those that were dropped.
    fn kept(self) -> Self {
        Self {
            origin: Origin::Kept,
            body: Bytes::copy_from_slice(&self.body),
            ..self
        }
    }
}

/// What the columns count of a server that answers its greeting so.
fn encoding_of(answer: &[u8]) -> Encoding {
    let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
    let name = text(&answer, "/result/capabilities/positionEncoding");
    Encoding::from_name(name).unwrap_or_default()
}
