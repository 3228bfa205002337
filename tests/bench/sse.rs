//! How fast the stream of an answer is read, in megabytes of server-sent events a second.
//!
//! A recorded answer of each wire is read again and again, cut into pieces as a socket gives them: first the events
//! alone, then the whole way to an answer. The best of several rounds counts, because a machine that does something else
//! only makes a round slower.

use std::time::Instant;

use meliora::config::Wire;
use meliora::llm::assembler::Assembler;
use meliora::llm::sse::Decoder;

/// What one read of a socket brings at most.
const PIECE_BYTES: usize = 16 * 1024;

/// Bytes that one round reads at least.
const ROUND_BYTES: usize = 32 * 1024 * 1024;

const ROUNDS: usize = 5;

const RECORDED: [(&str, Wire, &str); 3] = [
    (
        "chat completions",
        Wire::Openai,
        include_str!("../../fixtures/wires/openai-tools.sse"),
    ),
    (
        "responses",
        Wire::Responses,
        include_str!("../../fixtures/wires/responses-tools.sse"),
    ),
    (
        "anthropic",
        Wire::Anthropic,
        include_str!("../../fixtures/wires/anthropic-tools.sse"),
    ),
];

/// Prints the rates of all wires.
pub(crate) fn measure(is_quick: bool) {
    let round_bytes = if is_quick {
        ROUND_BYTES / 64
    } else {
        ROUND_BYTES
    };
    println!("| wire | events | events and answer, wanted 200 MB/s |");
    println!("|---|---|---|");
    for (name, wire, recorded) in RECORDED {
        let text = recorded.repeat(round_bytes / recorded.len() + 1);
        let events = best(text.len(), || read(&text, |_| {}));
        let per_answer = read(recorded, |_| {});
        let answers = best(text.len(), || {
            let (mut assembler, mut taken) = (Assembler::new(wire), 0);
            read(&text, |data| {
                assembler.take(data).expect("it is a recorded answer");
                taken += 1;
                if taken % per_answer == 0 {
                    let whole = std::mem::replace(&mut assembler, Assembler::new(wire));
                    whole.finish().expect("it is a recorded answer");
                }
            })
        });
        println!("| {name} | {events:.0} MB/s | {answers:.0} MB/s |");
    }
}

/// Reads a stream piece by piece, and gives how many events it had.
fn read(text: &str, mut take: impl FnMut(&str)) -> usize {
    let (mut decoder, mut events) = (Decoder::default(), Vec::new());
    let mut count = 0;
    for piece in text.as_bytes().chunks(PIECE_BYTES) {
        decoder.push(piece, &mut events).expect("short enough");
        for event in events.drain(..) {
            take(&event.data);
            count += 1;
        }
    }
    count
}

/// The best rate of several rounds, in megabytes a second.
fn best(bytes: usize, mut round: impl FnMut() -> usize) -> f64 {
    let rates = (0..ROUNDS).map(|_| {
        let started = Instant::now();
        assert!(round() > 0, "a recorded answer has events");
        let seconds = started.elapsed().as_secs_f64();
        f64::from(u32::try_from(bytes / 1000).expect("a round is small")) / 1000.0 / seconds
    });
    rates.fold(0.0, f64::max)
}
