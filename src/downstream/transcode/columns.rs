//! Columns of one line, counted in another encoding.

use super::walk::Site;
use super::{Replacement, Turn};

/// Walks along a line and counts its columns in both encodings.
#[derive(Debug, Clone)]
pub(super) struct Counter<'line> {
    rest: &'line str,
    turn: Turn,
    from: u32,
    to: u32,
}

impl<'line> Counter<'line> {
    /// At the beginning of a line, which is without its end.
    pub(super) fn new(line: &'line str, turn: Turn) -> Self {
        Self {
            rest: line,
            turn,
            from: 0,
            to: 0,
        }
    }

    /// Goes on to a column of the sender's, which must not be behind, and gives the receiver's. A column inside a
    /// character is its start, and one beyond the line is the end of the line.
    pub(super) fn advance(&mut self, column: u32) -> u32 {
        let mut characters = self.rest.chars();
        while let Some(character) = characters.next() {
            let next = self.from + width(self.turn.from.width(character));
            if next > column {
                break;
            }
            self.from = next;
            self.to += width(self.turn.to.width(character));
            self.rest = characters.as_str();
        }
        self.to
    }

    /// How far the sender's columns are counted.
    pub(super) fn from(&self) -> u32 {
        self.from
    }

    /// What of the line is ahead.
    pub(super) fn rest(&self) -> &'line str {
        self.rest
    }
}

/// A character takes four columns at most.
fn width(columns: usize) -> u32 {
    u32::try_from(columns).unwrap_or(u32::MAX)
}

/// Notes which of the columns of one line change. They are in ascending order.
pub(super) fn turned(sites: &[Site], line: &str, turn: Turn, changed: &mut Vec<Replacement>) {
    if line.is_ascii() {
        return;
    }
    let mut counter = Counter::new(line, turn);
    for site in sites {
        let column = counter.advance(site.character);
        if column != site.character {
            changed.push((site.at.clone(), column));
        }
    }
}
