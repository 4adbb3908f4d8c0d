//! BPTT's backward pass through a whole sequence; see [`graph`](crate::kernel::graph).

use std::ops::Range;

use burn::backend::TensorMetadata;
use pulp::{Simd, WithSimd};

use super::host::{Host, View, give_rows, groups_with, in_parallel};
use super::real::{Panels, Real, dispatch};
use super::recursion::{add_product, scale, set_product};
use crate::kernel::ops::{BackwardChunk, BackwardRun, List};
use crate::kernel::plan::TracePlan;

/// Batch elements that are multiplied with the feedback weights together.
const TOGETHER: usize = 4;

/// Runs BPTT's recursion through a whole sequence.
pub(super) fn back_propagate<B: Host, E: Real>(
    chunk: &BackwardChunk<B>,
    plan: &TracePlan,
    bounded: bool,
) -> BackwardRun<B> {
    let [steps, batch, post] = chunk.gradient.shape().dims();
    let columns = plan.currents * post;
    let back = BackPropagation {
        plan,
        sizes: [steps, batch, post],
        gradient: B::view::<E>(&chunk.gradient),
        coefficients: views::<B, E>(&chunk.coefficients),
        feedback: B::view::<E>(&chunk.feedback),
        shared: chunk.feedback.shape()[0] == 1,
        end: views::<B, E>(&chunk.end),
        drive: chunk.drive.0.first().map(B::view::<E>),
    };
    let zeros = |size: usize| vec![E::zero(); size];
    let mut w = zeros(steps * batch * columns);
    let mut totals = zeros(if bounded { steps * batch * post } else { 0 });
    let mut start = zeros(if bounded { plan.components * batch * post } else { 0 });
    let groups = groups_with(batch, chunk.feedback.shape()[0]);
    let part = |elements: &Range<usize>| BackwardPart {
        back: &back,
        elements: elements.clone(),
        w: Vec::new(),
        totals: Vec::new(),
        start: Vec::new(),
    };
    let mut parts: Vec<_> = groups.iter().map(part).collect();
    give_rows(&mut w, [batch, columns], &groups, &mut parts, |part, rows| part.w = rows);
    give_rows(&mut totals, [batch, post], &groups, &mut parts, |part, rows| part.totals = rows);
    give_rows(&mut start, [batch, post], &groups, &mut parts, |part, rows| part.start = rows);
    in_parallel(parts, dispatch);
    let start = start.chunks_exact(batch * post).map(|lambda| B::tensor(lambda.to_vec(), &[batch, post]));
    BackwardRun {
        start: List(start.collect()),
        weights: B::tensor(w, &[steps * batch, columns]),
        totals: List(if bounded { vec![B::tensor(totals, &[steps, batch, post])] } else { Vec::new() }),
    }
}

fn views<B: Host, E: Real>(list: &List<B>) -> Vec<View<'_, E>> {
    list.0.iter().map(B::view::<E>).collect()
}

struct BackPropagation<'a, E: Real> {
    plan: &'a TracePlan,
    /// Steps, batch, post.
    sizes: [usize; 3],
    gradient: View<'a, E>,
    coefficients: Vec<View<'a, E>>,
    feedback: View<'a, E>,
    /// Whether the feedback weights are those of all sequences.
    shared: bool,
    end: Vec<View<'a, E>>,
    drive: Option<View<'a, E>>,
}

/// A thread's part of the batch; rows of w and μ by step and element, of λ at the start by component and element.
struct BackwardPart<'a, E: Real> {
    back: &'a BackPropagation<'a, E>,
    elements: Range<usize>,
    w: Vec<&'a mut [E]>,
    totals: Vec<&'a mut [E]>,
    start: Vec<&'a mut [E]>,
}

impl<E: Real> WithSimd for BackwardPart<'_, E> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { back, elements, w: mut rows, mut totals, mut start } = self;
        let BackPropagation { plan, sizes: [steps, batch, post], .. } = back;
        let (post, count, columns) = (*post, elements.len(), plan.currents * post);
        let matrix = if back.shared { 0 } else { elements.start };
        let feedback = Panels::new::<S>(&back.feedback, matrix, columns);
        let stride = feedback.stride::<S>();
        let decay = E::of(plan.pre_decay.unwrap_or(0.0));
        let mut mu = vec![E::zero(); count * stride];
        let mut w = vec![E::zero(); count * columns];
        let mut lambda = vec![E::zero(); count * plan.components * post];
        let mut next_lambda = vec![E::zero(); plan.components * post];
        for (index, element) in elements.clone().enumerate() {
            let lambda = &mut lambda[index * plan.components * post..][..plan.components * post];
            for (lambda, end) in lambda.chunks_exact_mut(post).zip(&back.end) {
                lambda.copy_from_slice(end.row(0, element));
            }
        }
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
                if let Some(row) = totals.get_mut(step * count + index) {
                    row.copy_from_slice(mu);
                }
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
                if let Some(drive) = back.drive.as_ref().filter(|_| step + 1 == *steps) {
                    let w = w[index * columns..][..columns].iter_mut();
                    w.zip(drive.row(0, element)).for_each(|(w, &drive)| *w += drive);
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
        for (index, row) in start.iter_mut().enumerate() {
            let (component, element) = (index / count, index % count);
            row.copy_from_slice(&lambda[(element * plan.components + component) * post..][..post]);
        }
    }
}
