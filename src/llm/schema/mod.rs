//! Whether a value is what a JSON Schema asks for (spec: LLM Gateway, structured output).
//!
//! The words of JSON Schema that say something of the shape of a value are understood; others are passed over, as the
//! standard has it. References stay within the schema. Whoever must not pass anything over asks [`strict`] first.

pub mod strict;

use std::collections::{BTreeSet, HashMap};

use regex::{Regex, RegexBuilder};
use serde_json::{Map, Value};

/// Schemas within schemas on the way to one value; JSON itself is read 128 deep.
const DEPTH_MAX: usize = 128;

/// Pairs of a value and a schema that are looked at.
const STEPS_MAX: usize = 1_000_000;

/// Bytes that a pattern has when it was read, and that it may use up beside while it is tried.
const PATTERN_MEMORY_MAX: usize = 256 * 1024;

/// Bytes of a text that are as much work for a pattern as one step.
const BYTES_OF_A_STEP: usize = 16;

/// Checks a value; what is wrong with it and where, when it is not what the schema asks for.
pub fn check(value: &Value, schema: &Value) -> Result<(), String> {
    check_within(value, schema, STEPS_MAX)
}

/// Checks a value by the schema of a stranger: in so many steps, or not at all.
pub fn check_within(value: &Value, schema: &Value, steps_max: usize) -> Result<(), String> {
    let mut checker = Checker {
        root: schema,
        depth: 0,
        steps_left: Some(steps_max),
        patterns: HashMap::new(),
    };
    let outcome = checker.check(value, schema, "");
    if checker.steps_left.is_none() {
        // What did not fit may have fitted.
        return Err(
            "cannot be checked: the schema refers to itself without end, or asks for too much"
                .to_owned(),
        );
    }
    outcome
}

/// A pattern, where it is one that can be tried.
fn pattern(text: &str) -> Option<Regex> {
    let mut builder = RegexBuilder::new(text);
    builder.size_limit(PATTERN_MEMORY_MAX);
    builder.dfa_size_limit(PATTERN_MEMORY_MAX);
    builder.build().ok()
}

struct Checker<'schema> {
    root: &'schema Value,
    depth: usize,
    /// `None`: there were too few.
    steps_left: Option<usize>,
    patterns: HashMap<&'schema str, Option<Regex>>,
}

impl<'schema> Checker<'schema> {
    fn check(&mut self, value: &Value, schema: &'schema Value, at: &str) -> Result<(), String> {
        if self.depth == DEPTH_MAX {
            self.steps_left = None;
        }
        self.spend(1)?;
        self.depth += 1;
        let checked = self.check_here(value, schema, at);
        self.depth -= 1;
        checked
    }

    fn spend(&mut self, steps: usize) -> Result<(), String> {
        let left = self.steps_left.and_then(|left| left.checked_sub(steps));
        self.steps_left = left;
        // What is said of it is said by whoever began.
        left.map(drop).ok_or_else(String::new)
    }

    fn check_here(
        &mut self,
        value: &Value,
        schema: &'schema Value,
        at: &str,
    ) -> Result<(), String> {
        let place = if at.is_empty() { "the answer" } else { at };
        let wrong = |what: String| Err(format!("{place} {what}"));
        let schema = match schema {
            Value::Bool(false) => return wrong("is not allowed".to_owned()),
            Value::Object(schema) => schema,
            _ => return Ok(()),
        };
        if let Some(target) = schema.get("$ref").and_then(|name| target(self.root, name)) {
            self.check(value, target, at)?;
        }
        if let Some(kind) = schema.get("type")
            && !is_of(value, kind)
        {
            return wrong(format!("is {}, not {kind}", name(value)));
        }
        if let Some(choices) = schema.get("enum").and_then(Value::as_array) {
            self.spend(choices.len())?;
            if !choices.contains(value) {
                return wrong(format!("is none of {}", Value::from(choices.clone())));
            }
        }
        if let Some(only) = schema.get("const").filter(|only| *only != value) {
            return wrong(format!("is not {only}"));
        }
        if let Err(what) = measure(value, schema) {
            return wrong(what);
        }
        if let (Some(text), Some(wanted)) = (value.as_str(), text_of(schema, "pattern"))
            && !self.fits(wanted, text)?
        {
            return wrong(format!("does not match {wanted}"));
        }
        match value {
            Value::Object(object) => self.check_object(object, schema, at)?,
            Value::Array(entries) => self.check_entries(entries, schema, at)?,
            _ => {}
        }
        self.check_combined(value, schema, at)
    }

    /// Whether a text matches a pattern. One that cannot be tried says nothing.
    fn fits(&mut self, wanted: &'schema str, text: &str) -> Result<bool, String> {
        self.spend(1 + text.len() / BYTES_OF_A_STEP)?;
        let known = self.patterns.entry(wanted);
        let known = known.or_insert_with(|| pattern(wanted));
        Ok(known.as_ref().is_none_or(|pattern| pattern.is_match(text)))
    }

    fn check_object(
        &mut self,
        object: &Map<String, Value>,
        schema: &'schema Map<String, Value>,
        at: &str,
    ) -> Result<(), String> {
        let names = |names: &'schema Value| {
            let names = names.as_array().into_iter().flatten();
            names.filter_map(Value::as_str)
        };
        let dependent = schema.get("dependentRequired").and_then(Value::as_object);
        let dependent = dependent.into_iter().flatten();
        let dependent = dependent.filter(|(name, _)| object.contains_key(*name));
        let dependent = dependent.map(|(_, names)| names);
        let mut required = schema.get("required").into_iter().chain(dependent);
        let missing =
            required.find_map(|list| names(list).find(|name| !object.contains_key(*name)));
        if let Some(name) = missing {
            return Err(format!("{at}/{name} is missing"));
        }
        let sections = |word: &str| schema.get(word).and_then(Value::as_object);
        let known = sections("properties");
        for (name, part) in object {
            let place = format!("{at}/{name}");
            if let Some(schema) = schema.get("propertyNames") {
                self.check(&Value::from(name.as_str()), schema, &place)?;
            }
            let of_name = known.and_then(|known| known.get(name));
            let mut is_known = of_name.is_some();
            if let Some(schema) = of_name {
                self.check(part, schema, &place)?;
            }
            for (wanted, schema) in sections("patternProperties").into_iter().flatten() {
                if self.fits(wanted, name)? {
                    is_known = true;
                    self.check(part, schema, &place)?;
                }
            }
            if let (false, Some(schema)) = (is_known, schema.get("additionalProperties")) {
                self.check(part, schema, &place)?;
            }
        }
        Ok(())
    }

    fn check_entries(
        &mut self,
        entries: &[Value],
        schema: &'schema Map<String, Value>,
        at: &str,
    ) -> Result<(), String> {
        // Older schemas have a list of the first ones in `items`.
        let items = schema.get("items");
        let first = schema.get("prefixItems").or(items);
        let first = first.and_then(Value::as_array);
        let first = first.map_or(&[][..], Vec::as_slice);
        let rest = items.filter(|items| !items.is_array());
        for (index, entry) in entries.iter().enumerate() {
            if let Some(schema) = first.get(index).or(rest) {
                self.check(entry, schema, &format!("{at}/{index}"))?;
            }
        }
        if let Some(wanted) = schema.get("contains") {
            let mut entries = entries.iter();
            if !entries.any(|entry| self.check(entry, wanted, at).is_ok()) {
                return Err(format!("{at} has not what it has to contain"));
            }
        }
        if schema.get("uniqueItems") == Some(&Value::Bool(true)) {
            self.spend(entries.len())?;
            let texts: BTreeSet<String> = entries.iter().map(Value::to_string).collect();
            if texts.len() < entries.len() {
                return Err(format!("{at} has the same entry more than once"));
            }
        }
        Ok(())
    }

    fn check_combined(
        &mut self,
        value: &Value,
        schema: &'schema Map<String, Value>,
        at: &str,
    ) -> Result<(), String> {
        let list = |word: &str| schema.get(word).and_then(Value::as_array);
        for schema in list("allOf").into_iter().flatten() {
            self.check(value, schema, at)?;
        }
        for word in ["anyOf", "oneOf"] {
            let Some(schemas) = list(word) else { continue };
            let mut first = Ok(());
            let mut fitting = 0;
            for schema in schemas {
                match self.check(value, schema, at) {
                    Ok(()) => fitting += 1,
                    Err(error) => first = first.and(Err(error)),
                }
            }
            if fitting == 0 {
                return first;
            }
            if word == "oneOf" && fitting > 1 {
                return Err(format!("{at} fits more than one of the possible shapes"));
            }
        }
        if let Some(unwanted) = schema.get("not")
            && self.check(value, unwanted, at).is_ok()
        {
            return Err(format!("{at} is what it must not be"));
        }
        if let Some(condition) = schema.get("if") {
            let holds = self.check(value, condition, at).is_ok();
            let then = schema.get(if holds { "then" } else { "else" });
            then.map_or(Ok(()), |then| self.check(value, then, at))?;
        }
        Ok(())
    }
}

/// What a reference within a schema points to.
fn target<'schema>(root: &'schema Value, reference: &Value) -> Option<&'schema Value> {
    root.pointer(reference.as_str()?.strip_prefix('#')?)
}

fn text_of<'schema>(schema: &'schema Map<String, Value>, word: &str) -> Option<&'schema str> {
    schema.get(word).and_then(Value::as_str)
}

/// Whether a value is of a type, or of one of several.
fn is_of(value: &Value, kind: &Value) -> bool {
    match kind {
        Value::Array(kinds) => kinds.iter().any(|kind| is_of(value, kind)),
        Value::String(kind) => match kind.as_str() {
            "number" => value.is_number(),
            "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
            kind => name(value) == kind,
        },
        _ => true,
    }
}

fn name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Whether a value is as large and as long as a schema allows.
fn measure(value: &Value, schema: &Map<String, Value>) -> Result<(), String> {
    let limit = |word: &str| schema.get(word).and_then(Value::as_f64);
    let count = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    let (size, least, most) = match value {
        Value::Number(number) => (number.as_f64(), "minimum", "maximum"),
        Value::String(text) => (Some(count(text.chars().count())), "minLength", "maxLength"),
        Value::Array(entries) => (Some(count(entries.len())), "minItems", "maxItems"),
        Value::Object(fields) => (Some(count(fields.len())), "minProperties", "maxProperties"),
        Value::Null | Value::Bool(_) => return Ok(()),
    };
    let Some(size) = size else { return Ok(()) };
    for (word, is_wrong) in [
        (least, (|size, limit| size < limit) as fn(f64, f64) -> bool),
        (most, |size, limit| size > limit),
    ] {
        if let Some(limit) = limit(word).filter(|limit| is_wrong(size, *limit)) {
            return Err(format!("has {size} where {word} is {limit}"));
        }
    }
    if !value.is_number() {
        return Ok(());
    }
    for (word, is_wrong) in [
        (
            "exclusiveMinimum",
            (|size, limit| size <= limit) as fn(f64, f64) -> bool,
        ),
        ("exclusiveMaximum", |size, limit| size >= limit),
        // A tenth is no exact number: what is closer than that is meant.
        ("multipleOf", |size, limit| {
            limit > 0.0 && ((size / limit).round() - size / limit).abs() > 1e-9
        }),
    ] {
        if let Some(limit) = limit(word).filter(|limit| is_wrong(size, *limit)) {
            return Err(format!("is {size} where {word} is {limit}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_what_a_schema_asks_for_or_it_is_said_where_not() {
        let person = json!({
            "type": "object",
            "properties": {
                "name": { "type": "string", "minLength": 2, "pattern": "^[A-Z]" },
                "age": { "type": ["integer", "null"], "minimum": 0 },
                "role": { "enum": ["admin", "guest"] },
                "friends": { "type": "array", "items": { "$ref": "#" }, "maxItems": 1 },
                "id": { "anyOf": [{ "type": "integer" }, { "const": "none" }] },
            },
            "required": ["name"],
            "additionalProperties": false,
        });
        for value in [
            json!({ "name": "Ann" }),
            json!({ "name": "Ann", "age": 3.0, "role": "guest", "id": "none" }),
            json!({ "name": "Ann", "age": null, "friends": [{ "name": "Bob", "id": 1 }] }),
        ] {
            assert_eq!(check(&value, &person), Ok(()), "{value}");
        }
        for (value, expected) in [
            (json!([]), "the answer is array, not \"object\""),
            (json!({}), "/name is missing"),
            (json!({ "name": "ann" }), "/name does not match ^[A-Z]"),
            (json!({ "name": "A" }), "/name has 1 where minLength is 2"),
            (json!({ "name": "Ann", "age": 1.5 }), "/age is number, not"),
            (
                json!({ "name": "Ann", "age": -1 }),
                "/age has -1 where minimum",
            ),
            (json!({ "name": "Ann", "role": "king" }), "/role is none of"),
            (json!({ "name": "Ann", "id": "x" }), "/id is string, not"),
            (json!({ "name": "Ann", "x": 1 }), "/x is not allowed"),
            (
                json!({ "name": "Ann", "friends": [{ "name": 1 }] }),
                "/friends/0/name is number",
            ),
        ] {
            let error = check(&value, &person).expect_err(expected);
            assert!(error.contains(expected), "{error}");
        }
        let one = json!({ "oneOf": [{ "type": "number" }, { "type": "integer" }] });
        assert!(check(&json!(1), &one).is_err() && check(&json!(1.5), &one).is_ok());
    }

    #[test]
    fn a_schema_that_never_ends_is_refused() {
        let endless = json!({ "$ref": "#" });
        assert!(check(&json!(1), &endless).is_err());
        // What is not known to fit is not known to fit otherwise either.
        assert!(check(&json!(1), &json!({ "not": endless })).is_err());
        for word in ["allOf", "anyOf", "oneOf"] {
            for branches in [1, 2] {
                let schema = json!({ word: vec![endless.clone(); branches] });
                let error = check(&json!(1), &schema).expect_err("it has no end");
                assert!(error.contains("without end"), "{error}");
            }
        }
        let tree = json!({ "items": { "$ref": "#" } });
        assert_eq!(check(&json!([[], [[]]]), &tree), Ok(()));
    }

    #[test]
    fn words_of_all_kinds_are_understood() {
        for (schema, fits, other) in [
            (json!({ "exclusiveMinimum": 1 }), json!(1.5), json!(1)),
            (json!({ "exclusiveMaximum": 1 }), json!(0), json!(1)),
            (json!({ "multipleOf": 0.1 }), json!(0.3), json!(0.35)),
            (
                json!({ "maxProperties": 1 }),
                json!({ "a": 1 }),
                json!({ "a": 1, "b": 2 }),
            ),
            (
                json!({ "uniqueItems": true }),
                json!([1, "1"]),
                json!([1, 1]),
            ),
            (
                json!({ "contains": { "const": 1 } }),
                json!([2, 1]),
                json!([2]),
            ),
            (
                json!({ "prefixItems": [{ "type": "string" }], "items": false }),
                json!(["a"]),
                json!(["a", 1]),
            ),
            (
                json!({ "items": [{ "type": "string" }] }),
                json!(["a", 1]),
                json!([1]),
            ),
            (
                json!({ "patternProperties": { "^a": { "type": "string" } }, "additionalProperties": false }),
                json!({ "ab": "c" }),
                json!({ "ab": 1 }),
            ),
            (
                json!({ "propertyNames": { "maxLength": 1 } }),
                json!({ "a": 1 }),
                json!({ "ab": 1 }),
            ),
            (
                json!({ "dependentRequired": { "a": ["b"] } }),
                json!({ "c": 1 }),
                json!({ "a": 1 }),
            ),
            (json!({ "not": { "type": "string" } }), json!(1), json!("a")),
            (
                json!({ "if": { "type": "string" }, "then": { "minLength": 2 }, "else": { "minimum": 2 } }),
                json!("ab"),
                json!(1),
            ),
            (
                json!({ "$ref": "#/$defs/a", "minLength": 2, "$defs": { "a": { "type": "string" } } }),
                json!("ab"),
                json!("a"),
            ),
        ] {
            assert_eq!(check(&fits, &schema), Ok(()), "{schema}");
            assert!(check(&other, &schema).is_err(), "{schema}");
        }
    }

    #[test]
    fn a_stranger_s_schema_takes_no_more_steps_than_it_is_given() {
        let texts = vec!["a".repeat(1_000); 1_000];
        for schema in [
            json!({ "items": { "pattern": "^(a+)+$" } }),
            json!({ "items": { "not": { "enum": (0..5_000).collect::<Vec<_>>() } } }),
            json!({ "allOf": vec![json!({ "items": { "type": "string" } }); 100] }),
        ] {
            let error = check_within(&json!(texts), &schema, 10_000).expect_err("too much");
            assert!(error.starts_with("cannot be checked"), "{error}");
        }
        let few = json!({ "items": { "pattern": "^a+$" } });
        assert_eq!(check_within(&json!(["a", "aa"]), &few, 10_000), Ok(()));
    }
}
