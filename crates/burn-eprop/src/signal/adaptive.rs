//! Feedback that learns to mirror the readout.

use burn::tensor::Tensor;

use super::{LearningSignal, SignalContext};
use crate::error::ConfigError;

/// B starts apart from W_out and receives the same updates; both decay, so that the difference
/// between them vanishes (Kolen & Pollack 1994; Akrout et al. 2019, arXiv:1904.05391).
///
/// B is the network's [`feedback`](crate::network::Network::feedback); e-prop's gradients hold one
/// for it, which an optimizer applies like any other. The decay takes effect in
/// [`GradientEstimator::after_update`](crate::estimator::GradientEstimator::after_update), which the
/// [`OptimizerHook`](crate::hook::OptimizerHook) and models in a [`Learner`](https://docs.rs/burn-train) call, as a loop of one's own must.
#[derive(Debug, Clone, Copy)]
pub struct Adaptive {
    decay: f64,
}

impl Adaptive {
    /// Both matrices lose the fraction `decay` after each update. The papers' values: 1e-2 for a
    /// spiking network that classifies frames, 1e-3 for an LSTM that does, 1e-4 for whole utterances.
    ///
    /// # Errors
    ///
    /// If `decay` is not within 0 and 1.
    pub fn new(decay: f64) -> Result<Self, ConfigError> {
        ConfigError::check((0.0..1.0).contains(&decay), "decay", decay, "at least 0 and less than 1")?;
        Ok(Self { decay })
    }
}

impl Default for Adaptive {
    /// A decay of 1e-3.
    fn default() -> Self {
        Self { decay: 1e-3 }
    }
}

// ANCHOR: adaptive
impl LearningSignal for Adaptive {
    fn signal(&mut self, context: &SignalContext) -> Tensor<3> {
        context.broadcast(context.feedback.clone())
    }

    fn follows_error(&self) -> bool {
        true
    }

    fn separates_sequences(&self) -> bool {
        true
    }

    fn feedback_gradient(&self, readout_gradient: &Tensor<2>) -> Option<Tensor<2>> {
        Some(readout_gradient.clone())
    }

    fn weight_decay(&self) -> f64 {
        self.decay
    }
}
// ANCHOR_END: adaptive
