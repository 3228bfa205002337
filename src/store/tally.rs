//! What each version of a prompt did in real runs, by the journal (spec: Prompt Manager, performance tracking).

use std::collections::{BTreeMap, BTreeSet};

use redb::{ReadableDatabase, ReadableTable};
use serde::Serialize;

use super::history::{What, read};
use super::tables::JOURNAL;
use super::{Error, Store};
use crate::event::{Outcome, RunEvent, RunId};

/// What the runs came to in which a version was said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Runs.
    pub runs: u64,
    /// Runs that ended with a proven edit that was not taken back.
    pub succeeded: u64,
    /// Runs that failed, or were taken back.
    pub failed: u64,
    /// Calls of a model in them.
    pub calls: u64,
    /// Tokens that were sent.
    pub tokens_in: u64,
    /// Tokens that came back.
    pub tokens_out: u64,
    /// Time that the calls took, in milliseconds.
    pub milliseconds: u64,
}

impl Store {
    /// What each version of a prompt came to, by its name as it is shown: `do@0123456789ab`.
    pub fn tallies(&self) -> Result<BTreeMap<String, Tally>, Error> {
        let ended: BTreeMap<RunId, bool> = self
            .runs(usize::MAX)?
            .into_iter()
            .filter_map(|run| match run.outcome? {
                Outcome::Applied { .. } | Outcome::Proposed { .. } => Some((run.run, !run.undone)),
                Outcome::Failed { .. } => Some((run.run, false)),
                Outcome::Nothing { .. } | Outcome::Cancelled => None,
            })
            .collect();
        let files = self.files()?;
        let transaction = files.database.begin_read()?;
        let journal = transaction.open_table(JOURNAL)?;
        let mut tallies: BTreeMap<String, Tally> = BTreeMap::new();
        let mut seen: BTreeSet<(String, RunId)> = BTreeSet::new();
        for row in journal.iter()? {
            let (key, bytes) = row?;
            let Some(logged) = read(key.value(), bytes.value()) else {
                continue;
            };
            let What::Known(RunEvent::ModelCalled {
                prompts,
                tokens_in,
                tokens_out,
                milliseconds,
                ..
            }) = logged.what
            else {
                continue;
            };
            for version in prompts {
                let tally = tallies.entry(version.clone()).or_default();
                tally.calls += 1;
                tally.tokens_in += tokens_in;
                tally.tokens_out += tokens_out;
                tally.milliseconds += milliseconds;
                if seen.insert((version, logged.run.clone())) {
                    tally.runs += 1;
                    let succeeded = ended.get(&logged.run);
                    tally.succeeded += u64::from(succeeded == Some(&true));
                    tally.failed += u64::from(succeeded == Some(&false));
                }
            }
        }
        Ok(tallies)
    }
}
