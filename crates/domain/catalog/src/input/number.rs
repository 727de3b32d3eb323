//! Numbers compared by what they are, not by how they are written: `1`, `1.0` and `10e-1` are equal.

use interlock_model::json::View;
use std::cmp::Ordering;

/// A number: exact where it is written as an integer of 64 bits, else the nearest double.
#[derive(Clone, Copy, Debug)]
pub(super) enum Number {
    Integer(i64),
    Double(f64),
}

impl Number {
    pub(super) fn of(value: View<'_>) -> Option<Self> {
        match value.as_i64() {
            Some(n) => Some(Self::Integer(n)),
            None => value.as_number()?.parse().ok().map(Self::Double),
        }
    }

    pub(super) fn compare(self, other: Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Integer(a), Self::Integer(b)) => Some(a.cmp(&b)),
            (Self::Double(a), Self::Double(b)) => a.partial_cmp(&b),
            (Self::Integer(a), Self::Double(b)) => mixed(a, b),
            (Self::Double(a), Self::Integer(b)) => mixed(b, a).map(Ordering::reverse),
        }
    }

    /// As a count, if it is one.
    pub(super) fn as_count(self) -> Option<u64> {
        match self {
            Self::Integer(n) => u64::try_from(n).ok(),
            Self::Double(n) if n.fract() == 0.0 && (0.0..=9e15).contains(&n) => format!("{n}").parse().ok(),
            Self::Double(_) => None,
        }
    }
}

fn mixed(integer: i64, double: f64) -> Option<Ordering> {
    const EDGE: f64 = 9_223_372_036_854_775_808.0;
    if double.is_nan() {
        return None;
    }
    Some(if double >= EDGE {
        Ordering::Less
    } else if double < -EDGE {
        Ordering::Greater
    } else {
        #[expect(clippy::cast_possible_truncation, reason = "within the range of i64, and whole")]
        let whole = double.trunc() as i64;
        integer.cmp(&whole).then(0.0_f64.partial_cmp(&double.fract())?)
    })
}

/// Whether a number has no fraction (JSON Schema 2020-12, validation 6.1.1: `1.0` is an integer).
pub(super) fn is_integer(value: View<'_>) -> bool {
    let Some(text) = value.as_number() else { return false };
    if !text.bytes().any(|b| matches!(b, b'.' | b'e' | b'E')) {
        return true;
    }
    text.parse::<f64>().is_ok_and(|n| n.is_finite() && n.fract() == 0.0)
}
