//! Back-propagation through time in Burn's autodiff graph: the exact baseline.

use burn::optim::GradientsParams;
use burn::tensor::Tensor;

use super::rate::SpikeCounter;
use super::window::{Window, WindowOptions, with_autodiff};
use super::{Estimate, GradientEstimator, check_batch, loss_divisor, voltage_excess};
use crate::autodiff::backward;
use crate::batch::{Batch, BatchChunk};
use crate::cell::Cell;
use crate::loss::{Objective, VoltageRegularization};
use crate::network::{GradientPaths, Network, Record};
use crate::steps::sum;

/// The gradient of the whole sequence, exact for the cells' own steps (with the pseudo-derivative in place of
/// a spike's derivative). Memory grows with the length of the sequence.
#[derive(Debug, Clone, Copy)]
pub struct Bptt {
    objective: Objective,
    paths: GradientPaths,
    outputs: bool,
    kernels: bool,
}

impl Bptt {
    /// BPTT along all paths.
    ///
    /// # Panics
    ///
    /// If the objective is not [valid](Objective::validate).
    #[track_caller]
    pub fn new(objective: Objective) -> Self {
        Self { objective: objective.checked(), paths: GradientPaths::ALL, outputs: false, kernels: true }
    }

    /// Follows the given paths only. Without the reset's path this is the variant that leaves the
    /// reset out of the graph; with [`GradientPaths::LOCAL`] it is symmetric e-prop computed by autodiff.
    pub fn with_paths(self, paths: GradientPaths) -> Self {
        Self { paths, ..self }
    }

    /// Whether a cell's kernel may stand for its steps in the graph, where it has one (the default). Without, every
    /// operation of every step is a node of Burn's autodiff: slower, and the reference for the kernels. There is none for voltage
    /// regularisation along [other paths](Self::with_paths) than all, or elsewhere than on a CPU.
    pub fn with_kernels(self, kernels: bool) -> Self {
        Self { kernels, ..self }
    }

    /// Whether estimates hold the outputs of all steps.
    pub fn with_outputs(self, outputs: bool) -> Self {
        Self { outputs, ..self }
    }
}

impl Bptt {
    /// Half the sum of squared excesses of all layers.
    fn voltage_excesses<C: Cell>(
        &self,
        network: &Network<C>,
        window: &Window,
        chunk: &BatchChunk,
    ) -> Tensor<1> {
        let batch = window.outputs.dims()[1];
        let layers = network.layers.iter().zip(&window.steps).flat_map(|(layer, steps)| {
            let rows = steps.transitions[0].after.output.dims()[0] / batch;
            steps.transitions.iter().enumerate().map(move |(index, transition)| {
                let valid = chunk.valid.as_ref();
                let valid = valid.map(|valid| valid.clone().narrow(0, index * rows, rows));
                voltage_excess(&layer.cell, transition, valid.as_ref()).0
            })
        });
        sum(layers.map(Some)).expect("a network has a layer, and a batch a step")
    }
}

impl<C: Cell> GradientEstimator<C> for Bptt {
    fn objective(&self) -> &Objective {
        &self.objective
    }

    #[track_caller]
    fn estimate(&mut self, network: &Network<C>, batch: &Batch) -> Estimate {
        check_batch(network, batch);
        let network = with_autodiff(network);
        let divisor = loss_divisor(&self.objective, batch);
        let chunk = batch.chunk(0..batch.steps(), divisor, network.readout.weight.dtype());
        let voltage = self.objective.voltage;
        let options = WindowOptions {
            paths: self.paths,
            // Steps that are replayed follow all paths.
            kernels: self.kernels && (voltage.is_none() || self.paths == GradientPaths::ALL),
            record: if voltage.is_some() { Record::InGraph } else { Record::Nothing },
            ..WindowOptions::PLAIN
        };
        let state = network.initial_state(batch.size());
        let window = Window::run(&network, &network.weights(), state, &chunk.inputs, options);
        let loss = window.loss(&self.objective, &chunk);

        let mut spikes = SpikeCounter::new(&network, batch.size(), self.objective.rate.as_ref());
        spikes.add_steps(&batch.lengths());
        spikes.add_layers(&window.layers, chunk.valid.as_ref());
        let mut total = loss.clone();
        let mut rate_loss = None;
        if let Some(rate) = &self.objective.rate {
            let pull = spikes.running_pull(rate, &window.layers, chunk.valid.as_ref());
            let of_rates = spikes.loss(rate);
            total = total + pull.unwrap_or_else(|| of_rates.clone());
            rate_loss = Some(of_rates);
        }
        let voltage_loss = voltage.map(|VoltageRegularization { strength }| {
            let excesses = self.voltage_excesses(&network, &window, &chunk);
            excesses.mul_scalar(strength / spikes.sequences())
        });
        if let Some(of_voltages) = &voltage_loss {
            total = total + of_voltages.clone();
        }
        Estimate {
            loss: loss.into_scalar::<f64>(),
            rate_loss: rate_loss.map_or(0.0, |loss| loss.into_scalar::<f64>()),
            voltage_loss: voltage_loss.map_or(0.0, |loss| loss.into_scalar::<f64>()),
            outputs: self.outputs.then(|| window.outputs.without_autodiff().swap_dims(0, 1)),
            firing_rates: spikes.firing_rates().into_iter().map(Tensor::without_autodiff).collect(),
            gradients: GradientsParams::from_grads(backward(&total), &network),
        }
    }
}
