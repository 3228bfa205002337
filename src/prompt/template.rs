//! The templates that ship with the program (spec: Template management, prompt versioning).

use data_encoding::HEXLOWER;
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// Every shipped template, by name.
const SHIPPED: [(&str, &str); 4] = [
    ("system", include_str!("../../prompts/system.md")),
    ("do", include_str!("../../prompts/do.md")),
    ("fix", include_str!("../../prompts/fix.md")),
    ("feedback", include_str!("../../prompts/feedback.md")),
];

/// The line that begins and ends the front matter.
const FRONT_MATTER: &str = "+++";

/// A template, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// Name, version, purpose and slots.
    pub head: Head,
    /// The body, in the language of minijinja.
    pub body: String,
    /// Names exactly this text: 12 hexadecimal digits.
    pub digest: String,
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
    /// What has to be filled in.
    #[serde(default)]
    pub slots: Vec<SlotSpec>,
}

/// One slot of a template.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlotSpec {
    /// Its name in the body.
    pub name: String,
    /// What may enter.
    pub kind: SlotKind,
}

/// What may enter a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SlotKind {
    /// Text of ours or of the user.
    Trusted,
    /// Text of files, tools, compilers: fenced.
    Untrusted,
}

/// Why a template cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is no template of that name.
    #[error("there is no prompt template `{0}`")]
    Unknown(String),
    /// The front matter is missing or wrong.
    #[error("prompt template `{name}`: {message}")]
    Head {
        /// The template.
        name: String,
        /// What is wrong.
        message: String,
    },
    /// A slot was filled that the template does not have, or not filled, or filled with the wrong kind of text.
    #[error("prompt template `{name}`, slot `{slot}`: {message}")]
    Slot {
        /// The template.
        name: String,
        /// The slot.
        slot: String,
        /// What is wrong.
        message: &'static str,
    },
    /// The body cannot be rendered.
    #[error("prompt template `{name}`: {message}")]
    Body {
        /// The template.
        name: String,
        /// What is wrong, with the line.
        message: String,
    },
}

/// All shipped templates.
pub fn templates() -> Result<Vec<Template>, Error> {
    SHIPPED
        .iter()
        .map(|(name, text)| read(name, text))
        .collect()
}

/// The shipped template of that name.
pub fn template(name: &str) -> Result<Template, Error> {
    let shipped = SHIPPED.iter().find(|(shipped, _)| *shipped == name);
    let (name, text) = shipped.ok_or_else(|| Error::Unknown(name.to_owned()))?;
    read(name, text)
}

fn read(name: &str, text: &str) -> Result<Template, Error> {
    let wrong = |message: String| Error::Head {
        name: name.to_owned(),
        message,
    };
    let parts = text
        .strip_prefix(FRONT_MATTER)
        .and_then(|rest| rest.split_once(&format!("\n{FRONT_MATTER}\n")));
    let Some((head, body)) = parts else {
        return Err(wrong(format!(
            "it has to begin with front matter between lines of {FRONT_MATTER}"
        )));
    };
    let head: Head = toml::from_str(head).map_err(|error| wrong(error.to_string()))?;
    if head.name != name {
        return Err(wrong(format!("its front matter calls it `{}`", head.name)));
    }
    let digest = HEXLOWER.encode(Sha256::digest(text.as_bytes()).get(..6).unwrap_or_default());
    Ok(Template {
        head,
        body: body.trim().to_owned(),
        digest,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_template_can_be_read() {
        let templates = templates().expect("the shipped templates are right");
        for template in templates {
            assert!(!template.body.is_empty() && !template.head.purpose.is_empty());
            for slot in &template.head.slots {
                assert!(
                    template.body.contains(&slot.name),
                    "{}: {}",
                    template.head.name,
                    slot.name
                );
            }
        }
    }

    #[test]
    fn a_wrong_head_is_named() {
        for text in [
            "no head",
            "+++\nname = 1\n+++\nbody",
            "+++\nname = \"x\"\n+++\nbody",
        ] {
            assert!(matches!(read("x", text), Err(Error::Head { .. })), "{text}");
        }
    }
}
