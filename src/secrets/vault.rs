//! Secrets in a file that is encrypted with age (spec: Secret Management, encrypted secret files).
//!
//! The file lies with the user's settings, so that it may travel with them; the identity that opens it lies in the
//! state folder, readable by the user alone. Both are replaced whole, so a kill leaves the old or the new one.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use age::secrecy::ExposeSecret;
use age::x25519::Identity;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::Secret;
use crate::config::host::Host;
use crate::store::durable;

/// Version of what is in the file.
const VERSION: u32 = 1;

/// Where secrets are kept, and what opens it.
#[derive(Debug)]
pub struct Vault {
    file: PathBuf,
    identity: PathBuf,
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The identity is missing or is not one.
    #[error(
        "{0} holds no age identity: bring back the one that the file was encrypted for, or remove the file {1} and set the secrets again"
    )]
    NoIdentity(PathBuf, PathBuf),
    /// The identity does not open the file.
    #[error(
        "{path} cannot be decrypted ({reason}): is it of another machine? `meliora secret set` makes a new one when it is gone"
    )]
    Closed {
        /// The file.
        path: PathBuf,
        /// What age said.
        reason: String,
    },
    /// The file was written by a newer version.
    #[error("{0} was written by a newer version of meliora")]
    Newer(PathBuf),
}

/// What is in the file.
#[derive(Default, Serialize, Deserialize)]
struct Content {
    version: u32,
    secrets: BTreeMap<String, String>,
}

impl Drop for Content {
    fn drop(&mut self) {
        for value in std::mem::take(&mut self.secrets).into_values() {
            drop(Zeroizing::new(value));
        }
    }
}

impl Vault {
    /// The user's own.
    pub fn of(host: &Host) -> Self {
        Self {
            file: host.config_home.join("agent/secrets.age"),
            identity: host.state.join("secrets-identity.txt"),
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.file
    }

    /// Names of what is kept.
    pub fn names(&self) -> Result<Vec<String>, Error> {
        Ok(self.open()?.secrets.keys().cloned().collect())
    }

    /// One secret.
    pub fn get(&self, name: &str) -> Result<Option<Secret>, Error> {
        let mut content = self.open()?;
        Ok(content.secrets.remove(name).map(Secret::new))
    }

    /// Every secret.
    pub fn all(&self) -> Result<Vec<Secret>, Error> {
        let mut content = self.open()?;
        let secrets = std::mem::take(&mut content.secrets).into_values();
        Ok(secrets.map(Secret::new).collect())
    }

    /// Keeps a secret under a name, in place of an earlier one.
    pub fn set(&self, name: &str, secret: &Secret) -> Result<(), Error> {
        let _lock = self.lock()?;
        let mut content = self.open()?;
        content
            .secrets
            .insert(name.to_owned(), secret.expose().to_owned());
        let identity = match self.identities()?.pop() {
            Some(identity) => identity,
            None => self.make_identity()?,
        };
        self.save(&content, &identity)
    }

    /// Forgets a secret; says whether there was one.
    pub fn remove(&self, name: &str) -> Result<bool, Error> {
        let _lock = self.lock()?;
        let mut content = self.open()?;
        let was_there = content.secrets.remove(name).map(Zeroizing::new).is_some();
        if was_there && let Some(identity) = self.identities()?.pop() {
            self.save(&content, &identity)?;
        }
        Ok(was_there)
    }

    /// Encrypts the file for a new identity and forgets the old one; gives the number of secrets in it. Until the file
    /// is there the identities are both there, so that whatever interrupts this nothing is lost.
    pub fn rotate(&self) -> Result<usize, Error> {
        let _lock = self.lock()?;
        let content = self.open()?;
        let fresh = Identity::generate();
        let mut identities = self.identities()?;
        identities.push(fresh.clone());
        self.write_identities(&identities)?;
        self.save(&content, &fresh)?;
        self.write_identities(&[fresh])?;
        Ok(content.secrets.len())
    }

    fn open(&self) -> Result<Content, Error> {
        let bytes = match std::fs::read(&self.file) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Content::default()),
            Err(error) => return Err(at(&self.file)(error)),
        };
        let identities = self.identities()?;
        if identities.is_empty() {
            return Err(Error::NoIdentity(self.identity.clone(), self.file.clone()));
        }
        let closed = |reason: String| Error::Closed {
            path: self.file.clone(),
            reason,
        };
        let decryptor =
            age::Decryptor::new(bytes.as_slice()).map_err(|error| closed(error.to_string()))?;
        let identities = identities
            .iter()
            .map(|identity| identity as &dyn age::Identity);
        let mut reader = decryptor
            .decrypt(identities)
            .map_err(|error| closed(error.to_string()))?;
        let mut text = Zeroizing::new(Vec::new());
        reader
            .read_to_end(&mut text)
            .map_err(|error| closed(error.to_string()))?;
        let content: Content =
            serde_json::from_slice(&text).map_err(|_| closed("it holds no secrets".to_owned()))?;
        if content.version > VERSION {
            return Err(Error::Newer(self.file.clone()));
        }
        Ok(content)
    }

    fn save(&self, content: &Content, identity: &Identity) -> Result<(), Error> {
        let content = Content {
            version: VERSION,
            secrets: content.secrets.clone(),
        };
        let text = Zeroizing::new(serde_json::to_vec(&content).expect("a map of texts is JSON"));
        let bytes = encrypted(&text, identity).map_err(at(&self.file))?;
        make_parent(&self.file)?;
        durable::write(&self.file, &bytes).map_err(at(&self.file))
    }

    /// The identities that may open the file, the latest last.
    fn identities(&self) -> Result<Vec<Identity>, Error> {
        let text = match std::fs::read_to_string(&self.identity) {
            Ok(text) => Zeroizing::new(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(at(&self.identity)(error)),
        };
        Ok(text
            .lines()
            .filter_map(|line| line.trim().parse().ok())
            .collect())
    }

    fn make_identity(&self) -> Result<Identity, Error> {
        let identity = Identity::generate();
        self.write_identities(std::slice::from_ref(&identity))?;
        Ok(identity)
    }

    fn write_identities(&self, identities: &[Identity]) -> Result<(), Error> {
        let mut text =
            Zeroizing::new("# Opens the secrets that `meliora secret` keeps.\n".to_owned());
        for identity in identities {
            text.push_str(identity.to_string().expose_secret());
            text.push('\n');
        }
        make_parent(&self.identity)?;
        durable::write(&self.identity, text.as_bytes()).map_err(at(&self.identity))
    }

    /// Held while the files are changed, so that two processes do not undo each other's work.
    fn lock(&self) -> Result<File, Error> {
        let path = self.identity.with_extension("lock");
        make_parent(&path)?;
        let file = File::create(&path).map_err(at(&path))?;
        file.lock().map_err(at(&path))?;
        Ok(file)
    }
}

fn encrypted(text: &[u8], identity: &Identity) -> io::Result<Vec<u8>> {
    let recipient = identity.to_public();
    let recipients = std::iter::once(&recipient as &dyn age::Recipient);
    let encryptor = age::Encryptor::with_recipients(recipients).map_err(io::Error::other)?;
    let mut bytes = Vec::new();
    let mut writer = encryptor.wrap_output(&mut bytes)?;
    writer.write_all(text)?;
    writer.finish()?;
    Ok(bytes)
}

fn make_parent(path: &Path) -> Result<(), Error> {
    let Some(folder) = path.parent() else {
        return Ok(());
    };
    durable::make_folder(folder).map_err(at(folder))
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vault(folder: &Path) -> Vault {
        Vault {
            file: folder.join("agent/secrets.age"),
            identity: folder.join("state/identity.txt"),
        }
    }

    #[test]
    fn what_is_kept_is_there_again_and_is_read_by_nobody_else() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let vault = vault(folder.path());
        assert!(vault.get("a").expect("nothing is no error").is_none());
        vault
            .set("a", &Secret::new("correct horse".to_owned()))
            .expect("set");
        vault
            .set("b", &Secret::new("battery".to_owned()))
            .expect("set");
        assert_eq!(vault.names().expect("open"), ["a", "b"]);
        let value = vault.get("a").expect("open").expect("kept");
        assert_eq!(value.expose(), "correct horse");
        let bytes = std::fs::read(&vault.file).expect("readable");
        assert!(bytes.starts_with(b"age-encryption.org/v1"));
        assert!(memchr::memmem::find(&bytes, b"correct").is_none());
        #[cfg(unix)]
        for path in [&vault.file, &vault.identity] {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(path).expect("there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{}", path.display());
        }
        assert!(vault.remove("a").expect("open") && !vault.remove("a").expect("open"));
        assert_eq!(vault.names().expect("open"), ["b"]);
    }

    #[test]
    fn a_rotation_makes_the_old_identity_useless_and_survives_its_own_interruption() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let vault = vault(folder.path());
        vault
            .set("a", &Secret::new("correct horse".to_owned()))
            .expect("set");
        let (old_file, old_identity) = (
            std::fs::read(&vault.file).expect("readable"),
            std::fs::read_to_string(&vault.identity).expect("readable"),
        );
        assert_eq!(vault.rotate().expect("rotated"), 1);
        let identity = std::fs::read_to_string(&vault.identity).expect("readable");
        assert!(
            identity != old_identity && identity.lines().count() == 2,
            "one is left"
        );
        assert!(vault.get("a").expect("open").is_some());
        // Killed between its steps: both identities, and either file.
        let both = format!("{old_identity}{identity}");
        std::fs::write(&vault.identity, &both).expect("written");
        let new_file = std::fs::read(&vault.file).expect("readable");
        for file in [&old_file, &new_file] {
            std::fs::write(&vault.file, file).expect("written");
            assert!(vault.get("a").expect("open").is_some());
        }
        std::fs::write(&vault.identity, &old_identity).expect("written");
        assert!(matches!(vault.get("a"), Err(Error::Closed { .. })));
        std::fs::remove_file(&vault.identity).expect("removed");
        assert!(matches!(vault.get("a"), Err(Error::NoIdentity(..))));
    }
}
