//! Where a request stands in somebody's trace, as its sender said over HTTP.
//!
//! In scope: what is well-formed, and so goes on to the server. Out of scope: `_meta.traceparent`, which is part of the
//! message and passes with it; sampling.
//! Source: W3C Trace Context, "traceparent Header", "tracestate Header".

/// A position in a trace: `traceparent`, and the `tracestate` that belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    parent: Box<str>,
    state: Option<Box<str>>,
}

/// Most bytes of a `tracestate` that pass: as many as everyone has to let pass ("tracestate Limits").
const MAX_STATE: usize = 512;

impl Trace {
    /// Reads the two headers. `None` where `parent` is not what the specification says; then a `tracestate` means nothing.
    /// A `state` that is too long or has other characters than it may have is dropped alone.
    #[must_use]
    pub fn read(parent: &str, state: Option<&str>) -> Option<Self> {
        let state = state.map(|state| state.trim_matches([' ', '\t'])).filter(|state| is_state(state)).map(Into::into);
        is_parent(parent).then(|| Self { parent: parent.into(), state })
    }

    /// The `traceparent`.
    #[must_use]
    pub fn parent(&self) -> &str {
        &self.parent
    }

    /// The trace's id, 32 hexadecimal digits.
    #[must_use]
    pub fn trace_id(&self) -> &str {
        self.parent.get(3..35).unwrap_or_default()
    }

    /// The id of the span that the request belongs to, 16 hexadecimal digits.
    #[must_use]
    pub fn span_id(&self) -> &str {
        self.parent.get(36..52).unwrap_or_default()
    }

    /// Whether whoever began the trace keeps it.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        self.parent.get(53..55).and_then(|flags| u8::from_str_radix(flags, 16).ok()).is_some_and(|flags| flags & 1 == 1)
    }

    /// The `tracestate`, if there is one.
    #[must_use]
    pub fn state(&self) -> Option<&str> {
        self.state.as_deref()
    }
}

/// `version-traceid-parentid-flags`, lower-case hexadecimal. Versions to come may have more behind a further `-`.
fn is_parent(text: &str) -> bool {
    let mut parts = text.split('-');
    let mut hex = |length: usize| {
        let digits = |part: &&str| {
            part.len() == length && part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        };
        parts.next().filter(digits)
    };
    let (Some(version), Some(trace), Some(span), Some(_flags)) = (hex(2), hex(32), hex(16), hex(2)) else {
        return false;
    };
    let is_zero = |id: &str| id.bytes().all(|b| b == b'0');
    let known = match version {
        "ff" => false,
        "00" => text.len() == 55,
        _ => text.len() <= MAX_STATE && text.bytes().all(|b| b.is_ascii_graphic()),
    };
    known && !is_zero(trace) && !is_zero(span)
}

fn is_state(text: &str) -> bool {
    (1..=MAX_STATE).contains(&text.len())
        && text.bytes().all(|b| matches!(b, b' '..=b'~' | b'\t'))
        && text.contains('=')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_well_formed_goes_on() {
        let (trace, span) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
        for (parent, state, expected) in [
            (format!("00-{trace}-{span}-01"), None, Some(None)),
            (format!("00-{trace}-{span}-01"), Some(" a=1, b@c=2\t"), Some(Some("a=1, b@c=2"))),
            (format!("00-{trace}-{span}-01"), Some("a=\u{e9}"), Some(None)),
            (format!("00-{trace}-{span}-01"), Some("a=\r\n"), Some(None)),
            (format!("00-{trace}-{span}-01"), Some("nothing"), Some(None)),
            (format!("00-{trace}-{span}-01-more"), None, None),
            (format!("01-{trace}-{span}-01-more"), None, Some(None)),
            (format!("01-{trace}-{span}-01more"), None, None),
            (format!("01-{trace}-{span}-01-m\u{e9}"), None, None),
            (format!("ff-{trace}-{span}-01"), None, None),
            (format!("00-{}-{span}-01", trace.to_uppercase()), None, None),
            (format!("00-{}-{span}-01", "0".repeat(32)), None, None),
            (format!("00-{trace}-{}-01", "0".repeat(16)), None, None),
            (format!("00-{trace}-{span}"), None, None),
            (String::new(), Some("a=1"), None),
        ] {
            let read = Trace::read(&parent, state);
            assert_eq!(read.as_ref().map(Trace::state), expected, "{parent} {state:?}");
            assert!(read.is_none_or(|read| read.parent() == parent));
        }
        let read = Trace::read(&format!("00-{trace}-{span}-03"), None).unwrap();
        assert_eq!((read.trace_id(), read.span_id(), read.is_sampled()), (trace, span, true));
        assert!(!Trace::read(&format!("00-{trace}-{span}-02"), None).unwrap().is_sampled());
        let long = format!("a={}", "b".repeat(MAX_STATE));
        assert_eq!(Trace::read(&format!("00-{trace}-{span}-00"), Some(&long)).unwrap().state(), None);
    }
}
