//! Edits of one of several functions that are nearly the same: they land in the one that is meant, or nowhere.

use std::ops::Range;

use meliora::text::locate::locate;

use super::misquote::{Dice, MISQUOTES, misquoted};
use super::packages::Hunk;
use crate::tidy::announce;

const CASES: usize = 4_000;
const CASES_LONG: usize = 100_000;

const VERBS: [&str; 4] = ["load", "save", "loads", "store"];
const NOUNS: [&str; 4] = ["user", "users", "order", "account"];

/// The lines of a function of Python or Rust; what is left out of it differs from one to the next.
fn function(name: &str, is_python: bool, dice: &mut Dice) -> Vec<String> {
    let noun = name.split('_').next_back().unwrap_or_default();
    let limit = 3 + dice.below(2);
    let rows = if is_python {
        vec![
            format!("    def {name}(self, count):"),
            "        total = 0".to_owned(),
            format!("        for {noun} in self.known:"),
            "            total += count".to_owned(),
            format!("            self.note(\"seen\", {noun})"),
            String::new(),
            format!("        if total > {limit}:"),
            "            return total".to_owned(),
            "        self.close()".to_owned(),
            "        return None".to_owned(),
            String::new(),
        ]
    } else {
        vec![
            format!("    fn {name}(&self, count: usize) -> Option<usize> {{"),
            "        let mut total = 0;".to_owned(),
            format!("        for {noun} in &self.known {{"),
            "            total += count;".to_owned(),
            format!("            self.note(\"seen\", {noun});"),
            "        }".to_owned(),
            format!("        if total > {limit} {{"),
            "            return Some(total);".to_owned(),
            "        }".to_owned(),
            "        None".to_owned(),
            "    }".to_owned(),
            String::new(),
        ]
    };
    let skipped = [1, 4, 100][dice.below(3)];
    let kept = rows.into_iter().enumerate();
    kept.filter(|(number, _)| *number != skipped)
        .map(|(_, row)| row)
        .collect()
}

/// A change of a few lines of a function that begins at a line, with some of the lines around it.
fn change(rows: &[String], start: usize, dice: &mut Dice) -> Hunk {
    let at = 1 + dice.below(rows.len() - 2);
    let first = at.saturating_sub(dice.below(6));
    let last = (at + 1 + dice.below(4)).min(rows.len());
    let mut hunk = Hunk {
        line: start + first,
        rows: Vec::new(),
    };
    let shape = rows[at].len() - rows[at].trim_start().len();
    let new = format!("{}self.changed = True", " ".repeat(shape.max(8)));
    let adds = dice.below(2) == 0;
    for (number, row) in rows.iter().enumerate().take(last).skip(first) {
        let sign = if number == at && !adds { '-' } else { ' ' };
        hunk.rows.push((sign, row.clone()));
        if number == at {
            hunk.rows.push(('+', new.clone()));
        }
    }
    hunk
}

/// Whether lines stand outside of these bounds too, white space aside.
fn stands_elsewhere(lines: &[String], bounds: &Range<usize>, quoted: &[&str]) -> bool {
    let plain = |row: &str| row.split_whitespace().collect::<String>();
    let quoted: Vec<String> = quoted.iter().map(|row| plain(row)).collect();
    let quoted: Vec<&String> = quoted.iter().filter(|row| !row.is_empty()).collect();
    let outside = lines[..bounds.start].iter().chain(&lines[bounds.end..]);
    let outside: Vec<String> = outside.map(|row| plain(row)).collect();
    let outside: Vec<&String> = outside.iter().filter(|row| !row.is_empty()).collect();
    let mut windows = outside.windows(quoted.len().max(1));
    windows.any(|window| window == quoted)
}

#[test]
fn an_edit_of_one_of_several_twins_lands_in_it_or_nowhere() {
    let is_long = std::env::var_os("MELIORA_TEST_LONG").is_some();
    let cases = if is_long { CASES_LONG } else { CASES };
    let mut dice = Dice(23);
    let (mut tried, mut right) = (0, 0);
    while tried < cases {
        let is_python = dice.below(2) == 0;
        let mut names: Vec<String> = Vec::new();
        for _ in 0..2 + dice.below(4) {
            let name = format!("{}_{}", VERBS[dice.below(4)], NOUNS[dice.below(4)]);
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let twins = names
            .iter()
            .map(|name| function(name, is_python, &mut dice));
        let twins: Vec<Vec<String>> = twins.collect();
        let head = if is_python { "class A:" } else { "impl A {" };
        let mut lines = vec![head.to_owned()];
        let meant = dice.below(twins.len());
        let mut bounds = 0..0;
        for (number, twin) in twins.iter().enumerate() {
            if number == meant {
                bounds = lines.len()..lines.len() + twin.len();
            }
            lines.extend(twin.iter().cloned());
        }
        let hunk = change(&twins[meant], bounds.start, &mut dice);
        let how = MISQUOTES[dice.below(MISQUOTES.len())];
        let Some(quoted) = misquoted(&hunk, how, &mut dice) else {
            continue;
        };
        let text = lines.join("\n") + "\n";
        let search = quoted.before().join("\n") + "\n";
        if stands_elsewhere(&lines, &bounds, &quoted.before()) {
            // It says something else by accident, which nobody can tell.
            continue;
        }
        tried += 1;
        let Ok(located) = locate(&text, &search, &(quoted.after().join("\n") + "\n")) else {
            continue;
        };
        let line_at = |offset: usize| text[..offset].matches('\n').count();
        let (from, to) = (line_at(located.range.start), line_at(located.range.end));
        assert!(
            bounds.contains(&from) && to <= bounds.end,
            "{how:?} of {} changed lines {from} to {to}, not {bounds:?}:\n{search}\nin\n{text}",
            names[meant],
        );
        right += 1;
    }
    announce(&format!(
        "twins: {right} of {tried} landed, all where they belong"
    ));
    assert!(right * 4 > tried, "{right} of {tried}");
}
