//! Kernels as nodes of an autodiff graph: what makes back-propagation through time fast.
//!
//! e-prop's recursion through a chunk is one term away from that of BPTT. With w^t, the gradient of the currents at t,
//!
//! $$ \mu^t = \frac{\partial E}{\partial z^t} + W_{rec} w^{t+1}, \quad w^t = D^t\mu^t + B^t\cdot\lambda^t, \quad
//!    \lambda^{t-1} = (A^t)^\top\lambda^t + C^t\mu^t, $$
//!
//! and what z^{t−1} does to the step besides (the reset) is as if it had a weight of its own onto the current.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, ExtensionType, TensorMetadata, backend_extension};
use burn_autodiff::checkpoint::base::Checkpointer;
use burn_autodiff::checkpoint::strategy::CheckpointStrategy;
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, Ops, OpsKind, unary};

use super::ops::{KernelBackend, List};
use super::plan::TracePlan;

/// A sequence that has been simulated, to be put into the graph.
#[derive(Debug, Clone, ExtensionType)]
pub struct SimulatedSequence<B: Backend> {
    /// x, [steps, batch, inputs].
    pub inputs: FloatTensor<B>,
    /// W_in, [inputs, currents · neurons].
    pub w_in: FloatTensor<B>,
    /// b, [currents · neurons], or zeros.
    pub bias: FloatTensor<B>,
    /// W_rec, [neurons, currents · neurons].
    pub w_rec: FloatTensor<B>,
    /// z, [steps, batch, neurons].
    pub outputs: FloatTensor<B>,
    /// z before the first step, [batch, neurons].
    pub before: FloatTensor<B>,
    /// Coefficients of the linearisation, each [steps · batch, neurons].
    #[extension_type]
    pub coefficients: List<B>,
    /// The weights along which w^{t+1} comes back to μ^t, [currents · neurons, neurons].
    pub feedback: FloatTensor<B>,
}

/// Kernels with a backward pass.
#[backend_extension(
    Flex: cfg(feature = "flex"),
    NdArray: cfg(feature = "ndarray"),
    Cube: cfg(feature = "cube"),
    Autodiff
)]
pub trait GraphBackend: Backend {
    /// z, with the gradient of the sequence's simulation with respect to inputs and weights.
    fn connect(#[extension_type] sequence: SimulatedSequence<Self>, plan: TracePlan) -> FloatTensor<Self>;

    /// `y^t = decay · y^{t−1} + x^t` over x [steps, batch, feature], from 0.
    fn filter(x: FloatTensor<Self>, decay: f64) -> FloatTensor<Self>;
}

/// Outside of a graph there is nothing to connect.
#[cfg(any(feature = "flex", feature = "ndarray", feature = "cube"))]
macro_rules! implement {
    ($backend:ty) => {
        impl GraphBackend for $backend {
            fn connect(sequence: SimulatedSequence<Self>, _plan: TracePlan) -> FloatTensor<Self> {
                sequence.outputs
            }

            fn filter(x: FloatTensor<Self>, decay: f64) -> FloatTensor<Self> {
                <Self as KernelBackend>::low_pass(x, List(Vec::new()), decay, false).0
            }
        }
    };
}

#[cfg(feature = "flex")]
implement!(burn::backend::Flex);
#[cfg(feature = "ndarray")]
implement!(burn::backend::NdArray);
#[cfg(feature = "cube")]
implement!(burn::backend::Cube);

impl<B: Backend + GraphBackend + KernelBackend, C: CheckpointStrategy> GraphBackend for Autodiff<B, C> {
    fn connect(sequence: SimulatedSequence<Self>, plan: TracePlan) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct Connect;

        impl<B: Backend + KernelBackend> Backward<B, 4> for Connect {
            type State = (SimulatedSequence<B>, TracePlan);

            fn backward(self, ops: Ops<Self::State, 4>, grads: &mut Gradients, _: &mut Checkpointer) {
                let [of_inputs, of_w_in, of_bias, of_w_rec] = ops.parents;
                let (sequence, plan) = ops.state;
                let SimulatedSequence { inputs, w_in, outputs, before, coefficients, feedback, .. } =
                    sequence;
                let [steps, batch, size] = inputs.shape().dims();
                let neurons = outputs.shape()[2];
                let gradient = grads.consume::<B>(&ops.node);
                let w = B::back_propagate(gradient, coefficients, feedback, plan);
                let rows = |tensor: FloatTensor<B>, width: usize| {
                    B::float_reshape(tensor, [steps * batch, width].into())
                };
                if let Some(node) = of_inputs {
                    let gradient = B::float_matmul(w.clone(), B::float_swap_dims(w_in, 0, 1));
                    grads.register::<B>(node.id, B::float_reshape(gradient, [steps, batch, size].into()));
                }
                if let Some(node) = of_w_in {
                    let x = B::float_swap_dims(rows(inputs, size), 0, 1);
                    grads.register::<B>(node.id, B::float_matmul(x, w.clone()));
                }
                if let Some(node) = of_bias {
                    let columns = w.shape()[1];
                    let sum = B::float_sum_dim(w.clone(), 0);
                    grads.register::<B>(node.id, B::float_reshape(sum, [columns].into()));
                }
                if let Some(node) = of_w_rec {
                    let before = B::float_reshape(before, [1, batch, neurons].into());
                    let mut parts = vec![before];
                    if steps > 1 {
                        parts.push(B::float_slice(outputs, &[(0..steps - 1).into()]));
                    }
                    let z = B::float_swap_dims(rows(B::float_cat(parts, 0), neurons), 0, 1);
                    grads.register::<B>(node.id, B::float_matmul(z, w));
                }
            }
        }

        let SimulatedSequence { inputs, w_in, bias, w_rec, outputs, before, coefficients, feedback } =
            sequence;
        let nodes = [inputs.node(), w_in.node(), bias.node(), w_rec.node()];
        let [inputs, w_in, bias, w_rec, outputs, before, feedback] =
            [inputs, w_in, bias, w_rec, outputs, before, feedback].map(|tensor| tensor.into_primitive());
        let coefficients = List(coefficients.0.into_iter().map(|tensor| tensor.into_primitive()).collect());
        match Connect.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::UnTracked(prep) => prep.finish(outputs),
            OpsKind::Tracked(prep) => {
                let z = outputs.clone();
                let sequence =
                    SimulatedSequence { inputs, w_in, bias, w_rec, outputs, before, coefficients, feedback };
                prep.finish((sequence, plan), z)
            }
        }
    }

    fn filter(x: FloatTensor<Self>, decay: f64) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct Filter;

        impl<B: Backend + KernelBackend> Backward<B, 1> for Filter {
            type State = f64;

            fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
                unary::<B, _>(ops.parents, ops.node, grads, |gradient| {
                    B::low_pass(gradient, List(Vec::new()), ops.state, true).0
                });
            }
        }

        let node = x.node();
        let y = <B as GraphBackend>::filter(x.into_primitive(), decay);
        match Filter.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(decay, y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }
}
