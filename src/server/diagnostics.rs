//! What the servers say is wrong, as the editor was told (spec: LSP Client, diagnostics).
//!
//! Kept as the bytes that passed by, and read only when a run or a code action needs them.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::Value;

use super::messages;
use crate::text::json::{at, list};

/// The last word about each document.
#[derive(Debug, Default)]
pub struct Diagnostics {
    published: BTreeMap<String, BTreeMap<usize, Bytes>>,
    pulled: BTreeMap<String, Bytes>,
}

impl Diagnostics {
    /// Keeps the body of a `textDocument/publishDiagnostics` of a server.
    pub fn publish(&mut self, server: usize, uri: &str, body: &[u8]) {
        // A copy: the body is a piece of a read buffer that would stay in memory with it.
        let body = Bytes::copy_from_slice(body);
        self.published
            .entry(uri.to_owned())
            .or_default()
            .insert(server, body);
    }

    /// Keeps the body of an answer to `textDocument/diagnostic`, unless it says that nothing changed.
    pub fn pull(&mut self, uri: &str, body: &[u8]) {
        let unchanged = messages::response(body)
            .and_then(|response| response.result)
            .is_none_or(|result| !result.get().contains("\"items\""));
        if !unchanged {
            self.pulled
                .insert(uri.to_owned(), Bytes::copy_from_slice(body));
        }
    }

    /// Forgets what a server said.
    pub fn forget_server(&mut self, server: usize) {
        for bodies in self.published.values_mut() {
            bodies.remove(&server);
        }
        self.pulled.clear();
    }

    /// The diagnostics of a document; one that was both published and asked for counts once.
    pub fn of(&self, uri: &str) -> Vec<Value> {
        let mut result: Vec<Value> = Vec::new();
        let published = self
            .published
            .get(uri)
            .into_iter()
            .flat_map(BTreeMap::values);
        for body in published {
            let params: Value = messages::params(body).unwrap_or_default();
            result.extend_from_slice(list(&params, "/diagnostics"));
        }
        let pulled = self.pulled.get(uri);
        let answer: Value = pulled
            .and_then(|body| serde_json::from_slice(body).ok())
            .unwrap_or_default();
        for item in list(&answer, "/result/items") {
            let is_known = result.iter().any(|known| {
                at(known, "/range") == at(item, "/range")
                    && at(known, "/message") == at(item, "/message")
            });
            if !is_known {
                result.push(item.clone());
            }
        }
        result
    }

    /// Documents that something was said about.
    pub fn uris(&self) -> impl Iterator<Item = &str> {
        let pulled = self
            .pulled
            .keys()
            .filter(|uri| !self.published.contains_key(*uri));
        self.published.keys().chain(pulled).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_and_pulled_diagnostics_are_joined() {
        let mut diagnostics = Diagnostics::default();
        diagnostics.publish(
            0,
            "u",
            br#"{"method":"m","params":{"uri":"u","diagnostics":[{"range":1,"message":"a"}]}}"#,
        );
        diagnostics.pull("u", br#"{"id":1,"result":{"kind":"full","items":[{"range":1,"message":"a"},{"range":2,"message":"b"}]}}"#);
        diagnostics.pull(
            "u",
            br#"{"id":1,"result":{"kind":"unchanged","resultId":"1"}}"#,
        );
        assert_eq!(diagnostics.of("u").len(), 2);
        diagnostics.forget_server(0);
        assert!(diagnostics.of("u").is_empty());
    }
}
