//! `meliora secret`: keeps keys where only the user can read them (spec: Secret Management).

use std::io::{IsTerminal, Read};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use serde::Serialize;
use zeroize::Zeroizing;

use super::paint::{self, paint};
use super::{EXIT_DONE, EXIT_PROBLEMS, place, session};
use crate::config::host::Host;
use crate::event::{Configuring, RunEvent};
use crate::secrets::keyring::{self, Keyring};
use crate::secrets::{self, Secret, vault::Vault};

/// Bytes that a secret may have.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// Shown below the options.
const EXAMPLES: &str = "\
Examples:
  meliora secret set openai                 asks for the value, without showing it
  pass show openai | meliora secret set openai
  meliora config set llm.providers.openai.api_key '${secret:openai}'
  meliora secret set openai --keyring       in the keyring of your session instead of the file
  meliora secret list
  meliora secret rotate                     encrypt everything anew, the old identity becomes useless";

/// Keep keys of models where only you can read them, and not in a settings file.
///
/// They are encrypted with age in ~/.config/agent/secrets.age; the identity that opens the file lies in meliora's state
/// folder, readable by you alone. With --keyring they are in the keyring of your session instead (of GNOME or KDE, the
/// Keychain, the Credential Manager). A setting names a key as ${secret:NAME}, which is looked for in the file and then
/// in the keyring. What is kept is masked in everything that leaves the program: what is in the file always, what is in
/// the keyring from its first use on.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Keep a value: from standard input, or asked for on a terminal
    Set {
        /// What settings call it: ${secret:NAME}
        name: String,
        /// In the keyring of your session instead of the encrypted file
        #[arg(long)]
        keyring: bool,
    },
    /// Say whether a value is kept; print it only with --reveal
    Get {
        /// The name
        name: String,
        /// Print the value
        #[arg(long)]
        reveal: bool,
        /// Look only into the keyring of your session
        #[arg(long)]
        keyring: bool,
    },
    /// Show the names of what is kept, never the values
    List {
        /// Print one JSON document instead of text
        #[arg(long)]
        json: bool,
        /// Only those in the keyring of your session
        #[arg(long)]
        keyring: bool,
    },
    /// Forget a value
    #[command(visible_alias = "remove")]
    Rm {
        /// The name
        name: String,
        /// Only in the keyring of your session
        #[arg(long)]
        keyring: bool,
    },
    /// Encrypt the file for a new identity and forget the old one
    Rotate,
}

#[derive(Debug, Serialize)]
struct Document {
    file: PathBuf,
    secrets: Vec<Kept>,
}

#[derive(Debug, Serialize)]
struct Kept {
    name: String,
    setting: String,
    place: &'static str,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> ExitCode {
    paint::ended(answer(&arguments.what))
}

fn answer(what: &What) -> anyhow::Result<u8> {
    let host = place::host()?;
    let vault = Vault::of(&host);
    match what {
        What::Set { name, keyring } => set(&host, name, *keyring),
        What::Get {
            name,
            reveal,
            keyring,
        } => get(&host, name, *reveal, *keyring),
        What::List { json, keyring } => list(&host, *json, *keyring),
        What::Rm { name, keyring } => {
            secrets::check_name(name)?;
            let was_there = !*keyring && vault.remove(name)?
                || in_keyring(&host, *keyring, false, |keyring| keyring.remove(name))?;
            if !was_there {
                return Ok(unknown(&host, name, *keyring));
            }
            note(&host, Configuring::SecretForgotten, name, "");
            paint::say(format!("{} is forgotten", paint(paint::THING, name)));
            Ok(EXIT_DONE)
        }
        What::Rotate => {
            let number = vault.rotate()?;
            let file = vault.path().display().to_string();
            note(&host, Configuring::SecretsRotated, "", &file);
            let number = paint::count(number, "secret");
            paint::say(format!("{number} encrypted for a new identity"));
            Ok(EXIT_DONE)
        }
    }
}

/// Writes a change into the journal of the user: the name, never the value.
fn note(host: &Host, change: Configuring, name: &str, place: &str) {
    let event = RunEvent::Configured {
        change,
        key: name.to_owned(),
        value: String::new(),
        place: place.to_owned(),
    };
    session::note_configured(host, None, "change the secrets", vec![event]);
}

/// What the keyring answers. That there is none is an error only when it was asked for by name.
fn in_keyring<Answer>(
    host: &Host,
    is_wanted: bool,
    without: Answer,
    question: impl FnOnce(Keyring) -> Result<Answer, keyring::Error>,
) -> anyhow::Result<Answer> {
    match Keyring::of(host).and_then(question) {
        Err(keyring::Error::NoSession | keyring::Error::NoService) if !is_wanted => Ok(without),
        answer => answer.context("the keyring cannot be used"),
    }
}

fn set(host: &Host, name: &str, is_for_keyring: bool) -> anyhow::Result<u8> {
    secrets::check_name(name)?;
    // Nobody types a key for a keyring that is not there.
    let keyring = is_for_keyring.then(|| Keyring::of(host)).transpose();
    let keyring = keyring.context("the keyring cannot be used")?;
    let secret = read(name)?;
    if secret.is_empty() {
        bail!("nothing was given: type the value, or pipe it in");
    }
    let vault = Vault::of(host);
    let place = match keyring {
        Some(keyring) => {
            let kept = keyring.set(name, &secret);
            kept.context("the keyring cannot be used")?;
            if vault.remove(name)? {
                let file = vault.path().display();
                paint::remark(format!("{name} is no longer kept in {file}"));
            }
            "the keyring".to_owned()
        }
        None => {
            vault.set(name, &secret)?;
            vault.path().display().to_string()
        }
    };
    note(host, Configuring::SecretKept, name, &place);
    let shown = paint(paint::THING, name);
    paint::say(format!(
        "{shown} is kept in {place}; settings call it ${{secret:{name}}}"
    ));
    Ok(EXIT_DONE)
}

fn get(host: &Host, name: &str, reveal: bool, only_keyring: bool) -> anyhow::Result<u8> {
    secrets::check_name(name)?;
    let in_file = if only_keyring {
        None
    } else {
        Vault::of(host).get(name)?
    };
    let secret = match in_file {
        Some(secret) => Some(secret),
        None => in_keyring(host, only_keyring, None, |keyring| keyring.get(name))?,
    };
    let Some(secret) = secret else {
        return Ok(unknown(host, name, only_keyring));
    };
    if reveal {
        paint::say(secret.expose());
    } else {
        let length = paint::count(secret.expose().chars().count(), "character");
        let name = paint(paint::THING, name);
        paint::say(format!("{name} is kept, {length}; --reveal prints it"));
    }
    Ok(EXIT_DONE)
}

fn list(host: &Host, json: bool, only_keyring: bool) -> anyhow::Result<u8> {
    let kept = kept(host, only_keyring)?;
    if json {
        paint::say_json(&Document {
            file: Vault::of(host).path().to_owned(),
            secrets: kept,
        })?;
        return Ok(EXIT_DONE);
    }
    if kept.is_empty() {
        paint::say("Nothing is kept; `meliora secret set NAME` keeps something.");
    }
    for row in kept {
        let setting = paint(
            paint::FAINT,
            format!("{}, in the {}", row.setting, row.place),
        );
        paint::say(format!("{}  {setting}", paint(paint::THING, &row.name)));
    }
    Ok(EXIT_DONE)
}

/// Everything that is kept, wherever.
fn kept(host: &Host, only_keyring: bool) -> anyhow::Result<Vec<Kept>> {
    let row = |place| {
        move |name: String| Kept {
            setting: format!("${{secret:{name}}}"),
            name,
            place,
        }
    };
    let mut kept: Vec<Kept> = Vec::new();
    if !only_keyring {
        kept.extend(Vault::of(host).names()?.into_iter().map(row("file")));
    }
    match in_keyring(host, only_keyring, Vec::new(), |keyring| keyring.names()) {
        Ok(names) => kept.extend(names.into_iter().map(row("keyring"))),
        Err(error) if only_keyring => return Err(error),
        Err(error) => paint::remark(format!("{error:#}")),
    }
    Ok(kept)
}

fn unknown(host: &Host, name: &str, only_keyring: bool) -> u8 {
    let kept = kept(host, only_keyring).unwrap_or_default();
    let known = kept.iter().map(|kept| kept.name.as_str());
    paint::complain(if kept.is_empty() {
        format!("unknown secret `{name}`: nothing is kept")
    } else {
        crate::config::names::unknown("secret", name, known)
    });
    EXIT_PROBLEMS
}

/// The value, without the line feed that `echo` or the return key adds.
fn read(name: &str) -> anyhow::Result<Secret> {
    let input = std::io::stdin();
    if input.is_terminal() {
        return ask(name);
    }
    let mut text = Zeroizing::new(String::new());
    let read = input
        .lock()
        .take(SECRET_BYTES_MAX + 1)
        .read_to_string(&mut text);
    let read = read.context("the value is not text")?;
    if read as u64 > SECRET_BYTES_MAX {
        bail!("the value is longer than {SECRET_BYTES_MAX} bytes");
    }
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    Ok(Secret::new(line.to_owned()))
}

/// What Ctrl-C sends.
#[cfg(unix)]
const INTERRUPT: u8 = 3;

/// Bytes that a line of a terminal may have.
#[cfg(unix)]
const LINE_BYTES_MAX: usize = 4096;

/// Asks on the terminal, which shows nothing of the answer.
#[cfg(unix)]
fn ask(name: &str) -> anyhow::Result<Secret> {
    use rustix::io::retry_on_intr;
    use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, tcgetattr, tcsetattr};
    let input = std::io::stdin();
    let before = tcgetattr(&input)?;
    let mut silent = before.clone();
    // Without signals an interrupt cannot leave the terminal silent: it is a letter, which ends the line.
    silent.local_modes -= LocalModes::ECHO | LocalModes::ISIG;
    silent.special_codes[SpecialCodeIndex::VEOL] = INTERRUPT;
    tcsetattr(&input, OptionalActions::Flush, &silent)?;
    anstream::eprint!("Value of {name} (not shown): ");
    // A terminal gives one line at a time. The buffer of the standard library would keep a copy of it.
    let mut line = Zeroizing::new([0; LINE_BYTES_MAX]);
    let read = retry_on_intr(|| rustix::io::read(&input, line.as_mut_slice()));
    tcsetattr(&input, OptionalActions::Flush, &before)?;
    anstream::eprintln!();
    let line = line.get(..read?).unwrap_or_default();
    if line.contains(&INTERRUPT) {
        bail!("nothing was changed");
    }
    let line = std::str::from_utf8(line).context("the value is not text")?;
    Ok(Secret::new(line.trim_end_matches(['\n', '\r']).to_owned()))
}

#[cfg(not(unix))]
fn ask(_: &str) -> anyhow::Result<Secret> {
    bail!("this terminal would show the value: pipe it in")
}
