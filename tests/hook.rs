//! The optimizer hook: what it refuses, and what it saves.

use burn::optim::{AdamConfig, ModuleOptimizer};
use burn::tensor::{Device, Tensor, TensorData};
use burn_eprop::carried::Carried;
use burn_eprop::cell::{Alif, AlifConfig};
use burn_eprop::constant::Constant;
use burn_eprop::estimator::{BoundaryLearning, Eprop, Eprop3};
use burn_eprop::hook::HookRecordError;
use burn_eprop::loss::{RateAveraging, RateRegularization};
use burn_eprop::readout::LeakyReadoutConfig;
use burn_eprop::signal::{Learned, Symmetric};
use burn_eprop::synthetic_gradient::SyntheticGradientConfig;
use burn_eprop::{Batch, Loss, Network, NetworkConfig, Objective, OnlineEstimator, OptimizerHook};
use eprop_tests::findings::values;
use eprop_tests::smoothed::Smoothed;

const BATCH: usize = 2;
const STEPS: usize = 60;

fn device() -> Device {
    Device::flex().autodiff()
}

fn network() -> Network<Alif> {
    let cells = vec![AlifConfig::mixed(6, 3, 0.1).init(&device()); 2];
    NetworkConfig::new(4, 2).with_seed(3).init(cells, &device())
}

fn hook() -> OptimizerHook<Eprop> {
    let optimizer: ModuleOptimizer = AdamConfig::new().init();
    let rate = RateRegularization::new(1.0, 20.0, 1.0).with_averaging(RateAveraging::PerTrial);
    let objective = Objective::sum(Loss::MeanSquaredError).with_rate(rate);
    OptimizerHook::new(optimizer, Eprop::new(objective, Smoothed::default()).with_chunk(7))
}

/// Inputs that make the network spike; `value` replaces the first of them.
fn batch(value: Option<f32>) -> Batch {
    let mut inputs: Vec<f32> = (0..BATCH * STEPS * 4).map(|i| ((i * 37) % 11) as f32 * 0.2).collect();
    inputs[0] = value.unwrap_or(inputs[0]);
    let targets: Vec<f32> = (0..BATCH * STEPS * 2).map(|i| (i as f32 * 0.1).sin()).collect();
    let tensor = |values: Vec<f32>, features: usize| {
        Tensor::from_data(TensorData::new(values, [BATCH, STEPS, features]), &Device::flex())
    };
    let teaching = (0..BATCH * STEPS * 3).map(|i| ((i * 17) % 5) as f32 * 0.3).collect();
    Batch::new(tensor(inputs, 4), tensor(targets, 2)).with_teaching(tensor(teaching, 3))
}

fn weights(network: &Network<Alif>) -> Vec<f64> {
    let layer = &network.layers[1];
    let module = network.synthetic_gradient.iter().flat_map(|module| values(&module.output.weight.val()));
    let mut weights = values(&layer.w_in.val());
    weights.extend(values(&layer.w_rec.val()));
    weights.extend(values(&network.readout.weight.val()));
    weights.extend(module);
    weights
}

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

    let start = self::network();
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

/// A saved stream goes on as if it had not stopped.
fn goes_on<E: OnlineEstimator<Alif>>(hook: fn() -> OptimizerHook<E>, network: Network<Alif>)
where
    E::State: Carried,
{
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("stream.bpk");
    // ANCHOR: resume
    let mut stream = hook().into_stream(&network, BATCH);
    let (network, report) = stream.feed(1e-2, network, &batch(None).piece(0..25));
    assert!(report.gradient_norm > 0.0);
    let (network, _) = stream.feed(1e-2, network, &batch(None).piece(25..28));
    stream.save(&path).expect("saved");

    let resumed = hook().into_stream(&network, BATCH).load(&path, &network);
    let mut resumed = resumed.expect("loaded");
    let (straight, first) = stream.feed(1e-2, network.clone(), &batch(None).piece(28..60));
    let (again, second) = resumed.feed(1e-2, network.clone(), &batch(None).piece(28..60));
    assert_eq!(first.loss, second.loss);
    assert_eq!(weights(&straight), weights(&again));
    // ANCHOR_END: resume

    // Without the record the same piece teaches something else.
    let mut fresh = hook().into_stream(&network, BATCH);
    let (fresh, _) = fresh.feed(1e-2, network, &batch(None).piece(28..60));
    assert_ne!(weights(&straight), weights(&fresh));
}

#[test]
fn a_saved_stream_of_eprop_goes_on() {
    goes_on(hook, network());
}

/// The error module's state is the stream's.
#[test]
fn a_saved_stream_of_a_learned_signal_goes_on() {
    let learned = || {
        let cells = vec![AlifConfig::mixed(5, 3, 0.1).init(&device())];
        let module = NetworkConfig::new(3 + 12 + 4, 12).with_seed(5).init(cells, &device());
        let optimizer: ModuleOptimizer = AdamConfig::new().init();
        let objective = Objective::sum(Loss::MeanSquaredError);
        OptimizerHook::new(optimizer, Eprop::new(objective, Learned::new(&module)).with_chunk(7))
    };
    goes_on(learned, network());
}

/// e-prop 3 in short windows, with BP(λ).
fn windows() -> OptimizerHook<Eprop3> {
    let optimizer: ModuleOptimizer = AdamConfig::new().init();
    let learning = BoundaryLearning { lambda: 0.7, discount: 0.9 };
    let eprop3 = Eprop3::new(Objective::sum(Loss::MeanSquaredError), 3).with_boundary_learning(learning);
    OptimizerHook::new(optimizer, eprop3)
}

/// With factors of traces, and with what BP(λ) remembers.
#[test]
fn a_saved_stream_of_windows_goes_on() {
    goes_on(windows, network().with_synthetic_gradient(&SyntheticGradientConfig::new()));
}

#[test]
fn a_foreign_record_of_windows_is_refused_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("stream.bpk");
    let module = SyntheticGradientConfig::new();
    let network = network().with_synthetic_gradient(&module);
    let mut stream = windows().into_stream(&network, BATCH);
    let _ = stream.feed(1e-2, network, &batch(None).piece(0..25));
    stream.save(&path).expect("saved");
    let part = |network: &Network<Alif>| match windows()
        .into_stream(network, BATCH)
        .load(&path, network)
        .map(|_| ())
    {
        Err(HookRecordError::Mismatch { part, .. }) => part,
        other => panic!("{other:?}"),
    };
    // Neurons of the same number, but each with a time constant of its own.
    let taus = Constant::PerNeuron((0..6).map(|neuron| 10.0 + f64::from(neuron)).collect());
    let cell = AlifConfig::mixed(6, 3, 0.1).with_tau_membrane_ms(taus).init(&device());
    let other = NetworkConfig::new(4, 2).with_seed(3).init(vec![cell; 2], &device());
    assert_eq!(part(&other.with_synthetic_gradient(&module)), "traces.0.components");
    // Another module.
    let other = self::network().with_synthetic_gradient(&module.with_hidden(vec![5]));
    assert!(part(&other).starts_with("boundary."), "{}", part(&other));
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

#[test]
fn a_torn_or_foreign_record_is_refused_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hook.bpk");
    let network = network();
    let mut plain = hook();
    let (network, _) = plain.step(1e-2, network, &batch(None));
    plain.save(&path).expect("saved");

    // A record without a stream does not fit a stream.
    let foreign = hook().into_stream(&network, BATCH).load(&path, &network).map(|_| ());
    assert!(matches!(foreign, Err(HookRecordError::Mismatch { .. })), "{foreign:?}");

    // Nor does a stream of another batch, of other layers, of another readout or of another signal.
    let mut stream = hook().into_stream(&network, BATCH);
    let (network, _) = stream.feed(1e-2, network, &batch(None).piece(0..25));
    let streamed = folder.path().join("stream.bpk");
    stream.save(&streamed).expect("saved");
    let refuse = |hook: OptimizerHook<Eprop>, network: &Network<Alif>, batch: usize, named: &str| {
        let error = hook.into_stream(network, batch).load(&streamed, network).map(|_| ());
        match error {
            Err(HookRecordError::Mismatch { part, .. }) => assert!(part.starts_with(named), "{part}"),
            other => panic!("{other:?}, where `{named}` should not fit"),
        }
    };
    refuse(hook(), &network, BATCH + 1, "network.layers.0");
    let one_layer = |readout: LeakyReadoutConfig| {
        let config = NetworkConfig::new(4, 2).with_readout(Some(readout));
        config.init(vec![AlifConfig::mixed(6, 3, 0.1).init(&device())], &device())
    };
    refuse(hook(), &one_layer(LeakyReadoutConfig::new()), BATCH, "readout.neurons");
    let slower =
        NetworkConfig::new(4, 2).with_readout(Some(LeakyReadoutConfig::new().with_tau_ms(Some(5.0))));
    let slower = slower.init(vec![AlifConfig::mixed(6, 3, 0.1).init(&device()); 2], &device());
    refuse(hook(), &slower, BATCH, "traces.0.kappa");
    let optimizer: ModuleOptimizer = AdamConfig::new().init();
    let objective = Objective::sum(Loss::MeanSquaredError);
    refuse(OptimizerHook::new(optimizer, Eprop::new(objective, Symmetric)), &network, BATCH, "");

    let bytes = std::fs::read(&path).expect("saved");
    for length in [0, 10, bytes.len() / 2, bytes.len() - 1] {
        std::fs::write(&path, &bytes[..length]).expect("written");
        let error = hook().load(&path, &network).map(|_| ()).expect_err("torn");
        assert!(error.to_string().contains("hook.bpk"), "{error}");
    }
    let missing = hook().load(folder.path().join("none.bpk"), &network).map(|_| ());
    assert!(missing.is_err());
}
