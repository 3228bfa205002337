//! Names of files that an editor runs, or has run, as soon as a folder is open or a file in it is looked at.
//!
//! Each is one that a common extension or language server really runs or loads code by: the ones that only read settings
//! are not here.

/// Whole names, folded, and what runs them.
pub(super) const NAMES: &[(&str, &[&str])] = &[
    (
        "the editor configures the project by it",
        &[
            "cmakelists.txt",
            "cmakepresets.json",
            "cmakeuserpresets.json",
            "meson.build",
            "build.zig",
        ],
    ),
    (
        "the editor builds the project by it",
        &[
            "pom.xml",
            "gradle.properties",
            "gradle-wrapper.properties",
            "gradlew",
            "gradlew.bat",
            "mix.exs",
            ".formatter.exs",
            "rebar.config",
            "rebar.config.script",
            "package.swift",
            "hie.yaml",
            "setup.hs",
            "cabal.project",
            "deps.edn",
            "bb.edn",
            "project.clj",
            "shadow-cljs.edn",
            "global.json",
            "workspace",
            "workspace.bazel",
            "module.bazel",
        ],
    ),
    (
        "the editor runs it to see what the project needs",
        &["gemfile", "gems.rb"],
    ),
    ("it decides where packages come from", &["nuget.config"]),
    (
        "the editor loads code by it",
        &[
            "mypy.ini",
            ".mypy.ini",
            ".flake8",
            "analysis_options.yaml",
            ".oxlintrc.json",
            ".php-cs-fixer.php",
            ".php-cs-fixer.dist.php",
            "phpstan.neon",
            "phpstan.neon.dist",
            "psalm.xml",
            "psalm.xml.dist",
        ],
    ),
];

/// Beginnings of names.
pub(super) const BEGINNINGS: &[(&str, &[&str])] = &[(
    "the editor runs it in this folder",
    &[
        "tailwind.config.",
        "svelte.config.",
        "vite.config.",
        "vitest.config.",
        "vitest.workspace.",
        "jest.config.",
        "playwright.config.",
        "graphql.config.",
        ".graphqlrc",
        ".mocharc",
        ".pnp.",
        ".markdownlint-cli2.",
        ".markdownlint.cjs",
        ".remarkrc",
    ],
)];

/// Endings of names.
pub(super) const ENDINGS: &[(&str, &[&str])] = &[
    ("the editor configures the project by it", &[".cmake"]),
    (
        "the editor builds the project by it",
        &[
            ".gradle",
            ".gradle.kts",
            ".sbt",
            ".gemspec",
            ".csproj",
            ".fsproj",
            ".vbproj",
            ".props",
            ".targets",
            ".bzl",
        ],
    ),
];

/// Folders.
pub(super) const FOLDERS: &[(&str, &[&str])] = &[
    ("the editor builds the project by it", &["buildsrc"]),
    ("the editor runs what lies there", &[".terraform"]),
    ("the editor starts programs by it", &[".lsp"]),
];
