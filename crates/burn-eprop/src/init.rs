//! Initial values of weights, drawn from a seeded generator.
//!
//! The draws do not depend on the device, on its floating-point type or on the order in which
//! parameters are first used, and they leave Burn's own (process-wide) generators alone.

use burn::module::{Param, ParamId};
use burn::tensor::{DType, Tensor, TensorCreationOptions, TensorData};
use rand::Rng;
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

use crate::error::ConfigError;

/// How a weight matrix [pre, post] is drawn. N(0, s) names a variance s.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Initializer {
    /// `gain · N(0, 1/fan_in)`, with fan_in the number of presynaptic units: the papers' choice.
    FanIn {
        /// Factor of the standard deviation.
        gain: f64,
    },
    /// `N(0, standard_deviation²)`.
    Normal {
        /// Standard deviation of the weights.
        standard_deviation: f64,
    },
    /// All weights 0.
    Zero,
}

impl Initializer {
    /// Checks that the standard deviation is a number, for the configuration's `field`.
    pub(crate) fn validate(&self, field: &'static str) -> Result<(), ConfigError> {
        let (Self::FanIn { gain: factor } | Self::Normal { standard_deviation: factor }) = self else {
            return Ok(());
        };
        ConfigError::check(factor.is_finite(), field, factor, "finite")
    }

    /// The values of a matrix [pre, post], row by row.
    pub(crate) fn draw(&self, [pre, post]: [usize; 2], rng: &mut impl Rng) -> Vec<f64> {
        let deviation = match self {
            Self::FanIn { gain } => gain / (pre as f64).sqrt(),
            Self::Normal { standard_deviation } => *standard_deviation,
            Self::Zero => 0.0,
        };
        let normal = std::iter::repeat_with(|| -> f64 { StandardNormal.sample(rng) });
        normal.take(pre * post).map(|normal| deviation * normal).collect()
    }
}

/// A trainable parameter from values in float64, in the type that `options` asks for.
pub(crate) fn float_param<const D: usize>(
    values: Vec<f64>,
    shape: [usize; D],
    options: &TensorCreationOptions,
) -> Param<Tensor<D>> {
    let value = Tensor::from_data(TensorData::new(values, shape), float_options(options));
    Param::initialized(ParamId::new(), value).set_require_grad(true)
}

/// The same options with a floating-point type that is certain: the device's own where none is set.
pub(crate) fn float_options(options: &TensorCreationOptions) -> TensorCreationOptions {
    let default: DType = options.device.settings().float_dtype.into();
    options.clone().with_dtype(options.dtype_or(default))
}
