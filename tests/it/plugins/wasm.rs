//! Components of WebAssembly as plugins: an example in C, built and called, and a zoo of hostile ones.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use meliora::config::Config;
use meliora::safety::approvals::Answer;
use serde_json::{Value, json};
use wasi_preview1_component_adapter_provider::WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER as ADAPTER;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{Resolve, WorldId};

use super::Scene;
use super::examples::{meliora, said};
use super::zoo::{assert_untouched, manifest, tempting};

/// The tools of the zoo in C.
const TOOLS: [&str; 16] = [
    "attempts",
    "writes",
    "hang",
    "sleep",
    "trap",
    "leave",
    "leak",
    "huge",
    "lie_long",
    "lie_kind",
    "not_utf8",
    "not_json",
    "asks_request",
    "asks_shell",
    "asks_ever",
    "unknown_one",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The interface that a component is made for.
fn world() -> (Resolve, WorldId) {
    let mut resolve = Resolve::default();
    let text = include_str!("../../../src/sdk/wit/plugin.wit");
    let package = resolve.push_str("plugin.wit", text).expect("it is right");
    let world = resolve.select_world(package, Some("plugin"));
    (resolve, world.expect("it is there"))
}

/// Builds a component from C: what `zig cc`, `wasm-tools component embed` and `wasm-tools component new` do.
fn build(source: &str, folder: &Path, name: &str, flags: &[String]) -> PathBuf {
    let python = root().join("target/tools/python/bin/python");
    assert!(
        python.is_file(),
        "a compiler for WebAssembly is not installed: run `tests/run tools`, which puts it into target/tools"
    );
    let module = folder.join("module.wasm");
    let cache = root().join("target/tools/zig");
    let built = Command::new(python)
        .args(["-m", "ziglang", "cc", "--target=wasm32-wasi"])
        .args(["-mexec-model=reactor", "-Os", "-o"])
        .arg(&module)
        .arg("-I")
        .arg(root().join("src/sdk/wit"))
        .arg(root().join(source))
        .args(flags)
        .env("ZIG_GLOBAL_CACHE_DIR", &cache)
        .env("ZIG_LOCAL_CACHE_DIR", &cache)
        .output()
        .expect("the compiler starts");
    let errors = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "{errors}");
    let mut module = std::fs::read(&module).expect("readable");
    let (resolve, world) = world();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).expect("embedded");
    let encoder = ComponentEncoder::default().module(&module);
    let encoder = encoder.expect("a module").validate(true);
    let encoder = encoder.adapter("wasi_snapshot_preview1", ADAPTER);
    let component = encoder.and_then(|mut encoder| encoder.encode());
    let path = folder.join(name);
    std::fs::write(&path, component.expect("a component")).expect("written");
    path
}

/// A component in text, whose `call` and what is beside it are given.
fn written(code: &str, beside: &str) -> Vec<u8> {
    let text = include_str!("../../../crates/wasm/tests/plugin.wat").replace("BESIDE", beside);
    let (before, after) = text.rsplit_once("CODE").expect("a place for it");
    wat::parse_str(format!("{before}{code}{after}")).expect("a component")
}

/// A project with a plugin `zoo`, approved, of this component.
fn caged(component: &Path, permissions: &str, config: Config) -> Scene {
    let scene = tempting(config);
    let manifest = manifest("zoo", permissions, &TOOLS).replace("libzoo.so", "zoo.wasm");
    scene.install("zoo", &manifest, component);
    scene.approve("zoo");
    scene
}

/// A project with the zoo in C, which knows where the secrets of the project are.
fn zoo(permissions: &str, config: Config) -> Scene {
    let scene = tempting(config);
    let base = &scene.base;
    let define = |name: &str, path: PathBuf| format!("-D{name}=\"{}\"", path.display());
    let flags = [
        define("OUTSIDE", base.join("outside.txt")),
        define("KEPT", base.join("kept.txt")),
        define("SECRET", base.join("home/.ssh/id_ed25519")),
        define("STATE", base.join("state/meliora/key")),
    ];
    let component = build("tests/it/plugins/zoo_wasm.c", base, "zoo.wasm", &flags);
    let manifest = manifest("zoo", permissions, &TOOLS).replace("libzoo.so", "zoo.wasm");
    scene.install("zoo", &manifest, &component);
    scene.approve("zoo");
    scene
}

#[test]
fn the_interface_in_the_sdk_is_that_of_its_wit() {
    let (resolve, world) = world();
    let encoded = wit_component::metadata::encode(&resolve, world, StringEncoding::UTF8, None);
    let encoded = encoded.expect("encoded");
    let made = Path::new(env!("CARGO_TARGET_TMPDIR")).join("plugin.bin");
    std::fs::write(&made, &encoded).expect("written");
    let kept = include_bytes!("../../../src/sdk/wit/plugin.bin");
    assert!(
        encoded == kept,
        "copy {} to src/sdk/wit/plugin.bin",
        made.display()
    );
}

#[test]
fn a_component_is_approved_loaded_and_called_as_any_plugin() {
    let long = "x".repeat(101);
    let files = [("a.txt", format!("{long}\nshort\n{long}"))];
    let files = files.each_ref().map(|(path, text)| (*path, text.as_str()));
    let scene = Scene::new(&files, Config::default());
    let run = |arguments: &[&str]| meliora(&scene, &scene.root, arguments);
    let source = "src/sdk/plugins/long-lines";
    let component = build(
        &format!("{source}/plugin.c"),
        &scene.base,
        "long-lines.wasm",
        &[],
    );
    let text = std::fs::read_to_string(root().join(source).join("plugin.toml"));
    scene.install("long-lines", &text.expect("readable"), &component);
    let standing = || {
        let listed = run(&["plugin", "list", "--json"]);
        let listed: Value = serde_json::from_slice(&listed.stdout).expect("JSON");
        listed[0]["standing"].clone()
    };
    let call = |path: &str| {
        let arguments = json!({ "path": path }).to_string();
        run(&["tool", "call", "long-lines__count", &arguments, "--json"])
    };
    assert_eq!(standing(), "unknown");
    let refused = said(&call("a.txt"));
    assert!(
        refused.contains("`meliora plugin approve long-lines`"),
        "{refused}"
    );
    let shown = run(&["plugin", "show", "long-lines"]);
    assert!(
        said(&shown).contains("a component of WebAssembly"),
        "{}",
        said(&shown)
    );
    let approved = run(&["plugin", "approve", "long-lines", "--yes"]);
    assert!(approved.status.success(), "{}", said(&approved));
    let loaded = run(&["plugin", "test", "long-lines"]);
    assert!(loaded.status.success(), "{}", said(&loaded));
    let called = call("a.txt");
    let document: Value = serde_json::from_slice(&called.stdout).expect("JSON");
    assert_eq!(
        document["data"]["answer"],
        json!([{ "lines": 3, "longer": 2 }]),
        "{document}"
    );
    let outside = call("../home/.ssh/id_ed25519");
    assert!(
        said(&outside).contains("name another"),
        "{}",
        said(&outside)
    );
    let file = scene.root.join(".agent/plugins/long-lines/long-lines.wasm");
    let mut bytes = std::fs::read(&file).expect("readable");
    // A section that nobody reads: the component is as good as it was.
    bytes.extend(b"\0\x02\x01a");
    std::fs::write(&file, bytes).expect("written");
    assert_eq!(standing(), "changed");
    let refused = said(&call("a.txt"));
    assert!(
        refused.contains("`meliora plugin approve long-lines`"),
        "{refused}"
    );
    let changed = run(&["plugin", "test", "long-lines"]);
    assert!(
        said(&changed).contains("is not what was approved"),
        "{}",
        said(&changed)
    );
}

#[tokio::test]
async fn a_component_reaches_nothing_that_its_manifest_does_not_name() {
    for permissions in [
        "",
        "filesystem = [\"read\"]",
        "filesystem = [\"read\", \"write\"]\nnetwork = true\nshell = true",
    ] {
        let mut scene = zoo(permissions, Config::default());
        let called = scene.call("zoo__attempts", json!({})).await;
        assert!(called.result.success, "{}", called.text);
        assert!(called.text.contains("reached: |"), "{}", called.text);
        assert_untouched(&scene);
        let proposed = scene.staging.proposed();
        assert!(proposed.is_empty(), "{}", proposed.unified_diff());
    }
}

#[tokio::test]
async fn what_a_component_writes_is_proposed_where_its_manifest_lets_it() {
    for (permissions, is_changed) in [
        ("filesystem = [\"read\", \"write\"]", true),
        ("filesystem = [\"read\"]", false),
        ("", false),
    ] {
        let mut scene = zoo(permissions, Config::default());
        let called = scene.call("zoo__writes", json!({})).await;
        assert!(called.result.success, "{}", called.text);
        assert!(called.text.contains("its own folder"), "{}", called.text);
        let diff = scene.staging.proposed().unified_diff();
        assert_eq!(
            diff.contains("+changed"),
            is_changed,
            "{permissions}: {diff}"
        );
        assert_untouched(&scene);
    }
}

#[tokio::test]
async fn whatever_a_component_does_wrong_harms_only_its_process_and_the_error_names_it() {
    let mut scene = zoo("", Config::default());
    for (tool, expected) in [
        ("trap", "`unreachable` instruction executed"),
        ("trap", "last words"),
        ("leave", "it left with code"),
        ("huge", "its answer has 52"),
        ("lie_long", "out of bounds"),
        ("lie_kind", "discriminant"),
        ("not_utf8", "utf-8"),
        ("not_json", "its answer is no JSON"),
        ("asks_ever", "more than 200 questions"),
        ("unknown_one", "what?"),
        ("hang", "longer than 5 s"),
        ("sleep", "longer than 5 s"),
    ] {
        if tool == "hang" {
            scene.hurry("zoo");
        }
        let begun = Instant::now();
        let called = scene.call(&format!("zoo__{tool}"), json!({})).await;
        let text = &called.text;
        assert!(!called.result.success, "{tool}: {text}");
        let names_it = text.contains("plugin `zoo`");
        assert!(names_it && text.contains(expected), "{tool}: {text}");
        assert!(text.len() < 2_000, "{tool}: {}", text.len());
        assert!(begun.elapsed() < Duration::from_secs(100), "{tool}");
    }
    assert_untouched(&scene);
}

#[tokio::test]
async fn a_component_that_takes_all_memory_gets_no_more_than_its_limit() {
    let mut scene = zoo("", Config::default());
    let called = scene.call("zoo__leak", json!({})).await;
    assert!(called.result.success, "{}", called.text);
    let taken = called.text.split("taken ").nth(1).expect("it says");
    let taken = taken.split_whitespace().next();
    let taken: u64 = taken
        .and_then(|taken| taken.parse().ok())
        .expect("a number");
    assert!((8..64).contains(&taken), "{taken} MiB of 64");
}

#[tokio::test]
async fn what_a_component_asks_for_is_judged_when_it_asks() {
    let mut scene = zoo("", Config::default());
    for (tool, permission) in [("asks_request", "network"), ("asks_shell", "shell")] {
        let refused = scene.call(&format!("zoo__{tool}"), json!({})).await;
        let expected = format!("does not have `{permission} = true`");
        assert!(refused.text.contains(&expected), "{}", refused.text);
    }
    let mut scene = zoo("network = true\nshell = true", Config::default());
    let nobody = scene.call("zoo__asks_request", json!({})).await;
    assert!(
        nobody.text.contains("nobody could be asked"),
        "{}",
        nobody.text
    );
    scene.reply = Some(Answer::No);
    let no = scene.call("zoo__asks_request", json!({})).await;
    assert!(no.text.contains("the user said no"), "{}", no.text);
    scene.reply = Some(Answer::Yes);
    let shell = scene.call("zoo__asks_shell", json!({})).await;
    assert!(shell.text.contains("'output':'said"), "{}", shell.text);
    assert_eq!(shell.result.data["changed"], json!("made.txt"));
    assert!(!scene.root.join("made.txt").exists());
}

#[tokio::test]
async fn what_is_no_component_is_told_and_never_called() {
    let echo = "(call $answer (i32.const 0) (local.get $arguments) (local.get $arguments_length))";
    let http = "(component (import \"wasi:http/types@0.2.0\" (instance (export \"f\" (func)))))";
    let text = |text: &str| wat::parse_str(text).expect("a component");
    let program = std::fs::read(env!("CARGO_BIN_EXE_meliora")).expect("readable");
    for (bytes, expected) in [
        (text("(module)"), "no component of WebAssembly"),
        (program[..4096].to_vec(), "no component of WebAssembly"),
        (
            b"\0asm\x0d\0\x01\0\xff\xff\xff\xff\xff".to_vec(),
            "its process says",
        ),
        (text("(component)"), "does not export `call`"),
        (text(http), "wasi:http/types@0.2.0"),
        (
            written(echo, "(func $first unreachable) (start $first)"),
            "`unreachable` instruction executed",
        ),
        (
            written(echo, "(func $first (loop $ever (br $ever))) (start $first)"),
            "too long to load",
        ),
        (written(echo, "(memory 2000)"), "its process says"),
        (
            written(
                echo,
                "(func $first (call $ask (i32.const 0) (i32.const 0) (i32.const 512))) (start $first)",
            ),
            "asked before it was called",
        ),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("zoo.wasm");
        std::fs::write(&path, bytes).expect("written");
        let mut scene = caged(&path, "", Config::default());
        let called = scene.call("zoo__attempts", json!({})).await;
        let is_told = called.text.contains("plugin `zoo`") && called.text.contains(expected);
        assert!(
            !called.result.success && is_told,
            "{expected}: {}",
            called.text
        );
        assert_untouched(&scene);
    }
}

#[tokio::test]
async fn a_component_gets_no_socket() {
    let errors = "unknown access-denied not-supported invalid-argument out-of-memory timeout concurrency-conflict \
                  not-in-progress would-block invalid-state new-socket-limit address-not-bindable address-in-use \
                  remote-unreachable connection-refused connection-reset connection-aborted datagram-too-large \
                  name-unresolvable temporary-resolver-failure permanent-resolver-failure";
    let errors: Vec<String> = errors
        .split_whitespace()
        .map(|name| format!("\"{name}\""))
        .collect();
    let imports = format!(
        "(import \"wasi:sockets/network@0.2.0\" (instance $network
            (type $errors (enum {}))
            (export \"error-code\" (type (eq $errors)))
            (type $families (enum \"ipv4\" \"ipv6\"))
            (export \"ip-address-family\" (type (eq $families)))))
         (import \"wasi:sockets/tcp@0.2.0\" (instance $tcp (export \"tcp-socket\" (type (sub resource)))))
         (alias export $network \"error-code\" (type $error))
         (alias export $network \"ip-address-family\" (type $family))
         (alias export $tcp \"tcp-socket\" (type $socket))
         (import \"wasi:sockets/tcp-create-socket@0.2.0\" (instance $create
            (export \"error-code\" (type $e (eq $error)))
            (export \"ip-address-family\" (type $f (eq $family)))
            (export \"tcp-socket\" (type $s (eq $socket)))
            (export \"create-tcp-socket\" (func (param \"address-family\" $f) (result (result (own $s) (error $e)))))))
         (core module $base",
        errors.join(" ")
    );
    let lowered = "(core func $socket (canon lower (func $create \"create-tcp-socket\") (memory $base \"memory\")))
         (core module $code
            (import \"host\" \"socket\" (func $socket (param i32 i32)))";
    // Says the kind of what it got, 0 for a socket and 1 for an error, as a number.
    let code = "(call $socket (i32.const 0) (i32.const 700))
         (i32.store8 (i32.const 600) (i32.add (i32.const 48) (i32.load8_u (i32.const 700))))
         (call $answer (i32.const 1) (i32.const 600) (i32.const 1))";
    let text = include_str!("../../../crates/wasm/tests/plugin.wat")
        .replacen("(core module $base", &imports, 1)
        .replacen("(core module $code", lowered, 1)
        .replace(
            "(export \"ask\" (func $ask))))))\n  (func",
            "(export \"ask\" (func $ask)) (export \"socket\" (func $socket))))))\n  (func",
        )
        .replace("BESIDE", "");
    let (before, after) = text.rsplit_once("CODE").expect("a place for it");
    let bytes = wat::parse_str(format!("{before}{code}{after}")).expect("a component");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("zoo.wasm");
    std::fs::write(&path, bytes).expect("written");
    let mut scene = caged(&path, "network = true", Config::default());
    let called = scene.call("zoo__attempts", json!({})).await;
    let mut lines = called.text.lines().map(str::trim);
    assert!(lines.any(|line| line == "1"), "{}", called.text);
}
