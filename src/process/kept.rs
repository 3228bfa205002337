//! What is kept of an output: its beginning and its end (spec: Execution Protection, capped output).
//!
//! Compilers and test runners say at the end what went wrong, so that the middle is what can be spared. Where something
//! is missing stands a line that says how much.

use std::collections::VecDeque;

/// Bytes that are given up at a cut so that it is between lines.
const PART_OF_A_LINE_MAX: usize = 4096;

/// The beginning and the end of an output.
#[derive(Debug)]
pub struct Kept {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    head_max: usize,
    tail_max: usize,
    dropped: usize,
}

impl Kept {
    /// Keeps up to so many bytes, half of them for the end.
    pub fn new(bytes_max: usize) -> Self {
        let head_max = bytes_max / 2;
        Self {
            head: Vec::new(),
            tail: VecDeque::new(),
            head_max,
            tail_max: bytes_max - head_max,
            dropped: 0,
        }
    }

    /// Takes the next piece.
    pub fn push(&mut self, piece: &[u8]) {
        let room = self.head_max - self.head.len();
        let (first, rest) = piece.split_at(room.min(piece.len()));
        self.head.extend_from_slice(first);
        let passed_by = rest.len().saturating_sub(self.tail_max);
        let last = rest.get(passed_by..).unwrap_or_default();
        let old = (self.tail.len() + last.len()).saturating_sub(self.tail_max);
        self.tail.drain(..old);
        self.tail.extend(last);
        self.dropped += passed_by + old;
    }

    /// Whether anything is missing.
    pub fn is_cut(&self) -> bool {
        self.dropped > 0
    }

    /// The same as [`Kept::bytes`], without another copy of what is short.
    pub fn into_bytes(self) -> Vec<u8> {
        if self.tail.is_empty() {
            return self.head;
        }
        self.bytes()
    }

    /// What is kept, with a line where something is missing.
    pub fn bytes(&self) -> Vec<u8> {
        let (first, second) = self.tail.as_slices();
        let tail = [first, second].concat();
        if !self.is_cut() {
            return [self.head.as_slice(), &tail].concat();
        }
        let part_max = PART_OF_A_LINE_MAX.min(self.tail_max / 4);
        let few = |bytes: &usize| *bytes <= part_max;
        let last_feed = memchr::memrchr(b'\n', &self.head);
        let begun = last_feed.map(|feed| self.head.len() - feed - 1);
        let begun = begun.filter(few).unwrap_or(0);
        let ending = memchr::memchr(b'\n', &tail).map(|feed| feed + 1);
        let ending = ending.filter(few).unwrap_or(0);
        let (head, _) = self.head.split_at(self.head.len() - begun);
        let (_, tail) = tail.split_at(ending);
        let missing = self.dropped + begun + ending;
        let is_between_lines = head.is_empty() || head.ends_with(b"\n");
        let feed = if is_between_lines { "" } else { "\n" };
        let mark = format!("{feed}[… {missing} bytes were not kept …]\n");
        [head, mark.as_bytes(), tail].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_and_the_end_are_kept_however_the_pieces_come() {
        let lines = (0..1000).map(|number| format!("line {number}\n"));
        let text = lines.collect::<Vec<_>>().concat();
        for size in [1, 7, 100, 4096, text.len()] {
            let mut kept = Kept::new(200);
            for piece in text.as_bytes().chunks(size) {
                kept.push(piece);
            }
            let bytes = kept.bytes();
            let shown = String::from_utf8(bytes).expect("whole lines");
            assert!(
                kept.is_cut() && shown.starts_with("line 0\nline 1\n"),
                "{shown}"
            );
            assert!(shown.ends_with("line 998\nline 999\n"), "{shown}");
            let told: usize = shown
                .lines()
                .find_map(|line| line.strip_prefix("[… ")?.split(' ').next()?.parse().ok())
                .expect("a mark");
            let lines = shown
                .split_inclusive('\n')
                .filter(|line| !line.starts_with('['));
            assert_eq!(told + lines.map(str::len).sum::<usize>(), text.len());
        }
    }

    #[test]
    fn what_fits_is_what_it_was_and_one_long_line_is_cut_within_it() {
        let mut kept = Kept::new(10);
        kept.push(b"01234");
        kept.push(b"56789");
        assert_eq!(
            (kept.is_cut(), kept.bytes()),
            (false, b"0123456789".to_vec())
        );
        kept.push(b"ab");
        let expected = "01234\n[… 2 bytes were not kept …]\n789ab";
        assert_eq!(String::from_utf8_lossy(&kept.bytes()), expected);
    }
}
