//! A recurrent layer: a population with its synapses, and the ways in which it is run.

use burn::module::{Module, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Tensor, TensorCreationOptions};

use crate::cell::{Cell, CellState, Linearization, SimulatedChunk, SynapticChunk, Transition};
use crate::eligibility::{Presynaptic, Synapses};
use crate::kernel::graph::SimulatedSequence;
use crate::kernel::{self, List};
use crate::steps::{multiply_steps, split_steps};

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
    /// The steps, where they were to be recorded.
    pub(crate) transition: Option<Transition>,
    /// A leaf of zeros for each step, added to z wherever it leaves the neuron, where they were asked for.
    pub(crate) probes: Vec<Tensor<2>>,
}

/// A chunk of one layer's run outside of autodiff.
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
    /// Everything that monitors look at.
    Record,
}

/// How a layer is run.
#[derive(Clone, Copy)]
pub(crate) struct RunOptions {
    /// Which paths stay in the autodiff graph.
    pub(crate) paths: GradientPaths,
    /// Whether to record the steps.
    pub(crate) record: bool,
    /// Whether to add leaves to z, whose gradients are the total derivatives dE/dz.
    pub(crate) probe: bool,
}

impl RunOptions {
    /// A run that records nothing.
    pub(crate) const PLAIN: Self = Self { paths: GradientPaths::ALL, record: false, probe: false };
}

/// Recurrent weights [neurons, currents · neurons] with 0 from each neuron to itself.
pub(crate) fn without_autapses(weights: Tensor<2>) -> Tensor<2> {
    let [neurons, targets] = weights.dims();
    let eye = Tensor::<2>::eye(neurons, &weights.device()).cast(weights.dtype());
    weights.clone() - weights * eye.repeat_dim(1, targets / neurons)
}

impl<C: Cell> RecurrentLayer<C> {
    /// W_rec as the dynamics see it: without autapses where the cell has none.
    fn recurrent_weights(&self) -> Tensor<2> {
        let weights = self.w_rec.val();
        if C::AUTAPSES { weights } else { without_autapses(weights) }
    }

    /// Σ W_in x + b of a chunk, by step, [batch, currents · neurons].
    fn input_currents(&self, inputs: &[Tensor<2>]) -> Vec<Tensor<2>> {
        let weights = self.w_in.val();
        let mut currents = multiply_steps(inputs, weights);
        if let Some(bias) = &self.bias {
            let bias = bias.val().unsqueeze();
            currents = currents.into_iter().map(|current| current + bias.clone()).collect();
        }
        currents
    }

    /// Runs the layer through a chunk of inputs, by step, [batch, inputs].
    pub(crate) fn run(&self, state: CellState, inputs: &[Tensor<2>], options: RunOptions) -> LayerRun {
        let w_rec = self.recurrent_weights();
        let neurons = self.cell.neurons();
        let mut recorded = vec![state.detach()];
        let mut currents_at = Vec::new();
        let mut outputs = Vec::new();
        let mut probes = Vec::new();
        let mut before = state;
        for input in self.input_currents(inputs) {
            let recurrent = follow(&before.output, options.paths.recurrent);
            let total = input + recurrent.matmul(w_rec.clone());
            let currents: Vec<_> = match C::CURRENTS {
                1 => vec![total],
                count => {
                    (0..count).map(|current| total.clone().narrow(1, current * neurons, neurons)).collect()
                }
            };
            let seen = CellState { output: follow(&before.output, options.paths.reset), ..before.clone() };
            let mut after = self.cell.step(&seen, &currents);
            if options.record {
                recorded.push(after.detach());
                currents_at.push(currents.into_iter().map(Tensor::without_autodiff).collect());
            }
            if options.probe {
                let probe = after.output.zeros_like().without_autodiff().autodiff().require_grad();
                after.output = after.output + probe.clone();
                probes.push(probe);
            }
            outputs.push(after.output.clone());
            before = after;
        }
        LayerRun {
            outputs,
            state: before,
            transition: options.record.then(|| Transition::between(&recorded, &currents_at)),
            probes,
        }
    }

    /// Runs the layer through a chunk of inputs [steps, batch, inputs] outside of autodiff, by the cell's kernel where
    /// it has one.
    pub(crate) fn advance(&self, state: &mut CellState, inputs: Tensor<3>, purpose: Purpose) -> LayerChunk {
        let before = state.output.clone();
        let simulated = match purpose {
            Purpose::Record => None,
            Purpose::Outputs | Purpose::Traces => self.cell.simulate(&SynapticChunk {
                state: state.clone(),
                inputs: inputs.clone(),
                w_in: self.w_in.val(),
                bias: self.bias.as_ref().map(Param::val),
                w_rec: self.recurrent_weights(),
            }),
        };
        let (outputs, after, linearization, transition) = match simulated {
            Some(SimulatedChunk { outputs, state, linearization, .. }) => {
                (outputs, state, Some(linearization), None)
            }
            None => {
                let options = RunOptions {
                    paths: GradientPaths::LOCAL,
                    record: purpose != Purpose::Outputs,
                    probe: false,
                };
                let run = self.run(state.clone(), &split_steps(inputs.clone()), options);
                let linearization = run.transition.as_ref().map(|transition| self.cell.linearize(transition));
                (Tensor::stack(run.outputs, 0), run.state, linearization, run.transition)
            }
        };
        *state = after;
        let pre =
            if purpose == Purpose::Outputs { Vec::new() } else { self.presynaptic(inputs, before, &outputs) };
        LayerChunk { outputs, pre, linearization, transition }
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

    /// Registers a gradient [pre, currents · neurons] as those of the layer's parameters.
    pub(crate) fn register(&self, gradient: Tensor<2>, gradients: &mut GradientsParams) {
        let inputs = self.w_in.dims()[0];
        let neurons = self.cell.neurons();
        let recurrent = gradient.clone().narrow(0, inputs, neurons);
        let recurrent = if C::AUTAPSES { recurrent } else { without_autapses(recurrent) };
        gradients.register(self.w_in.id, gradient.clone().narrow(0, 0, inputs));
        gradients.register(self.w_rec.id, recurrent);
        if let Some(bias) = &self.bias {
            let row = gradient.narrow(0, inputs + neurons, 1).squeeze_dim::<1>(0);
            gradients.register(bias.id, row);
        }
    }

    /// Runs the layer through a whole sequence [steps, batch, inputs] in its autodiff graph, by the cell's kernel; `None`
    /// where it has none. The graph sees one node. Unless `bounded`, the state leaves the graph.
    pub(crate) fn connect(
        &self,
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
        let (w_in, w_rec) = (self.w_in.val(), self.recurrent_weights());
        let bias = self.bias.as_ref().map(Param::val);
        let simulated = self.cell.valid().simulate(&SynapticChunk {
            state: state.detach(),
            inputs: inputs.clone().without_autodiff(),
            w_in: plain(&w_in),
            bias: bias.clone().map(Tensor::without_autodiff),
            w_rec: plain(&w_rec),
        })?;
        let SimulatedChunk { outputs, state: after, linearization, own_output } = simulated;
        let [steps, batch, neurons] = outputs.dims();
        let columns = C::CURRENTS * neurons;
        let options: TensorCreationOptions = (&outputs.device(), outputs.dtype()).into();
        let mut feedback = match paths.recurrent {
            true => plain(&w_rec).transpose(),
            false => Tensor::zeros([columns, neurons], options.clone()),
        };
        if let Some(weights) = own_output.filter(|_| paths.reset) {
            let eye = Tensor::<2>::eye(neurons, &outputs.device()).cast(outputs.dtype());
            feedback = feedback + eye * weights.unsqueeze();
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
        // All tensors of a node are in the graph, or are constants of it.
        let node = |tensor: Tensor<2>| tensor.into_dispatch();
        let sequence = SimulatedSequence {
            bias: bias.unwrap_or_else(|| Tensor::zeros([columns], options)).into_dispatch(),
            inputs: inputs.into_dispatch(),
            w_in: node(w_in),
            w_rec: node(w_rec),
            probe: probe.clone().map_or_else(|| plain(&state.output).into_dispatch(), Tensor::into_dispatch),
            hidden: node(hidden),
            end: List::lower(after.hidden.iter().filter(|_| bounded).cloned()),
            gain: List::lower(gain),
            outputs: outputs.into_dispatch(),
            before: node(before),
            coefficients: List::lower(coefficients),
            feedback: node(feedback),
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
