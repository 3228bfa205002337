//! Names in a text: the one at a place, and all places of one (spec: Symbol Extraction).

use std::ops::Range;
use std::path::Path;

use super::Language;
use super::tree::{Descend, parse, text_of, walk};

/// The name that a byte of a text is in or right after.
pub fn name_at(text: &str, offset: usize) -> Option<Range<usize>> {
    let (head, tail) = (text.get(..offset)?, text.get(offset..)?);
    let start = head.trim_end_matches(is_part_of_name).len();
    let end = text.len() - tail.trim_start_matches(is_part_of_name).len();
    let name = text.get(start..end)?;
    let begins = name.chars().next()?;
    (!begins.is_numeric()).then_some(start..end)
}

/// The places where a name stands in a text as a name, in text order: not in comments and not inside of texts. In a
/// language without a grammar every whole word counts.
pub fn occurrences(path: &Path, text: &str, name: &str) -> Vec<Range<usize>> {
    let tree = Language::of(path).and_then(|language| parse(language, text));
    let Some(tree) = tree else {
        return words(text, name);
    };
    let mut found = Vec::new();
    walk(&tree, |node| {
        if node.child_count() > 0 {
            return Descend::Into;
        }
        if node.kind().ends_with("identifier") && text_of(node, text) == name {
            found.push(node.byte_range());
        }
        Descend::Past
    });
    found
}

/// The places where a name stands in a text as a word and not as a name: in comments and inside of texts.
pub fn mentions(path: &Path, text: &str, name: &str) -> Vec<Range<usize>> {
    let names = occurrences(path, text, name);
    let mut mentions = words(text, name);
    mentions.retain(|range| {
        let same = names.binary_search_by_key(&range.start, |name| name.start);
        same.is_err()
    });
    mentions
}

/// The places of a word that is not part of a longer one.
fn words(text: &str, name: &str) -> Vec<Range<usize>> {
    let found = text.match_indices(name).map(|(at, _)| at..at + name.len());
    found
        .filter(|range| !name.is_empty() && name_at(text, range.start).as_ref() == Some(range))
        .collect()
}

fn is_part_of_name(character: char) -> bool {
    character.is_alphanumeric() || character == '_' || character == '$'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found<'text>(path: &str, text: &'text str, name: &str) -> Vec<(usize, &'text str)> {
        occurrences(Path::new(path), text, name)
            .into_iter()
            .map(|range| (range.start, &text[range]))
            .collect()
    }

    #[test]
    fn names_are_found_where_they_are_names() {
        let rust = "struct Pin; // Pin\nfn f(p: Pin) { let s = \"Pin\"; vec![Pin]; Pinned; }";
        assert_eq!(
            found("a.rs", rust, "Pin"),
            [(7, "Pin"), (27, "Pin"), (54, "Pin")]
        );
        let typescript = "interface A { x: B }\nconst x = { x: a.x, [`x`]: 1 };";
        assert_eq!(found("a.ts", typescript, "x").len(), 4);
        assert_eq!(found("a.py", "é = 1\nprint(é, 'é')  # é\n", "é").len(), 2);
        assert_eq!(found("a.go", "x := xx + x // x\n", "x").len(), 3);
        assert_eq!(found("a.go", "x", ""), []);
    }

    #[test]
    fn the_name_at_a_place_is_whole() {
        let text = "let größe_2 = 12;";
        let at = |offset| name_at(text, offset).map(|range| &text[range]);
        for offset in [4, 6, 8, 13] {
            assert_eq!(at(offset), Some("größe_2"), "{offset}");
        }
        assert_eq!(at(3), Some("let"));
        assert_eq!(at(14), None);
        assert_eq!(at(17), None);
        assert_eq!(at(99), None);
    }
}
