//! One update of each task, and the gradient of what comes of it.

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

use super::MetaLearner;
use crate::autodiff::backward;
use crate::batch::{Batch, BatchChunk};
use crate::cell::Cell;
use crate::eligibility::{Presynaptic, presynaptic_weights};
use crate::estimator::rate::SpikeCounter;
use crate::estimator::window::{LayerSteps, Window, WindowOptions};
use crate::estimator::{check_batch, loss_divisor};
use crate::gradients::is_trained;
use crate::kernel;
use crate::layer::without_autapses;
use crate::loss::{Objective, RateAveraging, RateRegularization};
use crate::network::{LayerWeights, Network, Record, RecurrentLayer, Weights};
use crate::signal::{LearningSignal, SignalContext, teach};
use crate::steps::{filter_in_graph, side_by_side, sum};

/// One-shot learning by e-prop: how a task is learned from one presentation.
///
/// The trials are whole sequences from the initial state. A learner's cells need a closed-form
/// [`linearize`](Cell::linearize), made of tensor operations that do not leave the graph (no `detach`): Burn's autodiff does
/// not differentiate itself.
#[derive(Debug, Clone)]
pub struct OneShot<C: Cell> {
    objective: Objective,
    signal: Option<Box<dyn LearningSignal>>,
    trace_cells: Option<Vec<C>>,
    learner_rate: Option<RateRegularization>,
    module_rate: Option<RateRegularization>,
    kernels: bool,
}

/// What one presentation has made of the learner.
#[derive(Debug, Clone)]
pub struct Adaptation {
    /// The weights after the update, of each sequence its own.
    pub weights: Vec<LayerWeights>,
    /// y in the training trial, [batch, time, outputs].
    pub outputs: Tensor<3>,
    /// z of the learner's neurons in the training trial, [batch, time, neurons].
    pub neurons: Tensor<3>,
    /// L, as the error module or another signal gave it, [batch, time, neurons].
    pub signal: Tensor<3>,
    /// z of the error module's neurons, [batch, time, neurons], where it gives the signal.
    pub module_neurons: Option<Tensor<3>>,
}

impl Adaptation {
    /// A test trial of each task with its weights, outside of any graph, for inputs [batch, time, inputs]: y and the learner's
    /// z, each [batch, time, values].
    ///
    /// # Panics
    ///
    /// If the inputs are not of the same batch, or not the learner's.
    #[track_caller]
    pub fn test<C: Cell>(&self, learner: &Network<C>, inputs: Tensor<3>) -> [Tensor<3>; 2] {
        let window = test_trial(&learner.valid(), &self.weights, inputs, self.outputs.dims()[0]);
        [window.outputs.clone().swap_dims(0, 1), all_neurons(&window)]
    }
}

/// A test trial of tasks with weights of their own.
fn test_trial<C: Cell>(
    learner: &Network<C>,
    weights: &[LayerWeights],
    inputs: Tensor<3>,
    tasks: usize,
) -> Window {
    learner.check_inputs(&inputs);
    let batch = inputs.dims()[0];
    assert_eq!(batch, tasks, "test trials of {batch} tasks, training trials of {tasks}");
    for weights in weights {
        let own = weights.sequences();
        assert!(own == 1 || own == tasks, "weights of {own} sequences for {tasks} tasks");
    }
    let inputs = inputs.without_autodiff().cast(learner.readout.weight.dtype()).swap_dims(0, 1);
    Window::run(learner, weights, learner.initial_state(batch), &inputs, WindowOptions::PLAIN)
}

/// What came of a batch of tasks.
#[derive(Debug)]
pub struct MetaEstimate {
    /// The outer loss, of the test trials.
    pub loss: f64,
    /// The firing-rate regularisers' losses; 0 without.
    pub rate_loss: f64,
    /// y in the training trials, before the update, [batch, time, outputs].
    pub before: Tensor<3>,
    /// y in the test trials, after it.
    pub after: Tensor<3>,
    /// The mean output of each of the learner's neurons over both trials, by layer, `[neurons]`.
    pub firing_rates: Vec<Tensor<1>>,
    /// That of the error module's neurons; empty where it does not give the signal.
    pub module_firing_rates: Vec<Tensor<1>>,
    /// The gradients of the sum of all losses, by the meta learner's parameter ids.
    pub gradients: GradientsParams,
}

/// The training trial, and what was learned from it.
struct Presentation {
    window: Window,
    module: Option<Window>,
    /// L, [steps, batch, neurons].
    signal: Tensor<3>,
    weights: Vec<LayerWeights>,
    /// 1 within a sequence and 0 behind its end, [steps, batch, 1]; `None` where all have full length.
    valid: Option<Tensor<3>>,
}

impl<C: Cell> OneShot<C> {
    /// Learning from the error module. The objective is that of the training trial, whose error other signals see.
    ///
    /// # Panics
    ///
    /// If the objective is not [valid](Objective::validate), or asks for voltage regularisation.
    #[track_caller]
    pub fn new(objective: Objective) -> Self {
        Self {
            objective: objective.checked().without_voltage(),
            signal: None,
            trace_cells: None,
            learner_rate: None,
            module_rate: None,
            kernels: true,
        }
    }

    /// Learning from another signal, in place of the error module's: e-prop 1, in an outer loop. For a gradient of the outer
    /// loss the signal must be made of tensor operations. What a signal says of the feedback weights, and its weight decay, are
    /// for an optimizer's hook; here they do nothing.
    pub fn with_signal(self, signal: Box<dyn LearningSignal>) -> Self {
        Self { signal: Some(signal), ..self }
    }

    /// Cells, one for each layer, whose linearisation the traces follow in place of the learner's own: the same dynamics with
    /// another pseudo-derivative, say. They must be as many as the learner's layers, and of its sizes.
    pub fn with_trace_cells(self, cells: Vec<C>) -> Self {
        Self { trace_cells: Some(cells), ..self }
    }

    /// Adds firing-rate regularisation to the outer loss: of the learner over both trials, and of the error module.
    ///
    /// # Panics
    ///
    /// If a regulariser is not [valid](Objective::validate), or is that of a running mean.
    #[track_caller]
    pub fn with_rates(self, learner: Option<RateRegularization>, module: Option<RateRegularization>) -> Self {
        for rate in [learner, module].into_iter().flatten() {
            self.objective.with_rate(rate).checked();
            let of_trials = !matches!(rate.averaging, RateAveraging::Running { .. });
            assert!(of_trials, "the rates of one-shot learning are those of its trials, not running means");
        }
        Self { learner_rate: learner, module_rate: module, ..self }
    }

    /// Whether cells' kernels may stand for their steps, where they have one (the default). Without, every operation of every
    /// step is a node of Burn's autodiff: slower, and the reference for the kernels.
    pub fn with_kernels(self, kernels: bool) -> Self {
        Self { kernels, ..self }
    }

    /// One update for each sequence of `training`, outside of any graph.
    ///
    /// # Panics
    ///
    /// If the batch does not fit the learner, or has no [teaching](Batch::with_teaching) that fits the error module where that gives
    /// the signal; if trace cells do not fit the learner.
    #[track_caller]
    pub fn adapt<E: Cell>(&self, meta: &MetaLearner<C, E>, training: &Batch) -> Adaptation {
        let meta = meta.valid();
        let present = || self.present(&meta, training);
        let Presentation { window, module, signal, weights, .. } =
            if self.kernels { present() } else { kernel::by_tensor_operations(present) };
        Adaptation {
            weights,
            neurons: all_neurons(&window),
            outputs: window.outputs.swap_dims(0, 1),
            signal: signal.swap_dims(0, 1),
            module_neurons: module.as_ref().map(all_neurons),
        }
    }

    /// The outer loss of a batch of tasks and its gradient: an update for each sequence of `training`, then its test trial with
    /// `test_inputs` [batch, time, inputs]. `loss` makes a loss `[1]` of the test trials' outputs [batch, time, outputs], by
    /// tensor operations.
    ///
    /// # Panics
    ///
    /// As [`adapt`](Self::adapt); if `test_inputs` are not of the same batch and the learner's, or have no step; if the learner's
    /// cells have no closed-form linearisation; if the loss does not depend on the outputs.
    #[track_caller]
    pub fn estimate<E: Cell>(
        &self,
        meta: &MetaLearner<C, E>,
        training: &Batch,
        test_inputs: Tensor<3>,
        loss: impl FnOnce(Tensor<3>) -> Tensor<1>,
    ) -> MetaEstimate {
        let work = || self.estimate_on_graph(meta, training, test_inputs, loss);
        if self.kernels { work() } else { kernel::by_tensor_operations(work) }
    }

    fn estimate_on_graph<E: Cell>(
        &self,
        meta: &MetaLearner<C, E>,
        training: &Batch,
        test_inputs: Tensor<3>,
        loss: impl FnOnce(Tensor<3>) -> Tensor<1>,
    ) -> MetaEstimate {
        let meta = match meta.log_rates.val().is_autodiff() {
            true => meta.clone(),
            false => meta.clone().train(),
        };
        let learner = &meta.learner;
        let [batch, time, _] = test_inputs.dims();
        let Presentation { window: first, module, weights, valid, .. } = self.present(&meta, training);
        let second = test_trial(learner, &weights, test_inputs, training.size());
        let outputs = second.outputs.clone().swap_dims(0, 1);
        let loss = loss(outputs.clone());

        let mut spikes = SpikeCounter::new(learner, batch, None);
        spikes.add_steps(&training.lengths());
        spikes.add_layers(&first.layers, valid.as_ref());
        spikes.add_steps(&vec![time; batch]);
        spikes.add_layers(&second.layers, None);
        let module_spikes = module.map(|window| {
            let mut spikes = SpikeCounter::new(&meta.module, batch, None);
            spikes.add_steps(&training.lengths());
            spikes.add_layers(&window.layers, valid.as_ref());
            spikes
        });
        let of_learner = self.learner_rate.map(|rate| spikes.loss(&rate));
        let of_module = self.module_rate.zip(module_spikes.as_ref()).map(|(rate, spikes)| spikes.loss(&rate));
        let rate_loss = sum([of_learner, of_module]);
        let total = sum([Some(loss.clone()), rate_loss.clone()]).expect("a loss");
        let plain = |rates: Vec<Tensor<1>>| rates.into_iter().map(Tensor::without_autodiff).collect();
        MetaEstimate {
            loss: loss.into_scalar::<f64>(),
            rate_loss: rate_loss.map_or(0.0, |loss| loss.into_scalar::<f64>()),
            before: first.outputs.without_autodiff().swap_dims(0, 1),
            after: outputs.without_autodiff(),
            firing_rates: plain(spikes.firing_rates()),
            module_firing_rates: module_spikes.map_or_else(Vec::new, |spikes| plain(spikes.firing_rates())),
            gradients: GradientsParams::from_grads(backward(&total), &meta),
        }
    }

    /// The training trials, and an update for each.
    fn present<E: Cell>(&self, meta: &MetaLearner<C, E>, training: &Batch) -> Presentation {
        let learner = &meta.learner;
        check_batch(learner, training);
        self.check_trace_cells(learner);
        let divisor = loss_divisor(&self.objective, training);
        let chunk = training.chunk(0..training.steps(), divisor, learner.readout.weight.dtype());
        let state = learner.initial_state(training.size());
        let weights = learner.weights();
        let options = WindowOptions { record: Record::InGraph, ..WindowOptions::PLAIN };
        let window = Window::run(learner, &weights, state, &chunk.inputs, options);
        let (signal, module) = self.learning_signal(meta, &chunk, &window);
        let of_traces = self.of_traces(learner, signal.clone());

        let mut first = 0;
        let mut updated = Vec::with_capacity(weights.len());
        for (index, (layer, steps)) in learner.layers.iter().zip(&window.steps).enumerate() {
            let size = layer.cell.neurons();
            let of_layer = of_traces.clone().narrow(2, first, size);
            first += size;
            let gradient = self.gradient(layer, index, steps, of_layer);
            updated.push(descend(layer, &weights[index], gradient, meta.log_rates.val().exp()));
        }
        Presentation { window, module, signal, weights: updated, valid: chunk.valid }
    }

    /// L, [steps, batch, neurons], and the error module's run where it says so.
    fn learning_signal<E: Cell>(
        &self,
        meta: &MetaLearner<C, E>,
        chunk: &BatchChunk,
        window: &Window,
    ) -> (Tensor<3>, Option<Window>) {
        let (learner, outputs) = (&meta.learner, &window.outputs);
        let error = self.objective.loss.error(chunk.judged(outputs));
        let neurons = side_by_side(window.layers.clone());
        let context =
            SignalContext::new(learner, chunk, [outputs, &error, &neurons], 0..chunk.inputs.dims()[0]);
        let (signal, module) = match &self.signal {
            None => {
                let window = teach(&meta.module, &context);
                (window.outputs.clone(), Some(window))
            }
            Some(signal) => (context.signal(signal.clone().as_mut()), None),
        };
        let signal = match &chunk.valid {
            Some(valid) => signal * valid.clone(),
            None => signal,
        };
        (signal, module)
    }

    /// What multiplies e, for L: Σ_t L^t F_κ(e)^t = Σ_s e^s Σ_{t ≥ s} κ^{t−s} L^t where L speaks of the readout's outputs.
    fn of_traces(&self, learner: &Network<C>, signal: Tensor<3>) -> Tensor<3> {
        match &self.signal {
            Some(rule) if rule.speaks_of_outputs() => {
                let signal = signal.mul_scalar(learner.readout.factor());
                filter_in_graph(signal, learner.readout.decay(), true)
            }
            _ => signal,
        }
    }

    fn check_trace_cells(&self, learner: &Network<C>) {
        let Some(cells) = &self.trace_cells else { return };
        let given: Vec<_> = cells.iter().map(Cell::neurons).collect();
        let expected: Vec<_> = learner.layers.iter().map(|layer| layer.cell.neurons()).collect();
        assert_eq!(
            given, expected,
            "neurons of trace cells {given:?} for a learner with layers of {expected:?}"
        );
    }

    /// Σ_t L e of each sequence, [batch, pre, currents · neurons].
    fn gradient(
        &self,
        layer: &RecurrentLayer<C>,
        index: usize,
        steps: &LayerSteps,
        signal: Tensor<3>,
    ) -> Tensor<3> {
        let [time, batch, _] = signal.dims();
        let on_graph = layer.w_in.val().is_autodiff();
        let cell = match &self.trace_cells {
            None => layer.cell.clone(),
            Some(cells) if on_graph => cells[index].valid().train(),
            Some(cells) => cells[index].valid(),
        };
        let linearizations: Vec<_> =
            steps.transitions.iter().map(|transition| cell.linearize(transition)).collect();
        let in_graph = linearizations[0].some().is_autodiff();
        assert!(in_graph || !on_graph, "a cell's linearisation, not in closed form, leaves the graph");
        // ANCHOR: update
        let mut pre = Presynaptic::join(&steps.pre);
        if let Some(decay) = linearizations[0].pre_decay() {
            pre = filter_in_graph(pre, decay, false);
        }
        let weights = presynaptic_weights(&linearizations, signal);
        let columns = weights.dims()[1];
        let weights = weights.reshape([time, batch, columns]).swap_dims(0, 1);
        pre.permute([1, 2, 0]).matmul(weights)
        // ANCHOR_END: update
    }
}

/// Weights less η times a gradient [batch, pre, currents · neurons], of each sequence its own. Frozen weights stay as they are.
fn descend<C: Cell>(
    layer: &RecurrentLayer<C>,
    weights: &LayerWeights,
    gradient: Tensor<3>,
    rates: Tensor<1>,
) -> LayerWeights {
    let (inputs, neurons) = (layer.w_in.dims()[0], layer.cell.neurons());
    let change = |group: usize, start: usize, length: usize| {
        let rate = rates.clone().narrow(0, group, 1).reshape([1, 1, 1]);
        gradient.clone().narrow(1, start, length) * rate
    };
    let mut updated = weights.clone();
    if is_trained(&layer.w_in) {
        updated.w_in = Weights::OfSequence(weights.w_in.stacked() - change(0, 0, inputs));
    }
    if is_trained(&layer.w_rec) {
        let recurrent = weights.w_rec.stacked() - change(1, inputs, neurons);
        let recurrent = if C::AUTAPSES { recurrent } else { without_autapses(recurrent) };
        updated.w_rec = Weights::OfSequence(recurrent);
    }
    if layer.bias.as_ref().is_some_and(is_trained) {
        updated.bias = updated.bias.map(|bias| bias - change(2, inputs + neurons, 1).squeeze_dim(1));
    }
    updated
}

/// z of all layers, [batch, time, neurons].
fn all_neurons(window: &Window) -> Tensor<3> {
    side_by_side(window.layers.clone()).swap_dims(0, 1)
}
