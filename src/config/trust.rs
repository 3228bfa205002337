//! What a repository's configuration may not raise (spec: Safety & Security; Configuration).
//!
//! A file in a workspace may come from a stranger. Until the user runs `meliora trust` there, its commands, endpoints,
//! keys and looser limits are left out. Trust is bound to the content of the files: a changed file asks again.

use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use toml::{Table, Value};

use super::host::Host;

/// Configuration files of a workspace, in the order in which they are merged.
pub const FILES: [&str; 2] = [".agent/config.toml", ".agent/local.toml"];

/// Keys of an untrusted file that are used: they can only tighten, or only change what the user sees.
const HARMLESS: [(&str, &[&str]); 3] = [
    ("safety", &["protected_paths"]),
    ("agent", &["name", "version"]),
    ("lsp", &["enabled"]),
];

/// Whether the user trusted the workspace's configuration files as they are.
pub fn is_trusted(host: &Host, workspace: &Path) -> bool {
    std::fs::read_to_string(record(host, workspace))
        .is_ok_and(|recorded| recorded.trim() == digest(workspace))
}

/// Records that the user trusts the workspace's configuration files as they are.
pub fn grant(host: &Host, workspace: &Path) -> std::io::Result<()> {
    let path = record(host, workspace);
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, digest(workspace))
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

fn digest(workspace: &Path) -> String {
    let mut hasher = Sha256::new();
    for file in FILES {
        let content = std::fs::read(workspace.join(file)).unwrap_or_default();
        hasher.update((content.len() as u64).to_le_bytes());
        hasher.update(content);
    }
    HEXLOWER.encode(&hasher.finalize())
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
}
