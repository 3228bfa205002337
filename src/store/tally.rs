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
    /// Runs whose edit was applied, with a proof that holds, and not taken back.
    pub succeeded: u64,
    /// Runs whose edit has a proof that holds and was only shown.
    pub proposed: u64,
    /// Runs that failed, were taken back, or whose proof does not hold.
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
        let runs = self.runs(usize::MAX)?;
        let files = self.files()?;
        let transaction = files.database.begin_read()?;
        let journal = transaction.open_table(JOURNAL)?;
        let mut tallies: BTreeMap<String, Tally> = BTreeMap::new();
        let mut said: BTreeSet<(String, RunId)> = BTreeSet::new();
        let mut proofs: BTreeMap<RunId, bool> = BTreeMap::new();
        for row in journal.iter()? {
            let (key, bytes) = row?;
            let Some(logged) = read(key.value(), bytes.value()) else {
                continue;
            };
            let (prompts, tokens_in, tokens_out, milliseconds) = match logged.what {
                What::Known(RunEvent::ModelCalled {
                    prompts,
                    tokens_in,
                    tokens_out,
                    milliseconds,
                    ..
                }) => (prompts, tokens_in, tokens_out, milliseconds),
                What::Known(RunEvent::Proved(proof)) => {
                    proofs.insert(logged.run, proof.holds);
                    continue;
                }
                What::Known(_) | What::Unknown(_) => continue,
            };
            for version in prompts {
                let tally = tallies.entry(version.clone()).or_default();
                tally.calls += 1;
                tally.tokens_in += tokens_in;
                tally.tokens_out += tokens_out;
                tally.milliseconds += milliseconds;
                said.insert((version, logged.run.clone()));
            }
        }
        let ended = runs.into_iter().filter_map(|run| {
            let verdict = verdict(run.outcome.as_ref()?, run.undone, proofs.get(&run.run))?;
            Some((run.run, verdict))
        });
        let ended: BTreeMap<RunId, Verdict> = ended.collect();
        for (version, run) in said {
            let tally = tallies.entry(version).or_default();
            tally.runs += 1;
            match ended.get(&run) {
                Some(Verdict::Succeeded) => tally.succeeded += 1,
                Some(Verdict::Proposed) => tally.proposed += 1,
                Some(Verdict::Failed) => tally.failed += 1,
                None => {}
            }
        }
        Ok(tallies)
    }
}

/// What a run says of the prompts that were said in it.
enum Verdict {
    Succeeded,
    Proposed,
    Failed,
}

/// Judges how a run ended, by its last proof; one without an edit or without a proof says nothing.
fn verdict(outcome: &Outcome, is_undone: bool, holds: Option<&bool>) -> Option<Verdict> {
    match (outcome, holds) {
        (Outcome::Failed { .. }, _)
        | (Outcome::Applied { .. } | Outcome::Proposed { .. }, Some(false)) => {
            Some(Verdict::Failed)
        }
        (Outcome::Applied { .. }, Some(true)) if is_undone => Some(Verdict::Failed),
        (Outcome::Applied { .. }, Some(true)) => Some(Verdict::Succeeded),
        (Outcome::Proposed { .. }, Some(true)) => Some(Verdict::Proposed),
        (Outcome::Applied { .. } | Outcome::Proposed { .. }, None)
        | (Outcome::Nothing { .. } | Outcome::Cancelled, _) => None,
    }
}
