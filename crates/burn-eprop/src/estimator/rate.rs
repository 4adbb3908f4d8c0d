//! Firing rates, and the regulariser that holds them.

use burn::tensor::{Tensor, TensorData};

use crate::carried::{Archive, Carried};
use crate::cell::Cell;
use crate::loss::{RateAveraging, RateRegularization};
use crate::network::Network;
use crate::steps::{low_pass, sum};

/// Spikes and steps counted so far.
#[derive(Debug, Clone)]
pub(crate) struct SpikeCounter {
    /// Σ_t z over valid steps, by layer, [batch, neurons].
    counts: Vec<Tensor<2>>,
    /// What rounding has added to the counts: without it a float32 would stop counting at 2²⁴ (Kahan 1965).
    excess: Vec<Tensor<2>>,
    /// Valid steps of each sequence.
    steps: Vec<f64>,
    running: Option<RunningRates>,
}

/// f̄ of each sequence, by layer, [batch, neurons], and its decay in a step.
#[derive(Debug, Clone)]
struct RunningRates {
    means: Vec<Tensor<2>>,
    decay: f64,
}

impl SpikeCounter {
    /// Nothing yet; with the running means that a regulariser asks for.
    pub(crate) fn new<C: Cell>(
        network: &Network<C>,
        batch: usize,
        rate: Option<&RateRegularization>,
    ) -> Self {
        let zeros = |neurons| Tensor::zeros([batch, neurons], network.options()).without_autodiff();
        let counts: Vec<_> = network.layers.iter().map(|layer| zeros(layer.cell.neurons())).collect();
        let running = rate.and_then(|rate| match rate.averaging {
            RateAveraging::Running { tau_steps } => Some(RunningRates {
                means: counts.iter().map(|zeros| zeros.clone().add_scalar(rate.target_per_step)).collect(),
                decay: (-1.0 / tau_steps).exp(),
            }),
            RateAveraging::Batch | RateAveraging::PerTrial => None,
        });
        Self { excess: counts.clone(), counts, steps: vec![0.0; batch], running }
    }

    /// The pull of a layer's running means at each step of a chunk, c (f̄ − f*) / τ for the sum over sequences, [steps, batch,
    /// neurons]: 0 behind a sequence's end; `None` for another averaging. Call it once for each chunk.
    pub(crate) fn running_slope(
        &mut self,
        rate: &RateRegularization,
        layer: usize,
        outputs: &Tensor<3>,
        valid: Option<&Tensor<3>>,
    ) -> Option<Tensor<3>> {
        let (RateAveraging::Running { tau_steps }, Some(RunningRates { means, decay })) =
            (rate.averaging, &mut self.running)
        else {
            return None;
        };
        // f̄^t = d f̄^{t−1} + (1 − d) z^t
        let gain = 1.0 - *decay;
        let before = means[layer].clone();
        let (unscaled, _) = low_pass(outputs.clone(), *decay, Some(before.clone().mul_scalar(1.0 / gain)));
        let running = unscaled.mul_scalar(gain);
        means[layer] = last_valid(&running, before, valid);
        let pull = running.sub_scalar(rate.target_per_step);
        let pull = pull.mul_scalar(rate.strength / tau_steps);
        Some(match valid {
            Some(valid) => pull * valid.clone(),
            None => pull,
        })
    }

    /// What has the [pull](Self::running_slope) of running means as its gradient with respect to the outputs of all layers: Σ r z, with r held
    /// constant; `None` for another averaging. Call it once for each chunk.
    pub(crate) fn running_pull(
        &mut self,
        rate: &RateRegularization,
        layers: &[Tensor<3>],
        valid: Option<&Tensor<3>>,
    ) -> Option<Tensor<1>> {
        let share = 1.0 / self.trials(rate);
        let terms = layers.iter().enumerate().map(|(layer, outputs)| {
            let slope = self.running_slope(rate, layer, &outputs.clone().without_autodiff(), valid)?;
            Some((outputs.clone() * slope.mul_scalar(share)).sum())
        });
        sum(terms)
    }

    /// Takes over what was counted in other sequences of the batch.
    pub(crate) fn join(&mut self, others: Vec<Self>) {
        let join = |mine: &mut Tensor<2>, others: Vec<Tensor<2>>| {
            *mine = Tensor::cat([mine.clone()].into_iter().chain(others).collect(), 0);
        };
        for layer in 0..self.counts.len() {
            join(&mut self.counts[layer], others.iter().map(|other| other.counts[layer].clone()).collect());
            join(&mut self.excess[layer], others.iter().map(|other| other.excess[layer].clone()).collect());
        }
        if let Some(RunningRates { means, .. }) = &mut self.running {
            for (layer, mean) in means.iter_mut().enumerate() {
                let of_others = others.iter().filter_map(|other| other.running.as_ref());
                join(mean, of_others.map(|running| running.means[layer].clone()).collect());
            }
        }
        self.steps.extend(others.into_iter().flat_map(|other| other.steps));
    }

    /// Counts the outputs of all layers, where valid.
    pub(crate) fn add_layers(&mut self, layers: &[Tensor<3>], valid: Option<&Tensor<3>>) {
        for (layer, outputs) in layers.iter().enumerate() {
            self.add_spikes(layer, outputs, valid);
        }
    }

    /// Counts the steps of sequences of some lengths. Call it before the rates are asked for.
    pub(crate) fn add_steps(&mut self, lengths: &[usize]) {
        for (steps, &length) in self.steps.iter_mut().zip(lengths) {
            *steps += length as f64;
        }
    }

    /// Counts the outputs of a layer, [steps, batch, neurons], where valid ([steps, batch, 1]).
    pub(crate) fn add_spikes(&mut self, layer: usize, outputs: &Tensor<3>, valid: Option<&Tensor<3>>) {
        let outputs = match valid {
            Some(valid) => outputs.clone() * valid.clone(),
            None => outputs.clone(),
        };
        let count = outputs.sum_dim(0).squeeze_dim(0) - self.excess[layer].clone();
        let sum = self.counts[layer].clone();
        self.counts[layer] = sum.clone() + count.clone();
        self.excess[layer] = (self.counts[layer].clone() - sum) - count;
    }

    /// The rate of each neuron over the batch, by layer, `[neurons]`.
    pub(crate) fn firing_rates(&self) -> Vec<Tensor<1>> {
        let layers = 0..self.counts.len();
        layers.map(|layer| self.batch_rates(layer).squeeze_dim(0)).collect()
    }

    /// f over the batch, [1, neurons].
    fn batch_rates(&self, layer: usize) -> Tensor<2> {
        self.counts[layer].clone().sum_dim(0).mul_scalar(1.0 / self.all_steps())
    }

    /// f, [1, neurons] over the batch or [batch, neurons] of each trial.
    fn rates(&self, layer: usize, averaging: RateAveraging) -> Tensor<2> {
        match (averaging, &self.running) {
            (RateAveraging::Batch, _) => self.batch_rates(layer),
            (RateAveraging::PerTrial, _) => {
                self.counts[layer].clone() * self.trial_weights(layer, f64::recip)
            }
            (RateAveraging::Running { .. }, Some(running)) => running.means[layer].clone(),
            (RateAveraging::Running { .. }, None) => {
                unreachable!("a counter has the means that its regulariser asks for")
            }
        }
    }

    /// E_reg of all layers.
    pub(crate) fn loss(&self, rate: &RateRegularization) -> Tensor<1> {
        let losses = (0..self.counts.len()).map(|layer| {
            let excess = self.rates(layer, rate.averaging).sub_scalar(rate.target_per_step);
            let excess = match rate.averaging {
                RateAveraging::Batch => excess,
                RateAveraging::PerTrial | RateAveraging::Running { .. } => {
                    excess * self.trial_weights(layer, |_| 1.0)
                }
            };
            (excess.clone() * excess).sum().mul_scalar(0.5 * rate.strength / self.trials(rate))
        });
        losses.reduce(|sum, loss| sum + loss).expect("a network has a layer")
    }

    /// r = ∂E_reg/∂z, where it is the same at each valid step: [1, neurons] or [batch, neurons]; `None` for [running
    /// means](Self::running_slope).
    pub(crate) fn slope(&self, rate: &RateRegularization, layer: usize) -> Option<Tensor<2>> {
        let excess = || self.rates(layer, rate.averaging).sub_scalar(rate.target_per_step);
        match rate.averaging {
            RateAveraging::Batch => Some(excess().mul_scalar(rate.strength / self.all_steps())),
            RateAveraging::PerTrial => {
                let each_step = excess() * self.trial_weights(layer, f64::recip);
                Some(each_step.mul_scalar(rate.strength / self.trials(rate)))
            }
            RateAveraging::Running { .. } => None,
        }
    }

    fn all_steps(&self) -> f64 {
        self.steps.iter().sum::<f64>().max(1.0)
    }

    /// How many rates of a neuron there are: one, or one for each sequence that has a step.
    pub(crate) fn trials(&self, rate: &RateRegularization) -> f64 {
        match rate.averaging {
            RateAveraging::Batch => 1.0,
            RateAveraging::PerTrial | RateAveraging::Running { .. } => self.sequences(),
        }
    }

    /// How many sequences have a step; 1 where none has.
    pub(crate) fn sequences(&self) -> f64 {
        self.steps.iter().filter(|&&steps| steps > 0.0).count().max(1) as f64
    }

    /// A function of each trial's steps, 0 for a trial without any, [batch, 1].
    fn trial_weights(&self, layer: usize, weight: impl Fn(f64) -> f64) -> Tensor<2> {
        let counts = &self.counts[layer];
        let values: Vec<f64> =
            self.steps.iter().map(|&steps| if steps > 0.0 { weight(steps) } else { 0.0 }).collect();
        let data = TensorData::new(values, [self.steps.len(), 1]);
        Tensor::from_data(data, (&counts.device(), counts.dtype()))
    }
}

/// The values [steps, batch, neurons] at the last valid step of each sequence; `before` where there is none.
fn last_valid(values: &Tensor<3>, before: Tensor<2>, valid: Option<&Tensor<3>>) -> Tensor<2> {
    let [steps, _, neurons] = values.dims();
    let Some(valid) = valid else {
        return values.clone().narrow(0, steps - 1, 1).squeeze_dim(0);
    };
    let count = valid.clone().sum_dim(0).int().repeat_dim(2, neurons);
    let all = Tensor::cat(vec![before.unsqueeze_dim(0), values.clone()], 0);
    all.gather(0, count).squeeze_dim(0)
}

impl Carried for SpikeCounter {
    fn visit(&mut self, archive: &mut Archive) {
        for (layer, (count, excess)) in self.counts.iter_mut().zip(&mut self.excess).enumerate() {
            archive.tensor(&format!("counts.{layer}"), count);
            archive.tensor(&format!("excess.{layer}"), excess);
        }
        for (layer, mean) in self.running.iter_mut().flat_map(|running| running.means.iter_mut().enumerate())
        {
            archive.tensor(&format!("running.{layer}"), mean);
        }
        for (trial, steps) in self.steps.iter_mut().enumerate() {
            archive.number(&format!("steps.{trial}"), steps);
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::cell::LifConfig;
    use crate::network::NetworkConfig;

    /// float32 has no number between 2²⁴ and 2²⁴ + 2.
    #[test]
    fn single_spikes_count_beyond_the_precision_of_float32() {
        let device = Device::flex();
        let network = NetworkConfig::new(1, 1).init(vec![LifConfig::new(1).init(&device)], &device);
        let mut spikes = SpikeCounter::new(&network, 1, None);
        let many = 16_777_216.0;
        spikes.add_spikes(0, &Tensor::full([1, 1, 1], many, &device), None);
        for _ in 0..100 {
            spikes.add_spikes(0, &Tensor::ones([1, 1, 1], &device), None);
        }
        assert_eq!(spikes.counts[0].clone().into_scalar::<f64>(), many + 100.0);
    }
}
