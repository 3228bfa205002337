//! `meliora plugin`: tools that others wrote, looked at, approved, tried, begun (spec: Plugin Architecture).
//!
//! A plugin counts once the user approved exactly its two files. An approval is kept outside of every workspace and
//! stands in the journal.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use serde::Serialize;

use super::paint::{self, paint};
use super::session::{self, Session};
use super::{EXIT_DONE, EXIT_PROBLEMS};
use crate::agent::copy::Copy;
use crate::agent::task::{Kind, Task};
use crate::config::host::Host;
use crate::event::{Configuring, Outcome, RunEvent};
use crate::plugins::manifest::{Code, Manifest, is_name};
use crate::plugins::pin::{self, Standing};
use crate::plugins::template::{self, Sdk};
use crate::plugins::{Error, Owner, Place, Plugin, guest, places};
use crate::safety::Policy;
use crate::tools::Checker;

/// Shown below the options.
const EXAMPLES: &str = "\
Examples:
  meliora plugin new word-count           begin one, with a test that passes
  meliora plugin show word-count          what it is and what it may do
  meliora plugin approve word-count       let it count, as it is now
  meliora plugin test word-count          load it where it would be called
  meliora tool call word-count__count '{\"path\": \"README.md\"}'

Plugins are folders with a plugin.toml: .agent/plugins/NAME/ of a project, ~/.config/agent/plugins/NAME/ of yours.";

/// List, approve and begin plugins: tools that others wrote.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// A folder of the project
    #[arg(long, global = true, default_value = ".", value_name = "PATH")]
    project: PathBuf,
    /// Print one JSON document instead of text
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Every plugin of the project and of the user, and whether it counts
    List,
    /// What a plugin is, what it may do, and its tools
    Show {
        /// Its name
        name: String,
    },
    /// Let a plugin count, exactly as it is now
    Approve {
        /// Its name
        name: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Let a plugin count no longer
    Revoke {
        /// Its name
        name: String,
    },
    /// Load an approved plugin in its sandbox, and call nothing
    Test {
        /// Its name
        name: String,
    },
    /// Begin a plugin: code, manifest, a test that passes, a page that explains them
    New(New),
}

/// Begin a plugin.
#[derive(Debug, Args)]
struct New {
    /// Its name: small letters, digits, hyphens
    name: String,
    /// The folder to make; that of its name when it is not given
    #[arg(long, value_name = "FOLDER")]
    path: Option<PathBuf>,
    /// A checkout of the SDK to use, in place of a copy beside the plugin
    #[arg(long, value_name = "FOLDER", conflicts_with = "git")]
    sdk: Option<PathBuf>,
    /// A repository with the SDK to use, in place of a copy beside the plugin
    #[arg(long, value_name = "URL")]
    git: Option<String>,
    /// Build a component of WebAssembly, in place of a library of this machine's code
    #[arg(long)]
    wasm: bool,
}

/// A plugin, for machines.
#[derive(Debug, Serialize)]
struct Document {
    name: String,
    folder: PathBuf,
    owner: Owner,
    #[serde(skip_serializing_if = "Option::is_none")]
    standing: Option<Standing>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    manifest: Option<Manifest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Where plugins are looked for.
struct Scene {
    host: Host,
    /// The project, or the home folder where there is none.
    root: PathBuf,
    has_project: bool,
}

impl Scene {
    fn open(path: &Path) -> anyhow::Result<Self> {
        let host = super::place::host()?;
        let found = super::place::find(path, &host.home).ok();
        let has_project = found.is_some();
        let root = found.map_or_else(|| host.home.clone(), |project| project.root);
        Ok(Self {
            host,
            root,
            has_project,
        })
    }

    fn place(&self, name: &str) -> anyhow::Result<Place> {
        let mut all = places(&self.host, &self.root).into_iter();
        let found = all.find(|place| place.name == name);
        found.with_context(|| {
            format!("there is no plugin `{name}`; `meliora plugin list` shows them and `meliora plugin new {name}` begins one")
        })
    }

    fn document(&self, place: &Place) -> (Document, Option<Plugin>) {
        let opened = place.open();
        let standing = |plugin: &Plugin| Standing::of(plugin, &self.host, &self.root);
        let document = Document {
            name: place.name.clone(),
            folder: place.folder.clone(),
            owner: place.owner,
            standing: opened.as_ref().ok().map(standing),
            digest: opened.as_ref().ok().map(|plugin| plugin.digest.clone()),
            manifest: place.manifest().ok(),
            error: opened.as_ref().err().map(ToString::to_string),
        };
        (document, opened.ok())
    }

    fn record(&self, change: Configuring, place: &Place, digest: &str) {
        let event = RunEvent::Configured {
            change,
            key: format!("plugin {}", place.name),
            value: digest.to_owned(),
            place: place.folder.display().to_string(),
        };
        let title = match change {
            Configuring::Trusted => format!("approve plugin {}", place.name),
            _ => format!("revoke plugin {}", place.name),
        };
        let is_of_project = self.has_project && place.owner == Owner::Project;
        let root = is_of_project.then_some(self.root.as_path());
        session::note_configured(&self.host, root, &title, vec![event]);
    }
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> ExitCode {
    paint::ended(answer(arguments))
}

fn answer(arguments: &Arguments) -> anyhow::Result<u8> {
    if let Command::New(new) = &arguments.command {
        return begin(new, arguments.json);
    }
    if let Command::Test { name } = &arguments.command {
        return test(name, arguments);
    }
    let scene = Scene::open(&arguments.project)?;
    match &arguments.command {
        Command::List => list(&scene, arguments.json),
        Command::Show { name } => show(&scene, name, arguments.json),
        Command::Approve { name, yes } => approve(&scene, name, *yes, arguments.json),
        Command::Revoke { name } => revoke(&scene, name, arguments.json),
        Command::New(_) | Command::Test { .. } => Ok(EXIT_DONE),
    }
}

fn list(scene: &Scene, json: bool) -> anyhow::Result<u8> {
    let places = places(&scene.host, &scene.root);
    let documents = places.iter().map(|place| scene.document(place).0);
    let documents: Vec<Document> = documents.collect();
    if json {
        paint::say_json(&documents)?;
        return Ok(EXIT_DONE);
    }
    if documents.is_empty() {
        paint::say("there are no plugins; `meliora plugin new NAME` begins one");
    }
    for document in &documents {
        let name = paint(paint::THING, &document.name);
        let owner = paint(paint::FAINT, document.owner.name());
        let standing = match document.standing {
            Some(Standing::Approved) => paint(paint::GOOD, Standing::Approved.name()),
            Some(other) => paint(paint::CAUTION, other.name()),
            None => paint(paint::BAD, "unusable"),
        };
        let said = match (&document.error, &document.manifest) {
            (Some(error), _) => error.clone(),
            (None, Some(manifest)) => manifest.description.clone(),
            (None, None) => String::new(),
        };
        paint::say(format!(
            "{name}  {standing}  {owner}  {}",
            paint::plain(&said)
        ));
    }
    Ok(EXIT_DONE)
}

fn show(scene: &Scene, name: &str, json: bool) -> anyhow::Result<u8> {
    let (document, plugin) = scene.document(&scene.place(name)?);
    let is_usable = plugin.is_some();
    if json {
        paint::say_json(&document)?;
    } else if let Some(plugin) = &plugin {
        explain(plugin, document.standing);
    } else {
        bail!(document.error.unwrap_or_default());
    }
    Ok(if is_usable { EXIT_DONE } else { EXIT_PROBLEMS })
}

fn explain(plugin: &Plugin, standing: Option<Standing>) {
    let Manifest {
        name,
        version,
        description,
        author,
        entry_point,
        permissions,
        limits,
        tools,
    } = &plugin.manifest;
    let title = format!("{name} {version}");
    paint::say(format!(
        "{}  {}",
        paint(paint::STRONG, paint::plain(&title)),
        paint::plain(description)
    ));
    if !author.is_empty() {
        paint::say(format!("by {}", paint::plain(author)));
    }
    let library = plugin.place.folder.join(entry_point).display().to_string();
    paint::say(format!(
        "{} ({}, {})",
        paint::plain(&library),
        plugin.manifest.code().said(),
        plugin.place.owner.name()
    ));
    paint::say(format!("sha256 {}", plugin.digest));
    for right in permissions.said() {
        paint::say(format!("  {}", paint(paint::CAUTION, right)));
    }
    paint::say(format!(
        "  at most {} MB and {} s in a call",
        limits.memory_mb, limits.seconds
    ));
    for tool in tools {
        let full = paint(paint::THING, format!("{name}__{}", tool.name));
        paint::say(format!("{full}  {}", paint::plain(&tool.description)));
        for parameter in &tool.parameters {
            let needed = if parameter.required { "" } else { ", optional" };
            let kind = parameter.kind.name();
            paint::say(format!(
                "    {} ({kind}{needed})  {}",
                parameter.name,
                paint::plain(&parameter.description)
            ));
        }
    }
    if let Some(standing) = standing {
        paint::say(standing.name());
    }
}

fn approve(scene: &Scene, name: &str, yes: bool, json: bool) -> anyhow::Result<u8> {
    let place = scene.place(name)?;
    let plugin = place.open()?;
    if !json {
        explain(&plugin, None);
    }
    if !yes && !is_wanted()? {
        paint::remark("nothing was changed: give --yes to approve it as it is");
        return Ok(EXIT_PROBLEMS);
    }
    let pins = pin::pins(&place, &scene.host, &scene.root);
    pins.grant(name, &plugin.digest)?;
    scene.record(Configuring::Trusted, &place, &plugin.digest);
    if json {
        paint::say_json(&scene.document(&place).0)?;
    } else {
        paint::say(format!(
            "{} it counts, as it is now",
            paint(paint::GOOD, "approved:")
        ));
    }
    Ok(EXIT_DONE)
}

fn is_wanted() -> anyhow::Result<bool> {
    let input = std::io::stdin();
    if !input.is_terminal() {
        return Ok(false);
    }
    anstream::print!(
        "Approve it as it is? Its code runs in a sandbox and may do what is said above. [y/N] "
    );
    anstream::stdout().flush()?;
    let mut line = String::new();
    input.read_line(&mut line)?;
    let line = line.trim().to_ascii_lowercase();
    Ok(matches!(line.as_str(), "y" | "yes"))
}

fn revoke(scene: &Scene, name: &str, json: bool) -> anyhow::Result<u8> {
    if !is_name(name) {
        bail!("`{name}` is no name of a plugin");
    }
    // One that is gone from the disk can still be approved.
    let gone = || Place {
        name: name.to_owned(),
        folder: PathBuf::new(),
        owner: Owner::Project,
    };
    let place = scene.place(name).unwrap_or_else(|_| gone());
    let mut was_approved = false;
    for owner in [Owner::User, Owner::Project] {
        let place = Place {
            owner,
            ..place.clone()
        };
        let pins = pin::pins(&place, &scene.host, &scene.root);
        if let Some(digest) = pins.get(name) {
            was_approved = true;
            pins.revoke(name)?;
            scene.record(Configuring::Distrusted, &place, &digest);
        }
    }
    if !was_approved {
        anyhow::bail!("`{name}` was not approved; `meliora plugin list` shows what is");
    }
    if json {
        paint::say_json(&serde_json::json!({ "name": name, "standing": Standing::Unknown }))?;
    } else {
        paint::say(format!("{name} does not count any longer"));
    }
    Ok(EXIT_DONE)
}

fn test(name: &str, arguments: &Arguments) -> anyhow::Result<u8> {
    let session = session::open(&arguments.project)?;
    let host = Arc::clone(&session.services.host);
    let root = session.project.root.clone();
    let mut all = places(&host, &root).into_iter();
    let place = all.find(|place| place.name == name);
    let place = place.with_context(|| {
        format!("there is no plugin `{name}`; `meliora plugin list` shows them")
    })?;
    session.store.kept()?;
    session.record(vec![RunEvent::Started {
        kind: "tool".to_owned(),
        title: format!("load plugin {name}"),
        workspace: root.clone(),
    }]);
    let started = Instant::now();
    let loaded = session::block_on(load(&session, &place, &host, &root))?;
    let milliseconds = started.elapsed().as_millis();
    let outcome = match &loaded {
        Ok(()) => Outcome::Nothing {
            reason: "it was loaded".to_owned(),
        },
        Err(error) => Outcome::Failed {
            message: session
                .services
                .redactor
                .clean(&error.to_string())
                .into_owned(),
        },
    };
    session.record(vec![RunEvent::Finished(outcome)]);
    if let Err(error) = session.store.flush() {
        paint::remark(format!("the journal could not be written: {error}"));
    }
    if arguments.json {
        let error = loaded.as_ref().err().map(ToString::to_string);
        let document = serde_json::json!({
            "name": name, "loaded": loaded.is_ok(), "milliseconds": milliseconds, "error": error,
        });
        paint::say_json(&document)?;
    } else {
        match &loaded {
            Ok(()) => paint::say(format!(
                "{} {name} was loaded in its sandbox and speaks the interface ({milliseconds} ms)",
                paint(paint::GOOD, "✓")
            )),
            Err(error) => paint::complain(error),
        }
    }
    Ok(if loaded.is_ok() {
        EXIT_DONE
    } else {
        EXIT_PROBLEMS
    })
}

async fn load(
    session: &Session,
    place: &Place,
    host: &Arc<Host>,
    root: &Path,
) -> Result<(), Error> {
    let services = &session.services;
    let task = Task {
        run: session.run.clone(),
        kind: Kind::Do(place.name.clone()),
        workspace: root.to_owned(),
        overlay: BTreeMap::new(),
        focus: None,
        problems: Vec::new(),
    };
    let policy = Policy::new(host, &services.config, root);
    let (checker, questions) = Checker::new();
    let mut copy = Copy::new(&task, services);
    let witness = session.witness_of_tools();
    let working = Box::pin(guest::try_loading(place, host, &policy, &checker, &witness));
    copy.attend(working, questions).await
}

fn begin(new: &New, json: bool) -> anyhow::Result<u8> {
    let New {
        name,
        path,
        sdk,
        git,
        wasm,
    } = new;
    if !is_name(name) {
        bail!(
            "`{name}` is no name of a plugin: small letters, digits and single hyphens, beginning with a letter"
        );
    }
    let folder = path.clone().unwrap_or_else(|| PathBuf::from(name));
    let sdk = match (sdk, git) {
        (Some(path), _) => {
            let path = path.canonicalize();
            let path = path.with_context(|| "--sdk is no folder; give src/sdk of a checkout")?;
            if !path.join("Cargo.toml").is_file() {
                bail!("{} is no crate; give src/sdk of a checkout", path.display());
            }
            Sdk::Path(path)
        }
        (None, Some(url)) => Sdk::Git(url.clone()),
        (None, None) => Sdk::Copy,
    };
    let code = if *wasm {
        Code::Component
    } else {
        Code::Library
    };
    let written = template::write(&folder, name, code, &sdk)?;
    if json {
        paint::say_json(&written)?;
        return Ok(EXIT_DONE);
    }
    for file in &written {
        paint::say(file.display());
    }
    if *wasm && !cfg!(feature = "wasm") {
        paint::remark(
            "this program runs no `.wasm`: install it with `cargo install --path . --features wasm`",
        );
    }
    let folder = folder.display().to_string();
    paint::say(format!(
        "`cargo test` in {} passes; its README.md says how to go on",
        paint::plain(&folder)
    ));
    Ok(EXIT_DONE)
}

/// Is the process in which a plugin is loaded: keeps the streams for the host and leaves the plugin none.
#[cfg(target_os = "linux")]
pub fn host() -> ExitCode {
    use std::fs::File;
    use std::os::fd::AsFd;

    use crate::plugins::host;

    let streams = || -> std::io::Result<(File, File)> {
        let input = std::io::stdin().as_fd().try_clone_to_owned()?;
        let output = std::io::stdout().as_fd().try_clone_to_owned()?;
        rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
        rustix::stdio::dup2_stdout(std::io::stderr())?;
        Ok((input.into(), output.into()))
    };
    let code = streams().map_or(1, |(input, output)| host::run(input, output));
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
