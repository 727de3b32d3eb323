//! A server's event stream: however it is cut into chunks, the same events come out, none over the limit.
#![no_main]
#![allow(dead_code, reason = "the parser is private to its crate and is built here as it stands")]

#[path = "../../crates/edge/upstream/src/sse.rs"]
mod sse;

use libfuzzer_sys::fuzz_target;
use sse::{Event, Parser, TooLong};

const MAX: usize = 256;

fuzz_target!(|data: &[u8]| {
    // The first byte says how to cut the rest.
    let Some((cut, data)) = data.split_first() else { return };
    let whole = read(data, data.len().max(1));
    for size in [1, usize::from(*cut).max(1)] {
        assert_eq!(read(data, size), whole, "in chunks of {size}");
    }
    assert!(whole.0.iter().all(|event| event.data.len() <= MAX), "an event over the limit");
});

/// The events of a stream that comes in chunks of `size`, until it breaks the limit.
fn read(data: &[u8], size: usize) -> (Vec<Event>, Result<(), TooLong>, Option<String>, Option<u64>) {
    let mut parser = Parser::new(MAX);
    let mut events = Vec::new();
    let result = data.chunks(size).try_for_each(|chunk| parser.feed(chunk, &mut events));
    (events, result, parser.last_id().map(str::to_owned), parser.retry_ms())
}
