//! What of a source text can be left out while its form stays: comments, and bodies of functions (spec: AST Analyzer;
//! prompt compression).

use std::ops::Range;
use std::path::Path;

use tree_sitter::Node;

use super::Language;
use super::tree::{Descend, parse, text_of, walk};

/// What can be left out, in the order of the text; bodies may stand in bodies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Folds {
    /// Comments with the whole lines that they stand on alone.
    pub comments: Vec<Range<usize>>,
    /// Bodies of functions, without their brackets.
    pub bodies: Vec<Range<usize>>,
    /// Literals of more than one line: white space in them means something.
    pub literals: Vec<Range<usize>>,
}

/// What can be left out of a file; `None` when its language has no grammar here or the text does not parse.
pub fn folds(path: &Path, text: &str) -> Option<Folds> {
    let language = Language::of(path)?;
    let tree = parse(language, text)?;
    if tree.root_node().has_error() {
        return None;
    }
    let mut folds = Folds::default();
    walk(&tree, |node| {
        if node.kind().ends_with("comment") {
            folds.comments.extend(own_lines(node, text));
            return Descend::Past;
        }
        if is_literal(node) {
            if text_of(node, text).contains('\n') {
                folds.literals.push(node.byte_range());
            }
            return Descend::Past;
        }
        if is_function(node) {
            folds.bodies.extend(body(language, node));
        }
        Descend::Into
    });
    Some(folds)
}

fn is_literal(node: Node<'_>) -> bool {
    matches!(
        node.kind(),
        "string"
            | "string_literal"
            | "raw_string_literal"
            | "template_string"
            | "concatenated_string"
            | "jsx_text"
    )
}

fn is_function(node: Node<'_>) -> bool {
    matches!(
        node.kind(),
        "function_item"
            | "function_declaration"
            | "generator_function_declaration"
            | "function_expression"
            | "method_definition"
            | "arrow_function"
            | "function_definition"
    )
}

/// The inside of a function's body.
fn body(language: Language, function: Node<'_>) -> Option<Range<usize>> {
    let body = function.child_by_field_name("body")?;
    match (language, body.kind()) {
        (Language::Python, "block") => Some(body.byte_range()),
        (_, "block" | "statement_block") => {
            Some(body.start_byte() + 1..body.end_byte().saturating_sub(1))
        }
        // The value of a short function is its whole meaning.
        _ => None,
    }
}

/// The lines of a comment, if nothing else stands on them.
fn own_lines(node: Node<'_>, text: &str) -> Option<Range<usize>> {
    let start = text
        .get(..node.start_byte())?
        .rfind('\n')
        .map_or(0, |at| at + 1);
    if !text.get(start..node.start_byte())?.trim().is_empty() {
        return None;
    }
    // Some grammars count the line's end to the comment.
    let inner_end = node.start_byte() + text_of(node, text).trim_end().len();
    let rest = text.get(inner_end..)?;
    let line = rest.find('\n').map_or(rest.len(), |at| at + 1);
    rest.get(..line)?
        .trim()
        .is_empty()
        .then_some(start..inner_end + line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_and_comments_are_found_in_every_language() {
        for (path, text, comments, bodies) in [
            (
                "a.rs",
                "/// Doc.\nfn a() -> &'static str {\n    // x\n    \"/* no */\"\n}\nfn b(); // kept\n",
                &["/// Doc.\n", "    // x\n"][..],
                &["\n    // x\n    \"/* no */\"\n"][..],
            ),
            (
                "a.ts",
                "/* a */\nclass A {\n  m() { return 1 }\n}\nconst f = (x: number) => x;\nconst g = () => {};\n",
                &["/* a */\n"],
                &[" return 1 ", ""],
            ),
            (
                "a.py",
                "# a\ndef f():\n    \"\"\"Doc.\n    more\"\"\"\n    return 1  # kept\n",
                &["# a\n"],
                &["\"\"\"Doc.\n    more\"\"\"\n    return 1  # kept"],
            ),
        ] {
            let folds = folds(Path::new(path), text).expect("it parses");
            let of = |ranges: &[Range<usize>]| -> Vec<String> {
                ranges
                    .iter()
                    .map(|range| text[range.clone()].to_owned())
                    .collect()
            };
            assert_eq!(of(&folds.comments), comments, "{path}");
            assert_eq!(of(&folds.bodies), bodies, "{path}");
        }
        assert_eq!(folds(Path::new("a.rs"), "fn a( {"), None);
        assert_eq!(folds(Path::new("a.txt"), "text"), None);
    }
}
