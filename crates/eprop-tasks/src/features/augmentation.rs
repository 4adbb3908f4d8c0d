//! Other recordings of what was said: the same frames faster or slower, by longer or shorter vocal tracts, in noise, in part.

use rand::RngExt;
use rand::rngs::StdRng;
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

use super::config::LogMelConfig;
use super::frames::Frames;
use crate::range_error::RangeError;

/// By how much frames are changed, each time anew. The defaults change nothing.
///
/// | change | source |
/// |---|---|
/// | frequencies | vocal tract length perturbation: Jaitly and Hinton 2013 |
/// | speed | Ko et al. 2015 |
/// | masks | SpecAugment: Park et al. 2019, arXiv:1904.08779 |
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AugmentationConfig {
    /// Bands are taken from where they are times a factor of up to 1 ± this.
    pub frequency: f32,
    /// Time is taken from where it is times a factor of up to 1 ± this.
    pub speed: f32,
    /// Deviation of the noise that is added, in deviations of a feature.
    pub noise: f32,
    /// Most bands beside each other that are set to their mean, 0.
    pub masked_bands: usize,
    /// Most frames after each other that are set to their mean, 0.
    pub masked_frames: usize,
}

impl AugmentationConfig {
    /// Checks every field.
    pub fn validate(&self) -> Result<(), RangeError> {
        let factors = [("frequency", self.frequency), ("speed", self.speed)];
        for (field, factor) in factors {
            RangeError::check((0.0..=0.5).contains(&factor), field, factor, "0 to 0.5")?;
        }
        RangeError::check((0.0..=10.0).contains(&self.noise), "noise", self.noise, "0 to 10")?;
        let masks = [("masked_bands", self.masked_bands), ("masked_frames", self.masked_frames)];
        masks
            .into_iter()
            .try_for_each(|(field, most)| RangeError::check(most <= 1000, field, most, "at most 1000"))
    }

    /// Checks that these features can be changed so: of cepstra, nothing is known by frequency.
    ///
    /// # Errors
    ///
    /// If there are cepstra, and frequencies are to be changed or masked.
    pub fn check(&self, features: &LogMelConfig) -> Result<(), RangeError> {
        let of_bands = self.frequency == 0.0 && self.masked_bands == 0;
        let valid = of_bands || features.cepstra.is_none();
        RangeError::check(
            valid,
            "cepstra",
            features.cepstra.unwrap_or(0),
            "none where frequencies are changed or masked",
        )
    }

    /// Changed frames, of these features, each of mean 0 and deviation 1. Frames that have none stay as they are.
    pub fn apply(&self, frames: &Frames, features: &LogMelConfig, rng: &mut StdRng) -> Frames {
        if frames.is_empty() {
            return frames.clone();
        }
        let groups = Groups::of(features);
        let mut factor = |most: f32| if most > 0.0 { 1.0 + rng.random_range(-most..=most) } else { 1.0 };
        let (frequency, speed) = (factor(self.frequency), factor(self.speed));
        let mut changed = resampled(frames, groups, frequency, speed);
        if self.noise > 0.0 {
            for value in &mut changed.data {
                let normal: f32 = StandardNormal.sample(rng);
                *value += self.noise * normal;
            }
        }
        let (count, features) = (changed.len(), changed.features);
        let band = masked(self.masked_bands, groups.bands, rng);
        let time = masked(self.masked_frames, count, rng);
        for (step, row) in changed.data.chunks_exact_mut(features.max(1)).enumerate() {
            for (feature, value) in row.iter_mut().enumerate() {
                if time.contains(&step) || band.contains(&(feature % groups.size)) {
                    *value = 0.0;
                }
            }
        }
        changed
    }
}

/// How features stand beside each other: what is measured, its slopes, theirs.
#[derive(Debug, Clone, Copy)]
struct Groups {
    /// Features of a group.
    size: usize,
    /// How many of them, the first, are bands in order of frequency.
    bands: usize,
}

impl Groups {
    fn of(features: &LogMelConfig) -> Self {
        let size = features.feature_count() / (1 + usize::from(features.deltas));
        Self { size, bands: if features.cepstra.is_some() { 0 } else { features.bands } }
    }
}

/// Up to `most` places beside each other, of which there are `count`; never all.
fn masked(most: usize, count: usize, rng: &mut StdRng) -> std::ops::Range<usize> {
    let most = most.min(count.saturating_sub(1));
    if most == 0 {
        return 0..0;
    }
    let width = rng.random_range(0..=most);
    let start = rng.random_range(0..=count - width);
    start..start + width
}

/// Frames as they would be with all frequencies and times multiplied, interpolated; slopes are as much steeper as time runs faster. The
/// first and last of both stand for what is beyond them.
fn resampled(frames: &Frames, Groups { size, bands }: Groups, frequency: f32, speed: f32) -> Frames {
    let features = frames.features;
    let count = ((frames.len() as f32 / speed).round() as usize).max(1);
    let between = |place: f32, last: usize| {
        let place = place.clamp(0.0, last as f32);
        let below = place.floor() as usize;
        (below, (below + 1).min(last), place.fract())
    };
    let mut data = Vec::with_capacity(count * features);
    for step in 0..count {
        let (before, after, late) = between(step as f32 * speed, frames.len() - 1);
        for feature in 0..features {
            let (group, within) = (feature / size, feature % size);
            let (low, high, up) = match within < bands {
                true => between(within as f32 * frequency, bands - 1),
                false => (within, within, 0.0),
            };
            let at = |row: &[f32]| (1.0 - up) * row[group * size + low] + up * row[group * size + high];
            let value = (1.0 - late) * at(frames.row(before)) + late * at(frames.row(after));
            data.push(value * speed.powi(group as i32));
        }
    }
    Frames { data, features }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    /// A slope over time in one band, in two groups of four.
    fn frames() -> Frames {
        let row = |step: usize| (0..8).map(move |feature| if feature % 4 == 2 { step as f32 } else { 0.0 });
        Frames { data: (0..20).flat_map(row).collect(), features: 8 }
    }

    /// Four bands, their energy if asked for, and slopes.
    fn features(energy: bool) -> LogMelConfig {
        LogMelConfig { bands: 4, energy, deltas: 1, ..LogMelConfig::default() }
    }

    const GROUPS: Groups = Groups { size: 4, bands: 4 };

    #[test]
    fn nothing_is_changed_unless_asked_for() {
        let rng = &mut StdRng::seed_from_u64(1);
        assert_eq!(AugmentationConfig::default().apply(&frames(), &features(false), rng), frames());
    }

    #[test]
    fn speed_and_frequency_move_what_is_there() {
        let faster = resampled(&frames(), GROUPS, 1.0, 2.0);
        assert_eq!(faster.len(), 10);
        assert!((0..10).all(|step| faster.row(step)[2] == 2.0 * step as f32));
        assert!((0..10).all(|step| faster.row(step)[6] == 4.0 * step as f32), "slopes are twice as steep");
        // What is at band 2 is found at band 1 in frames whose frequencies are doubled.
        let higher = resampled(&frames(), GROUPS, 2.0, 1.0);
        assert_eq!(higher.row(7), [0.0, 7.0, 0.0, 0.0, 0.0, 7.0, 0.0, 0.0]);
        let between = resampled(&frames(), GROUPS, 0.75, 1.0);
        assert_eq!(between.row(8)[..4], [0.0, 0.0, 4.0, 6.0]);
    }

    #[test]
    fn the_energy_is_no_band() {
        let row = |step: usize| [0.0, 0.0, 1.0, 0.0, step as f32];
        let frames =
            Frames { data: (0..6).flat_map(|step| [row(step), row(step)].concat()).collect(), features: 10 };
        let higher = resampled(&frames, Groups::of(&features(true)), 2.0, 1.0);
        assert_eq!(higher.row(3)[..5], [0.0, 1.0, 0.0, 0.0, 3.0]);
        let config = AugmentationConfig { masked_bands: 3, ..Default::default() };
        let rng = &mut StdRng::seed_from_u64(3);
        assert!((0..50).all(|_| config.apply(&frames, &features(true), rng).row(3)[4] == 3.0));
        let cepstra = LogMelConfig { cepstra: Some(3), ..features(false) };
        assert_eq!(config.check(&cepstra).unwrap_err().field, "cepstra");
        config.check(&features(true)).unwrap();
        AugmentationConfig { noise: 1.0, ..Default::default() }.check(&cepstra).unwrap();
    }

    #[test]
    fn noise_and_masks_are_as_wide_as_allowed() {
        let rng = &mut StdRng::seed_from_u64(2);
        let noisy =
            AugmentationConfig { noise: 0.5, ..Default::default() }.apply(&frames(), &features(false), rng);
        let differences = noisy.data.iter().zip(&frames().data).map(|(a, b)| (a - b).powi(2)).sum::<f32>();
        assert!((differences / 160.0 - 0.25).abs() < 0.08, "{differences}");
        let ones = Frames { data: vec![1.0; 160], features: 8 };
        let config = AugmentationConfig { masked_bands: 2, masked_frames: 5, ..Default::default() };
        let mut most = [0, 0];
        for _ in 0..200 {
            let masked = config.apply(&ones, &features(false), rng);
            let times = (0..20).filter(|&step| masked.row(step).iter().all(|&value| value == 0.0)).count();
            let seen = (0..20)
                .map(|step| masked.row(step))
                .find(|row| row.contains(&1.0))
                .expect("not all are masked");
            assert_eq!(seen[..4], seen[4..], "in all groups alike");
            let bands = seen[..4].iter().filter(|&&value| value == 0.0).count();
            most = [most[0].max(times), most[1].max(bands)];
        }
        assert_eq!(most, [5, 2]);
        let short = Frames { data: vec![1.0; 8], features: 8 };
        assert!(config.apply(&short, &features(false), rng).data.contains(&1.0), "never all");
    }

    #[test]
    fn fields_out_of_range_are_named() {
        let refused = |config: AugmentationConfig| config.validate().unwrap_err().field;
        let default = AugmentationConfig::default;
        assert_eq!(refused(AugmentationConfig { frequency: 0.6, ..default() }), "frequency");
        assert_eq!(refused(AugmentationConfig { speed: f32::NAN, ..default() }), "speed");
        assert_eq!(refused(AugmentationConfig { noise: -1.0, ..default() }), "noise");
        assert_eq!(refused(AugmentationConfig { masked_frames: 2000, ..default() }), "masked_frames");
        default().validate().unwrap();
    }
}
