//! Finds the numbers that count columns in a message, in one pass over its bytes.
//!
//! A position belongs to a document that is named somewhere around it, before or after it. So every object that can
//! name a document opens a slot, positions remember their slot, and slots get their documents when the pass is over.
//! The pass keeps its own stack: nesting in a message is as deep as its sender likes.

use std::borrow::Cow;
use std::ops::Range;

use super::{COUNTED, Part};
use crate::downstream::protocol::{Leaf, Shape};
use crate::downstream::wire::Scanner;

/// What was found.
#[derive(Debug)]
pub(super) struct Walk<'body> {
    scanner: Scanner<'body>,
    stack: Vec<Frame>,
    /// Places where a document may be named; the first is the outermost.
    pub(super) slots: Vec<Slot>,
    /// Columns of positions. Column zero is left out: it is zero in every encoding.
    pub(super) sites: Vec<Site>,
    /// Runs of semantic tokens.
    pub(super) tokens: Vec<Run>,
}

/// Where a document may be named.
#[derive(Debug)]
pub(super) struct Slot {
    /// The slot around it; `None` for the outermost.
    pub(super) parent: Option<usize>,
    /// The URI in the message without its quotes, and how good a name it is: less is better.
    pub(super) uri: Option<(Range<usize>, usize)>,
}

/// A column in the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Site {
    /// The slot whose document it is in.
    pub(super) slot: usize,
    /// Its line.
    pub(super) line: u32,
    /// The column.
    pub(super) character: u32,
    /// Where the column stands in the message.
    pub(super) at: Range<usize>,
}

/// Numbers of semantic tokens.
#[derive(Debug)]
pub(super) struct Run {
    /// The slot whose document they are in.
    pub(super) slot: usize,
    /// The numbers, each with its place in the message.
    pub(super) numbers: Vec<(u32, Range<usize>)>,
}

/// An object or a list that the pass is in.
#[derive(Debug, Clone, Copy)]
struct Frame {
    kind: Kind,
    shape: Shape,
    slot: usize,
    watch: Option<Watch>,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Object,
    ByUri,
    List,
}

/// A key of an object that names the document of a slot further out.
#[derive(Debug, Clone, Copy)]
struct Watch {
    key: &'static str,
    slot: usize,
    rank: usize,
}

impl<'body> Walk<'body> {
    /// Walks over a part of a message. `None`: it cannot be read. A part that is not there holds nothing.
    pub(super) fn over(body: &'body [u8], part: Part, shape: Shape) -> Option<Self> {
        let mut walk = Self::new(body);
        if seek_part(&mut walk.scanner, part)? {
            walk.value(shape, 0, None)?;
            walk.rest()?;
        }
        Some(walk)
    }

    /// Walks over the value that begins at a byte of a message.
    pub(super) fn over_value(body: &'body [u8], at: usize, shape: Shape) -> Option<Self> {
        let mut walk = Self::new(body);
        walk.scanner.at = at;
        walk.value(shape, 0, None)?;
        walk.rest()?;
        Some(walk)
    }

    fn new(body: &'body [u8]) -> Self {
        Self {
            scanner: Scanner { body, at: 0 },
            stack: Vec::new(),
            slots: vec![Slot {
                parent: None,
                uri: None,
            }],
            sites: Vec::new(),
            tokens: Vec::new(),
        }
    }

    /// Walks on until nothing is open.
    fn rest(&mut self) -> Option<()> {
        while let Some(frame) = self.stack.last().copied() {
            match frame.kind {
                Kind::List => {
                    if next_element(&mut self.scanner)? {
                        self.value(frame.shape, frame.slot, None)?;
                        continue;
                    }
                }
                Kind::Object => {
                    if let Next::Key(key) = next_key(&mut self.scanner)? {
                        self.property(frame, key)?;
                        continue;
                    }
                }
                Kind::ByUri => {
                    if let Next::Key(key) = next_key(&mut self.scanner)? {
                        let slot = self.open_slot(frame.slot, Some((key, 0)));
                        self.value(frame.shape, slot, None)?;
                        continue;
                    }
                }
            }
            self.stack.pop();
        }
        Some(())
    }

    /// One property of an object, the scanner being at its value.
    fn property(&mut self, frame: Frame, key: Range<usize>) -> Option<()> {
        let name = std::str::from_utf8(self.scanner.body.get(key)?).ok()?;
        if let Some(watch) = frame.watch.filter(|watch| watch.key == name) {
            return self.uri(watch);
        }
        let documents = frame.shape.documents().iter().enumerate();
        let mut inner = None;
        for (rank, way) in documents {
            let slot = frame.slot;
            match way {
                [key] if *key == name => return self.uri(Watch { key, slot, rank }),
                [outer, key] if *outer == name => inner = Some(Watch { key, slot, rank }),
                _ => {}
            }
        }
        let slot = if frame.shape.is_outer(name) {
            let slot = self.slots.get(frame.slot)?;
            slot.parent.unwrap_or(frame.slot)
        } else {
            frame.slot
        };
        match frame.shape.key(name) {
            Some(shape) if inner.is_some() || shape.holds().meets(COUNTED) => {
                self.value(shape, slot, inner)
            }
            _ => self.scanner.skip(),
        }
    }

    /// A value that names a slot's document, if it is a text.
    fn uri(&mut self, watch: Watch) -> Option<()> {
        if self.scanner.peek()? != b'"' {
            return self.scanner.skip();
        }
        let uri = self.scanner.string()?;
        let slot = self.slots.get_mut(watch.slot)?;
        if slot.uri.as_ref().is_none_or(|(_, rank)| *rank > watch.rank) {
            slot.uri = Some((uri, watch.rank));
        }
        Some(())
    }

    /// Begins a value; what is inside it is walked over later.
    fn value(&mut self, shape: Shape, slot: usize, watch: Option<Watch>) -> Option<()> {
        let first = self.scanner.peek()?;
        match (first, shape.leaf()) {
            (b'{', Some(Leaf::Position)) => return self.position(slot),
            (b'{', Some(Leaf::Fold)) => return self.fold(slot),
            (b'[', Some(Leaf::Tokens)) => return self.run(slot),
            _ => {}
        }
        let (kind, shape, slot) = match (first, shape.values(), shape.element()) {
            (b'{', Some(values), _) => (Kind::ByUri, values, slot),
            (b'{', None, _) if shape.documents().is_empty() => (Kind::Object, shape, slot),
            (b'{', None, _) => (Kind::Object, shape, self.open_slot(slot, None)),
            (b'[', _, Some(element)) => (Kind::List, element, slot),
            _ => return self.scanner.skip(),
        };
        self.scanner.at += 1;
        self.stack.push(Frame {
            kind,
            shape,
            slot,
            watch,
        });
        Some(())
    }

    fn open_slot(&mut self, parent: usize, uri: Option<(Range<usize>, usize)>) -> usize {
        self.slots.push(Slot {
            parent: Some(parent),
            uri,
        });
        self.slots.len() - 1
    }

    fn position(&mut self, slot: usize) -> Option<()> {
        let [line, character] = self.numbers(["line", "character"])?;
        self.site(slot, line, character);
        Some(())
    }

    fn fold(&mut self, slot: usize) -> Option<()> {
        let keys = ["startLine", "startCharacter", "endLine", "endCharacter"];
        let [start_line, start, end_line, end] = self.numbers(keys)?;
        self.site(slot, start_line, start);
        self.site(slot, end_line, end);
        Some(())
    }

    fn site(&mut self, slot: usize, line: Number, character: Number) {
        let (Some((line, _)), Some((character, at))) = (line, character) else {
            return;
        };
        if character > 0 {
            self.sites.push(Site {
                slot,
                line,
                character,
                at,
            });
        }
    }

    fn run(&mut self, slot: usize) -> Option<()> {
        self.scanner.at += 1;
        let mut numbers = Vec::new();
        while next_element(&mut self.scanner)? {
            // With a gap in them nobody can tell which number means what.
            numbers.push(self.number()??);
        }
        self.tokens.push(Run { slot, numbers });
        Some(())
    }

    /// The numbers behind some keys of the object that begins here.
    fn numbers<const COUNT: usize>(&mut self, keys: [&str; COUNT]) -> Option<[Number; COUNT]> {
        self.scanner.at += 1;
        let mut found = [const { None }; COUNT];
        while let Next::Key(key) = next_key(&mut self.scanner)? {
            let name = self.scanner.body.get(key)?;
            let wanted = keys.iter().zip(&mut found);
            match wanted.into_iter().find(|(key, _)| key.as_bytes() == name) {
                Some((_, number)) => *number = self.number()?,
                None => self.scanner.skip()?,
            }
        }
        Some(found)
    }

    /// The number that begins here and its place, if it is one that can count something.
    fn number(&mut self) -> Option<Number> {
        let start = self.scanner.at;
        self.scanner.skip()?;
        let raw = self.scanner.body.get(start..self.scanner.at)?;
        let place = start..self.scanner.at;
        Some(count(raw).map(|number| (number, place)))
    }
}

/// A number and its place, if it is one that can count something.
pub(super) type Number = Option<(u32, Range<usize>)>;

/// Reads a number as a count. `3.0` and `3e0` are 3; what is larger than every count is the largest.
fn count(raw: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(raw).ok()?;
    if let Ok(number) = text.parse::<u64>() {
        return Some(u32::try_from(number).unwrap_or(u32::MAX));
    }
    let number: f64 = text.parse().ok()?;
    if !(number >= 0.0 && number.fract() == 0.0) {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the cast saturates, which is what is wanted"
    )]
    Some(number as u32)
}

/// Moves to the next element of a list; `false` at its end.
fn next_element(scanner: &mut Scanner<'_>) -> Option<bool> {
    scanner.space();
    if scanner.peek()? == b',' {
        scanner.at += 1;
        scanner.space();
    }
    if scanner.peek()? == b']' {
        scanner.at += 1;
        return Some(false);
    }
    Some(true)
}

/// What comes next in an object.
enum Next {
    /// A property with this key.
    Key(Range<usize>),
    /// Its end.
    End,
}

/// Moves to the value of the next property of an object.
fn next_key(scanner: &mut Scanner<'_>) -> Option<Next> {
    scanner.space();
    if scanner.peek()? == b',' {
        scanner.at += 1;
        scanner.space();
    }
    if scanner.peek()? == b'}' {
        scanner.at += 1;
        return Some(Next::End);
    }
    let key = scanner.string()?;
    scanner.expect(b':')?;
    scanner.space();
    Some(Next::Key(key))
}

/// Moves to a part of the message; `false` when the message does not have it.
fn seek_part(scanner: &mut Scanner<'_>, part: Part) -> Option<bool> {
    match part {
        Part::Params => seek(scanner, "params"),
        Part::Result => seek(scanner, "result"),
        Part::Progress => {
            Some(seek(scanner, "params")? && scanner.peek()? == b'{' && seek(scanner, "value")?)
        }
    }
}

/// Moves into the object that begins here, to the value behind a key; `false` when it has no such key.
fn seek(scanner: &mut Scanner<'_>, wanted: &str) -> Option<bool> {
    scanner.expect(b'{')?;
    while let Next::Key(key) = next_key(scanner)? {
        if scanner.body.get(key)? == wanted.as_bytes() {
            return Some(true);
        }
        scanner.skip()?;
    }
    Some(false)
}

/// Moves to the end of a way through a part of the message; `None` when there is no such way.
fn seek_way(scanner: &mut Scanner<'_>, part: Part, way: &[&str]) -> Option<()> {
    seek_part(scanner, part)?.then_some(())?;
    follow(scanner, way)
}

/// Moves to the end of a way through the object that begins here.
fn follow(scanner: &mut Scanner<'_>, way: &[&str]) -> Option<()> {
    for key in way {
        seek(scanner, key)?.then_some(())?;
    }
    Some(())
}

/// The text at the end of a way through a part of a message, without its quotes.
pub(super) fn string_at(body: &[u8], part: Part, way: &[&str]) -> Option<Range<usize>> {
    let mut scanner = Scanner { body, at: 0 };
    seek_way(&mut scanner, part, way)?;
    scanner.string()
}

/// The value at the end of a way through a part of a message.
pub(super) fn value_at(body: &[u8], part: Part, way: &[&str]) -> Option<Range<usize>> {
    let mut scanner = Scanner { body, at: 0 };
    seek_way(&mut scanner, part, way)?;
    let start = scanner.at;
    scanner.skip()?;
    Some(start..scanner.at)
}

/// The text at the end of a way through the object that begins at a byte of a message, without its quotes.
pub(super) fn string_in(body: &[u8], at: usize, way: &[&str]) -> Option<Range<usize>> {
    let mut scanner = Scanner { body, at };
    follow(&mut scanner, way)?;
    scanner.string()
}

/// Where the value begins at the end of a way through the object that begins at a byte of a message.
pub(super) fn place_in(body: &[u8], at: usize, way: &[&str]) -> Option<usize> {
    let mut scanner = Scanner { body, at };
    follow(&mut scanner, way)?;
    Some(scanner.at)
}

/// The places of the elements of the list that begins at a byte of a message.
pub(super) fn elements(body: &[u8], at: usize) -> Option<Vec<Range<usize>>> {
    let mut scanner = Scanner { body, at };
    scanner.expect(b'[')?;
    let mut elements = Vec::new();
    while next_element(&mut scanner)? {
        let start = scanner.at;
        scanner.skip()?;
        elements.push(start..scanner.at);
    }
    Some(elements)
}

/// The number behind a key of the object that begins at a byte of a message, and its place.
pub(super) fn number_at(body: &[u8], at: usize, key: &str) -> Number {
    let mut walk = Walk::new(body);
    walk.scanner.at = at;
    let found = seek(&mut walk.scanner, key)?;
    found.then(|| walk.number())??
}

/// The text of a JSON string whose content is at this place.
pub(super) fn unescaped(body: &[u8], range: Range<usize>) -> Option<Cow<'_, str>> {
    let raw = body.get(range.clone())?;
    if memchr::memchr(b'\\', raw).is_none() {
        return std::str::from_utf8(raw).ok().map(Cow::Borrowed);
    }
    let quoted = body.get(range.start.checked_sub(1)?..range.end + 1)?;
    serde_json::from_slice(quoted).ok().map(Cow::Owned)
}
