//! Judges `find` (spec: Execution Protection).

use std::path::Path;

use super::judge::Judge;
use super::unsure;
use super::word::Word;
use super::wrappers::{filled, within};
use crate::safety::paths::may_hold_secrets;

/// Tests and actions without a value.
const PLAIN: [&str; 33] = [
    "-print",
    "-print0",
    "-ls",
    "-prune",
    "-quit",
    "-empty",
    "-not",
    "-a",
    "-and",
    "-o",
    "-or",
    "-true",
    "-false",
    "-readable",
    "-writable",
    "-executable",
    "-depth",
    "-d",
    "-xdev",
    "-mount",
    "-follow",
    "-daystart",
    "-noleaf",
    "-nouser",
    "-nogroup",
    "-nowarn",
    "-warn",
    "-ignore_readdir_race",
    "-noignore_readdir_race",
    "-help",
    "--help",
    "-version",
    "--version",
];

/// Tests and actions with a value that names no file.
const VALUED: [&str; 35] = [
    "-name",
    "-iname",
    "-path",
    "-ipath",
    "-wholename",
    "-iwholename",
    "-regex",
    "-iregex",
    "-lname",
    "-ilname",
    "-type",
    "-xtype",
    "-size",
    "-perm",
    "-user",
    "-group",
    "-uid",
    "-gid",
    "-mtime",
    "-atime",
    "-ctime",
    "-mmin",
    "-amin",
    "-cmin",
    "-used",
    "-maxdepth",
    "-mindepth",
    "-links",
    "-inum",
    "-fstype",
    "-printf",
    "-regextype",
    "-context",
    "-D",
    "-newermt",
];

/// Judges `find`: where it looks, and what it does with what it finds.
pub(super) fn judge(judge: &mut Judge<'_>, words: &[Word]) {
    let is_option = |word: &&Word| {
        matches!(
            word.text.as_str(),
            "-L" | "-H" | "-P" | "-O1" | "-O2" | "-O3"
        )
    };
    let options = words.iter().take_while(is_option).count();
    let words = words.get(options..).unwrap_or_default();
    for word in words {
        unsure::refuse_splitting(judge, "find", word);
    }
    let starts = |word: &Word| word.text.starts_with(['-', '(', '!', ',']) && word.is_sure;
    let end = words.iter().position(starts).unwrap_or(words.len());
    let (places, tests) = words.split_at(end);
    let here = [Word::plain(".")];
    let places = if places.is_empty() { &here } else { places };
    for place in places {
        judge.read(place);
    }
    let runs = tests.iter().any(|word| word.text.starts_with("-exec"));
    let mut rest = tests;
    while let Some((test, after)) = rest.split_first() {
        rest = after;
        let text = test.text.as_str();
        let mut value = || {
            let (value, after) = rest.split_first()?;
            rest = after;
            Some(value)
        };
        match text {
            "-exec" | "-execdir" | "-ok" | "-okdir" => rest = execute(judge, places, rest),
            "-delete" => places.iter().for_each(|place| delete(judge, place)),
            "-fprint" | "-fprint0" | "-fls" => {
                if let Some(file) = value() {
                    judge.write(file);
                }
            }
            "-fprintf" => {
                if let Some(file) = value() {
                    judge.write(file);
                }
                value();
            }
            "-newer" | "-samefile" | "-anewer" | "-cnewer" => {
                if let Some(file) = value() {
                    judge.read(file);
                }
            }
            "(" | ")" | "!" | "," => {}
            _ if PLAIN.contains(&text) => {}
            // What stands after one of these is its value, whatever it looks like.
            _ if VALUED.contains(&text) => {
                if let Some(name) = value().filter(|name| runs && names_a_secret(name)) {
                    judge.ask(
                        "secret-files",
                        format!("what it finds as `{}` may hold secrets", name.text),
                    );
                }
            }
            _ => judge.ask("option", format!("`find {text}` is not followed further")),
        }
    }
}

/// Whether a name, or a pattern without its stars, is that of a file that may hold secrets.
fn names_a_secret(word: &Word) -> bool {
    let name = word.text.trim_matches('*');
    may_hold_secrets(Path::new(&word.text)) || may_hold_secrets(Path::new(name))
}

/// Judges the command of `-exec`; gives what follows it.
fn execute<'a>(judge: &mut Judge<'_>, places: &[Word], words: &'a [Word]) -> &'a [Word] {
    // A `+` ends the command only behind the mark.
    let is_end = |at: &usize| {
        let text = |at: usize| words.get(at).map_or("", |word| word.text.as_str());
        text(*at) == ";" || (text(*at) == "+" && *at > 0 && text(*at - 1) == "{}")
    };
    let end = (0..words.len()).find(is_end).unwrap_or(words.len());
    let inner = words.get(..end).unwrap_or_default();
    if inner.iter().any(|word| !word.is_sure) {
        judge.ask(
            "unresolved",
            "where the command of `-exec` ends is not known",
        );
    }
    let reads = |name: &str| super::programs::find(name).is_some();
    let reads = inner.first().and_then(Word::known).is_some_and(reads);
    for place in places {
        let filling = if reads {
            place.clone()
        } else {
            Word::unknown()
        };
        within(judge, &filled(inner, "{}", &filling));
    }
    words.get(end + 1..).unwrap_or_default()
}

/// What it finds is below the place, or the place itself.
fn delete(judge: &mut Judge<'_>, place: &Word) {
    let below = Word::plain(&format!("{}/…", place.text));
    judge.delete(if place.known().is_some() {
        &below
    } else {
        place
    });
    judge.read(place);
    if place
        .known()
        .is_none_or(|place| !place.contains(|it: char| it.is_alphanumeric()))
    {
        judge.ask("delete", "everything that it finds would be deleted");
    }
}
