//! Changes a configuration file and leaves its comments and its order as they are (spec: Configuration).

use std::path::{Path, PathBuf};

use toml_edit::{DocumentMut, Item, Table, Value};

use super::check::{self, Finding, Severity};
use super::file;

/// Why a file was not changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read or written.
    #[error("cannot change {path}: {source}")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is no TOML as it is.
    #[error("{path} cannot be read as it is: {message}; mend it first")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        message: String,
    },
    /// The key or the value is wrong.
    #[error("{0}")]
    Wrong(String),
}

/// Sets a dotted key in a file, which is made when it is not there; without a value the key is taken out. Nothing is
/// written when the result would be wrong. Gives what is dangerous about it.
pub fn set(path: &Path, key: &str, value: Option<&toml::Value>) -> Result<Vec<String>, Error> {
    let unusable = |source| Error::Unusable {
        path: path.to_owned(),
        source,
    };
    let text = file::read_text(path).map_err(unusable)?.unwrap_or_default();
    let mut document: DocumentMut =
        text.parse()
            .map_err(|error: toml_edit::TomlError| Error::Unreadable {
                path: path.to_owned(),
                message: error.message().to_owned(),
            })?;
    let names: Vec<&str> = key.split('.').collect();
    let Some((last, sections)) = names.split_last() else {
        return Err(Error::Wrong("name a key, such as llm.model".to_owned()));
    };
    let table = entered(document.as_table_mut(), sections, key)?;
    match value {
        None => {
            table.remove(last);
        }
        Some(value) => put(table, last, value)?,
    }
    let changed = document.to_string();
    let before = check::check_all(&text);
    let is_fresh = |finding: &Finding| before.iter().all(|old| old.message != finding.message);
    let mut dangers = Vec::new();
    for finding in check::check_all(&changed).into_iter().filter(is_fresh) {
        if finding.severity != Severity::Dangerous {
            return Err(Error::Wrong(format!("{} ({key})", finding.message)));
        }
        dangers.push(format!("{key}: {}", finding.message));
    }
    write(path, &changed).map_err(unusable)?;
    Ok(dangers)
}

/// The table of these sections, made where it is not there.
fn entered<'table>(
    mut table: &'table mut Table,
    sections: &[&str],
    key: &str,
) -> Result<&'table mut Table, Error> {
    for section in sections {
        let item = table.entry(section).or_insert_with(|| {
            let mut made = Table::new();
            made.set_implicit(true);
            Item::Table(made)
        });
        table = item.as_table_mut().ok_or_else(|| {
            Error::Wrong(format!(
                "`{section}` of `{key}` is no section of its own in this file: edit the file by hand"
            ))
        })?;
    }
    Ok(table)
}

fn put(table: &mut Table, name: &str, value: &toml::Value) -> Result<(), Error> {
    let text = value.to_string();
    let mut fresh: Value = text
        .parse()
        .map_err(|error: toml_edit::TomlError| Error::Wrong(error.message().to_owned()))?;
    match table.get_mut(name).and_then(Item::as_value_mut) {
        Some(old) => {
            // A comment behind the old value stays behind the new one.
            *fresh.decor_mut() = old.decor().clone();
            *old = fresh;
        }
        None => {
            table.insert(name, Item::Value(fresh));
        }
    }
    table.set_implicit(false);
    Ok(())
}

/// Writes the file as a whole or not at all, in place of the old one.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    // A link stays a link: what it points to is replaced.
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = folder.join(format!(".{name}.{}", std::process::id()));
    std::fs::write(&beside, text)?;
    if let Ok(metadata) = path.metadata() {
        std::fs::set_permissions(&beside, metadata.permissions())?;
    }
    std::fs::rename(&beside, &path).inspect_err(|_| {
        // What could not take its place is not left lying around.
        let _ = std::fs::remove_file(&beside);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(text: &str, key: &str, value: Option<&str>) -> Result<String, String> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("config.toml");
        std::fs::write(&path, text).expect("written");
        let value = value.map(|value| crate::config::layers::scalar(key, value));
        set(&path, key, value.as_ref()).map_err(|error| error.to_string())?;
        Ok(std::fs::read_to_string(&path).expect("read"))
    }

    #[test]
    fn comments_and_order_stay() {
        let text = "# mine\n[llm] # model\nmodel = \"a\" # why\nprovider = 'x'\n";
        assert_eq!(
            changed(text, "llm.model", Some("b")).as_deref(),
            Ok("# mine\n[llm] # model\nmodel = \"b\" # why\nprovider = 'x'\n")
        );
        assert_eq!(
            changed(text, "llm.model", None).as_deref(),
            Ok("# mine\n[llm] # model\nprovider = 'x'\n")
        );
        let text = changed(text, "llm.providers.openai.base_url", Some("https://a")).expect("set");
        assert!(
            text.ends_with("[llm.providers.openai]\nbase_url = \"https://a\"\n"),
            "{text}"
        );
    }

    #[test]
    fn what_would_be_wrong_is_not_written() {
        for (key, value, said) in [
            ("llm.modle", "x", "did you mean `model`?"),
            ("llm.max_tokens", "many", "expected whole number"),
            ("llm", "3", "expected section"),
        ] {
            let error = changed("", key, Some(value)).expect_err("wrong");
            assert!(error.contains(said), "{error}");
        }
    }
}
