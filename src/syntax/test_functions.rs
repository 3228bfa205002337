//! Which tests a file holds (spec: Testing). Repairs that lose or silence one are refused by this list.

use std::ops::Range;
use std::path::Path;

use tree_sitter::Node;

use super::Language;
use super::tree::{Descend, parse, text_of, walk};

/// Attributes whose last path segment says that a Rust function is a test.
const RUST_TEST_ATTRIBUTES: [&str; 6] = [
    "test",
    "rstest",
    "test_case",
    "quickcheck",
    "wasm_bindgen_test",
    "bench",
];

/// Functions that declare a test in JavaScript test runners.
const SCRIPT_TEST_CALLS: [&str; 2] = ["it", "test"];

/// One test of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestFunction {
    /// Its name: the function's, or the title given to the test runner.
    pub name: String,
    /// Whether the text says that it does not run (`#[ignore]`, `@skip`, `it.skip`).
    pub skipped: bool,
    /// Bytes of the function or the call.
    pub range: Range<usize>,
}

/// The tests of a file in text order; empty for a language without a grammar.
pub fn tests(path: &Path, text: &str) -> Vec<TestFunction> {
    let Some(language) = Language::of(path) else {
        return Vec::new();
    };
    let Some(tree) = parse(language, text) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    walk(&tree, |node| {
        let function = match language {
            Language::Rust => rust_test(node, text),
            Language::TypeScript | Language::Tsx => script_test(node, text),
            Language::Python => python_test(node, text),
        };
        found.extend(function);
        Descend::Into
    });
    found
}

fn rust_test(node: Node<'_>, text: &str) -> Option<TestFunction> {
    if node.kind() != "function_item" {
        return None;
    }
    let (mut is_test, mut skipped) = (false, false);
    let mut before = node.prev_sibling();
    while let Some(sibling) = before {
        match sibling.kind() {
            "attribute_item" => {
                let attribute = text_of(sibling, text).trim_start_matches("#[").trim_start();
                let path = attribute.split(['(', '=', ']', ' ']).next()?;
                let last = path.rsplit("::").next().unwrap_or(path).trim();
                is_test |= RUST_TEST_ATTRIBUTES.contains(&last);
                skipped |= last == "ignore" || (last == "cfg_attr" && attribute.contains("ignore"));
            }
            "line_comment" | "block_comment" => {}
            _ => break,
        }
        before = sibling.prev_sibling();
    }
    let name = node.child_by_field_name("name")?;
    is_test.then(|| TestFunction {
        name: text_of(name, text).to_owned(),
        skipped,
        range: node.byte_range(),
    })
}

fn script_test(node: Node<'_>, text: &str) -> Option<TestFunction> {
    if node.kind() != "call_expression" {
        return None;
    }
    let function = text_of(node.child_by_field_name("function")?, text);
    let mut parts = function.split(['.', '(']).map(str::trim);
    let base = parts.next()?;
    let runner = base
        .strip_prefix('x')
        .filter(|base| SCRIPT_TEST_CALLS.contains(base));
    if runner.is_none() && !SCRIPT_TEST_CALLS.contains(&base) {
        return None;
    }
    let arguments = node.child_by_field_name("arguments")?;
    let title = arguments.named_child(0)?;
    if !matches!(title.kind(), "string" | "template_string") {
        return None;
    }
    let name = text_of(title, text).trim_matches(['"', '\'', '`']);
    Some(TestFunction {
        name: name.to_owned(),
        skipped: runner.is_some() || parts.any(|part| matches!(part, "skip" | "todo" | "skipIf")),
        range: node.byte_range(),
    })
}

fn python_test(node: Node<'_>, text: &str) -> Option<TestFunction> {
    if node.kind() != "function_definition" {
        return None;
    }
    let name = text_of(node.child_by_field_name("name")?, text);
    if !name.starts_with("test") {
        return None;
    }
    let around = node
        .parent()
        .filter(|parent| parent.kind() == "decorated_definition");
    let skipped = around.is_some_and(|around| {
        let mut cursor = around.walk();
        around
            .children(&mut cursor)
            .filter(|child| child.kind() == "decorator")
            .any(|decorator| {
                let decorator = text_of(decorator, text);
                decorator.contains("skip") || decorator.contains("xfail")
            })
    });
    Some(TestFunction {
        name: name.to_owned(),
        skipped,
        range: node.byte_range(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, text: &str, expected: &[(&str, bool)]) {
        let found = super::tests(Path::new(path), text);
        let shown: Vec<(&str, bool)> = found
            .iter()
            .map(|test| (test.name.as_str(), test.skipped))
            .collect();
        assert_eq!(shown, expected, "{path}");
    }

    #[test]
    fn test_functions_are_found_and_skipped_ones_are_marked() {
        check(
            "a.rs",
            "#[test]\nfn a() {}\n#[tokio::test(flavor = \"x\")]\n/// doc\n#[ignore = \"slow\"]\nasync fn b() {}\nfn c() {}\n\
             #[cfg(test)]\nmod m { #[test] fn d() {} }\n",
            &[("a", false), ("b", true), ("d", false)],
        );
        check(
            "a.test.ts",
            "describe('x', () => { it('adds', () => {}); it.skip(\"later\", () => {}); xit('off', () => {}); });\n\
             test.each([1])('each %s', () => {}); submit('no');",
            &[
                ("adds", false),
                ("later", true),
                ("off", true),
                ("each %s", false),
            ],
        );
        check(
            "test_a.py",
            "def test_a():\n    pass\n\nclass TestB:\n    @pytest.mark.skip(reason='x')\n    def test_b(self):\n        pass\n\ndef other():\n    pass\n",
            &[("test_a", false), ("test_b", true)],
        );
    }
}
