//! Actions of models that have no tool calls: one JSON object by a schema, or JSON text (spec: LLM Gateway).
//!
//! Local servers often answer with the text of a call in place of a call. [`read`] understands the forms that models
//! were trained on; it takes a text for an action only when it names a tool that was offered.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::message::{Message, Request, Thoughts, ToolCall, ToolSpec};

/// The action that says that there is nothing more to do.
pub const FINISH: &str = "finish";

/// JSON schema of one action: a tool with its arguments, or the end, whose summary is what `output` asks for.
pub fn schema(tools: &[ToolSpec], output: Option<&Value>) -> Value {
    let words = json!({ "type": "string" });
    let finish = json!({
        "type": "object",
        "properties": { "summary": output.unwrap_or(&words) },
        "required": ["summary"],
        "additionalProperties": false,
    });
    let offered = tools
        .iter()
        .map(|tool| (tool.name.as_str(), tool.parameters.clone()));
    let variants: Vec<Value> = offered
        .chain([(FINISH, finish)])
        .map(|(name, parameters)| {
            json!({
                "type": "object",
                "properties": { "tool": { "const": name }, "arguments": parameters },
                "required": ["tool", "arguments"],
                "additionalProperties": false,
            })
        })
        .collect();
    json!({ "anyOf": variants })
}

/// What such a model is told about acting.
pub fn instructions(tools: &[ToolSpec]) -> String {
    let mut text = String::from(
        "Answer with exactly one JSON object and nothing else: {\"tool\": NAME, \"arguments\": {…}}. The tools:\n",
    );
    for tool in tools {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "- {}: {} Arguments by this schema: {}",
            tool.name, tool.description, tool.parameters
        );
    }
    let _ = writeln!(
        text,
        "- {FINISH}: ends the task. Arguments: {{\"summary\": what was done, in one sentence}}."
    );
    text
}

/// The conversation for a model that has no tool calls: it is told how to act, and what was done stands in words.
pub fn in_words(request: &Request) -> Request {
    let instructions = instructions(&request.tools);
    let mut messages: Vec<Message> = request.messages.iter().map(worded).collect();
    Message::add_to_system(&mut messages, &instructions);
    Request {
        messages,
        tools: Vec::new(),
    }
}

fn worded(message: &Message) -> Message {
    match message {
        Message::Assistant { calls, .. } if !calls.is_empty() => {
            let acted: Vec<String> = calls.iter().map(write).collect();
            Message::Assistant {
                text: acted.join("\n"),
                calls: Vec::new(),
                thoughts: Thoughts::default(),
            }
        }
        Message::Tool { name, text, .. } => Message::User {
            text: format!("Result of {name}:\n{text}"),
        },
        other => other.clone(),
    }
}

/// The text of an action, as the model would have written it.
pub fn write(call: &ToolCall) -> String {
    let arguments = call.parsed().unwrap_or_else(|_| Value::Object(Map::new()));
    json!({ "tool": call.name, "arguments": arguments }).to_string()
}

/// An answer read as actions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actions {
    /// What remains for people: the summary at the end, or nothing.
    pub text: String,
    /// The calls, in order; empty at the end.
    pub calls: Vec<ToolCall>,
}

/// Reads the text of an answer as actions: the whole text, `<tool_call>` blocks, or one fenced block at its end.
/// `None` when it is just text.
pub fn read(text: &str, tools: &[ToolSpec]) -> Option<Actions> {
    let text = after_thinking(text).trim();
    let mut actions = Actions {
        text: String::new(),
        calls: Vec::new(),
    };
    for source in sources(text) {
        let value: Value = serde_json::from_str(source.trim()).ok()?;
        let several = match value {
            Value::Array(several) => several,
            one => vec![one],
        };
        for value in several {
            take(value, tools, &mut actions)?;
        }
    }
    (!actions.calls.is_empty() || !actions.text.is_empty()).then_some(actions)
}

fn take(value: Value, tools: &[ToolSpec], actions: &mut Actions) -> Option<()> {
    let Value::Object(mut object) = value else {
        return None;
    };
    // Some models wrap the call as the wire does: {"function": {"name", "arguments"}}.
    if let Some(Value::Object(inner)) = object.remove("function") {
        object = inner;
    }
    let name = ["tool", "name", "tool_name"]
        .iter()
        .find_map(|key| object.get(*key)?.as_str().map(str::to_owned))?;
    let arguments = ["arguments", "parameters", "args", "input"]
        .iter()
        .find_map(|key| object.remove(*key))
        .unwrap_or_else(|| Value::Object(Map::new()));
    let arguments = match arguments {
        Value::String(text) => text,
        value => value.to_string(),
    };
    if name == FINISH {
        let parsed: Option<Value> = serde_json::from_str(&arguments).ok();
        actions.text = match parsed.as_ref().and_then(|parsed| parsed.get("summary")) {
            Some(Value::String(summary)) => summary.clone(),
            Some(value) if !value.is_null() => value.to_string(),
            _ => "done".to_owned(),
        };
        return Some(());
    }
    if !tools.iter().any(|tool| tool.name == name) {
        return None;
    }
    actions.calls.push(ToolCall {
        id: format!("action_{}", actions.calls.len()),
        name,
        arguments,
    });
    Some(())
}

fn sources(text: &str) -> Vec<&str> {
    const OPEN: &str = "<tool_call>";
    const CLOSE: &str = "</tool_call>";
    if text.contains(OPEN) {
        return text
            .split(OPEN)
            .skip(1)
            .map(|part| part.split(CLOSE).next().unwrap_or(part))
            .collect();
    }
    vec![last_fenced(text).unwrap_or(text)]
}

/// The inside of a fenced block that ends the text, if there is exactly one fence in it.
pub(super) fn last_fenced(text: &str) -> Option<&str> {
    let inner = text.strip_suffix("```")?;
    let start = inner.find("```")?;
    let block = inner.get(start + 3..)?;
    let (language, body) = block.split_once('\n')?;
    (!body.contains("```") && matches!(language.trim(), "" | "json" | "tool_call")).then_some(body)
}

/// Local models print what they think before they answer.
pub(super) fn after_thinking(text: &str) -> &str {
    text.rsplit_once("</think>")
        .map_or(text, |(_, after)| after)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tools() -> Vec<ToolSpec> {
        vec![ToolSpec {
            name: "read_file".to_owned(),
            description: "Reads a file.".to_owned(),
            parameters: json!({ "type": "object", "properties": { "path": { "type": "string" } } }),
        }]
    }

    #[test]
    fn actions_are_read_from_the_forms_that_models_write() {
        for text in [
            r#"{"tool": "read_file", "arguments": {"path": "a"}}"#,
            r#"{"name": "read_file", "parameters": {"path": "a"}}"#,
            r#"[{"function": {"name": "read_file", "arguments": "{\"path\":\"a\"}"}}]"#,
            "<think>I need {\"it\"}</think>\n```json\n{\"name\": \"read_file\", \"arguments\": {\"path\": \"a\"}}\n```",
            "I will look.\n```json\n{\"name\": \"read_file\", \"arguments\": {\"path\": \"a\"}}\n```\n",
            "<tool_call>\n{\"name\": \"read_file\", \"arguments\": {\"path\": \"a\"}}\n</tool_call>",
        ] {
            let actions = read(text, &tools()).unwrap_or_else(|| panic!("not read: {text}"));
            assert_eq!(actions.calls.len(), 1, "{text}");
            let arguments = actions.calls[0].parsed().expect("arguments are JSON");
            assert_eq!(arguments, json!({ "path": "a" }), "{text}");
        }
    }

    #[test]
    fn plain_text_and_unknown_tools_are_not_actions() {
        for text in [
            "done",
            "{\"answer\": 42}",
            r#"{"tool": "rm", "arguments": {}}"#,
            "```json\n{\"name\": \"read_file\"}\n```\nis how one calls it",
            "{\"tool\": \"read_file\", \"arguments\": {\"path\": \"a\"",
            "",
        ] {
            assert_eq!(read(text, &tools()), None, "{text}");
        }
    }

    #[test]
    fn the_finish_action_ends_with_its_summary() {
        let actions = read(
            r#"{"tool":"finish","arguments":{"summary":"renamed"}}"#,
            &tools(),
        );
        let actions = actions.expect("it is an action");
        assert!(actions.calls.is_empty());
        assert_eq!(actions.text, "renamed");
    }

    #[test]
    fn the_schema_has_one_variant_for_each_tool_and_the_end() {
        let schema = schema(&tools(), None);
        let variants = schema["anyOf"].as_array().expect("a list");
        let names: Vec<&Value> = variants
            .iter()
            .map(|variant| &variant["properties"]["tool"]["const"])
            .collect();
        assert_eq!(names, [&json!("read_file"), &json!("finish")]);
    }
}
