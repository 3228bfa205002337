//! Who commits, and what they say of all their repositories (spec: Git Tool).
//!
//! Only the user's own settings and those of the system say it, never those of a repository.

use std::path::{Path, PathBuf};

use gix::config::Source;
use gix::config::file::{Metadata, includes, init};

use super::repository::{self, Error};
use crate::config::host::Host;

/// A person who commits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The name.
    pub name: String,
    /// The address.
    pub email: String,
    /// Files of attributes that hold in all repositories, those of the system first.
    pub(super) attributes: Vec<PathBuf>,
}

impl Person {
    /// Who commits in the repository around a folder.
    pub fn of(host: &Host, folder: &Path) -> Result<Self, Error> {
        let settings = Settings::read(host, folder);
        let from = |variable: &str, key: &str| {
            let set = host.variable(variable).map(str::to_owned);
            set.or_else(|| settings.text(key)).map(|text| plain(&text))
        };
        let name = from("GIT_AUTHOR_NAME", "user.name");
        let email = from("GIT_AUTHOR_EMAIL", "user.email");
        match (name, email) {
            (Some(name), Some(email)) if !name.is_empty() && !email.is_empty() => {
                Ok(Self {
                    name,
                    email,
                    attributes: attributes(host, folder, &settings),
                })
            }
            _ => Err(Error::Unfit(
                "git does not know who you are: set user.name and user.email with `git config --global`; what a \
                 repository says of you does not count"
                    .to_owned(),
            )),
        }
    }

    pub(super) fn signature(&self) -> gix::actor::Signature {
        gix::actor::Signature {
            name: self.name.as_str().into(),
            email: self.email.as_str().into(),
            time: gix::date::Time::now_local_or_utc(),
        }
    }
}

/// Where attributes are that hold in all repositories, and where the one around a folder has others in their place.
fn attributes(host: &Host, folder: &Path, settings: &Settings) -> Vec<PathBuf> {
    let real = |named: String| match named.strip_prefix("~/") {
        Some(below) => host.home.join(below),
        None => repository::root(folder).unwrap_or(folder).join(named),
    };
    let key = "core.attributesFile";
    let of_user = settings.text(key).map(real);
    let of_user = of_user.unwrap_or_else(|| host.config_home.join("git/attributes"));
    let repository = repository::open_own(folder).ok();
    let own = repository.and_then(|repository| repository.config_snapshot().string(key));
    let own = own.map(|named| real(named.to_string()));
    let of_system = super::attributes::OF_SYSTEM.map(PathBuf::from);
    of_system.into_iter().chain([of_user]).chain(own).collect()
}

/// Without what would end a line or the name.
fn plain(text: &str) -> String {
    let is_plain = |letter: &char| !letter.is_control() && !"<>".contains(*letter);
    text.chars()
        .filter(is_plain)
        .collect::<String>()
        .trim()
        .to_owned()
}

/// The settings of git of the user and the system.
#[derive(Debug)]
pub(super) struct Settings(Option<gix::config::File>);

impl Settings {
    /// Reads them; what is set for certain repositories only counts for the one around `folder`.
    pub(super) fn read(host: &Host, folder: &Path) -> Self {
        let git_dir = repository::open_own(folder).ok();
        let git_dir = git_dir.map(|repository| repository.git_dir().to_owned());
        let followed = includes::Options::follow(
            gix::config::path::interpolate::Context {
                home_dir: Some(&host.home),
                ..Default::default()
            },
            includes::conditional::Context {
                git_dir: git_dir.as_deref(),
                branch_name: None,
            },
        );
        let options = init::Options {
            includes: followed,
            lossy: true,
            ..Default::default()
        };
        let at = |path: std::path::PathBuf, source| Metadata {
            path: Some(path),
            source,
            level: 0,
            trust: gix::sec::Trust::Full,
        };
        let files = [
            at("/etc/gitconfig".into(), Source::System),
            at(host.config_home.join("git/config"), Source::Git),
            at(host.home.join(".gitconfig"), Source::User),
        ];
        let files = files
            .into_iter()
            .filter(|file| file.path.as_ref().is_some_and(|path| path.is_file()));
        Self(
            gix::config::File::from_paths_metadata(files, options)
                .ok()
                .flatten(),
        )
    }

    /// The last value of a key.
    pub(super) fn text(&self, key: &str) -> Option<String> {
        let value = self.0.as_ref()?.string(key)?;
        Some(value.to_string())
    }

    /// Every key of a section, with its subsections, and its values.
    pub(super) fn all(&self, section: &str) -> Vec<(String, String)> {
        let sections = self
            .0
            .as_ref()
            .and_then(|file| file.sections_by_name(section));
        let mut all = Vec::new();
        for found in sections.into_iter().flatten() {
            let below = found
                .header()
                .subsection_name()
                .map(|name| format!(".{name}"));
            let below = below.unwrap_or_default();
            for name in found.value_names() {
                for value in found.values(name.as_ref()) {
                    all.push((format!("{section}{below}.{name}"), value.to_string()));
                }
            }
        }
        all
    }
}
