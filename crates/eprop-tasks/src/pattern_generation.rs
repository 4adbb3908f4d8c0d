//! Pattern generation: reproduce sums of sines from frozen noise.
//!
//! The network sees the same Poisson spikes in every trial and must produce, for each output k,
//!
//! y*_k(t) ∝ Σ_p A_kp sin(2πt/P_p + φ_kp) − (the same at t = 0), scaled to max ∣y*_k∣ = 1,
//!
//! with amplitudes A ~ U\[0.5, 2\] and phases φ ~ U\[0, 2π\] (Bellec et al. 2020,
//! doi:10.1038/s41467-020-17236-y). An input spikes in a step with probability rate · dt.

use std::f64::consts::TAU;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};

use crate::MAX_VALUES;
use crate::range_error::RangeError;

/// Configuration of the pattern-generation task; the defaults are the paper's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PatternGenerationConfig {
    /// Steps T of a trial.
    pub steps: usize,
    /// Length of a step in ms.
    pub dt_ms: f64,
    /// Number of Poisson inputs.
    pub input_count: usize,
    /// Rate of each input in Hz.
    pub rate_hz: f64,
    /// Number of outputs.
    pub output_count: usize,
    /// Periods of the sines of which each target is the sum, in ms.
    pub periods_ms: Vec<f64>,
    /// Least amplitude of a sine.
    pub amplitude_min: f64,
    /// Largest amplitude of a sine.
    pub amplitude_max: f64,
}

impl Default for PatternGenerationConfig {
    fn default() -> Self {
        Self {
            steps: 1_000,
            dt_ms: 1.0,
            input_count: 100,
            rate_hz: 50.0,
            output_count: 3,
            periods_ms: vec![1_000.0, 500.0, 333.0, 200.0],
            amplitude_min: 0.5,
            amplitude_max: 2.0,
        }
    }
}

/// One pattern: the frozen inputs and what the network should produce from them.
#[derive(Debug, Clone, PartialEq)]
pub struct Pattern {
    /// Spikes 0 or 1, shape [time, input].
    pub inputs: Vec<f32>,
    /// Targets in [-1, 1] that start at 0, shape [time, output].
    pub targets: Vec<f32>,
    /// Number of steps.
    pub steps: usize,
    /// Number of inputs.
    pub input_count: usize,
    /// Number of outputs.
    pub output_count: usize,
}

impl PatternGenerationConfig {
    /// Checks every field.
    pub fn validate(&self) -> Result<(), RangeError> {
        let counts = [
            ("steps", self.steps),
            ("input_count", self.input_count),
            ("output_count", self.output_count),
            ("periods_ms", self.periods_ms.len()),
        ];
        for (field, count) in counts {
            RangeError::check(count >= 1, field, count, "at least 1 in number")?;
        }
        let values = self.steps.saturating_mul(self.input_count.max(self.output_count));
        RangeError::check(
            values <= MAX_VALUES,
            "steps",
            self.steps,
            format!("so few that all inputs or outputs together are at most {MAX_VALUES} values"),
        )?;
        for (field, duration_ms) in std::iter::once(("dt_ms", self.dt_ms))
            .chain(self.periods_ms.iter().map(|&period| ("periods_ms", period)))
        {
            let valid = duration_ms.is_finite() && duration_ms > 0.0;
            RangeError::check(valid, field, duration_ms, "finite and greater than 0 ms")?;
        }
        self.validate_rate_and_amplitudes()
    }

    fn validate_rate_and_amplitudes(&self) -> Result<(), RangeError> {
        RangeError::check(
            (0.0..=1.0).contains(&self.spike_probability()),
            "rate_hz",
            self.rate_hz,
            format!("0 to {} Hz, one spike a step", 1_000.0 / self.dt_ms),
        )?;
        RangeError::check(
            self.amplitude_min.is_finite() && self.amplitude_min >= 0.0,
            "amplitude_min",
            self.amplitude_min,
            "finite and at least 0",
        )?;
        RangeError::check(
            self.amplitude_max.is_finite() && self.amplitude_max >= self.amplitude_min,
            "amplitude_max",
            self.amplitude_max,
            format!("finite and at least {} (`amplitude_min`)", self.amplitude_min),
        )
    }

    /// Draws targets and inputs; the same for the same seed.
    pub fn generate(&self, seed: u64) -> Result<Pattern, RangeError> {
        self.validate()?;
        let mut rng = StdRng::seed_from_u64(seed);
        let mut targets = vec![0.0; self.steps * self.output_count];
        for output in 0..self.output_count {
            let slots = targets.iter_mut().skip(output).step_by(self.output_count);
            for (slot, value) in slots.zip(self.target(&mut rng)) {
                *slot = value;
            }
        }
        let probability = self.spike_probability();
        let inputs = (0..self.steps * self.input_count)
            .map(|_| f32::from(u8::from(rng.random_bool(probability))))
            .collect();
        Ok(Pattern {
            inputs,
            targets,
            steps: self.steps,
            input_count: self.input_count,
            output_count: self.output_count,
        })
    }

    fn spike_probability(&self) -> f64 {
        self.rate_hz * self.dt_ms / 1_000.0
    }

    /// One target, shape [time].
    fn target(&self, rng: &mut StdRng) -> Vec<f32> {
        let mut values = vec![0.0; self.steps];
        for period_ms in &self.periods_ms {
            let spread = self.amplitude_max - self.amplitude_min;
            let amplitude = self.amplitude_min + spread * rng.random::<f64>();
            let phase = TAU * rng.random::<f64>();
            for (step, value) in values.iter_mut().enumerate() {
                let time_ms = step as f64 * self.dt_ms;
                *value += amplitude * (TAU * time_ms / period_ms + phase).sin();
            }
        }
        let first = values[0];
        let peak = values.iter().map(|v| (v - first).abs()).fold(0.0, f64::max);
        let scale = if peak > 0.0 { 1.0 / peak } else { 0.0 };
        values.iter().map(|v| ((v - first) * scale) as f32).collect()
    }
}

/// Normalised mean square error Σ (y − y*)² / Σ (y* − mean y*)² of shape [time, output] slices,
/// the mean taken over time for each output and both sums over all outputs. 0 is perfect, 1 is what
/// the constant means of the targets score; NaN or infinite for targets that never change.
///
/// # Panics
/// If the lengths differ or are no multiple of `output_count`.
pub fn nmse(output: &[f32], target: &[f32], output_count: usize) -> f64 {
    assert!(
        output.len() == target.len() && output_count > 0 && target.len().is_multiple_of(output_count),
        "output of {} values and target of {} for {output_count} outputs",
        output.len(),
        target.len()
    );
    let steps = (target.len() / output_count) as f64;
    let (mut error, mut variation) = (0.0, 0.0);
    for k in 0..output_count {
        let target_k = || target.iter().skip(k).step_by(output_count).copied().map(f64::from);
        let output_k = output.iter().skip(k).step_by(output_count).copied().map(f64::from);
        let mean = target_k().sum::<f64>() / steps;
        error += output_k.zip(target_k()).map(|(y, t)| (y - t).powi(2)).sum::<f64>();
        variation += target_k().map(|t| (t - mean).powi(2)).sum::<f64>();
    }
    error / variation
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_start_at_0_and_peak_at_1() {
        let pattern = PatternGenerationConfig::default().generate(3).unwrap();
        assert_eq!(pattern.targets.len(), 1_000 * 3);
        for output in 0..3 {
            let target: Vec<f32> = pattern.targets.iter().skip(output).step_by(3).copied().collect();
            assert_eq!(target[0], 0.0);
            let peak = target.iter().fold(0.0_f32, |peak, v| peak.max(v.abs()));
            assert!((peak - 1.0).abs() < 1e-6, "{peak}");
        }
    }

    #[test]
    fn inputs_spike_at_their_rate() {
        let pattern = PatternGenerationConfig::default().generate(3).unwrap();
        assert_eq!(pattern.inputs.len(), 1_000 * 100);
        assert!(pattern.inputs.iter().all(|&x| x == 0.0 || x == 1.0));
        // 5000 ± 69 spikes are expected; this is five standard deviations.
        let spikes = pattern.inputs.iter().sum::<f32>();
        assert!((spikes - 5_000.0).abs() < 345.0, "{spikes}");
    }

    #[test]
    fn a_target_of_one_period_is_that_sine() {
        let config = PatternGenerationConfig {
            periods_ms: vec![100.0],
            output_count: 1,
            dt_ms: 0.5,
            ..Default::default()
        };
        let targets = config.generate(1).unwrap().targets;
        for (a, b) in targets.iter().zip(&targets[200..]) {
            assert!((a - b).abs() < 1e-5, "one period of 100 ms is 200 steps");
        }
    }

    #[test]
    fn the_seed_decides() {
        let config = PatternGenerationConfig::default();
        assert_eq!(config.generate(7).unwrap(), config.generate(7).unwrap());
        assert_ne!(config.generate(7).unwrap(), config.generate(8).unwrap());
    }

    #[test]
    fn out_of_range_fields_are_named() {
        type Edit = fn(&mut PatternGenerationConfig);
        let edits: [(&str, Edit); 10] = [
            ("steps", |c| c.steps = 0),
            ("steps", |c| c.steps = usize::MAX),
            ("input_count", |c| c.input_count = 0),
            ("output_count", |c| c.output_count = 0),
            ("dt_ms", |c| c.dt_ms = 0.0),
            ("periods_ms", |c| c.periods_ms.clear()),
            ("periods_ms", |c| c.periods_ms[1] = f64::NAN),
            ("rate_hz", |c| c.rate_hz = 1_001.0),
            ("amplitude_min", |c| c.amplitude_min = -1.0),
            ("amplitude_max", |c| c.amplitude_max = 0.1),
        ];
        for (field, edit) in edits {
            let mut config = PatternGenerationConfig::default();
            edit(&mut config);
            assert_eq!(config.generate(0).unwrap_err().field, field);
        }
    }

    #[test]
    fn nmse_of_known_values() {
        let target = [0.0, 10.0, 2.0, 14.0];
        assert_eq!(nmse(&target, &target, 2), 0.0);
        let means = [1.0, 12.0, 1.0, 12.0];
        assert_eq!(nmse(&means, &target, 2), 1.0);
        // Pooled: (1 + 1 + 0 + 0)/(2 + 8), not the mean of 2/2 and 0/8.
        assert_eq!(nmse(&[1.0, 10.0, 1.0, 14.0], &target, 2), 0.2);
    }

    #[test]
    #[should_panic(expected = "output of 3 values and target of 4 for 2 outputs")]
    fn nmse_refuses_another_shape() {
        nmse(&[0.0; 3], &[0.0; 4], 2);
    }
}
