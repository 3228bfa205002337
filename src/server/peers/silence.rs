//! A server that lives and says nothing while several requests wait for it (spec: LSP Manager, server health).
//!
//! It holds up nobody but those who asked it, so nothing is done to it: the user is told once, and may start it again.

use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};

use crate::server::messages;
use crate::server::questions::requests::ToEditor;
use crate::server::session::Session;
use crate::text::json::{at, text};

/// Requests that have to wait before a server counts as silent: one alone may be a hard one.
const WAITING_MIN: usize = 2;

/// Looks at silent servers in the time after which they are told of.
const LOOKS: u32 = 4;

/// What the user can choose.
const RESTART: &str = "Restart";
const WAIT: &str = "Wait";

impl Session {
    /// When it is to be looked whether a server is silent. While nobody waits for anything, never.
    pub(in crate::server) fn silence_deadline(&self) -> Option<Instant> {
        let is_on = self.config.lsp.silence_seconds > 0 && !self.requests.is_empty();
        is_on.then_some(self.silence_look)
    }

    /// Tells of the servers that are silent, each once in its life.
    pub(in crate::server) fn silence_tick(&mut self, now: Instant) {
        let patience = Duration::from_secs(self.config.lsp.silence_seconds);
        if patience.is_zero() || now < self.silence_look {
            return;
        }
        self.silence_look = now + patience / LOOKS;
        let (mut silent, known) = (Vec::new(), self.servers.iter().enumerate());
        for (number, server) in known.filter(|(_, server)| server.is_running()) {
            let waits: Vec<Instant> = self.requests.waits_for(number).collect();
            if !server.is_called_silent && is_silent(now, server.heard, &waits, patience) {
                silent.push((number, waits.len()));
            }
        }
        for (number, waiting) in silent {
            self.offer_restart(number, waiting, now);
        }
    }

    fn offer_restart(&mut self, server: usize, waiting: usize, now: Instant) {
        let Some(behind) = self.servers.get_mut(server) else {
            return;
        };
        behind.is_called_silent = true;
        let attempt = behind.attempt;
        let seconds = now.duration_since(behind.heard).as_secs();
        let text = format!(
            "Meliora: {} has said nothing for {seconds} s, and {waiting} requests wait for it",
            self.name_of(server)
        );
        tracing::warn!("{text}");
        let id = self
            .requests
            .ask_editor(ToEditor::Silence { server, attempt });
        let actions = json!([{ "title": RESTART }, { "title": WAIT }]);
        let params = json!({ "type": 2, "message": text, "actions": actions });
        self.tell(messages::request(&id, "window/showMessageRequest", &params));
    }

    /// The user chose what becomes of a silent server.
    pub(in crate::server) fn silence_answered(
        &mut self,
        server: usize,
        attempt: u32,
        body: &Bytes,
    ) {
        let answer: Value = serde_json::from_slice(body).unwrap_or_default();
        let is_same = self.servers.get(server).map(|it| it.attempt) == Some(attempt);
        if is_same && text(at(&answer, "/result"), "/title") == RESTART {
            self.restart_server(server);
        }
    }
}

/// Whether a server that was heard last at some time is silent for those who wait for it since these times.
fn is_silent(now: Instant, heard: Instant, waits: &[Instant], patience: Duration) -> bool {
    let is_long = |since: &Instant| now.duration_since(*since) >= patience;
    is_long(&heard) && waits.iter().filter(|since| is_long(since)).count() >= WAITING_MIN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silent_is_who_has_said_nothing_while_several_wait_long() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let patience = Duration::from_secs(60);
        for (heard, waits, expected) in [
            (0, &[0, 40][..], true),
            (0, &[0], false),
            (0, &[0, 41], false),
            (41, &[0, 0, 0], false),
            (0, &[], false),
        ] {
            let waits: Vec<Instant> = waits.iter().copied().map(at).collect();
            let found = is_silent(at(100), at(heard), &waits, patience);
            assert_eq!(found, expected, "{heard} {waits:?}");
        }
    }
}
