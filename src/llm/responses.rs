//! The responses wire of `OpenAI` (spec: LLM Gateway, `OpenAI`).
//!
//! Nothing is stored at the provider: what the model thought comes back encrypted, and goes out again untouched with
//! the turn that it led to. [`body`] writes a request; [`take`] reads one event.

use serde_json::{Map, Value, json};

use super::assembler::{Assembler, Fault, malformed, reported};
use super::dialect::{Dialect, Settings, Style};
use super::message::{Message, Request, Thoughts, ToolCall, ToolSpec};
use super::openai;
use crate::text::json::text;

/// The JSON body of a request.
pub fn body(request: &Request, settings: Settings<'_>, dialect: Dialect) -> Value {
    let worded = dialect.worded(request, settings.output);
    let mut body = Map::new();
    let mut set = |key: &str, value: Value| body.insert(key.to_owned(), value);
    set("model", settings.model.into());
    set("stream", true.into());
    set("store", false.into());
    if dialect.thoughts {
        set("include", json!(["reasoning.encrypted_content"]));
    }
    if dialect.cache_key {
        set("prompt_cache_key", openai::cache_key(request).into());
    }
    set("max_output_tokens", settings.tokens_out_max.into());
    if let Some(temperature) = settings.temperature.filter(|_| dialect.temperature) {
        set("temperature", temperature.into());
    }
    let mut input = Vec::new();
    for message in &worded.messages {
        write(message, settings.model, dialect, &mut input);
    }
    set("input", input.into());
    if dialect.style == Style::Tools && !request.tools.is_empty() {
        set("tools", request.tools.iter().map(tool).collect());
    }
    if let Some((name, schema)) = dialect.held(request, settings.output) {
        let format = json!({ "type": "json_schema", "name": name, "schema": schema });
        set("text", json!({ "format": format }));
    }
    Value::Object(body)
}

fn tool(tool: &ToolSpec) -> Value {
    json!({
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
        "strict": false,
    })
}

fn write(message: &Message, model: &str, dialect: Dialect, input: &mut Vec<Value>) {
    match message {
        Message::System { text } => {
            input.push(json!({ "role": dialect.system.role(), "content": text }));
        }
        Message::User { text } => input.push(json!({ "role": "user", "content": text })),
        Message::Assistant {
            text,
            calls,
            thoughts,
        } if thoughts.model == model && !thoughts.blocks.is_empty() => {
            input.extend(as_it_was(text, calls, thoughts));
        }
        Message::Assistant { text, calls, .. } => {
            if !text.is_empty() {
                input.push(json!({ "role": "assistant", "content": text }));
            }
            input.extend(calls.iter().map(called));
        }
        Message::Tool { call, text, .. } => {
            input.push(json!({ "type": "function_call_output", "call_id": call, "output": text }));
        }
    }
}

/// A turn in the items that the model made of it. What a thought led to has to follow it; calls that were not taken
/// are left out, because nobody answers them.
fn as_it_was(words: &str, calls: &[ToolCall], thoughts: &Thoughts) -> Vec<Value> {
    let id_of = |item: &Value| {
        item.get("call_id")
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    let mut items: Vec<Value> = Vec::with_capacity(thoughts.blocks.len());
    for item in &thoughts.blocks {
        let is_taken = |id: &str| calls.iter().any(|call| call.id == id);
        if id_of(item).is_none_or(|id| is_taken(&id)) {
            items.push(item.clone());
        }
    }
    let is_said = items.iter().any(|item| text(item, "/type") == "message");
    if !is_said && !words.is_empty() {
        items.push(json!({ "role": "assistant", "content": words }));
    }
    for call in calls {
        if !items
            .iter()
            .any(|item| id_of(item).as_ref() == Some(&call.id))
        {
            items.push(called(call));
        }
    }
    while items
        .last()
        .is_some_and(|item| text(item, "/type") == "reasoning")
    {
        items.pop();
    }
    items
}

fn called(call: &ToolCall) -> Value {
    let arguments = openai::arguments(call);
    json!({ "type": "function_call", "call_id": call.id, "name": call.name, "arguments": arguments })
}

/// Reads the data of one event. What is not known is passed over, as the wire demands.
pub(super) fn take(data: &str, assembler: &mut Assembler) -> Result<(), Fault> {
    let event: Value = serde_json::from_str(data).map_err(|_| malformed(data))?;
    let index = event
        .get("output_index")
        .and_then(Value::as_u64)
        .unwrap_or(0);
    match text(&event, "/type") {
        "response.output_text.delta" => assembler.say_at(index, text(&event, "/delta")),
        "response.refusal.delta" => {
            assembler.refuse();
            assembler.say_at(index, text(&event, "/delta"));
        }
        "response.function_call_arguments.delta"
        | "response.reasoning_text.delta"
        | "response.reasoning_summary_text.delta" => assembler.hide(text(&event, "/delta")),
        "response.output_item.done" => {
            if let Some(item) = event.get("item") {
                take_item(index, item, assembler);
            }
        }
        "response.completed" | "response.incomplete" | "response.failed" => {
            return take_response(event.get("response").unwrap_or(&Value::Null), assembler);
        }
        "error" => return Err(reported(&event)),
        // A server that does not stream answers with the whole response; one that breaks off, with an error alone.
        "" if text(&event, "/object") == "response" => return take_response(&event, assembler),
        "" if event.get("error").is_some_and(|error| !error.is_null()) => {
            return Err(reported(&event));
        }
        "" => return Err(malformed(data)),
        _ => {}
    }
    Ok(())
}

/// Takes a whole item: what came of it in pieces is only for people who watch.
fn take_item(index: u64, item: &Value, assembler: &mut Assembler) {
    match text(item, "/type") {
        "message" => {
            let parts = item.get("content").and_then(Value::as_array);
            let parts = parts.into_iter().flatten();
            if parts.clone().any(|part| part.get("refusal").is_some()) {
                assembler.refuse();
            }
            if !assembler.has_said_at(index) {
                let texts = parts
                    .filter_map(|part| part.get("text").or_else(|| part.get("refusal"))?.as_str());
                assembler.say_at(index, &texts.collect::<String>());
            }
        }
        "function_call" => {
            let arguments = text(item, "/arguments");
            assembler.reveal(arguments);
            let (id, name) = (text(item, "/call_id"), text(item, "/name"));
            assembler.begin_call(index, id, name, arguments.to_owned());
        }
        "reasoning" => {}
        _ => return,
    }
    let mut block = item.clone();
    if let Value::Object(block) = &mut block {
        // It says that the item is complete, and is refused in a request.
        block.remove("status");
    }
    assembler.begin_thought(index, block);
}

/// Takes what the provider says of the whole response at its end.
fn take_response(response: &Value, assembler: &mut Assembler) -> Result<(), Fault> {
    let failed = response.get("error").is_some_and(|error| !error.is_null());
    if failed || text(response, "/status") == "failed" {
        return Err(reported(response));
    }
    if !assembler.has_thoughts() {
        let items = response.get("output").and_then(Value::as_array);
        for (index, item) in (0..).zip(items.into_iter().flatten()) {
            take_item(index, item, assembler);
        }
    }
    let figure = |pointer: &str| response.pointer(pointer).and_then(Value::as_u64);
    if let Some(tokens_in) = figure("/usage/input_tokens") {
        let usage = assembler.usage();
        usage.tokens_in = tokens_in;
        usage.tokens_out = figure("/usage/output_tokens").unwrap_or(0);
        usage.tokens_cached = figure("/usage/input_tokens_details/cached_tokens").unwrap_or(0);
        usage.tokens_kept = figure("/usage/input_tokens_details/cache_write_tokens").unwrap_or(0);
        usage.reported = true;
    }
    // Thoughts that nobody can read again lead nowhere, and then the turn is told in its own words.
    assembler.keep_thoughts_if(|block| {
        text(block, "/type") == "reasoning" && !text(block, "/encrypted_content").is_empty()
    });
    let reason = text(response, "/incomplete_details/reason");
    assembler.end(match reason {
        "max_output_tokens" => "length",
        "" => "stop",
        other => other,
    });
    assembler.close();
    Ok(())
}
