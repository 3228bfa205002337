//! One test that is chosen by its name, where a runner makes that hard: examples of documentation, scripts, workspaces.

use serde_json::json;

use crate::hands::{Scene, expected};

#[tokio::test]
async fn examples_of_documentation_are_run_by_the_names_that_they_are_listed_with() {
    let example = |name: &str, sum: u32| {
        format!(
            "/// ```\n/// assert_eq!(p::{name}(), {sum});\n/// ```\npub fn {name}() -> u32 {{\n    3\n}}\n"
        )
    };
    let tests = "#[cfg(test)]\nmod tests {\n    #[test]\n    fn three_is_so() {}\n}\n";
    let text = format!("{}{}{tests}", example("three", 3), example("four", 4));
    let mut scene = Scene::new(&[
        (
            "Cargo.toml",
            "[package]\nname = \"p\"\nversion = \"0.1.0\"\nedition = \"2021\"\n",
        ),
        ("src/lib.rs", &text),
    ]);
    let listed = scene.call("discover_tests", json!({})).await;
    let (three, four) = ("src/lib.rs - three (line 1)", "src/lib.rs - four (line 7)");
    for name in [three, four] {
        assert!(listed.text.contains(name), "{}", listed.text);
    }
    let one = scene.tests(json!({ "name": three })).await;
    assert_eq!(one, expected(&[(three, "passed")]));
    let other = scene.tests(json!({ "name": four })).await;
    assert_eq!(other, expected(&[(four, "failed")]));
    let by_part = scene.tests(json!({ "name": "three" })).await;
    let both = [(three, "passed"), ("tests::three_is_so", "passed")];
    assert_eq!(by_part, expected(&both));
    for gone in ["src/lib.rs - three (line 9)", "nothing is so"] {
        let none = scene.call("run_tests", json!({ "name": gone })).await;
        assert!(none.text.contains("no test matches"), "{}", none.text);
    }
}

#[tokio::test]
async fn a_name_reaches_the_tests_of_a_script_of_node_or_is_refused() {
    let tests = "const { test } = require('node:test');\nconst assert = require('assert');\n\
                 test('adds', () => {});\ntest('fails', () => assert.ok(false));\n";
    let mut scene = Scene::new(&[
        (
            "package.json",
            r#"{"scripts": {"test": "node --test src"}}"#,
        ),
        ("src/a.test.js", tests),
        (
            "src/b.test.js",
            "require('node:test').test('other', () => {});\n",
        ),
    ]);
    let all = scene.tests(json!({})).await;
    let three = [("adds", "passed"), ("fails", "failed"), ("other", "passed")];
    assert_eq!(all, expected(&three));
    for name in ["adds", "src/a.test.js adds"] {
        let one = scene.call("run_tests", json!({ "name": name })).await;
        assert!(one.text.contains("passed: 1\n"), "{name}: {}", one.text);
        assert!(one.text.contains("failed: 0\n"), "{name}: {}", one.text);
    }
    let none = scene.call("run_tests", json!({ "name": "nowhere" })).await;
    assert!(none.text.contains("no test matches"), "{}", none.text);

    let package = r#"{"scripts": {"test": "node --test"}}"#;
    let mut scene = Scene::new(&[
        (
            "package.json",
            r#"{"workspaces": ["packages/*"], "scripts": {"test": "npm test --workspaces"}}"#,
        ),
        ("packages/a/package.json", package),
        ("packages/a/a.test.js", tests),
        ("packages/b/package.json", package),
    ]);
    let listed = scene.call("discover_tests", json!({})).await;
    let name = "packages/a/a.test.js adds";
    assert!(listed.text.contains(name), "{}", listed.text);
    for name in [
        json!({ "name": name }),
        json!({ "name": name, "folder": "packages/a" }),
    ] {
        let one = scene.call("run_tests", name).await;
        assert!(one.text.contains("passed: 1\n"), "{}", one.text);
    }
    let refused = scene.call("run_tests", json!({ "name": "adds" })).await;
    assert!(!refused.result.success, "{}", refused.text);
    assert!(
        refused.text.contains("takes no names of tests"),
        "{}",
        refused.text
    );
}
