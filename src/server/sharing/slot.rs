//! Who runs a server for a workspace (spec: Communication, shared servers).
//!
//! A slot is a file that its holder has locked. The kernel lets go of the lock when the holder ends, however that
//! happens: so there is never a holder that is not there, and who comes first after it is the next one. A workspace has
//! several slots for one server, for processes that cannot use the server of the one before.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

/// A slot that we hold as long as this is kept.
#[derive(Debug)]
pub struct Slot {
    _locked: File,
}

impl Slot {
    /// Takes the slot of this number for a server, if nobody has it.
    pub fn take(folder: &Path, server: &str, number: usize) -> std::io::Result<Option<Self>> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path(folder, server, number))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        file.set_len(0)?;
        file.rewind()?;
        file.write_all(std::process::id().to_string().as_bytes())?;
        Ok(Some(Self { _locked: file }))
    }
}

/// The process that holds a slot, or held it last. `None`: nobody ever did.
pub fn holder(folder: &Path, server: &str, number: usize) -> Option<u32> {
    let mut text = String::new();
    let file = File::open(path(folder, server, number)).ok()?;
    file.take(32).read_to_string(&mut text).ok()?;
    text.parse().ok()
}

/// A server may be called anything.
fn path(folder: &Path, server: &str, number: usize) -> PathBuf {
    let digest = Sha256::digest(server.as_bytes());
    let digest = HEXLOWER.encode(digest.get(..6).unwrap_or(&digest));
    folder.join(format!("{digest}.{number}.slot"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_has_one_holder_at_a_time() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let take =
            |server: &str, number| Slot::take(folder.path(), server, number).expect("usable");
        assert_eq!(holder(folder.path(), "a/b", 0), None);
        let first = take("a/b", 0).expect("free");
        assert_eq!(holder(folder.path(), "a/b", 0), Some(std::process::id()));
        assert!(take("a/b", 0).is_none());
        assert!(take("a/b", 1).is_some() && take("c", 0).is_some());
        drop(first);
        assert!(take("a/b", 0).is_some());
    }
}
