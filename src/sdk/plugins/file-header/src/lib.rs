//! A plugin that writes: puts a header on top of source files (spec: Plugin SDK, examples).
//!
//! It works on a copy of the workspace. What it writes there is proposed like any edit, and judged, proven and undone
//! like one.

use std::path::{Path, PathBuf};

use meliora_sdk::{Answer, Error, Host, export, tool};
use serde::Deserialize;

/// What to put where.
#[derive(Debug, Deserialize)]
struct Arguments {
    header: String,
    ending: String,
    #[serde(default)]
    folder: Option<PathBuf>,
}

/// The sign that begins a comment, by the ending of a file's name.
const SIGNS: [(&str, &str); 12] = [
    ("c", "//"),
    ("cpp", "//"),
    ("go", "//"),
    ("h", "//"),
    ("java", "//"),
    ("js", "//"),
    ("py", "#"),
    ("rb", "#"),
    ("rs", "//"),
    ("sh", "#"),
    ("toml", "#"),
    ("ts", "//"),
];

fn add(arguments: Arguments, _host: &mut dyn Host) -> Result<Answer, Error> {
    let ending = arguments.ending.trim_start_matches('.');
    let sign = SIGNS.iter().find(|(known, _)| *known == ending);
    let (_, sign) =
        sign.ok_or_else(|| Error::new(format!("no comments are known for `.{ending}`")))?;
    let lines = arguments.header.lines();
    let header: String = lines
        .map(|line| format!("{sign} {line}").trim_end().to_owned() + "\n")
        .collect();
    let folder = arguments.folder.unwrap_or_else(|| PathBuf::from("."));
    let mut files = Vec::new();
    find(&folder, ending, &mut files)?;
    let mut changed = 0;
    for file in &files {
        // What is not text has no header.
        let Ok(text) = std::fs::read_to_string(file) else {
            continue;
        };
        if let Some(with) = with_header(&text, &header) {
            std::fs::write(file, with)?;
            changed += 1;
        }
    }
    Ok(Answer::default()
        .with("files", files.len())
        .with("changed", changed))
}

/// The text with the header, below a line that names its interpreter; none when it is there.
fn with_header(text: &str, header: &str) -> Option<String> {
    let first = text.find('\n').map_or(text.len(), |end| end + 1);
    let begin = if text.starts_with("#!") { first } else { 0 };
    let (before, after) = text.split_at(begin);
    (!after.starts_with(header)).then(|| format!("{before}{header}{after}"))
}

/// The files of that ending, sorted, without hidden folders.
fn find(folder: &Path, ending: &str, files: &mut Vec<PathBuf>) -> Result<(), Error> {
    let entries = std::fs::read_dir(folder);
    let entries = entries.map_err(|error| Error::new(format!("{}: {error}", folder.display())))?;
    let mut entries: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    entries.sort();
    for path in entries {
        let is_hidden = path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with('.'));
        let Ok(kind) = path.symlink_metadata() else {
            continue;
        };
        if kind.is_dir() && !is_hidden {
            find(&path, ending, files)?;
        } else if kind.is_file() && path.extension().is_some_and(|own| own == ending) {
            files.push(path);
        }
    }
    Ok(())
}

export!(tool!("add", add));

#[cfg(test)]
mod tests {
    use meliora_sdk::testing::{Folder, TestHost, call};
    use serde_json::json;

    use super::TOOLS;

    #[test]
    fn a_header_is_added_once_and_below_the_interpreter() {
        let folder = Folder::new("header").expect("made");
        let script = folder.path().join("a.sh");
        std::fs::write(&script, "#!/bin/sh\necho\n").expect("written");
        let arguments = json!({ "header": "Ours", "ending": "sh", "folder": folder.path() });
        let changed = || {
            let answer = call(TOOLS, "add", arguments.clone(), &mut TestHost::default());
            answer.expect("an answer").data["changed"].clone()
        };
        assert_eq!((changed(), changed()), (json!(1), json!(0)));
        let text = std::fs::read_to_string(script).expect("readable");
        assert_eq!(text, "#!/bin/sh\n# Ours\necho\n");
    }
}
