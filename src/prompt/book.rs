//! Which text of each prompt is in force, and where it came from (spec: Prompt Manager, prompt versioning and rollback).
//!
//! A version that the user pinned counts above a file of the workspace, that above a learned version, that above what is
//! shipped. Whatever was in force is kept under what it says, with the version that it followed.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use super::render::{self, Frame, Rendered, Slot};
use super::template::{Error, PromptVersion, Template, contract, shipped};
use crate::config::host::Host;
use crate::config::names;
use crate::config::prompt_files::{self, PromptFiles};
use crate::store;
use crate::store::prompts::{Archive, Kept, Origin, Standing};

/// The prompts in force.
#[derive(Debug, Clone)]
pub struct Book {
    active: BTreeMap<String, Active>,
    archive: Option<Archive>,
    /// What people should know: files that do not count, and why.
    pub notices: Vec<String>,
}

/// A prompt in force.
#[derive(Debug, Clone)]
pub struct Active {
    /// Its text.
    pub template: Template,
    /// Where it came from.
    pub origin: Origin,
    /// Whether the user pinned it.
    pub is_pinned: bool,
}

impl Default for Book {
    fn default() -> Self {
        let active = shipped().iter().map(|template| {
            let active = Active::new(template.clone(), Origin::Shipped);
            (template.head.name.clone(), active)
        });
        Self {
            active: active.collect(),
            archive: None,
            notices: Vec::new(),
        }
    }
}

impl Active {
    fn new(template: Template, origin: Origin) -> Self {
        Self {
            template,
            origin,
            is_pinned: false,
        }
    }
}

impl Book {
    /// The prompts in force for a workspace at this moment.
    pub fn open(host: &Host, workspace: &Path) -> Self {
        let archive = Archive::of(host, workspace);
        let mut book = Self::default();
        let mut files = prompt_files::read(workspace);
        book.leave_untrusted(&mut files, host, workspace);
        for template in shipped() {
            let active = book.choose(template, &files, &archive);
            book.active.insert(template.head.name.clone(), active);
        }
        book.archive = Some(archive);
        book
    }

    /// The prompt of that name.
    pub fn get(&self, name: &str) -> Result<&Active, Error> {
        let names = || self.active.keys().map(String::as_str);
        self.active
            .get(name)
            .ok_or_else(|| Error::Unknown(names::unknown("prompt", name, names())))
    }

    /// Every prompt, by name.
    pub fn all(&self) -> impl Iterator<Item = &Active> {
        self.active.values()
    }

    /// Fills a prompt in.
    pub fn render(
        &self,
        name: &str,
        slots: &[(&str, Slot)],
        frame: Frame<'_>,
    ) -> Result<Rendered, Error> {
        let active = self.get(name)?;
        let wanted = contract(name).unwrap_or(&active.template);
        render::render(&active.template, &wanted.head, slots, frame)
    }

    /// Keeps what is in force, so that there is a way back to it. Blocks on the disk.
    pub fn keep(&self) -> io::Result<()> {
        let Some(archive) = &self.archive else {
            return Ok(());
        };
        for (name, active) in &self.active {
            let mut standing = archive.standing(name);
            let digest = &active.template.version.digest;
            if standing.trail.last() == Some(digest) {
                continue;
            }
            if standing.trail.is_empty()
                && active.origin != Origin::Shipped
                && let Some(first) = contract(name)
            {
                archive.keep(kept(first, Origin::Shipped, None))?;
                standing.trail.push(first.version.digest.clone());
            }
            // A file that changed follows the file, also when something else was in force until it was trusted.
            let versions = versions(archive, name);
            let is_alike = |digest: &&String| {
                let mut alike = versions.iter().filter(|kept| kept.origin == active.origin);
                alike.any(|kept| kept.digest == **digest)
            };
            let before = standing.trail.iter().rev().find(is_alike);
            let parent = before.or(standing.trail.last()).cloned();
            archive.keep(kept(&active.template, active.origin, parent))?;
            standing.trail.push(digest.clone());
            archive.stand(name, standing)?;
        }
        Ok(())
    }

    /// Every version of a prompt that was ever in force, the oldest first. A text that is not what its name says is
    /// left out.
    pub fn versions(&self, name: &str) -> Vec<Kept> {
        self.archive
            .as_ref()
            .map_or_else(Vec::new, |archive| versions(archive, name))
    }

    /// The version that a prompt had before the one in force.
    pub fn before(&self, name: &str) -> Result<Option<Kept>, Error> {
        let digest = &self.get(name)?.template.version.digest;
        let versions = self.versions(name);
        let parent = versions.iter().find(|kept| kept.digest == *digest);
        let parent = parent.and_then(|kept| kept.parent.as_ref());
        Ok(versions
            .iter()
            .find(|kept| Some(&kept.digest) == parent)
            .cloned())
    }

    /// Pins a prompt to a version, or lets it go again.
    pub fn pin(&self, name: &str, digest: Option<String>) -> io::Result<()> {
        self.change(name, |standing| standing.pinned = digest)
    }

    /// Puts a learned text in force where neither a pin nor a file counts; it follows the version that is in force now.
    /// What could not be used is refused.
    pub fn learn(&self, name: &str, text: &str) -> Result<PromptVersion, Error> {
        let template = Template::read(name, text)?;
        let parent = Some(self.get(name)?.template.version.digest.clone());
        let version = template.version.clone();
        let learn = || -> io::Result<()> {
            let Some(archive) = &self.archive else {
                return Ok(());
            };
            archive.keep(kept(&template, Origin::Learned, parent))?;
            self.change(name, |standing| {
                standing.learned = Some(version.digest.clone());
            })
        };
        learn().map_err(|error| Error::Body {
            name: name.to_owned(),
            message: format!("cannot keep it: {error}"),
        })?;
        Ok(version)
    }

    /// Uses what was learned no longer; it is kept.
    pub fn forget(&self, name: &str) -> io::Result<()> {
        self.change(name, |standing| standing.learned = None)
    }

    fn change(&self, name: &str, change: impl FnOnce(&mut Standing)) -> io::Result<()> {
        let Some(archive) = &self.archive else {
            return Ok(());
        };
        let mut standing = archive.standing(name);
        change(&mut standing);
        archive.stand(name, standing)
    }

    fn leave_untrusted(&mut self, files: &mut PromptFiles, host: &Host, workspace: &Path) {
        for name in files.texts.keys().filter(|name| contract(name).is_none()) {
            let known = shipped().iter().map(|template| template.head.name.as_str());
            let message = names::unknown("prompt", name, known);
            self.notices
                .push(format!("{}/{name}.md: {message}", prompt_files::FOLDER));
        }
        if !files.are_trusted(host, workspace) {
            let names: Vec<&str> = files.texts.keys().map(String::as_str).collect();
            self.notices.push(format!(
                "{} has prompts ({}): not used until you run `meliora trust` in this workspace",
                prompt_files::FOLDER,
                names.join(", ")
            ));
            files.texts.clear();
        }
    }

    fn choose(&mut self, shipped: &Template, files: &PromptFiles, archive: &Archive) -> Active {
        let name = &shipped.head.name;
        let standing = archive.standing(name);
        let kept = if standing == Standing::default() {
            Vec::new()
        } else {
            versions(archive, name)
        };
        let mut find = |digest: Option<&String>, what: &str| {
            let digest = digest?;
            let version = kept.iter().find(|kept| kept.digest == *digest);
            let read = version.map(|kept| (Template::read(name, &kept.text), kept.origin));
            match read {
                Some((Ok(template), origin)) => return Some(Active::new(template, origin)),
                Some((Err(error), _)) => {
                    self.notices.push(format!(
                        "the {what} version of `{name}` is not used: {error}"
                    ));
                }
                None => {
                    let text = format!(
                        "the {what} version of `{name}` is gone or was altered: it is not used"
                    );
                    self.notices.push(text);
                }
            }
            None
        };
        if let Some(mut pinned) = find(standing.pinned.as_ref(), "pinned") {
            pinned.is_pinned = true;
            return pinned;
        }
        let wrong = match files.texts.get(name) {
            None => None,
            Some(Err(error)) => Some(error.clone()),
            Some(Ok(text)) => match Template::read(name, text) {
                Ok(template) => return Active::new(template, Origin::File),
                Err(error) => Some(error.to_string()),
            },
        };
        if wrong.is_some() {
            let last = kept
                .iter()
                .find(|kept| Some(&kept.digest) == standing.trail.last());
            let last = last
                .filter(|kept| kept.origin == Origin::File)
                .map(|kept| &kept.digest);
            let stays = find(last, "last");
            self.notices.extend(wrong.map(|why| {
                format!(
                    "{}/{name}.md: {why}; the prompt stays as it was",
                    prompt_files::FOLDER
                )
            }));
            if let Some(last) = stays {
                return last;
            }
        } else if let Some(learned) = find(standing.learned.as_ref(), "learned") {
            return learned;
        }
        Active::new(shipped.clone(), Origin::Shipped)
    }
}

fn versions(archive: &Archive, name: &str) -> Vec<Kept> {
    let mut versions = archive.versions(name);
    versions.retain(|kept| PromptVersion::of(name, &kept.text).digest == kept.digest);
    versions
}

fn kept(template: &Template, origin: Origin, parent: Option<String>) -> Kept {
    Kept {
        name: template.head.name.clone(),
        digest: template.version.digest.clone(),
        text: template.text.clone(),
        parent,
        origin,
        milliseconds: store::now(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    struct Place {
        _folder: tempfile::TempDir,
        host: Host,
        work: PathBuf,
    }

    impl Place {
        fn new() -> Self {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let work = folder.path().join("work");
            std::fs::create_dir_all(work.join(prompt_files::FOLDER)).expect("made");
            let home = [("HOME".to_owned(), folder.path().display().to_string())];
            let host = Host::from_environment("/nowhere/meliora".into(), home.into());
            Self {
                _folder: folder,
                host,
                work,
            }
        }

        fn write(&self, text: &str) {
            let path = self.work.join(prompt_files::FOLDER).join("do.md");
            std::fs::write(path, text).expect("written");
        }

        fn trust(&self) {
            prompt_files::read(&self.work)
                .grant(&self.host, &self.work)
                .expect("granted");
        }

        fn open(&self) -> Book {
            let book = Book::open(&self.host, &self.work);
            book.keep().expect("kept");
            book
        }
    }

    fn own(words: &str) -> String {
        let text = &contract("do").expect("it is shipped").text;
        text.replace("The user asks:", words)
    }

    fn in_force(book: &Book) -> (String, Origin, bool) {
        let active = book.get("do").expect("it is known");
        let first = active.template.body.lines().next().expect("a line");
        (first.to_owned(), active.origin, active.is_pinned)
    }

    #[test]
    fn a_file_counts_once_trusted_and_a_wrong_one_leaves_the_prompt_as_it_was() {
        let place = Place::new();
        let asks = "The user asks:".to_owned();
        assert_eq!(
            in_force(&place.open()),
            (asks.clone(), Origin::Shipped, false)
        );
        place.write(&own("One:"));
        let book = place.open();
        assert_eq!(in_force(&book), (asks, Origin::Shipped, false));
        assert!(
            book.notices[0].contains("meliora trust"),
            "{:?}",
            book.notices
        );
        place.trust();
        assert_eq!(
            in_force(&place.open()),
            ("One:".to_owned(), Origin::File, false)
        );
        place.write(&own("Two: {{ nothing }}"));
        place.trust();
        let book = place.open();
        assert_eq!(in_force(&book), ("One:".to_owned(), Origin::File, false));
        assert!(
            book.notices[0].contains("stays as it was"),
            "{:?}",
            book.notices
        );
        place.write(&own("Two:"));
        place.trust();
        let book = place.open();
        assert_eq!(
            (in_force(&book), book.notices.len()),
            (("Two:".to_owned(), Origin::File, false), 0)
        );
    }

    #[test]
    fn versions_follow_each_other_and_a_pin_counts_above_all() {
        let place = Place::new();
        place.open();
        for words in ["One:", "Two:"] {
            place.write(&own(words));
            place.trust();
            place.open();
        }
        let book = place.open();
        let versions = book.versions("do");
        assert_eq!(versions.len(), 3);
        for (older, newer) in versions.iter().zip(versions.iter().skip(1)) {
            assert_eq!(newer.parent.as_ref(), Some(&older.digest));
        }
        let before = book.before("do").expect("known").expect("there is one");
        assert!(before.text.contains("One:"));
        book.pin("do", Some(before.digest)).expect("pinned");
        assert_eq!(
            in_force(&place.open()),
            ("One:".to_owned(), Origin::File, true)
        );
        book.pin("do", None).expect("let go");
        assert_eq!(
            in_force(&place.open()),
            ("Two:".to_owned(), Origin::File, false)
        );
        assert!(matches!(book.get("doo"), Err(Error::Unknown(said)) if said.contains("`do`")));
    }

    #[test]
    fn a_learned_text_counts_above_what_is_shipped_and_an_altered_one_does_not() {
        let place = Place::new();
        let book = place.open();
        assert!(
            book.learn("do", &own("{{ nothing }}")).is_err(),
            "it cannot be used"
        );
        let version = book.learn("do", &own("Learned:")).expect("it is learned");
        assert_eq!(
            in_force(&place.open()),
            ("Learned:".to_owned(), Origin::Learned, false)
        );
        place.write(&own("Mine:"));
        place.trust();
        assert_eq!(
            in_force(&place.open()),
            ("Mine:".to_owned(), Origin::File, false)
        );
        std::fs::remove_file(place.work.join(prompt_files::FOLDER).join("do.md")).expect("gone");
        let file = place
            .host
            .state_of(&place.work)
            .join(format!("prompts/do/{}.json", version.digest));
        let text = std::fs::read_to_string(&file).expect("it is kept");
        std::fs::write(&file, text.replace("Learned:", "Obey me:")).expect("altered");
        let book = place.open();
        assert_eq!(in_force(&book).1, Origin::Shipped);
        assert!(book.notices[0].contains("altered"), "{:?}", book.notices);
    }
}
