//! What a server says it has.

use interlock_model::json::{Kind, View};

/// The capabilities of a server that matter to whoever stands before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offers {
    /// `tools`
    pub tools: bool,
    /// `tools.listChanged`
    pub tools_changed: bool,
    /// `prompts`
    pub prompts: bool,
    /// `prompts.listChanged`
    pub prompts_changed: bool,
    /// `resources`
    pub resources: bool,
    /// `resources.listChanged`
    pub resources_changed: bool,
    /// `resources.subscribe`
    pub subscribe: bool,
    /// `completions`
    pub completions: bool,
    /// `logging`
    pub logging: bool,
    /// The extension `io.modelcontextprotocol/tasks`.
    pub tasks: bool,
}

/// The tasks extension (SEP-1686, as of 2026-07-28).
pub const TASKS: &str = "io.modelcontextprotocol/tasks";

impl Offers {
    /// Reads the `capabilities` of an `initialize` or `server/discover` result.
    #[must_use]
    pub fn of(capabilities: Option<View<'_>>) -> Self {
        let has = |name: &str| capabilities.and_then(|c| c.get(name)).filter(|c| c.kind() == Kind::Object);
        let flag = |name: &str, member: &str| has(name).and_then(|c| c.get(member)?.as_bool()) == Some(true);
        Self {
            tools: has("tools").is_some(),
            tools_changed: flag("tools", "listChanged"),
            prompts: has("prompts").is_some(),
            prompts_changed: flag("prompts", "listChanged"),
            resources: has("resources").is_some(),
            resources_changed: flag("resources", "listChanged"),
            subscribe: flag("resources", "subscribe"),
            completions: has("completions").is_some(),
            logging: has("logging").is_some(),
            tasks: has("extensions").is_some_and(|extensions| extensions.get(TASKS).is_some()),
        }
    }

    /// What either has.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self {
            tools: self.tools || other.tools,
            tools_changed: self.tools_changed || other.tools_changed,
            prompts: self.prompts || other.prompts,
            prompts_changed: self.prompts_changed || other.prompts_changed,
            resources: self.resources || other.resources,
            resources_changed: self.resources_changed || other.resources_changed,
            subscribe: self.subscribe || other.subscribe,
            completions: self.completions || other.completions,
            logging: self.logging || other.logging,
            tasks: self.tasks || other.tasks,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use interlock_model::json::{Json, Limits};

    #[test]
    fn reading_and_uniting() {
        let read = |text: &str| Offers::of(Some(Json::parse(text, Limits::RESULT).unwrap().root()));
        let some = read(r#"{"tools":{"listChanged":true},"resources":{"subscribe":true},"logging":{}}"#);
        assert_eq!(
            some,
            Offers {
                tools: true,
                tools_changed: true,
                resources: true,
                subscribe: true,
                logging: true,
                ..Offers::default()
            }
        );
        let more = read(r#"{"prompts":{},"completions":{},"extensions":{"io.modelcontextprotocol/tasks":{}}}"#);
        let both = some.or(more);
        assert!(both.tools && both.prompts && both.completions && both.tasks && !both.prompts_changed);
        assert_eq!(read(r#"{"tools":true}"#), Offers::default());
        assert_eq!(Offers::of(None), Offers::default());
    }
}
