//! Answers that have a form (spec: LLM Gateway, structured output).
//!
//! Where the provider holds a model to a schema, it is asked to; elsewhere the model is told. What comes is checked in
//! either case, and one that is wrong is asked for once more, with what is wrong about it.

use serde_json::Value;

use super::actions;
use super::error::Error;
use super::gateway::Gateway;
use super::message::{Answer, Finish, Message, Request};
use super::schema;
use crate::permit::Permit;

/// Characters of a wrong answer that are shown.
const SHOWN_CHARACTERS_MAX: usize = 200;

impl Gateway {
    /// Asks the model. `on_text` sees the text of the answer as it comes. Last words are what `output` asks for, or an
    /// error after a second try.
    pub async fn ask(
        &mut self,
        permit: &Permit,
        request: &Request,
        on_text: &mut (dyn FnMut(&str) + Send),
    ) -> Result<Answer, Error> {
        let mut answer = self.ask_once(permit, request, on_text).await?;
        let Some(reason) = self.correct(&mut answer) else {
            return Ok(answer);
        };
        let mut again = request.clone();
        again.messages.push(Message::Assistant {
            text: answer.text,
            calls: Vec::new(),
            thoughts: answer.thoughts,
        });
        again.messages.push(Message::User {
            text: format!("This is not what was asked for: {reason}. Give the whole answer again."),
        });
        let mut second = self.ask_once(permit, &again, on_text).await?;
        second.usage = answer.usage.with(second.usage);
        match self.correct(&mut second) {
            None => Ok(second),
            Some(reason) => Err(Error::NotBySchema {
                reason,
                text: shown(&self.route.redactor.clean(&second.text)),
            }),
        }
    }

    /// The value of an answer, where one was asked for.
    pub fn value(&self, answer: &Answer) -> Option<Value> {
        let output = self.output.as_ref();
        let output = output.filter(|_| answer.finish == Finish::Stop)?;
        value(&answer.text, output).ok()
    }

    /// Takes what stands around the value out of last words; what is wrong with them, when they are none.
    fn correct(&self, answer: &mut Answer) -> Option<String> {
        let output = self.output.as_ref();
        // Calls are not last words, and what was cut off by a limit does not get better by asking again.
        let output = output.filter(|_| answer.finish == Finish::Stop)?;
        match value(&answer.text, output) {
            Ok(Value::String(_)) if is_text(output) => None,
            Ok(value) => {
                answer.text = value.to_string();
                None
            }
            Err(reason) => Some(reason),
        }
    }
}

/// Whether a schema asks for words, which are not written as JSON.
fn is_text(output: &Value) -> bool {
    output.get("type").is_some_and(|kind| kind == "string")
}

/// Whether a provider can hold a model to a schema: they take objects.
pub(super) fn can_be_held(output: &Value) -> bool {
    output.get("type").is_some_and(|kind| kind == "object")
}

/// What a model is told that nobody holds to the schema.
pub(super) fn instruction(output: &Value) -> String {
    let meaning = output.get("description").and_then(Value::as_str);
    if !is_text(output) {
        return format!(
            "Your last words are exactly one JSON value by this schema, and nothing else: {output}"
        );
    }
    match (meaning, output.as_object().map_or(0, serde_json::Map::len)) {
        (Some(meaning), 2) => format!("Your last words: {meaning}"),
        _ => format!("Your last words are text by this schema, not in quotes: {output}"),
    }
}

/// The value in the text of an answer; what is wrong, when it is not what was asked for.
fn value(text: &str, output: &Value) -> Result<Value, String> {
    let text = actions::after_thinking(text).trim();
    let value = if is_text(output) {
        Value::from(text)
    } else {
        let inner = actions::last_fenced(text).unwrap_or(text).trim();
        serde_json::from_str(inner).map_err(|error| format!("it is not JSON ({error})"))?
    };
    schema::check(&value, output)?;
    Ok(value)
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN_CHARACTERS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_is_found_in_what_models_write_around_it() {
        let object = json!({ "type": "object", "required": ["a"] });
        for text in [
            "{\"a\": 1}",
            "<think>{}</think>\n{\"a\": 1}\n",
            "Here it is:\n```json\n{\"a\": 1}\n```",
        ] {
            assert_eq!(value(text, &object), Ok(json!({ "a": 1 })), "{text}");
        }
        for (text, expected) in [
            ("{\"b\": 1}", "/a is missing"),
            ("Sure! a is 1", "not JSON"),
            ("", "not JSON"),
        ] {
            let error = value(text, &object).expect_err(text);
            assert!(error.contains(expected), "{error}");
        }
        let words = json!({ "type": "string", "maxLength": 9 });
        assert_eq!(
            value(" \"so\" it is\n", &words),
            Err("the answer has 10 where maxLength is 9".to_owned())
        );
        assert_eq!(value(" so it is\n", &words), Ok(json!("so it is")));
    }

    #[test]
    fn a_model_is_told_what_its_last_words_are() {
        let meant = json!({ "type": "string", "description": "One sentence." });
        assert_eq!(instruction(&meant), "Your last words: One sentence.");
        let short = json!({ "type": "string", "maxLength": 9 });
        assert!(instruction(&short).contains("maxLength"));
        assert!(instruction(&json!({ "type": "array" })).contains("JSON value"));
    }
}
