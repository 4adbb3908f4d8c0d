//! The leaky readout, and the traces of its weights.
//!
//! $$ y^t = \kappa y^{t-1} + g\, z^t W_{out} + b $$
//!
//! with g = 1 − κ (normalised) or 1; κ = 0 is a plain linear readout. Its gradient is exact in every
//! algorithm: $dE/dW_{out} = \sum_t F_\kappa(z)^t \otimes err^t$.

use burn::config::Config;
use burn::module::{Module, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Tensor, TensorCreationOptions, TensorData};
use rand::Rng;

use crate::carried::{Archive, Carried};
use crate::cell::Constants;
use crate::error::ConfigError;
use crate::gradients::register;
use crate::init::{Initializer, float_param};
use crate::kernel;
use crate::steps::{low_pass, low_pass_backwards, low_pass_end, multiply_steps};

/// Configuration of a [`LeakyReadout`].
#[derive(Config, Debug, PartialEq)]
pub struct LeakyReadoutConfig {
    /// Time constant τ_out in ms, κ = exp(−dt/τ_out); `None` for κ = 0.
    #[config(default = "Some(20.0)")]
    pub tau_ms: Option<f64>,
    /// Duration of a step in ms.
    #[config(default = 1.0)]
    pub dt_ms: f64,
    /// Whether the factor g is 1 − κ; otherwise it is 1.
    #[config(default = false)]
    pub normalized: bool,
    /// Whether outputs have a trainable bias, 0 at first.
    #[config(default = true)]
    pub bias: bool,
    /// Initial weights.
    #[config(default = "Initializer::FanIn { gain: 1.0 }")]
    pub initializer: Initializer,
}

/// A leaky linear readout of the outputs of all layers; see the [module](self).
#[derive(Module, Debug)]
pub struct LeakyReadout {
    /// W_out, [neurons of all layers, outputs].
    pub weight: Param<Tensor<2>>,
    /// b, `[outputs]`.
    pub bias: Option<Param<Tensor<1>>>,
    #[module(skip)]
    decay: f64,
    #[module(skip)]
    config: LeakyReadoutConfig,
}

impl LeakyReadoutConfig {
    /// Checks the ranges of all fields.
    pub fn validate(&self) -> Result<(), ConfigError> {
        ConfigError::check_positive("readout.dt_ms", self.dt_ms)?;
        self.initializer.validate("readout.initializer")?;
        self.tau_ms.map_or(Ok(()), |tau_ms| ConfigError::check_positive("readout.tau_ms", tau_ms))
    }

    /// κ.
    pub fn decay(&self) -> f64 {
        self.tau_ms.map_or(0.0, |tau_ms| (-self.dt_ms / tau_ms).exp())
    }

    /// The readout of `neurons` neurons.
    pub(crate) fn init(
        &self,
        neurons: usize,
        outputs: usize,
        rng: &mut impl Rng,
        options: &TensorCreationOptions,
    ) -> LeakyReadout {
        LeakyReadout {
            weight: float_param(self.initializer.draw([neurons, outputs], rng), [neurons, outputs], options),
            bias: self.bias.then(|| float_param(vec![0.0; outputs], [outputs], options)),
            decay: self.decay(),
            config: self.clone(),
        }
    }
}

impl LeakyReadout {
    /// κ, the decay in a step.
    pub fn decay(&self) -> f64 {
        self.decay
    }

    /// g, the factor of the weights.
    pub fn factor(&self) -> f64 {
        if self.config.normalized { 1.0 - self.decay } else { 1.0 }
    }

    /// What a file of weights says of it.
    pub(crate) fn constants(&self) -> Constants {
        let LeakyReadoutConfig { tau_ms, dt_ms, normalized, .. } = self.config;
        Constants::new().with("tau_ms", tau_ms).with("dt_ms", dt_ms).with("normalized", normalized)
    }

    /// Outputs [steps, batch, outputs] for the neurons' outputs by step, [batch, neurons], continuing from y
    /// [batch, outputs]; and the last y.
    pub(crate) fn forward(&self, neurons: &[Tensor<2>], last: Tensor<2>) -> (Tensor<3>, Tensor<2>) {
        let weight = self.weight.val().mul_scalar(self.factor());
        let bias = self.bias.as_ref().map(|bias| bias.val().unsqueeze::<2>());
        let mut last = last;
        let mut outputs = Vec::with_capacity(neurons.len());
        for drive in multiply_steps(neurons, weight) {
            let mut output = drive;
            if let Some(bias) = &bias {
                output = output + bias.clone();
            }
            if self.decay != 0.0 {
                output = output + last.mul_scalar(self.decay);
            }
            last = output.clone();
            outputs.push(output);
        }
        (Tensor::stack(outputs, 0), last)
    }
}

impl LeakyReadout {
    /// As [`forward`](Self::forward), for [steps, batch, neurons] outside of autodiff.
    pub(crate) fn forward_chunk(&self, neurons: Tensor<3>, last: Tensor<2>) -> (Tensor<3>, Tensor<2>) {
        if kernel::is_on_cpu(&neurons) {
            let weight = self.weight.val().mul_scalar(self.factor());
            return kernel::read_out(neurons, weight, self.bias.as_ref().map(Param::val), last, self.decay);
        }
        let drive = self.drive(neurons);
        if self.decay == 0.0 {
            let last = drive.clone().narrow(0, drive.dims()[0] - 1, 1).squeeze_dim(0);
            return (drive, last);
        }
        low_pass(drive, self.decay, Some(last))
    }
}

impl LeakyReadout {
    /// g z W_out + b, [steps, batch, outputs], for z [steps, batch, neurons].
    fn drive(&self, neurons: Tensor<3>) -> Tensor<3> {
        let [steps, batch, size] = neurons.dims();
        let weight = self.weight.val().mul_scalar(self.factor());
        let outputs = weight.dims()[1];
        let mut drive = neurons.reshape([steps * batch, size]).matmul(weight);
        if let Some(bias) = &self.bias {
            drive = drive + bias.val().unsqueeze();
        }
        drive.reshape([steps, batch, outputs])
    }

    /// As [`forward`](Self::forward), for a whole sequence [steps, batch, neurons] in the autodiff graph.
    pub(crate) fn connect(&self, neurons: Tensor<3>, last: Tensor<2>) -> Tensor<3> {
        let drive = self.drive(neurons);
        if self.decay == 0.0 {
            return drive;
        }
        let steps = drive.dims()[0];
        // What remains of y before the sequence decays on its own.
        let powers = (1..=steps).map(|step| self.decay.powi(step as i32)).collect::<Vec<_>>();
        let powers =
            Tensor::<3>::from_data(TensorData::new(powers, [steps, 1, 1]), (&last.device(), last.dtype()));
        kernel::filter(drive, self.decay) + last.unsqueeze_dim(0) * powers
    }
}

/// What the readout's gradient needs of the past: F_κ(z) and F_κ(1), without the factor g.
#[derive(Debug, Clone)]
pub(crate) struct ReadoutTraces {
    /// [batch, neurons]
    shape: [usize; 2],
    neurons: Option<Tensor<2>>,
    ones: f64,
}

/// The gradient of a readout.
pub(crate) struct ReadoutGradient {
    /// [neurons, outputs]
    pub(crate) weight: Tensor<2>,
    /// `[outputs]`
    pub(crate) bias: Tensor<1>,
}

impl ReadoutTraces {
    /// Traces of [batch, neurons] before the first step.
    pub(crate) fn new(shape: [usize; 2]) -> Self {
        Self { shape, neurons: None, ones: 0.0 }
    }

    /// Advances by a chunk of neurons [steps, batch, neurons]; its gradient, for errors [steps, batch, outputs].
    pub(crate) fn advance(
        &mut self,
        readout: &LeakyReadout,
        error: Option<Tensor<3>>,
        neurons: Tensor<3>,
    ) -> Option<ReadoutGradient> {
        let gradient = error.map(|error| self.gradient(readout, error, neurons.clone()));
        let decay = readout.decay;
        if decay != 0.0 {
            let steps = neurons.dims()[0];
            self.neurons = Some(low_pass_end(neurons, decay, self.neurons.take()));
            self.ones = (0..steps).fold(self.ones, |ones, _| decay * ones + 1.0);
        }
        gradient
    }

    fn gradient(&self, readout: &LeakyReadout, error: Tensor<3>, neurons: Tensor<3>) -> ReadoutGradient {
        let decay = readout.decay;
        let [steps, batch, outputs] = error.dims();
        let size = neurons.dims()[2];
        // Σ_t err^t Σ_{s ≤ t} κ^{t−s} z^s = Σ_s z^s m^s with m^s = err^s + κ m^{s+1}
        let m = low_pass_backwards(error, decay);
        let rows = neurons.reshape([steps * batch, size]);
        let mut weight = rows.transpose().matmul(m.clone().reshape([steps * batch, outputs]));
        let mut bias = m.clone().sum_dims_squeeze::<1, _>(&[0, 1]);
        if let Some(past) = self.neurons.clone().filter(|_| decay != 0.0) {
            let carried = m.narrow(0, 0, 1).squeeze_dim::<2>(0).mul_scalar(decay);
            weight = weight + past.transpose().matmul(carried.clone());
            bias = bias + carried.sum_dim(0).squeeze_dim(0).mul_scalar(self.ones);
        }
        ReadoutGradient { weight: weight.mul_scalar(readout.factor()), bias }
    }
}

impl ReadoutGradient {
    /// 0 for each parameter.
    pub(crate) fn zeros(readout: &LeakyReadout) -> Self {
        let weight = readout.weight.val().without_autodiff().zeros_like();
        let bias = Tensor::zeros([weight.dims()[1]], (&weight.device(), weight.dtype()));
        Self { weight, bias }
    }

    /// Adds a part to a sum.
    pub(crate) fn add(sum: &mut Option<Self>, part: Self) {
        *sum = Some(match sum.take() {
            Some(sum) => Self { weight: sum.weight + part.weight, bias: sum.bias + part.bias },
            None => part,
        });
    }

    /// Registers the gradients of the readout's trained parameters.
    pub(crate) fn register(self, readout: &LeakyReadout, gradients: &mut GradientsParams) {
        register(gradients, &readout.weight, self.weight);
        if let Some(bias) = &readout.bias {
            register(gradients, bias, self.bias);
        }
    }
}

impl Carried for ReadoutTraces {
    fn visit(&mut self, archive: &mut Archive) {
        archive.optional("neurons", &mut self.neurons, self.shape);
        archive.number("ones", &mut self.ones);
    }
}
