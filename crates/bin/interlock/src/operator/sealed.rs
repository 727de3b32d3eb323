//! The sealed key's file: a seed under AES-256-GCM, its key from the passphrase by Argon2id (RFC 9106).
//!
//! The public key is associated data, so that it cannot be exchanged for another in the file.

use super::{OperatorError, Passphrase};
use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use interlock_signature::PublicKey;
use serde::{Deserialize, Serialize};
use std::path::Path;
use zeroize::Zeroizing;

/// What guessing one passphrase costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    memory_kib: u32,
    passes: u32,
}

impl Cost {
    /// 64 MiB and three passes, RFC 9106's second recommendation with one lane.
    pub const DEFAULT: Self = Self { memory_kib: 64 << 10, passes: 3 };
    /// Next to nothing, so that tests take no time.
    pub const TEST: Self = Self { memory_kib: 256, passes: 1 };
    /// Most that a file may ask for: 1 GiB and 16 passes.
    const MAX: Self = Self { memory_kib: 1 << 20, passes: 16 };
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    version: u8,
    public_key: PublicKey,
    kdf: Kdf,
    cipher: Cipher,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kdf {
    name: String,
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    salt: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cipher {
    name: String,
    nonce: String,
    ciphertext: String,
}

const KDF: &str = "argon2id";
const CIPHER: &str = "aes-256-gcm";

pub(super) struct Opened {
    pub(super) seed: Zeroizing<[u8; 32]>,
    pub(super) public: PublicKey,
}

pub(super) enum OpenError {
    WrongPassphrase,
    Damaged(&'static str),
    Resources(&'static str),
}

impl OpenError {
    pub(super) fn in_file(self, file: &Path) -> OperatorError {
        match self {
            Self::WrongPassphrase => OperatorError::WrongPassphrase,
            Self::Damaged(reason) => OperatorError::Damaged { file: file.to_owned(), reason },
            Self::Resources(what) => OperatorError::Resources(what),
        }
    }
}

pub(super) fn seal(
    seed: &[u8; 32],
    public: &PublicKey,
    passphrase: &Passphrase,
    cost: Cost,
) -> Result<String, OperatorError> {
    let (mut salt, mut nonce) = ([0; 16], [0; NONCE_LEN]);
    for random in [&mut salt[..], &mut nonce[..]] {
        getrandom::fill(random).map_err(|_| OperatorError::Resources("no randomness"))?;
    }
    let no_memory = || OperatorError::Resources("not enough memory");
    let key = derive(passphrase, &salt, cost, 1).ok_or_else(no_memory)?;
    let mut text = Zeroizing::new(seed.to_vec());
    let tag = cipher(&key)
        .and_then(|k| {
            k.seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), associated(public), &mut text).ok()
        })
        .ok_or_else(no_memory)?;
    let ciphertext = [text.as_slice(), tag.as_ref()].concat();
    let wire = Wire {
        version: 1,
        public_key: *public,
        kdf: Kdf {
            name: KDF.to_owned(),
            memory_kib: cost.memory_kib,
            passes: cost.passes,
            lanes: 1,
            salt: STANDARD.encode(salt),
        },
        cipher: Cipher {
            name: CIPHER.to_owned(),
            nonce: STANDARD.encode(nonce),
            ciphertext: STANDARD.encode(ciphertext),
        },
    };
    // Strings and numbers always serialise.
    serde_json::to_string_pretty(&wire).map(|t| t + "\n").map_err(|_| no_memory())
}

pub(super) fn open(text: &str, passphrase: &Passphrase) -> Result<Opened, OpenError> {
    let wire = parse(text)?;
    let cost = Cost { memory_kib: wire.kdf.memory_kib, passes: wire.kdf.passes };
    let sane = cost.memory_kib >= Cost::TEST.memory_kib
        && cost.memory_kib <= Cost::MAX.memory_kib
        && (1..=Cost::MAX.passes).contains(&cost.passes)
        && (1..=16).contains(&wire.kdf.lanes);
    if wire.kdf.name != KDF || wire.cipher.name != CIPHER || !sane {
        return Err(OpenError::Damaged("its algorithms or their cost are not ones that this program uses"));
    }
    let bytes = |text: &str| STANDARD.decode(text).map_err(|_| OpenError::Damaged("not base64"));
    let length = |_| OpenError::Damaged("a field has the wrong length");
    let salt: [u8; 16] = bytes(&wire.kdf.salt)?.try_into().map_err(length)?;
    let nonce: [u8; NONCE_LEN] = bytes(&wire.cipher.nonce)?.try_into().map_err(length)?;
    let mut sealed = Zeroizing::new(bytes(&wire.cipher.ciphertext)?);
    let key = derive(passphrase, &salt, cost, wire.kdf.lanes).ok_or(OpenError::Resources("not enough memory"))?;
    let cipher = cipher(&key).ok_or(OpenError::Resources("not enough memory"))?;
    let nonce = Nonce::assume_unique_for_key(nonce);
    // What does not authenticate was sealed under another passphrase or changed since; which of the two cannot be told.
    let plain = cipher
        .open_in_place(nonce, associated(&wire.public_key), &mut sealed)
        .map_err(|_| OpenError::WrongPassphrase)?;
    let seed = <[u8; 32]>::try_from(&*plain).map_err(|_| OpenError::Damaged("it does not hold a key"))?;
    Ok(Opened { seed: Zeroizing::new(seed), public: wire.public_key })
}

pub(super) fn public_key(text: &str) -> Result<PublicKey, OpenError> {
    parse(text).map(|wire| wire.public_key)
}

fn parse(text: &str) -> Result<Wire, OpenError> {
    let wire: Wire = serde_json::from_str(text).map_err(|_| OpenError::Damaged("it has other fields"))?;
    if wire.version == 1 { Ok(wire) } else { Err(OpenError::Damaged("a version that this program does not know")) }
}

fn derive(passphrase: &Passphrase, salt: &[u8; 16], cost: Cost, lanes: u32) -> Option<Zeroizing<[u8; 32]>> {
    let params = Params::new(cost.memory_kib, cost.passes, lanes, Some(32)).ok()?;
    let mut key = Zeroizing::new([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase.danger_reveal().as_bytes(), salt, key.as_mut())
        .ok()?;
    Some(key)
}

fn cipher(key: &Zeroizing<[u8; 32]>) -> Option<LessSafeKey> {
    UnboundKey::new(&AES_256_GCM, key.as_ref()).ok().map(LessSafeKey::new)
}

fn associated(public: &PublicKey) -> Aad<Vec<u8>> {
    Aad::from([b"interlock/operator-key/v1\0".as_slice(), public.as_bytes()].concat())
}
