//! The forms in which a known secret may appear in text (spec: No secrets in logs or traces).
//!
//! As it is, in JSON (also within JSON), in a URL, in base64 at each of the three places where it may begin within a
//! group, in hexadecimal digits; and each of its lines, if it has several.

use std::fmt::Write;

use data_encoding::{BASE64_NOPAD, BASE64URL_NOPAD, HEXLOWER, HEXUPPER};

/// Lines of a value that are shorter than this are not known by themselves.
const LINE_BYTES_MIN: usize = 16;

/// Every form of a value, each once.
pub(super) fn of(value: &str) -> Vec<Vec<u8>> {
    let mut forms: Vec<String> = vec![value.to_owned()];
    for escaped in [escaped(value, Escape::Json), escaped(value, Escape::Ascii)] {
        forms.push(escaped.replace('/', "\\/"));
        forms.push(self::escaped(&escaped, Escape::Json));
        forms.push(escaped);
    }
    let debug = format!("{value:?}");
    forms.push(debug.trim_matches('"').to_owned());
    for kept in ["-_.~", "-_.~!*'()", "-_.~!*'()/:@$&,+=;?", "-_.*"] {
        let url = in_url(value, kept);
        forms.push(url.replace("%20", "+"));
        forms.push(lower_escapes(&url).replace("%20", "+"));
        forms.push(lower_escapes(&url));
        forms.push(url);
    }
    for offset in 0..3 {
        let (standard, url) = in_base64(value.as_bytes(), offset);
        forms.push(standard.replace('/', "\\/"));
        forms.push(in_url(&standard, ""));
        forms.push(standard);
        forms.push(url);
    }
    forms.push(HEXLOWER.encode(value.as_bytes()));
    forms.push(HEXUPPER.encode(value.as_bytes()));
    let lines = value.lines().map(str::trim);
    forms.extend(
        lines
            .filter(|line| line.len() >= LINE_BYTES_MIN)
            .map(str::to_owned),
    );
    forms.sort();
    forms.dedup();
    forms.into_iter().map(String::into_bytes).collect()
}

/// What is escaped in JSON.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Escape {
    /// What has to be.
    Json,
    /// Also what is not ASCII.
    Ascii,
}

fn escaped(value: &str, escape: Escape) -> String {
    let quoted = serde_json::to_string(value).expect("text is JSON");
    let inner = quoted.get(1..quoted.len() - 1).unwrap_or_default();
    if escape == Escape::Json {
        return inner.to_owned();
    }
    let mut ascii = String::with_capacity(inner.len());
    for character in inner.chars() {
        if character.is_ascii() {
            ascii.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                // Writing to a string cannot fail.
                let _ = write!(ascii, "\\u{unit:04x}");
            }
        }
    }
    ascii
}

fn in_url(value: &str, kept: &str) -> String {
    let mut url = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || kept.as_bytes().contains(&byte) {
            url.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(url, "%{byte:02X}");
        }
    }
    url
}

/// The same with the digits of its escapes in lower case.
fn lower_escapes(url: &str) -> String {
    let mut left = 0;
    url.chars()
        .map(|character| {
            if character == '%' {
                left = 2;
            } else if left > 0 {
                left -= 1;
                return character.to_ascii_lowercase();
            }
            character
        })
        .collect()
}

/// The characters of base64, and of its URL-safe kind, that are the same whatever stands around the value, when it
/// begins at this byte of a group of three.
fn in_base64(value: &[u8], offset: usize) -> (String, String) {
    let mut bytes = vec![0; offset];
    bytes.extend_from_slice(value);
    let first = (offset * 8).div_ceil(6);
    let end = bytes.len() * 8 / 6;
    let own = |text: String| text.get(first..end).unwrap_or_default().to_owned();
    (
        own(BASE64_NOPAD.encode(&bytes)),
        own(BASE64URL_NOPAD.encode(&bytes)),
    )
}
