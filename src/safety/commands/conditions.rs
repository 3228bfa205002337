//! Tells conditions that only compare from those that a shell would evaluate (spec: Execution Protection).
//!
//! A shell that counts evaluates the names and the indices in what it counts, again and again, and runs the commands
//! that stand in them, also where they came in through a variable or a file. The same holds for the index of a variable
//! that is looked for. So numbers and plain names are all that passes.

use tree_sitter::Node;

/// Comparisons of numbers.
const COUNTING: [&str; 6] = ["-eq", "-ne", "-lt", "-le", "-gt", "-ge"];

/// Questions about a variable.
const LOOKING: [&str; 2] = ["-v", "-R"];

/// Values of a shell that are always numbers.
const NUMBERS: [&str; 6] = ["$?", "$#", "$$", "\"$?\"", "\"$#\"", "\"$$\""];

/// Whether a text is a name that a shell gives to a variable, without an index.
pub(super) fn is_name(text: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.bytes().all(is_letter)
        && !text.starts_with(|it: char| it.is_ascii_digit())
        && !text.is_empty()
}

/// Whether `((…))` or `$((…))` calculates with nothing but numbers that stand there.
pub(super) fn counts_numbers(text: &str) -> bool {
    let inner = text.strip_prefix('$').unwrap_or(text);
    let counts = |byte: u8| byte.is_ascii_digit() || b"()+-*/%<>=!&|^~?:, ".contains(&byte);
    inner.starts_with("((") && inner.bytes().all(counts)
}

/// Whether `[ … ]` or `[[ … ]]` may evaluate what stands in it.
pub(super) fn may_evaluate(node: Node<'_>, source: &str) -> bool {
    let text = |node: Node<'_>| source.get(node.byte_range()).unwrap_or_default();
    let is_strict = text(node).starts_with("[[");
    let mut parts = Vec::new();
    flatten(node, source, &mut parts);
    if looks_for_index(&parts) {
        return true;
    }
    if is_strict {
        let counts = parts
            .iter()
            .any(|part| COUNTING.contains(&part.text.as_str()));
        return counts && !parts.iter().all(Part::is_number_or_sign);
    }
    if parts.iter().any(|part| part.may_become_several) {
        return true;
    }
    let filled = parts.iter().any(|part| part.is_filled);
    filled && !has_plain_shape(&parts)
}

/// One word of a condition.
struct Part {
    /// As it is written.
    text: String,
    /// Whether the shell fills something in.
    is_filled: bool,
    /// Whether a shell may make several words of it.
    may_become_several: bool,
}

impl Part {
    fn is_number_or_sign(&self) -> bool {
        let digits = self.text.strip_prefix('-').unwrap_or(&self.text);
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let signs = ["!", "&&", "||"];
        is_number
            || NUMBERS.contains(&self.text.as_str())
            || COUNTING.contains(&self.text.as_str())
            || signs.contains(&self.text.as_str())
    }

    fn is_operator(&self) -> bool {
        !self.is_filled
            && (self.text.starts_with('-')
                || matches!(self.text.as_str(), "=" | "==" | "!=" | "<" | ">"))
    }
}

/// With as many words as these, what is filled in can only be an operand.
fn has_plain_shape(parts: &[Part]) -> bool {
    let parts = match parts.split_first() {
        Some((first, rest)) if first.text == "!" => rest,
        _ => parts,
    };
    match parts {
        [_] => true,
        [operator, _] | [_, operator, _] => operator.is_operator(),
        _ => false,
    }
}

/// Whether a variable is looked for whose name is more than a name.
fn looks_for_index(parts: &[Part]) -> bool {
    let mut rest = parts.iter();
    while let Some(part) = rest.next() {
        let bare = part.text.trim_matches(['"', '\'']);
        if LOOKING.contains(&bare) && rest.clone().next().is_none_or(|name| !is_name(&name.text)) {
            return true;
        }
    }
    false
}

fn flatten(node: Node<'_>, source: &str, parts: &mut Vec<Part>) {
    let mut cursor = node.walk();
    let children: Vec<_> = node.children(&mut cursor).collect();
    for child in children {
        let text = source.get(child.byte_range()).unwrap_or_default();
        let is_bracket = !child.is_named() && matches!(text, "[" | "]" | "[[" | "]]" | "(" | ")");
        if is_bracket {
            continue;
        }
        if child.kind().ends_with("_expression") {
            flatten(child, source, parts);
            continue;
        }
        let text = text.replace("\\\n", "");
        let is_number = NUMBERS.contains(&text.as_str());
        let is_pattern = child.kind() == "word" && text.contains(['*', '?', '[', '\\']);
        parts.push(Part {
            is_filled: !is_number && is_filled(child),
            may_become_several: !is_number && (is_pattern || is_filled_bare(child)),
            text,
        });
    }
}

fn is_filling(node: Node<'_>) -> bool {
    matches!(
        node.kind(),
        "simple_expansion"
            | "expansion"
            | "command_substitution"
            | "process_substitution"
            | "arithmetic_expansion"
    )
}

fn is_filled(node: Node<'_>) -> bool {
    let mut cursor = node.walk();
    is_filling(node) || node.named_children(&mut cursor).any(is_filled)
}

/// Whether something is filled in outside of quotes.
fn is_filled_bare(node: Node<'_>) -> bool {
    if matches!(
        node.kind(),
        "string" | "raw_string" | "ansi_c_string" | "translated_string"
    ) {
        return false;
    }
    let mut cursor = node.walk();
    is_filling(node) && node.kind() != "arithmetic_expansion"
        || node.named_children(&mut cursor).any(is_filled_bare)
}
