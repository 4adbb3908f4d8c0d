//! Learning while a sequence goes on: an LSTM predicts ten steps ahead an oscillation whose frequency drifts, and its weights change
//! every 20 steps of one endless stream.
//!
//! Beside it runs a copy that stopped to learn after a quarter of the time. Where the drift leads beyond what it has heard, its error rises
//! twentyfold, while that of the learner falls all along. The live bytes, which the allocator counts, stay the same, as does what lives at
//! most (after the first steps, which set things up). Takes a few seconds. `--quick` stops early.

use burn::module::Module;
use burn::optim::{AdamConfig, ModuleOptimizer};
use burn::tensor::{Device, Tensor, TensorData};
use burn_eprop::cell::LstmConfig;
use burn_eprop::estimator::Eprop;
use burn_eprop::signal::Symmetric;
use burn_eprop::{Batch, Loss, NetworkConfig, Objective, OptimizerHook};
use peak_alloc::PeakAlloc;

const PIECE: usize = 20;
const AHEAD: usize = 10;

/// Counts live bytes.
#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let device = Device::flex().autodiff();
    let cells = vec![LstmConfig::new(32).init()];
    let mut network = NetworkConfig::new(1, 1).with_seed(1).init(cells, &device);

    // ANCHOR: hook
    let optimizer: ModuleOptimizer = AdamConfig::new().init();
    let eprop = Eprop::new(Objective::mean(Loss::MeanSquaredError), Symmetric).with_chunk(PIECE);
    let mut hook = OptimizerHook::new(optimizer, eprop).into_stream(&network, 1);
    // ANCHOR_END: hook

    let pieces = if quick { 40 } else { 2000 };
    let mut frozen = (network.valid(), network.valid().initial_state(1));
    let [mut learning_error, mut frozen_error] = [0.0; 2];
    println!(
        "{:>7}{:>22}{:>12}{:>14}{:>14}",
        "step", "mean squared error", "frozen", "live bytes", "at most"
    );
    for piece in 1..=pieces {
        let start = (piece - 1) * PIECE;
        let tensor = |ahead: usize| {
            let values: Vec<f32> = (start..start + PIECE).map(|step| oscillation(step + ahead)).collect();
            Tensor::<3>::from_data(TensorData::new(values, [1, PIECE, 1]), &device)
        };
        // ANCHOR: feed
        let batch = Batch::new(tensor(0), tensor(AHEAD));
        let (updated, report) = hook.feed(2e-3, network, &batch);
        network = updated;
        learning_error += 2.0 * report.loss;
        // ANCHOR_END: feed

        if piece <= pieces / 4 {
            frozen.0 = network.valid();
        }
        let (outputs, state) = frozen.0.forward_from(tensor(0).without_autodiff(), frozen.1);
        frozen.1 = state;
        frozen_error += (outputs - tensor(AHEAD).without_autodiff()).square().mean().into_scalar::<f64>();

        let tenth = pieces / 10;
        if piece % tenth == 0 {
            let [learning, frozen] = [learning_error, frozen_error].map(|error| error / tenth as f64);
            let (live, most) = (ALLOCATOR.current_usage(), ALLOCATOR.peak_usage());
            println!("{:>7}{learning:>22.4}{frozen:>12.4}{live:>14}{most:>14}", piece * PIECE);
            [learning_error, frozen_error] = [0.0; 2];
            ALLOCATOR.reset_peak_usage();
        }
    }
}

// ANCHOR: oscillation
/// Two tones; the frequency of one drifts between 0.14 and 0.20 radians a step, and back after 31,416 steps.
fn oscillation(step: usize) -> f32 {
    let t = step as f64;
    let phase = t / 6.0 - 0.03 * 5000.0 * (t / 5000.0).cos();
    (0.6 * phase.sin() + 0.4 * (t / 17.0).sin()) as f32
}
// ANCHOR_END: oscillation
