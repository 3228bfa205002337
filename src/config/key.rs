//! A key as it stands in the settings, which nobody sees again unless it only names where the key is (spec: Secret
//! Management).

use serde::{Deserialize, Deserializer, Serializer};

use crate::redact::{MASK, Secret};

/// What may be seen of it: `${…}` as it is, of anything else only that it is there.
pub fn shown(key: &Secret) -> &str {
    let text = key.expose();
    let name = text.strip_prefix("${").and_then(|it| it.strip_suffix('}'));
    match name {
        Some(name) if !name.contains(['{', '}']) => text,
        None if text.is_empty() => text,
        _ => MASK,
    }
}

pub(super) fn serialize<S: Serializer>(key: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(shown(key))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
    String::deserialize(deserializer).map(Secret::new)
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    #[test]
    fn nothing_that_is_made_of_the_settings_shows_a_key() {
        for (key, is_shown) in [
            ("plain-key-17", false),
            ("${VARIABLE_17}", true),
            ("${secret:name-17}", true),
            ("${A}plain-17${B}", false),
            ("x-${A_17}", false),
        ] {
            let text = format!(
                "[llm.providers.mine]\napi_key = '{key}'\n[[llm.providers.mine.endpoints]]\napi_key = '{key}'\n"
            );
            let config: Config = toml::from_str(&text).expect("settings");
            let provider = config.llm.providers.get("mine").expect("there");
            assert_eq!(provider.api_key.expose(), key);
            let seen = serde_json::to_string(&config).expect("JSON");
            assert_eq!(seen.matches(key).count(), if is_shown { 2 } else { 0 });
            let seen = format!("{config:?}");
            assert_eq!(seen.contains(key), is_shown, "{seen}");
        }
    }
}
