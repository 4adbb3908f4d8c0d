//! Evidence accumulation: count cues on two sides, remember through a delay, and tell the side that had more.
//!
//! A sequence is a row of cues, each of which is to the left or to the right, a delay in which nothing is shown, and a recall
//! cue. The inputs are four groups of Poisson neurons: one for each side, active during its cues, one for the
//! recall cue, and one that is noise all along. In each sequence one side, the left and the right in turn, has a cue with
//! probability 0.7, and the label is the side that had more (Bellec et al. 2019, arXiv:1901.09049; after an
//! experiment by Morcos and Harvey 2016, doi:10.1038/nn.4403).

use rand::RngExt;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

use crate::range_error::RangeError;
use crate::{MAX_VALUES, poisson};

/// Groups of inputs: left, right, recall, noise.
const GROUPS: usize = 4;

/// Configuration of evidence accumulation; the defaults are the paper's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EvidenceAccumulationConfig {
    /// Number of cues; odd, so that one side has more.
    pub cues: usize,
    /// Duration of a cue in ms.
    pub cue_ms: usize,
    /// Silence before each cue in ms.
    pub pause_ms: usize,
    /// Time from the last cue to the recall cue in ms.
    pub delay_ms: usize,
    /// Duration of the recall cue in ms, in which the network must tell.
    pub recall_ms: usize,
    /// Probability that a cue is on the side which is favoured in its sequence.
    pub bias: f64,
    /// Neurons of each of the four groups of inputs.
    pub group: usize,
    /// Rate of the neurons of a side during its cues, and of the recall group during the recall cue, in Hz.
    pub cue_hz: f64,
    /// Rate of the noise group in Hz.
    pub noise_hz: f64,
}

impl Default for EvidenceAccumulationConfig {
    fn default() -> Self {
        Self {
            cues: 7,
            cue_ms: 100,
            pause_ms: 50,
            delay_ms: 1050,
            recall_ms: 150,
            bias: 0.7,
            group: 10,
            cue_hz: 40.0,
            noise_hz: 10.0,
        }
    }
}

/// Sequences, a step a millisecond.
#[derive(Debug, Clone, PartialEq)]
pub struct Trials {
    /// Spikes 0 or 1, shape [trial, time, input].
    pub inputs: Vec<f32>,
    /// The side that had more cues in each trial: 0 is left, 1 is right.
    pub sides: Vec<usize>,
}

impl EvidenceAccumulationConfig {
    /// Checks every field.
    pub fn validate(&self) -> Result<(), RangeError> {
        let odd = self.cues % 2 == 1 && self.cues < 1000;
        RangeError::check(odd, "cues", self.cues, "odd and less than 1000")?;
        let durations = [("cue_ms", self.cue_ms), ("recall_ms", self.recall_ms)];
        for (field, duration) in durations {
            RangeError::check((1..=100_000).contains(&duration), field, duration, "1 to 100000 ms")?;
        }
        for (field, duration) in [("pause_ms", self.pause_ms), ("delay_ms", self.delay_ms)] {
            RangeError::check(duration <= 100_000, field, duration, "at most 100000 ms")?;
        }
        RangeError::check((0.0..=1.0).contains(&self.bias), "bias", self.bias, "0 to 1")?;
        RangeError::check((1..=10_000).contains(&self.group), "group", self.group, "1 to 10000 neurons")?;
        poisson::check_rate("cue_hz", self.cue_hz, 1.0)?;
        poisson::check_rate("noise_hz", self.noise_hz, 1.0)
    }

    /// Number of inputs.
    pub fn inputs(&self) -> usize {
        GROUPS * self.group
    }

    /// Steps of a trial, each of a millisecond.
    pub fn steps(&self) -> usize {
        self.cues * (self.pause_ms + self.cue_ms) + self.delay_ms + self.recall_ms
    }

    /// Checks that trials fit into memory.
    ///
    /// # Errors
    ///
    /// If they are too many values.
    pub fn check_size(&self, trials: usize) -> Result<(), RangeError> {
        let values = [trials, self.steps(), self.inputs()].into_iter().fold(1, usize::saturating_mul);
        let range = format!("so few that a batch has at most {MAX_VALUES} values");
        RangeError::check(values <= MAX_VALUES, "cues", self.cues, range)
    }

    /// Draws trials. Left and right are favoured in turn, whichever comes first: a batch with more of one side teaches the network to guess
    /// that side.
    pub fn draw(&self, trials: usize, rng: &mut StdRng) -> Trials {
        let mut inputs = vec![0.0; trials * self.steps() * self.inputs()];
        let of_trial = inputs.chunks_exact_mut(self.steps() * self.inputs());
        let mut to_the_right = rng.random_bool(0.5);
        let draw = |inputs| {
            to_the_right = !to_the_right;
            self.draw_trial(inputs, if to_the_right { self.bias } else { 1.0 - self.bias }, rng)
        };
        let sides = of_trial.map(draw).collect();
        Trials { inputs, sides }
    }

    // ANCHOR: trial
    /// Fills the spikes of a trial whose cues are to the right with some probability, and returns its side.
    fn draw_trial(&self, inputs: &mut [f32], right: f64, rng: &mut StdRng) -> usize {
        let width = self.inputs();
        let mut show = |group: usize, steps: std::ops::Range<usize>, rate_hz: f64, rng: &mut StdRng| {
            let rows = inputs.chunks_exact_mut(width).skip(steps.start).take(steps.len());
            rows.for_each(|row| {
                poisson::fill(&mut row[group * self.group..][..self.group], rate_hz, 1.0, rng)
            });
        };
        let period = self.pause_ms + self.cue_ms;
        let mut to_the_right = 0;
        for cue in 0..self.cues {
            let side = usize::from(rng.random_bool(right));
            to_the_right += side;
            let end = (cue + 1) * period;
            show(side, end - self.cue_ms..end, self.cue_hz, rng);
        }
        let steps = self.steps();
        show(2, steps - self.recall_ms..steps, self.cue_hz, rng);
        show(3, 0..steps, self.noise_hz, rng);
        usize::from(2 * to_the_right > self.cues)
    }
    // ANCHOR_END: trial
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    /// Spikes of a group in some steps of a trial.
    fn spikes(config: &EvidenceAccumulationConfig, trial: &[f32], group: usize, steps: &[usize]) -> f32 {
        let row = |step: &usize| {
            trial[step * config.inputs()..][group * config.group..][..config.group].iter().sum::<f32>()
        };
        steps.iter().map(row).sum()
    }

    #[test]
    fn the_label_is_the_side_with_more_cues() {
        let config = EvidenceAccumulationConfig { cue_hz: 1000.0, noise_hz: 0.0, ..Default::default() };
        let drawn = config.draw(50, &mut StdRng::seed_from_u64(1));
        assert_eq!((config.steps(), config.inputs()), (2250, 40));
        let trials = drawn.inputs.chunks(config.steps() * config.inputs());
        for (trial, &side) in trials.zip(&drawn.sides) {
            let shown: Vec<usize> = (0..1050).filter(|step| step % 150 >= 50).collect();
            let silent: Vec<usize> = (0..2100).filter(|step| *step >= 1050 || step % 150 < 50).collect();
            let [left, right] = [0, 1].map(|group| spikes(&config, trial, group, &shown));
            assert_eq!(left + right, 7.0 * 100.0 * 10.0, "one side at a time, at full rate");
            assert_eq!(side == 1, right > left);
            assert_eq!([0, 1, 2].map(|group| spikes(&config, trial, group, &silent)), [0.0; 3]);
            let recall: Vec<usize> = (2100..2250).collect();
            assert_eq!(
                [0, 1, 2, 3].map(|group| spikes(&config, trial, group, &recall)),
                [0.0, 0.0, 1500.0, 0.0]
            );
        }
    }

    #[test]
    fn both_sides_are_as_frequent_and_rates_are_kept() {
        let config = EvidenceAccumulationConfig::default();
        let drawn = config.draw(400, &mut StdRng::seed_from_u64(2));
        let right = drawn.sides.iter().sum::<usize>();
        // √(400 · 0.874 · 0.126) = 6.6; it would be 10 if sides were drawn for each trial.
        assert!((175..=225).contains(&right), "{right} of 400");
        let all: Vec<usize> = (0..2250).collect();
        let trials = drawn.inputs.chunks(config.steps() * config.inputs());
        let noise: f32 = trials.map(|trial| spikes(&config, trial, 3, &all)).sum();
        let expected = 400.0 * 2250.0 * 10.0 * 0.01;
        assert!((noise / expected - 1.0).abs() < 0.02, "{noise} spikes of noise, expected {expected}");
    }

    #[test]
    fn fields_out_of_range_are_named() {
        let refused = |config: EvidenceAccumulationConfig| config.validate().unwrap_err().field;
        let default = EvidenceAccumulationConfig::default;
        assert_eq!(refused(EvidenceAccumulationConfig { cues: 6, ..default() }), "cues");
        assert_eq!(refused(EvidenceAccumulationConfig { recall_ms: 0, ..default() }), "recall_ms");
        assert_eq!(refused(EvidenceAccumulationConfig { bias: f64::NAN, ..default() }), "bias");
        assert_eq!(refused(EvidenceAccumulationConfig { cue_hz: 1001.0, ..default() }), "cue_hz");
        assert_eq!(default().check_size(1 << 20).unwrap_err().field, "cues");
        default().validate().unwrap();
    }
}
