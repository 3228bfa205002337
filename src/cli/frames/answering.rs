//! What the editor answered when a server asked, to be answered again in a replay (spec: Monitoring, flight recorder).

use std::collections::HashMap;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::downstream::recorder::recording::{Frame, Way};
use crate::downstream::wire::{Envelope, Kind, with_id};
use crate::text::json::{at, list, text};

/// The editor's answers of a recording.
#[derive(Debug)]
pub(super) struct Answering {
    known: Vec<Known>,
}

/// A request of the server and what it was answered.
#[derive(Debug)]
struct Known {
    method: String,
    params: Value,
    answer: Bytes,
    is_used: bool,
}

impl Answering {
    /// Takes the requests of the server that were answered out of a recording.
    pub(super) fn of(frames: &[Frame]) -> Self {
        let mut asked: HashMap<Bytes, (String, Value)> = HashMap::new();
        let mut known = Vec::new();
        for frame in frames.iter().filter(|frame| !frame.is_cut) {
            let Some(envelope) = Envelope::peek(&frame.body) else {
                continue;
            };
            let id = Bytes::copy_from_slice(envelope.id(&frame.body));
            match (frame.way, envelope.kind) {
                (Way::FromServer, Kind::Request) => {
                    let message: Value = serde_json::from_slice(&frame.body).unwrap_or_default();
                    let method = text(&message, "/method").to_owned();
                    asked.insert(id, (method, at(&message, "/params").clone()));
                }
                (Way::ToServer, Kind::Response) => {
                    if let Some((method, params)) = asked.remove(&id) {
                        known.push(Known {
                            method,
                            params,
                            answer: frame.body.clone(),
                            is_used: false,
                        });
                    }
                }
                _ => {}
            }
        }
        Self { known }
    }

    /// The answer to a request of the server: to the same one, to one of the same method, or one that says nothing.
    pub(super) fn answer(&mut self, request: &Bytes, envelope: &Envelope) -> Bytes {
        let message: Value = serde_json::from_slice(request).unwrap_or_default();
        let method = text(&message, "/method");
        let params = at(&message, "/params");
        let of_method = |known: &&mut Known| known.method == method;
        let is_same = |known: &&mut Known| known.method == method && known.params == *params;
        let mut candidates = self.known.iter_mut().filter(|known| !known.is_used);
        let mut found = candidates.find(is_same);
        if found.is_none() {
            found = self.known.iter_mut().find(is_same);
        }
        if found.is_none() {
            let mut candidates = self.known.iter_mut().filter(|known| !known.is_used);
            found = candidates.find(of_method);
        }
        let id = envelope.id(request);
        if let Some(known) = found {
            known.is_used = true;
            if let Some(range) = Envelope::peek(&known.answer).and_then(|answer| answer.id) {
                return with_id(&known.answer, range, id);
            }
        }
        let nothing = match method {
            "workspace/configuration" => json!(vec![Value::Null; list(params, "/items").len()]),
            "workspace/applyEdit" => json!({ "applied": false }),
            _ => Value::Null,
        };
        let mut answer = br#"{"jsonrpc":"2.0","id":"#.to_vec();
        answer.extend_from_slice(id);
        answer.extend_from_slice(format!(",\"result\":{nothing}}}").as_bytes());
        Bytes::from(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::downstream::recorder::recording::Origin;

    #[test]
    fn the_same_question_gets_the_same_answer_and_another_one_something_harmless() {
        let frame = |way, body: &'static str| Frame {
            at: 0,
            way,
            origin: Origin::Heard,
            bytes: body.len(),
            is_cut: false,
            body: Bytes::from_static(body.as_bytes()),
        };
        let mut answering = Answering::of(&[
            frame(Way::FromServer, r#"{"id":1,"method":"m","params":{"a":1}}"#),
            frame(Way::FromServer, r#"{"id":2,"method":"m","params":{"a":2}}"#),
            frame(Way::ToServer, r#"{"id":2,"result":"two"}"#),
            frame(Way::ToServer, r#"{"id":1,"result":"one"}"#),
        ]);
        for (request, expected) in [
            (
                r#"{"id":"x","method":"m","params":{"a":1}}"#,
                r#"{"id":"x","result":"one"}"#,
            ),
            (
                r#"{"id":8,"method":"m","params":{"a":3}}"#,
                r#"{"id":8,"result":"two"}"#,
            ),
            (
                r#"{"id":9,"method":"m","params":{"a":4}}"#,
                r#"{"jsonrpc":"2.0","id":9,"result":null}"#,
            ),
            (
                r#"{"id":9,"method":"m","params":{"a":1}}"#,
                r#"{"id":9,"result":"one"}"#,
            ),
            (
                r#"{"id":7,"method":"workspace/configuration","params":{"items":[{},{}]}}"#,
                r#"{"jsonrpc":"2.0","id":7,"result":[null,null]}"#,
            ),
        ] {
            let body = Bytes::from_static(request.as_bytes());
            let envelope = Envelope::peek(&body).expect("a request");
            assert_eq!(answering.answer(&body, &envelope), expected, "{request}");
        }
    }
}
