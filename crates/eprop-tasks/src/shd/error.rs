//! Why spikes could not be read.

use std::io;
use std::path::PathBuf;

use crate::quoted::{listed, shown};
use crate::range_error::RangeError;
use crate::split::Split;

/// Why the data set could not be read. Every message but those of the configuration is one line
/// that starts with the path.
#[derive(Debug, thiserror::Error)]
pub enum ShdError {
    /// A file is missing or not a regular file, or the system refused to read it.
    #[error("{}: cannot be read: {reason}", shown(path))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: io::Error,
    },
    /// A file is no HDF5 file, or damaged at its very beginning.
    #[error("{}: not a valid HDF5 file: {reason}", shown(path))]
    NotHdf5 {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A data set is missing or damaged.
    #[error("{}: the data set `{dataset}` cannot be read: {reason}", shown(path))]
    Dataset {
        /// The file.
        path: PathBuf,
        /// The data set's name.
        dataset: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A data set holds values of the wrong type.
    #[error("{}: the data set `{dataset}` must hold {expected}, but holds {found}", shown(path))]
    Type {
        /// The file.
        path: PathBuf,
        /// The data set's name.
        dataset: &'static str,
        /// The type it must have.
        expected: &'static str,
        /// The type it has.
        found: String,
    },
    /// A data set has not one dimension, or too many items.
    #[error(
        "{}: the data set `{dataset}` has the shape {shape:?}, \
         but must have one dimension of at most {most} items",
        shown(path)
    )]
    Shape {
        /// The file.
        path: PathBuf,
        /// The data set's name.
        dataset: &'static str,
        /// Its shape.
        shape: Vec<u64>,
        /// The largest number of items that is read.
        most: u64,
    },
    /// The classes are not as many as there are.
    #[error("{}: `extra/keys` names {found} classes, where there are 20", shown(path))]
    Names {
        /// The file.
        path: PathBuf,
        /// How many it names.
        found: usize,
    },
    /// A data set has not one item for each label.
    #[error("{}: `{dataset}` holds {found} items, but `labels` {expected}", shown(path))]
    Count {
        /// The file.
        path: PathBuf,
        /// The data set's name.
        dataset: &'static str,
        /// The number of labels.
        expected: usize,
        /// The number of its items.
        found: usize,
    },
    /// The sequences of a data set hold more bytes than the file.
    #[error("{}: the sequences of `{dataset}` overlap, so the file is damaged", shown(path))]
    Overlap {
        /// The file.
        path: PathBuf,
        /// The data set's name.
        dataset: &'static str,
    },
    /// An utterance has not one time for each unit.
    #[error("{}: item {item} has {times} times, but {units} units", shown(path))]
    Lengths {
        /// The file.
        path: PathBuf,
        /// Which utterance, from 0.
        item: usize,
        /// The number of its times.
        times: usize,
        /// The number of its units.
        units: usize,
    },
    /// A value lies outside its range.
    #[error("{}: {what} {value} in item {item}, but {what}s must be {range}", shown(path))]
    Value {
        /// The file.
        path: PathBuf,
        /// `time`, `unit`, `label` or `speaker`.
        what: &'static str,
        /// Which utterance, from 0.
        item: usize,
        /// The value.
        value: String,
        /// What is admitted.
        range: &'static str,
    },
    /// Speakers are to be held out, but the file does not tell who speaks.
    #[error("{}: speakers cannot be held out: it has no data set `extra/speaker`", shown(path))]
    NoSpeakers {
        /// The file.
        path: PathBuf,
    },
    /// The held-out speaker says nothing.
    #[error("{}: nothing of speaker {speaker}, only of [{}]", shown(path), listed(known))]
    UnknownSpeaker {
        /// The file.
        path: PathBuf,
        /// The speaker asked for.
        speaker: u16,
        /// The speakers there are.
        known: Vec<u16>,
    },
    /// The split holds no utterance.
    #[error("{}: no utterance in the {split:?} split", shown(folder))]
    EmptySplit {
        /// The folder.
        folder: PathBuf,
        /// The split.
        split: Split,
    },
    /// A configured value lies outside its range.
    #[error(transparent)]
    Config(#[from] RangeError),
}
