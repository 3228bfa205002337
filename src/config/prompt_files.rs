//! Prompts that come with a workspace, and whether the user trusts them (spec: Configuration; Prompt Manager).
//!
//! A prompt tells a model what to do, so a stranger's prompt is as dangerous as a stranger's command. It counts when the
//! user trusts it; trust is bound to the content, as it is for settings.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::file;
use super::host::Host;

/// The folder of a workspace that holds them.
pub const FOLDER: &str = ".agent/prompts";

/// Files that are looked at.
const FILES_MAX: usize = 64;

/// The prompts of a workspace as they were at one moment.
#[derive(Debug, Clone, Default)]
pub struct PromptFiles {
    /// By name: the text, or why it cannot be read.
    pub texts: BTreeMap<String, Result<String, String>>,
}

/// Reads the prompts of a workspace.
pub fn read(workspace: &Path) -> PromptFiles {
    let texts = paths(workspace).into_iter().filter_map(|path| {
        let name = path.file_stem()?.to_str()?.to_owned();
        let text = file::read_text(&path).map_err(|error| error.to_string());
        Some((name, text.transpose()?))
    });
    PromptFiles {
        texts: texts.collect(),
    }
}

/// When each of them was changed last, to notice a change.
pub fn stamps(workspace: &Path) -> Vec<(PathBuf, Option<SystemTime>)> {
    let paths = paths(workspace).into_iter();
    let stamped = paths.map(|path| {
        let changed = path
            .symlink_metadata()
            .and_then(|file| file.modified())
            .ok();
        (path, changed)
    });
    stamped.collect()
}

fn paths(workspace: &Path) -> Vec<PathBuf> {
    let Ok(files) = std::fs::read_dir(workspace.join(FOLDER)) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = files
        .filter_map(|file| Some(file.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .take(FILES_MAX)
        .collect();
    paths.sort();
    paths
}

impl PromptFiles {
    /// Whether the user trusted them as they are. There is nothing to trust where there are none.
    pub fn are_trusted(&self, host: &Host, workspace: &Path) -> bool {
        self.texts.is_empty()
            || std::fs::read_to_string(record(host, workspace))
                .is_ok_and(|recorded| recorded.trim() == self.digest())
    }

    /// Records that the user trusts them as they were read.
    pub fn grant(&self, host: &Host, workspace: &Path) -> io::Result<()> {
        let path = record(host, workspace);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(path, self.digest())
    }

    fn digest(&self) -> String {
        let mut hasher = Sha256::new();
        for (name, text) in &self.texts {
            for part in [name.as_str(), text.as_deref().unwrap_or_default()] {
                hasher.update((part.len() as u64).to_le_bytes());
                hasher.update(part);
            }
        }
        HEXLOWER.encode(&hasher.finalize())
    }
}

/// Forgets an earlier grant.
pub fn revoke(host: &Host, workspace: &Path) -> io::Result<()> {
    match std::fs::remove_file(record(host, workspace)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn record(host: &Host, workspace: &Path) -> PathBuf {
    host.state_of(workspace).join("trusted-prompts")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trust_is_bound_to_what_the_files_say() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let work = folder.path().join("work");
        let prompts = work.join(FOLDER);
        let home = [("HOME".to_owned(), folder.path().display().to_string())];
        let host = Host::from_environment("/nowhere/meliora".into(), home.into());
        assert!(read(&work).are_trusted(&host, &work), "there are none");
        std::fs::create_dir_all(&prompts).expect("made");
        std::fs::write(prompts.join("do.md"), "one").expect("written");
        std::fs::write(prompts.join("notes.txt"), "no prompt").expect("written");
        let seen = read(&work);
        assert_eq!(
            seen.texts,
            BTreeMap::from([("do".to_owned(), Ok("one".to_owned()))])
        );
        assert!(!seen.are_trusted(&host, &work));
        seen.grant(&host, &work).expect("granted");
        assert!(read(&work).are_trusted(&host, &work));
        std::fs::write(prompts.join("do.md"), "two").expect("written");
        assert!(
            !read(&work).are_trusted(&host, &work),
            "it says something else"
        );
        revoke(&host, &work).expect("revoked");
        assert!(!seen.are_trusted(&host, &work));
    }
}
