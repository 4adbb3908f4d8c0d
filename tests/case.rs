//! Random problems: a network, a batch and an objective that follow from a seed.

use burn::module::Param;
use burn::tensor::{DType, Device, Tensor, TensorCreationOptions, TensorData};
use burn_eprop::cell::InputNormalization;
use burn_eprop::estimator::{Bptt, Eprop};
use burn_eprop::init::Initializer;
use burn_eprop::loss::Reduction;
use burn_eprop::network::GradientPaths;
use burn_eprop::readout::LeakyReadoutConfig;
use burn_eprop::signal::Symmetric;
use burn_eprop::surrogate::{PseudoDerivative, SurrogateShape};
use burn_eprop::{Batch, Cell, GradientEstimator, Loss, Network, NetworkConfig, Objective};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::findings::Findings;

/// One of each shape of pseudo-derivative.
pub const SHAPES: [SurrogateShape; 4] = [
    SurrogateShape::PiecewiseLinear,
    SurrogateShape::FastSigmoid { slope: 2.0 },
    SurrogateShape::Arctan { slope: 1.5 },
    SurrogateShape::Sigmoid { slope: 4.0 },
];

/// All losses.
pub const LOSSES: [Loss; 4] =
    [Loss::MeanSquaredError, Loss::SoftmaxCrossEntropy, Loss::SigmoidCrossEntropy, Loss::ActorCritic];

/// Both reductions.
pub const REDUCTIONS: [Reduction; 2] = [Reduction::Sum, Reduction::Mean];

/// Sizes and options of a random problem.
#[derive(Debug, Clone)]
pub struct Case {
    /// Seed of weights and data.
    pub seed: u64,
    /// Number of sequences.
    pub batch: usize,
    /// Number of steps T.
    pub steps: usize,
    /// Number of inputs.
    pub inputs: usize,
    /// Number of neurons in each layer.
    pub neurons: Vec<usize>,
    /// Number of outputs.
    pub outputs: usize,
    /// Whether spiking neurons have a bias.
    pub bias: bool,
    /// n_ref of spiking neurons.
    pub refractory_steps: usize,
    /// ζ of spiking neurons.
    pub input_normalization: InputNormalization,
    /// ψ of spiking neurons.
    pub pseudo_derivative: PseudoDerivative,
    /// The readout's time constant.
    pub tau_out_ms: Option<f64>,
    /// Whether the readout's factor is 1 − κ.
    pub normalized_readout: bool,
    /// Whether the loss is weighed by a random mask.
    pub mask: bool,
    /// Whether sequences end early, each at its own step, and one before it begins.
    pub unequal_lengths: bool,
    /// What is minimised.
    pub objective: Objective,
}

impl Case {
    /// One layer of 6 neurons with bias, a leaky readout, a summed squared error.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            batch: 3,
            steps: 24,
            inputs: 4,
            neurons: vec![6],
            outputs: 3,
            bias: true,
            refractory_steps: 0,
            input_normalization: InputNormalization::Unit,
            pseudo_derivative: PseudoDerivative::default(),
            tau_out_ms: Some(5.0),
            normalized_readout: false,
            mask: false,
            unequal_lengths: false,
            objective: Objective::sum(Loss::MeanSquaredError),
        }
    }

    fn network<C: Cell>(&self, build: Build<C>, options: &TensorCreationOptions) -> Network<C> {
        let readout =
            LeakyReadoutConfig::new().with_tau_ms(self.tau_out_ms).with_normalized(self.normalized_readout);
        let cells = self.neurons.iter().map(|&neurons| build(self, neurons, options)).collect();
        let config = NetworkConfig::new(self.inputs, self.outputs)
            .with_readout(Some(readout))
            .with_input_initializer(Initializer::FanIn { gain: 2.0 });
        let mut network = config.with_seed(self.seed).init(cells, options.clone());
        let rng = &mut self.rng(1);
        for layer in &mut network.layers {
            // Excitation from below, so that upper layers fire too, and inhibition in return. It leaves
            // weights on the diagonal of W_rec, which a cell without autapses must not notice.
            layer.w_in = layer.w_in.clone().map(|weights| weights.add_scalar(0.15));
            layer.w_rec = layer.w_rec.clone().map(|weights| weights.sub_scalar(0.1));
            // Biases that start at 0 would hide what they do.
            layer.bias = layer.bias.take().map(|bias| shifted(bias, rng));
        }
        network.readout.bias = network.readout.bias.take().map(|bias| shifted(bias, rng));
        network
    }

    fn batch(&self, options: &TensorCreationOptions) -> Batch {
        let rng = &mut self.rng(2);
        let (batch, steps) = (self.batch, self.steps);
        let inputs = uniform([batch, steps, self.inputs], -1.0..1.5, rng, options);
        let targets = uniform([batch, steps, self.outputs], 0.0..1.0, rng, options);
        let targets = match self.objective.loss {
            // Those of the softmax need not sum to 1: classes may have weights.
            Loss::MeanSquaredError | Loss::SoftmaxCrossEntropy | Loss::SigmoidCrossEntropy => targets,
            // What was done may have been wrong.
            Loss::ActorCritic => targets.sub_scalar(0.4),
        };
        let mut problem = Batch::new(inputs, targets);
        if self.mask {
            let weights = (0..batch * steps).map(|_| 0.5 * f64::from(rng.random_range(0..3_u8)));
            problem = problem.with_mask(tensor(weights.collect(), [batch, steps], options));
        }
        if self.unequal_lengths {
            // The first of them has no step at all.
            let lengths = (0..batch).map(|index| index.min(1) * rng.random_range(steps / 2..=steps));
            problem = problem.with_lengths(lengths.collect());
        }
        problem
    }

    /// A generator of its own for each use.
    pub fn rng(&self, usage: u64) -> StdRng {
        StdRng::seed_from_u64(self.seed.wrapping_mul(1000).wrapping_add(usage))
    }
}

/// Makes a population of so many neurons.
pub type Build<C> = fn(&Case, usize, &TensorCreationOptions) -> C;

/// A network, what it is to learn, and how that is measured.
#[derive(Debug, Clone)]
pub struct Problem<C: Cell> {
    /// The network.
    pub network: Network<C>,
    /// The sequences.
    pub batch: Batch,
    /// What is minimised.
    pub objective: Objective,
}

impl<C: Cell> Problem<C> {
    /// The problem that a case describes.
    pub fn new(case: &Case, build: Build<C>, options: &TensorCreationOptions) -> Self {
        Self { network: case.network(build, options), batch: case.batch(options), objective: case.objective }
    }

    /// What an estimator finds.
    pub fn estimate(&self, mut estimator: impl GradientEstimator<C>) -> Findings {
        Findings::new(&self.network, &estimator.estimate(&self.network, &self.batch))
    }

    /// Symmetric e-prop in chunks.
    pub fn eprop(&self, chunk: usize) -> Eprop {
        Eprop::new(self.objective, Symmetric).with_chunk(chunk).with_outputs(true)
    }

    /// BPTT along some paths, by Burn's autodiff of the cell's steps.
    pub fn bptt(&self, paths: GradientPaths) -> Bptt {
        Bptt::new(self.objective).with_paths(paths).with_outputs(true).with_kernels(false)
    }

    /// The problem with all recurrent weights 0.
    pub fn without_recurrence(mut self) -> Self {
        for layer in &mut self.network.layers {
            layer.w_rec = layer.w_rec.clone().map(|weights| weights.zeros_like());
        }
        self
    }
}

/// float64 on a device.
pub fn float64(device: &Device) -> TensorCreationOptions {
    (device, DType::F64).into()
}

/// A tensor of given values.
pub fn tensor<const D: usize>(
    values: Vec<f64>,
    shape: [usize; D],
    options: &TensorCreationOptions,
) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape), options.clone())
}

/// A tensor of values drawn from a range.
pub fn uniform<const D: usize>(
    shape: [usize; D],
    range: std::ops::Range<f64>,
    rng: &mut StdRng,
    options: &TensorCreationOptions,
) -> Tensor<D> {
    let values = (0..shape.iter().product()).map(|_| rng.random_range(range.clone()));
    tensor(values.collect(), shape, options)
}

/// A bias, each value moved by up to 0.1.
fn shifted(bias: Param<Tensor<1>>, rng: &mut StdRng) -> Param<Tensor<1>> {
    bias.map(|values| {
        let options = (&values.device(), values.dtype()).into();
        let shift = uniform(values.dims(), -0.1..0.1, rng, &options);
        values + shift
    })
}
