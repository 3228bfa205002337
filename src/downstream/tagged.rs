//! Items that are sent back later remember the server that made them (spec: LSP Manager, resolve).
//!
//! Completions, code actions, lenses, hints, links, symbols, hierarchy items and diagnostics have a field `data` that the
//! editor keeps and sends back unread. It is wrapped as `{"s":server,"g":generation,"d":original}`,
//! with `"u":document` where columns are counted anew and unwrapped when it
//! returns, so that nothing has to be remembered in between. A generation counts the starts of a server: what an earlier
//! one made means nothing to a later one.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::text::raw;

/// The server that made an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tag {
    /// Which server.
    pub server: usize,
    /// Which start of it.
    pub generation: u32,
    /// The number of the document in which the item was asked for, where it matters.
    pub document: Option<u32>,
}

/// An item that came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Returned {
    /// Who made it.
    pub tag: Tag,
    /// The object that held it, as that server knows it.
    pub text: String,
}

/// Bytes that a tag adds to an item, for sizing a buffer.
pub const TAG_BYTES: usize = 48;

/// What of an item decides where its tag goes.
#[derive(Deserialize)]
struct Item<'text> {
    #[serde(borrow, default, deserialize_with = "raw::present")]
    data: Option<&'text RawValue>,
    #[serde(borrow, default)]
    from: Option<&'text RawValue>,
    #[serde(borrow, default)]
    to: Option<&'text RawValue>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wrapped<'text> {
    s: usize,
    g: u32,
    #[serde(default)]
    u: Option<u32>,
    #[serde(borrow, default, deserialize_with = "raw::present")]
    d: Option<&'text RawValue>,
}

impl Tag {
    /// The wrapped form of an item's `data`.
    pub fn wrap(self, original: Option<&str>) -> String {
        let mut text = String::with_capacity(original.map_or(0, str::len) + TAG_BYTES);
        text.push_str(r#"{"s":"#);
        text.push_str(&self.server.to_string());
        text.push_str(r#","g":"#);
        text.push_str(&self.generation.to_string());
        if let Some(document) = self.document {
            text.push_str(r#","u":"#);
            text.push_str(&document.to_string());
        }
        if let Some(original) = original {
            text.push_str(r#","d":"#);
            text.push_str(original);
        }
        text.push('}');
        text
    }
}

/// Writes an item with the server that made it. Calls of a call hierarchy are tagged in their `from` or `to`. What is no
/// object stays as it is.
pub fn tag_into(out: &mut String, item: &str, tag: Tag) {
    let Ok(seen) = serde_json::from_str::<Item<'_>>(item) else {
        return out.push_str(item);
    };
    if let Some(inner) = seen.from.or(seen.to).filter(|inner| is_object(inner)) {
        let mut tagged = String::with_capacity(inner.get().len() + TAG_BYTES);
        tag_into(&mut tagged, inner.get(), tag);
        return raw::replace_into(out, item, inner.get(), &tagged);
    }
    match seen.data {
        Some(data) => raw::replace_into(out, item, data.get(), &tag.wrap(Some(data.get()))),
        None => raw::extend_into(out, item, &format!("\"data\":{}", tag.wrap(None))),
    }
}

/// A result with its items tagged: the elements of a list, or the item itself. Null stays null.
pub fn tag_all(result: &str, tag: Tag) -> String {
    let Some(items) = raw::elements(result) else {
        let mut out = String::with_capacity(result.len() + TAG_BYTES);
        tag_into(&mut out, result, tag);
        return out;
    };
    let mut list = raw::List::new(result.len() + items.len() * TAG_BYTES);
    for item in items {
        tag_into(list.slot(), item.get(), tag);
    }
    list.finish()
}

/// Reads who made an item, or the object whose `item` it is (the parameters of a hierarchy request), and restores its
/// `data`. `None`: it carries no tag.
pub fn untag(item: &str) -> Option<Returned> {
    let fields = raw::fields(item)?;
    let find = |key: &str| {
        fields
            .iter()
            .find_map(|(name, value)| (name == key).then_some(*value))
    };
    if let Some(inner) = find("item").filter(|inner| is_object(inner)) {
        let returned = untag(inner.get())?;
        let mut text = String::with_capacity(item.len());
        raw::replace_into(&mut text, item, inner.get(), &returned.text);
        return Some(Returned { text, ..returned });
    }
    let data = find("data")?;
    let wrapped = serde_json::from_str::<Wrapped<'_>>(data.get()).ok()?;
    let tag = Tag {
        server: wrapped.s,
        generation: wrapped.g,
        document: wrapped.u,
    };
    let mut text = String::with_capacity(item.len());
    match wrapped.d {
        Some(original) => raw::replace_into(&mut text, item, data.get(), original.get()),
        None => {
            raw::open_without(&mut text, &fields, &["data"]);
            text.push('}');
        }
    }
    Some(Returned { tag, text })
}

/// Who made an item, without restoring it.
pub fn maker(item: &str) -> Option<Tag> {
    let data = raw::field(item, "data")?;
    let wrapped = serde_json::from_str::<Wrapped<'_>>(data.get()).ok()?;
    Some(Tag {
        server: wrapped.s,
        generation: wrapped.g,
        document: wrapped.u,
    })
}

fn is_object(value: &RawValue) -> bool {
    value.get().starts_with('{')
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: Tag = Tag {
        server: 2,
        generation: 7,
        document: None,
    };

    fn tagged(item: &str) -> String {
        let mut out = String::new();
        tag_into(&mut out, item, TAG);
        out
    }

    #[test]
    fn an_item_finds_back_to_its_server_with_the_data_it_had() {
        for item in [
            r#"{"label":"x","data":{"id":1e3, "k":[1]},"z":0}"#,
            r#"{"label":"x"}"#,
            r#"{"label":"x","data":null}"#,
            r#"{"label":"x","data":{"s":1,"g":2,"d":3}}"#,
            r#"{"label":"\ud83d\ude00","data":"s"}"#,
            "{}",
        ] {
            let back = untag(&tagged(item)).expect("it was tagged");
            assert_eq!((back.tag, back.text.as_str()), (TAG, item));
            assert_eq!(maker(&tagged(item)), Some(TAG));
        }
        let there = Tag {
            document: Some(3),
            ..TAG
        };
        let mut out = String::new();
        tag_into(&mut out, r#"{"data":1}"#, there);
        assert_eq!(out, r#"{"data":{"s":2,"g":7,"u":3,"d":1}}"#);
        assert_eq!(untag(&out).map(|back| back.tag), Some(there));
    }

    #[test]
    fn only_the_data_of_an_item_changes() {
        let item = r#"{ "kind" : 1.0, "data" :{"x": 1} , "unheardOf":"\u0041" }"#;
        let expected =
            r#"{ "kind" : 1.0, "data" :{"s":2,"g":7,"d":{"x": 1}} , "unheardOf":"\u0041" }"#;
        assert_eq!(tagged(item), expected);
        assert_eq!(tagged("\"no object\""), "\"no object\"");
    }

    #[test]
    fn what_nobody_tagged_is_not_taken_for_tagged() {
        for item in [
            r#"{"label":"x"}"#,
            r#"{"data":{"s":1}}"#,
            r#"{"data":{"s":1,"g":2,"own":3}}"#,
            r#"{"data":{"s":"a","g":2}}"#,
            r#"{"data":17}"#,
            "[]",
            "null",
        ] {
            assert_eq!(untag(item), None, "{item}");
        }
    }

    #[test]
    fn calls_of_a_hierarchy_are_tagged_inside_and_asked_about_by_item() {
        let calls = r#"[{"from":{"name":"f","data":5},"fromRanges":[]},{"to":{"name":"g"}}]"#;
        let expected = r#"[{"from":{"name":"f","data":{"s":2,"g":7,"d":5}},"fromRanges":[]},{"to":{"name":"g","data":{"s":2,"g":7}}}]"#;
        assert_eq!(tag_all(calls, TAG), expected);
        let params = r#"{"item":{"name":"f","data":{"s":2,"g":7,"d":5}},"workDoneToken":1}"#;
        let back = untag(params).expect("it was tagged");
        assert_eq!(
            back.text,
            r#"{"item":{"name":"f","data":5},"workDoneToken":1}"#
        );
        assert_eq!(tag_all("null", TAG), "null");
    }
}
