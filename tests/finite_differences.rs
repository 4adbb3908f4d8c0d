//! Gradients of an LSTM network against finite differences of its loss, which is written out here.

use burn::module::Param;
use burn::tensor::{Device, Tensor};
use burn_eprop::cell::Lstm;
use burn_eprop::loss::{RateAveraging, RateRegularization, Reduction};
use burn_eprop::network::GradientPaths;
use burn_eprop::{Loss, Network, Objective};
use eprop_tests::case::{Case, LOSSES, Problem, REDUCTIONS, float64, tensor};
use eprop_tests::cells::lstm;
use eprop_tests::findings::{Findings, assert_close, values};
use rand::RngExt;

const TOLERANCE: f64 = 1e-8;

/// Entries of each parameter that are moved.
const ENTRIES: usize = 4;

#[test]
fn bptt() {
    for case in cases(&[3, 2]) {
        let problem = problem(&case);
        let findings = problem.estimate(problem.bptt(GradientPaths::ALL));
        check(&case, &problem, &findings, |_| true);
    }
}

/// Without recurrent weights e-prop's gradient is that of the loss, but for these weights themselves.
#[test]
fn eprop_without_recurrence() {
    for case in cases(&[4]) {
        let problem = problem(&case).without_recurrence();
        let findings = problem.estimate(problem.eprop(3));
        check(&case, &problem, &findings, |parameter| !parameter.ends_with("w_rec"));
    }
}

/// Every loss, reduction and regulariser.
fn cases(neurons: &[usize]) -> Vec<Case> {
    let rate = |averaging| RateRegularization { strength: 40.0, target_per_step: 0.3, averaging };
    let rates = [None, Some(rate(RateAveraging::Batch)), Some(rate(RateAveraging::PerTrial))];
    let mut cases = Vec::new();
    for loss in LOSSES {
        for reduction in REDUCTIONS {
            for rate in rates {
                cases.push(Case {
                    batch: 2,
                    steps: 8,
                    inputs: 2,
                    neurons: neurons.to_vec(),
                    mask: true,
                    unequal_lengths: true,
                    objective: Objective { loss, reduction, rate, voltage: None },
                    ..Case::new(cases.len() as u64)
                });
            }
        }
    }
    cases
}

/// The problem of a case, with a first output that is exactly 0 at all steps.
fn problem(case: &Case) -> Problem<Lstm> {
    let options = float64(&Device::flex());
    let mut problem = Problem::new(case, lstm, &options);
    let readout = &mut problem.network.readout;
    let first = (0..case.outputs).map(|output| if output == 0 { 0.0 } else { 1.0 }).collect();
    let others = tensor(first, [case.outputs], &options);
    readout.weight = readout.weight.clone().map(|weight| weight * others.clone().unsqueeze());
    readout.bias = readout.bias.take().map(|bias| bias.map(|bias| bias * others));
    problem
}

fn check(case: &Case, problem: &Problem<Lstm>, findings: &Findings, differentiates: impl Fn(&str) -> bool) {
    println!("{:?}", case.objective);
    assert!(findings.outputs.iter().step_by(case.outputs).all(|&output| output == 0.0));
    let total = findings.loss + findings.rate_loss;
    assert_close("loss", &[total], &[total_loss(problem)], 1e-12);

    let rng = &mut case.rng(4);
    for (parameter, gradient) in findings.gradients.iter().filter(|(name, _)| differentiates(name)) {
        let entries: Vec<_> = (0..ENTRIES).map(|_| rng.random_range(0..gradient.len())).collect();
        let found: Vec<_> = entries.iter().map(|&entry| gradient[entry]).collect();
        let expected: Vec<_> = entries.iter().map(|&entry| slope(problem, parameter, entry)).collect();
        assert_close(parameter, &found, &expected, TOLERANCE);
    }
}

/// The derivative of the loss by an entry of a parameter: central differences of fourth order.
fn slope(problem: &Problem<Lstm>, parameter: &str, entry: usize) -> f64 {
    let width = 1e-3;
    let loss_at = |offset: f64| {
        let mut problem = problem.clone();
        shift(&mut problem.network, parameter, entry, offset);
        total_loss(&problem)
    };
    let difference = |offset: f64| loss_at(offset) - loss_at(-offset);
    (8.0 * difference(width) - difference(2.0 * width)) / (12.0 * width)
}

/// Moves an entry of the parameter with the given name.
fn shift(network: &mut Network<Lstm>, parameter: &str, entry: usize, by: f64) {
    if let Some(of_readout) = parameter.strip_prefix("readout ") {
        return match of_readout {
            "weight" => shift_entry(&mut network.readout.weight, entry, by),
            "bias" => shift_entry(network.readout.bias.as_mut().expect("it has a gradient"), entry, by),
            _ => panic!("unknown parameter {parameter}"),
        };
    }
    let mut words = parameter.split(' ').skip(1);
    let index: usize = words.next().and_then(|index| index.parse().ok()).expect("`layer`, its index, …");
    let layer = &mut network.layers[index];
    match words.next() {
        Some("w_in") => shift_entry(&mut layer.w_in, entry, by),
        Some("w_rec") => shift_entry(&mut layer.w_rec, entry, by),
        Some("bias") => shift_entry(layer.bias.as_mut().expect("it has a gradient"), entry, by),
        _ => panic!("unknown parameter {parameter}"),
    }
}

fn shift_entry<const D: usize>(parameter: &mut Param<Tensor<D>>, entry: usize, by: f64) {
    *parameter = parameter.clone().map(|old| {
        let mut moved = values(&old);
        moved[entry] += by;
        tensor(moved, old.dims(), &(&old.device(), old.dtype()).into())
    });
}

/// E + E_reg of a problem, from the outputs of a run.
fn total_loss(problem: &Problem<Lstm>) -> f64 {
    let Problem { network, batch, objective } = problem;
    let mut runs = Vec::new();
    let mut eprop = problem.eprop(batch.steps());
    eprop.estimate_observed(network, batch, &mut |record| runs.push(record));
    let run = runs.pop().expect("one chunk");
    let outputs = values(&run.outputs.swap_dims(0, 1));
    let neurons: Vec<_> = run.layers.into_iter().map(|layer| layer.outputs.swap_dims(0, 1)).collect();
    task_loss(problem, &outputs) + objective.rate.map_or(0.0, |rate| rate_loss(problem, &rate, &neurons))
}

/// E of outputs [batch, time, outputs].
fn task_loss(problem: &Problem<Lstm>, outputs: &[f64]) -> f64 {
    let Problem { network, batch, objective } = problem;
    let weights = values(&batch.weights());
    let targets = values(batch.targets());
    let size = network.outputs();
    let steps = outputs.chunks(size).zip(targets.chunks(size)).zip(&weights);
    let sum: f64 = steps.map(|((y, target), weight)| weight * step_loss(objective.loss, y, target)).sum();
    match objective.reduction {
        Reduction::Sum => sum,
        Reduction::Mean => sum / weights.iter().sum::<f64>(),
    }
}

fn step_loss(loss: Loss, y: &[f64], target: &[f64]) -> f64 {
    let pairs = y.iter().zip(target);
    match loss {
        Loss::MeanSquaredError => pairs.map(|(y, target)| 0.5 * (y - target).powi(2)).sum(),
        Loss::SoftmaxCrossEntropy => {
            let normalizer = y.iter().map(|y| y.exp()).sum::<f64>().ln();
            pairs.map(|(y, target)| target * (normalizer - y)).sum()
        }
        Loss::SigmoidCrossEntropy => pairs.map(|(y, target)| y.exp().ln_1p() - target * y).sum(),
        Loss::ActorCritic => {
            let actions = y.len() - 1;
            let normalizer = y[..actions].iter().map(|y| y.exp()).sum::<f64>().ln();
            let of_actions = pairs.take(actions).map(|(y, target)| target * (normalizer - y));
            of_actions.sum::<f64>() - target[actions] * y[actions]
        }
    }
}

/// E_reg of each layer's z, [batch, time, neurons].
fn rate_loss(problem: &Problem<Lstm>, rate: &RateRegularization, layers: &[Tensor<3>]) -> f64 {
    let lengths = problem.batch.lengths();
    let (batch, steps) = (lengths.len(), problem.batch.steps());
    let penalty = |mean: f64| 0.5 * rate.strength * (mean - rate.target_per_step).powi(2);
    let mut loss = 0.0;
    for layer in layers {
        let neurons = layer.dims()[2];
        let z = values(layer);
        let sum_of_trial = |trial: usize, neuron: usize| -> f64 {
            (0..lengths[trial]).map(|step| z[(trial * steps + step) * neurons + neuron]).sum()
        };
        for neuron in 0..neurons {
            let sums = (0..batch).map(|trial| sum_of_trial(trial, neuron));
            loss += match rate.averaging {
                RateAveraging::Batch => penalty(sums.sum::<f64>() / lengths.iter().sum::<usize>() as f64),
                RateAveraging::PerTrial => {
                    let trials = sums.zip(&lengths).filter(|(_, length)| **length > 0);
                    let penalties: Vec<_> =
                        trials.map(|(sum, &length)| penalty(sum / length as f64)).collect();
                    penalties.iter().sum::<f64>() / penalties.len() as f64
                }
                RateAveraging::Running { .. } => unreachable!("not the gradient of a loss"),
            };
        }
    }
    loss
}
