//! Finds substitutions that the tree of a command line does not show (spec: Execution Protection).
//!
//! The grammar takes some of what a shell would run for plain text, such as backquotes in `${x:-…}` or `$(…)` behind
//! `${x#`. So every sign that opens a substitution has to be the start of one in the tree, wherever a shell heeds it.

use std::collections::HashSet;
use std::ops::Range;

use tree_sitter::Node;

/// Where a substitution may be hidden, if there is one.
pub(super) fn substitution(source: &str, root: Node<'_>) -> Option<Range<usize>> {
    let openings = ["`", "$(", "${", "$[", "<(", ">("];
    if !openings.iter().any(|opening| source.contains(opening)) {
        return None;
    }
    let shown = Shown::of(source, root);
    let mut is_escaped = false;
    for (at, byte) in source.bytes().enumerate() {
        let was_escaped = is_escaped;
        is_escaped = byte == b'\\' && !was_escaped;
        let next = source.as_bytes().get(at + 1).copied().unwrap_or_default();
        let opens = match byte {
            b'`' => true,
            b'$' => matches!(next, b'(' | b'{' | b'['),
            b'<' | b'>' => next == b'(' && lies_in(&shown.expansions, at),
            _ => false,
        };
        if opens && !was_escaped && !shown.edges.contains(&at) && !lies_in(&shown.literal, at) {
            return Some(at..at + 1);
        }
        if lies_in(&shown.literal, at) {
            is_escaped = false;
        }
    }
    None
}

fn lies_in(ranges: &[Range<usize>], at: usize) -> bool {
    ranges.iter().any(|range| range.contains(&at))
}

/// What the tree shows.
#[derive(Default)]
struct Shown {
    /// Where substitutions begin, and where backquotes end.
    edges: HashSet<usize>,
    /// `${…}`.
    expansions: Vec<Range<usize>>,
    /// Text in which no sign means anything.
    literal: Vec<Range<usize>>,
}

impl Shown {
    fn of(source: &str, root: Node<'_>) -> Self {
        let mut shown = Self::default();
        let mut cursor = root.walk();
        loop {
            shown.note(source, cursor.node());
            if cursor.goto_first_child() {
                continue;
            }
            while !cursor.goto_next_sibling() {
                if !cursor.goto_parent() {
                    return shown;
                }
            }
        }
    }

    fn note(&mut self, source: &str, node: Node<'_>) {
        let text = source.get(node.byte_range()).unwrap_or_default();
        match node.kind() {
            "expansion" => {
                self.edges.insert(node.start_byte());
                self.expansions.push(node.byte_range());
            }
            "simple_expansion" | "arithmetic_expansion" | "process_substitution" => {
                self.edges.insert(node.start_byte());
            }
            "command_substitution" => {
                self.edges.insert(node.start_byte());
                if text.starts_with('`') {
                    self.edges.insert(node.end_byte().saturating_sub(1));
                }
            }
            // In `"${x:-'…'}"` the quotes are no quotes.
            "raw_string" | "ansi_c_string" if !lies_in(&self.expansions, node.start_byte()) => {
                self.literal.push(node.byte_range());
            }
            "comment" => self.literal.push(node.byte_range()),
            "heredoc_redirect" => self.note_document(source, node),
            _ => {}
        }
    }

    /// A here-document with a quoted end is text.
    fn note_document(&mut self, source: &str, node: Node<'_>) {
        let mut cursor = node.walk();
        let children: Vec<_> = node.named_children(&mut cursor).collect();
        let is_quoted = children.iter().any(|child| {
            let text = source.get(child.byte_range()).unwrap_or_default();
            child.kind() == "heredoc_start" && text.starts_with(['\'', '"'])
        });
        if is_quoted {
            let bodies = children
                .iter()
                .filter(|child| child.kind() == "heredoc_body");
            self.literal.extend(bodies.map(Node::byte_range));
        }
    }
}
