//! All that a run needs to go on, in one file that is replaced as a whole.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use burn::module::Module;
use burn::optim::ModuleOptimizer;
use burn_eprop::record::load_optimizer;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use crate::model::{self, from_bytes, to_bytes};
use crate::output;
use crate::regular_file;
use crate::run_folder::RunFolder;
use crate::table::Table;
use crate::train::{CONFIG, METRICS};

/// Name of a run's file with its last checkpoint.
pub const CHECKPOINT: &str = "checkpoint.safetensors";

/// Name in a checkpoint's metadata of the checksum of its parts.
const CHECKSUM: &str = "crc32";

/// A checkpoint that has been read. The batch of an iteration follows from seed and number, so that no generator and no position in
/// the data is in it.
#[derive(Debug)]
pub struct Checkpoint {
    /// The iterations that were done.
    pub metrics: Table,
    /// What the task keeps of the training.
    pub statistics: Option<String>,
    model: Vec<u8>,
    optimizer: Vec<u8>,
}

impl Checkpoint {
    /// A checkpoint as a file's content.
    ///
    /// # Errors
    ///
    /// If a part cannot be written.
    pub fn bytes<M: Module>(
        model: &M,
        optimizer: &ModuleOptimizer,
        metrics: &Table,
        statistics: Option<&str>,
    ) -> Result<Vec<u8>> {
        let model = to_bytes(model.clone())?;
        let optimizer = optimizer.into_bytes().context("the optimizer's state cannot be written")?;
        let metrics = metrics.to_csv();
        let parts = [
            ("model", Some(&model[..])),
            ("optimizer", Some(&optimizer[..])),
            ("metrics", Some(metrics.as_bytes())),
            ("statistics", statistics.map(str::as_bytes)),
        ];
        let view = |bytes| TensorView::new(Dtype::U8, vec![<[u8]>::len(bytes)], bytes);
        let parts = parts.into_iter().filter_map(|(name, bytes)| Some((name, bytes?)));
        let parts: BTreeMap<&str, &[u8]> = parts.collect();
        let metadata = HashMap::from([(CHECKSUM.to_owned(), checksum(&parts))]);
        let views = parts.into_iter().map(|(name, bytes)| view(bytes).map(|view| (name, view)));
        let views = views.collect::<Result<BTreeMap<_, _>, _>>()?;
        safetensors::serialize(views, Some(metadata)).context("the checkpoint cannot be written")
    }

    /// The last checkpoint of a run of so many iterations; `None` where it was interrupted before the first.
    ///
    /// # Errors
    ///
    /// If it is missing or damaged, or is of more iterations.
    pub fn last(folder: &RunFolder, iterations: usize) -> Result<Option<Self>> {
        let (path, has) = (folder.file(CHECKPOINT), |name: &str| folder.file(name).exists());
        match has(CONFIG) && !has(CHECKPOINT) && !has(METRICS) {
            true => Ok(None),
            false => Self::read(&path, iterations).map(Some),
        }
    }

    fn read(path: &Path, iterations: usize) -> Result<Self> {
        let bytes = regular_file::read(path)?;
        let parsed = Self::parse(&bytes);
        let (checkpoint, checked) =
            parsed.with_context(|| format!("{} is not a whole checkpoint", path.display()))?;
        let done = checkpoint.metrics.len();
        ensure!(
            done <= iterations,
            "{} is of {done} iterations, more than the {iterations} of its run's settings",
            path.display()
        );
        if !checked {
            output::warn(model::no_checksum(path));
        }
        Ok(checkpoint)
    }

    /// From a file's content; and whether a checksum tells that it is as it was written.
    fn parse(bytes: &[u8]) -> Result<(Self, bool)> {
        let parts = SafeTensors::deserialize(bytes)?;
        let part = |name: &str| -> Result<Vec<u8>> { Ok(parts.tensor(name)?.data().to_vec()) };
        let text = |name: &str| -> Result<String> { Ok(String::from_utf8(part(name)?)?) };
        let statistics = parts.tensor("statistics").is_ok().then(|| text("statistics")).transpose()?;
        let metrics = Table::from_csv(&text("metrics")?).context("metrics")?;
        let checkpoint = Self { metrics, statistics, model: part("model")?, optimizer: part("optimizer")? };
        Ok((checkpoint, is_checked(bytes, &parts)?))
    }

    /// Checks that the model may be one of so many weights, before such a model is built.
    ///
    /// # Errors
    ///
    /// If it has fewer bytes.
    pub fn check_weights(&self, weights: usize) -> Result<()> {
        model::check_weights(weights, self.model.len() as u64)
    }

    /// Fills model and optimizer.
    ///
    /// # Errors
    ///
    /// If their records are damaged or of others.
    pub fn restore<M: Module>(&self, model: M, optimizer: ModuleOptimizer) -> Result<(M, ModuleOptimizer)> {
        let model = from_bytes(model, self.model.clone())?;
        let optimizer = load_optimizer(optimizer, &model, self.optimizer.clone());
        Ok((model, optimizer.context("the optimizer's state")?))
    }
}

fn checksum(parts: &BTreeMap<&str, &[u8]>) -> String {
    let mut hasher = crc32fast::Hasher::new();
    for (name, bytes) in parts {
        hasher.update(name.as_bytes());
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    }
    format!("{:08x}", hasher.finalize())
}

/// Whether there is a checksum. If there is, it must be right.
fn is_checked(bytes: &[u8], parts: &SafeTensors) -> Result<bool> {
    let (_, header) = SafeTensors::read_metadata(bytes)?;
    let Some(metadata) = header.metadata() else { return Ok(false) };
    let views = parts.tensors();
    let contents = views.iter().map(|(name, view)| (name.as_str(), view.data()));
    let is_right = metadata.get(CHECKSUM) == Some(&checksum(&contents.collect()));
    ensure!(is_right, "its checksum is not that of its parts");
    Ok(true)
}
