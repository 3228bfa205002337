//! The bytes of the protocol: framing, and a look at a message that leaves it as it is (spec: LSP Client, base protocol).
//!
//! [`Decoder`] takes bytes as they come and gives whole bodies. It accepts headers in any order and casing, headers it
//! does not know, bare line feeds, and it skips what is no header at all. [`Envelope::peek`] finds the `id` and `method`
//! of a body without parsing the rest, so that what we forward stays the bytes that came.

use std::borrow::Cow;
use std::ops::Range;

use bytes::{Buf, Bytes, BytesMut};
use memchr::memchr;

use super::protocol;

/// Longest header block before we take it for something else.
const HEADER_BYTES_MAX: usize = 8 * 1024;

/// Longest piece of skipped bytes that is kept for the report.
const GARBAGE_BYTES_KEPT: usize = 200;

/// Largest body that is accepted.
pub const BODY_BYTES_MAX: usize = 512 * 1024 * 1024;

/// Space made ready before each read.
const READ_BYTES: usize = 64 * 1024;

/// Bodies beyond this size can be handed on while they come.
pub const LARGE_BYTES: usize = 1024 * 1024;

/// Bytes of a large body that are read before it is decided what becomes of it: enough for its id and method.
const HEAD_BYTES: usize = 4 * 1024;

const CONTENT_LENGTH: &[u8] = b"content-length";

/// What the decoder found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// The body of one message.
    Message(Bytes),
    /// The first bytes of a body of more than [`LARGE_BYTES`], and the length of the whole; [`Decoder::take`] gives the
    /// rest.
    Large(Bytes, usize),
    /// Bytes that belong to no message were skipped; the beginning of the first of them, once per stream.
    Garbage(String),
}

/// Why a stream cannot be read any further.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// A message is larger than [`BODY_BYTES_MAX`].
    #[error("a message of {0} bytes is larger than the {BODY_BYTES_MAX} that are accepted")]
    TooLarge(usize),
}

/// Turns a stream of bytes into bodies.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: BytesMut,
    body: Option<usize>,
    /// Whether large bodies are given in pieces.
    in_pieces: bool,
    garbage: Option<String>,
    garbage_told: bool,
}

impl Decoder {
    /// A decoder that gives large bodies in pieces.
    pub fn in_pieces() -> Self {
        Self {
            in_pieces: true,
            ..Self::default()
        }
    }

    /// The buffer to read into, with room for what is expected.
    pub fn space(&mut self) -> &mut BytesMut {
        let missing = match self.body {
            Some(length) if !self.is_large(length) => length.saturating_sub(self.buffer.len()),
            Some(_) | None => 0,
        };
        self.buffer.reserve(missing.max(READ_BYTES));
        &mut self.buffer
    }

    /// The next frame, if it is complete.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, WireError> {
        loop {
            if let Some(length) = self.body {
                if self.is_large(length) {
                    if self.buffer.len() < HEAD_BYTES {
                        return Ok(None);
                    }
                    self.body = None;
                    return Ok(Some(Frame::Large(self.take(length), length)));
                }
                if self.buffer.len() < length {
                    return Ok(None);
                }
                self.body = None;
                return Ok(Some(Frame::Message(self.buffer.split_to(length).freeze())));
            }
            match find_header(&self.buffer) {
                Header::Complete { bytes, length } => {
                    if length > BODY_BYTES_MAX && !self.in_pieces {
                        return Err(WireError::TooLarge(length));
                    }
                    self.buffer.advance(bytes);
                    self.body = Some(length);
                    if let Some(text) = self.garbage.take() {
                        return Ok(Some(Frame::Garbage(text)));
                    }
                }
                Header::Partial => return Ok(None),
                Header::Garbage(bytes) => self.skip(bytes),
            }
        }
    }

    /// What is there of the rest of a large body of which so many bytes are missing.
    pub fn take(&mut self, missing: usize) -> Bytes {
        self.buffer
            .split_to(missing.min(self.buffer.len()))
            .freeze()
    }

    fn is_large(&self, length: usize) -> bool {
        self.in_pieces && length > LARGE_BYTES
    }

    /// What was skipped and not yet reported: for the end of a stream that never had a message.
    pub fn take_garbage(&mut self) -> Option<String> {
        if !self.garbage_told && self.garbage.is_none() && !self.buffer.is_empty() {
            self.skip(self.buffer.len());
        }
        self.garbage.take()
    }

    fn skip(&mut self, bytes: usize) {
        let skipped = self.buffer.split_to(bytes.min(self.buffer.len()));
        if self.garbage_told || skipped.trim_ascii().is_empty() {
            return;
        }
        self.garbage_told = true;
        let kept = skipped.get(..GARBAGE_BYTES_KEPT).unwrap_or(&skipped);
        self.garbage = Some(String::from_utf8_lossy(kept.trim_ascii()).into_owned());
    }
}

enum Header {
    Complete { bytes: usize, length: usize },
    Partial,
    Garbage(usize),
}

/// Reads header lines from the start of `buffer`. A line that is no header is garbage up to its end; when it has a
/// `Content-Length:` in its middle (a server that printed without a line feed), up to there.
fn find_header(buffer: &[u8]) -> Header {
    let mut at = 0;
    let mut length = None;
    loop {
        let rest = buffer.get(at..).unwrap_or_default();
        let Some(end) = memchr(b'\n', rest) else {
            let fits = at + rest.len() <= HEADER_BYTES_MAX;
            return if fits {
                Header::Partial
            } else {
                Header::Garbage(buffer.len())
            };
        };
        let line = rest.get(..end).unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let next = at + end + 1;
        if line.is_empty() {
            return match length {
                Some(length) => Header::Complete {
                    bytes: next,
                    length,
                },
                None => Header::Garbage(next),
            };
        }
        match header_line(line) {
            Line::Length(value) => length = Some(value),
            Line::Other => {}
            // What came before the bad line cannot belong to a header either.
            Line::NoHeader { resume } => return Header::Garbage(at + resume.unwrap_or(end + 1)),
        }
        at = next;
        if at > HEADER_BYTES_MAX {
            return Header::Garbage(at);
        }
    }
}

enum Line {
    Length(usize),
    Other,
    NoHeader { resume: Option<usize> },
}

fn header_line(line: &[u8]) -> Line {
    let no_header = || Line::NoHeader {
        resume: find_ignoring_case(line, CONTENT_LENGTH).filter(|at| *at > 0),
    };
    let Some(colon) = memchr(b':', line) else {
        return no_header();
    };
    let name = line.get(..colon).unwrap_or_default().trim_ascii();
    let value = line.get(colon + 1..).unwrap_or_default().trim_ascii();
    let is_token = !name.is_empty()
        && name
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-');
    if name.eq_ignore_ascii_case(CONTENT_LENGTH) {
        let digits = std::str::from_utf8(value).ok();
        return match digits.and_then(|digits| digits.parse().ok()) {
            Some(length) => Line::Length(length),
            None => Line::NoHeader { resume: None },
        };
    }
    if is_token {
        // A log line such as `error: …` looks like a header; it only becomes one before a blank line with a length.
        return match find_ignoring_case(line, CONTENT_LENGTH) {
            // `Content-Length-More: …` is another header: resuming there would be standing still.
            Some(0) | None => Line::Other,
            Some(at) => Line::NoHeader { resume: Some(at) },
        };
    }
    no_header()
}

fn find_ignoring_case(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window.eq_ignore_ascii_case(needle))
}

/// The header block for a body of this many bytes.
pub fn header(length: usize) -> String {
    format!("Content-Length: {length}\r\n\r\n")
}

/// What kind of message a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Has a method and an id.
    Request,
    /// Has a method and no id.
    Notification,
    /// Has an id and no method.
    Response,
}

/// Where the parts of a message are that routing needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// What kind of message it is.
    pub kind: Kind,
    /// Bytes of the id's value, when there is one.
    pub id: Option<Range<usize>>,
    /// Bytes of the method's name without quotes, when there is one.
    pub method: Option<Range<usize>>,
}

impl Envelope {
    /// Looks at a body. `None`: it is no JSON-RPC message.
    pub fn peek(body: &[u8]) -> Option<Self> {
        let mut scanner = Scanner { body, at: 0 };
        scanner.expect(b'{')?;
        let (mut id, mut method, mut answered) = (None, None, false);
        let mut first = true;
        loop {
            scanner.space();
            match scanner.peek()? {
                b'}' => break,
                b',' if !first => {
                    scanner.at += 1;
                    scanner.space();
                }
                _ if first => {}
                _ => return None,
            }
            first = false;
            let key = read_key(body.get(scanner.string()?)?);
            scanner.space();
            scanner.expect(b':')?;
            scanner.space();
            let value = match &*key {
                // The value of `result` is skipped only when the id may still follow.
                b"result" | b"error" => {
                    answered = true;
                    if id.is_some() && method.is_none() {
                        break;
                    }
                    scanner.skip()?;
                    continue;
                }
                name @ (b"id" | b"method") => {
                    let start = scanner.at;
                    scanner.skip()?;
                    (name, start..scanner.at)
                }
                _ => {
                    scanner.skip()?;
                    continue;
                }
            };
            match value {
                (b"id", range) => id = Some(range),
                (_, range) => method = Some(unquoted(body, range)?),
            }
            if id.is_some() && (method.is_some() || answered) {
                break;
            }
        }
        let kind = match (&id, &method) {
            (Some(_), Some(_)) => Kind::Request,
            (None, Some(_)) => Kind::Notification,
            (Some(_), None) => Kind::Response,
            (None, None) => return None,
        };
        Some(Self { kind, id, method })
    }

    /// The method's name as it stands in the message; empty for a response. What the protocol names has that name also
    /// where it is written with escapes: writers of PHP escape every slash.
    pub fn method<'body>(&self, body: &'body [u8]) -> &'body str {
        let written = self
            .method
            .clone()
            .and_then(|range| body.get(range))
            .and_then(|bytes| std::str::from_utf8(bytes).ok())
            .unwrap_or_default();
        let known = unescaped(written.as_bytes()).and_then(|name| protocol::method(&name));
        known.map_or(written, |method| method.name)
    }

    /// The bytes of the id as they stand in the message; empty for a notification.
    pub fn id<'body>(&self, body: &'body [u8]) -> &'body [u8] {
        self.id
            .clone()
            .and_then(|range| body.get(range))
            .unwrap_or_default()
    }
}

/// The body with another id in place of its own; everything else is as it was.
pub fn with_id(body: &Bytes, range: Range<usize>, id: &[u8]) -> Bytes {
    let before = body.get(..range.start).unwrap_or_default();
    let after = body.get(range.end..).unwrap_or_default();
    let mut result = BytesMut::with_capacity(before.len() + id.len() + after.len());
    result.extend_from_slice(before);
    result.extend_from_slice(id);
    result.extend_from_slice(after);
    result.freeze()
}

/// The messages of a batch, or `None` when the body is no JSON array.
pub fn split_batch(body: &Bytes) -> Option<Vec<Bytes>> {
    let mut scanner = Scanner { body, at: 0 };
    scanner.expect(b'[')?;
    let mut parts = Vec::new();
    loop {
        scanner.space();
        match scanner.peek()? {
            b']' => return Some(parts),
            b',' => scanner.at += 1,
            _ => {
                let start = scanner.at;
                scanner.skip()?;
                parts.push(body.slice(start..scanner.at));
            }
        }
    }
}

/// A key as it is meant.
fn read_key(written: &[u8]) -> Cow<'_, [u8]> {
    match unescaped(written) {
        Some(key) => Cow::Owned(key.into_bytes()),
        None => Cow::Borrowed(written),
    }
}

/// What the inside of a string means, where that is not what is written.
fn unescaped(written: &[u8]) -> Option<String> {
    memchr(b'\\', written)?;
    serde_json::from_slice(&[b"\"", written, b"\""].concat()).ok()
}

fn unquoted(body: &[u8], range: Range<usize>) -> Option<Range<usize>> {
    let quoted = body.get(range.clone())?;
    (quoted.len() >= 2 && quoted.first() == Some(&b'"')).then(|| range.start + 1..range.end - 1)
}

/// Walks over JSON without reading what it says.
#[derive(Debug)]
pub(super) struct Scanner<'body> {
    pub(super) body: &'body [u8],
    pub(super) at: usize,
}

impl Scanner<'_> {
    pub(super) fn peek(&self) -> Option<u8> {
        self.body.get(self.at).copied()
    }

    pub(super) fn space(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    pub(super) fn expect(&mut self, wanted: u8) -> Option<()> {
        self.space();
        (self.peek()? == wanted).then(|| self.at += 1)
    }

    /// Steps over a string and gives the bytes between its quotes.
    pub(super) fn string(&mut self) -> Option<Range<usize>> {
        self.expect(b'"')?;
        let start = self.at;
        loop {
            let rest = self.body.get(self.at..)?;
            let found = memchr::memchr2(b'"', b'\\', rest)?;
            self.at += found + 1;
            if rest.get(found) == Some(&b'"') {
                return Some(start..self.at - 1);
            }
            self.at += 1;
        }
    }

    /// Steps over one value of any kind.
    pub(super) fn skip(&mut self) -> Option<()> {
        match self.peek()? {
            b'"' => self.string().map(drop),
            b'{' | b'[' => self.skip_nested(),
            _ => {
                let rest = self.body.get(self.at..)?;
                let length = rest
                    .iter()
                    .position(|byte| {
                        matches!(byte, b',' | b'}' | b']') || byte.is_ascii_whitespace()
                    })
                    .unwrap_or(rest.len());
                self.at += length;
                (length > 0).then_some(())
            }
        }
    }

    fn skip_nested(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            let rest = self.body.get(self.at..)?;
            let found = rest
                .iter()
                .position(|byte| matches!(byte, b'"' | b'{' | b'[' | b'}' | b']'))?;
            self.at += found;
            match rest.get(found)? {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                _ => depth -= 1,
            }
            self.at += 1;
            if depth == 0 {
                return Some(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(chunks: &[&[u8]]) -> Vec<String> {
        let told = |frame| match frame {
            Frame::Message(body) => String::from_utf8(body.to_vec()).expect("test text"),
            Frame::Garbage(text) => format!("garbage {text}"),
            Frame::Large(..) => panic!("nobody asked for pieces"),
        };
        split(chunks).into_iter().map(told).collect()
    }

    fn split(chunks: &[&[u8]]) -> Vec<Frame> {
        let mut decoder = Decoder::default();
        let mut result = Vec::new();
        for chunk in chunks {
            decoder.space().extend_from_slice(chunk);
            while let Some(frame) = decoder.next_frame().expect("small enough") {
                result.push(frame);
            }
        }
        result
    }

    #[test]
    fn headers_come_in_any_order_and_casing() {
        for (input, expected) in [
            ("Content-Length: 2\r\n\r\n{}", vec!["{}"]),
            ("content-length:2\r\n\r\n{}", vec!["{}"]),
            ("CONTENT-LENGTH : 2\n\n{}", vec!["{}"]),
            (
                "Content-Length-More: 9\r\nContent-Length: 2\r\n\r\n{}",
                vec!["{}"],
            ),
            (
                "Content-Type: application/vscode-jsonrpc\r\nX-More: 1\r\nContent-Length: 2\r\n\r\n{}",
                vec!["{}"],
            ),
            (
                "Content-Length: 2\r\n\r\n{}Content-Length: 3\r\n\r\n[1]",
                vec!["{}", "[1]"],
            ),
            ("Content-Length: 0\r\n\r\n", vec![""]),
        ] {
            assert_eq!(frames(&[input.as_bytes()]), expected, "{input:?}");
        }
    }

    #[test]
    fn messages_survive_being_cut_at_every_byte() {
        let input = b"Content-Length: 7\r\nContent-Type: x\r\n\r\n\"\xc3\xa9\xf0\x9f\x98\" Content-Length: 2\r\n\r\n{}";
        let whole = split(&[input]);
        for cut in 0..input.len() {
            let (left, right) = input.split_at(cut);
            assert_eq!(split(&[left, right]), whole, "cut at {cut}");
        }
    }

    #[test]
    fn rubbish_before_a_header_is_skipped_and_told_once() {
        for (input, expected) in [
            (
                "Starting up...\nContent-Length: 2\r\n\r\n{}",
                vec!["garbage Starting up...", "{}"],
            ),
            (
                "no line feedContent-Length: 2\r\n\r\n{}",
                vec!["garbage no line feed", "{}"],
            ),
            (
                "one\n\n\nContent-Length: 2\r\n\r\n{}two\nContent-Length: 2\r\n\r\n[]",
                vec!["garbage one", "{}", "[]"],
            ),
            (
                "Content-Length: many\r\n\r\nContent-Length: 2\r\n\r\n{}",
                vec!["garbage Content-Length: many", "{}"],
            ),
        ] {
            assert_eq!(frames(&[input.as_bytes()]), expected, "{input:?}");
        }
    }

    #[test]
    fn a_message_beyond_the_limit_is_refused() {
        let mut decoder = Decoder::default();
        decoder
            .space()
            .extend_from_slice(b"Content-Length: 99999999999\r\n\r\n");
        assert_eq!(
            decoder.next_frame(),
            Err(WireError::TooLarge(99_999_999_999))
        );
    }

    #[test]
    fn ids_and_methods_are_found_wherever_they_stand() {
        for (body, kind, id, method) in [
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"a/b","params":{"id":2,"method":"x"}}"#,
                Kind::Request,
                "1",
                "a/b",
            ),
            (
                r#"{"params":{"id":2,"s":"}]\"{\\"},"method":"a","id":"s-\"1"}"#,
                Kind::Request,
                r#""s-\"1""#,
                "a",
            ),
            (
                r#" { "method" : "n" , "params" : [1, {"id": 3}] } "#,
                Kind::Notification,
                "",
                "n",
            ),
            (
                r#"{"jsonrpc":"2.0","id":-7,"result":{"method":"no"}}"#,
                Kind::Response,
                "-7",
                "",
            ),
            (
                r#"{"result":null,"id":123456789012345678901234}"#,
                Kind::Response,
                "123456789012345678901234",
                "",
            ),
            (
                r#"{"id":null,"error":{"code":1}}"#,
                Kind::Response,
                "null",
                "",
            ),
            (
                r#"{"\u0069d":1,"m\u0065thod":"textDocument\/hover","i\u0064s":2}"#,
                Kind::Request,
                "1",
                "textDocument/hover",
            ),
            (
                r#"{"\u0072esult":1,"id":2,"method\u0022":"\/"}"#,
                Kind::Response,
                "2",
                "",
            ),
            (r#"{"method":"own\/a"}"#, Kind::Notification, "", r"own\/a"),
        ] {
            let envelope = Envelope::peek(body.as_bytes()).expect(body);
            assert_eq!(envelope.kind, kind, "{body}");
            assert_eq!(envelope.id(body.as_bytes()), id.as_bytes(), "{body}");
            assert_eq!(envelope.method(body.as_bytes()), method, "{body}");
        }
        for body in [
            "",
            "{",
            "[]",
            "3",
            r#"{"id"}"#,
            r#"{"a":1}"#,
            "{\"id\":",
            r#"{"method":3}"#,
            "{\"a\":[}",
        ] {
            assert_eq!(Envelope::peek(body.as_bytes()), None, "{body}");
        }
    }

    #[test]
    fn a_large_body_comes_in_pieces_where_that_is_wanted() {
        let length = LARGE_BYTES + 1;
        let mut stream = header(length).into_bytes();
        stream.resize(stream.len() + length, b'x');
        stream.extend_from_slice(b"Content-Length: 2\r\n\r\n{}");
        let mut decoder = Decoder::in_pieces();
        let (mut taken, mut after) = (0, None);
        let mut rest = 0;
        for chunk in stream.chunks(1000) {
            decoder.space().extend_from_slice(chunk);
            let piece = decoder.take(rest);
            (taken, rest) = (taken + piece.len(), rest - piece.len());
            match decoder.next_frame().expect("small enough") {
                Some(Frame::Large(head, whole)) => {
                    assert_eq!(whole, length);
                    (taken, rest) = (head.len(), whole - head.len());
                }
                Some(frame) => after = Some(frame),
                None => {}
            }
        }
        assert_eq!(taken, length);
        assert_eq!(after, Some(Frame::Message(Bytes::from_static(b"{}"))));
    }

    #[test]
    fn an_id_is_replaced_in_place() {
        let body = Bytes::from_static(br#"{"x":1e3,"id":17,"method":"m"}"#);
        let envelope = Envelope::peek(&body).expect("a request");
        let range = envelope.id.expect("it has one");
        assert_eq!(
            with_id(&body, range, br#""p-1""#),
            Bytes::from_static(br#"{"x":1e3,"id":"p-1","method":"m"}"#)
        );
    }

    #[test]
    fn batches_are_split() {
        let body = Bytes::from_static(br#" [ {"id":1} ,{"method":"]"}] "#);
        let parts = split_batch(&body).expect("an array");
        assert_eq!(parts, [&br#"{"id":1}"#[..], &br#"{"method":"]"}"#[..]]);
        assert_eq!(split_batch(&Bytes::from_static(b"{}")), None);
    }
}
