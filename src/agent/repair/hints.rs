//! Edits for what a compiler says in words only (spec: Semantic Analyzer).
//!
//! rustc often knows where the cause of an error is without suggesting an edit: the private item that is used, the
//! name that does not exist. These edits are as general as its words; like every other they have to pass the proof.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::candidate::{Candidate, Kind, Rank};
use super::choice::Sources;
use crate::text::edit::{EditSet, Replacement, replace};
use crate::tools::build::Finding;

/// Similar names that are tried for one that does not exist.
const SIMILAR_MAX: usize = 6;

/// Letters that a name must have for one wrong letter to tell what was meant.
const NAME_LETTERS_MIN: usize = 3;

/// Errors about an item that exists and may not be used from there.
const PRIVATE: [&str; 3] = ["E0603", "E0616", "E0624"];

/// Errors about a name that does not exist.
const UNKNOWN_NAME: [&str; 17] = [
    "E0026", "E0220", "E0405", "E0407", "E0412", "E0422", "E0425", "E0432", "E0433", "E0531",
    "E0532", "E0559", "E0560", "E0574", "E0576", "E0599", "E0609",
];

/// All edits that the words of a finding give rise to.
pub fn candidates(
    finding: &Finding,
    sources: &Sources,
    text: impl Fn(&Path) -> Option<Arc<str>>,
) -> Vec<Candidate> {
    let code = finding.problem.code.as_str();
    if PRIVATE.contains(&code) {
        return opened(finding, text);
    }
    if UNKNOWN_NAME.contains(&code) {
        return respelled(finding, sources, text);
    }
    match code {
        "E0308" => propagated(finding, text),
        "E0282" | "E0283" => returned(finding, text).into_iter().collect(),
        _ => Vec::new(),
    }
}

/// Returns a value of which nobody can tell the type because it is thrown away.
fn returned(finding: &Finding, text: impl Fn(&Path) -> Option<Arc<str>>) -> Option<Candidate> {
    let place = &finding.problem.place;
    let before = text(&place.file)?;
    let (start, line) = line_at(&before, place.start)?;
    let is_statement = line.ends_with(';') && !line.contains('=') && !line.starts_with("let ");
    if !is_statement || line.starts_with("return") {
        return None;
    }
    let keyword = Replacement {
        start,
        end: start,
        text: "return ".to_owned(),
    };
    let title = "return this value".to_owned();
    candidate(
        &place.file,
        &before,
        keyword,
        title,
        Kind::Propagation,
        Rank::Fitting,
    )
}

/// The line around a place without its indentation, and where that begins.
fn line_at(text: &str, place: usize) -> Option<(usize, &str)> {
    let start = text
        .get(..place)?
        .rfind('\n')
        .map_or(0, |newline| newline + 1);
    let line = text.get(start..)?.lines().next()?;
    let indent = line.len() - line.trim_start().len();
    Some((start + indent, line.trim()))
}

/// Takes the value out of a result or an option that is matched as if it were the value.
fn propagated(finding: &Finding, text: impl Fn(&Path) -> Option<Arc<str>>) -> Vec<Candidate> {
    let wrapped = finding.notes.iter().filter(|note| {
        let kind = note.text.strip_prefix("this expression has type `");
        kind.is_some_and(|kind| kind.starts_with("Result<") || kind.starts_with("Option<"))
    });
    wrapped
        .filter_map(|note| {
            let question_mark = Replacement {
                start: note.end,
                end: note.end,
                text: "?".to_owned(),
            };
            let title = "pass the failure on with `?`".to_owned();
            let before = text(&note.file)?;
            candidate(
                &note.file,
                &before,
                question_mark,
                title,
                Kind::Propagation,
                Rank::Fitting,
            )
        })
        .collect()
}

/// Makes the private item visible: in its crate, and where that is not enough, everywhere.
fn opened(finding: &Finding, text: impl Fn(&Path) -> Option<Arc<str>>) -> Vec<Candidate> {
    let definitions = finding
        .notes
        .iter()
        .filter(|note| note.text.ends_with("defined here"));
    let mut found = Vec::new();
    for note in definitions {
        let Some(before) = text(&note.file) else {
            continue;
        };
        let Some((line, rest)) = line_at(&before, note.start) else {
            continue;
        };
        // Attributes and visibility stand before the place only when the item has them on its own line.
        if rest.starts_with("pub") || rest.starts_with('#') {
            continue;
        }
        for (word, rank) in [("pub(crate) ", Rank::Fitting), ("pub ", Rank::Offered)] {
            let insertion = Replacement {
                start: line,
                end: line,
                text: word.to_owned(),
            };
            let title = format!("make it `{}`", word.trim_end());
            found.extend(candidate(
                &note.file,
                &before,
                insertion,
                title,
                Kind::Visibility,
                rank,
            ));
        }
    }
    found
}

/// Replaces a name that does not exist by one of the project's names that is one slip of a finger away.
fn respelled(
    finding: &Finding,
    sources: &Sources,
    text: impl Fn(&Path) -> Option<Arc<str>>,
) -> Vec<Candidate> {
    let place = &finding.problem.place;
    let Some(before) = text(&place.file) else {
        return Vec::new();
    };
    let shown = before.get(place.start..place.end).unwrap_or_default();
    let name = shown.rsplit("::").next().unwrap_or(shown);
    let is_name = name
        .chars()
        .all(|letter| letter.is_alphanumeric() || letter == '_');
    if !is_name || name.chars().count() < NAME_LETTERS_MIN {
        return Vec::new();
    }
    let mut names: Vec<(usize, String)> = Vec::new();
    for (_, source) in sources.texts() {
        let words = source.split(|letter: char| !(letter.is_alphanumeric() || letter == '_'));
        for word in words.filter(|word| is_slip(name, word)) {
            match names.iter_mut().find(|(_, known)| known == word) {
                Some((count, _)) => *count += 1,
                None => names.push((1, word.to_owned())),
            }
        }
    }
    names.sort_by(|left, right| right.cmp(left));
    names
        .into_iter()
        .take(SIMILAR_MAX)
        .filter_map(|(_, similar)| {
            let title = format!("the project has a similar name: `{similar}`");
            let replacement = Replacement {
                start: place.end - name.len(),
                end: place.end,
                text: similar,
            };
            candidate(
                &place.file,
                &before,
                replacement,
                title,
                Kind::Spelling,
                Rank::SimilarName,
            )
        })
        .collect()
}

fn candidate(
    file: &Path,
    before: &Arc<str>,
    replacement: Replacement,
    title: String,
    kind: Kind,
    rank: Rank,
) -> Option<Candidate> {
    let after = replace(before, &[replacement]).ok()?;
    let mut edits = EditSet::default();
    edits.record(
        PathBuf::from(file),
        Some(before.clone()),
        Some(after.into()),
    );
    Some(Candidate {
        title,
        source: "meliora".to_owned(),
        kind,
        rank,
        edits,
    })
}

/// Whether one letter too many, too few or wrong, two letters swapped, or upper and lower case make one word of
/// the other.
fn is_slip(wrong: &str, right: &str) -> bool {
    if wrong == right || wrong.len().abs_diff(right.len()) > 4 {
        return false;
    }
    if wrong.eq_ignore_ascii_case(right) {
        return true;
    }
    let (wrong, right): (Vec<char>, Vec<char>) = (wrong.chars().collect(), right.chars().collect());
    let prefix = wrong
        .iter()
        .zip(&right)
        .take_while(|(left, right)| left == right)
        .count();
    let (wrong, right) = (
        wrong.get(prefix..).unwrap_or_default(),
        right.get(prefix..).unwrap_or_default(),
    );
    match (wrong, right) {
        ([_, wrong @ ..], [_, right @ ..]) if wrong == right => true,
        ([_, wrong @ ..], right) if wrong == right => true,
        (wrong, [_, right @ ..]) if wrong == right => true,
        ([first, second, wrong @ ..], [third, fourth, right @ ..]) => {
            first == fourth && second == third && wrong == right
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::problem::{Place, Problem, Severity};
    use crate::tools::build::Note;

    #[test]
    fn slips_of_a_finger_are_told_from_other_names() {
        for (wrong, right, slip) in [
            ("lenght", "length", true),
            ("lngth", "length", true),
            ("leength", "length", true),
            ("lemgth", "length", true),
            ("hashmap", "HashMap", true),
            ("length", "length", false),
            ("length", "width", false),
            ("length", "lengths_of", false),
        ] {
            assert_eq!(is_slip(wrong, right), slip, "{wrong} {right}");
        }
    }

    #[test]
    fn a_private_item_is_opened_where_it_is_defined() {
        let text = "mod a {\n    fn hidden() {}\n}\nfn main() { a::hidden() }\n";
        let finding = Finding {
            problem: Problem {
                severity: Severity::Error,
                code: "E0603".to_owned(),
                message: "function `hidden` is private".to_owned(),
                place: Place {
                    file: "src/main.rs".into(),
                    start: 45,
                    end: 51,
                    line: 4,
                    column: 16,
                },
                source: "rustc".to_owned(),
                symbol: "hidden".to_owned(),
            },
            unit: String::new(),
            suggestions: Vec::new(),
            notes: vec![Note {
                text: "the function `hidden` is defined here".to_owned(),
                file: "src/main.rs".into(),
                start: 12,
                end: 23,
            }],
        };
        let sources = Sources {
            tree: Path::new("/nowhere"),
        };
        let found = candidates(&finding, &sources, |_| Some(text.into()));
        let after = |index: usize| {
            found[index].edits.files[Path::new("src/main.rs")]
                .after
                .clone()
        };
        assert_eq!(
            after(0).as_deref(),
            Some(text.replace("fn hidden", "pub(crate) fn hidden").as_str())
        );
        assert_eq!(
            after(1).as_deref(),
            Some(text.replace("fn hidden", "pub fn hidden").as_str())
        );
        assert!(found[0].rank < found[1].rank);
    }
}
