//! Saving and restoring what is carried from piece to piece of a stream.

use std::collections::BTreeMap;

use burn::tensor::{Bytes, Tensor, TensorCreationOptions, TensorData};
use burn_pack::{Reader, Writer};

use crate::record::{RecordError, damaged};

/// A state that can be saved and restored.
///
/// One traversal serves both directions: [`visit`](Self::visit) names every tensor and number, and the
/// [`Archive`] either takes them down or fills them in.
pub trait Carried {
    /// Names every part of the state, in the same order each time.
    fn visit(&mut self, archive: &mut Archive);
}

impl Carried for () {
    fn visit(&mut self, _archive: &mut Archive) {}
}

/// All parts of a state, by name: tensors, and numbers as tensors of one value. The potentials of the first layer's neurons in a stream of LIF neurons,
/// for one, are `network.layers.0.hidden.0`, [batch, neurons].
pub fn entries<S: Carried + Clone>(state: &S) -> BTreeMap<String, TensorData> {
    let mut archive = Archive::writer();
    state.clone().visit(&mut archive);
    archive.entries
}

/// A state as a file's content.
pub(crate) fn to_bytes<S: Carried + Clone>(state: &S) -> Result<Vec<u8>, RecordError> {
    let tensors = entries(state).into_iter().map(|(name, data)| {
        let (bytes, shape, dtype) = data.into_parts();
        burn_pack::Tensor::new(name, dtype, shape, None, bytes)
    });
    Ok(Writer::new(tensors.collect()).into_bytes().map_err(damaged)?.to_vec())
}

/// The parts of a state from a file's content.
pub(crate) fn read_entries(bytes: Vec<u8>) -> Result<BTreeMap<String, TensorData>, RecordError> {
    let reader = Reader::from_bytes(Bytes::from_bytes_vec(bytes)).map_err(damaged)?;
    let parts = reader.into_tensors().map_err(damaged)?.into_iter().map(|tensor| {
        let (name, dtype, shape, _, bytes) = tensor.into_parts().map_err(damaged)?;
        Ok((name, TensorData::try_from_bytes(bytes, shape, dtype).map_err(damaged)?))
    });
    parts.collect()
}

/// A state with its parts replaced, with tensors on the given device.
pub(crate) fn from_entries<S: Carried + Clone>(
    state: &S,
    entries: BTreeMap<String, TensorData>,
    options: TensorCreationOptions,
) -> Result<S, RecordError> {
    let mut archive = Archive::reader(entries, options);
    let mut filled = state.clone();
    filled.visit(&mut archive);
    match archive.fault() {
        Some(fault) => Err(fault),
        None => Ok(filled),
    }
}

/// Named tensors of a state, being written or being read.
#[derive(Debug)]
pub struct Archive {
    entries: BTreeMap<String, TensorData>,
    path: Vec<String>,
    reading: Option<TensorCreationOptions>,
    faults: Vec<RecordError>,
}

impl Archive {
    /// An archive that takes a state down.
    fn writer() -> Self {
        Self { entries: BTreeMap::new(), path: Vec::new(), reading: None, faults: Vec::new() }
    }

    /// An archive that fills a state in, with tensors on the given device.
    fn reader(entries: BTreeMap<String, TensorData>, options: TensorCreationOptions) -> Self {
        Self { entries, path: Vec::new(), reading: Some(options), faults: Vec::new() }
    }

    /// What is wrong first: a part that was to be filled in and was not there or does not fit, or that was there and not asked for.
    fn fault(mut self) -> Option<RecordError> {
        let unused = self.entries.into_keys().next().map(|part| RecordError::Mismatch { part });
        if self.faults.is_empty() { unused } else { Some(self.faults.swap_remove(0)) }
    }

    fn misfit(&mut self, part: String) {
        self.faults.push(RecordError::Mismatch { part });
    }

    /// A part of the state that has parts of its own.
    pub fn part(&mut self, name: &str, visit: impl FnOnce(&mut Self)) {
        self.path.push(name.into());
        visit(self);
        self.path.pop();
    }

    /// A number.
    pub fn number(&mut self, name: &str, number: &mut f64) {
        let name = self.name(name);
        if self.reading.is_none() {
            self.entries.insert(name, TensorData::from([*number]));
            return;
        }
        let values = self.entries.remove(&name).and_then(|data| data.try_into_vec::<f64>().ok());
        match values.as_deref() {
            Some([value]) if value.is_finite() => *number = *value,
            Some([_]) => self.faults.push(RecordError::NonFinite { part: name }),
            _ => self.misfit(name),
        }
    }

    /// A number that belongs to the kind of state: what is read must be the same.
    pub fn constant(&mut self, name: &str, value: f64) {
        let mut found = value;
        self.number(name, &mut found);
        if found != value {
            self.misfit(self.name(name));
        }
    }

    /// A tensor. What is read must have the shape of the one that it replaces, and be finite.
    pub fn tensor<const D: usize>(&mut self, name: &str, tensor: &mut Tensor<D>) {
        let name = self.name(name);
        let Some(options) = self.reading.clone() else {
            self.entries.insert(name, tensor.to_data());
            return;
        };
        let fits = |data: &TensorData| {
            data.shape().as_slice() == tensor.dims() && Some(data.dtype()) == options.dtype
        };
        match self.entries.remove(&name).filter(fits) {
            Some(data) if data.iter::<f64>().all(f64::is_finite) => {
                *tensor = Tensor::from_data(data, options);
            }
            Some(_) => self.faults.push(RecordError::NonFinite { part: name }),
            None => self.misfit(name),
        }
    }

    /// A tensor that may not be there: of the given shape, or of any for `None`.
    pub fn optional<const D: usize>(
        &mut self,
        name: &str,
        tensor: &mut Option<Tensor<D>>,
        shape: impl Into<Option<[usize; D]>>,
    ) {
        let mut present = f64::from(tensor.is_some());
        self.number(&format!("{name}.present"), &mut present);
        if present == 0.0 {
            *tensor = None;
            return;
        }
        let Some(options) = self.reading.clone() else {
            return tensor.iter_mut().for_each(|tensor| self.tensor(name, tensor));
        };
        let stored = self.entries.get(&self.name(name)).filter(|data| data.rank() == D);
        let stored = stored.map(|data| std::array::from_fn(|dimension| data.shape()[dimension]));
        match shape.into().or(stored) {
            Some(shape) => self.tensor(name, tensor.insert(Tensor::zeros(shape, options))),
            None => self.misfit(self.name(name)),
        }
    }

    /// How many rows a tensor [rows, ..] has that is to be filled in: at most as many as it has values.
    pub(crate) fn rows(&self, name: &str) -> usize {
        let stored = self.entries.get(&self.name(name)).filter(|data| data.num_elements() > 0);
        stored.and_then(|data| data.shape().first().copied()).unwrap_or(1)
    }

    /// A list; `empty` makes an item to be filled in.
    pub fn list<T>(
        &mut self,
        name: &str,
        list: &mut Vec<T>,
        empty: impl Fn() -> T,
        visit: impl Fn(&mut Self, &str, &mut T),
    ) {
        let mut length = list.len() as f64;
        self.number(&format!("{name}.length"), &mut length);
        if self.reading.is_some() {
            let length = length as usize;
            if length > self.entries.len() {
                // A torn length must not allocate: every item has an entry.
                self.misfit(self.name(name));
                return;
            }
            list.resize_with(length, empty);
        }
        for (index, item) in list.iter_mut().enumerate() {
            visit(self, &format!("{name}.{index}"), item);
        }
    }

    fn name(&self, leaf: &str) -> String {
        let mut name = self.path.join(".");
        if !name.is_empty() {
            name.push('.');
        }
        name + leaf
    }
}
