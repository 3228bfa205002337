//! Positions of a message in another encoding: so that an editor and a server that count columns differently can talk
//! (spec: LSP Manager, position encodings).
//!
//! [`walk`] finds the places by the shapes of [`super::protocol`], [`columns`] and [`tokens`] count them anew in the
//! texts that they are of, and here the numbers that changed are put into the bytes. Nothing else of a message is
//! touched, and a message in which no number changes stays the bytes that it was: which is always so where the lines
//! are ASCII, because there every encoding counts alike.

mod changes;
mod columns;
mod tokens;
mod walk;

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use bytes::{Bytes, BytesMut};

use super::protocol::{Leaf, Leaves, Method, Shape};
use crate::text::documents::Document;
use crate::text::position::{Encoding, Lines, Position};

pub use changes::{cell_changes, changes};
pub use tokens::Memory;
use walk::{Site, Slot, Walk};

/// What is counted in columns.
const COUNTED: Leaves = Leaves::of(&[Leaf::Position, Leaf::Fold, Leaf::Tokens]);

/// From which encoding to which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// The sender's encoding.
    pub from: Encoding,
    /// The receiver's encoding.
    pub to: Encoding,
}

/// Which part of a message it is about, and what is known of it.
#[derive(Debug, Clone, Copy)]
pub struct Place<'uri> {
    /// The part.
    pub part: Part,
    /// What it looks like.
    pub shape: Shape,
    /// The document whose positions they are where the part itself names none: for a result, that of its request.
    pub document: Option<&'uri str>,
}

/// A part of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// `params`
    Params,
    /// `result`
    Result,
    /// `params.value` of a progress notification: a part of a result.
    Progress,
}

/// A text and its lines.
#[derive(Debug, Clone)]
pub struct Text<'text> {
    text: Cow<'text, str>,
    lines: Cow<'text, Lines>,
}

/// Gives the text of a document, if it is known.
pub type Texts<'source, 'text> = dyn FnMut(&str) -> Option<Text<'text>> + 'source;

impl Turn {
    /// The way back.
    pub fn back(self) -> Self {
        Self {
            from: self.to,
            to: self.from,
        }
    }

    /// Whether there is nothing to do.
    pub fn is_none(self) -> bool {
        self.from == self.to
    }
}

impl<'uri> Place<'uri> {
    /// The parameters of a request or notification.
    pub fn params(method: &Method) -> Self {
        Self {
            part: Part::Params,
            shape: method.params,
            document: None,
        }
    }

    /// The result of a request that was about this document.
    pub fn result(method: &Method, document: Option<&'uri str>) -> Self {
        Self {
            part: Part::Result,
            shape: method.result,
            document,
        }
    }

    /// A part of the result of a request that was about this document.
    pub fn progress(method: &Method, document: Option<&'uri str>) -> Self {
        Self {
            part: Part::Progress,
            shape: method.partial,
            document,
        }
    }
}

impl<'text> Text<'text> {
    /// A text of which only the characters are at hand.
    pub fn new(text: impl Into<Cow<'text, str>>) -> Self {
        let text = text.into();
        Self {
            lines: Cow::Owned(Lines::new(&text)),
            text,
        }
    }

    /// The text of an open document.
    pub fn of(document: &'text Document) -> Self {
        Self {
            text: Cow::Borrowed(document.text()),
            lines: Cow::Borrowed(document.lines()),
        }
    }

    fn replace(&mut self, range: Range<usize>, with: &str) {
        self.lines.to_mut().replace(self.text.to_mut(), range, with);
    }

    fn line(&self, line: u32) -> Option<&str> {
        self.lines.line(&self.text, line)
    }

    /// Everything from a byte of a line on.
    fn after(&self, line: u32, byte: usize) -> &str {
        let character = u32::try_from(byte).unwrap_or(u32::MAX);
        let position = Position { line, character };
        let start = self.lines.offset(&self.text, position, Encoding::Utf8);
        self.text.get(start..).unwrap_or_default()
    }
}

/// The message with the positions of one part counted in the receiver's encoding. Positions in documents without a
/// text stay as they are, and so does a message that cannot be read.
pub fn message(body: &Bytes, place: Place<'_>, turn: Turn, texts: &mut Texts<'_, '_>) -> Bytes {
    if turn.is_none() || !place.shape.holds().meets(COUNTED) {
        return body.clone();
    }
    match Walk::over(body, place.part, place.shape) {
        Some(found) => spliced(body, replacements(body, found, place.document, turn, texts)),
        None => body.clone(),
    }
}

/// The URI of the document that a message's parameters are about.
pub fn document<'body>(body: &'body [u8], method: &Method) -> Option<Cow<'body, str>> {
    if method.document.is_empty() {
        return None;
    }
    let range = walk::string_at(body, Part::Params, method.document)?;
    walk::unescaped(body, range)
}

/// A number of a message and what stands in its place.
type Replacement = (Range<usize>, u32);

/// The numbers that change.
fn replacements(
    body: &[u8],
    mut found: Walk<'_>,
    document: Option<&str>,
    turn: Turn,
    texts: &mut Texts<'_, '_>,
) -> Vec<Replacement> {
    let mut named = Named::default();
    let documents = named.by_slot(body, &found.slots, document);
    let of = |slot: usize| documents.get(slot).copied().flatten();
    let mut replacements = Vec::new();

    let place = |site: &Site| (of(site.slot), site.line, site.character);
    found.sites.sort_unstable_by_key(place);
    let same_document = |one: &Site, other: &Site| of(one.slot) == of(other.slot);
    for sites in found.sites.chunk_by(same_document) {
        let document = sites.first().and_then(|site| of(site.slot));
        let Some(text) = document.and_then(|document| named.text(document, texts)) else {
            continue;
        };
        for sites in sites.chunk_by(|one, other| one.line == other.line) {
            let line = sites.first().and_then(|site| text.line(site.line));
            columns::turned(sites, line.unwrap_or_default(), turn, &mut replacements);
        }
    }
    for run in &found.tokens {
        let text = of(run.slot).and_then(|document| named.text(document, texts));
        if let Some(text) = text {
            tokens::turned(&run.numbers, text, turn, &mut replacements);
        }
    }
    replacements.sort_unstable_by_key(|(range, _)| range.start);
    replacements
}

/// The documents that a message names, and their texts as far as they were asked for.
#[derive(Debug, Default)]
struct Named<'uri, 'text> {
    indices: HashMap<Cow<'uri, str>, usize>,
    texts: Vec<(Cow<'uri, str>, Known<'text>)>,
}

/// What is known of a document.
#[derive(Debug)]
enum Known<'text> {
    /// Nobody asked for its text yet.
    Unasked,
    /// Its text, if it has one.
    Asked(Option<Text<'text>>),
}

impl<'uri, 'text> Named<'uri, 'text> {
    /// For each slot the document that its positions are of, if any.
    fn by_slot(
        &mut self,
        body: &'uri [u8],
        slots: &[Slot],
        outermost: Option<&'uri str>,
    ) -> Vec<Option<usize>> {
        let mut documents: Vec<Option<usize>> = Vec::with_capacity(slots.len());
        for slot in slots {
            let own = match &slot.uri {
                Some((range, _)) => walk::unescaped(body, range.clone()),
                None if slot.parent.is_none() => outermost.map(Cow::Borrowed),
                None => None,
            };
            // The slot around this one came before it.
            let around = slot.parent.and_then(|parent| *documents.get(parent)?);
            documents.push(own.map(|uri| self.index(uri)).or(around));
        }
        documents
    }

    fn index(&mut self, uri: Cow<'uri, str>) -> usize {
        let texts = &mut self.texts;
        *self.indices.entry(uri).or_insert_with_key(|uri| {
            texts.push((uri.clone(), Known::Unasked));
            texts.len() - 1
        })
    }

    fn text(&mut self, index: usize, texts: &mut Texts<'_, 'text>) -> Option<&Text<'text>> {
        let (uri, known) = self.texts.get_mut(index)?;
        if let Known::Unasked = known {
            *known = Known::Asked(texts(uri));
        }
        match known {
            Known::Asked(text) => text.as_ref(),
            Known::Unasked => None,
        }
    }
}

/// The body with other numbers in it; the replacements are in the order of their places.
fn spliced(body: &Bytes, replacements: Vec<Replacement>) -> Bytes {
    if replacements.is_empty() {
        return body.clone();
    }
    // A number grows by a few digits at most; one more allocation is cheaper than counting first.
    let mut result = BytesMut::with_capacity(body.len() + replacements.len() * 2);
    let mut at = 0;
    for (range, number) in replacements {
        result.extend_from_slice(body.get(at..range.start).unwrap_or_default());
        result.extend_from_slice(number.to_string().as_bytes());
        at = range.end;
    }
    result.extend_from_slice(body.get(at..).unwrap_or_default());
    result.freeze()
}

#[cfg(test)]
mod tests;
