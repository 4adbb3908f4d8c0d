//! What an actor-critic carries from step to step.

use burn::tensor::Tensor;

use crate::batch::BatchChunk;
use crate::cell::Cell;
use crate::eligibility::{Chunk, EligibilityTraces, SummedTraces};
use crate::network::{LayerChunk, Network, NetworkState};
use crate::signal::{LearningSignal, SignalContext};
use crate::steps::low_pass_end;

/// What an actor-critic carries from step to step, for a batch of episodes side by side.
#[derive(Debug, Clone)]
pub struct ActorCriticState {
    pub(super) network: NetworkState,
    initial: NetworkState,
    pub(super) signal: Box<dyn LearningSignal>,
    layers: Vec<LayerTraces>,
    readout: ReadoutTraces,
    /// What was observed and not yet learnt from.
    pub(super) observed: Option<Observed>,
    /// Until V^{t+1} is known.
    pub(super) pending: Option<Pending>,
    pub(super) found: Found,
    time: usize,
}

#[derive(Debug, Clone)]
struct LayerTraces {
    engine: EligibilityTraces,
    /// ē at the last step, by current, [batch, post, pre].
    traces: Vec<Tensor<3>>,
    /// F_γ(L ē), by current.
    faded: Vec<Tensor<3>>,
}

#[derive(Debug, Clone)]
struct ReadoutTraces {
    /// F_κ(z), [batch, neurons], and F_κ(1), [batch, 1], without the readout's factor.
    filtered: [Option<Tensor<2>>; 2],
    /// F_γ of the outer product of F_κ(z) and err, [batch, neurons, outputs], and of F_κ(1) and err, [batch, outputs].
    faded: (Tensor<3>, Tensor<2>),
}

/// What is known of a step's δ, each [batch, 1].
#[derive(Debug, Clone)]
pub(super) struct Pending {
    /// r^t
    pub(super) rewards: Tensor<2>,
    /// V^t
    pub(super) values: Tensor<2>,
    /// 1 where the episode goes on, and 0 where it has ended with the step, whose δ has then been, or where there is none.
    pub(super) going: Tensor<2>,
}

/// The last step of what was observed.
#[derive(Debug, Clone)]
pub(super) struct Observed {
    pub(super) chunk: BatchChunk,
    /// y, [1, batch, outputs].
    pub(super) outputs: Tensor<3>,
    /// z of all layers, [1, batch, neurons].
    pub(super) neurons: Tensor<3>,
}

/// What has come together since gradients were taken.
#[derive(Debug, Clone)]
pub(super) struct Found {
    /// By layer, [pre, currents · post].
    pub(super) layers: Vec<Tensor<2>>,
    /// Of W_out.
    pub(super) weight: Tensor<2>,
    /// Of the readout's bias.
    pub(super) bias: Tensor<1>,
    /// Σ ½ δ² over steps, the mean of the batch.
    pub(super) loss: f64,
    /// Σ_t of the mean of z over the batch, by layer.
    pub(super) spikes: Vec<Tensor<1>>,
    /// Steps of the network.
    pub(super) steps: usize,
}

impl ActorCriticState {
    /// The state at the start of `batch` episodes of a network without autodiff.
    ///
    /// # Panics
    ///
    /// If the network has less than two outputs, an action and the value.
    #[track_caller]
    pub(super) fn new<C: Cell>(network: &Network<C>, batch: usize, signal: Box<dyn LearningSignal>) -> Self {
        let outputs = network.outputs();
        assert!(outputs >= 2, "{outputs} outputs, but a policy and a value need at least 2");
        let options = network.options();
        let layers = network.layers.iter().map(|layer| {
            let synapses = layer.synapses(batch);
            let shape = [batch, synapses.post, synapses.pre];
            let faded: Vec<Tensor<3>> = vec![Tensor::zeros(shape, options.clone()); synapses.currents];
            let summed = SummedTraces::PerTrial(Vec::new());
            let engine = EligibilityTraces::new(0.0, synapses, summed);
            LayerTraces { engine, traces: faded.clone(), faded }
        });
        let weight = Tensor::zeros([batch, network.neurons(), outputs], options.clone());
        let bias = Tensor::zeros([batch, outputs], options.clone());
        Self {
            initial: network.initial_state(batch),
            network: network.initial_state(batch),
            signal,
            layers: layers.collect(),
            readout: ReadoutTraces { filtered: [None, None], faded: (weight, bias) },
            observed: None,
            pending: None,
            found: Found::new(network, batch),
            time: 0,
        }
    }

    /// Takes in a step of the network.
    pub(super) fn advance(&mut self, decay: f64, layers: Vec<LayerChunk>, neurons: &Tensor<3>) {
        for ((layer, of_step), spikes) in self.layers.iter_mut().zip(layers).zip(&mut self.found.spikes) {
            *spikes = spikes.clone() + of_step.outputs.clone().mean_dims(&[0, 1]).reshape([-1]);
            let linearization = of_step.linearization.expect("asked for");
            let chunk =
                Chunk { linearization: &linearization, pre: of_step.pre, signal: None, summed_by: None };
            layer.engine.advance(chunk, true);
            for (trace, e) in layer.traces.iter_mut().zip(layer.engine.take_trial_sums()) {
                *trace = trace.clone().mul_scalar(decay) + e;
            }
        }
        self.found.steps += 1;
        self.time += 1;
        let ones = neurons.clone().narrow(2, 0, 1).ones_like();
        for (filtered, value) in self.readout.filtered.iter_mut().zip([neurons.clone(), ones]) {
            *filtered = Some(low_pass_end(value, decay, filtered.take()));
        }
    }

    /// Lets what was done fade, and adds what was done last.
    pub(super) fn fade<C: Cell>(
        &mut self,
        network: &Network<C>,
        chunk: &BatchChunk,
        [outputs, error, neurons]: [&Tensor<3>; 3],
        discount: f64,
    ) {
        let context = SignalContext::new(network, chunk, [outputs, error, neurons], self.time - 1..self.time);
        let signal = context.signal(self.signal.as_mut()).mul_scalar(network.readout.factor());
        // ANCHOR: fade
        let mut first = 0;
        for layer in &mut self.layers {
            let neurons = layer.engine.synapses().post;
            // L, [batch, post, 1].
            let signal = signal.clone().narrow(2, first, neurons).permute([1, 2, 0]);
            first += neurons;
            for (faded, trace) in layer.faded.iter_mut().zip(&layer.traces) {
                *faded = faded.clone().mul_scalar(discount) + trace.clone() * signal.clone();
            }
        }
        // ANCHOR_END: fade
        let error = error.clone().swap_dims(0, 1);
        let [batch, _, width] = error.dims();
        let [neurons, ones] =
            self.readout.filtered.clone().map(|filtered| filtered.expect("a step was observed"));
        let (weight, bias) = &mut self.readout.faded;
        let outer = neurons.unsqueeze_dim::<3>(2) * error.clone();
        *weight = weight.clone().mul_scalar(discount) + outer.mul_scalar(network.readout.factor());
        *bias = bias.clone().mul_scalar(discount) + error.reshape([batch, width]) * ones;
    }

    /// Adds what an error δ [batch, 1] makes of the faded traces (equation 3).
    pub(super) fn reinforce(&mut self, error: Tensor<2>) {
        let [batch, _] = error.dims();
        let share = error.clone().mul_scalar(1.0 / batch as f64);
        let each = share.clone().unsqueeze_dim::<3>(2);
        for (layer, found) in self.layers.iter().zip(&mut self.found.layers) {
            let of_current =
                |faded: &Tensor<3>| (faded.clone() * each.clone()).sum_dim(0).squeeze_dim::<2>(0).transpose();
            let gradient = Tensor::cat(layer.faded.iter().map(of_current).collect(), 1);
            *found = found.clone() + gradient;
        }
        let (weight, bias) = &self.readout.faded;
        self.found.weight = self.found.weight.clone() + (weight.clone() * each).sum_dim(0).squeeze_dim(0);
        self.found.bias = self.found.bias.clone() + (bias.clone() * share).sum_dim(0).squeeze_dim(0);
        let squared = (error.clone() * error).mean().into_scalar::<f64>();
        self.found.loss += 0.5 * squared;
    }

    /// Begins new episodes where `going`, [batch, 1], is 0 and not 1.
    pub(super) fn begin_anew(&mut self, going: &Tensor<2>) {
        let each = going.clone().unsqueeze_dim::<3>(2);
        self.network = self.network.choose(&self.initial, going);
        for layer in &mut self.layers {
            layer.engine.multiply_sequences(going);
            for trace in layer.traces.iter_mut().chain(&mut layer.faded) {
                *trace = trace.clone() * each.clone();
            }
        }
        for filtered in self.readout.filtered.iter_mut().flatten() {
            *filtered = filtered.clone() * going.clone();
        }
        let (weight, bias) = &mut self.readout.faded;
        *weight = weight.clone() * each;
        *bias = bias.clone() * going.clone();
    }
}

impl Found {
    /// Nothing yet.
    fn new<C: Cell>(network: &Network<C>, batch: usize) -> Self {
        let options = network.options();
        let zeros = |shape: [usize; 2]| Tensor::zeros(shape, options.clone());
        let layers = network.layers.iter();
        Self {
            layers: layers.clone().map(|layer| zeros(layer.synapses(batch).matrix())).collect(),
            weight: zeros([network.neurons(), network.outputs()]),
            bias: Tensor::zeros([network.outputs()], options.clone()),
            loss: 0.0,
            spikes: layers.map(|layer| Tensor::zeros([layer.cell.neurons()], options.clone())).collect(),
            steps: 0,
        }
    }

    /// What was found, and nothing in its place.
    pub(super) fn take(&mut self) -> Self {
        let nothing = Self {
            layers: self.layers.iter().map(Tensor::zeros_like).collect(),
            weight: self.weight.zeros_like(),
            bias: self.bias.zeros_like(),
            loss: 0.0,
            spikes: self.spikes.iter().map(Tensor::zeros_like).collect(),
            steps: 0,
        };
        std::mem::replace(self, nothing)
    }
}
