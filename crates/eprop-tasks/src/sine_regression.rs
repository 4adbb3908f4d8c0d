//! Sine regression: produce a sine wave after having seen it once.
//!
//! The target of a task is one period of y*^t = A sin(2πt/T + φ) with amplitude A and phase φ ~ U\[0, 2π\] of
//! its own. The network sees it as the spikes of a population code, next to a clock that is the same in every
//! task.

use std::f64::consts::TAU;

use rand::RngExt;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::population_code::PopulationCode;
use crate::range_error::RangeError;

/// Configuration of the one-shot sine regression.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SineRegressionConfig {
    /// Steps T of a trial, in which the target goes through one period.
    pub steps: usize,
    /// Length of a step in ms.
    pub dt_ms: f64,
    /// Least amplitude.
    pub amplitude_min: f64,
    /// Largest amplitude.
    pub amplitude_max: f64,
    /// The population code of the target.
    pub code: PopulationCode,
    /// The clock input.
    pub clock: Clock,
}

impl Default for SineRegressionConfig {
    fn default() -> Self {
        Self {
            steps: 100,
            dt_ms: 2.0,
            amplitude_min: 0.1,
            amplitude_max: 1.0,
            code: PopulationCode { units: 25, ..PopulationCode::default() },
            clock: Clock::default(),
        }
    }
}

/// Drawn tasks, of values in the order [task, time, feature].
#[derive(Debug, Clone, PartialEq)]
pub struct Sines {
    /// The target y*, one feature.
    pub targets: Vec<f32>,
    /// Spikes 0 or 1 of the population code of the target.
    pub code: Vec<f32>,
    /// Number of tasks.
    pub tasks: usize,
    /// Steps of each.
    pub steps: usize,
}

impl SineRegressionConfig {
    /// Checks every field.
    pub fn validate(&self) -> Result<(), RangeError> {
        RangeError::check((2..=100_000).contains(&self.steps), "steps", self.steps, "2 to 100000")?;
        let valid = self.dt_ms.is_finite() && self.dt_ms > 0.0;
        RangeError::check(valid, "dt_ms", self.dt_ms, "finite and greater than 0 ms")?;
        let (low, high) = (self.amplitude_min, self.amplitude_max);
        RangeError::check((0.0..=1.0).contains(&low), "amplitude_min", low, "0 to 1")?;
        let range = format!("{low} (`amplitude_min`) to 1");
        RangeError::check((low..=1.0).contains(&high), "amplitude_max", high, range)?;
        self.code.validate(self.dt_ms)?;
        self.clock.validate(self.dt_ms)
    }

    /// Draws tasks.
    pub fn draw(&self, tasks: usize, rng: &mut StdRng) -> Sines {
        let mut targets = Vec::with_capacity(tasks * self.steps);
        for _ in 0..tasks {
            let spread = self.amplitude_max - self.amplitude_min;
            let amplitude = self.amplitude_min + spread * rng.random::<f64>();
            let phase = TAU * rng.random::<f64>();
            let angle = |step: usize| TAU * step as f64 / self.steps as f64 + phase;
            targets.extend((0..self.steps).map(|step| (amplitude * angle(step).sin()) as f32));
        }
        let code = self.code.encode(&targets, self.dt_ms, rng);
        Sines { targets, code, tasks, steps: self.steps }
    }

    /// The clock's spikes 0 or 1, shape [time, input].
    pub fn clock(&self) -> Vec<f32> {
        self.clock.spikes(self.steps, self.dt_ms)
    }
}

impl Sines {
    /// Mean square error of the output 0.
    pub fn error_of_zero(&self) -> f64 {
        self.error_of(0.0)
    }

    /// Mean square error of the mean of all targets.
    pub fn error_of_mean(&self) -> f64 {
        let sum: f64 = self.targets.iter().copied().map(f64::from).sum();
        self.error_of(sum / self.targets.len() as f64)
    }

    fn error_of(&self, output: f64) -> f64 {
        let sum: f64 = self.targets.iter().map(|&target| (f64::from(target) - output).powi(2)).sum();
        sum / self.targets.len() as f64
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn a_target_is_one_period_within_the_amplitudes() {
        let config = SineRegressionConfig::default();
        let drawn = config.draw(200, &mut StdRng::seed_from_u64(0));
        assert_eq!(drawn.code.len(), 200 * 100 * 25);
        for target in drawn.targets.chunks_exact(100) {
            let power: f32 = target.iter().map(|y| y * y).sum::<f32>() / 100.0;
            let amplitude = (2.0 * power).sqrt();
            assert!((0.0999..1.0001).contains(&amplitude), "{amplitude}");
            // Half a period later the sine has the other sign.
            assert!((0..50).all(|step| (target[step] + target[step + 50]).abs() < 1e-5));
        }
    }

    #[test]
    fn the_baselines_are_the_amplitudes_variance() {
        let drawn = SineRegressionConfig::default().draw(4_000, &mut StdRng::seed_from_u64(1));
        // ½ E[A²] of A ~ U[0.1, 1] is 0.185; its deviation over 4000 tasks is 0.0025.
        assert!((drawn.error_of_zero() - 0.185).abs() < 0.01, "{}", drawn.error_of_zero());
        assert!(drawn.error_of_mean() <= drawn.error_of_zero());
        assert!(drawn.error_of_zero() - drawn.error_of_mean() < 1e-3);
    }

    #[test]
    fn the_code_tells_the_target() {
        let config = SineRegressionConfig::default();
        let drawn = config.draw(50, &mut StdRng::seed_from_u64(2));
        let decoded = config.code.decode(&drawn.code[..100 * 25], 1, config.dt_ms, 6.0);
        let error: f32 =
            decoded.iter().zip(&drawn.targets).skip(10).map(|(d, t)| (d - t).powi(2)).sum::<f32>() / 90.0;
        assert!(error < 0.05, "{error}");
    }

    #[test]
    fn settings_out_of_range_are_named() {
        type Edit = fn(&mut SineRegressionConfig);
        let edits: [(&str, Edit); 6] = [
            ("steps", |c| c.steps = 1),
            ("dt_ms", |c| c.dt_ms = f64::NAN),
            ("amplitude_min", |c| c.amplitude_min = -0.1),
            ("amplitude_max", |c| c.amplitude_max = 0.05),
            ("rate_hz", |c| c.dt_ms = 6.0),
            ("interval_ms", |c| c.clock.interval_ms = 1.0),
        ];
        for (field, edit) in edits {
            let mut config = SineRegressionConfig::default();
            edit(&mut config);
            assert_eq!(config.validate().unwrap_err().field, field);
        }
        assert!(SineRegressionConfig::default().validate().is_ok());
    }
}
