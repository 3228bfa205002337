//! Questions about code, answered by a real rust-analyzer, and by syntax where it is not asked.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use meliora::semantics::{Basis, Client, Code, Location};
use meliora::text::staging::Staging;

use crate::semantics::{PATIENCE, start, write_crate};

const LIBRARY: &str = "//! é😀\nmod shapes;\npub use shapes::{Area, Square};\n\n/// Adds up.\npub fn total(all: &[Square], from: u32) -> u32 {\n    let één = all.iter().map(|one| one.area()).sum::<u32>();\n    één + from\n}\n\npub fn twice(all: &[Square]) -> u32 {\n    /* 😀 */ total(all, 0) + total(all, 1)\n}\n\npub fn unrelated() { let total = 1; let _ = total; }\n";

const SHAPES: &str = "pub trait Area {\n    fn area(&self) -> u32;\n}\n\npub struct Square(pub u32);\n\nimpl Area for Square {\n    fn area(&self) -> u32 {\n        self.0 * self.0\n    }\n}\n";

struct Project {
    _folder: tempfile::TempDir,
    texts: Staging,
}

impl Project {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = folder.path().canonicalize().expect("it exists");
        write_crate(&root, LIBRARY);
        std::fs::write(root.join("src/shapes.rs"), SHAPES).expect("written");
        Self {
            texts: Staging::new(root, BTreeMap::new(), 1 << 20),
            _folder: folder,
        }
    }

    async fn client(&self) -> Client {
        let mut client = start(self.texts.root()).await;
        for (file, text) in [("src/lib.rs", LIBRARY), ("src/shapes.rs", SHAPES)] {
            let opened = client.open(Path::new(file), Arc::from(text)).await;
            opened.expect("opened");
        }
        client
    }

    /// Each place as `file:line text`.
    fn shown(&self, found: &[Location]) -> Vec<String> {
        let show = |one: &Location| {
            let text = self.texts.read(&one.file).expect("readable");
            let line = text[..one.range.start].matches('\n').count() + 1;
            format!("{}:{line} {}", one.file.display(), &text[one.range.clone()])
        };
        let mut shown: Vec<String> = found.iter().map(show).collect();
        shown.sort();
        shown
    }
}

fn at(text: &str, word: &str) -> usize {
    text.find(word).expect("it is there")
}

#[tokio::test]
async fn a_server_answers_what_syntax_can_only_guess() {
    let project = Project::new();
    let client = project.client().await;
    let readable = |_: &Path| true;
    let served = Code::new(Some(&client), &project.texts, &readable, PATIENCE);
    let (library, shapes) = (Path::new("src/lib.rs"), Path::new("src/shapes.rs"));

    let definition = served.definition(library, at(LIBRARY, "area()")).await;
    assert_eq!(definition.basis, Basis::Server);
    let expected = ["src/shapes.rs:8 area"];
    assert_eq!(project.shown(&definition.found), expected);

    // A variable of the same name is no use of the function; without the server it would be.
    let uses = served.references(library, at(LIBRARY, "total(all:")).await;
    let expected = ["src/lib.rs:12 total", "src/lib.rs:12 total"];
    assert_eq!(project.shown(&uses.found), expected);
    let guessing = Code::new(None, &project.texts, &readable, PATIENCE);
    let guessed = guessing
        .references(library, at(LIBRARY, "total(all:"))
        .await;
    assert_eq!((guessed.basis, guessed.found.len()), (Basis::Syntax, 4));

    let blocks = served.implementations(shapes, at(SHAPES, "Area")).await;
    assert_eq!(blocks.basis, Basis::Server);
    assert_eq!(blocks.found.len(), 1, "{blocks:?}");
    let callers = served
        .callers(library, at(LIBRARY, "total(all:"))
        .await
        .found;
    assert_eq!(callers.len(), 1, "{callers:?}");
    assert_eq!(callers[0].function.name, "twice");
    let expected = ["src/lib.rs:12 total", "src/lib.rs:12 total"];
    assert_eq!(project.shown(&callers[0].sites), expected);
    let kind = served
        .type_definition(library, at(LIBRARY, "one.area"))
        .await;
    let kind = kind.expect("the server tells").found;
    assert_eq!(project.shown(&kind), ["src/shapes.rs:5 Square"]);
    let calls = served.callees(library, at(LIBRARY, "twice(")).await;
    let calls = calls.expect("the server tells").found;
    assert_eq!(calls.len(), 1, "{calls:?}");
    assert_eq!(calls[0].function.name, "total");
    assert_eq!(project.shown(&calls[0].sites), expected);
    let kind = served.type_of(library, at(LIBRARY, "één = ")).await.found;
    assert_eq!(kind.as_deref(), Some("let één: u32"));

    let symbols = served.symbols(shapes).await;
    assert_eq!(symbols.basis, Basis::Server);
    assert_eq!(symbols.found[0].name, "Area");
    assert_eq!(symbols.found[0].children[0].name, "area");
    let found = served.workspace_symbols("Square").await;
    assert_eq!(found.basis, Basis::Server);
    let places: Vec<Location> = found.found.into_iter().map(|one| one.place).collect();
    let places = project.shown(&places);
    assert!(
        places.contains(&"src/shapes.rs:5 Square".to_owned()),
        "{places:?}"
    );

    let edits = served.rename(library, at(LIBRARY, "één = "), "twee").await;
    let edits = edits.expect("it can be renamed");
    let after = edits.found.files[library].after.clone().expect("it stays");
    assert_eq!(&*after, LIBRARY.replace("één", "twee"));
    let nothing = served.rename(library, at(LIBRARY, "//! é"), "x").await;
    assert!(nothing.is_err(), "{nothing:?}");
    client.shutdown().await;
}

#[tokio::test]
async fn a_server_says_what_can_be_written_at_a_place() {
    let project = Project::new();
    let mut client = project.client().await;
    let file = Path::new("src/lib.rs");
    let text = LIBRARY.replace("    één + from", "    /* 😀 */ all.fir");
    client
        .open(file, Arc::from(text.as_str()))
        .await
        .expect("changed");
    let end = at(&text, "all.fir") + "all.fir".len();
    let completions = client.completions(file, end, PATIENCE).await;
    let completions = completions.expect("answered");
    let first = completions
        .items
        .iter()
        .find(|item| item.label.starts_with("first"))
        .unwrap_or_else(|| panic!("a slice has a first: {completions:?}"));
    assert_eq!(&text[first.edit.start..first.edit.end], "fir");
    assert!(first.edit.text.starts_with("first"), "{first:?}");
    assert!(!first.edit.text.contains('$'), "{first:?}");

    let text = LIBRARY.replace("total(all, 1)", "total(all, )");
    client
        .open(file, Arc::from(text.as_str()))
        .await
        .expect("changed");
    let inside = at(&text, "total(all, )") + "total(all, ".len();
    let help = client.signatures(file, inside, PATIENCE).await;
    let help = help.expect("answered");
    let signature = &help.items[help.active];
    assert!(
        signature.label.contains("total(all: &[Square], from: u32)"),
        "{help:?}"
    );
    assert_eq!(signature.parameters[1], "from: u32");
    assert_eq!(help.parameter, Some(1));

    let callees = client.callees(file, at(&text, "twice"), PATIENCE).await;
    let callees = callees.expect("answered");
    assert_eq!(callees.len(), 1, "{callees:?}");
    assert_eq!(callees[0].function.name, "total");
    assert_eq!(callees[0].sites.len(), 2);
    let origin = client
        .type_definition(file, at(&text, "all: &[Square], from"), PATIENCE)
        .await;
    let origin = origin.expect("answered");
    assert!(
        project
            .shown(&origin)
            .contains(&"src/shapes.rs:5 Square".to_owned()),
        "{origin:?}"
    );
    assert!(client.can("textDocument/formatting") && !client.can("textDocument/documentColor"));
    client.shutdown().await;
}
