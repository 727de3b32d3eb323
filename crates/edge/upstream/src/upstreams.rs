//! All servers together: what the engine forwards to.

use crate::event::{ServerEvent, ServerInfo, ServerStatus};
use crate::link::Link;
use crate::listing::list;
use crate::secret::Redactor;
use crate::server::{SETTLING, Server};
use crate::session::{Call, OPENING, Session};
use crate::spec::{ClientInfo, ServerSpec};
use arc_swap::ArcSwap;
use bytes::Bytes;
use interlock_engine::front::{Aside, Notice};
use interlock_engine::ports::{Outgoing, Upstream, UpstreamFault};
use interlock_mcp::{Offers, Response, Revision};
use interlock_model::{Code, ServerName};
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// The servers of one gateway. Dropping it ends them without ceremony; [`Upstreams::stop`] is kinder.
pub struct Upstreams {
    servers: ArcSwap<HashMap<ServerName, Running>>,
    client: ClientInfo,
    events: mpsc::Sender<ServerEvent>,
    notices: broadcast::Sender<Notice>,
    /// Makes of an agent the key by which its calls wait.
    keys: RandomState,
    /// Not on the path of a call: only changes of the set of servers take it.
    supervisors: Mutex<JoinSet<()>>,
}

/// A server and what ends it.
#[derive(Clone)]
struct Running {
    server: Arc<Server>,
    stop: watch::Sender<bool>,
}

/// What [`list_once`] found.
#[derive(Clone, Debug)]
pub struct OneListing {
    /// The revision agreed on.
    pub revision: Revision,
    /// What the server says it is; unverified.
    pub server_info: ServerInfo,
    /// Each tool object exactly as sent.
    pub tools: Vec<Bytes>,
    /// What the document of an adapted server has and no tool was made of, each with the reason; foreign text.
    pub left_out: Vec<String>,
    /// Where its tools differ from that document; foreign text.
    pub notes: Vec<String>,
}

impl Upstreams {
    /// Starts to connect to all servers. Names are unique: of two equal ones the later is used.
    ///
    /// `events` has to be read for as long as this lives: a server whose listing cannot be handed over
    /// stays unsettled, and one whose events nobody can receive is given up.
    ///
    /// Needs a tokio runtime.
    #[must_use]
    pub fn start(specs: Vec<ServerSpec>, client: &ClientInfo, events: &mpsc::Sender<ServerEvent>) -> Self {
        let upstreams = Self {
            servers: ArcSwap::default(),
            client: client.clone(),
            events: events.clone(),
            notices: broadcast::channel(NOTICES).0,
            keys: RandomState::new(),
            supervisors: Mutex::new(JoinSet::new()),
        };
        upstreams.replace(specs, &HashSet::new());
        upstreams
    }

    /// Runs these servers from now on. One whose name is in `kept` and that runs already goes on as it is;
    /// the others are started anew, and what is not in `specs` ends. Calls under way at a server that
    /// ends find it closed.
    pub fn replace(&self, specs: Vec<ServerSpec>, kept: &HashSet<ServerName>) {
        let mut supervisors = self.supervisors.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.servers.load_full();
        let mut servers = HashMap::new();
        for spec in specs {
            let name = spec.name.clone();
            if let Some(running) = before.get(&name).filter(|_| kept.contains(&name)) {
                servers.insert(name, running.clone());
                continue;
            }
            let (stop, stopped) = watch::channel(false);
            let server = Server::new(spec, self.client.clone(), self.notices.clone());
            supervisors.spawn(server.clone().run(self.events.clone(), stopped));
            if let Some(twice) = servers.insert(name, Running { server, stop }) {
                twice.stop.send_replace(true);
            }
        }
        let servers = Arc::new(servers);
        self.servers.store(servers.clone());
        for (name, old) in before.iter() {
            if servers.get(name).is_none_or(|new| !Arc::ptr_eq(&new.server, &old.server)) {
                old.stop.send_replace(true);
            }
        }
    }

    /// Lists the tools of a server soon, as if the interval had passed; whether there is such a server.
    #[must_use]
    pub fn relist(&self, server: &ServerName) -> bool {
        self.servers.load().get(server).inspect(|s| s.server.relist()).is_some()
    }

    /// What servers announce beside changes of their tools. Whoever falls behind loses the oldest.
    #[must_use]
    pub fn notices(&self) -> broadcast::Sender<Notice> {
        self.notices.clone()
    }

    /// How every server is doing, by name.
    #[must_use]
    pub fn status(&self) -> Vec<ServerStatus> {
        let mut all: Vec<_> = self.servers.load().values().map(|s| s.server.status()).collect();
        all.sort_by(|a, b| a.server.cmp(&b.server));
        all
    }

    /// Ends all sessions and children. A child has two seconds to end by itself. Calls that come
    /// later find no server.
    pub async fn stop(&self) {
        self.replace(Vec::new(), &HashSet::new());
        let mut supervisors = std::mem::take(&mut *self.supervisors.lock().unwrap_or_else(PoisonError::into_inner));
        while supervisors.join_next().await.is_some() {}
    }

    /// One call in plain parts: what [`Upstream::forward`] does with a recorded one.
    pub(crate) async fn send(
        &self,
        server: &ServerName,
        call: &Call,
        client: &dyn Aside,
    ) -> Result<Response, UpstreamFault> {
        self.server(server)?.forward(call, client).await
    }

    fn server(&self, name: &ServerName) -> Result<Arc<Server>, UpstreamFault> {
        self.servers.load().get(name).map(|running| running.server.clone()).ok_or_else(|| UpstreamFault {
            code: Code::ServerUnavailable,
            sent: false,
            detail: format!("server `{name}`: not configured"),
        })
    }
}

impl Upstream for Upstreams {
    async fn settled(&self, server: &ServerName) -> Result<(), UpstreamFault> {
        self.server(server)?.settled(SETTLING).await
    }

    async fn forward(&self, call: Outgoing, client: &dyn Aside) -> Result<Response, UpstreamFault> {
        let Outgoing {
            agent,
            server,
            name,
            request,
            arguments,
            state,
            revision,
            capabilities,
            log_level,
            timeout,
            trace,
            ..
        } = call;
        // Two agents that share a key share their turns; which ones do, nobody can arrange.
        let key = self.keys.hash_one(&agent);
        let call = Call { name, key, request, arguments, state, revision, capabilities, log_level, timeout, trace };
        self.send(&server, &call, client).await
    }

    fn offers(&self, server: &ServerName) -> Offers {
        self.server(server).map_or_else(|_| Offers::default(), |server| server.offers())
    }
}

/// Most notices that wait for those who listen.
const NOTICES: usize = 256;

/// How long a server may take to add tools that depend on its client.
const AFTERTHOUGHT: Duration = Duration::from_millis(250);

/// Connects, lists the tools and disconnects: for looking at a server without running a gateway.
///
/// # Errors
///
/// Why there is no listing.
pub async fn list_once(spec: &ServerSpec, client: &ClientInfo) -> Result<OneListing, UpstreamFault> {
    let link = Link::unheard_of(spec.name.clone(), Redactor::new(spec.launch.secrets().into_iter()));
    let session = Session::open(spec, client, &link, None).await?;
    let mut listing = list(&session, &link, spec.limits, Instant::now() + OPENING).await;
    if listing.is_ok() {
        // Some servers add tools once they know what their client can do, a moment after they were asked.
        tokio::time::sleep(AFTERTHOUGHT).await;
        listing = list(&session, &link, spec.limits, Instant::now() + OPENING).await;
    }
    session.close().await;
    let tools = listing?.tools;
    let (left_out, notes) = session.adapted().map(|adapted| adapted.remarks()).unwrap_or_default();
    Ok(OneListing { revision: session.revision, server_info: session.server_info.clone(), tools, left_out, notes })
}
