//! `eprop bench`: time and memory of a training step.

use std::time::Instant;

use anyhow::{Result, ensure};

use burn::optim::{AdamConfig, ModuleOptimizer};
use burn::tensor::{Device, Tensor, TensorData};
use burn_eprop::cell::{AlifConfig, LifConfig, LstmConfig};
use burn_eprop::estimator::{BoundaryLearning, Bptt, Eprop3, TruncatedBptt, evaluate};
use burn_eprop::readout::LeakyReadoutConfig;
use burn_eprop::signal::Symmetric;
use burn_eprop::{Batch, Cell, Loss, Network, NetworkConfig, Objective, OptimizerHook};
use clap::{Args, ValueEnum};
use peak_alloc::PeakAlloc;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, StandardNormal};
use serde::Serialize;

use crate::config::{SyntheticName, SyntheticSettings, Update};
use crate::device::DeviceName;
use crate::method::{CellName, DEFAULT_WINDOW, Method, MethodName, MethodState, Model};
use crate::model;

/// Inputs spike with this probability in a step.
const INPUT_RATE: f64 = 0.05;
/// The ALIF workload's loss counts in this many last steps.
const LOSS_WINDOW: usize = 150;
const LEARNING_RATE: f64 = 1e-4;
/// Largest number of inputs, neurons or outputs.
const MAX_SIZE: i64 = 1 << 16;
/// Largest number of values in the batch's inputs, or in its targets.
const MAX_VALUES: u64 = 1_000_000_000;

/// Options of `eprop bench`.
#[derive(Debug, Clone, Args, Serialize)]
pub struct BenchArgs {
    /// Cell of the network
    #[arg(long, value_enum, default_value = "alif")]
    pub cell: CellName,
    /// Algorithm
    #[arg(long, value_enum, default_value = "eprop")]
    pub method: BenchMethod,
    /// Number of inputs
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..=MAX_SIZE))]
    pub inputs: u32,
    /// Number of neurons
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=MAX_SIZE))]
    pub neurons: u32,
    /// Number of outputs
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=MAX_SIZE))]
    pub outputs: u32,
    /// Number of time steps T
    #[arg(long, default_value_t = 2250, value_parser = clap::value_parser!(u32).range(1..))]
    pub steps: u32,
    /// Number of sequences in a batch
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..))]
    pub batch: u32,
    /// e-prop's chunk, or the window of e-prop 3 and truncated BPTT, in steps; if not given, e-prop's follows from sizes, and
    /// the window is 100
    #[arg(long, visible_alias = "window", value_parser = clap::value_parser!(u32).range(1..))]
    pub chunk: Option<u32>,
    /// What stands for the gradient behind a window
    #[arg(long, value_enum, default_value = "none")]
    pub synthetic: SyntheticName,
    /// When weights change; a training step is a batch of whole sequences
    #[arg(long, value_enum, default_value = "sequence")]
    pub update: Update,
    /// Device: flex (a CPU), or, where it was built in, ndarray (a CPU) or a GPU by wgpu, vulkan, metal, cuda or rocm
    #[arg(long, default_value = "flex")]
    pub device: DeviceName,
    /// How many training steps are timed, after one that is not
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    pub repeats: u32,
    /// Print one JSON object
    #[arg(long)]
    #[serde(skip)]
    pub json: bool,
}

/// What is timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum BenchMethod {
    /// A training step by e-prop.
    Eprop,
    /// By back-propagation through time, with the cell's kernel as one node of the graph.
    Bptt,
    /// By back-propagation through time, with each operation of each step as a node of the graph.
    BpttAutodiff,
    /// By e-prop 3 in windows of `--window` steps.
    #[value(name = "eprop3")]
    #[serde(rename = "eprop3")]
    Eprop3,
    /// The same with each operation of each step as a node of the graph.
    #[value(name = "eprop3-autodiff")]
    #[serde(rename = "eprop3-autodiff")]
    Eprop3Autodiff,
    /// By back-propagation through time within windows of `--window` steps.
    TruncatedBptt,
    /// The same with each operation of each step as a node of the graph.
    TruncatedBpttAutodiff,
    /// Of the readout alone.
    Readout,
    /// The network's outputs, without learning.
    Forward,
}

impl BenchMethod {
    fn has_windows(self) -> bool {
        use BenchMethod::{Eprop3, Eprop3Autodiff, TruncatedBptt, TruncatedBpttAutodiff};
        matches!(self, Eprop3 | Eprop3Autodiff | TruncatedBptt | TruncatedBpttAutodiff)
    }

    /// The estimator, unless nothing is learnt.
    fn estimator(
        self,
        chunk: Option<usize>,
        learning: BoundaryLearning,
        objective: Objective,
    ) -> Option<Method> {
        let method =
            |name| Method::new(name, Box::new(Symmetric), learning, chunk, objective).without_outputs();
        let window = chunk.unwrap_or(DEFAULT_WINDOW);
        Some(match self {
            Self::Eprop => method(MethodName::Eprop),
            Self::Bptt => method(MethodName::Bptt),
            Self::Eprop3 => method(MethodName::Eprop3),
            Self::TruncatedBptt => method(MethodName::TruncatedBptt),
            Self::Readout => method(MethodName::Readout),
            Self::BpttAutodiff => Method::Bptt(Bptt::new(objective).with_kernels(false)),
            Self::Eprop3Autodiff => Method::Eprop3(
                Eprop3::new(objective, window).with_boundary_learning(learning).with_kernels(false),
            ),
            Self::TruncatedBpttAutodiff => {
                let truncated = TruncatedBptt::new(objective, window).with_boundary_learning(learning);
                Method::TruncatedBptt(truncated.with_kernels(false))
            }
            Self::Forward => return None,
        })
    }
}

/// What `eprop bench` measured.
#[derive(Debug, Serialize)]
pub struct Measurement {
    /// Median time of a training step.
    pub ms_median: f64,
    /// Shortest.
    pub ms_min: f64,
    /// Longest.
    pub ms_max: f64,
    /// The most bytes live at once within a step, less those live before it.
    pub peak_live_bytes: usize,
    /// The settings.
    #[serde(flatten)]
    pub settings: BenchArgs,
}

impl Measurement {
    /// One line.
    pub fn to_line(&self) -> String {
        let Self { ms_median, ms_min, ms_max, peak_live_bytes, .. } = self;
        let megabytes = *peak_live_bytes as f64 / 1e6;
        format!(
            "{ms_median:.1} ms a training step ({ms_min:.1} to {ms_max:.1}), {megabytes:.1} MB live at the peak"
        )
    }
}

/// Times training steps: forward, gradients, Adam.
///
/// # Errors
///
/// If the machine does not have the device, or the batch is too large.
pub fn run(args: &BenchArgs, allocator: &PeakAlloc) -> Result<Measurement> {
    let sequence = u64::from(args.steps) * u64::from(args.inputs.max(args.outputs));
    let values = sequence.saturating_mul(args.batch.into());
    ensure!(
        values <= MAX_VALUES,
        "--batch times --steps is too much: {values} values, but at most {MAX_VALUES}"
    );
    let [batch, inputs, neurons] = [args.batch, args.inputs, args.neurons].map(|size| size as usize);
    model::check_size(args.cell, batch, inputs, neurons)?;
    ensure!(
        args.update == Update::Sequence || args.method.has_windows(),
        "--update window is for eprop3 and truncated-bptt"
    );
    ensure!(
        args.synthetic == SyntheticName::None || args.method.has_windows(),
        "--synthetic is for eprop3 and truncated-bptt"
    );
    let device = args.device.open()?;
    let measure = Bench { args, allocator, device: &device };
    Ok(match args.cell {
        CellName::Lif => measure.run(LifConfig::new(neurons).init(&device.clone().autodiff())),
        CellName::Alif => {
            let config = AlifConfig::mixed(neurons, neurons.div_ceil(2), 0.0174242);
            measure.run(config.init(&device.clone().autodiff()))
        }
        CellName::Lstm => measure.run(LstmConfig::new(neurons).init()),
    })
}

/// The middle of sorted numbers.
fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 }
}

struct Bench<'a> {
    args: &'a BenchArgs,
    allocator: &'a PeakAlloc,
    device: &'a Device,
}

impl Bench<'_> {
    fn run<C: Cell>(&self, cell: C) -> Measurement {
        let lstm = self.args.cell == CellName::Lstm;
        let readout = LeakyReadoutConfig::new().with_tau_ms((!lstm).then_some(20.0)).with_bias(false);
        let mut network = NetworkConfig::new(self.args.inputs as usize, self.args.outputs as usize)
            .with_readout(Some(readout))
            .init(vec![cell], &self.device.clone().autodiff());
        let synthetic = SyntheticSettings { kind: self.args.synthetic, ..SyntheticSettings::default() };
        if let Some(module) = synthetic.module(0) {
            network = network.with_synthetic_gradient(&module);
        }
        let batch = self.batch();
        let loss = match self.args.cell {
            CellName::Lif => Loss::MeanSquaredError,
            CellName::Alif | CellName::Lstm => Loss::SoftmaxCrossEntropy,
        };
        let objective = Objective::sum(loss);
        let chunk = self.args.chunk.map(|chunk| chunk as usize);
        let optimizer: ModuleOptimizer = AdamConfig::new().init();
        let estimator = self.args.method.estimator(chunk, synthetic.learning(), objective);
        let batch_size = batch.size();
        let stream = |estimator| OptimizerHook::new(optimizer, estimator).into_stream(&network, batch_size);
        let mut hook = estimator.map(stream);

        let mut times = Vec::new();
        let mut peak = 0;
        for repeat in 0..=self.args.repeats {
            let live = self.allocator.current_usage();
            self.allocator.reset_peak_usage();
            let start = Instant::now();
            match &mut hook {
                Some(hook) => network = self.step(hook, network, &batch),
                None => {
                    let evaluation = evaluate(&network, &batch, &objective);
                    assert!(evaluation.loss.is_finite(), "random inputs are finite");
                    self.device.sync().expect("the device has finished");
                }
            }
            let elapsed = start.elapsed();
            if repeat > 0 {
                times.push(1e3 * elapsed.as_secs_f64());
                peak = peak.max(self.allocator.peak_usage().saturating_sub(live));
            }
        }
        times.sort_by(f64::total_cmp);
        Measurement {
            ms_median: median(&times),
            ms_min: times[0],
            ms_max: times[times.len() - 1],
            peak_live_bytes: peak,
            settings: self.args.clone(),
        }
    }

    fn step<C: Cell>(
        &self,
        hook: &mut OptimizerHook<Method, MethodState>,
        network: Network<C>,
        batch: &Batch,
    ) -> Network<C> {
        let window = self.args.chunk.map_or(DEFAULT_WINDOW, |chunk| chunk as usize);
        let windows = (self.args.update == Update::Window).then_some(window);
        let (network, report) = network.learn(hook, LEARNING_RATE.into(), batch, windows);
        assert!(report.non_finite.is_none(), "random inputs are finite");
        self.device.sync().expect("the device has finished");
        network
    }

    /// Random inputs (spikes, or numbers for the LSTM), and random targets.
    fn batch(&self) -> Batch {
        let args = self.args;
        let rng = &mut StdRng::seed_from_u64(0);
        let [batch, steps] = [args.batch as usize, args.steps as usize];
        let (inputs, outputs) = (args.inputs as usize, args.outputs as usize);
        let inputs = self.tensor([batch, steps, inputs], || match args.cell {
            CellName::Lstm => StandardNormal.sample(rng),
            CellName::Lif | CellName::Alif => f32::from(rng.random_bool(INPUT_RATE)),
        });
        let rng = &mut StdRng::seed_from_u64(1);
        let targets = match args.cell {
            CellName::Lif => self.tensor([batch, steps, outputs], || StandardNormal.sample(rng)),
            CellName::Alif | CellName::Lstm => {
                let mut class = 0;
                let mut output = 0;
                self.tensor([batch, steps, outputs], || {
                    if output == 0 {
                        class = rng.random_range(0..outputs);
                    }
                    let target = f32::from(output == class);
                    output = (output + 1) % outputs;
                    target
                })
            }
        };
        let whole = Batch::new(inputs, targets);
        if args.cell != CellName::Alif {
            return whole;
        }
        let mut step = 0;
        whole.with_mask(self.tensor([batch, steps], || {
            let counts = step + LOSS_WINDOW >= steps;
            step = (step + 1) % steps;
            f32::from(counts)
        }))
    }

    fn tensor<const D: usize>(&self, shape: [usize; D], next: impl FnMut() -> f32) -> Tensor<D> {
        let count = shape.iter().product();
        let values: Vec<f32> = std::iter::repeat_with(next).take(count).collect();
        Tensor::from_data(TensorData::new(values, shape), self.device)
    }
}
