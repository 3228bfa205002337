//! The broken workspace of the demo, compiled in, so that an installed program can show itself (spec: fixtures).

use std::io;
use std::path::Path;

macro_rules! files {
    ($($path:literal),* $(,)?) => {
        [$((
            $path,
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/workspaces/broken-rust/", $path)),
        )),*]
    };
}

/// Paths and texts of the workspace.
pub(super) const FILES: [(&str, &str); 12] = files![
    ".gitignore",
    "Cargo.lock",
    "Cargo.toml",
    "README.md",
    "src/amount.rs",
    "src/balance.rs",
    "src/entry.rs",
    "src/lib.rs",
    "src/main.rs",
    "src/parse.rs",
    "src/report.rs",
    "tests/month.rs",
];

/// Writes the workspace into a folder.
pub(super) fn write(folder: &Path) -> io::Result<()> {
    for (path, text) in FILES {
        let path = folder.join(path);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(path, text)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compiled_in_workspace_is_the_whole_fixture() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/workspaces/broken-rust");
        let mut on_disk: Vec<String> = ignore::WalkBuilder::new(&folder)
            .hidden(false)
            .build()
            .flatten()
            .filter(|entry| entry.file_type().is_some_and(|kind| kind.is_file()))
            .filter_map(|entry| {
                Some(
                    entry
                        .path()
                        .strip_prefix(&folder)
                        .ok()?
                        .display()
                        .to_string(),
                )
            })
            .collect();
        on_disk.sort();
        assert_eq!(on_disk, FILES.map(|(path, _)| path.to_owned()));
    }
}
