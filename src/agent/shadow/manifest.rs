//! What the shadow remembers of each file it holds, so that the next sync only looks at what differs (spec: Safety).

use std::collections::HashMap;
use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};

/// First line of the file; another one means that nothing is remembered.
const HEADER: &str = "meliora shadow 1\n";

/// More than the longest tick of a file system's clock (10 ms on Linux with 100 ticks a second).
pub(super) const TICK_NS: i64 = 20_000_000;

/// What tells two states of one file apart without reading it. The change time is part of it, because nobody can set
/// it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) bytes: u64,
    pub(super) modified_ns: i64,
    pub(super) changed_ns: i64,
    pub(super) inode: u64,
    pub(super) mode: u32,
}

impl Stamp {
    #[cfg(unix)]
    pub(super) fn of(metadata: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        let ns =
            |seconds: i64, rest: i64| seconds.saturating_mul(1_000_000_000).saturating_add(rest);
        Self {
            bytes: metadata.size(),
            modified_ns: ns(metadata.mtime(), metadata.mtime_nsec()),
            changed_ns: ns(metadata.ctime(), metadata.ctime_nsec()),
            inode: metadata.ino(),
            mode: metadata.mode() & 0o777,
        }
    }

    #[cfg(not(unix))]
    pub(super) fn of(metadata: &Metadata) -> Self {
        let modified = metadata
            .modified()
            .ok()
            .and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
        let modified_ns = modified.map_or(0, |time| i64::try_from(time.as_nanos()).unwrap_or(0));
        Self {
            bytes: metadata.len(),
            modified_ns,
            changed_ns: modified_ns,
            inode: 0,
            mode: if metadata.permissions().readonly() {
                0o444
            } else {
                0o644
            },
        }
    }

    /// Whether its owner lacks a right to it.
    pub(super) fn is_closed(&self) -> bool {
        self.mode & 0o700 != 0o700
    }

    fn fields(&self) -> [String; 5] {
        [
            self.bytes.to_string(),
            self.modified_ns.to_string(),
            self.changed_ns.to_string(),
            self.inode.to_string(),
            self.mode.to_string(),
        ]
    }

    fn parse<'text>(fields: &mut impl Iterator<Item = &'text str>) -> Option<Self> {
        Some(Self {
            bytes: fields.next()?.parse().ok()?,
            modified_ns: fields.next()?.parse().ok()?,
            changed_ns: fields.next()?.parse().ok()?,
            inode: fields.next()?.parse().ok()?,
            mode: fields.next()?.parse().ok()?,
        })
    }
}

/// One file of the shadow: the workspace file it was copied from and the copy, as both were at that moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) original: Stamp,
    pub(super) copy: Stamp,
}

/// The records of all files, by path relative to the workspace.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Manifest {
    pub(super) records: HashMap<PathBuf, Record>,
    /// When the last sync began to look, in nanoseconds since the Unix epoch.
    pub(super) began_ns: i64,
    /// When the last sync had written everything.
    pub(super) ended_ns: i64,
}

impl Manifest {
    /// What is remembered of a file, if its stamps can be trusted: one that changed in the same tick of the file
    /// system's clock in which it was recorded may have changed again since and look the same.
    pub(super) fn trusted(&self, path: &Path) -> Option<&Record> {
        self.records.get(path).filter(|record| {
            record.original.changed_ns.saturating_add(TICK_NS) < self.began_ns
                && record.copy.changed_ns.saturating_add(TICK_NS) < self.ended_ns
        })
    }

    /// Reads what was saved. A manifest that is missing or damaged remembers nothing, which is slow but right.
    pub(super) fn load(file: &Path) -> Self {
        std::fs::read(file)
            .ok()
            .and_then(|bytes| Self::parse(&bytes))
            .unwrap_or_default()
    }

    /// Saves all records in one step.
    pub(super) fn save(&self, file: &Path) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(self.records.len() * 160 + HEADER.len());
        bytes.extend_from_slice(HEADER.as_bytes());
        bytes.extend_from_slice(format!("{} {}\0", self.began_ns, self.ended_ns).as_bytes());
        for (path, record) in &self.records {
            let fields = [record.original.fields(), record.copy.fields()].concat();
            bytes.extend_from_slice(fields.join(" ").as_bytes());
            bytes.push(b'\0');
            bytes.extend_from_slice(path.as_os_str().as_encoded_bytes());
            bytes.push(b'\0');
        }
        let staged = file.with_extension("next");
        std::fs::write(&staged, bytes)?;
        std::fs::rename(staged, file)
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes
            .strip_prefix(HEADER.as_bytes())?
            .split(|byte| *byte == 0);
        let times = std::str::from_utf8(rest.next()?).ok()?;
        let (began, ended) = times.split_once(' ')?;
        let mut records = HashMap::new();
        while let (Some(fields), Some(path)) = (rest.next(), rest.next()) {
            let mut fields = std::str::from_utf8(fields).ok()?.split(' ');
            let original = Stamp::parse(&mut fields)?;
            let copy = Stamp::parse(&mut fields)?;
            records.insert(path_from(path)?, Record { original, copy });
        }
        Some(Self {
            records,
            began_ns: began.parse().ok()?,
            ended_ns: ended.parse().ok()?,
        })
    }
}

#[cfg(unix)]
#[expect(clippy::unnecessary_wraps, reason = "elsewhere paths are not bytes")]
fn path_from(bytes: &[u8]) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStrExt;
    Some(PathBuf::from(std::ffi::OsStr::from_bytes(bytes)))
}

#[cfg(not(unix))]
fn path_from(bytes: &[u8]) -> Option<PathBuf> {
    Some(PathBuf::from(std::str::from_utf8(bytes).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_manifest_is_read_back_also_with_names_that_are_not_text() {
        use std::os::unix::ffi::OsStrExt;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("manifest");
        let stamp = |bytes| Stamp {
            bytes,
            modified_ns: -1,
            changed_ns: 1_700_000_000_000_000_001,
            inode: 42,
            mode: 0o755,
        };
        let mut manifest = Manifest {
            began_ns: 3,
            ended_ns: 4,
            ..Manifest::default()
        };
        for name in [b"src/a b.rs".as_slice(), b"odd\xff\nname"] {
            manifest.records.insert(
                PathBuf::from(std::ffi::OsStr::from_bytes(name)),
                Record {
                    original: stamp(1),
                    copy: stamp(2),
                },
            );
        }
        manifest.save(&file).expect("saved");
        assert_eq!(Manifest::load(&file), manifest);
        let whole = std::fs::read(&file).expect("readable");
        for damaged in [&whole[..whole.len() / 2], b"meliora shadow 0\n", b""] {
            std::fs::write(&file, damaged).expect("written");
            assert!(Manifest::load(&file).records.len() < 2);
        }
    }
}
