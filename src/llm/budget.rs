//! What a run and a day may spend on models (spec: Token usage optimization; Resource limits).
//!
//! Pure: what is spent and what is wanted go in, how long the answer may be comes out. What cannot be judged, because a
//! price is not known, is refused.

use serde::{Deserialize, Serialize};

use super::error::Error;
use super::message::Usage;
use super::price::{self, Price};
use crate::config::Llm;

/// An answer with fewer tokens than this is not worth asking for.
const ANSWER_TOKENS_MIN: u64 = 128;

/// Tokens and money, in billionths of a dollar.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Spent {
    pub(super) tokens: u64,
    pub(super) nano_usd: u64,
}

impl Spent {
    /// Puts one amount in place of another.
    pub(super) fn replace(&mut self, before: Self, after: Self) {
        let put = |sum: u64, before, after| sum.saturating_sub(before).saturating_add(after);
        self.tokens = put(self.tokens, before.tokens, after.tokens);
        self.nano_usd = put(self.nano_usd, before.nano_usd, after.nano_usd);
    }
}

/// What a call wants.
#[derive(Debug, Clone, Copy)]
pub(super) struct Demand<'call> {
    pub(super) model: &'call str,
    pub(super) price: Option<Price>,
    /// Tokens that are sent.
    pub(super) tokens_in: u64,
    /// Tokens that the answer may have at most.
    pub(super) tokens_out: u64,
}

impl Demand<'_> {
    /// The most that it costs with an answer of so many tokens.
    pub(super) fn at_most(&self, tokens_out: u64) -> Spent {
        let usage = Usage {
            tokens_in: self.tokens_in,
            tokens_out,
            ..Usage::default()
        };
        Spent {
            tokens: usage.total(),
            nano_usd: self.price.map_or(0, |price| price.at_most(usage)),
        }
    }
}

/// What may be spent in all, and what that is called in the settings.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit {
    tokens_max: Option<u64>,
    nano_usd_max: Option<u64>,
    tokens_key: &'static str,
    money_key: &'static str,
}

impl Limit {
    /// The limit of a run.
    pub(super) fn of_run(llm: &Llm, tokens_max: u64) -> Self {
        Self {
            tokens_max: Some(tokens_max),
            nano_usd_max: llm.budget.run_usd_max.map(amount),
            tokens_key: "agent.tokens_max",
            money_key: "llm.budget.run_usd_max",
        }
    }

    /// The limit of a day.
    pub(super) fn of_day(llm: &Llm) -> Self {
        Self {
            tokens_max: llm.budget.day_tokens_max,
            nano_usd_max: llm.budget.day_usd_max.map(amount),
            tokens_key: "llm.budget.day_tokens_max",
            money_key: "llm.budget.day_usd_max",
        }
    }

    /// Whether there is any.
    pub(super) fn is_set(&self) -> bool {
        self.tokens_max.is_some() || self.nano_usd_max.is_some()
    }

    /// How many tokens the answer may have when so much is spent already.
    pub(super) fn allow(&self, spent: Spent, demand: &Demand<'_>) -> Result<u64, Error> {
        let least = ANSWER_TOKENS_MIN.min(demand.tokens_out);
        let mut allowed = demand.tokens_out;
        if let Some(tokens_max) = self.tokens_max {
            let room = tokens_max.saturating_sub(spent.tokens);
            allowed = allowed.min(room.saturating_sub(demand.tokens_in));
            if allowed < least || allowed == 0 {
                return Err(Error::Budget {
                    key: self.tokens_key,
                    tokens_max,
                    tokens_needed: demand.tokens_in.saturating_add(ANSWER_TOKENS_MIN),
                });
            }
        }
        let Some(nano_usd_max) = self.nano_usd_max else {
            return Ok(allowed);
        };
        if demand.price.is_none() {
            return Err(Error::PriceUnknown(demand.model.to_owned()));
        }
        let room = nano_usd_max.saturating_sub(spent.nano_usd);
        let affordable = affordable(room, demand, allowed);
        match affordable {
            Some(allowed) if allowed >= least => Ok(allowed),
            _ => Err(Error::Money {
                key: self.money_key,
                usd_max: price::usd(nano_usd_max),
                usd_needed: price::usd(demand.at_most(least).nano_usd),
                usd_left: price::usd(room),
            }),
        }
    }
}

/// How many of so many tokens an answer may have for an amount of money; `None` when not even the question is
/// affordable. Each token of an answer costs the same.
fn affordable(room: u64, demand: &Demand<'_>, tokens_out: u64) -> Option<u64> {
    let question = demand.at_most(0).nano_usd;
    let left = u128::from(room.checked_sub(question)?);
    let answer = u128::from(demand.at_most(tokens_out).nano_usd.saturating_sub(question));
    let tokens = (left * u128::from(tokens_out)).checked_div(answer);
    let tokens = tokens.and_then(|tokens| u64::try_from(tokens).ok());
    Some(tokens.unwrap_or(tokens_out).min(tokens_out))
}

/// A limit in billionths of a dollar. What is no amount allows nothing.
fn amount(usd: f64) -> u64 {
    price::nano_of_usd(usd).unwrap_or_default()
}

/// What one run may spend: reserved before a call, settled after it. A call that never ends stays paid for.
#[derive(Debug, Clone)]
pub(super) struct Budget {
    limit: Limit,
    spent: Spent,
    reserved: Spent,
}

impl Budget {
    /// A budget of which nothing is spent.
    pub(super) fn new(limit: Limit) -> Self {
        Self {
            limit,
            spent: Spent::default(),
            reserved: Spent::default(),
        }
    }

    /// Tokens that are neither spent nor reserved.
    pub(super) fn left(&self) -> u64 {
        let used = self.spent.tokens.saturating_add(self.reserved.tokens);
        self.limit
            .tokens_max
            .map_or(u64::MAX, |tokens_max| tokens_max.saturating_sub(used))
    }

    /// Reserves a request and its answer; says how long the answer may be. An earlier reservation that was never
    /// settled counts as spent.
    pub(super) fn reserve(&mut self, demand: &Demand<'_>) -> Result<u64, Error> {
        let kept = std::mem::take(&mut self.reserved);
        self.spent.replace(Spent::default(), kept);
        let allowed = self.limit.allow(self.spent, demand)?;
        self.reserved = demand.at_most(allowed);
        Ok(allowed)
    }

    /// Puts what a call really cost in place of its reservation.
    pub(super) fn settle(&mut self, cost: Spent) {
        self.reserved = Spent::default();
        self.spent.replace(Spent::default(), cost);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::spending;

    fn demand(tokens_in: u64, tokens_out: u64) -> Demand<'static> {
        Demand {
            model: "m",
            price: None,
            tokens_in,
            tokens_out,
        }
    }

    /// Dollars for a million tokens that are sent and that are received.
    fn price(input: f64, output: f64) -> Price {
        let price = spending::Price {
            input,
            output,
            cached: None,
        };
        let mut llm = Llm::default();
        llm.prices.insert("m".to_owned(), price);
        Price::of(&llm, "x", "m").expect("it is configured")
    }

    fn tokens(tokens: u64) -> Spent {
        Spent {
            tokens,
            nano_usd: 0,
        }
    }

    #[test]
    fn a_budget_shrinks_answers_and_then_refuses() {
        let mut budget = Budget::new(Limit::of_run(&Llm::default(), 1000));
        assert_eq!(
            budget.reserve(&demand(100, 500)).expect("there is room"),
            500
        );
        budget.settle(tokens(150));
        assert_eq!(
            budget.reserve(&demand(600, 500)).expect("there is room"),
            250
        );
        budget.settle(tokens(700));
        assert!(budget.reserve(&demand(100, 500)).is_err());
        assert_eq!(budget.left(), 150);
    }

    #[test]
    fn a_call_that_never_ended_stays_paid_for() {
        let mut budget = Budget::new(Limit::of_run(&Llm::default(), 1000));
        budget.reserve(&demand(400, 200)).expect("there is room");
        assert!(budget.reserve(&demand(400, 200)).is_err());
        assert_eq!(budget.left(), 400);
    }

    #[test]
    fn money_shrinks_answers_and_what_has_no_price_is_refused() {
        let mut llm = Llm::default();
        llm.budget.run_usd_max = Some(0.01);
        let mut budget = Budget::new(Limit::of_run(&llm, 1_000_000));
        let error = budget
            .reserve(&demand(10, 10))
            .expect_err("nobody knows the price");
        assert!(error.to_string().contains("[llm.prices.\"m\"]"), "{error}");
        let priced = |tokens_in, tokens_out| Demand {
            price: Some(price(3.0, 15.0)),
            ..demand(tokens_in, tokens_out)
        };
        let reserve = |budget: &mut Budget, demand: &Demand<'_>| budget.reserve(demand);
        assert_eq!(
            reserve(&mut budget, &priced(1_000, 4_096)).expect("there is room"),
            466
        );
        budget.settle(Spent {
            tokens: 0,
            nano_usd: 6_000_000,
        });
        let error = reserve(&mut budget, &priced(1_000, 4_096)).expect_err("too little is left");
        assert!(
            error.to_string().contains("llm.budget.run_usd_max"),
            "{error}"
        );
        assert!(
            reserve(&mut budget, &priced(10, 128)).is_ok(),
            "a short one is affordable"
        );
        budget.settle(Spent {
            tokens: 0,
            nano_usd: 4_000_000,
        });
        assert!(
            reserve(&mut budget, &priced(0, 1)).is_err(),
            "nothing is left"
        );
        let free = Demand {
            price: Some(Price::FREE),
            ..demand(1_000, 4_096)
        };
        assert_eq!(
            reserve(&mut budget, &free).expect("it costs nothing"),
            4_096
        );
        // What is no amount allows nothing.
        llm.budget.run_usd_max = Some(-1.0);
        let mut budget = Budget::new(Limit::of_run(&llm, 1_000_000));
        assert!(reserve(&mut budget, &priced(10, 128)).is_err());
    }
}
