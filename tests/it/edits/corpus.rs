//! Misquoted hunks of real packages, as edits.
//!
//! Each hunk between two versions of a package becomes an edit of the older one, misquoted in one of the ways in which
//! models misquote. Right is the text that the package's own authors would have written; anything else but a refusal
//! counts as wrong. Traps are edits that nothing may accept: their place was taken out of the text before.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use meliora::text::locate::{NoPlace, locate};
use meliora::text::patch::{FileChange, apply, parse};

use super::forms::{FORMS, Form};
use super::misquote::{Dice, MISQUOTES, Misquote, misquoted};
use super::packages::{Hunk, Versions, hunks, installed};
use crate::tidy::announce;

/// Edits that are tried; the long run takes more.
const CASES: usize = 1_000;
const CASES_LONG: usize = 12_000;

/// What became of an edit.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    Right,
    Refused,
    Wrong(String),
}

/// What became of the edits of one kind.
#[derive(Debug, Default, Clone)]
struct Tally {
    right: usize,
    refused: usize,
    wrong: usize,
    /// Refused where several places fit, which is right.
    ambiguous: usize,
}

impl Tally {
    fn count(&mut self, outcome: &Outcome, is_ambiguous: bool) {
        match outcome {
            Outcome::Right => self.right += 1,
            Outcome::Refused if is_ambiguous => self.ambiguous += 1,
            Outcome::Refused => self.refused += 1,
            Outcome::Wrong(_) => self.wrong += 1,
        }
    }
}

pub(super) fn versions() -> Vec<Versions> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let cargo_home = std::env::var_os("CARGO_HOME").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").expect("a home")).join(".cargo"),
        PathBuf::from,
    );
    installed(
        &root.join("target/tools"),
        &cargo_home,
        &root.join("tests/tools/edits-crates"),
    )
}

pub(super) fn cases() -> usize {
    if std::env::var_os("MELIORA_TEST_LONG").is_some() {
        CASES_LONG
    } else {
        CASES
    }
}

/// Hunks of files drawn by lot.
pub(super) fn drawn(versions: &[Versions], dice: &mut Dice) -> Option<(usize, Hunk)> {
    let file = dice.below(versions.len());
    let one = &versions[file];
    let mut found = hunks(&one.old, &one.new, dice.below(4));
    (!found.is_empty()).then(|| (file, found.swap_remove(dice.below(found.len()))))
}

fn search_and_replace(
    text: &str,
    search: &[&str],
    replacement: &[&str],
) -> Result<String, NoPlace> {
    let located = locate(text, &joined(search), &joined(replacement))?;
    let mut after = text.to_owned();
    after.replace_range(located.range, &located.replacement);
    Ok(after)
}

/// The text after a patch of one file, or why there is none.
fn patched(text: &str, patch: &str) -> Result<String, String> {
    let files = parse(patch).map_err(|error| error.to_string())?;
    let [file] = files.as_slice() else {
        return Err(format!("{} files", files.len()));
    };
    let FileChange::Update { hunks, .. } = &file.change else {
        return Err(format!("{:?}", file.change));
    };
    let applied = apply(text, hunks, locate).map_err(|error| error.to_string())?;
    Ok(applied.text)
}

/// A text without white space at the ends of its lines.
fn bare(text: &str) -> Vec<&str> {
    text.lines().map(str::trim_end).collect()
}

/// Lines with their ends.
pub(super) fn joined(rows: &[&str]) -> String {
    let mut text = rows.join("\n");
    if !rows.is_empty() {
        text.push('\n');
    }
    text
}

fn outcome<E>(result: Result<String, E>, expected: &str, text: &str) -> Outcome {
    match result {
        Ok(after) if after == expected => Outcome::Right,
        Ok(after) if after == text => Outcome::Refused,
        Ok(after) => Outcome::Wrong(after),
        Err(_) => Outcome::Refused,
    }
}

/// Whether the lines of a hunk stand in several places, so that a refusal is right.
pub(super) fn is_ambiguous(text: &str, hunk: &Hunk) -> bool {
    let plain = |row: &str| row.split_whitespace().collect::<String>();
    let rows = |rows: Vec<&str>| -> Vec<String> {
        let rows = rows.into_iter().map(plain);
        rows.filter(|row| !row.is_empty()).collect()
    };
    let (text, wanted) = (rows(text.lines().collect()), rows(hunk.before()));
    let places = text
        .windows(wanted.len())
        .filter(|window| *window == wanted);
    places.count() > 1
}

#[test]
fn misquoted_hunks_land_where_they_belong_or_nowhere() {
    let versions = versions();
    assert!(versions.len() > 100, "run `tests/run tools` first");
    let mut dice = Dice(11);
    let mut tallies: BTreeMap<Misquote, Tally> = BTreeMap::new();
    let mut forms: BTreeMap<Form, Tally> = BTreeMap::new();
    let mut wrong = Vec::new();
    let mut tried = 0;
    while tried < cases() {
        let Some((file, hunk)) = drawn(&versions, &mut dice) else {
            continue;
        };
        let how = MISQUOTES[dice.below(MISQUOTES.len())];
        let Some(quoted) = misquoted(&hunk, how, &mut dice) else {
            continue;
        };
        tried += 1;
        let old = &versions[file].old;
        let (mut text, mut expected) = (old.clone(), hunk.applied(old));
        if how == Misquote::TextHasCarriageReturns {
            (text, expected) = (text.replace('\n', "\r\n"), expected.replace('\n', "\r\n"));
        }
        let form = FORMS[dice.below(FORMS.len())];
        let result = match form.patch(old, &quoted, &mut dice) {
            // The lines that come have no numbers, which a patch cannot say.
            Some(patch) if how != Misquote::Numbered => patched(&text, &patch),
            _ => {
                let replacement = if how == Misquote::Numbered {
                    hunk.after()
                } else {
                    quoted.after()
                };
                search_and_replace(&text, &quoted.before(), &replacement)
                    .map_err(|refusal| refusal.to_string())
            }
        };
        let result = result.map(|after| match how {
            Misquote::Exact => after,
            // Which white space at the ends of lines was meant, nobody can tell from a misquote.
            _ if bare(&after) == bare(&expected) => expected.clone(),
            _ => after,
        });
        let outcome = outcome(result, &expected, &text);
        let is_ambiguous = is_ambiguous(old, &hunk);
        tallies
            .entry(how)
            .or_default()
            .count(&outcome, is_ambiguous);
        forms.entry(form).or_default().count(&outcome, is_ambiguous);
        match outcome {
            Outcome::Right | Outcome::Refused => {}
            Outcome::Wrong(after) => {
                wrong.push(format!(
                    "{how:?} as {form:?} of {}:{}\n{}\nbecame\n{}",
                    versions[file].path.display(),
                    hunk.line + 1,
                    shown(&quoted),
                    difference(&expected, &after)
                ));
            }
        }
    }
    report("misquoted", &tallies);
    report("in the form", &forms);
    let sum = |part: fn(&Tally) -> usize| tallies.values().map(part).sum::<usize>();
    assert!(
        wrong.is_empty(),
        "{} are wrong:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(12)].join("\n========\n")
    );
    let (right, refused) = (sum(|one| one.right), sum(|one| one.refused));
    assert!(
        right * 100 >= (right + refused) * 90,
        "{right} right, {refused} refused"
    );
}

#[test]
fn an_edit_whose_place_is_gone_lands_nowhere() {
    let versions = versions();
    let mut dice = Dice(13);
    let mut wrong = Vec::new();
    let (mut tried, mut said) = (0, 0);
    while tried < cases() / 2 {
        let Some((file, hunk)) = drawn(&versions, &mut dice) else {
            continue;
        };
        let how = match dice.below(MISQUOTES.len() + 1) {
            other if other < MISQUOTES.len() => MISQUOTES[other],
            _ => Misquote::StaleLine,
        };
        let old = &versions[file].old;
        // What stands elsewhere too is not gone.
        let Some(quoted) = misquoted(&hunk, how, &mut dice).filter(|_| !is_ambiguous(old, &hunk))
        else {
            continue;
        };
        tried += 1;
        let text = hunk.removed(old);
        let form = FORMS[dice.below(FORMS.len())];
        let result = match form.patch(old, &quoted, &mut dice) {
            Some(patch) => patched(&text, &patch),
            None => match search_and_replace(&text, &quoted.before(), &quoted.after()) {
                Err(NoPlace::AlreadyApplied { .. }) => Ok(text.clone()),
                result => result.map_err(|refusal| refusal.to_string()),
            },
        };
        match result {
            Err(_) => {}
            Ok(after) if after == text => said += 1,
            Ok(after) => wrong.push(format!(
                "{how:?} of {}\n{}\nbecame\n{}",
                versions[file].path.display(),
                shown(&quoted),
                difference(&text, &after)
            )),
        }
    }
    announce(&format!(
        "gone: {tried} tried, {} accepted, {said} said to be applied already",
        wrong.len()
    ));
    assert!(
        wrong.is_empty(),
        "{} are wrong:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(12)].join("\n========\n")
    );
}

pub(super) fn shown(hunk: &Hunk) -> String {
    let rows = hunk.rows.iter().map(|(sign, row)| format!("{sign}{row}\n"));
    rows.collect()
}

pub(super) fn difference(expected: &str, after: &str) -> String {
    let diff = similar::TextDiff::from_lines(expected, after);
    diff.unified_diff().context_radius(2).to_string()
}

fn report<K: std::fmt::Debug>(what: &str, tallies: &BTreeMap<K, Tally>) {
    for (how, tally) in tallies {
        announce(&format!("{what} {how:?}: {tally:?}"));
    }
}
