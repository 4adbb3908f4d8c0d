//! Loss, outputs and firing rates without gradients.

use burn::module::Module;
use burn::tensor::Tensor;

use super::bptt::{Window, run_window};
use super::rate::SpikeCounter;
use super::{check_batch, loss_divisor};
use crate::batch::{Batch, BatchChunk};
use crate::cell::Cell;
use crate::loss::Objective;
use crate::network::{GradientPaths, Network, NetworkState};

/// Steps that are simulated at a time.
const CHUNK: usize = 64;

/// How a network does on a batch.
#[derive(Debug)]
pub struct Evaluation {
    /// The task's loss.
    pub loss: f64,
    /// y, [batch, time, outputs].
    pub outputs: Tensor<3>,
    /// The mean output of each neuron over batch and time (spikes per step), by layer, `[neurons]`.
    pub firing_rates: Vec<Tensor<1>>,
}

/// Runs a network on a batch, without gradients and without autodiff.
///
/// # Panics
///
/// If the batch does not fit the network, or the objective is not [valid](Objective::validate).
pub fn evaluate<C: Cell>(network: &Network<C>, batch: &Batch, objective: &Objective) -> Evaluation {
    check_batch(network, batch);
    let objective = &objective.checked();
    let network = network.valid();
    let mut spikes = SpikeCounter::new(&network, batch.size());
    let mut loss = 0.0;
    let mut outputs = Vec::new();
    let chunks = chunks(&network, batch, objective, CHUNK);
    let state = network.initial_state(batch.size());
    run_forward(&network, state, batch, chunks, &mut spikes, |window, chunk| {
        loss += window.loss(objective, chunk).into_scalar::<f64>();
        outputs.push(window.outputs);
    });
    Evaluation { loss, outputs: Tensor::cat(outputs, 0).swap_dims(0, 1), firing_rates: spikes.firing_rates() }
}

/// A batch in chunks of `length` steps.
pub(super) fn chunks<C: Cell>(
    network: &Network<C>,
    batch: &Batch,
    objective: &Objective,
    length: usize,
) -> impl Iterator<Item = BatchChunk> {
    let divisor = loss_divisor(objective, batch);
    let dtype = network.readout.weight.dtype();
    let steps = batch.steps();
    let starts = (0..steps).step_by(length);
    starts.map(move |start| batch.chunk(start..(start + length).min(steps), divisor, dtype))
}

/// Runs a network without autodiff through the chunks of a batch and counts its spikes.
pub(super) fn run_forward<C: Cell>(
    network: &Network<C>,
    mut state: NetworkState,
    batch: &Batch,
    chunks: impl Iterator<Item = BatchChunk>,
    spikes: &mut SpikeCounter,
    mut see: impl FnMut(Window, &BatchChunk),
) {
    spikes.add_steps(batch);
    for chunk in chunks {
        let window = run_window(network, state, &chunk, GradientPaths::LOCAL);
        spikes.add_layers(&window.layers, &chunk);
        state = window.state.clone();
        see(window, &chunk);
    }
}
