//! Tells which variables of a line are those of loops and nothing else (spec: Execution Protection).
//!
//! In each round of `for f in a b`, `$f` is one of these words, as long as nothing in the body sets it to another.

use super::line::Command;

/// Programs of the shell that may set a variable and are allowed to.
const SETTERS: [&str; 11] = [
    "read", "eval", "trap", "export", "declare", "typeset", "local", "readonly", "unset", "coproc",
    "select",
];

/// The variables of loops which nothing but one loop sets, as far as the text and the commands of a line show.
pub(super) fn only_looped(source: &str, commands: &[Command]) -> Vec<String> {
    let mut words = commands.iter().flat_map(|command| &command.words);
    if words.any(|word| SETTERS.contains(&word.text.as_str())) {
        return Vec::new();
    }
    let set = commands.iter().flat_map(|command| &command.variables);
    let mut names: Vec<String> = set.map(|(name, _)| name.clone()).collect();
    names.sort_unstable();
    let once = names.chunk_by(|one, other| one == other);
    let once = once.filter_map(|same| match same {
        [name] => Some(name),
        _ => None,
    });
    let is_looped = |name: &&String| {
        let mut heads = 0;
        let is_letter = |it: char| it.is_ascii_alphanumeric() || it == '_';
        let others = source.match_indices(name.as_str()).all(|(at, _)| {
            let (before, after) = source.split_at(at);
            let after = after.get(name.len()..).unwrap_or_default();
            let is_longer = before.ends_with(is_letter) || after.starts_with(is_letter);
            let starts_loop =
                before.trim_end_matches(' ').ends_with("for") && before.ends_with(' ');
            heads += usize::from(starts_loop && !is_longer);
            let is_read = before.ends_with('$')
                || (before.ends_with("${") && !after.starts_with(['=', ':', '[']));
            // `-f` is an option, and `((--f))` none.
            let is_option = before.ends_with('-') && !before.ends_with("--");
            is_longer || starts_loop || is_read || is_option
        });
        others && heads == 1
    };
    once.filter(is_looped).cloned().collect()
}
