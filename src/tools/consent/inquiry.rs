//! What comes up in the middle of a call, and what of it may have been done when the call ends.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Desk, decide, judge_actions, keep};
use crate::event::RunEvent;
use crate::permit::{Action, Decision, Permit};
use crate::safety;
use crate::tools::witness::may_be_done;
use crate::tools::{Error, Output};

/// Judges what comes up in the middle of a call, as if it had been named before, and knows what of it is under way.
/// Dropped with something under way, it tells that nobody knows whether that was done.
#[derive(Debug)]
pub struct Inquiry<'run> {
    desk: &'run Desk<'run>,
    /// What was decided and is not told yet. The lock is never held across anything that waits.
    events: Mutex<Vec<RunEvent>>,
    /// What was permitted and may not have ended. A lock, because what is dropped cannot send a message first.
    underway: Mutex<Vec<Action>>,
    /// How much of it the call itself is.
    own: usize,
}

impl<'run> Inquiry<'run> {
    /// For a call that was given these permits.
    pub(in crate::tools) fn new(desk: &'run Desk<'run>, permits: &[Permit]) -> Self {
        let actions = permits.iter().map(Permit::action);
        let underway: Vec<Action> = actions.filter(|one| may_be_done(one)).cloned().collect();
        Self {
            desk,
            events: Mutex::default(),
            own: underway.len(),
            underway: Mutex::new(underway),
        }
    }

    /// Judges an action, asks whoever has to be asked, and gives the permit.
    pub async fn judge(&self, action: Action, preview: Option<&str>) -> Result<Permit, Error> {
        let mut events = self.take_events();
        let actions = [action];
        let permits = judge_actions(&actions, preview, self.desk, &mut events).await;
        lock(&self.events).extend(events);
        let permit = permits?.pop().ok_or_else(|| Error::Refused {
            rule: "permit".to_owned(),
            reason: "files are changed in the copy of the workspace, not by asking".to_owned(),
        })?;
        self.begin(permit.action());
        Ok(permit)
    }

    /// Judges where a request is redirected to, after which the one before has ended. Nobody is asked: whoever wants to
    /// go there can ask for that address itself.
    pub async fn follow(&self, action: Action) -> Result<Permit, String> {
        let mut events = self.take_events();
        let decision = decide(&action, self.desk, &mut events);
        let kept = match decision {
            Decision::Allow { .. } => keep(self.desk, &mut events).await,
            Decision::Ask { reason, .. } | Decision::Deny { reason, .. } => {
                lock(&self.events).extend(events);
                return Err(reason);
            }
        };
        lock(&self.events).extend(events);
        kept.map_err(|error| error.to_string())?;
        let permit = safety::permit(self.desk.policy, action);
        let permit = permit.map_err(|refusal| refusal.to_string())?;
        lock(&self.underway).pop();
        self.begin(permit.action());
        Ok(permit)
    }

    /// What was judged in the middle of the call has ended.
    pub fn settle(&self) {
        lock(&self.underway).truncate(self.own);
    }

    /// What was decided and is not told yet, once the call has ended. Where it ended without an answer, nobody knows what
    /// was done.
    pub(in crate::tools) fn end(self, outcome: &Result<Output, Error>) -> Vec<RunEvent> {
        let underway = std::mem::take(&mut *lock(&self.underway));
        let mut events = self.take_events();
        if let Err(Error::Unsure(reason)) = outcome {
            let reason = reason.lines().next().unwrap_or_default();
            let uncertain = underway.into_iter().map(|action| RunEvent::Uncertain {
                action,
                reason: reason.to_owned(),
            });
            events.extend(uncertain);
        }
        events
    }

    fn begin(&self, action: &Action) {
        if may_be_done(action) {
            lock(&self.underway).push(action.clone());
        }
    }

    fn take_events(&self) -> Vec<RunEvent> {
        std::mem::take(&mut *lock(&self.events))
    }
}

impl Drop for Inquiry<'_> {
    fn drop(&mut self) {
        let Some(witness) = &self.desk.consent.witness else {
            return;
        };
        for action in std::mem::take(&mut *lock(&self.underway)) {
            let reason = "it was stopped while this was under way".to_owned();
            witness.leave(RunEvent::Uncertain { action, reason });
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
