//! Answers about code from its syntax alone: for languages without a server, and until a server is there
//! (spec: Semantic Analyzer, fallback).
//!
//! Syntax knows names and not what they mean: two things with one name are one to it. What is found here is said to be
//! found by name, and nothing is changed on the strength of it.

use std::collections::BTreeSet;
use std::iter::Peekable;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::{Call, Location, NamedPlace, Symbol};
use crate::syntax::{self, SymbolKind};
use crate::text::search::{Query, search};
use crate::text::staging::Staging;

/// Time that one search may take.
const SEARCH_TIME: Duration = Duration::from_secs(5);

/// A workspace that is read by its syntax.
#[derive(Clone, Copy)]
pub(super) struct Reader<'run> {
    /// The texts.
    pub(super) texts: &'run Staging,
    /// Whether a file, by its absolute path, may be read.
    pub(super) readable: &'run (dyn Fn(&Path) -> bool + Sync),
}

impl Reader<'_> {
    /// The text of a file and its path relative to the root.
    fn file(&self, file: &Path) -> Option<(PathBuf, Arc<str>)> {
        let relative = self.texts.relative(file)?;
        if !(self.readable)(&self.texts.root().join(&relative)) {
            return None;
        }
        let text = self.texts.read(&relative).ok()?;
        Some((relative, text))
    }

    /// The name at a place.
    pub(super) fn name_at(&self, file: &Path, offset: usize) -> Option<String> {
        let (_, text) = self.file(file)?;
        Some(text.get(syntax::name_at(&text, offset)?)?.to_owned())
    }

    /// What a file defines, outermost first.
    pub(super) fn symbols(&self, file: &Path) -> Vec<Symbol> {
        let Some((path, text)) = self.file(file) else {
            return Vec::new();
        };
        nested(&mut syntax::symbols(&path, &text).into_iter().peekable(), 0)
    }

    /// Every definition with this name.
    pub(super) fn definitions(&self, name: &str) -> Vec<NamedPlace> {
        self.definitions_where(name, false, |own| own == name)
    }

    /// Every definition whose name contains the query, without regard to case; shorter names, which fit it better,
    /// first.
    pub(super) fn matching(&self, query: &str) -> Vec<NamedPlace> {
        let wanted = query.to_lowercase();
        if wanted.is_empty() {
            return Vec::new();
        }
        let fits = |own: &str| own.to_lowercase().contains(&wanted);
        let mut found = self.definitions_where(query, true, fits);
        found.sort_by_key(|one| one.name.len());
        found
    }

    fn definitions_where(
        &self,
        part: &str,
        is_part: bool,
        fits: impl Fn(&str) -> bool,
    ) -> Vec<NamedPlace> {
        let mut found = Vec::new();
        for file in self.files_with(part, is_part) {
            let Some((path, text)) = self.file(&file) else {
                continue;
            };
            let symbols = syntax::symbols(&path, &text).into_iter();
            // An implementation is not where its type is defined.
            let defining = symbols.filter(|symbol| symbol.kind != SymbolKind::Implementation);
            found.extend(
                defining
                    .filter(|symbol| fits(&symbol.name))
                    .map(|symbol| place_of(&path, symbol)),
            );
        }
        found
    }

    /// Every use of a name, its definitions left out.
    pub(super) fn uses(&self, name: &str) -> Vec<Location> {
        let mut found = Vec::new();
        for file in self.files_with(name, false) {
            let Some((path, text)) = self.file(&file) else {
                continue;
            };
            let defined = defined(&path, &text, name);
            let uses = syntax::occurrences(&path, &text, name).into_iter();
            found.extend(
                uses.filter(|range| !defined.contains(&range.start))
                    .map(|range| Location {
                        file: path.clone(),
                        range,
                    }),
            );
        }
        found
    }

    /// The blocks of code that implement something with this name, or for something with this name.
    pub(super) fn implementations(&self, name: &str) -> Vec<Location> {
        let mut found = Vec::new();
        for file in self.files_with(name, false) {
            let Some((path, text)) = self.file(&file) else {
                continue;
            };
            let symbols = syntax::symbols(&path, &text).into_iter();
            found.extend(
                symbols
                    .filter(|symbol| symbol.kind == SymbolKind::Implementation)
                    .filter(|symbol| {
                        let of = symbol.name.split(" for ").map(bare);
                        of.into_iter().any(|part| part == name)
                    })
                    .map(|symbol| Location {
                        file: path.clone(),
                        range: symbol.name_range,
                    }),
            );
        }
        found
    }

    /// The functions in which a name is used, each with the places of its uses.
    pub(super) fn callers(&self, name: &str) -> Vec<Call> {
        let mut calls: Vec<Call> = Vec::new();
        for site in self.uses(name) {
            let Some((path, text)) = self.file(&site.file) else {
                continue;
            };
            let symbols = syntax::symbols(&path, &text).into_iter();
            let around = symbols
                .filter(|symbol| {
                    matches!(symbol.kind, SymbolKind::Function | SymbolKind::Method)
                        && symbol.range.contains(&site.range.start)
                })
                .min_by_key(|symbol| symbol.range.len());
            let Some(function) = around.map(|symbol| place_of(&path, symbol)) else {
                continue;
            };
            match calls.iter_mut().find(|call| call.function == function) {
                Some(call) => call.sites.push(site),
                None => calls.push(Call {
                    function,
                    sites: vec![site],
                }),
            }
        }
        calls
    }

    /// The first line of a definition, which is most of its signature.
    pub(super) fn head(&self, definition: &Location) -> Option<String> {
        let (_, text) = self.file(&definition.file)?;
        let before = text.get(..definition.range.start)?;
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = text.get(start..)?.lines().next()?.trim();
        Some(line.trim_end_matches('{').trim_end().to_owned())
    }

    /// Files in which a word stands, or a part of a word.
    fn files_with(&self, word: &str, is_part: bool) -> BTreeSet<PathBuf> {
        let escaped: String = word
            .chars()
            .flat_map(|one| {
                let escape = (one.is_ascii_punctuation() && one != '_').then_some('\\');
                escape.into_iter().chain([one])
            })
            .collect();
        let query = Query {
            pattern: if is_part {
                format!("(?i){escaped}")
            } else {
                escaped
            },
            time_max: SEARCH_TIME,
            ..Query::default()
        };
        let found = search(self.texts, &query, |met| (self.readable)(met.path)).unwrap_or_default();
        found.hits.into_iter().map(|hit| hit.file).collect()
    }
}

/// Where names that are defined in a text begin.
fn defined(path: &Path, text: &str, name: &str) -> BTreeSet<usize> {
    let symbols = syntax::symbols(path, text).into_iter();
    symbols
        .filter(|symbol| symbol.kind != SymbolKind::Implementation && symbol.name == name)
        .map(|symbol| symbol.name_range.start)
        .collect()
}

/// The name of a type or trait without its path and its parameters.
fn bare(part: &str) -> &str {
    let head = part.split('<').next().unwrap_or_default();
    head.rsplit("::").next().unwrap_or_default().trim()
}

fn place_of(path: &Path, symbol: syntax::Symbol) -> NamedPlace {
    NamedPlace {
        name: symbol.name,
        container: symbol.parents.join("::"),
        place: Location {
            file: path.to_owned(),
            range: symbol.name_range,
        },
    }
}

/// Symbols in text order as a tree: those that are `depth` deep, each with those inside.
fn nested(
    symbols: &mut Peekable<impl Iterator<Item = syntax::Symbol>>,
    depth: usize,
) -> Vec<Symbol> {
    let mut found = Vec::new();
    while let Some(symbol) = symbols.next_if(|next| next.parents.len() >= depth) {
        let children = nested(symbols, symbol.parents.len() + 1);
        found.push(Symbol {
            kind: number_of(symbol.kind),
            name: symbol.name,
            range: symbol.range,
            selection: symbol.name_range,
            children,
        });
    }
    found
}

/// The protocol's number for a kind.
fn number_of(kind: SymbolKind) -> u64 {
    match kind {
        SymbolKind::Function | SymbolKind::Macro => 12,
        SymbolKind::Method => 6,
        SymbolKind::Class => 23,
        SymbolKind::Enum => 10,
        SymbolKind::Interface => 11,
        SymbolKind::Implementation => 19,
        SymbolKind::Alias => 26,
        SymbolKind::Constant => 14,
        SymbolKind::Module => 2,
    }
}
