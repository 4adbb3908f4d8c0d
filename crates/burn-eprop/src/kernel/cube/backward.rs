//! BPTT's backward pass through a whole sequence; see [`graph`](crate::kernel::graph).

use burn::backend::Cube;
use burn::backend::TensorMetadata;
use burn::backend::ops::FloatTensorOps;
use burn::tensor::Slice;
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;

use super::recursion::{Coefficients, product};
use super::{computed, cube_for_element, element_of, empty, number, registered};
use crate::kernel::ops::{BackwardChunk, BackwardRun, List};
use crate::kernel::plan::TracePlan;

/// Runs BPTT's recursion through a whole sequence.
pub(super) fn back_propagate(
    chunk: BackwardChunk<Cube>,
    plan: &TracePlan,
    bounded: bool,
) -> BackwardRun<Cube> {
    let BackwardChunk { gradient, coefficients, feedback, end, drive } = chunk;
    let [steps, batch, post] = gradient.shape().dims();
    let (gradient, feedback) = (computed(gradient), computed(feedback));
    let argument = |tensor| computed(tensor).into_buffer_arg();
    let coefficients = coefficients.0.into_iter().map(argument).collect();
    let (ends, drives) = (!end.0.is_empty(), drive.0.len());
    let (end, drive) =
        (end.0.into_iter().map(argument).collect(), drive.0.into_iter().map(argument).collect());
    let w = empty(&gradient, &[steps * batch, plan.currents * post]);
    let lambda = empty(&gradient, &[2, plan.components, batch, post]);
    let totals = empty(&gradient, &if bounded { [steps, batch, post] } else { [1, 1, 1] });
    let (count, dim) = cube_for_element(&gradient, batch, post);
    let decay = number(plan.pre_decay.unwrap_or(0.0), &gradient);
    let element = element_of(&gradient);
    run::launch(
        &gradient.client.clone(),
        count,
        dim,
        coefficients,
        end,
        drive,
        gradient.into_buffer_arg(),
        feedback.into_buffer_arg(),
        lambda.clone().into_buffer_arg(),
        w.clone().into_buffer_arg(),
        totals.clone().into_buffer_arg(),
        steps,
        batch,
        decay,
        post,
        Coefficients::new(plan),
        bounded,
        ends,
        drives,
        element,
    );
    let (totals, lambda) = (registered(totals), registered(lambda));
    let start = |component: usize| {
        let half = steps % 2;
        let range = [half..half + 1, component..component + 1, 0..batch, 0..post].map(Slice::from);
        Cube::float_reshape(Cube::float_slice(lambda.clone(), &range), [batch, post].into())
    };
    let components = if bounded { plan.components } else { 0 };
    BackwardRun {
        weights: registered(w),
        totals: List(if bounded { vec![totals] } else { Vec::new() }),
        start: List((0..components).map(start).collect()),
    }
}

/// A cube for each batch element. λ of a step and of the step before change places.
#[cube(launch)]
fn run<F: Float>(
    coefficients: &Sequence<Box<[F]>>,
    end: &Sequence<Box<[F]>>,
    drive: &Sequence<Box<[F]>>,
    gradient: &[F],
    feedback: &[F],
    lambda: &mut [F],
    weights: &mut [F],
    totals: &mut [F],
    steps: usize,
    batch: usize,
    pre_decay: InputScalar,
    #[comptime] post: usize,
    #[comptime] plan: Coefficients,
    #[comptime] bounded: bool,
    #[comptime] ends: bool,
    #[comptime] drives: usize,
    #[define(F)] _element: ElemType,
) {
    let pre_decay = pre_decay.get::<F>();
    let components = comptime!(plan.components);
    let currents = comptime!(plan.currents);
    let columns = comptime!(plan.currents * post);
    let element = CUBE_POS_X as usize;
    let units = CUBE_DIM_X as usize;
    let of_component = batch * post;
    let of_lambda = components * of_component;
    // w of the step after and of this one change places.
    let mut w = Shared::<[F]>::new_slice(comptime!(2 * plan.currents * post));
    let mut k = UNIT_POS_X as usize;
    while k < columns {
        w[k] = F::new(0.0);
        k += units;
    }
    let mut j = UNIT_POS_X as usize;
    while j < post {
        #[unroll]
        for component in 0..components {
            let mut value = F::new(0.0);
            if comptime!(ends) {
                value = end[component][element * post + j];
            }
            lambda[component * of_component + element * post + j] = value;
        }
        j += units;
    }
    sync_cube();
    for index in 0..steps {
        let after = (index % 2) * columns;
        let now = columns - after;
        let lambda_after = (index % 2) * of_lambda + element * post;
        let lambda_now = of_lambda - (index % 2) * of_lambda + element * post;
        let row = (steps - 1 - index) * batch + element;
        let mut j = UNIT_POS_X as usize;
        while j < post {
            let at = row * post + j;
            let mut mu = gradient[at];
            for k in 0..columns {
                mu += w[after + k] * feedback[k * post + j];
            }
            if comptime!(bounded) {
                totals[at] = mu;
            }
            #[unroll]
            for current in 0..currents {
                // What the presynaptic filter brings from later steps, where it is folded.
                let mut sum = pre_decay * w[after + current * post + j];
                sum += product::<F>(coefficients, at, mu, comptime!(plan.d[current]));
                #[unroll]
                for component in 0..components {
                    let value = lambda[lambda_after + component * of_component + j];
                    sum += product::<F>(coefficients, at, value, comptime!(plan.b(component, current)));
                }
                #[unroll]
                for part in 0..drives {
                    if index == 0 {
                        sum += drive[part][element * columns + current * post + j];
                    }
                }
                w[now + current * post + j] = sum;
                weights[row * columns + current * post + j] = sum;
            }
            #[unroll]
            for column in 0..components {
                let mut sum = product::<F>(coefficients, at, mu, comptime!(plan.c[column]));
                #[unroll]
                for line in 0..components {
                    let value = lambda[lambda_after + line * of_component + j];
                    sum += product::<F>(coefficients, at, value, comptime!(plan.a(line, column)));
                }
                lambda[lambda_now + column * of_component + j] = sum;
            }
            j += units;
        }
        sync_cube();
    }
}
