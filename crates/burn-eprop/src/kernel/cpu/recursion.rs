//! The backward recursion through a chunk, in neuron space; see the [engine](crate::eligibility).

use burn::backend::TensorMetadata;

use super::host::{Host, View};
use super::real::Real;
use crate::kernel::ops::TraceChunk;
use crate::kernel::plan::{Seed, TracePlan};

#[derive(Clone, Copy)]
pub(super) struct Sizes {
    pub(super) steps: usize,
    pub(super) batch: usize,
    pub(super) post: usize,
    pub(super) pre: usize,
}

pub(super) struct Chunk<'a, E: Real> {
    pub(super) plan: &'a TracePlan,
    pub(super) sizes: Sizes,
    pub(super) coefficients: Vec<View<'a, E>>,
    pub(super) pre: Vec<Presynaptic<'a, E>>,
    pub(super) signal: Option<View<'a, E>>,
    pub(super) summed_by: Option<View<'a, E>>,
}

/// A part of the presynaptic values; with `before` they arrive one step later.
pub(super) struct Presynaptic<'a, E: Real> {
    pub(super) values: View<'a, E>,
    pub(super) before: Option<View<'a, E>>,
}

impl<E: Real> Presynaptic<'_, E> {
    #[inline(always)]
    pub(super) fn row(&self, step: usize, element: usize) -> &[E] {
        match &self.before {
            None => self.values.row(step, element),
            Some(before) if step == 0 => before.row(0, element),
            Some(_) => self.values.row(step - 1, element),
        }
    }
}

impl<'a, E: Real> Chunk<'a, E> {
    pub(super) fn new<B: Host>(inputs: &'a TraceChunk<B>, plan: &'a TracePlan) -> Self {
        let mut before = inputs.before.0.iter().map(B::view::<E>);
        let parts = inputs.pre.0.iter().zip(&plan.delayed).map(|(values, &delayed)| Presynaptic {
            values: B::view::<E>(values),
            before: if delayed { before.next() } else { None },
        });
        let parts: Vec<_> = parts.collect();
        let [steps, batch, _] = inputs.pre.0[0].shape().dims();
        let pre = parts.iter().map(|part| part.values.width()).sum();
        Self {
            plan,
            sizes: Sizes { steps, batch, post: inputs.coefficients.0[0].shape()[1], pre },
            coefficients: inputs.coefficients.0.iter().map(B::view::<E>).collect(),
            pre: parts,
            signal: inputs.signal.0.first().map(B::view::<E>),
            summed_by: inputs.summed_by.0.first().map(B::view::<E>),
        }
    }

    /// Whether an element's signal differs from 0 at some step.
    #[inline(always)]
    pub(super) fn is_signalled(&self, element: usize) -> bool {
        let differs = |step: usize, signal: &View<E>| {
            signal.row(step, element).iter().any(|&signal| signal != E::zero())
        };
        self.signal.as_ref().is_some_and(|signal| (0..self.sizes.steps).any(|step| differs(step, signal)))
    }

    /// A coefficient of all neurons at a step.
    #[inline(always)]
    pub(super) fn coefficient(&self, index: usize, step: usize, element: usize) -> &[E] {
        self.coefficients[index].row(0, step * self.sizes.batch + element)
    }
}

/// The coefficients of what a seed asks for.
pub(super) struct Pass<E> {
    /// w, [currents · steps, post].
    pub(super) weights: Vec<E>,
    /// Those of ε at the chunk's start, [components, post].
    pub(super) lambda: Vec<E>,
    /// Those of ē at the chunk's start, `[post]`.
    pub(super) m: Vec<E>,
}

impl<E: Real> Pass<E> {
    pub(super) fn new(plan: &TracePlan, Sizes { steps, post, .. }: Sizes) -> Self {
        Self {
            weights: vec![E::zero(); plan.currents * steps * post],
            lambda: vec![E::zero(); plan.components * post],
            m: vec![E::zero(); post],
        }
    }

    /// Runs the recursion from the chunk's last step to its first.
    #[inline(always)]
    pub(super) fn run(
        &mut self,
        seed: Seed,
        chunk: &Chunk<E>,
        element: usize,
        space: &mut RecursionSpace<E>,
    ) {
        let Chunk { plan, sizes: Sizes { steps, post, .. }, .. } = chunk;
        let kappa = E::of(plan.kappa);
        self.lambda.fill(E::zero());
        self.m.fill(if seed == Seed::Filtered { E::one() } else { E::zero() });
        if let Seed::Vector(component) = seed {
            self.lambda[component * post..][..*post].fill(E::one());
        }
        let mu = &mut space.mu[..*post];
        for step in (0..*steps).rev() {
            // μ = m + the unfiltered seed, with m^t = L^t + κ m^{t+1}; κ m^{t+1} is in self.m.
            match seed {
                Seed::Signal => {
                    let signal = chunk.signal.as_ref().expect("driven by it").row(step, element);
                    for ((mu, m), &signal) in mu.iter_mut().zip(&mut self.m).zip(signal) {
                        *mu = signal + *m;
                        *m = kappa * *mu;
                    }
                }
                Seed::Filtered => {
                    mu.copy_from_slice(&self.m);
                    self.m.iter_mut().for_each(|m| *m *= kappa);
                }
                Seed::Unfiltered => {
                    match chunk.summed_by.as_ref().map(|weights| weights.row(step, element)) {
                        None => mu.fill(E::one()),
                        Some([of_all]) => mu.fill(*of_all),
                        Some(of_each) => mu.copy_from_slice(of_each),
                    }
                }
                Seed::Vector(_) => {}
            }
            let driven = !matches!(seed, Seed::Vector(_));
            let coefficient = |index: Option<usize>| Some(chunk.coefficient(index?, step, element));
            for current in 0..plan.currents {
                let weights = &mut self.weights[(current * steps + step) * post..][..*post];
                set_product(weights, coefficient(plan.d[current]).filter(|_| driven), mu);
                for (component, lambda) in self.lambda.chunks_exact(*post).enumerate() {
                    add_product(weights, coefficient(plan.b[component * plan.currents + current]), lambda);
                }
            }
            let lambda = &mut space.lambda;
            for (column, lambda) in lambda.chunks_exact_mut(*post).enumerate() {
                set_product(lambda, coefficient(plan.c[column]).filter(|_| driven), mu);
                for (row, before) in self.lambda.chunks_exact(*post).enumerate() {
                    add_product(lambda, coefficient(plan.a[row * plan.components + column]), before);
                }
            }
            std::mem::swap(&mut self.lambda, lambda);
        }
    }
}

/// `row *= factor`.
#[inline(always)]
pub(super) fn scale<E: Real>(row: &mut [E], factor: E) {
    row.iter_mut().for_each(|value| *value *= factor);
}

/// `result = a · b`, or 0 without a.
#[inline(always)]
pub(super) fn set_product<E: Real>(result: &mut [E], a: Option<&[E]>, b: &[E]) {
    match a {
        Some(a) => {
            for ((result, &a), &b) in result.iter_mut().zip(a).zip(b) {
                *result = a * b;
            }
        }
        None => result.fill(E::zero()),
    }
}

/// `result += a · b`.
#[inline(always)]
pub(super) fn add_product<E: Real>(result: &mut [E], a: Option<&[E]>, b: &[E]) {
    let Some(a) = a else { return };
    for ((result, &a), &b) in result.iter_mut().zip(a).zip(b) {
        *result += a * b;
    }
}

/// Space of a recursion.
pub(super) struct RecursionSpace<E> {
    /// μ, `[post]`.
    pub(super) mu: Vec<E>,
    /// λ of the step before, [components, post].
    lambda: Vec<E>,
}

impl<E: Real> RecursionSpace<E> {
    pub(super) fn new(plan: &TracePlan, Sizes { post, .. }: Sizes) -> Self {
        Self { mu: vec![E::zero(); post], lambda: vec![E::zero(); plan.components * post] }
    }
}
