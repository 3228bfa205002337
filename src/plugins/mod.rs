//! Tools that others wrote, in libraries or components of their own (spec: Plugin Architecture, Sandbox for untrusted code).
//!
//! A plugin is a folder with a manifest and a library, or a component of WebAssembly: `.agent/plugins/NAME/` of a project or `agent/plugins/NAME/` of the
//! user's settings. It counts once the user approved exactly these two files ([`pin`]). Each call starts a process of
//! its own ([`host`]) that closes itself before it loads the library, in the copy of the workspace; [`conversation`] is
//! our end of it, which believes nothing. [`guest`] makes its tools look like any other.

#[cfg(all(target_os = "linux", feature = "wasm"))]
mod component;
pub mod conversation;
pub mod frame;
pub mod guest;
#[cfg(target_os = "linux")]
pub mod host;
mod library;
pub mod manifest;
pub mod pin;
pub mod template;

use std::io;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use crate::config::file;
use crate::config::host::Host;
use manifest::{Code, Manifest};

/// The hidden command word of our executable that loads a plugin.
pub const HOST_COMMAND: &str = "__plugin-host";

/// Where the plugins of a project are, and in the folder of the user's settings.
const OF_PROJECT: &str = ".agent/plugins";
const OF_USER: &str = "agent/plugins";

/// The file that says what a plugin is.
pub const MANIFEST: &str = "plugin.toml";

/// Bytes that a library or a component may have.
pub const LIBRARY_BYTES_MAX: u64 = 64 << 20;

/// Plugins that one place may hold; more are not looked at.
const PLUGINS_MAX: usize = 64;

/// Why a plugin cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of it cannot be read.
    #[error("plugin `{name}`: {file}: {source}")]
    File {
        /// The plugin.
        name: String,
        /// The file in its folder.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// Its manifest is wrong.
    #[error("plugin `{name}`: {MANIFEST}: {reason}")]
    Manifest {
        /// The plugin.
        name: String,
        /// What is wrong, and what to write instead.
        reason: String,
    },
    /// Its library is none that can be approved.
    #[error("plugin `{name}`: {file}: {reason}")]
    Library {
        /// The plugin.
        name: String,
        /// The file in its folder.
        file: String,
        /// What is wrong, and what to do instead; what the file says stands on lines of its own.
        reason: String,
    },
    /// Nobody approved it as it is.
    #[error("plugin `{name}` {}; look at it with `meliora plugin show {name}`, then `meliora plugin approve {name}`",
        if *changed { "is not what was approved: its files changed" } else { "was not approved" })]
    Unapproved {
        /// The plugin.
        name: String,
        /// Whether it was approved with other files.
        changed: bool,
    },
    /// Its tool says why it did not do what it was asked: words of a stranger, on lines of their own.
    #[error("plugin `{name}`: its tool says:\n{words}")]
    Said {
        /// The plugin.
        name: String,
        /// The words.
        words: String,
    },
    /// It did not do what it should. What it says itself stands on lines of its own.
    #[error("plugin `{name}`: {reason}")]
    Failed {
        /// The plugin.
        name: String,
        /// What happened.
        reason: String,
    },
}

/// Whose a plugin is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Owner {
    /// The user's own, for all projects.
    User,
    /// A project's.
    Project,
}

impl Owner {
    /// A word for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Project => "project",
        }
    }
}

/// The folder of a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its name: that of its folder.
    pub name: String,
    /// Its folder.
    pub folder: PathBuf,
    /// Whose it is.
    pub owner: Owner,
}

/// A plugin as its files were at one moment.
#[derive(Debug, Clone)]
pub struct Plugin {
    /// Where it is.
    pub place: Place,
    /// What it says of itself.
    pub manifest: Manifest,
    /// The bytes of its library or component.
    pub library: Vec<u8>,
    /// SHA-256 of its manifest and of these bytes.
    pub digest: String,
}

/// The folders of the plugins that there are, by name. A plugin of the user hides one of the project.
pub fn places(host: &Host, workspace: &Path) -> Vec<Place> {
    let users = host.config_home.join(OF_USER);
    let mut places = folders(&users, Owner::User);
    let of_project = folders(&workspace.join(OF_PROJECT), Owner::Project);
    for place in of_project {
        if !places.iter().any(|known| known.name == place.name) {
            places.push(place);
        }
    }
    places.sort_by(|one, other| one.name.cmp(&other.name));
    places
}

fn folders(above: &Path, owner: Owner) -> Vec<Place> {
    let entries = std::fs::read_dir(above).into_iter().flatten().flatten();
    let named = entries.filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let folder = entry.path();
        let is_plugin = manifest::is_name(&name) && folder.join(MANIFEST).is_file();
        is_plugin.then_some(Place {
            name,
            folder,
            owner,
        })
    });
    let mut places: Vec<Place> = named.collect();
    places.sort_by(|one, other| one.name.cmp(&other.name));
    places.truncate(PLUGINS_MAX);
    places
}

impl Place {
    /// What the plugin says of itself.
    pub fn manifest(&self) -> Result<Manifest, Error> {
        self.read_manifest().map(|(manifest, _)| manifest)
    }

    /// Reads both files, each once: what is hashed is what is run, and nothing is run beside it.
    pub fn open(&self) -> Result<Plugin, Error> {
        let (manifest, text) = self.read_manifest()?;
        let library = self.read(&manifest.entry_point, LIBRARY_BYTES_MAX)?;
        let checked = match manifest.code() {
            Code::Library => library::check(&library),
            Code::Component => Ok(()),
        };
        checked.map_err(|reason| Error::Library {
            name: self.name.clone(),
            file: manifest.entry_point.clone(),
            reason,
        })?;
        Ok(Plugin {
            place: self.clone(),
            digest: digest(&[text.as_bytes(), &library]),
            manifest,
            library,
        })
    }

    fn read_manifest(&self) -> Result<(Manifest, String), Error> {
        let text = self.read(MANIFEST, file::BYTES_MAX)?;
        let wrong = |reason| Error::Manifest {
            name: self.name.clone(),
            reason,
        };
        let text = String::from_utf8(text).map_err(|_| wrong("it is not UTF-8 text".to_owned()))?;
        let manifest = Manifest::parse(&text).map_err(wrong)?;
        if manifest.name != self.name {
            let (inside, outside) = (&manifest.name, &self.name);
            return Err(wrong(format!(
                "it is of `{inside}`, in the folder `{outside}`; give both one name"
            )));
        }
        Ok((manifest, text))
    }

    fn read(&self, name: &str, bytes_max: u64) -> Result<Vec<u8>, Error> {
        let missing = || io::Error::new(io::ErrorKind::NotFound, "it is not there; build it first");
        let read = file::read_at_most(&self.folder.join(name), bytes_max);
        read.and_then(|content| content.ok_or_else(missing))
            .map_err(|source| Error::File {
                name: self.name.clone(),
                file: name.to_owned(),
                source,
            })
    }
}

/// SHA-256 of several texts, each with its length.
fn digest(parts: &[&[u8]]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    HEXLOWER.encode(&hasher.finalize())
}
