//! Loss and accuracy over training.

use std::path::Path;

use super::PlotError;
use super::figure::{Panel, stacked};
use super::lines::Lines;

/// Writes an SVG of `upper` (say, the loss) over iterations, and of `lower` (say, the accuracy)
/// under it.
///
/// ```
/// use eprop_tasks::plot::{Lines, Scale, Series, learning_curve};
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("curve.svg");
/// let loss = Series::sampled("e-prop", 1.0, &[1.0, 0.3, 0.1, 0.04]);
/// let accuracy = Series::sampled("e-prop", 1.0, &[0.1, 0.5, 0.8, 0.9]);
/// learning_curve(
///     &path,
///     "Spoken digits",
///     "epoch",
///     Lines::new("loss", "cross-entropy (nat)", vec![loss]).with_scale(Scale::Log),
///     Some(Lines::new("accuracy", "share correct", vec![accuracy])),
/// )?;
/// # Ok::<(), eprop_tasks::plot::PlotError>(())
/// ```
pub fn learning_curve(
    path: impl AsRef<Path>,
    title: &str,
    x_label: &str,
    upper: Lines,
    lower: Option<Lines>,
) -> Result<(), PlotError> {
    let upper = Panel::Lines(upper);
    let lower = lower.map(Panel::Lines);
    let panels: Vec<(&Panel, f64)> =
        std::iter::once((&upper, 280.0)).chain(lower.iter().map(|panel| (panel, 160.0))).collect();
    stacked(path.as_ref(), title, x_label, &panels)
}

#[cfg(test)]
mod tests {
    use super::super::Series;
    use super::*;

    #[test]
    fn one_or_two_panels_are_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("curve.svg");
        let lines = |name: &str| Lines::new(name, "y", vec![Series::sampled("a", 1.0, &[3.0_f32, 2.0, 1.0])]);
        learning_curve(&path, "t", "iteration", lines("loss"), None).unwrap();
        let single = std::fs::read_to_string(&path).unwrap();
        assert!(single.contains("loss") && single.contains("iteration"));
        learning_curve(&path, "t", "iteration", lines("loss"), Some(lines("accuracy"))).unwrap();
        let double = std::fs::read_to_string(&path).unwrap();
        assert!(double.contains("accuracy") && double.len() > single.len());
    }
}
