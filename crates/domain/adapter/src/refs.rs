//! Reading a description: members, and references to other places in the same document.
//!
//! Nothing outside the document is ever read: a reference to a file or an address is refused, whoever wrote it.
//! Source: OpenAPI 3.1.1, "Reference Object"; RFC 6901 (JSON Pointer), section 6 (as a URI fragment).

use crate::percent;
use interlock_model::json::{Kind, View};
use std::borrow::Cow;
use std::collections::HashMap;

/// Longest chain of references that lead to references.
const CHAIN: usize = 16;

/// Why a reference was not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefFault {
    /// It leads out of the document.
    #[error("a `$ref` leads out of the document, and nothing is fetched")]
    External,
    /// It leads nowhere.
    #[error("a `$ref` leads to nothing in the document")]
    Dangling,
    /// It leads to itself, or through more than 16 others.
    #[error("a `$ref` leads in a circle, or through too many others")]
    Circle,
}

/// One document, read with a bound on the number of members looked at.
pub(crate) struct Refs<'a> {
    root: View<'a>,
    /// The members of what references lead through, by where it stands in the text.
    index: HashMap<usize, HashMap<Cow<'a, str>, View<'a>>>,
    work: u64,
}

impl<'a> Refs<'a> {
    pub(crate) fn new(root: View<'a>, work: u64) -> Self {
        Self { root, index: HashMap::new(), work }
    }

    pub(crate) const fn root(&self) -> View<'a> {
        self.root
    }

    /// Whether the work is used up. What was read after that is not what stands there.
    pub(crate) const fn is_exhausted(&self) -> bool {
        self.work == 0
    }

    /// Whether there was work left for one more member.
    pub(crate) const fn spend(&mut self) -> bool {
        match self.work.checked_sub(1) {
            Some(left) => {
                self.work = left;
                true
            }
            None => false,
        }
    }

    /// The member `name` of an object.
    pub(crate) fn get(&mut self, view: View<'a>, name: &str) -> Option<View<'a>> {
        let mut members = view.members();
        loop {
            let (key, value) = members.next()?;
            if !self.spend() {
                return None;
            }
            if key.is_str(name) {
                return Some(value);
            }
        }
    }

    pub(crate) fn text(&mut self, view: View<'a>, name: &str) -> Option<Cow<'a, str>> {
        self.get(view, name)?.as_str()
    }

    pub(crate) fn flag(&mut self, view: View<'a>, name: &str) -> Option<bool> {
        self.get(view, name)?.as_bool()
    }

    /// `view`, or what it refers to in the end.
    pub(crate) fn follow(&mut self, view: View<'a>) -> Result<View<'a>, RefFault> {
        let mut at = view;
        for _ in 0..CHAIN {
            match self.text(at, "$ref") {
                Some(reference) => at = self.resolve(&reference)?,
                None => return Ok(at),
            }
        }
        Err(RefFault::Circle)
    }

    /// What one reference leads to.
    pub(crate) fn resolve(&mut self, reference: &str) -> Result<View<'a>, RefFault> {
        let pointer = reference.strip_prefix('#').ok_or(RefFault::External)?;
        let pointer = String::from_utf8(percent::decode(pointer.as_bytes())).map_err(|_| RefFault::Dangling)?;
        if pointer.is_empty() {
            return Ok(self.root);
        }
        let steps = pointer.strip_prefix('/').ok_or(RefFault::Dangling)?;
        let mut at = self.root;
        for step in steps.split('/') {
            let step = step.replace("~1", "/").replace("~0", "~");
            at = self.step(at, &step).ok_or(RefFault::Dangling)?;
        }
        Ok(at)
    }

    fn step(&mut self, at: View<'a>, step: &str) -> Option<View<'a>> {
        match at.kind() {
            Kind::Object => {
                let start = at.span().start;
                if !self.index.contains_key(&start) {
                    let mut members = HashMap::new();
                    for (key, value) in at.members() {
                        if !self.spend() {
                            return None;
                        }
                        members.insert(key.as_str().unwrap_or_default(), value);
                    }
                    self.index.insert(start, members);
                }
                self.index.get(&start)?.get(step).copied()
            }
            Kind::Array => {
                let at_most: usize = step.parse().ok()?;
                let mut elements = at.elements();
                for _ in 0..at_most {
                    elements.next()?;
                    if !self.spend() {
                        return None;
                    }
                }
                elements.next()
            }
            Kind::Null | Kind::Bool | Kind::Number | Kind::String => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use interlock_model::json::{Json, Limits};

    #[test]
    fn table() {
        let text =
            br##"{"a":{"b/c":[1,{"~d":2}]},"e f":3,"x":{"$ref":"#/y"},"y":{"$ref":"#/x"},"z":{"$ref":"#/e%20f"}}"##;
        let json = Json::parse(&text[..], Limits::REQUEST).unwrap();
        let mut refs = Refs::new(json.root(), 1000);
        for (reference, expected) in [
            ("#/a/b~1c/0", Ok("1")),
            ("#/a/b~1c/1/~0d", Ok("2")),
            ("#/e%20f", Ok("3")),
            ("#/a/b~1c/2", Err(RefFault::Dangling)),
            ("#/nothing", Err(RefFault::Dangling)),
            ("#anchor", Err(RefFault::Dangling)),
            ("other.json#/a", Err(RefFault::External)),
            ("file:///etc/passwd", Err(RefFault::External)),
            ("http://169.254.169.254/", Err(RefFault::External)),
            ("", Err(RefFault::External)),
        ] {
            let found = refs.resolve(reference).map(|v| std::str::from_utf8(v.raw()).unwrap());
            assert_eq!(found, expected, "{reference}");
        }
        let x = json.root().get("x").unwrap();
        assert_eq!(refs.follow(x).map(drop), Err(RefFault::Circle));
        let z = json.root().get("z").unwrap();
        assert_eq!(refs.follow(z).unwrap().raw(), b"3");
    }

    #[test]
    fn work_ends() {
        let json = Json::parse(&br#"{"a":1,"b":2}"#[..], Limits::REQUEST).unwrap();
        let mut refs = Refs::new(json.root(), 3);
        assert!(refs.get(json.root(), "b").is_some());
        assert!(refs.get(json.root(), "b").is_none());
        assert!(refs.is_exhausted());
    }
}
