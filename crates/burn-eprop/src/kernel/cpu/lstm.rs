//! The fused simulation of a chunk of LSTM units.

use std::ops::{Add, Mul, Range};

use burn::backend::TensorMetadata;
use pulp::{Simd, WithSimd};

use super::host::{Host, View, give_rows, groups, in_parallel, rows_by_group};
use super::real::{Panels, Real, dispatch, sigmoid, tanh};
use crate::kernel::ops::{List, LstmChunk, LstmRun};

/// Gates of a unit: i, f, g, o.
const GATES: usize = 4;
/// Coefficients of the linearisation.
const COEFFICIENTS: usize = 9;
/// Batch elements that are multiplied with W_rec together.
const TOGETHER: usize = 4;

/// Simulates a chunk.
pub(super) fn simulate<B: Host, E: Real>(chunk: LstmChunk<B>) -> LstmRun<B> {
    let [steps, batch, size] = chunk.inputs.shape().dims();
    let neurons = chunk.w_rec.shape()[1];
    let flat = B::float_reshape(chunk.inputs, [steps * batch, size].into());
    let drive = B::float_matmul(flat, B::float_reshape(chunk.w_in, [size, GATES * neurons].into()));
    let bias = chunk.bias.0.first().map(B::view::<E>);
    let layer = Layer {
        drive: B::view::<E>(&drive),
        bias: bias.as_ref().map(View::vector),
        w_rec: B::view::<E>(&chunk.w_rec),
        steps,
        batch,
        neurons,
    };

    let [mut c, mut z] = [chunk.c, chunk.output];
    let mut outputs = vec![E::zero(); steps * batch * neurons];
    let mut linearization = vec![vec![E::zero(); steps * batch * neurons]; COEFFICIENTS];
    let (groups, sizes) = (groups(batch), [batch, neurons]);
    let c_rows = rows_by_group(B::values_mut::<E>(&mut c), sizes, &groups);
    let z_rows = rows_by_group(B::values_mut::<E>(&mut z), sizes, &groups);
    let output_rows = rows_by_group(&mut outputs, sizes, &groups);
    let mut parts: Vec<_> = groups
        .iter()
        .zip(c_rows)
        .zip(z_rows)
        .zip(output_rows)
        .map(|(((group, c), z), outputs)| Part {
            elements: group.clone(),
            c,
            z,
            outputs,
            linearization: Vec::new(),
        })
        .collect();
    for values in &mut linearization {
        give_rows(values, sizes, &groups, &mut parts, |part, rows| part.linearization.push(rows));
    }
    in_parallel(parts, |part| dispatch(Simulation { layer: &layer, part }));

    let rows = [steps * batch, neurons];
    let linearization = linearization.into_iter().map(|values| B::tensor(values, &rows)).collect();
    LstmRun {
        outputs: B::tensor(outputs, &[steps, batch, neurons]),
        c,
        output: z,
        linearization: List(linearization),
    }
}

struct Layer<'a, E: Real> {
    /// W_in x, [steps · batch, 4 · neurons].
    drive: View<'a, E>,
    bias: Option<&'a [E]>,
    w_rec: View<'a, E>,
    steps: usize,
    batch: usize,
    neurons: usize,
}

/// A thread's part of the batch. Rows are by (step and) element.
struct Part<'a, E> {
    elements: Range<usize>,
    c: Vec<&'a mut [E]>,
    z: Vec<&'a mut [E]>,
    outputs: Vec<&'a mut [E]>,
    linearization: Vec<Vec<&'a mut [E]>>,
}

struct Simulation<'a, E: Real> {
    layer: &'a Layer<'a, E>,
    part: Part<'a, E>,
}

impl<E: Real> WithSimd for Simulation<'_, E> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { layer, mut part } = self;
        let (count, width) = (part.elements.len(), GATES * layer.neurons);
        let w_rec = Panels::new::<S>(&layer.w_rec, 0, layer.neurons);
        let stride = w_rec.stride::<S>();
        let mut currents = vec![E::zero(); count * stride];
        for step in 0..layer.steps {
            for (element, current) in part.elements.clone().zip(currents.chunks_exact_mut(stride)) {
                let drive = layer.drive.row(0, step * layer.batch + element);
                match layer.bias {
                    Some(bias) => {
                        for ((current, &drive), &bias) in current.iter_mut().zip(drive).zip(bias) {
                            *current = drive + bias;
                        }
                    }
                    None => current[..width].copy_from_slice(drive),
                }
            }
            let mut blocks = currents.chunks_exact_mut(TOGETHER * stride);
            let mut elements = part.z.chunks_exact(TOGETHER);
            for (block, z) in (&mut blocks).zip(&mut elements) {
                let z: [&[E]; TOGETHER] = std::array::from_fn(|element| &*z[element]);
                w_rec.add(simd, block, z);
            }
            let rest = blocks.into_remainder().chunks_exact_mut(stride);
            for (current, z) in rest.zip(elements.remainder()) {
                w_rec.add(simd, current, [&**z]);
            }
            for (index, current) in currents.chunks_exact(stride).enumerate() {
                let row = step * count + index;
                let linearization = part.linearization.iter_mut().map(|rows| &mut *rows[row]);
                let units = Units { current: &current[..width], c: part.c[index], z: part.z[index] };
                units.step(linearization);
                part.outputs[row].copy_from_slice(part.z[index]);
            }
        }
    }
}

/// One step of one element's units.
struct Units<'a, E> {
    current: &'a [E],
    c: &'a mut [E],
    z: &'a mut [E],
}

impl<E: Real> Units<'_, E> {
    /// Advances c and z, and takes down A = f; B of i, f and g; C; and D of i, f, g and o.
    #[inline(always)]
    fn step<'a>(self, linearization: impl Iterator<Item = &'a mut [E]>) {
        let n = self.c.len();
        let mut rows = linearization;
        let mut next = || rows.next().expect("nine coefficients");
        let [a, b_i, b_f, b_g, c_c, d_i, d_f, d_g, d_o] = std::array::from_fn(|_| next());
        // Blocks of arrays go into vectors, whatever their number.
        for first in (0..n).step_by(LANES) {
            let range = first..(first + LANES).min(n);
            let gate = |gate: usize| Lanes::load(&self.current[gate * n..][range.clone()]);
            let [i, f, g, o] = std::array::from_fn(gate);
            let (i, f, g, o) = (i.map(sigmoid), f.map(sigmoid), g.map(tanh), o.map(sigmoid));
            let before = Lanes::load(&self.c[range.clone()]);
            let after = f * before + i * g;
            let tanh_c = after.map(tanh);
            let slope = o * (tanh_c * tanh_c).complement();
            let (j_i, j_f, j_g) =
                (g * i * i.complement(), before * f * f.complement(), i * (g * g).complement());
            after.store(&mut self.c[range.clone()]);
            (o * tanh_c).store(&mut self.z[range.clone()]);
            f.store(&mut a[range.clone()]);
            j_i.store(&mut b_i[range.clone()]);
            j_f.store(&mut b_f[range.clone()]);
            j_g.store(&mut b_g[range.clone()]);
            (slope * f).store(&mut c_c[range.clone()]);
            (slope * j_i).store(&mut d_i[range.clone()]);
            (slope * j_f).store(&mut d_f[range.clone()]);
            (slope * j_g).store(&mut d_g[range.clone()]);
            (tanh_c * o * o.complement()).store(&mut d_o[range]);
        }
    }
}

/// Units that are advanced together.
const LANES: usize = 16;

/// A value of each of them.
#[derive(Clone, Copy)]
struct Lanes<E>([E; LANES]);

impl<E: Real> Lanes<E> {
    #[inline(always)]
    fn load(values: &[E]) -> Self {
        let mut lanes = [E::zero(); LANES];
        match <&[E; LANES]>::try_from(values) {
            Ok(values) => lanes = *values,
            Err(_) => lanes[..values.len()].copy_from_slice(values),
        }
        Self(lanes)
    }

    #[inline(always)]
    fn store(self, values: &mut [E]) {
        match <&mut [E; LANES]>::try_from(&mut *values) {
            Ok(values) => *values = self.0,
            Err(_) => values.copy_from_slice(&self.0[..values.len()]),
        }
    }

    #[inline(always)]
    fn map(mut self, function: impl Fn(E) -> E) -> Self {
        for lane in &mut self.0 {
            *lane = function(*lane);
        }
        self
    }

    /// 1 − x.
    #[inline(always)]
    fn complement(self) -> Self {
        self.map(|x| E::one() - x)
    }
}

impl<E: Real> Add for Lanes<E> {
    type Output = Self;

    #[inline(always)]
    fn add(mut self, other: Self) -> Self {
        for (lane, other) in self.0.iter_mut().zip(other.0) {
            *lane += other;
        }
        self
    }
}

impl<E: Real> Mul for Lanes<E> {
    type Output = Self;

    #[inline(always)]
    fn mul(mut self, other: Self) -> Self {
        for (lane, other) in self.0.iter_mut().zip(other.0) {
            *lane *= other;
        }
        self
    }
}
