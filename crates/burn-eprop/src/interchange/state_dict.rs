//! The tensors of a safetensors file.

use std::collections::BTreeMap;

use burn::store::{ModuleStore, SafetensorsStore, bridge};
use burn_pack::Tensor as PackTensor;
use safetensors::SafeTensors;

use super::error::Misfit;
use crate::error::NonFinite;

/// A safetensors file, of which the header has been checked against the length.
pub(super) struct StateDict {
    /// Notes in the header.
    pub(super) metadata: BTreeMap<String, String>,
    tensors: BTreeMap<String, PackTensor>,
}

impl StateDict {
    pub(super) fn parse(bytes: Vec<u8>) -> Result<Self, Misfit> {
        let torn = |error: &dyn std::fmt::Display| Misfit::Torn(error.to_string());
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|error| torn(&error))?;
        let metadata = header.metadata().clone().unwrap_or_default().into_iter().collect();
        let mut store = SafetensorsStore::from_bytes(Some(bytes));
        let tensors = store.get_all_tensors().map_err(|error| torn(&error))?.clone();
        Ok(Self { metadata, tensors })
    }

    /// The names of all tensors.
    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.tensors.keys()
    }

    /// The values, row by row, of a tensor that must have the given shape.
    pub(super) fn read(&self, name: &str, shape: &[usize], parameter: &str) -> Result<Vec<f64>, Misfit> {
        let tensor = self.tensors.get(name).ok_or_else(|| Misfit::Missing(name.into()))?;
        if tensor.shape[..] != *shape {
            return Err(Misfit::Shape {
                tensor: name.into(),
                found: tensor.shape.to_vec(),
                expected: shape.to_vec(),
                parameter: parameter.into(),
            });
        }
        if !tensor.dtype.is_float() {
            return Err(Misfit::Type { tensor: name.into(), found: format!("{:?}", tensor.dtype) });
        }
        let data = bridge::to_data(tensor).map_err(|error| Misfit::Torn(error.to_string()))?;
        let values = data.convert::<f64>().try_into_vec::<f64>().expect("converted to f64");
        match values.iter().all(|value| value.is_finite()) {
            true => Ok(values),
            false => Err(NonFinite { what: format!("tensor `{name}`") }.into()),
        }
    }
}
