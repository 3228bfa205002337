//! Puts the pieces of a streamed answer together (spec: Response streaming).
//!
//! Servers differ in small ways, and each tolerance here is for one that exists: calls without an index or an id, a
//! whole call in one piece, an id sent twice, arguments as an object, `stop` as the reason for tool calls, an answer
//! that is not streamed at all.

use serde::Deserialize;
use serde_json::Value;

use super::message::{Answer, Finish, Thoughts, ToolCall, Usage};
use super::openai::error_text;
use super::{anthropic, ollama, responses, template, tokens};
use crate::config::Wire;

/// Why a stream makes no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The provider says so in the stream.
    #[error("the provider reports: {0}")]
    Reported(String),
    /// The provider says in the stream that it cannot go on at the moment.
    #[error("the provider broke off: {0}")]
    Passing(String),
    /// Something that is not a piece of an answer.
    #[error("the provider sent something that is not the answer of a model: {0}")]
    Malformed(String),
    /// The stream ended early.
    #[error("the answer was cut off")]
    Cut {
        /// What had come until then.
        text: String,
    },
}

/// Puts a streamed answer together.
#[derive(Debug, Clone)]
pub struct Assembler {
    wire: Wire,
    /// Where the text is, by a wire of the configuration.
    pointer: String,
    text: String,
    thoughts: Vec<(u64, Value)>,
    calls: Vec<Slot>,
    finish: Option<String>,
    usage: Option<Usage>,
    hidden_tokens: u64,
    /// The item whose text came last, where a wire has items.
    said_at: Option<u64>,
    refused: bool,
    done: bool,
}

#[derive(Debug, Clone, Default)]
struct Slot {
    index: Option<u64>,
    id: String,
    name: String,
    arguments: String,
}

impl Assembler {
    /// An assembler for the answers of one wire.
    pub fn new(wire: Wire) -> Self {
        Self::reading(wire, String::new())
    }

    /// An assembler for the answers of a wire that has its text at `pointer`.
    pub(super) fn reading(wire: Wire, pointer: String) -> Self {
        Self {
            wire,
            pointer,
            text: String::new(),
            thoughts: Vec::new(),
            calls: Vec::new(),
            finish: None,
            usage: None,
            hidden_tokens: 0,
            said_at: None,
            refused: false,
            done: false,
        }
    }

    /// Takes the data of one event and gives the text that it added.
    pub fn take(&mut self, data: &str) -> Result<String, Fault> {
        let data = data.trim();
        if data == "[DONE]" {
            // An answer of the responses wire ends with what it cost, or it was cut.
            self.done |= self.wire != Wire::Responses;
            return Ok(String::new());
        }
        if data.is_empty() || self.done {
            return Ok(String::new());
        }
        match self.wire {
            Wire::Openai => self.take_chunk(data),
            Wire::Anthropic => self.added_by(|this| anthropic::take(data, this)),
            Wire::Ollama => self.added_by(|this| ollama::take(data, this)),
            Wire::Responses => self.added_by(|this| responses::take(data, this)),
            Wire::Template => {
                let pointer = std::mem::take(&mut self.pointer);
                let added = self.added_by(|this| template::take(data, &pointer, this));
                self.pointer = pointer;
                added
            }
        }
    }

    fn added_by(
        &mut self,
        take: impl FnOnce(&mut Self) -> Result<(), Fault>,
    ) -> Result<String, Fault> {
        let said = self.text.len();
        take(self)?;
        Ok(self.text.get(said..).unwrap_or_default().to_owned())
    }

    fn take_chunk(&mut self, data: &str) -> Result<String, Fault> {
        let chunk: Chunk = serde_json::from_str(data).map_err(|_| malformed(data))?;
        if let Some(error) = chunk.error.filter(|error| !error.is_null()) {
            return Err(reported(&error));
        }
        if let Some(usage) = chunk.usage {
            // A later report replaces an earlier one: figures are of the whole exchange, not of a chunk.
            self.usage = Some(usage.counted());
        }
        let mut added = String::new();
        for choice in chunk.choices.into_iter().flatten() {
            if choice.index.unwrap_or(0) != 0 {
                continue;
            }
            if let Some(reason) = choice.finish_reason.filter(|reason| !reason.is_empty()) {
                self.finish = Some(reason);
            }
            if let Some(delta) = choice.delta.or(choice.message) {
                added.push_str(&self.take_delta(delta));
            }
        }
        Ok(added)
    }

    /// Takes an answer that came in one piece.
    pub fn take_whole(&mut self, body: &str) -> Result<String, Fault> {
        let added = self.take(body)?;
        if self.wire == Wire::Template && self.finish.is_none() {
            return Err(malformed(body));
        }
        self.done |= self.finish.is_some();
        Ok(added)
    }

    /// Whether the answer is complete, whatever still comes.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// Whether nothing of an answer has come yet.
    pub fn is_blank(&self) -> bool {
        self.text.is_empty() && self.calls.is_empty()
    }

    /// Text of the answer.
    pub(super) fn say(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// Text of one item of the answer.
    pub(super) fn say_at(&mut self, item: u64, text: &str) {
        self.said_at = Some(item);
        self.say(text);
    }

    /// Whether text of an item has come.
    pub(super) fn has_said_at(&self, item: u64) -> bool {
        self.said_at == Some(item)
    }

    /// The model says that it will not, in its own words.
    pub(super) fn refuse(&mut self) {
        self.refused = true;
    }

    /// Text that nobody gets to see, and that costs tokens.
    pub(super) fn hide(&mut self, text: &str) {
        self.hidden_tokens += tokens::count(text);
    }

    /// What was hidden while it came in pieces is there as a whole.
    pub(super) fn reveal(&mut self, text: &str) {
        self.hidden_tokens = self.hidden_tokens.saturating_sub(tokens::count(text));
    }

    /// A call begins.
    pub(super) fn begin_call(&mut self, index: u64, id: &str, name: &str, arguments: String) {
        self.calls.push(Slot {
            index: Some(index),
            id: id.to_owned(),
            name: name.to_owned(),
            arguments,
        });
    }

    /// The arguments of a call go on.
    pub(super) fn add_arguments(&mut self, index: u64, part: &str) {
        let slot = self
            .calls
            .iter_mut()
            .rfind(|slot| slot.index == Some(index));
        if let Some(slot) = slot {
            slot.arguments.push_str(part);
        }
    }

    /// A thought begins that has to be given back as it is.
    pub(super) fn begin_thought(&mut self, index: u64, block: Value) {
        self.thoughts.push((index, block));
    }

    /// Whether anything has come that has to be given back.
    pub(super) fn has_thoughts(&self) -> bool {
        !self.thoughts.is_empty()
    }

    /// Keeps what is to be given back only when a part of it is worth that.
    pub(super) fn keep_thoughts_if(&mut self, is_worth_it: impl Fn(&Value) -> bool) {
        if !self.thoughts.iter().any(|(_, block)| is_worth_it(block)) {
            self.thoughts.clear();
        }
    }

    /// A text field of a thought goes on.
    pub(super) fn add_thought(&mut self, index: u64, field: &str, part: &str) {
        self.hide(part);
        let thought = self.thoughts.iter_mut().rfind(|(at, _)| *at == index);
        if let Some((_, Value::Object(block))) = thought {
            let so_far = block.get(field).and_then(Value::as_str);
            let whole = format!("{}{part}", so_far.unwrap_or_default());
            block.insert(field.to_owned(), whole.into());
        }
    }

    /// Why the answer ends.
    pub(super) fn end(&mut self, reason: &str) {
        self.finish = Some(reason.to_owned());
    }

    /// Nothing more comes.
    pub(super) fn close(&mut self) {
        self.done = true;
    }

    /// What the exchange cost so far.
    pub(super) fn usage(&mut self) -> &mut Usage {
        self.usage.get_or_insert_default()
    }

    /// What the exchange cost so far, when the provider said it.
    pub(super) fn reported(&self) -> Option<Usage> {
        self.usage.filter(|usage| usage.reported)
    }

    /// The text that has come so far.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What has come so far, in tokens.
    pub fn tokens_so_far(&self) -> u64 {
        let calls: u64 = self
            .calls
            .iter()
            .map(|slot| tokens::count(&slot.arguments))
            .sum();
        tokens::count(&self.text) + self.hidden_tokens + calls
    }

    /// The whole answer. A stream that ended without saying so is cut, and its calls are never given out.
    pub fn finish(self) -> Result<Answer, Fault> {
        if self.finish.is_none() && !self.done {
            return Err(Fault::Cut { text: self.text });
        }
        let usage = self.usage.unwrap_or_default();
        let mut calls: Vec<ToolCall> = Vec::with_capacity(self.calls.len());
        for (number, slot) in self.calls.into_iter().enumerate() {
            let taken = calls.iter().any(|call| call.id == slot.id);
            let id = if slot.id.is_empty() || taken {
                format!("call_{number}")
            } else {
                slot.id
            };
            calls.push(ToolCall {
                id,
                name: slot.name,
                arguments: slot.arguments,
            });
        }
        let finish = match self.finish.as_deref() {
            Some("length" | "max_tokens" | "model_context_window_exceeded") => Finish::Length,
            Some("content_filter" | "refusal") => Finish::Filtered,
            _ if self.refused => Finish::Filtered,
            _ if calls.is_empty() => Finish::Stop,
            _ => Finish::Tools,
        };
        if finish != Finish::Tools {
            calls.clear();
        }
        Ok(Answer {
            text: self.text,
            calls,
            thoughts: Thoughts {
                model: String::new(),
                blocks: self.thoughts.into_iter().map(|(_, block)| block).collect(),
            },
            finish,
            usage,
        })
    }

    fn take_delta(&mut self, delta: Delta) -> String {
        for hidden in [delta.reasoning_content, delta.reasoning]
            .into_iter()
            .flatten()
        {
            if let Value::String(hidden) = hidden {
                self.hidden_tokens += tokens::count(&hidden);
            }
        }
        for piece in delta.tool_calls.into_iter().flatten() {
            self.take_call(piece);
        }
        let mut added = match delta.content {
            None => String::new(),
            Some(Content::Text(text)) => text,
            Some(Content::Parts(parts)) => parts.into_iter().filter_map(|part| part.text).collect(),
        };
        if let Some(refusal) = delta.refusal.filter(|refusal| !refusal.is_empty()) {
            self.refused = true;
            added.push_str(&refusal);
        }
        self.text.push_str(&added);
        added
    }

    fn take_call(&mut self, piece: CallPiece) {
        let id = piece.id.unwrap_or_default();
        let function = piece.function.unwrap_or_default();
        let name = function.name.unwrap_or_default();
        let position = self.calls.iter().rposition(|slot| match piece.index {
            Some(index) => slot.index == Some(index),
            None => id.is_empty() || slot.id == id,
        });
        // A server that gives every call the same index still gives each its own id.
        let position = position.filter(|position| {
            self.calls
                .get(*position)
                .is_some_and(|slot| id.is_empty() || slot.id.is_empty() || slot.id == id)
        });
        // Without index and id only a name tells that a further call begins.
        let position = position.filter(|position| {
            let begun = self
                .calls
                .get(*position)
                .is_some_and(|slot| !slot.arguments.is_empty());
            !(piece.index.is_none() && id.is_empty() && !name.is_empty() && begun)
        });
        let position = position.unwrap_or_else(|| {
            self.calls.push(Slot {
                index: piece.index,
                ..Slot::default()
            });
            self.calls.len() - 1
        });
        let Some(slot) = self.calls.get_mut(position) else {
            return;
        };
        if slot.id.is_empty() {
            slot.id = id;
        }
        if slot.name != name {
            slot.name.push_str(&name);
        }
        match function.arguments {
            Some(Value::String(part)) => slot.arguments.push_str(&part),
            Some(Value::Null) | None => {}
            Some(whole) => slot.arguments = whole.to_string(),
        }
    }
}

pub(super) fn malformed(data: &str) -> Fault {
    Fault::Malformed(data.chars().take(120).collect())
}

/// What an error in a stream means: the other side is busy, or it will not answer this at all.
pub(super) fn reported(error: &Value) -> Fault {
    let inner = error.get("error").unwrap_or(error);
    let busy = [
        "overloaded_error",
        "api_error",
        "server_error",
        "rate_limit_error",
        "timeout_error",
        "rate_limit_exceeded",
        "server_is_overloaded",
        "slow_down",
    ];
    let text = |name: &str| inner.get(name).and_then(Value::as_str);
    let code = inner.get("code").and_then(Value::as_u64);
    let is_passing = [text("type"), text("code")]
        .into_iter()
        .flatten()
        .any(|kind| busy.contains(&kind))
        || code.is_some_and(|code| code == 429 || (500..600).contains(&code));
    if is_passing {
        Fault::Passing(error_text(error))
    } else {
        Fault::Reported(error_text(error))
    }
}

#[derive(Deserialize)]
struct Chunk {
    choices: Option<Vec<Choice>>,
    usage: Option<WireUsage>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    index: Option<u64>,
    delta: Option<Delta>,
    message: Option<Delta>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Delta {
    content: Option<Content>,
    reasoning_content: Option<Value>,
    reasoning: Option<Value>,
    refusal: Option<String>,
    tool_calls: Option<Vec<CallPiece>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Deserialize)]
struct Part {
    text: Option<String>,
}

#[derive(Deserialize)]
struct CallPiece {
    index: Option<u64>,
    id: Option<String>,
    function: Option<FunctionPiece>,
}

#[derive(Default, Deserialize)]
struct FunctionPiece {
    name: Option<String>,
    arguments: Option<Value>,
}

#[derive(Deserialize)]
struct WireUsage {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    prompt_tokens_details: Option<PromptDetails>,
}

#[derive(Deserialize)]
struct PromptDetails {
    cached_tokens: Option<u64>,
}

impl WireUsage {
    fn counted(self) -> Usage {
        Usage {
            tokens_in: self.prompt_tokens.unwrap_or(0),
            tokens_out: self.completion_tokens.unwrap_or(0),
            tokens_cached: self
                .prompt_tokens_details
                .and_then(|details| details.cached_tokens)
                .unwrap_or(0),
            tokens_kept: 0,
            reported: self.prompt_tokens.is_some(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assemble(events: &[&str]) -> Result<Answer, Fault> {
        let mut assembler = Assembler::new(Wire::Openai);
        for event in events {
            assembler.take(event)?;
        }
        assembler.finish()
    }

    fn calls(events: &[&str]) -> Vec<(String, String, String)> {
        let answer = assemble(events).expect("a whole answer");
        assert_eq!(answer.finish, Finish::Tools);
        let calls = answer.calls.into_iter();
        calls
            .map(|call| (call.id, call.name, call.arguments))
            .collect()
    }

    fn piece(call: &str) -> String {
        format!(r#"{{"choices":[{{"index":0,"delta":{{"tool_calls":[{call}]}}}}]}}"#)
    }

    #[test]
    fn text_usage_and_the_reason_are_put_together() {
        let answer = assemble(&[
            r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":"He"}}]}"#,
            r#"{"choices":[{"index":0,"delta":{"content":[{"type":"text","text":"llo"}]},"finish_reason":null}]}"#,
            r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
            r#"{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":4}}}"#,
            r#"{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2,"prompt_tokens_details":null}}"#,
            "[DONE]",
        ])
        .expect("a whole answer");
        assert_eq!(
            (answer.text.as_str(), answer.finish),
            ("Hello", Finish::Stop)
        );
        assert_eq!((answer.usage.tokens_in, answer.usage.tokens_out), (9, 2));
        assert!(answer.usage.reported);
    }

    #[test]
    fn calls_are_put_together_whatever_the_server_leaves_out() {
        let done = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}"#;
        let stop = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
        let interleaved = [
            piece(
                r#"{"index":0,"id":"a","type":"function","function":{"name":"x","arguments":""}}"#,
            ),
            piece(r#"{"index":1,"id":"b","function":{"name":"y","arguments":"{\"q\""}}"#),
            piece(r#"{"index":0,"function":{"arguments":"{\"p\":1}"}}"#),
            piece(r#"{"index":1,"function":{"arguments":":2}"}}"#),
            done.to_owned(),
        ];
        let same_index = [
            piece(r#"{"index":0,"id":"a","function":{"name":"x","arguments":"{}"}}"#),
            piece(r#"{"index":0,"id":"b","function":{"name":"y","arguments":{"q":2}}}"#),
            stop.to_owned(),
        ];
        let repeated = [
            piece(r#"{"index":0,"id":"a","function":{"name":"x","arguments":"{\"p\""}}"#),
            piece(r#"{"index":0,"id":"a","function":{"name":"x","arguments":":1}"}}"#),
            "[DONE]".to_owned(),
        ];
        let anonymous = [
            piece(r#"{"function":{"name":"x","arguments":"{\"p\":"}}"#),
            piece(r#"{"function":{"arguments":"1}"}}"#),
            piece(r#"{"function":{"name":"x","arguments":"{}"}}"#),
            stop.to_owned(),
        ];
        let check = |events: &[String], expected: &[(&str, &str, &str)]| {
            let events: Vec<&str> = events.iter().map(String::as_str).collect();
            let expected: Vec<_> = expected
                .iter()
                .map(|(id, name, arguments)| {
                    (
                        (*id).to_owned(),
                        (*name).to_owned(),
                        (*arguments).to_owned(),
                    )
                })
                .collect();
            assert_eq!(calls(&events), expected);
        };
        check(
            &interleaved,
            &[("a", "x", "{\"p\":1}"), ("b", "y", "{\"q\":2}")],
        );
        check(&same_index, &[("a", "x", "{}"), ("b", "y", "{\"q\":2}")]);
        check(&repeated, &[("a", "x", "{\"p\":1}")]);
        check(
            &anonymous,
            &[("call_0", "x", "{\"p\":1}"), ("call_1", "x", "{}")],
        );
    }

    #[test]
    fn calls_of_a_cut_or_overlong_answer_are_never_given_out() {
        let begun = piece(r#"{"index":0,"id":"a","function":{"name":"x","arguments":"{}"}}"#);
        assert_eq!(
            assemble(&[r#"{"choices":[{"delta":{"content":"so"}}]}"#, &begun]),
            Err(Fault::Cut {
                text: "so".to_owned()
            })
        );
        let length = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"length"}]}"#;
        let answer = assemble(&[&begun, length]).expect("an answer");
        assert_eq!((answer.finish, answer.calls.len()), (Finish::Length, 0));
    }

    #[test]
    fn errors_in_the_stream_are_errors() {
        let fault = assemble(&[r#"{"error":{"message":"overloaded","code":529}}"#]);
        assert_eq!(fault, Err(Fault::Passing("overloaded".to_owned())));
        let fault = assemble(&["<html>"]);
        assert_eq!(fault, Err(Fault::Malformed("<html>".to_owned())));
    }
}
