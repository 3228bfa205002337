//! Whether a value is what a JSON Schema asks for (spec: LLM Gateway, structured output).
//!
//! The words of JSON Schema that say something of the shape of a value are understood; others are passed over, as the
//! standard has it. References stay within the schema.

use regex::Regex;
use serde_json::Value;

/// References that are followed one after the other.
const REFERENCES_MAX: usize = 16;

/// Schemas within schemas on the way to one value; JSON itself is read 128 deep.
const DEPTH_MAX: usize = 256;

/// Pairs of a value and a schema that are looked at.
const STEPS_MAX: usize = 1_000_000;

/// Checks a value; what is wrong with it and where, when it is not what the schema asks for.
pub fn check(value: &Value, schema: &Value) -> Result<(), String> {
    let mut checker = Checker {
        root: schema,
        depth: 0,
        steps: 0,
    };
    checker.check(value, schema, "")
}

struct Checker<'schema> {
    root: &'schema Value,
    depth: usize,
    steps: usize,
}

impl<'schema> Checker<'schema> {
    fn check(&mut self, value: &Value, schema: &'schema Value, at: &str) -> Result<(), String> {
        if self.depth == DEPTH_MAX || self.steps == STEPS_MAX {
            return Err("cannot be checked: the schema refers to itself without end".to_owned());
        }
        self.depth += 1;
        self.steps += 1;
        let checked = self.check_here(value, schema, at);
        self.depth -= 1;
        checked
    }

    fn check_here(
        &mut self,
        value: &Value,
        schema: &'schema Value,
        at: &str,
    ) -> Result<(), String> {
        let schema = self.resolved(schema);
        let wrong = |what: String| {
            let place = if at.is_empty() { "the answer" } else { at };
            Err(format!("{place} {what}"))
        };
        match schema {
            Value::Bool(false) => return wrong("is not allowed".to_owned()),
            Value::Object(_) => {}
            _ => return Ok(()),
        }
        if let Some(kind) = schema.get("type")
            && !is_of(value, kind)
        {
            return wrong(format!("is {}, not {kind}", name(value)));
        }
        if let Some(choices) = schema.get("enum").and_then(Value::as_array)
            && !choices.contains(value)
        {
            return wrong(format!("is none of {}", Value::from(choices.clone())));
        }
        if let Some(only) = schema.get("const").filter(|only| *only != value) {
            return wrong(format!("is not {only}"));
        }
        if let Err(what) = measure(value, schema) {
            return wrong(what);
        }
        self.check_parts(value, schema, at)?;
        self.check_combined(value, schema, at)
    }

    /// What a schema points to.
    fn resolved(&self, schema: &'schema Value) -> &'schema Value {
        let mut schema = schema;
        for _ in 0..REFERENCES_MAX {
            let target = schema.get("$ref").and_then(Value::as_str);
            let target = target.and_then(|target| target.strip_prefix('#'));
            match target.and_then(|target| self.root.pointer(target)) {
                Some(target) => schema = target,
                None => break,
            }
        }
        schema
    }

    fn check_parts(
        &mut self,
        value: &Value,
        schema: &'schema Value,
        at: &str,
    ) -> Result<(), String> {
        match value {
            Value::Object(object) => {
                let required = schema.get("required").and_then(Value::as_array);
                let required = required.into_iter().flatten().filter_map(Value::as_str);
                for name in required {
                    if !object.contains_key(name) {
                        return Err(format!("{at}/{name} is missing"));
                    }
                }
                let known = schema.get("properties");
                for (name, part) in object {
                    let place = format!("{at}/{name}");
                    match known.and_then(|known| known.get(name)) {
                        Some(schema) => self.check(part, schema, &place)?,
                        None => {
                            if let Some(schema) = schema.get("additionalProperties") {
                                self.check(part, schema, &place)?;
                            }
                        }
                    }
                }
                Ok(())
            }
            Value::Array(entries) => {
                let Some(schema) = schema.get("items") else {
                    return Ok(());
                };
                for (index, entry) in entries.iter().enumerate() {
                    self.check(entry, schema, &format!("{at}/{index}"))?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn check_combined(
        &mut self,
        value: &Value,
        schema: &'schema Value,
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
        Ok(())
    }
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
fn measure(value: &Value, schema: &Value) -> Result<(), String> {
    let limit = |word: &str| schema.get(word).and_then(Value::as_f64);
    let count = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    let (size, least, most) = match value {
        Value::Number(number) => (number.as_f64(), "minimum", "maximum"),
        Value::String(text) => (Some(count(text.chars().count())), "minLength", "maxLength"),
        Value::Array(entries) => (Some(count(entries.len())), "minItems", "maxItems"),
        Value::Null | Value::Bool(_) | Value::Object(_) => return Ok(()),
    };
    for (word, is_low) in [(least, true), (most, false)] {
        if let (Some(size), Some(limit)) = (size, limit(word))
            && (if is_low { size < limit } else { size > limit })
        {
            return Err(format!("has {size} where {word} is {limit}"));
        }
    }
    if let (Some(text), Some(pattern)) = (
        value.as_str(),
        schema.get("pattern").and_then(Value::as_str),
    ) && Regex::new(pattern).is_ok_and(|pattern| !pattern.is_match(text))
    {
        return Err(format!("does not match {pattern}"));
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
        assert_eq!(check(&json!(1), &json!({ "$ref": "#" })), Ok(()));
        let one = json!({ "oneOf": [{ "type": "number" }, { "type": "integer" }] });
        assert!(check(&json!(1), &one).is_err() && check(&json!(1.5), &one).is_ok());
    }

    #[test]
    fn a_schema_that_never_ends_is_refused() {
        let endless = json!({ "$ref": "#" });
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
}
