//! Whether every word of a schema that limits a value is understood (spec: safety of untrusted input).
//!
//! A schema of a stranger is read in full or not at all: a word that is passed over, a reference that leads nowhere and a
//! pattern that cannot be tried would let values through that somebody thinks were looked at. It has to be small as well.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{pattern, target};

/// Bytes of a schema, schemas in it, and schemas within schemas.
const BYTES_MAX: usize = 128 * 1024;
const SCHEMAS_MAX: usize = 2_000;
const DEPTH_MAX: usize = 32;

/// Values that can be chosen from, or names that are required.
const LIST_MAX: usize = 500;

/// Bytes of a pattern.
const PATTERN_BYTES_MAX: usize = 256;

/// Words whose value is a section of schemas, a list of them, or one.
const SECTIONS: [&str; 4] = ["properties", "patternProperties", "$defs", "definitions"];
const LISTS: [&str; 4] = ["allOf", "anyOf", "oneOf", "prefixItems"];
const SINGLE: [&str; 8] = [
    "items",
    "additionalProperties",
    "propertyNames",
    "contains",
    "not",
    "if",
    "then",
    "else",
];

/// Words whose value is a number.
const NUMBERS: [&str; 11] = [
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
];

/// Words that limit a value, or say where other words come from, and are not understood.
const UNKNOWN: [&str; 19] = [
    "$anchor",
    "$dynamicAnchor",
    "$dynamicRef",
    "$recursiveAnchor",
    "$recursiveRef",
    "additionalItems",
    "contentSchema",
    "dependencies",
    "dependentSchemas",
    "disallow",
    "divisibleBy",
    "extends",
    "formatMaximum",
    "formatMinimum",
    "maxContains",
    "minContains",
    "unevaluatedItems",
    "unevaluatedProperties",
    "$merge",
];

/// Why a schema cannot be checked in full, if it cannot.
pub fn review(schema: &Value) -> Result<(), String> {
    if schema.to_string().len() > BYTES_MAX {
        return Err(format!("its schema has more than {BYTES_MAX} bytes"));
    }
    let mut reader = Reader {
        root: schema,
        schemas_left: SCHEMAS_MAX,
        references: BTreeSet::new(),
    };
    reader.read(schema, 0)
}

struct Reader<'schema> {
    root: &'schema Value,
    schemas_left: usize,
    /// Those that were followed.
    references: BTreeSet<&'schema str>,
}

impl<'schema> Reader<'schema> {
    fn read(&mut self, schema: &'schema Value, depth: usize) -> Result<(), String> {
        let left = self.schemas_left.checked_sub(1);
        self.schemas_left = left.ok_or("its schema has too many parts")?;
        if depth > DEPTH_MAX {
            return Err("its schema is too deep".to_owned());
        }
        let words = match schema {
            Value::Bool(_) => return Ok(()),
            Value::Object(words) => words,
            _ => return Err("a part of its schema is none".to_owned()),
        };
        for (word, value) in words {
            self.word(word, value, depth)?;
        }
        Ok(())
    }

    fn word(&mut self, word: &str, value: &'schema Value, depth: usize) -> Result<(), String> {
        let malformed = || Err(format!("`{word}` in its schema is not what it has to be"));
        let within = depth + 1;
        match (word, value) {
            (word, _) if UNKNOWN.contains(&word) || word == "$id" && depth > 0 => {
                Err(format!("`{word}` in its schema is not understood"))
            }
            (word, Value::Object(named)) if SECTIONS.contains(&word) => {
                self.section(word, named, within)
            }
            (word, Value::Array(all)) if LISTS.contains(&word) || word == "items" => {
                all.iter().try_for_each(|one| self.read(one, within))
            }
            (word, schema) if SINGLE.contains(&word) => self.read(schema, within),
            (word, value) if NUMBERS.contains(&word) && value.is_number() => Ok(()),
            ("enum" | "required", Value::Array(all)) if all.len() <= LIST_MAX => Ok(()),
            ("dependentRequired", Value::Object(all)) if all.len() <= LIST_MAX => Ok(()),
            ("pattern", Value::String(text)) => of_pattern(text),
            ("$ref", Value::String(name)) => self.reference(name, value, within),
            ("type", Value::String(_) | Value::Array(_)) | ("uniqueItems", Value::Bool(_)) => {
                Ok(())
            }
            (
                "enum" | "required" | "dependentRequired" | "pattern" | "$ref" | "type"
                | "uniqueItems",
                _,
            ) => malformed(),
            (word, _)
                if [&SECTIONS[..], &LISTS, &NUMBERS]
                    .iter()
                    .any(|words| words.contains(&word)) =>
            {
                malformed()
            }
            // What describes, and what nobody knows, limits nothing.
            _ => Ok(()),
        }
    }

    fn section(
        &mut self,
        word: &str,
        named: &'schema Map<String, Value>,
        depth: usize,
    ) -> Result<(), String> {
        for (name, schema) in named {
            if word == "patternProperties" {
                of_pattern(name)?;
            }
            self.read(schema, depth)?;
        }
        Ok(())
    }

    /// What a reference leads to is read as well: it need not lie among the definitions.
    fn reference(&mut self, name: &'schema str, value: &Value, depth: usize) -> Result<(), String> {
        let found = target(self.root, value);
        let found = found.ok_or("a reference in its schema leads nowhere")?;
        if self.references.insert(name) {
            self.read(found, depth)?;
        }
        Ok(())
    }
}

fn of_pattern(text: &str) -> Result<(), String> {
    if text.len() > PATTERN_BYTES_MAX {
        return Err(format!(
            "a pattern in its schema has more than {PATTERN_BYTES_MAX} bytes"
        ));
    }
    let is_one = pattern(text).is_some();
    let said = "a pattern in its schema cannot be tried, or takes too much memory";
    is_one.then_some(()).ok_or_else(|| said.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_schema_is_read_in_full_or_not_at_all() {
        for schema in [
            json!({ "type": "object", "properties": { "a": { "type": "string", "pattern": "^(a+)+$" } } }),
            json!({ "properties": { "a": { "$ref": "#/$defs/a" } }, "$defs": { "a": { "$ref": "#" } } }),
            json!({ "$schema": "x", "$id": "y", "title": "t", "x-own": [1], "format": "date", "default": {} }),
            json!({ "exclusiveMinimum": 0, "items": [{ "enum": [1] }], "additionalProperties": {} }),
        ] {
            assert_eq!(review(&schema), Ok(()), "{schema}");
        }
        let deep = (0..40).fold(json!({}), |inner, _| json!({ "items": inner }));
        for (schema, expected) in [
            (json!({ "pattern": "a".repeat(257) }), "256 bytes"),
            (json!({ "pattern": "(?=a)b" }), "cannot be tried"),
            (json!({ "pattern": "(a{1000}){1000}" }), "memory"),
            (
                json!({ "patternProperties": { "(": {} } }),
                "cannot be tried",
            ),
            (json!({ "pattern": 1 }), "not what it has to be"),
            (json!({ "exclusiveMinimum": true }), "not what it has to be"),
            (json!({ "properties": [] }), "not what it has to be"),
            (json!({ "items": "a" }), "is none"),
            (json!({ "$ref": "https://example.org/a" }), "leads nowhere"),
            (json!({ "$ref": "#/$defs/a" }), "leads nowhere"),
            (json!({ "$ref": "other" }), "leads nowhere"),
            (json!({ "items": { "$id": "a" } }), "`$id`"),
            (
                json!({ "x": { "dependentSchemas": {} }, "$ref": "#/x" }),
                "`dependentSchemas`",
            ),
            (
                json!({ "not": { "unevaluatedProperties": false } }),
                "`unevaluatedProperties`",
            ),
            (json!({ "anyOf": vec![json!({}); 3_000] }), "too many parts"),
            (
                json!({ "not": { "enum": (0..600).collect::<Vec<_>>() } }),
                "not what it has to be",
            ),
            (
                json!({ "description": "a".repeat(200_000) }),
                "131072 bytes",
            ),
            (deep, "too deep"),
        ] {
            let said = review(&schema).expect_err(expected);
            assert!(said.contains(expected), "{said}");
        }
    }
}
