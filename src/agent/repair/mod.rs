//! Repair without a model: a bounded search over what compilers and language servers suggest (spec: Semantic Analyzer).
//!
//! For one error after the other, in the order in which the compiler finds them: gather candidate edits, refuse those
//! that silence or delete ([`guard`]), lay each over the shadow and check it, and keep one only when the set of problems
//! strictly improves ([`compare`]) and nothing else would have passed as well ([`choice::choose`]). What nobody can
//! decide is left for a person or a model, with the choices named.

pub mod candidate;
pub mod choice;
pub mod compare;
pub mod format;
pub mod guard;
pub mod hints;
pub mod phase;
mod wording;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::steps;
use super::task::{Focus, Repair, Scope, Step};
use super::verify::{self, Verifier, is_error};
use crate::event::{RunEvent, Verdict};
use crate::semantics;
use crate::text::edit::EditSet;
use crate::text::problem::{Identity, Problem};
use crate::tools::build::{Finding, Report};
use candidate::{Candidate, Rank};
use choice::{Sources, choose};
use compare::{Change, compare};

/// Candidates that are tried for one problem.
const CANDIDATES_MAX: usize = 10;
/// Times that what was given up is tried again after something else was repaired.
const ROUNDS_MAX: usize = 3;
/// Checks that one repair may run.
const CHECKS_MAX: usize = 400;
/// Time after which no further problem is begun.
const TIME_MAX: Duration = Duration::from_secs(1800);

/// What a repair reached.
#[derive(Debug, Clone, Default)]
pub struct Repaired {
    /// The accepted edits together.
    pub edits: EditSet,
    /// What was repaired, in order.
    pub repairs: Vec<Repair>,
    /// The edits one after the other.
    pub steps: Vec<Step>,
    /// The check of the workspace with the accepted edits.
    pub after: Report,
    /// Errors that were hidden by repaired ones and then found, repaired or not.
    pub revealed: BTreeSet<Identity>,
}

/// Repairs the errors of `before` that lie in `scope`. `tell` is given every step and its reason.
pub async fn repair(
    verifier: &mut Verifier,
    before: &Report,
    scope: &Scope,
    tell: &mut impl FnMut(RunEvent),
) -> Result<Repaired, verify::Error> {
    let mut search = Search {
        verifier,
        reached: Repaired {
            after: before.clone(),
            ..Repaired::default()
        },
        given_up: BTreeSet::new(),
        checks: 0,
        started: Instant::now(),
        tell,
    };
    for _ in 0..ROUNDS_MAX {
        let repaired = search.reached.repairs.len();
        while let Some(target) = search.next_target(scope) {
            search.try_repair(&target).await?;
        }
        // What failed while other problems were in the way may work with those out of the way.
        if search.reached.repairs.len() == repaired || search.given_up.is_empty() {
            break;
        }
        search.given_up.clear();
    }
    let Search {
        reached, verifier, ..
    } = search;
    verifier.lay(&reached.edits)?;
    Ok(reached)
}

/// The errors in `scope`, and those that repairs brought to light, that are left.
pub fn remaining(repaired: &Repaired, scope: &Scope) -> Vec<Problem> {
    let findings = repaired.after.findings.iter();
    let errors = findings
        .filter(|finding| is_error(finding))
        .map(|finding| &finding.problem);
    let wanted = errors.filter(|problem| {
        in_scope(problem, scope, &repaired.edits) || repaired.revealed.contains(&problem.identity())
    });
    wanted.cloned().collect()
}

struct Search<'a, Tell> {
    verifier: &'a mut Verifier,
    reached: Repaired,
    given_up: BTreeSet<Identity>,
    checks: usize,
    started: Instant,
    tell: &'a mut Tell,
}

/// A candidate that passed its check.
struct Survivor {
    candidate: Candidate,
    edits: EditSet,
    after: Report,
    change: Change,
}

impl<Tell: FnMut(RunEvent)> Search<'_, Tell> {
    /// The next error to work on: in scope, not given up, of the earliest phase.
    fn next_target(&self, scope: &Scope) -> Option<Finding> {
        if self.checks >= CHECKS_MAX || self.started.elapsed() > TIME_MAX {
            return None;
        }
        self.reached
            .after
            .findings
            .iter()
            .filter(|finding| is_error(finding))
            .filter(|finding| {
                let identity = finding.problem.identity();
                let wanted = in_scope(&finding.problem, scope, &self.reached.edits);
                (wanted || self.reached.revealed.contains(&identity))
                    && !self.given_up.contains(&identity)
            })
            .min_by_key(|finding| phase::phase(&finding.problem))
            .cloned()
    }

    async fn try_repair(&mut self, target: &Finding) -> Result<(), verify::Error> {
        let mut survivors = Vec::new();
        let mut candidates = self.suggestions(target);
        // The language server is asked only when the compiler does not know what was meant; a name that only looks
        // similar has to wait for the server's imports of the very name.
        let unsure = candidates
            .split_off(candidates.partition_point(|candidate| candidate.rank < Rank::SimilarName));
        self.test_all(target, candidates, &mut survivors).await?;
        if survivors.is_empty() {
            let mut candidates = self.quickfixes(target).await;
            candidates.extend(unsure);
            candidates.sort_by_key(|candidate| candidate.rank);
            self.test_all(target, candidates, &mut survivors).await?;
        }
        // Nothing of a candidate may be left when the project is asked what it uses.
        let accepted = self.reached.edits.clone();
        self.verifier.lay(&accepted)?;
        self.decide(target, survivors);
        let accepted = self.reached.edits.clone();
        self.verifier.lay(&accepted)
    }

    /// Tests candidates in the order of their rank; a weaker reason counts only when no stronger one led anywhere.
    async fn test_all(
        &mut self,
        target: &Finding,
        candidates: Vec<Candidate>,
        survivors: &mut Vec<Survivor>,
    ) -> Result<(), verify::Error> {
        for candidate in candidates.into_iter().take(CANDIDATES_MAX) {
            if survivors
                .first()
                .is_some_and(|best| best.candidate.rank < candidate.rank)
            {
                break;
            }
            if let Some(survivor) = self.test(target, candidate).await?
                && !survivors.iter().any(|known| known.edits == survivor.edits)
            {
                survivors.push(survivor);
            }
        }
        Ok(())
    }

    /// What the compiler suggests, and what follows from its words, by rank.
    fn suggestions(&mut self, target: &Finding) -> Vec<Candidate> {
        let verifier = &*self.verifier;
        let mut all: Vec<Candidate> = target
            .suggestions
            .iter()
            .filter_map(|suggestion| {
                candidate::from_suggestion(suggestion, &target.problem.source, |file| {
                    verifier.text(file)
                })
            })
            .collect();
        let sources = Sources {
            tree: verifier.tree(),
        };
        all.extend(hints::candidates(target, &sources, |file| {
            verifier.text(file)
        }));
        let mut kept = self.unobjectionable(target, all);
        kept.sort_by_key(|candidate| candidate.rank);
        kept
    }

    /// What the language server offers.
    async fn quickfixes(&mut self, target: &Finding) -> Vec<Candidate> {
        match self.ask_server(&target.problem).await {
            Ok(all) => self.unobjectionable(target, all),
            Err(error) => {
                (self.tell)(RunEvent::Step {
                    what: format!("no quick fixes for {}", target.problem.label()),
                    reason: error.to_string(),
                });
                Vec::new()
            }
        }
    }

    /// Each candidate once, without those the guard objects to.
    fn unobjectionable(&mut self, target: &Finding, candidates: Vec<Candidate>) -> Vec<Candidate> {
        let mut kept: Vec<Candidate> = Vec::new();
        for candidate in candidates {
            if candidate.edits.is_empty() || kept.iter().any(|known| known.edits == candidate.edits)
            {
                continue;
            }
            match guard::objection(&candidate.edits) {
                Some(reason) => {
                    self.report(&target.problem, &candidate, Verdict::Forbidden, reason);
                }
                None => kept.push(candidate),
            }
        }
        kept
    }

    async fn ask_server(&mut self, problem: &Problem) -> Result<Vec<Candidate>, semantics::Error> {
        let accepted = self.reached.edits.files.keys();
        let texts: Vec<_> = accepted
            .chain(std::iter::once(&problem.place.file))
            .filter_map(|file| Some((file.clone(), self.verifier.text(file)?)))
            .collect();
        let Some(analyzer) = self.verifier.analyzer().await else {
            return Ok(Vec::new());
        };
        let source = analyzer.name().to_owned();
        for (file, text) in &texts {
            analyzer.show(file, text).await?;
        }
        let text = texts.last().map(|(_, text)| text.as_ref());
        let actions = analyzer
            .quickfixes(&problem.place, text.unwrap_or_default())
            .await?;
        Ok(actions
            .into_iter()
            .map(|action| candidate::from_quickfix(action.title, &source, action.edits))
            .collect())
    }

    /// Lays a candidate over what was accepted so far and checks the result.
    async fn test(
        &mut self,
        target: &Finding,
        candidate: Candidate,
    ) -> Result<Option<Survivor>, verify::Error> {
        let mut edits = self.reached.edits.clone();
        edits.extend(candidate.edits.clone());
        self.verifier.lay(&edits)?;
        self.checks += 1;
        let after = self.verifier.check().await;
        if let Some(failure) = after.failure.clone() {
            self.report(&target.problem, &candidate, Verdict::Rejected, failure);
            return Ok(None);
        }
        let change = compare(&self.reached.after, &after, &candidate.edits);
        let target_identity = target.problem.identity();
        let gone = change
            .fixed
            .iter()
            .any(|problem| problem.identity() == target_identity);
        if gone && change.improves() {
            return Ok(Some(Survivor {
                candidate,
                edits,
                after,
                change,
            }));
        }
        let reason = match change.introduced.first() {
            Some(problem) => format!("it causes {}: {}", problem.label(), problem.message),
            None => "the problem stays".to_owned(),
        };
        self.report(&target.problem, &candidate, Verdict::Rejected, reason);
        Ok(None)
    }

    /// Accepts one survivor, or gives the target up.
    fn decide(&mut self, target: &Finding, mut survivors: Vec<Survivor>) {
        let candidates: Vec<Candidate> = survivors
            .iter()
            .map(|survivor| survivor.candidate.clone())
            .collect();
        let tree = self.verifier.tree().to_owned();
        let chosen = choose(&candidates, &target.problem, &Sources { tree: &tree });
        let Some(index) = chosen else {
            for candidate in &candidates {
                let reason = format!("{} different edits would pass", candidates.len());
                self.report(&target.problem, candidate, Verdict::Ambiguous, reason);
            }
            self.given_up.insert(target.problem.identity());
            return;
        };
        let Survivor {
            candidate,
            edits,
            after,
            change,
        } = survivors.swap_remove(index);
        self.report(
            &target.problem,
            &candidate,
            Verdict::Kept,
            describe(&change),
        );
        self.reached
            .repairs
            .extend(change.fixed.iter().map(|problem| Repair {
                code: problem.code.clone(),
                place: format!("{}:{}", problem.place.file.display(), problem.place.line),
                kind: candidate.kind.word().to_owned(),
                source: candidate.source.clone(),
                title: candidate.title.clone(),
            }));
        self.reached
            .revealed
            .extend(change.revealed.iter().map(Problem::identity));
        let reached = &mut self.reached;
        steps::add(&mut reached.steps, &reached.edits, &edits, &candidate.title);
        reached.edits = edits;
        reached.after = after;
    }

    fn report(
        &mut self,
        problem: &Problem,
        candidate: &Candidate,
        verdict: Verdict,
        reason: String,
    ) {
        (self.tell)(RunEvent::Candidate {
            problem: problem.label(),
            source: candidate.source.clone(),
            title: candidate.title.clone(),
            verdict,
            reason,
        });
    }
}

fn describe(change: &Change) -> String {
    let problems = |number: usize| {
        if number == 1 {
            "1 problem".to_owned()
        } else {
            format!("{number} problems")
        }
    };
    match change.revealed.len() {
        0 => format!("{} gone, nothing new", problems(change.fixed.len())),
        revealed => format!(
            "{} gone, {} that it hid came to light",
            problems(change.fixed.len()),
            problems(revealed)
        ),
    }
}

/// Whether a problem lies in the scope. A place is matched in the text as it was; lines that accepted edits moved are
/// taken into account.
fn in_scope(problem: &Problem, scope: &Scope, accepted: &EditSet) -> bool {
    match scope {
        Scope::Workspace => true,
        Scope::File(file) => problem.place.file == *file,
        Scope::Place(focus) => {
            problem.place.file == focus.file && overlaps(problem, focus, accepted)
        }
    }
}

fn overlaps(problem: &Problem, focus: &Focus, accepted: &EditSet) -> bool {
    let shift: isize = accepted.files.get(&focus.file).map_or(0, |edit| {
        edit.replacements()
            .iter()
            .filter(|replacement| replacement.end <= focus.start)
            .map(|replacement| {
                let removed = replacement.end - replacement.start;
                replacement.text.len().cast_signed() - removed.cast_signed()
            })
            .sum()
    });
    let start = focus.start.saturating_add_signed(shift);
    let end = focus.end.saturating_add_signed(shift);
    problem.place.start <= end && problem.place.end >= start
}
