//! The repair campaign: errors seeded into real crates, one at a time, and how many of them are repaired.
//!
//! `operators.rs` breaks code in ways that know nothing of the repair; `sample.rs` keeps the crates; `trial.rs` runs
//! `meliora fix` on a broken one and judges what came out (`meaning.rs`); `tally.rs` counts. A normal run tries a few
//! errors, a run with `MELIORA_TEST_LONG` all of them, with and without rust-analyzer. What was repaired differently from
//! the original and passes the crate's tests is listed with its diff for a person to judge; the verdicts are kept in
//! `reviewed.txt`. The test fails when a repair breaks the crate's tests or was judged wrong.
#![expect(
    clippy::indexing_slicing,
    reason = "a test that panics has failed, which is what it is for"
)]

mod meaning;
mod operators;
mod sample;
mod seed;
mod tally;
mod trial;

use operators::OPERATORS;
use sample::Sample;
use seed::Random;
use trial::{Guidance, Mutant, Verdict};

/// Errors that one operator gets in a full run, unless `MELIORA_CAMPAIGN_EACH` says otherwise.
const MUTANTS_OF_OPERATOR: usize = 2;

/// Places that are tried in one crate before the operator goes to the next.
const TRIES_IN_CRATE: usize = 3;

/// Errors of a normal run.
const SLICE: usize = 6;

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

#[test]
fn seeded_errors_are_repaired_and_never_wrongly() {
    let long = variable("MELIORA_TEST_LONG").is_some();
    let only = variable("MELIORA_CAMPAIGN_ONLY");
    let mutants = if long || only.is_some() {
        all_mutants(only.as_deref())
    } else {
        few_mutants()
    };
    let mut tally = tally::Tally::default();
    tally.announce(mutants.len());
    let guidances = match variable("MELIORA_CAMPAIGN_WITH").as_deref() {
        Some("compiler") => vec![Guidance::Compiler],
        Some("analyzer") => vec![Guidance::Analyzer],
        _ if long => vec![Guidance::Compiler, Guidance::Analyzer],
        _ => vec![Guidance::Compiler],
    };
    for mutant in &mutants {
        for guidance in &guidances {
            let trial = trial::run(mutant, *guidance);
            tally.add(mutant, *guidance, trial);
        }
    }
    tally.print();
    tally.save();
    assert_eq!(tally.count(|verdict| matches!(verdict, Verdict::Wrong)), 0);
    if long {
        assert!(mutants.len() >= 60 && tally.codes() >= 12);
        assert!(tally.share(Guidance::Analyzer) >= 60 && tally.share(Guidance::Compiler) >= 40);
    }
}

/// For each operator, errors in different crates.
fn all_mutants(only: Option<&str>) -> Vec<Mutant> {
    let samples = sample::all();
    let each = variable("MELIORA_CAMPAIGN_EACH").and_then(|each| each.parse().ok());
    let each = each.unwrap_or(MUTANTS_OF_OPERATOR);
    let mut mutants = Vec::new();
    for operator in OPERATORS {
        let mut random = Random::new(operator.name);
        let mut order: Vec<&Sample> = samples.iter().collect();
        random.shuffle(&mut order);
        let mut found = Vec::new();
        for sample in order {
            if found.len() == each {
                break;
            }
            found.extend(first_mutant(sample, operator, &mut random));
        }
        mutants.extend(found);
    }
    if let Some(only) = only {
        mutants.retain(|mutant| only.split(',').any(|part| mutant.name.contains(part)));
    }
    mutants
}

/// A few errors of different kinds, for a normal run.
fn few_mutants() -> Vec<Mutant> {
    let samples = sample::all();
    let mut random = Random::new("slice");
    let mut operators: Vec<_> = OPERATORS.iter().collect();
    random.shuffle(&mut operators);
    let found = operators
        .into_iter()
        .enumerate()
        .filter_map(|(index, operator)| {
            first_mutant(&samples[index % samples.len()], operator, &mut random)
        });
    found.take(SLICE).collect()
}

fn first_mutant(
    sample: &Sample,
    operator: &operators::Operator,
    random: &mut Random,
) -> Option<Mutant> {
    let mut sites = sample.sites(operator, random);
    random.shuffle(&mut sites);
    sites
        .into_iter()
        .take(TRIES_IN_CRATE)
        .find_map(|site| trial::mutant(sample, operator, site))
}
