//! Rust source files as tokens, for the checks in `tidy`: comments and the insides of strings are not code.

use std::path::Path;

use proc_macro2::{Delimiter, Group, Span, TokenStream, TokenTree};

/// One Rust source file.
pub(crate) struct Source {
    /// Path from the root of the repository, with forward slashes.
    pub(crate) path: String,
    /// Its text.
    pub(crate) text: String,
    /// Its code.
    pub(crate) tokens: Vec<Token>,
}

/// One token of code.
#[derive(Debug)]
pub(crate) struct Token {
    /// What it is.
    pub(crate) kind: Kind,
    /// One-based line.
    pub(crate) line: usize,
    /// Whether it belongs to an item under `#[cfg(test)]`.
    pub(crate) test: bool,
    /// Number of open brackets around it.
    pub(crate) depth: usize,
    /// Number of inline `mod` blocks around it.
    pub(crate) modules: usize,
}

/// What a token is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An identifier or keyword.
    Word(String),
    /// One character of punctuation.
    Mark(char),
    /// A literal.
    Value,
    /// An opening bracket, and the line of its closing one.
    Open(char, usize),
    /// A closing bracket.
    Close,
}

/// A path such as `std::env::var`, also when a `use` spells it with braces.
#[derive(Debug)]
pub(crate) struct Route<'source> {
    /// Its words.
    pub(crate) words: Vec<&'source str>,
    /// One-based line of its last word.
    pub(crate) line: usize,
    /// Whether it is under `#[cfg(test)]`.
    pub(crate) test: bool,
    /// Number of inline `mod` blocks around it.
    pub(crate) modules: usize,
}

/// A function with a body.
pub(crate) struct Function<'source> {
    /// Its name.
    pub(crate) name: &'source str,
    /// One-based line of `fn`.
    pub(crate) line: usize,
    /// Lines from `fn` to the closing brace.
    pub(crate) lines: usize,
}

impl Source {
    /// Reads the text of a file. Panics when it is not Rust, which the compiler says better.
    pub(crate) fn parse(path: &str, text: String) -> Self {
        let stream: TokenStream = text
            .parse()
            .unwrap_or_else(|error| panic!("{path} is not Rust: {error}"));
        let mut tokens = Vec::new();
        let under_test = path.ends_with("/tests.rs");
        flatten(stream, under_test, 0, 0, &mut tokens);
        Self {
            path: path.to_owned(),
            text,
            tokens,
        }
    }

    /// Every Rust file below `folder`, which is given from the root of the repository.
    pub(crate) fn all(root: &Path, folder: &str) -> Vec<Self> {
        let mut sources = Vec::new();
        let mut pending = vec![root.join(folder)];
        while let Some(folder) = pending.pop() {
            let entries = std::fs::read_dir(&folder)
                .unwrap_or_else(|error| panic!("cannot read {}: {error}", folder.display()));
            for entry in entries {
                let path = entry.expect("the folder is readable").path();
                if path.is_dir() {
                    pending.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let text = std::fs::read_to_string(&path)
                        .unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()));
                    let name = path.strip_prefix(root).expect("the path is below the root");
                    let name = name.to_string_lossy().replace('\\', "/");
                    sources.push(Self::parse(&name, text));
                }
            }
        }
        sources.sort_by(|left, right| left.path.cmp(&right.path));
        sources
    }

    /// The word at an index.
    pub(crate) fn word(&self, index: usize) -> Option<&str> {
        match self.tokens.get(index).map(|token| &token.kind) {
            Some(Kind::Word(word)) => Some(word),
            _ => None,
        }
    }

    /// Whether the token at an index is this character of punctuation.
    pub(crate) fn is_mark(&self, index: usize, mark: char) -> bool {
        matches!(self.tokens.get(index), Some(Token { kind: Kind::Mark(found), .. }) if *found == mark)
    }

    /// Every path in the code, words of one segment included.
    pub(crate) fn routes(&self) -> Vec<Route<'_>> {
        let mut routes = Vec::new();
        let mut index = 0;
        while index < self.tokens.len() {
            let continues = index
                .checked_sub(1)
                .is_some_and(|before| self.is_mark(before, '.') || self.is_mark(before, '\''));
            index = match self.word(index) {
                Some(_) if !continues => self.read_route(index, &[], &mut routes),
                _ => index + 1,
            };
        }
        routes
    }

    /// Every function that has a body.
    pub(crate) fn functions(&self) -> Vec<Function<'_>> {
        let mut functions = Vec::new();
        for (index, token) in self.tokens.iter().enumerate() {
            let (Some("fn"), Some(name)) = (self.word(index), self.word(index + 1)) else {
                continue;
            };
            let end = self
                .tokens
                .iter()
                .skip(index)
                .filter(|later| later.depth == token.depth)
                .find_map(|later| match later.kind {
                    Kind::Open('{', end) => Some(Some(end)),
                    Kind::Mark(';') => Some(None),
                    _ => None,
                });
            if let Some(Some(end)) = end {
                functions.push(Function {
                    name,
                    line: token.line,
                    lines: end + 1 - token.line,
                });
            }
        }
        functions
    }

    /// The words of every attribute, such as `allow` and `dead_code` of `#[allow(dead_code)]`.
    pub(crate) fn attributes(&self) -> Vec<(usize, Vec<&str>)> {
        let mut attributes = Vec::new();
        for index in 0..self.tokens.len() {
            let open = if self.is_mark(index + 1, '!') {
                index + 2
            } else {
                index + 1
            };
            let Some(token) = self.tokens.get(open) else {
                continue;
            };
            if self.is_mark(index, '#') && matches!(token.kind, Kind::Open('[', _)) {
                let words = (open + 1..self.closing(open)).filter_map(|inside| self.word(inside));
                attributes.push((token.line, words.collect()));
            }
        }
        attributes
    }

    /// Reads the path that starts with the word at `index` and gives the index behind it.
    fn read_route<'source>(
        &'source self,
        index: usize,
        prefix: &[&'source str],
        routes: &mut Vec<Route<'source>>,
    ) -> usize {
        let mut words = prefix.to_vec();
        words.extend(self.word(index));
        let (mut last, mut next) = (index, index + 1);
        while self.is_mark(next, ':') && self.is_mark(next + 1, ':') {
            if let Some(word) = self.word(next + 2) {
                words.push(word);
                last = next + 2;
                next += 3;
            } else if matches!(
                self.tokens.get(next + 2).map(|token| &token.kind),
                Some(Kind::Open('{', _))
            ) {
                return self.read_group(next + 2, &words, routes);
            } else {
                break;
            }
        }
        if let Some(token) = self.tokens.get(last) {
            routes.push(Route {
                words,
                line: token.line,
                test: token.test,
                modules: token.modules,
            });
        }
        next
    }

    fn read_group<'source>(
        &'source self,
        open: usize,
        prefix: &[&'source str],
        routes: &mut Vec<Route<'source>>,
    ) -> usize {
        let close = self.closing(open);
        let mut index = open + 1;
        while index < close {
            index = if self.word(index).is_some() {
                self.read_route(index, prefix, routes)
            } else {
                index + 1
            };
        }
        close + 1
    }

    /// Index of the bracket that closes the one at `open`.
    fn closing(&self, open: usize) -> usize {
        let depth = self.tokens.get(open).map_or(0, |token| token.depth);
        self.tokens
            .iter()
            .enumerate()
            .skip(open + 1)
            .find(|(_, token)| token.depth == depth && token.kind == Kind::Close)
            .map_or(self.tokens.len(), |(index, _)| index)
    }
}

fn flatten(stream: TokenStream, test: bool, depth: usize, modules: usize, tokens: &mut Vec<Token>) {
    // What the item that is being read is: under test, and an inline module.
    let (mut under_test, mut module) = (false, false);
    for tree in stream {
        let mut push = |kind, span: Span| {
            tokens.push(Token {
                kind,
                line: span.start().line,
                test: test || under_test,
                depth,
                modules,
            });
        };
        match tree {
            TokenTree::Ident(word) => {
                module |= word == "mod";
                push(Kind::Word(word.to_string()), word.span());
            }
            TokenTree::Punct(mark) => {
                push(Kind::Mark(mark.as_char()), mark.span());
                if mark.as_char() == ';' {
                    (under_test, module) = (false, false);
                }
            }
            TokenTree::Literal(value) => push(Kind::Value, value.span()),
            TokenTree::Group(group) => {
                let Some(open) = bracket(&group) else {
                    flatten(group.stream(), test || under_test, depth, modules, tokens);
                    continue;
                };
                let end = group.span_close().end().line;
                push(Kind::Open(open, end), group.span_open());
                let inner = modules + usize::from(module && open == '{');
                under_test |= open == '[' && is_test_attribute(&group);
                flatten(group.stream(), test || under_test, depth + 1, inner, tokens);
                tokens.push(Token {
                    kind: Kind::Close,
                    line: end,
                    test: test || under_test,
                    depth,
                    modules,
                });
                if open == '{' {
                    (under_test, module) = (false, false);
                }
            }
        }
    }
}

fn bracket(group: &Group) -> Option<char> {
    match group.delimiter() {
        Delimiter::Brace => Some('{'),
        Delimiter::Bracket => Some('['),
        Delimiter::Parenthesis => Some('('),
        Delimiter::None => None,
    }
}

fn is_test_attribute(group: &Group) -> bool {
    let text: String = group.stream().to_string().split_whitespace().collect();
    text == "cfg(test)" || text == "test"
}
