//! What one call costs while it is made (spec: Token usage optimization).

use super::assembler::Assembler;
use super::breaker::Sign;
use super::budget::Spent;
use super::error::Error;
use super::ledger::{Outcome, Slip};
use super::message::Usage;
use super::price::{Cost, Price};
use super::route::{Refused, Route};

/// Characters of an error that are written down.
const ERROR_CHARACTERS_MAX: usize = 200;

/// A call that is paid for. However it ends, what it cost so far is written down; also when it is dropped half-way.
pub(super) struct Bill {
    slip: Option<Slip>,
    blank: Assembler,
    price: Option<Price>,
    tokens_in: u64,
    pub(super) assembler: Assembler,
    /// Whether an attempt may have cost something that is not written down yet.
    in_flight: bool,
    /// What the provider said of it, once it is over.
    pub(super) reported: Option<Usage>,
    /// Tokens of the answer as we count them, once it is over.
    pub(super) heard: u64,
}

impl Bill {
    /// The bill of a call that was paid for with `slip`.
    pub(super) fn new(slip: Slip, route: &Route, tokens_in: u64) -> Self {
        Self {
            slip: Some(slip),
            blank: route.assembler(),
            price: route.price,
            tokens_in,
            assembler: route.assembler(),
            in_flight: false,
            reported: None,
            heard: 0,
        }
    }

    /// The request is sent.
    pub(super) fn begin(&mut self) {
        self.assembler = self.blank.clone();
        self.in_flight = true;
    }

    /// The request was not answered: it cost nothing when the endpoint did not take it.
    pub(super) fn refused(&mut self, refused: &Refused) {
        self.in_flight = !refused.is_free();
    }

    /// Whether the attempt that is over may have cost something.
    pub(super) fn is_owed(&self) -> bool {
        self.in_flight
    }

    /// The answer is over, whole or not.
    pub(super) fn end(&mut self) -> Assembler {
        self.heard = self.assembler.tokens_so_far();
        self.reported = self.assembler.reported();
        std::mem::replace(&mut self.assembler, self.blank.clone())
    }

    /// What it cost so far: as the provider reported, or else as we count.
    fn usage(&self) -> Usage {
        if !self.in_flight {
            return Usage::default();
        }
        let heard = self.heard.max(self.assembler.tokens_so_far());
        let counted = Usage {
            tokens_in: self.tokens_in,
            ..Usage::default()
        };
        let usage = self.assembler.reported().or(self.reported);
        let usage = usage.unwrap_or(counted);
        Usage {
            // What was reported at the start of an answer does not have the rest of it.
            tokens_out: usage.tokens_out.max(heard),
            ..usage
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

    /// Writes down what an attempt cost that is not the last one; gives the tokens that were sent.
    pub(super) fn leave(&mut self, why: &str) -> u64 {
        let usage = self.usage();
        self.write(usage, Sign::None, None, why.to_owned());
        self.tokens_in
    }

    /// Writes down what the call cost; only the first time counts.
    pub(super) fn write(&mut self, usage: Usage, sign: Sign, measure: Option<f64>, error: String) {
        self.in_flight = false;
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
        self.leave("cancelled");
    }
}
