//! Features of mean 0 and deviation 1.

use serde::{Deserialize, Serialize};

use super::frames::Frames;

/// Mean and standard deviation of every feature.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ZScore {
    /// Mean, one a feature.
    pub mean: Vec<f32>,
    /// Standard deviation, one a feature; 1 for a feature that never changes.
    pub std: Vec<f32>,
}

impl ZScore {
    /// Mean and population standard deviation over all frames, by Welford's recursion in float64.
    ///
    /// # Panics
    /// If there is no frame, or if the recordings differ in their number of features.
    pub fn fit<'a>(recordings: impl IntoIterator<Item = &'a Frames>) -> Self {
        let (mut mean, mut squares, mut count) = (Vec::<f64>::new(), Vec::<f64>::new(), 0.0);
        for frames in recordings {
            if count == 0.0 {
                mean = vec![0.0; frames.features];
                squares = vec![0.0; frames.features];
            }
            assert_eq!(frames.features, mean.len(), "features differ between recordings");
            for t in 0..frames.len() {
                count += 1.0;
                for ((mean, squares), &value) in mean.iter_mut().zip(&mut squares).zip(frames.row(t)) {
                    let distance = f64::from(value) - *mean;
                    *mean += distance / count;
                    *squares += distance * (f64::from(value) - *mean);
                }
            }
        }
        assert!(count > 0.0, "no frame to fit");
        let deviation = |squares: &f64| match (squares / count).sqrt() as f32 {
            tiny if tiny < 1e-6 => 1.0,
            deviation => deviation,
        };
        Self {
            std: squares.iter().map(deviation).collect(),
            mean: mean.into_iter().map(|mean| mean as f32).collect(),
        }
    }

    /// Replaces every value by its distance from the mean in standard deviations.
    ///
    /// # Panics
    /// If `frames` has another number of features.
    pub fn apply(&self, frames: &mut Frames) {
        assert_eq!(frames.features, self.mean.len(), "features of the frames and of the z-score");
        for row in frames.data.chunks_mut(self.mean.len().max(1)) {
            for ((value, mean), std) in row.iter_mut().zip(&self.mean).zip(&self.std) {
                *value = (*value - mean) / std;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three features: far from 0, alternating, constant.
    fn recording(offset: usize) -> Frames {
        let rows = (0..50).flat_map(|i| {
            let t = (offset + i) as f32;
            [1_000.0 + 0.1 * t, if i % 2 == 0 { -3.0 } else { 3.0 }, 7.0]
        });
        Frames { data: rows.collect(), features: 3 }
    }

    #[test]
    fn fitted_frames_have_mean_0_and_deviation_1() {
        let mut recordings = [recording(0), recording(50)];
        let z_score = ZScore::fit(&recordings);
        recordings.iter_mut().for_each(|frames| z_score.apply(frames));
        for feature in 0..2 {
            let values = || {
                let all = recordings.iter().flat_map(|r| (0..50).map(move |t| r.row(t)[feature]));
                all.map(f64::from)
            };
            let mean = values().sum::<f64>() / 100.0;
            let variance = values().map(|v| (v - mean).powi(2)).sum::<f64>() / 100.0;
            assert!(mean.abs() < 1e-4, "mean {mean}");
            assert!((variance - 1.0).abs() < 1e-4, "variance {variance}");
        }
    }

    #[test]
    fn a_constant_feature_becomes_0() {
        let mut frames = recording(0);
        let z_score = ZScore::fit([&frames]);
        z_score.apply(&mut frames);
        assert!((0..50).all(|t| frames.row(t)[2] == 0.0));
    }

    #[test]
    #[should_panic(expected = "features of the frames and of the z-score")]
    fn another_number_of_features_panics() {
        let z_score = ZScore::fit([&recording(0)]);
        z_score.apply(&mut Frames { data: vec![0.0; 4], features: 4 });
    }

    #[test]
    #[should_panic(expected = "no frame to fit")]
    fn nothing_to_fit_panics() {
        ZScore::fit([]);
    }
}
