//! Semantic tokens: five numbers each, columns relative to the token before.
//!
//! Changes to tokens ([`Memory`]) are changes of numbers that only the server and its counting know. An edit of the text
//! may change the receiver's numbers and not the sender's, so a change is applied to the sender's numbers, which are
//! kept, and the receiver gets all tokens anew.

use std::collections::HashMap;
use std::ops::Range;

use bytes::Bytes;
use serde::Deserialize;

use super::columns::Counter;
use super::{Part, Place, Replacement, Text, Texts, Turn, message, walk};
use crate::downstream::protocol;

/// Numbers of one token: line, column, length, type, modifiers.
const NUMBERS: usize = 5;

/// Notes which numbers of the tokens of a text change.
pub(super) fn turned(
    numbers: &[(u32, Range<usize>)],
    text: &Text<'_>,
    turn: Turn,
    changed: &mut Vec<Replacement>,
) {
    let (mut line, mut column, mut told) = (0_u32, 0_u32, 0_u32);
    let mut place = Counted::new(text, line, turn);
    for token in numbers.chunks_exact(NUMBERS) {
        let [(lines, _), (columns, column_at), (length, length_at), ..] = token else {
            return;
        };
        if *lines > 0 {
            line = line.saturating_add(*lines);
            (column, told) = (0, 0);
            place = Counted::new(text, line, turn);
        }
        column = column.saturating_add(*columns);
        let start = place.advance(column);
        let relative = start.saturating_sub(told);
        told = start;
        if relative != *columns {
            changed.push((column_at.clone(), relative));
        }
        let turned = place.measure(text, column, *length);
        if turned != *length {
            changed.push((length_at.clone(), turned));
        }
    }
}

/// A line whose tokens are counted.
struct Counted<'text> {
    number: u32,
    line: &'text str,
    is_ascii: bool,
    counter: Counter<'text>,
    turn: Turn,
}

impl<'text> Counted<'text> {
    fn new(text: &'text Text<'_>, number: u32, turn: Turn) -> Self {
        let line = text.line(number).unwrap_or_default();
        Self {
            number,
            line,
            is_ascii: line.is_ascii(),
            counter: Counter::new(line, turn),
            turn,
        }
    }

    fn advance(&mut self, column: u32) -> u32 {
        if self.is_ascii {
            return column;
        }
        self.counter.advance(column)
    }

    /// The length of a token that begins where the line was left, in the receiver's columns. A token may go on over the
    /// ends of lines, which count like characters.
    fn measure(&self, text: &Text<'_>, column: u32, length: u32) -> u32 {
        let within = if self.is_ascii {
            let column = usize::try_from(column).unwrap_or(usize::MAX);
            let fits = usize::try_from(length)
                .ok()
                .and_then(|length| column.checked_add(length))
                .is_some_and(|end| end <= self.line.len());
            if fits {
                return length;
            }
            column.min(self.line.len())
        } else {
            self.line.len() - self.counter.rest().len()
        };
        let mut counter = Counter::new(text.after(self.number, within), self.turn);
        let turned = counter.advance(length);
        if counter.rest().is_empty() {
            // Beyond the text the sender's count is all there is.
            return turned.saturating_add(length.saturating_sub(counter.from()));
        }
        turned
    }
}

/// The tokens of each document as its server counts them, for the changes that it tells.
#[derive(Debug, Default)]
pub struct Memory {
    kept: HashMap<String, Kept>,
}

#[derive(Debug)]
struct Kept {
    result_id: String,
    numbers: Vec<u32>,
}

/// The result of `textDocument/semanticTokens/full` and of its `/delta`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Tokens {
    result_id: Option<String>,
    data: Option<Vec<u32>>,
    edits: Option<Vec<Edit>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Edit {
    start: usize,
    delete_count: usize,
    #[serde(default)]
    data: Vec<u32>,
}

impl Memory {
    /// A server's answer with all the tokens of a document or with what changed since the result `previous`: the same
    /// for the editor, always with all the tokens where both count differently.
    pub fn answer(
        &mut self,
        body: &Bytes,
        document: &str,
        previous: Option<&str>,
        turn: Turn,
        texts: &mut Texts<'_, '_>,
    ) -> Bytes {
        let Some(method) = protocol::method("textDocument/semanticTokens/full/delta") else {
            return body.clone();
        };
        let place = Place::result(method, Some(document));
        if turn.is_none() {
            return body.clone();
        }
        let Some(result) = walk::value_at(body, Part::Result, &[]) else {
            return body.clone();
        };
        let Some(tokens) = read(body, result.clone()) else {
            return body.clone();
        };
        let Some(edits) = tokens.edits else {
            self.keep(document, tokens.result_id, tokens.data);
            return message(body, place, turn, texts);
        };
        let before = self
            .kept
            .remove(document)
            .filter(|kept| previous == Some(&kept.result_id));
        let Some(before) = before else {
            return body.clone();
        };
        let numbers = edited(&before.numbers, edits);
        let whole = with_all(body, result, tokens.result_id.as_deref(), &numbers);
        self.keep(document, tokens.result_id, Some(numbers));
        message(&whole, place, turn, texts)
    }

    /// Forgets the tokens of a document.
    pub fn forget(&mut self, document: &str) {
        self.kept.remove(document);
    }

    fn keep(&mut self, document: &str, result_id: Option<String>, numbers: Option<Vec<u32>>) {
        match (result_id, numbers) {
            (Some(result_id), Some(numbers)) => {
                let kept = Kept { result_id, numbers };
                self.kept.insert(document.to_owned(), kept);
            }
            _ => self.forget(document),
        }
    }
}

fn read(body: &[u8], result: Range<usize>) -> Option<Tokens> {
    serde_json::from_slice(body.get(result)?).ok()
}

/// The numbers after edits, each of which says where it is in the numbers before.
fn edited(before: &[u32], mut edits: Vec<Edit>) -> Vec<u32> {
    edits.sort_by_key(|edit| edit.start);
    let mut numbers = Vec::with_capacity(before.len());
    let mut at = 0;
    for edit in edits {
        let start = edit.start.clamp(at, before.len());
        numbers.extend_from_slice(before.get(at..start).unwrap_or_default());
        numbers.extend_from_slice(&edit.data);
        at = start.saturating_add(edit.delete_count).min(before.len());
    }
    numbers.extend_from_slice(before.get(at..).unwrap_or_default());
    numbers
}

/// The message with all the numbers as its result.
fn with_all(body: &[u8], result: Range<usize>, id: Option<&str>, numbers: &[u32]) -> Bytes {
    let mut whole = body.get(..result.start).unwrap_or_default().to_vec();
    let id = id.map(|id| format!("\"resultId\":{},", serde_json::Value::from(id)));
    whole.push(b'{');
    whole.extend_from_slice(id.unwrap_or_default().as_bytes());
    whole.extend_from_slice(b"\"data\":[");
    for (index, number) in numbers.iter().enumerate() {
        if index > 0 {
            whole.push(b',');
        }
        whole.extend_from_slice(number.to_string().as_bytes());
    }
    whole.extend_from_slice(b"]}");
    whole.extend_from_slice(body.get(result.end..).unwrap_or_default());
    Bytes::from(whole)
}
