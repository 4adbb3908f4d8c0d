//! Recordings and the parts they belong to.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};

use sha1::{Digest, Sha1};

use super::SpeechCommandsError;
use crate::data_file;
use crate::quoted::quoted;
use crate::split::Split;

/// What stands between the speaker's hash and the number in a file's name.
const SEPARATOR: &str = "_nohash_";
/// Speakers are spread over this many hashes, the data set's `MAX_NUM_WAVS_PER_CLASS` + 1.
const HASHES: u32 = 1 << 27;
/// Percent of the speakers in the validation and in the test set.
const HELD_OUT_PERCENT: f64 = 10.0;
/// Largest list that is read, in bytes. That of the data set has 300 kB.
const MAX_LIST_BYTES: u64 = 1 << 26;

/// One file of the data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WordRecording {
    /// What is said.
    pub word: String,
    /// The file's name in the folder of the word.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// Which part it belongs to.
    pub split: Split,
}

/// The recordings of a folder, sorted, with the splits of the lists or, without lists, of the hashes.
pub(super) fn recordings_in(folder: &Path) -> Result<Vec<WordRecording>, SpeechCommandsError> {
    let mut recordings = Vec::new();
    for (word, word_folder) in entries_of(folder)? {
        // `_background_noise_` holds no word.
        if word.starts_with('_') || data_file::is_hidden(&word) || !word_folder.is_dir() {
            continue;
        }
        for (name, path) in entries_of(&word_folder)? {
            if data_file::is_hidden(&name) {
                continue;
            }
            if let Some(split) = split_of(&name) {
                recordings.push(WordRecording { word: word.clone(), name, path, split });
            }
        }
    }
    if recordings.is_empty() {
        return Err(SpeechCommandsError::NoRecordings { folder: folder.into() });
    }
    recordings.sort_by(|a, b| (&a.word, &a.name).cmp(&(&b.word, &b.name)));
    split_by_lists(folder, &mut recordings)?;
    Ok(recordings)
}

/// The split of a file by the hash of what precedes `_nohash_` in its name, so that all recordings of
/// a speaker fall into one split; `None` for other names.
fn split_of(name: &str) -> Option<Split> {
    let (speaker, number) = data_file::without_ending(name, ".wav")?.split_once(SEPARATOR)?;
    if speaker.is_empty() || number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digest = Sha1::digest(speaker);
    let tail = digest.last_chunk().copied().unwrap_or_default();
    // The number that the digest spells, modulo 2²⁷.
    let hash = u32::from_be_bytes(tail) % HASHES;
    let percent = f64::from(hash) * (100.0 / f64::from(HASHES - 1));
    Some(if percent < HELD_OUT_PERCENT {
        Split::Validation
    } else if percent < 2.0 * HELD_OUT_PERCENT {
        Split::Test
    } else {
        Split::Train
    })
}

/// Replaces the splits by those of the lists, where there are lists.
fn split_by_lists(folder: &Path, recordings: &mut [WordRecording]) -> Result<(), SpeechCommandsError> {
    let [validation, test] =
        ["validation_list.txt", "testing_list.txt"].map(|name| data_file::find(folder, name));
    match (validation.exists(), test.exists()) {
        (false, false) => return Ok(()),
        (true, true) => {}
        (false, true) => return Err(SpeechCommandsError::NoList { list: validation }),
        (true, false) => return Err(SpeechCommandsError::NoList { list: test }),
    }
    // A list that was made elsewhere may have names in another case.
    let key = |recording: &WordRecording| format!("{}/{}", recording.word, recording.name).to_lowercase();
    let known: HashSet<String> = recordings.iter().map(key).collect();
    let mut held_out = HashMap::new();
    for (list, split) in [(&validation, Split::Validation), (&test, Split::Test)] {
        for (line, name) in lines_of(list)? {
            let (list, key) = (list.clone(), name.to_lowercase());
            if !known.contains(&key) {
                return Err(SpeechCommandsError::NoSuchRecording { list, line, name: quoted(&name) });
            }
            if held_out.insert(key, split).is_some_and(|earlier| earlier != split) {
                return Err(SpeechCommandsError::InBothLists { list, line, name: quoted(&name) });
            }
        }
    }
    for recording in recordings {
        recording.split = held_out.get(&key(recording)).copied().unwrap_or(Split::Train);
    }
    Ok(())
}

/// The lines of a list that are not blank, with their numbers from 1.
fn lines_of(list: &Path) -> Result<Vec<(usize, String)>, SpeechCommandsError> {
    let text = data_file::read_text(list, MAX_LIST_BYTES)
        .map_err(|reason| SpeechCommandsError::Unreadable { path: list.into(), reason })?;
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim().to_owned()));
    Ok(lines.filter(|(_, line)| !line.is_empty()).collect())
}

/// Name and path of what a folder holds.
fn entries_of(folder: &Path) -> Result<Vec<(String, PathBuf)>, SpeechCommandsError> {
    let list = || -> io::Result<Vec<(String, PathBuf)>> {
        std::fs::read_dir(folder)?
            .map(|entry| {
                let path = entry?.path();
                Ok((path.file_name().unwrap_or_default().to_string_lossy().into_owned(), path))
            })
            .collect()
    };
    list().map_err(|reason| SpeechCommandsError::Unreadable { path: folder.into(), reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_decides_as_the_data_sets_own_program_does() {
        // Percentages by the program in the data set's README.
        let cases = [
            ("a69b9b3e", Split::Validation), // 4.88
            ("0ab3b47d", Split::Validation), // 9.13
            ("9a7c1f83", Split::Test),       // 11.58
            ("bb05582b", Split::Test),       // 18.13
            ("c", Split::Train),             // 28.46
            ("988e2f9a", Split::Train),      // 99.93
        ];
        for (speaker, split) in cases {
            for number in [0, 3, 12] {
                assert_eq!(split_of(&format!("{speaker}_nohash_{number}.wav")), Some(split), "{speaker}");
            }
        }
    }

    #[test]
    fn about_a_tenth_of_the_speakers_goes_into_each_held_out_set() {
        let of =
            |split| (0..5_000).filter(|i| split_of(&format!("{i:08x}_nohash_0.wav")) == Some(split)).count();
        for split in [Split::Validation, Split::Test] {
            assert!(of(split).abs_diff(500) < 75, "{split:?}: {}", of(split));
        }
    }

    #[test]
    fn other_names_are_no_recordings() {
        assert_eq!(split_of("a69b9b3e_nohash_0.WAV"), Some(Split::Validation));
        for name in ["a.wav", "_nohash_0.wav", "a_nohash_.wav", "a_nohash_x.wav", "a_nohash_0.mp3", ""] {
            assert_eq!(split_of(name), None, "{name}");
        }
    }
}
