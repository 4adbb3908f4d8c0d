//! A small network of ALIF neurons, and hooks that learn from whole sequences or from a stream.

use burn::lr_scheduler::exponential::ExponentialLrSchedulerConfig;
use burn::lr_scheduler::module_lr_scheduler::ModuleLrScheduler;
use burn::optim::{AdamConfig, ModuleOptimizer};
use burn::tensor::{Device, Tensor, TensorData};
use burn_eprop::cell::{Alif, AlifConfig};
use burn_eprop::estimator::{Eprop, EpropState};
use burn_eprop::loss::{RateAveraging, RateRegularization};
use burn_eprop::{Batch, Loss, Network, NetworkConfig, Objective, OptimizerHook};

use crate::findings::values;
use crate::smoothed::Smoothed;

/// Number of sequences.
pub const BATCH: usize = 2;
/// Steps of each.
pub const STEPS: usize = 60;

/// The device of all that is learnt.
pub fn device() -> Device {
    Device::flex().autodiff()
}

/// Two layers of six neurons, half of which adapt; 4 inputs, 2 outputs.
pub fn network() -> Network<Alif> {
    let cells = vec![AlifConfig::mixed(6, 3, 0.1).init(&device()); 2];
    NetworkConfig::new(4, 2).with_seed(3).init(cells, &device())
}

/// Adam, and e-prop with a signal that remembers and rates that are held.
pub fn hook() -> OptimizerHook<Eprop> {
    let optimizer: ModuleOptimizer = AdamConfig::new().init();
    let rate = RateRegularization::new(1.0, 20.0, 1.0).with_averaging(RateAveraging::PerTrial);
    let objective = Objective::sum(Loss::MeanSquaredError).with_rate(rate);
    OptimizerHook::new(optimizer, Eprop::new(objective, Smoothed::default()).with_chunk(7))
}

/// Inputs that make the network spike; `value` replaces the first of them.
pub fn batch(value: Option<f32>) -> Batch {
    let mut inputs: Vec<f32> = (0..BATCH * STEPS * 4).map(|i| ((i * 37) % 11) as f32 * 0.2).collect();
    inputs[0] = value.unwrap_or(inputs[0]);
    let targets: Vec<f32> = (0..BATCH * STEPS * 2).map(|i| (i as f32 * 0.1).sin()).collect();
    let tensor = |values: Vec<f32>, features: usize| {
        Tensor::from_data(TensorData::new(values, [BATCH, STEPS, features]), &Device::flex())
    };
    let teaching = (0..BATCH * STEPS * 3).map(|i| ((i * 17) % 5) as f32 * 0.3).collect();
    Batch::new(tensor(inputs, 4), tensor(targets, 2)).with_teaching(tensor(teaching, 3))
}

/// A learning rate that falls.
///
/// # Panics
///
/// Never: it is a valid one.
pub fn schedule() -> ModuleLrScheduler {
    ExponentialLrSchedulerConfig::new(1e-2, 0.9).init().expect("a schedule")
}

/// A stream that has learnt from so many pieces of 10 steps, its network and its schedule.
///
/// # Panics
///
/// If there was nothing to learn.
pub fn learnt(pieces: usize) -> (OptimizerHook<Eprop, EpropState>, Network<Alif>, ModuleLrScheduler) {
    let (mut network, mut scheduler) = (network(), schedule());
    let mut stream = hook().into_stream(&network, BATCH);
    for piece in 0..pieces {
        let piece = batch(None).piece(10 * piece..10 * piece + 10);
        let (updated, report) = stream.feed(scheduler.step(), network, &piece);
        assert!(report.gradient_norm > 0.0);
        network = updated;
    }
    (stream, network, scheduler)
}

/// The weights of the upper layer, the readout and, if there is one, the synthetic gradient.
pub fn weights(network: &Network<Alif>) -> Vec<f64> {
    let layer = &network.layers[1];
    let module = network.synthetic_gradient.iter().flat_map(|module| values(&module.output.weight.val()));
    let mut weights = values(&layer.w_in.val());
    weights.extend(values(&layer.w_rec.val()));
    weights.extend(values(&network.readout.weight.val()));
    weights.extend(module);
    weights
}
