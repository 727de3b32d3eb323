//! `requestState` on its way through: what a server gives an agent to bring back is bound to who got it, for what, and
//! until when.
//!
//! MCP 2026-07-28, basic/patterns/mrtr: the state passes through the client, so whoever receives it must treat it as
//! the attacker's. A server behind the gateway sees one client, the gateway, and cannot tell the agents apart; so it
//! is the gateway that holds each state to its agent. The key is the governance session's: any process on the same
//! store can check it, and a session that a human resets takes its states along. It is not encrypted: the server chose
//! to show it to its client.

use interlock_model::{Commitment, SessionKey, UnixMillis, digest};

/// Label of the commitment.
const LABEL: &str = "request-state";
/// Marks ours, and its format.
const MARK: &str = "il1";
/// How long a state may be used: as long as a person may take to answer, with room.
pub(crate) const LIFE_MS: u64 = 3_600_000;

/// How long a task may be asked about: longer than servers keep one.
pub(crate) const TASK_LIFE_MS: u64 = 7 * 86_400_000;

/// Binds `inner`, as the server gave it, to `about` until `expires`.
pub(crate) fn seal(key: &SessionKey, about: &[&[u8]], expires: UnixMillis, inner: &str) -> String {
    let mac = mac(key, about, expires, inner);
    format!("{MARK}.{}.{}.{inner}", expires.0, digest::hex(&mac.0))
}

/// What was sealed, if it was by this key, about this, and still holds.
pub(crate) fn open<'a>(key: &SessionKey, about: &[&[u8]], now: UnixMillis, sealed: &'a str) -> Option<&'a str> {
    let mut parts = sealed.splitn(4, '.');
    let (mark, expires, given, inner) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let expires = UnixMillis(expires.parse().ok()?);
    let given: [u8; 32] = digest::unhex(given)?.try_into().ok()?;
    let holds = mac(key, about, expires, inner).matches(&Commitment(given));
    (mark == MARK && holds && now < expires).then_some(inner)
}

fn mac(key: &SessionKey, about: &[&[u8]], expires: UnixMillis, inner: &str) -> Commitment {
    let expires = expires.0.to_be_bytes();
    let mut parts: Vec<&[u8]> = vec![&expires, inner.as_bytes()];
    parts.extend(about);
    key.commit(LABEL, &parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_holds_for_whom_and_what_it_was_sealed() {
        let (key, other) = (SessionKey::new([1; 32]), SessionKey::new([2; 32]));
        let about: [&[u8]; 2] = [b"files", b"read"];
        let sealed = seal(&key, &about, UnixMillis(100), "their.state \u{e9}");
        assert_eq!(open(&key, &about, UnixMillis(99), &sealed), Some("their.state \u{e9}"));
        assert_eq!(open(&key, &about, UnixMillis(100), &sealed), None, "it has expired");
        assert_eq!(open(&other, &about, UnixMillis(99), &sealed), None, "another session's");
        assert_eq!(open(&key, &[b"files", b"write"], UnixMillis(99), &sealed), None, "for something else");
        for forged in [
            sealed.replace("their", "other"),
            sealed.replace(".100.", ".900."),
            sealed.replacen("il1", "il2", 1),
            "their.state".to_owned(),
            String::new(),
        ] {
            assert_eq!(open(&key, &about, UnixMillis(99), &forged), None, "{forged}");
        }
    }
}
