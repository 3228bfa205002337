//! What a plugin says of itself, in `plugin.toml` (spec: Plugin Manifest).
//!
//! Read strictly: a key that nobody knows may be a permission that somebody thinks they took away.

use std::borrow::Cow;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::prompt::escape;
use crate::tools::{Kind, Parameter, arguments};

/// Characters of a plugin's name and of a tool's, which a model sees as `PLUGIN__TOOL`.
const NAME_MAX: usize = 32;
const TOOL_NAME_MAX: usize = 30;

/// Tools of a plugin, and parameters of a tool.
const TOOLS_MAX: usize = 16;
const PARAMETERS_MAX: usize = 16;

/// Bytes of what is said of a plugin or a tool, and of a parameter.
const DESCRIPTION_BYTES_MAX: usize = 400;
const PARAMETER_BYTES_MAX: usize = 160;

/// Bytes of all that a model is told of a plugin's tools in every request.
const TOLD_BYTES_MAX: usize = 4_096;

/// What limits may be set to, at most.
const MEMORY_MB_MAX: u64 = 4_096;
const SECONDS_MAX: u64 = 600;

/// The endings of the files that plugins are in.
const LIBRARY: &str = "so";
const COMPONENT: &str = "wasm";

/// The tool of a plugin that names none.
const ONLY_TOOL: &str = "run";

/// What a plugin says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it is for.
    pub description: String,
    /// Who wrote it.
    #[serde(default)]
    pub author: String,
    /// File name of its library or component.
    pub entry_point: String,
    /// What it may do.
    #[serde(default)]
    pub permissions: Permissions,
    /// What it may use up.
    #[serde(default)]
    pub limits: Limits,
    /// Its tools; when there are none, it has one tool `run` with a text `input`.
    #[serde(default)]
    pub tools: Vec<ToolEntry>,
}

/// What a plugin may do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Permissions {
    /// What of the copy of the workspace it may do.
    #[serde(default)]
    pub filesystem: Vec<Access>,
    /// Whether it may ask for requests.
    #[serde(default)]
    pub network: bool,
    /// Whether it may ask for command lines.
    #[serde(default)]
    pub shell: bool,
}

/// What the file that a manifest names is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// A library of this machine's code.
    Library,
    /// A component of WebAssembly.
    Component,
}

impl Code {
    /// What it is, in words.
    pub fn said(self) -> &'static str {
        match self {
            Self::Library => "a library of this machine's code",
            Self::Component => "a component of WebAssembly",
        }
    }
}

/// A right to files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// To read them.
    Read,
    /// To read and write them.
    Write,
}

/// What a plugin may use up in one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Megabytes of memory.
    pub memory_mb: u64,
    /// Seconds, of the clock and of the processor.
    pub seconds: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_mb: 512,
            seconds: 60,
        }
    }
}

/// A tool of a plugin.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ToolEntry {
    /// Its name.
    pub name: String,
    /// What it does, for the model.
    pub description: String,
    /// Its parameters.
    #[serde(default)]
    pub parameters: Vec<ParameterEntry>,
}

/// A parameter of a tool.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ParameterEntry {
    /// Its name.
    pub name: String,
    /// The kind of value: `text`, `integer` or `flag`.
    pub kind: Kind,
    /// What it means, for the model.
    #[serde(default)]
    pub description: String,
    /// Whether a call without it is refused.
    #[serde(default)]
    pub required: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    plugin: Manifest,
}

impl Permissions {
    /// Whether it may read the copy of the workspace.
    pub fn reads(&self) -> bool {
        !self.filesystem.is_empty()
    }

    /// Whether it may write there.
    pub fn writes(&self) -> bool {
        self.filesystem.contains(&Access::Write)
    }

    /// What it may do, in words.
    pub fn said(&self) -> Vec<&'static str> {
        let files = match (self.reads(), self.writes()) {
            (_, true) => Some("reads the workspace and proposes changes of it"),
            (true, false) => Some("reads the workspace"),
            (false, false) => None,
        };
        let network = self
            .network
            .then_some("asks for requests to other machines");
        let shell = self.shell.then_some("asks for command lines to be run");
        let all: Vec<&str> = files.into_iter().chain(network).chain(shell).collect();
        if all.is_empty() {
            return vec!["computes, and nothing else"];
        }
        all
    }
}

impl ToolEntry {
    /// Its parameters, as tools have them.
    pub fn parameters(&self) -> Vec<Parameter> {
        let parameters = self.parameters.iter();
        let parameters = parameters.map(|parameter| Parameter {
            name: parameter.name.clone(),
            kind: parameter.kind,
            description: parameter.description.clone(),
            required: parameter.required,
        });
        parameters.collect()
    }
}

impl Manifest {
    /// What its file is, by the ending of the name.
    pub fn code(&self) -> Code {
        match Path::new(&self.entry_point).extension() {
            Some(ending) if ending == COMPONENT => Code::Component,
            _ => Code::Library,
        }
    }

    /// Reads a manifest. An error says what to write instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        let document: Document = toml::from_str(text).map_err(|error| {
            let line = error.span().and_then(|span| text.get(..span.start));
            let line = line.map_or(1, |before| before.matches('\n').count() + 1);
            format!("line {line}: {}", error.message())
        })?;
        let mut manifest = document.plugin;
        if manifest.tools.is_empty() {
            manifest.tools.push(ToolEntry {
                name: ONLY_TOOL.to_owned(),
                description: manifest.description.clone(),
                parameters: vec![ParameterEntry {
                    name: "input".to_owned(),
                    kind: Kind::Text,
                    description: String::new(),
                    required: false,
                }],
            });
        }
        manifest.check()?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), String> {
        if !is_name(&self.name) {
            return Err(format!(
                "plugin.name: small letters, digits and single hyphens, beginning with a letter, at most {NAME_MAX}"
            ));
        }
        is_line("plugin.version", &self.version, NAME_MAX)?;
        is_line(
            "plugin.author",
            &format!("{} ", self.author),
            DESCRIPTION_BYTES_MAX,
        )?;
        is_line(
            "plugin.description",
            &self.description,
            DESCRIPTION_BYTES_MAX,
        )?;
        self.check_entry_point()?;
        if self.permissions.filesystem.len() > 2 {
            return Err(
                "plugin.permissions.filesystem: name `read` and `write` once each".to_owned(),
            );
        }
        let Limits { memory_mb, seconds } = self.limits;
        if !(16..=MEMORY_MB_MAX).contains(&memory_mb) || !(1..=SECONDS_MAX).contains(&seconds) {
            return Err(format!(
                "plugin.limits: memory_mb from 16 to {MEMORY_MB_MAX}, seconds from 1 to {SECONDS_MAX}"
            ));
        }
        self.check_tools()
    }

    fn check_entry_point(&self) -> Result<(), String> {
        let path = Path::new(&self.entry_point);
        is_line("plugin.entry_point", &self.entry_point, 128)?;
        if path.file_name() != Some(path.as_os_str()) {
            return Err(
                "plugin.entry_point: the name of a file beside plugin.toml, without folders"
                    .to_owned(),
            );
        }
        match path.extension().and_then(|ending| ending.to_str()) {
            Some(LIBRARY) => Ok(()),
            Some(COMPONENT) if cfg!(feature = "wasm") => Ok(()),
            Some(COMPONENT) => Err(
                "plugin.entry_point: this program runs no `.wasm`; install it with `cargo install --path . --features \
                 wasm`, or build a library `.so`"
                    .to_owned(),
            ),
            _ => Err(
                "plugin.entry_point: a library whose name ends with `.so`, or a component that ends with `.wasm`"
                    .to_owned(),
            ),
        }
    }

    fn check_tools(&self) -> Result<(), String> {
        if self.tools.len() > TOOLS_MAX {
            return Err(format!("plugin.tools: at most {TOOLS_MAX}"));
        }
        let mut told = 0;
        for (index, tool) in self.tools.iter().enumerate() {
            let name = &tool.name;
            if !is_word(name, TOOL_NAME_MAX) {
                return Err(format!(
                    "plugin.tools: the name `{}`: small letters, digits and single `_`, beginning with a letter, at \
                     most {TOOL_NAME_MAX}",
                    name.escape_default()
                ));
            }
            if self
                .tools
                .iter()
                .take(index)
                .any(|other| other.name == *name)
            {
                return Err(format!("plugin.tools: `{name}` is there twice"));
            }
            is_line(
                &format!("tool `{name}`, description"),
                &tool.description,
                DESCRIPTION_BYTES_MAX,
            )?;
            tool.check_parameters()?;
            told +=
                tool.description.len() + arguments::schema(&tool.parameters()).to_string().len();
        }
        if told > TOLD_BYTES_MAX {
            return Err(format!(
                "plugin.tools: a model would be told {told} bytes of them in every request; shorten the descriptions to \
                 {TOLD_BYTES_MAX}"
            ));
        }
        Ok(())
    }
}

impl ToolEntry {
    fn check_parameters(&self) -> Result<(), String> {
        let tool = &self.name;
        if self.parameters.len() > PARAMETERS_MAX {
            return Err(format!(
                "tool `{tool}`: at most {PARAMETERS_MAX} parameters"
            ));
        }
        for (index, parameter) in self.parameters.iter().enumerate() {
            let name = &parameter.name;
            let mut before = self.parameters.iter().take(index);
            if !is_word(name, TOOL_NAME_MAX) || before.any(|other| other.name == *name) {
                return Err(format!(
                    "tool `{tool}`: the parameter `{}`: each name once, of small letters, digits and single `_`",
                    name.escape_default()
                ));
            }
            let place = format!("tool `{tool}`, parameter `{name}`, description");
            is_line(
                &place,
                &format!("{} ", parameter.description),
                PARAMETER_BYTES_MAX,
            )?;
        }
        Ok(())
    }
}

/// Whether a plugin may have this name.
pub fn is_name(name: &str) -> bool {
    is_made_of(name, '-', NAME_MAX)
}

fn is_word(name: &str, length_max: usize) -> bool {
    is_made_of(name, '_', length_max)
}

/// Small letters and digits, with single hyphens of that kind between them, beginning with a letter.
fn is_made_of(name: &str, hyphen: char, length_max: usize) -> bool {
    let is_plain = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    name.len() <= length_max
        && name.starts_with(|letter: char| letter.is_ascii_lowercase())
        && name
            .split(hyphen)
            .all(|part| !part.is_empty() && part.chars().all(is_plain))
}

/// One line of text that says something and is not too long. Nothing in it is obeyed by a terminal.
fn is_line(key: &str, text: &str, bytes_max: usize) -> Result<(), String> {
    if text.is_empty() {
        return Err(format!("{key}: it says nothing"));
    }
    if text.len() > bytes_max {
        return Err(format!("{key}: {} bytes, at most {bytes_max}", text.len()));
    }
    // The pattern of Braille without a dot is a letter, and nobody sees it.
    let is_odd = |letter: char| {
        letter.is_control() || letter == '\u{2800}' || ('\u{200b}'..='\u{206f}').contains(&letter)
    };
    // A model is told these words: what hides in them, a person who approves them does not see.
    if text.contains(is_odd) || matches!(escape(text), Cow::Owned(_)) {
        return Err(format!(
            "{key}: one line, of characters that can be seen, without marks of models"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The manifest of the specification.
    const VERBATIM: &str = r#"
[plugin]
name = "custom-tool"
version = "1.0.0"
description = "Custom tool description"
author = "Developer Name"
entry_point = "libcustom_tool.so"

[plugin.permissions]
filesystem = ["read", "write"]
network = true
shell = false
"#;

    #[test]
    fn the_manifest_of_the_specification_is_read_as_it_stands() {
        let manifest = Manifest::parse(VERBATIM).expect("it is right");
        assert_eq!(manifest.entry_point, "libcustom_tool.so");
        let permissions = &manifest.permissions;
        assert!(permissions.writes() && permissions.network && !permissions.shell);
        let tools: Vec<&str> = manifest
            .tools
            .iter()
            .map(|tool| tool.name.as_str())
            .collect();
        assert_eq!(tools, ["run"]);
        assert_eq!(manifest.limits, Limits::default());
    }

    #[test]
    fn a_component_is_run_by_the_program_that_has_the_engine_and_the_other_says_how_to_get_it() {
        let text = VERBATIM.replace("libcustom_tool.so", "tool.wasm");
        let read = Manifest::parse(&text);
        assert_eq!(read.is_ok(), cfg!(feature = "wasm"));
        match read {
            Ok(manifest) => assert_eq!(manifest.code(), Code::Component),
            Err(error) => assert!(error.contains("--features wasm"), "{error}"),
        }
    }

    #[test]
    fn a_wrong_manifest_is_refused_with_what_to_write_instead() {
        let tool = "\n[[plugin.tools]]\nname = \"count\"\ndescription = \"Counts.\"\n";
        let parameter = "\n[[plugin.tools.parameters]]\nname = \"path\"\nkind = \"text\"\n";
        let long = "x".repeat(500);
        let many = tool.replace("Counts", &"y".repeat(390));
        let many: String = (0..12)
            .map(|at| many.replace("\"count", &format!("\"count{at}")))
            .collect();
        for (before, after, expected) in [
            (
                "name = \"custom-tool\"",
                "name = \"../evil\"",
                "plugin.name: small letters",
            ),
            (
                "name = \"custom-tool\"",
                "name = \"a__b\"",
                "plugin.name: small letters",
            ),
            ("shell = false", "shell = \"no\"", "line 12: invalid type"),
            (
                "shell = false",
                "sockets = true",
                "line 12: unknown field `sockets`",
            ),
            ("\"read\", \"write\"", "\"all\"", "unknown variant `all`"),
            ("libcustom_tool.so", "../lib.so", "without folders"),
            ("libcustom_tool.so", "/lib/lib.so", "without folders"),
            ("libcustom_tool.so", "tool.exe", "ends with `.so`"),
            ("libcustom_tool.so", ".wasm", "ends with `.so`"),
            ("Custom tool description", &long, "at most 400"),
            (
                "Custom tool description",
                "a\\u001b[2Jb",
                "characters that can be seen",
            ),
            (
                "Custom tool description",
                "a\\U000E0041",
                "characters that can be seen",
            ),
            (
                "Custom tool description",
                "a\\u00ad\\ufeff\\u2800",
                "characters that can be seen",
            ),
            (
                "Custom tool description",
                "a\\u2800b",
                "characters that can be seen",
            ),
            ("Custom tool description", "", "it says nothing"),
            (
                "shell = false",
                &format!("shell = false{tool}{tool}"),
                "`count` is there twice",
            ),
            (
                "shell = false",
                &format!("shell = false{tool}{parameter}{parameter}"),
                "each name once",
            ),
            (
                "shell = false",
                &format!("shell = false{}", tool.replace("count", "read_File")),
                "the name `read_File`",
            ),
            (
                "shell = false",
                &format!("shell = false{many}"),
                "shorten the descriptions",
            ),
            (
                "shell = false",
                "shell = false\n[plugin.limits]\nseconds = 0",
                "seconds from 1",
            ),
            (
                "[plugin]\n",
                "[other]\nplugin = 1\n[plugin]\n",
                "unknown field `other`",
            ),
        ] {
            let text = VERBATIM.replacen(before, after, 1);
            assert_ne!(text, VERBATIM, "{before}");
            let error = Manifest::parse(&text).expect_err(after);
            assert!(error.contains(expected), "{after}: {error}");
        }
    }
}
