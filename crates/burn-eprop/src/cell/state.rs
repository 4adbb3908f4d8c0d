//! The state of a population, and what the engine remembers of a step.

use burn::tensor::{Tensor, TensorCreationOptions};

use super::Linearization;
use crate::carried::{Archive, Carried};

/// State of a population after a step. Each tensor is [batch, neurons].
#[derive(Debug, Clone)]
pub struct CellState {
    /// h, the hidden values through which gradients flow, in the order that the cell documents.
    pub hidden: Vec<Tensor<2>>,
    /// Values carried on without gradient, such as a refractory counter.
    pub carried: Vec<Tensor<2>>,
    /// z, the output: spikes (0 or 1), or an LSTM's hidden output.
    pub output: Tensor<2>,
}

impl CellState {
    /// A state of zeros for [batch, neurons].
    pub fn zeros(shape: [usize; 2], hidden: usize, carried: usize, options: &TensorCreationOptions) -> Self {
        let zeros = Tensor::<2>::zeros(shape, options.clone());
        Self { hidden: vec![zeros.clone(); hidden], carried: vec![zeros.clone(); carried], output: zeros }
    }

    /// The state with `function` applied to each of its tensors.
    pub fn map(&self, function: impl Fn(&Tensor<2>) -> Tensor<2>) -> Self {
        Self {
            hidden: self.hidden.iter().map(&function).collect(),
            carried: self.carried.iter().map(&function).collect(),
            output: function(&self.output),
        }
    }

    /// The state without autodiff: a constant wherever it is used.
    pub fn detach(&self) -> Self {
        self.map(|tensor| tensor.clone().without_autodiff())
    }

    /// States one below the other: row t·B + b is row b of the state t.
    fn stack(states: &[CellState]) -> Self {
        let stack =
            |part: &dyn Fn(&CellState) -> Tensor<2>| Tensor::cat(states.iter().map(part).collect(), 0);
        let first = &states[0];
        Self {
            hidden: (0..first.hidden.len())
                .map(|index| stack(&|state| state.hidden[index].clone()))
                .collect(),
            carried: (0..first.carried.len())
                .map(|index| stack(&|state| state.carried[index].clone()))
                .collect(),
            output: stack(&|state| state.output.clone()),
        }
    }
}

/// Steps of a population, as independent rows: what came in and what came out.
///
/// A chunk of K steps of B batch elements has K·B rows; row t·B + b is step t of element b.
#[derive(Debug, Clone)]
pub struct Transition {
    /// The states before the steps.
    pub before: CellState,
    /// The currents, each [rows, neurons].
    pub currents: Vec<Tensor<2>>,
    /// The states after the steps.
    pub after: CellState,
}

/// What reaches a population in a chunk of K steps, for a cell that [simulates](super::Cell::simulate) it whole.
#[derive(Debug, Clone)]
pub struct SynapticChunk {
    /// The state before the first step.
    pub state: CellState,
    /// x, [steps, batch, inputs].
    pub inputs: Tensor<3>,
    /// W_in, [1, inputs, currents · neurons], or [batch, inputs, currents · neurons] where each sequence has its own weights.
    pub w_in: Tensor<3>,
    /// b, [1 or batch, currents · neurons].
    pub bias: Option<Tensor<2>>,
    /// W_rec, [1 or batch, neurons, currents · neurons], without autapses where the cell has none.
    pub w_rec: Tensor<3>,
}

impl SynapticChunk {
    /// Whether all sequences have the same weights.
    pub fn shares_weights(&self) -> bool {
        self.w_in.dims()[0] == 1
    }

    /// The chunk without autodiff.
    pub(crate) fn detach(&self) -> Self {
        Self {
            state: self.state.detach(),
            inputs: self.inputs.clone().without_autodiff(),
            w_in: self.w_in.clone().without_autodiff(),
            bias: self.bias.clone().map(Tensor::without_autodiff),
            w_rec: self.w_rec.clone().without_autodiff(),
        }
    }
}

/// A chunk, simulated.
#[derive(Debug, Clone)]
pub struct SimulatedChunk {
    /// z, [steps, batch, neurons].
    pub outputs: Tensor<3>,
    /// The state after the last step.
    pub state: CellState,
    /// The derivatives of the steps, whose rows are steps · batch.
    pub linearization: Linearization,
    /// What z^{t−1} does to the step besides the recurrent current (the reset), as a weight onto each neuron's current,
    /// `[neurons]`.
    pub own_output: Option<Tensor<1>>,
}

impl Transition {
    /// The steps between successive states, given the currents of each step, each [batch, neurons].
    ///
    /// # Panics
    ///
    /// If there is not one state more than there are steps, or there is no step.
    #[track_caller]
    pub fn between(states: &[CellState], currents: &[Vec<Tensor<2>>]) -> Self {
        let steps = currents.len();
        assert_eq!(states.len(), steps + 1, "{} states around {steps} steps", states.len());
        let batch = states[0].output.dims()[0];
        let stacked = CellState::stack(states);
        let from =
            |state: usize| stacked.map(|tensor| tensor.clone().narrow(0, state * batch, steps * batch));
        let current = |index: usize| currents.iter().map(|at_step| at_step[index].clone()).collect();
        Self {
            before: from(0),
            after: from(1),
            currents: (0..currents[0].len()).map(|index| Tensor::cat(current(index), 0)).collect(),
        }
    }
}

impl Carried for CellState {
    fn visit(&mut self, archive: &mut Archive) {
        for (index, hidden) in self.hidden.iter_mut().enumerate() {
            archive.tensor(&format!("hidden.{index}"), hidden);
        }
        for (index, carried) in self.carried.iter_mut().enumerate() {
            archive.tensor(&format!("carried.{index}"), carried);
        }
        archive.tensor("output", &mut self.output);
    }
}
