//! A cell as a user would write it: its step, and nothing derived by hand.
//!
//! A dendrite d drives a soma v, which acts back on it:
//!
//! $$ d^t = \gamma d^{t-1} + \tanh(I_d^t) - \eta v^{t-1}, \qquad
//!    v^t = \alpha v^{t-1} + I_v^t + \tanh(d^t) - \theta z^{t-1}, \qquad z^t = 1[v^t > \theta] $$
//!
//! The two currents are in the order soma, dendrite; the hidden values v, d.

use burn::module::Module;
use burn::tensor::Tensor;
use burn_eprop::Cell;
use burn_eprop::cell::CellState;
use burn_eprop::surrogate::PseudoDerivative;

const SOMA_DECAY: f64 = 0.85;
const DENDRITE_DECAY: f64 = 0.7;
const BACK_ACTION: f64 = 0.1;
const THRESHOLD: f64 = 0.7;

/// Configuration of a [`TwoCompartment`] population.
#[derive(Debug, Clone)]
pub struct TwoCompartmentConfig {
    /// Number of neurons.
    pub neurons: usize,
    /// Pseudo-derivative of the spike.
    pub pseudo_derivative: PseudoDerivative,
    /// Whether currents have a bias.
    pub bias: bool,
}

/// A population of neurons with a soma and a dendrite; see the [module](self) for its equations.
#[derive(Module, Debug)]
pub struct TwoCompartment {
    #[module(skip)]
    neurons: usize,
    #[module(skip)]
    pseudo_derivative: PseudoDerivative,
    #[module(skip)]
    bias: bool,
}

impl TwoCompartmentConfig {
    /// The population.
    pub fn init(self) -> TwoCompartment {
        let Self { neurons, pseudo_derivative, bias } = self;
        TwoCompartment { neurons, pseudo_derivative, bias }
    }
}

impl Cell for TwoCompartment {
    const CURRENTS: usize = 2;
    const HIDDEN: usize = 2;
    const AUTAPSES: bool = false;

    fn neurons(&self) -> usize {
        self.neurons
    }

    fn initial_bias(&self) -> Option<Vec<f64>> {
        self.bias.then(|| vec![0.0; Self::CURRENTS * self.neurons])
    }

    fn step(&self, state: &CellState, currents: &[Tensor<2>]) -> CellState {
        let [v, d] = [0, 1].map(|hidden| state.hidden[hidden].clone());
        let d = d.mul_scalar(DENDRITE_DECAY) + currents[1].clone().tanh() - v.clone().mul_scalar(BACK_ACTION);
        let v = v.mul_scalar(SOMA_DECAY) + currents[0].clone() + d.clone().tanh()
            - state.output.clone().mul_scalar(THRESHOLD);
        let u = v.clone().sub_scalar(THRESHOLD).mul_scalar(1.0 / THRESHOLD);
        let spikes = u.clone().greater_elem(0.0).float().cast(u.dtype());
        // y − y is exactly 0 and has the derivative ψ with respect to v.
        let psi = self.pseudo_derivative.evaluate(u.detach(), THRESHOLD);
        let y = v.clone() * psi.detach();
        CellState { output: spikes + (y.clone() - y.detach()), hidden: vec![v, d], carried: vec![] }
    }
}
