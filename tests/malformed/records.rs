//! Records of networks, optimizers and streams.

use std::path::Path;

use burn::module::Module;
use burn::optim::{AdamConfig, ModuleOptimizer};
use burn::tensor::{Device, Tensor};
use burn_eprop::carried::Carried;
use burn_eprop::cell::{Alif, AlifConfig};
use burn_eprop::checkpoint::Checkpoint;
use burn_eprop::estimator::{BoundaryLearning, Eprop, Eprop3};
use burn_eprop::loss::{RateAveraging, RateRegularization};
use burn_eprop::signal::Symmetric;
use burn_eprop::synthetic_gradient::SyntheticGradientConfig;
use burn_eprop::{Batch, Loss, Network, NetworkConfig, Objective, OnlineEstimator, OptimizerHook};
use eprop_cli::checkpoint::{CHECKPOINT, Checkpoint as RunCheckpoint};
use eprop_cli::model;
use eprop_cli::run_folder::RunFolder;
use eprop_cli::table::Table;
use eprop_tests::streams;

use crate::format::{Format, reader, replaced};

const BATCH: usize = 2;

/// A stream that learns by e-prop.
pub(crate) fn stream() -> Format {
    of_stream("record of a stream", || {
        let averaging = RateAveraging::Running { tau_steps: 9.0 };
        let rate = RateRegularization::new(1.0, 20.0, 1.0).with_averaging(averaging);
        let objective = Objective::sum(Loss::MeanSquaredError).with_rate(rate);
        OptimizerHook::new(optimizer(), Eprop::new(objective, Symmetric).with_chunk(4))
    })
}

/// A stream that learns by e-prop 3, with BP(λ).
pub(crate) fn windows() -> Format {
    of_stream("record of a stream in windows", || {
        let learning = BoundaryLearning { lambda: 0.7, discount: 0.9 };
        let eprop3 = Eprop3::new(Objective::sum(Loss::MeanSquaredError), 3).with_boundary_learning(learning);
        OptimizerHook::new(optimizer(), eprop3)
    })
}

fn of_stream<E>(name: &'static str, hook: fn() -> OptimizerHook<E>) -> Format
where
    E: OnlineEstimator<Alif> + Clone + 'static,
    E::State: Carried,
{
    let mut stream = hook().into_stream(&network(), BATCH);
    let (network, report) = stream.feed(1e-2, network(), &batch());
    assert!(report.gradient_norm > 0.0);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.bpk");
    stream.save_checkpoint(&network, None, &path).expect("saved");
    let sound = std::fs::read(path).expect("saved");
    let read = move |path: &Path| {
        let mut stream = hook().into_stream(&network, BATCH);
        with_right_checksum(path);
        let loaded = stream.load_checkpoint(&network, None, path).map_err(|error| error.to_string())?;
        // What was accepted can be learnt from.
        let _ = stream.feed(1e-2, loaded, &batch());
        Ok(())
    };
    let whole = Checkpoint::from_bytes(sound.clone()).expect("whole");
    let claims = burnpack_claims(whole.part("model").expect("there")).into_iter();
    let claims = claims.map(|model| whole.clone().with_part("model", model).to_bytes().expect("written"));
    let refused = claims.chain(forged(&sound)).collect();
    Format {
        name,
        file: "a.bpk",
        sound: vec![sound],
        refused,
        variants: 2500,
        read: reader("a.bpk", |_| (), read),
    }
}

/// Without its checksum, a checkpoint is refused for that alone.
fn with_right_checksum(path: &Path) {
    let mut bytes = std::fs::read(path).expect("written");
    let content = bytes.len().saturating_sub(4);
    let checksum = crc32fast::hash(&bytes[..content]).to_le_bytes();
    bytes.truncate(content);
    bytes.extend(checksum);
    std::fs::write(path, bytes).expect("written");
}

/// The record of a hook without its network, as earlier versions wrote it.
pub(crate) fn hook_alone() -> Format {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join("records");
    let sound = std::fs::read(fixtures.join("stream.bpk")).expect("a part of the project");
    let network = streams::network().load_file(fixtures.join("network.bpk"));
    let read = move |path: &Path| {
        let stream = streams::hook().into_stream(&network, streams::BATCH);
        #[allow(deprecated)]
        let mut stream = stream.load(path, &network).map_err(|error| error.to_string())?;
        let _ = stream.feed(1e-2, network.clone(), &streams::batch(None).piece(28..34));
        Ok(())
    };
    let refused = burnpack_claims(&sound);
    Format {
        name: "record of a hook alone",
        file: "a.bpk",
        sound: vec![sound],
        refused,
        variants: 1000,
        read: reader("a.bpk", |_| (), read),
    }
}

/// The parameters of a network.
pub(crate) fn network_parameters() -> Format {
    let sound = model::to_bytes(network()).expect("a record").to_vec();
    let network = network();
    let read = move |path: &Path| {
        let network = model::load(network.clone(), path).map_err(|error| format!("{error:#}"))?;
        let mut hook =
            OptimizerHook::new(optimizer(), Eprop::new(Objective::sum(Loss::MeanSquaredError), Symmetric));
        let _ = hook.step(1e-2, network, &batch());
        Ok(())
    };
    let refused = [burnpack_claims(&sound), forged(&sound)].concat();
    Format {
        name: "record of a network",
        file: "model.bpk",
        sound: vec![sound],
        refused,
        variants: 2500,
        read: reader("model.bpk", |_| (), read),
    }
}

/// Network, optimizer and measurements of a run.
pub(crate) fn checkpoint() -> Format {
    let mut hook =
        OptimizerHook::new(optimizer(), Eprop::new(Objective::sum(Loss::MeanSquaredError), Symmetric));
    let (trained, _) = hook.step(1e-2, network(), &batch());
    let mut metrics = Table::new(["iteration", "loss"]);
    metrics.push(vec![1.0, 0.5]);
    let statistics = Some("patterns = 3");
    let sound = RunCheckpoint::bytes(&trained, hook.optimizer(), &metrics, statistics).expect("a checkpoint");
    let read = move |path: &Path| {
        let folder = RunFolder::open(path.parent().expect("a folder"));
        let checkpoint = RunCheckpoint::last(&folder, 10).map_err(|error| format!("{error:#}"))?;
        let restored = checkpoint.expect("there is one").restore(trained.clone(), optimizer());
        // Who restores knows the file.
        let (network, optimizer) = restored.map_err(|error| format!("{}: {error:#}", path.display()))?;
        let mut hook =
            OptimizerHook::new(optimizer, Eprop::new(Objective::sum(Loss::MeanSquaredError), Symmetric));
        let _ = hook.step(1e-2, network, &batch());
        Ok(())
    };
    let mut refused = forged(&sound);
    refused.push([&10_000_000_000_u64.to_le_bytes()[..], &sound[8..]].concat());
    Format {
        name: "checkpoint",
        file: CHECKPOINT,
        refused,
        sound: vec![sound],
        variants: 2500,
        read: reader(CHECKPOINT, |_| (), read),
    }
}

/// Records whose metadata or whose first tensor are said to have 10 GB, or as much as the field can say.
fn burnpack_claims(sound: &[u8]) -> Vec<Vec<u8>> {
    // Magic number, version, size of the metadata, which are CBOR: a number of 64 bits begins with 0x1b.
    let resized = |bytes: Vec<u8>, by: usize| {
        let size = u32::from_le_bytes([sound[6], sound[7], sound[8], sound[9]]) + by as u32;
        [&bytes[..6], &size.to_le_bytes(), &bytes[10..]].concat()
    };
    let mut metadata = sound.to_vec();
    metadata[6..10].fill(0xff);
    let key = b"eshape\x82";
    let at = sound.windows(key.len()).position(|bytes| bytes == key).expect("a matrix") + key.len();
    let wide = [&[0x1b][..], &2_500_000_000_u64.to_be_bytes()].concat();
    let shape = [&sound[..at], &wide, &sound[at + 1..]].concat();
    vec![metadata, resized(shape, wide.len() - 1)]
}

/// Whole records whose tensors have another type, shape or number of dimensions, or no identifier; of the optimizer too, if it is there.
fn forged(sound: &[u8]) -> Vec<Vec<u8>> {
    let mut forged = vec![
        replaced(sound, b"edtypecF32", b"edtypecI32"),
        replaced(sound, b"edtypecF32", b"edtypecU32"),
        replaced(sound, b"eshape\x82\x02\x03", b"eshape\x82\x03\x02"),
        replaced(sound, b"hparam_id", b"hparam_no"),
    ];
    let rank = b"__rank\xa1dUInt\x02";
    if sound.windows(rank.len()).any(|bytes| bytes == rank) {
        forged.extend(
            [1, 3, 9].map(|other| replaced(sound, rank, &[b"__rank\xa1dUInt", &[other][..]].concat())),
        );
    }
    forged
}

fn optimizer() -> ModuleOptimizer {
    AdamConfig::new().init()
}

fn network() -> Network<Alif> {
    let device = Device::flex().autodiff();
    let cell = AlifConfig::mixed(3, 1, 0.1).init(&device);
    let network = NetworkConfig::new(2, 1).with_seed(3).init(vec![cell], &device);
    network.with_synthetic_gradient(&SyntheticGradientConfig::new())
}

/// Inputs that make the network spike.
fn batch() -> Batch {
    let options = &Device::flex();
    Batch::new(Tensor::ones([BATCH, 6, 2], options).mul_scalar(2.0), Tensor::ones([BATCH, 6, 1], options))
}
