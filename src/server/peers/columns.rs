//! An editor and servers that count columns differently (spec: LSP Manager, position encodings).
//!
//! Every server is offered what the editor offered, and the editor is told how the best one counts. What goes to a server
//! that counts otherwise, and what comes from it, is counted anew on the way; everything behind the way is in the
//! editor's columns. A server that counts as the editor does costs one comparison.

use std::collections::HashMap;
use std::path::Path;

use bytes::Bytes;
use serde_json::{Value, json};

use super::notebooks::{self, Notebooks};
use super::waiting::is_told_on_return;
use crate::downstream::capabilities;
use crate::downstream::protocol::{self, Method, Scope};
use crate::downstream::transcode::{self, Memory, Place, Text, Turn};
use crate::downstream::wire::{Envelope, Kind};
use crate::server::capabilities::{Changes, Sync};
use crate::server::messages;
use crate::server::questions::ask;
use crate::server::questions::requests::{FromEditor, Id};
use crate::server::questions::routes::{Life, Route, route};
use crate::server::session::Session;
use crate::text::documents::Documents;
use crate::text::json::{at, list, set};
use crate::text::location;
use crate::text::position::Encoding;

/// Bytes of files that are read from disk for one message; positions in the files beyond stay as they came.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Documents whose items remember where they were asked for.
const DOCUMENTS_MAX: usize = 10_000;

/// What has to be remembered of servers that count otherwise.
#[derive(Debug, Default)]
pub(in crate::server) struct Columns {
    /// The semantic tokens that a server gave last.
    tokens: HashMap<usize, Memory>,
    /// The document in which a server was last asked for items that name none, by what they are registered as.
    items: HashMap<(usize, &'static str), String>,
    /// The documents in which items were asked for: their tags hold the numbers.
    documents: Vec<String>,
    numbers: HashMap<String, u32>,
}

impl Columns {
    /// The number of a document; `None`: there are too many.
    fn number(&mut self, uri: &str) -> Option<u32> {
        if let Some(number) = self.numbers.get(uri) {
            return Some(*number);
        }
        let number = u32::try_from(self.documents.len()).ok()?;
        if self.documents.len() >= DOCUMENTS_MAX {
            return None;
        }
        self.documents.push(uri.to_owned());
        self.numbers.insert(uri.to_owned(), number);
        Some(number)
    }

    fn numbered(&self, number: Option<u32>) -> Option<&str> {
        let place = usize::try_from(number?).ok()?;
        self.documents.get(place).map(String::as_str)
    }

    /// Notes that what a server hears next of a method is about the document with this number.
    pub(in crate::server) fn return_to(
        &mut self,
        server: usize,
        method: &str,
        number: Option<u32>,
    ) {
        let document = self.numbered(number).map(str::to_owned);
        if let (Some(document), Some(method)) = (document, protocol::method(method)) {
            self.items.insert((server, method.registration), document);
        }
    }
}

/// How a server that answered `initialize` like this counts.
pub(in crate::server) fn encoding_of(answer: &Value) -> Encoding {
    capabilities::encoding(answer).unwrap_or_default()
}

/// The encodings that the editor takes, best first. Every editor takes UTF-16.
pub(in crate::server) fn offered(greeting: &Value) -> Vec<&'static str> {
    let path = "/capabilities/general/positionEncodings";
    let named = list(greeting, path).iter().filter_map(Value::as_str);
    let mut known: Vec<&'static str> = named
        .filter_map(Encoding::from_name)
        .map(Encoding::name)
        .collect();
    if !known.contains(&Encoding::Utf16.name()) {
        known.push(Encoding::Utf16.name());
    }
    known
}

/// The editor's `initialize` with these encodings in place of those that it offered.
pub(in crate::server) fn with_offer(greeting: &Value, encodings: &[&str]) -> Value {
    let mut params = greeting.clone();
    let mut capabilities = at(&params, "/capabilities").clone();
    let mut general = at(&capabilities, "/general").clone();
    set(&mut general, "positionEncodings", json!(encodings));
    set(&mut capabilities, "general", general);
    set(&mut params, "capabilities", capabilities);
    params
}

impl Session {
    /// From the editor's columns to those of a server; `None` when they are the same.
    pub(in crate::server) fn turn_to(&self, server: usize) -> Option<Turn> {
        let behind = self.servers.get(server)?;
        let turn = Turn {
            from: self.documents.encoding,
            to: behind.encoding,
        };
        (behind.is_running() && !turn.is_none()).then_some(turn)
    }

    /// A message of the editor as a server counts.
    pub(in crate::server) fn counted_for(&mut self, server: usize, body: Bytes) -> Bytes {
        let Some(turn) = self.turn_to(server) else {
            return body;
        };
        let Some(envelope) = Envelope::peek(&body).filter(|found| found.kind != Kind::Response)
        else {
            return body;
        };
        let name = envelope.method(&body);
        let known = protocol::method(name);
        let method = known.or_else(|| protocol::method("textDocument/hover"));
        let Some(method) = method else {
            return body;
        };
        let document = transcode::document(&body, method).map(std::borrow::Cow::into_owned);
        if name == "textDocument/didChange" {
            let before = document.and_then(|uri| self.documents.get(&uri));
            return match before {
                Some(before) => transcode::changes(&body, &Text::of(before), turn),
                None => body,
            };
        }
        if name == "notebookDocument/didChange" {
            return transcode::cell_changes(
                &body,
                &mut reader(&self.documents, &self.notebooks),
                turn,
            );
        }
        let place = Place {
            document: self.around(server, method, document.as_deref()),
            ..Place::params(method)
        };
        let counted = transcode::message(
            &body,
            place,
            turn,
            &mut reader(&self.documents, &self.notebooks),
        );
        if let (Some(uri), "textDocument/didClose") = (&document, name) {
            if let Some(memory) = self.columns.tokens.get_mut(&server) {
                memory.forget(uri);
            }
        } else if let (Some(uri), Some(known)) = (document, known) {
            let asked = (server, known.registration);
            self.columns.items.insert(asked, uri);
        }
        // A part of a result says nothing of the document that it is of.
        ask::without_tokens(&counted, &["partialResultToken"])
    }

    /// A message of a server as the editor counts.
    pub(in crate::server) fn counted_from(
        &mut self,
        server: usize,
        envelope: &Envelope,
        body: Bytes,
        turn: Turn,
    ) -> Bytes {
        if envelope.kind != Kind::Response {
            return match protocol::method(envelope.method(&body)) {
                Some(method) => {
                    let place = Place::params(method);
                    transcode::message(
                        &body,
                        place,
                        turn,
                        &mut reader(&self.documents, &self.notebooks),
                    )
                }
                None => body,
            };
        }
        let id = Id::read(envelope.id(&body));
        let Some(request) = self.requests.get(&id) else {
            return body;
        };
        let (asked, about) = (request.body.clone(), request.about);
        let name = Envelope::peek(&asked);
        let name = name.as_ref().map_or("", |found| found.method(&asked));
        // What a method of somebody's own answers with is mostly places.
        let known = protocol::method(name);
        let Some(method) = known.or_else(|| protocol::method("textDocument/definition")) else {
            return body;
        };
        let named = transcode::document(&asked, method);
        let about = self.columns.numbered(about);
        let document = about.or_else(|| self.around(server, method, named.as_deref()));
        if name.starts_with("textDocument/semanticTokens/full") {
            let document = document.unwrap_or_default().to_owned();
            let params: Value = messages::params(&asked).unwrap_or_default();
            let previous = at(&params, "/previousResultId").as_str();
            let memory = self.columns.tokens.entry(server).or_default();
            let texts = &mut reader(&self.documents, &self.notebooks);
            return memory.answer(&body, &document, previous, turn, texts);
        }
        let place = Place::result(method, document);
        transcode::message(
            &body,
            place,
            turn,
            &mut reader(&self.documents, &self.notebooks),
        )
    }

    /// A server's answer to what it was asked about a document, or about all of them, as the editor counts.
    pub(in crate::server) fn counted_report(
        &mut self,
        server: usize,
        method: &str,
        uri: Option<&str>,
        body: &Bytes,
    ) -> Bytes {
        let method = protocol::method(method);
        let (Some(turn), Some(method)) = (self.turn_to(server), method) else {
            return body.clone();
        };
        let place = Place::result(method, uri);
        let texts = &mut reader(&self.documents, &self.notebooks);
        transcode::message(body, place, turn.back(), texts)
    }

    /// The number of the document that the items of an answer are of, while a server counts otherwise than the editor.
    pub(in crate::server) fn document_number(&mut self, request: &FromEditor) -> Option<u32> {
        let mut servers = 0..self.servers.len();
        servers.find(|server| self.turn_to(*server).is_some())?;
        let named = transcode::document(&request.body, request.method?);
        match named {
            Some(named) => self.columns.number(&named),
            None => request.about,
        }
    }

    /// The document of a message: the one it names, else the one in which its item was asked for.
    fn around<'uri>(
        &'uri self,
        server: usize,
        method: &Method,
        named: Option<&'uri str>,
    ) -> Option<&'uri str> {
        if named.is_some() || method.scope != Scope::Item {
            return named;
        }
        let asked = (server, method.registration);
        self.columns.items.get(&asked).map(String::as_str)
    }

    /// What waited for a server until it worked. One that counts otherwise, or that does not want to hear of texts as
    /// they were opened and changed, gets the present texts of its documents in place of that: what the changes were made
    /// in is gone. Notebooks that it does not want to hear of are left out.
    pub(in crate::server) fn waited(&self, server: usize, mut waiting: Vec<Bytes>) -> Vec<Bytes> {
        if !self.takes(server, notebooks::OPENED, None) {
            waiting.retain(|body| {
                Envelope::peek(body)
                    .is_none_or(|found| route(found.method(body)) != Route::Notebook)
            });
        }
        let sync = self.servers.get(server).map(|behind| behind.sync);
        let as_it_came = |sync: Sync| sync.open_close && sync.changes == Changes::Pieces;
        if sync.is_some_and(as_it_came) && self.turn_to(server).is_none() {
            return waiting;
        }
        let is_first = |body: &Bytes| {
            Envelope::peek(body)
                .is_some_and(|found| route(found.method(body)) == Route::Life(Life::Initialized))
        };
        let (first, others): (Vec<Bytes>, Vec<Bytes>) = waiting.into_iter().partition(is_first);
        let others = others.into_iter().filter(|body| !is_told_on_return(body));
        first
            .into_iter()
            .chain(self.present_texts(server))
            .chain(others)
            .collect()
    }
}

/// Gives the texts of documents: those that are open, also as cells of notebooks, else from disk.
fn reader<'text>(
    documents: &'text Documents,
    notebooks: &'text Notebooks,
) -> impl FnMut(&str) -> Option<Text<'text>> {
    let mut bytes_left = FILE_BYTES_MAX;
    move |uri| {
        if let Some(document) = documents.get(uri).or_else(|| notebooks.cell(uri)) {
            return Some(Text::of(document));
        }
        let path = location::to_path(uri)?;
        if let Some(document) = documents.of_path(&path) {
            return Some(Text::of(document));
        }
        bytes_left = bytes_left.checked_sub(size(&path)?)?;
        std::fs::read_to_string(path).ok().map(Text::new)
    }
}

fn size(path: &Path) -> Option<u64> {
    let metadata = std::fs::metadata(path).ok()?;
    metadata.is_file().then_some(metadata.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_editors_encodings_are_offered_and_utf_16_always() {
        for (offer, expected) in [
            (
                json!(["utf-8", "utf-32"]),
                vec!["utf-8", "utf-32", "utf-16"],
            ),
            (json!(["utf-16", "klingon"]), vec!["utf-16"]),
            (Value::Null, vec!["utf-16"]),
        ] {
            let greeting = json!({ "capabilities": { "general": { "positionEncodings": offer } } });
            assert_eq!(offered(&greeting), expected);
        }
        let params = with_offer(&json!({ "capabilities": { "x": 1 } }), &["utf-8"]);
        assert_eq!(
            params,
            json!({ "capabilities": { "x": 1,
            "general": { "positionEncodings": ["utf-8"] } } })
        );
    }
}
