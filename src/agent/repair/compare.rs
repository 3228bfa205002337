//! Whether an edit improved things: sets of problems before and after it (spec: Semantic Validation).
//!
//! Problems are matched by what they say and where in the code they point, not counted: an edit that trades one error
//! for another is no improvement. A problem that was hidden by an earlier one is *revealed*, not introduced: rustc does
//! not look at types it cannot resolve, nor at borrows of code it cannot type.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;

use super::phase::phase;
use crate::text::edit::EditSet;
use crate::text::problem::{Identity, Problem, Severity};
use crate::tools::build::{Finding, Report};

/// What an edit did to the problems of a workspace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// Errors that are gone.
    pub fixed: Vec<Problem>,
    /// Errors that were hidden before.
    pub revealed: Vec<Problem>,
    /// Problems that the edit made.
    pub introduced: Vec<Problem>,
}

impl Change {
    /// Whether the errors strictly improved and nothing new was made.
    pub fn improves(&self) -> bool {
        !self.fixed.is_empty() && self.introduced.is_empty()
    }
}

/// Compares two checks of a workspace, the second after `edits`.
pub fn compare(before: &Report, after: &Report, edits: &EditSet) -> Change {
    let edited = edited_ranges(edits);
    let fixed: Vec<Problem> = missing(&before.findings, &after.findings)
        .into_iter()
        .filter(|finding| finding.problem.severity == Severity::Error)
        .map(|finding| finding.problem.clone())
        .collect();
    let fixed_phase = fixed.iter().map(phase).max();
    let (mut revealed, mut introduced) = (Vec::new(), Vec::new());
    for finding in missing(&after.findings, &before.findings) {
        let problem = &finding.problem;
        let touched = edited
            .get(&problem.place.file)
            .is_some_and(|ranges| ranges.iter().any(|range| touches(range, problem)));
        if problem.severity != Severity::Error {
            // Lints run last, so that warnings elsewhere were only waiting for the errors to go.
            if touched {
                introduced.push(problem.clone());
            }
            continue;
        }
        let unseen = !before.reached.contains(&finding.unit);
        let later = fixed_phase.is_some_and(|fixed| phase(problem) > fixed);
        if !touched && (unseen || later) {
            revealed.push(problem.clone());
        } else {
            introduced.push(problem.clone());
        }
    }
    Change {
        fixed,
        revealed,
        introduced,
    }
}

/// Findings of `from` that are not in `other`, each as often as it occurs. What says the same of the same symbol is the
/// same problem; so is what has the same code at the same symbol and only words it otherwise (`&str`, `&'a str`).
fn missing<'a>(from: &'a [Finding], other: &[Finding]) -> Vec<&'a Finding> {
    let exact = |problem: &Problem| identity(problem);
    let loose = |problem: &Problem| Identity {
        message: String::new(),
        ..identity(problem)
    };
    let from: Vec<&Finding> = from.iter().collect();
    let (left, left_other) = unmatched(from, other.iter().collect(), exact);
    unmatched(left, left_other, loose).0
}

/// What remains of two lists when findings with equal keys are paired off.
fn unmatched<'a, 'b>(
    from: Vec<&'a Finding>,
    other: Vec<&'b Finding>,
    key: impl Fn(&Problem) -> Identity,
) -> (Vec<&'a Finding>, Vec<&'b Finding>) {
    let mut waiting: BTreeMap<Identity, Vec<&Finding>> = BTreeMap::new();
    for finding in other {
        waiting
            .entry(key(&finding.problem))
            .or_default()
            .push(finding);
    }
    let rest = from
        .into_iter()
        .filter(|finding| {
            waiting
                .get_mut(&key(&finding.problem))
                .and_then(Vec::pop)
                .is_none()
        })
        .collect();
    (rest, waiting.into_values().flatten().collect())
}

/// The identity without line numbers inside the message, as in `{closure@src/main.rs:3:5}`.
fn identity(problem: &Problem) -> Identity {
    let mut identity = problem.identity();
    let mut after_colon = false;
    identity.message = identity
        .message
        .chars()
        .filter(|character| {
            let position = after_colon && character.is_ascii_digit();
            after_colon = *character == ':' || position;
            !position
        })
        .collect();
    identity
}

/// Bytes of the texts after that an edit changed.
fn edited_ranges(edits: &EditSet) -> BTreeMap<PathBuf, Vec<Range<usize>>> {
    let mut result = BTreeMap::new();
    for (path, edit) in &edits.files {
        let mut shift: isize = 0;
        let mut ranges = Vec::new();
        for replacement in edit.replacements() {
            let start = replacement.start.saturating_add_signed(shift);
            let removed = replacement.end - replacement.start;
            shift += replacement.text.len().cast_signed() - removed.cast_signed();
            let old = edit.before.as_deref().unwrap_or_default();
            let old = old.get(replacement.start..replacement.end);
            ranges.extend(changed(old.unwrap_or_default(), &replacement.text, start));
        }
        result.insert(path.clone(), ranges);
    }
    result
}

/// Bytes that changed between two texts of which the second begins at `start`: line by line where lines took the place
/// of as many others, for what stands between two edits of neighbouring lines was not edited.
fn changed(old: &str, new: &str, start: usize) -> Vec<Range<usize>> {
    let (old_lines, new_lines) = (old.split_inclusive('\n'), new.split_inclusive('\n'));
    if old_lines.clone().count() != new_lines.clone().count() {
        return [changed_within(old, new, start)].into();
    }
    let mut at = start;
    let pairs = old_lines.zip(new_lines).map(|(old, new)| {
        let range = changed_within(old, new, at);
        at += new.len();
        range
    });
    pairs.collect()
}

/// From the first to the last byte that changed between two texts of which the second begins at `start`.
fn changed_within(old: &str, new: &str, start: usize) -> Range<usize> {
    let (prefix, suffix) = common_ends(old, new);
    start + prefix..start + new.len() - suffix
}

/// Lengths of what two texts share at their starts and, beyond that, at their ends.
fn common_ends(old: &str, new: &str) -> (usize, usize) {
    let same = |(left, right): &(char, char)| left == right;
    let length = |(character, _): (char, char)| character.len_utf8();
    let prefix: usize = old
        .chars()
        .zip(new.chars())
        .take_while(same)
        .map(length)
        .sum();
    let (old, new) = (
        old.get(prefix..).unwrap_or_default(),
        new.get(prefix..).unwrap_or_default(),
    );
    let suffix = old
        .chars()
        .rev()
        .zip(new.chars().rev())
        .take_while(same)
        .map(length)
        .sum();
    (prefix, suffix)
}

fn touches(range: &Range<usize>, problem: &Problem) -> bool {
    problem.place.start < range.end.max(range.start + 1)
        && problem.place.end.max(problem.place.start + 1) > range.start
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::problem::Place;

    fn finding(code: &str, message: &str, start: usize, unit: &str) -> Finding {
        let place = Place {
            file: "a.rs".into(),
            start,
            end: start + 1,
            line: 1,
            column: 1,
        };
        let problem = Problem {
            severity: Severity::Error,
            code: code.to_owned(),
            message: message.to_owned(),
            place,
            source: "rustc".to_owned(),
            symbol: String::new(),
        };
        Finding {
            problem,
            unit: unit.to_owned(),
            suggestions: Vec::new(),
            notes: Vec::new(),
        }
    }

    fn report(findings: &[Finding]) -> Report {
        let reached = vec!["lib".to_owned()];
        Report {
            findings: findings.to_vec(),
            reached,
            ..Report::default()
        }
    }

    fn edits() -> EditSet {
        let mut edits = EditSet::default();
        edits.record(
            "a.rs".into(),
            Some("one\ntwo\nthree\n".into()),
            Some("one\nTWO\nthree\n".into()),
        );
        edits
    }

    /// Counts of fixed, revealed and introduced problems.
    fn check(before: &[Finding], after: &[Finding], expected: (usize, usize, usize)) {
        let change = compare(&report(before), &report(after), &edits());
        assert_eq!(
            (
                change.fixed.len(),
                change.revealed.len(),
                change.introduced.len()
            ),
            expected,
            "{change:?}"
        );
    }

    #[test]
    fn moved_problems_stay_the_same_and_equal_ones_are_told_apart_by_number() {
        let twice = [
            finding("E0425", "no `x`", 4, "lib"),
            finding("E0425", "no `x`", 9, "lib"),
        ];
        check(&twice, &[finding("E0425", "no `x`", 10, "lib")], (1, 0, 0));
        check(&twice, &twice, (0, 0, 0));
        let closure = |line: u32| {
            finding(
                "E0277",
                &format!("{{closure@a.rs:{line}:5}} is not Send"),
                9,
                "lib",
            )
        };
        check(&[closure(3)], &[closure(17)], (0, 0, 0));
    }

    #[test]
    fn trading_one_error_for_another_is_introducing() {
        let types = [finding("E0308", "types", 4, "lib")];
        check(&types, &[finding("E0277", "bounds", 9, "lib")], (1, 0, 1));
        check(
            &types,
            &[finding("E0308", "other types", 9, "lib")],
            (0, 0, 0),
        );
    }

    #[test]
    fn later_phases_and_unseen_units_are_revealed_unless_the_edit_touched_them() {
        let resolve = finding("E0425", "no `x`", 4, "lib");
        check(
            std::slice::from_ref(&resolve),
            &[finding("E0382", "moved", 9, "lib")],
            (1, 1, 0),
        );
        check(
            std::slice::from_ref(&resolve),
            &[finding("E0382", "moved", 5, "lib")],
            (1, 0, 1),
        );
        check(
            &[finding("E0382", "moved", 4, "lib")],
            &[finding("E0425", "no `y`", 9, "lib")],
            (1, 0, 1),
        );
        check(
            &[finding("E0382", "moved", 4, "lib")],
            &[finding("E0425", "no `y`", 9, "tests")],
            (1, 1, 0),
        );
    }

    #[test]
    fn what_stands_between_edits_of_neighbouring_lines_was_not_edited() {
        let old = "let v: S = \"a\";\nlet w = y;\n";
        let new = "let v: S = \"a\".into();\nlet w = x;\n";
        assert_eq!(changed(old, new, 100), [114..121, 131..132]);
        // A line more: where it belongs is not known.
        assert_eq!(changed("a\nb\n", "x\na2\nb\n", 0).len(), 1);
    }
}
