//! Losses, and their error at the readout.
//!
//! With a weight w^t for each step (a mask; divided by the number of steps where the mean is
//! asked for), targets y* and outputs y:
//!
//! | loss | E | err = ∂E/∂y^t, taken locally |
//! |---|---|---|
//! | mean squared error | ½ Σ w (y − y*)² | w (y − y*) |
//! | softmax cross-entropy | −Σ w y* log softmax(y) | w (softmax(y) Σ y* − y*) |
//! | actor-critic | −Σ w (y* log π + y*_V V), π the softmax of all outputs but the last, V | w (π Σ y* − y*), −w y*_V |
//! | sigmoid cross-entropy | −Σ w [y* log σ(y) + (1 − y*) log(1 − σ(y))] | w (σ(y) − y*) |

use burn::tensor::Tensor;
use burn::tensor::activation::{log_softmax, relu, softmax};
use serde::{Deserialize, Serialize};

use crate::error::{ConfigError, expect_valid};

/// The loss of a task; see the [module](self) for formulas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// ½ (y − y*)², for regression.
    MeanSquaredError,
    /// For one class out of several; targets are the classes' probabilities, or, to weight classes, probabilities times the
    /// weight of the class.
    SoftmaxCrossEntropy,
    /// For independent bits; targets are probabilities.
    SigmoidCrossEntropy,
    /// For actions that were taken and rewarded: see [`ActorCriticConfig::targets`](crate::reward::ActorCriticConfig::targets). Estimators panic
    /// if there is no output but the value.
    ActorCritic,
}

/// How the losses of steps and sequences combine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reduction {
    /// Their sum.
    Sum,
    /// Their sum divided by the number of steps that count, over all sequences.
    Mean,
}

/// Which mean of spikes firing-rate regularisation looks at.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RateAveraging {
    /// A neuron's rate over all trials of the batch.
    Batch,
    /// A neuron's rate in each trial; the loss is the mean over the trials that have a step.
    PerTrial,
    /// A running mean of a neuron's output in each sequence, for sequences that do not end: f̄ starts from f* and follows z with this
    /// time constant τ, and at each step the neuron is pulled by c (f̄ − f*) / τ. In each time τ that is as much as in a trial of τ
    /// steps with the same rate, and what it does does not depend on what is to come. The loss that is told is that of the last f̄ of each sequence, and like the pull a mean
    /// over the sequences that have a step.
    Running {
        /// τ, in steps.
        tau_steps: f64,
    },
}

/// Firing-rate regularisation E_reg = (c/2) Σ_j (f_j − f*)², where f_j is the mean of z_j over
/// the steps of a trial (Bellec et al. 2019, arXiv:1901.09049, "Firing rate regularization").
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RateRegularization {
    /// c.
    pub strength: f64,
    /// f*, in spikes per step.
    pub target_per_step: f64,
    /// The mean that f_j is.
    pub averaging: RateAveraging,
}

impl RateRegularization {
    /// Strength c towards a rate in Hz, averaged over the batch, for steps of `dt_ms`.
    pub fn new(strength: f64, target_hz: f64, dt_ms: f64) -> Self {
        Self { strength, target_per_step: target_hz * dt_ms / 1000.0, averaging: RateAveraging::Batch }
    }

    /// The same with another averaging.
    pub fn with_averaging(self, averaging: RateAveraging) -> Self {
        Self { averaging, ..self }
    }
}

/// Voltage regularisation: membrane potentials are held between −θ and the neuron's threshold Θ,
///
/// `E_v = (c/2) Σ_j Σ_t ([v_j^t − Θ_j^t]₊² + [−v_j^t − θ]₊²)`, a mean over the sequences that have a step.
///
/// Far from Θ the pseudo-derivative vanishes (for the piecewise-linear one, beyond Θ ± θ), and with it all that a neuron learns from. The
/// thresholds are constants of the regulariser: it moves potentials, not adaptation. It is a sum over time, so that it holds streams that
/// do not end as well.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct VoltageRegularization {
    /// c.
    pub strength: f64,
}

/// What is minimised: a loss, its reduction, and regularisers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Objective {
    /// The task's loss.
    pub loss: Loss,
    /// How steps and sequences combine.
    pub reduction: Reduction,
    /// Firing-rate regularisation; its loss is reported beside the task's, not in it.
    pub rate: Option<RateRegularization>,
    /// Voltage regularisation, by [`Eprop`](crate::estimator::Eprop) and [`Bptt`](crate::estimator::Bptt) of cells with a
    /// [membrane potential](crate::Cell::voltage_excess), which panic for others; its loss is reported beside the task's as well.
    pub voltage: Option<VoltageRegularization>,
}

impl Objective {
    /// The mean of a loss over the steps that count, without regularisation.
    pub fn mean(loss: Loss) -> Self {
        Self { loss, reduction: Reduction::Mean, rate: None, voltage: None }
    }

    /// The sum of a loss, without regularisation.
    pub fn sum(loss: Loss) -> Self {
        Self { reduction: Reduction::Sum, ..Self::mean(loss) }
    }

    /// Adds firing-rate regularisation.
    pub fn with_rate(self, rate: RateRegularization) -> Self {
        Self { rate: Some(rate), ..self }
    }

    /// Adds voltage regularisation.
    pub fn with_voltage(self, voltage: VoltageRegularization) -> Self {
        Self { voltage: Some(voltage), ..self }
    }

    /// The objective, for an estimator that does not hold voltages.
    ///
    /// # Panics
    ///
    /// If it asks for that.
    #[track_caller]
    pub(crate) fn without_voltage(self) -> Self {
        assert!(self.voltage.is_none(), "Objective: voltage regularisation is for e-prop 1 and BPTT");
        self
    }

    /// The objective, if it is valid.
    ///
    /// # Panics
    ///
    /// If [`validate`](Self::validate) fails.
    #[track_caller]
    pub(crate) fn checked(self) -> Self {
        expect_valid("Objective", self.validate());
        self
    }

    /// Checks the regularisers' ranges.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if let Some(VoltageRegularization { strength }) = self.voltage {
            let valid = strength.is_finite() && strength >= 0.0;
            ConfigError::check(valid, "voltage.strength", strength, "finite and at least 0")?;
        }
        let Some(rate) = self.rate else { return Ok(()) };
        let (strength, target) = (rate.strength, rate.target_per_step);
        let valid = strength.is_finite() && strength >= 0.0;
        ConfigError::check(valid, "rate.strength", strength, "finite and at least 0")?;
        ConfigError::check((0.0..=1.0).contains(&target), "rate.target_per_step", target, "between 0 and 1")?;
        match rate.averaging {
            RateAveraging::Running { tau_steps } => {
                let valid = tau_steps.is_finite() && tau_steps > 0.0;
                ConfigError::check(valid, "rate.averaging.tau_steps", tau_steps, "finite and greater than 0")
            }
            RateAveraging::Batch | RateAveraging::PerTrial => Ok(()),
        }
    }
}

impl Loss {
    /// E of outputs, targets [.., outputs] and weights [.., 1].
    pub(crate) fn value(self, [output, target, weight]: [Tensor<3>; 3]) -> Tensor<1> {
        let loss = match self {
            Self::MeanSquaredError => {
                let difference = output - target;
                (difference.clone() * difference).mul_scalar(0.5)
            }
            Self::SoftmaxCrossEntropy => (log_softmax(output, 2) * target).neg(),
            Self::SigmoidCrossEntropy => sigmoid_cross_entropy(output, target),
            Self::ActorCritic => {
                let (policy, value) = actions_and_value(output);
                Tensor::cat(vec![log_softmax(policy, 2), value], 2).neg() * target
            }
        };
        (loss * weight).sum()
    }

    /// err = ∂E/∂y, [.., outputs].
    pub(crate) fn error(self, [output, target, weight]: [Tensor<3>; 3]) -> Tensor<3> {
        let prediction = match self {
            Self::MeanSquaredError => output,
            Self::SoftmaxCrossEntropy => softmax(output, 2) * target.clone().sum_dim(2),
            Self::SigmoidCrossEntropy => sigmoid(output),
            Self::ActorCritic => {
                let (policy, value) = actions_and_value(output);
                let (masses, _) = actions_and_value(target.clone());
                Tensor::cat(vec![softmax(policy, 2) * masses.sum_dim(2), value.zeros_like()], 2)
            }
        };
        (prediction - target) * weight
    }
}

/// All outputs but the last, and the last.
fn actions_and_value(outputs: Tensor<3>) -> (Tensor<3>, Tensor<3>) {
    let actions = outputs.dims()[2] - 1;
    assert!(
        actions > 0,
        "an actor-critic's outputs are {:?}: an action at least, and the value",
        outputs.dims()
    );
    (outputs.clone().narrow(2, 0, actions), outputs.narrow(2, actions, 1))
}

/// max(y, 0) − y* y + log(1 + exp(−|y|)), with the derivative σ(y) − y* everywhere (the terms'
/// own derivatives are wrong at y = 0).
fn sigmoid_cross_entropy(output: Tensor<3>, target: Tensor<3>) -> Tensor<3> {
    let y = output.clone().detach();
    let slope = (sigmoid(y.clone()) - target.clone()).detach();
    let softplus = relu(y.clone()) + y.clone().abs().neg().exp().add_scalar(1.0).log();
    let value = (softplus - target * y).detach();
    let linear = output * slope;
    value + (linear.clone() - linear.detach())
}

/// σ(x) = (1 + tanh(x/2))/2, exact in float64 on every device.
pub(crate) fn sigmoid<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    x.mul_scalar(0.5).tanh().add_scalar(1.0).mul_scalar(0.5)
}
