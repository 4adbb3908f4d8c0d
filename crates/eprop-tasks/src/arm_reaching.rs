//! Arm reaching: move a two-joint arm along a path after having seen it once.
//!
//! The network's two outputs are the velocities ω of an arm's joints (both parts ½ long) and the arm starts
//! bent at φ^0 = (0, π/2):
//!
//! φ^t = φ^0 + Σ_(s≤t) ω^s Δ                                                                          (1)
//!
//! x^t = (½ cos φ_1 + ½ cos(φ_1 + φ_2), ½ sin φ_1 + ½ sin(φ_1 + φ_2))                                 (2)
//!
//! Each task has a path of its own (Bellec et al. 2019, arXiv:1901.09049, "e-prop 2"). Before scaling, its
//! velocities are sums of sines over u from 0 to 2π, with periods P ~ U\[`period_min`, `period_max`\] and
//! phases θ ~ U\[0, 2π\]:
//!
//! ω_1(u) = Σ_k A_k sin(u/P_k + θ_k), A_k ~ U\[0, 30\]                                                (3)
//!
//! ω_2(u) = Σ_k 20 s_k(u) / (max s_k − min s_k), s_k(u) = sin(u/P_k + θ_k)                            (4)
//!
//! An amplitude of s_k, such as U\[0, 1.5\], would cancel. Where a joint would turn by more than π/2 from
//! where it starts, all of its velocities are scaled so that it turns by π/2 at most, each joint on its own;
//! so φ_1 stays within ±π/2 and φ_2 within 0 and π.
//!
//! | symbol | unit | field |
//! |---|---|---|
//! | Δ, time that the arm moves in a step | s | `arm_seconds` / `steps` |
//! | number of sines k | | `sines` |
//!
//! The network sees the path as the spikes of a population code of the position, next to a clock that is the
//! same in every task; and what the spikes tell about the velocities is at hand for a rule that learns from
//! the error of the output. The Cartesian error is the mean of (x − x*)² over tasks, steps and the two
//! coordinates.

mod arm;
mod movements;
mod observer;

use std::f64::consts::{FRAC_PI_2, TAU};

use burn::tensor::Tensor;
use rand::RngExt;
use rand::rngs::StdRng;
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::population_code::PopulationCode;
use crate::range_error::RangeError;

pub use arm::cartesian_error;
pub use movements::Movements;

/// Largest amplitude of a sine of the first joint's velocity.
const AMPLITUDE_MAX: f64 = 30.0;
/// Range of each sine of the second joint's velocity.
const SINE_RANGE: f64 = 20.0;

/// Configuration of the arm task; the defaults are the paper's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ArmReachingConfig {
    /// Steps of a trial.
    pub steps: usize,
    /// Length of a step in ms, for the spikes.
    pub dt_ms: f64,
    /// Duration of the arm's movement in s, however long the trial.
    pub arm_seconds: f64,
    /// Number of sines of a joint's velocity.
    pub sines: usize,
    /// Least period of a sine, as a share of the trial.
    pub period_min: f64,
    /// Largest period of a sine, as a share of the trial.
    pub period_max: f64,
    /// The population code of the position.
    pub code: PopulationCode,
    /// The clock input.
    pub clock: Clock,
    /// Standard deviation of the noise of the encoded position, in the arm's lengths; independent at each
    /// step.
    pub position_noise: f64,
    /// Time constant over which positions, and then velocities, are estimated from spikes, in ms: a short one
    /// follows the noise of the spikes, a long one comes late.
    pub observer_tau_ms: f64,
}

impl Default for ArmReachingConfig {
    fn default() -> Self {
        Self {
            steps: 500,
            dt_ms: 1.0,
            arm_seconds: 0.5,
            sines: 5,
            period_min: 0.3,
            period_max: 1.0,
            code: PopulationCode::default(),
            clock: Clock::default(),
            position_noise: 0.0,
            observer_tau_ms: 20.0,
        }
    }
}

impl ArmReachingConfig {
    /// Slower movements in trials of half the length, seen through a quarter of the units.
    pub fn reduced() -> Self {
        Self {
            steps: 125,
            dt_ms: 2.0,
            sines: 2,
            period_min: 0.5,
            code: PopulationCode { units: 25, ..PopulationCode::default() },
            observer_tau_ms: 10.0,
            ..Self::default()
        }
    }

    /// Checks every field.
    pub fn validate(&self) -> Result<(), RangeError> {
        RangeError::check((2..=100_000).contains(&self.steps), "steps", self.steps, "2 to 100000")?;
        RangeError::check((1..=1000).contains(&self.sines), "sines", self.sines, "1 to 1000")?;
        let positive = [
            ("dt_ms", self.dt_ms),
            ("arm_seconds", self.arm_seconds),
            ("period_min", self.period_min),
            ("period_max", self.period_max),
            ("observer_tau_ms", self.observer_tau_ms),
        ];
        for (field, value) in positive {
            RangeError::check(value.is_finite() && value > 0.0, field, value, "finite and greater than 0")?;
        }
        let least = self.period_min;
        RangeError::check(least >= 1e-6, "period_min", least, "at least 1e-6 of the trial")?;
        let range = format!("at least {} (`period_min`)", self.period_min);
        RangeError::check(self.period_max >= self.period_min, "period_max", self.period_max, range)?;
        let noise = self.position_noise;
        RangeError::check(
            noise.is_finite() && noise >= 0.0,
            "position_noise",
            noise,
            "finite and at least 0",
        )?;
        self.code.validate(self.dt_ms)?;
        self.clock.validate(self.dt_ms)
    }

    /// Positions of shape [task, time, 2] as spikes of the code up to each step tell them, [task, time, 2 · units].
    pub fn observed_positions(&self, code: &[f32]) -> Vec<f32> {
        observer::positions(self, code)
    }

    /// Velocities of the two joints of shape [task, time, 2], in rad/s, as spikes of the code up to each step tell them to
    /// somebody who knows the arm: positions decoded from the spikes, turned into angles, and their differences smoothed.
    pub fn observed_velocities(&self, code: &[f32]) -> Vec<f32> {
        observer::velocities(self, code)
    }

    /// Draws tasks.
    pub fn draw(&self, tasks: usize, rng: &mut StdRng) -> Movements {
        let values = tasks * self.steps * 2;
        let mut velocities = Vec::with_capacity(values);
        let mut positions = Vec::with_capacity(values);
        for _ in 0..tasks {
            let joints =
                [self.sum_of_sines(rng), self.sum_of_range_sines(rng)].map(|joint| self.limited(joint));
            let mut angles = arm::START;
            for (&first, &second) in joints[0].iter().zip(&joints[1]) {
                angles[0] += first * self.step_seconds(); // (1)
                angles[1] += second * self.step_seconds(); // (1)
                velocities.extend([first, second].map(|velocity| velocity as f32));
                positions.extend(arm::position(angles).map(|coordinate| coordinate as f32));
            }
        }
        let code = self.code.encode(&self.seen(&positions, rng), self.dt_ms, rng);
        Movements { velocities, positions, code, tasks, steps: self.steps }
    }

    /// The clock's spikes 0 or 1, shape [time, input].
    pub fn clock(&self) -> Vec<f32> {
        self.clock.spikes(self.steps, self.dt_ms)
    }

    /// The positions, equations (1) and (2), of shape [batch, time, 2] to which joint velocities of shape
    /// [batch, time, 2] move the arm; differentiable.
    ///
    /// # Panics
    ///
    /// If the velocities are not those of two joints.
    pub fn positions(&self, velocities: Tensor<3>) -> Tensor<3> {
        arm::positions(velocities, self.step_seconds())
    }

    /// Δ.
    fn step_seconds(&self) -> f64 {
        self.arm_seconds / self.steps as f64
    }

    /// sin(u/P + θ) for a new period and phase, shape [time].
    fn sine(&self, rng: &mut StdRng) -> Vec<f64> {
        let period = self.period_min + (self.period_max - self.period_min) * rng.random::<f64>();
        let phase = TAU * rng.random::<f64>();
        let time = |step: usize| TAU * step as f64 / (self.steps - 1) as f64;
        (0..self.steps).map(|step| (time(step) / period + phase).sin()).collect()
    }

    fn sum_of_sines(&self, rng: &mut StdRng) -> Vec<f64> {
        let mut sum = vec![0.0; self.steps];
        for _ in 0..self.sines {
            let amplitude = AMPLITUDE_MAX * rng.random::<f64>();
            add(&mut sum, amplitude, &self.sine(rng)); // (3)
        }
        sum
    }

    fn sum_of_range_sines(&self, rng: &mut StdRng) -> Vec<f64> {
        let mut sum = vec![0.0; self.steps];
        for _ in 0..self.sines {
            let sine = self.sine(rng);
            let low = sine.iter().copied().fold(f64::INFINITY, f64::min);
            let high = sine.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            // Sampled at multiples of its period, a sine has no range.
            add(&mut sum, SINE_RANGE / (high - low).max(1e-9), &sine); // (4)
        }
        sum
    }

    /// A joint's velocities, scaled where it would turn too far.
    fn limited(&self, mut velocities: Vec<f64>) -> Vec<f64> {
        let (mut angle, mut largest) = (0.0_f64, 0.0_f64);
        for velocity in &velocities {
            angle += velocity * self.step_seconds();
            largest = largest.max(angle.abs());
        }
        if largest > FRAC_PI_2 {
            velocities.iter_mut().for_each(|velocity| *velocity *= FRAC_PI_2 / largest);
        }
        velocities
    }

    /// The positions with noise.
    fn seen(&self, positions: &[f32], rng: &mut StdRng) -> Vec<f32> {
        if self.position_noise == 0.0 {
            return positions.to_vec();
        }
        let mut noise = || -> f64 { self.position_noise * Distribution::<f64>::sample(&StandardNormal, rng) };
        positions.iter().map(|&coordinate| coordinate + noise() as f32).collect()
    }
}

fn add(sum: &mut [f64], amplitude: f64, sine: &[f64]) {
    sum.iter_mut().zip(sine).for_each(|(sum, value)| *sum += amplitude * value);
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    /// Few units, as only the paths are looked at.
    fn paths(config: ArmReachingConfig, tasks: usize) -> Movements {
        let code = PopulationCode { units: 2, ..PopulationCode::default() };
        ArmReachingConfig { code, ..config }.draw(tasks, &mut StdRng::seed_from_u64(5))
    }

    fn assert_near(value: f64, expected: f64) {
        assert!((value - expected).abs() < 0.006, "{value} for {expected}");
    }

    #[test]
    fn the_baselines_are_those_of_other_programs() {
        // A task's error deviates by 0.09, their mean by 0.0015.
        let full = paths(ArmReachingConfig::default(), 4_000);
        assert_near(full.error_at_rest(), 0.202);
        assert_near(full.error_of_mean_position(), 0.159);
        let reduced = paths(ArmReachingConfig::reduced(), 4_000);
        assert_near(reduced.error_at_rest(), 0.190);
        assert_near(reduced.error_of_mean_position(), 0.153);
        assert_near(reduced.error_of_mean_trajectory(), 0.147);
    }

    #[test]
    fn a_joint_turns_by_a_right_angle_at_most() {
        let drawn = paths(ArmReachingConfig::reduced(), 100);
        let mut at_limit = 0;
        for task in drawn.velocities.chunks_exact(125 * 2) {
            for joint in 0..2 {
                let velocities = task.iter().skip(joint).step_by(2).map(|&velocity| f64::from(velocity));
                let angles = velocities.scan(0.0, |angle, velocity| {
                    *angle += velocity * 0.004;
                    Some(*angle)
                });
                let largest = angles.map(f64::abs).fold(0.0, f64::max);
                assert!(largest < FRAC_PI_2 + 1e-5, "{largest}");
                at_limit += u32::from(largest > FRAC_PI_2 - 1e-5);
            }
        }
        assert!((20..180).contains(&at_limit), "{at_limit}");
    }

    #[test]
    fn a_sine_without_a_range_is_no_nan() {
        let config = ArmReachingConfig { steps: 2, period_min: 1.0, ..ArmReachingConfig::default() };
        assert!(paths(config, 100).positions.iter().all(|coordinate| coordinate.is_finite()));
    }

    #[test]
    fn noise_is_in_the_code_alone() {
        let exact = ArmReachingConfig::reduced().draw(3, &mut StdRng::seed_from_u64(0));
        let config = ArmReachingConfig { position_noise: 0.3, ..ArmReachingConfig::reduced() };
        let noisy = config.draw(3, &mut StdRng::seed_from_u64(0));
        assert_eq!((&exact.positions, &exact.velocities), (&noisy.positions, &noisy.velocities));
        assert_ne!(exact.code, noisy.code);
        assert_eq!(noisy.code.len(), 3 * 125 * 2 * 25);
    }

    #[test]
    fn settings_out_of_range_are_named() {
        type Edit = fn(&mut ArmReachingConfig);
        let edits: [(&str, Edit); 10] = [
            ("steps", |c| c.steps = 1),
            ("dt_ms", |c| c.dt_ms = 0.0),
            ("arm_seconds", |c| c.arm_seconds = f64::NAN),
            ("sines", |c| c.sines = 0),
            ("period_min", |c| c.period_min = 0.0),
            ("period_max", |c| c.period_max = 0.2),
            ("position_noise", |c| c.position_noise = -1.0),
            ("observer_tau_ms", |c| c.observer_tau_ms = 0.0),
            ("units", |c| c.code.units = 0),
            ("groups", |c| c.clock.groups = 0),
        ];
        for (field, edit) in edits {
            let mut config = ArmReachingConfig::default();
            edit(&mut config);
            assert_eq!(config.validate().unwrap_err().field, field);
        }
        assert!(ArmReachingConfig::default().validate().is_ok());
        assert!(ArmReachingConfig::reduced().validate().is_ok());
    }
}
