//! A GraphQL schema, as far as calls need it, and its reading from the result of an introspection query.
//!
//! Every name in it is a Name of the grammar, so that text made of names is safe to put into a document.
//!
//! Source: GraphQL October 2021, section 2.1.9 (Names), 3 (Type System), 4 (Introspection).

use crate::import::{DescriptionError, LeftOut, Reason};
use crate::quote::{shortened, visible};
use crate::refs::Refs;
use interlock_model::json::{Kind, View};
use std::collections::HashMap;

/// Most bytes of a name.
const NAME: usize = 256;
/// Most lists and non-nulls around a type.
const WRAPPERS: usize = 8;
/// Most bytes of a description of an argument or input field.
const DESCRIPTION: usize = 1024;

#[derive(Debug)]
pub(super) struct Schema {
    pub(super) types: HashMap<String, Type>,
    pub(super) query: Option<String>,
    pub(super) mutation: Option<String>,
    pub(super) subscription: Option<String>,
}

#[derive(Debug)]
pub(super) enum Type {
    Scalar,
    Enum {
        values: Vec<String>,
        /// Of all values together.
        bytes: usize,
    },
    Input {
        fields: Vec<InputValue>,
        one_of: bool,
    },
    /// An object, interface or union.
    Composite {
        fields: Vec<Field>,
        possible: Vec<String>,
        is_object: bool,
    },
}

#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) description: Option<String>,
    pub(super) is_deprecated: bool,
    pub(super) arguments: Vec<InputValue>,
    /// Whether one of the arguments is required.
    pub(super) needs_arguments: bool,
    pub(super) result: TypeRef,
}

#[derive(Clone, Debug)]
pub(super) struct InputValue {
    pub(super) name: String,
    pub(super) description: Option<String>,
    pub(super) type_ref: TypeRef,
    pub(super) has_default: bool,
}

impl InputValue {
    /// Section 5.4.2.1: non-null and without a default.
    pub(super) fn is_required(&self) -> bool {
        self.type_ref.is_non_null() && !self.has_default
    }
}

/// A named type and what is around it, outermost first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TypeRef {
    pub(super) name: String,
    pub(super) around: Vec<Around>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Around {
    NonNull,
    List,
}

impl TypeRef {
    pub(super) fn is_non_null(&self) -> bool {
        self.around.first() == Some(&Around::NonNull)
    }

    /// As it stands in a document (section 2.11).
    pub(super) fn text(&self) -> String {
        let mut out = self.name.clone();
        for around in self.around.iter().rev() {
            out = match around {
                Around::NonNull => format!("{out}!"),
                Around::List => format!("[{out}]"),
            };
        }
        out
    }
}

/// A description of an argument or input field, as it is shown.
pub(super) fn shorten_description(text: &str) -> String {
    shortened(text, DESCRIPTION)
}

/// Section 2.1.9.
pub(super) fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    let starts = bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    starts && text.len() <= NAME && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

impl Schema {
    pub(super) fn read(refs: &mut Refs<'_>, left_out: &mut Vec<LeftOut>) -> Result<Self, DescriptionError> {
        let must = |member, expected| DescriptionError::Member { member, expected };
        let root = refs.root();
        let holder = refs.get(root, "data").unwrap_or(root);
        let object = |v: &View<'_>| v.kind() == Kind::Object;
        let schema = refs.get(holder, "__schema").filter(object).ok_or(must("__schema", "an object"))?;
        let mut operation = |member| {
            let named = refs.get(schema, member)?;
            refs.text(named, "name").filter(|name| is_name(name)).map(std::borrow::Cow::into_owned)
        };
        let (query, mutation) = (operation("queryType"), operation("mutationType"));
        let subscription = operation("subscriptionType");
        let list = refs.get(schema, "types").filter(|t| t.kind() == Kind::Array).ok_or(must("types", "a list"))?;
        let mut types = HashMap::new();
        for view in list.elements() {
            if !refs.spend() {
                return Err(DescriptionError::Exhausted);
            }
            let Some(name) = refs.text(view, "name").filter(|name| is_name(name)) else { continue };
            // Of two types of one name, the first: a name means one thing.
            if !types.contains_key(&*name)
                && let Some(read) = read_type(refs, view, &name, left_out)
            {
                types.insert(name.into_owned(), read);
            }
        }
        if refs.is_exhausted() {
            return Err(DescriptionError::Exhausted);
        }
        Ok(Self { types, query, mutation, subscription })
    }

    /// The fields of an object or interface; none of others.
    pub(super) fn fields(&self, name: &str) -> &[Field] {
        match self.types.get(name) {
            Some(Type::Composite { fields, .. }) => fields,
            _ => &[],
        }
    }

    pub(super) fn is_composite(&self, name: &str) -> bool {
        matches!(self.types.get(name), Some(Type::Composite { .. }))
    }

    pub(super) fn is_leaf(&self, name: &str) -> bool {
        matches!(self.types.get(name), Some(Type::Scalar | Type::Enum { .. }))
    }

    /// The objects that a composite type may be: itself if it is one.
    pub(super) fn possible<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s str> {
        let (own, possible): (Option<&str>, &[String]) = match self.types.get(name) {
            Some(Type::Composite { is_object: true, .. }) => (Some(name), &[]),
            Some(Type::Composite { possible, .. }) => (None, possible),
            _ => (None, &[]),
        };
        own.into_iter().chain(possible.iter().map(String::as_str))
    }
}

fn read_type<'a>(refs: &mut Refs<'a>, view: View<'a>, name: &str, left_out: &mut Vec<LeftOut>) -> Option<Type> {
    let kind = refs.text(view, "kind")?;
    Some(match &*kind {
        "SCALAR" => Type::Scalar,
        "ENUM" => {
            let values = refs.get(view, "enumValues")?;
            let mut names = Vec::new();
            for value in values.elements() {
                let name = refs.text(value, "name");
                // Section 2.9.6: not these three.
                let name = name.filter(|n| is_name(n) && !matches!(&**n, "true" | "false" | "null"));
                names.extend(name.map(std::borrow::Cow::into_owned));
            }
            let bytes = names.iter().map(String::len).sum();
            Type::Enum { values: names, bytes }
        }
        "INPUT_OBJECT" => {
            let fields = refs.get(view, "inputFields")?;
            let one_of = refs.flag(view, "isOneOf") == Some(true);
            Type::Input { fields: input_values(refs, fields)?, one_of }
        }
        "OBJECT" | "INTERFACE" | "UNION" => {
            let mut fields = Vec::new();
            for field in refs.get(view, "fields").iter().flat_map(View::elements) {
                let field_name = refs.text(field, "name").unwrap_or_default();
                match read_field(refs, field) {
                    Ok(read) => fields.push(read),
                    Err(reason) => {
                        left_out.push(LeftOut { what: format!("{name}.{}", visible(&field_name)), reason });
                    }
                }
            }
            let mut possible = Vec::new();
            for of in refs.get(view, "possibleTypes").iter().flat_map(View::elements) {
                let of = refs.text(of, "name").filter(|n| is_name(n));
                possible.extend(of.map(std::borrow::Cow::into_owned));
            }
            Type::Composite { fields, possible, is_object: &*kind == "OBJECT" }
        }
        _ => return None,
    })
}

fn read_field<'a>(refs: &mut Refs<'a>, view: View<'a>) -> Result<Field, Reason> {
    // Names that begin with two underscores are introspection's (section 2.1.9, "Reserved Names").
    let name = refs.text(view, "name").filter(|n| is_name(n) && !n.starts_with("__")).ok_or(Reason::FieldName)?;
    let result = refs.get(view, "type").and_then(|t| type_ref(refs, t)).ok_or(Reason::Type)?;
    let arguments = match refs.get(view, "args") {
        Some(args) => input_values(refs, args).ok_or(Reason::Type)?,
        None => Vec::new(),
    };
    Ok(Field {
        name: name.into_owned(),
        description: refs.text(view, "description").map(std::borrow::Cow::into_owned),
        is_deprecated: refs.flag(view, "isDeprecated") == Some(true),
        needs_arguments: arguments.iter().any(InputValue::is_required),
        arguments,
        result,
    })
}

/// Arguments or input fields; `None` if one of them has no valid name or type, or two have the same name.
fn input_values<'a>(refs: &mut Refs<'a>, list: View<'a>) -> Option<Vec<InputValue>> {
    let mut values = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for view in list.elements() {
        let name = refs.text(view, "name").filter(|n| is_name(n) && !n.starts_with("__"))?.into_owned();
        if !seen.insert(name.clone()) {
            return None;
        }
        let type_ref = refs.get(view, "type").and_then(|t| type_ref(refs, t))?;
        let description = refs.text(view, "description").filter(|d| !d.is_empty());
        let description = description.map(|d| shorten_description(&d));
        let has_default = refs.get(view, "defaultValue").is_some_and(|d| d.kind() == Kind::String);
        values.push(InputValue { name, description, type_ref, has_default });
    }
    Some(values)
}

fn type_ref<'a>(refs: &mut Refs<'a>, view: View<'a>) -> Option<TypeRef> {
    let mut around = Vec::new();
    let mut at = view;
    for _ in 0..=WRAPPERS {
        let wrapper = match &*refs.text(at, "kind")? {
            // Section 3.12: a non-null type is not wrapped in another one.
            "NON_NULL" if around.last() == Some(&Around::NonNull) => return None,
            "NON_NULL" => Around::NonNull,
            "LIST" => Around::List,
            _ => {
                let name = refs.text(at, "name").filter(|n| is_name(n))?.into_owned();
                return Some(TypeRef { name, around });
            }
        };
        around.push(wrapper);
        at = refs.get(at, "ofType")?;
    }
    None
}
