//! Options that may write outside of the workspace (spec: Execution Protection).
//!
//! Which options of a program write a file cannot be listed for good. So the value of one that is not known counts as a
//! file that is written where it leads out of the workspace.

use super::judge::Judge;
use super::word::Word;
use crate::safety::paths::resolve;

/// Options of many programs whose value is a text, however much it looks like a path.
const TEXTS: [&str; 20] = [
    "--grep",
    "--fgrep",
    "--message",
    "--rule",
    "--global",
    "--ignore",
    "--exclude",
    "--include",
    "--ignore-pattern",
    "--testNamePattern",
    "--testPathPattern",
    "--testPathPatterns",
    "--testPathIgnorePatterns",
    "--testMatch",
    "--testRegex",
    "--tests-regex",
    "--exclude-regex",
    "--header-filter",
    "--line-filter",
    "--watch-ignore",
];

/// Judges what options in front of `--` have attached to them; `known` lists those that are judged elsewhere.
pub(super) fn refuse_writes(judge: &mut Judge<'_>, name: &str, words: &[Word], known: &str) {
    let is_known = |option: &str| is_listed(option, known);
    for word in words.iter().take_while(|word| word.text != "--") {
        let text = word.text.as_str();
        if !text.starts_with('-') || text.len() < 3 {
            continue;
        }
        let is_long = text.starts_with("--");
        let (option, value) = match (text.find('='), text.find('/')) {
            (Some(at), slash) if slash.is_none_or(|slash| slash > at) => (text.get(..at), at + 1),
            // `-r./x` and `-r../x` begin with the dots.
            (_, Some(at)) if !is_long => {
                let option = text.get(..at).unwrap_or_default().trim_end_matches('.');
                (Some(option), option.len())
            }
            _ => continue,
        };
        let option = option.unwrap_or_default();
        let is_short = !is_long && text.get(..2).is_some_and(&is_known);
        let mut starts = known.split(' ').filter(|it| it.len() > 2);
        let is_start = !is_long && starts.any(|it| option.starts_with(it));
        if is_known(option) || is_short || is_start {
            continue;
        }
        if !word.is_sure {
            judge.ask(
                "unresolved",
                format!("where `{name} {option}` leads is not known"),
            );
            continue;
        }
        write_outside(judge, &word.without_start(value));
    }
}

fn is_listed(option: &str, known: &str) -> bool {
    TEXTS.contains(&option) || known.split(' ').any(|it| it == option)
}

/// Judges what stands behind long options that have nothing attached; `known` lists those that are judged elsewhere.
pub(super) fn refuse_separate(judge: &mut Judge<'_>, words: &[Word], known: &str) {
    for (option, value) in words.iter().zip(words.iter().skip(1)) {
        let is_option = option.text.starts_with("--") && option.text.len() > 2;
        let is_value = !option.text.contains('=') && !value.text.starts_with('-');
        if is_option && is_value && !is_listed(&option.text, known) {
            write_outside(judge, value);
        }
    }
}

fn write_outside(judge: &mut Judge<'_>, word: &Word) {
    if word.text.contains("://") {
        return;
    }
    // `html:/elsewhere`, `link=/elsewhere`.
    for part in word.text.split([':', '=', ',']) {
        let part = Word::plain(part);
        if leads_out(judge, &part) {
            judge.write(&part);
        }
    }
}

/// Whether a word is a path that leads out of the workspace.
pub(super) fn leads_out(judge: &Judge<'_>, word: &Word) -> bool {
    let text = word.text.as_str();
    let is_path = text.starts_with('/') || text.split('/').any(|part| part == "..");
    let is_inside = |path: &std::path::PathBuf| resolve(path).starts_with(judge.policy.workspace());
    is_path
        && judge
            .paths(word)
            .is_none_or(|paths| !paths.iter().all(is_inside))
}
