//! Weights of a layer's synapses: of all sequences, or of each its own.

use burn::tensor::Tensor;

use crate::cell::{CellState, SynapticChunk};
use crate::eligibility::Presynaptic;
use crate::steps::multiply_steps;

/// A weight matrix.
#[derive(Debug, Clone)]
pub enum Weights {
    /// The same for all sequences, [pre, post].
    Shared(Tensor<2>),
    /// For each sequence its own, [batch, pre, post].
    OfSequence(Tensor<3>),
}

impl Weights {
    /// Rows [batch, pre] times the weights, [batch, post].
    pub(crate) fn multiply(&self, rows: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Shared(weights) => rows.matmul(weights.clone()),
            Self::OfSequence(weights) => rows.unsqueeze_dim::<3>(1).matmul(weights.clone()).squeeze_dim(1),
        }
    }

    /// Rows [steps, batch, pre] times the weights, [steps, batch, post].
    fn multiply_all(&self, rows: Tensor<3>) -> Tensor<3> {
        match self {
            Self::Shared(weights) => {
                let ([steps, batch, pre], post) = (rows.dims(), weights.dims()[1]);
                rows.reshape([steps * batch, pre]).matmul(weights.clone()).reshape([steps, batch, post])
            }
            Self::OfSequence(weights) => rows.swap_dims(0, 1).matmul(weights.clone()).swap_dims(0, 1),
        }
    }

    fn sequences(&self) -> usize {
        match self {
            Self::Shared(_) => 1,
            Self::OfSequence(weights) => weights.dims()[0],
        }
    }

    /// [sequences, pre, post].
    fn for_each(&self, sequences: usize) -> Tensor<3> {
        match self {
            Self::Shared(_) if sequences > 1 => self.stacked().repeat_dim(0, sequences),
            _ => self.stacked(),
        }
    }

    /// [1 or batch, pre, post].
    pub(crate) fn stacked(&self) -> Tensor<3> {
        match self {
            Self::Shared(weights) => weights.clone().unsqueeze(),
            Self::OfSequence(weights) => weights.clone(),
        }
    }
}

/// The weights of one layer, without autapses where its cell has none.
#[derive(Debug, Clone)]
pub struct LayerWeights {
    /// W_in, inputs → currents · neurons.
    pub w_in: Weights,
    /// W_rec, neurons → currents · neurons.
    pub w_rec: Weights,
    /// b, [1 or batch, currents · neurons].
    pub bias: Option<Tensor<2>>,
}

impl LayerWeights {
    pub(crate) fn shared(w_in: Tensor<2>, w_rec: Tensor<2>, bias: Option<Tensor<1>>) -> Self {
        Self { w_in: Weights::Shared(w_in), w_rec: Weights::Shared(w_rec), bias: bias.map(Tensor::unsqueeze) }
    }

    /// Σ W_in x + b of a chunk, by step, [batch, currents · neurons].
    pub(crate) fn input_currents(&self, inputs: &[Tensor<2>]) -> Vec<Tensor<2>> {
        let currents = match &self.w_in {
            Weights::Shared(weights) => multiply_steps(inputs, weights.clone()),
            own => inputs.iter().map(|input| own.multiply(input.clone())).collect(),
        };
        match &self.bias {
            Some(bias) => currents.into_iter().map(|current| current + bias.clone()).collect(),
            None => currents,
        }
    }

    /// The currents of a chunk, each [steps, batch, neurons], from its presynaptic values: inputs and outputs one step ago.
    pub(crate) fn currents(&self, pre: &[Presynaptic], currents: usize) -> Vec<Tensor<3>> {
        let weights = [&self.w_in, &self.w_rec];
        let parts = weights.into_iter().zip(pre).map(|(weights, pre)| weights.multiply_all(pre.values()));
        let mut total = parts.reduce(|sum, part| sum + part).expect("inputs and outputs");
        if let Some(bias) = &self.bias {
            total = total + bias.clone().unsqueeze();
        }
        let neurons = total.dims()[2] / currents;
        match currents {
            1 => vec![total],
            _ => (0..currents).map(|current| total.clone().narrow(2, current * neurons, neurons)).collect(),
        }
    }

    /// How many sequences have weights of their own; 1 where all have the same.
    pub(crate) fn sequences(&self) -> usize {
        let of_bias = self.bias.as_ref().map_or(1, |bias| bias.dims()[0]);
        self.w_in.sequences().max(self.w_rec.sequences()).max(of_bias)
    }

    /// What reaches a population from a state, by these weights. Where some are of each sequence its own, all are.
    pub(crate) fn chunk(&self, state: CellState, inputs: Tensor<3>) -> SynapticChunk {
        let sequences = self.sequences();
        let bias = self.bias.clone().map(|bias| match bias.dims()[0] {
            1 => bias.repeat_dim(0, sequences),
            _ => bias,
        });
        SynapticChunk {
            state,
            inputs,
            w_in: self.w_in.for_each(sequences),
            bias,
            w_rec: self.w_rec.for_each(sequences),
        }
    }
}
