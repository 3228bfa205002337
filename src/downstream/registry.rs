//! Which language servers exist, and which of them a workspace needs (spec: LSP Manager, registry).
//!
//! The entries of the configuration come first, then the built-in ones. Servers that are alternatives share a [`Post`],
//! which the first that answers fills ([`super::discovery`]).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde_json::Value;

use super::builtin;
use super::discovery::{self, Missing};
use crate::config::features::{self, Feature};
use crate::config::host::Host;
use crate::config::{self, RootStrategy, names};
use crate::text::json;
use crate::text::walk::{DirEntry, Dotted, walk};

pub use builtin::built_in;

/// Files looked at when a workspace has no root pattern that tells its languages.
const FILES_LOOKED_AT_MAX: usize = 2_000;

/// Folders below the root that are looked into for files of a language.
const DEPTH_MAX: usize = 4;

/// Stands for every language.
pub const ANY_LANGUAGE: &str = "*";

/// One language server: how it is called and what it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Name for people, logs and status.
    pub name: String,
    /// Program: a name looked up on `PATH`, or an absolute path.
    pub command: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Added to its environment.
    pub environment: BTreeMap<String, String>,
    /// Language ids, as in `textDocument/didOpen`, it serves; [`ANY_LANGUAGE`] for all.
    pub languages: Vec<String>,
    /// Files or folders whose presence in a folder makes that folder a root for this server.
    pub root_patterns: Vec<String>,
    /// Which folders one process of it serves.
    pub root_strategy: RootStrategy,
    /// Endings of the files it serves, without the dot.
    pub endings: Vec<String>,
    /// How to get it, as a sentence for people.
    pub hint: String,
    /// Laid over the editor's `initializationOptions`; null: nothing.
    pub initialization_options: Value,
    /// Its settings; null: none.
    pub settings: Value,
    /// It is used for these features only; none: for all.
    pub only_features: Vec<Feature>,
    /// It is not used for these features.
    pub except_features: Vec<Feature>,
    /// Where several servers can answer, the one with the highest number is first.
    pub priority: i32,
    /// What it is one of several for: of the servers of one group, the first that answers is used.
    pub group: String,
    /// Whether it only complements others: nobody misses it where it is not installed.
    pub is_complement: bool,
    /// Whether its files lie in projects of every kind: they alone are no reason to start it.
    pub is_everywhere: bool,
    /// Whether its program may carry a number, as in `clangd-19`.
    pub is_numbered: bool,
    /// How it says its version.
    pub version: Version,
}

/// How a server says its version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// Asked with `--version`, else with `version`.
    Asked,
    /// A program beside it says it for it.
    Beside(&'static str),
    /// As [`Version::Asked`]; it is this server only from this number on.
    From(u32),
}

impl Server {
    /// Whether it serves texts of a language. Who serves TypeScript serves its React dialect.
    pub fn speaks(&self, language: &str) -> bool {
        let knows = |language: &str| {
            let mut known = self.languages.iter();
            known.any(|known| known == language || known == ANY_LANGUAGE)
        };
        knows(language) || language.strip_suffix("react").is_some_and(knows)
    }

    /// Whether it is used for a method: what the user said, before what it can do.
    pub fn takes_part(&self, method: &str) -> bool {
        features::takes_part(&self.only_features, &self.except_features, method)
    }

    /// Whether the user keeps it from nothing.
    pub fn is_for_everything(&self) -> bool {
        self.only_features.is_empty() && self.except_features.is_empty()
    }

    /// What the user set for a section such as `python.analysis`; of all, when the section is empty. Keys with dots in
    /// them count as well as nested ones.
    pub fn section(&self, section: &str) -> Option<&Value> {
        if section.is_empty() {
            return (!self.settings.is_null()).then_some(&self.settings);
        }
        within(&self.settings, section)
    }

    /// The body of the editor's `initialize` with this server's options laid over the editor's.
    pub fn greeting(&self, initialize: &Bytes) -> Bytes {
        if self.initialization_options.is_null() {
            return initialize.clone();
        }
        let Ok(mut message) = serde_json::from_slice::<Value>(initialize) else {
            return initialize.clone();
        };
        let mut params = json::take(&mut message, "params");
        let mut options = json::take(&mut params, "initializationOptions");
        json::lay_over(&mut options, &self.initialization_options);
        json::set(&mut params, "initializationOptions", options);
        json::set(&mut message, "params", params);
        Bytes::from(message.to_string())
    }
}

fn within<'value>(value: &'value Value, section: &str) -> Option<&'value Value> {
    let object = value.as_object()?;
    object.iter().find_map(|(key, inner)| {
        let rest = section.strip_prefix(key.as_str())?;
        if rest.is_empty() {
            Some(inner)
        } else {
            within(inner, rest.strip_prefix('.')?)
        }
    })
}

/// A place among the servers of a workspace, and who may fill it: the first that answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Post {
    /// Never empty, best first.
    pub alternatives: Vec<Server>,
    /// Whether the user should know when nobody fills it.
    pub is_needed: bool,
}

/// A program that may be a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The server that it would be.
    pub server: Server,
    /// Its executable.
    pub program: PathBuf,
}

impl Post {
    /// The server that is tried first.
    pub fn first(&self) -> &Server {
        self.alternatives.first().expect("a post is never empty")
    }

    /// Whether any of its servers serves texts of a language.
    pub fn speaks(&self, language: &str) -> bool {
        self.alternatives
            .iter()
            .any(|server| server.speaks(language))
    }

    /// Every program that may fill it, in the order in which they are tried.
    pub fn candidates(&self, host: &Host, trusted: Option<&Path>) -> Vec<Candidate> {
        let of = |server: &Server| {
            let programs = discovery::candidates(server, host, trusted).into_iter();
            let server = server.clone();
            programs.map(move |program| Candidate {
                server: server.clone(),
                program,
            })
        };
        self.alternatives.iter().flat_map(of).collect()
    }

    /// Whether all that may fill it only complement others.
    pub fn is_complement(&self) -> bool {
        self.alternatives.iter().all(|server| server.is_complement)
    }

    /// Sorts posts best first: those that complement others come last, and what the user prefers first.
    pub fn rank(&self) -> (bool, std::cmp::Reverse<i32>) {
        let priority = self.alternatives.iter().map(|server| server.priority);
        let priority = priority.max().unwrap_or_default();
        (self.is_complement(), std::cmp::Reverse(priority))
    }

    fn is_everywhere(&self) -> bool {
        self.alternatives.iter().all(|server| server.is_everywhere)
    }

    /// Why nobody fills it.
    pub fn missing(&self, tried: Vec<(PathBuf, String)>) -> Missing {
        let names: Vec<&str> = self
            .alternatives
            .iter()
            .map(|server| server.name.as_str())
            .collect();
        Missing {
            names: names.join(", "),
            tried,
            hint: self.first().hint.clone(),
        }
    }
}

/// The built-in servers and those of the configuration, which come first. A configured one with a command replaces the
/// built-in one of its name and all that are alternatives to it; one without adjusts the built-in one.
pub fn servers(config: &config::Lsp) -> Vec<Server> {
    let models = built_in();
    let mut known = models.clone();
    let mut result: Vec<Server> = Vec::new();
    for custom in &config.servers {
        let name = custom.shown_name();
        let model = models.iter().find(|server| server.name == name);
        if !custom.enabled {
            continue;
        }
        if custom.command.is_empty() {
            if let Some(server) = known.iter_mut().find(|server| server.name == name) {
                adjust(server, custom);
            }
            continue;
        }
        let mut server = model.map_or_else(|| stranger(name, &custom.command), Clone::clone);
        let group = std::mem::take(&mut server.group);
        known.retain(|other| other.name != name && !is_same_group(&other.group, &group));
        adjust(&mut server, custom);
        result.push(server);
    }
    let disabled: BTreeSet<&str> = config
        .servers
        .iter()
        .filter(|server| !server.enabled)
        .map(config::Server::shown_name)
        .collect();
    result.extend(known);
    result.retain(|server| !disabled.contains(server.name.as_str()));
    result
}

/// What is wrong with the entries of the configuration, as sentences for people.
pub fn complaints(config: &config::Lsp) -> Vec<String> {
    let known = built_in();
    let is_known = |name: &str| known.iter().any(|server| server.name == name);
    config
        .servers
        .iter()
        .filter(|custom| custom.command.is_empty() && !is_known(&custom.name))
        .map(|custom| {
            let known = known.iter().map(|server| server.name.as_str());
            let unknown = names::unknown("server", &custom.name, known);
            format!("an entry of lsp.servers has no `command` and is no built-in one: {unknown}")
        })
        .collect()
}

fn adjust(server: &mut Server, custom: &config::Server) {
    if !custom.command.is_empty() {
        server.command.clone_from(&custom.command);
        server.is_numbered = false;
        "check `lsp.servers` in the configuration".clone_into(&mut server.hint);
    }
    if let Some(arguments) = &custom.args {
        server.arguments.clone_from(arguments);
    }
    if !custom.filetypes.is_empty() {
        server.languages.clone_from(&custom.filetypes);
        let endings = custom.filetypes.iter().flat_map(|name| endings_of(name));
        let endings: BTreeSet<String> = endings.collect();
        server.endings = endings.into_iter().collect();
    }
    if !custom.root_patterns.is_empty() {
        server.root_patterns.clone_from(&custom.root_patterns);
    }
    server.root_strategy = custom.root_strategy.unwrap_or(server.root_strategy);
    server.environment.extend(custom.env.clone());
    server
        .initialization_options
        .clone_from(&custom.initialization_options);
    server.settings.clone_from(&custom.settings);
    server.only_features.clone_from(&custom.only_features);
    server.except_features.clone_from(&custom.except_features);
    server.priority = custom.priority.unwrap_or(server.priority);
}

/// A server that is started with these arguments and gets texts of every language.
pub fn named(name: &str, command: &str, arguments: &[String]) -> Server {
    let known = built_in().into_iter().find(|server| server.name == name);
    Server {
        arguments: arguments.to_vec(),
        languages: vec![ANY_LANGUAGE.to_owned()],
        root_strategy: RootStrategy::Single,
        hint: known.map_or_else(
            || "see that it is installed and on PATH".to_owned(),
            |known| known.hint,
        ),
        ..stranger(name, command)
    }
}

/// A server that is not built in.
fn stranger(name: &str, command: &str) -> Server {
    Server {
        name: name.to_owned(),
        command: command.to_owned(),
        arguments: Vec::new(),
        environment: BTreeMap::new(),
        languages: Vec::new(),
        root_patterns: Vec::new(),
        root_strategy: RootStrategy::default(),
        endings: Vec::new(),
        hint: String::new(),
        initialization_options: Value::Null,
        settings: Value::Null,
        only_features: Vec::new(),
        except_features: Vec::new(),
        priority: 0,
        group: String::new(),
        is_complement: false,
        is_everywhere: false,
        is_numbered: false,
        version: Version::Asked,
    }
}

fn is_same_group(left: &str, right: &str) -> bool {
    !left.is_empty() && left == right
}

fn endings_of(language: &str) -> Vec<String> {
    built_in()
        .into_iter()
        .find(|server| server.languages.iter().any(|known| known == language))
        .map_or_else(|| vec![language.to_owned()], |server| server.endings)
}

/// The posts that servers make: one for each group, one for each server without.
pub fn posts(servers: &[Server]) -> Vec<Post> {
    let mut result: Vec<Post> = Vec::new();
    for server in servers {
        let post = result
            .iter_mut()
            .find(|post| is_same_group(&post.first().group, &server.group));
        match post {
            Some(post) => post.alternatives.push(server.clone()),
            None => result.push(Post {
                alternatives: vec![server.clone()],
                is_needed: true,
            }),
        }
    }
    result
}

/// The posts that a workspace has, best first: what the user prefers, then those with a root pattern in the root folder,
/// then those with files below it; what only complements others comes last. Those in the root folder are needed; where there are none, the one with
/// the most files.
pub fn wanted(servers: &[Server], root: &Path) -> Vec<Post> {
    let is_at_root = |post: &Post| {
        let mut patterns = post.alternatives.iter().flat_map(|one| &one.root_patterns);
        patterns.any(|pattern| root.join(pattern).exists())
    };
    let (mut result, rest): (Vec<Post>, Vec<Post>) =
        posts(servers).into_iter().partition(is_at_root);
    if !rest.is_empty() {
        let counts = count_below(servers, root);
        let mut below: Vec<(usize, Post)> = rest
            .into_iter()
            .filter_map(|post| {
                let names = post.alternatives.iter().map(|one| &one.name);
                let count = names.filter_map(|name| counts.get(name)).max()?;
                Some((*count, post))
            })
            .collect();
        below.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
        let has_root = !result.is_empty();
        for (place, (_, mut post)) in below.into_iter().enumerate() {
            post.is_needed = place == 0 && !has_root;
            if post.is_needed || !post.is_everywhere() {
                result.push(post);
            }
        }
    }
    for post in &mut result {
        post.is_needed &= !post.is_complement();
    }
    result.sort_by_key(Post::rank);
    result
}

/// How many files of each server lie in the upper folders of the workspace.
fn count_below(servers: &[Server], root: &Path) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for entry in files_below(root) {
        let Some(ending) = entry.path().extension().and_then(|ending| ending.to_str()) else {
            continue;
        };
        for server in servers {
            if server.endings.iter().any(|known| known == ending) {
                *counts.entry(server.name.clone()).or_insert(0) += 1;
            }
        }
    }
    counts
}

/// The upper files and folders of a workspace, without what tools made.
pub(super) fn files_below(root: &Path) -> impl Iterator<Item = DirEntry> {
    let is_ours =
        |entry: &DirEntry| entry.file_name() != "node_modules" && entry.file_name() != "target";
    let mut walk = walk(root, root, Dotted::LeftOut, is_ours);
    walk.max_depth(Some(DEPTH_MAX));
    walk.build().flatten().take(FILES_LOOKED_AT_MAX)
}

/// The language id of a file by its ending, as editors would say it.
pub fn language_of(path: &Path) -> &'static str {
    match path
        .extension()
        .and_then(|ending| ending.to_str())
        .unwrap_or_default()
    {
        "rs" => "rust",
        "ts" | "mts" | "cts" => "typescript",
        "tsx" => "typescriptreact",
        "js" | "mjs" | "cjs" => "javascript",
        "jsx" => "javascriptreact",
        "py" | "pyi" => "python",
        "go" => "go",
        _ => "plaintext",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(posts: &[Post]) -> Vec<String> {
        let name = |post: &Post| {
            let needed = if post.is_needed { "" } else { "?" };
            format!("{}{needed}", post.first().name)
        };
        posts.iter().map(name).collect()
    }

    fn configured(text: &str) -> config::Lsp {
        toml::from_str::<config::Config>(text).expect("TOML").lsp
    }

    fn all_names(text: &str) -> Vec<String> {
        let servers = servers(&configured(text)).into_iter();
        servers.map(|server| server.name).collect()
    }

    #[test]
    fn servers_are_chosen_by_root_pattern_first_and_files_second() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = folder.path();
        std::fs::write(root.join("pyproject.toml"), "").expect("written");
        std::fs::create_dir_all(root.join("native/src")).expect("created");
        std::fs::write(root.join("native/src/lib.rs"), "").expect("written");
        std::fs::write(root.join("build.sh"), "").expect("written");
        std::fs::create_dir_all(root.join("node_modules/x")).expect("created");
        std::fs::write(root.join("node_modules/x/a.js"), "").expect("written");
        let all = built_in();
        assert_eq!(
            names(&wanted(&all, root)),
            ["basedpyright", "rust-analyzer?", "ruff?"]
        );
        std::fs::write(root.join("native/Cargo.toml"), "").expect("written");
        std::fs::remove_file(root.join("pyproject.toml")).expect("removed");
        std::fs::remove_dir_all(root.join("native")).expect("removed");
        assert_eq!(names(&wanted(&all, root)), ["bash-language-server"]);
    }

    #[test]
    fn a_configured_server_replaces_the_built_in_one_and_its_alternatives() {
        let known = all_names("");
        assert_eq!(known.len(), 12);
        let text = "[[lsp.servers]]\nname = 'pylsp'\ncommand = '/opt/pylsp'\n\
                    [[lsp.servers]]\ncommand = 'zls'\nfiletypes = ['zig']\n";
        let all = servers(&configured(text));
        assert_eq!(all.len(), 10);
        assert_eq!(all[0].languages, ["python"]);
        assert_eq!(all[0].root_patterns[0], "pyproject.toml");
        assert_eq!(
            (all[1].name.as_str(), all[1].endings[0].as_str()),
            ("zls", "zig")
        );
        // Whoever wants two of a group has both.
        let text = format!("{text}[[lsp.servers]]\nname = 'ty'\ncommand = 'ty'\n");
        let all = servers(&configured(&text));
        let ty = all.iter().find(|server| server.name == "ty");
        assert_eq!(posts(&all).len(), all.len() - 2);
        assert_eq!(
            ty.map(|ty| ty.arguments.clone()),
            Some(vec!["server".to_owned()])
        );
    }

    #[test]
    fn a_server_that_is_not_wanted_leaves_its_alternatives() {
        for command in ["", "command = '/opt/vtsls'\n"] {
            let text = format!("[[lsp.servers]]\nname = 'vtsls'\n{command}enabled = false\n");
            let (all, left) = (all_names(""), all_names(&text));
            let gone = |name: &&String| !left.contains(name);
            assert_eq!(all.iter().filter(gone).collect::<Vec<_>>(), ["vtsls"]);
        }
    }

    #[test]
    fn an_entry_without_a_command_adjusts_the_built_in_server() {
        let text = "[[lsp.servers]]\nname = 'ruff'\npriority = 5\nexcept_features = ['hover']\n\
                    [lsp.servers.settings.ruff]\nlineLength = 90\n\
                    [[lsp.servers]]\nname = 'vtsls'\nenabled = false\n\
                    [[lsp.servers]]\nname = 'ty'\nonly_features = ['hover']\n";
        let all = servers(&configured(text));
        let ruff = all
            .iter()
            .find(|server| server.name == "ruff")
            .expect("there");
        assert_eq!(ruff.arguments, ["server"]);
        assert_eq!(ruff.priority, 5);
        assert!(!ruff.takes_part("textDocument/hover"));
        assert!(ruff.takes_part("textDocument/codeAction"));
        let ty = all.iter().find(|server| server.name == "ty");
        let ty = ty.expect("there");
        assert!(ty.takes_part("textDocument/hover"));
        assert!(!ty.takes_part("textDocument/codeAction"));
        assert_eq!(ruff.section("ruff.lineLength"), Some(&Value::from(90)));
        assert_eq!(ruff.section("ruf"), None);
        assert!(!all.iter().any(|server| server.name == "vtsls"));
        let wrong = configured("[[lsp.servers]]\nname = 'rufff'\n");
        assert_eq!(
            complaints(&wrong),
            [
                "an entry of lsp.servers has no `command` and is no built-in one: \
              unknown server `rufff`, did you mean `ruff`?"
            ]
        );
    }

    #[test]
    fn the_block_of_the_specification_is_understood() {
        let text = "[[lsp.servers]]\nname = \"rust-analyzer\"\ncommand = \"rust-analyzer\"\n\
                    filetypes = [\"rust\"]\nroot_patterns = [\"Cargo.toml\"]\n\n\
                    [[lsp.servers]]\nname = \"typescript-language-server\"\n\
                    command = \"typescript-language-server\"\nargs = [\"--stdio\"]\n\
                    filetypes = [\"typescript\", \"javascript\"]\n\
                    root_patterns = [\"package.json\", \"tsconfig.json\"]\n";
        let all = servers(&configured(text));
        assert_eq!(all[0].root_patterns, ["Cargo.toml"]);
        assert!(all[1].speaks("typescriptreact") && all[1].endings.contains(&"tsx".to_owned()));
        assert!(!all.iter().any(|server| server.name == "tsc"));
    }

    #[test]
    fn options_are_laid_over_those_of_the_editor() {
        let mut server = built_in().remove(0);
        let editors = Bytes::from_static(
            br#"{"id":1,"params":{"initializationOptions":{"a":{"b":1,"c":2}},"x":0}}"#,
        );
        assert_eq!(server.greeting(&editors), editors);
        server.initialization_options = serde_json::json!({ "a": { "b": 3 }, "d": null });
        let ours: Value = serde_json::from_slice(&server.greeting(&editors)).expect("JSON");
        assert_eq!(
            ours["params"],
            serde_json::json!({ "initializationOptions": { "a": { "b": 3, "c": 2 }, "d": null }, "x": 0 })
        );
    }
}
