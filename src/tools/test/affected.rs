//! The packages of Cargo whose tests a change can affect (spec: Test Tool).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;

#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    dependencies: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    name: String,
    path: Option<PathBuf>,
}

/// Names of the packages whose tests a change of these files, relative to the tree, can affect: those that hold them and
/// the members of the workspace that depend on those. `metadata` is what `cargo metadata` said; empty when that does not
/// tell.
pub(super) fn packages(metadata: &[u8], tree: &Path, changed: &[PathBuf]) -> Vec<String> {
    let metadata = serde_json::from_slice::<Metadata>(metadata);
    metadata
        .map(|metadata| closure(&metadata.packages, tree, changed))
        .unwrap_or_default()
}

fn closure(packages: &[Package], tree: &Path, changed: &[PathBuf]) -> Vec<String> {
    let holder = |file: &Path| {
        packages
            .iter()
            .filter(|package| {
                package
                    .manifest_path
                    .parent()
                    .is_some_and(|folder| file.starts_with(folder))
            })
            .max_by_key(|package| package.manifest_path.as_os_str().len())
    };
    let mut names: BTreeSet<&str> = BTreeSet::new();
    for file in changed {
        match holder(&tree.join(file)) {
            Some(package) => names.insert(&package.name),
            None => return Vec::new(),
        };
    }
    loop {
        let dependents: Vec<&str> = packages
            .iter()
            .filter(|package| !names.contains(package.name.as_str()))
            .filter(|package| {
                package.dependencies.iter().any(|dependency| {
                    dependency.path.is_some() && names.contains(dependency.name.as_str())
                })
            })
            .map(|package| package.name.as_str())
            .collect();
        if dependents.is_empty() {
            return names.into_iter().map(str::to_owned).collect();
        }
        names.extend(dependents);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_affects_its_package_and_those_that_depend_on_it() {
        let package = |name: &str, uses: &[&str]| Package {
            name: name.to_owned(),
            manifest_path: format!("/w/{name}/Cargo.toml").into(),
            dependencies: uses
                .iter()
                .map(|used| Dependency {
                    name: (*used).to_owned(),
                    path: Some("/w".into()),
                })
                .collect(),
        };
        let packages = [
            package("core", &[]),
            package("app", &["core"]),
            package("web", &["app"]),
            package("aside", &[]),
        ];
        let affected = |file: &str| closure(&packages, Path::new("/w"), &[PathBuf::from(file)]);
        assert_eq!(affected("core/src/lib.rs"), ["app", "core", "web"]);
        assert_eq!(affected("aside/src/lib.rs"), ["aside"]);
        assert!(affected("Cargo.toml").is_empty());
    }
}
