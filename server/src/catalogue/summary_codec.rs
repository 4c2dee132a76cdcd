//! The bytes of a shard's column summaries, as the catalogue keeps them.
//!
//! A version byte, then the summaries one after the other in the encoding of the shard footer.

use quickdb_storage::ColumnSummary;

use super::error::{CatalogueError, CatalogueResult};

const VERSION: u8 = 1;

/// The bytes of `summaries`, one per column in the table's order.
pub(super) fn encode(summaries: &[ColumnSummary]) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    for summary in summaries {
        summary.encode(&mut bytes);
    }
    bytes
}

/// Reads what [`encode`] wrote.
///
/// # Errors
/// [`CatalogueError::Corrupt`] for anything else.
pub(super) fn decode(bytes: &[u8]) -> CatalogueResult<Vec<ColumnSummary>> {
    let corrupt = |what: String| CatalogueError::Corrupt(format!("column summaries: {what}"));
    let Some((&VERSION, mut rest)) = bytes.split_first() else {
        return Err(corrupt("unknown version".into()));
    };
    let mut summaries = Vec::new();
    while !rest.is_empty() {
        summaries.push(ColumnSummary::decode(&mut rest).map_err(|error| corrupt(error.to_string()))?);
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
        for summaries in [Vec::new(), vec![one.clone()], vec![one, other]] {
            let bytes = encode(&summaries);
            assert_eq!(decode(&bytes).unwrap(), summaries);
            if bytes.len() > 1 {
                assert!(decode(&bytes[..bytes.len() - 1]).is_err());
            }
        }
        assert!(decode(&[]).is_err() && decode(&[9]).is_err());
    }
}
