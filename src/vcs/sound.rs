//! What must be so before a repository is opened (spec: Git Tool; Safety & Security).
//!
//! A folder that came as an archive brings its `.git` along, and in it may stand anything under any name: a pipe that
//! nobody writes to, a device that has no end. The library reads what it finds to its end. Links are followed, as git
//! has it: some tools make repositories of them.

use std::fs::Metadata;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::config::file;

/// Files that are read whole, and their bytes at most.
const READ_WHOLE: [(&str, u64); 8] = [
    ("HEAD", 1 << 20),
    ("commondir", 1 << 20),
    ("gitdir", 1 << 20),
    ("config", 16 << 20),
    ("config.worktree", 16 << 20),
    ("shallow", 16 << 20),
    ("packed-refs", 1 << 30),
    ("index", 4 << 30),
];

/// Folders whose entries the library opens, and the bytes of one where it is read whole.
const OPENED: [(&str, Option<u64>); 3] = [
    ("refs", Some(1 << 20)),
    ("info", Some(16 << 20)),
    ("objects", None),
];

/// Entries that are looked at, and folders in folders.
const ENTRIES_MAX: usize = 1_000_000;
const DEPTH_MAX: usize = 64;

/// Other folders of objects that are named, one by the other.
const ALTERNATES_MAX: usize = 64;

/// Looks at the repository that is in a folder, or is one, and says what in it cannot be read to its end.
pub(super) fn check(place: &Path) -> Result<(), String> {
    let git = place.join(".git");
    let own = match found(&git)? {
        None => place.to_owned(),
        Some(entry) if entry.is_dir() => git,
        Some(_) => {
            let text = file::read_text(&git).map_err(|error| said(&git, &error))?;
            let text = text.unwrap_or_default();
            let named = text.trim().strip_prefix("gitdir:").unwrap_or_default();
            place.join(named.trim())
        }
    };
    let named = file::read_text(&own.join("commondir"));
    let named = named.map_err(|error| said(&own.join("commondir"), &error))?;
    let common = named.map(|named| own.join(named.trim()));
    let mut entries_left = ENTRIES_MAX;
    for folder in [Some(&own), common.as_ref()].into_iter().flatten() {
        for (name, bytes_max) in READ_WHOLE {
            let path = folder.join(name);
            if found(&path)?.is_some_and(|entry| entry.is_file() && entry.len() > bytes_max) {
                return Err(said(&path, &"it is too large"));
            }
        }
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            found(&entry.path())?;
        }
        for (name, bytes_max) in OPENED {
            below(&folder.join(name), bytes_max, DEPTH_MAX, &mut entries_left)?;
        }
        alternates(&folder.join("objects"), &mut entries_left)?;
    }
    Ok(())
}

/// Looks at other folders of objects.
fn alternates(objects: &Path, entries_left: &mut usize) -> Result<(), String> {
    let mut waiting = vec![objects.to_owned()];
    let mut known: Vec<PathBuf> = Vec::new();
    while let Some(objects) = waiting.pop() {
        let list = objects.join("info/alternates");
        let text = file::read(&list).map_err(|error| said(&list, &error))?;
        let text = String::from_utf8_lossy(&text.unwrap_or_default()).into_owned();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let named = objects.join(line.trim());
            if known.contains(&named) {
                continue;
            }
            if known.len() >= ALTERNATES_MAX {
                return Err(said(&list, &"it names too many other folders"));
            }
            below(&named, None, DEPTH_MAX, entries_left)?;
            known.push(named.clone());
            waiting.push(named);
        }
    }
    Ok(())
}

/// Looks at everything below a folder.
fn below(
    folder: &Path,
    bytes_max: Option<u64>,
    depth_left: usize,
    entries_left: &mut usize,
) -> Result<(), String> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Ok(());
    };
    for entry in entries.flatten() {
        let path = entry.path();
        if *entries_left == 0 || depth_left == 0 {
            return Err(said(&path, &"there is too much beside or above it"));
        }
        *entries_left -= 1;
        let kind = entry.file_type().map_err(|error| said(&path, &error))?;
        let is_folder = if kind.is_dir() || (kind.is_file() && bytes_max.is_none()) {
            kind.is_dir()
        } else {
            let entry = found(&path)?;
            let is_larger = |entry: &Metadata| bytes_max.is_some_and(|max| entry.len() > max);
            if entry
                .as_ref()
                .is_some_and(|it| it.is_file() && is_larger(it))
            {
                return Err(said(&path, &"it is too large"));
            }
            entry.is_some_and(|entry| entry.is_dir())
        };
        if is_folder {
            below(&path, bytes_max, depth_left - 1, entries_left)?;
        }
    }
    Ok(())
}

/// What is at a path, if there is something: a file or a folder, or it is said.
fn found(path: &Path) -> Result<Option<Metadata>, String> {
    match path.metadata() {
        Ok(entry) if entry.is_file() || entry.is_dir() => Ok(Some(entry)),
        // Sockets cannot be opened, and `fsmonitor` leaves one.
        Ok(entry) if is_socket(&entry) => Ok(Some(entry)),
        Ok(_) => Err(said(path, &"it is neither a file nor a folder")),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == ErrorKind::NotADirectory => Ok(None),
        Err(error) => Err(said(path, &error)),
    }
}

#[cfg(unix)]
fn is_socket(entry: &Metadata) -> bool {
    std::os::unix::fs::FileTypeExt::is_socket(&entry.file_type())
}

#[cfg(not(unix))]
fn is_socket(_: &Metadata) -> bool {
    false
}

fn said(path: &Path, what: &dyn std::fmt::Display) -> String {
    format!("{} cannot be read: {what}", path.display())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_repository_that_cannot_be_read_to_its_end_is_not_opened() {
        for name in [
            ".git/HEAD",
            ".git/config",
            ".git/index",
            ".git/packed-refs",
            ".git/shallow",
            ".git/commondir",
            ".git/MERGE_HEAD",
            ".git/refs/heads/main",
            ".git/refs/heads/a/b",
            ".git/objects/ab/cdef",
            ".git/objects/pack/pack-a.idx",
            ".git/objects/info/alternates",
            ".git/objects/info/commit-graph",
            ".git/info/grafts",
            "far/pack/pack-a.idx",
        ] {
            for what in ["/dev/zero", "pipe"] {
                let folder = tempfile::tempdir().expect("a temporary folder");
                gix::init(folder.path()).expect("made");
                if name.starts_with("far") {
                    let list = folder.path().join(".git/objects/info/alternates");
                    std::fs::write(list, "../../far\n").expect("written");
                }
                assert_eq!(check(folder.path()), Ok(()), "{name}");
                assert_eq!(check(&folder.path().join(".git")), Ok(()), "{name}");
                let path = folder.path().join(name);
                std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
                let _ = std::fs::remove_file(&path);
                if what == "pipe" {
                    let mode = rustix::fs::Mode::RWXU;
                    rustix::fs::mkfifoat(rustix::fs::CWD, &path, mode).expect("made");
                } else {
                    symlink(what, &path).expect("linked");
                }
                let told = check(folder.path()).expect_err(name);
                let file = path.file_name().expect("a name").to_string_lossy();
                assert!(told.contains(&*file), "{told}");
            }
        }
    }

    #[test]
    fn a_repository_of_links_is_opened_and_one_of_pipes_is_not() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (real, linked) = (folder.path().join("real"), folder.path().join("linked"));
        gix::init(&real).expect("made");
        std::fs::create_dir_all(linked.join(".git")).expect("made");
        for name in ["HEAD", "config", "objects", "refs"] {
            symlink(real.join(".git").join(name), linked.join(".git").join(name)).expect("linked");
        }
        assert_eq!(check(&linked), Ok(()));
        let whole = folder.path().join("whole");
        std::fs::create_dir(&whole).expect("made");
        symlink("/dev/zero", whole.join(".git")).expect("linked");
        assert!(check(&whole).is_err());
    }
}
