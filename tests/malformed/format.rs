//! A format, and what reads it.

use std::path::Path;

use tempfile::TempDir;

/// Reads a file of these bytes, and says what is wrong with it.
pub(crate) type Read = Box<dyn Fn(&[u8]) -> Result<(), String> + Send>;

/// A kind of file that comes from elsewhere.
pub(crate) struct Format {
    /// Its name.
    pub(crate) name: &'static str,
    /// Name of the file, which every error must hold.
    pub(crate) file: &'static str,
    /// Sound files.
    pub(crate) sound: Vec<Vec<u8>>,
    /// Files that must be refused: mostly, those that claim to hold 10 GB.
    pub(crate) refused: Vec<Vec<u8>>,
    /// Number of mutated files.
    pub(crate) variants: usize,
    /// What reads it.
    pub(crate) read: Read,
}

/// What reads a file of that name in a folder that `fill` prepares, each time that it has new bytes.
pub(crate) fn reader(
    file: &'static str,
    fill: impl FnOnce(&Path),
    read: impl Fn(&Path) -> Result<(), String> + Send + 'static,
) -> Read {
    let folder = TempDir::new().expect("a folder");
    fill(folder.path());
    Box::new(move |bytes| {
        let path = folder.path().join(file);
        // Some file systems wait for the disk where a file is emptied and written again.
        let _ = std::fs::remove_file(&path);
        std::fs::write(&path, bytes).expect("written");
        read(&path)
    })
}

/// The bytes with `found`, which must be there, replaced everywhere.
pub(crate) fn replaced(bytes: &[u8], found: &[u8], by: &[u8]) -> Vec<u8> {
    let mut result = Vec::with_capacity(bytes.len());
    let (mut at, mut count) = (0, 0);
    while at < bytes.len() {
        if bytes[at..].starts_with(found) {
            result.extend(by);
            at += found.len();
            count += 1;
        } else {
            result.push(bytes[at]);
            at += 1;
        }
    }
    assert!(count > 0, "{found:?} is not there");
    result
}
