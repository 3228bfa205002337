//! A real Neovim, headless, with the settings that we ship: it attaches our program to a broken crate, shows the error,
//! runs our code action, and its buffer holds the repaired text.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Time for all of it, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(400);

const BROKEN: &str = "//! A program with a misspelt name.\n\nfn main() {\n    let total = 40 + 2;\n    println!(\"{}\", totl);\n}\n";

#[test]
fn neovim_shows_an_error_and_our_action_repairs_the_buffer() {
    let (_folder, file) = broken_crate();
    let report = report_of("neovim.lua", &file);
    let title = report["title"].as_str().expect("a title");
    assert!(title.starts_with("Meliora: fix "), "{report}");
    let expected = BROKEN.replace("totl", "total");
    assert_eq!(report["after"], expected.trim_end(), "{report}");
    assert_eq!(report["undone"], true, "{report}");
    let on_disk = std::fs::read_to_string(&file).expect("the file is there");
    assert_eq!(on_disk, BROKEN, "the editor saves, not we");
}

#[test]
fn neovim_goes_on_when_the_language_server_is_killed() {
    let (_folder, file) = broken_crate();
    let report = report_of("neovim-restart.lua", &file);
    assert_eq!(report["restarted"], true, "{report}");
    assert_eq!(report["clients"], 1, "{report}");
    let messages = report["messages"].as_array().expect("a list");
    assert_eq!(messages.len(), 1, "one line tells of it: {messages:?}");
}

/// A folder with a crate in it that does not compile, and its file.
fn broken_crate() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let place = folder.path().canonicalize().expect("the folder exists");
    let manifest = "[package]\nname = \"broken\"\nversion = \"0.1.0\"\nedition = \"2021\"\n";
    let file = place.join("crate/src/main.rs");
    std::fs::create_dir_all(place.join("crate/src")).expect("created");
    std::fs::write(place.join("crate/Cargo.toml"), manifest).expect("written");
    std::fs::write(&file, BROKEN).expect("written");
    (folder, file)
}

/// What a script tells of a Neovim that has a file open.
fn report_of(script: &str, file: &Path) -> Value {
    let folder = file.ancestors().nth(3).expect("the folder of the crate");
    let output = neovim(script, folder, file);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// Runs a script of `fixtures/editors` in Neovim until it ends.
fn neovim(script: &str, folder: &Path, file: &Path) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = root.join("target/tools/python/bin/nvim");
    assert!(
        program.exists(),
        "there is no Neovim: run `tests/run tools` once"
    );
    let options = json!({"cargo": {"sysrootSrc": system_rust_sources()}});
    let mut child = Command::new(program)
        .args(["--headless", "--clean", "-l"])
        .arg(root.join("fixtures/editors").join(script))
        .arg(env!("CARGO_BIN_EXE_meliora"))
        .arg(root.join("editors/neovim"))
        .arg(file)
        .arg(options.to_string())
        .envs(
            ["CONFIG", "STATE", "CACHE", "DATA"]
                .map(|kind| (format!("XDG_{kind}_HOME"), folder.join("home").join(kind))),
        )
        .env("RUSTUP_DIST_SERVER", "http://127.0.0.1:9")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("Neovim starts");
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait().expect("the child is ours").is_none() {
        if Instant::now() > deadline {
            child.kill().expect("the child is ours");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    child.wait_with_output().expect("it has ended")
}

/// Sources of the standard library that the system's packages brought, so that nothing wants to download them.
fn system_rust_sources() -> Option<PathBuf> {
    std::fs::read_dir("/usr/src")
        .ok()?
        .flatten()
        .map(|entry| entry.path().join("library"))
        .find(|library| library.join("std").is_dir())
}
