use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use hdf5_writer::{ByteOrder, DatasetBuilder, Datatype, Hdf5Builder, WriteOptions};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;

/// Files that h5py (training) and PyTables (test) wrote; see `make.py` there.
fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests-data/shd")
}

/// The spikes of an utterance of the fixtures, in bins of 1/64 s.
fn fixture_spikes(item: u16) -> Vec<Spike> {
    let count = if item == 3 { 0 } else { 4 + 5 * item };
    let spike = |k| Spike { step: item + 1 + 3 * k, input: (37 * item + 111 * k) % 700 };
    (0..count).map(spike).collect()
}

fn fine() -> ShdConfig {
    ShdConfig { steps: 128, duration_s: 2.0, ..ShdConfig::default() }
}

/// A file of three utterances, each of whose parts can be replaced by one that is wrong.
struct Parts {
    time_type: Datatype,
    times: Vec<Vec<u8>>,
    unit_type: Datatype,
    units: Vec<Vec<u8>>,
    labels: DatasetBuilder,
    speakers: Option<DatasetBuilder>,
}

fn float(size: u8, byte_order: ByteOrder) -> Datatype {
    Datatype::FloatingPoint { size, byte_order }
}

fn integer(size: u8, signed: bool, byte_order: ByteOrder) -> Datatype {
    Datatype::FixedPoint { size, signed, byte_order }
}

fn bytes<const N: usize, T: Copy>(values: &[T], to_bytes: impl Fn(T) -> [u8; N]) -> Vec<u8> {
    values.iter().flat_map(|&value| to_bytes(value)).collect()
}

fn vector<T: hdf5_writer::H5WriteElement>(name: &str, values: &[T]) -> DatasetBuilder {
    DatasetBuilder::typed_data(name, vec![values.len() as u64], values).unwrap()
}

impl Parts {
    fn sound() -> Self {
        let times = [&[0.5_f32, 0.25][..], &[], &[1.0]];
        let units = [&[699_u32, 2][..], &[], &[0]];
        Self {
            time_type: float(4, ByteOrder::LittleEndian),
            times: times.map(|times| bytes(times, f32::to_le_bytes)).to_vec(),
            unit_type: integer(4, false, ByteOrder::LittleEndian),
            units: units.map(|units| bytes(units, u32::to_le_bytes)).to_vec(),
            labels: vector("labels", &[0_i64, 19, 5]),
            speakers: Some(vector("extra/speaker", &[3_u8, 3, 1])),
        }
    }

    /// Writes the file as training and as test file.
    fn write(self) -> tempfile::TempDir {
        let sequences = |name, base, values: Vec<Vec<u8>>| {
            DatasetBuilder::vlen_sequence_data(name, base, vec![values.len() as u64], values).unwrap()
        };
        let mut file = Hdf5Builder::new()
            .dataset(sequences("spikes/times", self.time_type, self.times))
            .dataset(sequences("spikes/units", self.unit_type, self.units))
            .dataset(self.labels);
        if let Some(speakers) = self.speakers {
            file = file.dataset(speakers);
        }
        let bytes = file.into_plan().unwrap().encode(WriteOptions::default()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        for name in ["shd_train.h5", "shd_test.h5"] {
            fs::write(folder.path().join(name), &bytes).unwrap();
        }
        folder
    }
}

fn load(folder: &Path) -> Result<Vec<SpikeUtterance>, ShdError> {
    Shd::open(folder)?.load(Split::All, &fine())
}

fn steps_and_inputs(utterance: &SpikeUtterance) -> Vec<(u16, u16)> {
    utterance.spikes.iter().map(|spike| (spike.step, spike.input)).collect()
}

/// What the error says after the path of a file in the folder.
fn message(folder: &Path) -> String {
    let message = load(folder).unwrap_err().to_string();
    assert!(!message.contains('\n'), "{message}");
    let start = format!("{}/shd_train.h5: ", folder.display());
    message.strip_prefix(&start).unwrap_or_else(|| panic!("{message}")).to_owned()
}

#[test]
fn files_of_h5py_and_pytables_are_read() {
    let shd = Shd::open(fixtures()).unwrap();
    assert_eq!(shd.training_speakers(), [0, 1, 2, 3]);
    let names = shd.class_names().unwrap().unwrap();
    assert_eq!((names.len(), names[9].as_str(), names[15].as_str()), (20, "nine", "fuenf"));
    for split in [Split::Train, Split::Test] {
        let utterances = shd.load(split, &fine()).unwrap();
        assert_eq!(utterances.len(), 6);
        for (item, utterance) in utterances.iter().enumerate() {
            assert_eq!(utterance.spikes, fixture_spikes(item as u16), "{split:?} {item}");
            assert_eq!((utterance.label, utterance.speaker), (7 * item as u8 % 20, Some(item as u16 % 4)));
            assert_eq!((utterance.steps, utterance.inputs), (128, 700));
        }
    }
    assert_eq!(shd.load(Split::All, &fine()).unwrap().len(), 12);
}

#[test]
fn names_may_be_in_either_case() {
    let folder = Parts::sound().write();
    fs::rename(folder.path().join("shd_test.h5"), folder.path().join("SHD_test.H5")).unwrap();
    assert_eq!(load(folder.path()).unwrap().len(), 6);
}

#[test]
fn speakers_or_a_fraction_are_held_out() {
    let shd = Shd::open(fixtures()).unwrap();
    let speakers = |split, validation| {
        let utterances = shd.load(split, &ShdConfig { validation, ..fine() }).unwrap();
        utterances.iter().map(|utterance| utterance.speaker.unwrap()).collect::<Vec<_>>()
    };
    let held_out = || Validation::Speakers(vec![1, 3]);
    assert_eq!(speakers(Split::Train, held_out()), [0, 2, 0]);
    assert_eq!(speakers(Split::Validation, held_out()), [1, 3, 1]);
    assert_eq!(speakers(Split::Test, held_out()).len(), 6);
    let third = || Validation::Fraction(0.34);
    assert_eq!(speakers(Split::Validation, third()), [2, 1]);
    assert_eq!(speakers(Split::Train, third()), [0, 1, 3, 0]);
}

#[test]
fn what_cannot_be_held_out_is_named() {
    let shd = Shd::open(fixtures()).unwrap();
    let message = |shd: &Shd, split, validation| {
        shd.load(split, &ShdConfig { validation, ..fine() }).unwrap_err().to_string()
    };
    let unknown = message(&shd, Split::Train, Validation::Speakers(vec![1, 9]));
    assert!(unknown.ends_with("shd_train.h5: nothing of speaker 9, only of [0, 1, 2, 3]"), "{unknown}");
    let empty = message(&shd, Split::Validation, Validation::None);
    assert_eq!(empty, format!("{}: no utterance in the Validation split", fixtures().display()));
    let range = message(&shd, Split::Train, Validation::Fraction(1.0));
    assert_eq!(range, "`validation.fraction` is 1, but must be more than 0 and less than 1");

    let folder = Parts { speakers: None, ..Parts::sound() }.write();
    let shd = Shd::open(folder.path()).unwrap();
    assert_eq!(shd.load(Split::Train, &fine()).unwrap()[0].speaker, None);
    assert_eq!((shd.training_speakers(), shd.class_names().unwrap()), (vec![], None));
    let message = message(&shd, Split::Train, Validation::Speakers(vec![1]));
    let expected = "speakers cannot be held out: it has no data set `extra/speaker`";
    assert!(message.ends_with(expected), "{message}");
}

#[test]
fn every_number_type_is_read() {
    let sound = load(Parts::sound().write().path()).unwrap();
    assert_eq!(steps_and_inputs(&sound[0]), [(16, 2), (32, 699)]);
    assert_eq!((sound[1].spikes.len(), sound[1].label, sound[2].speaker), (0, 19, Some(1)));
    let others = Parts {
        time_type: float(8, ByteOrder::BigEndian),
        times: vec![bytes(&[0.5, 0.25], f64::to_be_bytes), vec![], bytes(&[1.0], f64::to_be_bytes)],
        unit_type: integer(8, true, ByteOrder::BigEndian),
        units: vec![bytes(&[699, 2], i64::to_be_bytes), vec![], bytes(&[0], i64::to_be_bytes)],
        labels: vector("labels", &[0_u8, 19, 5]),
        speakers: Some(vector("extra/speaker", &[3_i32, 3, 1])),
    };
    assert_eq!(load(others.write().path()).unwrap(), sound);
}

#[test]
fn wrong_values_are_named() {
    let of = |change: &dyn Fn(&mut Parts)| {
        let mut parts = Parts::sound();
        change(&mut parts);
        message(parts.write().path())
    };
    let with_time = |time: f32| of(&|parts| parts.times[2] = bytes(&[time], f32::to_le_bytes));
    assert_eq!(with_time(f32::NAN), "time NaN in item 2, but times must be finite and not negative");
    assert_eq!(with_time(-0.5), "time -0.5 in item 2, but times must be finite and not negative");
    let unit = of(&|parts| parts.units[0] = bytes(&[3, 700], u32::to_le_bytes));
    assert_eq!(unit, "unit 700 in item 0, but units must be 0 to 699");
    let lengths = of(&|parts| parts.units[1] = bytes(&[3], u32::to_le_bytes));
    assert_eq!(lengths, "item 1 has 0 times, but 1 units");
    let label = of(&|parts| parts.labels = vector("labels", &[0_i32, -1, 3]));
    assert_eq!(label, "label -1 in item 1, but labels must be 0 to 19");
    let label = of(&|parts| parts.labels = vector("labels", &[0_u16, 3, 20]));
    assert_eq!(label, "label 20 in item 2, but labels must be 0 to 19");
    let count = of(&|parts| parts.labels = vector("labels", &[0_u16, 3]));
    assert_eq!(count, "`extra/speaker` holds 3 items, but `labels` 2");
    let count = of(&|parts| parts.times.truncate(2));
    assert_eq!(count, "`spikes/times` holds 2 items, but `labels` 3");
    let speaker = of(&|parts| parts.speakers = Some(vector("extra/speaker", &[0_i64, 65_536, 0])));
    assert_eq!(speaker, "speaker 65536 in item 1, but speakers must be 0 to 65535");
}

#[test]
fn wrong_types_and_shapes_are_named() {
    let with_labels = |labels| message(Parts { labels, ..Parts::sound() }.write().path());
    let types = with_labels(vector("labels", &[0.0_f32, 1.0, 2.0]));
    assert!(types.starts_with("the data set `labels` must hold integers, but holds Floating"), "{types}");
    let square = DatasetBuilder::typed_data("labels", vec![2, 2], &[0_u8, 1, 2, 3]).unwrap();
    let shape = with_labels(square);
    assert!(shape.starts_with("the data set `labels` has the shape [2, 2], but must have one"), "{shape}");
    let missing = with_labels(vector("label", &[0_u8, 1, 2]));
    assert_eq!(missing, "the data set `labels` cannot be read: there is none");
    let units = Parts { unit_type: float(4, ByteOrder::LittleEndian), ..Parts::sound() };
    let types = message(units.write().path());
    assert!(types.starts_with("the data set `spikes/units` must hold sequences of integers, but"), "{types}");
}

#[test]
fn what_is_no_hdf5_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    assert!(message(folder.path()).starts_with("cannot be read: "));
    for content in [&b""[..], b"no data", &[0; 4096]] {
        fs::write(folder.path().join("shd_train.h5"), content).unwrap();
        let message = message(folder.path());
        assert!(message.starts_with("not a valid HDF5 file: "), "{message}");
    }
}

/// Whether the bytes, as either file, are read or refused with one line; a panic fails the test.
fn survives(folder: &Path, bytes: &[u8], what: &str) {
    for name in ["shd_train.h5", "shd_test.h5"] {
        fs::write(folder.join(name), bytes).unwrap();
    }
    let loaded = catch_unwind(|| {
        let names = Shd::open(folder).and_then(|shd| shd.class_names());
        names.and_then(|_| load(folder)).map(|utterances| utterances.len())
    });
    if let Err(error) = loaded.unwrap_or_else(|_| panic!("panics: {what}")) {
        let message = error.to_string();
        assert!(message.contains("shd_t") && !message.contains('\n'), "{what}: {message}");
    }
}

/// The fixtures, and a file that this crate's tests write.
fn sound_files() -> Vec<Vec<u8>> {
    let mut files = vec![fs::read(Parts::sound().write().path().join("shd_train.h5")).unwrap()];
    files.extend(["shd_train.h5", "shd_test.h5"].map(|name| fs::read(fixtures().join(name)).unwrap()));
    files
}

#[test]
fn claimed_sizes_are_not_believed() {
    let sound = fs::read(fixtures().join("shd_train.h5")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (mut refused, items) = (0, 6_u64.to_le_bytes());
    for at in (0..sound.len() - 8).filter(|&at| sound[at..at + 8] == items) {
        let mut bytes = sound.clone();
        bytes[at..at + 8].copy_from_slice(&(1_u64 << 40).to_le_bytes());
        survives(folder.path(), &bytes, &format!("size at {at}"));
        let error = load(folder.path()).err().map(|error| error.to_string());
        refused += usize::from(error.is_some_and(|error| error.contains("has the shape [1099511627776]")));
    }
    assert!(refused >= 4, "the sizes of times, units, labels and speakers, but {refused} are refused");
}

#[test]
fn truncated_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (which, bytes) in sound_files().iter().enumerate() {
        for length in (0..bytes.len()).step_by(61) {
            survives(folder.path(), &bytes[..length], &format!("file {which}, {length} bytes"));
        }
    }
}

#[test]
fn damaged_files_are_read_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut rng = StdRng::seed_from_u64(1);
    for (which, bytes) in sound_files().iter().enumerate() {
        for trial in 0..400 {
            let mut bytes = bytes.clone();
            for _ in 0..=trial % 4 {
                let at = rng.random_range(0..bytes.len());
                bytes[at] = [rng.random(), 0xff, bytes[at] ^ 1 << rng.random_range(0..8)][trial % 3];
            }
            survives(folder.path(), &bytes, &format!("file {which}, trial {trial}"));
        }
    }
}
