//! What `.gitignore`, its relatives and the user's own list leave out (spec: File System Tool; Safety & Security).
//!
//! These files lie in folders that strangers wrote. `ignore`, which knows what their lines mean, would read whatever
//! stands under such a name to its end: a link to a device that has none, a pipe that nobody writes to. So they are
//! read here, with limits, and a `.gitignore` that is a link says nothing, as git has it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use crate::config::file;

/// Rules of a folder and those above it that count; a compiled one takes half a kilobyte and more.
pub(super) const RULES_MAX: usize = 20_000;

/// Whose rules count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// Those that git follows.
    Gits,
    /// Those, and before them the `.ignore` that tools of search follow.
    Searches,
}

/// The rules of one folder and of those above it.
#[derive(Debug)]
pub struct Rules {
    whose: Whose,
    /// In falling order of precedence: of `.ignore`, `.gitignore`, `.git/info/exclude`, and of the user.
    own: [Gitignore; 4],
    above: Option<Arc<Rules>>,
    /// How many more rules a folder below may have.
    left: usize,
}

impl Rules {
    /// What counts around a folder: the user's rules and those of the folders above it, up to the repository's root.
    /// Where there is no repository, what lies above says nothing to git.
    pub fn around(folder: &Path, whose: Whose) -> Arc<Self> {
        let above: Vec<&Path> = folder.ancestors().skip(1).collect();
        let is_root = |folder: &&Path| folder.join(".git").symlink_metadata().is_ok();
        let root = folder.ancestors().find(is_root);
        let (user, _) = GitignoreBuilder::new(root.unwrap_or(folder)).build_global();
        let empty = Gitignore::empty;
        let mut rules = Arc::new(Self {
            whose,
            own: [empty(), empty(), empty(), user],
            above: None,
            left: RULES_MAX,
        });
        for above in above.into_iter().rev() {
            let is_gits = root.is_some_and(|root| above.starts_with(root));
            rules = rules.with(above, is_gits);
        }
        rules
    }

    /// These and those of a folder in the folder that they are of.
    pub fn within(self: &Arc<Self>, folder: &Path) -> Arc<Self> {
        self.with(folder, true)
    }

    /// Whether a file or folder is left out; `None` where nothing is said of it. Of the folders above it nothing is
    /// asked.
    pub fn leave_out(&self, path: &Path, is_folder: bool) -> Option<bool> {
        for rank in 0..self.own.len() {
            let mut rules = Some(self);
            while let Some(here) = rules {
                match here.own.get(rank)?.matched(path, is_folder) {
                    Match::Ignore(_) => return Some(true),
                    Match::Whitelist(_) => return Some(false),
                    Match::None => rules = here.above.as_deref(),
                }
            }
        }
        None
    }

    /// How many rules these have more than those above.
    pub(super) fn count(&self) -> usize {
        self.own.iter().map(Gitignore::len).sum()
    }

    fn with(self: &Arc<Self>, folder: &Path, is_gits: bool) -> Arc<Self> {
        let mut left = self.left;
        let mut compiled = |text: Option<String>| {
            let text = text.unwrap_or_default();
            let rules = compile(folder, &text, left);
            left = left.saturating_sub(rules.len());
            rules
        };
        let bytes_max = file::BYTES_MAX;
        let is_searches = self.whose == Whose::Searches;
        let searches = is_searches.then(|| file::read_at_most(&folder.join(".ignore"), bytes_max));
        let gits = is_gits.then(|| file::read_unlinked(&folder.join(".gitignore"), bytes_max));
        let own = [
            compiled(searches.and_then(text)),
            compiled(gits.and_then(text)),
            compiled(is_gits.then(|| excluded(folder)).flatten()),
            Gitignore::empty(),
        ];
        if own.iter().all(Gitignore::is_empty) {
            return Arc::clone(self);
        }
        Arc::new(Self {
            whose: self.whose,
            own,
            above: Some(Arc::clone(self)),
            left,
        })
    }
}

fn compile(folder: &Path, text: &str, rules_max: usize) -> Gitignore {
    if text.is_empty() {
        return Gitignore::empty();
    }
    let mut builder = GitignoreBuilder::new(folder);
    let lines = text.trim_start_matches('\u{feff}').lines();
    let rules = lines.filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    for line in rules.take(rules_max) {
        // A line that cannot be read ignores nothing, as in git; the others count.
        let _ = builder.add_line(None, line);
    }
    builder.build().unwrap_or_else(|_| Gitignore::empty())
}

/// A file that cannot be read ignores nothing, as in git. Neither does a line that is no text.
fn text(read: std::io::Result<Option<Vec<u8>>>) -> Option<String> {
    let bytes = read.ok().flatten()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The repository's unshared rules, where a folder is its root.
fn excluded(folder: &Path) -> Option<String> {
    let read = |path: &Path| text(file::read(path));
    let git = folder.join(".git");
    git.symlink_metadata().ok()?;
    if git.is_dir() {
        return read(&git.join("info/exclude"));
    }
    // One of several folders that share a repository.
    let named = read(&git)?;
    let own = folder.join(named.lines().next()?.strip_prefix("gitdir:")?.trim());
    let common: Option<PathBuf> = read(&own.join("commondir")).map(|named| own.join(named.trim()));
    read(&common.unwrap_or(own).join("info/exclude"))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn write(path: &Path, text: &str) {
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        std::fs::write(path, text).expect("written");
    }

    fn says(folder: &Path, path: &str) -> Option<bool> {
        let mut rules = Rules::around(folder, Whose::Searches).within(folder);
        let mut above: Vec<&Path> = Path::new(path).ancestors().skip(1).collect();
        above.pop();
        for part in above.into_iter().rev() {
            rules = rules.within(&folder.join(part));
        }
        rules.leave_out(&folder.join(path), false)
    }

    #[test]
    fn the_nearest_rule_of_the_strongest_file_counts() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = folder.path();
        write(&root.join(".git/info/exclude"), "*.own\n*.log\n*.both\n");
        write(&root.join(".gitignore"), "\u{feff}*.log\n[\n!kept.both\n");
        write(&root.join("sub/.gitignore"), "!*.log\n*.both\n");
        write(&root.join("sub/.ignore"), "a.log\n");
        for (path, expected) in [
            ("a.rs", None),
            ("a.own", Some(true)),
            ("a.log", Some(true)),
            ("a.both", Some(true)),
            ("kept.both", Some(false)),
            ("sub/kept.both", Some(true)),
            ("sub/b.log", Some(false)),
            ("sub/a.log", Some(true)),
        ] {
            assert_eq!(says(root, path), expected, "{path}");
        }
    }

    #[test]
    fn a_folder_beside_its_repository_has_the_rules_of_the_repository() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = folder.path();
        write(&root.join("main/.git/info/exclude"), "*.own\n");
        write(&root.join("main/.git/worktrees/a/commondir"), "../..\n");
        let gitdir = root.join("main/.git/worktrees/a").display().to_string();
        write(&root.join("a/.git"), &format!("gitdir: {gitdir}\n"));
        assert_eq!(says(&root.join("a"), "x.own"), Some(true));
    }

    #[test]
    fn what_lies_above_the_repository_says_nothing_to_git() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = folder.path();
        write(&root.join(".gitignore"), "*\n");
        write(&root.join("work/.git/HEAD"), "");
        write(&root.join("work/.gitignore"), "*.log\n");
        write(&root.join("work/sub/x"), "");
        assert_eq!(says(&root.join("work/sub"), "a.rs"), None);
        assert_eq!(says(&root.join("work/sub"), "a.log"), Some(true));
    }

    #[test]
    fn what_has_no_end_or_is_a_link_says_nothing() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = folder.path();
        let at = |name: &str| root.join(name);
        let many = "a.rs\n".repeat(usize::try_from(file::BYTES_MAX).expect("it fits") / 5 + 1);
        write(&at("large"), &many);
        write(&at("rules"), "a.rs\n");
        let pipe = |path: &Path| {
            rustix::fs::mkfifoat(rustix::fs::CWD, path, rustix::fs::Mode::RWXU).expect("made");
        };
        pipe(&at("pipe"));
        for name in [".gitignore", ".ignore", ".git/info/exclude"] {
            for (target, expected) in [
                ("/dev/zero", None),
                ("pipe", None),
                ("large", None),
                ("rules", (name != ".gitignore").then_some(true)),
            ] {
                let here = tempfile::tempdir().expect("a temporary folder");
                let path = here.path().join(name);
                std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
                symlink(root.join(target), &path).expect("linked");
                assert_eq!(says(here.path(), "a.rs"), expected, "{name} -> {target}");
                std::fs::remove_file(&path).expect("removed");
                pipe(&path);
                assert_eq!(says(here.path(), "a.rs"), None, "{name} is a pipe");
            }
        }
    }

    #[test]
    fn rules_are_few_also_where_many_folders_have_many() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let many = "a?\n".repeat(15_000);
        let mut rules = Rules::around(folder.path(), Whose::Gits);
        let mut deep = folder.path().to_owned();
        let mut count = 0;
        for _ in 0..5 {
            deep.push("deep");
            write(&deep.join(".gitignore"), &many);
            let below = rules.within(&deep);
            if !Arc::ptr_eq(&below, &rules) {
                count += below.count();
            }
            rules = below;
        }
        assert_eq!(count, RULES_MAX);
    }
}
