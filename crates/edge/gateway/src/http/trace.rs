//! Trace context in headers.

use http::{HeaderMap, HeaderName};
use interlock_engine::Trace;

const PARENT: HeaderName = HeaderName::from_static("traceparent");
const STATE: HeaderName = HeaderName::from_static("tracestate");

/// Where the request stands in a trace; what is not well-formed, or there twice, is as good as not there.
pub(super) fn trace(headers: &HeaderMap) -> Option<Trace> {
    let mut parents = headers.get_all(PARENT).iter();
    let (Some(parent), None) = (parents.next(), parents.next()) else { return None };
    // A list may come as several headers (W3C Trace Context, "tracestate Header Field Values").
    let states: Option<Vec<&str>> = headers.get_all(STATE).iter().map(|state| state.to_str().ok()).collect();
    let state = states.filter(|states| !states.is_empty()).map(|states| states.join(","));
    Trace::read(parent.to_str().ok()?, state.as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_parent_and_a_list_of_states() {
        const ONE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        for (parents, states, expected) in [
            (&[ONE][..], &[][..], Some(None)),
            (&[ONE], &["a=1"], Some(Some("a=1"))),
            (&[ONE], &["a=1", "b=2"], Some(Some("a=1,b=2"))),
            (&[ONE, ONE], &["a=1"], None),
            (&["00-1"], &["a=1"], None),
            (&[], &["a=1"], None),
        ] {
            let mut headers = HeaderMap::new();
            for parent in parents {
                headers.append(PARENT, parent.parse().unwrap());
            }
            for state in states {
                headers.append(STATE, state.parse().unwrap());
            }
            let read = trace(&headers);
            assert_eq!(read.as_ref().map(Trace::state), expected, "{parents:?} {states:?}");
        }
    }
}
