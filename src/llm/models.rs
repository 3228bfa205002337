//! What is known of models by their names: limits, what they refuse, prices (spec: LLM Gateway, model capabilities).
//!
//! The table is data, `models.toml`. A model that is not in it is asked as most are, within the limits of the
//! configuration, and its price is unknown.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde::Deserialize;

use super::message::Usage;

/// The table.
const TABLE: &str = include_str!("models.toml");

/// What is known of a model.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Facts {
    /// Tokens that a conversation and its answer may have together.
    #[serde(rename = "context")]
    pub context_tokens_max: Option<u64>,
    /// Tokens that an answer may have.
    #[serde(rename = "answer")]
    pub answer_tokens_max: Option<u64>,
    /// Whether its token limit is called `max_completion_tokens` in chat completions.
    pub completion_limit: bool,
    /// Whether a sampling temperature may be sent.
    pub temperature: bool,
    /// Whether its maker serves it by the responses wire, with all it can do.
    pub responses: bool,
    /// Who says what the model is told before everything else.
    pub system: System,
    /// Whether it has tool calls.
    pub tools: bool,
    /// Whether the provider holds its answers to a JSON schema.
    pub schema: bool,
    /// What it costs, when that is known.
    #[serde(skip)]
    pub prices: Option<Prices>,
}

impl Default for Facts {
    fn default() -> Self {
        Self {
            context_tokens_max: None,
            answer_tokens_max: None,
            completion_limit: false,
            temperature: true,
            responses: false,
            system: System::System,
            tools: true,
            schema: true,
            prices: None,
        }
    }
}

/// The role of what a model is told once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum System {
    /// `system`.
    System,
    /// `developer`, as models that reason call it.
    Developer,
    /// The model has no such role: the user says it.
    User,
}

impl System {
    /// The role as it is written.
    pub fn role(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Developer => "developer",
            Self::User => "user",
        }
    }
}

/// Dollars for a million tokens, which is millionths of a dollar for one.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    /// Tokens that are sent.
    pub input: f64,
    /// Tokens that the provider reads from its cache; as `input` when it gives no discount.
    pub cached: Option<f64>,
    /// Tokens that the provider puts into its cache; as `input` when that costs nothing more.
    pub write: Option<f64>,
    /// Tokens that come back.
    pub output: f64,
    /// Tokens of input beyond which the whole exchange costs more.
    long: Option<u64>,
    #[serde(default = "once")]
    long_input: f64,
    #[serde(default = "once")]
    long_output: f64,
}

fn once() -> f64 {
    1.0
}

impl Prices {
    /// Prices that are the same for every exchange.
    pub(super) const fn flat(input: f64, output: f64, cached: Option<f64>) -> Self {
        Self {
            input,
            cached,
            write: None,
            output,
            long: None,
            long_input: 1.0,
            long_output: 1.0,
        }
    }

    /// What an exchange costs, in millionths of a dollar, rounded up.
    pub fn microdollars(&self, usage: Usage) -> u64 {
        let cached = usage.tokens_cached.min(usage.tokens_in);
        let kept = usage.tokens_kept.min(usage.tokens_in - cached);
        let fresh = usage.tokens_in - cached - kept;
        let is_long = self.long.is_some_and(|long| usage.tokens_in > long);
        let (long_input, long_output) = if is_long {
            (self.long_input, self.long_output)
        } else {
            (1.0, 1.0)
        };
        let input = times(fresh, self.input)
            + times(cached, self.cached.unwrap_or(self.input))
            + times(kept, self.write.unwrap_or(self.input));
        let whole = input * long_input + times(usage.tokens_out, self.output) * long_output;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "prices and tokens are positive, and nobody pays 18 trillion dollars"
        )]
        // A little less than the sum, so that the error of its binary fractions is not rounded up to a whole one.
        let microdollars = (whole - 1e-6).ceil() as u64;
        microdollars
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "no exchange has so many tokens that one of them would be lost"
)]
fn times(tokens: u64, price: f64) -> f64 {
    tokens as f64 * price
}

/// What is known of a model by its name, however a provider writes it; the defaults when it is unknown.
pub fn facts(name: &str) -> Facts {
    let name = plain(name);
    let rows = rows();
    let found = rows.iter().find_map(|row| Some((row, row.rest_of(&name)?)));
    found.map_or_else(Facts::default, |(row, rest)| Facts {
        prices: row.prices.filter(|_| is_release(rest)),
        ..row.facts
    })
}

#[derive(Deserialize)]
struct Table {
    family: Vec<Family>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Family {
    facts: Facts,
    #[serde(default)]
    names: Vec<String>,
    #[serde(default)]
    prices: BTreeMap<String, Prices>,
}

struct Row {
    name: String,
    /// Whether the name may go on with a letter or a digit.
    is_open: bool,
    facts: Facts,
    prices: Option<Prices>,
}

impl Row {
    /// What follows the name of this row in a name that begins with it.
    fn rest_of<'name>(&self, name: &'name str) -> Option<&'name str> {
        let rest = name.strip_prefix(self.name.as_str())?;
        let goes_on = rest.starts_with(|next: char| next.is_ascii_alphanumeric() || next == '.');
        (self.is_open || !goes_on).then_some(rest)
    }
}

/// The rows of the table, longest names first.
fn rows() -> &'static [Row] {
    static ROWS: OnceLock<Vec<Row>> = OnceLock::new();
    ROWS.get_or_init(|| {
        let table: Table = toml::from_str(TABLE).expect("a test reads the table");
        let mut rows: Vec<Row> = Vec::new();
        for family in table.family {
            let unpriced = family.names.into_iter().map(|name| (name, None));
            let priced = family.prices.into_iter();
            let priced = priced.map(|(name, prices)| (name, Some(prices)));
            rows.extend(unpriced.chain(priced).map(|(name, prices)| Row {
                name: name.trim_end_matches('*').to_owned(),
                is_open: name.ends_with('*'),
                facts: family.facts,
                prices,
            }));
        }
        rows.sort_by_key(|row| std::cmp::Reverse(row.name.len()));
        rows
    })
}

/// A name without what resellers and clouds put before it: `anthropic/claude-3.5-sonnet`,
/// `us.anthropic.claude-3-opus-20240229-v1:0`, `hf.co/Qwen/Qwen2.5-Coder-7B`.
fn plain(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    let name = name.rsplit('/').next().unwrap_or_default();
    match name.find("claude-").and_then(|start| name.get(start..)) {
        Some(name) => name.replace('.', "-"),
        None => name.to_owned(),
    }
}

/// Whether what follows a name says only which release it is: nothing, `-latest`, or a date, which begins with four digits.
fn is_release(rest: &str) -> bool {
    let rest = rest.trim_start_matches(['-', '@']);
    let mut letters = rest.chars();
    rest.is_empty()
        || rest == "latest"
        || (0..4).all(|_| letters.next().is_some_and(|digit| digit.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_models_of_today_are_known_however_they_are_written() {
        let check = |name: &str, context: u64, answer: u64, input: Option<f64>| {
            let facts = facts(name);
            assert_eq!(
                (facts.context_tokens_max, facts.answer_tokens_max),
                (Some(context), Some(answer)),
                "{name}"
            );
            assert_eq!(facts.prices.map(|prices| prices.input), input, "{name}");
        };
        check("gpt-4", 8_192, 8_192, Some(30.0));
        check("gpt-4-0613", 8_192, 8_192, Some(30.0));
        check("gpt-4o", 128_000, 16_384, Some(2.5));
        check("openai/gpt-4o-2024-08-06", 128_000, 16_384, Some(2.5));
        check("gpt-4o-2024-05-13", 128_000, 4_096, Some(5.0));
        check("o1", 200_000, 100_000, Some(15.0));
        check("o1-2024-12-17", 200_000, 100_000, Some(15.0));
        check("gpt-5", 400_000, 128_000, Some(1.25));
        check("gpt-5.5", 1_050_000, 128_000, Some(5.0));
        check("claude-3-5-sonnet-20241022", 200_000, 8_192, Some(3.0));
        check("anthropic/claude-3.5-sonnet", 200_000, 8_192, Some(3.0));
        check(
            "us.anthropic.claude-3-opus-20240229-v1:0",
            200_000,
            4_096,
            Some(15.0),
        );
        check("claude-3-opus-latest", 200_000, 4_096, Some(15.0));
        check("claude-haiku-4-5@20251001", 200_000, 64_000, Some(1.0));
        check("claude-opus-4-8", 1_000_000, 128_000, Some(5.0));
        // Of the family, but nobody knows what it costs.
        check("claude-opus-5-9", 1_000_000, 128_000, None);
        assert_eq!(
            facts("hf.co/Qwen/Qwen2.5-Coder-7B-GGUF:Q4").context_tokens_max,
            Some(32_768)
        );
        assert_eq!(facts("codellama:7b-code").context_tokens_max, Some(16_384));
        assert!(facts("gpt-oss:20b").prices.is_none() && !facts("gpt-oss:20b").completion_limit);
    }

    #[test]
    fn what_a_model_refuses_is_known_and_strangers_are_asked_as_most_are() {
        let o1 = facts("o1");
        assert!(o1.completion_limit && !o1.temperature && o1.system == System::Developer);
        assert!(!facts("o1-mini").tools && facts("o1-mini").system == System::User);
        for sampled in [
            "gpt-4",
            "gpt-4o",
            "claude-3-opus-20240229",
            "claude-sonnet-4-6",
            "qwen3:8b",
        ] {
            assert!(facts(sampled).temperature, "{sampled}");
        }
        for other in [
            "claude-sonnet-5",
            "claude-opus-4-7",
            "claude-next-9",
            "gpt-5.9-x",
            "gpt-6.2-sol",
        ] {
            assert!(!facts(other).temperature, "{other}");
        }
        for stranger in ["parrot", "o100", "", "gpt-4omega"] {
            assert_eq!(facts(stranger), Facts::default(), "{stranger}");
        }
    }

    #[test]
    fn an_exchange_costs_what_its_tokens_cost() {
        let usage = |tokens_in, tokens_cached, tokens_kept, tokens_out| Usage {
            tokens_in,
            tokens_out,
            tokens_cached,
            tokens_kept,
            reported: true,
        };
        let cost = |name: &str, usage| facts(name).prices.expect("it is known").microdollars(usage);
        assert_eq!(cost("gpt-4o", usage(1_000_000, 0, 0, 0)), 2_500_000);
        assert_eq!(
            cost("gpt-4o", usage(1000, 400, 0, 100)),
            600 * 5 / 2 + 400 * 5 / 4 + 1000
        );
        assert_eq!(cost("gpt-4", usage(1000, 400, 0, 0)), 30_000);
        assert_eq!(cost("claude-sonnet-4-5", usage(1000, 0, 1000, 0)), 3750);
        assert_eq!(cost("gpt-5.5", usage(272_001, 0, 0, 10)), 2_720_010 + 450);
        assert_eq!(cost("gpt-5-nano", usage(1, 0, 0, 0)), 1, "rounded up");
        assert_eq!(cost("gpt-4o", Usage::default()), 0);
    }
}
