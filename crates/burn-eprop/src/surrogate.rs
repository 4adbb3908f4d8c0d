//! Pseudo-derivatives of the spike.
//!
//! A spike is `z = 1[u > 0]` with `u = (v − Θ)/θ`, where v is the membrane potential, Θ the
//! threshold that it met and θ the base threshold. Its derivative is replaced by
//! `ψ = ∂z/∂v := (γ/θ) s(u)` with a shape s whose peak is s(0) = 1.
//!
//! | shape | s(u) | source |
//! |---|---|---|
//! | piecewise linear | max(0, 1 − ∣u∣) | Bellec et al. 2018, arXiv:1803.09574 |
//! | fast sigmoid | 1/(1 + k∣u∣)² | Zenke & Ganguli 2018, arXiv:1705.11146 |
//! | arctan | 1/(1 + (π k u/2)²) | Fang et al. 2021, arXiv:2007.05785 |
//! | sigmoid | 4 σ(k u)(1 − σ(k u)) | Neftci et al. 2019, arXiv:1901.09948 |

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::error::ConfigError;

/// Shape s(u) of the pseudo-derivative, with s(0) = 1; `slope` is k of the module's table.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SurrogateShape {
    /// max(0, 1 − |u|).
    PiecewiseLinear,
    /// 1/(1 + k|u|)².
    FastSigmoid {
        /// k > 0.
        slope: f64,
    },
    /// 1/(1 + (π k u/2)²).
    Arctan {
        /// k > 0.
        slope: f64,
    },
    /// 4 σ(k u)(1 − σ(k u)).
    Sigmoid {
        /// k > 0.
        slope: f64,
    },
}

/// The pseudo-derivative ψ of a spiking cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PseudoDerivative {
    /// Shape s(u).
    pub shape: SurrogateShape,
    /// Height γ of the peak (before the division by θ).
    pub height: f64,
    /// Whether ψ is divided by the base threshold θ, as the chain rule through `u` has it.
    pub divide_by_threshold: bool,
    /// Whether ψ is 0 while a neuron is refractory.
    pub zero_in_refractoriness: bool,
}

impl Default for PseudoDerivative {
    /// (γ/θ) max(0, 1 − |u|) with γ = 0.3, and 0 in refractoriness: the papers' choice.
    fn default() -> Self {
        Self {
            shape: SurrogateShape::PiecewiseLinear,
            height: 0.3,
            divide_by_threshold: true,
            zero_in_refractoriness: true,
        }
    }
}

impl PseudoDerivative {
    /// Checks height and slope.
    pub fn validate(&self) -> Result<(), ConfigError> {
        ConfigError::check_positive("pseudo_derivative.height", self.height)?;
        match self.shape {
            SurrogateShape::PiecewiseLinear => Ok(()),
            SurrogateShape::FastSigmoid { slope }
            | SurrogateShape::Arctan { slope }
            | SurrogateShape::Sigmoid { slope } => {
                ConfigError::check_positive("pseudo_derivative.shape.slope", slope)
            }
        }
    }

    /// ψ, before any mask of refractoriness, for `u = (v − Θ)/θ` of any shape.
    pub fn evaluate<const D: usize>(&self, u: Tensor<D>, threshold: f64) -> Tensor<D> {
        let shape = match self.shape {
            SurrogateShape::PiecewiseLinear => u.abs().neg().add_scalar(1.0).clamp_min(0.0),
            SurrogateShape::FastSigmoid { slope } => {
                let root = u.abs().mul_scalar(slope).add_scalar(1.0).recip();
                root.clone() * root
            }
            SurrogateShape::Arctan { slope } => {
                let x = u.mul_scalar(std::f64::consts::FRAC_PI_2 * slope);
                (x.clone() * x).add_scalar(1.0).recip()
            }
            // 4σ(x)(1 − σ(x)) = 1 − tanh²(x/2)
            SurrogateShape::Sigmoid { slope } => {
                let tanh = u.mul_scalar(0.5 * slope).tanh();
                (tanh.clone() * tanh).neg().add_scalar(1.0)
            }
        };
        let height = if self.divide_by_threshold { self.height / threshold } else { self.height };
        shape.mul_scalar(height)
    }
}
