//! `meliora prompts`: what the model is told, where each line came from, and the way back (spec: Prompt Manager).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::EXIT_DONE;
use super::cost::{self, Sum};
use super::paint::{self, paint};
use super::session::{self, Session};
use crate::llm::tokens;
use crate::prompt::blame::blame;
use crate::prompt::book::{Active, Book};
use crate::prompt::{PromptVersion, Template};
use crate::store::now;
use crate::store::prompts::{Kept, Origin};
use crate::store::tally::Tally;
use crate::text::edit::FileEdit;

/// Shown below the options.
const EXAMPLES: &str = "\
Examples:
  meliora prompts list               what is in force, and how it did
  meliora prompts list do            every version of one
  meliora prompts show do > .agent/prompts/do.md
  meliora prompts diff do            what the version in force changed
  meliora prompts blame do           which version brought each line
  meliora prompts pin do 0123456789  this version, whatever else there is
  meliora prompts pin do --none      let it go again
  meliora prompts rollback do        back to the version before
  meliora prompts learn do better.md a version to use until a file or a pin says otherwise
  meliora prompts learn do --none    use it no longer";

/// Digits of a digest with which a version is named.
const DIGITS: usize = 12;

/// Show what the model is told, and which version of it is in force.
///
/// A version that you pinned counts above .agent/prompts/NAME.md of the project (once you trust it), that above one
/// that was learned, that above the one that ships with the program. Every version that was in force is kept.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
    /// Print one JSON document instead of text
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Show the prompts, or every version of one, and how they did in real runs
    List {
        /// The prompt, such as `do`
        name: Option<String>,
    },
    /// Show the text of a prompt
    Show {
        /// The prompt
        name: String,
        /// The version, by the beginning of its digest; the one in force when it is not given
        version: Option<String>,
    },
    /// Show what differs between two versions
    Diff {
        /// The prompt
        name: String,
        /// The older version; the one before the newer when it is not given
        from: Option<String>,
        /// The newer version; the one in force when it is not given
        to: Option<String>,
    },
    /// Show which version brought each line
    Blame {
        /// The prompt
        name: String,
    },
    /// Keep a version in force, whatever else there is
    Pin {
        /// The prompt
        name: String,
        /// The version; the one in force when it is not given
        #[arg(conflicts_with = "none")]
        version: Option<String>,
        /// Let it go again
        #[arg(long)]
        none: bool,
    },
    /// Go back to the version before the one in force, and stay there
    Rollback {
        /// The prompt
        name: String,
    },
    /// Keep a text as a learned version: in force where neither a pin nor a file of the project counts
    Learn {
        /// The prompt
        name: String,
        /// The text, as `meliora prompts show` prints one
        #[arg(required_unless_present = "none", conflicts_with = "none")]
        file: Option<PathBuf>,
        /// Use what was learned no longer; it is kept
        #[arg(long)]
        none: bool,
    },
}

/// What versions came to in the runs of the project.
#[derive(Debug, Default)]
struct Record {
    tallies: BTreeMap<String, Tally>,
    costs: BTreeMap<String, Sum>,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> ExitCode {
    paint::ended(answer(arguments).map(|()| EXIT_DONE))
}

fn answer(arguments: &Arguments) -> anyhow::Result<()> {
    let session = session::open(Path::new("."))?;
    let book = open(&session)?;
    let json = arguments.json;
    match &arguments.what {
        What::List { name: None } => list(&session, &book, json),
        What::List { name: Some(name) } => versions(&session, &book, name, json),
        What::Show { name, version } => show(&book, name, version.as_deref(), json),
        What::Diff { name, from, to } => diff(&book, name, from.as_deref(), to.as_deref(), json),
        What::Blame { name } => who(&book, name, json),
        What::Pin {
            name, none: true, ..
        } => {
            book.get(name)?;
            book.pin(name, None)?;
            changed(&session, name, "is not pinned any more", json)
        }
        What::Pin { name, version, .. } => {
            let chosen = one(&book, name, version.as_deref())?;
            // What is pinned counts for every run from here on, so it has to be one that can be used.
            Template::read(name, &chosen.text)?;
            book.pin(name, Some(chosen.digest))?;
            changed(&session, name, "is pinned", json)
        }
        What::Rollback { name } => {
            let Some(before) = book.before(name)? else {
                bail!("`{name}` was never another one here: there is no version to go back to");
            };
            Template::read(name, &before.text)?;
            book.pin(name, Some(before.digest))?;
            changed(&session, name, "is back, and pinned", json)
        }
        What::Learn {
            name,
            file: Some(file),
            ..
        } => learn(&session, &book, name, file, json),
        What::Learn { name, .. } => {
            book.get(name)?;
            book.forget(name)?;
            changed(&session, name, "does not use what was learned", json)
        }
    }
}

/// The prompts in force; what is in force is kept, so that each command sees it as a version.
fn open(session: &Session) -> anyhow::Result<Book> {
    let book = Book::open(&session.services.host, &session.project.root);
    for notice in &book.notices {
        paint::remark(notice);
    }
    book.keep()?;
    Ok(book)
}

fn list(session: &Session, book: &Book, json: bool) -> anyhow::Result<()> {
    let record = Record::of(session)?;
    if json {
        let all: Vec<Value> = book
            .all()
            .map(|active| described(active, &record))
            .collect();
        return Ok(paint::say_json(&all)?);
    }
    for active in book.all() {
        let head = &active.template.head;
        let version = &active.template.version;
        paint::say(format!(
            "{}  {}  {}  {}",
            paint(paint::STRONG, format!("{:<9}", head.name)),
            paint(paint::THING, version.short()),
            paint(paint::FAINT, format!("{:<24}", whence(active))),
            head.purpose
        ));
        let told = record.told(&version.to_string());
        if !told.is_empty() {
            paint::say(format!("           {told}"));
        }
    }
    Ok(())
}

fn versions(session: &Session, book: &Book, name: &str, json: bool) -> anyhow::Result<()> {
    let active = book.get(name)?;
    let record = Record::of(session)?;
    let versions = book.versions(name);
    if json {
        let entry = |kept: &Kept| {
            json!({
                "digest": kept.digest,
                "parent": kept.parent,
                "origin": kept.origin,
                "milliseconds": kept.milliseconds,
                "in_force": kept.digest == active.template.version.digest,
                "tally": record.tallies.get(&named(kept)),
                "cost": record.cost(&named(kept)),
            })
        };
        let entries: Vec<Value> = versions.iter().map(entry).collect();
        return Ok(paint::say_json(&entries)?);
    }
    for kept in versions.iter().rev() {
        let is_in_force = kept.digest == active.template.version.digest;
        let mark = match (is_in_force, active.is_pinned) {
            (true, true) => "pinned",
            (true, false) => "in force",
            (false, _) => "",
        };
        let tally = record.told(&named(kept));
        paint::say(format!(
            "{}  {:<8}  {}  {}  {tally}",
            paint(paint::THING, short(&kept.digest)),
            origin(kept.origin),
            paint(
                paint::FAINT,
                format!(
                    "{:>14}",
                    paint::age(now().saturating_sub(kept.milliseconds))
                )
            ),
            paint(paint::GOOD, format!("{mark:<8}")),
        ));
    }
    Ok(())
}

fn show(book: &Book, name: &str, version: Option<&str>, json: bool) -> anyhow::Result<()> {
    if let (true, None) = (json, version) {
        let active = book.get(name)?;
        let mut document = described(active, &Record::default());
        if let Some(document) = document.as_object_mut() {
            document.insert(
                "text".to_owned(),
                Value::from(active.template.text.as_str()),
            );
        }
        return Ok(paint::say_json(&document)?);
    }
    let kept = one(book, name, version)?;
    if json {
        paint::say_json(&kept)?;
    } else {
        paint::say(kept.text.trim_end());
    }
    Ok(())
}

fn diff(
    book: &Book,
    name: &str,
    from: Option<&str>,
    to: Option<&str>,
    json: bool,
) -> anyhow::Result<()> {
    let to = one(book, name, to)?;
    let from = match (from, &to.parent) {
        (Some(from), _) => one(book, name, Some(from))?,
        (None, Some(parent)) => one(book, name, Some(parent))?,
        (None, None) => bail!(
            "version {} of `{name}` is the first one here: name another to compare it with",
            short(&to.digest)
        ),
    };
    let path = format!("{name}@{}", short(&to.digest));
    let edit = FileEdit {
        before: Some(from.text.into()),
        after: Some(to.text.into()),
    };
    let text = edit.unified_diff(Path::new(&path));
    if json {
        return Ok(paint::say_json(
            &json!({ "from": from.digest, "to": to.digest, "diff": text }),
        )?);
    }
    paint::say(paint::diff(text.trim_end()));
    Ok(())
}

fn who(book: &Book, name: &str, json: bool) -> anyhow::Result<()> {
    let digest = &book.get(name)?.template.version.digest;
    let versions = book.versions(name);
    let lines = blame(&versions, digest);
    if json {
        let line = |line: &crate::prompt::blame::Blamed<'_>| {
            json!({
                "version": line.version.digest,
                "origin": line.version.origin,
                "milliseconds": line.version.milliseconds,
                "line": line.line,
            })
        };
        let lines: Vec<Value> = lines.iter().map(line).collect();
        return Ok(paint::say_json(&lines)?);
    }
    for line in lines {
        let age = paint::age(now().saturating_sub(line.version.milliseconds));
        paint::say(format!(
            "{} {} {}",
            paint(paint::THING, short(&line.version.digest)),
            paint(
                paint::FAINT,
                format!("{:<8} {age:>14}", origin(line.version.origin))
            ),
            line.line
        ));
    }
    Ok(())
}

fn learn(
    session: &Session,
    book: &Book,
    name: &str,
    file: &Path,
    json: bool,
) -> anyhow::Result<()> {
    let shown = file.display();
    let text =
        crate::config::file::read_text(file).with_context(|| format!("cannot read {shown}"))?;
    let text = text.with_context(|| format!("there is no file {shown}"))?;
    let version = book.learn(name, &text)?;
    if json {
        return Ok(paint::say_json(&one(book, name, Some(&version.digest))?)?);
    }
    let what = format!("has learned {}", short(&version.digest));
    changed(session, name, &what, json)
}

/// Says what is in force after a change.
fn changed(session: &Session, name: &str, what: &str, json: bool) -> anyhow::Result<()> {
    let book = open(session)?;
    let active = book.get(name)?;
    if json {
        return Ok(paint::say_json(&described(active, &Record::default()))?);
    }
    paint::say(format!(
        "{} {what}; in force is {} ({})",
        paint(paint::STRONG, name),
        paint(paint::THING, active.template.version.short()),
        whence(active)
    ));
    Ok(())
}

/// The version with a digest that begins so; without one, the version in force.
fn one(book: &Book, name: &str, version: Option<&str>) -> anyhow::Result<Kept> {
    let active = book.get(name)?;
    let wanted = version.unwrap_or(&active.template.version.digest);
    let wanted = wanted.rsplit('@').next().unwrap_or(wanted);
    let mut found = book
        .versions(name)
        .into_iter()
        .filter(|kept| kept.digest.starts_with(wanted));
    match (found.next(), found.next()) {
        (Some(kept), None) => Ok(kept),
        (Some(_), Some(_)) => {
            bail!("several versions of `{name}` begin with {wanted}; give more of the digest")
        }
        (None, _) => {
            bail!("`{name}` has no version {wanted}; `meliora prompts list {name}` shows them")
        }
    }
}

fn described(active: &Active, record: &Record) -> Value {
    let Template {
        head,
        body,
        version,
        ..
    } = &active.template;
    json!({
        "name": head.name,
        "digest": version.digest,
        "version": head.version,
        "purpose": head.purpose,
        "origin": active.origin,
        "pinned": active.is_pinned,
        "tokens": tokens::count(body),
        "budget": head.tokens,
        "slots": head.slots,
        "output": head.output,
        "tally": record.tallies.get(&version.to_string()),
        "cost": record.cost(&version.to_string()),
    })
}

fn whence(active: &Active) -> String {
    let origin = match active.origin {
        Origin::Shipped => "shipped".to_owned(),
        Origin::File => format!(".agent/prompts/{}.md", active.template.head.name),
        Origin::Learned => "learned".to_owned(),
    };
    if active.is_pinned {
        format!("pinned, {}", self::origin(active.origin))
    } else {
        origin
    }
}

fn origin(origin: Origin) -> &'static str {
    match origin {
        Origin::Shipped => "shipped",
        Origin::File => "file",
        Origin::Learned => "learned",
    }
}

impl Record {
    fn of(session: &Session) -> anyhow::Result<Self> {
        let runs = session.store.runs(usize::MAX)?.into_iter();
        let runs = runs.map(|run| run.run.to_string()).collect();
        Ok(Self {
            tallies: session.store.tallies()?,
            costs: cost::of_versions(&session.services.host.state, &runs)?,
        })
    }

    fn cost(&self, version: &str) -> Option<Value> {
        let cost = self.costs.get(version)?;
        Some(json!({ "usd": cost.usd, "unpriced": cost.unpriced }))
    }

    /// What a version came to, for people; empty when it was never said.
    fn told(&self, version: &str) -> String {
        let Some(tally) = self.tallies.get(version) else {
            return String::new();
        };
        let judged = tally.succeeded + tally.failed;
        let money = match self.costs.get(version) {
            None => String::new(),
            Some(cost) if cost.unpriced == 0 => format!(", ${:.4}", cost.usd),
            Some(cost) if cost.unpriced == cost.calls => {
                ", at a price that nobody knows".to_owned()
            }
            Some(Sum { usd, unpriced, .. }) => {
                format!(", ${usd:.4} and {unpriced} calls without a known price")
            }
        };
        let shown = match tally.proposed {
            0 => String::new(),
            proposed => format!(", {proposed} more only shown"),
        };
        format!(
            "{} of {judged} runs good{shown}, {} tokens in and {} out, {} ms per call{money}",
            tally.succeeded,
            tally.tokens_in,
            tally.tokens_out,
            tally.milliseconds / tally.calls.max(1)
        )
    }
}

fn named(kept: &Kept) -> String {
    let version = PromptVersion {
        name: kept.name.clone(),
        digest: kept.digest.clone(),
    };
    version.to_string()
}

fn short(digest: &str) -> &str {
    digest.get(..DIGITS).unwrap_or(digest)
}
