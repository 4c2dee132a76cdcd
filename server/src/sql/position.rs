//! Places in a query string: from the parser's lines and columns to PostgreSQL's characters from 1.

/// The character position of a line and column, both from 1; `None` for an empty span.
pub fn char_position(sql: &str, line: u64, column: u64) -> Option<usize> {
    if line == 0 || column == 0 {
        return None;
    }
    let lines_before = usize::try_from(line - 1).ok()?;
    let before: usize = sql.split_inclusive('\n').take(lines_before).map(|line| line.chars().count()).sum();
    Some(before + usize::try_from(column).ok()?)
}

/// The byte offset of a line and column, both from 1, at most the end of the text.
pub fn byte_offset(sql: &str, line: u64, column: u64) -> usize {
    let characters = char_position(sql, line, column).unwrap_or(1) - 1;
    sql.char_indices().nth(characters).map_or(sql.len(), |(offset, _)| offset)
}

/// The character position of a byte offset.
pub fn position_of_byte(sql: &str, offset: usize) -> usize {
    sql.get(..offset).map_or(0, |before| before.chars().count()) + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters_over_lines() {
        let sql = "select é,\n  x from t";
        assert_eq!(char_position(sql, 1, 1), Some(1));
        assert_eq!(char_position(sql, 2, 3), Some(13));
        assert_eq!(sql.get(byte_offset(sql, 2, 3)..).unwrap(), "x from t");
        assert_eq!(position_of_byte(sql, byte_offset(sql, 2, 3)), 13);
        assert_eq!(char_position(sql, 0, 0), None);
    }
}
