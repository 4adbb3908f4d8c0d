//! Feedback by the readout's own weights.

use burn::tensor::Tensor;

use super::{LearningSignal, SignalContext};

/// B = W_out. With it e-prop follows the gradient exactly but for the paths through other neurons.
#[derive(Debug, Clone, Copy, Default)]
pub struct Symmetric;

impl LearningSignal for Symmetric {
    fn signal(&mut self, context: &SignalContext) -> Tensor<3> {
        context.broadcast(context.readout_weight.clone())
    }

    fn follows_error(&self) -> bool {
        true
    }

    fn separates_sequences(&self) -> bool {
        true
    }
}
