//! Counts heap allocations for the benchmark; built only with the feature `count-allocations`.
//!
//! The counting allocator takes the place of the usual one, so such a build is for counting, not for timing.

use serde::Serialize;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use std::alloc::System;
use std::path::Path;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Totals since the process started.
#[derive(Clone, Copy, Debug, Serialize)]
struct Totals {
    allocations: usize,
    reallocations: usize,
    deallocations: usize,
    bytes_allocated: usize,
    bytes_deallocated: usize,
}

/// Writes the totals as JSON to the file that `INTERLOCK_ALLOC_REPORT` names, if it names one; to be called once, at the
/// very end of the process.
///
/// # Errors
///
/// If the file cannot be written.
pub(crate) fn report() -> std::io::Result<()> {
    let Some(path) = std::env::var_os("INTERLOCK_ALLOC_REPORT") else { return Ok(()) };
    let stats = INSTRUMENTED_SYSTEM.stats();
    let totals = Totals {
        allocations: stats.allocations,
        reallocations: stats.reallocations,
        deallocations: stats.deallocations,
        bytes_allocated: stats.bytes_allocated,
        bytes_deallocated: stats.bytes_deallocated,
    };
    std::fs::write(Path::new(&path), serde_json::to_vec(&totals)?)
}
