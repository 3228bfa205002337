//! Parsing and walking of syntax trees (spec: AST Analyzer, document parsing).

use std::path::Path;

use tree_sitter::{Node, Parser, Tree};

use super::Language;

/// Texts longer than this are not parsed: nobody wrote them by hand.
const TEXT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Counts the places where the text does not parse: tokens that do not fit and tokens that are missing. `None` when
/// the language has no grammar here.
pub fn error_count(path: &Path, text: &str) -> Option<usize> {
    let tree = parse(Language::of(path)?, text)?;
    let mut count = 0;
    walk(&tree, |node| {
        count += usize::from(node.is_error() || node.is_missing());
        if node.has_error() {
            Descend::Into
        } else {
            Descend::Past
        }
    });
    Some(count)
}

/// Whether a word means something to the language of a file, so that it is no name or one only in places.
pub fn is_keyword(path: &Path, word: &str) -> bool {
    Language::of(path).is_some_and(|language| grammar(language).id_for_node_kind(word, false) != 0)
}

/// Parses a text; `None` when it is too long.
pub(super) fn parse(language: Language, text: &str) -> Option<Tree> {
    if text.len() > TEXT_BYTES_MAX {
        return None;
    }
    let mut parser = Parser::new();
    parser.set_language(&grammar(language)).ok()?;
    parser.parse(text, None)
}

fn grammar(language: Language) -> tree_sitter::Language {
    let grammar = match language {
        Language::Rust => tree_sitter_rust::LANGUAGE,
        Language::TypeScript => tree_sitter_typescript::LANGUAGE_TYPESCRIPT,
        Language::Tsx => tree_sitter_typescript::LANGUAGE_TSX,
        Language::Python => tree_sitter_python::LANGUAGE,
    };
    grammar.into()
}

/// Where a walk goes after a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Descend {
    /// To its children.
    Into,
    /// To its next sibling.
    Past,
}

/// Visits nodes from the root in text order. It does not recurse, so that hostile nesting cannot end the process.
pub(super) fn walk<'tree>(tree: &'tree Tree, mut visit: impl FnMut(Node<'tree>) -> Descend) {
    let mut cursor = tree.walk();
    loop {
        if visit(cursor.node()) == Descend::Into && cursor.goto_first_child() {
            continue;
        }
        while !cursor.goto_next_sibling() {
            if !cursor.goto_parent() {
                return;
            }
        }
    }
}

/// The source text of a node.
pub(super) fn text_of<'text>(node: Node<'_>, text: &'text str) -> &'text str {
    text.get(node.byte_range()).unwrap_or_default()
}
