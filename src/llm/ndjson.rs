//! Reads lines of JSON from bytes as they come (spec: Response streaming).

use memchr::memchr;

use super::sse::{EVENT_BYTES_MAX, Event, TooLong};

/// Turns bytes into events, one for each line that is not empty.
#[derive(Debug, Default)]
pub struct Decoder {
    line: Vec<u8>,
}

impl Decoder {
    /// Reads bytes and appends the lines that they complete.
    pub fn push(&mut self, mut bytes: &[u8], events: &mut Vec<Event>) -> Result<(), TooLong> {
        while let Some(end) = memchr(b'\n', bytes) {
            let (part, rest) = bytes.split_at(end);
            self.extend(part)?;
            bytes = rest.get(1..).unwrap_or_default();
            events.extend(self.finish());
        }
        self.extend(bytes)
    }

    /// What is left: the last line, when nothing ends it.
    pub fn finish(&mut self) -> Option<Event> {
        let line = std::mem::take(&mut self.line);
        let data = String::from_utf8_lossy(&line).trim().to_owned();
        (!data.is_empty()).then(|| Event {
            name: String::new(),
            data,
        })
    }

    fn extend(&mut self, part: &[u8]) -> Result<(), TooLong> {
        if self.line.len() + part.len() > EVENT_BYTES_MAX {
            return Err(TooLong);
        }
        self.line.extend_from_slice(part);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_read_the_same_wherever_they_are_split() {
        let bytes = "{\"a\": \"é😀\"}\r\n\n{\"b\": 1}\n{\"c\":".as_bytes();
        for split in 0..=bytes.len() {
            let (mut decoder, mut events) = (Decoder::default(), Vec::new());
            let (left, right) = bytes.split_at(split);
            decoder.push(left, &mut events).expect("short enough");
            decoder.push(right, &mut events).expect("short enough");
            events.extend(decoder.finish());
            let lines: Vec<&str> = events.iter().map(|event| event.data.as_str()).collect();
            let expected = ["{\"a\": \"é😀\"}", "{\"b\": 1}", "{\"c\":"];
            assert_eq!(lines, expected, "split at {split}");
        }
    }

    #[test]
    fn a_line_without_end_is_refused() {
        let (mut decoder, mut events) = (Decoder::default(), Vec::new());
        let chunk = vec![b'x'; EVENT_BYTES_MAX / 2 + 1];
        decoder.push(&chunk, &mut events).expect("short enough");
        assert_eq!(decoder.push(&chunk, &mut events), Err(TooLong));
    }
}
