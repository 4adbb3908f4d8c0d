//! Records of a hook alone, as earlier versions wrote them beside the record of its network.

use std::collections::BTreeMap;

use burn::tensor::TensorData;

use super::{Misfit, OPTIMIZER};
use crate::carried::read_entries;

/// Prefix of what a stream carries.
const STREAM: &str = "stream.";

/// Optimizer and stream, without a network.
pub(crate) struct HookRecord {
    /// The optimizer's record.
    pub(crate) optimizer: Vec<u8>,
    /// What the stream carries, by name.
    pub(crate) state: BTreeMap<String, TensorData>,
}

impl HookRecord {
    /// From a file's content.
    ///
    /// # Errors
    ///
    /// If it is damaged, or something else.
    pub(crate) fn parse(bytes: Vec<u8>) -> Result<Self, Misfit> {
        let mut entries = read_entries(bytes).map_err(|error| Misfit::Damaged(error.to_string()))?;
        let optimizer = entries.remove(OPTIMIZER).ok_or(Misfit::Missing(OPTIMIZER))?;
        let (optimizer, _, _) = optimizer.into_parts();
        let carried = |(name, data): (String, TensorData)| match name.strip_prefix(STREAM) {
            Some(name) => Ok((name.to_owned(), data)),
            None => Err(Misfit::Damaged(format!("`{name}` is no part of a hook's record"))),
        };
        let state = entries.into_iter().map(carried).collect::<Result<_, _>>()?;
        Ok(Self { optimizer: optimizer.to_vec(), state })
    }
}
