//! Kernels of the CPU backends, in float32 and float64: vectors as wide as the machine's, chosen at run time, and the
//! batch divided over rayon's threads.

mod backward;
mod host;
mod lstm;
mod products;
mod readout;
mod real;
mod recursion;
mod scan;
mod spiking;
mod traces;

#[allow(unused_imports, reason = "Flex has a `dtype` of its own")]
use burn::backend::TensorMetadata;
use burn::backend::tensor::FloatTensor;
use burn::tensor::DType;

use super::ops::{
    BackwardChunk, BackwardRun, CpuKernelBackend, KernelBackend, List, LstmChunk, LstmRun, SpikingChunk,
    SpikingRun, TraceChunk, TraceRun,
};
use super::plan::{SpikingDynamics, TracePlan};

/// Runs a kernel in the type of the tensors.
macro_rules! by_type {
    ($dtype:expr, $real:ident => $kernel:expr) => {
        match $dtype {
            DType::F32 => {
                type $real = f32;
                $kernel
            }
            DType::F64 => {
                type $real = f64;
                $kernel
            }
            other => unreachable!("no kernel for {other:?}"),
        }
    };
}

macro_rules! implement {
    ($backend:ty) => {
        impl KernelBackend for $backend {
            fn simulate_spiking(chunk: SpikingChunk<Self>, dynamics: SpikingDynamics) -> SpikingRun<Self> {
                by_type!(chunk.inputs.dtype(), E => spiking::simulate::<Self, E>(chunk, &dynamics))
            }

            fn simulate_lstm(chunk: LstmChunk<Self>) -> LstmRun<Self> {
                by_type!(chunk.inputs.dtype(), E => lstm::simulate::<Self, E>(chunk))
            }

            fn back_propagate(chunk: BackwardChunk<Self>, plan: TracePlan, bounded: bool) -> BackwardRun<Self> {
                by_type!(chunk.gradient.dtype(), E => backward::back_propagate::<Self, E>(&chunk, &plan, bounded))
            }

            fn low_pass(
                x: FloatTensor<Self>,
                last: List<Self>,
                decay: f64,
                reverse: bool,
            ) -> (FloatTensor<Self>, FloatTensor<Self>) {
                by_type!(x.dtype(), E => scan::low_pass::<Self, E>(&x, last.0.first(), decay, reverse))
            }
        }

        impl CpuKernelBackend for $backend {
            fn advance_traces(chunk: TraceChunk<Self>, plan: TracePlan) -> TraceRun<Self> {
                by_type!(chunk.coefficients.0[0].dtype(), E => traces::advance::<Self, E>(chunk, &plan))
            }

            fn is_finite(x: FloatTensor<Self>) -> bool {
                by_type!(x.dtype(), E => scan::is_finite::<Self, E>(&x))
            }

            fn broadcast(error: FloatTensor<Self>, feedback: FloatTensor<Self>) -> FloatTensor<Self> {
                by_type!(error.dtype(), E => readout::broadcast::<Self, E>(&error, &feedback))
            }

            fn read_out(
                neurons: FloatTensor<Self>,
                weight: FloatTensor<Self>,
                bias: List<Self>,
                last: FloatTensor<Self>,
                decay: f64,
            ) -> (FloatTensor<Self>, FloatTensor<Self>) {
                by_type!(neurons.dtype(), E => readout::read_out::<Self, E>(neurons, weight, bias.0.first(), last, decay))
            }
        }
    };
}

#[cfg(feature = "flex")]
implement!(burn::backend::Flex);
#[cfg(feature = "ndarray")]
implement!(burn::backend::NdArray);
