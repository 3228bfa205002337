//! Endpoints that speak a language of their own (spec: LLM Gateway, custom HTTP endpoints).
//!
//! The configuration says what is sent, as a template of a JSON document, and where the text of the answer is. What is
//! put into the template is always written as JSON, so that no text of a conversation gets out of its place.

use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use serde_json::{Value, json};

use super::assembler::{Assembler, Fault, malformed, reported};
use super::dialect::{Dialect, Settings};
use super::error::Error;
use super::message::{Message, Request};
use crate::config::Llm;

/// The language of one endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template {
    body: String,
    /// Where the text of an answer is, as a JSON pointer.
    pub(super) answer: String,
}

impl Template {
    /// The language that a provider's entry describes.
    pub(super) fn of(llm: &Llm, provider: &str) -> Result<Self, Error> {
        let entry = llm.providers.get(provider).cloned().unwrap_or_default();
        let broken = |reason: String| Error::Template {
            provider: provider.to_owned(),
            reason,
        };
        if entry.body.trim().is_empty() {
            return Err(broken(
                "`body` is missing: say there what is sent".to_owned(),
            ));
        }
        if !entry.answer.is_empty() && !entry.answer.starts_with('/') {
            let reason = "`answer` is no JSON pointer: it looks like /result/text";
            return Err(broken(reason.to_owned()));
        }
        environment()
            .template_from_str(&entry.body)
            .map_err(|error| broken(format!("`body`: {}", reason(&error))))?;
        Ok(Self {
            body: entry.body,
            answer: entry.answer,
        })
    }

    /// The JSON body of a request; the reason, when there is none.
    pub(super) fn body(
        &self,
        request: &Request,
        settings: Settings<'_>,
        dialect: Dialect,
    ) -> Result<Value, String> {
        let worded = dialect.worded(request, settings.output);
        let text = environment()
            .render_str(&self.body, known(&worded.messages, settings))
            .map_err(|error| format!("`body`: {}", reason(&error)))?;
        serde_json::from_str(&text).map_err(|error| {
            format!(
                "`body` is not JSON when it is filled in ({error}): values bring their own quotes, write {{{{ prompt }}}} \
                 without any"
            )
        })
    }
}

/// What a template can name.
fn known(messages: &[Message], settings: Settings<'_>) -> minijinja::Value {
    let (mut system, mut rest) = (Vec::new(), Vec::new());
    let mut turns = Vec::with_capacity(messages.len());
    for message in messages {
        let (role, texts) = match message {
            Message::System { .. } => ("system", &mut system),
            Message::User { .. } | Message::Tool { .. } => ("user", &mut rest),
            Message::Assistant { .. } => ("assistant", &mut rest),
        };
        texts.push(message.text());
        turns.push(json!({ "role": role, "content": message.text() }));
    }
    let known = json!({
        "model": settings.model,
        "messages": turns,
        "system": system.join("\n\n"),
        "prompt": rest.join("\n\n"),
        "max_tokens": settings.tokens_out_max,
        "temperature": settings.temperature,
    });
    serde_json::from_value(known).expect("it is plain data")
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::empty();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_formatter(|out, _, value| {
        let written = serde_json::to_string(value).map_err(|error| {
            let kind = minijinja::ErrorKind::BadSerialization;
            minijinja::Error::new(kind, error.to_string())
        })?;
        out.write_str(&written).map_err(Into::into)
    });
    environment
}

/// What is wrong with a template and where, in one line.
fn reason(error: &minijinja::Error) -> String {
    let detail = error
        .detail()
        .map_or_else(|| error.kind().to_string(), str::to_owned);
    match error.line() {
        Some(line) => format!("{detail} (line {line})"),
        None => detail,
    }
}

/// Reads an answer, or one piece of it. A piece without text is passed over, unless it is an error.
pub(super) fn take(data: &str, pointer: &str, assembler: &mut Assembler) -> Result<(), Fault> {
    let answer: Value = serde_json::from_str(data).map_err(|_| malformed(data))?;
    match answer.pointer(pointer) {
        Some(Value::String(text)) => assembler.say(text),
        None | Some(Value::Null) => {
            let has_error = answer.get("error").is_some_and(|error| !error.is_null());
            return if has_error {
                Err(reported(&answer))
            } else {
                Ok(())
            };
        }
        // Some give an answer by a schema as what it means.
        Some(value) => assembler.say(&value.to_string()),
    }
    assembler.end("stop");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(body: &str) -> Template {
        Template {
            body: body.to_owned(),
            answer: "/result/text".to_owned(),
        }
    }

    fn written(body: &str) -> Result<Value, String> {
        let request = Request {
            messages: vec![
                Message::System {
                    text: "be brief".to_owned(),
                },
                Message::User {
                    text: "say \"hi\"\n{{ model }} ${HOME}".to_owned(),
                },
            ],
            ..Request::default()
        };
        let settings = Settings {
            model: "parrot",
            tokens_out_max: 7,
            temperature: None,
            window: 0,
            output: None,
        };
        template(body).body(&request, settings, Dialect::default())
    }

    #[test]
    fn what_is_put_into_a_body_is_json_whatever_it_says() {
        let body = r#"{ "input": {{ prompt }}, "context": {{ system }}, "engine": {{ model }},
            "limits": { "tokens": {{ max_tokens }}, "heat": {{ temperature }} },
            "turns": [{% for turn in messages %}{ "who": {{ turn.role }}, "said": {{ turn.content }} }{% if not loop.last %},{% endif %}{% endfor %}] }"#;
        let said = "say \"hi\"\n{{ model }} ${HOME}";
        let expected = json!({ "input": said, "context": "be brief", "engine": "parrot",
            "limits": { "tokens": 7, "heat": null },
            "turns": [{ "who": "system", "said": "be brief" }, { "who": "user", "said": said }] });
        assert_eq!(written(body), Ok(expected));
        assert_eq!(
            written("{{ messages }}").expect("a list")[1]["content"],
            said
        );
    }

    #[test]
    fn a_body_that_cannot_be_filled_in_says_why() {
        for (body, expected) in [
            ("{ \"a\": {{ promt }} }", "`promt` is undefined (line 1)"),
            ("{ \"a\": \"{{ prompt }}\" }", "without any"),
            ("{ \"a\": ", "is not JSON"),
        ] {
            let error = written(body).expect_err(body);
            assert!(error.contains(expected), "{error}");
        }
    }
}
