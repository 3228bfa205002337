//! Logins in the files in which version control keeps settings and addresses (spec: Secrets).
//!
//! A remote that was added with a token in its address has it there in the open, as has a header that is sent along.

use std::borrow::Cow;
use std::path::Path;

use crate::config::file;
use crate::redact::Redactor;

/// Bytes of a file that is looked into.
const BYTES_MAX: u64 = 1 << 20;

/// Bytes of a record of where references were.
const LOG_BYTES_MAX: u64 = 16 << 20;

/// Parts of the names of settings whose values are logins.
const KEYS: [&str; 5] = ["extraheader", "password", "passwd", "token", "secret"];

/// Files in which version control keeps addresses, wherever they lie.
const FILES: [&str; 6] = [
    "config",
    "config.worktree",
    "hgrc",
    ".gitconfig",
    ".git-credentials",
    "FETCH_HEAD",
];

/// Whether a file is one in which version control keeps addresses, and logins with them, by its name.
pub fn may_be_in(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    FILES.iter().any(|known| name == *known)
}

/// Whether such a file holds a login, or cannot be looked into. One that is not there holds none.
pub fn are_in(path: &Path, redactor: &Redactor) -> bool {
    let Ok(text) = file::read_at_most(path, BYTES_MAX) else {
        return true;
    };
    let text = text.map(String::from_utf8);
    text.is_some_and(|text| text.map_or(true, |text| are_in_text(&text, redactor)))
}

/// Whether a record of where references were holds an address with a login, or cannot be looked into: `git pull` writes
/// down what it was told.
pub fn are_in_log(path: &Path) -> bool {
    let Ok(text) = file::read_at_most(path, LOG_BYTES_MAX) else {
        return true;
    };
    let text = text.unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    text.split_whitespace().any(names_a_login)
}

/// The settings in a file without the lines that hold a login; nothing when it cannot be read.
pub fn settings_without(path: &Path, redactor: &Redactor) -> Option<String> {
    let text = file::read_at_most(path, BYTES_MAX).ok().flatten()?;
    let text = String::from_utf8(text).ok()?;
    let mut kept = String::with_capacity(text.len());
    let mut continues = false;
    let mut is_left_out = false;
    for line in text.split_inclusive('\n') {
        // A line that ends in `\` goes on in the next.
        is_left_out = (continues && is_left_out) || is_login_key(line);
        continues = line.trim_end_matches(['\r', '\n']).ends_with('\\');
        if !is_left_out {
            kept.push_str(&without_addresses(line));
        }
    }
    // What was told apart neither by its name nor by its form is no setting that can be kept.
    let is_clean = !are_in_text(&kept, redactor);
    Some(if is_clean { kept } else { String::new() })
}

fn are_in_text(text: &str, redactor: &Redactor) -> bool {
    text.lines().any(is_login_key)
        || text.split_whitespace().any(names_a_login)
        || redactor.clean(text) != text
}

fn is_login_key(line: &str) -> bool {
    let key = line.split_once('=').map(|(key, _)| key.to_lowercase());
    key.is_some_and(|key| KEYS.iter().any(|word| key.contains(word)))
}

/// Whether a word is an address with a login in it. Names of users without a password are in every address of ssh.
fn names_a_login(word: &str) -> bool {
    let Some((scheme, rest)) = word.split_once("://") else {
        return false;
    };
    login(scheme, rest).is_some()
}

/// The login with which the rest of an address begins, with its `@`.
fn login<'address>(scheme: &str, rest: &'address str) -> Option<&'address str> {
    let authority = rest.split('/').next().unwrap_or_default();
    let end = authority.rfind('@')?;
    let (login, _) = authority.split_at(end);
    let is_login = login.contains(':') || !scheme.ends_with("ssh");
    is_login.then(|| rest.get(..=end)).flatten()
}

/// A line in which addresses have no logins.
fn without_addresses(line: &str) -> Cow<'_, str> {
    let mut words = line.split_inclusive(char::is_whitespace);
    if !words.any(|word| names_a_login(word.trim_end())) {
        return Cow::Borrowed(line);
    }
    let words = line.split_inclusive(char::is_whitespace).map(|word| {
        let parted = word.split_once("://");
        let login = parted.and_then(|(scheme, rest)| login(scheme, rest.trim_end()));
        match (parted, login) {
            (Some((scheme, rest)), Some(login)) => {
                let rest = rest.strip_prefix(login).unwrap_or(rest);
                format!("{scheme}://{rest}")
            }
            _ => word.to_owned(),
        }
    });
    Cow::Owned(words.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_keep_everything_but_logins() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("config");
        let redactor = Redactor::new(["hunter2-hunter2".to_owned()]);
        for (text, expected) in [
            ("[core]\n\tbare = false\n", "[core]\n\tbare = false\n"),
            (
                "[remote \"o\"]\n\turl = https://me:pw@host/a.git\n\tfetch = +refs/*:refs/*\n",
                "[remote \"o\"]\n\turl = https://host/a.git\n\tfetch = +refs/*:refs/*\n",
            ),
            (
                "[url \"https://tok@host/\"]\n\tinsteadOf = https://host/\n",
                "[url \"https://host/\"]\n\tinsteadOf = https://host/\n",
            ),
            (
                "[remote \"o\"]\n\turl = ssh://git@host/a.git\n",
                "[remote \"o\"]\n\turl = ssh://git@host/a.git\n",
            ),
            (
                "[http]\n\textraHeader = A: \\\n  Basic eDp5\n[a]\n\tb = 1\n",
                "[http]\n[a]\n\tb = 1\n",
            ),
            ("[a]\n\tb = hunter2-hunter2\n", ""),
        ] {
            std::fs::write(&path, text).expect("written");
            let kept = settings_without(&path, &redactor).expect("readable");
            assert_eq!(kept, expected, "{text}");
            assert_eq!(are_in(&path, &redactor), kept != text, "{text}");
        }
        assert!(!are_in(&folder.path().join("none"), &redactor));
    }
}
