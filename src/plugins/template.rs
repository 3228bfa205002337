//! A new plugin: files that build, a test that passes, a manifest with what can stand in it (spec: Plugin SDK,
//! documentation templates).

use std::io;
use std::path::{Path, PathBuf};

use super::MANIFEST;
use super::manifest::Code;

/// The files, with `{{…}}` where something of the plugin stands.
const FILES: [(&str, &str); 5] = [
    ("Cargo.toml", include_str!("template/Cargo.toml.txt")),
    ("src/lib.rs", include_str!("template/lib.rs.txt")),
    (MANIFEST, include_str!("template/plugin.toml.txt")),
    ("README.md", include_str!("template/README.md.txt")),
    (".gitignore", "/target\n*.so\n*.wasm\n"),
];

/// The SDK, which is small: a plugin can have it beside itself and needs nobody to fetch it from.
const SDK: [(&str, &[u8]); 10] = [
    ("Cargo.toml", include_bytes!("../sdk/Cargo.toml")),
    ("README.md", include_bytes!("../sdk/README.md")),
    ("src/lib.rs", include_bytes!("../sdk/src/lib.rs")),
    ("src/abi.rs", include_bytes!("../sdk/src/abi.rs")),
    (
        "src/component.rs",
        include_bytes!("../sdk/src/component.rs"),
    ),
    ("src/testing.rs", include_bytes!("../sdk/src/testing.rs")),
    ("src/wire.rs", include_bytes!("../sdk/src/wire.rs")),
    ("wit/plugin.bin", include_bytes!("../sdk/wit/plugin.bin")),
    ("wit/plugin.h", include_bytes!("../sdk/wit/plugin.h")),
    ("wit/plugin.wit", include_bytes!("../sdk/wit/plugin.wit")),
];

/// The folder of the copy.
const SDK_FOLDER: &str = "meliora-sdk";

/// Where the SDK comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sdk {
    /// A copy beside the plugin.
    Copy,
    /// A checkout of it.
    Path(PathBuf),
    /// A repository.
    Git(String),
}

impl Sdk {
    fn dependency(&self) -> String {
        match self {
            Self::Copy => format!("meliora-sdk = {{ path = \"{SDK_FOLDER}\" }}"),
            Self::Path(path) => {
                let path = toml::Value::String(path.display().to_string());
                format!("meliora-sdk = {{ path = {path} }}")
            }
            Self::Git(url) => {
                let url = toml::Value::String(url.clone());
                format!("meliora-sdk = {{ git = {url} }}")
            }
        }
    }
}

/// What of the files is another for each kind of code: where the build leaves the plugin, and with which words.
struct Building {
    file: String,
    command: &'static str,
    folder: &'static str,
}

impl Building {
    fn of(code: Code, name: &str) -> Self {
        let library = name.replace('-', "_");
        match code {
            Code::Library => Self {
                file: format!("lib{library}.so"),
                command: "cargo build --release",
                folder: "target/release",
            },
            Code::Component => Self {
                file: format!("{library}.wasm"),
                command: "cargo build --release --target wasm32-wasip2 # once: rustup target add wasm32-wasip2",
                folder: "target/wasm32-wasip2/release",
            },
        }
    }
}

/// Writes a new plugin into a folder that is not there yet or empty, and names the files.
pub fn write(folder: &Path, name: &str, code: Code, sdk: &Sdk) -> io::Result<Vec<PathBuf>> {
    let is_taken = std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some());
    if is_taken {
        let taken = format!("{} is there and not empty; name another", folder.display());
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, taken));
    }
    std::fs::create_dir_all(folder.join("src"))?;
    let building = Building::of(code, name);
    let mut written = Vec::new();
    for (path, text) in FILES {
        let text = text
            .replace("{{name}}", name)
            .replace("{{file}}", &building.file)
            .replace("{{kind}}", code.said())
            .replace("{{build}}", building.command)
            .replace("{{made}}", building.folder)
            .replace("{{sdk}}", &sdk.dependency());
        let path = folder.join(path);
        std::fs::write(&path, text)?;
        written.push(path);
    }
    if *sdk == Sdk::Copy {
        let copy = folder.join(SDK_FOLDER);
        std::fs::create_dir_all(copy.join("src"))?;
        std::fs::create_dir_all(copy.join("wit"))?;
        for (path, text) in SDK {
            std::fs::write(copy.join(path), text)?;
        }
        written.push(copy);
    }
    Ok(written)
}
