//! Who calls a function, and what it calls (spec: Semantic Analyzer, call hierarchy).

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::client::Client;
use super::places::Places;
use super::{Call, Error, NamedPlace};
use crate::text::json::{self, at};

impl Client {
    /// The functions that call the one at a place of an open file, each with the places of its calls.
    pub async fn callers(
        &self,
        file: &Path,
        offset: usize,
        patience: Duration,
    ) -> Result<Vec<Call>, Error> {
        let mut calls = Vec::new();
        for item in self.call_items(file, offset, patience).await? {
            let params = json!({ "item": item });
            let method = "callHierarchy/incomingCalls";
            let answer = self.request(method, params, patience).await?;
            let mut places = Places::new(self);
            for call in json::list(&answer, "") {
                let from = at(call, "/from");
                calls.extend(read(&mut places, from, call, json::text(from, "/uri")));
            }
        }
        Ok(calls)
    }

    /// The functions that the one at a place of an open file calls, each with the places of the calls.
    pub async fn callees(
        &self,
        file: &Path,
        offset: usize,
        patience: Duration,
    ) -> Result<Vec<Call>, Error> {
        let mut calls = Vec::new();
        for item in self.call_items(file, offset, patience).await? {
            let params = json!({ "item": item });
            let method = "callHierarchy/outgoingCalls";
            let answer = self.request(method, params, patience).await?;
            let mut places = Places::new(self);
            for call in json::list(&answer, "") {
                // The calls are where the caller is.
                let to = at(call, "/to");
                calls.extend(read(&mut places, to, call, json::text(&item, "/uri")));
            }
        }
        Ok(calls)
    }

    async fn call_items(
        &self,
        file: &Path,
        offset: usize,
        patience: Duration,
    ) -> Result<Vec<Value>, Error> {
        let params = self.place(file, offset)?;
        let method = "textDocument/prepareCallHierarchy";
        let answer = self.request(method, params, patience).await?;
        Ok(json::list(&answer, "").to_vec())
    }
}

/// Reads one end of a call; the ranges of the calls are in the file `uri`.
fn read(places: &mut Places<'_>, end: &Value, call: &Value, uri: &str) -> Option<Call> {
    let own = json::text(end, "/uri");
    Some(Call {
        function: NamedPlace {
            name: json::text(end, "/name").to_owned(),
            container: json::text(end, "/detail").to_owned(),
            place: places.read(own, at(end, "/selectionRange"))?,
        },
        sites: json::list(call, "/fromRanges")
            .iter()
            .filter_map(|range| places.read(uri, range))
            .collect(),
    })
}
