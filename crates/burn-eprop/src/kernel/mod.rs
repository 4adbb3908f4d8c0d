//! Hand-written kernels for the hot path: the simulation of a chunk, and the advance of its traces.
//!
//! They are a backend extension of Flex and NdArray, in float32 and float64. On other devices, and for cells
//! without a kernel of their own, the same steps run as tensor operations; both ways give the same results up to
//! rounding, and the tests hold each against the other.
//!
//! The batch is divided over rayon's threads, once for each chunk. With the same number of threads the results are
//! the same to the last bit; another number of threads adds up the gradient's parts in another order.

#![cfg_attr(
    not(any(feature = "flex", feature = "ndarray")),
    allow(dead_code, unused_imports, unused_variables)
)]
#![allow(deprecated, reason = "burn-ndarray is deprecated upstream, and served here as long as it lasts")]

mod backward;
pub mod graph;
mod host;
mod lstm;
mod ops;
mod products;
mod readout;
mod real;
mod recursion;
mod scan;
mod spiking;
mod traces;

pub use ops::{
    CarriedTraces, KernelBackend, List, LstmChunk, LstmRun, SpikingChunk, SpikingRun, TraceChunk, TraceRun,
};
pub use recursion::{Summed, TracePlan};
pub use spiking::SpikingDynamics;

use std::cell::Cell;

use burn::backend::{Dispatch, DispatchTensorKind};
use graph::{GraphBackend, SimulatedSequence};

use crate::cell::Linearization;
use burn::tensor::{DType, Tensor};

thread_local! {
    static BY_TENSOR_OPERATIONS: Cell<bool> = const { Cell::new(false) };
}

/// Does work by tensor operations alone, on any device: the reference for the kernels. It holds on this thread, not on
/// those that the work itself starts.
pub fn by_tensor_operations<R>(work: impl FnOnce() -> R) -> R {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            BY_TENSOR_OPERATIONS.set(self.0);
        }
    }
    let _restore = Restore(BY_TENSOR_OPERATIONS.replace(true));
    work()
}

/// Whether there are kernels for a tensor's device and type, and it is outside of any autodiff graph.
pub fn is_supported<const D: usize>(tensor: &Tensor<D>) -> bool {
    if BY_TENSOR_OPERATIONS.get() {
        return false;
    }
    if tensor.is_autodiff() || !matches!(tensor.dtype(), DType::F32 | DType::F64) {
        return false;
    }
    match tensor.clone().into_dispatch().kind {
        #[cfg(feature = "flex")]
        DispatchTensorKind::Flex(_) => true,
        #[cfg(feature = "ndarray")]
        DispatchTensorKind::NdArray(_) => true,
        #[allow(unreachable_patterns)]
        _ => false,
    }
}

/// Does work that runs through many kernels on one of rayon's threads, if `on_cpu`: each kernel then shares its work
/// with the pool without waking this thread.
pub(crate) fn in_pool<R: Send>(on_cpu: bool, work: impl FnOnce() -> R + Send) -> R {
    if on_cpu { rayon::scope(|_| work()) } else { work() }
}

/// Where a linearisation's coefficients are in a list, and the list. No filter, sums or traces are asked for yet.
pub(crate) fn plan(linearization: &Linearization) -> (TracePlan, Vec<Tensor<2>>) {
    let mut coefficients = Vec::new();
    let mut list = |coefficient: &Option<Tensor<2>>| {
        coefficients.push(coefficient.clone()?);
        Some(coefficients.len() - 1)
    };
    let [a, b] = [&linearization.a, &linearization.b]
        .map(|matrix| matrix.iter().flatten().map(&mut list).collect::<Vec<_>>());
    let [c, d] =
        [&linearization.c, &linearization.d].map(|vector| vector.iter().map(&mut list).collect::<Vec<_>>());
    let (components, currents) = (linearization.components(), linearization.currents());
    let entries = (0..components).flat_map(|hidden| (0..currents).map(move |current| (hidden, current)));
    let plan = TracePlan {
        kappa: 0.0,
        pre_decay: linearization.pre_decay,
        components,
        currents,
        a,
        b,
        c,
        d,
        reached: entries.map(|(hidden, current)| linearization.reaches(hidden, current)).collect(),
        delayed: Vec::new(),
        keep: false,
        summed: Summed::Off,
        // Gates are hardly ever closed; pseudo-derivatives are 0 away from the threshold.
        dense: currents > 1,
    };
    (plan, coefficients)
}

/// Simulates a chunk of a spiking population.
pub(crate) fn simulate_spiking(
    chunk: SpikingChunk<Dispatch>,
    dynamics: SpikingDynamics,
) -> SpikingRun<Dispatch> {
    Dispatch::simulate_spiking(chunk, dynamics)
}

/// Simulates a chunk of an LSTM population.
pub(crate) fn simulate_lstm(chunk: LstmChunk<Dispatch>) -> LstmRun<Dispatch> {
    Dispatch::simulate_lstm(chunk)
}

/// z of a simulated sequence in the autodiff graph.
pub(crate) fn connect(sequence: SimulatedSequence<Dispatch>, plan: TracePlan) -> Tensor<3> {
    Tensor::from_dispatch(Dispatch::connect(sequence, plan))
}

/// `y^t = decay · y^{t−1} + x^t` over x [steps, batch, feature], from 0, in the autodiff graph.
pub(crate) fn filter(x: Tensor<3>, decay: f64) -> Tensor<3> {
    Tensor::from_dispatch(Dispatch::filter(x.into_dispatch(), decay))
}

/// Advances traces by a chunk.
pub(crate) fn advance_traces(chunk: TraceChunk<Dispatch>, plan: TracePlan) -> TraceRun<Dispatch> {
    Dispatch::advance_traces(chunk, plan)
}

/// `y^t = decay · y^{t−1} + x^t` over x [steps, batch, feature], from y [batch, feature] (0 where `None`); backwards
/// in time if `reverse`. Returns all y and the last that was computed.
pub(crate) fn low_pass(
    x: Tensor<3>,
    decay: f64,
    last: Option<Tensor<2>>,
    reverse: bool,
) -> (Tensor<3>, Tensor<2>) {
    let (y, last) = Dispatch::low_pass(x.into_dispatch(), List::lower(last), decay, reverse);
    (Tensor::from_dispatch(y), Tensor::from_dispatch(last))
}

/// Whether all values are finite.
pub(crate) fn is_finite<const D: usize>(x: Tensor<D>) -> bool {
    Dispatch::is_finite(x.into_dispatch())
}

/// Σ_k B_jk err_k, [batch, steps, neurons], for errors [batch, steps, outputs] and B [neurons, outputs].
pub(crate) fn broadcast(error: Tensor<3>, feedback: Tensor<2>) -> Tensor<3> {
    Tensor::from_dispatch(Dispatch::broadcast(error.into_dispatch(), feedback.into_dispatch()))
}

/// Outputs y [steps, batch, outputs] of a leaky readout, and the last y, for z [steps, batch, neurons], W_out with its
/// factor, the bias, and y before the chunk.
pub(crate) fn read_out(
    neurons: Tensor<3>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    last: Tensor<2>,
    decay: f64,
) -> (Tensor<3>, Tensor<2>) {
    let (neurons, weight) = (neurons.into_dispatch(), weight.into_dispatch());
    let (y, last) = Dispatch::read_out(neurons, weight, List::lower(bias), last.into_dispatch(), decay);
    (Tensor::from_dispatch(y), Tensor::from_dispatch(last))
}
