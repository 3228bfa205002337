//! The way from tools to the journal: what is about to happen stands there before it does (spec: Audit System,
//! validation points).
//!
//! Whoever owns the journal makes the [`Witness`] of a run. An action that acts gets its permit only when its decision is
//! on the disk; what was begun and not seen to its end is said to be uncertain.

use std::fmt;

use futures::future::BoxFuture;

use crate::event::RunEvent;
use crate::permit::Action;

/// How far events have to have come before whoever told them goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// On their way, in the order in which they were told.
    Told,
    /// On the disk.
    Kept,
}

/// The answer of whoever keeps the journal, or why events are not kept.
pub type Written = BoxFuture<'static, Result<(), String>>;

/// Writes events of a run where they outlast us.
pub struct Witness {
    write: Box<dyn Fn(Vec<RunEvent>, Until) -> Written + Send + Sync>,
    leave: Box<dyn Fn(RunEvent) + Send + Sync>,
}

impl Witness {
    /// A witness that writes by `write`, and by `leave` where nobody can wait for it any longer.
    pub fn new(
        write: impl Fn(Vec<RunEvent>, Until) -> Written + Send + Sync + 'static,
        leave: impl Fn(RunEvent) + Send + Sync + 'static,
    ) -> Self {
        Self {
            write: Box::new(write),
            leave: Box::new(leave),
        }
    }

    /// Tells events, in their order.
    pub async fn tell(&self, events: Vec<RunEvent>) {
        if !events.is_empty() {
            // Only what has to be kept can fail.
            let _ = (self.write)(events, Until::Told).await;
        }
    }

    /// Tells events, and waits until they are on the disk. The error says what to do about it.
    pub async fn keep(&self, events: Vec<RunEvent>) -> Result<(), String> {
        let kept = (self.write)(events, Until::Kept).await;
        kept.map_err(|reason| format!("nothing is done that cannot be written down: {reason}"))
    }

    /// Tells an event of something that was dropped.
    pub fn leave(&self, event: RunEvent) {
        (self.leave)(event);
    }
}

impl fmt::Debug for Witness {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Witness")
    }
}

/// Whether an action that was begun may have been done although nobody saw it end. Commits and branches are wishes, which
/// are carried out with the files.
pub fn may_be_done(action: &Action) -> bool {
    action.acts() && !matches!(action, Action::Commit { .. } | Action::Branch { .. })
}
