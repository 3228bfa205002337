//! The messages wire of Anthropic (spec: LLM Gateway, Anthropic).
//!
//! The prefix of a conversation stays the same from call to call (tools, then the system's text, then the turns in
//! their order), and is marked so that the provider keeps it. [`body`] writes a request; [`take`] reads one event.

use serde_json::{Map, Value, json};

use super::assembler::{Assembler, Fault, malformed, reported};
use super::dialect::{Dialect, Settings};
use super::message::{Message, Request, ToolCall, ToolSpec};
use crate::text::json::text;

/// The version of the wire, which every request names.
pub(super) const VERSION: &str = "2023-06-01";

/// The largest sampling temperature that the wire has.
const TEMPERATURE_MAX: f64 = 1.0;

/// The JSON body of a request.
pub fn body(request: &Request, settings: Settings<'_>, dialect: Dialect) -> Value {
    let worded = dialect.worded(request, settings.output);
    let mut body = Map::new();
    let mut set = |key: &str, value: Value| body.insert(key.to_owned(), value);
    set("model", settings.model.into());
    set("max_tokens", settings.tokens_out_max.into());
    set("stream", true.into());
    if let Some(temperature) = settings.temperature.filter(|_| dialect.temperature) {
        set("temperature", temperature.min(TEMPERATURE_MAX).into());
    }
    let mut tools: Vec<Value> = worded.tools.iter().map(tool).collect();
    let mut system = system(&worded.messages);
    let mut turns = turns(&worded.messages, settings.model);
    mark(system.last_mut().or(tools.last_mut()));
    if !request.tools.is_empty() {
        // A conversation with tools goes on after this call, and then begins with all of it.
        mark(turns.last_mut().and_then(|turn| turn.blocks.last_mut()));
    }
    if !tools.is_empty() {
        set("tools", tools.into());
    }
    if let Some((_, schema)) = dialect.held(request, settings.output) {
        let format = json!({ "type": "json_schema", "schema": schema });
        set("output_config", json!({ "format": format }));
    }
    if !system.is_empty() {
        set("system", system.into());
    }
    let turns = turns
        .into_iter()
        .map(|turn| json!({ "role": turn.role, "content": turn.blocks }));
    set("messages", turns.collect());
    Value::Object(body)
}

/// Reads the data of one event. What is not known is passed over, as the wire demands.
pub(super) fn take(data: &str, assembler: &mut Assembler) -> Result<(), Fault> {
    let event: Value = serde_json::from_str(data).map_err(|_| malformed(data))?;
    if event.get("error").is_some_and(|error| !error.is_null()) {
        return Err(reported(&event));
    }
    let index = event.get("index").and_then(Value::as_u64).unwrap_or(0);
    match text(&event, "/type") {
        "message_start" => count(event.pointer("/message/usage"), assembler),
        "content_block_start" => {
            let block = event.get("content_block").cloned();
            begin(index, block.unwrap_or_default(), assembler);
        }
        "content_block_delta" => match text(&event, "/delta/type") {
            "text_delta" => assembler.say(text(&event, "/delta/text")),
            "input_json_delta" => {
                assembler.add_arguments(index, text(&event, "/delta/partial_json"));
            }
            "thinking_delta" => {
                assembler.add_thought(index, "thinking", text(&event, "/delta/thinking"));
            }
            "signature_delta" => {
                assembler.add_thought(index, "signature", text(&event, "/delta/signature"));
            }
            _ => {}
        },
        "message_delta" => {
            end(text(&event, "/delta/stop_reason"), assembler);
            count(event.get("usage"), assembler);
        }
        "message_stop" => assembler.close(),
        // A server that does not stream answers with the whole message.
        "message" => {
            let blocks = event.get("content").and_then(Value::as_array);
            for (index, block) in (0..).zip(blocks.into_iter().flatten()) {
                begin(index, block.clone(), assembler);
            }
            end(text(&event, "/stop_reason"), assembler);
            count(event.get("usage"), assembler);
        }
        "" => return Err(malformed(data)),
        _ => {}
    }
    Ok(())
}

fn begin(index: u64, block: Value, assembler: &mut Assembler) {
    match text(&block, "/type") {
        "text" => assembler.say(text(&block, "/text")),
        "tool_use" => {
            let input = block.get("input").and_then(Value::as_object);
            // In a stream the input begins empty and comes in pieces.
            let arguments = input
                .filter(|input| !input.is_empty())
                .and_then(|input| serde_json::to_string(input).ok());
            assembler.begin_call(
                index,
                text(&block, "/id"),
                text(&block, "/name"),
                arguments.unwrap_or_default(),
            );
        }
        "thinking" | "redacted_thinking" => assembler.begin_thought(index, block),
        _ => {}
    }
}

fn end(reason: &str, assembler: &mut Assembler) {
    if !reason.is_empty() {
        assembler.end(reason);
    }
}

/// Takes a report of usage. Each figure is of the whole exchange so far, so later ones replace earlier ones.
fn count(reported: Option<&Value>, assembler: &mut Assembler) {
    let figure = |name: &str| reported?.get(name)?.as_u64();
    let cached = figure("cache_read_input_tokens").unwrap_or(0);
    let kept = figure("cache_creation_input_tokens").unwrap_or(0);
    let usage = assembler.usage();
    // Some servers report nothing at the start and everything at the end.
    let tokens_in = figure("input_tokens").unwrap_or(0);
    let tokens_in = tokens_in.saturating_add(cached).saturating_add(kept);
    usage.tokens_in = usage.tokens_in.max(tokens_in);
    usage.tokens_cached = usage.tokens_cached.max(cached);
    usage.tokens_kept = usage.tokens_kept.max(kept);
    usage.tokens_out = figure("output_tokens").unwrap_or(usage.tokens_out);
    usage.reported = usage.tokens_in > 0;
}

fn tool(tool: &ToolSpec) -> Value {
    json!({ "name": tool.name, "description": tool.description, "input_schema": tool.parameters })
}

fn system(messages: &[Message]) -> Vec<Value> {
    let texts = messages.iter().filter_map(|message| match message {
        Message::System { text } => said(text),
        Message::User { .. } | Message::Assistant { .. } | Message::Tool { .. } => None,
    });
    texts.collect()
}

/// Asks the provider to keep everything up to and with this block.
fn mark(block: Option<&mut Value>) {
    let Some(Value::Object(block)) = block else {
        return;
    };
    let kind = block.get("type").and_then(Value::as_str);
    // Thoughts are kept with what follows them.
    if kind.is_none_or(|kind| !kind.ends_with("thinking")) {
        block.insert("cache_control".to_owned(), json!({ "type": "ephemeral" }));
    }
}

/// One turn of the wire: user and assistant take turns strictly.
struct Turn {
    role: &'static str,
    blocks: Vec<Value>,
}

fn turns(messages: &[Message], model: &str) -> Vec<Turn> {
    let mut turns: Vec<Turn> = Vec::with_capacity(messages.len());
    for message in messages {
        let (role, blocks) = match message {
            Message::System { .. } => continue,
            Message::User { text } => ("user", said(text).into_iter().collect()),
            Message::Assistant {
                text,
                calls,
                thoughts,
            } => {
                let mut blocks = Vec::new();
                if thoughts.model == model {
                    blocks.extend(thoughts.blocks.iter().cloned());
                }
                blocks.extend(said(text));
                blocks.extend(calls.iter().map(called));
                ("assistant", blocks)
            }
            Message::Tool { call, text, .. } => {
                let result =
                    json!({ "type": "tool_result", "tool_use_id": id(call), "content": text });
                ("user", vec![result])
            }
        };
        if blocks.is_empty() {
            continue;
        }
        match turns.last_mut() {
            Some(last) if last.role == role => last.blocks.extend(blocks),
            _ => turns.push(Turn { role, blocks }),
        }
    }
    turns
}

/// A block of text; the wire refuses one that is blank.
fn said(text: &str) -> Option<Value> {
    (!text.trim().is_empty()).then(|| json!({ "type": "text", "text": text }))
}

fn called(call: &ToolCall) -> Value {
    let input = call.parsed().unwrap_or_else(|_| json!({}));
    json!({ "type": "tool_use", "id": id(&call.id), "name": call.name, "input": input })
}

/// The id of a call in the letters that the wire has: calls of another provider stay in a conversation.
fn id(id: &str) -> String {
    let letter = |letter: char| match letter {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '-' => letter,
        _ => '_',
    };
    id.chars().map(letter).collect()
}
