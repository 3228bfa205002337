//! What a server can do that the editor was not told when it was greeted (spec: LSP Integration, dynamic registration).
//!
//! The editor's `initialize` is answered when the best server has answered and the others had their time. Whoever
//! answers later, or is started later for a text, is not in that answer: what it can do is registered, as if it had
//! registered it itself, where the editor takes registrations of that kind. What it does not take stands in the status.
//! An editor that was told of a method asks about every text already, so that only what nobody had is registered, and
//! only for languages about which it does not ask.

use serde_json::{Value, json};

use super::notebooks;
use super::registrations::Registration;
use crate::downstream::protocol::{self, Method};
use crate::downstream::registry::ANY_LANGUAGE;
use crate::server::life::Stage;
use crate::server::messages;
use crate::server::questions::highlights;
use crate::server::questions::requests::ToEditor;
use crate::server::session::Session;
use crate::text::json::{at, list, set};

/// What the ids of these registrations begin with.
pub(in crate::server) const MARK: &str = "meliora-late:";

/// What registers commands.
const COMMANDS: &str = "workspace/executeCommand";

/// What registers that diagnostics can be asked for: where the editor does not ask, we do.
const DIAGNOSTICS: &str = "textDocument/diagnostic";

/// What is not registered by itself: texts are told to us in any case, and who asks for colours asks for their names.
const NOT_ALONE: [&str; 4] = [
    "textDocument/didOpen",
    "textDocument/didChange",
    "textDocument/didClose",
    "textDocument/colorPresentation",
];

/// What the editor was told in the answer to its `initialize`.
#[derive(Debug, Default)]
pub(in crate::server) struct Told {
    /// The capabilities.
    pub(in crate::server) capabilities: Value,
    /// The servers whose they are.
    pub(in crate::server) servers: Vec<usize>,
}

impl Session {
    /// Registers what a server can do that the editor does not know of, if the editor takes it.
    pub(in crate::server) fn register_late(&mut self, server: usize) {
        let is_greeted = self.servers.get(server).is_some_and(|it| it.greeted);
        if !is_greeted || !matches!(self.stage, Stage::Running) {
            return;
        }
        let (mut over, mut told) = (Vec::new(), Vec::new());
        for method in self.untold(server) {
            let name = method.registration;
            let Some(options) = self.late_options(server, method) else {
                continue;
            };
            if !self.editor_takes(name) || !self.may_register(name) {
                continue;
            }
            let new = Registration {
                id: format!("{MARK}{name}"),
                method: name.to_owned(),
                register_options: Some(options.clone()),
            };
            let added = self.registrations.add(self.maker(server), &new, true);
            over.extend(added.over);
            if let Some(id) = added.outside {
                told.push(json!({ "id": id, "method": name, "registerOptions": options }));
            }
        }
        self.unregister(over);
        if !told.is_empty() {
            let id = self.requests.ask_editor(ToEditor::Unheeded);
            let params = json!({ "registrations": told });
            self.tell(messages::request(&id, "client/registerCapability", &params));
        }
    }

    /// The same for every server: another one that had been asked for the same languages is gone.
    pub(in crate::server) fn register_all_late(&mut self) {
        for server in 0..self.servers.len() {
            self.register_late(server);
        }
    }

    /// Methods of a server that the editor does not know of, and cannot be told of any more.
    pub(in crate::server) fn unknown_to_editor(&self, server: usize) -> Vec<&'static str> {
        let methods = self.untold(server).into_iter();
        let unknown = methods.filter(|method| {
            let name = method.registration;
            name != DIAGNOSTICS
                && !self.registrations.is_told(server, name)
                && self.late_options(server, method).is_some()
        });
        unknown.map(|method| method.registration).collect()
    }

    /// Methods that a server announces and the answer to `initialize` did not.
    fn untold(&self, server: usize) -> Vec<&'static Method> {
        let Some(behind) = self.servers.get(server).filter(|it| it.is_running()) else {
            return Vec::new();
        };
        if self.told.servers.contains(&server) {
            return Vec::new();
        }
        let answer = behind.announced();
        let announced = at(&answer, "/capabilities");
        let methods = protocol::methods().iter().filter(|method| {
            is_registered_by_itself(method)
                && method.is_announced(announced)
                && (method.name == COMMANDS || !method.is_announced(&self.told.capabilities))
        });
        methods.collect()
    }

    /// The options with which a method of a server is registered; `None`: the editor asks already.
    fn late_options(&self, server: usize, method: &Method) -> Option<Value> {
        let behind = self.servers.get(server)?;
        let answer = behind.announced();
        let announced = at(&answer, "/capabilities");
        let provider = method
            .capability
            .iter()
            .try_fold(announced, |value, key| value.get(key));
        let mut options = provider.filter(|value| value.is_object()).cloned();
        let options = options.get_or_insert_with(|| json!({}));
        if method.name == COMMANDS {
            let known = self.registrations.options_of_others(server, COMMANDS);
            let provider = at(&self.told.capabilities, "/executeCommandProvider");
            let known: Vec<&Value> = known.chain([provider]).collect();
            let is_new = |command: &&Value| {
                let mut known = known.iter();
                !known.any(|known| list(known, "/commands").contains(command))
            };
            let commands = list(options, "/commands").iter();
            let commands: Vec<Value> = commands.filter(is_new).cloned().collect();
            set(options, "commands", json!(commands));
            return (!commands.is_empty()).then(|| options.clone());
        }
        let asks_about = |language: &str| {
            let mut others = self
                .registrations
                .options_of_others(server, method.registration);
            others.any(|options| selects_language(options, language))
        };
        if !method.registration.starts_with("textDocument/") {
            return (!asks_about(ANY_LANGUAGE)).then(|| options.clone());
        }
        let mut languages = languages(&behind.spec.languages);
        languages.retain(|language| !asks_about(language));
        if !at(options, "/documentSelector").is_array() {
            let selector = if languages.iter().any(|language| language == ANY_LANGUAGE) {
                Value::Null
            } else {
                let filters = languages.iter();
                filters
                    .map(|language| json!({ "language": language }))
                    .collect()
            };
            set(options, "documentSelector", selector);
        }
        (!languages.is_empty()).then(|| options.clone())
    }
}

/// Whether a method stands for everything that is registered under its name.
fn is_registered_by_itself(method: &Method) -> bool {
    let is_first = method.name == method.registration
        || method.name == notebooks::OPENED
        || (method.registration == highlights::REGISTRATION && method.name.ends_with("/full"));
    let can_be_asked_for = !method.capability.is_empty() && method.client_capability.len() > 1;
    is_first && can_be_asked_for && !NOT_ALONE.contains(&method.name)
}

/// The languages of a server as an editor tells them apart: who serves TypeScript serves its React dialect.
fn languages(known: &[String]) -> Vec<String> {
    let mut all = known.to_vec();
    for language in known {
        let dialect = format!("{language}react");
        if ["javascript", "typescript"].contains(&language.as_str()) && !all.contains(&dialect) {
            all.push(dialect);
        }
    }
    all
}

/// Whether a registration with these options is about every text of a language.
fn selects_language(options: &Value, language: &str) -> bool {
    let Some(filters) = at(options, "/documentSelector").as_array() else {
        return true;
    };
    filters.iter().any(|filter| {
        // Files are all that counts: two registrations for them would have the editor ask twice.
        let is_narrower = |filter: &Value| {
            filter.get("pattern").is_some()
                || filter.get("notebook").is_some()
                || filter.get("scheme").is_some_and(|scheme| scheme != "file")
        };
        let wanted = filter.as_str().or_else(|| filter.get("language")?.as_str());
        !is_narrower(filter) && wanted.is_none_or(|wanted| wanted == language || wanted == "*")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_registered_is_registered_once() {
        let methods = protocol::methods().iter();
        let alone: Vec<&str> = methods
            .filter(|method| is_registered_by_itself(method))
            .map(|method| method.registration)
            .collect();
        for name in [
            "textDocument/hover",
            "textDocument/completion",
            "textDocument/semanticTokens",
            "textDocument/willSaveWaitUntil",
            "workspace/symbol",
            "workspace/willRenameFiles",
            "workspace/executeCommand",
            "notebookDocument/sync",
        ] {
            assert_eq!(
                alone.iter().filter(|one| **one == name).count(),
                1,
                "{name}"
            );
        }
        for name in ["textDocument/didOpen", ""] {
            assert!(!alone.contains(&name), "{name}");
        }
    }

    #[test]
    fn a_selector_covers_a_language_when_it_is_about_all_of_its_texts() {
        let python = json!({ "documentSelector": [{ "language": "python" }] });
        assert!(!selects_language(&python, ANY_LANGUAGE));
        for (selector, covers) in [
            (Value::Null, true),
            (json!([{ "language": "python" }]), true),
            (json!(["python"]), true),
            (json!(["*"]), true),
            (json!([{ "pattern": "**/*.py" }]), false),
            (json!([{ "language": "python", "scheme": "file" }]), true),
            (
                json!([{ "language": "python", "scheme": "untitled" }]),
                false,
            ),
            (json!([{ "language": "go" }, "rust"]), false),
        ] {
            let options = json!({ "documentSelector": selector });
            assert_eq!(selects_language(&options, "python"), covers, "{selector}");
        }
        let names = ["typescript".to_owned(), "vue".to_owned()];
        assert_eq!(languages(&names), ["typescript", "vue", "typescriptreact"]);
    }
}
