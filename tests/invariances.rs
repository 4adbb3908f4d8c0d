//! What must change nothing: over random sizes, from a single neuron and a single step on, for every cell.

use std::cell::Cell as Counter;

use burn::tensor::{Device, Tensor};
use burn_eprop::loss::{RateAveraging, RateRegularization};
use burn_eprop::network::GradientPaths;
use burn_eprop::{Batch, Cell, Objective, OnlineEstimator};
use eprop_tests::case::{Build, Case, LOSSES, Problem, REDUCTIONS, float64, tensor, uniform};
use eprop_tests::findings::Findings;
use eprop_tests::for_every_cell;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{RngSeed, TestRunner};
use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

for_every_cell!(invariances);

/// Problems for each cell; the same in every run.
const CASES: u32 = 64;

fn invariances<C: Cell>(build: Build<C>) {
    let config = ProptestConfig {
        cases: CASES,
        rng_seed: RngSeed::Fixed(1),
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let active = Counter::new(0);
    let check = |case: Case| {
        let problem = Problem::new(&case, build, &float64(&Device::flex()));
        let whole = problem.estimate(problem.eprop(case.steps));
        let spikes = whole.firing_rates.iter().any(|rate| *rate != 0.0);
        active.set(active.get() + u32::from(spikes && whole.loss != 0.0));
        let rng = &mut case.rng(4);
        let same = |what: &str, found: Findings| assert_same(what, &found, &whole, &case);
        same("local BPTT", problem.estimate(problem.bptt(GradientPaths::LOCAL)));
        same("chunks", problem.estimate(problem.eprop(rng.random_range(1..=case.steps + 2))));
        same("pieces", in_pieces(&problem, rng));
        same("another order of the sequences", with_batch(&problem, permuted(&problem.batch, rng)));
        same("other values behind the ends", with_batch(&problem, padded(&problem.batch, rng)));
        same("other targets where none counts", with_batch(&problem, retargeted(&problem.batch, rng)));
        Ok(())
    };
    TestRunner::new(config).run(&cases(), check).unwrap_or_else(|error| panic!("{error}"));
    println!("{} of {CASES} problems with spikes and a loss", active.get());
    assert!(2 * active.get() > CASES, "zeros are alike, whatever is done to them");
}

/// Asserts that nothing but the outputs differs, by more than rounding.
fn assert_same(what: &str, found: &Findings, expected: &Findings, case: &Case) {
    let close = |name: &str, found: &[f64], expected: &[f64]| {
        let scale = expected.iter().fold(1e-3, |largest: f64, value| largest.max(value.abs()));
        assert_eq!(found.len(), expected.len(), "{name}");
        for (found, expected) in found.iter().zip(expected) {
            let close = (found - expected).abs() <= 1e-10 * scale;
            assert!(close, "{what}, {name}: {found:e} in place of {expected:e}, {case:?}");
        }
    };
    close("loss", &[found.loss, found.rate_loss], &[expected.loss, expected.rate_loss]);
    close("firing rates", &found.firing_rates, &expected.firing_rates);
    assert!(found.gradients.keys().eq(expected.gradients.keys()), "{what}, {case:?}");
    for (name, gradient) in &found.gradients {
        close(name, gradient, &expected.gradients[name]);
    }
}

fn with_batch<C: Cell>(problem: &Problem<C>, batch: Batch) -> Findings {
    let problem = Problem { batch, ..problem.clone() };
    problem.estimate(problem.eprop(problem.batch.steps()))
}

/// Fed piece by piece, cut at random places.
fn in_pieces<C: Cell>(problem: &Problem<C>, rng: &mut StdRng) -> Findings {
    let Problem { network, batch, .. } = problem;
    let mut estimator = problem.eprop(rng.random_range(1..=8));
    let mut state = estimator.start(network, batch.size());
    let mut sum: Option<Findings> = None;
    let mut start = 0;
    while start < batch.steps() {
        let end = rng.random_range(start + 1..=batch.steps());
        let estimate = estimator.feed(network, &mut state, &batch.piece(start..end));
        let findings = Findings { outputs: Vec::new(), ..Findings::new(network, &estimate) };
        match &mut sum {
            Some(sum) => sum.add_piece(findings),
            None => sum = Some(findings),
        }
        start = end;
    }
    sum.expect("a sequence has a piece")
}

fn permuted(batch: &Batch, rng: &mut StdRng) -> Batch {
    let mut order: Vec<usize> = (0..batch.size()).collect();
    order.shuffle(rng);
    let lengths = order.iter().map(|&place| batch.lengths()[place]).collect();
    Batch::new(rows(batch.inputs(), &order), rows(batch.targets(), &order))
        .with_mask(rows(&batch.weights(), &order))
        .with_lengths(lengths)
}

fn rows<const D: usize>(tensor: &Tensor<D>, order: &[usize]) -> Tensor<D> {
    Tensor::cat(order.iter().map(|&place| tensor.clone().narrow(0, place, 1)).collect(), 0)
}

/// More steps, and other values in all that are behind the end of their sequence.
fn padded(batch: &Batch, rng: &mut StdRng) -> Batch {
    let (size, lengths) = (batch.size(), batch.lengths());
    let more = rng.random_range(0..=9);
    let steps = batch.steps() + more;
    let behind = lengths.iter().flat_map(|&length| (0..steps).map(move |step| f64::from(step >= length)));
    let options = options(batch);
    let behind = tensor(behind.collect(), [size, steps, 1], &options);
    let mut pad = |values: Tensor<3>| {
        let features = values.dims()[2];
        let noise = uniform([size, steps, features], -3.0..3.0, rng, &options);
        let within = behind.clone().mul_scalar(-1.0).add_scalar(1.0);
        longer(values, more) * within + noise * behind.clone()
    };
    let mask = pad(batch.weights().unsqueeze_dim(2)).squeeze_dim(2);
    Batch::new(pad(batch.inputs().clone()), pad(batch.targets().clone()))
        .with_mask(mask)
        .with_lengths(lengths)
}

/// The steps [batch, time, feature], with zeros behind them.
fn longer(values: Tensor<3>, more: usize) -> Tensor<3> {
    let [size, _, features] = values.dims();
    match more {
        0 => values,
        _ => {
            let zeros = Tensor::zeros([size, more, features], (&values.device(), values.dtype()));
            Tensor::cat(vec![values, zeros], 1)
        }
    }
}

/// Other targets at the steps that do not count.
fn retargeted(batch: &Batch, rng: &mut StdRng) -> Batch {
    let weights = batch.weights();
    let zero = weights.clone().equal_elem(0.0).float().cast(weights.dtype());
    let noise = uniform(batch.targets().dims(), -3.0..3.0, rng, &options(batch));
    let targets = batch.targets().clone() + noise * zero.unsqueeze_dim::<3>(2);
    Batch::new(batch.inputs().clone(), targets).with_mask(weights).with_lengths(batch.lengths())
}

fn options(batch: &Batch) -> burn::tensor::TensorCreationOptions {
    (&batch.inputs().device(), batch.inputs().dtype()).into()
}

fn cases() -> impl Strategy<Value = Case> {
    let sizes = (1..6_usize, 1..50_usize, 1..7_usize, prop::collection::vec(1..14_usize, 1..4), 2..5_usize);
    let flags = any::<[bool; 4]>();
    let constants = (0..6_usize, select(&[None, Some(3.0), Some(20.0)][..]));
    (any::<u64>(), sizes, flags, constants, objectives()).prop_map(
        |(
            seed,
            (batch, steps, inputs, neurons, outputs),
            flags,
            (refractory_steps, tau_out_ms),
            objective,
        )| {
            let [bias, normalized_readout, mask, unequal_lengths] = flags;
            Case {
                batch,
                steps,
                inputs,
                neurons,
                outputs,
                bias,
                refractory_steps,
                tau_out_ms,
                normalized_readout,
                mask,
                unequal_lengths,
                objective,
                ..Case::new(seed)
            }
        },
    )
}

fn objectives() -> impl Strategy<Value = Objective> {
    let running = RateAveraging::Running { tau_steps: 9.0 };
    let averaging = vec![None, Some(RateAveraging::Batch), Some(RateAveraging::PerTrial), Some(running)];
    (select(&LOSSES[..]), select(&REDUCTIONS[..]), select(averaging)).prop_map(
        |(loss, reduction, averaging)| {
            let rate = averaging.map(|averaging| RateRegularization {
                strength: 5.0,
                target_per_step: 0.05,
                averaging,
            });
            Objective { loss, reduction, rate, voltage: None }
        },
    )
}
