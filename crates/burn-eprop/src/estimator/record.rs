//! What monitors and plots see of a run.

use std::ops::Range;

use burn::tensor::Tensor;

use crate::cell::{Linearization, Transition};

/// A chunk as e-prop went through it, for monitors and plots. Time comes first: [steps, batch, feature].
#[derive(Debug)]
pub struct ChunkRecord {
    /// The chunk's steps, counted from the start of the sequence.
    pub time: Range<usize>,
    /// The layers, from the lowest.
    pub layers: Vec<LayerRecord>,
    /// y.
    pub outputs: Tensor<3>,
    /// err, the readout's error.
    pub error: Tensor<3>,
}

/// A layer's part of a [`ChunkRecord`].
#[derive(Debug)]
pub struct LayerRecord {
    /// z, [steps, batch, neurons].
    pub outputs: Tensor<3>,
    /// Presynaptic values: inputs, the layer's own outputs one step ago, and 1 where it has a bias.
    pub pre: Tensor<3>,
    /// L with the readout's factor, [steps, batch, neurons].
    pub signal: Tensor<3>,
    /// The steps, with steps · batch rows; for [`Cell::monitors`](crate::Cell::monitors).
    pub transition: Transition,
    /// Their linearisation; for [`stepwise_traces`](crate::eligibility::stepwise_traces).
    pub linearization: Linearization,
}
