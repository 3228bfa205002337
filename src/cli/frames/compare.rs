//! Whether an answer is what it was when it was recorded (spec: Monitoring, flight recorder).
//!
//! Answers are compared as JSON. What a server writes for itself alone (`data`, `resultId`) may differ, and a masked
//! string stands for any. Of errors the codes are compared: their texts are for people.

use serde_json::Value;

use crate::redact::MASK;
use crate::text::json::at;

/// Keys of what a server writes for itself.
const OPAQUE: [&str; 2] = ["data", "resultId"];

/// Longest piece of a value that is shown.
const SHOWN_CHARACTERS_MAX: usize = 60;

/// Errors that depend on the moment: cancelled by the server or the client, text changed meanwhile.
const OF_THE_MOMENT: [i64; 3] = [-32802, -32801, -32800];

/// How an answer compares with the recorded one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Likeness {
    /// It says the same.
    Same,
    /// It differs first at this place.
    Different {
        /// Where, as a JSON pointer.
        at: String,
        /// What it said then.
        then: String,
        /// What it says now.
        now: String,
    },
    /// One of them is an error that depends on the moment.
    OfTheMoment,
}

/// Compares two answers.
pub(super) fn compare(then: &[u8], now: &[u8]) -> Likeness {
    let read = |body: &[u8]| serde_json::from_slice::<Value>(body).unwrap_or_default();
    let (then, now) = (read(then), read(now));
    let codes = [&then, &now].map(|answer| at(answer, "/error/code").as_i64());
    if codes
        .iter()
        .flatten()
        .any(|code| OF_THE_MOMENT.contains(code))
    {
        return Likeness::OfTheMoment;
    }
    if let [Some(then), Some(now)] = codes
        && then == now
    {
        return Likeness::Same;
    }
    let mut path = String::new();
    for part in ["result", "error"] {
        path.push('/');
        path.push_str(part);
        let (then, now) = (at(&then, &path), at(&now, &path));
        if let Some((then, now)) = difference(then, now, &mut path) {
            return Likeness::Different {
                at: path,
                then: shown(then),
                now: shown(now),
            };
        }
        path.clear();
    }
    Likeness::Same
}

/// The first two values that differ; `path` then leads to them.
fn difference<'value>(
    then: &'value Value,
    now: &'value Value,
    path: &mut String,
) -> Option<(&'value Value, &'value Value)> {
    let length = path.len();
    let mut inside = |step: &str, then, now| {
        path.push('/');
        path.push_str(step);
        let found = difference(then, now, path);
        if found.is_none() {
            path.truncate(length);
        }
        found
    };
    match (then, now) {
        (Value::Object(before), Value::Object(after)) => {
            let added = after.keys().filter(|key| !before.contains_key(*key));
            let mut keys = before.keys().chain(added);
            keys.find_map(|key| {
                let of = |object: &'value serde_json::Map<String, Value>| {
                    object.get(key).unwrap_or(&Value::Null)
                };
                if OPAQUE.contains(&key.as_str()) {
                    return None;
                }
                inside(key, of(before), of(after))
            })
        }
        (Value::Array(before), Value::Array(after)) if before.len() == after.len() => {
            let mut pairs = before.iter().zip(after).enumerate();
            pairs.find_map(|(place, (then, now))| inside(&place.to_string(), then, now))
        }
        (Value::String(before), _) if before.contains(MASK) => None,
        _ => (then != now).then_some((then, now)),
    }
}

fn shown(value: &Value) -> String {
    let text = match value {
        Value::Array(list) => format!("{} elements", list.len()),
        other => other.to_string(),
    };
    match text.char_indices().nth(SHOWN_CHARACTERS_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_is_named_with_its_place() {
        let different = |at: &str, then: &str, now: &str| Likeness::Different {
            at: at.to_owned(),
            then: then.to_owned(),
            now: now.to_owned(),
        };
        for (then, now, expected) in [
            (
                r#"{"id":1,"result":{"a":1,"b":2}}"#,
                r#"{"result":{"b":2,"a":1},"id":"x"}"#,
                Likeness::Same,
            ),
            (r#"{"result":null}"#, r"{}", Likeness::Same),
            (
                r#"{"result":[{"a":1},{"a":"b"}]}"#,
                r#"{"result":[{"a":1},{"a":"c"}]}"#,
                different("/result/1/a", "\"b\"", "\"c\""),
            ),
            (
                r#"{"result":[1]}"#,
                r#"{"result":[]}"#,
                different("/result", "1 elements", "0 elements"),
            ),
            (
                r#"{"result":{}}"#,
                r#"{"result":{"new":1}}"#,
                different("/result/new", "null", "1"),
            ),
            (
                r#"{"result":{"data":1,"x":"[redacted]!"}}"#,
                r#"{"result":{"data":2,"x":"key"}}"#,
                Likeness::Same,
            ),
            (
                r#"{"error":{"code":-32601,"message":"a"}}"#,
                r#"{"error":{"code":-32601,"message":"b"}}"#,
                Likeness::Same,
            ),
            (
                r#"{"result":1}"#,
                r#"{"error":{"code":-32601,"message":"b"}}"#,
                different("/result", "1", "null"),
            ),
            (
                r#"{"result":1}"#,
                r#"{"error":{"code":-32800}}"#,
                Likeness::OfTheMoment,
            ),
        ] {
            assert_eq!(
                compare(then.as_bytes(), now.as_bytes()),
                expected,
                "{then} {now}"
            );
        }
    }
}
