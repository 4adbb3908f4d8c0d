//! Why the corpus could not be read.

use std::io;
use std::path::PathBuf;

use crate::audio::AudioError;
use crate::quoted::shown;
use crate::range_error::RangeError;
use crate::split::Split;

use super::segments::SegmentError;

/// Why the corpus could not be read. Every message is one line.
#[derive(Debug, thiserror::Error)]
pub enum TimitError {
    /// A folder or a transcript is missing or the system refused to read it.
    #[error("{}: cannot be read: {reason}", shown(path))]
    Unreadable {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        reason: io::Error,
    },
    /// There is no folder of this name.
    #[error("{}: no folder {name} in it or in its sub-folder `timit` or `data`", shown(folder))]
    NoFolder {
        /// The folder of the corpus.
        folder: PathBuf,
        /// What it lacks.
        name: &'static str,
    },
    /// A sentence lacks its audio file or its transcript.
    #[error("{}: no {lacks} of this sentence beside it", shown(path))]
    Incomplete {
        /// The file that is there.
        path: PathBuf,
        /// The ending of the one that is not.
        lacks: &'static str,
    },
    /// Two files, whose names or those of their folders differ in case alone, are of one sentence.
    #[error("{}: the same sentence as in {}", shown(path), shown(other))]
    Twice {
        /// One of the two.
        path: PathBuf,
        /// The other one.
        other: PathBuf,
    },
    /// A line of a transcript is no segment of the recording.
    #[error("{}: line {line}: {reason}", shown(path))]
    Segment {
        /// The transcript.
        path: PathBuf,
        /// Number of the line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: SegmentError,
    },
    /// The core test set is incomplete.
    #[error("{}: no sentence of {speaker}, who belongs to the core test set", shown(folder))]
    NoSpeaker {
        /// The folder of the corpus.
        folder: PathBuf,
        /// Region and speaker.
        speaker: &'static str,
    },
    /// The split holds no sentence.
    #[error("{}: no sentence in the {split:?} split", shown(folder))]
    EmptySplit {
        /// The folder of the corpus.
        folder: PathBuf,
        /// The split.
        split: Split,
    },
    /// A configured value lies outside its range.
    #[error(transparent)]
    Config(#[from] RangeError),
    /// A recording could not be read.
    #[error(transparent)]
    Audio(#[from] AudioError),
}
