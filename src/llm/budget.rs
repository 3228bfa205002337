//! What one run may spend on its model (spec: Token usage optimization; Resource limits).

use super::error::Error;

/// An answer with fewer tokens than this is not worth asking for.
const ANSWER_TOKENS_MIN: u64 = 128;

/// Tokens of one run: reserved before a call, settled after it. A call that never ends stays paid for.
#[derive(Debug, Clone)]
pub(super) struct Budget {
    tokens_max: u64,
    spent: u64,
    reserved: u64,
}

impl Budget {
    /// A budget of so many tokens.
    pub(super) fn new(tokens_max: u64) -> Self {
        Self {
            tokens_max,
            spent: 0,
            reserved: 0,
        }
    }

    /// Tokens that are neither spent nor reserved.
    pub(super) fn left(&self) -> u64 {
        self.tokens_max
            .saturating_sub(self.spent)
            .saturating_sub(self.reserved)
    }

    /// Reserves a request and its answer; says how long the answer may be. An earlier reservation that was never
    /// settled counts as spent.
    pub(super) fn reserve(&mut self, tokens_in: u64, tokens_out: u64) -> Result<u64, Error> {
        self.spent = self
            .spent
            .saturating_add(std::mem::take(&mut self.reserved));
        let room = self.left().saturating_sub(tokens_in);
        let allowed = tokens_out.min(room);
        if allowed < ANSWER_TOKENS_MIN.min(tokens_out) || allowed == 0 {
            return Err(Error::Budget {
                tokens_max: self.tokens_max,
                tokens_needed: tokens_in.saturating_add(ANSWER_TOKENS_MIN),
            });
        }
        self.reserved = tokens_in.saturating_add(allowed);
        Ok(allowed)
    }

    /// Puts what a call really cost in place of its reservation.
    pub(super) fn settle(&mut self, tokens: u64) {
        self.reserved = 0;
        self.spent = self.spent.saturating_add(tokens);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_shrinks_answers_and_then_refuses() {
        let mut budget = Budget::new(1000);
        assert_eq!(budget.reserve(100, 500).expect("there is room"), 500);
        budget.settle(150);
        assert_eq!(budget.reserve(600, 500).expect("there is room"), 250);
        budget.settle(700);
        assert!(budget.reserve(100, 500).is_err());
        assert_eq!(budget.left(), 150);
    }

    #[test]
    fn a_call_that_never_ended_stays_paid_for() {
        let mut budget = Budget::new(1000);
        budget.reserve(400, 200).expect("there is room");
        assert!(budget.reserve(400, 200).is_err());
        assert_eq!(budget.left(), 400);
    }
}
