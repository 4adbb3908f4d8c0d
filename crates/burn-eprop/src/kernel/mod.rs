//! Hand-written kernels for the hot path: the simulation of a chunk, and the recursions of its traces.
//!
//! They are backend extensions: of the CPU backends Flex and NdArray, and of all CubeCL runtimes (wgpu, CUDA and
//! whatever else Burn runs through them), in float32 and, where the device has it, float64. On other devices, and for
//! cells without a kernel of their own, the same steps run as tensor operations; both ways give the same results up to
//! rounding, and the tests hold each against the other.
//!
//! On a CPU the sequences of a batch are divided over rayon's threads: by e-prop and evaluation once for all that there is
//! to do, otherwise once for each kernel. With the same number of threads the results are the same to the last bit; another
//! number of threads adds up the gradient's parts in another order. On a CubeCL runtime a chunk costs some launches,
//! whatever its length.

#![cfg_attr(
    not(any(feature = "flex", feature = "ndarray")),
    allow(dead_code, unused_imports, unused_variables)
)]
#![allow(deprecated, reason = "burn-ndarray is deprecated upstream, and served here as long as it lasts")]

pub mod adjoint;
#[cfg(any(feature = "flex", feature = "ndarray"))]
mod cpu;
#[cfg(feature = "cube")]
mod cube;
pub mod graph;
mod ops;
mod plan;

pub use ops::{
    BackwardChunk, BackwardRun, CarriedTraces, CpuKernelBackend, CubeKernelBackend, KernelBackend, List,
    LstmChunk, LstmRun, RecursionChunk, RecursionRun, SpikingChunk, SpikingRun, TraceChunk, TraceRun,
};
pub(crate) use plan::plan;
pub use plan::{Seed, SpikingDynamics, Summed, TracePlan};

use std::cell::Cell;
use std::sync::Once;
use std::thread::LocalKey;

use adjoint::AdjointBackend;
use burn::backend::{Dispatch, DispatchTensorKind};
use burn::tensor::{DType, Tensor};
use graph::{GraphBackend, SimulatedSequence};
use rayon::iter::{IndexedParallelIterator, IntoParallelIterator, ParallelIterator};

thread_local! {
    static BY_TENSOR_OPERATIONS: Cell<bool> = const { Cell::new(false) };
    static BESIDE_OTHERS: Cell<bool> = const { Cell::new(false) };
}

/// Does work with a flag of its thread set or not.
fn with_flag<R>(flag: &'static LocalKey<Cell<bool>>, value: bool, work: impl FnOnce() -> R) -> R {
    struct Restore(&'static LocalKey<Cell<bool>>, bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            self.0.set(self.1);
        }
    }
    let _restore = Restore(flag, flag.replace(value));
    work()
}

/// Does work by tensor operations alone, on any device: the reference for the kernels. It holds on this thread, not on
/// those that the work itself starts.
pub fn by_tensor_operations<R>(work: impl FnOnce() -> R) -> R {
    with_flag(&BY_TENSOR_OPERATIONS, true, work)
}

/// Whether other threads have work of their own beside that of this one, which then has nobody to share it with.
#[cfg_attr(not(any(feature = "flex", feature = "ndarray")), allow(dead_code))]
fn is_beside_others() -> bool {
    BESIDE_OTHERS.get()
}

/// Where a tensor's kernels run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Cpu,
    /// With neurons of a batch element that can exchange so many values.
    #[cfg_attr(not(feature = "cube"), allow(dead_code))]
    Cube(usize),
}

/// `None` without kernels for the tensor's device and type, or inside of an autodiff graph.
fn place<const D: usize>(tensor: &Tensor<D>) -> Option<Place> {
    let fits = !tensor.is_autodiff() && matches!(tensor.dtype(), DType::F32 | DType::F64);
    if BY_TENSOR_OPERATIONS.get() || !fits {
        return None;
    }
    match tensor.clone().into_dispatch().kind {
        #[cfg(feature = "flex")]
        DispatchTensorKind::Flex(_) => Some(Place::Cpu),
        #[cfg(feature = "ndarray")]
        DispatchTensorKind::NdArray(_) => Some(Place::Cpu),
        #[cfg(feature = "cube")]
        DispatchTensorKind::Cube(tensor) => Some(Place::Cube(cube::exchanged(&tensor.float()))),
        #[allow(unreachable_patterns)]
        _ => None,
    }
}

/// Whether there are kernels for a tensor's device and type, and it is outside of any autodiff graph.
pub fn is_supported<const D: usize>(tensor: &Tensor<D>) -> bool {
    place(tensor).is_some()
}

/// As [`is_supported`], for kernels in which neurons of a batch element exchange so many values at each step.
pub(crate) fn is_supported_with<const D: usize>(tensor: &Tensor<D>, exchanged: usize) -> bool {
    match place(tensor) {
        None => false,
        Some(Place::Cpu) => true,
        Some(Place::Cube(most)) => exchanged <= most,
    }
}

/// As [`is_supported`], for kernels that the CPU backends alone have.
pub(crate) fn is_on_cpu<const D: usize>(tensor: &Tensor<D>) -> bool {
    place(tensor) == Some(Place::Cpu)
}

/// As [`is_supported`], for kernels that the CubeCL runtimes alone have.
pub(crate) fn is_on_cube<const D: usize>(tensor: &Tensor<D>) -> bool {
    matches!(place(tensor), Some(Place::Cube(_)))
}

/// Does work that runs through many kernels on one of rayon's threads, if `on_cpu`: each kernel then shares its work
/// with the pool without waking this thread.
pub(crate) fn in_pool<R: Send>(on_cpu: bool, work: impl FnOnce() -> R + Send) -> R {
    if !on_cpu {
        return work();
    }
    keep_memory();
    // A thread that waits may be lent to this work while it has others beside it.
    rayon::scope(|_| with_flag(&BESIDE_OTHERS, false, work))
}

/// How many threads share work on a CPU.
pub(crate) fn threads() -> usize {
    rayon::current_num_threads()
}

/// Asks the allocator to keep what is given back to it, for the next chunk.
///
/// glibc returns large blocks to the system at once, and gets them anew, page by page, for every chunk, which can take
/// longer than all kernels. It stops doing so for blocks up to the size of the largest that it has seen come back (its
/// "dynamic mmap threshold", mallopt(3)), of at most 32 MiB. Other allocators pay nothing for a block that is not
/// touched.
fn keep_memory() {
    const LARGE: usize = 31 << 20;
    static ONCE: Once = Once::new();
    ONCE.call_once(|| drop(std::hint::black_box(Vec::<u8>::with_capacity(LARGE))));
}

/// Does the same with many things, joins the results in order, and finishes with what comes of it. If `on_cpu`, this is
/// in rayon's pool, where each thread has things of its own, one after the other. `None` without a thing.
pub(crate) fn in_parts<T: Send, R: Send, S: Send>(
    on_cpu: bool,
    mut things: Vec<T>,
    each: impl Fn(T) -> R + Sync + Send,
    join: impl Fn(R, R) -> R + Sync + Send,
    finish: impl FnOnce(R) -> S + Send,
) -> Option<S> {
    let threads = if on_cpu { threads().min(things.len()) } else { 1 };
    if threads <= 1 {
        return in_pool(on_cpu, || things.into_iter().map(each).reduce(join).map(finish));
    }
    keep_memory();
    let all = things.len();
    let start = |thread: usize| thread * all / threads;
    let mut of_threads: Vec<_> = (0..threads).rev().map(|thread| things.split_off(start(thread))).collect();
    of_threads.reverse();
    let of_thread =
        |things: Vec<T>| with_flag(&BESIDE_OTHERS, true, || things.into_iter().map(&each).reduce(&join));
    rayon::scope(|_| {
        let results: Vec<_> = of_threads.into_par_iter().with_max_len(1).map(of_thread).collect();
        results.into_iter().flatten().reduce(&join).map(finish)
    })
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
pub(crate) fn connect(sequence: SimulatedSequence<Dispatch>, plan: TracePlan, bounded: bool) -> Tensor<3> {
    Tensor::from_dispatch(Dispatch::connect(sequence, plan, bounded))
}

/// `y^t = decay · y^{t−1} + x^t` over x [steps, batch, feature], from 0, in the autodiff graph.
pub(crate) fn filter(x: Tensor<3>, decay: f64) -> Tensor<3> {
    Tensor::from_dispatch(Dispatch::filter(x.into_dispatch(), decay))
}

/// w, [currents, steps, batch, post], for a plan's coefficients, each [steps · batch, post], and L [steps, batch, post], in
/// their autodiff graph.
pub(crate) fn presynaptic_weights(
    coefficients: Vec<Tensor<2>>,
    signal: Tensor<3>,
    plan: TracePlan,
) -> Tensor<4> {
    let [steps, batch, post] = signal.dims();
    let count = coefficients.len();
    let coefficients = Tensor::cat(coefficients, 0).reshape([count, steps, batch, post]);
    let (coefficients, signal) = (coefficients.into_dispatch(), signal.into_dispatch());
    Tensor::from_dispatch(Dispatch::presynaptic_weights(coefficients, signal, plan))
}

/// Advances traces by a chunk.
pub(crate) fn advance_traces(chunk: TraceChunk<Dispatch>, plan: TracePlan) -> TraceRun<Dispatch> {
    Dispatch::advance_traces(chunk, plan)
}

/// Runs one recursion through a chunk, for a linearisation of steps · batch rows.
pub(crate) fn run_recursion(
    chunk: RecursionChunk<Dispatch>,
    plan: TracePlan,
    seed: Seed,
    batch: usize,
) -> RecursionRun<Dispatch> {
    Dispatch::run_recursion(chunk, plan, seed, batch)
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
