//! Takes secrets out of what comes in pieces, however it was cut (spec: No secrets in logs or traces).
//!
//! What may be the beginning of a secret is held back: the line that is not finished, a private key that is not
//! finished, and as much as a known secret of several lines may still need. What is held has a limit; a line that is
//! longer is let go in parts.

use super::{Redactor, found, shapes};
use crate::redact::MASK;

/// Bytes that are held back for the end of a line.
pub const HELD_BYTES_MAX: usize = 256 * 1024;

/// Bytes of an endless line that stay held when the rest of it is let go.
const TAIL_BYTES: usize = 16 * 1024;

/// Cleans a stream.
#[derive(Debug)]
pub struct Filter {
    redactor: Redactor,
    held: Vec<u8>,
}

impl Filter {
    /// A filter that nothing went through yet.
    pub fn new(redactor: Redactor) -> Self {
        Self {
            redactor,
            held: Vec::new(),
        }
    }

    /// Takes the next piece; adds what is clean to `out`.
    pub fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        self.held.extend_from_slice(piece);
        // Without the end of a line in it nothing can be let go before the limit.
        if memchr::memchr(b'\n', piece).is_some() || self.held.len() > HELD_BYTES_MAX {
            let until = self.safe();
            self.release(until, out);
        }
    }

    /// The stream is at its end: gives the rest.
    pub fn finish(mut self, out: &mut Vec<u8>) {
        let until = self.held.len();
        self.release(until, out);
    }

    /// How much can be said of for sure.
    fn safe(&self) -> usize {
        let known = self.redactor.known();
        let room = if known.has_lines { known.longest } else { 0 };
        let certain = self.held.len().saturating_sub(room);
        let certain = self.held.get(..certain).unwrap_or_default();
        // Lines stay whole: what a value is called stands before it.
        let mut safe = memchr::memrchr(b'\n', certain).map_or(0, |end| end + 1);
        if let Some(begin) = shapes::open_key(&self.held) {
            safe = safe.min(begin);
        }
        if self.held.len() > HELD_BYTES_MAX {
            let tail = TAIL_BYTES.max(known.longest);
            safe = safe.max(self.held.len().saturating_sub(tail));
        }
        safe
    }

    /// Lets go what stands before `until`, without cutting a secret in two.
    fn release(&mut self, until: usize, out: &mut Vec<u8>) {
        if until == 0 {
            return;
        }
        let spans = found(&self.redactor.known(), &self.held);
        let mut from = 0;
        let mut until = until;
        for span in spans {
            if span.start >= until {
                break;
            }
            out.extend_from_slice(self.held.get(from..span.start).unwrap_or_default());
            if span.end > until && until < self.held.len() && self.held.len() <= HELD_BYTES_MAX {
                // It goes on in what is held.
                until = span.start;
                from = span.start;
                break;
            }
            out.extend_from_slice(MASK.as_bytes());
            from = span.end;
            until = until.max(span.end);
        }
        out.extend_from_slice(self.held.get(from..until).unwrap_or_default());
        self.held.drain(..until);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A text with secrets of every kind, among them one of several lines.
    fn text() -> (Redactor, String) {
        let redactor = Redactor::new([
            "correct horse".to_owned(),
            "one line\nand another".to_owned(),
        ]);
        let body = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7\n".repeat(3);
        let text = format!(
            "a correct horse\nY29ycmVjdCBob3JzZQ== b\nan one line\nand another c\n\
             key: glpat-x7Kq2_mPz9RtVw4Ys8Nb\n-----BEGIN PRIVATE KEY-----\n{body}-----END PRIVATE KEY-----\n\
             \"api_key\": \"q7Vd93kfPz02Lm8XbT41\", postgres://u:s3cr3tpw@h/ \u{fc}\nno end"
        );
        (redactor, text)
    }

    #[test]
    fn the_pieces_in_which_a_stream_comes_make_no_difference() {
        let (redactor, text) = text();
        let expected = redactor.clean(&text).into_owned();
        assert_eq!(expected.matches(MASK).count(), 7, "{expected}");
        for size in (1..40).chain([text.len()]) {
            let mut filter = Filter::new(redactor.clone());
            let mut out = Vec::new();
            for piece in text.as_bytes().chunks(size) {
                filter.push(piece, &mut out);
            }
            filter.finish(&mut out);
            assert_eq!(String::from_utf8_lossy(&out), expected, "pieces of {size}");
        }
    }

    #[test]
    fn a_line_comes_out_when_it_is_finished_and_an_endless_one_in_parts() {
        let (redactor, _) = text();
        let mut filter = Filter::new(Redactor::new(["correct horse".to_owned()]));
        let mut out = Vec::new();
        filter.push(b"one\ncorrect ho", &mut out);
        assert_eq!(out, b"one\n");
        filter.push(b"rse\n", &mut out);
        assert_eq!(out, b"one\n[redacted]\n");
        let mut filter = Filter::new(redactor);
        let mut out = Vec::new();
        for _ in 0..40_000 {
            filter.push(b"0123 correct horse ", &mut out);
            assert!(filter.held.len() <= HELD_BYTES_MAX + 64);
        }
        filter.finish(&mut out);
        let out = String::from_utf8_lossy(&out);
        assert_eq!(out.matches("0123 [redacted] ").count(), 40_000);
    }
}
