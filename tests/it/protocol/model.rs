//! The meta model's types, each reduced to what of it is found in a message.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// What can stand in one place of a message: any of these.
pub(super) type Type = BTreeSet<Atom>;

/// One of the things that can stand in a place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Atom {
    /// An object with known keys.
    Structure(String),
    /// A list.
    List(Type),
    /// An object whose keys are document URIs.
    Map(Type),
    /// One of the leaves, by the name of its variant.
    Leaf(&'static str),
}

/// The meta model.
#[derive(Debug)]
pub(super) struct Model {
    /// Its version.
    pub version: String,
    /// Requests and notifications, by name.
    pub methods: BTreeMap<String, Value>,
    structures: BTreeMap<String, Value>,
    aliases: BTreeMap<String, Value>,
}

impl Model {
    pub(super) fn new(mut model: Value) -> Self {
        let mut by_name = |list: &str, key: &str| -> BTreeMap<String, Value> {
            let Value::Array(items) = model[list].take() else {
                panic!("the meta model has no {list}");
            };
            items
                .into_iter()
                .map(|item| (text(&item[key]).to_owned(), item))
                .collect()
        };
        let mut methods = by_name("requests", "method");
        for request in methods.values_mut() {
            request["isRequest"] = Value::Bool(true);
        }
        methods.extend(by_name("notifications", "method"));
        let structures = by_name("structures", "name");
        let aliases = by_name("typeAliases", "name");
        Self {
            version: text(&model["metaData"]["version"]).to_owned(),
            methods,
            structures,
            aliases,
        }
    }

    /// The names of the structures.
    pub(super) fn structures(&self) -> impl Iterator<Item = &String> {
        self.structures.keys()
    }

    /// The keys of a structure and what is behind them, those that it inherits included.
    pub(super) fn keys(&self, structure: &str) -> BTreeMap<String, Type> {
        let properties = self.properties(structure);
        let has = |name: &str| {
            properties
                .iter()
                .any(|(_, property)| property["name"] == name)
        };
        properties
            .iter()
            .map(|(owner, property)| {
                let name = text(&property["name"]);
                // The numbers of an edit make sense only with those that they change.
                let behind = match special(owner, name, &property["type"]) {
                    Some("Tokens") if has("deleteCount") => Type::new(),
                    Some(leaf) => Type::from([Atom::Leaf(leaf)]),
                    None => self.read(&property["type"]),
                };
                (name.to_owned(), behind)
            })
            .collect()
    }

    /// What a type is in a message.
    pub(super) fn read(&self, described: &Value) -> Type {
        match text(&described["kind"]) {
            "reference" => self.read_name(text(&described["name"])),
            "base" if matches!(text(&described["name"]), "DocumentUri" | "URI") => {
                Type::from([Atom::Leaf("Uri")])
            }
            "array" => Type::from([Atom::List(self.read(&described["element"]))]),
            "map" if described["key"]["name"] == "DocumentUri" => {
                Type::from([Atom::Map(self.read(&described["value"]))])
            }
            "or" | "and" => {
                let items = described["items"].as_array().expect("a list of types");
                items.iter().flat_map(|item| self.read(item)).collect()
            }
            _ => Type::new(),
        }
    }

    fn read_name(&self, name: &str) -> Type {
        match name {
            // Anything at all, and a pattern for paths: they name no place that anybody could know.
            "LSPAny" | "LSPObject" | "LSPArray" | "RelativePattern" => Type::new(),
            "Position" => Type::from([Atom::Leaf("Position")]),
            "Range" => Type::from([Atom::Leaf("Range"), Atom::Structure(name.to_owned())]),
            _ => match self.aliases.get(name) {
                Some(alias) => self.read(&alias["type"]),
                None if self.structures.contains_key(name) => {
                    Type::from([Atom::Structure(name.to_owned())])
                }
                None => Type::new(),
            },
        }
    }

    /// The properties of a structure, each with the structure that declares it.
    pub(super) fn properties(&self, structure: &str) -> Vec<(String, Value)> {
        let Some(described) = self.structures.get(structure) else {
            return Vec::new();
        };
        let own = list(&described["properties"]).map(|own| (structure.to_owned(), own.clone()));
        let bases = ["extends", "mixins"];
        let inherited = bases
            .iter()
            .flat_map(|how| list(&described[*how]))
            .flat_map(|base| self.properties(text(&base["name"])));
        inherited.chain(own).collect()
    }

    /// Ways from a structure to the URI of the document that its positions are of.
    pub(super) fn documents(&self, structure: &str) -> Vec<Vec<String>> {
        let properties = self.properties(structure);
        let names: Vec<&str> = properties
            .iter()
            .map(|(_, property)| text(&property["name"]))
            .collect();
        let has_ranges_of = |name: &str| {
            names
                .iter()
                .any(|other| *other != name && other.starts_with(name) && other.contains("Range"))
        };
        for (_, property) in &properties {
            let name = text(&property["name"]);
            let kind = text(&property["type"]["name"]);
            if name == "uri" {
                return vec![vec![name.to_owned()]];
            }
            if let Some(prefix) = name.strip_suffix("Uri")
                && has_ranges_of(prefix)
            {
                return vec![vec![name.to_owned()]];
            }
            let inner = self.properties(kind);
            let has_uri = inner.iter().any(|(_, inner)| inner["name"] == "uri");
            let is_identity = kind.contains("TextDocumentI") || kind.contains("NotebookDocument");
            let is_item = name == "item" && structure.ends_with("Params");
            if has_uri && (is_identity || is_item || has_ranges_of(name)) {
                return vec![vec![name.to_owned(), "uri".to_owned()]];
            }
        }
        Vec::new()
    }

    /// Keys of a structure whose positions are of the document of the structure around it.
    pub(super) fn outer(&self, structure: &str) -> Vec<String> {
        let documents = self.documents(structure);
        let prefix = match documents.first().map(Vec::as_slice) {
            Some([uri]) => uri.strip_suffix("Uri").unwrap_or_default(),
            _ => "",
        };
        let properties = self.properties(structure);
        properties
            .iter()
            .map(|(_, property)| text(&property["name"]).to_owned())
            .filter(|name| !prefix.is_empty() && !name.starts_with(prefix))
            .collect()
    }

    /// Whether a structure says lines and columns in keys of its own.
    pub(super) fn is_fold(&self, structure: &str) -> bool {
        let properties = self.properties(structure);
        ["startLine", "startCharacter", "endLine", "endCharacter"]
            .iter()
            .all(|name| properties.iter().any(|(_, own)| own["name"] == *name))
    }
}

/// The leaf that a property is by its name and type.
fn special(owner: &str, name: &str, described: &Value) -> Option<&'static str> {
    let base = text(&described["name"]);
    let is_text = base == "string" || described["kind"] == "or";
    match name {
        "data" if base == "LSPAny" => Some("Data"),
        "data" if described["element"]["name"] == "uinteger" => Some("Tokens"),
        "workDoneToken" => Some("WorkDoneToken"),
        "partialResultToken" => Some("PartialResultToken"),
        "token" => Some("Token"),
        "resultId" | "previousResultId" => Some("ResultId"),
        "value" if owner == "PreviousResultId" => Some("ResultId"),
        "command" if base == "string" => Some("CommandName"),
        // A registration without a message has no id that anybody could send.
        "id" if is_text && owner != "StaticRegistrationOptions" => Some("Id"),
        _ if base == "string" && (name == "uri" || name.ends_with("Uri")) => Some("Uri"),
        _ => None,
    }
}

/// The text of a value; empty when it is none.
pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The elements of a value; none when it is no list.
pub(super) fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
