//! Which plugins the user approved, and with what files (spec: Safety & Security; Plugin Registry).
//!
//! An approval is the digest of the manifest and the library, outside of every workspace. Other files, other digest: they
//! are not approved.

use super::{Error, Owner, Place, Plugin};
use crate::config::host::Host;
use crate::safety::guests::{self, Pins};

/// What the user thinks of a plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It is approved as it is.
    Approved,
    /// It was approved with other files.
    Changed,
    /// Nobody approved it.
    Unknown,
}

impl Standing {
    /// What the user thinks of it as it is.
    pub fn of(plugin: &Plugin, host: &Host, workspace: &std::path::Path) -> Self {
        let pinned = pins(&plugin.place, host, workspace).get(&plugin.place.name);
        match pinned {
            Some(digest) if digest == plugin.digest => Self::Approved,
            Some(_) => Self::Changed,
            None => Self::Unknown,
        }
    }

    /// A word for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Changed => "changed",
            Self::Unknown => "not approved",
        }
    }
}

/// Opens a plugin that is approved as it is.
pub fn open(place: &Place, host: &Host, workspace: &std::path::Path) -> Result<Plugin, Error> {
    let plugin = place.open()?;
    match Standing::of(&plugin, host, workspace) {
        Standing::Approved => Ok(plugin),
        other => Err(Error::Unapproved {
            name: place.name.clone(),
            changed: other == Standing::Changed,
        }),
    }
}

/// Where the approvals of such a plugin are.
pub fn pins(place: &Place, host: &Host, workspace: &std::path::Path) -> Pins {
    match place.owner {
        Owner::User => guests::of_user(host),
        Owner::Project => guests::of_project(host, workspace),
    }
}
