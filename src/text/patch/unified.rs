//! Unified diffs, as `git diff` prints them and as models write them (spec: `apply_patch`).

use super::{FileChange, FilePatch, Hunk, PatchError};

/// What the lines before the hunks of a file say.
#[derive(Default)]
struct Head {
    old: Option<String>,
    new: Option<String>,
    moves: bool,
    deletes: bool,
    is_program: bool,
    hunks: Vec<Hunk>,
    open_end: bool,
}

pub(super) fn parse(rows: &[&str]) -> Result<Vec<FilePatch>, PatchError> {
    let mut files = Vec::new();
    let mut head = Head::default();
    let mut index = 0;
    while let Some(row) = rows.get(index) {
        if row.starts_with("diff --git ") {
            files.extend(std::mem::take(&mut head).file());
        } else if let Some(path) = row.strip_prefix("--- ") {
            // With `diff --git` before it, this is the same file.
            if head.new.is_some() && !head.moves || !head.hunks.is_empty() {
                files.extend(std::mem::take(&mut head).file());
            }
            head.old = Some(name(path, "a/"));
        } else if let Some(path) = row.strip_prefix("+++ ") {
            head.new = Some(name(path, "b/"));
        } else if let Some(path) = row.strip_prefix("rename from ") {
            head.old = Some(path.to_owned());
        } else if let Some(path) = row.strip_prefix("rename to ") {
            head.new = Some(path.to_owned());
            head.moves = true;
        } else if let Some(mode) = row.strip_prefix("new file mode ") {
            head.is_program = mode.trim() == "100755";
        } else if row.starts_with("deleted file") {
            head.deletes = true;
        } else if row.starts_with("@@") {
            index = hunk(rows, index, &mut head)?;
            continue;
        } else if row.starts_with("GIT binary patch") || row.starts_with("Binary files ") {
            return Err(PatchError::Line {
                line: index + 1,
                reason: "is about a binary file, which tools do not change",
            });
        }
        index += 1;
    }
    files.extend(head.file());
    Ok(files)
}

/// Reads the hunk that begins at `start` and says where the next line is.
fn hunk(rows: &[&str], start: usize, head: &mut Head) -> Result<usize, PatchError> {
    let title = rows.get(start).copied().unwrap_or_default();
    let heading = title.split("@@").nth(2).unwrap_or_default().trim();
    let mut hunk = Hunk::default();
    if !heading.is_empty() {
        hunk.anchors.push(heading.to_owned());
    }
    let mut index = start + 1;
    while let Some(row) = rows.get(index) {
        let starts = |at: usize, with: &str| rows.get(at).is_some_and(|row| row.starts_with(with));
        // A line that goes may begin with two minuses of its own.
        let begins_file = |at: usize| {
            starts(at, "diff --git ")
                || starts(at, "--- ")
                    && starts(at + 1, "+++ ")
                    && (starts(at + 2, "@@") || rows.get(at + 2).is_none())
        };
        let is_over = row.starts_with("@@") || begins_file(index);
        // A blank line at the end of a patch or before the next file is none of the hunk.
        let rest = rows.get(index..).unwrap_or_default();
        let next = index + rest.iter().take_while(|row| row.is_empty()).count();
        let closes = row.is_empty() && (rows.get(next).is_none() || begins_file(next));
        if is_over || closes {
            break;
        }
        if row.starts_with("\\ ") {
            head.open_end = true;
        } else if !hunk.add(row) {
            return Err(PatchError::Line {
                line: index + 1,
                reason: "begins with neither a space nor a sign",
            });
        }
        index += 1;
    }
    if !hunk.is_empty() {
        head.hunks.push(hunk);
    }
    Ok(index)
}

/// The path of a line such as `--- a/src/x.rs<tab>date`.
fn name(path: &str, side: &str) -> String {
    let path = path.split('\t').next().unwrap_or_default().trim();
    let path = path.trim_matches('"');
    path.strip_prefix(side).unwrap_or(path).to_owned()
}

impl Head {
    fn file(self) -> Option<FilePatch> {
        let none = |path: &Option<String>| path.as_deref() == Some("/dev/null");
        let (makes, removes) = (none(&self.old), none(&self.new) || self.deletes);
        let old = self.old.filter(|path| path != "/dev/null");
        let new = self.new.filter(|path| path != "/dev/null");
        if makes {
            let mut text: String = self.hunks.into_iter().map(|hunk| hunk.after).collect();
            if self.open_end {
                text.truncate(text.trim_end_matches('\n').len());
            }
            let change = if self.is_program {
                FileChange::CreateProgram(text)
            } else {
                FileChange::Create(text)
            };
            return Some(FilePatch { path: new?, change });
        }
        let path = old.clone().or_else(|| new.clone())?;
        if removes {
            // The lines that go say which text was meant.
            let text: String = self.hunks.into_iter().map(|hunk| hunk.before).collect();
            let text = Some(text).filter(|text| !text.is_empty());
            let change = FileChange::Delete { text };
            return Some(FilePatch { path, change });
        }
        let to = new.filter(|new| self.moves && Some(new) != old.as_ref());
        let hunks = self.hunks;
        let change = FileChange::Update { to, hunks };
        Some(FilePatch { path, change })
    }
}
