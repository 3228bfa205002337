//! What a file defines: functions, types, modules, each with its place (spec: Symbol Extraction).

use std::ops::Range;
use std::path::Path;

use tree_sitter::Node;

use super::Language;
use super::tree::{Descend, parse, text_of, walk};

/// The kinds of symbols that are told apart in every language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SymbolKind {
    /// A function outside any type.
    Function,
    /// A function of a type, trait or implementation.
    Method,
    /// A struct, class or union.
    Class,
    /// An enumeration.
    Enum,
    /// A trait or interface.
    Interface,
    /// An implementation block.
    Implementation,
    /// A type alias.
    Alias,
    /// A constant or static.
    Constant,
    /// A module or namespace.
    Module,
    /// A macro.
    Macro,
}

/// One definition in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Symbol {
    /// What it is.
    pub kind: SymbolKind,
    /// Its name; for an implementation block the type, or `Trait for Type`.
    pub name: String,
    /// Names of the definitions around it, outermost first.
    pub parents: Vec<String>,
    /// Bytes of the whole definition, with its attributes and decorators.
    pub range: Range<usize>,
    /// Bytes of the name alone.
    pub name_range: Range<usize>,
}

/// The definitions of a file in text order, outer ones before inner ones; empty for a language without a grammar.
pub fn symbols(path: &Path, text: &str) -> Vec<Symbol> {
    let Some(language) = Language::of(path) else {
        return Vec::new();
    };
    let Some(tree) = parse(language, text) else {
        return Vec::new();
    };
    let mut found: Vec<Symbol> = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    walk(&tree, |node| {
        let Some((kind, name)) = definition(language, node) else {
            return Descend::Into;
        };
        while open
            .last()
            .and_then(|index| found.get(*index))
            .is_some_and(|outer| outer.range.end <= node.start_byte())
        {
            open.pop();
        }
        let around = open.iter().filter_map(|index| found.get(*index));
        let is_member = open
            .last()
            .and_then(|index| found.get(*index))
            .is_some_and(|outer| holds_methods(outer.kind));
        let symbol = Symbol {
            kind: if kind == SymbolKind::Function && is_member {
                SymbolKind::Method
            } else {
                kind
            },
            name: title(language, node, name, text),
            parents: around.map(|outer| outer.name.clone()).collect(),
            range: start_with_attributes(node)..node.end_byte(),
            name_range: name.byte_range(),
        };
        open.push(found.len());
        found.push(symbol);
        Descend::Into
    });
    found
}

/// The innermost definition around a byte offset.
pub fn enclosing(symbols: &[Symbol], offset: usize) -> Option<&Symbol> {
    symbols
        .iter()
        .filter(|symbol| symbol.range.start <= offset && offset <= symbol.range.end)
        .min_by_key(|symbol| symbol.range.len())
}

fn definition(language: Language, node: Node<'_>) -> Option<(SymbolKind, Node<'_>)> {
    let kind = match language {
        Language::Rust => match node.kind() {
            "function_item" | "function_signature_item" => SymbolKind::Function,
            "struct_item" | "union_item" => SymbolKind::Class,
            "enum_item" => SymbolKind::Enum,
            "trait_item" => SymbolKind::Interface,
            "impl_item" => SymbolKind::Implementation,
            "type_item" => SymbolKind::Alias,
            "const_item" | "static_item" => SymbolKind::Constant,
            "mod_item" => SymbolKind::Module,
            "macro_definition" => SymbolKind::Macro,
            _ => return None,
        },
        Language::TypeScript | Language::Tsx => match node.kind() {
            "function_declaration" | "generator_function_declaration" | "function_signature" => {
                SymbolKind::Function
            }
            "method_definition" | "method_signature" | "abstract_method_signature" => {
                SymbolKind::Method
            }
            "class_declaration" | "abstract_class_declaration" => SymbolKind::Class,
            "enum_declaration" => SymbolKind::Enum,
            "interface_declaration" => SymbolKind::Interface,
            "type_alias_declaration" => SymbolKind::Alias,
            "internal_module" | "module" => SymbolKind::Module,
            "variable_declarator" => variable_kind(node)?,
            _ => return None,
        },
        Language::Python => match node.kind() {
            "function_definition" => SymbolKind::Function,
            "class_definition" => SymbolKind::Class,
            "assignment" if is_at_top(node, 2) => SymbolKind::Constant,
            _ => return None,
        },
    };
    let field = match node.kind() {
        "impl_item" => "type",
        "assignment" => "left",
        _ => "name",
    };
    let name = node.child_by_field_name(field)?;
    (node.kind() != "assignment" || name.kind() == "identifier").then_some((kind, name))
}

/// A variable counts when it holds a function, or when it stands at the top of the file.
fn variable_kind(node: Node<'_>) -> Option<SymbolKind> {
    let value = node.child_by_field_name("value").map(|value| value.kind());
    if matches!(value, Some("arrow_function" | "function_expression")) {
        return Some(SymbolKind::Function);
    }
    let in_export = node
        .parent()
        .and_then(|list| list.parent())
        .is_some_and(|outer| outer.kind() == "export_statement");
    is_at_top(node, if in_export { 3 } else { 2 }).then_some(SymbolKind::Constant)
}

/// Whether the node lies exactly `levels` below the root.
fn is_at_top(node: Node<'_>, levels: usize) -> bool {
    let mut current = Some(node);
    for _ in 0..levels {
        current = current.and_then(|node| node.parent());
    }
    current.is_some_and(|node| node.parent().is_none())
}

fn holds_methods(kind: SymbolKind) -> bool {
    matches!(
        kind,
        SymbolKind::Class | SymbolKind::Enum | SymbolKind::Interface | SymbolKind::Implementation
    )
}

fn title(language: Language, node: Node<'_>, name: Node<'_>, text: &str) -> String {
    let own = text_of(name, text);
    let implemented = node.child_by_field_name("trait");
    match (language, implemented) {
        (Language::Rust, Some(implemented)) => format!("{} for {own}", text_of(implemented, text)),
        _ => own.to_owned(),
    }
}

/// Attributes and decorators stand before the definition as siblings, or around it as its parent.
fn start_with_attributes(node: Node<'_>) -> usize {
    if let Some(parent) = node.parent()
        && matches!(parent.kind(), "decorated_definition" | "export_statement")
    {
        return parent.start_byte();
    }
    let mut start = node.start_byte();
    let mut before = node.prev_sibling();
    while let Some(attribute) =
        before.filter(|sibling| matches!(sibling.kind(), "attribute_item" | "decorator"))
    {
        start = attribute.start_byte();
        before = attribute.prev_sibling();
    }
    start
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, text: &str, expected: &[(SymbolKind, &str, &str)]) {
        let found = symbols(Path::new(path), text);
        let shown: Vec<(SymbolKind, &str, String)> = found
            .iter()
            .map(|symbol| {
                assert!(symbol.range.start <= symbol.name_range.start);
                (symbol.kind, symbol.name.as_str(), symbol.parents.join("/"))
            })
            .collect();
        let expected: Vec<(SymbolKind, &str, String)> = expected
            .iter()
            .map(|(kind, name, parents)| (*kind, *name, (*parents).to_owned()))
            .collect();
        assert_eq!(shown, expected, "{path}");
    }

    #[test]
    fn rust_definitions_are_found_with_their_parents() {
        check(
            "src/a.rs",
            "const N: u8 = 1;\nstruct Point { x: i32 }\nimpl std::fmt::Display for Point { fn fmt(&self) {} }\n\
             impl Point { fn len(&self) -> i32 { fn inner() {} self.x } }\nmod m { #[inline]\npub fn f() {} }\n\
             trait T { fn g(&self); }\nmacro_rules! make { () => {} }\nfn broken( {",
            &[
                (SymbolKind::Constant, "N", ""),
                (SymbolKind::Class, "Point", ""),
                (
                    SymbolKind::Implementation,
                    "std::fmt::Display for Point",
                    "",
                ),
                (SymbolKind::Method, "fmt", "std::fmt::Display for Point"),
                (SymbolKind::Implementation, "Point", ""),
                (SymbolKind::Method, "len", "Point"),
                (SymbolKind::Function, "inner", "Point/len"),
                (SymbolKind::Module, "m", ""),
                (SymbolKind::Function, "f", "m"),
                (SymbolKind::Interface, "T", ""),
                (SymbolKind::Method, "g", "T"),
                (SymbolKind::Macro, "make", ""),
            ],
        );
    }

    #[test]
    fn typescript_and_python_definitions_are_found() {
        check(
            "a.ts",
            "export class A { run(): void {} }\nexport const LIMIT = 3;\nconst f = (x: number) => x;\n\
             function g() { const local = 1; }\ninterface I { m(): void }\nenum E { A }\ntype T = string;\n",
            &[
                (SymbolKind::Class, "A", ""),
                (SymbolKind::Method, "run", "A"),
                (SymbolKind::Constant, "LIMIT", ""),
                (SymbolKind::Function, "f", ""),
                (SymbolKind::Function, "g", ""),
                (SymbolKind::Interface, "I", ""),
                (SymbolKind::Method, "m", "I"),
                (SymbolKind::Enum, "E", ""),
                (SymbolKind::Alias, "T", ""),
            ],
        );
        check(
            "view.tsx",
            "export function View() { return <div>{1}</div>; }\n",
            &[(SymbolKind::Function, "View", "")],
        );
        check(
            "a.py",
            "LIMIT = 3\nclass A:\n    @property\n    def x(self):\n        y = 1\n        return y\n\ndef f():\n    pass\n",
            &[
                (SymbolKind::Constant, "LIMIT", ""),
                (SymbolKind::Class, "A", ""),
                (SymbolKind::Method, "x", "A"),
                (SymbolKind::Function, "f", ""),
            ],
        );
        check("notes.txt", "fn f() {}", &[]);
    }

    #[test]
    fn a_definition_begins_with_its_attributes() {
        let text = "#[test]\n#[ignore]\nfn f() {}\n";
        let found = symbols(Path::new("a.rs"), text);
        assert_eq!(found[0].range, 0..text.len() - 1);
        assert_eq!(
            enclosing(&found, 20).map(|symbol| symbol.name.as_str()),
            Some("f")
        );
        assert_eq!(enclosing(&found, text.len() + 5), None);
    }

    #[test]
    fn hostile_nesting_does_not_end_the_process() {
        let text = format!("fn f() {{ {} }}", "(".repeat(200_000));
        assert!(super::super::error_count(Path::new("a.rs"), &text).is_some());
        assert!(symbols(Path::new("a.rs"), &text).len() <= 1);
    }

    #[test]
    fn error_counts_tell_broken_text_from_good() {
        let count = |path: &str, text: &str| super::super::error_count(Path::new(path), text);
        assert_eq!(count("a.rs", "fn f() { 1 + 2 }"), Some(0));
        assert!(count("a.rs", "fn f() { 1 + }").is_some_and(|count| count > 0));
        assert!(count("a.py", "def f(:\n").is_some_and(|count| count > 0));
        assert!(count("a.ts", "class { {").is_some_and(|count| count > 0));
        assert_eq!(count("a.unknown", "{{{"), None);
    }
}
