//! Feature frames and their slopes.

/// Feature frames of one recording.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Frames {
    /// Row-major values, shape [time, feature].
    pub data: Vec<f32>,
    /// Features of one frame.
    pub features: usize,
}

impl Frames {
    /// Number of frames.
    pub fn len(&self) -> usize {
        self.data.len().checked_div(self.features).unwrap_or(0)
    }

    /// Whether there is no frame.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The features of frame `t`.
    ///
    /// # Panics
    /// If there is no frame `t`.
    pub fn row(&self, t: usize) -> &[f32] {
        &self.data[t * self.features..(t + 1) * self.features]
    }

    /// Drops the frames from `max_frames` on.
    pub fn truncate(&mut self, max_frames: usize) {
        self.data.truncate(max_frames * self.features);
    }

    /// Slope of every feature over `span` frames on either side (equation 8 of the module).
    pub(super) fn slopes(&self, span: usize) -> Self {
        let last = self.len().saturating_sub(1);
        let norm = 2.0 * (1..=span).map(|i| (i * i) as f32).sum::<f32>();
        let mut data = Vec::with_capacity(self.data.len());
        for t in 0..self.len() {
            for feature in 0..self.features {
                let slope: f32 = (1..=span)
                    .map(|i| {
                        let ahead = self.row((t + i).min(last))[feature];
                        let behind = self.row(t.saturating_sub(i))[feature];
                        i as f32 * (ahead - behind)
                    })
                    .sum();
                data.push(slope / norm);
            }
        }
        Self { data, features: self.features }
    }

    /// The frames of all parts side by side.
    pub(super) fn beside(parts: &[Self]) -> Self {
        let features = parts.iter().map(|part| part.features).sum();
        let len = parts.first().map_or(0, Self::len);
        let rows = (0..len).flat_map(|t| parts.iter().flat_map(move |part| part.row(t)));
        Self { data: rows.copied().collect(), features }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp() -> Frames {
        let rows = (0..6).flat_map(|t| [t as f32, 10.0 - 3.0 * t as f32]);
        Frames { data: rows.collect(), features: 2 }
    }

    #[test]
    fn the_slope_of_a_ramp_is_its_gradient() {
        let slopes = ramp().slopes(2);
        for t in 2..4 {
            assert_eq!(slopes.row(t), [1.0, -3.0]);
        }
        // At the start the first frame stands in for what precedes it: (1·1 + 2·2)/10.
        assert_eq!(slopes.row(0), [0.5, -1.5]);
    }

    #[test]
    fn a_single_frame_has_no_slope() {
        let mut frames = ramp();
        frames.truncate(1);
        assert_eq!(frames.len(), 1);
        assert_eq!(frames.slopes(2).data, [0.0, 0.0]);
    }

    #[test]
    fn parts_stand_side_by_side() {
        let joined = Frames::beside(&[ramp(), ramp().slopes(1)]);
        assert_eq!((joined.len(), joined.features), (6, 4));
        assert_eq!(joined.row(2), [2.0, 4.0, 1.0, -3.0]);
    }

    #[test]
    fn the_default_is_empty() {
        assert!(Frames::default().is_empty());
    }
}
