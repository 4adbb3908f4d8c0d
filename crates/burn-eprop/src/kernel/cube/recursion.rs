//! One recursion of the [eligibility engine](crate::eligibility), in neuron space.

use burn::backend::TensorMetadata;
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;

use super::{computed, element_of, empty, number, registered, unit_for_value};
use crate::kernel::ops::{RecursionChunk, RecursionRun};
use crate::kernel::plan::{Seed, TracePlan};
use burn::backend::Cube;

/// Where the coefficients are in their list.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Coefficients {
    pub(super) components: usize,
    pub(super) currents: usize,
    pub(super) c: Vec<Option<usize>>,
    pub(super) d: Vec<Option<usize>>,
    matrix_a: Vec<Option<usize>>,
    matrix_b: Vec<Option<usize>>,
}

impl Coefficients {
    pub(super) fn new(plan: &TracePlan) -> Self {
        let TracePlan { components, currents, .. } = *plan;
        let [a, b, c, d] = [&plan.a, &plan.b, &plan.c, &plan.d].map(Clone::clone);
        Self { components, currents, c, d, matrix_a: a, matrix_b: b }
    }

    /// A\[row]\[column].
    pub(super) fn a(&self, row: usize, column: usize) -> Option<usize> {
        self.matrix_a[row * self.components + column]
    }

    /// B\[component]\[current].
    pub(super) fn b(&self, component: usize, current: usize) -> Option<usize> {
        self.matrix_b[component * self.currents + current]
    }
}

/// Runs a recursion from the chunk's last step to its first.
pub(super) fn run(
    chunk: RecursionChunk<Cube>,
    plan: &TracePlan,
    seed: Seed,
    batch: usize,
) -> RecursionRun<Cube> {
    let [rows, post] = chunk.coefficients.0[0].shape().dims();
    let coefficients: Vec<_> = chunk.coefficients.0.into_iter().map(computed).collect();
    let beside = coefficients[0].clone();
    let drive = chunk.drive.0.into_iter().next().map_or_else(|| beside.clone(), computed);
    let weights = empty(&beside, &[rows, plan.currents * post]);
    let lambda = empty(&beside, &[plan.components, batch, post]);
    let filtered = empty(&beside, &[batch, post]);
    let (count, dim) = unit_for_value(&beside, batch * post);
    recur::launch(
        &beside.client,
        count,
        dim,
        coefficients.into_iter().map(|tensor| tensor.into_buffer_arg()).collect(),
        drive.into_buffer_arg(),
        weights.clone().into_buffer_arg(),
        lambda.clone().into_buffer_arg(),
        filtered.clone().into_buffer_arg(),
        rows / batch,
        batch,
        post,
        number(plan.kappa, &beside),
        seed,
        Coefficients::new(plan),
        element_of(&beside),
    );
    RecursionRun { weights: registered(weights), lambda: registered(lambda), filtered: registered(filtered) }
}

/// A coefficient times a value, 0 without one.
#[cube]
pub(super) fn product<F: Float>(
    coefficients: &Sequence<Box<[F]>>,
    at: usize,
    value: F,
    #[comptime] coefficient: Option<usize>,
) -> F {
    if comptime!(coefficient.is_some()) {
        coefficients[comptime!(coefficient.unwrap())][at] * value
    } else {
        F::new(0.0)
    }
}

/// A unit for each neuron of each batch element.
#[cube(launch)]
fn recur<F: Float>(
    coefficients: &Sequence<Box<[F]>>,
    drive: &[F],
    weights: &mut [F],
    lambda_before: &mut [F],
    filtered_before: &mut [F],
    steps: usize,
    batch: usize,
    post: usize,
    kappa: InputScalar,
    #[comptime] seed: Seed,
    #[comptime] plan: Coefficients,
    #[define(F)] _element: ElemType,
) {
    let kappa = kappa.get::<F>();
    let place = ABSOLUTE_POS;
    if place >= batch * post {
        terminate!();
    }
    let element = place / post;
    let neuron = place % post;
    let components = comptime!(plan.components);
    let currents = comptime!(plan.currents);
    // Whether μ can differ from 0.
    let driven = comptime!(!matches!(seed, Seed::Vector(_)));
    let mut lambda = Array::<F>::new(components);
    let mut next = Array::<F>::new(components);
    #[unroll]
    for component in 0..components {
        lambda[component] = F::new(comptime!(f32::from(u8::from(seed == Seed::Vector(component)))));
    }
    let mut m = F::new(comptime!(f32::from(u8::from(seed == Seed::Filtered))));
    for index in 0..steps {
        let step = steps - 1 - index;
        let row = step * batch + element;
        let at = row * post + neuron;
        // μ = m + the unfiltered seed, with m^t = L^t + κ m^{t+1}; κ m^{t+1} is in m.
        let mut mu = F::new(0.0);
        if comptime!(seed == Seed::Signal) {
            mu = drive[at] + m;
            m = kappa * mu;
        }
        if comptime!(seed == Seed::Filtered) {
            mu = m;
            m *= kappa;
        }
        if comptime!(seed == Seed::Unfiltered) {
            mu = drive[at];
        }
        #[unroll]
        for current in 0..currents {
            let mut w = F::new(0.0);
            if comptime!(driven) {
                w += product::<F>(coefficients, at, mu, comptime!(plan.d[current]));
            }
            #[unroll]
            for component in 0..components {
                let b = comptime!(plan.b(component, current));
                w += product::<F>(coefficients, at, lambda[component], b);
            }
            weights[(row * currents + current) * post + neuron] = w;
        }
        #[unroll]
        for component in 0..components {
            let mut sum = F::new(0.0);
            if comptime!(driven) {
                sum += product::<F>(coefficients, at, mu, comptime!(plan.c[component]));
            }
            #[unroll]
            for line in 0..components {
                let a = comptime!(plan.a(line, component));
                sum += product::<F>(coefficients, at, lambda[line], a);
            }
            next[component] = sum;
        }
        #[unroll]
        for component in 0..components {
            lambda[component] = next[component];
        }
    }
    #[unroll]
    for component in 0..components {
        lambda_before[component * batch * post + place] = lambda[component];
    }
    filtered_before[place] = m;
}
