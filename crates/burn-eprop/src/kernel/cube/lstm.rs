//! The simulation of a chunk of LSTM units.

use burn::backend::Cube;
use burn::backend::TensorMetadata;
use burn::backend::ops::FloatTensorOps;
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;

use super::{computed, cube_for_element, element_of, empty, owned, parts, registered, stacked};
use crate::kernel::ops::{LstmChunk, LstmRun};

/// Coefficients of the linearisation.
const COEFFICIENTS: usize = 9;

/// Simulates a chunk.
pub(super) fn simulate(chunk: LstmChunk<Cube>) -> LstmRun<Cube> {
    let [steps, batch, size] = chunk.inputs.shape().dims();
    let neurons = chunk.w_rec.shape()[1];
    let inputs = Cube::float_reshape(chunk.inputs, [steps * batch, size].into());
    let w_in = Cube::float_reshape(chunk.w_in, [size, 4 * neurons].into());
    let mut drive = Cube::float_matmul(inputs, w_in);
    if let Some(bias) = chunk.bias.0.into_iter().next() {
        drive = Cube::float_add(drive, Cube::float_reshape(bias, [1, 4 * neurons].into()));
    }
    let (drive, w_rec) = (computed(drive), computed(chunk.w_rec));
    let state = owned(stacked([chunk.c, chunk.output]));
    let outputs = empty(&drive, &[steps, batch, neurons]);
    let linearization = empty(&drive, &[COEFFICIENTS, steps * batch * neurons]);
    let (count, dim) = cube_for_element(&drive, batch, neurons);
    let element = element_of(&drive);
    run::launch(
        &drive.client.clone(),
        count,
        dim,
        drive.into_buffer_arg(),
        w_rec.into_buffer_arg(),
        state.clone().into_buffer_arg(),
        outputs.clone().into_buffer_arg(),
        linearization.clone().into_buffer_arg(),
        steps,
        batch,
        neurons,
        element,
    );
    let mut state = parts(registered(state), &[batch, neurons]).0.into_iter();
    let mut next = || state.next().expect("c and z");
    LstmRun {
        outputs: registered(outputs),
        c: next(),
        output: next(),
        linearization: parts(registered(linearization), &[steps * batch, neurons]),
    }
}

/// A cube for each batch element. State: c and z. The gates are i, f, g, o.
#[cube(launch)]
fn run<F: Float>(
    drive: &[F],
    w_rec: &[F],
    state: &mut [F],
    outputs: &mut [F],
    linearization: &mut [F],
    steps: usize,
    batch: usize,
    #[comptime] neurons: usize,
    #[define(F)] _element: ElemType,
) {
    let element = CUBE_POS_X as usize;
    let units = CUBE_DIM_X as usize;
    let of_part = batch * neurons;
    let of_coefficient = steps * of_part;
    let place = element * neurons;
    let width = 4 * neurons;
    // z of the step before and of this one change places.
    let mut z = Shared::<[F]>::new_slice(comptime!(2 * neurons));
    let mut j = UNIT_POS_X as usize;
    while j < neurons {
        z[j] = state[of_part + place + j];
        j += units;
    }
    sync_cube();
    for step in 0..steps {
        let before = (step % 2) * neurons;
        let now = neurons - before;
        let row = step * batch + element;
        let mut j = UNIT_POS_X as usize;
        while j < neurons {
            let mut i = drive[row * width + j];
            let mut f = drive[row * width + neurons + j];
            let mut g = drive[row * width + 2 * neurons + j];
            let mut o = drive[row * width + 3 * neurons + j];
            for k in 0..neurons {
                let value = z[before + k];
                let weights = k * width + j;
                i += value * w_rec[weights];
                f += value * w_rec[weights + neurons];
                g += value * w_rec[weights + 2 * neurons];
                o += value * w_rec[weights + 3 * neurons];
            }
            let one = F::new(1.0);
            i = sigmoid::<F>(i);
            f = sigmoid::<F>(f);
            g = g.tanh();
            o = sigmoid::<F>(o);
            let c_before = state[place + j];
            let c = f * c_before + i * g;
            let tanh_c = c.tanh();
            let output = o * tanh_c;
            let slope = o * (one - tanh_c * tanh_c);
            let j_i = g * i * (one - i);
            let j_f = c_before * f * (one - f);
            let j_g = i * (one - g * g);
            state[place + j] = c;
            state[of_part + place + j] = output;
            z[now + j] = output;
            let at = row * neurons + j;
            outputs[at] = output;
            // A; B of i, f and g; C; D of i, f, g and o.
            linearization[at] = f;
            linearization[of_coefficient + at] = j_i;
            linearization[2 * of_coefficient + at] = j_f;
            linearization[3 * of_coefficient + at] = j_g;
            linearization[4 * of_coefficient + at] = slope * f;
            linearization[5 * of_coefficient + at] = slope * j_i;
            linearization[6 * of_coefficient + at] = slope * j_f;
            linearization[7 * of_coefficient + at] = slope * j_g;
            linearization[8 * of_coefficient + at] = tanh_c * o * (one - o);
            j += units;
        }
        sync_cube();
    }
}

/// σ(x).
#[cube]
fn sigmoid<F: Float>(x: F) -> F {
    F::new(1.0) / (F::new(1.0) + (F::new(0.0) - x).exp())
}
