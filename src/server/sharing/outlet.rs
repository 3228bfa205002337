//! What a server says, for its guests and for our own editor (spec: Communication, shared servers).
//!
//! Answers go to whoever asked; requests that need one answer to whoever made the server ask, else to our editor; what
//! everybody should know goes to everybody, and of the answers to that only our editor's counts.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::texts::Holder;
use crate::downstream::wire::{Envelope, Kind, with_id};
use crate::server::messages;
use crate::server::peers::names::spliced;
use crate::server::peers::refresh;
use crate::server::questions::requests::Id;
use crate::server::session::Session;
use crate::text::json::text;

/// Progress displays of a server that a guest may know at the same time.
const DISPLAYS_MAX: usize = 1024;

#[derive(Deserialize)]
struct Under<'body> {
    #[serde(borrow)]
    token: &'body RawValue,
    #[serde(borrow, default)]
    value: Option<&'body RawValue>,
}

#[derive(Deserialize)]
struct Cancelled<'body> {
    #[serde(borrow)]
    id: &'body RawValue,
}

impl Session {
    /// Hands a message of a server to the guests whom it concerns; what our own editor gets of it.
    pub(in crate::server) fn share_out(
        &mut self,
        server: usize,
        envelope: &Envelope,
        body: Bytes,
    ) -> Option<Bytes> {
        match envelope.kind {
            Kind::Response => self.share_answer(server, envelope, body),
            Kind::Notification => self.share_notification(server, envelope.method(&body), &body),
            Kind::Request => self.share_request(server, envelope, body),
        }
    }

    fn share_answer(&mut self, server: usize, envelope: &Envelope, body: Bytes) -> Option<Bytes> {
        let id = Id::read(envelope.id(&body));
        let Some((guest, question)) = self.guests.answered(server, &id) else {
            let texts = &self.guests.texts;
            return Some(texts.as_known_to(server, Holder::Editor, body));
        };
        if let (Some(question), Some(range)) = (question, envelope.id.clone()) {
            let body = with_id(&body, range, &question.raw_id);
            let holder = Holder::Guest(guest);
            let body = self.guests.texts.as_known_to(server, holder, body);
            self.tell_guest(guest, body);
        }
        None
    }

    fn share_notification(&mut self, server: usize, method: &str, body: &Bytes) -> Option<Bytes> {
        match method {
            "textDocument/publishDiagnostics" => {
                return self.share_publication(server, body.clone());
            }
            "$/progress" => return self.share_progress(server, body),
            "$/cancelRequest" => {
                let id = messages::params::<Cancelled<'_>>(body)?.id.get();
                let id = Id::read(id.as_bytes());
                for guest in self.guests.of(server) {
                    let owes = self.guests.get_mut(guest)?.owes.contains_key(&id);
                    if owes {
                        self.tell_guest(guest, body.clone());
                        return None;
                    }
                }
            }
            "window/showMessage" => {
                if let Some(guest) = self.commander(server) {
                    self.tell_guest(guest, body.clone());
                    return None;
                }
            }
            "window/logMessage" | "$/logTrace" | "telemetry/event" => {}
            _ => self.tell_guests(server, body),
        }
        Some(body.clone())
    }

    fn share_progress(&mut self, server: usize, body: &Bytes) -> Option<Bytes> {
        let params = messages::params::<Under<'_>>(body)?;
        let token = params.token.get();
        if let Some((guest, own)) = self.guests.under_token(token) {
            if !own.is_empty() {
                self.tell_guest(guest, spliced(body, token, &own));
            }
            return None;
        }
        let value: Value = params
            .value
            .and_then(|value| serde_json::from_str(value.get()).ok())
            .unwrap_or_default();
        let is_end = text(&value, "/kind") == "end";
        for number in self.guests.of(server) {
            let Some(guest) = self.guests.get_mut(number) else {
                continue;
            };
            let knows = if is_end {
                guest.displays.remove(token)
            } else {
                guest.displays.contains(token)
            };
            if knows {
                self.tell_guest(number, body.clone());
            }
        }
        Some(body.clone())
    }

    fn share_request(&mut self, server: usize, envelope: &Envelope, body: Bytes) -> Option<Bytes> {
        let method = envelope.method(&body);
        match method {
            "client/registerCapability" | "client/unregisterCapability" => {
                self.tell_guests(server, &body);
            }
            "window/workDoneProgress/create" => {
                let token = messages::params::<Under<'_>>(&body)?.token.get().to_owned();
                for number in self.guests.ready(server) {
                    if let Some(guest) = self.guests.get_mut(number)
                        && guest.displays.len() < DISPLAYS_MAX
                    {
                        guest.displays.insert(token.clone());
                        self.tell_guest(number, body.clone());
                    }
                }
            }
            "workspace/applyEdit" | "window/showDocument" | "window/showMessageRequest" => {
                let is_edit = method == "workspace/applyEdit";
                let Some(number) = self.commander(server) else {
                    let texts = &self.guests.texts;
                    return Some(texts.as_known_to(server, Holder::Editor, body));
                };
                let raw_id = Bytes::copy_from_slice(envelope.id(&body));
                let guest = self.guests.get_mut(number)?;
                guest.owes.insert(Id::read(&raw_id), (raw_id, is_edit));
                let holder = Holder::Guest(number);
                let body = self.guests.texts.as_known_to(server, holder, body);
                self.tell_guest(number, body);
                return None;
            }
            _ if refresh::kind_of(method).is_some() => self.tell_guests(server, &body),
            _ => {}
        }
        Some(body)
    }

    fn tell_guests(&mut self, server: usize, body: &Bytes) {
        for number in self.guests.ready(server) {
            self.tell_guest(number, body.clone());
        }
    }
}
