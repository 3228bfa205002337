//! Progress tokens of servers and editors (spec: LSP Integration, work-done progress).
//!
//! A token that a server made is the editor's under a name that no other server has. When one request of the editor goes
//! to several servers, each gets a token of its own, and the editor sees one display: it begins with the first of them
//! and ends with the last.

use std::collections::BTreeMap;

use bytes::Bytes;
use memchr::memmem;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::names::{Maker, spliced};
use crate::server::messages;
use crate::server::questions::requests::FromEditor;
use crate::server::session::Session;
use crate::text::json::text;

/// Tokens that a server may have made without using them.
const UNUSED_MAX: usize = 1024;

/// What the editor's own tokens became for several servers.
#[derive(Debug, Default)]
pub struct Tokens {
    /// By the token that one server got.
    shares: BTreeMap<String, Share>,
    /// By number.
    displays: BTreeMap<u64, Display>,
    next: u64,
}

#[derive(Debug)]
struct Share {
    server: usize,
    display: u64,
}

#[derive(Debug)]
struct Display {
    token: Value,
    begun: bool,
    open: usize,
}

/// What is done with a progress message.
#[derive(Debug, Clone, PartialEq)]
pub enum Seen {
    /// Its token is not one of ours: it goes on as it is.
    Foreign,
    /// The editor does not need it.
    Dropped,
    /// It goes on under this token.
    Under(Value),
}

/// What a progress message says, as far as displays are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A display begins.
    Begin,
    /// It goes on.
    Report,
    /// It is no display at all, but a part of a result.
    Part,
    /// It ends.
    End,
}

impl Step {
    fn of(kind: &str) -> Self {
        match kind {
            "begin" => Self::Begin,
            "end" => Self::End,
            "report" => Self::Report,
            _ => Self::Part,
        }
    }
}

impl Tokens {
    /// Makes a token for each server that may get a request on which the editor wants to see progress under `token`, and
    /// gives the number of their display.
    pub fn mint(&mut self, token: &Value, servers: &[usize]) -> u64 {
        self.next += 1;
        let display = Display {
            token: token.clone(),
            begun: false,
            open: servers.len(),
        };
        self.displays.insert(self.next, display);
        for server in servers {
            let share = Share {
                server: *server,
                display: self.next,
            };
            self.shares.insert(minted(self.next, *server), share);
        }
        self.next
    }

    /// What is done with a server's progress message on a token.
    pub fn seen(&mut self, server: usize, token: &str, step: Step) -> Seen {
        let share = self.shares.get(token);
        let Some(share) = share.filter(|share| share.server == server) else {
            return Seen::Foreign;
        };
        let Some(display) = self.displays.get_mut(&share.display) else {
            return Seen::Dropped;
        };
        match step {
            Step::Begin if display.begun => Seen::Dropped,
            Step::Begin => {
                display.begun = true;
                Seen::Under(display.token.clone())
            }
            Step::Report | Step::Part if display.begun => Seen::Under(display.token.clone()),
            Step::Report | Step::Part => Seen::Dropped,
            Step::End => self.close(token).map_or(Seen::Dropped, Seen::Under),
        }
    }

    /// Notes that the request of a display is answered. Gives the editor's token when its display has to be ended, because
    /// not every server did that.
    pub fn finish(&mut self, display: u64) -> Option<Value> {
        self.shares.retain(|_, share| share.display != display);
        let display = self.displays.remove(&display)?;
        display.begun.then_some(display.token)
    }

    /// Notes that a server shows nothing more under its token. Gives the editor's token when it was the last one.
    fn close(&mut self, token: &str) -> Option<Value> {
        let share = self.shares.remove(token)?;
        let display = self.displays.get_mut(&share.display)?;
        display.open = display.open.saturating_sub(1);
        if display.open > 0 {
            return None;
        }
        let display = self.displays.remove(&share.display)?;
        display.begun.then_some(display.token)
    }

    /// Closes everything of a server that is gone; the tokens of displays that have to be ended.
    pub fn gone(&mut self, server: usize) -> Vec<Value> {
        let shares = self.shares.iter();
        let of_server: Vec<String> = shares
            .filter(|(_, share)| share.server == server)
            .map(|(token, _)| token.clone())
            .collect();
        of_server
            .iter()
            .filter_map(|token| self.close(token))
            .collect()
    }

    /// The servers that work under the editor's token, and their tokens: for the editor that stops the work.
    pub fn under(&self, token: &Value) -> Vec<(usize, String)> {
        let is_it = |share: &Share| {
            let display = self.displays.get(&share.display);
            display.is_some_and(|display| display.token == *token)
        };
        self.shares
            .iter()
            .filter(|(_, share)| is_it(share))
            .map(|(name, share)| (share.server, name.clone()))
            .collect()
    }
}

/// The token of a server for a display.
pub(in crate::server) fn minted(display: u64, server: usize) -> String {
    format!("meliora-work-{display}-{server}")
}

/// The end of a display that its server did not end.
pub(in crate::server) fn end_of(token: &Value) -> Bytes {
    let params = json!({ "token": token, "value": { "kind": "end" } });
    messages::notification("$/progress", &params)
}

/// What of a request's parameters is about progress.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Work<'body> {
    #[serde(borrow, default)]
    work_done_token: Option<&'body RawValue>,
}

/// A request with this token for its progress in place of the editor's.
pub(in crate::server) fn with_own(body: &Bytes, token: &str) -> Bytes {
    let theirs = messages::params::<Work<'_>>(body).and_then(|params| params.work_done_token);
    theirs.map_or_else(
        || body.clone(),
        |theirs| spliced(body, theirs.get(), &json!(token).to_string()),
    )
}

#[derive(Deserialize)]
struct Params<'body> {
    #[serde(borrow)]
    token: &'body RawValue,
    #[serde(borrow, default)]
    value: Option<&'body RawValue>,
}

impl Session {
    /// A server makes a token: the body as the editor gets it.
    pub(in crate::server) fn token_made(&mut self, server: usize, body: &Bytes) -> Bytes {
        let Some(params) = messages::params::<Params<'_>>(body) else {
            return body.clone();
        };
        let Some(behind) = self.servers.get_mut(server) else {
            return body.clone();
        };
        let maker = Maker {
            server,
            generation: behind.generation,
        };
        let token = params.token.get();
        if maker.is_first() {
            return body.clone();
        }
        if behind.made.len() >= UNUSED_MAX {
            behind.made.pop_first();
        }
        behind.made.insert(token.to_owned());
        spliced(body, token, &json!(maker.outside(token)).to_string())
    }

    /// A server shows progress: the body as the editor gets it, if it gets it.
    pub(in crate::server) fn progress_of(
        &mut self,
        server: usize,
        body: Bytes,
    ) -> Option<(Step, Bytes)> {
        let Some(params) = messages::params::<Params<'_>>(&body) else {
            return Some((Step::Part, body));
        };
        let value: Value = params
            .value
            .and_then(|value| serde_json::from_str(value.get()).ok())
            .unwrap_or_default();
        let step = Step::of(text(&value, "/kind"));
        let token = params.token.get();
        let name: Value = serde_json::from_str(token).unwrap_or_default();
        match self
            .tokens
            .seen(server, name.as_str().unwrap_or_default(), step)
        {
            Seen::Foreign => {}
            Seen::Dropped => return None,
            Seen::Under(ours) => return Some((step, spliced(&body, token, &ours.to_string()))),
        }
        let behind = self.servers.get_mut(server)?;
        let maker = Maker {
            server,
            generation: behind.generation,
        };
        let is_made = behind.made.contains(token);
        let outside = if is_made {
            json!(maker.outside(token)).to_string()
        } else {
            name.to_string()
        };
        let body = if is_made {
            spliced(&body, token, &outside)
        } else {
            body.clone()
        };
        match step {
            Step::Begin => drop(behind.working.insert(outside)),
            Step::End => {
                behind.working.remove(&outside);
                behind.made.remove(token);
            }
            Step::Report | Step::Part => {}
        }
        Some((step, body))
    }

    /// Makes tokens for the servers that may get a request, when the editor wants to see its progress.
    pub(in crate::server) fn display_for(&mut self, body: &[u8], servers: &[usize]) -> Option<u64> {
        memmem::find(body, b"workDoneToken")?;
        let token = messages::params::<Work<'_>>(body)?.work_done_token?;
        let token = serde_json::from_str(token.get()).ok()?;
        Some(self.tokens.mint(&token, servers))
    }

    /// Ends the display of a request that is answered, if its servers did not.
    pub(in crate::server) fn end_display(&mut self, request: &FromEditor) {
        let token = request
            .display
            .and_then(|display| self.tokens.finish(display));
        if let Some(token) = token {
            self.tell(end_of(&token));
        }
    }

    /// The editor stops work of a server: sends it to whoever does that work. `false`: nobody is known to do it.
    pub(in crate::server) fn stop_work_of_server(&mut self, body: &Bytes) -> bool {
        let Some(params) = messages::params::<Params<'_>>(body) else {
            return false;
        };
        let token = params.token.get();
        let name: Value = serde_json::from_str(token).unwrap_or_default();
        let shares = self.tokens.under(&name);
        for (server, minted) in &shares {
            let body = spliced(body, token, &json!(minted).to_string());
            self.send(*server, body);
        }
        if !shares.is_empty() {
            return true;
        }
        if let Some((maker, theirs)) = name.as_str().and_then(Maker::of) {
            let behind = self.servers.get(maker.server);
            if behind.is_some_and(|behind| behind.generation == maker.generation) {
                self.send(maker.server, spliced(body, token, theirs));
            }
            return true;
        }
        let token = name.to_string();
        let works = |server: &super::behind::Behind| server.working.contains(&token);
        match self.servers.iter().position(works) {
            Some(server) => {
                self.send(server, body.clone());
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_request_to_several_servers_is_one_display() {
        let mut tokens = Tokens::default();
        let theirs = json!("work");
        let display = tokens.mint(&theirs, &[0, 2]);
        let (first, second) = (&minted(display, 0), &minted(display, 2));
        let passes = Seen::Under(theirs.clone());
        for (server, token, step, expected) in [
            (0, first, Step::Report, Seen::Dropped),
            (2, first, Step::Begin, Seen::Foreign),
            (2, second, Step::Begin, passes.clone()),
            (0, first, Step::Begin, Seen::Dropped),
            (0, first, Step::Report, passes.clone()),
            (0, first, Step::End, Seen::Dropped),
            (2, second, Step::Report, passes.clone()),
            (2, second, Step::End, passes),
            (2, second, Step::End, Seen::Foreign),
        ] {
            assert_eq!(
                tokens.seen(server, token, step),
                expected,
                "{server} {step:?}"
            );
        }
    }

    #[test]
    fn a_display_ends_also_when_its_servers_do_not_end_it() {
        let mut tokens = Tokens::default();
        let theirs = json!(7);
        let display = tokens.mint(&theirs, &[0, 1]);
        assert_eq!(tokens.under(&theirs).len(), 2);
        tokens.seen(0, &minted(display, 0), Step::Begin);
        assert!(tokens.gone(0).is_empty());
        assert_eq!(tokens.finish(display), Some(theirs.clone()));
        assert_eq!(tokens.finish(display), None);
        // One that never began needs no end.
        let display = tokens.mint(&theirs, &[3]);
        assert!(tokens.gone(3).is_empty());
        assert_eq!(tokens.finish(display), None);
        assert!(tokens.under(&theirs).is_empty());
    }
}
