//! One configured server: kept connected, its listing kept fresh, its calls bounded.
//!
//! In scope: the supervising task, what a call meets on its way, waiting until settled.
//! Out of scope: the conversation itself (`session`), comparing tools with the catalog (the consumer).

use crate::event::{Condition, ServerEvent, ServerStatus};
use crate::freshness::ListingAck;
use crate::link::{Ending, Link};
use crate::listing::list;
use crate::secret::Redactor;
use crate::session::{Call, Called, OPENING, Session};
use crate::spec::{ClientInfo, ServerSpec};
use arc_swap::{ArcSwap, ArcSwapOption};
use interlock_engine::ports::UpstreamFault;
use interlock_mcp::{Era, Response};
use interlock_model::{Code, Digest};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

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
    condition: ArcSwap<Condition>,
    in_flight: AtomicUsize,
    relist: AtomicBool,
}

impl Server {
    pub(crate) fn new(spec: ServerSpec, client: ClientInfo) -> Arc<Self> {
        let link = Link::new(spec.name.clone(), Redactor::new(spec.launch.secrets().into_iter()));
        Arc::new(Self {
            spec,
            client,
            link,
            session: ArcSwapOption::empty(),
            condition: ArcSwap::from_pointee(Condition::Connecting),
            in_flight: AtomicUsize::new(0),
            relist: AtomicBool::new(false),
        })
    }

    /// Asks for a listing soon.
    pub(crate) fn relist(&self) {
        self.relist.store(true, Ordering::Release);
        self.link.wake.notify_one();
    }

    pub(crate) fn status(&self) -> ServerStatus {
        ServerStatus {
            server: self.spec.name.clone(),
            condition: Condition::clone(&self.condition.load()),
            settled: self.link.freshness.is_settled(),
            in_flight: self.in_flight.load(Ordering::Relaxed),
            counters: self.link.tally.read(),
        }
    }

    /// Ends once the newest listing has been compared.
    pub(crate) async fn settled(&self, within: Duration) -> Result<(), UpstreamFault> {
        let freshness = &self.link.freshness;
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
            if let Condition::Down { reason } = &**self.condition.load() {
                return Err(self.link.unsent(Code::ServerUnavailable, reason));
            }
            if timeout_at(deadline, moved).await.is_err() {
                return Err(self
                    .link
                    .unsent(Code::ServerUnavailable, "its tools could not be compared with the catalog in time"));
            }
        }
    }

    /// Sends one call. It is sent only while the tools are those that were compared last when it
    /// came here: what was decided was decided about those.
    pub(crate) async fn forward(&self, call: &Call) -> Result<Response, UpstreamFault> {
        let Some(_slot) = Slot::take(&self.in_flight, self.spec.max_in_flight) else {
            return Err(self.link.unsent(Code::Overloaded, "too many calls are under way"));
        };
        let now = Instant::now();
        let deadline = now + call.timeout.min(self.spec.timeout);
        let compared = self.link.freshness.listing();
        for _ in 0..2 {
            self.settled_as(compared, deadline).await?;
            let session = self.session.load_full();
            let Some(session) = session else {
                return Err(self.link.unsent(Code::ServerUnavailable, "not connected"));
            };
            match session.call(call, deadline).await? {
                Called::Answered(response) => return Ok(response),
                Called::SessionGone => {}
            }
        }
        Err(self.link.unsent(Code::ServerUnavailable, "forgets its sessions as soon as they are opened"))
    }

    async fn settled_as(&self, compared: Digest, deadline: Instant) -> Result<(), UpstreamFault> {
        if self.link.freshness.is_settled() {
            return Ok(());
        }
        self.settled(SETTLING.min(deadline.saturating_duration_since(Instant::now()))).await?;
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
        self.down("stopped");
    }

    async fn supervise(&self, events: &mpsc::Sender<ServerEvent>) {
        let mut era: Option<Era> = None;
        let mut pause = Pause::default();
        loop {
            self.condition.store(Arc::new(Condition::Connecting));
            let ending = match Session::open(&self.spec, &self.client, &self.link, era).await {
                Err(fault) => Ending::Broken(fault.detail),
                Ok(session) => {
                    let session = Arc::new(session);
                    era = Some(session.revision.era());
                    let since = Instant::now();
                    let ending = self.serve(&session, events).await;
                    self.session.store(None);
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
            if let Ending::Broken(reason) = ending {
                self.down(&reason);
                let down = ServerEvent::Down { server: self.spec.name.clone(), reason };
                if events.send(down).await.is_err() {
                    return;
                }
            }
            sleep(pause.next()).await;
        }
    }

    fn down(&self, reason: &str) {
        self.condition.store(Arc::new(Condition::Down { reason: reason.to_owned() }));
        self.link.freshness.wake();
    }

    /// Lists whenever there is a reason to, until the session is over.
    async fn serve(&self, session: &Arc<Session>, events: &mpsc::Sender<ServerEvent>) -> Ending {
        let (revision, server_info) = (session.revision, session.server_info.clone());
        self.condition.store(Arc::new(Condition::Up { revision, server_info: server_info.clone() }));
        let up = ServerEvent::Up { server: self.spec.name.clone(), revision, server_info };
        if events.send(up).await.is_err() {
            return Ending::Broken(NOBODY.into());
        }
        // Before the first listing, so that nothing is missed between the two.
        session.listen();
        self.session.store(Some(session.clone()));
        let mut listed = None;
        let mut due = Instant::now();
        loop {
            if let Some(ending) = session.gone.ending() {
                return ending.clone();
            }
            let change = self.link.freshness.changes();
            let asked = self.relist.swap(false, Ordering::AcqRel);
            if asked || listed != Some(change) || Instant::now() >= due {
                match list(session, &self.link, self.spec.limits, Instant::now() + OPENING).await {
                    Ok(listing) => {
                        let ack = ListingAck::new(self.link.freshness.clone(), change, listing.digest);
                        let event = ServerEvent::Listed { server: self.spec.name.clone(), tools: listing.tools, ack };
                        if events.send(event).await.is_err() {
                            return Ending::Broken(NOBODY.into());
                        }
                        listed = Some(change);
                    }
                    // Slow, but nothing says that its tools changed.
                    Err(fault) if fault.code == Code::UpstreamTimeout && listed == Some(change) => {}
                    Err(_) if session.gone.ending().is_some() => continue,
                    Err(fault) => return Ending::Broken(fault.detail),
                }
                due = Instant::now() + self.spec.relist_interval;
                sleep(BETWEEN_LISTINGS).await;
            }
            tokio::select! {
                () = self.link.wake.notified() => {}
                () = sleep_until(due) => {}
            }
        }
    }
}

/// A place among the calls under way.
struct Slot<'a>(&'a AtomicUsize);

impl<'a> Slot<'a> {
    fn take(count: &'a AtomicUsize, max: usize) -> Option<Self> {
        if count.fetch_add(1, Ordering::AcqRel) < max {
            Some(Self(count))
        } else {
            count.fetch_sub(1, Ordering::AcqRel);
            None
        }
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// How long to wait before the next attempt: nothing, then from a quarter of a second to a minute.
#[derive(Default)]
struct Pause(u32);

impl Pause {
    fn next(&mut self) -> Duration {
        let tries = self.0;
        self.0 = (tries + 1).min(10);
        match tries {
            0 => Duration::ZERO,
            n => Duration::from_millis(250 << (n - 1)).min(Duration::from_secs(60)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_minute() {
        let mut pause = Pause::default();
        let all: Vec<u128> = (0..12).map(|_| pause.next().as_millis()).collect();
        assert_eq!(all, [0, 250, 500, 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000, 60000]);
    }
}
