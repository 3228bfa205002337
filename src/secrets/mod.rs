//! Where keys come from, and the only shape in which they travel (spec: Secret Management).
//!
//! A setting names a key: `${VARIABLE}` of the environment, `${secret:NAME}` of what `meliora secret set` keeps (in an
//! encrypted file, or else in the keyring), or a command that prints it. The key is looked up when it is used, a
//! [`Secret`] from then on, and known to every exit before anybody else sees it.

pub mod keyring;
pub mod vault;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::oneshot;
use zeroize::Zeroizing;

use crate::config::host::Host;
use crate::permit::Purpose;
use crate::process::{self, Command, Environment, Limits};
use crate::redact::Redactor;
pub use crate::redact::Secret;
use crate::safety;
use keyring::Keyring;
use vault::Vault;

/// Limits of a command that prints a key; some ask the user for a password first.
const COMMAND_LIMITS: Limits = Limits {
    timeout: Duration::from_secs(60),
    output_bytes_max: 64 * 1024,
};

/// Bytes that the name of a kept secret may have.
const NAME_BYTES_MAX: usize = 64;

/// Why a key could not be had; fits after "the key of provider `x` is".
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The variable is not set.
    #[error("${{{0}}}, which is not set: export {0}")]
    NotSet(String),
    /// Nothing is kept under the name.
    #[error("${{secret:{name}}}, which is not kept{note}: run `meliora secret set {name}`")]
    NotKept {
        /// The name.
        name: String,
        /// Where it could not be looked for.
        note: &'static str,
    },
    /// The name cannot be one of a kept secret.
    #[error("named `{0}`: a name has up to {NAME_BYTES_MAX} letters, digits, `-`, `_` and `.`")]
    BadName(String),
    /// The command did not print it.
    #[error("printed by `{program}` (key_command), which failed: {reason}")]
    Command {
        /// The program.
        program: String,
        /// What happened.
        reason: String,
    },
    /// The keyring cannot be used.
    #[error("to be looked for in the keyring, which cannot be used: {0}")]
    Keyring(keyring::Error),
    /// The encrypted file cannot be used.
    #[error("kept in the encrypted file, which cannot be used: {0}")]
    Vault(vault::Error),
}

/// Looks up the key that a setting names: the `template`, in which `${…}` stands for what is meant, or what the
/// `command` prints. From then on `redactor` knows it.
pub async fn look_up(
    host: &Host,
    template: &Secret,
    command: &[String],
    redactor: &Redactor,
) -> Result<Secret, Error> {
    let (secret, parts) = match command.split_first() {
        Some((program, arguments)) if template.is_empty() => {
            (printed(host, program, arguments).await?, Vec::new())
        }
        _ if template.expose().contains("${secret:") => {
            let (host, template) = (host.clone(), template.clone());
            let (sender, receiver) = oneshot::channel();
            // Not a thread of the runtime, whose end would wait until the keyring's dialog is gone.
            std::thread::spawn(move || sender.send(filled(&host, template.expose())));
            receiver
                .await
                .expect("what fills a template does not panic")?
        }
        _ => filled(host, template.expose())?,
    };
    let values = parts.iter().chain([&secret]);
    redactor.learn_all(values.map(|value| value.expose().to_owned()));
    Ok(secret)
}

/// The first name in a template for which there is nothing, without looking into what is encrypted.
pub fn unset_variable(host: &Host, template: &str) -> Option<String> {
    let (_, rest) = template.split_once("${")?;
    let (name, _) = rest.split_once('}')?;
    (!name.starts_with("secret:") && host.variable(name).is_none()).then(|| name.to_owned())
}

/// The secret that is kept under a name: in the encrypted file, or else in the keyring, which is not asked before.
fn kept(host: &Host, name: &str) -> Result<Option<Secret>, Error> {
    check_name(name)?;
    if let Some(secret) = Vault::of(host).get(name).map_err(Error::Vault)? {
        return Ok(Some(secret));
    }
    match Keyring::of(host).and_then(|keyring| keyring.get(name)) {
        Err(keyring::Error::NoSession | keyring::Error::NoService) => Ok(None),
        found => found.map_err(Error::Keyring),
    }
}

/// The values of everything in the encrypted file, for those who take them out of text; none where they cannot be read.
/// What is in the keyring becomes known when it is used.
pub fn values(host: &Host) -> Vec<String> {
    let secrets = Vault::of(host).all().unwrap_or_default();
    let values = secrets.iter().map(|secret| secret.expose().to_owned());
    values.collect()
}

/// Whether a name can be one of a kept secret.
pub fn check_name(name: &str) -> Result<(), Error> {
    let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.bytes().all(is_fine) {
        return Ok(());
    }
    Err(Error::BadName(name.to_owned()))
}

/// The template with everything in its place, and each part that was put in, which is not looked at again.
fn filled(host: &Host, template: &str) -> Result<(Secret, Vec<Secret>), Error> {
    let mut text = Zeroizing::new(String::new());
    let mut parts = Vec::new();
    let mut rest = template;
    while let Some((before, from)) = rest.split_once("${")
        && let Some((name, after)) = from.split_once('}')
    {
        text.push_str(before);
        let part = match name.strip_prefix("secret:") {
            Some(name) => kept(host, name)?.ok_or_else(|| Error::NotKept {
                name: name.to_owned(),
                note: Keyring::of(host).map_or(" (there is no keyring in this session)", |_| ""),
            })?,
            None => {
                let value = host.variable(name);
                let value = value.ok_or_else(|| Error::NotSet(name.to_owned()))?;
                Secret::new(value.to_owned())
            }
        };
        text.push_str(part.expose());
        parts.push(part);
        rest = after;
    }
    text.push_str(rest);
    Ok((text.into(), parts))
}

/// What a command of the user prints: its first line.
async fn printed(host: &Host, program: &str, arguments: &[String]) -> Result<Secret, Error> {
    let failed = |reason: String| Error::Command {
        program: program.to_owned(),
        reason,
    };
    let found = host.programs(program).into_iter().next();
    let found = found.ok_or_else(|| failed("it is not on PATH".to_owned()))?;
    // A user without a home folder has keys too.
    let directory = if host.home.is_dir() {
        host.home.clone()
    } else {
        PathBuf::from("/")
    };
    let permit = safety::permit_user_program(
        Purpose::KeyCommand,
        found.clone(),
        arguments.to_vec(),
        directory.clone(),
    );
    let command = Command {
        program: found,
        arguments: arguments.to_vec(),
        directory,
        environment: Environment::Inherited(BTreeMap::new()),
        confinement: None,
        launcher: PathBuf::from(&host.executable),
    };
    let finished = process::run(&command, &permit, b"", COMMAND_LIMITS)
        .await
        .map_err(|error| failed(error.to_string()))?;
    if finished.timed_out {
        return Err(failed(format!(
            "it took longer than {:?}",
            COMMAND_LIMITS.timeout
        )));
    }
    if !finished.success() {
        let said = String::from_utf8_lossy(&finished.stderr);
        let said = said.lines().next().unwrap_or("it said nothing");
        let code = finished
            .code
            .map_or_else(|| "a signal".to_owned(), |code| format!("exit code {code}"));
        return Err(failed(format!("{code}: {said}")));
    }
    let stdout = Zeroizing::new(finished.stdout);
    let line = stdout.split(|byte| *byte == b'\n').next();
    let line = std::str::from_utf8(line.unwrap_or_default());
    let line = line.map_err(|_| failed("what it printed is not text".to_owned()))?;
    let line = line.trim();
    if line.is_empty() {
        return Err(failed("it printed nothing".to_owned()));
    }
    Ok(Secret::new(line.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redact::MASK;

    fn host(environment: &[(&str, &str)]) -> Host {
        let environment = environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Host::from_environment("/nowhere/meliora".into(), environment.collect())
    }

    #[test]
    fn a_template_is_filled_once_and_what_is_missing_is_named() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let home = folder.path().display().to_string();
        let host = host(&[("HOME", &home), ("A", "one"), ("B", "${A}")]);
        for (template, expected) in [
            ("plain", "plain"),
            ("${A}", "one"),
            ("x-${A}-${B}-y", "x-one-${A}-y"),
            ("${A", "${A"),
        ] {
            let (secret, _) = filled(&host, template).expect(template);
            assert_eq!(secret.expose(), expected);
            assert_eq!(format!("{secret:?}"), MASK);
        }
        for (template, said) in [
            ("${C}", "${C}, which is not set: export C"),
            (
                "${secret:mine}",
                "${secret:mine}, which is not kept (there is no keyring in this session): run `meliora secret set mine`",
            ),
            ("${secret:../x}", "named `../x`"),
        ] {
            let error = filled(&host, template).expect_err(template).to_string();
            assert!(error.contains(said), "{error}");
        }
    }

    #[tokio::test]
    async fn each_part_of_a_template_is_known_by_itself() {
        let host = host(&[("A", "swordfish-1"), ("B", "marlin-22222")]);
        let redactor = Redactor::default();
        let template = Secret::new("Basic ${A}:${B}".to_owned());
        let secret = look_up(&host, &template, &[], &redactor).await;
        assert!(secret.is_ok_and(|secret| secret.expose() == "Basic swordfish-1:marlin-22222"));
        let clean = redactor.clean("it was swordfish-1, then marlin-22222");
        assert_eq!(clean, format!("it was {MASK}, then {MASK}"));
    }
}
