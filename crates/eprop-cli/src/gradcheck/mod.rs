//! `eprop gradcheck`: our gradients beside those of another program.

pub mod fixture;

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use burn::module::{Module, Param, ParamId};
use burn::optim::{GradientsParams, ModuleOptimizer, SgdConfig};
use burn::tensor::{DType, Device, Tensor, TensorCreationOptions, TensorData};
use burn_eprop::cell::{AlifConfig, InputNormalization, LifConfig, LstmConfig};
use burn_eprop::constant::Constant;
use burn_eprop::eligibility::{Chunk, EligibilityTraces, Presynaptic, SummedTraces, Synapses};
use burn_eprop::estimator::{Bptt, ChunkRecord, Eprop, LayerRecord, mean_firing_rate};
use burn_eprop::loss::{RateAveraging, RateRegularization};
use burn_eprop::network::GradientPaths;
use burn_eprop::readout::LeakyReadoutConfig;
use burn_eprop::signal::{LearningSignal, Random, Symmetric};
use burn_eprop::surrogate::PseudoDerivative;
use burn_eprop::{Batch, Cell, Estimate, GradientEstimator, Loss, Network, NetworkConfig, Objective};
use fixture::{Array, Fixture, LossName, Model};

/// Name of the spike counts of several iterations.
const TRAINING_SPIKES: &str = "training spikes";

/// How far our value of one quantity lies from the fixture's.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Comparison {
    /// The fixture's name of the quantity.
    pub name: String,
    /// max |difference| / max |reference|.
    pub relative_error: f64,
}

/// What came of a fixture.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Report {
    /// What was compared.
    pub comparisons: Vec<Comparison>,
    /// What the fixture stores and was not compared.
    pub skipped: Vec<String>,
}

/// How to recompute a fixture.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where.
    pub device: Device,
    /// In which floating-point type.
    pub dtype: DType,
    /// Chunk length K of the eligibility engine.
    pub chunk: usize,
}

/// Recomputes everything that a fixture stores.
///
/// # Errors
///
/// If the fixture lacks something, holds a `grad_*` tensor that is unknown, or holds nothing to compare.
pub fn check(fixture: &Fixture, settings: &Settings) -> Result<Report> {
    let options: TensorCreationOptions = (&settings.device, settings.dtype).into();
    match fixture.description.model {
        Model::Lif => {
            let cell = lif(fixture)?;
            cell.validate().with_context(|| fixture.path().display().to_string())?;
            check_cell(fixture, settings, cell.init(options))
        }
        Model::Alif => {
            let cell = alif(fixture)?;
            cell.validate().with_context(|| fixture.path().display().to_string())?;
            check_cell(fixture, settings, cell.init(options))
        }
        Model::Lstm => {
            let neurons = fixture.description.config.n_rec;
            check_cell(fixture, settings, LstmConfig::new(neurons).init())
        }
    }
}

impl Report {
    /// The largest error; NaN counts as infinite.
    pub fn largest_error(&self) -> f64 {
        let errors = self.comparisons.iter().map(|comparison| comparison.relative_error);
        errors.fold(0.0, |largest, error| if error.is_nan() { f64::INFINITY } else { largest.max(error) })
    }
}

fn check_cell<C: Cell>(fixture: &Fixture, settings: &Settings, cell: C) -> Result<Report> {
    let check = Check { problem: Problem::new(fixture, cell, settings)?, fixture, chunk: settings.chunk };
    let mut comparisons = check.gradients()?;
    comparisons.extend(check.simulation()?);
    comparisons.extend(check.training()?);
    let path = fixture.path().display();
    ensure!(!comparisons.is_empty(), "{path} stores nothing that could be compared");
    Ok(Report { skipped: check.skipped(&comparisons), comparisons })
}

/// A fixture's network, batch and objective.
struct Problem<C: Cell> {
    network: Network<C>,
    batch: Batch,
    objective: Objective,
}

struct Check<'a, C: Cell> {
    problem: Problem<C>,
    fixture: &'a Fixture,
    chunk: usize,
}

/// A gradient as fixtures name it: an algorithm and whether the recurrent weights are 0.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Variant {
    algorithm: Algorithm,
    recurrent: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Algorithm {
    Bptt,
    BpttResetDetached,
    EpropSymmetric,
    EpropRandom,
}

impl Variant {
    /// Splits `bptt_norec_W_in` into variant and parameter.
    fn parse(name: &str) -> Option<(Self, &'static str)> {
        let parameters = ["W_in", "W_rec", "W_out", "b_out", "W_x", "W_h", "b"];
        let (variant, parameter) = parameters
            .iter()
            .find_map(|parameter| Some((name.strip_suffix(parameter)?.strip_suffix('_')?, *parameter)))?;
        let (algorithm, recurrent) = match variant.strip_suffix("_norec") {
            Some(algorithm) => (algorithm, false),
            None => (variant, true),
        };
        let algorithm = match algorithm {
            "bptt" => Algorithm::Bptt,
            "bptt_resetdetached" => Algorithm::BpttResetDetached,
            "eprop_sym" => Algorithm::EpropSymmetric,
            "eprop_rand" => Algorithm::EpropRandom,
            _ => return None,
        };
        Some((Self { algorithm, recurrent }, parameter))
    }
}

impl<C: Cell> Check<'_, C> {
    /// Every stored gradient.
    fn gradients(&self) -> Result<Vec<Comparison>> {
        let mut wanted: BTreeMap<Variant, Vec<(&str, &str)>> = BTreeMap::new();
        for name in self.fixture.gradients() {
            let Some((variant, parameter)) = Variant::parse(name) else {
                bail!("{} holds the unknown gradient `grad_{name}`", self.fixture.path().display());
            };
            wanted.entry(variant).or_default().push((name, parameter));
        }
        let mut comparisons = Vec::new();
        for (variant, parameters) in wanted {
            let gradients = self.estimate(&variant).gradients;
            for (name, parameter) in parameters {
                let name = format!("grad_{name}");
                let reference = self.fixture.get(&name).expect("listed");
                let gradient = self.gradient(&gradients, parameter, &name)?;
                self.check_shape(&name, &gradient, reference)?;
                comparisons.push(compare(&name, gradient.values, reference)?);
            }
        }
        Ok(comparisons)
    }

    fn estimate(&self, variant: &Variant) -> Estimate {
        let Problem { network, batch, objective } = &self.problem;
        let mut network = network.clone();
        if !variant.recurrent {
            for layer in &mut network.layers {
                layer.w_rec = layer.w_rec.clone().map(|weights| weights.zeros_like());
            }
        }
        let eprop = |signal: Box<dyn LearningSignal>| Eprop::boxed(*objective, signal).with_chunk(self.chunk);
        match variant.algorithm {
            Algorithm::Bptt => Bptt::new(*objective).estimate(&network, batch),
            Algorithm::BpttResetDetached => {
                Bptt::new(*objective).with_paths(GradientPaths::ALL.without_reset()).estimate(&network, batch)
            }
            Algorithm::EpropSymmetric => eprop(Box::new(Symmetric)).estimate(&network, batch),
            Algorithm::EpropRandom => eprop(Box::new(Random)).estimate(&network, batch),
        }
    }

    /// A parameter's gradient by the fixture's name of it.
    fn gradient(&self, gradients: &GradientsParams, parameter: &str, name: &str) -> Result<Array> {
        let network = &self.problem.network;
        let layer = &network.layers[0];
        let matrix = |id: ParamId| gradients.get::<2>(id).map(array);
        let vector = |param: &Option<Param<Tensor<1>>>| gradients.get::<1>(param.as_ref()?.id).map(array);
        let found = match parameter {
            "W_in" | "W_x" => matrix(layer.w_in.id),
            "W_rec" | "W_h" => matrix(layer.w_rec.id),
            "W_out" => matrix(network.readout.weight.id),
            "b" => vector(&layer.bias),
            _ => vector(&network.readout.bias),
        };
        match found {
            Some(gradient) => Ok(gradient),
            None => bail!("{} holds `{name}`, which this model does not have", self.fixture.path().display()),
        }
    }

    /// The stored loss, outputs, spikes, hidden values and last traces.
    fn simulation(&self) -> Result<Vec<Comparison>> {
        let mut comparisons = Vec::new();
        for (name, ours) in self.recorded() {
            if let Some(reference) = self.fixture.get(name) {
                self.check_shape(name, &ours, reference)?;
                comparisons.push(compare(name, ours.values, reference)?);
            }
        }
        Ok(comparisons)
    }

    /// Everything of a simulation that fixtures may store, time-major.
    fn recorded(&self) -> BTreeMap<&'static str, Array> {
        let Problem { network, batch, objective } = &self.problem;
        let (layer, kappa) = (&network.layers[0], network.readout.decay());
        let mut series: BTreeMap<&str, Vec<Tensor<3>>> = BTreeMap::new();
        let mut gates = Vec::new();
        let mut traces = None;
        let mut observe = |record: ChunkRecord| {
            let LayerRecord { outputs, pre, signal, transition, linearization } = &record.layers[0];
            let [steps, batch, neurons] = outputs.dims();
            let monitors: BTreeMap<_, _> = layer.cell.monitors(transition).into_iter().collect();
            let at_step = |monitor: &Tensor<2>| monitor.clone().reshape([steps, batch, neurons]);
            for (monitor, name) in [("v", "out_v"), ("a", "out_a"), ("psi", "out_psi"), ("c", "out_c")] {
                if let Some(monitor) = monitors.get(monitor) {
                    series.entry(name).or_default().push(at_step(monitor));
                }
            }
            let of_gates = ["i", "f", "g", "o"].iter().filter_map(|gate| monitors.get(gate).map(at_step));
            gates.extend(Some(of_gates.collect::<Vec<_>>()).filter(|gates| !gates.is_empty()));
            for name in ["out_z", "out_h"] {
                series.entry(name).or_default().push(outputs.clone());
            }
            series.entry("out_y").or_default().push(record.outputs.clone());

            let synapses = Synapses { batch, pre: pre.dims()[2], post: neurons, currents: C::CURRENTS };
            let start = || EligibilityTraces::new(kappa, synapses, SummedTraces::Off);
            let (pre, signal) = (vec![Presynaptic::AtOnce(pre.clone())], Some(signal.clone()));
            traces
                .get_or_insert_with(start)
                .advance(Chunk { linearization, pre, signal, summed_by: None }, true);
        };
        let mut eprop = Eprop::new(*objective, Symmetric).with_chunk(self.chunk);
        let estimate = eprop.estimate_observed(network, batch, &mut observe);

        let series = series.into_iter().map(|(name, chunks)| (name, array(Tensor::cat(chunks, 0))));
        let mut recorded: BTreeMap<_, _> = series.collect();
        let loss = estimate.loss + estimate.rate_loss;
        recorded.insert("loss", Array { shape: vec![1], values: vec![loss] });
        if !gates.is_empty() {
            let gates = gates.into_iter().map(|gates| Tensor::stack::<4>(gates, 2)).collect();
            recorded.insert("out_gates_ifgo", array(Tensor::cat(gates, 0)));
        }
        if C::CURRENTS == 1 {
            let traces = traces.expect("a batch has a step");
            // Of a threshold's two hidden values the potential's is folded into the presynaptic values.
            let adaptation = (C::HIDDEN == 2).then(|| traces.vector(0, 0)).flatten();
            let last = [("out_ebar_last", traces.filtered(0)), ("out_epsa_after_last", adaptation)];
            let last = last.into_iter().filter_map(|(name, traces)| Some((name, traces?.clone())));
            recorded.extend(last.map(|(name, traces)| (name, array(traces.swap_dims(1, 2)))));
        }
        recorded
    }

    /// What the fixture stores and nothing of ours is compared with.
    fn skipped(&self, comparisons: &[Comparison]) -> Vec<String> {
        let description = &self.fixture.description;
        let compared = |name: &&str| comparisons.iter().any(|comparison| comparison.name == *name);
        let results = self.fixture.results().filter(|name| !compared(name));
        let lists = [
            ("losses_nest_f64", description.losses_nest_f64.is_some() && description.training.is_none()),
            ("spikes", description.spikes.is_some() && !compared(&TRAINING_SPIKES)),
        ];
        let lists = lists.iter().filter(|(_, skipped)| *skipped).map(|(name, _)| *name);
        results.chain(lists).map(Into::into).collect()
    }

    fn check_shape(&self, name: &str, ours: &Array, reference: &Array) -> Result<()> {
        let (path, shape) = (self.fixture.path().display(), &reference.shape);
        ensure!(*shape == ours.shape, "`{name}` of {path} is {shape:?}, ours {:?}", ours.shape);
        Ok(())
    }

    /// The stored losses and spike counts of several iterations of gradient descent by e-prop.
    fn training(&self) -> Result<Vec<Comparison>> {
        let description = &self.fixture.description;
        let (Some(training), Some(losses)) = (&description.training, &description.losses_nest_f64) else {
            return Ok(Vec::new());
        };
        let (iterations, path) = (training.iterations, self.fixture.path().display());
        ensure!(
            iterations == losses.len(),
            "the description of {path} says `training.iterations` = {iterations}, but there are {} training losses",
            losses.len()
        );
        let Problem { network, batch, objective } = &self.problem;
        let mut network = network.clone().train(); // optimizers update networks with autodiff
        let mut eprop = Eprop::new(*objective, Random).with_chunk(self.chunk);
        let mut optimizer: ModuleOptimizer = SgdConfig::new().init();
        let (mut our_losses, mut our_spikes) = (Vec::new(), Vec::new());
        for _ in 0..iterations {
            let estimate = eprop.estimate(&network, batch);
            our_losses.push(estimate.loss);
            our_spikes.push((mean_firing_rate(&estimate.firing_rates) * self.steps_of_all_neurons()).round());
            network = optimizer.step(training.learning_rate, network, self.trained(estimate.gradients));
        }
        let array = |values: Vec<f64>| Array { shape: vec![values.len()], values };
        let mut comparisons = vec![compare("training losses", our_losses, &array(losses.clone()))?];
        if let Some(spikes) = &description.spikes {
            let spikes = spikes.iter().map(|&spikes| spikes as f64).collect();
            let comparison = compare(TRAINING_SPIKES, our_spikes, &array(spikes));
            comparisons.push(comparison.with_context(|| path.to_string())?);
        }
        Ok(comparisons)
    }

    fn steps_of_all_neurons(&self) -> f64 {
        let Problem { network, batch, .. } = &self.problem;
        (network.neurons() * batch.steps() * batch.size()) as f64
    }

    /// The gradients without that of the readout's bias, which training leaves at 0.
    fn trained(&self, mut gradients: GradientsParams) -> GradientsParams {
        if let Some(bias) = &self.problem.network.readout.bias {
            gradients.remove::<1>(bias.id);
        }
        gradients
    }
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().convert::<f64>().try_into_vec::<f64>().expect("converted to f64")
}

fn array<const D: usize>(tensor: Tensor<D>) -> Array {
    Array { shape: tensor.dims().to_vec(), values: values(tensor) }
}

fn compare(name: &str, values: Vec<f64>, reference: &Array) -> Result<Comparison> {
    let expected = reference.values.len();
    ensure!(values.len() == expected, "`{name}` has {expected} values, ours {}", values.len());
    let pairs = values.iter().zip(&reference.values);
    let difference = pairs.fold(0.0, |largest: f64, (ours, theirs)| match (ours - theirs).abs() {
        difference if difference.is_nan() => f64::INFINITY,
        difference => largest.max(difference),
    });
    let scale = reference.values.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
    // Where the reference is 0 throughout, the difference itself counts.
    let relative_error = if scale > 0.0 { difference / scale } else { difference };
    Ok(Comparison { name: name.into(), relative_error })
}

impl<C: Cell> Problem<C> {
    fn new(fixture: &Fixture, cell: C, settings: &Settings) -> Result<Self> {
        let config = &fixture.description.config;
        let (inputs, neurons, outputs) = (config.n_in, config.n_rec, config.n_out);
        let targets = C::CURRENTS * neurons;
        let options: TensorCreationOptions = (&settings.device, settings.dtype).into();
        let lstm = fixture.description.model == Model::Lstm;
        let (w_in, w_rec) = if lstm { ("W_x", "W_h") } else { ("W_in", "W_rec") };
        let load = |name: &str, shape: [usize; 2]| {
            Ok::<_, anyhow::Error>(data::<2>(fixture.tensor(name, &shape)?, settings))
        };
        let load_vector = |name: &str, size: usize| {
            Ok::<_, anyhow::Error>(data::<1>(fixture.tensor(name, &[size])?, settings))
        };
        // All are there before a network is made, which then takes no more memory than the file does.
        let w_in = load(&format!("param_{w_in}"), [inputs, targets])?;
        let w_rec = load(&format!("param_{w_rec}"), [neurons, targets])?;
        let bias = cell.initial_bias().map(|_| load_vector("param_b", targets)).transpose()?;
        let [w_out, feedback] = ["param_W_out", "in_B_fb"].map(|name| load(name, [neurons, outputs]));
        let b_out = load_vector("param_b_out", outputs)?;

        let readout = readout(fixture)?;
        let mut network =
            NetworkConfig::new(inputs, outputs).with_readout(Some(readout)).init(vec![cell], options.clone());
        let layer = &mut network.layers[0];
        set(&mut layer.w_in, w_in);
        set(&mut layer.w_rec, w_rec);
        layer.bias.iter_mut().zip(bias).for_each(|(param, bias)| set(param, bias));
        set(&mut network.readout.weight, w_out?);
        set(network.readout.bias.as_mut().expect("configured"), b_out);
        set(&mut network.feedback, feedback?);
        Ok(Self { network, batch: batch(fixture, &options)?, objective: objective(fixture)? })
    }
}

fn data<const D: usize>(array: &Array, settings: &Settings) -> Tensor<D> {
    let data = TensorData::new(array.values.clone(), array.shape.clone());
    Tensor::from_data(data, (&settings.device, settings.dtype))
}

fn set<const D: usize>(param: &mut Param<Tensor<D>>, value: Tensor<D>) {
    *param = param.clone().map(|_| value);
}

/// Batch-major inputs, targets and mask of a fixture, whose tensors have time first.
fn batch(fixture: &Fixture, options: &TensorCreationOptions) -> Result<Batch> {
    let config = &fixture.description.config;
    let (steps, batch, outputs) = (config.steps, config.batch, config.n_out);
    let tensor = |array: &Array| {
        Tensor::<3>::from_data(TensorData::new(array.values.clone(), array.shape.clone()), options.clone())
    };
    let inputs = tensor(fixture.tensor("in_x", &[steps, batch, config.n_in])?).swap_dims(0, 1);
    let targets = match config.loss {
        LossName::MseSum | LossName::MseMean => {
            fixture.tensor("in_target", &[steps, batch, outputs])?.clone()
        }
        LossName::CeSum | LossName::CeMean => {
            one_hot(fixture.tensor("in_target_class", &[steps, batch])?, outputs)?
        }
    };
    let mask = fixture.tensor("in_loss_mask", &[steps])?.values.clone();
    let mask = Tensor::<2>::from_data(TensorData::new(mask, [1, steps]), options.clone());
    Ok(Batch::new(inputs, tensor(&targets).swap_dims(0, 1)).with_mask(mask.repeat_dim(0, batch)))
}

fn one_hot(classes: &Array, outputs: usize) -> Result<Array> {
    let mut values = vec![0.0; classes.values.len() * outputs];
    for (row, &class) in values.chunks_mut(outputs).zip(&classes.values) {
        let target = row.get_mut(class as usize).filter(|_| class >= 0.0);
        let Some(target) = target else { bail!("`in_target_class` holds the class {class} of {outputs}") };
        *target = 1.0;
    }
    Ok(Array { shape: [classes.shape.as_slice(), &[outputs]].concat(), values })
}

fn objective(fixture: &Fixture) -> Result<Objective> {
    let config = &fixture.description.config;
    let objective = match config.loss {
        LossName::MseSum => Objective::sum(Loss::MeanSquaredError),
        LossName::MseMean => Objective::mean(Loss::MeanSquaredError),
        LossName::CeSum => Objective::sum(Loss::SoftmaxCrossEntropy),
        LossName::CeMean => Objective::mean(Loss::SoftmaxCrossEntropy),
    };
    let rate = RateRegularization {
        strength: config.c_reg,
        target_per_step: config.f_target,
        averaging: RateAveraging::Batch,
    };
    let objective = Objective { rate: (config.c_reg != 0.0).then_some(rate), ..objective };
    objective.validate().with_context(|| fixture.path().display().to_string())?;
    Ok(objective)
}

fn readout(fixture: &Fixture) -> Result<LeakyReadoutConfig> {
    let config = &fixture.description.config;
    let normalized =
        factor(fixture, "g_out", config.g_out, config.kappa)? == InputNormalization::OneMinusDecay;
    let tau_ms = match config.kappa {
        0.0 => None,
        kappa => Some(time_constant(fixture, "kappa", kappa)?),
    };
    Ok(LeakyReadoutConfig::new().with_tau_ms(tau_ms).with_normalized(normalized))
}

/// Which normalisation a factor is: 1, or 1 − decay.
fn factor(fixture: &Fixture, name: &str, factor: f64, decay: f64) -> Result<InputNormalization> {
    let near = |value: f64| (factor - value).abs() < 1e-12;
    match (near(1.0), near(1.0 - decay)) {
        (true, _) => Ok(InputNormalization::Unit),
        (_, true) => Ok(InputNormalization::OneMinusDecay),
        _ => bail!("`config.{name}` of {} is {factor}, neither 1 nor 1 − decay", fixture.path().display()),
    }
}

/// τ in steps, for exp(−1/τ) = decay.
fn time_constant(fixture: &Fixture, name: &str, decay: f64) -> Result<f64> {
    let tau = -1.0 / decay.ln();
    let path = fixture.path().display();
    ensure!(
        tau.is_finite() && tau > 0.0,
        "`config.{name}` of {path} is {decay}, but must be between 0 and 1"
    );
    Ok(tau)
}

fn pseudo_derivative(fixture: &Fixture) -> Result<PseudoDerivative> {
    let height = fixture.constant("gamma", fixture.description.config.gamma)?;
    Ok(PseudoDerivative { height, ..PseudoDerivative::default() })
}

fn lif(fixture: &Fixture) -> Result<LifConfig> {
    let config = &fixture.description.config;
    let alpha = fixture.constant("alpha", config.alpha)?;
    Ok(LifConfig::new(config.n_rec)
        .with_tau_membrane_ms(time_constant(fixture, "alpha", alpha)?.into())
        .with_threshold(fixture.constant("v_th", config.v_th)?)
        .with_refractory_steps(fixture.constant("n_ref", config.n_ref)?)
        .with_input_normalization(factor(fixture, "g_in", fixture.constant("g_in", config.g_in)?, alpha)?)
        .with_pseudo_derivative(pseudo_derivative(fixture)?))
}

fn alif(fixture: &Fixture) -> Result<AlifConfig> {
    let LifConfig {
        neurons,
        tau_membrane_ms,
        dt_ms,
        threshold,
        refractory_steps,
        input_normalization,
        pseudo_derivative,
        bias,
    } = lif(fixture)?;
    let rho = fixture.constant("rho", fixture.description.config.rho)?;
    let beta = fixture.tensor("in_beta", &[neurons])?.values.clone();
    Ok(AlifConfig {
        tau_adaptation_ms: time_constant(fixture, "rho", rho)?.into(),
        adaptation_strength: Constant::PerNeuron(beta),
        neurons,
        tau_membrane_ms,
        dt_ms,
        threshold,
        refractory_steps,
        input_normalization,
        pseudo_derivative,
        bias,
    })
}
