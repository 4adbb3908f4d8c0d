//! Lines, marks and text on a white page. The only file that names the drawing library.

use std::fmt::Display;
use std::io;
use std::path::Path;

use plotters::backend::{DrawingBackend, SVGBackend};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontDesc, FontFamily, FontStyle, FontTransform, RGBAColor, ShapeStyle, TextStyle};

use super::{PlotError, figure_file};

/// Drawing units per pixel: the library rounds to whole units, which is too coarse for thin lines.
const UNITS: f64 = 10.0;

/// The library divides a font's size by this before it writes it.
const FONT_FACTOR: f64 = 1.24;

/// A colour by its red, green and blue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Colour(pub(super) u8, pub(super) u8, pub(super) u8);

impl Colour {
    pub(super) const PAPER: Self = Self(255, 255, 255);
    pub(super) const INK: Self = Self(34, 34, 34);
    pub(super) const MUTED: Self = Self(102, 102, 102);
    pub(super) const GRID: Self = Self(230, 230, 230);
    pub(super) const BLUE: Self = Self(0, 114, 178);

    /// Okabe and Ito's colours but yellow, which vanishes on white, and one that is darker than all of them.
    const SERIES: [Self; 8] = [
        Self::BLUE,
        Self(213, 94, 0),
        Self(0, 158, 115),
        Self(204, 121, 167),
        Self(86, 180, 233),
        Self(230, 159, 0),
        Self(85, 85, 85),
        Self(64, 0, 96),
    ];

    /// The colour of series number `index`.
    pub(super) fn of_series(index: usize) -> Self {
        Self::SERIES[index % Self::SERIES.len()]
    }

    /// The mixture with a share of `other` from 0 to 1.
    pub(super) fn mixed(self, other: Self, share: f64) -> Self {
        let mix = |a: u8, b: u8| (f64::from(a) * (1.0 - share) + f64::from(b) * share) as u8;
        Self(mix(self.0, other.0), mix(self.1, other.1), mix(self.2, other.2))
    }

    fn with_library(self) -> RGBAColor {
        RGBAColor(self.0, self.1, self.2, 1.0)
    }
}

/// Where a text lies relative to its point; vertically it is always centred on it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Align {
    Left,
    Centre,
    Right,
}

/// How a text looks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Font {
    pub(super) size: f64,
    pub(super) colour: Colour,
    pub(super) bold: bool,
}

impl Font {
    pub(super) const TITLE: Self = Self::new(16.0, Colour::INK, true);
    pub(super) const HEADING: Self = Self::new(12.5, Colour::INK, true);
    pub(super) const LABEL: Self = Self::new(12.0, Colour::INK, false);
    pub(super) const NOTICE: Self = Self::new(13.0, Colour::MUTED, false);
    pub(super) const TICK: Self = Self::new(11.0, Colour::MUTED, false);

    pub(super) const fn new(size: f64, colour: Colour, bold: bool) -> Self {
        Self { size, colour, bold }
    }

    /// Width of a text in pixels, on the safe side for common sans-serif fonts.
    pub(super) fn width(&self, text: &str) -> f64 {
        let em = if self.bold { 0.66 } else { 0.6 };
        text.chars().count() as f64 * em * self.size
    }

    /// The text, cut to `width` pixels with an ellipsis.
    pub(super) fn fitted(&self, text: &str, width: f64) -> String {
        let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        if self.width(&text) <= width {
            return text;
        }
        let kept = (width / self.width("x")) as usize;
        text.chars().take(kept.saturating_sub(1)).chain(['…']).collect()
    }
}

/// A white page; all coordinates are pixels from its upper left corner.
pub(super) struct Canvas<'a> {
    backend: SVGBackend<'a>,
    failure: Option<String>,
}

/// Draws a page of `width` × `height` pixels and writes it to `path`.
pub(super) fn save(
    path: &Path,
    (width, height): (f64, f64),
    draw: impl FnOnce(&mut Canvas<'_>),
) -> Result<(), PlotError> {
    render((width.ceil(), height.ceil()), draw)
        .map_err(io::Error::other)
        .and_then(|svg| figure_file::write(path, &svg))
        .map_err(|reason| PlotError { path: path.into(), reason })
}

fn render((width, height): (f64, f64), draw: impl FnOnce(&mut Canvas<'_>)) -> Result<String, String> {
    let mut svg = String::new();
    let units = (units(width) as u32, units(height) as u32);
    let mut canvas = Canvas { backend: SVGBackend::with_string(&mut svg, units), failure: None };
    canvas.rect((0.0, 0.0), (width, height), Colour::PAPER);
    draw(&mut canvas);
    let presented = canvas.backend.present();
    canvas.keep(presented);
    if let Some(failure) = canvas.failure.take() {
        return Err(failure);
    }
    drop(canvas);
    // Shown at its size in pixels, while the view box keeps the fine units.
    let shown = format!("width=\"{width}\" height=\"{height}\"");
    Ok(svg.replacen(&format!("width=\"{}\" height=\"{}\"", units.0, units.1), &shown, 1))
}

fn units(pixels: f64) -> i32 {
    (pixels * UNITS).round() as i32
}

fn point((x, y): (f64, f64)) -> (i32, i32) {
    (units(x), units(y))
}

fn stroke(colour: Colour, width: f64) -> ShapeStyle {
    ShapeStyle { color: colour.with_library(), filled: false, stroke_width: units(width) as u32 }
}

impl Canvas<'_> {
    pub(super) fn line(&mut self, from: (f64, f64), to: (f64, f64), colour: Colour, width: f64) {
        let style = stroke(colour, width);
        let drawn = self.backend.draw_line(point(from), point(to), &style);
        self.keep(drawn);
    }

    pub(super) fn polyline(&mut self, points: &[(f64, f64)], colour: Colour, width: f64) {
        let style = stroke(colour, width);
        let drawn = self.backend.draw_path(points.iter().copied().map(point), &style);
        self.keep(drawn);
    }

    /// A filled rectangle with its upper left corner at `corner`.
    pub(super) fn rect(&mut self, corner: (f64, f64), size: (f64, f64), colour: Colour) {
        let opposite = (corner.0 + size.0, corner.1 + size.1);
        let style = stroke(colour, 0.0);
        let drawn = self.backend.draw_rect(point(corner), point(opposite), &style, true);
        self.keep(drawn);
    }

    /// A filled polygon through which what lies under it can be seen.
    pub(super) fn area(&mut self, corners: &[(f64, f64)], colour: Colour) {
        let style = RGBAColor(colour.0, colour.1, colour.2, 0.18);
        let drawn = self.backend.fill_polygon(corners.iter().copied().map(point), &style);
        self.keep(drawn);
    }

    /// A filled circle.
    pub(super) fn disc(&mut self, centre: (f64, f64), radius: f64, colour: Colour) {
        let style = stroke(colour, 0.0);
        let radius = units(radius) as u32;
        let drawn = self.backend.draw_circle(point(centre), radius, &style, true);
        self.keep(drawn);
    }

    pub(super) fn text(&mut self, text: &str, at: (f64, f64), font: Font, align: Align) {
        self.draw_text(text, at, font, align, FontTransform::None);
    }

    /// A text that reads upwards: `Left` is its lower end.
    pub(super) fn upward_text(&mut self, text: &str, at: (f64, f64), font: Font, align: Align) {
        self.draw_text(text, at, font, align, FontTransform::Rotate270);
    }

    fn draw_text(&mut self, text: &str, at: (f64, f64), font: Font, align: Align, transform: FontTransform) {
        let weight = if font.bold { FontStyle::Bold } else { FontStyle::Normal };
        let size = font.size * UNITS * FONT_FACTOR;
        let horizontal = match align {
            Align::Left => HPos::Left,
            Align::Centre => HPos::Center,
            Align::Right => HPos::Right,
        };
        let colour = font.colour.with_library();
        let style = TextStyle::from(FontDesc::new(FontFamily::SansSerif, size, weight))
            .color(&colour)
            .pos(Pos::new(horizontal, VPos::Center))
            .transform(transform);
        let drawn = self.backend.draw_text(text, &style, point(at));
        self.keep(drawn);
    }

    /// Keeps the first failure for the end of the drawing.
    fn keep<E: Display>(&mut self, drawn: Result<(), E>) {
        if let Err(error) = drawn {
            self.failure.get_or_insert_with(|| error.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_its_size_in_pixels_and_fine_units_inside() {
        let svg = render((300.0, 200.0), |canvas| {
            canvas.polyline(&[(1.05, 2.0), (3.0, 4.0)], Colour::BLUE, 1.5);
        })
        .unwrap();
        let head = svg.lines().next().unwrap();
        assert!(head.contains("width=\"300\" height=\"200\" viewBox=\"0 0 3000 2000\""), "{head}");
        assert!(svg.contains("11,20 30,40"), "{svg}");
        assert!(svg.trim_end().ends_with("</svg>"));
    }

    #[test]
    fn text_is_escaped_and_cut() {
        let svg = render((100.0, 50.0), |canvas| {
            canvas.text("a < b & c", (0.0, 0.0), Font::LABEL, Align::Left);
        })
        .unwrap();
        assert!(svg.contains("a &lt; b &amp; c"), "{svg}");
        assert_eq!(Font::LABEL.fitted("short\n", 100.0), "short ");
        let cut = Font::LABEL.fitted("a text that is far too long", 72.0);
        assert_eq!(cut, "a text th…");
    }

    #[test]
    fn colours_mix() {
        assert_eq!(Colour::PAPER.mixed(Colour(0, 55, 155), 0.5), Colour(127, 155, 205));
    }
}
