//! Values of things whose names say that they are secret: `api_key = "…"`, `PASSWORD=…`, `--token …` (spec: No secrets in
//! logs or traces).
//!
//! Source text is full of such names, so the value has to look like a secret as well: random for a key, no example, no
//! name of something, no hash.

use std::ops::Range;
use std::sync::LazyLock;

use aho_corasick::AhoCorasick;

use super::names::{self, Promise};

/// Bytes of a name before the word in it that says that its value is secret.
const NAME_BYTES_MAX: usize = 60;

/// Bytes of a name after that word.
const TAIL_BYTES_MAX: usize = 42;

/// Bytes of a value.
const VALUE_BYTES_MIN: usize = 6;
const VALUE_BYTES_MAX: usize = 400;

/// Words that a name of a secret has, whatever the case.
const WORDS: &[&str] = &[
    "key",
    "token",
    "secret",
    "pass",
    "pwd",
    "auth",
    "credential",
];

/// What gives a name its value, longest first.
const GIVERS: &[&[u8]] = &[b"||:", b":=", b"=>", b"?=", b"==", b"=", b":", b">"];

static FINDER: LazyLock<AhoCorasick> = LazyLock::new(|| {
    AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .build(WORDS)
        .expect("a few words make no large machine")
});

/// What examples are made of, in lower case.
const EXAMPLE_PARTS: &[&[u8]] = &[
    b"example",
    b"changeme",
    b"change_me",
    b"change-me",
    b"placeholder",
    b"your_",
    b"your-",
    b"yourp",
    b"yourt",
    b"yoursec",
    b"xxxx",
    b"****",
    b"....",
    b"redacted",
    b"dummy",
    b"insert",
    b"replace",
    b"todo",
    b"sample",
    b"not_a_",
    b"notreal",
    b"fake",
    b"${",
    b"{{",
    b"<",
    b"0000000",
    b"1234567890ab",
];

/// Values that stand for a value.
const EXAMPLES: &[&[u8]] = &[
    b"password",
    b"passwd",
    b"pass",
    b"pwd",
    b"secret",
    b"token",
    b"test",
    b"testing",
    b"user",
    b"username",
    b"admin",
    b"none",
    b"null",
    b"undefined",
    b"false",
    b"true",
    b"string",
    b"required",
    b"optional",
    b"hidden",
    b"foobar",
    b"xxx",
];

/// Adds where such values are.
pub(super) fn find(text: &[u8], spans: &mut Vec<Range<usize>>) {
    let mut done = 0;
    for word in FINDER.find_iter(text) {
        if word.start() < done {
            continue;
        }
        let of_name = |byte: &&u8| byte.is_ascii_alphanumeric() || b"_.-".contains(byte);
        let before = text.get(..word.start()).unwrap_or_default();
        let before = before
            .iter()
            .rev()
            .take(NAME_BYTES_MAX)
            .take_while(of_name)
            .count();
        let after = text.get(word.end()..).unwrap_or_default();
        let after = after
            .iter()
            .take(TAIL_BYTES_MAX)
            .take_while(of_name)
            .count();
        // What ends with a dot or a dash is no longer the name.
        done = word.end() + after;
        let name = text.get(word.start() - before..done).unwrap_or_default();
        if let Some(given) = Given::read(text, done)
            && is_secret(&String::from_utf8_lossy(name), &given)
        {
            spans.push(given.at..given.at + given.value.len());
            done = given.at + given.value.len();
        }
    }
}

/// A value and what stands around it.
struct Given<'text> {
    /// What gave it; empty for a blank.
    by: &'text [u8],
    is_quoted: bool,
    value: &'text [u8],
    at: usize,
    after: &'text [u8],
}

impl<'text> Given<'text> {
    /// Reads what stands behind a name that ends at `end`.
    fn read(text: &'text [u8], end: usize) -> Option<Self> {
        let mut at = end + count(text, end, 4, |byte| b"\\\"'`]".contains(&byte));
        let closed = at > end;
        let blanks = count(text, at, 8, is_blank);
        let rest = text.get(at + blanks..)?;
        if rest.starts_with(b"::") {
            // The path of something in a program.
            return None;
        }
        let by = GIVERS.iter().find(|giver| rest.starts_with(giver));
        let by = if let Some(by) = by {
            at += blanks + by.len();
            at += count(text, at, 4, is_blank);
            *by
        } else if closed && rest.starts_with(b"value") {
            at += blanks + 5;
            at += count(text, at, 2, |byte| is_blank(byte) || byte == b'=');
            &b"="[..]
        } else if (1..=2).contains(&blanks) {
            at += blanks;
            b""
        } else {
            return None;
        };
        let start = at + count(text, at, 4, |byte| b"\\\"'`".contains(&byte));
        let is_value = |byte: u8| !byte.is_ascii_whitespace() && !b"\"'`<>;,\\".contains(&byte);
        let length = count(text, start, VALUE_BYTES_MAX, is_value);
        (length >= VALUE_BYTES_MIN).then_some(Self {
            by,
            is_quoted: start > at,
            value: text.get(start..start + length)?,
            at: start,
            after: text.get(start + length..)?,
        })
    }
}

/// How many bytes from a place on are such bytes, up to a limit.
fn count(text: &[u8], from: usize, most: usize, is: impl Fn(u8) -> bool) -> usize {
    let rest = text.get(from..).unwrap_or_default();
    rest.iter().take(most).take_while(|byte| is(**byte)).count()
}

fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

fn is_secret(name: &str, given: &Given<'_>) -> bool {
    let by = given.by;
    // Only options of commands are given a value by a blank.
    let is_option = name.starts_with("--");
    if by.is_empty() && !is_option {
        return false;
    }
    // What runners of tests print of a test that passed.
    let is_verdict = name.ends_with("PASS") && by == b":" && !given.is_quoted;
    if is_verdict && name.trim_start_matches('-') == "PASS" {
        return false;
    }
    let Some(promise) = names::promise(name) else {
        return false;
    };
    let value = given.value;
    if is_example(value) || is_code(given) || is_same(name, value) {
        return false;
    }
    match promise {
        Promise::Key => value.len() >= 12 && is_random(value),
        Promise::Password => {
            let is_plain = given.is_quoted || !by.starts_with(b":") || !value.contains(&b'.');
            is_plain && is_password(value)
        }
    }
}

/// Whether the value is a word of a program rather than a value: a call, a path, a variable.
fn is_code(given: &Given<'_>) -> bool {
    let value = given.value;
    if value.starts_with(b"$")
        || value.starts_with(b"%")
        || value.starts_with(b"&")
        || value.starts_with(b"*")
        || value.starts_with(b"@")
        || value.starts_with(b"/")
        || value.starts_with(b"./")
        || value.starts_with(b"~/")
    {
        return true;
    }
    let has = |part: &[u8]| memchr::memmem::find(value, part).is_some();
    if has(b"://") || has(b"::") || has(b"->") || has(b"()") || has(b"${") || has(b"#{") {
        return true;
    }
    if given.is_quoted {
        return false;
    }
    value.iter().any(|byte| b"()[]{}|".contains(byte))
        || given.after.first() == Some(&b'(')
        || given.by != b">" && given.after.first() == Some(&b'<')
}

/// Whether the value says no more than the name.
fn is_same(name: &str, value: &[u8]) -> bool {
    let plain = |text: &[u8]| -> Vec<u8> {
        let letters = text.iter().filter(|byte| byte.is_ascii_alphanumeric());
        letters.map(u8::to_ascii_lowercase).collect()
    };
    let (name, value) = (plain(name.as_bytes()), plain(value));
    memchr::memmem::find(&name, &value).is_some() || memchr::memmem::find(&value, &name).is_some()
}

/// Whether a value stands for one.
pub(super) fn is_example(value: &[u8]) -> bool {
    let lower = value.to_ascii_lowercase();
    EXAMPLES.contains(&lower.as_slice())
        || EXAMPLE_PARTS
            .iter()
            .any(|part| memchr::memmem::find(&lower, part).is_some())
        || lower.starts_with(b"my") && lower.iter().all(|byte| !byte.is_ascii_digit())
}

/// Whether a password may be like this: not a plain word.
fn is_password(value: &[u8]) -> bool {
    let count = |is: fn(&u8) -> bool| value.iter().filter(|byte| is(byte)).count();
    let (digits, letters) = (count(u8::is_ascii_digit), count(u8::is_ascii_alphabetic));
    let symbols = value.len() - digits - letters;
    let different: std::collections::BTreeSet<&u8> = value.iter().collect();
    let is_name =
        symbols == value.iter().filter(|byte| b"_-.".contains(byte)).count() && digits < 2;
    different.len() >= 5 && !is_name && letters > 0 && digits + symbols > 0
}

/// Whether a value looks as if it had been drawn by lot: no word, no name, no version.
pub(super) fn is_random(value: &[u8]) -> bool {
    if value.len() > 20
        && (value.starts_with(b"sha256-")
            || value.starts_with(b"sha384-")
            || value.starts_with(b"sha512-"))
    {
        return false;
    }
    let digits = value.iter().filter(|byte| byte.is_ascii_digit()).count();
    if digits < 2 || digits == value.len() || entropy(value) < 3.0 {
        return false;
    }
    let (mut changes, mut in_words, mut run) = (0, 0, 0_usize);
    let mut previous = 0;
    for byte in value.iter().copied().chain([0]) {
        if byte.is_ascii_digit() != u8::is_ascii_digit(&previous) {
            changes += 1;
        }
        if byte.is_ascii_lowercase() {
            run += 1;
        } else {
            in_words += if run >= 4 { run } else { 0 };
            run = 0;
        }
        previous = byte;
    }
    // Words and numbers of names come in runs.
    changes >= 5 && (in_words * 2 <= value.len() || digits * 6 >= value.len() && changes >= 7)
}

/// Bits for each byte.
fn entropy(value: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in value {
        if let Some(count) = counts.get_mut(usize::from(*byte)) {
            *count += 1;
        }
    }
    let length = f64::from(u32::try_from(value.len()).unwrap_or(u32::MAX));
    counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| {
            let share = f64::from(*count) / length;
            -share * share.log2()
        })
        .sum()
}

#[cfg(test)]
mod tests {
    fn masked(text: &str) -> String {
        crate::redact::Redactor::default().clean(text).into_owned()
    }

    #[test]
    fn values_of_secret_names_are_masked() {
        for (text, expected) in [
            (
                "api_key = \"q7Vd93kfPz02Lm8XbT41\"",
                "api_key = \"[redacted]\"",
            ),
            (
                "ADAFRUIT_KEY=aio9f83bd7720c14e5ab6",
                "ADAFRUIT_KEY=[redacted]",
            ),
            (
                "{\"clientSecret\":\"8fK2_pq91-ZmX4c7\"}",
                "{\"clientSecret\":\"[redacted]\"}",
            ),
            (
                "{\\\"token\\\":\\\"8fK2pq91ZmX4c7aa\\\"}",
                "{\\\"token\\\":\\\"[redacted]\\\"}",
            ),
            ("password: hunter2!x", "password: [redacted]"),
            ("DB_PASS: hunter2!x", "DB_PASS: [redacted]"),
            ("PASS=hunter2!x", "PASS=[redacted]"),
            (
                "spring.datasource.password=Tr0ub4dor&3",
                "spring.datasource.password=[redacted]",
            ),
            (
                "run --token 9c1185a5c5e9fc54612808977ee8f548",
                "run --token [redacted]",
            ),
            (
                "<add key=\"ApiKey\" value=\"8fK2pq91ZmX4c7aa\"/>",
                "<add key=\"ApiKey\" value=\"[redacted]\"/>",
            ),
            (
                "<password>hunter22x</password>",
                "<password>[redacted]</password>",
            ),
        ] {
            assert_eq!(masked(text), expected);
        }
    }

    #[test]
    fn names_code_hashes_and_examples_are_no_secrets() {
        for text in [
            "let token = parse_token2(input, 3);",
            "key: \"settings.editor.fontSize2\"",
            "password = getpass.getpass()",
            "api_key = os.environ[\"OPENAI_API_KEY\"]",
            "\"integrity\": \"sha512-b7fPz02Lm8XbT41q7Vd93k==\"",
            "api_key: your_api_key_here_123",
            "public_key = \"9c1185a5c5e9fc54612808977ee8f548\"",
            "token = Token2Kind::from(x)",
            "Password: str = Field(min_length=8)",
            "secret: SecretString1Wrapper,",
            "--- PASS: TestHTTP/get_user_2 (0.0s)",
            "PASS: test_sums.py::Test_2",
            "see the secret 9c1185a5c5e9fc54612808977ee8f548",
        ] {
            assert_eq!(masked(text), text);
        }
    }
}
