//! Small projects that each of the real servers understands, with a line before which no byte is a column.

use std::path::Path;

use serde_json::{Value, json};

/// A project and the server for it.
pub(crate) struct Project {
    /// Program and arguments.
    pub(crate) command: Vec<String>,
    pub(crate) files: &'static [(&'static str, &'static str)],
    /// The file that is edited.
    pub(crate) file: &'static str,
    pub(crate) language: &'static str,
    /// A name in it.
    pub(crate) place: Value,
    /// What is typed at its beginning.
    pub(crate) typed: &'static str,
    /// What the diagnostics hold that the server publishes by itself: soon after the file is opened, and again
    /// after something was typed.
    pub(crate) published: &'static str,
    /// A method that only this server knows.
    pub(crate) experimental: &'static str,
    pub(crate) options: Value,
}

impl Project {
    pub(crate) fn text(&self) -> &'static str {
        let found = self.files.iter().find(|(file, _)| *file == self.file);
        found.map(|(_, text)| *text).expect("the file is there")
    }

    pub(crate) fn lines(&self) -> usize {
        self.text().lines().count()
    }
}

pub(crate) fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().expect("it has one")).expect("made");
    std::fs::write(path, text).expect("written");
}

pub(crate) fn rust(program: &str) -> Project {
    Project {
        command: vec![program.to_owned()],
        files: &[
            (
                "Cargo.toml",
                "[package]\nname = \"work\"\nversion = \"0.1.0\"\nedition = \"2021\"\n\n[workspace]\n",
            ),
            (
                "src/lib.rs",
                "//! Sums.\n\n/// The total of é and ñ.\npub fn total(numbers: &[u64]) -> u64 {\n    let mut sum = 0;\n    for number in numbers {\n        sum += number;\n    }\n    sum\n}\n\npub fn twice() -> u64 {\n    /* é😀 */ total(&[1, 2]) + undefined\n}\n",
            ),
        ],
        file: "src/lib.rs",
        language: "rust",
        place: json!({ "line": 3, "character": 8 }),
        typed: "// typed\n",
        published: "E0308",
        experimental: "experimental/runnables",
        options: json!({ "checkOnSave": false, "cachePriming": { "enable": false }, "cargo": { "sysroot": null, "buildScripts": { "enable": false } }, "procMacro": { "enable": false } }),
    }
}

pub(crate) fn typescript(program: &str) -> Project {
    Project {
        command: vec![program.to_owned(), "--stdio".to_owned()],
        files: &[
            (
                "tsconfig.json",
                "{ \"compilerOptions\": { \"strict\": true, \"noLib\": false } }\n",
            ),
            (
                "main.ts",
                "/** The total of é. */\nexport function total(numbers: number[]): number {\n  let sum = 0;\n  for (const number of numbers) sum += number;\n  return sum;\n}\nexport const text: string = /* 😀 */ total([1, 2]);\n",
            ),
        ],
        file: "main.ts",
        language: "typescript",
        place: json!({ "line": 1, "character": 18 }),
        typed: "// typed\n",
        published: "not assignable",
        experimental: "typescript/unheardOf",
        options: json!({ "disableAutomaticTypingAcquisition": true }),
    }
}

const PYTHON: &[(&str, &str)] = &[
    (
        "pyproject.toml",
        "[project]\nname = \"work\"\nversion = \"0.1.0\"\n",
    ),
    (
        "main.py",
        "\"\"\"Sums: é.\"\"\"\nimport os\n\n\ndef total(numbers: list[int]) -> int:\n    \"\"\"The total of ñ.\"\"\"\n    return sum(numbers)\n\n\nTEXT: str = \"😀\" + total([1, 2])\n",
    ),
];

pub(crate) fn python(program: &str, arguments: &[&str], name: &'static str) -> Project {
    Project {
        command: [program]
            .iter()
            .chain(arguments)
            .map(|part| (*part).to_owned())
            .collect(),
        files: PYTHON,
        file: "main.py",
        language: "python",
        place: json!({ "line": 4, "character": 5 }),
        typed: "# typed\n",
        published: "unsupported-operator",
        experimental: name,
        options: Value::Null,
    }
}

pub(crate) fn pylsp(program: &str) -> Project {
    Project {
        published: "imported but unused",
        ..python(program, &[], "pylsp/unheardOf")
    }
}

pub(crate) fn c(program: &str) -> Project {
    Project {
        command: vec![
            program.to_owned(),
            "--background-index=false".to_owned(),
            "-j=1".to_owned(),
        ],
        files: &[
            ("compile_flags.txt", "-Wall\n"),
            (
                "main.c",
                "/* The total of é. */\nint total(const int *numbers, int count) {\n    int sum = 0;\n    for (int i = 0; i < count; i++) sum += numbers[i];\n    return sum;\n}\n\nint main(void) { /* 😀 */ return total(0, 0) + undefined; }\n",
            ),
        ],
        file: "main.c",
        language: "c",
        place: json!({ "line": 1, "character": 5 }),
        typed: "// typed\n",
        published: "undeclared identifier",
        experimental: "textDocument/switchSourceHeader",
        options: Value::Null,
    }
}

pub(crate) fn go(program: &str) -> Project {
    Project {
        command: vec![program.to_owned()],
        files: &[
            ("go.mod", "module work\n\ngo 1.19\n"),
            (
                "main.go",
                "// Package main sums é.\npackage main\n\n// total of ñ.\nfunc total(numbers []int) int {\n\tsum := 0\n\tfor _, number := range numbers {\n\t\tsum += number\n\t}\n\treturn sum\n}\n\nfunc main() {\n\t_ = /* 😀 */ total(nil) + undefined\n}\n",
            ),
        ],
        file: "main.go",
        language: "go",
        place: json!({ "line": 4, "character": 6 }),
        typed: "// typed\n",
        published: "undeclared",
        experimental: "gopls/unheardOf",
        options: Value::Null,
    }
}
