//! The language servers that are known without any configuration (spec: LSP Manager, registry).
//!
//! Servers with the same `group` are alternatives, best first. One without a group stands for itself.

use std::collections::BTreeMap;

use serde_json::Value;

use super::registry::{Server, Version};
use crate::config::RootStrategy;

/// Priority of what only complements others: its answers stand behind theirs.
const COMPLEMENT: i32 = -10;

/// A row of the table.
struct Row {
    name: &'static str,
    command: &'static str,
    arguments: &'static [&'static str],
    domain: &'static Domain,
    group: &'static str,
    is_complement: bool,
    is_everywhere: bool,
    is_numbered: bool,
    version: Version,
    hint: &'static str,
}

/// Where several servers are at home.
struct Domain {
    languages: &'static [&'static str],
    root_patterns: &'static [&'static str],
    endings: &'static [&'static str],
}

const RUST: Domain = Domain {
    languages: &["rust"],
    root_patterns: &["Cargo.toml", "rust-project.json"],
    endings: &["rs"],
};

const TYPESCRIPT: Domain = Domain {
    languages: &[
        "typescript",
        "typescriptreact",
        "javascript",
        "javascriptreact",
    ],
    root_patterns: &["tsconfig.json", "jsconfig.json", "package.json"],
    endings: &["ts", "tsx", "mts", "cts", "js", "jsx", "mjs", "cjs"],
};

const PYTHON: Domain = Domain {
    languages: &["python"],
    root_patterns: &[
        "pyproject.toml",
        "setup.py",
        "setup.cfg",
        "requirements.txt",
        "Pipfile",
        "pyrightconfig.json",
        "ruff.toml",
        "ty.toml",
    ],
    endings: &["py", "pyi"],
};

const GO: Domain = Domain {
    languages: &["go", "go.mod", "gomod", "go.work", "gotmpl"],
    root_patterns: &["go.mod", "go.work"],
    endings: &["go"],
};

const C: Domain = Domain {
    languages: &["c", "cpp", "objective-c", "objective-cpp", "cuda"],
    root_patterns: &[
        "compile_commands.json",
        "compile_flags.txt",
        ".clangd",
        "CMakeLists.txt",
        "meson.build",
    ],
    endings: &[
        "c", "h", "cc", "cpp", "cxx", "hh", "hpp", "hxx", "m", "mm", "cu",
    ],
};

const SHELL: Domain = Domain {
    languages: &["shellscript", "bash", "sh"],
    root_patterns: &[".bashrc", ".bash_profile"],
    endings: &["sh", "bash"],
};

const PLAIN: Row = Row {
    name: "",
    command: "",
    arguments: &[],
    domain: &RUST,
    group: "",
    is_complement: false,
    is_everywhere: false,
    is_numbered: false,
    version: Version::Asked,
    hint: "",
};

static TABLE: [Row; 12] = [
    Row {
        name: "rust-analyzer",
        command: "rust-analyzer",
        hint: "install it with `rustup component add rust-analyzer` or from your system's packages",
        ..PLAIN
    },
    Row {
        name: "typescript-language-server",
        command: "typescript-language-server",
        arguments: &["--stdio"],
        domain: &TYPESCRIPT,
        group: "typescript",
        hint: "install it with `npm install --global typescript-language-server typescript`",
        ..PLAIN
    },
    Row {
        name: "vtsls",
        command: "vtsls",
        arguments: &["--stdio"],
        domain: &TYPESCRIPT,
        group: "typescript",
        hint: "install it with `npm install --global @vtsls/language-server`",
        ..PLAIN
    },
    Row {
        name: "tsc",
        command: "tsc",
        arguments: &["--lsp", "--stdio"],
        domain: &TYPESCRIPT,
        group: "typescript",
        version: Version::From(7),
        hint: "install it with `npm install --global typescript@7`",
        ..PLAIN
    },
    Row {
        name: "basedpyright",
        command: "basedpyright-langserver",
        arguments: &["--stdio"],
        domain: &PYTHON,
        group: "python",
        version: Version::Beside("basedpyright"),
        hint: "install it with `pip install basedpyright`",
        ..PLAIN
    },
    Row {
        name: "pyright",
        command: "pyright-langserver",
        arguments: &["--stdio"],
        domain: &PYTHON,
        group: "python",
        version: Version::Beside("pyright"),
        hint: "install it with `npm install --global pyright`",
        ..PLAIN
    },
    Row {
        name: "ty",
        command: "ty",
        arguments: &["server"],
        domain: &PYTHON,
        group: "python",
        hint: "install it with `pip install ty`",
        ..PLAIN
    },
    Row {
        name: "pylsp",
        command: "pylsp",
        domain: &PYTHON,
        group: "python",
        hint: "install it with `pip install 'python-lsp-server[all]'`",
        ..PLAIN
    },
    Row {
        name: "gopls",
        command: "gopls",
        domain: &GO,
        hint: "install it with `go install golang.org/x/tools/gopls@latest`",
        ..PLAIN
    },
    Row {
        name: "clangd",
        command: "clangd",
        domain: &C,
        is_numbered: true,
        hint: "install it from your system's packages, or from https://clangd.llvm.org",
        ..PLAIN
    },
    Row {
        name: "bash-language-server",
        command: "bash-language-server",
        arguments: &["start"],
        domain: &SHELL,
        is_everywhere: true,
        hint: "install it with `npm install --global bash-language-server`",
        ..PLAIN
    },
    Row {
        name: "ruff",
        command: "ruff",
        arguments: &["server"],
        domain: &PYTHON,
        is_complement: true,
        hint: "install it with `pip install ruff`",
        ..PLAIN
    },
];

/// The language servers that are known without any configuration.
pub fn built_in() -> Vec<Server> {
    TABLE.iter().map(server).collect()
}

fn server(row: &Row) -> Server {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    Server {
        name: row.name.to_owned(),
        command: row.command.to_owned(),
        arguments: owned(row.arguments),
        environment: BTreeMap::new(),
        languages: owned(row.domain.languages),
        root_patterns: owned(row.domain.root_patterns),
        root_strategy: RootStrategy::default(),
        endings: owned(row.domain.endings),
        hint: row.hint.to_owned(),
        initialization_options: Value::Null,
        settings: Value::Null,
        only_features: Vec::new(),
        except_features: Vec::new(),
        priority: if row.is_complement { COMPLEMENT } else { 0 },
        group: row.group.to_owned(),
        is_complement: row.is_complement,
        is_everywhere: row.is_everywhere,
        is_numbered: row.is_numbered,
        version: row.version,
    }
}
