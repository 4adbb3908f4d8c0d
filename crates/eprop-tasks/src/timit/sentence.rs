//! Sentences and the folders that hold them.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::TimitError;
use super::speakers::{CORE_TEST_SPEAKERS, DEVELOPMENT_SPEAKERS};
use crate::split::Split;

/// The folders that hold the training and the test sentences.
const PARTS: [&str; 2] = ["TRAIN", "TEST"];
/// Folders between the one that is opened and the one that holds [`PARTS`]: some copies are unpacked
/// to `timit/TIMIT`.
const MAX_DEPTH: usize = 2;

/// A sentence read aloud by one speaker. All names are in lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sentence {
    /// Whether it lies in the folder TRAIN.
    pub train: bool,
    /// Dialect region and speaker, such as `dr1/fcjf0`.
    pub speaker: String,
    /// The sentence's name, such as `sx37`.
    pub name: String,
    /// The recording.
    pub audio: PathBuf,
    /// The phones.
    pub transcript: PathBuf,
}

impl Sentence {
    pub(super) fn belongs_to(&self, split: Split) -> bool {
        let speaker = self.speaker.as_str();
        match split {
            Split::Train => self.train,
            Split::Validation => !self.train && DEVELOPMENT_SPEAKERS.contains(&speaker),
            Split::Test => !self.train && CORE_TEST_SPEAKERS.contains(&speaker),
            Split::All => true,
        }
    }
}

/// The folder that holds the folders TRAIN and TEST: `folder` itself or a sub-folder.
pub(super) fn corpus_in(folder: &Path) -> Result<PathBuf, TimitError> {
    let no_folder = |name| TimitError::NoFolder { folder: folder.into(), name };
    let found = search(folder, MAX_DEPTH)?.ok_or_else(|| no_folder("TRAIN or TEST"))?;
    let names: Vec<String> = folders_in(&found)?.into_iter().map(|(name, _)| name).collect();
    match PARTS.iter().find(|part| !names.contains(&part.to_lowercase())) {
        Some(part) => Err(TimitError::NoFolder { folder: found, name: part }),
        None => Ok(found),
    }
}

/// The nearest folder that holds at least one of TRAIN and TEST.
fn search(folder: &Path, depth: usize) -> Result<Option<PathBuf>, TimitError> {
    let folders = folders_in(folder)?;
    if folders.iter().any(|(name, _)| PARTS.iter().any(|part| part.eq_ignore_ascii_case(name))) {
        return Ok(Some(folder.into()));
    }
    for (name, sub_folder) in folders {
        if depth > 0
            && ["timit", "data"].contains(&name.as_str())
            && let Some(found) = search(&sub_folder, depth - 1)?
        {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// The sentences of a corpus, sorted, without SA1 and SA2, which all speakers read.
pub(super) fn sentences_in(corpus: &Path) -> Result<Vec<Sentence>, TimitError> {
    let mut sentences = Vec::new();
    for (part, part_folder) in folders_in(corpus)? {
        if !PARTS.iter().any(|name| name.eq_ignore_ascii_case(&part)) {
            continue;
        }
        for (region, region_folder) in folders_in(&part_folder)? {
            if !is_region(&region) {
                continue;
            }
            for (speaker, folder) in folders_in(&region_folder)? {
                if speaker.starts_with(['f', 'm']) {
                    let speaker = format!("{region}/{speaker}");
                    sentences.extend(sentences_of(&folder, part == "train", &speaker)?);
                }
            }
        }
    }
    sentences.sort();
    let same = |a: &Sentence, b: &Sentence| (a.train, &a.speaker, &a.name) == (b.train, &b.speaker, &b.name);
    match sentences.windows(2).find(|pair| same(&pair[0], &pair[1])) {
        Some([a, b]) => Err(TimitError::Twice { path: b.audio.clone(), other: a.audio.clone() }),
        _ => Ok(sentences),
    }
}

fn is_region(name: &str) -> bool {
    name.strip_prefix("dr").is_some_and(|number| matches!(number.as_bytes(), [b'1'..=b'8']))
}

/// The files of one sentence.
#[derive(Default)]
struct Files {
    original: Option<PathBuf>,
    /// The copy that a program has converted to WAV.
    converted: Option<PathBuf>,
    transcript: Option<PathBuf>,
}

impl Files {
    /// Where a file with this ending belongs.
    fn place(&mut self, ending: &str) -> Option<&mut Option<PathBuf>> {
        match ending {
            "wav" => Some(&mut self.original),
            "wav.wav" => Some(&mut self.converted),
            "phn" => Some(&mut self.transcript),
            _ => None,
        }
    }
}

fn sentences_of(folder: &Path, train: bool, speaker: &str) -> Result<Vec<Sentence>, TimitError> {
    let mut files: BTreeMap<String, Files> = BTreeMap::new();
    for (name, path) in entries_of(folder)? {
        let Some((sentence, ending)) = name.split_once('.') else { continue };
        if sentence.is_empty() || sentence.starts_with("sa") {
            continue;
        }
        let files = files.entry(sentence.into()).or_default();
        let Some(place) = files.place(ending) else { continue };
        if let Some(other) = place.take() {
            return Err(TimitError::Twice { path, other });
        }
        *place = Some(path);
    }
    let mut sentences = Vec::new();
    for (name, files) in files {
        let (audio, transcript) = match (files.original.or(files.converted), files.transcript) {
            (Some(audio), Some(transcript)) => (audio, transcript),
            (Some(path), None) => return Err(TimitError::Incomplete { path, lacks: ".PHN file" }),
            (None, Some(path)) => return Err(TimitError::Incomplete { path, lacks: ".WAV file" }),
            (None, None) => continue,
        };
        sentences.push(Sentence { train, speaker: speaker.into(), name, audio, transcript });
    }
    Ok(sentences)
}

fn folders_in(folder: &Path) -> Result<Vec<(String, PathBuf)>, TimitError> {
    Ok(entries_of(folder)?.into_iter().filter(|(_, path)| path.is_dir()).collect())
}

/// Name in lower case and path of what a folder holds, sorted.
fn entries_of(folder: &Path) -> Result<Vec<(String, PathBuf)>, TimitError> {
    let list = || -> io::Result<Vec<(String, PathBuf)>> {
        std::fs::read_dir(folder)?
            .map(|entry| {
                let path = entry?.path();
                let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
                Ok((name, path))
            })
            .collect()
    };
    let mut entries = list().map_err(|reason| TimitError::Unreadable { path: folder.into(), reason })?;
    entries.sort();
    Ok(entries)
}
