//! A population code: numbers as the spikes of units that each prefer one value.
//!
//! Unit i of a coordinate x in [-1, 1] spikes in a step with probability
//!
//! p_i = r Δt exp(−(x − c_i)² / 2σ²)                                      (1)
//!
//! with centres c_i spread evenly from −1 − 2σ to 1 + 2σ, so that units on both sides speak for the ends of
//! the range too. The value is estimated from the spikes z_i^t up to now as the mean of the centres, weighted
//! by exponentially fading spike counts:
//!
//! n^t = e^(−Δt/τ) n^(t−1) + Σ_i z_i^t,  s^t = e^(−Δt/τ) s^(t−1) + Σ_i c_i z_i^t,  x̂^t = s^t / n^t     (2)
//!
//! | symbol | unit | field |
//! |---|---|---|
//! | r, largest rate | Hz | `rate_hz` |
//! | σ, width of a unit's preference | as x | `sigma` |
//! | number of units of a coordinate | | `units` |

use std::f64::consts::TAU;

use rand::RngExt;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

use crate::range_error::RangeError;

/// A population code of coordinates in [-1, 1]; see the [module](self).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PopulationCode {
    /// Units of each coordinate.
    pub units: usize,
    /// Width σ of a unit's preference.
    pub sigma: f64,
    /// Rate of a unit at its preferred value, in Hz.
    pub rate_hz: f64,
}

impl Default for PopulationCode {
    fn default() -> Self {
        Self { units: 100, sigma: 0.2, rate_hz: 200.0 }
    }
}

impl PopulationCode {
    /// Checks every field, for steps of `dt_ms`.
    pub fn validate(&self, dt_ms: f64) -> Result<(), RangeError> {
        let units = self.units;
        RangeError::check((2..=10_000).contains(&units), "units", units, "2 to 10000")?;
        let valid = self.sigma > 0.0 && self.sigma <= 1_000.0;
        RangeError::check(valid, "sigma", self.sigma, "greater than 0 and at most 1000")?;
        let valid = self.rate_hz > 0.0 && self.rate_hz * dt_ms <= 1_000.0;
        let range = format!("greater than 0 and at most {} Hz, one spike a step", 1_000.0 / dt_ms);
        RangeError::check(valid, "rate_hz", self.rate_hz, range)
    }

    /// The values that the units prefer, c.
    pub fn centres(&self) -> Vec<f64> {
        let end = 1.0 + 2.0 * self.sigma;
        let spacing = self.spacing();
        (0..self.units).map(|unit| -end + unit as f64 * spacing).collect()
    }

    fn spacing(&self) -> f64 {
        (2.0 + 4.0 * self.sigma) / (self.units - 1) as f64
    }

    /// Spikes 0 or 1 of shape [time, coordinate · units] for values of shape [time, coordinate].
    ///
    /// # Panics
    ///
    /// If a unit would spike more than once a step, which [`validate`](Self::validate) refuses.
    pub fn encode(&self, values: &[f32], dt_ms: f64, rng: &mut StdRng) -> Vec<f32> {
        let centres = self.centres();
        let peak = self.rate_hz * dt_ms / 1_000.0;
        let mut spikes = Vec::with_capacity(values.len() * self.units);
        for &value in values {
            for centre in &centres {
                let distance = (f64::from(value) - centre) / self.sigma;
                let probability = peak * (-0.5 * distance * distance).exp(); // (1)
                spikes.push(f32::from(rng.random_bool(probability)));
            }
        }
        spikes
    }

    /// Estimates of shape [time, coordinate] from spikes of shape [time, coordinate · units], each from the
    /// spikes up to its step, which fade with time constant `tau_ms`; 0 before a coordinate's first spike.
    ///
    /// # Panics
    ///
    /// If the number of spikes is no multiple of the number of units.
    pub fn decode(&self, spikes: &[f32], coordinates: usize, dt_ms: f64, tau_ms: f64) -> Vec<f32> {
        self.decode_after(spikes, &vec![0.0; coordinates], 0.0, (-dt_ms / tau_ms).exp())
    }

    /// As [`decode`](Self::decode), for coordinates that are known to have long been at `start` before the
    /// first step.
    ///
    /// # Panics
    ///
    /// If the number of spikes is no multiple of the number of units.
    pub fn decode_from(&self, spikes: &[f32], start: &[f32], dt_ms: f64, tau_ms: f64) -> Vec<f32> {
        // The spikes of a constant value that have not yet faded: those of all units a second, times τ.
        let per_second = self.rate_hz * self.sigma * TAU.sqrt() / self.spacing();
        self.decode_after(spikes, start, per_second * tau_ms / 1_000.0, (-dt_ms / tau_ms).exp())
    }

    /// Estimates after `count` spikes at the mean value `start`.
    fn decode_after(&self, spikes: &[f32], start: &[f32], count: f64, decay: f64) -> Vec<f32> {
        let width = start.len() * self.units;
        assert!(
            width > 0 && spikes.len().is_multiple_of(width),
            "{} spikes for {} coordinates of {} units",
            spikes.len(),
            start.len(),
            self.units
        );
        let centres = self.centres();
        let mut counts = vec![count; start.len()];
        let mut sums: Vec<f64> = start.iter().map(|&value| count * f64::from(value)).collect();
        let mut estimates = start.to_vec();
        let mut decoded = Vec::with_capacity(spikes.len() / self.units);
        for step in spikes.chunks_exact(width) {
            for (coordinate, spikes) in step.chunks_exact(self.units).enumerate() {
                let new: f64 = spikes.iter().copied().map(f64::from).sum();
                let centre: f64 = spikes.iter().zip(&centres).map(|(&z, c)| f64::from(z) * c).sum();
                counts[coordinate] = decay * counts[coordinate] + new; // (2)
                sums[coordinate] = decay * sums[coordinate] + centre; // (2)
                // Without a spike both fade alike.
                if new > 0.0 {
                    estimates[coordinate] = (sums[coordinate] / counts[coordinate]) as f32; // (2)
                }
            }
            decoded.extend_from_slice(&estimates);
        }
        decoded
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn centres_reach_beyond_the_range_on_both_sides() {
        let code = PopulationCode { units: 3, ..PopulationCode::default() };
        let expected = [-1.4, 0.0, 1.4];
        assert!(code.centres().iter().zip(expected).all(|(c, e)| (c - e).abs() < 1e-12));
    }

    #[test]
    fn units_spike_at_their_rate() {
        let code = PopulationCode { units: 15, ..PopulationCode::default() };
        let spikes = code.encode(&[0.2; 20_000], 1.0, &mut StdRng::seed_from_u64(0));
        assert!(spikes.iter().all(|&z| z == 0.0 || z == 1.0));
        for (unit, centre) in code.centres().into_iter().enumerate() {
            let count: f32 = spikes.iter().skip(unit).step_by(15).sum();
            let expected = 4_000.0 * (-(0.2 - centre).powi(2) / 0.08).exp();
            let allowed = 5.0 * expected.sqrt() + 1.0;
            assert!((f64::from(count) - expected).abs() < allowed, "unit {unit}: {count} for {expected}");
        }
    }

    #[test]
    fn decoding_inverts_encoding() {
        let code = PopulationCode::default();
        let mut rng = StdRng::seed_from_u64(1);
        for value in [-1.0_f32, -0.3, 0.0, 0.8, 1.0] {
            let values = [[value, -value]; 300].concat();
            let decoded = code.decode(&code.encode(&values, 1.0, &mut rng), 2, 1.0, 50.0);
            let last = &decoded[598..];
            assert!((last[0] - value).abs() < 0.1 && (last[1] + value).abs() < 0.1, "{value}: {last:?}");
        }
    }

    #[test]
    fn an_estimate_fades_and_uses_no_later_spike() {
        let code = PopulationCode { units: 3, ..PopulationCode::default() };
        let spikes = [[0.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0], [0.0, 1.0, 0.0]].concat();
        let decoded = code.decode(&spikes, 1, 1.0, 1.0 / 2.0_f64.ln());
        let expected = [0.0, 1.4, 1.4, 1.4 * 0.25 / 1.25];
        assert!(decoded.iter().zip(expected).all(|(d, e)| (d - e).abs() < 1e-6), "{decoded:?}");
        assert_eq!(code.decode_from(&spikes, &[0.5], 1.0, 20.0)[0], 0.5);
    }

    #[test]
    #[should_panic(expected = "5 spikes for 1 coordinates of 3 units")]
    fn spikes_of_other_units_are_refused() {
        PopulationCode { units: 3, ..PopulationCode::default() }.decode(&[0.0; 5], 1, 1.0, 20.0);
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let error = |code: PopulationCode| code.validate(1.0).unwrap_err().field;
        let default = PopulationCode::default;
        assert_eq!(error(PopulationCode { units: 1, ..default() }), "units");
        assert_eq!(error(PopulationCode { sigma: 0.0, ..default() }), "sigma");
        assert_eq!(error(PopulationCode { rate_hz: 1_001.0, ..default() }), "rate_hz");
        assert_eq!(error(PopulationCode { rate_hz: f64::NAN, ..default() }), "rate_hz");
        assert!(default().validate(5.0).is_ok());
    }
}
