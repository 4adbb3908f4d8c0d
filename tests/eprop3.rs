//! e-prop 3: with what truth at the ends of windows it is BPTT, and what it is without.

use std::ops::Range;

use burn::tensor::{Device, Tensor};
use burn_eprop::cell::CellState;
use burn_eprop::estimator::{BoundaryGradient, BoundaryLearning, Eprop3, TruncatedBptt};
use burn_eprop::loss::{RateAveraging, RateRegularization};
use burn_eprop::network::{GradientPaths, NetworkState};
use burn_eprop::{Batch, Cell, Estimate, GradientEstimator, Loss, Network, Objective, OnlineEstimator};
use eprop_tests::case::{Build, Case, Problem, float64, tensor};
use eprop_tests::cells::{alif, lif, lstm};
use eprop_tests::findings::{
    Findings, Gradients, assert_close, assert_same_gradients, relative_difference, values,
};
use eprop_tests::for_every_cell;
use eprop_tests::synthetic::with_module;

const WINDOWS: [usize; 4] = [1, 4, 7, 24];

/// The gradients at the ends of windows that somebody knows, [batch, width] after so many steps.
#[derive(Debug, Clone)]
struct Known(Vec<Tensor<2>>);

impl BoundaryGradient for Known {
    fn gradient(&mut self, time: usize, _state: &NetworkState) -> Tensor<2> {
        self.0[time].clone()
    }
}

impl Known {
    /// By BPTT from each step on: the gradient of a summed squared error of all later steps.
    fn exact<C: Cell>(problem: &Problem<C>) -> Self {
        let steps = problem.batch.steps();
        let states = states(problem).into_iter().enumerate();
        Self(states.map(|(time, state)| gradient_of(problem, time..steps, &state, None)).collect())
    }
}

/// ∂F/∂S of the state at the start of some steps: F is their loss, and the product of the state at their end with a gradient
/// behind them.
fn gradient_of<C: Cell>(
    problem: &Problem<C>,
    time: Range<usize>,
    state: &NetworkState,
    behind: Option<Tensor<2>>,
) -> Tensor<2> {
    if time.is_empty() {
        return state.to_rows().zeros_like();
    }
    let Problem { network, batch, .. } = problem;
    let leaf = |tensor: &Tensor<2>| tensor.clone().without_autodiff().autodiff().require_grad();
    let layer = |layer: &CellState| CellState {
        hidden: layer.hidden.iter().map(leaf).collect(),
        carried: layer.carried.clone(),
        output: leaf(&layer.output),
    };
    let start =
        NetworkState { layers: state.layers.iter().map(layer).collect(), output: leaf(&state.output) };
    let cut = |tensor: &Tensor<3>| tensor.clone().slice_dim(1, time.clone());
    let (outputs, end) = network.forward_from(cut(batch.inputs()), start.clone());
    let error = outputs - cut(batch.targets()).autodiff();
    let weights = cut(&batch.weights().unsqueeze_dim(2)).autodiff();
    let mut total = (error.clone() * error * weights).sum().mul_scalar(0.5);
    if let Some(behind) = behind {
        total = total + (end.to_rows() * behind.autodiff()).sum();
    }
    let gradients = total.backward();
    let gradient = |tensor: &Tensor<2>| {
        let zeros = || tensor.clone().without_autodiff().zeros_like();
        tensor.grad(&gradients).unwrap_or_else(zeros)
    };
    let of = NetworkState {
        layers: start.layers.iter().map(|layer| layer.map(gradient)).collect(),
        output: gradient(&start.output),
    };
    of.to_rows()
}

/// The states after 0, 1, … steps.
fn states<C: Cell>(problem: &Problem<C>) -> Vec<NetworkState> {
    let Problem { network, batch, .. } = problem;
    let initial = network.initial_state(batch.size());
    let after =
        |time: usize| network.forward_from(batch.inputs().clone().narrow(1, 0, time), initial.clone()).1;
    [initial.clone()].into_iter().chain((1..=batch.steps()).map(after)).collect()
}

fn problems<C: Cell>(build: Build<C>) -> impl Iterator<Item = Problem<C>> {
    [(0, vec![6]), (1, vec![6, 5])].into_iter().map(move |(seed, neurons)| {
        let case = Case {
            refractory_steps: 2 * seed as usize,
            neurons,
            unequal_lengths: seed == 1,
            // The longer ones outlast the factors in which traces are kept.
            steps: 24 + 50 * seed as usize,
            ..Case::new(seed)
        };
        Problem::new(&case, build, &float64(&Device::flex()))
    })
}

for_every_cell!(exact_boundaries_give_bptt);

/// With the exact gradient at each window's end, the windows sum to BPTT: in one call, and fed one by one.
fn exact_boundaries_give_bptt<C: Cell>(build: Build<C>) {
    for problem in problems(build) {
        let bptt = problem.estimate(problem.bptt(GradientPaths::ALL));
        bptt.assert_active::<C>();
        let known = Known::exact(&problem);
        for window in WINDOWS {
            let eprop3 =
                Eprop3::new(problem.objective, window).with_boundary(known.clone()).with_outputs(true);
            let found = problem.estimate(eprop3.clone());
            found.assert_agrees(&format!("e-prop 3 in windows of {window}"), &bptt, 1e-12);
            let truncated = TruncatedBptt::new(problem.objective, window).with_boundary(known.clone());
            let found = problem.estimate(truncated.with_outputs(true));
            found.assert_agrees(&format!("truncated BPTT in windows of {window}"), &bptt, 1e-12);
            let sum = by_pieces(&problem, eprop3, window);
            assert_same_gradients(&format!("pieces of {window}"), &sum, &bptt.gradients, 1e-12);
        }
    }
}

for_every_cell!(traces_outlast_the_end_of_a_batch);

/// The last piece of a batch is told that nothing follows, but what follows all the same finds state and traces where they
/// were.
fn traces_outlast_the_end_of_a_batch<C: Cell>(build: Build<C>) {
    for problem in problems(build) {
        let (network, batch) = (&problem.network, &problem.batch);
        let steps = batch.steps();
        let after = |start: Batch, rest: Batch| {
            let mut eprop3 = Eprop3::new(problem.objective, 5);
            let mut state = eprop3.start(network, batch.size());
            let _ = eprop3.feed(network, &mut state, &start);
            eprop_tests::findings::gradients(network, &eprop3.feed(network, &mut state, &rest))
        };
        let [start, rest] = [batch.piece(0..10), batch.piece(10..steps)];
        let ended = Batch::new(start.inputs().clone(), start.targets().clone())
            .with_lengths(start.lengths())
            .with_end();
        let (found, expected) = (after(ended, rest.clone()), after(start, rest));
        assert_same_gradients("behind the end of a batch", &found, &expected, 1e-15);
    }
}

/// The sum of the gradients of pieces.
fn by_pieces<C: Cell>(problem: &Problem<C>, mut estimator: Eprop3, length: usize) -> Gradients {
    let Problem { network, batch, .. } = problem;
    let mut state = estimator.start(network, batch.size());
    let mut sum = Gradients::new();
    for start in (0..batch.steps()).step_by(length) {
        let piece = batch.piece(start..(start + length).min(batch.steps()));
        let estimate = estimator.feed(network, &mut state, &piece);
        for (name, values) in eprop_tests::findings::gradients(network, &estimate) {
            let sum = sum.entry(name).or_insert_with(|| vec![0.0; values.len()]);
            sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
        }
    }
    sum
}

for_every_cell!(what_hidden_values_carry_on_gets_no_credit_twice);

/// Where no neuron reaches another, a gradient of hidden values at a window's end is no business of that window: their traces
/// carry the credit on. If it multiplied the traces, it would be counted here and again later.
fn what_hidden_values_carry_on_gets_no_credit_twice<C: Cell>(build: Build<C>) {
    for problem in problems::<C>(build).take(1) {
        let problem = problem.without_recurrence();
        let paths = GradientPaths::ALL.without_reset();
        let [batch, neurons] = [problem.batch.size(), problem.network.neurons()];
        let options = problem.network.options();
        // z, the hidden values, y.
        let row: Vec<f64> = (0..(1 + C::HIDDEN) * neurons + problem.network.outputs())
            .map(|column| if (neurons..(1 + C::HIDDEN) * neurons).contains(&column) { 3.0 } else { 0.0 })
            .collect();
        let known = tensor(row.repeat(batch), [batch, row.len()], &options);
        let known = Known(vec![known; problem.batch.steps() + 1]);
        let windows = Eprop3::new(problem.objective, 4).with_paths(paths);
        let without = problem.estimate(windows.clone());
        let with = problem.estimate(windows.with_boundary(known.clone()));
        let name = "layer 0 w_in";
        assert_close("credit by the boundary alone", &with.gradients[name], &without.gradients[name], 1e-12);
        // Truncated BPTT, without traces, has to count it.
        let windows = TruncatedBptt::new(problem.objective, 4).with_paths(paths);
        let without = problem.estimate(windows.clone());
        let with = problem.estimate(windows.with_boundary(known));
        assert!(relative_difference(&with.gradients[name], &without.gradients[name]) > 0.1);
    }
}

for_every_cell!(rates_are_regularised_over_all_windows);

/// Where no neuron reaches another and nothing is left of y, each window's total derivatives are those of the whole: with
/// rates, masks and unequal lengths, e-prop 3 is BPTT in windows of any length.
fn rates_are_regularised_over_all_windows<C: Cell>(build: Build<C>) {
    for averaging in
        [RateAveraging::Batch, RateAveraging::PerTrial, RateAveraging::Running { tau_steps: 9.0 }]
    {
        let rate = RateRegularization { strength: 300.0, target_per_step: 0.05, averaging };
        let objective = Objective::sum(Loss::MeanSquaredError).with_rate(rate);
        let case = Case { objective, tau_out_ms: None, mask: true, unequal_lengths: true, ..Case::new(5) };
        let problem = Problem::new(&case, build, &float64(&Device::flex())).without_recurrence();
        let paths = GradientPaths::ALL.without_reset();
        let bptt = problem.estimate(problem.bptt(paths));
        for window in [5, 24] {
            let found = problem.estimate(Eprop3::new(objective, window).with_paths(paths).with_outputs(true));
            let found = without_recurrent(found);
            found.assert_agrees("regularised e-prop 3", &without_recurrent(bptt.clone()), 1e-11);
        }
    }
}

/// The gradient of recurrent weights that are not there is another one.
fn without_recurrent(mut findings: Findings) -> Findings {
    findings.gradients.remove("layer 0 w_rec").expect("a layer has them");
    findings
}

/// Cosine to BPTT's gradient of the recurrent layer.
fn cosine(found: &Gradients, bptt: &Gradients) -> f64 {
    let (mut product, mut norms) = (0.0, [0.0, 0.0]);
    for (name, bptt) in bptt.iter().filter(|(name, _)| name.starts_with("layer")) {
        for (found, bptt) in found[name].iter().zip(bptt) {
            product += found * bptt;
            norms = [norms[0] + found * found, norms[1] + bptt * bptt];
        }
    }
    product / (norms[0] * norms[1]).sqrt()
}

const NETWORKS: u64 = 24;

/// Mean cosines of e-prop 3 with nothing behind its windows, of truncated BPTT and of e-prop 1, to BPTT: over random
/// networks that are told at the last of 24 steps, with windows of 4.
fn mean_cosines<C: Cell>(build: Build<C>) -> [f64; 3] {
    let mut sums = [0.0; 3];
    for seed in 0..NETWORKS {
        let case = Case { neurons: vec![10], inputs: 5, batch: 4, tau_out_ms: None, ..Case::new(seed) };
        let mut problem = Problem::new(&case, build, &float64(&Device::flex()));
        let last: Vec<f64> =
            (0..case.batch * case.steps).map(|i| f64::from((i + 1) % case.steps == 0)).collect();
        let last = tensor(last, [case.batch, case.steps], &problem.network.options());
        problem.batch = problem.batch.with_mask(last);
        let bptt = problem.estimate(problem.bptt(GradientPaths::ALL)).gradients;
        let found = [
            problem.estimate(Eprop3::new(problem.objective, 4)),
            problem.estimate(TruncatedBptt::new(problem.objective, 4)),
            problem.estimate(problem.eprop(24)),
        ];
        for (sum, found) in sums.iter_mut().zip(found) {
            *sum += cosine(&found.gradients, &bptt) / NETWORKS as f64;
        }
    }
    sums
}

#[test]
fn lstm_gradients_are_closer_to_bptt_than_those_of_other_methods() {
    let cosines = mean_cosines(lstm);
    let [eprop3, truncated, eprop] = cosines;
    println!("LSTM: e-prop 3, truncated BPTT, e-prop 1: {cosines:.3?}");
    assert!(eprop3 > truncated && eprop3 > eprop, "{cosines:?}");
    assert!(eprop3 > 0.9, "{cosines:?}");
}

#[test]
fn spiking_gradients_are_closer_to_bptt_than_those_of_truncated_bptt() {
    for (name, cosines) in [("LIF", mean_cosines(lif)), ("ALIF", mean_cosines(alif))] {
        let [eprop3, truncated, _] = cosines;
        println!("{name}: e-prop 3, truncated BPTT, e-prop 1: {cosines:.3?}");
        assert!(eprop3 > truncated, "{name}: {cosines:?}");
    }
}

/// The gradients of a module of one layer: those of its weights, and of its bias in a last row.
fn of_module<C: Cell>(network: &Network<C>, estimate: &Estimate) -> Vec<f64> {
    let output = &network.synthetic_gradient.as_ref().expect("it has one").output;
    let weight = estimate.gradients.get::<2>(output.weight.id).expect("it learns");
    let bias = estimate.gradients.get::<1>(output.bias.as_ref().expect("it has one").id).expect("it learns");
    [values(&weight), values(&bias)].concat()
}

/// −(1/batch) Σ_b of features (the states, and 1) times errors: the gradients of a module of one layer.
fn module_gradient(states: &Tensor<2>, error: Tensor<2>) -> Vec<f64> {
    let batch = states.dims()[0];
    let ones = Tensor::ones([batch, 1], (&states.device(), states.dtype()));
    let features = Tensor::cat(vec![states.clone(), ones], 1);
    values(&features.transpose().matmul(error).mul_scalar(-1.0 / batch as f64))
}

fn add(sum: &mut Vec<f64>, part: Vec<f64>) {
    if sum.is_empty() {
        sum.resize(part.len(), 0.0);
    }
    sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
}

for_every_cell!(a_module_learns_what_arrives);

/// The target at a window's start is the gradient that arrives there, of the sum of losses, with what the module foretells
/// at the window's end; sequences that have ended have none.
fn a_module_learns_what_arrives<C: Cell>(build: Build<C>) {
    for problem in problems(build) {
        let (window, steps, discount) = (5, problem.batch.steps(), 0.75);
        let network = with_module(&problem.network);
        let module = network.synthetic_gradient.as_ref().expect("just made");
        let states = states(&problem);
        let lengths = problem.batch.lengths();
        let going_on = |time: usize| {
            let going_on = lengths.iter().map(|&length| f64::from(time < length)).collect();
            tensor(going_on, [lengths.len(), 1], &problem.network.options())
        };
        let mut expected = Vec::new();
        for start in (window..steps).step_by(window) {
            let end = (start + window).min(steps);
            let behind = module.forward(states[end].to_rows()).mul_scalar(discount) * going_on(end);
            let target = gradient_of(&problem, start..end, &states[start], (end < steps).then_some(behind));
            let rows = states[start].to_rows();
            let error = (target - module.forward(rows.clone())) * going_on(start);
            add(&mut expected, module_gradient(&rows, error));
        }
        let learning = BoundaryLearning { discount, ..BoundaryLearning::default() };
        let mean = Objective::mean(Loss::MeanSquaredError);
        for (objective, kernels) in [(problem.objective, true), (problem.objective, false), (mean, true)] {
            let eprop3 =
                Eprop3::new(objective, window).with_boundary_learning(learning).with_kernels(kernels);
            let found = of_module(&network, &eprop3.clone().estimate(&network, &problem.batch));
            assert_close("gradient of the module, e-prop 3", &found, &expected, 1e-11);
            let mut stream = eprop3;
            let mut state = stream.start(&network, problem.batch.size());
            let mut sum = Vec::new();
            for start in (0..steps).step_by(window) {
                let piece = problem.batch.piece(start..(start + window).min(steps));
                let estimate = stream.feed(&network, &mut state, &piece);
                // Nothing is foretold before the first step.
                if start > 0 {
                    add(&mut sum, of_module(&network, &estimate));
                }
            }
            assert_close("gradient of the module, by pieces", &sum, &expected, 1e-11);
            let truncated = TruncatedBptt::new(objective, window).with_kernels(kernels);
            let mut truncated = truncated.with_boundary_learning(learning);
            let found = of_module(&network, &truncated.estimate(&network, &problem.batch));
            assert_close("gradient of the module, truncated BPTT", &found, &expected, 1e-11);
        }
    }
}

for_every_cell!(with_lambda_a_module_learns_the_whole_future);

/// Where no neuron reaches another, BP(1) finds what the gradients of all that comes would have taught.
fn with_lambda_a_module_learns_the_whole_future<C: Cell>(build: Build<C>) {
    for (tau_out_ms, columns) in [(None, 0), (Some(5.0), 1)] {
        let case = Case { tau_out_ms, neurons: vec![6, 5], ..Case::new(3) };
        let problem = Problem::new(&case, build, &float64(&Device::flex()));
        let mut problem = problem.without_recurrence();
        // The upper layer listens to the input's noise alone.
        let upper = &mut problem.network.layers[1];
        upper.w_in = upper.w_in.clone().map(|weights| weights.zeros_like());
        let paths = GradientPaths::ALL.without_reset();
        let network = with_module(&problem.network);
        let (window, steps) = (4, problem.batch.steps());
        // All that comes in one window.
        let mut expected = Vec::new();
        for time in (window..steps).step_by(window) {
            let mut whole = Eprop3::new(problem.objective, steps).with_paths(paths);
            let mut state = whole.start(&network, problem.batch.size());
            let _ = whole.feed(&network, &mut state, &problem.batch.piece(0..time));
            let estimate = whole.feed(&network, &mut state, &problem.batch.piece(time..steps));
            add(&mut expected, of_module(&network, &estimate));
        }
        let learning = BoundaryLearning { lambda: 1.0, ..BoundaryLearning::default() };
        let width = network.synthetic_gradient.as_ref().expect("just made").width();
        // With a leaky readout, neurons reach it from window to window, which is not a neuron's own affair.
        let compared = |values: Vec<f64>| -> Vec<f64> {
            let first = columns * (width - network.outputs());
            values.chunks(width).flat_map(|row| row[first..].to_vec()).collect()
        };
        let expected = compared(expected);
        let check = |what: &str, estimate: Estimate| {
            assert_close(what, &compared(of_module(&network, &estimate)), &expected, 1e-11);
        };
        let mut eprop3 =
            Eprop3::new(problem.objective, window).with_paths(paths).with_boundary_learning(learning);
        check("BP(1), e-prop 3", eprop3.estimate(&network, &problem.batch));
        let truncated = TruncatedBptt::new(problem.objective, window).with_paths(paths);
        check(
            "BP(1), truncated BPTT",
            truncated.with_boundary_learning(learning).estimate(&network, &problem.batch),
        );
    }
}
