//! Settings of each server: what we were configured with, over what the editor says (spec: LSP Manager, configuration).

use bytes::Bytes;
use serde_json::{Value, json};

use crate::server::messages;
use crate::server::questions::requests::Back;
use crate::server::session::Session;
use crate::text::json::{at, is_true, list, set, text};

impl Session {
    /// A server asks for settings. Where we have some they lie over the editor's; an editor that knows no settings leaves
    /// the rest empty.
    pub(in crate::server) fn settings_asked(&mut self, server: usize, raw_id: Bytes, body: &Bytes) {
        let editor_knows = is_true(&self.greeting, "/capabilities/workspace/configuration");
        let settings = self.settings_of(server);
        if settings.is_null() && editor_knows {
            return self.forward_request(server, raw_id, body, Back::AsItCame);
        }
        let params: Value = messages::params(body).unwrap_or_default();
        let items = list(&params, "/items");
        let ours: Vec<Value> = items
            .iter()
            .map(|item| section(settings, text(item, "/section")).clone())
            .collect();
        if editor_knows {
            self.forward_request(server, raw_id, body, Back::Settings(ours));
        } else {
            self.send(server, messages::answer(&raw_id, &json!(ours)));
        }
    }

    /// The editor answered a server that asked for settings: as many answers as were asked for, in their order.
    pub(in crate::server) fn settings_answered(
        &mut self,
        server: usize,
        raw_id: &[u8],
        ours: Vec<Value>,
        body: &[u8],
    ) {
        let answer: Value = serde_json::from_slice(body).unwrap_or_default();
        let theirs = list(&answer, "/result");
        let all: Vec<Value> = ours
            .into_iter()
            .enumerate()
            .map(|(index, ours)| overlaid(theirs.get(index).cloned().unwrap_or_default(), ours))
            .collect();
        self.send(server, messages::answer(raw_id, &json!(all)));
    }

    /// What a server hears when the editor's settings are these: `workspace/didChangeConfiguration` with ours over them.
    pub(in crate::server) fn settings_for(&self, server: usize, body: &Bytes) -> Bytes {
        let ours = self.settings_of(server);
        if ours.is_null() {
            return body.clone();
        }
        let mut params: Value = messages::params(body).unwrap_or_default();
        let settings = overlaid(at(&params, "/settings").clone(), ours.clone());
        set(&mut params, "settings", settings);
        messages::notification("workspace/didChangeConfiguration", &params)
    }

    /// The settings that a server was told last; null: none.
    pub(in crate::server) fn settings_told(&self, server: usize) -> Value {
        let told = self.standing.configuration();
        let told = told.map(|body| self.settings_for(server, body));
        let told = told.or_else(|| self.first_settings_for(server));
        let params: Value = told
            .and_then(|body| messages::params(&body))
            .unwrap_or_default();
        at(&params, "/settings").clone()
    }

    /// What a server with settings of its own hears before the editor has said anything: many wait for it.
    pub(in crate::server) fn first_settings_for(&self, server: usize) -> Option<Bytes> {
        let ours = self.settings_of(server);
        let params = json!({ "settings": ours });
        (!ours.is_null())
            .then(|| messages::notification("workspace/didChangeConfiguration", &params))
    }

    fn settings_of(&self, server: usize) -> &Value {
        let behind = self.servers.get(server);
        behind.map_or(&Value::Null, |behind| &behind.spec.settings)
    }
}

/// The settings of a section such as `python.analysis`, whose names may be nested or written with dots.
fn section<'settings>(settings: &'settings Value, section: &str) -> &'settings Value {
    if section.is_empty() {
        return settings;
    }
    if let Some(found) = settings.get(section) {
        return found;
    }
    let dots = section.match_indices('.').map(|(at, _)| at);
    for dot in dots {
        let (key, rest) = section.split_at(dot);
        if let Some(inner) = settings.get(key) {
            let found = self::section(inner, rest.trim_start_matches('.'));
            if !found.is_null() {
                return found;
            }
        }
    }
    &Value::Null
}

/// `over` laid over `under`: objects are merged, everything else is replaced; null replaces nothing.
fn overlaid(under: Value, over: Value) -> Value {
    match (under, over) {
        (under, Value::Null) => under,
        (Value::Object(mut under), Value::Object(over)) => {
            for (key, value) in over {
                let before = under.remove(&key).unwrap_or_default();
                under.insert(key, overlaid(before, value));
            }
            Value::Object(under)
        }
        (_, over) => over,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_found_however_they_are_written() {
        let settings = json!({ "a": { "b": { "c": 1 }, "d.e": 2 }, "f.g": { "h": 3 } });
        for (name, expected) in [
            ("", settings.clone()),
            ("a.b", json!({ "c": 1 })),
            ("a.b.c", json!(1)),
            ("a.d.e", json!(2)),
            ("f.g.h", json!(3)),
            ("a.x", Value::Null),
            ("a.", json!({ "b": { "c": 1 }, "d.e": 2 })),
        ] {
            assert_eq!(*section(&settings, name), expected, "{name}");
        }
    }

    #[test]
    fn ours_lies_over_theirs_and_nothing_of_theirs_is_lost() {
        let theirs = json!({ "a": { "b": 1, "c": [1, 2] }, "d": 4 });
        let ours = json!({ "a": { "c": [3], "e": null }, "d": { "f": 5 } });
        assert_eq!(
            overlaid(theirs, ours),
            json!({ "a": { "b": 1, "c": [3], "e": null }, "d": { "f": 5 } })
        );
        assert_eq!(overlaid(json!(1), Value::Null), json!(1));
    }
}
