//! The graph of shapes: only what leads to something is in it, and each node once.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::model::{Atom, Model, Type};

/// The leaves, in the order of their variants.
const LEAVES: [&str; 12] = [
    "Position",
    "Range",
    "Fold",
    "Tokens",
    "Uri",
    "Data",
    "CommandName",
    "ResultId",
    "WorkDoneToken",
    "PartialResultToken",
    "Token",
    "Id",
];

/// The leaves for which it matters whose document they are in.
const PLACED: [&str; 3] = ["Position", "Fold", "Tokens"];

/// The nodes that were asked for, and those that they lead to.
#[derive(Debug)]
pub(super) struct Shapes<'model> {
    model: &'model Model,
    /// What is found in each structure, as bits.
    holds: BTreeMap<String, u16>,
    /// By identifier: the name of the type, and the node as Rust.
    nodes: BTreeMap<String, (String, String)>,
}

impl<'model> Shapes<'model> {
    pub(super) fn new(model: &'model Model) -> Self {
        let mut shapes = Self {
            model,
            holds: BTreeMap::new(),
            nodes: BTreeMap::new(),
        };
        // Types contain themselves; what they hold grows until nothing changes.
        loop {
            let mut grown = BTreeMap::new();
            for structure in model.structures() {
                let keys = model.keys(structure);
                let inner = keys.values().map(|behind| shapes.held(behind));
                let fold = if model.is_fold(structure) {
                    bit("Fold")
                } else {
                    0
                };
                grown.insert(structure.clone(), inner.fold(fold, |all, bits| all | bits));
            }
            if grown == shapes.holds {
                return shapes;
            }
            shapes.holds = grown;
        }
    }

    /// The expression for the shape of a type.
    pub(super) fn shape(&mut self, wanted: &Type) -> String {
        let wanted = self.pruned(wanted);
        if wanted.is_empty() {
            return "Shape::NOTHING".to_owned();
        }
        let name = name(&wanted);
        let ident = identifier(&name);
        if let Some((known, _)) = self.nodes.get(&ident) {
            assert_eq!(*known, name, "two types would be called {ident}");
        } else {
            // The place is taken first: the type may contain itself.
            self.nodes
                .insert(ident.clone(), (name.clone(), String::new()));
            let node = self.node(&name, &wanted);
            self.nodes.insert(ident.clone(), (name, node));
        }
        format!("Shape(&{ident})")
    }

    /// The nodes as Rust.
    pub(super) fn write(&self) -> String {
        let mut written = String::new();
        for (ident, (_, node)) in &self.nodes {
            writeln!(written, "static {ident}: Node = {node};").expect("a string takes all");
        }
        written
    }

    fn node(&mut self, name: &str, of: &Type) -> String {
        let (mut keys, mut elements, mut values) = (BTreeMap::new(), Type::new(), Type::new());
        let (mut documents, mut outer) = (Vec::new(), BTreeSet::new());
        let mut leaves = BTreeSet::new();
        for atom in of {
            match atom {
                Atom::Leaf(leaf) => {
                    leaves.insert(*leaf);
                }
                Atom::List(of) => elements.extend(of.clone()),
                Atom::Map(of) => values.extend(of.clone()),
                Atom::Structure(structure) => {
                    for (key, behind) in self.model.keys(structure) {
                        keys.entry(key).or_insert_with(Type::new).extend(behind);
                    }
                    documents.extend(self.model.documents(structure));
                    outer.extend(self.model.outer(structure));
                    if self.model.is_fold(structure) {
                        leaves.insert("Fold");
                    }
                }
            }
        }
        assert!(leaves.len() < 2, "{name} is several leaves: {leaves:?}");
        let holds = self.held(of);
        documents.dedup();
        if PLACED.iter().all(|leaf| holds & bit(leaf) == 0) {
            documents.clear();
        }
        keys.retain(|_, behind| self.held(behind) != 0);
        outer.retain(|key| keys.contains_key(key));
        let keys = keys.iter().map(|(key, behind)| {
            let shape = self.shape(behind);
            format!("({key:?}, {shape})")
        });
        let keys = keys.collect::<Vec<_>>().join(", ");
        let leaf = leaves
            .first()
            .map_or("None".to_owned(), |leaf| format!("Some(Leaf::{leaf})"));
        let documents: Vec<String> = documents.iter().map(|way| format!("&{way:?}")).collect();
        format!(
            "Node {{ name: {name:?}, leaf: {leaf}, keys: &[{keys}], element: {}, values: {}, documents: &[{}], outer: &{:?}, holds: Leaves({holds:#x}) }}",
            self.optional(&elements),
            self.optional(&values),
            documents.join(", "),
            Vec::from_iter(outer),
        )
    }

    fn optional(&mut self, wanted: &Type) -> String {
        if self.held(wanted) == 0 {
            "None".to_owned()
        } else {
            format!("Some({})", self.shape(wanted))
        }
    }

    /// The type without what leads nowhere.
    fn pruned(&self, of: &Type) -> Type {
        of.iter()
            .filter(|atom| self.held_by(atom) != 0)
            .map(|atom| match atom {
                Atom::List(of) => Atom::List(self.pruned(of)),
                Atom::Map(of) => Atom::Map(self.pruned(of)),
                Atom::Structure(_) | Atom::Leaf(_) => atom.clone(),
            })
            .collect()
    }

    fn held(&self, of: &Type) -> u16 {
        of.iter().fold(0, |all, atom| all | self.held_by(atom))
    }

    fn held_by(&self, atom: &Atom) -> u16 {
        match atom {
            Atom::Leaf(leaf) => bit(leaf),
            Atom::List(of) | Atom::Map(of) => self.held(of),
            Atom::Structure(name) => self.holds.get(name).copied().unwrap_or_default(),
        }
    }
}

fn bit(leaf: &str) -> u16 {
    let index = LEAVES.iter().position(|known| *known == leaf);
    1 << index.expect("a leaf is one of those that there are")
}

/// The type as a person would write it.
fn name(of: &Type) -> String {
    let mut parts: Vec<String> = Vec::new();
    for atom in of {
        let part = match atom {
            Atom::Structure(name) => name.clone(),
            Atom::List(of) if of.len() > 1 && !of.contains(&Atom::Leaf("Range")) => {
                format!("({})[]", name(of))
            }
            Atom::List(of) => format!("{}[]", name(of)),
            Atom::Map(of) => format!("{{{}}}", name(of)),
            Atom::Leaf(leaf) => (*leaf).to_owned(),
        };
        if !parts.contains(&part) {
            parts.push(part);
        }
    }
    parts.join(" | ")
}

/// The name of the static that holds the type of this name.
fn identifier(name: &str) -> String {
    let words = name
        .replace("[]", " list ")
        .replace('{', " map ")
        .replace(" | ", " or ");
    let mut ident = String::new();
    let mut before = ' ';
    for character in words
        .chars()
        .filter(|character| !"()}".contains(*character))
    {
        let begins = character.is_uppercase() && before.is_lowercase();
        let separates = character == ' ' && !ident.ends_with('_') && !ident.is_empty();
        if begins || separates {
            ident.push('_');
        }
        if character != ' ' {
            ident.push(character.to_ascii_uppercase());
        }
        before = character;
    }
    ident.trim_end_matches('_').to_owned()
}
