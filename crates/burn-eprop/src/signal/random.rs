//! Feedback by fixed random weights.

use burn::tensor::Tensor;

use super::{LearningSignal, SignalContext};

/// B is drawn once and stays (broadcast alignment; Lillicrap et al. 2016, Samadi et al. 2017). It is
/// the network's [`feedback`](crate::network::Network::feedback).
#[derive(Debug, Clone, Copy, Default)]
pub struct Random;

impl LearningSignal for Random {
    fn signal(&mut self, context: &SignalContext) -> Tensor<3> {
        context.broadcast(context.feedback.clone())
    }

    fn follows_error(&self) -> bool {
        true
    }

    fn separates_sequences(&self) -> bool {
        true
    }
}
