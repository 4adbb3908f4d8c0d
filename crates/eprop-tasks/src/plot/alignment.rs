//! How estimated gradients lie to exact ones, over training.

use std::path::Path;

use super::PlotError;
use super::figure::{Panel, figure};
use super::{Lines, Scale, Series};

/// One parameter's gradients over training.
#[derive(Debug, Clone, PartialEq)]
pub struct AlignmentCurve {
    /// The parameter's name.
    pub parameter: String,
    /// The cosine of the angle to the exact gradient, for each iteration.
    pub cosine: Vec<f64>,
    /// The norm in units of the exact gradient's, for each iteration.
    pub norm_ratio: Vec<f64>,
}

/// Writes a figure of the cosines over iterations, and of the norms' ratios under them.
///
/// # Errors
///
/// If the file cannot be written.
pub fn alignment(
    path: impl AsRef<Path>,
    title: &str,
    iterations: &[f64],
    curves: &[AlignmentCurve],
) -> Result<(), PlotError> {
    let series = |values: fn(&AlignmentCurve) -> &Vec<f64>| {
        curves.iter().map(|curve| Series::new(curve.parameter.clone(), iterations, values(curve))).collect()
    };
    let cosine = Lines::new("direction", "cosine", series(|curve| &curve.cosine));
    let norm_ratio = Lines::new("length", "norm ratio", series(|curve| &curve.norm_ratio));
    let panels = [Panel::Lines(cosine), Panel::Lines(norm_ratio.with_scale(Scale::Log))];
    figure(path, title, "iteration", &panels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_panels_name_each_parameter() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alignment.svg");
        let curve = |parameter: &str| AlignmentCurve {
            parameter: parameter.into(),
            cosine: vec![0.9, f64::NAN, 0.7],
            norm_ratio: vec![1.0, f64::NAN, 2.0],
        };
        alignment(&path, "gradients", &[1.0, 2.0, 3.0], &[curve("w_in"), curve("w_rec")]).unwrap();
        let svg = std::fs::read_to_string(&path).unwrap();
        assert_eq!(svg.matches("w_rec").count(), 2);
        assert!(svg.contains("cosine") && svg.contains("norm ratio"));
    }
}
