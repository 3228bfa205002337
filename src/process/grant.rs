//! Opens what a child is granted, as what it is: a link in its place is refused (spec: Sandbox for untrusted code).
//!
//! Who follows a link grants what it leads to. Where a folder lies that children may write, one of them can have put a
//! link to the user's home there.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, openat};

/// What is at a path; `None` where nothing can be found there, which grants nothing.
pub(super) fn open(path: &Path) -> Result<Option<OwnedFd>, String> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let Ok(handle) = openat(CWD, path, flags, Mode::empty()) else {
        return Ok(None);
    };
    let named = |what: &dyn std::fmt::Display| format!("{} {what}", path.display());
    let found = fstat(&handle).map_err(|error| named(&error))?;
    if FileType::from_raw_mode(found.st_mode).is_symlink() {
        return Err(named(&"is a link, and nobody is granted what one leads to"));
    }
    Ok(Some(handle))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    #[test]
    fn a_link_is_refused_and_what_is_not_there_grants_nothing() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let link = folder.path().join("link");
        symlink("/", &link).expect("linked");
        symlink("nowhere", folder.path().join("dangling")).expect("linked");
        let open = |path: &str| super::open(&folder.path().join(path)).map(|it| it.is_some());
        assert_eq!(open(""), Ok(true));
        assert_eq!(open("link/etc"), Ok(true), "only the last name counts");
        assert_eq!(open("none"), Ok(false));
        for path in ["link", "dangling"] {
            assert!(open(path).is_err_and(|reason| reason.contains("is a link")));
        }
    }
}
