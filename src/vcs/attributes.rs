//! What attributes and `.gitignore` say of files that are to be committed (spec: Git Tool).
//!
//! Filters are programs that the repository, or the user, names. None is run: a file that wants one is left out of
//! commits, because without it something else would be committed than git would (a secret in place of its cipher).
//! Patterns and macros are read by the library that gitoxide has for them, in git's order: the system's file, the user's,
//! those of the folders from the root down, that of the repository. Of a folder it is the file that lies there, else
//! the one that is staged, as git has it.

use std::path::{Path, PathBuf};

use gix::bstr::BStr;
use gix::glob::pattern::Case;
use gix_attributes::search::{MetadataCollection, Outcome};
use gix_attributes::{Search, StateRef};

use super::index;
use crate::config::file;
use crate::text::ignored::{Rules, Whose};

/// The name of a file of attributes.
const NAME: &str = ".gitattributes";

/// Bytes of a file of attributes that are read.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Attributes that change what is stored.
const STORED: [&str; 3] = ["filter", "working-tree-encoding", "ident"];

/// Where a system has a file of attributes.
pub(super) const OF_SYSTEM: [&str; 3] = [
    "/etc/gitattributes",
    "/usr/local/etc/gitattributes",
    "/opt/homebrew/etc/gitattributes",
];

/// What git has where nobody says otherwise.
const BUILT_IN: &[u8] = b"[attr]binary -diff -merge -text";

/// The attributes of a repository.
#[derive(Debug)]
pub(super) struct Attributes<'repository> {
    repository: &'repository gix::Repository,
    root: PathBuf,
    /// What holds in all repositories, and in all of this one.
    outer: Vec<PathBuf>,
    own: PathBuf,
    staged: Option<gix::index::File>,
    case: Case,
}

/// What is said of one file.
#[derive(Debug)]
pub(super) struct Said {
    values: Vec<(&'static str, String)>,
}

impl<'repository> Attributes<'repository> {
    /// Those of the repository at `root`, with the files that hold for all of the user's.
    pub(super) fn read(
        root: &Path,
        repository: &'repository gix::Repository,
        outer: &[PathBuf],
    ) -> Self {
        let settings = repository.config_snapshot();
        let case = match settings.boolean("core.ignoreCase") {
            Some(true) => Case::Fold,
            _ => Case::Sensitive,
        };
        Self {
            repository,
            root: root.to_owned(),
            outer: outer.to_vec(),
            own: repository.common_dir().join("info/attributes"),
            staged: repository.open_index().ok(),
            case,
        }
    }

    /// What is said of a file, by its path relative to the root; an error where that cannot be known.
    pub(super) fn of(&self, path: &Path) -> Result<Said, String> {
        let mut collection = MetadataCollection::default();
        let mut search = Search::default();
        let mut add = |bytes: &[u8], from: PathBuf, is_own_folder: bool, has_macros: bool| {
            let root = is_own_folder.then_some(self.root.as_path());
            let read = search.add_patterns_buffer(bytes, from, root, &mut collection, has_macros);
            read.map_err(|error| format!("its attributes cannot be read: {error}"))
        };
        add(BUILT_IN, PathBuf::from("built in"), false, true)?;
        for file in &self.outer {
            if let Some(bytes) = content(file)? {
                add(&bytes, file.clone(), false, true)?;
            }
        }
        let mut folders: Vec<&Path> = path.ancestors().skip(1).collect();
        folders.reverse();
        for folder in folders {
            let file = folder.join(NAME);
            let there = self.root.join(&file);
            let bytes = match content(&there)? {
                Some(bytes) => Some(bytes),
                None => self.staged(&file)?,
            };
            if let Some(bytes) = bytes {
                let is_root = folder.as_os_str().is_empty();
                add(&bytes, there, true, is_root)?;
            }
        }
        if let Some(bytes) = content(&self.own)? {
            add(&bytes, self.own.clone(), false, true)?;
        }
        let mut outcome = Outcome::default();
        outcome.initialize(&collection);
        let name = path.to_str().ok_or("its name is no text")?;
        let name: &BStr = name.into();
        search.pattern_matching_relative_path(name, self.case, Some(false), &mut outcome);
        Ok(Said {
            values: values(&outcome),
        })
    }

    /// Why a file is not committed, if it is not.
    pub(super) fn obstacle(&self, path: &Path, is_new: bool) -> Option<String> {
        let said = match self.of(path) {
            Ok(said) => said,
            Err(reason) => return Some(format!("{reason}; commit it with git")),
        };
        if let Some((name, value)) = said.stored() {
            return Some(format!(
                "`{name}={value}` of .gitattributes would have to run on it: commit it with git"
            ));
        }
        (is_new && self.is_ignored(path)).then(|| "git ignores it".to_owned())
    }

    /// Whether its lines end as git stores them.
    pub(super) fn is_text(&self, path: &Path) -> bool {
        let said = self.of(path);
        said.is_ok_and(|said| said.is_set("text") || said.is_set("eol"))
    }

    /// The file of attributes that is staged at a path.
    fn staged(&self, path: &Path) -> Result<Option<Vec<u8>>, String> {
        let name = path.to_str().ok_or("its name is no text")?;
        let staged = self.staged.as_ref();
        let Some((_, id)) = staged.and_then(|staged| index::entry(staged, name.as_bytes())) else {
            return Ok(None);
        };
        let blob = self.repository.find_blob(id);
        let blob = blob.map_err(|error| format!("the staged {name} cannot be read: {error}"))?;
        Ok(Some(blob.data.clone()))
    }

    fn is_ignored(&self, path: &Path) -> bool {
        let mut rules = Rules::around(&self.root, Whose::Gits);
        let (mut folder, mut left) = (self.root.clone(), path.components());
        // In a folder that is ignored git sees nothing, whatever is said of it.
        while let Some(name) = left.next() {
            rules = rules.within(&folder);
            folder.push(name);
            let is_folder = !left.as_path().as_os_str().is_empty();
            if rules.leave_out(&folder, is_folder) == Some(true) {
                return true;
            }
        }
        false
    }
}

impl Said {
    /// The first attribute that changes what is stored, and its value.
    fn stored(&self) -> Option<(&'static str, &str)> {
        let mut values = self.values.iter();
        let found = values.find(|(name, value)| STORED.contains(name) && value != "unset");
        found.map(|(name, value)| (*name, value.as_str()))
    }

    fn is_set(&self, wanted: &str) -> bool {
        let mut values = self.values.iter();
        values.any(|(name, value)| *name == wanted && value != "unset")
    }
}

/// What was found of the attributes that matter.
fn values(outcome: &Outcome) -> Vec<(&'static str, String)> {
    let wanted = |name: &str| {
        let mut all = STORED.iter().chain(&["text", "eol"]);
        all.find(|known| **known == name).copied()
    };
    let found = outcome.iter().filter_map(|found| {
        let name = wanted(found.assignment.name.as_str())?;
        let value = match found.assignment.state {
            StateRef::Set => "set".to_owned(),
            StateRef::Unset => "unset".to_owned(),
            StateRef::Value(value) => value.as_bstr().to_string(),
            StateRef::Unspecified => return None,
        };
        Some((name, value))
    });
    found.collect()
}

/// The content of a file of attributes; nothing where there is none, an error where git may read what we do not.
fn content(file: &Path) -> Result<Option<Vec<u8>>, String> {
    let said = |what: &dyn std::fmt::Display| format!("{} cannot be read: {what}", file.display());
    let entry = match file.symlink_metadata() {
        Ok(entry) => entry,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => return Ok(None),
        Err(error) => return Err(said(&error)),
    };
    // Of links git follows some, of folders none; what is at `/dev/null` says nothing.
    let real = file.metadata().map_err(|error| said(&error))?;
    let is_in_tree = file.ends_with(NAME);
    if is_in_tree && entry.is_symlink() {
        return Err(said(&"it is a link"));
    }
    if !real.is_file() {
        return Ok(None);
    }
    if real.len() > FILE_BYTES_MAX {
        return Err(said(&"it is too large"));
    }
    file::read_at_most(file, FILE_BYTES_MAX).map_err(|error| said(&error))
}
