//! The `*** Begin Patch` form (spec: `apply_patch`).

use super::{FileChange, FilePatch, Hunk, PatchError};

pub(super) fn parse(rows: &[&str]) -> Result<Vec<FilePatch>, PatchError> {
    let mut files: Vec<FilePatch> = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        let wrong = |reason| PatchError::Line {
            line: index + 1,
            reason,
        };
        if let Some(order) = row.strip_prefix("*** ") {
            if order.starts_with("End Patch") {
                break;
            }
            let begins = order.starts_with("Begin Patch");
            if !begins && !obey(order, &mut files) {
                return Err(wrong("is no order that is known"));
            }
            continue;
        }
        let Some(file) = files.last_mut() else {
            // What stands before the first order is talk.
            continue;
        };
        match &mut file.change {
            FileChange::Create(text) | FileChange::CreateProgram(text) => {
                match row.strip_prefix('+') {
                    Some(rest) => {
                        text.push_str(rest);
                        text.push('\n');
                    }
                    None if row.trim().is_empty() => {}
                    None => return Err(wrong("of a new file does not begin with a plus")),
                }
            }
            FileChange::Delete { .. } if row.trim().is_empty() => {}
            FileChange::Delete { .. } => return Err(wrong("follows a file that is deleted")),
            FileChange::Update { hunks, .. } => {
                if let Some(anchor) = row.strip_prefix("@@") {
                    anchored(hunks, anchor);
                } else if row.starts_with("\\ ") || row.is_empty() && hunks.is_empty() {
                } else {
                    if hunks.is_empty() {
                        hunks.push(Hunk::default());
                    }
                    let added = hunks.last_mut().is_some_and(|hunk| hunk.add(row));
                    if !added {
                        return Err(wrong("begins with neither a space nor a sign"));
                    }
                }
            }
        }
    }
    for file in &mut files {
        if let FileChange::Update { hunks, .. } = &mut file.change {
            hunks.retain(|hunk| !hunk.is_empty());
        }
    }
    Ok(files)
}

fn obey(order: &str, files: &mut Vec<FilePatch>) -> bool {
    let changes = [
        ("Add File:", FileChange::Create(String::new())),
        ("Delete File:", FileChange::Delete { text: None }),
        (
            "Update File:",
            FileChange::Update {
                to: None,
                hunks: Vec::new(),
            },
        ),
    ];
    for (name, change) in changes {
        if let Some(path) = order.strip_prefix(name) {
            let path = path.trim().to_owned();
            files.push(FilePatch { path, change });
            return true;
        }
    }
    let Some(FileChange::Update { to, hunks }) = files.last_mut().map(|file| &mut file.change)
    else {
        return false;
    };
    if let Some(path) = order.strip_prefix("Move to:") {
        *to = Some(path.trim().to_owned());
        return true;
    }
    if order.starts_with("End of File") {
        if let Some(hunk) = hunks.last_mut() {
            hunk.at_end = true;
        }
        return true;
    }
    false
}

/// Begins a hunk, or adds an anchor to one that has no lines yet.
fn anchored(hunks: &mut Vec<Hunk>, anchor: &str) {
    let anchor = anchor.trim();
    // Models mix the forms: the line numbers of a unified diff are no anchor.
    let (anchor, bind) = match anchor.strip_prefix('-') {
        Some(numbers) => (numbers.split_once("@@").map_or("", |(_, rest)| rest), false),
        None => (anchor.trim_end_matches("@@"), true),
    };
    if hunks.last().is_none_or(|hunk| !hunk.is_empty()) {
        hunks.push(Hunk::default());
    }
    let anchor = anchor.trim();
    if let Some(hunk) = hunks.last_mut().filter(|_| !anchor.is_empty()) {
        hunk.anchors.push(anchor.to_owned());
        hunk.anchors_bind = bind;
    }
}
