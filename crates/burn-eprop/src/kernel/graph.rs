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

use super::ops::{BackwardChunk, BackwardRun, KernelBackend, List};
use super::plan::TracePlan;

/// A sequence that has been simulated, to be put into the graph.
#[derive(Debug, Clone, ExtensionType)]
pub struct SimulatedSequence<B: Backend> {
    /// x, [steps, batch, inputs].
    pub inputs: FloatTensor<B>,
    /// W_in, [1 or batch, inputs, currents · neurons].
    pub w_in: FloatTensor<B>,
    /// b, [1 or batch, currents · neurons], or zeros.
    pub bias: FloatTensor<B>,
    /// W_rec, [1 or batch, neurons, currents · neurons].
    pub w_rec: FloatTensor<B>,
    /// z, [steps, batch, neurons].
    pub outputs: FloatTensor<B>,
    /// z before the first step, [batch, neurons].
    pub before: FloatTensor<B>,
    /// Coefficients of the linearisation, each [steps · batch, neurons].
    #[extension_type]
    pub coefficients: List<B>,
    /// The weights along which w^{t+1} comes back to μ^t, [1 or batch, currents · neurons, neurons].
    pub feedback: FloatTensor<B>,
    /// h before the first step, side by side, [batch, hidden values · neurons]; anything unless it is to be in the graph.
    pub hidden: FloatTensor<B>,
    /// h after the last step, each [batch, neurons], where it is to be in the graph.
    #[extension_type]
    pub end: List<B>,
    /// ζ of the hidden value that is folded into the presynaptic filter, `[neurons]`, where one is.
    #[extension_type]
    pub gain: List<B>,
    /// 0 at each step, [steps, batch, neurons]: what has dE/dz as its gradient; anything unless that is asked for.
    pub probe: FloatTensor<B>,
}

impl<B: Backend> SimulatedSequence<B> {
    /// z and, where it is to be in the graph, h after the last step, [steps + hidden values, batch, neurons].
    fn results(&self) -> FloatTensor<B> {
        let [_, batch, neurons] = self.outputs.shape().dims();
        let end = self.end.0.iter().map(|h| B::float_reshape(h.clone(), [1, batch, neurons].into()));
        let mut parts = vec![self.outputs.clone()];
        parts.extend(end);
        if parts.len() == 1 { parts.remove(0) } else { B::float_cat(parts, 0) }
    }
}

/// Kernels with a backward pass.
#[backend_extension(
    Flex: cfg(feature = "flex"),
    NdArray: cfg(feature = "ndarray"),
    Cube: cfg(feature = "cube"),
    Autodiff
)]
pub trait GraphBackend: Backend {
    /// z, with the gradient of the sequence's simulation with respect to inputs and weights. If `bounded`, h after the last
    /// step comes in further rows, and there are gradients with respect to the state before the first step and to the probe.
    fn connect(
        #[extension_type] sequence: SimulatedSequence<Self>,
        plan: TracePlan,
        bounded: bool,
    ) -> FloatTensor<Self>;

    /// `y^t = decay · y^{t−1} + x^t` over x [steps, batch, feature], from 0.
    fn filter(x: FloatTensor<Self>, decay: f64) -> FloatTensor<Self>;
}

/// Outside of a graph there is nothing to connect.
#[cfg(any(feature = "flex", feature = "ndarray", feature = "cube"))]
macro_rules! implement {
    ($backend:ty) => {
        impl GraphBackend for $backend {
            fn connect(
                sequence: SimulatedSequence<Self>,
                _plan: TracePlan,
                _bounded: bool,
            ) -> FloatTensor<Self> {
                sequence.results()
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

/// Products with weights [matrices, pre, post]: one for all sequences, or one for each.
#[derive(Debug, Clone, Copy)]
struct Products {
    matrices: usize,
    steps: usize,
    batch: usize,
}

impl Products {
    /// What a matrix is multiplied with, [matrices, rows, width], of [steps, batch, width] of any shape.
    fn rows<B: Backend>(self, tensor: FloatTensor<B>, width: usize) -> FloatTensor<B> {
        let Self { matrices, steps, batch } = self;
        if matrices == 1 {
            return B::float_reshape(tensor, [1, steps * batch, width].into());
        }
        B::float_swap_dims(B::float_reshape(tensor, [steps, batch, width].into()), 0, 1)
    }

    /// Back again, [steps, batch, width].
    fn steps<B: Backend>(self, rows: FloatTensor<B>, width: usize) -> FloatTensor<B> {
        let Self { matrices, steps, batch } = self;
        if matrices == 1 {
            return B::float_reshape(rows, [steps, batch, width].into());
        }
        B::float_swap_dims(rows, 0, 1)
    }
}

impl<B: Backend + GraphBackend + KernelBackend, C: CheckpointStrategy> GraphBackend for Autodiff<B, C> {
    fn connect(sequence: SimulatedSequence<Self>, plan: TracePlan, bounded: bool) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct Connect;

        impl<B: Backend + KernelBackend> Backward<B, 7> for Connect {
            type State = (SimulatedSequence<B>, TracePlan, bool);

            fn backward(self, ops: Ops<Self::State, 7>, grads: &mut Gradients, _: &mut Checkpointer) {
                let [of_inputs, of_w_in, of_bias, of_w_rec, of_before, of_hidden, of_probe] = ops.parents;
                let (sequence, plan, bounded) = ops.state;
                let SimulatedSequence {
                    inputs,
                    w_in,
                    outputs,
                    before,
                    coefficients,
                    feedback,
                    end,
                    gain,
                    ..
                } = sequence;
                let [steps, batch, size] = inputs.shape().dims();
                let neurons = outputs.shape()[2];
                let mut gradient = grads.consume::<B>(&ops.node);
                let mut of_end: Vec<_> = (0..end.0.len())
                    .map(|index| {
                        let row =
                            B::float_slice(gradient.clone(), &[(steps + index..steps + index + 1).into()]);
                        B::float_reshape(row, [batch, neurons].into())
                    })
                    .collect();
                if bounded {
                    gradient = B::float_slice(gradient, &[(0..steps).into()]);
                }
                let gain = gain.0.into_iter().next().map(|gain| B::float_reshape(gain, [1, neurons].into()));
                // What acts on the folded value alone acts through the last currents.
                let drive = match (&gain, bounded) {
                    (Some(gain), true) => vec![B::float_mul(of_end.remove(0), gain.clone())],
                    _ => Vec::new(),
                };
                let decay = plan.pre_decay;
                let chunk = BackwardChunk {
                    gradient,
                    coefficients,
                    feedback: feedback.clone(),
                    end: List(of_end),
                    drive: List(drive),
                };
                let BackwardRun { weights: w, totals, start } = B::back_propagate(chunk, plan, bounded);
                let columns = w.shape()[1];
                if bounded {
                    let first = B::float_slice(w.clone(), &[(0..batch).into()]);
                    if let Some(node) = of_before {
                        let one = Products { matrices: feedback.shape()[0], steps: 1, batch };
                        let rows = one.rows::<B>(first.clone(), columns);
                        let gradient = B::float_matmul(rows, feedback);
                        grads.register::<B>(node.id, B::float_reshape(gradient, [batch, neurons].into()));
                    }
                    if let Some(node) = of_hidden {
                        let folded = gain.zip(decay).map(|(gain, decay)| {
                            B::float_mul_scalar(B::float_div(first, gain), decay.into())
                        });
                        let parts: Vec<_> = folded.into_iter().chain(start.0).collect();
                        grads.register::<B>(node.id, B::float_cat(parts, 1));
                    }
                    if let (Some(node), Some(totals)) = (of_probe, totals.0.into_iter().next()) {
                        grads.register::<B>(node.id, totals);
                    }
                }
                let by_matrix = Products { matrices: w_in.shape()[0], steps, batch };
                let w = by_matrix.rows::<B>(w, columns);
                if let Some(node) = of_inputs {
                    let gradient = B::float_matmul(w.clone(), B::float_swap_dims(w_in, 1, 2));
                    grads.register::<B>(node.id, by_matrix.steps::<B>(gradient, size));
                }
                if let Some(node) = of_w_in {
                    let x = by_matrix.rows::<B>(inputs, size);
                    grads.register::<B>(node.id, B::float_matmul(B::float_swap_dims(x, 1, 2), w.clone()));
                }
                if let Some(node) = of_bias {
                    let sum = B::float_sum_dim(w.clone(), 1);
                    grads.register::<B>(node.id, B::float_reshape(sum, [by_matrix.matrices, columns].into()));
                }
                if let Some(node) = of_w_rec {
                    let before = B::float_reshape(before, [1, batch, neurons].into());
                    let mut parts = vec![before];
                    if steps > 1 {
                        parts.push(B::float_slice(outputs, &[(0..steps - 1).into()]));
                    }
                    let z = by_matrix.rows::<B>(B::float_cat(parts, 0), neurons);
                    grads.register::<B>(node.id, B::float_matmul(B::float_swap_dims(z, 1, 2), w));
                }
            }
        }

        let SimulatedSequence {
            inputs,
            w_in,
            bias,
            w_rec,
            outputs,
            before,
            coefficients,
            feedback,
            hidden,
            end,
            gain,
            probe,
        } = sequence;
        let nodes = [&inputs, &w_in, &bias, &w_rec, &before, &hidden, &probe].map(|tensor| tensor.node());
        let [inputs, w_in, bias, w_rec, outputs, before, feedback, hidden, probe] =
            [inputs, w_in, bias, w_rec, outputs, before, feedback, hidden, probe]
                .map(|tensor| tensor.into_primitive());
        let [coefficients, end, gain] = [coefficients, end, gain]
            .map(|list| List(list.0.into_iter().map(|tensor| tensor.into_primitive()).collect()));
        let sequence = SimulatedSequence {
            inputs,
            w_in,
            bias,
            w_rec,
            outputs,
            before,
            coefficients,
            feedback,
            hidden,
            end,
            gain,
            probe,
        };
        let results = sequence.results();
        match Connect.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::UnTracked(prep) => prep.finish(results),
            OpsKind::Tracked(prep) => prep.finish((sequence, plan, bounded), results),
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
