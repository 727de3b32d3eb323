//! Rows by the beginning of an id, as people type them.

use crate::error::ReadError;
use crate::rows::ApprovalRow;
use crate::store::row_error;
use crate::vault::Vault;
use interlock_approval::Approval;
use interlock_model::digest::unhex;
use rusqlite::Connection;

/// The ids that begin with the hexadecimal digits of `text`, as the range of 16-byte keys they lie in.
///
/// `prefix` is the kind's (`approval`), which may stand before the digits.
pub(crate) fn id_range(text: &str, prefix: &str) -> Result<([u8; 16], [u8; 16]), ReadError> {
    let bad = || ReadError::BadId(text.to_owned());
    let digits = text.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('-')).unwrap_or(text);
    if digits.is_empty() || digits.len() > 32 {
        return Err(bad());
    }
    let bound = |fill: char| {
        let padded: String = digits.chars().chain(std::iter::repeat(fill)).take(32).collect();
        unhex(&padded).and_then(|bytes| bytes.try_into().ok()).ok_or_else(bad)
    };
    Ok((bound('0')?, bound('f')?))
}

/// The one approval whose id begins with `text`.
pub(crate) fn approval(connection: &Connection, vault: &Vault, text: &str) -> Result<Approval, ReadError> {
    let (low, high) = id_range(text, "approval")?;
    let found = ApprovalRow::select(connection, vault, "id BETWEEN ? AND ? LIMIT 2", [&low[..], &high[..]])?;
    let mut found = found.into_iter();
    match (found.next(), found.next()) {
        (None, _) => Err(ReadError::NotFound(text.to_owned())),
        (Some(one), None) => one.map_err(row_error),
        (Some(_), Some(_)) => Err(ReadError::Ambiguous(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_a_range() {
        let (low, high) = id_range("approval-01f", "approval").unwrap();
        assert_eq!((low[0], low[1], low[2]), (0x01, 0xf0, 0));
        assert_eq!((high[0], high[1], high[2]), (0x01, 0xff, 0xff));
        assert_eq!(id_range(&"a".repeat(32), "approval").unwrap(), ([0xaa; 16], [0xaa; 16]));
        for bad in ["", "approval-", "A", "xyz", "call-01", &"0".repeat(33)] {
            assert!(matches!(id_range(bad, "approval"), Err(ReadError::BadId(_))), "{bad:?}");
        }
    }
}
