//! Finds options in words that are not known before a shell fills them in (spec: Execution Protection).
//!
//! What a variable, a substitution or a pattern stands for may be an option that starts a program or writes a file.
//! Such a word asks wherever a program would heed it as an option: not as the value of one, and not behind `--`.

use super::judge::Judge;
use super::options::is_listed;
use super::word::{Letter, Word};
use super::{git, programs, wrappers};

/// Files that a pattern may stand for.
const MATCHES_MAX: usize = 500;

/// Asks where a word of a program may turn out to be an option.
pub(super) fn refuse_options(judge: &mut Judge<'_>, name: &str, words: &[Word]) {
    let is_certain = |word: &Word| word.is_sure && word.pattern.is_none();
    // What starts others looks at the words in front by itself, and at the rest as a program of its own.
    if words.iter().all(is_certain)
        || programs::heeds_no_options(name)
        || wrappers::starts_others(name)
    {
        return;
    }
    let (takes, mut rest) = match name {
        "git" => git::takes_of_command(words),
        _ => (programs::takes(name), words),
    };
    let mut values = 0;
    // What an option that is not known takes may be `--`.
    let mut is_followed = true;
    while let Some((word, after)) = rest.split_first() {
        rest = after;
        let text = word.text.as_str();
        if values > 0 {
            values -= 1;
            refuse_splitting(judge, name, word);
            continue;
        }
        if text == "--" && is_followed {
            return;
        }
        let is_option = text.len() > 1 && text.starts_with('-');
        let is_attached = text
            .get(..2)
            .is_some_and(|short| !short.ends_with('-') && is_listed(short, &takes));
        if word.may_split || (word.may_be_option && !(is_option && is_attached)) {
            return ask(judge, name, word);
        }
        if finds_an_option(judge, word) {
            return judge.ask(
                "unresolved",
                format!("`{text}` stands for a file whose name `{name}` takes for an option"),
            );
        }
        values = values_after(name, text, &takes);
        is_followed = !(text.starts_with("--") && values == 0 && !text.contains('='));
    }
}

/// Asks where a word may become several.
pub(super) fn refuse_splitting(judge: &mut Judge<'_>, name: &str, word: &Word) {
    if word.may_split {
        ask(judge, name, word);
    }
}

fn ask(judge: &mut Judge<'_>, name: &str, word: &Word) {
    let text = &word.text;
    judge.ask(
        "unresolved",
        format!("`{text}` may be any option of `{name}`"),
    );
}

/// How many words after an option are its values.
fn values_after(name: &str, text: &str, takes: &str) -> usize {
    if name == "jq" && matches!(text, "--arg" | "--argjson") {
        return 2;
    }
    if text.starts_with("--") {
        return usize::from(!text.contains('=') && is_listed(text, takes));
    }
    // Of a cluster, the first letter that takes a value ends it.
    let mut letters = text.strip_prefix('-').unwrap_or_default().char_indices();
    let taking = letters.find(|(_, letter)| is_listed(&format!("-{letter}"), takes));
    usize::from(taking.is_some_and(|(at, letter)| at + letter.len_utf8() + 1 == text.len()))
}

/// Whether what is listed below the folder of a command may begin like an option.
pub(super) fn lists_an_option(judge: &Judge<'_>) -> bool {
    let pattern = ['-', '*'].map(|it| Letter {
        it,
        is_quoted: false,
    });
    let word = Word {
        pattern: Some(pattern.to_vec()),
        ..Word::plain("-*")
    };
    judge.folders.0.is_empty() || finds_an_option(judge, &word)
}

/// Whether a pattern stands for a file whose name begins like an option.
fn finds_an_option(judge: &Judge<'_>, word: &Word) -> bool {
    let begins = |letter: &Letter| letter.is_wild() || letter.it == '-';
    let pattern = word.pattern.as_ref();
    let Some(pattern) = pattern.filter(|pattern| pattern.first().is_some_and(begins)) else {
        return false;
    };
    judge.folders.0.iter().any(|folder| {
        let found = super::glob::expand(folder, pattern, MATCHES_MAX);
        // Where there are too many, what reads them asks.
        found.unwrap_or_default().iter().any(|path| {
            let name = path.strip_prefix(folder).unwrap_or(path);
            // A pattern that finds nothing stands for itself.
            let begins = name.as_os_str().as_encoded_bytes().starts_with(b"-");
            begins && path.symlink_metadata().is_ok()
        })
    })
}
