//! A forward run through some steps in the autodiff graph: what BPTT, truncated BPTT, e-prop 2 and e-prop 3 have in common.

use burn::module::Module;
use burn::tensor::{Gradients, Tensor};

use crate::batch::BatchChunk;
use crate::cell::{Cell, Linearization, Transition};
use crate::eligibility::Presynaptic;
use crate::kernel;
use crate::loss::Objective;
use crate::network::{
    GradientPaths, LayerNode, LayerWeights, Network, NetworkState, Record, RecurrentLayer, RunOptions,
};
use crate::steps::{join_layers, split_steps};

/// How a window is run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WindowOptions {
    /// Along which paths gradients flow.
    pub(crate) paths: GradientPaths,
    /// Whether a cell's kernel may stand for its steps.
    pub(crate) kernels: bool,
    /// Whether gradients reach and leave the states at the window's start and end.
    pub(crate) bounded: bool,
    /// Whether total derivatives dE/dz and presynaptic values are asked for.
    pub(crate) traces: bool,
    /// Whether the steps are asked for: their derivatives outside of the graph, or the steps themselves in it.
    pub(crate) record: Record,
}

impl WindowOptions {
    /// A run along all paths, by kernels, for nothing but gradients.
    pub(crate) const PLAIN: Self = Self {
        paths: GradientPaths::ALL,
        kernels: true,
        bounded: false,
        traces: false,
        record: Record::Nothing,
    };
}

/// A window that has been run.
pub(crate) struct Window {
    /// z of each layer, [steps, batch, neurons].
    pub(crate) layers: Vec<Tensor<3>>,
    /// y, [steps, batch, outputs].
    pub(crate) outputs: Tensor<3>,
    /// The state after the last step.
    pub(crate) state: NetworkState,
    /// What was asked for of each layer.
    pub(crate) steps: Vec<LayerSteps>,
}

/// What e-prop needs to know of a layer's steps.
pub(crate) struct LayerSteps {
    /// The derivatives of the steps, outside of the graph.
    pub(crate) linearization: Option<Linearization>,
    /// The steps in the graph, in the order of time: one by one, or together.
    pub(crate) transitions: Vec<Transition>,
    /// Presynaptic values, side by side; in the graph where the steps are.
    pub(crate) pre: Vec<Presynaptic>,
    probe: Probe,
}

/// Leaves whose gradients are dE/dz.
#[allow(clippy::large_enum_variant, reason = "there is one for each layer")]
enum Probe {
    /// One for each step.
    Steps(Vec<Tensor<2>>),
    /// One for all steps, where there is a kernel.
    Whole(Option<Tensor<3>>),
}

impl LayerSteps {
    /// The total derivatives dE/dz within the window, [steps, batch, neurons].
    pub(crate) fn total_derivatives(&self, gradients: &Gradients) -> Tensor<3> {
        match &self.probe {
            Probe::Steps(steps) => {
                Tensor::stack(steps.iter().map(|probe| derivative(probe, gradients)).collect(), 0)
            }
            Probe::Whole(probe) => derivative(probe.as_ref().expect("asked for"), gradients),
        }
    }
}

fn derivative<const D: usize>(probe: &Tensor<D>, gradients: &Gradients) -> Tensor<D> {
    let zeros = || probe.clone().without_autodiff().zeros_like();
    probe.grad(gradients).unwrap_or_else(zeros)
}

impl Window {
    /// Runs a network, with some weights, through inputs [steps, batch, inputs], by kernels where it may and can.
    pub(crate) fn run<C: Cell>(
        network: &Network<C>,
        weights: &[LayerWeights],
        mut state: NetworkState,
        inputs: &Tensor<3>,
        options: WindowOptions,
    ) -> Self {
        let WindowOptions { paths, kernels, bounded, traces, record } = options;
        let bounded = bounded || traces;
        let on_cpu = || kernel::is_on_cpu(&inputs.clone().without_autodiff());
        let replays = || on_cpu() && network.layers.iter().all(|layer| layer.cell.can_replay());
        if kernels && (record != Record::InGraph || replays()) {
            let before = state.clone();
            let mut after = state.clone();
            let nodes = network.connect(weights, &mut after, inputs.clone(), paths, bounded);
            let window = nodes.and_then(|(nodes, outputs)| {
                Self::of_nodes(network, weights, before, inputs, nodes, outputs, after, options)
            });
            if let Some(window) = window {
                return window;
            }
        }
        let run_options = RunOptions { paths, record, probe: traces };
        let mut below = split_steps(inputs.clone());
        let mut inputs = inputs.clone();
        let mut layers = Vec::with_capacity(network.layers.len());
        let mut steps = Vec::new();
        for ((layer, weights), state) in network.layers.iter().zip(weights).zip(&mut state.layers) {
            let before = state.output.clone();
            let run = layer.run(weights, state.clone(), &below, run_options);
            *state = run.state;
            let outputs: Tensor<3> = Tensor::stack(run.outputs.clone(), 0);
            let (linearization, transitions) = match record {
                Record::InGraph => (None, run.transitions),
                _ => (run.transitions.first().map(|steps| layer.cell.valid().linearize(steps)), Vec::new()),
            };
            steps.push(LayerSteps {
                linearization,
                transitions,
                pre: presynaptic(layer, inputs, before, &outputs, options),
                probe: Probe::Steps(run.probes),
            });
            inputs = outputs.clone();
            below = match paths.between_layers {
                true => run.outputs.clone(),
                false => run.outputs.iter().map(|outputs| outputs.clone().detach()).collect(),
            };
            layers.push((run.outputs, outputs));
        }
        let (at_steps, layers): (Vec<_>, Vec<_>) = layers.into_iter().unzip();
        let (outputs, last) = network.readout.forward(&join_layers(&at_steps), state.output);
        state.output = last;
        Self { layers, outputs, state, steps }
    }

    /// The same, of layers that are nodes of the graph; `None` where steps are asked for that a cell cannot replay.
    #[allow(clippy::too_many_arguments, reason = "what `run` has, and what came of it")]
    fn of_nodes<C: Cell>(
        network: &Network<C>,
        weights: &[LayerWeights],
        before: NetworkState,
        inputs: &Tensor<3>,
        nodes: Vec<LayerNode>,
        outputs: Tensor<3>,
        state: NetworkState,
        options: WindowOptions,
    ) -> Option<Self> {
        let mut below = inputs.clone();
        let mut layers = Vec::with_capacity(nodes.len());
        let mut steps = Vec::new();
        let all = network.layers.iter().zip(weights).zip(before.layers).zip(nodes);
        for (((layer, weights), before), node) in all {
            let pre = presynaptic(layer, below, before.output.clone(), &node.outputs, options);
            let transitions = match options.record {
                Record::InGraph => {
                    vec![layer.cell.replay(&before, &weights.currents(&pre, C::CURRENTS), &node.outputs)?]
                }
                _ => Vec::new(),
            };
            steps.push(LayerSteps {
                linearization: (options.record == Record::Outside).then_some(node.linearization),
                transitions,
                pre,
                probe: Probe::Whole(node.probe),
            });
            below = node.outputs.clone();
            layers.push(node.outputs);
        }
        Some(Self { layers, outputs, state, steps })
    }

    /// The task's loss.
    pub(crate) fn loss(&self, objective: &Objective, chunk: &BatchChunk) -> Tensor<1> {
        objective.loss.value(chunk.judged(&self.outputs))
    }
}

/// A layer's presynaptic values, where they are asked for, in or outside of the graph.
fn presynaptic<C: Cell>(
    layer: &RecurrentLayer<C>,
    inputs: Tensor<3>,
    before: Tensor<2>,
    outputs: &Tensor<3>,
    options: WindowOptions,
) -> Vec<Presynaptic> {
    match options.record {
        Record::InGraph => layer.presynaptic(inputs, before, outputs),
        _ if options.traces => {
            let outputs = outputs.clone().without_autodiff();
            layer.presynaptic(inputs.without_autodiff(), before.without_autodiff(), &outputs)
        }
        _ => Vec::new(),
    }
}

/// The network on the autodiff device.
pub(crate) fn with_autodiff<C: Cell>(network: &Network<C>) -> Network<C> {
    match network.readout.weight.val().is_autodiff() {
        true => network.clone(),
        false => network.clone().train(),
    }
}
