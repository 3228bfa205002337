//! Questions that were asked before, are being asked, or have become pointless (spec: LSP Manager, response cache).
//!
//! What still holds is answered at once. Who asks what is being asked gets the same answer. A question about a text that
//! has changed since is given up when the same is asked of the present text.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use memchr::memmem;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::ask;
use super::requests::{Follower, FromEditor, Id, Then};
use crate::downstream::cache::{Cache, Question};
use crate::downstream::wire::{Envelope, with_id};
use crate::server::from_editor::Message;
use crate::server::messages::{self, Failure};
use crate::server::session::Session;

/// Bytes at the start of an answer that tell whether it is a result.
const HEAD_BYTES: usize = 96;

/// What is known of questions.
#[derive(Debug, Default)]
pub(in crate::server) struct Known {
    /// The answers that still hold.
    pub(in crate::server) cache: Arc<Cache>,
    /// Which request asks a question now.
    asking: HashMap<Question, Id>,
    /// How many times something happened.
    moment: u64,
}

impl Known {
    /// How often something was known, for people and tests.
    pub(in crate::server) fn usage(&self) -> Value {
        let usage = self.cache.usage();
        json!({
            "hits": usage.hits,
            "misses": usage.misses,
            "savedMicros": usage.saved_micros,
            "answers": usage.answers,
            "bytes": usage.bytes,
        })
    }
}

impl Session {
    /// Answers a request that was answered or is being asked; gives back what is to be done with the answer when it has
    /// to be asked.
    pub(in crate::server) fn known_answer(
        &mut self,
        method: &str,
        message: &mut Message,
        then: Then,
    ) -> Option<Then> {
        if !message.is_request || !self.is_agent() {
            return Some(then);
        }
        let question = Question::of(method, &message.body, message.id.clone());
        let Some(question) = question else {
            // It may do something.
            self.nothing_holds();
            return Some(then);
        };
        if let Some(body) = self.known.cache.get(&question, Instant::now()) {
            let body = addressed(&body, &message.raw_id);
            self.deliver(&message.raw_id, then, body);
            return None;
        }
        let leader = self.known.asking.get(&question).cloned();
        let leader = leader.and_then(|id| self.requests.get_mut(&id));
        let is_same = |leader: &&mut FromEditor| {
            leader.cancelled.is_none() && leader.question.as_ref() == Some(&question)
        };
        if let Some(leader) = leader.filter(is_same) {
            leader.followers.push(Follower {
                raw_id: message.raw_id.clone(),
                then,
            });
            return None;
        }
        self.give_up_stale(&question, &message.body);
        message.question = Some(question);
        Some(then)
    }

    /// Notes that a server has to answer a request.
    pub(in crate::server) fn accept(
        &mut self,
        question: Option<Question>,
        sent_id: &[u8],
        mut request: FromEditor,
    ) {
        let id = Id::read(sent_id);
        if let Some(question) = question {
            request.moment = self.known.moment;
            self.known.asking.insert(question.clone(), id.clone());
            request.question = Some(question);
        }
        self.requests.accept(id, request);
    }

    /// Something happened: what was answered may not hold any more.
    pub(in crate::server) fn nothing_holds(&mut self) {
        self.known.cache.clear();
        self.known.asking.clear();
        self.known.moment += 1;
    }

    /// What a request is answered with lacks somebody's part: whoever asks the same again asks the servers.
    pub(in crate::server) fn keep_no_answer(&mut self, request: &mut FromEditor) {
        if let Some(question) = request.question.take()
            && request.moment == self.known.moment
        {
            self.known.asking.remove(&question);
        }
    }

    /// Gives an answer to everybody who asked for it, and keeps it while it holds.
    pub(in crate::server) fn deliver_to_all(&mut self, mut request: FromEditor, body: Bytes) {
        let body = if request.is_stale && request.cancelled.is_none() {
            overtaken(&request.raw_id, body)
        } else {
            body
        };
        if let Some(question) = request.question.take()
            && request.moment == self.known.moment
            && is_result(&body)
        {
            self.known.asking.remove(&question);
            let (took, now) = (request.since.elapsed(), Instant::now());
            self.known.cache.put(question, &body, took, now);
        }
        // Who asked first is answered first.
        let own = addressed(&body, &request.raw_id);
        self.deliver(&request.raw_id, request.then, own);
        for follower in request.followers {
            let body = addressed(&body, &follower.raw_id);
            self.deliver(&follower.raw_id, follower.then, body);
        }
    }

    /// Cancels a request that shares its question with others, who go on. `false`: it is alone.
    pub(in crate::server) fn leave_together(&mut self, id: &Id, known_as: Option<&Id>) -> bool {
        let follower = self.requests.take_follower(id);
        let left = follower.map(|follower| follower.raw_id);
        let Some(raw_id) = left.or_else(|| self.requests.hand_over(known_as?)) else {
            return false;
        };
        self.tell(messages::failure(&raw_id, Failure::Cancelled, "cancelled"));
        true
    }

    /// Tells the servers to give up questions of the same kind about an earlier state of the same text.
    fn give_up_stale(&mut self, question: &Question, body: &[u8]) {
        let moment = self.known.moment;
        let document = |body: &[u8]| ask::document_of(body, question.method);
        let mut stale = Vec::new();
        for request in self.requests.of_method(question) {
            let is_older = request.moment < moment && !request.is_stale;
            if is_older && document(&request.body) == document(body) {
                request.is_stale = true;
                stale.push((request.sent_id(), request.asked.waiting()));
            }
        }
        for (sent_id, servers) in stale {
            self.call_off(&sent_id, servers);
        }
    }

    /// Tells servers that nobody wants an answer any more.
    pub(in crate::server) fn call_off(&mut self, sent_id: &[u8], servers: Vec<usize>) {
        let id: Option<&RawValue> = serde_json::from_slice(sent_id).ok();
        let cancel = messages::notification("$/cancelRequest", &json!({ "id": id }));
        for server in servers {
            self.send(server, cancel.clone());
        }
    }
}

/// An answer with the id of somebody else who asked the same.
fn addressed(body: &Bytes, raw_id: &[u8]) -> Bytes {
    match Envelope::peek(body).and_then(|envelope| envelope.id) {
        Some(range) if body.get(range.clone()) != Some(raw_id) => with_id(body, range, raw_id),
        _ => body.clone(),
    }
}

/// Whether an answer is a result, as far as its first bytes tell.
fn is_result(body: &[u8]) -> bool {
    let head = body.get(..HEAD_BYTES).unwrap_or(body);
    let has = |key: &[u8]| memmem::find(head, key).is_some();
    has(b"\"result\"") && !has(b"\"error\"")
}

/// The answer to a request that we cancelled: the editor did not, and knows "the text has changed" better.
fn overtaken(raw_id: &[u8], body: Bytes) -> Bytes {
    if is_result(&body) {
        return body;
    }
    messages::failure(raw_id, Failure::Overtaken, "the text has changed since")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_addressed_to_whoever_asked() {
        let body = Bytes::from_static(br#"{"jsonrpc":"2.0","id":1,"result":{"id":1}}"#);
        assert_eq!(
            addressed(&body, b"\"x\""),
            r#"{"jsonrpc":"2.0","id":"x","result":{"id":1}}"#
        );
        assert_eq!(addressed(&body, b"1"), body);
    }

    #[test]
    fn results_are_told_from_errors() {
        for (body, expected) in [
            (r#"{"jsonrpc":"2.0","id":1,"result":null}"#, true),
            (r#"{"result":[],"id":1}"#, true),
            (
                r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"\"result\""}}"#,
                false,
            ),
            (r#"{"id":1}"#, false),
        ] {
            assert_eq!(is_result(body.as_bytes()), expected, "{body}");
        }
    }
}
