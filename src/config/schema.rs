//! What can be set, as a JSON Schema that is made from the types (spec: Configuration Schema).
//!
//! One description for everybody who needs it: the checker, the command line, completion and hover in an editor, and
//! other programs, which get it from `meliora schema`.

use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::Config;

/// A place in the configuration: a section, an entry or a key.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    schema: &'static Value,
    default: Option<&'static Value>,
}

/// The JSON Schema of the whole configuration (draft 2020-12).
pub fn document() -> &'static Value {
    static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
        let settings = SchemaSettings::draft2020_12().with(|settings| {
            settings.inline_subschemas = true;
        });
        let schema = settings.into_generator().into_root_schema_for::<Config>();
        let mut value = schema.to_value();
        close(&mut value);
        value
    });
    &DOCUMENT
}

/// The whole configuration.
pub fn root() -> Place {
    static DEFAULTS: LazyLock<Value> =
        LazyLock::new(|| serde_json::to_value(Config::default()).unwrap_or_default());
    Place {
        schema: document(),
        default: Some(&DEFAULTS),
    }
}

/// The place of a dotted key, such as `llm.providers.openai.base_url`.
pub fn find(key: &str) -> Option<Place> {
    key.split('.').try_fold(root(), Place::entered)
}

/// Every key with a value of its own, dotted. Names that are the user's to choose stand as `NAME`.
pub fn keys() -> Vec<(String, Place)> {
    let mut found = Vec::new();
    collect(root(), "", &mut found);
    found
}

fn collect(place: Place, path: &str, found: &mut Vec<(String, Place)>) {
    let below = place.below();
    if below.is_empty() {
        found.push((path.to_owned(), place));
    }
    for (name, place) in below {
        let path = if path.is_empty() {
            name.to_owned()
        } else {
            format!("{path}.{name}")
        };
        collect(place, &path, found);
    }
}

impl Place {
    /// What stands below a name, also through the entries of a list and names that are the user's to choose.
    pub fn entered(self, name: &str) -> Option<Self> {
        let section = self.item().unwrap_or(self);
        if let Some(schema) = section
            .schema
            .get("properties")
            .and_then(|all| all.get(name))
        {
            let default = section.default.and_then(|default| default.get(name));
            return Some(Self { schema, default });
        }
        section.any()
    }

    /// The names that can stand here, with their places.
    pub fn below(self) -> Vec<(&'static str, Self)> {
        let section = self.item().unwrap_or(self);
        let named = section.schema.get("properties").and_then(Value::as_object);
        let mut all: Vec<(&str, Self)> = named
            .into_iter()
            .flatten()
            .map(|(name, schema)| {
                let default = section.default.and_then(|default| default.get(name));
                (name.as_str(), Self { schema, default })
            })
            .collect();
        if let Some(place) = section.any().filter(|place| !place.below().is_empty()) {
            all.push(("NAME", place));
        }
        all
    }

    /// The entries, when this is a list of sections.
    pub fn item(self) -> Option<Self> {
        let schema = self.schema.get("items")?;
        schema.get("properties")?;
        Some(Self {
            schema,
            default: None,
        })
    }

    /// Whether names are the user's to choose here.
    pub fn is_open(self) -> bool {
        self.any().is_some() || self.kinds().is_empty()
    }

    fn any(self) -> Option<Self> {
        let schema = self.schema.get("additionalProperties")?;
        schema.is_object().then_some(Self {
            schema,
            default: None,
        })
    }

    /// What it is for, in one or more sentences.
    pub fn description(self) -> &'static str {
        text(self.schema, "/description")
    }

    /// The values that it can have, when they can be listed; with what each means.
    pub fn choices(self) -> Vec<(&'static str, &'static str)> {
        let schema = self.schema.get("items").unwrap_or(self.schema);
        let listed = at(schema, "/enum").as_array();
        let listed = listed.into_iter().flatten().filter_map(Value::as_str);
        let described = at(schema, "/oneOf").as_array();
        let described = described.into_iter().flatten().filter_map(|one| {
            let name = one.get("const")?.as_str()?;
            Some((name, text(one, "/description")))
        });
        listed.map(|name| (name, "")).chain(described).collect()
    }

    /// The JSON types that it can have; none when anything goes.
    pub fn kinds(self) -> Vec<&'static str> {
        match at(self.schema, "/type") {
            Value::String(kind) => vec![kind],
            Value::Array(kinds) => kinds
                .iter()
                .filter_map(Value::as_str)
                .filter(|kind| *kind != "null")
                .collect(),
            _ if self.choices().is_empty() => Vec::new(),
            _ => vec!["string"],
        }
    }

    /// Its kind for people, such as `list of texts`.
    pub fn kind(self) -> String {
        let of_items = |kind: &str| {
            let items = at(self.schema, "/items");
            match text(items, "/type") {
                "object" => "list of sections".to_owned(),
                "" => kind.to_owned(),
                item => format!("list of {}s", plain(item)),
            }
        };
        let kinds = self.kinds();
        let names: Vec<String> = kinds
            .iter()
            .map(|kind| match *kind {
                "array" => of_items("list"),
                other => plain(other).to_owned(),
            })
            .collect();
        if names.is_empty() {
            "anything".to_owned()
        } else {
            names.join(" or ")
        }
    }

    /// The value when nobody sets it; `None` where there is none of its own.
    pub fn default_value(self) -> Option<&'static Value> {
        self.default.filter(|value| !value.is_null())
    }
}

/// What stands at a JSON pointer; null when nothing does.
fn at<'value>(value: &'value Value, pointer: &str) -> &'value Value {
    value.pointer(pointer).unwrap_or(&Value::Null)
}

/// The text that stands at a JSON pointer; empty when none does.
fn text<'value>(value: &'value Value, pointer: &str) -> &'value str {
    at(value, pointer).as_str().unwrap_or_default()
}

fn plain(kind: &str) -> &str {
    match kind {
        "object" => "section",
        "string" => "text",
        "integer" => "whole number",
        "boolean" => "true or false",
        other => other,
    }
}

/// Sections with known names have no others: an editor that knows the schema then marks a slip.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if object.contains_key("properties") && !object.contains_key("additionalProperties") {
                object.insert("additionalProperties".to_owned(), Value::Bool(false));
            }
            object.values_mut().for_each(close);
        }
        Value::Array(all) => all.iter_mut().for_each(close),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_through_lists_and_chosen_names() {
        for (key, kind) in [
            ("llm.temperature", "number"),
            ("llm.providers.mine.base_url", "text"),
            ("lsp.servers.root_patterns", "list of texts"),
            ("lsp.servers.only_features", "list of texts"),
            ("lsp.servers.env.RUST_LOG", "text"),
            ("safety.protected_paths", "list of texts"),
            ("proof.diagnostics", "text"),
            ("agent.max_concurrent_tasks", "whole number"),
            ("lsp.servers.settings", "anything"),
        ] {
            let place = find(key).unwrap_or_else(|| panic!("{key}"));
            assert_eq!(place.kind(), kind, "{key}");
            assert!(
                key.ends_with("RUST_LOG") || !place.description().is_empty(),
                "{key}"
            );
        }
        for key in ["llm.temprature", "nothing", "llm.model.x"] {
            assert!(find(key).is_none(), "{key}");
        }
    }

    #[test]
    fn defaults_and_choices_are_known() {
        let place = |key: &str| find(key).expect("it exists");
        assert_eq!(
            place("llm.max_tokens").default_value(),
            Some(&Value::from(4096))
        );
        let choices = place("proof.diagnostics").choices();
        assert_eq!(choices.len(), 2);
        assert_eq!(choices[0].0, "server");
        assert!(!choices[0].1.is_empty());
        let features = place("lsp.servers.only_features").choices();
        assert!(features.contains(&("hover", "")));
    }

    #[test]
    fn every_key_says_what_it_is_for() {
        let keys = keys();
        assert!(keys.len() > 40, "{}", keys.len());
        for (key, place) in keys {
            assert!(!place.description().is_empty(), "{key}");
        }
    }
}
