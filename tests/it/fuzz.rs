//! The framing and the look at a message, with streams and bodies that nobody would write by hand.
//!
//! What is right is known from the generator, or from `serde_json`, which reads everything and is slow.

use std::collections::BTreeMap;

use bytes::Bytes;
use meliora::downstream::wire::{Decoder, Envelope, Frame, Kind, split_batch, with_id};
use serde_json::value::RawValue;

use crate::seed::{Random, each};

/// Messages in each run; ten million when the runs are long.
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
    let Ok(fields) = serde_json::from_slice::<BTreeMap<String, &RawValue>>(body) else {
        return;
    };
    let text = std::str::from_utf8(body).expect("it is JSON");
    if text.matches("\"id\"").count() + text.matches("\"method\"").count() > 2
        || text.contains("\\u00")
    {
        // Keys that come twice, or are written as escapes: readers of JSON do not agree on them either.
        return;
    }
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

/// Anything: a message, bytes, or something that looks like a header.
fn body(random: &mut Random) -> Vec<u8> {
    match random.below(8) {
        0 => Vec::new(),
        1 => (0..random.below(300))
            .map(|_| u8::try_from(random.below(256)).expect("a byte"))
            .collect(),
        2 => b"Content-Length: 5\r\n\r\n12345".to_vec(),
        _ => message(random),
    }
}

/// A message as some server might write it.
fn message(random: &mut Random) -> Vec<u8> {
    let mut fields: Vec<(&str, Vec<u8>)> = Vec::new();
    let ids = [
        "1",
        "-7",
        "\"a\"",
        "\"a\\\"b}\"",
        "12345678901234567890123",
        "1.5e3",
        "null",
        "\"é\"",
    ];
    if random.percent(70) {
        fields.push(("id", random.pick(&ids).as_bytes().to_vec()));
    }
    if random.percent(60) {
        let methods = ["\"a/b\"", "\"$/x\"", "\"\"", "\"\\n\\\\\"", "\"ünï\""];
        fields.push(("method", random.pick(&methods).as_bytes().to_vec()));
    }
    for key in [
        "jsonrpc", "params", "result", "error", "extra", "i\\\"d", "",
    ] {
        if random.percent(35) {
            let mut value_bytes = Vec::new();
            value(&mut value_bytes, random, 0);
            fields.push((key, value_bytes));
        }
    }
    for index in (1..fields.len()).rev() {
        fields.swap(index, random.below(index + 1));
    }
    let mut out = Vec::new();
    space(&mut out, random);
    out.push(b'{');
    for (index, (key, value)) in fields.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        space(&mut out, random);
        out.extend_from_slice(format!("\"{key}\"").as_bytes());
        space(&mut out, random);
        out.push(b':');
        space(&mut out, random);
        out.extend_from_slice(value);
        space(&mut out, random);
    }
    out.push(b'}');
    out
}

fn value(out: &mut Vec<u8>, random: &mut Random, depth: usize) {
    let leaves = [
        "1",
        "-0.0",
        "1e-7",
        "true",
        "null",
        "\"\"",
        "\"\\\\\"",
        "\"{[\"",
        "\"]}\\\"\"",
        "\"漢😀\"",
        "\"\\ud83d\\ude00\"",
    ];
    match random.below(if depth > 4 { 1 } else { 4 }) {
        1 => {
            out.push(b'[');
            for index in 0..random.below(4) {
                if index > 0 {
                    out.push(b',');
                }
                value(out, random, depth + 1);
            }
            out.push(b']');
        }
        2 => {
            out.push(b'{');
            for index in 0..random.below(4) {
                if index > 0 {
                    out.push(b',');
                }
                let key = random.pick(&["a", "x y", "}", "jsonrpc"]);
                out.extend_from_slice(format!("\"{key}{index}\" : ").as_bytes());
                value(out, random, depth + 1);
                space(out, random);
            }
            out.push(b'}');
        }
        _ => out.extend_from_slice(random.pick(&leaves).as_bytes()),
    }
}

fn space(out: &mut Vec<u8>, random: &mut Random) {
    if random.percent(15) {
        out.extend_from_slice(random.pick(&[" ", "\n", "\r\n\t", "  "]).as_bytes());
    }
}

/// Changes something small.
fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    let at = random.below(bytes.len().max(1));
    let interesting = *random.pick(b"{}[]\",:\\\n\r0123 \xff\xc3Cc");
    match random.below(5) {
        _ if bytes.is_empty() => bytes.push(interesting),
        0 => bytes[at] = interesting,
        1 => bytes.insert(at, interesting),
        2 => drop(bytes.remove(at)),
        3 => bytes.truncate(at),
        _ => {
            let end = bytes.len().min(at + random.below(20));
            let piece = bytes[at..end].to_vec();
            let to = random.below(bytes.len());
            bytes.splice(to..to, piece);
        }
    }
}
