//! Messages as some server might write them, and as none should.

use meliora::downstream::protocol::{Leaf, Shape};

use crate::seed::Random;

/// Anything: a message, bytes, or something that looks like a header.
pub(crate) fn body(random: &mut Random) -> Vec<u8> {
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
pub(crate) fn message(random: &mut Random) -> Vec<u8> {
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

pub(crate) fn value(out: &mut Vec<u8>, random: &mut Random, depth: usize) {
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

pub(crate) fn space(out: &mut Vec<u8>, random: &mut Random) {
    if random.percent(15) {
        out.extend_from_slice(random.pick(&[" ", "\n", "\r\n\t", "  "]).as_bytes());
    }
}

/// Changes something small.
pub(crate) fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
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

/// Addresses of documents in messages; only the first two have a text.
pub(crate) const URIS: [&str; 4] = [
    "file:///w/a.rs",
    "file:///w/%C3%BC.rs",
    "untitled:nobody",
    "",
];

/// Keys that the shapes do not name, and values that stand behind them.
const MORE: [(&str, &str); 12] = [
    ("label", "\"é\""),
    ("title", "\"do\""),
    ("kind", "\"quickfix\""),
    ("kind", "1"),
    ("newText", "\"x\\n😀\""),
    ("contents", "{\"kind\":\"markdown\",\"value\":\"*é*\"}"),
    ("contents", "[\"a\",{\"language\":\"c\",\"value\":\"int\"}]"),
    ("isPreferred", "true"),
    ("isIncomplete", "true"),
    ("message", "\"wrong\""),
    ("severity", "2"),
    ("position", "null"),
];

/// A value as the protocol says that it looks, mostly.
pub(crate) fn shaped(out: &mut Vec<u8>, shape: Shape, random: &mut Random, depth: usize) {
    if depth > 7 || random.percent(4) {
        return value(out, random, 3);
    }
    if let Some(element) = shape.element().filter(|_| random.percent(85)) {
        out.push(b'[');
        for index in 0..random.below(4) {
            separate(out, index);
            shaped(out, element, random, depth + 1);
        }
        return out.push(b']');
    }
    match shape.leaf() {
        None | Some(Leaf::Range) => fields(out, shape, random, depth),
        Some(leaf) => self::leaf(out, leaf, random),
    }
}

fn fields(out: &mut Vec<u8>, shape: Shape, random: &mut Random, depth: usize) {
    out.push(b'{');
    let mut count = 0;
    for (key, inner) in shape.keys() {
        if random.percent(80) {
            separate(out, count);
            count += 1;
            space(out, random);
            out.extend_from_slice(format!("\"{key}\":").as_bytes());
            space(out, random);
            shaped(out, *inner, random, depth + 1);
        }
    }
    if let Some(values) = shape.values() {
        for uri in URIS
            .iter()
            .filter(|_| random.percent(50))
            .collect::<Vec<_>>()
        {
            separate(out, count);
            count += 1;
            out.extend_from_slice(format!("\"{uri}\":").as_bytes());
            shaped(out, values, random, depth + 1);
        }
    }
    while random.percent(40) {
        let (key, value) = random.pick(&MORE);
        if shape.key(key).is_none() && !out.ends_with(b"}") {
            separate(out, count);
            count += 1;
            out.extend_from_slice(format!("\"{key}\":{value}").as_bytes());
        }
    }
    out.push(b'}');
}

fn leaf(out: &mut Vec<u8>, leaf: Leaf, random: &mut Random) {
    let text = match leaf {
        Leaf::Position | Leaf::Range => {
            let (line, column) = (random.below(6), number(random));
            format!("{{\"line\":{line},\"character\":{column}}}")
        }
        Leaf::Fold => {
            let (line, start, end) = (random.below(6), number(random), number(random));
            format!(
                "{{\"startLine\":{line},\"startCharacter\":{start},\"endLine\":{line},\"endCharacter\":{end}}}"
            )
        }
        Leaf::Tokens => {
            let numbers: Vec<String> = (0..random.below(12)).map(|_| number(random)).collect();
            format!("[{}]", numbers.join(","))
        }
        Leaf::Uri => format!("\"{}\"", random.pick(&URIS)),
        Leaf::CommandName | Leaf::ResultId => format!("\"{}\"", random.below(3)),
        Leaf::Data | Leaf::WorkDoneToken | Leaf::PartialResultToken | Leaf::Token | Leaf::Id => {
            return value(out, random, 2);
        }
    };
    out.extend_from_slice(text.as_bytes());
}

/// A number of columns, as servers write it, and as none should.
fn number(random: &mut Random) -> String {
    match random.below(20) {
        0 => "4294967296".to_owned(),
        1 => "2147483647".to_owned(),
        2 => "-1".to_owned(),
        3 => "1e0".to_owned(),
        _ => random.below(12).to_string(),
    }
}

fn separate(out: &mut Vec<u8>, index: usize) {
    if index > 0 {
        out.push(b',');
    }
}
