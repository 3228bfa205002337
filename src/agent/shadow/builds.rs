//! Build folders, one for each kind of builder (spec: Safety, isolated validation).
//!
//! A build tool believes what it finds in its folder: a stamp that is newer than every source vouches for text that does
//! not compile. So nobody builds on what others could have written, and least of all a check on what tests or the
//! command lines of a model left behind.

use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::{place, removal};

/// Where Python keeps what it compiles, in a build folder.
pub(super) const COMPILED_PYTHON: &str = "pycache";

/// What a clock may be ahead of that of a file system.
const SLACK: Duration = Duration::from_secs(2);

/// Folders of cargo with its stamps: one folder below them for each unit.
const STAMPS: [&str; 2] = [".fingerprint", "build"];

/// Folders above those: the profile, and perhaps a target triple.
const DEPTH_MAX: usize = 2;

/// Who builds in a shadow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Builder {
    /// Checks of proposed text.
    Check,
    /// The language server that looks at it. It lets cargo check with a wrapper that compiles nothing, and a check would
    /// take what that leaves behind for a clean result.
    Server,
    /// Tests that prove.
    Test,
    /// Tools that run known programs on a model's behalf.
    Tool,
    /// Command lines.
    Shell,
}

impl Builder {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Check,
        Self::Server,
        Self::Test,
        Self::Tool,
        Self::Shell,
    ];

    pub(super) fn folder(self) -> &'static str {
        match self {
            Self::Check => "target",
            Self::Server => "analyzer",
            Self::Test => "tests",
            Self::Tool => "tools",
            Self::Shell => "shell",
        }
    }
}

/// Removes what Python compiled. Compiled modules are taken for current when the source has the same size and the same
/// modification time in whole seconds; two texts of a proposal are laid in less. Nobody is told to keep any, so that
/// there seldom are some.
pub(super) fn forget_python(target: &Path) -> std::io::Result<()> {
    removal::remove(&target.join(COMPILED_PYTHON))
}

/// Removes what no honest build leaves behind: stamps from the future, which would vouch for every later text, and
/// compiled Python. No link is followed: a project's code may have made it.
pub(super) fn distrust(target: &Path) -> std::io::Result<()> {
    place::open_up(target, Path::new(""));
    forget_python(target)?;
    let latest = SystemTime::now() + SLACK;
    let is_ahead = |metadata: &Metadata| metadata.modified().is_ok_and(|at| at > latest);
    for folder in stamped(target, DEPTH_MAX) {
        for unit in entries(&folder) {
            let inside = if is_folder(&unit) {
                entries(&unit)
            } else {
                Vec::new()
            };
            let mut stamps = inside.into_iter().chain([unit.clone()]);
            let is_forged = stamps.any(|stamp| {
                let metadata = stamp.symlink_metadata();
                metadata.is_ok_and(|metadata| is_ahead(&metadata))
            });
            if is_forged && let Ok(inside) = unit.strip_prefix(target) {
                place::remove_within(target, inside)?;
            }
        }
    }
    Ok(())
}

fn stamped(folder: &Path, depth: usize) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = STAMPS.map(|name| folder.join(name)).into();
    found.retain(|folder| is_folder(folder));
    if depth > 0 {
        let below = entries(folder).into_iter().filter(|path| is_folder(path));
        found.extend(below.flat_map(|folder| stamped(&folder, depth - 1)));
    }
    found
}

fn is_folder(path: &Path) -> bool {
    let metadata = path.symlink_metadata();
    metadata.is_ok_and(|metadata| metadata.is_dir())
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_from_the_future_are_removed_and_others_stay() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let units = [
            "debug/.fingerprint/a-1",
            "debug/.fingerprint/b-2",
            "x86/debug/build/c-3",
        ];
        for unit in units.map(|unit| folder.path().join(unit)) {
            std::fs::create_dir_all(&unit).expect("made");
            std::fs::write(unit.join("stamp"), "").expect("written");
        }
        for unit in [units[0], units[2]] {
            let stamp = folder.path().join(unit).join("stamp");
            let stamp = std::fs::File::options().write(true).open(stamp);
            let ahead = SystemTime::now() + Duration::from_secs(3600);
            stamp
                .expect("it is there")
                .set_modified(ahead)
                .expect("set");
        }
        distrust(folder.path()).expect("it can be looked at");
        let left = units.map(|unit| folder.path().join(unit).exists());
        assert_eq!(left, [false, true, false]);
    }
}
