//! The Spiking Heidelberg Digits: spoken digits in English and German, 20 classes, as spikes of
//! 700 units of an artificial inner ear (Cramer et al. 2020, arXiv:1910.07407).
//!
//! The data set is a folder with the files `shd_train.h5` and `shd_test.h5`
//! (zenkelab.org/datasets, decompressed). Of each of these HDF5 files are read
//!
//! | data set | holds |
//! |---|---|
//! | `spikes/times` | for each utterance the times of its spikes in seconds: floats of 16, 32 or 64 bits |
//! | `spikes/units` | for each utterance the units of its spikes, 0 to 699: integers |
//! | `labels` | the classes, 0 to 19: integers |
//! | `extra/speaker` | who speaks: integers; may be missing |
//! | `extra/keys` | the names of the classes; may be missing |
//!
//! [`Shd::open`] reads labels and speakers, [`Shd::load`] the spikes of one [`Split`], counted in
//! time bins. They stay a list of spikes; [`SpikeUtterance::dense`] makes one utterance the inputs
//! of a network. A file is read utterance by utterance, and no size that it claims is believed.

mod error;
mod spike_file;
mod utterance;
mod values;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::data_file;
use crate::range_error::RangeError;
use crate::split::Split;

pub use error::ShdError;
use spike_file::SpikeFile;
pub use utterance::{Spike, SpikeUtterance};

/// Number of classes.
pub const CLASSES: usize = 20;

/// Number of units of the inner ear.
pub const UNITS: usize = 700;

/// What the value of an input is when several spikes fall into one time bin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bins {
    /// Their number.
    Counts,
    /// One.
    Binary,
}

/// Which utterances of the training file are held out for validation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Validation {
    /// None.
    None,
    /// Those of these speakers.
    Speakers(Vec<u16>),
    /// This fraction of them, evenly spread over the file.
    Fraction(f64),
}

/// How the utterances are split and read.
///
/// The defaults are those of the authors' tutorial (github.com/fzenke/spytorch): 100 steps for the
/// first 1.4 s, and each of the 700 units by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ShdConfig {
    /// Number of time bins.
    pub steps: usize,
    /// Time that the bins cover together, in seconds; later spikes are dropped.
    pub duration_s: f64,
    /// What several spikes in one bin are.
    pub bins: Bins,
    /// Neighbouring units that share an input; 5 gives the common 140 inputs.
    pub units_per_input: usize,
    /// What is held out of the training file.
    pub validation: Validation,
}

impl Default for ShdConfig {
    fn default() -> Self {
        Self {
            steps: 100,
            duration_s: 1.4,
            bins: Bins::Counts,
            units_per_input: 1,
            validation: Validation::None,
        }
    }
}

impl ShdConfig {
    /// Checks every field.
    ///
    /// # Errors
    ///
    /// If a value lies outside its range.
    pub fn validate(&self) -> Result<(), RangeError> {
        RangeError::check((1..=10_000).contains(&self.steps), "steps", self.steps, "1 to 10000")?;
        let duration = self.duration_s;
        RangeError::check(
            duration > 0.0 && duration <= 1000.0,
            "duration_s",
            duration,
            "more than 0 and at most 1000 s",
        )?;
        let units = self.units_per_input;
        RangeError::check((1..=UNITS).contains(&units), "units_per_input", units, format!("1 to {UNITS}"))?;
        let Validation::Fraction(fraction) = self.validation else { return Ok(()) };
        let range = "more than 0 and less than 1";
        RangeError::check(fraction > 0.0 && fraction < 1.0, "validation.fraction", fraction, range)
    }

    /// Number of inputs at each step.
    pub fn inputs(&self) -> usize {
        UNITS.div_ceil(self.units_per_input.max(1))
    }
}

/// Labels and speakers of the two files.
#[derive(Debug, Clone)]
pub struct Shd {
    folder: PathBuf,
    train: SpikeFile,
    test: SpikeFile,
}

impl Shd {
    /// Opens `shd_train.h5` and `shd_test.h5` of a folder, whatever the case of their names.
    ///
    /// # Errors
    ///
    /// If a file is missing or damaged, or its labels or speakers are not what they should be.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, ShdError> {
        let folder = folder.as_ref().to_path_buf();
        let train = SpikeFile::open(data_file::find(&folder, "shd_train.h5"))?;
        let test = SpikeFile::open(data_file::find(&folder, "shd_test.h5"))?;
        Ok(Self { folder, train, test })
    }

    /// The speakers of the training file, sorted; empty if it does not tell.
    pub fn training_speakers(&self) -> Vec<u16> {
        let mut speakers = self.train.speakers.clone().unwrap_or_default();
        speakers.sort_unstable();
        speakers.dedup();
        speakers
    }

    /// The names of the classes, if the training file tells; the first 80 characters of each, on one line.
    ///
    /// # Errors
    ///
    /// If they cannot be read.
    pub fn class_names(&self) -> Result<Option<Vec<String>>, ShdError> {
        self.train.class_names()
    }

    /// Reads the utterances of one split, those of the training file first, each in the file's order.
    ///
    /// # Errors
    ///
    /// If there are none, a file is damaged, or a configured value lies outside its range.
    pub fn load(&self, split: Split, config: &ShdConfig) -> Result<Vec<SpikeUtterance>, ShdError> {
        config.validate()?;
        let held_out = self.held_out(config)?;
        let of_train = |index: &usize| match split {
            Split::Train => !held_out[*index],
            Split::Validation => held_out[*index],
            Split::Test => false,
            Split::All => true,
        };
        let train: Vec<usize> = (0..self.train.labels.len()).filter(of_train).collect();
        let with_test = matches!(split, Split::Test | Split::All);
        let test: Vec<usize> = (0..self.test.labels.len()).filter(|_| with_test).collect();
        if train.is_empty() && test.is_empty() {
            return Err(ShdError::EmptySplit { folder: self.folder.clone(), split });
        }
        let mut utterances = self.train.load(&train, config)?;
        utterances.extend(self.test.load(&test, config)?);
        Ok(utterances)
    }

    /// For each utterance of the training file, whether it is held out for validation.
    fn held_out(&self, config: &ShdConfig) -> Result<Vec<bool>, ShdError> {
        let count = self.train.labels.len();
        match &config.validation {
            Validation::None => Ok(vec![false; count]),
            // The held-out utterances are those where the rounded-down number of them rises.
            Validation::Fraction(fraction) => {
                let before = |index: usize| (index as f64 * fraction).floor();
                Ok((0..count).map(|index| before(index + 1) > before(index)).collect())
            }
            Validation::Speakers(held_out) => {
                let path = || self.train.path.clone();
                let speakers =
                    self.train.speakers.as_ref().ok_or_else(|| ShdError::NoSpeakers { path: path() })?;
                if let Some(&speaker) = held_out.iter().find(|speaker| !speakers.contains(speaker)) {
                    let known = self.training_speakers();
                    return Err(ShdError::UnknownSpeaker { path: path(), speaker, known });
                }
                Ok(speakers.iter().map(|speaker| held_out.contains(speaker)).collect())
            }
        }
    }
}

#[cfg(test)]
mod tests;
