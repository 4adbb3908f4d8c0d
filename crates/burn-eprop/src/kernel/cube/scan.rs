//! The low-pass filter.

use burn::backend::TensorMetadata;
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;

use super::{Fused, computed, element_of, empty, number, registered, unit_for_value};

/// `y^t = decay · y^{t−1} + x^t` over x [steps, batch, feature]; all y and the last one.
pub(super) fn low_pass(x: Fused, last: Option<Fused>, decay: f64, reverse: bool) -> (Fused, Fused) {
    let [steps, batch, features] = x.shape().dims();
    let x = computed(x);
    let last = last.map(computed);
    let all = empty(&x, &[steps, batch, features]);
    let end = empty(&x, &[batch, features]);
    let (count, dim) = unit_for_value(&x, batch * features);
    let continued = last.is_some();
    let (decay, element) = (number(decay, &x), element_of(&x));
    filter::launch(
        &x.client.clone(),
        count,
        dim,
        last.unwrap_or_else(|| x.clone()).into_buffer_arg(),
        x.into_buffer_arg(),
        all.clone().into_buffer_arg(),
        end.clone().into_buffer_arg(),
        steps,
        decay,
        continued,
        reverse,
        element,
    );
    (registered(all), registered(end))
}

/// A unit for each feature of each batch element.
#[cube(launch)]
fn filter<F: Float>(
    before: &[F],
    x: &[F],
    all: &mut [F],
    end: &mut [F],
    steps: usize,
    decay: InputScalar,
    #[comptime] continued: bool,
    #[comptime] reverse: bool,
    #[define(F)] _element: ElemType,
) {
    let decay = decay.get::<F>();
    let place = ABSOLUTE_POS;
    let count = end.len();
    if place >= count {
        terminate!();
    }
    let mut y = F::new(0.0);
    if continued {
        y = before[place];
    }
    for index in 0..steps {
        let step = if reverse { steps - 1 - index } else { index };
        let at = step * count + place;
        y = decay * y + x[at];
        all[at] = y;
    }
    end[place] = y;
}
