//! Looks at proposed text before it is taken over (spec: Safety Architecture, static analysis; validation points).
//!
//! Some text is harmless to write and runs later, by itself, outside every sandbox: when the user builds, commits,
//! installs or opens the project. Such a change asks, whoever proposed it. So does text that looks other than it is.

use std::path::Path;
use std::sync::Arc;

use super::autorun::{Proposed, runs_by_itself};
use super::names::is_invisible;
use super::{Policy, ask, deny, paths, worse};
use crate::permit::Decision;

/// Bytes of a manifest or a settings file that are looked at.
const READ_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Reads a text of the workspace as it would be, by its path relative to the workspace.
pub type Read<'a> = &'a dyn Fn(&Path) -> Option<Arc<str>>;

/// Judges a proposed text of a file in the workspace, by its path relative to it; `None` when nothing speaks against
/// it. `read` gives the other texts of the workspace as they are proposed.
pub fn judge(
    policy: &Policy,
    read: Read<'_>,
    path: &Path,
    (before, after): (Option<&str>, &str),
) -> Option<Decision> {
    if before == Some(after) {
        return None;
    }
    let before = before.unwrap_or_default();
    let root = policy.workspace();
    let resolved = paths::resolve(&root.join(path));
    // What is written to a link arrives at another name.
    let target = resolved.strip_prefix(root).unwrap_or(path);
    let runs = |path: &Path| {
        let why = runs_by_itself(Proposed { root, read }, path, before, after);
        let why = why.or_else(|| policy.started.why(path))?;
        let shown = path.display();
        Some(ask(
            "runs-by-itself",
            format!("{shown} would change, and {why}"),
        ))
    };
    let found = [
        runs(path),
        (target != path).then(|| runs(target)).flatten(),
        disguised(before, after),
        added_key(before, after),
    ];
    let mut found = found.into_iter().flatten();
    let first = found.next()?;
    Some(found.fold(first, |worst, other| worse(worst, Some(other))))
}

/// Reads a text of the workspace as it is on the disk.
pub fn read_on_disk(policy: &Policy, path: &Path) -> Option<Arc<str>> {
    let path = policy.workspace().join(path);
    let metadata = path.metadata().ok()?;
    if !metadata.is_file() || metadata.len() > READ_BYTES_MAX {
        return None;
    }
    std::fs::read_to_string(path).ok().map(Arc::from)
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
    use std::collections::BTreeMap;

    use super::*;
    use crate::config::Config;
    use crate::config::host::Host;

    /// A workspace, and what is said of texts in it.
    struct Ground {
        _folder: tempfile::TempDir,
        policy: Policy,
    }

    impl Ground {
        fn new() -> Self {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let home = folder.path().join("home").display().to_string();
            let environment = BTreeMap::from([("HOME".to_owned(), home)]);
            let host = Host::from_environment("/nowhere/meliora".into(), environment);
            let policy = Policy::new(&host, &Config::default(), &folder.path().join("work"));
            Self {
                _folder: folder,
                policy,
            }
        }

        fn write(&self, path: &str, text: &str) {
            let path = self.policy.workspace().join(path);
            std::fs::create_dir_all(path.parent().expect("it has one")).expect("made");
            std::fs::write(path, text).expect("written");
        }

        fn rule(&self, path: &str, before: Option<&str>, after: &str) -> Option<String> {
            let read = |path: &Path| read_on_disk(&self.policy, path);
            let decision = judge(&self.policy, &read, Path::new(path), (before, after))?;
            Some(match decision {
                Decision::Allow { rule }
                | Decision::Ask { rule, .. }
                | Decision::Deny { rule, .. } => rule,
            })
        }
    }

    /// Texts, and whether they are asked about.
    const CASES: [(&str, &str, bool); 29] = [
        ("Cargo.toml", "[package]\nbuild = \"gen.rs\"", true),
        ("Cargo.toml", "[package]\nbuild = false", false),
        ("a/Cargo.toml", "[lib]\nproc-macro = true", true),
        ("Cargo.toml", "[dependencies]\na = \"1\"", false),
        ("Cargo.toml", "[build-dependencies]\ncc = \"1\"", true),
        (
            "Cargo.toml",
            "[patch.crates-io]\na = { path = \"x\" }",
            true,
        ),
        ("made/tools/gen.rs", "x", true),
        ("made/tools/other.rs", "x", true),
        ("made/tools/notes.txt", "x", false),
        ("macros/src/deep/a.rs", "x", true),
        ("macros/README.md", "x", false),
        ("js/scripts/x.js", "x", true),
        ("js/scripts/xx.js", "x", false),
        ("scripts/env.sh", "id", true),
        ("other/scripts/env.sh", "id", false),
        ("bare/config", "[x]", true),
        ("bare/hooks/post-checkout", "id", true),
        ("split/config", "x", true),
        ("docs/config", "[core]\n\tfsmonitor = id", true),
        ("docs/config", "colour: red", false),
        ("config.toml", "[core]\nthreads = 2", false),
        ("x.gitconfig", "[Include]\npath = x", true),
        (
            "pyproject.toml",
            "[build-system]\nrequires = [\"hatchling>=1\"]\nbuild-backend = \"hatchling.build\"",
            false,
        ),
        (
            "pyproject.toml",
            "[build-system]\nbuild-backend = \"evil\"\nbackend-path = [\".\"]",
            true,
        ),
        (
            "pyproject.toml",
            "[build-system]\nrequires = [\"setuptools @ https://evil.example\"]",
            true,
        ),
        (
            "pyproject.toml",
            "[tool.pytest.ini_options]\naddopts = \"-q\"",
            false,
        ),
        (
            "pyproject.toml",
            "[tool.pytest.ini_options]\naddopts = \"-p evil\"",
            true,
        ),
        (
            "tsconfig.json",
            "{\"compilerOptions\":{\"plugins\":[]}}",
            true,
        ),
        ("package.json", "{\"lint-staged\":{\"*\":\"id\"}}", true),
    ];

    /// Files that are asked about whatever is in them.
    const NAMES: &str = ".mise.toml lefthook.yml .eslintrc.js eslint.config.mjs .pylintrc .Rprofile .gdbinit .nvimrc .lvimrc .dir-locals.el .zed/tasks.json .helix/languages.toml a.code-workspace .cursor/mcp.json .gemini/settings.json .cursorrules AGENTS.md sub/.github/copilot-instructions.md .bazelrc lib/x.pth pytest.ini tox.ini .justfile rust-project.json .gitconfig tailwind.config.js tailwind.config.ts svelte.config.mjs CMakeLists.txt CMakePresets.json cmake/Find.cmake meson.build build.zig app/build.gradle build.gradle.kts settings.gradle.kts gradle/wrapper/gradle-wrapper.properties buildSrc/src/main/java/A.java pom.xml mix.exs rebar.config build.sbt Package.swift hie.yaml deps.edn project.clj .lsp/config.edn Gemfile a.gemspec a.csproj Directory.Build.props analysis_options.yaml vitest.config.ts jest.config.js playwright.config.ts .mocharc.js .pnp.cjs mypy.ini .flake8 .terraform/providers/x";

    #[test]
    fn what_a_manifest_or_a_setting_makes_run_by_itself_is_asked_about() {
        let ground = Ground::new();
        ground.write("made/Cargo.toml", "[package]\nbuild = \"./tools/gen.rs\"\n");
        ground.write("macros/Cargo.toml", "[lib]\nproc-macro = true\n");
        ground.write(
            "js/package.json",
            r#"{"scripts":{"prepare":"node scripts/x.js"}}"#,
        );
        ground.write(".envrc", "source ./scripts/env.sh\n");
        ground.write("bare/HEAD", "ref: refs/heads/main\n");
        ground.write("split/objects/x", "");
        for (path, after, asks) in CASES {
            let found = ground.rule(path, None, after);
            let expected = asks.then_some("runs-by-itself");
            assert_eq!(found.as_deref(), expected, "{path} {after:?}");
        }
        for path in NAMES.split(' ') {
            let found = ground.rule(path, None, "x");
            assert_eq!(found.as_deref(), Some("runs-by-itself"), "{path}");
        }
        // A build script that is there already is no news; what may never be is not hidden behind what asks.
        let script = "[package]\nbuild = \"gen.rs\"\n";
        let renamed = format!("{script}name = \"a\"\n");
        assert_eq!(ground.rule("Cargo.toml", Some(script), &renamed), None);
        let found = ground.rule("build.rs", None, "\u{202e}");
        assert_eq!(found.as_deref(), Some("disguised-text"));
        #[cfg(unix)]
        {
            let link = ground.policy.workspace().join("link.rs");
            std::os::unix::fs::symlink("build.rs", link).expect("linked");
            let found = ground.rule("link.rs", None, "fn main() {}");
            assert_eq!(found.as_deref(), Some("runs-by-itself"));
        }
    }

    /// A workspace of packages, in which this and that runs while it is built.
    const BUILT: [(&str, &str); 14] = [
        (
            "Cargo.toml",
            "[workspace]\nmembers = [\"crates/*\"]\n[workspace.dependencies]\nshared = { path = \"tools/shared\" }\n\
             [patch.crates-io]\npatched = { path = \"vendor/patched\" }\n",
        ),
        (
            "crates/app/Cargo.toml",
            "[package]\nname = \"app\"\n[dependencies]\nplain = { path = \"../plain\" }\n\
             [build-dependencies]\ngen = { path = \"../../tools/gen\" }\nshared.workspace = true\npatched = \"1\"\n",
        ),
        (
            "crates/app/build.rs",
            "mod helper;\n#[path = \"odd/name.rs\"]\nmod odd;\nmod inner { pub mod deep; }\n\
             include!(concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/src/table.in\"));\n",
        ),
        ("crates/app/helper.rs", "mod below;\n"),
        ("crates/plain/Cargo.toml", "[package]\nname = \"plain\"\n"),
        (
            "crates/other/Cargo.toml",
            "[target.'cfg(unix)'.build-dependencies]\nunix = { path = \"../../tools/unix\" }\n",
        ),
        (
            "crates/macros/Cargo.toml",
            "[lib]\nproc-macro = true\n[dependencies]\nparts = { path = \"../../tools/parts\" }\n",
        ),
        (
            "tools/gen/Cargo.toml",
            "[dependencies]\ndeep = { path = \"../deep\" }\n",
        ),
        ("tools/deep/Cargo.toml", "[lib]\npath = \"code/lib.rs\"\n"),
        ("tools/shared/Cargo.toml", ""),
        ("tools/unix/Cargo.toml", ""),
        ("tools/parts/Cargo.toml", ""),
        ("vendor/patched/Cargo.toml", ""),
        ("vendor/unused/Cargo.toml", ""),
    ];

    #[test]
    fn what_is_built_with_a_build_script_or_a_macro_is_asked_about() {
        let ground = Ground::new();
        for (path, text) in BUILT {
            ground.write(path, text);
        }
        for (paths, asks) in [
            (
                "crates/app/helper.rs crates/app/helper/mod.rs crates/app/helper/below.rs \
                 crates/app/odd/name.rs crates/app/inner/deep.rs crates/app/src/table.in \
                 tools/gen/src/lib.rs tools/gen/src/more/a.rs tools/deep/code/lib.rs tools/shared/src/lib.rs \
                 tools/unix/src/lib.rs tools/parts/src/a.rs vendor/patched/src/lib.rs",
                true,
            ),
            (
                "crates/app/src/main.rs crates/app/other.rs crates/plain/src/lib.rs crates/plain/helper.rs \
                 tools/gen/README.md tools/deep/src/lib.rs vendor/unused/src/lib.rs main.rs",
                false,
            ),
        ] {
            for path in paths.split_whitespace() {
                let found = ground.rule(path, None, "x");
                let expected = asks.then_some("runs-by-itself");
                assert_eq!(found.as_deref(), expected, "{path}");
            }
        }
        // Sources that were written before are not made part of a build script without a question.
        for (path, more, asks) in [
            (
                "tools/gen/Cargo.toml",
                "unused = { path = \"../../vendor/unused\" }\n",
                true,
            ),
            ("tools/gen/Cargo.toml", "serde = \"1\"\n", false),
            (
                "tools/shared/Cargo.toml",
                "[lib]\npath = \"x/lib.rs\"",
                true,
            ),
            (
                "crates/plain/Cargo.toml",
                "[target.'cfg(unix)'.build-dependencies]\ncc = \"1\"\n",
                true,
            ),
            (
                "crates/plain/Cargo.toml",
                "[dependencies]\nunused = { path = \"../../vendor/unused\" }\n",
                false,
            ),
        ] {
            let before = BUILT.iter().find(|(name, _)| *name == path);
            let before = before.map(|(_, text)| *text).unwrap_or_default();
            let found = ground.rule(path, Some(before), &format!("{before}{more}"));
            let expected = asks.then_some("runs-by-itself");
            assert_eq!(found.as_deref(), expected, "{path} {more:?}");
        }
    }

    #[test]
    fn what_runs_by_itself_or_looks_other_than_it_is_is_asked_about() {
        let ground = Ground::new();
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
            let found = ground.rule(path, before, after);
            assert_eq!(found.as_deref(), expected, "{path} {after:?}");
        }
        assert_eq!(ground.rule("build.rs", Some("a"), "a"), None);
    }

    #[test]
    fn what_a_server_of_tools_is_started_from_is_asked_about() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = folder.path().canonicalize().expect("it exists");
        let mut config = Config::default();
        let server = crate::config::mcp::McpServer {
            command: "python3".to_owned(),
            args: vec![root.join("mcp/server.py").display().to_string()],
            ..crate::config::mcp::McpServer::default()
        };
        config.tools.mcp.insert("mine".to_owned(), server);
        let host = Host::from_environment("/nowhere/meliora".into(), [].into());
        let policy = Policy::new(&host, &config, &root);
        let read = |_: &Path| None;
        let rule = |path: &str| judge(&policy, &read, Path::new(path), (None, "import os"));
        for path in ["mcp/server.py", "mcp/lib/words.py"] {
            let Some(Decision::Ask { rule, reason }) = rule(path) else {
                panic!("{path}");
            };
            assert_eq!(rule, "runs-by-itself");
            assert!(
                reason.contains("the server of tools `mine` runs it"),
                "{reason}"
            );
        }
        assert_eq!(rule("src/main.py"), None);
    }
}
