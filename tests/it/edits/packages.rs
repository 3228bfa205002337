//! Two versions of real packages, and the hunks that lead from one to the other.

use std::path::{Path, PathBuf};

use similar::{ChangeTag, TextDiff};

/// Bytes of a file that is taken.
const FILE_BYTES_MAX: usize = 120_000;

/// Lines of a hunk that is taken, with its context.
const HUNK_LINES_MAX: usize = 40;

/// Endings of the names of files that are taken.
const ENDINGS: [&str; 8] = ["rs", "py", "pyi", "ts", "tsx", "js", "mjs", "cjs"];

/// A file in two versions.
pub(crate) struct Versions {
    /// Its path in the package.
    pub(crate) path: PathBuf,
    /// The older text.
    pub(crate) old: String,
    /// The newer one.
    pub(crate) new: String,
}

/// One hunk between two versions.
#[derive(Debug, Clone)]
pub(crate) struct Hunk {
    /// First line in the old text, from zero.
    pub(crate) line: usize,
    /// The lines: how each begins (` `, `-` or `+`), and itself without its end.
    pub(crate) rows: Vec<(char, String)>,
}

impl Hunk {
    /// The lines before.
    pub(crate) fn before(&self) -> Vec<&str> {
        self.side('+')
    }

    /// The lines after.
    pub(crate) fn after(&self) -> Vec<&str> {
        self.side('-')
    }

    fn side(&self, without: char) -> Vec<&str> {
        let rows = self.rows.iter().filter(|(sign, _)| *sign != without);
        rows.map(|(_, row)| row.as_str()).collect()
    }

    /// The old text with only this hunk applied.
    pub(crate) fn applied(&self, old: &str) -> String {
        let mut lines: Vec<&str> = old.lines().collect();
        let end = self.line + self.before().len();
        lines.splice(self.line..end, self.after());
        lines.join("\n") + "\n"
    }

    /// The old text without the lines that this hunk quotes.
    pub(crate) fn removed(&self, old: &str) -> String {
        let mut lines: Vec<&str> = old.lines().collect();
        let end = self.line + self.before().len();
        lines.splice(self.line..end, []);
        lines.join("\n") + "\n"
    }
}

/// Files that differ between the two versions of each package that is installed.
pub(crate) fn installed(tools: &Path, cargo_home: &Path, manifests: &Path) -> Vec<Versions> {
    let mut found = Vec::new();
    for (older, newer) in crates(cargo_home, manifests)
        .into_iter()
        .chain(wheels(tools))
        .chain(node_packages(tools))
    {
        let mut paths = Vec::new();
        files_below(&older, Path::new(""), &mut paths);
        paths.sort();
        for path in paths {
            let read = |root: &Path| std::fs::read_to_string(root.join(&path)).ok();
            let (Some(old), Some(new)) = (read(&older), read(&newer)) else {
                continue;
            };
            let fits = |text: &str| {
                text.len() < FILE_BYTES_MAX
                    && text.ends_with('\n')
                    && !text.contains('\r')
                    && text.lines().all(|line| line.len() < 400)
            };
            if old != new && fits(&old) && fits(&new) {
                let name = older.file_name().unwrap_or_default();
                let path = Path::new(name).join(&path);
                found.push(Versions { path, old, new });
            }
        }
    }
    found
}

fn crates(cargo_home: &Path, manifests: &Path) -> Vec<(PathBuf, PathBuf)> {
    let named = |side: &str| -> Vec<String> {
        let manifest = std::fs::read_to_string(manifests.join(side).join("Cargo.toml"));
        let manifest = manifest.expect("the manifest is there");
        let rows = manifest.lines().filter_map(|row| {
            let (name, rest) = row.split_once(" = { version = \"=")?;
            let (version, _) = rest.split_once('"')?;
            Some(format!("{name}-{version}"))
        });
        rows.collect()
    };
    let sources = folders(&cargo_home.join("registry/src"));
    let place = |name: &str| {
        let mut places = sources.iter().map(|source| source.join(name));
        places.find(|place| place.is_dir())
    };
    let pairs = named("older").into_iter().zip(named("newer"));
    pairs
        .filter_map(|(older, newer)| Some((place(&older)?, place(&newer)?)))
        .collect()
}

fn wheels(tools: &Path) -> Vec<(PathBuf, PathBuf)> {
    let (older, newer) = (
        folders(&tools.join("edits-older")),
        folders(&tools.join("edits-newer")),
    );
    let name = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.split('-').next().unwrap_or_default().to_lowercase()
    };
    let twin = |older: &PathBuf| {
        let mut newer = newer.iter();
        newer.find(|newer| name(newer) == name(older)).cloned()
    };
    let pairs = older
        .into_iter()
        .filter_map(|older| Some((older.clone(), twin(&older)?)));
    pairs.collect()
}

fn node_packages(tools: &Path) -> Vec<(PathBuf, PathBuf)> {
    let pairs = folders(&tools.join("edits/node_modules")).into_iter();
    let pairs = pairs.filter_map(|older| {
        let name = older
            .file_name()?
            .to_str()?
            .strip_suffix("-older")?
            .to_owned();
        Some((older.clone(), older.with_file_name(format!("{name}-newer"))))
    });
    pairs.collect()
}

fn folders(path: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    folders
}

fn files_below(root: &Path, folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(root.join(folder))
        .into_iter()
        .flatten()
        .flatten()
    {
        let path = folder.join(entry.file_name());
        if root.join(&path).is_dir() {
            let name = entry.file_name();
            if name != "node_modules" && name != "dist" {
                files_below(root, &path, found);
            }
        } else if path
            .extension()
            .and_then(|ending| ending.to_str())
            .is_some_and(|ending| ENDINGS.contains(&ending))
        {
            found.push(path);
        }
    }
}

/// The hunks between two texts with so many lines of context.
pub(crate) fn hunks(old: &str, new: &str, context: usize) -> Vec<Hunk> {
    let diff = TextDiff::from_lines(old, new);
    let mut hunks = Vec::new();
    for group in diff.grouped_ops(context) {
        let line = group
            .first()
            .map_or(0, |operation| operation.old_range().start);
        let mut rows = Vec::new();
        for operation in &group {
            for change in diff.iter_changes(operation) {
                let sign = match change.tag() {
                    ChangeTag::Equal => ' ',
                    ChangeTag::Delete => '-',
                    ChangeTag::Insert => '+',
                };
                rows.push((sign, change.value().trim_end_matches('\n').to_owned()));
            }
        }
        let hunk = Hunk { line, rows };
        let said = hunk.before().concat();
        let letters = said.chars().filter(|sign| sign.is_alphanumeric()).count();
        if hunk.rows.len() <= HUNK_LINES_MAX && letters >= 3 {
            hunks.push(hunk);
        }
    }
    hunks
}
