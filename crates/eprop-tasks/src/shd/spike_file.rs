//! One of the two files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hdf5_reader::error::Error;
use hdf5_reader::{Dataset, FileStorage, Hdf5File, OpenOptions};

use super::utterance::bin;
use super::values::Number;
use super::{CLASSES, ShdConfig, ShdError, SpikeUtterance, UNITS};
use crate::data_file;
use crate::quoted::{quoted, reason};

/// Largest number of utterances: far more than there are, and few enough for a damaged file's
/// claim to cost little.
const MAX_ITEMS: u64 = 1 << 20;

/// Largest number of names of classes.
const MAX_NAMES: u64 = 100;

/// Largest chunk, object header or data set (without its sequences) that is read, in bytes.
const MAX_BYTES: usize = 1 << 26;

/// The sequences of numbers of a data set.
struct Sequences {
    name: &'static str,
    dataset: Dataset,
    number: Number,
    references: Vec<u8>,
    /// Bytes that may still be read; a sound file holds no sequence twice.
    budget: u64,
}

/// An open file.
struct Reader<'a> {
    path: &'a Path,
    file: Hdf5File,
    length: u64,
}

/// A file whose labels and speakers are known.
#[derive(Debug, Clone)]
pub(super) struct SpikeFile {
    pub(super) path: PathBuf,
    pub(super) labels: Vec<u8>,
    pub(super) speakers: Option<Vec<u16>>,
}

impl SpikeFile {
    pub(super) fn open(path: PathBuf) -> Result<Self, ShdError> {
        let reader = Reader::open(&path)?;
        let labels = reader.integers("labels", "label", CLASSES as i128, "0 to 19")?;
        let labels: Vec<u8> = labels.ok_or_else(|| reader.missing("labels"))?;
        let speakers = reader.integers("extra/speaker", "speaker", 1 << 16, "0 to 65535")?;
        if let Some(speakers) = &speakers {
            reader.check_count("extra/speaker", labels.len(), speakers.len())?;
        }
        Ok(Self { path, labels, speakers })
    }

    pub(super) fn class_names(&self) -> Result<Option<Vec<String>>, ShdError> {
        let reader = Reader::open(&self.path)?;
        let Some(dataset) = reader.dataset("extra/keys", MAX_NAMES)? else { return Ok(None) };
        let names = dataset.read_strings().map_err(|error| reader.damaged("extra/keys", &error))?;
        if names.len() != CLASSES {
            return Err(ShdError::Names { path: self.path.clone(), found: names.len() });
        }
        Ok(Some(names.iter().map(|name| quoted(name)).collect()))
    }

    /// Reads these utterances.
    pub(super) fn load(&self, items: &[usize], config: &ShdConfig) -> Result<Vec<SpikeUtterance>, ShdError> {
        if items.is_empty() {
            return Ok(Vec::new());
        }
        let reader = Reader::open(&self.path)?;
        let mut times = reader.sequences("spikes/times", true, "sequences of 16, 32 or 64-bit floats")?;
        let mut units = reader.sequences("spikes/units", false, "sequences of integers")?;
        for sequences in [&times, &units] {
            reader.check_count(sequences.name, self.labels.len(), sequences.len())?;
        }
        let load = |&item: &usize| {
            let (times_s, units) = reader.spikes(item, &mut times, &mut units)?;
            Ok(SpikeUtterance {
                spikes: bin(times_s.into_iter().zip(units), config),
                steps: config.steps,
                inputs: config.inputs(),
                label: self.labels[item],
                speaker: self.speakers.as_ref().map(|speakers| speakers[item]),
            })
        };
        items.iter().map(load).collect()
    }
}

impl<'a> Reader<'a> {
    fn open(path: &'a Path) -> Result<Self, ShdError> {
        let unreadable = |reason| ShdError::Unreadable { path: path.into(), reason };
        let (file, length) = data_file::open(path).map_err(unreadable)?;
        let options = OpenOptions::default()
            .with_max_read_bytes(MAX_BYTES)
            .with_max_chunk_bytes(MAX_BYTES)
            .with_max_object_header_bytes(MAX_BYTES);
        FileStorage::from_file(file)
            .and_then(|storage| Hdf5File::from_storage_with_options(Arc::new(storage), options))
            .map(|file| Self { path, file, length })
            .map_err(|error| ShdError::NotHdf5 { path: path.into(), reason: reason(&error) })
    }

    fn damaged(&self, dataset: &'static str, error: &Error) -> ShdError {
        ShdError::Dataset { path: self.path.into(), dataset, reason: reason(error) }
    }

    fn missing(&self, dataset: &'static str) -> ShdError {
        ShdError::Dataset { path: self.path.into(), dataset, reason: "there is none".into() }
    }

    /// A data set of one dimension, or `None` where there is none.
    fn dataset(&self, name: &'static str, most: u64) -> Result<Option<Dataset>, ShdError> {
        let dataset = match self.file.dataset(name) {
            Ok(dataset) => dataset,
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(self.damaged(name, &error)),
        };
        if !matches!(dataset.shape(), [items] if *items <= most) {
            let shape = dataset.shape().to_vec();
            return Err(ShdError::Shape { path: self.path.into(), dataset: name, shape, most });
        }
        Ok(Some(dataset))
    }

    fn wrong_type(&self, name: &'static str, expected: &'static str, dataset: &Dataset) -> ShdError {
        // Nested types could fill pages.
        let found = quoted(&format!("{:?}", dataset.dtype()));
        ShdError::Type { path: self.path.into(), dataset: name, expected, found }
    }

    /// A data set of integers from 0 to below `end`.
    fn integers<T: TryFrom<i128>>(
        &self,
        name: &'static str,
        what: &'static str,
        end: i128,
        range: &'static str,
    ) -> Result<Option<Vec<T>>, ShdError> {
        let Some(dataset) = self.dataset(name, MAX_ITEMS)? else { return Ok(None) };
        let number = Number::of(dataset.dtype()).filter(|number| !number.is_float());
        let number = number.ok_or_else(|| self.wrong_type(name, "integers", &dataset))?;
        let bytes = dataset.read_raw_bytes().map_err(|error| self.damaged(name, &error))?;
        let checked = number.integers(&bytes).enumerate().map(|(item, value)| {
            let small = T::try_from(value).ok().filter(|_| (0..end).contains(&value));
            small.ok_or_else(|| self.outside(what, item, value, range))
        });
        checked.collect::<Result<_, _>>().map(Some)
    }

    /// A data set of sequences of floats or integers.
    fn sequences(
        &self,
        name: &'static str,
        floats: bool,
        expected: &'static str,
    ) -> Result<Sequences, ShdError> {
        let dataset = self.dataset(name, MAX_ITEMS)?.ok_or_else(|| self.missing(name))?;
        let number = Number::of_sequences(dataset.dtype()).filter(|number| number.is_float() == floats);
        let number = number.ok_or_else(|| self.wrong_type(name, expected, &dataset))?;
        let references = dataset.read_raw_bytes().map_err(|error| self.damaged(name, &error))?;
        Ok(Sequences { name, dataset, number, references, budget: self.length })
    }

    /// The times and units of an utterance.
    fn spikes(
        &self,
        item: usize,
        times: &mut Sequences,
        units: &mut Sequences,
    ) -> Result<(Vec<f64>, Vec<u16>), ShdError> {
        let (time_bytes, unit_bytes) = (self.sequence(item, times)?, self.sequence(item, units)?);
        let (times_s, units) = (times.number.floats(&time_bytes), units.number.integers(&unit_bytes));
        if times_s.len() != units.len() {
            let path = self.path.into();
            return Err(ShdError::Lengths { path, item, times: times_s.len(), units: units.len() });
        }
        let checked_time = |time: f64| {
            let sound = time.is_finite() && time >= 0.0;
            sound.then_some(time).ok_or_else(|| self.outside("time", item, time, "finite and not negative"))
        };
        let checked_unit = |unit: i128| {
            let known = u16::try_from(unit).ok().filter(|&unit| usize::from(unit) < UNITS);
            known.ok_or_else(|| self.outside("unit", item, unit, "0 to 699"))
        };
        let times_s = times_s.map(checked_time).collect::<Result<_, _>>()?;
        Ok((times_s, units.map(checked_unit).collect::<Result<_, _>>()?))
    }

    /// The bytes of the sequence of an utterance.
    fn sequence(&self, item: usize, sequences: &mut Sequences) -> Result<Vec<u8>, ShdError> {
        let (name, size) = (sequences.name, sequences.dataset.vlen_reference_size());
        let reference = &sequences.references[item * size..(item + 1) * size];
        let bytes = sequences.dataset.resolve_vlen_reference_bytes(reference, sequences.number.size());
        let bytes = bytes.map_err(|error| self.damaged(name, &error))?;
        let budget = sequences.budget.checked_sub(bytes.len() as u64);
        sequences.budget =
            budget.ok_or_else(|| ShdError::Overlap { path: self.path.into(), dataset: name })?;
        Ok(bytes)
    }

    fn check_count(&self, dataset: &'static str, expected: usize, found: usize) -> Result<(), ShdError> {
        if found == expected {
            return Ok(());
        }
        Err(ShdError::Count { path: self.path.into(), dataset, expected, found })
    }

    fn outside(
        &self,
        what: &'static str,
        item: usize,
        value: impl ToString,
        range: &'static str,
    ) -> ShdError {
        ShdError::Value { path: self.path.into(), what, item, value: value.to_string(), range }
    }
}

impl Sequences {
    fn len(&self) -> usize {
        self.references.len() / self.dataset.vlen_reference_size()
    }
}

/// Whether an error says no more than that there is no such data set.
fn is_missing(error: &Error) -> bool {
    match error {
        Error::Context { source, .. } => is_missing(source),
        Error::DatasetNotFound(_) | Error::GroupNotFound(_) => true,
        _ => false,
    }
}
