//! What spiking cells share: threshold crossing, refractoriness and the pseudo-derivative.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::CellState;
use crate::constant::Constant;
use crate::error::ConfigError;
use crate::surrogate::PseudoDerivative;

/// Factor ζ of the synaptic current in a leaky membrane, `v^t = α v^{t−1} + ζ I^t`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InputNormalization {
    /// ζ = 1.
    Unit,
    /// ζ = 1 − α: a constant current I drives v towards I.
    OneMinusDecay,
}

impl InputNormalization {
    /// ζ for the decay α.
    pub(super) fn factor(self, decay: &Constant) -> Constant {
        match self {
            Self::Unit => Constant::Shared(1.0),
            Self::OneMinusDecay => decay.map(|alpha| 1.0 - alpha),
        }
    }
}

/// Threshold crossing of a spiking cell with base threshold θ. The refractory counter is the
/// first (and only) carried value of the cell's state.
#[derive(Debug, Clone)]
pub(super) struct Firing {
    pub(super) threshold: f64,
    pub(super) refractory_steps: usize,
    pub(super) pseudo_derivative: PseudoDerivative,
}

impl Firing {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        ConfigError::check_positive("threshold", self.threshold)?;
        self.pseudo_derivative.validate()
    }

    /// u = (v − Θ)/θ for the distance v − Θ of the potential from the threshold.
    pub(super) fn normalize(&self, distance: Tensor<2>) -> Tensor<2> {
        distance.mul_scalar(1.0 / self.threshold)
    }

    /// z = 1[u > 0] outside refractoriness, exactly 0 or 1, with ψ as its derivative.
    pub(super) fn spike(&self, u: Tensor<2>, before: &CellState) -> Tensor<2> {
        let dtype = u.dtype();
        let mut fires = u.clone().greater_elem(0.0);
        if self.is_refractory() {
            fires = fires.bool_and(before.carried[0].clone().lower_equal_elem(0.0));
        }
        let spikes = fires.float().cast(dtype);
        if !u.is_autodiff() {
            return spikes;
        }
        // y − y is exactly 0 and has the gradient θψ with respect to u.
        let slope = self.psi(u.clone().detach(), before).mul_scalar(self.threshold);
        let y = u * slope.detach();
        spikes + (y.clone() - y.detach())
    }

    /// ψ = ∂z/∂v.
    pub(super) fn psi(&self, u: Tensor<2>, before: &CellState) -> Tensor<2> {
        let psi = self.pseudo_derivative.evaluate(u, self.threshold);
        if !self.is_refractory() || !self.pseudo_derivative.zero_in_refractoriness {
            return psi;
        }
        let silent = before.carried[0].clone().greater_elem(0.0);
        psi.mask_fill(silent, 0.0)
    }

    /// The refractory counter after the step: r^t = clip(r^{t−1} + n_ref z^t − 1, 0, n_ref).
    pub(super) fn count(&self, before: &CellState, spikes: &Tensor<2>) -> Vec<Tensor<2>> {
        if !self.is_refractory() {
            return before.carried.clone();
        }
        let steps = self.refractory_steps as f64;
        let spikes = spikes.clone().detach().mul_scalar(steps);
        let counter = before.carried[0].clone() + spikes;
        vec![counter.sub_scalar(1.0).clamp(0.0, steps)]
    }

    /// One refractory step or none leaves no step silent.
    fn is_refractory(&self) -> bool {
        self.refractory_steps > 1
    }
}
