//! Files as the protocol names them, and as we do (spec: LSP Client, document URIs).

use std::path::{Path, PathBuf};

use lsp_types::Url;

/// The `file:` URI of an absolute path; `None` for a path that has none.
pub fn to_uri(path: &Path) -> Option<String> {
    Url::from_file_path(path).ok().map(String::from)
}

/// The path of a `file:` URI; `None` for other schemes.
pub fn to_path(uri: &str) -> Option<PathBuf> {
    let url = Url::parse(uri).ok()?;
    (url.scheme() == "file").then(|| url.to_file_path().ok())?
}

/// The path relative to `root` when it lies below it, else as it is.
pub fn below(root: &Path, path: &Path) -> PathBuf {
    path.strip_prefix(root).unwrap_or(path).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_and_paths_name_the_same_file() {
        for (path, uri) in [
            ("/a b/ü.rs", "file:///a%20b/%C3%BC.rs"),
            ("/x/#y?z", "file:///x/%23y%3Fz"),
        ] {
            assert_eq!(to_uri(Path::new(path)).as_deref(), Some(uri));
            assert_eq!(to_path(uri).as_deref(), Some(Path::new(path)));
        }
        assert_eq!(to_path("file:///a%3Ab"), Some(PathBuf::from("/a:b")));
        assert_eq!(to_path("untitled:Untitled-1"), None);
        assert_eq!(to_path("no uri"), None);
    }
}
