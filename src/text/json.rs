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
