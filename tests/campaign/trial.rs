//! One seeded error: making it, letting `meliora fix` at it, judging what came out.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::meaning;
use crate::operators::{Operator, Site};
use crate::sample::{Sample, cargo, room};
use meliora::text::edit::FileEdit;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Errors that one mutant may cause.
const ERRORS_MAX: usize = 4;

/// What the repair has to go by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guidance {
    /// The compiler only.
    Compiler,
    /// The compiler and rust-analyzer.
    Analyzer,
}

/// A crate with one seeded error.
#[derive(Debug)]
pub(crate) struct Mutant {
    /// Operator, crate, file and line.
    pub(crate) name: String,
    /// Name of the operator.
    pub(crate) operator: &'static str,
    /// Code of the first error.
    pub(crate) code: String,
    folder: PathBuf,
    file: PathBuf,
    original: Arc<str>,
    broken: Arc<str>,
}

/// What became of a mutant.
#[derive(Debug)]
pub(crate) struct Trial {
    pub(crate) verdict: Verdict,
    /// From the original to what came out, or to the seeded error when that is still there; for a partial repair
    /// what it changed.
    pub(crate) diff: String,
    /// Names the mutant and what came out, for `reviewed.txt`.
    pub(crate) key: String,
    /// What `meliora fix` did, or why it did nothing.
    pub(crate) reason: String,
    pub(crate) time: Duration,
}

/// How a repair compares with the original.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The same tokens as before the error was seeded.
    Exact,
    /// The same but for where imports and derives stand and how they are grouped.
    Same,
    /// Other tokens; a person has found that they mean the same, or something as good.
    Reviewed,
    /// Other tokens; the crate's tests pass, and no person has looked.
    Unreviewed,
    /// It compiles and means something else.
    Wrong,
    /// Something was changed and errors are left.
    Partial,
    /// Nothing was changed.
    Refused,
}

/// Seeds an error, or `None` when it causes none, too many, or one without a code.
pub(crate) fn mutant(sample: &Sample, operator: &Operator, site: Site) -> Option<Mutant> {
    let path = sample.folder.join(&site.file);
    let original = fs::read_to_string(&path).expect("readable");
    let mut broken = original.clone();
    broken.replace_range(site.range.clone(), &site.replacement);
    fs::write(&path, &broken).expect("written");
    let codes = error_codes(&sample.folder);
    fs::write(&path, &original).expect("written");
    if codes.len() > ERRORS_MAX {
        return None;
    }
    let code = codes.into_iter().next().filter(|code| !code.is_empty())?;
    let line = original[..site.range.start].lines().count().max(1);
    Some(Mutant {
        name: format!(
            "{}:{}:{}:{line}",
            operator.name,
            sample.name,
            site.file.display()
        ),
        operator: operator.name,
        code,
        folder: sample.folder.clone(),
        file: site.file,
        original: original.into(),
        broken: broken.into(),
    })
}

/// Lets `meliora fix` repair the mutant, and judges the result. The crate is as before afterwards.
pub(crate) fn run(mutant: &Mutant, guidance: Guidance) -> Trial {
    let path = mutant.folder.join(&mutant.file);
    let before = snapshot(&mutant.folder);
    fs::write(&path, mutant.broken.as_bytes()).expect("written");
    let started = Instant::now();
    let report = fix(&mutant.folder, guidance);
    let time = started.elapsed();
    let repaired = fs::read_to_string(&path).expect("readable");
    let mut verdict = judge(mutant, &repaired);
    if verdict == Verdict::Unreviewed && meaning::same_meaning(&repaired, &mutant.original) {
        verdict = Verdict::Same;
    }
    let changed: Vec<_> = snapshot(&mutant.folder)
        .into_iter()
        .filter(|(file, text)| {
            *file != path
                && before
                    .iter()
                    .any(|(known, old)| known == file && old != text)
        })
        .collect();
    if matches!(verdict, Verdict::Exact | Verdict::Same) && !changed.is_empty() {
        verdict = Verdict::Unreviewed;
    }
    let mut diff = edit(&mutant.original, &repaired).unified_diff(&mutant.file);
    for (file, text) in &changed {
        let old = before.iter().find(|(known, _)| known == file);
        let old = old.map_or("", |(_, old)| old);
        diff.push_str(
            &edit(old, text).unified_diff(file.strip_prefix(&mutant.folder).expect("below")),
        );
    }
    for (file, text) in before {
        fs::write(file, text).expect("written");
    }
    let digest = Sha256::digest(diff.as_bytes());
    let key = format!(
        "{} {}",
        mutant.name,
        data_encoding::HEXLOWER.encode(&digest[..4])
    );
    if verdict == Verdict::Unreviewed {
        verdict = reviewed(&key).unwrap_or(verdict);
    }
    match verdict {
        Verdict::Exact | Verdict::Same => diff.clear(),
        Verdict::Refused => {
            diff = edit(&mutant.original, &mutant.broken).unified_diff(&mutant.file);
        }
        Verdict::Partial => diff = edit(&mutant.broken, &repaired).unified_diff(&mutant.file),
        Verdict::Reviewed | Verdict::Unreviewed | Verdict::Wrong => {}
    }
    Trial {
        verdict,
        diff,
        key,
        reason: reason(&report),
        time,
    }
}

fn edit(before: &str, after: &str) -> FileEdit {
    FileEdit {
        before: Some(before.into()),
        after: Some(after.into()),
    }
}

fn snapshot(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("readable").flatten() {
        let path = entry.path();
        if entry.file_type().expect("known").is_dir() {
            files.extend(snapshot(&path));
        } else if path
            .extension()
            .is_some_and(|extension| extension == "rs" || extension == "toml")
        {
            files.push((path.clone(), fs::read_to_string(&path).expect("readable")));
        }
    }
    files
}

fn fix(folder: &Path, guidance: Guidance) -> Value {
    let home = room().join("home");
    // Another build can be named, to compare versions.
    let binary = std::env::var("MELIORA_CAMPAIGN_BINARY");
    let binary = binary.unwrap_or_else(|_| env!("CARGO_BIN_EXE_meliora").to_owned());
    let output = Command::new(binary)
        .args(["fix", "--apply", "--json"])
        .current_dir(folder)
        .env("XDG_CACHE_HOME", home.join("cache"))
        .env("XDG_STATE_HOME", home.join("state"))
        .env("XDG_CONFIG_HOME", home.join("config"))
        .env("RUSTUP_DIST_SERVER", "http://127.0.0.1:9")
        .env(
            "MELIORA_LSP__ENABLED",
            (guidance == Guidance::Analyzer).to_string(),
        )
        .output()
        .expect("meliora runs");
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&output.stderr).into_owned()))
}

/// What the report says in one line: the repairs, and how the run ended.
fn reason(report: &Value) -> String {
    let repairs: Vec<String> = report["repairs"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|repair| {
            format!(
                "{} by {} `{}`",
                repair["code"], repair["source"], repair["title"]
            )
        })
        .collect();
    let outcome = report.get("outcome").unwrap_or(report);
    format!("{} {outcome}", repairs.join(", "))
}

fn judge(mutant: &Mutant, repaired: &str) -> Verdict {
    if meaning::same_tokens(repaired, &mutant.original) {
        return Verdict::Exact;
    }
    if repaired == &*mutant.broken {
        return Verdict::Refused;
    }
    if !error_codes(&mutant.folder).is_empty() {
        return Verdict::Partial;
    }
    let tests = cargo(&mutant.folder)
        .args(["test", "--offline", "--quiet"])
        .env("CARGO_TARGET_DIR", room().join("build"))
        .output()
        .expect("cargo runs");
    if tests.status.success() {
        Verdict::Unreviewed
    } else {
        Verdict::Wrong
    }
}

/// What a person has found: lines of `reviewed.txt` are a key, `same` or `wrong`, and why.
fn reviewed(key: &str) -> Option<Verdict> {
    include_str!("reviewed.txt").lines().find_map(|line| {
        match line.strip_prefix(key)?.trim_start().split(':').next()? {
            "same" => Some(Verdict::Reviewed),
            "wrong" => Some(Verdict::Wrong),
            other => panic!("`{other}` in reviewed.txt is neither `same` nor `wrong`"),
        }
    })
}

/// Codes of the errors that the compiler finds; an error without a code gives an empty one.
fn error_codes(folder: &Path) -> Vec<String> {
    let output = cargo(folder)
        .args(["check", "--offline", "--quiet", "--message-format=json"])
        .env("CARGO_TARGET_DIR", room().join("build"))
        .output()
        .expect("cargo runs");
    let text = String::from_utf8(output.stdout).expect("text");
    let codes: Vec<String> = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|line| line["reason"] == "compiler-message")
        .map(|line| line["message"].clone())
        .filter(|message| {
            message["level"] == "error"
                && message["spans"]
                    .as_array()
                    .is_some_and(|spans| !spans.is_empty())
        })
        .map(|message| {
            message["code"]["code"]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        })
        .collect();
    if codes.is_empty() && !output.status.success() {
        vec![String::new()]
    } else {
        codes
    }
}
