//! Recordings and their names.

use std::io;
use std::path::{Path, PathBuf};

use crate::data_file::without_ending;

/// The naming of the recordings.
pub(super) const PATTERN: &str = "{digit}_{speaker}_{index}.wav";

/// One file of the data set.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Recording {
    /// What is said.
    pub digit: u8,
    /// Who says it.
    pub speaker: String,
    /// Which of the speaker's recordings of this digit it is.
    pub index: u32,
    /// The file.
    pub path: PathBuf,
}

impl Recording {
    /// The recording that a file's name announces.
    fn from_path(path: PathBuf) -> Option<Self> {
        let name = path.file_name()?.to_string_lossy().into_owned();
        let stem = without_ending(&name, ".wav")?;
        let (digit, rest) = stem.split_once('_')?;
        let (speaker, index) = rest.rsplit_once('_')?;
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if digit.len() != 1 || !is_number(digit) || !is_number(index) || speaker.is_empty() {
            return None;
        }
        Some(Self {
            digit: digit.parse().ok()?,
            speaker: speaker.to_owned(),
            index: index.parse().ok()?,
            path,
        })
    }
}

/// The recordings among the files of a folder, in no order.
pub(super) fn recordings_in(folder: &Path) -> io::Result<Vec<Recording>> {
    let mut recordings = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        recordings.extend(Recording::from_path(entry?.path()));
    }
    Ok(recordings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_parsed_and_others_ignored() {
        let parse = |name: &str| Recording::from_path(name.into());
        let recording = parse("7_mary_ann_12.wav").unwrap();
        assert_eq!((recording.digit, recording.index), (7, 12));
        assert_eq!(recording.speaker, "mary_ann");
        assert_eq!(parse("7_mary_ann_12.WAV").unwrap().speaker, "mary_ann");
        let others = [
            "7_mary.wav",
            "a_mary_1.wav",
            "17_mary_1.wav",
            "7__1.wav",
            "7_mary_.wav",
            "7_mary_+1.wav",
            "7_mary_1.mp3",
            "._7_mary_1.wav",
            "_mary_1.wav",
            "7_mary_99999999999.wav",
            "README.md",
        ];
        for name in others {
            assert_eq!(parse(name), None, "{name}");
        }
    }
}
