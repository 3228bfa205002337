//! A template, read from its file (spec: Template management, prompt versioning).
//!
//! The file begins with front matter in TOML between lines of `+++`; the body after it is in the language of minijinja.
//! The templates that ship with the program are compiled in; each is also the contract of its name: what the program
//! fills in, and with which kind of text.

use std::fmt;
use std::sync::OnceLock;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::check::{self, Severity};

/// Every shipped template, by name.
const SHIPPED: [(&str, &str); 5] = [
    ("system", include_str!("../../prompts/system.md")),
    ("do", include_str!("../../prompts/do.md")),
    ("fix", include_str!("../../prompts/fix.md")),
    ("feedback", include_str!("../../prompts/feedback.md")),
    ("remark", include_str!("../../prompts/remark.md")),
];

/// The line that begins and ends the front matter.
pub(super) const FRONT_MATTER: &str = "+++";

/// Digits of a digest that are shown.
const SHORT_DIGITS: usize = 12;

/// A template, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// Name, version, purpose and slots.
    pub head: Head,
    /// The body, in the language of minijinja.
    pub body: String,
    /// The text of the whole file, normalised: what the version names.
    pub text: String,
    /// Names exactly this text.
    pub version: PromptVersion,
}

/// Names one text of one prompt: `do@0123456789ab`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PromptVersion {
    /// The prompt.
    pub name: String,
    /// The SHA-256 of its normalised text, in hexadecimal digits.
    pub digest: String,
}

impl PromptVersion {
    /// The name of a text.
    pub fn of(name: &str, text: &str) -> Self {
        Self {
            name: name.to_owned(),
            digest: HEXLOWER.encode(&Sha256::digest(normalised(text))),
        }
    }

    /// The digits of the digest that are shown.
    pub fn short(&self) -> &str {
        self.digest.get(..SHORT_DIGITS).unwrap_or(&self.digest)
    }
}

impl fmt::Display for PromptVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}@{}", self.name, self.short())
    }
}

/// The front matter of a template.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Its name; the file is called the same.
    pub name: String,
    /// Grows with every change of meaning.
    pub version: u32,
    /// What it is for, in one sentence.
    pub purpose: String,
    /// Tokens of its own words and all its slots at most.
    pub tokens: Option<u64>,
    /// What has to be filled in.
    #[serde(default)]
    pub slots: Vec<SlotSpec>,
    /// What the model's last words shall be, as a JSON Schema.
    pub output: Option<serde_json::Value>,
}

impl Head {
    /// The slot of that name.
    pub fn slot(&self, name: &str) -> Option<&SlotSpec> {
        self.slots.iter().find(|slot| slot.name == name)
    }
}

/// One slot of a template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlotSpec {
    /// Its name in the body.
    pub name: String,
    /// What may enter.
    pub kind: SlotKind,
    /// Tokens that may enter at most: what is longer is shortened, or refused where it must not be.
    pub tokens: Option<u64>,
}

/// What may enter a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SlotKind {
    /// Words of the program itself, as they are.
    Trusted,
    /// What the user asks for: fenced as the request, never shortened.
    Instruction,
    /// Code of files: fenced as data; comments and bodies of functions go when it is too long.
    Code,
    /// What compilers and tests say: fenced as data; the middle goes when it is too long.
    Diagnostics,
    /// Any other text that nobody vouches for: fenced as data; the middle goes when it is too long.
    Data,
}

impl SlotKind {
    /// Every kind, with its name and what it means.
    pub const ALL: [(Self, &'static str, &'static str); 5] = [
        (
            Self::Trusted,
            "trusted",
            "words of the program itself, as they are",
        ),
        (
            Self::Instruction,
            "instruction",
            "what the user asks for: fenced as the request, never shortened",
        ),
        (
            Self::Code,
            "code",
            "code of files: fenced as data, shortened by its syntax when it is too long",
        ),
        (
            Self::Diagnostics,
            "diagnostics",
            "what compilers and tests say: fenced as data, shortened when it is too long",
        ),
        (
            Self::Data,
            "data",
            "other text that nobody vouches for: fenced as data, shortened when it is too long",
        ),
    ];

    /// Its name in the front matter.
    pub fn name(self) -> &'static str {
        let known = Self::ALL.iter().find(|(kind, ..)| *kind == self);
        known.map_or("", |(_, name, _)| name)
    }
}

/// Why a template cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is no template of that name.
    #[error("{0}; `meliora prompts list` shows them all")]
    Unknown(String),
    /// The file cannot be used.
    #[error("prompt `{name}`, line {line}: {message}")]
    File {
        /// The template.
        name: String,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// A slot was filled that the template does not have, or not filled, or filled with the wrong kind of text.
    #[error("prompt `{name}`, slot `{slot}`: {message}")]
    Slot {
        /// The template.
        name: String,
        /// The slot.
        slot: String,
        /// What is wrong.
        message: String,
    },
    /// The body cannot be rendered.
    #[error("prompt `{name}`: {message}")]
    Body {
        /// The template.
        name: String,
        /// What is wrong, with the line.
        message: String,
    },
}

/// All shipped templates, in the order in which a conversation needs them.
pub fn shipped() -> &'static [Template] {
    static READ: OnceLock<Vec<Template>> = OnceLock::new();
    READ.get_or_init(|| {
        let templates = SHIPPED
            .iter()
            .map(|(name, text)| Template::parsed(name, text));
        templates
            .map(|read| read.expect("a test reads every shipped template"))
            .collect()
    })
}

/// The shipped template of that name.
pub fn contract(name: &str) -> Option<&'static Template> {
    shipped().iter().find(|template| template.head.name == name)
}

impl Template {
    /// Reads the template `name`. What the editor would show as an error is one here.
    pub fn read(name: &str, text: &str) -> Result<Self, Error> {
        let findings = check::check(name, text, contract(name).map(|template| &template.head));
        let broken = findings
            .iter()
            .find(|finding| finding.severity == Severity::Broken);
        match broken {
            Some(finding) => Err(Error::File {
                name: name.to_owned(),
                line: finding.line(text),
                message: finding.message.clone(),
            }),
            None => Self::parsed(name, text),
        }
    }

    fn parsed(name: &str, text: &str) -> Result<Self, Error> {
        let text = normalised(text);
        let wrong = |message: String| Error::File {
            name: name.to_owned(),
            line: 1,
            message,
        };
        let parts = split(&text).ok_or_else(|| {
            wrong(format!(
                "it has to begin with front matter between lines of {FRONT_MATTER}"
            ))
        })?;
        let head: Head =
            toml::from_str(parts.head).map_err(|error| wrong(error.message().to_owned()))?;
        Ok(Self {
            head,
            body: parts.body.trim().to_owned(),
            version: PromptVersion::of(name, &text),
            text,
        })
    }
}

/// The two parts of a file, and where they begin.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parts<'text> {
    pub(super) head: &'text str,
    pub(super) head_at: usize,
    pub(super) body: &'text str,
    pub(super) body_at: usize,
}

/// Splits a file at the lines that hold only the mark; line ends may be those of any system.
pub(super) fn split(text: &str) -> Option<Parts<'_>> {
    let mut at = 0;
    let mut head_at = None;
    for line in text.split_inclusive('\n') {
        let end = at + line.len();
        let is_mark = line.trim_end().trim_start_matches('\u{FEFF}') == FRONT_MATTER;
        match head_at {
            None if !is_mark => return None,
            None => head_at = Some(end),
            Some(head_at) if is_mark => {
                return Some(Parts {
                    head: text.get(head_at..at)?,
                    head_at,
                    body: text.get(end..)?,
                    body_at: end,
                });
            }
            Some(_) => {}
        }
        at = end;
    }
    None
}

/// The text that is hashed: no byte order mark, line feeds only, no white space at ends of lines, one line feed at the
/// end. Two files that look the same are the same version.
fn normalised(text: &str) -> String {
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    let mut joined = lines.join("\n").trim_end().to_owned();
    joined.push('\n');
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_template_is_right_and_fits_its_budget() {
        for (name, text) in SHIPPED {
            let findings = check::check(name, text, None);
            assert_eq!(findings, [], "{name}");
            let template = contract(name).expect("it is shipped");
            assert_eq!(template.head.name, name);
            assert!(!template.body.is_empty() && !template.head.purpose.is_empty());
        }
    }

    #[test]
    fn files_that_look_the_same_are_the_same_version() {
        let text = SHIPPED[0].1;
        let version = PromptVersion::of("system", text);
        let windows = format!("\u{FEFF}{}\r\n\r\n", text.replace('\n', "  \r\n"));
        assert_eq!(PromptVersion::of("system", &windows), version);
        assert_ne!(
            PromptVersion::of("system", &text.replace("part", "port")),
            version
        );
        assert_eq!(version.to_string().len(), "system@".len() + SHORT_DIGITS);
        let read = Template::read("system", &windows).expect("it can be read");
        assert_eq!(Some(&read), contract("system"));
    }

    #[test]
    fn a_wrong_file_is_named_with_its_line() {
        for (text, line) in [
            ("no head", 1),
            ("+++\nname = 1\n+++\nbody", 2),
            ("+++\nname = \"x\"\nversion = 1\n+++\nbody", 2),
            (
                "+++\nname = \"x\"\nversion = 1\npurpose = \"p\"\n+++\n\n{{ y }}",
                7,
            ),
        ] {
            match Template::read("x", text) {
                Err(Error::File { line: found, .. }) => assert_eq!(found, line, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    }
}
