//! Workspace edits of the protocol as sets of whole-text changes (spec: workspace edits).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use super::Error;
use super::findings::span_of;
use crate::text::edit::{EditSet, Replacement, replace};
use crate::text::json::{self, at};
use crate::text::location;
use crate::text::position::{Encoding, Lines};

/// The protocol's number for text with snippet placeholders.
const SNIPPET: u64 = 2;

/// Gives the text of a file as the server that made the edit sees it.
pub type TextOf<'source> = &'source dyn Fn(&Path) -> Result<Arc<str>, Error>;

/// Reads a workspace edit: `changes`, or `documentChanges` with files created, renamed and deleted. Paths in the result
/// are relative to `root`.
pub fn read(
    edit: &Value,
    root: &Path,
    encoding: Encoding,
    text_of: TextOf<'_>,
) -> Result<EditSet, Error> {
    let mut reader = Reader {
        root,
        encoding,
        text_of,
        texts: BTreeMap::new(),
        set: EditSet::default(),
    };
    if let Some(changes) = at(edit, "/documentChanges").as_array() {
        for change in changes {
            reader.document_change(change)?;
        }
    } else if let Some(changes) = at(edit, "/changes").as_object() {
        for (uri, edits) in changes {
            reader.text_edits(uri, edits)?;
        }
    }
    Ok(reader.set)
}

struct Reader<'edit> {
    root: &'edit Path,
    encoding: Encoding,
    text_of: TextOf<'edit>,
    /// Texts as the changes so far left them; `None` for a file that is gone.
    texts: BTreeMap<PathBuf, Option<Arc<str>>>,
    set: EditSet,
}

impl Reader<'_> {
    fn document_change(&mut self, change: &Value) -> Result<(), Error> {
        match at(change, "/kind").as_str() {
            None => {
                let uri = json::text(change, "/textDocument/uri");
                self.text_edits(uri, at(change, "/edits"))
            }
            Some("create") => self.create(change),
            Some("rename") => self.rename(change),
            Some("delete") => self.delete(change),
            Some(other) => Err(Error::File {
                path: PathBuf::new(),
                reason: format!("the edit has a part of unknown kind `{other}`"),
            }),
        }
    }

    fn text_edits(&mut self, uri: &str, edits: &Value) -> Result<(), Error> {
        let path = path_of(uri)?;
        let before = self.current(&path)?.unwrap_or_else(|| Arc::from(""));
        let lines = Lines::new(&before);
        let list = edits.as_array().map(Vec::as_slice).unwrap_or_default();
        let replacements: Vec<Replacement> = list
            .iter()
            .filter_map(|edit| {
                let range = lines.range(&before, span_of(at(edit, "/range"))?, self.encoding);
                let text = at(edit, "/newText")
                    .as_str()
                    .or_else(|| at(edit, "/snippet/value").as_str())?;
                let is_snippet = at(edit, "/insertTextFormat").as_u64() == Some(SNIPPET)
                    || at(edit, "/snippet").is_object();
                Some(Replacement {
                    start: range.start,
                    end: range.end,
                    text: if is_snippet {
                        without_placeholders(text)
                    } else {
                        text.to_owned()
                    },
                })
            })
            .collect();
        let after = replace(&before, &replacements)?;
        self.put(path, Some(Arc::from(after)));
        Ok(())
    }

    fn create(&mut self, change: &Value) -> Result<(), Error> {
        let path = path_of(json::text(change, "/uri"))?;
        let overwrite = json::is_true(change, "/options/overwrite");
        if !overwrite && self.exists(&path) {
            if json::is_true(change, "/options/ignoreIfExists") {
                return Ok(());
            }
            return Err(exists(path));
        }
        self.remember(&path);
        self.put(path, Some(Arc::from("")));
        Ok(())
    }

    fn rename(&mut self, change: &Value) -> Result<(), Error> {
        let from = path_of(json::text(change, "/oldUri"))?;
        let to = path_of(json::text(change, "/newUri"))?;
        if !json::is_true(change, "/options/overwrite") && self.exists(&to) {
            if json::is_true(change, "/options/ignoreIfExists") {
                return Ok(());
            }
            return Err(exists(to));
        }
        let text = self.current(&from)?;
        self.remember(&to);
        self.put(from, None);
        self.put(to, text);
        Ok(())
    }

    fn delete(&mut self, change: &Value) -> Result<(), Error> {
        let path = path_of(json::text(change, "/uri"))?;
        if !self.exists(&path) && json::is_true(change, "/options/ignoreIfNotExists") {
            return Ok(());
        }
        self.current(&path)?;
        self.put(path, None);
        Ok(())
    }

    fn exists(&self, path: &Path) -> bool {
        match self.texts.get(path) {
            Some(text) => text.is_some(),
            None => path.exists(),
        }
    }

    /// Notes what a file is before it is made or replaced.
    fn remember(&mut self, path: &Path) {
        if !self.texts.contains_key(path) {
            let before = (self.text_of)(path).ok();
            self.texts.insert(path.to_owned(), before);
        }
    }

    fn current(&mut self, path: &Path) -> Result<Option<Arc<str>>, Error> {
        if let Some(text) = self.texts.get(path) {
            return Ok(text.clone());
        }
        let text = Some((self.text_of)(path)?);
        self.texts.insert(path.to_owned(), text.clone());
        Ok(text)
    }

    fn put(&mut self, path: PathBuf, after: Option<Arc<str>>) {
        let before = self.texts.insert(path.clone(), after.clone()).flatten();
        self.set
            .record(location::below(self.root, &path), before, after);
    }
}

fn path_of(uri: &str) -> Result<PathBuf, Error> {
    location::to_path(uri).ok_or_else(|| Error::File {
        path: PathBuf::from(uri),
        reason: "it is not a file".to_owned(),
    })
}

fn exists(path: PathBuf) -> Error {
    Error::File {
        path,
        reason: "it exists already".to_owned(),
    }
}

/// The text of a snippet with its placeholders' defaults and without the marks themselves.
pub(super) fn without_placeholders(snippet: &str) -> String {
    let mut result = String::with_capacity(snippet.len());
    let mut characters = snippet.chars().peekable();
    // How many `${…:` are open, whose closing brace belongs to the mark.
    let mut open = 0_usize;
    while let Some(character) = characters.next() {
        match character {
            '\\' => result.extend(characters.next()),
            '$' if characters.peek().is_some_and(char::is_ascii_digit) => {
                while characters.next_if(char::is_ascii_digit).is_some() {}
            }
            '$' if characters.peek() == Some(&'{') => {
                characters.next();
                while characters
                    .next_if(|next| !matches!(next, ':' | '}'))
                    .is_some()
                {}
                if characters.next() == Some(':') {
                    open += 1;
                }
            }
            '}' if open > 0 => open -= 1,
            other => result.push(other),
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read_edit(edit: Value, files: &[(&str, &str)]) -> Result<EditSet, Error> {
        let files: BTreeMap<PathBuf, Arc<str>> = files
            .iter()
            .map(|(path, text)| (PathBuf::from(path), Arc::from(*text)))
            .collect();
        read(&edit, Path::new("/w"), Encoding::Utf16, &|path| {
            files.get(path).cloned().ok_or_else(|| Error::File {
                path: path.to_owned(),
                reason: "not there".to_owned(),
            })
        })
    }

    fn edit_at(line: u32, start: u32, end: u32, text: &str) -> Value {
        json!({
            "range": {
                "start": { "line": line, "character": start },
                "end": { "line": line, "character": end }
            },
            "newText": text
        })
    }

    fn after<'set>(set: &'set EditSet, path: &str) -> Option<&'set str> {
        set.files[Path::new(path)].after.as_deref()
    }

    #[test]
    fn both_forms_of_text_changes_are_read() {
        let files = [("/w/a.rs", "é😀x\nb\n")];
        let edits = json!([edit_at(0, 3, 4, "y"), edit_at(1, 0, 1, "c")]);
        for edit in [
            json!({ "changes": { "file:///w/a.rs": edits } }),
            json!({ "documentChanges": [
                { "textDocument": { "uri": "file:///w/a.rs", "version": 3 }, "edits": edits }
            ] }),
        ] {
            let set = read_edit(edit, &files).expect("it fits");
            assert_eq!(after(&set, "a.rs"), Some("é😀y\nc\n"));
        }
    }

    #[test]
    fn files_are_created_renamed_and_deleted() {
        let edit = json!({ "documentChanges": [
            { "kind": "create", "uri": "file:///w/new.rs" },
            { "textDocument": { "uri": "file:///w/new.rs", "version": null },
              "edits": [edit_at(0, 0, 0, "fresh\n")] },
            { "kind": "rename", "oldUri": "file:///w/old.rs", "newUri": "file:///w/moved.rs" },
            { "textDocument": { "uri": "file:///w/moved.rs" }, "edits": [edit_at(0, 0, 3, "NEW")] },
            { "kind": "delete", "uri": "file:///w/gone.rs" }
        ] });
        let set =
            read_edit(edit, &[("/w/old.rs", "old\n"), ("/w/gone.rs", "x\n")]).expect("it fits");
        assert_eq!(after(&set, "new.rs"), Some("fresh\n"));
        assert_eq!(after(&set, "moved.rs"), Some("NEW\n"));
        assert_eq!(after(&set, "old.rs"), None);
        assert_eq!(after(&set, "gone.rs"), None);
        assert_eq!(set.files.len(), 4);
        assert_eq!(set.files[Path::new("moved.rs")].before, None);
    }

    #[test]
    fn an_edit_that_cannot_be_read_is_refused_whole() {
        for edit in [
            json!({ "documentChanges": [{ "kind": "explode", "uri": "file:///w/a" }] }),
            json!({ "changes": { "untitled:1": [edit_at(0, 0, 0, "x")] } }),
            json!({ "changes": { "file:///w/a.rs": [edit_at(0, 0, 3, "x"), edit_at(0, 1, 2, "y")] } }),
        ] {
            assert!(read_edit(edit, &[("/w/a.rs", "abcdef\n")]).is_err());
        }
    }

    #[test]
    fn placeholders_leave_their_defaults() {
        for (snippet, text) in [
            ("let ${1:name} = $0;", "let name = ;"),
            ("fn f() { ${0:todo!()} }", "fn f() { todo!() }"),
            (r"\$x ${2} }", "$x  }"),
            ("${1:a${2:b}c}d", "abcd"),
        ] {
            assert_eq!(without_placeholders(snippet), text);
        }
    }
}
