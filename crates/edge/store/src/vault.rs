//! The vault: sessions' keys wrapped under `vault.key`, payloads encrypted under sessions' keys, and a
//! seal on every row that may change.
//!
//! AES-256-GCM throughout. A nonce is 7 random bytes drawn when the store opens and a 5-byte counter:
//! unique while it runs by counting, across runs (and across a database restored from a backup, which
//! would reset a stored counter) by chance of one in 2^56 for each pair of runs.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use interlock_engine::ports::Slot;
use interlock_model::{CallId, SessionId, SessionKey};
use std::sync::atomic::{AtomicU64, Ordering};
use zeroize::Zeroizing;

use crate::keys::Secret;

const TAG_LEN: usize = 16;
/// What encrypting adds to a payload, in bytes.
pub(crate) const OVERHEAD: usize = NONCE_LEN + TAG_LEN;
const COUNTER_BITS: u32 = 40;

/// What was decrypted or checked is not what was written, or belongs elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not what was written there, or written under another key")]
pub(crate) struct Unsealed;

/// No more could be encrypted in this run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this run has no nonces left: restart the gateway")]
pub(crate) struct Exhausted;

/// The key-encryption key and what is derived from it.
pub(crate) struct Vault {
    wrapping: LessSafeKey,
    /// What keys for other uses are derived from.
    others: SessionKey,
    rows: hmac::Key,
    nonces: Nonces,
}

/// A session's payload key, expanded once.
pub(crate) struct PayloadKey(LessSafeKey);

struct Nonces {
    run: [u8; 7],
    next: AtomicU64,
}

impl Vault {
    pub(crate) fn new(secret: &Secret) -> Result<Self, getrandom::Error> {
        let rows = Zeroizing::new(SessionKey::new(**secret).derive("rows"));
        let mut run = [0; 7];
        getrandom::fill(&mut run)?;
        Ok(Self {
            wrapping: key(secret),
            others: SessionKey::new(SessionKey::new(**secret).derive("others")),
            rows: hmac::Key::new(hmac::HMAC_SHA256, rows.as_slice()),
            nonces: Nonces { run, next: AtomicU64::new(0) },
        })
    }

    /// A key for another use of whoever holds this store, told apart by `label`.
    pub(crate) fn derived(&self, label: &str) -> SessionKey {
        SessionKey::new(self.others.derive(label))
    }

    /// Wraps a session's key; it unwraps only for the same session.
    pub(crate) fn wrap(&self, id: SessionId, session: &SessionKey) -> Result<Vec<u8>, Exhausted> {
        self.nonces.seal(&self.wrapping, &wrap_aad(id), session.danger_bytes())
    }

    /// The key that was wrapped for `id`.
    pub(crate) fn unwrap(&self, id: SessionId, wrapped: &[u8]) -> Result<SessionKey, Unsealed> {
        let secret = open(&self.wrapping, &wrap_aad(id), wrapped)?;
        secret.as_slice().try_into().map(SessionKey::new).map_err(|_| Unsealed)
    }

    /// Encrypts a payload of `call`.
    pub(crate) fn seal(
        &self,
        key: &PayloadKey,
        session: SessionId,
        call: CallId,
        slot: Slot,
        payload: &[u8],
    ) -> Result<Vec<u8>, Exhausted> {
        self.nonces.seal(&key.0, &payload_aad(session, call, slot), payload)
    }

    /// The seal of a row: HMAC over the table's name and its columns. It shows that this program wrote
    /// the row as it stands; that no newer version of it existed only the ledger's entries show.
    pub(crate) fn row_seal(&self, table: &str, columns: &[&[u8]]) -> [u8; 32] {
        let tag = self.row_mac(table, columns).sign();
        tag.as_ref().try_into().unwrap_or_default()
    }

    /// Checks a row's seal, in constant time.
    pub(crate) fn check_row(&self, table: &str, columns: &[&[u8]], seal: &[u8]) -> Result<(), Unsealed> {
        let expected = self.row_seal(table, columns);
        aws_lc_rs::constant_time::verify_slices_are_equal(&expected, seal).map_err(|_| Unsealed)
    }

    fn row_mac(&self, table: &str, columns: &[&[u8]]) -> hmac::Context {
        let mut mac = hmac::Context::with_key(&self.rows);
        for part in std::iter::once(&table.as_bytes()).chain(columns) {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac
    }
}

impl PayloadKey {
    /// The payload key of a session.
    pub(crate) fn of(session: &SessionKey) -> Self {
        Self(key(&Zeroizing::new(session.derive("vault"))))
    }

    /// Decrypts a payload.
    pub(crate) fn open(
        &self,
        session: SessionId,
        call: CallId,
        slot: Slot,
        sealed: &[u8],
    ) -> Result<Vec<u8>, Unsealed> {
        open(&self.0, &payload_aad(session, call, slot), sealed).map(|mut plain| std::mem::take(&mut *plain))
    }
}

impl Nonces {
    fn seal(&self, key: &LessSafeKey, aad: &[u8], plain: &[u8]) -> Result<Vec<u8>, Exhausted> {
        let count = self.next.fetch_add(1, Ordering::Relaxed);
        if count >> COUNTER_BITS != 0 {
            return Err(Exhausted);
        }
        let mut nonce = [0; NONCE_LEN];
        let (run, counter) = nonce.split_at_mut(self.run.len());
        run.copy_from_slice(&self.run);
        counter.copy_from_slice(&count.to_be_bytes()[3..]);
        let mut sealed = Vec::with_capacity(plain.len() + OVERHEAD);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plain);
        let body = sealed.get_mut(NONCE_LEN..).ok_or(Exhausted)?;
        let tag = key
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), body)
            .map_err(|_| Exhausted)?;
        sealed.extend_from_slice(tag.as_ref());
        Ok(sealed)
    }
}

fn open(key: &LessSafeKey, aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Unsealed> {
    let (nonce, body) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(Unsealed)?;
    let mut plain = Zeroizing::new(body.to_vec());
    let len = key
        .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(aad), &mut plain)
        .map_err(|_| Unsealed)?
        .len();
    plain.truncate(len);
    Ok(plain)
}

fn key(secret: &Secret) -> LessSafeKey {
    #[expect(clippy::expect_used, reason = "an AES-256 key is 32 bytes, and the type says so")]
    let unbound = UnboundKey::new(&AES_256_GCM, secret.as_slice()).expect("32 bytes");
    LessSafeKey::new(unbound)
}

fn wrap_aad(id: SessionId) -> [u8; 37] {
    const LABEL: &[u8; 21] = b"interlock/session-key";
    let mut aad = [0; 37];
    aad[..21].copy_from_slice(LABEL);
    aad[21..].copy_from_slice(id.as_bytes());
    aad
}

fn payload_aad(session: SessionId, call: CallId, slot: Slot) -> [u8; 50] {
    const LABEL: &[u8; 17] = b"interlock/payload";
    let mut aad = [0; 50];
    aad[..17].copy_from_slice(LABEL);
    aad[17..33].copy_from_slice(session.as_bytes());
    aad[33..49].copy_from_slice(call.as_bytes());
    aad[49] = slot as u8;
    aad
}

#[cfg(test)]
mod tests {
    use super::*;
    use interlock_model::UnixMillis;
    use std::collections::HashSet;

    fn vault() -> Vault {
        Vault::new(&Zeroizing::new([1; 32])).unwrap()
    }

    #[test]
    fn a_payload_opens_only_where_it_was_written() {
        let vault = vault();
        let key = SessionKey::new([2; 32]);
        let session = SessionId::new(UnixMillis(1), [1; 10]);
        let call = CallId::new(UnixMillis(1), [2; 10]);
        let payload = PayloadKey::of(&key);
        let sealed = vault.seal(&payload, session, call, Slot::Sent, b"secret").unwrap();
        assert_eq!(sealed.len(), 6 + OVERHEAD);
        assert_eq!(payload.open(session, call, Slot::Sent, &sealed).unwrap(), b"secret");

        let other_session = SessionId::new(UnixMillis(2), [1; 10]);
        let other_call = CallId::new(UnixMillis(2), [2; 10]);
        let other_key = PayloadKey::of(&SessionKey::new([3; 32]));
        assert!(payload.open(other_session, call, Slot::Sent, &sealed).is_err());
        assert!(payload.open(session, other_call, Slot::Sent, &sealed).is_err());
        assert!(payload.open(session, call, Slot::Received, &sealed).is_err());
        assert!(other_key.open(session, call, Slot::Sent, &sealed).is_err());
        for at in 0..sealed.len() {
            let mut flipped = sealed.clone();
            flipped[at] ^= 1;
            assert!(payload.open(session, call, Slot::Sent, &flipped).is_err(), "{at}");
        }
        assert!(payload.open(session, call, Slot::Sent, &sealed[..5]).is_err());
    }

    #[test]
    fn a_session_key_unwraps_only_for_its_session_and_vault() {
        let vault = vault();
        let id = SessionId::new(UnixMillis(1), [1; 10]);
        let wrapped = vault.wrap(id, &SessionKey::new([9; 32])).unwrap();
        assert_eq!(vault.unwrap(id, &wrapped).unwrap().danger_bytes(), &[9; 32]);
        assert!(vault.unwrap(SessionId::new(UnixMillis(2), [1; 10]), &wrapped).is_err());
        assert!(Vault::new(&Zeroizing::new([2; 32])).unwrap().unwrap(id, &wrapped).is_err());
    }

    #[test]
    fn no_nonce_comes_twice_and_the_last_is_the_last() {
        let vault = vault();
        let id = SessionId::new(UnixMillis(1), [1; 10]);
        let key = SessionKey::new([9; 32]);
        let nonces: HashSet<_> = (0..1000).map(|_| vault.wrap(id, &key).unwrap()[..NONCE_LEN].to_vec()).collect();
        assert_eq!(nonces.len(), 1000);
        vault.nonces.next.store((1 << COUNTER_BITS) - 1, Ordering::Relaxed);
        assert!(vault.wrap(id, &key).is_ok());
        assert_eq!(vault.wrap(id, &key), Err(Exhausted));
    }

    #[test]
    fn a_row_seal_binds_table_and_columns() {
        let vault = vault();
        let seal = vault.row_seal("t", &[b"a", b"bc"]);
        assert_eq!(vault.check_row("t", &[b"a", b"bc"], &seal), Ok(()));
        for (table, columns) in [("u", [&b"a"[..], b"bc"]), ("t", [b"ab", b"c"]), ("t", [b"a", b"bd"])] {
            assert_eq!(vault.check_row(table, &columns, &seal), Err(Unsealed));
        }
        assert_eq!(vault.check_row("t", &[b"a", b"bc"], &seal[..31]), Err(Unsealed));
    }
}
