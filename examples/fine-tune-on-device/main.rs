//! A trained speech model gets used to a new speaker, on the device: by e-prop, forward only, with an update every ten frames of speech.
//!
//! `cargo run --release --example fine-tune-on-device -- --data FOLDER` learns spoken digits from all speakers of the recordings but one,
//! hears ten recordings of each digit from the one who was left out, one after the other, and is tested on the rest. Without a
//! folder synthetic voices stand in: 0.3 of them or less are understood before, 0.9 or more afterwards. Takes half a minute. `--quick` stops early.

mod args;
mod speakers;

use std::error::Error;
use std::process::ExitCode;

use burn::optim::AdamConfig;
use burn::tensor::Device;
use burn_eprop::cell::LstmConfig;
use burn_eprop::estimator::Eprop;
use burn_eprop::signal::Symmetric;
use burn_eprop::{Loss, NetworkConfig, Objective, OptimizerHook};
use clap::Parser;
use eprop_examples::utterances::{DIGITS, accuracy, batch};
use peak_alloc::PeakAlloc;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};

use args::Args;
use speakers::Speakers;

/// Frames between two updates on the device.
const PIECE: usize = 10;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

fn main() -> ExitCode {
    let Err(error) = run(&Args::parse()) else { return ExitCode::SUCCESS };
    eprintln!("error: {error}");
    ExitCode::from(2)
}

fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let Speakers { known, mut given, rest } = Speakers::new(args)?;
    let device = Device::flex().autodiff();
    let rng = &mut StdRng::seed_from_u64(args.seed);
    let config = NetworkConfig::new(known[0].frames.features, DIGITS).with_seed(args.seed);
    let mut network = config.init(vec![LstmConfig::new(100).init()], &device);

    let eprop = Eprop::new(Objective::mean(Loss::SoftmaxCrossEntropy), Symmetric);
    let mut hook = OptimizerHook::new(AdamConfig::new().init(), eprop.clone());
    for _ in 0..if args.quick { 30 } else { 400 } {
        let some: Vec<_> = known.sample(rng, 32).collect();
        let (updated, report) = hook.step(5e-3, network, &batch(&some, &device));
        network = updated;
        let _ = report.ensure_finite()?;
    }
    println!("before: {:.3} of {} recordings understood", accuracy(&network, &rest), rest.len());

    let mut hook = OptimizerHook::new(AdamConfig::new().init(), eprop).into_stream(&network, 1);
    let live = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    // ANCHOR: listen
    for _ in 0..3 {
        given.shuffle(rng);
        for utterance in &given {
            hook.restart(&network, 1);
            let heard = batch(&[utterance], &device);
            for start in (0..heard.steps()).step_by(PIECE) {
                let piece = heard.piece(start..(start + PIECE).min(heard.steps()));
                let (updated, report) = hook.feed(1e-3, network, &piece);
                network = updated;
                let _ = report.ensure_finite()?;
            }
        }
    }
    // ANCHOR_END: listen
    let megabytes = (ALLOCATOR.peak_usage() - live) as f64 / 1e6;
    println!("after hearing {} others three times: {:.3}", given.len(), accuracy(&network, &rest));
    println!("learning took at most {megabytes:.1} MB beside model and recordings");
    Ok(())
}
