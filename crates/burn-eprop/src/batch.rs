//! A batch of sequences with its targets.

use std::ops::Range;
use std::sync::OnceLock;

use burn::tensor::{DType, Device, Int, Tensor, TensorCreationOptions, TensorData};

use crate::error::NonFinite;
use crate::kernel;

/// Steps that are looked through at a time.
const STRETCH: usize = 256;

/// Sequences to learn from: inputs, targets and which steps count.
#[derive(Debug, Clone)]
pub struct Batch {
    inputs: Tensor<3>,
    targets: Tensor<3>,
    added: Option<Tensor<3>>,
    teaching: Option<Tensor<3>>,
    mask: Option<Tensor<2>>,
    lengths: Option<Vec<usize>>,
    loss_steps: OnceLock<f64>,
    /// Which sequences go on behind the last step, where that is known.
    follows: Option<Vec<bool>>,
}

/// A range of time steps of a batch, time-major, without autodiff and of the network's type.
#[derive(Debug, Clone)]
pub(crate) struct BatchChunk {
    /// [steps, batch, inputs]
    pub(crate) inputs: Tensor<3>,
    /// [steps, batch, outputs]
    pub(crate) targets: Tensor<3>,
    /// What others add to the outputs, [steps, batch, outputs].
    pub(crate) added: Option<Tensor<3>>,
    /// What a learned signal sees of the targets, [steps, batch, values].
    pub(crate) teaching: Option<Tensor<3>>,
    /// The mask, and 0 behind a sequence's end, [steps, batch, 1].
    pub(crate) mask: Tensor<3>,
    /// Weight of each step in the loss, the mask divided by the number of steps under a mean, [steps, batch, 1].
    pub(crate) weight: Tensor<3>,
    /// 1 within a sequence and 0 behind its end, [steps, batch, 1]; `None` where all have full length.
    pub(crate) valid: Option<Tensor<3>>,
}

impl BatchChunk {
    /// A loss's outputs, targets and weights, for outputs [steps, batch, outputs] of a network.
    pub(crate) fn judged(&self, outputs: &Tensor<3>) -> [Tensor<3>; 3] {
        let outputs = match &self.added {
            Some(added) => outputs.clone() + added.clone(),
            None => outputs.clone(),
        };
        [outputs, self.targets.clone(), self.weight.clone()]
    }
}

impl Batch {
    /// Inputs [batch, time, inputs] and targets [batch, time, outputs]. For cross-entropies the
    /// targets are probabilities (one-hot classes, or 0 and 1).
    ///
    /// # Panics
    ///
    /// If the batches or times differ, or a dimension is 0.
    pub fn new(inputs: Tensor<3>, targets: Tensor<3>) -> Self {
        let (of_inputs, of_targets) = (inputs.dims(), targets.dims());
        assert_eq!(
            of_inputs[..2],
            of_targets[..2],
            "inputs {of_inputs:?} and targets {of_targets:?} differ in batch or time"
        );
        assert!(
            of_inputs.iter().chain(&of_targets).all(|&size| size > 0),
            "empty batch: inputs {of_inputs:?}, targets {of_targets:?}"
        );
        Self {
            inputs,
            targets,
            added: None,
            teaching: None,
            mask: None,
            lengths: None,
            loss_steps: OnceLock::new(),
            follows: None,
        }
    }

    /// Says what others add to the outputs y before the loss compares them with the targets, [batch, time, outputs]: another network,
    /// say, that shares the task. It is a constant of the loss; an estimate holds the outputs without it.
    ///
    /// # Panics
    ///
    /// If the shape is not that of the targets.
    pub fn with_added_outputs(self, added: Tensor<3>) -> Self {
        let (given, expected) = (added.dims(), self.targets.dims());
        assert_eq!(
            given, expected,
            "added outputs {given:?} for targets {expected:?}, [batch, time, outputs]"
        );
        Self { added: Some(added), ..self }
    }

    /// Adds to what others [add](Self::with_added_outputs).
    pub(crate) fn adding(self, outputs: Tensor<3>) -> Self {
        let added = match &self.added {
            Some(added) => added.clone() + outputs,
            None => outputs,
        };
        self.with_added_outputs(added)
    }

    /// The same sequences from their ends to their starts; what is behind an end stays there.
    pub fn reversed(&self) -> Self {
        let flip = |tensor: &Tensor<3>| self.flip(tensor.clone());
        let mask = self.mask.clone().map(|mask| self.flip(mask.unsqueeze_dim(2)).squeeze_dim(2));
        Self {
            inputs: flip(&self.inputs),
            targets: flip(&self.targets),
            added: self.added.as_ref().map(flip),
            teaching: self.teaching.as_ref().map(flip),
            mask,
            ..self.clone()
        }
    }

    /// The steps [batch, time, feature] of each sequence in the opposite order.
    pub(crate) fn flip(&self, tensor: Tensor<3>) -> Tensor<3> {
        let Some(lengths) = &self.lengths else {
            return tensor.flip([1]);
        };
        let [_, steps, features] = tensor.dims();
        let place = |length: usize| {
            (0..steps).map(move |step| if step < length { length - 1 - step } else { step } as i64)
        };
        let places: Vec<i64> = lengths.iter().flat_map(|&length| place(length)).collect();
        let places = TensorData::new(places, [lengths.len(), steps, 1]);
        let places = Tensor::<3, Int>::from_data(places, &tensor.device()).repeat_dim(2, features);
        tensor.gather(1, places)
    }

    /// Says what a [learned signal](crate::signal::Learned) sees of the targets, [batch, time, values]: a code of them in
    /// spikes, say.
    ///
    /// # Panics
    ///
    /// If batch or time are not those of the inputs, or there is no value.
    pub fn with_teaching(self, teaching: Tensor<3>) -> Self {
        let given = teaching.dims();
        let expected = [self.size(), self.steps(), given[2].max(1)];
        assert_eq!(given, expected, "teaching {given:?} where [batch, time, values] {expected:?} is needed");
        Self { teaching: Some(teaching), ..self }
    }

    /// Weighs each step's loss by `mask` [batch, time], usually 0 or 1.
    ///
    /// # Panics
    ///
    /// If the shape is not that of the batch.
    pub fn with_mask(self, mask: Tensor<2>) -> Self {
        let expected = [self.size(), self.steps()];
        assert_eq!(mask.dims(), expected, "mask {:?} of a batch of [batch, time] {expected:?}", mask.dims());
        Self { mask: Some(mask), loss_steps: OnceLock::new(), ..self }
    }

    /// Sequences of unequal lengths, padded at their end: steps from `lengths[b]` on count neither in
    /// the loss nor in firing rates.
    ///
    /// # Panics
    ///
    /// If there is not one length for each sequence, or one exceeds the number of steps.
    pub fn with_lengths(self, lengths: Vec<usize>) -> Self {
        assert_eq!(lengths.len(), self.size(), "{} lengths for a batch of {}", lengths.len(), self.size());
        let longest = lengths.iter().max().copied().unwrap_or(0);
        assert!(longest <= self.steps(), "length {longest} of a batch of {} steps", self.steps());
        Self { lengths: Some(lengths), loss_steps: OnceLock::new(), ..self }
    }

    /// Says by how many steps a mean loss is divided, instead of by those that count in this batch. It comes after
    /// [`with_mask`](Self::with_mask) and [`with_lengths`](Self::with_lengths), which count the steps anew.
    ///
    /// # Panics
    ///
    /// If `steps` is not a finite number greater than 0.
    pub fn with_loss_steps(self, steps: f64) -> Self {
        assert!(steps.is_finite() && steps > 0.0, "a mean loss cannot be divided by {steps} steps");
        Self { loss_steps: steps.into(), ..self }
    }

    /// Says that the sequences end with this batch, where it is the last piece of a stream: no
    /// [synthetic gradient](crate::synthetic_gradient) stands behind it. A sequence whose [length](Self::with_lengths) is less than the
    /// batch's has ended anyway, and the last [`piece`](Self::piece) of a batch knows by itself. State and traces go on all the same.
    pub fn with_end(self) -> Self {
        Self { follows: Some(vec![false; self.size()]), ..self }
    }

    /// Which of the sequences go on behind step `end`. Those that are fed piece by piece do, unless it is known
    /// otherwise.
    pub(crate) fn follows(&self, end: usize) -> Vec<bool> {
        let at_end = |index: usize| self.follows.as_ref().is_none_or(|follows| follows[index]);
        let goes_on =
            |(index, length)| end < length || (end == length && length == self.steps() && at_end(index));
        self.lengths().into_iter().enumerate().map(goes_on).collect()
    }

    /// Number of sequences.
    pub fn size(&self) -> usize {
        self.inputs.dims()[0]
    }

    /// Number of time steps.
    pub fn steps(&self) -> usize {
        self.inputs.dims()[1]
    }

    /// Inputs, [batch, time, inputs].
    pub fn inputs(&self) -> &Tensor<3> {
        &self.inputs
    }

    /// Targets, [batch, time, outputs].
    pub fn targets(&self) -> &Tensor<3> {
        &self.targets
    }

    /// What a learned signal sees of the targets, [batch, time, values], where there is something.
    pub fn teaching(&self) -> Option<&Tensor<3>> {
        self.teaching.as_ref()
    }

    /// The lengths of the sequences.
    pub fn lengths(&self) -> Vec<usize> {
        self.lengths.clone().unwrap_or_else(|| vec![self.steps(); self.size()])
    }

    /// A part of the sequences, to stream them in pieces. It remembers the number of steps by which
    /// the whole batch's mean loss is divided, and whether anything follows.
    ///
    /// # Panics
    ///
    /// If `time` is empty or does not lie within the batch's steps.
    pub fn piece(&self, time: Range<usize>) -> Self {
        let steps = self.steps();
        assert!(time.start < time.end && time.end <= steps, "piece {time:?} of a batch of {steps} steps");
        let within = |length: usize| length.clamp(time.start, time.end) - time.start;
        let whole = if self.follows.is_some() { self.clone() } else { self.clone().with_end() };
        Self {
            inputs: self.inputs.clone().slice_dim(1, time.clone()),
            targets: self.targets.clone().slice_dim(1, time.clone()),
            added: self.added.clone().map(|added| added.slice_dim(1, time.clone())),
            teaching: self.teaching.clone().map(|teaching| teaching.slice_dim(1, time.clone())),
            mask: self.mask.clone().map(|mask| mask.slice_dim(1, time.clone())),
            lengths: self
                .lengths
                .as_ref()
                .map(|lengths| lengths.iter().map(|&length| within(length)).collect()),
            loss_steps: self.loss_steps().into(),
            follows: Some(whole.follows(time.end)),
        }
    }

    /// Some of the sequences. It remembers the number of steps by which the whole batch's mean loss is divided.
    pub(crate) fn sequences(&self, sequences: Range<usize>) -> Self {
        if sequences == (0..self.size()) {
            return self.clone();
        }
        let some = |tensor: &Tensor<3>| tensor.clone().slice_dim(0, sequences.clone());
        Self {
            inputs: some(&self.inputs),
            targets: some(&self.targets),
            added: self.added.as_ref().map(some),
            teaching: self.teaching.as_ref().map(some),
            mask: self.mask.clone().map(|mask| mask.slice_dim(0, sequences.clone())),
            lengths: self.lengths.as_ref().map(|lengths| lengths[sequences.clone()].to_vec()),
            loss_steps: self.loss_steps().into(),
            follows: self.follows.as_ref().map(|follows| follows[sequences].to_vec()),
        }
    }

    /// The batch on another device.
    pub fn to_device(self, device: &Device) -> Self {
        Self {
            inputs: self.inputs.to_device(device),
            targets: self.targets.to_device(device),
            added: self.added.map(|added| added.to_device(device)),
            teaching: self.teaching.map(|teaching| teaching.to_device(device)),
            mask: self.mask.map(|mask| mask.to_device(device)),
            ..self
        }
    }

    /// Weight of each step in a summed loss, [batch, time]: the mask, and 0 behind a sequence's end.
    pub fn weights(&self) -> Tensor<2> {
        self.weights_in(0..self.steps())
    }

    /// By how many steps a mean loss is divided: the sum of all weights, over batch and time.
    pub fn loss_steps(&self) -> f64 {
        let count = || match &self.mask {
            None => self.lengths().iter().sum::<usize>() as f64,
            Some(_) => self
                .stretches()
                .map(|time| self.weights_in(time).cast(DType::F32).sum().into_scalar::<f64>())
                .sum(),
        };
        *self.loss_steps.get_or_init(count)
    }

    /// Checks inputs, targets, teaching and mask for NaN and infinity.
    pub fn check_finite(&self) -> Result<(), NonFinite> {
        check_finite("inputs", &self.inputs)?;
        check_finite("targets", &self.targets)?;
        self.added.as_ref().map_or(Ok(()), |added| check_finite("added outputs", added))?;
        self.teaching.as_ref().map_or(Ok(()), |teaching| check_finite("teaching", teaching))?;
        self.mask.as_ref().map_or(Ok(()), |mask| check_finite("mask", mask))
    }

    /// The time in stretches, so that what goes through it takes memory constant in its length.
    fn stretches(&self) -> impl Iterator<Item = Range<usize>> {
        let steps = self.steps();
        (0..steps).step_by(STRETCH).map(move |start| start..(start + STRETCH).min(steps))
    }

    /// [`weights`](Self::weights) of some steps.
    fn weights_in(&self, time: Range<usize>) -> Tensor<2> {
        let mask = self.mask.clone().map(|mask| mask.slice_dim(1, time.clone()));
        match (mask, self.valid_in(time.clone())) {
            (Some(mask), Some(valid)) => {
                let valid = valid.cast(mask.dtype());
                mask * valid
            }
            (Some(weights), None) | (None, Some(weights)) => weights,
            (None, None) => Tensor::ones([self.size(), time.len()], self.options()),
        }
    }

    /// 1 within a sequence, 0 behind its end, at some steps, [batch, time].
    fn valid_in(&self, time: Range<usize>) -> Option<Tensor<2>> {
        let lengths = self.lengths.as_ref()?;
        let shape = [self.size(), time.len()];
        let values =
            lengths.iter().flat_map(|&length| time.clone().map(move |step| f64::from(step < length)));
        let data = TensorData::new(values.collect::<Vec<_>>(), shape);
        Some(Tensor::from_data(data, self.options()))
    }

    fn options(&self) -> TensorCreationOptions {
        (&self.inputs.device(), self.inputs.dtype()).into()
    }

    /// The steps of `time`, with weights divided by `loss_steps`.
    pub(crate) fn chunk(&self, time: Range<usize>, loss_steps: f64, dtype: DType) -> BatchChunk {
        let piece = |tensor: Tensor<3>| {
            let piece = tensor.without_autodiff().slice_dim(1, time.clone());
            piece.swap_dims(0, 1).cast(dtype)
        };
        let column = |weights: Tensor<2>| weights.without_autodiff().transpose().unsqueeze_dim(2).cast(dtype);
        let mask = column(self.weights_in(time.clone()));
        BatchChunk {
            inputs: piece(self.inputs.clone()),
            targets: piece(self.targets.clone()),
            added: self.added.clone().map(piece),
            teaching: self.teaching.clone().map(piece),
            weight: mask.clone().mul_scalar(1.0 / loss_steps),
            mask,
            valid: self.valid_in(time.clone()).map(column),
        }
    }
}

/// `Ok` where all values are finite.
pub(crate) fn check_finite<const D: usize>(what: &str, tensor: &Tensor<D>) -> Result<(), NonFinite> {
    let tensor = tensor.clone().without_autodiff();
    let finite = if kernel::is_on_cpu(&tensor) {
        kernel::is_finite(tensor)
    } else {
        // A stretch at a time, so that this takes memory constant in the number of steps.
        let stretches = tensor.split(STRETCH, 1.min(D - 1));
        stretches.into_iter().all(|stretch| stretch.is_finite().all().into_scalar::<bool>())
    };
    finite.then_some(()).ok_or_else(|| NonFinite { what: what.into() })
}
