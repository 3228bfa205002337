//! Versions of prompts, each kept under what it says, and which one is in force (spec: Prompt Manager, prompt
//! versioning).
//!
//! Plain files in the state folder, so that a run, an editor window and the command line can read them at once: a
//! version is written once and never changed, what is in force is one small file for each prompt.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::durable;
use crate::config::file;
use crate::config::host::Host;

/// Versions of one prompt that are remembered to have been in force.
const TRAIL_MAX: usize = 200;

/// Where a text came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// It ships with the program.
    Shipped,
    /// A file of the workspace.
    File,
    /// It was learned.
    Learned,
}

/// One version of a prompt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The prompt.
    pub name: String,
    /// Names the text.
    pub digest: String,
    /// The whole text.
    pub text: String,
    /// The version that it followed.
    pub parent: Option<String>,
    /// Where it came from.
    pub origin: Origin,
    /// When it was first in force, in milliseconds since the Unix epoch.
    pub milliseconds: u64,
}

/// Which version of a prompt is in force.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Standing {
    /// The version that the user wants, whatever else there is.
    pub pinned: Option<String>,
    /// The version that was learned.
    pub learned: Option<String>,
    /// The versions that were in force, the last one last.
    pub trail: Vec<String>,
}

/// The versions of one workspace.
#[derive(Debug, Clone)]
pub struct Archive {
    folder: PathBuf,
}

impl Archive {
    /// The archive of a workspace, which need not exist yet.
    pub fn of(host: &Host, workspace: &Path) -> Self {
        Self {
            folder: host.state_of(workspace).join("prompts"),
        }
    }

    /// Keeps a version, as younger than all others. One that is kept already stays as it is.
    pub fn keep(&self, mut version: Kept) -> io::Result<()> {
        let folder = self.folder.join(&version.name);
        let path = folder.join(format!("{}.json", version.digest));
        if path.exists() {
            return Ok(());
        }
        durable::make_folder(&folder)?;
        if let Some(youngest) = self.versions(&version.name).last() {
            version.milliseconds = version.milliseconds.max(youngest.milliseconds + 1);
        }
        let content = serde_json::to_vec(&version)?;
        durable::write_once(&path, &content).map(|_| ())
    }

    /// Every version of a prompt, the oldest first. A file that is none is passed over.
    pub fn versions(&self, name: &str) -> Vec<Kept> {
        let Ok(files) = std::fs::read_dir(self.folder.join(name)) else {
            return Vec::new();
        };
        let paths = files.filter_map(|file| Some(file.ok()?.path()));
        let mut versions: Vec<Kept> = paths
            .filter(|path| path.file_name().is_some_and(|name| name != "standing.json"))
            .filter_map(|path| serde_json::from_str(&file::read_text(&path).ok()??).ok())
            .filter(|version: &Kept| version.name == name)
            .collect();
        versions.sort_by(|one, other| {
            (one.milliseconds, &one.digest).cmp(&(other.milliseconds, &other.digest))
        });
        versions
    }

    /// Which version of a prompt is in force.
    pub fn standing(&self, name: &str) -> Standing {
        let text = file::read_text(&self.standing_file(name)).ok().flatten();
        text.and_then(|text| serde_json::from_str(&text).ok())
            .unwrap_or_default()
    }

    /// Says which version of a prompt is in force.
    pub fn stand(&self, name: &str, mut standing: Standing) -> io::Result<()> {
        let old = standing.trail.len().saturating_sub(TRAIL_MAX);
        standing.trail.drain(..old);
        durable::make_folder(&self.folder.join(name))?;
        durable::write(&self.standing_file(name), &serde_json::to_vec(&standing)?)
    }

    fn standing_file(&self, name: &str) -> PathBuf {
        self.folder.join(name).join("standing.json")
    }
}
