//! Why the data set could not be read.

use std::io;
use std::path::PathBuf;

use crate::audio::AudioError;
use crate::quoted::shown;
use crate::range_error::RangeError;
use crate::split::Split;

/// Why the data set could not be read. Every message is one line.
#[derive(Debug, thiserror::Error)]
pub enum SpeechCommandsError {
    /// A folder or a list is missing or the system refused to read it.
    #[error("{}: cannot be read: {reason}", shown(path))]
    Unreadable {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        reason: io::Error,
    },
    /// No file name fits.
    #[error("{}: no recording named {{word}}/{{hash}}_nohash_{{n}}.wav in it", shown(folder))]
    NoRecordings {
        /// The folder.
        folder: PathBuf,
    },
    /// One of the two lists is there and the other is not.
    #[error("{}: missing, although the other list is there", shown(list))]
    NoList {
        /// The list that is missing.
        list: PathBuf,
    },
    /// A line of a list names no recording.
    #[error("{}: line {line}: there is no recording `{name}` in the folder", shown(list))]
    NoSuchRecording {
        /// The list.
        list: PathBuf,
        /// Number of the line, from 1.
        line: usize,
        /// The start of what the line names.
        name: String,
    },
    /// A recording stands in both lists.
    #[error("{}: line {line}: `{name}` stands in validation_list.txt too", shown(list))]
    InBothLists {
        /// The list of the test recordings.
        list: PathBuf,
        /// Number of the line, from 1.
        line: usize,
        /// The start of what the line names.
        name: String,
    },
    /// A chosen word has no recording.
    #[error("{}: no recording of the word `{word}`, only of {known}", shown(folder))]
    UnknownWord {
        /// The folder.
        folder: PathBuf,
        /// The start of the word that was asked for.
        word: String,
        /// The words there are, the first of them.
        known: String,
    },
    /// The split holds no recording.
    #[error("{}: no recording in the {split:?} split", shown(folder))]
    EmptySplit {
        /// The folder.
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
