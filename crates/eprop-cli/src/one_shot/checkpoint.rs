//! All that an outer loop needs to go on, in one file that is replaced as a whole.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use burn::optim::{ModuleOptimizer, OptimizerRecord};
use burn::tensor::Bytes;
use burn_eprop::Cell;
use burn_eprop::meta::MetaLearner;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use super::metrics::{Row, from_csv, to_csv};
use crate::model::{from_bytes, to_bytes};

/// Name of a run's file with its last checkpoint.
pub(crate) const CHECKPOINT: &str = "checkpoint.safetensors";

/// A checkpoint that has been read. The tasks of an iteration follow from seed and number, so that no generator is in it.
pub(super) struct Checkpoint {
    /// The iterations that were done.
    pub(super) rows: Vec<Row>,
    model: Vec<u8>,
    optimizer: Vec<u8>,
}

impl Checkpoint {
    /// A checkpoint as a file's content.
    pub(super) fn bytes<C: Cell>(
        meta: &MetaLearner<C, C>,
        optimizer: &ModuleOptimizer,
        rows: &[Row],
    ) -> Result<Vec<u8>> {
        let model = to_bytes(meta.clone())?;
        let optimizer = optimizer.into_bytes().context("the optimizer's state cannot be written")?;
        let metrics = to_csv(rows);
        let parts = [("model", &model[..]), ("optimizer", &optimizer[..]), ("metrics", metrics.as_bytes())];
        let view = |bytes| TensorView::new(Dtype::U8, vec![<[u8]>::len(bytes)], bytes);
        let views = parts.map(|(name, bytes)| view(bytes).map(|view| (name, view)));
        let views = views.into_iter().collect::<Result<BTreeMap<_, _>, _>>()?;
        safetensors::serialize(views, None).context("the checkpoint cannot be written")
    }

    /// Reads a checkpoint.
    ///
    /// # Errors
    ///
    /// If it is missing or damaged.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let parse = || -> Result<Self> {
            let parts = SafeTensors::deserialize(&bytes)?;
            let part = |name: &str| -> Result<Vec<u8>> { Ok(parts.tensor(name)?.data().to_vec()) };
            let metrics = String::from_utf8(part("metrics")?)?;
            Ok(Self { rows: from_csv(&metrics)?, model: part("model")?, optimizer: part("optimizer")? })
        };
        parse().with_context(|| format!("{} is not a whole checkpoint", path.display()))
    }

    /// The parameters, and the optimizer's state.
    pub(super) fn restore<C: Cell>(
        &self,
        meta: MetaLearner<C, C>,
    ) -> Result<(MetaLearner<C, C>, OptimizerRecord)> {
        let meta = from_bytes(meta, self.model.clone())?;
        let optimizer = OptimizerRecord::from_bytes(Bytes::from_bytes_vec(self.optimizer.clone()));
        Ok((meta, optimizer.context("the optimizer's state is damaged")?))
    }
}
