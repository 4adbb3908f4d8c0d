//! Sums over a chunk as matrix products.

use burn::backend::tensor::FloatTensor;
use burn::tensor::Slice;

use super::host::Host;
use super::recursion::Sizes;
use crate::kernel::ops::TraceRun;
use crate::kernel::plan::{Summed, TracePlan};

/// Adds what happens within a chunk to sums, as matrix products: for coefficients of which few are 0.
pub(super) fn add_products<B: Host>(
    plan: &TracePlan,
    Sizes { steps, batch, post, pre }: Sizes,
    mut weights: impl Iterator<Item = FloatTensor<B>>,
    values: FloatTensor<B>,
    run: &mut TraceRun<B>,
) {
    let columns = plan.currents * post;
    let mut next = || weights.next().expect("one for each pass");
    let rows = B::float_reshape(values.clone(), [steps * batch, pre].into());
    let over_batch = |sum: &mut FloatTensor<B>, weights: FloatTensor<B>| {
        let weights = B::float_reshape(weights, [steps * batch, columns].into());
        let product = B::float_matmul(B::float_swap_dims(rows.clone(), 0, 1), weights);
        *sum = B::float_add(sum.clone(), product);
    };
    let values = B::float_swap_dims(values, 0, 1);
    let by_trial = |sum: &mut FloatTensor<B>, weights: &FloatTensor<B>, current: usize| {
        let of_current = Slice::from(current * post..(current + 1) * post);
        let weights = B::float_slice(weights.clone(), &[Slice::full(), Slice::full(), of_current]);
        let product = B::float_matmul(B::float_permute(weights, &[1, 2, 0]), values.clone());
        *sum = B::float_add(sum.clone(), product);
    };
    over_batch(&mut run.gradient, next());
    match plan.summed {
        Summed::Off => {}
        Summed::OverBatch => over_batch(&mut run.summed.0[0], next()),
        Summed::PerTrial => {
            let weights = next();
            let sums = run.traces.sums.0.iter_mut().enumerate();
            sums.for_each(|(current, sum)| by_trial(sum, &weights, current));
        }
    }
    if !plan.keep {
        return;
    }
    if plan.kappa != 0.0 {
        let weights = next();
        let filtered = run.traces.filtered.0.iter_mut().enumerate();
        filtered.for_each(|(current, sum)| by_trial(sum, &weights, current));
    }
    let mut vectors = run.traces.vectors.0.iter_mut();
    for reached in plan.reached.chunks(plan.currents) {
        let weights = next();
        for (current, _) in reached.iter().enumerate().filter(|(_, reached)| **reached) {
            by_trial(vectors.next().expect("reached"), &weights, current);
        }
    }
}
