//! Inputs that spike at random, in each step with probability rate · dt.

use rand::RngExt;
use rand::rngs::StdRng;

use crate::range_error::RangeError;

/// Refuses a rate of more than one spike a step.
pub(crate) fn check_rate(field: &'static str, rate_hz: f64, dt_ms: f64) -> Result<(), RangeError> {
    let limit = 1_000.0 / dt_ms;
    let valid = (0.0..=limit).contains(&rate_hz);
    RangeError::check(valid, field, rate_hz, format!("0 to {limit} Hz, one spike a step"))
}

/// Draws a step of neurons that all have this rate.
pub(crate) fn fill(neurons: &mut [f32], rate_hz: f64, dt_ms: f64, rng: &mut StdRng) {
    let probability = rate_hz * dt_ms / 1_000.0;
    neurons.fill_with(|| f32::from(u8::from(rng.random_bool(probability))));
}
