//! Patterns of LIKE in the notation that the engine matches.

/// A LIKE pattern whose escape character is a backslash; `None` means that nothing escapes.
pub fn like_with_backslash(pattern: &str, escape: Option<char>) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        if Some(c) == escape {
            if let Some(next) = chars.next() {
                if matches!(next, '%' | '_' | '\\') {
                    out.push('\\');
                }
                out.push(next);
            }
        } else if c == '\\' {
            out.push_str("\\\\");
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_translated() {
        assert_eq!(like_with_backslash("10!%%", Some('!')), "10\\%%");
        assert_eq!(like_with_backslash("a\\b", None), "a\\\\b");
    }
}
