//! Session ids that outlive the process: what a session is stands in its id, sealed.
//!
//! A legacy client that is told its session is not known has to begin anew, and some never do. So the id that it is
//! given carries all that has to be known to go on (whose it is, for which endpoint and revision, what the client can
//! do), with a MAC under a key of the store. Any process on the same store can take the session up, however it was
//! restarted. Possessing an id is not being its owner: it holds only together with the credential it was opened with.
//!
//! What does not come along: the log level, subscriptions, and requests that were under way elsewhere.

use super::session::{Holder, Id};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use bytes::Bytes;
use interlock_engine::front::Endpoint;
use interlock_mcp::Revision;
use interlock_model::{Commitment, SessionKey, digest};

/// Label of the MAC.
const LABEL: &str = "mcp-session";
/// Longest capabilities that stand in an id; longer ones would make it longer than clients and proxies take.
const MAX_CAPABILITIES: usize = 512;
/// How long after its opening a session can be taken up elsewhere, in seconds.
const LIFE_S: u64 = 7 * 86_400;

/// What an id says of its session.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Passport {
    pub(super) id: Id,
    pub(super) revision: Revision,
    pub(super) capabilities: Bytes,
    /// When it was opened, in seconds since the Unix epoch.
    pub(super) opened_s: u64,
}

impl Passport {
    /// The id as clients send it: the random part, and behind dots what the session is.
    pub(super) fn seal(&self, key: &SessionKey, holder: &Holder, endpoint: &Endpoint) -> String {
        let capabilities = if self.capabilities.len() > MAX_CAPABILITIES { &b""[..] } else { &self.capabilities };
        let mac = self.mac(key, holder, endpoint, capabilities);
        format!(
            "{}.{}.{}.{}.{}",
            digest::hex(&self.id),
            self.revision,
            self.opened_s,
            BASE64.encode(capabilities),
            digest::hex(&mac.0)
        )
    }

    /// What `sealed` says, if this key sealed it for this holder and endpoint, and it is not too old.
    pub(super) fn open(
        key: &SessionKey,
        sealed: &str,
        holder: &Holder,
        endpoint: &Endpoint,
        now_s: u64,
    ) -> Option<Self> {
        let mut parts = sealed.split('.');
        let id: Id = digest::unhex(parts.next()?)?.try_into().ok()?;
        let revision: Revision = parts.next()?.parse().ok()?;
        let opened_s: u64 = parts.next()?.parse().ok()?;
        let capabilities = BASE64.decode(parts.next()?).ok()?;
        let given: [u8; 32] = digest::unhex(parts.next()?)?.try_into().ok()?;
        let passport = Self { id, revision, capabilities: capabilities.into(), opened_s };
        let mac = passport.mac(key, holder, endpoint, &passport.capabilities);
        let holds = parts.next().is_none() && mac.matches(&Commitment(given));
        (holds && now_s < opened_s.saturating_add(LIFE_S)).then_some(passport)
    }

    fn mac(&self, key: &SessionKey, holder: &Holder, endpoint: &Endpoint, capabilities: &[u8]) -> Commitment {
        let endpoint = match endpoint {
            Endpoint::All => "",
            Endpoint::Server(server) => server.as_str(),
        };
        let (agent, credential, bound) = holder.parts();
        let parts: [&[u8]; 8] = [
            &self.id,
            self.revision.as_str().as_bytes(),
            &self.opened_s.to_be_bytes(),
            capabilities,
            agent.as_bytes(),
            credential,
            &[u8::from(bound)],
            endpoint.as_bytes(),
        ];
        key.commit(LABEL, &parts)
    }
}

/// The random part of an id.
pub(super) fn random_part(sealed: &str) -> Option<Id> {
    let random = sealed.split('.').next()?;
    digest::unhex(random)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(agent: &str) -> Holder {
        Holder::of(agent.parse().unwrap(), digest_of(agent), true)
    }

    fn digest_of(text: &str) -> interlock_model::Digest {
        interlock_model::Digest::of(text.as_bytes())
    }

    #[test]
    fn an_id_holds_for_whom_and_where_it_was_given() {
        let (key, other) = (SessionKey::new([1; 32]), SessionKey::new([2; 32]));
        let passport = Passport {
            id: [7; 32],
            revision: Revision::V2025_06_18,
            capabilities: Bytes::from_static(br#"{"roots":{}}"#),
            opened_s: 1000,
        };
        let sealed = passport.seal(&key, &holder("a"), &Endpoint::All);
        assert!(sealed.bytes().all(|b| b.is_ascii_graphic()) && sealed.len() < 1024);
        let open = |key: &SessionKey, sealed: &str, who: &str, endpoint: &Endpoint, now_s| {
            Passport::open(key, sealed, &holder(who), endpoint, now_s).is_some()
        };
        assert_eq!(Passport::open(&key, &sealed, &holder("a"), &Endpoint::All, 1001), Some(passport));
        let files = Endpoint::Server("files".parse().unwrap());
        assert!(!open(&other, &sealed, "a", &Endpoint::All, 1001), "another store");
        assert!(!open(&key, &sealed, "b", &Endpoint::All, 1001), "another agent");
        assert!(!open(&key, &sealed, "a", &files, 1001), "another endpoint");
        assert!(!open(&key, &sealed, "a", &Endpoint::All, 1000 + LIFE_S), "too old");
        for forged in [
            sealed.replace("2025-06-18", "2025-11-25"),
            sealed.replace(".1000.", ".2000."),
            sealed.replacen('7', "8", 1),
            format!("{sealed}.x"),
            digest::hex(&[7; 32]),
            String::new(),
        ] {
            assert!(!open(&key, &forged, "a", &Endpoint::All, 1001), "{forged}");
        }
    }
}
