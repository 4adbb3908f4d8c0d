//! Records of modules, optimizers and learning-rate schedules from files that may be damaged.
//!
//! Burn panics, at once or in the next step, where a record's tensors have another type or an optimizer's have another shape, and it passes over what a
//! schedule's record lacks. These readers compare a record with what module, optimizer and schedule would write themselves, and refuse what differs. The
//! record of a module that [`save_module`] wrote has a checksum besides, by which [`load_module`] knows values that have changed.

use std::collections::{BTreeMap, BTreeSet};
use std::mem::discriminant;

use burn::lr_scheduler::LrSchedulerRecord;
use burn::lr_scheduler::module_lr_scheduler::ModuleLrScheduler;
use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::{GradientsParams, ModuleOptimizer, OptimizerRecord};
use burn::store::ModuleRecord;
use burn::tensor::{Bytes, Tensor, TensorData};
use burn_pack::{Reader, Scalar, Writer};

/// How the name of the scalar ends by which Burn knows the number of dimensions of an optimizer's state.
const RANK: &str = ".__rank";

/// Name in a record's metadata of the checksum of its tensors.
const CHECKSUM: &str = "burn_eprop.crc32";

/// A record cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// It is not whole, or lacks something.
    #[error("damaged: {reason}")]
    Damaged {
        /// What is wrong.
        reason: String,
    },
    /// It is of another module, or of an optimizer, schedule or stream whose state has other parts.
    #[error("`{part}` is missing or unexpected, or has another shape, type or constant value")]
    Mismatch {
        /// The first part that does not fit.
        part: String,
    },
    /// A value is NaN or infinite.
    #[error("`{part}` holds NaN or infinity")]
    NonFinite {
        /// Where.
        part: String,
    },
}

/// The bytes of a module's [record](Module::into_record), with a checksum by which [`load_module`] knows values that have changed. Burn reads
/// them as it does those without.
///
/// # Errors
///
/// If Burn cannot write them.
pub fn save_module<M: Module>(module: M) -> Result<Bytes, RecordError> {
    let pack = Pack::read(module.into_record().into_bytes().map_err(damaged)?)?;
    let checksum = pack.checksum_of_tensors()?;
    let writer = Writer::new(pack.tensors.into_values().collect());
    writer.with_metadata(CHECKSUM, &checksum).into_bytes().map_err(damaged)
}

/// Whether the bytes of a record have a checksum, as [`save_module`] writes it.
pub fn has_checksum(bytes: &[u8]) -> bool {
    let reader = Reader::from_bytes(Bytes::from_bytes_vec(bytes.to_vec()));
    reader.is_ok_and(|reader| reader.metadata().contains_key(CHECKSUM))
}

/// Fills a module from the bytes of its [record](Module::into_record), whether or not they have a checksum.
///
/// # Errors
///
/// If they are damaged, of another module, or hold NaN or infinity, or their checksum is not that of their tensors.
pub fn load_module<M: Module>(module: M, bytes: Vec<u8>) -> Result<M, RecordError> {
    let bytes = Bytes::from_bytes_vec(bytes);
    let found = Pack::read(bytes.clone())?;
    let own = Pack::read(module.clone().into_record().into_bytes().map_err(damaged)?)?;
    found.check(&own)?;
    found.check_whole(&own)?;
    // Parameters that are one and the same in the module, and no others, share an identifier.
    let ids = |pack: &Pack, name: &String| pack.tensors.get(name).and_then(|tensor| tensor.param_id);
    let pairs: BTreeSet<_> = own.tensors.keys().map(|name| (ids(&own, name), ids(&found, name))).collect();
    let [of_own, of_found]: [BTreeSet<_>; 2] =
        [pairs.iter().map(|pair| pair.0).collect(), pairs.iter().map(|pair| pair.1).collect()];
    if pairs.len() > of_own.len().min(of_found.len()) {
        return Err(damaged("parameters share an identifier that are not the same"));
    }
    match &found.checksum {
        Some(checksum) if *checksum != found.checksum_of_tensors()? => {
            return Err(damaged("its checksum is not that of its values"));
        }
        None if bytes.windows(CHECKSUM.len()).any(|bytes| bytes == CHECKSUM.as_bytes()) => {
            return Err(damaged("its checksum is not among its metadata"));
        }
        _ => {}
    }
    let record = ModuleRecord::from_bytes(bytes).map_err(damaged)?;
    module.try_load_record(record).map_err(damaged)
}

/// Fills an optimizer from the bytes of its [record](ModuleOptimizer::into_bytes). The module that it updates must have the parameter ids
/// of the record.
///
/// # Errors
///
/// If they are damaged, of another optimizer or of another module, or hold NaN or infinity.
pub fn load_optimizer<M: Module>(
    optimizer: ModuleOptimizer,
    module: &M,
    bytes: Vec<u8>,
) -> Result<ModuleOptimizer, RecordError> {
    let bytes = Bytes::from_bytes_vec(bytes);
    let own = after_a_step(optimizer.clone(), module).into_bytes().map_err(damaged)?;
    Pack::read(bytes.clone())?.check(&Pack::read(own)?)?;
    let record = OptimizerRecord::from_bytes(bytes).map_err(damaged)?;
    Ok(optimizer.load_record(record))
}

/// Fills a learning-rate schedule from the bytes of its [record](ModuleLrScheduler::to_record).
///
/// # Errors
///
/// If they are damaged, of another kind of schedule, or hold NaN or infinity.
pub fn load_scheduler(
    scheduler: ModuleLrScheduler,
    bytes: Vec<u8>,
) -> Result<ModuleLrScheduler, RecordError> {
    let bytes = Bytes::from_bytes_vec(bytes);
    let own = Pack::read(scheduler.to_record().into_bytes().map_err(damaged)?)?;
    let found = Pack::read(bytes.clone())?;
    found.check(&own)?;
    found.check_whole(&own)?;
    Ok(scheduler.load_record(LrSchedulerRecord::from_bytes(bytes).map_err(damaged)?))
}

/// The optimizer with a state for each parameter.
fn after_a_step<M: Module>(mut optimizer: ModuleOptimizer, module: &M) -> ModuleOptimizer {
    let mut zeros = Zeros { gradients: GradientsParams::new() };
    module.visit(&mut zeros);
    let _ = optimizer.step(0.0, module.clone().train(), zeros.gradients);
    optimizer
}

struct Zeros {
    gradients: GradientsParams,
}

impl ModuleVisitor for Zeros {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.gradients.register(param.id, param.val().without_autodiff().zeros_like());
    }
}

/// A file in Burn's format.
struct Pack {
    tensors: BTreeMap<String, burn_pack::Tensor>,
    scalars: BTreeMap<String, Scalar>,
    texts: BTreeMap<String, String>,
    checksum: Option<String>,
}

impl Pack {
    fn read(bytes: Bytes) -> Result<Self, RecordError> {
        let reader = Reader::from_bytes(bytes).map_err(damaged)?;
        let (scalars, mut texts) = (reader.scalars().clone(), reader.metadata().clone());
        let checksum = texts.remove(CHECKSUM);
        let tensors = reader.into_tensors().map_err(damaged)?.into_iter();
        let tensors = tensors.map(|tensor| (tensor.name.clone(), tensor)).collect();
        Ok(Self { tensors, scalars, texts, checksum })
    }

    /// Names, identifiers and values; shapes and types are [checked](Self::check) one by one.
    fn checksum_of_tensors(&self) -> Result<String, RecordError> {
        let mut hasher = crc32fast::Hasher::new();
        for (name, tensor) in &self.tensors {
            hasher.update(name.as_bytes());
            hasher.update(&tensor.param_id.unwrap_or_default().to_le_bytes());
            hasher.update(&tensor.to_bytes().map_err(damaged)?);
        }
        Ok(format!("{:08x}", hasher.finalize()))
    }

    fn names(&self) -> impl Iterator<Item = &String> {
        self.tensors.keys().chain(self.scalars.keys())
    }

    /// Whether all that is in `own` is there.
    fn check_whole(&self, own: &Self) -> Result<(), RecordError> {
        let has = |name: &&String| self.tensors.contains_key(*name) || self.scalars.contains_key(*name);
        match own.names().find(|name| !has(name)) {
            Some(name) => Err(RecordError::Mismatch { part: name.clone() }),
            None => Ok(()),
        }
    }

    /// Whether there is nothing that is not in `own` as well, alike in all but the values.
    fn check(&self, own: &Self) -> Result<(), RecordError> {
        for (name, tensor) in &self.tensors {
            let fits = |own: &burn_pack::Tensor| {
                let id_is_known = tensor.param_id.is_some() == own.param_id.is_some();
                own.shape == tensor.shape && own.dtype == tensor.dtype && id_is_known
            };
            if !own.tensors.get(name).is_some_and(fits) {
                return Err(RecordError::Mismatch { part: name.clone() });
            }
            let bytes = tensor.to_bytes().map_err(damaged)?;
            let data = TensorData::try_from_bytes(bytes, tensor.shape.clone(), tensor.dtype);
            if !data.map_err(damaged)?.iter::<f64>().all(f64::is_finite) {
                return Err(RecordError::NonFinite { part: name.clone() });
            }
        }
        let scalar_fits = |name: &String, scalar: &Scalar| match (own.scalars.get(name), scalar) {
            (Some(own), _) if name.ends_with(RANK) => own == scalar,
            (Some(Scalar::Float(_)), Scalar::Float(number)) => number.is_finite(),
            (Some(own), _) => discriminant(own) == discriminant(scalar),
            (None, _) => false,
        };
        let scalars = self.scalars.iter().filter(|(name, scalar)| !scalar_fits(name, scalar));
        let texts = self.texts.iter().filter(|(name, text)| own.texts.get(*name) != Some(*text));
        // Who has some of what belongs together has all of it.
        let known: BTreeSet<&str> = self.names().map(|name| first_part(name)).collect();
        let has = |name: &String| self.tensors.contains_key(name) || self.scalars.contains_key(name);
        let lacking = own.names().filter(|name| known.contains(first_part(name)) && !has(name));
        match scalars.map(|(name, _)| name).chain(texts.map(|(name, _)| name)).chain(lacking).next() {
            Some(name) => Err(RecordError::Mismatch { part: name.clone() }),
            None => Ok(()),
        }
    }
}

/// The parameter's id in an optimizer's record.
fn first_part(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}

pub(crate) fn damaged(reason: impl ToString) -> RecordError {
    RecordError::Damaged { reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::Network;
    use crate::NetworkConfig;
    use crate::cell::{Lif, LifConfig};

    fn network(seed: u64) -> Network<Lif> {
        let device = Device::flex();
        NetworkConfig::new(3, 2).with_seed(seed).init(vec![LifConfig::new(4).init(&device)], &device)
    }

    fn values(network: &Network<Lif>) -> Vec<f32> {
        network.layers[0].w_in.val().into_data().try_into_vec().unwrap()
    }

    #[test]
    fn each_bit_of_the_values_is_guarded() {
        let saved = save_module(network(1)).unwrap().to_vec();
        let loaded = load_module(network(2), saved.clone()).unwrap();
        assert_eq!(values(&loaded), values(&network(1)));
        let bytes = network(1).into_record().into_bytes().unwrap();
        let data: usize = Pack::read(bytes).unwrap().tensors.values().map(|it| it.byte_len()).sum();
        assert!(data > 4 * (3 + 4) * 4);
        let mut caught = 0;
        for (place, bit) in (0..saved.len()).flat_map(|place| [(place, 1), (place, 0x80)]) {
            let mut damaged = saved.clone();
            damaged[place] ^= bit;
            match load_module(network(2), damaged) {
                // Alignment is padded with bytes that mean nothing.
                Ok(loaded) => assert_eq!(values(&loaded), values(&network(1)), "byte {place}"),
                Err(_) => caught += 1,
            }
        }
        assert!(caught >= 2 * data, "{caught} of {}", 2 * data);
        // A record that has lost its checksum is none of those that never had one.
        let key = saved.windows(8).position(|bytes| bytes == b"metadata").unwrap();
        let damaged = [&saved[..key], b"metadatb", &saved[key + 8..]].concat();
        assert!(load_module(network(2), damaged).is_err());
    }

    #[test]
    fn records_without_a_checksum_are_read() {
        let plain = network(1).into_record().into_bytes().unwrap();
        assert!(!has_checksum(&plain) && has_checksum(&save_module(network(1)).unwrap()));
        assert!(!has_checksum(b"garbage"));
        assert_eq!(values(&load_module(network(2), plain.to_vec()).unwrap()), values(&network(1)));
        // Burn reads what has one.
        let record = ModuleRecord::from_bytes(save_module(network(1)).unwrap()).unwrap();
        assert_eq!(values(&network(2).try_load_record(record).unwrap()), values(&network(1)));
    }
}
