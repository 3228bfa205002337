//! Whether two texts say the same: equal tokens, wherever imports and derives stand and however they are grouped.

use std::collections::BTreeMap;

use tree_sitter::Node;

use crate::sample::parse;

/// Whether two texts have the same tokens, comments aside.
pub(crate) fn same_tokens(left: &str, right: &str) -> bool {
    Summary::of(left, false) == Summary::of(right, false)
}

/// Whether two texts have the same tokens, bring the same paths into scope, and derive the same traits.
pub(crate) fn same_meaning(left: &str, right: &str) -> bool {
    Summary::of(left, true) == Summary::of(right, true)
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Summary {
    tokens: Vec<String>,
    /// Imported paths with their visibility and conditions, and derived traits with the name of what they are for.
    unordered: BTreeMap<String, usize>,
}

impl Summary {
    fn of(text: &str, ungroup: bool) -> Self {
        let mut summary = Self::default();
        summary.collect(parse(text).root_node(), text, ungroup);
        summary
    }

    fn collect(&mut self, node: Node, text: &str, ungroup: bool) {
        let shown = &text[node.byte_range()];
        if node.kind().ends_with("comment") {
            return;
        }
        if ungroup && node.kind() == "use_declaration" {
            let condition = node
                .prev_sibling()
                .filter(|before| before.kind() == "attribute_item");
            let condition = condition.map_or("", |attribute| &text[attribute.byte_range()]);
            let words: String = shown.split_whitespace().collect::<Vec<_>>().join(" ");
            let (visibility, tree) = words.split_once("use ").unwrap_or(("", &words));
            for path in paths(tree.trim_end_matches(';')) {
                self.count(format!("{condition} {visibility}use {path}"));
            }
            return;
        }
        let derived = shown
            .strip_prefix("#[derive(")
            .and_then(|rest| rest.strip_suffix(")]"));
        if let Some(traits) = derived.filter(|_| ungroup && node.kind() == "attribute_item") {
            let named = std::iter::successors(node.next_named_sibling(), Node::next_named_sibling)
                .find_map(|item| item.child_by_field_name("name"));
            let name = named.map_or("", |name| &text[name.byte_range()]);
            for derived in traits
                .split(',')
                .map(str::trim)
                .filter(|name| !name.is_empty())
            {
                self.count(format!("{name}: {derived}"));
            }
            return;
        }
        if node.child_count() == 0 || node.kind() == "string_literal" {
            self.tokens.push(shown.to_owned());
            return;
        }
        let mut cursor = node.walk();
        for child in node.children(&mut cursor) {
            self.collect(child, text, ungroup);
        }
    }

    fn count(&mut self, what: String) {
        *self.unordered.entry(what).or_default() += 1;
    }
}

/// The single paths of an import with braces.
fn paths(tree: &str) -> Vec<String> {
    let tree = tree.trim();
    let Some((prefix, rest)) = tree.split_once('{') else {
        return vec![tree.to_owned()];
    };
    let inner = rest.trim_end().strip_suffix('}').unwrap_or(rest);
    let (mut depth, mut start, mut found) = (0, 0, Vec::new());
    for (index, letter) in inner.char_indices().chain([(inner.len(), ',')]) {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                let part = inner[start..index].trim();
                let nested = paths(part).into_iter().filter(|path| !path.is_empty());
                found.extend(nested.map(|path| match path.as_str() {
                    "self" => prefix.trim_end_matches("::").to_owned(),
                    path => format!("{prefix}{path}"),
                }));
                start = index + 1;
            }
            _ => {}
        }
    }
    found
}

#[test]
fn imports_and_derives_may_stand_anywhere() {
    for (left, right, same) in [
        (
            "use a::{b, c::{self, d}};",
            "use a::c::d;\nuse a::b; use a::c;",
            true,
        ),
        ("use a::b;", "use a::c;", false),
        ("pub use a::b;", "use a::b;", false),
        (
            "#[derive(A, B)]\nstruct X;",
            "#[derive(B)]\n#[derive(A)]\nstruct X;",
            true,
        ),
        (
            "#[derive(A)]\nstruct X; struct Y;",
            "struct X;\n#[derive(A)] struct Y;",
            false,
        ),
        ("fn f() { 1 }", "fn f() { /* one */ 1 }", true),
        ("fn f() { 1 }", "fn f() { 2 }", false),
    ] {
        assert_eq!(same_meaning(left, right), same, "{left} and {right}");
    }
}
