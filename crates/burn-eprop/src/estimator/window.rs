//! A forward run through some steps in the autodiff graph: what BPTT, truncated BPTT and e-prop 3 have in common.

use burn::module::Module;
use burn::tensor::{Gradients, Tensor};

use crate::batch::BatchChunk;
use crate::cell::{Cell, Linearization};
use crate::eligibility::Presynaptic;
use crate::loss::Objective;
use crate::network::{GradientPaths, LayerNode, Network, NetworkState, RunOptions};
use crate::steps::{join_layers, split_steps};

/// How a window is run.
#[derive(Debug, Clone, Copy)]
pub(super) struct WindowOptions {
    /// Along which paths gradients flow.
    pub(super) paths: GradientPaths,
    /// Whether a cell's kernel may stand for its steps.
    pub(super) kernels: bool,
    /// Whether gradients reach and leave the states at the window's start and end.
    pub(super) bounded: bool,
    /// Whether total derivatives dE/dz and presynaptic values are asked for.
    pub(super) traces: bool,
    /// Whether the derivatives of the steps are asked for.
    pub(super) linearize: bool,
}

impl WindowOptions {
    /// A run along all paths, by kernels, for nothing but gradients.
    pub(super) const PLAIN: Self =
        Self { paths: GradientPaths::ALL, kernels: true, bounded: false, traces: false, linearize: false };
}

/// A window that has been run.
pub(super) struct Window {
    /// z of each layer, [steps, batch, neurons].
    pub(super) layers: Vec<Tensor<3>>,
    /// y, [steps, batch, outputs].
    pub(super) outputs: Tensor<3>,
    /// The state after the last step.
    pub(super) state: NetworkState,
    /// What was asked for of each layer, outside of the graph.
    pub(super) steps: Vec<LayerSteps>,
}

/// What e-prop needs to know of a layer's steps.
pub(super) struct LayerSteps {
    /// The derivatives of the steps.
    pub(super) linearization: Option<Linearization>,
    /// Presynaptic values, side by side.
    pub(super) pre: Vec<Presynaptic>,
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
    pub(super) fn total_derivatives(&self, gradients: &Gradients) -> Tensor<3> {
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
    /// Runs a network through a chunk of a batch, by kernels where it may and can.
    pub(super) fn run<C: Cell>(
        network: &Network<C>,
        mut state: NetworkState,
        chunk: &BatchChunk,
        options: WindowOptions,
    ) -> Self {
        let WindowOptions { paths, kernels, bounded, traces, linearize } = options;
        let bounded = bounded || traces;
        if kernels {
            let before = state.clone();
            if let Some((nodes, outputs)) = network.connect(&mut state, chunk.inputs.clone(), paths, bounded)
            {
                return Self::of_nodes(network, before, chunk, nodes, outputs, state, options);
            }
        }
        let run_options = RunOptions { paths, record: linearize, probe: traces };
        let mut below = split_steps(chunk.inputs.clone());
        let mut below_outside = chunk.inputs.clone();
        let mut layers = Vec::with_capacity(network.layers.len());
        let mut steps = Vec::new();
        for (layer, state) in network.layers.iter().zip(&mut state.layers) {
            let before = state.output.clone().without_autodiff();
            let run = layer.run(state.clone(), &below, run_options);
            *state = run.state;
            let outputs: Tensor<3> = Tensor::stack(run.outputs.clone(), 0);
            let outside = outputs.clone().without_autodiff();
            steps.push(LayerSteps {
                linearization: run.transition.map(|transition| layer.cell.valid().linearize(&transition)),
                pre: if traces { layer.presynaptic(below_outside, before, &outside) } else { Vec::new() },
                probe: Probe::Steps(run.probes),
            });
            below_outside = outside;
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

    /// The same, of layers that are nodes of the graph.
    fn of_nodes<C: Cell>(
        network: &Network<C>,
        before: NetworkState,
        chunk: &BatchChunk,
        nodes: Vec<LayerNode>,
        outputs: Tensor<3>,
        state: NetworkState,
        options: WindowOptions,
    ) -> Self {
        let mut below = chunk.inputs.clone();
        let mut layers = Vec::with_capacity(nodes.len());
        let mut steps = Vec::new();
        for ((layer, before), node) in network.layers.iter().zip(before.layers).zip(nodes) {
            let outside = node.outputs.clone().without_autodiff();
            let before = before.output.without_autodiff();
            steps.push(LayerSteps {
                linearization: options.linearize.then_some(node.linearization),
                pre: if options.traces { layer.presynaptic(below, before, &outside) } else { Vec::new() },
                probe: Probe::Whole(node.probe),
            });
            below = outside;
            layers.push(node.outputs);
        }
        Self { layers, outputs, state, steps }
    }

    /// The task's loss.
    pub(super) fn loss(&self, objective: &Objective, chunk: &BatchChunk) -> Tensor<1> {
        let (targets, weight) = (chunk.targets.clone(), chunk.weight.clone());
        objective.loss.value(self.outputs.clone(), targets, weight)
    }
}

/// The network on the autodiff device.
pub(super) fn with_autodiff<C: Cell>(network: &Network<C>) -> Network<C> {
    match network.readout.weight.val().is_autodiff() {
        true => network.clone(),
        false => network.clone().train(),
    }
}
