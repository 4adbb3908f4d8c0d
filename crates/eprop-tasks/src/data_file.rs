//! Files of data: opened where they are regular files, and found whatever the case of their names.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Opens a regular file, or what a link to one leads to; gives its length in bytes too. From a pipe or a device, reading may
/// wait or never end.
pub(crate) fn open(path: &Path) -> io::Result<(File, u64)> {
    // Asked first, as opening a pipe waits for someone who writes to it.
    check_regular(&fs::metadata(path)?)?;
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    check_regular(&metadata)?;
    Ok((file, metadata.len()))
}

/// The content of a file of at most `most` bytes.
pub(crate) fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let (file, length) = open(path)?;
    let mut bytes = Vec::with_capacity(length.min(most) as usize);
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::Error::other(format!("it has more than {most} bytes, the most that are read")));
    }
    Ok(bytes)
}

/// The content of a text file of at most `most` bytes.
pub(crate) fn read_text(path: &Path, most: u64) -> io::Result<String> {
    let text = String::from_utf8(read(path, most)?);
    text.map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))
}

/// The path of a file in a folder; of one whose name differs in case alone where there is none of exactly this name.
pub(crate) fn find(folder: &Path, name: &str) -> PathBuf {
    let exact = folder.join(name);
    if exact.exists() {
        return exact;
    }
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let named =
        entries.filter(|entry| entry.file_name().eq_ignore_ascii_case(name)).map(|entry| entry.path());
    named.min().unwrap_or(exact)
}

/// A file's name without `ending`, which may be in either case.
pub(crate) fn without_ending<'a>(name: &'a str, ending: &str) -> Option<&'a str> {
    let (stem, found) = name.split_at_checked(name.len().checked_sub(ending.len())?)?;
    found.eq_ignore_ascii_case(ending).then_some(stem)
}

/// Whether a name is that of a hidden file. macOS leaves such a file, `._` and the name, beside each file that it copies to
/// other file systems.
pub(crate) fn is_hidden(name: &str) -> bool {
    name.starts_with('.')
}

fn check_regular(metadata: &Metadata) -> io::Result<()> {
    let reason = match (metadata.is_file(), metadata.is_dir()) {
        (true, _) => return Ok(()),
        (_, true) => "it is a folder",
        _ => "it is not a regular file",
    };
    Err(io::Error::new(io::ErrorKind::InvalidInput, reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_up_to_a_length() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "four").unwrap();
        assert_eq!(open(&path).unwrap().1, 4);
        assert_eq!(read_text(&path, 4).unwrap(), "four");
        assert_eq!(
            read(&path, 3).unwrap_err().to_string(),
            "it has more than 3 bytes, the most that are read"
        );
        fs::write(&path, [0xFF]).unwrap();
        assert_eq!(read_text(&path, 4).unwrap_err().to_string(), "it is not UTF-8");
    }

    #[test]
    fn folders_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(open(folder.path()).unwrap_err().to_string(), "it is a folder");
        assert_eq!(open(&folder.path().join("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    #[cfg(unix)]
    fn pipes_and_devices_are_refused_and_links_followed() {
        let folder = tempfile::tempdir().unwrap();
        let [pipe, link] = ["pipe", "link"].map(|name| folder.path().join(name));
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        std::os::unix::fs::symlink(&pipe, &link).unwrap();
        for path in [&pipe, &link, Path::new("/dev/zero")] {
            assert_eq!(read(path, 10).unwrap_err().to_string(), "it is not a regular file");
        }
        fs::remove_file(&pipe).unwrap();
        fs::write(&pipe, "four").unwrap();
        assert_eq!(read(&link, 10).unwrap(), b"four");
    }

    #[test]
    fn names_are_found_in_either_case() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("DATA.H5"), "").unwrap();
        assert!(find(folder.path(), "data.h5").exists());
        assert!(find(folder.path(), "other.h5").ends_with("other.h5"));
        fs::write(folder.path().join("data.h5"), "").unwrap();
        assert!(find(folder.path(), "data.h5").ends_with("data.h5"));
        assert!(find(&folder.path().join("none"), "data.h5").ends_with("none/data.h5"));
    }

    #[test]
    fn endings_are_known_in_either_case() {
        assert_eq!(without_ending("a.b.WAV", ".wav"), Some("a.b"));
        assert_eq!(without_ending(".wav", ".wav"), Some(""));
        for name in ["wav", "", "awav", "ä", "a.wave", "é.wa"] {
            assert_eq!(without_ending(name, ".wav"), None, "{name}");
        }
    }
}
