//! Looks at proposed text before it is taken over (spec: Safety Architecture, static analysis; validation points).
//!
//! Some text is harmless to write and runs later, by itself, outside every sandbox: when the user builds, commits,
//! installs or opens the project. Such a change asks, whoever proposed it. So does text that looks other than it is.

use std::path::Path;

use super::names::{folded, is_invisible};
use super::{ask, deny};
use crate::permit::Decision;

/// Bytes of one proposed text that are looked at.
const SEEN_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Files that some program runs or obeys by itself: their folded names, and what runs them.
const RUN_BY_THEMSELVES: [(&str, &str); 30] = [
    ("build.rs", "cargo runs it on every build"),
    ("conftest.py", "pytest runs it before every test"),
    ("sitecustomize.py", "python runs it at every start"),
    ("usercustomize.py", "python runs it at every start"),
    ("setup.py", "pip runs it on installation"),
    ("noxfile.py", "nox runs it"),
    ("binding.gyp", "npm builds it on installation"),
    (
        ".pre-commit-config.yaml",
        "it names what runs before every commit",
    ),
    (
        ".gitlab-ci.yml",
        "it runs where the project is built, with its keys",
    ),
    (
        "azure-pipelines.yml",
        "it runs where the project is built, with its keys",
    ),
    (
        ".travis.yml",
        "it runs where the project is built, with its keys",
    ),
    (
        "jenkinsfile",
        "it runs where the project is built, with its keys",
    ),
    (
        ".drone.yml",
        "it runs where the project is built, with its keys",
    ),
    (
        "bitbucket-pipelines.yml",
        "it runs where the project is built, with its keys",
    ),
    (".envrc", "the shell runs it in this folder"),
    (".gitattributes", "it can make git start programs"),
    (".gitmodules", "it can make git fetch from anywhere"),
    (".npmrc", "it decides where packages come from"),
    (".yarnrc", "it decides where packages come from"),
    (".yarnrc.yml", "it decides where packages come from"),
    (".pnpmfile.cjs", "pnpm runs it on installation"),
    ("pip.conf", "it decides where packages come from"),
    (".exrc", "the editor runs it in this folder"),
    (".nvim.lua", "the editor runs it in this folder"),
    (".vimrc", "the editor runs it in this folder"),
    (".mcp.json", "it names programs that agents start"),
    ("rust-toolchain.toml", "it decides which compiler runs"),
    ("rust-toolchain", "it decides which compiler runs"),
    (".tool-versions", "it decides which tools run"),
    ("mise.toml", "it can run commands in this folder"),
];

/// Folders of files that some program runs or obeys by itself.
const RUN_FOLDERS: [(&[&str], &str); 11] = [
    (
        &[".github", "workflows"],
        "it runs where the project is built, with its keys",
    ),
    (
        &[".github", "actions"],
        "it runs where the project is built, with its keys",
    ),
    (
        &[".circleci"],
        "it runs where the project is built, with its keys",
    ),
    (
        &[".buildkite"],
        "it runs where the project is built, with its keys",
    ),
    (&[".husky"], "git runs it before commits"),
    (&[".githooks"], "git runs it before commits"),
    (&[".cargo"], "it can make cargo start other programs"),
    (&[".vscode"], "the editor may run it in this folder"),
    (&[".idea"], "the editor may run it in this folder"),
    (&[".devcontainer"], "the editor builds and starts it"),
    (&[".claude"], "agents obey it"),
];

/// Scripts of a `package.json` that run without being named.
const LIFECYCLE: [&str; 10] = [
    "preinstall",
    "install",
    "postinstall",
    "prepare",
    "prepublish",
    "prepublishOnly",
    "prepack",
    "postpack",
    "preprepare",
    "postprepare",
];

/// Judges a proposed text of a file in the workspace; `None` when nothing speaks against it.
pub fn judge(path: &Path, before: Option<&str>, after: &str) -> Option<Decision> {
    if before == Some(after) {
        return None;
    }
    if let Some(why) = runs_by_itself(path) {
        let shown = path.display();
        return Some(ask(
            "runs-by-itself",
            format!("{shown} would change, and {why}"),
        ));
    }
    let seen = after.get(..SEEN_BYTES_MAX).unwrap_or(after);
    disguised(before.unwrap_or_default(), seen)
        .or_else(|| added_script(path, before.unwrap_or_default(), seen))
        .or_else(|| added_key(before.unwrap_or_default(), seen))
}

/// Why a file runs, or is obeyed, without anybody asking for it.
fn runs_by_itself(path: &Path) -> Option<&'static str> {
    let names: Vec<String> = path
        .iter()
        .map(|name| folded(&name.to_string_lossy()))
        .collect();
    let last = names.last()?;
    if let Some((_, why)) = RUN_BY_THEMSELVES.iter().find(|(name, _)| name == last) {
        return Some(why);
    }
    let folders = names.get(..names.len() - 1).unwrap_or_default();
    let lies_in = |pattern: &&[&str]| {
        folders
            .windows(pattern.len())
            .any(|part| part.iter().eq(pattern.iter()))
    };
    let found = RUN_FOLDERS.iter().find(|(pattern, _)| lies_in(pattern));
    found.map(|(_, why)| *why)
}

/// Text with more characters in it that turn it around or cannot be seen than there were before.
fn disguised(before: &str, after: &str) -> Option<Decision> {
    if after.is_ascii() {
        return None;
    }
    let turns = |it: &char| matches!(it, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    // Joiners, marks of direction and variation selectors belong to scripts and emoji; a byte order mark may begin a file.
    let hides = |it: &char| {
        is_invisible(*it)
            && !turns(it)
            && !matches!(it, '\u{200c}'..='\u{200f}' | '\u{61c}' | '\u{fe00}'..='\u{fe0f}' | '\u{ad}' | '\u{34f}')
            && !matches!(it, '\u{180b}'..='\u{180f}' | '\u{e0100}'..='\u{e01ef}' | '\u{e0020}'..='\u{e007f}')
    };
    let count = |text: &str, kind: &dyn Fn(&char) -> bool| {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        text.chars().filter(kind).count()
    };
    if count(after, &turns) > count(before, &turns) {
        return Some(deny(
            "disguised-text",
            "characters in it turn the text around, so that it reads other than it is".to_owned(),
        ));
    }
    (count(after, &hides) > count(before, &hides)).then(|| {
        ask(
            "disguised-text",
            "it has characters that cannot be seen".to_owned(),
        )
    })
}

/// A script of a package that runs when the package is installed.
fn added_script(path: &Path, before: &str, after: &str) -> Option<Decision> {
    if folded(&path.file_name()?.to_string_lossy()) != "package.json" {
        return None;
    }
    let scripts = |text: &str| -> Option<serde_json::Map<String, serde_json::Value>> {
        let value: serde_json::Value =
            serde_json::from_str(text.trim_start_matches('\u{feff}')).ok()?;
        value.get("scripts")?.as_object().cloned()
    };
    let after = scripts(after)?;
    let before = scripts(before).unwrap_or_default();
    let added = LIFECYCLE.iter().find(|name| {
        after
            .get(**name)
            .is_some_and(|script| before.get(**name) != Some(script))
    });
    added.map(|name| {
        ask(
            "runs-by-itself",
            format!("npm runs the script `{name}` on installation"),
        )
    })
}

/// A private key in the text: a repository is no place for it.
fn added_key(before: &str, after: &str) -> Option<Decision> {
    let keys = |text: &str| {
        text.matches("-----BEGIN ")
            .filter(|_| text.contains("PRIVATE KEY-----"))
            .count()
    };
    (keys(after) > keys(before)).then(|| {
        ask(
            "secret-text",
            "a private key would be written into the project".to_owned(),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(path: &str, before: Option<&str>, after: &str) -> Option<String> {
        Some(match judge(Path::new(path), before, after)? {
            Decision::Allow { rule } | Decision::Ask { rule, .. } | Decision::Deny { rule, .. } => {
                rule
            }
        })
    }

    #[test]
    fn what_runs_by_itself_or_looks_other_than_it_is_is_asked_about() {
        let package = r#"{"scripts":{"test":"jest"}}"#;
        for (path, before, after, expected) in [
            ("build.rs", None, "fn main() {}", Some("runs-by-itself")),
            ("core/Build.RS", Some("a"), "b", Some("runs-by-itself")),
            ("tests/conftest.py", None, "", Some("runs-by-itself")),
            (".github/workflows/ci.yml", None, "", Some("runs-by-itself")),
            (
                "sub/.GitHub/Workflows/ci.yml",
                None,
                "",
                Some("runs-by-itself"),
            ),
            (".cargo/config.toml", None, "", Some("runs-by-itself")),
            (".vscode/tasks.json", None, "", Some("runs-by-itself")),
            (".husky/pre-commit", None, "", Some("runs-by-itself")),
            (".envrc", None, "", Some("runs-by-itself")),
            (
                "package.json",
                Some(package),
                r#"{"scripts":{"postinstall":"id"}}"#,
                Some("runs-by-itself"),
            ),
            (
                "package.json",
                None,
                r#"{"scripts":{"prepare":"id"}}"#,
                Some("runs-by-itself"),
            ),
            (
                "package.json",
                Some(package),
                r#"{"scripts":{"test":"vitest"}}"#,
                None,
            ),
            (
                "package.json",
                Some(r#"{"scripts":{"prepare":"a"}}"#),
                r#"{"scripts":{"prepare":"a"},"x":1}"#,
                None,
            ),
            (
                "src/a.rs",
                None,
                "let x = \"\u{202e}\";",
                Some("disguised-text"),
            ),
            (
                "src/a.rs",
                None,
                "let x\u{200b} = 1;",
                Some("disguised-text"),
            ),
            ("src/a.rs", Some("\u{200b}"), "\u{200b} b", None),
            ("src/a.rs", None, "\u{feff}fn main() {}", None),
            (
                "src/a.rs",
                None,
                "// caf\u{e9} \u{1f468}\u{200d}\u{1f469} \u{2764}\u{fe0f}",
                None,
            ),
            (
                "src/fa.txt",
                None,
                "\u{645}\u{6cc}\u{200c}\u{62e}\u{648}\u{627}\u{647}\u{645}",
                None,
            ),
            (
                "src/key.rs",
                None,
                "-----BEGIN RSA PRIVATE KEY-----\nx",
                Some("secret-text"),
            ),
            ("src/main.rs", Some("a"), "b", None),
            ("src/build.rs.txt", None, "b", None),
            ("docs/github/workflows/ci.yml", None, "b", None),
        ] {
            let found = rule(path, before, after);
            assert_eq!(found.as_deref(), expected, "{path} {after:?}");
        }
        assert_eq!(rule("build.rs", Some("a"), "a"), None);
    }
}
