//! e-prop 1: eligibility traces, run forward, times a learning signal.

mod pass;
mod state;

pub use state::EpropState;

use std::ops::Range;

use burn::module::Module;
use burn::tensor::Tensor;

use super::record::ChunkRecord;
use super::{Estimate, GradientEstimator, OnlineEstimator, Prediction, Schedule, check_batch};
use crate::autodiff::forget_replaced_weights;
use crate::batch::Batch;
use crate::cell::Cell;
use crate::kernel;
use crate::loss::Objective;
use crate::network::Network;
use crate::signal::{LearningSignal, decay_weights};
use pass::{Settings, Sums};

/// e-prop 1 (Bellec et al. 2019, arXiv:1901.09049): dE/dW_ji ≈ Σ_t L_j^t ē_ji^t. With a
/// [learned signal](crate::signal::Learned), which multiplies the unfiltered e, it is the update of e-prop 2.
///
/// Everything runs on the device without autodiff, so that memory does not grow with the length of the
/// sequence. The gradients of the readout are exact.
///
/// On a CPU, the first call has the process's allocator, if it is glibc's, keep freed blocks of up to 31 MiB for the next
/// chunk; its arenas may then hold on to up to twice as much each.
#[derive(Debug, Clone)]
pub struct Eprop {
    signal: Box<dyn LearningSignal>,
    settings: Settings,
}

/// What has come of some sequences of a batch.
struct Found<C: Cell> {
    network: Network<C>,
    sums: Sums,
    state: EpropState,
    /// Where sequences were gone through in several parts, the states after the others.
    others: Vec<EpropState>,
}

impl Eprop {
    /// e-prop with the given learning signal.
    ///
    /// # Panics
    ///
    /// If the objective is not [valid](Objective::validate).
    #[track_caller]
    pub fn new(objective: Objective, signal: impl LearningSignal + 'static) -> Self {
        Self::boxed(objective, Box::new(signal))
    }

    /// As [`new`](Self::new), for a signal chosen at run time.
    ///
    /// # Panics
    ///
    /// If the objective is not [valid](Objective::validate).
    #[track_caller]
    pub fn boxed(objective: Objective, signal: Box<dyn LearningSignal>) -> Self {
        let settings = Settings { objective: objective.checked(), chunk: None, outputs: false };
        Self { signal, settings }
    }

    /// The number of steps that are simulated before the traces are touched, in place of one that follows from sizes (of
    /// at most 512). It changes speed and memory, not the gradient.
    ///
    /// # Panics
    ///
    /// If `steps` is 0.
    #[track_caller]
    pub fn with_chunk(self, steps: usize) -> Self {
        assert!(steps > 0, "a chunk has at least one step");
        Self { settings: Settings { chunk: Some(steps), ..self.settings }, ..self }
    }

    /// Whether estimates hold the outputs of all steps, which takes memory in proportion to them.
    pub fn with_outputs(self, outputs: bool) -> Self {
        Self { settings: Settings { outputs, ..self.settings }, ..self }
    }

    /// As [`estimate`](GradientEstimator::estimate); `observer` sees each chunk, of all sequences together.
    #[track_caller]
    pub fn estimate_observed<C: Cell>(
        &mut self,
        network: &Network<C>,
        batch: &Batch,
        observer: &mut dyn FnMut(ChunkRecord),
    ) -> Estimate {
        let mut state = self.start(network, batch.size());
        check(network, &state, batch, &self.settings.objective);
        forget_replaced_weights(network);
        let (settings, network) = (self.settings, network.valid());
        let sums = settings.run(&network, &mut state, batch, false, Some(observer));
        settings.finish(&network, &mut state, sums)
    }

    /// As [`feed`](OnlineEstimator::feed); `observer` sees each chunk.
    #[track_caller]
    pub fn feed_observed<C: Cell>(
        &mut self,
        network: &Network<C>,
        state: &mut EpropState,
        piece: &Batch,
        observer: &mut dyn FnMut(ChunkRecord),
    ) -> Estimate {
        check(network, state, piece, &self.settings.objective);
        forget_replaced_weights(network);
        let (settings, network) = (self.settings, network.valid());
        let sums = settings.run(&network, state, piece, true, Some(observer));
        settings.finish(&network, state, sums)
    }
}

impl<C: Cell> GradientEstimator<C> for Eprop {
    fn objective(&self) -> &Objective {
        &self.settings.objective
    }

    #[track_caller]
    fn estimate(&mut self, network: &Network<C>, batch: &Batch) -> Estimate {
        check_batch(network, batch);
        forget_replaced_weights(network);
        let on_cpu = kernel::is_on_cpu(&network.readout.weight.val().without_autodiff());
        let threads = if on_cpu && self.signal.separates_sequences() { kernel::threads() } else { 1 };
        let schedule = Schedule::suited_to(network, batch.size(), batch.steps(), threads);
        batch.loss_steps(); // once for all parts
        let part = |sequences: Range<usize>| {
            let state = self.start(network, sequences.len());
            (network.valid(), state, batch.clone(), sequences)
        };
        let parts: Vec<_> = schedule.parts.into_iter().map(part).collect();
        let settings = self.settings;
        let run =
            move |(network, mut state, batch, sequences): (Network<C>, EpropState, Batch, Range<usize>)| {
                // Cut only now: on some devices it is a copy.
                let sums = settings.run(&network, &mut state, &batch.sequences(sequences), false, None);
                Found { network, sums, state, others: Vec::new() }
            };
        let finish = move |found: Found<C>| {
            let Found { network, sums, mut state, others } = found;
            state.join(others);
            settings.finish(&network, &mut state, sums)
        };
        kernel::in_parts(on_cpu, parts, run, Found::join, finish).expect("a batch has a sequence")
    }

    fn after_update(&self, network: Network<C>) -> Network<C> {
        decay_weights(self.signal.as_ref(), network)
    }
}

impl<C: Cell> OnlineEstimator<C> for Eprop {
    type State = EpropState;

    fn start(&mut self, network: &Network<C>, batch: usize) -> EpropState {
        EpropState::new(&network.valid(), batch, self.settings.objective, self.signal.clone())
    }

    #[track_caller]
    fn feed(&mut self, network: &Network<C>, state: &mut EpropState, piece: &Batch) -> Estimate {
        let on_cpu = kernel::is_on_cpu(&network.readout.weight.val().without_autodiff());
        let settings = self.settings;
        check(network, state, piece, &settings.objective);
        forget_replaced_weights(network);
        let (network, piece) = (network.valid(), piece.clone());
        kernel::in_pool(on_cpu, move || {
            let sums = settings.run(&network, state, &piece, true, None);
            settings.finish(&network, state, sums)
        })
    }

    #[track_caller]
    fn predict(&self, network: &Network<C>, state: &EpropState, inputs: Tensor<3>) -> Prediction {
        network.check_inputs(&inputs);
        state.network.check(network, inputs.dims()[0]);
        let on_cpu = kernel::is_on_cpu(&network.readout.weight.val().without_autodiff());
        let (settings, network) = (self.settings, network.valid());
        kernel::in_pool(on_cpu, move || settings.predict(&network, state, inputs))
    }
}

/// # Panics
///
/// If batch, network, state and objective do not fit each other.
#[track_caller]
fn check<C: Cell>(network: &Network<C>, state: &EpropState, batch: &Batch, objective: &Objective) {
    check_batch(network, batch);
    if let Some(simulation) = batch.simulation() {
        let (then, now) = (simulation.time, state.time);
        assert_eq!(then, now, "a piece predicted at step {then} of a stream that is at step {now}");
    }
    state.network.check(network, batch.size());
    let (held, asked) = (!state.voltage_traces.is_empty(), objective.voltage.is_some());
    assert_eq!(held, asked, "voltage regularisation of the state: {held}, of the objective: {asked}");
}

impl<C: Cell> Found<C> {
    /// Takes over what was found in other sequences of the batch.
    fn join(mut self, mut other: Self) -> Self {
        self.sums = self.sums.join(other.sums);
        for (mine, other) in self.state.traces.iter_mut().zip(&mut other.state.traces) {
            mine.add_sum(other);
        }
        self.others.push(other.state);
        self.others.extend(other.others);
        self
    }
}
