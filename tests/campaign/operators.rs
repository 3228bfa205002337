//! Ways to break Rust code. Each knows the syntax of what it breaks, and nothing of any repair.

use std::ops::Range;
use std::path::PathBuf;

use tree_sitter::Node;

use crate::seed::Random;

/// One way to break code.
#[derive(Debug)]
pub(crate) struct Operator {
    /// Its name.
    pub(crate) name: &'static str,
    /// The bytes to replace, and by what, when the operator fits a node.
    pub(crate) at: fn(Node, &str, &mut Random) -> Edit,
}

/// A place where code can be broken.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    /// Relative to the crate's folder.
    pub(crate) file: PathBuf,
    /// Bytes that go.
    pub(crate) range: Range<usize>,
    /// What comes instead.
    pub(crate) replacement: String,
}

type Edit = Option<(Range<usize>, String)>;

/// All operators.
pub(crate) const OPERATORS: &[Operator] = &[
    Operator {
        name: "misspell-variable",
        at: |node, text, random| {
            let used = node.kind() == "identifier"
                && matches!(
                    parent(node),
                    "binary_expression"
                        | "arguments"
                        | "field_expression"
                        | "call_expression"
                        | "reference_expression"
                        | "return_expression"
                        | "assignment_expression"
                        | "index_expression"
                        | "unary_expression"
                );
            misspelled(node, text, random, used)
        },
    },
    Operator {
        name: "misspell-type",
        at: |node, text, random| {
            let defined = matches!(
                parent(node),
                "struct_item"
                    | "enum_item"
                    | "trait_item"
                    | "type_item"
                    | "union_item"
                    | "type_parameters"
                    | "type_parameter"
                    | "constrained_type_parameter"
            );
            misspelled(
                node,
                text,
                random,
                node.kind() == "type_identifier" && !defined,
            )
        },
    },
    Operator {
        name: "misspell-method",
        at: |node, text, random| {
            let called = node.parent().is_some_and(|parent| {
                parent.kind() == "field_expression"
                    && parent
                        .parent()
                        .is_some_and(|outer| outer.kind() == "call_expression")
            });
            misspelled(
                node,
                text,
                random,
                node.kind() == "field_identifier" && called,
            )
        },
    },
    Operator {
        name: "misspell-field",
        at: |node, text, random| {
            let read = node.parent().is_some_and(|parent| {
                parent.kind() == "field_expression"
                    && parent
                        .parent()
                        .is_none_or(|outer| outer.kind() != "call_expression")
            });
            misspelled(
                node,
                text,
                random,
                node.kind() == "field_identifier" && read,
            )
        },
    },
    Operator {
        name: "misspell-import",
        at: |node, text, random| {
            let imported = node.kind() == "identifier"
                && (matches!(parent(node), "use_list" | "use_declaration")
                    || parent(node) == "scoped_identifier" && inside(node, "use_declaration"));
            misspelled(node, text, random, imported)
        },
    },
    Operator {
        name: "misspell-path",
        at: |node, text, random| {
            let named = node.kind() == "identifier"
                && parent(node) == "scoped_identifier"
                && !inside(node, "use_declaration");
            misspelled(node, text, random, named)
        },
    },
    Operator {
        name: "delete-import",
        at: |node, text, _| {
            (node.kind() == "use_declaration" && !text[node.byte_range()].starts_with("pub"))
                .then(|| (node.byte_range(), String::new()))
        },
    },
    Operator {
        name: "shorten-import-list",
        at: |node, text, _| {
            (parent(node) == "use_list" && node.is_named())
                .then(|| (with_comma(node, text), String::new()))
        },
    },
    Operator {
        name: "drop-mut-binding",
        at: |node, text, _| {
            let binding = node.kind() == "mutable_specifier"
                && matches!(
                    parent(node),
                    "let_declaration" | "parameter" | "mut_pattern"
                );
            binding.then(|| (with_space(node, text), String::new()))
        },
    },
    Operator {
        name: "drop-mut-reference",
        at: |node, text, _| {
            let reference = node.kind() == "mutable_specifier"
                && matches!(
                    parent(node),
                    "reference_expression" | "reference_type" | "self_parameter"
                );
            reference.then(|| (with_space(node, text), String::new()))
        },
    },
    Operator {
        name: "drop-borrow",
        at: |node, text, _| {
            if node.kind() != "reference_expression" {
                return None;
            }
            let value = node.child_by_field_name("value")?;
            Some((node.byte_range(), text[value.byte_range()].to_owned()))
        },
    },
    Operator {
        name: "drop-dereference",
        at: |node, text, _| {
            let starred =
                node.kind() == "unary_expression" && text[node.byte_range()].starts_with('*');
            starred.then(|| (node.start_byte()..node.start_byte() + 1, String::new()))
        },
    },
    Operator {
        name: "drop-conversion",
        at: |node, text, _| {
            dropped_call(
                node,
                text,
                &[
                    "to_string",
                    "into",
                    "to_owned",
                    "clone",
                    "as_str",
                    "as_ref",
                    "as_bytes",
                    "to_vec",
                    "iter",
                    "chars",
                    "as_slice",
                    "into_iter",
                    "as_mut",
                    "cloned",
                    "copied",
                ],
            )
        },
    },
    Operator {
        name: "drop-unwrap",
        at: |node, text, _| dropped_call(node, text, &["unwrap", "unwrap_or_default"]),
    },
    Operator {
        name: "drop-question-mark",
        at: |node, _, _| {
            (node.kind() == "try_expression")
                .then(|| (node.end_byte() - 1..node.end_byte(), String::new()))
        },
    },
    Operator {
        name: "drop-derive",
        at: |node, text, random| {
            let attribute = text[node.byte_range()]
                .strip_prefix("#[derive(")?
                .strip_suffix(")]")?;
            let mut names: Vec<&str> = attribute
                .split(',')
                .map(str::trim)
                .filter(|name| !name.is_empty())
                .collect();
            if node.kind() != "attribute_item" || names.is_empty() {
                return None;
            }
            names.remove(random.below(names.len()));
            let rest = if names.is_empty() {
                String::new()
            } else {
                format!("#[derive({})]", names.join(", "))
            };
            Some((node.byte_range(), rest))
        },
    },
    Operator {
        name: "hide-item",
        at: |node, text, _| {
            (node.kind() == "visibility_modifier" && parent(node) != "use_declaration")
                .then(|| (with_space(node, text), String::new()))
        },
    },
    Operator {
        name: "drop-lifetime",
        at: |node, text, _| {
            (node.kind() == "lifetime" && parent(node) == "reference_type")
                .then(|| (with_space(node, text), String::new()))
        },
    },
    Operator {
        name: "drop-match-arm",
        at: |node, _, _| (node.kind() == "match_arm").then(|| (node.byte_range(), String::new())),
    },
    Operator {
        name: "drop-struct-field",
        at: |node, text, _| {
            let given = matches!(
                node.kind(),
                "field_initializer" | "shorthand_field_initializer"
            );
            given.then(|| (with_comma(node, text), String::new()))
        },
    },
    Operator {
        name: "swap-arguments",
        at: |node, text, _| {
            if node.kind() != "arguments" || node.named_child_count() < 2 {
                return None;
            }
            let (first, second) = (node.named_child(0)?, node.named_child(1)?);
            let (left, right) = (&text[first.byte_range()], &text[second.byte_range()]);
            let between = &text[first.end_byte()..second.start_byte()];
            Some((
                first.start_byte()..second.end_byte(),
                format!("{right}{between}{left}"),
            ))
        },
    },
    Operator {
        name: "drop-argument",
        at: |node, text, random| {
            if node.kind() != "arguments" || node.named_child_count() == 0 {
                return None;
            }
            let argument = node
                .named_children(&mut node.walk())
                .nth(random.below(node.named_child_count()))?;
            Some((with_comma(argument, text), String::new()))
        },
    },
    Operator {
        name: "change-integer-type",
        at: |node, text, _| {
            if node.kind() != "primitive_type" || parent(node) == "type_cast_expression" {
                return None;
            }
            let other = match &text[node.byte_range()] {
                "usize" | "u64" => "u32",
                "u32" => "usize",
                "u8" => "u16",
                "i32" => "i64",
                "i64" => "i32",
                "u16" => "u8",
                _ => return None,
            };
            Some((node.byte_range(), other.to_owned()))
        },
    },
    Operator {
        name: "change-quotes",
        at: |node, text, _| {
            let literal = &text[node.byte_range()];
            let inner = literal.get(1..literal.len().checked_sub(1)?)?;
            match node.kind() {
                "char_literal" if literal.starts_with('\'') && !inner.contains(['"', '\\']) => {
                    Some((node.byte_range(), format!("\"{inner}\"")))
                }
                "string_literal" if inner.chars().count() == 1 && !inner.contains(['\'', '\\']) => {
                    Some((node.byte_range(), format!("'{inner}'")))
                }
                _ => None,
            }
        },
    },
    Operator {
        name: "add-semicolon",
        at: |node, _, _| {
            let tail = parent(node) == "block"
                && node.is_named()
                && node.next_named_sibling().is_none()
                && node.kind().ends_with("_expression");
            tail.then(|| (node.end_byte()..node.end_byte(), ";".to_owned()))
        },
    },
    Operator {
        name: "drop-return",
        at: |node, text, _| {
            if node.kind() != "return_expression" {
                return None;
            }
            let value = node.named_child(0)?;
            Some((node.byte_range(), text[value.byte_range()].to_owned()))
        },
    },
    Operator {
        name: "drop-type-arguments",
        at: |node, _, _| {
            (node.kind() == "type_arguments" && parent(node) == "generic_type")
                .then(|| (node.byte_range(), String::new()))
        },
    },
    Operator {
        name: "drop-trait-bound",
        at: |node, _, _| {
            (node.kind() == "trait_bounds").then(|| (node.byte_range(), String::new()))
        },
    },
    Operator {
        name: "drop-trait-method",
        at: |node, _, _| {
            let method = node.kind() == "function_item"
                && node
                    .parent()
                    .and_then(|list| list.parent())
                    .is_some_and(|outer| {
                        outer.kind() == "impl_item" && outer.child_by_field_name("trait").is_some()
                    });
            method.then(|| (node.byte_range(), String::new()))
        },
    },
    Operator {
        name: "drop-cast",
        at: |node, text, _| {
            if node.kind() != "type_cast_expression" {
                return None;
            }
            let value = node.child_by_field_name("value")?;
            Some((node.byte_range(), text[value.byte_range()].to_owned()))
        },
    },
    Operator {
        name: "drop-move",
        at: |node, text, _| {
            let moved =
                node.kind() == "closure_expression" && text[node.byte_range()].starts_with("move ");
            moved.then(|| (node.start_byte()..node.start_byte() + 5, String::new()))
        },
    },
    Operator {
        name: "drop-self",
        at: |node, text, _| {
            let own =
                node.kind() == "field_expression" && text[node.byte_range()].starts_with("self.");
            own.then(|| (node.start_byte()..node.start_byte() + 5, String::new()))
        },
    },
    Operator {
        name: "drop-wrapper",
        at: |node, text, _| {
            if node.kind() != "call_expression" {
                return None;
            }
            let called = node.child_by_field_name("function")?;
            let arguments = node.child_by_field_name("arguments")?;
            let wrapped = matches!(
                &text[called.byte_range()],
                "Some" | "Ok" | "Err" | "Box::new" | "Cow::Borrowed" | "Cow::Owned"
            );
            let value = arguments.named_child(0).filter(|_| wrapped)?;
            Some((node.byte_range(), text[value.byte_range()].to_owned()))
        },
    },
    Operator {
        name: "drop-let",
        at: |node, text, _| {
            let plain =
                node.kind() == "let_declaration" && text[node.byte_range()].starts_with("let ");
            plain.then(|| (node.start_byte()..node.start_byte() + 4, String::new()))
        },
    },
    Operator {
        name: "drop-pattern-reference",
        at: |node, text, _| {
            let reference = matches!(node.kind(), "reference_pattern" | "ref_pattern");
            let inner =
                node.named_child(node.named_child_count().checked_sub(1)?.try_into().ok()?)?;
            reference.then(|| (node.byte_range(), text[inner.byte_range()].to_owned()))
        },
    },
];

fn parent(node: Node) -> &'static str {
    node.parent().map_or("", |parent| parent.kind())
}

fn inside(node: Node, kind: &str) -> bool {
    std::iter::successors(node.parent(), Node::parent).any(|above| above.kind() == kind)
}

/// A name with one letter left out, doubled, or swapped with the next. Short names stay: a typo in them is another name.
fn misspelled(node: Node, text: &str, random: &mut Random, fits: bool) -> Edit {
    let name = &text[node.byte_range()];
    if !fits
        || name.len() < 4
        || !name.is_ascii()
        || matches!(name, "self" | "Self" | "super" | "crate")
    {
        return None;
    }
    let at = 1 + random.below(name.len() - 2);
    let mut letters: Vec<char> = name.chars().collect();
    match random.below(3) {
        0 => drop(letters.remove(at)),
        1 => letters.insert(at, letters[at]),
        _ => letters.swap(at, at + 1),
    }
    let misspelled: String = letters.into_iter().collect();
    (misspelled != name).then(|| (node.byte_range(), misspelled))
}

/// Takes a method call without arguments away from what it is called on.
fn dropped_call(node: Node, text: &str, methods: &[&str]) -> Edit {
    if node.kind() != "call_expression"
        || node.child_by_field_name("arguments")?.named_child_count() > 0
    {
        return None;
    }
    let called = node
        .child_by_field_name("function")
        .filter(|called| called.kind() == "field_expression")?;
    let (value, method) = (
        called.child_by_field_name("value")?,
        called.child_by_field_name("field")?,
    );
    methods
        .contains(&&text[method.byte_range()])
        .then(|| (value.end_byte()..node.end_byte(), String::new()))
}

/// A node and the white space after it.
fn with_space(node: Node, text: &str) -> Range<usize> {
    let rest = &text[node.end_byte()..];
    node.start_byte()..node.end_byte() + rest.len() - rest.trim_start().len()
}

/// A node of a list and the comma after it, or before it when it is the last.
fn with_comma(node: Node, text: &str) -> Range<usize> {
    if let Some(comma) = node.next_sibling().filter(|next| next.kind() == ",") {
        return node.start_byte()..with_space(comma, text).end;
    }
    match node
        .prev_sibling()
        .filter(|previous| previous.kind() == ",")
    {
        Some(comma) => comma.start_byte()..node.end_byte(),
        None => node.byte_range(),
    }
}
