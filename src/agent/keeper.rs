//! Keeps a verifier warm between runs, so that the second repair does not wait for a language server (spec: Performance).

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::verify::Verifier;

/// A place for one verifier that nobody works with at the moment.
///
/// This is a lock because the place outlives every run and belongs to none: a run takes the verifier out and is its only
/// owner, or finds nothing and opens one. The lock is never held across anything that waits. With the last of the
/// services that share it goes what it keeps.
#[derive(Debug, Clone, Default)]
pub struct Keeper {
    kept: Arc<Mutex<Kept>>,
}

#[derive(Debug, Default)]
struct Kept {
    verifier: Option<Verifier>,
    /// Counts the verifiers that were put back, so that an old timer does not end a newer one.
    generation: u64,
}

impl Keeper {
    /// Takes the verifier of a workspace out, if one is kept.
    pub fn take(&self, workspace: &Path) -> Option<Verifier> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.verifier
            .take_if(|verifier| verifier.workspace() == workspace)
    }

    /// Keeps a verifier until somebody takes it or `idle` has passed.
    pub fn put(&self, verifier: Verifier, idle: Duration) {
        let generation = {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.verifier = Some(verifier);
            kept.generation += 1;
            kept.generation
        };
        let kept = Arc::downgrade(&self.kept);
        tokio::spawn(async move {
            tokio::time::sleep(idle).await;
            let Some(kept) = kept.upgrade() else { return };
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.generation == generation {
                kept.verifier = None;
            }
        });
    }
}
