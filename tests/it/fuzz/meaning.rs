//! What we understand of messages, with messages that mean anything: nothing panics, what comes out can be read, and what
//! is not ours to change stays.

use bytes::Bytes;
use meliora::downstream::capabilities::{self, Choice};
use meliora::downstream::diagnostics::model::Reader;
use meliora::downstream::diagnostics::{Board, Look, Model, Origin};
use meliora::downstream::merge::{self, Part, Taste};
use meliora::downstream::protocol::{self, Leaf, Method};
use meliora::downstream::tagged::{self, Tag};
use meliora::downstream::transcode::{self, Memory, Place, Text, Turn};
use meliora::text::position::Encoding;
use serde_json::Value;
use serde_json::value::RawValue;

use super::generate::{URIS, mutate, shaped, value};
use crate::seed::{Random, each};

/// Messages in each run.
const MESSAGES: usize = 1_000;
const RUNS: u64 = 8;
const LONG_RUNS: u64 = 400;

const ENCODINGS: [Encoding; 3] = [Encoding::Utf8, Encoding::Utf16, Encoding::Utf32];

/// What the texts are made of.
const PIECES: [&str; 8] = ["a", "fn x() ", "é", "中", "😀", "\n", "\r\n", "\r"];

fn text(random: &mut Random) -> String {
    let pieces = random.below(40);
    (0..pieces).map(|_| *random.pick(&PIECES)).collect()
}

fn method(random: &mut Random) -> &'static Method {
    random.pick(protocol::methods())
}

fn turn(random: &mut Random) -> Turn {
    Turn {
        from: *random.pick(&ENCODINGS),
        to: *random.pick(&ENCODINGS),
    }
}

/// The same with all numbers alike.
fn without_numbers(value: &mut Value) {
    match value {
        Value::Number(_) => *value = Value::from(0),
        Value::Array(list) => list.iter_mut().for_each(without_numbers),
        Value::Object(object) => object.values_mut().for_each(without_numbers),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

#[test]
fn positions_of_any_message_are_counted_and_nothing_else_changes() {
    let name = "positions_of_any_message_are_counted_and_nothing_else_changes";
    each(name, RUNS, LONG_RUNS, |seed| {
        let mut random = Random::new(seed);
        for _ in 0..MESSAGES {
            let (method, turn) = (method(&mut random), turn(&mut random));
            let all = [text(&mut random), text(&mut random)];
            let mut texts = |uri: &str| {
                let known = URIS.iter().take(2).position(|known| *known == uri)?;
                Some(Text::new(all[known].as_str()))
            };
            let is_result = random.percent(50);
            let (key, place) = if is_result {
                ("result", Place::result(method, Some(URIS[0])))
            } else {
                ("params", Place::params(method))
            };
            let mut body = format!("{{\"id\":1,\"{key}\":").into_bytes();
            shaped(&mut body, place.shape, &mut random, 0);
            body.push(b'}');
            let body = Bytes::from(body);
            let counted = transcode::message(&body, place, turn, &mut texts);
            let [mut before, mut after] =
                [&body, &counted].map(|body| serde_json::from_slice::<Value>(body).expect("JSON"));
            without_numbers(&mut before);
            without_numbers(&mut after);
            assert_eq!(before, after, "{} {turn:?}", method.name);
            if turn.is_none() || all.concat().is_ascii() {
                assert_eq!(counted, body);
            }
            if !place.shape.holds().contains(Leaf::Tokens) {
                // There and back again every position is one; from there on nothing changes any more.
                let back = transcode::message(&counted, place, turn.back(), &mut texts);
                let again = transcode::message(&back, place, turn, &mut texts);
                assert_eq!(again, counted, "{} {turn:?} {all:?}", method.name);
            }
            let mut broken = body.to_vec();
            for _ in 0..=random.below(3) {
                mutate(&mut broken, &mut random);
            }
            let broken = Bytes::from(broken);
            transcode::message(&broken, place, turn, &mut texts);
            transcode::document(&broken, method);
            transcode::changes(&broken, &Text::new(all[0].as_str()), turn);
            let mut memory = Memory::default();
            for body in [&body, &broken] {
                memory.answer(body, URIS[0], Some("1"), turn, &mut texts);
            }
        }
    });
}

#[test]
fn an_item_of_any_kind_comes_back_as_it_was() {
    let name = "an_item_of_any_kind_comes_back_as_it_was";
    each(name, RUNS, LONG_RUNS, |seed| {
        let mut random = Random::new(seed.rotate_left(9));
        for _ in 0..MESSAGES {
            let tag = Tag {
                server: random.below(20),
                generation: u32::try_from(random.below(5)).expect("small"),
                document: [None, Some(0), Some(u32::MAX)][random.below(3)],
            };
            let mut item = Vec::new();
            let shape = method(&mut random).result;
            shaped(&mut item, shape.element().unwrap_or(shape), &mut random, 0);
            let item = String::from_utf8(item).expect("text");
            let mut tagged = String::new();
            tagged::tag_into(&mut tagged, &item, tag);
            let fields: Option<serde_json::Map<String, Value>> = serde_json::from_str(&item).ok();
            let is_call = |fields: &serde_json::Map<String, Value>| {
                ["from", "to", "item"]
                    .iter()
                    .any(|key| fields.contains_key(*key))
            };
            if let Some(fields) = fields.filter(|fields| !is_call(fields)) {
                let back = tagged::untag(&tagged).expect("it was tagged");
                assert_eq!(back.tag, tag);
                if fields.contains_key("data") {
                    assert_eq!(back.text, item);
                } else {
                    // Spaces between its fields may be lost with the tag.
                    let read = serde_json::from_str(&back.text);
                    assert_eq!(Some(fields), read.ok(), "{item}");
                }
            }
            serde_json::from_str::<Value>(&tagged).expect("JSON");
            let mut broken = tagged.into_bytes();
            mutate(&mut broken, &mut random);
            let broken = String::from_utf8_lossy(&broken);
            tagged::untag(&broken);
            tagged::maker(&broken);
            tagged::tag_all(&broken, tag);
        }
    });
}

#[test]
fn answers_of_any_kind_are_joined_to_something_that_can_be_read() {
    let name = "answers_of_any_kind_are_joined_to_something_that_can_be_read";
    each(name, RUNS, LONG_RUNS, |seed| {
        let mut random = Random::new(seed.rotate_left(21));
        for _ in 0..MESSAGES {
            let method = method(&mut random);
            let results: Vec<Box<RawValue>> = (0..=random.below(3))
                .map(|_| {
                    let mut result = Vec::new();
                    shaped(&mut result, method.result, &mut random, 0);
                    let result = String::from_utf8(result).expect("text");
                    RawValue::from_string(result).expect("JSON")
                })
                .collect();
            let parts: Vec<Part<'_>> = results
                .iter()
                .enumerate()
                .map(|(server, result)| Part {
                    server,
                    generation: 0,
                    name: "one",
                    result,
                })
                .collect();
            let mut editor = Vec::new();
            value(&mut editor, &mut random, 0);
            let editor: Value = serde_json::from_slice(&editor).expect("JSON");
            let taste = Taste {
                tags: random.percent(50),
                link_support: random.percent(50),
                action_data: random.percent(50),
                ..Taste::of(&editor, method.name).asked_for(&editor)
            };
            let joined = merge::combine(method.combine, &parts, &taste);
            let read = serde_json::from_str::<Value>(&joined);
            assert!(read.is_ok(), "{}: {joined}", method.name);
        }
    });
}

#[test]
fn diagnostics_and_capabilities_of_any_kind_are_borne() {
    let name = "diagnostics_and_capabilities_of_any_kind_are_borne";
    let publish = protocol::method("textDocument/publishDiagnostics").expect("known");
    let ask = protocol::method("textDocument/diagnostic").expect("known");
    each(name, RUNS, LONG_RUNS, |seed| {
        let mut random = Random::new(seed.rotate_left(33));
        let model = *random.pick(&[Model::Push, Model::Pull]);
        let look = Look {
            names: true,
            tags: random.percent(50),
            fuses: random.percent(50),
        };
        let mut board = Board::new(model, Reader::of(&Value::Null), look);
        for _ in 0..MESSAGES / 5 {
            let origin = Origin {
                server: random.below(3),
                generation: 0,
                name: "one",
            };
            let (mut params, mut report) = (Vec::new(), Vec::new());
            shaped(&mut params, publish.params, &mut random, 0);
            shaped(&mut report, ask.result, &mut random, 0);
            let params = String::from_utf8(params).expect("text");
            let report = RawValue::from_string(String::from_utf8(report).expect("text"));
            board.publish(origin, &params, Some(1));
            board.report(origin, URIS[random.below(2)], &report.expect("JSON"));
            for uri in board.uris().map(str::to_owned).collect::<Vec<_>>() {
                let told = board.publication(&uri, Some(1));
                let read = serde_json::from_str::<Value>(&told);
                assert!(read.is_ok(), "{told}");
            }
            let mut all = Vec::new();
            for _ in 0..3 {
                let mut bytes = Vec::new();
                value(&mut bytes, &mut random, 0);
                all.push(serde_json::from_slice::<Value>(&bytes).expect("JSON"));
            }
            let all: Vec<&Value> = all.iter().collect();
            capabilities::merge(&all, &Choice::default());
        }
    });
}
