//! Panels stacked over one x axis.

use std::path::Path;

use super::PlotError;
use super::axis::{Axis, Scale, Tick};
use super::canvas::{Align, Canvas, Font, save};
use super::frame::{Entry, Frame, Header, LINE, label_lines};
use super::lines::Lines;
use super::raster::Raster;

const WIDTH: f64 = 900.0;
const RIGHT_MARGIN: f64 = 24.0;
const TITLE_HEIGHT: f64 = 40.0;
const PANEL_GAP: f64 = 14.0;
const X_LABEL_HEIGHT: f64 = 48.0;

/// One panel of a [`figure()`].
#[derive(Debug, Clone, PartialEq)]
pub enum Panel {
    /// Spikes.
    Raster(Raster),
    /// Lines.
    Lines(Lines),
}

/// Writes an SVG of `panels` from top to bottom over one x axis; `x_label` names its quantity and
/// unit.
pub fn figure(path: impl AsRef<Path>, title: &str, x_label: &str, panels: &[Panel]) -> Result<(), PlotError> {
    let sized: Vec<(&Panel, f64)> = panels.iter().map(|panel| (panel, panel.height())).collect();
    stacked(path.as_ref(), title, x_label, &sized)
}

/// As [`figure()`], with the height of every panel's frame.
pub(super) fn stacked(
    path: &Path,
    title: &str,
    x_label: &str,
    panels: &[(&Panel, f64)],
) -> Result<(), PlotError> {
    let x_values = panels.iter().flat_map(|(panel, _)| panel.x_values());
    let x_axis = Axis::over(x_values, Scale::Linear, 0.0);
    let x_ticks = x_axis.as_ref().map_or(Vec::new(), |axis| axis.ticks(8));
    let (placed, bottom) = place(panels);
    save(path, (WIDTH, bottom + X_LABEL_HEIGHT), |canvas| {
        let heading = Font::TITLE.fitted(title, WIDTH - 2.0 * RIGHT_MARGIN);
        canvas.text(&heading, (WIDTH / 2.0, 22.0), Font::TITLE, Align::Centre);
        for panel in &placed {
            panel.draw(canvas, x_axis.as_ref(), &x_ticks);
        }
        if let Some(last) = placed.last() {
            last.frame.draw_x_labels(canvas, &x_ticks, x_label);
        }
    })
}

impl Panel {
    fn height(&self) -> f64 {
        match self {
            Self::Raster(raster) => (1.6 * f64::from(raster.unit_count())).clamp(60.0, 190.0),
            Self::Lines(_) => 110.0,
        }
    }

    fn title(&self) -> &str {
        match self {
            Self::Raster(raster) => raster.title(),
            Self::Lines(lines) => lines.title(),
        }
    }

    fn y_label(&self) -> &str {
        match self {
            Self::Raster(raster) => raster.y_label(),
            Self::Lines(lines) => lines.y_label(),
        }
    }

    fn legend(&self) -> Vec<Entry> {
        match self {
            Self::Raster(_) => Vec::new(),
            Self::Lines(lines) => lines.legend(),
        }
    }

    fn x_values(&self) -> Box<dyn Iterator<Item = f64> + '_> {
        match self {
            Self::Raster(raster) => Box::new(raster.x_values()),
            Self::Lines(lines) => Box::new(lines.x_values()),
        }
    }

    fn y_axis(&self) -> Option<Axis> {
        match self {
            Self::Raster(raster) => raster.y_axis(),
            Self::Lines(lines) => lines.y_axis(),
        }
    }
}

/// A panel with its place on the page.
struct Placed<'a> {
    panel: &'a Panel,
    header: Header,
    top: f64,
    frame: Frame,
    y_axis: Option<Axis>,
    y_ticks: Vec<Tick>,
    y_label: Vec<String>,
    label_distance: f64,
}

/// Places the panels one under another, their frames aligned; gives the lower end of the last.
fn place<'a>(panels: &[(&'a Panel, f64)]) -> (Vec<Placed<'a>>, f64) {
    let axes: Vec<(Option<Axis>, Vec<Tick>)> = panels
        .iter()
        .map(|(panel, height)| {
            let axis = panel.y_axis();
            let wanted = (height / 28.0).clamp(2.0, 8.0) as usize;
            let ticks = axis.as_ref().map_or(Vec::new(), |axis| axis.ticks(wanted));
            (axis, ticks)
        })
        .collect();
    let tick_labels = axes.iter().flat_map(|(_, ticks)| ticks).map(|tick| Font::TICK.width(&tick.label));
    let y_labels: Vec<Vec<String>> =
        panels.iter().map(|(panel, height)| label_lines(panel.y_label(), *height)).collect();
    let label_rows = y_labels.iter().map(Vec::len).max().unwrap_or(1);
    let label_distance = tick_labels.fold(20.0, f64::max) + 6.0 + LINE * label_rows as f64;
    let left = label_distance + 16.0;
    let width = WIDTH - RIGHT_MARGIN - left;

    let mut top = TITLE_HEIGHT;
    let mut placed = Vec::new();
    for ((&(panel, height), (y_axis, y_ticks)), y_label) in panels.iter().zip(axes).zip(y_labels) {
        let header = Header::new(panel.title(), panel.legend(), width);
        let frame = Frame { left, top: top + header.height(), width, height };
        let next = frame.top + height + PANEL_GAP;
        placed.push(Placed { panel, header, top, frame, y_axis, y_ticks, y_label, label_distance });
        top = next;
    }
    (placed, top - PANEL_GAP)
}

impl Placed<'_> {
    fn draw(&self, canvas: &mut Canvas<'_>, x_axis: Option<&Axis>, x_ticks: &[Tick]) {
        let frame = &self.frame;
        self.header.draw(canvas, frame.left, self.top, frame.width);
        frame.draw_y_label(canvas, &self.y_label, self.label_distance);
        frame.draw_grid(canvas, x_ticks, &self.y_ticks);
        match (x_axis, &self.y_axis, self.panel) {
            (Some(_), Some(_), Panel::Raster(raster)) if raster.is_silent() => {
                frame.draw_notice(canvas, "no spikes");
            }
            (Some(x), Some(y), Panel::Raster(raster)) => raster.draw(canvas, frame, (x, y)),
            (Some(x), Some(y), Panel::Lines(lines)) => lines.draw(canvas, frame, (x, y)),
            _ => frame.draw_notice(canvas, "no data"),
        }
        frame.draw_axes(canvas, &self.y_ticks);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Series;
    use super::*;
    use std::fs;

    fn drawn(panels: &[Panel]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("figure.svg");
        figure(&path, "title", "time (ms)", panels).unwrap();
        fs::read_to_string(path).unwrap()
    }

    /// Every opened element is closed, and nothing follows the last.
    fn assert_well_formed(svg: &str) {
        let mut open = Vec::new();
        for tag in svg.split('<').skip(1).map(|rest| rest.split('>').next().unwrap()) {
            if let Some(name) = tag.strip_prefix('/') {
                assert_eq!(open.pop(), Some(name));
            } else if !tag.ends_with('/') {
                open.push(tag.split_whitespace().next().unwrap());
            }
        }
        assert!(open.is_empty(), "{open:?}");
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
    }

    #[test]
    fn panels_are_drawn_over_one_axis() {
        let raster = Raster::new("inputs", "input", 3, (0.0, 1_000.0), &[(10.0, 0), (500.0, 2)]);
        let target: Vec<f32> = (0..1_000).map(|t| (t as f32 / 50.0).sin()).collect();
        let lines = Lines::output_and_target("output & target", "y", 1.0, &target, &target);
        let svg = drawn(&[Panel::Raster(raster), Panel::Lines(lines)]);
        assert_well_formed(&svg);
        for text in ["title", "inputs", "output &amp; target", "time (ms)", "1000"] {
            assert!(svg.contains(text), "{text}");
        }
        assert!(!svg.contains("no data"));
    }

    #[test]
    fn without_values_it_says_so() {
        let nothing = [f32::NAN, f32::INFINITY];
        let panels = [
            Panel::Lines(Lines::new("a", "y", Vec::new())),
            Panel::Lines(Lines::new("b", "y", vec![Series::sampled("b", 1.0, &nothing)])),
            Panel::Raster(Raster::new("c", "unit", 0, (0.0, 0.0), &[])),
        ];
        let svg = drawn(&panels);
        assert_well_formed(&svg);
        assert_eq!(svg.matches("no data").count(), 3);
        let silent = Raster::new("", "neuron", 5, (0.0, 1.0), &[]);
        assert!(drawn(&[Panel::Raster(silent)]).contains("no spikes"));
        assert_well_formed(&drawn(&[]));
    }

    #[test]
    fn values_that_are_no_numbers_leave_a_gap() {
        let values = [1.0, 2.0, f64::NAN, 4.0, 5.0];
        let svg = drawn(&[Panel::Lines(Lines::new("a", "y", vec![Series::sampled("a", 1.0, &values)]))]);
        assert_well_formed(&svg);
        assert_eq!(svg.matches("<polyline").count(), 2);
    }

    #[test]
    fn a_long_series_makes_a_small_file() {
        let values: Vec<f32> = (0..1_000_000).map(|i| (i as f32 * 0.37).sin()).collect();
        let svg = drawn(&[Panel::Lines(Lines::output_and_target("a", "y", 1.0, &values, &values))]);
        assert!(svg.len() < 200_000, "{} bytes", svg.len());
    }

    #[test]
    fn a_folder_that_is_missing_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("missing/figure.svg");
        let message = figure(&path, "", "", &[]).unwrap_err().to_string();
        assert!(message.contains("missing/figure.svg: the figure cannot be written"), "{message}");
        assert!(fs::read_dir(folder.path()).unwrap().next().is_none());
    }
}
