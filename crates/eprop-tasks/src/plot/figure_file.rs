//! A figure's file, which is written whole or not at all.

use std::fs;
use std::io;
use std::path::Path;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

#[cfg(feature = "png")]
use super::png::png;

/// Writes a figure, as PNG where the path ends so and otherwise as SVG.
pub(super) fn write(path: &Path, svg: &str) -> io::Result<()> {
    match path.extension() {
        Some(extension) if extension.eq_ignore_ascii_case("png") => write_whole(path, &png(svg)?),
        _ => write_whole(path, svg.as_bytes()),
    }
}

#[cfg(not(feature = "png"))]
fn png(_svg: &str) -> io::Result<Vec<u8>> {
    let reason = "for PNG files, eprop-tasks must be built with the feature `png`";
    Err(io::Error::new(io::ErrorKind::Unsupported, reason))
}

/// Writes `content` under a temporary name in the same folder and renames it to `path`.
fn write_whole(path: &Path, content: &[u8]) -> io::Result<()> {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let Some(name) = path.file_name() else {
        let reason = "the path names no file";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
    };
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    let mut temporary_name = std::ffi::OsString::from(".");
    temporary_name.push(name);
    temporary_name.push(format!(".{}-{number}.tmp", process::id()));
    let temporary = path.with_file_name(temporary_name);

    let written = fs::write(&temporary, content).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // The first failure is what the caller must see, whether or not this one succeeds.
        let _ = fs::remove_file(&temporary);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn the_file_is_replaced_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.svg");
        write(&path, "first").unwrap();
        write(&path, "second").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "second");
        assert_eq!(names(folder.path()), ["a.svg"]);
    }

    #[test]
    #[cfg(not(feature = "png"))]
    fn a_path_that_ends_in_png_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let error = write(&folder.path().join("a.PNG"), "content").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Unsupported);
        assert!(error.to_string().contains("feature `png`"), "{error}");
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    #[cfg(feature = "png")]
    fn a_path_that_ends_in_png_gets_pixels_or_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let svg = r#"<svg xmlns="http://www.w3.org/2000/svg" width="40" height="20"/>"#;
        let pixels = png(svg);
        assert_eq!(write(&folder.path().join("a.PNG"), svg).is_ok(), pixels.is_ok());
        if let Ok(pixels) = pixels {
            assert_eq!(fs::read(folder.path().join("a.PNG")).unwrap(), pixels);
        }
        assert!(write(&folder.path().join("b.png"), "no figure").is_err());
        assert!(!folder.path().join("b.png").exists());
    }

    #[test]
    fn a_failure_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let occupied = folder.path().join("a.svg");
        fs::create_dir(&occupied).unwrap();
        assert!(write(&occupied, "content").is_err());
        assert_eq!(names(folder.path()), ["a.svg"]);
        assert!(write(&folder.path().join("none/a.svg"), "content").is_err());
        assert!(write(Path::new("/"), "content").is_err());
    }
}
