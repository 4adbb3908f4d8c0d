//! A Burn project: an LSTM learns through time by autodiff.

use burn::module::Module;
use burn::nn::{Linear, LinearConfig, Lstm, LstmConfig};
use burn::optim::{AdamConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Tensor};
use eprop_examples::tones::{PERIODS, Tones};

use crate::{BATCH, LEARNING_RATE, Outcome, UNITS};

#[derive(Module, Debug)]
struct Model {
    lstm: Lstm,
    readout: Linear,
}

impl Model {
    fn forward(&self, inputs: Tensor<3>) -> Tensor<3> {
        self.readout.forward(self.lstm.forward(inputs, None).0)
    }
}

/// Trains the network.
pub(crate) fn train(updates: usize, seed: u64) -> Outcome {
    let device = Device::flex().autodiff();
    device.seed(seed);
    let lstm = LstmConfig::new(1, UNITS, true).init(&device);
    let mut model = Model { lstm, readout: LinearConfig::new(UNITS, PERIODS.len()).init(&device) };
    let mut optimizer: ModuleOptimizer = AdamConfig::new().init();

    let mut tones = Tones::new(seed, &device);
    let mut losses = Vec::new();
    for _ in 0..updates {
        let trials = tones.draw(BATCH);
        let log_shares = log_softmax(model.forward(trials.inputs), 2);
        let steps = trials.mask.clone().sum();
        let loss = (log_shares * trials.targets * trials.mask.unsqueeze_dim(2)).sum().neg() / steps;
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        model = optimizer.step(LEARNING_RATE, model, gradients);
        losses.push(loss.into_scalar());
    }

    let trials = tones.draw(512);
    let accuracy = trials.accuracy(model.valid().forward(trials.inputs.clone().inner()));
    Outcome { losses, accuracy }
}
