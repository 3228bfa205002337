//! What the servers say (spec: LSP Integration, message flow).

use std::time::Instant;

use bytes::Bytes;
use serde_json::{Value, json};

use super::life::Stage;
use super::messages::{self, Loudness};
use super::peers::behind::Behind;
use super::peers::refresh;
use super::peers::tokens::Step;
use super::questions::requests::{Back, Id, ToEditor};
use super::session::Session;
use crate::downstream::connection::Incoming;
use crate::downstream::recorder::recording::Way;
use crate::downstream::wire::{Envelope, Kind, split_batch, with_id};
use crate::text::json::{at, text};

impl Session {
    pub(super) fn server_event(&mut self, server: usize, attempt: u32, incoming: Incoming) {
        let current = self.servers.get_mut(server);
        let Some(behind) = current.filter(|server| server.attempt == attempt) else {
            return;
        };
        behind.heard = Instant::now();
        behind.holder_alive = (behind.heard, None);
        match incoming {
            Incoming::Message(body) => {
                behind.recorder.note(Way::FromServer, &body);
                self.server_message(server, body);
            }
            Incoming::Large(large) => self.large_message(server, large),
            Incoming::Flowed(whole) => self.flowed(server, whole),
            Incoming::Garbage(text) => {
                let name = self.name_of(server);
                let text =
                    format!("{name} wrote something that is no message to its output: {text}");
                self.tell(messages::log(Loudness::Warning, &text));
            }
            Incoming::Closed(reason) => self.server_closed(server, &reason),
        }
    }

    /// One message of a server.
    pub(super) fn server_message(&mut self, server: usize, body: Bytes) {
        let Some(envelope) = Envelope::peek(&body) else {
            // A batch holds messages, not batches.
            for part in split_batch(&body).unwrap_or_else(|| vec![body]) {
                if Envelope::peek(&part).is_some() {
                    self.server_message(server, part);
                } else {
                    self.blame(server);
                }
            }
            return;
        };
        let behind = self.servers.get(server);
        if behind.is_some_and(Behind::is_starting) && envelope.kind == Kind::Response {
            return self.server_initialized(server, &body);
        }
        if behind.is_some_and(|behind| behind.holder().is_some())
            && self.is_holders_own(server, envelope.method(&body), &body)
        {
            return;
        }
        if let Stage::Starting(starting) = &mut self.stage {
            starting.held.push((server, body));
            return;
        }
        if envelope.kind != Kind::Response && !says_nothing(envelope.method(&body)) {
            self.nothing_holds();
        }
        if self.guests.is_idle() {
            return self.turned(server, envelope, body);
        }
        if let Some(body) = self.share_out(server, &envelope, body) {
            self.heed_of(server, body);
        }
    }

    /// A message of a server, as far as it is for our own editor.
    pub(super) fn heed_of(&mut self, server: usize, body: Bytes) {
        if let Some(envelope) = Envelope::peek(&body) {
            self.turned(server, envelope, body);
        }
    }

    fn turned(&mut self, server: usize, envelope: Envelope, body: Bytes) {
        match self.turn_to(server) {
            None => self.heed(server, envelope, body),
            Some(turn) => {
                let body = self.counted_from(server, &envelope, body, turn.back());
                // What was counted anew may have moved the id.
                if let Some(envelope) = Envelope::peek(&body) {
                    self.heed(server, envelope, body);
                }
            }
        }
    }

    /// Says, once for each server, that it sends what nobody can read.
    fn blame(&mut self, server: usize) {
        let behind = self.servers.get_mut(server);
        if behind.is_some_and(|behind| !std::mem::replace(&mut behind.is_blamed, true)) {
            let text = format!("{} sent a message that is not JSON", self.name_of(server));
            self.tell(messages::log(Loudness::Warning, &text));
        }
    }

    fn heed(&mut self, server: usize, envelope: Envelope, body: Bytes) {
        match envelope.kind {
            Kind::Response => self.server_answer(server, &envelope, body),
            Kind::Request => self.server_request(server, envelope, body),
            Kind::Notification => self.server_notification(server, &envelope, body),
        }
    }

    fn server_initialized(&mut self, server: usize, body: &Bytes) {
        let mut message: Value = serde_json::from_slice(body).unwrap_or_default();
        if at(&message, "/result").is_object() {
            let answer = crate::text::json::take(&mut message, "result");
            self.keep_answer(body);
            self.server_works(server, answer);
        } else {
            let said = text(&message, "/error/message");
            let reason = format!("{} refused to start: {said}", self.name_of(server));
            let has_alternative = self
                .servers
                .get(server)
                .is_some_and(Behind::has_alternative);
            if has_alternative {
                return self.server_closed(server, &reason);
            }
            self.server_gone(server, &reason);
        }
        self.try_answer(Instant::now());
    }

    fn server_request(&mut self, server: usize, envelope: Envelope, body: Bytes) {
        let Some(range) = envelope.id.clone() else {
            return;
        };
        let raw_id = body.slice(range.clone());
        let method = envelope.method(&body);
        if let Some(kind) = refresh::kind_of(method)
            && is_about_everything(&body)
        {
            self.send(server, messages::answer(&raw_id, &Value::Null));
            if kind != "diagnostic" || !self.ask_again(server) {
                self.refresh(kind);
            }
            return;
        }
        match method {
            "client/registerCapability" => self.registers(server, raw_id, &body),
            "client/unregisterCapability" => self.unregisters(server, &raw_id, &body),
            "workspace/configuration" => self.settings_asked(server, raw_id, &body),
            "workspace/applyEdit" => self.edit_asked(server, raw_id, body),
            "workspace/workspaceFolders" => match self.own_folders(server) {
                Some(folders) => self.send(server, messages::answer(&raw_id, &folders)),
                None => self.forward_request(server, raw_id, &body, Back::AsItCame),
            },
            "window/workDoneProgress/create" => {
                let body = self.token_made(server, &body);
                self.forward_request(server, raw_id, &body, Back::AsItCame);
            }
            "window/showMessageRequest" => {
                let body = self.tagged(server, body);
                self.forward_request(server, raw_id, &body, Back::AsItCame);
            }
            _ => self.forward_request(server, raw_id, &body, Back::AsItCame),
        }
    }

    /// Hands a server's request on under an id of ours.
    pub(super) fn forward_request(
        &mut self,
        server: usize,
        raw_id: Bytes,
        body: &Bytes,
        back: Back,
    ) {
        let id = Envelope::peek(body).and_then(|envelope| envelope.id);
        let Some(range) = id else { return };
        let id = self.requests.ask_editor(ToEditor::Forwarded {
            server,
            raw_id,
            back,
        });
        self.tell(with_id(body, range, format!("\"{id}\"").as_bytes()));
    }

    fn server_notification(&mut self, server: usize, envelope: &Envelope, body: Bytes) {
        match envelope.method(&body) {
            "textDocument/publishDiagnostics" => self.published(server, body),
            "$/progress" => match self.progress_of(server, body) {
                Some((Step::Report, body)) => self.tell_if_room(body),
                Some((Step::Begin | Step::End | Step::Part, body)) => self.tell(body),
                None => {}
            },
            "$/cancelRequest" => self.server_cancels(server, &body),
            "window/showMessage" => {
                let body = self.tagged(server, body);
                self.tell(body);
            }
            "window/logMessage" | "$/logTrace" => {
                let body = self.tagged(server, body);
                self.tell_if_room(body);
            }
            "telemetry/event" if !self.config.lsp.telemetry => {}
            "telemetry/event" => self.tell_if_room(body),
            "experimental/serverStatus" => {
                if let Some(behind) = self.servers.get_mut(server) {
                    behind.status = Some(body.clone());
                }
                self.tell(body);
            }
            _ => self.tell(body),
        }
    }

    /// A server gives up a request that it made: the editor knows it under our id.
    fn server_cancels(&mut self, server: usize, body: &Bytes) {
        let Some(id) = Id::given_up(body) else {
            return;
        };
        if self.take_back_edit(server, &id) {
            return;
        }
        if let Some(ours) = self.requests.forwarded_as(server, &id) {
            let params = json!({ "id": ours });
            self.tell(messages::notification("$/cancelRequest", &params));
        }
    }

    pub(super) fn name_of(&self, server: usize) -> String {
        self.servers
            .get(server)
            .map(Behind::title)
            .unwrap_or_default()
    }
}

/// Whether a message of a server cannot mean that its answers are different now.
fn says_nothing(method: &str) -> bool {
    matches!(
        method,
        "window/logMessage" | "$/logTrace" | "telemetry/event" | "workspace/configuration"
    )
}

/// Whether a request to ask again names nothing that it is about.
fn is_about_everything(body: &[u8]) -> bool {
    let params: Value = messages::params(body).unwrap_or_default();
    at(&params, "/uri").is_null()
}
