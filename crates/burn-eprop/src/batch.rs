//! A batch of sequences with its targets.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use burn::tensor::{DType, Device, Int, Tensor, TensorCreationOptions, TensorData};

use crate::error::NonFinite;
use crate::estimator::Simulation;
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
    counted: CountedSteps,
    /// By how many steps a mean loss is divided, where that was given.
    given_loss_steps: Option<f64>,
    /// How many steps count, once they have been counted.
    counted_steps: OnceLock<f64>,
    /// Which sequences go on behind the last step, where that is known.
    follows: Option<Vec<bool>>,
    /// A stream's run through these inputs, where there has been one.
    simulation: Option<Arc<Simulation>>,
}

/// Which steps of a sequence count in the loss.
#[derive(Debug, Clone)]
enum CountedSteps {
    All,
    /// The last one before a sequence's end.
    Last,
    /// One of each sequence at most.
    One(Vec<Option<usize>>),
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
    #[track_caller]
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
            counted: CountedSteps::All,
            given_loss_steps: None,
            counted_steps: OnceLock::new(),
            follows: None,
            simulation: None,
        }
    }

    /// Inputs [batch, time, inputs] and the class of each sequence, `[batch]`, one of `classes`. The class is the target at
    /// every step; [`at_last_step`](Self::at_last_step) has it count at the end alone.
    ///
    /// ```
    /// use burn::tensor::{Device, Int, Tensor};
    /// use burn_eprop::Batch;
    ///
    /// let device = Device::flex();
    /// let inputs = Tensor::zeros([2, 50, 3], &device);
    /// let ids = Tensor::<1, Int>::from_data([0, 4], &device);
    /// let batch = Batch::classes(inputs, ids, 5).at_last_step();
    /// assert_eq!((batch.targets().dims(), batch.loss_steps()), ([2, 50, 5], 2.0));
    /// ```
    ///
    /// # Panics
    ///
    /// If there is not one class for each sequence, one of them is not less than `classes`, or a dimension is 0.
    #[track_caller]
    pub fn classes(inputs: Tensor<3>, ids: Tensor<1, Int>, classes: usize) -> Self {
        let [sequences, steps, _] = inputs.dims();
        assert_eq!(ids.dims(), [sequences], "class ids {:?} for inputs {:?}", ids.dims(), inputs.dims());
        let ids: Tensor<2, Int> = ids.unsqueeze_dim(1);
        Self::step_classes(inputs, ids.repeat_dim(1, steps), classes)
    }

    /// Inputs [batch, time, inputs] and the class of each step, [batch, time], one of `classes`. What stands behind a sequence's
    /// [end](Self::with_lengths) must be a class as well.
    ///
    /// # Panics
    ///
    /// If batch or time differ, a class is not less than `classes`, or a dimension is 0.
    #[track_caller]
    pub fn step_classes(inputs: Tensor<3>, ids: Tensor<2, Int>, classes: usize) -> Self {
        let [sequences, steps, _] = inputs.dims();
        let expected = [sequences, steps];
        assert_eq!(ids.dims(), expected, "class ids {:?} for inputs {:?}", ids.dims(), inputs.dims());
        let values: Vec<i64> = ids.into_data().convert::<i64>().try_into_vec().expect("class ids are int64");
        let mut targets = vec![0.0f32; values.len() * classes];
        for (row, &id) in values.iter().enumerate() {
            let class = usize::try_from(id).ok().filter(|&id| id < classes);
            assert!(class.is_some(), "class id {id} where there are {classes} classes, counted from 0");
            class.into_iter().for_each(|class| targets[row * classes + class] = 1.0);
        }
        let data = TensorData::new(targets, [sequences, steps, classes]);
        let targets = Tensor::from_data(data, (&inputs.device().without_autodiff(), inputs.dtype()));
        Self::new(inputs, targets)
    }

    /// Only the last step of each sequence counts in the loss: the one before its [end](Self::with_lengths).
    pub fn at_last_step(self) -> Self {
        Self { counted: CountedSteps::Last, counted_steps: OnceLock::new(), ..self }
    }

    /// Says what others add to the outputs y before the loss compares them with the targets, [batch, time, outputs]: another network,
    /// say, that shares the task. It is a constant of the loss; an estimate holds the outputs without it.
    ///
    /// # Panics
    ///
    /// If the shape is not that of the targets.
    #[track_caller]
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
            counted: self.counted_backwards(),
            simulation: None,
            ..self.clone()
        }
    }

    /// The steps that count of the [reversed](Self::reversed) sequences.
    fn counted_backwards(&self) -> CountedSteps {
        let Some(steps) = self.single_steps() else { return CountedSteps::All };
        let mirrored = steps.iter().zip(self.lengths()).map(|(step, length)| match step {
            Some(step) if *step < length => Some(length - 1 - step),
            step => *step,
        });
        CountedSteps::One(mirrored.collect())
    }

    /// The steps that count of a [piece](Self::piece).
    fn counted_within(&self, time: &Range<usize>) -> CountedSteps {
        let Some(steps) = self.single_steps() else { return CountedSteps::All };
        let within =
            |step: Option<usize>| step.filter(|step| time.contains(step)).map(|step| step - time.start);
        CountedSteps::One(steps.into_iter().map(within).collect())
    }

    /// The only step of each sequence that may count; `None` where all may.
    fn single_steps(&self) -> Option<Vec<Option<usize>>> {
        match &self.counted {
            CountedSteps::All => None,
            CountedSteps::Last => Some(self.lengths().iter().map(|length| length.checked_sub(1)).collect()),
            CountedSteps::One(steps) => Some(steps.clone()),
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
    #[track_caller]
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
    #[track_caller]
    pub fn with_mask(self, mask: Tensor<2>) -> Self {
        let expected = [self.size(), self.steps()];
        assert_eq!(mask.dims(), expected, "mask {:?} of a batch of [batch, time] {expected:?}", mask.dims());
        Self { mask: Some(mask), counted_steps: OnceLock::new(), ..self }
    }

    /// Sequences of unequal lengths, padded at their end: steps from `lengths[b]` on count neither in
    /// the loss nor in firing rates.
    ///
    /// # Panics
    ///
    /// If there is not one length for each sequence, or one exceeds the number of steps.
    #[track_caller]
    pub fn with_lengths(self, lengths: Vec<usize>) -> Self {
        assert_eq!(lengths.len(), self.size(), "{} lengths for a batch of {}", lengths.len(), self.size());
        let longest = lengths.iter().max().copied().unwrap_or(0);
        assert!(longest <= self.steps(), "length {longest} of a batch of {} steps", self.steps());
        Self { lengths: Some(lengths), counted_steps: OnceLock::new(), ..self }
    }

    /// Divides a mean loss by this number of steps, instead of by the number of those that count in this batch.
    ///
    /// # Panics
    ///
    /// If `steps` is not a finite number greater than 0.
    #[track_caller]
    pub fn with_loss_steps(self, steps: f64) -> Self {
        assert!(steps.is_finite() && steps > 0.0, "a mean loss cannot be divided by {steps} steps");
        Self { given_loss_steps: Some(steps), ..self }
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

    /// The batch of a stream that has been run through.
    pub(crate) fn with_simulation(self, simulation: Option<Simulation>) -> Self {
        Self { simulation: simulation.map(Arc::new), ..self }
    }

    /// A stream's run through these inputs, where there has been one.
    pub(crate) fn simulation(&self) -> Option<&Simulation> {
        self.simulation.as_deref()
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
    #[track_caller]
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
            counted: self.counted_within(&time),
            given_loss_steps: Some(self.loss_steps()).filter(|&steps| steps != 0.0),
            counted_steps: OnceLock::new(),
            follows: Some(whole.follows(time.end)),
            simulation: None,
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
            counted: match &self.counted {
                CountedSteps::One(steps) => CountedSteps::One(steps[sequences.clone()].to_vec()),
                same => same.clone(),
            },
            given_loss_steps: Some(self.loss_steps()).filter(|&steps| steps != 0.0),
            counted_steps: OnceLock::new(),
            follows: self.follows.as_ref().map(|follows| follows[sequences].to_vec()),
            simulation: None,
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
            simulation: None,
            ..self
        }
    }

    /// Weight of each step in a summed loss, [batch, time]: the mask, and 0 behind a sequence's end.
    pub fn weights(&self) -> Tensor<2> {
        self.weights_in(0..self.steps())
    }

    /// By how many steps a mean loss is divided: the sum of all weights, over batch and time.
    pub fn loss_steps(&self) -> f64 {
        if let Some(given) = self.given_loss_steps {
            return given;
        }
        let count = || match (&self.mask, self.single_steps()) {
            (None, None) => self.lengths().iter().sum::<usize>() as f64,
            (None, Some(steps)) => {
                let within = |(step, length): (&Option<usize>, usize)| step.is_some_and(|step| step < length);
                steps.iter().zip(self.lengths()).filter(|&pair| within(pair)).count() as f64
            }
            (Some(_), _) => self
                .stretches()
                .map(|time| self.weights_in(time).cast(DType::F32).sum().into_scalar::<f64>())
                .sum(),
        };
        *self.counted_steps.get_or_init(count)
    }

    /// # Panics
    ///
    /// If a tensor of the batch is on another device than a network's.
    #[track_caller]
    pub(crate) fn check_device(&self, device: &Device) {
        let others = [Some(&self.targets), self.added.as_ref(), self.teaching.as_ref()];
        let others = ["targets", "added outputs", "teaching"].into_iter().zip(others);
        for (name, tensor) in [("inputs", Some(&self.inputs))].into_iter().chain(others) {
            if let Some(tensor) = tensor {
                check_device(name, &tensor.device(), device);
            }
        }
        if let Some(mask) = &self.mask {
            check_device("mask", &mask.device(), device);
        }
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
        match (mask, self.countable_in(time.clone())) {
            (Some(mask), Some(valid)) => {
                let valid = valid.cast(mask.dtype());
                mask * valid
            }
            (Some(weights), None) | (None, Some(weights)) => weights,
            (None, None) => Tensor::ones([self.size(), time.len()], self.options()),
        }
    }

    /// 1 within a sequence, 0 behind its end, at some steps, [batch, time]; `None` where all are 1.
    fn valid_in(&self, time: Range<usize>) -> Option<Tensor<2>> {
        let lengths = self.lengths.as_ref()?;
        Some(self.indicator(time, |sequence, step| step < lengths[sequence]))
    }

    /// 1 at some steps where they may count, 0 behind a sequence's end and elsewhere, [batch, time]; `None` where all are 1.
    fn countable_in(&self, time: Range<usize>) -> Option<Tensor<2>> {
        let Some(steps) = self.single_steps() else { return self.valid_in(time) };
        let lengths = self.lengths();
        Some(self.indicator(time, |sequence, step| steps[sequence] == Some(step) && step < lengths[sequence]))
    }

    /// 1 where a sequence and its step satisfy a condition, else 0, [batch, time].
    fn indicator(&self, time: Range<usize>, condition: impl Fn(usize, usize) -> bool) -> Tensor<2> {
        let (size, steps) = (self.size(), time.len());
        let values = (0..size).flat_map(|sequence| {
            let condition = &condition;
            time.clone().map(move |step| f64::from(condition(sequence, step)))
        });
        let data = TensorData::new(values.collect::<Vec<_>>(), [size, steps]);
        Tensor::from_data(data, self.options())
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

/// # Panics
///
/// If a tensor is on another device than a network's.
#[track_caller]
pub(crate) fn check_device(name: &str, given: &Device, expected: &Device) {
    // Whether autodiff is on does not matter here, and is no part of the comparison.
    assert!(
        given == expected,
        "the {name} of a batch are on {given:?}, the network on {expected:?}; `Batch::to_device` moves a batch"
    );
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
