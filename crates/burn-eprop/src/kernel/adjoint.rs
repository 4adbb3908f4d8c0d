//! The adjoint of the trace equations as a node of an autodiff graph: what differentiates an update by e-prop.
//!
//! A recursion backwards through a sequence turns a learning signal L into the weights w of the presynaptic values,
//!
//! $$ w^t = D^t L^t + B^t\cdot\lambda^t, \quad \lambda^{t-1} = (A^t)^\top\lambda^t + C^t L^t, $$
//!
//! and its own gradient, for p = ∂E/∂w, is the trace equation with p in place of a presynaptic value,
//!
//! $$ \sigma^t = A^t\sigma^{t-1} + B^t p^t, \quad \frac{\partial E}{\partial L^t} = D^t p^t + C^t\cdot\sigma^{t-1}, \quad
//!    \frac{\partial E}{\partial A^t} = \lambda^t \otimes \sigma^{t-1}, \quad \frac{\partial E}{\partial B^t} = \lambda^t p^t, \quad
//!    \frac{\partial E}{\partial C^t} = L^t\sigma^{t-1}, \quad \frac{\partial E}{\partial D^t} = L^t p^t. $$

use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, TensorMetadata, backend_extension};
use burn_autodiff::checkpoint::base::Checkpointer;
use burn_autodiff::checkpoint::strategy::CheckpointStrategy;
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, Ops, OpsKind};

use super::plan::TracePlan;

/// The recursion, with a backward pass.
#[backend_extension(
    Flex: cfg(feature = "flex"),
    NdArray: cfg(feature = "ndarray"),
    Cube: cfg(feature = "cube"),
    Autodiff
)]
pub trait AdjointBackend: Backend {
    /// w, [currents, steps, batch, post], for a plan's coefficients, [coefficients, steps, batch, post], and L,
    /// [steps, batch, post].
    fn presynaptic_weights(
        coefficients: FloatTensor<Self>,
        signal: FloatTensor<Self>,
        plan: TracePlan,
    ) -> FloatTensor<Self>;
}

macro_rules! implement {
    ($backend:ty) => {
        impl AdjointBackend for $backend {
            fn presynaptic_weights(
                coefficients: FloatTensor<Self>,
                signal: FloatTensor<Self>,
                plan: TracePlan,
            ) -> FloatTensor<Self> {
                Recursion::<Self>::new(coefficients, signal, plan).run().0
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

/// What the recursion goes through.
#[derive(Debug, Clone)]
struct Recursion<B: Backend> {
    coefficients: FloatTensor<B>,
    signal: FloatTensor<B>,
    plan: TracePlan,
}

impl<B: Backend> Recursion<B> {
    fn new(coefficients: FloatTensor<B>, signal: FloatTensor<B>, plan: TracePlan) -> Self {
        Self { coefficients, signal, plan }
    }

    /// A coefficient at all steps, [steps, batch, post].
    fn coefficient(&self, index: usize) -> FloatTensor<B> {
        let coefficient = B::float_slice(self.coefficients.clone(), &[(index..index + 1).into()]);
        B::float_reshape(coefficient, self.signal.shape())
    }

    /// Places of the coefficients of a step, [batch, post].
    fn at(&self, step: usize) -> impl Fn(Option<usize>) -> Option<FloatTensor<B>> {
        let [_, batch, post] = self.signal.shape().dims();
        move |index| {
            let index = index?;
            let ranges = [(index..index + 1).into(), (step..step + 1).into()];
            let row = B::float_slice(self.coefficients.clone(), &ranges);
            Some(B::float_reshape(row, [batch, post].into()))
        }
    }

    /// w, [currents, steps, batch, post], and λ^t, by component, each [steps, batch, post].
    fn run(&self) -> (FloatTensor<B>, Vec<FloatTensor<B>>) {
        let TracePlan { components, currents, a, b, c, d, .. } = &self.plan;
        let [steps, ..] = self.signal.shape().dims::<3>();
        let zeros = row::<B>(&self.signal, 0);
        let zeros = B::float_mul_scalar(zeros, 0.0.into());
        let mut lambda = vec![zeros.clone(); *components];
        let mut weights = vec![Vec::with_capacity(steps); *currents];
        let mut lambdas = vec![Vec::with_capacity(steps); *components];
        for step in (0..steps).rev() {
            let at = self.at(step);
            let signal = row::<B>(&self.signal, step);
            for (current, weights) in weights.iter_mut().enumerate() {
                let through_hidden =
                    (0..*components).map(|row| (at(b[row * currents + current]), &lambda[row]));
                weights.push(combine::<B>(
                    [(at(d[current]), &signal)].into_iter().chain(through_hidden),
                    &zeros,
                ));
            }
            let before = |column: usize| {
                let through_hidden =
                    (0..*components).map(|row| (at(a[row * components + column]), &lambda[row]));
                combine::<B>([(at(c[column]), &signal)].into_iter().chain(through_hidden), &zeros)
            };
            let before: Vec<_> = (0..*components).map(before).collect();
            lambdas
                .iter_mut()
                .zip(std::mem::replace(&mut lambda, before))
                .for_each(|(all, now)| all.push(now));
        }
        let forwards = |mut steps: Vec<FloatTensor<B>>| {
            steps.reverse();
            stack::<B>(steps)
        };
        let weights = weights.into_iter().map(forwards).collect();
        (stack::<B>(weights), lambdas.into_iter().map(forwards).collect())
    }

    /// The gradients of coefficients and L, for λ of [`run`](Self::run) and p = ∂E/∂w.
    fn differentiate(&self, lambda: &[FloatTensor<B>], p: FloatTensor<B>) -> [FloatTensor<B>; 2] {
        let TracePlan { components, currents, a, b, c, d, .. } = &self.plan;
        let [steps, ..] = self.signal.shape().dims::<3>();
        let p: Vec<_> = (0..*currents)
            .map(|current| {
                let p = B::float_slice(p.clone(), &[(current..current + 1).into()]);
                B::float_reshape(p, self.signal.shape())
            })
            .collect();
        let zeros = B::float_mul_scalar(row::<B>(&self.signal, 0), 0.0.into());
        // σ^{t−1} at each step t.
        let mut sigma = vec![zeros.clone(); *components];
        let mut sigmas = vec![Vec::with_capacity(steps); *components];
        let mut of_signal = Vec::with_capacity(steps);
        for step in 0..steps {
            let at = self.at(step);
            let p: Vec<_> = p.iter().map(|p| row::<B>(p, step)).collect();
            let direct = (0..*currents).map(|current| (at(d[current]), &p[current]));
            let through_hidden = (0..*components).map(|row| (at(c[row]), &sigma[row]));
            of_signal.push(combine::<B>(direct.chain(through_hidden), &zeros));
            let next = |row: usize| {
                let direct = (0..*currents).map(|current| (at(b[row * currents + current]), &p[current]));
                let through_hidden =
                    (0..*components).map(|column| (at(a[row * components + column]), &sigma[column]));
                combine::<B>(direct.chain(through_hidden), &zeros)
            };
            let next: Vec<_> = (0..*components).map(next).collect();
            sigmas.iter_mut().zip(std::mem::replace(&mut sigma, next)).for_each(|(all, now)| all.push(now));
        }
        let sigma: Vec<_> = sigmas.into_iter().map(stack::<B>).collect();

        let count = self.coefficients.shape()[0];
        let mut gradients: Vec<Option<FloatTensor<B>>> = vec![None; count];
        let mut add = |index: Option<usize>, left: &FloatTensor<B>, right: &FloatTensor<B>| {
            let Some(index) = index else { return };
            let product = B::float_mul(left.clone(), right.clone());
            gradients[index] = Some(match gradients[index].take() {
                Some(sum) => B::float_add(sum, product),
                None => product,
            });
        };
        for row in 0..*components {
            add(c[row], &self.signal, &sigma[row]);
            (0..*components)
                .for_each(|column| add(a[row * components + column], &lambda[row], &sigma[column]));
            (0..*currents).for_each(|current| add(b[row * currents + current], &lambda[row], &p[current]));
        }
        (0..*currents).for_each(|current| add(d[current], &self.signal, &p[current]));
        let gradients = gradients.into_iter().enumerate();
        let gradients = gradients.map(|(index, gradient)| {
            gradient.unwrap_or_else(|| B::float_mul_scalar(self.coefficient(index), 0.0.into()))
        });
        [stack::<B>(gradients.collect()), stack::<B>(of_signal)]
    }
}

/// A step of [steps, batch, post], [batch, post].
fn row<B: Backend>(tensor: &FloatTensor<B>, step: usize) -> FloatTensor<B> {
    let [_, batch, post] = tensor.shape().dims();
    let row = B::float_slice(tensor.clone(), &[(step..step + 1).into()]);
    B::float_reshape(row, [batch, post].into())
}

/// Tensors as rows of one with a further dimension in front.
fn stack<B: Backend>(tensors: Vec<FloatTensor<B>>) -> FloatTensor<B> {
    let lifted = tensors.into_iter().map(|tensor| {
        let shape: Vec<usize> = [1].into_iter().chain(tensor.shape().iter().copied()).collect();
        B::float_reshape(tensor, shape.into())
    });
    B::float_cat(lifted.collect(), 0)
}

/// The sum of products, of those that have a coefficient; zeros without one.
fn combine<'a, B: Backend>(
    terms: impl Iterator<Item = (Option<FloatTensor<B>>, &'a FloatTensor<B>)>,
    zeros: &FloatTensor<B>,
) -> FloatTensor<B> {
    let products = terms.filter_map(|(coefficient, value)| Some(B::float_mul(coefficient?, value.clone())));
    products.reduce(|sum, product| B::float_add(sum, product)).unwrap_or_else(|| zeros.clone())
}

impl<B: Backend + AdjointBackend, C: CheckpointStrategy> AdjointBackend for Autodiff<B, C> {
    fn presynaptic_weights(
        coefficients: FloatTensor<Self>,
        signal: FloatTensor<Self>,
        plan: TracePlan,
    ) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct Adjoint;

        impl<B: Backend> Backward<B, 2> for Adjoint {
            type State = (Recursion<B>, Vec<FloatTensor<B>>);

            fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
                let (recursion, lambda) = ops.state;
                let p = grads.consume::<B>(&ops.node);
                let gradients = recursion.differentiate(&lambda, p);
                for (parent, gradient) in ops.parents.into_iter().zip(gradients) {
                    if let Some(node) = parent {
                        grads.register::<B>(node.id, gradient);
                    }
                }
            }
        }

        let nodes = [coefficients.node(), signal.node()];
        let recursion = Recursion::<B>::new(coefficients.into_primitive(), signal.into_primitive(), plan);
        let (weights, lambda) = recursion.run();
        match Adjoint.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::UnTracked(prep) => prep.finish(weights),
            OpsKind::Tracked(prep) => prep.finish((recursion, lambda), weights),
        }
    }
}
