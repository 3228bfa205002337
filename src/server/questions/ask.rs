//! Who is asked (spec: LSP Manager, routing).
//!
//! While one server has every document, a message goes to it as it came and nothing is looked up. With several, what the
//! protocol says of the method decides: the servers of its document that announced it, those of the whole workspace, or
//! the one that made the item that it is about.

use std::borrow::Cow;
use std::path::Path;

use bytes::Bytes;
use memchr::memmem;
use serde::Deserialize;
use serde_json::Value;
use serde_json::json;
use serde_json::value::RawValue;

use super::answers;
use super::fan::{Fan, Order};
use super::highlights;
use super::requests::{Asked, FromEditor, Then};
use crate::downstream::protocol::{self, Combine, Method, Scope};
use crate::downstream::{registry, tagged};
use crate::server::from_editor::Message;
use crate::server::messages;
use crate::server::peers::behind::Behind;
use crate::server::peers::{notebooks, tokens};
use crate::server::session::Session;
use crate::text::json::{at, list, set};
use crate::text::location;

/// The methods for semantic tokens begin so; a server that has any of them has the one for all of a document.
const TOKENS: &str = "textDocument/semanticTokens/";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Placed<'body> {
    #[serde(borrow, default)]
    text_document: Option<Document<'body>>,
}

#[derive(Deserialize)]
struct Document<'body> {
    #[serde(borrow)]
    uri: Cow<'body, str>,
}

impl Session {
    /// Whether one server has everything.
    pub(in crate::server) fn is_alone(&self) -> bool {
        let [server] = self.servers.as_slice() else {
            return false;
        };
        self.attached.is_simple() && server.spec.is_for_everything()
    }

    /// Sends a message to whom it is for.
    pub(in crate::server) fn pass_on(&mut self, method: &str, mut message: Message, then: Then) {
        let Some(then) = self.known_answer(method, &mut message, then) else {
            return;
        };
        if self.is_alone() {
            return self.ask_server(0, message, then);
        }
        if self.is_for_common_tokens(method) {
            return self.ask_for_tokens(method, message, then);
        }
        let known = protocol::method(method);
        let servers = match known.map(|known| known.scope) {
            Some(Scope::Item) => return self.ask_maker(method, message, then),
            Some(Scope::Workspace) => {
                let all = self.best_first((0..self.servers.len()).collect());
                self.takers(method, all.into_iter(), None)
            }
            _ => match document_of(&message.body, method) {
                Some(uri) => self.takers_of_document(method, &uri),
                None => self.owner_of(method).into_iter().collect(),
            },
        };
        self.ask_servers(known, &servers, message, then);
    }

    /// Sends what is said of a notebook to every server that is to hear of it.
    pub(in crate::server) fn pass_on_notebook(&mut self, method: &str, message: Message) {
        let uri = document_of(&message.body, method).unwrap_or_default();
        let servers: Vec<usize> = (0..self.servers.len())
            .filter(|server| self.takes_notebook(*server, method, &uri))
            .collect();
        self.ask_servers(protocol::method(method), &servers, message, Then::Forward);
    }

    /// Whether a server is to hear of a notebook: it has everything, or it knows notebooks and is at home where this is.
    pub(in crate::server) fn takes_notebook(&self, server: usize, method: &str, uri: &str) -> bool {
        let path = location::to_path(uri);
        let is_one = || {
            self.takes(server, method, None) && self.is_home(server, path.as_deref(), &self.roots())
        };
        self.is_alone() || is_one()
    }

    /// Sends a message to servers, best first.
    fn ask_servers(
        &mut self,
        known: Option<&'static Method>,
        servers: &[usize],
        message: Message,
        then: Then,
    ) {
        let best = servers.first().copied();
        if !message.is_request {
            for server in servers {
                self.send(*server, message.body.clone());
            }
        } else if let (Some(method), [_, _, ..]) = (known, servers) {
            if method.combine == Combine::WorkspaceDiagnostics {
                self.pull_workspace(method, servers, message);
            } else {
                self.fan_out(method, servers, message, then);
            }
        } else if let Some(server) = best {
            let body = known.map(|method| self.body_for(server, method, &message.body));
            let mut body = body.unwrap_or_else(|| message.body.clone());
            if known.is_some_and(answers::comes_back) {
                // Items in parts of a result would not say who made them.
                body = without_tokens(&body, &["partialResultToken"]);
            }
            return self.ask_server(server, Message { body, ..message }, then);
        } else {
            self.answer_nothing(&message.raw_id, then);
        }
        self.last_asked = best.unwrap_or(self.last_asked);
    }

    pub(in crate::server) fn fan_out(
        &mut self,
        method: &'static Method,
        servers: &[usize],
        message: Message,
        then: Then,
    ) {
        let with_generation = servers.iter().map(|server| {
            let behind = self.servers.get(*server);
            (*server, behind.map_or(0, |behind| behind.generation))
        });
        let order = match then {
            Then::MergeTokens(_) => Order::AtOnce,
            _ => Order::of(method),
        };
        let fan = Fan::new(method, order, with_generation);
        let asked: Vec<usize> = fan.waiting().collect();
        // Parts of results cannot be joined.
        let body = without_tokens(&message.body, &["partialResultToken"]);
        let several = Asked::Several(Box::new(fan));
        let mut request = FromEditor::new(message.raw_id.clone(), body.clone(), several, then);
        request.method = Some(method);
        let display = self.display_for(&body, servers);
        request.display = display;
        self.accept(message.question, &message.sent_id, request);
        for server in asked {
            let own = self.own_question(server, method, display, &body);
            self.send(server, own);
        }
    }

    /// A request as one of several servers gets it.
    pub(in crate::server) fn own_question(
        &self,
        server: usize,
        method: &Method,
        display: Option<u64>,
        body: &Bytes,
    ) -> Bytes {
        let body = self.body_for(server, method, body);
        match display {
            Some(display) => tokens::with_own(&body, &tokens::minted(display, server)),
            None => body,
        }
    }

    /// Sends a message to one server.
    pub(in crate::server) fn ask_server(&mut self, server: usize, message: Message, then: Then) {
        let alive = self.servers.get(server).is_some_and(is_alive);
        if !alive {
            if message.is_request {
                self.answer_nothing(&message.raw_id, then);
            }
            return;
        }
        self.last_asked = server;
        if message.is_request {
            let one = Asked::One(server);
            let mut request =
                FromEditor::new(message.raw_id.clone(), message.body.clone(), one, then);
            request.method = self.looked_at(&message.body);
            request.about = message.about;
            self.accept(message.question, &message.sent_id, request);
        }
        self.send(server, message.body);
    }

    /// Answers a request with nothing but what is ours.
    pub(in crate::server) fn answer_nothing(&mut self, raw_id: &[u8], then: Then) {
        let result = match then {
            Then::Explain { inquiry, part } => return self.explained(inquiry, part, b"null"),
            Then::AddActions(actions) => Value::from(actions),
            Then::NoteDiagnostics(_) => json!({ "kind": "full", "items": [] }),
            Then::Forward | Then::MergeTokens(_) => Value::Null,
        };
        self.tell(messages::answer(raw_id, &result));
    }

    /// Sends an item back to the server that made it, as that server knows it.
    fn ask_maker(&mut self, method: &str, message: Message, then: Then) {
        let params: Option<&RawValue> = messages::params(&message.body);
        let Some(returned) = params.and_then(|params| tagged::untag(params.get())) else {
            return self.ask_server(self.last_asked, message, then);
        };
        let server = returned.tag.server;
        let takes = self.servers.get(server).is_some_and(|behind| {
            behind.generation == returned.tag.generation && self.takes(server, method, None)
        });
        if takes {
            let body = messages::with_params(&message.sent_id, method, &returned.text);
            let about = returned.tag.document;
            self.columns.return_to(server, method, about);
            let message = Message {
                body,
                about,
                ..message
            };
            return self.ask_server(server, message, then);
        }
        // A server that is gone, or has nothing to add: the item stays as it is.
        let is_resolve = method.ends_with("/resolve");
        let unchanged = params.map_or("null", RawValue::get).to_owned();
        let result = if is_resolve {
            unchanged.as_str()
        } else {
            "null"
        };
        self.tell(messages::raw_answer(&message.raw_id, result));
    }

    /// The server whose command this is: of several processes that know it, the one of a document that it is given, else
    /// the one that offered it last.
    pub(in crate::server) fn command_owner(&self, command: &str, body: &[u8]) -> usize {
        let announces = |server: &Behind| {
            let path = "/capabilities/executeCommandProvider/commands";
            list(&server.answer, path)
                .iter()
                .any(|known| known == command)
        };
        let servers = self.servers.iter().enumerate();
        let known = servers.filter(|(_, behind)| announces(behind) && is_alive(behind));
        let known: Vec<usize> = known.map(|(server, _)| server).collect();
        let offered = self.traces.command(command);
        if let [] | [_] = known.as_slice() {
            let only = known.first().copied();
            return only.or(offered).unwrap_or(self.last_asked);
        }
        let is_known = |server: &usize| known.contains(server);
        let params: Value = messages::params(body).unwrap_or_default();
        let named = self.attached_in(at(&params, "/arguments"));
        let of_document = named.and_then(|servers| servers.iter().find(|it| is_known(it)).copied());
        of_document
            .or(offered.filter(is_known))
            .or(Some(self.last_asked).filter(is_known))
            .or(known.first().copied())
            .unwrap_or(self.last_asked)
    }

    /// The servers of the first open document that a value names anywhere.
    fn attached_in(&self, value: &Value) -> Option<&[usize]> {
        match value {
            Value::String(uri) => Some(self.attached.of(uri)).filter(|servers| !servers.is_empty()),
            Value::Array(all) => all.iter().find_map(|value| self.attached_in(value)),
            Value::Object(all) => all.values().find_map(|value| self.attached_in(value)),
            Value::Null | Value::Bool(_) | Value::Number(_) => None,
        }
    }

    /// The servers that get the text of a document, best first; those that are not there yet are started.
    pub(in crate::server) fn servers_for(&mut self, uri: &str) -> Vec<usize> {
        let Some(document) = self.documents.get(uri) else {
            return Vec::new();
        };
        let language = document.language.clone();
        let file = location::to_path(uri);
        self.start_servers_for(&language, file.as_deref());
        self.speakers(&language, file.as_deref())
    }

    /// The servers that speak the language of a file and are at home where it is, best first.
    fn speakers(&self, language: &str, file: Option<&Path>) -> Vec<usize> {
        let roots = self.roots();
        let speaks = |server: &usize| {
            let behind = self.servers.get(*server);
            behind.is_some_and(|behind| behind.speaks(language))
                && self.is_home(*server, file, &roots)
        };
        self.best_first((0..self.servers.len()).filter(speaks).collect())
    }

    fn best_first(&self, mut servers: Vec<usize>) -> Vec<usize> {
        let priority = |server: &usize| {
            let behind = self.servers.get(*server);
            std::cmp::Reverse(behind.map_or(0, |behind| behind.spec.priority))
        };
        servers.sort_by_key(priority);
        servers
    }

    pub(in crate::server) fn takers_of_document(&self, method: &str, uri: &str) -> Vec<usize> {
        if self.attached.has(uri) {
            let attached = self.attached.of(uri).iter().copied();
            let mut takers = self.takers(method, attached.clone(), Some(uri));
            if method.starts_with(TOKENS) && !self.is_for_common_tokens(method) {
                // Their numbers mean what the legend says that was announced: the best server's.
                let all = format!("{TOKENS}full");
                let owner = self.takers(&all, attached, Some(uri)).first().copied();
                takers.retain(|taker| Some(*taker) == owner);
            }
            if protocol::method(method).is_none() {
                // A method of somebody's own: its owner's, or the best server's.
                let owner = takers.iter().position(|taker| self.owns(*taker, method));
                takers = takers
                    .into_iter()
                    .skip(owner.unwrap_or(0))
                    .take(1)
                    .collect();
            }
            return takers;
        }
        if let Some(notebook) = self.notebooks.of_cell(uri) {
            let takes = |server: &usize| self.takes_notebook(*server, notebooks::OPENED, notebook);
            let all = self.best_first((0..self.servers.len()).filter(takes).collect());
            return self.takers(method, all.into_iter(), None);
        }
        if let Some(server) = self.traces.scheme(uri) {
            return vec![server];
        }
        let path = location::to_path(uri);
        let path = path.as_deref();
        let language = path.map_or("", registry::language_of);
        let speakers = self.takers(method, self.speakers(language, path).into_iter(), None);
        if speakers.is_empty() {
            return self.owner_of(method).into_iter().collect();
        }
        speakers
    }

    fn takers(
        &self,
        method: &str,
        servers: impl Iterator<Item = usize>,
        uri: Option<&str>,
    ) -> Vec<usize> {
        servers
            .filter(|server| self.takes(*server, method, uri))
            .collect()
    }

    /// Whether a server is asked this: it lives, the user wants it to be asked, and it can answer, for the open document
    /// with this URI or for any.
    pub(in crate::server) fn takes(&self, server: usize, method: &str, uri: Option<&str>) -> bool {
        let Some(behind) = self.servers.get(server).filter(|behind| is_alive(behind)) else {
            return false;
        };
        if !behind.spec.takes_part(method) {
            return false;
        }
        let capabilities = at(&behind.answer, "/capabilities");
        match protocol::method(method) {
            _ if behind.is_starting() => true,
            None => true,
            Some(known)
                if known.registration == highlights::REGISTRATION
                    && !self.has_told_legend(server) =>
            {
                false
            }
            Some(known) => {
                let document = uri.and_then(|uri| self.documents.get(uri));
                known.is_announced(capabilities)
                    || self.registrations.cover(server, known, document)
            }
        }
    }

    /// The server that a method of nobody's document is for.
    fn owner_of(&self, method: &str) -> Option<usize> {
        let alive = |server: &usize| self.servers.get(*server).is_some_and(is_alive);
        let mut servers = (0..self.servers.len()).filter(alive);
        let owner = servers.clone().find(|server| self.owns(*server, method));
        owner
            .or(Some(self.last_asked).filter(|server| alive(server)))
            .or_else(|| servers.next())
    }

    /// Whether a method that the protocol does not know is this server's own: by its name, or by what it announces.
    fn owns(&self, server: usize, method: &str) -> bool {
        let Some(behind) = self.servers.get(server) else {
            return false;
        };
        let Some((prefix, name)) = method.split_once('/') else {
            return false;
        };
        let announced = at(&behind.answer, "/capabilities/experimental");
        behind.spec.name == prefix || (prefix == "experimental" && announced.get(name).is_some())
    }

    /// The method of a request, where its answer has to be looked at.
    fn looked_at(&self, body: &[u8]) -> Option<&'static Method> {
        if self.servers.len() < 2 {
            return None;
        }
        let envelope = crate::downstream::wire::Envelope::peek(body)?;
        protocol::method(envelope.method(body))
    }
}

fn is_alive(server: &Behind) -> bool {
    server.is_running() || server.is_starting()
}

/// The document that a message names.
pub(in crate::server) fn document_of(body: &[u8], method: &str) -> Option<String> {
    let way = protocol::method(method).map_or(&[][..], |known| known.document);
    if matches!(way, [] | ["textDocument", "uri"]) {
        let placed: Placed<'_> = messages::params(body)?;
        return Some(placed.text_document?.uri.into_owned());
    }
    let params: Value = messages::params(body)?;
    let found = way.iter().try_fold(&params, |value, key| value.get(key))?;
    found.as_str().map(str::to_owned)
}

/// The message without these tokens.
pub(in crate::server) fn without_tokens(body: &Bytes, tokens: &[&str]) -> Bytes {
    let holds = |token: &str| memmem::find(body, token.as_bytes()).is_some();
    if !tokens.iter().any(|token| holds(token)) {
        return body.clone();
    }
    let Ok(mut message) = serde_json::from_slice::<Value>(body) else {
        return body.clone();
    };
    let mut params = at(&message, "/params").clone();
    if let Some(params) = params.as_object_mut() {
        for token in tokens {
            params.remove(*token);
        }
    }
    set(&mut message, "params", params);
    Bytes::from(message.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_of_a_message_is_where_its_method_has_it() {
        for (method, body, expected) in [
            (
                "textDocument/hover",
                r#"{"params":{"position":{},"textDocument":{"uri":"file:\/\/\/a"}}}"#,
                Some("file:///a"),
            ),
            (
                "callHierarchy/incomingCalls",
                r#"{"params":{"item":{"uri":"file:///b"}}}"#,
                Some("file:///b"),
            ),
            ("workspace/symbol", r#"{"params":{"query":""}}"#, None),
            (
                "rust-analyzer/expandMacro",
                r#"{"params":{"textDocument":{"uri":"c"}}}"#,
                Some("c"),
            ),
        ] {
            assert_eq!(document_of(body.as_bytes(), method).as_deref(), expected);
        }
    }

    #[test]
    fn tokens_leave_a_message_and_nothing_else_does() {
        let body = Bytes::from_static(
            br#"{"id":1,"params":{"partialResultToken":"p","workDoneToken":2,"x":"workDoneToken"}}"#,
        );
        let without = without_tokens(&body, &["partialResultToken"]);
        assert_eq!(
            without,
            r#"{"id":1,"params":{"workDoneToken":2,"x":"workDoneToken"}}"#
        );
        let plain = Bytes::from_static(br#"{ "id" : 1e0 }"#);
        assert_eq!(without_tokens(&plain, &["workDoneToken"]), plain);
    }
}
