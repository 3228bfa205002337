//! Which of several edits that all pass was meant (spec: Semantic Analyzer).
//!
//! Nothing is guessed: an edit is chosen when it is the only one, when the project already imports exactly its path
//! elsewhere, or when all of them bring the same item into scope under the names that the standard library has for it.

use std::path::{Path, PathBuf};

use super::candidate::{Candidate, Kind};
use crate::config::file;
use crate::text::problem::Problem;
use crate::text::walk::{Dotted, walk};

/// Source files of a project that are asked what it imports.
const FILES_MAX: usize = 5_000;

/// Bytes of one of them.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Crates that share their items, in the order in which a project that says nothing prefers them.
const ROOTS: [&str; 3] = ["std", "core", "alloc"];

/// The sources of a project.
#[derive(Debug)]
pub struct Sources<'a> {
    /// Root of the project.
    pub tree: &'a Path,
}

/// The index of the candidate to take, or `None` when nothing tells them apart.
pub fn choose(survivors: &[Candidate], problem: &Problem, sources: &Sources) -> Option<usize> {
    if survivors.len() < 2 {
        return survivors.first().map(|_| 0);
    }
    let is_import = |candidate: &Candidate| candidate.kind == Kind::Import;
    if !survivors.iter().all(is_import) {
        return None;
    }
    let texts = sources.texts();
    let paths: Vec<(usize, String)> = survivors
        .iter()
        .enumerate()
        .filter_map(|(index, candidate)| Some((index, imported_path(candidate, &problem.symbol)?)))
        .collect();
    let used: Vec<&(usize, String)> = paths
        .iter()
        .filter(|(_, path)| texts.iter().any(|(_, text)| imports(text, path)))
        .collect();
    match used.as_slice() {
        [(only, _)] => Some(*only),
        [] if paths.len() == survivors.len() => {
            same_item(&paths.iter().collect::<Vec<_>>(), problem, &texts)
        }
        [] => None,
        several => same_item(several, problem, &texts),
    }
}

/// Of paths that name one item of the standard library, the one from the crate that the file, or else the project,
/// mostly imports from.
fn same_item(
    paths: &[&(usize, String)],
    problem: &Problem,
    texts: &[(PathBuf, String)],
) -> Option<usize> {
    let split = |path: &str| {
        let (root, rest) = path.split_once("::")?;
        let rank = ROOTS.iter().position(|known| *known == root)?;
        Some((rank, rest.to_owned()))
    };
    let (_, first) = paths.first()?;
    let (_, item) = split(first)?;
    let mut best = None;
    for (index, path) in paths {
        let (rank, rest) = split(path)?;
        if rest != item {
            return None;
        }
        let root = ROOTS.get(rank)?;
        let own = |(file, _): &&(PathBuf, String)| *file == problem.place.file;
        let in_file: usize = texts
            .iter()
            .filter(own)
            .map(|(_, text)| uses_of(text, root))
            .sum();
        let in_project: usize = texts.iter().map(|(_, text)| uses_of(text, root)).sum();
        let key = (in_file, in_project, ROOTS.len() - rank);
        if best.as_ref().is_none_or(|(known, _)| *known < key) {
            best = Some((key, *index));
        }
    }
    best.map(|(_, index)| index)
}

/// Lines of a text that import from a crate.
fn uses_of(text: &str, root: &str) -> usize {
    text.lines()
        .filter_map(|line| {
            line.trim_start()
                .trim_start_matches("pub ")
                .strip_prefix("use ")
        })
        .filter(|path| {
            path.strip_prefix(root)
                .is_some_and(|rest| rest.starts_with("::"))
        })
        .count()
}

/// Whether a text already brings exactly this path into scope.
fn imports(text: &str, path: &str) -> bool {
    let Some((module, name)) = path.rsplit_once("::") else {
        return false;
    };
    text.contains(&format!("use {path};"))
        || text.lines().any(|line| {
            line.trim_start()
                .strip_prefix("use ")
                .and_then(|rest| rest.strip_prefix(module)?.strip_prefix("::{"))
                .is_some_and(|names| names.split([',', '}', ' ']).any(|listed| listed == name))
        })
}

/// The path that an import brings into scope, for example `std::collections::HashMap`.
fn imported_path(candidate: &Candidate, name: &str) -> Option<String> {
    let edit = candidate.edits.files.values().next()?;
    let name = name.split(['<', '(', ':']).next().unwrap_or(name);
    edit.replacements()
        .iter()
        .flat_map(|replacement| replacement.text.lines())
        .find_map(|line| {
            let path = line
                .trim()
                .strip_prefix("use ")?
                .trim_end_matches(';')
                .to_owned();
            path.contains(name).then_some(path)
        })
}

impl Sources<'_> {
    /// The Rust sources with their paths relative to the project.
    pub(super) fn texts(&self) -> Vec<(PathBuf, String)> {
        walk(self.tree, self.tree, Dotted::LeftOut, |_| true)
            .build()
            .filter_map(Result::ok)
            .filter(|entry| {
                entry
                    .path()
                    .extension()
                    .is_some_and(|extension| extension == "rs")
            })
            .filter_map(|entry| {
                let relative = entry.path().strip_prefix(self.tree).ok()?.to_owned();
                let bytes = file::read_at_most(entry.path(), FILE_BYTES_MAX).ok()??;
                Some((relative, String::from_utf8(bytes).ok()?))
            })
            .take(FILES_MAX)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::repair::candidate::from_quickfix;
    use crate::text::edit::EditSet;
    use crate::text::problem::{Place, Severity};

    fn import(path: &str) -> Candidate {
        let mut edits = EditSet::default();
        let text = format!("use {path};\nfn f() {{}}\n");
        edits.record(
            "src/a.rs".into(),
            Some("fn f() {}\n".into()),
            Some(text.into()),
        );
        from_quickfix(format!("import {path}"), "rustc", edits)
    }

    #[test]
    fn imports_are_chosen_by_what_the_project_says_and_never_by_luck() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir(folder.path().join("src")).expect("created");
        let write = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).expect("written");
        };
        write("src/a.rs", "use core::fmt;\nfn f() {}\n");
        write(
            "src/b.rs",
            "use std::io;\nuse std::fs;\nuse std::rc::{Rc, Weak};\n",
        );
        #[cfg(target_os = "linux")]
        std::os::unix::fs::symlink("/dev/zero", folder.path().join("src/endless.rs"))
            .expect("linked");
        let problem = |symbol: &str| Problem {
            severity: Severity::Error,
            code: "E0433".to_owned(),
            message: String::new(),
            place: Place {
                file: "src/a.rs".into(),
                start: 0,
                end: 0,
                line: 1,
                column: 1,
            },
            source: "rustc".to_owned(),
            symbol: symbol.to_owned(),
        };
        for (symbol, paths, expected) in [
            ("mem", ["std::mem", "core::mem"], Some(1)),
            ("Rc", ["std::rc::Rc", "archery::Rc"], Some(0)),
            ("Result", ["std::io::Result", "std::fmt::Result"], None),
            ("Write", ["std::io::Write", "core::fmt::Write"], None),
        ] {
            let survivors = paths.map(import);
            let sources = Sources {
                tree: folder.path(),
            };
            assert_eq!(
                choose(&survivors, &problem(symbol), &sources),
                expected,
                "{symbol}"
            );
        }
    }
}
