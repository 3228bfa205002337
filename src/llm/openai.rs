//! The chat completions wire of `OpenAI` and everybody who speaks like it (spec: Custom HTTP endpoints).
//!
//! [`body`] writes a request; [`super::assembler`] puts the answer together.

use std::hash::{Hash as _, Hasher as _};

use serde_json::{Map, Value, json};

use super::dialect::{Dialect, Settings, Style};
use super::message::{Message, Request, ToolCall, ToolSpec};
use super::models::System;

/// The JSON body of a request.
pub fn body(request: &Request, settings: Settings<'_>, dialect: Dialect) -> Value {
    let mut body = Map::new();
    let mut set = |key: &str, value: Value| body.insert(key.to_owned(), value);
    set("model", settings.model.into());
    let worded = dialect.worded(request, settings.output);
    let messages = worded.messages.iter();
    set(
        "messages",
        messages.map(|said| message(said, dialect.system)).collect(),
    );
    set("stream", true.into());
    if dialect.stream_usage {
        set("stream_options", json!({ "include_usage": true }));
    }
    if dialect.cache_key {
        set("prompt_cache_key", cache_key(request).into());
    }
    let limit = if dialect.completion_limit {
        "max_completion_tokens"
    } else {
        "max_tokens"
    };
    set(limit, settings.tokens_out_max.into());
    if let Some(temperature) = settings.temperature.filter(|_| dialect.temperature) {
        set("temperature", temperature.into());
    }
    if dialect.style == Style::Tools && !request.tools.is_empty() {
        set("tools", request.tools.iter().map(tool).collect());
    }
    if let Some((name, schema)) = dialect.held(request, settings.output) {
        let schema = json!({ "name": name, "schema": schema });
        set(
            "response_format",
            json!({ "type": "json_schema", "json_schema": schema }),
        );
    }
    Value::Object(body)
}

/// A tool, as this wire and those that follow it describe one.
pub(super) fn tool(tool: &ToolSpec) -> Value {
    json!({
        "type": "function",
        "function": { "name": tool.name, "description": tool.description, "parameters": tool.parameters },
    })
}

fn message(message: &Message, system: System) -> Value {
    match message {
        Message::System { text } => json!({ "role": system.role(), "content": text }),
        Message::User { text } => json!({ "role": "user", "content": text }),
        Message::Assistant { text, calls, .. } => assistant(text, calls),
        Message::Tool { call, text, .. } => {
            json!({ "role": "tool", "tool_call_id": call, "content": text })
        }
    }
}

fn assistant(text: &str, calls: &[ToolCall]) -> Value {
    if calls.is_empty() {
        return json!({ "role": "assistant", "content": text });
    }
    let content = if text.is_empty() {
        Value::Null
    } else {
        text.into()
    };
    let calls: Vec<Value> = calls
        .iter()
        .map(|call| {
            json!({
                "id": call.id,
                "type": "function",
                "function": { "name": call.name, "arguments": arguments(call) },
            })
        })
        .collect();
    json!({ "role": "assistant", "content": content, "tool_calls": calls })
}

/// The arguments of a call as JSON: chat templates of local servers fail on anything else.
pub(super) fn arguments(call: &ToolCall) -> String {
    let parsed = call.parsed();
    parsed.map_or_else(|_| "{}".to_owned(), |value| value.to_string())
}

/// What all requests of a conversation have in common and no other conversation has, so that the provider finds its
/// beginning in the cache.
pub(super) fn cache_key(request: &Request) -> String {
    let mut hash = std::hash::DefaultHasher::new();
    let beginning = request.messages.iter();
    let beginning = beginning.take_while(|said| !matches!(said, Message::Assistant { .. }));
    for said in beginning {
        said.text().hash(&mut hash);
    }
    format!("{:016x}", hash.finish())
}

/// The sentence in an error body: `{"error": {"message": …}}`, `{"error": …}`, `{"message": …}`, or the text itself.
pub fn error_text(error: &Value) -> String {
    let inner = error.get("error").unwrap_or(error);
    let sentence = inner
        .as_str()
        .or_else(|| inner.get("message")?.as_str())
        .or_else(|| inner.get("detail")?.as_str());
    sentence.map_or_else(|| inner.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::message::Thoughts;

    #[test]
    fn actions_without_tool_calls_are_asked_for_by_schema_and_told_as_text() {
        let request = Request {
            messages: vec![
                Message::System {
                    text: "be brief".to_owned(),
                },
                Message::Assistant {
                    thoughts: Thoughts::default(),
                    text: String::new(),
                    calls: vec![ToolCall {
                        id: "1".to_owned(),
                        name: "x".to_owned(),
                        arguments: "{\"p\":1}".to_owned(),
                    }],
                },
                Message::Tool {
                    call: "1".to_owned(),
                    name: "x".to_owned(),
                    text: "ok".to_owned(),
                },
            ],
            tools: vec![ToolSpec {
                name: "x".to_owned(),
                description: "Does it.".to_owned(),
                parameters: json!({ "type": "object" }),
            }],
        };
        let settings = Settings {
            model: "m",
            tokens_out_max: 7,
            temperature: None,
            window: 0,
            output: None,
        };
        let mut dialect = Dialect {
            style: Style::Schema,
            ..Dialect::default()
        };
        let written = body(&request, settings, dialect);
        assert!(written["response_format"]["json_schema"]["schema"]["anyOf"].is_array());
        assert!(written.get("tools").is_none());
        assert_eq!(
            written["messages"][1]["content"],
            r#"{"arguments":{"p":1},"tool":"x"}"#
        );
        assert_eq!(written["messages"][2]["role"], "user");
        dialect.style = Style::Tools;
        let written = body(&request, settings, dialect);
        assert_eq!(
            written["messages"][1]["tool_calls"][0]["function"]["arguments"],
            "{\"p\":1}"
        );
        assert_eq!(written["messages"][2]["tool_call_id"], "1");
        assert_eq!(written["max_tokens"], 7);
    }
}
