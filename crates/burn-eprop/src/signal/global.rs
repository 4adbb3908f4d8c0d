//! The same signal for all neurons.

use burn::tensor::Tensor;

use super::{LearningSignal, SignalContext};

/// B_jk = 1/√N for N neurons: a control that tells neurons nothing about their own part in the error.
#[derive(Debug, Clone, Copy, Default)]
pub struct Global;

impl LearningSignal for Global {
    fn signal(&mut self, context: &SignalContext) -> Tensor<3> {
        let feedback = context.feedback.ones_like();
        let neurons = feedback.dims()[0] as f64;
        context.broadcast(feedback.mul_scalar(1.0 / neurons.sqrt()))
    }

    fn follows_error(&self) -> bool {
        true
    }

    fn separates_sequences(&self) -> bool {
        true
    }
}
