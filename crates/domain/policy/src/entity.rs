//! Agents and tools as Cedar entities, and whether a policy's scope can match them.

use cedar_policy::{
    ActionConstraint, Entity, EntityId, EntityTypeName, EntityUid, PrincipalConstraint, ResourceConstraint,
    RestrictedExpression as Value,
};
use interlock_catalog::{ApprovedTool, ToolFacts};
use interlock_identity::Agent;
use interlock_model::ServerName;
use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

/// Names of the entity types, read once.
struct Types {
    action: EntityTypeName,
    agent: EntityTypeName,
    owner: EntityTypeName,
    prompt: EntityTypeName,
    resource: EntityTypeName,
    role: EntityTypeName,
    server: EntityTypeName,
    tool: EntityTypeName,
}

static TYPES: LazyLock<Types> = LazyLock::new(|| {
    #[expect(clippy::expect_used, reason = "constant names; every test passes here")]
    let name = |text: &str| text.parse::<EntityTypeName>().expect("a type name");
    Types {
        action: name("Interlock::Action"),
        agent: name("Interlock::Agent"),
        owner: name("Interlock::Owner"),
        prompt: name("Interlock::Prompt"),
        resource: name("Interlock::Resource"),
        role: name("Interlock::Role"),
        server: name("Interlock::Server"),
        tool: name("Interlock::Tool"),
    }
});

fn uid(kind: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id))
}

/// `Interlock::Action::"id"`.
pub(crate) fn action_uid(id: &str) -> EntityUid {
    uid(&TYPES.action, id)
}

/// The group that every typed action is in.
pub(crate) const CALL: &str = "call";

/// `server/tool`: the id of a tool and of its typed action. A server's name has no slash.
pub(crate) fn tool_id(tool: &ApprovedTool) -> String {
    format!("{}/{}", tool.server, tool.name())
}

/// An entity together with what it is in.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    pub(crate) uid: EntityUid,
    pub(crate) parents: Vec<EntityUid>,
}

impl Placed {
    fn is_in(&self, other: &EntityUid) -> bool {
        self.uid == *other || self.parents.contains(other)
    }
}

/// The agent, in its owner and roles.
pub(crate) fn agent(agent: &Agent) -> Placed {
    let owner = uid(&TYPES.owner, agent.owner.as_str());
    let roles = agent.roles.iter().map(|role| uid(&TYPES.role, role));
    Placed { uid: uid(&TYPES.agent, agent.id.as_str()), parents: std::iter::once(owner).chain(roles).collect() }
}

/// The tool, in its server.
pub(crate) fn tool(tool: &ApprovedTool) -> Placed {
    Placed { uid: uid(&TYPES.tool, &tool_id(tool)), parents: vec![server(&tool.server).uid] }
}

/// The tool's typed action, in `call`.
pub(crate) fn typed_action(tool: &ApprovedTool) -> Placed {
    Placed { uid: action_uid(&tool_id(tool)), parents: vec![action_uid(CALL)] }
}

/// An action that is not one tool's own, in nothing.
pub(crate) fn plain_action(name: &str) -> Placed {
    Placed { uid: action_uid(name), parents: Vec::new() }
}

/// A resource, in its server. The address stands behind the server's name, which has no slash.
pub(crate) fn resource(server: &ServerName, address: &str) -> Placed {
    Placed { uid: uid(&TYPES.resource, &format!("{server}/{address}")), parents: vec![self::server(server).uid] }
}

/// A prompt, in its server.
pub(crate) fn prompt(server: &ServerName, name: &str) -> Placed {
    Placed { uid: uid(&TYPES.prompt, &format!("{server}/{name}")), parents: vec![self::server(server).uid] }
}

/// A server, in nothing.
pub(crate) fn server(server: &ServerName) -> Placed {
    Placed { uid: uid(&TYPES.server, server.as_str()), parents: Vec::new() }
}

/// Whether a principal scope matches.
pub(crate) fn principal_matches(scope: &PrincipalConstraint, who: &Placed) -> bool {
    match scope {
        PrincipalConstraint::Any => true,
        PrincipalConstraint::Eq(uid) => who.uid == *uid,
        PrincipalConstraint::In(uid) => who.is_in(uid),
        PrincipalConstraint::Is(kind) => who.uid.type_name() == kind,
        PrincipalConstraint::IsIn(kind, uid) => who.uid.type_name() == kind && who.is_in(uid),
    }
}

/// Whether an action scope matches.
pub(crate) fn action_matches(scope: &ActionConstraint, action: &Placed) -> bool {
    match scope {
        ActionConstraint::Any => true,
        ActionConstraint::Eq(uid) => action.uid == *uid,
        ActionConstraint::In(uids) => uids.iter().any(|uid| action.is_in(uid)),
    }
}

/// Whether a resource scope matches.
pub(crate) fn resource_matches(scope: &ResourceConstraint, what: &Placed) -> bool {
    match scope {
        ResourceConstraint::Any => true,
        ResourceConstraint::Eq(uid) => what.uid == *uid,
        ResourceConstraint::In(uid) => what.is_in(uid),
        ResourceConstraint::Is(kind) => what.uid.type_name() == kind,
        ResourceConstraint::IsIn(kind, uid) => what.uid.type_name() == kind && what.is_in(uid),
    }
}

/// Whether a scope is one of tools alone.
pub(crate) fn is_for_tools(scope: &ResourceConstraint) -> bool {
    use ResourceConstraint::{Any, Eq, In, Is, IsIn};
    match scope {
        Any | In(_) => false,
        Eq(uid) => *uid.type_name() == TYPES.tool,
        Is(kind) | IsIn(kind, _) => *kind == TYPES.tool,
    }
}

/// The agent with its attributes.
///
/// # Errors
///
/// Cedar's message, should it refuse an attribute.
pub(crate) fn agent_entity(who: &Agent, bound: bool, placed: &Placed) -> Result<Entity, String> {
    let attributes = HashMap::from([
        ("id".to_owned(), Value::new_string(who.id.to_string())),
        ("owner".to_owned(), Value::new_string(who.owner.to_string())),
        ("bound".to_owned(), Value::new_bool(bound)),
    ]);
    entity(placed, attributes)
}

/// The tool with its attributes: what a human confirmed, else the worst.
///
/// # Errors
///
/// Cedar's message, should it refuse an attribute.
pub(crate) fn tool_entity(tool: &ApprovedTool, placed: &Placed) -> Result<Entity, String> {
    let ToolFacts { effects, destination, sensitivity, confirmed } = tool.facts.effective();
    let text = |s: &str| Value::new_string(s.to_owned());
    let attributes = HashMap::from([
        ("name".to_owned(), text(tool.name().as_str())),
        ("server".to_owned(), text(tool.server.as_str())),
        ("exposed".to_owned(), text(tool.exposed.as_str())),
        ("effects".to_owned(), Value::new_set(effects.iter().map(|e| text(e.as_str())))),
        ("readOnly".to_owned(), Value::new_bool(effects.is_read_only())),
        ("destination".to_owned(), text(destination.as_str())),
        ("outside".to_owned(), Value::new_bool(destination.is_outside())),
        ("sensitivity".to_owned(), text(sensitivity.as_str())),
        ("confirmed".to_owned(), Value::new_bool(confirmed)),
    ]);
    entity(placed, attributes)
}

/// The resource with its attributes.
///
/// # Errors
///
/// Cedar's message, should it refuse an attribute.
pub(crate) fn resource_entity(server: &ServerName, uri: &str, placed: &Placed) -> Result<Entity, String> {
    let text = |s: &str| Value::new_string(s.to_owned());
    // RFC 3986, 3.1: the scheme ends at the first colon and is the same in either case.
    let scheme = uri.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase()).unwrap_or_default();
    let attributes = HashMap::from([
        ("uri".to_owned(), text(uri)),
        ("scheme".to_owned(), text(&scheme)),
        ("server".to_owned(), text(server.as_str())),
    ]);
    entity(placed, attributes)
}

/// The prompt with its attributes.
///
/// # Errors
///
/// Cedar's message, should it refuse an attribute.
pub(crate) fn prompt_entity(server: &ServerName, name: &str, placed: &Placed) -> Result<Entity, String> {
    let text = |s: &str| Value::new_string(s.to_owned());
    entity(placed, HashMap::from([("name".to_owned(), text(name)), ("server".to_owned(), text(server.as_str()))]))
}

fn entity(placed: &Placed, attributes: HashMap<String, Value>) -> Result<Entity, String> {
    let parents: HashSet<EntityUid> = placed.parents.iter().cloned().collect();
    Entity::new(placed.uid.clone(), attributes, parents).map_err(|e| e.to_string())
}

/// What the agent, the tool and the action are in, without attributes.
pub(crate) fn parent_entities<'a>(placed: impl IntoIterator<Item = &'a Placed>) -> Vec<Entity> {
    let uids: HashSet<EntityUid> = placed.into_iter().flat_map(|p| p.parents.iter().cloned()).collect();
    uids.into_iter().map(Entity::with_uid).collect()
}

/// An action without attributes.
pub(crate) fn action_entity(placed: &Placed) -> Entity {
    Entity::new_no_attrs(placed.uid.clone(), placed.parents.iter().cloned().collect())
}
