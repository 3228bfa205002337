//! Links the release program for a quick start on Linux: at a fixed address, and with what an editor's session runs side
//! by side (see `docs/decisions/008-start.md`).

use std::env;
use std::path::Path;
use std::process::Command;

/// The functions of a session, in the order of their first call (`tests/bench/order` writes it).
const ORDER: &str = "build/order.txt";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed={ORDER}");
    let is = |name: &str, wanted: &str| env::var(name).is_ok_and(|value| value == wanted);
    if is("CARGO_CFG_TARGET_OS", "linux")
        && is("CARGO_CFG_TARGET_ENV", "gnu")
        && is("PROFILE", "release")
    {
        println!("cargo:rustc-link-arg-bin=meliora=-no-pie");
        let order = format!("{}/{ORDER}", variable("CARGO_MANIFEST_DIR"));
        let order = [
            "-Wl,--no-warn-symbol-ordering".to_owned(),
            format!("-Wl,--symbol-ordering-file={order}"),
        ];
        if links_with(&order) {
            for argument in order {
                println!("cargo:rustc-link-arg-bin=meliora={argument}");
            }
        }
    }
}

/// Whether the linker in use takes these arguments. LLVM's does, which Rust brings along; others leave the functions
/// where they are.
fn links_with(arguments: &[String]) -> bool {
    let folder = variable("OUT_DIR");
    let source = Path::new(&folder).join("probe.rs");
    if std::fs::write(&source, "fn main() {}\n").is_err() {
        return false;
    }
    let mut compiler = Command::new(variable("RUSTC"));
    compiler
        .arg(&source)
        .args(["--target", &variable("TARGET"), "--out-dir", &folder])
        .args(
            arguments
                .iter()
                .map(|argument| format!("-Clink-arg={argument}")),
        );
    if let Ok(linker) = env::var("RUSTC_LINKER") {
        compiler.arg(format!("-Clinker={linker}"));
    }
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    compiler.args(flags.split('\x1f').filter(|flag| !flag.is_empty()));
    compiler
        .output()
        .is_ok_and(|output| output.status.success())
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_default()
}
