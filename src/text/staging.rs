//! The workspace as a run sees it: its own proposals over open buffers over the disk (spec: workspace edits).
//!
//! Reading looks through the three layers from the top; writing only ever adds to the proposals. The disk is never
//! written here.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::bases::{Bases, Seen};
use super::beneath;
use super::edit::{EditSet, Mode};

/// The text of a workspace with changes that are only proposed.
#[derive(Debug, Clone)]
pub struct Staging {
    root: PathBuf,
    overlay: Arc<BTreeMap<PathBuf, Arc<str>>>,
    proposed: EditSet,
    bases: Bases,
    file_bytes_max: u64,
}

/// Why a file has no text for the agent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// There is no such file.
    #[error("{0} does not exist")]
    Missing(PathBuf),
    /// It is a folder or a device.
    #[error("{0} is not a file")]
    NotAFile(PathBuf),
    /// It is not UTF-8.
    #[error("{0} is not UTF-8 text; the agent leaves it alone")]
    NotText(PathBuf),
    /// It is larger than the configuration allows.
    #[error(
        "{path} has {bytes} bytes, more than the {bytes_max} that safety.max_file_size_mb allows"
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// The size that is allowed.
        bytes_max: u64,
    },
    /// The system refuses.
    #[error("cannot read {path}: {reason}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
}

impl Staging {
    /// A workspace without proposals. `overlay` holds the text of open buffers by path relative to `root`.
    pub fn new(root: PathBuf, overlay: BTreeMap<PathBuf, Arc<str>>, file_bytes_max: u64) -> Self {
        Self {
            root,
            overlay: Arc::new(overlay),
            proposed: EditSet::default(),
            bases: Bases::default(),
            file_bytes_max,
        }
    }

    /// The workspace root.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Text of open buffers, by path relative to the root.
    pub fn overlay(&self) -> &BTreeMap<PathBuf, Arc<str>> {
        &self.overlay
    }

    /// Everything that is proposed.
    pub fn proposed(&self) -> &EditSet {
        &self.proposed
    }

    /// The path as the key of edits and overlays: relative to the root, without dots. `None` when it leads out of the
    /// workspace by its name. Where links lead is for the policy to judge.
    pub fn relative(&self, path: &Path) -> Option<PathBuf> {
        let path = path.strip_prefix(&self.root).unwrap_or(path);
        let mut result = PathBuf::new();
        for component in path.components() {
            match component {
                Component::Normal(name) => result.push(name),
                Component::CurDir => {}
                Component::ParentDir => {
                    if !result.pop() {
                        return None;
                    }
                }
                Component::RootDir | Component::Prefix(_) => return None,
            }
        }
        (!result.as_os_str().is_empty()).then_some(result)
    }

    /// The text of a file, by its path relative to the root.
    pub fn read(&self, path: &Path) -> Result<Arc<str>, ReadError> {
        if let Some(edit) = self.proposed.files.get(path) {
            let text = edit.after.clone();
            return text.ok_or_else(|| ReadError::Missing(path.to_owned()));
        }
        self.read_original(path)
    }

    /// Proposes new text for a file; `None` removes it.
    pub fn propose(&mut self, path: PathBuf, after: Option<Arc<str>>) -> Result<(), ReadError> {
        let before = match self.read_original(&path) {
            Ok(text) => Some(text),
            Err(ReadError::Missing(_)) => None,
            Err(error) => return Err(error),
        };
        if let Some(after) = &after {
            let known = self.proposed.files.get(&path);
            let current = known.map_or(before.as_deref(), |edit| edit.after.as_deref());
            let current = current.unwrap_or_default();
            self.bases.change(&path, current, after);
        }
        self.proposed.record(path, before, after);
        Ok(())
    }

    /// Says which permissions a file gets that is proposed.
    pub fn give(&mut self, path: PathBuf, mode: Mode) {
        self.proposed.give(path, mode);
    }

    /// What was read so far.
    pub fn bases(&self) -> &Bases {
        &self.bases
    }

    /// Notes that lines of a text were shown.
    pub fn note_read(&mut self, seen: Seen) {
        self.bases.read(seen);
    }

    /// Replaces everything that is proposed, for example by what another way of repairing found.
    pub fn adopt(&mut self, proposed: EditSet) {
        self.proposed = proposed;
    }

    /// Paths whose text is not what is on disk: open buffers and proposals that exist.
    pub fn unsaved(&self) -> impl Iterator<Item = &PathBuf> {
        let open = self
            .overlay
            .keys()
            .filter(|path| !self.proposed.files.contains_key(*path));
        let proposed = self.proposed.files.iter();
        open.chain(
            proposed
                .filter(|(_, edit)| edit.after.is_some())
                .map(|(path, _)| path),
        )
    }

    /// Bytes that a file may have.
    pub fn file_bytes_max(&self) -> u64 {
        self.file_bytes_max
    }

    fn read_original(&self, path: &Path) -> Result<Arc<str>, ReadError> {
        if let Some(text) = self.overlay.get(path) {
            return Ok(Arc::clone(text));
        }
        let unreadable = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => {
                ReadError::Missing(path.to_owned())
            }
            std::io::ErrorKind::InvalidInput => ReadError::NotAFile(path.to_owned()),
            _ => ReadError::Unreadable {
                path: path.to_owned(),
                reason: error.to_string(),
            },
        };
        let mut file = beneath::open(&self.root, path).map_err(unreadable)?;
        let metadata = file.metadata().map_err(unreadable)?;
        if metadata.len() > self.file_bytes_max {
            return Err(ReadError::TooLarge {
                path: path.to_owned(),
                bytes: metadata.len(),
                bytes_max: self.file_bytes_max,
            });
        }
        let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or_default());
        file.read_to_end(&mut bytes).map_err(unreadable)?;
        String::from_utf8(bytes)
            .map(Arc::from)
            .map_err(|_| ReadError::NotText(path.to_owned()))
    }
}

/// A short name for the exact content of a text: what a reader saw and an edit can refer to.
pub fn stamp(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    HEXLOWER.encode(digest.get(..4).unwrap_or(&digest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proposals_lie_over_buffers_over_the_disk() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = folder.path().to_owned();
        std::fs::write(root.join("a"), "disk").expect("written");
        std::fs::write(root.join("b"), [0xff, 0xfe]).expect("written");
        std::fs::write(root.join("big"), "0123456789").expect("written");
        let overlay = BTreeMap::from([(PathBuf::from("a"), Arc::from("open"))]);
        let mut staging = Staging::new(root, overlay, 8);
        let read = |staging: &Staging, path: &str| staging.read(Path::new(path));
        assert_eq!(read(&staging, "a").as_deref(), Ok("open"));
        staging
            .propose("a".into(), Some("new".into()))
            .expect("proposed");
        staging
            .propose("c".into(), Some("made".into()))
            .expect("proposed");
        assert_eq!(read(&staging, "a").as_deref(), Ok("new"));
        assert_eq!(staging.proposed().files.len(), 2);
        staging
            .propose("a".into(), Some("open".into()))
            .expect("proposed");
        assert_eq!(staging.proposed().files.len(), 1);
        assert_eq!(read(&staging, "b"), Err(ReadError::NotText("b".into())));
        let large = read(&staging, "big").expect_err("it is too large");
        assert!(
            large.to_string().contains("more than the 8 that"),
            "{large}"
        );
        assert_eq!(
            read(&staging, "none"),
            Err(ReadError::Missing("none".into()))
        );
        assert_eq!(read(&staging, ""), Err(ReadError::NotAFile("".into())));
    }

    #[test]
    fn paths_are_named_from_the_root_or_refused() {
        let staging = Staging::new("/w".into(), BTreeMap::new(), 8);
        for (path, expected) in [
            ("src/a.rs", Some("src/a.rs")),
            ("./src/../b", Some("b")),
            ("/w/src/a.rs", Some("src/a.rs")),
            ("../x", None),
            ("src/../../x", None),
            ("/etc/passwd", None),
            ("", None),
        ] {
            let relative = staging.relative(Path::new(path));
            assert_eq!(relative.as_deref(), expected.map(Path::new), "{path}");
        }
    }
}
