//! Which files run, or are obeyed, without anybody asking for it (spec: Safety Architecture, static analysis).
//!
//! By their names, by the folders that they lie in, because a manifest or the settings of a tool name them, or because
//! a folder with them in it is a repository of git to which git listens.

use std::path::Path;
use std::sync::Arc;

use super::names::folded;
use super::{cargo, opened};

/// The workspace as it would be.
#[derive(Clone, Copy)]
pub(super) struct Proposed<'a> {
    /// Its folder.
    pub(super) root: &'a Path,
    /// Reads a text as it is proposed, by its path relative to the folder.
    pub(super) read: super::proposals::Read<'a>,
}

impl Proposed<'_> {
    /// A text as it is proposed.
    pub(super) fn text(&self, path: &Path) -> Option<Arc<str>> {
        (self.read)(path)
    }

    fn has(&self, path: &Path) -> bool {
        self.root.join(path).exists() || self.text(path).is_some()
    }
}

/// Files that some program runs or obeys by itself: what runs them, and their folded names.
const RUN_BY_THEMSELVES: &[(&str, &[&str])] = &[
    ("cargo runs it on every build", &["build.rs"]),
    ("pytest runs it before every test", &["conftest.py"]),
    (
        "python runs it at every start",
        &["sitecustomize.py", "usercustomize.py"],
    ),
    ("pip runs it on installation", &["setup.py"]),
    ("nox runs it", &["noxfile.py"]),
    ("npm builds it on installation", &["binding.gyp"]),
    (
        "it names what runs before every commit",
        &[".pre-commit-config.yaml"],
    ),
    (
        "it runs where the project is built, with its keys",
        &[
            ".gitlab-ci.yml",
            "azure-pipelines.yml",
            ".travis.yml",
            "jenkinsfile",
            ".drone.yml",
            "bitbucket-pipelines.yml",
            ".gitlab-ci.yaml",
            ".woodpecker.yml",
            "appveyor.yml",
            ".appveyor.yml",
            "cloudbuild.yaml",
            "buildspec.yml",
            ".cirrus.yml",
        ],
    ),
    ("the shell runs it in this folder", &[".envrc"]),
    (
        "it can make git start programs",
        &[".gitattributes", ".gitconfig"],
    ),
    (
        "it can make git fetch from anywhere",
        &[".gitmodules", ".lfsconfig"],
    ),
    (
        "it decides where packages come from",
        &[".npmrc", ".yarnrc", ".yarnrc.yml", "pip.conf"],
    ),
    (
        "pnpm runs it on installation",
        &[".pnpmfile.cjs", ".pnpmfile.mjs", "pnpmfile.js"],
    ),
    (
        "the editor runs it in this folder",
        &[
            ".exrc",
            ".nvim.lua",
            ".vimrc",
            ".nvimrc",
            ".lvimrc",
            "_vimrc",
            ".dir-locals.el",
            ".dir-locals-2.el",
            ".ycm_extra_conf.py",
        ],
    ),
    ("it names programs that agents start", &[".mcp.json"]),
    (
        "it decides which compiler runs",
        &["rust-toolchain.toml", "rust-toolchain"],
    ),
    ("it decides which tools run", &[".tool-versions"]),
    (
        "it can run commands in this folder",
        &[
            "mise.toml",
            ".mise.toml",
            "mise.local.toml",
            ".mise.local.toml",
        ],
    ),
    ("pylint may load code by it", &[".pylintrc", "pylintrc"]),
    ("R runs it at every start", &[".rprofile"]),
    ("R obeys it at every start", &[".renviron"]),
    ("the debugger runs it", &[".gdbinit", ".lldbinit"]),
    (
        "agents obey it",
        &[
            ".cursorrules",
            ".windsurfrules",
            ".clinerules",
            "agents.md",
            "claude.md",
            "gemini.md",
            "copilot-instructions.md",
        ],
    ),
    ("it can make bazel start other programs", &[".bazelrc"]),
    ("pytest may load code by it", &["pytest.ini", ".pytest.ini"]),
    ("tox and pytest may load code by it", &["tox.ini"]),
    ("pip and pytest may load code by it", &["setup.cfg"]),
    ("it runs commands", &[".justfile"]),
    (
        "rust-analyzer loads libraries by it",
        &["rust-project.json", ".rust-project.json"],
    ),
    (
        "rust-analyzer starts programs by it",
        &["rust-analyzer.toml", ".rust-analyzer.toml"],
    ),
    (
        "the editor loads code by it",
        &[".rubocop.yml", ".solargraph.yml", ".luarc.json"],
    ),
    ("ruby runs it at every start", &[".irbrc", ".pryrc"]),
    ("ghci runs it at every start", &[".ghci"]),
    ("bun loads code by it", &["bunfig.toml"]),
];

/// Folders of files that some program runs or obeys by itself.
const RUN_FOLDERS: &[(&str, &[&str])] = &[
    (
        "it runs where the project is built, with its keys",
        &[
            ".github/workflows",
            ".github/actions",
            ".circleci",
            ".buildkite",
            ".woodpecker",
            ".teamcity",
            ".semaphore",
            ".forgejo/workflows",
            ".gitea/workflows",
        ],
    ),
    (
        "git runs it before commits",
        &[".husky", ".githooks", ".git-hooks"],
    ),
    ("it can make cargo start other programs", &[".cargo"]),
    (
        "the editor may run it in this folder",
        &[".vscode", ".idea", ".zed", ".helix", ".fleet"],
    ),
    ("the editor builds and starts it", &[".devcontainer"]),
    (
        "agents obey it",
        &[
            ".claude",
            ".cursor",
            ".gemini",
            ".codex",
            ".windsurf",
            ".continue",
            ".kiro",
        ],
    ),
    ("the editor runs it in this folder", &[".nvim"]),
    ("maven loads code by it", &[".mvn"]),
    ("yarn runs what lies there", &[".yarn"]),
    ("bundler obeys it", &[".bundle"]),
    ("it can run commands in this folder", &[".mise"]),
];

/// Scripts of a `package.json` that run without being named.
const LIFECYCLE: [&str; 11] = [
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
    "dependencies",
];

/// Endings of names that some program obeys by itself.
const RUN_ENDINGS: &[(&str, &[&str])] = &[
    ("python runs it at every start", &[".pth"]),
    (
        "the editor may run what it says",
        &[".code-workspace", ".sublime-project", ".sublime-workspace"],
    ),
];

/// Beginnings of names that some program obeys by itself.
const RUN_BEGINNINGS: &[(&str, &[&str])] = &[
    (
        "the editor runs it on every file",
        &[
            ".eslintrc",
            "eslint.config.",
            ".prettierrc",
            "prettier.config.",
            ".stylelintrc",
            "stylelint.config.",
        ],
    ),
    (
        "git runs what it says before commits",
        &["lefthook.", ".lefthook."],
    ),
];

/// Settings that name what runs by itself, in the workspace.
const NAMING: [&str; 14] = [
    ".envrc",
    ".pre-commit-config.yaml",
    "lefthook.yml",
    ".lefthook.yml",
    "lefthook.toml",
    ".vscode/tasks.json",
    ".vscode/settings.json",
    ".cargo/config.toml",
    ".mcp.json",
    ".cursor/mcp.json",
    ".claude/settings.json",
    ".mise.toml",
    "mise.toml",
    "bunfig.toml",
];

/// What makes git start programs, in its settings.
const GIT_SETTINGS: [&str; 14] = [
    "[core",
    "[include",
    "[alias",
    "[filter",
    "[credential",
    "[gpg",
    "[diff ",
    "[merge ",
    "[pager",
    "[remote",
    "fsmonitor",
    "sshcommand",
    "hookspath",
    "pager",
];

/// Why a file runs because of its name or its folder.
fn by_name(path: &Path) -> Option<&'static str> {
    let names: Vec<String> = path
        .iter()
        .map(|name| folded(&name.to_string_lossy()))
        .collect();
    let (last, folders) = names.split_last()?;
    let lies_in = |pattern: &str| {
        let pattern: Vec<&str> = pattern.split('/').collect();
        folders.windows(pattern.len()).any(|part| part == pattern)
    };
    let of_all = |all: [&'static [(&str, &[&str])]; 2], fits: &dyn Fn(&str) -> bool| {
        all.into_iter().find_map(|table| reason(table, fits))
    };
    of_all([RUN_BY_THEMSELVES, opened::NAMES], &|name| last == name)
        .or_else(|| of_all([RUN_ENDINGS, opened::ENDINGS], &|end| last.ends_with(end)))
        .or_else(|| {
            of_all([RUN_BEGINNINGS, opened::BEGINNINGS], &|start| {
                last.starts_with(start)
            })
        })
        .or_else(|| of_all([RUN_FOLDERS, opened::FOLDERS], &lies_in))
}

/// What a table says of the first of its names that fits.
fn reason(table: &'static [(&str, &[&str])], fits: impl Fn(&str) -> bool) -> Option<&'static str> {
    let mut rows = table.iter();
    let found = rows.find(|(_, names)| names.iter().any(|name| fits(name)));
    found.map(|(why, _)| *why)
}

/// Why a change makes something run, or is obeyed, without anybody asking for it.
pub(super) fn runs_by_itself(
    proposed: Proposed<'_>,
    path: &Path,
    before: &str,
    after: &str,
) -> Option<String> {
    let name = folded(&path.file_name()?.to_string_lossy());
    if let Some(why) = by_name(path) {
        return Some(why.to_owned());
    }
    let added = match name.as_str() {
        "cargo.toml" => cargo::runs(proposed, path, before, after),
        "package.json" => package_runs(before, after),
        "pyproject.toml" => python_runs(before, after),
        _ if name.starts_with("tsconfig") || name.starts_with("jsconfig") => {
            let plugins = |text: &str| text.matches("\"plugins\"").count();
            (plugins(after) > plugins(before)).then(|| "the editor loads its plugins".to_owned())
        }
        _ => None,
    };
    added
        .or_else(|| belongs_to_git(proposed, path, &name, after))
        .or_else(|| is_named(proposed, path))
}

/// Backends that build packages of python, and what they need.
const PYTHON_BACKENDS: [&str; 14] = [
    "setuptools",
    "wheel",
    "hatchling",
    "poetry-core",
    "poetry.core.masonry.api",
    "flit-core",
    "flit_core",
    "pdm-backend",
    "pdm.backend",
    "maturin",
    "scikit-build-core",
    "scikit_build_core",
    "uv_build",
    "setuptools-scm",
];

/// What a project of python newly runs.
fn python_runs(before: &str, after: &str) -> Option<String> {
    let (before, after) = (table(before), table(after));
    let new = |keys: &[&str]| at(&after, keys).filter(|value| Some(*value) != at(&before, keys));
    let runs = [
        (
            ["tool", "mypy", "plugins"].as_slice(),
            "mypy loads code by it",
        ),
        (
            &["tool", "hatch", "build", "hooks"],
            "pip runs it on installation",
        ),
        (&["tool", "poetry", "build"], "pip runs it on installation"),
        (&["tool", "pdm", "build"], "pip runs it on installation"),
        (
            &["tool", "setuptools", "cmdclass"],
            "pip runs it on installation",
        ),
        (
            &["tool", "pytest", "ini_options", "required_plugins"],
            "pytest loads code by it",
        ),
    ];
    if let Some((_, why)) = runs.iter().find(|(keys, _)| new(keys).is_some()) {
        return Some((*why).to_owned());
    }
    if new(&["build-system"]).is_some_and(|system| !is_common_backend(system)) {
        return Some("pip runs it on installation".to_owned());
    }
    let options = new(&["tool", "pytest", "ini_options", "addopts"]);
    let loads = |options: &toml::Value| {
        let options = options.to_string();
        ["-p", "-c", "--rootdir", "--confcutdir", "--import"]
            .iter()
            .any(|option| options.contains(option))
    };
    if options.is_some_and(loads) {
        return Some("pytest may load code by it".to_owned());
    }
    let linter = new(&["tool", "pylint"]).map(toml::Value::to_string);
    let loads = |text: String| text.contains("init-hook") || text.contains("load-plugins");
    linter
        .is_some_and(loads)
        .then(|| "pylint loads code by it".to_owned())
}

/// Whether a project is built by one of the programs that everybody uses, and by nothing beside it.
fn is_common_backend(system: &toml::Value) -> bool {
    let is_common = |name: &str| {
        let end = name.find(['[', '<', '>', '=', '!', '~', ' ', ':', ';']);
        let name = name.get(..end.unwrap_or(name.len())).unwrap_or_default();
        let package = name.split('.').next().unwrap_or_default();
        PYTHON_BACKENDS.contains(&name) || PYTHON_BACKENDS.contains(&package)
    };
    let requires = system.get("requires").and_then(toml::Value::as_array);
    let mut requires = requires.into_iter().flatten();
    let backend = system.get("build-backend").map(toml::Value::as_str);
    system.get("backend-path").is_none()
        && backend.is_none_or(|backend| backend.is_some_and(is_common))
        && requires.all(|name| {
            name.as_str()
                .is_some_and(|name| is_common(name) && !name.contains(['@', '/']))
        })
}

/// What a package of npm newly runs when it is installed, or when something is committed.
fn package_runs(before: &str, after: &str) -> Option<String> {
    let (before, after) = (object(before), object(after));
    let is_new = |pointer: &str| {
        let value = after.pointer(pointer);
        value.is_some() && value != before.pointer(pointer)
    };
    let script = LIFECYCLE
        .iter()
        .find(|name| is_new(&format!("/scripts/{name}")));
    if let Some(name) = script {
        return Some(format!("npm runs the script `{name}` on installation"));
    }
    let keys = [
        "simple-git-hooks",
        "husky",
        "lint-staged",
        "pre-commit",
        "gypfile",
        "packageManager",
        "eslintConfig",
        "prettier",
    ];
    let key = keys.iter().find(|key| is_new(&format!("/{key}")));
    key.map(|key| format!("`{key}` in it decides what runs by itself"))
}

/// Whether git would take a folder for a repository because of this file, or obeys the file as it is.
fn belongs_to_git(proposed: Proposed<'_>, path: &Path, name: &str, after: &str) -> Option<String> {
    let has_beside = |others: &[&str]| {
        let mut others = others.iter();
        others.any(|other| proposed.has(&path.with_file_name(other)))
    };
    let is_settings = matches!(name, "config" | "config.worktree") || name.ends_with("gitconfig");
    let text = after.to_lowercase();
    let hooks = path.parent().filter(|folder| {
        let name = folder
            .file_name()
            .map(|name| folded(&name.to_string_lossy()));
        name.as_deref() == Some("hooks")
    });
    let obeyed = match name {
        _ if is_settings && GIT_SETTINGS.iter().any(|setting| text.contains(setting)) => true,
        "config" | "config.worktree" | "commondir" => has_beside(&["HEAD", "objects", "refs"]),
        "head" => has_beside(&["config", "commondir", "objects"]),
        _ => hooks.is_some_and(|hooks| proposed.has(&hooks.with_file_name("HEAD"))),
    };
    obeyed.then(|| "git may start programs by it".to_owned())
}

/// Whether a manifest, or the settings of a tool, name a file as one that runs by itself.
fn is_named(proposed: Proposed<'_>, path: &Path) -> Option<String> {
    if let Some(why) = cargo::names(proposed, path) {
        return Some(why.to_owned());
    }
    for folder in path.ancestors().skip(1) {
        let below = path.strip_prefix(folder).ok()?;
        if let Some(manifest) = proposed.text(&folder.join("package.json")) {
            let manifest = object(&manifest);
            let scripts = LIFECYCLE
                .iter()
                .filter_map(|name| manifest.pointer(&format!("/scripts/{name}"))?.as_str());
            if scripts.into_iter().any(|script| mentions(script, below)) {
                return Some("npm runs it on installation".to_owned());
            }
        }
    }
    let by = NAMING.iter().find(|settings| {
        let text = proposed.text(Path::new(settings));
        text.is_some_and(|text| mentions(&text, path))
    });
    by.map(|settings| format!("{settings} names it"))
}

/// Whether a text names a file, by its path and not by a part of another one.
fn mentions(text: &str, path: &Path) -> bool {
    let Some(path) = path.to_str().filter(|path| !path.is_empty()) else {
        return false;
    };
    let belongs = |it: char| it.is_alphanumeric() || "_-".contains(it);
    text.match_indices(path).any(|(start, _)| {
        let before = text.get(..start).unwrap_or_default();
        let before = before.strip_suffix("./").unwrap_or(before);
        let after = text.get(start + path.len()..).unwrap_or_default();
        !before.ends_with(|it| belongs(it) || it == '/' || it == '.') && !after.starts_with(belongs)
    })
}

/// A text as TOML; nothing of it where it is none, which no program can read either.
pub(super) fn table(text: &str) -> toml::Table {
    text.trim_start_matches('\u{feff}')
        .parse()
        .unwrap_or_default()
}

/// A value by its keys.
pub(super) fn at<'a>(table: &'a toml::Table, keys: &[&str]) -> Option<&'a toml::Value> {
    let (first, rest) = keys.split_first()?;
    let value = table.get(*first)?;
    rest.iter().try_fold(value, |value, key| value.get(*key))
}

fn object(text: &str) -> serde_json::Value {
    serde_json::from_str(text.trim_start_matches('\u{feff}')).unwrap_or_default()
}
