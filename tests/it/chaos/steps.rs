//! What a server is asked to do with a request.

use serde_json::{Value, json};

use crate::seed::{Random, is_long};

/// Ways to answer that an editor must not notice.
const STYLES: [&str; 13] = [
    "plain",
    "lower",
    "extra",
    "order",
    "bare",
    "garbage",
    "halves",
    "idlast",
    "keys",
    "batch",
    "badutf8",
    "surrogate",
    "jsid",
];

/// Ids that servers of the world use for their own requests; each may come from every server.
const IDS: [&str; 7] = [
    "1",
    "\"1\"",
    "-3",
    "\"\\u00e9\"",
    "12345678901234567890123",
    "0",
    "1.5",
];

/// Progress tokens; each may come from every server, and so may each name of a registration.
const TOKENS: [&str; 4] = ["1", "\"1\"", "\"\\u00e9\"", "\"meliora-0.0:1\""];
const NAMES: [&str; 3] = ["1", "watch", "meliora-0.0:1"];

/// Bodies that say nothing to anybody.
const NONSENSE: [&str; 8] = [
    "{",
    "null",
    "[]",
    "{\"jsonrpc\":\"2.0\"}",
    "{\"jsonrpc\":\"2.0\",\"id\":987654321,\"result\":1}",
    "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32700,\"message\":\"what?\"}}",
    "[[[[",
    "{\"method\":3,\"id\":[]}",
];

/// Steps for one request, and whether the editor gets a result by them.
pub(crate) fn random(random: &mut Random, breaking: bool) -> (Value, bool) {
    let mut steps = Vec::new();
    for _ in 0..random.below(3) {
        steps.push(aside(random));
    }
    let (last, works) = match random.below(20) {
        0 => (json!(["error"]), false),
        1..4 => (json!(["later", random.below(60)]), true),
        4 => (json!(["twice"]), true),
        5..7 => (json!(["never"]), false),
        7 => (json!(["answer", large(random)]), true),
        8 if breaking => (json!([*random.pick(&["mid", "crash"])]), false),
        9 if breaking => (json!(["truncate"]), false),
        _ => (json!(["answer", random.pick(&STYLES)]), true),
    };
    steps.push(last);
    (Value::from(steps), works)
}

/// Whether a server that takes these steps may fail others too.
pub(crate) fn breaks(steps: &Value) -> bool {
    steps
        .as_array()
        .into_iter()
        .flatten()
        .any(|step| matches!(step[0].as_str(), Some("mid" | "crash" | "truncate")))
}

fn aside(random: &mut Random) -> Value {
    match random.below(15) {
        12..14 => json!(["work", random.pick(&TOKENS)]),
        14 => json!(["register", random.pick(&NAMES)]),
        0 => json!(["garbage", "Listening…\n"]),
        1 => json!(["say", random.pick(&NONSENSE), "plain"]),
        2 => json!(["flood", 1_000]),
        3 => json!(["deaf", random.below(80)]),
        4..8 => json!(["ask", random.pick(&IDS)]),
        _ => json!([
            "say",
            "{\"jsonrpc\":\"2.0\",\"method\":\"chaos/note\",\"params\":{\"x\":\"\\ud800\"}}",
            random.pick(&["plain", "lower", "bare"])
        ]),
    }
}

/// An answer of fifty megabytes now and then, when there is time.
fn large(random: &mut Random) -> String {
    let bytes = if is_long() && random.percent(10) {
        50_000_000
    } else {
        200_000 + random.below(800_000)
    };
    format!("large{bytes}")
}
