//! Sets of file changes: what a run proposes, a shadow proves, an editor applies and an undo reverts
//! (spec: workspace edits).
//!
//! A change holds the whole text before and after. It can thus never be applied to text it was not computed for, and
//! hunks, diffs and merges are computed from it when somebody needs them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use similar::{ChangeTag, TextDiff};

/// The change of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEdit {
    /// Text before; `None` when the file is created.
    pub before: Option<Arc<str>>,
    /// Text after; `None` when the file is removed.
    pub after: Option<Arc<str>>,
}

/// Changes of several files, keyed by path relative to the workspace root.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EditSet {
    /// One entry for each file that changes.
    pub files: BTreeMap<PathBuf, FileEdit>,
    /// Whose permissions files get that are made; others have those that files usually get here.
    pub modes: BTreeMap<PathBuf, Mode>,
}

/// The permissions of a file that is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// Those of the file that it is made of, by its path relative to the workspace root.
    Of(PathBuf),
    /// The usual ones of a program.
    Program,
}

/// One replacement in a text, as byte offsets into the text before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replacement {
    /// First byte replaced.
    pub start: usize,
    /// One past the last byte replaced.
    pub end: usize,
    /// New text.
    pub text: String,
}

/// Why replacements could not be applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplaceError {
    /// Two replacements touch the same bytes.
    #[error("two edits overlap at byte {0}")]
    Overlap(usize),
    /// A replacement lies outside the text or cuts a character in two.
    #[error("an edit at bytes {0}..{1} does not fit the text")]
    OutOfText(usize, usize),
}

impl EditSet {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Adds the change of one file, or merges it with an earlier change of the same file: the first `before` and the
    /// last `after` stand. A file whose text ends up as it began is taken out.
    pub fn record(&mut self, path: PathBuf, before: Option<Arc<str>>, after: Option<Arc<str>>) {
        let entry = self.files.entry(path.clone()).or_insert(FileEdit {
            before,
            after: None,
        });
        entry.after = after;
        if entry.before == entry.after {
            self.files.remove(&path);
        }
        if self
            .files
            .get(&path)
            .is_none_or(|edit| edit.after.is_none())
        {
            self.modes.remove(&path);
        }
    }

    /// Applies everything in `later` on top of this set.
    pub fn extend(&mut self, later: EditSet) {
        let modes = later.modes.into_iter();
        let modes: Vec<(PathBuf, Mode)> = modes
            .map(|(path, mode)| (path, self.origin(mode)))
            .collect();
        for (path, edit) in later.files {
            self.record(path, edit.before, edit.after);
        }
        for (path, mode) in modes {
            self.give(path, mode);
        }
    }

    /// The permissions as a file has them that this set leaves alone: what is made of a file that was made has those
    /// of the first.
    pub fn origin(&self, mode: Mode) -> Mode {
        match mode {
            Mode::Of(path) => self.modes.get(&path).cloned().unwrap_or(Mode::Of(path)),
            Mode::Program => mode,
        }
    }

    /// Says which permissions a file gets that this set makes.
    pub fn give(&mut self, path: PathBuf, mode: Mode) {
        let is_made = self.files.get(&path);
        if is_made.is_some_and(|edit| edit.before.is_none() && edit.after.is_some()) {
            self.modes.insert(path, mode);
        }
    }

    /// The set that takes this one back.
    pub fn inverse(&self) -> EditSet {
        let files = self
            .files
            .iter()
            .map(|(path, edit)| {
                (
                    path.clone(),
                    FileEdit {
                        before: edit.after.clone(),
                        after: edit.before.clone(),
                    },
                )
            })
            .collect();
        EditSet {
            files,
            modes: BTreeMap::new(),
        }
    }

    /// A unified diff of all files with three lines of context, as `git diff` prints it.
    pub fn unified_diff(&self) -> String {
        self.files
            .iter()
            .map(|(path, edit)| edit.unified_diff(path))
            .collect()
    }

    /// Lines added and removed over all files.
    pub fn line_counts(&self) -> (usize, usize) {
        let mut counts = (0, 0);
        for edit in self.files.values() {
            for change in
                TextDiff::from_lines(edit.text_before(), edit.text_after()).iter_all_changes()
            {
                match change.tag() {
                    ChangeTag::Insert => counts.0 += 1,
                    ChangeTag::Delete => counts.1 += 1,
                    ChangeTag::Equal => {}
                }
            }
        }
        counts
    }
}

impl FileEdit {
    /// A unified diff of this file with three lines of context.
    pub fn unified_diff(&self, path: &Path) -> String {
        let shown = path.display();
        let name = |side: &str, exists: bool| {
            if exists {
                format!("{side}/{shown}")
            } else {
                "/dev/null".to_owned()
            }
        };
        TextDiff::from_lines(self.text_before(), self.text_after())
            .unified_diff()
            .context_radius(3)
            .header(
                &name("a", self.before.is_some()),
                &name("b", self.after.is_some()),
            )
            .to_string()
    }

    /// The replacements that turn the text before into the text after: smallest runs of lines, in order, none
    /// touching another. An editor that applies them keeps cursors, folds and marks.
    pub fn replacements(&self) -> Vec<Replacement> {
        let diff = TextDiff::from_lines(self.text_before(), self.text_after());
        let mut result: Vec<Replacement> = Vec::new();
        let mut offset = 0;
        let mut open = false;
        for change in diff.iter_all_changes() {
            let value = change.value();
            if change.tag() == ChangeTag::Equal {
                offset += value.len();
                open = false;
                continue;
            }
            if !open {
                result.push(Replacement {
                    start: offset,
                    end: offset,
                    text: String::new(),
                });
                open = true;
            }
            let last = result.last_mut().expect("a replacement was just opened");
            if change.tag() == ChangeTag::Delete {
                offset += value.len();
                last.end = offset;
            } else {
                last.text.push_str(value);
            }
        }
        result
    }

    fn text_before(&self) -> &str {
        self.before.as_deref().unwrap_or_default()
    }

    fn text_after(&self) -> &str {
        self.after.as_deref().unwrap_or_default()
    }
}

/// Applies replacements, in any order, to `text`. Replacements that overlap are an error; two insertions at one
/// place are applied in the order given; the same replacement given twice counts once.
pub fn replace(text: &str, replacements: &[Replacement]) -> Result<String, ReplaceError> {
    let mut sorted: Vec<&Replacement> = Vec::with_capacity(replacements.len());
    for replacement in replacements {
        if replacement.start != replacement.end && sorted.contains(&replacement) {
            continue;
        }
        sorted.push(replacement);
    }
    sorted.sort_by_key(|replacement| (replacement.start, replacement.end));
    let mut result = String::with_capacity(text.len());
    let mut at = 0;
    for replacement in sorted {
        if replacement.start < at {
            return Err(ReplaceError::Overlap(replacement.start));
        }
        let fits = replacement.start <= replacement.end
            && text.is_char_boundary(replacement.start)
            && text.is_char_boundary(replacement.end);
        let Some(kept) = text.get(at..replacement.start).filter(|_| fits) else {
            return Err(ReplaceError::OutOfText(replacement.start, replacement.end));
        };
        result.push_str(kept);
        result.push_str(&replacement.text);
        at = replacement.end;
    }
    result.push_str(text.get(at..).unwrap_or_default());
    Ok(result)
}

/// `after` with the line endings of `before`, where that has the same ending on every line: compilers and models add
/// lines that end as theirs do.
pub fn with_line_endings_of<'after>(before: &str, after: &'after str) -> Cow<'after, str> {
    let (all, carriage) = (before.matches('\n').count(), before.matches("\r\n").count());
    let added = after.matches('\n').count() - after.matches("\r\n").count();
    if all == 0 || all != carriage || added == 0 {
        return Cow::Borrowed(after);
    }
    Cow::Owned(after.replace("\r\n", "\n").replace('\n', "\r\n"))
}

/// The result of merging two changes of one text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Merge {
    /// Both changes fit into one text.
    Clean(String),
    /// They touch the same lines.
    Conflict,
}

/// Three-way merge of lines: what `ours` and `theirs` each changed of `base`, together.
pub fn merge(base: &str, ours: &str, theirs: &str) -> Merge {
    if base == ours || ours == theirs {
        return Merge::Clean(theirs.to_owned());
    }
    if base == theirs {
        return Merge::Clean(ours.to_owned());
    }
    match diffy::merge(base, ours, theirs) {
        Ok(text) => Merge::Clean(text),
        Err(_) => Merge::Conflict,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit(before: &str, after: &str) -> FileEdit {
        FileEdit {
            before: Some(before.into()),
            after: Some(after.into()),
        }
    }

    #[test]
    fn replacements_of_an_edit_reproduce_the_text_after() {
        for (before, after) in [
            ("", "new\n"),
            ("a\nb\nc\n", "a\nB\nc\n"),
            ("a\nb\nc", "a\nc"),
            ("a\r\nb\r\n", "a\r\nx\r\nb\r\n"),
            ("é\n😀\n", "é\n😀!\n"),
            ("gone\n", ""),
        ] {
            let edit = edit(before, after);
            assert_eq!(replace(before, &edit.replacements()).as_deref(), Ok(after));
        }
    }

    #[test]
    fn overlapping_and_misplaced_replacements_are_refused() {
        let at = |start, end| Replacement {
            start,
            end,
            text: "x".to_owned(),
        };
        assert_eq!(
            replace("abcdef", &[at(0, 3), at(2, 4)]),
            Err(ReplaceError::Overlap(2))
        );
        assert_eq!(
            replace("é", &[at(1, 2)]),
            Err(ReplaceError::OutOfText(1, 2))
        );
        assert_eq!(
            replace("abc", &[at(2, 9)]),
            Err(ReplaceError::OutOfText(2, 9))
        );
        assert_eq!(replace("abc", &[at(1, 2), at(1, 2)]).as_deref(), Ok("axc"));
    }

    #[test]
    fn an_edit_that_is_taken_back_leaves_the_set() {
        let mut set = EditSet::default();
        set.record("a".into(), Some("1".into()), Some("2".into()));
        set.record("a".into(), Some("2".into()), Some("3".into()));
        assert_eq!(set.files[Path::new("a")], edit("1", "3"));
        set.record("a".into(), Some("3".into()), Some("1".into()));
        assert!(set.is_empty());
    }

    #[test]
    fn a_file_that_is_made_of_another_keeps_whose_permissions_it_has() {
        let mut set = EditSet::default();
        set.record("a".into(), Some("1".into()), None);
        set.record("b".into(), None, Some("1".into()));
        set.give("b".into(), Mode::Of("a".into()));
        let mut later = EditSet::default();
        later.record("b".into(), Some("1".into()), None);
        later.record("c".into(), None, Some("1".into()));
        later.give("c".into(), Mode::Of("b".into()));
        // A file that is there keeps its own.
        later.record("d".into(), Some("1".into()), Some("2".into()));
        later.give("d".into(), Mode::Program);
        set.extend(later);
        let expected = [(PathBuf::from("c"), Mode::Of("a".into()))];
        assert_eq!(set.modes, expected.into());
    }

    #[test]
    fn added_lines_end_as_the_others_do() {
        for (before, after, expected) in [
            ("a\r\nb\r\n", "x\na\r\nb\r\n", "x\r\na\r\nb\r\n"),
            ("a\nb\n", "x\na\nb\n", "x\na\nb\n"),
            ("a\r\nb\n", "x\na\r\nb\n", "x\na\r\nb\n"),
            ("a", "a\nb", "a\nb"),
        ] {
            assert_eq!(with_line_endings_of(before, after), expected);
        }
    }

    #[test]
    fn merges_keep_both_sides_or_say_conflict() {
        let base = "a\nb\nc\nd\ne\n";
        assert_eq!(
            merge(base, "A\nb\nc\nd\ne\n", "a\nb\nc\nd\nE\n"),
            Merge::Clean("A\nb\nc\nd\nE\n".to_owned())
        );
        assert_eq!(
            merge(base, "a\nb\nX\nd\ne\n", "a\nb\nY\nd\ne\n"),
            Merge::Conflict
        );
    }
}
