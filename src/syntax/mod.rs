//! Syntax trees without a language server (spec: AST Analyzer).
//!
//! Tree-sitter reads any text, also broken text, in milliseconds and without a project around it. [`symbols`] says
//! what a file defines and where, [`occurrences`] where a name stands, [`error_count`] whether a proposed text parses
//! worse than the one before, [`tests`] which tests a file holds, [`literals`] which lines
//! belong to strings, and [`folds`] what can be left out of it. Only this folder (and the command parser of `safety`) knows tree-sitter.

mod folds;
mod literals;
mod names;
mod symbols;
mod test_functions;
mod tree;

use std::path::Path;

pub use folds::{Folds, folds};
pub use literals::{Literal, literals};
pub use names::{mentions, name_at, occurrences};
pub use symbols::{Symbol, SymbolKind, enclosing, symbols};
pub use test_functions::{TestFunction, tests};
pub use tree::{error_count, is_keyword};

/// The languages whose grammars are compiled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Language {
    /// Rust.
    Rust,
    /// TypeScript.
    TypeScript,
    /// TypeScript with JSX; reads JavaScript too.
    Tsx,
    /// Python.
    Python,
}

impl Language {
    /// The language of a file, by its name.
    pub fn of(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?;
        match extension {
            "rs" => Some(Self::Rust),
            "ts" | "mts" | "cts" => Some(Self::TypeScript),
            "tsx" | "js" | "jsx" | "mjs" | "cjs" => Some(Self::Tsx),
            "py" | "pyi" => Some(Self::Python),
            _ => None,
        }
    }
}
