//! The same project: its LSTM learns by e-prop.

use burn::module::Module;
use burn::optim::{AdamConfig, ModuleOptimizer};
use burn::tensor::Device;
use burn_eprop::cell::LstmConfig;
use burn_eprop::estimator::Eprop;
use burn_eprop::signal::Symmetric;
use burn_eprop::{Batch, Loss, NetworkConfig, Objective, OptimizerHook};
use eprop_examples::tones::{PERIODS, Tones};

use crate::{BATCH, LEARNING_RATE, Outcome, UNITS};

/// Trains the network.
pub(crate) fn train(updates: usize, seed: u64) -> Outcome {
    let device = Device::flex().autodiff();
    let lstm = LstmConfig::new(UNITS).with_forget_bias(0.0).init(); // as Burn's LSTM; the default is 1
    let mut model = NetworkConfig::new(1, PERIODS.len()).with_seed(seed).init(vec![lstm], &device);
    let optimizer: ModuleOptimizer = AdamConfig::new().init();
    let mut hook =
        OptimizerHook::new(optimizer, Eprop::new(Objective::mean(Loss::SoftmaxCrossEntropy), Symmetric));

    let mut tones = Tones::new(seed, &device);
    let mut losses = Vec::new();
    for _ in 0..updates {
        let trials = tones.draw(BATCH);
        let batch = Batch::new(trials.inputs, trials.targets).with_mask(trials.mask);
        let (updated, report) = hook.step(LEARNING_RATE, model, &batch);
        model = updated;
        losses.push(report.ensure_finite().expect("a finite step").loss);
    }

    let trials = tones.draw(512);
    let accuracy = trials.accuracy(model.valid().forward(trials.inputs.clone().inner()));
    Outcome { losses, accuracy }
}
