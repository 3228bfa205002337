//! In which folder a language server is at home (spec: LSP Integration, multi-root workspaces).

use std::path::{Path, PathBuf};

use super::registry::{Server, files_below};
use crate::config::RootStrategy;

/// The root that a server has for a file, in a workspace of these folders: the innermost one that holds the file, the
/// first one for a file outside of all; or, where the server wants that, the nearest folder with one of its patterns.
pub fn root_for<'path>(
    server: &Server,
    file: Option<&'path Path>,
    folders: &'path [PathBuf],
) -> Option<&'path Path> {
    let folder = file.and_then(|file| innermost(file, folders));
    let nearest = match server.root_strategy {
        RootStrategy::Nearest => file.and_then(|file| {
            let mut above = file.ancestors().skip(1);
            above.find(|at| {
                folder.is_none_or(|folder| at.starts_with(folder)) && has_pattern(server, at)
            })
        }),
        RootStrategy::Workspace | RootStrategy::Folder | RootStrategy::Single => None,
    };
    let first = folders.first().map(PathBuf::as_path);
    nearest.or(folder).or(first)
}

/// The innermost of the folders that hold a file.
pub fn innermost<'path>(file: &Path, folders: &'path [PathBuf]) -> Option<&'path Path> {
    let holding = folders.iter().filter(|folder| file.starts_with(folder));
    holding
        .max_by_key(|folder| folder.components().count())
        .map(PathBuf::as_path)
}

/// The root with which a server that is at home below a folder begins, before any file is known.
pub fn first_root(server: &Server, folder: &Path) -> PathBuf {
    if server.root_strategy != RootStrategy::Nearest || has_pattern(server, folder) {
        return folder.to_owned();
    }
    let below = files_below(folder).filter(|entry| {
        let name = entry.file_name();
        let mut patterns = server.root_patterns.iter();
        patterns.any(|pattern| name == pattern.as_str())
    });
    let highest = below.min_by_key(|entry| (entry.depth(), entry.path().to_owned()));
    let root = highest.and_then(|entry| entry.path().parent().map(Path::to_owned));
    root.unwrap_or_else(|| folder.to_owned())
}

fn has_pattern(server: &Server, folder: &Path) -> bool {
    let mut patterns = server.root_patterns.iter();
    patterns.any(|pattern| folder.join(pattern).exists())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::downstream::registry::built_in;

    #[test]
    fn a_file_belongs_to_its_innermost_folder_or_to_its_nearest_root() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let base = folder.path();
        for path in [
            "a/native/Cargo.toml",
            "a/inner/x",
            "b/x",
            "c/own/Cargo.toml",
        ] {
            let path = base.join(path);
            std::fs::create_dir_all(path.parent().expect("it has one")).expect("created");
            std::fs::write(path, "").expect("written");
        }
        let folders = ["b", "a", "a/inner"].map(|name| base.join(name));
        let mut server = built_in().remove(0);
        for (strategy, file, expected) in [
            (RootStrategy::Workspace, "a/native/src/lib.rs", "a"),
            (RootStrategy::Folder, "a/inner/lib.rs", "a/inner"),
            (RootStrategy::Folder, "a/innermost/lib.rs", "a"),
            (RootStrategy::Folder, "c/own/lib.rs", "b"),
            (RootStrategy::Nearest, "a/native/src/lib.rs", "a/native"),
            (RootStrategy::Nearest, "a/inner/lib.rs", "a/inner"),
            (RootStrategy::Nearest, "c/own/lib.rs", "c/own"),
            (RootStrategy::Nearest, "c/lib.rs", "b"),
        ] {
            server.root_strategy = strategy;
            let file = base.join(file);
            let root = root_for(&server, Some(&file), &folders);
            assert_eq!(
                root,
                Some(base.join(expected).as_path()),
                "{strategy:?} {file:?}"
            );
        }
        assert_eq!(
            root_for(&server, None, &folders),
            Some(base.join("b").as_path())
        );
        assert_eq!(first_root(&server, &base.join("a")), base.join("a/native"));
        assert_eq!(first_root(&server, &base.join("b")), base.join("b"));
    }
}
