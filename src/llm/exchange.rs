//! A question to a model as JSON that people and scripts write, and its answer as JSON that they read (spec: LLM
//! Gateway, raw calls).
//!
//! Questions are read in the form of chat completions, which most people have at hand, and in our own.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::gateway::Gateway;
use super::message::{Answer, Finish, Message, Request, Thoughts, ToolCall, ToolSpec, Usage};
use super::price;

/// What somebody asks, and the settings that they ask it with.
#[derive(Debug, Default)]
pub struct Question {
    /// The conversation and the tools.
    pub request: Request,
    /// Tokens that the answer may have.
    pub max_tokens: Option<u32>,
    /// Sampling temperature.
    pub temperature: Option<f64>,
    /// What the answer shall be, as a JSON Schema.
    pub schema: Option<Value>,
}

/// Why a text is no question.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    /// It is not JSON of the right shape.
    #[error(
        "the messages cannot be read: {0}; give [{{\"role\": \"user\", \"content\": \"…\"}}] or {{\"messages\": […], \"tools\": […]}}"
    )]
    Json(#[from] serde_json::Error),
    /// Nothing is asked.
    #[error("there are no messages: give at least {{\"role\": \"user\", \"content\": \"…\"}}")]
    Empty,
    /// The schema is none.
    #[error(
        "the schema is no JSON Schema: it is an object, such as {{\"type\": \"object\", \"properties\": {{…}}}}"
    )]
    Schema,
    /// A turn of nobody that we know.
    #[error(
        "message {number}: nobody has the role `{role}`; it is system, user, assistant or tool"
    )]
    Role {
        /// Number of the message, from 1.
        number: usize,
        /// What stands there.
        role: String,
    },
    /// A turn that is not text.
    #[error(
        "message {number} has a part of type `{kind}`, and only text is sent: say in words what is to be seen there"
    )]
    NotText {
        /// Number of the message, from 1.
        number: usize,
        /// The part's type.
        kind: String,
    },
}

/// Reads a question: a list of messages, or an object with `messages`, `tools`, `max_tokens`, `temperature` and `schema`.
pub fn read(text: &str) -> Result<Question, Malformed> {
    let written: Written = if text.trim_start().starts_with('[') {
        Written {
            messages: serde_json::from_str(text)?,
            ..Written::default()
        }
    } else {
        serde_json::from_str(text)?
    };
    if written.messages.is_empty() {
        return Err(Malformed::Empty);
    }
    if written
        .schema
        .as_ref()
        .is_some_and(|schema| !schema.is_object())
    {
        return Err(Malformed::Schema);
    }
    let mut messages: Vec<Message> = Vec::with_capacity(written.messages.len());
    for (index, turn) in written.messages.into_iter().enumerate() {
        let message = turn.message(index + 1, &messages)?;
        messages.push(message);
    }
    Ok(Question {
        request: Request {
            messages,
            tools: written.tools.into_iter().map(Tool::spec).collect(),
        },
        max_tokens: written.max_tokens,
        temperature: written.temperature,
        schema: written.schema,
    })
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    messages: Vec<Turn>,
    #[serde(default)]
    tools: Vec<Tool>,
    #[serde(default)]
    max_tokens: Option<u32>,
    #[serde(default)]
    temperature: Option<f64>,
    #[serde(default)]
    schema: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Turn {
    role: String,
    #[serde(alias = "text", default)]
    content: Content,
    #[serde(alias = "calls", default)]
    tool_calls: Vec<Call>,
    #[serde(alias = "call", default)]
    tool_call_id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    thoughts: Thoughts,
}

#[derive(Debug, Default, Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
    #[default]
    Nothing,
}

#[derive(Debug, Deserialize)]
struct Part {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    text: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Call {
    Wrapped {
        id: String,
        function: Function,
    },
    Plain {
        id: String,
        name: String,
        arguments: Value,
    },
}

#[derive(Debug, Deserialize)]
struct Function {
    name: String,
    arguments: Value,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Tool {
    Wrapped { function: Described },
    Plain(Described),
}

#[derive(Debug, Deserialize)]
struct Described {
    name: String,
    #[serde(default)]
    description: String,
    #[serde(alias = "input_schema", default = "anything")]
    parameters: Value,
}

fn anything() -> Value {
    serde_json::json!({ "type": "object" })
}

impl Turn {
    fn message(self, number: usize, before: &[Message]) -> Result<Message, Malformed> {
        let text = self.content.text(number)?;
        Ok(match self.role.as_str() {
            "system" | "developer" => Message::System { text },
            "user" => Message::User { text },
            "assistant" => Message::Assistant {
                text,
                calls: self.tool_calls.into_iter().map(Call::tool_call).collect(),
                thoughts: self.thoughts,
            },
            "tool" => Message::Tool {
                name: if self.name.is_empty() {
                    name_of(&self.tool_call_id, before)
                } else {
                    self.name
                },
                call: self.tool_call_id,
                text,
            },
            _ => {
                return Err(Malformed::Role {
                    number,
                    role: self.role,
                });
            }
        })
    }
}

/// Name of the tool that a call was for.
fn name_of(id: &str, messages: &[Message]) -> String {
    let mut calls = messages.iter().flat_map(|message| match message {
        Message::Assistant { calls, .. } => calls.as_slice(),
        Message::System { .. } | Message::User { .. } | Message::Tool { .. } => &[],
    });
    let named = calls.rfind(|call| call.id == id);
    named.map(|call| call.name.clone()).unwrap_or_default()
}

impl Content {
    fn text(self, number: usize) -> Result<String, Malformed> {
        match self {
            Self::Nothing => Ok(String::new()),
            Self::Text(text) => Ok(text),
            Self::Parts(parts) => {
                let texts = parts.into_iter().map(|part| match part.text {
                    Some(text) => Ok(text),
                    None => Err(Malformed::NotText {
                        number,
                        kind: part.kind,
                    }),
                });
                Ok(texts.collect::<Result<Vec<_>, _>>()?.concat())
            }
        }
    }
}

impl Call {
    fn tool_call(self) -> ToolCall {
        let (id, name, arguments) = match self {
            Self::Wrapped { id, function } => (id, function.name, function.arguments),
            Self::Plain {
                id,
                name,
                arguments,
            } => (id, name, arguments),
        };
        let arguments = match arguments {
            Value::String(text) => text,
            other => other.to_string(),
        };
        ToolCall {
            id,
            name,
            arguments,
        }
    }
}

impl Tool {
    fn spec(self) -> ToolSpec {
        let (Self::Wrapped {
            function: described,
        }
        | Self::Plain(described)) = self;
        ToolSpec {
            name: described.name,
            description: described.description,
            parameters: described.parameters,
        }
    }
}

/// An answer for scripts.
#[derive(Debug, Serialize)]
pub struct Answered {
    /// Who answered.
    pub provider: String,
    /// With which model.
    pub model: String,
    /// What the model said.
    pub text: String,
    /// The same, when a schema asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// What it wants to do.
    pub calls: Vec<Wanted>,
    /// Why it stopped.
    pub finish: Finish,
    /// What it used.
    pub usage: Usage,
    /// What that cost in US dollars, when the price is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usd: Option<f64>,
}

/// A tool call for scripts.
#[derive(Debug, Serialize)]
pub struct Wanted {
    /// Names the call in its answer.
    pub id: String,
    /// Name of the tool.
    pub name: String,
    /// The arguments: an object, or text where the model wrote something else.
    pub arguments: Value,
}

impl Answered {
    /// The answer that came by this way.
    pub fn new(gateway: &Gateway, answer: Answer) -> Self {
        let value = gateway.value(&answer);
        let calls = answer.calls.into_iter().map(|call| Wanted {
            arguments: call
                .parsed()
                .unwrap_or_else(|_| Value::String(call.arguments.clone())),
            id: call.id,
            name: call.name,
        });
        Self {
            provider: gateway.provider().to_owned(),
            model: gateway.model().to_owned(),
            usd: gateway.nano_usd(answer.usage).map(price::usd),
            value,
            text: answer.text,
            calls: calls.collect(),
            finish: answer.finish,
            usage: answer.usage,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_read_as_people_write_them() {
        let chat = r#"{ "messages": [
            { "role": "developer", "content": "be brief" },
            { "role": "user", "content": [{ "type": "text", "text": "he" }, { "type": "text", "text": "llo" }] },
            { "role": "assistant", "content": null, "tool_calls": [
                { "id": "a", "type": "function", "function": { "name": "look", "arguments": "{\"at\":1}" } }] },
            { "role": "tool", "tool_call_id": "a", "content": "nothing" } ],
            "tools": [{ "type": "function", "function": { "name": "look", "parameters": { "type": "object" } } }],
            "max_tokens": 9 }"#;
        let question = read(chat).expect("a question");
        assert_eq!(question.max_tokens, Some(9));
        let request = question.request;
        assert_eq!(request.tools[0].name, "look");
        assert_eq!(request.messages[1].text(), "hello");
        let Message::Tool { name, call, .. } = &request.messages[3] else {
            panic!("{:?}", request.messages);
        };
        assert_eq!((name.as_str(), call.as_str()), ("look", "a"));

        // Our own form is read as it is written.
        let own = serde_json::to_string(&request.messages).expect("it is plain data");
        assert_eq!(
            read(&own).expect("a question").request.messages,
            request.messages
        );
    }

    #[test]
    fn what_is_no_question_is_said_with_its_place() {
        for (text, expected) in [
            ("[]", "no messages"),
            ("", "cannot be read"),
            ("[{\"role\": \"user\"", "cannot be read"),
            ("{\"message\": []}", "unknown field `message`"),
            (
                r#"{"messages":[{"role":"user","content":"a"}],"schema":"x"}"#,
                "no JSON Schema",
            ),
            (
                r#"[{"role":"user","content":"a"},{"role":"bot"}]"#,
                "message 2: nobody has the role `bot`",
            ),
            (
                r#"[{"role":"user","content":[{"type":"image_url","image_url":{}}]}]"#,
                "message 1 has a part of type `image_url`",
            ),
            (&"[".repeat(100_000), "cannot be read"),
        ] {
            let error = read(text).expect_err("it is none").to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
