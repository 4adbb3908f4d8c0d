//! Data sets in the layouts in which they are sold or offered, made by the tests, and what is wrong with others.

use std::f32::consts::TAU;
use std::fs;
use std::path::{Path, PathBuf};

use eprop_tasks::timit::{CORE_TEST_SPEAKERS, DEVELOPMENT_SPEAKERS};
use hound::{SampleFormat, WavSpec, WavWriter};
use serde_json::Value;

use crate::support::{refuse, succeed, text};

/// A recording of some tones, each of so many samples.
fn write_tones(path: &Path, sample_rate: u32, tones: &[(f32, u32)]) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    let spec = WavSpec { channels: 1, sample_rate, bits_per_sample: 16, sample_format: SampleFormat::Int };
    let mut writer = WavWriter::create(path, spec).expect("created");
    for &(hz, samples) in tones {
        for sample in 0..samples {
            let value = (TAU * hz * sample as f32 / sample_rate as f32).sin();
            writer.write_sample((value * 8000.0) as i16).expect("written");
        }
    }
    writer.finalize().expect("finished");
}

fn evaluation(run: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(run.join("evaluation.json")).expect("there")).expect("JSON")
}

/// Trains on a data set and evaluates; returns the evaluation.
fn learn(task: &str, data: &Path, more: &[&str]) -> Value {
    let folder = tempfile::tempdir().expect("a folder");
    let run = folder.path().join("run");
    let train = ["train", task, "--data", text(data), "--out", text(&run)];
    succeed(&[&train[..], more].concat());
    let found = evaluation(&run);
    let again = succeed(&["eval", text(&run), "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&again).expect("JSON"), found);
    for file in ["activity.svg", "confusion_matrix.svg", "learning_curve.svg"] {
        assert!(run.join(file).exists(), "{file}");
    }
    found
}

/// A sentence of a hum and a whistle, with its phones.
fn write_sentence(folder: &Path, part: &str, speaker: &str, sentence: &str, first: u32) {
    let base = folder.join(part).join(speaker.to_uppercase()).join(sentence);
    let parts = [first, 1600, 4800 - first];
    let tones = [(0.0, parts[0]), (400.0, parts[1]), (3000.0, parts[2])];
    write_tones(&base.with_extension("WAV"), 16_000, &tones);
    let ends: Vec<u32> = parts
        .iter()
        .scan(0, |end, samples| {
            *end += samples;
            Some(*end)
        })
        .collect();
    let phones = format!("0 {} h#\n{} {} aa\n{} {} s\n", ends[0], ends[0], ends[1], ends[1], ends[2]);
    fs::write(base.with_extension("PHN"), phones).expect("written");
}

/// TIMIT in the layout of LDC93S1: all test speakers that its splits name, and two to learn from.
fn timit(folder: &Path) -> PathBuf {
    let corpus = folder.join("timit");
    for (index, speaker) in CORE_TEST_SPEAKERS.iter().chain(DEVELOPMENT_SPEAKERS.iter().take(3)).enumerate() {
        write_sentence(&corpus, "TEST", speaker, "SX1", 800 + 40 * index as u32);
        write_sentence(&corpus, "TEST", speaker, "SA1", 800);
    }
    for (speaker, sentence) in
        [("DR1/FAAA0", "SI1"), ("DR1/FAAA0", "SX2"), ("DR4/MBBB0", "SX3"), ("DR4/MBBB0", "SA2")]
    {
        write_sentence(&corpus, "TRAIN", speaker, sentence, 1200);
    }
    corpus
}

#[test]
fn phones_are_told_frame_by_frame() {
    let folder = tempfile::tempdir().expect("a folder");
    let corpus = timit(folder.path());
    let settings = folder.path().join("small.toml");
    fs::write(&settings, "batch = 3\n[network]\nneurons = 30\n").expect("written");
    let small = ["--config", text(&settings), "--iterations", "30"];
    let lstm = learn("timit", &corpus, &[&small[..], &["--cell", "lstm"]].concat());
    assert_eq!(lstm["sequences"], 24, "a sentence of each speaker of the core test, and not SA1");
    assert!(lstm["accuracy"].as_f64() > Some(0.6), "{lstm}");
    fs::write(&settings, "batch = 3\nsteps_per_frame = 2\n[network]\nneurons = 20\n[timit.features]\nenergy = true\ndeltas = 2\n")
        .expect("written");
    for method in ["eprop", "eprop3"] {
        let few = ["--config", text(&settings), "--iterations", "2", "--method", method];
        let lsnn = learn("timit", &corpus, &few);
        assert!(lsnn["accuracy"].is_number(), "{lsnn}");
    }

    let train = |data: &Path, words: &[&str]| refuse(&["train", "timit", "--data", text(data)], words);
    refuse(&["train", "timit"], &["--data", "TIMIT"]);
    train(folder.path().join("none").as_path(), &["none"]);
    let phones = corpus.join("TRAIN/DR1/FAAA0/SI1.PHN");
    let whole = fs::read_to_string(&phones).expect("there");
    fs::write(&phones, whole.replace(" aa", " zz")).expect("written");
    train(&corpus, &["SI1.PHN", "zz"]);
    fs::remove_file(&phones).expect("removed");
    train(&corpus, &["SI1"]);
    fs::write(&phones, whole).expect("written");
    fs::remove_file(corpus.join("TEST").join(CORE_TEST_SPEAKERS[0].to_uppercase()).join("SX1.WAV"))
        .expect("removed");
    train(&corpus, &["SX1"]);
}

#[test]
fn words_are_told_and_the_lists_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path();
    for (word, hz) in [("yes", 500.0), ("no", 1500.0), ("_background_noise_", 100.0)] {
        for index in 0..8 {
            let path = data.join(word).join(format!("{index:08x}_nohash_0.wav"));
            write_tones(&path, 16_000, &[(hz + 20.0 * index as f32, 4000)]);
        }
    }
    fs::write(data.join("testing_list.txt"), "yes/00000007_nohash_0.wav\nno/00000007_nohash_0.wav\n")
        .expect("written");
    fs::write(data.join("validation_list.txt"), "yes/00000006_nohash_0.wav\n").expect("written");
    let found = learn("speech-commands", data, &["--iterations", "15", "--batch", "4"]);
    assert_eq!((&found["sequences"], &found["accuracy"]), (&Value::from(2), &Value::from(1.0)), "{found}");

    fs::write(data.join("testing_list.txt"), "yes/99999999_nohash_0.wav\n").expect("written");
    refuse(&["train", "speech-commands", "--data", text(data)], &["testing_list.txt", "99999999"]);
    refuse(&["train", "speech-commands", "--data", text(&data.join("none"))], &["none"]);
}

#[test]
fn spikes_are_read_from_hdf5() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../eprop-tasks/tests-data/shd");
    let found = learn("shd", &data, &["--iterations", "3", "--batch", "2"]);
    assert!(found["accuracy"].is_number(), "{found}");

    let folder = tempfile::tempdir().expect("a folder");
    refuse(&["train", "shd", "--data", text(folder.path())], &["shd_train.h5"]);
    for name in ["shd_train.h5", "shd_test.h5"] {
        fs::copy(data.join(name), folder.path().join(name)).expect("copied");
    }
    let torn = folder.path().join("shd_test.h5");
    let bytes = fs::read(&torn).expect("there");
    fs::write(&torn, &bytes[..bytes.len() / 2]).expect("written");
    refuse(&["train", "shd", "--data", text(folder.path())], &["shd_test.h5"]);
}

/// Images in the format of MNIST: a bright row, whose place is the digit.
fn write_images(folder: &Path, name: &str, count: u32) {
    let header = |magic: u8, sizes: &[u32]| {
        let sizes = sizes.iter().flat_map(|size| size.to_be_bytes());
        [0, 0, 8, magic].into_iter().chain(sizes).collect::<Vec<u8>>()
    };
    let mut images = header(3, &[count, 10, 5]);
    let mut labels = header(1, &[count]);
    for index in 0..count {
        labels.push((index % 10) as u8);
        images.extend((0..50).map(|pixel| if pixel / 5 == index % 10 { 255 } else { 0 }));
    }
    fs::write(folder.join(format!("{name}-images-idx3-ubyte")), images).expect("written");
    fs::write(folder.join(format!("{name}-labels-idx1-ubyte")), labels).expect("written");
}

#[test]
fn images_are_read_row_by_row() {
    let folder = tempfile::tempdir().expect("a folder");
    write_images(folder.path(), "train", 40);
    write_images(folder.path(), "t10k", 20);
    let found =
        learn("sequential-images", folder.path(), &["--cell", "lstm", "--iterations", "80", "--batch", "20"]);
    assert_eq!(found["sequences"], 20);
    assert!(found["accuracy"].as_f64() > Some(0.5), "{found}");
    let settings = folder.path().join("pixels.toml");
    fs::write(&settings, "[sequential_images]\norder = 'pixels'\ncue_steps = 3\nvalidation = 10\n")
        .expect("written");
    learn(
        "sequential-images",
        folder.path(),
        &["--config", text(&settings), "--iterations", "2", "--batch", "4"],
    );

    let train = ["train", "sequential-images", "--data", text(folder.path())];
    let labels = folder.path().join("train-labels-idx1-ubyte");
    let whole = fs::read(&labels).expect("there");
    fs::write(&labels, &whole[..whole.len() - 1]).expect("written");
    refuse(&train, &["train-labels-idx1-ubyte"]);
    fs::remove_file(&labels).expect("removed");
    refuse(&train, &["train-labels-idx1-ubyte"]);
}
