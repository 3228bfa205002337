//! Looks into JSON whose shape somebody else decides (spec: LSP Client).

use serde_json::{Map, Value};

static NULL: Value = Value::Null;

/// The value at a path such as `/context/only`; null when there is none.
pub fn at<'value>(value: &'value Value, path: &str) -> &'value Value {
    value.pointer(path).unwrap_or(&NULL)
}

/// The text at a path; empty when there is none.
pub fn text<'value>(value: &'value Value, path: &str) -> &'value str {
    at(value, path).as_str().unwrap_or_default()
}

/// The elements of the list at a path; none when there is no list.
pub fn list<'value>(value: &'value Value, path: &str) -> &'value [Value] {
    at(value, path)
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default()
}

/// Whether the value at a path is `true`.
pub fn is_true(value: &Value, path: &str) -> bool {
    at(value, path).as_bool() == Some(true)
}

/// Takes the value of a key out of an object; null when there is none.
pub fn take(value: &mut Value, key: &str) -> Value {
    value.get_mut(key).map(Value::take).unwrap_or_default()
}

/// Sets a key of an object, making an object of anything else.
pub fn set(value: &mut Value, key: &str, to: Value) {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    if let Some(object) = value.as_object_mut() {
        object.insert(key.to_owned(), to);
    }
}

/// The same JSON with a replacement character in place of each half character (an unpaired `\ud83d`, which texts of
/// editors in JavaScript may hold) and of each byte that is no UTF-8. Both count as many UTF-16 units as before.
pub fn readable(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let mut result = String::with_capacity(text.len());
    let mut rest = text.as_ref();
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        result.push_str(before);
        let length = match (surrogate(escape), escape.get(6..).and_then(surrogate)) {
            (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => 12,
            (Some(_), _) => {
                result.push('\u{fffd}');
                rest = escape.get(6..).unwrap_or_default();
                continue;
            }
            // The backslash and what it escapes, which may be another one.
            (None, _) => 1 + escape.chars().nth(1).map_or(0, char::len_utf8),
        };
        result.push_str(escape.get(..length).unwrap_or_default());
        rest = escape.get(length..).unwrap_or_default();
    }
    result.push_str(rest);
    result
}

/// The half character that a text begins with, as an escape.
fn surrogate(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    let unit = u16::from_str_radix(digits, 16).ok()?;
    (0xD800..=0xDFFF).contains(&unit).then_some(unit)
}

/// Lays a value over another: objects are merged key by key, anything else is replaced.
pub fn lay_over(under: &mut Value, over: &Value) {
    match (under, over) {
        (Value::Object(below), Value::Object(above)) => {
            for (key, value) in above {
                lay_over(below.entry(key).or_insert(Value::Null), value);
            }
        }
        (under, over) => under.clone_from(over),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_characters_become_readable_and_whole_ones_stay() {
        for (from, to) in [
            (r#""a\ud83db""#, "\"a\u{fffd}b\""),
            (r#""\ud83d\ud83d\ude00""#, "\"\u{fffd}\\ud83d\\ude00\""),
            (r#""\ude00\ud83d""#, "\"\u{fffd}\u{fffd}\""),
            (r#""\\ud83d\n\"é""#, r#""\\ud83d\n\"é""#),
            (r#""\u00e9 \u""#, r#""\u00e9 \u""#),
            ("\"\\", "\"\\"),
        ] {
            assert_eq!(readable(from.as_bytes()), to);
        }
        assert_eq!(readable(b"\"\xff\\n\""), "\"\u{fffd}\\n\"");
    }
}
