//! Text as characters, one a step: what a network that foretells the next character reads.

use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::data_file;
use crate::quoted::shown;

/// Largest text that is read, in bytes; with several files, all together.
pub const MAX_BYTES: u64 = 1 << 28;

/// A text cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TextError {
    /// A file or folder cannot be read.
    #[error("cannot read {}: {reason}", shown(path))]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        reason: io::Error,
    },
    /// There is no Markdown file.
    #[error("{} holds no Markdown files", shown(path))]
    NoMarkdown {
        /// The folder.
        path: PathBuf,
    },
    /// The text is shorter than what is asked of it.
    #[error("the text has {found} characters, but at least {needed} are needed")]
    TooShort {
        /// Its length.
        found: usize,
        /// The least length.
        needed: usize,
    },
}

/// The characters of a text, the most frequent first. Further characters are one and the same: the last index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alphabet {
    characters: Vec<char>,
}

impl Alphabet {
    /// The `most` most frequent characters of a text (of equally frequent ones, those that come first in Unicode).
    pub fn of(text: &str, most: usize) -> Self {
        let mut counts = std::collections::BTreeMap::new();
        text.chars().for_each(|character| *counts.entry(character).or_insert(0_usize) += 1);
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort_by_key(|&(character, count)| (std::cmp::Reverse(count), character));
        Self { characters: counts.into_iter().map(|(character, _)| character).take(most).collect() }
    }

    /// An alphabet of these characters.
    pub fn from_characters(characters: impl IntoIterator<Item = char>) -> Self {
        Self { characters: characters.into_iter().collect() }
    }

    /// Its characters, in their order.
    pub fn characters(&self) -> &[char] {
        &self.characters
    }

    /// Number of indices: one for each character, and one for all others.
    pub fn size(&self) -> usize {
        self.characters.len() + 1
    }

    /// A text as indices.
    pub fn encode(&self, text: &str) -> Vec<u16> {
        let places = self.characters.iter().enumerate().map(|(index, &character)| (character, index as u16));
        let places: std::collections::HashMap<char, u16> = places.collect();
        let other = self.characters.len() as u16;
        text.chars().map(|character| places.get(&character).copied().unwrap_or(other)).collect()
    }
}

/// Reads a text file; what is not UTF-8 becomes the replacement character.
///
/// # Errors
///
/// If it cannot be read, is no regular file or has more than [`MAX_BYTES`].
pub fn read(path: &Path) -> Result<String, TextError> {
    read_up_to(path, MAX_BYTES)
}

fn read_up_to(path: &Path, most: u64) -> Result<String, TextError> {
    let bytes =
        data_file::read(path, most).map_err(|reason| TextError::Unreadable { path: path.into(), reason })?;
    Ok(String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

/// The Markdown files of a folder and of those below it, one after the other in the order of their paths. Hidden files and
/// folders, and folders named `target` or `runs`, are left out, and links are not followed.
///
/// # Errors
///
/// If there are none, one cannot be read, or they have more than [`MAX_BYTES`] together.
pub fn read_markdown(folder: &Path) -> Result<String, TextError> {
    let mut files = Vec::new();
    collect(folder, &mut files)?;
    files.sort();
    if files.is_empty() {
        return Err(TextError::NoMarkdown { path: folder.into() });
    }
    let mut text = String::new();
    for path in files {
        text += &read_up_to(&path, MAX_BYTES.saturating_sub(text.len() as u64))?;
    }
    Ok(text)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), TextError> {
    let unreadable = |reason| TextError::Unreadable { path: folder.into(), reason };
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let kind = entry.file_type().map_err(unreadable)?;
        if data_file::is_hidden(&name) {
            continue;
        }
        if kind.is_dir() && !["target", "runs"].contains(&name.as_ref()) {
            collect(&entry.path(), files)?;
        } else if kind.is_file() && data_file::without_ending(&name, ".md").is_some() {
            files.push(entry.path());
        }
    }
    Ok(())
}

/// A text in two: its first nine tenths to learn from, and the rest to test with.
///
/// # Errors
///
/// If either part has less than `needed` characters.
pub fn split(text: &str, needed: usize) -> Result<(&str, &str), TextError> {
    let found = text.chars().count();
    let training = found * 9 / 10;
    if (found - training).min(training) < needed {
        return Err(TextError::TooShort { found, needed: 10 * needed });
    }
    let at = text.char_indices().nth(training).map_or(text.len(), |(at, _)| at);
    Ok(text.split_at(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequent_characters_have_an_index_of_their_own() {
        let alphabet = Alphabet::of("banana", 2);
        assert_eq!(alphabet.characters(), ['a', 'n']);
        assert_eq!(alphabet.size(), 3);
        assert_eq!(alphabet.encode("bañan"), [2, 0, 2, 0, 1]);
    }

    #[test]
    fn the_last_tenth_is_the_test() {
        let text = "äbcdefghij".repeat(3);
        let (training, test) = split(&text, 3).unwrap();
        assert_eq!((training.chars().count(), test), (27, "hij"));
        assert!(matches!(split(&text, 4), Err(TextError::TooShort { found: 30, needed: 40 })));
    }

    #[test]
    fn markdown_is_found_below_but_not_where_it_is_hidden() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(read_markdown(folder.path()), Err(TextError::NoMarkdown { .. })));
        for (name, text) in [
            ("b/C.MD", "2"),
            ("a.md", "1"),
            (".git/x.md", "no"),
            ("target/y.md", "no"),
            ("d.txt", "no"),
            ("._a.md", "no"),
        ] {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        assert_eq!(read_markdown(folder.path()).unwrap(), "12");
        assert!(matches!(read(&folder.path().join("none")), Err(TextError::Unreadable { .. })));
    }
}
