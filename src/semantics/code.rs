//! What code means, from the best that there is: a language server, else syntax (spec: Semantic Analyzer).

use std::path::Path;
use std::time::Duration;

use super::by_syntax::Reader;
use super::client::Client;
use super::{Call, Error, Location, NamedPlace, Symbol};
use crate::text::edit::EditSet;
use crate::text::staging::Staging;

/// What an answer rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// A language server, which knows what names mean.
    Server,
    /// Syntax, which knows only names: another thing of the same name may be among what was found.
    Syntax,
}

/// Characters of a server's complaint that are handed on.
const CAVEAT_CHARACTERS_MAX: usize = 200;

/// An answer, and what it rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<T> {
    /// What was found.
    pub found: T,
    /// What it rests on.
    pub basis: Basis,
    /// What the server complains about, so that something may be missing; empty when nothing.
    pub caveat: String,
}

impl<T> Answer<T> {
    /// The same answer in another form.
    pub fn map<U>(self, form: impl FnOnce(T) -> U) -> Answer<U> {
        Answer {
            found: form(self.found),
            basis: self.basis,
            caveat: self.caveat,
        }
    }
}

/// A workspace about whose code can be asked. Where there is a server, the files that are asked about must be open in
/// it.
#[derive(Clone, Copy)]
pub struct Code<'run> {
    server: Option<&'run Client>,
    reader: Reader<'run>,
    patience: Duration,
}

impl std::fmt::Debug for Code<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let server = self.server.map(Client::name);
        formatter
            .debug_struct("Code")
            .field("server", &server)
            .finish_non_exhaustive()
    }
}

impl<'run> Code<'run> {
    /// The code of these texts, of which only files that `readable` (asked with absolute paths) lets through are
    /// looked at.
    pub fn new(
        server: Option<&'run Client>,
        texts: &'run Staging,
        readable: &'run (dyn Fn(&Path) -> bool + Sync),
        patience: Duration,
    ) -> Self {
        Self {
            server,
            reader: Reader { texts, readable },
            patience,
        }
    }

    /// The server, when it answers a method about a file.
    fn server_for(&self, method: &str, file: Option<&Path>) -> Option<&'run Client> {
        self.server
            .filter(|server| server.can(method) && file.is_none_or(|file| server.is_open(file)))
    }

    /// Where the thing at a place is defined.
    pub async fn definition(&self, file: &Path, offset: usize) -> Answer<Vec<Location>> {
        if let Some(server) = self.server_for("textDocument/definition", Some(file)) {
            let answer = server.definition(file, offset, self.patience).await;
            if let Some(found) = something(server, answer) {
                return by_server(server, found);
            }
        }
        let name = self.reader.name_at(file, offset).unwrap_or_default();
        let found = self.reader.definitions(&name).into_iter();
        by_syntax(found.map(|one| one.place).collect())
    }

    /// Where the thing at a place is used, without its definition.
    pub async fn references(&self, file: &Path, offset: usize) -> Answer<Vec<Location>> {
        if let Some(server) = self.server_for("textDocument/references", Some(file)) {
            let answer = server.references(file, offset, self.patience).await;
            // That there are none is an answer, too.
            if let Some(found) = answered(server, answer) {
                return by_server(server, found);
            }
        }
        let name = self.reader.name_at(file, offset).unwrap_or_default();
        by_syntax(self.reader.uses(&name))
    }

    /// What implements the thing at a place.
    pub async fn implementations(&self, file: &Path, offset: usize) -> Answer<Vec<Location>> {
        if let Some(server) = self.server_for("textDocument/implementation", Some(file)) {
            let answer = server.implementations(file, offset, self.patience).await;
            if let Some(found) = answered(server, answer) {
                return by_server(server, found);
            }
        }
        let name = self.reader.name_at(file, offset).unwrap_or_default();
        by_syntax(self.reader.implementations(&name))
    }

    /// Where the type of the thing at a place is defined. Names do not tell: only a server can.
    pub async fn type_definition(
        &self,
        file: &Path,
        offset: usize,
    ) -> Result<Answer<Vec<Location>>, Error> {
        let server = self.needed("textDocument/typeDefinition", file)?;
        let found = server.type_definition(file, offset, self.patience).await;
        found.map(|found| by_server(server, found))
    }

    /// What the function at a place calls. Names do not tell: only a server can.
    pub async fn callees(&self, file: &Path, offset: usize) -> Result<Answer<Vec<Call>>, Error> {
        let server = self.needed("textDocument/prepareCallHierarchy", file)?;
        let found = server.callees(file, offset, self.patience).await;
        found.map(|found| by_server(server, found))
    }

    /// Who calls the function at a place.
    pub async fn callers(&self, file: &Path, offset: usize) -> Answer<Vec<Call>> {
        if let Some(server) = self.server_for("textDocument/prepareCallHierarchy", Some(file)) {
            let answer = server.callers(file, offset, self.patience).await;
            if let Some(found) = answered(server, answer) {
                return by_server(server, found);
            }
        }
        let name = self.reader.name_at(file, offset).unwrap_or_default();
        by_syntax(self.reader.callers(&name))
    }

    /// The type or signature of the thing at a place; from syntax the first line of its definition.
    pub async fn type_of(&self, file: &Path, offset: usize) -> Answer<Option<String>> {
        if let Some(server) = self.server_for("textDocument/hover", Some(file)) {
            let answer = server.type_of(file, offset, self.patience).await;
            if let Some(Some(found)) = answered(server, answer) {
                return by_server(server, Some(found));
            }
        }
        let name = self.reader.name_at(file, offset).unwrap_or_default();
        let definitions = self.reader.definitions(&name);
        // With several of that name nobody knows which one it is.
        let head = match definitions.as_slice() {
            [only] => self.reader.head(&only.place),
            _ => None,
        };
        by_syntax(head)
    }

    /// What a file defines, outermost first.
    pub async fn symbols(&self, file: &Path) -> Answer<Vec<Symbol>> {
        if let Some(server) = self.server_for("textDocument/documentSymbol", Some(file)) {
            let answer = server.document_symbols(file, self.patience).await;
            if let Some(found) = something(server, answer) {
                return by_server(server, found);
            }
        }
        by_syntax(self.reader.symbols(file))
    }

    /// What the workspace defines under names that fit a query.
    pub async fn workspace_symbols(&self, query: &str) -> Answer<Vec<NamedPlace>> {
        if let Some(server) = self.server_for("workspace/symbol", None) {
            let answer = server.workspace_symbols(query, self.patience).await;
            if let Some(found) = something(server, answer) {
                return by_server(server, found);
            }
        }
        by_syntax(self.reader.matching(query))
    }

    /// What giving the thing at a place another name would change. Only a server can tell; a name alone is not enough
    /// to change anything.
    pub async fn rename(
        &self,
        file: &Path,
        offset: usize,
        name: &str,
    ) -> Result<Answer<EditSet>, Error> {
        let server = self.needed("textDocument/rename", file)?;
        let edits = server.rename(file, offset, name, self.patience).await;
        edits.map(|edits| by_server(server, edits))
    }

    /// The server, where syntax cannot take its place.
    fn needed(&self, method: &str, file: &Path) -> Result<&'run Client, Error> {
        self.server_for(method, Some(file))
            .ok_or_else(|| Error::File {
                path: file.to_owned(),
                reason: format!("no language server that answers {method} has it open"),
            })
    }
}

fn by_server<T>(server: &Client, found: T) -> Answer<T> {
    let health = server.health();
    let first = health.message.lines().next().unwrap_or_default();
    let caveat = if health.good { "" } else { first };
    let caveat: String = caveat.chars().take(CAVEAT_CHARACTERS_MAX).collect();
    Answer {
        found,
        basis: Basis::Server,
        caveat,
    }
}

fn by_syntax<T>(found: T) -> Answer<T> {
    Answer {
        found,
        basis: Basis::Syntax,
        caveat: String::new(),
    }
}

/// The answer, unless the server failed to give one: then syntax is asked.
fn answered<T>(server: &Client, answer: Result<T, Error>) -> Option<T> {
    answer
        .inspect_err(|error| {
            tracing::debug!(server = server.name(), %error, "syntax answers in its place");
        })
        .ok()
}

/// The answer, unless there is nothing in it: a server that is still loading finds nothing.
fn something<T>(server: &Client, answer: Result<Vec<T>, Error>) -> Option<Vec<T>> {
    answered(server, answer).filter(|found| !found.is_empty())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const LIBRARY: &str = "mod shapes;\nuse shapes::Area;\n/// Not Area.\npub fn total(all: &[Box<dyn Area>]) -> u32 {\n    all.iter().map(|one| one.area()).sum()\n}\npub fn twice() -> u32 { total(&[]) + total(&[]) }\n";
    const SHAPES: &str = "pub trait Area {\n    fn area(&self) -> u32;\n}\npub struct Square(pub u32);\nimpl Area for Square {\n    fn area(&self) -> u32 { self.0 }\n}\n";

    fn workspace() -> (tempfile::TempDir, Staging) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = folder.path().canonicalize().expect("it exists");
        std::fs::create_dir(root.join("src")).expect("created");
        std::fs::write(root.join("src/lib.rs"), LIBRARY).expect("written");
        std::fs::write(root.join("src/shapes.rs"), SHAPES).expect("written");
        std::fs::write(root.join("src/secret.rs"), "struct Area;").expect("written");
        let staging = Staging::new(root, BTreeMap::new(), 1 << 20);
        (folder, staging)
    }

    fn readable(path: &Path) -> bool {
        !path.ends_with("secret.rs")
    }

    fn shown(staging: &Staging, found: &[Location]) -> Vec<String> {
        let show = |one: &Location| {
            let text = staging.read(&one.file).expect("readable");
            let line = text[..one.range.start].matches('\n').count() + 1;
            let file = one.file.display();
            format!("{file}:{line} {}", &text[one.range.clone()])
        };
        found.iter().map(show).collect()
    }

    #[tokio::test]
    async fn without_a_server_names_are_followed_through_the_workspace() {
        let (_folder, staging) = workspace();
        let code = Code::new(None, &staging, &readable, Duration::ZERO);
        let file = Path::new("src/lib.rs");
        let at = |word: &str| LIBRARY.find(word).expect("it is there");

        let definition = code.definition(file, at("Area;")).await;
        assert_eq!(definition.basis, Basis::Syntax);
        assert_eq!(shown(&staging, &definition.found), ["src/shapes.rs:1 Area"]);
        let uses = code.references(file, at("Area;")).await.found;
        assert_eq!(
            shown(&staging, &uses),
            [
                "src/lib.rs:2 Area",
                "src/lib.rs:4 Area",
                "src/shapes.rs:5 Area"
            ]
        );
        let blocks = code.implementations(file, at("Area;")).await.found;
        assert_eq!(shown(&staging, &blocks), ["src/shapes.rs:5 Square"]);
        let callers = code.callers(file, at("total(all")).await.found;
        assert_eq!(callers.len(), 1);
        assert_eq!(callers[0].function.name, "twice");
        assert_eq!(callers[0].sites.len(), 2);
        let head = code.type_of(file, at("total(&")).await.found;
        assert_eq!(
            head.as_deref(),
            Some("pub fn total(all: &[Box<dyn Area>]) -> u32")
        );
        let refused = code.rename(file, at("total"), "sum").await;
        assert!(refused.is_err(), "a name is not enough to change anything");
        let nothing = code.definition(file, at("{")).await.found;
        assert_eq!(nothing, []);
    }

    #[tokio::test]
    async fn without_a_server_symbols_come_from_syntax() {
        let (_folder, staging) = workspace();
        let code = Code::new(None, &staging, &readable, Duration::ZERO);
        let symbols = code.symbols(Path::new("src/shapes.rs")).await.found;
        let names: Vec<(&str, usize)> = symbols
            .iter()
            .map(|symbol| (symbol.name.as_str(), symbol.children.len()))
            .collect();
        assert_eq!(names, [("Area", 1), ("Square", 0), ("Area for Square", 1)]);
        let found = code.workspace_symbols("AREA").await.found;
        let names: Vec<&str> = found.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["Area", "area", "area"]);
        assert_eq!(code.workspace_symbols("a.e").await.found, []);
        assert_eq!(code.workspace_symbols("").await.found, []);
    }
}
