//! Paths in a plane.

use std::path::Path;

use super::PlotError;
use super::axis::{Axis, Tick};
use super::canvas::{Align, Canvas, Colour, Font, save};
use super::frame::{Entry, Frame, Header, LINE};
use super::series::{Series, dashes};

/// Side of the square that the data fill.
const SIDE: f64 = 460.0;
const RIGHT_MARGIN: f64 = 24.0;
const TITLE_HEIGHT: f64 = 40.0;
const X_LABEL_HEIGHT: f64 = 48.0;
/// Points beyond this number are thinned to every second, third and so on.
const MAX_POINTS: usize = 2_000;
/// Values beyond this bound are not drawn: a difference of two would overflow.
const BOUND: f64 = 1e300;

impl Series {
    /// A path through points (x, y), shape [time, 2].
    ///
    /// # Panics
    /// If the number of values is odd.
    pub fn path<C: Copy + Into<f64>>(name: impl Into<String>, points: &[C]) -> Self {
        assert!(points.len().is_multiple_of(2), "{} values for points (x, y)", points.len());
        let coordinate = |first: usize| -> Vec<C> { points.iter().skip(first).step_by(2).copied().collect() };
        Self::new(name, &coordinate(0), &coordinate(1))
    }
}

/// Writes an SVG of paths in a plane, both axes to one scale, with a ring where each path starts.
/// Dashed paths, such as targets, are grey and lie under the others.
///
/// ```
/// use eprop_tasks::plot::{Series, trajectory};
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("path.svg");
/// let target = Series::path("target", &[0.5, 0.5, 0.6, 0.4, 0.8, 0.2]).dashed();
/// let arm = Series::path("arm", &[0.5, 0.5, 0.6, 0.5, 0.7, 0.3]);
/// trajectory(&path, "Arm", "x", "y", &[target, arm])?;
/// # Ok::<(), eprop_tasks::plot::PlotError>(())
/// ```
pub fn trajectory(
    path: impl AsRef<Path>,
    title: &str,
    x_label: &str,
    y_label: &str,
    paths: &[Series],
) -> Result<(), PlotError> {
    let axes = axes(paths);
    let ticks = axes.as_ref().map_or((Vec::new(), Vec::new()), |(x, y)| (x.ticks(6), y.ticks(6)));
    let coloured: Vec<(&Series, Colour)> = paths.iter().zip(colours(paths)).collect();
    let header = Header::new("", legend(&coloured), SIDE);
    let distance = label_distance(&ticks.1);
    let left = distance + 16.0;
    let frame = Frame { left, top: TITLE_HEIGHT + header.height(), width: SIDE, height: SIDE };
    let page = (left + SIDE + RIGHT_MARGIN, frame.top + SIDE + X_LABEL_HEIGHT);
    save(path.as_ref(), page, |canvas| {
        let heading = Font::TITLE.fitted(title, SIDE);
        canvas.text(&heading, (left + SIDE / 2.0, 22.0), Font::TITLE, Align::Centre);
        header.draw(canvas, left, TITLE_HEIGHT, SIDE);
        frame.draw_y_label(canvas, &[Font::LABEL.fitted(y_label, SIDE)], distance);
        frame.draw_grid(canvas, &ticks.0, &ticks.1);
        match &axes {
            Some((x, y)) => draw_paths(canvas, &frame, (x, y), &coloured),
            None => frame.draw_notice(canvas, "no data"),
        }
        frame.draw_axes(canvas, &ticks.1);
        frame.draw_x_labels(canvas, &ticks.0, x_label);
        draw_key(canvas, (left + SIDE, frame.top + SIDE + 33.0));
    })
}

/// What the rings mean, to the left of a point.
fn draw_key(canvas: &mut Canvas<'_>, (right, y): (f64, f64)) {
    let text = "start";
    canvas.text(text, (right, y), Font::TICK, Align::Right);
    draw_ring(canvas, (right - Font::TICK.width(text) - 8.0, y), Colour::MUTED);
}

fn draw_ring(canvas: &mut Canvas<'_>, centre: (f64, f64), colour: Colour) {
    canvas.disc(centre, 5.0, colour);
    canvas.disc(centre, 3.0, Colour::PAPER);
}

fn label_distance(y_ticks: &[Tick]) -> f64 {
    let widths = y_ticks.iter().map(|tick| Font::TICK.width(&tick.label));
    widths.fold(20.0, f64::max) + 6.0 + LINE
}

fn is_drawable(&(x, y): &(f64, f64)) -> bool {
    x.abs() < BOUND && y.abs() < BOUND
}

/// Axes of one length around all points; nothing where there is none.
fn axes(paths: &[Series]) -> Option<(Axis, Axis)> {
    let points: Vec<(f64, f64)> =
        paths.iter().flat_map(Series::points).copied().filter(is_drawable).collect();
    let ends = |of: fn(&(f64, f64)) -> f64| {
        let values = points.iter().map(of);
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)))
    };
    let (x, y) = (ends(|point| point.0), ends(|point| point.1));
    let largest = [x.0, x.1, y.0, y.1].into_iter().map(f64::abs).fold(0.0, f64::max);
    let span = (x.1 - x.0).max(y.1 - y.0);
    let half = if span > 1e-9 * largest { 0.55 * span } else { (0.1 * largest).max(0.5) };
    let around = |(low, high): (f64, f64)| {
        let middle = low + (high - low) / 2.0;
        Axis::linear(middle - half, middle + half)
    };
    (!points.is_empty()).then(|| (around(x), around(y)))
}

/// A new colour for every solid path, grey for the dashed ones.
fn colours(paths: &[Series]) -> Vec<Colour> {
    let mut solid = 0;
    let colour = |path: &Series| {
        if path.is_dashed() {
            return Colour::MUTED;
        }
        solid += 1;
        Colour::of_series(solid - 1)
    };
    paths.iter().map(colour).collect()
}

/// The legend, empty for a single path: the title names that one.
fn legend(coloured: &[(&Series, Colour)]) -> Vec<Entry> {
    if coloured.len() < 2 {
        return Vec::new();
    }
    let entry = |&(path, colour): &(&Series, Colour)| Entry {
        name: path.name().to_owned(),
        colour,
        dashed: path.is_dashed(),
    };
    coloured.iter().map(entry).collect()
}

fn draw_paths(canvas: &mut Canvas<'_>, frame: &Frame, axes: (&Axis, &Axis), coloured: &[(&Series, Colour)]) {
    for dashed in [true, false] {
        for (path, colour) in coloured.iter().filter(|(path, _)| path.is_dashed() == dashed) {
            for run in runs(path.points()) {
                let run: Vec<_> = run.iter().filter_map(|&point| frame.project(axes, point)).collect();
                draw_run(canvas, &run, *colour, dashed);
            }
        }
    }
    for (path, colour) in coloured {
        let start = path.points().iter().copied().find(is_drawable);
        if let Some(centre) = start.and_then(|point| frame.project(axes, point)) {
            draw_ring(canvas, centre, *colour);
        }
    }
}

fn draw_run(canvas: &mut Canvas<'_>, run: &[(f64, f64)], colour: Colour, dashed: bool) {
    match run {
        [centre] => canvas.disc(*centre, 2.2, colour),
        _ if dashed => {
            for dash in dashes(run, 6.0, 4.0) {
                canvas.polyline(&dash, colour, 2.0);
            }
        }
        _ => canvas.polyline(run, colour, 1.8),
    }
}

/// The unbroken runs of points that can be drawn, thinned where they are many.
fn runs(points: &[(f64, f64)]) -> Vec<Vec<(f64, f64)>> {
    let stride = points.len().div_ceil(MAX_POINTS).max(1);
    let last = points.len().saturating_sub(1);
    let kept = |run: &[(usize, (f64, f64))]| -> Vec<(f64, f64)> {
        run.iter().filter(|(i, _)| i % stride == 0 || *i == last).map(|&(_, point)| point).collect()
    };
    let numbered: Vec<_> = points.iter().copied().enumerate().collect();
    let split = numbered.split(|(_, point)| !is_drawable(point)).map(kept);
    split.filter(|run| !run.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(paths: &[Series]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("path.svg");
        trajectory(&path, "reach", "x", "y", paths).unwrap();
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn paths_a_legend_and_starts_are_drawn() {
        let circle: Vec<f32> =
            (0..100).map(|t| t as f32 / 20.0).flat_map(|angle| [angle.cos(), angle.sin()]).collect();
        let smaller: Vec<f32> = circle.iter().map(|value| 0.7 * value).collect();
        let svg = drawn(&[Series::path("target", &circle).dashed(), Series::path("after", &smaller)]);
        for text in ["reach", "target", "after", "start"] {
            assert!(svg.contains(text), "{text}");
        }
        assert_eq!(svg.matches("<circle").count(), 6, "two rings and the key");
        assert!(!svg.contains("no data") && !svg.contains("NaN"));
    }

    #[test]
    fn both_axes_have_one_scale() {
        let wide = Series::path("a", &[0.0, 0.0, 10.0, 1.0]);
        let (x, y) = axes(&[wide]).unwrap();
        let length = |axis: &Axis| 1.0 / (axis.place(1.0).unwrap() - axis.place(0.0).unwrap());
        assert!((length(&x) - 11.0).abs() < 1e-9 && (length(&y) - 11.0).abs() < 1e-9);
        assert!((y.place(0.5).unwrap() - 0.5).abs() < 1e-9);
    }

    #[test]
    fn what_cannot_be_drawn_leaves_a_gap() {
        let points = [(0.0, 0.0), (f64::NAN, 1.0), (1.0, 1.0), (2.0, f64::INFINITY)];
        assert_eq!(runs(&points), [vec![(0.0, 0.0)], vec![(1.0, 1.0)]]);
        assert!(drawn(&[]).contains("no data"));
        assert!(drawn(&[Series::path("a", &[f32::NAN, 1.0])]).contains("no data"));
        assert!(!drawn(&[Series::path("a", &[3.0, 3.0])]).contains("no data"));
        let many: Vec<(f64, f64)> = (0..100_001).map(|i| (f64::from(i), 0.0)).collect();
        let thinned = runs(&many);
        assert!(thinned[0].len() <= MAX_POINTS + 1 && thinned[0].last() == Some(&(100_000.0, 0.0)));
    }

    #[test]
    #[should_panic(expected = "3 values for points (x, y)")]
    fn half_a_point_is_refused() {
        Series::path("a", &[1.0, 2.0, 3.0]);
    }
}
