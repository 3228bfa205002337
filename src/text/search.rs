//! Search through the text of a workspace, open buffers and proposals included (spec: Search tool).
//!
//! Ripgrep's own crates walk and match in this process; ignored and hidden files are left out as ripgrep does.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use globset::{Glob, GlobMatcher};
use grep_regex::{RegexMatcher, RegexMatcherBuilder};
use grep_searcher::sinks::Lossy;
use grep_searcher::{BinaryDetection, Searcher, SearcherBuilder};
use ignore::WalkBuilder;

use super::staging::Staging;

/// Characters of one line that are kept.
const LINE_CHARACTERS_MAX: usize = 300;

/// Matches that one file may contribute, so that one generated file does not hide the others.
const FILE_MATCHES_MAX: usize = 50;

/// What to look for.
#[derive(Debug, Clone)]
pub struct Query {
    /// A regular expression in Rust's syntax.
    pub pattern: String,
    /// Files to look at, as a glob on the relative path or the file name; empty for all.
    pub files: String,
    /// Matches after which the search ends.
    pub matches_max: usize,
    /// Time after which the search ends.
    pub time_max: Duration,
}

/// One matching line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// Path relative to the workspace.
    pub file: PathBuf,
    /// One-based line.
    pub line: u64,
    /// The line without its end, cut to a readable length.
    pub text: String,
}

/// What a search found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Matching lines, by file and line.
    pub matches: Vec<Match>,
    /// Whether there may be more.
    pub cut: bool,
}

/// The query cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// The regular expression is wrong.
    #[error(
        "the pattern is not a regular expression: {0}; escape special characters with a backslash"
    )]
    Pattern(String),
    /// The glob is wrong.
    #[error("the file pattern is not a glob: {0}")]
    Files(String),
}

/// Searches the files that `readable` (asked with absolute paths) lets through.
pub fn search(
    staging: &Staging,
    query: &Query,
    readable: impl Fn(&Path) -> bool,
) -> Result<Found, QueryError> {
    let matcher = RegexMatcherBuilder::new()
        .line_terminator(Some(b'\n'))
        .build(&query.pattern)
        .map_err(|error| QueryError::Pattern(error.to_string()))?;
    let mut pass = Pass {
        matcher,
        searcher: SearcherBuilder::new()
            .binary_detection(BinaryDetection::quit(0))
            .line_number(true)
            .build(),
        files: glob(&query.files)?,
        deadline: Instant::now() + query.time_max,
        matches_max: query.matches_max,
        found: Found::default(),
    };
    let mut unsaved: Vec<&PathBuf> = staging.unsaved().collect();
    unsaved.sort();
    for path in &unsaved {
        if pass.wants(path)
            && readable(&staging.root().join(path))
            && let Ok(text) = staging.read(path)
            && pass.look(path, text.as_bytes()).is_break()
        {
            return Ok(pass.sorted());
        }
    }
    let walk = WalkBuilder::new(staging.root())
        .require_git(false)
        .sort_by_file_path(Path::cmp)
        .build();
    for entry in walk.filter_map(Result::ok) {
        if pass.is_over() {
            break;
        }
        if !entry.file_type().is_some_and(|kind| kind.is_file()) {
            continue;
        }
        let Ok(relative) = entry.path().strip_prefix(staging.root()) else {
            continue;
        };
        let is_changed = staging.overlay().contains_key(relative)
            || staging.proposed().files.contains_key(relative);
        if is_changed || !pass.wants(relative) || !readable(entry.path()) {
            continue;
        }
        // What cannot be read as text has nothing to find.
        if let Ok(text) = staging.read(relative)
            && pass.look(relative, text.as_bytes()).is_break()
        {
            break;
        }
    }
    Ok(pass.sorted())
}

struct Pass {
    matcher: RegexMatcher,
    searcher: Searcher,
    files: Option<GlobMatcher>,
    deadline: Instant,
    matches_max: usize,
    found: Found,
}

impl Pass {
    fn wants(&self, path: &Path) -> bool {
        self.files.as_ref().is_none_or(|files| {
            files.is_match(path) || path.file_name().is_some_and(|name| files.is_match(name))
        })
    }

    fn is_over(&mut self) -> bool {
        let late = Instant::now() > self.deadline;
        self.found.cut |= late;
        late || self.found.matches.len() >= self.matches_max
    }

    fn look(&mut self, path: &Path, text: &[u8]) -> ControlFlow<()> {
        let Self {
            matcher,
            searcher,
            matches_max,
            found,
            ..
        } = self;
        let mut of_file = 0;
        let sink = Lossy(|line, text| {
            if found.matches.len() >= *matches_max || of_file >= FILE_MATCHES_MAX {
                found.cut = true;
                return Ok(false);
            }
            of_file += 1;
            found.matches.push(Match {
                file: path.to_owned(),
                line,
                text: text.trim_end().chars().take(LINE_CHARACTERS_MAX).collect(),
            });
            Ok(true)
        });
        // Searching bytes in memory has no way to fail but the sink's, which has none.
        let _ = searcher.search_slice(&*matcher, text, sink);
        if self.is_over() {
            self.found.cut = true;
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    fn sorted(mut self) -> Found {
        self.found
            .matches
            .sort_by(|left, right| (&left.file, left.line).cmp(&(&right.file, right.line)));
        self.found
    }
}

fn glob(pattern: &str) -> Result<Option<GlobMatcher>, QueryError> {
    let pattern = pattern.trim().trim_start_matches("./");
    if pattern.is_empty() {
        return Ok(None);
    }
    // A folder means everything in it.
    let pattern = match pattern.strip_suffix('/') {
        Some(folder) => format!("{folder}/**"),
        None => pattern.to_owned(),
    };
    Glob::new(&pattern)
        .map(|glob| Some(glob.compile_matcher()))
        .map_err(|error| QueryError::Files(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;

    fn check(pattern: &str, files: &str, matches_max: usize) -> (Vec<String>, bool) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = folder.path();
        for (path, text) in [
            (".gitignore", "ignored/\n"),
            ("ignored/a.rs", "needle\n"),
            ("src/a.rs", "needle one\nother\nneedle two\n"),
            ("src/open.rs", "needle on disk\n"),
            ("secret.env", "needle\n"),
            ("notes.txt", "a needle in text\n"),
            ("binary", "needle\0\n"),
        ] {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            std::fs::write(path, text).expect("written");
        }
        let overlay = BTreeMap::from([(
            PathBuf::from("src/open.rs"),
            Arc::from("needle in buffer\n"),
        )]);
        let mut staging = Staging::new(root.to_owned(), overlay, 1000);
        staging
            .propose("src/new.rs".into(), Some("a new needle\n".into()))
            .expect("proposed");
        let query = Query {
            pattern: pattern.to_owned(),
            files: files.to_owned(),
            matches_max,
            time_max: Duration::from_secs(60),
        };
        let readable = |path: &Path| path.extension().is_none_or(|extension| extension != "env");
        let found = search(&staging, &query, readable).expect("a query");
        let shown = found
            .matches
            .iter()
            .map(|found| format!("{}:{} {}", found.file.display(), found.line, found.text));
        (shown.collect(), found.cut)
    }

    #[test]
    fn lines_are_found_in_buffers_proposals_and_on_disk() {
        let (found, cut) = check("needle", "", 100);
        assert_eq!(
            found,
            [
                "notes.txt:1 a needle in text",
                "src/a.rs:1 needle one",
                "src/a.rs:3 needle two",
                "src/new.rs:1 a new needle",
                "src/open.rs:1 needle in buffer",
            ]
        );
        assert!(!cut);
    }

    #[test]
    fn files_and_matches_can_be_limited() {
        assert_eq!(check("needle", "src/", 100).0.len(), 4);
        assert_eq!(
            check("needle", "*.txt", 100).0,
            ["notes.txt:1 a needle in text"]
        );
        assert_eq!(check("^needle (one|two)$", "**/*.rs", 100).0.len(), 2);
        let (found, cut) = check("needle", "", 2);
        assert_eq!((found.len(), cut), (2, true));
    }
}
