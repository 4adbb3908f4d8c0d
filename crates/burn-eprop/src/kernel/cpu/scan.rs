//! Passes over all steps of a tensor.

use burn::backend::TensorMetadata;
use burn::backend::tensor::FloatTensor;

use super::host::Host;
use super::real::Real;

/// `y^t = decay · y^{t−1} + x^t` over x [steps, batch, feature]; all y and the last one.
pub(super) fn low_pass<B: Host, E: Real>(
    x: &FloatTensor<B>,
    last: Option<&FloatTensor<B>>,
    decay: f64,
    reverse: bool,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let [steps, batch, features] = x.shape().dims();
    let (view, decay) = (B::view::<E>(x), E::of(decay));
    let mut y = vec![E::zero(); batch * features];
    if let Some(last) = last {
        let last = B::view::<E>(last);
        y.chunks_exact_mut(features).enumerate().for_each(|(row, y)| y.copy_from_slice(last.row(0, row)));
    }
    let mut all = vec![E::zero(); steps * batch * features];
    for index in 0..steps {
        let step = if reverse { steps - 1 - index } else { index };
        let out = &mut all[step * batch * features..][..batch * features];
        let rows = out.chunks_exact_mut(features).zip(y.chunks_exact_mut(features)).enumerate();
        for (element, (out, y)) in rows {
            for ((out, y), &x) in out.iter_mut().zip(y).zip(view.row(step, element)) {
                *y = decay * *y + x;
                *out = *y;
            }
        }
    }
    (B::tensor(all, &[steps, batch, features]), B::tensor(y, &[batch, features]))
}

/// Whether all values are finite.
pub(super) fn is_finite<B: Host, E: Real>(x: &FloatTensor<B>) -> bool {
    let dims = x.shape().to_vec();
    let view = B::view::<E>(x);
    let (outer, inner) = match dims[..] {
        [outer, inner, _] => (outer, inner),
        [inner, _] => (1, inner),
        _ => (1, 1),
    };
    let rows = (0..outer).flat_map(|outer| (0..inner).map(move |inner| (outer, inner)));
    // 0 · x is 0 for a finite x alone.
    rows.fold(E::zero(), |sum, (outer, inner)| {
        let row = view.row(outer, inner).iter();
        sum + row.fold(E::zero(), |sum, &value| sum + value * E::zero())
    }) == E::zero()
}
