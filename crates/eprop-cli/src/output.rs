//! What a command prints. Names and texts may come from files: of what a terminal takes for more than text, nothing reaches it.

use std::fmt::Display;
use std::io::{Write, stderr, stdout};

use anyhow::{Context, Error, Result};

/// Characters of a part of a message that are printed: so many of its beginning and of its end.
const SHOWN: [usize; 2] = [500, 300];

/// Prints a line, or several, to the standard output.
///
/// # Errors
///
/// If the output is closed or full.
pub fn print(text: impl Display) -> Result<()> {
    let text = text.to_string();
    let lines: Vec<String> = text.split('\n').map(escaped).collect();
    let mut output = stdout().lock();
    let printed = writeln!(output, "{}", lines.join("\n")).and_then(|()| output.flush());
    printed.context("cannot write to the standard output")
}

/// Tells of something that may be wrong, on the standard error.
pub fn warn(text: impl Display) {
    // Where that is closed or full, no one reads warnings.
    let _ = writeln!(stderr(), "warning: {}", one_line(&text.to_string()));
}

/// What is wrong, on one line.
pub fn describe(error: &Error) -> String {
    error.chain().map(|part| one_line(&part.to_string())).collect::<Vec<_>>().join(": ")
}

/// A text on one line, without the middle of a long one.
pub fn one_line(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let characters: Vec<char> = line.chars().collect();
    let [first, last] = SHOWN;
    let part = |part: &[char]| escaped(&part.iter().collect::<String>());
    match characters.len() > first + last {
        true => {
            format!("{} ... {}", part(&characters[..first]), part(&characters[characters.len() - last..]))
        }
        false => part(&characters),
    }
}

/// Characters that control a terminal, or break, hide or reorder a line, as `\n`, `\u{1b}` and so on.
pub(crate) fn escaped(text: &str) -> String {
    let unprintable = |character: char| {
        let reorders =
            matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        character.is_control() || reorders || matches!(character, '\u{2028}' | '\u{2029}')
    };
    text.chars().fold(String::with_capacity(text.len()), |mut text, character| {
        match unprintable(character) {
            true => text.extend(character.escape_debug()),
            false => text.push(character),
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        assert_eq!(escaped("o'neil é \u{1b}[2J\r\u{202e}|\\"), "o'neil é \\u{1b}[2J\\r\\u{202e}|\\");
    }

    #[test]
    fn of_a_long_line_both_ends_are_shown() {
        let line = one_line(&format!("begin {} \n  end", "x".repeat(200_000)));
        assert!(line.starts_with("begin x") && line.ends_with("x end"), "{line}");
        assert_eq!(line.chars().count(), 500 + 5 + 300);
        assert_eq!(one_line("  two \n lines\t"), "two lines");
    }

    #[test]
    fn each_part_of_an_error_is_shown() {
        let error = Error::msg("reason \u{7}").context("é".repeat(900)).context("a file");
        let line = describe(&error);
        assert!(line.starts_with("a file: é") && line.ends_with("é: reason \\u{7}"), "{line}");
    }
}
