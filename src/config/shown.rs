//! Settings as they may be shown: every value by its dotted key, secrets masked (spec: Configuration; Secret Management).

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Config, doors};
use crate::redact;

/// The keys whose values differ, with the values of `after` as they may be shown; what is no longer there is null.
pub fn changes(before: &Config, after: &Config) -> BTreeMap<String, Value> {
    let [before, mut after] = [before, after].map(|config| {
        let mut found = BTreeMap::new();
        let config = serde_json::to_value(config).unwrap_or_default();
        leaves(&config, "", &mut |key, value| {
            found.insert(key.to_owned(), masked(key, value));
        });
        found
    });
    let gone = before.keys().filter(|key| !after.contains_key(*key));
    let gone: Vec<String> = gone.cloned().collect();
    after.retain(|key, value| before.get(key) != Some(value));
    after.extend(gone.into_iter().map(|key| (key, Value::Null)));
    after
}

/// Every value with its dotted key. Entries of a list of sections count under their names, and
/// those without one under the key of the list, as in the origins.
pub fn leaves(value: &Value, path: &str, found: &mut impl FnMut(&str, &Value)) {
    let below = |name: &str| match path {
        "" => name.to_owned(),
        path => format!("{path}.{name}"),
    };
    match value {
        Value::Object(object) if !object.is_empty() => {
            for (name, value) in object {
                leaves(value, &below(name), found);
            }
        }
        Value::Array(entries) if entries.iter().any(Value::is_object) => {
            for entry in entries {
                let name = ["name", "command"].iter().find_map(|key| {
                    let name = entry.get(key)?.as_str()?;
                    (!name.is_empty()).then_some(name)
                });
                let path = name.map_or_else(|| path.to_owned(), below);
                leaves(entry, &path, found);
            }
        }
        value => found(path, value),
    }
}

/// The value, unless it is a secret itself.
pub fn masked(key: &str, value: &Value) -> Value {
    let name = key.rsplit('.').next().unwrap_or_default();
    match value {
        Value::String(text)
            if redact::names_a_secret(name) && !text.is_empty() && !text.starts_with("${") =>
        {
            Value::from(redact::MASK)
        }
        Value::String(url) if name == "base_url" => match doors::credentials(url) {
            Some(credentials) => url.replace(credentials, redact::MASK).into(),
            None => value.clone(),
        },
        value => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_is_named_and_a_key_is_not_shown() {
        let before = Config::default();
        let mut after = before.clone();
        assert!(changes(&before, &after).is_empty());
        after.agent.steps_max = 3;
        after.llm.model = "one".to_owned();
        after.safety.protected_paths = vec!["x".to_owned()];
        let expected = [
            ("agent.steps_max", Value::from(3)),
            ("llm.model", "one".into()),
            ("safety.protected_paths", vec!["x"].into()),
        ];
        let expected = expected.map(|(key, value)| (key.to_owned(), value));
        assert_eq!(changes(&before, &after), BTreeMap::from(expected));
        let text = "[llm.providers.mine]\napi_key = \"hunter2-hunter2\"\n";
        let keyed: Config = toml::from_str(text).expect("a configuration");
        let shown = changes(&before, &keyed);
        assert!(!format!("{shown:?}").contains("hunter2"), "{shown:?}");
    }
}
