//! The framing and the look at a message, with streams and bodies that nobody would write by hand.
//!
//! What is right is known from the generator, or from `serde_json`, which reads everything and is slow.

use std::collections::BTreeMap;

use bytes::Bytes;
use meliora::downstream::wire::{Decoder, Envelope, Frame, Kind, split_batch, with_id};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::seed::{Random, each};
use generate::{body, message, mutate, space};

mod generate;
mod meaning;

/// Messages in each run. With the long counts ten million go through the framing, half of them in broken streams; as many
/// looks are taken, half of them at broken messages; and a million batches are taken apart.
const FRAMES: usize = 5_000;
const RUNS: u64 = 40;
const LONG_RUNS: u64 = 1_000;

/// What stands between messages in the streams of real servers.
const RUBBISH: [&str; 8] = [
    "Listening on stdio\n",
    "\n\n",
    "warning: deprecated\r\n",
    "{\"level\":\"info\"}\n",
    "Content-Length: many\r\n",
    "panic: é漢😀\n\tat main.go:3\n",
    "no line end ",
    "Content-Type: text\r\n\r\n",
];

#[test]
fn messages_come_out_of_every_stream_however_it_is_cut() {
    each(
        "messages_come_out_of_every_stream_however_it_is_cut",
        RUNS,
        LONG_RUNS,
        |seed| {
            let mut random = Random::new(seed);
            let mut left = FRAMES;
            while left > 0 {
                let count = 1 + random.below(20).min(left - 1);
                left -= count;
                let bodies: Vec<Vec<u8>> = (0..count).map(|_| body(&mut random)).collect();
                let mut stream = Vec::new();
                for body in &bodies {
                    if random.percent(20) {
                        stream.extend_from_slice(random.pick(&RUBBISH).as_bytes());
                    }
                    stream.extend_from_slice(&header(&mut random, body.len()));
                    stream.extend_from_slice(body);
                }
                let whole = decode(&stream, || usize::MAX);
                assert_eq!(whole, bodies, "{:?}", String::from_utf8_lossy(&stream));
                let most = 1 + random.below(64);
                assert_eq!(decode(&stream, || 1 + random.below(most)), bodies);
            }
        },
    );
}

#[test]
fn a_broken_stream_gives_the_same_messages_however_it_is_cut() {
    each(
        "a_broken_stream_gives_the_same_messages_however_it_is_cut",
        RUNS,
        LONG_RUNS,
        |seed| {
            let mut random = Random::new(!seed);
            for _ in 0..FRAMES / 20 {
                let mut stream = Vec::new();
                for _ in 0..20 {
                    let body = body(&mut random);
                    stream.extend_from_slice(&header(&mut random, body.len()));
                    stream.extend_from_slice(&body);
                }
                for _ in 0..=random.below(6) {
                    mutate(&mut stream, &mut random);
                }
                let whole = decode(&stream, || usize::MAX);
                let most = 1 + random.below(200);
                let cut = decode(&stream, || 1 + random.below(most));
                assert_eq!(whole, cut, "{:?}", String::from_utf8_lossy(&stream));
            }
        },
    );
}

#[test]
fn the_look_at_a_message_sees_what_a_reader_of_json_sees() {
    each(
        "the_look_at_a_message_sees_what_a_reader_of_json_sees",
        RUNS,
        LONG_RUNS,
        |seed| {
            let mut random = Random::new(seed.rotate_left(17));
            for _ in 0..FRAMES {
                let body = Bytes::from(message(&mut random));
                compare(&body);
                replace_id(&body, &mut random);
                let mut broken = body.to_vec();
                for _ in 0..=random.below(3) {
                    mutate(&mut broken, &mut random);
                }
                compare(&broken);
            }
        },
    );
}

#[test]
fn a_batch_is_taken_apart_as_a_reader_of_json_would() {
    each(
        "a_batch_is_taken_apart_as_a_reader_of_json_would",
        RUNS,
        LONG_RUNS,
        |seed| {
            let mut random = Random::new(seed.rotate_left(34));
            for _ in 0..FRAMES / 5 {
                let mut batch = b"[".to_vec();
                for index in 0..random.below(6) {
                    if index > 0 {
                        batch.push(b',');
                    }
                    space(&mut batch, &mut random);
                    batch.extend_from_slice(&message(&mut random));
                    space(&mut batch, &mut random);
                }
                batch.push(b']');
                if random.percent(30) {
                    mutate(&mut batch, &mut random);
                }
                let batch = Bytes::from(batch);
                let parts = split_batch(&batch);
                if let Ok(expected) = serde_json::from_slice::<Vec<&RawValue>>(&batch) {
                    let expected: Vec<&[u8]> =
                        expected.iter().map(|part| part.get().as_bytes()).collect();
                    assert_eq!(parts.expect("it is a list"), expected);
                }
            }
        },
    );
}

/// Looks at a body both ways. What is no JSON may be read in any way that stays inside.
fn compare(body: &[u8]) {
    let envelope = Envelope::peek(body);
    if let Some(envelope) = &envelope {
        for range in [&envelope.id, &envelope.method].into_iter().flatten() {
            assert!(range.start <= range.end && range.end <= body.len());
        }
    }
    let Ok(Fields(fields)) = serde_json::from_slice(body) else {
        return;
    };
    let text = std::str::from_utf8(body).expect("it is JSON");
    let count = |wanted: &str| fields.iter().filter(|(key, _)| key == wanted).count();
    if count("id") > 1 || count("method") > 1 {
        // Readers of JSON do not agree on which of two counts either.
        return;
    }
    let fields: BTreeMap<String, &RawValue> = fields.into_iter().collect();
    let is_answer = fields.contains_key("result") || fields.contains_key("error");
    if is_answer && fields.contains_key("method") {
        // Question and answer at once: the look ends where it knows enough.
        return;
    }
    let id = fields.get("id").map(|id| id.get());
    let method = fields.get("method").map(|method| method.get());
    let kind = match (id, method) {
        (_, Some(method)) if !method.starts_with('"') => None,
        (Some(_), Some(_)) => Some(Kind::Request),
        (None, Some(_)) => Some(Kind::Notification),
        (Some(_), None) => Some(Kind::Response),
        (None, None) => None,
    };
    assert_eq!(
        envelope.as_ref().map(|envelope| envelope.kind),
        kind,
        "{text}"
    );
    if let Some(envelope) = envelope {
        assert_eq!(
            envelope.id(body),
            id.unwrap_or_default().as_bytes(),
            "{text}"
        );
        let method = method.unwrap_or("\"\"");
        assert_eq!(
            envelope.method(body),
            &method[1..method.len() - 1],
            "{text}"
        );
    }
}

/// The fields of a message, also those that come twice.
struct Fields<'body>(Vec<(String, &'body RawValue)>);

impl<'body> Deserialize<'body> for Fields<'body> {
    fn deserialize<D: Deserializer<'body>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Entries)
    }
}

struct Entries;

impl<'body> Visitor<'body> for Entries {
    type Value = Fields<'body>;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a message")
    }

    fn visit_map<A: MapAccess<'body>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Vec::new();
        while let Some(entry) = map.next_entry()? {
            fields.push(entry);
        }
        Ok(Fields(fields))
    }
}

/// Puts another id into a message: nothing else changes.
fn replace_id(body: &Bytes, random: &mut Random) {
    let Some(range) = Envelope::peek(body).and_then(|envelope| envelope.id) else {
        return;
    };
    let new = *random.pick(&["\"meliora-1\"", "0", "-12345678901234567890", "null"]);
    let changed = with_id(body, range.clone(), new.as_bytes());
    assert_eq!(&changed[..range.start], &body[..range.start]);
    assert_eq!(
        &changed[range.start..range.start + new.len()],
        new.as_bytes()
    );
    assert_eq!(&changed[range.start + new.len()..], &body[range.end..]);
    let again = Envelope::peek(&changed).expect("it is a message still");
    assert_eq!(again.id(&changed), new.as_bytes());
}

/// The messages of a stream that comes in pieces.
fn decode(stream: &[u8], mut piece: impl FnMut() -> usize) -> Vec<Vec<u8>> {
    let mut decoder = Decoder::default();
    let mut bodies = Vec::new();
    let mut rest = stream;
    while !rest.is_empty() {
        let (now, later) = rest.split_at(piece().min(rest.len()));
        rest = later;
        decoder.space().extend_from_slice(now);
        loop {
            match decoder.next_frame() {
                Ok(None) => break,
                Ok(Some(Frame::Message(body))) => bodies.push(body.to_vec()),
                Ok(Some(Frame::Garbage(_))) => {}
                Ok(Some(Frame::Large(..))) => panic!("nobody asked for pieces"),
                // A length that nobody has memory for ends the stream.
                Err(_) => return bodies,
            }
        }
    }
    bodies
}

fn header(random: &mut Random, length: usize) -> Vec<u8> {
    let head = match random.below(10) {
        0 => format!("content-length:{length}\r\n\r\n"),
        1 => format!("CONTENT-LENGTH :  {length} \n\n"),
        2 => format!("Content-Type: x; charset=utf-8\r\nContent-Length: {length}\r\n\r\n"),
        3 => format!("Content-Length: {length}\r\nX-More:\r\nY: 1:2\r\n\r\n"),
        4 => format!("Content-Length: 7\r\nContent-Length: {length}\r\n\r\n"),
        5 => format!("\r\nContent-Length: {length}\r\n\r\n"),
        _ => format!("Content-Length: {length}\r\n\r\n"),
    };
    head.into_bytes()
}
