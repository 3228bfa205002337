//! What git would not store as it is, is not committed: git itself says what that is.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;

use serde_json::json;

use crate::git_writes::{Place, said};
use crate::seed::{Random, each};

/// Patterns of files, of all kinds that git knows.
const PATTERNS: [&str; 22] = [
    "*",
    "*.txt",
    "a*",
    "a.txt",
    "/a.txt",
    "/b.bin",
    "d/a.txt",
    "/d/*.txt",
    "d/**",
    "**/b.bin",
    "d/**/b.bin",
    "e/",
    "d",
    "[ab].*",
    "[!a].txt",
    "?.bin",
    "\"q r.txt\"",
    "\"*\\162.txt\"",
    "A.TXT",
    "*.t*t",
    "!a.txt",
    "\\#x",
];

/// What is said of them.
const WORDS: [&str; 22] = [
    "filter=git-crypt",
    "filter=lfs",
    "-filter",
    "!filter",
    "filter",
    "filter=",
    "secret",
    "-secret",
    "!secret",
    "outer",
    "-outer",
    "double",
    "binary",
    "-binary",
    "ident",
    "-ident",
    "text",
    "eol=lf",
    "working-tree-encoding=UTF-16",
    "-working-tree-encoding",
    "diff=x",
    "bad!name=x",
];

/// Macros, some of which name each other.
const MACROS: [&str; 8] = [
    "[attr]secret filter=git-crypt diff=git-crypt",
    "[attr]secret -filter",
    "[attr]outer secret -text",
    "[attr]outer -secret",
    "[attr]double outer ident",
    "[attr]binary filter=x",
    "[attr]filter ident",
    "[attr]secret !filter",
];

/// Files of the repository.
const FILES: [&str; 14] = [
    "a.txt",
    "b.bin",
    "q r.txt",
    "#x",
    "d/a.txt",
    "d/b.bin",
    "d/e/a.txt",
    "d/e/b.bin",
    "d/e/f/b.bin",
    "e/a.txt",
    "e/c.txt",
    "x/A.TXT",
    "x/y/abc.txt",
    "plain",
];

fn one_of(random: &mut Random, texts: &[&'static str]) -> &'static str {
    random.pick::<&str>(texts)
}

fn attributes(random: &mut Random) -> String {
    let mut text = String::new();
    for _ in 0..=random.below(5) {
        if random.percent(25) {
            text.push_str(one_of(random, &MACROS));
        } else {
            text.push_str(one_of(random, &PATTERNS));
            for _ in 0..=random.below(3) {
                // Writing to a string cannot fail.
                let _ = write!(text, " {}", random.pick(&WORDS));
            }
        }
        let ends = ["\n", "\n", "\r\n", "\n# a remark\n", "\n\n"];
        text.push_str(one_of(random, &ends));
    }
    text
}

/// What git says of each file: whether something has to run on it, or its text is stored otherwise.
fn wanted(place: &Place) -> BTreeMap<String, Vec<String>> {
    let names = ["filter", "working-tree-encoding", "ident"];
    let arguments = [&["check-attr", "-z"], &names[..], &["--"], &FILES].concat();
    let said = place.git(&arguments);
    let words: Vec<&str> = said.split('\0').collect();
    let mut wanted = BTreeMap::<String, Vec<String>>::new();
    for row in words.chunks_exact(3) {
        if !["unspecified", "unset"].contains(&row[2]) {
            let all = wanted.entry(row[0].to_owned()).or_default();
            all.push(format!("{}={}", row[1], row[2]));
        }
    }
    wanted
}

#[test]
fn a_file_is_committed_exactly_where_git_would_store_it_as_it_is() {
    each("attributes", 60, 1_000, |seed| {
        let mut random = Random::new(seed);
        let place = Place::bare();
        for file in FILES {
            place.write(file, "a secret\n");
        }
        let mut written = Vec::new();
        for folder in ["", "d/", "d/e/", "e/", "x/"] {
            if folder.is_empty() || random.percent(35) {
                let text = attributes(&mut random);
                let path = format!("{folder}.gitattributes");
                place.write(&path, &text);
                if random.percent(20) {
                    // What is staged counts where the file is gone.
                    place.git(&["add", "-f", &path]);
                    fs::remove_file(place.root().join(&path)).expect("removed");
                }
                written.push((path, text));
            }
        }
        for (share, path) in [
            (30, place.root().join(".git/info/attributes")),
            (30, place.home().join(".config/git/attributes")),
            (30, place.home().join("everywhere")),
        ] {
            if random.percent(share) {
                let text = attributes(&mut random);
                fs::create_dir_all(path.parent().expect("it has one")).expect("made");
                fs::write(&path, &text).expect("written");
                written.push((path.display().to_string(), text));
            }
        }
        if random.percent(30) {
            place.git(&["config", "--global", "core.attributesFile", "~/everywhere"]);
        }
        if random.percent(20) {
            place.git(&["config", "core.ignoreCase", "true"]);
        }
        let wanted = wanted(&place);
        let order = json!({ "message": "m", "files": FILES.join("\n") });
        let output = place.meliora(&["tool", "call", "git_commit", &order.to_string()]);
        let committed = place.git(&["ls-files", "-z", "--cached"]);
        let committed: BTreeSet<&str> = committed.split('\0').collect();
        for file in FILES {
            let is_left = !committed.contains(file);
            let stored = wanted.get(file);
            assert_eq!(
                is_left,
                stored.is_some(),
                "{file}: git says {stored:?} {written:#?} {}",
                said(&output)
            );
        }
    });
}

#[test]
fn nothing_that_a_filter_keeps_secret_is_committed_in_plain() {
    let place = Place::bare();
    place.write("a.txt", "a\n");
    place.git(&["add", "a.txt"]);
    place.git(&["commit", "-qm", "first"]);
    // A macro of the root, used in a folder and by the repository's own file; and one of the user's for everywhere.
    place.write(
        ".gitattributes",
        "[attr]crypt filter=git-crypt diff=git-crypt\n",
    );
    place.write("deep/.gitattributes", "*.key2 crypt\n");
    fs::write(place.root().join(".git/info/attributes"), "own.txt crypt\n").expect("written");
    fs::create_dir_all(place.home().join(".config/git")).expect("made");
    let everywhere = "*.psd filter=lfs diff=lfs merge=lfs -text\n";
    fs::write(place.home().join(".config/git/attributes"), everywhere).expect("written");
    let secret = ["deep/a.key2", "own.txt", "b.psd"];
    for file in secret {
        place.write(file, "PLAIN\n");
    }
    place.write("deep/b.txt", "plain\n");
    let files = [&secret[..], &["deep/b.txt"]].concat().join("\n");
    let (_, said) = place.call("git_commit", json!({ "message": "m", "files": files }));
    for (file, filter) in secret.iter().zip(["git-crypt", "git-crypt", "lfs"]) {
        let reason = format!("{file} is not in the commit: `filter={filter}` of .gitattributes");
        assert!(said.contains(&reason), "{file}: {said}");
    }
    assert!(said.contains("commit it with git"), "{said}");
    assert_eq!(
        place.git(&["show", "--name-only", "--format="]),
        "deep/b.txt\n"
    );

    // What git may read and we do not is no reason to commit.
    std::os::unix::fs::symlink("../deep/.gitattributes", place.root().join("linked"))
        .expect("made");
    place.write("link/c.txt", "PLAIN\n");
    std::os::unix::fs::symlink(
        "../deep/.gitattributes",
        place.root().join("link/.gitattributes"),
    )
    .expect("made");
    place.write("d.txt", "plain\n");
    let order = json!({ "message": "m", "files": "link/c.txt\nd.txt" });
    let (_, said) = place.call("git_commit", order);
    assert!(said.contains("it is a link; commit it with git"), "{said}");
    assert_eq!(place.git(&["show", "--name-only", "--format="]), "d.txt\n");
}
