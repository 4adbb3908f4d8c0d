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
    missing: Vec<String>,
}

impl Archive {
    /// An archive that takes a state down.
    pub(crate) fn writer() -> Self {
        Self { entries: BTreeMap::new(), path: Vec::new(), reading: None, missing: Vec::new() }
    }

    /// An archive that fills a state in, with tensors on the given device.
    pub(crate) fn reader(entries: BTreeMap<String, TensorData>, options: TensorCreationOptions) -> Self {
        Self { entries, path: Vec::new(), reading: Some(options), missing: Vec::new() }
    }

    /// What was taken down.
    pub(crate) fn into_entries(self) -> BTreeMap<String, TensorData> {
        self.entries
    }

    /// The first part that was to be filled in and was not there, or that was there and not asked for.
    pub(crate) fn mismatch(&self) -> Option<&str> {
        let unused = self.entries.keys().next().filter(|_| self.reading.is_some());
        self.missing.first().or(unused).map(String::as_str)
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
            Some([value]) => *number = *value,
            _ => self.missing.push(name),
        }
    }

    /// A tensor.
    pub fn tensor<const D: usize>(&mut self, name: &str, tensor: &mut Tensor<D>) {
        let mut option = Some(tensor.clone());
        self.optional(name, &mut option);
        match option {
            Some(value) => *tensor = value,
            None => self.missing.push(self.name(name)),
        }
    }

    /// A tensor that may not be there.
    pub fn optional<const D: usize>(&mut self, name: &str, tensor: &mut Option<Tensor<D>>) {
        let name = self.name(name);
        let Some(options) = self.reading.clone() else {
            if let Some(tensor) = tensor {
                self.entries.insert(name, tensor.to_data());
            }
            return;
        };
        *tensor = None;
        match self.entries.remove(&name) {
            Some(data) if data.rank() == D => {
                let options = options.with_dtype(data.dtype());
                *tensor = Some(Tensor::from_data(data, options));
            }
            Some(_) => self.missing.push(name),
            None => {}
        }
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
            // A torn length must not allocate: there cannot be more items than entries left.
            let longest = list.len().max(self.entries.len()).max(1);
            list.resize_with((length.max(0.0) as usize).min(longest), empty);
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
