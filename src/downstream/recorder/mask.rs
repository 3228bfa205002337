//! Takes out of recorded messages what is nobody's business: secrets always, text of documents when that is wanted
//! (spec: No secrets in logs or traces).
//!
//! A message is gone through string by string, as they stand in its JSON; everything between them stays as it was. A
//! string is cleaned of known secrets and of what has the shape of a key. What stands under a key that says that it is a
//! secret is masked whole: a string, a number, and everything in a list. Of a message that was cut off, the string in which
//! it was cut becomes its length: half of a secret has no shape.

use std::collections::BTreeSet;

use bytes::Bytes;
use memchr::memchr2;

use super::recording::{Frame, Way};
use crate::downstream::wire::{Envelope, Kind};
use crate::redact::{MASK, Redactor, names_a_secret};
use crate::text::raw::quoted;

/// Keys whose strings are never text of a document.
const PLAIN_KEYS: [&str; 30] = [
    "baseUri",
    "code",
    "command",
    "detailKind",
    "encoding",
    "id",
    "jsonrpc",
    "kind",
    "language",
    "languageId",
    "level",
    "method",
    "newUri",
    "notebookType",
    "oldUri",
    "onType",
    "partialResultToken",
    "pattern",
    "positionEncoding",
    "previousResultId",
    "resultId",
    "rootUri",
    "scheme",
    "source",
    "targetUri",
    "token",
    "trigger",
    "triggerCharacter",
    "uri",
    "workDoneToken",
];

/// Methods whose messages hold no text of documents.
const PLAIN_METHODS: [&str; 7] = [
    "initialize",
    "initialized",
    "client/registerCapability",
    "client/unregisterCapability",
    "window/workDoneProgress/create",
    "workspace/configuration",
    "workspace/didChangeConfiguration",
];

/// What is taken out of messages.
#[derive(Debug)]
pub struct Mask {
    /// Knows the secrets.
    pub redactor: Redactor,
    /// Whether strings that may be text of documents stay.
    pub texts: bool,
    /// The ids of greetings: their answers hold no text of documents.
    greetings: BTreeSet<(String, Bytes)>,
}

/// What is done with strings.
struct Rules<'mask> {
    redactor: &'mask Redactor,
    texts: bool,
    /// Whether `token` is a name that the protocol gives.
    has_tokens: bool,
    /// Whether only the beginning of the message is there.
    is_cut: bool,
}

/// Where one is in a message.
#[derive(Debug, Default)]
struct Place {
    /// The key whose value comes next.
    key: Option<String>,
    /// Lists and objects that are open, from the outermost list of secrets on.
    hidden: usize,
}

impl Mask {
    /// Takes secrets out, and the texts of documents unless they are to stay.
    pub fn new(redactor: Redactor, texts: bool) -> Self {
        Self {
            redactor,
            texts,
            greetings: BTreeSet::new(),
        }
    }

    /// The message of a frame without what is nobody's business, in one line.
    pub(super) fn clean(&mut self, of: &str, frame: &Frame) -> String {
        let envelope = Envelope::peek(&frame.body);
        let kind = envelope.as_ref().map(|envelope| envelope.kind);
        let method = envelope.as_ref().map(|it| it.method(&frame.body));
        let method = method.unwrap_or_default();
        let id = envelope.as_ref().map(|it| it.id(&frame.body));
        let greeting = (
            of.to_owned(),
            Bytes::copy_from_slice(id.unwrap_or_default()),
        );
        let mut is_plain = PLAIN_METHODS.contains(&method);
        match (frame.way, kind) {
            (Way::ToServer, Some(Kind::Request)) if method == "initialize" => {
                self.greetings.insert(greeting);
            }
            (Way::FromServer, Some(Kind::Response)) => {
                is_plain = self.greetings.remove(&greeting);
            }
            _ => {}
        }
        let rules = Rules {
            redactor: &self.redactor,
            texts: self.texts || is_plain,
            has_tokens: method == "$/progress" || method.starts_with("window/workDoneProgress/"),
            is_cut: frame.is_cut,
        };
        rules.apply(&String::from_utf8_lossy(&frame.body))
    }

    /// The same for what is no message.
    pub(super) fn clean_rubbish(&self, said: &str) -> String {
        if self.texts {
            self.redactor.clean(said).into_owned()
        } else {
            length_of(said)
        }
    }
}

impl Rules<'_> {
    fn apply(&self, json: &str) -> String {
        let mut out = String::with_capacity(json.len());
        let mut rest = json;
        let mut place = Place::default();
        while let Some(start) = rest.find('"') {
            let (gap, string) = rest.split_at(start);
            self.add_gap(&mut out, gap, &mut place);
            let (raw, after) = string.split_at(string_length(string));
            rest = after;
            let text = serde_json::from_str::<String>(raw);
            if self.is_cut && text.is_err() && after.is_empty() {
                out.push_str(&quoted(&length_of(raw.trim_start_matches('"'))));
                continue;
            }
            let text = text.unwrap_or_else(|_| raw.trim_matches('"').to_owned());
            if after.trim_start().starts_with(':') {
                self.add_string(&mut out, raw, &text);
                place.key = Some(text);
            } else {
                self.add_value(&mut out, raw, &text, &mut place);
            }
        }
        self.add_gap(&mut out, rest, &mut place);
        out
    }

    fn add_value(&self, out: &mut String, raw: &str, text: &str, place: &mut Place) {
        let key = place.key.take().unwrap_or_default();
        if !text.is_empty() && (place.hidden > 0 || self.is_secret(&key)) {
            out.push_str(&quoted(MASK));
        } else if self.texts || PLAIN_KEYS.contains(&key.as_str()) {
            self.add_string(out, raw, text);
        } else {
            out.push_str(&quoted(&length_of(text)));
        }
    }

    fn add_string(&self, out: &mut String, raw: &str, text: &str) {
        let clean = self.redactor.clean(text);
        if clean == text {
            out.push_str(raw);
        } else {
            out.push_str(&quoted(&clean));
        }
    }

    /// What stands between strings: on one line, and without numbers that are secrets.
    fn add_gap(&self, out: &mut String, gap: &str, place: &mut Place) {
        let is_clean = self.redactor.clean(gap) == gap;
        let is_word =
            |character: char| character.is_ascii_alphanumeric() || "+-.".contains(character);
        let mut rest = gap;
        while let Some(character) = rest.chars().next() {
            let length = if is_word(character) {
                let end = rest.find(|character| !is_word(character));
                end.unwrap_or(rest.len())
            } else {
                character.len_utf8()
            };
            let (word, after) = rest.split_at(length);
            rest = after;
            if is_word(character) {
                let key = place.key.take().unwrap_or_default();
                let is_number = character.is_ascii_digit() || character == '-';
                let is_secret = is_number && (place.hidden > 0 || self.is_secret(&key));
                if is_secret || !is_clean && self.redactor.clean(word) != word {
                    out.push_str(&quoted(MASK));
                } else {
                    out.push_str(word);
                }
                continue;
            }
            self.pass(character, place);
            out.push(match character {
                '\n' | '\r' => ' ',
                other => other,
            });
        }
    }

    /// Notes where one is after a character that is not of a value.
    fn pass(&self, character: char, place: &mut Place) {
        match character {
            '[' | '{' => {
                let key = place.key.take().unwrap_or_default();
                // What the fields of an object are is said by their own keys.
                let begins = character == '[' && self.is_secret(&key);
                if place.hidden > 0 || begins {
                    place.hidden += 1;
                }
            }
            ']' | '}' => place.hidden = place.hidden.saturating_sub(1),
            ',' => place.key = None,
            _ => {}
        }
    }

    fn is_secret(&self, key: &str) -> bool {
        match key {
            // Names that the protocol gives.
            "workDoneToken" | "partialResultToken" | "tokenTypes" | "tokenModifiers" | "key" => {
                false
            }
            "token" if self.has_tokens => false,
            _ => names_a_secret(&in_words(key)),
        }
    }
}

/// A name such as `apiKey` as `api_Key`.
fn in_words(name: &str) -> String {
    let mut words = String::with_capacity(name.len() + 4);
    let mut was_lower = false;
    for character in name.chars() {
        if character.is_ascii_uppercase() && was_lower {
            words.push('_');
        }
        was_lower = character.is_ascii_lowercase();
        words.push(if matches!(character, '-' | '.' | ' ') {
            '_'
        } else {
            character
        });
    }
    words
}

/// The length of the string that a text begins with, with its quotes; of all of it when the string does not end.
fn string_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut at = 1;
    while let Some(rest) = bytes.get(at..)
        && let Some(found) = memchr2(b'"', b'\\', rest)
    {
        at += found + 1;
        if rest.get(found) == Some(&b'"') {
            return at;
        }
        // What is escaped is one byte or begins with one; it may be missing.
        at += 1;
    }
    text.len()
}

fn length_of(text: &str) -> String {
    format!("[{} bytes]", text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str, texts: bool, expected: &str) {
        check_start(body, texts, false, expected);
    }

    fn check_start(body: &str, texts: bool, is_cut: bool, expected: &str) {
        let redactor = Redactor::new(["hunter2\"-is-long".to_owned(), "7654321".to_owned()]);
        let frame = Frame {
            at: 0,
            way: Way::ToServer,
            origin: crate::downstream::recorder::recording::Origin::Heard,
            bytes: body.len(),
            is_cut,
            body: Bytes::copy_from_slice(body.as_bytes()),
        };
        let clean = Mask::new(redactor, texts).clean("a", &frame);
        assert_eq!(clean, expected, "{body}");
    }

    #[test]
    fn secrets_go_and_everything_else_stays_as_it_was() {
        for (body, expected) in [
            (
                "{\"a\": 1e3,\n\"b\":\"\\u0041\\ud83d\"}",
                "{\"a\": 1e3, \"b\":\"\\u0041\\ud83d\"}",
            ),
            (
                r#"{"m":"say hunter2\"-is-long"}"#,
                r#"{"m":"say [redacted]"}"#,
            ),
            (
                r#"{"m":"say \u0068unter2\"-is-long"}"#,
                r#"{"m":"say [redacted]"}"#,
            ),
            (r#"{"hunter2\"-is-long":1}"#, r#"{"[redacted]":1}"#),
            (
                r#"{"m":["sk-abcdefghijklmnopqrstuvwx"]}"#,
                r#"{"m":["[redacted]"]}"#,
            ),
            (
                r#"{"pin":7654321,"n":-1.5}"#,
                r#"{"pin":"[redacted]","n":-1.5}"#,
            ),
            (
                r#"{"apiKey":"short","auth-token" : "x","myPassword":""}"#,
                r#"{"apiKey":"[redacted]","auth-token" : "[redacted]","myPassword":""}"#,
            ),
            (
                r#"{"semanticTokens":{"a":"b"},"monkey":"c","workDoneToken":"d"}"#,
                r#"{"semanticTokens":{"a":"b"},"monkey":"c","workDoneToken":"d"}"#,
            ),
            (
                r#"{"method":"$/progress","params":{"token":"t"}}"#,
                r#"{"method":"$/progress","params":{"token":"t"}}"#,
            ),
            (
                r#"{"password":1234,"tokens":["a",{"b":[-2,"c"],"d":null}],"e":"f","pin":[5]}"#,
                r#"{"password":"[redacted]","tokens":["[redacted]",{"b":["[redacted]","[redacted]"],"d":null}],"e":"f","pin":[5]}"#,
            ),
            (
                r#"{"legend":{"tokenTypes":["a"],"tokenModifiers":["b"]},"secret":{"c":"d"},"token":{"full":true},"e":1}"#,
                r#"{"legend":{"tokenTypes":["a"],"tokenModifiers":["b"]},"secret":{"c":"d"},"token":{"full":true},"e":1}"#,
            ),
            (r#"{"a":"half of a str\"#, r#"{"a":"half of a str\"#),
            ("rubbish", "rubbish"),
        ] {
            check(body, true, expected);
        }
    }

    /// A secret that is cut in two is known by nothing.
    #[test]
    fn the_string_in_which_a_message_was_cut_becomes_its_length() {
        for (start, expected) in [
            (
                r#"{"a":"b","m":"say hunter2\"-is"#,
                r#"{"a":"b","m":"[16 bytes]""#,
            ),
            (
                r#"{"a":"b","m":"sk-abcdef\"#,
                r#"{"a":"b","m":"[10 bytes]""#,
            ),
            (r#"{"a":"b","hunter2"#, r#"{"a":"b","[7 bytes]""#),
            (r#"{"a":"b","c":["#, r#"{"a":"b","c":["#),
        ] {
            check_start(start, true, true, expected);
        }
    }

    #[test]
    fn texts_of_documents_become_their_lengths() {
        for (body, expected) in [
            (
                r#"{"method":"textDocument/didOpen","params":{"textDocument":{"uri":"u","languageId":"l","text":"secret sauce\n"}}}"#,
                r#"{"method":"textDocument/didOpen","params":{"textDocument":{"uri":"u","languageId":"l","text":"[13 bytes]"}}}"#,
            ),
            (
                r#"{"id":1,"result":[{"label":"fn","edit":{"changes":{"uri":[{"newText":"a b"}]}}}]}"#,
                r#"{"id":1,"result":[{"label":"[2 bytes]","edit":{"changes":{"uri":[{"newText":"[3 bytes]"}]}}}]}"#,
            ),
            (
                r#"{"id":1,"result":[{"name":"hidden_feature","kind":12,"uri":"u"}]}"#,
                r#"{"id":1,"result":[{"name":"[14 bytes]","kind":12,"uri":"u"}]}"#,
            ),
            (
                r#"{"id":1,"method":"initialize","params":{"rootPath":"/a"}}"#,
                r#"{"id":1,"method":"initialize","params":{"rootPath":"/a"}}"#,
            ),
        ] {
            check(body, false, expected);
        }
    }
}
