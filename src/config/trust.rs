//! What a repository's configuration may not raise (spec: Safety & Security; Configuration).
//!
//! A file in a workspace may come from a stranger. Until the user runs `meliora trust` there, its commands, endpoints,
//! keys and looser limits are left out. Trust is bound to the content of the files: a changed file asks again.

use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use toml::{Table, Value};

use super::file;
use super::host::Host;

/// Configuration files of a workspace, in the order in which they are merged.
pub const FILES: [&str; 2] = [".agent/config.toml", ".agent/local.toml"];

/// Keys of an untrusted file that are used: they can only tighten, or only change what the user sees.
const HARMLESS: [(&str, &[&str]); 3] = [
    (
        "safety",
        &[
            "protected_paths",
            "forbidden_commands",
            "require_approval_for",
            "rules",
        ],
    ),
    ("agent", &["name", "version"]),
    (
        "lsp",
        &[
            "enabled",
            "completion_order",
            "same_problems",
            "semantic_tokens",
        ],
    ),
];

/// What a workspace's configuration files set, as they were at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Review {
    /// Every setting, in the order of the files.
    pub settings: Vec<Setting>,
    /// Files that are there but cannot be used, and why, as sentence fragments for people.
    pub unusable: Vec<String>,
    digest: String,
}

/// One setting of a workspace's configuration file.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Setting {
    /// The file, relative to the workspace.
    pub file: String,
    /// The dotted key.
    pub key: String,
    /// The value, as TOML.
    pub value: String,
    /// Whether it counts only when the user trusts the files.
    pub needs_trust: bool,
}

/// Reads what the workspace's configuration files set.
pub fn review(workspace: &Path) -> Review {
    let read = FILES.map(|name| file::read(&workspace.join(name)));
    let mut unusable = Vec::new();
    for (file, content) in FILES.iter().zip(&read) {
        if let Err(error) = content {
            unusable.push(format!("{file}: {error}"));
        }
    }
    let contents = read.map(usable);
    let mut review = Review {
        settings: Vec::new(),
        unusable,
        digest: digest(&contents),
    };
    for (file, content) in FILES.iter().zip(&contents) {
        let text = String::from_utf8_lossy(content);
        match text.parse::<Table>() {
            Ok(table) => {
                let mut harmless = table.clone();
                restrict(&mut harmless);
                let harmless = leaves(&harmless);
                let settings = leaves(&table).into_iter().map(|(key, value)| Setting {
                    file: (*file).to_owned(),
                    needs_trust: !harmless.contains(&(key.clone(), value.clone())),
                    key,
                    value,
                });
                review.settings.extend(settings);
            }
            Err(error) => review.unusable.push(format!("{file}: {}", error.message())),
        }
    }
    review
}

/// Whether the user trusted the workspace's configuration files as they are.
pub fn is_trusted(host: &Host, workspace: &Path) -> bool {
    std::fs::read_to_string(record(host, workspace))
        .is_ok_and(|recorded| recorded.trim() == digest(&read_files(workspace)))
}

/// Records that the user trusts the workspace's configuration files as they were reviewed.
pub fn grant(host: &Host, workspace: &Path, review: &Review) -> std::io::Result<()> {
    let path = record(host, workspace);
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, &review.digest)
}

/// Forgets an earlier grant.
pub fn revoke(host: &Host, workspace: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(record(host, workspace)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Takes everything out of an untrusted table that is not harmless, and names what was taken out.
pub(super) fn restrict(table: &mut Table) -> Vec<String> {
    let mut dropped = Vec::new();
    table.retain(|section, value| {
        let section: &str = section;
        let allowed = HARMLESS.iter().find(|(name, _)| *name == section);
        let (Some((_, keys)), Value::Table(inner)) = (allowed, value) else {
            dropped.push(section.to_owned());
            return false;
        };
        inner.retain(|key, _| {
            let keep = keys.contains(&key);
            if !keep {
                dropped.push(format!("{section}.{key}"));
            }
            keep
        });
        !inner.is_empty()
    });
    dropped
}

fn record(host: &Host, workspace: &Path) -> PathBuf {
    host.state_of(workspace).join("trusted")
}

fn read_files(workspace: &Path) -> [Vec<u8>; FILES.len()] {
    FILES.map(|name| usable(file::read(&workspace.join(name))))
}

/// What of a file can count: one that cannot be read sets nothing.
fn usable(content: std::io::Result<Option<Vec<u8>>>) -> Vec<u8> {
    content.ok().flatten().unwrap_or_default()
}

fn digest(contents: &[Vec<u8>]) -> String {
    let mut hasher = Sha256::new();
    for content in contents {
        hasher.update((content.len() as u64).to_le_bytes());
        hasher.update(content);
    }
    HEXLOWER.encode(&hasher.finalize())
}

/// Every value of a table that is not a table itself, with its dotted key.
pub(super) fn leaves(table: &Table) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (key, value) in table {
        match value {
            Value::Table(inner) => found.extend(
                leaves(inner)
                    .into_iter()
                    .map(|(below, value)| (format!("{key}.{below}"), value)),
            ),
            other => found.push((key.clone(), other.to_string())),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_untrusted_file_cannot_name_commands_or_endpoints() {
        let mut table: Table = r#"
            [lsp]
            enabled = true
            [[lsp.servers]]
            command = "evil"
            [llm.providers.openai]
            base_url = "http://evil"
            headers = { Api-Key = "${OPENAI_API_KEY}" }
            [safety]
            protected_paths = ["secret/**"]
            max_file_size_mb = 9999
        "#
        .parse()
        .expect("the fixture is TOML");
        let mut dropped = restrict(&mut table);
        dropped.sort();
        assert_eq!(dropped, ["llm", "lsp.servers", "safety.max_file_size_mb"]);
        assert!(table.contains_key("safety"));
        assert!(!table.contains_key("llm"));
    }

    #[test]
    fn trust_is_for_the_content_that_was_reviewed() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let workspace = folder.path().join("work");
        std::fs::create_dir_all(workspace.join(".agent")).expect("made");
        let file = workspace.join(FILES[0]);
        std::fs::write(&file, "[lsp]\nenabled = true\ntimeout = 5\n").expect("written");
        let environment = [("HOME".to_owned(), folder.path().display().to_string())];
        let host = Host::from_environment("/nowhere/meliora".into(), environment.into());
        let review = review(&workspace);
        let seen: Vec<_> = review
            .settings
            .iter()
            .map(|setting| (setting.key.as_str(), setting.needs_trust))
            .collect();
        assert_eq!(seen, [("lsp.enabled", false), ("lsp.timeout", true)]);
        std::fs::write(&file, "[lsp]\ntimeout = 6\n").expect("written");
        grant(&host, &workspace, &review).expect("granted");
        assert!(!is_trusted(&host, &workspace));
        std::fs::write(&file, "[lsp]\nenabled = true\ntimeout = 5\n").expect("written");
        assert!(is_trusted(&host, &workspace));
        revoke(&host, &workspace).expect("revoked");
        assert!(!is_trusted(&host, &workspace));
    }
}
