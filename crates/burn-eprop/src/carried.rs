//! Saving and restoring what is carried from piece to piece of a stream.

use std::collections::BTreeMap;

use burn::tensor::{Tensor, TensorCreationOptions, TensorData};

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

/// Named tensors of a state, being written or being read.
#[derive(Debug)]
pub struct Archive {
    entries: BTreeMap<String, TensorData>,
    path: Vec<String>,
    reading: Option<TensorCreationOptions>,
    unfit: Vec<String>,
}

impl Archive {
    /// An archive that takes a state down.
    pub(crate) fn writer() -> Self {
        Self { entries: BTreeMap::new(), path: Vec::new(), reading: None, unfit: Vec::new() }
    }

    /// An archive that fills a state in, with tensors on the given device.
    pub(crate) fn reader(entries: BTreeMap<String, TensorData>, options: TensorCreationOptions) -> Self {
        Self { entries, path: Vec::new(), reading: Some(options), unfit: Vec::new() }
    }

    /// What was taken down.
    pub(crate) fn into_entries(self) -> BTreeMap<String, TensorData> {
        self.entries
    }

    /// The first part that was to be filled in and was not there or does not fit, or that was there and not asked
    /// for.
    pub(crate) fn mismatch(&self) -> Option<&str> {
        let unused = self.entries.keys().next().filter(|_| self.reading.is_some());
        self.unfit.first().or(unused).map(String::as_str)
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
            _ => self.unfit.push(name),
        }
    }

    /// A number that belongs to the kind of state: what is read must be the same.
    pub fn constant(&mut self, name: &str, value: f64) {
        let mut found = value;
        self.number(name, &mut found);
        if found != value {
            self.unfit.push(self.name(name));
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
            let alike = data.shape().as_slice() == tensor.dims() && Some(data.dtype()) == options.dtype;
            alike && data.iter::<f64>().all(f64::is_finite)
        };
        match self.entries.remove(&name).filter(fits) {
            Some(data) => *tensor = Tensor::from_data(data, options),
            None => self.unfit.push(name),
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
            None => self.unfit.push(self.name(name)),
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
                self.unfit.push(self.name(name));
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
