//! Networks from settings, and their files.

use std::path::Path;

use anyhow::{Context, Error, Result, ensure};
use burn::module::Module;
use burn::tensor::{Bytes, Device};
use burn_eprop::bidirectional::Bidirectional;
use burn_eprop::cell::{AlifConfig, LifConfig, LstmConfig};
use burn_eprop::init::Initializer;
use burn_eprop::readout::LeakyReadoutConfig;
use burn_eprop::record::{RecordError, load_module};
use burn_eprop::{Cell, Network, NetworkConfig};

use crate::config::{NetworkSettings, RunConfig, SyntheticName};
use crate::method::{CellName, Model};

/// Most eligibility traces of a kind that are tried: 8 GiB in float32.
const MAX_TRACES: usize = 1 << 31;

/// The seed of a backward network is that of the forward one with other bits.
const BACKWARD: u64 = 1 << 63;

/// Something to do with a cell of any kind.
pub trait WithCell {
    /// Its result.
    type Output;

    /// Does it.
    fn run<C: Cell>(self, cell: C) -> Result<Self::Output>;
}

/// Something to do with a model of any cell.
pub trait WithModel {
    /// Its result.
    type Output;

    /// Does it.
    fn run<M: Model>(self, model: M) -> Result<Self::Output>;
}

/// Checks the settings from which networks are built.
///
/// # Errors
///
/// If one is out of range.
pub fn validate(config: &RunConfig) -> Result<()> {
    check_sizes(config, 1)?;
    network_config(config, 1, 1).validate()?;
    match config.cell {
        CellName::Lif => lif(config).validate()?,
        CellName::Alif => alif(config).validate()?,
        CellName::Lstm => lstm(config).validate()?,
    }
    Ok(())
}

/// Refuses a network whose traces no machine holds: one for each sequence, synapse and current.
///
/// # Errors
///
/// If there are too many.
pub fn check_size(cell: CellName, batch: usize, inputs: usize, neurons: usize) -> Result<()> {
    let currents = if cell == CellName::Lstm { 4 } else { 1 };
    let traces = [batch, currents, neurons, inputs + neurons].into_iter().fold(1, usize::saturating_mul);
    ensure!(
        traces <= MAX_TRACES,
        "{neurons} neurons with {inputs} inputs and a batch of {batch} have {traces} eligibility traces, but at \
         most {MAX_TRACES} are possible"
    );
    Ok(())
}

fn check_sizes(config: &RunConfig, inputs: usize) -> Result<()> {
    let NetworkSettings { neurons, layers, .. } = config.network;
    check_size(config.cell, config.batch, inputs, neurons)?;
    if layers > 1 {
        let of_all = check_size(config.cell, config.batch.saturating_mul(layers), neurons, neurons);
        of_all.with_context(|| format!("{layers} layers, as many as sequences of one"))?;
    }
    Ok(())
}

/// Refuses a synthetic gradient whose weights no machine holds.
fn check_module(config: &RunConfig, outputs: usize) -> Result<()> {
    // z, up to two hidden values, y.
    let neurons = config.network.neurons.saturating_mul(config.network.layers);
    let width = neurons.saturating_mul(3).saturating_add(outputs);
    let weights = match config.synthetic.kind {
        SyntheticName::None => 0,
        SyntheticName::Linear | SyntheticName::BpLambda => width.saturating_mul(width),
        SyntheticName::Mlp => width.saturating_mul(2).saturating_mul(config.synthetic.hidden),
    };
    ensure!(
        weights <= MAX_TRACES,
        "a synthetic gradient of {width} values has {weights} weights, but at most {MAX_TRACES} are possible"
    );
    Ok(())
}

/// Builds the cell that valid settings describe and hands it on.
///
/// # Errors
///
/// Those of `then`.
pub fn with_cell<W: WithCell>(config: &RunConfig, device: &Device, then: W) -> Result<W::Output> {
    match config.cell {
        CellName::Lif => then.run(lif(config).init(device)),
        CellName::Alif => then.run(alif(config).init(device)),
        CellName::Lstm => then.run(lstm(config).init()),
    }
}

/// The network, in one direction, that valid settings describe.
///
/// # Errors
///
/// If it is too large.
pub fn network<C: Cell>(
    config: &RunConfig,
    cell: C,
    [inputs, outputs]: [usize; 2],
    device: &Device,
) -> Result<Network<C>> {
    check_sizes(config, inputs)?;
    check_module(config, outputs)?;
    let cells = vec![cell; config.network.layers];
    let network = network_config(config, inputs, outputs).init(cells, device);
    Ok(match config.synthetic.module(config.seed) {
        Some(module) => network.with_synthetic_gradient(&module),
        None => network,
    })
}

/// Builds the model that valid settings describe, in one direction or both, and hands it on.
///
/// # Errors
///
/// If it is too large, and those of `then`.
pub fn with_model<W: WithModel>(
    config: &RunConfig,
    sizes: [usize; 2],
    device: &Device,
    then: W,
) -> Result<W::Output> {
    with_cell(config, device, Directions { config, sizes, device, then })
}

struct Directions<'a, W> {
    config: &'a RunConfig,
    sizes: [usize; 2],
    device: &'a Device,
    then: W,
}

impl<W: WithModel> WithCell for Directions<'_, W> {
    type Output = W::Output;

    fn run<C: Cell>(self, cell: C) -> Result<W::Output> {
        let Self { config, sizes, device, then } = self;
        let forward = network(config, cell.clone(), sizes, device)?;
        if !config.network.bidirectional {
            return then.run(forward);
        }
        let other = RunConfig { seed: config.seed ^ BACKWARD, ..config.clone() };
        then.run(Bidirectional::new(forward, network(&other, cell, sizes, device)?))
    }
}

fn network_config(config: &RunConfig, inputs: usize, outputs: usize) -> NetworkConfig {
    let settings = &config.network;
    let readout = LeakyReadoutConfig::new()
        .with_tau_ms((settings.tau_readout_ms != 0.0).then_some(settings.tau_readout_ms))
        .with_dt_ms(settings.dt_ms)
        .with_normalized(settings.readout_normalized);
    let feedback = match settings.feedback_deviation {
        Some(standard_deviation) => Initializer::Normal { standard_deviation },
        None => Initializer::FanIn { gain: 1.0 },
    };
    NetworkConfig::new(inputs, outputs)
        .with_readout(Some(readout))
        .with_feedback_initializer(feedback)
        .with_input_initializer(Initializer::FanIn { gain: settings.input_gain })
        .with_recurrent_initializer(Initializer::FanIn { gain: settings.recurrent_gain })
        .with_seed(config.seed)
}

fn lstm(config: &RunConfig) -> LstmConfig {
    LstmConfig::new(config.network.neurons)
}

fn lif(config: &RunConfig) -> LifConfig {
    let settings = &config.network;
    LifConfig::new(settings.neurons)
        .with_tau_membrane_ms(settings.tau_membrane_ms.into())
        .with_dt_ms(settings.dt_ms)
        .with_threshold(settings.threshold)
        .with_refractory_steps(settings.refractory_steps)
        .with_input_normalization(settings.input_normalization)
}

/// The last neurons adapt.
fn alif(config: &RunConfig) -> AlifConfig {
    let settings = &config.network;
    let adaptive = (settings.neurons as f64 * settings.adaptive_share).round() as usize;
    AlifConfig::mixed(settings.neurons, adaptive, settings.adaptation_strength)
        .with_tau_adaptation_ms(settings.tau_adaptation_ms.into())
        .with_tau_membrane_ms(settings.tau_membrane_ms.into())
        .with_dt_ms(settings.dt_ms)
        .with_threshold(settings.threshold)
        .with_refractory_steps(settings.refractory_steps)
        .with_input_normalization(settings.input_normalization)
}

/// A module's record.
pub fn to_bytes<M: Module>(module: M) -> Result<Bytes> {
    module.into_record().into_bytes().context("the network cannot be written")
}

/// Fills a module from its record in a file.
///
/// # Errors
///
/// If the file is missing, corrupt or of another module.
pub fn load<M: Module>(module: M, path: &Path) -> Result<M> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    from_bytes(module, bytes).with_context(|| path.display().to_string())
}

/// Fills a module from its record.
///
/// # Errors
///
/// If the record is corrupt or of another module.
pub fn from_bytes<M: Module>(module: M, bytes: Vec<u8>) -> Result<M> {
    load_module(module, bytes).map_err(|error| match &error {
        RecordError::Damaged { .. } => Error::new(error).context("not a whole network of its settings"),
        RecordError::Mismatch { .. } => Error::new(error).context("it does not fit its settings"),
        RecordError::NonFinite { .. } => error.into(),
    })
}
