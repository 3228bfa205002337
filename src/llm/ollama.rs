//! Ollama's own wire (spec: LLM Gateway, Ollama).
//!
//! Unlike its imitation of chat completions it says how much context the model is to have, which is otherwise too
//! little, and cut in silence. [`body`] writes a request; [`take`] reads one line of the answer.

use serde_json::{Map, Value, json};

use super::assembler::{Assembler, Fault, malformed, reported};
use super::dialect::{Dialect, Settings, Style};
use super::message::{Message, Request, ToolCall};
use super::openai;

/// The JSON body of a request.
pub fn body(request: &Request, settings: Settings<'_>, dialect: Dialect) -> Value {
    let worded = dialect.worded(request, settings.output);
    let mut body = Map::new();
    let mut set = |key: &str, value: Value| body.insert(key.to_owned(), value);
    set("model", settings.model.into());
    set("messages", worded.messages.iter().map(message).collect());
    set("stream", true.into());
    // A conversation that does not fit is refused, not shortened behind our back.
    set("truncate", false.into());
    set("shift", false.into());
    let mut options = json!({
        "num_ctx": settings.window,
        "num_predict": settings.tokens_out_max,
    });
    if let (Some(temperature), Value::Object(options)) = (
        settings.temperature.filter(|_| dialect.temperature),
        &mut options,
    ) {
        options.insert("temperature".to_owned(), temperature.into());
    }
    set("options", options);
    if dialect.style == Style::Tools && !request.tools.is_empty() {
        set("tools", request.tools.iter().map(openai::tool).collect());
    }
    if let Some((_, schema)) = dialect.held(request, settings.output) {
        set("format", schema);
    }
    Value::Object(body)
}

/// Reads one line.
pub(super) fn take(line: &str, assembler: &mut Assembler) -> Result<(), Fault> {
    let line_value: Value = serde_json::from_str(line).map_err(|_| malformed(line))?;
    if line_value
        .get("error")
        .is_some_and(|error| !error.is_null())
    {
        return Err(reported(&line_value));
    }
    let text = |pointer: &str| line_value.pointer(pointer).and_then(Value::as_str);
    let is_done = line_value.get("done").and_then(Value::as_bool);
    if is_done.is_none() && line_value.get("message").is_none() {
        return Err(malformed(line));
    }
    assembler.say(text("/message/content").unwrap_or_default());
    assembler.hide(text("/message/thinking").unwrap_or_default());
    let calls = line_value.pointer("/message/tool_calls");
    for call in calls.and_then(Value::as_array).into_iter().flatten() {
        take_call(call, assembler);
    }
    if is_done == Some(true) {
        assembler.end(text("/done_reason").unwrap_or("stop"));
        assembler.close();
        let figure = |name: &str| line_value.get(name).and_then(Value::as_u64);
        let sent = figure("prompt_eval_count");
        let usage = assembler.usage();
        usage.tokens_out = figure("eval_count").unwrap_or(0);
        // Left out when the whole prompt was in the cache.
        usage.tokens_in = sent.unwrap_or(0);
        usage.reported = sent.is_some();
    }
    Ok(())
}

fn take_call(call: &Value, assembler: &mut Assembler) {
    let text = |pointer: &str| call.pointer(pointer).and_then(Value::as_str);
    let arguments = match call.pointer("/function/arguments") {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(arguments) => arguments.to_string(),
    };
    let (id, name) = (text("/id"), text("/function/name"));
    // Calls come whole, so no later piece asks for their place.
    assembler.begin_call(
        0,
        id.unwrap_or_default(),
        name.unwrap_or_default(),
        arguments,
    );
}

fn message(message: &Message) -> Value {
    match message {
        Message::System { text } => json!({ "role": "system", "content": text }),
        Message::User { text } => json!({ "role": "user", "content": text }),
        Message::Assistant { text, calls, .. } => {
            let mut written = json!({ "role": "assistant", "content": text });
            if let (false, Value::Object(written)) = (calls.is_empty(), &mut written) {
                written.insert("tool_calls".to_owned(), calls.iter().map(called).collect());
            }
            written
        }
        Message::Tool { call, name, text } => {
            json!({ "role": "tool", "content": text, "tool_name": name, "tool_call_id": call })
        }
    }
}

fn called(call: &ToolCall) -> Value {
    let arguments = call.parsed().unwrap_or_else(|_| json!({}));
    json!({ "id": call.id, "function": { "name": call.name, "arguments": arguments } })
}
