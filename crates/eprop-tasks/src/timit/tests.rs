//! Tests on corpora that the tests write.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::audio::synthetic::{timit_sphere, tone, write_wav};

/// Three phones of 0.1 s, each a tone of its own.
const TONES: [(&str, f32); 3] = [("h#", 0.0), ("iy", 2_400.0), ("ow", 500.0)];
const PHONE_SAMPLES: usize = 1_600;

/// A corpus in the layout of LDC93S1, removed when it is dropped.
struct Corpus(tempfile::TempDir);

impl Corpus {
    /// One speaker of TRAIN, the core test and one speaker of the development set.
    fn new() -> Self {
        let corpus = Self(tempfile::tempdir().unwrap());
        corpus.add_speaker("TRAIN", "dr1/fcjf0");
        for speaker in CORE_TEST_SPEAKERS.into_iter().chain(["dr1/faks0", "dr1/mxxx0"]) {
            corpus.add_speaker("TEST", speaker);
        }
        corpus
    }

    fn root(&self) -> &Path {
        self.0.path()
    }

    fn speaker(&self, part: &str, speaker: &str) -> PathBuf {
        self.root().join(part).join(speaker.to_uppercase())
    }

    fn add_speaker(&self, part: &str, speaker: &str) {
        let folder = self.speaker(part, speaker);
        fs::create_dir_all(&folder).unwrap();
        for sentence in ["SA1", "SX37"] {
            fs::write(folder.join(format!("{sentence}.WAV")), timit_sphere(&levels())).unwrap();
            fs::write(folder.join(format!("{sentence}.PHN")), transcript()).unwrap();
            fs::write(folder.join(format!("{sentence}.TXT")), "0 4800 Or.").unwrap();
        }
    }

    fn train_file(&self, name: &str) -> PathBuf {
        self.speaker("TRAIN", "dr1/fcjf0").join(name)
    }

    fn open(&self) -> Timit {
        Timit::open(self.root()).unwrap()
    }

    /// The message, which is one line and names `path`.
    fn refuse(&self, path: &Path, split: Split) -> String {
        let load = |corpus: Timit| corpus.load(split, &TimitConfig::default());
        let message = Timit::open(self.root()).and_then(load).unwrap_err().to_string();
        let message = message.strip_prefix(&*path.to_string_lossy()).unwrap_or_else(|| panic!("{message}"));
        assert_eq!(message.lines().count(), 1, "{message}");
        message.to_owned()
    }
}

fn levels() -> Vec<i16> {
    TONES.iter().flat_map(|(_, hz)| tone(*hz, 16_000, PHONE_SAMPLES)).collect()
}

fn transcript() -> String {
    let line = |(i, (name, _)): (usize, &(&str, f32))| {
        format!("{} {} {name}\n", i * PHONE_SAMPLES, (i + 1) * PHONE_SAMPLES)
    };
    TONES.iter().enumerate().map(line).collect()
}

fn speakers(sentences: &[&Sentence]) -> Vec<String> {
    sentences.iter().map(|sentence| sentence.speaker.clone()).collect()
}

#[test]
fn splits_are_those_of_the_corpus() {
    let corpus = Corpus::new();
    let timit = corpus.open();
    let select = |split| speakers(&timit.select(split).unwrap());
    assert_eq!(select(Split::Train), ["dr1/fcjf0"]);
    assert_eq!(select(Split::Validation), ["dr1/faks0"]);
    let mut core = CORE_TEST_SPEAKERS.map(str::to_owned);
    core.sort();
    assert_eq!(select(Split::Test), core);
    assert_eq!(select(Split::All).len(), 27);
    assert!(timit.sentences().iter().all(|sentence| sentence.name == "sx37"), "SA1 is left out");
}

#[test]
fn a_training_speaker_of_a_test_speakers_name_stays_in_train() {
    let corpus = Corpus::new();
    corpus.add_speaker("TRAIN", "dr1/mdab0");
    let timit = corpus.open();
    assert_eq!(timit.select(Split::Train).unwrap().len(), 2);
    assert_eq!(timit.select(Split::Test).unwrap().len(), 24);
}

#[test]
fn frames_carry_the_phone_at_the_middle_of_their_window() {
    let config = TimitConfig::log_mel();
    let train = Corpus::new().open().load(Split::Train, &config).unwrap();
    let [utterance] = train.as_slice() else { panic!("one sentence, not {}", train.len()) };
    assert_eq!((utterance.speaker.as_str(), utterance.sentence.as_str()), ("dr1/fcjf0", "sx37"));
    assert_eq!(utterance.frames.features, 123);
    // 0.3 s: windows of 25 ms start at 0, 10, .., 270 ms and their middles lie 12.5 ms later.
    let names: Vec<&str> = utterance.phones.iter().map(|&phone| PHONES[usize::from(phone)]).collect();
    let expected = [vec!["h#"; 9], vec!["iy"; 10], vec!["ow"; 9]].concat();
    assert_eq!(names, expected);
    assert_eq!(utterance.frames.len(), 28);

    // Where the window lies within one phone, the loudest band tells which it is.
    let loudest = |t: usize| {
        let bands = &utterance.frames.row(t)[..40];
        (0..40).max_by(|&a, &b| bands[a].total_cmp(&bands[b])).unwrap()
    };
    for (t, name) in names.iter().enumerate() {
        let within = (t * 160) / PHONE_SAMPLES == (t * 160 + 399) / PHONE_SAMPLES;
        match *name {
            "iy" if within => assert!((20..30).contains(&loudest(t)), "frame {t}: {}", loudest(t)),
            "ow" if within => assert!((5..12).contains(&loudest(t)), "frame {t}: {}", loudest(t)),
            _ => {}
        }
    }
}

#[test]
fn transcripts_count_at_16_khz_whatever_the_rate_of_the_features() {
    let corpus = Corpus::new();
    let timit = corpus.open();
    let (wide, narrow) = (TimitConfig::mfcc(), TimitConfig { features: LogMelConfig::default() });
    let phones = |config| timit.load(Split::Train, config).unwrap().remove(0).phones;
    assert_eq!(phones(&wide), phones(&narrow));
}

#[test]
fn the_corpus_is_found_in_sub_folders_and_in_lower_case() {
    let corpus = Corpus::new();
    let outer = tempfile::tempdir().unwrap();
    let inner = outer.path().join("timit").join("TIMIT");
    fs::create_dir_all(&inner).unwrap();
    for part in ["TRAIN", "TEST"] {
        fs::rename(corpus.root().join(part), inner.join(part.to_lowercase())).unwrap();
    }
    let speaker = inner.join("train/DR1/FCJF0");
    for name in ["SX37.WAV", "SX37.PHN"] {
        fs::rename(speaker.join(name), speaker.join(name.to_lowercase())).unwrap();
    }
    for folder in [outer.path(), &outer.path().join("timit"), &inner] {
        let timit = Timit::open(folder).unwrap();
        assert_eq!(timit.sentences().len(), 27);
        timit.load(Split::Train, &TimitConfig::default()).unwrap();
    }
}

#[test]
fn the_original_is_read_before_its_converted_copy() {
    let corpus = Corpus::new();
    let copy = corpus.train_file("SX37.WAV.wav");
    write_wav(&copy, 16_000, &levels());
    let audio = |timit: &Timit| timit.select(Split::Train).unwrap()[0].audio.clone();
    assert_eq!(audio(&corpus.open()), corpus.train_file("SX37.WAV"));
    let original = corpus.open().load(Split::Train, &TimitConfig::default()).unwrap();

    fs::remove_file(corpus.train_file("SX37.WAV")).unwrap();
    assert_eq!(audio(&corpus.open()), copy);
    assert_eq!(corpus.open().load(Split::Train, &TimitConfig::default()).unwrap(), original);
}

#[test]
fn hidden_files_are_passed_over() {
    let corpus = Corpus::new();
    for name in ["._SX37.WAV", "._SX37.PHN", ".DS_Store"] {
        fs::write(corpus.train_file(name), "not audio").unwrap();
    }
    assert_eq!(corpus.open().load(Split::Train, &TimitConfig::default()).unwrap().len(), 1);
}

#[test]
#[cfg(target_os = "linux")]
fn two_files_of_one_sentence_are_refused() {
    let corpus = Corpus::new();
    let (upper, lower) = (corpus.train_file("SX37.WAV"), corpus.train_file("sx37.wav"));
    fs::copy(&upper, &lower).unwrap();
    let expected = format!(": the same sentence as in {}", upper.display());
    assert_eq!(corpus.refuse(&lower, Split::Train), expected);
    fs::remove_file(&lower).unwrap();

    let copy = corpus.root().join("train/dr1/fcjf0");
    fs::create_dir_all(&copy).unwrap();
    for name in ["SX37.WAV", "SX37.PHN"] {
        fs::copy(corpus.train_file(name), copy.join(name)).unwrap();
    }
    assert_eq!(corpus.refuse(&copy.join("SX37.WAV"), Split::Train), expected);
}

#[test]
fn missing_folders_are_named() {
    let corpus = Corpus::new();
    fs::remove_dir_all(corpus.root().join("TEST")).unwrap();
    assert!(corpus.refuse(corpus.root(), Split::Train).starts_with(": no folder TEST in it"));
    fs::remove_dir_all(corpus.root().join("TRAIN")).unwrap();
    assert!(corpus.refuse(corpus.root(), Split::Train).starts_with(": no folder TRAIN or TEST in it"));
    let missing = Timit::open(corpus.root().join("none")).unwrap_err();
    assert!(matches!(missing, TimitError::Unreadable { .. }), "{missing}");
}

#[test]
fn half_a_sentence_is_refused() {
    let corpus = Corpus::new();
    let (audio, transcript) = (corpus.train_file("SX37.WAV"), corpus.train_file("SX37.PHN"));
    fs::remove_file(&transcript).unwrap();
    assert_eq!(corpus.refuse(&audio, Split::Test), ": no .PHN file of this sentence beside it");
    fs::rename(&audio, &transcript).unwrap();
    assert_eq!(corpus.refuse(&transcript, Split::Test), ": no .WAV file of this sentence beside it");
}

#[test]
fn faulty_transcripts_and_audio_are_named() {
    let corpus = Corpus::new();
    let transcript = corpus.train_file("SX37.PHN");
    for (text, message) in [
        ("0 1600 h#\n1600 iy\n", ": line 2: `1600 iy` is not `first_sample last_sample phone`"),
        ("0 1600 h#\n1600 4801 iy\n", ": line 2: the segment ends at sample 4801, but the audio at 4800"),
    ] {
        fs::write(&transcript, text).unwrap();
        assert_eq!(corpus.refuse(&transcript, Split::Train), message);
    }
    fs::write(&transcript, [0xFF, b'\n', 0xFE]).unwrap();
    assert!(corpus.refuse(&transcript, Split::Train).starts_with(": cannot be read"));
    let audio = corpus.train_file("SX37.WAV");
    fs::write(&audio, "garbage").unwrap();
    assert!(corpus.refuse(&audio, Split::Train).starts_with(": neither"));
}

#[test]
fn an_incomplete_core_test_and_an_empty_split_are_refused() {
    let corpus = Corpus::new();
    fs::remove_dir_all(corpus.speaker("TEST", "dr3/mjmp0")).unwrap();
    let message = corpus.refuse(corpus.root(), Split::Test);
    assert_eq!(message, ": no sentence of dr3/mjmp0, who belongs to the core test set");
    fs::remove_dir_all(corpus.speaker("TEST", "dr1/faks0")).unwrap();
    let message = corpus.refuse(corpus.root(), Split::Validation);
    assert_eq!(message, ": no sentence in the Validation split");
    fs::remove_dir_all(corpus.speaker("TRAIN", "dr1/fcjf0")).unwrap();
    let message = corpus.refuse(corpus.root(), Split::Train);
    assert_eq!(message, ": no sentence in the Train split");
}
