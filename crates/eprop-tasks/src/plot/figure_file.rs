//! A figure's file, which is written whole or not at all.

use std::io;
use std::path::Path;

#[cfg(feature = "png")]
use super::png::png;
use crate::whole_file;

/// Writes a figure, as PNG where the path ends so and otherwise as SVG.
pub(super) fn write(path: &Path, svg: &str) -> io::Result<()> {
    match path.extension() {
        Some(extension) if extension.eq_ignore_ascii_case("png") => whole_file::write(path, &png(svg)?),
        _ => whole_file::write(path, svg.as_bytes()),
    }
}

#[cfg(not(feature = "png"))]
fn png(_svg: &str) -> io::Result<Vec<u8>> {
    let reason = "for PNG files, eprop-tasks must be built with the feature `png`";
    Err(io::Error::new(io::ErrorKind::Unsupported, reason))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    #[cfg(not(feature = "png"))]
    fn a_path_that_ends_in_png_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let error = write(&folder.path().join("a.PNG"), "content").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Unsupported);
        assert!(error.to_string().contains("feature `png`"), "{error}");
        assert!(fs::read_dir(folder.path()).unwrap().next().is_none());
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
}
