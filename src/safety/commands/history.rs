//! What git shows of the texts that it keeps (spec: Git Tool; File System Protection).
//!
//! A secret that was committed once stands in every patch and object of the repository, under any name. Where there is
//! one, a command that shows texts asks, unless it names the files.

use std::path::{Path, PathBuf};

use super::git::takes;
use super::judge::Judge;
use super::options::Arguments;
use super::word::Word;
use crate::safety::paths::may_hold_secrets;
use crate::vcs;

/// Options after which a command shows how texts differ.
const PATCHES: &str = "--check -p -u -U -W -c -L --patch --patch-with-stat --patch-with-raw --unified --word-diff --word-diff-regex --color-words --function-context --cc --combined-all-paths --remerge-diff --diff-merges --dd --binary --submodule";

/// Options after which it shows only which files differ, or how much.
const SUMMARIES: &str = "-s --no-patch --stat --shortstat --numstat --dirstat --summary --compact-summary --name-only --name-status --raw --quiet";

/// Options after which a search shows only which files it found.
const LISTS: &str =
    "-l -L -c -q --files-with-matches --name-only --files-without-match --count --quiet";

/// Judges a command of git that may show texts of a repository which holds secrets.
pub(super) fn judge(judge: &mut Judge<'_>, command: &str, words: &[Word], folder: Option<&Path>) {
    // A stash is a commit: `list` is its log.
    let (command, words) = match (command, words.split_first()) {
        ("stash", Some((first, rest))) if first.text == "show" => ("show", rest),
        ("stash", Some((first, rest))) if first.text == "list" => ("log", rest),
        _ => (command, words),
    };
    let arguments = Arguments::of(words, takes(command));
    if !shows_texts(command, &arguments) {
        return;
    }
    let workspace = judge.policy.workspace();
    let folder = folder.unwrap_or(workspace);
    let Some(root) = vcs::root_of(folder) else {
        return;
    };
    // What cannot be read shows nothing.
    let Ok(kept) = vcs::kept(folder, may_hold_secrets) else {
        return;
    };
    let (revisions, paths) = divided(words, &arguments);
    let mut secrets = if is_of_now(command, &revisions, &arguments) {
        kept.now
    } else {
        kept.ever
    };
    let limits = !arguments.has("--full-diff --follow");
    if let Some(paths) = named(&paths, folder, root).filter(|_| limits) {
        secrets.retain(|secret| paths.iter().any(|path| secret.starts_with(path)));
    } else if matches!(command, "show" | "cat-file") && are_files(&revisions) {
        // `HEAD:PATH` is one file, and judged by its name.
        return;
    }
    if let Some(secret) = secrets.first() {
        judge.ask(
            "secret-files",
            format!(
                "`git {command}` would show what git keeps of {}, which may hold secrets: name other files after `--`",
                secret.display()
            ),
        );
    }
}

fn shows_texts(command: &str, arguments: &Arguments) -> bool {
    let is_patch = arguments.has(PATCHES);
    match command {
        "diff" | "show" | "range-diff" => is_patch || !arguments.has(SUMMARIES),
        "log" | "whatchanged" | "diff-tree" | "diff-index" | "diff-files" | "reflog" => is_patch,
        "grep" => !arguments.has(LISTS),
        "cat-file" => !arguments.has("-t -s -e"),
        _ => false,
    }
}

/// What stands before `--`, and after it.
fn divided<'a>(words: &'a [Word], arguments: &'a Arguments) -> (Vec<&'a Word>, Vec<&'a Word>) {
    let is_mark = |word: &Word| word.text == "--";
    let mut values = arguments
        .options
        .iter()
        .filter_map(|(_, value)| value.as_ref());
    let end = words
        .iter()
        .position(is_mark)
        .filter(|_| !values.any(is_mark));
    let after = end.map_or(0, |end| words.len() - end - 1);
    let before = arguments.operands.len().saturating_sub(after);
    let operands = arguments.operands.iter();
    (
        operands.clone().take(before).collect(),
        operands.skip(before).collect(),
    )
}

/// Whether a command shows nothing but the last commit, the next one and the files.
fn is_of_now(command: &str, revisions: &[&Word], arguments: &Arguments) -> bool {
    match command {
        "diff" | "diff-files" | "diff-index" => revisions
            .iter()
            .all(|word| matches!(word.known(), Some("HEAD" | "@"))),
        // The first operand is what is looked for.
        "grep" => revisions.len() <= usize::from(!arguments.has("-e -f")),
        _ => false,
    }
}

/// The files that are named, relative to the root of the repository; nothing where any could be meant.
fn named(paths: &[&Word], folder: &Path, root: &Path) -> Option<Vec<PathBuf>> {
    let plain = |word: &&Word| {
        let text = word
            .known()
            .filter(|text| !text.contains(['*', '?', '[', ':', '\\']))?;
        let path = crate::safety::paths::resolve(&folder.join(text));
        Some(path.strip_prefix(root).ok()?.to_owned())
    };
    let paths: Option<Vec<PathBuf>> = paths.iter().map(plain).collect();
    paths.filter(|paths| !paths.is_empty())
}

/// Whether every operand names one file of one commit.
fn are_files(revisions: &[&Word]) -> bool {
    let is_plain = |it: char| it.is_ascii_alphanumeric() || "-_./~^@".contains(it);
    let names_a_file = |word: &&Word| {
        let divided = word.known().and_then(|text| text.split_once(':'));
        divided.is_some_and(|(revision, path)| {
            revision.chars().all(is_plain)
                && !path.is_empty()
                && !path.starts_with(['/', '0', '1', '2', '3'])
        })
    };
    let mut words = revisions.iter().filter(|word| word.text != "blob");
    !revisions.is_empty() && words.all(names_a_file)
}
