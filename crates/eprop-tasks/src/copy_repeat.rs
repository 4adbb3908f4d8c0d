//! Copy-repeat: see a sequence of patterns and a number, then repeat the sequence that many times.
//!
//! An input is a delimiter, N patterns of random bits and the number of repeats R, one a step, and then nothing; from the step
//! after the number on, the target is the sequence, R times, and then an end marker. So there are (R + 1) N + 3 steps. The loss is the sigmoid
//! cross-entropy of all output bits at the steps with a target. The curriculum begins with N = R = 1 and raises R where R < N, and
//! N otherwise, each time that the loss of a batch is less than 0.15 bits for each output bit (Jaderberg et al. 2017,
//! arXiv:1608.05343, after Graves et al. 2014, arXiv:1410.5401).

use rand::RngExt;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

use crate::MAX_VALUES;
use crate::range_error::RangeError;

/// Configuration of the copy-repeat task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CopyRepeatConfig {
    /// Bits of a pattern.
    pub bits: usize,
    /// A stage is solved when a batch's loss for each output bit is less than this, in bits.
    pub criterion_bits: f64,
    /// N of the first stage.
    pub patterns: usize,
    /// R of the first stage.
    pub repeats: usize,
}

impl Default for CopyRepeatConfig {
    fn default() -> Self {
        Self { bits: 8, criterion_bits: 0.15, patterns: 1, repeats: 1 }
    }
}

/// A stage of the curriculum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// N, the number of patterns.
    pub patterns: usize,
    /// R, how often they are to be repeated.
    pub repeats: usize,
}

/// Sequences of a stage, of values in the order [sequence, time, feature].
#[derive(Debug, Clone, PartialEq)]
pub struct Sequences {
    /// The bits, the delimiter and the number of repeats.
    pub inputs: Vec<f32>,
    /// The bits and the end marker.
    pub targets: Vec<f32>,
    /// Which steps have a target: 0 or 1, [sequence, time].
    pub mask: Vec<f32>,
    /// Steps of each.
    pub steps: usize,
}

impl CopyRepeatConfig {
    /// Checks every field.
    pub fn validate(&self) -> Result<(), RangeError> {
        for (field, count) in [("bits", self.bits), ("patterns", self.patterns), ("repeats", self.repeats)] {
            RangeError::check((1..=1000).contains(&count), field, count, "1 to 1000")?;
        }
        let criterion = self.criterion_bits;
        RangeError::check(
            criterion > 0.0 && criterion <= 1.0,
            "criterion_bits",
            criterion,
            "greater than 0 and at most 1",
        )
    }

    /// The first stage.
    pub fn first(&self) -> Stage {
        Stage { patterns: self.patterns, repeats: self.repeats }
    }

    /// Number of inputs: the bits, the delimiter, the number of repeats.
    pub fn inputs(&self) -> usize {
        self.bits + 2
    }

    /// Number of outputs: the bits, and the end marker.
    pub fn outputs(&self) -> usize {
        self.bits + 1
    }

    /// Checks that sequences of a stage fit into memory.
    ///
    /// # Errors
    ///
    /// If they are too many values.
    pub fn check_size(&self, stage: Stage, sequences: usize) -> Result<(), RangeError> {
        let steps = stage.repeats.saturating_add(1).saturating_mul(stage.patterns).saturating_add(3);
        let values = [sequences, steps, self.inputs()].into_iter().fold(1, usize::saturating_mul);
        let range = format!("so few that a batch has at most {MAX_VALUES} values");
        RangeError::check(values <= MAX_VALUES, "patterns", stage.patterns, range)
    }

    /// Draws sequences of a stage.
    pub fn draw(&self, stage: Stage, sequences: usize, rng: &mut StdRng) -> Sequences {
        let Stage { patterns, repeats } = stage;
        let (bits, steps) = (self.bits, stage.steps());
        let (of_input, of_target) = (self.inputs(), self.outputs());
        let mut drawn = Sequences {
            inputs: vec![0.0; sequences * steps * of_input],
            targets: vec![0.0; sequences * steps * of_target],
            mask: Vec::with_capacity(sequences * steps),
            steps,
        };
        let inputs = drawn.inputs.chunks_exact_mut(steps * of_input);
        for (inputs, targets) in inputs.zip(drawn.targets.chunks_exact_mut(steps * of_target)) {
            inputs[bits] = 1.0;
            for step in 1..=patterns {
                inputs[step * of_input..][..bits].fill_with(|| f32::from(rng.random_bool(0.5)));
            }
            inputs[(patterns + 1) * of_input + bits + 1] = repeats as f32;
            for index in 0..patterns * repeats {
                let pattern = &inputs[(1 + index % patterns) * of_input..][..bits];
                targets[(patterns + 2 + index) * of_target..][..bits].copy_from_slice(pattern);
            }
            targets[(steps - 1) * of_target + bits] = 1.0;
            drawn.mask.extend((0..steps).map(|step| f32::from(step >= patterns + 2)));
        }
        drawn
    }
}

impl Stage {
    /// (R + 1) N + 3, the steps of a sequence.
    pub fn steps(&self) -> usize {
        (self.repeats + 1) * self.patterns + 3
    }

    /// The stage that comes next.
    pub fn next(&self) -> Self {
        match self.repeats < self.patterns {
            true => Self { repeats: self.repeats + 1, ..*self },
            false => Self { patterns: self.patterns + 1, ..*self },
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn a_sequence_is_delimiter_patterns_number_and_silence() {
        let config = CopyRepeatConfig { bits: 3, ..CopyRepeatConfig::default() };
        let stage = Stage { patterns: 2, repeats: 3 };
        let drawn = config.draw(stage, 4, &mut StdRng::seed_from_u64(0));
        assert_eq!(drawn.steps, 11);
        let mut all_bits = Vec::new();
        for (sequence, inputs) in drawn.inputs.chunks_exact(11 * 5).enumerate() {
            let row = |step: usize| &inputs[5 * step..][..5];
            let target = |step: usize| &drawn.targets[(11 * sequence + step) * 4..][..4];
            assert_eq!(row(0), [0.0, 0.0, 0.0, 1.0, 0.0]);
            assert_eq!(row(3), [0.0, 0.0, 0.0, 0.0, 3.0]);
            assert!((4..11).all(|step| row(step) == [0.0; 5]));
            assert!((0..4).all(|step| target(step) == [0.0; 4]));
            for step in 4..10 {
                let pattern = &row(1 + step % 2)[..3];
                assert_eq!(target(step), [pattern, &[0.0]].concat());
                all_bits.extend_from_slice(pattern);
            }
            assert_eq!(target(10), [0.0, 0.0, 0.0, 1.0]);
            let mask = &drawn.mask[11 * sequence..][..11];
            assert_eq!(mask, [[0.0; 4].as_slice(), &[1.0; 7]].concat());
        }
        assert!(all_bits.contains(&0.0) && all_bits.contains(&1.0));
    }

    #[test]
    fn the_curriculum_takes_turns() {
        let stages: Vec<_> =
            std::iter::successors(Some(CopyRepeatConfig::default().first()), |stage| Some(stage.next()))
                .take(7)
                .collect();
        let pairs: Vec<_> = stages.iter().map(|stage| (stage.patterns, stage.repeats)).collect();
        assert_eq!(pairs, [(1, 1), (2, 1), (2, 2), (3, 2), (3, 3), (4, 3), (4, 4)]);
        let steps: Vec<_> = stages.iter().map(Stage::steps).collect();
        assert_eq!(steps, [5, 7, 9, 12, 15, 19, 23]);
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let error = |config: CopyRepeatConfig| config.validate().unwrap_err().field;
        let default = CopyRepeatConfig::default;
        assert_eq!(error(CopyRepeatConfig { bits: 0, ..default() }), "bits");
        assert_eq!(error(CopyRepeatConfig { criterion_bits: f64::NAN, ..default() }), "criterion_bits");
        assert!(default().validate().is_ok());
        let huge = Stage { patterns: 1 << 40, repeats: 1 };
        assert_eq!(default().check_size(huge, 1).unwrap_err().field, "patterns");
    }
}
