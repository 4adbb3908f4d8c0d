//! Synthetic gradients: a module that foretells, from a network's state, the gradient of the loss that is still to come.
//!
//! $$ g(S^t) \approx \frac{\partial}{\partial S^t}\sum_{s > t} E^s, \qquad S^t = (z, h, y)^t $$
//!
//! (Jaderberg et al. 2017, arXiv:1608.05343). It is a part of the [`Network`](crate::network::Network) like any other: its
//! gradients are in the same `GradientsParams`, and the same optimizer applies them. The estimators that go through time
//! in windows ask it at the end of each, and train it at the start of the next; see
//! [`BoundaryLearning`](crate::estimator::BoundaryLearning).

use burn::config::Config;
use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::activation::relu;
use burn::tensor::{Tensor, TensorCreationOptions};
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::error::{ConfigError, expect_valid};
use crate::init::{Initializer, float_options, float_param};

/// Configuration of a [`SyntheticGradient`]; without hidden layers it is linear in the state.
#[derive(Config, Debug, PartialEq)]
pub struct SyntheticGradientConfig {
    /// Sizes of the hidden layers, from the lowest; their units are rectified.
    #[config(default = "Vec::new()")]
    pub hidden: Vec<usize>,
    /// Seed of the hidden layers' weights. Those of the last layer are 0 at first: what is foretold is no gradient.
    #[config(default = 0)]
    pub seed: u64,
}

/// A perceptron from a network's state to the gradient of the loss to come; see the [module](self).
#[derive(Module, Debug)]
pub struct SyntheticGradient {
    /// The hidden layers, from the lowest.
    pub hidden: Vec<Linear>,
    /// From the last hidden layer, or from the state, to the gradient.
    pub output: Linear,
}

impl SyntheticGradientConfig {
    /// Checks the ranges of all fields.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let smallest = self.hidden.iter().min().copied().unwrap_or(1);
        ConfigError::check(smallest > 0, "synthetic_gradient.hidden", smallest, "at least 1")
    }

    /// A module for states of so many values.
    ///
    /// # Panics
    ///
    /// If [`validate`](Self::validate) fails.
    #[track_caller]
    pub fn init(&self, width: usize, options: impl Into<TensorCreationOptions>) -> SyntheticGradient {
        expect_valid("SyntheticGradientConfig", self.validate());
        let options = float_options(&options.into());
        // Other draws than those of a network with the same seed.
        let rng = &mut StdRng::seed_from_u64(!self.seed);
        let mut from = width;
        let mut layer = |to: usize, initializer: Initializer| {
            let shape = [std::mem::replace(&mut from, to), to];
            Linear {
                weight: float_param(initializer.draw(shape, rng), shape, &options),
                bias: Some(float_param(vec![0.0; to], [to], &options)),
            }
        };
        let rectified = Initializer::FanIn { gain: std::f64::consts::SQRT_2 };
        SyntheticGradient {
            hidden: self.hidden.iter().map(|&units| layer(units, rectified)).collect(),
            output: layer(width, Initializer::Zero),
        }
    }
}

impl SyntheticGradient {
    /// The gradient that is foretold for states [batch, width] in the order of
    /// [`NetworkState::to_rows`](crate::network::NetworkState::to_rows), in the same order.
    ///
    /// It is that of the sum of the losses, whatever a mean is divided by.
    ///
    /// # Panics
    ///
    /// If the states are not of the module's width.
    #[track_caller]
    pub fn forward(&self, states: Tensor<2>) -> Tensor<2> {
        self.output.forward(self.features(states))
    }

    /// What the last layer reads, [batch, features].
    pub(crate) fn features(&self, states: Tensor<2>) -> Tensor<2> {
        let [given, expected] = [states.dims()[1], self.width()];
        assert_eq!(given, expected, "states of {given} values for a synthetic gradient of {expected}");
        self.hidden.iter().fold(states, |below, layer| relu(layer.forward(below)))
    }

    /// The number of values of a state.
    pub fn width(&self) -> usize {
        self.output.weight.dims()[1]
    }
}
