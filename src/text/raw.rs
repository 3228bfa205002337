//! JSON taken apart without being read: the pieces stay the bytes that came (spec: LSP Client, message bodies).
//!
//! What is looked at is only what has to be; numbers, key order, escapes and white space of everything else survive.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

/// One key of an object and its value.
pub type Field<'text> = (Cow<'text, str>, &'text RawValue);

/// The elements of a list; `None`: it is no list.
pub fn elements(text: &str) -> Option<Vec<&RawValue>> {
    serde_json::from_str(text).ok()
}

/// The fields of an object, in their order; `None`: it is no object.
pub fn fields(text: &str) -> Option<Vec<Field<'_>>> {
    serde_json::from_str::<Fields<'_>>(text)
        .ok()
        .map(|fields| fields.0)
}

/// The value of a key of an object.
pub fn field<'text>(text: &'text str, key: &str) -> Option<&'text RawValue> {
    fields(text)?
        .into_iter()
        .find_map(|(name, value)| (name == key).then_some(value))
}

/// The text that a JSON string stands for.
pub fn string(raw: &RawValue) -> Option<Cow<'_, str>> {
    serde_json::from_str::<Key<'_>>(raw.get())
        .ok()
        .map(|key| key.0)
}

/// A value as text that is the same for all ways to write it.
pub fn canonical(raw: &str) -> String {
    match serde_json::from_str::<Value>(raw) {
        Ok(mut value) => {
            value.sort_all_objects();
            value.to_string()
        }
        Err(_) => raw.to_owned(),
    }
}

/// JSON text of a string.
pub fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// Where `inner` lies in `outer`, of which it is a piece.
pub fn place(outer: &str, inner: &str) -> Option<Range<usize>> {
    let start = (inner.as_ptr() as usize).checked_sub(outer.as_ptr() as usize)?;
    let end = start + inner.len();
    (end <= outer.len()).then_some(start..end)
}

/// Writes `outer` with the piece `inner` replaced.
pub fn replace_into(out: &mut String, outer: &str, inner: &str, with: &str) {
    let range = place(outer, inner).unwrap_or(outer.len()..outer.len());
    out.push_str(outer.get(..range.start).unwrap_or_default());
    out.push_str(with);
    out.push_str(outer.get(range.end..).unwrap_or_default());
}

/// Writes the object `outer` with more fields, given as JSON text without braces, behind its own.
pub fn extend_into(out: &mut String, outer: &str, more: &str) {
    let Some(body) = outer.trim_end().strip_suffix('}') else {
        return out.push_str(outer);
    };
    let body = body.trim_end();
    out.push_str(body);
    if !more.is_empty() {
        if !body.ends_with('{') {
            out.push(',');
        }
        out.push_str(more);
    }
    out.push('}');
}

/// Writes an object of these fields, without those whose key is in `without`, and leaves it open: with `}` missing.
/// Gives whether a comma has to follow.
pub fn open_without(out: &mut String, fields: &[Field<'_>], without: &[&str]) -> bool {
    out.push('{');
    let mut follows = false;
    for (key, value) in fields {
        if without.contains(&key.as_ref()) {
            continue;
        }
        if follows {
            out.push(',');
        }
        follows = true;
        out.push_str(&quoted(key));
        out.push(':');
        out.push_str(value.get());
    }
    follows
}

/// Reads a value that may be null as it came: for `deserialize_with`, where `Option` would take null for missing.
pub fn present<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// What of an object is written otherwise than it came.
#[derive(Debug, Default)]
pub struct Changes<'text> {
    replaced: Vec<(&'text str, String)>,
    added: String,
}

impl<'text> Changes<'text> {
    /// Writes another value in the place of `own`, which is a piece of the object.
    pub fn put(&mut self, own: &'text RawValue, with: String) {
        self.replaced.push((own.get(), with));
    }

    /// Adds a field. The key is one that needs no escapes.
    pub fn add(&mut self, key: &str, value: &str) {
        if !self.added.is_empty() {
            self.added.push(',');
        }
        self.added.push('"');
        self.added.push_str(key);
        self.added.push_str("\":");
        self.added.push_str(value);
    }

    /// Replaces the value of a field, or adds it.
    pub fn set(&mut self, own: Option<&'text RawValue>, key: &str, value: String) {
        match own {
            Some(own) => self.put(own, value),
            None => self.add(key, &value),
        }
    }

    /// Writes the object.
    pub fn write(mut self, out: &mut String, object: &str) {
        let mut rest = object;
        self.replaced.sort_by_key(|(own, _)| own.as_ptr() as usize);
        for (own, with) in &self.replaced {
            let Some(range) = place(rest, own) else {
                continue;
            };
            out.push_str(rest.get(..range.start).unwrap_or_default());
            out.push_str(with);
            rest = rest.get(range.end..).unwrap_or_default();
        }
        extend_into(out, rest, &self.added);
    }
}

/// A JSON list that is being written.
#[derive(Debug)]
pub struct List {
    text: String,
    /// Length of `text` when the list has no element yet.
    empty: usize,
}

impl List {
    /// A list behind some text, with room for `capacity` bytes.
    pub fn after(text: &str, capacity: usize) -> Self {
        let mut whole = String::with_capacity(text.len() + capacity + 2);
        whole.push_str(text);
        whole.push('[');
        let empty = whole.len();
        Self { text: whole, empty }
    }

    /// A list with room for `capacity` bytes.
    pub fn new(capacity: usize) -> Self {
        Self::after("", capacity)
    }

    /// The text to write the next element to.
    pub fn slot(&mut self) -> &mut String {
        if self.text.len() > self.empty {
            self.text.push(',');
        }
        &mut self.text
    }

    /// Adds an element.
    pub fn push(&mut self, element: &str) {
        self.slot().push_str(element);
    }

    /// Makes room for more.
    pub fn reserve(&mut self, bytes: usize) {
        self.text.reserve(bytes);
    }

    /// Whether it has no element.
    pub fn is_empty(&self) -> bool {
        self.text.len() == self.empty
    }

    /// The text with the list closed.
    pub fn finish(mut self) -> String {
        self.text.push(']');
        self.text
    }
}

struct Fields<'text>(Vec<Field<'text>>);

#[derive(serde::Deserialize)]
struct Key<'text>(#[serde(borrow)] Cow<'text, str>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Fields<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some(Key(key)) = map.next_key()? {
                    fields.push((key, map.next_value()?));
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_stay_the_bytes_that_came() {
        let text = r#"{ "a" : 1e3, "b\u0020c":[ {"x":1.50} ,2 ], "a":null }"#;
        let fields = fields(text).expect("an object");
        let shown: Vec<(&str, &str)> = fields
            .iter()
            .map(|(key, value)| (key.as_ref(), value.get()))
            .collect();
        let expected = [("a", "1e3"), ("b c", r#"[ {"x":1.50} ,2 ]"#), ("a", "null")];
        assert_eq!(shown, expected);
        let list = elements(fields[1].1.get()).expect("a list");
        assert_eq!(list[0].get(), r#"{"x":1.50}"#);
        assert!(elements("{}").is_none());
    }

    #[test]
    fn a_piece_is_replaced_or_added_in_place() {
        let text = r#"{"a":1, "data":{"k":1} ,"b":2}"#;
        let data = field(text, "data").expect("it is there").get();
        let mut out = String::new();
        replace_into(&mut out, text, data, "7");
        assert_eq!(out, r#"{"a":1, "data":7 ,"b":2}"#);
        for (object, expected) in [("{ }", r#"{"x":1}"#), (r#"{"a":1 }"#, r#"{"a":1,"x":1}"#)] {
            let mut out = String::new();
            extend_into(&mut out, object, r#""x":1"#);
            assert_eq!(out, expected);
        }
    }

    #[test]
    fn values_that_mean_the_same_are_the_same() {
        assert_eq!(
            canonical(r#"{"b":1,"a":"\u0041"}"#),
            canonical(r#"{ "a":"A", "b":1 }"#)
        );
        assert_ne!(canonical("[1,2]"), canonical("[2,1]"));
    }
}
