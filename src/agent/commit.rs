//! What a run does to the repository once its files are changed, and what becomes of it when the run is taken back
//! (spec: Git Integration, `auto_commit`; Automatic rollback capability).
//!
//! Commits that a model wished for, and the one of `tools.git.auto_commit`, have exactly the run's changes. Taking a run
//! back takes its commits back as long as nobody else has them; one that must stay is answered with another commit, or
//! said.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::edit::{self, text_of};
use crate::config::Config;
use crate::config::host::Host;
use crate::event::{Reply, RunEvent, RunId};
use crate::permit::{Action, Decision, Permit};
use crate::safety::approvals::{Approvals, Matter};
use crate::safety::{self, Policy};
use crate::store::images::{self, GitRecord, Hand, Images, RunRecord, Stage, TakenBack};
use crate::text::edit::EditSet;
use crate::tools::git_change::Wish;
use crate::vcs;
use crate::vcs::commit::{Base, Committed, File, Order};
use crate::vcs::identity::Person;
use crate::vcs::undoing::{self, Branched, Uncommitted};

/// Characters of the title of a commit.
const TITLE_CHARACTERS_MAX: usize = 100;

/// What was delivered, and what is to be done about it.
#[derive(Debug, Clone, Copy)]
pub struct Delivered<'run> {
    /// The run.
    pub run: &'run RunId,
    /// One line for people.
    pub title: &'run str,
    /// What it changed.
    pub edits: &'run EditSet,
    /// What was wished for.
    pub wishes: &'run [Wish],
    /// Whether the user named the files of a commit, which then are committed as they are.
    pub is_by_hand: bool,
}

/// Writes down what was decided before it is done, or says why it cannot: then it is not done.
pub type Witness<'run> = &'run mut dyn FnMut(&[RunEvent]) -> Result<(), String>;

/// What was done to the repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Done {
    /// What was done, for the journal, which knows what was decided.
    pub events: Vec<RunEvent>,
    /// For people.
    pub notices: Vec<String>,
    record: GitRecord,
}

/// Carries out what was wished for, and commits the rest where that is set.
pub fn carry_out(
    host: &Host,
    config: &Config,
    policy: &Policy,
    delivered: Delivered<'_>,
    witness: Witness<'_>,
) -> Done {
    let consent = edit::Consent::Policy;
    fulfil(host, config, policy, (delivered, consent), witness)
}

/// The same, where it may also be the user's own word that stands behind it.
fn fulfil(
    host: &Host,
    config: &Config,
    policy: &Policy,
    (delivered, consent): (Delivered<'_>, edit::Consent),
    witness: Witness<'_>,
) -> Done {
    let mut done = Done::default();
    let root = policy.workspace();
    let wishes = wishes(config, delivered);
    if wishes.is_empty() || !config.tools.git.enabled || vcs::root_of(root).is_none() {
        return done;
    }
    let person = match Person::of(host, root) {
        Ok(person) => person,
        Err(error) => {
            done.notices.push(format!("nothing was committed: {error}"));
            return done;
        }
    };
    let approvals = Approvals::of(host, root);
    for wish in wishes {
        let may = (policy, &approvals, consent);
        let permit = match permit(may, wish.action(root), witness) {
            Ok(permit) => permit,
            Err(refusal) => {
                done.notices
                    .push(format!("nothing was committed: {refusal}"));
                continue;
            }
        };
        match wish {
            Wish::Branch { name } => done.branch(root, &permit, &person, &name),
            Wish::Commit { message, files } => {
                let mut left = Vec::new();
                let files =
                    files
                        .iter()
                        .filter_map(|path| match file(policy, delivered, config, path) {
                            Ok(file) => Some(file),
                            Err(reason) => {
                                left.push(format!(
                                    "{} is not in the commit: {reason}",
                                    path.display()
                                ));
                                None
                            }
                        });
                let order = Order {
                    message,
                    person: person.clone(),
                    files: files.collect(),
                };
                done.notices.append(&mut left);
                done.commit(vcs::commit::commit(root, &permit, &order));
            }
        }
    }
    if !done.record.is_empty() {
        let made = done.record.clone();
        done.keep(host, root, delivered.run, |git| {
            git.commits.extend(made.commits);
            git.branch = made.branch.or(git.branch.take());
            git.taken_back.clear();
        });
    }
    done
}

/// A run whose changes were reversed by another one.
#[derive(Debug, Clone, Copy)]
pub struct Reversed<'run> {
    /// The run that reversed them.
    pub by: &'run RunId,
    /// The run whose changes they were.
    pub undone: &'run RunId,
    /// The run that is in effect afterwards: `by`, or the one that a redo made again.
    pub in_effect: &'run RunId,
    /// One line for people.
    pub title: &'run str,
}

/// What of a run that is to be made again was done to the repository, if anything was, and why it cannot be done again,
/// as far as that can be known before.
pub fn outlook(host: &Host, config: &Config, policy: &Policy, run: &RunId) -> Option<Outlook> {
    let root = policy.workspace();
    let runs = Images::lock(host, root).and_then(|images| images.runs());
    let record = runs.ok()?.into_iter().find(|record| record.run == *run)?;
    let wishes = again(&record.git);
    if wishes.is_empty() {
        return None;
    }
    let denied = |wish: &Wish| match safety::decide(policy, &wish.action(root)) {
        Decision::Deny { reason, .. } => Some(reason),
        Decision::Allow { .. } | Decision::Ask { .. } => None,
    };
    let obstacle = if !config.tools.git.enabled {
        Some("version control is switched off (tools.git.enabled)".to_owned())
    } else if vcs::root_of(root).is_none() {
        Some("there is no repository here".to_owned())
    } else {
        let person = Person::of(host, root).err().map(|error| error.to_string());
        person.or_else(|| wishes.iter().find_map(denied))
    };
    let what = wishes.iter().map(|wish| match wish {
        Wish::Commit { message, .. } => {
            format!(
                "the commit {:?}",
                message.lines().next().unwrap_or_default()
            )
        }
        Wish::Branch { name } => format!("the branch {name}"),
    });
    let what = what.collect::<Vec<_>>().join(", ");
    Some(Outlook { what, obstacle })
}

/// What making a run again will do to the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outlook {
    /// The commits and the branch, for people.
    pub what: String,
    /// Why they cannot be made.
    pub obstacle: Option<String>,
}

/// What was taken back with a run, to be done again.
fn again(git: &GitRecord) -> Vec<Wish> {
    let taken_back = git.taken_back.iter().cloned();
    let wishes = taken_back.map(|one| match one {
        TakenBack::Commit { message, files } => Wish::Commit { message, files },
        TakenBack::Branch { name } => Wish::Branch { name },
    });
    wishes.collect()
}

/// Takes back what an undone run did to the repository; where it is an undo that is taken back, what was taken back with
/// it is done again. The changes are then committed where that is set and anything of them is left to commit.
pub fn take_back(
    host: &Host,
    config: &Config,
    policy: &Policy,
    reversed: Reversed<'_>,
    witness: Witness<'_>,
) -> Done {
    let root = policy.workspace();
    let mut done = Done::default();
    let read = Images::lock(host, root).and_then(|images| {
        let runs = images.runs()?;
        let find = |name: &RunId| runs.iter().find(|run| run.run == *name).cloned();
        let edits = find(reversed.by).map(|record| edits_of(&images, &record));
        let undone = find(reversed.undone);
        let origin = undone.as_ref().and_then(|record| record.reverts.as_ref());
        let origin = origin.and_then(find);
        Ok((undone, origin, edits.transpose()?.unwrap_or_default()))
    });
    let (undone, origin, edits) = match read {
        Ok(read) => read,
        Err(error) => {
            done.notices
                .push(format!("its commits stay as they are: {error}"));
            return done;
        }
    };
    let record = undone.map(|undone| undone.git).unwrap_or_default();
    if !record.is_empty() {
        let person = Person::of(host, root).map_err(|error| error.to_string());
        let person = person.and_then(|person| {
            witness(&[taking_back(&record, reversed.undone)])?;
            Ok(person)
        });
        match person {
            Ok(person) => {
                done.take_back(root, &person, &record, config.tools.git.auto_commit);
                let left = done.record.clone();
                done.keep(host, root, reversed.undone, |git| *git = left);
            }
            Err(error) => done
                .notices
                .push(format!("its commits stay as they are: {error}")),
        }
    }
    let wishes = origin.as_ref().map(|origin| again(&origin.git));
    let delivered = Delivered {
        run: origin.as_ref().map_or(reversed.in_effect, |run| &run.run),
        title: reversed.title,
        edits: &edits,
        wishes: &wishes.unwrap_or_default(),
        // A run that changed no file committed what the user named.
        is_by_hand: origin.as_ref().is_some_and(|run| run.files.is_empty()),
    };
    let consent = match origin {
        Some(_) => edit::Consent::User,
        None => edit::Consent::Policy,
    };
    let word = (delivered, consent);
    let committed = fulfil(host, config, policy, word, witness);
    done.events.extend(committed.events);
    done.notices.extend(committed.notices);
    done
}

impl Done {
    fn branch(&mut self, root: &Path, permit: &Permit, person: &Person, name: &str) {
        match undoing::branch(root, permit, person, name) {
            Ok(Branched { name, from }) => {
                self.notices
                    .push(format!("the branch {name} was made and is worked on"));
                self.record.branch = Some((name.clone(), from.clone()));
                self.events.push(RunEvent::Branched { branch: name, from });
            }
            Err(error) => self.notices.push(format!("no branch was made: {error}")),
        }
    }

    fn commit(&mut self, result: Result<Committed, vcs::repository::Error>) {
        match result {
            Ok(committed) => {
                self.notices.extend(committed.left);
                let Committed {
                    id, branch, files, ..
                } = committed;
                if id.is_empty() {
                    return;
                }
                self.notices.push(format!("committed {}", short(&id)));
                self.record.commits.push((id.clone(), files.clone()));
                self.events.push(RunEvent::Committed {
                    commit: id,
                    branch,
                    files,
                });
            }
            Err(error) => self.notices.push(format!("nothing was committed: {error}")),
        }
    }

    fn take_back(&mut self, root: &Path, person: &Person, record: &GitRecord, answers: bool) {
        self.record = record.clone();
        let mut taken_back = Vec::new();
        for (id, files) in record.commits.iter().rev() {
            let short = short(id);
            match undoing::uncommit(root, person, id, files) {
                Ok(Uncommitted::Moved {
                    branch,
                    message,
                    left,
                }) => {
                    self.record.commits.retain(|(other, _)| other != id);
                    let files = files.clone();
                    taken_back.push(TakenBack::Commit { message, files });
                    self.notices
                        .push(format!("the commit {short} was taken back"));
                    self.notices.extend(left);
                    self.events.push(RunEvent::Uncommitted {
                        commit: id.clone(),
                        branch,
                    });
                }
                Ok(Uncommitted::Kept(why)) if answers => {
                    self.notices.push(format!(
                        "the commit {short} stays, because {why}: another one follows"
                    ));
                }
                Ok(Uncommitted::Kept(why)) => self.notices.push(format!(
                    "the commit {short} stays, because {why}: `git revert {short}` answers it"
                )),
                Err(error) => self
                    .notices
                    .push(format!("the commit {short} stays: {error}")),
            }
        }
        if let Some((name, from)) = record.branch.clone()
            && self.unbranch(root, person, &name, from)
        {
            taken_back.push(TakenBack::Branch { name });
        }
        // The newest was taken back first.
        taken_back.reverse();
        self.record.taken_back = taken_back;
    }

    /// Whether a branch is gone that was made.
    fn unbranch(&mut self, root: &Path, person: &Person, name: &str, from: String) -> bool {
        let name = name.to_owned();
        match undoing::unbranch(
            root,
            person,
            &Branched {
                name: name.clone(),
                from,
            },
        ) {
            Ok(Uncommitted::Moved { branch, .. }) => {
                self.record.branch = None;
                let what = format!("the branch {name} was removed; {branch} is worked on");
                self.notices.push(what.clone());
                let reason = "the run that made it was taken back".to_owned();
                self.events.push(RunEvent::Step { what, reason });
                return true;
            }
            Ok(Uncommitted::Kept(why)) => self
                .notices
                .push(format!("the branch {name} stays, because {why}")),
            Err(error) => self
                .notices
                .push(format!("the branch {name} stays: {error}")),
        }
        false
    }

    /// Keeps what was done, for whoever takes the run back.
    fn keep(&mut self, host: &Host, root: &Path, run: &RunId, change: impl FnOnce(&mut GitRecord)) {
        let kept = Images::lock(host, root).and_then(|images| {
            let runs = images.runs()?;
            let known = runs.iter().find(|record| record.run == *run).cloned();
            let mut record = known.unwrap_or_else(|| {
                let mut record = RunRecord::begin(run, Hand::Disk, &runs);
                record.stage = Stage::Done;
                record
            });
            change(&mut record.git);
            images.save(&record)
        });
        if let Err(error) = kept {
            self.notices
                .push(format!("its commits cannot be taken back later: {error}"));
        }
    }
}

/// What is to be done: the wishes, and a commit of everything that no wish names where that is set.
fn wishes(config: &Config, delivered: Delivered<'_>) -> Vec<Wish> {
    let mut wishes = delivered.wishes.to_vec();
    let named: BTreeSet<&PathBuf> = delivered
        .wishes
        .iter()
        .flat_map(|wish| match wish {
            Wish::Commit { files, .. } => files.as_slice(),
            Wish::Branch { .. } => &[],
        })
        .collect();
    let rest = delivered
        .edits
        .files
        .keys()
        .filter(|path| !named.contains(path));
    let files: Vec<PathBuf> = rest.cloned().collect();
    let git = &config.tools.git;
    if git.auto_commit && !files.is_empty() {
        let line = delivered.title.lines().next().unwrap_or_default();
        let title = format!("{} {line}", git.commit_prefix);
        let title: String = title.trim().chars().take(TITLE_CHARACTERS_MAX).collect();
        let message = format!("{title}\n\nMeliora-Run: {}", delivered.run);
        wishes.push(Wish::Commit { message, files });
    }
    wishes
}

/// A file as it is committed, or why it is not.
fn file(
    policy: &Policy,
    delivered: Delivered<'_>,
    config: &Config,
    path: &Path,
) -> Result<File, String> {
    let path = path.to_owned();
    if let Some(edit) = delivered.edits.files.get(&path) {
        return Ok(File {
            path,
            base: Base::Text(edit.before.as_deref().map(str::to_owned)),
            after: edit.after.as_deref().map(|after| after.as_bytes().to_vec()),
        });
    }
    if !delivered.is_by_hand {
        return Err("the run did not change it".to_owned());
    }
    let place = policy.workspace().join(&path);
    let after = match place.symlink_metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(error.to_string()),
        Ok(entry) if !entry.is_file() => return Err("it is no plain file".to_owned()),
        Ok(entry) if entry.len() > config.safety.file_bytes_max() => {
            return Err("it is larger than `safety.max_file_size_mb`".to_owned());
        }
        Ok(_) => Some(std::fs::read(&place).map_err(|error| error.to_string())?),
    };
    Ok(File {
        path,
        base: Base::LastCommit,
        after,
    })
}

/// What is about to be taken back, where nobody else has it.
fn taking_back(record: &GitRecord, run: &RunId) -> RunEvent {
    let commits = record.commits.iter().rev();
    let commits = commits.map(|(id, _)| format!("the commit {}", short(id)));
    let branch = record.branch.iter();
    let branch = branch.map(|(name, _)| format!("the branch {name}"));
    let all: Vec<String> = commits.chain(branch).collect();
    RunEvent::Step {
        what: format!("taking back {}", all.join(", ")),
        reason: format!("the changes of {run} are taken back"),
    }
}

/// The permit for a change of the repository, once it is written down: by the policy, or by a yes to exactly it.
fn permit(
    (policy, approvals, consent): (&Policy, &Approvals, edit::Consent),
    action: Action,
    witness: Witness<'_>,
) -> Result<Permit, String> {
    let decision = safety::decide(policy, &action);
    let asks = matches!(decision, Decision::Ask { .. });
    let mut events = vec![RunEvent::Decided {
        action: action.clone(),
        decision,
    }];
    let digest = Matter::of(action.clone()).digest();
    let is_asked_for = consent == edit::Consent::User;
    let digest = digest.filter(|digest| asks && (is_asked_for || approvals.redeem(digest)));
    let is_approved = digest.is_some();
    events.extend(digest.map(|digest| RunEvent::Answered {
        digest,
        reply: Reply::Approved,
    }));
    witness(&events)?;
    let permit = if is_approved {
        safety::permit_approved(policy, action)
    } else {
        safety::permit(policy, action)
    };
    permit.map_err(|refusal| refusal.to_string())
}

/// What a run changed, as it is kept.
fn edits_of(images: &Images, record: &RunRecord) -> Result<EditSet, images::Error> {
    let mut edits = EditSet::default();
    for file in &record.files {
        let before = text_of(images, file.before.as_ref())?;
        let after = text_of(images, file.after.as_ref())?;
        edits.record(file.path.clone(), before, after);
    }
    Ok(edits)
}

fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}
