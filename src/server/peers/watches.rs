//! Which changed files a server wants to hear of (spec: LSP Integration, file watching).
//!
//! The editor watches for all servers together and tells us once; each server hears of the files that it asked for.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use globset::{GlobBuilder, GlobMatcher};
use serde_json::{Value, json};

use crate::server::messages;
use crate::server::session::Session;
use crate::text::json::{at, list, text};
use crate::text::location;

/// The method under which watches are registered, and of the notification that tells of changes.
pub(in crate::server) const METHOD: &str = "workspace/didChangeWatchedFiles";

/// Created, changed and deleted: what a watch without a kind is for.
const ALL_KINDS: u64 = 7;

/// A glob as servers write it, for paths or names.
#[derive(Debug)]
pub(in crate::server) struct Pattern {
    base: Option<PathBuf>,
    glob: Option<GlobMatcher>,
}

/// Files that a server wants to hear of.
#[derive(Debug)]
pub(in crate::server) struct Watch {
    pattern: Pattern,
    kinds: u64,
}

impl Pattern {
    /// Reads a pattern, or one relative to a folder. One that is no glob fits everything: nothing should be missed.
    pub(in crate::server) fn read(value: &Value) -> Self {
        let base = match at(value, "/baseUri") {
            Value::Object(folder) => folder.get("uri").and_then(Value::as_str),
            uri => uri.as_str(),
        };
        let glob = value.as_str().unwrap_or_else(|| text(value, "/pattern"));
        Self {
            base: base.and_then(location::to_path),
            glob: GlobBuilder::new(glob)
                .literal_separator(true)
                .build()
                .ok()
                .map(|glob| glob.compile_matcher()),
        }
    }

    /// Whether it fits a path, as it is or below one of the workspace's folders.
    pub(in crate::server) fn fits(&self, path: &Path, folders: &[PathBuf]) -> bool {
        let Some(glob) = &self.glob else {
            return self.base.as_ref().is_none_or(|base| path.starts_with(base));
        };
        let below = |folder: &PathBuf| {
            let below = path.strip_prefix(folder);
            below.is_ok_and(|below| glob.is_match(below))
        };
        match &self.base {
            Some(base) => below(base),
            None => glob.is_match(path) || folders.iter().any(below),
        }
    }
}

impl Watch {
    /// Reads the options with which watches are registered.
    pub(in crate::server) fn read_all(options: &Value) -> Vec<Self> {
        let all = list(options, "/watchers").iter();
        let watches = all.map(|watcher| Self {
            pattern: Pattern::read(at(watcher, "/globPattern")),
            kinds: at(watcher, "/kind").as_u64().unwrap_or(ALL_KINDS),
        });
        watches.collect()
    }

    fn wants(&self, path: &Path, kind: u64, folders: &[PathBuf]) -> bool {
        let bit = 1_u64 << kind.clamp(1, 3).saturating_sub(1);
        self.kinds & bit != 0 && self.pattern.fits(path, folders)
    }
}

impl Session {
    /// What a server hears of changed files; `None`: nothing. A server that registered no watches hears of all, in case
    /// its editor watches for it without being asked; one that is alone hears what its editor says.
    pub(in crate::server) fn changes_for(&self, server: usize, body: &Bytes) -> Option<Bytes> {
        let watches = self.registrations.watches(server);
        if self.servers.len() < 2 || watches.is_empty() {
            return Some(body.clone());
        }
        let folders = self.watched_folders(server);
        let params: Value = messages::params(body).unwrap_or_default();
        let all = list(&params, "/changes");
        let mut known = HashSet::new();
        let wanted: Vec<&Value> = all
            .iter()
            .filter(|change| {
                let uri = text(change, "/uri");
                let kind = at(change, "/type").as_u64().unwrap_or_default();
                let is_wanted = location::to_path(uri).is_none_or(|path| {
                    watches
                        .iter()
                        .any(|watch| watch.wants(&path, kind, &folders))
                });
                is_wanted && known.insert((uri, kind))
            })
            .collect();
        if wanted.len() == all.len() {
            return Some(body.clone());
        }
        let params = json!({ "changes": wanted });
        (!wanted.is_empty()).then(|| messages::notification(METHOD, &params))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_paths_as_servers_mean_them() {
        let folders = [PathBuf::from("/w")];
        for (pattern, path, expected) in [
            (json!("**/*.rs"), "/w/src/a.rs", true),
            (json!("**/*.rs"), "/elsewhere/a.rs", true),
            (json!("**/*.rs"), "/w/a.py", false),
            (json!("/w/**/Cargo.{toml,lock}"), "/w/x/Cargo.lock", true),
            (json!("Cargo.toml"), "/w/Cargo.toml", true),
            (json!("Cargo.toml"), "/w/x/Cargo.toml", false),
            (json!("*.rs"), "/w/src/a.rs", false),
            (json!("**/[!a].rs"), "/w/a.rs", false),
            (json!("**/[!a].rs"), "/w/b.rs", true),
            (
                json!({ "baseUri": "file:///v", "pattern": "*.rs" }),
                "/v/a.rs",
                true,
            ),
            (
                json!({ "baseUri": { "uri": "file:///v", "name": "v" }, "pattern": "*.rs" }),
                "/w/a.rs",
                false,
            ),
            (json!("**/{"), "/w/a", true),
        ] {
            let fits = Pattern::read(&pattern).fits(Path::new(path), &folders);
            assert_eq!(fits, expected, "{pattern} {path}");
        }
    }

    #[test]
    fn a_watch_is_for_the_kinds_that_it_names() {
        let watch = |kind: Value| {
            let watcher = json!({ "globPattern": "**", "kind": kind });
            Watch::read_all(&json!({ "watchers": [watcher] })).remove(0)
        };
        let path = Path::new("/w/a");
        for (kinds, wanted) in [
            (json!(1), [true, false, false]),
            (json!(6), [false, true, true]),
            (Value::Null, [true, true, true]),
        ] {
            let watch = watch(kinds);
            let seen = [1, 2, 3].map(|kind| watch.wants(path, kind, &[]));
            assert_eq!(seen, wanted);
        }
    }
}
