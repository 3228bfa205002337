//! `meliora secret`: keeps keys where only the user can read them (spec: Secret Management).

use std::io::{IsTerminal, Read};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use serde::Serialize;
use zeroize::Zeroizing;

use super::paint::{self, paint};
use super::{EXIT_DONE, EXIT_PROBLEMS, place};
use crate::secrets::{self, Secret, vault::Vault};

/// Bytes that a secret may have.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// Shown below the options.
const EXAMPLES: &str = "\
Examples:
  meliora secret set openai                 asks for the value, without showing it
  pass show openai | meliora secret set openai
  meliora config set llm.providers.openai.api_key '${secret:openai}'
  meliora secret list
  meliora secret rotate                     encrypt everything anew, the old identity becomes useless";

/// Keep keys of models where only you can read them, and not in a settings file.
///
/// They are encrypted with age in ~/.config/agent/secrets.age; the identity that opens the file lies in meliora's state
/// folder, readable by you alone. A setting names a key as ${secret:NAME}. What is kept is masked in everything that
/// leaves the program.
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
    },
    /// Say whether a value is kept; print it only with --reveal
    Get {
        /// The name
        name: String,
        /// Print the value
        #[arg(long)]
        reveal: bool,
    },
    /// Show the names of what is kept, never the values
    List {
        /// Print one JSON document instead of text
        #[arg(long)]
        json: bool,
    },
    /// Forget a value
    #[command(visible_alias = "remove")]
    Rm {
        /// The name
        name: String,
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
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> ExitCode {
    paint::ended(answer(&arguments.what))
}

fn answer(what: &What) -> anyhow::Result<u8> {
    let host = place::host()?;
    let vault = Vault::of(&host);
    match what {
        What::Set { name } => set(&vault, name),
        What::Get { name, reveal } => {
            let Some(secret) = secrets::kept(&host, name)? else {
                return Ok(unknown(&vault, name));
            };
            if *reveal {
                paint::say(secret.expose());
            } else {
                let length = paint::count(secret.expose().chars().count(), "character");
                let name = paint(paint::THING, name);
                paint::say(format!("{name} is kept, {length}; --reveal prints it"));
            }
            Ok(EXIT_DONE)
        }
        What::List { json } => list(&vault, *json),
        What::Rm { name } => {
            secrets::check_name(name)?;
            if !vault.remove(name)? {
                return Ok(unknown(&vault, name));
            }
            paint::say(format!("{} is forgotten", paint(paint::THING, name)));
            Ok(EXIT_DONE)
        }
        What::Rotate => {
            let number = vault.rotate()?;
            let number = paint::count(number, "secret");
            paint::say(format!("{number} encrypted for a new identity"));
            Ok(EXIT_DONE)
        }
    }
}

fn set(vault: &Vault, name: &str) -> anyhow::Result<u8> {
    secrets::check_name(name)?;
    let secret = read(name)?;
    if secret.is_empty() {
        bail!("nothing was given: type the value, or pipe it in");
    }
    vault.set(name, &secret)?;
    let file = vault.path().display();
    let shown = paint(paint::THING, name);
    paint::say(format!(
        "{shown} is kept in {file}; settings call it ${{secret:{name}}}"
    ));
    Ok(EXIT_DONE)
}

fn list(vault: &Vault, json: bool) -> anyhow::Result<u8> {
    let names = vault.names()?;
    if json {
        let secrets = names.into_iter().map(|name| Kept {
            setting: format!("${{secret:{name}}}"),
            name,
        });
        paint::say_json(&Document {
            file: vault.path().to_owned(),
            secrets: secrets.collect(),
        })?;
        return Ok(EXIT_DONE);
    }
    if names.is_empty() {
        paint::say("Nothing is kept; `meliora secret set NAME` keeps something.");
    }
    for name in names {
        let setting = paint(paint::FAINT, format!("${{secret:{name}}}"));
        paint::say(format!("{}  {setting}", paint(paint::THING, &name)));
    }
    Ok(EXIT_DONE)
}

fn unknown(vault: &Vault, name: &str) -> u8 {
    let names = vault.names().unwrap_or_default();
    let known = names.iter().map(String::as_str);
    paint::complain(crate::config::names::unknown("secret", name, known));
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
