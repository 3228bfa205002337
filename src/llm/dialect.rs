//! How a server wants to be asked, and what to change when it refuses (spec: LLM Gateway, model capabilities).

use std::borrow::Cow;

use serde_json::Value;

use super::message::{Message, Request};
use super::models::System;
use super::{actions, structured};

/// How this server wants to be asked. It starts with what the configuration says and adapts to refusals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect {
    /// How actions are asked for.
    pub style: Style,
    /// Whether the server holds an answer to a schema when it is asked to.
    pub holds: bool,
    /// Whether the token limit is called `max_completion_tokens`.
    pub completion_limit: bool,
    /// Whether usage is asked for in the stream.
    pub stream_usage: bool,
    /// Whether a sampling temperature may be sent.
    pub temperature: bool,
    /// Who says what the model is told before everything else, in chat completions.
    pub system: System,
    /// Whether encrypted thoughts are asked for, by the responses wire.
    pub thoughts: bool,
    /// Whether a conversation is named, so that the provider finds its beginning in the cache.
    pub cache_key: bool,
}

impl Default for Dialect {
    /// The dialect of those of whom nothing is known.
    fn default() -> Self {
        Self {
            style: Style::Tools,
            holds: true,
            completion_limit: false,
            stream_usage: true,
            temperature: true,
            system: System::System,
            thoughts: false,
            cache_key: false,
        }
    }
}

/// How a model is asked to act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// By tool calls.
    Tools,
    /// By one JSON object that the server holds to a schema.
    Schema,
    /// By one JSON object that the model is only asked for.
    Text,
}

/// What a request is sent with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings<'config> {
    /// Model name.
    pub model: &'config str,
    /// Tokens that the answer may have.
    pub tokens_out_max: u64,
    /// Sampling temperature, if any.
    pub temperature: Option<f64>,
    /// Tokens that request and answer may have together.
    pub window: u64,
    /// What the last words shall be, as a JSON Schema.
    pub output: Option<&'config Value>,
}

/// What servers say they do not understand when they hold no answer to a schema.
const SCHEMA_COMPLAINTS: [&str; 5] = [
    "response_format",
    "output_config",
    "text.format",
    "grammar",
    "schema",
];

impl Dialect {
    /// The conversation as this dialect writes it: in words, where tool calls or schemas are not understood.
    pub fn worded<'request>(
        self,
        request: &'request Request,
        output: Option<&Value>,
    ) -> Cow<'request, Request> {
        let mut worded = if self.style == Style::Tools || request.tools.is_empty() {
            Cow::Borrowed(request)
        } else {
            Cow::Owned(actions::in_words(request))
        };
        if let Some(output) = output.filter(|output| !self.holds_to(request, output)) {
            Message::add_to_system(
                &mut worded.to_mut().messages,
                &structured::instruction(output),
            );
        }
        worded
    }

    /// The JSON Schema that the server is to hold the answer to, and what to call it: that of an action, or of the last
    /// words of whoever does not act.
    pub fn held(self, request: &Request, output: Option<&Value>) -> Option<(&'static str, Value)> {
        if self.style == Style::Schema && !request.tools.is_empty() {
            return Some(("action", actions::schema(&request.tools, output)));
        }
        let output = output.filter(|output| self.holds_to(request, output))?;
        Some(("answer", output.clone()))
    }

    fn holds_to(self, request: &Request, output: &Value) -> bool {
        self.holds && request.tools.is_empty() && structured::can_be_held(output)
    }

    /// Gives up to have last words held to a schema, when that is what the server complains about.
    pub fn let_go(&mut self, message: &str) -> bool {
        let message = message.to_ascii_lowercase();
        let complains = SCHEMA_COMPLAINTS.iter().any(|word| message.contains(word));
        let lets_go = self.holds && complains;
        self.holds &= !complains;
        lets_go
    }

    /// Changes the dialect by what the server complains about; `false` when nothing can be changed. Without `acting`
    /// the request has no tools, or the user chose how the model acts.
    pub fn adapt(&mut self, message: &str, acting: bool) -> bool {
        let message = message.to_ascii_lowercase();
        let complains = |words: &[&str]| words.iter().any(|word| message.contains(word));
        if self.stream_usage && complains(&["stream_options"]) {
            self.stream_usage = false;
        } else if !self.completion_limit && complains(&["max_completion_tokens"]) {
            self.completion_limit = true;
        } else if self.temperature && complains(&["temperature"]) {
            self.temperature = false;
        } else if self.cache_key && complains(&["prompt_cache_key"]) {
            self.cache_key = false;
        } else if self.thoughts && complains(&["encrypted"]) {
            self.thoughts = false;
        } else if self.system == System::Developer && complains(&["developer"]) {
            self.system = System::System;
        } else if self.system != System::User && complains(&["system role", "'system'"]) {
            self.system = System::User;
        } else if self.style == Style::Tools && acting && complains(&["tool"]) {
            self.style = Style::Schema;
        } else if self.style == Style::Schema && complains(&SCHEMA_COMPLAINTS) {
            self.style = Style::Text;
        } else {
            return false;
        }
        true
    }
}
