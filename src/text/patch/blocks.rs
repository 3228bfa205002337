//! Blocks of search and replacement, and whole files between fences (spec: `apply_patch`).

use super::{FileChange, FilePatch, Hunk, PatchError};

/// Signs that a mark has at least.
const MARK_SIGNS_MIN: usize = 5;

/// Whether a line begins a block.
pub(super) fn is_start(row: &str) -> bool {
    is_mark(row, '<') && row.trim_end().ends_with(|sign: char| sign.is_alphabetic())
}

fn is_mark(row: &str, sign: char) -> bool {
    let signs = row.chars().take_while(|one| *one == sign).count();
    let rest = row.get(signs..).unwrap_or_default();
    signs >= MARK_SIGNS_MIN && (rest.trim().is_empty() || rest.starts_with(' '))
}

pub(super) fn parse(rows: &[&str]) -> Result<Vec<FilePatch>, PatchError> {
    let mut files: Vec<FilePatch> = Vec::new();
    let mut path: Option<String> = None;
    let mut index = 0;
    while let Some(row) = rows.get(index) {
        if !is_start(row) {
            let named = name(row);
            path = named.or(path);
            index += 1;
            continue;
        }
        let wrong = |line: usize, reason| PatchError::Line {
            line: line + 1,
            reason,
        };
        let own = path.clone().ok_or(wrong(
            index,
            "begins a block of no file: write its path on a line before",
        ))?;
        let rest = rows.get(index + 1..).unwrap_or_default();
        let length = rest.iter().position(|row| is_mark(row, '>'));
        let length = length.ok_or(wrong(index, "begins a block that does not end"))?;
        let block = rest.get(..length).unwrap_or_default();
        let is_middle = |row: &&str| is_mark(row, '=') && row.trim().chars().all(|one| one == '=');
        let mut middles = block.iter().enumerate().filter(|(_, row)| is_middle(row));
        let (Some((middle, _)), None) = (middles.next(), middles.next()) else {
            let reason = "begins a block that has not exactly one line `=======`";
            return Err(wrong(index, reason));
        };
        let hunk = Hunk {
            before: joined(block.get(..middle).unwrap_or_default()),
            after: joined(block.get(middle + 1..).unwrap_or_default()),
            ..Hunk::default()
        };
        add(&mut files, own, hunk);
        index += length + 2;
    }
    Ok(files)
}

fn add(files: &mut Vec<FilePatch>, path: String, hunk: Hunk) {
    if hunk.before.trim().is_empty() {
        let change = FileChange::Create(hunk.after);
        files.push(FilePatch { path, change });
        return;
    }
    if let Some(last) = files.last_mut()
        && last.path == path
        && let FileChange::Update { hunks, .. } = &mut last.change
    {
        hunks.push(hunk);
        return;
    }
    let change = FileChange::Update {
        to: None,
        hunks: vec![hunk],
    };
    files.push(FilePatch { path, change });
}

/// The path that a line names, without what models put around it.
fn name(row: &str) -> Option<String> {
    let bare = row.trim().trim_start_matches(['#', '*', '`', '/', ' ']);
    let bare = bare.trim_end_matches(['`', ':', '*', ' ']);
    let is_path = !row.trim_start().starts_with("```")
        && !bare.is_empty()
        && !bare.contains(char::is_whitespace)
        && bare.contains(['.', '/']);
    is_path.then(|| bare.to_owned())
}

/// A path, and all of a new file between two fences.
pub(super) fn whole_file(rows: &[&str]) -> Result<Vec<FilePatch>, PatchError> {
    let is_fence = |row: &&str| row.starts_with("```");
    let open = rows.iter().position(is_fence).ok_or(PatchError::Form)?;
    let close = rows.iter().rposition(is_fence).ok_or(PatchError::Form)?;
    let before = rows.get(..open).unwrap_or_default().iter().rev();
    let path = before
        .filter(|row| !row.trim().is_empty())
        .find_map(|row| name(row));
    let after = rows.get(close + 1..).unwrap_or_default();
    let alone = after.iter().all(|row| row.trim().is_empty());
    let (Some(path), true, true) = (path, close > open, alone) else {
        return Err(PatchError::Form);
    };
    let text = rows.get(open + 1..close).unwrap_or_default();
    let text = joined(text);
    let change = FileChange::Create(text);
    Ok(vec![FilePatch { path, change }])
}

/// Lines with their ends.
fn joined(rows: &[&str]) -> String {
    let mut text = rows.join("\n");
    if !rows.is_empty() {
        text.push('\n');
    }
    text
}
