//! The texts that the editor has open, as it told us (spec: LSP Client, document sync).
//!
//! The mirror is what everything else is measured against: a proposed edit is computed for one exact text, and it
//! counts as applied when this mirror shows it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use serde::Deserialize;

use super::location;
use super::position::{Encoding, Lines, Span};

/// One open text.
#[derive(Debug, Clone)]
pub struct Document {
    /// The editor's name for it.
    pub uri: String,
    /// Its path, when it is a file.
    pub path: Option<PathBuf>,
    /// Language id as the editor gave it.
    pub language: String,
    /// The editor's version number.
    pub version: i64,
    /// When it last changed since it was opened.
    pub changed: Option<Instant>,
    text: String,
    lines: Lines,
}

/// The open texts.
#[derive(Debug, Default)]
pub struct Documents {
    /// What columns count.
    pub encoding: Encoding,
    open: BTreeMap<String, Document>,
}

/// Parameters of `textDocument/didOpen`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Opened {
    text_document: Item,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    uri: String,
    #[serde(default)]
    language_id: String,
    #[serde(default)]
    version: i64,
    text: String,
}

/// Parameters of `textDocument/didChange`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Changed {
    text_document: Identifier,
    content_changes: Vec<Change>,
}

#[derive(Debug, Deserialize)]
struct Identifier {
    uri: String,
    #[serde(default)]
    version: Option<i64>,
}

#[derive(Debug, Deserialize)]
struct Change {
    #[serde(default)]
    range: Option<Span>,
    text: String,
}

/// Parameters of `textDocument/didClose` and of everything else that names a document.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Named {
    text_document: Identifier,
}

impl Documents {
    /// No texts, in which columns count like this.
    pub fn counting(encoding: Encoding) -> Self {
        Self {
            encoding,
            open: BTreeMap::new(),
        }
    }

    /// Opens a text, or replaces it when the editor opens it twice, and gives its URI.
    pub fn open(&mut self, opened: Opened) -> String {
        let item = opened.text_document;
        let document = Document {
            path: location::to_path(&item.uri),
            uri: item.uri.clone(),
            language: item.language_id,
            version: item.version,
            changed: None,
            lines: Lines::new(&item.text),
            text: item.text,
        };
        self.open.insert(item.uri.clone(), document);
        item.uri
    }

    /// Changes a text, and gives its URI. A text that is not open stays unknown.
    pub fn change(&mut self, changed: Changed) -> String {
        let uri = changed.text_document.uri;
        if let Some(document) = self.open.get_mut(&uri) {
            for change in changed.content_changes {
                document.apply(change, self.encoding);
            }
            document.version = changed
                .text_document
                .version
                .unwrap_or(document.version + 1);
            document.changed = Some(Instant::now());
        }
        uri
    }

    /// Forgets a text, and gives its URI.
    pub fn close(&mut self, named: Named) -> String {
        let uri = named.text_document.uri;
        self.open.remove(&uri);
        uri
    }

    /// The open text with this URI.
    pub fn get(&self, uri: &str) -> Option<&Document> {
        self.open.get(uri)
    }

    /// The open text of a file; editors spell one path in several ways.
    pub fn of_path(&self, path: &Path) -> Option<&Document> {
        self.iter()
            .find(|document| document.path.as_deref() == Some(path))
    }

    /// Every open text.
    pub fn iter(&self) -> impl Iterator<Item = &Document> {
        self.open.values()
    }

    /// The open files below `root`, by path relative to it.
    pub fn overlay(&self, root: &Path) -> BTreeMap<PathBuf, Arc<str>> {
        self.iter()
            .filter_map(|document| {
                let path = document.path.as_deref()?.strip_prefix(root).ok()?;
                Some((path.to_owned(), Arc::from(document.text.as_str())))
            })
            .collect()
    }
}

impl Document {
    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its lines.
    pub fn lines(&self) -> &Lines {
        &self.lines
    }

    fn apply(&mut self, change: Change, encoding: Encoding) {
        match change.range {
            Some(span) => {
                let range = self.lines.range(&self.text, span, encoding);
                self.lines.replace(&mut self.text, range, &change.text);
            }
            None => {
                self.text = change.text;
                self.lines = Lines::new(&self.text);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
        serde_json::from_value(value).expect("the test's own shape")
    }

    fn open(encoding: Encoding, text: &str) -> Documents {
        let mut documents = Documents {
            encoding,
            ..Documents::default()
        };
        documents.open(read(json!({ "textDocument": {
            "uri": "file:///w/a.rs", "languageId": "rust", "version": 1, "text": text
        } })));
        documents
    }

    #[test]
    fn incremental_changes_are_applied_in_order_in_every_encoding() {
        // The character after the emoji is at column 5, 3 or 2.
        for (encoding, column) in [
            (Encoding::Utf8, 5),
            (Encoding::Utf16, 3),
            (Encoding::Utf32, 2),
        ] {
            let mut documents = open(encoding, "let s = 1;\na😀b\n");
            documents.change(read(json!({
                "textDocument": { "uri": "file:///w/a.rs", "version": 7 },
                "contentChanges": [
                    { "range": { "start": { "line": 1, "character": column },
                                 "end": { "line": 1, "character": column + 1 } }, "text": "X\nY" },
                    { "range": { "start": { "line": 2, "character": 1 },
                                 "end": { "line": 2, "character": 1 } }, "text": "!" },
                    { "range": { "start": { "line": 0, "character": 0 },
                                 "end": { "line": 1, "character": 0 } }, "text": "" }
                ]
            })));
            let document = documents.get("file:///w/a.rs").expect("open");
            assert_eq!(document.text(), "a😀X\nY!\n", "{encoding:?}");
            assert_eq!(document.version, 7);
            assert_eq!(*document.lines(), Lines::new(document.text()));
        }
    }

    #[test]
    fn whole_texts_replace_and_unknown_files_stay_unknown() {
        let mut documents = open(Encoding::Utf16, "old");
        documents.change(read(json!({
            "textDocument": { "uri": "file:///w/a.rs", "version": null },
            "contentChanges": [{ "text": "new" }]
        })));
        documents.change(read(json!({
            "textDocument": { "uri": "file:///w/other.rs", "version": 2 },
            "contentChanges": [{ "text": "x" }]
        })));
        let document = documents.of_path(Path::new("/w/a.rs")).expect("open");
        assert_eq!((document.text(), document.version), ("new", 2));
        assert_eq!(documents.iter().count(), 1);
        assert_eq!(
            documents
                .overlay(Path::new("/w"))
                .keys()
                .collect::<Vec<_>>(),
            [Path::new("a.rs")]
        );
        documents.close(read(json!({ "textDocument": { "uri": "file:///w/a.rs" } })));
        assert!(documents.get("file:///w/a.rs").is_none());
    }
}
