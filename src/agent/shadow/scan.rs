//! What of a workspace belongs into its shadow (spec: Safety, isolated validation).
//!
//! | in the workspace | in the shadow |
//! |---|---|
//! | files that git does not ignore, and ignored ones that it tracks | a copy |
//! | other ignored files and folders (generated code, outputs that neighbours import) | a copy while they are small, else a link |
//! | dependency folders (`node_modules`, virtual environments, ignored `vendor`) | links, entry by entry in `node_modules` |
//! | caches (`target`, `__pycache__`, `.next`, whatever holds a `CACHEDIR.TAG`) | nothing |
//! | certificates and keys that git tracks, which tests and builds need | a link |
//! | other files that may hold secrets, and links of such names, whether git tracks them or not | nothing |
//! | `.git` | a link; where its settings hold a login, to what stands for it (repositories.rs) |
//! | symbolic links | the same link; one with an absolute target inside the workspace leads into the shadow |
//! | sockets, pipes, devices | nothing |
//!
//! A link is read-only in effect: confined children can write to the shadow's folders only.

use std::collections::BTreeMap;
use std::fs::{DirEntry, FileType};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::manifest::Stamp;
use crate::safety::paths::may_hold_secrets;
use crate::text::ignored::{Rules, Whose};
use crate::vcs::Tracked;

/// Files above this size are linked where the file system cannot share their blocks.
pub(super) const LARGE_BYTES: u64 = 16_000_000;

/// Files of one ignored folder that are copied; a folder with more is linked as a whole.
const IGNORED_FILES_MAX: usize = 2_000;

/// Bytes of one ignored folder, and of all single ignored files, that are copied.
const IGNORED_BYTES_MAX: u64 = 32_000_000;

/// Folders that only speed up tools, when git ignores them.
const CACHES: [&str; 14] = [
    "target",
    ".next",
    ".nuxt",
    ".turbo",
    ".parcel-cache",
    ".gradle",
    ".tox",
    ".nox",
    ".eggs",
    ".hypothesis",
    ".ipynb_checkpoints",
    ".direnv",
    "coverage",
    "htmlcov",
];

/// Folders that only speed up tools, whatever git says.
const CACHES_ALWAYS: [&str; 7] = [
    "__pycache__",
    ".pytest_cache",
    ".mypy_cache",
    ".ruff_cache",
    ".hg",
    ".svn",
    ".jj",
];

/// Endings of certificates and keys. Those that git tracks are for tests, and a build that embeds them fails without
/// them; what else holds secrets is left out although it is tracked.
const CERTIFICATES: [&str; 6] = ["pem", "key", "p12", "pfx", "jks", "keystore"];

/// What the shadow should hold at one path.
#[derive(Debug, Clone)]
pub(super) enum Wanted {
    Folder,
    /// A copy of the workspace file that has this stamp.
    Copy(Stamp),
    /// The text of an open buffer.
    Text(Arc<str>),
    /// A symbolic link with this target.
    Link(PathBuf),
}

/// Everything that belongs into the shadow, by path relative to the workspace.
#[derive(Debug, Default)]
pub(super) struct Scan {
    pub(super) wanted: BTreeMap<PathBuf, Wanted>,
    /// Virtual environments, relative to the workspace.
    pub(super) environments: Vec<PathBuf>,
    /// What was left out although it is neither a cache nor ignored, and why.
    pub(super) skipped: Vec<(PathBuf, String)>,
    /// Files among them that may hold secrets.
    pub(super) secrets: Vec<PathBuf>,
}

/// Walks a workspace. Absolute links into the workspace are turned to `tree`; the folders in `apart` (our own cache
/// and state) are left out.
pub(super) fn scan(
    workspace: &Path,
    tree: &Path,
    tracked: &Tracked,
    apart: &[PathBuf],
) -> std::io::Result<Scan> {
    // The root must be readable; below it, what cannot be read is skipped and named.
    std::fs::read_dir(workspace)?;
    let mut walk = Walk {
        workspace,
        tree,
        tracked,
        apart,
        scan: Scan::default(),
        loose_bytes_left: IGNORED_BYTES_MAX,
    };
    let rules = Rules::around(workspace, Whose::Gits);
    walk.folder(Path::new(""), &rules, &mut Status::Known);
    Ok(walk.scan)
}

/// Tells of single files whether git ignores them, or whether they are in a folder that only speeds up tools.
pub(super) struct Ignored<'workspace> {
    workspace: &'workspace Path,
    tracked: &'workspace Tracked,
    around: Arc<Rules>,
    /// Those of the folders that were asked about, each with the ones above it.
    folders: BTreeMap<PathBuf, Arc<Rules>>,
}

impl<'workspace> Ignored<'workspace> {
    pub(super) fn new(workspace: &'workspace Path, tracked: &'workspace Tracked) -> Self {
        Self {
            workspace,
            tracked,
            around: Rules::around(workspace, Whose::Gits),
            folders: BTreeMap::new(),
        }
    }

    pub(super) fn contains(&mut self, relative: &Path) -> bool {
        if self.tracked.contains(relative) {
            return false;
        }
        let mut above: Vec<&Path> = relative.ancestors().collect();
        above.reverse();
        let special = |path: &Path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name == "node_modules" || name == ".git" || CACHES_ALWAYS.contains(&&*name)
        };
        let is_ignored = |path: &Path, ignored: &mut Self| {
            special(path) || ignored.by_rules(path, path != relative)
        };
        let mut parts = above.into_iter().skip(1);
        parts.any(|path| is_ignored(path, self))
    }

    fn by_rules(&mut self, path: &Path, is_folder: bool) -> bool {
        let mut folders: Vec<&Path> = path.ancestors().skip(1).collect();
        folders.reverse();
        let mut rules = Arc::clone(&self.around);
        for folder in folders {
            let within = || rules.within(&self.workspace.join(folder));
            let known = self.folders.entry(folder.to_owned());
            rules = Arc::clone(known.or_insert_with(within));
        }
        let path = self.workspace.join(path);
        rules.leave_out(&path, is_folder) == Some(true)
    }
}

/// How git sees the folder that is being walked.
enum Status {
    /// Not ignored, or ignored with tracked files in it.
    Known,
    /// Ignored as a whole; it is copied while it stays below these limits.
    Ignored { files_left: usize, bytes_left: u64 },
}

struct Walk<'walk> {
    workspace: &'walk Path,
    tree: &'walk Path,
    tracked: &'walk Tracked,
    apart: &'walk [PathBuf],
    scan: Scan,
    loose_bytes_left: u64,
}

impl Walk<'_> {
    /// Walks one folder; `false` when the limits of an ignored folder are used up.
    fn folder(&mut self, relative: &Path, above: &Arc<Rules>, status: &mut Status) -> bool {
        let absolute = self.workspace.join(relative);
        let entries = match std::fs::read_dir(&absolute) {
            Ok(entries) => entries.filter_map(Result::ok).collect::<Vec<_>>(),
            Err(error) => {
                self.skip(relative, error.to_string());
                return true;
            }
        };
        let holds = |name: &str| entries.iter().any(|entry| entry.file_name() == name);
        let is_root = relative.as_os_str().is_empty();
        if !is_root
            && (holds("CACHEDIR.TAG") || holds("pyvenv.cfg"))
            && !self.tracked.any_in(relative)
        {
            if holds("pyvenv.cfg") {
                self.want(relative, Wanted::Link(absolute));
                self.scan.environments.push(relative.to_owned());
            }
            return true;
        }
        if !is_root {
            self.want(relative, Wanted::Folder);
        }
        let rules = above.within(&absolute);
        entries
            .iter()
            .all(|entry| self.entry(relative, entry, &rules, status))
    }

    fn entry(
        &mut self,
        folder: &Path,
        entry: &DirEntry,
        rules: &Arc<Rules>,
        status: &mut Status,
    ) -> bool {
        let name = entry.file_name();
        let relative = folder.join(&name);
        let absolute = self.workspace.join(&relative);
        let Ok(kind) = entry.file_type() else {
            return true;
        };
        if name == ".git" && kind.is_dir() {
            self.want(&relative, Wanted::Link(absolute));
            return true;
        }
        if self.apart.contains(&absolute) {
            return true;
        }
        if kind.is_dir() {
            self.subfolder(&relative, &absolute, rules, status)
        } else if kind.is_symlink() {
            self.link(&relative, &absolute);
            true
        } else if kind.is_file() {
            self.file(&relative, entry, rules, status)
        } else {
            self.skip(&relative, describe(kind).to_owned());
            true
        }
    }

    fn subfolder(
        &mut self,
        relative: &Path,
        absolute: &Path,
        rules: &Arc<Rules>,
        status: &mut Status,
    ) -> bool {
        let name = relative.file_name().unwrap_or_default().to_string_lossy();
        let inherited = matches!(status, Status::Ignored { .. });
        let ignored = inherited || rules.leave_out(absolute, true) == Some(true);
        let special = name == "node_modules" || CACHES_ALWAYS.contains(&&*name);
        if !(ignored || special) || self.tracked.any_in(relative) {
            return self.folder(relative, rules, &mut Status::Known);
        }
        if name == "node_modules" {
            self.node_modules(relative, absolute);
            return true;
        }
        if CACHES_ALWAYS.contains(&&*name) || CACHES.contains(&&*name) {
            return true;
        }
        if name == "vendor" {
            self.want(relative, Wanted::Link(absolute.to_owned()));
            return true;
        }
        if inherited {
            return self.folder(relative, rules, status);
        }
        let mut limits = Status::Ignored {
            files_left: IGNORED_FILES_MAX,
            bytes_left: IGNORED_BYTES_MAX,
        };
        if !self.folder(relative, rules, &mut limits) {
            self.scan
                .wanted
                .retain(|path, _| !path.starts_with(relative));
            self.want(relative, Wanted::Link(absolute.to_owned()));
        }
        true
    }

    fn file(
        &mut self,
        relative: &Path,
        entry: &DirEntry,
        rules: &Arc<Rules>,
        status: &mut Status,
    ) -> bool {
        let absolute = entry.path();
        let Ok(metadata) = entry.metadata() else {
            return true;
        };
        if may_hold_secrets(relative) {
            if self.is_of_tests(relative) {
                self.want(relative, Wanted::Link(absolute));
            } else {
                self.keep_secret(relative);
            }
            return true;
        }
        let bytes = metadata.len();
        if let Status::Ignored {
            files_left,
            bytes_left,
        } = status
        {
            if *files_left == 0 || *bytes_left < bytes {
                return false;
            }
            *files_left -= 1;
            *bytes_left -= bytes;
        } else if rules.leave_out(&absolute, false) == Some(true)
            && !self.tracked.contains(relative)
        {
            if self.loose_bytes_left < bytes {
                self.want(relative, Wanted::Link(absolute));
                return true;
            }
            self.loose_bytes_left -= bytes;
        }
        self.want(relative, Wanted::Copy(Stamp::of(&metadata)));
        true
    }

    /// Keeps a link as it is. One with an absolute target inside the workspace is turned to the shadow, so that
    /// nothing reads the original where the shadow has its own.
    fn link(&mut self, relative: &Path, absolute: &Path) {
        let Ok(target) = std::fs::read_link(absolute) else {
            return;
        };
        if may_hold_secrets(relative) && !self.is_of_tests(relative) {
            self.keep_secret(relative);
            return;
        }
        let target = match target.strip_prefix(self.workspace) {
            Ok(inside) => self.tree.join(inside),
            Err(_) => target,
        };
        self.want(relative, Wanted::Link(target));
    }

    /// Mirrors a `node_modules` by one link for each package. Packages of the workspace itself are links there
    /// already, and stay so: they lead to the shadow's own copy.
    fn node_modules(&mut self, relative: &Path, absolute: &Path) {
        self.want(relative, Wanted::Folder);
        for entry in std::fs::read_dir(absolute).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let inner = relative.join(&name);
            if name == ".cache" {
                continue;
            }
            if is_folder && name.as_encoded_bytes().starts_with(b"@") {
                self.node_modules(&inner, &entry.path());
            } else if self.is_own_package(&entry.path()) {
                self.link(&inner, &entry.path());
            } else {
                self.want(&inner, Wanted::Link(entry.path()));
            }
        }
    }

    fn is_own_package(&self, path: &Path) -> bool {
        let is_link = path
            .symlink_metadata()
            .is_ok_and(|metadata| metadata.is_symlink());
        is_link
            && path.canonicalize().is_ok_and(|resolved| {
                resolved
                    .strip_prefix(self.workspace)
                    .is_ok_and(|inside| inside.iter().all(|name| name != "node_modules"))
            })
    }

    /// Whether a file that may hold secrets is a certificate or a key that everybody has who has the repository.
    fn is_of_tests(&self, relative: &Path) -> bool {
        let end = relative
            .extension()
            .unwrap_or_default()
            .to_ascii_lowercase();
        let mut certificates = CERTIFICATES.iter();
        certificates.any(|certificate| end == *certificate) && self.tracked.contains(relative)
    }

    fn want(&mut self, relative: &Path, wanted: Wanted) {
        self.scan.wanted.insert(relative.to_owned(), wanted);
    }

    fn keep_secret(&mut self, relative: &Path) {
        self.skip(relative, "it may hold secrets".to_owned());
        self.scan.secrets.push(relative.to_owned());
    }

    fn skip(&mut self, relative: &Path, reason: String) {
        self.scan.skipped.push((relative.to_owned(), reason));
    }
}

#[cfg(unix)]
fn describe(kind: FileType) -> &'static str {
    use std::os::unix::fs::FileTypeExt;
    if kind.is_socket() {
        "it is a socket"
    } else if kind.is_fifo() {
        "it is a pipe"
    } else {
        "it is a device"
    }
}

#[cfg(not(unix))]
fn describe(_kind: FileType) -> &'static str {
    "it is neither a file nor a folder"
}
