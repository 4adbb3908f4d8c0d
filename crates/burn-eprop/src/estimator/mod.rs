//! Gradient estimators: the algorithms, behind one trait.
//!
//! | estimator | gradient | memory in the sequence's length T |
//! |---|---|---|
//! | [`Eprop`] | e-prop 1: eligibility traces times a learning signal | constant |
//! | [`Bptt`] | exact, in Burn's autodiff graph | proportional |
//! | [`TruncatedBptt`] | exact within windows, in Burn's autodiff graph | constant |
//! | [`Eprop3`] | e-prop 3: exact within windows, and of them into the past by eligibility traces | constant |
//!
//! e-prop 2, whose learning signals come from an error module, is [`Eprop`] with the signal
//! [`Learned`](crate::signal::Learned); its outer loop is in [`meta`](crate::meta).
//!
//! The last two reach beyond a window's end where the network has a
//! [synthetic gradient](crate::synthetic_gradient).
//!
//! Each takes a [`Network`] and a [`Batch`] and returns an [`Estimate`] with Burn's
//! [`GradientsParams`], which any Burn optimizer applies.

mod boundary;
mod bptt;
mod eprop;
mod evaluate;
pub(crate) mod rate;
mod record;
mod schedule;
pub(crate) mod window;
mod windows;

pub use boundary::{BoundaryGradient, BoundaryLearning};
pub use bptt::Bptt;
pub use eprop::{Eprop, EpropState};
pub use evaluate::{Evaluation, evaluate};
pub use record::{ChunkRecord, LayerRecord};
use schedule::Schedule;
pub use windows::{Eprop3, TruncatedBptt, Windows, WindowsState};

use burn::optim::GradientsParams;
use burn::tensor::Tensor;

use crate::batch::Batch;
use crate::cell::{Cell, Transition};
use crate::loss::{Objective, Reduction};
use crate::network::Network;

/// What an estimator found.
#[derive(Debug)]
pub struct Estimate {
    /// The task's loss.
    pub loss: f64,
    /// The firing-rate regulariser's loss, of the rates since the start of the sequence; 0 without one.
    pub rate_loss: f64,
    /// The voltage regulariser's loss, of this batch or piece; 0 without one.
    pub voltage_loss: f64,
    /// y, [batch, time, outputs], where asked for.
    pub outputs: Option<Tensor<3>>,
    /// The mean output of each neuron over batch and time (spikes per step), by layer, `[neurons]`.
    pub firing_rates: Vec<Tensor<1>>,
    /// The gradients, by the network's parameter ids.
    pub gradients: GradientsParams,
}

/// Half the sum of the squared [excesses](Cell::voltage_excess) of some steps, and the excesses, [steps · batch, neurons], where valid.
pub(crate) fn voltage_excess<C: Cell>(
    cell: &C,
    transition: &Transition,
    valid: Option<&Tensor<3>>,
) -> (Tensor<1>, Tensor<2>) {
    let excess = cell.voltage_excess(transition);
    let excess = excess.expect("voltage regularisation is for cells with a membrane potential");
    let excess = match valid {
        Some(valid) => excess * valid.clone().reshape([-1, 1]),
        None => excess,
    };
    ((excess.clone() * excess.clone()).sum().mul_scalar(0.5), excess)
}

/// The mean of all neurons' firing rates, given by layer.
pub fn mean_firing_rate(firing_rates: &[Tensor<1>]) -> f64 {
    let neurons: usize = firing_rates.iter().map(|rates| rates.dims()[0]).sum();
    let sums = firing_rates.iter().map(|rates| rates.clone().sum().into_scalar::<f64>());
    sums.sum::<f64>() / neurons as f64
}

/// An algorithm that finds gradients.
pub trait GradientEstimator<C: Cell> {
    /// Loss and gradients of a batch of whole sequences.
    ///
    /// # Panics
    ///
    /// If the batch's inputs or targets are not as many as the network's inputs and outputs, or voltages are to be held of a cell
    /// without a membrane potential.
    fn estimate(&mut self, network: &Network<C>, batch: &Batch) -> Estimate;

    /// What the algorithm does to the network after an optimizer has updated it.
    fn after_update(&self, network: Network<C>) -> Network<C> {
        network
    }
}

/// An estimator that learns from a sequence while it goes on, piece by piece.
///
/// Between two pieces the weights may change; state and traces live on.
pub trait OnlineEstimator<C: Cell>: GradientEstimator<C> {
    /// What is carried from piece to piece.
    type State: Clone;

    /// The state before the first piece of a sequence.
    fn start(&mut self, network: &Network<C>, batch: usize) -> Self::State;

    /// Loss and gradients of the next piece. Without updates in between, the task's and the voltage regulariser's losses and the gradients
    /// of the pieces sum to those of the whole sequence (for a mean loss, of pieces cut by [`Batch::piece`]).
    /// Firing rates, and the rate regulariser's loss, are those since the sequence's start.
    ///
    /// For [`TruncatedBptt`] and [`Eprop3`] this holds without rate regularisation and for pieces that end with a window.
    ///
    /// # Panics
    ///
    /// If the piece does not fit the network, or its batch is not the state's.
    fn feed(&mut self, network: &Network<C>, state: &mut Self::State, piece: &Batch) -> Estimate;
}

/// By what the loss of a batch is divided.
pub(crate) fn loss_divisor(objective: &Objective, batch: &Batch) -> f64 {
    match objective.reduction {
        Reduction::Sum => 1.0,
        // A batch in which no step counts has no loss, whatever it is divided by.
        Reduction::Mean => match batch.loss_steps() {
            0.0 => 1.0,
            steps => steps,
        },
    }
}

/// Has Burn's autodiff forget the weights that an optimizer has replaced since the last call.
///
/// A new weight is a leaf of the graph, and a kilobyte that autodiff notes of it is freed by the next backward pass of whatever
/// tensor, once the leaf is gone. Algorithms that have no backward pass need one of nothing, so that updates without end take
/// no memory.
pub(crate) fn forget_replaced_weights<C: Cell>(network: &Network<C>) {
    let weights = network.readout.weight.val();
    if weights.is_autodiff() {
        let nothing = Tensor::<1>::zeros([1], &weights.device().without_autodiff()).autodiff();
        let _ = nothing.require_grad().backward();
    }
}

/// # Panics
///
/// If the batch does not fit the network.
pub(crate) fn check_batch<C: Cell>(network: &Network<C>, batch: &Batch) {
    network.check_inputs(batch.inputs());
    let given = batch.targets().dims();
    let expected = [given[0], given[1], network.outputs()];
    assert_eq!(given, expected, "targets {given:?} for a network whose outputs are {expected:?}");
}
