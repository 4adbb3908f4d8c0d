//! A million steps of one stream, learnt from while it goes on: neither memory grows nor does a value cease to be finite.
//!
//! The allocator is the process's, so streams go on one after the other.

use std::ops::Range;

use burn::optim::AdamConfig;
use burn::tensor::{Device, Tensor, TensorData};
use burn_eprop::carried::Carried;
use burn_eprop::cell::{Alif, AlifConfig, LstmConfig};
use burn_eprop::estimator::{Eprop, Eprop3, mean_firing_rate};
use burn_eprop::loss::{RateAveraging, RateRegularization};
use burn_eprop::signal::Random;
use burn_eprop::{Batch, Cell, Loss, Network, NetworkConfig, Objective, OnlineEstimator, OptimizerHook};
use eprop_tests::findings::values;
use libtest_mimic::{Arguments, Failed, Trial};
use peak_alloc::PeakAlloc;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

const INPUTS: usize = 10;
const NEURONS: usize = 20;
const OUTPUTS: usize = 2;
/// Steps of a piece, after each of which the weights change.
const PIECE: usize = 50;
const PIECES: usize = 1_000_000 / PIECE;
/// Pieces after which all that is set up once is there.
const WARM_UP: usize = 100;

fn main() {
    let arguments = Arguments { test_threads: Some(1), ..Arguments::from_args() };
    // With several threads it is chance which of them need memory at the same time.
    rayon::ThreadPoolBuilder::new().num_threads(1).build_global().expect("nobody has used the pool yet");
    let trials = vec![
        Trial::test("ALIF by e-prop", || soak(alif(), Eprop::new(objective(), Random))),
        Trial::test("LSTM by e-prop", || {
            soak(LstmConfig::new(NEURONS).init(), Eprop::new(objective(), Random))
        }),
        Trial::test("ALIF by e-prop 3 in windows", || soak(alif(), Eprop3::new(objective(), 25))),
    ];
    libtest_mimic::run(&arguments, trials).exit();
}

fn alif() -> Alif {
    AlifConfig::mixed(NEURONS, NEURONS / 2, 0.1).init(&device())
}

fn device() -> Device {
    Device::flex().autodiff()
}

// ANCHOR: rates
/// With rates held by means that run.
fn objective() -> Objective {
    let rate = RateRegularization {
        strength: 1e-3,
        target_per_step: 0.05,
        averaging: RateAveraging::Running { tau_steps: 500.0 },
    };
    Objective::mean(Loss::MeanSquaredError).with_rate(rate)
}
// ANCHOR_END: rates

fn soak<C: Cell, E: OnlineEstimator<C>>(cell: C, estimator: E) -> Result<(), Failed>
where
    E::State: Carried,
{
    let network = NetworkConfig::new(INPUTS, OUTPUTS).init(vec![cell], &device());
    let hook = OptimizerHook::new(AdamConfig::new().init(), estimator).into_stream(&network, 1);
    let before = weights(&network);
    let mut stream = Stream { network, hook, world: World::new() };
    let [warm_up, half] = [WARM_UP, PIECES / 2 - WARM_UP];
    let first_loss = stream.go_on(0..warm_up)?.loss;
    let first = stream.go_on(warm_up..warm_up + half)?;
    let second = stream.go_on(warm_up + half..PIECES)?;
    println!("live bytes: at most {} in the first half, {} in the second", first.peak, second.peak);
    println!("loss: {first_loss:.4} at first, {:.4} in the second half", second.loss);
    if second.peak > first.peak {
        return Err(format!("{} bytes, and then {}", first.peak, second.peak).into());
    }
    let after = weights(&stream.network);
    assert!(before.iter().zip(&after).any(|(before, after)| (before - after).abs() > 0.1), "it must learn");
    assert!(second.loss < 0.8 * first_loss, "a loss of {first_loss} at first, {} in the end", second.loss);
    Ok(())
}

/// A stream that is learnt from.
struct Stream<C: Cell, E: OnlineEstimator<C>> {
    network: Network<C>,
    hook: OptimizerHook<E, E::State>,
    world: World,
}

/// What was found in many pieces.
struct Stretch {
    /// Most live bytes.
    peak: usize,
    /// The mean loss.
    loss: f64,
}

impl<C: Cell, E: OnlineEstimator<C>> Stream<C, E> {
    fn go_on(&mut self, pieces: Range<usize>) -> Result<Stretch, Failed> {
        ALLOCATOR.reset_peak_usage();
        let (mut loss, mut rate) = (0.0, 0.0);
        for piece in pieces.clone() {
            let (network, report) = self.hook.feed(1e-3, self.network.clone(), &self.world.piece());
            let report = report.ensure_finite().map_err(|error| format!("piece {piece}: {error}"))?;
            self.network = network;
            loss += report.loss / pieces.len() as f64;
            rate = mean_firing_rate(&report.firing_rates);
        }
        let peak = ALLOCATOR.peak_usage();
        assert!(weights(&self.network).iter().all(|weight| weight.is_finite()));
        assert!(C::AUTAPSES || (0.01..0.5).contains(&rate), "{rate} spikes a step");
        Ok(Stretch { peak, loss })
    }
}

/// Inputs that come and go, and slow means of two of them to be told.
struct World {
    rng: StdRng,
    active: [bool; INPUTS],
    means: [f32; OUTPUTS],
}

impl World {
    fn new() -> Self {
        Self { rng: StdRng::seed_from_u64(0), active: [false; INPUTS], means: [0.0; OUTPUTS] }
    }

    fn piece(&mut self) -> Batch {
        let (mut inputs, mut targets) = (Vec::new(), Vec::new());
        for _ in 0..PIECE {
            for active in &mut self.active {
                *active ^= self.rng.random_range(0..20) == 0;
            }
            for (mean, active) in self.means.iter_mut().zip(self.active) {
                *mean += 0.1 * (f32::from(u8::from(active)) - *mean);
            }
            inputs.extend(self.active.map(|active| f32::from(u8::from(active))));
            targets.extend(self.means);
        }
        let tensor = |values: Vec<f32>, features: usize| {
            Tensor::from_data(TensorData::new(values, [1, PIECE, features]), &Device::flex())
        };
        Batch::new(tensor(inputs, INPUTS), tensor(targets, OUTPUTS))
    }
}

fn weights<C: Cell>(network: &Network<C>) -> Vec<f64> {
    let layer = &network.layers[0];
    [&layer.w_in, &layer.w_rec, &network.readout.weight]
        .into_iter()
        .flat_map(|param| values(&param.val()))
        .collect()
}
