//! Spoken digits side by side.

use burn::tensor::{Device, Tensor, TensorData};
use burn_eprop::estimator::evaluate;
use burn_eprop::{Batch, Cell, Loss, Network, Objective};
use eprop_tasks::spoken_digits::Utterance;

/// Number of classes.
pub const DIGITS: usize = 10;

/// Utterances padded to the longest; each step is to tell the digit.
pub fn batch(utterances: &[&Utterance], device: &Device) -> Batch {
    let lengths: Vec<usize> = utterances.iter().map(|utterance| utterance.frames.len()).collect();
    let (count, longest) = (utterances.len(), lengths.iter().copied().max().unwrap_or(0));
    let features = utterances[0].frames.features;
    let mut inputs = Vec::with_capacity(count * longest * features);
    let mut targets = Vec::with_capacity(count * longest * DIGITS);
    for (index, utterance) in utterances.iter().enumerate() {
        inputs.extend(&utterance.frames.data);
        inputs.resize((index + 1) * longest * features, 0.0);
        let mut target = [0.0f32; DIGITS];
        target[usize::from(utterance.digit)] = 1.0;
        targets.extend(target.repeat(longest));
    }
    let tensor =
        |values, features| Tensor::from_data(TensorData::new(values, [count, longest, features]), device);
    Batch::new(tensor(inputs, features), tensor(targets, DIGITS)).with_lengths(lengths)
}

/// The share of utterances that a network understands.
pub fn accuracy<C: Cell>(network: &Network<C>, utterances: &[Utterance]) -> f64 {
    let right = utterances.chunks(100).map(|some| {
        let batch = batch(&some.iter().collect::<Vec<_>>(), &Device::flex());
        let outputs = evaluate(network, &batch, &Objective::mean(Loss::SoftmaxCrossEntropy)).outputs;
        crate::accuracy(outputs, batch.targets().clone(), batch.weights()) * some.len() as f64
    });
    right.sum::<f64>() / utterances.len() as f64
}
