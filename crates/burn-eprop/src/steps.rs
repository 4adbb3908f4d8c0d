//! Chunks of time: cut into steps, multiplied, filtered.

use burn::tensor::{Tensor, TensorData};

use crate::kernel;

/// The sum of what there is.
pub(crate) fn sum<const D: usize>(parts: impl IntoIterator<Item = Option<Tensor<D>>>) -> Option<Tensor<D>> {
    parts.into_iter().flatten().reduce(|sum, part| sum + part)
}

/// Each step [batch, from] times weights [from, to].
///
/// One product for all steps is fastest; but the gradient of cutting it into steps would take time in proportion
/// to the square of their number, so that autodiff gets a product for each step.
pub(crate) fn multiply_steps(steps: &[Tensor<2>], weights: Tensor<2>) -> Vec<Tensor<2>> {
    if weights.is_autodiff() || steps.len() == 1 {
        return steps.iter().map(|step| step.clone().matmul(weights.clone())).collect();
    }
    let batch = steps[0].dims()[0];
    let rows = Tensor::cat(steps.to_vec(), 0).matmul(weights);
    (0..steps.len()).map(|step| rows.clone().narrow(0, step * batch, batch)).collect()
}

/// Cuts [steps, batch, feature] into steps, by halves: the gradient of each cut is as large as what was cut, so that cutting off one
/// step after the other would take time in proportion to the square of their number.
pub(crate) fn split_steps(chunk: Tensor<3>) -> Vec<Tensor<2>> {
    let steps = chunk.dims()[0];
    if steps == 1 {
        return vec![chunk.squeeze_dim(0)];
    }
    let half = steps / 2;
    let mut first = split_steps(chunk.clone().narrow(0, 0, half));
    first.extend(split_steps(chunk.narrow(0, half, steps - half)));
    first
}

/// The outputs of all layers side by side, [steps, batch, neurons].
pub(crate) fn side_by_side(mut layers: Vec<Tensor<3>>) -> Tensor<3> {
    if layers.len() == 1 { layers.remove(0) } else { Tensor::cat(layers, 2) }
}

/// The same, by step.
pub(crate) fn join_layers(layers: &[Vec<Tensor<2>>]) -> Vec<Tensor<2>> {
    let steps = 0..layers[0].len();
    let at_step = |step: usize| layers.iter().map(|layer| layer[step].clone()).collect();
    match layers {
        [layer] => layer.clone(),
        _ => steps.map(|step| Tensor::cat(at_step(step), 1)).collect(),
    }
}

/// `y^t = decay · y^{t−1} + x^t` over `x` [steps, batch, feature], starting from `last`
/// [batch, feature] (0 where `None`). Returns all y and the last one.
pub(crate) fn low_pass(x: Tensor<3>, decay: f64, last: Option<Tensor<2>>) -> (Tensor<3>, Tensor<2>) {
    if kernel::is_supported(&x) {
        return kernel::low_pass(x, decay, last, false);
    }
    let steps = x.dims()[0];
    let mut filtered: Vec<Tensor<2>> = Vec::with_capacity(steps);
    let mut last = last;
    for step in 0..steps {
        let x = x.clone().narrow(0, step, 1).squeeze_dim::<2>(0);
        let y = match last.take() {
            Some(last) => last.mul_scalar(decay) + x,
            None => x,
        };
        last = Some(y.clone());
        filtered.push(y);
    }
    let last = last.expect("a chunk has at least one step");
    (Tensor::stack(filtered, 0), last)
}

/// `y^t = decay · y^{t−1} + x^t` over `x` [steps, batch, feature] from 0, or backwards in time, in the autodiff graph of x. Without
/// kernels it is a product with a matrix [steps, steps].
pub(crate) fn filter_in_graph(x: Tensor<3>, decay: f64, backwards: bool) -> Tensor<3> {
    if decay == 0.0 {
        return x;
    }
    if kernel::is_supported(&x.clone().without_autodiff()) {
        return match backwards {
            true => kernel::filter(x.flip([0]), decay).flip([0]),
            false => kernel::filter(x, decay),
        };
    }
    let [steps, batch, features] = x.dims();
    let power = |to: usize, from: usize| if to >= from { decay.powi((to - from) as i32) } else { 0.0 };
    let powers = (0..steps).flat_map(|to| (0..steps).map(move |from| power(to, from)));
    let data = TensorData::new(powers.collect::<Vec<_>>(), [steps, steps]);
    let powers = Tensor::<2>::from_data(data, (&x.device(), x.dtype()));
    let powers = if backwards { powers.transpose() } else { powers };
    powers.matmul(x.reshape([steps, batch * features])).reshape([steps, batch, features])
}

/// `y^t = decay · y^{t+1} + x^t`, backwards in time from 0. Returns all y.
pub(crate) fn low_pass_backwards(x: Tensor<3>, decay: f64) -> Tensor<3> {
    if decay == 0.0 {
        return x;
    }
    if kernel::is_supported(&x) {
        return kernel::low_pass(x, decay, None, true).0;
    }
    let (filtered, _) = low_pass(x.flip([0]), decay, None);
    filtered.flip([0])
}

/// The last value of [`low_pass`] alone: decay^K `last` + Σ_t decay^{K−t} x^t.
pub(crate) fn low_pass_end(x: Tensor<3>, decay: f64, last: Option<Tensor<2>>) -> Tensor<2> {
    let [steps, batch, features] = x.dims();
    let powers: Vec<f64> = (0..steps).map(|step| decay.powi((steps - 1 - step) as i32)).collect();
    let powers = Tensor::<2>::from_data(TensorData::new(powers, [1, steps]), (&x.device(), x.dtype()));
    let end = powers.matmul(x.reshape([steps, batch * features])).reshape([batch, features]);
    match last {
        Some(last) => end + last.mul_scalar(decay.powi(steps as i32)),
        None => end,
    }
}
