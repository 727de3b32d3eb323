//! How much of a foreign description is read, and how much may come of it.

use interlock_model::json;

/// Bounds on a description and on the tools made of it. A description is foreign text: without these a small one could
/// unfold into a large catalog, or take long to read.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most bytes of the description.
    pub bytes: usize,
    /// Most levels of arrays and objects in it.
    pub depth: usize,
    /// Most values and keys in it, together.
    pub nodes: usize,
    /// Most tools. What comes after them in the description is left out, and said to be.
    pub tools: usize,
    /// Bytes of one tool's input schema after which what is still to be written becomes `{}`, which admits anything.
    pub schema_bytes: usize,
    /// Most bytes of one tool definition. A tool over it is left out.
    pub definition_bytes: usize,
    /// Most bytes of all tool definitions together.
    pub total_bytes: usize,
    /// Most members looked at while the description is turned into tools: what bounds the time, since one schema may be
    /// referred to from everywhere.
    pub work: u64,
}

impl Limits {
    /// For descriptions as their authors publish them: the largest known ones have some thousand operations.
    pub const DEFAULT: Self = Self {
        bytes: 8 * 1024 * 1024,
        depth: 64,
        nodes: 2 * 1024 * 1024,
        tools: 2000,
        schema_bytes: 96 * 1024,
        definition_bytes: 192 * 1024,
        total_bytes: 64 * 1024 * 1024,
        work: 50_000_000,
    };

    /// What the catalog asks of a definition, so that nothing is made here that it would refuse.
    pub(crate) const DEFINITION: json::Limits = json::Limits { depth: 48, nodes: 32_768, lone_surrogates: false };

    pub(crate) const fn json(&self) -> json::Limits {
        json::Limits { depth: self.depth, nodes: self.nodes, lone_surrogates: false }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}
