//! One request of the editor that several servers answer (spec: LSP Manager, merging).
//!
//! Questions that one server answers ([`Combine::First`]) go to the best one, and to the next when it has nothing to
//! say. All others go to everybody at once, and what came within the time of the slowest that still counts is combined.

use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::downstream::merge::{self, Answer, Said, Taste};
use crate::downstream::protocol::{Combine, Method};
use crate::server::messages::{self, Failure};

/// Time that servers get to answer after the first one has.
pub const LATE: Duration = Duration::from_millis(1500);

/// Longest answer that is read before the others are there, to see whether it only says that there is none.
const FAILURE_BYTES_MAX: usize = 1024;

/// Time that the best server has for itself before the next one is asked beside it, and that the others have after one
/// that failed.
pub const ALONE: Duration = Duration::from_secs(5);

/// A request that several servers have, or will get.
#[derive(Debug)]
pub struct Fan {
    /// What is asked.
    pub method: &'static Method,
    order: Order,
    /// Best first.
    asked: Vec<Asked>,
    /// When it is looked at again although nobody answered.
    deadline: Option<Instant>,
}

/// In which order servers are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Everybody at once.
    AtOnce,
    /// The next one when the better one has nothing to say.
    InTurn,
}

impl Order {
    /// The order in which a method is asked.
    pub fn of(method: &Method) -> Self {
        match method.combine {
            Combine::First => Self::InTurn,
            _ => Self::AtOnce,
        }
    }
}

/// One of the servers.
#[derive(Debug)]
struct Asked {
    server: usize,
    generation: u32,
    state: State,
    /// When it got the request.
    since: Instant,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    /// Its turn has not come.
    Later,
    /// It has the request.
    Waiting,
    /// Its whole answer.
    Answered(Bytes),
    /// It will not answer.
    Gone,
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing: somebody may still answer.
    Wait,
    /// This server is asked as well.
    Ask(usize),
    /// It is answered with what there is.
    Finish,
}

impl Fan {
    /// A request for these servers (number and generation, best first); [`Fan::to_ask`] says who gets it now.
    pub fn new(
        method: &'static Method,
        order: Order,
        servers: impl Iterator<Item = (usize, u32)>,
    ) -> Self {
        let now = Instant::now();
        let asked = servers.enumerate().map(|(place, (server, generation))| {
            let is_first = place == 0 || order == Order::AtOnce;
            Asked {
                server,
                generation,
                state: if is_first {
                    State::Waiting
                } else {
                    State::Later
                },
                since: now,
            }
        });
        Self {
            asked: asked.collect(),
            deadline: (order == Order::InTurn).then(|| now + ALONE),
            order,
            method,
        }
    }

    /// The servers that have the request and have not answered.
    pub fn waiting(&self) -> impl Iterator<Item = usize> {
        let waits = |asked: &&Asked| asked.state == State::Waiting;
        self.asked.iter().filter(waits).map(|asked| asked.server)
    }

    /// Whether every server whose turn came had an answer.
    pub fn is_whole(&self) -> bool {
        self.asked
            .iter()
            .all(|asked| asked.state == State::Later || matches!(asked.said(), Said::Result(_)))
    }

    /// When a server got the request.
    pub fn since(&self, server: usize) -> Option<Instant> {
        let mut asked = self.asked.iter();
        let found = asked.find(|asked| asked.server == server);
        found.map(|asked| asked.since)
    }

    /// Whether a server has the request and has not answered.
    pub fn waits_for(&self, server: usize) -> bool {
        self.waiting().any(|waiting| waiting == server)
    }

    /// Takes a server's answer.
    pub fn answered(&mut self, server: usize, body: Bytes, now: Instant) -> Step {
        if self.order == Order::AtOnce {
            let patience = if is_failure(&body) { ALONE } else { LATE };
            let due = now + patience;
            self.deadline = Some(self.deadline.map_or(due, |known| known.min(due)));
        }
        self.note(server, State::Answered(messages::joinable(body)));
        self.next_step(now)
    }

    /// Notes that a server will not answer.
    pub fn gone(&mut self, server: usize, now: Instant) -> Step {
        self.note(server, State::Gone);
        self.next_step(now)
    }

    /// Notes that a server is asked again in its next life.
    pub fn asked_again(&mut self, server: usize, generation: u32) {
        for asked in &mut self.asked {
            if asked.server == server && asked.state == State::Waiting {
                asked.generation = generation;
            }
        }
    }

    /// When it has to be looked at.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// What to do because its time is up.
    pub fn overdue(&mut self, now: Instant) -> Step {
        if self.deadline.is_none_or(|deadline| now < deadline) {
            return Step::Wait;
        }
        if self.order == Order::AtOnce {
            return Step::Finish;
        }
        self.ask_next(now)
    }

    /// The combined answer. `name` gives the name of a server.
    pub fn answer<'a>(
        &'a self,
        raw_id: &[u8],
        taste: &Taste,
        name: impl Fn(usize) -> &'a str,
    ) -> Bytes {
        match merge::settle(self.method.combine, &self.said(name), taste) {
            Ok(result) => messages::raw_answer(raw_id, &result),
            Err(Some(error)) => messages::raw_failure(raw_id, error),
            Err(None) => messages::failure(raw_id, Failure::Failed, "no language server answered"),
        }
    }

    /// What the servers that were asked said. `name` gives the name of a server.
    pub fn said<'a>(&'a self, name: impl Fn(usize) -> &'a str) -> Vec<Answer<'a>> {
        self.asked
            .iter()
            .filter(|asked| asked.state != State::Later)
            .map(|asked| Answer {
                server: asked.server,
                generation: asked.generation,
                name: name(asked.server),
                said: asked.said(),
            })
            .collect()
    }

    fn note(&mut self, server: usize, state: State) {
        let found = self
            .asked
            .iter_mut()
            .find(|asked| asked.server == server && asked.state == State::Waiting);
        if let Some(asked) = found {
            asked.state = state;
        }
    }

    fn next_step(&mut self, now: Instant) -> Step {
        if self.order == Order::InTurn {
            let mut known = self.asked.iter();
            // The best one that has something, once nobody before it may still say something.
            let settled = known.find(|asked| asked.state == State::Waiting || asked.has_result());
            return match settled.map(|asked| &asked.state) {
                Some(State::Answered(_)) => Step::Finish,
                Some(_) => Step::Wait,
                None => self.ask_next(now),
            };
        }
        if self.waiting().next().is_some() {
            Step::Wait
        } else {
            Step::Finish
        }
    }

    fn ask_next(&mut self, now: Instant) -> Step {
        let next = self
            .asked
            .iter_mut()
            .find(|asked| asked.state == State::Later);
        let Some(next) = next else {
            self.deadline = None;
            let has_answer = self.asked.iter().any(Asked::has_result);
            return if has_answer || self.waiting().next().is_none() {
                Step::Finish
            } else {
                Step::Wait
            };
        };
        next.state = State::Waiting;
        next.since = now;
        self.deadline = Some(now + ALONE);
        Step::Ask(next.server)
    }
}

impl Asked {
    fn said(&self) -> Said<'_> {
        match &self.state {
            State::Answered(body) => said_in(body),
            State::Later | State::Waiting | State::Gone => Said::Nothing,
        }
    }

    /// Whether it said something that is not nothing.
    fn has_result(&self) -> bool {
        match self.said() {
            Said::Result(result) => !merge::is_nothing(result),
            Said::Error(_) | Said::Nothing => false,
        }
    }
}

/// What a server says in an answer.
pub fn said_in(body: &[u8]) -> Said<'_> {
    match messages::response(body) {
        Some(response) => match (response.result, response.error) {
            (Some(result), _) => Said::Result(result),
            (None, Some(error)) => Said::Error(error),
            (None, None) => Said::Result(RawValue::NULL),
        },
        None => Said::Nothing,
    }
}

/// Whether an answer says only that there is none: the others are worth waiting for.
fn is_failure(body: &[u8]) -> bool {
    body.len() <= FAILURE_BYTES_MAX
        && messages::response(body).is_none_or(|answer| answer.error.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::downstream::protocol;

    #[test]
    fn an_error_leaves_the_others_more_time_than_an_answer() {
        let method = protocol::method("textDocument/references").expect("known");
        let servers = (0..3).map(|server| (server, 0));
        let mut fan = Fan::new(method, Order::of(method), servers);
        let now = Instant::now();
        let failed = Bytes::from_static(br#"{"id":1,"error":{"code":-32603,"message":"no"}}"#);
        let result = Bytes::from_static(br#"{"id":1,"result":[]}"#);
        fan.answered(0, failed, now);
        assert_eq!(fan.overdue(now + LATE), Step::Wait);
        fan.answered(1, result, now);
        assert_eq!(fan.deadline(), Some(now + LATE));
        assert_eq!(fan.overdue(now + LATE), Step::Finish);
        assert_eq!(fan.overdue(now + ALONE), Step::Finish);
    }

    #[test]
    fn an_answer_that_is_no_text_is_joined_all_the_same() {
        let method = protocol::method("textDocument/hover").expect("known");
        for odd in [&b"\xff\xfe\xc3("[..], b"\\ud800 \\udc00"] {
            let mut fan = Fan::new(method, Order::of(method), (0..2).map(|server| (server, 0)));
            let now = Instant::now();
            let body = [
                &br#"{"id":1,"result":{"contents":"odd "#[..],
                odd,
                br#""}}"#,
            ]
            .concat();
            fan.answered(0, Bytes::from(body), now);
            let other = Bytes::from_static(br#"{"id":1,"result":{"contents":"plain"}}"#);
            assert_eq!(fan.answered(1, other, now), Step::Finish);
            let taste = Taste::of(&serde_json::Value::Null, method.name);
            let answer = fan.answer(b"1", &taste, |_| "server");
            let answer = std::str::from_utf8(&answer).expect("text");
            assert!(answer.contains("odd \u{fffd}"), "{answer}");
            assert!(answer.contains("plain"), "{answer}");
        }
    }
}
