//! What a call costs (spec: metrics, LLM token usage and costs).
//!
//! Money is counted in whole billionths of a US dollar, so that adding it up loses nothing.

use serde::{Deserialize, Serialize};

use super::message::Usage;
use super::models::{self, Prices};
use super::replay;
use crate::config::doors::is_loopback;
use crate::config::{Llm, Wire, spending};

/// Billionths in a millionth.
const NANO_PER_MICRO: u64 = 1_000;

/// Billionths in a dollar.
const NANO: f64 = 1e9;

/// What the tokens of a model cost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Price(Prices);

/// What a call cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cost {
    /// Its tokens.
    #[serde(flatten)]
    pub usage: Usage,
    /// Its money; `None` when nobody knows the price.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nano_usd: Option<u64>,
    /// How long it took.
    pub milliseconds: u64,
}

impl Cost {
    /// The most that a call may cost of which nothing is known yet.
    pub(super) fn at_most(tokens: u64, nano_usd: u64) -> Self {
        Self {
            usage: Usage {
                tokens_in: tokens,
                ..Usage::default()
            },
            nano_usd: Some(nano_usd),
            milliseconds: 0,
        }
    }
}

impl Price {
    /// A model that costs nothing.
    pub(super) const FREE: Self = Self(Prices::flat(0.0, 0.0, None));

    /// What a model of a provider costs: as it is configured; nothing, when Ollama runs it on this machine; as its
    /// maker publishes it; `None` when nobody knows.
    pub fn of(llm: &Llm, provider: &str, model: &str) -> Option<Self> {
        if let Some(price) = llm.prices.get(model) {
            return Self::configured(price);
        }
        if provider == replay::PROVIDER {
            return Some(Self::FREE);
        }
        let is_ollama = llm.wire_of(provider) == Wire::Ollama;
        let is_here = || llm.doors(provider).iter().all(|(url, _)| is_loopback(url));
        // Ollama hands models with this ending on to machines that are paid for.
        if is_ollama && !model.ends_with("cloud") && is_here() {
            return Some(Self::FREE);
        }
        models::facts(model).prices.map(Self)
    }

    fn configured(price: &spending::Price) -> Option<Self> {
        let given = [price.input, price.output, price.cached.unwrap_or_default()];
        let is_sound = given.iter().all(|price| price.is_finite() && *price >= 0.0);
        is_sound.then(|| Self(Prices::flat(price.input, price.output, price.cached)))
    }

    /// What so many tokens cost, in billionths of a dollar.
    pub fn cost(&self, usage: Usage) -> u64 {
        self.0.microdollars(usage).saturating_mul(NANO_PER_MICRO)
    }

    /// The most that so many tokens cost: all that is sent may be put into the provider's cache, which costs more.
    pub(super) fn at_most(&self, usage: Usage) -> u64 {
        let kept = Usage {
            tokens_kept: usage.tokens_in,
            ..usage
        };
        self.cost(usage).max(self.cost(kept))
    }

    /// A measure to compare prices by: agents send far more than they receive.
    pub(super) fn blended(&self) -> u64 {
        self.cost(Usage {
            tokens_in: 40_000,
            tokens_out: 10_000,
            ..Usage::default()
        })
    }
}

/// An amount of dollars in billionths; `None` for what is no amount.
pub(super) fn nano_of_usd(usd: f64) -> Option<u64> {
    nano(usd * NANO)
}

/// An amount in billionths as dollars.
#[expect(
    clippy::cast_precision_loss,
    reason = "dollars are shown with a few digits"
)]
pub fn usd(nano_usd: u64) -> f64 {
    nano_usd as f64 / NANO
}

/// A number rounded up; `None` when it is negative or none at all.
fn nano(amount: f64) -> Option<u64> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is not negative, and what is too large becomes the largest number"
    )]
    let whole = amount.ceil() as u64;
    (amount >= 0.0).then_some(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn llm(model: &str, input: f64, cached: Option<f64>) -> Llm {
        let price = spending::Price {
            input,
            output: 15.0,
            cached,
        };
        let mut llm = Llm::default();
        llm.prices.insert(model.to_owned(), price);
        llm
    }

    #[test]
    fn a_call_costs_what_its_tokens_cost_and_cached_ones_their_own_price() {
        let usage = Usage {
            tokens_in: 1_000_000,
            tokens_out: 100_000,
            tokens_cached: 400_000,
            ..Usage::default()
        };
        let cost = |cached| {
            let price = Price::of(&llm("m", 3.0, cached), "x", "m").expect("it is configured");
            price.cost(usage)
        };
        assert_eq!(cost(None), 4_500_000_000);
        assert_eq!(cost(Some(0.3)), 3_420_000_000);
        assert_eq!(Price::of(&llm("m", -1.0, None), "x", "m"), None);
        assert_eq!(Price::of(&llm("m", f64::NAN, None), "x", "m"), None);
    }

    #[test]
    fn only_a_model_that_runs_here_is_free_by_itself() {
        let mut llm = Llm::default();
        assert_eq!(Price::of(&llm, "ollama", "qwen"), Some(Price::FREE));
        assert_eq!(Price::of(&llm, "ollama", "gpt-oss:120b-cloud"), None);
        let provider = llm.providers.entry("ollama".to_owned()).or_default();
        "http://models.example.com:11434".clone_into(&mut provider.base_url);
        assert_eq!(Price::of(&llm, "ollama", "qwen"), None);
        // What listens here may hand the question on to somebody who is paid.
        let provider = llm.providers.entry("mine".to_owned()).or_default();
        "http://127.0.0.1:4000/v1".clone_into(&mut provider.base_url);
        assert_eq!(Price::of(&llm, "mine", "qwen"), None);
    }
}
