//! The network: recurrent layers in a stack, under a leaky readout.

use burn::config::Config;
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorCreationOptions};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::batch::check_device;
use crate::carried::{Archive, Carried};
use crate::cell::{Cell, CellState};
use crate::error::{ConfigError, expect_valid};
use crate::init::{Initializer, float_options, float_param};
use crate::kernel;
pub use crate::layer::{GradientPaths, RecurrentLayer};
pub(crate) use crate::layer::{LayerChunk, LayerNode, Purpose, Record, RunOptions};
use crate::readout::{LeakyReadout, LeakyReadoutConfig};
use crate::steps::{join_layers, side_by_side, split_steps};
use crate::synthetic_gradient::{SyntheticGradient, SyntheticGradientConfig};
pub use crate::weights::{LayerWeights, Weights};

/// Steps that [`Network::forward`] simulates at a time.
const FORWARD_CHUNK: usize = 64;

/// A stack of recurrent layers, a readout of all of them, and the feedback weights through which
/// learning signals come back.
///
/// Whatever the algorithm that trains it, the network is the same module with the same record.
#[derive(Module, Debug)]
pub struct Network<C: Module> {
    /// The layers; each receives the outputs of the one below at the same step.
    pub layers: Vec<RecurrentLayer<C>>,
    /// The readout of the outputs of all layers.
    pub readout: LeakyReadout,
    /// B, [neurons of all layers, outputs], drawn apart from W_out: the feedback weights of the
    /// random and the adaptive [learning signal](crate::signal). Frozen for autodiff.
    pub feedback: Param<Tensor<2>>,
    /// What foretells gradients at the end of a window; see [`with_synthetic_gradient`](Self::with_synthetic_gradient).
    pub synthetic_gradient: Option<SyntheticGradient>,
}

/// Configuration of a [`Network`].
#[derive(Config, Debug, PartialEq)]
pub struct NetworkConfig {
    /// Number of inputs.
    pub inputs: usize,
    /// Number of outputs.
    pub outputs: usize,
    /// The readout; `None` for that of the [cell](Cell::default_readout): leaky with 20 ms for spiking cells, linear for an LSTM.
    #[config(default = "None")]
    pub readout: Option<LeakyReadoutConfig>,
    /// Initial input weights.
    #[config(default = "Initializer::FanIn { gain: 1.0 }")]
    pub input_initializer: Initializer,
    /// Initial recurrent weights.
    #[config(default = "Initializer::FanIn { gain: 1.0 }")]
    pub recurrent_initializer: Initializer,
    /// Feedback weights B.
    #[config(default = "Initializer::FanIn { gain: 1.0 }")]
    pub feedback_initializer: Initializer,
    /// Seed of all weights.
    #[config(default = 0)]
    pub seed: u64,
}

/// State of a network between two steps.
#[derive(Debug, Clone)]
pub struct NetworkState {
    /// The layers' states.
    pub layers: Vec<CellState>,
    /// y, the readout's last output, [batch, outputs].
    pub output: Tensor<2>,
}

/// A chunk of a network's run outside of autodiff.
#[derive(Debug, Clone)]
pub(crate) struct NetworkChunk {
    /// The layers, from the lowest.
    pub(crate) layers: Vec<LayerChunk>,
    /// z of all layers, [steps, batch, neurons].
    pub(crate) neurons: Tensor<3>,
    /// y, [steps, batch, outputs].
    pub(crate) outputs: Tensor<3>,
}

impl NetworkConfig {
    /// Checks the ranges of all fields.
    pub fn validate(&self) -> Result<(), ConfigError> {
        ConfigError::check(self.inputs > 0, "inputs", self.inputs, "at least 1")?;
        ConfigError::check(self.outputs > 0, "outputs", self.outputs, "at least 1")?;
        self.input_initializer.validate("input_initializer")?;
        self.recurrent_initializer.validate("recurrent_initializer")?;
        self.feedback_initializer.validate("feedback_initializer")?;
        self.readout.as_ref().map_or(Ok(()), LeakyReadoutConfig::validate)
    }

    /// The readout of a network of these cells: the one that was given, else that of the last cell.
    ///
    /// # Panics
    ///
    /// If steps do not take the same time for all cells and for a leaky readout.
    #[track_caller]
    fn readout_of<C: Cell>(&self, cells: &[C]) -> LeakyReadoutConfig {
        let last = cells.last().expect("a network needs at least one cell");
        let readout = self.readout.clone().unwrap_or_else(|| last.default_readout());
        let of_readout = readout.tau_ms.map(|_| readout.dt_ms);
        let steps_ms: Vec<f64> = cells.iter().filter_map(Cell::dt_ms).chain(of_readout).collect();
        assert!(
            steps_ms.windows(2).all(|pair| pair[0] == pair[1]),
            "`dt_ms` of the cells{} must be the same, but they are {steps_ms:?}",
            if of_readout.is_some() { " and of the readout" } else { "" }
        );
        readout
    }

    /// A network with one layer for each of the cells. The weights follow from the seed alone: they
    /// are the same on every device.
    ///
    /// # Panics
    ///
    /// If there is no cell, [`validate`](Self::validate) fails, or a step does not take the same time (`dt_ms`) for all cells and
    /// for a leaky readout.
    #[track_caller]
    pub fn init<C: Cell>(&self, cells: Vec<C>, options: impl Into<TensorCreationOptions>) -> Network<C> {
        expect_valid("NetworkConfig", self.validate());
        assert!(!cells.is_empty(), "a network needs at least one cell");
        let readout = self.readout_of(&cells);
        let options = float_options(&options.into());
        let rng = &mut StdRng::seed_from_u64(self.seed);
        let mut inputs = self.inputs;
        let mut neurons = 0;
        let mut layers = Vec::with_capacity(cells.len());
        for cell in cells {
            let layer = self.layer(cell, inputs, rng, &options);
            inputs = layer.cell.neurons();
            neurons += inputs;
            layers.push(layer);
        }
        let readout = readout.init(neurons, self.outputs, rng, &options);
        let feedback = self.feedback_initializer.draw([neurons, self.outputs], rng);
        let feedback = float_param(feedback, [neurons, self.outputs], &options);
        Network { layers, readout, feedback: feedback.set_require_grad(false), synthetic_gradient: None }
    }

    fn layer<C: Cell>(
        &self,
        cell: C,
        inputs: usize,
        rng: &mut impl Rng,
        options: &TensorCreationOptions,
    ) -> RecurrentLayer<C> {
        let neurons = cell.neurons();
        let targets = C::CURRENTS * neurons;
        let w_in = self.input_initializer.draw([inputs, targets], rng);
        let mut w_rec = self.recurrent_initializer.draw([neurons, targets], rng);
        if !C::AUTAPSES {
            for (neuron, weights) in w_rec.chunks_mut(targets).enumerate() {
                (0..C::CURRENTS).for_each(|current| weights[current * neurons + neuron] = 0.0);
            }
        }
        RecurrentLayer {
            w_in: float_param(w_in, [inputs, targets], options),
            w_rec: float_param(w_rec, [neurons, targets], options),
            bias: cell.initial_bias().map(|bias| float_param(bias, [targets], options)),
            cell,
        }
    }
}

impl<C: Cell> Network<C> {
    /// Number of inputs.
    pub fn inputs(&self) -> usize {
        self.layers[0].w_in.dims()[0]
    }

    /// Number of outputs.
    pub fn outputs(&self) -> usize {
        self.readout.weight.dims()[1]
    }

    /// Number of neurons of all layers.
    pub fn neurons(&self) -> usize {
        self.readout.weight.dims()[0]
    }

    /// Device and floating-point type of the weights.
    pub fn options(&self) -> TensorCreationOptions {
        let weights = self.readout.weight.val();
        (&weights.device(), weights.dtype()).into()
    }

    /// The device of its weights.
    pub(crate) fn device(&self) -> Device {
        self.readout.weight.val().device()
    }

    /// The network with a module that foretells gradients. Estimators that go through time in windows ask it for what lies
    /// behind a window, and train it.
    ///
    /// # Panics
    ///
    /// If the configuration is not [valid](SyntheticGradientConfig::validate).
    #[track_caller]
    pub fn with_synthetic_gradient(self, config: &SyntheticGradientConfig) -> Self {
        let width = C::HIDDEN * self.neurons() + self.neurons() + self.outputs();
        Self { synthetic_gradient: Some(config.init(width, self.options())), ..self }
    }

    /// The state before the first step of a sequence.
    pub fn initial_state(&self, batch: usize) -> NetworkState {
        let options = self.options();
        NetworkState {
            layers: self.layers.iter().map(|layer| layer.cell.initial_state(batch, &options)).collect(),
            output: Tensor::zeros([batch, self.outputs()], options),
        }
    }

    /// Outputs y [batch, time, outputs] for inputs [batch, time, inputs], from the initial state.
    ///
    /// # Panics
    ///
    /// If the inputs are not as many as the network's, or there is no sequence or no step.
    #[track_caller]
    pub fn forward(&self, inputs: Tensor<3>) -> Tensor<3> {
        let state = self.initial_state(inputs.dims()[0]);
        self.forward_from(inputs, state).0
    }

    /// As [`forward`](Self::forward), continuing from a state; and the state after the last step.
    ///
    /// # Panics
    ///
    /// If the inputs are not as many as the network's, there is no step, or the state is of another batch.
    #[track_caller]
    pub fn forward_from(&self, inputs: Tensor<3>, mut state: NetworkState) -> (Tensor<3>, NetworkState) {
        self.check_inputs(&inputs);
        state.check(self, inputs.dims()[0]);
        assert!(inputs.dims()[1] > 0, "inputs {:?} without a step", inputs.dims());
        let on_graph = inputs.is_autodiff();
        let inputs = inputs.cast(self.readout.weight.dtype()).swap_dims(0, 1);
        let chunks = inputs.split(FORWARD_CHUNK, 0).into_iter();
        if ![on_graph, self.readout.weight.val().is_autodiff(), state.output.is_autodiff()].contains(&true) {
            let on_cpu = kernel::is_on_cpu(&self.readout.weight.val());
            let (network, chunks) = (self.clone(), chunks.collect::<Vec<_>>());
            return kernel::in_pool(on_cpu, move || {
                let advance = |chunk| network.advance(&mut state, chunk, Purpose::Outputs).outputs;
                let outputs = chunks.into_iter().map(advance).collect();
                (Tensor::cat(outputs, 0).swap_dims(0, 1), state)
            });
        }
        let weights = self.weights();
        let outputs = chunks
            .map(|chunk| {
                let mut below = split_steps(chunk);
                let mut layers = Vec::with_capacity(self.layers.len());
                for ((layer, weights), state) in self.layers.iter().zip(&weights).zip(&mut state.layers) {
                    let run = layer.run(weights, state.clone(), &below, RunOptions::PLAIN);
                    *state = run.state;
                    below = run.outputs;
                    layers.push(below.clone());
                }
                let (outputs, last) = self.readout.forward(&join_layers(&layers), state.output.clone());
                state.output = last;
                outputs
            })
            .collect();
        (Tensor::cat(outputs, 0).swap_dims(0, 1), state)
    }

    /// The weights of all layers.
    pub(crate) fn weights(&self) -> Vec<LayerWeights> {
        self.layers.iter().map(RecurrentLayer::weights).collect()
    }

    /// Runs all layers, with some weights, and the readout through a whole sequence [steps, batch, inputs] in the autodiff
    /// graph, by kernels; `None` where the cell has none. Returns the layers and y. Unless `bounded`, the state leaves the
    /// graph.
    pub(crate) fn connect(
        &self,
        weights: &[LayerWeights],
        state: &mut NetworkState,
        inputs: Tensor<3>,
        paths: GradientPaths,
        bounded: bool,
    ) -> Option<(Vec<LayerNode>, Tensor<3>)> {
        let mut below = inputs;
        let mut layers = Vec::with_capacity(self.layers.len());
        let mut after = state.clone();
        for ((layer, weights), state) in self.layers.iter().zip(weights).zip(&mut after.layers) {
            let node = layer.connect(weights, state, below, paths, bounded)?;
            let outputs = node.outputs.clone();
            below = if paths.between_layers { outputs } else { outputs.detach() };
            layers.push(node);
        }
        let neurons = side_by_side(layers.iter().map(|layer| layer.outputs.clone()).collect());
        let last = if bounded { state.output.clone() } else { state.output.clone().without_autodiff() };
        let outputs = self.readout.connect(neurons, last);
        let steps = outputs.dims()[0];
        let last = outputs.clone().narrow(0, steps - 1, 1).squeeze_dim::<2>(0);
        after.output = if bounded { last } else { last.without_autodiff() };
        *state = after;
        Some((layers, outputs))
    }

    /// Runs all layers and the readout through a chunk of inputs [steps, batch, inputs] outside of autodiff.
    pub(crate) fn advance(
        &self,
        state: &mut NetworkState,
        inputs: Tensor<3>,
        purpose: Purpose,
    ) -> NetworkChunk {
        let mut below = inputs;
        let mut layers = Vec::with_capacity(self.layers.len());
        for (layer, state) in self.layers.iter().zip(&mut state.layers) {
            let chunk = layer.advance(state, below, purpose);
            below = chunk.outputs.clone();
            layers.push(chunk);
        }
        let neurons = side_by_side(layers.iter().map(|layer| layer.outputs.clone()).collect());
        let (outputs, last) = self.readout.forward_chunk(neurons.clone(), state.output.clone());
        state.output = last;
        NetworkChunk { layers, neurons, outputs }
    }

    /// # Panics
    ///
    /// If inputs are not as many as the network's, or on another device.
    #[track_caller]
    pub(crate) fn check_inputs(&self, inputs: &Tensor<3>) {
        let given = inputs.dims();
        let expected = [given[0], given[1], self.inputs()];
        assert_eq!(given, expected, "inputs {given:?} for a network that takes {expected:?}");
        check_device("inputs", &inputs.device(), &self.device());
    }
}

impl NetworkState {
    /// # Panics
    ///
    /// If the state is not of this network's sizes and this batch.
    #[track_caller]
    pub(crate) fn check<C: Cell>(&self, network: &Network<C>, batch: usize) {
        assert!(batch > 0, "a batch without a sequence");
        let given: Vec<_> = self.layers.iter().map(|state| state.output.dims()).collect();
        let expected: Vec<_> = network.layers.iter().map(|layer| [batch, layer.cell.neurons()]).collect();
        assert_eq!(
            given, expected,
            "state of layers {given:?}, [batch, neurons], where {expected:?} is needed"
        );
        for (state, &[_, neurons]) in self.layers.iter().zip(&expected) {
            let counts = (state.hidden.len(), state.carried.len());
            assert_eq!(counts, (C::HIDDEN, C::CARRIED), "(hidden, carried) values of a state");
            for part in state.hidden.iter().chain(&state.carried) {
                assert_eq!(part.dims(), [batch, neurons], "a state's part, [batch, neurons]");
            }
        }
        let (given, expected) = (self.output.dims(), [batch, network.outputs()]);
        assert_eq!(
            given, expected,
            "state of outputs {given:?}, [batch, outputs], where {expected:?} is needed"
        );
    }

    /// What of the state a gradient flows through, side by side, [batch, width]: of each layer z and the hidden values in
    /// their order, and y.
    pub fn to_rows(&self) -> Tensor<2> {
        let layers = self.layers.iter().flat_map(|layer| [&layer.output].into_iter().chain(&layer.hidden));
        Tensor::cat(layers.chain([&self.output]).cloned().collect(), 1)
    }

    /// The state with the values of [`to_rows`](Self::to_rows) replaced.
    pub(crate) fn with_rows(&self, rows: &Tensor<2>) -> Self {
        let mut start = 0;
        let mut next = |like: &Tensor<2>| {
            let width = like.dims()[1];
            start += width;
            rows.clone().narrow(1, start - width, width)
        };
        let mut layer = |layer: &CellState| CellState {
            output: next(&layer.output),
            hidden: layer.hidden.iter().map(&mut next).collect(),
            carried: layer.carried.clone(),
        };
        Self { layers: self.layers.iter().map(&mut layer).collect(), output: next(&self.output) }
    }

    /// The sequences of this state where `mine`, [batch, 1], is 1, and those of another where it is 0.
    pub(crate) fn choose(&self, other: &Self, mine: &Tensor<2>) -> Self {
        let theirs = mine.clone().equal_elem(0.0);
        let choose = |mine: &Tensor<2>, other: &Tensor<2>| {
            let [_, width] = mine.dims();
            mine.clone().mask_where(theirs.clone().repeat_dim(1, width), other.clone())
        };
        let all = |mine: &[Tensor<2>], other: &[Tensor<2>]| {
            mine.iter().zip(other).map(|(mine, other)| choose(mine, other)).collect()
        };
        let layers = self.layers.iter().zip(&other.layers).map(|(mine, other)| CellState {
            output: choose(&mine.output, &other.output),
            hidden: all(&mine.hidden, &other.hidden),
            carried: all(&mine.carried, &other.carried),
        });
        Self { layers: layers.collect(), output: choose(&self.output, &other.output) }
    }

    /// The state without autodiff: a constant wherever it is used.
    pub fn detach(&self) -> Self {
        Self {
            layers: self.layers.iter().map(CellState::detach).collect(),
            output: self.output.clone().without_autodiff(),
        }
    }
}

impl Carried for NetworkState {
    fn visit(&mut self, archive: &mut Archive) {
        for (index, state) in self.layers.iter_mut().enumerate() {
            archive.part(&format!("layers.{index}"), |archive| state.visit(archive));
        }
        archive.tensor("output", &mut self.output);
    }
}
