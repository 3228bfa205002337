//! What can be asked about code, and what the answers are (spec: Semantic Analyzer).

use std::path::{Path, PathBuf};

use super::code::{Answer, Code};
use super::{Call, Error, Location, NamedPlace, Symbol};
use crate::text::edit::EditSet;

/// A question about code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// About the thing at a place.
    About {
        /// What is asked of it.
        what: What,
        /// The file, relative to the root.
        file: PathBuf,
        /// Byte of its text at which the thing stands.
        offset: usize,
    },
    /// What a file defines.
    Outline(PathBuf),
    /// What the workspace defines under names that fit this.
    Named(String),
    /// What giving the thing at a place another name would change.
    Rename {
        /// The file, relative to the root.
        file: PathBuf,
        /// Byte of its text at which the thing stands.
        offset: usize,
        /// The new name.
        name: String,
    },
}

/// What is asked of a thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// Where it is defined.
    Definition,
    /// Where its type is defined.
    TypeDefinition,
    /// Where it is used.
    References,
    /// What implements it.
    Implementations,
    /// Who calls it.
    Callers,
    /// What it calls.
    Callees,
    /// Its type or signature.
    Type,
}

impl What {
    /// Every kind, under the name that a caller gives it.
    pub const ALL: [(&'static str, Self); 7] = [
        ("definition", Self::Definition),
        ("type_definition", Self::TypeDefinition),
        ("references", Self::References),
        ("implementations", Self::Implementations),
        ("callers", Self::Callers),
        ("callees", Self::Callees),
        ("type", Self::Type),
    ];
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Places.
    Places(Vec<Location>),
    /// Functions at the other end of calls.
    Calls(Vec<Call>),
    /// A type, if there is one.
    Type(Option<String>),
    /// Definitions of a file, outermost first.
    Outline(Vec<Symbol>),
    /// Definitions of the workspace.
    Named(Vec<NamedPlace>),
    /// Changes.
    Edits(EditSet),
}

impl Question {
    /// The file that it is about, if it is about one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::About { file, .. } | Self::Rename { file, .. } | Self::Outline(file) => {
                Some(file)
            }
            Self::Named(_) => None,
        }
    }
}

impl Code<'_> {
    /// Answers a question, or fails where only a server could answer and none did.
    pub async fn ask(&self, question: &Question) -> Result<Answer<Found>, Error> {
        Ok(match question {
            Question::About { what, file, offset } => self.about(*what, file, *offset).await?,
            Question::Outline(file) => self.symbols(file).await.map(Found::Outline),
            Question::Named(query) => self.workspace_symbols(query).await.map(Found::Named),
            Question::Rename { file, offset, name } => {
                self.rename(file, *offset, name).await?.map(Found::Edits)
            }
        })
    }

    async fn about(&self, what: What, file: &Path, at: usize) -> Result<Answer<Found>, Error> {
        Ok(match what {
            What::Definition => self.definition(file, at).await.map(Found::Places),
            What::TypeDefinition => self.type_definition(file, at).await?.map(Found::Places),
            What::References => self.references(file, at).await.map(Found::Places),
            What::Implementations => self.implementations(file, at).await.map(Found::Places),
            What::Callers => self.callers(file, at).await.map(Found::Calls),
            What::Callees => self.callees(file, at).await?.map(Found::Calls),
            What::Type => self.type_of(file, at).await.map(Found::Type),
        })
    }
}
