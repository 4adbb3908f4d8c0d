//! Going through a sequence in windows of Δt steps: what truncated BPTT and e-prop 3 have in common.

use burn::module::Module;
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{Gradients, Tensor};

use super::boundary::{Arrival, BoundaryTraces, Sequences};
use super::evaluate::{chunks, run_forward};
use super::rate::SpikeCounter;
use super::window::{Window, WindowOptions, with_autodiff};
use super::{
    BoundaryGradient, BoundaryLearning, Estimate, GradientEstimator, OnlineEstimator, Prediction,
    check_batch, loss_divisor,
};
use crate::autodiff::backward;
use crate::batch::{Batch, BatchChunk};
use crate::carried::{Archive, Carried};
use crate::cell::Cell;
use crate::eligibility::{Chunk, EligibilityTraces, FactoredTraces, MOST_FACTORED_STEPS, SummedTraces};
use crate::error::expect_valid;
use crate::kernel;
use crate::loss::{Objective, RateAveraging};
use crate::network::{GradientPaths, Network, NetworkState, Record, RecurrentLayer};
use crate::readout::ReadoutTraces;
use crate::steps::sum;

/// Truncated BPTT over windows of Δt steps; the state passes from window to window, the gradient does not. Where the
/// network has a [synthetic gradient](crate::synthetic_gradient), that stands for it (Jaderberg et al. 2017,
/// arXiv:1608.05343).
pub type TruncatedBptt = Windows<false>;

/// e-prop 3 (Bellec et al. 2019, arXiv:1901.09049, "e-prop 3"): within a window of Δt steps, the learning signal is the total
/// derivative,
///
/// $$ \frac{dE}{dW_{ji}} = \sum_t \frac{dE}{dz_j^t} e_{ji}^t, $$
///
/// and the eligibility traces e pass from window to window, so that every weight gets credit for what it did at any time
/// before the window, as far as it acted through its own neuron.
///
/// Behind the window's end, the network's [synthetic gradient](crate::synthetic_gradient) stands for the loss to
/// come, if it has one. With the exact gradient there, the windows sum to BPTT; with none, the result is truncated
/// BPTT's gradient plus λ ε, with ε the traces and λ = dE/dh at the window's start. The readout's gradient is exact.
pub type Eprop3 = Windows<true>;

/// An estimator that goes through a sequence in windows of Δt steps, each in Burn's autodiff graph: [`Eprop3`] with
/// eligibility traces, [`TruncatedBptt`] without.
///
/// Firing-rate regularisation needs the rates of the whole trial: a first run forward finds them. In a stream the
/// rates up to and including the piece stand in for them. Running means need neither.
#[derive(Debug, Clone)]
pub struct Windows<const TRACES: bool> {
    objective: Objective,
    /// Δt, in steps.
    length: usize,
    paths: GradientPaths,
    outputs: bool,
    kernels: bool,
    learning: BoundaryLearning,
    /// What stands for the network's synthetic gradient.
    boundary: Option<Box<dyn BoundaryGradient>>,
}

/// What is carried from window to window.
#[derive(Debug, Clone)]
pub struct WindowsState {
    network: NetworkState,
    spikes: SpikeCounter,
    boundary: BoundaryTraces,
    /// Truncated BPTT has none.
    traces: Option<EpropTraces>,
    /// Steps since the sequence's start.
    time: usize,
}

/// e-prop 3's eligibility traces.
#[derive(Debug, Clone)]
struct EpropTraces {
    layers: Vec<LayerTraces>,
    readout: ReadoutTraces,
}

/// A layer's, for short windows and for long ones.
#[derive(Debug, Clone)]
enum LayerTraces {
    Factored(FactoredTraces),
    Written(EligibilityTraces),
}

impl<const TRACES: bool> Windows<TRACES> {
    /// Windows of `window` steps.
    ///
    /// # Panics
    ///
    /// If `window` is 0 or the objective is not [valid](Objective::validate), or asks for voltage regularisation.
    #[track_caller]
    pub fn new(objective: Objective, window: usize) -> Self {
        assert!(window > 0, "a window has at least one step");
        Self {
            objective: objective.checked().without_voltage(),
            length: window,
            paths: GradientPaths::ALL,
            outputs: false,
            kernels: true,
            learning: BoundaryLearning::default(),
            boundary: None,
        }
    }

    /// Follows the given paths only.
    pub fn with_paths(self, paths: GradientPaths) -> Self {
        Self { paths, ..self }
    }

    /// Whether a cell's kernel may stand for its steps in the graph, where it has one (the default).
    pub fn with_kernels(self, kernels: bool) -> Self {
        Self { kernels, ..self }
    }

    /// Whether estimates hold the outputs of all steps.
    pub fn with_outputs(self, outputs: bool) -> Self {
        Self { outputs, ..self }
    }

    /// How the network's synthetic gradient learns, if it has one.
    ///
    /// # Panics
    ///
    /// If λ or γ is not [valid](BoundaryLearning::validate).
    #[track_caller]
    pub fn with_boundary_learning(self, learning: BoundaryLearning) -> Self {
        expect_valid("BoundaryLearning", learning.validate());
        Self { learning, ..self }
    }

    /// Takes the gradients at the ends of windows from elsewhere than the network, whose synthetic gradient does not
    /// learn then. `boundary` is no part of the state that is carried from piece to piece.
    pub fn with_boundary(self, boundary: impl BoundaryGradient + 'static) -> Self {
        Self { boundary: Some(Box::new(boundary)), ..self }
    }

    /// Goes through a piece; without `keep`, traces end with it.
    fn go_through<C: Cell>(
        &mut self,
        network: &Network<C>,
        state: &mut WindowsState,
        piece: &Batch,
        keep: bool,
    ) -> Estimate {
        let network = with_autodiff(network);
        let slopes = self.rate_slopes(&network, state, piece);
        state.spikes.add_steps(&piece.lengths());

        let (objective, divisor) = (self.objective, loss_divisor(&self.objective, piece));
        let mut total = GradientsAccumulator::new();
        let mut loss = 0.0;
        let mut outputs = Vec::new();
        let mut start = 0;
        for chunk in chunks(&network, piece, &objective, self.length) {
            let end = start + chunk.inputs.dims()[0];
            let span = Span {
                chunk,
                divisor,
                going_on: Sequences::new(piece.lengths().iter().map(|&length| start < length).collect()),
                following: Sequences::new(piece.follows(end)),
                keep: keep || end < piece.steps(),
            };
            let found = self.advance(&network, state, &span, slopes.as_deref());
            loss += found.loss;
            found.gradients.into_iter().for_each(|gradients| total.accumulate(&network, gradients));
            if self.outputs {
                outputs.push(found.outputs);
            }
            start = end;
        }
        Estimate {
            loss,
            rate_loss: objective.rate.map_or(0.0, |rate| state.spikes.loss(&rate).into_scalar::<f64>()),
            voltage_loss: 0.0,
            outputs: self.outputs.then(|| Tensor::cat(outputs, 0).swap_dims(0, 1)),
            firing_rates: state.spikes.firing_rates(),
            gradients: total.grads(),
        }
    }

    /// Goes through a window.
    fn advance<C: Cell>(
        &mut self,
        network: &Network<C>,
        state: &mut WindowsState,
        span: &Span,
        slopes: Option<&[Tensor<2>]>,
    ) -> Found {
        let Span { chunk, divisor, going_on, following, keep } = span;
        let steps = chunk.inputs.dims()[0];
        let module = network.synthetic_gradient.as_ref().filter(|_| self.boundary.is_none());
        let learns = module.filter(|_| state.time > 0 && !going_on.is_empty());
        let remembers = module.is_some() && self.learning.lambda > 0.0;
        let options = WindowOptions {
            paths: self.paths,
            kernels: self.kernels,
            bounded: module.is_some() || self.boundary.is_some(),
            traces: TRACES,
            record: if TRACES || remembers { Record::Outside } else { Record::Nothing },
        };

        // Where the gradient arrives: a leaf, if anybody asks for it.
        let states = state.network.to_rows();
        let leaf = states.clone().autodiff().require_grad();
        let start = if learns.is_some() { state.network.with_rows(&leaf) } else { state.network.clone() };
        let window = match TRACES {
            // The weights are constants of the graph: it is for the total derivatives alone.
            true => {
                let network = network.valid();
                Window::run(&network, &network.weights(), start, &chunk.inputs, options)
            }
            false => Window::run(network, &network.weights(), start, &chunk.inputs, options),
        };
        let task_loss = window.loss(&self.objective, chunk);
        let loss = task_loss.clone().without_autodiff().into_scalar::<f64>();
        let mut objective = match self.rate_terms(&window, chunk, slopes, &mut state.spikes) {
            Some(of_rates) => task_loss + of_rates,
            None => task_loss,
        };
        state.network = window.state.detach();
        state.time += steps;
        if let Some(behind) = self.behind(network, state, *divisor, following) {
            objective = objective + (window.state.to_rows() * behind).sum();
        }
        let mut gradients = backward(&objective);
        let arrived = leaf.grad_remove(&mut gradients);
        let outputs = window.outputs.clone().without_autodiff();
        let mut found = vec![match &mut state.traces {
            None => GradientsParams::from_grads(gradients, network),
            Some(traces) => {
                let error = self.objective.loss.error(chunk.judged(&outputs));
                traces.advance(network, &window, &gradients, error, *keep)
            }
        }];
        if let Some(module) = learns {
            let gradient = arrived.unwrap_or_else(|| states.zeros_like());
            let arrival = Arrival { states, gradient, divisor: *divisor, going_on };
            found.push(self.learning.learn(module, &mut state.boundary, arrival));
        }
        if remembers {
            let linearizations = window.steps.iter().filter_map(|layer| layer.linearization.as_ref());
            let jacobians = linearizations.map(|linearization| linearization.local_jacobian(going_on.size()));
            state.boundary.remember(jacobians, network.readout.decay().powi(steps as i32));
        }
        let layers: Vec<_> = window.layers.into_iter().map(Tensor::without_autodiff).collect();
        state.spikes.add_layers(&layers, chunk.valid.as_ref());
        Found { loss, outputs, gradients: found }
    }

    /// The gradient of the loss to come with respect to the state; `None` for none.
    fn behind<C: Cell>(
        &mut self,
        network: &Network<C>,
        state: &WindowsState,
        divisor: f64,
        following: &Sequences,
    ) -> Option<Tensor<2>> {
        if following.is_empty() {
            return None;
        }
        if let Some(boundary) = &mut self.boundary {
            let (given, expected) =
                (boundary.gradient(state.time, &state.network), state.network.to_rows().dims());
            assert_eq!(given.dims(), expected, "a boundary's gradient, [batch, width]");
            return Some(following.select(given));
        }
        let module = network.synthetic_gradient.as_ref()?;
        Some(self.learning.foretell(module, state.network.to_rows(), divisor, following))
    }

    /// What has the regulariser's gradient in a window; `None` without one.
    fn rate_terms(
        &self,
        window: &Window,
        chunk: &BatchChunk,
        slopes: Option<&[Tensor<2>]>,
        spikes: &mut SpikeCounter,
    ) -> Option<Tensor<1>> {
        let valid = chunk.valid.as_ref();
        let Some(slopes) = slopes else {
            return spikes.running_pull(self.objective.rate.as_ref()?, &window.layers, valid);
        };
        sum(window.layers.iter().zip(slopes).map(|(neurons, slope)| Some(rate_term(neurons, slope, valid))))
    }

    /// The regulariser's slopes by layer, of the rates up to the end of a piece, for which it is gone through without a graph; `None` where
    /// there is none, or a running mean.
    fn rate_slopes<C: Cell>(
        &self,
        network: &Network<C>,
        state: &WindowsState,
        piece: &Batch,
    ) -> Option<Vec<Tensor<2>>> {
        let rate =
            self.objective.rate.filter(|rate| !matches!(rate.averaging, RateAveraging::Running { .. }))?;
        let network = network.valid();
        let mut spikes = state.spikes.clone();
        let chunks = chunks(&network, piece, &self.objective, self.length);
        run_forward(&network, state.network.clone(), piece, chunks, &mut spikes, |_, _| {});
        (0..network.layers.len()).map(|layer| spikes.slope(&rate, layer)).collect()
    }
}

impl<C: Cell, const TRACES: bool> GradientEstimator<C> for Windows<TRACES> {
    fn objective(&self) -> &Objective {
        &self.objective
    }

    #[track_caller]
    fn estimate(&mut self, network: &Network<C>, batch: &Batch) -> Estimate {
        check_batch(network, batch);
        let mut state = self.start(network, batch.size());
        let batch = batch.clone().with_end();
        let network = network.clone();
        kernel::in_pool(is_on_cpu(&network), move || self.go_through(&network, &mut state, &batch, false))
    }
}

impl<C: Cell, const TRACES: bool> OnlineEstimator<C> for Windows<TRACES> {
    type State = WindowsState;

    fn start(&mut self, network: &Network<C>, batch: usize) -> WindowsState {
        WindowsState {
            network: network.valid().initial_state(batch),
            spikes: SpikeCounter::new(network, batch, self.objective.rate.as_ref()),
            boundary: BoundaryTraces::new(network, batch),
            traces: TRACES.then(|| EpropTraces::new(network, batch, self.length)),
            time: 0,
        }
    }

    #[track_caller]
    fn feed(&mut self, network: &Network<C>, state: &mut WindowsState, piece: &Batch) -> Estimate {
        check_batch(network, piece);
        state.network.check(network, piece.size());
        let (network, piece) = (network.clone(), piece.clone());
        kernel::in_pool(is_on_cpu(&network), move || self.go_through(&network, state, &piece, true))
    }

    #[track_caller]
    fn predict(&self, network: &Network<C>, state: &WindowsState, inputs: Tensor<3>) -> Prediction {
        let plain = inputs.clone().without_autodiff();
        let (outputs, _) = network.valid().forward_from(plain, state.network.clone());
        Prediction::new(inputs, outputs, None)
    }
}

impl EpropTraces {
    /// Traces before the first step. They are not filtered by κ: a total derivative has the readout's filter in it.
    fn new<C: Cell>(network: &Network<C>, batch: usize, window: usize) -> Self {
        let layer = |layer: &RecurrentLayer<C>| {
            let synapses = layer.synapses(batch);
            if window > MOST_FACTORED_STEPS {
                return LayerTraces::Written(EligibilityTraces::new(0.0, synapses, SummedTraces::Off));
            }
            let options = network.valid().options();
            LayerTraces::Factored(FactoredTraces::new(synapses, &layer.linearization(), options))
        };
        Self {
            layers: network.layers.iter().map(layer).collect(),
            readout: ReadoutTraces::new([batch, network.neurons()]),
        }
    }

    /// The gradients of a window from its total derivatives; with `keep`, the traces at its end.
    fn advance<C: Cell>(
        &mut self,
        network: &Network<C>,
        window: &Window,
        derivatives: &Gradients,
        error: Tensor<3>,
        keep: bool,
    ) -> GradientsParams {
        let mut gradients = GradientsParams::new();
        for ((layer, steps), traces) in network.layers.iter().zip(&window.steps).zip(&mut self.layers) {
            let chunk = Chunk {
                linearization: steps.linearization.as_ref().expect("asked for"),
                pre: steps.pre.clone(),
                signal: Some(steps.total_derivatives(derivatives)),
                summed_by: None,
            };
            let gradient = match traces {
                LayerTraces::Factored(traces) => traces.advance(chunk, keep),
                LayerTraces::Written(traces) => traces.advance(chunk, keep),
            };
            layer.register(gradient, &mut gradients);
        }
        let network = network.valid();
        let layers = window.layers.iter().map(|layer| layer.clone().without_autodiff()).collect();
        let readout = self.readout.advance(&network.readout, Some(error), Tensor::cat(layers, 2));
        readout.expect("there is an error").register(&network.readout, &mut gradients);
        gradients
    }
}

fn is_on_cpu<C: Cell>(network: &Network<C>) -> bool {
    kernel::is_on_cpu(&network.readout.weight.val().without_autodiff())
}

/// A window of a piece.
struct Span {
    chunk: BatchChunk,
    /// By what the loss is divided.
    divisor: f64,
    /// The sequences that had not ended at its start.
    going_on: Sequences,
    /// Those that go on behind its end.
    following: Sequences,
    /// Whether traces are carried on.
    keep: bool,
}

/// What was found in a window.
struct Found {
    loss: f64,
    /// y, [steps, batch, outputs].
    outputs: Tensor<3>,
    /// To be summed.
    gradients: Vec<GradientsParams>,
}

/// Σ r z over valid steps, whose gradient is the regulariser's.
fn rate_term(neurons: &Tensor<3>, slope: &Tensor<2>, valid: Option<&Tensor<3>>) -> Tensor<1> {
    let weighted = neurons.clone() * slope.clone().unsqueeze_dim(0);
    match valid {
        Some(valid) => (weighted * valid.clone()).sum(),
        None => weighted.sum(),
    }
}

impl Carried for WindowsState {
    fn visit(&mut self, archive: &mut Archive) {
        archive.part("network", |archive| self.network.visit(archive));
        archive.part("spikes", |archive| self.spikes.visit(archive));
        archive.part("boundary", |archive| self.boundary.visit(archive));
        if let Some(EpropTraces { layers, readout }) = &mut self.traces {
            for (index, traces) in layers.iter_mut().enumerate() {
                archive.part(&format!("traces.{index}"), |archive| match traces {
                    LayerTraces::Factored(traces) => traces.visit(archive),
                    LayerTraces::Written(traces) => traces.visit(archive),
                });
            }
            archive.part("readout", |archive| readout.visit(archive));
        }
        let mut time = self.time as f64;
        archive.number("time", &mut time);
        self.time = time as usize;
    }
}
