//! What one call costs while it is made (spec: Token usage optimization).

use super::assembler::Assembler;
use super::breaker::Sign;
use super::budget::Spent;
use super::error::Error;
use super::ledger::{Outcome, Slip};
use super::message::Usage;
use super::price::{Cost, Price};
use super::route::Route;
use crate::config::Wire;

/// Characters of an error that are written down.
const ERROR_CHARACTERS_MAX: usize = 200;

/// A call that is paid for. However it ends, what it cost so far is written down; also when it is dropped half-way.
pub(super) struct Bill {
    slip: Option<Slip>,
    wire: Wire,
    price: Option<Price>,
    tokens_in: u64,
    pub(super) assembler: Assembler,
    in_flight: bool,
    /// Tokens of the answer as we count them, once it is over.
    pub(super) heard: u64,
}

impl Bill {
    /// The bill of a call that was paid for with `slip`.
    pub(super) fn new(slip: Slip, route: &Route, tokens_in: u64) -> Self {
        Self {
            slip: Some(slip),
            wire: route.wire,
            price: route.price,
            tokens_in,
            assembler: Assembler::new(route.wire),
            in_flight: false,
            heard: 0,
        }
    }

    /// The request is sent.
    pub(super) fn begin(&mut self) {
        self.assembler = Assembler::new(self.wire);
        self.in_flight = true;
    }

    /// The endpoint did not take the request, so that it cost nothing.
    pub(super) fn refused(&mut self) {
        self.in_flight = false;
    }

    /// The answer is over, whole or not.
    pub(super) fn end(&mut self) -> Assembler {
        self.heard = self.assembler.tokens_so_far();
        std::mem::replace(&mut self.assembler, Assembler::new(self.wire))
    }

    /// What it cost so far, as we count.
    fn usage(&self) -> Usage {
        if !self.in_flight {
            return Usage::default();
        }
        Usage {
            tokens_in: self.tokens_in,
            tokens_out: self.heard.max(self.assembler.tokens_so_far()),
            ..Usage::default()
        }
    }

    /// That, and the money for it.
    pub(super) fn spent(&self) -> Spent {
        let usage = self.usage();
        Spent {
            tokens: usage.total(),
            nano_usd: self.price.map_or(0, |price| price.cost(usage)),
        }
    }

    /// Writes down that there was no answer, and why.
    pub(super) fn fail(mut self, shown: &str, error: &Error) {
        let sign = if error.is_of_endpoint() {
            Sign::Bad
        } else {
            Sign::None
        };
        let shown = shown.chars().take(ERROR_CHARACTERS_MAX).collect();
        let usage = self.usage();
        self.write(usage, sign, None, shown);
    }

    /// Writes down what the call cost; only the first time counts.
    pub(super) fn write(&mut self, usage: Usage, sign: Sign, measure: Option<f64>, error: String) {
        let Some(slip) = self.slip.take() else { return };
        slip.settle(Outcome {
            cost: Cost {
                usage,
                nano_usd: self.price.map(|price| price.cost(usage)),
                milliseconds: 0,
            },
            sign,
            measure,
            error,
        });
    }
}

impl Drop for Bill {
    fn drop(&mut self) {
        let usage = self.usage();
        self.write(usage, Sign::None, None, "cancelled".to_owned());
    }
}
