//! The optimizer hook: an estimator and a Burn optimizer where `loss.backward()` and
//! `optimizer.step()` stood.

mod checkpoint;

use burn::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::module::list_param_ids;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::Tensor;

use crate::batch::Batch;
use crate::cell::Cell;
use crate::error::NonFinite;
use crate::estimator::{Estimate, GradientEstimator, OnlineEstimator};
use crate::gradients::survey;
use crate::model::RecurrentModel;
use crate::network::Network;

/// Owns an estimator, a Burn optimizer and, while a stream is learnt from, the stream's state `S`.
///
/// Gradient clipping is the optimizer's, and the learning rate of each step a scheduler's, as in any Burn
/// project. A step with a value that is NaN or infinite changes nothing and says so in its [`Report`].
#[derive(Clone)]
pub struct OptimizerHook<E, S = ()> {
    estimator: E,
    optimizer: ModuleOptimizer,
    state: S,
    updates: u64,
}

/// What a step found, and whether it was taken.
#[derive(Debug)]
#[must_use = "a step with a value that is not finite is not taken; `ensure_finite` tells"]
pub struct Report {
    /// The task's loss.
    pub loss: f64,
    /// The firing-rate regulariser's loss.
    pub rate_loss: f64,
    /// The voltage regulariser's loss.
    pub voltage_loss: f64,
    /// y, [batch, time, outputs], where the estimator was asked for it.
    pub outputs: Option<Tensor<3>>,
    /// The mean output of each neuron (spikes per step), by layer, `[neurons]`.
    pub firing_rates: Vec<Tensor<1>>,
    /// Euclidean norm of the gradients of all weights together (but for feedback weights and the synthetic gradient),
    /// before clipping.
    pub gradient_norm: f64,
    /// The first value that is not finite. Then neither network nor optimizer has changed.
    pub non_finite: Option<NonFinite>,
}

impl Report {
    /// The report of a step that was taken.
    ///
    /// # Errors
    ///
    /// What was not finite, if the step was not taken.
    pub fn ensure_finite(self) -> Result<Self, NonFinite> {
        match self.non_finite {
            Some(error) => Err(error),
            None => Ok(self),
        }
    }

    /// The report of both steps, of successive pieces of the same sequences: losses of the task and of voltages are summed and outputs
    /// joined, the rates are those of the later one, which holds all, and the norm is the larger one.
    pub fn followed_by(self, later: Self) -> Self {
        let outputs = match (self.outputs, later.outputs) {
            (Some(outputs), Some(later)) => Some(Tensor::cat(vec![outputs, later], 1)),
            _ => None,
        };
        Self {
            loss: self.loss + later.loss,
            voltage_loss: self.voltage_loss + later.voltage_loss,
            outputs,
            gradient_norm: self.gradient_norm.max(later.gradient_norm),
            non_finite: self.non_finite.or(later.non_finite),
            ..later
        }
    }

    /// Of an estimate, with its gradients.
    pub(crate) fn of<M: RecurrentModel>(model: &M, estimate: Estimate) -> (Self, GradientsParams) {
        let Estimate { loss, rate_loss, voltage_loss, outputs, firing_rates, gradients } = estimate;
        let (gradient_norm, mut non_finite) = survey_weights(model, &gradients);
        if !(loss + rate_loss + voltage_loss).is_finite() {
            non_finite = Some(NonFinite { what: "loss".into() });
        }
        (Self { loss, rate_loss, voltage_loss, outputs, firing_rates, gradient_norm, non_finite }, gradients)
    }

    /// A step that was not begun.
    pub(crate) fn refused(error: NonFinite) -> Self {
        Self {
            loss: f64::NAN,
            rate_loss: f64::NAN,
            voltage_loss: f64::NAN,
            outputs: None,
            firing_rates: Vec::new(),
            gradient_norm: f64::NAN,
            non_finite: Some(error),
        }
    }
}

impl<E> OptimizerHook<E> {
    /// A hook for whole sequences.
    pub fn new(optimizer: ModuleOptimizer, estimator: E) -> Self {
        Self { estimator, optimizer, state: (), updates: 0 }
    }

    /// Turns to a stream of `batch` parallel sequences.
    pub fn into_stream<C: Cell>(mut self, network: &Network<C>, batch: usize) -> OptimizerHook<E, E::State>
    where
        E: OnlineEstimator<C>,
    {
        let state = self.estimator.start(network, batch);
        let Self { estimator, optimizer, updates, .. } = self;
        OptimizerHook { estimator, optimizer, state, updates }
    }
}

impl<E, S> OptimizerHook<E, S> {
    /// The estimator.
    pub fn estimator(&self) -> &E {
        &self.estimator
    }

    /// The optimizer.
    pub fn optimizer(&self) -> &ModuleOptimizer {
        &self.optimizer
    }

    /// How many updates of weights this hook has made, or the one from whose checkpoint it goes on.
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// Learns from a batch of whole sequences: estimates the gradients of a network, or of one in both directions, and
    /// lets the optimizer apply them.
    ///
    /// The model must be on an autodiff device, as for any Burn optimizer.
    ///
    /// # Panics
    ///
    /// If the batch does not fit the model.
    pub fn step<M: RecurrentModel>(
        &mut self,
        lr: impl Into<ModuleLearningRate>,
        model: M,
        batch: &Batch,
    ) -> (M, Report)
    where
        E: GradientEstimator<M::Cell>,
    {
        if let Err(error) = batch.check_finite() {
            return (model, Report::refused(error));
        }
        let estimate = model.estimate(&mut self.estimator, batch);
        self.apply(lr.into(), model, estimate)
    }

    /// Learns from the next piece of the stream. State and traces live on, with the new weights.
    ///
    /// # Panics
    ///
    /// If the piece does not fit the network or the stream's batch.
    pub fn feed<C: Cell>(
        &mut self,
        lr: impl Into<ModuleLearningRate>,
        network: Network<C>,
        piece: &Batch,
    ) -> (Network<C>, Report)
    where
        E: OnlineEstimator<C, State = S>,
        S: Clone,
    {
        if let Err(error) = piece.check_finite() {
            return (network, Report::refused(error));
        }
        let before = self.state.clone();
        let estimate = self.estimator.feed(&network, &mut self.state, piece);
        let (network, report) = self.apply(lr.into(), network, estimate);
        if report.non_finite.is_some() {
            self.state = before;
        }
        (network, report)
    }

    /// Begins new sequences.
    pub fn restart<C: Cell>(&mut self, network: &Network<C>, batch: usize)
    where
        E: OnlineEstimator<C, State = S>,
    {
        self.state = self.estimator.start(network, batch);
    }

    fn apply<M: RecurrentModel>(
        &mut self,
        lr: ModuleLearningRate,
        model: M,
        estimate: Estimate,
    ) -> (M, Report)
    where
        E: GradientEstimator<M::Cell>,
    {
        let (report, gradients) = Report::of(&model, estimate);
        if report.non_finite.is_some() {
            return (model, report);
        }
        let model = self.optimizer.step(lr, model, gradients);
        self.updates += 1;
        (model.after_update(&self.estimator), report)
    }
}

/// The norm of all gradients of weights together, and the first gradient that is not finite.
fn survey_weights<M: RecurrentModel>(model: &M, gradients: &GradientsParams) -> (f64, Option<NonFinite>) {
    let mut aside = Vec::new();
    for network in model.networks() {
        aside.extend(network.synthetic_gradient.iter().flat_map(list_param_ids));
        aside.push(network.feedback.id);
    }
    survey(model, gradients, aside)
}
