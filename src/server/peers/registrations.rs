//! What servers registered after they had started (spec: LSP Integration, dynamic registration).
//!
//! Every registration is remembered, for routing and for the day when its server dies. The editor gets it under an id
//! that no other server has, if the editor takes registrations of that kind at all. A server that comes back registers
//! again; what is the same as before is not told to the editor twice, and what it does not register again within a
//! while is taken back.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::announcing;
use super::names::Maker;
use super::roots;
use super::watches::{self, Pattern, Watch};
use crate::downstream::protocol::{self, Method};
use crate::server::capabilities::{Changes, Sync};
use crate::server::life::Stage;
use crate::server::messages;
use crate::server::questions::requests::{Back, ToEditor};
use crate::server::session::Session;
use crate::text::documents::Document;
use crate::text::json::{at, is_true};

/// Time that a server that came back has to register again what it had registered.
const SETTLE: Duration = Duration::from_secs(5);

/// Every registration of every server.
#[derive(Debug, Default)]
pub struct Registrations {
    entries: Vec<Entry>,
    /// When what servers that came back did not register again is taken back.
    settle: BTreeMap<usize, Instant>,
}

#[derive(Debug)]
struct Entry {
    maker: Maker,
    /// The id that the server gave.
    id: String,
    /// The id under which the editor knows it, if it does.
    outside: Option<String>,
    method: String,
    options: Value,
    watches: Vec<Watch>,
}

/// A registration as a server writes it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Registration {
    pub(super) id: String,
    pub(super) method: String,
    #[serde(default)]
    pub(super) register_options: Option<Value>,
}

#[derive(Deserialize)]
struct Registered {
    registrations: Vec<Registration>,
}

#[derive(Debug, Deserialize)]
struct Unregistration {
    id: String,
    #[serde(default)]
    method: String,
}

/// The key is misspelt in the protocol; servers write it both ways.
#[derive(Deserialize)]
struct Unregistered {
    #[serde(alias = "unregistrations")]
    unregisterations: Vec<Unregistration>,
}

impl Registrations {
    /// The options with which a server registered a method for a document; for methods that are about none, for all.
    /// `method` is the one that it is registered under, such as `textDocument/semanticTokens`.
    pub fn options(
        &self,
        server: usize,
        method: &str,
        document: Option<&Document>,
    ) -> Option<&Value> {
        self.entries
            .iter()
            .find(|entry| {
                entry.maker.server == server
                    && entry.method == method
                    && document.is_none_or(|document| selects(&entry.options, document))
            })
            .map(|entry| &entry.options)
    }

    /// Whether a server registered a method for a document.
    pub fn has(&self, server: usize, method: &str, document: Option<&Document>) -> bool {
        self.options(server, method, document).is_some()
    }

    /// Whether a server registered a method of the protocol for a document, by itself or as a part of something.
    pub fn cover(&self, server: usize, method: &Method, document: Option<&Document>) -> bool {
        self.entries.iter().any(|entry| {
            entry.maker.server == server
                && entry.method == method.registration
                && document.is_none_or(|document| selects(&entry.options, document))
                && method.is_part_of(&entry.options)
        })
    }

    /// What a server has registered itself, as it would register it again.
    pub(in crate::server) fn of(&self, server: usize) -> Vec<Value> {
        let entries = self.entries.iter();
        let entries = entries.filter(|entry| {
            entry.maker.server == server && !entry.id.starts_with(announcing::MARK)
        });
        entries
            .map(|entry| json!({ "id": entry.id, "method": entry.method, "registerOptions": entry.options }))
            .collect()
    }

    /// Whether the editor was told that a server registered a method.
    pub(in crate::server) fn is_told(&self, server: usize, method: &str) -> bool {
        self.told(method).any(|entry| entry.maker.server == server)
    }

    /// The options with which other servers registered a method, as the editor knows them.
    pub(super) fn options_of_others(
        &self,
        server: usize,
        method: &str,
    ) -> impl Iterator<Item = &Value> {
        self.told(method)
            .filter(move |entry| entry.maker.server != server)
            .map(|entry| &entry.options)
    }

    fn told(&self, method: &str) -> impl Iterator<Item = &Entry> {
        let entries = self.entries.iter();
        entries.filter(move |entry| entry.method == method && entry.outside.is_some())
    }

    /// The files that a server wants to hear of.
    pub(in crate::server) fn watches(&self, server: usize) -> Vec<&Watch> {
        let entries = self.entries.iter();
        entries
            .filter(|entry| entry.maker.server == server)
            .flat_map(|entry| &entry.watches)
            .collect()
    }

    /// When something has to be taken back.
    pub(in crate::server) fn deadline(&self) -> Option<Instant> {
        self.settle.values().min().copied()
    }

    /// Takes a registration in. Gives what the editor has to hear: what is over, and the id of what begins.
    pub(super) fn add(&mut self, maker: Maker, new: &Registration, editor_takes: bool) -> Added {
        let options = new.register_options.clone().unwrap_or_default();
        let same_server = |entry: &Entry| entry.maker.server == maker.server;
        let returned = self.entries.iter_mut().find(|entry| {
            same_server(entry)
                && entry.maker != maker
                && entry.method == new.method
                && entry.options == options
        });
        if let Some(entry) = returned {
            entry.maker = maker;
            entry.id.clone_from(&new.id);
            return Added::default();
        }
        let twice = self.entries.iter().position(|entry| {
            entry.maker == maker && entry.id == new.id && entry.method == new.method
        });
        let mut over = None;
        if let Some(index) = twice {
            if self
                .entries
                .get(index)
                .is_some_and(|entry| entry.options == options)
            {
                return Added::default();
            }
            let entry = self.entries.swap_remove(index);
            over = self.handed_on(entry);
        }
        let mut outside = maker.outside(&new.id);
        while self.is_known_outside(&outside) {
            outside.push('\'');
        }
        // The editor is one client: what it was told by another server it does not have to hear twice.
        let is_told = |entry: &Entry| {
            entry.outside.is_some() && entry.method == new.method && entry.options == options
        };
        let is_told = self.entries.iter().any(is_told);
        let outside = (editor_takes && !is_told).then_some(outside);
        let is_watch = new.method == watches::METHOD;
        self.entries.push(Entry {
            maker,
            id: new.id.clone(),
            outside: outside.clone(),
            method: new.method.clone(),
            watches: if is_watch {
                Watch::read_all(&options)
            } else {
                Vec::new()
            },
            options,
        });
        Added { over, outside }
    }

    fn is_known_outside(&self, id: &str) -> bool {
        let mut entries = self.entries.iter();
        entries.any(|entry| entry.outside.as_deref() == Some(id))
    }

    /// Takes a registration out; what the editor has to hear.
    fn remove(&mut self, maker: Maker, old: &Unregistration) -> Option<(String, String)> {
        let fits = |entry: &Entry| {
            entry.maker == maker
                && entry.id == old.id
                && (old.method.is_empty() || entry.method == old.method)
        };
        let index = self.entries.iter().position(fits)?;
        let entry = self.entries.swap_remove(index);
        self.handed_on(entry)
    }

    /// What the editor knows of a registration that is over, unless another server made the same one: then it is that
    /// server's from now on.
    fn handed_on(&mut self, entry: Entry) -> Option<(String, String)> {
        let outside = entry.outside?;
        let heir = self.entries.iter_mut().find(|other| {
            other.outside.is_none()
                && other.method == entry.method
                && other.options == entry.options
        });
        match heir {
            Some(heir) => heir.outside = Some(outside),
            None => return Some((outside, entry.method)),
        }
        None
    }

    /// Takes out what a server registered in other lives than this one; all of it without a life.
    fn remove_old(&mut self, server: usize, life: Option<u32>) -> Vec<(String, String)> {
        self.settle.remove(&server);
        let is_old = |entry: &mut Entry| {
            entry.maker.server == server && Some(entry.maker.generation) != life
        };
        let old: Vec<Entry> = self.entries.extract_if(.., is_old).collect();
        let over = old.into_iter().filter_map(|entry| self.handed_on(entry));
        over.collect()
    }
}

#[derive(Debug, Default, PartialEq)]
pub(super) struct Added {
    pub(super) over: Option<(String, String)>,
    pub(super) outside: Option<String>,
}

/// Whether the `documentSelector` of a registration's options fits a document. Without one every document fits.
fn selects(options: &Value, document: &Document) -> bool {
    let Some(filters) = at(options, "/documentSelector").as_array() else {
        return true;
    };
    filters.iter().any(|filter| {
        let says = |key: &str, is: &str| match filter.get(key).and_then(Value::as_str) {
            Some(wanted) => wanted == is || wanted == "*",
            None => true,
        };
        if let Some(language) = filter.as_str() {
            return language == document.language || language == "*";
        }
        let scheme = document.uri.split(':').next().unwrap_or_default();
        let fits_path = match (filter.get("pattern"), &document.path) {
            (None | Some(Value::Null), _) => true,
            (Some(pattern), Some(path)) => Pattern::read(pattern).fits(path, &[]),
            (Some(_), None) => false,
        };
        says("language", &document.language) && says("scheme", scheme) && fits_path
    })
}

impl Session {
    /// A server registers: what the editor takes goes on, the rest is noted and answered.
    pub(in crate::server) fn registers(&mut self, server: usize, raw_id: Bytes, body: &Bytes) {
        let Some(Registered { registrations }) = messages::params(body) else {
            return self.forward_request(server, raw_id, body, Back::AsItCame);
        };
        let maker = self.maker(server);
        let mut is_as_it_came = true;
        let (mut over, mut told) = (Vec::new(), Vec::new());
        for new in registrations {
            let takes = self.editor_takes(&new.method) && self.may_register(&new.method);
            let added = self.registrations.add(maker, &new, takes);
            over.extend(added.over);
            is_as_it_came &= added.outside.as_ref() == Some(&new.id);
            if let Some(outside) = added.outside {
                let mut item = json!({ "id": outside, "method": new.method });
                if let Some(options) = new.register_options {
                    crate::text::json::set(&mut item, "registerOptions", options);
                }
                told.push(item);
            }
        }
        self.unregister(over);
        self.hear_of_texts(server);
        self.ask_again(server);
        if told.is_empty() {
            self.send(server, messages::answer(&raw_id, &Value::Null));
        } else if is_as_it_came {
            self.forward_request(server, raw_id, body, Back::AsItCame);
        } else {
            let params = json!({ "registrations": told });
            let body = messages::request("", "client/registerCapability", &params);
            self.forward_request(server, raw_id, &body, Back::AsItCame);
        }
    }

    /// A server takes registrations back.
    pub(in crate::server) fn unregisters(&mut self, server: usize, raw_id: &[u8], body: &Bytes) {
        let maker = self.maker(server);
        let old: Option<Unregistered> = messages::params(body);
        let over = old
            .into_iter()
            .flat_map(|old| old.unregisterations)
            .filter_map(|old| self.registrations.remove(maker, &old))
            .collect();
        self.unregister(over);
        self.hear_of_texts(server);
        self.send(server, messages::answer(raw_id, &Value::Null));
    }

    /// A server may register how it wants to hear of texts: what is open by then is opened for it.
    fn hear_of_texts(&mut self, server: usize) {
        let registered = |method: &str| self.registrations.options(server, method, None);
        let is_told = registered("textDocument/didOpen").is_some();
        let changes = registered("textDocument/didChange")
            .and_then(|options| at(options, "/syncKind").as_u64())
            .map(Changes::of);
        let Some(behind) = self.servers.get_mut(server) else {
            return;
        };
        let mut sync = Sync::of(at(&behind.answer, "/capabilities"));
        sync.open_close |= is_told;
        sync.changes = changes.unwrap_or(sync.changes);
        let before = std::mem::replace(&mut behind.sync, sync);
        if sync.open_close && !before.open_close {
            let present: Vec<Bytes> = self.documents_of(server).map(roots::opened).collect();
            for body in present {
                self.send(server, body);
            }
        }
    }

    /// Tells the editor that registrations, by id and method, are over.
    pub(super) fn unregister(&mut self, over: Vec<(String, String)>) {
        if over.is_empty() || !matches!(self.stage, Stage::Running) {
            return;
        }
        let items: Vec<Value> = over
            .into_iter()
            .map(|(id, method)| json!({ "id": id, "method": method }))
            .collect();
        let id = self.requests.ask_editor(ToEditor::Unheeded);
        let params = json!({ "unregisterations": items });
        self.tell(messages::request(
            &id,
            "client/unregisterCapability",
            &params,
        ));
    }

    /// A server came back: it has a while to register again.
    pub(in crate::server) fn let_settle(&mut self, server: usize) {
        let deadline = Instant::now() + SETTLE;
        self.registrations.settle.insert(server, deadline);
    }

    /// A server does not come back: what it registered is over.
    pub(in crate::server) fn forget_registrations(&mut self, server: usize) {
        let over = self.registrations.remove_old(server, None);
        self.unregister(over);
        self.register_all_late();
    }

    pub(in crate::server) fn registrations_tick(&mut self, now: Instant) {
        let settle = self.registrations.settle.iter();
        let due: Vec<usize> = settle
            .filter(|(_, deadline)| **deadline <= now)
            .map(|(server, _)| *server)
            .collect();
        for server in due {
            let life = self.maker(server).generation;
            let over = self.registrations.remove_old(server, Some(life));
            self.unregister(over);
        }
    }

    /// A server in its present life.
    pub(in crate::server) fn maker(&self, server: usize) -> Maker {
        let behind = self.servers.get(server);
        Maker {
            server,
            generation: behind.map_or(0, |behind| behind.generation),
        }
    }

    /// Whether the editor takes registrations of a method; those of methods that are somebody's own it gets always.
    pub(super) fn editor_takes(&self, method: &str) -> bool {
        let mut known = protocol::methods()
            .iter()
            .filter(|known| known.registration == method);
        let path = match (protocol::method(method), known.next()) {
            (Some(known), _) | (None, Some(known)) => known.client_capability,
            (None, None) => return true,
        };
        let [first, second, ..] = path else {
            return true;
        };
        let capability = format!("/capabilities/{first}/{second}/dynamicRegistration");
        is_true(&self.greeting, &capability)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Maker = Maker {
        server: 0,
        generation: 0,
    };

    fn registration(id: &str, method: &str, options: Value) -> Registration {
        Registration {
            id: id.to_owned(),
            method: method.to_owned(),
            register_options: Some(options),
        }
    }

    fn add(registrations: &mut Registrations, maker: Maker, id: &str, options: Value) -> Added {
        registrations.add(
            maker,
            &registration(id, "textDocument/hover", options),
            true,
        )
    }

    #[test]
    fn one_id_of_two_servers_is_two_ids_for_the_editor() {
        let mut registrations = Registrations::default();
        let second = Maker { server: 1, ..FIRST };
        let mine = add(&mut registrations, FIRST, "1", json!({}));
        let yours = add(&mut registrations, second, "1", json!({ "yours": true }));
        assert_eq!(mine.outside.as_deref(), Some("1"));
        assert!(yours.outside.is_some() && yours.outside != mine.outside);
        let old = Unregistration {
            id: "1".to_owned(),
            method: String::new(),
        };
        let over = registrations.remove(second, &old).expect("it is there");
        assert_eq!(Some(over.0), yours.outside);
        assert!(registrations.has(0, "textDocument/hover", None));
        assert!(!registrations.has(1, "textDocument/hover", None));
    }

    #[test]
    fn what_two_servers_register_alike_is_one_until_both_are_gone() {
        let mut registrations = Registrations::default();
        let second = Maker { server: 1, ..FIRST };
        let mine = add(&mut registrations, FIRST, "a", json!({}));
        assert_eq!(
            add(&mut registrations, second, "b", json!({})),
            Added::default()
        );
        assert_eq!(registrations.remove_old(0, None), []);
        assert!(registrations.has(1, "textDocument/hover", None));
        let over = registrations.remove_old(1, None);
        assert_eq!(Some(over[0].0.clone()), mine.outside);
    }

    #[test]
    fn an_id_that_comes_twice_replaces_what_it_was_for() {
        let mut registrations = Registrations::default();
        add(&mut registrations, FIRST, "1", json!({ "a": 1 }));
        let same = add(&mut registrations, FIRST, "1", json!({ "a": 1 }));
        assert_eq!(same, Added::default());
        let other = add(&mut registrations, FIRST, "1", json!({ "a": 2 }));
        assert_eq!(other.over.map(|over| over.0).as_deref(), Some("1"));
        assert_eq!(other.outside.as_deref(), Some("1"));
        // For another method it is another registration.
        let more = registration("1", "textDocument/rename", json!({}));
        let more = registrations.add(FIRST, &more, true);
        assert_eq!((more.over, more.outside.as_deref()), (None, Some("1'")));
        assert_eq!(
            registrations.options(0, "textDocument/hover", None),
            Some(&json!({ "a": 2 }))
        );
    }

    #[test]
    fn what_a_next_life_registers_again_is_not_new_and_the_rest_is_over() {
        let mut registrations = Registrations::default();
        add(&mut registrations, FIRST, "1", json!({ "a": 1 }));
        add(&mut registrations, FIRST, "2", json!({ "a": 2 }));
        let next = Maker {
            generation: 1,
            ..FIRST
        };
        let again = add(&mut registrations, next, "7", json!({ "a": 1 }));
        assert_eq!(again, Added::default());
        let over = registrations.remove_old(0, Some(1));
        assert_eq!(over, [("2".to_owned(), "textDocument/hover".to_owned())]);
        let old = Unregistration {
            id: "7".to_owned(),
            method: "textDocument/hover".to_owned(),
        };
        let over = registrations.remove(next, &old).expect("it is there");
        assert_eq!(over.0, "1", "the editor knows it under its first name");
    }

    #[test]
    fn selectors_choose_documents_by_language_scheme_and_path() {
        let mut documents = crate::text::documents::Documents::default();
        let opened = json!({ "textDocument": { "uri": "file:///w/a.rs", "languageId": "rust", "text": "" } });
        documents.open(serde_json::from_value(opened).expect("the test's own shape"));
        let document = documents.get("file:///w/a.rs").expect("open");
        for (selector, expected) in [
            (Value::Null, true),
            (json!([]), false),
            (json!(["rust"]), true),
            (json!(["python", "*"]), true),
            (
                json!([{ "language": "python" }, { "scheme": "file" }]),
                true,
            ),
            (json!([{ "language": "rust", "scheme": "untitled" }]), false),
            (json!([{ "pattern": "**/*.rs" }]), true),
            (json!([{ "pattern": "**/*.py" }]), false),
            (
                json!([{ "pattern": { "baseUri": "file:///w", "pattern": "*.rs" } }]),
                true,
            ),
        ] {
            let options = json!({ "documentSelector": selector });
            assert_eq!(selects(&options, document), expected, "{selector}");
        }
    }
}
