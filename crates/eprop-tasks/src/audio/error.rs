//! Why a recording could not be read.

use std::io;
use std::path::PathBuf;

use super::{MAX_SAMPLES, SAMPLE_RATES_HZ};
use crate::quoted::shown;

/// Why a recording could not be read. Every message is one line that starts with the path.
#[derive(Debug, thiserror::Error)]
pub enum AudioError {
    /// The file is missing or not a regular file, or the system refused to read it.
    #[error("{}: cannot be read: {reason}", shown(path))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: io::Error,
    },
    /// The bytes are not a well-formed WAV file.
    #[error("{}: not a valid WAV file: {reason}", shown(path))]
    NotWav {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A WAV file in an encoding that is not read.
    #[error(
        "{}: {encoding} is not supported: \
         the samples must be 8, 16, 24 or 32-bit integers or 32-bit floats",
        shown(path)
    )]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// The encoding's name.
        encoding: String,
    },
    /// The first bytes are those of no format that is read.
    #[error("{}: neither a RIFF/WAVE nor a NIST SPHERE file", shown(path))]
    UnknownFormat {
        /// The file.
        path: PathBuf,
    },
    /// The header is not that of a NIST SPHERE file.
    #[error("{}: not a valid NIST SPHERE file: {reason}", shown(path))]
    NotSphere {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The header of a NIST SPHERE file lacks a field.
    #[error("{}: not a valid NIST SPHERE file: the header has no field `{field}`", shown(path))]
    MissingField {
        /// The file.
        path: PathBuf,
        /// The field's name.
        field: &'static str,
    },
    /// A NIST SPHERE file in an encoding that is not read.
    #[error(
        "{}: `{field}` is `{value}`, which is not supported: \
         convert the file to 16-bit PCM with `sph2pipe -p -f wav`",
        shown(path)
    )]
    UnsupportedSphere {
        /// The file.
        path: PathBuf,
        /// The field of the header that tells.
        field: &'static str,
        /// Its value.
        value: String,
    },
    /// The header promises more samples than the file holds.
    #[error("{}: truncated: the header promises {promised} samples, the file holds {found}", shown(path))]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Samples of all channels according to the header.
        promised: u64,
        /// Samples of all channels that could be read.
        found: usize,
    },
    /// The recording has more samples than are kept.
    #[error("{}: {samples} samples at {rate_hz} Hz, but at most {MAX_SAMPLES} are read", shown(path))]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Samples at the requested rate.
        samples: u64,
        /// The requested rate.
        rate_hz: u32,
    },
    /// The file holds no samples.
    #[error("{}: holds no samples", shown(path))]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A float sample is NaN, infinite or far from [-1, 1].
    #[error("{}: sample {index} is {value}, but float samples must lie within [-1, 1]", shown(path))]
    InvalidSample {
        /// The file.
        path: PathBuf,
        /// Position of the sample among those of all channels.
        index: usize,
        /// Its value.
        value: f32,
    },
    /// The file's sample rate, or the one asked for, lies outside [`SAMPLE_RATES_HZ`].
    #[error(
        "{}: the {which} sample rate is {rate_hz} Hz, but must be {} to {} Hz",
        shown(path),
        SAMPLE_RATES_HZ.start(),
        SAMPLE_RATES_HZ.end()
    )]
    SampleRate {
        /// The file.
        path: PathBuf,
        /// `recorded` or `requested`.
        which: &'static str,
        /// The rate.
        rate_hz: u32,
    },
    /// The recording could not be brought to the requested rate.
    #[error("{}: cannot be resampled from {from_hz} to {to_hz} Hz: {reason}", shown(path))]
    Resample {
        /// The file.
        path: PathBuf,
        /// The recorded rate.
        from_hz: u32,
        /// The requested rate.
        to_hz: u32,
        /// What the resampler said.
        reason: String,
    },
}
