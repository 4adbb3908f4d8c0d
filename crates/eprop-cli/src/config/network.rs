//! The network, and how its firing rates and voltages are held.

use anyhow::{Result, ensure};
use burn_eprop::cell::InputNormalization;
use serde::{Deserialize, Serialize};

use super::MAX_SIZE;

/// Most layers.
const MAX_LAYERS: usize = 100;

/// Sizes and constants of the network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkSettings {
    /// Number of neurons of a layer.
    pub neurons: usize,
    /// Number of layers, each of which sees the outputs of the one below; the readout sees all.
    #[serde(default = "one")]
    pub layers: usize,
    /// Whether there are two networks of so many layers and neurons, one for each direction of time.
    #[serde(default)]
    pub bidirectional: bool,
    /// Duration of a step.
    pub dt_ms: f64,
    /// Membrane time constant.
    pub tau_membrane_ms: f64,
    /// Time constant of the adaptation.
    pub tau_adaptation_ms: f64,
    /// Strength of the adaptation.
    pub adaptation_strength: f64,
    /// Share of the neurons that adapts, the last of them.
    #[serde(default = "half")]
    pub adaptive_share: f64,
    /// Threshold.
    pub threshold: f64,
    /// n_ref, in steps.
    pub refractory_steps: usize,
    /// Factor of the synaptic current.
    pub input_normalization: InputNormalization,
    /// Standard deviation of the input weights, times the root of their number.
    pub input_gain: f64,
    /// Standard deviation of the recurrent weights, times the root of their number.
    pub recurrent_gain: f64,
    /// Standard deviation of the feedback weights (default: one over the root of their number).
    pub feedback_deviation: Option<f64>,
    /// Time constant of the readout; 0 for none.
    pub tau_readout_ms: f64,
    /// Whether the readout's factor is 1 − κ.
    pub readout_normalized: bool,
}

/// Firing-rate regularisation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateSettings {
    /// c.
    pub strength: f64,
    /// f*.
    pub target_hz: f64,
    /// Time constant of a running mean of each sequence, in place of the mean over all steps of the batch.
    #[serde(default)]
    pub tau_ms: Option<f64>,
}

/// Voltage regularisation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VoltageSettings {
    /// c.
    pub strength: f64,
}

fn one() -> usize {
    1
}

fn half() -> f64 {
    0.5
}

impl NetworkSettings {
    pub(super) fn validate(&self) -> Result<()> {
        let in_range = (1..=MAX_SIZE).contains(&self.neurons);
        ensure!(in_range, "network.neurons is {}, but must be 1 to {MAX_SIZE}", self.neurons);
        let layers = self.layers;
        let in_range = (1..=MAX_LAYERS).contains(&layers);
        ensure!(in_range, "network.layers is {layers}, but must be 1 to {MAX_LAYERS}");
        let Self { dt_ms, tau_readout_ms: tau, .. } = self;
        let valid = dt_ms.is_finite() && *dt_ms > 0.0;
        ensure!(valid, "network.dt_ms is {dt_ms}, but must be finite and greater than 0");
        let valid = tau.is_finite() && *tau >= 0.0;
        ensure!(valid, "network.tau_readout_ms is {tau}, but must be finite and at least 0");
        if let Some(deviation) = self.feedback_deviation {
            let valid = deviation.is_finite() && deviation > 0.0;
            ensure!(
                valid,
                "network.feedback_deviation is {deviation}, but must be finite and greater than 0"
            );
        }
        let share = self.adaptive_share;
        let in_range = (0.0..=1.0).contains(&share);
        ensure!(in_range, "network.adaptive_share is {share}, but must be 0 to 1");
        for (name, gain) in [("input_gain", self.input_gain), ("recurrent_gain", self.recurrent_gain)] {
            ensure!(gain.is_finite(), "network.{name} is {gain}, but must be finite");
        }
        Ok(())
    }
}
