//! Finds pieces of the workspace that a task may need (spec: Context Gatherer, code context).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Piece;
use crate::safety::Policy;
use crate::syntax::{self, Symbol, SymbolKind};
use crate::text::problem::Problem;
use crate::text::search::{Found, Query, search};
use crate::text::staging::Staging;
use crate::text::walk::{Dotted, walk};

/// Lines around a place where no definition is around it.
const LINES_AROUND: usize = 12;

/// Lines before and after a place that stay as they are when what is around it is shortened.
const LINES_KEPT: usize = 4;

/// Lines of one definition that are shown.
const DEFINITION_LINES_MAX: usize = 120;

/// Problems whose surroundings are shown.
const PROBLEMS_MAX: usize = 12;

/// Uses of one name that are listed.
const USES_MAX: usize = 12;

/// Lines that one search for a name may find.
const MATCHES_MAX: usize = 200;

/// Time that one search for a name may take.
const SEARCH_TIME: Duration = Duration::from_secs(3);

/// Paths that are listed as the structure of the project.
const PATHS_MAX: usize = 80;

/// Weights of the sources, from what is surely meant to what may help.
const WEIGHT_FOCUS: u32 = 100;
const WEIGHT_PROBLEM: u32 = 90;
const WEIGHT_NAMED_FILE: u32 = 80;
const WEIGHT_DEFINITION: u32 = 70;
const WEIGHT_USES: u32 = 40;
const WEIGHT_OUTLINE: u32 = 30;
const WEIGHT_STRUCTURE: u32 = 20;

/// What a task says about what it needs.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'task> {
    /// Where the user is: a file and a range of bytes.
    pub focus: Option<(&'task Path, (usize, usize))>,
    /// Problems that the task is about.
    pub problems: &'task [Problem],
    /// Files that it names.
    pub files: &'task [PathBuf],
    /// Names that it mentions.
    pub symbols: &'task [String],
}

/// Finds the pieces, unordered.
pub fn gather(staging: &Staging, policy: &Policy, wanted: &Wanted<'_>) -> Vec<Piece> {
    let mut sources = Sources {
        staging,
        policy,
        texts: BTreeMap::new(),
    };
    let mut pieces = Vec::new();
    if let Some((file, (start, _))) = wanted.focus {
        pieces.extend(sources.around(file, start, "the cursor is here", WEIGHT_FOCUS));
        pieces.extend(sources.outline(file));
    }
    for problem in wanted.problems.iter().take(PROBLEMS_MAX) {
        let reason = format!("{} is here", problem.label());
        let place = &problem.place;
        pieces.extend(sources.around(&place.file, place.start, &reason, WEIGHT_PROBLEM));
    }
    for file in wanted.files {
        pieces.extend(sources.beginning(file));
        pieces.extend(sources.outline(file));
    }
    for symbol in wanted.symbols {
        pieces.extend(sources.named(symbol));
    }
    pieces.extend(structure(staging, policy));
    pieces
}

struct Sources<'run> {
    staging: &'run Staging,
    policy: &'run Policy,
    /// Files read so far; `None` for those that cannot be read.
    texts: BTreeMap<PathBuf, Option<(String, Vec<Symbol>)>>,
}

impl Sources<'_> {
    fn file(&mut self, file: &Path) -> Option<&(String, Vec<Symbol>)> {
        let (staging, policy) = (self.staging, self.policy);
        let entry = self.texts.entry(file.to_owned()).or_insert_with(|| {
            let relative = staging.relative(file)?;
            if !policy.is_readable(&staging.root().join(&relative)) {
                return None;
            }
            let text = staging.read(&relative).ok()?.to_string();
            let symbols = syntax::symbols(&relative, &text);
            Some((text, symbols))
        });
        entry.as_ref()
    }

    /// The definition around a place, or the lines around it.
    fn around(&mut self, file: &Path, offset: usize, reason: &str, weight: u32) -> Option<Piece> {
        let (text, symbols) = self.file(file)?;
        let line = line_of(text, offset);
        let functions = symbols.iter().filter(|symbol| shows_whole(symbol.kind));
        let innermost = functions
            .filter(|symbol| symbol.range.start <= offset && offset <= symbol.range.end)
            .min_by_key(|symbol| symbol.range.len());
        let around = line.saturating_sub(LINES_AROUND)..line + LINES_AROUND + 1;
        let lines = innermost.map_or(around.clone(), |symbol| {
            let lines = line_of(text, symbol.range.start)..line_of(text, symbol.range.end) + 1;
            if lines.len() > DEFINITION_LINES_MAX {
                around
            } else {
                lines
            }
        });
        let first = lines.start;
        let mut piece = piece(file, text, lines, reason.to_owned(), weight);
        let near = line.saturating_sub(LINES_KEPT)..line + LINES_KEPT + 1;
        piece.kept.extend(bytes_of(&piece.text, first, &near));
        Some(piece)
    }

    fn beginning(&mut self, file: &Path) -> Option<Piece> {
        let (text, _) = self.file(file)?;
        let reason = "the task names this file".to_owned();
        Some(piece(
            file,
            text,
            0..DEFINITION_LINES_MAX,
            reason,
            WEIGHT_NAMED_FILE,
        ))
    }

    fn outline(&mut self, file: &Path) -> Option<Piece> {
        let (text, symbols) = self.file(file)?;
        let mut outline = String::new();
        for symbol in symbols {
            let indent = "  ".repeat(symbol.parents.len());
            let line = line_of(text, symbol.name_range.start) + 1;
            // Writing to a string cannot fail.
            let _ = writeln!(outline, "{line}: {indent}{:?} {}", symbol.kind, symbol.name);
        }
        (!outline.is_empty()).then(|| Piece {
            label: format!("definitions in {}", file.display()),
            text: outline,
            reason: "what else is in the file".to_owned(),
            weight: WEIGHT_OUTLINE,
            place: None,
            kept: Vec::new(),
        })
    }

    /// Definitions of a name, and the lines that use it.
    fn named(&mut self, name: &str) -> Vec<Piece> {
        let found = find(self.staging, self.policy, name);
        let mut pieces = Vec::new();
        let mut uses = String::new();
        let mut uses_count = 0;
        for (file, matched) in found.matches().take(MATCHES_MAX) {
            let line = usize::try_from(matched.number)
                .unwrap_or(1)
                .saturating_sub(1);
            let defined = self.file(file).and_then(|(text, symbols)| {
                let symbol = symbols.iter().find(|symbol| {
                    symbol.name == name && line_of(text, symbol.name_range.start) == line
                })?;
                let first = line_of(text, symbol.range.start);
                let last = line_of(text, symbol.range.end).min(first + DEFINITION_LINES_MAX);
                let reason = format!("defines {name}, which the task mentions");
                Some(piece(
                    file,
                    text,
                    first..last + 1,
                    reason,
                    WEIGHT_DEFINITION,
                ))
            });
            if let Some(defined) = defined {
                pieces.push(defined);
            } else if uses_count < USES_MAX {
                uses_count += 1;
                // Writing to a string cannot fail.
                let _ = writeln!(
                    uses,
                    "{}:{}: {}",
                    file.display(),
                    matched.number,
                    matched.text.trim()
                );
            }
        }
        if !uses.is_empty() {
            pieces.push(Piece {
                label: format!("uses of {name}"),
                text: uses,
                reason: format!("the task mentions {name}"),
                weight: WEIGHT_USES,
                place: None,
                kept: Vec::new(),
            });
        }
        pieces
    }
}

fn find(staging: &Staging, policy: &Policy, name: &str) -> Found {
    let is_word = name
        .chars()
        .all(|character| character.is_alphanumeric() || character == '_');
    if !is_word || name.is_empty() {
        return Found::default();
    }
    let query = Query {
        pattern: format!(r"\b{name}\b"),
        time_max: SEARCH_TIME,
        ..Query::default()
    };
    search(staging, &query, |met| policy.is_searched(met)).unwrap_or_default()
}

fn structure(staging: &Staging, policy: &Policy) -> Option<Piece> {
    let root = staging.root();
    let walk = walk(root, root, Dotted::LeftOut, |_| true)
        .max_depth(Some(4))
        .sort_by_file_path(Path::cmp)
        .build();
    let mut paths = String::new();
    let files = walk
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_some_and(|kind| kind.is_file()))
        .filter(|entry| policy.is_readable(entry.path()))
        .take(PATHS_MAX);
    for entry in files {
        let relative = entry
            .path()
            .strip_prefix(staging.root())
            .unwrap_or(entry.path());
        // Writing to a string cannot fail.
        let _ = writeln!(paths, "{}", relative.display());
    }
    (!paths.is_empty()).then(|| Piece {
        label: "files of the workspace".to_owned(),
        text: paths,
        reason: "the structure of the project".to_owned(),
        weight: WEIGHT_STRUCTURE,
        place: None,
        kept: Vec::new(),
    })
}

/// Definitions that are read whole; of the others only the part around a place is.
fn shows_whole(kind: SymbolKind) -> bool {
    !matches!(kind, SymbolKind::Module)
}

fn piece(file: &Path, text: &str, lines: Range<usize>, reason: String, weight: u32) -> Piece {
    let all: Vec<&str> = text.split_inclusive('\n').collect();
    let end = lines.end.min(all.len());
    let start = lines.start.min(end);
    Piece {
        label: format!(
            "{} lines {}-{end} of {}",
            file.display(),
            start + 1,
            all.len()
        ),
        text: all.get(start..end).unwrap_or_default().concat(),
        reason,
        weight,
        place: Some((file.to_owned(), start..end)),
        kept: Vec::new(),
    }
}

/// The bytes of some lines of a file in a text that begins with the line `first`.
fn bytes_of(text: &str, first: usize, lines: &Range<usize>) -> Option<Range<usize>> {
    let mut at = 0;
    let mut found: Option<Range<usize>> = None;
    for (number, line) in (first..).zip(text.split_inclusive('\n')) {
        let end = at + line.len();
        if lines.contains(&number) {
            found = Some(found.map_or(at, |range| range.start)..end);
        }
        at = end;
    }
    found
}

fn line_of(text: &str, offset: usize) -> usize {
    let before = text.char_indices().take_while(|(at, _)| *at < offset);
    before.filter(|(_, character)| *character == '\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::config::host::Host;

    #[test]
    fn pieces_come_from_the_cursor_names_and_files_and_never_from_secrets() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let base = folder.path().canonicalize().expect("it exists");
        let root = base.join("work");
        for (path, text) in [
            (
                "src/a.rs",
                "use b::total;\n\nfn one() {\n    total();\n}\n\nfn two() {}\n",
            ),
            ("src/b.rs", "/// Adds.\npub fn total() -> i32 {\n    1\n}\n"),
            (".env", "total=secret\n"),
            ("server.pem", "total\n"),
        ] {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            std::fs::write(path, text).expect("written");
        }
        let home = BTreeMap::from([("HOME".to_owned(), base.display().to_string())]);
        let host = Host::from_environment(base.join("meliora"), home);
        let policy = Policy::new(&host, &Config::default(), &root);
        let staging = Staging::new(root, BTreeMap::new(), 1_000_000);
        let files = [PathBuf::from(".env"), PathBuf::from("../x")];
        let symbols = ["total".to_owned(), "a(b".to_owned()];
        let wanted = Wanted {
            focus: Some((Path::new("src/a.rs"), (30, 30))),
            problems: &[],
            files: &files,
            symbols: &symbols,
        };
        let pieces = gather(&staging, &policy, &wanted);
        let labels: Vec<&str> = pieces.iter().map(|piece| piece.label.as_str()).collect();
        assert_eq!(
            labels,
            [
                "src/a.rs lines 3-5 of 7",
                "definitions in src/a.rs",
                "src/b.rs lines 2-4 of 4",
                "uses of total",
                "files of the workspace",
            ]
        );
        for piece in &pieces {
            assert!(
                !piece.text.contains("secret") && !piece.text.contains(".pem"),
                "{piece:?}"
            );
            assert!(!piece.reason.is_empty());
        }
    }
}
