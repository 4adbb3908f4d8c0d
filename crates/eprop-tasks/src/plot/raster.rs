//! A panel of spikes.

use super::axis::Axis;
use super::canvas::{Canvas, Colour};
use super::frame::Frame;

/// Beyond this many marks neighbouring spikes are merged more coarsely, to bound the file's size.
const MAX_MARKS: usize = 20_000;

/// A raster of spikes: time to the right, units upwards.
#[derive(Debug, Clone, PartialEq)]
pub struct Raster {
    title: String,
    y_label: String,
    unit_count: u32,
    span: (f64, f64),
    spikes: Vec<(f64, u32)>,
}

impl Raster {
    /// Spikes as (time, unit) of `unit_count` units over the times `span`.
    ///
    /// # Panics
    /// If a unit is not below `unit_count`.
    pub fn new(
        title: impl Into<String>,
        y_label: impl Into<String>,
        unit_count: u32,
        span: (f64, f64),
        spikes: &[(f64, u32)],
    ) -> Self {
        for &(_, unit) in spikes {
            assert!(unit < unit_count, "spike of unit {unit} among {unit_count} units");
        }
        Self { title: title.into(), y_label: y_label.into(), unit_count, span, spikes: spikes.to_vec() }
    }

    /// Spikes as values above 0, shape [time, unit], one row every `dt`.
    ///
    /// # Panics
    /// If `unit_count` is 0 or the length no multiple of it.
    pub fn from_steps(
        title: impl Into<String>,
        y_label: impl Into<String>,
        dt: f64,
        steps: &[f32],
        unit_count: u32,
    ) -> Self {
        let units = unit_count as usize;
        assert!(
            units > 0 && steps.len().is_multiple_of(units),
            "{} values for {unit_count} units",
            steps.len()
        );
        let fired = steps.iter().enumerate().filter(|&(_, &z)| z > 0.0);
        let spikes: Vec<(f64, u32)> =
            fired.map(|(i, _)| ((i / units) as f64 * dt, (i % units) as u32)).collect();
        let span = (0.0, (steps.len() / units) as f64 * dt);
        Self::new(title, y_label, unit_count, span, &spikes)
    }

    pub(super) fn title(&self) -> &str {
        &self.title
    }

    pub(super) fn y_label(&self) -> &str {
        &self.y_label
    }

    pub(super) fn unit_count(&self) -> u32 {
        self.unit_count
    }

    pub(super) fn is_silent(&self) -> bool {
        self.spikes.is_empty()
    }

    pub(super) fn x_values(&self) -> impl Iterator<Item = f64> {
        let times = self.spikes.iter().map(|&(time, _)| time);
        times.chain([self.span.0, self.span.1])
    }

    /// The axis over the units; nothing where there are none.
    pub(super) fn y_axis(&self) -> Option<Axis> {
        (self.unit_count > 0).then(|| Axis::linear(0.0, f64::from(self.unit_count)))
    }

    pub(super) fn draw(&self, canvas: &mut Canvas<'_>, frame: &Frame, axes: (&Axis, &Axis)) {
        let row = (frame.height / f64::from(self.unit_count)).max(1.5);
        let places: Vec<(f64, f64)> = self
            .spikes
            .iter()
            .filter_map(|&(time, unit)| frame.project(axes, (time, f64::from(unit) + 0.5)))
            .collect();
        let mut column = 1.4;
        let mut marks = merged(&places, frame, column, row);
        while marks.len() > MAX_MARKS && column < frame.width {
            column *= 2.0;
            marks = merged(&places, frame, column, row);
        }
        let thickness = (0.8 * row).clamp(1.4, 8.0);
        for (x, y, columns) in marks {
            let corner = (x, y - thickness / 2.0);
            canvas.rect(corner, (f64::from(columns) * column, thickness), Colour::INK);
        }
    }
}

/// Spikes that fall into neighbouring cells of one row as one mark: its left edge, the centre of its
/// row and its length in cells.
fn merged(places: &[(f64, f64)], frame: &Frame, column: f64, row: f64) -> Vec<(f64, f64, u32)> {
    let mut cells: Vec<(i64, i64)> = places
        .iter()
        .map(|&(x, y)| (((y - frame.top) / row) as i64, ((x - frame.left) / column) as i64))
        .collect();
    cells.sort_unstable();
    cells.dedup();
    cells
        .chunk_by(|a, b| a.0 == b.0 && a.1 + 1 == b.1)
        .map(|run| {
            let (y, x) = run[0];
            let left = frame.left + x as f64 * column;
            (left, frame.top + (y as f64 + 0.5) * row, run.len() as u32)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: Frame = Frame { left: 100.0, top: 50.0, width: 800.0, height: 100.0 };

    #[test]
    fn steps_become_times_and_units() {
        let raster = Raster::from_steps("", "", 2.0, &[0.0, 1.0, 0.0, 0.0, 1.0, 0.0], 2);
        assert_eq!(raster.spikes, [(0.0, 1), (4.0, 0)]);
        assert_eq!(raster.span, (0.0, 6.0));
    }

    #[test]
    #[should_panic(expected = "spike of unit 3 among 3 units")]
    fn a_unit_out_of_range_panics() {
        Raster::new("", "", 3, (0.0, 1.0), &[(0.5, 3)]);
    }

    #[test]
    fn neighbours_merge_within_a_row_only() {
        let places = [(100.1, 60.0), (101.1, 60.0), (105.1, 60.0), (101.1, 70.0)];
        let marks = merged(&places, &FRAME, 1.0, 10.0);
        assert_eq!(marks, [(100.0, 65.0, 2), (105.0, 65.0, 1), (101.0, 75.0, 1)]);
    }

    #[test]
    fn a_crowded_raster_stays_small() {
        let spikes: Vec<(f64, u32)> =
            (0..400_000).map(|i| (f64::from(i % 4_001), i as u32 * 7 % 1_000)).collect();
        let raster = Raster::new("", "", 1_000, (0.0, 4_001.0), &spikes);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("crowded.svg");
        super::super::canvas::save(&path, (1_000.0, 200.0), |canvas| {
            let axes = (&Axis::linear(0.0, 4_001.0), &raster.y_axis().unwrap());
            raster.draw(canvas, &FRAME, axes);
        })
        .unwrap();
        assert!(std::fs::metadata(&path).unwrap().len() < 4_000_000);
    }
}
