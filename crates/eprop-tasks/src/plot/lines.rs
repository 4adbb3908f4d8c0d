//! A panel of lines.

use super::axis::{Axis, Scale};
use super::canvas::{Canvas, Colour};
use super::frame::{Entry, Frame};
use super::series::{Series, dashes, runs};

/// Series with at most this many points show each as a dot.
const DOTTED_POINTS: usize = 40;
/// A dashed line that runs up and down more often than this would be all dashes.
const MAX_DASHED_WIDTHS: f64 = 20.0;

/// A panel of lines over a common y axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Lines {
    title: String,
    y_label: String,
    scale: Scale,
    series: Vec<Series>,
}

impl Lines {
    /// A panel with a linear y axis; `y_label` names the quantity and its unit.
    pub fn new(title: impl Into<String>, y_label: impl Into<String>, series: Vec<Series>) -> Self {
        Self { title: title.into(), y_label: y_label.into(), scale: Scale::Linear, series }
    }

    /// An output as a solid line over its target as a dashed one, both at 0, `step`, 2 `step` and
    /// so on.
    pub fn output_and_target<Y: Copy + Into<f64>>(
        title: impl Into<String>,
        y_label: impl Into<String>,
        step: f64,
        output: &[Y],
        target: &[Y],
    ) -> Self {
        let output = Series::sampled("output", step, output);
        let target = Series::sampled("target", step, target).dashed();
        Self::new(title, y_label, vec![output, target])
    }

    /// The same panel with another scale of its y axis.
    pub fn with_scale(mut self, scale: Scale) -> Self {
        self.scale = scale;
        self
    }

    pub(super) fn title(&self) -> &str {
        &self.title
    }

    pub(super) fn y_label(&self) -> &str {
        &self.y_label
    }

    /// Every x at which there is something to draw.
    pub(super) fn x_values(&self) -> impl Iterator<Item = f64> {
        self.series.iter().flat_map(Series::points).filter(|(_, y)| y.is_finite()).map(|&(x, _)| x)
    }

    pub(super) fn y_axis(&self) -> Option<Axis> {
        let bands = self.series.iter().filter_map(Series::band).flatten().flatten();
        let points = self.series.iter().flat_map(Series::points).chain(bands).filter(|(x, _)| x.is_finite());
        Axis::over(points.map(|&(_, y)| y), self.scale, 0.05)
    }

    /// The legend, empty for a single series: the title names that one.
    pub(super) fn legend(&self) -> Vec<Entry> {
        if self.series.len() < 2 {
            return Vec::new();
        }
        let coloured = self.series.iter().zip(self.colours());
        coloured
            .map(|(series, colour)| Entry {
                name: series.name().to_owned(),
                colour,
                dashed: series.is_dashed(),
            })
            .collect()
    }

    /// A new colour for every solid series, a lighter one of the same for a dashed series after it.
    fn colours(&self) -> Vec<Colour> {
        let mut solid = 0;
        let colour = |series: &Series| {
            if series.is_dashed() {
                return Colour::of_series(solid.max(1) - 1).mixed(Colour::PAPER, 0.4);
            }
            solid += 1;
            Colour::of_series(solid - 1)
        };
        self.series.iter().map(colour).collect()
    }

    pub(super) fn draw(&self, canvas: &mut Canvas<'_>, frame: &Frame, axes: (&Axis, &Axis)) {
        let coloured: Vec<_> = self.series.iter().zip(self.colours()).collect();
        for (series, colour) in &coloured {
            if let Some([low, high]) = series.band() {
                let edge = |points| runs(points, |point| frame.project(axes, point)).concat();
                let (low, mut high): (Vec<_>, Vec<_>) = (edge(low), edge(high));
                high.reverse();
                canvas.area(&[low, high].concat(), *colour);
            }
        }
        // Targets lie under the outputs that should meet them.
        for dashed in [true, false] {
            for (series, colour) in coloured.iter().filter(|(s, _)| s.is_dashed() == dashed) {
                for run in runs(series.points(), |point| frame.project(axes, point)) {
                    draw_run(canvas, &run, series, *colour, frame.width);
                }
            }
        }
    }
}

fn draw_run(canvas: &mut Canvas<'_>, run: &[(f64, f64)], series: &Series, colour: Colour, width: f64) {
    if run.len() == 1 || (!series.is_dashed() && series.points().len() <= DOTTED_POINTS) {
        run.iter().for_each(|&centre| canvas.disc(centre, 2.2, colour));
    }
    let length: f64 = run.windows(2).map(|p| (p[1].0 - p[0].0).hypot(p[1].1 - p[0].1)).sum();
    if series.is_dashed() && length <= MAX_DASHED_WIDTHS * width {
        for dash in dashes(run, 6.0, 4.0) {
            canvas.polyline(&dash, colour, 2.0);
        }
    } else if run.len() > 1 {
        canvas.polyline(run, colour, 1.5);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_has_the_hue_of_its_output() {
        let series = |name: &str| Series::sampled(name, 1.0, &[0.0, 1.0]);
        let lines =
            Lines::new("", "", vec![series("a"), series("a*").dashed(), series("b"), series("b*").dashed()]);
        let colours = lines.colours();
        assert_eq!(colours[0], Colour::of_series(0));
        assert_eq!(colours[1], Colour::of_series(0).mixed(Colour::PAPER, 0.4));
        assert_eq!(colours[2], Colour::of_series(1));
        assert_eq!(colours[3], Colour::of_series(1).mixed(Colour::PAPER, 0.4));
    }

    #[test]
    fn ranges_come_from_what_can_be_drawn() {
        let points = Series::new("a", &[0.0, 1.0, f64::NAN], &[2.0, f64::NAN, 1e9]);
        let lines = Lines::new("", "", vec![points]);
        assert_eq!(lines.x_values().filter(|x| x.is_finite()).collect::<Vec<_>>(), [0.0]);
        let place = lines.y_axis().unwrap().place(2.0).unwrap();
        assert!((place - 0.5).abs() < 1e-9, "{place}");
        assert!(Lines::new("", "", Vec::new()).y_axis().is_none());
    }

    #[test]
    fn a_single_series_needs_no_legend() {
        let one = Lines::new("", "", vec![Series::sampled("a", 1.0, &[0.0])]);
        assert!(one.legend().is_empty());
        let two = Lines::output_and_target("", "", 1.0, &[0.0], &[1.0]);
        assert_eq!(two.legend().len(), 2);
    }
}
