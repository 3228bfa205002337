//! How many tokens a text has, without asking anybody (spec: Token usage optimization).
//!
//! Every model counts differently. The estimate goes by the shape of the text and errs upwards; reported usage then
//! corrects it for the model at hand.

use super::message::{Message, Request};

/// Tokens that the frame of one message costs.
const MESSAGE_TOKENS: u64 = 4;

/// Weight of a new observation in the correction.
const WEIGHT: f64 = 0.5;

/// A ratio further off says that the provider counts something else, not that our estimate is bad.
const RATIO_MIN: f64 = 0.5;
const RATIO_MAX: f64 = 2.0;

/// Estimates tokens, corrected by what a provider reported.
#[derive(Debug, Clone)]
pub struct Estimator {
    correction: f64,
}

impl Default for Estimator {
    fn default() -> Self {
        Self { correction: 1.0 }
    }
}

impl Estimator {
    /// Tokens of a request, with its tools.
    pub fn request(&self, request: &Request) -> u64 {
        self.scale(raw_request(request))
    }

    /// Tokens of a text.
    pub fn text(&self, text: &str) -> u64 {
        self.scale(count(text))
    }

    /// An estimator that was corrected before.
    pub fn measured(correction: Option<f64>) -> Self {
        let correction = correction.map_or(1.0, |ratio| ratio.clamp(RATIO_MIN, RATIO_MAX));
        Self { correction }
    }

    /// Learns from the tokens that a provider reported for a request; gives what they were to counted ones.
    pub fn observe(&mut self, request: &Request, reported: u64) -> Option<f64> {
        let raw = raw_request(request);
        if raw == 0 || reported == 0 {
            return None;
        }
        let ratio = (to_f64(reported) / to_f64(raw)).clamp(RATIO_MIN, RATIO_MAX);
        self.correction = self.correction * (1.0 - WEIGHT) + ratio * WEIGHT;
        Some(ratio)
    }

    fn scale(&self, raw: u64) -> u64 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "counts of tokens are small and positive"
        )]
        let scaled = (to_f64(raw) * self.correction).ceil() as u64;
        scaled
    }
}

/// Tokens of a text by its shape: five letters or two signs to a token, one for a run of white space, one for every
/// character that is not ASCII.
pub fn count(text: &str) -> u64 {
    let mut tokens = 0;
    let (mut shape, mut length) = (Shape::Space, 0_u64);
    for character in text.chars() {
        let next = Shape::of(character);
        if next != shape {
            tokens += shape.tokens(length);
            (shape, length) = (next, 0);
        }
        length += 1;
    }
    tokens + shape.tokens(length)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Word,
    Sign,
    Space,
    Foreign,
}

impl Shape {
    fn of(character: char) -> Self {
        match character {
            character if character.is_ascii_alphanumeric() => Self::Word,
            character if character.is_ascii_whitespace() => Self::Space,
            character if character.is_ascii() => Self::Sign,
            _ => Self::Foreign,
        }
    }

    fn tokens(self, length: u64) -> u64 {
        match self {
            Self::Word => length.div_ceil(5),
            Self::Sign => length.div_ceil(2),
            // A single space belongs to the word after it.
            Self::Space => u64::from(length > 1),
            Self::Foreign => length,
        }
    }
}

fn raw_request(request: &Request) -> u64 {
    let messages: u64 = request.messages.iter().map(raw_message).sum();
    let tools: u64 = request
        .tools
        .iter()
        .map(|tool| {
            count(&tool.name) + count(&tool.description) + count(&tool.parameters.to_string())
        })
        .sum();
    messages + tools
}

fn raw_message(message: &Message) -> u64 {
    let calls = match message {
        Message::Assistant {
            calls, thoughts, ..
        } => {
            let calls = calls
                .iter()
                .map(|call| count(&call.name) + count(&call.arguments) + MESSAGE_TOKENS);
            let thoughts = thoughts
                .blocks
                .iter()
                .map(|block| count(&block.to_string()));
            calls.chain(thoughts).sum()
        }
        Message::System { .. } | Message::User { .. } | Message::Tool { .. } => 0,
    };
    count(message.text()) + calls + MESSAGE_TOKENS
}

#[expect(
    clippy::cast_precision_loss,
    reason = "an estimate needs no exact figures"
)]
fn to_f64(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimates_are_near_what_a_tokenizer_counts() {
        // Counts by OpenAI's o200k vocabulary, which the estimate may exceed by half and undercut by a fifth.
        for (text, tokens) in [
            ("fn main() {\n    println!(\"hello\");\n}\n", 10),
            ("The quick brown fox jumps over the lazy dog.", 10),
            (
                "let total: usize = values.iter().map(|value| value.len()).sum();",
                17,
            ),
        ] {
            let estimate = count(text);
            assert!(
                estimate * 5 >= tokens * 4 && estimate * 2 <= tokens * 3,
                "{estimate} for {tokens}: {text}"
            );
        }
        assert_eq!(count(""), 0);
    }

    #[test]
    fn reported_usage_corrects_the_estimate_within_bounds() {
        let request = Request {
            messages: vec![Message::User {
                text: "word ".repeat(100),
            }],
            tools: Vec::new(),
        };
        let mut estimator = Estimator::default();
        let before = estimator.request(&request);
        for _ in 0..8 {
            estimator.observe(&request, before * 3 / 2);
        }
        let after = estimator.request(&request);
        assert!(
            after > before * 14 / 10 && after <= before * 3 / 2 + 1,
            "{before} {after}"
        );
        for _ in 0..20 {
            estimator.observe(&request, before * 1000);
        }
        assert!(estimator.request(&request) <= before * 2 + 1);
    }
}
