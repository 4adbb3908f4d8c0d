//! Networks in both directions: gradients against autodiff through both at once.

use burn::module::{Module, Param};
use burn::optim::SgdConfig;
use burn::tensor::{Device, Tensor};
use burn_eprop::bidirectional::Bidirectional;
use burn_eprop::estimator::{Bptt, Eprop, Eprop3};
use burn_eprop::loss::RateRegularization;
use burn_eprop::network::GradientPaths;
use burn_eprop::signal::{Adaptive, Symmetric};
use burn_eprop::{Batch, Cell, Estimate, Loss, Network, Objective, OptimizerHook, RecurrentModel};
use eprop_tests::case::{Build, Case, Problem, float64};
use eprop_tests::findings::{assert_close, assert_same_gradients, gradients, values};
use eprop_tests::{cells, for_every_cell};

const OBJECTIVE: Objective = Objective {
    loss: Loss::SoftmaxCrossEntropy,
    reduction: burn_eprop::loss::Reduction::Mean,
    rate: None,
    voltage: None,
};

fn case(seed: u64) -> Case {
    Case { objective: OBJECTIVE, mask: true, unequal_lengths: true, batch: 4, ..Case::new(seed) }
}

/// Two networks with different weights, and what they are to learn together.
fn pair<C: Cell>(build: Build<C>) -> (Bidirectional<C>, Batch) {
    let problem = |seed| Problem::new(&case(seed), build, &float64(&Device::flex()));
    let (forward, backward) = (problem(31), problem(32));
    (Bidirectional::new(forward.network, backward.network), forward.batch)
}

/// Each sequence from its end, by hand.
fn reversed(tensor: &Tensor<3>, lengths: &[usize]) -> Tensor<3> {
    let [_, steps, _] = tensor.dims();
    let sequences = lengths.iter().enumerate().map(|(index, &length)| {
        let sequence = tensor.clone().narrow(0, index, 1);
        let order = (0..length).rev().chain(length..steps);
        Tensor::cat(order.map(|step| sequence.clone().narrow(1, step, 1)).collect(), 1)
    });
    Tensor::cat(sequences.collect(), 0)
}

/// The loss of both networks' sum, all by tensor operations.
fn loss<C: Cell>(network: &Bidirectional<C>, batch: &Batch) -> (Tensor<1>, Tensor<3>) {
    let lengths = batch.lengths();
    let forward = network.forward.forward(batch.inputs().clone());
    let backward = network.backward.forward(reversed(batch.inputs(), &lengths));
    let outputs = forward + reversed(&backward, &lengths);
    let weights = batch.weights().unsqueeze_dim::<3>(2);
    let logarithms = burn::tensor::activation::log_softmax(outputs.clone(), 2);
    let loss = (logarithms * batch.targets().clone() * weights).sum().neg();
    (loss.mul_scalar(1.0 / batch.loss_steps()), outputs)
}

fn assert_same<C: Cell>(
    what: &str,
    network: &Bidirectional<C>,
    found: &Estimate,
    expected: &Estimate,
    tolerance: f64,
) {
    for (direction, part) in [("forward", &network.forward), ("backward", &network.backward)] {
        let (found, expected) = (gradients(part, found), gradients(part, expected));
        assert_same_gradients(&format!("{what}, {direction}"), &found, &expected, tolerance);
    }
}

for_every_cell!(bptt_is_autodiff_through_both: lif, alif, lstm);

fn bptt_is_autodiff_through_both<C: Cell>(build: Build<C>) {
    let (network, batch) = pair(build);
    let network = network.train();
    let (loss, outputs) = loss(&network, &batch);
    let autodiff = Estimate {
        loss: 0.0,
        rate_loss: 0.0,
        voltage_loss: 0.0,
        outputs: None,
        firing_rates: Vec::new(),
        gradients: burn::optim::GradientsParams::from_grads(loss.clone().backward(), &network),
    };
    // As in a Burn project, where all is on the device with autodiff.
    let on_autodiff = batch.clone().to_device(&Device::flex().autodiff());
    let found = network.estimate(&mut Bptt::new(OBJECTIVE).with_outputs(true), &on_autodiff);
    assert_same("BPTT", &network, &found, &autodiff, 1e-10);
    assert_close("loss", &[found.loss], &values(&loss), 1e-12);
    assert_close("outputs", &values(&found.outputs.expect("both")), &values(&outputs), 1e-12);
    let evaluation = network.evaluate(&batch, &OBJECTIVE);
    assert_close("loss of an evaluation", &[evaluation.loss], &values(&loss), 1e-12);
    assert_eq!(evaluation.firing_rates.len(), 2);
}

for_every_cell!(every_estimator_learns_in_both_directions);

/// e-prop is local BPTT in each direction, and one window of e-prop 3 is BPTT, with rates regularised.
fn every_estimator_learns_in_both_directions<C: Cell>(build: Build<C>) {
    let (network, batch) = pair(build);
    let objective = OBJECTIVE.with_rate(RateRegularization::new(1.0, 20.0, 1.0));
    let eprop = network.estimate(&mut Eprop::new(objective, Symmetric).with_chunk(5), &batch);
    let mut local = Bptt::new(objective).with_paths(GradientPaths::LOCAL).with_kernels(false);
    let local = network.estimate(&mut local, &batch);
    assert_same("e-prop", &network, &eprop, &local, 1e-10);
    assert!((eprop.rate_loss - local.rate_loss).abs() < 1e-12 && eprop.rate_loss > 0.0);
    let window = network.estimate(&mut Eprop3::new(objective, batch.steps()), &batch);
    let bptt = network.estimate(&mut Bptt::new(objective), &batch);
    assert_same("e-prop 3", &network, &window, &bptt, 1e-10);
}

for_every_cell!(an_optimizer_updates_both_directions: lif, alif, lstm);

/// A step of gradient descent takes both networks by the gradients that the estimator finds for them, and feedback weights follow.
fn an_optimizer_updates_both_directions<C: Cell>(build: Build<C>) {
    let (network, batch) = pair(build);
    let network = network.train();
    let expected = network.estimate(&mut Eprop::new(OBJECTIVE, Adaptive::new(0.01).unwrap()), &batch);
    let eprop = Eprop::new(OBJECTIVE, Adaptive::new(0.01).unwrap());
    let mut hook = OptimizerHook::new(SgdConfig::new().init(), eprop);
    let (updated, report) = hook.step(0.1, network.clone(), &batch);
    let report = report.ensure_finite().expect("finite");
    assert_close("loss", &[report.loss], &[expected.loss], 1e-12);
    let mut squares = 0.0;
    for (before, after) in [(&network.forward, &updated.forward), (&network.backward, &updated.backward)] {
        let step = |before: &Param<Tensor<2>>, after: &Param<Tensor<2>>, keeps: f64| {
            let gradient = expected.gradients.get::<2>(before.id).expect("a gradient");
            let wanted = (before.val().inner() - gradient.clone().mul_scalar(0.1)).mul_scalar(keeps);
            assert_close("a weight", &values(&after.val().inner()), &values(&wanted), 1e-12);
            gradient.powi_scalar(2).sum().into_scalar::<f64>()
        };
        let layers = [&before.layers[0], &after.layers[0]];
        squares +=
            step(&layers[0].w_in, &layers[1].w_in, 1.0) + step(&layers[0].w_rec, &layers[1].w_rec, 1.0);
        squares += step(&before.readout.weight, &after.readout.weight, 0.99);
        let biases = [before.readout.bias.as_ref(), before.layers[0].bias.as_ref()];
        squares += biases
            .into_iter()
            .flatten()
            .map(|bias| {
                let gradient = expected.gradients.get::<1>(bias.id).expect("a gradient");
                gradient.powi_scalar(2).sum().into_scalar::<f64>()
            })
            .sum::<f64>();
        step(&before.feedback, &after.feedback, 0.99);
    }
    // Feedback weights are not in it.
    assert_close("norm", &[report.gradient_norm], &[squares.sqrt()], 1e-10);
}

#[test]
#[should_panic(expected = "a backward network of [4, 2] beside a forward one of [4, 3]")]
fn networks_of_different_tasks_do_not_go_together() {
    let network = |outputs| -> Network<_> {
        Problem::new(&Case { outputs, ..Case::new(1) }, cells::lif, &float64(&Device::flex())).network
    };
    let _ = Bidirectional::new(network(3), network(2));
}
