//! Learner and error module from settings.

use anyhow::{Context, Result, ensure};
use burn::tensor::Device;
use burn_eprop::cell::{AlifConfig, LifConfig, LstmConfig};
use burn_eprop::init::Initializer;
use burn_eprop::loss::{RateAveraging, RateRegularization};
use burn_eprop::meta::{MetaLearner, OneShot};
use burn_eprop::readout::LeakyReadoutConfig;
use burn_eprop::surrogate::PseudoDerivative;
use burn_eprop::{Cell, Loss, NetworkConfig, Objective};

use super::config::{OneShotConfig, PopulationSettings, Teacher};
use super::control::control;
use super::family::Family;
use crate::method::CellName;

/// Most values of a kind: 8 GiB in float32.
const MAX_VALUES: usize = 1 << 31;

/// Something to do with learner, error module and rule, of any cell.
pub(super) trait WithMetaLearner {
    /// Its result.
    type Output;

    /// Does it.
    fn run<C: Cell>(self, meta: MetaLearner<C, C>, rule: OneShot<C>) -> Result<Self::Output>;
}

/// Checks the settings from which networks are built.
pub(super) fn validate(config: &OneShotConfig) -> Result<()> {
    let family = Family::new(config)?;
    let (learner, module) = (config.learner.neurons, config.module.neurons);
    let product = |sizes: &[usize]| sizes.iter().copied().fold(1, usize::saturating_mul);
    let seen = family.code().saturating_add(learner).saturating_add(family.inputs());
    let sizes = [
        ("weights of all tasks", product(&[config.batch, learner, learner.saturating_add(family.inputs())])),
        ("weights of the error module", product(&[module, seen.saturating_add(module)])),
        ("values that it sees", product(&[config.batch, family.steps(), seen])),
    ];
    for (what, size) in sizes {
        ensure!(size <= MAX_VALUES, "{what} are {size}, but at most {MAX_VALUES} are possible");
    }
    for (population, rate) in [(&config.learner, "learner.rate_hz"), (&config.module, "module.rate_hz")] {
        let limit = 1000.0 / config.dt_ms();
        let hz = population.rate_hz;
        ensure!((0.0..=limit).contains(&hz), "{rate} is {hz}, but must be 0 to {limit} Hz, one spike a step");
        Objective::sum(Loss::MeanSquaredError).with_rate(self::rate(config, population)).validate()?;
        network(config, population, 1, 1).validate()?;
        match config.cell {
            CellName::Lif => lif(config, population).validate(),
            CellName::Alif => alif(config, population).validate(),
            CellName::Lstm => LstmConfig::new(population.neurons).validate(),
        }
        .context("[neurons]")?;
    }
    Ok(())
}

/// Builds what valid settings describe and hands it on.
pub(super) fn with_meta_learner<W: WithMetaLearner>(
    config: &OneShotConfig,
    family: &Family,
    device: &Device,
    then: W,
) -> Result<W::Output> {
    let (learner, module) = (&config.learner, &config.module);
    match config.cell {
        CellName::Lif => {
            let cells = [learner, module].map(|population| lif(config, population).init(device));
            let traced = lif(config, learner).with_pseudo_derivative(of_traces()).init(device);
            let rule = rule(config, family).with_trace_cells(vec![traced]);
            then.run(meta_learner(config, family, device, cells), rule)
        }
        CellName::Alif => {
            let cells = [learner, module].map(|population| alif(config, population).init(device));
            let traced = alif(config, learner).with_pseudo_derivative(of_traces()).init(device);
            let rule = rule(config, family).with_trace_cells(vec![traced]);
            then.run(meta_learner(config, family, device, cells), rule)
        }
        CellName::Lstm => {
            let cells = [learner, module].map(|population| LstmConfig::new(population.neurons).init());
            then.run(meta_learner(config, family, device, cells), rule(config, family))
        }
    }
}

fn meta_learner<C: Cell>(
    config: &OneShotConfig,
    family: &Family,
    device: &Device,
    [learner, module]: [C; 2],
) -> MetaLearner<C, C> {
    let seen = family.code() + config.learner.neurons + family.inputs();
    let of_learner = network(config, &config.learner, family.inputs(), family.outputs());
    let of_module = network(config, &config.module, seen, config.learner.neurons);
    MetaLearner::new(
        of_learner.with_seed(2 * config.seed).init(vec![learner], device),
        of_module.with_seed(2 * config.seed + 1).init(vec![module], device),
        config.update.lr,
    )
}

/// The readout filters spikes as the membrane does, without a factor.
fn network(
    config: &OneShotConfig,
    population: &PopulationSettings,
    inputs: usize,
    outputs: usize,
) -> NetworkConfig {
    let readout = LeakyReadoutConfig::new()
        .with_tau_ms(Some(config.neurons.tau_ms))
        .with_dt_ms(config.dt_ms())
        .with_bias(false)
        .with_initializer(Initializer::FanIn { gain: population.readout_gain });
    NetworkConfig::new(inputs, outputs).with_readout(Some(readout))
}

/// How a task is learned from one presentation.
fn rule<C: Cell>(config: &OneShotConfig, family: &Family) -> OneShot<C> {
    let spiking = config.cell != CellName::Lstm && config.rate_weight > 0.0;
    let [learner, module] =
        [&config.learner, &config.module].map(|population| spiking.then(|| rate(config, population)));
    let rule = OneShot::new(Objective::sum(Loss::MeanSquaredError)).with_rates(learner, module);
    match control(config.signal, family) {
        Some(signal) => rule.with_signal(signal),
        None => rule,
    }
}

/// w Σ (f − f*)² in kHz as (c/2) Σ (f − f*)² in spikes a step: a rate in kHz is that of spikes a step, divided by the step in ms.
fn rate(config: &OneShotConfig, population: &PopulationSettings) -> RateRegularization {
    let dt = config.dt_ms();
    RateRegularization {
        strength: 2.0 * config.rate_weight / (dt * dt),
        target_per_step: population.rate_hz * dt / 1000.0,
        averaging: RateAveraging::Batch,
    }
}

/// The traces' pseudo-derivative in the authors' code: without division by the threshold, and in refractoriness too.
fn of_traces() -> PseudoDerivative {
    PseudoDerivative {
        divide_by_threshold: false,
        zero_in_refractoriness: false,
        ..PseudoDerivative::default()
    }
}

fn lif(config: &OneShotConfig, population: &PopulationSettings) -> LifConfig {
    let settings = &config.neurons;
    LifConfig::new(population.neurons)
        .with_tau_membrane_ms(settings.tau_ms.into())
        .with_dt_ms(config.dt_ms())
        .with_threshold(settings.threshold)
        .with_refractory_steps(settings.refractory_steps)
}

/// The second half of the neurons adapts.
fn alif(config: &OneShotConfig, population: &PopulationSettings) -> AlifConfig {
    let (settings, neurons) = (&config.neurons, population.neurons);
    AlifConfig::mixed(neurons, neurons.div_ceil(2), settings.adaptation_strength)
        .with_tau_adaptation_ms(settings.tau_adaptation_ms.into())
        .with_tau_membrane_ms(settings.tau_ms.into())
        .with_dt_ms(config.dt_ms())
        .with_threshold(settings.threshold)
        .with_refractory_steps(settings.refractory_steps)
}

impl Teacher {
    /// Whether the error module learns.
    pub(super) fn trains_module(self) -> bool {
        matches!(self, Self::Learned | Self::Shuffled)
    }
}
