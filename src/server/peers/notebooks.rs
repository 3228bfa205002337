//! The notebooks that the editor has open (spec: LSP Client, document sync).
//!
//! A notebook is opened with the texts of its cells and changes in pieces, so a server that comes back has to be told of
//! it as it is by then. Its messages pass as they come, to servers that count columns otherwise with the columns of its
//! cells counted anew; what is asked about a cell is asked of the servers that have its notebook.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::roots;
use crate::server::messages;
use crate::text::documents::{Document, Documents};
use crate::text::json::{at, list, set, take, text};
use crate::text::position::Encoding;

/// The notification that opens a notebook.
pub(in crate::server) const OPENED: &str = "notebookDocument/didOpen";

/// The open notebooks, by URI.
#[derive(Debug, Default)]
pub(in crate::server) struct Notebooks {
    open: BTreeMap<String, Notebook>,
}

#[derive(Debug)]
struct Notebook {
    /// What was said when it was opened, as it is now, without the texts.
    params: Value,
    /// The texts of its cells.
    texts: Documents,
}

impl Notebooks {
    /// Notes what a notification says of a notebook. `encoding`: what the editor's columns count.
    pub(in crate::server) fn note(&mut self, method: &str, mut params: Value, encoding: Encoding) {
        let uri = text(&params, "/notebookDocument/uri").to_owned();
        match method {
            OPENED => {
                let mut texts = Documents::counting(encoding);
                let cells = take(&mut params, "cellTextDocuments");
                open_all(&mut texts, list(&cells, ""));
                self.open.insert(uri, Notebook { params, texts });
            }
            "notebookDocument/didChange" => {
                if let Some(notebook) = self.open.get_mut(&uri) {
                    notebook.change(&params);
                }
            }
            "notebookDocument/didClose" => drop(self.open.remove(&uri)),
            _ => {}
        }
    }

    /// The text of a cell of an open notebook.
    pub(in crate::server) fn cell(&self, uri: &str) -> Option<&Document> {
        let mut all = self.open.values();
        all.find_map(|notebook| notebook.texts.get(uri))
    }

    /// The open notebook that a cell is of.
    pub(in crate::server) fn of_cell(&self, uri: &str) -> Option<&str> {
        let mut all = self.open.iter();
        let found = all.find(|(_, notebook)| notebook.texts.get(uri).is_some());
        found.map(|(notebook, _)| notebook.as_str())
    }

    /// The notifications that open as they are those whose URI somebody wants.
    pub(in crate::server) fn opened(
        &self,
        wants: impl Fn(&str) -> bool,
    ) -> impl Iterator<Item = Bytes> {
        let wanted = self.open.iter().filter(move |(uri, _)| wants(uri));
        wanted.map(|(_, notebook)| notebook.opened())
    }
}

impl Notebook {
    fn change(&mut self, params: &Value) {
        let mut document = take(&mut self.params, "notebookDocument");
        let version = at(params, "/notebookDocument/version");
        set(&mut document, "version", version.clone());
        if let Some(metadata) = params.pointer("/change/metadata") {
            set(&mut document, "metadata", metadata.clone());
        }
        let change = at(params, "/change/cells");
        let mut cells = list(&document, "/cells").to_vec();
        replace(&mut cells, at(change, "/structure/array"));
        for cell in list(change, "/data") {
            let is_it = |other: &&mut Value| at(other, "/document") == at(cell, "/document");
            if let Some(known) = cells.iter_mut().find(is_it) {
                known.clone_from(cell);
            }
        }
        set(&mut document, "cells", json!(cells));
        set(&mut self.params, "notebookDocument", document);
        open_all(&mut self.texts, list(change, "/structure/didOpen"));
        for cell in list(change, "/structure/didClose") {
            told(json!({ "textDocument": cell })).map(|named| self.texts.close(named));
        }
        for content in list(change, "/textContent") {
            let changed = json!({
                "textDocument": at(content, "/document"),
                "contentChanges": at(content, "/changes"),
            });
            told(changed).map(|changed| self.texts.change(changed));
        }
    }

    fn opened(&self) -> Bytes {
        let cells = list(&self.params, "/notebookDocument/cells").iter();
        let texts = cells.filter_map(|cell| self.texts.get(text(cell, "/document")));
        let texts: Vec<Value> = texts.map(roots::item).collect();
        let mut params = self.params.clone();
        set(&mut params, "cellTextDocuments", json!(texts));
        messages::notification(OPENED, &params)
    }
}

fn open_all(texts: &mut Documents, cells: &[Value]) {
    for cell in cells {
        told(json!({ "textDocument": cell })).map(|opened| texts.open(opened));
    }
}

/// What the texts are told; what cannot be read leaves a text as it is.
fn told<T: DeserializeOwned>(params: Value) -> Option<T> {
    serde_json::from_value(params).ok()
}

/// Replaces cells as a `NotebookCellArrayChange` says, as far as there are that many.
fn replace(cells: &mut Vec<Value>, change: &Value) {
    let number = |path: &str| {
        let number = at(change, path).as_u64();
        number.map_or(0, |number| usize::try_from(number).unwrap_or(usize::MAX))
    };
    let start = number("/start").min(cells.len());
    let end = start.saturating_add(number("/deleteCount"));
    let end = end.min(cells.len());
    cells.splice(start..end, list(change, "/cells").iter().cloned());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(name: &str) -> Value {
        json!({ "kind": 2, "document": name })
    }

    fn item(name: &str, version: i64, text: &str) -> Value {
        json!({ "uri": name, "languageId": "python", "version": version, "text": text })
    }

    fn noted(changes: &[Value]) -> Vec<Value> {
        let mut notebooks = Notebooks::default();
        let opened = json!({
            "notebookDocument": { "uri": "n", "notebookType": "jupyter", "version": 1,
                "cells": [cell("a"), cell("b")] },
            "cellTextDocuments": [item("a", 1, "x = 1\n"), item("b", 1, "y😀 = 2\n")],
            "odd": true,
        });
        notebooks.note(OPENED, opened, Encoding::Utf16);
        for change in changes {
            let params =
                json!({ "notebookDocument": { "uri": "n", "version": 2 }, "change": change });
            notebooks.note("notebookDocument/didChange", params, Encoding::Utf16);
        }
        let opened = notebooks.opened(|uri| uri == "n");
        opened
            .map(|body| messages::params(&body).expect("it has parameters"))
            .collect()
    }

    #[test]
    fn a_notebook_is_opened_again_as_it_is() {
        let at_emoji =
            json!({ "start": { "line": 0, "character": 1 }, "end": { "line": 0, "character": 3 } });
        let now = noted(&[
            json!({ "metadata": { "k": 1 }, "cells": {
                "structure": {
                    "array": { "start": 0, "deleteCount": 1, "cells": [cell("c")] },
                    "didOpen": [item("c", 1, "z\n")],
                    "didClose": [{ "uri": "a" }],
                },
                "data": [{ "kind": 1, "document": "c" }],
            } }),
            json!({ "cells": { "textContent": [
                { "document": { "uri": "b", "version": 5 }, "changes": [{ "range": at_emoji, "text": "" }] },
                { "document": { "uri": "c", "version": 6 }, "changes": [{ "text": "whole\n" }] },
            ] } }),
        ]);
        let expected = json!({
            "notebookDocument": { "uri": "n", "notebookType": "jupyter", "version": 2, "metadata": { "k": 1 },
                "cells": [{ "kind": 1, "document": "c" }, cell("b")] },
            "cellTextDocuments": [item("c", 6, "whole\n"), item("b", 5, "y = 2\n")],
            "odd": true,
        });
        assert_eq!(now, [expected]);
    }

    #[test]
    fn changes_that_make_no_sense_harm_no_notebook() {
        let far = json!({ "cells": { "structure": { "array": { "start": 9, "deleteCount": u64::MAX } } } });
        let now = noted(&[
            json!(null),
            far,
            json!({ "cells": { "textContent": [1, {}] } }),
        ]);
        assert_eq!(list(&now[0], "/cellTextDocuments").len(), 2);
        assert_eq!(list(&now[0], "/notebookDocument/cells").len(), 2);
        let mut notebooks = Notebooks::default();
        notebooks.note("notebookDocument/didChange", json!([]), Encoding::Utf8);
        assert_eq!(notebooks.opened(|_| true).count(), 0);
    }
}
