//! Firing rates, and the regulariser that holds them.

use burn::tensor::{Tensor, TensorData};

use crate::batch::Batch;
use crate::carried::{Archive, Carried};
use crate::loss::{RateAveraging, RateRegularization};

/// Spikes and steps counted so far.
#[derive(Debug, Clone)]
pub(super) struct SpikeCounter {
    /// Σ_t z over valid steps, by layer, [batch, neurons].
    counts: Vec<Tensor<2>>,
    /// Valid steps of each sequence.
    steps: Vec<f64>,
}

impl SpikeCounter {
    pub(super) fn new(layers: usize, batch: usize) -> Self {
        Self { counts: Vec::with_capacity(layers), steps: vec![0.0; batch] }
    }

    /// Counts the steps of a whole batch or piece. Call it before the rates are asked for.
    pub(super) fn add_steps(&mut self, batch: &Batch) {
        for (steps, length) in self.steps.iter_mut().zip(batch.lengths()) {
            *steps += length as f64;
        }
    }

    /// Counts the outputs of a layer, [steps, batch, neurons], where valid ([steps, batch, 1]).
    pub(super) fn add_spikes(&mut self, layer: usize, outputs: &Tensor<3>, valid: Option<&Tensor<3>>) {
        let outputs = match valid {
            Some(valid) => outputs.clone() * valid.clone(),
            None => outputs.clone(),
        };
        let count = outputs.sum_dim(0).squeeze_dim(0);
        match self.counts.get_mut(layer) {
            Some(sum) => sum.inplace(|sum| sum + count),
            None => self.counts.push(count),
        }
    }

    /// The rate of each neuron over the batch, by layer, `[neurons]`.
    pub(super) fn firing_rates(&self) -> Vec<Tensor<1>> {
        let layers = 0..self.counts.len();
        layers.map(|layer| self.rates(layer, RateAveraging::Batch).squeeze_dim(0)).collect()
    }

    /// f, [1, neurons] over the batch or [batch, neurons] per trial.
    fn rates(&self, layer: usize, averaging: RateAveraging) -> Tensor<2> {
        let counts = self.counts[layer].clone();
        match averaging {
            RateAveraging::Batch => counts.sum_dim(0).mul_scalar(1.0 / self.all_steps()),
            RateAveraging::PerTrial => counts * self.reciprocal_steps(layer),
        }
    }

    /// E_reg of all layers.
    pub(super) fn loss(&self, rate: &RateRegularization) -> Tensor<1> {
        let losses = (0..self.counts.len()).map(|layer| {
            let excess = self.rates(layer, rate.averaging).sub_scalar(rate.target_per_step);
            let trials = excess.dims()[0] as f64;
            (excess.clone() * excess).sum().mul_scalar(0.5 * rate.strength / trials)
        });
        losses.reduce(|sum, loss| sum + loss).expect("a network has a layer")
    }

    /// r = ∂E_reg/∂z, the same at each valid step: [1, neurons] or [batch, neurons].
    pub(super) fn slope(&self, rate: &RateRegularization, layer: usize) -> Tensor<2> {
        let excess = self.rates(layer, rate.averaging).sub_scalar(rate.target_per_step);
        match rate.averaging {
            RateAveraging::Batch => excess.mul_scalar(rate.strength / self.all_steps()),
            RateAveraging::PerTrial => {
                let trials = self.steps.len() as f64;
                (excess * self.reciprocal_steps(layer)).mul_scalar(rate.strength / trials)
            }
        }
    }

    fn all_steps(&self) -> f64 {
        self.steps.iter().sum::<f64>().max(1.0)
    }

    /// 1/T of each trial, [batch, 1].
    fn reciprocal_steps(&self, layer: usize) -> Tensor<2> {
        let counts = &self.counts[layer];
        let values: Vec<f64> = self.steps.iter().map(|steps| 1.0 / steps.max(1.0)).collect();
        let data = TensorData::new(values, [self.steps.len(), 1]);
        Tensor::from_data(data, (&counts.device(), counts.dtype()))
    }
}

impl Carried for SpikeCounter {
    fn visit(&mut self, archive: &mut Archive) {
        let mut counts: Vec<_> = self.counts.drain(..).map(Some).collect();
        archive.list("counts", &mut counts, || None, |archive, name, count| archive.optional(name, count));
        self.counts = counts.into_iter().flatten().collect();
        archive.list("steps", &mut self.steps, || 0.0, |archive, name, steps| archive.number(name, steps));
    }
}
