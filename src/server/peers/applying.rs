//! Edits that servers ask the editor to make, one at a time (spec: LSP Integration, workspace edits).
//!
//! Two edits that an editor makes at the same time are made to texts that neither was computed for. So the next one goes
//! to the editor when the one before was answered, and one for a text that has changed since is refused.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::names::spliced;
use crate::server::messages::{self, Failure};
use crate::server::profile::Editor;
use crate::server::questions::requests::{Back, Id};
use crate::server::session::Session;
use crate::text::json::{at, list, text};

/// Edits that may wait for the one before.
const EDITS_MAX: usize = 64;

/// Time that an editor may take for one edit before the next one goes ahead.
const PATIENCE: Duration = Duration::from_secs(60);

/// The edits that wait, and the one that the editor has.
#[derive(Debug, Default)]
pub(in crate::server) struct Applying {
    waiting: VecDeque<Edit>,
    current: Option<Current>,
}

#[derive(Debug)]
struct Edit {
    server: usize,
    raw_id: Bytes,
    body: Bytes,
}

#[derive(Debug)]
struct Current {
    server: usize,
    since: Instant,
}

impl Applying {
    /// When the editor has taken too long for an edit that others wait for.
    pub(in crate::server) fn deadline(&self) -> Option<Instant> {
        let current = self.current.as_ref().filter(|_| !self.waiting.is_empty())?;
        Some(current.since + PATIENCE)
    }
}

impl Session {
    /// A server asks for an edit.
    pub(in crate::server) fn edit_asked(&mut self, server: usize, raw_id: Bytes, body: Bytes) {
        if !self.profile.apply_edit {
            return self.refuse_edit(server, &raw_id, "the editor applies no edits", None);
        }
        if self.applying.waiting.len() >= EDITS_MAX {
            return self.refuse_edit(server, &raw_id, "too many edits wait already", None);
        }
        let edit = Edit {
            server,
            raw_id,
            body,
        };
        self.applying.waiting.push_back(edit);
        self.apply_next();
    }

    /// The editor answered an edit of a server.
    pub(in crate::server) fn edit_of_server_answered(&mut self) {
        self.applying.current = None;
        self.apply_next();
    }

    /// A server is gone, and its edits with it.
    pub(in crate::server) fn forget_edits_of(&mut self, server: usize) {
        self.applying.waiting.retain(|edit| edit.server != server);
        let current = &mut self.applying.current;
        current.take_if(|current| current.server == server);
        self.apply_next();
    }

    /// A server takes back an edit that waits. `false`: no such edit waits.
    pub(in crate::server) fn take_back_edit(&mut self, server: usize, id: &Id) -> bool {
        let is_it = |edit: &Edit| edit.server == server && Id::read(&edit.raw_id) == *id;
        let found = self.applying.waiting.iter().position(is_it);
        let Some(edit) = found.and_then(|found| self.applying.waiting.remove(found)) else {
            return false;
        };
        let text = "cancelled before the editor got it";
        self.send(
            server,
            messages::failure(&edit.raw_id, Failure::Cancelled, text),
        );
        true
    }

    pub(in crate::server) fn applying_tick(&mut self, now: Instant) {
        if self
            .applying
            .deadline()
            .is_some_and(|deadline| deadline <= now)
        {
            self.applying.current = None;
            self.apply_next();
        }
    }

    fn apply_next(&mut self) {
        while self.applying.current.is_none() {
            let Some(edit) = self.applying.waiting.pop_front() else {
                return;
            };
            if let Some((index, uri)) = self.stale_part(&edit.body) {
                let reason = format!("{uri} has changed since the edit was computed");
                self.refuse_edit(edit.server, &edit.raw_id, &reason, Some(index));
                continue;
            }
            self.applying.current = Some(Current {
                server: edit.server,
                since: Instant::now(),
            });
            let body = self.labelled(edit.server, &edit.body);
            self.forward_request(edit.server, edit.raw_id, &body, Back::Applied);
        }
    }

    fn refuse_edit(&mut self, server: usize, raw_id: &[u8], reason: &str, part: Option<usize>) {
        let mut answer = json!({ "applied": false, "failureReason": reason });
        if let Some(part) = part {
            crate::text::json::set(&mut answer, "failedChange", json!(part));
        }
        self.send(server, messages::answer(raw_id, &answer));
    }

    /// The first part of an edit that is for an older text than the editor has, and that text's name.
    fn stale_part(&self, body: &[u8]) -> Option<(usize, String)> {
        if self.profile.editor == Editor::Zed {
            // It moves edits of older texts to where they belong now.
            return None;
        }
        let params: Value = messages::params(body).unwrap_or_default();
        let parts = list(&params, "/edit/documentChanges").iter();
        parts.enumerate().find_map(|(index, part)| {
            let uri = text(part, "/textDocument/uri");
            let version = at(part, "/textDocument/version").as_i64()?;
            let document = self.documents.get(uri)?;
            (version < document.version).then(|| (index, uri.to_owned()))
        })
    }

    /// With several servers, an edit whose label says whose it is.
    fn labelled(&self, server: usize, body: &Bytes) -> Bytes {
        #[derive(Deserialize)]
        struct Params<'body> {
            #[serde(borrow, default)]
            label: Option<&'body RawValue>,
            #[serde(borrow)]
            edit: &'body RawValue,
        }
        let Some(params) = messages::params::<Params<'_>>(body) else {
            return body.clone();
        };
        if self.servers.len() < 2 {
            return body.clone();
        }
        let name = self.name_of(server);
        let label: Option<String> = params
            .label
            .and_then(|label| serde_json::from_str(label.get()).ok());
        match (params.label, label) {
            (Some(raw), Some(label)) => spliced(
                body,
                raw.get(),
                &json!(format!("{name}: {label}")).to_string(),
            ),
            (Some(raw), None) => spliced(body, raw.get(), &json!(name).to_string()),
            (None, _) => {
                let edit = params.edit.get();
                spliced(body, edit, &format!("{edit},\"label\":{}", json!(name)))
            }
        }
    }

    /// With several servers, a message that says whose it is.
    pub(in crate::server) fn tagged(&self, server: usize, body: Bytes) -> Bytes {
        #[derive(Deserialize)]
        struct Params<'body> {
            #[serde(borrow)]
            message: &'body RawValue,
        }
        if self.servers.len() < 2 {
            return body;
        }
        let Some(params) = messages::params::<Params<'_>>(&body) else {
            return body;
        };
        let raw = params.message.get();
        match serde_json::from_str::<String>(raw) {
            Ok(message) => {
                let tagged = format!("{}: {message}", self.name_of(server));
                spliced(&body, raw, &json!(tagged).to_string())
            }
            Err(_) => body,
        }
    }
}
