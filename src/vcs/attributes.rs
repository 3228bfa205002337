//! What `.gitattributes` and `.gitignore` say of files that are to be committed (spec: Git Tool).
//!
//! Filters are programs that the repository names. None is run: a file that wants one is left out of commits.

use std::path::Path;

use ignore::gitignore::{Gitignore, GitignoreBuilder};

/// Bytes of a file of attributes that are read.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Attributes that change what is stored.
const STORED: [&str; 3] = ["filter", "working-tree-encoding", "ident"];

/// The attributes of a repository.
#[derive(Debug)]
pub(super) struct Attributes {
    root: std::path::PathBuf,
    /// `info/attributes`, which has the last word.
    own: Vec<Line>,
}

/// A line of a file of attributes.
#[derive(Debug)]
struct Line {
    pattern: Gitignore,
    words: Vec<String>,
}

impl Attributes {
    /// Those of the repository at `root`.
    pub(super) fn read(root: &Path, common: &Path) -> Self {
        Self {
            root: root.to_owned(),
            own: lines(&common.join("info/attributes"), root),
        }
    }

    /// Why a file is not committed, if it is not.
    pub(super) fn obstacle(&self, path: &Path, is_new: bool) -> Option<String> {
        for name in STORED {
            if let Some(value) = self.value(path, name).filter(|value| value != "unset") {
                return Some(format!(
                    "`{name}={value}` of .gitattributes would have to run on it: commit it with git"
                ));
            }
        }
        (is_new && self.is_ignored(path)).then(|| "git ignores it".to_owned())
    }

    /// Whether its lines end as git stores them.
    pub(super) fn is_text(&self, path: &Path) -> bool {
        let is_set = |name| self.value(path, name).is_some_and(|value| value != "unset");
        is_set("text") || is_set("eol")
    }

    /// The value of an attribute: the last line that fits says it, and the innermost file.
    fn value(&self, path: &Path, name: &str) -> Option<String> {
        let mut value = None;
        let folders: Vec<&Path> = path.ancestors().skip(1).collect();
        for folder in folders.into_iter().rev() {
            let folder = self.root.join(folder);
            for line in lines(&folder.join(".gitattributes"), &folder) {
                line.tell(&self.root.join(path), name, &mut value);
            }
        }
        for line in &self.own {
            line.tell(&self.root.join(path), name, &mut value);
        }
        value
    }

    fn is_ignored(&self, path: &Path) -> bool {
        let file = self.root.join(path);
        let folders: Vec<&Path> = path.ancestors().skip(1).collect();
        let mut is_ignored = false;
        for folder in folders.into_iter().rev() {
            let folder = self.root.join(folder);
            let mut builder = GitignoreBuilder::new(&folder);
            // A line that cannot be read ignores nothing.
            let _ = builder.add(folder.join(".gitignore"));
            if folder == self.root {
                let _ = builder.add(folder.join(".git/info/exclude"));
            }
            if let Ok(patterns) = builder.build() {
                let found = patterns.matched_path_or_any_parents(&file, false);
                if !found.is_none() {
                    is_ignored = found.is_ignore();
                }
            }
        }
        is_ignored
    }
}

impl Line {
    fn tell(&self, path: &Path, name: &str, value: &mut Option<String>) {
        if !self
            .pattern
            .matched_path_or_any_parents(path, false)
            .is_ignore()
        {
            return;
        }
        for word in &self.words {
            if word == "binary" && name == "text" {
                *value = Some("unset".to_owned());
            } else if word == name {
                *value = Some("set".to_owned());
            } else if word.strip_prefix('-') == Some(name) {
                *value = Some("unset".to_owned());
            } else if word.strip_prefix('!') == Some(name) {
                *value = None;
            } else if let Some((word, said)) = word.split_once('=')
                && word == name
            {
                *value = Some(said.to_owned());
            }
        }
    }
}

/// The lines of a file of attributes, with the names of its macros replaced by what they stand for.
fn lines(file: &Path, folder: &Path) -> Vec<Line> {
    let is_small = |entry: std::fs::Metadata| entry.is_file() && entry.len() <= FILE_BYTES_MAX;
    if !file.symlink_metadata().is_ok_and(is_small) {
        return Vec::new();
    }
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let mut macros: Vec<(String, Vec<String>)> = Vec::new();
    let mut lines = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace().map(str::to_owned);
        let Some(pattern) = words.next().filter(|pattern| !pattern.starts_with('#')) else {
            continue;
        };
        let words: Vec<String> = words.collect();
        if let Some(name) = pattern.strip_prefix("[attr]") {
            macros.push((name.to_owned(), words));
            continue;
        }
        let mut builder = GitignoreBuilder::new(folder);
        if builder.add_line(None, pattern.trim_matches('"')).is_err() {
            continue;
        }
        let Ok(pattern) = builder.build() else {
            continue;
        };
        let meant = |word: &String| macros.iter().find(|(name, _)| name == word);
        let words = words.iter().flat_map(|word| match meant(word) {
            Some((_, words)) => words.clone(),
            None => vec![word.clone()],
        });
        lines.push(Line {
            pattern,
            words: words.collect(),
        });
    }
    lines
}
