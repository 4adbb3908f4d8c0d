//! Spoken digits: recordings of the digits 0 to 9 by several speakers.
//!
//! A data set is a folder of WAV files named `{digit}_{speaker}_{index}.wav` (or `.WAV`), as in the Free Spoken
//! Digit Dataset (github.com/Jakobovski/free-spoken-digit-dataset), or a folder whose sub-folder
//! `recordings` is one. [`SpokenDigits::open`] reads the names, [`SpokenDigits::load`] the
//! recordings of one [`Split`] as feature frames. The test set is what [`SpokenDigitsConfig::held_out`]
//! says.

mod recording;

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::audio::{AudioError, read_wav_up_to};
use crate::features::{Frames, LogMel, LogMelConfig};
use crate::quoted::{listed, quoted, shown};
use crate::range_error::RangeError;

pub use crate::split::Split;
pub use recording::Recording;
use recording::{PATTERN, recordings_in};

/// Which recordings make up the test set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HeldOut {
    /// Recordings with an index in this range, of every speaker and digit.
    Indices(Range<u32>),
    /// Every recording of this speaker.
    Speaker(String),
}

/// How the recordings are split and read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SpokenDigitsConfig {
    /// The features.
    pub features: LogMelConfig,
    /// The test set; by default the official one, indices 0 to 4.
    pub held_out: HeldOut,
    /// Indices of the recordings outside the test set that are held out for validation; by default
    /// none.
    pub validation_indices: Range<u32>,
    /// Frames beyond this number are dropped.
    pub max_frames: usize,
    /// Recordings to learn from are there again with each of these [warps](LogMelConfig::warp), as if other voices had said them; by
    /// default none.
    pub warps: Vec<f32>,
}

impl Default for SpokenDigitsConfig {
    fn default() -> Self {
        Self {
            features: LogMelConfig::default(),
            held_out: HeldOut::Indices(0..5),
            validation_indices: 0..0,
            max_frames: 100,
            warps: Vec::new(),
        }
    }
}

/// One recording as features.
#[derive(Debug, Clone, PartialEq)]
pub struct Utterance {
    /// Features, shape [time, feature].
    pub frames: Frames,
    /// What is said.
    pub digit: u8,
    /// Who says it.
    pub speaker: String,
}

/// Why the data set could not be read. Every message is one line.
#[derive(Debug, thiserror::Error)]
pub enum SpokenDigitsError {
    /// The folder is missing or the system refused to list it.
    #[error("{}: the folder cannot be read: {reason}", shown(folder))]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        reason: io::Error,
    },
    /// No file name fits.
    #[error("{}: no recording named {PATTERN} in it or in its sub-folder `recordings`", shown(folder))]
    NoRecordings {
        /// The folder.
        folder: PathBuf,
    },
    /// The split holds no recording.
    #[error("{}: no recording in the {split:?} split", shown(folder))]
    EmptySplit {
        /// The folder.
        folder: PathBuf,
        /// The split.
        split: Split,
    },
    /// The held-out speaker has no recording.
    #[error("{}: no recording of speaker `{speaker}`, only of {known}", shown(folder))]
    UnknownSpeaker {
        /// The folder.
        folder: PathBuf,
        /// The start of the speaker's name that was asked for.
        speaker: String,
        /// The speakers there are, the first of them.
        known: String,
    },
    /// A configured value lies outside its range.
    #[error(transparent)]
    Config(#[from] RangeError),
    /// A recording could not be read.
    #[error(transparent)]
    Audio(#[from] AudioError),
}

/// The index of a folder of spoken digits.
#[derive(Debug, Clone)]
pub struct SpokenDigits {
    folder: PathBuf,
    recordings: Vec<Recording>,
}

impl SpokenDigits {
    /// Reads the names of the recordings in `folder`, or in its sub-folder `recordings` where
    /// `folder` itself has none. Files of other names are ignored.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, SpokenDigitsError> {
        let mut folder = folder.as_ref().to_path_buf();
        let list = |folder: &Path| {
            recordings_in(folder).map_err(|reason| {
                let folder = folder.into();
                SpokenDigitsError::Folder { folder, reason }
            })
        };
        let mut recordings = list(&folder)?;
        let sub_folder = folder.join("recordings");
        if recordings.is_empty() && sub_folder.is_dir() {
            recordings = list(&sub_folder)?;
            if !recordings.is_empty() {
                folder = sub_folder;
            }
        }
        if recordings.is_empty() {
            return Err(SpokenDigitsError::NoRecordings { folder });
        }
        recordings.sort();
        Ok(Self { folder, recordings })
    }

    /// Every recording, sorted by digit, speaker and index.
    pub fn recordings(&self) -> &[Recording] {
        &self.recordings
    }

    /// The speakers' names, sorted.
    pub fn speakers(&self) -> Vec<&str> {
        let mut speakers: Vec<&str> = self.recordings.iter().map(|r| r.speaker.as_str()).collect();
        speakers.sort_unstable();
        speakers.dedup();
        speakers
    }

    /// The recordings of one split, in order; an error where there is none.
    pub fn select(
        &self,
        split: Split,
        config: &SpokenDigitsConfig,
    ) -> Result<Vec<&Recording>, SpokenDigitsError> {
        if let HeldOut::Speaker(speaker) = &config.held_out {
            let known = self.speakers();
            if !known.contains(&speaker.as_str()) {
                return Err(SpokenDigitsError::UnknownSpeaker {
                    folder: self.folder.clone(),
                    speaker: quoted(speaker),
                    known: listed(&known),
                });
            }
        }
        let selected: Vec<&Recording> = self
            .recordings
            .iter()
            .filter(|recording| split == Split::All || config.split_of(recording) == split)
            .collect();
        if selected.is_empty() {
            return Err(SpokenDigitsError::EmptySplit { folder: self.folder.clone(), split });
        }
        Ok(selected)
    }

    /// Reads the recordings of one split as feature frames, not yet z-scored; those to learn from with all warps.
    pub fn load(
        &self,
        split: Split,
        config: &SpokenDigitsConfig,
    ) -> Result<Vec<Utterance>, SpokenDigitsError> {
        RangeError::check(config.max_frames >= 1, "max_frames", config.max_frames, "at least 1 frame")?;
        let warps: &[f32] = if split == Split::Train { &config.warps } else { &[] };
        let warped = |warp: &f32| LogMel::new(&LogMelConfig { warp: *warp, ..config.features.clone() });
        let others = warps.iter().map(warped).collect::<Result<Vec<_>, _>>()?;
        let all: Vec<_> = [LogMel::new(&config.features)?].into_iter().chain(others).collect();
        let most = all.iter().map(|features| features.samples_of(config.max_frames)).max().unwrap_or(0);
        let mut utterances = Vec::new();
        for recording in self.select(split, config)? {
            let samples = read_wav_up_to(&recording.path, config.features.sample_rate_hz, most)?;
            for features in &all {
                let mut frames = features.frames(&samples);
                frames.truncate(config.max_frames);
                let Recording { digit, speaker, .. } = recording;
                utterances.push(Utterance { frames, digit: *digit, speaker: speaker.clone() });
            }
        }
        Ok(utterances)
    }
}

impl SpokenDigitsConfig {
    fn split_of(&self, recording: &Recording) -> Split {
        let test = match &self.held_out {
            HeldOut::Indices(indices) => indices.contains(&recording.index),
            HeldOut::Speaker(speaker) => *speaker == recording.speaker,
        };
        if test {
            Split::Test
        } else if self.validation_indices.contains(&recording.index) {
            Split::Validation
        } else {
            Split::Train
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn write_wav(path: &Path, samples: usize) {
        let spec = hound::WavSpec {
            channels: 1,
            sample_rate: 8_000,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut writer = hound::WavWriter::create(path, spec).unwrap();
        for i in 0..samples {
            writer.write_sample((i % 50) as i16 * 100).unwrap();
        }
        writer.finalize().unwrap();
    }

    /// Digits 0 and 1 by two speakers, indices 0 to 7; the recording's length tells its index.
    fn data_set() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (digit, speaker) in [(0, "ann"), (0, "bob_b"), (1, "ann"), (1, "bob_b")] {
            for index in 0..8 {
                let name = format!("{digit}_{speaker}_{index}.wav");
                write_wav(&folder.path().join(name), 200 + 80 * index);
            }
        }
        folder
    }

    fn indices(recordings: &[&Recording]) -> Vec<u32> {
        let mut indices: Vec<u32> = recordings.iter().map(|r| r.index).collect();
        indices.sort_unstable();
        indices.dedup();
        indices
    }

    #[test]
    fn the_index_is_sorted_and_found_in_the_sub_folder() {
        let folder = data_set();
        fs::write(folder.path().join("notes.txt"), "not a recording").unwrap();
        let digits = SpokenDigits::open(folder.path()).unwrap();
        assert_eq!(digits.recordings().len(), 32);
        assert!(digits.recordings().is_sorted());
        assert_eq!(digits.speakers(), ["ann", "bob_b"]);

        let outer = tempfile::tempdir().unwrap();
        fs::rename(folder.path(), outer.path().join("recordings")).unwrap();
        assert_eq!(SpokenDigits::open(outer.path()).unwrap().recordings().len(), 32);
    }

    #[test]
    fn recordings_in_either_case_are_used_and_hidden_files_are_not() {
        let folder = data_set();
        let path = |name: &str| folder.path().join(name);
        fs::rename(path("0_ann_7.wav"), path("0_ann_7.WAV")).unwrap();
        fs::write(path("._0_ann_7.WAV"), "not audio").unwrap();
        let digits = SpokenDigits::open(folder.path()).unwrap();
        assert_eq!(digits.recordings().len(), 32);
        assert_eq!(digits.load(Split::Train, &SpokenDigitsConfig::default()).unwrap().len(), 12);
    }

    #[test]
    fn names_of_files_stay_on_one_line_of_a_message() {
        let folder = tempfile::tempdir().unwrap();
        let outer = folder.path().join("a\nb");
        fs::create_dir(&outer).unwrap();
        (0..60).for_each(|speaker| write_wav(&outer.join(format!("0_\u{7}{speaker:02}_0.wav")), 200));
        let held_out = HeldOut::Speaker("c\n".repeat(100));
        let config = SpokenDigitsConfig { held_out, ..Default::default() };
        let digits = SpokenDigits::open(&outer).unwrap();
        let message = digits.select(Split::Test, &config).unwrap_err().to_string();
        assert!(message.contains("a\\nb: no recording of speaker `c\\nc\\n"), "{message}");
        assert!(message.ends_with("\\u{7}48, \\u{7}49 and 10 more"), "{message}");
        assert!(message.len() < 1_000 && !message.contains(char::is_control), "{message}");
    }

    #[test]
    fn splits_are_disjoint_and_complete() {
        let folder = data_set();
        let digits = SpokenDigits::open(folder.path()).unwrap();
        let config = SpokenDigitsConfig { validation_indices: 5..7, ..Default::default() };
        let select = |split| indices(&digits.select(split, &config).unwrap());
        assert_eq!(select(Split::Test), [0, 1, 2, 3, 4]);
        assert_eq!(select(Split::Validation), [5, 6]);
        assert_eq!(select(Split::Train), [7]);
        assert_eq!(digits.select(Split::All, &config).unwrap().len(), 32);
    }

    #[test]
    fn a_speaker_can_be_left_out() {
        let folder = data_set();
        let digits = SpokenDigits::open(folder.path()).unwrap();
        let mut config =
            SpokenDigitsConfig { held_out: HeldOut::Speaker("ann".into()), ..Default::default() };
        let test = digits.select(Split::Test, &config).unwrap();
        assert!(test.len() == 16 && test.iter().all(|r| r.speaker == "ann"));
        let train = digits.select(Split::Train, &config).unwrap();
        assert!(train.len() == 16 && train.iter().all(|r| r.speaker == "bob_b"));

        config.held_out = HeldOut::Speaker("cid".into());
        let message = digits.select(Split::Test, &config).unwrap_err().to_string();
        assert!(message.ends_with("no recording of speaker `cid`, only of ann, bob_b"), "{message}");
    }

    #[test]
    fn loaded_utterances_are_labelled_and_capped() {
        let folder = data_set();
        let digits = SpokenDigits::open(folder.path()).unwrap();
        let config = SpokenDigitsConfig { max_frames: 7, ..Default::default() };
        let train = digits.load(Split::Train, &config).unwrap();
        let lengths: Vec<usize> = train.iter().take(3).map(|u| u.frames.len()).collect();
        assert_eq!(lengths, [6, 7, 7], "indices 5, 6 and 7, of which the last has 8 frames");
        assert_eq!((train[0].digit, train[0].speaker.as_str()), (0, "ann"));
        assert_eq!((train[11].digit, train[11].frames.features), (1, 64));
        let features = LogMelConfig { high_hz: 3_500.0, ..config.features.clone() };
        let others = SpokenDigitsConfig { warps: vec![0.9, 1.1], features, ..config.clone() };
        let heard = digits.load(Split::Train, &others).unwrap();
        assert_eq!(heard.len(), 3 * train.len());
        assert_eq!((heard[4].digit, &heard[4].speaker), (train[1].digit, &train[1].speaker));
        assert_eq!(
            digits.load(Split::Test, &others).unwrap().len(),
            digits.load(Split::Test, &config).unwrap().len()
        );
        let beyond = SpokenDigitsConfig { warps: vec![1.2], ..others };
        assert!(digits.load(Split::Train, &beyond).unwrap_err().to_string().starts_with("`warp` is 1.2"));
    }

    #[test]
    fn what_cannot_be_loaded_is_named() {
        let folder = data_set();
        let missing = SpokenDigits::open(folder.path().join("none")).unwrap_err();
        assert!(matches!(missing, SpokenDigitsError::Folder { .. }), "{missing}");
        let empty = tempfile::tempdir().unwrap();
        let message = SpokenDigits::open(empty.path()).unwrap_err().to_string();
        assert!(message.contains("{digit}_{speaker}_{index}.wav"), "{message}");
        assert!(message.contains(&*empty.path().to_string_lossy()), "{message}");

        let digits = SpokenDigits::open(folder.path()).unwrap();
        let mut config = SpokenDigitsConfig::default();
        let none = digits.load(Split::Validation, &config).unwrap_err();
        assert!(matches!(none, SpokenDigitsError::EmptySplit { .. }), "{none}");
        fs::write(folder.path().join("1_ann_7.wav"), "not audio").unwrap();
        let damaged = digits.load(Split::Train, &config).unwrap_err();
        assert!(damaged.to_string().contains("1_ann_7.wav"), "{damaged}");
        config.max_frames = 0;
        let range = digits.load(Split::Test, &config).unwrap_err();
        assert!(range.to_string().starts_with("`max_frames` is 0"), "{range}");
    }
}
