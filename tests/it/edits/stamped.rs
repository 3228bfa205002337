//! Edits of files that moved on since they were read, through the tool that models call.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use meliora::config::Config;
use meliora::config::host::Host;
use meliora::config::tools::Tools;
use meliora::llm::message::ToolCall;
use meliora::redact::Redactor;
use meliora::safety::Policy;
use meliora::text::bases::Seen;
use meliora::text::staging::{Staging, stamp};
use meliora::tools::consent::Consent;
use meliora::tools::execute::{Desk, execute};
use meliora::tools::outputs::Outputs;
use meliora::tools::registry::Toolbox;
use serde_json::json;

use super::corpus::{cases, difference, drawn, joined, shown, versions};
use super::misquote::{Dice, Misquote, misquoted};
use super::packages::{Hunk, hunks};
use crate::tidy::announce;

/// A workspace of one file, which was read when it had another text.
struct Room {
    folder: tempfile::TempDir,
    policy: Policy,
    redactor: Redactor,
}

impl Room {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = folder
            .path()
            .canonicalize()
            .expect("it exists")
            .join("work");
        std::fs::create_dir(&root).expect("made");
        let home = BTreeMap::from([("HOME".to_owned(), folder.path().display().to_string())]);
        let host = Host::from_environment(folder.path().join("meliora"), home);
        Self {
            policy: Policy::new(&host, &Config::default(), &root),
            redactor: Redactor::default(),
            folder,
        }
    }

    /// The text after an edit of the text that was read, or why there is none.
    async fn edited(
        &self,
        name: &str,
        read: &str,
        now: &str,
        hunk: &Hunk,
    ) -> Result<String, String> {
        let root = self
            .folder
            .path()
            .canonicalize()
            .expect("it exists")
            .join("work");
        std::fs::write(root.join(name), now).expect("written");
        let mut staging = Staging::new(root, BTreeMap::new(), 1_000_000);
        staging.note_read(Seen {
            path: name.into(),
            text: read.into(),
            lines: 0..read.lines().count(),
        });
        let call = ToolCall {
            id: "1".to_owned(),
            name: "edit_file".to_owned(),
            arguments: json!({
                "path": name,
                "search": joined(&hunk.before()),
                "replace": joined(&hunk.after()),
                "version": stamp(read),
            })
            .to_string(),
        };
        let desk = Desk {
            toolbox: &Toolbox::default(),
            policy: &self.policy,
            redactor: &self.redactor,
            checker: None,
            outputs: &Outputs::default(),
            settings: &Tools::default(),
            watch: None,
            consent: &Consent::default(),
        };
        let executed = execute(&call, &mut staging, &desk).await;
        let after = staging.read(Path::new(name)).expect("it is text");
        if executed.result.success {
            Ok(after.to_string())
        } else {
            Err(executed.text)
        }
    }
}

#[tokio::test]
async fn edits_of_an_older_version_land_where_they_belong_or_nowhere() {
    let versions = versions();
    let (mut dice, room) = (Dice(17), Room::new());
    let (mut right, mut refused, mut tried) = (0, 0, 0);
    let mut kinds = BTreeSet::new();
    while tried < cases() / 5 {
        let Some((file, hunk)) = drawn(&versions, &mut dice) else {
            continue;
        };
        let one = &versions[file];
        let ending = one.path.extension().expect("it has one").to_string_lossy();
        let name = format!("file.{ending}");
        let (read, now, expected, quoted) = if dice.below(2) == 0 {
            // A line beside the change was another one when the file was read.
            let Some(stale) = misquoted(&hunk, Misquote::StaleLine, &mut dice) else {
                continue;
            };
            let mut before: Vec<&str> = one.old.lines().collect();
            before.splice(hunk.line..hunk.line + hunk.before().len(), stale.before());
            let read = before.join("\n") + "\n";
            (read, one.old.clone(), hunk.applied(&one.old), stale)
        } else {
            // Everything else was changed since as well.
            let others = hunks(&one.old, &one.new, 0);
            let (line, end) = (hunk.line, hunk.line + hunk.before().len());
            let mut now = one.old.clone();
            let far = |other: &&Hunk| other.line + other.before().len() < line || other.line > end;
            let mut count = 0;
            for other in others.iter().rev().filter(far) {
                now = other.applied(&now);
                count += 1;
            }
            if count == 0 {
                continue;
            }
            let added: usize = others
                .iter()
                .filter(|other| other.line + other.before().len() < line)
                .map(|other| other.after().len())
                .sum();
            let gone: usize = others
                .iter()
                .filter(|other| other.line + other.before().len() < line)
                .map(|other| other.before().len())
                .sum();
            let mut moved = hunk.clone();
            moved.line = line + added - gone;
            let expected = moved.applied(&now);
            (one.old.clone(), now, expected, hunk.clone())
        };
        tried += 1;
        match room.edited(&name, &read, &now, &quoted).await {
            Ok(after) if after == now => refused += 1,
            Ok(after) => {
                assert!(
                    after == expected,
                    "{}\n{}\nbecame\n{}",
                    one.path.display(),
                    shown(&quoted),
                    difference(&expected, &after)
                );
                right += 1;
                kinds.insert(ending.to_string());
            }
            Err(_) => refused += 1,
        }
    }
    announce(&format!("stamped: {right} right, {refused} refused"));
    assert!(kinds.len() >= 3, "{kinds:?}");
    // Many hunks are one line, which says too little when its neighbour has changed as well.
    assert!(
        right * 100 >= (right + refused) * 60,
        "{right} right, {refused} refused"
    );
}
