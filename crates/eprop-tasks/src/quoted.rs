//! Quoting what a file holds in a message.

/// Characters of a text that a message quotes.
const MAX_CHARS: usize = 80;

/// The start of a text on one line, whatever characters it holds.
pub(crate) fn quoted(text: &str) -> String {
    text.chars().take(MAX_CHARS).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_is_short_and_on_one_line() {
        assert_eq!(quoted("a\r\nb\u{7}"), "a\\r\\nb\\u{7}");
        assert_eq!(quoted(&"é".repeat(200)), "é".repeat(80));
    }
}
