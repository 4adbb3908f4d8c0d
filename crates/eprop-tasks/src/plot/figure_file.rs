//! A figure's file, which is written whole or not at all.

use std::fs;
use std::io;
use std::path::Path;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::fontdb::{Database, Family, Query};
use resvg::usvg::{Options, Tree};

/// Pixels of a PNG for each of an SVG, along a side.
const SCALE: f32 = 2.0;

/// Writes a figure, as PNG where the path ends so and otherwise as SVG.
pub(super) fn write(path: &Path, svg: &str) -> io::Result<()> {
    match path.extension() {
        Some(extension) if extension.eq_ignore_ascii_case("png") => write_whole(path, &png(svg)?),
        _ => write_whole(path, svg.as_bytes()),
    }
}

fn png(svg: &str) -> io::Result<Vec<u8>> {
    let mut options = Options::default();
    load_fonts(options.fontdb_mut())?;
    let tree = Tree::from_str(svg, &options).map_err(io::Error::other)?;
    let size = tree.size().to_int_size().scale_by(SCALE);
    let pixels = size.and_then(|size| Pixmap::new(size.width(), size.height()));
    let mut pixels = pixels.ok_or_else(|| io::Error::other("the figure is too large for a PNG"))?;
    resvg::render(&tree, Transform::from_scale(SCALE, SCALE), &mut pixels.as_mut());
    pixels.encode_png().map_err(io::Error::other)
}

/// Figures name no font but `sans-serif`.
fn load_fonts(fonts: &mut Database) -> io::Result<()> {
    fonts.load_system_fonts();
    let query = Query { families: &[Family::SansSerif], ..Query::default() };
    if fonts.query(&query).is_some() {
        return Ok(());
    }
    let names = fonts.faces().flat_map(|face| face.families.first()).map(|(name, _)| name);
    let preferred = names.min_by_key(|name| !name.ends_with("Sans")).cloned();
    let name = preferred.ok_or_else(|| io::Error::other("a PNG needs a font, and none is installed"))?;
    fonts.set_sans_serif_family(name);
    Ok(())
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
    fn a_path_that_ends_in_png_gets_pixels() {
        let folder = tempfile::tempdir().unwrap();
        let svg = r##"<svg xmlns="http://www.w3.org/2000/svg" width="40" height="20">
            <rect width="40" height="20" fill="#fff"/><rect width="20" height="20" fill="#000"/></svg>"##;
        let path = folder.path().join("a.PNG");
        let has_fonts = load_fonts(&mut Database::new()).is_ok();
        let written = write(&path, svg);
        assert_eq!(written.is_ok(), has_fonts, "{written:?}");
        if has_fonts {
            let pixels = Pixmap::load_png(&path).unwrap();
            assert_eq!([pixels.width(), pixels.height()], [80, 40]);
            let red = |x| pixels.pixel(x, 20).unwrap().red();
            assert_eq!([red(20), red(60)], [0, 255]);
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
