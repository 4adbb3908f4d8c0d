//! A spiking network learns to remember: which of two inputs was active at the start?
//!
//! Takes a few seconds and ends above 95 % correct; `--quick` stops after a few updates.

use burn::optim::{AdamConfig, ModuleOptimizer};
use burn::tensor::{Device, Tensor, TensorData};
use burn_eprop::cell::AlifConfig;
use burn_eprop::estimator::Eprop;
use burn_eprop::loss::RateRegularization;
use burn_eprop::signal::Random;
use burn_eprop::{Batch, Loss, NetworkConfig, Objective, OptimizerHook};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const BATCH: usize = 32;
const STEPS: usize = 150;
const CUE_STEPS: usize = 50;

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let device = Device::flex().autodiff();
    // 40 of the 80 neurons adapt: their thresholds remember what they have seen.
    let cell = AlifConfig::mixed(80, 40, 0.03).with_tau_adaptation_ms(300.0.into()).init(&device);
    let mut network = NetworkConfig::new(20, 2).with_seed(1).init(vec![cell], &device);

    let rate = RateRegularization::new(10.0, 20.0, 1.0);
    let objective = Objective::mean(Loss::SoftmaxCrossEntropy).with_rate(rate);
    let optimizer: ModuleOptimizer = AdamConfig::new().init();
    // Another estimator here, say `Bptt::new(objective)`, and nothing else changes.
    let eprop = Eprop::new(objective, Random).with_outputs(true);
    let mut hook = OptimizerHook::new(optimizer, eprop);

    let mut rng = StdRng::seed_from_u64(7);
    for iteration in 1..=if quick { 3 } else { 100 } {
        let (batch, cues) = recall(&mut rng, &device);
        let (updated, report) = hook.step(5e-3, network, &batch);
        network = updated;
        let outputs = report.outputs.expect("asked for above");
        let last = outputs.narrow(1, STEPS - 1, 1).argmax(2);
        let decisions = last.into_data().convert::<i64>().try_into_vec::<i64>().expect("converted");
        let correct = decisions.iter().zip(&cues).filter(|(decision, cue)| **decision == i64::from(**cue));
        let percent = 100 * correct.count() / BATCH;
        println!("{iteration:>4}  loss {:.3}  {percent:>3} % correct", report.loss);
    }
}

/// Inputs 0-9 spike during a cue of 0, inputs 10-19 during a cue of 1; the last 20 steps ask for it.
fn recall(rng: &mut StdRng, device: &Device) -> (Batch, Vec<bool>) {
    let mut inputs = vec![0.0f32; BATCH * STEPS * 20];
    let mut targets = vec![0.0f32; BATCH * STEPS * 2];
    let cues: Vec<bool> = (0..BATCH).map(|_| rng.random_bool(0.5)).collect();
    for (sequence, &cue) in cues.iter().enumerate() {
        for step in 0..STEPS {
            let row = sequence * STEPS + step;
            targets[row * 2 + usize::from(cue)] = 1.0;
            let first = row * 20 + 10 * usize::from(cue);
            for input in &mut inputs[first..first + 10] {
                *input = f32::from(step < CUE_STEPS && rng.random_bool(0.05));
            }
        }
    }
    let mask = (0..BATCH * STEPS).map(|row| f32::from(row % STEPS >= STEPS - 20)).collect::<Vec<_>>();
    let tensor =
        |values, features| Tensor::from_data(TensorData::new(values, [BATCH, STEPS, features]), device);
    let batch = Batch::new(tensor(inputs, 20), tensor(targets, 2));
    let mask = Tensor::from_data(TensorData::new(mask, [BATCH, STEPS]), device);
    (batch.with_mask(mask), cues)
}
