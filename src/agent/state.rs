//! The states of a run and the moves between them (spec: State Manager).
//!
//! A move that is not in the table is an error in the program, not something to go on from; every move that is made is
//! an event for the journal.

use crate::event::{RunEvent, State};

/// Every move that a run may make.
const MOVES: [(State, &[State]); 7] = [
    (State::Idle, &[State::Analyzing]),
    (
        State::Analyzing,
        &[State::Planning, State::Idle, State::Error],
    ),
    (
        State::Planning,
        &[State::Executing, State::Idle, State::Error],
    ),
    (
        State::Executing,
        &[State::Validating, State::Idle, State::Error],
    ),
    // Back to work when the proof fails, on to learning when it holds.
    (
        State::Validating,
        &[
            State::Executing,
            State::Improving,
            State::Idle,
            State::Error,
        ],
    ),
    (State::Improving, &[State::Idle, State::Error]),
    (State::Error, &[State::Analyzing, State::Idle]),
];

/// A move that no run may make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a run cannot go from {from:?} to {to:?}; please report this")]
pub struct IllegalMove {
    /// The state the run is in.
    pub from: State,
    /// The state it was told to go to.
    pub to: State,
}

/// Where a run is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    state: State,
}

impl Default for Machine {
    fn default() -> Self {
        Self { state: State::Idle }
    }
}

impl Machine {
    /// The current state.
    pub fn state(&self) -> State {
        self.state
    }

    /// Moves, and gives the event of the move.
    pub fn go(&mut self, to: State) -> Result<RunEvent, IllegalMove> {
        let from = self.state;
        if !is_allowed(from, to) {
            return Err(IllegalMove { from, to });
        }
        self.state = to;
        Ok(RunEvent::StateChanged { from, to })
    }
}

/// Whether a run may move from one state to another.
pub fn is_allowed(from: State, to: State) -> bool {
    MOVES
        .iter()
        .any(|(state, targets)| *state == from && targets.contains(&to))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [State; 7] = [
        State::Idle,
        State::Analyzing,
        State::Planning,
        State::Executing,
        State::Validating,
        State::Improving,
        State::Error,
    ];

    #[test]
    fn every_state_can_be_reached_and_left_for_idle() {
        for state in STATES {
            let mut reached = vec![State::Idle];
            for _ in STATES {
                let next = STATES.iter().copied().filter(|to| {
                    !reached.contains(to) && reached.iter().any(|from| is_allowed(*from, *to))
                });
                reached.extend(next.collect::<Vec<_>>());
            }
            assert!(reached.contains(&state), "{state:?}");
            assert!(
                state == State::Idle || is_allowed(state, State::Idle),
                "{state:?}"
            );
            assert!(!is_allowed(state, state), "{state:?}");
        }
    }

    #[test]
    fn an_illegal_move_is_refused_and_changes_nothing() {
        let mut machine = Machine::default();
        let refused = machine.go(State::Executing);
        assert_eq!(
            refused,
            Err(IllegalMove {
                from: State::Idle,
                to: State::Executing
            })
        );
        assert_eq!(machine.state(), State::Idle);
        let event = machine.go(State::Analyzing).expect("the first move");
        assert_eq!(
            event,
            RunEvent::StateChanged {
                from: State::Idle,
                to: State::Analyzing
            }
        );
    }
}
