//! What the servers say is wrong, as one picture (spec: LSP Manager, diagnostics).
//!
//! [`model`] decides whether the editor is told or asks. [`Board`] keeps the last word of each server on each document,
//! pushed or asked for, as the bytes that came; from it are made a publication, an answer (`asked`), and the diagnostics
//! that a server gets back when it is asked for code actions (`context`). It is the one picture: also the agent reads it.
//!
//! Positions are those of the editor: what a server counts otherwise is converted before it gets here.

mod asked;
mod context;
mod finding;
mod late;
pub mod model;
mod report;

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

pub use asked::Answered;
pub use finding::Look;
pub use model::Model;

use self::finding::{Finding, Union};
use self::report::{Known, What, fingerprint};
use super::tagged::Tag;
use crate::text::location::same_uri;
use crate::text::raw;

/// Which server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin<'a> {
    /// Which server.
    pub server: usize,
    /// Which start of it.
    pub generation: u32,
    /// What people call it.
    pub name: &'a str,
}

/// What the editor has to hear when something changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tell {
    /// The diagnostics of this document: see [`Board::publication`].
    Publish(String),
    /// That it should ask again: `workspace/diagnostic/refresh`.
    Refresh,
}

/// Which words of the servers are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    All,
    Pushed,
    Reported,
}

/// The last word of each server on each document.
#[derive(Debug, Default)]
pub struct Board {
    model: Model,
    look: Look,
    versions: bool,
    related: bool,
    documents: BTreeMap<String, Document>,
}

#[derive(Debug)]
struct Document {
    /// As it was named first.
    uri: String,
    slots: BTreeMap<usize, Slot>,
}

/// What one server says of one document.
#[derive(Debug)]
struct Slot {
    generation: u32,
    name: String,
    pushed: Option<Pushed>,
    reported: Option<Reported>,
}

#[derive(Debug)]
struct Pushed {
    version: Option<i64>,
    diagnostics: Box<RawValue>,
}

#[derive(Debug)]
struct Reported {
    id: Option<String>,
    items: Box<RawValue>,
}

#[derive(Deserialize)]
struct Published<'text> {
    #[serde(borrow)]
    uri: Cow<'text, str>,
    #[serde(default)]
    version: Option<f64>,
    #[serde(borrow)]
    diagnostics: &'text RawValue,
}

impl Board {
    /// An empty board for an editor.
    pub fn new(model: Model, reader: model::Reader, look: Look) -> Self {
        Self {
            model,
            look: Look {
                tags: look.tags && reader.keeps_data,
                ..look
            },
            versions: reader.versions,
            related: reader.related,
            documents: BTreeMap::new(),
        }
    }

    /// Takes the parameters of a `textDocument/publishDiagnostics`. `current` is the version of the document when it is
    /// open: what is said of an older one is out of date and dropped. `None`: there is nothing to tell.
    pub fn publish(
        &mut self,
        origin: Origin<'_>,
        params: &str,
        current: Option<i64>,
    ) -> Option<Tell> {
        let published: Published<'_> = serde_json::from_str(params).ok()?;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a version is an integer, also when it is written 1.0"
        )]
        let version = published.version.map(|version| version as i64);
        if let (Some(version), Some(current)) = (version, current)
            && version < current
        {
            return None;
        }
        let slot = self.slot(origin, &published.uri);
        slot.pushed = Some(Pushed {
            version,
            diagnostics: published.diagnostics.to_owned(),
        });
        Some(self.tell(&published.uri, current.is_some()))
    }

    /// The editor asks from now on.
    pub fn editor_asks(&mut self) {
        self.model = Model::Pull;
    }

    /// The parameters of a `textDocument/publishDiagnostics` with what all servers say of a document. While only one
    /// server has spoken of it, its diagnostics are as it made them. `current` is its
    /// version when it is open: it is named only when every server means that one. An editor that asks for the
    /// diagnostics of open documents is told nothing of those.
    pub fn publication(&self, uri: &str, current: Option<i64>) -> String {
        let which = match (self.model, current) {
            (Model::Push, _) => Some(Which::All),
            (Model::Pull, None) => Some(Which::Pushed),
            (Model::Pull, Some(_)) => None,
        };
        self.published(uri, current, which, self.look)
    }

    /// The same with only what was pushed for a document, each as it was made.
    pub fn pushed(&self, uri: &str, current: Option<i64>) -> String {
        self.published(uri, current, Some(Which::Pushed), Look::default())
    }

    fn published(
        &self,
        uri: &str,
        current: Option<i64>,
        which: Option<Which>,
        look: Look,
    ) -> String {
        let version = current.filter(|current| self.versions && self.is_all_of(uri, *current));
        let version =
            version.map_or_else(String::new, |version| format!(r#""version":{version},"#));
        let head = format!(r#"{{"uri":{},{version}"diagnostics":"#, raw::quoted(uri));
        let mut list = raw::List::after(&head, self.bytes_of(uri));
        if let Some(which) = which {
            self.write(&mut list, uri, which, look);
        }
        list.finish() + "}"
    }

    /// Whether everything that was pushed for a document is of this version.
    fn is_all_of(&self, uri: &str, version: i64) -> bool {
        let slots = self.document(uri).map(|document| document.slots.values());
        let mut pushed = slots
            .into_iter()
            .flatten()
            .filter_map(|slot| slot.pushed.as_ref());
        pushed.all(|pushed| pushed.version == Some(version))
    }

    /// Forgets what a server said, and says what the editor has to hear.
    pub fn forget_server(&mut self, server: usize) -> Vec<Tell> {
        let mut changed = Vec::new();
        for document in self.documents.values_mut() {
            if document
                .slots
                .remove(&server)
                .is_some_and(|slot| slot.says_something())
            {
                changed.push(document.uri.clone());
            }
        }
        self.documents
            .retain(|_, document| !document.slots.is_empty());
        let refresh = self.model == Model::Pull && !changed.is_empty();
        let published = changed.into_iter().map(Tell::Publish);
        published.chain(refresh.then_some(Tell::Refresh)).collect()
    }

    /// Forgets what a server said of an open document, and says what the editor has to hear.
    pub fn forget(&mut self, server: usize, uri: &str) -> Option<Tell> {
        let document = self.documents.get_mut(&same_uri(uri))?;
        let slot = document.slots.remove(&server)?;
        slot.says_something().then(|| self.tell(uri, true))
    }

    /// A document was opened: an editor that asks from now on is no longer told what was pushed before.
    pub fn opened(&self, uri: &str) -> Option<Tell> {
        let told = self.model == Model::Pull && self.says(uri, Which::Pushed);
        told.then(|| Tell::Publish(uri.to_owned()))
    }

    /// A document was closed: reports that were asked for end with it. What a server pushed stays until that server takes
    /// it back, because some speak of files that are not open.
    pub fn closed(&mut self, uri: &str) -> Option<Tell> {
        let changed = match self.model {
            Model::Push => self.says(uri, Which::Reported),
            Model::Pull => self.says(uri, Which::Pushed),
        };
        let document = self.documents.get_mut(&same_uri(uri))?;
        for slot in document.slots.values_mut() {
            slot.reported = None;
        }
        changed.then(|| Tell::Publish(uri.to_owned()))
    }

    /// All diagnostics of a document as JSON texts, untagged, each once.
    pub fn of(&self, uri: &str) -> Vec<String> {
        let mut list = raw::List::new(self.bytes_of(uri));
        let look = Look {
            names: self.look.names,
            fuses: self.look.fuses,
            tags: false,
        };
        self.write(&mut list, uri, Which::All, look);
        let text = list.finish();
        raw::elements(&text)
            .unwrap_or_default()
            .into_iter()
            .map(|element| element.get().to_owned())
            .collect()
    }

    /// What a server published of a document last, as a list.
    pub fn published_by(&self, server: usize, uri: &str) -> Option<&str> {
        let document = self.documents.get(&same_uri(uri))?;
        let pushed = document.slots.get(&server)?.pushed.as_ref()?;
        Some(pushed.diagnostics.get())
    }

    /// Documents that something was said about.
    pub fn uris(&self) -> impl Iterator<Item = &str> {
        self.documents
            .values()
            .map(|document| document.uri.as_str())
    }

    fn document(&self, uri: &str) -> Option<&Document> {
        self.documents.get(&same_uri(uri))
    }

    /// The place of a server's words on a document. Those of an earlier start of it are gone.
    fn slot(&mut self, origin: Origin<'_>, uri: &str) -> &mut Slot {
        let document = self
            .documents
            .entry(same_uri(uri))
            .or_insert_with(|| Document {
                uri: uri.to_owned(),
                slots: BTreeMap::new(),
            });
        let new = || Slot {
            generation: origin.generation,
            name: origin.name.to_owned(),
            pushed: None,
            reported: None,
        };
        let slot = document.slots.entry(origin.server).or_insert_with(new);
        if slot.generation != origin.generation {
            *slot = new();
        }
        slot
    }

    fn says(&self, uri: &str, which: Which) -> bool {
        let slots = self.document(uri).map(|document| document.slots.values());
        slots
            .into_iter()
            .flatten()
            .any(|slot| slot.lists(which).any(|list| !is_empty(list)))
    }

    fn tell(&self, uri: &str, is_open: bool) -> Tell {
        match self.model {
            Model::Pull if is_open => Tell::Refresh,
            Model::Push | Model::Pull => Tell::Publish(uri.to_owned()),
        }
    }

    fn bytes_of(&self, uri: &str) -> usize {
        let slots = self.document(uri).map(|document| document.slots.values());
        slots
            .into_iter()
            .flatten()
            .flat_map(|slot| slot.lists(Which::All))
            .map(|list| list.len() + list.len() / 4)
            .sum()
    }

    fn write(&self, list: &mut raw::List, uri: &str, which: Which, look: Look) {
        let Some(document) = self.document(uri) else {
            return;
        };
        let look = match document.slots.len() {
            0 | 1 => Look::default(),
            _ => look,
        };
        let mut union = Union::default();
        for (server, slot) in &document.slots {
            for finding in slot.findings(which) {
                union.add(finding, slot.tag(*server), &slot.name, look);
            }
        }
        union.write(list, look);
    }
}

impl Slot {
    fn tag(&self, server: usize) -> Tag {
        Tag {
            server,
            generation: self.generation,
            document: None,
        }
    }

    fn pushed(&self, which: Which) -> Option<&str> {
        let pushed = self.pushed.as_ref().filter(|_| which != Which::Reported);
        pushed.map(|pushed| pushed.diagnostics.get())
    }

    fn reported(&self, which: Which) -> Option<&str> {
        let reported = self.reported.as_ref().filter(|_| which != Which::Pushed);
        reported.map(|reported| reported.items.get())
    }

    fn lists(&self, which: Which) -> impl Iterator<Item = &str> {
        [self.pushed(which), self.reported(which)]
            .into_iter()
            .flatten()
    }

    /// What the server says; what it both pushed and reported counts once.
    fn findings(&self, which: Which) -> Vec<Finding<'_>> {
        let mut findings = self
            .pushed(which)
            .map(Finding::read_all)
            .unwrap_or_default();
        let known: std::collections::HashSet<finding::Identity> = findings
            .iter()
            .map(|finding| finding.identity.clone())
            .collect();
        if let Some(reported) = self.reported(which) {
            let items = Finding::read_all(reported);
            findings.extend(
                items
                    .into_iter()
                    .filter(|finding| !known.contains(&finding.identity)),
            );
        }
        findings
    }

    fn says_something(&self) -> bool {
        self.lists(Which::All).any(|list| !is_empty(list))
    }

    /// What its part of a combined report is known by.
    fn known(&self, server: usize, which: Which) -> impl Iterator<Item = Known> {
        let tag = self.tag(server);
        let pushed = self.pushed(which).filter(|pushed| !is_empty(pushed));
        let pushed = pushed.map(|pushed| What::Pushed(fingerprint(pushed)));
        let reported = self.reported.as_ref().map(|reported| match &reported.id {
            Some(id) => What::Report(id.clone()),
            None => What::Content(fingerprint(reported.items.get())),
        });
        [pushed, reported]
            .into_iter()
            .flatten()
            .map(move |what| Known::new(tag, what))
    }
}

fn is_empty(list: &str) -> bool {
    raw::elements(list).is_none_or(|elements| elements.is_empty())
}

#[cfg(test)]
mod tests {
    use super::model::Reader;
    use super::*;

    const NAMES: [&str; 3] = ["one", "two", "three"];

    pub(super) fn origin(server: usize) -> Origin<'static> {
        Origin {
            server,
            generation: 1,
            name: NAMES[server],
        }
    }

    pub(super) fn look() -> Look {
        Look {
            names: true,
            tags: true,
            fuses: false,
        }
    }

    pub(super) fn reader() -> Reader {
        Reader {
            keeps_data: true,
            versions: true,
            related: true,
            ..Reader::default()
        }
    }

    pub(super) fn board(look: Look) -> Board {
        Board::new(Model::Push, reader(), look)
    }

    pub(super) fn published(uri: &str, diagnostics: &str) -> String {
        format!(r#"{{"uri":"{uri}","diagnostics":{diagnostics}}}"#)
    }

    fn versioned(version: &str, diagnostics: &str) -> String {
        format!(r#"{{"uri":"file:///a","version":{version},"diagnostics":{diagnostics}}}"#)
    }

    fn publish_a() -> Tell {
        Tell::Publish("file:///a".to_owned())
    }

    fn plain() -> Board {
        board(Look::default())
    }

    #[test]
    fn the_union_is_told_at_once_with_the_servers_as_sources() {
        let mut board = board(look());
        let one = published("file:///a", r#"[{"range":1e0,"message":"x"}]"#);
        let two = published(
            "file:///a",
            r#"[{"range":1,"message":"y","source":"lint","data":null}]"#,
        );
        assert_eq!(board.publish(origin(0), &one, None), Some(publish_a()));
        assert_eq!(board.publish(origin(1), &two, None), Some(publish_a()));
        let expected = concat!(
            r#"{"uri":"file:///a","diagnostics":[{"range":1e0,"message":"x","source":"one","data":{"s":0,"g":1}},"#,
            r#"{"range":1,"message":"y","source":"lint","data":{"s":1,"g":1,"d":null}}]}"#
        );
        assert_eq!(board.publication("file:///a", None), expected);
        assert_eq!(
            board.publish(origin(0), &published("file:///a", "[]"), None),
            Some(publish_a())
        );
        assert!(!board.publication("file:///a", None).contains("one"));
    }

    #[test]
    fn an_editor_that_drops_data_gets_the_servers_own() {
        let mut board = Board::new(Model::Push, Reader::default(), look());
        let one = published("file:///a", r#"[{"message":"x","data":7,"source":""}]"#);
        let _ = board.publish(origin(0), &one, None);
        let _ = board.publish(origin(1), &published("file:///a", "[]"), None);
        let expected =
            r#"{"uri":"file:///a","diagnostics":[{"message":"x","data":7,"source":"one"}]}"#;
        assert_eq!(board.publication("file:///a", Some(1)), expected);
    }

    #[test]
    fn what_is_said_of_an_older_version_is_dropped_unless_it_names_none() {
        let mut board = plain();
        let list = r#"[{"message":"x"}]"#;
        assert_eq!(
            board.publish(origin(0), &versioned("3", list), Some(4)),
            None
        );
        assert_eq!(
            board.publish(origin(0), &versioned("-3", list), Some(-2)),
            None
        );
        assert_eq!(
            board.publish(origin(0), &versioned("4.0", list), Some(4)),
            Some(publish_a())
        );
        assert_eq!(
            board.publish(origin(0), &versioned("5", list), Some(4)),
            Some(publish_a())
        );
        assert_eq!(
            board.publish(origin(0), &versioned("1", list), None),
            Some(publish_a())
        );
        assert_eq!(
            board.publish(origin(0), &versioned("null", list), Some(4)),
            Some(publish_a())
        );
        assert_eq!(
            board.publish(origin(0), &published("file:///a", list), Some(4)),
            Some(publish_a())
        );
        assert_eq!(board.publish(origin(0), "{}", Some(4)), None);
    }

    #[test]
    fn the_version_is_named_when_every_server_means_it() {
        let mut board = plain();
        let _ = board.publish(origin(0), &versioned("4", "[]"), Some(4));
        let text = board.publication("file:///a", Some(4));
        assert_eq!(text, r#"{"uri":"file:///a","version":4,"diagnostics":[]}"#);
        let _ = board.publish(origin(1), &published("file:///a", "[]"), Some(4));
        let text = board.publication("file:///a", Some(4));
        assert_eq!(text, r#"{"uri":"file:///a","diagnostics":[]}"#);
    }

    #[test]
    fn what_a_dead_server_said_is_taken_back_and_nothing_else() {
        let mut board = plain();
        let _ = board.publish(
            origin(0),
            &published("file:///a", r#"[{"message":"x"}]"#),
            None,
        );
        let _ = board.publish(
            origin(1),
            &published("file:///a", r#"[{"message":"y"}]"#),
            None,
        );
        let _ = board.publish(
            origin(1),
            &published("file:///b", r#"[{"message":"y"}]"#),
            None,
        );
        let _ = board.publish(origin(0), &published("file:///c", "[]"), None);
        assert_eq!(board.forget_server(0), [publish_a()]);
        assert_eq!(board.of("file:///a"), [r#"{"message":"y"}"#]);
        assert_eq!(board.uris().collect::<Vec<_>>(), ["file:///a", "file:///b"]);
    }

    #[test]
    fn a_restarted_server_begins_anew() {
        let mut board = plain();
        let _ = board.publish(
            origin(0),
            &published("file:///a", r#"[{"message":"x"}]"#),
            None,
        );
        let restarted = Origin {
            generation: 2,
            ..origin(0)
        };
        let report = RawValue::from_string(r#"{"kind":"full","items":[]}"#.to_owned());
        let _ = board.report(restarted, "file:///a", &report.expect("it is JSON"));
        assert!(board.of("file:///a").is_empty());
    }

    #[test]
    fn a_closed_document_loses_what_was_asked_for_it() {
        let mut board = plain();
        let report = r#"{"kind":"full","items":[{"message":"asked"}]}"#.to_owned();
        let report = RawValue::from_string(report).expect("it is JSON");
        let told = board.report(origin(0), "file:///a", &report);
        assert_eq!(told, [publish_a()]);
        let _ = board.publish(
            origin(1),
            &published("file:///a", r#"[{"message":"told"}]"#),
            None,
        );
        assert_eq!(board.closed("file:///a"), Some(publish_a()));
        assert_eq!(board.of("file:///a"), [r#"{"message":"told"}"#]);
        assert_eq!(board.closed("file:///a"), None);
        assert_eq!(board.closed("file:///unknown"), None);
    }

    #[test]
    fn a_server_that_pushes_and_reports_is_shown_once() {
        let mut board = plain();
        let finding = r#"{"range":{"a":1,"b":2},"message":"x","code":1}"#;
        let again = r#"{"range":{"b":2,"a":1},"message":"x","code":1,"data":3}"#;
        let other = r#"{"range":{"b":2,"a":1},"message":"x","code":2}"#;
        let _ = board.publish(
            origin(0),
            &published("file:///a", &format!("[{finding}]")),
            None,
        );
        let report = format!(r#"{{"kind":"full","items":[{again},{other}]}}"#);
        let report = RawValue::from_string(report).expect("it is JSON");
        let _ = board.report(origin(0), "file:///a", &report);
        assert_eq!(board.of("file:///a"), [finding, other]);
    }

    #[test]
    fn one_finding_of_two_servers_is_shown_once_with_both_sources_when_wanted() {
        let one = r#"[{"range":1,"message":"undefined name","code":"F821","severity":2},{"range":2,"message":"same"}]"#;
        let two = r#"[{"range":1,"message":"x is not defined","code":"F821","severity":1,"source":"ruff"},{"range":2,"message":"same"},{"range":3,"message":"same"}]"#;
        let mut separate = board(Look {
            tags: false,
            ..look()
        });
        let mut fused = board(Look {
            fuses: true,
            tags: false,
            ..look()
        });
        for board in [&mut separate, &mut fused] {
            let _ = board.publish(origin(0), &published("file:///a", one), None);
            let _ = board.publish(origin(1), &published("file:///a", two), None);
        }
        assert_eq!(separate.of("file:///a").len(), 5);
        assert_eq!(
            fused.of("file:///a"),
            [
                r#"{"range":1,"message":"undefined name","code":"F821","severity":1,"source":"one, ruff"}"#,
                r#"{"range":2,"message":"same","source":"one, two"}"#,
                r#"{"range":3,"message":"same","source":"two"}"#,
            ]
        );
    }

    #[test]
    fn one_document_written_in_two_ways_is_one() {
        let mut board = plain();
        let _ = board.publish(
            origin(0),
            &published("file:///c%3A/x", r#"[{"message":"x"}]"#),
            None,
        );
        let _ = board.publish(
            origin(1),
            &published("file:///C:/x", r#"[{"message":"y"}]"#),
            None,
        );
        assert_eq!(board.of("file:///c:/x").len(), 2);
        assert_eq!(board.uris().count(), 1);
    }

    #[test]
    fn an_editor_that_asks_is_told_to_ask_again_when_a_server_pushes() {
        let mut board = Board::new(Model::Pull, reader(), Look::default());
        let pushed = published("file:///a", r#"[{"message":"x"}]"#);
        assert_eq!(
            board.publish(origin(0), &pushed, Some(1)),
            Some(Tell::Refresh)
        );
        assert_eq!(board.forget_server(0), [publish_a(), Tell::Refresh]);
        assert!(board.forget_server(0).is_empty());
    }

    #[test]
    fn an_editor_that_asks_for_open_documents_is_told_of_the_others() {
        let mut board = Board::new(Model::Pull, reader(), Look::default());
        let list = r#"[{"message":"x"}]"#;
        let told = board.publish(origin(0), &published("file:///a", list), None);
        assert_eq!(told, Some(publish_a()));
        assert!(board.publication("file:///a", None).contains(list));
        assert_eq!(board.opened("file:///a"), Some(publish_a()));
        assert!(board.publication("file:///a", Some(1)).contains("[]"));
        assert_eq!(board.closed("file:///a"), Some(publish_a()));
        assert_eq!(board.opened("file:///b"), None);
    }
}
