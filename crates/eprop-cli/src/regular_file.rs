//! Files to read: regular ones alone. From a pipe or a device, reading may wait for ever or never end.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::path::Path;

use anyhow::{Context, Result};

/// Most bytes of a text that is read as a whole: settings, statistics, reports.
const MAX_TEXT: u64 = 1 << 24;

/// The content of a regular file, or of the one to which a link leads.
///
/// # Errors
///
/// If it is missing, no regular file, larger than the memory, or the system refuses.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    content(path, u64::MAX).with_context(|| format!("cannot read {}", path.display()))
}

/// The content of a text file.
///
/// # Errors
///
/// As [`read`], and if it is not UTF-8 or has more than 16 MiB.
pub(crate) fn read_text(path: &Path) -> Result<String> {
    let bytes = content(path, MAX_TEXT).with_context(|| format!("cannot read {}", path.display()))?;
    String::from_utf8(bytes).with_context(|| format!("{} is no text", path.display()))
}

/// Number of bytes of a regular file.
///
/// # Errors
///
/// As [`read`].
pub(crate) fn length(path: &Path) -> Result<u64> {
    regular(path).with_context(|| format!("cannot read {}", path.display())).map(|metadata| metadata.len())
}

fn content(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    // Asked first, since opening a pipe waits for someone who writes to it.
    regular(path)?;
    let mut file = File::open(path)?;
    let metadata = file.metadata()?;
    check(&metadata)?;
    if metadata.len() > most {
        return Err(io::Error::other(format!(
            "it has {} bytes, but at most {most} are read",
            metadata.len()
        )));
    }
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(usize::try_from(metadata.len()).unwrap_or(usize::MAX))?;
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn regular(path: &Path) -> io::Result<Metadata> {
    let metadata = fs::metadata(path)?;
    check(&metadata)?;
    Ok(metadata)
}

fn check(metadata: &Metadata) -> io::Result<()> {
    match metadata.is_file() {
        true => Ok(()),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(path: &Path) -> String {
        format!("{:#}", read(path).expect_err("refused"))
    }

    #[test]
    fn what_is_no_text_and_no_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        assert!(reason(&path).starts_with(&format!("cannot read {}: ", path.display())));
        assert!(reason(folder.path()).ends_with("it is not a regular file"));
        fs::write(&path, "text").unwrap();
        assert_eq!((read_text(&path).unwrap(), length(&path).unwrap()), ("text".into(), 4));
        fs::write(&path, [0xff]).unwrap();
        assert!(read_text(&path).unwrap_err().to_string().contains("is no text"));
        File::options().write(true).open(&path).unwrap().set_len(MAX_TEXT + 1).unwrap();
        let error = format!("{:#}", read_text(&path).unwrap_err());
        assert!(error.contains("it has 16777217 bytes"), "{error}");
    }

    #[test]
    #[cfg(unix)]
    fn pipes_and_devices_are_refused_and_links_followed() {
        let folder = tempfile::tempdir().unwrap();
        let [pipe, link] = ["pipe", "link"].map(|name| folder.path().join(name));
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        std::os::unix::fs::symlink(&pipe, &link).unwrap();
        for path in [&pipe, &link, Path::new("/dev/zero")] {
            assert!(reason(path).ends_with("it is not a regular file"));
        }
        fs::remove_file(&pipe).unwrap();
        fs::write(&pipe, "four").unwrap();
        assert_eq!(read(&link).unwrap(), b"four");
    }
}
