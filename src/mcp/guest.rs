//! A tool of a server, as a tool that a run can call (spec: Tool Integration Framework; Plugin System).

use std::fmt::Write as _;
use std::sync::Arc;

use async_trait::async_trait;
use data_encoding::HEXLOWER;
use serde_json::{Value, json};

use super::definition::{Definition, digest};
use super::server::{Server, Unanswered};
use crate::egress;
use crate::permit::Action;
use crate::tools::{Context, Error, Output, Parameter, ReturnType, Tool};

/// Bytes of what one call gives back.
const RESULT_BYTES_MAX: usize = 1_000_000;

/// A tool of a server.
#[derive(Debug)]
pub(super) struct Guest {
    called: String,
    described: String,
    shown: Value,
    definition: Definition,
    server: Arc<Server>,
}

impl Guest {
    /// The tool under the name, with the words and the schema that models are told.
    pub(super) fn new(
        (called, described, shown): (String, String, Value),
        definition: Definition,
        server: Arc<Server>,
    ) -> Self {
        Self {
            called,
            described,
            shown,
            definition,
            server,
        }
    }

    /// Bytes that it takes in every request.
    pub(super) fn bytes(&self) -> usize {
        self.called.len() + self.described.len() + self.shown.to_string().len()
    }

    fn action(&self, arguments: &Value) -> Action {
        let server = HEXLOWER.encode(&self.server.command);
        let definition = HEXLOWER.encode(&self.definition.digest);
        let digest = digest(&[&server, &definition, &arguments.to_string()]);
        Action::Guest {
            from: self.server.name.clone(),
            tool: self.definition.tool.clone(),
            digest: HEXLOWER.encode(&digest),
            reaches_out: self.server.reaches_out,
        }
    }

    fn failed(&self, reason: &str) -> Error {
        Error::Unavailable(self.said(reason))
    }

    fn said(&self, reason: &str) -> String {
        format!("the server `{}`: {reason}", self.server.name)
    }
}

#[async_trait]
impl Tool for Guest {
    fn name(&self) -> &str {
        &self.called
    }

    fn description(&self) -> &str {
        &self.described
    }

    fn parameters(&self) -> Vec<Parameter> {
        Vec::new()
    }

    fn schema(&self) -> Value {
        self.shown.clone()
    }

    fn returns(&self) -> ReturnType {
        ReturnType {
            description: "what its server answers".to_owned(),
        }
    }

    fn validate(&self, arguments: &Value) -> Result<(), Error> {
        self.definition.check(arguments).map_err(Error::Arguments)
    }

    fn actions(&self, arguments: &Value, _context: &Context<'_>) -> Vec<Action> {
        vec![self.action(arguments)]
    }

    fn preview(&self, arguments: &Value) -> Option<String> {
        let arguments = serde_json::to_string_pretty(arguments).ok()?;
        let (server, tool) = (&self.server.name, &self.definition.tool);
        Some(format!(
            "{arguments}\n(tools.mcp.{server}.allow = [\"{tool}\"] in your settings lets it be called without asking)"
        ))
    }

    async fn execute(&self, context: &Context<'_>, arguments: &Value) -> Result<Output, Error> {
        // What was allowed is exactly this call.
        context.permit(&self.action(arguments))?;
        if self.server.reaches_out {
            let checked = egress::check_arguments(context.redactor, arguments);
            checked.map_err(|error| self.failed(&error.to_string()))?;
        }
        let unchanged = self.server.is_unchanged(&self.definition).await;
        if !unchanged.map_err(|reason| self.failed(&reason))? {
            return Err(
                self.failed("it has changed this tool since the run began, so it is not called")
            );
        }
        let result = self.server.call(&self.definition.tool, arguments).await;
        let result = result.map_err(|unanswered| match unanswered {
            Unanswered::Refused(reason) => self.failed(&reason),
            Unanswered::Unsure(reason) => Error::Unsure(self.said(&reason)),
        })?;
        let text = words(&result);
        if result.get("isError") == Some(&Value::Bool(true)) {
            return Err(self.failed(&format!("the call failed:\n{text}")));
        }
        Ok(Output {
            data: json!({ "server": self.server.name }),
            text: Some((format!("answer of {}", self.called), text)),
            ..Output::default()
        })
    }
}

/// The text of a result; what is no text is only named.
fn words(result: &Value) -> String {
    let mut words = String::new();
    let parts = result.get("content").and_then(Value::as_array);
    for part in parts.into_iter().flatten() {
        let field = |name: &str| part.get(name).and_then(Value::as_str);
        let resource = part.get("resource");
        let text = field("text").or_else(|| resource?.get("text")?.as_str());
        // Writing to a string cannot fail.
        let _ = match text {
            Some(text) => writeln!(words, "{text}"),
            None => {
                let kind = field("type").unwrap_or("something");
                let what = field("uri")
                    .or_else(|| field("mimeType"))
                    .unwrap_or_default();
                writeln!(words, "[{kind} {what}: not shown]")
            }
        };
        if words.len() > RESULT_BYTES_MAX {
            break;
        }
    }
    if let (true, Some(data)) = (words.is_empty(), result.get("structuredContent")) {
        words = data.to_string();
    }
    if words.len() > RESULT_BYTES_MAX {
        let mut end = RESULT_BYTES_MAX;
        while !words.is_char_boundary(end) {
            end -= 1;
        }
        words.truncate(end);
        words.push_str("\n[… the rest is left out]\n");
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_result_its_text_is_read_and_the_rest_is_named() {
        for (result, expected) in [
            (
                json!({ "content": [{ "type": "text", "text": "a" }] }),
                "a\n",
            ),
            (
                json!({ "content": [
                    { "type": "image", "data": "AAAA", "mimeType": "image/png" },
                    { "type": "resource", "resource": { "uri": "x:", "text": "b" } },
                    { "type": "resource_link", "uri": "file:///a", "name": "a" },
                ] }),
                "[image image/png: not shown]\nb\n[resource_link file:///a: not shown]\n",
            ),
            (
                json!({ "content": [], "structuredContent": { "a": 1 } }),
                "{\"a\":1}",
            ),
            (json!({ "content": 7 }), ""),
        ] {
            assert_eq!(words(&result), expected, "{result}");
        }
        let long = "ü".repeat(RESULT_BYTES_MAX);
        let long = words(&json!({ "content": [{ "type": "text", "text": long }] }));
        assert!(long.len() < RESULT_BYTES_MAX + 100);
    }
}
