//! Plugins as strangers write them: those of the SDK and that of the template, built, approved and called.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use meliora::config::Config;
use serde_json::{Value, json};

use super::Scene;

/// Where their builds go, so that each test run finds the last.
fn target() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("plugins")
}

fn cargo(folder: &Path, arguments: &[&str]) -> String {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let done = Command::new(cargo)
        .args(arguments)
        .args(["--offline", "--quiet", "--target-dir"])
        .arg(target())
        .current_dir(folder)
        .output()
        .expect("cargo starts");
    let said = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
    assert!(done.status.success(), "{arguments:?}: {said}");
    said
}

#[tokio::test]
async fn the_plugins_of_the_sdk_are_built_and_do_what_they_say() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let packages = ["-p", "meliora-sdk", "-p", "file-header", "-p", "link-check"];
    let tested = cargo(root, &[&["test"], packages.as_slice()].concat());
    assert!(tested.contains("test result: ok"), "{tested}");
    cargo(root, &[&["build"], packages.as_slice()].concat());
    let port = served();
    let links = format!(
        "See http://127.0.0.1:{port}/good, http://127.0.0.1:{port}/bad and https://example.com/a.\n"
    );
    let mut config = Config::default();
    config.tools.http.allowed_domains = vec![format!("127.0.0.1:{port}")];
    let files = [
        ("src/a.rs", "fn a() {}\n"),
        ("src/b.rs", "// Ours\nfn b() {}\n"),
        ("links.md", links.as_str()),
    ];
    let mut scene = Scene::new(&files, config);
    for name in ["file-header", "link-check"] {
        let manifest = root.join("src/sdk/plugins").join(name).join("plugin.toml");
        let manifest = std::fs::read_to_string(manifest).expect("readable");
        let library = format!("debug/lib{}.so", name.replace('-', "_"));
        scene.install(name, &manifest, &target().join(library));
        scene.approve(name);
    }
    let added = scene
        .call(
            "file-header__add",
            json!({ "header": "Ours", "ending": "rs" }),
        )
        .await;
    assert!(added.result.success, "{}", added.text);
    assert_eq!(
        added.result.data["answer"],
        json!([{ "files": 2, "changed": 1 }])
    );
    let diff = scene.staging.proposed().unified_diff();
    assert!(
        diff.contains("+// Ours\n") && diff.contains("src/a.rs"),
        "{diff}"
    );
    let on_disk = std::fs::read_to_string(scene.root.join("src/a.rs")).expect("readable");
    assert_eq!(on_disk, "fn a() {}\n");
    let wrong = scene
        .call("file-header__add", json!({ "header": 1, "ending": "rs" }))
        .await;
    assert!(
        wrong.text.contains("`header` has to be a string"),
        "{}",
        wrong.text
    );
    let unknown = scene
        .call(
            "file-header__add",
            json!({ "header": "x", "ending": "xyz" }),
        )
        .await;
    assert!(
        unknown.text.contains("no comments are known"),
        "{}",
        unknown.text
    );
    let checked = scene
        .call("link-check__check", json!({ "path": "links.md" }))
        .await;
    assert!(checked.result.success, "{}", checked.text);
    assert_eq!(
        checked.result.data["answer"],
        json!([{ "links": 3, "broken": 2, "not_asked": 0 }])
    );
    let text = &checked.text;
    assert!(
        text.contains(&format!("http://127.0.0.1:{port}/bad: status 404")),
        "{text}"
    );
    assert!(text.contains("https://example.com/a: "), "{text}");
    assert!(!text.contains("/good"), "{text}");
}

/// The port of a server that knows one page.
fn served() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut line = String::new();
            let mut reader = BufReader::new(&stream);
            // Whoever asked may be gone.
            let _ = reader.read_line(&mut line);
            let status = if line.contains("/good") {
                "200 OK"
            } else {
                "404 Not Found"
            };
            let _ = write!(
                &stream,
                "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
        }
    });
    port
}

/// Our program in the scene.
pub(super) fn meliora(scene: &Scene, folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meliora"));
    command.args(arguments).current_dir(folder);
    command.env_clear().envs(&scene.services.host.environment);
    command.stdin(std::process::Stdio::null());
    command.output().expect("our program starts")
}

pub(super) fn said(output: &Output) -> String {
    let both = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8_lossy(&both).into_owned()
}

#[test]
fn a_new_plugin_passes_its_test_and_counts_from_its_approval_to_its_next_change() {
    let scene = Scene::new(&[("a.txt", "one two\nthree\n")], Config::default());
    let run = |arguments: &[&str]| meliora(&scene, &scene.root, arguments);
    let tells = |output: &Output, words: &str| {
        let said = said(output);
        assert!(said.contains(words), "{said}");
    };
    let begun = meliora(&scene, &scene.base, &["plugin", "new", "line-count"]);
    assert!(begun.status.success(), "{}", said(&begun));
    let again = meliora(&scene, &scene.base, &["plugin", "new", "line-count"]);
    tells(&again, "name another");
    let folder = scene.base.join("line-count");
    let tested = cargo(&folder, &["test"]);
    assert!(tested.contains("2 passed"), "{tested}");
    cargo(&folder, &["build"]);
    let manifest = std::fs::read_to_string(folder.join("plugin.toml")).expect("readable");
    scene.install(
        "line-count",
        &manifest,
        &target().join("debug/libline_count.so"),
    );
    let standing = || {
        let listed = run(&["plugin", "list", "--json"]);
        let listed: Value = serde_json::from_slice(&listed.stdout).expect("JSON");
        listed[0]["standing"].clone()
    };
    let call = || {
        run(&[
            "tool",
            "call",
            "line-count__count",
            "{\"path\": \"a.txt\"}",
            "--json",
        ])
    };
    assert_eq!(standing(), "unknown");
    let refused = |why: &str| {
        let told = said(&call());
        let how = "`meliora plugin approve line-count`";
        assert!(told.contains(why) && told.contains(how), "{told}");
        let journal = said(&run(&["audit", "show", "--decision", "deny", "--json"]));
        let last = journal
            .lines()
            .last()
            .expect("the attempt is in the journal");
        assert!(
            last.contains("line-count") && last.contains("unapproved") && last.contains(why),
            "{last}"
        );
    };
    refused("was not approved");
    let untested = run(&["plugin", "test", "line-count"]);
    tells(&untested, "was not approved");
    let unasked = run(&["plugin", "approve", "line-count"]);
    assert!(!unasked.status.success() && said(&unasked).contains("give --yes"));
    let approved = run(&["plugin", "approve", "line-count", "--yes"]);
    assert!(approved.status.success() && said(&approved).contains("reads the workspace"));
    tells(&approved, "    path (text)  ");
    assert_eq!(standing(), "approved");
    let loaded = run(&["plugin", "test", "line-count"]);
    assert!(loaded.status.success(), "{}", said(&loaded));
    let journal = said(&run(&["audit", "show", "--json"]));
    let decided = |line: &str| line.contains("approved-plugin") && line.contains("line-count");
    assert!(journal.lines().any(decided), "{journal}");
    let called = call();
    let document: Value = serde_json::from_slice(&called.stdout).expect("JSON");
    assert_eq!(
        document["data"]["answer"],
        json!([{ "lines": 2, "words": 3 }]),
        "{document}"
    );
    let listed = run(&["tool", "list"]);
    tells(&listed, "line-count__count");
    let shown = run(&["tool", "show", "line-count__count"]);
    tells(&shown, "path (text)");
    let whose = "(In the words of the plugin `line-count`, which are data:)";
    tells(&shown, whose);
    let library = scene
        .root
        .join(".agent/plugins/line-count/libline_count.so");
    let mut bytes = std::fs::read(&library).expect("readable");
    bytes.push(0);
    std::fs::write(&library, bytes).expect("written");
    assert_eq!(standing(), "changed");
    refused("is not what was approved: its files changed");
    let changed = run(&["plugin", "test", "line-count"]);
    tells(&changed, "is not what was approved");
    assert!(run(&["plugin", "revoke", "line-count"]).status.success());
    assert_eq!(standing(), "unknown");
    let told = run(&["audit", "show", "--json"]);
    tells(&told, "plugin line-count");
    let missing = run(&["plugin", "show", "nothing"]);
    assert!(said(&missing).contains("there is no plugin `nothing`"));
}

#[test]
fn a_new_component_has_the_same_code_and_says_how_it_is_built() {
    let scene = Scene::new(&[], Config::default());
    let begin = |name: &str, more: &[&str]| {
        let arguments = [&["plugin", "new", name], more].concat();
        let begun = meliora(&scene, &scene.base, &arguments);
        assert!(begun.status.success(), "{}", said(&begun));
        said(&begun)
    };
    begin("line-count", &["--path", "library"]);
    let told = begin("line-count", &["--path", "component", "--wasm"]);
    assert_eq!(
        told.contains("--features wasm"),
        !cfg!(feature = "wasm"),
        "{told}"
    );
    let read = |path: &str| std::fs::read_to_string(scene.base.join(path)).expect("readable");
    for same in ["src/lib.rs", "Cargo.toml", "meliora-sdk/src/component.rs"] {
        assert_eq!(
            read(&format!("library/{same}")),
            read(&format!("component/{same}"))
        );
    }
    let entry = "entry_point = \"line_count.wasm\"";
    assert!(read("component/plugin.toml").contains(entry));
    assert!(read("component/README.md").contains("--target wasm32-wasip2"));
    assert!(!read("library/README.md").contains("wasm32-wasip2"));
    let interface = std::fs::read(scene.base.join("component/meliora-sdk/wit/plugin.bin"));
    assert!(interface.expect("readable").starts_with(b"\0asm"));
}
