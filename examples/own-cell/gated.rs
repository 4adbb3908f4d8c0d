//! A gated unit in the manner of the GRU (Cho et al. 2014), with nothing but its step.
//!
//! $$ u, r = \sigma(I_u), \sigma(I_r), \quad n = \tanh(I_n + r\,h^{t-1}), \quad h^t = u\,h^{t-1} + (1 - u)\,n, \quad z^t = h^t $$
//!
//! A GRU's reset gate acts on all outputs before they are weighted, which couples neurons inside the step. A [`Cell`] is local to a neuron:
//! what comes from others is in the currents, so here r gates the unit's own past alone. The currents are in the order u, r, n.

use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::activation::sigmoid;
use burn_eprop::Cell;
use burn_eprop::cell::CellState;

/// Initial bias of u: units remember for about 1 / (1 − σ(3)) = 21 steps before they learn to do so for longer.
const UPDATE_BIAS: f64 = 3.0;

/// A population of such units.
#[derive(Module, Debug)]
pub(crate) struct Gated {
    #[module(skip)]
    neurons: usize,
}

impl Gated {
    /// So many units.
    pub(crate) fn new(neurons: usize) -> Self {
        Self { neurons }
    }
}

// ANCHOR: cell
impl Cell for Gated {
    const CURRENTS: usize = 3;
    const HIDDEN: usize = 1;
    const AUTAPSES: bool = true;

    fn neurons(&self) -> usize {
        self.neurons
    }

    fn initial_bias(&self) -> Option<Vec<f64>> {
        let update = vec![UPDATE_BIAS; self.neurons];
        Some([update, vec![0.0; 2 * self.neurons]].concat())
    }

    fn step(&self, state: &CellState, currents: &[Tensor<2>]) -> CellState {
        let [u, r] = [0, 1].map(|gate| sigmoid(currents[gate].clone()));
        let before = state.hidden[0].clone();
        let n = (currents[2].clone() + r * before.clone()).tanh();
        let h = n.clone() + u * (before - n);
        CellState { output: h.clone(), hidden: vec![h], carried: vec![] }
    }
}
// ANCHOR_END: cell
