//! The bytes of a shard's column summaries, as the catalogue keeps them.
//!
//! A version byte, then one after the other each column's number in the table (u32, little-endian) and its summary in
//! the encoding of the shard footer. Version 1 had no numbers: its columns are 1, 2, 3 and so on.

use quickdb_storage::ColumnSummary;

use super::error::{CatalogueError, CatalogueResult};

const VERSION: u8 = 2;

/// The bytes of `summaries`, one per column of the shard.
pub(super) fn encode(summaries: &[(u32, ColumnSummary)]) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    for (number, summary) in summaries {
        bytes.extend_from_slice(&number.to_le_bytes());
        summary.encode(&mut bytes);
    }
    bytes
}

/// Reads what [`encode`] wrote.
///
/// # Errors
/// [`CatalogueError::Corrupt`] for anything else.
pub(super) fn decode(bytes: &[u8]) -> CatalogueResult<Vec<(u32, ColumnSummary)>> {
    let corrupt = |what: String| CatalogueError::Corrupt(format!("column summaries: {what}"));
    let Some((version @ (1 | VERSION), mut rest)) =
        bytes.split_first().map(|(version, rest)| (*version, rest))
    else {
        return Err(corrupt("unknown version".into()));
    };
    let mut summaries = Vec::new();
    let mut number = 0_u32;
    while !rest.is_empty() {
        if version == 1 {
            number += 1;
        } else {
            let (first, others) = rest.split_first_chunk().ok_or_else(|| corrupt("cut off".into()))?;
            number = u32::from_le_bytes(*first);
            rest = others;
        }
        let summary = ColumnSummary::decode(&mut rest).map_err(|error| corrupt(error.to_string()))?;
        summaries.push((number, summary));
    }
    Ok(summaries)
}

#[cfg(test)]
mod tests {
    use quickdb_storage::Bound;

    use super::*;

    #[test]
    fn decode_gives_back_what_encode_took() {
        let one = ColumnSummary {
            null_count: 1,
            nan_count: 0,
            min: Some(Bound::Text("a".into())),
            max: Some(Bound::Text("größe".into())),
            distinct: Some(2),
        };
        let other = ColumnSummary { null_count: 0, nan_count: 3, min: None, max: None, distinct: None };
        for summaries in [Vec::new(), vec![(1, one.clone())], vec![(3, one), (9, other)]] {
            let bytes = encode(&summaries);
            assert_eq!(decode(&bytes).unwrap(), summaries);
            if bytes.len() > 1 {
                assert!(decode(&bytes[..bytes.len() - 1]).is_err());
            }
        }
        assert!(decode(&[]).is_err() && decode(&[9]).is_err());
    }
}
