//! What runs the tests of a Python project, by what its files say (spec: Test Tool).

use std::path::Path;

use super::framework::Framework;
use crate::tools::project::Project;

/// Files that name what a project needs.
const NEEDS: [&str; 7] = [
    "pyproject.toml",
    "setup.cfg",
    "tox.ini",
    "setup.py",
    "requirements.txt",
    "requirements-dev.txt",
    "dev-requirements.txt",
];

/// Files that pytest alone reads.
const OF_PYTEST: [&str; 3] = ["pytest.ini", "conftest.py", "tests/conftest.py"];

/// How lines begin of tests that are functions, which pytest alone finds.
const FUNCTIONS: [&str; 4] = [
    "def test_",
    "async def test_",
    "import pytest",
    "from pytest",
];

/// What runs the tests of a project.
pub(super) fn framework(project: &Project<'_>) -> Framework {
    let mentions = |file: &&str| {
        let text = project.text(file);
        text.is_some_and(|text| text.contains("pytest"))
    };
    let is_pytest = NEEDS.iter().any(mentions)
        || OF_PYTEST.iter().any(|file| project.has(file))
        || project.texts(holds_tests).any(|text| has_functions(&text));
    if is_pytest {
        Framework::Pytest
    } else {
        Framework::Unittest
    }
}

/// Whether the name of a file is one that pytest looks into.
fn holds_tests(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.strip_suffix(".py");
    stem.is_some_and(|stem| stem.starts_with("test_") || stem.ends_with("_test"))
}

fn has_functions(text: &str) -> bool {
    let mut lines = text.lines();
    lines.any(|line| FUNCTIONS.iter().any(|start| line.starts_with(start)))
}
