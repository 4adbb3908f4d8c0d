//! What e-prop leaves out of the gradient: its direction beside BPTT's, over the strength of recurrent weights.

use anyhow::Result;
use burn::module::Module;
use burn::tensor::{DType, Device, Distribution, Tensor, TensorCreationOptions};
use burn_eprop::alignment::alignment;
use burn_eprop::cell::{AlifConfig, LifConfig, LstmConfig};
use burn_eprop::estimator::{Bptt, Eprop};
use burn_eprop::init::Initializer;
use burn_eprop::signal::Symmetric;
use burn_eprop::{Batch, Cell, GradientEstimator, Loss, NetworkConfig, Objective};
use eprop_tasks::plot::{Lines, Panel, Series, figure};

use crate::book::{Book, Numbers};

/// Gains of the recurrent weights.
const GAINS: [f64; 8] = [0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0];
/// Networks for each gain.
const SEEDS: u64 = 10;

/// A curve for each kind of cell: the cosine between the two gradients of the input weights.
pub(crate) fn draw(book: &Book) -> Result<()> {
    let options = TensorCreationOptions::from((&Device::flex().autodiff(), DType::F64));
    let lif = |seed| Lineup { seed, cell: LifConfig::new(40).with_threshold(0.3).init(options.clone()) };
    let alif = |seed| {
        let config = AlifConfig::mixed(40, 20, 0.03).with_threshold(0.3).with_tau_adaptation_ms(200.0.into());
        Lineup { seed, cell: config.init(options.clone()) }
    };
    let lstm = |seed| Lineup { seed, cell: LstmConfig::new(40).init() };
    let curves = [
        ("LIF", curve(|seed, gain| lif(seed).cosine(gain, &options))),
        ("ALIF", curve(|seed, gain| alif(seed).cosine(gain, &options))),
        ("LSTM", curve(|seed, gain| lstm(seed).cosine(gain, &options))),
    ];
    let series = curves.iter().map(|(name, curve)| {
        let part = |place: usize| curve.iter().map(|found| found[place]).collect::<Vec<_>>();
        Series::new(*name, &GAINS, &part(1)).with_band(&part(0), &part(2))
    });
    let lines =
        Lines::new("Cosine of e-prop's and BPTT's gradient of the input weights", "cosine", series.collect());
    let title = "What e-prop leaves out grows with the recurrent weights";
    let label = "gain g of the recurrent weights, which are drawn from N(0, g²/N)";
    figure(book.figure("gradient"), title, label, &[Panel::Lines(lines)])?;

    let mut numbers = Numbers::default();
    for (name, curve) in &curves {
        for (gain, found) in GAINS.iter().zip(curve) {
            let value = format!("{:.3} ({:.3} to {:.3})", found[1], found[0], found[2]);
            numbers.add(&format!("{}-{}", name.to_lowercase(), 100.0 * gain), value);
        }
    }
    book.write_numbers("gradient", &numbers)
}

/// The lower quartile, the median and the upper quartile over seeds, at each gain.
fn curve(cosine: impl Fn(u64, f64) -> f64) -> Vec<[f64; 3]> {
    let at = |gain: &f64| {
        let mut found: Vec<f64> = (0..SEEDS).map(|seed| cosine(seed, *gain)).collect();
        found.sort_by(f64::total_cmp);
        [1, 2, 3].map(|quarter| found[(found.len() - 1) * quarter / 4])
    };
    GAINS.iter().map(at).collect()
}

/// A network that gets the same batch whatever its recurrent weights.
struct Lineup<C: Cell> {
    seed: u64,
    cell: C,
}

impl<C: Cell> Lineup<C> {
    // ANCHOR: cosine
    /// The cosine between e-prop's gradient of the input weights, with symmetric feedback, and BPTT's.
    fn cosine(self, gain: f64, options: &TensorCreationOptions) -> f64 {
        let config = NetworkConfig::new(20, 2)
            .with_seed(self.seed)
            .with_input_initializer(Initializer::FanIn { gain: 1.5 })
            .with_recurrent_initializer(Initializer::FanIn { gain });
        let network = config.init(vec![self.cell], options.clone());
        let batch = batch(self.seed, options);

        let objective = Objective::sum(Loss::MeanSquaredError);
        let eprop = Eprop::new(objective, Symmetric).estimate(&network.valid(), &batch).gradients;
        let bptt = Bptt::new(objective).estimate(&network.valid(), &batch).gradients;
        let found = alignment(&network, &eprop, &bptt);
        found.iter().find(|found| found.parameter == "layers.0.w_in").expect("it has a gradient").cosine
    }
    // ANCHOR_END: cosine
}

/// 8 sequences of 100 steps: noise in, noise as the target.
fn batch(seed: u64, options: &TensorCreationOptions) -> Batch {
    let device = Device::flex();
    device.seed(seed);
    let noise = |features| {
        let values = Tensor::<3>::random([8, 100, features], Distribution::Normal(0.0, 1.0), &device);
        Tensor::from_data(values.into_data().convert::<f64>(), options.clone()).inner()
    };
    Batch::new(noise(20), noise(2))
}
