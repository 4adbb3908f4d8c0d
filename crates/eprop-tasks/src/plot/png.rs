//! Figures as pixels.

use std::io;

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::fontdb::{Database, Family, Query};
use resvg::usvg::{Options, Tree};

/// Pixels of a PNG for each of an SVG, along a side.
const SCALE: f32 = 2.0;

/// An SVG as the bytes of a PNG file.
pub(super) fn png(svg: &str) -> io::Result<Vec<u8>> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_svg_becomes_pixels_of_twice_its_size() {
        let svg = r##"<svg xmlns="http://www.w3.org/2000/svg" width="40" height="20">
            <rect width="40" height="20" fill="#fff"/><rect width="20" height="20" fill="#000"/></svg>"##;
        let has_fonts = load_fonts(&mut Database::new()).is_ok();
        let file = png(svg);
        assert_eq!(file.is_ok(), has_fonts, "{file:?}");
        if let Ok(file) = file {
            let pixels = Pixmap::decode_png(&file).unwrap();
            assert_eq!([pixels.width(), pixels.height()], [80, 40]);
            let red = |x| pixels.pixel(x, 20).unwrap().red();
            assert_eq!([red(20), red(60)], [0, 255]);
        }
        assert!(png("no figure").is_err());
    }
}
