//! Kernels of the CubeCL runtimes: one launch goes through all steps of a chunk.
//!
//! Neurons of one batch element that hear each other share a cube: they exchange their outputs through its shared
//! memory. Where neurons are on their own, each has a unit.

mod backward;
mod lstm;
mod recursion;
mod scan;
mod spiking;

use burn::backend::cubecl::dtype_to_storage_type;
use burn::backend::fusion::custom::{OperationIr, OperationOutput, StreamId};
use burn::backend::fusion::{NoOp, get_client};
use burn::backend::ir::{BackendIr, InitOperationIr};
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Cube, TensorMetadata};
use burn::tensor::Shape;
use burn_cubecl::CubeBackend;
use burn_cubecl::cubecl::calculate_cube_count_elemwise;
use burn_cubecl::cubecl::prelude::{CubeCount, CubeDim, ElemType, InputScalar};
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::tensor::CubeTensor;

use super::ops::{
    BackwardChunk, BackwardRun, CubeKernelBackend, KernelBackend, List, LstmChunk, LstmRun, RecursionChunk,
    RecursionRun, SpikingChunk, SpikingRun,
};
use super::plan::{Seed, SpikingDynamics, TracePlan};

/// A tensor of Burn's backend.
type Fused = FloatTensor<Cube>;

impl KernelBackend for Cube {
    fn simulate_spiking(chunk: SpikingChunk<Self>, dynamics: SpikingDynamics) -> SpikingRun<Self> {
        spiking::simulate(chunk, &dynamics)
    }

    fn simulate_lstm(chunk: LstmChunk<Self>) -> LstmRun<Self> {
        lstm::simulate(chunk)
    }

    fn back_propagate(chunk: BackwardChunk<Self>, plan: TracePlan, bounded: bool) -> BackwardRun<Self> {
        backward::back_propagate(chunk, &plan, bounded)
    }

    fn low_pass(x: Fused, last: List<Self>, decay: f64, reverse: bool) -> (Fused, Fused) {
        scan::low_pass(x, last.0.into_iter().next(), decay, reverse)
    }
}

impl CubeKernelBackend for Cube {
    fn run_recursion(
        chunk: RecursionChunk<Self>,
        plan: TracePlan,
        seed: Seed,
        batch: usize,
    ) -> RecursionRun<Self> {
        recursion::run(chunk, &plan, seed, batch)
    }
}

/// How many values neurons of a batch element can exchange on a tensor's device: those of two steps share the memory of a
/// cube.
pub(super) fn exchanged(tensor: &Fused) -> usize {
    let memory = tensor.device().client().properties().hardware.max_shared_memory_size;
    memory / (2 * tensor.dtype.size())
}

/// A tensor with its values computed, row by row.
fn computed(tensor: Fused) -> CubeTensor {
    let client = tensor.client.clone();
    into_contiguous(client.resolve_tensor_float::<CubeBackend>(tensor))
}

/// A tensor of values that only the caller holds.
fn owned(tensor: Fused) -> CubeTensor {
    let tensor = computed(tensor);
    if tensor.can_mut() { tensor } else { tensor.copy() }
}

/// The type of a tensor's values, in which a kernel computes.
fn element_of(tensor: &CubeTensor) -> ElemType {
    dtype_to_storage_type(tensor.dtype)
}

/// A number in the type of a tensor's values.
fn number(value: f64, beside: &CubeTensor) -> InputScalar {
    InputScalar::new(value, element_of(beside))
}

/// An uninitialised tensor beside another.
fn empty(beside: &CubeTensor, shape: &[usize]) -> CubeTensor {
    let (client, device) = (beside.client.clone(), beside.device.clone());
    empty_device_contiguous_dtype(client, device, Shape::from(shape.to_vec()), beside.dtype)
}

/// A computed tensor for Burn.
fn registered(tensor: CubeTensor) -> Fused {
    let client = get_client::<CubeBackend>(&tensor.device);
    let (shape, dtype) = (tensor.shape(), tensor.dtype);
    let handle = CubeBackend::float_tensor_handle(tensor);
    let description = InitOperationIr::create(shape, dtype, || client.register_tensor_handle(handle));
    let operation = OperationIr::Init(description);
    client.register(StreamId::current(), operation, NoOp::<CubeBackend>::new()).output()
}

/// The parts of a tensor [parts, …] that was filled by a kernel, without the first dimension.
fn parts(tensor: Fused, shape: &[usize]) -> List<Cube> {
    let count = tensor.shape()[0];
    let part = |index: usize| {
        let part = Cube::float_slice(tensor.clone(), &[(index..index + 1).into()]);
        Cube::float_reshape(part, Shape::from(shape.to_vec()))
    };
    List((0..count).map(part).collect())
}

/// Tensors one above the other, [parts, values].
fn stacked(tensors: impl IntoIterator<Item = Fused>) -> Fused {
    let row = |tensor: Fused| {
        let count = tensor.shape().num_elements();
        Cube::float_reshape(tensor, [1, count].into())
    };
    Cube::float_cat(tensors.into_iter().map(row).collect(), 0)
}

/// A cube for each batch element, with a unit for each of its neurons as far as the device has them.
fn cube_for_element(beside: &CubeTensor, batch: usize, neurons: usize) -> (CubeCount, CubeDim) {
    const MOST: u32 = 256;
    let most = beside.client.properties().hardware.max_cube_dim.0.min(MOST);
    (CubeCount::Static(batch as u32, 1, 1), CubeDim::new_1d((neurons as u32).min(most)))
}

/// A unit for each of some values.
fn unit_for_value(beside: &CubeTensor, values: usize) -> (CubeCount, CubeDim) {
    let dim = CubeDim::new_1d(32);
    (calculate_cube_count_elemwise(&beside.client, values, dim), dim)
}
