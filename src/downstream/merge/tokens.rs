//! Semantic tokens of several servers in one list (spec: LSP Manager, merging).
//!
//! Tokens are numbers that a legend gives a meaning; each counts from the one before. Servers have legends of their own,
//! and most editors forbid tokens that overlap. So the tokens of each server are translated into one legend, and where two
//! overlap the better server's stays whole and what sticks out of the other is kept.
//!
//! The editor asks for differences to an earlier list: those are between our lists, under ids of ours.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::text::json::list;

/// Numbers of one token.
const TOKEN: usize = 5;

/// Modifiers that have a bit.
const MODIFIERS_MAX: usize = 32;

/// Names of the kinds and modifiers of tokens, by number.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Legend {
    /// Kinds.
    pub token_types: Vec<String>,
    /// Modifiers, one bit each.
    pub token_modifiers: Vec<String>,
}

/// How a server's numbers become those of the common legend.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Translation {
    types: Vec<Option<u32>>,
    modifiers: Vec<u32>,
}

/// One token, at its place in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Token {
    line: u32,
    start: u32,
    length: u32,
    kind: u32,
    modifiers: u32,
}

/// A change of a list of numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Edit {
    /// The first number that goes.
    pub start: usize,
    /// How many go.
    pub delete_count: usize,
    /// What comes instead.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub data: Vec<u32>,
}

/// The last list of each document, with its id.
#[derive(Debug, Default)]
pub struct Lists {
    last: HashMap<String, (u64, Vec<u32>)>,
    next: u64,
}

impl Legend {
    /// Reads the legend of a server from its capabilities or from the options of a registration.
    pub fn of(provider: &Value) -> Self {
        let names = |path: &str| {
            let names = list(provider, path).iter();
            names
                .map(|name| name.as_str().unwrap_or_default().to_owned())
                .collect()
        };
        Self {
            token_types: names("/legend/tokenTypes"),
            token_modifiers: names("/legend/tokenModifiers"),
        }
    }
}

impl Legend {
    /// What the numbers of a server with another legend are in this one. What this one has no name for is left out.
    pub fn translation(&self, own: &Self) -> Translation {
        let place = |all: &[String], name: &String| {
            let known = all.iter().position(|known| known == name);
            known.and_then(|number| u32::try_from(number).ok())
        };
        let types = own.token_types.iter();
        let modifiers = own.token_modifiers.iter();
        let bit = |number: u32| 1_u32.checked_shl(number).unwrap_or_default();
        Translation {
            types: types.map(|name| place(&self.token_types, name)).collect(),
            modifiers: modifiers
                .map(|name| place(&self.token_modifiers, name).map_or(0, bit))
                .collect(),
        }
    }
}

/// The common legend of several servers, best first. There is room for 32 modifiers; what does not fit is left out.
pub fn union(legends: &[Legend]) -> Legend {
    let mut all = Legend::default();
    for legend in legends {
        for name in &legend.token_types {
            if !all.token_types.contains(name) {
                all.token_types.push(name.clone());
            }
        }
        for name in &legend.token_modifiers {
            if !all.token_modifiers.contains(name) && all.token_modifiers.len() < MODIFIERS_MAX {
                all.token_modifiers.push(name.clone());
            }
        }
    }
    all
}

impl Translation {
    fn token(&self, token: Token) -> Option<Token> {
        let kind = (*self.types.get(usize::try_from(token.kind).ok()?)?)?;
        let bits = (0..u32::BITS).zip(&self.modifiers);
        let modifiers = bits
            .filter(|(bit, _)| token.modifiers >> bit & 1 == 1)
            .fold(0, |all, (_, modifier)| all | modifier);
        Some(Token {
            kind,
            modifiers,
            ..token
        })
    }
}

/// The tokens of several servers, best first, as one list without overlaps. A token whose kind its server's legend does
/// not have is left out.
pub fn merge(parts: &[(&[u32], &Translation)]) -> Vec<u32> {
    let mut whole: Vec<Token> = Vec::new();
    for (data, translation) in parts {
        let mut tokens: Vec<Token> = places(data)
            .into_iter()
            .filter_map(|token| translation.token(token))
            .filter(|token| token.length > 0)
            .collect();
        tokens.sort_by_key(|token| (token.line, token.start));
        whole = overlaid(&whole, &tokens);
    }
    relative(&whole)
}

/// `over` with what of `under` does not lie below it. Both are in order.
fn overlaid(over: &[Token], under: &[Token]) -> Vec<Token> {
    let mut result = Vec::with_capacity(over.len() + under.len());
    let mut above = over.iter().copied().peekable();
    let mut free = (0, 0);
    for token in under {
        let mut rest = *token;
        let end = token.start.saturating_add(token.length);
        // What begins before this token, or inside it, cuts it.
        while let Some(cover) = above.next_if(|cover| (cover.line, cover.start) < (token.line, end))
        {
            if cover.line == token.line {
                push_piece(&mut result, &mut free, rest, cover.start);
                let covered = cover.start.saturating_add(cover.length);
                rest.start = rest.start.max(covered);
            }
            free = free.max((cover.line, cover.start.saturating_add(cover.length)));
            result.push(cover);
        }
        push_piece(&mut result, &mut free, rest, end);
    }
    result.extend(above);
    result
}

/// Adds what of `token` lies before `end` and behind what was added so far.
fn push_piece(result: &mut Vec<Token>, free: &mut (u32, u32), token: Token, end: u32) {
    let used_until = if free.0 == token.line { free.1 } else { 0 };
    let token_end = token.start.saturating_add(token.length);
    let start = token.start.max(used_until);
    let end = end.min(token_end);
    if free.0 > token.line || start >= end {
        return;
    }
    result.push(Token {
        start,
        length: end - start,
        ..token
    });
    *free = (token.line, end);
}

/// The tokens with their places in the text. A piece of a token at the end is left out.
fn places(data: &[u32]) -> Vec<Token> {
    let (mut line, mut start) = (0_u32, 0_u32);
    let mut tokens = Vec::with_capacity(data.len() / TOKEN);
    for token in data.chunks_exact(TOKEN) {
        let &[lines, columns, length, kind, modifiers] = token else {
            continue;
        };
        if lines > 0 {
            start = 0;
        }
        line = line.saturating_add(lines);
        start = start.saturating_add(columns);
        tokens.push(Token {
            line,
            start,
            length,
            kind,
            modifiers,
        });
    }
    tokens
}

/// The numbers of tokens, each counted from the one before.
fn relative(tokens: &[Token]) -> Vec<u32> {
    let mut data = Vec::with_capacity(tokens.len() * TOKEN);
    let (mut line, mut start) = (0, 0);
    for token in tokens {
        let lines = token.line - line;
        let columns = if lines > 0 {
            token.start
        } else {
            token.start - start
        };
        (line, start) = (token.line, token.start);
        data.extend([lines, columns, token.length, token.kind, token.modifiers]);
    }
    data
}

/// The numbers of a server's answer. `None`: it has no tokens to give, or not all of them.
pub fn data(result: &str) -> Option<Vec<u32>> {
    #[derive(Deserialize)]
    struct Tokens {
        data: Vec<u32>,
    }
    let tokens: Option<Tokens> = serde_json::from_str(result).ok()?;
    Some(tokens?.data)
}

/// What has to be changed to make `after` of `before`: what is different between an equal beginning and an equal end.
pub fn difference(before: &[u32], after: &[u32]) -> Vec<Edit> {
    if before == after {
        return Vec::new();
    }
    let shorter = before.len().min(after.len());
    let same = |(one, two): &(&u32, &u32)| one == two;
    let start = before.iter().zip(after).take_while(same).count();
    let ends = before.iter().rev().zip(after.iter().rev());
    let end = ends.take(shorter - start).take_while(same).count();
    let data = after.get(start..after.len() - end).unwrap_or_default();
    vec![Edit {
        start,
        delete_count: before.len() - end - start,
        data: data.to_vec(),
    }]
}

impl Lists {
    /// The answer to a request for all tokens of a document.
    pub fn full(&mut self, uri: &str, tokens: Vec<u32>) -> String {
        let id = self.keep(uri, tokens.clone());
        serde_json::json!({ "resultId": id, "data": tokens }).to_string()
    }

    /// The answer to a request for what changed since the list with the id `previous`; everything, when that is not the
    /// last one.
    pub fn delta(&mut self, uri: &str, previous: &str, tokens: Vec<u32>) -> String {
        let before = self.last.get(uri);
        let edits = before
            .filter(|(id, _)| id.to_string() == previous)
            .map(|(_, before)| difference(before, &tokens));
        let Some(edits) = edits else {
            return self.full(uri, tokens);
        };
        let id = self.keep(uri, tokens);
        serde_json::json!({ "resultId": id, "edits": edits }).to_string()
    }

    /// Forgets a document that was closed.
    pub fn forget(&mut self, uri: &str) {
        self.last.remove(uri);
    }

    fn keep(&mut self, uri: &str, tokens: Vec<u32>) -> String {
        self.next += 1;
        self.last.insert(uri.to_owned(), (self.next, tokens));
        self.next.to_string()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn legend(types: &[&str], modifiers: &[&str]) -> Legend {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Legend {
            token_types: owned(types),
            token_modifiers: owned(modifiers),
        }
    }

    fn same() -> Translation {
        let legend = legend(&["a", "b", "c"], &[]);
        legend.translation(&legend)
    }

    /// Tokens as (line, start, length, kind).
    fn numbers_of(tokens: &[(u32, u32, u32, u32)]) -> Vec<u32> {
        let tokens: Vec<Token> = tokens
            .iter()
            .map(|&(line, start, length, kind)| Token {
                line,
                start,
                length,
                kind,
                modifiers: 0,
            })
            .collect();
        relative(&tokens)
    }

    fn shown(data: &[u32]) -> Vec<(u32, u32, u32, u32)> {
        places(data)
            .into_iter()
            .map(|token| (token.line, token.start, token.length, token.kind))
            .collect()
    }

    #[test]
    fn legends_are_united_and_numbers_are_translated() {
        let one = legend(&["type", "function"], &["static"]);
        let two = legend(&["function", "own"], &["async", "static"]);
        let all = union(&[one.clone(), two.clone()]);
        let translations = [one, two].map(|own| all.translation(&own));
        assert_eq!(
            all,
            legend(&["type", "function", "own"], &["static", "async"])
        );
        let first = [0, 0, 1, 1, 1];
        let second = [0, 5, 1, 0, 0b11, 1, 0, 1, 1, 0b10, 0, 3, 1, 7, 0];
        let merged = merge(&[(&first, &translations[0]), (&second, &translations[1])]);
        assert_eq!(merged, [0, 0, 1, 1, 1, 0, 5, 1, 1, 0b11, 1, 0, 1, 2, 0b01]);
        let provider = json!({ "legend": { "tokenTypes": ["a"], "tokenModifiers": ["b"] } });
        assert_eq!(Legend::of(&provider), legend(&["a"], &["b"]));
    }

    #[test]
    fn modifiers_beyond_the_32nd_are_left_out() {
        let names: Vec<String> = (0..33).map(|number| number.to_string()).collect();
        let many = Legend {
            token_types: vec!["a".to_owned()],
            token_modifiers: names,
        };
        let all = union(std::slice::from_ref(&many));
        assert_eq!(all.token_modifiers.len(), 32);
        let token = [0, 0, 1, 0, u32::MAX];
        assert_eq!(merge(&[(&token, &all.translation(&many))]), token);
    }

    #[test]
    fn the_better_servers_token_stays_whole_and_what_sticks_out_is_kept() {
        let same = same();
        for (over, under, expected) in [
            (
                &[(0, 4, 2, 0)][..],
                &[(0, 2, 6, 1)][..],
                &[(0, 2, 2, 1), (0, 4, 2, 0), (0, 6, 2, 1)][..],
            ),
            (&[(0, 0, 9, 0)], &[(0, 2, 3, 1)], &[(0, 0, 9, 0)]),
            (
                &[(0, 0, 3, 0)],
                &[(0, 2, 3, 1)],
                &[(0, 0, 3, 0), (0, 3, 2, 1)],
            ),
            (
                &[(0, 3, 3, 0)],
                &[(0, 2, 3, 1)],
                &[(0, 2, 1, 1), (0, 3, 3, 0)],
            ),
            (
                &[(1, 0, 1, 0)],
                &[(0, 0, 1, 1), (2, 0, 1, 1)],
                &[(0, 0, 1, 1), (1, 0, 1, 0), (2, 0, 1, 1)],
            ),
            (
                &[(0, 1, 1, 0), (0, 3, 1, 0)],
                &[(0, 0, 5, 1)],
                &[
                    (0, 0, 1, 1),
                    (0, 1, 1, 0),
                    (0, 2, 1, 1),
                    (0, 3, 1, 0),
                    (0, 4, 1, 1),
                ],
            ),
            (
                &[(0, 0, 5, 0)],
                &[(0, 1, 1, 1), (0, 2, 9, 1)],
                &[(0, 0, 5, 0), (0, 5, 6, 1)],
            ),
            (
                &[],
                &[(0, 1, 3, 1), (0, 2, 4, 2)],
                &[(0, 1, 3, 1), (0, 4, 2, 2)],
            ),
            (&[(3, 3, 1, 0)], &[], &[(3, 3, 1, 0)]),
        ] {
            let (over, under) = (numbers_of(over), numbers_of(under));
            let merged = merge(&[(&over, &same), (&under, &same)]);
            assert_eq!(
                shown(&merged),
                expected,
                "{:?} {:?}",
                shown(&over),
                shown(&under)
            );
        }
    }

    /// Numbers that look random and are the same every time.
    fn dice() -> impl FnMut(u32) -> u32 {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        move |sides| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            u32::try_from(state % u64::from(sides)).expect("it is below the sides")
        }
    }

    #[test]
    fn merged_tokens_never_overlap_and_each_place_is_the_best_servers() {
        let same = same();
        let mut roll = dice();
        for _ in 0..2_000 {
            let lists: Vec<Vec<(u32, u32, u32, u32)>> = (0..3)
                .map(|kind| {
                    let mut tokens: Vec<(u32, u32, u32, u32)> = (0..roll(6))
                        .map(|_| (roll(2), roll(12), 1 + roll(5), kind))
                        .collect();
                    tokens.sort_unstable();
                    tokens
                })
                .collect();
            let data: Vec<Vec<u32>> = lists.iter().map(|list| numbers_of(list)).collect();
            let parts: Vec<(&[u32], &Translation)> =
                data.iter().map(|data| (data.as_slice(), &same)).collect();
            let merged = shown(&merge(&parts));
            for pair in merged.windows(2) {
                let ends = (pair[0].0, pair[0].1 + pair[0].2);
                assert!(ends <= (pair[1].0, pair[1].1), "{lists:?} {merged:?}");
            }
            let covers = |tokens: &[(u32, u32, u32, u32)], line: u32, column: u32| {
                let mut found = tokens.iter().filter(|(on, start, length, _)| {
                    *on == line && (*start..start + length).contains(&column)
                });
                found.next().map(|(_, _, _, kind)| *kind)
            };
            for (line, column) in (0..2).flat_map(|line| (0..18).map(move |column| (line, column)))
            {
                let best = lists.iter().find_map(|list| covers(list, line, column));
                assert_eq!(covers(&merged, line, column), best, "{lists:?} {merged:?}");
            }
        }
    }

    #[test]
    fn differences_lead_from_one_list_to_the_next() {
        let mut roll = dice();
        for _ in 0..500 {
            let before: Vec<u32> = (0..roll(12)).map(|_| roll(3)).collect();
            let after: Vec<u32> = (0..roll(12)).map(|_| roll(3)).collect();
            let mut changed = before.clone();
            for edit in difference(&before, &after) {
                changed.splice(edit.start..edit.start + edit.delete_count, edit.data);
            }
            assert_eq!(changed, after);
        }
        assert!(difference(&[1, 2], &[1, 2]).is_empty());
    }

    #[test]
    fn only_the_last_list_is_a_base_for_differences() {
        let mut lists = Lists::default();
        let value: Value = serde_json::from_str(&lists.full("u", vec![1, 2, 3])).expect("JSON");
        assert_eq!(value, json!({ "resultId": "1", "data": [1, 2, 3] }));
        let next = lists.delta("u", "1", vec![1, 9, 3]);
        let expected =
            json!({ "resultId": "2", "edits": [{ "start": 1, "deleteCount": 1, "data": [9] }] });
        assert_eq!(next, expected.to_string());
        let value: Value = serde_json::from_str(&lists.delta("u", "1", vec![4])).expect("JSON");
        assert_eq!(value, json!({ "resultId": "3", "data": [4] }));
        let value: Value = serde_json::from_str(&lists.delta("u", "3", vec![4])).expect("JSON");
        assert_eq!(value, json!({ "resultId": "4", "edits": [] }));
        lists.forget("u");
        let value: Value = serde_json::from_str(&lists.delta("u", "4", vec![4])).expect("JSON");
        assert_eq!(value["data"], json!([4]));
    }

    #[test]
    fn tokens_are_read_from_an_answer_and_nothing_else_is() {
        assert_eq!(data(r#"{"resultId":"x","data":[1,2]}"#), Some(vec![1, 2]));
        assert_eq!(data("null"), None);
        assert_eq!(data(r#"{"edits":[]}"#), None);
    }
}
