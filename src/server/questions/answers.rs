//! What becomes of the servers' answers (spec: LSP Manager, merging).
//!
//! The answer of a server that is alone is handed on as it came. With several, items that come back later are tagged
//! with their server, and what says whose a command or an address is, is remembered.

use std::collections::HashMap;
use std::time::Instant;

use bytes::Bytes;
use memchr::memmem;

use super::fan::Step;
use super::requests::{Asked, FromEditor, Heard, Id, Then};
use crate::downstream::merge::{self, Part, Taste};
use crate::downstream::protocol::{self, Combine, Method, Scope};
use crate::downstream::wire::Envelope;
use crate::server::messages;
use crate::server::session::Session;
use crate::text::json::at;

/// Commands and schemes that are remembered.
const TRACES_MAX: usize = 10_000;

/// Which server said what, where a later message does not tell whom it is for.
#[derive(Debug, Default)]
pub(in crate::server) struct Traces {
    commands: HashMap<String, usize>,
    schemes: HashMap<String, usize>,
}

impl Traces {
    /// The server that offered a command.
    pub(in crate::server) fn command(&self, command: &str) -> Option<usize> {
        self.commands.get(command).copied()
    }

    /// The server that made up the scheme of an address, such as `jdt:`.
    pub(in crate::server) fn scheme(&self, uri: &str) -> Option<usize> {
        let (scheme, _) = uri.split_once(':')?;
        self.schemes.get(scheme).copied()
    }

    /// Remembers what an answer of a server offers and addresses.
    fn note(&mut self, server: usize, body: &[u8]) {
        for command in strings_after(body, b"\"command\"") {
            if self.commands.len() < TRACES_MAX && !command.is_empty() {
                self.commands.insert(command.to_owned(), server);
            }
        }
        for key in [&b"\"uri\""[..], b"\"targetUri\""] {
            for uri in strings_after(body, key) {
                let Some((scheme, _)) = uri.split_once(':') else {
                    continue;
                };
                let is_special = !matches!(scheme, "file" | "untitled" | "http" | "https");
                if is_special && self.schemes.len() < TRACES_MAX {
                    self.schemes.insert(scheme.to_owned(), server);
                }
            }
        }
    }
}

/// The string values of a key, wherever it stands. Those with escapes are left out.
fn strings_after<'body>(
    body: &'body [u8],
    key: &'body [u8],
) -> impl Iterator<Item = &'body str> + use<'body> {
    memmem::find_iter(body, key).filter_map(move |at| {
        let rest = body.get(at + key.len()..)?.trim_ascii_start();
        let rest = rest.strip_prefix(b":")?.trim_ascii_start();
        let rest = rest.strip_prefix(b"\"")?;
        let end = memchr::memchr2(b'"', b'\\', rest)?;
        let is_plain = rest.get(end) == Some(&b'"');
        let text = std::str::from_utf8(rest.get(..end)?).ok()?;
        is_plain.then_some(text)
    })
}

impl Session {
    pub(in crate::server) fn server_answer(
        &mut self,
        server: usize,
        envelope: &Envelope,
        body: Bytes,
    ) {
        let id = Id::read(envelope.id(&body));
        match self.requests.heard(server, &id, &body, Instant::now()) {
            Heard::Answer(request) => {
                self.time(server, &request);
                if let Then::NoteDiagnostics(uri) = &request.then {
                    self.note_report(server, uri, &body);
                }
                let body = self.looked_over(server, &request, body);
                self.deliver_to_all(request, body);
            }
            Heard::Part(step) => {
                self.time_part(server, &id);
                self.traces.note(server, &body);
                self.take_step(id, step);
            }
            Heard::Nothing => {
                if !self.reported_late(server, &id, &body)
                    && let Id::Text(id) = &id
                    && !self.question_answered(server, id, &body)
                {
                    self.note_shut_down(server, id);
                }
            }
        }
    }

    /// Goes on with a request that several servers share.
    pub(in crate::server) fn take_step(&mut self, id: Id, step: Step) {
        let mut step = step;
        while let Step::Ask(server) = step {
            let body = self.requests.get(&id).and_then(|request| {
                let method = request.method?;
                Some(self.own_question(server, method, request.display, &request.body))
            });
            let alive = self
                .servers
                .get(server)
                .is_some_and(|behind| behind.is_running() || behind.is_starting());
            if let (Some(body), true) = (body, alive) {
                return self.send(server, body);
            }
            match self.requests.given_up(server, &id, Instant::now()) {
                Heard::Part(next) => step = next,
                Heard::Answer(_) | Heard::Nothing => return,
            }
        }
        if step == Step::Finish
            && let Some(request) = self.requests.take(&id)
        {
            self.finish(request);
        }
    }

    fn finish(&mut self, mut request: FromEditor) {
        let Asked::Several(fan) = &request.asked else {
            return;
        };
        let method = fan.method;
        let how = method.combine;
        let capabilities = at(&self.greeting, "/capabilities");
        let mut taste = Taste::of(capabilities, fan.method.name);
        taste.completion_order = self.config.lsp.completion_order;
        taste.tags = comes_back(fan.method);
        taste.document = self.document_number(&request);
        if fan.method.combine == Combine::Actions {
            taste = taste.asked_for(&messages::params(&request.body).unwrap_or_default());
        }
        let names: Vec<String> = self
            .servers
            .iter()
            .map(|behind| behind.spec.name.clone())
            .collect();
        let name = |server: usize| names.get(server).map_or("", String::as_str);
        let report = match how {
            Combine::Diagnostics | Combine::WorkspaceDiagnostics => {
                self.joined_report(&request.raw_id, how, &request.body, &fan.said(name))
            }
            _ => match &request.then {
                Then::MergeTokens(wanted) => {
                    self.common_tokens(&request.raw_id, wanted, &fan.said(name))
                }
                _ => None,
            },
        };
        let is_whole = fan.is_whole();
        let body = report.unwrap_or_else(|| fan.answer(&request.raw_id, &taste, name));
        let waiting = request.asked.waiting();
        if !is_whole {
            self.keep_no_answer(&mut request);
        }
        match how {
            Combine::Diagnostics | Combine::WorkspaceDiagnostics if request.cancelled.is_none() => {
                self.await_reports(method, &request, waiting);
            }
            _ => self.call_off(&request.sent_id(), waiting),
        }
        self.end_display(&request);
        self.deliver_to_all(request, body);
    }

    /// Gives the editor its answer, with what is ours.
    pub(in crate::server) fn deliver(&mut self, raw_id: &[u8], then: Then, body: Bytes) {
        match then {
            Then::Forward | Then::NoteDiagnostics(_) | Then::MergeTokens(_) => self.tell(body),
            Then::Explain { inquiry, part } => self.explained(inquiry, part, &body),
            Then::AddActions(actions) => {
                let more = messages::with_more(raw_id, &body, &actions);
                self.tell(more.unwrap_or(body));
            }
        }
    }

    /// The answer of one of several servers, with its items tagged where they come back.
    fn looked_over(&mut self, server: usize, request: &FromEditor, body: Bytes) -> Bytes {
        let Some(method) = request.method else {
            return body;
        };
        self.traces.note(server, &body);
        let about = self.document_number(request);
        let result = messages::response(&body).and_then(|response| response.result);
        let (Some(result), Some(behind)) = (result, self.servers.get(server)) else {
            return body;
        };
        if !comes_back(method) {
            return body;
        }
        let part = Part {
            server,
            generation: behind.generation,
            name: &behind.spec.name,
            result,
        };
        let mut taste = Taste::of(at(&self.greeting, "/capabilities"), method.name);
        taste.tags = true;
        taste.document = about;
        let result = merge::combine(method.combine, &[part], &taste);
        messages::raw_answer(&request.raw_id, &result)
    }
}

/// Whether the items of a method's result come back as the subject of another request.
pub(super) fn comes_back(method: &Method) -> bool {
    let registration = method.registration;
    !registration.is_empty()
        && protocol::methods()
            .iter()
            .any(|other| other.scope == Scope::Item && other.registration == registration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_and_schemes_lead_back_to_their_server() {
        let mut traces = Traces::default();
        let body = br#"{"result":[{"command":{"title":"t","command" : "x.run"}},{"uri":"jdt://c","targetUri":"file:///a"}]}"#;
        traces.note(3, body);
        assert_eq!(traces.command("x.run"), Some(3));
        assert_eq!(traces.command("x.other"), None);
        assert_eq!(traces.scheme("jdt://other"), Some(3));
        assert_eq!(traces.scheme("file:///a"), None);
    }

    #[test]
    fn items_that_are_resolved_later_come_back() {
        for (name, expected) in [
            ("textDocument/completion", true),
            ("completionItem/resolve", true),
            ("textDocument/prepareCallHierarchy", true),
            ("callHierarchy/incomingCalls", true),
            ("workspace/symbol", true),
            ("textDocument/hover", false),
            ("textDocument/definition", false),
        ] {
            let method = protocol::method(name).expect("the protocol has it");
            assert_eq!(comes_back(method), expected, "{name}");
        }
    }
}
