//! Reads server-sent events from bytes as they come (spec: Response streaming).
//!
//! The bytes may be split anywhere, also inside a character or between the two bytes of a line end. Lines end in LF,
//! CRLF or CR; comments and unknown fields are skipped; several `data` lines of one event are joined by a newline.

use memchr::memchr2;

/// Bytes that one event may have.
pub const EVENT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// One event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Event {
    /// Its name; empty when the server gave none.
    pub name: String,
    /// Its data.
    pub data: String,
}

/// The stream is longer than we are willing to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("one event of the stream is longer than {EVENT_BYTES_MAX} bytes")]
pub struct TooLong;

/// Turns bytes into events.
#[derive(Debug, Default)]
pub struct Decoder {
    line: Vec<u8>,
    event: Event,
    has_data: bool,
    /// The last byte was a CR, so an LF that follows belongs to it.
    after_return: bool,
    /// A byte order mark can only stand before the first line.
    after_first_line: bool,
}

impl Decoder {
    /// Reads bytes and appends the events that they complete.
    pub fn push(&mut self, mut bytes: &[u8], events: &mut Vec<Event>) -> Result<(), TooLong> {
        while let Some(first) = bytes.first() {
            if self.after_return {
                self.after_return = false;
                if *first == b'\n' {
                    bytes = bytes.get(1..).unwrap_or_default();
                    continue;
                }
            }
            let end = memchr2(b'\n', b'\r', bytes);
            let (part, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
            if self.line.len() + self.event.data.len() + part.len() > EVENT_BYTES_MAX {
                return Err(TooLong);
            }
            let Some(ending) = rest.first() else {
                self.line.extend_from_slice(part);
                return Ok(());
            };
            self.after_return = *ending == b'\r';
            if self.line.is_empty() {
                self.take_line(part, events);
            } else {
                let mut line = std::mem::take(&mut self.line);
                line.extend_from_slice(part);
                self.take_line(&line, events);
                line.clear();
                self.line = line;
            }
            bytes = rest.get(1..).unwrap_or_default();
        }
        Ok(())
    }

    /// Ends the stream. Servers that forget the last empty line, or the last line end, are understood: what is pending
    /// comes as a last event, and whoever reads it finds out whether it is whole.
    pub fn finish(mut self) -> Option<Event> {
        let line = std::mem::take(&mut self.line);
        let mut events = Vec::new();
        if !line.is_empty() {
            self.take_line(&line, &mut events);
        }
        self.take_line(b"", &mut events);
        events.pop()
    }

    fn take_line(&mut self, mut line: &[u8], events: &mut Vec<Event>) {
        if !self.after_first_line {
            self.after_first_line = true;
            line = line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line);
        }
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            if std::mem::take(&mut self.has_data) {
                events.push(event);
            }
            return;
        }
        let colon = memchr::memchr(b':', line).unwrap_or(line.len());
        let (field, value) = line.split_at(colon);
        let value = value.strip_prefix(b":").unwrap_or(value);
        let value = String::from_utf8_lossy(value.strip_prefix(b" ").unwrap_or(value));
        match field {
            b"data" => {
                if self.has_data {
                    self.event.data.push('\n');
                }
                self.has_data = true;
                self.event.data.push_str(&value);
            }
            b"event" => self.event.name = value.into_owned(),
            // A comment begins with a colon; `id` and `retry` are for clients that reconnect, which we never do.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(parts: &[&[u8]]) -> Vec<Event> {
        let (mut decoder, mut events) = (Decoder::default(), Vec::new());
        for part in parts {
            decoder.push(part, &mut events).expect("short enough");
        }
        events.extend(decoder.finish());
        events
    }

    fn event(name: &str, data: &str) -> Event {
        Event {
            name: name.to_owned(),
            data: data.to_owned(),
        }
    }

    #[test]
    fn a_stream_reads_the_same_wherever_it_is_split() {
        let text = "\u{feff}: hello\r\ndata: {\"a\": \"é😀\"}\r\n\r\nevent: ping\ndata\n\nid: 7\rdata:x\rdata: y\r\r\
                    retry: 10\nunknown: 1\n\ndata: [DONE]\n\n";
        let expected = [
            event("", "{\"a\": \"é😀\"}"),
            event("ping", ""),
            event("", "x\ny"),
            event("", "[DONE]"),
        ];
        let bytes = text.as_bytes();
        for split in 0..=bytes.len() {
            let (left, right) = bytes.split_at(split);
            assert_eq!(decode(&[left, right]), expected, "split at {split}");
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(decode(&single), expected);
    }

    #[test]
    fn a_last_event_without_its_empty_line_still_comes() {
        assert_eq!(
            decode(&[b"data: a\n\ndata: b"]),
            [event("", "a"), event("", "b")]
        );
        assert_eq!(decode(&[b"data: a\n\n"]), [event("", "a")]);
        assert_eq!(decode(&[b": only a comment\n\n"]), []);
    }

    #[test]
    fn an_event_without_end_is_refused() {
        let mut decoder = Decoder::default();
        let mut events = Vec::new();
        let chunk = vec![b'x'; 1024 * 1024];
        let mut pushed = 0;
        while decoder.push(&chunk, &mut events).is_ok() {
            pushed += chunk.len();
            assert!(pushed <= EVENT_BYTES_MAX);
        }
        assert_eq!(pushed, EVENT_BYTES_MAX);
    }
}
