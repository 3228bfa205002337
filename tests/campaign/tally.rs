//! Counts what became of the mutants, by operator and by error code, and prints and saves it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::json;

use crate::sample::room;
use crate::trial::{Guidance, Mutant, Trial, Verdict};

/// All trials so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    mutant: String,
    operator: &'static str,
    code: String,
    guidance: Guidance,
    trial: Trial,
}

const VERDICTS: [Verdict; 7] = [
    Verdict::Exact,
    Verdict::Same,
    Verdict::Reviewed,
    Verdict::Unreviewed,
    Verdict::Wrong,
    Verdict::Partial,
    Verdict::Refused,
];

#[expect(clippy::print_stdout, reason = "the table is what the campaign is for")]
impl Tally {
    /// Tells how much there is to do.
    pub(crate) fn announce(&self, mutants: usize) {
        println!("{mutants} mutants, {} trials so far", self.rows.len());
    }

    /// Adds a trial and tells about it at once: a campaign takes long.
    pub(crate) fn add(&mut self, mutant: &Mutant, guidance: Guidance, trial: Trial) {
        let (verdict, seconds) = (trial.verdict, trial.time.as_secs_f32());
        println!(
            "{verdict:?} {} {} {guidance:?} {seconds:.1} s  {}",
            mutant.code, trial.key, trial.reason
        );
        if !trial.diff.is_empty() {
            println!("{}", trial.diff);
        }
        self.rows.push(Row {
            mutant: mutant.name.clone(),
            operator: mutant.operator,
            code: mutant.code.clone(),
            guidance,
            trial,
        });
    }

    /// Number of trials with some verdicts.
    pub(crate) fn count(&self, wanted: impl Fn(Verdict) -> bool) -> usize {
        self.rows
            .iter()
            .filter(|row| wanted(row.trial.verdict))
            .count()
    }

    /// Number of different error codes.
    pub(crate) fn codes(&self) -> usize {
        self.rows
            .iter()
            .map(|row| &row.code)
            .collect::<BTreeSet<_>>()
            .len()
    }

    /// Per cent of the mutants that are repaired, not counting wrong repairs.
    pub(crate) fn share(&self, guidance: Guidance) -> usize {
        let of_kind = || self.rows.iter().filter(|row| row.guidance == guidance);
        let repaired = of_kind()
            .filter(|row| is_repaired(row.trial.verdict))
            .count();
        (repaired * 100).checked_div(of_kind().count()).unwrap_or(0)
    }

    /// Prints the tables.
    pub(crate) fn print(&self) {
        self.print_by("operator", |row| row.operator.to_owned());
        self.print_by("code", |row| row.code.clone());
        for guidance in [Guidance::Compiler, Guidance::Analyzer] {
            println!("{guidance:?}: {} % repaired", self.share(guidance));
        }
    }

    fn print_by(&self, title: &str, key: impl Fn(&Row) -> String) {
        let mut groups: BTreeMap<String, Vec<&Row>> = BTreeMap::new();
        for row in &self.rows {
            groups.entry(key(row)).or_default().push(row);
        }
        println!("\n{title:<24} guidance  exact same reviewed unreviewed wrong partial refused");
        for (name, rows) in groups {
            for guidance in [Guidance::Compiler, Guidance::Analyzer] {
                let counts = VERDICTS.map(|verdict| {
                    let matches =
                        |row: &&&Row| row.guidance == guidance && row.trial.verdict == verdict;
                    rows.iter().filter(matches).count()
                });
                if counts.iter().sum::<usize>() > 0 {
                    let [exact, same, reviewed, unreviewed, wrong, partial, refused] = counts;
                    println!(
                        "{name:<24} {guidance:<9?} {exact:>5} {same:>4} {reviewed:>8} {unreviewed:>10} {wrong:>5} {partial:>7} {refused:>7}"
                    );
                }
            }
        }
    }

    /// Saves everything as JSON.
    pub(crate) fn save(&self) {
        let rows: Vec<_> = self
            .rows
            .iter()
            .map(|row| {
                json!({
                    "mutant": row.mutant,
                    "operator": row.operator,
                    "code": row.code,
                    "guidance": format!("{:?}", row.guidance),
                    "verdict": format!("{:?}", row.trial.verdict),
                    "seconds": row.trial.time.as_secs_f32(),
                    "reason": row.trial.reason,
                    "key": row.trial.key,
                    "diff": row.trial.diff,
                })
            })
            .collect();
        let file = room().join("report.json");
        let text = serde_json::to_string_pretty(&rows).expect("it is data");
        fs::write(file, text).expect("written");
    }
}

fn is_repaired(verdict: Verdict) -> bool {
    matches!(
        verdict,
        Verdict::Exact | Verdict::Same | Verdict::Reviewed | Verdict::Unreviewed
    )
}
