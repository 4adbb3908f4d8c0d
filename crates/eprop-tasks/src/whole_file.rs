//! Files that are written whole or not at all.
//!
//! The content goes to a new file in the same folder, whose name cannot be known before. Then it takes the place of the old file; a link of
//! that name is replaced and not followed. A file that replaces another has its permissions; those of a new one are left to the umask.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

/// What the names of unfinished files begin with.
const PREFIX: &str = ".unfinished-";
/// Number of random letters and digits behind it.
const RANDOM: usize = 8;

/// Writes a file.
///
/// # Errors
///
/// If the system refuses. Then an earlier file is as it was.
pub fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let (Some(folder), Some(_)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"));
    };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let mut named = tempfile::Builder::new();
    let unfinished =
        named.prefix(PREFIX).rand_bytes(RANDOM).make_in(folder, |path| File::create_new(path))?;
    #[cfg(unix)]
    if let Ok(earlier) = path.symlink_metadata()
        && earlier.is_file()
    {
        unfinished.as_file().set_permissions(earlier.permissions())?;
    }
    unfinished.as_file().write_all(content)?;
    unfinished.as_file().sync_all()?;
    unfinished.persist(path)?;
    Ok(())
}

/// Whether a file of this name is one that a process was writing. If no process is, one that was killed has left it.
pub fn is_unfinished(name: &OsStr) -> bool {
    let random = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
    random.is_some_and(|random| random.len() == RANDOM && random.chars().all(|it| it.is_ascii_alphanumeric()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn the_file_is_replaced_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        write(&path, b"first").unwrap();
        write(&path, b"second").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert_eq!(names(folder.path()), ["a"]);
    }

    #[test]
    fn a_failure_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let occupied = folder.path().join("a");
        fs::create_dir(&occupied).unwrap();
        assert!(write(&occupied, b"content").is_err());
        assert_eq!(names(folder.path()), ["a"]);
        assert!(write(&folder.path().join("none/a"), b"content").is_err());
        assert!(write(Path::new("/"), b"content").is_err());
    }

    #[test]
    fn unfinished_files_are_known_by_their_names() {
        let folder = tempfile::tempdir().unwrap();
        let made = tempfile::Builder::new().prefix(PREFIX).rand_bytes(RANDOM).tempfile_in(&folder).unwrap();
        assert!(is_unfinished(made.path().file_name().unwrap()));
        for other in [".unfinished-", ".unfinished-notes.md", ".unfinished-notes-1", "unfinished-abcdefgh"] {
            assert!(!is_unfinished(OsStr::new(other)), "{other}");
        }
    }

    #[test]
    #[cfg(unix)]
    fn links_are_replaced_and_permissions_kept() {
        use std::os::unix::fs::{PermissionsExt, symlink};

        let folder = tempfile::tempdir().unwrap();
        let [precious, link] = ["precious", "link"].map(|name| folder.path().join(name));
        fs::write(&precious, "notes").unwrap();
        symlink(&precious, &link).unwrap();
        write(&link, b"content").unwrap();
        assert_eq!(fs::read(&precious).unwrap(), b"notes");
        assert!(fs::symlink_metadata(&link).unwrap().is_file());
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&link), mode(&precious));
        fs::set_permissions(&link, fs::Permissions::from_mode(0o600)).unwrap();
        write(&link, b"other").unwrap();
        assert_eq!(mode(&link) & 0o777, 0o600);
    }
}
