//! Takes a command line apart into the commands that it may run (spec: Execution Protection).
//!
//! The grammar is that of bash. Everything in the tree has to be known: what the grammar cannot read, and what a shell
//! may evaluate in ways that a tree does not show, is a reason to ask. `cd` is followed: each command carries the
//! folders in which it may run.

use std::cell::RefCell;
use std::ops::Range;
use std::path::{Path, PathBuf};

use tree_sitter::{Node, Parser};

use super::feeders::Feeder;
use super::loops::only_looped;
use super::reader::Reader;
use super::word::Word;
use crate::safety::names::is_invisible;

/// Bytes of a command line that are read.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// How deep commands may stand in each other.
pub(super) const DEPTH_MAX: usize = 40;

/// Commands of one line.
pub(super) const COMMANDS_MAX: usize = 500;

/// Folders in which one command may run.
const FOLDERS_MAX: usize = 4;

/// One command of a line.
#[derive(Debug, Clone)]
pub(super) struct Command {
    /// Where it stands in the line.
    pub(super) range: Range<usize>,
    /// Variables set before it.
    pub(super) variables: Vec<(String, Word)>,
    /// The program and its arguments; none when only variables are set or output is redirected.
    pub(super) words: Vec<Word>,
    /// Files that it reads from or writes to.
    pub(super) redirects: Vec<Redirect>,
    /// What comes in from the commands before it in a pipeline, and from files.
    pub(super) upstream: Vec<Feeder>,
    /// Where it may run.
    pub(super) folders: Folders,
    /// The names of variables that it looks into.
    pub(super) looks_into: Vec<String>,
    /// Whether it sets variables for what comes after, for example with `export`.
    pub(super) sets_only: bool,
}

/// A file that a command reads from or writes to.
#[derive(Debug, Clone)]
pub(super) struct Redirect {
    /// The file.
    pub(super) target: Word,
    /// Whether it is written.
    pub(super) writes: bool,
}

/// The folders in which a command may run; none when they are not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Folders(pub(super) Vec<PathBuf>);

impl Folders {
    /// Not known.
    pub(super) fn unknown() -> Self {
        Self(Vec::new())
    }

    pub(super) fn or(mut self, other: Self) -> Self {
        if self.0.is_empty() || other.0.is_empty() {
            return Self::unknown();
        }
        for folder in other.0 {
            if !self.0.contains(&folder) {
                self.0.push(folder);
            }
        }
        if self.0.len() > FOLDERS_MAX {
            return Self::unknown();
        }
        self
    }
}

/// Why a line cannot be taken apart with certainty, as a sentence fragment for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unclear {
    pub(super) range: Range<usize>,
    pub(super) why: &'static str,
    /// Whether it only does harm.
    pub(super) is_hostile: bool,
}

/// The commands of a line and what is unclear about it.
#[derive(Debug, Clone, Default)]
pub(super) struct Line {
    pub(super) commands: Vec<Command>,
    pub(super) unclear: Vec<Unclear>,
}

/// Takes a line apart that would be run in one of `folders`.
pub(super) fn take_apart(source: &str, home: &Path, folders: Folders) -> Line {
    let mut line = Line::default();
    let whole = 0..source.len();
    let mut refuse = |why| {
        line.unclear.push(Unclear {
            range: whole.clone(),
            why,
            is_hostile: false,
        });
    };
    if source.len() > LINE_BYTES_MAX {
        refuse("it is longer than a command line should be");
        return line;
    }
    if let Some(why) = disguise(source) {
        refuse(why);
    }
    let tree = parse(source);
    let Some(tree) = tree.filter(|tree| !tree.root_node().has_error()) else {
        refuse("it cannot be read as a command line with certainty");
        return line;
    };
    if let Some(range) = super::hidden::substitution(source, tree.root_node()) {
        line.unclear.push(Unclear {
            range,
            why: "what may be run in it cannot be told from text",
            is_hostile: false,
        });
    }
    let read = |line: Line, loops: Vec<String>| {
        let mut reader = Reader {
            source,
            home,
            line,
            upstream: Vec::new(),
            loops,
            counted: Vec::new(),
            bound: Vec::new(),
            bound_in: Vec::new(),
        };
        reader.sequence(tree.root_node(), folders.clone(), 0);
        (reader.line, reader.counted)
    };
    let before = line.clone();
    let (found, counted) = read(line, Vec::new());
    if counted.is_empty() {
        return found;
    }
    let mut loops = only_looped(source, &found.commands);
    loops.retain(|name| counted.contains(name));
    if loops.is_empty() {
        return found;
    }
    read(before, loops).0
}

/// Characters that make a line look other than it is.
fn disguise(source: &str) -> Option<&'static str> {
    if source.chars().any(is_invisible) {
        return Some("it has characters that cannot be seen");
    }
    let odd = |it: char| {
        (it.is_control() && it != '\n' && it != '\t') || (it.is_whitespace() && !it.is_ascii())
    };
    if source.chars().any(odd) {
        return Some("it has control characters or unusual spaces");
    }
    let wide = source.contains("                ") || source.contains("\t\t\t\t");
    wide.then_some("wide gaps in it may hide a part of it")
}

fn parse(source: &str) -> Option<tree_sitter::Tree> {
    thread_local! {
        // A parser is large and not shared between threads; making one costs more than parsing a line.
        static PARSER: RefCell<Option<Parser>> = const { RefCell::new(None) };
    }
    PARSER.with_borrow_mut(|kept| {
        if kept.is_none() {
            let mut parser = Parser::new();
            parser
                .set_language(&tree_sitter_bash::LANGUAGE.into())
                .ok()?;
            *kept = Some(parser);
        }
        kept.as_mut()?.parse(source, None)
    })
}

/// Where a statement leaves the shell: the folders after it succeeded and after it failed.
pub(super) struct After {
    pub(super) success: Folders,
    pub(super) failure: Folders,
}

impl After {
    pub(super) fn same(folders: Folders) -> Self {
        Self {
            success: folders.clone(),
            failure: folders,
        }
    }

    pub(super) fn either(self) -> Folders {
        self.success.or(self.failure)
    }
}

/// Whether a statement ends with a simple command, to which what follows belongs.
pub(super) fn is_open_ended(node: Node<'_>) -> bool {
    match node.kind() {
        "command" => true,
        "list" | "pipeline" | "negated_command" => last_named(node).is_some_and(is_open_ended),
        _ => false,
    }
}

pub(super) fn last_named(node: Node<'_>) -> Option<Node<'_>> {
    let last = u32::try_from(node.named_child_count())
        .ok()?
        .checked_sub(1)?;
    node.named_child(last)
}

pub(super) fn is_word(kind: &str) -> bool {
    matches!(
        kind,
        "word"
            | "string"
            | "raw_string"
            | "ansi_c_string"
            | "translated_string"
            | "concatenation"
            | "number"
            | "expansion"
            | "simple_expansion"
            | "command_substitution"
            | "process_substitution"
            | "arithmetic_expansion"
            | "brace_expression"
            | "regex"
            | "test_operator"
    )
}

/// The variable that `$name` or `${name…}` looks into, if that is all that it can do.
pub(super) fn looked_into(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('$')?;
    let Some(braced) = inner.strip_prefix('{') else {
        return Some(inner);
    };
    let braced = braced.strip_suffix('}')?;
    let name = braced.strip_prefix('#').unwrap_or(braced);
    let is_name = |it: char| it.is_ascii_alphanumeric() || it == '_';
    let end = name.find(|it| !is_name(it)).unwrap_or(name.len());
    let (name, rest) = name.split_at(end);
    let mut operator = rest.chars();
    let harmless = match operator.next() {
        None | Some('-' | '+' | '?' | '%' | '#' | '/' | '^' | ',') => true,
        Some(':') => matches!(operator.next(), Some('-' | '+' | '?')),
        Some(_) => false,
    };
    (harmless && !name.is_empty()).then_some(name)
}
