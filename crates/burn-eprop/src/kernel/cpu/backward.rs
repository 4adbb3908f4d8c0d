//! BPTT's backward pass through a whole sequence; see [`graph`](crate::kernel::graph).

use std::ops::Range;

use burn::backend::TensorMetadata;
use burn::backend::tensor::FloatTensor;
use pulp::{Simd, WithSimd};

use super::host::{Host, View, groups, in_parallel, rows_by_group};
use super::real::{Panels, Real, dispatch};
use super::recursion::{add_product, scale, set_product};
use crate::kernel::ops::List;
use crate::kernel::plan::TracePlan;

/// Batch elements that are multiplied with the feedback weights together.
const TOGETHER: usize = 4;

/// Runs BPTT's recursion through a whole sequence.
pub(super) fn back_propagate<B: Host, E: Real>(
    gradient: &FloatTensor<B>,
    coefficients: &List<B>,
    feedback: &FloatTensor<B>,
    plan: &TracePlan,
) -> FloatTensor<B> {
    let [steps, batch, post] = gradient.shape().dims();
    let columns = plan.currents * post;
    let back = BackPropagation {
        plan,
        sizes: [steps, batch, post],
        gradient: B::view::<E>(gradient),
        coefficients: coefficients.0.iter().map(B::view::<E>).collect(),
        feedback: B::view::<E>(feedback),
    };
    let mut w = vec![E::zero(); steps * batch * columns];
    let groups = groups(batch);
    let rows = rows_by_group(&mut w, [batch, columns], &groups).into_iter();
    let parts = rows.zip(&groups).map(|(w, group)| BackwardPart { back: &back, elements: group.clone(), w });
    in_parallel(parts.collect(), dispatch);
    B::tensor(w, &[steps * batch, columns])
}

struct BackPropagation<'a, E: Real> {
    plan: &'a TracePlan,
    /// Steps, batch, post.
    sizes: [usize; 3],
    gradient: View<'a, E>,
    coefficients: Vec<View<'a, E>>,
    feedback: View<'a, E>,
}

/// A thread's part of the batch; w by step and element.
struct BackwardPart<'a, E: Real> {
    back: &'a BackPropagation<'a, E>,
    elements: Range<usize>,
    w: Vec<&'a mut [E]>,
}

impl<E: Real> WithSimd for BackwardPart<'_, E> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { back, elements, w: mut rows } = self;
        let BackPropagation { plan, sizes: [steps, batch, post], .. } = back;
        let (post, count, columns) = (*post, elements.len(), plan.currents * post);
        let feedback = Panels::new::<S>(&back.feedback, columns);
        let stride = feedback.stride::<S>();
        let decay = E::of(plan.pre_decay.unwrap_or(0.0));
        let mut mu = vec![E::zero(); count * stride];
        let mut w = vec![E::zero(); count * columns];
        let mut lambda = vec![E::zero(); count * plan.components * post];
        let mut next_lambda = vec![E::zero(); plan.components * post];
        for step in (0..*steps).rev() {
            for (element, mu) in elements.clone().zip(mu.chunks_exact_mut(stride)) {
                mu.fill(E::zero());
                mu[..post].copy_from_slice(back.gradient.row(step, element));
            }
            let mut blocks = mu.chunks_exact_mut(TOGETHER * stride);
            let mut behind = w.chunks_exact(TOGETHER * columns);
            for (mu, w) in (&mut blocks).zip(&mut behind) {
                let w: [&[E]; TOGETHER] = std::array::from_fn(|index| &w[index * columns..][..columns]);
                feedback.add(simd, mu, w);
            }
            let rest = blocks.into_remainder().chunks_exact_mut(stride);
            rest.zip(behind.remainder().chunks_exact(columns))
                .for_each(|(mu, w)| feedback.add(simd, mu, [w]));

            for (index, element) in elements.clone().enumerate() {
                let mu = &mu[index * stride..][..post];
                let lambda = &mut lambda[index * plan.components * post..][..plan.components * post];
                let coefficient =
                    |index: Option<usize>| Some(back.coefficients[index?].row(0, step * batch + element));
                for (current, w) in w[index * columns..][..columns].chunks_exact_mut(post).enumerate() {
                    // What the presynaptic filter brings from later steps, where it is folded.
                    scale(w, decay);
                    add_product(w, coefficient(plan.d[current]), mu);
                    for (component, lambda) in lambda.chunks_exact(post).enumerate() {
                        add_product(w, coefficient(plan.b[component * plan.currents + current]), lambda);
                    }
                }
                for (column, next) in next_lambda.chunks_exact_mut(post).enumerate() {
                    set_product(next, coefficient(plan.c[column]), mu);
                    for (row, before) in lambda.chunks_exact(post).enumerate() {
                        add_product(next, coefficient(plan.a[row * plan.components + column]), before);
                    }
                }
                lambda.copy_from_slice(&next_lambda);
                rows[step * count + index].copy_from_slice(&w[index * columns..][..columns]);
            }
        }
    }
}
