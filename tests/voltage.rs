//! Voltage regularisation: against autodiff, finite differences of its definition, and in pieces.

use burn::module::{Module, Param};
use burn::optim::SgdConfig;
use burn::tensor::{Device, Tensor, TensorData};
use burn_eprop::estimator::{Bptt, Eprop, Eprop3};
use burn_eprop::loss::VoltageRegularization;
use burn_eprop::network::GradientPaths;
use burn_eprop::signal::Symmetric;
use burn_eprop::{Cell, GradientEstimator, Loss, Objective, OnlineEstimator, OptimizerHook};
use eprop_tests::case::{Build, Case, Problem, float64};
use eprop_tests::cells;
use eprop_tests::findings::{Findings, assert_close, assert_same_gradients, values};
use eprop_tests::for_every_cell;

const VOLTAGE: VoltageRegularization = VoltageRegularization { strength: 3.0 };

/// Sequences of unequal lengths, of refractory neurons in two layers.
fn problem<C: Cell>(seed: u64, build: Build<C>) -> Problem<C> {
    let neurons = vec![6, 5];
    let case =
        Case { neurons, refractory_steps: 3, unequal_lengths: true, mask: true, batch: 4, ..Case::new(seed) };
    let mut problem = Problem::new(&case, build, &float64(&Device::flex()));
    problem.objective = problem.objective.with_voltage(VOLTAGE);
    problem
}

for_every_cell!(eprop_is_local_bptt: lif, lif_per_neuron, alif, alif_per_neuron);

fn eprop_is_local_bptt<C: Cell>(build: Build<C>) {
    let problem = problem(41, build);
    let objective = problem.objective;
    let local = problem.estimate(Bptt::new(objective).with_paths(GradientPaths::LOCAL));
    let free = problem
        .estimate(Bptt::new(Objective { voltage: None, ..objective }).with_paths(GradientPaths::LOCAL));
    let pull: f64 = local.gradients["layer 0 w_in"]
        .iter()
        .zip(&free.gradients["layer 0 w_in"])
        .map(|(with, without)| (with - without).abs())
        .sum();
    assert!(pull > 0.1, "it must pull: {pull}");
    local.assert_active::<C>();
    for chunk in [1, 5, 100] {
        let eprop = problem.estimate(Eprop::new(objective, Symmetric).with_chunk(chunk));
        assert_same_gradients(&format!("chunks of {chunk}"), &eprop.gradients, &local.gradients, 1e-10);
    }
    let estimates = [
        Eprop::new(objective, Symmetric).estimate(&problem.network, &problem.batch),
        Bptt::new(objective).estimate(&problem.network, &problem.batch),
    ];
    let losses = estimates.map(|estimate| estimate.voltage_loss);
    assert!(losses[0] > 0.1, "{losses:?}");
    assert_close("loss", &losses[..1], &losses[1..], 1e-10);
}

for_every_cell!(kernels_give_what_autodiff_gives: lif, alif);

fn kernels_give_what_autodiff_gives<C: Cell>(build: Build<C>) {
    let problem = problem(42, build);
    let [with, without] =
        [true, false].map(|kernels| problem.estimate(Bptt::new(problem.objective).with_kernels(kernels)));
    assert_same_gradients("BPTT", &with.gradients, &without.gradients, 1e-10);
}

for_every_cell!(the_pull_is_the_slope_of_the_definition: lif, alif, alif_per_neuron);

/// With spikes as they are, E_v is a smooth function of the weights, of which no autodiff and no trace need be known.
fn the_pull_is_the_slope_of_the_definition<C: Cell>(build: Build<C>) {
    let problem = problem(43, build);
    let (objective, network) = (problem.objective, &problem.network);
    let pull = |objective: Objective| {
        let estimate = Eprop::new(objective, Symmetric).estimate(network, &problem.batch);
        Findings::new(network, &estimate).gradients["layer 0 w_in"].clone()
    };
    let (with, without) = (pull(objective), pull(Objective { voltage: None, ..objective }));
    let loss = |place: usize, step: f64| {
        let mut moved = network.clone();
        let layer = &mut moved.layers[0];
        layer.w_in = layer.w_in.clone().map(|weights| {
            let mut all = values(&weights);
            all[place] += step;
            let data = TensorData::new(all, weights.dims());
            Tensor::from_data(data, (&weights.device(), weights.dtype()))
        });
        let estimate = Eprop::new(objective, Symmetric).estimate(&moved, &problem.batch);
        (estimate.voltage_loss, estimate.firing_rates.iter().flat_map(values).collect::<Vec<f64>>())
    };
    let step = 1e-6;
    for place in 0..with.len() {
        let ((up, spikes), (down, others)) = (loss(place, step), loss(place, -step));
        assert_eq!(spikes, others, "a spike was moved");
        let slope = (up - down) / (2.0 * step);
        let found = with[place] - without[place];
        // Where a potential crosses a bound within the step, the second derivative jumps.
        assert!((slope - found).abs() < 1e-4 * (1.0 + found.abs()), "{place}: {slope}, {found}");
    }
}

/// A neuron without input but a bias, of which everything is known, beside a sequence without a step.
fn assert_loss<C: Cell>(build: Build<C>, beta: f64) {
    let case = Case { steps: 12, batch: 2, inputs: 1, neurons: vec![1], refractory_steps: 3, ..Case::new(1) };
    let mut problem = Problem::new(&case, build, &float64(&Device::flex()));
    problem.batch = problem.batch.with_lengths(vec![0, case.steps]);
    let layer = &mut problem.network.layers[0];
    layer.w_in = layer.w_in.clone().map(|weights| weights.zeros_like());
    let theta = cells::lif_config(&case, 1).threshold;
    for current in [0.5, -0.4] {
        let layer = &mut problem.network.layers[0];
        layer.bias = layer.bias.take().map(|bias: Param<_>| bias.map(|bias| bias.full_like(current)));
        let [alpha, rho] = [8.0, 15.0].map(|tau: f64| (-1.0 / tau).exp());
        let (mut v, mut a, mut z, mut silent, mut expected) = (0.0, 0.0, 0.0, 0, 0.0);
        for _ in 0..case.steps {
            v = alpha * v + current - theta * z;
            let threshold = theta + beta * a;
            z = f64::from(u8::from(v > threshold && silent == 0));
            a = rho * a + z;
            silent = if z == 1.0 { 2 } else { 0_i32.max(silent - 1) };
            let excess = (v - threshold).max(0.0).powi(2) + (-v - theta).max(0.0).powi(2);
            expected += 0.5 * VOLTAGE.strength * excess;
        }
        let objective = problem.objective.with_voltage(VOLTAGE);
        let estimate = Eprop::new(objective, Symmetric).estimate(&problem.network, &problem.batch);
        assert!(expected > 0.1, "{expected}");
        assert_close("loss", &[estimate.voltage_loss], &[expected], 1e-12);
    }
}

#[test]
fn the_loss_of_a_constant_current_is_that_of_the_definition() {
    assert_loss(cells::lif, 0.0);
    assert_loss(cells::alif, 0.2);
}

#[test]
fn a_stream_that_was_saved_goes_on() {
    let problem = problem(46, cells::alif_per_neuron);
    let network = problem.network.clone().train();
    let hook = || {
        let eprop = Eprop::new(problem.objective, Symmetric);
        let hook = OptimizerHook::new(SgdConfig::new().init(), eprop);
        hook.into_stream(&network, problem.batch.size())
    };
    let feed = |hook: &mut OptimizerHook<_, _>, piece| {
        let (updated, report) = hook.feed(0.01, network.clone(), &problem.batch.piece(piece));
        (values(&updated.layers[0].w_in.val().inner()), report.voltage_loss)
    };
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("stream.bpk");
    let mut first = hook();
    feed(&mut first, 0..12);
    first.save_state(&network, &path).expect("written");
    let mut resumed = hook();
    resumed.load_state(&network, &path).expect("read");
    assert_eq!(feed(&mut resumed, 12..24), feed(&mut first, 12..24));
}

#[test]
fn pieces_of_a_stream_sum_to_the_whole() {
    let problem = problem(44, cells::alif);
    let whole = Eprop::new(problem.objective, Symmetric).estimate(&problem.network, &problem.batch);
    let mut eprop = Eprop::new(problem.objective, Symmetric);
    let mut state = eprop.start(&problem.network, problem.batch.size());
    let mut sum: Option<(f64, Findings)> = None;
    for start in (0..problem.batch.steps()).step_by(8) {
        let piece = problem.batch.piece(start..start + 8);
        let estimate = eprop.feed(&problem.network, &mut state, &piece);
        let (loss, found) = (estimate.voltage_loss, Findings::new(&problem.network, &estimate));
        sum = Some(match sum.take() {
            Some((losses, mut findings)) => {
                findings.add_piece(found);
                (losses + loss, findings)
            }
            None => (loss, found),
        });
    }
    let (loss, findings) = sum.expect("there are pieces");
    assert_close("loss", &[loss], &[whole.voltage_loss], 1e-10);
    let whole = Findings::new(&problem.network, &whole);
    assert_same_gradients("pieces", &findings.gradients, &whole.gradients, 1e-10);
}

#[test]
#[should_panic(expected = "voltage regularisation is for cells with a membrane potential")]
fn a_cell_without_a_potential_is_refused() {
    let problem = problem(45, cells::lstm);
    let _ = Eprop::new(problem.objective, Symmetric).estimate(&problem.network, &problem.batch);
}

#[test]
#[should_panic(expected = "voltage regularisation of the state: false, of the objective: true")]
fn a_stream_that_began_without_is_refused() {
    let problem = problem(47, cells::lif);
    let free = Objective { voltage: None, ..problem.objective };
    let mut state = Eprop::new(free, Symmetric).start(&problem.network, problem.batch.size());
    let _ = Eprop::new(problem.objective, Symmetric).feed(&problem.network, &mut state, &problem.batch);
}

#[test]
#[should_panic(expected = "voltage regularisation is for e-prop 1 and BPTT")]
fn windows_are_refused() {
    let _ = Eprop3::new(Objective::sum(Loss::MeanSquaredError).with_voltage(VOLTAGE), 4);
}

#[test]
#[should_panic(expected = "voltage.strength")]
fn a_negative_strength_is_refused() {
    let voltage = VoltageRegularization { strength: -1.0 };
    let _ = Bptt::new(Objective::sum(Loss::MeanSquaredError).with_voltage(voltage));
}
