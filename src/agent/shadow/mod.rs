//! The shadow: a private copy of the workspace in which proposals are proven (spec: Safety, isolated validation).
//!
//! One persistent tree for each workspace, under the user's cache:
//!
//! ```text
//! CACHE/<workspace id>/1/lock       held while a process uses this shadow; a second process uses 2, and so on
//!                        manifest   what is known of each file (manifest.rs)
//!                        fs/…       the tree, at its absolute path, with links to its surroundings (surroundings.rs)
//!                        target/    build folder of the checks, so that the user's builds are not disturbed
//!                        analyzer/, tests/, tools/, shell/    those of others (builds.rs)
//!                        tmp/       scratch folder
//!                        homes/     what stands for the folders that a user has, for each builder (`furnish`)
//!                        guests/    folders of plugins, one for each call; no builder may write it
//!                        git/       repositories without logins, which no builder may write (repositories.rs)
//!                        aside/     what could not be removed (removal.rs)
//! ```
//!
//! [`Shadow::sync`] makes the tree equal to the workspace as `scan.rs` sees it, with open buffers over it, and undoes
//! whatever proposals, tests or tools left behind. [`Shadow::lay`] puts proposed text over it, and its inverse
//! takes that back. A file that changes after the first fill gets a fresh modification time, whatever the original's is, so
//! that no build tool takes a result of other text for current.

pub mod builds;
mod fill;
mod manifest;
mod neighbours;
mod place;
mod python;
mod removal;
mod repositories;
mod scan;
mod surroundings;
pub mod trace;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, TryLockError};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::host::Host;
use crate::safety::paths::may_hold_secrets;
use crate::text::beneath;
use crate::text::edit::EditSet;
use crate::tools::sandbox::OWN;
use crate::vcs;
use builds::Builder;
use manifest::Manifest;
use trace::{Mark, Traces};

/// Processes that may prove something in one workspace at the same time.
const SHADOWS_MAX: usize = 16;

/// Files above this size are not read as text.
const TEXT_BYTES_MAX: u64 = 16_000_000;

/// Why the shadow could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system refused.
    #[error("cannot {doing} {}: {source}", path.display())]
    Files {
        /// What was being done.
        doing: &'static str,
        /// To which path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// All shadows of this workspace are in use.
    #[error("{SHADOWS_MAX} processes prove edits in {} already; end one of them", workspace.display())]
    Busy {
        /// The workspace.
        workspace: PathBuf,
    },
    /// A path is not a plain path below the workspace.
    #[error("{} is not a path inside the workspace", path.display())]
    Outside {
        /// The path as it was given.
        path: PathBuf,
    },
    /// A path leads out of the shadow through a link.
    #[error("{} lies behind the link {}, which leads out of what can be proven; change the file where it really is", path.display(), link.display())]
    BehindLink {
        /// The path as it was given.
        path: PathBuf,
        /// The link in it.
        link: PathBuf,
    },
    /// Version control could not be read.
    #[error(transparent)]
    VersionControl(#[from] vcs::Error),
}

/// What a sync did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SyncReport {
    /// Files, links and folders that the shadow holds.
    pub entries: usize,
    /// Files that were copied because they are missing in the shadow or changed in the workspace.
    pub copied: usize,
    /// Files that somebody changed in the shadow and that were restored.
    pub restored: usize,
    /// Open buffers that were written.
    pub laid: usize,
    /// Files, links and folders that were removed.
    pub removed: usize,
    /// Paths whose content in the shadow is another than before, relative to the tree.
    pub changed: Vec<PathBuf>,
    /// What was left out, and why: secrets, sockets, folders that cannot be read.
    pub skipped: Vec<(PathBuf, String)>,
    /// Wall time.
    pub milliseconds: u64,
}

/// A private copy of one workspace. Dropping it lets another process use it.
#[derive(Debug)]
pub struct Shadow {
    workspace: PathBuf,
    root: PathBuf,
    tree: PathBuf,
    apart: Vec<PathBuf>,
    manifest: Manifest,
    /// The open buffers that the last sync laid over the workspace.
    overlay: BTreeMap<PathBuf, Arc<str>>,
    /// Nothing was ever built from this shadow.
    pristine: bool,
    clones_blocks: Option<bool>,
    environments: Vec<PathBuf>,
    active_environment: Option<PathBuf>,
    folders_made: BTreeSet<PathBuf>,
    /// Files in and above the workspace that may hold secrets and are not in the shadow.
    secrets: Vec<PathBuf>,
    home: PathBuf,
    /// The projects and manifests around the workspace that its builds read.
    neighbours: Vec<PathBuf>,
    /// Held as long as this value lives.
    _lock: File,
}

impl Shadow {
    /// Opens the shadow of a workspace, or makes an empty one. It is not waited for: when another process uses the
    /// shadow, a further one is used.
    pub fn open(host: &Host, workspace: &Path) -> Result<Self, Error> {
        let workspace = workspace
            .canonicalize()
            .map_err(|source| files("open", workspace, source))?;
        let home = host.cache_of(&workspace);
        for number in 1..=SHADOWS_MAX {
            let root = home.join(number.to_string());
            std::fs::create_dir_all(&root).map_err(|source| files("create", &root, source))?;
            let root = root
                .canonicalize()
                .map_err(|source| files("open", &root, source))?;
            if let Some(lock) = lock(&root.join("lock"))? {
                return Self::at(host, workspace, root, lock);
            }
        }
        Err(Error::Busy { workspace })
    }

    fn at(host: &Host, workspace: PathBuf, root: PathBuf, lock: File) -> Result<Self, Error> {
        let tree = surroundings::mirrored(&root.join("fs"), &workspace);
        let is_empty = |folder: &Path| {
            std::fs::read_dir(folder).map_or(true, |mut entries| entries.next().is_none())
        };
        let built = Builder::ALL.map(|builder| root.join(builder.folder()));
        let pristine = is_empty(&tree) && built.iter().all(|folder| is_empty(folder));
        let scratch = root.join("tmp");
        removal::sweep(&root);
        removal::clear(&root, &scratch).map_err(|source| files("empty", &scratch, source))?;
        for folder in built.iter().chain([&tree, &scratch]) {
            std::fs::create_dir_all(folder).map_err(|source| files("create", folder, source))?;
        }
        let apart = [&host.cache, &host.state]
            .into_iter()
            .filter_map(|folder| folder.canonicalize().ok())
            .collect();
        Ok(Self {
            manifest: Manifest::load(&root.join("manifest")),
            workspace,
            root,
            tree,
            apart,
            overlay: BTreeMap::new(),
            pristine,
            clones_blocks: None,
            environments: Vec::new(),
            active_environment: host.variable("VIRTUAL_ENV").map(PathBuf::from),
            folders_made: BTreeSet::new(),
            secrets: Vec::new(),
            home: host.home.clone(),
            neighbours: Vec::new(),
            _lock: lock,
        })
    }

    /// The workspace that is mirrored.
    pub fn workspace(&self) -> &Path {
        &self.workspace
    }

    /// The open buffers that are laid over it.
    pub fn overlay(&self) -> &BTreeMap<PathBuf, Arc<str>> {
        &self.overlay
    }

    /// The mirrored workspace root.
    pub fn tree(&self) -> &Path {
        &self.tree
    }

    /// The build folder of one that builds in the shadow.
    pub fn target(&self, builder: Builder) -> PathBuf {
        self.root.join(builder.folder())
    }

    /// The scratch folder, emptied whenever the shadow is opened.
    pub fn scratch(&self) -> PathBuf {
        self.root.join("tmp")
    }

    /// The folder that stands for what every user has, for one that builds. What builds may write what is in it and not
    /// the folder itself: it cannot put a link to the user's own in the place of one of them.
    pub fn own(&self, builder: Builder) -> PathBuf {
        self.root.join("homes").join(builder.folder())
    }

    /// Makes that folder anew, empty as that of somebody who never was here.
    pub fn furnish(&self, builder: Builder) -> Result<PathBuf, Error> {
        let own = self.own(builder);
        removal::clear(&self.root, &own).map_err(|source| files("empty", &own, source))?;
        for name in OWN {
            let folder = own.join(name);
            std::fs::create_dir_all(&folder).map_err(|source| files("create", &folder, source))?;
        }
        Ok(own)
    }

    /// The folder in which each call of a plugin makes one of its own, empty. No builder may write it, so that what is
    /// made there is what it was made as.
    pub fn clear_guests(&self) -> Result<(), Error> {
        let guests = self.guests();
        removal::clear(&self.root, &guests).map_err(|source| files("empty", &guests, source))?;
        std::fs::create_dir(&guests).map_err(|source| files("create", &guests, source))
    }

    /// Where that folder is.
    pub fn guests(&self) -> PathBuf {
        self.root.join("guests")
    }

    /// What stands for repositories whose settings hold a login, to be read and not to be written.
    pub fn repositories(&self) -> PathBuf {
        self.root.join("git")
    }

    /// Files in and above the workspace that were left out because they may hold secrets: no child may read them where
    /// they are. Of very many it is the folders that they are in.
    pub fn secrets(&self) -> &[PathBuf] {
        &self.secrets
    }

    /// What lies around the workspace and may be read: manifests above it, and the projects that its manifests name, as
    /// they were at the last sync.
    pub fn neighbours(&self) -> &[PathBuf] {
        &self.neighbours
    }

    /// The only folders that a confined child may write.
    pub fn writable(&self, builder: Builder) -> Vec<PathBuf> {
        let own = self.own(builder);
        let own = OWN.map(|name| own.join(name));
        let all = [self.tree.clone(), self.target(builder), self.scratch()];
        all.into_iter().chain(own).collect()
    }

    /// Variables that keep tools inside the shadow: build folder, scratch folder, and for Python the shadow's sources
    /// before those that an editable installation names.
    pub fn environment(&self, builder: Builder) -> BTreeMap<String, String> {
        let scratch = self.scratch().display().to_string();
        let target = self.target(builder);
        let below = |name: &str| target.join(name).display().to_string();
        let mut variables = BTreeMap::from([
            ("CARGO_TARGET_DIR".to_owned(), target.display().to_string()),
            ("GOCACHE".to_owned(), below("go")),
            ("XDG_CACHE_HOME".to_owned(), below("cache")),
            ("npm_config_cache".to_owned(), below("npm")),
            (
                "PYTHONPYCACHEPREFIX".to_owned(),
                below(builds::COMPILED_PYTHON),
            ),
        ]);
        for name in ["TMPDIR", "TMP", "TEMP"] {
            variables.insert(name.to_owned(), scratch.clone());
        }
        let installed = self
            .environments
            .iter()
            .map(|environment| self.workspace.join(environment))
            .chain(self.active_environment.clone());
        let sources: Vec<String> = python::editable_sources(installed, &self.workspace, &self.tree)
            .iter()
            .map(|folder| folder.display().to_string())
            .collect();
        if !sources.is_empty() {
            let separator = if cfg!(windows) { ";" } else { ":" };
            variables.insert("PYTHONPATH".to_owned(), sources.join(separator));
        }
        variables
    }

    /// Makes the tree equal to the workspace, with the text of open buffers over it. Whatever else was in the tree,
    /// proposals included, is gone afterwards.
    pub fn sync(&mut self, overlay: &BTreeMap<PathBuf, Arc<str>>) -> Result<SyncReport, Error> {
        self.overlay.clone_from(overlay);
        fill::sync(self, overlay).or_else(|error| {
            if !self.is_litter(&error) {
                return Err(error);
            }
            tracing::warn!(%error, "the copy of the workspace is made anew");
            self.begin_anew()?;
            fill::sync(self, overlay)
        })
    }

    /// Whether something failed for what is in the copy, which programs may have left there, and not for want of room.
    fn is_litter(&self, error: &Error) -> bool {
        use io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        let full = [QuotaExceeded, ReadOnlyFilesystem, StorageFull];
        matches!(error, Error::Files { path, source, .. }
            if path.starts_with(&self.tree) && !full.contains(&source.kind()))
    }

    /// Puts the tree aside. Everything that was known of it is known of nothing.
    fn begin_anew(&mut self) -> Result<(), Error> {
        let fs = self.root.join("fs");
        removal::put_aside(&self.root, &fs).map_err(|source| files("move", &fs, source))?;
        self.manifest = Manifest::default();
        Ok(())
    }

    /// Remembers the tree with what is laid over it, before a program runs that may change it.
    pub fn mark(&self, laid: &EditSet) -> Result<Mark, Error> {
        trace::mark(self, laid)
    }

    /// Makes the tree what it was at the mark, and tells what was another.
    pub fn take_back(&mut self, mark: &Mark, laid: &EditSet) -> Result<Traces, Error> {
        trace::take_back(self, mark, laid)
    }

    /// Puts proposed text over the tree. Nothing is written when any of the paths cannot be.
    pub fn lay(&mut self, edits: &EditSet) -> Result<(), Error> {
        for path in edits.files.keys() {
            self.check_writable(path)?;
        }
        for (path, edit) in &edits.files {
            self.put(path, edit.after.as_deref())?;
        }
        Ok(())
    }

    /// The text of a file as the shadow holds it; `None` when it is not there, is not valid UTF-8, is too large, or
    /// may hold secrets.
    pub fn text(&self, relative: &Path) -> Option<Arc<str>> {
        if !place::is_plain(relative) || may_hold_secrets(relative) {
            return None;
        }
        let mut file = self.open_text(relative).ok()?;
        let is_text_sized = file.metadata().ok()?.len() <= TEXT_BYTES_MAX;
        let mut bytes = Vec::new();
        let read = is_text_sized.then(|| file.read_to_end(&mut bytes));
        read?.ok()?;
        String::from_utf8(bytes).ok().map(Arc::from)
    }

    /// Opens a file of the tree. A link that leads out of it counts only where the workspace has the same: any other was
    /// made by a program, perhaps to what it cannot read itself.
    fn open_text(&self, relative: &Path) -> io::Result<File> {
        beneath::open(&self.tree, relative).or_else(|error| {
            let link = place::link_above(&self.tree, relative);
            let link = link.unwrap_or_else(|| relative.to_owned());
            let target = |root: &Path| std::fs::read_link(root.join(&link)).ok();
            let original = self.workspace.join(relative);
            let is_the_users = target(&self.workspace).is_some_and(|users| {
                target(&self.tree) == Some(users)
                    && original.metadata().is_ok_and(|it| it.is_file())
            });
            if is_the_users {
                File::open(original)
            } else {
                Err(error)
            }
        })
    }

    fn check_writable(&self, path: &Path) -> Result<(), Error> {
        if !place::is_plain(path) {
            return Err(Error::Outside {
                path: path.to_owned(),
            });
        }
        match place::link_above(&self.tree, path) {
            Some(link) => Err(Error::BehindLink {
                path: path.to_owned(),
                link,
            }),
            None => Ok(()),
        }
    }

    fn put(&mut self, relative: &Path, text: Option<&str>) -> Result<(), Error> {
        let path = self.tree.join(relative);
        self.forget_compiled(relative)?;
        let Some(text) = text else {
            place::remove_within(&self.tree, relative)
                .map_err(|source| files("remove", &path, source))?;
            self.remove_folders_made(relative);
            return Ok(());
        };
        for folder in relative.ancestors().skip(1) {
            if !self.tree.join(folder).is_dir() {
                self.folders_made.insert(folder.to_owned());
            }
        }
        let was_there = path.symlink_metadata().is_ok();
        place::write(&self.tree, relative, text.as_bytes())
            .map_err(|source| files("write", &path, source))?;
        match self.workspace.join(relative).metadata() {
            // A file that comes back gets its mode back.
            Ok(original) if !was_there && original.is_file() => {
                place::set_mode(&self.tree, relative, &original)
                    .map_err(|source| files("write", &path, source))
            }
            _ => Ok(()),
        }
    }

    /// Makes sure that no tool takes what it compiled of a file's earlier text for current.
    fn forget_compiled(&self, relative: &Path) -> Result<(), Error> {
        if relative.extension().is_none_or(|ending| ending != "py") {
            return Ok(());
        }
        for builder in Builder::ALL {
            let target = self.target(builder);
            builds::forget_python(&target)
                .map_err(|source| files("forget what was compiled in", &target, source))?;
        }
        Ok(())
    }

    /// Removes what no honest build leaves in a build folder, before the next one believes it.
    pub fn distrust(&self, builder: Builder) -> Result<(), Error> {
        let target = self.target(builder);
        builds::distrust(&target).map_err(|source| files("look through", &target, source))
    }

    /// Removes folders that [`Shadow::lay`] made and that are empty again.
    fn remove_folders_made(&mut self, relative: &Path) {
        for folder in relative.ancestors().skip(1) {
            let is_ours = self.folders_made.contains(folder);
            if !is_ours || place::remove_folder(&self.tree, folder).is_err() {
                return;
            }
            self.folders_made.remove(folder);
        }
    }
}

fn lock(path: &Path) -> Result<Option<File>, Error> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(|source| files("open", path, source))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(source)) => Err(files("lock", path, source)),
    }
}

fn files(doing: &'static str, path: &Path, source: io::Error) -> Error {
    Error::Files {
        doing,
        path: path.to_owned(),
        source,
    }
}
