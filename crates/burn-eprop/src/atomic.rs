//! Files that are there as a whole or not at all.

use std::io::Write;
use std::path::Path;

use burn_pack::AtomicFile;

/// Writes a file beside `path` and renames it when it is on the disk: whatever goes wrong, what was there before is whole. Its mode is that of the file
/// that it replaces, or else follows from the process's umask.
///
/// # Errors
///
/// What went wrong.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    let (unfinished, mut file) = AtomicFile::create(path).map_err(|error| error.to_string())?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(|error| error.to_string())?;
    // Some systems do not rename what is open.
    drop(file);
    unfinished.commit().map_err(|error| error.to_string())
}
