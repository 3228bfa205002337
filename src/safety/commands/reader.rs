//! Walks the tree of a command line and notes every command in it (spec: Execution Protection).

use std::ops::Range;
use std::path::Path;

use tree_sitter::Node;

use super::conditions::{counts_numbers, is_name, may_evaluate};
use super::feeders::{Feeder, feeders};
use super::line::{
    After, COMMANDS_MAX, Command, DEPTH_MAX, Folders, Line, Redirect, Unclear, is_open_ended,
    is_word, last_named, looked_into,
};
use super::word::{Surroundings, Word, words};

/// Words of a loop that are looked at one after the other.
const ROUNDS_MAX: usize = 16;

/// A walk through the tree of a line.
pub(super) struct Reader<'a> {
    pub(super) source: &'a str,
    pub(super) home: &'a Path,
    pub(super) line: Line,
    pub(super) upstream: Vec<Feeder>,
    /// The variables that loops may stand for their words, as nothing else sets them.
    pub(super) loops: Vec<String>,
    /// The variables of loops over words that are known, whoever else sets them.
    pub(super) counted: Vec<String>,
    /// What they are in this round, and where the shell was when the loop began.
    pub(super) bound: Vec<(String, Word)>,
    pub(super) bound_in: Vec<Folders>,
}

impl Reader<'_> {
    fn text(&self, node: Node<'_>) -> &str {
        self.source.get(node.byte_range()).unwrap_or_default()
    }

    fn unclear(&mut self, node: Node<'_>, why: &'static str) {
        self.line.unclear.push(Unclear {
            range: node.byte_range(),
            why,
            is_hostile: false,
        });
    }

    /// Every statement below a node, one after the other.
    pub(super) fn sequence(
        &mut self,
        node: Node<'_>,
        mut folders: Folders,
        depth: usize,
    ) -> Folders {
        let mut cursor = node.walk();
        let children: Vec<_> = node.named_children(&mut cursor).collect();
        for child in children {
            folders = self.statement(child, folders, depth + 1).either();
        }
        folders
    }

    fn statement(&mut self, node: Node<'_>, folders: Folders, depth: usize) -> After {
        if depth > DEPTH_MAX || self.line.commands.len() > COMMANDS_MAX {
            self.unclear(node, "it is nested too deeply or too long to be judged");
            return After::same(folders);
        }
        match node.kind() {
            "command"
            | "declaration_command"
            | "unset_command"
            | "variable_assignment"
            | "variable_assignments" => self.command(node, &[], folders, depth),
            "redirected_statement" => self.redirected(node, folders, depth),
            "list" => self.list(node, folders, depth),
            "pipeline" => self.pipeline(node, folders, depth),
            "negated_command" => {
                let after = self.sequence(node, folders, depth);
                After::same(after)
            }
            "subshell" => {
                self.sequence(node, folders.clone(), depth);
                After::same(folders)
            }
            "command_substitution" | "process_substitution" => {
                self.substitution(node);
                let upstream = std::mem::take(&mut self.upstream);
                self.sequence(node, folders.clone(), depth);
                self.upstream = upstream;
                After::same(folders)
            }
            "compound_statement" if self.text(node).starts_with("((") => {
                self.test(node, &folders, depth);
                After::same(folders)
            }
            "program" | "compound_statement" | "if_statement" | "elif_clause" | "else_clause"
            | "do_group" | "case_item" | "case_statement" => {
                let after = self.sequence(node, folders.clone(), depth);
                After::same(after.or(folders))
            }
            "while_statement" | "for_statement" => {
                self.loop_variable(node, &folders);
                let after = self.rounds(node, &folders, depth);
                if after == folders || folders == Folders::unknown() {
                    return After::same(after);
                }
                // Each round begins where the one before it ended.
                self.rounds(node, &Folders::unknown(), depth);
                After::same(Folders::unknown())
            }
            "test_command" => {
                self.test(node, &folders, depth);
                After::same(folders)
            }
            "function_definition" => {
                self.function(node, folders.clone(), depth);
                After::same(folders)
            }
            "comment" => {
                self.comment(node);
                After::same(folders)
            }
            // What `for` and `case` name.
            "variable_name" | "extglob_pattern" | "special_variable_name" => After::same(folders),
            kind if is_word(kind) => {
                self.expansions(node, &folders, depth);
                After::same(folders)
            }
            _ => {
                self.unclear(node, "a part of it is of a kind that is not judged");
                After::same(folders)
            }
        }
    }

    /// The rounds of a loop, each beginning in the same folders: one for each word that its variable is known to stand
    /// for, or one for all of them.
    fn rounds(&mut self, node: Node<'_>, folders: &Folders, depth: usize) -> Folders {
        let Some((name, values)) = self.loop_values(node) else {
            return self.sequence(node, folders.clone(), depth);
        };
        if !self.loops.contains(&name) {
            self.counted.push(name);
            return self.sequence(node, folders.clone(), depth);
        }
        let mut after = folders.clone();
        for value in values {
            self.bound.push((name.clone(), value));
            self.bound_in.push(folders.clone());
            after = after.or(self.sequence(node, folders.clone(), depth));
            self.bound.pop();
            self.bound_in.pop();
        }
        after
    }

    /// The variable of a loop and the words that it stands for, where they are known.
    fn loop_values(&self, node: Node<'_>) -> Option<(String, Vec<Word>)> {
        if node.kind() != "for_statement" {
            return None;
        }
        let name = self.text(node.child_by_field_name("variable")?).to_owned();
        let around = Surroundings {
            home: self.home,
            directory: None,
            bound: &[],
        };
        let mut cursor = node.walk();
        let mut found = Vec::new();
        for value in node.children_by_field_name("value", &mut cursor) {
            if self.text(value).contains(['$', '`', '(']) {
                return None;
            }
            found.extend(words(self.source, value.byte_range(), &[], around).ok()?);
        }
        let is_known = |word: &Word| word.is_sure;
        let fits = !found.is_empty() && found.len() <= ROUNDS_MAX && found.iter().all(is_known);
        fits.then_some((name, found))
    }

    /// `for NAME in …` and `select NAME in …` set a variable like any assignment.
    fn loop_variable(&mut self, node: Node<'_>, folders: &Folders) {
        if node.kind() != "for_statement" {
            return;
        }
        let Some(name) = node.child_by_field_name("variable") else {
            return self.unclear(node, "a part of it was not understood");
        };
        self.line.commands.push(Command {
            range: name.byte_range(),
            variables: vec![(self.text(name).to_owned(), Word::unknown())],
            words: Vec::new(),
            redirects: Vec::new(),
            upstream: self.upstream.clone(),
            folders: folders.clone(),
            looks_into: Vec::new(),
            sets_only: false,
        });
    }

    fn list(&mut self, node: Node<'_>, folders: Folders, depth: usize) -> After {
        let (Some(left), Some(right)) = (node.named_child(0), last_named(node)) else {
            return After::same(folders);
        };
        let is_and = node
            .child(1)
            .is_some_and(|operator| operator.kind() == "&&");
        if node.named_child_count() != 2 {
            return After::same(self.sequence(node, folders, depth));
        }
        let left = self.statement(left, folders, depth + 1);
        if is_and {
            let right = self.statement(right, left.success, depth + 1);
            After {
                success: right.success,
                failure: left.failure.or(right.failure),
            }
        } else {
            let right = self.statement(right, left.failure, depth + 1);
            After {
                success: left.success.or(right.success),
                failure: right.failure,
            }
        }
    }

    fn pipeline(&mut self, node: Node<'_>, folders: Folders, depth: usize) -> After {
        let outer = self.upstream.len();
        let mut cursor = node.walk();
        let children: Vec<_> = node.named_children(&mut cursor).collect();
        for child in children {
            let before = self.line.commands.len();
            self.statement(child, folders.clone(), depth + 1);
            let added = self.line.commands.get(before..).unwrap_or_default();
            let own = self.upstream.len();
            let mut fed: Vec<Feeder> = Vec::new();
            for command in added {
                fed.extend(command.upstream.iter().skip(own).cloned());
                fed.extend(feeders(&command.words));
            }
            if added.len() != 1 {
                // What one of them prints is not fed to the next.
                fed.push(Feeder::of_anything("{"));
            }
            self.upstream.extend(fed);
        }
        self.upstream.truncate(outer);
        After::same(folders)
    }

    fn redirected(&mut self, node: Node<'_>, folders: Folders, depth: usize) -> After {
        let mut cursor = node.walk();
        let children: Vec<_> = node.named_children(&mut cursor).collect();
        let is_redirect = |node: &&Node<'_>| node.kind().ends_with("_redirect");
        let redirects: Vec<_> = children.iter().filter(is_redirect).copied().collect();
        let body = children.iter().find(|node| !is_redirect(node));
        match body {
            Some(body) if body.kind() == "command" => {
                self.command(*body, &redirects, folders, depth)
            }
            Some(body) => {
                let after = self.statement(*body, folders.clone(), depth + 1);
                let last = if is_open_ended(*body) {
                    self.line.commands.pop()
                } else {
                    None
                };
                match last {
                    // In `a && b > c`, it is `b` that writes.
                    Some(mut last) => {
                        for redirect in redirects {
                            last.range.end = last.range.end.max(redirect.end_byte());
                            self.redirect(redirect, &mut last, depth);
                        }
                        self.line.commands.push(last);
                    }
                    None => {
                        self.command(node, &redirects, folders, depth);
                        let last = self.line.commands.last();
                        if last.is_some_and(|last| !last.words.is_empty()) {
                            self.unclear(node, "a part of it was not understood");
                        }
                    }
                }
                after
            }
            None => self.command(node, &redirects, folders, depth),
        }
    }

    /// A simple command. With redirects of a group, only those are looked at.
    fn command(
        &mut self,
        node: Node<'_>,
        redirects: &[Node<'_>],
        folders: Folders,
        depth: usize,
    ) -> After {
        let mut command = Command {
            range: node.byte_range(),
            variables: Vec::new(),
            words: Vec::new(),
            redirects: Vec::new(),
            upstream: self.upstream.clone(),
            folders: folders.clone(),
            looks_into: Vec::new(),
            sets_only: matches!(node.kind(), "declaration_command" | "unset_command"),
        };
        if node.kind() != "redirected_statement" {
            self.parts(node, &mut command, depth);
        }
        for redirect in redirects {
            command.range.end = command.range.end.max(redirect.end_byte());
            self.redirect(*redirect, &mut command, depth);
        }
        let after = self.moved(&command);
        self.line.commands.push(command);
        after
    }

    fn parts(&mut self, node: Node<'_>, command: &mut Command, depth: usize) {
        if node.kind() == "variable_assignment" {
            self.variable(node, command, depth);
            return;
        }
        if command.sets_only {
            let keyword = node.child(0).map(|child| self.text(child).to_owned());
            let keyword = keyword.unwrap_or_default();
            command.words.push(Word::plain(&keyword));
        }
        let mut cursor = node.walk();
        let children: Vec<_> = node.children(&mut cursor).collect();
        let mut end = node.start_byte();
        for child in children {
            let gap = self.source.get(end..child.start_byte());
            if gap.is_none_or(|gap| {
                !gap.replace("\\\n", "")
                    .trim_matches([' ', '\t', '\n'])
                    .is_empty()
            }) {
                self.unclear(node, "a part of it was not understood");
            }
            end = child.end_byte();
            match child.kind() {
                "variable_assignment" => self.variable(child, command, depth),
                "command_name" => self.word(child, command, depth),
                kind if kind.ends_with("_redirect") => self.redirect(child, command, depth),
                "variable_name" => command.words.push(Word::plain(self.text(child))),
                kind if is_word(kind) => self.word(child, command, depth),
                // Keywords of declarations, and `$` or `==` as arguments.
                _ if !child.is_named() && command.sets_only => {}
                _ if !child.is_named() => {
                    let word = Word::plain(self.text(child));
                    command.words.push(word);
                }
                _ => self.unclear(child, "a part of it is of a kind that is not judged"),
            }
        }
    }

    fn variable(&mut self, node: Node<'_>, command: &mut Command, depth: usize) {
        let name = node.child_by_field_name("name");
        let name = name.map_or("", |name| self.text(name)).to_owned();
        let value = match node.child_by_field_name("value") {
            None => Word::plain(""),
            Some(value) if value.kind() == "array" => {
                self.expansions(value, &command.folders.clone(), depth);
                if self.text(value).contains('[') {
                    self.unclear(value, "an index may be evaluated");
                }
                Word::unknown()
            }
            Some(value) => {
                let mut found = self.evaluated(value, command, depth);
                if found.len() == 1 {
                    found.remove(0)
                } else {
                    Word::unknown()
                }
            }
        };
        if !is_name(&name) {
            self.unclear(node, "an index may be evaluated");
        }
        command.variables.push((name, value));
    }

    fn word(&mut self, node: Node<'_>, command: &mut Command, depth: usize) {
        let found = self.evaluated(node, command, depth);
        command.words.extend(found);
    }

    fn evaluated(&mut self, node: Node<'_>, command: &mut Command, depth: usize) -> Vec<Word> {
        let (ranges, names) = self.expansions(node, &command.folders.clone(), depth);
        command.looks_into.extend(names);
        self.read_word(node, &ranges, &command.folders)
    }

    fn read_word(
        &mut self,
        node: Node<'_>,
        ranges: &[Range<usize>],
        folders: &Folders,
    ) -> Vec<Word> {
        // What a pattern found in one folder says nothing of another.
        let bound = self.bound.iter().zip(&self.bound_in);
        let bound =
            bound.filter(|((_, value), place)| value.pattern.is_none() || *place == folders);
        let bound: Vec<_> = bound.map(|(bound, _)| bound.clone()).collect();
        let around = Surroundings {
            home: self.home,
            directory: match folders.0.as_slice() {
                [directory] => Some(directory),
                _ => None,
            },
            bound: &bound,
        };
        if let Ok(found) = words(self.source, node.byte_range(), ranges, around) {
            return found;
        }
        self.unclear(node, "a word of it cannot be worked out");
        vec![Word::unknown()]
    }

    fn redirect(&mut self, node: Node<'_>, command: &mut Command, depth: usize) {
        let before = self.source.get(..node.start_byte()).unwrap_or_default();
        if before.ends_with('}') {
            self.unclear(node, "`{NAME}>` sets a variable");
        }
        match node.kind() {
            "herestring_redirect" => {
                command.upstream.push(Feeder::of_anything("<<<"));
                self.expansions(node, &command.folders.clone(), depth);
            }
            "heredoc_redirect" => {
                command.upstream.push(Feeder::of_anything("<<"));
                self.here_document(node, command, depth);
            }
            _ => {
                let mut cursor = node.walk();
                let children: Vec<_> = node.children(&mut cursor).collect();
                let operator = children.iter().find(|child| !child.is_named());
                let operator = operator.map_or("", |operator| operator.kind()).to_owned();
                // A program may have written its descriptor number at a place of its own; `2>&1` copies one.
                let copies = operator.ends_with('&') || operator.ends_with("&-");
                let mut destinations = children
                    .into_iter()
                    .filter(|child| child.is_named() && child.kind() != "file_descriptor");
                if let Some(child) = destinations.next() {
                    let text = self.text(child);
                    let is_number = text
                        .bytes()
                        .all(|byte| byte.is_ascii_digit() || byte == b'-');
                    if !(copies && is_number) {
                        let writes = operator.contains('>');
                        if !writes {
                            command.upstream.push(Feeder::of_anything("<"));
                        }
                        let found = self.evaluated(child, command, depth);
                        let found = found.into_iter().map(|target| Redirect { target, writes });
                        command.redirects.extend(found);
                    }
                }
                // The grammar takes all words after a redirect for its targets; a shell gives them to the program.
                for child in destinations {
                    self.word(child, command, depth);
                }
            }
        }
    }

    fn here_document(&mut self, node: Node<'_>, command: &mut Command, depth: usize) {
        let mut cursor = node.walk();
        let children: Vec<_> = node.named_children(&mut cursor).collect();
        let start = children
            .iter()
            .find(|child| child.kind() == "heredoc_start");
        let mark = start
            .map_or("", |start| self.text(*start))
            .trim_matches(['\'', '"'])
            .to_owned();
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if mark.is_empty() || !mark.bytes().all(is_plain) {
            self.unclear(node, "the end of its here-document is not certain");
        }
        for child in children {
            match child.kind() {
                "heredoc_start" | "heredoc_end" | "file_descriptor" => {}
                "heredoc_body" => {
                    let ends = |line: &str| line.trim() == mark;
                    if self.text(child).lines().any(ends) {
                        self.unclear(child, "the end of its here-document is not certain");
                    }
                    self.expansions(child, &command.folders.clone(), depth);
                }
                kind if kind.ends_with("_redirect") => self.redirect(child, command, depth),
                kind if is_word(kind) => self.word(child, command, depth),
                // `cat <<E | sh` and `cat <<E && sh` hang the rest of the line below the here-document.
                _ => {
                    let names = feeders(&command.words);
                    let outer = self.upstream.len();
                    self.upstream.push(Feeder::of_anything("<<"));
                    self.upstream.extend(names);
                    self.statement(child, command.folders.clone(), depth + 1);
                    self.upstream.truncate(outer);
                }
            }
        }
    }

    /// Looks at what the shell fills in below a node: the places, and the names of variables.
    fn expansions(
        &mut self,
        node: Node<'_>,
        folders: &Folders,
        depth: usize,
    ) -> (Vec<Range<usize>>, Vec<String>) {
        let (mut ranges, mut names) = (Vec::new(), Vec::new());
        self.collect(node, folders, depth, &mut ranges, &mut names);
        (ranges, names)
    }

    fn collect(
        &mut self,
        node: Node<'_>,
        folders: &Folders,
        depth: usize,
        ranges: &mut Vec<Range<usize>>,
        names: &mut Vec<String>,
    ) {
        if depth > DEPTH_MAX {
            self.unclear(node, "it is nested too deeply or too long to be judged");
            return;
        }
        match node.kind() {
            "command_substitution" | "process_substitution" => {
                ranges.push(node.byte_range());
                self.statement(node, folders.clone(), depth + 1);
                return;
            }
            "simple_expansion" | "expansion" => {
                ranges.push(node.byte_range());
                match looked_into(self.text(node)) {
                    Some(name) => names.push(name.to_owned()),
                    None => self.unclear(node, "a value in it may be evaluated"),
                }
            }
            "arithmetic_expansion" => {
                ranges.push(node.byte_range());
                if !counts_numbers(self.text(node)) {
                    self.unclear(node, "a value in it may be evaluated");
                }
            }
            "ERROR" => self.unclear(node, "a part of it was not understood"),
            _ => {}
        }
        let mut cursor = node.walk();
        let children: Vec<_> = node.named_children(&mut cursor).collect();
        for child in children {
            let mut below = Vec::new();
            self.collect(child, folders, depth + 1, &mut below, names);
            // What stands within one that is known already is filled in with it.
            let within = |below: &Range<usize>| ranges.iter().any(|range| range.end >= below.end);
            ranges.extend(
                below
                    .into_iter()
                    .filter(|below| !within(below))
                    .collect::<Vec<_>>(),
            );
        }
    }

    fn substitution(&mut self, node: Node<'_>) {
        let text = self.text(node);
        if text.starts_with('`') && text.contains('\\') {
            self.unclear(node, "backslashes between backquotes mean something else");
        }
    }

    /// `[ … ]`, `[[ … ]]` and `(( … ))`.
    fn test(&mut self, node: Node<'_>, folders: &Folders, depth: usize) {
        self.expansions(node, folders, depth);
        let text = self.text(node);
        let is_harmless = if text.starts_with("((") {
            counts_numbers(text)
        } else {
            !may_evaluate(node, self.source)
        };
        if !is_harmless {
            self.unclear(node, "a value in it may be evaluated");
        }
    }

    fn function(&mut self, node: Node<'_>, folders: Folders, depth: usize) {
        let name = node.child_by_field_name("name");
        let name = name.map_or("", |name| self.text(name)).to_owned();
        let body = node.child_by_field_name("body");
        let before = self.line.commands.len();
        if let Some(body) = body {
            self.statement(body, folders, depth + 1);
        }
        let calls_itself = self.line.commands.iter().skip(before);
        let mut calls_itself = calls_itself.filter_map(|command| command.words.first());
        let is_hostile = calls_itself.any(|word| word.text == name);
        self.line.unclear.push(Unclear {
            range: node.byte_range(),
            why: if is_hostile {
                "a function that starts itself again and again fills the machine"
            } else {
                "a function changes what the names after it mean"
            },
            is_hostile,
        });
    }

    /// A comment begins after a space or an operator, for every shell.
    fn comment(&mut self, node: Node<'_>) {
        let before = self.source.get(..node.start_byte()).unwrap_or_default();
        let opens = |it: char| it.is_ascii_whitespace() || ";&|()".contains(it);
        if before.chars().next_back().is_some_and(|it| !opens(it)) {
            self.unclear(node, "it is not certain whether a part is a comment");
        }
    }

    /// Where the shell is after a command.
    fn moved(&self, command: &Command) -> After {
        let folders = command.folders.clone();
        // `time` is a word of the shell: what it times runs in this very shell.
        let is_time = |word: &&Word| matches!(word.text.as_str(), "time" | "-p" | "--" | "!");
        let is_timed = matches!(command.words.first(), Some(first) if first.text == "time");
        let mut words = command.words.iter();
        let name = words.find(|word| !is_timed || !is_time(word));
        let name = name.map_or("", |name| name.text.as_str());
        let arguments: Vec<_> = words
            .filter(|word| !matches!(word.text.as_str(), "--" | "-L" | "-P" | "-e"))
            .collect();
        match (name, arguments.as_slice()) {
            ("cd", []) => After {
                success: Folders(vec![self.home.to_owned()]),
                failure: folders,
            },
            ("cd", [target]) => {
                let known = target
                    .known()
                    .filter(|known| !known.is_empty() && *known != "-");
                let known = known.filter(|known| !known.starts_with(['-', '+']));
                let success = known.map_or_else(Folders::unknown, |known| {
                    Folders(folders.0.iter().map(|folder| folder.join(known)).collect())
                });
                After {
                    success,
                    failure: folders,
                }
            }
            (
                "cd" | "pushd" | "popd" | "eval" | "source" | "." | "builtin" | "command" | "dirs",
                _,
            ) => After::same(match name {
                "command" if !arguments.iter().any(|word| may_move(word)) => folders,
                _ => Folders::unknown(),
            }),
            // What it names may happen after any command.
            ("trap", given) if given.iter().any(|word| may_move(word)) => {
                After::same(Folders::unknown())
            }
            _ => After::same(folders),
        }
    }
}

/// Whether a shell that runs what is in a word may be in another folder afterwards.
fn may_move(word: &Word) -> bool {
    let is_end = |letter: char| !(letter.is_ascii_alphanumeric() || "._-".contains(letter));
    let mut names = word.text.split(is_end);
    let moves = |name| {
        matches!(
            name,
            "cd" | "pushd" | "popd" | "eval" | "source" | "." | "builtin" | "command"
        )
    };
    // A name in quotes of its own is put together only when it is run.
    word.known().is_none() || word.text.contains(['\\', '\'', '"', '$', '`']) || names.any(moves)
}
