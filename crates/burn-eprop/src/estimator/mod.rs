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
mod prediction;
pub(crate) mod rate;
mod record;
mod schedule;
pub(crate) mod window;
mod windows;

pub use boundary::{BoundaryGradient, BoundaryLearning};
pub use bptt::Bptt;
pub use eprop::{Eprop, EpropState};
pub use evaluate::{Evaluation, evaluate};
pub use prediction::Prediction;
pub(crate) use prediction::Simulation;
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
    /// What its gradients lower.
    fn objective(&self) -> &Objective;

    /// Loss and gradients of a batch of whole sequences. Parameters that are frozen (by Burn's `freeze`, `no_grad`,
    /// `freeze_group` or `set_require_grad(false)`) have none; feedback weights have one where the learning signal trains them.
    ///
    /// # Panics
    ///
    /// If the batch is on another device than the network, its inputs or targets are not as many as the network's inputs and outputs, or voltages are to be held of a cell
    /// without a membrane potential.
    #[track_caller]
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
    #[track_caller]
    fn feed(&mut self, network: &Network<C>, state: &mut Self::State, piece: &Batch) -> Estimate;

    /// The outputs for the next inputs [batch, time, inputs] of the stream, before their targets are known. The state stays where it
    /// is: what follows is [`feed`](Self::feed) with [`Prediction::into_piece`], for which [`Eprop`] needs no second run.
    ///
    /// # Panics
    ///
    /// If the inputs do not fit the network, or their batch is not the state's.
    fn predict(&self, network: &Network<C>, state: &Self::State, inputs: Tensor<3>) -> Prediction;
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

/// # Panics
///
/// If the batch does not fit the network.
#[track_caller]
pub(crate) fn check_batch<C: Cell>(network: &Network<C>, batch: &Batch) {
    network.check_inputs(batch.inputs());
    batch.check_device(&network.device());
    let given = batch.targets().dims();
    let expected = [given[0], given[1], network.outputs()];
    let classes = match given[2] {
        1 => "; `Batch::classes` and `Batch::step_classes` take class ids",
        _ => "",
    };
    assert_eq!(given, expected, "targets {given:?} for a network whose outputs are {expected:?}{classes}");
}
