//! Checkpoints: all that training goes on from, in one file.
//!
//! [`OptimizerHook::save_checkpoint`](crate::OptimizerHook::save_checkpoint) writes one, and
//! [`load_checkpoint`](crate::OptimizerHook::load_checkpoint) goes on from it. It holds states, by name, and no settings: network, estimator,
//! optimizer and schedule are made as they were, and filled.
//!
//! | part | holds |
//! |---|---|
//! | `configuration` | the kinds of the cells and all constants, as a [file of weights](crate::interchange) has them; those of the network must be the same |
//! | `model` | the parameters with their identifiers, as Burn's record |
//! | `fingerprint` | CRC-32 of the parameters' names, types, shapes and values: to which network the other parts belong |
//! | `optimizer` | the optimizer's state, as Burn's record |
//! | `scheduler` | the learning-rate schedule's state, as Burn's record, where there is one |
//! | `state` | what a stream carries from piece to piece |
//! | `accumulated` | gradients that [accumulate](crate::OptimizerHook::with_accumulation) until there is an update |
//!
//! The file is a burnpack, in which each part is a tensor of bytes, followed by four bytes: the CRC-32 of what comes before them, little-endian. A file with
//! another checksum is refused.
//!
//! A program with more to keep puts a [`Checkpoint`] together by itself:
//!
//! ```
//! use burn::optim::{AdamConfig, ModuleOptimizer};
//! use burn::tensor::Device;
//! use burn_eprop::NetworkConfig;
//! use burn_eprop::cell::LstmConfig;
//! use burn_eprop::checkpoint::Checkpoint;
//!
//! let network = NetworkConfig::new(3, 1).init(vec![LstmConfig::new(4).init()], &Device::flex().autodiff());
//! let optimizer: ModuleOptimizer = AdamConfig::new().init();
//! let checkpoint = Checkpoint::new(12).with_model(&network)?.with_optimizer(&optimizer)?;
//! let bytes = checkpoint.with_part("metrics", "loss\n0.5\n").to_bytes()?;
//!
//! let checkpoint = Checkpoint::from_bytes(bytes)?;
//! let network = checkpoint.model(&network)?;
//! let optimizer = checkpoint.optimizer(optimizer, &network)?;
//! assert_eq!((checkpoint.updates(), checkpoint.part("metrics")), (12, Some(&b"loss\n0.5\n"[..])));
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```

mod error;
mod hook_record;

use std::collections::BTreeMap;
use std::path::Path;

use burn::lr_scheduler::module_lr_scheduler::ModuleLrScheduler;
use burn::module::Module;
use burn::optim::ModuleOptimizer;
use burn::store::ModuleSnapshot;
use burn::tensor::{Bytes, DType, TensorCreationOptions};
use burn_pack::{Reader, Scalar, Tensor, Writer};

pub use error::{CheckpointError, Misfit};
pub(crate) use hook_record::HookRecord;

use crate::atomic;
use crate::carried::{self, Carried};
use crate::configuration::Configuration;
use crate::model::RecurrentModel;
use crate::record::{RecordError, damaged, load_module, load_optimizer, load_scheduler};

/// Name of the text that says what the file is.
const FORMAT: &str = "burn_eprop";
/// What it says.
const VERSION: &str = "checkpoint 1";
/// Name of the number of updates.
const UPDATES: &str = "updates";

const CONFIGURATION: &str = "configuration";
const MODEL: &str = "model";
const FINGERPRINT: &str = "fingerprint";
pub(crate) const OPTIMIZER: &str = "optimizer";
pub(crate) const SCHEDULER: &str = "scheduler";
pub(crate) const STATE: &str = "state";
pub(crate) const ACCUMULATED: &str = "accumulated";

/// Named parts of a training run after so many updates; see the [module](self).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    updates: u64,
    parts: BTreeMap<String, Vec<u8>>,
}

impl Checkpoint {
    /// A checkpoint after so many updates, without a part.
    pub fn new(updates: u64) -> Self {
        Self { updates, parts: BTreeMap::new() }
    }

    /// The updates that had been made.
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// Adds or replaces a part.
    pub fn with_part(mut self, name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        self.parts.insert(name.into(), bytes.into());
        self
    }

    /// A part, if it is there.
    pub fn part(&self, name: &str) -> Option<&[u8]> {
        self.parts.get(name).map(Vec::as_slice)
    }

    /// Adds a model: its configuration, its parameters, and their fingerprint.
    ///
    /// # Errors
    ///
    /// If they cannot be read from their device.
    pub fn with_model<M: RecurrentModel>(self, model: &M) -> Result<Self, RecordError> {
        let checkpoint = self.with_module(model)?;
        Ok(checkpoint.with_part(CONFIGURATION, Configuration::of(model).to_text()))
    }

    /// Adds any module: its parameters, and their fingerprint.
    ///
    /// # Errors
    ///
    /// If they cannot be read from their device.
    pub fn with_module<M: Module>(self, module: &M) -> Result<Self, RecordError> {
        let record = module.clone().into_record().into_bytes().map_err(damaged)?;
        self.with_part(MODEL, record.to_vec()).with_fingerprint(module)
    }

    /// Adds the fingerprint of a module alone, for what belongs to it.
    ///
    /// # Errors
    ///
    /// If its parameters cannot be read from their device.
    pub fn with_fingerprint<M: Module>(self, module: &M) -> Result<Self, RecordError> {
        Ok(self.with_part(FINGERPRINT, fingerprint(module)?.to_le_bytes()))
    }

    /// Adds an optimizer's state.
    ///
    /// # Errors
    ///
    /// If it cannot be read from its device.
    pub fn with_optimizer(self, optimizer: &ModuleOptimizer) -> Result<Self, RecordError> {
        Ok(self.with_part(OPTIMIZER, optimizer.into_bytes().map_err(damaged)?.to_vec()))
    }

    /// Adds a learning-rate schedule's state.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn with_scheduler(self, scheduler: &ModuleLrScheduler) -> Result<Self, RecordError> {
        Ok(self.with_part(SCHEDULER, scheduler.to_record().into_bytes().map_err(damaged)?.to_vec()))
    }

    /// Adds what is carried from piece to piece of a stream.
    ///
    /// # Errors
    ///
    /// If it cannot be read from its device.
    pub fn with_state<S: Carried + Clone>(self, state: &S) -> Result<Self, RecordError> {
        self.with_carried(STATE, state)
    }

    pub(crate) fn with_carried<S: Carried + Clone>(
        self,
        part: &'static str,
        state: &S,
    ) -> Result<Self, RecordError> {
        Ok(self.with_part(part, carried::to_bytes(state)?))
    }

    /// The model with its parameters from here. What it was is of the same kind and sizes.
    ///
    /// # Errors
    ///
    /// If its cells or constants are not those of the model that was saved; and as [`module`](Self::module).
    pub fn model<M: RecurrentModel>(&self, model: &M) -> Result<M, Misfit> {
        let text = std::str::from_utf8(self.needed(CONFIGURATION)?).ok();
        let found = text.and_then(|text| Configuration::parse(text).ok());
        let found = found.ok_or_else(|| Misfit::Damaged("its configuration is not legible".into()))?;
        found.agrees_with(&Configuration::of(model))?;
        self.module(model)
    }

    /// The module with its parameters from here.
    ///
    /// # Errors
    ///
    /// If they are missing or damaged, of another module, or hold NaN or infinity; or if what else is here belongs to other parameters.
    pub fn module<M: Module>(&self, module: &M) -> Result<M, Misfit> {
        let record = self.needed(MODEL)?.to_vec();
        let module =
            load_module(module.clone(), record).map_err(|error| Misfit::Part { part: MODEL, error })?;
        self.check_pair(&module)?;
        Ok(module)
    }

    /// Whether this was saved beside a module with just these parameters.
    ///
    /// # Errors
    ///
    /// If not, or if it does not say.
    pub fn check_pair<M: Module>(&self, module: &M) -> Result<(), Misfit> {
        let own = fingerprint(module).map_err(|error| Misfit::Part { part: MODEL, error })?;
        match self.needed(FINGERPRINT)? == own.to_le_bytes() {
            true => Ok(()),
            false => Err(Misfit::MixedPair { updates: self.updates }),
        }
    }

    /// The optimizer with its state from here, for a module that has been [filled](Self::module).
    ///
    /// # Errors
    ///
    /// If it is missing or damaged, of another optimizer or another module, or holds NaN or infinity.
    pub fn optimizer<M: Module>(
        &self,
        optimizer: ModuleOptimizer,
        module: &M,
    ) -> Result<ModuleOptimizer, Misfit> {
        let record = self.needed(OPTIMIZER)?.to_vec();
        load_optimizer(optimizer, module, record).map_err(|error| Misfit::Part { part: OPTIMIZER, error })
    }

    /// The learning-rate schedule with its state from here.
    ///
    /// # Errors
    ///
    /// If it is missing or damaged, or of another kind of schedule.
    pub fn scheduler(&self, scheduler: ModuleLrScheduler) -> Result<ModuleLrScheduler, Misfit> {
        let record = self.needed(SCHEDULER)?.to_vec();
        load_scheduler(scheduler, record).map_err(|error| Misfit::Part { part: SCHEDULER, error })
    }

    /// What is carried from piece to piece, from here, with tensors on the given device. The state that is given is of the same kind and sizes.
    ///
    /// # Errors
    ///
    /// If it is missing or damaged, of another kind of state, or holds NaN or infinity.
    pub fn state<S: Carried + Clone>(
        &self,
        state: &S,
        options: impl Into<TensorCreationOptions>,
    ) -> Result<S, Misfit> {
        self.carried(STATE, state, options.into())
    }

    pub(crate) fn carried<S: Carried + Clone>(
        &self,
        part: &'static str,
        state: &S,
        options: TensorCreationOptions,
    ) -> Result<S, Misfit> {
        let entries = carried::read_entries(self.needed(part)?.to_vec());
        let filled = entries.and_then(|entries| carried::from_entries(state, entries, options));
        filled.map_err(|error| Misfit::Part { part, error })
    }

    fn needed(&self, name: &'static str) -> Result<&[u8], Misfit> {
        self.part(name).ok_or(Misfit::Missing(name))
    }

    /// The file's content.
    ///
    /// # Errors
    ///
    /// If it is too large for its format.
    pub fn to_bytes(&self) -> Result<Vec<u8>, RecordError> {
        let tensor = |(name, bytes): (&String, &Vec<u8>)| {
            let (size, bytes) = ([bytes.len()], Bytes::from_bytes_vec(bytes.clone()));
            Tensor::new(name.clone(), DType::U8, size, None, bytes)
        };
        let writer = Writer::new(self.parts.iter().map(tensor).collect());
        let writer = writer.with_metadata(FORMAT, VERSION).with_scalar(UPDATES, self.updates.into());
        let mut bytes = writer.into_bytes().map_err(damaged)?.to_vec();
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        Ok(bytes)
    }

    /// A checkpoint from a file's content.
    ///
    /// # Errors
    ///
    /// If it is torn or damaged, no checkpoint, or one of a later version.
    pub fn from_bytes(mut bytes: Vec<u8>) -> Result<Self, Misfit> {
        let is_whole = |(content, checksum): (&[u8], &[u8; 4])| {
            crc32fast::hash(content) == u32::from_le_bytes(*checksum)
        };
        if !bytes.split_last_chunk().is_some_and(is_whole) {
            return Err(match HookRecord::parse(bytes) {
                Ok(_) => Misfit::HookAlone,
                Err(_) => Misfit::Damaged("its checksum is not that of its content".into()),
            });
        }
        bytes.truncate(bytes.len() - 4);
        let torn = |error: burn_pack::Error| Misfit::Damaged(error.to_string());
        let reader = Reader::from_bytes(Bytes::from_bytes_vec(bytes)).map_err(torn)?;
        let found = reader.metadata().get(FORMAT).cloned().unwrap_or_default();
        if found != VERSION {
            return Err(Misfit::Version { found, expected: VERSION });
        }
        let Some(&Scalar::UInt(updates)) = reader.scalars().get(UPDATES) else {
            return Err(Misfit::Missing(UPDATES));
        };
        let part = |tensor: Tensor| Ok((tensor.name.clone(), tensor.to_bytes().map_err(torn)?.to_vec()));
        let parts = reader.into_tensors().map_err(torn)?.into_iter().map(part);
        Ok(Self { updates, parts: parts.collect::<Result<_, Misfit>>()? })
    }

    /// Saves the checkpoint. The file is written beside `path` and then renamed, so that an earlier one is never torn.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), CheckpointError> {
        let path = path.as_ref();
        let written = self.to_bytes().map_err(|error| error.to_string());
        let written = written.and_then(|bytes| atomic::write(path, &bytes));
        written.map_err(|reason| CheckpointError::Write { path: path.into(), reason })
    }

    /// Reads a checkpoint.
    ///
    /// # Errors
    ///
    /// If the file cannot be read; and as [`from_bytes`](Self::from_bytes).
    pub fn load(path: impl AsRef<Path>) -> Result<Self, CheckpointError> {
        let path = path.as_ref();
        let bytes =
            std::fs::read(path).map_err(|reason| CheckpointError::Read { path: path.into(), reason })?;
        Self::from_bytes(bytes).map_err(|misfit| CheckpointError::Misfit { path: path.into(), misfit })
    }
}

/// CRC-32 of a module's parameters: their names, types, shapes and values.
fn fingerprint<M: Module>(module: &M) -> Result<u32, RecordError> {
    let mut hasher = crc32fast::Hasher::new();
    for parameter in module.collect(None, None, false) {
        hasher.update(format!("{} {:?} {:?}", parameter.name, parameter.dtype, parameter.shape).as_bytes());
        hasher.update(&parameter.to_bytes().map_err(damaged)?);
    }
    Ok(hasher.finalize())
}
