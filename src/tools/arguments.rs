//! Arguments of tool calls: their schema, their check, and reading them (spec: validation points, input).

use serde_json::{Map, Value, json};

use super::{Error, Kind, Parameter};

/// JSON schema of the parameters, as models are told.
pub fn schema(parameters: &[Parameter]) -> Value {
    let properties: Map<String, Value> = parameters
        .iter()
        .map(|parameter| {
            let mut kind = match parameter.kind {
                Kind::Text => json!({ "type": "string" }),
                Kind::Integer => json!({ "type": "integer" }),
                Kind::Flag => json!({ "type": "boolean" }),
            };
            // A name that says it all needs no words in every request.
            if !parameter.description.is_empty()
                && let Value::Object(kind) = &mut kind
            {
                let description = parameter.description.as_str();
                kind.insert("description".to_owned(), description.into());
            }
            (parameter.name.clone(), kind)
        })
        .collect();
    let required = parameters.iter().filter(|parameter| parameter.required);
    let required: Vec<&str> = required.map(|parameter| parameter.name.as_str()).collect();
    // What else could be said (no other arguments, nothing negative) is checked anyway, and costs bytes in every request.
    let mut schema = json!({ "type": "object", "properties": properties });
    if !required.is_empty()
        && let Value::Object(schema) = &mut schema
    {
        schema.insert("required".to_owned(), required.into());
    }
    schema
}

/// Checks that every required argument is there, none is unknown, and each has its kind of value.
pub(super) fn check(parameters: &[Parameter], arguments: &Value) -> Result<(), Error> {
    let Value::Object(given) = arguments else {
        return Err(Error::Arguments(
            "the arguments have to be a JSON object".to_owned(),
        ));
    };
    let names = || {
        parameters
            .iter()
            .map(|parameter| parameter.name.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    };
    for (name, value) in given {
        let Some(parameter) = parameters.iter().find(|parameter| parameter.name == *name) else {
            return Err(Error::Arguments(format!(
                "there is no argument `{name}`; the arguments are {}",
                names()
            )));
        };
        let fits = match parameter.kind {
            Kind::Text => value.is_string(),
            Kind::Integer => integer(value).is_some(),
            Kind::Flag => boolean(value).is_some(),
        };
        let left_out = value.is_null() && !parameter.required;
        if !fits && !left_out {
            let kind = match parameter.kind {
                Kind::Text => "a string",
                Kind::Integer => "a whole number",
                Kind::Flag => "true or false",
            };
            return Err(Error::Arguments(format!("`{name}` has to be {kind}")));
        }
    }
    let missing = parameters
        .iter()
        .find(|parameter| parameter.required && !given.contains_key(&parameter.name));
    match missing {
        Some(parameter) => {
            let meaning = match parameter.description.as_str() {
                "" => String::new(),
                words => format!(": {words}"),
            };
            let name = &parameter.name;
            Err(Error::Arguments(format!("`{name}` is missing{meaning}")))
        }
        None => Ok(()),
    }
}

/// Checks that a number, where it is given, is not zero.
pub(super) fn at_least_one(arguments: &Value, name: &str) -> Result<(), Error> {
    match number(arguments, name) {
        Some(0) => Err(Error::Arguments(format!("`{name}` has to be at least 1"))),
        Some(_) | None => Ok(()),
    }
}

/// A text argument; empty when it was left out.
pub fn text<'value>(arguments: &'value Value, name: &str) -> &'value str {
    arguments
        .get(name)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// A number argument.
pub fn number(arguments: &Value, name: &str) -> Option<usize> {
    arguments.get(name).and_then(integer)
}

/// A yes or no; no when it was left out.
pub fn flag(arguments: &Value, name: &str) -> bool {
    arguments.get(name).and_then(boolean).unwrap_or_default()
}

fn boolean(value: &Value) -> Option<bool> {
    value.as_bool().or_else(|| value.as_str()?.parse().ok())
}

/// Models write numbers as strings now and then.
fn integer(value: &Value) -> Option<usize> {
    let number = value
        .as_u64()
        .or_else(|| value.as_str()?.trim().parse().ok())?;
    usize::try_from(number).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_that_do_not_fit_are_named() {
        let parameter = |name: &str, kind, required| Parameter {
            name: name.to_owned(),
            kind,
            description: "what it is".to_owned(),
            required,
        };
        let parameters = [
            parameter("path", Kind::Text, true),
            parameter("line", Kind::Integer, false),
            parameter("all", Kind::Flag, false),
        ];
        for (arguments, message) in [
            (json!({ "path": "a" }), ""),
            (json!({ "path": "a", "line": 3 }), ""),
            (json!({ "path": "a", "line": "3" }), ""),
            (json!({ "path": "a", "line": null }), ""),
            (json!({ "path": "a", "all": "true" }), ""),
            (
                json!({ "path": "a", "all": 1 }),
                "`all` has to be true or false",
            ),
            (
                json!({ "path": "a", "line": -1 }),
                "`line` has to be a whole number",
            ),
            (json!({ "path": 1 }), "`path` has to be a string"),
            (
                json!({ "file": "a" }),
                "there is no argument `file`; the arguments are path, line, all",
            ),
            (json!({ "line": 1 }), "`path` is missing: what it is"),
            (json!([]), "the arguments have to be a JSON object"),
        ] {
            let result = check(&parameters, &arguments);
            let shown = result
                .err()
                .map(|error| error.to_string())
                .unwrap_or_default();
            assert_eq!(shown, message, "{arguments}");
        }
    }
}
