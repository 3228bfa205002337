//! What a run does to the repository once its files are changed, and what becomes of it when the run is taken back
//! (spec: Git Integration, `auto_commit`; Automatic rollback capability).
//!
//! Commits that a model wished for, and the one of `tools.git.auto_commit`, have exactly the run's changes. Taking a run
//! back takes its commits back as long as nobody else has them; one that must stay is answered with another commit, or
//! said.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::edit::text_of;
use crate::config::Config;
use crate::config::host::Host;
use crate::event::{Reply, RunEvent, RunId};
use crate::permit::{Action, Decision, Permit};
use crate::safety::approvals::{Approvals, Matter};
use crate::safety::{self, Policy};
use crate::store::images::{self, GitRecord, Hand, Images, RunRecord, Stage};
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
        let permit = match permit(policy, &approvals, wish.action(root), witness) {
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
        done.keep(host, root, delivered.run);
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

/// Takes back what an undone run did to the repository. The changes by which it was undone are then committed where that
/// is set and anything of them is left to commit.
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
        Ok((
            find(reversed.undone),
            edits.transpose()?.unwrap_or_default(),
        ))
    });
    let (record, edits) = match read {
        Ok((Some(record), edits)) => (record.git, edits),
        Ok((None, edits)) => (GitRecord::default(), edits),
        Err(error) => {
            done.notices
                .push(format!("its commits stay as they are: {error}"));
            return done;
        }
    };
    if !record.is_empty() {
        let person = Person::of(host, root).map_err(|error| error.to_string());
        let person = person.and_then(|person| {
            witness(&[taking_back(&record, reversed.undone)])?;
            Ok(person)
        });
        match person {
            Ok(person) => {
                done.take_back(root, &person, &record, config.tools.git.auto_commit);
                done.keep(host, root, reversed.undone);
            }
            Err(error) => done
                .notices
                .push(format!("its commits stay as they are: {error}")),
        }
    }
    let delivered = Delivered {
        run: reversed.in_effect,
        title: reversed.title,
        edits: &edits,
        wishes: &[],
        is_by_hand: false,
    };
    let committed = carry_out(host, config, policy, delivered, witness);
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
        for (id, files) in record.commits.iter().rev() {
            let short = short(id);
            match undoing::uncommit(root, person, id, files) {
                Ok(Uncommitted::Moved { branch }) => {
                    self.record.commits.retain(|(other, _)| other != id);
                    self.notices
                        .push(format!("the commit {short} was taken back"));
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
        let Some((name, from)) = record.branch.clone() else {
            return;
        };
        match undoing::unbranch(
            root,
            person,
            &Branched {
                name: name.clone(),
                from,
            },
        ) {
            Ok(Uncommitted::Moved { branch }) => {
                self.record.branch = None;
                self.notices.push(format!(
                    "the branch {name} was removed; {branch} is worked on"
                ));
            }
            Ok(Uncommitted::Kept(why)) => self
                .notices
                .push(format!("the branch {name} stays, because {why}")),
            Err(error) => self
                .notices
                .push(format!("the branch {name} stays: {error}")),
        }
    }

    /// Keeps what was done, for whoever takes the run back.
    fn keep(&mut self, host: &Host, root: &Path, run: &RunId) {
        let kept = Images::lock(host, root).and_then(|images| {
            let runs = images.runs()?;
            let known = runs.iter().find(|record| record.run == *run).cloned();
            let mut record = known.unwrap_or_else(|| {
                let mut record = RunRecord::begin(run, Hand::Disk, &runs);
                record.stage = Stage::Done;
                record
            });
            record.git = self.record.clone();
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
    policy: &Policy,
    approvals: &Approvals,
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
    let digest = digest.filter(|digest| asks && approvals.redeem(digest));
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
