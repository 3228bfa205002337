//! Servers that report after the editor had its answer (spec: LSP Manager, diagnostics).
//!
//! A question about diagnostics is answered with what came in time. Who had not answered by then is not told to stop: a
//! slow server would never be heard, and some hold a question about the workspace open until they find something. What
//! they say goes on the board, and the editor is asked to ask again when it is news.

use std::time::Instant;

use bytes::Bytes;

use super::findings::ASK;
use crate::downstream::diagnostics::Tell;
use crate::downstream::merge::Answer;
use crate::downstream::protocol::{Combine, Method};
use crate::server::from_editor::Message;
use crate::server::messages;
use crate::server::questions::ask;
use crate::server::questions::fan;
use crate::server::questions::requests::{FromEditor, Id, Then};
use crate::server::session::Session;

/// The method by which a server is asked about all documents.
const ASK_ALL: &str = "workspace/diagnostic";

/// Questions whose answers are still waited for; who would be one more is told to stop.
const LATE_MAX: usize = 1000;

/// A question of the editor that was answered without one of its servers.
#[derive(Debug)]
struct Late {
    server: usize,
    /// The id under which the server knows it.
    sent_id: Bytes,
    /// The document that it is about; `None`: all of them.
    uri: Option<String>,
    since: Instant,
    /// Whether the editor has asked the same since.
    is_asked_again: bool,
}

/// The questions that servers are still at.
#[derive(Debug, Default)]
pub(in crate::server) struct LateReports {
    waiting: Vec<Late>,
}

impl LateReports {
    /// Forgets a server, which will not answer.
    pub(in crate::server) fn forget_server(&mut self, server: usize) {
        self.waiting.retain(|late| late.server != server);
    }

    /// Forgets what a server, or with `None` everybody, was asked about a document.
    pub(in crate::server) fn forget(&mut self, server: Option<usize>, uri: &str) {
        self.waiting.retain(|late| {
            late.uri.as_deref() != Some(uri) || server.is_some_and(|server| server != late.server)
        });
    }

    /// Whether an answer of a server is waited for.
    pub(in crate::server) fn has(&self, server: usize, id: &Id) -> bool {
        self.place(server, id).is_some()
    }

    fn place(&self, server: usize, id: &Id) -> Option<usize> {
        let is_it = |late: &Late| late.server == server && Id::read(&late.sent_id) == *id;
        self.waiting.iter().position(is_it)
    }

    fn take(&mut self, server: usize, id: &Id) -> Option<Late> {
        self.place(server, id)
            .map(|place| self.waiting.swap_remove(place))
    }
}

impl Session {
    /// The editor asks several servers for the diagnostics of all documents.
    pub(in crate::server) fn pull_workspace(
        &mut self,
        method: &'static Method,
        servers: &[usize],
        message: Message,
    ) {
        let servers = self.without_busy(servers.to_vec(), None);
        if servers.is_empty() {
            return self.tell(messages::raw_answer(&message.raw_id, r#"{"items":[]}"#));
        }
        self.fan_out(method, &servers, message, Then::Forward);
    }

    /// The servers that are asked for diagnostics now: not who is still at the same question about the same text. Where the
    /// text has changed since, the older question is given up.
    pub(in crate::server) fn without_busy(
        &mut self,
        mut servers: Vec<usize>,
        uri: Option<&str>,
    ) -> Vec<usize> {
        let changed = uri.and_then(|uri| self.documents.get(uri)?.changed);
        let mut given_up = Vec::new();
        self.diagnostics.late.waiting.retain_mut(|late| {
            if late.uri.as_deref() != uri || !servers.contains(&late.server) {
                return true;
            }
            let is_outdated = changed.is_some_and(|changed| changed > late.since);
            if is_outdated {
                given_up.push((late.sent_id.clone(), late.server));
            } else {
                late.is_asked_again = true;
                servers.retain(|server| *server != late.server);
            }
            !is_outdated
        });
        for (sent_id, server) in given_up {
            self.call_off(&sent_id, vec![server]);
        }
        servers
    }

    /// The editor gets its answer: what these servers say of it later is waited for, unless the text is another one
    /// already.
    pub(in crate::server) fn await_reports(
        &mut self,
        method: &Method,
        request: &FromEditor,
        servers: Vec<usize>,
    ) {
        let is_of_document = method.combine == Combine::Diagnostics;
        let uri = ask::document_of(&request.body, method.name).filter(|_| is_of_document);
        let document = uri.as_deref().and_then(|uri| self.documents.get(uri));
        let changed = document.and_then(|document| document.changed);
        let is_outdated = changed.is_some_and(|changed| changed > request.since);
        let sent_id = request.sent_id();
        for server in servers {
            let all = &mut self.diagnostics.late.waiting;
            let same = all
                .iter_mut()
                .find(|late| late.server == server && late.uri == uri);
            let is_known = same.map(|late| late.is_asked_again = true).is_some();
            if is_outdated || is_known || all.len() >= LATE_MAX {
                self.call_off(&sent_id, vec![server]);
                continue;
            }
            all.push(Late {
                server,
                sent_id: sent_id.clone(),
                uri: uri.clone(),
                since: request.since,
                is_asked_again: false,
            });
        }
    }

    /// A server answered a question that the editor has an answer to. `false`: it is no such answer.
    pub(in crate::server) fn reported_late(
        &mut self,
        server: usize,
        id: &Id,
        body: &Bytes,
    ) -> bool {
        let Some(late) = self.diagnostics.late.take(server, id) else {
            return false;
        };
        let uri = late.uri.as_deref();
        let method = if uri.is_some() { ASK } else { ASK_ALL };
        let body = self.counted_report(server, method, uri, body);
        let Some(behind) = self.servers.get(server) else {
            return true;
        };
        let answer = Answer {
            server,
            generation: behind.generation,
            name: &behind.spec.name,
            said: fan::said_in(&body),
        };
        let is_news = self.diagnostics.board.late(&answer, uri);
        // Who was left out because it was busy may know more by now. Of the workspace editors ask again by themselves.
        if is_news || late.is_asked_again && uri.is_some() {
            self.tell_findings([Tell::Refresh]);
        }
        true
    }
}
