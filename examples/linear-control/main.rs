//! The control that every result on spoken digits must clear: a linear model of single frames.
//!
//! `cargo run --release --example linear-control -- FOLDER` trains softmax regression on the frames of the training
//! recordings (10 passes, Adam) and decides by the mean of its softmax over a recording's frames, as `eprop train
//! spoken-digits` does. Takes about 10 s. `--quick` does one pass; without a folder it has nothing to do.

use burn::module::Module;
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::{Linear, LinearConfig};
use burn::optim::{AdamConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::activation::softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};
use eprop_tasks::features::ZScore;
use eprop_tasks::spoken_digits::{Split, SpokenDigits, SpokenDigitsConfig, Utterance};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

const BATCH: usize = 32;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let quick = arguments.iter().any(|argument| argument == "--quick");
    arguments.retain(|argument| argument != "--quick");
    let Some(folder) = arguments.first().cloned().or_else(|| std::env::var("EPROP_FSDD").ok()) else {
        println!("no folder of recordings given");
        return Ok(());
    };
    let config = SpokenDigitsConfig::default();
    let digits = SpokenDigits::open(folder)?;
    let mut training = digits.load(Split::Train, &config)?;
    let mut test = digits.load(Split::Test, &config)?;
    let z_score = ZScore::fit(training.iter().map(|utterance| &utterance.frames));
    training.iter_mut().chain(&mut test).for_each(|utterance| z_score.apply(&mut utterance.frames));

    let device = Device::flex().autodiff();
    device.seed(1);
    let mut model = LinearConfig::new(config.features.feature_count(), 10).init(&device);
    let mut optimizer: ModuleOptimizer = AdamConfig::new().init();
    let mut rng = StdRng::seed_from_u64(1);
    for _ in 0..if quick { 1 } else { 10 } {
        training.shuffle(&mut rng);
        for batch in training.chunks(BATCH) {
            model = step(model, &mut optimizer, batch, &device);
        }
    }
    let model = model.valid();
    let correct = test.iter().filter(|utterance| decide(&model, utterance) == usize::from(utterance.digit));
    println!("test accuracy {:.4} of {} recordings", correct.count() as f64 / test.len() as f64, test.len());
    Ok(())
}

/// One update on all frames of some recordings.
fn step(model: Linear, optimizer: &mut ModuleOptimizer, batch: &[Utterance], device: &Device) -> Linear {
    let classes: Vec<i32> =
        batch.iter().flat_map(|u| std::iter::repeat_n(i32::from(u.digit), u.frames.len())).collect();
    let frames = Tensor::cat(batch.iter().map(|utterance| tensor(utterance, device)).collect(), 0);
    let classes = Tensor::<1, Int>::from_data(TensorData::from(classes.as_slice()), device);
    let loss = CrossEntropyLossConfig::new().init(device).forward(model.forward(frames), classes);
    let gradients = GradientsParams::from_grads(loss.backward(), &model);
    optimizer.step(5e-3, model, gradients)
}

fn decide(model: &Linear, utterance: &Utterance) -> usize {
    let outputs = model.forward(tensor(utterance, &Device::flex()));
    let shares = softmax(outputs, 1).sum_dim(0).into_data().convert::<f32>();
    let shares = shares.try_into_vec::<f32>().expect("converted to f32");
    (0..10).max_by(|&a, &b| shares[a].total_cmp(&shares[b])).expect("ten digits")
}

/// The frames of a recording, [time, feature].
fn tensor(utterance: &Utterance, device: &Device) -> Tensor<2> {
    let shape = [utterance.frames.len(), utterance.frames.features];
    Tensor::from_data(TensorData::new(utterance.frames.data.clone(), shape), device)
}
