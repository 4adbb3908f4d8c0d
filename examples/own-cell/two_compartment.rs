//! A spiking neuron with two compartments: a fast soma, and a slow dendrite that remembers.
//!
//! $$ d^t = \gamma d^{t-1} + \zeta I_d^t, \qquad v^t = \alpha v^{t-1} + I_v^t + \kappa \tanh(d^t) - \theta z^{t-1}, \qquad
//!    z^t = 1[v^t > \theta] $$
//!
//! The two currents are in the order soma, dendrite; the hidden values are v, d.

use burn::module::Module;
use burn::tensor::Tensor;
use burn_eprop::Cell;
use burn_eprop::cell::{CellState, Constants, Linearization, Transition, linearize_by_autodiff};
use burn_eprop::surrogate::PseudoDerivative;

const SOMA_DECAY: f64 = 0.9; // α
const DENDRITE_DECAY: f64 = 0.997; // γ
const DENDRITE_GAIN: f64 = 0.1; // ζ
const COUPLING: f64 = 0.2; // κ
const THRESHOLD: f64 = 0.6; // θ

/// A population of such neurons.
#[derive(Module, Debug)]
pub(crate) struct TwoCompartment {
    #[module(skip)]
    neurons: usize,
    #[module(skip)]
    closed_form: bool,
}

impl TwoCompartment {
    /// Neurons whose derivatives Burn's autodiff finds.
    pub(crate) fn new(neurons: usize) -> Self {
        Self { neurons, closed_form: false }
    }

    /// The same with the derivatives in closed form.
    pub(crate) fn with_closed_form(self) -> Self {
        Self { closed_form: true, ..self }
    }

    /// ψ = ∂z/∂v at a potential v.
    fn psi(v: &Tensor<2>) -> Tensor<2> {
        let u = v.clone().sub_scalar(THRESHOLD).mul_scalar(1.0 / THRESHOLD);
        PseudoDerivative::default().evaluate(u, THRESHOLD)
    }
}

// ANCHOR: step
impl Cell for TwoCompartment {
    const CURRENTS: usize = 2;
    const HIDDEN: usize = 2;
    const AUTAPSES: bool = false;

    fn neurons(&self) -> usize {
        self.neurons
    }

    fn step(&self, state: &CellState, currents: &[Tensor<2>]) -> CellState {
        let [v, d] = [0, 1].map(|hidden| state.hidden[hidden].clone());
        let d = d.mul_scalar(DENDRITE_DECAY) + currents[1].clone().mul_scalar(DENDRITE_GAIN);
        let v = v.mul_scalar(SOMA_DECAY) + currents[0].clone() + d.clone().tanh().mul_scalar(COUPLING)
            - state.output.clone().mul_scalar(THRESHOLD);
        let spikes = v.clone().greater_elem(THRESHOLD).float().cast(v.dtype());
        // y − y is exactly 0, and its derivative with respect to v is ψ.
        let y = v.clone() * Self::psi(&v.clone().detach());
        CellState { output: spikes + (y.clone() - y.detach()), hidden: vec![v, d], carried: vec![] }
    }
    // ANCHOR_END: step

    // ANCHOR: constants
    fn constants(&self) -> Option<Constants> {
        let decays = Constants::new().with("soma_decay", SOMA_DECAY).with("dendrite_decay", DENDRITE_DECAY);
        let gains = decays.with("dendrite_gain", DENDRITE_GAIN).with("coupling", COUPLING);
        Some(gains.with("threshold", THRESHOLD).with("pseudo_derivative", PseudoDerivative::default()))
    }
    // ANCHOR_END: constants

    // ANCHOR: linearize
    // Nothing needs this: without it, e-prop learns the same by the derivatives of `step` that autodiff finds, only slower.
    fn linearize(&self, transition: &Transition) -> Linearization {
        if !self.closed_form {
            return linearize_by_autodiff(self, transition);
        }
        let [v, d] = [0, 1].map(|hidden| transition.after.hidden[hidden].clone());
        let psi = Self::psi(&v);
        let tanh = d.tanh();
        let s = (tanh.clone() * tanh).neg().add_scalar(1.0).mul_scalar(COUPLING); // ∂v/∂d = κ (1 − tanh² d)
        let constant = |value| psi.full_like(value);
        let (by_d, by_current) = (s.clone().mul_scalar(DENDRITE_DECAY), s.mul_scalar(DENDRITE_GAIN));
        Linearization {
            folded: None,
            a: vec![
                vec![Some(constant(SOMA_DECAY)), Some(by_d.clone())],
                vec![None, Some(constant(DENDRITE_DECAY))],
            ],
            b: vec![
                vec![Some(constant(1.0)), Some(by_current.clone())],
                vec![None, Some(constant(DENDRITE_GAIN))],
            ],
            c: vec![Some(psi.clone().mul_scalar(SOMA_DECAY)), Some(psi.clone() * by_d)],
            d: vec![Some(psi.clone()), Some(psi * by_current)],
        }
    }
    // ANCHOR_END: linearize
}

#[cfg(test)]
mod tests {
    use burn::tensor::{DType, Device};
    use burn_eprop::cell::check_cell;

    use super::*;

    #[test]
    fn the_closed_form_is_that_of_the_step() {
        let cell = TwoCompartment::new(5).with_closed_form();
        for scale in [0.1, 0.5, 2.0] {
            check_cell(&cell, (&Device::flex(), DType::F64), scale, 1e-12).unwrap();
        }
    }
}
