//! The tests that prove an edit: of each project that it touches, with that project's own runner.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use meliora::safety::Policy;
use meliora::tools::sandbox::{Bench, Room};
use meliora::tools::test::proving::{self, Tested};

use crate::hands::Scene;

/// Changes files, and runs the tests that this concerns.
async fn prove(scene: &Scene, changes: &[(&str, &str)]) -> Tested {
    for (path, text) in changes {
        std::fs::write(scene.root.join(path), text).expect("written");
    }
    let own = scene.root.with_file_name("own");
    for folder in ["home", "tmp", "run"] {
        std::fs::create_dir_all(own.join(folder)).expect("made");
    }
    let host = &scene.services.host;
    let temporary = own.join("tmp").display().to_string();
    let room = Room {
        tree: scene.root.clone(),
        guests: own.join("guests"),
        scratch: own.join("tmp"),
        writable: vec![scene.root.clone(), own.clone()],
        own,
        readable: Vec::new(),
        secrets: Vec::new(),
        confined: true,
        local_sockets: false,
        variables: BTreeMap::from([("TMPDIR".to_owned(), temporary)]),
    };
    let bench = Bench {
        host,
        policy: &Policy::new(host, &scene.services.config, &scene.root),
        room: &room,
        timeout: Duration::from_secs(300),
    };
    let paths = changes.iter().map(|(path, _)| PathBuf::from(path));
    let paths: Vec<PathBuf> = paths.collect();
    proving::run(bench, &scene.services.config.tools.test, &paths).await
}

/// How the tests of a project ended, and what they said.
fn ended(tested: &Tested, command: &str) -> (bool, String) {
    let mut reports = tested.reports.iter();
    let report = reports.find(|report| report.command == command);
    let report = report.unwrap_or_else(|| panic!("{command}: {tested:?}"));
    (report.success(), report.summary())
}

const GO: &str = "package g\n\nfunc Two() int { return 2 }\n";
const GO_TEST: &str = "package g\n\nimport \"testing\"\n\nfunc TestTwo(t *testing.T) {\n\tif Two() != 2 {\n\t\tt.Fatal(\"not two\")\n\t}\n}\n";
const NODE: &str = "exports.two = () => 2;\n";
const NODE_TEST: &str = "const { test } = require('node:test');\nconst assert = require('assert');\n\
                         test('two', () => assert.equal(require('./a').two(), 2));\n";

#[tokio::test]
async fn each_project_that_a_change_touches_runs_its_own_tests() {
    let scene = Scene::new(&[
        ("backend/go.mod", "module example.com/g\n\ngo 1.19\n"),
        ("backend/g.go", GO),
        ("backend/g_test.go", GO_TEST),
        ("frontend/package.json", "{}"),
        ("frontend/a.js", NODE),
        ("frontend/a.test.js", NODE_TEST),
    ]);
    let go = GO.replace("return 2", "return 3");
    let node = NODE.replace("=> 2", "=> 1 + 1");
    let changes = [("backend/g.go", go.as_str()), ("frontend/a.js", &node)];
    let tested = prove(&scene, &changes).await;
    let (passed, said) = ended(&tested, "go test in backend");
    assert!(!passed && said.contains("TestTwo"), "{said}");
    let passed = ended(&tested, "node --test in frontend");
    assert_eq!(passed, (true, "1 test passed".to_owned()));
    // What a change does not touch is not run.
    let tested = prove(&scene, &[("frontend/a.js", &node)]).await;
    let names: Vec<&str> = tested
        .reports
        .iter()
        .map(|one| one.command.as_str())
        .collect();
    assert!(!names.contains(&"go test in backend"), "{names:?}");
}

#[tokio::test]
async fn tests_in_python_are_found_whoever_runs_them() {
    let with_unittest = "import unittest\nfrom calc import two\n\nclass T(unittest.TestCase):\n    def test_two(self):\n        \
                         self.assertEqual(two(), 2)\n";
    let with_pytest = "from calc import two\n\ndef test_two():\n    assert two() == 2\n";
    for (tests, runner) in [(with_unittest, "unittest"), (with_pytest, "pytest")] {
        let files = [
            ("calc.py", "def two():\n    return 2\n"),
            ("test_calc.py", tests),
        ];
        let scene = Scene::new(&files);
        let same = "def two():\n    return 1 + 1\n";
        let tested = prove(&scene, &[("calc.py", same)]).await;
        assert_eq!(ended(&tested, runner), (true, "1 test passed".to_owned()));
        let wrong = "def two():\n    return 3\n";
        let tested = prove(&scene, &[("calc.py", wrong)]).await;
        let (passed, said) = ended(&tested, runner);
        assert!(!passed && said.contains("test_two"), "{said}");
    }
}

#[tokio::test]
async fn a_test_that_fails_cannot_pass_for_a_runner_that_is_missing() {
    let test = "def test_a():\n    raise Exception('No module named pytest')\n";
    let ends =
        "import os, sys\nsys.stderr.write('python3: No module named pytest\\n')\nos._exit(1)\n";
    for (path, text) in [("test_a.py", test), ("conftest.py", ends)] {
        let scene = Scene::new(&[("test_a.py", test)]);
        let tested = prove(&scene, &[(path, text)]).await;
        assert!(!ended(&tested, "pytest").0, "{tested:?}");
    }
}

#[tokio::test]
async fn a_part_without_tests_is_proven_by_those_of_the_whole() {
    let manifest = "{\"scripts\": {\"test\": \"node spec/run.js\"}}";
    let scene = Scene::new(&[
        ("package.json", manifest),
        (
            "spec/run.js",
            "require('../packages/a/a').two() === 2 || process.exit(1);\n",
        ),
        ("packages/a/package.json", "{\"name\": \"a\"}"),
        ("packages/a/a.js", NODE),
    ]);
    let same = NODE.replace("=> 2", "=> 1 + 1");
    let tested = prove(&scene, &[("packages/a/a.js", &same)]).await;
    assert_eq!(ended(&tested, "npm test"), (true, "passed".to_owned()));
    let wrong = NODE.replace("=> 2", "=> 3");
    let tested = prove(&scene, &[("packages/a/a.js", &wrong)]).await;
    assert!(!ended(&tested, "npm test").0, "{tested:?}");
}

#[tokio::test]
async fn what_has_no_tests_and_what_cannot_run_them_is_said() {
    let plain = Scene::new(&[("package.json", "{}"), ("a.js", NODE)]);
    let tested = prove(&plain, &[("a.js", "exports.two = 2;\n")]).await;
    let caveats = tested.caveats.join("\n");
    assert!(caveats.contains("none were found"), "{caveats}");
    let vitest = "{\"scripts\": {\"test\": \"vitest run\"}}";
    let missing = Scene::new(&[("package.json", vitest), ("a.js", NODE)]);
    let tested = prove(&missing, &[("a.js", "exports.two = 2;\n")]).await;
    let caveats = tested.caveats.join("\n");
    assert!(
        caveats.contains("vitest is neither in the project"),
        "{caveats}"
    );
}
