//! Truncated back-propagation through time: exact within windows, nothing between them.

use burn::module::Module;
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::Tensor;

use super::bptt::{run_window, with_autodiff};
use super::evaluate::{chunks, run_forward};
use super::rate::SpikeCounter;
use super::{Estimate, GradientEstimator, OnlineEstimator, check_batch};
use crate::batch::Batch;
use crate::carried::{Archive, Carried};
use crate::cell::Cell;
use crate::loss::Objective;
use crate::network::{GradientPaths, Network, NetworkState};

/// BPTT over windows of Δt steps; the state passes from window to window, the gradient does not.
///
/// Firing-rate regularisation needs the rates of the whole trial: a first run forward finds them. In a stream the
/// rates up to and including the piece stand in for them.
#[derive(Debug, Clone, Copy)]
pub struct TruncatedBptt {
    objective: Objective,
    window: usize,
    paths: GradientPaths,
    outputs: bool,
    kernels: bool,
}

/// What truncated BPTT carries from piece to piece of a sequence.
#[derive(Debug, Clone)]
pub struct TruncatedBpttState {
    network: NetworkState,
    spikes: SpikeCounter,
}

impl TruncatedBptt {
    /// Truncated BPTT with windows of `window` steps.
    ///
    /// # Panics
    ///
    /// If `window` is 0 or the objective is not [valid](Objective::validate).
    pub fn new(objective: Objective, window: usize) -> Self {
        assert!(window > 0, "a window has at least one step");
        Self {
            objective: objective.checked(),
            window,
            paths: GradientPaths::ALL,
            outputs: false,
            kernels: true,
        }
    }

    /// Follows the given paths only.
    pub fn with_paths(self, paths: GradientPaths) -> Self {
        Self { paths, ..self }
    }

    /// Whether a cell's kernel may stand for its steps in the graph, where it has one (the default).
    pub fn with_kernels(self, kernels: bool) -> Self {
        Self { kernels, ..self }
    }

    /// Whether estimates hold the outputs of all steps.
    pub fn with_outputs(self, outputs: bool) -> Self {
        Self { outputs, ..self }
    }

    /// The spikes up to the end of the batch, found without a graph.
    fn count_spikes<C: Cell>(
        &self,
        network: &Network<C>,
        state: &TruncatedBpttState,
        batch: &Batch,
    ) -> SpikeCounter {
        let network = network.valid();
        let mut spikes = state.spikes.clone();
        let chunks = chunks(&network, batch, &self.objective, self.window);
        run_forward(&network, state.network.clone(), batch, chunks, &mut spikes, |_, _| {});
        spikes
    }
}

impl Carried for TruncatedBpttState {
    fn visit(&mut self, archive: &mut Archive) {
        archive.part("network", |archive| self.network.visit(archive));
        archive.part("spikes", |archive| self.spikes.visit(archive));
    }
}

impl<C: Cell> GradientEstimator<C> for TruncatedBptt {
    fn estimate(&mut self, network: &Network<C>, batch: &Batch) -> Estimate {
        let mut state = self.start(network, batch.size());
        self.feed(network, &mut state, batch)
    }
}

impl<C: Cell> OnlineEstimator<C> for TruncatedBptt {
    type State = TruncatedBpttState;

    fn start(&mut self, network: &Network<C>, batch: usize) -> TruncatedBpttState {
        TruncatedBpttState {
            network: network.valid().initial_state(batch),
            spikes: SpikeCounter::new(network, batch),
        }
    }

    fn feed(&mut self, network: &Network<C>, state: &mut TruncatedBpttState, piece: &Batch) -> Estimate {
        check_batch(network, piece);
        state.network.check(network, piece.size());
        let network = with_autodiff(network);
        let slopes: Option<Vec<_>> = self.objective.rate.map(|rate| {
            let spikes = self.count_spikes(&network, state, piece);
            (0..network.layers.len()).map(|layer| spikes.slope(&rate, layer)).collect()
        });
        state.spikes.add_steps(piece);

        let mut total = GradientsAccumulator::new();
        let mut loss = 0.0;
        let mut outputs = Vec::new();
        for chunk in chunks(&network, piece, &self.objective, self.window) {
            let window = run_window(&network, state.network.clone(), &chunk, self.paths, self.kernels);
            let task_loss = window.loss(&self.objective, &chunk);
            loss += task_loss.clone().into_scalar::<f64>();
            let mut objective = task_loss;
            for (neurons, slope) in window.layers.iter().zip(slopes.iter().flatten()) {
                objective = objective + rate_term(neurons, slope, chunk.valid.as_ref());
            }
            let gradients = GradientsParams::from_grads(objective.backward(), &network);
            total.accumulate(&network, gradients);
            state.network = window.state.detach();
            let layers: Vec<_> = window.layers.into_iter().map(Tensor::without_autodiff).collect();
            state.spikes.add_layers(&layers, &chunk);
            if self.outputs {
                outputs.push(window.outputs.without_autodiff());
            }
        }
        Estimate {
            loss,
            rate_loss: self.objective.rate.map_or(0.0, |rate| state.spikes.loss(&rate).into_scalar::<f64>()),
            outputs: self.outputs.then(|| Tensor::cat(outputs, 0).swap_dims(0, 1)),
            firing_rates: state.spikes.firing_rates(),
            gradients: total.grads(),
        }
    }
}

/// Σ r z over valid steps, whose gradient is the regulariser's.
fn rate_term(neurons: &Tensor<3>, slope: &Tensor<2>, valid: Option<&Tensor<3>>) -> Tensor<1> {
    let weighted = neurons.clone() * slope.clone().unsqueeze_dim(0);
    match valid {
        Some(valid) => (weighted * valid.clone()).sum(),
        None => weighted.sum(),
    }
}
