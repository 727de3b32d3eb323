//! The structure of arguments as far as types can say it.

use super::rules::{General, Node, NodeId, Rules, Types};
use interlock_model::json::Kind;

/// What the policy crate makes Cedar types of.
///
/// `null` is left out of unions: Cedar has no null, so a value that is null is opaque whatever its type,
/// and an optional string written `["string", "null"]` is still a string where it is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// An object.
    Object {
        /// Its members, sorted by name: name, shape, whether the schema requires it.
        members: Vec<(String, Shape, bool)>,
        /// Whether other members may be present.
        open: bool,
    },
    /// An array with elements of one shape.
    Array(Box<Shape>),
    /// A string.
    String,
    /// An integer.
    Integer,
    /// A number; integers are numbers.
    Number,
    /// A boolean.
    Bool,
    /// Only ever null.
    Null,
    /// Anything that the other variants do not say: unions, recursion, what no type is given for.
    Opaque,
}

/// Deeper structure is opaque.
const DEPTH: usize = 8;
/// So is whatever comes after this many shapes: references could repeat a part without end.
const SHAPES: usize = 4096;

/// The shape of arguments: always an object, whatever the schema leaves unsaid.
pub(super) fn of(rules: &Rules) -> Shape {
    let mut builder = Builder { rules, left: SHAPES };
    match builder.shape(Rules::ROOT, 0) {
        object @ Shape::Object { .. } => object,
        _ => match rules.node(Rules::ROOT) {
            Some(root) => builder.object(root, 0),
            None => Shape::Opaque,
        },
    }
}

struct Builder<'r> {
    rules: &'r Rules,
    left: usize,
}

impl Builder<'_> {
    fn shape(&mut self, id: NodeId, depth: usize) -> Shape {
        let Some(node) = self.rules.node(id) else { return Shape::Opaque };
        if depth >= DEPTH || self.left == 0 {
            return Shape::Opaque;
        }
        self.left -= 1;
        let types = node.types.and(enumerated(node));
        let own = match types.without(Types::NULL) {
            Types::NONE if types == Types::NULL => Shape::Null,
            Types::BOOL => Shape::Bool,
            Types::INTEGER => Shape::Integer,
            Types::NUMBER => Shape::Number,
            Types::STRING => Shape::String,
            Types::ARRAY => self.array(node, depth),
            Types::OBJECT => self.object(node, depth),
            _ => Shape::Opaque,
        };
        // What the node itself does not say, a schema that it applies may.
        if own == Shape::Opaque { self.applied(node, depth) } else { own }
    }

    fn array(&mut self, node: &Node, depth: usize) -> Shape {
        let items = match &node.array {
            Some(array) if array.prefix.is_empty() => array.items,
            _ => None,
        };
        Shape::Array(Box::new(items.map_or(Shape::Opaque, |items| self.shape(items, depth + 1))))
    }

    fn object(&mut self, node: &Node, depth: usize) -> Shape {
        let Some(object) = &node.object else { return Shape::Object { members: Vec::new(), open: true } };
        let members = object
            .members
            .iter()
            .map(|m| (m.name.to_string(), m.node.map_or(Shape::Opaque, |n| self.shape(n, depth + 1)), m.required))
            .collect();
        Shape::Object { members, open: !object.closed || !object.patterns.is_empty() }
    }

    fn applied(&mut self, node: &Node, depth: usize) -> Shape {
        for general in &node.general {
            let found = match general {
                General::Ref(target) => self.shape(*target, depth + 1),
                // Every one of them holds, so any that says something is right.
                General::AllOf(nodes) => {
                    let shapes = nodes.iter().map(|n| self.shape(*n, depth + 1));
                    shapes.into_iter().find(|s| *s != Shape::Opaque).unwrap_or(Shape::Opaque)
                }
                General::AnyOf(nodes) | General::OneOf(nodes) => self.alternatives(nodes, depth),
                General::Never | General::Not(_) | General::If { .. } | General::Enum(_) => Shape::Opaque,
            };
            if found != Shape::Opaque {
                return found;
            }
        }
        Shape::Opaque
    }

    /// The shape that all alternatives but null have.
    fn alternatives(&mut self, nodes: &[NodeId], depth: usize) -> Shape {
        let mut common: Option<Shape> = None;
        for node in nodes {
            match (self.shape(*node, depth + 1), &common) {
                (Shape::Null, _) => {}
                (shape, None) => common = Some(shape),
                (shape, Some(common)) if shape == *common => {}
                _ => return Shape::Opaque,
            }
        }
        common.unwrap_or(Shape::Null)
    }
}

/// The types of the values of `enum` and `const`; any where there is neither.
fn enumerated(node: &Node) -> Types {
    node.general.iter().fold(Types::ANY, |types, general| {
        let General::Enum(values) = general else { return types };
        let strings = if values.strings.is_empty() { Types::NONE } else { Types::STRING };
        let all = values.others.iter().fold(strings, |all, value| {
            all.or(match value.root().kind() {
                Kind::Null => Types::NULL,
                Kind::Bool => Types::BOOL,
                Kind::Number if super::number::is_integer(value.root()) => Types::INTEGER,
                Kind::Number => Types::NUMBER,
                Kind::String => Types::STRING,
                Kind::Array => Types::ARRAY,
                Kind::Object => Types::OBJECT,
            })
        });
        types.and(all)
    })
}
