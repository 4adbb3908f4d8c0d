//! Cells: the dynamics of one population of neurons, and their neuron-local linearisation.
//!
//! A cell maps the hidden values of a neuron at step t−1, its synaptic currents at step t and its
//! own output at step t−1 to the hidden values and the output at step t:
//!
//! `(h^{t−1}, I^t, z^{t−1}) → (h^t, z^t)`.
//!
//! The map is local to a neuron and to a batch element; synapses, and with them everything that
//! connects neurons, belong to the [`RecurrentLayer`](crate::network::RecurrentLayer). The
//! derivatives of this map are all that e-prop needs to know of a cell (Bellec et al. 2019,
//! arXiv:1901.09049, section "Eligibility traces"), see [`Linearization`].
//!
//! A new cell is a module with a [`step`](Cell::step); the default
//! [`linearize`](Cell::linearize) differentiates it. A closed form is faster, and
//! [`check_cell`] holds it against autodiff.

pub mod alif;
mod check;
mod constants;
mod firing;
pub mod lif;
mod linearization;
pub mod lstm;
mod state;

pub use alif::{Alif, AlifConfig};
pub use check::{LinearizationError, check_cell};
pub use constants::Constants;
pub use firing::InputNormalization;
pub use lif::{Lif, LifConfig};
pub(crate) use linearization::LocalJacobian;
pub use linearization::{Folded, Linearization, linearize_by_autodiff};
pub use lstm::{Lstm, LstmConfig};
pub use state::{CellState, SimulatedChunk, SynapticChunk, Transition};

use burn::module::{Module, ModuleDisplay};
use burn::tensor::{Tensor, TensorCreationOptions};

use crate::readout::LeakyReadoutConfig;

/// A population of neurons.
///
/// The constants say how much state a neuron has; [`step`](Self::step) is its dynamics. The step
/// must treat neurons and batch elements (rows) independently of each other.
pub trait Cell: Module + ModuleDisplay + Sync {
    /// G, the number of synaptic currents of a neuron: 1, or the number of gates.
    const CURRENTS: usize;
    /// d, the number of hidden values of a neuron through which gradients flow.
    const HIDDEN: usize;
    /// Number of values carried from step to step without gradient.
    const CARRIED: usize = 0;
    /// Whether a neuron may project onto itself. Where not, the diagonal of the recurrent weights
    /// is held at 0.
    const AUTAPSES: bool;

    /// Number of neurons N.
    fn neurons(&self) -> usize;

    /// The constants of [`step`](Self::step), by name: [files of weights](crate::interchange) and [checkpoints](crate::checkpoint),
    /// which otherwise hold parameters alone, say them, and are refused by a cell with others. `None` where a cell does not say:
    /// then a file has the name of its type only.
    ///
    /// Initial values are no constants.
    fn constants(&self) -> Option<Constants> {
        None
    }

    /// Duration of a step in ms; `None` for a cell whose constants do not depend on it.
    fn dt_ms(&self) -> Option<f64> {
        None
    }

    /// The readout of a network that was not given one: leaky, with 20 ms, in steps of [`dt_ms`](Self::dt_ms) (of 1 ms where
    /// the cell has none). An LSTM, whose outputs are no spikes, has a linear one.
    fn default_readout(&self) -> LeakyReadoutConfig {
        LeakyReadoutConfig::new().with_dt_ms(self.dt_ms().unwrap_or(1.0))
    }

    /// Initial values of the bias of each current, [currents · neurons] with the neurons of one
    /// current together; `None` for a cell without bias.
    fn initial_bias(&self) -> Option<Vec<f64>> {
        None
    }

    /// The state before the first step: zeros, unless a cell says otherwise. All sequences start alike: a batch may be gone
    /// through in parts, each with an initial state of its own size.
    fn initial_state(&self, batch: usize, options: &TensorCreationOptions) -> CellState {
        CellState::zeros([batch, self.neurons()], Self::HIDDEN, Self::CARRIED, options)
    }

    /// One step: from the state at t−1 and the currents at t, each [batch, neurons], to the state
    /// at t.
    ///
    /// `state.output` is z^{t−1}, for the reset and the like. No eligibility trace runs through
    /// it: what it contributes belongs to the learning signal.
    fn step(&self, state: &CellState, currents: &[Tensor<2>]) -> CellState;

    /// The derivatives of the steps in `transition`, whose rows are independent of each other.
    fn linearize(&self, transition: &Transition) -> Linearization {
        linearize_by_autodiff(self, transition)
    }

    /// Whether [`simulate`](Self::simulate) has a kernel for these neurons on devices with kernels.
    fn has_kernel(&self) -> bool {
        false
    }

    /// Simulates a chunk by a kernel of the cell's own; `None` where there is none for the device, the type, the cell's
    /// constants, or weights that are not [the same for all sequences](SynapticChunk::shares_weights). Then
    /// [`step`](Self::step) and [`linearize`](Self::linearize) do.
    fn simulate(&self, _chunk: &SynapticChunk) -> Option<SimulatedChunk> {
        None
    }

    /// Whether [`replay`](Self::replay) may know a way.
    fn can_replay(&self) -> bool {
        false
    }

    /// The steps from a state on, of which the outputs are known, without going through them one by one: in the autodiff graph of the
    /// state, the currents and the outputs, each [steps, batch, neurons], if they are in one. `None` where the cell knows no
    /// way to do so.
    fn replay(
        &self,
        _before: &CellState,
        _currents: &[Tensor<3>],
        _outputs: &Tensor<3>,
    ) -> Option<Transition> {
        None
    }

    /// How far the membrane potential is beyond what [voltage regularisation](crate::loss::VoltageRegularization) asks for after the steps
    /// in `transition`, [rows, neurons]: v − Θ where that is positive, v + θ where that is negative, and 0 between. `None` for a
    /// cell without such a potential.
    ///
    /// v must be the first hidden value, and Θ be detached from the autodiff graph: e-prop takes the excess itself for the derivative of half
    /// its square with respect to v.
    fn voltage_excess(&self, _transition: &Transition) -> Option<Tensor<2>> {
        None
    }

    /// Named quantities to record at the steps in `transition`, each [rows, neurons].
    fn monitors(&self, _transition: &Transition) -> Vec<(&'static str, Tensor<2>)> {
        Vec::new()
    }
}
