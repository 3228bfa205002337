//! What Python needs to run the shadow's sources, and nothing older or from elsewhere (spec: Safety).
//!
//! `pip install -e .` writes the absolute path of the sources into the environment. The shadow links the environment,
//! so its Python would import the original instead of the proposal; the same folders of the shadow have to come
//! first.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::config::file::read_at_most;

/// Bytes of one file of an environment that are looked at.
const FILE_BYTES_MAX: u64 = 1_000_000;

/// Source folders in `tree` for everything in `workspace` that is installed editable in the environments.
pub(super) fn editable_sources(
    environments: impl Iterator<Item = PathBuf>,
    workspace: &Path,
    tree: &Path,
) -> BTreeSet<PathBuf> {
    let mut sources = BTreeSet::new();
    for file in environments.flat_map(|environment| installed_files(&environment)) {
        let Ok(Some(bytes)) = read_at_most(&file, FILE_BYTES_MAX) else {
            continue;
        };
        let Ok(text) = String::from_utf8(bytes) else {
            continue;
        };
        let is_path_list = file.extension().is_some_and(|extension| extension == "pth");
        let named = if is_path_list {
            text.lines().map(PathBuf::from).collect()
        } else {
            mapped_folders(&text)
        };
        for path in named {
            if let Ok(inside) = path.strip_prefix(workspace) {
                sources.insert(tree.join(inside));
            }
        }
    }
    sources
}

/// Path lists and import finders of an environment.
fn installed_files(environment: &Path) -> Vec<PathBuf> {
    let folders = |folder: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect()
    };
    let mut libraries: Vec<PathBuf> = folders(&environment.join("lib"))
        .into_iter()
        .map(|library| library.join("site-packages"))
        .collect();
    libraries.push(environment.join("Lib/site-packages"));
    libraries
        .iter()
        .flat_map(|library| folders(library))
        .filter(|file| {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            name.ends_with(".pth") || (name.starts_with("__editable__") && name.ends_with(".py"))
        })
        .collect()
}

/// Folders that hold the packages named in an import finder: the parents of all quoted absolute paths.
fn mapped_folders(text: &str) -> Vec<PathBuf> {
    text.split(['\'', '"'])
        .map(Path::new)
        .filter(|path| path.is_absolute())
        .filter_map(|path| path.parent().map(Path::to_owned))
        .collect()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn what_is_installed_editable_is_found_beside_files_without_an_end() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let packages = folder.path().join("lib/python3/site-packages");
        fs::create_dir_all(&packages).expect("made");
        fs::write(packages.join("own.pth"), "/work/src\n/elsewhere\n").expect("written");
        std::os::unix::fs::symlink("/dev/zero", packages.join("endless.pth")).expect("linked");
        let environments = [folder.path().to_owned()].into_iter();
        let sources = editable_sources(environments, Path::new("/work"), Path::new("/tree"));
        assert_eq!(sources, BTreeSet::from([PathBuf::from("/tree/src")]));
    }
}
