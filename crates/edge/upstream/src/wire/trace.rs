//! A call's place in a trace, as headers. The message has its own, where its sender put one there, and keeps it.

use http::{HeaderName, HeaderValue};
use interlock_engine::Trace;

const PARENT: HeaderName = HeaderName::from_static("traceparent");
const STATE: HeaderName = HeaderName::from_static("tracestate");

pub(crate) fn headers(trace: &Trace) -> Vec<(HeaderName, HeaderValue)> {
    let value = |text: &str| HeaderValue::from_str(text).ok();
    let parent = value(trace.parent()).map(|parent| (PARENT, parent));
    let state = trace.state().and_then(value).map(|state| (STATE, state));
    parent.into_iter().chain(state).collect()
}
