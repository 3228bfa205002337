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

/// A form of a URI that is equal for all ways to write it: editors and servers escape differently and write drive letters
/// in either case. It is for comparing, never for sending.
pub fn same_uri(uri: &str) -> String {
    let mut bytes = Vec::with_capacity(uri.len());
    let mut rest = uri.as_bytes();
    while let Some((first, others)) = rest.split_first() {
        rest = others;
        let digits = others.get(..2).filter(|_| *first == b'%');
        let escaped = digits.and_then(|digits| {
            let digits = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(digits, 16).ok()
        });
        match escaped {
            Some(byte) => {
                bytes.push(byte);
                rest = others.get(2..).unwrap_or_default();
            }
            None => bytes.push(*first),
        }
    }
    if let Some([drive, b':', ..]) = bytes.get_mut(b"file:///".len()..)
        && uri.starts_with("file:///")
    {
        drive.make_ascii_lowercase();
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The path relative to `root` when it lies below it, else as it is.
pub fn below(root: &Path, path: &Path) -> PathBuf {
    path.strip_prefix(root).unwrap_or(path).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_file_written_in_two_ways_is_one_file() {
        for (one, two, same) in [
            ("file:///c%3A/x%20y.rs", "file:///C:/x y.rs", true),
            ("file:///%C3%BC.rs", "file:///ü.rs", true),
            ("file:///a%2", "file:///a%2", true),
            ("file:///A.rs", "file:///a.rs", false),
            ("untitled:1", "untitled:2", false),
        ] {
            assert_eq!(same_uri(one) == same_uri(two), same, "{one} {two}");
        }
    }

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
