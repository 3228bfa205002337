//! Search through the text of a workspace, open buffers and proposals included (spec: Search tool).
//!
//! Ripgrep's own crates walk and match in this process, on as many threads as there are processors; ignored and hidden
//! files are left out as ripgrep does. What is found is sorted, so that one page after the other can be asked for.
//!
//! What lies in the workspace is opened without following any link, where the system can do that. Then the names of a
//! file say where it is, and nobody has to ask the disk for each of them.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use globset::{Glob, GlobMatcher};
use grep_regex::{RegexMatcher, RegexMatcherBuilder};
use grep_searcher::{
    BinaryDetection, Searcher, SearcherBuilder, Sink, SinkContext, SinkContextKind, SinkMatch,
};
use ignore::WalkState;

use super::beneath::Folder;
use super::staging::{ReadError, Staging};
use super::walk::{Dotted, walk};

/// Characters of one line that are kept.
const LINE_CHARACTERS_MAX: usize = 300;

/// Matches that one file shows, so that one generated file does not hide the others.
const FILE_MATCHES_MAX: usize = 50;

/// Matches after which a search ends: nobody turns that many pages.
const SEARCH_MATCHES_MAX: usize = 20_000;

/// Bytes of a file that is too large which show whether it is text.
const LOOKED_AT_BYTES: u64 = 8 * 1024;

/// What to look for.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// A regular expression in Rust's syntax.
    pub pattern: String,
    /// Files to look at, as a glob on the relative path or the file name; empty for all.
    pub files: String,
    /// Whether capitals and small letters are the same.
    pub ignore_case: bool,
    /// Lines before and after each match that are shown with it.
    pub context: usize,
    /// Time after which the search ends.
    pub time_max: Duration,
}

/// One line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// One-based number.
    pub number: u64,
    /// Whether it matches; else it stands near one that does.
    pub matches: bool,
    /// The line without its end, cut to a readable length.
    pub text: String,
}

/// What a search found in one file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hit {
    /// Path relative to the workspace.
    pub file: PathBuf,
    /// How many of its lines match.
    pub count: usize,
    /// The first of them, with their context.
    pub lines: Vec<Line>,
}

/// What a search found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// The files with matches, by path.
    pub hits: Vec<Hit>,
    /// Whether the search ended before it saw every file.
    pub cut: bool,
    /// Files of text that were not looked into, because they are larger than the agent reads.
    pub too_large: usize,
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

/// A file that a search came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Met<'path> {
    /// Its absolute path, below the root as the texts name it.
    pub path: &'path Path,
    /// Where it is: it is opened there or not at all, and no link on the way is followed. `None` when it is opened
    /// wherever its path leads.
    pub place: Option<&'path Path>,
}

/// Searches the files that `readable` lets through.
pub fn search(
    staging: &Staging,
    query: &Query,
    readable: impl Fn(Met<'_>) -> bool + Sync,
) -> Result<Found, QueryError> {
    let matcher = RegexMatcherBuilder::new()
        .line_terminator(Some(b'\n'))
        .case_insensitive(query.ignore_case)
        .build(&query.pattern)
        .map_err(|error| QueryError::Pattern(error.to_string()))?;
    let pass = Pass {
        matcher,
        files: files_glob(&query.files)?,
        context: query.context,
        deadline: Instant::now() + query.time_max,
        seen: AtomicUsize::new(0),
        cut: AtomicBool::new(false),
        too_large: AtomicUsize::new(0),
        // Each thread adds a file's worth at a time.
        hits: Mutex::default(),
    };
    let mut searcher = pass.searcher();
    for path in staging.unsaved() {
        if pass.wants(path)
            && readable(Met::anywhere(&staging.root().join(path)))
            && let Some(text) = pass.counted(staging.read(path))
        {
            pass.look(&mut searcher, path, text.as_bytes());
        }
    }
    let folder = Folder::new(staging.root()).ok();
    let root = staging.root();
    let walk = walk(root, root, Dotted::LeftOut, |_| true)
        .threads(std::thread::available_parallelism().map_or(1, usize::from))
        .build_parallel();
    walk.run(|| {
        let mut desk = Desk {
            staging,
            folder: folder.as_ref(),
            searcher: pass.searcher(),
            bytes: Vec::new(),
        };
        let (pass, readable) = (&pass, &readable);
        Box::new(move |entry| {
            if pass.is_over() {
                return WalkState::Quit;
            }
            if let Ok(entry) = entry
                && entry.file_type().is_some_and(|kind| kind.is_file())
            {
                desk.look(pass, entry.path(), readable);
            }
            WalkState::Continue
        })
    });
    Ok(pass.sorted())
}

/// The glob of files that a query names; `None` when it names none.
pub fn files_glob(pattern: &str) -> Result<Option<GlobMatcher>, QueryError> {
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

/// Whether a glob means this file, by its path or by its name alone.
pub fn is_meant(files: &GlobMatcher, path: &Path) -> bool {
    files.is_match(path) || path.file_name().is_some_and(|name| files.is_match(name))
}

impl Found {
    /// Every line that matches, with its file.
    pub fn matches(&self) -> impl Iterator<Item = (&Path, &Line)> {
        self.hits.iter().flat_map(|hit| {
            let matching = hit.lines.iter().filter(|line| line.matches);
            matching.map(|line| (hit.file.as_path(), line))
        })
    }
}

/// What each thread of a search has of its own.
struct Desk<'search> {
    staging: &'search Staging,
    folder: Option<&'search Folder>,
    searcher: Searcher,
    bytes: Vec<u8>,
}

impl Desk<'_> {
    /// Looks into a file that lies in the workspace. What cannot be read as text has nothing to find.
    fn look(&mut self, pass: &Pass, path: &Path, readable: impl Fn(Met<'_>) -> bool) {
        let Ok(relative) = path.strip_prefix(self.staging.root()) else {
            return;
        };
        let is_changed = self.staging.overlay().contains_key(relative)
            || self.staging.proposed().files.contains_key(relative);
        if is_changed || !pass.wants(relative) {
            return;
        }
        let Some(folder) = self.folder else {
            if readable(Met::anywhere(path))
                && let Some(text) = pass.counted(self.staging.read(relative))
            {
                pass.look(&mut self.searcher, relative, text.as_bytes());
            }
            return;
        };
        let joined;
        let place = if self.staging.root() == folder.place() {
            path
        } else {
            joined = folder.place().join(relative);
            &joined
        };
        let place = Some(place);
        if readable(Met { path, place })
            && let Ok(file) = folder.open(relative)
            && self.fill(pass, &file).is_some()
        {
            pass.look(&mut self.searcher, relative, &self.bytes);
        }
    }

    /// Reads a file whole; `None` for what the agent does not read.
    fn fill(&mut self, pass: &Pass, mut file: &File) -> Option<()> {
        let metadata = file.metadata().ok().filter(std::fs::Metadata::is_file)?;
        let bytes_max = self.staging.file_bytes_max();
        if metadata.len() > bytes_max {
            self.bytes.clear();
            let start = file.take(LOOKED_AT_BYTES).read_to_end(&mut self.bytes);
            // Nobody misses what is found in something else than text.
            let is_text = start.is_ok() && memchr::memchr(0, &self.bytes).is_none();
            pass.too_large
                .fetch_add(usize::from(is_text), Ordering::Relaxed);
            return None;
        }
        let length = usize::try_from(metadata.len()).ok()?;
        self.bytes.resize(length, 0);
        let mut filled = 0;
        // Whoever makes it shorter meanwhile ends it here; what comes to it is for another search.
        while let Some(rest) = self.bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match file.read(rest) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
        self.bytes.truncate(filled);
        Some(())
    }
}

impl<'path> Met<'path> {
    fn anywhere(path: &'path Path) -> Self {
        Self { path, place: None }
    }
}

struct Pass {
    matcher: RegexMatcher,
    files: Option<GlobMatcher>,
    context: usize,
    deadline: Instant,
    seen: AtomicUsize,
    cut: AtomicBool,
    too_large: AtomicUsize,
    hits: Mutex<Vec<Hit>>,
}

impl Pass {
    fn searcher(&self) -> Searcher {
        SearcherBuilder::new()
            .binary_detection(BinaryDetection::quit(0))
            .line_number(true)
            .before_context(self.context)
            .after_context(self.context)
            .build()
    }

    fn wants(&self, path: &Path) -> bool {
        self.files
            .as_ref()
            .is_none_or(|files| is_meant(files, path))
    }

    fn is_over(&self) -> bool {
        let over = Instant::now() > self.deadline
            || self.seen.load(Ordering::Relaxed) >= SEARCH_MATCHES_MAX;
        self.cut.fetch_or(over, Ordering::Relaxed);
        over
    }

    /// A text that could be read; one that is too large is counted.
    fn counted(&self, read: Result<Arc<str>, ReadError>) -> Option<Arc<str>> {
        let is_too_large = matches!(read, Err(ReadError::TooLarge { .. }));
        self.too_large
            .fetch_add(usize::from(is_too_large), Ordering::Relaxed);
        read.ok()
    }

    fn look(&self, searcher: &mut Searcher, path: &Path, text: &[u8]) {
        let mut hit = Hit {
            file: path.to_owned(),
            ..Hit::default()
        };
        // Searching bytes in memory has no way to fail but the sink's, which has none.
        let _ = searcher.search_slice(&self.matcher, text, &mut hit);
        if hit.count > 0 {
            self.seen.fetch_add(hit.count, Ordering::Relaxed);
            let mut hits = self.hits.lock().unwrap_or_else(PoisonError::into_inner);
            hits.push(hit);
        }
    }

    fn sorted(self) -> Found {
        let mut hits = self
            .hits
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        hits.sort_by(|left, right| left.file.cmp(&right.file));
        Found {
            hits,
            cut: self.cut.into_inner(),
            too_large: self.too_large.into_inner(),
        }
    }
}

impl Hit {
    fn keep(&mut self, number: Option<u64>, matches: bool, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        self.lines.push(Line {
            number: number.unwrap_or_default(),
            matches,
            text: text.trim_end().chars().take(LINE_CHARACTERS_MAX).collect(),
        });
    }
}

impl Sink for Hit {
    type Error = std::io::Error;

    fn matched(&mut self, _: &Searcher, found: &SinkMatch<'_>) -> Result<bool, Self::Error> {
        self.count += 1;
        if self.count <= FILE_MATCHES_MAX {
            self.keep(found.line_number(), true, found.bytes());
        }
        Ok(true)
    }

    fn context(&mut self, _: &Searcher, near: &SinkContext<'_>) -> Result<bool, Self::Error> {
        let is_before = *near.kind() == SinkContextKind::Before;
        if self.count + usize::from(is_before) <= FILE_MATCHES_MAX {
            self.keep(near.line_number(), false, near.bytes());
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn check(query: &Query) -> Vec<String> {
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
        let readable = |met: Met<'_>| met.path.extension().is_none_or(|it| it != "env");
        let found = search(&staging, query, readable).expect("a query");
        assert!(!found.cut);
        let shown = found.hits.iter().flat_map(|hit| {
            let line = |line: &Line| {
                let sign = if line.matches { ':' } else { '-' };
                format!("{}{sign}{} {}", hit.file.display(), line.number, line.text)
            };
            hit.lines.iter().map(line)
        });
        shown.collect()
    }

    fn query(pattern: &str, files: &str) -> Query {
        Query {
            pattern: pattern.to_owned(),
            files: files.to_owned(),
            time_max: Duration::from_secs(60),
            ..Query::default()
        }
    }

    #[test]
    fn lines_are_found_in_buffers_proposals_and_on_disk() {
        assert_eq!(
            check(&query("needle", "")),
            [
                "notes.txt:1 a needle in text",
                "src/a.rs:1 needle one",
                "src/a.rs:3 needle two",
                "src/new.rs:1 a new needle",
                "src/open.rs:1 needle in buffer",
            ]
        );
    }

    #[test]
    fn what_is_no_utf_8_is_searched_and_what_is_too_large_is_counted() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let large = "needle\n".repeat(1000);
        let large_and_no_text = format!("\0{large}");
        for (name, bytes) in [
            ("latin.txt", b"caf\xe9 needle\nother\n".as_slice()),
            ("large.txt", large.as_bytes()),
            ("large.bin", large_and_no_text.as_bytes()),
        ] {
            std::fs::write(folder.path().join(name), bytes).expect("written");
        }
        let root = folder.path().canonicalize().expect("it exists");
        let staging = Staging::new(root, BTreeMap::new(), 1000);
        let found = search(&staging, &query("needle", ""), |_| true).expect("a query");
        let [hit] = found.hits.as_slice() else {
            panic!("{found:?}");
        };
        assert_eq!(hit.file, Path::new("latin.txt"));
        assert_eq!(hit.lines[0].text, "caf\u{fffd} needle");
        assert_eq!(found.too_large, 1);
        let elsewhere = search(&staging, &query("needle", "*.rs"), |_| true);
        assert_eq!(elsewhere.expect("a query").too_large, 0);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_link_that_comes_after_the_verdict_leads_nowhere() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let base = folder.path().canonicalize().expect("it exists");
        let root = base.join("work");
        for name in ["work/src", "other"] {
            std::fs::create_dir_all(base.join(name)).expect("made");
            std::fs::write(base.join(name).join("a.txt"), "needle\n").expect("written");
        }
        let staging = Staging::new(root.clone(), BTreeMap::new(), 1000);
        let found = search(&staging, &query("needle", ""), |_| true).expect("a query");
        assert_eq!(found.hits.len(), 1);
        let swapped = |met: Met<'_>| {
            assert_eq!(met.place, Some(met.path));
            std::fs::rename(root.join("src"), root.join("was")).expect("renamed");
            std::os::unix::fs::symlink(base.join("other"), root.join("src")).expect("linked");
            true
        };
        let found = search(&staging, &query("needle", "src/"), swapped).expect("a query");
        assert_eq!(found.hits, []);
    }

    #[test]
    fn files_case_and_context_are_as_asked() {
        assert_eq!(check(&query("needle", "src/")).len(), 4);
        let in_text = ["notes.txt:1 a needle in text"];
        assert_eq!(check(&query("needle", "*.txt")), in_text);
        assert_eq!(check(&query("^needle (one|two)$", "**/*.rs")).len(), 2);
        let mut any_case = query("NEEDLE one", "");
        assert_eq!(check(&any_case).len(), 0);
        any_case.ignore_case = true;
        any_case.context = 1;
        let expected = ["src/a.rs:1 needle one", "src/a.rs-2 other"];
        assert_eq!(check(&any_case), expected);
    }
}
