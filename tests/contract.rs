//! The contract that every cell fulfils with every option, over random problems.

use burn::module::Module;
use burn_eprop::cell::InputNormalization;
use burn_eprop::estimator::{Eprop3, TruncatedBptt, evaluate};
use burn_eprop::kernel::by_tensor_operations;
use burn_eprop::loss::{RateAveraging, RateRegularization, Reduction};
use burn_eprop::network::GradientPaths;
use burn_eprop::surrogate::PseudoDerivative;
use burn_eprop::{Cell, Objective, OnlineEstimator};
use eprop_cli::device::DeviceName;
use eprop_tests::case::{Build, Case, LOSSES, Problem, REDUCTIONS, SHAPES, float64};
use eprop_tests::findings::{Findings, assert_close, assert_same_gradients, values};
use eprop_tests::for_every_cell;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{RngSeed, TestRunner};
use rand::RngExt;

for_every_cell!(contract);

/// Problems for each cell; the same in every run.
const CASES: u32 = 12;

fn contract<C: Cell>(build: Build<C>) {
    let config = ProptestConfig {
        cases: CASES,
        max_shrink_iters: 0,
        rng_seed: RngSeed::Fixed(0),
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let check = |case: Case| {
        for device in DeviceName::CPUS {
            println!("{device}: {case:?}");
            let problem = Problem::new(&case, build, &float64(&device.open().expect("a CPU device")));
            let eprop = local_gradient(&problem);
            any_chunk(&problem, &eprop);
            any_pieces(&problem, &eprop, &case);
            one_window(&problem);
            kernels_in_the_graph(&problem);
            kernels_are_tensor_operations(&problem, &case);
        }
        Ok(())
    };
    TestRunner::new(config).run(&cases(), check).unwrap_or_else(|error| panic!("{error}"));
}

// ANCHOR: local
/// Symmetric e-prop is BPTT without the paths that leave a neuron. Returns what e-prop finds in one chunk.
fn local_gradient<C: Cell>(problem: &Problem<C>) -> Findings {
    let eprop = problem.estimate(problem.eprop(problem.batch.steps()));
    eprop.assert_active::<C>();
    let bptt = problem.estimate(problem.bptt(GradientPaths::LOCAL));
    eprop.assert_agrees("e-prop and local BPTT", &bptt, 1e-10);

    let outputs = values(&problem.network.forward(problem.batch.inputs().clone()));
    assert_close("outputs of e-prop and of the network", &eprop.outputs, &outputs, 1e-11);

    // A network that optimizers update lives on an autodiff device.
    let trained = Problem { network: problem.network.clone().train(), ..problem.clone() };
    let on_autodiff = trained.estimate(problem.eprop(problem.batch.steps()));
    on_autodiff.assert_agrees("e-prop of a network with autodiff", &eprop, 1e-13);
    eprop
}
// ANCHOR_END: local

/// A chunk's length changes nothing.
fn any_chunk<C: Cell>(problem: &Problem<C>, whole: &Findings) {
    for chunk in [1, 3, 7, problem.batch.steps() + 5] {
        let chunked = problem.estimate(problem.eprop(chunk));
        chunked.assert_agrees(&format!("e-prop in chunks of {chunk}"), whole, 1e-11);
    }
}

/// A sequence fed in pieces gives the gradient of the whole.
fn any_pieces<C: Cell>(problem: &Problem<C>, whole: &Findings, case: &Case) {
    let pieces = stream(problem, problem.eprop(3), random_pieces(case));
    let whole = Findings { outputs: Vec::new(), ..whole.clone() };
    pieces.assert_agrees("e-prop in pieces", &whole, 1e-11);
}

/// Losses and gradients of pieces of the given lengths, summed; without outputs.
fn stream<C: Cell>(
    problem: &Problem<C>,
    mut estimator: impl OnlineEstimator<C>,
    lengths: Vec<usize>,
) -> Findings {
    let Problem { network, batch, .. } = problem;
    let mut state = estimator.start(network, batch.size());
    let mut start = 0;
    let mut feed = |length: usize| {
        let piece = batch.piece(start..start + length);
        start += length;
        let findings = Findings::new(network, &estimator.feed(network, &mut state, &piece));
        Findings { outputs: Vec::new(), ..findings }
    };
    let mut lengths = lengths.into_iter();
    let mut sum = feed(lengths.next().expect("a sequence has a piece"));
    lengths.for_each(|length| sum.add_piece(feed(length)));
    sum
}

/// Lengths from 1 to 7 that sum to the number of steps.
fn random_pieces(case: &Case) -> Vec<usize> {
    let rng = &mut case.rng(3);
    let mut left = case.steps;
    let mut lengths = Vec::new();
    while left > 0 {
        let length = rng.random_range(1..=left.min(7));
        lengths.push(length);
        left -= length;
    }
    lengths
}

/// Truncated BPTT and e-prop 3 with a window as long as the sequence are BPTT; and their windows are pieces.
fn one_window<C: Cell>(problem: &Problem<C>) {
    let Problem { objective, batch, .. } = problem;
    let bptt = problem.estimate(problem.bptt(GradientPaths::ALL));
    for window in [batch.steps(), batch.steps() + 5] {
        let truncated = problem.estimate(TruncatedBptt::new(*objective, window).with_outputs(true));
        truncated.assert_agrees("BPTT in one window", &bptt, 1e-10);
        for kernels in [true, false] {
            let eprop3 = Eprop3::new(*objective, window).with_outputs(true).with_kernels(kernels);
            problem.estimate(eprop3).assert_agrees("e-prop 3 in one window", &bptt, 1e-10);
        }
    }

    let unregularized = Problem { objective: Objective { rate: None, ..*objective }, ..problem.clone() };
    let window = 5;
    let lengths = (0..batch.steps()).step_by(window).map(|start| window.min(batch.steps() - start));
    let truncated = TruncatedBptt::new(unregularized.objective, window).with_outputs(true);
    let windows = unregularized.estimate(truncated.clone());
    assert_close("outputs of windows", &windows.outputs, &bptt.outputs, 1e-11);
    let pieces = stream(&unregularized, truncated, lengths.collect());
    assert_same_gradients("BPTT in windows and in pieces", &pieces.gradients, &windows.gradients, 1e-11);

    let lengths = (0..batch.steps()).step_by(window).map(|start| window.min(batch.steps() - start));
    let eprop3 = Eprop3::new(unregularized.objective, window).with_kernels(false);
    let by_steps = unregularized.estimate(eprop3.clone());
    let by_kernels = unregularized.estimate(eprop3.clone().with_kernels(true));
    by_kernels.assert_agrees("e-prop 3 by kernels and by steps", &by_steps, 1e-10);
    let pieces = stream(&unregularized, eprop3, lengths.collect());
    assert_same_gradients("e-prop 3 in windows and in pieces", &pieces.gradients, &by_steps.gradients, 1e-11);
}

/// A cell's kernel in the autodiff graph is the cell's steps, along whichever paths.
fn kernels_in_the_graph<C: Cell>(problem: &Problem<C>) {
    for [recurrent, reset, between_layers] in
        [[true; 3], [false; 3], [true, false, true], [false, true, true], [true, true, false]]
    {
        let paths = GradientPaths { recurrent, reset, between_layers };
        let steps = problem.estimate(problem.bptt(paths));
        let kernels = problem.estimate(problem.bptt(paths).with_kernels(true));
        kernels.assert_agrees(&format!("BPTT by kernels along {paths:?}"), &steps, 1e-10);
    }
}

/// Kernels and tensor operations find the same, in chunks, in pieces, and without learning.
fn kernels_are_tensor_operations<C: Cell>(problem: &Problem<C>, case: &Case) {
    let Problem { network, batch, objective } = problem;
    let findings = || {
        let mut outputs = values(&network.forward(batch.inputs().clone()));
        outputs.extend(values(&evaluate(network, batch, objective).outputs));
        let pieces = stream(problem, problem.eprop(4), random_pieces(case));
        (problem.estimate(problem.eprop(5)), pieces, outputs)
    };
    let (chunks, pieces, outputs) = findings();
    let (chunks_of_operations, pieces_of_operations, outputs_of_operations) = by_tensor_operations(findings);
    chunks.assert_agrees("chunks by kernels and by tensor operations", &chunks_of_operations, 1e-11);
    pieces.assert_agrees("pieces by kernels and by tensor operations", &pieces_of_operations, 1e-11);
    assert_close("outputs by kernels and by tensor operations", &outputs, &outputs_of_operations, 1e-11);
}

fn cases() -> impl Strategy<Value = Case> {
    let sizes = (2..4_usize, 20..36_usize, 2..5_usize, prop::collection::vec(5..9_usize, 1..3), 2..4_usize);
    let flags = any::<[bool; 4]>();
    let spiking = (select(&[0, 1, 3][..]), input_normalizations(), pseudo_derivatives());
    let tau_out_ms = select(&[None, Some(4.0), Some(10.0)][..]);
    (any::<u64>(), sizes, flags, spiking, tau_out_ms, objectives()).prop_map(
        |(seed, sizes, flags, spiking, tau_out_ms, objective)| {
            let (batch, steps, inputs, neurons, outputs) = sizes;
            let [bias, normalized_readout, mask, unequal_lengths] = flags;
            let (refractory_steps, input_normalization, pseudo_derivative) = spiking;
            Case {
                seed,
                batch,
                steps,
                inputs,
                neurons,
                outputs,
                bias,
                refractory_steps,
                input_normalization,
                pseudo_derivative,
                tau_out_ms,
                normalized_readout,
                mask,
                unequal_lengths,
                objective,
            }
        },
    )
}

fn input_normalizations() -> impl Strategy<Value = InputNormalization> {
    select(&[InputNormalization::Unit, InputNormalization::OneMinusDecay][..])
}

fn pseudo_derivatives() -> impl Strategy<Value = PseudoDerivative> {
    (select(&SHAPES[..]), 0.2..0.6, any::<[bool; 2]>()).prop_map(|(shape, height, flags)| {
        let [divide_by_threshold, zero_in_refractoriness] = flags;
        PseudoDerivative { shape, height, divide_by_threshold, zero_in_refractoriness }
    })
}

fn objectives() -> impl Strategy<Value = Objective> {
    let running = RateAveraging::Running { tau_steps: 9.0 };
    let averaging = vec![None, Some(RateAveraging::Batch), Some(RateAveraging::PerTrial), Some(running)];
    (select(&LOSSES[..]), select(&REDUCTIONS[..]), select(averaging)).prop_map(
        |(loss, reduction, averaging)| {
            // The regulariser's gradient is to be of the size of the task's.
            let strength = if reduction == Reduction::Sum { 300.0 } else { 5.0 };
            let rate =
                RateRegularization { strength, target_per_step: 0.05, averaging: RateAveraging::Batch };
            let rate = averaging.map(|averaging| rate.with_averaging(averaging));
            Objective { loss, reduction, rate, voltage: None }
        },
    )
}
