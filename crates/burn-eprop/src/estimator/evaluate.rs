//! Loss, outputs and firing rates without gradients.

use std::ops::Range;

use burn::module::Module;
use burn::tensor::Tensor;

use super::rate::SpikeCounter;
use super::{Schedule, check_batch, loss_divisor};
use crate::batch::{Batch, BatchChunk};
use crate::cell::Cell;
use crate::kernel;
use crate::loss::Objective;
use crate::network::{Network, NetworkChunk, NetworkState, Purpose};

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
#[track_caller]
pub fn evaluate<C: Cell>(network: &Network<C>, batch: &Batch, objective: &Objective) -> Evaluation {
    check_batch(network, batch);
    let objective = objective.checked();
    let on_cpu = kernel::is_on_cpu(&network.readout.weight.val().without_autodiff());
    let threads = if on_cpu { kernel::threads() } else { 1 };
    let schedule = Schedule::suited_to(network, batch.size(), batch.steps(), threads);
    batch.loss_steps(); // once for all parts
    let part = |sequences| (network.valid(), batch.clone(), sequences);
    let parts = schedule.parts.iter().cloned().map(part).collect();
    let evaluate_part = move |(network, batch, sequences): (Network<C>, Batch, Range<usize>)| {
        // Cut only now: on some devices it is a copy.
        let batch = batch.sequences(sequences);
        let mut spikes = SpikeCounter::new(&network, batch.size(), None);
        let mut loss = 0.0;
        let mut outputs = Vec::new();
        let chunks = chunks(&network, &batch, &objective, schedule.chunk);
        let state = network.initial_state(batch.size());
        run_forward(&network, state, &batch, chunks, &mut spikes, |of_chunk, chunk| {
            loss += objective.loss.value(chunk.judged(&of_chunk)).into_scalar::<f64>();
            outputs.push(of_chunk);
        });
        (loss, vec![(Tensor::cat(outputs, 0).swap_dims(0, 1), spikes)])
    };
    type Found = (f64, Vec<(Tensor<3>, SpikeCounter)>);
    let join = |(loss, mut parts): Found, (other_loss, other_parts): Found| {
        parts.extend(other_parts);
        (loss + other_loss, parts)
    };
    let finish = |(loss, parts): Found| {
        let (outputs, mut spikes): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
        let others = spikes.split_off(1);
        spikes[0].join(others);
        Evaluation { loss, outputs: Tensor::cat(outputs, 0), firing_rates: spikes[0].firing_rates() }
    };
    kernel::in_parts(on_cpu, parts, evaluate_part, join, finish).expect("a batch has a sequence")
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

/// Runs a network without autodiff through the chunks of a batch and counts its spikes; `see` gets the outputs.
pub(super) fn run_forward<C: Cell>(
    network: &Network<C>,
    mut state: NetworkState,
    batch: &Batch,
    chunks: impl Iterator<Item = BatchChunk>,
    spikes: &mut SpikeCounter,
    mut see: impl FnMut(Tensor<3>, &BatchChunk),
) {
    spikes.add_steps(&batch.lengths());
    for chunk in chunks {
        let NetworkChunk { layers, outputs, .. } =
            network.advance(&mut state, chunk.inputs.clone(), Purpose::Outputs);
        let layers: Vec<_> = layers.into_iter().map(|layer| layer.outputs).collect();
        spikes.add_layers(&layers, chunk.valid.as_ref());
        see(outputs, &chunk);
    }
}
