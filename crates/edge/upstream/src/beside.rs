//! A second conversation with a server, in the other era: opened when the first client needs it, and remembered, also
//! that there is none.

use crate::session::Session;
use arc_swap::ArcSwap;
use std::sync::Arc;
use tokio::sync::Mutex;

/// The second conversation of a server, if any.
#[derive(Default)]
pub(crate) struct Beside {
    found: ArcSwap<Found>,
    // Only opening takes this lock.
    opening: Mutex<()>,
}

#[derive(Default)]
enum Found {
    /// Nobody has needed it yet.
    #[default]
    Unknown,
    /// The server does not speak that era.
    None,
    /// Open.
    Open(Arc<Session>),
}

impl Found {
    /// What is known; `None` where that is to be found out, perhaps again.
    fn known(&self) -> Option<Option<Arc<Session>>> {
        match self {
            Self::Unknown => None,
            Self::None => Some(None),
            Self::Open(session) => session.gone.ending().is_none().then(|| Some(session.clone())),
        }
    }
}

impl Beside {
    /// The conversation, opened with `open` if it has to be; `None` if there can be none.
    pub(crate) async fn get(
        &self,
        main: &Session,
        open: impl Future<Output = Option<Session>>,
    ) -> Option<Arc<Session>> {
        if let Some(known) = self.found.load().known() {
            return known;
        }
        let _opening = self.opening.lock().await;
        // Another call may have opened it meanwhile.
        if let Some(known) = self.found.load().known() {
            return known;
        }
        let opened = open.await.map(Arc::new);
        let found = opened.clone().map_or(Found::None, Found::Open);
        // What belongs to a main conversation that is over is not kept for the next.
        if main.gone.ending().is_none() {
            self.found.store(Arc::new(found));
        }
        opened
    }

    /// The main conversation is over: whatever the server speaks next is unknown.
    pub(crate) async fn forget(&self) {
        let before = self.found.swap(Arc::default());
        if let Found::Open(session) = &*before {
            session.close().await;
        }
    }
}
