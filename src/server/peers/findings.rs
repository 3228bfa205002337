//! Diagnostics between several servers and the editor (spec: LSP Manager, diagnostics).
//!
//! With one server everything passes as it came and is only noted. With several, the editor hears of a document what all
//! of them say, in the way that was chosen when it was greeted; when it does not ask and a server wants to be asked, we
//! ask.

use std::time::Instant;

use bytes::Bytes;
use serde_json::Value;
use serde_json::value::RawValue;

use super::behind::Behind;
use super::diagnostics::Diagnostics;
use super::diagnostics::Soon;
use super::roots;
use crate::config::SameProblems;
use crate::downstream::capabilities::Choice;
use crate::downstream::diagnostics::model::{Reader, model};
use crate::downstream::diagnostics::{Board, Look, Model, Origin, Tell};
use crate::downstream::merge::Answer;
use crate::downstream::protocol::{Combine, Method};
use crate::downstream::tagged::Tag;
use crate::server::from_editor::Message;
use crate::server::messages;
use crate::server::questions::ask;
use crate::server::questions::requests::Then;
use crate::server::session::Session;
use crate::text::json::{at, is_true};

/// The method by which a server is asked.
pub(super) const ASK: &str = "textDocument/diagnostic";

/// The notification by which a server tells by itself.
pub(in crate::server) const TOLD: &str = "textDocument/publishDiagnostics";

impl Session {
    /// Decides how diagnostics reach the editor, and says what it is told of that. `announced` are the answers of the
    /// servers to `initialize`.
    pub(in crate::server) fn choose_model(&mut self, announced: &[Value]) -> Choice {
        let reader = Reader::of(at(&self.greeting, "/capabilities"));
        let can_be_asked: Vec<bool> = announced
            .iter()
            .map(|answer| {
                let provider = at(answer, "/capabilities/diagnosticProvider");
                !matches!(provider, Value::Null | Value::Bool(false))
            })
            .collect();
        // What one server announces is announced: an editor that can ask it does.
        let model = match can_be_asked.as_slice() {
            [true] if reader.pulls => Model::Pull,
            all => model(reader, all),
        };
        let look = Look {
            names: true,
            tags: true,
            fuses: self.config.lsp.same_problems == SameProblems::Once,
        };
        self.diagnostics = Diagnostics::new(
            Board::new(model, reader, look),
            model == Model::Push && reader.pulls,
        );
        Choice {
            model: (announced.len() > 1).then_some(model),
            ..Choice::default()
        }
    }

    /// Whether what the servers say is joined.
    pub(in crate::server) fn joins(&self) -> bool {
        self.servers.len() > 1
    }

    /// A server published diagnostics.
    pub(in crate::server) fn published(&mut self, server: usize, mut body: Bytes) {
        let behind = self.servers.get(server);
        if behind.is_some_and(|behind| !behind.spec.takes_part(TOLD)) {
            return;
        }
        let joins = self.joins();
        // What we say of our own files is told with it.
        let settings = self.settings_in(&body).filter(|_| !joins);
        if joins {
            body = messages::joinable(body);
        } else if settings.is_none() {
            self.tell(body.clone());
        }
        let uri = messages::params::<&RawValue>(&body)
            .and_then(|params| crate::text::raw::field(params.get(), "uri"))
            .and_then(crate::text::raw::string);
        let current = uri
            .and_then(|uri| self.documents.get(&uri))
            .map(|document| document.version)
            .filter(|_| joins);
        let Some(origin) = origin(&self.servers, server) else {
            return;
        };
        let told = self.diagnostics.publish(origin, &body, current);
        if joins {
            self.tell_findings(told);
        } else if let Some(uri) = settings {
            self.tell_settings(&uri, told);
        }
    }

    /// Tells the editor what changed.
    pub(in crate::server) fn tell_findings(&mut self, changed: impl IntoIterator<Item = Tell>) {
        for tell in changed {
            let body = match tell {
                Tell::Publish(uri) => {
                    let document = self.documents.get(&uri);
                    let version = document.map(|document| document.version);
                    let params = self.diagnostics.board.publication(&uri, version);
                    messages::with_params(b"", "textDocument/publishDiagnostics", &params)
                }
                Tell::Refresh => {
                    self.refresh("diagnostic");
                    continue;
                }
            };
            self.tell(body);
        }
    }

    /// A server registers that it can be asked. Says whether the editor hears of it: with several servers it already asks,
    /// or we do.
    pub(in crate::server) fn may_register(&mut self, method: &str) -> bool {
        if method == roots::CHANGED {
            // We have announced that we want to hear of it: an editor would tell us twice.
            return !self.is_agent();
        }
        if method != ASK {
            return true;
        }
        let alone = !self.joins();
        if alone {
            self.diagnostics.editor_asks();
        }
        alone
    }

    /// A document was opened.
    pub(in crate::server) fn note_opened(&mut self, uri: &str) {
        if self.joins() {
            let told = self.diagnostics.board.opened(uri);
            self.tell_findings(told);
            self.note_text(uri);
        }
    }

    /// A document was closed.
    pub(in crate::server) fn note_closed(&mut self, uri: &str) {
        let told = self.diagnostics.closed(uri);
        if self.joins() {
            self.tell_findings(told);
        }
    }

    /// The only server answered the editor, which asked for the diagnostics of a document.
    pub(in crate::server) fn note_report(&mut self, server: usize, uri: &str, body: &Bytes) {
        if let Some(origin) = origin(&self.servers, server) {
            // The editor has the answer: there is nothing to tell.
            let _ = self.diagnostics.pull(origin, uri, body);
        }
    }

    /// The editor asks for the diagnostics of a document.
    pub(in crate::server) fn pull(&mut self, method: &'static Method, message: Message) {
        let uri = ask::document_of(&message.body, method.name).unwrap_or_default();
        if !self.joins() {
            return self.pass_on(method.name, message, Then::NoteDiagnostics(uri));
        }
        let servers = self.takers_of_document(method.name, &uri);
        let servers = self.without_busy(servers, Some(&uri));
        if servers.is_empty() {
            let params = messages::params(&message.body).unwrap_or_default();
            let answered = self.diagnostics.board.answer(&params, &[]);
            let result = answered.answer.unwrap_or_else(|_| "null".to_owned());
            return self.tell(messages::raw_answer(&message.raw_id, &result));
        }
        self.fan_out(method, &servers, message, Then::Forward);
    }

    /// A request as one of several servers gets it: with what is its own of ids and diagnostics.
    pub(in crate::server) fn body_for(
        &self,
        server: usize,
        method: &Method,
        body: &Bytes,
    ) -> Bytes {
        let is_own = match method.combine {
            Combine::Actions | Combine::Diagnostics | Combine::WorkspaceDiagnostics => true,
            Combine::First
            | Combine::Concatenate
            | Combine::Locations
            | Combine::Completion
            | Combine::Hover
            | Combine::Edits => false,
        };
        let params = messages::params::<&RawValue>(body).filter(|_| is_own && self.joins());
        let (Some(params), Some(behind)) = (params, self.servers.get(server)) else {
            return body.clone();
        };
        let tag = Tag {
            server,
            generation: behind.generation,
            document: None,
        };
        let board = &self.diagnostics.board;
        let params = match method.combine {
            Combine::Diagnostics => board.ask(tag, params.get(), self.identifier(server)),
            Combine::WorkspaceDiagnostics => {
                board.ask_workspace(tag, params.get(), self.identifier(server))
            }
            _ => board.context_for(tag, params.get()),
        };
        let id: Option<&RawValue> = messages::id(body);
        let raw_id = id.map_or(&b""[..], |id| id.get().as_bytes());
        messages::with_params(raw_id, method.name, &params)
    }

    /// The answer to a request for diagnostics that several servers had; `None` when it was for something else.
    pub(in crate::server) fn joined_report(
        &mut self,
        raw_id: &[u8],
        how: Combine,
        body: &Bytes,
        answers: &[Answer<'_>],
    ) -> Option<Bytes> {
        let params: &RawValue = messages::params(body)?;
        let board = &mut self.diagnostics.board;
        let answered = match how {
            Combine::Diagnostics => {
                board.answer(&serde_json::from_str(params.get()).ok()?, answers)
            }
            Combine::WorkspaceDiagnostics => board.answer_workspace(params.get(), answers),
            _ => return None,
        };
        let again = answered.retrigger && answered.answer.is_ok();
        let body = match answered.answer {
            Ok(result) => messages::raw_answer(raw_id, &result),
            Err(Some(error)) => messages::raw_failure(raw_id, serde_json::from_str(&error).ok()?),
            Err(None) => return None,
        };
        if again {
            self.tell_findings([Tell::Refresh]);
        }
        Some(body)
    }

    /// The text of a document is another one: those who want to be asked are asked soon.
    pub(in crate::server) fn note_text(&mut self, uri: &str) {
        if !self.diagnostics.asks || !self.joins() {
            return;
        }
        let now = Instant::now();
        for server in self.attached.of(uri).to_vec() {
            if !self.takes(server, ASK, Some(uri)) {
                continue;
            }
            self.diagnostics.ask(server, uri, Soon::Rested, now);
            let depends = self.servers.get(server).is_some_and(|behind| {
                let path = "/capabilities/diagnosticProvider/interFileDependencies";
                is_true(&behind.answer, path)
            });
            if depends {
                self.ask_about_all(server, Soon::Later);
            }
        }
    }

    /// A server wants to be asked again about all its documents, or can be asked from now on. `false`: by the editor.
    pub(in crate::server) fn ask_again(&mut self, server: usize) -> bool {
        let asks = self.diagnostics.asks && self.joins();
        if asks && self.takes(server, ASK, None) {
            self.ask_about_all(server, Soon::Rested);
        }
        asks
    }

    fn ask_about_all(&mut self, server: usize, soon: Soon) {
        let now = Instant::now();
        for document in self.documents.iter() {
            if self.attached.of(&document.uri).contains(&server) {
                self.diagnostics.ask(server, &document.uri, soon, now);
            }
        }
    }

    /// The name under which a server knows its diagnostics.
    fn identifier(&self, server: usize) -> Option<&str> {
        let behind = self.servers.get(server)?;
        let announced = at(
            &behind.answer,
            "/capabilities/diagnosticProvider/identifier",
        );
        let registered = || {
            at(
                self.registrations.options(server, ASK, None)?,
                "/identifier",
            )
            .as_str()
        };
        announced.as_str().or_else(registered)
    }

    /// Asks the servers whose documents have rested.
    pub(in crate::server) fn findings_tick(&mut self, now: Instant) {
        for (server, uri) in self.diagnostics.take_due(now) {
            let Some(behind) = self
                .servers
                .get(server)
                .filter(|_| self.takes(server, ASK, Some(&uri)))
            else {
                continue;
            };
            let tag = Tag {
                server,
                generation: behind.generation,
                document: None,
            };
            let board = &self.diagnostics.board;
            let params = board.question(tag, &uri, self.identifier(server));
            let id = self.requests.own_id();
            let raw_id = format!("\"{id}\"");
            if let Some(before) = self.diagnostics.asked(id, server, uri) {
                let params = serde_json::json!({ "id": before });
                self.send(server, messages::notification("$/cancelRequest", &params));
            }
            self.send(
                server,
                messages::with_params(raw_id.as_bytes(), ASK, &params),
            );
        }
    }

    /// A server answered what we asked. `false`: it is no answer of that kind.
    pub(in crate::server) fn question_answered(
        &mut self,
        server: usize,
        id: &str,
        body: &Bytes,
    ) -> bool {
        let Some(uri) = self.diagnostics.answered(server, id) else {
            return false;
        };
        let error = messages::response(body).and_then(|response| response.error);
        let error: Option<Value> = error.and_then(|error| serde_json::from_str(error.get()).ok());
        match error {
            None => {
                let body = &self.counted_report(server, ASK, Some(&uri), body);
                if let Some(origin) = origin(&self.servers, server) {
                    let told = self.diagnostics.pull(origin, &uri, body);
                    self.tell_findings(told);
                }
            }
            Some(error) => {
                let asks_again = at(&error, "/data/retriggerRequest").as_bool() != Some(false);
                let is_busy = matches!(at(&error, "/code").as_i64(), Some(-32802 | -32801));
                if is_busy && asks_again {
                    self.diagnostics
                        .ask(server, &uri, Soon::Later, Instant::now());
                }
            }
        }
        true
    }
}

fn origin(servers: &[Behind], server: usize) -> Option<Origin<'_>> {
    servers.get(server).map(|behind| Origin {
        server,
        generation: behind.generation,
        name: &behind.spec.name,
    })
}
