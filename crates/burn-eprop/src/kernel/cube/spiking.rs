//! The simulation of a chunk of spiking neurons.

use burn::backend::Cube;
use burn::backend::TensorMetadata;
use burn::backend::ops::FloatTensorOps;
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;

use super::{computed, cube_for_element, element_of, empty, number, owned, parts, registered, stacked};
use crate::kernel::ops::{SpikingChunk, SpikingRun};
use crate::kernel::plan::SpikingDynamics;
use crate::surrogate::SurrogateShape;

/// What a kernel is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Population {
    neurons: usize,
    biased: bool,
    adaptive: bool,
    refractory: bool,
    silenced: bool,
    shape: Shape,
}

/// A [`SurrogateShape`] without its slope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Shape {
    PiecewiseLinear,
    FastSigmoid,
    Arctan,
    Sigmoid,
}

/// Simulates a chunk.
pub(super) fn simulate(chunk: SpikingChunk<Cube>, dynamics: &SpikingDynamics) -> SpikingRun<Cube> {
    let [steps, batch, size] = chunk.inputs.shape().dims();
    let [_, _, neurons] = chunk.w_in.shape().dims();
    let inputs = Cube::float_reshape(chunk.inputs, [steps * batch, size].into());
    let w_in = Cube::float_reshape(chunk.w_in, [size, neurons].into());
    let drive = computed(Cube::float_matmul(inputs, w_in));
    let pseudo = &dynamics.pseudo_derivative;
    let (shape, slope) = match pseudo.shape {
        SurrogateShape::PiecewiseLinear => (Shape::PiecewiseLinear, 0.0),
        SurrogateShape::FastSigmoid { slope } => (Shape::FastSigmoid, slope),
        SurrogateShape::Arctan { slope } => (Shape::Arctan, std::f64::consts::FRAC_PI_2 * slope),
        SurrogateShape::Sigmoid { slope } => (Shape::Sigmoid, 0.5 * slope),
    };
    let population = Population {
        neurons,
        biased: !chunk.bias.0.is_empty(),
        adaptive: !chunk.adaptation.0.is_empty(),
        refractory: dynamics.refractory_steps > 0,
        silenced: pseudo.zero_in_refractoriness,
        shape,
    };
    let height = if pseudo.divide_by_threshold { pseudo.height / dynamics.threshold } else { pseudo.height };
    // ζ, ρ, β and b, each `[neurons]`.
    let of_neuron = [chunk.input_factor].into_iter().chain(chunk.adaptation.0).chain(chunk.bias.0);
    let of_neuron = computed(stacked(of_neuron));
    let w_rec = computed(chunk.w_rec);
    let state = owned(stacked(chunk.state.0));
    let coefficients = if population.adaptive { 3 } else { 1 };
    let outputs = empty(&drive, &[steps, batch, neurons]);
    let linearization = empty(&drive, &[coefficients, steps * batch * neurons]);
    let (count, dim) = cube_for_element(&drive, batch, neurons);
    let numbers = [dynamics.decay, dynamics.threshold, height, slope, dynamics.refractory_steps as f64];
    let [decay, threshold, height, slope, refractory_steps] = numbers.map(|value| number(value, &drive));
    let element = element_of(&drive);
    run::launch(
        &drive.client.clone(),
        count,
        dim,
        drive.into_buffer_arg(),
        w_rec.into_buffer_arg(),
        of_neuron.into_buffer_arg(),
        state.clone().into_buffer_arg(),
        outputs.clone().into_buffer_arg(),
        linearization.clone().into_buffer_arg(),
        decay,
        threshold,
        height,
        slope,
        refractory_steps,
        steps,
        batch,
        population,
        element,
    );
    SpikingRun {
        outputs: registered(outputs),
        state: parts(registered(state), &[batch, neurons]),
        linearization: parts(registered(linearization), &[steps * batch, neurons]),
    }
}

/// A cube for each batch element. State: v, z, the counter of refractoriness, if any, and a, if any.
#[cube(launch)]
fn run<F: Float>(
    drive: &[F],
    w_rec: &[F],
    of_neuron: &[F],
    state: &mut [F],
    outputs: &mut [F],
    linearization: &mut [F],
    decay: InputScalar,
    base_threshold: InputScalar,
    height: InputScalar,
    slope: InputScalar,
    refractory_steps: InputScalar,
    steps: usize,
    batch: usize,
    #[comptime] population: Population,
    #[define(F)] _element: ElemType,
) {
    let (decay, height, slope) = (decay.get::<F>(), height.get::<F>(), slope.get::<F>());
    let base_threshold = base_threshold.get::<F>();
    let refractory_steps = refractory_steps.get::<F>();
    let neurons = comptime!(population.neurons);
    let element = CUBE_POS_X as usize;
    let units = CUBE_DIM_X as usize;
    let of_part = batch * neurons;
    let of_coefficient = steps * of_part;
    let place = element * neurons;
    let place_of_a = if comptime!(population.refractory) { 3 * of_part } else { 2 * of_part };
    // z of the step before and of this one change places.
    let mut fired = Shared::<[F]>::new_slice(comptime!(2 * population.neurons));
    let mut j = UNIT_POS_X as usize;
    while j < neurons {
        fired[j] = state[of_part + place + j];
        j += units;
    }
    sync_cube();
    for step in 0..steps {
        let before = (step % 2) * neurons;
        let now = neurons - before;
        let row = (step * batch + element) * neurons;
        let mut j = UNIT_POS_X as usize;
        while j < neurons {
            let mut current = drive[row + j];
            if comptime!(population.biased) {
                let place_of_bias = if comptime!(population.adaptive) { 3 * neurons } else { neurons };
                current += of_neuron[place_of_bias + j];
            }
            for i in 0..neurons {
                let z = fired[before + i];
                if z != F::new(0.0) {
                    current += z * w_rec[i * neurons + j];
                }
            }
            let at = place + j;
            let zeta = of_neuron[j];
            let v = decay * state[at] + zeta * current - base_threshold * fired[before + j];
            let mut threshold = base_threshold;
            if comptime!(population.adaptive) {
                threshold += of_neuron[2 * neurons + j] * state[place_of_a + at];
            }
            let u = (v - threshold) / base_threshold;
            let mut z = F::new(0.0);
            if u > F::new(0.0) {
                z = F::new(1.0);
            }
            let mut psi = height * surrogate::<F>(u, slope, population.shape);
            if comptime!(population.refractory) {
                let counter = state[2 * of_part + at];
                if counter > F::new(0.0) {
                    z = F::new(0.0);
                    if comptime!(population.silenced) {
                        psi = F::new(0.0);
                    }
                }
                let counted = counter + refractory_steps * z - F::new(1.0);
                state[2 * of_part + at] = clamp(counted, F::new(0.0), refractory_steps);
            }
            if comptime!(population.adaptive) {
                let rho = of_neuron[neurons + j];
                let c = F::new(0.0) - of_neuron[2 * neurons + j] * psi;
                linearization[of_coefficient + row + j] = c;
                linearization[2 * of_coefficient + row + j] = rho + c;
                state[place_of_a + at] = rho * state[place_of_a + at] + z;
            }
            linearization[row + j] = zeta * psi;
            outputs[row + j] = z;
            fired[now + j] = z;
            state[at] = v;
            state[of_part + at] = z;
            j += units;
        }
        sync_cube();
    }
}

/// s(u).
#[cube]
fn surrogate<F: Float>(u: F, slope: F, #[comptime] shape: Shape) -> F {
    let one = F::new(1.0);
    match comptime!(shape) {
        Shape::PiecewiseLinear => {
            let mut height = one - u.abs();
            if height < F::new(0.0) {
                height = F::new(0.0);
            }
            height
        }
        Shape::FastSigmoid => {
            let root = one / (u.abs() * slope + one);
            root * root
        }
        Shape::Arctan => {
            let x = u * slope;
            one / (x * x + one)
        }
        Shape::Sigmoid => {
            let tanh = (u * slope).tanh();
            one - tanh * tanh
        }
    }
}
