//! The optimizer hook: what it refuses.

use burn::optim::AdamConfig;
use burn::tensor::{Device, Tensor};
use burn_eprop::estimator::Eprop;
use burn_eprop::signal::Symmetric;
use burn_eprop::{Batch, Loss, Objective, OptimizerHook};
use eprop_tests::streams::{BATCH, STEPS, batch, hook, network, weights};

#[test]
fn a_value_that_is_not_finite_changes_nothing() {
    let (network, mut hook) = (network(), hook());
    let before = weights(&network);
    let (network, report) = hook.step(1e-2, network, &batch(Some(f32::NAN)));
    assert_eq!(report.non_finite.as_ref().map(|error| error.what.as_str()), Some("inputs"));
    assert_eq!(weights(&network), before);
    // Finite inputs whose loss overflows float32.
    let (network, report) = hook.step(1e-2, network, &batch(Some(3e38)));
    assert_eq!(report.loss.is_finite(), report.non_finite.is_none());
    assert!(weights(&network).iter().all(|weight| weight.is_finite()));
    let (network, report) = hook.step(1e-2, network, &batch(None));
    assert!(report.ensure_finite().is_ok());
    assert_ne!(weights(&network), before);
}

#[test]
fn a_refused_piece_leaves_the_stream_where_it_was() {
    let network = network();
    let mut stream = hook().into_stream(&network, BATCH);
    let mut reference = hook().into_stream(&network, BATCH);
    let (network, _) = stream.feed(1e-2, network, &batch(None).piece(0..20));
    let refused = Batch::new(batch(Some(f32::INFINITY)).inputs().clone(), batch(None).targets().clone());
    let (network, report) = stream.feed(1e-2, network, &refused.piece(0..20));
    assert!(report.non_finite.is_some());
    let (network, _) = stream.feed(1e-2, network, &batch(None).piece(20..40));

    let start = eprop_tests::streams::network();
    let (start, _) = reference.feed(1e-2, start, &batch(None).piece(0..20));
    let (start, _) = reference.feed(1e-2, start, &batch(None).piece(20..40));
    assert_eq!(weights(&network), weights(&start));
}

/// Learning from whole sequences in between leaves the stream alone.
#[test]
fn a_step_between_two_pieces_changes_the_weights_alone() {
    let network = network();
    let mut stream = hook().into_stream(&network, BATCH);
    let (network, _) = stream.feed(0.0, network, &batch(None).piece(0..20));
    let mut other = stream.clone();
    let (network, _) = other.step(0.0, network, &batch(None));
    let (_, straight) = stream.feed(0.0, network.clone(), &batch(None).piece(20..40));
    let (_, interrupted) = other.feed(0.0, network, &batch(None).piece(20..40));
    assert_eq!(straight.gradient_norm, interrupted.gradient_norm);
}

#[test]
#[should_panic(
    expected = "state of layers [[2, 6], [2, 6]], [batch, neurons], where [[1, 6], [1, 6]] is needed"
)]
fn a_piece_of_another_batch_is_refused() {
    let network = network();
    let mut stream = hook().into_stream(&network, BATCH);
    let piece = batch(None);
    let narrower =
        Batch::new(piece.inputs().clone().narrow(0, 0, 1), piece.targets().clone().narrow(0, 0, 1));
    let _ = stream.feed(1e-2, network, &narrower);
}

/// Squares of such gradients overflow float32.
#[test]
fn the_norm_of_large_gradients_is_finite() {
    let network = network();
    let large = Tensor::<3>::full([BATCH, STEPS, 2], 1e30, &Device::flex());
    let weak = Objective::mean(Loss::MeanSquaredError);
    let mut hook = OptimizerHook::new(AdamConfig::new().init(), Eprop::new(weak, Symmetric));
    let masked = Batch::new(batch(None).inputs().clone(), large.mul_scalar(1e-8)).with_loss_steps(1e-3);
    let (_, report) = hook.step(1e-2, network, &masked);
    assert!(report.gradient_norm > 1e20 && report.gradient_norm.is_finite(), "{report:?}");
}
