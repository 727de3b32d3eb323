//! Calls whose intent is in the ledger and whose outcome is not yet.

use interlock_model::CallId;
use std::collections::{BTreeSet, HashMap};

/// Open intents, with what the group in progress changed, so that it can be undone.
#[derive(Debug, Default)]
pub(crate) struct OpenIntents {
    by_call: HashMap<CallId, u64>,
    indices: BTreeSet<u64>,
    /// In order: the call and its index before (a removal) or not (an addition).
    log: Vec<(CallId, Option<u64>)>,
}

impl OpenIntents {
    /// A group begins.
    pub(crate) fn begin(&mut self) {
        self.log.clear();
    }

    /// The group was rolled back.
    pub(crate) fn undo(&mut self) {
        while let Some((call, before)) = self.log.pop() {
            match before {
                Some(index) => {
                    self.by_call.insert(call, index);
                    self.indices.insert(index);
                }
                None => {
                    if let Some(index) = self.by_call.remove(&call) {
                        self.indices.remove(&index);
                    }
                }
            }
        }
    }

    pub(crate) fn contains(&self, call: CallId) -> bool {
        self.by_call.contains_key(&call)
    }

    pub(crate) fn add(&mut self, call: CallId, index: u64) {
        self.by_call.insert(call, index);
        self.indices.insert(index);
        self.log.push((call, None));
    }

    pub(crate) fn remove(&mut self, call: CallId) {
        if let Some(index) = self.by_call.remove(&call) {
            self.indices.remove(&index);
            self.log.push((call, Some(index)));
        }
    }

    /// The lowest index of an open intent.
    pub(crate) fn lowest(&self) -> Option<u64> {
        self.indices.first().copied()
    }

    /// All of them, in order.
    pub(crate) fn all(&self) -> Vec<u64> {
        self.indices.iter().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use interlock_model::UnixMillis;

    #[test]
    fn a_group_that_is_undone_leaves_no_trace() {
        let call = |n| CallId::new(UnixMillis(n), [0; 10]);
        let mut open = OpenIntents::default();
        open.begin();
        open.add(call(1), 10);
        open.add(call(2), 11);
        open.begin();
        open.remove(call(1));
        open.add(call(3), 13);
        open.remove(call(3));
        assert_eq!((open.lowest(), open.contains(call(1))), (Some(11), false));
        open.undo();
        assert_eq!((open.all(), open.contains(call(1)), open.contains(call(3))), (vec![10, 11], true, false));
    }
}
