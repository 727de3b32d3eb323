//! One configured server: kept connected, its listing kept fresh, its calls bounded.
//!
//! In scope: the supervising task, what a call meets on its way, waiting until settled.
//! Out of scope: the conversation itself (`session`), comparing tools with the catalog (the consumer).

use crate::beside::Beside;
use crate::breaker::Breaker;
use crate::event::{Condition, Outage, ServerEvent, ServerStatus};
use crate::freshness::ListingAck;
use crate::link::{Ending, Link};
use crate::listing::list;
use crate::queue::{Full, Place, Queue};
use crate::secret::Redactor;
use crate::session::{Call, Called, OPENING, Session, Way};
use crate::spec::{ClientInfo, ServerSpec};
use crate::subscriptions::{Subscriptions, is_subscription};
use arc_swap::{ArcSwap, ArcSwapOption};
use interlock_engine::front::{Aside, Notice};
use interlock_engine::ports::UpstreamFault;
use interlock_mcp::{Era, Offers, Response};
use interlock_model::{Code, Digest};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

/// The longest a call waits for a changed listing to be compared.
pub(crate) const SETTLING: Duration = Duration::from_secs(10);
/// Between two listings, however often a server announces changes.
const BETWEEN_LISTINGS: Duration = Duration::from_millis(50);

/// What a server is told whose events nobody receives.
const NOBODY: &str = "nobody receives its events any more";

/// A server, shared by its supervisor and its calls.
pub(crate) struct Server {
    spec: ServerSpec,
    client: ClientInfo,
    link: Arc<Link>,
    session: ArcSwapOption<Session>,
    /// The same server in the legacy era, where the session is a modern one.
    beside: Beside,
    /// The resources that clients are subscribed to.
    subscriptions: Subscriptions,
    /// What it said that it has, when it was last connected to.
    offers: ArcSwap<Offers>,
    health: ArcSwap<Health>,
    queue: Queue,
    breaker: Breaker,
    relist: AtomicBool,
}

/// Whether a server can be reached.
struct Health {
    condition: Condition,
    /// Since when it cannot, and when it is tried again.
    down: Option<(Instant, Instant)>,
}

impl Health {
    const fn is(condition: Condition) -> Self {
        Self { condition, down: None }
    }

    fn outage(&self, now: Instant) -> Option<Outage> {
        let (Condition::Down { reason }, Some((since, next_try))) = (&self.condition, self.down) else { return None };
        Some(Outage {
            since: now.saturating_duration_since(since),
            next_try: next_try.saturating_duration_since(now),
            reason: reason.clone(),
        })
    }
}

impl Server {
    pub(crate) fn new(spec: ServerSpec, client: ClientInfo, notices: broadcast::Sender<Notice>) -> Arc<Self> {
        let link = Link::new(spec.name.clone(), Redactor::new(spec.launch.secrets().into_iter()), notices);
        Arc::new(Self {
            queue: Queue::new(spec.max_in_flight, spec.queue),
            breaker: Breaker::new(spec.tolerance),
            spec,
            client,
            link,
            session: ArcSwapOption::empty(),
            beside: Beside::default(),
            subscriptions: Subscriptions::default(),
            offers: ArcSwap::default(),
            health: ArcSwap::from_pointee(Health::is(Condition::Connecting)),
            relist: AtomicBool::new(false),
        })
    }

    /// Asks for a listing soon.
    pub(crate) fn relist(&self) {
        self.relist.store(true, Ordering::Release);
        self.link.wake.notify_one();
    }

    pub(crate) fn status(&self) -> ServerStatus {
        let (now, health) = (Instant::now(), self.health.load());
        ServerStatus {
            server: self.spec.name.clone(),
            condition: health.condition.clone(),
            settled: self.link.freshness.is_settled(),
            outage: health.outage(now).or_else(|| self.breaker.outage(now)),
            in_flight: self.queue.taken(),
            queued: self.queue.waiting(),
            counters: self.link.tally.read(),
        }
    }

    /// Ends once the newest listing has been compared.
    pub(crate) async fn settled(&self, within: Duration) -> Result<(), UpstreamFault> {
        let freshness = &self.link.freshness;
        self.well()?;
        if freshness.is_settled() {
            return Ok(());
        }
        let deadline = Instant::now() + within;
        loop {
            let mut moved = std::pin::pin!(freshness.moved());
            moved.as_mut().enable();
            if freshness.is_settled() {
                return Ok(());
            }
            let health = self.health.load();
            if let Condition::Down { reason } = &health.condition {
                let why = health.outage(Instant::now()).map_or_else(|| reason.clone(), |outage| outage.to_string());
                return Err(self.link.unsent(Code::ServerUnavailable, why));
            }
            drop(health);
            if timeout_at(deadline, moved).await.is_err() {
                return Err(self
                    .link
                    .unsent(Code::ServerUnavailable, "its tools could not be compared with the catalog in time"));
            }
        }
    }

    /// Sends one call. It is sent only while the tools are those that were compared last when it
    /// came here: what was decided was decided about those.
    ///
    /// It is sent twice only where the first time did nothing: the server did not know the session, or the
    /// connection was gone before anything of the call went over it.
    pub(crate) async fn forward(&self, call: &Call, client: &dyn Aside) -> Result<Response, UpstreamFault> {
        self.well()?;
        let compared = self.link.freshness.listing();
        let _place = self.place(call).await?;
        let patience = call.timeout.min(self.spec.timeout);
        let deadline = Instant::now() + patience;
        let mut last = None;
        for _ in 0..2 {
            self.settled_as(compared, deadline).await?;
            let Some(session) = self.session_for(call).await else {
                return Err(self.link.unsent(Code::ServerUnavailable, "not connected"));
            };
            // Where all clients of a server share one conversation, so do their subscriptions.
            let called = match call.request.method() {
                "resources/subscribe" | "resources/unsubscribe" => {
                    self.subscriptions.change(&session, call, patience, client).await
                }
                _ => session.call(call, patience, client).await,
            };
            match called {
                Ok(Called::Answered(response)) => {
                    self.breaker.answered();
                    return Ok(response);
                }
                Ok(Called::SessionGone) => {}
                // A session that is over is the supervisor's business.
                Err(fault) if session.gone.ending().is_some() => {
                    if fault.sent || fault.code != Code::ServerUnavailable {
                        return Err(fault);
                    }
                    last = Some(fault);
                }
                Err(fault) => {
                    if self.breaker.failed(Instant::now(), &fault) {
                        self.link.wake.notify_one();
                    }
                    return Err(fault);
                }
            }
        }
        let forgetful = || self.link.unsent(Code::ServerUnavailable, "forgets its sessions as soon as they are opened");
        Err(last.unwrap_or_else(forgetful))
    }

    /// The conversation in the client's own era, where the server speaks it, else the one there is. The first legacy
    /// client of a modern server finds out whether it speaks that era, too.
    async fn session_for(&self, call: &Call) -> Option<Arc<Session>> {
        let session = self.session.load_full()?;
        if call.revision.era() == Era::Modern || session.way() != Way::Modern || is_subscription(call) {
            return Some(session);
        }
        let open = Session::open_legacy(&self.spec, &self.client, &self.link);
        let beside = self.beside.get(&session, open).await;
        Some(beside.unwrap_or(session))
    }

    /// What it said that it has, when it was last connected to.
    pub(crate) fn offers(&self) -> Offers {
        **self.offers.load()
    }

    /// Whether calls are sent to it at all.
    fn well(&self) -> Result<(), UpstreamFault> {
        if !self.breaker.is_troubled() {
            return Ok(());
        }
        match self.breaker.outage(Instant::now()) {
            None => Ok(()),
            Some(outage) => Err(self.link.unsent(Code::ServerUnavailable, outage.to_string())),
        }
    }

    /// A place among the calls under way, in its turn.
    async fn place(&self, call: &Call) -> Result<Place<'_>, UpstreamFault> {
        if let Some(place) = self.queue.try_enter() {
            return Ok(place);
        }
        let overloaded = |why: &str| self.link.unsent(Code::Overloaded, why);
        let place = match timeout(self.spec.queue_wait, self.queue.enter(call.key)).await {
            Ok(Ok(place)) => place,
            Ok(Err(Full)) => return Err(overloaded("too many calls are under way, and too many wait")),
            Err(_) => {
                self.well()?;
                return Err(overloaded("too many calls are under way, and none ended in time"));
            }
        };
        // It may have become unwell meanwhile.
        self.well()?;
        Ok(place)
    }

    async fn settled_as(&self, compared: Digest, deadline: Instant) -> Result<(), UpstreamFault> {
        if !self.link.freshness.is_settled() {
            self.settled(SETTLING.min(deadline.saturating_duration_since(Instant::now()))).await?;
        }
        // Also where it is settled again already: a call may have waited for its turn.
        if self.link.freshness.listing() == compared {
            Ok(())
        } else {
            Err(self.link.unsent(Code::ServerUnavailable, "its tools changed just now; send the call again"))
        }
    }

    /// Keeps the server connected until told to stop.
    pub(crate) async fn run(self: Arc<Self>, events: mpsc::Sender<ServerEvent>, mut stop: watch::Receiver<bool>) {
        tokio::select! {
            () = self.supervise(&events) => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
        if let Some(session) = self.session.swap(None) {
            session.close().await;
        }
        self.down("stopped", None);
    }

    async fn supervise(&self, events: &mpsc::Sender<ServerEvent>) {
        let mut way: Option<Way> = None;
        let mut pause = Pause::default();
        // Since when it cannot be reached.
        let mut down: Option<Instant> = None;
        loop {
            if down.is_none() {
                // Calls wait for a first try, not for those after one that failed.
                self.health.store(Arc::new(Health::is(Condition::Connecting)));
            }
            let ending = match Session::open(&self.spec, &self.client, &self.link, way).await {
                Err(fault) => {
                    down.get_or_insert_with(Instant::now);
                    Ending::Broken(fault.detail)
                }
                Ok(session) => {
                    down = None;
                    let session = Arc::new(session);
                    way = Some(session.way());
                    let since = Instant::now();
                    let ending = self.serve(&session, events).await;
                    self.session.store(None);
                    self.beside.forget().await;
                    self.link.freshness.changed();
                    session.close().await;
                    if since.elapsed() > Duration::from_secs(10) {
                        pause = Pause::default();
                    }
                    ending
                }
            };
            // Whatever comes back is unknown until it was listed and compared.
            self.link.freshness.changed();
            let wait = pause.next(chance());
            if let Ending::Broken(reason) = ending {
                let now = Instant::now();
                self.down(&reason, Some((down.unwrap_or(now), now + wait)));
                let down = ServerEvent::Down { server: self.spec.name.clone(), reason };
                if events.send(down).await.is_err() {
                    return;
                }
            }
            tokio::select! {
                () = sleep(wait) => {}
                () = self.asked() => {}
            }
        }
    }

    /// Ends once a listing was asked for: somebody knows that it may be there again, such as after a mended document.
    async fn asked(&self) {
        while !self.relist.swap(false, Ordering::AcqRel) {
            self.link.wake.notified().await;
        }
    }

    fn down(&self, reason: &str, down: Option<(Instant, Instant)>) {
        let condition = Condition::Down { reason: reason.to_owned() };
        self.health.store(Arc::new(Health { condition, down }));
        self.link.freshness.wake();
    }

    /// Lists whenever there is a reason to, until the session is over.
    async fn serve(&self, session: &Arc<Session>, events: &mpsc::Sender<ServerEvent>) -> Ending {
        let (revision, server_info) = (session.revision, session.server_info.clone());
        self.health.store(Arc::new(Health::is(Condition::Up { revision, server_info: server_info.clone() })));
        let up = ServerEvent::Up { server: self.spec.name.clone(), revision, server_info };
        if events.send(up).await.is_err() {
            return Ending::Broken(NOBODY.into());
        }
        // Before the first listing, so that nothing is missed between the two.
        self.subscriptions.renew(session).await;
        self.offers.store(Arc::new(session.offers));
        self.session.store(Some(session.clone()));
        let mut listed = None;
        let mut due = Instant::now();
        loop {
            if let Some(ending) = session.gone.ending() {
                return ending.clone();
            }
            let change = self.link.freshness.changes();
            let asked = self.relist.swap(false, Ordering::AcqRel);
            let (now, outage) = (Instant::now(), self.breaker.outage(Instant::now()));
            // The listing is what tries a server that failed too many calls; the first of a session always does.
            let trial = outage.as_ref().is_some_and(|o| o.next_try.is_zero() || listed.is_none());
            if asked || listed != Some(change) || now >= due || trial {
                let patience = if trial && listed.is_some() { self.spec.tolerance.patience } else { OPENING };
                match list(session, &self.link, self.spec.limits, now + patience).await {
                    Ok(listing) => {
                        session.set_param_headers(listing.headers);
                        if trial {
                            self.breaker.tried(Instant::now(), true);
                        }
                        let ack = ListingAck::new(self.link.freshness.clone(), change, listing.digest);
                        let event = ServerEvent::Listed { server: self.spec.name.clone(), tools: listing.tools, ack };
                        if events.send(event).await.is_err() {
                            return Ending::Broken(NOBODY.into());
                        }
                        listed = Some(change);
                    }
                    Err(fault) => {
                        self.breaker.tried(Instant::now(), false);
                        if session.gone.ending().is_some() {
                            continue;
                        }
                        // Slow, but nothing says that its tools changed. One connection that brings neither calls'
                        // answers nor ours is better made anew.
                        let slow = fault.code == Code::UpstreamTimeout && listed == Some(change);
                        if !slow || session.dies_of_silence(trial) {
                            return Ending::Broken(fault.detail);
                        }
                    }
                }
                due = Instant::now() + self.spec.relist_interval;
                sleep(BETWEEN_LISTINGS).await;
            }
            let next_try = self.breaker.outage(Instant::now()).map(|o| Instant::now() + o.next_try);
            tokio::select! {
                () = self.link.wake.notified() => {}
                () = sleep_until(next_try.map_or(due, |at| at.min(due))) => {}
            }
        }
    }
}

/// How long to wait before the next attempt: nothing, then from a quarter of a second to a minute, less up to a
/// quarter by chance, so that what failed together does not come back together.
#[derive(Default)]
struct Pause(u32);

impl Pause {
    fn next(&mut self, chance: u8) -> Duration {
        let tries = self.0;
        self.0 = (tries + 1).min(10);
        match tries {
            0 => Duration::ZERO,
            n => {
                let whole = Duration::from_millis(250 << (n - 1)).min(Duration::from_secs(60));
                whole - whole * u32::from(chance) / (4 * 256)
            }
        }
    }
}

/// Some byte or other; the seed of the standard library's maps is random enough to spread attempts.
fn chance() -> u8 {
    let [byte, ..] = RandomState::new().build_hasher().finish().to_be_bytes();
    byte
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_minute() {
        let mut pause = Pause::default();
        let all: Vec<u128> = (0..12).map(|_| pause.next(0).as_millis()).collect();
        assert_eq!(all, [0, 250, 500, 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000, 60000]);
        assert_eq!((pause.next(128).as_millis(), pause.next(255).as_secs()), (52500, 45));
    }
}
