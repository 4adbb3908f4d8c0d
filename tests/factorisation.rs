//! The exact factorisation: Σ_t L^t e^t with the true L^t = dE/dz^t is BPTT, whatever the cell.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use burn_eprop::cell::CellState;
use burn_eprop::eligibility::{
    Chunk, EligibilityTraces, Presynaptic, SummedTraces, Synapses, stepwise_traces,
};
use burn_eprop::estimator::ChunkRecord;
use burn_eprop::network::{GradientPaths, RecurrentLayer};
use burn_eprop::{Cell, Objective};
use eprop_tests::case::{Build, Case, LOSSES, Problem, float64};
use eprop_tests::findings::{Gradients, assert_close, assert_same_gradients, relative_difference, values};
use eprop_tests::for_every_cell;

for_every_cell!(factorisation);

const TOLERANCE: f64 = 1e-11;

fn factorisation<C: Cell>(build: Build<C>) {
    for (seed, loss) in (0..).zip(LOSSES) {
        let neurons = if seed == 0 { vec![7] } else { vec![7, 5] };
        let case = Case {
            neurons,
            refractory_steps: seed as usize,
            objective: Objective::sum(loss),
            unequal_lengths: true,
            ..Case::new(seed)
        };
        factorisation_of(&Problem::new(&case, build, &float64(&Device::flex())));
    }
}

fn factorisation_of<C: Cell>(problem: &Problem<C>) {
    let bptt = problem.estimate(problem.bptt(GradientPaths::ALL));
    bptt.assert_active::<C>();
    let whole = &records(problem, problem.batch.steps())[0];
    let (signals, outputs) = total_derivatives(problem, &whole.error);
    assert_close("outputs of the run written out here", &outputs, &bptt.outputs, 1e-12);

    for (index, (layer, signal)) in problem.network.layers.iter().zip(&signals).enumerate() {
        let of_layer = |name: &String| name.starts_with(&format!("layer {index}"));
        let mut expected = bptt.gradients.clone();
        expected.retain(|name, _| of_layer(name));
        let check = |what: &str, gradient: Tensor<2>| {
            let found = parameters(layer, index, gradient);
            assert_same_gradients(what, &found, &expected, TOLERANCE);
        };
        for chunk in [1, 7, problem.batch.steps()] {
            let gradient = by_engine(&records(problem, chunk), index, signal);
            check(&format!("chunks of {chunk}"), gradient);
        }
        check("traces by definition", by_definition(whole, index, signal));

        let local = values(&whole.layers[index].signal);
        let difference = relative_difference(&local, &values(signal));
        assert!(difference > 1e-3, "the total derivative is the local one: {difference:e}");
    }
}

/// A layer in the autodiff graph: its last step, and one leaf of zeros for each step, added to z wherever it
/// leaves the neuron. The spike that raises a threshold inside the step does not see it.
struct Unrolled {
    state: CellState,
    leaves: Vec<Tensor<2>>,
}

/// dE/dz^t for each layer, [steps, batch, neurons], and the outputs, [batch, time, outputs].
///
/// The run is written out here, step by step. The gradient of Σ err y with err held constant is that of E.
fn total_derivatives<C: Cell>(problem: &Problem<C>, error: &Tensor<3>) -> (Vec<Tensor<3>>, Vec<f64>) {
    let Problem { network, batch, .. } = problem;
    let network = network.clone().train();
    let readout = &network.readout;
    let initial = network.initial_state(batch.size());
    let start = |state| Unrolled { state, leaves: Vec::new() };
    let mut layers: Vec<_> = initial.layers.into_iter().map(start).collect();
    let mut outputs: Vec<Tensor<2>> = Vec::new();
    for step in 0..batch.steps() {
        let mut below = batch.inputs().clone().narrow(1, step, 1).squeeze_dim::<2>(1).autodiff();
        let mut neurons = Vec::new();
        for (layer, unrolled) in network.layers.iter().zip(&mut layers) {
            below = advance(layer, unrolled, below);
            neurons.push(below.clone());
        }
        let last = outputs.last().unwrap_or(&initial.output).clone();
        let drive = Tensor::cat(neurons, 1).matmul(readout.weight.val()).mul_scalar(readout.factor());
        let bias = readout.bias.as_ref().expect("the problem's readout has a bias").val().unsqueeze();
        outputs.push(last.mul_scalar(readout.decay()) + drive + bias);
    }
    let outputs = Tensor::stack::<3>(outputs, 0);
    let gradients = (outputs.clone() * error.clone().autodiff()).sum().backward();
    let derivative =
        |leaf: &Tensor<2>| leaf.grad(&gradients).unwrap_or_else(|| leaf.clone().inner().zeros_like());
    let signals = layers.iter().map(|layer| Tensor::stack(layer.leaves.iter().map(derivative).collect(), 0));
    (signals.collect(), values(&outputs.swap_dims(0, 1)))
}

/// One step of a layer; its z with the leaf.
fn advance<C: Cell>(layer: &RecurrentLayer<C>, unrolled: &mut Unrolled, below: Tensor<2>) -> Tensor<2> {
    let neurons = layer.cell.neurons();
    let recurrent = unrolled.state.output.clone().matmul(connections::<C>(layer.w_rec.val()));
    let mut total = below.matmul(layer.w_in.val()) + recurrent;
    if let Some(bias) = &layer.bias {
        total = total + bias.val().unsqueeze();
    }
    let currents: Vec<_> = total.split(neurons, 1);
    let after = layer.cell.step(&unrolled.state, &currents);
    let leaf = after.output.clone().inner().zeros_like().autodiff().require_grad();
    unrolled.leaves.push(leaf.clone());
    unrolled.state = CellState { output: after.output.clone() + leaf, ..after };
    unrolled.state.output.clone()
}

/// Weights [neurons, currents · neurons] with 0 wherever a cell has no synapse.
fn connections<C: Cell>(weights: Tensor<2>) -> Tensor<2> {
    if C::AUTAPSES {
        return weights;
    }
    let [neurons, targets] = weights.dims();
    let eye = Tensor::<2>::eye(neurons, &weights.device()).cast(weights.dtype());
    weights * eye.neg().add_scalar(1.0).repeat_dim(1, targets / neurons)
}

/// The chunks of an e-prop run, with the cells' linearisations.
fn records<C: Cell>(problem: &Problem<C>, chunk: usize) -> Vec<ChunkRecord> {
    let mut records = Vec::new();
    let mut eprop = problem.eprop(chunk);
    eprop.estimate_observed(&problem.network, &problem.batch, &mut |record| records.push(record));
    records
}

// ANCHOR: engine
/// Σ_t L e by the engine, in the chunks of the records, [pre, currents · post].
fn by_engine(records: &[ChunkRecord], layer: usize, signal: &Tensor<3>) -> Tensor<2> {
    let first = &records[0].layers[layer];
    let ([_, batch, pre], [_, _, post]) = (first.pre.dims(), first.outputs.dims());
    let synapses = Synapses { batch, pre, post, currents: first.linearization.currents() };
    let mut traces = EligibilityTraces::new(0.0, synapses, SummedTraces::Off);
    let advance = |record: &ChunkRecord| {
        let layer = &record.layers[layer];
        let chunk = Chunk {
            linearization: &layer.linearization,
            pre: vec![Presynaptic::AtOnce(layer.pre.clone())],
            signal: Some(signal.clone().slice_dim(0, record.time.clone())),
            summed_by: None,
        };
        traces.advance(chunk, true)
    };
    records.iter().map(advance).reduce(|sum, gradient| sum + gradient).expect("a run has a chunk")
}
// ANCHOR_END: engine

// ANCHOR: definition
/// Σ_t L e by the definition of the traces, [pre, currents · post].
fn by_definition(record: &ChunkRecord, layer: usize, signal: &Tensor<3>) -> Tensor<2> {
    let layer = &record.layers[layer];
    let signal = signal.clone().unsqueeze_dim::<4>(3);
    let traces = stepwise_traces(&layer.linearization, layer.pre.clone());
    let gradient = |traces: Tensor<4>| {
        let [steps, batch, post, pre] = traces.dims();
        let products = (traces * signal.clone()).reshape([steps * batch, post, pre]);
        products.sum_dim(0).squeeze_dim::<2>(0).transpose()
    };
    Tensor::cat(traces.into_iter().map(gradient).collect(), 1)
}
// ANCHOR_END: definition

/// A gradient [pre, currents · post] by parameter.
fn parameters<C: Cell>(layer: &RecurrentLayer<C>, index: usize, gradient: Tensor<2>) -> Gradients {
    let (inputs, neurons) = (layer.w_in.dims()[0], layer.cell.neurons());
    let rows = |start, length| gradient.clone().narrow(0, start, length);
    let mut gradients = Gradients::new();
    gradients.insert(format!("layer {index} w_in"), values(&rows(0, inputs)));
    let recurrent = connections::<C>(rows(inputs, neurons));
    gradients.insert(format!("layer {index} w_rec"), values(&recurrent));
    if layer.bias.is_some() {
        gradients.insert(format!("layer {index} bias"), values(&rows(inputs + neurons, 1)));
    }
    gradients
}
