//! The keyring of the user's session: GNOME Keyring or `KWallet` by the Secret Service, Keychain, Credential Manager (spec:
//! Secret Management, keyring).
//!
//! It is only asked where the session has a bus: looking for one would start one. Whoever is asked may first show the
//! user a dialog, so every question is put on a thread of its own, for which nobody waits longer than
//! [`ANSWER_TIME_MAX`]. Values go over the bus as they are: only this user's programs can hear it, and they could ask
//! for the same themselves.

use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use super::Secret;
use crate::config::host::Host;

/// What our entries in a keyring belong to.
pub const SERVICE: &str = "meliora";

/// Time in which a keyring has to answer; the user may have to type a password in it.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(60);

/// Questions that may wait for an answer.
const QUESTIONS_MAX: usize = 8;

/// Why the keyring cannot be used; fits after "the keyring cannot be used: ".
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is nobody to ask.
    #[error(
        "this session has none (there is no session bus): keep the secret in the encrypted file, without --keyring"
    )]
    NoSession,
    /// The session has no program that keeps secrets.
    #[error(
        "no program keeps secrets in this session: start gnome-keyring or KWallet, or keep the secret in the encrypted file, without --keyring"
    )]
    NoService,
    /// It is locked, and nobody opened it.
    #[error(
        "it is locked and was not opened: unlock it (`seahorse` or `kwalletmanager` can), then try again"
    )]
    Locked,
    /// It did not answer.
    #[error(
        "it did not answer within {} s: look for its dialog that asks for a password, then try again", .0.as_secs()
    )]
    Late(Duration),
    /// Names cannot be listed here.
    #[error(
        "this system does not list names: look for entries of the service `{SERVICE}` in its own program for passwords"
    )]
    NoNames,
    /// Something else.
    #[error("{0}")]
    Other(String),
}

/// A keyring that can be asked.
#[derive(Debug)]
pub struct Keyring(());

impl Keyring {
    /// That of the session.
    pub fn of(host: &Host) -> Result<Self, Error> {
        let has_bus = || {
            let folder = host.variable("XDG_RUNTIME_DIR").map(std::path::Path::new);
            host.variable("DBUS_SESSION_BUS_ADDRESS").is_some()
                || folder.is_some_and(|folder| folder.join("bus").exists())
        };
        if system::IS_SUPPORTED && (!cfg!(target_os = "linux") || has_bus()) {
            return Ok(Self(()));
        }
        Err(Error::NoSession)
    }

    /// The secret of that name.
    pub fn get(&self, name: &str) -> Result<Option<Secret>, Error> {
        let name = name.to_owned();
        ask(ANSWER_TIME_MAX, move || system::get(&name))
    }

    /// Keeps a secret under a name, in place of an earlier one.
    pub fn set(&self, name: &str, secret: &Secret) -> Result<(), Error> {
        let (name, secret) = (name.to_owned(), secret.clone());
        ask(ANSWER_TIME_MAX, move || system::set(&name, &secret))
    }

    /// Forgets a secret; says whether there was one.
    pub fn remove(&self, name: &str) -> Result<bool, Error> {
        let name = name.to_owned();
        ask(ANSWER_TIME_MAX, move || system::remove(&name))
    }

    /// Names of what is kept.
    pub fn names(&self) -> Result<Vec<String>, Error> {
        ask(ANSWER_TIME_MAX, system::names)
    }
}

/// Has a question answered on a thread of its own. When that takes too long the thread stays behind until its dialog is
/// gone; there are never many.
fn ask<Answer: Send + 'static>(
    limit: Duration,
    question: impl FnOnce() -> Result<Answer, Error> + Send + 'static,
) -> Result<Answer, Error> {
    static OPEN: LazyLock<Arc<()>> = LazyLock::new(Arc::default);
    let open = Arc::clone(&OPEN);
    if Arc::strong_count(&open) > QUESTIONS_MAX + 1 {
        return Err(Error::Late(limit));
    }
    let (sender, answer) = sync_channel(1);
    std::thread::spawn(move || {
        let answer = question();
        drop(open);
        // Whoever gave up does not need it.
        let _ = sender.try_send(answer);
    });
    answer.recv_timeout(limit).unwrap_or_else(|error| {
        Err(match error {
            RecvTimeoutError::Timeout => Error::Late(limit),
            RecvTimeoutError::Disconnected => Error::Other("it cannot be understood".to_owned()),
        })
    })
}

#[cfg(any(target_os = "linux", target_os = "macos", target_os = "windows"))]
mod system {
    #[cfg(target_os = "linux")]
    use dbus_secret_service::{EncryptionType, SecretService};
    use keyring::{Entry, Error as Failure};

    use super::{Error, SERVICE};
    use crate::secrets::Secret;

    pub(super) const IS_SUPPORTED: bool = true;

    pub(super) fn get(name: &str) -> Result<Option<Secret>, Error> {
        found(entry(name)?.get_password()).map(|value| value.map(Secret::new))
    }

    pub(super) fn set(name: &str, secret: &Secret) -> Result<(), Error> {
        #[cfg(target_os = "linux")]
        open().map_err(|error| reason(&error))?;
        entry(name)?.set_password(secret.expose()).map_err(told)
    }

    /// Has a locked keyring ask for its password: it would refuse what is new.
    #[cfg(target_os = "linux")]
    fn open() -> Result<(), dbus_secret_service::Error> {
        let service = SecretService::connect(EncryptionType::Plain)?;
        match service.get_default_collection() {
            Ok(collection) => collection.unlock(),
            Err(dbus_secret_service::Error::NoResult) => Ok(()),
            Err(error) => Err(error),
        }
    }

    pub(super) fn remove(name: &str) -> Result<bool, Error> {
        found(entry(name)?.delete_credential()).map(|done| done.is_some())
    }

    #[cfg(target_os = "linux")]
    pub(super) fn names() -> Result<Vec<String>, Error> {
        let names = || {
            let service = SecretService::connect(EncryptionType::Plain)?;
            let ours = [("service", SERVICE)].into();
            let found = service.search_items(ours)?;
            // What is locked does not even say its name.
            if !found.locked.is_empty() {
                service.unlock_all(&found.locked.iter().collect::<Vec<_>>())?;
            }
            let mut names = std::collections::BTreeSet::new();
            for item in found.unlocked.iter().chain(&found.locked) {
                names.extend(item.get_attributes()?.remove("username"));
            }
            Ok(names.into_iter().collect())
        };
        names().map_err(|error| reason(&error))
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn names() -> Result<Vec<String>, Error> {
        Err(Error::NoNames)
    }

    fn entry(name: &str) -> Result<Entry, Error> {
        Entry::new(SERVICE, name).map_err(told)
    }

    /// What was found, if anything was.
    fn found<Found>(result: Result<Found, Failure>) -> Result<Option<Found>, Error> {
        match result {
            Ok(found) => Ok(Some(found)),
            Err(Failure::NoEntry) => Ok(None),
            // A service that never kept anything has no place where it could be.
            #[cfg(target_os = "linux")]
            Err(Failure::NoStorageAccess(error))
                if matches!(
                    error.downcast_ref(),
                    Some(dbus_secret_service::Error::NoResult)
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(told(error)),
        }
    }

    fn told(error: Failure) -> Error {
        match error {
            #[cfg(target_os = "linux")]
            Failure::PlatformFailure(error) | Failure::NoStorageAccess(error)
                if error.is::<dbus_secret_service::Error>() =>
            {
                let error = error.downcast_ref().expect("it was looked at");
                reason(error)
            }
            Failure::NoStorageAccess(_) => Error::Locked,
            Failure::BadEncoding(_) => Error::Other("what it keeps is not text".to_owned()),
            Failure::Ambiguous(_) => Error::Other("it keeps several of that name".to_owned()),
            error => Error::Other(error.to_string()),
        }
    }

    #[cfg(target_os = "linux")]
    fn reason(error: &dbus_secret_service::Error) -> Error {
        use dbus_secret_service::Error as Failure;
        match error {
            // A dialog that nobody can be shown is dismissed, and then there is no result.
            Failure::Locked | Failure::Prompt | Failure::NoResult => Error::Locked,
            Failure::Dbus(error) => reason_of_bus(error),
            error => Error::Other(error.to_string()),
        }
    }

    #[cfg(target_os = "linux")]
    fn reason_of_bus(error: &dbus::Error) -> Error {
        let name = error.name().unwrap_or_default();
        let name = name.trim_start_matches("org.freedesktop.");
        match name.trim_start_matches("DBus.Error.") {
            "Secret.Error.IsLocked" => Error::Locked,
            "ServiceUnknown" | "NameHasNoOwner" => Error::NoService,
            name if name.starts_with("Spawn.") => Error::NoService,
            "NoServer" | "FileNotFound" | "NotSupported" | "Disconnected" => Error::NoSession,
            _ => Error::Other(error.message().unwrap_or(name).to_owned()),
        }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "macos", target_os = "windows")))]
mod system {
    use super::Error;
    use crate::secrets::Secret;

    pub(super) const IS_SUPPORTED: bool = false;

    pub(super) fn get(_: &str) -> Result<Option<Secret>, Error> {
        Err(Error::NoSession)
    }

    pub(super) fn set(_: &str, _: &Secret) -> Result<(), Error> {
        Err(Error::NoSession)
    }

    pub(super) fn remove(_: &str) -> Result<bool, Error> {
        Err(Error::NoSession)
    }

    pub(super) fn names() -> Result<Vec<String>, Error> {
        Err(Error::NoSession)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_waits_longer_than_the_limit_for_a_keyring_that_asks_its_user() {
        let (close, dialog) = sync_channel::<()>(0);
        let error = ask(Duration::from_millis(1), move || {
            let _ = dialog.recv();
            Ok(())
        });
        let error = error.expect_err("nobody answers").to_string();
        assert!(error.contains("did not answer within 0 s"), "{error}");
        drop(close);
        let answer = ask(Duration::from_secs(60), || Ok(17));
        assert_eq!(answer.expect("it answers"), 17);
        let error = ask::<()>(Duration::from_secs(60), || panic!("as a library may"));
        assert!(matches!(error, Err(Error::Other(_))));
    }

    #[test]
    fn without_a_session_bus_nobody_is_asked() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let runtime = folder.path().display().to_string();
        let host = |name: &str, value: &str| {
            let environment = [(name.to_owned(), value.to_owned())].into();
            Host::from_environment("/nowhere/meliora".into(), environment)
        };
        let is_there = |host: &Host| Keyring::of(host).is_ok();
        if cfg!(target_os = "linux") {
            assert!(!is_there(&host("HOME", "/nowhere")));
            assert!(!is_there(&host("XDG_RUNTIME_DIR", &runtime)));
            std::fs::write(folder.path().join("bus"), "").expect("written");
        }
        assert!(is_there(&host("XDG_RUNTIME_DIR", &runtime)));
        assert!(is_there(&host("DBUS_SESSION_BUS_ADDRESS", "unix:path=/x")));
    }
}
