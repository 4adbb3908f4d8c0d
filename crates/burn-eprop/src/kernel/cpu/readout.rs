//! The leaky readout of a chunk, and the way back from its error to the neurons.

use burn::backend::TensorMetadata;
use burn::backend::tensor::FloatTensor;
use pulp::{Simd, WithSimd};

use super::host::{Host, View, groups, in_parallel, rows_by_group};
use super::real::{Matrix, Real, Sparse, add_scaled, dispatch, for_nonzero, padded};

/// y and the last y. Only neurons that are not 0 are added up.
pub(super) fn read_out<B: Host, E: Real>(
    neurons: FloatTensor<B>,
    weight: FloatTensor<B>,
    bias: Option<&FloatTensor<B>>,
    mut last: FloatTensor<B>,
    decay: f64,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let [steps, batch, _] = neurons.shape().dims();
    let outputs = weight.shape()[1];
    let readout = Readout {
        neurons: B::view::<E>(&neurons),
        weight: B::view::<E>(&weight),
        bias: bias.map(B::view::<E>),
        decay: E::of(decay),
        steps,
    };
    let mut y = vec![E::zero(); steps * batch * outputs];
    let groups = groups(batch);
    let rows = rows_by_group(&mut y, [batch, outputs], &groups).into_iter();
    let lasts = rows_by_group(B::values_mut::<E>(&mut last), [batch, outputs], &groups);
    let parts = rows.zip(lasts).zip(&groups).map(|((y, last), group)| (group.start, y, last)).collect();
    in_parallel(parts, |(start, y, last)| dispatch(Part { readout: &readout, start, y, last }));
    (B::tensor(y, &[steps, batch, outputs]), last)
}

struct Readout<'a, E: Real> {
    neurons: View<'a, E>,
    weight: View<'a, E>,
    bias: Option<View<'a, E>>,
    decay: E,
    steps: usize,
}

/// A thread's part of the batch.
struct Part<'a, E: Real> {
    readout: &'a Readout<'a, E>,
    start: usize,
    y: Vec<&'a mut [E]>,
    last: Vec<&'a mut [E]>,
}

impl<E: Real> WithSimd for Part<'_, E> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        let Self { readout, start, mut y, last } = self;
        let count = last.len();
        for (index, last) in last.into_iter().enumerate() {
            for step in 0..readout.steps {
                match readout.decay == E::zero() {
                    true => last.fill(E::zero()), // also what is not finite
                    false => last.iter_mut().for_each(|last| *last *= readout.decay),
                }
                if let Some(bias) = &readout.bias {
                    add_scaled(last, E::one(), bias.vector());
                }
                let z = readout.neurons.row(step, start + index);
                for_nonzero(z, |neuron| add_scaled(last, z[neuron], readout.weight.row(0, neuron)));
                y[step * count + index].copy_from_slice(last);
            }
        }
    }
}

/// Σ_k B_jk err_k, [batch, steps, neurons], for errors [batch, steps, outputs] and B [neurons, outputs].
pub(super) fn broadcast<B: Host, E: Real>(
    error: &FloatTensor<B>,
    feedback: &FloatTensor<B>,
) -> FloatTensor<B> {
    let [batch, steps, _] = error.shape().dims();
    let neurons = feedback.shape()[0];
    let transposed = B::float_swap_dims(feedback.clone(), 0, 1);
    let weights = Matrix::new(&B::view::<E>(&transposed), 0, feedback.shape()[1]);
    let error = B::view::<E>(error);
    let mut signal = vec![E::zero(); batch * steps * neurons];
    let groups = groups(batch);
    let mut rest = signal.as_mut_slice();
    let mut parts = Vec::with_capacity(groups.len());
    for group in &groups {
        let (part, behind) = rest.split_at_mut(group.len() * steps * neurons);
        parts.push(Broadcast {
            error: &error,
            weights: &weights,
            start: group.start,
            steps,
            neurons,
            signal: part,
        });
        rest = behind;
    }
    in_parallel(parts, dispatch);
    B::tensor(signal, &[batch, steps, neurons])
}

/// A thread's part of the batch.
struct Broadcast<'a, E: Real> {
    error: &'a View<'a, E>,
    weights: &'a Matrix<E>,
    start: usize,
    steps: usize,
    neurons: usize,
    signal: &'a mut [E],
}

impl<E: Real> WithSimd for Broadcast<'_, E> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let mut sum = vec![E::zero(); padded(self.neurons)];
        let mut error = Sparse::default();
        for (index, signal) in self.signal.chunks_exact_mut(self.neurons).enumerate() {
            error.set(self.error.row(self.start + index / self.steps, index % self.steps));
            if error.list.is_empty() {
                continue;
            }
            sum.fill(E::zero());
            self.weights.add(simd, &mut sum, &error);
            signal.copy_from_slice(&sum[..self.neurons]);
        }
    }
}
