//! A constant of a population: one value for all neurons, or one for each.

use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorCreationOptions};
use serde::{Deserialize, Serialize};

use crate::cell::Folded;
use crate::error::ConfigError;
use crate::init::float_param;

/// A constant as it is configured: one number for the population or one for each neuron.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Constant {
    /// One value that all neurons share.
    Shared(f64),
    /// One value for each neuron.
    PerNeuron(Vec<f64>),
}

impl From<f64> for Constant {
    fn from(value: f64) -> Self {
        Self::Shared(value)
    }
}

impl From<Vec<f64>> for Constant {
    fn from(values: Vec<f64>) -> Self {
        Self::PerNeuron(values)
    }
}

impl Constant {
    /// The constant with `function` applied to each of its values.
    pub fn map(&self, function: impl Fn(f64) -> f64) -> Self {
        match self {
            Self::Shared(value) => Self::Shared(function(*value)),
            Self::PerNeuron(values) => Self::PerNeuron(values.iter().copied().map(function).collect()),
        }
    }

    /// The decay `exp(−dt/τ)` a step, where this constant is a time constant τ in ms.
    pub fn decay(&self, dt_ms: f64) -> Self {
        self.map(|tau_ms| (-dt_ms / tau_ms).exp())
    }

    pub(crate) fn values(&self) -> &[f64] {
        match self {
            Self::Shared(value) => std::slice::from_ref(value),
            Self::PerNeuron(values) => values,
        }
    }

    /// Checks the number of values and that each is finite and satisfies `valid`.
    pub(crate) fn check(
        &self,
        field: &'static str,
        neurons: usize,
        valid: impl Fn(f64) -> bool,
        range: &'static str,
    ) -> Result<(), ConfigError> {
        if let Self::PerNeuron(values) = self {
            let given = format!("a list of {} values", values.len());
            ConfigError::check(values.len() == neurons, field, given, "one value, or one for each neuron")?;
        }
        for &value in self.values() {
            ConfigError::check(value.is_finite() && valid(value), field, value, range)?;
        }
        Ok(())
    }

    /// The constant on a device.
    pub(crate) fn init(&self, options: &TensorCreationOptions) -> NeuronConstant {
        match self {
            Self::Shared(value) => NeuronConstant { shared: Some(*value), values: None },
            Self::PerNeuron(values) => NeuronConstant {
                shared: None,
                values: Some(float_param(values.clone(), [values.len()], options).set_require_grad(false)),
            },
        }
    }
}

/// A [`Constant`] inside a cell. Values per neuron are a frozen parameter, so that they move
/// between devices with the network and are saved with it.
#[derive(Module, Debug)]
pub struct NeuronConstant {
    #[module(skip)]
    shared: Option<f64>,
    values: Option<Param<Tensor<1>>>,
}

impl NeuronConstant {
    /// The value that all neurons share, if they do.
    pub fn shared(&self) -> Option<f64> {
        self.shared
    }

    /// `x` times the constant; `x` is [batch, neurons].
    pub fn scale(&self, x: Tensor<2>) -> Tensor<2> {
        match (self.shared, &self.values) {
            (Some(1.0), _) => x,
            (Some(value), _) => x.mul_scalar(value),
            (None, Some(values)) => x * values.val().unsqueeze(),
            (None, None) => unreachable!("a constant is shared or per neuron"),
        }
    }

    /// `x` plus the constant; `x` is [batch, neurons].
    pub fn add(&self, x: Tensor<2>) -> Tensor<2> {
        match (self.shared, &self.values) {
            (Some(value), _) => x.add_scalar(value),
            (None, Some(values)) => x + values.val().unsqueeze(),
            (None, None) => unreachable!("a constant is shared or per neuron"),
        }
    }

    /// The constant of each neuron, `[neurons]`.
    pub fn vector(&self, neurons: usize, options: &TensorCreationOptions) -> Tensor<1> {
        match (self.shared, &self.values) {
            (None, Some(values)) => values.val().cast(options.dtype_or(values.dtype())),
            (shared, _) => Tensor::full([neurons], shared.unwrap_or_default(), options.clone()),
        }
    }

    /// The hidden value that decays by `decay` in a step and takes up currents with this constant as its factor.
    pub(crate) fn folded(&self, decay: f64, like: &Tensor<2>) -> Folded {
        let options = (&like.device(), like.dtype()).into();
        Folded { decay, gain: self.vector(like.dims()[1], &options) }
    }

    /// The constant in the shape of `like`, [batch, neurons].
    pub fn full(&self, like: &Tensor<2>) -> Tensor<2> {
        self.scale(like.ones_like())
    }
}
