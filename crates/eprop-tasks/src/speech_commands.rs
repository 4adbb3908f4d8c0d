//! Speech commands: recordings of single words, a second long, by many speakers.
//!
//! A data set is a folder with files `{word}/{hash}_nohash_{n}.wav` (or `.WAV`), as in Google's Speech Commands
//! (Warden 2018, arxiv.org/abs/1804.03209), where the hash stands for the speaker. Folders whose name
//! starts with an underscore, such as `_background_noise_`, hold no word. Hidden files and folders are passed over.
//!
//! The lists `validation_list.txt` and `testing_list.txt` name the recordings that are held out, one
//! `{word}/{name}` a line. Where both are missing, the data set's own rule decides: with the SHA-1 h of
//! the hash, p = 100 (h mod 2²⁷) / (2²⁷ − 1) below 10 is validation, below 20 test. All recordings of a
//! speaker are then in one split.

mod error;
mod recording;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::audio::read_wav;
use crate::features::{Frames, LogMel, LogMelConfig, Wideband};
use crate::quoted::{listed, quoted};
use crate::range_error::RangeError;

pub use crate::split::Split;
pub use error::SpeechCommandsError;
pub use recording::WordRecording;

/// The name of the class of all words that were not chosen.
pub const UNKNOWN: &str = "unknown";

/// Which words are told apart and how the recordings are read.
///
/// In a configuration file, the `features` that are left out are those of [`LogMelConfig::wideband`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SpeechCommandsConfig {
    /// The features; by default [`LogMelConfig::wideband`].
    #[serde(deserialize_with = "Wideband::read")]
    pub features: LogMelConfig,
    /// The words that are classes, in this order; by default none is named, and every word is a class.
    pub words: Vec<String>,
    /// Whether all other words make up one more class, the last, named [`UNKNOWN`]. Otherwise they are
    /// left out.
    pub unknown: bool,
}

impl Default for SpeechCommandsConfig {
    fn default() -> Self {
        Self { features: LogMelConfig::wideband(), words: Vec::new(), unknown: false }
    }
}

impl SpeechCommandsConfig {
    /// Checks every field.
    pub fn validate(&self) -> Result<(), RangeError> {
        self.features.validate()?;
        let twice = (1..self.words.len()).find(|&i| self.words[..i].contains(&self.words[i]));
        let word = twice.map_or(String::new(), |i| quoted(&self.words[i]));
        RangeError::check(twice.is_none(), "words", word, "different words, each named once")?;
        RangeError::check(
            !self.unknown || !self.words.is_empty(),
            "unknown",
            self.unknown,
            "false where `words` names none, as every word is then a class",
        )?;
        RangeError::check(
            !self.unknown || !self.words.iter().any(|word| word == UNKNOWN),
            "words",
            UNKNOWN,
            "other words than the name of the class of all others",
        )
    }
}

/// One recording as features.
#[derive(Debug, Clone, PartialEq)]
pub struct SpokenWord {
    /// Features, shape [time, feature].
    pub frames: Frames,
    /// Index into [`SpeechCommands::classes`].
    pub class: usize,
}

/// The index of a folder of speech commands.
#[derive(Debug, Clone)]
pub struct SpeechCommands {
    folder: PathBuf,
    recordings: Vec<WordRecording>,
}

impl SpeechCommands {
    /// Reads the names of the recordings and the lists. Files of other names are ignored.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, SpeechCommandsError> {
        let folder = folder.as_ref().to_path_buf();
        let recordings = recording::recordings_in(&folder)?;
        Ok(Self { folder, recordings })
    }

    /// Every recording, sorted by word and name.
    pub fn recordings(&self) -> &[WordRecording] {
        &self.recordings
    }

    /// The words of the recordings, sorted.
    pub fn words(&self) -> Vec<&str> {
        let mut words: Vec<&str> = self.recordings.iter().map(|r| r.word.as_str()).collect();
        words.dedup();
        words
    }

    /// The names of the classes; an error where a chosen word has no recording.
    pub fn classes(&self, config: &SpeechCommandsConfig) -> Result<Vec<String>, SpeechCommandsError> {
        config.validate()?;
        let known = self.words();
        if config.words.is_empty() {
            return Ok(known.into_iter().map(str::to_owned).collect());
        }
        if let Some(word) = config.words.iter().find(|word| !known.contains(&word.as_str())) {
            let (folder, word) = (self.folder.clone(), quoted(word));
            return Err(SpeechCommandsError::UnknownWord { folder, word, known: listed(&known) });
        }
        let others = config.unknown.then(|| UNKNOWN.to_owned());
        Ok(config.words.iter().cloned().chain(others).collect())
    }

    /// The recordings of one split that have a class, and their class, in order; an error where there
    /// is none.
    pub fn select(
        &self,
        split: Split,
        config: &SpeechCommandsConfig,
    ) -> Result<Vec<(&WordRecording, usize)>, SpeechCommandsError> {
        let classes = self.classes(config)?;
        let class_of = |word: &str| {
            let named = classes.iter().position(|class| class == word);
            named
                .filter(|&class| !config.unknown || class + 1 < classes.len())
                .or(config.unknown.then(|| classes.len() - 1))
        };
        let selected: Vec<(&WordRecording, usize)> = self
            .recordings
            .iter()
            .filter(|recording| split == Split::All || recording.split == split)
            .filter_map(|recording| Some((recording, class_of(&recording.word)?)))
            .collect();
        if selected.is_empty() {
            return Err(SpeechCommandsError::EmptySplit { folder: self.folder.clone(), split });
        }
        Ok(selected)
    }

    /// Reads the recordings of one split as feature frames, not yet z-scored.
    pub fn load(
        &self,
        split: Split,
        config: &SpeechCommandsConfig,
    ) -> Result<Vec<SpokenWord>, SpeechCommandsError> {
        let features = LogMel::new(&config.features)?;
        self.select(split, config)?
            .into_iter()
            .map(|(recording, class)| {
                let samples = read_wav(&recording.path, config.features.sample_rate_hz)?;
                Ok(SpokenWord { frames: features.frames(&samples), class })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
