//! Named series of points.

/// Stretches into which a long series is cut; each is drawn by its extremes.
const STRETCHES: usize = 1_000;

/// A named series of points.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    name: String,
    points: Vec<(f64, f64)>,
    dashed: bool,
    /// The lower and the upper edge of a band around the points.
    band: Option<[Vec<(f64, f64)>; 2]>,
}

impl Series {
    /// The points (x, y).
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn new<X, Y>(name: impl Into<String>, x: &[X], y: &[Y]) -> Self
    where
        X: Copy + Into<f64>,
        Y: Copy + Into<f64>,
    {
        assert_eq!(x.len(), y.len(), "values of x and of y");
        let points = x.iter().zip(y).map(|(&x, &y)| (x.into(), y.into()));
        Self { name: name.into(), points: points.collect(), dashed: false, band: None }
    }

    /// Values at x = 0, `step`, 2 `step` and so on.
    pub fn sampled<Y: Copy + Into<f64>>(name: impl Into<String>, step: f64, y: &[Y]) -> Self {
        let x: Vec<f64> = (0..y.len()).map(|i| i as f64 * step).collect();
        Self::new(name, &x, y)
    }

    /// Drawn dashed and lighter, in the colour of the series before it: a target.
    pub fn dashed(mut self) -> Self {
        self.dashed = true;
        self
    }

    /// With a band around the points from `low` to `high`, such as quartiles around a median.
    ///
    /// # Panics
    /// If the band does not have as many values as there are points.
    pub fn with_band<Y: Copy + Into<f64>>(mut self, low: &[Y], high: &[Y]) -> Self {
        let edge = |values: &[Y]| -> Vec<(f64, f64)> {
            assert_eq!(values.len(), self.points.len(), "values of a band's edge, and points");
            self.points.iter().zip(values).map(|(&(x, _), &y)| (x, y.into())).collect()
        };
        self.band = Some([edge(low), edge(high)]);
        self
    }

    pub(super) fn band(&self) -> Option<&[Vec<(f64, f64)>; 2]> {
        self.band.as_ref()
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn points(&self) -> &[(f64, f64)] {
        &self.points
    }

    pub(super) fn is_dashed(&self) -> bool {
        self.dashed
    }
}

/// The drawable points of a series as unbroken runs, `project` giving nothing for a gap. Of a series
/// longer than twice [`STRETCHES`] only the lowest and the highest point of each stretch remain.
pub(super) fn runs(
    points: &[(f64, f64)],
    project: impl Fn((f64, f64)) -> Option<(f64, f64)>,
) -> Vec<Vec<(f64, f64)>> {
    let long = points.len() > 2 * STRETCHES;
    let stretch = if long { points.len().div_ceil(STRETCHES) } else { 1 };
    let mut runs = vec![Vec::new()];
    for part in points.chunks(stretch) {
        let mut extremes: Option<[(usize, (f64, f64)); 2]> = None;
        for (i, &point) in part.iter().enumerate() {
            let Some(place) = project(point) else {
                continue;
            };
            let [low, high] = extremes.get_or_insert([(i, place); 2]);
            if place.1 < low.1.1 {
                *low = (i, place);
            }
            if place.1 > high.1.1 {
                *high = (i, place);
            }
        }
        let Some(mut extremes) = extremes else {
            runs.push(Vec::new());
            continue;
        };
        extremes.sort_by_key(|&(i, _)| i);
        let kept = if extremes[0].0 == extremes[1].0 { 1 } else { 2 };
        if let Some(run) = runs.last_mut() {
            run.extend(extremes[..kept].iter().map(|&(_, place)| place));
        }
    }
    runs.retain(|run| !run.is_empty());
    runs
}

/// A polyline as dashes of `on` pixels with gaps of `off`.
pub(super) fn dashes(line: &[(f64, f64)], on: f64, off: f64) -> Vec<Vec<(f64, f64)>> {
    let mut dashes = vec![line.first().copied().into_iter().collect::<Vec<_>>()];
    let (mut drawing, mut left) = (true, on);
    for pair in line.windows(2) {
        let (mut from, to) = (pair[0], pair[1]);
        let mut length = (to.0 - from.0).hypot(to.1 - from.1);
        while length > left {
            let share = left / length;
            from = (from.0 + share * (to.0 - from.0), from.1 + share * (to.1 - from.1));
            length -= left;
            if drawing {
                dashes.last_mut().into_iter().for_each(|dash| dash.push(from));
            } else {
                dashes.push(vec![from]);
            }
            drawing = !drawing;
            left = if drawing { on } else { off };
        }
        left -= length;
        if drawing {
            dashes.last_mut().into_iter().for_each(|dash| dash.push(to));
        }
    }
    dashes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finite((x, y): (f64, f64)) -> Option<(f64, f64)> {
        y.is_finite().then_some((x, y))
    }

    #[test]
    fn slices_of_any_number_become_points() {
        let series = Series::new("a", &[0_u32, 10], &[0.5_f32, 1.5]);
        assert_eq!(series.points(), [(0.0, 0.5), (10.0, 1.5)]);
        let sampled = Series::sampled("b", 0.5, &[1.0_f64, 2.0]).dashed();
        assert_eq!(sampled.points(), [(0.0, 1.0), (0.5, 2.0)]);
        assert!(sampled.is_dashed());
    }

    #[test]
    #[should_panic(expected = "values of x and of y")]
    fn lengths_must_agree() {
        Series::new("a", &[0.0], &[1.0, 2.0]);
    }

    #[test]
    fn a_short_series_is_kept_and_broken_at_gaps() {
        let points = [(0.0, 1.0), (1.0, f64::NAN), (2.0, 3.0), (3.0, 4.0)];
        assert_eq!(runs(&points, finite), [vec![(0.0, 1.0)], vec![(2.0, 3.0), (3.0, 4.0)]]);
        assert!(runs(&[(0.0, f64::NAN)], finite).is_empty());
    }

    #[test]
    fn a_long_series_keeps_its_extremes_in_order() {
        let mut points: Vec<(f64, f64)> = (0..100_000).map(|i| (f64::from(i), 0.0)).collect();
        points[54_321].1 = 9.0;
        points[54_322].1 = -9.0;
        points[7].1 = f64::NAN;
        let runs = runs(&points, finite);
        assert_eq!(runs.len(), 1);
        assert!(runs[0].len() <= 2 * STRETCHES);
        assert!(runs[0].contains(&(54_321.0, 9.0)) && runs[0].contains(&(54_322.0, -9.0)));
        assert!(runs[0].is_sorted_by(|a, b| a.0 <= b.0));
    }

    #[test]
    fn dashes_cover_their_share_of_a_line() {
        let line = [(0.0, 0.0), (7.0, 0.0), (20.0, 0.0)];
        let dashes = dashes(&line, 6.0, 4.0);
        assert_eq!(dashes, [vec![(0.0, 0.0), (6.0, 0.0)], vec![(10.0, 0.0), (16.0, 0.0)]]);
    }
}
