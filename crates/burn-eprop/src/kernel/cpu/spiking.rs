//! The fused simulation of a chunk of spiking neurons.

use std::ops::Range;

use burn::backend::TensorMetadata;
use burn::backend::tensor::FloatTensor;
use pulp::{Simd, WithSimd};

use super::host::{Host, View, give_rows, groups_with, in_parallel};
use super::real::{Matrix, Real, Sparse, add_scaled, dispatch, padded};
use crate::kernel::ops::{List, SpikingChunk, SpikingRun};
use crate::kernel::plan::SpikingDynamics;
use crate::surrogate::SurrogateShape;

/// Simulates a chunk.
pub(super) fn simulate<B: Host, E: Real>(
    chunk: SpikingChunk<B>,
    dynamics: &SpikingDynamics,
) -> SpikingRun<B> {
    let [steps, batch, size] = chunk.inputs.shape().dims();
    let [matrices, _, neurons] = chunk.w_in.shape().dims();
    let x = B::view::<E>(&chunk.inputs);
    // Where few inputs are 0, one product for all of them is faster than adding rows.
    let nonzero = count_nonzero(&x, [steps, batch]);
    let drive = (4 * nonzero > steps * batch * size).then(|| input_currents(&chunk));
    let drive = drive.as_ref().map(B::view::<E>);
    let bias = chunk.bias.0.first().map(B::view::<E>);
    let input_factor = B::view::<E>(&chunk.input_factor);
    let adaptation: Vec<_> = chunk.adaptation.0.iter().map(B::view::<E>).collect();
    let population = Population {
        x,
        inputs: size,
        drive,
        w_in: B::view::<E>(&chunk.w_in),
        w_rec: B::view::<E>(&chunk.w_rec),
        shared: matrices == 1,
        bias,
        input_factor: input_factor.vector(),
        adaptation: match adaptation.as_slice() {
            [rho, beta] => Some((rho.vector(), beta.vector())),
            _ => None,
        },
        dynamics,
    };

    let adaptive = population.adaptation.is_some();
    let coefficients = if adaptive { 3 } else { 1 };
    let mut state = chunk.state.0;
    let mut z = vec![E::zero(); steps * batch * neurons];
    let mut linearization = vec![vec![E::zero(); steps * batch * neurons]; coefficients];
    let groups = groups_with(batch, matrices);
    let sizes = [batch, neurons];
    let mut parts: Vec<_> = groups.iter().map(|group| Part::new(group.clone())).collect();
    for values in state.iter_mut().map(B::values_mut::<E>) {
        give_rows(values, sizes, &groups, &mut parts, |part, rows| part.state.push(rows));
    }
    give_rows(&mut z, sizes, &groups, &mut parts, |part, rows| part.z = rows);
    for values in &mut linearization {
        give_rows(values, sizes, &groups, &mut parts, |part, rows| part.linearization.push(rows));
    }
    in_parallel(parts, |part| dispatch(Simulation { population: &population, part, steps }));

    let rows = [steps * batch, neurons];
    let linearization = linearization.into_iter().map(|values| B::tensor(values, &rows)).collect();
    SpikingRun {
        outputs: B::tensor(z, &[steps, batch, neurons]),
        state: List(state),
        linearization: List(linearization),
    }
}

/// W_in x, [steps, batch, neurons].
fn input_currents<B: Host>(chunk: &SpikingChunk<B>) -> FloatTensor<B> {
    let [steps, batch, size] = chunk.inputs.shape().dims();
    let [matrices, _, neurons] = chunk.w_in.shape().dims();
    if matrices > 1 {
        let by_sequence = B::float_matmul(B::float_swap_dims(chunk.inputs.clone(), 0, 1), chunk.w_in.clone());
        return B::float_swap_dims(by_sequence, 0, 1);
    }
    let flat = B::float_reshape(chunk.inputs.clone(), [steps * batch, size].into());
    let w_in = B::float_reshape(chunk.w_in.clone(), [size, neurons].into());
    B::float_reshape(B::float_matmul(flat, w_in), [steps, batch, neurons].into())
}

fn count_nonzero<E: Real>(x: &View<E>, [steps, batch]: [usize; 2]) -> usize {
    let rows = (0..steps).flat_map(|step| (0..batch).map(move |element| x.row(step, element)));
    rows.map(|row| row.iter().map(|&value| usize::from(value != E::zero())).sum::<usize>()).sum()
}

struct Population<'a, E: Real> {
    x: View<'a, E>,
    inputs: usize,
    drive: Option<View<'a, E>>,
    w_in: View<'a, E>,
    w_rec: View<'a, E>,
    /// Whether the weights are those of all sequences.
    shared: bool,
    bias: Option<View<'a, E>>,
    input_factor: &'a [E],
    adaptation: Option<(&'a [E], &'a [E])>,
    dynamics: &'a SpikingDynamics,
}

/// A thread's part of the batch. Rows are by step and element.
struct Part<'a, E> {
    elements: Range<usize>,
    /// v, z, counter?, a? by element.
    state: Vec<Vec<&'a mut [E]>>,
    z: Vec<&'a mut [E]>,
    linearization: Vec<Vec<&'a mut [E]>>,
}

impl<E> Part<'_, E> {
    fn new(elements: Range<usize>) -> Self {
        Self { elements, state: Vec::new(), z: Vec::new(), linearization: Vec::new() }
    }
}

struct Simulation<'a, E: Real> {
    population: &'a Population<'a, E>,
    part: Part<'a, E>,
    steps: usize,
}

impl<E: Real> WithSimd for Simulation<'_, E> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { population, mut part, steps } = self;
        let neurons = population.input_factor.len();
        let mut current = vec![E::zero(); padded(neurons)];
        let (mut inputs, mut active) = (Sparse::default(), Sparse::default());
        let count = part.elements.len();
        let matrix = if population.shared { 0 } else { part.elements.start };
        let w_in = Matrix::new(&population.w_in, matrix, population.inputs);
        let w_rec = Matrix::new(&population.w_rec, matrix, neurons);
        let bias = population.bias.as_ref().map(|bias| bias.row(0, matrix));
        for index in 0..count {
            let element = part.elements.start + index;
            for step in 0..steps {
                match bias {
                    Some(bias) => current[..neurons].copy_from_slice(bias),
                    None => current.fill(E::zero()),
                }
                if let Some(drive) = &population.drive {
                    add_scaled(&mut current, E::one(), drive.row(step, element));
                } else {
                    inputs.set(population.x.row(step, element));
                    w_in.add(simd, &mut current, &inputs);
                }
                active.set(part.state[1][index]);
                w_rec.add(simd, &mut current, &active);
                let row = step * count + index;
                let mut state = part.state.iter_mut().map(|rows| &mut *rows[index]);
                let mut linearization = part.linearization.iter_mut().map(|rows| &mut *rows[row]);
                let refractory = population.dynamics.refractory_steps > 0;
                let v = state.next().expect("v");
                let z = state.next().expect("z");
                let counter = if refractory { state.next() } else { None };
                let neuron = Neurons {
                    current: &current,
                    input_factor: population.input_factor,
                    v,
                    z,
                    counter,
                    a: state.next(),
                    adaptation: population.adaptation,
                    d: linearization.next().expect("D"),
                    c: linearization.next(),
                    a_matrix: linearization.next(),
                };
                neuron.step(population.dynamics);
                part.z[row].copy_from_slice(part.state[1][index]);
            }
        }
    }
}

/// One step of one element's neurons.
struct Neurons<'a, E> {
    current: &'a [E],
    input_factor: &'a [E],
    v: &'a mut [E],
    z: &'a mut [E],
    counter: Option<&'a mut [E]>,
    a: Option<&'a mut [E]>,
    adaptation: Option<(&'a [E], &'a [E])>,
    d: &'a mut [E],
    c: Option<&'a mut [E]>,
    a_matrix: Option<&'a mut [E]>,
}

impl<E: Real> Neurons<'_, E> {
    #[inline(always)]
    fn step(self, dynamics: &SpikingDynamics) {
        let (one, zero) = (E::one(), E::zero());
        let pseudo = &dynamics.pseudo_derivative;
        match pseudo.shape {
            SurrogateShape::PiecewiseLinear => {
                self.step_with(
                    dynamics,
                    #[inline(always)]
                    |u| {
                        // `max` would drop a NaN.
                        let height = one - u.abs();
                        if height < zero { zero } else { height }
                    },
                );
            }
            SurrogateShape::FastSigmoid { slope } => {
                let slope = E::of(slope);
                self.step_with(
                    dynamics,
                    #[inline(always)]
                    |u| {
                        let root = one / (u.abs() * slope + one);
                        root * root
                    },
                );
            }
            SurrogateShape::Arctan { slope } => {
                let slope = E::of(std::f64::consts::FRAC_PI_2 * slope);
                self.step_with(
                    dynamics,
                    #[inline(always)]
                    |u| {
                        let x = u * slope;
                        one / (x * x + one)
                    },
                );
            }
            SurrogateShape::Sigmoid { slope } => {
                let slope = E::of(0.5 * slope);
                self.step_with(
                    dynamics,
                    #[inline(always)]
                    |u| {
                        let tanh = (u * slope).tanh();
                        one - tanh * tanh
                    },
                );
            }
        }
    }

    #[inline(always)]
    fn step_with(self, dynamics: &SpikingDynamics, shape: impl Fn(E) -> E) {
        let n = self.v.len();
        let (one, zero) = (E::one(), E::zero());
        let [decay, threshold] = [dynamics.decay, dynamics.threshold].map(E::of);
        let reciprocal = E::of(1.0 / dynamics.threshold);
        let pseudo = &dynamics.pseudo_derivative;
        let height = E::of(if pseudo.divide_by_threshold {
            pseudo.height / dynamics.threshold
        } else {
            pseudo.height
        });
        let (current, zeta) = (&self.current[..n], &self.input_factor[..n]);
        let (v, z, d) = (&mut self.v[..n], &mut self.z[..n], &mut self.d[..n]);
        for j in 0..n {
            v[j] = decay * v[j] + zeta[j] * current[j] - threshold * z[j];
        }
        match (&self.a, self.adaptation) {
            (Some(a), Some((_, beta))) => {
                let (a, beta) = (&a[..n], &beta[..n]);
                for j in 0..n {
                    let u = (v[j] - (beta[j] * a[j] + threshold)) * reciprocal;
                    z[j] = if u > zero { one } else { zero };
                    d[j] = height * shape(u);
                }
            }
            _ => {
                for j in 0..n {
                    let u = (v[j] - threshold) * reciprocal;
                    z[j] = if u > zero { one } else { zero };
                    d[j] = height * shape(u);
                }
            }
        }
        if let Some(counter) = self.counter {
            let counter = &mut counter[..n];
            let steps = E::of(dynamics.refractory_steps as f64);
            for j in 0..n {
                let silent = counter[j] > zero;
                z[j] = if silent { zero } else { z[j] };
                d[j] = if silent && pseudo.zero_in_refractoriness { zero } else { d[j] };
                counter[j] = (counter[j] + steps * z[j] - one).max(zero).min(steps);
            }
        }
        if let (Some(a), Some((rho, beta)), Some(c), Some(a_matrix)) =
            (self.a, self.adaptation, self.c, self.a_matrix)
        {
            let (a, rho, beta) = (&mut a[..n], &rho[..n], &beta[..n]);
            let (c, a_matrix) = (&mut c[..n], &mut a_matrix[..n]);
            for j in 0..n {
                c[j] = -(beta[j] * d[j]);
                a_matrix[j] = rho[j] + c[j];
                a[j] = rho[j] * a[j] + z[j];
            }
        }
        for j in 0..n {
            d[j] *= zeta[j];
        }
    }
}
