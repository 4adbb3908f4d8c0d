//! burn-train's [`Learner`](burn::train::Learner) with any estimator: its dashboard, metrics, checkpoints, early stopping, learning-rate
//! schedulers and strategies for several devices, as they are. Needs the feature `train`.
//!
//! ```
//! use burn::optim::AdamConfig;
//! use burn::tensor::Device;
//! use burn::train::Learner;
//! use burn_eprop::cell::LifConfig;
//! use burn_eprop::estimator::Eprop;
//! use burn_eprop::signal::Symmetric;
//! use burn_eprop::train::TrainableModel;
//! use burn_eprop::{Loss, NetworkConfig, Objective};
//!
//! let device = Device::flex().autodiff();
//! let network = NetworkConfig::new(4, 2).init(vec![LifConfig::new(10).init(&device)], &device);
//! let eprop = Eprop::new(Objective::mean(Loss::SoftmaxCrossEntropy), Symmetric).with_outputs(true);
//! let learner = Learner::new(TrainableModel::new(network, eprop), AdamConfig::new().init(), 5e-3);
//! ```
//!
//! `SupervisedTraining::launch` takes the learner; its data loaders give a [`Batch`] for each step.
//!
//! Several devices: with `ExecutionStrategy::multi` Burn sums their gradients, so that a mean loss pulls as often as there are devices. With
//! `ExecutionStrategy::ddp`, for GPUs that can exchange tensors, gradients are reduced as its configuration says, whichever estimator found them; a
//! step that is refused on one device counts as a gradient of 0. Feedback weights that learn, as those of
//! [`Adaptive`](crate::signal::Adaptive), have no part in autodiff and are refused there by a panic.

mod distributed;
mod metrics;
mod output;

pub use distributed::through_backward;
pub use metrics::{FiringRateInput, FiringRateMetric, GradientNormInput, GradientNormMetric};
pub use output::{Decisions, SequenceOutput};

use std::fmt::Debug;

use burn::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::module::Module;
use burn::optim::{GradientsParams, ModuleOptimizer, MultiGradientsParams};
use burn::train::{InferenceStep, TrainOutput, TrainStep};

use crate::batch::Batch;
use crate::estimator::GradientEstimator;
use crate::hook::{Report, check_autodiff, check_counts};
use crate::model::RecurrentModel;
use distributed::is_distributed;

/// A recurrent model beside the estimator of its gradients: what a [`Learner`](burn::train::Learner) takes.
///
/// A batch, a loss or a gradient with a value that is NaN or infinite changes nothing, and the step's loss is NaN.
#[derive(Module, Debug)]
pub struct TrainableModel<M: Module, E: Clone + Debug + Send> {
    /// The model. Its weights are all that checkpoints hold.
    pub model: M,
    #[module(skip)]
    estimator: E,
    #[module(skip)]
    decisions: Decisions,
}

impl<M, E> TrainableModel<M, E>
where
    M: RecurrentModel,
    E: GradientEstimator<M::Cell> + Clone + Debug + Send,
{
    /// A model that learns by `estimator`, which tells metrics of outputs (accuracy) something in training where it is asked `with_outputs`.
    pub fn new(model: M, estimator: E) -> Self {
        Self { model, estimator, decisions: Decisions::Sequences }
    }

    /// What a network decides, for metrics of classification.
    pub fn with_decisions(self, decisions: Decisions) -> Self {
        Self { decisions, ..self }
    }

    /// What was found, with the gradients, none of which is there if one of them is not finite.
    fn estimate(&self, model: &M, batch: &Batch) -> (Report, GradientsParams) {
        check_autodiff(model);
        let sound = batch.check_finite().and_then(|()| check_counts(batch, self.estimator.objective()));
        let (report, gradients) = match sound {
            Ok(()) => Report::of(model, model.estimate(&mut self.estimator.clone(), batch)),
            Err(error) => (Report::refused(error), GradientsParams::new()),
        };
        match report.non_finite {
            Some(_) => (report, GradientsParams::new()),
            None => (report, gradients),
        }
    }

    fn after_update(self, refused: bool) -> Self {
        if refused {
            return self;
        }
        Self { model: self.model.after_update(&self.estimator), ..self }
    }
}

impl<M, E> TrainStep for TrainableModel<M, E>
where
    M: RecurrentModel,
    E: GradientEstimator<M::Cell> + Clone + Debug + Send,
{
    type Input = Batch;
    type Output = SequenceOutput;

    fn step(&self, batch: Batch) -> TrainOutput<SequenceOutput> {
        let (report, grads) = if is_distributed(&self.model) {
            // An estimator's own backward passes must not exchange anything.
            let (report, gradients) = self.estimate(&self.model.clone().valid().train(), &batch);
            (report, through_backward(self, gradients))
        } else {
            self.estimate(&self.model, &batch)
        };
        TrainOutput { grads, item: SequenceOutput::of_training(report, &batch, self.decisions) }
    }

    fn optimize(self, optim: &mut ModuleOptimizer, lr: ModuleLearningRate, grads: GradientsParams) -> Self {
        let refused = grads.is_empty();
        optim.step(lr, self, grads).after_update(refused)
    }

    fn optimize_multi(
        self,
        optim: &mut ModuleOptimizer,
        lr: ModuleLearningRate,
        grads: MultiGradientsParams,
    ) -> Self {
        let refused = grads.grads.iter().all(|(grads, _)| grads.is_empty());
        optim.step_multi(lr, self, grads).after_update(refused)
    }
}

impl<M, E> InferenceStep for TrainableModel<M, E>
where
    M: RecurrentModel,
    E: GradientEstimator<M::Cell> + Clone + Debug + Send,
{
    type Input = Batch;
    type Output = SequenceOutput;

    fn step(&self, batch: Batch) -> SequenceOutput {
        let found = self.model.evaluate(&batch, self.estimator.objective());
        SequenceOutput::of_inference(found, &batch, self.decisions)
    }
}
