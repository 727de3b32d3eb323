//! Agents and tools as Cedar entities, and whether a policy's scope can match them.

use cedar_policy::{
    ActionConstraint, Entity, EntityId, EntityTypeName, EntityUid, PrincipalConstraint, ResourceConstraint,
    RestrictedExpression as Value,
};
use interlock_catalog::{ApprovedTool, ToolFacts};
use interlock_identity::Agent;
use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

/// Names of the entity types, read once.
struct Types {
    action: EntityTypeName,
    agent: EntityTypeName,
    owner: EntityTypeName,
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
/// The action of `tools/list`.
pub(crate) const LIST: &str = "list";

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
    Placed { uid: uid(&TYPES.tool, &tool_id(tool)), parents: vec![uid(&TYPES.server, tool.server.as_str())] }
}

/// The tool's typed action, in `call`.
pub(crate) fn typed_action(tool: &ApprovedTool) -> Placed {
    Placed { uid: action_uid(&tool_id(tool)), parents: vec![action_uid(CALL)] }
}

/// `list`, in nothing.
pub(crate) fn list_action() -> Placed {
    Placed { uid: action_uid(LIST), parents: Vec::new() }
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
