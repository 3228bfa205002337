//! Strings over several lines, whose indentation is a part of them (spec: AST Analyzer).

use std::path::Path;

use tree_sitter::Node;

use super::Language;
use super::tree::{Descend, parse, text_of, walk};

/// A string over several lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Literal {
    /// Its first byte.
    pub start: usize,
    /// The first bytes of its lines after the first.
    pub lines: Vec<usize>,
}

/// The strings whose lines have to begin as they do, in text order; `None` for a language without a grammar. The
/// indentation of a docstring, and of a line that goes on with one before, is none of the string.
pub fn literals(path: &Path, text: &str) -> Option<Vec<Literal>> {
    let language = Language::of(path)?;
    let tree = parse(language, text)?;
    let mut found = Vec::new();
    walk(&tree, |node| {
        if !is_literal(language, node) {
            return Descend::Into;
        }
        let own = text_of(node, text);
        let goes_on = language == Language::Rust && node.kind() == "string_literal";
        let mut at = node.start_byte();
        let mut lines = Vec::new();
        for row in own.split_inclusive('\n') {
            at += row.len();
            let is_joined = goes_on && row.trim_end_matches(['\r', '\n']).ends_with('\\');
            if row.ends_with('\n') && !is_joined {
                lines.push(at);
            }
        }
        if !lines.is_empty() {
            let start = node.start_byte();
            found.push(Literal { start, lines });
        }
        Descend::Past
    });
    Some(found)
}

fn is_literal(language: Language, node: Node<'_>) -> bool {
    match language {
        Language::Rust => matches!(node.kind(), "string_literal" | "raw_string_literal"),
        Language::TypeScript | Language::Tsx => matches!(node.kind(), "string" | "template_string"),
        Language::Python => {
            let is_docstring = node
                .parent()
                .is_some_and(|parent| parent.kind() == "expression_statement");
            node.kind() == "string" && !is_docstring
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_strings_are_found_where_their_indentation_counts() {
        let numbers = |path: &str, text: &str| -> Option<Vec<usize>> {
            let found = literals(Path::new(path), text)?;
            let starts = found.iter().flat_map(|literal| &literal.lines);
            let number = |start: &usize| text.get(..*start).map(|before| before.lines().count());
            starts.map(number).collect()
        };
        for (path, text, expected) in [
            (
                "a.rs",
                "const A: &str = r#\"\nUsage:\n  x\n\"#;\n",
                Some(vec![1, 2, 3]),
            ),
            (
                "a.rs",
                "const A: &str = \"one \\\n    two\n three\";\n",
                Some(vec![2]),
            ),
            ("a.rs", "fn a() {\n    b(\n    );\n}\n", Some(vec![])),
            (
                "a.py",
                "def f():\n    \"\"\"Says.\n\n    More.\n    \"\"\"\n    t = \"\"\"\nx\n\"\"\"\n",
                Some(vec![6, 7]),
            ),
            ("a.ts", "const a = `\n  ${b}\n`;\n", Some(vec![1, 2])),
            ("a.txt", "'''\nx\n'''\n", None),
        ] {
            assert_eq!(numbers(path, text), expected, "{text}");
        }
    }
}
