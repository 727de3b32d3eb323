//! What a client asks of servers, whatever the revision: the method, and the member that says what it is about.
//!
//! Source: MCP 2024-11-05 to 2026-07-28, server features.

use crate::frame::Request;
use interlock_model::json::View;

/// A request that is answered with the help of servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ask {
    /// `tools/call`
    Call,
    /// `resources/read`
    Read,
    /// `resources/subscribe`
    Subscribe,
    /// `resources/unsubscribe`
    Unsubscribe,
    /// `prompts/get`
    Prompt,
    /// `completion/complete`
    Complete,
    /// `tasks/get`, `tasks/update`, `tasks/cancel` (2026-07-28, the tasks extension)
    Task(TaskVerb),
    /// `tools/list`, `prompts/list`, `resources/list`, `resources/templates/list`
    List(Listed),
}

/// What is asked of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TaskVerb {
    /// How it stands, and its result once there is one.
    Get,
    /// Brings replies to what it asked.
    Update,
    /// Ends it.
    Cancel,
}

/// Kinds of things that servers list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Listed {
    /// Tools.
    Tools,
    /// Prompts.
    Prompts,
    /// Resources.
    Resources,
    /// Templates of resources' addresses.
    Templates,
}

/// Which member of the `params` names what is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NameAt {
    /// `name`
    Name,
    /// `uri`
    Uri,
    /// `ref.name`
    RefName,
    /// `ref.uri`
    RefUri,
    /// `taskId`
    TaskId,
}

impl Ask {
    /// The ask that a method is; `None` for methods that no server is asked for.
    #[must_use]
    pub fn of(method: &str) -> Option<Self> {
        Some(match method {
            "tools/call" => Self::Call,
            "tools/list" => Self::List(Listed::Tools),
            "resources/read" => Self::Read,
            "resources/subscribe" => Self::Subscribe,
            "resources/unsubscribe" => Self::Unsubscribe,
            "prompts/get" => Self::Prompt,
            "completion/complete" => Self::Complete,
            "tasks/get" => Self::Task(TaskVerb::Get),
            "tasks/update" => Self::Task(TaskVerb::Update),
            "tasks/cancel" => Self::Task(TaskVerb::Cancel),
            "prompts/list" => Self::List(Listed::Prompts),
            "resources/list" => Self::List(Listed::Resources),
            "resources/templates/list" => Self::List(Listed::Templates),
            _ => return None,
        })
    }

    /// The method.
    #[must_use]
    pub const fn method(self) -> &'static str {
        match self {
            Self::Call => "tools/call",
            Self::Read => "resources/read",
            Self::Subscribe => "resources/subscribe",
            Self::Unsubscribe => "resources/unsubscribe",
            Self::Prompt => "prompts/get",
            Self::Complete => "completion/complete",
            Self::Task(TaskVerb::Get) => "tasks/get",
            Self::Task(TaskVerb::Update) => "tasks/update",
            Self::Task(TaskVerb::Cancel) => "tasks/cancel",
            Self::List(listed) => listed.method(),
        }
    }

    /// Where `request` says what it is about, and what stands there; `None` for lists, and where it is missing.
    #[must_use]
    pub fn name(self, request: &Request) -> Option<(NameAt, View<'_>)> {
        match self {
            Self::Call | Self::Prompt => request.param("name").map(|name| (NameAt::Name, name)),
            Self::Read | Self::Subscribe | Self::Unsubscribe => request.param("uri").map(|uri| (NameAt::Uri, uri)),
            Self::Task(_) => request.param("taskId").map(|task| (NameAt::TaskId, task)),
            Self::Complete => {
                let to = request.param("ref")?;
                let kind = to.get("type")?;
                if kind.is_str("ref/prompt") {
                    to.get("name").map(|name| (NameAt::RefName, name))
                } else if kind.is_str("ref/resource") {
                    to.get("uri").map(|uri| (NameAt::RefUri, uri))
                } else {
                    None
                }
            }
            Self::List(_) => None,
        }
    }
}

impl Listed {
    /// The method that lists them.
    #[must_use]
    pub const fn method(self) -> &'static str {
        match self {
            Self::Tools => "tools/list",
            Self::Prompts => "prompts/list",
            Self::Resources => "resources/list",
            Self::Templates => "resources/templates/list",
        }
    }

    /// The member of the result that has them.
    #[must_use]
    pub const fn member(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Prompts => "prompts",
            Self::Resources => "resources",
            Self::Templates => "resourceTemplates",
        }
    }

    /// The member of an element that names it.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Tools | Self::Prompts => "name",
            Self::Resources => "uri",
            Self::Templates => "uriTemplate",
        }
    }
}

impl NameAt {
    /// Whether the name is that of a resource.
    #[must_use]
    pub const fn is_address(self) -> bool {
        matches!(self, Self::Uri | Self::RefUri)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Frame;
    use bytes::Bytes;
    use interlock_model::json::Limits;

    #[test]
    fn methods_and_what_they_are_about() {
        for (method, params, expected) in [
            ("tools/call", r#"{"name":"t"}"#, Some((NameAt::Name, "t"))),
            ("prompts/get", r#"{"name":"p"}"#, Some((NameAt::Name, "p"))),
            ("resources/read", r#"{"uri":"a:b"}"#, Some((NameAt::Uri, "a:b"))),
            ("resources/read", r#"{"name":"a:b"}"#, None),
            ("completion/complete", r#"{"ref":{"type":"ref/prompt","name":"p"}}"#, Some((NameAt::RefName, "p"))),
            (
                "completion/complete",
                r#"{"ref":{"type":"ref/resource","uri":"a:{x}"}}"#,
                Some((NameAt::RefUri, "a:{x}")),
            ),
            ("completion/complete", r#"{"ref":{"type":"ref/other","uri":"a:{x}"}}"#, None),
            ("tasks/get", r#"{"taskId":"7"}"#, Some((NameAt::TaskId, "7"))),
            ("prompts/list", "{}", None),
        ] {
            let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#);
            let Ok(Frame::Request(request)) = Frame::parse(Bytes::from(text), Limits::REQUEST) else {
                panic!("{method}")
            };
            let ask = Ask::of(method).unwrap();
            assert_eq!(ask.method(), method);
            let found = ask.name(&request);
            let found = found.as_ref().map(|(at, name)| (*at, name.as_str().unwrap().into_owned()));
            assert_eq!(found, expected.map(|(at, name)| (at, name.to_owned())), "{method} {params}");
        }
        assert_eq!(Ask::of("ping"), None);
    }
}
