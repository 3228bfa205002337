//! What files define, as a language server tells it (spec: Semantic Analyzer, symbols).

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::client::{Client, Document, uri_of};
use super::findings::span_of;
use super::places::Places;
use super::{Error, NamedPlace, Symbol};
use crate::text::json::{self, at};

/// Symbols of a workspace that are read from one answer.
pub(super) const WORKSPACE_SYMBOLS_MAX: usize = 500;

impl Client {
    /// The symbols of an open file, outermost first.
    pub async fn document_symbols(
        &self,
        file: &Path,
        patience: Duration,
    ) -> Result<Vec<Symbol>, Error> {
        let document = self.document(file)?;
        let params = json!({ "textDocument": { "uri": uri_of(&self.root.join(file))? } });
        let answer = self
            .request("textDocument/documentSymbol", params, patience)
            .await?;
        Ok(self.symbols(document, &answer))
    }

    fn symbols(&self, document: &Document, answer: &Value) -> Vec<Symbol> {
        let list = answer.as_array().map(Vec::as_slice).unwrap_or_default();
        let bytes = |range: &Value| {
            let span = span_of(range)?;
            Some(
                document
                    .lines
                    .range(&document.text, span, self.abilities.encoding),
            )
        };
        list.iter()
            .filter_map(|symbol| {
                // Servers from before hierarchical symbols give a location in place of the ranges.
                let range =
                    bytes(at(symbol, "/range")).or_else(|| bytes(at(symbol, "/location/range")))?;
                Some(Symbol {
                    name: at(symbol, "/name").as_str()?.to_owned(),
                    kind: at(symbol, "/kind").as_u64().unwrap_or_default(),
                    selection: bytes(at(symbol, "/selectionRange"))
                        .unwrap_or_else(|| range.clone()),
                    children: self.symbols(document, at(symbol, "/children")),
                    range,
                })
            })
            .collect()
    }

    /// Symbols of the workspace whose names the server takes to fit a query, best first.
    pub async fn workspace_symbols(
        &self,
        query: &str,
        patience: Duration,
    ) -> Result<Vec<NamedPlace>, Error> {
        let params = json!({ "query": query });
        let answer = self.request("workspace/symbol", params, patience).await?;
        let mut places = Places::new(self);
        let list = json::list(&answer, "").iter().take(WORKSPACE_SYMBOLS_MAX);
        Ok(list
            .filter_map(|one| {
                let uri = json::text(one, "/location/uri");
                Some(NamedPlace {
                    name: json::text(one, "/name").to_owned(),
                    container: json::text(one, "/containerName").to_owned(),
                    place: places.read(uri, at(one, "/location/range"))?,
                })
            })
            .collect())
    }
}
