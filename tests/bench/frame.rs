//! The framing of the protocol on blocking streams, with as few copies and calls as there can be: nothing of ours is in
//! the figures.

use std::io::{self, Read};

use memchr::memmem;

/// Space made ready before each read.
const READ_BYTES: usize = 1 << 18;

/// A whole message: header and body in one piece.
pub(crate) fn framed(body: &[u8]) -> Vec<u8> {
    let mut message = format!("Content-Length: {}\r\n\r\n", body.len()).into_bytes();
    message.extend_from_slice(body);
    message
}

/// Reads messages from a stream.
pub(crate) struct Reader<R> {
    input: R,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    last: std::ops::Range<usize>,
}

impl<R: Read> Reader<R> {
    pub(crate) fn new(input: R) -> Self {
        Self {
            input,
            buffer: vec![0; READ_BYTES],
            start: 0,
            end: 0,
            last: 0..0,
        }
    }

    /// The next body.
    pub(crate) fn read(&mut self) -> io::Result<&[u8]> {
        let (head, length) = loop {
            if let Some(found) = self.header() {
                break found;
            }
            self.fill(READ_BYTES / 2)?;
        };
        while self.end - self.start < head + length {
            let missing = head + length - (self.end - self.start);
            self.fill(missing)?;
        }
        self.last = self.start + head..self.start + head + length;
        self.start = self.last.end;
        Ok(self.last())
    }

    /// The body that was read last.
    pub(crate) fn last(&self) -> &[u8] {
        &self.buffer[self.last.clone()]
    }

    /// Whether the next body is here already.
    pub(crate) fn is_ready(&self) -> bool {
        self.header()
            .is_some_and(|(head, length)| self.end - self.start >= head + length)
    }

    /// Length of the header and of the body, when the header is whole.
    fn header(&self) -> Option<(usize, usize)> {
        let here = &self.buffer[self.start..self.end];
        let end = memmem::find(here, b"\r\n\r\n")?;
        let head = std::str::from_utf8(&here[..end]).expect("headers are text");
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length")
                .then(|| value.trim().parse().expect("a length is a number"))
        });
        Some((end + 4, length.expect("a header has a length")))
    }

    /// Reads once, with room for so many bytes.
    fn fill(&mut self, room: usize) -> io::Result<()> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        if self.buffer.len() - self.end < room {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            if self.buffer.len() - self.end < room {
                self.buffer.resize(self.end + room, 0);
            }
        }
        match self.input.read(&mut self.buffer[self.end..])? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                self.end += read;
                Ok(())
            }
        }
    }
}
