//! Where tests make a durable write fail: lost (it never happened) or kept (it happened and nobody heard).
//! Outside of tests nothing is left of this but the call.

/// A durable write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Write {
    /// A statement of a commit group.
    Statement,
    /// A group's commit.
    Commit,
    /// The contents of a tile file.
    Tile,
    /// The name of a tile file.
    TileName,
    /// The checkpoint file.
    CheckpointFile,
    /// Copying the WAL into the database.
    WalCheckpoint,
}

/// The writes that fail; none unless a test says so.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    #[cfg(test)]
    plan: std::sync::Arc<std::sync::Mutex<Vec<(Write, bool)>>>,
}

impl Faults {
    /// Does `run`, or fails with `error` before or after it.
    #[cfg(not(test))]
    #[inline]
    pub(crate) fn around<T, E>(
        &self,
        _: Write,
        run: impl FnOnce() -> Result<T, E>,
        _: impl FnOnce() -> E,
    ) -> Result<T, E> {
        run()
    }

    /// Does `run`, or fails with `error` before or after it.
    #[cfg(test)]
    pub(crate) fn around<T, E>(
        &self,
        write: Write,
        run: impl FnOnce() -> Result<T, E>,
        error: impl FnOnce() -> E,
    ) -> Result<T, E> {
        let planned = {
            let mut plan = self.plan.lock().unwrap();
            plan.iter().position(|(w, _)| *w == write).map(|at| plan.remove(at).1)
        };
        match planned {
            None => run(),
            Some(false) => Err(error()),
            Some(true) => run().and_then(|_| Err(error())),
        }
    }

    /// The next write of this kind fails.
    #[cfg(test)]
    pub(crate) fn fail(&self, write: Write, kept: bool) {
        self.plan.lock().unwrap().push((write, kept));
    }

    /// Whether every planned failure happened.
    #[cfg(test)]
    pub(crate) fn spent(&self) -> bool {
        self.plan.lock().unwrap().is_empty()
    }
}
