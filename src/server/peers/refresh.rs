//! Servers ask the editor to ask again (spec: LSP Integration, refreshes).
//!
//! A server that asks is answered at once. What several of them ask in a short time reaches the editor as one request,
//! and only when the editor knows it. A server that asks again because the editor asked again would go on for ever, so
//! the pause grows while there is no rest.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::server::messages;
use crate::server::questions::requests::ToEditor;
use crate::server::session::Session;
use crate::text::json::{at, is_true};

/// Time in which requests of one kind are gathered.
const GATHER: Duration = Duration::from_millis(75);

/// Longest pause between two requests of one kind.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Time without a request of one kind after which the pause is short again.
const REST: Duration = Duration::from_secs(3);

/// What was asked for, by method.
#[derive(Debug, Default)]
pub(in crate::server) struct Refreshes {
    kinds: BTreeMap<String, Kind>,
}

#[derive(Debug)]
struct Kind {
    due: Option<Instant>,
    last: Option<Instant>,
    pause: Duration,
}

impl Refreshes {
    /// Notes that somebody asks.
    fn ask(&mut self, method: &str, now: Instant) {
        let kind = self.kinds.entry(method.to_owned()).or_insert(Kind {
            due: None,
            last: None,
            pause: GATHER,
        });
        if kind.due.is_some() {
            return;
        }
        let since = kind.last.map(|last| now.duration_since(last));
        kind.pause = match since {
            Some(since) if since < REST => PAUSE_MAX.min(kind.pause * 2),
            _ => GATHER,
        };
        let gathered = now + GATHER;
        let rested = kind.last.map(|last| last + kind.pause);
        kind.due = Some(rested.map_or(gathered, |rested| rested.max(gathered)));
    }

    /// When the next request goes to the editor.
    pub(in crate::server) fn deadline(&self) -> Option<Instant> {
        self.kinds.values().filter_map(|kind| kind.due).min()
    }

    /// Takes out what goes to the editor now.
    fn take_due(&mut self, now: Instant) -> Vec<String> {
        let mut due = Vec::new();
        for (method, kind) in &mut self.kinds {
            if kind.due.take_if(|due| *due <= now).is_some() {
                kind.last = Some(now);
                due.push(method.clone());
            }
        }
        due
    }
}

/// What a method asks to be asked again, such as `inlayHint`; `None` when it is no such request.
pub(in crate::server) fn kind_of(method: &str) -> Option<&str> {
    method.strip_prefix("workspace/")?.strip_suffix("/refresh")
}

impl Session {
    /// Asks the editor soon to ask again, if it knows that request.
    pub(in crate::server) fn refresh(&mut self, kind: &str) {
        let editor = at(&self.greeting, "/capabilities/workspace");
        // The protocol writes `diagnostics` here, and `diagnostic` in the method.
        let knows = |key: &str| is_true(editor, &format!("/{key}/refreshSupport"));
        if knows(kind) || knows(&format!("{kind}s")) {
            let method = format!("workspace/{kind}/refresh");
            self.refreshes.ask(&method, Instant::now());
        }
    }

    /// Asks the editor to ask again for everything that a server can answer.
    pub(in crate::server) fn refresh_all_of(&mut self, server: usize) {
        let capabilities = self
            .servers
            .get(server)
            .map(|behind| at(&behind.answer, "/capabilities"));
        let keys = capabilities.and_then(Value::as_object);
        let kinds: Vec<String> = keys
            .into_iter()
            .flat_map(|keys| keys.iter())
            .filter(|(_, value)| !matches!(value, Value::Null | Value::Bool(false)))
            .filter_map(|(key, _)| Some(key.strip_suffix("Provider")?.to_owned()))
            .collect();
        for kind in kinds {
            self.refresh(&kind);
        }
    }

    pub(in crate::server) fn refreshes_tick(&mut self, now: Instant) {
        for method in self.refreshes.take_due(now) {
            let id = self.requests.ask_editor(ToEditor::Unheeded);
            self.tell(messages::request(&id, &method, &Value::Null));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_requests_become_one_and_endless_ones_become_slow() {
        let mut refreshes = Refreshes::default();
        let mut now = Instant::now();
        let begin = now;
        for _ in 0..10 {
            refreshes.ask("a", now);
        }
        refreshes.ask("b", now);
        assert!(refreshes.take_due(now).is_empty());
        now += GATHER;
        assert_eq!(refreshes.take_due(now), ["a", "b"]);
        // One that is asked for as soon as it was done.
        let mut times = 0;
        while now < begin + Duration::from_secs(20) {
            refreshes.ask("a", now);
            now = refreshes.deadline().expect("it was asked for");
            times += refreshes.take_due(now).len();
        }
        assert!((15..30).contains(&times), "{times}");
        now += REST;
        refreshes.ask("a", now);
        assert_eq!(refreshes.deadline(), Some(now + GATHER));
    }

    #[test]
    fn only_requests_to_ask_again_are_gathered() {
        assert_eq!(kind_of("workspace/codeLens/refresh"), Some("codeLens"));
        assert_eq!(kind_of("workspace/configuration"), None);
    }
}
