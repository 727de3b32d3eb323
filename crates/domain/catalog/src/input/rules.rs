//! A schema as a flat list of nodes that refer to each other by index: what `check` walks.

use super::foreign::{Foreign, Whole};
use super::number::Number;
use interlock_model::json::{Json, Kind, View};

/// Index of a node.
pub(super) type NodeId = u32;

/// All nodes of one schema; the first is the root.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) nodes: Vec<Node>,
    /// The whole schema again, where it has keywords that only the foreign validator knows.
    pub(super) whole: Option<Whole>,
}

impl Rules {
    pub(super) const ROOT: NodeId = 0;

    pub(super) fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(id as usize)
    }
}

/// One schema object.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) types: Types,
    pub(super) general: Vec<General>,
    pub(super) number: Option<Box<NumberRules>>,
    pub(super) string: Option<Box<StringRules>>,
    pub(super) array: Option<Box<ArrayRules>>,
    pub(super) object: Option<Box<ObjectRules>>,
}

impl Node {
    pub(super) const fn any() -> Self {
        Self { types: Types::ANY, general: Vec::new(), number: None, string: None, array: None, object: None }
    }

    /// The nodes that are applied to the same value as this one.
    pub(super) fn in_place(&self) -> impl Iterator<Item = NodeId> + '_ {
        let dependent = self.object.iter().flat_map(|o| o.dependent_schemas.iter().map(|(_, node)| *node));
        self.general.iter().flat_map(General::nodes).chain(dependent)
    }

    /// The nodes that are applied to parts of the value.
    pub(super) fn below(&self) -> impl Iterator<Item = NodeId> + '_ {
        let array = self
            .array
            .iter()
            .flat_map(|a| a.prefix.iter().copied().chain(a.items).chain(a.contains.as_ref().map(|c| c.node)));
        let object = self.object.iter().flat_map(|o| {
            let members = o.members.iter().filter_map(|m| m.node);
            let patterns = o.patterns.iter().map(|(_, node)| *node);
            members.chain(patterns).chain(o.names).chain(o.extra)
        });
        array.chain(object)
    }
}

/// A set of JSON Schema types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Types(u8);

impl Types {
    pub(super) const NONE: Self = Self(0);
    pub(super) const NULL: Self = Self(1);
    pub(super) const BOOL: Self = Self(2);
    pub(super) const INTEGER: Self = Self(4);
    /// Integers are numbers.
    pub(super) const NUMBER: Self = Self(4 | 8);
    pub(super) const STRING: Self = Self(16);
    pub(super) const ARRAY: Self = Self(32);
    pub(super) const OBJECT: Self = Self(64);
    pub(super) const ANY: Self = Self(127);

    const NAMES: [(&'static str, Self); 7] = [
        ("null", Self::NULL),
        ("boolean", Self::BOOL),
        ("integer", Self::INTEGER),
        ("number", Self::NUMBER),
        ("string", Self::STRING),
        ("array", Self::ARRAY),
        ("object", Self::OBJECT),
    ];

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(n, _)| *n == name).map(|(_, types)| *types)
    }

    pub(super) const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub(super) const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(super) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub(super) fn admits(self, value: View<'_>) -> bool {
        match value.kind() {
            Kind::Null => self.has(Self::NULL),
            Kind::Bool => self.has(Self::BOOL),
            Kind::Number => self.has(Self::NUMBER) || self.has(Self::INTEGER) && super::number::is_integer(value),
            Kind::String => self.has(Self::STRING),
            Kind::Array => self.has(Self::ARRAY),
            Kind::Object => self.has(Self::OBJECT),
        }
    }

    /// The types by name, `integer` only where `number` is not there.
    pub(super) fn describe(self) -> String {
        let number = self.has(Self::NUMBER);
        let names = Self::NAMES.iter().filter(|(name, types)| self.has(*types) && !(number && *name == "integer"));
        names.map(|(name, _)| *name).collect::<Vec<_>>().join(" or ")
    }
}

/// What applies to values of any type.
#[derive(Debug)]
pub(super) enum General {
    /// `false`
    Never,
    Ref(NodeId),
    AllOf(Vec<NodeId>),
    AnyOf(Vec<NodeId>),
    OneOf(Vec<NodeId>),
    Not(NodeId),
    If {
        test: NodeId,
        then: Option<NodeId>,
        otherwise: Option<NodeId>,
    },
    Enum(Enumeration),
}

impl General {
    fn nodes(&self) -> impl Iterator<Item = NodeId> + '_ {
        let (list, few): (&[NodeId], [Option<NodeId>; 3]) = match self {
            Self::Never | Self::Enum(_) => (&[], [None; 3]),
            Self::Ref(node) | Self::Not(node) => (&[], [Some(*node), None, None]),
            Self::AllOf(nodes) | Self::AnyOf(nodes) | Self::OneOf(nodes) => (nodes, [None; 3]),
            Self::If { test, then, otherwise } => (&[], [Some(*test), *then, *otherwise]),
        };
        list.iter().copied().chain(few.into_iter().flatten())
    }
}

/// `enum` and `const`.
#[derive(Debug)]
pub(super) struct Enumeration {
    /// The strings among the values, sorted.
    pub(super) strings: Vec<Box<str>>,
    /// The other values.
    pub(super) others: Vec<Json<Vec<u8>>>,
}

#[derive(Debug, Default)]
pub(super) struct NumberRules {
    pub(super) least: Vec<Bound>,
    pub(super) most: Vec<Bound>,
    pub(super) multiple: Option<Foreign>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Bound {
    pub(super) at: Number,
    /// Whether the bound itself is outside.
    pub(super) open: bool,
}

/// How many there must be and may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Count {
    pub(super) least: u64,
    pub(super) most: u64,
}

impl Default for Count {
    fn default() -> Self {
        Self { least: 0, most: u64::MAX }
    }
}

#[derive(Debug, Default)]
pub(super) struct StringRules {
    /// In Unicode scalar values.
    pub(super) length: Count,
    pub(super) foreign: Vec<Foreign>,
}

#[derive(Debug, Default)]
pub(super) struct ArrayRules {
    pub(super) length: Count,
    pub(super) prefix: Vec<NodeId>,
    /// For elements after the prefix.
    pub(super) items: Option<NodeId>,
    pub(super) contains: Option<Contains>,
    pub(super) unique: Option<Foreign>,
}

#[derive(Debug)]
pub(super) struct Contains {
    pub(super) node: NodeId,
    pub(super) count: Count,
}

#[derive(Debug, Default)]
pub(super) struct ObjectRules {
    pub(super) length: Count,
    /// What is known about members by name; sorted by name.
    pub(super) members: Vec<Member>,
    /// How many of them are required.
    pub(super) required: usize,
    /// For members that neither `members` nor `patterns` has a schema for.
    pub(super) extra: Option<NodeId>,
    /// Whether `extra` refuses everything: the common case, told apart for the message.
    pub(super) closed: bool,
    pub(super) patterns: Vec<(Foreign, NodeId)>,
    pub(super) names: Option<NodeId>,
    pub(super) dependent_required: Vec<(Box<str>, Vec<Box<str>>)>,
    pub(super) dependent_schemas: Vec<(Box<str>, NodeId)>,
}

#[derive(Debug)]
pub(super) struct Member {
    pub(super) name: Box<str>,
    pub(super) node: Option<NodeId>,
    pub(super) required: bool,
}

impl ObjectRules {
    /// The member named by these bytes of UTF-8.
    pub(super) fn member(&self, name: &[u8]) -> Option<&Member> {
        let at = self.members.binary_search_by(|m| m.name.as_bytes().cmp(name)).ok()?;
        self.members.get(at)
    }
}
