//! Takes secrets out of text before it leaves the process (spec: No secrets in logs or traces).
//!
//! Two ways to find them: values that are known to be secret (keys the configuration holds, environment variables
//! whose names say so), and shapes that secrets have. Every exit passes here: logs, the journal, prompts, errors.

use std::borrow::Cow;

/// What stands in place of a secret.
pub const MASK: &str = "[redacted]";

/// Values shorter than this are not masked: they would mask ordinary words.
const KNOWN_VALUE_BYTES_MIN: usize = 6;

/// Prefixes that providers give their keys, with the number of key characters that must follow.
const KEY_SHAPES: [(&str, usize); 14] = [
    ("sk-ant-", 20),
    ("sk-proj-", 20),
    ("sk-", 20),
    ("ghp_", 36),
    ("gho_", 36),
    ("ghs_", 36),
    ("github_pat_", 30),
    ("glpat-", 20),
    ("xoxb-", 20),
    ("xoxp-", 20),
    ("AKIA", 16),
    ("AIza", 35),
    ("hf_", 30),
    ("npm_", 36),
];

/// Knows the secrets of this process and takes them out of text.
#[derive(Clone, Default)]
pub struct Redactor {
    known: Vec<String>,
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Redactor")
            .field("known", &self.known.len())
            .finish()
    }
}

impl Redactor {
    /// Makes a redactor for these secret values.
    pub fn new(values: impl IntoIterator<Item = String>) -> Self {
        let mut known: Vec<String> = values
            .into_iter()
            .filter(|value| value.trim().len() >= KNOWN_VALUE_BYTES_MIN)
            .collect();
        // Longer values first, so that a value that contains another is masked whole.
        known.sort_by_key(|value| std::cmp::Reverse(value.len()));
        known.dedup();
        Self { known }
    }

    /// A redactor that knows one more secret.
    #[must_use]
    pub fn knowing(&self, value: &str) -> Self {
        if self.known.iter().any(|known| known == value) {
            return self.clone();
        }
        Self::new(self.known.iter().cloned().chain([value.to_owned()]))
    }

    /// The text without secrets.
    pub fn clean<'text>(&self, text: &'text str) -> Cow<'text, str> {
        let mut result = Cow::Borrowed(text);
        for value in &self.known {
            if result.contains(value.as_str()) {
                result = Cow::Owned(result.replace(value.as_str(), MASK));
            }
        }
        match mask_shapes(&result) {
            Some(masked) => Cow::Owned(masked),
            None => result,
        }
    }
}

/// Whether the name of an environment variable or setting says that its value is a secret.
pub fn names_a_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    ["KEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIAL"]
        .iter()
        .any(|word| {
            name.split('_')
                .any(|part| part.trim_end_matches('S') == *word || part == *word)
        })
        || name.ends_with("APIKEY")
}

fn mask_shapes(text: &str) -> Option<String> {
    let mut result: Option<String> = None;
    for (prefix, length_min) in KEY_SHAPES {
        let mut from = 0;
        loop {
            let current = result.as_deref().unwrap_or(text);
            let Some(found) = current.get(from..).and_then(|rest| rest.find(prefix)) else {
                break;
            };
            let start = from + found;
            let body = start + prefix.len();
            let length = key_characters(current.get(body..).unwrap_or_default());
            let word_before = current
                .get(..start)
                .and_then(|before| before.chars().next_back())
                .is_some_and(|character| character.is_ascii_alphanumeric());
            if length < length_min || word_before {
                from = body;
                continue;
            }
            let mut masked = current.to_owned();
            masked.replace_range(start..body + length, MASK);
            from = start + MASK.len();
            result = Some(masked);
        }
    }
    result
}

fn key_characters(text: &str) -> usize {
    text.bytes()
        .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values_and_key_shapes_are_masked_and_words_are_not() {
        let redactor = Redactor::new(["hunter2-is-long".to_owned(), "abc".to_owned()]);
        for (text, expected) in [
            (
                "say hunter2-is-long twice: hunter2-is-long",
                "say [redacted] twice: [redacted]",
            ),
            (
                "abc is too short to be a secret",
                "abc is too short to be a secret",
            ),
            ("key=sk-abcdefghijklmnopqrstuvwx.", "key=[redacted]."),
            (
                "risk-abcdefghijklmnopqrstuvwxyz",
                "risk-abcdefghijklmnopqrstuvwxyz",
            ),
            ("sk-short", "sk-short"),
        ] {
            assert_eq!(redactor.clean(text), expected);
        }
    }

    #[test]
    fn secret_names_are_told_from_others() {
        for name in [
            "OPENAI_API_KEY",
            "GITHUB_TOKEN",
            "DB_PASSWORD",
            "AWS_SECRET_ACCESS_KEY",
            "MY_APIKEY",
        ] {
            assert!(names_a_secret(name), "{name}");
        }
        for name in ["PATH", "KEYBOARD", "TOKENIZERS_PARALLELISM", "HOME"] {
            assert!(!names_a_secret(name), "{name}");
        }
    }
}
