//! BPTT's backward pass through a whole sequence; see [`graph`](crate::kernel::graph).

use burn::backend::Cube;
use burn::backend::TensorMetadata;
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;

use super::recursion::{Coefficients, product};
use super::{Fused, computed, cube_for_element, element_of, empty, number, registered};
use crate::kernel::ops::List;
use crate::kernel::plan::TracePlan;

/// Runs BPTT's recursion through a whole sequence.
pub(super) fn back_propagate(
    gradient: Fused,
    coefficients: List<Cube>,
    feedback: Fused,
    plan: &TracePlan,
) -> Fused {
    let [steps, batch, post] = gradient.shape().dims();
    let (gradient, feedback) = (computed(gradient), computed(feedback));
    let coefficients = coefficients.0.into_iter().map(|tensor| computed(tensor).into_buffer_arg());
    let w = empty(&gradient, &[steps * batch, plan.currents * post]);
    let lambda = empty(&gradient, &[2, plan.components, batch, post]);
    let (count, dim) = cube_for_element(&gradient, batch, post);
    let decay = number(plan.pre_decay.unwrap_or(0.0), &gradient);
    let element = element_of(&gradient);
    run::launch(
        &gradient.client.clone(),
        count,
        dim,
        coefficients.collect(),
        gradient.into_buffer_arg(),
        feedback.into_buffer_arg(),
        lambda.into_buffer_arg(),
        w.clone().into_buffer_arg(),
        steps,
        batch,
        decay,
        post,
        Coefficients::new(plan),
        element,
    );
    registered(w)
}

/// A cube for each batch element. λ of a step and of the step before change places.
#[cube(launch)]
fn run<F: Float>(
    coefficients: &Sequence<Box<[F]>>,
    gradient: &[F],
    feedback: &[F],
    lambda: &mut [F],
    weights: &mut [F],
    steps: usize,
    batch: usize,
    pre_decay: InputScalar,
    #[comptime] post: usize,
    #[comptime] plan: Coefficients,
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
            lambda[component * of_component + element * post + j] = F::new(0.0);
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
