//! What comes from elsewhere, in a message: on one line, and not too long.

use std::path::Path;

/// Characters of a text that a message quotes.
const MAX_CHARS: usize = 80;
/// Characters of what a library says of a file. There may be text of the file in it.
const MAX_REASON_CHARS: usize = 300;
/// Items of a list that a message names.
const MAX_ITEMS: usize = 50;

/// The start of a text on one line, whatever characters it holds.
pub(crate) fn quoted(text: &str) -> String {
    start_of(text, MAX_CHARS)
}

/// What a library says of a file.
pub(crate) fn reason(error: &impl ToString) -> String {
    start_of(&error.to_string(), MAX_REASON_CHARS)
}

/// A path as it is, but on one line.
pub(crate) fn shown(path: &Path) -> String {
    path.to_string_lossy().chars().flat_map(escaped).collect()
}

/// The first of many names, and how many there are besides.
pub(crate) fn listed(names: &[impl ToString]) -> String {
    let first: Vec<String> = names.iter().take(MAX_ITEMS).map(|name| quoted(&name.to_string())).collect();
    match names.len() - first.len() {
        0 => first.join(", "),
        others => format!("{} and {others} more", first.join(", ")),
    }
}

fn start_of(text: &str, most: usize) -> String {
    text.chars().take(most).flat_map(escaped).collect()
}

/// Characters that break, hide or reorder a line become `\n`, `\u{7}` and so on.
fn escaped(character: char) -> impl Iterator<Item = char> {
    let separator = matches!(character, '\u{2028}' | '\u{2029}');
    let reorders =
        matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let unprintable = character.is_control() || separator || reorders;
    let escape = unprintable.then(|| character.escape_debug());
    (!unprintable).then_some(character).into_iter().chain(escape.into_iter().flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_is_short_and_on_one_line() {
        assert_eq!(quoted("a\r\nb\u{7}"), "a\\r\\nb\\u{7}");
        assert_eq!(quoted("o'neil \u{202e}\u{2028}"), "o'neil \\u{202e}\\u{2028}");
        assert_eq!(quoted(&"é".repeat(200)), "é".repeat(80));
        assert_eq!(reason(&"\n".repeat(1000)), "\\n".repeat(300));
    }

    #[test]
    fn a_path_is_whole_and_on_one_line() {
        let path = "/a folder/é\n".to_owned() + &"b".repeat(200);
        assert_eq!(shown(Path::new(&path)), path.replace('\n', "\\n"));
    }

    #[test]
    fn a_list_names_the_first_and_counts_the_others() {
        assert_eq!(listed(&["a", "b\n"]), "a, b\\n");
        assert_eq!(listed(&[""; 0]), "");
        let numbers: Vec<u16> = (0..60).collect();
        assert!(listed(&numbers).ends_with("48, 49 and 10 more"));
    }
}
