//! Brings an edit into the editor, one document at a time, and believes only what the editor's own changes show (spec:
//! workspace edits, echo check).
//!
//! Editors say `applied: true` for edits that they skipped, check versions only for the first document, lose edits that
//! come too fast, and let an edit join what is being typed. So each document is sent alone, for exactly the text that
//! the mirror holds, when nobody types, and the next one waits until the mirror shows the expected text.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::agent::edit::{Settled, settle};
use crate::server::profile::Profile;
use crate::text::documents::{Document, Documents};
use crate::text::edit::{EditSet, FileEdit};
use crate::text::location;
use crate::text::position::{Encoding, Lines};

/// How long nobody may have typed in a document before it is changed.
pub const QUIET: Duration = Duration::from_millis(700);

/// How long we wait for that.
pub const QUIET_WAIT_MAX: Duration = Duration::from_secs(10);

/// How long the editor's own change may take after its answer.
pub const ECHO_WAIT: Duration = Duration::from_secs(2);

/// How long the editor may take to answer.
pub const ANSWER_WAIT: Duration = Duration::from_secs(60);

/// How often an edit is sent that the editor said it applied and did not.
const SENDS_MAX: u8 = 2;

/// An edit on its way into the editor.
#[derive(Debug)]
pub struct Delivery {
    root: PathBuf,
    label: String,
    wanted: BTreeMap<PathBuf, FileEdit>,
    waiting: VecDeque<PathBuf>,
    step: Step,
    /// Files of which exactly the wanted change was approved: theirs is not carried over to another text.
    exact: BTreeSet<PathBuf>,
    /// What arrived, with the texts as they really were.
    pub arrived: EditSet,
}

#[derive(Debug)]
enum Step {
    /// The next document is looked at since then.
    Next(Instant),
    /// A document was sent.
    Sent(Sent),
}

#[derive(Debug)]
struct Sent {
    path: PathBuf,
    before: Option<Arc<str>>,
    expected: Option<Arc<str>>,
    at: Instant,
    answered: Option<Instant>,
    sends: u8,
}

/// What has to be done now.
#[derive(Debug, PartialEq)]
pub enum Turn {
    /// Nothing before something happens or some time goes by.
    Wait,
    /// Send these parameters of `workspace/applyEdit`.
    Send(Value),
    /// Everything arrived.
    Done,
    /// It cannot be delivered (any further), for this reason.
    Refused(String),
}

impl Delivery {
    /// An edit for the files below `root`.
    pub fn new(root: &Path, label: String, edits: EditSet, now: Instant) -> Self {
        Self {
            root: root.to_owned(),
            label,
            waiting: ordered(&edits),
            wanted: edits.files,
            step: Step::Next(now),
            exact: BTreeSet::new(),
            arrived: EditSet::default(),
        }
    }

    /// The same, where the change of these files was approved as it is.
    pub fn exactly(self, exact: BTreeSet<PathBuf>) -> Self {
        Self { exact, ..self }
    }

    /// Looks at how things stand. Called when the editor answered, a text moved, or time went by.
    pub fn turn(&mut self, documents: &Documents, profile: &Profile, now: Instant) -> Turn {
        loop {
            match &self.step {
                Step::Next(since) => {
                    let since = *since;
                    let Some(path) = self.waiting.front().cloned() else {
                        return Turn::Done;
                    };
                    match self.next(&path, since, documents, profile, now) {
                        Some(turn) => return turn,
                        None => self.step = Step::Next(now),
                    }
                }
                Step::Sent(_) => match self.echo(documents, profile, now) {
                    Some(turn) => return turn,
                    None => self.step = Step::Next(now),
                },
            }
        }
    }

    /// Notes the editor's answer. `false` with a reason counts only when the text did not move as expected either.
    pub fn answered(
        &mut self,
        answer: Result<(), String>,
        documents: &Documents,
        now: Instant,
    ) -> Option<Turn> {
        let Step::Sent(sent) = &mut self.step else {
            return None;
        };
        sent.answered = Some(now);
        let reason = answer.err()?;
        let arrived = current(&self.root, &sent.path, documents) == sent.expected;
        (!arrived).then(|| self.refuse(format!("the editor refused the edit: {reason}")))
    }

    /// Whether every file still can take its change. Nothing is sent when one cannot.
    pub fn check(&self, documents: &Documents) -> Result<(), String> {
        for (path, edit) in &self.wanted {
            self.target(path, edit, current(&self.root, path, documents).as_ref())
                .map_err(|reason| format!("{} {reason}", path.display()))?;
        }
        Ok(())
    }

    /// The text that a file shall have, given what it has now.
    fn target(
        &self,
        path: &Path,
        edit: &FileEdit,
        now: Option<&Arc<str>>,
    ) -> Result<Option<Arc<str>>, String> {
        let target = target(edit, now)?;
        let is_carried_over = now != edit.before.as_ref() && target.as_ref() != now;
        if is_carried_over && self.exact.contains(path) {
            return Err("was changed since the edit of it was approved; run it again".to_owned());
        }
        Ok(target)
    }

    fn refuse(&self, reason: String) -> Turn {
        let arrived = self.arrived.files.len();
        Turn::Refused(if arrived == 0 {
            reason
        } else {
            let all = self.wanted.len();
            format!(
                "{reason}; {arrived} of {all} files had arrived before, `meliora.undo` takes them back"
            )
        })
    }

    /// Sends the next document, or finds that it has its text already (`None`).
    fn next(
        &mut self,
        path: &Path,
        since: Instant,
        documents: &Documents,
        profile: &Profile,
        now: Instant,
    ) -> Option<Turn> {
        let absolute = self.root.join(path);
        let document = documents.of_path(&absolute);
        if let Some(typed) = document.and_then(|document| document.changed)
            && now.duration_since(typed) < QUIET
        {
            if now.duration_since(since) < QUIET_WAIT_MAX {
                return Some(Turn::Wait);
            }
            let reason = format!(
                "{} is being typed in; try again when it rests",
                path.display()
            );
            return Some(self.refuse(reason));
        }
        let edit = self.wanted.get(path)?;
        let before = current(&self.root, path, documents);
        let expected = match self.target(path, edit, before.as_ref()) {
            Ok(expected) => expected,
            Err(reason) => return Some(self.refuse(format!("{} {reason}", path.display()))),
        };
        if before == expected {
            self.waiting.pop_front();
            return None;
        }
        Some(self.send(
            path,
            document,
            before,
            expected,
            documents.encoding,
            profile,
            now,
            1,
        ))
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one place builds and remembers a request"
    )]
    fn send(
        &mut self,
        path: &Path,
        document: Option<&Document>,
        before: Option<Arc<str>>,
        expected: Option<Arc<str>>,
        encoding: Encoding,
        profile: &Profile,
        now: Instant,
        sends: u8,
    ) -> Turn {
        let change = FileEdit {
            before: before.clone(),
            after: expected.clone(),
        };
        let place = Place {
            path: &self.root.join(path),
            document,
            encoding,
        };
        let edit = match workspace_edit(&change, &place, profile) {
            Ok(edit) => edit,
            Err(reason) => return self.refuse(format!("{} {reason}", path.display())),
        };
        self.step = Step::Sent(Sent {
            path: path.to_owned(),
            before,
            expected,
            at: now,
            answered: None,
            sends,
        });
        Turn::Send(json!({ "label": self.label, "edit": edit }))
    }

    /// Looks whether the editor's own change shows the expected text (`None`).
    fn echo(&mut self, documents: &Documents, profile: &Profile, now: Instant) -> Option<Turn> {
        let Step::Sent(sent) = &self.step else {
            return None;
        };
        let text = current(&self.root, &sent.path, documents);
        if text == sent.expected {
            let Step::Sent(sent) = std::mem::replace(&mut self.step, Step::Next(now)) else {
                return None;
            };
            self.waiting.pop_front();
            self.arrived.record(sent.path, sent.before, sent.expected);
            return None;
        }
        let Some(answered) = sent.answered else {
            let late = now.duration_since(sent.at) >= ANSWER_WAIT;
            return Some(if late {
                self.refuse("the editor did not answer".to_owned())
            } else {
                Turn::Wait
            });
        };
        if now.duration_since(answered) < ECHO_WAIT {
            return Some(Turn::Wait);
        }
        let shown = sent.path.display().to_string();
        if text != sent.before {
            let reason =
                format!("{shown} changed while the edit was on its way; look at it, and try again");
            return Some(self.refuse(reason));
        }
        if sent.sends >= SENDS_MAX {
            let reason = format!("the editor says that it changed {shown}, and did not");
            return Some(self.refuse(reason));
        }
        let (path, sends) = (sent.path.clone(), sent.sends + 1);
        let (before, expected) = (sent.before.clone(), sent.expected.clone());
        let document = documents.of_path(&self.root.join(&path));
        Some(self.send(
            &path,
            document,
            before,
            expected,
            documents.encoding,
            profile,
            now,
            sends,
        ))
    }
}

/// Creations first, then changes, then deletions.
fn ordered(edits: &EditSet) -> VecDeque<PathBuf> {
    let mut paths: Vec<(&PathBuf, u8)> = edits
        .files
        .iter()
        .map(|(path, edit)| {
            let rank = match (&edit.before, &edit.after) {
                (None, _) => 0,
                (_, Some(_)) => 1,
                (_, None) => 2,
            };
            (path, rank)
        })
        .collect();
    paths.sort_by_key(|(_, rank)| *rank);
    paths.into_iter().map(|(path, _)| path.clone()).collect()
}

/// The text of a file: of its buffer when it is open, else on the disk.
fn current(root: &Path, path: &Path, documents: &Documents) -> Option<Arc<str>> {
    let path = root.join(path);
    match documents.of_path(&path) {
        Some(document) => Some(Arc::from(document.text())),
        None => std::fs::read_to_string(path).ok().map(Arc::from),
    }
}

/// The text that a file shall have, given what it has now: what the user changed meanwhile is kept.
fn target(edit: &FileEdit, now: Option<&Arc<str>>) -> Result<Option<Arc<str>>, String> {
    match settle(edit.before.as_ref(), edit.after.as_ref(), now) {
        Settled::Already => Ok(now.cloned()),
        Settled::Write { text, .. } => Ok(text),
        Settled::Conflict(what) => Err(format!("{what}; run it again on the text as it is")),
    }
}

struct Place<'place> {
    path: &'place Path,
    document: Option<&'place Document>,
    encoding: Encoding,
}

/// One document's change in the form that this editor understands.
fn workspace_edit(
    change: &FileEdit,
    place: &Place<'_>,
    profile: &Profile,
) -> Result<Value, String> {
    let uri = match place.document {
        Some(document) => document.uri.clone(),
        None => location::to_uri(place.path).ok_or("has no URI")?,
    };
    let text = change.before.as_deref().unwrap_or_default();
    let lines = Lines::new(text);
    let edits: Vec<Value> = change
        .replacements()
        .into_iter()
        .map(|replacement| {
            let span = lines.span(text, replacement.start..replacement.end, place.encoding);
            json!({ "range": span, "newText": replacement.text })
        })
        .collect();
    let version = place.document.map(|document| document.version);
    let text_edit = json!({
        "textDocument": { "uri": uri, "version": version },
        "edits": edits,
    });
    match (&change.before, &change.after) {
        (None, _) if !profile.create_files || !profile.document_changes => {
            Err("should be created, which this editor cannot do".to_owned())
        }
        (_, None) if !profile.delete_files || !profile.document_changes => {
            Err("should be deleted, which this editor cannot do".to_owned())
        }
        // Neovim does not write a file that it is told to create only if it is not there: that it is not, we know.
        (None, _) => {
            Ok(json!({ "documentChanges": [{ "kind": "create", "uri": uri }, text_edit] }))
        }
        (_, None) => Ok(json!({ "documentChanges": [{ "kind": "delete", "uri": uri }] })),
        _ if profile.document_changes => Ok(json!({ "documentChanges": [text_edit] })),
        _ => Ok(json!({ "changes": { uri: edits } })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const URI: &str = "file:///w/a.rs";

    /// A mirror and an editor that the test moves by hand; time moves only when the test says so.
    struct Desk {
        documents: Documents,
        profile: Profile,
        delivery: Delivery,
        now: Instant,
    }

    impl Desk {
        fn new(
            editor: &str,
            edits: &[(&str, Option<&str>, Option<&str>)],
            open: &[(&str, &str)],
        ) -> Self {
            let mut documents = Documents::default();
            for (name, text) in open {
                let opened = json!({ "textDocument": {
                    "uri": format!("file:///w/{name}"), "languageId": "rust", "version": 1, "text": text
                } });
                documents.open(serde_json::from_value(opened).expect("the test's own shape"));
            }
            let mut set = EditSet::default();
            for (name, before, after) in edits {
                set.record((*name).into(), before.map(Arc::from), after.map(Arc::from));
            }
            let profile = Profile::from_initialize(&json!({
                "clientInfo": { "name": editor },
                "capabilities": { "workspace": { "applyEdit": true, "workspaceEdit": {
                    "documentChanges": editor != "bare", "resourceOperations": ["create", "delete"]
                } } }
            }));
            let now = Instant::now() + Duration::from_secs(1);
            Self {
                documents,
                profile,
                delivery: Delivery::new(Path::new("/w"), "test".to_owned(), set, now),
                now,
            }
        }

        fn turn(&mut self) -> Turn {
            self.delivery.turn(&self.documents, &self.profile, self.now)
        }

        fn sent(&mut self) -> Value {
            match self.turn() {
                Turn::Send(params) => params["edit"].clone(),
                other => panic!("nothing was sent: {other:?}"),
            }
        }

        fn says_applied(&mut self) -> Option<Turn> {
            self.delivery.answered(Ok(()), &self.documents, self.now)
        }

        /// The editor's text changes, as if typed long ago.
        fn becomes(&mut self, uri: &str, version: i64, text: &str) {
            let changed = json!({
                "textDocument": { "uri": uri, "version": version },
                "contentChanges": [{ "text": text }]
            });
            self.documents
                .change(serde_json::from_value(changed).expect("the test's own shape"));
            self.now += Duration::from_secs(1);
        }
    }

    #[test]
    fn an_edit_counts_only_when_the_editors_own_change_shows_it() {
        let mut desk = Desk::new(
            "neovim",
            &[("a.rs", Some("a\nb\n"), Some("a\nB\n"))],
            &[("a.rs", "a\nb\n")],
        );
        let edit = desk.sent();
        assert_eq!(edit["documentChanges"][0]["textDocument"]["version"], 1);
        assert_eq!(
            edit["documentChanges"][0]["edits"].as_array().map(Vec::len),
            Some(1)
        );
        // It says that it did, and did not: asked once more, then given up.
        assert_eq!(desk.says_applied(), None);
        assert_eq!(desk.turn(), Turn::Wait);
        desk.now += ECHO_WAIT;
        assert_eq!(desk.sent(), edit);
        desk.says_applied();
        desk.now += ECHO_WAIT;
        assert!(matches!(desk.turn(), Turn::Refused(reason) if reason.contains("and did not")));
        assert!(desk.delivery.arrived.is_empty());
    }

    #[test]
    fn the_echo_counts_also_before_the_answer_and_against_it() {
        for applied in [Ok(()), Err("no".to_owned())] {
            let mut desk = Desk::new(
                "zed",
                &[("a.rs", Some("a\n"), Some("b\n"))],
                &[("a.rs", "a\n")],
            );
            desk.sent();
            desk.becomes(URI, 2, "b\n");
            assert_eq!(
                desk.delivery.answered(applied, &desk.documents, desk.now),
                None
            );
            assert_eq!(desk.turn(), Turn::Done);
            assert_eq!(desk.delivery.arrived.files.len(), 1);
        }
    }

    #[test]
    fn documents_are_sent_one_by_one_each_after_the_echo_of_the_last() {
        let edits = [
            ("a.rs", Some("a\n"), Some("A\n")),
            ("b.rs", Some("b\n"), Some("B\n")),
        ];
        let mut desk = Desk::new("neovim", &edits, &[("a.rs", "a\n"), ("b.rs", "b\n")]);
        let first = desk.sent();
        assert_eq!(first["documentChanges"].as_array().map(Vec::len), Some(1));
        desk.says_applied();
        assert_eq!(
            desk.turn(),
            Turn::Wait,
            "the second waits for the echo of the first"
        );
        desk.becomes(URI, 2, "A\n");
        let second = desk.sent();
        assert_eq!(
            second["documentChanges"][0]["textDocument"]["uri"],
            "file:///w/b.rs"
        );
        // The second one moved on while the edit was on its way.
        desk.becomes("file:///w/b.rs", 2, "typed\nb\n");
        desk.says_applied();
        desk.now += ECHO_WAIT;
        match desk.turn() {
            Turn::Refused(reason) => assert!(reason.contains("1 of 2 files"), "{reason}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_was_approved_is_not_carried_over_to_another_text() {
        let edit = [("a.rs", Some("1\n2\n3\n4\n5\n"), Some("1\n2\n3\n4\nfive\n"))];
        let mut desk = Desk::new("neovim", &edit, &[("a.rs", "one\n2\n3\n4\n5\n")]);
        desk.delivery.exact.insert("a.rs".into());
        let reason = desk
            .delivery
            .check(&desk.documents)
            .expect_err("another text");
        assert!(
            reason.contains("since the edit of it was approved"),
            "{reason}"
        );
        assert!(matches!(desk.turn(), Turn::Refused(_)));
        let mut desk = Desk::new("neovim", &edit, &[("a.rs", "1\n2\n3\n4\n5\n")]);
        desk.delivery.exact.insert("a.rs".into());
        assert_eq!(desk.delivery.check(&desk.documents), Ok(()));
        desk.sent();
    }

    #[test]
    fn what_the_user_changed_meanwhile_is_kept_or_the_edit_is_refused() {
        let edit = [("a.rs", Some("1\n2\n3\n4\n5\n"), Some("1\n2\n3\n4\nfive\n"))];
        let mut desk = Desk::new("neovim", &edit, &[("a.rs", "one\n2\n3\n4\n5\n")]);
        assert_eq!(desk.delivery.check(&desk.documents), Ok(()));
        let sent = desk.sent();
        assert_eq!(sent["documentChanges"][0]["edits"][0]["newText"], "five\n");
        desk.becomes(URI, 2, "one\n2\n3\n4\nfive\n");
        assert_eq!(desk.turn(), Turn::Done);
        // The images of the run are the texts as they really were.
        let arrived = &desk.delivery.arrived.files[Path::new("a.rs")];
        assert_eq!(arrived.before.as_deref(), Some("one\n2\n3\n4\n5\n"));

        let mut desk = Desk::new("neovim", &edit, &[("a.rs", "1\n2\n3\n4\nfunf\n")]);
        assert!(desk.delivery.check(&desk.documents).is_err());
        assert!(matches!(desk.turn(), Turn::Refused(_)));
    }

    #[test]
    fn nothing_is_sent_while_somebody_types() {
        let mut desk = Desk::new(
            "helix",
            &[("a.rs", Some("a\nx\n"), Some("b\nx\n"))],
            &[("a.rs", "a\nx\n")],
        );
        desk.becomes(URI, 2, "a\nx\ny\n");
        let typed = desk
            .documents
            .get(URI)
            .and_then(|document| document.changed)
            .expect("just typed");
        desk.now = typed + QUIET / 2;
        desk.delivery.step = Step::Next(desk.now);
        assert_eq!(desk.turn(), Turn::Wait);
        desk.now = typed + QUIET;
        desk.sent();

        let mut desk = Desk::new(
            "helix",
            &[("a.rs", Some("a\n"), Some("b\n"))],
            &[("a.rs", "a\n")],
        );
        desk.becomes(URI, 2, "a\n");
        let typed = desk
            .documents
            .get(URI)
            .and_then(|document| document.changed)
            .expect("just typed");
        desk.now = typed;
        desk.delivery.step = Step::Next(
            typed
                .checked_sub(QUIET_WAIT_MAX)
                .expect("the machine is up that long"),
        );
        assert!(matches!(desk.turn(), Turn::Refused(reason) if reason.contains("typed in")));
    }

    #[test]
    fn each_editor_gets_the_form_it_understands() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let change = FileEdit {
            before: Some("a\n".into()),
            after: Some("b\n".into()),
        };
        let create = FileEdit {
            before: None,
            after: Some("new\n".into()),
        };
        let path = folder.path().join("é.rs");
        let place = Place {
            path: &path,
            document: None,
            encoding: Encoding::Utf16,
        };
        let profile = |params: Value| Profile::from_initialize(&params);
        let bare = profile(json!({}));
        let neovim = profile(json!({
            "clientInfo": { "name": "Neovim" },
            "capabilities": { "workspace": { "workspaceEdit": { "resourceOperations": ["create"] } } }
        }));
        let edit = workspace_edit(&change, &place, &bare).expect("possible");
        assert!(edit["changes"].is_object() && edit["documentChanges"].is_null());
        assert!(workspace_edit(&create, &place, &bare).is_err());
        let edit = workspace_edit(&create, &place, &neovim).expect("possible");
        assert_eq!(edit["documentChanges"][0]["kind"], "create");
        assert!(
            edit["documentChanges"][0]["options"].is_null(),
            "no ignoreIfExists"
        );
        assert!(
            edit["documentChanges"][0]["uri"]
                .as_str()
                .is_some_and(|uri| uri.ends_with("%C3%A9.rs"))
        );
        let delete = FileEdit {
            before: Some("a\n".into()),
            after: None,
        };
        assert!(workspace_edit(&delete, &place, &neovim).is_err());
    }
}
