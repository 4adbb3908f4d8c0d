//! A recurrent layer: a population with its synapses, and the ways in which it is run.

use burn::module::{Module, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Tensor, TensorCreationOptions};

use crate::cell::{Cell, CellState, Linearization, SimulatedChunk, SynapticChunk, Transition};
use crate::eligibility::{Presynaptic, Synapses};
use crate::gradients::register;
use crate::kernel::graph::SimulatedSequence;
use crate::kernel::{self, List};
use crate::steps::split_steps;
use crate::weights::LayerWeights;

/// A population with its synapses: inputs, recurrent connections and bias.
#[derive(Module, Debug)]
pub struct RecurrentLayer<C: Module> {
    /// The neurons.
    pub cell: C,
    /// W_in, [inputs, currents · neurons]; the neurons of one current stand together.
    pub w_in: Param<Tensor<2>>,
    /// W_rec, [neurons, currents · neurons].
    pub w_rec: Param<Tensor<2>>,
    /// b, [currents · neurons].
    pub bias: Option<Param<Tensor<1>>>,
}

/// The paths, besides those inside a neuron, along which autodiff follows the gradient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GradientPaths {
    /// Through z^{t−1} where it enters the recurrent current.
    pub recurrent: bool,
    /// Through z^{t−1} where it resets the neuron.
    pub reset: bool,
    /// From a layer's output into the layer above.
    pub between_layers: bool,
}

impl GradientPaths {
    /// All of them: back-propagation through time.
    pub const ALL: Self = Self { recurrent: true, reset: true, between_layers: true };

    /// None of them: what e-prop keeps.
    pub const LOCAL: Self = Self { recurrent: false, reset: false, between_layers: false };

    /// The same without the reset's path.
    pub const fn without_reset(self) -> Self {
        Self { reset: false, ..self }
    }
}

/// A chunk of one layer's run.
pub(crate) struct LayerRun {
    /// z by step, [batch, neurons].
    pub(crate) outputs: Vec<Tensor<2>>,
    /// The state after the last step.
    pub(crate) state: CellState,
    /// The steps, where they were to be recorded: together, or one by one in the graph.
    pub(crate) transitions: Vec<Transition>,
    /// A leaf of zeros for each step, added to z wherever it leaves the neuron, where they were asked for.
    pub(crate) probes: Vec<Tensor<2>>,
}

/// A chunk of one layer's run outside of autodiff.
#[derive(Debug, Clone)]
pub(crate) struct LayerChunk {
    /// z, [steps, batch, neurons].
    pub(crate) outputs: Tensor<3>,
    /// Presynaptic values, side by side: inputs, the layer's own outputs one step ago, and 1 for a bias.
    pub(crate) pre: Vec<Presynaptic>,
    /// The derivatives of the steps, unless outputs alone were asked for.
    pub(crate) linearization: Option<Linearization>,
    /// The steps, where they were to be recorded.
    pub(crate) transition: Option<Transition>,
}

/// A layer's run as one node of the graph.
pub(crate) struct LayerNode {
    /// z, [steps, batch, neurons].
    pub(crate) outputs: Tensor<3>,
    /// What has the total derivatives dE/dz as its gradient, where the node is bounded.
    pub(crate) probe: Option<Tensor<3>>,
    /// The derivatives of the steps.
    pub(crate) linearization: Linearization,
}

/// What a run outside of autodiff is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Outputs alone.
    Outputs,
    /// The derivatives of the steps as well.
    Traces,
    /// The steps as well.
    Steps,
    /// Everything that monitors look at, by the cell's own steps.
    Record,
}

/// Whether and how the steps of a run are recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Record {
    /// Not at all.
    Nothing,
    /// Outside of the graph, all steps together.
    Outside,
    /// In the graph, one by one: cutting many steps apart again would take time in proportion to the square of their number.
    InGraph,
}

/// How a layer is run.
#[derive(Clone, Copy)]
pub(crate) struct RunOptions {
    /// Which paths stay in the autodiff graph.
    pub(crate) paths: GradientPaths,
    /// Whether to record the steps.
    pub(crate) record: Record,
    /// Whether to add leaves to z, whose gradients are the total derivatives dE/dz.
    pub(crate) probe: bool,
}

impl RunOptions {
    /// A run that records nothing.
    pub(crate) const PLAIN: Self = Self { paths: GradientPaths::ALL, record: Record::Nothing, probe: false };
}

/// Recurrent weights [.., neurons, currents · neurons] with 0 from each neuron to itself.
pub(crate) fn without_autapses<const D: usize>(weights: Tensor<D>) -> Tensor<D> {
    let (neurons, targets) = (weights.dims()[D - 2], weights.dims()[D - 1]);
    let eye = Tensor::<2>::eye(neurons, &weights.device()).cast(weights.dtype());
    let others = eye.repeat_dim(1, targets / neurons).neg().add_scalar(1.0);
    weights * others.unsqueeze()
}

impl<C: Cell> RecurrentLayer<C> {
    /// The weights as the dynamics see them: without autapses where the cell has none.
    pub(crate) fn weights(&self) -> LayerWeights {
        let w_rec = self.w_rec.val();
        LayerWeights::shared(
            self.w_in.val(),
            if C::AUTAPSES { w_rec } else { without_autapses(w_rec) },
            self.bias.as_ref().map(Param::val),
        )
    }

    /// Runs the layer with some weights through a chunk of inputs, by step, [batch, inputs].
    pub(crate) fn run(
        &self,
        weights: &LayerWeights,
        state: CellState,
        inputs: &[Tensor<2>],
        options: RunOptions,
    ) -> LayerRun {
        let neurons = self.cell.neurons();
        let mut recorded = vec![state.detach()];
        let mut currents_at = Vec::new();
        let mut transitions = Vec::new();
        let mut outputs = Vec::new();
        let mut probes = Vec::new();
        let mut before = state;
        for input in weights.input_currents(inputs) {
            let recurrent = follow(&before.output, options.paths.recurrent);
            let total = input + weights.w_rec.multiply(recurrent);
            let currents: Vec<_> = match C::CURRENTS {
                1 => vec![total],
                count => {
                    (0..count).map(|current| total.clone().narrow(1, current * neurons, neurons)).collect()
                }
            };
            let seen = CellState { output: follow(&before.output, options.paths.reset), ..before.clone() };
            let mut after = self.cell.step(&seen, &currents);
            match options.record {
                Record::Nothing => {}
                Record::Outside => {
                    recorded.push(after.detach());
                    currents_at.push(currents.into_iter().map(Tensor::without_autodiff).collect());
                }
                Record::InGraph => {
                    transitions.push(Transition { before: seen, currents, after: after.clone() });
                }
            }
            if options.probe {
                let probe = after.output.zeros_like().without_autodiff().autodiff().require_grad();
                after.output = after.output + probe.clone();
                probes.push(probe);
            }
            outputs.push(after.output.clone());
            before = after;
        }
        if options.record == Record::Outside {
            transitions.push(Transition::between(&recorded, &currents_at));
        }
        LayerRun { outputs, state: before, transitions, probes }
    }

    /// Runs the layer through a chunk of inputs [steps, batch, inputs] outside of autodiff, by the cell's kernel where
    /// it has one.
    pub(crate) fn advance(&self, state: &mut CellState, inputs: Tensor<3>, purpose: Purpose) -> LayerChunk {
        let before = state.output.clone();
        let weights = self.weights();
        let simulated = match purpose {
            Purpose::Record => None,
            Purpose::Steps => self.simulate_and_replay(&weights, state, &inputs),
            Purpose::Outputs | Purpose::Traces => {
                let chunk = weights.chunk(state.clone(), inputs.clone());
                self.cell.simulate(&chunk).map(|chunk| (chunk, None))
            }
        };
        let (outputs, after, linearization, transition) = match simulated {
            Some((SimulatedChunk { outputs, state, linearization, .. }, transition)) => {
                (outputs, state, Some(linearization), transition)
            }
            None => {
                let record = if purpose == Purpose::Outputs { Record::Nothing } else { Record::Outside };
                let options = RunOptions { paths: GradientPaths::LOCAL, record, probe: false };
                let mut run = self.run(&weights, state.clone(), &split_steps(inputs.clone()), options);
                let transition = run.transitions.pop();
                let linearization = transition.as_ref().map(|transition| self.cell.linearize(transition));
                (Tensor::stack(run.outputs, 0), run.state, linearization, transition)
            }
        };
        *state = after;
        let pre =
            if purpose == Purpose::Outputs { Vec::new() } else { self.presynaptic(inputs, before, &outputs) };
        LayerChunk { outputs, pre, linearization, transition }
    }

    /// A chunk by the cell's kernel, and its steps; `None` where it has no kernel or cannot replay them.
    fn simulate_and_replay(
        &self,
        weights: &LayerWeights,
        state: &CellState,
        inputs: &Tensor<3>,
    ) -> Option<(SimulatedChunk, Option<Transition>)> {
        if !self.cell.can_replay() || !kernel::is_on_cpu(inputs) {
            return None;
        }
        let simulated = self.cell.simulate(&weights.chunk(state.clone(), inputs.clone()))?;
        let pre = self.presynaptic(inputs.clone(), state.output.clone(), &simulated.outputs);
        let currents = weights.currents(&pre, C::CURRENTS);
        let transition = self.cell.replay(state, &currents, &simulated.outputs)?;
        Some((simulated, Some(transition)))
    }

    /// Inputs, the layer's own outputs one step ago, and 1 for a bias.
    pub(crate) fn presynaptic(
        &self,
        inputs: Tensor<3>,
        before: Tensor<2>,
        outputs: &Tensor<3>,
    ) -> Vec<Presynaptic> {
        let [steps, batch, _] = inputs.dims();
        let ones = || Tensor::ones([steps, batch, 1], (&inputs.device(), inputs.dtype()));
        let ones = self.bias.is_some().then(ones).map(Presynaptic::AtOnce);
        let own = Presynaptic::Delayed { values: outputs.clone(), before };
        [Presynaptic::AtOnce(inputs), own].into_iter().chain(ones).collect()
    }

    /// The synapses of a batch of this size.
    pub(crate) fn synapses(&self, batch: usize) -> Synapses {
        let ([inputs, _], post) = (self.w_in.dims(), self.cell.neurons());
        Synapses { batch, pre: inputs + post + usize::from(self.bias.is_some()), post, currents: C::CURRENTS }
    }

    /// The derivatives of a first step without currents: which of them there are is the same at every step.
    pub(crate) fn linearization(&self) -> Linearization {
        let (cell, weights) = (self.cell.valid(), self.w_in.val().without_autodiff());
        let options: TensorCreationOptions = (&weights.device(), weights.dtype()).into();
        let before = cell.initial_state(1, &options);
        let currents = vec![Tensor::zeros([1, cell.neurons()], options); C::CURRENTS];
        let after = cell.step(&before, &currents);
        cell.linearize(&Transition { before, currents, after })
    }

    /// Registers a gradient [pre, currents · neurons] as those of the layer's trained parameters.
    pub(crate) fn register(&self, gradient: Tensor<2>, gradients: &mut GradientsParams) {
        let inputs = self.w_in.dims()[0];
        let neurons = self.cell.neurons();
        let recurrent = gradient.clone().narrow(0, inputs, neurons);
        let recurrent = if C::AUTAPSES { recurrent } else { without_autapses(recurrent) };
        register(gradients, &self.w_in, gradient.clone().narrow(0, 0, inputs));
        register(gradients, &self.w_rec, recurrent);
        if let Some(bias) = &self.bias {
            register(gradients, bias, gradient.narrow(0, inputs + neurons, 1).squeeze_dim::<1>(0));
        }
    }

    /// Runs the layer with some weights through a whole sequence [steps, batch, inputs] in its autodiff graph, by the cell's
    /// kernel; `None` where it has none. The graph sees one node. Unless `bounded`, the state leaves the graph.
    pub(crate) fn connect(
        &self,
        weights: &LayerWeights,
        state: &mut CellState,
        inputs: Tensor<3>,
        paths: GradientPaths,
        bounded: bool,
    ) -> Option<LayerNode> {
        let exchanged = C::CURRENTS * self.cell.neurons();
        if !kernel::is_supported_with(&inputs.clone().without_autodiff(), exchanged) {
            return None;
        }
        let plain = |tensor: &Tensor<2>| tensor.clone().without_autodiff();
        let chunk = weights.chunk(state.clone(), inputs.clone());
        let simulated = self.cell.valid().simulate(&chunk.detach())?;
        let SimulatedChunk { outputs, state: after, linearization, own_output } = simulated;
        let [steps, batch, neurons] = outputs.dims();
        let columns = C::CURRENTS * neurons;
        let options: TensorCreationOptions = (&outputs.device(), outputs.dtype()).into();
        let mut feedback = match paths.recurrent {
            true => chunk.w_rec.clone().without_autodiff().swap_dims(1, 2),
            false => Tensor::zeros([1, columns, neurons], options.clone()),
        };
        if let Some(reset) = own_output.filter(|_| paths.reset) {
            let eye = Tensor::<2>::eye(neurons, &outputs.device()).cast(outputs.dtype());
            feedback = feedback + (eye * reset.unsqueeze()).unsqueeze();
        }
        let before = if bounded { state.output.clone() } else { plain(&state.output) };
        let (hidden, probe) = match bounded {
            true => {
                let probe = Tensor::<3>::zeros([steps, batch, neurons], options.clone());
                (Tensor::cat(state.hidden.clone(), 1), Some(probe.autodiff().require_grad()))
            }
            false => (plain(&state.output), None),
        };
        let (plan, coefficients) = kernel::plan(&linearization);
        let gain = linearization.folded.as_ref().map(|folded| folded.gain.clone());
        let SynapticChunk { w_in, w_rec, bias, .. } = chunk;
        // All tensors of a node are in the graph, or are constants of it.
        let sequence = SimulatedSequence {
            bias: bias.unwrap_or_else(|| Tensor::zeros([1, columns], options)).into_dispatch(),
            inputs: inputs.into_dispatch(),
            w_in: w_in.into_dispatch(),
            w_rec: w_rec.into_dispatch(),
            probe: probe.clone().map_or_else(|| plain(&state.output).into_dispatch(), Tensor::into_dispatch),
            hidden: hidden.into_dispatch(),
            end: List::lower(after.hidden.iter().filter(|_| bounded).cloned()),
            gain: List::lower(gain),
            outputs: outputs.into_dispatch(),
            before: before.into_dispatch(),
            coefficients: List::lower(coefficients),
            feedback: feedback.into_dispatch(),
        };
        let results = kernel::connect(sequence, plan, bounded);
        *state = after;
        let outputs = if bounded { results.clone().narrow(0, 0, steps) } else { results.clone() };
        if bounded {
            let row = |index: usize| results.clone().narrow(0, index, 1).squeeze_dim::<2>(0);
            state.output = row(steps - 1);
            state.hidden = (0..C::HIDDEN).map(|index| row(steps + index)).collect();
        }
        Some(LayerNode { outputs, probe, linearization })
    }
}

/// A tensor with or without its graph.
fn follow(tensor: &Tensor<2>, with_gradient: bool) -> Tensor<2> {
    if with_gradient { tensor.clone() } else { tensor.clone().detach() }
}
