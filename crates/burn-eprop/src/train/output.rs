//! What a step found, in the form that burn-train's metrics take.

use burn::backend::ExecutionError;
use burn::tensor::activation::softmax;
use burn::tensor::{Int, Tensor};
use burn::train::ClassificationOutput;
use burn::train::metric::{
    AccuracyInput, Adaptor, ConfusionStatsInput, ItemLazy, LossInput, PerplexityInput, TopKAccuracyInput,
};

use super::metrics::{FiringRateInput, GradientNormInput};
use crate::batch::Batch;
use crate::estimator::{Evaluation, mean_firing_rate};
use crate::hook::Report;

/// Of what a network's outputs decide the class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decisions {
    /// Of each sequence, by the mean of softmax(y) over the steps that count.
    Sequences,
    /// Of each step that counts.
    Steps,
}

/// What a step of training or inference found.
///
/// Metrics of burn-train that take it: loss, accuracy, top-k accuracy, perplexity, precision, recall and F-score, and those
/// [of this module](super).
#[derive(Debug)]
pub struct SequenceOutput {
    /// The task's loss; NaN where a step was not taken.
    pub loss: f64,
    /// y, [batch, time, outputs], where the estimator was asked for it.
    pub outputs: Option<Tensor<3>>,
    /// [batch, time, outputs]
    pub targets: Tensor<3>,
    /// Weight of each step in the loss, [batch, time].
    pub weights: Tensor<2>,
    /// The mean output of each neuron (spikes per step), by layer, `[neurons]`.
    pub firing_rates: Vec<Tensor<1>>,
    /// The norm of all weights' gradients before clipping; NaN in inference.
    pub gradient_norm: f64,
    decisions: Decisions,
}

impl SequenceOutput {
    pub(super) fn of_training(report: Report, batch: &Batch, decisions: Decisions) -> Self {
        let targets = batch.targets().clone().without_autodiff();
        // Whoever counts decisions counts those of a refused step as wrong.
        let (loss, outputs) = match report.non_finite {
            Some(_) => (f64::NAN, Some(targets.full_like(f64::NAN))),
            None => (report.loss, report.outputs),
        };
        Self {
            loss,
            outputs,
            targets,
            weights: batch.weights().without_autodiff(),
            firing_rates: report.firing_rates,
            gradient_norm: report.gradient_norm,
            decisions,
        }
    }

    pub(super) fn of_inference(found: Evaluation, batch: &Batch, decisions: Decisions) -> Self {
        Self {
            loss: found.loss,
            outputs: Some(found.outputs),
            targets: batch.targets().clone().without_autodiff(),
            weights: batch.weights().without_autodiff(),
            firing_rates: found.firing_rates,
            gradient_norm: f64::NAN,
            decisions,
        }
    }

    /// The log-probabilities of what was decided, and the classes that were right.
    ///
    /// # Panics
    ///
    /// If there are no outputs.
    #[track_caller]
    pub fn classification(&self) -> ClassificationOutput {
        let outputs = self.outputs.clone();
        let outputs =
            outputs.expect("for metrics of classification the estimator must be `with_outputs(true)`");
        let [_, _, classes] = outputs.dims();
        let rows = |values: Tensor<3>| match self.decisions {
            Decisions::Steps => values.reshape([-1, classes as i32]),
            Decisions::Sequences => {
                let weights = self.weights.clone().cast(values.dtype()).unsqueeze_dim(2);
                (values * weights).sum_dim(1).squeeze_dim(1)
            }
        };
        let weights: Tensor<1> = match self.decisions {
            Decisions::Steps => self.weights.clone().reshape([-1]),
            Decisions::Sequences => self.weights.clone().sum_dim(1).squeeze_dim(1),
        };
        let decided: Tensor<1, Int> = weights.greater_elem(0.0).argwhere().squeeze_dim(1);
        let rows = |values| rows(values).select(0, decided.clone());
        let probabilities: Tensor<2> = rows(softmax(outputs, 2));
        let probabilities = probabilities.clone() / probabilities.sum_dim(1);
        let targets: Tensor<1, Int> = rows(self.targets.clone()).argmax(1).squeeze_dim(1);
        ClassificationOutput::new(self.loss_per_sequence(), probabilities.log(), targets)
    }

    /// So that a mean over batches counts each sequence alike.
    fn loss_per_sequence(&self) -> Tensor<1> {
        let [sequences, ..] = self.targets.dims();
        Tensor::full([sequences], self.loss, &self.targets.device())
    }
}

impl ItemLazy for SequenceOutput {
    /// Everything is without autodiff already.
    fn sync(self) -> Result<Self, ExecutionError> {
        self.targets.device().flush()?;
        Ok(self)
    }
}

impl Adaptor<LossInput> for SequenceOutput {
    fn adapt(&self) -> LossInput {
        LossInput::new(self.loss_per_sequence())
    }
}

impl Adaptor<FiringRateInput> for SequenceOutput {
    fn adapt(&self) -> FiringRateInput {
        let per_step = match self.firing_rates.is_empty() {
            true => f64::NAN,
            false => mean_firing_rate(&self.firing_rates),
        };
        FiringRateInput { per_step, sequences: self.targets.dims()[0] }
    }
}

impl Adaptor<GradientNormInput> for SequenceOutput {
    fn adapt(&self) -> GradientNormInput {
        GradientNormInput { norm: self.gradient_norm }
    }
}

/// Metrics that burn-train's own output of classification can be asked for.
macro_rules! adapt_classification {
    ($($input:ty),+) => {$(
        impl Adaptor<$input> for SequenceOutput {
            fn adapt(&self) -> $input {
                self.classification().adapt()
            }
        }
    )+};
}

adapt_classification!(AccuracyInput, TopKAccuracyInput, PerplexityInput, ConfusionStatsInput);
