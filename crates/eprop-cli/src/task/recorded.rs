//! Batches of recorded sequences, of unequal lengths.

use std::borrow::Cow;
use std::iter::repeat_n;

use burn::tensor::Device;
use burn_eprop::Batch;
use rand::seq::SliceRandom;

use super::{Example, Question, one_hot, tensor};
use crate::random::{Stream, generator};

/// What is to be told of a sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Labels {
    /// One class, at every frame.
    Whole(usize),
    /// A class for each frame.
    Frames(Vec<usize>),
    /// One class, at the last frames alone.
    Last {
        /// The class.
        class: usize,
        /// How many frames.
        frames: usize,
    },
}

/// A sequence of frames and its classes.
#[derive(Debug, Clone)]
pub(super) struct Recorded<'a> {
    /// Shape [frame, feature].
    pub(super) frames: Cow<'a, [f32]>,
    /// The classes.
    pub(super) labels: Cow<'a, Labels>,
}

/// The sizes of a task with recorded sequences.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    /// Features of a frame.
    pub(super) features: usize,
    /// Number of classes.
    pub(super) classes: usize,
    /// Steps for which each frame is shown.
    pub(super) steps_per_frame: usize,
}

impl Shape {
    /// Sequences side by side, padded with zeros to the longest.
    pub(super) fn side_by_side(self, sequences: &[Recorded], device: &Device) -> Example {
        let Self { features, classes, steps_per_frame: repeat } = self;
        let frames = |sequence: &Recorded| sequence.frames.len() / features;
        let longest = sequences.iter().map(frames).max().unwrap_or(0);
        let (count, steps) = (sequences.len(), longest * repeat);
        let mut inputs = Vec::with_capacity(count * steps * features);
        let (mut targets, mut mask) = (Vec::with_capacity(count * longest), vec![1.0; count * steps]);
        let mut questions = Vec::new();
        for (index, sequence) in sequences.iter().enumerate() {
            let length = frames(sequence);
            let shown = sequence.frames.chunks_exact(features).flat_map(|frame| repeat_n(frame, repeat));
            inputs.extend(shown.flatten());
            inputs.resize((index + 1) * steps * features, 0.0);
            let question = |frames: std::ops::Range<usize>, class: usize| Question {
                sequence: index,
                steps: frames.start * repeat..frames.end * repeat,
                class,
            };
            match &*sequence.labels {
                Labels::Whole(class) => {
                    targets.resize((index + 1) * longest, *class);
                    questions.push(question(0..length, *class));
                }
                Labels::Last { class, frames } => {
                    let before = length.saturating_sub(*frames);
                    targets.resize((index + 1) * longest, *class);
                    mask[index * steps..][..before * repeat].fill(0.0);
                    questions.push(question(before..length, *class));
                }
                Labels::Frames(classes) => {
                    assert_eq!(classes.len(), length, "a class for each frame");
                    targets.extend_from_slice(classes);
                    targets.resize((index + 1) * longest, 0);
                    let each = classes.iter().enumerate();
                    questions.extend(each.map(|(frame, &class)| question(frame..frame + 1, class)));
                }
            }
        }
        let targets = tensor(one_hot(targets, classes, repeat), [count, steps, classes], device);
        let lengths = sequences.iter().map(|sequence| frames(sequence) * repeat).collect();
        let mut batch = Batch::new(tensor(inputs, [count, steps, features], device), targets);
        if mask.contains(&0.0) {
            batch = batch.with_mask(tensor(mask, [count, steps], device));
        }
        Example { batch: batch.with_lengths(lengths), questions }
    }
}

/// Which of `count` sequences are learnt from in an iteration, counted from 1: each pass goes through all of them in an order of
/// its own.
pub(super) fn batch_of_pass(count: usize, batch: usize, seed: u64, iteration: usize) -> Vec<usize> {
    let first = (iteration - 1) * batch;
    let order = |pass: usize| {
        let mut order: Vec<usize> = (0..count).collect();
        order.shuffle(&mut generator(seed, Stream::Training, pass as u64));
        order
    };
    let mut current = (first / count, order(first / count));
    let chosen = (first..first + batch).map(|place| {
        if place / count != current.0 {
            current = (place / count, order(place / count));
        }
        current.1[place % count]
    });
    chosen.collect()
}

#[cfg(test)]
mod tests {
    use super::super::values;
    use super::*;

    #[test]
    fn sequences_are_padded_and_their_frames_repeated() {
        let shape = Shape { features: 2, classes: 3, steps_per_frame: 2 };
        let recorded =
            |frames: Vec<f32>, labels| Recorded { frames: frames.into(), labels: Cow::Owned(labels) };
        let sequences = [
            recorded(vec![1.0, 2.0], Labels::Whole(2)),
            recorded(vec![3.0, 4.0, 5.0, 6.0], Labels::Frames(vec![1, 0])),
        ];
        let example = shape.side_by_side(&sequences, &Device::flex());
        assert_eq!(example.batch.inputs().dims(), [2, 4, 2]);
        let inputs = [1.0, 2.0, 1.0, 2.0, 0.0, 0.0, 0.0, 0.0, 3.0, 4.0, 3.0, 4.0, 5.0, 6.0, 5.0, 6.0];
        assert_eq!(values(example.batch.inputs()), inputs);
        assert_eq!(example.batch.lengths(), [2, 4]);
        assert_eq!(
            values(&example.batch.targets().clone().narrow(0, 1, 1)),
            [0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0]
        );
        let question = |sequence, steps, class| Question { sequence, steps, class };
        assert_eq!(example.questions, [question(0, 0..2, 2), question(1, 0..2, 1), question(1, 2..4, 0)]);
    }

    #[test]
    fn a_class_is_told_in_the_last_frames_alone() {
        let shape = Shape { features: 1, classes: 2, steps_per_frame: 2 };
        let labels = Labels::Last { class: 1, frames: 1 };
        let sequence = Recorded { frames: vec![0.5; 3].into(), labels: Cow::Owned(labels) };
        let example = shape.side_by_side(&[sequence], &Device::flex());
        assert_eq!(values(&example.batch.weights()), [0.0, 0.0, 0.0, 0.0, 1.0, 1.0]);
        assert_eq!(example.questions, [Question { sequence: 0, steps: 4..6, class: 1 }]);
    }

    #[test]
    fn a_pass_goes_through_all() {
        let all: Vec<usize> = (1..=6).flat_map(|iteration| batch_of_pass(9, 3, 5, iteration)).collect();
        for pass in all.chunks(9) {
            let mut sorted = pass.to_vec();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..9).collect::<Vec<_>>());
        }
        assert_ne!(all[..9], all[9..], "each in an order of its own");
        // Batches that cross the end of a pass go on in the next.
        let crossing: Vec<usize> = (1..=9).flat_map(|iteration| batch_of_pass(9, 2, 5, iteration)).collect();
        assert_eq!(crossing, all);
    }
}
