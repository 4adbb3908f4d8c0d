//! Batches: their pieces, weights and lengths.

use burn::tensor::{Device, Int, Tensor, TensorCreationOptions, TensorData};
use burn_eprop::cell::LifConfig;
use burn_eprop::estimator::evaluate;
use burn_eprop::{Batch, Loss, NetworkConfig, Objective};
use eprop_tests::case::{float64, tensor};
use eprop_tests::findings::{assert_close, values};

const STEPS: usize = 6;

fn options() -> TensorCreationOptions {
    float64(&Device::flex())
}

/// Two sequences of six steps, with one input and one output.
fn batch() -> Batch {
    Batch::new(Tensor::ones([2, STEPS, 1], options()), Tensor::ones([2, STEPS, 1], options()))
}

#[test]
fn a_mask_counts_within_the_lengths_alone() {
    let mask = [0.5, 1.0, 0.0, 2.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0];
    let batch = batch().with_mask(tensor(mask.to_vec(), [2, STEPS], &options())).with_lengths(vec![4, 0]);
    assert_eq!(values(&batch.weights()), [0.5, 1.0, 0.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    assert_eq!(batch.loss_steps(), 3.5);

    let piece = batch.piece(1..4);
    assert_eq!(piece.lengths(), [3, 0]);
    assert_eq!(values(&piece.weights()), [1.0, 0.0, 2.0, 0.0, 0.0, 0.0]);
    assert_eq!(piece.loss_steps(), 3.5, "a piece's mean is over the whole batch");
    assert_eq!(piece.with_loss_steps(2.0).loss_steps(), 2.0);
}

/// What counts is counted anew when it changes.
#[test]
fn lengths_given_after_the_count_are_counted() {
    let batch = batch();
    assert_eq!(batch.loss_steps(), 12.0);
    assert_eq!(batch.with_lengths(vec![1, 2]).loss_steps(), 3.0);
}

/// A mean loss of the network's outputs, which are 0, from targets of 1.
#[test]
fn a_mean_is_over_the_steps_that_count() {
    let cell = LifConfig::new(2).init(options());
    let network = NetworkConfig::new(1, 1).init(vec![cell], options());
    let silent = Batch::new(Tensor::zeros([2, STEPS, 1], options()), Tensor::ones([2, STEPS, 1], options()));
    let mean = Objective::mean(Loss::MeanSquaredError);
    for batch in [silent.clone(), silent.clone().with_lengths(vec![3, 0])] {
        assert_close("mean", &[evaluate(&network, &batch, &mean).loss], &[0.5], 1e-15);
    }
    let divided = silent.with_loss_steps(6.0);
    assert_close("mean", &[evaluate(&network, &divided, &mean).loss], &[1.0], 1e-15);
}

#[test]
#[should_panic(expected = "piece 4..7 of a batch of 6 steps")]
fn a_piece_beyond_the_end_is_refused() {
    batch().piece(4..7);
}

#[test]
#[should_panic(expected = "piece 4..4 of a batch of 6 steps")]
fn an_empty_piece_is_refused() {
    batch().piece(4..4);
}

#[test]
#[should_panic(expected = "a mean loss cannot be divided by NaN steps")]
fn a_mean_over_nan_steps_is_refused() {
    let _ = batch().with_loss_steps(f64::NAN);
}

#[test]
#[should_panic(expected = "inputs [2, 0, 1] without a step")]
fn a_network_refuses_a_sequence_without_steps() {
    let network = NetworkConfig::new(1, 1).init(vec![LifConfig::new(2).init(options())], options());
    network.forward(Tensor::zeros([2, 0, 1], options()));
}

/// float32 inputs into a float64 network.
#[test]
fn a_network_takes_inputs_of_another_type() {
    let network = NetworkConfig::new(1, 1).init(vec![LifConfig::new(2).init(options())], options());
    let inputs = Tensor::<3>::ones([1, 3, 1], &Device::flex());
    assert_eq!(network.forward(inputs).dtype(), burn::tensor::DType::F64);
}

fn ids<const D: usize>(values: [i64; 12], shape: [usize; D]) -> Tensor<D, Int> {
    let count = shape.iter().product();
    Tensor::from_data(TensorData::new(values[..count].to_vec(), shape), &Device::flex())
}

#[test]
fn class_ids_are_targets_at_every_step() {
    let inputs = batch().inputs().clone();
    let of_sequences = Batch::classes(inputs.clone(), ids([2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], [2]), 3);
    let of_steps = Batch::step_classes(inputs, ids([2, 2, 2, 2, 2, 2, 0, 0, 0, 0, 0, 0], [2, STEPS]), 3);
    let expected = [[0.0, 0.0, 1.0].repeat(STEPS), [1.0, 0.0, 0.0].repeat(STEPS)].concat();
    assert_eq!(values(of_sequences.targets()), expected);
    assert_eq!(values(of_steps.targets()), expected);
    assert_eq!(of_sequences.loss_steps(), 12.0);
}

#[test]
#[should_panic(expected = "class id 3 where there are 3 classes")]
fn a_class_that_does_not_exist_is_refused() {
    let _ = Batch::classes(batch().inputs().clone(), ids([0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], [2]), 3);
}

#[test]
#[should_panic(expected = "class id -1 where there are 3 classes")]
fn a_negative_class_is_refused() {
    let _ = Batch::classes(batch().inputs().clone(), ids([0, -1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], [2]), 3);
}

/// In whatever order that is asked for, of the whole, of pieces, and backwards.
#[test]
fn the_last_step_is_the_one_before_the_end() {
    let expected = [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0];
    let lengths = vec![4, 6];
    let before = batch().at_last_step().with_lengths(lengths.clone());
    let after = batch().with_lengths(lengths).at_last_step();
    for batch in [&before, &after] {
        assert_eq!(values(&batch.weights()), expected);
        assert_eq!(batch.loss_steps(), 2.0);
    }
    let pieces = [0..2, 2..5, 5..6].map(|time| before.piece(time));
    assert_eq!(
        pieces.each_ref().map(|piece| values(&piece.weights())),
        [vec![0.0; 4], vec![0.0, 1.0, 0.0, 0.0, 0.0, 0.0], vec![0.0, 1.0],]
    );
    assert!(pieces.iter().all(|piece| piece.loss_steps() == 2.0), "the mean is over the whole batch");
    assert_eq!(values(&before.reversed().weights())[..7], [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]);
    assert_eq!(before.reversed().loss_steps(), 2.0);
    let nothing = batch().at_last_step().with_lengths(vec![0, 6]);
    assert_eq!(nothing.loss_steps(), 1.0);
    let masked = before.with_mask(tensor(vec![0.5; 12], [2, STEPS], &options()));
    assert_eq!(masked.loss_steps(), 1.0);
}

/// A divisor that was given stays, whatever is said of the steps before or after.
#[test]
fn the_order_of_mask_lengths_and_divisor_does_not_matter() {
    let mask = || tensor(vec![1.0; 12], [2, STEPS], &options());
    let batches = [
        batch().with_loss_steps(7.0).with_mask(mask()).with_lengths(vec![1, 2]),
        batch().with_mask(mask()).with_lengths(vec![1, 2]).with_loss_steps(7.0),
    ];
    assert_eq!(batches.map(|batch| batch.loss_steps()), [7.0; 2]);
}
