//! The shadow of real projects: the same problems as in the original, in little time.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use meliora::agent::shadow::builds::Builder;

use super::{Overlay, Scene, edit};

#[test]
fn cargo_finds_the_same_problems_in_an_untouched_shadow() {
    let manifest = |name: &str, rest: &str| {
        format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n{rest}")
    };
    let engine = "[dependencies]\nengine = { path = \"../../../engine\" }\n";
    let scene = Scene::with(&[
        (
            "Cargo.toml",
            "[workspace]\nresolver = \"3\"\nmembers = [\"crates/*\"]\n",
        ),
        ("crates/car/Cargo.toml", &manifest("car", engine)),
        (
            "crates/car/src/lib.rs",
            "mod seat;\npub fn drive() -> u32 { engine::start(1) + missing() }\n",
        ),
        ("crates/car/src/seat.rs", "pub fn heat() -> String { 4 }\n"),
        ("crates/bike/Cargo.toml", &manifest("bike", "")),
        (
            "crates/bike/src/lib.rs",
            "pub fn ride() { let unused = 1; }\n",
        ),
        (
            "../engine/Cargo.toml",
            &manifest("engine", "[dependencies]\nfuel = { path = \"../fuel\" }\n"),
        ),
        (
            "../engine/src/lib.rs",
            "pub fn start(by: u32) -> u32 { fuel::burn() + by }\n",
        ),
        ("../fuel/Cargo.toml", &manifest("fuel", "")),
        ("../fuel/src/lib.rs", "pub fn burn() -> u32 { 1 }\n"),
    ]);
    let shadow = scene.synced();
    let environment = shadow.environment(Builder::Check);
    let original = cargo_problems(&scene.workspace, &scene.host.home.join("target"));
    let copied = cargo_problems(shadow.tree(), Path::new(&environment["CARGO_TARGET_DIR"]));
    assert_eq!(original, copied);
    for expected in [
        "E0425 crates/car/src/lib.rs:2",
        "unused_variables crates/bike/src/lib.rs:1",
    ] {
        assert!(
            copied.iter().any(|line| line.starts_with(expected)),
            "{copied:?}"
        );
    }
}

/// What `cargo check` says: code, place and message, sorted.
fn cargo_problems(folder: &Path, target: &Path) -> Vec<String> {
    let output = Command::new("cargo")
        .args([
            "check",
            "--workspace",
            "--keep-going",
            "--offline",
            "--message-format=json",
        ])
        .current_dir(folder)
        .env("CARGO_TARGET_DIR", target)
        .output()
        .expect("cargo runs");
    let text = String::from_utf8(output.stdout).expect("text");
    let lines = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
    let mut problems: Vec<String> = lines
        .filter(|line| line["reason"] == "compiler-message")
        .map(|line| {
            let message = &line["message"];
            let span = &message["spans"][0];
            let (code, file) = (message["code"]["code"].as_str(), span["file_name"].as_str());
            let (code, file) = (code.unwrap_or_default(), file.unwrap_or_default());
            format!(
                "{code} {file}:{} {}",
                span["line_start"], message["message"]
            )
        })
        .collect();
    problems.sort();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!problems.is_empty(), "{errors}");
    problems
}

#[test]
fn typescript_finds_the_same_problems_in_an_untouched_shadow() {
    let compiler = typescript();
    let scene = Scene::with(&[
        (".gitignore", "node_modules\n"),
        ("package.json", "{\"workspaces\": [\"packages/*\"]}"),
        (
            "tsconfig.json",
            "{\"extends\": \"../tsconfig.base.json\", \"include\": [\"packages\"]}",
        ),
        (
            "../tsconfig.base.json",
            "{\"compilerOptions\": {\"strict\": true, \"module\": \"nodenext\", \"noEmit\": true, \"types\": []}}",
        ),
        (
            "packages/a/package.json",
            "{\"name\": \"@own/a\", \"types\": \"index.ts\"}",
        ),
        (
            "packages/a/index.ts",
            "import { pad } from \"padding\";\nexport const wide: number = pad(\"x\");\n",
        ),
        (
            "packages/b/index.ts",
            "import { wide } from \"@own/a\";\nimport { gone } from \"nowhere\";\nexport const text: string = wide + missing;\n",
        ),
        (
            "node_modules/padding/package.json",
            "{\"name\": \"padding\", \"types\": \"index.d.ts\"}",
        ),
        (
            "node_modules/padding/index.d.ts",
            "export declare function pad(text: string): string;\n",
        ),
    ]);
    fs::create_dir(scene.path("node_modules/@own")).expect("created");
    symlink("../../packages/a", scene.path("node_modules/@own/a")).expect("linked");
    let shadow = scene.synced();
    let check = |folder: &Path| {
        let output = Command::new("node")
            .arg(&compiler)
            .args(["--pretty", "false"])
            .current_dir(folder)
            .output()
            .expect("node runs");
        String::from_utf8(output.stdout).expect("text")
    };
    let copied = check(shadow.tree());
    assert_eq!(check(&scene.workspace), copied);
    for expected in [
        "packages/a/index.ts(2,14): error TS2322",
        "error TS2307",
        "error TS2304",
    ] {
        assert!(copied.contains(expected), "{copied}");
    }
}

/// The pinned TypeScript compiler.
fn typescript() -> PathBuf {
    let compiler = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("target/tools/npm/node_modules/typescript/bin/tsc");
    assert!(
        compiler.exists(),
        "there is no TypeScript compiler: run `tests/run tools` once"
    );
    compiler
}

#[test]
fn python_finds_the_same_problems_in_an_untouched_shadow() {
    let scene = Scene::with(&[
        (".gitignore", ".venv\n__pycache__\n"),
        ("src/pkg/__init__.py", "from pkg.inner import value\n"),
        ("src/pkg/inner.py", "value = 'original'\n"),
        (
            "check.py",
            "import outside, pkg\nprint(pkg.value, outside.name)\nimport broken\n",
        ),
        ("broken.py", "def f(:\n"),
        ("../outside/outside.py", "name = 'outside'\n"),
    ]);
    let made = Command::new("python3")
        .args(["-m", "venv", "--without-pip", ".venv"])
        .current_dir(&scene.workspace)
        .status();
    assert!(made.expect("python3 runs").success());
    let library = fs::read_dir(scene.path(".venv/lib"))
        .expect("there")
        .flatten()
        .next();
    let library = library.expect("one Python").path().join("site-packages");
    let outside = scene.workspace.with_file_name("outside");
    let paths = format!("{}\n{}\n", scene.path("src").display(), outside.display());
    fs::write(library.join("__editable__.pkg.pth"), paths).expect("written");
    let mut shadow = scene.synced();
    let run = |folder: &Path, environment: BTreeMap<String, String>| {
        let output = Command::new(folder.join(".venv/bin/python"))
            .arg("check.py")
            .current_dir(folder)
            .env_clear()
            .envs(environment)
            .output()
            .expect("python runs");
        let errors =
            String::from_utf8_lossy(&output.stderr).replace(&folder.display().to_string(), "");
        (String::from_utf8(output.stdout).expect("text"), errors)
    };
    let original = run(&scene.workspace, BTreeMap::new());
    assert_eq!(
        run(shadow.tree(), shadow.environment(Builder::Check)),
        original
    );
    assert_eq!(original.0, "original outside\n");
    assert!(original.1.contains("SyntaxError"), "{}", original.1);
    // Texts of one length, laid within one second: a compiled module must not be taken for that of another.
    for word in ["proposed", "reworked", "polished"] {
        let text = format!("value = '{word}'\n");
        let proposal = edit(
            "src/pkg/inner.py",
            Some("value = 'original'\n"),
            Some(&text),
        );
        shadow.lay(&proposal).expect("laid");
        let printed = run(shadow.tree(), shadow.environment(Builder::Check)).0;
        assert_eq!(printed, format!("{word} outside\n"));
        shadow.lay(&proposal.inverse()).expect("lifted");
    }
    let overlay = Overlay::from([("src/pkg/inner.py".into(), "value = 'unsaved!'\n".into())]);
    shadow.sync(&overlay).expect("synced");
    let printed = run(shadow.tree(), shadow.environment(Builder::Check)).0;
    assert_eq!(printed, "unsaved! outside\n");
}

/// The figures of `docs/BENCHMARKS.md`: run it alone, with `--release` and `--nocapture`.
#[test]
#[expect(
    clippy::print_stdout,
    reason = "the figures are what a benchmark run is for"
)]
fn ten_thousand_files_are_copied_once_and_then_kept_in_step_by_difference() {
    let scene = Scene::with(&[(".gitignore", "target/\n*.log\n")]);
    let text = "fn line() { let number = 42; }\n".repeat(130);
    for folder in 0..500 {
        scene.write(
            &format!("crates/c{}/src/m{folder}/.gitignore", folder % 50),
            "*.tmp\n",
        );
        for file in 0..20 {
            let path = format!("crates/c{}/src/m{folder}/f{file}.rs", folder % 50);
            scene.write(&path, &text);
        }
    }
    scene.git(&["init", "-q"]);
    scene.git(&["add", "."]);
    let mut shadow = scene.open();
    let first = shadow.sync(&Overlay::new()).expect("synced");
    assert_eq!(first.copied, 10_501);
    let mut later = Vec::new();
    for round in 0..5 {
        scene.write("crates/c7/src/m7/f1.rs", format!("// {round}\n"));
        let overlay = Overlay::from([(PathBuf::from("crates/c8/src/m8/f2.rs"), "open\n".into())]);
        let report = shadow.sync(&overlay).expect("synced");
        assert_eq!((report.copied, report.restored), (1, 0), "{report:?}");
        later.push(report.milliseconds);
    }
    later.sort_unstable();
    println!(
        "first sync {} ms, later syncs {later:?} ms",
        first.milliseconds
    );
}
