//! Outputs of a stream before their targets are known.

use burn::tensor::Tensor;

use crate::batch::Batch;
use crate::network::{NetworkChunk, NetworkState};

/// What a stream's network says to its next inputs, before their targets are known: what
/// [`OnlineEstimator::predict`](super::OnlineEstimator::predict) returns.
#[derive(Debug, Clone)]
pub struct Prediction {
    inputs: Tensor<3>,
    outputs: Tensor<3>,
    run: Option<Simulation>,
}

/// A run through the next piece of a stream, of which an estimator can learn without another one.
#[derive(Debug, Clone)]
pub(crate) struct Simulation {
    /// The stream's time before the piece, in steps.
    pub(crate) time: usize,
    /// The chunks in order, each with the state after it.
    pub(crate) chunks: Vec<(NetworkChunk, NetworkState)>,
}

impl Prediction {
    /// Outputs [batch, time, outputs] for inputs [batch, time, inputs].
    pub(crate) fn new(inputs: Tensor<3>, outputs: Tensor<3>, run: Option<Simulation>) -> Self {
        Self { inputs, outputs, run }
    }

    /// y, [batch, time, outputs].
    pub fn outputs(&self) -> &Tensor<3> {
        &self.outputs
    }

    /// The piece to learn from, now that its targets [batch, time, outputs] are known. It is to be fed before anything else is; then
    /// [`Eprop`](super::Eprop) does not simulate it again.
    ///
    /// # Panics
    ///
    /// If batch or time of the targets are not those of the inputs.
    #[track_caller]
    pub fn into_piece(self, targets: Tensor<3>) -> Batch {
        Batch::new(self.inputs, targets).with_simulation(self.run)
    }
}
