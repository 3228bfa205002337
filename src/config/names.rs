//! What is said about a name that nobody knows: the nearest one that somebody does (spec: Configuration).

use std::collections::BTreeSet;

use serde_json::Value;
use toml::Table;

/// How like a known name an unknown one must be to be taken for a slip.
const LIKENESS_MIN: f64 = 0.6;

/// Names that are listed when none is near.
const LISTED_MAX: usize = 12;

/// The complaint about an unknown name, as a sentence fragment.
pub fn unknown<'name>(
    what: &str,
    name: &str,
    known: impl IntoIterator<Item = &'name str>,
) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    match nearest(name, &known) {
        Some(near) => format!("unknown {what} `{name}`, did you mean `{near}`?"),
        None if known.len() <= LISTED_MAX => {
            format!("unknown {what} `{name}`; known are {}", known.join(", "))
        }
        None => format!("unknown {what} `{name}`"),
    }
}

fn nearest<'name>(name: &str, known: &[&'name str]) -> Option<&'name str> {
    let likeness = |known: &str| strsim::normalized_damerau_levenshtein(name, known);
    known
        .iter()
        .copied()
        .max_by(|left, right| likeness(left).total_cmp(&likeness(right)))
        .filter(|near| likeness(near) >= LIKENESS_MIN)
}

/// Complaints about keys of a table that its type does not have. `model` is a value of that type: its keys are the known
/// ones. `path` is where the table stands, for people.
pub fn unknown_keys(table: &Table, model: &Value, path: &str) -> Vec<String> {
    let known: BTreeSet<&str> = model
        .as_object()
        .into_iter()
        .flat_map(|object| object.keys().map(String::as_str))
        .collect();
    table
        .keys()
        .filter(|key| !known.contains(key.as_str()))
        .map(|key| {
            let complaint = unknown("key", key, known.iter().copied());
            format!("{complaint} (in `{path}`)")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_offered_only_when_it_is_near() {
        let known = ["command", "args", "filetypes"];
        for (name, expected) in [
            ("comand", "unknown key `comand`, did you mean `command`?"),
            (
                "filetype",
                "unknown key `filetype`, did you mean `filetypes`?",
            ),
            (
                "zzz",
                "unknown key `zzz`; known are command, args, filetypes",
            ),
        ] {
            assert_eq!(unknown("key", name, known), expected);
        }
    }
}
