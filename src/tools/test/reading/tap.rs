//! Reads the Test Anything Protocol as `node --test` writes it (spec: Test Tool).

use crate::tools::test::cases::{Case, Outcome};

/// Spaces by which one level is indented.
const INDENT: usize = 4;

/// Lines `ok 1 - NAME` with a block of facts below; names of groups come before what is in them.
pub(in crate::tools::test) fn read(stdout: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    // The groups that are open, and whether anything was found in them.
    let mut groups: Vec<(&str, bool)> = Vec::new();
    let mut lines = stdout.lines().peekable();
    while let Some(line) = lines.next() {
        let text = line.trim_start();
        let level = (line.len() - text.len()) / INDENT;
        if let Some(name) = text.strip_prefix("# Subtest: ") {
            groups.truncate(level);
            groups.push((name, false));
            continue;
        }
        let Some((outcome, name, said)) = result(text) else {
            continue;
        };
        let facts = facts(&mut lines);
        let has_parts = groups.get(level).is_some_and(|(_, has_parts)| *has_parts);
        groups.truncate(level);
        if let Some((_, has_parts)) = groups.last_mut() {
            *has_parts = true;
        }
        if has_parts {
            continue;
        }
        let above = groups.iter().map(|(name, _)| *name).chain([name]);
        let name = above.collect::<Vec<_>>().join(" > ");
        let said = match outcome {
            Outcome::Failed => facts.error,
            Outcome::Passed | Outcome::Skipped => said.to_owned(),
        };
        cases.push(Case::new(name, outcome).saying(&said).lasting(facts.time));
    }
    cases
}

fn result(text: &str) -> Option<(Outcome, &str, &str)> {
    let (outcome, rest) = match text.strip_prefix("not ok ") {
        Some(rest) => (Outcome::Failed, rest),
        None => (Outcome::Passed, text.strip_prefix("ok ")?),
    };
    let (_, name) = rest.split_once(" - ")?;
    for mark in [" # SKIP", " # TODO"] {
        if let Some((name, said)) = name.split_once(mark) {
            return Some((Outcome::Skipped, name, said.trim()));
        }
    }
    Some((outcome, name, ""))
}

#[derive(Default)]
struct Facts {
    time: Option<f64>,
    error: String,
}

/// The block between `---` and `...` below a result.
fn facts<'text>(lines: &mut std::iter::Peekable<impl Iterator<Item = &'text str>>) -> Facts {
    let mut facts = Facts::default();
    if lines.next_if(|line| line.trim() == "---").is_none() {
        return facts;
    }
    for line in lines.by_ref() {
        let text = line.trim();
        if text == "..." {
            break;
        }
        if let Some(time) = text.strip_prefix("duration_ms: ") {
            facts.time = time.parse().ok();
        } else if !["type:", "location:", "failureType:", "name:"]
            .iter()
            .any(|dull| text.starts_with(dull))
        {
            facts.error.push_str(text);
            facts.error.push('\n');
        }
    }
    facts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_give_their_names_to_what_is_in_them() {
        let cases = read(
            "TAP version 13\n# Subtest: sums\n    # Subtest: adds\n    ok 1 - adds\n      ---\n      duration_ms: 1.5\n      \
             ...\n    # Subtest: fails\n    not ok 2 - fails\n      ---\n      duration_ms: 0.5\n      \
             error: 'expected 1'\n      ...\n    1..2\nnot ok 1 - sums\n  ---\n  duration_ms: 3\n  type: 'suite'\n  ...\n\
             # Subtest: alone\nok 2 - alone # SKIP not yet\n  ---\n  duration_ms: 0.1\n  ...\n1..2\n# tests 3\n",
        );
        let shown: Vec<_> = cases
            .iter()
            .map(|case| (case.name.as_str(), case.outcome, case.message.as_str()))
            .collect();
        assert_eq!(
            shown,
            [
                ("sums > adds", Outcome::Passed, ""),
                ("sums > fails", Outcome::Failed, "error: 'expected 1'"),
                ("alone", Outcome::Skipped, "not yet"),
            ]
        );
        assert_eq!(cases[0].milliseconds, Some(1.5));
    }
}
