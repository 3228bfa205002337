//! Tools that others brought: which plugins the user approved, and what their calls may do (spec: Safety & Security).
//!
//! A plugin acts in the copy of the workspace only; what it wants beyond that is judged by itself when it asks. So a call
//! of one that is approved as it is needs no further question. Everything else asks.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use super::{Policy, allow, ask};
use crate::config::host::Host;
use crate::permit::{Action, Decision, Permit};

/// What stands between the digest of what was approved and that of the arguments.
const AND: char = '+';

/// Bytes of a kept approval: a digest and a line feed.
const PIN_BYTES_MAX: u64 = 256;

/// Approvals in one folder: a file for each plugin, with its digest.
#[derive(Debug, Clone)]
pub struct Pins {
    folder: PathBuf,
}

/// The approvals of the user's own plugins.
pub fn of_user(host: &Host) -> Pins {
    Pins {
        folder: host.state.join("plugins"),
    }
}

/// The approvals of the plugins of a project.
pub fn of_project(host: &Host, workspace: &Path) -> Pins {
    Pins {
        folder: host.state_of(workspace).join("plugins"),
    }
}

impl Pins {
    /// The digest that was approved under a name, which is a plain one.
    pub fn get(&self, name: &str) -> Option<String> {
        let kept = crate::config::file::read_at_most(&self.folder.join(name), PIN_BYTES_MAX);
        let kept = String::from_utf8(kept.ok()??).ok()?;
        Some(kept.trim().to_owned())
    }

    /// Keeps an approval.
    pub fn grant(&self, name: &str, digest: &str) -> io::Result<()> {
        std::fs::create_dir_all(&self.folder)?;
        std::fs::write(self.folder.join(name), digest)
    }

    /// Forgets an approval.
    pub fn revoke(&self, name: &str) -> io::Result<()> {
        match std::fs::remove_file(self.folder.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn all(&self) -> Vec<(String, String)> {
        let entries = std::fs::read_dir(&self.folder).into_iter().flatten();
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        names
            .filter_map(|name| Some((name.clone(), self.get(&name)?)))
            .collect()
    }
}

/// The digest that the action of a call has: of what was approved, and of the arguments.
pub fn digest_of_call(approved: &str, arguments: &str) -> String {
    format!("{approved}{AND}{arguments}")
}

/// Everything that is approved for a workspace: names and digests.
pub(super) fn approved(host: &Host, workspace: &Path) -> BTreeSet<(String, String)> {
    let users = of_user(host).all().into_iter();
    users.chain(of_project(host, workspace).all()).collect()
}

/// Judges the call of a guest's tool.
pub(super) fn call(policy: &Policy, from: &str, tool: &str, digest: &str) -> Decision {
    let brought = digest.split(AND).next().unwrap_or_default();
    let key = (from.to_owned(), brought.to_owned());
    if policy.plugins.contains(&key) {
        return allow("approved-plugin");
    }
    // Only a plugin has both digests: what is allowed of a server is nothing of a plugin with its name.
    let allowed = policy.guests.get(from).filter(|_| !digest.contains(AND));
    if allowed.is_some_and(|allowed| allowed.iter().any(|allowed| allowed == tool)) {
        return allow("allowed-guest");
    }
    ask("guest", format!("{from} would run its {tool}"))
}

/// The permit to start the process in which a plugin is called, for whoever has the permit for that very call.
pub fn permit_host(call: &Permit, start: Action) -> Option<Permit> {
    let is_call = matches!(call.action(), Action::Guest { .. });
    let is_start = matches!(start, Action::Spawn { .. });
    (is_call && is_start).then(|| Permit::mint(start))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::safety::{decide, permit};

    #[test]
    fn a_plugin_is_called_without_a_question_only_with_the_digest_that_was_approved() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let home = folder.path().display().to_string();
        let environment = [("HOME".to_owned(), home)].into();
        let host = Host::from_environment("/nowhere/meliora".into(), environment);
        let workspace = folder.path().join("work");
        let rule = |from: &str, digest: &str| {
            let policy = Policy::new(&host, &Config::default(), &workspace);
            let action = Action::Guest {
                from: from.to_owned(),
                tool: "run".to_owned(),
                digest: digest_of_call(digest, "0f"),
                reaches_out: false,
            };
            match decide(&policy, &action) {
                Decision::Allow { rule } | Decision::Ask { rule, .. } => rule,
                Decision::Deny { rule, .. } => panic!("{rule}"),
            }
        };
        assert_eq!(rule("counter", "ab"), "guest");
        let pins = of_project(&host, &workspace);
        pins.grant("counter", "ab").expect("kept");
        of_user(&host).grant("mine", "cd").expect("kept");
        let rules = [
            ("counter", "ab"),
            ("mine", "cd"),
            ("counter", "cd"),
            ("other", "ab"),
            ("counter", ""),
        ];
        let rules = rules.map(|(from, digest)| rule(from, digest));
        assert_eq!(
            rules,
            [
                "approved-plugin",
                "approved-plugin",
                "guest",
                "guest",
                "guest"
            ]
        );
        pins.revoke("counter").expect("forgotten");
        assert_eq!(rule("counter", "ab"), "guest");
    }

    #[test]
    fn only_who_may_call_a_plugin_may_start_its_process() {
        let start = Action::Spawn {
            purpose: crate::permit::Purpose::Plugin,
            program: "/bin/meliora".into(),
            arguments: Vec::new(),
            directory: "/".into(),
        };
        let policy = Policy::new(
            &Host::from_environment(
                "/nowhere/meliora".into(),
                std::collections::BTreeMap::default(),
            ),
            &Config::default(),
            Path::new("/nowhere/work"),
        );
        assert!(permit(&policy, start.clone()).is_err());
        let read = Permit::mint(Action::ReadFile { path: "/a".into() });
        assert!(permit_host(&read, start.clone()).is_none());
        let call = Permit::mint(Action::Guest {
            from: "counter".to_owned(),
            tool: "run".to_owned(),
            digest: String::new(),
            reaches_out: false,
        });
        assert!(permit_host(&call, start).is_some());
        assert!(permit_host(&call, Action::ReadFile { path: "/a".into() }).is_none());
    }
}
