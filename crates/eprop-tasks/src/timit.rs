//! TIMIT: read sentences in which every phone is marked (LDC93S1).
//!
//! A corpus is a folder `TRAIN|TEST/DR1..DR8/{sex}{speaker}/{sentence}.{WAV,PHN}` with names in either
//! case, or a folder whose sub-folder `timit` or `data` is one. The audio is NIST SPHERE or RIFF/WAVE;
//! where `SX1.WAV` and a converted copy `SX1.WAV.wav` lie side by side, the former is read. A line of a
//! transcript is `first_sample last_sample phone`, in samples at 16 kHz.
//!
//! | split | holds | sentences of the whole corpus |
//! |---|---|---|
//! | train | all of TRAIN | 3,696 of 462 speakers |
//! | validation | the [`DEVELOPMENT_SPEAKERS`] of TEST | 400 of 50 |
//! | test | the [`CORE_TEST_SPEAKERS`] of TEST, each of whom must be there | 192 of 24 |
//! | all | TRAIN and TEST | 5,040 of 630 |
//!
//! The sentences SA1 and SA2, which all speakers read, are left out. Frames are labelled with one of 61
//! phones; [`fold`] gives the 39 that are scored.

mod config;
mod error;
mod phones;
mod segments;
mod sentence;
mod speakers;

use std::path::{Path, PathBuf};

use crate::audio::read_audio;
use crate::data_file;
use crate::features::{Frames, LogMel, LogMelConfig};

pub use crate::split::Split;
pub use config::TimitConfig;
pub use error::TimitError;
pub use phones::{FOLDED_PHONES, PHONES, fold, phone_of};
pub use segments::SegmentError;
use segments::TRANSCRIPT_RATE_HZ;
pub use sentence::Sentence;
pub use speakers::{CORE_TEST_SPEAKERS, DEVELOPMENT_SPEAKERS};

/// Largest transcript that is read, in bytes. Those of the corpus have 1 kB.
const MAX_TRANSCRIPT_BYTES: u64 = 1 << 20;

/// One sentence as features with a phone for every frame.
#[derive(Debug, Clone, PartialEq)]
pub struct PhoneUtterance {
    /// Features, shape [time, feature].
    pub frames: Frames,
    /// Index into [`PHONES`] of the phone at the middle of every frame's window.
    pub phones: Vec<u8>,
    /// Dialect region and speaker, such as `dr1/fcjf0`.
    pub speaker: String,
    /// The sentence's name, such as `sx37`.
    pub sentence: String,
}

/// The index of a corpus.
#[derive(Debug, Clone)]
pub struct Timit {
    folder: PathBuf,
    sentences: Vec<Sentence>,
}

impl Timit {
    /// Reads the names of the sentences. Each must have its audio and its transcript.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, TimitError> {
        let folder = sentence::corpus_in(folder.as_ref())?;
        let sentences = sentence::sentences_in(&folder)?;
        Ok(Self { folder, sentences })
    }

    /// Every sentence, those of TEST first, then by speaker and name.
    pub fn sentences(&self) -> &[Sentence] {
        &self.sentences
    }

    /// The sentences of one split, in order; an error where there is none. The core test set must be
    /// complete: its figures are compared with those that others publish.
    pub fn select(&self, split: Split) -> Result<Vec<&Sentence>, TimitError> {
        let selected: Vec<&Sentence> =
            self.sentences.iter().filter(|sentence| sentence.belongs_to(split)).collect();
        if selected.is_empty() {
            return Err(TimitError::EmptySplit { folder: self.folder.clone(), split });
        }
        let absent = |speaker: &&str| selected.iter().all(|sentence| sentence.speaker != *speaker);
        match CORE_TEST_SPEAKERS.into_iter().find(absent) {
            Some(speaker) if split == Split::Test => {
                Err(TimitError::NoSpeaker { folder: self.folder.clone(), speaker })
            }
            _ => Ok(selected),
        }
    }

    /// Reads the sentences of one split as labelled feature frames, not yet z-scored.
    pub fn load(&self, split: Split, config: &TimitConfig) -> Result<Vec<PhoneUtterance>, TimitError> {
        let features = LogMel::new(&config.features)?;
        self.select(split)?.into_iter().map(|sentence| utterance(sentence, &features)).collect()
    }
}

fn utterance(sentence: &Sentence, features: &LogMel) -> Result<PhoneUtterance, TimitError> {
    let path = &sentence.transcript;
    let samples = read_audio(&sentence.audio, features.config().sample_rate_hz)?;
    let text = data_file::read_text(path, MAX_TRANSCRIPT_BYTES)
        .map_err(|reason| TimitError::Unreadable { path: path.clone(), reason })?;
    let rate_hz = features.config().sample_rate_hz;
    let length = samples.len() as u64 * u64::from(TRANSCRIPT_RATE_HZ) / u64::from(rate_hz);
    let segments = segments::parse(&text, length).map_err(|(line, reason)| TimitError::Segment {
        path: path.clone(),
        line,
        reason,
    })?;

    let frames = features.frames(&samples);
    let phones = segments::labels(&segments, window_middles(features.config(), frames.len()));
    Ok(PhoneUtterance { frames, phones, speaker: sentence.speaker.clone(), sentence: sentence.name.clone() })
}

/// The middles of the frames' windows in samples of the transcript.
fn window_middles(config: &LogMelConfig, frames: usize) -> impl Iterator<Item = f64> {
    let (hop, half) = (config.hop_samples() as f64, config.window_samples() as f64 / 2.0);
    let scale = f64::from(TRANSCRIPT_RATE_HZ) / f64::from(config.sample_rate_hz);
    (0..frames).map(move |frame| (frame as f64 * hop + half) * scale)
}

#[cfg(test)]
mod tests;
