//! The approved tools as the path of a call reads them: one immutable snapshot per accepted lock file.

use crate::{Definition, InputSchema, SchemaError, ServerIdentity, ToolFacts, VerifiedLock};
use bytes::Bytes;
use interlock_mcp::mirrored::mirrored;
use interlock_mcp::{ExposedName, Mirrored};
use interlock_model::{Digest, OwnerId, ServerName, ToolName, UnixMillis};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// One approved tool with everything that a call to it needs.
#[derive(Debug)]
pub struct ApprovedTool {
    /// The server it belongs to.
    pub server: ServerName,
    /// The approved definition.
    pub definition: Definition,
    /// What it does: as confirmed, or else the worst.
    pub facts: ToolFacts,
    /// Its name on the aggregate endpoint.
    pub exposed: ExposedName,
    /// Its input schema, compiled.
    pub input: InputSchema,
    /// The arguments that modern calls repeat as headers; none where the annotations are ones that clients must
    /// not accept.
    pub mirrored: Arc<[Mirrored]>,
    /// Digest of its server's identity.
    pub identity: Digest,
    /// Who approved it.
    pub approved_by: OwnerId,
    /// When.
    pub approved_at: UnixMillis,
    /// The tool object for `tools/list` of the aggregate endpoint: canonical, with the exposed name.
    pub listed: Bytes,
    /// The tool object for `tools/list` of its server's own endpoint: canonical.
    pub listed_plain: Bytes,
}

impl ApprovedTool {
    /// The server's own name for the tool.
    #[must_use]
    pub fn name(&self) -> &ToolName {
        self.definition.name()
    }
}

/// One server of the catalog.
#[derive(Debug)]
pub struct CatalogServer {
    /// Its name.
    pub name: ServerName,
    /// What it is.
    pub identity: ServerIdentity,
    /// Digest of that.
    pub identity_digest: Digest,
    tools: HashMap<ToolName, Arc<ApprovedTool>>,
    in_order: Vec<Arc<ApprovedTool>>,
}

impl CatalogServer {
    /// The tool by the server's own name for it.
    #[must_use]
    pub fn tool(&self, name: &str) -> Option<&Arc<ApprovedTool>> {
        self.tools.get(name)
    }

    /// The server's tools, sorted by name.
    #[must_use]
    pub fn tools(&self) -> &[Arc<ApprovedTool>] {
        &self.in_order
    }
}

/// All approved tools of one accepted lock file. Lookups are one hash each and allocate nothing.
#[derive(Debug)]
pub struct Catalog {
    serial: u64,
    digest: Digest,
    servers: HashMap<ServerName, CatalogServer>,
    exposed: HashMap<Box<str>, Arc<ApprovedTool>>,
    in_order: Vec<Arc<ApprovedTool>>,
}

/// Why a verified lock does not become the catalog in force.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// An older catalog than one that was accepted before: somebody put an old file back.
    #[error("the catalog has serial {found}, but {floor} was accepted before; sign it again with a higher serial")]
    Serial {
        /// Serial of the lock.
        found: u64,
        /// Lowest serial that is still accepted.
        floor: u64,
    },
    /// Another catalog with the serial of the one in force.
    #[error("two different catalogs have serial {0}; sign the newer one again with a higher serial")]
    SameSerial(u64),
    /// A schema that arguments cannot be checked against.
    #[error("the input schema of tool `{tool}` of server `{server}` cannot be used: {error}")]
    Schema {
        /// The server.
        server: ServerName,
        /// The tool.
        tool: ToolName,
        /// What is wrong with it.
        error: SchemaError,
    },
    /// Two tools would have one name on the aggregate endpoint.
    #[error("tools `{first}` and `{second}` would both be exposed as `{exposed}`; withdraw one of them")]
    Collision {
        /// `server/tool` of the first.
        first: String,
        /// `server/tool` of the second.
        second: String,
        /// The name.
        exposed: ExposedName,
    },
}

impl Catalog {
    /// The catalog of a lock that is not older than `floor`, the highest serial accepted before.
    ///
    /// # Errors
    ///
    /// [`CatalogError`]; then nothing of the lock is in force.
    pub fn from_lock(verified: &VerifiedLock, floor: u64) -> Result<Self, CatalogError> {
        let lock = verified.lock();
        if lock.serial < floor {
            return Err(CatalogError::Serial { found: lock.serial, floor });
        }
        let mut servers = HashMap::new();
        let mut exposed: HashMap<Box<str>, Arc<ApprovedTool>> = HashMap::new();
        let mut in_order = Vec::new();
        for (name, server) in &lock.servers {
            let identity = server.identity.digest();
            let mut tools = BTreeMap::new();
            for locked in server.tools.values() {
                let tool = Arc::new(approved(name, identity, locked)?);
                if let Some(other) = exposed.insert(tool.exposed.as_str().into(), tool.clone()) {
                    return Err(CatalogError::Collision {
                        first: format!("{}/{}", other.server, other.name()),
                        second: format!("{}/{}", tool.server, tool.name()),
                        exposed: tool.exposed.clone(),
                    });
                }
                tools.insert(tool.name().clone(), tool);
            }
            in_order.extend(tools.values().cloned());
            let server = CatalogServer {
                name: name.clone(),
                identity: server.identity.clone(),
                identity_digest: identity,
                in_order: tools.values().cloned().collect(),
                tools: tools.into_iter().collect(),
            };
            servers.insert(name.clone(), server);
        }
        Ok(Self { serial: lock.serial, digest: verified.digest(), servers, exposed, in_order })
    }

    /// A catalog without tools: what is in force before anything was approved.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            serial: 0,
            digest: crate::Lock::empty().digest(),
            servers: HashMap::new(),
            exposed: HashMap::new(),
            in_order: Vec::new(),
        }
    }

    /// Whether this catalog may take the place of `current`: a higher serial, or the very same content.
    ///
    /// # Errors
    ///
    /// [`CatalogError::Serial`] or [`CatalogError::SameSerial`].
    pub fn may_follow(&self, current: &Self) -> Result<(), CatalogError> {
        if self.serial < current.serial {
            return Err(CatalogError::Serial { found: self.serial, floor: current.serial });
        }
        if self.serial == current.serial && self.digest != current.digest {
            return Err(CatalogError::SameSerial(self.serial));
        }
        Ok(())
    }

    /// The tool by its name on the aggregate endpoint.
    #[must_use]
    pub fn by_exposed(&self, name: &str) -> Option<&Arc<ApprovedTool>> {
        self.exposed.get(name)
    }

    /// The tool by its server and the server's own name for it.
    #[must_use]
    pub fn by_name(&self, server: &ServerName, tool: &str) -> Option<&Arc<ApprovedTool>> {
        self.servers.get(server)?.tool(tool)
    }

    /// All tools, sorted by server and name.
    #[must_use]
    pub fn tools(&self) -> &[Arc<ApprovedTool>] {
        &self.in_order
    }

    /// The server, if it is in the lock.
    #[must_use]
    pub fn server(&self, name: &ServerName) -> Option<&CatalogServer> {
        self.servers.get(name)
    }

    /// The servers, in no particular order.
    pub fn servers(&self) -> impl Iterator<Item = &CatalogServer> {
        self.servers.values()
    }

    /// Digest of what was signed.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// The lock's serial.
    #[must_use]
    pub const fn serial(&self) -> u64 {
        self.serial
    }
}

fn approved(server: &ServerName, identity: Digest, locked: &crate::LockedTool) -> Result<ApprovedTool, CatalogError> {
    let definition = locked.definition.clone();
    let tool = definition.name().clone();
    let input = InputSchema::compile(definition.input_schema()).map_err(|error| CatalogError::Schema {
        server: server.clone(),
        tool: tool.clone(),
        error,
    })?;
    let exposed = ExposedName::new(server, &tool);
    Ok(ApprovedTool {
        server: server.clone(),
        facts: locked.facts.effective(),
        input,
        mirrored: mirrored(definition.input_schema()).unwrap_or_default().into(),
        identity,
        approved_by: locked.approved_by.clone(),
        approved_at: locked.approved_at,
        listed: definition.renamed(exposed.as_str()).into(),
        listed_plain: definition.canonical().to_vec().into(),
        exposed,
        definition,
    })
}
