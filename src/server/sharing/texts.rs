//! Texts that several processes have open at one server (spec: Communication, shared servers).
//!
//! A server knows one text for each document. While several have it open, the server has the text of who spoke of it
//! last: before a question about it is handed on, and at every change, the server gets the whole text of who speaks,
//! unless it has the same. Versions are the server's own from then on. What the server says of a version goes to those
//! whose text that was, under their own version.

use std::collections::{BTreeSet, HashMap, VecDeque};

use bytes::Bytes;
use memchr::memmem;
use serde_json::{Value, json};

use crate::downstream::wire::Envelope;
use crate::server::messages;
use crate::server::session::Session;
use crate::text::documents::Document;
use crate::text::json::{at, set, text};

/// Versions of a text that are remembered.
const VERSIONS_MAX: usize = 64;

/// Somebody who has a text open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::server) enum Holder {
    /// Our own editor.
    Editor,
    /// A guest.
    Guest(u64),
}

/// The texts that more than one has open, by server and URI.
#[derive(Debug, Default)]
pub(super) struct Texts {
    shared: HashMap<(usize, String), Shared>,
}

#[derive(Debug)]
struct Shared {
    holders: BTreeSet<Holder>,
    /// What the server has.
    text: String,
    version: i64,
    /// Versions of the server, and who had that text under which version.
    known_as: VecDeque<(i64, Holder, i64)>,
    /// What the server published last, and for which version.
    published: Option<(i64, Bytes)>,
}

impl Shared {
    fn note(&mut self, holder: Holder, version: i64) {
        if self.known_as.len() == VERSIONS_MAX {
            self.known_as.pop_front();
        }
        self.known_as.push_back((self.version, holder, version));
    }

    /// The version under which somebody knows a version of the server.
    fn known_as(&self, version: i64, holder: Holder) -> Option<i64> {
        let mut known = self.known_as.iter().rev();
        known
            .find(|(ours, who, _)| *ours == version && *who == holder)
            .map(|(_, _, theirs)| *theirs)
    }
}

impl Texts {
    /// Whether no text is shared.
    pub(super) fn is_empty(&self) -> bool {
        self.shared.is_empty()
    }

    /// Forgets what a server had.
    pub(super) fn forget_server(&mut self, server: usize) {
        self.shared.retain(|(known, _), _| *known != server);
    }

    /// Whether several have a text open at a server.
    pub(super) fn has(&self, server: usize, uri: &str) -> bool {
        !self.is_empty() && self.shared.contains_key(&(server, uri.to_owned()))
    }

    /// A message of a server with the versions of texts that somebody knows.
    pub(super) fn as_known_to(&self, server: usize, holder: Holder, body: Bytes) -> Bytes {
        if self.is_empty() || memmem::find(&body, b"\"documentChanges\"").is_none() {
            return body;
        }
        let Ok(mut message) = serde_json::from_slice(&body) else {
            return body;
        };
        self.rename_versions(server, holder, &mut message);
        Bytes::from(message.to_string())
    }

    fn rename_versions(&self, server: usize, holder: Holder, value: &mut Value) {
        let named = text(value, "/textDocument/uri").to_owned();
        if let Some(shared) = self.shared.get(&(server, named))
            && let Some(version) = at(value, "/textDocument/version").as_i64()
            && let Some(theirs) = shared.known_as(version, holder)
            && let Some(place) = value.pointer_mut("/textDocument/version")
        {
            *place = json!(theirs);
        }
        match value {
            Value::Array(items) => {
                for item in items {
                    self.rename_versions(server, holder, item);
                }
            }
            Value::Object(fields) => {
                for (_, field) in fields {
                    self.rename_versions(server, holder, field);
                }
            }
            _ => {}
        }
    }
}

/// What is done with a publication for one who hears of it.
#[derive(Debug)]
enum Heard {
    AsItIs,
    Under(Option<i64>),
    Not,
}

impl Session {
    /// Somebody opens a text. `false`: nobody else has it, the server has to hear of it as it is.
    pub(in crate::server) fn holder_opened(
        &mut self,
        server: usize,
        holder: Holder,
        uri: &str,
    ) -> bool {
        if self.guests.is_idle() {
            return false;
        }
        let key = (server, uri.to_owned());
        if let Some(shared) = self.guests.texts.shared.get_mut(&key) {
            shared.holders.insert(holder);
        } else {
            let Some((first, document)) = self.other_holder(server, holder, uri) else {
                return false;
            };
            let mut shared = Shared {
                holders: [first, holder].into(),
                text: document.text().to_owned(),
                version: document.version,
                known_as: VecDeque::new(),
                published: None,
            };
            shared.note(first, document.version);
            let published = self.publication(server, uri);
            shared.published = published.map(|body| (shared.version, body));
            self.guests.texts.shared.insert(key, shared);
        }
        self.present(server, holder, uri);
        true
    }

    /// Somebody changed a text, which is noted already. `false`: nobody else has it, the server has to hear of it as it
    /// is.
    pub(in crate::server) fn holder_changed(
        &mut self,
        server: usize,
        holder: Holder,
        uri: &str,
    ) -> bool {
        let is_shared = self.guests.texts.has(server, uri);
        if is_shared {
            self.present(server, holder, uri);
        }
        is_shared
    }

    /// Somebody closed a text, which is noted already. `false`: nobody has it any more, the server has to hear of it.
    pub(in crate::server) fn holder_closed(
        &mut self,
        server: usize,
        holder: Holder,
        uri: &str,
    ) -> bool {
        if self.guests.texts.is_empty() {
            return false;
        }
        let key = (server, uri.to_owned());
        let Some(shared) = self.guests.texts.shared.get_mut(&key) else {
            return false;
        };
        shared.holders.remove(&holder);
        let Some(next) = shared.holders.first().copied() else {
            self.guests.texts.shared.remove(&key);
            return false;
        };
        self.present(server, next, uri);
        true
    }

    /// Shows a server the text of who speaks of it, when it has another one.
    pub(super) fn present_named(
        &mut self,
        server: usize,
        holder: Holder,
        method: &str,
        body: &[u8],
    ) {
        if self.guests.texts.is_empty() {
            return;
        }
        let uri = crate::server::questions::ask::document_of(body, method);
        if let Some(uri) = uri.filter(|uri| self.guests.texts.has(server, uri)) {
            self.present(server, holder, &uri);
        }
    }

    /// The same for a message of our own editor.
    pub(in crate::server) fn present_for_editor(&mut self, server: usize, body: &[u8]) {
        if !self.guests.texts.is_empty()
            && let Some(envelope) = Envelope::peek(body)
        {
            self.present_named(server, Holder::Editor, envelope.method(body), body);
        }
    }

    fn present(&mut self, server: usize, holder: Holder, uri: &str) {
        let key = (server, uri.to_owned());
        let Some(mut shared) = self.guests.texts.shared.remove(&key) else {
            return;
        };
        let mut change = None;
        if let Some(document) = self.held(server, holder, uri) {
            let version = document.version;
            if document.text() != shared.text {
                document.text().clone_into(&mut shared.text);
                shared.version += 1;
                let params = json!({
                    "textDocument": { "uri": uri, "version": shared.version },
                    "contentChanges": [{ "text": shared.text }],
                });
                change = Some(messages::notification("textDocument/didChange", &params));
            }
            if shared.known_as(shared.version, holder) != Some(version) {
                let is_late = change.is_none();
                shared.note(holder, version);
                let published = shared.published.as_ref().filter(|_| is_late);
                if let Some((of, body)) = published
                    && *of == shared.version
                {
                    let body = with_version(body, Some(version));
                    self.publish_to(server, holder, body);
                }
            }
        }
        self.guests.texts.shared.insert(key, shared);
        if let Some(change) = change {
            self.send_as_it_is(server, change);
        }
    }

    /// Hands the diagnostics of a document to those whom they are for; what our own editor gets.
    pub(super) fn share_publication(&mut self, server: usize, body: Bytes) -> Option<Bytes> {
        let params: Value = messages::params(&body).unwrap_or_default();
        let key = (server, text(&params, "/uri").to_owned());
        let mut shared = self.guests.texts.shared.remove(&key);
        if let Some(shared) = &mut shared {
            let version = at(&params, "/version").as_i64().unwrap_or(shared.version);
            for holder in shared.holders.clone() {
                let document = self.held(server, holder, &key.1);
                if let Some(document) = document
                    && version == shared.version
                    && shared.known_as(version, holder).is_none()
                    && document.text() == shared.text
                {
                    shared.note(holder, document.version);
                }
            }
            shared.published = Some((version, body.clone()));
        }
        let meaning = |holder: Holder| match &shared {
            Some(shared) if shared.holders.contains(&holder) => {
                let version = shared.published.as_ref().map_or(shared.version, |it| it.0);
                let known = shared.known_as(version, holder);
                known.map_or(Heard::Not, |version| Heard::Under(Some(version)))
            }
            _ if self.held(server, holder, &key.1).is_some() => Heard::AsItIs,
            // Somebody else's versions mean nothing to it.
            _ => Heard::Under(None),
        };
        let hears = |holder: Holder| match meaning(holder) {
            Heard::AsItIs => Some(body.clone()),
            Heard::Under(version) => Some(with_version(&body, version)),
            Heard::Not => None,
        };
        let guests = self.guests.ready(server).into_iter();
        let told: Vec<_> = guests
            .filter_map(|guest| Some((guest, hears(Holder::Guest(guest))?)))
            .collect();
        let ours = hears(Holder::Editor);
        for (guest, body) in told {
            self.tell_guest(guest, body);
        }
        if let Some(shared) = shared {
            self.guests.texts.shared.insert(key, shared);
        }
        ours
    }

    fn publish_to(&mut self, server: usize, holder: Holder, body: Bytes) {
        match holder {
            Holder::Guest(guest) => self.tell_guest(guest, body),
            Holder::Editor => self.heed_of(server, body),
        }
    }

    /// What a server published of a document last, as it counts.
    pub(super) fn publication(&mut self, server: usize, uri: &str) -> Option<Bytes> {
        let diagnostics = self.diagnostics.published(server, uri)?;
        let params = json!({ "uri": uri, "diagnostics": diagnostics });
        let body = messages::notification("textDocument/publishDiagnostics", &params);
        Some(self.counted_for(server, body))
    }

    /// A text as somebody has it open at a server.
    fn held(&self, server: usize, holder: Holder, uri: &str) -> Option<&Document> {
        match holder {
            Holder::Editor => {
                let is_there = self.attached.of(uri).contains(&server);
                self.documents.get(uri).filter(|_| is_there)
            }
            Holder::Guest(guest) => self.guests.document(guest, uri),
        }
    }

    /// Who beside somebody has a text open at a server.
    fn other_holder(&self, server: usize, but: Holder, uri: &str) -> Option<(Holder, &Document)> {
        let guests = self.guests.of(server).into_iter().map(Holder::Guest);
        std::iter::once(Holder::Editor)
            .chain(guests)
            .filter(|holder| *holder != but)
            .find_map(|holder| Some((holder, self.held(server, holder, uri)?)))
    }
}

/// A publication for another version, or none.
fn with_version(body: &[u8], version: Option<i64>) -> Bytes {
    let mut message: Value = serde_json::from_slice(body).unwrap_or_default();
    let mut params = crate::text::json::take(&mut message, "params");
    match version {
        Some(version) => set(&mut params, "version", json!(version)),
        None => {
            if let Some(params) = params.as_object_mut() {
                params.remove("version");
            }
        }
    }
    messages::notification("textDocument/publishDiagnostics", &params)
}
