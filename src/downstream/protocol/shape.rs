//! What is known of the JSON in a message: the keys that lead somewhere, and what is found there (spec: LSP Manager, routing).
//!
//! A shape is a node of a graph that the meta model spans. It names only what we do something with; everything else in
//! a message is passed over without a look, so that fields which no model knows survive. Several types that may stand
//! in one place (`Location | Location[] | LocationLink[]`) are one node: the JSON itself shows which of them it is.

use std::fmt;

/// What is found at the end of a way through a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Leaf {
    /// `{ "line": …, "character": … }`
    Position,
    /// `{ "start": Position, "end": Position }`; its keys are in the node as well.
    Range,
    /// An object with `startLine`, `startCharacter`, `endLine` and `endCharacter`.
    Fold,
    /// The numbers of semantic tokens, five for each.
    Tokens,
    /// The URI of a document or folder.
    Uri,
    /// What a server wants back unchanged with an item.
    Data,
    /// The name of a command.
    CommandName,
    /// What a server calls a result that it can later compare with.
    ResultId,
    /// Where the editor wants to hear how far a request is.
    WorkDoneToken,
    /// Where the editor wants to get parts of a result.
    PartialResultToken,
    /// The token of a progress display.
    Token,
    /// The id of a request or of a registration.
    Id,
}

/// A set of kinds of [`Leaf`].
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Leaves(pub(super) u16);

/// What can be at one place of a message.
#[derive(Clone, Copy)]
pub struct Shape(pub(super) &'static Node);

/// A node of the graph.
pub(super) struct Node {
    pub(super) name: &'static str,
    pub(super) leaf: Option<Leaf>,
    pub(super) keys: &'static [(&'static str, Shape)],
    pub(super) element: Option<Shape>,
    pub(super) values: Option<Shape>,
    pub(super) documents: &'static [&'static [&'static str]],
    pub(super) outer: &'static [&'static str],
    pub(super) holds: Leaves,
}

static NOTHING: Node = Node {
    name: "nothing",
    leaf: None,
    keys: &[],
    element: None,
    values: None,
    documents: &[],
    outer: &[],
    holds: Leaves(0),
};

impl Leaves {
    /// The set of these.
    pub const fn of(leaves: &[Leaf]) -> Self {
        let mut bits = 0;
        let mut rest = leaves;
        while let [first, others @ ..] = rest {
            bits |= 1 << *first as u16;
            rest = others;
        }
        Self(bits)
    }

    /// Whether the sets have something in common.
    pub const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether this kind is in the set.
    pub const fn contains(self, leaf: Leaf) -> bool {
        self.meets(Self::of(&[leaf]))
    }
}

impl fmt::Debug for Leaves {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Leaves({:#b})", self.0)
    }
}

impl Shape {
    /// A place where nothing is of interest.
    pub const NOTHING: Self = Self(&NOTHING);

    /// The types that this is, as the protocol names them.
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// What the value itself is.
    pub fn leaf(self) -> Option<Leaf> {
        self.0.leaf
    }

    /// Every kind of thing that is found here or further in.
    pub fn holds(self) -> Leaves {
        self.0.holds
    }

    /// The keys that lead somewhere, when the value is an object.
    pub fn keys(self) -> &'static [(&'static str, Shape)] {
        self.0.keys
    }

    /// What is behind a key, when the value is an object. Objects whose keys are document URIs have [`Shape::values`].
    pub fn key(self, name: &str) -> Option<Self> {
        self.0
            .keys
            .iter()
            .find_map(|(key, shape)| (*key == name).then_some(*shape))
    }

    /// What the elements are, when the value is a list.
    pub fn element(self) -> Option<Self> {
        self.0.element
    }

    /// What the values are, when the value is an object whose keys are URIs of documents.
    pub fn values(self) -> Option<Self> {
        self.0.values
    }

    /// Ways to the URI of the document that positions in this object are of; the first that exists is right, and when
    /// none does, they are of the document of the object around this one.
    pub fn documents(self) -> &'static [&'static [&'static str]] {
        self.0.documents
    }

    /// Whether positions behind a key of this object are of the document of the object around this one.
    pub fn is_outer(self, key: &str) -> bool {
        self.0.outer.contains(&key)
    }
}

impl PartialEq for Shape {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.0, other.0)
    }
}

impl Eq for Shape {}

// The graph has circles, so a shape shows only its name.
impl fmt::Debug for Shape {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Shape({})", self.0.name)
    }
}
