//! The backend extension: the kernels as operations of a backend.

use burn::backend::tensor::FloatTensor;
use burn::backend::{
    Backend, BackendTensor, Dispatch, DispatchAutodiffContext, DispatchTensor, DispatchTensorKind,
    ExtensionType, backend_extension,
};
use burn::tensor::Tensor;

use super::plan::{Seed, SpikingDynamics, TracePlan};

/// Any number of tensors; none or one where there is an option.
#[derive(Debug, Clone)]
pub struct List<B: Backend>(pub Vec<FloatTensor<B>>);

/// A chunk of a spiking population, before it is simulated.
#[derive(Debug, ExtensionType)]
pub struct SpikingChunk<B: Backend> {
    /// x, [steps, batch, inputs].
    pub inputs: FloatTensor<B>,
    /// W_in, [1, inputs, neurons]; on a CPU there may be one for each sequence, [batch, inputs, neurons].
    pub w_in: FloatTensor<B>,
    /// b, [1 or batch, neurons], where there is one.
    #[extension_type]
    pub bias: List<B>,
    /// W_rec, [1 or batch, neurons, neurons].
    pub w_rec: FloatTensor<B>,
    /// ζ, `[neurons]`.
    pub input_factor: FloatTensor<B>,
    /// ρ and β, each `[neurons]`, where the threshold adapts.
    #[extension_type]
    pub adaptation: List<B>,
    /// v, z, the refractory counter where there is one, and a where the threshold adapts, each [batch, neurons].
    #[extension_type]
    pub state: List<B>,
}

/// A chunk of a spiking population, simulated.
#[derive(Debug, ExtensionType)]
pub struct SpikingRun<B: Backend> {
    /// z, [steps, batch, neurons].
    pub outputs: FloatTensor<B>,
    /// The state after the last step, in the order of [`SpikingChunk::state`].
    #[extension_type]
    pub state: List<B>,
    /// D = B and, where the threshold adapts, C and A, each [steps · batch, neurons].
    #[extension_type]
    pub linearization: List<B>,
}

/// A chunk of an LSTM population, before it is simulated. The gates are i, f, g, o.
#[derive(Debug, ExtensionType)]
pub struct LstmChunk<B: Backend> {
    /// x, [steps, batch, inputs].
    pub inputs: FloatTensor<B>,
    /// W_in, [1, inputs, 4 · units].
    pub w_in: FloatTensor<B>,
    /// b, [1, 4 · units], where there is one.
    #[extension_type]
    pub bias: List<B>,
    /// W_rec, [1, units, 4 · units].
    pub w_rec: FloatTensor<B>,
    /// c, [batch, units].
    pub c: FloatTensor<B>,
    /// z, [batch, units].
    pub output: FloatTensor<B>,
}

/// A chunk of an LSTM population, simulated.
#[derive(Debug, ExtensionType)]
pub struct LstmRun<B: Backend> {
    /// z, [steps, batch, units].
    pub outputs: FloatTensor<B>,
    /// c after the last step.
    pub c: FloatTensor<B>,
    /// z after the last step.
    pub output: FloatTensor<B>,
    /// A; B of i, f and g; C; D of i, f, g and o; each [steps · batch, units].
    #[extension_type]
    pub linearization: List<B>,
}

/// A chunk of a population, through which traces are advanced.
#[derive(Debug, ExtensionType)]
pub struct TraceChunk<B: Backend> {
    /// Coefficients of the linearisation, each [steps · batch, post].
    #[extension_type]
    pub coefficients: List<B>,
    /// Presynaptic values side by side, each [steps, batch, part of pre].
    #[extension_type]
    pub pre: List<B>,
    /// Those of the delayed parts in the step before the chunk, each [batch, part of pre].
    #[extension_type]
    pub before: List<B>,
    /// L, [steps, batch, post], where it is not 0 throughout.
    #[extension_type]
    pub signal: List<B>,
    /// By how much each step counts in sums of traces, [steps, batch, 1 or post], where not all count 1.
    #[extension_type]
    pub summed_by: List<B>,
    /// What earlier chunks have left.
    #[extension_type]
    pub traces: CarriedTraces<B>,
}

/// Traces at the border of two chunks; lists are empty where nothing has been carried yet.
#[derive(Debug, ExtensionType)]
pub struct CarriedTraces<B: Backend> {
    /// The filtered presynaptic values, [batch, pre].
    #[extension_type]
    pub filtered_pre: List<B>,
    /// ε of what is reached, by component and current, each [batch, post, pre].
    #[extension_type]
    pub vectors: List<B>,
    /// ē by current, each [batch, post, pre].
    #[extension_type]
    pub filtered: List<B>,
    /// Σ_t e of each trial by current, each [batch, post, pre].
    #[extension_type]
    pub sums: List<B>,
}

impl<B: Backend> CarriedTraces<B> {
    /// Before the first chunk.
    pub fn none() -> Self {
        let [filtered_pre, vectors, filtered, sums] = std::array::from_fn(|_| List(Vec::new()));
        Self { filtered_pre, vectors, filtered, sums }
    }
}

/// What came of an advance.
#[derive(Debug, ExtensionType)]
pub struct TraceRun<B: Backend> {
    /// Σ_t L ē, [pre, currents · post].
    pub gradient: FloatTensor<B>,
    /// The chunk's Σ_t e over the batch, [pre, currents · post], where asked for.
    #[extension_type]
    pub summed: List<B>,
    /// What is carried on.
    #[extension_type]
    pub traces: CarriedTraces<B>,
}

/// A chunk of a population, through which one recursion goes.
#[derive(Debug, ExtensionType)]
pub struct RecursionChunk<B: Backend> {
    /// Coefficients of the linearisation, each [steps · batch, post].
    #[extension_type]
    pub coefficients: List<B>,
    /// What drives the recursion: L or the weights of a sum, [steps, batch, post], or nothing.
    #[extension_type]
    pub drive: List<B>,
}

/// The coefficients that a recursion finds.
#[derive(Debug, ExtensionType)]
pub struct RecursionRun<B: Backend> {
    /// w, of pre at each step, [steps · batch, currents · post].
    pub weights: FloatTensor<B>,
    /// λ, of ε at the chunk's start, [components, batch, post].
    pub lambda: FloatTensor<B>,
    /// m, of ē at the chunk's start, [batch, post].
    pub filtered: FloatTensor<B>,
}

/// A sequence through which BPTT's recursion goes backwards; see [`graph`](super::graph).
#[derive(Debug, ExtensionType)]
pub struct BackwardChunk<B: Backend> {
    /// ∂E/∂z, taken locally, [steps, batch, post].
    pub gradient: FloatTensor<B>,
    /// Coefficients of the linearisation, each [steps · batch, post].
    #[extension_type]
    pub coefficients: List<B>,
    /// The weights along which w^{t+1} comes back to μ^t, [1, currents · post, post]; on a CPU there may be one for each
    /// sequence, [batch, currents · post, post].
    pub feedback: FloatTensor<B>,
    /// λ behind the last step, by component, each [batch, post]; 0 where there is none.
    #[extension_type]
    pub end: List<B>,
    /// What is added to w of the last step, [batch, currents · post].
    #[extension_type]
    pub drive: List<B>,
}

/// What BPTT's recursion found.
#[derive(Debug, ExtensionType)]
pub struct BackwardRun<B: Backend> {
    /// w, the gradient of the currents, [steps · batch, currents · post].
    pub weights: FloatTensor<B>,
    /// μ, the total derivative dE/dz, [steps, batch, post], where asked for.
    #[extension_type]
    pub totals: List<B>,
    /// λ before the first step, by component, each [batch, post], where asked for.
    #[extension_type]
    pub start: List<B>,
}

/// Kernels that go through time: those that every device with kernels has. [`is_supported`](super::is_supported) tells
/// whether a tensor's has.
#[backend_extension(Flex: cfg(feature = "flex"), NdArray: cfg(feature = "ndarray"), Cube: cfg(feature = "cube"))]
pub trait KernelBackend: Backend {
    /// Simulates a chunk of a spiking population.
    fn simulate_spiking(
        #[extension_type] chunk: SpikingChunk<Self>,
        dynamics: SpikingDynamics,
    ) -> SpikingRun<Self>;

    /// Simulates a chunk of an LSTM population.
    fn simulate_lstm(#[extension_type] chunk: LstmChunk<Self>) -> LstmRun<Self>;

    /// BPTT's recursion through a sequence; with `bounded`, also what it finds of the sequence's start and of dE/dz.
    fn back_propagate(
        #[extension_type] chunk: BackwardChunk<Self>,
        plan: TracePlan,
        bounded: bool,
    ) -> BackwardRun<Self>;

    /// `y^t = decay · y^{t−1} + x^t` over x [steps, batch, feature] from y [batch, feature] (0 where there is none),
    /// backwards in time if `reverse`. Returns all y and the last that was computed.
    fn low_pass(
        x: FloatTensor<Self>,
        #[extension_type] last: List<Self>,
        decay: f64,
        reverse: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

/// Kernels of the CPU backends alone.
#[backend_extension(Flex: cfg(feature = "flex"), NdArray: cfg(feature = "ndarray"))]
pub trait CpuKernelBackend: Backend {
    /// Advances traces by a chunk.
    fn advance_traces(#[extension_type] chunk: TraceChunk<Self>, plan: TracePlan) -> TraceRun<Self>;

    /// Whether all values are finite.
    fn is_finite(x: FloatTensor<Self>) -> bool;

    /// Σ_k B_jk err_k, [batch, steps, neurons], for errors [batch, steps, outputs] and B [neurons, outputs].
    fn broadcast(error: FloatTensor<Self>, feedback: FloatTensor<Self>) -> FloatTensor<Self>;

    /// Outputs of a leaky readout: y [steps, batch, outputs] and the last y, from z [steps, batch, neurons], W_out with
    /// its factor, the bias and y before the chunk.
    fn read_out(
        neurons: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        #[extension_type] bias: List<Self>,
        last: FloatTensor<Self>,
        decay: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

pub use cube_only::CubeKernelBackend;

// A module of its own, since without these runtimes nothing uses the arguments.
#[cfg_attr(not(feature = "cube"), allow(unused_variables))]
mod cube_only {
    use super::*;

    /// Kernels of the CubeCL runtimes alone.
    #[backend_extension(Cube: cfg(feature = "cube"))]
    pub trait CubeKernelBackend: Backend {
        /// Runs one recursion through a chunk of a batch of this size, from its last step to its first.
        fn run_recursion(
            #[extension_type] chunk: RecursionChunk<Self>,
            plan: TracePlan,
            seed: Seed,
            batch: usize,
        ) -> RecursionRun<Self>;
    }
}

impl List<Dispatch> {
    /// Lowers tensors.
    pub(crate) fn lower<const D: usize>(tensors: impl IntoIterator<Item = Tensor<D>>) -> Self {
        Self(tensors.into_iter().map(Tensor::into_dispatch).collect())
    }

    /// Lifts tensors.
    pub(crate) fn lift<const D: usize>(self) -> Vec<Tensor<D>> {
        self.0.into_iter().map(Tensor::from_dispatch).collect()
    }
}

impl<B: Backend> ExtensionType<B> for List<B> {
    type Target = List<Dispatch>;

    fn map_to_dispatch<F>(self, map_kind: F, autodiff: DispatchAutodiffContext) -> Self::Target
    where
        F: Fn(BackendTensor<B>) -> DispatchTensorKind,
    {
        let lower = |tensor| DispatchTensor { kind: map_kind(BackendTensor::Float(tensor)), autodiff };
        List(self.0.into_iter().map(lower).collect())
    }

    fn map_from_dispatch<F>(target: Self::Target, unwrap_kind: F) -> Self
    where
        F: Fn(DispatchTensor) -> BackendTensor<B>,
    {
        Self(target.0.into_iter().map(|tensor| unwrap_kind(tensor).float()).collect())
    }

    fn routing_tensor(target: &Self::Target) -> Option<&DispatchTensor> {
        target.0.first()
    }

    fn routing_float_tensor(target: &Self::Target) -> Option<&DispatchTensor> {
        target.0.first()
    }
}
