//! The same training on another device: what changes is the line that opens it.
//!
//! `cargo run --release --example device-switch -- flex ndarray` trains on the devices that are named, one after the other, and prints their
//! losses side by side; without names on all that are compiled in. For GPUs build it with `--features eprop-examples/wgpu`. Takes seconds;
//! losses differ by rounding alone (below 1e-4). `--quick` stops after a few updates.

use std::time::Instant;

use burn::optim::AdamConfig;
use burn::tensor::Device;
use burn_eprop::cell::AlifConfig;
use burn_eprop::estimator::Eprop;
use burn_eprop::signal::Random;
use burn_eprop::{Loss, NetworkConfig, Objective, OptimizerHook};
use clap::{Parser, ValueEnum};
use eprop_examples::evidence::Evidence;

#[derive(Parser)]
struct Args {
    /// Devices to train on.
    devices: Vec<DeviceName>,
    /// Stops after a few updates.
    #[arg(long)]
    quick: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum DeviceName {
    Flex,
    #[cfg(feature = "ndarray")]
    Ndarray,
    #[cfg(feature = "wgpu")]
    Wgpu,
}

// ANCHOR: open
impl DeviceName {
    fn open(self) -> Device {
        match self {
            Self::Flex => Device::flex(),
            #[cfg(feature = "ndarray")]
            #[allow(deprecated)] // Burn favours Flex.
            Self::Ndarray => Device::ndarray(),
            #[cfg(feature = "wgpu")]
            Self::Wgpu => Device::wgpu(burn::tensor::DeviceKind::DefaultDevice),
        }
    }
}
// ANCHOR_END: open

fn main() {
    let args = Args::parse();
    let names = if args.devices.is_empty() { DeviceName::value_variants() } else { &args.devices };
    let updates = if args.quick { 3 } else { 60 };
    let losses: Vec<_> = names.iter().map(|name| train(*name, updates)).collect();
    let header: String = names.iter().map(|name| format!("{:>12}", format!("{name:?}"))).collect();
    println!("\nupdate{header}{:>12}", "difference");
    for update in (0..updates).step_by(updates.div_ceil(10)) {
        let difference = losses.iter().map(|of| (of[update] - losses[0][update]).abs()).fold(0.0, f64::max);
        let row: String = losses.iter().map(|of| format!("{:>12.6}", of[update])).collect();
        println!("{:>6}{row}{difference:>12.0e}", update + 1);
    }
}

/// The loss at each update.
fn train(name: DeviceName, updates: usize) -> Vec<f64> {
    // ANCHOR: train
    let device = name.open().autodiff(); // all that a device changes
    let mut evidence = Evidence::new(3, 25, 1, &device);
    let cell = AlifConfig::mixed(50, 25, 0.03).init(&device);
    let mut network = NetworkConfig::new(evidence.inputs(), 2).with_seed(1).init(vec![cell], &device);
    let eprop = Eprop::new(Objective::mean(Loss::SoftmaxCrossEntropy), Random);
    let mut hook = OptimizerHook::new(AdamConfig::new().init(), eprop);
    let (start, mut losses) = (Instant::now(), Vec::new());
    for _ in 0..updates {
        let (updated, report) = hook.step(1e-3, network, &evidence.draw(32).batch());
        network = updated;
        losses.push(report.ensure_finite().expect("a finite step").loss);
    }
    // ANCHOR_END: train
    println!("{name:?}: {:.2} s", start.elapsed().as_secs_f64());
    losses
}
