//! Changes of a text: each is counted in the text that the changes before it left.

use std::borrow::Cow;
use std::slice;

use bytes::Bytes;
use serde::Deserialize;

use super::columns::{self, Counter};
use super::walk::{self, Walk};
use super::{Part, Replacement, Text, Texts, Turn, spliced};
use crate::downstream::protocol::{self, Shape};
use crate::text::json::readable;
use crate::text::position::Span;

/// One change of `textDocument/didChange`.
#[derive(Deserialize)]
struct Change<'body> {
    range: Option<Span>,
    #[serde(borrow)]
    text: Cow<'body, str>,
}

/// A `textDocument/didChange` with its positions counted in the receiver's encoding; `before` is the text before it.
pub fn changes(body: &Bytes, before: &Text<'_>, turn: Turn) -> Bytes {
    if turn.is_none() {
        return body.clone();
    }
    let list = walk::value_at(body, Part::Params, &["contentChanges"]);
    match list.and_then(|list| replacements(body, list.start, before, turn)) {
        Some(replacements) => spliced(body, replacements),
        None => body.clone(),
    }
}

/// A `notebookDocument/didChange` with the positions in its cells counted in the receiver's encoding; `before` gives the
/// texts of cells before it. What is said of a cell without a text stays as it is.
pub fn cell_changes(body: &Bytes, before: &mut Texts<'_, '_>, turn: Turn) -> Bytes {
    if turn.is_none() {
        return body.clone();
    }
    match replacements_in_cells(body, before, turn) {
        Some(replacements) => spliced(body, replacements),
        None => body.clone(),
    }
}

fn replacements_in_cells(
    body: &[u8],
    before: &mut Texts<'_, '_>,
    turn: Turn,
) -> Option<Vec<Replacement>> {
    let cells = walk::value_at(body, Part::Params, &["change", "cells", "textContent"])?;
    let mut numbers = Vec::new();
    for cell in walk::elements(body, cells.start)? {
        let uri = walk::string_in(body, cell.start, &["document", "uri"])?;
        let uri = walk::unescaped(body, uri)?;
        if let Some(text) = before(&uri) {
            let list = walk::place_in(body, cell.start, &["changes"])?;
            numbers.extend(replacements(body, list, &text, turn)?);
        }
    }
    Some(numbers)
}

/// The numbers that change in the list of changes of a text that begins at a byte.
fn replacements(
    body: &[u8],
    start: usize,
    before: &Text<'_>,
    turn: Turn,
) -> Option<Vec<Replacement>> {
    let places = walk::elements(body, start)?;
    let mut changes = Vec::with_capacity(places.len());
    for place in places {
        let change = read(body.get(place.clone())?)?;
        changes.push((place, change));
    }
    let mut numbers = Vec::new();
    let last = changes.len().saturating_sub(1);
    // The last change is not made: nothing is counted in what it leaves. So the one change of one key stroke copies
    // nothing, and in ASCII all the way there is nothing to count.
    let texts_are_ascii = last > 0 && changes.iter().all(|(_, change)| change.text.is_ascii());
    if texts_are_ascii && before.text.is_ascii() {
        return Some(numbers);
    }
    let mut now = before.clone();
    for (index, (place, change)) in changes.into_iter().enumerate() {
        let replaced = match change.range {
            Some(span) => {
                let range = now.lines.range(&now.text, span, turn.from);
                count(body, place.start, &now, turn, &mut numbers)?;
                let old = now.text.get(range.clone()).unwrap_or_default();
                count_length(body, place.start, old, turn, &mut numbers);
                range
            }
            None => 0..now.text.len(),
        };
        if index < last {
            now.replace(replaced, &change.text);
        }
    }
    numbers.sort_unstable_by_key(|(range, _)| range.start);
    Some(numbers)
}

/// Reads a change, also one whose text holds half a character: that counts as the one that stands for it.
fn read(change: &[u8]) -> Option<Change<'_>> {
    if let Ok(change) = serde_json::from_slice(change) {
        return Some(change);
    }
    let change = readable(change);
    let change: Change<'_> = serde_json::from_str(&change).ok()?;
    Some(Change {
        range: change.range,
        text: Cow::Owned(change.text.into_owned()),
    })
}

/// Counts the range of the change that begins at a byte.
fn count(
    body: &[u8],
    at: usize,
    now: &Text<'_>,
    turn: Turn,
    replacements: &mut Vec<Replacement>,
) -> Option<()> {
    let found = Walk::over_value(body, at, shape()?)?;
    for site in &found.sites {
        let line = now.line(site.line).unwrap_or_default();
        columns::turned(slice::from_ref(site), line, turn, replacements);
    }
    Some(())
}

/// Counts the length of what the change that begins at a byte replaces, which older editors say besides its range.
fn count_length(
    body: &[u8],
    at: usize,
    replaced: &str,
    turn: Turn,
    replacements: &mut Vec<Replacement>,
) {
    let Some((told, place)) = walk::number_at(body, at, "rangeLength") else {
        return;
    };
    if !replaced.is_ascii() {
        let length = Counter::new(replaced, turn).advance(u32::MAX);
        if length != told {
            replacements.push((place, length));
        }
    }
}

/// What one change looks like.
fn shape() -> Option<Shape> {
    let change = protocol::method("textDocument/didChange")?;
    change.params.key("contentChanges")?.element()
}
