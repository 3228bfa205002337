//! A conversation with a model, the same for every wire (spec: LLM Gateway, provider abstraction).

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "snake_case")]
pub enum Message {
    /// What we tell the model once, before everything else.
    System {
        /// The text.
        text: String,
    },
    /// What the user, or we in the user's place, say.
    User {
        /// The text.
        text: String,
    },
    /// What the model said and wants to do.
    Assistant {
        /// The text; empty when it only acts.
        text: String,
        /// The tool calls, in order.
        calls: Vec<ToolCall>,
        /// What it thought, for the model that thought it.
        #[serde(default)]
        thoughts: Thoughts,
    },
    /// What a tool call brought.
    Tool {
        /// The id of the call that is answered.
        call: String,
        /// Name of the tool.
        name: String,
        /// The result, as text for the model.
        text: String,
    },
}

impl Message {
    /// Adds words to what the model is told before everything else.
    pub fn add_to_system(messages: &mut Vec<Self>, words: &str) {
        let system = messages.iter_mut().find_map(|message| match message {
            Self::System { text } => Some(text),
            Self::User { .. } | Self::Assistant { .. } | Self::Tool { .. } => None,
        });
        match system {
            Some(text) => {
                text.push_str("\n\n");
                text.push_str(words);
            }
            None => messages.insert(
                0,
                Self::System {
                    text: words.to_owned(),
                },
            ),
        }
    }

    /// The text of the turn.
    pub fn text(&self) -> &str {
        match self {
            Self::System { text }
            | Self::User { text }
            | Self::Assistant { text, .. }
            | Self::Tool { text, .. } => text,
        }
    }
}

/// Reasoning that a provider signed and wants back as it was, with the turn that it led to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thoughts {
    /// Name of the model; no other can read them.
    pub model: String,
    /// The blocks of the wire, untouched.
    pub blocks: Vec<Value>,
}

/// A model's wish to run a tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    /// Names the call in its answer.
    pub id: String,
    /// Name of the tool.
    pub name: String,
    /// Arguments as the model wrote them: JSON, or not.
    pub arguments: String,
}

impl ToolCall {
    /// The arguments as a JSON object; models write nothing at all when there are none.
    pub fn parsed(&self) -> Result<Value, serde_json::Error> {
        if self.arguments.trim().is_empty() {
            return Ok(Value::Object(serde_json::Map::new()));
        }
        let map: serde_json::Map<String, Value> = serde_json::from_str(&self.arguments)?;
        Ok(Value::Object(map))
    }
}

/// A tool as the model is told of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolSpec {
    /// Its name.
    pub name: String,
    /// What it does, for the model.
    pub description: String,
    /// JSON schema of its arguments, an object.
    pub parameters: Value,
}

/// One question to a model.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Request {
    /// The conversation so far.
    pub messages: Vec<Message>,
    /// What the model may do.
    pub tools: Vec<ToolSpec>,
}

/// A complete answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// What the model said.
    pub text: String,
    /// What it wants to do, in order. Never calls whose stream was cut.
    pub calls: Vec<ToolCall>,
    /// What it thought, when the provider wants that back.
    #[serde(default)]
    pub thoughts: Thoughts,
    /// Why it stopped.
    pub finish: Finish,
    /// What it cost.
    pub usage: Usage,
}

/// Why a model stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finish {
    /// It said what it had to say.
    Stop,
    /// It wants tools to run.
    Tools,
    /// The answer reached its token limit; calls in it are dropped.
    Length,
    /// The provider held the answer back.
    Filtered,
}

/// Tokens of one exchange.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Tokens sent.
    pub tokens_in: u64,
    /// Tokens received, hidden reasoning included.
    pub tokens_out: u64,
    /// Tokens of `tokens_in` that the provider had in its cache.
    pub tokens_cached: u64,
    /// Tokens of `tokens_in` that the provider put into its cache.
    #[serde(default)]
    pub tokens_kept: u64,
    /// Whether the provider reported these figures; otherwise they are estimates.
    pub reported: bool,
}

impl Usage {
    /// Tokens sent and received.
    pub fn total(self) -> u64 {
        self.tokens_in.saturating_add(self.tokens_out)
    }

    /// The usage of both; reported only when both are.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self {
            tokens_in: self.tokens_in.saturating_add(other.tokens_in),
            tokens_out: self.tokens_out.saturating_add(other.tokens_out),
            tokens_cached: self.tokens_cached.saturating_add(other.tokens_cached),
            tokens_kept: self.tokens_kept.saturating_add(other.tokens_kept),
            reported: self.reported && other.reported,
        }
    }
}
