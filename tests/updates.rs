//! Updates by the hook: several batches together, clipped norms, and predictions before the truth is known.

use burn::optim::{ModuleOptimizer, SgdConfig};
use burn::tensor::{DType, Device, Tensor, TensorCreationOptions};
use burn_eprop::cell::{Alif, AlifConfig};
use burn_eprop::estimator::{Eprop, Eprop3};
use burn_eprop::loss::{Reduction, VoltageRegularization};
use burn_eprop::signal::{Adaptive, Random, Symmetric};
use burn_eprop::{
    Batch, GradientEstimator, Loss, Network, NetworkConfig, Objective, OnlineEstimator, OptimizerHook,
};
use eprop_tests::case::{Case, uniform};
use eprop_tests::findings::{assert_close, values};

const STEPS: usize = 30;

fn options() -> TensorCreationOptions {
    (&Device::flex().autodiff(), DType::F64).into()
}

fn network() -> Network<Alif> {
    let cells = vec![AlifConfig::mixed(6, 3, 0.1).with_threshold(0.4).init(options())];
    NetworkConfig::new(4, 2).with_seed(3).init(cells, options())
}

/// Four sequences of unequal lengths.
fn batch() -> Batch {
    let rng = &mut Case::new(1).rng(0);
    let plain = (&Device::flex(), DType::F64).into();
    let inputs = uniform([4, STEPS, 4], -0.5..1.5, rng, &plain);
    Batch::new(inputs, uniform([4, STEPS, 2], -1.0..1.0, rng, &plain)).with_lengths(vec![30, 9, 17, 4])
}

fn hook<E>(estimator: E) -> OptimizerHook<E> {
    let optimizer: ModuleOptimizer = SgdConfig::new().init();
    OptimizerHook::new(optimizer, estimator)
}

fn weights(network: &Network<Alif>) -> Vec<f64> {
    let layer = &network.layers[0];
    [&layer.w_in, &layer.w_rec, &network.readout.weight, &network.feedback]
        .into_iter()
        .flat_map(|weights| values(&weights.val()))
        .collect()
}

/// Two halves of a batch are the whole, for a mean over all steps and for a sum.
#[test]
fn batches_that_accumulate_are_one_batch() {
    let (inputs, targets) = (batch().inputs().clone(), batch().targets().clone());
    let half = |start: usize| {
        let part = |tensor: &Tensor<3>| tensor.clone().narrow(0, start, 2);
        Batch::new(part(&inputs), part(&targets)).with_lengths(batch().lengths()[start..start + 2].to_vec())
    };
    for reduction in [Reduction::Mean, Reduction::Sum] {
        let objective = Objective { reduction, ..Objective::mean(Loss::MeanSquaredError) };
        let eprop = || Eprop::new(objective, Adaptive::default());
        let (whole, _) = hook(eprop()).step(0.1, network(), &batch());

        let mut halves = hook(eprop()).with_accumulation(2);
        let (first, report) = halves.step(0.1, network(), &half(0));
        assert!(!report.updated);
        assert_eq!(weights(&first), weights(&network()), "the first half waits");
        let (both, report) = halves.step(0.1, first, &half(2));
        assert!(report.updated);
        assert_close("weights", &weights(&both), &weights(&whole), 1e-13);

        // What has been refused does not count.
        let torn = Batch::new(inputs.clone().mul_scalar(f64::NAN), targets.clone());
        let (same, _) = halves.step(0.1, both, &half(0));
        let (same, report) = halves.step(0.1, same, &torn);
        assert!(report.non_finite.is_some() && !report.updated);
        let (_, report) = halves.step(0.1, same, &half(2));
        assert!(report.updated);
    }
}

#[test]
fn pieces_that_accumulate_are_the_sequence() {
    let eprop = || Eprop::new(Objective::mean(Loss::MeanSquaredError), Random);
    let (whole, _) = hook(eprop()).step(0.1, network(), &batch());
    let mut stream = hook(eprop()).with_accumulation(3).into_stream(&network(), 4);
    let mut pieces = network();
    for time in [0..10, 10..20, 20..30] {
        pieces = stream.feed(0.1, pieces, &batch().piece(time)).0;
    }
    assert_close("weights", &weights(&pieces), &weights(&whole), 1e-13);
}

/// A clipped gradient has the norm that was asked for, and its direction; a shorter one is left alone.
#[test]
fn a_clipped_norm_keeps_the_direction() {
    let eprop = || Eprop::new(Objective::sum(Loss::MeanSquaredError), Symmetric);
    let before = weights(&network());
    let change = |hook: OptimizerHook<Eprop>| {
        let mut hook = hook;
        let (after, report) = hook.step(1.0, network(), &batch());
        let change = weights(&after).into_iter().zip(&before).map(|(after, before)| after - before);
        (change.collect::<Vec<_>>(), report.gradient_norm)
    };
    let (free, norm) = change(hook(eprop()));
    let (clipped, told) = change(hook(eprop()).with_norm_clipping(norm / 10.0));
    assert_eq!(told, norm, "the norm is the one before clipping");
    let tenth: Vec<f64> = free.iter().map(|change| change / 10.0).collect();
    assert_close("clipped", &clipped, &tenth, 1e-12);
    assert_eq!(change(hook(eprop()).with_norm_clipping(norm * 1.01)).0, free);
}

/// Predicted first or not, a piece gives the same outputs and teaches the same.
fn predicts<E: OnlineEstimator<Alif> + GradientEstimator<Alif> + Clone>(estimator: E)
where
    E::State: Clone,
{
    let [mut plain, mut predicting] = [(); 2].map(|()| hook(estimator.clone()).into_stream(&network(), 4));
    let (mut one, mut other) = (network(), network());
    for time in [0..1, 1..12, 12..30] {
        let piece = batch().piece(time);
        let prediction = predicting.predict(&other, piece.inputs().clone());
        assert_eq!(weights(&one), weights(&other));
        let outputs = values(prediction.outputs());
        let (updated, expected) = plain.feed(0.1, one, &piece);
        assert_close("outputs", &outputs, &values(&expected.outputs.expect("asked for")), 1e-12);
        one = updated;

        let predicted = prediction
            .into_piece(piece.targets().clone())
            .with_lengths(piece.lengths())
            .with_loss_steps(piece.loss_steps());
        let (updated, report) = predicting.feed(0.1, other, &predicted);
        assert_eq!((report.loss, report.gradient_norm), (expected.loss, expected.gradient_norm));
        other = updated;
    }
    assert_eq!(weights(&one), weights(&other));
    assert_ne!(weights(&one), weights(&network()));
}

#[test]
fn a_prediction_changes_nothing() {
    let objective = Objective::mean(Loss::MeanSquaredError);
    predicts(Eprop::new(objective, Random).with_outputs(true));
    predicts(Eprop::new(objective, Random).with_outputs(true).with_chunk(4));
    let voltage = objective.with_voltage(VoltageRegularization { strength: 1e-3 });
    predicts(Eprop::new(voltage, Random).with_outputs(true));
    predicts(Eprop3::new(objective, 5).with_outputs(true));
}

#[test]
#[should_panic(expected = "a piece predicted at step 0 of a stream that is at step 10")]
fn a_prediction_of_another_time_is_refused() {
    let eprop = Eprop::new(Objective::mean(Loss::MeanSquaredError), Random);
    let mut stream = hook(eprop).into_stream(&network(), 4);
    let piece = batch().piece(0..10);
    let late = stream.predict(&network(), piece.inputs().clone()).into_piece(piece.targets().clone());
    let (network, _) = stream.feed(0.1, network(), &piece);
    let _ = stream.feed(0.1, network, &late);
}
